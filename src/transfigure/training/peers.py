"""The processes of one training among themselves: that all have come, that all are still there, and that one of them says what ends all.

They meet in torch's key-value store (``TCPStore``), which torchrun or process 0 serves. Each writes there once a second that it lives. What
ends one process ends all: it leaves its sentence in the store, where the first to come holds, and process 0 says it (or the next, if that
is the one that is gone). A process that waits for one that is gone, in an operation that nothing can break off, is ended by its own watch.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch.distributed import PrefixStore, TCPStore  # type: ignore[attr-defined]

from .._version import __version__
from ..errors import NOT_ENOUGH_MEMORY, Interrupted, RunFailure, ToldByAnother, TransfigureError, UserError, out_of_memory
from ..processes import Stopped, ending, know_each_other
from ..progress import say
from .launch import take_seat

JOIN_SECONDS = 300.0
"""For which the processes wait for each other at the beginning: they import from slow disks, and a queue starts one before another."""
BEAT_SECONDS = 1.0
LOST_SECONDS = 60.0
"""Without a sign of life, after which a process counts as gone; the system tells of most that are earlier."""
GRACE_SECONDS = 10.0
"""For which a process may still do what it is doing once all are to end."""
_STORE = timedelta(seconds=20)


@dataclass(frozen=True)
class Ending:
    """What ends all processes.

    Attributes:
        rank: of the process that says so.
        sentence: for a person.
        code: to exit with.
        gone: the processes that are gone.
    """

    rank: int
    sentence: str
    code: int = 1
    gone: tuple[int, ...] = ()


@dataclass(frozen=True)
class Seat:
    """Where a process is among the others.

    Attributes:
        rank: its number.
        world_size: how many there are.
        local_rank: its number on its machine.
        address, port: where they meet.
        serves: whether this process has to serve the store.
    """

    rank: int
    world_size: int
    local_rank: int
    address: str
    port: int
    serves: bool


@dataclass(frozen=True)
class _About:
    """What a process says of itself when it comes."""

    host: str = field(default_factory=socket.gethostname)
    pid: int = field(default_factory=os.getpid)
    transfigure: str = __version__
    torch: str = torch.__version__
    training: str = ""


def serve(port: int = 0) -> TCPStore:
    """Serve a store on this machine, on any free port for 0."""
    return TCPStore("0.0.0.0", port, None, True, timedelta(seconds=JOIN_SECONDS), wait_for_workers=False, multi_tenant=True)


class Peers:
    """This process among those that train together.

    Args:
        seat: where it is.
        training: the recipe's training section in words, which must be the same for all.
        store: what :func:`serve` gave, if it has been called.
        children: the processes that this one started, with the numbers after its own.

    Raises:
        RunFailure: not all of them came.
        UserError: they are not of the same version, or train otherwise.
    """

    def __init__(self, seat: Seat, training: str, store: TCPStore | None = None, children: Sequence[subprocess.Popen[bytes]] = ()) -> None:
        self.seat, self.rank, self.world_size = seat, seat.rank, seat.world_size
        self._children = {seat.rank + number: child for number, child in enumerate(children, start=1)}
        self._left, self._leaving = threading.Event(), False
        self._about: dict[int, _About] = {}
        self._hint: Callable[[], str] = str
        self._server = store
        take_seat(seat.rank)
        try:
            self._store = PrefixStore(f"transfigure/{os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}", self._connected())
            self._join(_About(training=training))
        except BaseException:
            self._end_children(0.0)
            raise
        know_each_other()
        threading.Thread(target=self._watch, name="peers", daemon=True).start()

    # ---- coming -----------------------------------------------------------------------------------------------------------

    def _connected(self) -> TCPStore:
        seat, patience = self.seat, timedelta(seconds=JOIN_SECONDS)
        try:
            if self._server is None and seat.serves:
                self._server = serve(seat.port)
            if self._server is None:  # torch tells a failure to reach it by stacks of C++
                _knock(seat.address, seat.port)
            store = self._server or TCPStore(seat.address, seat.port, None, False, patience, wait_for_workers=False)
        except (RuntimeError, ValueError, OSError) as error:  # torch's are RuntimeErrors
            if seat.serves:
                raise UserError(
                    f"port {seat.port} of this machine is taken: set MASTER_PORT to another, the same for every process"
                ) from error
            raise RunFailure(
                f"process {seat.rank} of {seat.world_size} did not reach {seat.address}:{seat.port} (MASTER_ADDR and MASTER_PORT) in "
                f"{JOIN_SECONDS:g} seconds: process 0 has to run there, and a firewall to let this machine in"
            ) from error
        store.set_timeout(_STORE)
        return store

    def _join(self, about: _About) -> None:
        """Wait until all have come, and see that they are of one kind."""
        self._store.set(f"here/{self.rank}", json.dumps(asdict(about)))
        begun = time.monotonic()
        missing = list(range(self.world_size))
        while missing := [rank for rank in missing if not self._store.check([f"here/{rank}"])]:
            for rank, child in self._children.items():
                if child.poll() is not None and rank in missing:
                    raise RunFailure(f"{self._name(rank)} {_how(child.returncode)} before the training began")
            if time.monotonic() - begun > JOIN_SECONDS:
                raise RunFailure(
                    f"{self.world_size - len(missing)} of {self.world_size} processes came to {self.seat.address}:{self.seat.port} "
                    f"(MASTER_ADDR and MASTER_PORT) in {JOIN_SECONDS:g} seconds: start one for each device of every machine, with the same "
                    "MASTER_ADDR and MASTER_PORT, and let them reach each other"
                )
            time.sleep(0.1)
        self._about = {rank: _About(**json.loads(self._store.get(f"here/{rank}"))) for rank in range(self.world_size)}
        first = self._about[0]
        for rank, other in self._about.items():
            for what, one, two in (
                ("transfigure", first.transfigure, other.transfigure),
                ("torch", first.torch, other.torch),
            ):
                if one != two:
                    raise UserError(f"{what} is {one} on {first.host} and {two} on {other.host}: install the same version on each machine")
            if first.training != other.training:
                raise UserError(
                    f"process {rank} on {other.host} was started with another recipe or other flags than process 0 on {first.host}"
                )

    # ---- being there ------------------------------------------------------------------------------------------------------

    def _watch(self) -> None:
        """Say once a second that this process lives, and see whether all are to end."""
        beats, unreachable = 0, 0
        seen: dict[int, tuple[str, float]] = {}
        while not self._left.wait(BEAT_SECONDS):
            beats += 1
            try:
                self._store.set(f"beat/{self.rank}", str(beats))
                end = self._said_end() or self._missed(seen)
                unreachable = 0
            except RuntimeError:
                unreachable += 1
                end = self._without_store() if unreachable > 2 else None
            if end is not None and not self._left.wait(GRACE_SECONDS) and not self._leaving:
                self._break_off(end)

    def _beats(self) -> dict[int, str]:
        known = [rank for rank in range(self.world_size) if self._store.check([f"beat/{rank}"])]
        return {rank: self._store.get(f"beat/{rank}").decode() for rank in known}

    def _missed(self, seen: dict[int, tuple[str, float]]) -> Ending | None:
        """The end, if a process is gone, as process 0 sees it (and who started others, of those)."""
        for rank, child in self._children.items():
            if child.poll() not in (None, 0):
                time.sleep(BEAT_SECONDS)  # it may have left a sentence on its way
                return self._said_end() or self._claim(self._lost([rank]))
        if self.rank == 0:
            now = time.monotonic()
            for rank, beat in {**dict.fromkeys(range(self.world_size), ""), **self._beats()}.items():
                if seen.get(rank, ("-", now))[0] != beat:
                    seen[rank] = beat, now
                elif now - seen[rank][1] > LOST_SECONDS and rank != 0:
                    return self._claim(self._lost([rank]))
        return None

    def _name(self, rank: int) -> str:
        about = self._about.get(rank)
        return f"process {rank} of {self.world_size}" + (f" (pid {about.pid} on {about.host})" if about else "")

    def _lost(self, ranks: Sequence[int]) -> Ending:
        """The end, because processes are gone."""
        words = []
        for rank in ranks:
            child = self._children.get(rank)
            code = None if child is None else child.poll()
            words.append(f"{self._name(rank)} {'is gone' if code is None else _how(code)}")
        which = ", ".join(words)
        return Ending(self.rank, f"{which}: the training is stopped in all of them; {self._hint()}", 1, tuple(ranks))

    def _without_store(self) -> Ending:
        """The end, because who serves the store is gone."""
        return self._lost([0])

    def _said_end(self) -> Ending | None:
        if not self._store.check(["end"]):
            return None
        values = json.loads(self._store.get("end"))
        return Ending(**{**values, "gone": tuple(values["gone"])})

    def _claim(self, end: Ending) -> Ending:
        """Leave a sentence, if nobody has; what holds for all."""
        values = json.loads(self._store.compare_set("end", "", json.dumps(asdict(end))))
        return Ending(**{**values, "gone": tuple(values["gone"])})

    def _speaks(self, end: Ending) -> bool:
        """Whether this process says what ends all: process 0, or the first that is not gone."""
        return self.rank == min(rank for rank in range(self.world_size) if rank not in end.gone or rank == self.rank)

    def _break_off(self, end: Ending) -> None:
        """End this process, whatever it is doing."""
        if self._speaks(end) and not self._is_said():
            say(f"transfigure: {end.sentence}", lines=True)
        for child in self._children.values():
            child.kill()
        os._exit(end.code)

    def _is_said(self) -> bool:
        try:
            return int(self._store.add("said", 0)) > 0
        except RuntimeError:
            return False

    # ---- ending -----------------------------------------------------------------------------------------------------------

    def on_the_way(self, hint: Callable[[], str]) -> None:
        """What a person can do if a process is gone: asked when one is."""
        self._hint = hint

    def leave(self) -> None:
        """The training is done; all call it."""
        self._leaving = True
        self._left.set()
        with contextlib.suppress(RuntimeError):
            self._store.add("left", 1)
            self._wait(lambda: int(self._store.add("left", 0)) >= self.world_size, 30.0 if self.seat.serves else 0.0)
        _destroy_group()
        self._end_children(10.0)
        know_each_other(False)

    def end(self, error: BaseException) -> BaseException:
        """All end with this process.

        Args:
            error: what ends it, perhaps only that another one is gone.

        Returns:
            What it is to raise: the sentence that is to be said, if this is the process that says it, or :class:`.ToldByAnother`.
        """
        self._leaving = True
        with ending():
            try:
                own = self._words(error)
                end = self._said_end() if own is None else self._claim(own)
            except RuntimeError:  # the store is gone, and process 0 with it
                own = end = self._without_store()
            if end is None:
                self._left.set()
                return error
            _destroy_group()  # who waits for this process in an operation of gloo's wakes up
            raised = self._raised(error, end, mine=own is not None and end == own)
            self._left.set()
            self._end_children(5.0)
            know_each_other()
        return raised

    def _raised(self, error: BaseException, end: Ending, mine: bool) -> BaseException:
        told = ToldByAnother(end.sentence, end.code)
        plain = RunFailure(end.sentence)
        plain.exit_code = end.code
        try:
            if self._speaks(end):
                self._store.add("said", 1)
                if self.seat.serves:  # the others read there what ends them
                    others = self.world_size - 1 - len(end.gone)
                    self._wait(lambda: int(self._store.add("heard", 0)) >= others, 3.0)
                return error if mine and not isinstance(error, RuntimeError) else plain
            if said := self._wait(self._is_said, 5.0):
                self._store.add("heard", 1)  # and process 0 may go, with the store
        except RuntimeError:
            said = False
        if mine and not isinstance(error, TransfigureError | KeyboardInterrupt | RuntimeError | OSError | MemoryError):
            return error  # a fault of the program, or a plugin's: where it is says its traceback, in this process
        return told if said else plain

    def _wait(self, until: Callable[[], bool], seconds: float) -> bool:
        end = time.monotonic() + seconds
        while not (there := until()) and time.monotonic() < end:
            time.sleep(0.1)
        return there

    def _words(self, error: BaseException) -> Ending | None:
        """What ends this process as an end of all; None if it is nothing of the others' and nothing that we know.

        Raises:
            RuntimeError: nobody can be asked.
        """
        here = self._about[self.rank].host
        where = f" (process {self.rank} on {here})" if here != self._about[0].host else ""
        if isinstance(error, Interrupted):
            return Ending(self.rank, error.printable, error.exit_code)
        if isinstance(error, TransfigureError):
            return Ending(self.rank, error.printable + where, error.exit_code)
        if isinstance(error, Stopped):
            return Ending(self.rank, f"stopped by {error}: what is written is whole, the rest is not there", 128 + error.number)
        if isinstance(error, KeyboardInterrupt):
            return Ending(self.rank, "interrupted", 130)
        if out_of_memory(error):
            return Ending(self.rank, NOT_ENOUGH_MEMORY + where)
        if isinstance(error, RuntimeError) and (end := self._of_others()) is not None:
            return end
        if isinstance(error, OSError) and error.filename is not None:
            return Ending(self.rank, f"{error.filename}: {error.strerror}{where}")
        words = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
        return Ending(self.rank, f"{self._name(self.rank)} failed, and all with it: {words}")

    def _of_others(self) -> Ending | None:
        """Why an operation of all failed, if it is for others: the end that one left, or who has not been heard of since."""
        before, begun = self._beats(), time.monotonic()
        while time.monotonic() - begun < 3.5 * BEAT_SECONDS:
            if (end := self._said_end()) is not None:
                return end
            if dead := [rank for rank, child in self._children.items() if child.poll() not in (None, 0)]:
                time.sleep(BEAT_SECONDS / 2)
                return self._said_end() or self._lost(dead)
            time.sleep(0.1)
        after = self._beats()
        gone = [rank for rank in range(self.world_size) if rank != self.rank and before.get(rank) == after.get(rank)]
        return self._lost(gone) if gone else None

    def _end_children(self, patience: float) -> None:
        end = time.monotonic() + patience
        for child in self._children.values():
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(max(0.0, end - time.monotonic()))
        for child in self._children.values():
            if child.poll() is None:
                child.kill()
                child.wait()


def _knock(address: str, port: int) -> None:
    """Wait until somebody listens there.

    Raises:
        OSError: nobody does for :data:`JOIN_SECONDS`.
    """
    end = time.monotonic() + JOIN_SECONDS
    while True:
        try:
            socket.create_connection((address, port), timeout=max(0.1, end - time.monotonic())).close()
            return
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.2)


def _how(code: int) -> str:
    """How a process ended, in words."""
    if code >= 0:
        return f"ended with code {code}"
    known = contextlib.suppress(ValueError)
    name = str(-code)
    with known:
        name = signal.Signals(-code).name
    return f"was ended by {name}" + (" (perhaps for lack of memory)" if name == "SIGKILL" else "")


def _destroy_group() -> None:
    """End torch's group where that cannot wait for others: NCCL's may, and ends with the process."""
    if not (dist.is_initialized() and dist.get_backend() == "gloo"):
        return

    def destroy() -> None:
        with contextlib.suppress(RuntimeError):
            dist.destroy_process_group()

    thread = threading.Thread(target=destroy, daemon=True)
    thread.start()
    thread.join(3.0)


def of_training(section: dict[str, Any]) -> str:
    """A recipe's training section as :class:`Peers` compares it."""
    return json.dumps(section, sort_keys=True, default=str)
