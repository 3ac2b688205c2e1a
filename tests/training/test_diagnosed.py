"""Trainings that are made to fail, and trainings that are fine: one verdict, the same in terminal, log and report."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.training.runs import TINY, log_entries, tiny_recipe
from transfigure.cli.main import main
from transfigure.errors import RunFailure
from transfigure.evaluation.diagnosis import diagnose_run
from transfigure.recipe import Recipe
from transfigure.reporting.run.page import report
from transfigure.training.trainer import train

pytestmark = pytest.mark.usefixtures("drawn_once")

SOON = {"data.train": 40, "training.epochs": 6, "training.batch_size": 4, "training.log_every": 20, "training.preview_every": 40}
LOOKS = {**SOON, "training.validate_every": 0, "training.ema": "null"}
WINS = {
    **{"training.learning_rate": 1e-6, "training.discriminator_learning_rate": 0.02, "discriminator.width": 8},
    **{"training.batch_size": 1, "training.epochs": 7},
}
FAILING: dict[str, tuple[dict[str, Any], str, set[str]]] = {
    "rate 30": ({"training.learning_rate": 30}, "diverged", {"weights", "saturated"}),
    "rate 1000": ({"training.learning_rate": 1000}, "diverged", {"weights", "saturated"}),
    "rate 1": ({"training.learning_rate": 1}, "diverged", {"saturated"}),
    "D's rate 30": ({"training.discriminator_learning_rate": 30}, "diverged", {"weights"}),
    "relativistic, rate 30": (
        {"training.learning_rate": 30, "objective.adversarial.loss": "relativistic"},
        "diverged",
        {"weights", "saturated"},
    ),
    "D wins": (WINS, "discriminator wins", {"d_wins"}),
    "relativistic, D wins": (
        {**WINS, "training.discriminator_learning_rate": 0.05, "objective.adversarial.loss": "relativistic", "training.epochs": 12},
        "discriminator wins",
        {"d_wins"},
    ),
}


LONG = {"relativistic, D wins"}


@pytest.mark.parametrize("case", [pytest.param(case, marks=pytest.mark.slow) if case in LONG else case for case in FAILING])
def test_a_training_made_to_fail_is_told_while_it_fails(case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given, word, codes = FAILING[case]
    run = tmp_path / "run"
    flags = [piece for key, value in {**TINY, **LOOKS, **given}.items() for piece in (f"--{key}", str(value))]
    assert main(["train", "pix2pix_tiny", "--out", str(run), *flags]) == 0
    printed = capsys.readouterr()
    findings = [entry for entry in log_entries(run) if entry["kind"] == "health"]
    assert codes <= {entry["code"] for entry in findings}, findings
    assert all(entry["images"] <= 480 for entry in findings), "while it happens"
    for entry in findings:
        assert f"warning: {entry['message']}" in printed.err
    assert f"diagnosis: {word}: " in printed.out
    page = (run / "report.html").read_text(encoding="utf-8")
    assert f"Diagnosis: {word}." in page
    assert diagnose_run(run).word == word


def test_weights_that_are_no_numbers_are_in_the_log_and_the_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from transfigure.training import trainer

    end = trainer.Trainer._end_epoch

    def spoilt(self: trainer.Trainer) -> None:
        next(self.generator.parameters()).data.fill_(float("nan"))
        end(self)

    monkeypatch.setattr(trainer.Trainer, "_end_epoch", spoilt)
    with pytest.raises(RunFailure, match="no longer finite"):
        train(tiny_recipe(), tmp_path / "run", quiet=True)
    assert diagnose_run(tmp_path / "run").word == "diverged"
    assert "Diagnosis: diverged." in report(tmp_path / "run", quiet=True).read_text(encoding="utf-8")


UNET = {"generator.depth": 3, "generator.dropout_layers": 1}
FINE: list[tuple[str, int, dict[str, Any]]] = [
    ("pix2pix", 0, UNET),
    ("pix2pix", 1, {**UNET, "training.batch_size": 1}),
    ("pix2pix_small", 2, UNET),
    ("pix2pix_cosine", 0, UNET),
    ("cgan", 0, UNET),
    ("l1_gan", 1, UNET),
    ("l1", 0, UNET),
    ("encoder_decoder", 0, UNET),
    ("pix2pix_tiny", 3, UNET),
    ("streamlined_small", 0, {"data.unpaired": True}),
    ("streamlined", 1, {"data.unpaired": True, "generator.depth": 2}),
    (
        "cut",
        0,
        {
            **{"data.unpaired": True, "generator.blocks": 1, "data.load_size": 16, "data.crop_size": 16},
            **{f"objective.terms.contrastive.{key}": 32 for key in ("patches", "width")},
        },
    ),
]


def fine(name: str, seed: int, more: dict[str, Any], epochs: int) -> Recipe:
    given = {
        **{"data.kind": "synthetic", "data.path": None, "data.source": "labels", "data.target": "day", "training.seed": seed},
        **{"data.train": 40, "data.val": 4, "data.test": 1, "data.load_size": 32, "data.crop_size": 32, "generator.width": 8},
        **{"training.epochs": epochs, "training.batch_size": 4, "training.log_every": 20, "training.preview_every": 40},
        **{"training.accelerator": "cpu", "training.validate_every": 0},
        **({} if name == "l1" else {"discriminator.width": 8, "discriminator.receptive_field": 16}),
        **more,
    }
    return Recipe.load(name, given)


@pytest.mark.parametrize(("name", "seed", "more"), [pytest.param(*one, marks=pytest.mark.slow) if one[0] == "cut" else one for one in FINE])
def test_a_short_training_that_is_fine_is_too_short_to_tell(name: str, seed: int, more: dict[str, Any], tmp_path: Path) -> None:
    run = train(fine(name, seed, more, 4), tmp_path / "run", quiet=True)
    found = diagnose_run(run)
    assert (found.word, found.reasons) == ("too early to say", ("Only 160 images have been seen.",))


@pytest.mark.slow
@pytest.mark.parametrize(("name", "seed", "more"), FINE)
def test_a_training_that_is_fine_is_healthy(name: str, seed: int, more: dict[str, Any], tmp_path: Path) -> None:
    run = train(fine(name, seed, more, 26), tmp_path / "run", quiet=True)
    assert diagnose_run(run).word == "healthy"
    assert [entry for entry in log_entries(run) if entry["kind"] == "health"] == []
