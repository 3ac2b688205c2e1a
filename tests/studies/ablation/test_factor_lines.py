"""What became of every known factor, over seeds: from the analyses of the cells to the tables."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from transfigure.reporting.comparison.page import compare
from transfigure.studies.ablation.formats import to_dict, to_markdown
from transfigure.studies.ablation.summary import factor_lines, summarise
from transfigure.studies.ablation.variants import read_ablation

from .example import edit, write_ablation


def factor(name: str, role: str, preserved: float, generated: float, hidden: float | None = None, outcome: str = "lost") -> dict[str, Any]:
    random = {"preserved": 0.2, "generated": 0.9}
    values = {"preserved": {"value": preserved, "interval": [0, 1]}, "generated": {"value": generated, "interval": [0, 1]}}
    return {"name": name, "role": role, **values, "bounds": {"random target": random}, "hidden_information": hidden, "outcome": outcome}


def analysed(folder: Path) -> Path:
    """Two variations with two seeds; the second's second seed was never analysed."""
    write_ablation(folder, {"GAN": [{"ssim": 0.5}, {"ssim": 0.6}], "cycle": [{"ssim": 0.4}, {"ssim": 0.3}]})
    found = {
        "0/seed0": [factor("shape", "shared", 0.4, 0.8), factor("fill", "source only", 0, 1, 0.5), factor("ink", "target only", 0, 0.3)],
        "0/seed1": [
            factor("shape", "shared", 0.6, 0.8, outcome="partly preserved"),
            factor("fill", "source only", 0, 1, 0.7),
            factor("ink", "target only", 0, 0.5),
        ],
        "1/seed0": [factor("shape", "shared", 1.0, 0.9, outcome="preserved")],
    }
    for place, factors in found.items():
        (folder / "cells" / place / "analysis").mkdir()
        (folder / "cells" / place / "analysis" / "analysis.json").write_text(json.dumps({"factors": factors}))
    return folder


def test_each_is_asked_the_question_of_its_role(tmp_path: Path) -> None:
    lines = factor_lines(read_ablation(analysed(tmp_path / "a")))
    assert [(line.name, line.question, line.random_target) for line in lines] == [
        ("shape", "preserved", 0.2),
        ("fill", "hidden_information", None),
        ("ink", "generated", 0.9),
    ]
    shape, fill, ink = lines
    assert [value.mean for value in shape.values.values()] == [pytest.approx(0.5), 1.0]
    # By hand: t(0.975, 1) / sqrt(2) = 8.985 times s, which is 0.2 / sqrt(2).
    assert shape.values["GAN"].half == pytest.approx(1.2706, abs=1e-3)
    assert shape.values["cycle"].half is None
    assert shape.outcomes == {"GAN": "lost (1), partly preserved (1)", "cycle": "preserved (1)"}
    assert fill.values["GAN"].mean == pytest.approx(0.6) and ink.values["GAN"].mean == pytest.approx(0.4)
    assert "cycle" not in fill.values


def test_they_join_the_tables(tmp_path: Path) -> None:
    summary = summarise(read_ablation(analysed(tmp_path / "a")))
    assert [line["name"] for line in to_dict(summary)["factors"]] == ["shape", "fill", "ink"]
    rows = [line for line in to_markdown(summary).splitlines() if " shared " in line or " only " in line]
    assert rows == [
        "| shape | shared | preserved | 0.50 ± 1.27 | 1.00 | *0.20* |",
        "| fill | source only | hidden information | 0.60 ± 1.27 | - | - |",
        "| ink | target only | generated | 0.40 ± 1.27 | - | *0.90* |",
    ]
    page = compare(read_ablation(tmp_path / "a"), tmp_path / "a").read_text()
    assert 'id="factors"' in page and 'title="lost (1), partly preserved (1)"' in page


def test_damage_and_failures_are_left_out(tmp_path: Path) -> None:
    folder = analysed(tmp_path / "a")
    edit(folder, "GAN", 1, state="failed")
    (folder / "cells/1/seed0/analysis/analysis.json").write_text('{"factors": [1, {"name": "x", "role": "owner"}, {"name"')
    lines = factor_lines(read_ablation(folder))
    assert [(line.name, line.values["GAN"].n, list(line.values)) for line in lines] == [
        ("shape", 1, ["GAN"]),
        ("fill", 1, ["GAN"]),
        ("ink", 1, ["GAN"]),
    ]


def test_without_known_factors_nothing_is_said(tmp_path: Path) -> None:
    folder = write_ablation(tmp_path / "a", {"GAN": [{"ssim": 0.5}]})
    summary = summarise(read_ablation(folder))
    assert summary.factors == () and "factors" not in to_dict(summary) and "| factor |" not in to_markdown(summary)
    assert 'id="factors"' not in compare(read_ablation(folder), folder).read_text()


def test_analyses_of_0_1_0_say_the_same_in_their_own_words(tmp_path: Path) -> None:
    """Their keys were ``smuggled`` and ``verdict``, and two outcomes had other words."""
    now, before = analysed(tmp_path / "now"), analysed(tmp_path / "before")
    words = {"lost, but hidden in the output": "lost, but smuggled", "preserved though it should not be": "kept though it should not be"}
    for file in sorted(now.glob("cells/*/*/analysis/analysis.json")):
        factors = json.loads(file.read_text())["factors"]
        for factor, outcome in zip(factors, (*words, "preserved")):
            factor["outcome"] = outcome
        file.write_text(json.dumps({"factors": factors}))
        old = [
            {**factor, "smuggled": factor["hidden_information"], "verdict": words.get(factor["outcome"], "preserved")} for factor in factors
        ]
        for factor in old:
            del factor["hidden_information"], factor["outcome"]
        (before / file.relative_to(now)).write_text(json.dumps({"factors": old}))
    lines = factor_lines(read_ablation(before))
    assert lines == factor_lines(read_ablation(now))
    assert lines[1].values["GAN"].mean == pytest.approx(0.6) and "preserved though it should not be" in lines[1].outcomes["GAN"]
