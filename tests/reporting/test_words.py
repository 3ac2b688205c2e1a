from __future__ import annotations

import math
from pathlib import Path

import pytest
import yaml

from transfigure.reporting.run_files import RunFiles, Score
from transfigure.reporting.words import count, plain, score, summary, title, weight


def test_the_summary_of_a_whole_run(run: Path) -> None:
    assert summary(RunFiles.read(run)) == [
        "A U-Net (depth 6, width 32, 1.9 M parameters) trained against a conditional 70-pixel patch discriminator with 100\u00a0×\u00a0L1 "
        "on 400 pairs for 20 epochs (8,000 images, 1 min 12 s on cpu).",
        "PSNR 17.2 [16.9, 17.5] dB on 128 test pairs; copying the source gives 8.1, the mean training target gives 12.3.",
    ]
    assert title(RunFiles.read(run)) == ["pix2pix_small", "facades", "256 × 256 pixels"]


def test_the_summary_says_only_what_is_known(run: Path) -> None:
    (run / "log.jsonl").unlink()
    (run / "evaluation" / "evaluation.json").unlink()
    (run / "environment.json").unlink()
    assert summary(RunFiles.read(run)) == [
        "The recipe: a U-Net (depth 6, width 32) trained against a conditional 70-pixel patch discriminator with 100\u00a0×\u00a0L1."
    ]
    (run / "recipe.yaml").unlink()
    files = RunFiles.read(run)
    assert summary(files) == [] and title(files) == ["facades"]


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


def test_numbers_are_written_for_people() -> None:
    assert [plain(value) for value in (17.21, 0.4312, 123.4, -0.05, 0.0, 48_000.4, None)] == [
        "17.2", "0.431", "123", "−0.0500", "0.00", "48,000", "not a number",
    ]  # fmt: skip
    assert [count(value) for value in (12, 1_900_000, 45_600)] == ["12", "1.9 M", "45.6 k"]
    assert [weight(value) for value in (512, 1400, 217_000_000, 3e12)] == ["512 bytes", "1.4 kB", "217 MB", "3e+03 GB"]
    assert score(Score.of({"value": 17.21, "low": 16.9, "high": 17.54, "unit": "dB"})) == "17.2 [16.9, 17.5] dB"
    assert score(Score.of({"value": math.nan})) == "not a number"
