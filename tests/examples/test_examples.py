"""Every file in ``examples/`` does what its head says: the commands there are typed, and what it registers is used by them."""

from __future__ import annotations

import ast
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.journeys.commands import ROOT, blocks, done, shell_lines
from transfigure import registry

EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
each = pytest.mark.parametrize("example", EXAMPLES, ids=lambda file: file.stem)


def commands(example: Path) -> list[str]:
    """The indented lines of a file's docstring."""
    head = ast.get_docstring(ast.parse(example.read_text(encoding="utf-8")), clean=False) or ""
    return [line.strip() for line in head.splitlines() if line.startswith("    ")]


def written(folder: Path) -> Iterator[str]:
    """What the commands left behind that names what they used."""
    for pattern in ("recipe.yaml", "evaluation.json"):
        for file in folder.rglob(pattern):
            yield file.read_text(encoding="utf-8")


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the examples in it, where no plugin is loaded yet."""
    shutil.copytree(ROOT / "examples", tmp_path / "examples", ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(registry, "_plugins", {})
    monkeypatch.chdir(tmp_path)
    return tmp_path


@each
def test_its_commands_run_and_use_what_it_registers(
    desk: Path, capsys: pytest.CaptureFixture[str], forking_python: str, example: Path
) -> None:
    lines = commands(example)
    assert lines, f"the head of {example.name} shows no command to run it with"
    said = []
    for line in lines:
        if line.startswith("transfigure "):
            said.append(done(capsys, line))
        else:
            program, *words = shlex.split(line)
            assert program == "python", line
            finished = subprocess.run([forking_python, *words], capture_output=True, text=True, timeout=300, check=False)
            assert finished.returncode == 0, f"{line}\n{finished.stderr}"
            said.append(finished.stdout)
    everything = "\n".join([*said, *written(desk)])
    assert f"examples/{example.name}" in "".join(lines)
    assert [name for _, name in registry._plugins if name not in everything] == []


def test_the_page_on_extending_types_what_an_example_says() -> None:
    heads = [shlex.split(line) for example in EXAMPLES for line in commands(example)]
    typed = [line for block in blocks(ROOT / "docs" / "extending.md") if block.language == "bash" for line in shell_lines(block.text)]
    assert typed and [line for line in typed if shlex.split(line) not in heads] == []


def test_there_is_one_for_each_kind() -> None:
    """A kind that can be registered has an example of how."""
    text = "\n".join(example.read_text(encoding="utf-8") for example in EXAMPLES)
    assert [kind for kind in registry.KINDS if f'@register("{kind}", ' not in text] == []
