"""What a check of a data set measures of each pair beside what a training asks for, while its pixels are there."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..encodings.label_classes import LabelClass
from ..encodings.label_colours import calm, codes_of, count_colours, eight_bit, flat_colours, nearest_colour
from ..masks import Counts
from ..pairs import Record
from ..pixels import Array
from ..value_range import number
from .findings import PairFacts, look
from .likeness import Likeness, grey, likeness
from .processes import PartToCheck
from .registration import Shift, shift_between

_FAR = 24.0
"""A colour further than this from every colour of a palette, in RGB, is none that JPEG or a soft edge made of one."""
_MANY = 48
"""A picture of fewer values than these is a label map or a drawing: that most of it is white is no clipping."""
_LOOKED_AT = 65_536
WORTH_A_LOOK = 0.05
"""A larger share of values at the largest one is no accident."""
_FEW_COLOURS, _TIGHT = 64, 0.75
"""Flat places of label maps gather around few colours by at least this share, those of photographs do not."""


@dataclass(frozen=True, eq=False)
class KnownColours:
    """The colours or numbers that label maps may hold.

    Attributes:
        colours: uint8 ``[K, 3]``; empty if they are numbers alone.
        numbers: of files of one channel; empty if they are colours alone.
    """

    colours: NDArray[np.uint8]
    numbers: tuple[int, ...] = ()

    @classmethod
    def of_classes(cls, classes: tuple[LabelClass, ...]) -> KnownColours:
        """Those of the classes of a recipe."""
        colours = [one.colour for one in classes if one.colour is not None]
        numbers = tuple(one.index for one in classes if one.index is not None)
        return cls(np.array(colours, np.uint8).reshape(-1, 3), numbers)


@dataclass(frozen=True, slots=True)
class Outside:
    """What of a picture is outside a palette.

    Attributes:
        share: of its pixels.
        far: share of pixels that are not even near any of its colours.
        most: the most frequent of the foreign colours or numbers.
    """

    share: float
    far: float
    most: str


@dataclass(frozen=True, slots=True)
class PictureMeasures:
    """What was measured of one picture.

    Attributes:
        likeness: what it is found again by; None if it shows next to nothing.
        at_top: share of its values that equal its largest one; 0 of a picture of few values, of a label map, and of one on white ground.
        at_bottom: and its smallest one.
        outside: what is outside the palette; None where there is none to compare with, or nothing is outside.
    """

    likeness: Likeness | None
    at_top: float
    at_bottom: float
    outside: Outside | None


@dataclass(frozen=True, slots=True)
class MeasuredPair(PairFacts):
    """A pair's facts, and what was measured of it.

    Attributes:
        measures: of source and target; empty if they could not be read.
        shift: how the target lies on the source, see :func:`.registration.shift_between`.
    """

    measures: tuple[PictureMeasures, ...] = ()
    shift: Shift | None = None


@dataclass
class PartToMeasure(PartToCheck):
    """Pairs to look at and to measure.

    Attributes:
        palettes: of sources and of targets; None where they are no label maps.
        paired: whether source and target should lie on each other.
    """

    palettes: tuple[KnownColours | None, KnownColours | None] = (None, None)
    paired: bool = True

    def look(self, index: int) -> PairFacts:
        """Read and measure one pair."""
        decoded: list[Array] = []

        def keep(index: int, source: Array, target: Array, counts: Counts | None) -> None:
            decoded.extend((source, target))

        record = self.records[index]
        facts = look(record, index, self.geometry, self.alpha, self.ranges, keep)
        if facts.pictures is None:
            return facts
        source, target = decoded or self._again(record)
        measures = tuple(measure(array, palette) for array, palette in zip((source, target), self.palettes))
        shift = shift_between(source, target) if self.paired else None
        return MeasuredPair(facts.source, facts.target, facts.unread, facts.is_empty, measures, shift)

    def _again(self, record: Record) -> tuple[Array, Array]:
        """The pixels of a pair that can be read and not be used."""
        source, target = record.examine(self.alpha)[0]
        return source, target


def measure(array: Array, palette: KnownColours | None = None) -> PictureMeasures:
    """Measure one picture.

    Args:
        array: ``[H, W, C]`` in its file's own type.
        palette: the colours it may hold.
    """
    step = max(1, array.size // _LOOKED_AT)
    top = bottom = 0.0
    if len(np.unique(array.reshape(-1)[::step])) >= _MANY:
        top, bottom = float((array == array.max()).mean()), float((array == array.min()).mean())
        if top > WORTH_A_LOOK and (_on_ground(array) or _is_drawn(array)):
            top = 0.0
    return PictureMeasures(likeness(grey(array)), top, bottom, None if palette is None else outside(array, palette))


def _on_ground(array: Array) -> bool:
    """Whether most of the rim has the largest value: a thing on white ground, as products are photographed."""
    rim = np.concatenate([array[0], array[-1], array[:, 0], array[:, -1]])
    return float((rim == array.max()).mean()) > 0.5


def _is_drawn(array: Array) -> bool:
    """Whether the flat places of an 8-bit picture gather around few colours, as those of a label map do that was saved as a JPEG."""
    if array.dtype != np.uint8 or array.shape[2] not in (1, 3):
        return False
    picture = eight_bit(array)
    flat = picture[calm(picture)]
    return len(flat) > 0 and flat_colours(*count_colours(flat), _FEW_COLOURS)[1] >= _TIGHT


def outside(array: Array, palette: KnownColours) -> Outside | None:
    """What of a picture is outside a palette; None if nothing is.

    Args:
        array: ``[H, W, C]`` in its file's own type. Of one that can be no label map (floats, four channels) everything is outside.
        palette: the colours or numbers that it may hold.
    """
    places = foreign_places(array, palette)
    if not places.any():
        return None
    share = float(places.mean())
    if not _can_be_labels(array) or _by_numbers(array, palette):
        values, counts = np.unique(array[places], return_counts=True)
        return Outside(share, share, number(float(values[counts.argmax()])))
    strange, times = count_colours(eight_bit(array)[places])
    if not len(palette.colours):
        return Outside(share, share, "#" + strange[times.argmax()].tobytes().hex())
    nearest = palette.colours[nearest_colour(strange[None], palette.colours)[0]].astype(np.float64)
    far = np.sqrt(((strange - nearest) ** 2).sum(axis=1)) > _FAR
    return Outside(share, share * float(times[far].sum() / times.sum()), "#" + strange[times.argmax()].tobytes().hex())


def foreign_places(array: Array, palette: KnownColours) -> NDArray[np.bool_]:
    """Where a picture holds what a palette does not, ``[H, W]``."""
    if not _can_be_labels(array):
        return np.ones(array.shape[:2], bool)
    if _by_numbers(array, palette):
        return ~np.isin(array[..., 0], palette.numbers)
    return ~np.isin(codes_of(eight_bit(array)), codes_of(palette.colours))


def _can_be_labels(array: Array) -> bool:
    return array.dtype in (np.uint8, np.uint16) and array.shape[2] in (1, 3)


def _by_numbers(array: Array, palette: KnownColours) -> bool:
    return array.shape[2] == 1 and bool(palette.numbers)
