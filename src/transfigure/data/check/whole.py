"""Everything that is wrong with a data set, each thing with the pictures that it is about: ``transfigure data check``.

What training refuses or remarks on is found by :mod:`.findings`, in its words. Beside it stands what a training does not look for.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ...errors import UserError
from ...memory import without_collecting
from ...progress import Progress
from ...recipe.sections import Data
from ...wording import counted
from ..encodings.by_name import SIDES, classes_of, kind_of_side
from ..encodings.class_search import with_classes
from ..open import find_records, geometry_of, place_of, ranges_of, resolve_data
from ..pairing import NoPartnerNote, listed
from ..pairs import SPLITS, FilePicture, Picture, Record, describe, directed, region_of
from ..value_range import number
from .findings import PairFacts, PictureFacts, Use, findings
from .likeness import alike, correlation, groups
from .measures import WORTH_A_LOOK, KnownColours, MeasuredPair, PartToMeasure, PictureMeasures
from .processes import PartToCheck, check_pairs, cores
from .registration import Shift, common_shift

PARTS = {"train": "training", "val": "validation", "test": "test"}
"""What each split is called in a sentence."""


@dataclass(frozen=True)
class ProblemItem:
    """A pair, or a file without one, that something is wrong with.

    Attributes:
        split: where it is; empty where that is not known.
        name: of the pair or the file.
        files: what it is read from.
        detail: what is wrong with this one; empty where the problem's sentence says it all.
        numbers: what was measured.
        pictures: to show, with what each is called.
    """

    split: str
    name: str
    files: tuple[str, ...]
    detail: str = ""
    numbers: dict[str, float] = field(default_factory=dict)
    pictures: tuple[tuple[str, Picture], ...] = ()


@dataclass(frozen=True)
class DataProblem:
    """One thing that is wrong.

    Attributes:
        kind: a word for it, one of :data:`KINDS`.
        sentence: what is wrong and what comes of it.
        items: all that it is about; none where it is about the data as a whole.
    """

    kind: str
    sentence: str
    items: tuple[ProblemItem, ...] = ()


KINDS = {
    "unpaired": "Files without a partner",
    "unreadable": "Files that cannot be read",
    "unusable": "Pairs that a training refuses",
    "misaligned": "Pairs whose target is shifted",
    "leaks": "The same pixels in two splits",
    "near_leaks": "Nearly the same pictures in two splits",
    "duplicates": "The same pixels twice",
    "near_duplicates": "Nearly the same pictures twice",
    "constant": "Pictures of one single value",
    "palette": "Colours outside the palette",
    "mixed_types": "Pictures of another depth or kind than most",
    "mixed_sizes": "Pictures of another size than most",
    "clipping": "Values cut off at the top",
    "remark": "What a training remarks on",
}
"""The kinds of problems and their headings, in the order of a page."""
_ALIKE_TOO = 0.9
"""Correlation of the other side of two pairs of which one side shows the same."""
SHIFTED = 1.0
"""Pixels; a smaller shift of one pair is not said."""


@dataclass(frozen=True)
class SideInNumbers:
    """What the pictures of one side of one split hold.

    Attributes:
        split: which.
        side: ``source`` or ``target``.
        kinds: type and channels in words, such as ``8-bit RGB``, and how many are of it, most first.
        sizes: ``256x256`` and how many, most first.
        low, high: the smallest and the largest value; NaN where none could be read.
        at_top: mean share of values that equal the picture's own largest one.
        at_bottom: and its smallest one.
    """

    split: str
    side: str
    kinds: tuple[tuple[str, int], ...]
    sizes: tuple[tuple[str, int], ...]
    low: float
    high: float
    at_top: float
    at_bottom: float


@dataclass(frozen=True)
class CheckedData:
    """What was found in a data set.

    Attributes:
        place: its path.
        kind: how it is laid out, as ``data.kind`` names it.
        paired: whether it holds pairs.
        counts: pairs by split.
        problems: what is wrong, in the order of :data:`KINDS`.
        notes: how the pairs were found and divided, where nothing is wrong with that.
        sides: what each side of each split holds.
        shift: the shift that all pairs share; None where they do not tell.
        ignored: kinds that were not to be said.
        section: the data section, resolved.
        palettes: of sources and of targets, what label maps may hold; None where they are none.
    """

    place: str
    kind: str
    paired: bool
    counts: dict[str, int]
    problems: list[DataProblem]
    notes: list[str]
    sides: list[SideInNumbers]
    shift: Shift | None
    ignored: tuple[str, ...]
    section: Data
    palettes: tuple[KnownColours | None, KnownColours | None] = (None, None)

    def as_json(self) -> dict[str, Any]:
        """Plain values, for machines."""
        return {
            "data": self.place,
            "kind": self.kind,
            "paired": self.paired,
            "counts": self.counts,
            "problems": [
                {
                    "kind": problem.kind,
                    "sentence": problem.sentence,
                    "items": [
                        {"split": item.split, "name": item.name, "files": list(item.files), "detail": item.detail, **item.numbers}
                        for item in problem.items
                    ],
                }
                for problem in self.problems
            ],
            "ignored": list(self.ignored),
            "common_shift": None if self.shift is None else {"right": self.shift.right, "down": self.shift.down},
            "sides": [
                {
                    "split": one.split,
                    "side": one.side,
                    "kinds": dict(one.kinds),
                    "sizes": dict(one.sizes),
                    "low": one.low if one.low <= one.high else None,
                    "high": one.high if one.low <= one.high else None,
                    "at_top": round(one.at_top, 6),
                    "at_bottom": round(one.at_bottom, 6),
                }
                for one in self.sides
            ],
            "notes": self.notes,
        }

    def summary(self) -> Iterator[str]:
        """What a person should know, line by line."""
        amounts = ", ".join(f"{count:,} {split}" for split, count in self.counts.items())
        yield f"{self.place}: {counted(sum(self.counts.values()), 'pair' if self.paired else 'record')} ({amounts}), {self.kind}"
        for problem in self.problems:
            yield f"{problem.kind}: {problem.sentence}"
        if not self.problems:
            yield "nothing is wrong with it" + (f" (not looked at: {', '.join(self.ignored)})" if self.ignored else "")


@dataclass(frozen=True)
class CheckOptions:
    """How a data set is checked.

    Attributes:
        sizes_given: the load and crop sizes of the section are meant, so that pictures which do not fit them are a problem.
        palette: the colours that the label maps may hold, on whichever side they are; None asks the section's label encodings.
        ignored: kinds of problems, of :data:`KINDS`, that are not to be said.
        quiet: no progress.
    """

    sizes_given: bool = False
    palette: KnownColours | None = None
    ignored: tuple[str, ...] = ()
    quiet: bool = False


def check_data(section: Data, options: CheckOptions = CheckOptions()) -> CheckedData:
    """Read every pair of a data set, and say all that is wrong.

    Args:
        section: the recipe's data section.
        options: how.

    Raises:
        UserError: there are no pairs to be found there.
    """
    section = resolve_data(section).replaced(on_error="skip", limit=None)
    opened = find_records(section)
    geometry = geometry_of(section, opened.paired)
    if not options.sizes_given:
        geometry = replace(geometry, load_size=None, crop_size=1)
    problems: list[DataProblem] = []
    notes: list[str] = []
    for note in opened.notes:
        if isinstance(note, NoPartnerNote):
            problems.append(DataProblem("unpaired", note, tuple(_lonely(note, name) for name in note.names)))
        else:
            notes.append(note)
    records = {name: directed(opened.splits[name], section.direction) for name in SPLITS if opened.splits[name]}
    palettes = _palettes(section, records, options, problems)
    ranges = ranges_of(section)
    parts: dict[str, PartToCheck] = {
        name: PartToMeasure(part, geometry, section.alpha, ranges, palettes=palettes, paired=geometry.paired)
        for name, part in records.items()
    }
    keys = [(name, index) for name, part in records.items() for index in range(len(part))]
    facts: dict[str, list[PairFacts]] = {name: [PairFacts()] * len(part) for name, part in records.items()}
    with Progress(len(keys), "check data", "pair", quiet=options.quiet) as progress, without_collecting():
        for (name, index), one in check_pairs(parts, keys, cores()):
            facts[name][index] = one
            progress.advance()
    whole = _Whole(
        [_SeenPair(name, record, one) for name, part in records.items() for record, one in zip(part, facts[name])], geometry.paired
    )
    for name, part in records.items():
        found = findings(part, facts[name], geometry, use=Use(ranges, PARTS[name]))  # type: ignore[arg-type]
        for index, reasons in found.reasons.items():
            whole.refuse("unreadable" if facts[name][index].unread else "unusable", (name, part[index].name), "; ".join(reasons))
        alone = {*found.of_single_pictures}
        problems += [DataProblem("remark", f"{name}: {warning}") for warning in found.warnings if warning not in alone]
    shift = whole.common() if geometry.paired else None
    problems += whole.problems(shift, options.palette is not None)
    order = list(KINDS)
    problems = sorted((one for one in problems if one.kind not in options.ignored), key=lambda one: order.index(one.kind))
    counts = {name: len(part) for name, part in records.items()}
    sides = whole.sides(list(records))
    return CheckedData(
        place_of(section), section.kind, opened.paired, counts, problems, notes, sides, shift, tuple(options.ignored), section, palettes
    )


def _lonely(note: NoPartnerNote, name: str) -> ProblemItem:
    file = f"{note.side}/{name}"
    return ProblemItem("", name, (file,), pictures=((name, FilePicture((file,))),))


def _palettes(
    section: Data, records: dict[str, list[Record]], options: CheckOptions, problems: list[DataProblem]
) -> tuple[KnownColours | None, KnownColours | None]:
    """What the label maps of each side may hold."""
    if options.palette is not None:
        return options.palette, options.palette
    if not any(kind_of_side(section, side) == "labels" for side in SIDES):
        return None, None
    try:
        section, _ = with_classes(section, records.get("train") or next(iter(records.values())), options.quiet)
    except UserError as error:
        problems.append(DataProblem("palette", str(error)))
        return None, None
    source, target = (
        KnownColours.of_classes(classes_of(section, side)) if kind_of_side(section, side) == "labels" else None for side in SIDES
    )
    return source, target


@dataclass(frozen=True)
class _SeenPair:
    """A pair, where it is, and what was seen of it."""

    split: str
    record: Record
    facts: PairFacts

    @property
    def pictures(self) -> tuple[Picture, Picture]:
        return self.record.a, self.record.b

    @property
    def measures(self) -> tuple[PictureMeasures, ...]:
        return self.facts.measures if isinstance(self.facts, MeasuredPair) else ()

    @property
    def shift(self) -> Shift | None:
        return self.facts.shift if isinstance(self.facts, MeasuredPair) else None

    def item(self, detail: str = "", **numbers: float) -> ProblemItem:
        """As the item of a problem."""
        return ProblemItem(self.split, self.record.name, _files(self.pictures), detail, numbers, tuple(zip(SIDES, self.pictures)))


def _files(pictures: Iterable[Picture]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(str(path) for picture in pictures for path in picture.paths))


class _Whole:
    """All pairs of all splits, and what is wrong with them together."""

    def __init__(self, seen: Sequence[_SeenPair], paired: bool) -> None:
        self.seen, self.paired = seen, paired
        self._refused: dict[str, dict[tuple[str, str], str]] = {"unreadable": {}, "unusable": {}}
        self._names = {(one.split, one.record.name): one for one in seen}

    def refuse(self, kind: str, name: tuple[str, str], reason: str) -> None:
        """Take in a pair that cannot be used."""
        self._refused[kind][name] = reason

    def common(self) -> Shift | None:
        """The shift that all pairs share."""
        return common_shift([one.shift for one in self.seen if one.shift is not None])

    def problems(self, shift: Shift | None, palette_by_side: bool) -> Iterator[DataProblem]:
        """Each thing that is wrong, in any order."""
        for kind, reasons in self._refused.items():
            if reasons:
                items = [self._names[name].item(reason) for name, reason in reasons.items()]
                verb = "cannot be read" if kind == "unreadable" else "would be refused by a training"
                yield DataProblem(kind, f"{counted(len(items), 'pair')} {verb}: {items[0].detail}", tuple(items))
        yield from self._misaligned(shift)
        yield from self._same()
        yield from self._constant()
        yield from self._foreign_colours(palette_by_side)
        yield from self._unlike_most()
        yield from self._clipped()

    def each_picture(self) -> Iterator[tuple[int, _SeenPair, Picture, PictureFacts, PictureMeasures]]:
        """Every picture that could be read, once: which side, its pair, and what is known of it."""
        known: set[tuple[int, str, str]] = set()
        for one in self.seen:
            if one.facts.pictures is None or not one.measures:
                continue
            for side, picture, facts, measures in zip((0, 1), one.pictures, one.facts.pictures, one.measures):
                key = (side, one.split, picture.label)
                if self.paired or key not in known:  # the smaller domain comes round again
                    known.add(key)
                    yield side, one, picture, facts, measures

    # ---- where they lie ----------------------------------------------------------------------------------------------------

    def _misaligned(self, shift: Shift | None) -> Iterator[DataProblem]:
        moved = [(one, at) for one in self.seen if (at := one.shift) is not None and at.is_clear and at.length >= SHIFTED]
        moved.sort(key=lambda each: -each[1].length)
        together = shift is not None and shift.length >= SHIFTED
        if not moved and not together:
            return
        told = sum(one.shift is not None and one.shift.is_clear for one in self.seen)
        sentences = []
        if moved:
            worst, at = moved[0]
            verb = "is" if len(moved) == 1 else "are"
            sentences.append(
                f"{len(moved):,} of {counted(told, 'pair')} that tell {verb} shifted, most of all {worst.record.name}: {in_words(at)}"
            )
        if together and shift is not None:
            sentences.append(
                f"all pairs together are shifted: {in_words(shift)} (mean agreement of their edges {shift.agreement:.2f} there, "
                f"{shift.unmoved:.2f} as they are)"
            )
        items = [
            one.item(in_words(at), right=round(at.right, 2), down=round(at.down, 2), agreement=round(at.agreement, 3)) for one, at in moved
        ]
        yield DataProblem("misaligned", "; ".join(sentences), tuple(items))

    # ---- what is there twice -------------------------------------------------------------------------------------------------

    def _same(self) -> Iterator[DataProblem]:
        entries = self._entries()
        exact: dict[Any, list[int]] = defaultdict(list)
        for at, (_, _, digest) in enumerate(entries):
            exact[digest].append(at)
        same = sorted(group for group in exact.values() if len(group) > 1)
        yield from self._grouped(entries, same, ("leaks", "duplicates"), "the same pixels as another")
        copies = {at: group[0] for group in same for at in group}
        near = [(copies.get(a, a), copies.get(b, b)) for a, b in self._near(entries)]
        yield from self._grouped(
            entries,
            groups(len(entries), {pair for pair in near if pair[0] != pair[1]}),
            ("near_leaks", "near_duplicates"),
            "nearly the same picture as another (another size, format, quality or exposure)",
        )

    def _entries(self) -> list[tuple[_SeenPair, int | None, Any]]:
        """What is compared: pairs by both their pictures, or pictures of each domain; with a digest of the pixels."""
        if self.paired:
            pairs = [(one, one.facts.pictures) for one in self.seen if one.measures]
            return [(one, None, (both[0].digest, both[1].digest)) for one, both in pairs if both is not None]
        return [(one, side, (side, facts.digest)) for side, one, _, facts, _ in self.each_picture()]

    def _near(self, entries: Sequence[tuple[_SeenPair, int | None, Any]]) -> list[tuple[int, int]]:
        if not self.paired:
            found = []
            for side in (0, 1):
                places = [at for at, entry in enumerate(entries) if entry[1] == side]
                found += [(places[a], places[b]) for a, b in alike([entries[at][0].measures[side].likeness for at in places])]
            return found
        sides = [[entry[0].measures[side].likeness for entry in entries] for side in (0, 1)]
        agreed = []
        for this, other in ((0, 1), (1, 0)):
            for a, b in alike(sides[this]):
                one, two = sides[other][a], sides[other][b]
                # label maps are resized with hard edges, which few hashes survive; two empty ones tell nothing, and the other side decides
                if correlation(one, two) >= _ALIKE_TOO if one is not None and two is not None else one is two:
                    agreed.append((a, b))
        return sorted({*agreed})

    def _grouped(
        self, entries: Sequence[tuple[_SeenPair, int | None, Any]], found: Iterable[list[int]], kinds: tuple[str, str], what: str
    ) -> Iterator[DataProblem]:
        items: tuple[list[ProblemItem], list[ProblemItem]] = ([], [])
        noun = "pair" if self.paired else "picture"
        extra = [0, 0]
        for group in found:
            members = [entries[at][0] for at in group]
            within = len({one.split for one in members}) == 1
            sides = {side for at in group if (side := entries[at][1]) is not None}
            names = [f"{one.split}/{self._called(entries[at])}" for at, one in zip(group, members)]
            splits = "+".join(dict.fromkeys(one.split for one in members))
            shown = [
                (f"{name} of {one.record.name}" if self.paired else called, picture)
                for called, at, one in zip(names, group, members)
                for name, side, picture in zip(SIDES, (0, 1), one.pictures)
                if entries[at][1] in (None, side)
            ]
            items[within].append(
                ProblemItem(
                    splits,
                    " = ".join(names[:2]) if len(names) < 3 else f"{names[0]} = {names[1]} and {len(names) - 2} more",
                    _files(picture for _, picture in shown),
                    f"{SIDES[min(sides)]}s: {', '.join(names)}" if sides else ", ".join(names),
                    {"members": len(names)},
                    tuple(shown[:8]),
                )
            )
            extra[within] += len(group) - 1
        for at, kind in enumerate(kinds):
            if items[at]:
                count = extra[at]
                consequence = ": scores on them will be too good" if not at else ""
                where = "in one split" if at else "in another split"
                yield DataProblem(
                    kind,
                    f"{counted(count, noun)} {'shows' if count == 1 else 'show'} {what} {where}{consequence}, such as {items[at][0].name}",
                    tuple(items[at]),
                )

    @staticmethod
    def _called(entry: tuple[_SeenPair, int | None, Any]) -> str:
        one, side, _ = entry
        return one.record.name if side is None else str(one.pictures[side].label).rpartition("/")[2]

    # ---- what they hold ------------------------------------------------------------------------------------------------------

    def _constant(self) -> Iterator[DataProblem]:
        items = []
        for side, one, _, facts, _ in self.each_picture():
            if facts.values is not None and facts.values.low == facts.values.high:
                items.append(one.item(f"every value of its {SIDES[side]} is {number(facts.values.low)}", value=facts.values.low))
        if items:
            yield DataProblem(
                "constant",
                f"{counted(len(items), 'picture')} {'holds' if len(items) == 1 else 'hold'} one single value, such as {items[0].name}: "
                f"{items[0].detail}",
                tuple(items),
            )

    def _foreign_colours(self, palette_by_side: bool) -> Iterator[DataProblem]:
        of_side: dict[int, list[tuple[_SeenPair, PictureMeasures]]] = defaultdict(list)
        for side, one, _, _, measures in self.each_picture():
            of_side[side].append((one, measures))
        if not of_side:
            return
        if palette_by_side:  # the label maps are where the palette fits best
            best = min(of_side, key=lambda side: sum(one.outside.share if one.outside else 0.0 for _, one in of_side[side]))
            of_side = defaultdict(list, {best: of_side[best]})
        for side, pictures in of_side.items():
            found = [(one, measures.outside) for one, measures in pictures if measures.outside is not None]
            found.sort(key=lambda each: (-each[1].far, -each[1].share))
            if found:
                items = [
                    one.item(
                        f"{_percent(what.share)} of its {SIDES[side]} is outside the palette, {_percent(what.far)} far from all of it; "
                        f"mostly {what.most}",
                        outside=round(what.share, 6),
                        far=round(what.far, 6),
                    )
                    for one, what in found
                ]
                yield DataProblem(
                    "palette",
                    f"{_of_all(len(items), len(pictures), side, ('holds', 'hold'))} colours outside the palette, most of all "
                    f"{items[0].name}: {items[0].detail}",
                    tuple(items),
                )

    def _unlike_most(self) -> Iterator[DataProblem]:
        refused = {name for reasons in self._refused.values() for name in reasons}
        ways: tuple[tuple[str, Callable[[PictureFacts], str]], ...] = (("mixed_types", _kind), ("mixed_sizes", _size))
        for kind, way in ways:
            known: list[tuple[str, str, str]] = []
            for side in (0, 1):
                seen = [(one, way(facts), picture) for at, one, picture, facts, _ in self.each_picture() if at == side]
                found = [(one, what) for one, what, picture in seen if kind == "mixed_types" or region_of(picture) is None]
                number_of = Counter(what for _, what in found)
                if len(number_of) < 2:
                    continue
                usual, most = number_of.most_common(1)[0]
                others = [(one, what) for one, what in found if what != usual and (one.split, one.record.name) not in refused]
                names = [(one.split, one.record.name, what) for one, what in others]
                if others and not (self.paired and names == known):  # what is said of the sources need not be said of the targets again
                    known = names
                    kinds = [f"{what} ({count:,})" for what, count in number_of.most_common()]
                    yield DataProblem(
                        kind,
                        f"{_of_all(len(others), len(found), side, ('is', 'are'))} not {usual}, as {most:,} are: {listed(kinds[1:], 4)}",
                        tuple(one.item(f"its {SIDES[side]} is {what}") for one, what in others),
                    )

    def _clipped(self) -> Iterator[DataProblem]:
        for side in (0, 1):
            pictures = [(one, facts, measures) for at, one, _, facts, measures in self.each_picture() if at == side]
            found = sorted((each for each in pictures if each[2].at_top > WORTH_A_LOOK), key=lambda each: -each[2].at_top)
            if found:
                items = [
                    one.item(
                        f"{_percent(measures.at_top)} of its {SIDES[side]} is at the largest value"
                        + (f", {number(facts.values.high)}" if facts.values is not None else ""),
                        at_top=round(measures.at_top, 6),
                    )
                    for one, facts, measures in found
                ]
                yield DataProblem(
                    "clipping",
                    f"{_of_all(len(found), len(pictures), side, ('has', 'have'))} more than "
                    f"{_percent(WORTH_A_LOOK)} of all values at the largest one: over-exposed, or "
                    f"cut off when they were scaled; most of all {items[0].name}: {items[0].detail}",
                    tuple(items),
                )

    def sides(self, splits: Sequence[str]) -> list[SideInNumbers]:
        """What each side of each split holds."""
        of_side: dict[tuple[str, int], list[tuple[PictureFacts, PictureMeasures]]] = defaultdict(list)
        for side, one, _, facts, measures in self.each_picture():
            of_side[one.split, side].append((facts, measures))
        found = []
        for split in splits:
            for side, name in enumerate(SIDES):
                pictures = of_side[split, side]
                ends = [one.values for one, _ in pictures if one.values is not None and one.values.data]
                found.append(
                    SideInNumbers(
                        split,
                        name,
                        tuple(Counter(_kind(one) for one, _ in pictures).most_common()),
                        tuple(Counter(_size(one) for one, _ in pictures).most_common()),
                        min((one.data_low for one in ends), default=float("nan")),
                        max((one.data_high for one in ends), default=float("nan")),
                        sum(one.at_top for _, one in pictures) / max(1, len(pictures)),
                        sum(one.at_bottom for _, one in pictures) / max(1, len(pictures)),
                    )
                )
        return found


def _kind(facts: PictureFacts) -> str:
    return describe(facts).partition(", ")[2] + (" with a palette" if facts.file.palette else "")


def _size(facts: PictureFacts) -> str:
    return f"{facts.shape[1]}x{facts.shape[0]}"


def _of_all(count: int, total: int, side: int, verbs: tuple[str, str]) -> str:
    """``2 of 40 source pictures hold``."""
    return f"{count:,} of {counted(total, f'{SIDES[side]} picture')} {verbs[count != 1]}"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %" if share >= 0.001 or not share else "less than 0.1 %"


def in_words(shift: Shift) -> str:
    """``3.0 px right, 2.0 px up``: where the target lies on its source."""
    across = f"{abs(shift.right):.1f} px {'right' if shift.right > 0 else 'left'}" if abs(shift.right) >= 0.05 else ""
    along = f"{abs(shift.down):.1f} px {'down' if shift.down > 0 else 'up'}" if abs(shift.down) >= 0.05 else ""
    return ", ".join(part for part in (across, along) if part) or "not at all"
