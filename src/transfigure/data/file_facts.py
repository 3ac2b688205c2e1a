"""What image files say of themselves beside their pixels, and the notes about what is done with it."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, replace
from typing import Any, Literal

from numpy.typing import NDArray

from .value_range import MeasuredParts, Values, Watch, measured, number, share

Orientation = Literal["apply", "ignore"]
NoData = float | Literal["tag", "nan", "none"]
"""What means "nothing here" in a file: the value that it declares, NaN, a number, or no value."""

PageUse = Literal["ask", "channels", "images", "depth"]
"""What the pages of a file are: the channels of one image, images of their own, or the slices of one volume; ``ask`` refuses where
the file does not say it."""


@dataclass(frozen=True)
class FileFacts:
    """What a file says of its image beside the pixels; what a reader must know to tell a person what is done to it.

    Attributes:
        format: ``PNG``, ``JPEG``, ...; empty for a picture that is not on disk.
        stored: the type of the numbers in the file, such as ``int16``.
        orientation: the EXIF/TIFF code that was applied, 1 to 8; 1 where the file's tag is ignored.
        palette: of a palette image, the colours of the indices that its pixels use.
        entries: of a palette image, all that its palette holds, used or not: red, green, blue and opacity of each index from 0 on.
        no_data: the value that means "nothing here": the one that the file declares (tag 42113 of GDAL), or the one that a reader was told;
            None if there is none.
        no_data_share: the share of its values that have it.
        pages: how many pages of the file became the channels.
        lossy: the compression that has lost something of the image, ``JPEG`` or ``lossy WebP``; empty if none has.
        page_axis: what the file says that its pages are, ``Z``, ``T`` or ``C``; empty if it says nothing.
        channel_names: what the file calls its channels (OME, ImageJ); empty if it names none.
        axes: what the dimensions of the file are, in its own order, such as ``CYX`` or ``ZYX``; empty if it does not say.
        bits: how many bits of each value mean something, where the file says that they are fewer than its type has; else 0.
    """

    format: str = ""
    stored: str = ""
    orientation: int = 1
    palette: tuple[tuple[int, bytes], ...] = ()
    no_data: float | None = None
    no_data_share: float = 0.0
    pages: int = 1
    page_axis: str = ""
    lossy: str = ""
    channel_names: tuple[str, ...] = ()
    axes: str = ""
    bits: int = 0
    entries: bytes = b""


NO_FACTS = FileFacts()
BLACK = "there is black in its place"
"""What becomes of no-data where pictures are seen whole."""
AXES_IN_WORDS = {"Z": "z-slices", "T": "time points", "C": "channels", "S": "samples"}
_TURNED = {
    1: "none",
    2: "mirrored",
    3: "turned by 180 degrees",
    4: "mirrored upside down",
    5: "mirrored and turned by 90 degrees",
    6: "turned by 90 degrees clockwise",
    7: "mirrored and turned by 90 degrees",
    8: "turned by 90 degrees counter-clockwise",
}


def describe_orientation(orientation: int) -> str:
    """``6 (turned by 90 degrees clockwise)``; ``none`` without a tag."""
    return f"{orientation} ({_TURNED.get(orientation, 'unknown')})" if orientation != 1 else "none"


def differ_in_orientation(facts: tuple[FileFacts, FileFacts], shape: tuple[int, ...]) -> bool:
    """Whether of two pictures of one size one alone was turned by its tag: nothing but a look can tell whether that is right.

    Args:
        facts: of both.
        shape: of one of them. An oblong one that was turned on its side has got the size of its partner by it, so that it was right.
    """
    tags = {one.orientation for one in facts}
    return len(tags) == 2 and (shape[0] == shape[1] or not tags & {5, 6, 7, 8})


def describe_pages(facts: FileFacts) -> str:
    """``5 pages (z-slices)``."""
    return pages_in_words(facts.pages, facts.page_axis)


def pages_in_words(count: int, axis: str) -> str:
    """``5 pages (z-slices)``.

    Args:
        count: how many there are.
        axis: what a file says that they are, such as ``Z``; empty if it says nothing.
    """
    kinds = " of ".join(AXES_IN_WORDS.get(one, f"axis {one}") for one in reversed(axis))
    return f"{count} pages{f' ({kinds})' if kinds else ''}"


def no_data_in(facts: FileFacts, told: NoData) -> float | None:
    """The value that means "nothing here" in a file, by what its reader is told."""
    if told == "tag":
        return facts.no_data
    return None if told == "none" else math.nan if told == "nan" else float(told)


class FactsWatch:
    """Collects what files say of themselves, and says what is done about it: pages, no-data values, types that are not kept.

    Args:
        what: what the pictures are called in a note.
        expected: what the model that they are for calls their channels; empty if it has no names for them.

    Attributes:
        of_no_data: what becomes of no-data, in a note.
    """

    def __init__(self, what: str, expected: tuple[str, ...] = ()) -> None:
        self.what, self.expected, self.count = what, expected, 0
        self.of_no_data = f"{BLACK}, and it counts in no loss and no score"
        self._named: dict[tuple[str, ...], list[str]] = {}
        self._pages: dict[str, list[str]] = {}
        self._no_data: list[tuple[str, FileFacts]] = []
        self.stored: Counter[str] = Counter()
        self.lossy: Counter[str] = Counter()

    def look(self, label: str, facts: FileFacts, channels: int) -> None:
        """Take in one file."""
        self.count += 1
        if facts.lossy:
            self.lossy[facts.lossy] += 1
        self.stored[facts.stored] += 1
        if len(facts.channel_names) == channels:
            self._named.setdefault(facts.channel_names, []).append(label)
        if facts.pages > 1 and facts.page_axis != "C":
            colours = "red, green and blue of one picture" if channels == 3 else f"the {channels} channels of one picture"
            self._pages.setdefault(f"{describe_pages(facts)}, which become {colours}", []).append(label)
        if facts.no_data is not None and facts.no_data_share > 0:
            self._no_data.append((label, facts))

    @property
    def channel_names(self) -> tuple[str, ...]:
        """What most files call their channels; empty if none names them."""
        return max(self._named, key=lambda names: len(self._named[names]), default=())

    def _notes_of_names(self) -> list[str]:
        usual, notes = self.channel_names, []
        if others := {names: labels for names, labels in self._named.items() if names != usual}:
            count, (names, labels) = sum(map(len, others.values())), next(iter(others.items()))
            notes.append(
                f"{count} of {self.count} {self.what} name their channels otherwise than the rest, such as {labels[0]} ({', '.join(names)} "
                f"in place of {', '.join(usual)}): channels are taken by their order and not by their names"
            )
        if usual and self.expected and usual != self.expected:
            notes.append(
                f"the {self.what} call their channels {', '.join(usual)}, and the model was trained with {', '.join(self.expected)}: "
                "channels are taken by their order and not by their names"
            )
        return notes

    def notes(self) -> list[str]:
        """One sentence for each thing that a person may not expect."""
        notes = self._notes_of_names()
        notes += [
            f"{len(labels)} of {self.count} {self.what} are files of {words}, such as {labels[0]}: with pages images each page is a "
            "picture of its own"
            for words, labels in self._pages.items()
        ]
        if self._no_data:
            label, facts = self._no_data[0]
            assert facts.no_data is not None
            marked = sum(one.no_data_share for _, one in self._no_data) / len(self._no_data)
            value = "NaN" if math.isnan(facts.no_data) else number(facts.no_data)
            notes.append(
                f"{value} means no data in {len(self._no_data)} of {self.count} {self.what}, such as {label} ({share(marked)} of their "
                f"values are that): {self.of_no_data}"
            )
        return notes


@dataclass(frozen=True, slots=True)
class Look:
    """All that a :class:`PictureWatch` remembers of one picture.

    Attributes:
        label: the picture.
        dtype: the type of its numbers.
        values: what was measured of them.
        facts: what its file says of itself, without its palette.
        channels: how many it has.
    """

    label: str
    dtype: str
    values: Values
    facts: FileFacts
    channels: int


class PictureWatch:
    """Looks at pictures as a reader reads them, each once, and says in the end what looks wrong with their values and files.

    Args:
        values: over their value range.
        expected_names: of their channels, see :class:`FactsWatch`.

    Attributes:
        looks: of a watch over a part of the pictures, see :meth:`of_a_part`: what it has seen; else None.
    """

    def __init__(self, values: Watch, expected_names: tuple[str, ...] = ()) -> None:
        self.values, self.files = values, FactsWatch(values.what, expected_names)
        self._known: set[str] = set()
        self.looks: list[Look] | None = None

    def of_a_part(self) -> PictureWatch:
        """One that looks at a part of the pictures, in another process perhaps; what it sees is for :meth:`take_in` here."""
        values = self.values
        found = PictureWatch(Watch(values.what, values.given, meant=values.meant))
        found.looks = []
        return found

    def look(self, label: str, array: NDArray[Any], facts: FileFacts = NO_FACTS) -> None:
        """Take in a picture ``[H, W, C]`` in its file's own type; one that comes again is passed over."""
        if label not in self._known:
            dtype = array.dtype.name
            values = measured(array, self.values.given_for(dtype), facts.no_data)
            self.take_in(Look(label, dtype, values, replace(facts, palette=(), entries=b""), array.shape[2]))

    def take_in(self, one: Look) -> None:
        """Take in what another watch with the same range has seen of a picture; one that comes again is passed over."""
        if one.label not in self._known:
            self._known.add(one.label)
            if self.looks is not None:
                self.looks.append(one)
            self.values.take(one.dtype, one.values, one.facts.bits)
            self.files.look(one.label, one.facts, one.channels)

    def in_parts(self, height: int, width: int, dtype: str, facts: FileFacts) -> MeasuredParts:
        """What takes in the parts of a picture, for :meth:`take`."""
        return MeasuredParts(height, width, self.values.given_for(dtype), facts.no_data)

    def take(self, label: str, dtype: str, parts: MeasuredParts, facts: FileFacts, channels: int) -> None:
        """As :meth:`look`, at a picture that came in parts."""
        if label not in self._known:
            values = parts.values
            empty = 1 - values.data / values.count if facts.no_data is not None and values.count else 0.0
            self.take_in(Look(label, dtype, values, replace(facts, palette=(), entries=b"", no_data_share=empty), channels))

    def notes(self) -> list[str]:
        """What looks wrong, one sentence each."""
        return [*self.values.notes(), *self.files.notes()]


def lossy_against_lossless(generated: FactsWatch, target: FactsWatch) -> list[str]:
    """A remark where the images of one side have been through a format that loses something, and those of the other have not."""
    notes = []
    for one, other, effect in (
        (generated, target, "counts against the generated images, so write them as PNG or TIFF"),
        (target, generated, "is what the generated images are held against, so take the targets' originals if there are any"),
    ):
        lossy, lossless = one.lossy.total(), other.count - other.lossy.total()
        if lossy and lossless:
            kinds = " or ".join(sorted(one.lossy))
            notes.append(
                f"{lossy} of {one.count} {one.what} are {kinds} files, and {lossless} of {other.count} {other.what} are not: what "
                f"{kinds} loses {effect}"
            )
    return notes
