"""What turns out about the data while a training runs, and what becomes of it."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from ..data.check.inspection import UnusablePair
from ..data.check.left_out import LeftOut, left_out_in_training, save_left_out
from ..data.check.processes import cores
from ..data.open import OpenedData
from ..errors import UserError
from ..progress import say
from ..registry import plugin_flags
from ..wording import counted, said_once
from .run_directory import RunDirectory

_EVERY = 0.2
"""Seconds between two questions to the processes that look at the data."""
_NAMED = 3


@dataclass
class DataCheck:
    """The look at the data behind a training: at what was not read before it, and at what it finds unusable itself.

    Attributes:
        data: the opened data.
        run: the run, which lists what is left out.
        leads: whether this process writes.
        quiet: nothing is said.
        write: adds a line to the run's log, from its fields.
        error: why the training must stop, once its state is saved (``data.on_error: stop``).
        left_out: all that is left out of the training.
    """

    data: OpenedData
    run: RunDirectory
    leads: bool
    quiet: bool
    write: Callable[..., None]
    error: UserError | None = None
    left_out: list[LeftOut] = field(default_factory=list)
    _asked: float = 0.0
    _seen: int = 0

    def __post_init__(self) -> None:
        self.left_out = list(self.data.left_out)
        self._seen = len(self.data.train.unusable)
        self._rest = self.data.background_check if self.leads else None
        self._started = False

    def look(self) -> None:
        """To be called after every update: begins after the first, and never waits."""
        if len(self.data.train.unusable) > self._seen:
            self._replaced()
        if self._rest is None:
            return
        now = time.monotonic()
        if not self._started:
            self._rest.start(cores())
            self._started = True
        elif now - self._asked >= _EVERY:
            self._asked = now
            self._take(self._rest.poll())
            if self._rest.gave_up:
                self._say(f"the look at the rest of the data was given up: {self._rest.gave_up}")
                self._rest = None
            elif self._rest.is_done:
                self._end()

    def _take(self, late: Sequence[UnusablePair]) -> None:
        if not late:
            return
        if self.data.section.on_error == "stop":
            lines = said_once((reason, [one.record.a.label, one.record.b.label]) for one in late for reason in one.reasons)
            self.error = self.stopping(f"{counted(len(late), 'pair')} cannot be used: {'; '.join(lines[:_NAMED])}")
            return
        for one in late:
            if one.part == "train":
                self.data.train.unusable.setdefault(one.index, "; ".join(one.reasons))
        self._seen = len(self.data.train.unusable)
        self._list([left_out_in_training(one.record, one.reasons, one.part, self.data.section.path) for one in late])

    def _replaced(self) -> None:
        """The training has met pairs that it could not use."""
        train = self.data.train
        known = {pair.name for pair in self.left_out if pair.split == "train"}
        new = [(train.records[index], reason) for index, reason in list(train.unusable.items()) if train.records[index].name not in known]
        self._seen = len(train.unusable)
        self._list([left_out_in_training(record, [reason], "train", self.data.section.path) for record, reason in new])

    def _list(self, new: Sequence[LeftOut]) -> None:
        known = {(pair.split, pair.name) for pair in self.left_out}
        new = [pair for pair in new if (pair.split, pair.name) not in known]
        if not new or not self.leads:
            return
        self.left_out += new
        save_left_out(self.run.left_out, self.left_out)
        verbs = ("turns", "its place is") if len(new) == 1 else ("turn", "their places are")
        self._say(
            f"{counted(len(new), 'pair')} {verbs[0]} out to be of no use, and {verbs[1]} taken by the next ones (data.on_error skip; "
            f"listed in {self.run.left_out.name}), such as {new[0].name}: {new[0].reason}"
        )

    def _end(self) -> None:
        """Everything has been looked at: what is wrong with all pairs together is said, once."""
        assert self._rest is not None
        notes, late = self._rest.end()
        self._rest = None
        if late and self.data.section.on_error == "stop":
            self._take(late)
        elif late:  # which of several pairs is the wrong one is a matter of the others: no pair shows it by itself
            notes += [f"{reason} (it is used all the same)" for one in late[:_NAMED] for reason in one.reasons]
        for note in notes:
            self._say(note)
        if notes:
            self.write("health", code="data", level="info", message="; ".join(notes))

    def stopping(self, reason: str) -> UserError:
        """The sentence for a training that stops for its data, with the way out."""
        path = shlex.quote(str(self.run.path))
        return UserError(
            f"{reason}; the state is saved: repair this, or have it replaced with --data.on_error skip, and go on with  transfigure train "
            f"--out {path} --resume{plugin_flags()}"
        )

    def _say(self, note: str) -> None:
        if not self.quiet:
            say(f"note: {note}")

    def close(self) -> None:
        """End the processes."""
        if self.data.background_check is not None:
            self.data.background_check.close()
