"""The errors a user sees: one sentence each, with the exit code that belongs to it.

The command line prints ``transfigure: <sentence>`` and exits with ``exit_code``; from Python they are ordinary exceptions.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

# What a terminal obeys or cannot show: C0 and C1 controls, line and paragraph separators, marks that turn the direction of what
# follows, and lone surrogates, which stand for bytes of a file name that are no letters.
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")

_LONGEST = 10_000
"""Letters of a line. A value in a file may be of any length, and would push the sentence out of sight; no path is longer than 4096."""


class TransfigureError(Exception):
    """A failure we can explain. The message is one sentence: what, which value, and the way out.

    Args:
        message: the sentence.
        lines: further lines, where the message is a list.
    """

    exit_code = 1

    def __init__(self, message: str = "", *lines: str) -> None:
        super().__init__(message, *lines)

    def __str__(self) -> str:
        return "\n".join(map(str, self.args))

    @property
    def printable(self) -> str:
        """The message as a terminal may show it: the only line breaks are those between its lines, and a line without end is cut."""
        return "\n".join(_cut(printable(line)) for line in self.args)


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


class ToldByAnother(TransfigureError):
    """What ends all processes of a training is said by one of them, and this is another: it ends with the same code and says nothing."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


NOT_ENOUGH_MEMORY = (
    "not enough memory for this: use a smaller --training.batch_size, --data.crop_size or --generator.width, or in training "
    "--training.checkpoint_activations true"
)


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory is full, in the words of torch for GPUs, Linux and Windows."""
    full = ("out of memory", "allocate memory", "not enough memory")
    return isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and any(words in str(error).lower() for words in full))


class Skipped(Exception):
    """A metric that cannot be computed on what it is given; the message says why, and what would help."""


def _cut(line: str) -> str:
    return line if len(line) <= _LONGEST else f"{line[:2000]} ... {line[-500:]} ({len(line):,} letters)"


def printable(text: object, lines: bool = False) -> str:
    """Text as a terminal may show it: control characters, direction overrides and bytes that are no letters as visible escapes.

    Whatever came from a file name, a recipe, a table or a server may hold an escape sequence that moves the cursor or retitles the window,
    or a line break that forges a message of ours.

    Args:
        text: anything; what ``str`` makes of it.
        lines: the text is several lines on purpose, so line breaks stay. The names inside must have been made printable before.

    Example:
        >>> printable("a\\nb\\x1b[2J.png")
        'a\\\\nb\\\\x1b[2J.png'
    """
    return _UNPRINTABLE.sub(lambda found: "\n" if lines and found[0] == "\n" else _escape(found[0]), str(text))


def _escape(letter: str) -> str:
    code = ord(letter)
    if 0xDC80 <= code <= 0xDCFF:  # os.fsdecode's sign for one byte
        return f"\\x{code - 0xDC00:02x}"
    return letter.encode("unicode_escape", "surrogatepass").decode("ascii")


_LISTED = 25
"""More words than this are not read."""


def did_you_mean(word: str, known: Iterable[str], where: str = "") -> str:
    """`` (did you mean 'x'?)`` if a known word is close, else the known words; always starts with a space.

    Args:
        word: what was given.
        known: what there is.
        where: what the words stand in, as ``training``: a close one is written ``training.epochs``, as it is typed.
    """
    known = sorted(known)
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    if close:
        nearest = f"{where}.{close[0]}" if where else close[0]
        return f" (did you mean {nearest!r}?)"
    more = f" and {len(known) - _LISTED} more" if len(known) > _LISTED else ""
    return f" (known: {', '.join(known[:_LISTED])}{more})" if known else ""
