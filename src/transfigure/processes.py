"""The program among other processes: how it is asked to stop, and how it starts others.

Ctrl-C (SIGINT), a batch system's SIGTERM and SIGUSR1 and the SIGHUP of a terminal that is gone end everything in the same way: files are
whole, temporary ones are removed, one sentence says so, and the exit code is 128 and the signal's number. While a training's loop runs they
are only a request (:class:`StopRequest`), so that the state is saved first.
"""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

from .progress import say

_TWICE = 1.0
"""Seconds within which a signal that comes again is the same wish: a lost ssh line sends SIGHUP from the kernel and from the shell."""
_CHILD = """\
import importlib.util, os, sys
package, module, *arguments = sys.argv[1:]
found = importlib.util.find_spec("transfigure")
if found is None:
    sys.path.append(os.path.dirname(package))
elif not os.path.samefile(os.path.dirname(found.origin), package):
    sys.path.insert(0, os.path.dirname(package))
sys.exit(importlib.import_module(module).main(arguments))
"""


class Stopped(KeyboardInterrupt):
    """SIGTERM, SIGUSR1 or SIGHUP came: as Ctrl-C, it passes through whatever handles failures, and cleans up on its way.

    Attributes:
        number: the signal's.
    """

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


def _wishes() -> list[int]:
    """The signals other than Ctrl-C that ask a process to end; one that was ignored from the start, as by ``nohup``, stays so."""
    known = (getattr(signal, name, None) for name in ("SIGTERM", "SIGHUP", "SIGUSR1"))  # Windows has the first; the last is SLURM's
    return [number for number in known if number is not None and signal.getsignal(number) is not signal.SIG_IGN]


@contextlib.contextmanager
def _handling(handler: Any, numbers: list[int]) -> Iterator[None]:
    """Signals go to a handler for a while; only the main thread may say so, elsewhere nothing changes."""
    before: dict[int, Any] = {}
    try:
        if threading.current_thread() is threading.main_thread():
            for number in numbers:
                before[number] = signal.signal(number, handler)
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)


@contextlib.contextmanager
def ending() -> Iterator[None]:
    """Who asks meanwhile to end is not heard: it ends already."""
    with _handling(signal.SIG_IGN, _wishes()):
        yield


@contextlib.contextmanager
def stopped_by_signals() -> Iterator[None]:
    """SIGTERM, SIGHUP and SIGUSR1 raise :class:`Stopped` where the program is, so that it leaves nothing half done behind."""
    last = -_TWICE

    def stop(number: int, frame: FrameType | None) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= _TWICE:
            last = now
            raise Stopped(number)

    with _handling(stop, _wishes()):
        yield


class StopRequest:
    """A context in which SIGINT, SIGTERM, SIGHUP and SIGUSR1 set a flag instead of breaking into the middle of an update.

    Args:
        words: what is said when one comes; empty is nothing.

    Attributes:
        signal: the signal that came, or None.
    """

    WORDS = "stopping: saving the state after this update (Ctrl-C again stops at once) ..."

    def __init__(self, words: str = WORDS) -> None:
        self.signal: int | None = None
        self._words = words
        self._held = contextlib.ExitStack()

    def __enter__(self) -> StopRequest:
        self._held.enter_context(_handling(self._ask, [signal.SIGINT, *_wishes()]))
        return self

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if self.signal is not None:
            if number == signal.SIGINT:
                raise KeyboardInterrupt
            return
        self.signal = number
        with contextlib.suppress(Exception):
            if self._words:
                say(self._words)

    @property
    def exit_code(self) -> int:
        """128 + the signal's number, as shells have it: 130 for Ctrl-C, 143 for SIGTERM, 129 for SIGHUP, 138 for SIGUSR1 (on Linux)."""
        return 128 + (self.signal or signal.SIGINT)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._held.close()


# ---- several of one kind ------------------------------------------------------------------------------------------------------

PARENT = "TRANSFIGURE_PARENT"
"""The variable by which a process that trains with its parent knows it."""
_LINGER = 5.0
"""Seconds that the others of a machine leave to the one that speaks, since a launcher ends all when it sees the first end."""
_known_to_each_other = threading.Event()


def know_each_other(known: bool = True) -> None:
    """From now on those that train together settle among themselves who says what."""
    _known_to_each_other.set() if known else _known_to_each_other.clear()


def speaks() -> bool:
    """Whether this process says what ends it.

    A launcher (torchrun, srun) starts the same command several times on a machine, and a wrong word in it is wrong in each. So the first
    says it, and the others wait for a moment. Once they know of each other all may speak.
    """
    environment = os.environ
    local = environment.get("SLURM_LOCALID") if "SLURM_STEP_NUM_TASKS" in environment else None
    local = environment.get("LOCAL_RANK", local or "0")
    many = max(environment.get(name, "1") for name in ("WORLD_SIZE", "SLURM_STEP_NUM_TASKS")) != "1"
    if not many or local == "0" or PARENT in environment or _known_to_each_other.is_set():
        return True
    time.sleep(_LINGER)
    return False


# ---- children ---------------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def isolated_children() -> Iterator[None]:
    """Whatever is started meanwhile does not look for modules in the current folder: what lies there is data, also if it is ``json.py``.

    Python reads the variable before its first import; a process that is spawned or served by a fork server hands it on.
    """
    before = os.environ.get("PYTHONSAFEPATH")
    os.environ["PYTHONSAFEPATH"] = "1"
    try:
        yield
    finally:
        if before is None:
            os.environ.pop("PYTHONSAFEPATH", None)
        else:
            os.environ["PYTHONSAFEPATH"] = before


@contextlib.contextmanager
def forking() -> Iterator[None]:
    """No garbage is collected meanwhile, so that a process that is forked can call :func:`leave_garbage` before it collects any."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def leave_garbage() -> None:
    """In a process that was forked: what the other process has thrown away is not destroyed here, too.

    What owns threads waits here for threads that a fork does not bring along: onnxruntime's sessions end the process (1.32.0), OpenVINO's
    models never return (2026.4.1).
    """
    gc.freeze()
    gc.enable()


def child_command(module: str, *arguments: str) -> list[str]:
    """The command of a Python that runs a module's ``main(arguments)``, with this very package wherever it was found.

    To be started under :func:`isolated_children`.
    """
    return [sys.executable, "-c", _CHILD, str(Path(__file__).parent), module, *arguments]
