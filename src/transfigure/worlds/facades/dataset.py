"""A drawn world of streets of house fronts: unlimited, made in milliseconds, and every label map is exact.

One scene has one geometry (:mod:`.houses`) and one look (:mod:`.materials`), and renders as a label map, a photo by day, a photo by
night, edges, and grey. Any ordered pair of these is a translation task with exact answers. A label map does not say materials,
colours, weather or which windows are lit, so many photos are right for it: a translator that only averages them blurs.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from ...bounds import NonNegativeInt, PositiveInt, Seed
from ...data.images import Alpha
from ...data.pairs import Collection, Record
from ...errors import UserError, did_you_mean
from ...registry import register
from .canvas import FINE, shrink
from .houses import draw_scene
from .materials import LUMA, Array
from .painting import Painter
from .scene import CLASSES, PALETTE, Scene

__all__ = ["CLASSES", "PALETTE", "RENDERINGS", "Rendering", "Scene", "draw_scene", "render", "synthetic"]

RENDERINGS = ("labels", "day", "night", "edges", "grey")
"""What one scene can be rendered as; any ordered pair of them is a task."""

FIRST = {"train": 0, "val": 10**6, "test": 2 * 10**6}
"""The index of each split's first scene: far apart, so a larger split never takes scenes from another."""


def render(scene: Scene, rendering: str, size: int) -> npt.NDArray[np.uint8]:
    """One rendering of a scene.

    Args:
        scene: from :func:`draw_scene`.
        rendering: one of :data:`RENDERINGS`.
        size: height and width in pixels, >= 16.

    Returns:
        uint8 ``[size, size, 3]``; ``[size, size, 1]`` for ``edges`` (dark lines on white) and ``grey`` (luminance of ``day``).

    Raises:
        ValueError: another rendering, or a smaller size.
    """
    if rendering not in RENDERINGS or size < 16:
        raise ValueError(f"cannot render {rendering!r} at {size} pixels: one of {', '.join(RENDERINGS)} at 16 or more")
    if rendering == "labels":
        return PALETTE[scene.class_map(size)]
    if rendering == "edges":
        return _eight_bit(_edges(scene, size)[None])
    photo = Painter(scene, size, rendering if rendering == "night" else "day").photo()
    return _eight_bit(np.tensordot(LUMA, photo, 1)[None] if rendering == "grey" else photo)


def _eight_bit(planes: Array) -> npt.NDArray[np.uint8]:
    values = np.clip(planes * 255 + 0.5, 0, 255).astype(np.uint8)
    return np.ascontiguousarray(values.transpose(1, 2, 0))


def _edges(scene: Scene, size: int) -> Array:
    """``[size, size]``: 1 is paper, 0 ink. Outlines of classes and houses, and what the unlit, unweathered paint itself shows."""
    regions = scene.region_map(FINE * size)
    paint = np.tensordot(LUMA, Painter(scene, size, "lines").colour, 1)
    ink = np.zeros(regions.shape, dtype=np.float32)
    for axis in (0, 1):
        near = (slice(None, -1), slice(None)) if axis == 0 else (slice(None), slice(None, -1))
        step = np.abs(np.diff(paint, axis=axis))
        ink[near] = np.maximum(ink[near], np.clip(4 * step - 0.25, 0, 0.5))
        ink[near] = np.maximum(ink[near], np.diff(regions, axis=axis) != 0)
    return np.asarray(1 - np.minimum(1.5 * shrink(ink), 0.92), dtype=np.float32)


@dataclass(frozen=True)
class Rendering:
    """A picture that is made when it is read: one rendering of one scene.

    Attributes:
        world_seed: which world.
        index: which scene in it.
        rendering: one of :data:`RENDERINGS`.
        size: height and width in pixels.
    """

    world_seed: int
    index: int
    rendering: str
    size: int

    @property
    def paths(self) -> tuple[Path, ...]:
        """None: it is not on disk."""
        return ()

    @property
    def label(self) -> str:
        """The scene and the rendering, for a message."""
        return f"{_name(self.index)} ({self.rendering}, synthetic)"

    def read(self, alpha: Alpha = "refuse") -> npt.NDArray[np.uint8]:
        """The pixels, uint8 ``[size, size, 3]`` or ``[size, size, 1]``; there is no alpha channel, so ``alpha`` has no effect."""
        return render(_scene(self.world_seed, self.index), self.rendering, self.size)


@lru_cache(maxsize=4)
def _scene(world_seed: int, index: int) -> Scene:
    """Source and target of a record are read one after the other, from one scene."""
    return draw_scene(world_seed, index)


def _name(index: int) -> str:
    return f"street_{index:06d}"


@register("dataset", "synthetic", drawn=True, palettes={"labels": "synthetic"})
def synthetic(
    path: Path | None,
    source: Literal["labels", "day", "night", "edges", "grey"] = "labels",
    target: Literal["labels", "day", "night", "edges", "grey"] = "day",
    size: PositiveInt | None = None,
    train: NonNegativeInt = 400,
    val: NonNegativeInt = 50,
    test: NonNegativeInt = 100,
    world_seed: Seed = 0,
) -> Collection:
    """Streets of house fronts drawn by a procedure: no files, as many as you ask for, their truth known.

    Scenes are made when they are read, and the same numbers give the same scenes on every run. The three splits never share one,
    and enlarging a split keeps the scenes it had.

    Args:
        path: not used; None.
        source: the rendering to translate from.
        target: the rendering to translate to.
        size: height and width in pixels that scenes are rendered at, 16 or more; null is the size
            that the recipe evaluates at (256 outside a recipe).
        train: number of scenes to train on.
        val: number of scenes to validate on.
        test: number of scenes to test on.
        world_seed: which world the scenes are drawn from; another number gives entirely other streets.

    Returns:
        Records whose ``a`` is the source and ``b`` the target, in the splits ``train``, ``val`` and ``test``.

    Raises:
        UserError: source and target are the same or unknown, size is below 16, or a count or the seed is out of range.
    """
    for key, rendering in (("source", source), ("target", target)):
        if rendering not in RENDERINGS:
            raise UserError(f"data.{key} is {rendering!r}, which no street is rendered as{did_you_mean(str(rendering), RENDERINGS)}")
    if source == target:
        others = ", ".join(name for name in RENDERINGS if name != source)
        raise UserError(f"data.source and data.target are both {source!r}, which leaves nothing to translate: set one of them to {others}")
    size = 256 if size is None else size
    if size < 16:
        raise UserError(f"data.size is {size}: a street needs 16 pixels or more to be seen, 64 to be liked")
    if world_seed < 0:
        raise UserError(f"data.world_seed is {world_seed}: give 0 or a larger whole number")
    counts = {"train": train, "val": val, "test": test}
    for split, count in counts.items():
        if not 0 <= count <= 10**6:
            raise UserError(f"data.{split} is {count}: give a number of scenes from 0 to 1000000")
    return Collection(
        splits={
            split: [
                Record(_name(index), Rendering(world_seed, index, source, size), Rendering(world_seed, index, target, size))
                for index in range(FIRST[split], FIRST[split] + count)
            ]
            for split, count in counts.items()
        }
    )
