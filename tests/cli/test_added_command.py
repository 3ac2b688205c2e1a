"""A command is one file: added to a copy of the package, it is in the help, the list, the reference and the contract tests."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import transfigure

PACKAGE = Path(transfigure.__file__).parent
TESTS = Path(__file__).resolve().parents[1]
COMMAND = '''"""Greet whoever is named."""

import argparse

EPILOG = """\\
examples:

  transfigure greet Phillip --times 2
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="who is greeted")
    parser.add_argument("--times", type=int, default=1, help="how often")


def run(options: argparse.Namespace, overrides: dict[str, str]) -> int:
    print(f"hello {options.name}\\n" * options.times, end="")
    return 0
'''


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("copy")
    shutil.copytree(PACKAGE, folder / "src" / "transfigure", ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "src" / "transfigure" / "cli" / "commands" / "greet.py").write_text(COMMAND)
    (folder / "tests" / "cli").mkdir(parents=True)
    for name in ("__init__.py", "cli/__init__.py", "cli/saying.py", "cli/test_commands.py"):
        shutil.copy(TESTS / name, folder / "tests" / name)
    return folder


def _in(copy: Path, *words: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(copy / "src")}
    result = subprocess.run([sys.executable, *words], capture_output=True, text=True, cwd=copy, env=environment, timeout=120, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def test_it_is_found_everywhere(copy: Path) -> None:
    assert _in(copy, "-m", "transfigure", "greet", "Phillip", "--times", "2") == "hello Phillip\nhello Phillip\n"
    assert "greet       greet whoever is named\n" in _in(copy, "-m", "transfigure", "--help")
    assert "greet       greet whoever is named\n" in _in(copy, "-m", "transfigure", "list", "command") + "\n"
    page = _in(copy, "-m", "transfigure", "list", "command", "--markdown")
    assert "## `greet`" in page and "| `--times TIMES` | how often (default: 1) |" in page and "[`greet`](#greet)" in page


def test_the_contract_tests_hold_it(copy: Path) -> None:
    words = ("-m", "pytest", "-q", "--noconftest", "-p", "no:cacheprovider", "-rA", "-k", "greet", "tests/cli/test_commands.py")
    passed = [line for line in _in(copy, *words).splitlines() if line.startswith("PASSED")]
    assert len(passed) >= 6 and all("[greet]" in line for line in passed)
