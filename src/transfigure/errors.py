"""The errors a user sees: one sentence each, with the exit code that belongs to it.

The command line prints ``transfigure: <sentence>`` and exits with ``exit_code``; from Python they are ordinary exceptions.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class TransfigureError(Exception):
    """A failure we can explain. The message is one sentence: what, which value, and the way out."""

    exit_code = 1


class UserError(TransfigureError):
    """Something given by the user cannot be used: a file, a value, a name. Exit code 2."""

    exit_code = 2


class Missing(TransfigureError):
    """An optional extra or a file of weights is not there. Exit code 3."""

    exit_code = 3

    @classmethod
    def extra(cls, package: str, extra: str, purpose: str) -> Missing:
        """The sentence for an optional package that is not installed."""
        return cls(f"{purpose} needs the package {package!r}: install it with  pip install 'transfigure[{extra}]'")


class RunFailure(TransfigureError):
    """A run could not go on (NaN, full disk). What was saved before is intact. Exit code 1."""


class Interrupted(TransfigureError):
    """The user (130) or the system (143) asked us to stop; the state has been saved."""

    def __init__(self, message: str, exit_code: int = 130) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class Skipped(Exception):
    """A metric that cannot be computed on what it is given; the message says why, and what would help."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`` (did you mean 'x'?)`` if a known word is close, else the known words; always starts with a space."""
    known = sorted(known)
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    if close:
        return f" (did you mean {close[0]!r}?)"
    return f" (known: {', '.join(known)})" if known else ""
