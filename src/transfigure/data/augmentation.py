"""Random changes of training pairs beyond the crop and the mirror, for small data sets: turned, scaled, bent, recoloured.

Where pixels come from is one draw for source, target and mask (:class:`Warp`), which :mod:`.transforms` reads by one interpolation. Colour
is changed afterwards, in what the networks see. All that is drawn comes from streams of its own, always all of it and in one order: turning
one thing on moves neither the crops nor any of the others.

Sources: rotation, scale and mirrors as in any text book; elastic deformation by displacements of a coarse grid, Ronneberger et al. 2015
("U-Net"), section 3.1; changes of colour as Krizhevsky et al. 2012 and torchvision's ``ColorJitter`` have made usual.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from .display import are_slices, look
from .encodings.base import Encoding
from .pixels import LUMA

if TYPE_CHECKING:
    from torch import Tensor

Places = NDArray[np.float64]
GRID = 4
"""Points of the elastic grid along each side of the crop."""
HUE = 90.0
"""Degrees that colours are turned by at most, for a jitter of 1."""
_BLACK = -1 + 1e-3
"""What is no lighter is black, of what does not count: there is no data, and the networks shall see that."""


@dataclass(frozen=True)
class Warp:
    """Where the pixels of a crop come from, if not from straight below it.

    Attributes:
        degrees: turned to the left.
        factor: enlarged by this, around the middle of the crop.
        displacements: by how many pixels the points of a :data:`GRID` x :data:`GRID` grid over the crop are moved: down for each of them,
            row by row, then to the right; empty for none. What lies between them is moved by what cubic interpolation gives.
    """

    degrees: float = 0.0
    factor: float = 1.0
    displacements: tuple[float, ...] = ()

    def places(self, top: float, left: float, size: int) -> tuple[Places, Places]:
        """Rows and columns, ``[size, size]``, of the picture that a crop is taken from; also between its pixels and beyond its borders.

        Args:
            top, left: where the crop would begin without the warp.
            size: its height and width.
        """
        middle = (size - 1) / 2
        down, right = (each - middle for each in np.indices((size, size), dtype=np.float64))
        turned, scale = math.radians(self.degrees), 1 / self.factor
        sine, cosine = math.sin(turned) * scale, math.cos(turned) * scale
        rows, columns = top + middle + cosine * down + sine * right, left + middle - sine * down + cosine * right
        if self.displacements:
            moved = _between(np.asarray(self.displacements).reshape(2, GRID, GRID), size)
            rows, columns = rows + moved[0], columns + moved[1]
        return rows, columns


def _between(grid: Places, size: int) -> Places:
    """``[2, GRID, GRID]`` as ``[2, size, size]``, by cubic interpolation; the outer points lie on the outer pixels."""
    import torch
    from torch.nn import functional as F

    found: Places = F.interpolate(torch.from_numpy(grid)[None], (size, size), mode="bicubic", align_corners=True)[0].numpy()
    return found


@dataclass(frozen=True)
class Augmentation:
    """What is done to training pairs at random, beside the crop and the mirror left to right.

    Attributes:
        vertical_flip: mirror every second pair top to bottom.
        rotation: degrees to either side, each angle as likely.
        scaling: enlarged or reduced by a factor from 1 / (1 + this) to 1 + this, uniform in its logarithm.
        elastic: standard deviation in pixels of the displacements of :class:`Warp`.
        colour_jitter: see :func:`jittered`; 0 is off.
        colour_jitter_on: whose colours: of sources alone, or of sources and targets by one draw.
    """

    vertical_flip: bool = False
    rotation: float = 0.0
    scaling: float = 0.0
    elastic: float = 0.0
    colour_jitter: float = 0.0
    colour_jitter_on: Literal["source", "both"] = "source"

    @property
    def warps(self) -> bool:
        """Whether pixels are interpolated."""
        return bool(self.rotation or self.scaling or self.elastic)

    @property
    def moves(self) -> bool:
        """Whether pixels come from elsewhere than without it."""
        return self.vertical_flip or self.warps

    def draw(self, rng: np.random.Generator) -> tuple[bool, Warp | None]:
        """Whether to mirror top to bottom, and how to warp; the same numbers are drawn whatever is on."""
        mirrored, turn, scale = rng.random() < 0.5, rng.uniform(-1, 1), rng.uniform(-1, 1)
        moved = rng.standard_normal(2 * GRID * GRID)
        warp = Warp(
            turn * self.rotation,
            math.exp(scale * math.log1p(self.scaling)),
            tuple((moved * self.elastic).tolist()) if self.elastic else (),
        )
        return self.vertical_flip and bool(mirrored), warp if self.warps else None

    def words(self) -> Iterator[str]:
        """What is done, one thing after the other: ``turned by up to 10 degrees``."""
        if self.vertical_flip:
            yield "half of them mirrored top to bottom"
        if self.rotation:
            yield f"turned by up to {self.rotation:g} degrees"
        if self.scaling:
            yield f"scaled by {1 / (1 + self.scaling):.3g} to {1 + self.scaling:.3g}"
        if self.elastic:
            yield f"bent by {self.elastic:g} pixels (standard deviation)"
        if self.colour_jitter:
            of = "sources" if self.colour_jitter_on == "source" else "sources and targets"
            yield f"the colours of {of} changed by up to {self.colour_jitter:g}"


NO_AUGMENTATION = Augmentation()


def jittered(image: Tensor, strength: float, rng: np.random.Generator, encoding: Encoding, mask: Tensor | None = None) -> Tensor:
    """A picture in other colours: brighter or darker, of more or less contrast, and, of a photo, of other saturation and hue.

    Contrast is multiplied, around the mean, by a factor from 1 / (1 + strength) to 1 + strength, uniform in its logarithm; then up to
    ``strength`` is added, of the 2 from black to white. Of photos in colour the saturation is multiplied likewise and the hue turned by
    up to ``strength`` times :data:`HUE` degrees around the grey axis. Channels that are no colours are changed each by its own draw;
    slices of a stack by one. What leaves [-1, 1] is clipped to it, which is the range of the data, whatever the type of their files.

    Args:
        image: ``[C, H, W]`` in [-1, 1].
        strength: from 0 to 1.
        rng: what is drawn from.
        encoding: what the picture is.
        mask: what counts, bool ``[1, H, W]``; black that does not (no data) stays black.

    Returns:
        float32 ``[C, H, W]`` in [-1, 1].
    """
    import torch

    values = image.numpy().astype(np.float32)
    channels = len(values)
    names = encoding.names if len(encoding.names) == channels else ()
    colour, stack = channels == 3 and look(channels, names, encoding.dtype) == "colour", are_slices(names)
    contrast, brightness, saturation, turn = rng.uniform(-1, 1, 4)
    more = rng.uniform(-1, 1, (2, channels))  # of each channel: the first one's are those above
    gain, offset = np.exp(np.array([contrast, saturation]) * math.log1p(strength)), brightness * strength
    gains, offsets = np.full(channels, gain[0]), np.full(channels, offset)
    if colour:
        values = _with_hue(values, gain[1], math.radians(turn * strength * HUE))
    elif not stack:
        gains[1:], offsets[1:] = np.exp(more[0, 1:] * math.log1p(strength)), more[1, 1:] * strength
    # numpy adds in one order, whatever the number of threads
    means = values.reshape(channels, -1).mean(1, dtype=np.float64)
    if colour or stack:
        means[:] = means.mean()
    factor, added = (each.astype(np.float32)[:, None, None] for each in (gains, means + offsets - gains * means))
    changed = torch.from_numpy(np.clip(values * factor + added, -1, 1))
    if mask is None:
        return changed
    return torch.where(~mask & (image <= _BLACK).all(0, keepdim=True), image, changed)


def _with_hue(values: NDArray[np.float32], saturation: float, angle: float) -> NDArray[np.float32]:
    """Red, green and blue with their distance from grey scaled, and turned around the axis of greys."""
    grey = sum(weight * channel for weight, channel in zip(LUMA, values))
    values = (grey + np.float32(saturation) * (values - grey)).astype(np.float32)
    cosine, sine = math.cos(angle), math.sin(angle)
    same, other = (1 + 2 * cosine) / 3, (1 - cosine) / 3
    forward, backward = np.float32(other - sine / math.sqrt(3)), np.float32(other + sine / math.sqrt(3))
    red, green, blue = values
    turned = [
        np.float32(same) * one + forward * following + backward * last
        for one, following, last in ((red, green, blue), (green, blue, red), (blue, red, green))
    ]
    return np.stack(turned).astype(np.float32)
