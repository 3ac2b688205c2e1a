"""How much of the data is looked at before a training begins, and the look at the rest behind it.

``data.check: sample`` (the default) reads a set of up to :data:`WHOLE` pixels whole, which takes some ten seconds. Of a larger one it reads
the headers of all files and the pixels of a few pairs, and the rest while the training runs. What has been read is remembered for the next
start. How much that is depends on the data alone, never on a clock, so that the same data gives the same on every machine.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from ...errors import TransfigureError
from ...memory import without_collecting
from ...wording import counted
from ..pairs import Record
from .facts_cache import FactsCache
from .findings import Kind, PairFacts, Use, findings, problems_of, shared_note, unfit
from .processes import CheckProcesses, Key, PartToCheck, check_pairs, cores, keys_of, read_headers

Check = Literal["full", "sample", "headers"]

WHOLE = 400e6
"""Pixels of a set that is read whole before the training begins."""
PER_PICTURE = 20_000
"""What opening a file costs, in pixels."""
SAMPLE = 20e6
"""Pixels of a larger set that are read before."""
_SEED = 0


@dataclass
class CheckedPart:
    """What is known of the pairs of one part of the data.

    Attributes:
        part: the pairs.
        facts: of each of them; None where nothing is known yet.
        keys: what each is remembered by.
    """

    part: PartToCheck
    facts: list[PairFacts | None]
    keys: list[str | None]

    def open(self) -> list[int]:
        """Which pairs' pixels have not been read."""
        return [index for index, facts in enumerate(self.facts) if facts is None or not facts.of_pixels]

    def known(self) -> list[PairFacts]:
        """What is known of each pair; to be asked when nothing is missing."""
        return [facts if facts is not None else PairFacts() for facts in self.facts]

    def keep(self, records: Sequence[Record], indices: Sequence[int] | None) -> None:
        """Forget all but these.

        Args:
            records: the pairs from now on, sources first.
            indices: which they were; None if they are others, made of the same pictures.
        """
        if indices is not None:
            self.facts, self.keys = [self.facts[index] for index in indices], [self.keys[index] for index in indices]
        else:
            pictures = {
                picture.label: facts
                for record, one in zip(self.part.records, self.facts)
                if one is not None and one.pictures is not None
                for picture, facts in zip((record.a, record.b), one.pictures)
            }
            sides = [(pictures.get(record.a.label), pictures.get(record.b.label)) for record in records]
            self.facts = [None if a is None or b is None or (a.values is None) != (b.values is None) else PairFacts(a, b) for a, b in sides]
            self.keys = [None] * len(records)
        self.part.records = records


class Inspection:
    """The look at the pairs of a training before it begins.

    Args:
        parts: training and validation pairs, by name.
        memory: of earlier looks.
        check: how much is read.
        processes: how many may be started for it.

    Attributes:
        is_large: there is more than is read whole before a training, though it may be remembered.
    """

    is_large = False

    def __init__(self, parts: dict[str, PartToCheck], memory: FactsCache, check: Check = "sample", processes: int | None = None) -> None:
        self.memory, self.check = memory, check
        self.processes = cores() if processes is None else processes
        with without_collecting():
            keys = keys_of(parts, memory.key, self.processes)
            self.checked = {name: CheckedPart(part, [memory.get(key) for key in keys[name]], keys[name]) for name, part in parts.items()}

    def read(self, progress: Callable[[int], object]) -> None:
        """Read as much as is to be read before the training.

        Args:
            progress: called with how many more pairs have been done.
        """
        todo = {name: checked.open() for name, checked in self.checked.items()}
        progress(sum(len(checked.facts) - len(todo[name]) for name, checked in self.checked.items()))
        if self.check != "full":
            with without_collecting():
                todo = self._by_headers(todo)
        done = dict.fromkeys(todo, 0)
        for name, indices in todo.items():
            self._before(name)
            for (_, index), facts in check_pairs({name: self.checked[name].part}, [(name, index) for index in indices], self.processes):
                self.checked[name].facts[index] = facts
                self.memory.put(self.checked[name].keys[index], facts)
                done[name] += 1
                progress(1)
        self.memory.flush()
        progress(sum(len(checked.open()) for checked in self.checked.values()))

    def _before(self, name: str) -> None:
        """One budget in memory for all parts."""
        caches = [checked.part.cache for checked in self.checked.values()]
        if name != next(iter(self.checked)) and None not in caches:
            first, own = caches[0], self.checked[name].part.cache
            own.max_bytes = max(0, first.max_bytes - first.bytes)  # type: ignore[union-attr]

    def _by_headers(self, todo: dict[str, list[int]]) -> dict[str, list[int]]:
        """Which of the pairs to read, and the headers of the others."""
        heads, suspects = self._headers(todo)
        work = sum(_work_of(facts) for checked in self.checked.values() for facts in checked.facts if facts is not None)
        new = sum(map(_work_of, heads.values())) + PER_PICTURE * len(suspects)
        self.is_large = work + new > WHOLE
        if self.check == "sample" and new <= WHOLE:
            return todo
        if any(not picture.paths for name in todo for record in self.checked[name].part.records[:1] for picture in (record.a, record.b)):
            return todo  # drawn: there are no headers
        chosen = {*suspects, *_unusual(heads), *(self._sample(heads) if self.check == "sample" else ())}
        for (name, index), facts in heads.items():
            self.checked[name].facts[index] = facts
        return {name: [index for index in indices if (name, index) in chosen] for name, indices in todo.items()}

    def _headers(self, todo: dict[str, list[int]]) -> tuple[dict[Key, PairFacts], list[Key]]:
        """What the headers of these pairs say, and those of which they do not say enough."""
        heads: dict[Key, PairFacts] = {}
        suspects: list[Key] = []
        for name, indices in todo.items():
            checked = self.checked[name]
            of_all = None if None in checked.keys else self.memory.key_of_all(["headers", *checked.keys])
            if (known := self.memory.get_headers(of_all)) is None or len(known) != len(checked.keys):
                found = read_headers({name: checked.part}, [(name, index) for index in indices], self.processes)
                known = [found.get((name, index)) for index in range(len(checked.keys))]
                if len(indices) == len(known):
                    self.memory.put_headers(of_all, known)
            for index in indices:
                if (facts := known[index]) is None:
                    suspects.append((name, index))
                else:
                    heads[name, index] = facts
        return heads, suspects

    def _sample(self, heads: dict[Key, PairFacts]) -> list[Key]:
        """Those of a few pairs, drawn from all by their positions alone, that have not been read yet."""
        everything = [(name, index) for name, checked in self.checked.items() for index in range(len(checked.facts))]
        drawn: list[Key] = []
        spent = 0.0
        for at in np.random.default_rng(_SEED).permutation(len(everything)):
            if spent >= SAMPLE:
                break
            name, index = key = everything[at]
            if (facts := heads.get(key, self.checked[name].facts[index])) is not None:
                spent += _work_of(facts)
                drawn += [key] if key in heads else []
        return drawn


def _work_of(facts: PairFacts) -> float:
    return sum(picture.shape[0] * picture.shape[1] + PER_PICTURE for picture in facts.pictures or ())


def _unusual(heads: dict[Key, PairFacts]) -> list[Key]:
    """Pairs that are not of the type and channels of most, so that what is said of them must be told by their pixels."""
    unusual: list[Key] = []
    alike: dict[int, tuple[PairFacts, list[Key]]] = {}  # headers that say the same are one object
    for key, facts in heads.items():
        alike.setdefault(id(facts), (facts, []))[1].append(key)
    for side in (0, 1):
        kinds: dict[tuple[str, int], list[Key]] = {}
        for facts, keys in alike.values():
            assert facts.pictures is not None
            dtype, channels = facts.pictures[side].kind
            kinds.setdefault((dtype, 3 if channels == 1 else channels), []).extend(keys)
        for keys in sorted(kinds.values(), key=len)[:-1]:
            unusual += keys
    return unusual


# ---- while the training runs ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class UnusablePair:
    """A pair that turns out to be of no use while the training runs.

    Attributes:
        part: ``train`` or ``val``.
        index: which one; None for what is wrong with several together.
        record: the pair.
        reasons: why.
    """

    part: str
    index: int
    record: Record
    reasons: tuple[str, ...]


@dataclass
class BackgroundCheck:
    """What has not been looked at before the training began, and the processes that look at it.

    Attributes:
        checked: what is known of each part.
        memory: where it is remembered.
        usual: the type and channels of most sources and targets.
        uses: what each part is for.
        paired: whether they are pairs.
        held_out: pairs of which it is not known yet whether they are training pairs too.
        held_out_key: what that is remembered by.
        said: the notes that have been said.
        gave_up: why the look was given up, if it was.
    """

    checked: dict[str, CheckedPart]
    memory: FactsCache
    usual: tuple[Kind, Kind]
    uses: dict[str, Use]
    paired: bool
    held_out: Sequence[Record] = ()
    held_out_key: str | None = None
    gave_up: str = ""
    said: set[str] = field(default_factory=set)
    _processes: CheckProcesses | None = None
    _found: list[UnusablePair] = field(default_factory=list)
    _shared: list[str] = field(default_factory=list)
    _ended: bool = False

    @property
    def is_anything(self) -> bool:
        """Whether anything is left to look at."""
        return bool(self.held_out) or any(checked.open() for checked in self.checked.values())

    def describe(self) -> str:
        """``the headers of 100,000 pairs and the pixels of 555 have been read; the rest is read while training runs``."""
        everything = sum(len(checked.facts) for checked in self.checked.values())
        left = sum(len(checked.open()) for checked in self.checked.values())
        if not left:
            return f"whether the {len(self.held_out):,} held-out pairs are training pairs too is found out while training runs"
        known = f"the headers of {counted(everything, 'pair')} and the pixels of {everything - left:,} have been read"
        return f"{known}; the rest is read while training runs"

    def compare_with(self, held_out: Sequence[Record], notes: list[str]) -> None:
        """Find out which held-out pairs are training pairs too, or note what is remembered of that."""
        keys = [key for checked in self.checked.values() for key in checked.keys] + [self.memory.key(record) for record in held_out]
        self.held_out_key = None if None in keys else self.memory.key_of_all([*keys, str(len(held_out))])
        if (names := self.memory.get_names(self.held_out_key)) is None:
            self.held_out = held_out
        elif names:
            notes.append(shared_note(names, len(held_out)))

    def start(self, processes: int) -> None:
        """Begin to look at it; ``processes`` leave the training what it needs of the machine."""
        if self._processes is not None or self._ended:
            return
        self._processes = CheckProcesses({name: checked.part for name, checked in self.checked.items()}, processes, background=True)
        for name in reversed(self.checked):  # the validation pairs, which are needed together, first
            self._processes.give((name, index) for index in self.checked[name].open())
        if self.held_out:
            self._processes.ask_what_is_shared("train", self.held_out)

    def poll(self) -> list[UnusablePair]:
        """The pairs that have turned out to be of no use since the last time. It does not wait."""
        if self._processes is None:
            return []
        late = []
        try:
            results = self._processes.results()
        except TransfigureError as error:  # that a process was ended, or lacks a package, ends no training, which reads what it needs
            self.gave_up = str(error)
            self.close()
            return []
        for (name, index), facts in results:
            if isinstance(facts, list):
                self._shared = facts
                self.memory.put_names(self.held_out_key, facts)
                continue
            checked = self.checked[name]
            checked.facts[index] = facts
            self.memory.put(checked.keys[index], facts)
            if reasons := self._faults(checked.part, index, facts):
                late.append(UnusablePair(name, index, checked.part.records[index], tuple(reasons)))
        self._found += late
        return late

    def _faults(self, part: PartToCheck, index: int, facts: PairFacts) -> list[str]:
        record = part.records[index]
        if facts.pictures is None:
            return list(facts.unread)
        files = facts.pictures[0].file, facts.pictures[1].file
        return problems_of(record, facts.pictures, part.geometry, part.ranges) + unfit(record, facts.pictures, files, self.usual)

    @property
    def is_done(self) -> bool:
        """Whether everything has been looked at."""
        return self._processes is not None and not self._processes.busy

    def end(self) -> tuple[list[str], list[UnusablePair]]:
        """What is to be said of all pairs together, once all have been looked at: notes, and pairs that do not go with the others."""
        self.close()
        notes: list[str] = []
        late: list[UnusablePair] = []
        with without_collecting():
            for name, checked in self.checked.items():
                part = checked.part
                found = findings(part.records, checked.known(), part.geometry, use=self.uses[name])
                words = [f"validation: {note}" for note in found.warnings] if name == "val" else found.warnings
                notes += [note for note in words if note not in self.said]
                known = {one.index for one in self._found if one.part == name}
                late += [
                    UnusablePair(name, index, part.records[index], tuple(reasons))
                    for index, reasons in found.reasons.items()
                    if index not in known
                ]
        if self._shared:
            notes.append(shared_note(self._shared, len(self.held_out)))
        return notes, late

    def close(self) -> None:
        """End the processes."""
        self.memory.flush()
        self._ended = True
        if self._processes is not None:
            self._processes.close()
            self._processes = None
