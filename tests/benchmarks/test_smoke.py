"""Every benchmark runs, at the toy size that it names itself in ``TOY``; what it measures there means nothing and is not looked at."""

from __future__ import annotations

import ast
import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BENCHMARKS = sorted([*(ROOT / "benchmarks").glob("*.py"), *(ROOT / "benchmarks").glob("*/__main__.py")])


def toy(file: Path) -> list[str] | None:
    """The arguments that a benchmark gives for a run of seconds."""
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and [getattr(target, "id", None) for target in node.targets] == ["TOY"]:
            return [str(argument) for argument in ast.literal_eval(node.value)]
    return None


@pytest.mark.slow
@pytest.mark.parametrize("file", BENCHMARKS, ids=lambda file: file.parent.name if file.stem == "__main__" else file.stem)
def test_a_benchmark_runs_at_toy_size_and_prints_numbers(file: Path, tmp_path: Path, forking_python: str) -> None:
    """And so do the children that it starts, each of which is forked from a Python that has imported torch already."""
    arguments = toy(file)
    assert arguments is not None, f"{file.name} names no toy size: write TOY = [...], the arguments of a run that takes seconds"
    script = file.parent if file.stem == "__main__" else file
    one_thread = {**os.environ, "OMP_NUM_THREADS": "1"}  # several that wait for each other, beside other tests, would take minutes
    command = [forking_python, str(script), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=600, check=False, env=one_thread)
    assert done.returncode == 0, done.stderr[-2000:]
    assert any(character.isdigit() for character in done.stdout), "a benchmark prints what it measured"
    if script.name == "gpu":
        _all_parts_of_gpu_came_out(tmp_path / "gpu")


def _all_parts_of_gpu_came_out(out: Path) -> None:
    assert {path.name for path in out.iterdir()} == {"gpu.json", "gpu.txt", "runs.tar.gz", "panels_drawn.png", "panels_recipes.png"}
    told = (out / "gpu.txt").read_text(encoding="utf-8")
    sections = (
        "Correctness",
        "Training step, ",
        "Data path",
        "Whole trainings",
        "Inference",
        "Every mode",
        "476 pairs",
        "modern beside",
        "Trainings",
    )
    assert [section for section in sections if f"\n{section}" not in told] == []
    assert "\n  NO " not in told and "left out" not in told
    assert told.count("source copied  mean training target") == 3, "a table for each training that is scored"


def test_there_are_benchmarks() -> None:
    found = {file.stem for file in BENCHMARKS}
    assert {"against_reference", "data", "evaluation", "ranking", "startup", "growth", "first_step", "memory", "compare"} <= found
    assert ROOT / "benchmarks" / "gpu" / "__main__.py" in BENCHMARKS
