"""The two resizes that published Fréchet distances are made with. Others give other numbers, by whole points."""

from __future__ import annotations

import torch
from torch import Tensor

from ..data.pixels import bicubic


def tf1_bilinear(images: Tensor, height: int, width: int) -> Tensor:
    """TensorFlow 1's ``ResizeBilinear`` with ``align_corners=False``, as inside the Inception graph of the original FID.

    Output pixel i looks at the source coordinate s = i * (in / out), in float32: pixel 0 looks at pixel 0, and pixels are not taken to
    have their centres half a step further. It mixes the pixels floor(s) and min(floor(s) + 1, in - 1) by the fraction of s. Nothing is
    averaged when the picture shrinks: what lies between is skipped.

    Args:
        images: ``[N, C, H, W]``, any float values.
        height: of the result.
        width: of the result.

    Returns:
        ``[N, C, height, width]``, within the range of the input.

    Source: the kernel of TensorFlow 1; its effect on FID is in Parmar, Zhang and Zhu 2022, "On aliased resizing", section 3.
    """
    return _along(_along(images, 3, width), 2, height)


def _along(images: Tensor, axis: int, size: int) -> Tensor:
    length = images.shape[axis]
    scale = torch.tensor(length, dtype=torch.float32) / size
    coordinate = torch.arange(size, dtype=torch.float32) * scale
    lower = coordinate.long().clamp_max(length - 1)
    fraction = (coordinate - lower).to(images)
    if axis == 2:
        fraction = fraction[:, None]
    before = images.index_select(axis, lower.to(images.device))
    after = images.index_select(axis, (lower + 1).clamp_max(length - 1).to(images.device))
    return before + (after - before) * fraction


def clean_bicubic(images: Tensor, height: int, width: int) -> Tensor:
    """Antialiased bicubic (a = -0.5), channel by channel, on floats that are not rounded between the two directions.

    What Pillow does with float images. A cubic overshoots at edges, and the result is not clipped here.

    Args:
        images: ``[N, C, H, W]``, any float values.
        height: of the result.
        width: of the result.

    Returns:
        ``[N, C, height, width]``, a little beyond the range of the input where there are edges.

    Source: Parmar, Zhang and Zhu 2022, "On aliased resizing and surprising subtleties in GAN evaluation", section 3.
    """
    return bicubic(images, height, width)
