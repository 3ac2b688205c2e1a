"""Differentiable augmentation: what D sees, real and generated alike, is changed at random, and G learns through the change.

With few images D memorises them. Augmenting the real ones alone would teach G to make augmented images; augmenting both, by
changes that gradients pass, does not (Zhao et al. 2020, "Differentiable augmentation for data-efficient GAN training",
arXiv:2006.10738, sections 3.2 and 4). Written from the paper's description; where it leaves a choice, ours is said below.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import UserError, did_you_mean


def augment(images: Tensor, policy: Sequence[str]) -> Tensor:
    """Every image changed by each of the named policies, in the order given; each image draws its own numbers.

    - ``color``: brightness + u with u in [-0.5, 0.5]; saturation, the distance of a pixel's channels from their mean, times u in [0, 2];
      contrast, the distance of all values from the image's mean, times u in [0.5, 1.5]; in this order. With one channel saturation changes
      nothing; with more than three it is the same formula, though "colour" then says little.
    - ``translation``: a whole number of pixels up to 1/8 of the side, each way, along both axes; what comes in from outside is 0.
    - ``cutout``: a rectangle of half the height and half the width becomes 0; its centre lies anywhere in the image, so that some of it may
      lie outside.

    Values may leave [-1, 1] (by ``color``); nothing is clipped, since that would stop the gradient. 0 is mid-grey. The numbers come from
    torch's global generator on the CPU whatever the device, so a resumed run draws the same. For a conditional D, augment source and
    image together, as channels of one tensor.

    Args:
        images: ``[N, C, H, W]`` in [-1, 1], any C.
        policy: some of :data:`POLICIES`; with none the images come back as they are.

    Returns:
        ``[N, C, H, W]``, differentiable in ``images``.

    Raises:
        UserError: an unknown policy.
    """
    for name in policy:
        if name not in _CHANGES:
            raise UserError(f"there is no augmentation {name!r}{did_you_mean(name, POLICIES)}")
    for name in policy:
        images = _CHANGES[name](images)
    return images


def _color(x: Tensor) -> Tensor:
    x = x + _uniform(x, -0.5, 0.5)
    x = _stretch(x, x.mean(1, keepdim=True), _uniform(x, 0, 2))
    return _stretch(x, x.mean((1, 2, 3), keepdim=True), _uniform(x, 0.5, 1.5))


def _translation(x: Tensor) -> Tensor:
    height, width = x.shape[-2:]
    most_down, most_right = height // 8, width // 8
    padded = F.pad(x, (most_right, most_right, most_down, most_down))
    tops, lefts = _integers(x, 2 * most_down + 1), _integers(x, 2 * most_right + 1)
    shifted = [image[:, top : top + height, left : left + width] for image, top, left in zip(padded, tops, lefts, strict=True)]
    return torch.stack(shifted) if shifted else x


def _cutout(x: Tensor) -> Tensor:
    kept = torch.ones(len(x), 1, *x.shape[-2:], dtype=x.dtype)
    height, width = (side // 2 for side in x.shape[-2:])
    for mask, row, column in zip(kept, _integers(x, x.shape[-2]), _integers(x, x.shape[-1]), strict=True):
        top, left = row - height // 2, column - width // 2
        mask[:, max(0, top) : top + height, max(0, left) : left + width] = 0
    return x * kept.to(x.device)


def _stretch(x: Tensor, centre: Tensor, factor: Tensor) -> Tensor:
    return centre + factor * (x - centre)


def _uniform(x: Tensor, low: float, high: float) -> Tensor:
    """One number per image, to be broadcast over it."""
    return (low + (high - low) * torch.rand(len(x), 1, 1, 1)).to(x)


def _integers(x: Tensor, count: int) -> list[int]:
    """One of 0 ... count - 1 per image."""
    return torch.randint(count, (len(x),)).tolist()


_CHANGES: dict[str, Callable[[Tensor], Tensor]] = {"color": _color, "translation": _translation, "cutout": _cutout}

POLICIES = ("color", "translation", "cutout")
"""The names that :func:`augment` knows."""
