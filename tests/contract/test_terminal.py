"""What reaches a terminal: one place prints, and it prints no control character."""

from __future__ import annotations

import ast
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.imports import PACKAGE
from transfigure.errors import UserError, printable
from transfigure.progress import Progress, print_result, say

PRINTING = "progress.py"
STREAMS = {"stdout", "stderr", "__stdout__", "__stderr__"}


def printing(file: Path) -> Iterator[str]:
    """Every ``print(...)``, every use of a standard stream and every ``tqdm`` of a file, as ``file:line: what``."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        what = None
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print":
            what = "print"
        elif isinstance(node, ast.Attribute) and node.attr in STREAMS and isinstance(node.value, ast.Name) and node.value.id == "sys":
            what = f"sys.{node.attr}"
        elif isinstance(node, ast.ImportFrom) and node.module in ("sys", "tqdm"):
            what = f"from {node.module} import"
        if what is not None:
            yield f"{file.relative_to(PACKAGE).as_posix()}:{node.lineno}: {what}"


def test_one_place_prints() -> None:
    found = [each for file in sorted(PACKAGE.rglob("*.py")) if file.name != PRINTING for each in printing(file)]
    assert found == []


def test_the_search_finds_printing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.contract.test_terminal.PACKAGE", tmp_path)
    file = tmp_path / "some.py"
    file.write_text("import sys\nprint(1)\nsys.stderr.write('x')\nfrom tqdm import tqdm\n")
    assert sorted(printing(file)) == ["some.py:2: print", "some.py:3: sys.stderr", "some.py:4: from tqdm import"]


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("plain ä 日本 \U0001f600.png", "plain ä 日本 \U0001f600.png"),
        ("a\nb", "a\\nb"),
        ("a\rb\tc\x00", "a\\rb\\tc\\x00"),
        ("\x1b[2J\x1b]0;title\x07", "\\x1b[2J\\x1b]0;title\\x07"),
        ("\x7f\x85\x9b2J", "\\x7f\\x85\\x9b2J"),
        ("\u202egnp.exe", "\\u202egnp.exe"),
        ("\u2066x\u2069\u2028\u2029", "\\u2066x\\u2069\\u2028\\u2029"),
        (os.fsdecode(b"caf\xe9.png") if os.sep == "/" else "caf\udce9.png", "caf\\xe9.png"),
        ("\ud800", "\\ud800"),
    ],
)
def test_printable_shows_what_a_terminal_would_obey(name: str, shown: str) -> None:
    assert printable(name) == shown
    shown.encode()  # and it can be written anywhere that knows Unicode


def test_line_breaks_stay_only_where_they_are_meant() -> None:
    assert printable("a\nb\x1b", lines=True) == "a\nb\\x1b"


def test_an_error_of_several_lines_breaks_only_between_them() -> None:
    error = UserError("two files are bad:", "  a\nb.png", "  c.png")
    assert str(error) == "two files are bad:\n  a\nb.png\n  c.png"
    assert error.printable == "two files are bad:\n  a\\nb.png\n  c.png"


def test_a_line_without_end_is_cut() -> None:
    """A cell of a manifest may hold a hundred thousand letters, which would push the sentence out of sight."""
    path = "folder/" * 500 + "name.png"
    assert UserError(f"{path} does not exist: look").printable == f"{path} does not exist: look"
    for value in ("[" * 100_000, "- " * 50_000, "\x1b" * 25_000):
        shown = UserError(f"line 3 names {value}, which does not exist", "  and another").printable
        assert shown.startswith("line 3 names ") and " ... " in shown and ", which does not exist (1" in shown and len(shown) < 3000
        assert shown.endswith(" letters)\n  and another")


def test_bars_at_the_same_time_are_lines_of_a_file(capsys: pytest.CaptureFixture[str]) -> None:
    """On a terminal the second bar goes up to the first one's line; a pipe knows no up."""
    with Progress(2, "outer") as outer, Progress(2, "inner") as inner:
        for bar in (outer, inner, outer, inner):
            bar._bar.start_t -= 100  # long ago: a bar waits before it shows itself
            bar._bar.last_print_t -= 100
            bar.advance()
    lines = capsys.readouterr().err.splitlines()
    assert [line.split()[0] for line in lines] == ["outer", "inner", "outer", "inner"]
    assert all(line.isprintable() for line in lines)


def test_all_that_is_printed_is_printable(capsys: pytest.CaptureFixture[str]) -> None:
    say("note: \x1b[2J\n")
    print_result("a\u202eb\n")
    with Progress(2, "train \x1b[31m\n") as progress:
        progress.words("epoch \x1b", "  G\x1b 1")
        progress.advance()
    out, err = capsys.readouterr()
    assert out == "a\\u202eb\\n\n"
    assert err.startswith("note: \\x1b[2J\\n\n")
    assert "\x1b" not in err
