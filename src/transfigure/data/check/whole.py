"""Everything that is wrong with a data set, each thing with the pictures that it is about: ``transfigure data check``.

What training refuses or remarks on is found by :mod:`.findings`, in its words. Beside it stands what a training does not look for.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from ...memory import without_collecting
from ...progress import Progress
from ...recipe.sections import Data
from ...wording import counted
from ..open import find_records, geometry_of, place_of, ranges_of, resolve_data
from ..pairing import NoPartnerNote
from ..pairs import SPLITS, Record, directed
from .findings import PairFacts, Use, findings
from .processes import PartToCheck, check_pairs, cores

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
    """

    split: str
    name: str
    files: tuple[str, ...]
    detail: str = ""
    numbers: dict[str, float] = field(default_factory=dict)


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
    "remark": "What a training remarks on",
}
"""The kinds of problems and their headings, in the order of a page."""


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
    """

    place: str
    kind: str
    paired: bool
    counts: dict[str, int]
    problems: list[DataProblem]
    notes: list[str]

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
            "notes": self.notes,
        }

    def summary(self) -> Iterator[str]:
        """What a person should know, line by line."""
        amounts = ", ".join(f"{count:,} {split}" for split, count in self.counts.items() if count)
        yield f"{self.place}: {counted(sum(self.counts.values()), 'pair' if self.paired else 'record')} ({amounts}), {self.kind}"
        for problem in self.problems:
            yield f"{problem.kind}: {problem.sentence}"
        if not self.problems:
            yield "nothing is wrong with it"


def check_data(section: Data, *, sizes_given: bool = False, quiet: bool = False) -> CheckedData:
    """Read every pair of a data set, and say all that is wrong.

    Args:
        section: the recipe's data section.
        sizes_given: its load and crop sizes are meant, so that pictures which do not fit them are a problem.
        quiet: no progress.

    Raises:
        UserError: there are no pairs to be found there.
    """
    section = resolve_data(section).replaced(on_error="skip", limit=None)
    opened = find_records(section)
    geometry = geometry_of(section, opened.paired)
    if not sizes_given:
        geometry = replace(geometry, load_size=None, crop_size=1)
    ranges = ranges_of(section)
    records = {name: directed(opened.splits[name], section.direction) for name in SPLITS if opened.splits[name]}
    parts = {name: PartToCheck(part, geometry, section.alpha, ranges) for name, part in records.items()}
    keys = [(name, index) for name, part in records.items() for index in range(len(part))]
    facts: dict[str, list[PairFacts]] = {name: [PairFacts()] * len(part) for name, part in records.items()}
    with Progress(len(keys), "read data", "pair", quiet=quiet) as progress, without_collecting():
        for (name, index), one in check_pairs(parts, keys, cores()):
            facts[name][index] = one
            progress.advance()
    problems: list[DataProblem] = []
    notes: list[str] = []
    for note in opened.notes:
        if isinstance(note, NoPartnerNote):
            problems.append(DataProblem("unpaired", note, tuple(ProblemItem("", name, (f"{note.side}/{name}",)) for name in note.names)))
        else:
            notes.append(note)
    items: dict[str, list[ProblemItem]] = defaultdict(list)
    for name, part in records.items():
        found = findings(part, facts[name], geometry, use=Use(ranges, PARTS[name]))  # type: ignore[arg-type]
        for index, reasons in found.reasons.items():
            kind = "unreadable" if facts[name][index].unread else "unusable"
            items[kind].append(item_of(name, part[index], "; ".join(reasons)))
        problems += [DataProblem("remark", f"{name}: {warning}") for warning in found.warnings]
    for kind, of_kind in items.items():
        verb = "cannot be read" if kind == "unreadable" else "would be refused by a training"
        problems.append(DataProblem(kind, f"{counted(len(of_kind), 'pair')} {verb}: {of_kind[0].detail}", tuple(of_kind)))
    order = list(KINDS)
    problems.sort(key=lambda problem: order.index(problem.kind))
    return CheckedData(place_of(section), section.kind, opened.paired, {name: len(part) for name, part in records.items()}, problems, notes)


def item_of(split: str, record: Record, detail: str = "", **numbers: float) -> ProblemItem:
    """A pair as the item of a problem."""
    files = dict.fromkeys(str(path) for picture in (record.a, record.b) for path in picture.paths)
    return ProblemItem(split, record.name, tuple(files), detail, numbers)
