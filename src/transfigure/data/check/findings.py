"""What is wrong with my data? Every training picture is read once, and all that is wrong is said together."""

from __future__ import annotations

import functools
import hashlib
import os
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeVar

import numpy as np

from ...errors import Missing, UserError
from ...wording import counted, said_once, that_are
from ..file_facts import (
    BLACK,
    NO_FACTS,
    FactsWatch,
    FileFacts,
    describe_orientation,
    describe_pages,
    differ_in_orientation,
)
from ..grey import grey_among_colour
from ..images import Alpha, Header, check_claim, size_of
from ..masks import Counts, read_counts
from ..pairing import listed
from ..pairs import Direction, FilePicture, Picture, Record, Shaped, are_halves, describe, directed, region_of
from ..pixels import Array
from ..regions import Box, overlap
from ..transforms import Geometry
from ..value_range import DEPTHS, FEW, Range, Values, Watch, leaves, measured, suggested_by, train_flag

T = TypeVar("T")
Kind = tuple[str, int]
"""The type and the channels of most pictures of a side."""

SIDES = ("source", "target")
_CLAIM = 4_000_000
"""Pixels beyond which a header is not believed before its file is seen to be long enough."""
SHOWN = 20
ENOUGH = 10
"""A domain with fewer training pictures is memorised."""


@dataclass
class Findings:
    """What a look at every training pair found.

    Attributes:
        errors: one line for each reason a pair cannot be used.
        warnings: one line for each thing that is probably not meant.
        source_channels: channels of the sources; 3 where grey and colour are mixed; 0 if none could be read.
        target_channels: channels of the targets.
        source_dtype: the type of numbers that most sources have, such as ``uint8``; empty if none could be read.
        target_dtype: the same for the targets.
        source_names: what most files of sources call their channels; empty if they name none.
        target_names: the same for the targets.
        count: how many pairs were looked at.
        unusable: how many of them have an error.
        reasons: for every record that cannot be used, by its position, why.
        range_warnings: those of ``warnings`` that are about a side's value range, by side.
        of_single_pictures: those of ``warnings`` that are about pictures of one value, and about pairs that are there twice.
        named: of each of ``errors``, what it calls its files.
        no_data: of sources and of targets, the value that means "nothing here" in most of the files that have one.
    """

    errors: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    source_channels: int = 0
    target_channels: int = 0
    source_dtype: str = ""
    target_dtype: str = ""
    source_names: tuple[str, ...] = ()
    target_names: tuple[str, ...] = ()
    count: int = 0
    unusable: int = 0
    reasons: dict[int, list[str]] = field(default_factory=dict)
    range_warnings: dict[str, list[str]] = field(default_factory=dict)
    of_single_pictures: list[str] = field(default_factory=list)
    named: dict[str, list[str]] = field(default_factory=dict)
    no_data: tuple[float | None, float | None] = (None, None)


@dataclass(frozen=True, slots=True)
class PictureFacts:
    """What is needed of one picture once its pixels are gone.

    Attributes:
        shape: height, width, channels.
        dtype: the type of its numbers.
        file: what its file says of itself.
        values: what was measured of its values; None where its header alone was read.
        digest: of its pixels.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    file: FileFacts
    values: Values | None = None
    digest: bytes = b""

    @property
    def kind(self) -> Kind:
        """Its type and channels."""
        return type_name(self.dtype), self.shape[2]


@dataclass(frozen=True, slots=True)
class PairFacts:
    """What is needed of one pair once its pixels are gone.

    Attributes:
        source: None if either picture cannot be read.
        target: the same.
        unread: why they cannot be read.
        is_empty: whether nothing of it counts, by its mask or for lack of data.
    """

    source: PictureFacts | None = None
    target: PictureFacts | None = None
    unread: tuple[str, ...] = ()
    is_empty: bool = False

    @property
    def pictures(self) -> tuple[PictureFacts, PictureFacts] | None:
        """Source and target, if they could be read."""
        return None if self.source is None or self.target is None else (self.source, self.target)

    @property
    def of_pixels(self) -> bool:
        """Whether more than headers was read, or that failed."""
        return self.pictures is None or self.pictures[0].values is not None


class _Seen(NamedTuple):
    """A picture's facts, with its place among the others."""

    at: int
    picture: Picture
    facts: PictureFacts

    @property
    def label(self) -> str:
        return self.picture.label

    @property
    def size(self) -> tuple[int, ...]:
        return self.facts.shape[:2]

    @property
    def channels(self) -> int:
        return self.facts.shape[2]

    @property
    def file(self) -> FileFacts:
        return self.facts.file


@dataclass(frozen=True)
class Use:
    """What pictures are used for.

    Attributes:
        ranges: the values of sources and of targets that are black and white; None for the full range of their type.
        part: which part of the data they are; too few pictures to train on are no fault of others.
        beyond: the share of values of each side that is meant to lie outside of its range.
    """

    ranges: tuple[Range | None, Range | None] = (None, None)
    part: Literal["training", "validation", "test"] = "training"
    beyond: tuple[float, float] = (0.0, 0.0)


Sink = Callable[[int, Array, Array, Counts | None], object]
"""Takes in a decoded pair: which one it is, its source and target, and what counts in them."""


def inspect(
    records: Sequence[Record],
    geometry: Geometry,
    *,
    direction: Direction = "AtoB",
    alpha: Alpha = "refuse",
    use: Use = Use(),
    held_out: Sequence[Record] = (),
    progress: Callable[[int, int], None] | None = None,
    sink: Sink | None = None,
) -> Findings:
    """Read every training pair and say all that is wrong with them.

    Args:
        records: the training pairs.
        geometry: how they will be resized and cropped: pictures smaller than the crop, or squeezed to a square, are warned about. Where
            it is not ``paired`` (two domains), the pictures of a record need not have one size.
        direction: which side is the source.
        alpha: what to do with transparency, as in :func:`images.read`.
        use: what the pictures are for, and in which range.
        held_out: validation and test pairs; a training file among them is warned about.
        progress: called with the number of pairs done and of all pairs.
        sink: called with the index, source and target of each pair that could be read, and what counts, so that nothing is decoded twice:
            give it the ``put`` of the data set's ``Cache``.
    """
    facts: list[PairFacts] = []
    for index, record in enumerate(directed(records, direction)):
        facts.append(look(record, index, geometry, alpha, use.ranges, sink))
        if progress is not None:
            progress(index + 1, len(records))
    return findings(records, facts, geometry, direction=direction, use=use, held_out=held_out)


def look(
    record: Record,
    index: int,
    geometry: Geometry,
    alpha: Alpha = "refuse",
    ranges: tuple[Range | None, Range | None] = (None, None),
    sink: Sink | None = None,
) -> PairFacts:
    """Read one pair, its source first.

    Args:
        record: the pair, directed.
        index: which one it is.
        geometry: how pairs will be resized and cropped.
        alpha: what to do with transparency.
        ranges: the values of sources and of targets that are black and white.
        sink: as in :func:`inspect`.
    """
    try:
        arrays, files = record.examine(alpha)
    except UserError:
        return PairFacts(unread=tuple(_reasons((record.a, record.b), alpha)))
    source, target = (
        PictureFacts(array.shape, array.dtype, replace(file, entries=b""), measured(array, given, file.no_data), _digest(array))
        for array, file, given in zip(arrays, files, ranges)
    )
    facts = PairFacts(source, target)
    if problems_of(record, (source, target), geometry, ranges):
        return facts
    try:
        filled, counts = read_counts(record, arrays, files, ranges)
    except UserError as error:
        return PairFacts(unread=(str(error),))
    if sink is not None:
        sink(index, *filled, counts)
    return replace(facts, is_empty=True) if counts is not None and counts.is_nothing else facts


def findings(
    records: Sequence[Record],
    facts: Sequence[PairFacts],
    geometry: Geometry,
    *,
    direction: Direction = "AtoB",
    use: Use = Use(),
    held_out: Sequence[Record] = (),
) -> Findings:
    """All that is wrong with pairs, from what was seen of each; see :func:`inspect`.

    Args:
        records: the pairs.
        facts: of each of them.
        geometry: how they will be resized and cropped.
        direction: which side is the source.
        use: what the pictures are for, and in which range.
        held_out: validation and test pairs.
    """
    paired = geometry.paired
    found = Findings(count=len(records))
    bad: dict[int, list[str]] = defaultdict(list)
    seen: tuple[list[_Seen], list[_Seen]] = ([], [])
    contents: dict[tuple[bytes, bytes], list[str]] = defaultdict(list)
    domains: tuple[dict[bytes, list[str]], dict[bytes, list[str]]] = (defaultdict(list), defaultdict(list))
    labels: tuple[set[str], set[str]] = (set(), set())
    watches = tuple(_watch(side, given, geometry, beyond) for side, given, beyond in zip(SIDES, use.ranges, use.beyond))
    files = tuple(FactsWatch(f"{side} pictures") for side in SIDES)
    for watched in files if not paired else ():
        watched.of_no_data = BLACK
    together = PairWatch(geometry)
    for index, (record, one) in enumerate(zip(directed(records, direction), facts)):
        if one.source is None or one.target is None:
            bad[index] += one.unread
            continue
        if paired and one.source.values is None:
            seen[0].append(_Seen(index, record.a, one.source))
            seen[1].append(_Seen(index, record.b, one.target))
            if one.source.shape[:2] != one.target.shape[:2]:
                together.look(record, (one.source, one.target), (NO_FACTS, NO_FACTS))
            continue
        both = one.source, one.target
        bad[index] += problems_of(record, both, geometry, use.ranges)
        together.look(record, both, (both[0].file, both[1].file))
        pictures = record.a, record.b
        for side, known, picture, of_one, watch, file in zip(seen, labels, pictures, both, watches, files):
            if paired or picture.label not in known:  # the smaller domain comes round again
                side.append(_Seen(index, picture, of_one))
                if of_one.values is not None and not _is_label_map(picture):
                    watch.take(type_name(of_one.dtype), of_one.values, of_one.file.bits)
                    file.look(picture.label, of_one.file, of_one.shape[2])
                known.add(picture.label)
        if not one.of_pixels:
            continue
        if paired:
            contents[both[0].digest, both[1].digest].append(record.name)
        else:
            for domain, picture, of_one in zip(domains, pictures, both):
                domain[of_one.digest].append(picture.label)

    found.no_data = _usual_no_data(seen[0]), _usual_no_data(seen[1])
    found.source_dtype, found.source_channels = _agree("source", seen[0], bad, found.warnings)
    found.target_dtype, found.target_channels = _agree("target", seen[1], bad, found.warnings)
    found.source_names, found.target_names = (file.channel_names for file in files)
    _warn_of_shapes(found, seen[0], geometry)
    before = len(found.warnings)
    of_pixels = [one for one in seen[0] if one.facts.values], [one for one in seen[1] if one.facts.values]
    _warn_of_flat_pictures(found, of_pixels)
    found.of_single_pictures += found.warnings[before:]
    for side, watch in zip(SIDES, watches):
        found.range_warnings[side] = watch.notes()
        found.warnings += found.range_warnings[side]
    for side, rule, pictures_seen, file in zip(SIDES, (geometry.source_rule, geometry.target_rule), of_pixels, files):
        found.warnings += file.notes()
        _check_palettes(side, pictures_seen, rule == "bicubic" and geometry.load_size is not None, bad, found.warnings)
    found.warnings += together.notes()
    if empty := [record.name for record, one in zip(records, facts) if one.is_empty]:
        have = "has" if len(empty) == 1 else "have"
        found.warnings.append(
            f"{counted(len(empty), f'{use.part} pair')} {have} nothing that counts, and nothing to teach: {listed(empty)}"
        )
    repeated = [names for names in contents.values() if len(names) > 1]
    if not paired:
        found.warnings += _domain_warnings(records, domains, use.part)
        found.warnings += _sizes_of_domains(seen)
    elif repeated:
        extra = sum(len(names) - 1 for names in repeated)
        found.of_single_pictures.append(
            f"{extra} {use.part} {_pairs(extra)} the same pixels as another, such as {' and '.join(repeated[0][:2])}"
        )
        found.warnings.append(found.of_single_pictures[-1])
    shared = shared_files(records, held_out)
    if shared:
        found.of_single_pictures.append(shared_note(shared, len(held_out)))
        found.warnings.append(found.of_single_pictures[-1])
    bad = {index: bad[index] for index in sorted(bad) if bad[index]}
    found.errors = [line for reasons in bad.values() for line in reasons]
    for index in bad:
        sides = records[index].a, records[index].b
        names = [*(picture.label for picture in sides), *(str(path) for picture in sides for path in picture.paths)]
        found.named |= dict.fromkeys(bad[index], names)
    found.reasons = {index: list(dict.fromkeys(reasons)) for index, reasons in bad.items()}
    found.unusable = len(found.reasons)
    return found


@functools.cache
def type_name(dtype: np.dtype[Any]) -> str:
    """``uint8``: numpy makes the name anew each time, which counts for 200,000 pictures."""
    return dtype.name


def _usual_no_data(seen: Sequence[_Seen]) -> float | None:
    """The no-data value of most of the files that have one."""
    values = Counter(str(one.facts.file.no_data) for one in seen if one.facts.file.no_data is not None)
    return float(values.most_common(1)[0][0]) if values else None


def raise_if_bad(findings: Findings, skipping: bool = False) -> None:
    """Stop if any pair cannot be used.

    Args:
        findings: what was found.
        skipping: whether ``data.on_error skip`` is set already, and would leave nothing over.

    Raises:
        UserError: how many pairs cannot be used, the first reasons, and the way out.
    """
    if not findings.errors:
        return
    errors = said_once((error, findings.named.get(error, ())) for error in findings.errors)
    lines = [f"{findings.unusable:,} of {counted(findings.count, 'pair')} cannot be used:"]
    lines += [f"  {error}" for error in errors[:SHOWN]]
    if len(errors) > SHOWN:
        lines.append(f"  and {len(errors) - SHOWN} more")
    way_out = "repair these files, or move them (with their partners) out of the data set"
    lines.append(way_out if skipping else f"leave them out with --data.on_error skip, or {way_out}")
    raise UserError(*lines)


# ---- one pair -----------------------------------------------------------------------------------------------------------


def _reasons(pictures: Iterable[Picture], alpha: Alpha) -> list[str]:
    """Why each picture of a pair cannot be read; a file that holds both is named once."""
    reasons = []
    for picture in pictures:
        try:
            picture.read(alpha)
        except UserError as error:
            reasons.append(str(error))
    return list(dict.fromkeys(reasons))


def problems_of(
    record: Record, pictures: tuple[PictureFacts, PictureFacts], geometry: Geometry, ranges: tuple[Range | None, Range | None]
) -> list[str]:
    """Why a pair that could be read cannot be used, whatever the others are like."""
    problems = [problem] if (problem := sizes_apart(record, pictures, (pictures[0].file, pictures[1].file), geometry)) else []
    sides = list(zip(SIDES, (record.a, record.b), pictures, ranges))
    problems += [reason for _, picture, facts, _ in sides if (reason := too_small(picture, facts))]
    for side, picture, facts, given in sides:
        if facts.values is None:
            continue
        if reason := leaves(facts.values, type_name(facts.dtype), given, facts.file.no_data):
            flag = train_flag(side)(suggested_by(facts.values, facts.dtype.name))
            problems.append(f"{picture.label} {reason}: give the range, such as {flag}")
    return problems


def too_small(picture: Picture, facts: Shaped) -> str:
    """Why a picture is too small for anything; empty if it is not."""
    return f"{picture.label} is {describe(facts)}: a picture needs at least 2 pixels each way" if min(facts.shape[:2]) < 2 else ""


def sizes_apart(record: Record, pictures: tuple[Shaped, Shaped], facts: tuple[FileFacts, FileFacts], geometry: Geometry) -> str:
    """Why the two pictures of a pair cannot lie on each other: the one rule of every reader of pairs; empty if they can."""
    source, target = pictures
    if not geometry.paired or source.shape[:2] == target.shape[:2] or (geometry.fit != "refuse" and not _oriented_apart(pictures, facts)):
        return ""
    way_out = "--data.fit resize brings the target to it; so do fit, crop and pad, with its proportions"
    reason = _orientations(record, facts) or f": both pictures of a pair must have one size ({way_out})"
    return f"{record.a.label} is {describe(source)} but {record.b.label} is {describe(target)}{reason}"


_BROUGHT = {
    "resize": "resized to its source's size",
    "fit": "scaled with its proportions until it lies inside its source (what is padded does not count)",
    "crop": "scaled with its proportions until it covers its source, and cut",
    "pad": "laid on the middle of its source, cut where it is larger (and where it is smaller, what is padded does not count)",
}
"""What becomes of a target that has another size than its source, by ``data.fit``."""


@dataclass(frozen=True, slots=True)
class PairLook:
    """All that a :class:`PairWatch` remembers of one pair.

    Attributes:
        name: the pair.
        fitted: what is done to its target's size, in words; empty if nothing is.
        apart: the orientation tags of its pictures, in words, if one alone was turned by them; else None.
    """

    name: str
    fitted: str
    apart: tuple[str, str] | None


class PairWatch:
    """Looks at pairs as they are read, each once, and says in the end what is done to make their two pictures lie on each other.

    Args:
        geometry: how they are read.

    Attributes:
        looks: of a watch over a part of the pairs, see :meth:`of_a_part`: what it has seen; else None.
    """

    def __init__(self, geometry: Geometry) -> None:
        self._geometry = geometry
        self._known: set[str] = set()
        self._fitted: list[str] = []
        self._apart: list[tuple[str, str]] = []
        self.looks: list[PairLook] | None = None

    def of_a_part(self) -> PairWatch:
        """One that looks at a part of the pairs, in another process perhaps; what it sees is for :meth:`take_in` here."""
        found = PairWatch(self._geometry)
        found.looks = []
        return found

    def look(self, record: Record, pictures: tuple[Shaped, Shaped], facts: tuple[FileFacts, FileFacts]) -> None:
        """Take in a pair; one that comes again is passed over."""
        if not self._geometry.paired or record.name in self._known:
            return
        source, target = pictures
        fitted, apart = "", None
        if source.shape[:2] != target.shape[:2]:
            if self._geometry.fit != "refuse":
                fitted = f"{record.name} (from {_size(target)} to {_size(source)})"
        elif differ_in_orientation(facts, source.shape):
            a, b = (describe_orientation(each.orientation) for each in facts)
            apart = f"{a} in {record.a.label}", f"{b} in {record.b.label}"
        self.take_in(PairLook(record.name, fitted, apart))

    def take_in(self, one: PairLook) -> None:
        """Take in what another watch has seen of a pair; one that comes again is passed over."""
        if one.name in self._known:
            return
        self._known.add(one.name)
        if self.looks is not None:
            self.looks.append(one)
        if one.fitted:
            self._fitted.append(one.fitted)
        if one.apart is not None:
            self._apart.append(one.apart)

    def notes(self) -> list[str]:
        """One sentence for each thing that is done."""
        notes, count = [], counted(len(self._known), "pair")
        if self._fitted:
            notes.append(
                f"{len(self._fitted)} of {count} are of two sizes: each target is {_BROUGHT[self._geometry.fit]}, {listed(self._fitted)}"
            )
        if self._apart:
            one, two = self._apart[0]
            notes.append(
                f"{len(self._apart)} of {count} have different orientation tags in their two pictures, such as {one} and {two}: both are "
                "turned upright by them, so look whether they lie on each other, and set --data.orientation ignore if not"
            )
        return notes


def by_header(record: Record, geometry: Geometry, alpha: Alpha) -> PairFacts | None:
    """What the headers of a pair say; None where they do not say enough, so that its pixels must be read: damage, sizes that differ.

    Args:
        record: the pair, its source first.
        geometry: how pairs will be resized and cropped.
        alpha: what to do with transparency.
    """
    a, b = record.a, record.b
    if not (isinstance(a, FilePicture) and isinstance(b, FilePicture)):
        return None
    source = _picture_by_header(a, alpha)
    target = source if source is not None and are_halves(a, b) else _picture_by_header(b, alpha)
    if source is None or target is None or min(*source.shape[:2], *target.shape[:2]) < 2:
        return None
    if geometry.paired and source.shape[:2] != target.shape[:2] and geometry.fit == "refuse":
        return None
    return _pair_of(source, target)


@functools.lru_cache(maxsize=1024)
def _pair_of(source: PictureFacts, target: PictureFacts) -> PairFacts:
    """One object for all pairs that are alike by their headers."""
    return PairFacts(source, target)


def facts_by_header(shapes: Sequence[tuple[tuple[int, ...], str]]) -> PairFacts:
    """The facts of a pair of which only the shapes and types of its pictures are known."""
    (one, first), (other, second) = shapes
    return _pair_of(PictureFacts(tuple(one), np.dtype(first), NO_FACTS), PictureFacts(tuple(other), np.dtype(second), NO_FACTS))


def _picture_by_header(picture: FilePicture, alpha: Alpha) -> PictureFacts | None:
    if len(picture.files) != 1 or picture.palette == "index":  # a palette file's header speaks of colours
        return None
    try:
        header = size_of(picture.files[0], picture.orientation, picture.pages)
        if header.width * header.height > _CLAIM:
            check_claim(picture.paths[0])
    except (UserError, Missing):
        return None
    if picture.half and header.width % 2:
        return None
    if isinstance(picture.pages, tuple) and len(picture.pages) > 1 and not any(picture.pages):  # a file of one page, which is repeated
        header = replace(header, channels=header.channels * len(picture.pages))
    if (region := picture.region) is not None:
        if region.bottom > header.height or region.right > header.width // (1 + (picture.half is not None)):
            return None
        return _facts_of(replace(header, height=region.height, width=region.width), False, alpha == "keep")
    return _facts_of(header, picture.half is not None, alpha == "keep")


@functools.lru_cache(maxsize=1024)
def _facts_of(header: Header, half: bool, keeps_alpha: bool) -> PictureFacts:
    """One object for all pictures that are alike by their headers: there may be 200,000."""
    channels = 4 if header.transparent and keeps_alpha else header.channels
    return PictureFacts((header.height, header.width // (1 + half), channels), np.dtype(header.dtype), NO_FACTS)


def amiss_by_headers(records: Sequence[Record], geometry: Geometry) -> list[str]:
    """Names of the pairs that cannot be used by what their headers say: no pixel is decoded, so that others may turn out to be damaged."""
    return [record.name for record in records if _amiss(record, geometry)]


def _amiss(record: Record, geometry: Geometry) -> bool:
    a, b = record.a, record.b
    if not (isinstance(a, FilePicture) and isinstance(b, FilePicture)):
        return False
    try:
        header = size_of(a.files[0], a.orientation, a.pages)
        if are_halves(a, b):  # b is the other half of this file
            return header.width % 2 == 1
        other = size_of(b.files[0], b.orientation, b.pages)
    except (UserError, Missing):
        return True
    return geometry.paired and geometry.fit == "refuse" and (header.width, header.height) != (other.width, other.height)


def _oriented_apart(pictures: tuple[Shaped, Shaped], facts: tuple[FileFacts, FileFacts]) -> bool:
    """Whether two pictures differ in size because one is turned by its orientation tag and the other is not."""
    return facts[0].orientation != facts[1].orientation and pictures[0].shape[:2] == pictures[1].shape[1::-1]


def _orientations(record: Record, facts: tuple[FileFacts, FileFacts]) -> str:
    """The orientation tags of a pair whose two pictures differ in them, and what to do; empty if they are the same."""
    if facts[0].orientation == facts[1].orientation:
        return ""
    tags = [describe_orientation(one.orientation) for one in facts]
    return (
        f"; their orientation tags differ: {tags[0]} in {record.a.label}, {tags[1]} in {record.b.label}: if both lie alike without them, "
        "set --data.orientation ignore, else save both upright"
    )


def _size(array: Shaped) -> str:
    return f"{array.shape[1]}x{array.shape[0]}"


def _watch(side: str, given: Range | None, geometry: Geometry, beyond: float) -> Watch:
    """The watch over the values of a side, which says what it finds in the words of ``train``."""
    rule = geometry.source_rule if side == "source" else geometry.target_rule
    labels = (
        f" (for masks and class indices also --data.{side}_resize nearest, which mixes no two classes, "
        f"or only --data.{side}_encoding labels)"
        if rule == "bicubic"
        else ""
    )
    return Watch(f"{side} pictures", given, train_flag(side), labels=labels, beyond=beyond)


def _digest(array: Array) -> bytes:
    digest = hashlib.blake2b(repr((array.shape, array.dtype.name)).encode(), digest_size=16)
    digest.update(np.ascontiguousarray(array).data)
    return digest.digest()


# ---- all pairs ----------------------------------------------------------------------------------------------------------


def _agree(side: str, seen: Sequence[_Seen], bad: dict[int, list[str]], warnings: list[str]) -> tuple[str, int]:
    """The type and the channels of a side. Those that differ from most are errors, but grey may stand among colour."""
    if not seen:
        return "", 0
    kinds = [one.facts.kind for one in seen]
    dtype = _most(dtype for dtype, _ in kinds)
    channels = _most(channels for _, channels in kinds)
    there = {*kinds}
    if {count for _, count in there} & {1, 3} == {1, 3} and channels in {1, 3}:
        channels = 3
        warnings += grey_among_colour({one.label: one.channels for one in seen}, f"{side} pictures")
    fitting = {kind for kind in there if kind[0] == dtype and kind[1] in ((1, 3) if channels == 3 else (channels,))}
    for one, kind in zip(seen, kinds) if fitting != there else ():
        if kind not in fitting:
            bad[one.at] += _unlike(side, one.label, one.facts, one.file, (dtype, channels))
    return dtype, channels


def _unlike(side: str, label: str, picture: Shaped, file: FileFacts, usual: Kind) -> list[str]:
    """Why a picture does not go with the others of its side."""
    (dtype, channels), reasons = usual, []
    if type_name(picture.dtype) != dtype:
        reasons.append(
            f"{label} is {DEPTHS.get(picture.dtype.name, picture.dtype.name)} but most {side} pictures are {DEPTHS.get(dtype, dtype)}: "
            "their values do not compare, so save all with one depth"
        )
    if picture.shape[2] != channels and (picture.shape[2], channels) != (1, 3):
        pages = f" ({describe_pages(file)} of one file)" if file.pages > 1 else ""
        reasons.append(f"{label} has {counted(picture.shape[2], 'channel')}{pages} but most {side} pictures have {channels}")
    return reasons


def unfit(
    record: Record,
    pictures: tuple[Shaped, Shaped],
    files: tuple[FileFacts, FileFacts],
    usual: tuple[Kind, Kind],
) -> list[str]:
    """Why a pair does not go with the others, from what most of them are like; empty if it does.

    Args:
        record: the pair, its source first.
        pictures: both.
        files: what their files say of themselves.
        usual: of sources and of targets.
    """
    labels = record.a.label, record.b.label
    return [reason for each in zip(SIDES, labels, pictures, files, usual) for reason in _unlike(*each)]


def _most(values: Iterable[T]) -> T:
    return Counter(values).most_common(1)[0][0]


def _warn_of_shapes(found: Findings, sources: Sequence[_Seen], geometry: Geometry) -> None:
    """Say what is done to pictures because of their size, and to how many."""
    crop_size, load_size, fit = geometry.crop_size, geometry.load_size, geometry.fit
    count = counted(len(sources), "pair")
    small = [one.label for one in sources if min(one.size) < crop_size]
    if small and (fit == "pad" or (fit == "fit" and load_size is None)):
        enlarged = "enlarged as far as they lie inside, and padded" if fit == "fit" else "padded"
        found.warnings.append(
            f"{len(small):,} of {count} are smaller than the crop of {crop_size} pixels and will be {enlarged}, which does not count: "
            f"{listed(small)}"
        )
    elif small:
        found.warnings.append(
            f"{len(small):,} of {count} are smaller than the crop of {crop_size} pixels and will be enlarged: {listed(small)}"
        )
    oblong = [one.label for one in sources if one.size[0] != one.size[1]]
    if load_size is None or not oblong:
        return
    size = f"{load_size}x{load_size} pixels"
    if not geometry.keeps_proportions:
        found.warnings.append(
            f"{len(oblong):,} of {count} are not square and will be squeezed to {size}: {listed(oblong)} (--data.load_size null cuts "
            "squares out of them instead; --data.fit fit or crop brings them to that size with their proportions)"
        )
    elif fit != "pad":
        how = (
            f"scaled into {size}, and the rest padded, which does not count" if fit == "fit" else f"scaled until they cover {size}, and cut"
        )
        found.warnings.append(f"{len(oblong):,} of {count} are not square and will be {how}: {listed(oblong)}")


def _domain_warnings(records: Sequence[Record], contents: tuple[dict[bytes, list[str]], dict[bytes, list[str]]], part: str) -> list[str]:
    """What is probably not meant about two domains, one sentence each.

    Args:
        records: the training records.
        contents: of sources and of targets, a digest of the pixels to the names of the pictures that have them.
        part: what they are for.
    """
    warnings = []
    sides = [list(dict.fromkeys(picture.label for picture in pictures)) for pictures in zip(*((record.a, record.b) for record in records))]
    numbers = [len(side) for side in sides]
    shared = contents[0].keys() & contents[1].keys()
    if shared and len(shared) == len(contents[0]) == len(contents[1]):
        warnings.append(
            "both domains are the same pictures: nothing is translated, and what is left is the autoencoder experiment "
            "(does G learn to give back its input without being asked to?)"
        )
    elif shared:
        names = [name for digest in sorted(shared) for name in contents[0][digest][:1]]
        warnings.append(f"{that_are(len(shared), 'picture')} in both domains, such as {listed(names)}: what is in both is right as it is")
    for side, count in zip(SIDES, numbers):
        if count < ENOUGH:
            what = "a single picture" if count == 1 else f"only {count} pictures"
            if part != "training":
                warnings.append(f"the {side} domain has {what}: scores of so few say little")
                continue
            effect = "the generator can only learn that one" if side == "target" and count == 1 else "they will be memorised"
            warnings.append(f"the {side} domain has {what} to train on: {effect}")
    return warnings


def _sizes_of_domains(seen: tuple[Sequence[_Seen], Sequence[_Seen]]) -> list[str]:
    """How the two domains' pictures differ in kind, which is no error: the generator is built for it."""
    warnings = []
    sizes = [Counter(one.size for one in side).most_common(1)[0][0] for side in seen if side]
    if len(sizes) == 2 and sizes[0] != sizes[1]:
        warnings.append(
            f"sources are mostly {sizes[0][1]}x{sizes[0][0]} and targets {sizes[1][1]}x{sizes[1][0]} pixels: both are cut to one crop"
        )
    return warnings


def _is_label_map(picture: Picture) -> bool:
    """Whether a picture's numbers are classes, of which none is too dark."""
    return isinstance(picture, FilePicture) and picture.palette == "index"


def _warn_of_flat_pictures(found: Findings, seen: tuple[Sequence[_Seen], Sequence[_Seen]]) -> None:
    for name, side in zip(SIDES, seen):
        ends = [(one, one.facts.values.low, one.facts.values.high) for one in side if one.facts.values]
        flat = [one for one, low, high in ends if low == high and not _is_label_map(one.picture)]
        if flat:
            black = sum(low == high == 0 for _, low, high in ends)
            also = f" ({black} of them black)" if black else ""
            found.warnings.append(
                f"{len(flat)} of {len(side)} {name} pictures hold one single value{also}: {listed([one.label for one in flat])}"
            )


def _check_palettes(side: str, seen: Sequence[_Seen], bicubic: bool, bad: dict[int, list[str]], warnings: list[str]) -> None:
    """Palette images are often label maps: bicubic resizing mixes their colours, and the same index must be the same colour everywhere."""
    indexed = [one for one in seen if one.file.palette and len(one.file.palette) <= FEW]
    if indexed and bicubic:
        warnings.append(
            f"{len(indexed)} of {len(seen)} {side} pictures are palette images of few colours, such as {indexed[0].label}: bicubic "
            f"resizing invents colours between them; if they are label maps, set --data.{side}_resize nearest, or "
            f"--data.{side}_encoding labels"
        )
    for at, reason in differing_palettes([(one.label, one.file.palette) for one in indexed]).items():
        bad[indexed[at].at].append(reason)


def differing_palettes(pictures: Sequence[tuple[str, tuple[tuple[int, bytes], ...]]]) -> dict[int, str]:
    """Why palette images do not belong together, by their position: an index that is another colour than in most of the others.

    What reads images as colours alone (translating, scoring) need not ask: it sees the colours that a viewer shows.

    Args:
        pictures: what a message calls each, and :attr:`.file_facts.FileFacts.palette`; those of many colours are photographs.
    """
    few = {at: (label, palette) for at, (label, palette) in enumerate(pictures) if palette and len(palette) <= FEW}
    votes: dict[int, Counter[bytes]] = defaultdict(Counter)
    for _, palette in few.values():
        for index, colour in palette:
            votes[index][colour] += 1
    usual = {index: colours.most_common(1)[0][0] for index, colours in votes.items()}
    reasons = {}
    for at, (label, palette) in few.items():
        if (found := next(((index, colour) for index, colour in palette if colour != usual[index]), None)) is not None:
            index, colour = found
            other = next(name for name, theirs in few.values() if (index, usual[index]) in theirs)
            reasons[at] = (
                f"{label} has another palette than {other}: its index {index} is the colour {tuple(colour)}, there "
                f"{tuple(usual[index])}; save all with one palette, or as RGB if the colours are what is meant"
            )
    return reasons


def _pairs(count: int) -> str:
    return "pair has" if count == 1 else "pairs have"


def shared_files(records: Sequence[Record], held_out: Sequence[Record]) -> list[str]:
    """Names of held-out pairs whose files are all, byte for byte, training files.

    Of regions, those that have pixels in common. All of them, because two pairs may well share an empty label map. Only files that have
    the size of another are read.
    """
    if not held_out:
        return []
    mine, theirs = (
        {path: _bytes_in(path) for path in {path for record in some for picture in (record.a, record.b) for path in picture.paths}}
        for some in (records, held_out)
    )
    common = {*mine.values()} & {*theirs.values()} - {0}
    known = {path: _file_digest(path) for path, size in mine.items() if size in common}
    copied = {path: digest for path, size in theirs.items() if size in common and (digest := _file_digest(path)) in {*known.values()}}
    if not copied:
        return []
    trained: dict[bytes, list[Box | None]] = defaultdict(list)
    for picture in (picture for record in records for picture in (record.a, record.b)):
        for path in picture.paths:
            if path in known:
                trained[known[path]].append(region_of(picture))

    def is_trained(picture: Picture) -> bool:
        region = region_of(picture)
        return all(path in copied and any(overlap(region, other) for other in trained[copied[path]]) for path in picture.paths)

    return [record.name for record in held_out if record.a.paths and is_trained(record.a) and is_trained(record.b)]


def shared_note(shared: Sequence[str], held_out: int) -> str:
    """The sentence about held-out pairs that are training pairs too."""
    return (
        f"{len(shared):,} of {counted(held_out, 'validation and test pair')} are also in the training set, so their scores will "
        f"be too good: {listed(shared)}"
    )


def _bytes_in(path: Path) -> int:
    try:
        return os.stat(path).st_size  # noqa: PTH116 - for each of many files
    except OSError:
        return 0


def _file_digest(path: Path) -> bytes:
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "blake2b").digest()
    except OSError:
        return b""
