from __future__ import annotations

import math
from pathlib import Path

import pytest
import yaml

from transfigure.reporting.run.words import score, summary, title
from transfigure.reporting.run_files import RunFiles
from transfigure.reporting.scores import Score


def test_the_summary_of_a_whole_run(run: Path) -> None:
    trained, scored = summary(RunFiles.read(run))
    for fact in (
        "A U-Net (depth 6, width 32, 1.9 M parameters)",
        "a conditional 70-pixel patch discriminator with 100\u00a0×\u00a0L1",
        "on 400 pairs for 20 epochs (8,000 images, 1 min 12 s on cpu)",
    ):
        assert fact in trained
    for fact in ("SSIM 0.431 [0.418, 0.445] on 128 test pairs", "the source gives 0.120", "the mean training target gives 0.310"):
        assert fact in scored
    assert title(RunFiles.read(run)) == ["pix2pix_small", "facades", "256 × 256 pixels"]


def test_the_summary_says_what_a_fine_tuned_run_began_with(run: Path) -> None:
    recipe = yaml.safe_load((run / "recipe.yaml").read_text())
    for start, words in (("/home/me/runs/a", "on cpu), beginning with the weights of runs/a."), (["a"], "on cpu)."), (None, "on cpu).")):
        (run / "recipe.yaml").write_text(yaml.safe_dump({**recipe, "training": {"epochs": 20, "start_from": start}}))
        assert summary(RunFiles.read(run))[0].endswith(words)


def test_the_summary_says_only_what_is_known(run: Path) -> None:
    (run / "log.jsonl").unlink()
    (run / "evaluation" / "evaluation.json").unlink()
    (run / "environment.json").unlink()
    (recipe,) = summary(RunFiles.read(run))
    assert recipe.startswith("The recipe: a U-Net (depth 6, width 32)") and recipe.endswith("with 100\u00a0×\u00a0L1.")
    assert not any(unknown in recipe for unknown in ("parameters", "pairs", "epochs", "images", "SSIM"))
    (run / "recipe.yaml").unlink()
    files = RunFiles.read(run)
    assert summary(files) == [] and title(files) == ["facades"]


def test_an_evaluation_alone_is_called_after_its_directory(folders: Path, run: Path) -> None:
    assert title(RunFiles.read(folders)) == ["compared"]
    assert title(RunFiles.read(run / "evaluation")) == ["facades"]


@pytest.mark.parametrize(
    ("objective", "words"),
    [
        (
            {"adversarial": None, "terms": [{"loss": "l1"}, {"loss": "ssim", "weight": 0.5}]},
            "with 1\u00a0×\u00a0L1 + 0.5\u00a0×\u00a0SSIM and no discriminator",
        ),
        ({"adversarial": {"conditional": False}, "terms": []}, "against an unconditional 70-pixel patch discriminator and nothing else"),
        ({"adversarial": {"loss": "vanilla"}}, "against a 70-pixel patch discriminator and nothing else"),
        (None, "trained on 400 pairs"),
        ({"adversarial": True, "terms": "l1"}, "trained on 400 pairs"),
    ],
)
def test_the_objective_in_words(run: Path, objective: object, words: str) -> None:
    recipe = yaml.safe_load((run / "recipe.yaml").read_text())
    (run / "recipe.yaml").write_text(yaml.safe_dump({**recipe, "objective": objective}))
    assert words in summary(RunFiles.read(run))[0]


def test_a_score_in_words() -> None:
    assert score(Score.from_dict({"value": 17.21, "low": 16.9, "high": 17.54, "unit": "dB"})) == "17.2 [16.9, 17.5] dB"
    assert score(Score.from_dict({"value": math.nan})) == "not a number"
