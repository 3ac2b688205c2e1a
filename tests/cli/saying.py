"""What a command says, and a fresh Python to say it in."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest

from transfigure.cli import main


def said(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 2) -> str:
    """The one sentence that a refused command leaves on stderr."""
    assert main(arguments) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("transfigure: ") and captured.err.count("\n") == 1, captured.err
    return captured.err.removeprefix("transfigure: ").rstrip("\n")


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """What a command that works prints, with nothing beside it on stderr."""
    assert main(arguments) == 0, capsys.readouterr().err
    captured = capsys.readouterr()
    assert captured.err == ""
    return captured.out


def run_python(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run code in a Python that has imported nothing yet."""
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), *arguments], capture_output=True, text=True, timeout=120, check=False
    )
