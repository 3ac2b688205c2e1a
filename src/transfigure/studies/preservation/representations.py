"""What the measures of an analysis look at: luminance, a coarse average, outlines; and distances between many images.

Outlines and averages are of luminance, so that images of different channels can be compared, and in float64, so that equal images
have equal views wherever they stand in a batch.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from ...data.pixels import LUMA

Space = Literal["pixels", "structure"]
"""What distances are of: the values themselves, or where the outlines lie (:func:`described`)."""

COARSE = 16
"""Pixels a side of what is left of an image after averaging: layout stays, texture goes."""
FINE = 64
"""Pixels of the shorter side at which outlines are looked for; a larger image is averaged down to it first."""
_SIGMA = 1.0
_FAINT = 1e-3
"""Slopes of luminance below this, an eighth of a step of 8 bits, are no outlines: they would be rounding."""
_FLAT = 1e-4
"""A map whose values spread by less than this has no pattern."""
ROWS = 1024
"""Images whose distances to all others are in memory together."""


def check(images: Tensor, what: str) -> None:
    """Refuse what are no images.

    Raises:
        ValueError: not a float tensor ``[N, C, H, W]`` with a pixel in it.
    """
    if images.ndim != 4 or images.numel() == 0 or not images.is_floating_point():
        raise ValueError(f"the {what} must be float images [N, C, H, W] in [-1, 1]: got {images.dtype} {list(images.shape)}")


def check_pairs(first: Tensor, second: Tensor, what: str, other: str, channels: bool = False) -> None:
    """Refuse two sets that cannot be compared one by one.

    Args:
        first: images.
        second: as many, of the same height and width.
        what: what the first are called.
        other: what the second are called.
        channels: whether those must be the same too.

    Raises:
        ValueError: they do not fit each other.
    """
    check(first, what)
    check(second, other)
    same = first.shape == second.shape if channels else (len(first), first.shape[2:]) == (len(second), second.shape[2:])
    if not same:
        raise ValueError(f"{what} and {other} are compared one by one: got {list(first.shape)} and {list(second.shape)}")


def luminance(images: Tensor) -> Tensor:
    """``[N, C, H, W]`` to float64 ``[N, 1, H, W]`` on the same scale: BT.601 of three channels, else their mean."""
    weights = LUMA if images.shape[1] == 3 else (1 / images.shape[1],) * images.shape[1]
    grey = images.new_zeros(len(images), *images.shape[2:], dtype=torch.float64)
    for channel, weight in zip(images.unbind(1), weights, strict=True):
        grey += weight * channel.double()
    return grey[:, None]


def to_channels(images: Tensor, channels: int) -> Tensor:
    """The same images with another number of channels: as they are if they have it, else their luminance, repeated."""
    return images if images.shape[1] == channels else luminance(images).to(images.dtype).expand(-1, channels, -1, -1)


def coarse(images: Tensor) -> Tensor:
    """Averaged to 16 x 16 pixels, float64; an image smaller than that repeats its pixels."""
    return F.adaptive_avg_pool2d(images.double(), COARSE)


def shrunk(images: Tensor, side: int = FINE) -> Tensor:
    """Averaged until the shorter side has ``side`` pixels; smaller images stay as they are."""
    height, width = images.shape[2:]
    scale = side / min(height, width)
    return images if scale >= 1 else F.adaptive_avg_pool2d(images, (round(scale * height), round(scale * width)))


def outlines(images: Tensor) -> Tensor:
    """How strong an outline there is at each pixel, whichever side of it is the lighter.

    Luminance, averaged until the shorter side has at most 64 pixels, smoothed by a Gaussian of 1 pixel; the square root of the length
    of its gradient (central differences, borders repeated). The root, because a faint outline is an outline too: without it a few
    strong ones would be all that is compared.

    Args:
        images: ``[N, C, H, W]`` in [-1, 1].

    Returns:
        float64 ``[N, 1, h, w]``, at least 0, and exactly 0 where the slope is below 0.001 a pixel.
    """
    return torch.cat([_outlines(part) for part in torch.split(images, 256)])  # more at a time only leave the cache


def _outlines(images: Tensor) -> Tensor:
    offsets = torch.arange(-3, 4, dtype=torch.float64, device=images.device)
    kernel = torch.softmax(-(offsets**2) / (2 * _SIGMA**2), 0)
    x = F.pad(shrunk(luminance(images)), (3, 3, 3, 3), mode="replicate")
    x = F.conv2d(F.conv2d(x, kernel.view(1, 1, -1, 1)), kernel.view(1, 1, 1, -1))
    x = F.pad(x, (1, 1, 1, 1), mode="replicate")
    across, down = x[..., 1:-1, 2:] - x[..., 1:-1, :-2], x[..., 2:, 1:-1] - x[..., :-2, 1:-1]
    slope = (across.square() + down.square()).sqrt() / 2
    return slope.masked_fill(slope <= _FAINT, 0).sqrt()


def standardised(maps: Tensor) -> Tensor:
    """``[N, ...]`` to ``[N, D]`` of mean 0 and length 1, so that products are correlations; a map without a pattern becomes 0."""
    flat = maps.flatten(1)
    flat = flat - flat.mean(1, keepdim=True)
    length = flat.norm(dim=1, keepdim=True)
    return torch.where(length <= _FLAT * math.sqrt(flat.shape[1]), 0, flat / length.clamp_min(1e-300))


def described(images: Tensor, space: Space) -> Tensor:
    """Images as rows ``[N, D]`` whose distances mean something.

    Args:
        images: ``[N, C, H, W]`` in [-1, 1].
        space: ``pixels``, the values themselves, right where both are of one domain; or ``structure``, standardised outlines, for
            images of different domains: the squared distance is then 2 - 2 times :func:`.preserved.edge_agreement`.

    Raises:
        ValueError: another space.
    """
    if space == "pixels":
        return images.flatten(1)
    if space == "structure":
        return standardised(outlines(images))
    raise ValueError(f"the space is {space!r}: choose pixels or structure")


def squared_distances(x: Tensor, y: Tensor, kind: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    """Between all rows of x and all of y.

    Args:
        x: ``[N, D]``, at most some :data:`ROWS` of them, since the result is a matrix.
        y: ``[M, D]``.
        kind: what it is reckoned in; float32 is three times as fast, and leaves the nearest of near copies open.

    Returns:
        ``[N, M]``, and what rounding may have done to each.
    """
    rows = x.to(kind)
    own = rows.square().sum(1)[:, None]
    apart, lengths = [], []
    for part in torch.split(y, ROWS):  # not all of y in float64 at once: 5,000 colour images of 64 x 64 are half a gigabyte
        others = part.to(kind)
        lengths.append(own + others.square().sum(1))
        apart.append((lengths[-1] - 2 * rows @ others.T).clamp_(min=0))
    return torch.cat(apart, 1), (1e-5 if kind == torch.float32 else 1e-12) * torch.cat(lengths, 1)
