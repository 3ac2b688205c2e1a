"""Typing commands as a person would, and looking at what they leave behind."""

from __future__ import annotations

import hashlib
import re
import shlex
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from transfigure.cli import main

ROOT = Path(__file__).resolve().parents[2]

TINY = (
    "--data.load_size 36 --data.crop_size 32 --data.val_fraction 0 --data.test_fraction 0 --generator.width 4 "
    "--discriminator.width 4 --discriminator.receptive_field 16 --training.epochs 1 --training.preview_count 1 "
    "--training.validate_every 0 --training.accelerator cpu"
)
"""Flags that make a training of pix2pix a matter of a second."""


UNSEEN = (DeprecationWarning, PendingDeprecationWarning, ImportWarning, ResourceWarning)
"""Warnings that Python does not print unless it is asked to."""


@dataclass(frozen=True)
class Result:
    """What a command printed, and its exit code."""

    code: int
    out: str
    err: str


def type_in(capsys: pytest.CaptureFixture[str], line: str) -> Result:
    """Type one line ``transfigure ...``; a traceback would fail the test by itself, and so does a warning of some library."""
    program, *words = shlex.split(line, comments=True)
    assert program == "transfigure", line
    capsys.readouterr()
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        code = main(words)
    said = capsys.readouterr()
    assert [str(item.message) for item in warned if not issubclass(item.category, UNSEEN)] == [], "Python would print these"
    return Result(code, said.out, said.err)


def done(capsys: pytest.CaptureFixture[str], line: str) -> str:
    """Type a line that must work; what it printed as its result."""
    result = type_in(capsys, line)
    assert result.code == 0, f"{line}\n{result.err}"
    return result.out


def refused(capsys: pytest.CaptureFixture[str], line: str, code: int = 2) -> str:
    """Type a line that must be refused, with ``--quiet`` where it could chat; the one sentence it said."""
    result = type_in(capsys, line)
    assert result.code == code, f"{line}\n{result}"
    assert "Traceback" not in result.err and result.err.startswith("transfigure: ") and result.err.endswith("\n"), result.err
    return result.err.removeprefix("transfigure: ").rstrip("\n")


def fingerprint(folder: Path) -> dict[str, str]:
    """Every file below a folder and a hash of what it holds."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


# ---- Markdown -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Block:
    """A fenced block: its language and its text."""

    language: str
    text: str

    @property
    def file(self) -> str | None:
        """The file name that the first line, a comment, gives it."""
        found = re.match(r"# ([\w.]+\.(?:py|yaml))\n", self.text)
        return found[1] if found else None

    @property
    def new_file(self) -> tuple[str, str] | None:
        """The path and the text of a file that a page tells people to add to the project: the first line is a comment with its path."""
        first, _, text = self.text.partition("\n")
        found = re.search(r"\bnew file: ([\w./]+)", first)
        return (found[1], text) if found else None


def blocks(page: Path) -> list[Block]:
    """The fenced blocks of a Markdown file, in order."""
    return [Block(*found) for found in re.findall(r"^```(\w+)\n(.*?)^```$", page.read_text(encoding="utf-8"), re.M | re.S)]


def shell_lines(text: str) -> Iterator[str]:
    """The commands of a bash block; a line that ends in a backslash goes on."""
    for line in text.replace("\\\n", " ").splitlines():
        if shlex.split(line, comments=True):
            yield line.strip()


def links(page: Path) -> Iterator[str]:
    """The files that a Markdown page links to."""
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if not target.startswith(("http://", "https://", "#")):
            yield target.partition("#")[0]
