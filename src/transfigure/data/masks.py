"""What counts: masks that a person gives, and pixels that a file declares to hold nothing.

A mask is bool ``[H, W]``: True counts. What does not count reaches neither a loss nor the discriminator nor a score.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..errors import UserError
from . import images
from .file_facts import Orientation
from .pixels import Array, resize

Mask: TypeAlias = NDArray[np.bool_]
"""``[H, W]``, True counts."""


def read_mask(file: str | Path, orientation: Orientation = "apply") -> Mask:
    """A file as a mask: what is not 0, in any channel, counts.

    Raises:
        UserError: it cannot be read, or was compressed in a way that changes values.
    """
    array, facts = images.examine(file, "refuse", orientation)
    if facts.lossy:
        raise UserError(f"{file} is a {facts.lossy} file, whose zeros are no zeros any more: a mask must be lossless, so save it as PNG")
    found: Mask = (array != 0).any(2)
    return found


def check_size(mask: Mask, file: str | Path, shape: tuple[int, ...], of: str) -> None:
    """Refuse a mask that does not lie on its picture.

    Args:
        mask: as read.
        file: where it is from.
        shape: of the picture, height and width first.
        of: what the picture is called.

    Raises:
        UserError: it has another size.
    """
    if mask.shape != shape[:2]:
        (high, wide), (height, width) = mask.shape, shape[:2]
        raise UserError(f"{file} is {wide}x{high} but {of} is {width}x{height}: a mask must have the size of what it masks")


def data_of(array: Array, no_data: float | None) -> Mask | None:
    """Where every channel of a picture holds data; None if it does everywhere.

    Args:
        array: ``[H, W, C]``.
        no_data: the value that means "nothing here"; may be NaN.
    """
    if no_data is None:
        return None
    data: Mask = np.logical_not(is_no_data(array, no_data).any(axis=2))
    return None if data.all() else data


def is_no_data(array: NDArray[Any], no_data: float) -> NDArray[np.bool_]:
    """Which values are the one that means "nothing here"."""
    found: NDArray[np.bool_] = np.isnan(array) if math.isnan(no_data) else array == no_data
    return found


def filled(array: Array, mask: Mask, value: float) -> Array:
    """The picture with another value where the mask is False."""
    return np.where(mask[..., None], array, np.asarray(value).astype(array.dtype))


def both(one: Mask | None, other: Mask | None) -> Mask | None:
    """What counts in both; None is a mask of which all counts."""
    return other if one is None else one if other is None else one & other


def resized(mask: Mask, height: int, width: int) -> Mask:
    """The mask at another size, by nearest neighbour."""
    found: Mask = resize(mask[..., None].view(np.uint8), height, width, "nearest")[..., 0] != 0
    return found
