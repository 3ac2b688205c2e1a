"""A scene of the facades: labelled outlines, painted from back to front, and the look they are dressed in.

Everything is in *image units*: x to the right and y downward, both in [0, 1] over a square picture, so one scene can be drawn at any
size. What stands where is decided in :mod:`.houses`; what the label map does not say (materials, colours, light), in
:mod:`.materials`; how both become pictures, in :mod:`.painting`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from math import floor

import numpy as np
import numpy.typing as npt

from .materials import SceneLook

CLASSES: tuple[str, ...] = (
    "sky",
    "wall",
    "roof",
    "chimney",
    "cornice",
    "trim",
    "window",
    "shutter",
    "door",
    "balcony",
    "shop",
    "awning",
    "plant",
    "lamp",
    "pavement",
    "road",
)
"""What a pixel of a label map can be; its index is the value in :meth:`Scene.class_map`."""

PALETTE: npt.NDArray[np.uint8] = np.array(
    [
        (125, 200, 255),  # sky: light blue
        (240, 222, 178),  # wall: cream
        (150, 30, 45),  # roof: dark red
        (255, 95, 60),  # chimney: vermilion
        (255, 238, 0),  # cornice and string courses: yellow
        (185, 110, 255),  # trim (sills, surrounds, quoins, pilasters, steps): violet
        (25, 55, 205),  # window: blue
        (0, 165, 175),  # shutter: teal
        (110, 60, 10),  # door: brown
        (255, 0, 150),  # balcony: magenta
        (255, 165, 20),  # shop front: amber
        (90, 255, 170),  # awning: mint
        (35, 145, 35),  # plant (trees, hedges, flower boxes): green
        (0, 0, 0),  # street lamp: black
        (165, 165, 165),  # pavement: light grey
        (85, 85, 100),  # road: slate
    ],
    dtype=np.uint8,
)
"""``[K, 3]`` uint8: the colour of each class in the ``labels`` rendering."""

SKY, WALL, ROOF, CHIMNEY, CORNICE, TRIM, WINDOW, SHUTTER, DOOR, BALCONY, SHOP, AWNING, PLANT, LAMP, PAVEMENT, ROAD = range(len(CLASSES))

Box = tuple[float, float, float, float]
"""``(left, top, right, bottom)`` in image units."""
Stencil = tuple[slice, slice, npt.NDArray[np.bool_] | None]
"""Rows, columns, and within them the mask of the outline (None: all of it)."""


@dataclass(frozen=True, eq=False)
class Part:
    """One outlined thing. Parts are painted in order, so a later one hides what it covers.

    Attributes:
        kind: what the painter makes of it (finer than the class: a ``dormer`` and a ``gable`` are both wall).
        label: its class, an index into :data:`CLASSES`.
        box: its bounding box.
        house: which house it belongs to; -1 for the street.
        outline: ``box``; ``arch`` (a box with a half-round top); ``convex`` (``points`` are vertices, clockwise on screen);
            ``discs`` (``points`` are rows of x, y, radius).
        points: ``[n, 2]`` or ``[n, 3]``, for the last two outlines.
        depth: how far it stands out of the wall, in image units; negative if it is set back. Shadows follow from it.
    """

    kind: str
    label: int
    box: Box
    house: int = -1
    outline: str = "box"
    points: npt.NDArray[np.float64] | None = None
    depth: float = 0.0

    def stencil(self, size: int, least: int = 1) -> Stencil:
        """The pixels, of a picture ``size`` wide, whose centres the outline holds; never thinner than ``least`` while in sight."""
        rows, cols = cells(self.box, size, least)
        if self.outline == "box" or rows.start >= rows.stop or cols.start >= cols.stop:
            return rows, cols, None
        y, x = centres(size)[rows, None], centres(size)[None, cols]
        if self.outline == "arch":
            left, top, right, _ = self.box
            radius = (right - left) / 2
            reach = np.sqrt(np.maximum(radius**2 - (np.minimum(y, top + radius) - top - radius) ** 2, 0))
            inside = np.abs(x - left - radius) <= reach
        elif self.outline == "convex":
            assert self.points is not None
            inside = np.ones((len(y), x.shape[1]), dtype=bool)
            corners = self.points.tolist()
            for (xa, ya), (xb, yb) in zip(corners, corners[1:] + corners[:1], strict=True):
                inside &= (xb - xa) * (y - ya) + (yb - ya) * xa >= (yb - ya) * x
        else:
            assert self.points is not None
            inside = np.zeros((len(y), x.shape[1]), dtype=bool)
            corner = np.array([cols.start, rows.start])
            first = np.maximum(np.floor((self.points[:, :2] - self.points[:, 2:]) * size).astype(int) - corner, 0).tolist()
            last = np.maximum(np.ceil((self.points[:, :2] + self.points[:, 2:]) * size).astype(int) - corner, 0).tolist()
            for (cx, cy, radius), (c0, r0), (c1, r1) in zip(self.points.tolist(), first, last, strict=True):
                inside[r0:r1, c0:c1] |= (x[:, c0:c1] - cx) ** 2 + (y[r0:r1] - cy) ** 2 <= radius**2
        return rows, cols, inside


@lru_cache(maxsize=8)
def centres(size: int) -> npt.NDArray[np.float32]:
    """``[size]``: the pixel centres of a picture ``size`` wide, in image units."""
    return ((np.arange(size) + 0.5) / size).astype(np.float32)


def cells(box: Box, size: int, least: int = 1) -> tuple[slice, slice]:
    """The rows and columns a box covers in a picture ``size`` wide, cut at its borders."""
    left, top = floor(box[0] * size + 0.5), floor(box[1] * size + 0.5)
    right, bottom = floor(box[2] * size + 0.5), floor(box[3] * size + 0.5)
    right, bottom = max(right, left + least), max(bottom, top + least)
    if left < 0 or top < 0 or right > size or bottom > size:
        left, top, right, bottom = (min(max(edge, 0), size) for edge in (left, top, right, bottom))
    return slice(top, bottom), slice(left, right)


@dataclass(frozen=True, eq=False)
class Scene:
    """One street front: what is where (``parts``), what it looks like (``look``), and both as plain numbers and words (``factors``)."""

    parts: tuple[Part, ...]
    look: SceneLook
    factors: dict[str, float | int | str] = field(default_factory=dict)

    def class_map(self, size: int) -> npt.NDArray[np.uint8]:
        """``[size, size]`` uint8, the index in :data:`CLASSES` of what is seen at each pixel's centre."""
        return self._indexed([part.label for part in self.parts], size).astype(np.uint8)

    def region_map(self, size: int) -> npt.NDArray[np.int16]:
        """``[size, size]``: like the class map, but equal classes of two different houses differ too."""
        return self._indexed([part.label + len(CLASSES) * (part.house + 1) for part in self.parts], size)

    def _indexed(self, values: list[int], size: int) -> npt.NDArray[np.int16]:
        picture = np.zeros((size, size), dtype=np.int16)
        for part, value in zip(self.parts, values, strict=True):
            rows, cols, inside = part.stencil(size)
            if inside is None:
                picture[rows, cols] = value
            else:
                picture[rows, cols][inside] = value
        return picture
