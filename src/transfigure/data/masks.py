"""What counts: masks that a person gives, and pixels that a file declares to hold nothing.

A mask is bool ``[H, W]``: True counts. What does not count reaches neither a loss nor the discriminator nor a score.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..errors import UserError
from . import images
from .file_facts import FileFacts
from .pairs import FilePicture, Picture, Record, cut
from .pixels import Array, bicubic, resize
from .transforms import Geometry, Rule
from .value_range import Range, limits

Mask: TypeAlias = NDArray[np.bool_]
"""``[H, W]``, True counts."""


def read_mask(picture: FilePicture) -> Mask:
    """A file, a page or a region of it, as a mask: what is not 0, in any channel, counts; of several files, what counts in all of them.

    Raises:
        UserError: one cannot be read, was compressed in a way that changes values, or has another size than the first.
    """
    found: Mask | None = None
    for path in picture.paths:
        array, facts = images.examine(path, "refuse", picture.orientation, pages=picture.pages)
        if facts.lossy:
            raise UserError(
                f"{path} is a {facts.lossy} file, whose zeros are no zeros any more: a mask must be lossless, so save it as PNG"
            )
        mask: Mask = (array != 0).any(axis=2)
        if found is not None:
            check_size(mask, path, found.shape, picture.label)
        found = both(found, mask)
    assert found is not None
    return found if picture.region is None else cut(found, picture.region, picture.label)


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
    """Where a picture holds data; None if it does everywhere.

    A pixel must hold data in every channel. Of unsigned integers in any: there the value (0, 255) is one that data have, too, so that pure
    red is no hole where 0 means no data.

    Args:
        array: ``[H, W, C]``.
        no_data: the value that means "nothing here"; may be NaN.
    """
    if no_data is None:
        return None
    empty = is_no_data(array, no_data)
    data: Mask = np.logical_not(empty.all(axis=2) if array.dtype.kind == "u" else empty.any(axis=2))
    return None if data.all() else data


def is_no_data(array: NDArray[Any], no_data: float) -> NDArray[np.bool_]:
    """Which values are the one that means "nothing here"."""
    found: NDArray[np.bool_] = np.isnan(array) if math.isnan(no_data) else array == no_data
    return found


def in_model(no_data: float | None) -> float | Literal["nan"] | None:
    """The value as a model's file has it."""
    return "nan" if no_data is not None and math.isnan(no_data) else no_data


def no_data_for(dtype: str, *wanted: float | Literal["nan"] | None) -> float:
    """The value that means "nothing here" in files of a type: the first of those wanted that they can hold, else NaN, or 0 of integers."""
    for value in wanted:
        if value is not None and holds(dtype, float(value)):
            return float(value)
    return math.nan if dtype.startswith("float") else 0.0


def holds(dtype: str, value: float) -> bool:
    """Whether files of a type can hold a value as it is."""
    if dtype.startswith("float"):
        return math.isnan(value) or abs(value) <= float(np.finfo(dtype).max)
    return value.is_integer() and np.iinfo(dtype).min <= value <= np.iinfo(dtype).max


def with_no_data(array: Array, data: Mask | None, value: float) -> tuple[Array, int]:
    """A picture in which a value means "nothing here", and only that.

    Args:
        array: ``[H, W, C]``.
        data: where it holds data; None is everywhere.
        value: what it holds elsewhere. Data that have this value get the nearest other one.

    Returns:
        The picture, and how many values were moved so.
    """
    mistaken = is_no_data(array, value)
    if data is not None:
        mistaken &= data[..., None]
    if moved := int(mistaken.sum()):
        if array.dtype.kind == "f":
            other = np.nextafter(array.dtype.type(value), array.dtype.type(0 if value else 1))
        else:
            other = array.dtype.type(value + (1 if value < np.iinfo(array.dtype).max else -1))
        array = np.where(mistaken, other, array)
    return (array if data is None else filled(array, data, value)), moved


def filled(array: Array, mask: Mask, value: float | Array) -> Array:
    """The picture with a value where the mask is False.

    Args:
        array: ``[H, W, C]``.
        mask: where it stays as it is.
        value: of the picture's type; one, or one for each channel.
    """
    return np.where(mask[..., None], array, np.asarray(value, array.dtype))


def black(array: Array, given: Range | Array | None) -> float | Array:
    """What stands where a picture holds no data.

    Args:
        array: ``[H, W, C]``.
        given: the range that it is read with, whose low end is black, in its own type (None: that of its type); or of label maps a class.
    """
    if isinstance(given, np.ndarray):
        return given
    low = limits(array.dtype, given)[0]
    if array.dtype.kind == "f":
        return low
    kind = np.iinfo(array.dtype)
    return min(max(round(low), kind.min), kind.max)


def without_no_data(array: Array, no_data: float | None, given: Range | Array | None = None) -> tuple[Array, Mask | None]:
    """A picture with black where nothing is, and where data is; None if that is everywhere. As :func:`black` and :func:`data_of`."""
    data = data_of(array, no_data)
    return (array, None) if data is None else (filled(array, data, black(array, given)), data)


def both(one: Mask | None, other: Mask | None) -> Mask | None:
    """What counts in both; None is a mask of which all counts."""
    return other if one is None else one if other is None else one & other


def resized(mask: Mask, height: int, width: int, rule: Rule = "nearest") -> Mask:
    """The mask at another size.

    Args:
        mask: ``[H, W]``.
        height, width: pixels.
        rule: ``nearest`` takes the pixel under each new pixel's centre; ``bicubic`` lets a pixel count only if nothing that does not has a
            part in it when a picture is resized so.
    """
    if mask.shape == (height, width):
        return mask
    if rule == "nearest":
        found: Mask = resize(mask[..., None].view(np.uint8), height, width, "nearest")[..., 0] != 0
        return found
    import torch

    empty = bicubic(torch.from_numpy(~mask).float()[None, None], height, width)[0, 0]
    pure: Mask = (empty.abs() < _NO_PART).numpy()
    return pure


_NO_PART = 1e-4
"""Of a resized pixel, that rounding may leave of one without a part in it."""


@dataclass(frozen=True, eq=False)
class Counts:
    """What counts in a pair as its files hold it; None where everything does.

    Attributes:
        source: where the source holds data.
        target: where the target does.
        given: what a mask says, of the size of one of the two.
    """

    source: Mask | None = None
    target: Mask | None = None
    given: Mask | None = None

    @property
    def is_nothing(self) -> bool:
        """Whether one of them alone says already that nothing counts."""
        return any(one is not None and not one.any() for one in (self.source, self.target, self.given))

    def prepared(self, geometry: Geometry, source: tuple[int, ...], target: tuple[int, ...]) -> Array | None:
        """The mask of the prepared pair, uint8 ``[H, W, 1]``, 1 counts; None if everything does, or where they are no pair.

        What was padded does not count.

        Args:
            geometry: how the pair was prepared.
            source, target: shapes of its pictures before that, height and width first.
        """
        if not geometry.paired:
            return None
        places = geometry.framings(source, target)
        found = both(places[0].holds(), places[1].holds())
        of_given = places[0] if self.given is None or self.given.shape == source[:2] else places[1]
        rules: tuple[Rule, Rule, Rule] = (geometry.source_rule, geometry.target_rule, "nearest")
        for mask, place, rule in zip((self.source, self.target, self.given), (*places, of_given), rules):
            if mask is not None:
                found = both(found, place.framed(resized(mask, place.height, place.width, rule)))
        return None if found is None else found[..., None].astype(np.uint8)


def _black(picture: Picture, array: Array, no_data: float | None, given: Range | None) -> Range | Array | None:
    """What :func:`without_no_data` is given for one side of a pair."""
    if no_data is None or not isinstance(picture, FilePicture) or picture.palette != "index":
        return given
    return of_class(array, data_of(array, no_data))


def of_class(array: Array, data: Mask | None) -> Array | None:
    """For label maps, which have no black: the number or the colour of a pixel that holds data, ``[C]``; None if none does."""
    return None if data is None or not data.any() else array[data][0]


def read_counts(
    record: Record, arrays: tuple[Array, Array], facts: tuple[FileFacts, FileFacts], ranges: tuple[Range | None, Range | None]
) -> tuple[tuple[Array, Array], Counts | None]:
    """The pictures of a pair with black where nothing is, and what counts in them; None if everything does.

    Args:
        record: the pair, its source first.
        arrays: both pictures, as decoded.
        facts: what their files say.
        ranges: of sources and of targets.

    Raises:
        UserError: its mask cannot be read, or has another size.
    """
    (source, has_source), (target, has_target) = (
        without_no_data(array, of_one.no_data, _black(picture, array, of_one.no_data, given))
        for picture, array, of_one, given in zip((record.a, record.b), arrays, facts, ranges)
    )
    given = None
    if record.mask is not None:
        given = read_mask(record.mask)
        if given.shape != source.shape[:2]:
            check_size(given, record.mask.label, target.shape, record.b.label)
    if has_source is None and has_target is None and given is None:
        return (source, target), None
    return (source, target), Counts(has_source, has_target, given)
