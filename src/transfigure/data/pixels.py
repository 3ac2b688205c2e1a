"""Pixel values: between the numbers of a file and the [-1, 1] of the networks, between sizes, between grey and colour.

Arrays are ``[H, W, C]`` in a file's own dtype: integers of 8, 16 or 32 bits, signed or not, or floats of 16, 32 or 64 bits. Tensors are
float32 ``[C, H, W]`` in [-1, 1], which hold 24 bits of a value. Arithmetic on values that need more is in 64-bit floats.

torch is imported where tensors are made: what only reads or writes pictures (reports, comparisons) does not wait for it.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..errors import RunFailure, UserError
from ..wording import counted
from .value_range import DOUBLE, NATURAL_RANGE, limits, number, outside

if TYPE_CHECKING:
    from torch import Tensor

Array: TypeAlias = NDArray[Any]
"""``[H, W, C]`` of a type in :data:`.value_range.NATURAL_RANGE`."""

LUMA = (0.299, 0.587, 0.114)
"""What red, green and blue give to grey (ITU-R BT.601)."""


def to_tensor(array: Array, value_range: tuple[float, float] | None = None, name: str = "a float image") -> Tensor:
    """An image as the networks see it. With `to_array`, the only place where [-1, 1] is made.

    Args:
        array: ``[H, W, C]``; by default the whole range of an integer type, and 0..1 of floats, maps to -1..1.
        value_range: the (low, high) that become -1 and 1 instead; values beyond them are clipped.
        name: what to call the image in an error.

    Returns:
        float32 ``[C, H, W]`` in [-1, 1].

    Raises:
        UserError: a float image leaves [0, 1] (by more than rounding does) and no range is given, or the range is empty.
    """
    import torch

    low, high = limits(array.dtype, value_range)
    if reason := outside(array, value_range):
        smallest, largest = number(float(array.min())), number(float(array.max()))
        raise UserError(f"{name} {reason}: give the value range that should become black and white, for example {smallest} {largest}")
    values = np.ascontiguousarray(array.transpose(2, 0, 1)).astype(_working(array.dtype))
    tensor = torch.from_numpy(values).sub_(low).div_((high - low) / 2).sub_(1)
    return tensor.clamp_(-1, 1).to(torch.float32)


def to_array(tensor: Tensor, dtype: str = "uint8", value_range: tuple[float, float] | None = None) -> Array:
    """An image as a file holds it: the inverse of `to_tensor`, exact for integers of 8 and 16 bits.

    Of wider types a tensor holds the 24 leading bits of what lies in the range: exact for integers within a range of up to 2^23 values.

    Integers are rounded to the nearest. (The PyTorch pix2pix code truncates here, which darkens its results by half a
    level on average and loses levels even when the network copies its input perfectly.)

    Args:
        tensor: ``[C, H, W]``; values beyond [-1, 1] are clipped.
        dtype: any type of images, such as ``uint8``, ``int16`` or ``float32``.
        value_range: what -1 and 1 become; by default the dtype's own black and white (floats: 0 and 1).

    Returns:
        ``[H, W, C]`` of that dtype.

    Raises:
        RunFailure: the tensor holds NaN or infinity.
        UserError: an unknown dtype, or an empty range.
    """
    import torch

    low, high = limits(dtype, value_range)
    values = tensor.detach().to("cpu", torch.float32)
    check_finite(values)
    values = values.to(torch.float64 if _working(np.dtype(dtype)) == np.float64 else torch.float32)
    scaled = (values.clamp(-1, 1).add_(1).mul_((high - low) / 2).add_(low)).permute(1, 2, 0).contiguous().numpy()
    return _as_dtype(scaled, np.dtype(dtype))


def check_finite(values: Tensor) -> None:
    """See that a generated image holds numbers.

    Raises:
        RunFailure: it holds NaN or infinity.
    """
    import torch

    if not bool(torch.isfinite(values).all()):
        broken = int((~torch.isfinite(values)).sum())
        raise RunFailure(f"{broken} of the {values.numel()} values of a generated image are not finite: go back to an earlier checkpoint")


def resize(array: Array, height: int, width: int, rule: Literal["bicubic", "nearest"]) -> Array:
    """The image at another size, in the same dtype and channels; the input itself when the size is already right.

    Args:
        array: ``[H, W, C]``.
        height: pixels.
        width: pixels.
        rule: ``bicubic`` widens its kernel when it shrinks (antialiased, as Pillow does); a float image stays within the
            values it had. ``nearest`` takes the pixel under each new pixel's centre, so labels stay labels.
    """
    if min(height, width) < 1:
        raise UserError(f"an image cannot be resized to {width} x {height} pixels: both sides must be at least 1")
    old_height, old_width, _ = array.shape
    if (height, width) == (old_height, old_width):
        return array
    if rule == "nearest":
        rows = (2 * np.arange(height) + 1) * old_height // (2 * height)
        columns = (2 * np.arange(width) + 1) * old_width // (2 * width)
        chosen: Array = array[rows[:, None], columns]
        return chosen
    import torch

    # torch's kernel for bytes misreads memory where a side is a single pixel (2.13); its kernel for floats does not
    values = array if array.dtype == np.uint8 and min(height, width, old_height, old_width) > 1 else array.astype(_working(array.dtype))
    # torch.tensor copies: an array decoded by Pillow may be read-only, and a view of it would be writable.
    pixels = torch.tensor(values).permute(2, 0, 1)[None]
    resized = bicubic(pixels, height, width)[0].permute(1, 2, 0).contiguous().numpy()
    if array.dtype.kind == "f":  # the cubic kernel overshoots at edges; no value should appear that the file could not hold
        within: Array = resized.clip(values.min(), values.max()).astype(array.dtype)
        return within
    return _as_dtype(resized, array.dtype)


def bicubic(images: Tensor, height: int, width: int) -> Tensor:
    """``[N, C, H, W]`` at another size by the antialiased cubic kernel with a = -0.5, uint8 or float; floats may overshoot at edges."""
    if width == 1 < height:  # the CPU kernel of torch repeats the first value over the whole height of such a result
        return bicubic(images.mT, width, height).mT
    from torch.nn import functional as F

    return F.interpolate(images, (height, width), mode="bicubic", antialias=True)


def sample(array: Array, rows: NDArray[np.float64], columns: NDArray[np.float64], rule: Literal["bicubic", "nearest"]) -> Array:
    """The image at places between its pixels, in the same dtype; beyond its borders it is mirrored.

    Args:
        array: ``[H, W, C]``.
        rows: ``[h, w]``, where the result's pixels lie; the middle of the first pixel is 0.
        columns: the same.
        rule: ``bicubic`` stays within the values of the part that it reads; ``nearest`` takes the pixel that a place lies in.

    Returns:
        ``[h, w, C]``.
    """
    rows, columns = (_folded(places, side) for places, side in zip((rows, columns), array.shape))
    if rule == "nearest":
        chosen: Array = array[_pixel_at(rows, array.shape[0]), _pixel_at(columns, array.shape[1])]
        return chosen
    import torch
    from torch.nn import functional as F

    # only what is needed of a large image, with what the kernel reads beside it
    ends = [(max(0, int(places.min()) - 2), min(side, int(places.max()) + 4)) for places, side in zip((rows, columns), array.shape)]
    part = array[slice(*ends[0]), slice(*ends[1])]
    values = torch.from_numpy(np.ascontiguousarray(part.transpose(2, 0, 1)).astype(_working(array.dtype)))[None]
    height, width = part.shape[:2]
    grid = np.stack([(2 * (columns - ends[1][0]) + 1) / width - 1, (2 * (rows - ends[0][0]) + 1) / height - 1], axis=2)
    # "reflection" about the outer edges of pixels repeats the border's pixel: the same mirror as above
    found = F.grid_sample(values, torch.from_numpy(grid)[None].to(values.dtype), "bicubic", "reflection", align_corners=False)[0]
    within = found.clamp(values.amin(), values.amax()).permute(1, 2, 0).contiguous().numpy()
    return _as_dtype(within, array.dtype)


def sample_mask(mask: Array, rows: NDArray[np.float64], columns: NDArray[np.float64]) -> Array:
    """What counts at places of :func:`sample`: 1 where every pixel counts that its cubic kernel reads, two to each side.

    Args:
        mask: ``[H, W, 1]``, 1 counts.
        rows, columns: as there.
    """
    whole = np.pad(mask, ((1, 2), (1, 2), (0, 0)), mode="symmetric")
    height, width = mask.shape[:2]
    down = functools.reduce(np.minimum, [whole[at : at + height] for at in range(4)])
    pure = functools.reduce(np.minimum, [down[:, at : at + width] for at in range(4)])
    rows, columns = (np.floor(_folded(places, side)) for places, side in zip((rows, columns), mask.shape))
    found: Array = pure[_pixel_at(rows, height), _pixel_at(columns, width)]
    return found


def _folded(places: NDArray[np.float64], side: int) -> NDArray[np.float64]:
    """Places on a line of so many pixels, those beyond its ends mirrored at them."""
    along = np.mod(places + 0.5, 2 * side)
    folded: NDArray[np.float64] = np.where(along > side, 2 * side - along, along) - 0.5
    return folded


def _pixel_at(places: NDArray[np.float64], side: int) -> NDArray[np.intp]:
    return np.clip(np.floor(places + 0.5), 0, side - 1).astype(np.intp)


def convert_channels(array: Array, channels: int) -> Array:
    """Grey to colour (three equal channels) or colour to grey (ITU-R BT.601 luma, rounded); the input itself if it fits.

    Raises:
        UserError: any other change of the number of channels.
    """
    have = array.shape[2]
    if have == channels:
        return array
    if (have, channels) == (1, 3):
        return np.repeat(array, 3, axis=2)
    if (have, channels) == (3, 1):
        if array.dtype.kind == "f":
            kind = _working(array.dtype)
            grey = array.astype(kind, copy=False) @ np.array(LUMA, kind)
            # The weights add up to one only nearly; white must not leave [0, 1].
            within: Array = grey.clip(array.min(axis=2), array.max(axis=2)).astype(array.dtype, copy=False)
            return within[..., None]
        wide = np.uint32 if array.dtype.name in ("uint8", "uint16") else np.int64
        luma: Array = (array.astype(wide) @ np.array([299, 587, 114], wide) + 500) // 1000
        return luma.astype(array.dtype)[..., None]
    if array.shape[0] in (1, 3, 4, channels) and min(array.shape[1:]) >= 16:
        raise UserError(
            f"an array of shape {array.shape} seems to be in [C, H, W] order: images are [H, W, C], so bring the channels last "
            "(numpy: array.transpose(1, 2, 0))"
        )
    raise UserError(
        f"an image of {counted(have, 'channel')} cannot be turned into {channels}: only grey (1) and colour (3) convert into each other, "
        f"so prepare files of {channels}"
    )


def match_channels(images: Tensor, channels: int) -> Tensor | None:
    """Tensors ``[..., C, H, W]`` in so many channels, grey and colour converted as files are; None for any other change."""
    have = images.shape[-3]
    if have == channels:
        return images
    if {have, channels} != {1, 3}:
        return None
    import torch

    grey = torch.einsum("c,...chw->...hw", images.new_tensor(LUMA), images)[..., None, :, :] if have == 3 else images
    return grey.expand(*grey.shape[:-3], channels, -1, -1)


def upright(pixels: Array, orientation: object) -> Array:
    """Undo the EXIF orientation (EXIF 2.3, tag 0x0112): 5 to 8 exchange rows and columns, then both kinds may be mirrored."""
    if orientation not in range(2, 9):
        return pixels
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)


def _working(dtype: np.dtype[Any]) -> type[np.float32 | np.float64]:
    """The type of arithmetic on values of this one."""
    return np.float64 if dtype.name in DOUBLE else np.float32


def _as_dtype(values: Array, dtype: np.dtype[np.generic]) -> Array:
    if values.dtype == dtype:
        return values
    is_integer = dtype.kind in "iu"
    low, high = NATURAL_RANGE[dtype.name] if is_integer else (-float(np.finfo(dtype.name).max), float(np.finfo(dtype.name).max))
    converted: Array = (np.rint(values) if is_integer else values).clip(low, high).astype(dtype)
    return converted
