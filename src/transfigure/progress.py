"""Progress on stderr, with rate and time left; results go to stdout, so the two never mix."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import TypeVar

from tqdm import tqdm

T = TypeVar("T")
_FORMAT = "{desc}  [{bar:16}] {n_fmt}/{total_fmt}  {rate_fmt}  {remaining} left"


class _Lines(io.TextIOBase):
    """stderr where there is no terminal to redraw a line on: each state of the bar is a line of its own."""

    def write(self, text: str) -> int:
        words = text.strip("\r\n ")
        if words:
            sys.stderr.write(words + "\n")
        return len(text)

    def flush(self) -> None:
        sys.stderr.flush()


def say(message: str) -> None:
    """One line to a person, on stderr, without tearing a progress bar."""
    tqdm.write(message, file=sys.stderr)


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
        interactive = sys.stderr.isatty()
        self._bar = tqdm(
            total=total,
            initial=initial,
            desc=what,
            unit=f" {unit}",
            file=sys.stderr if interactive else _Lines(),
            disable=quiet,
            leave=interactive,
            dynamic_ncols=interactive,
            ascii="-#",
            mininterval=0.2 if interactive else 15.0,
            maxinterval=15.0,
            delay=1.0,
            bar_format=_FORMAT,
        )

    def advance(self, units: int = 1) -> None:
        """Count units as done."""
        self._bar.update(units)

    def words(self, what: str | None = None, after: str = "") -> None:
        """Change the words before and after the bar."""
        if what is not None:
            self._bar.set_description_str(what, refresh=False)
        self._bar.bar_format = f"{_FORMAT}{after}".rstrip()

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
            progress.advance()
