"""Processes that look at pairs, so that all cores do: before a training begins, and behind it while it runs.

They are forked where that is possible, so that they start at once and need no copy of 100,000 names. They take no signals (the training
decides when to stop), hold no file of the process that they come from, and end with it, however it ends.
"""

from __future__ import annotations

import contextlib
import itertools
import multiprocessing
import os
import pickle
import signal
import sys
import threading
import time
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, Protocol

from ...errors import RunFailure, TransfigureError
from ...processes import forking, isolated_children, leave_garbage
from ..files import LOCK
from ..images import Alpha
from ..masks import Counts
from ..pairs import Record
from ..pixels import Array
from ..transforms import Geometry
from ..value_range import Range
from .findings import PairFacts, by_header, look, shared_files

_FORKS = sys.platform == "linux"
FEWEST = 64 if _FORKS else 2000
"""Fewer pairs than these are read in this process sooner than others have started."""
MANY = 10_000
"""Fewer headers (or files' states) than these are read in this process."""
_CHUNK = 8
_AHEAD = 2
"""Chunks that a process has been given and has not done."""
_LOOK_AROUND = 1.0
"""Seconds between two looks at whether the process that they come from is still there."""

_WISHES = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]

Key = tuple[str, int]
"""A part of the data, and which of its pairs."""


class Keeps(Protocol):
    """What prepares and keeps pairs: the ``Cache`` of a data set."""

    store: Any

    def put(self, index: int, source: Array, target: Array, counts: Counts | None = None) -> object:
        """Keep a decoded pair, and what counts in it."""
        ...


@dataclass
class PartToCheck:
    """Pairs to look at.

    Attributes:
        records: the pairs, sources first.
        geometry: how they will be resized and cropped.
        alpha: what to do with transparency.
        ranges: of sources and targets.
        cache: what keeps them prepared, if anything does.
    """

    records: Sequence[Record]
    geometry: Geometry
    alpha: Alpha = "refuse"
    ranges: tuple[Range | None, Range | None] = (None, None)
    cache: Keeps | None = None

    def look(self, index: int) -> PairFacts:
        """Read one pair."""
        sink = None if self.cache is None else self.cache.put
        return look(self.records[index], index, self.geometry, self.alpha, self.ranges, sink)

    def header(self, index: int) -> PairFacts | None:
        """What the headers of one pair say."""
        return by_header(self.records[index], self.geometry, self.alpha)

    @property
    def can_be_shared(self) -> bool:
        """Whether what another process reads is kept for this one too."""
        return self.cache is None or self.cache.store is not None


def cores() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _alone(processes: int) -> bool:
    return processes < 2 or multiprocessing.current_process().daemon


KeyOf = Callable[[Record], str | None]
"""What a pair is remembered by."""


def keys_of(parts: dict[str, PartToCheck], key_of: KeyOf, processes: int) -> dict[str, list[str | None]]:
    """What the pairs of each part are remembered by: the state of every file is asked for.

    Args:
        parts: the data.
        key_of: tells it of a pair.
        processes: how many may be started.

    Raises:
        RunFailure: a process was ended from outside.
    """
    if _alone(processes) or not _FORKS or sum(len(part.records) for part in parts.values()) < MANY:
        return {name: [key_of(record) for record in part.records] for name, part in parts.items()}
    found: dict[str, list[str | None]] = {name: [None] * len(part.records) for name, part in parts.items()}
    with contextlib.closing(CheckProcesses(parts, processes, key_of=key_of)) as pool:
        for name, part in parts.items():
            for start in range(0, len(part.records), MANY // 2):
                pool.ask("keys", (name, slice(start, start + MANY // 2)))
        while pool.busy:
            for (name, start), keys in pool.results(timeout=None):
                found[name][start : start + len(keys)] = keys
    return found


def read_headers(parts: dict[str, PartToCheck], keys: Sequence[Key], processes: int) -> dict[Key, PairFacts | None]:
    """What the headers of pairs say; None where they do not say enough, see :func:`.findings.by_header`.

    Args:
        parts: the data.
        keys: which pairs.
        processes: how many may be started.

    Raises:
        RunFailure: a process was ended from outside.
    """
    if _alone(processes) or len(keys) < MANY:
        return {(name, index): parts[name].header(index) for name, index in keys}
    return dict(_by_processes(parts, keys, processes, "headers", MANY // 10))


def check_pairs(parts: dict[str, PartToCheck], keys: Sequence[Key], processes: int) -> Iterator[tuple[Key, PairFacts]]:
    """The facts of pairs, in any order; arguments and errors as of :func:`read_headers`.

    Raises:
        Missing: an extra is needed for a file.
    """
    if _alone(processes) or len(keys) < FEWEST or not all(parts[name].can_be_shared for name in {name for name, _ in keys}):
        return (((name, index), parts[name].look(index)) for name, index in keys)
    return _by_processes(parts, keys, processes, "look", _CHUNK)


def _by_processes(parts: dict[str, PartToCheck], keys: Sequence[Key], processes: int, task: str, at_once: int) -> Iterator[tuple[Key, Any]]:
    with contextlib.closing(CheckProcesses(parts, processes)) as pool:
        pool.give(keys, task, at_once)
        while pool.busy:
            yield from pool.results(timeout=None)


class CheckProcesses:
    """A few processes that look at pairs. They are to be closed.

    Args:
        parts: the data.
        processes: how many.
        background: they use only what others leave of the machine.
        key_of: tells what a pair is remembered by, if they are to be asked for it.
    """

    def __init__(self, parts: dict[str, PartToCheck], processes: int, background: bool = False, key_of: KeyOf | None = None) -> None:
        context: Any = multiprocessing.get_context("fork" if _FORKS else "spawn")
        self._processes: dict[Connection, BaseProcess] = {}
        self._todo: deque[tuple[str, Any]] = deque()
        self._given: dict[Connection, int] = {}
        with isolated_children(), forking(), warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of a fork beside other threads: what they hold is not used there
            for _ in range(processes):
                mine, theirs = context.Pipe()
                child = context.Process(target=_work, args=(theirs, parts, os.getpid(), background, key_of), daemon=True)
                with _signals_blocked():
                    child.start()
                theirs.close()
                self._processes[mine], self._given[mine] = child, 0

    @property
    def busy(self) -> bool:
        """Whether something is still to be done."""
        return bool(self._todo) or any(self._given.values())

    def give(self, keys: Iterable[Key], task: str = "look", at_once: int = _CHUNK) -> None:
        """Have these pairs looked at, or only their ``headers``."""
        keys = iter(keys)
        while chunk := list(itertools.islice(keys, at_once)):
            self._todo.append((task, chunk))
        self._hand_out()

    def ask_what_is_shared(self, name: str, held_out: Sequence[Record]) -> None:
        """Have it found out which held-out pairs are training pairs too; the answer comes as a list of their names, under ``shared``."""
        self.ask("shared", (name, held_out))

    def ask(self, task: str, about: object) -> None:
        """Have anything else done, see ``_done``."""
        self._todo.append((task, about))
        self._hand_out()

    def results(self, timeout: float | None = 0.0) -> list[tuple[Key, Any]]:
        """What has been done since the last time; waits for it as long as ``timeout`` says, None for ever.

        Raises:
            RunFailure: a process was ended from outside.
            TransfigureError: what a process met that is no fault of one pair, such as a missing extra.
        """
        found: list[tuple[Key, Any]] = []
        for connection in wait(list(self._processes), timeout):
            assert isinstance(connection, Connection)
            try:
                result = connection.recv()
            except (EOFError, OSError, pickle.UnpicklingError) as error:
                raise RunFailure(
                    f"a process that reads the data was ended from outside{self._how_it_ended(connection)}, perhaps for lack of memory: "
                    "start again (and again with --data.check headers if it comes again)"
                ) from error
            self._given[connection] -= 1
            if isinstance(result, TransfigureError):
                raise result
            found += result
        self._hand_out()
        return found

    def _how_it_ended(self, connection: Connection) -> str:
        process = self._processes[connection]
        process.join(1.0)
        code = process.exitcode
        if code is None:
            return ""
        return f" by signal {signal.Signals(-code).name}" if -code in signal.valid_signals() else f" (its exit status is {code})"

    def _hand_out(self) -> None:
        for connection in sorted(self._given, key=lambda connection: self._given[connection]):
            while self._todo and self._given[connection] < _AHEAD:
                with contextlib.suppress(OSError):  # it has ended: that is said where its results are read
                    connection.send(self._todo[0])
                self._todo.popleft()
                self._given[connection] += 1

    def close(self) -> None:
        """End the processes now; what they have not done is not done."""
        for connection, process in self._processes.items():
            connection.close()
            process.kill()
        for process in self._processes.values():
            process.join()
        self._processes, self._given = {}, {}
        self._todo.clear()


def _work(connection: Connection, parts: dict[str, PartToCheck], parent: int, background: bool, key_of: KeyOf | None) -> None:
    """What such a process does until it is ended."""
    leave_garbage()
    for number in _WISHES:
        signal.signal(number, signal.SIG_IGN)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _WISHES)
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    inherited = [part.cache.store for part in parts.values() if part.cache is not None]  # noqa: F841 - it lives, or it would close again
    _let_go_of_locks()
    stores: dict[int, Any] = {}
    for part in parts.values():
        if part.cache is not None and part.cache.store is not None:  # the store of a process of its own, one for all parts
            whose = id(part.cache.store)
            stores[whose] = stores.get(whose) or pickle.loads(pickle.dumps(part.cache.store))
            part.cache.store = stores[whose]
    if background and hasattr(os, "nice"):
        os.nice(19)
    import torch

    torch.set_num_threads(1)
    with contextlib.suppress(EOFError, OSError):
        while True:
            connection.send(_done(parts, key_of, *connection.recv()))


def _done(parts: dict[str, PartToCheck], key_of: KeyOf | None, task: str, about: Any) -> Any:
    try:
        if task == "keys" and key_of is not None:
            name, some = about
            return [((name, some.start), [key_of(record) for record in parts[name].records[some]])]
        if task == "shared":
            name, held_out = about
            return [(("shared", 0), shared_files(parts[name].records, held_out))]
        if task == "headers":
            return [((name, index), parts[name].header(index)) for name, index in about]
        return [((name, index), parts[name].look(index)) for name, index in about]
    except TransfigureError as error:
        return error
    except MemoryError:
        return RunFailure("there is not enough memory to read the data: close other programs, or use smaller images")


def _let_go_of_locks() -> None:
    """A lock belongs to what was opened, and a fork shares it: it would be held on when the other process has ended."""
    with contextlib.suppress(OSError):
        for name in os.listdir("/proc/self/fd"):  # noqa: PTH208
            with contextlib.suppress(OSError):
                if os.path.basename(os.readlink(f"/proc/self/fd/{name}")) == LOCK:  # noqa: PTH115, PTH119
                    os.close(int(name))


@contextlib.contextmanager
def _signals_blocked() -> Iterator[None]:
    """A process that is started meanwhile gets no signal before it has said that it takes none."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _WISHES)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_LOOK_AROUND)
    os._exit(1)
