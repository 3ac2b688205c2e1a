"""Any image as it can be seen: 8 bits, one channel or three. For people's eyes, and never for a number that is reported."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Limits = tuple[float, float]
GAP = 2
"""Pixels of white between the pictures of a strip."""


def limits(image: NDArray[np.generic]) -> Limits | None:
    """The values to show as black and white: None (as they are) for 8 bits, else the 0.1 and 99.9 percentiles of what is shown."""
    if image.dtype in (np.uint8, np.bool_):
        return None
    values = _channels(image).astype(np.float64)
    values = values[np.isfinite(values)]
    if values.size == 0:
        return (0.0, 1.0)
    low, high = (float(value) for value in np.percentile(values, (0.1, 99.9)))
    return (low, high if high > low else low + 1.0)


def shown(image: NDArray[np.generic], between: Limits | None = None) -> NDArray[np.uint8]:
    """An image as it can be seen: uint8 ``[H, W, 1 or 3]``.

    Args:
        image: ``[H, W]`` or ``[H, W, C]``, any number type. Of three or more channels the first three are shown, of two the first.
        between: the values that become black and white; by default those of :func:`limits`.
    """
    seen = _channels(image)
    if seen.dtype == np.bool_:
        return seen.astype(np.uint8) * 255
    if seen.dtype == np.uint8:
        return seen.astype(np.uint8)
    low, high = between or limits(image) or (0.0, 255.0)
    scaled = (np.nan_to_num(seen.astype(np.float64), nan=low, posinf=high, neginf=low) - low) / (high - low)
    return (np.clip(scaled, 0, 1) * 255).round().astype(np.uint8)


def _channels(image: NDArray[np.generic]) -> NDArray[np.generic]:
    image = image[..., None] if image.ndim == 2 else image
    return image[..., :3] if image.shape[-1] >= 3 else image[..., :1]


def strip(pictures: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """Pictures side by side on white, the tops in a line.

    Args:
        pictures: uint8 ``[H, W, 1 or 3]``; if one has colours, all get three channels.

    Returns:
        uint8 ``[H, W, 1 or 3]``.
    """
    channels = max(picture.shape[2] for picture in pictures)
    height = max(picture.shape[0] for picture in pictures)
    paper = np.full((height, sum(picture.shape[1] + GAP for picture in pictures) - GAP, channels), 255, np.uint8)
    left = 0
    for picture in pictures:
        paper[: picture.shape[0], left : left + picture.shape[1]] = picture
        left += picture.shape[1] + GAP
    return paper
