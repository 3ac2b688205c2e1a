"""What steadies a training beside G's objective is named, wherever results are shown."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.data.domains import domains
from tests.training.runs import unpaired_recipe
from transfigure.cli import main
from transfigure.recipe import Recipe, shipped, stabilisers
from transfigure.training.trainer import train


@pytest.mark.parametrize("name", [name for name in shipped() if name.startswith("streamlined") and name != "streamlined_modern"])
def test_the_bare_recipes_have_none(name: str) -> None:
    assert stabilisers(Recipe.load(name).to_dict()) == []


def test_the_modern_one_says_what_it_has() -> None:
    assert stabilisers(Recipe.load("streamlined_modern").to_dict()) == ["R1 1", "average of weights 0.999"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"objective.adversarial.r1": 10}, "R1 10"),
        ({"objective.adversarial.r2": 0.5}, "R2 0.5"),
        ({"objective.adversarial.augment": ["color", "cutout"]}, "augmentation (color, cutout)"),
        ({"objective.adversarial.pool": 50}, "pool of 50"),
        ({"objective.adversarial.real_label": 0.9}, "real label 0.9"),
        ({"discriminator.spectral": True}, "spectral norm"),
        ({"training.ema": 0.999}, "average of weights 0.999"),
    ],
)
def test_each_is_named(changes: dict[str, Any], words: str) -> None:
    assert stabilisers(Recipe.load("streamlined", changes).to_dict()) == [words]


def test_what_is_no_recipe_has_none() -> None:
    assert stabilisers({}) == stabilisers({"objective": None, "discriminator": 3, "training": {"ema": None}}) == []


def test_they_stand_in_every_report_and_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = domains(tmp_path / "data", trainA=4, trainB=4, testA=2, testB=2)
    for name, changes in (
        ("bare", {"objective.adversarial.r1": 0}),
        ("steady", {"objective.adversarial.r1": 2, "discriminator.spectral": True}),
    ):
        chosen = unpaired_recipe(
            "streamlined", data, **{"objective.adversarial.augment": [], "objective.adversarial.pool": 0, "training.epochs": 1, **changes}
        )
        run = str(train(chosen, tmp_path / name, quiet=True))
        assert main(["evaluate", run, "--metrics", "detail", "--out", f"{run}/evaluation", "--quiet"]) == 0
        assert main(["report", run]) == 0
    assert "stabilised by R1 2, spectral norm" in (tmp_path / "steady" / "report.html").read_text()
    assert "stabilised by" not in (tmp_path / "bare" / "report.html").read_text()
    assert "unpaired images, 4 in an epoch" in (tmp_path / "bare" / "report.html").read_text()
    assert "some target" in (tmp_path / "bare" / "report.html").read_text()
    capsys.readouterr()
    page = tmp_path / "both.html"
    assert main(["compare", str(tmp_path / "bare"), str(tmp_path / "steady"), "--out", str(page)]) == 0
    said = capsys.readouterr().out
    assert said.count("stabilised by R1 2, spectral norm") == 1
    assert "Stabilised by" in page.read_text() and "The data is unpaired" in page.read_text()
    costs = json.loads(page.with_suffix(".json").read_text())["cost"]
    assert sorted(str(cost["stabilisers"]) for cost in costs.values()) == ["None", "R1 2, spectral norm"]
