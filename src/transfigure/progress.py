"""All that is printed: results on stdout, progress and notes on stderr, with rate and time left, so that the two never mix.

Nothing else in the package writes to the terminal (a test looks for it), so names are made printable in one place, and a stream that is
closed, full or of a small alphabet is met in one place.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import sys
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Never, TypeVar

from .errors import RunFailure, printable

if TYPE_CHECKING:
    from tqdm import tqdm

T = TypeVar("T")
_FORMAT = "{desc}  [{bar:16}] {n_fmt}/{total_fmt}  {rate_fmt}  {remaining} left"


class _Stderr(io.TextIOBase):
    """The process's stderr at the time of writing. That nobody listens any more (closed, full, a broken pipe) ends no work.

    Args:
        redraws: it is a terminal, on which a bar redraws its line; elsewhere each state of a bar is a line of its own.
    """

    def __init__(self, redraws: bool) -> None:
        self._redraws = redraws

    def write(self, text: str) -> int:
        words = text if self._redraws else text.strip("\r\n ")
        if words:
            self._pass_on(words if self._redraws else words + "\n")
        return len(text)

    def _pass_on(self, text: str) -> None:
        with contextlib.suppress(OSError, ValueError):
            if sys.stderr is not None:
                sys.stderr.write(text)
                sys.stderr.flush()

    def isatty(self) -> bool:
        return self._redraws

    def fileno(self) -> int:  # a bar asks it for the width of the terminal
        return sys.stderr.fileno()


_TERMINAL, _LINES = _Stderr(redraws=True), _Stderr(redraws=False)


def say(message: str, lines: bool = False) -> None:
    """One line to a person, on stderr, without tearing a progress bar.

    Args:
        message: what to say; names in it are made printable.
        lines: it is several lines on purpose.
    """
    for rename in _renames:
        if not (message := rename(message)):
            return
    text = printable(message, lines) + "\n"
    bars = sys.modules.get("tqdm")  # where nothing has been tracked, there is no bar to tear
    with bars.tqdm.external_write_mode(file=_TERMINAL) if bars is not None else contextlib.nullcontext():
        _TERMINAL.write(text)


_renames: list[Callable[[str], str]] = []


@contextlib.contextmanager
def renaming(rename: Callable[[str], str]) -> Iterator[None]:
    """What is said meanwhile is said as this makes it: a file that lies here for a while is called by the name of what it is.

    An empty word is not said.
    """
    _renames.append(rename)
    try:
        yield
    finally:
        _renames.remove(rename)


def on_terminal() -> bool:
    """Whether a person looks on while it runs."""
    return sys.stderr is not None and sys.stderr.isatty()


class _Ignored:
    """How many threads are where warnings are ignored; the first to come ignores them, the last to leave does no longer."""

    def __init__(self) -> None:
        self.lock, self.threads, self.before = threading.Lock(), 0, warnings.catch_warnings()

    def enter(self) -> None:
        with self.lock:
            if self.threads == 0:
                self.before = warnings.catch_warnings()
                self.before.__enter__()
                warnings.simplefilter("ignore")
            self.threads += 1

    def leave(self) -> None:
        with self.lock:
            self.threads -= 1
            if self.threads == 0:
                self.before.__exit__(None, None, None)


_ignored = _Ignored()


def _forget_other_threads() -> None:
    global _ignored
    _ignored = _Ignored()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_other_threads)


@contextlib.contextmanager
def without_warnings() -> Iterator[None]:
    """A library's asides are not shown; for many threads at once, where ``warnings.catch_warnings`` lets each undo another's."""
    mine = _ignored
    mine.enter()
    try:
        yield
    finally:
        mine.leave()


def open_streams() -> None:
    """Make the standard streams of a program usable, whatever it was started with; to be called before anything is opened.

    A stream that is closed (``2>&-``, some daemons) becomes the null device: otherwise the next file that is opened takes its number, and
    what a library prints lands in a checkpoint. What a stream's alphabet lacks (ASCII, Latin-1) is written as an escape.
    """
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            opened = os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free: this one
            os.set_inheritable(opened, True)
    for name in ("stdin", "stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            null = Path(os.devnull).open("r" if name == "stdin" else "w", encoding="utf-8")  # noqa: SIM115 as long as the process lives
            setattr(sys, name, null)
        elif name != "stdin" and isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def abandon_stdout() -> None:
    """Nobody reads it, or nothing fits in it: what is left in it is dropped, where the interpreter would complain at its end."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
        os.close(null)


def print_result(text: object, lines: bool = False, end: str = "\n") -> None:
    """A command's result, on stdout.

    Args:
        text: the result; names in it are made printable.
        lines: it is several lines on purpose, such as a table.
        end: what follows it.

    Raises:
        BrokenPipeError: who read it has gone.
        RunFailure: it cannot be written, for lack of space.
    """
    if sys.stdout is None:
        return
    try:
        sys.stdout.write(printable(text, lines) + end)
        sys.stdout.flush()
    except BrokenPipeError:
        abandon_stdout()
        raise
    except OSError as error:
        abandon_stdout()
        raise RunFailure(f"the result cannot be printed ({error.strerror}): what was written to files is there") from error


def duration(seconds: float) -> str:
    """``48 s``, ``3 min 05 s``, ``1 h 04 min``."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


class Progress:
    """A progress line: what, how far, how fast, how long still, and any words behind it.

    Args:
        total: how many units there are.
        what: what is going on, such as ``train``.
        unit: what is counted, such as ``img``.
        initial: units already done (a resumed run).
        quiet: print nothing.
    """

    def __init__(self, total: int, what: str, unit: str = "img", initial: int = 0, quiet: bool = False) -> None:
        from tqdm import tqdm

        self._total, self._done = total, initial
        interactive = on_terminal()
        self._bar: tqdm[Never] = tqdm(
            total=total,
            initial=initial,
            desc=printable(what),
            unit=f" {unit}",
            file=_TERMINAL if interactive else _LINES,
            disable=quiet or sys.stderr is None,
            leave=interactive,
            position=None if interactive else 0,  # a pipe has no lines above to go up to
            dynamic_ncols=interactive,
            ascii="-#",
            mininterval=0.2 if interactive else 15.0,
            maxinterval=15.0,
            delay=1.0,
            bar_format=_FORMAT,
        )

    def expect(self, total: int) -> None:
        """There will be so many units, as is known better by now."""
        self._total = self._bar.total = max(total, self._done)

    def advance(self, units: int = 1) -> None:
        """Count units as done."""
        self._done += units
        self._bar.update(units)

    @property
    def left(self) -> int:
        """Units to come."""
        return self._total - self._done

    def words(self, what: str | None = None, after: str = "") -> None:
        """Change the words before and after the bar."""
        if what is not None:
            self._bar.set_description_str(printable(what), refresh=False)
        self._bar.bar_format = f"{_FORMAT}{printable(after)}".rstrip()

    def close(self) -> None:
        """Finish the line."""
        self._bar.close()

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def track(items: Iterable[T], total: int, what: str, unit: str = "img", quiet: bool = False) -> Iterator[T]:
    """Iterate with a progress line."""
    with Progress(total, what, unit, quiet=quiet) as progress:
        for item in items:
            yield item
            del item  # or it is in memory while the next is being made
            progress.advance()


@contextlib.contextmanager
def filtered_stderr(dropped: re.Pattern[bytes]) -> Iterator[None]:
    """Lines that a library writes on the descriptor of stderr itself are dropped; all others pass. Python's own stderr goes past this.

    Args:
        dropped: what such lines begin with.
    """
    try:
        real = os.dup(2)
    except OSError:  # closed
        yield
        return
    stream = sys.stderr
    reading, writing = os.pipe()
    os.dup2(writing, 2)
    os.close(writing)
    passing = threading.Thread(target=_pass_on, args=(reading, real, dropped), daemon=True, name="filtered stderr")
    passing.start()
    with contextlib.suppress(OSError, ValueError, AttributeError):
        if stream.fileno() == 2:
            sys.stderr = os.fdopen(os.dup(real), "w", encoding=stream.encoding, errors=stream.errors, buffering=1)
    mine = sys.stderr
    try:
        yield
    finally:
        if mine is not stream:
            if sys.stderr is mine:
                sys.stderr = stream
            mine.close()
        os.dup2(real, 2)
        passing.join(timeout=1)  # children that are ending may hold the other end for longer
        if not passing.is_alive():
            os.close(real)


def _pass_on(reading: int, real: int, dropped: re.Pattern[bytes]) -> None:
    with open(reading, "rb") as lines:
        for line in lines:
            if not dropped.match(line):
                with contextlib.suppress(OSError):
                    os.write(real, line)
