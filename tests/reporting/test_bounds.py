"""A page is made of what can be shown: neither thousands of terms nor a log of any length holds it up."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from transfigure import stored
from transfigure.reporting.run.page import report
from transfigure.reporting.run_files import MOST_NAMES, Log, RunFiles


def line(kind: str, images: int, **values: object) -> str:
    return json.dumps({"kind": kind, "images": images, **values}, separators=(",", ":")) + "\n"


def run(folder: Path, *lines: str) -> Path:
    folder.mkdir()
    (folder / "recipe.yaml").write_text("name: run\n")
    (folder / "log.jsonl").write_text("".join(lines))
    return folder


def test_one_line_of_3000_terms_holds_nothing_up(tmp_path: Path) -> None:
    """0.1.0 drew 3,000 figures, for a minute."""
    terms = {f"term {number}": float(number) for number in range(3000)}
    folder = run(tmp_path / "run", line("start", 0, pairs=2), line("step", 1, g=1.0, terms=terms, gradients=terms))
    page = report(folder).read_text(encoding="utf-8")
    assert "names 3,000 loss terms: the first 24 are shown" in page and "3,000 gradient norms" in page
    assert page.count(", unweighted") == MOST_NAMES and page.count("<figure") < 2 * MOST_NAMES


def test_thousands_of_findings_are_counted(tmp_path: Path) -> None:
    folder = run(tmp_path / "run", *(line("health", at, code="c", level="warning", message=f"finding {at}.") for at in range(3000)))
    files = RunFiles.read(folder)
    assert len(files.log.health) == 100 and files.log.health[-1]["images"] == 2999
    assert any("3,000 findings" in note for note in files.notes)


def test_a_long_log_is_thinned_and_keeps_what_is_no_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps = [line("step", at, g=1.0) for at in range(1, 1001)]
    folder = run(tmp_path / "run", line("start", 0), *steps, line("validation", 1000, metrics={"ssim": 0.5}), line("end", 1000))
    monkeypatch.setattr(stored, "WHOLE_LOG", (folder / "log.jsonl").stat().st_size // 10 + 1)
    files = RunFiles.read(folder)
    assert 90 <= len(files.log.steps) <= 110 and len(files.log.validations) == 1 and len(files.log.marks) == 2
    assert "log.jsonl is long: one in 10 of its steps is read." in files.notes


def test_a_line_without_end_and_one_of_thousands_of_digits_are_damaged(tmp_path: Path) -> None:
    folder = run(tmp_path / "run", "x" * (stored.LONGEST_LINE + 10) + "\n", '{"kind":"step","images":' + "1" * 4301 + "}\n", line("end", 3))
    log = Log.read(folder / "log.jsonl")
    assert log.damaged == 2 and len(log.marks) == 1


def test_a_recipe_whose_aliases_multiply_is_shown_as_text(tmp_path: Path) -> None:
    text = "\n".join(["a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]", *(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 12))])
    folder = run(tmp_path / "run", line("end", 3))
    (folder / "recipe.yaml").write_text(text)
    files = RunFiles.read(folder)
    assert files.recipe == {} and files.recipe_text == text
    assert any("stands for more than 50,000 values" in note for note in files.notes)


def test_an_evaluation_of_any_number_of_rows_and_columns(tmp_path: Path) -> None:
    folder = run(tmp_path / "run", line("end", 3))
    (folder / "evaluation").mkdir()
    (folder / "evaluation" / "evaluation.json").write_text(json.dumps({"rows": [{"metric": "m", "value": 1.0}] * 3000}))
    assert any("3,000 rows" in note for note in RunFiles.read(folder).notes)
    (folder / "evaluation" / "evaluation.json").write_text("[" * 100_000)
    assert any("not one JSON object" in note for note in RunFiles.read(folder).notes)
    (folder / "evaluation" / "evaluation.json").write_text(json.dumps({"rows": [{"metric": "m", "value": 1.0}]}))
    with (folder / "evaluation" / "per_image.csv").open("wb") as table:
        table.truncate(1 << 40)
    assert any("per_image.csv is left out" in note for note in RunFiles.read(folder).notes)
