"""Which numbers of a file are black and white: the one place that decides it, and that says so where it looks wrong.

The range is what was given, else the full range of the file's type; it is never guessed from the pixels, for a guess would change with the
files that happen to be there. What the pixels show is *said*: a range of which little is used, one that clips, floats that leave it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import UserError

Range = tuple[float, float]
"""The values that are black and white: -1 and 1 for the networks."""

NATURAL_RANGE: dict[str, Range] = {
    "uint8": (0.0, 255.0),
    "uint16": (0.0, 65535.0),
    "float32": (0.0, 1.0),
    "int8": (-128.0, 127.0),
    "int16": (-32768.0, 32767.0),
    "uint32": (0.0, 4294967295.0),
    "int32": (-2147483648.0, 2147483647.0),
    "float16": (0.0, 1.0),
    "float64": (0.0, 1.0),
}
"""The types of images, and what a file's numbers mean when nobody says otherwise: black and white."""
LIKE_FLOAT32 = frozenset({"int8", "int16", "uint32", "int32", "float16", "float64"})
"""Types that earlier versions read as float32: a range that is meant for float32 is theirs too."""
DOUBLE = frozenset({"uint32", "int32", "float64"})
"""Types whose values lose digits in 32-bit floats: their arithmetic is in 64 bits."""
TYPES = "integers of 8, 16 or 32 bits, or floats of 16, 32 or 64 bits"
"""All types of images in words."""
TOLERANCE = 1e-6
"""How far a float may leave its range, as a share of it: what arithmetic in 32 bits leaves behind (1.0000001). It is clipped."""
USED = 0.25
"""A range of which less than this is used gives pictures that are almost black, or without contrast."""
CLIPPED = 0.01
"""A larger share of clipped values than this is said."""
FEW = 64
"""Class indices stay below this; so a grey 8-bit picture of such values and 255 alone is a label map whose 255 means "ignore"."""

DEPTHS = {
    "uint8": "8-bit",
    "uint16": "16-bit",
    "float32": "float",
    "int8": "signed 8-bit",
    "int16": "signed 16-bit",
    "uint32": "32-bit",
    "int32": "signed 32-bit",
    "float16": "16-bit float",
    "float64": "64-bit float",
}
"""What each type is called in a sentence."""
_SAMPLES = 4096


def limits(dtype: str | np.dtype[Any], given: Range | None = None) -> Range:
    """The values of a type that are black and white: those given, else its full range.

    Raises:
        UserError: the type is none of images, or the range is empty.
    """
    name = dtype if isinstance(dtype, str) else dtype.name
    if name not in NATURAL_RANGE:
        raise UserError(f"images of dtype {name} are not used here: choose one of {', '.join(sorted(NATURAL_RANGE))}")
    low, high = NATURAL_RANGE[name] if given is None else given
    if not low < high:
        raise UserError(f"the value range ({number(low)}, {number(high)}) is empty: give the lower value first")
    return low, high


def if_of_type(given: Range | None, meant: str, dtype: str) -> Range | None:
    """A range that speaks of files of the type ``meant``, for a file of this type: one of another depth keeps its own full range.

    A range for float32 is also one for the types that were read as float32 when runs and models of earlier versions were made.
    """
    return given if meant == dtype or (meant == "float32" and dtype in LIKE_FLOAT32) else None


def number(value: float) -> str:
    """A value with as many digits as tell it from its neighbours (in 32 bits if it is one of those): ``1.0000001``, ``4095``, ``0.136``."""
    if abs(value) < 2**53 and value == int(value):
        return str(int(value))
    with np.errstate(over="ignore"):
        single = np.float32(value)
    short = np.format_float_positional(single if float(single) == value else np.float64(value), unique=True, trim="-")
    return short if len(short) <= 16 else f"{value:.9g}"


def outside(array: NDArray[Any], given: Range | None = None, no_data: float | None = None) -> str:
    """Why a float image cannot be used without a range: the sentence's middle, ``holds values from ... to ...``; empty if it can.

    Values within :data:`TOLERANCE` of 0 and 1 are inside. Integers never leave their type's range, and a range that was given clips.
    """
    if given is not None or array.dtype.kind != "f" or not array.size:
        return ""
    return leaves(measured(array, no_data=no_data), array.dtype.name, no_data=no_data)


def leaves(values: Values, dtype: str, given: Range | None = None, no_data: float | None = None) -> str:
    """As :func:`outside`, from what was measured of an image of this type."""
    if given is not None or not dtype.startswith("float") or not values.data:
        return ""
    low, high = (values.low, values.high) if no_data is None else (values.data_low, values.data_high)
    if low >= -TOLERANCE and high <= 1 + TOLERANCE:
        return ""
    beside = "" if values.data == values.count or no_data is None else f" beside its no-data value {number(no_data)}"
    return f"holds values from {number(low)} to {number(high)}{beside} where 0 to 1 is expected"


def with_data(array: NDArray[Any], no_data: float | None) -> NDArray[Any]:
    """The values of an image without those that mean "nothing here", which no range has to hold."""
    if no_data is None:
        return array
    measured: NDArray[Any] = array[~np.isnan(array) if math.isnan(no_data) else array != no_data]
    return measured


def train_flag(side: str) -> Callable[[Range], str]:
    """How the range of ``source`` or ``target`` files is given to ``train`` and in a recipe."""
    return lambda limits: f"--data.{side}_range '[{number(limits[0])}, {number(limits[1])}]'"


def folder_flag(limits: Range) -> str:
    """How the range of the files of folders is given to ``evaluate`` and ``statistics``."""
    return f"--value_range {number(limits[0])} {number(limits[1])}"


SCORES = "look dark, so that PSNR, SSIM and L1 come out far too good"
"""What comes of a range that is hardly used, where images are scored."""


def suggested(dtype: str, low: float, high: float, bits: int = 0) -> Range:
    """A range to name in a note: that of the bits that files say to use, a camera's 10, 12 or 14 for deep integers, else the values."""
    if bits and 0 <= low <= high < 2**bits:
        return 0.0, float(2**bits - 1)
    if dtype not in ("uint8", "int8") and "int" in dtype and 0 <= low < USED * high:
        return 0.0, float(2 ** max(1, int(high).bit_length()) - 1)
    return (min(low, 0.0) if low < USED * high else low), high


def suggested_for(array: NDArray[Any], no_data: float | None = None) -> Range:
    """A range to name where one image cannot be used without: see :func:`suggested`; that of its type if nothing in it is data."""
    return suggested_by(measured(array, no_data=no_data), array.dtype.name)


def suggested_by(values: Values, dtype: str) -> Range:
    """As :func:`suggested_for`, from what was measured of an image of this type."""
    if not values.data or (dtype.startswith("float") and values.data_low >= -TOLERANCE and values.data_high <= 1 + TOLERANCE):
        return NATURAL_RANGE[dtype]
    return suggested(dtype, values.data_low, values.data_high)


@dataclass(frozen=True, slots=True)
class Values:
    """What is needed of the values of one picture once its pixels are gone.

    Attributes:
        count: how many there are.
        low: the smallest.
        high: the largest.
        data: how many are left without those that the file declares to mean "nothing here"; the others are about these alone.
        data_low: the smallest.
        data_high: the largest.
        below: how many lie below the range that is given, by more than rounding.
        above: how many lie above it.
        levels: of a grey 8-bit picture that reaches 255, the values seen, if it could be a label map; else one that no label map has.
    """

    count: int
    low: float
    high: float
    data: int
    data_low: float = 0.0
    data_high: float = 0.0
    below: int = 0
    above: int = 0
    levels: tuple[int, ...] = ()


def measured(array: NDArray[Any], given: Range | None = None, no_data: float | None = None) -> Values:
    """Measure a picture.

    Args:
        array: ``[H, W, C]`` in its file's own type.
        given: the range that files of this type are read with, if one is given.
        no_data: the value that its file declares to mean "nothing here".
    """
    if not array.size:
        return Values(0, np.inf, -np.inf, 0)
    if array.dtype == np.float16:  # whose arithmetic ends at 65504
        array = array.astype(np.float32)
    count, low, high = array.size, float(array.min()), float(array.max())
    data, data_low, data_high = count, low, high
    if no_data is not None:
        array = with_data(array, no_data)
        if not (data := array.size):
            return Values(count, np.inf, -np.inf, 0) if math.isnan(no_data) else Values(count, low, high, 0)
        data_low, data_high = float(array.min()), float(array.max())
        if math.isnan(no_data):
            low, high = data_low, data_high
    below = above = 0
    levels: tuple[int, ...] = ()
    if given is not None:
        slack = TOLERANCE * (given[1] - given[0])
        below = int((array < given[0] - slack).sum()) if data_low < given[0] - slack else 0
        above = int((array > given[1] + slack).sum()) if data_high > given[1] + slack else 0
    elif array.dtype == np.uint8 and data_high == 255 and array.ndim == 3 and array.shape[-1] == 1:
        step = max(1, int((array.shape[0] * array.shape[1] / _SAMPLES) ** 0.5))
        seen = np.flatnonzero(np.bincount(array[::step, ::step].ravel(), minlength=256))
        foreign = seen[(seen >= FEW) & (seen < 255)]
        levels = tuple((foreign[:1] if foreign.size else seen).tolist())
    return Values(count, low, high, data, data_low, data_high, below, above, levels)


class MeasuredParts:
    """As :func:`measured`, of a picture that comes in parts, each once.

    Args:
        height, width: of the whole.
        given: the range that files of this type are read with, if one is given.
        no_data: the value that its file declares to mean "nothing here".
    """

    def __init__(self, height: int, width: int, given: Range | None = None, no_data: float | None = None) -> None:
        self._given, self._no_data = given, no_data
        self._step = max(1, int((height * width / _SAMPLES) ** 0.5))
        self._parts: list[Values] = []
        self._present = np.zeros(256, bool)
        self._may_be_labels = given is None and no_data is None

    def add(self, rows: NDArray[Any]) -> None:
        """Take in some rows, ``[n, W, C]``."""
        self._parts.append(measured(rows, self._given, self._no_data))
        self._may_be_labels &= rows.dtype == np.uint8 and rows.ndim == 3 and rows.shape[-1] == 1
        if self._may_be_labels:
            self._present |= np.bincount(rows[:: self._step, :: self._step].ravel(), minlength=256) > 0

    @property
    def values(self) -> Values:
        """Of all parts."""
        some = [part for part in self._parts if part.data]
        count, data = (sum(getattr(part, name) for part in self._parts) for name in ("count", "data"))
        low, high = min((part.low for part in self._parts), default=np.inf), max((part.high for part in self._parts), default=-np.inf)
        if not some:
            return Values(count, low, high, 0)
        ends = min(part.data_low for part in some), max(part.data_high for part in some)
        below, above = (sum(getattr(part, name) for part in some) for name in ("below", "above"))
        levels: tuple[int, ...] = ()
        if self._may_be_labels and ends[1] == 255:
            seen = np.flatnonzero(self._present)
            foreign = seen[(seen >= FEW) & (seen < 255)]
            levels = tuple((foreign[:1] if foreign.size else seen).tolist())
        return Values(count, low, high, data, *ends, below, above, levels)


@dataclass
class _Values:
    """What is remembered of the values of all pictures of one type."""

    low: float = np.inf
    high: float = -np.inf
    images: int = 0
    values: int = 0
    below: int = 0
    above: int = 0
    bits: set[int] = field(default_factory=set)
    present: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(256, bool))


@dataclass(frozen=True)
class Finding:
    """Something that looks wrong with the values of the images of one type.

    Attributes:
        dtype: which type.
        fact: what they are like, a whole sentence without its end.
        effect: what comes of it, which goes after "and will"; empty if the fact says it.
        classes: words for those whose values may be classes of a label map.
        ranged: whether another range is a way out.
    """

    dtype: str
    fact: str
    effect: str = ""
    classes: str = ""
    ranged: bool = True


def beyond_percentiles(percentiles: object) -> float:
    """The share of values that lies outside of a range of percentiles, ``[0.1, 99.9]``; 0 of anything else."""
    if not isinstance(percentiles, list | tuple) or len(percentiles) != 2 or any(type(end) not in (int, float) for end in percentiles):
        return 0.0
    low, high = map(float, percentiles)
    return min(1.0, max(0.0, (low + 100 - high) / 100))


class Watch:
    """Looks at the values of pictures as they pass by, and says in the end whether their range looks wrong.

    Args:
        what: what the pictures are called in a note, such as ``target pictures``.
        given: the range they are read with; None is each type's full range.
        flag: a range as the reader's flag for it, such as ``--value_range 0 4095``; None where there is none to give.
        effect: what comes of a range that is hardly used, after "will".
        labels: words to add where the values may be classes of a label map.
        meant: the type that ``given`` speaks of; files of another type are read with their own full range. Empty: any type.
        beyond: the share of values that is meant to lie outside of ``given``, see :func:`beyond_percentiles`.
    """

    def __init__(
        self,
        what: str,
        given: Range | None = None,
        flag: Callable[[Range], str] | None = None,
        *,
        effect: str = "look dark",
        labels: str = "",
        meant: str = "",
        beyond: float = 0.0,
    ) -> None:
        self.clipped = CLIPPED + 1.5 * beyond
        self.what, self.given, self.flag, self.effect, self.labels, self.meant = what, given, flag, effect, labels, meant
        self._seen: dict[str, _Values] = {}

    def look(self, array: NDArray[Any], no_data: float | None = None, bits: int = 0) -> None:
        """Take in one picture, ``[H, W, C]`` in its file's own type; ``bits`` as in :meth:`take`. No-data values do not count."""
        self.take(array.dtype.name, measured(array, self.given_for(array.dtype.name), no_data), bits)

    def take(self, name: str, values: Values, bits: int = 0) -> None:
        """Take in what was :func:`measured` of a picture of this type, with the range that is given here.

        Args:
            name: the type.
            values: what was measured.
            bits: how many of each value its file says to use; 0 if it says nothing.
        """
        if not values.data:
            return
        seen = self._seen.setdefault(name, _Values())
        seen.bits.add(bits)
        seen.low, seen.high = min(seen.low, values.data_low), max(seen.high, values.data_high)
        seen.images += 1
        if self.given_for(name) is not None:
            seen.values += values.data
            seen.below += values.below
            seen.above += values.above
        elif values.levels:
            seen.present[list(values.levels)] = True

    def notes(self) -> list[str]:
        """What looks wrong, one sentence each."""
        return [
            note
            for name, seen in self._seen.items()
            for note in _together(self.findings(name), self.flag, suggested(name, seen.low, seen.high, self.bits(name)))
        ]

    def bits(self, name: str) -> int:
        """How many bits of each value all files of a type say to use, where they agree; else 0."""
        found = self._seen[name].bits if name in self._seen else set()
        return next(iter(found)) if len(found) == 1 else 0

    def extremes(self) -> dict[str, Range]:
        """The smallest and the largest value of each type that was seen."""
        return {name: (seen.low, seen.high) for name, seen in self._seen.items()}

    def findings(self, name: str) -> list[Finding]:
        """What looks wrong with the images of one type."""
        return list(self._findings(name, self._seen[name])) if name in self._seen else []

    def given_for(self, name: str) -> Range | None:
        """The range that files of a type are read with; None for their full range."""
        return if_of_type(self.given, self.meant or name, name)

    def _findings(self, name: str, seen: _Values) -> Iterable[Finding]:
        given = self.given_for(name)
        low, high = limits(name, given)
        depth, found = DEPTHS[name], f"{number(seen.low)} to {number(seen.high)}"
        if given is not None:
            clipped = (seen.below + seen.above) / max(1, seen.values)
            if clipped > self.clipped:
                parts = [
                    f"{share(count / seen.values)} {colour}" for count, colour in ((seen.below, "black"), (seen.above, "white")) if count
                ]
                yield Finding(
                    name,
                    f"{share(clipped)} of the values of the {depth} {self.what} lie outside of the range {number(low)} to {number(high)} "
                    f"and are clipped ({', '.join(parts)}): they go from {found}",
                    classes=self._classes(name, seen),
                )
                return
        used = min(seen.high, high) - max(seen.low, low)
        if 0 < used < USED * (high - low) or (seen.low == seen.high and 0 < seen.high < USED * high):
            whole = number(high) if given is None and low == 0 else f"the range {number(low)} to {number(high)}"
            dark = seen.low < low + USED * (high - low)
            bits = self.bits(name) if given is None else 0
            said = (
                f" (their files say that {bits} bits are used)" if bits and high == NATURAL_RANGE[name][1] and seen.high < 2**bits else ""
            )
            fact = f"the {depth} {self.what} use only the values {found} of {whole}{said}"
            effect = self.effect if dark else self.effect.replace("look dark", "have little contrast", 1)
            yield Finding(name, fact, effect, self._classes(name, seen))
        elif given is None and name == "uint8" and (top := _labels_beside_255(seen.present)):
            yield Finding(
                name,
                f"the {depth} {self.what} use only the values 0 to {top} and 255, as label maps do, and will {self.effect}"
                f": map the classes to grey levels or colours first{self.labels}",
                ranged=False,
            )

    def _classes(self, name: str, seen: _Values) -> str:
        return self.labels if name == "uint8" and seen.high < FEW else ""


def notes_together(watches: Sequence[Watch], beside: Sequence[Watch] = ()) -> list[str]:
    """What looks wrong with images that are read with one range: one sentence for each type of file, with one range that fits all.

    Args:
        watches: over the images that the range has to fit, with one flag.
        beside: over others that are read with it where they are of the same type.
    """
    ends = [watch.extremes() for watch in watches]
    types = {name for one in ends for name in one}
    notes = []
    for name in DEPTHS:
        of_type = [one[name] for one in ends if name in one]
        low, high = min((low for low, _ in of_type), default=0.0), max((high for _, high in of_type), default=0.0)
        findings = [finding for watch in (*watches, *beside) for finding in watch.findings(name)]
        flag = watches[0].flag if watches else None
        natural = NATURAL_RANGE[name]
        if not any(watch.findings(name) for watch in watches):
            notes += _together(findings, None, natural)
        elif len(types) > 1:
            notes += _together(findings, None, natural, ": save all with one depth, since one range cannot be right for both")
        elif watches[0].given is None and high - low >= USED * (natural[1] - natural[0]):
            notes += _together(findings, None, natural, ", and the others do not: save all with one range")
        else:
            bits = {watch.bits(name) for watch, one in zip(watches, ends) if name in one}
            notes += _together(findings, flag, suggested(name, low, high, bits.pop() if len(bits) == 1 else 0))
    return notes


def _together(findings: Sequence[Finding], flag: Callable[[Range], str] | None, limits: Range, way_out: str = "") -> list[str]:
    """Those that another range would mend in one sentence, with this range; each of the others by itself."""
    notes = [finding.fact for finding in findings if not finding.ranged]
    ranged = [finding for finding in findings if finding.ranged]
    if not ranged:
        return notes
    words = ""
    for finding, after in zip(ranged, [*ranged[1:], None]):
        words += finding.fact
        if after is None or not finding.effect or finding.effect != after.effect:
            words += f"{',' if ' and ' in words and finding.effect else ''} and will {finding.effect}" if finding.effect else ""
            words += "; " if after is not None else ""
        else:
            words += " and "
    if flag is not None:
        way_out = f": give the range that should become black and white, {flag(limits)}"
    return [*notes, words + way_out + next((finding.classes for finding in ranged if finding.classes), "")]


def _labels_beside_255(present: NDArray[np.bool_]) -> int:
    """The largest class index of label maps whose other value is 255; 0 if the pictures are not of that kind."""
    if present[FEW:255].any() or not present[255]:
        return 0
    return int(np.flatnonzero(present[:FEW]).max(initial=0))


def share(part: float) -> str:
    """A share as a person writes it: ``38 %``, ``0.4 %``."""
    percent = 100 * part
    return f"{percent:.0f} %" if percent >= 10 or percent == round(percent) else f"{percent:.1f} %" if percent >= 0.1 else "less than 0.1 %"
