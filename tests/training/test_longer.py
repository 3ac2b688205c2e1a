"""A run can be given another length: what follows is exact from there, by the schedule of the longer training."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.training.runs import TINY, assert_same_bits, log_entries, numbers, stop_after, tiny_recipe
from transfigure.cli import main
from transfigure.errors import UserError
from transfigure.recipe import Recipe
from transfigure.training.trainer import train

FLAGS = [word for key, value in TINY.items() for word in (f"--{key}", str(value))]


def test_a_finished_run_of_two_epochs_trained_on_to_four_is_a_run_of_four(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    constant = ["--training.schedule", "constant", "--training.log_every", "5"]  # 5 of 6: the means go over the joint
    whole, run = tmp_path / "whole", tmp_path / "run"
    assert main(["train", "pix2pix_tiny", *FLAGS, *constant, "--out", str(whole), "--quiet"]) == 0
    assert main(["train", "pix2pix_tiny", *FLAGS, *constant, "--training.epochs", "2", "--out", str(run), "--quiet"]) == 0
    capsys.readouterr()
    assert main(["train", "--out", str(run), "--resume", "--training.epochs", "4"]) == 0
    said = capsys.readouterr().err
    assert "note: training.epochs is 4 and was 2\n" in said and "spread anew" not in said
    assert_same_bits(whole, run)
    assert [entry for entry in numbers(run) if entry["kind"] == "step"] == [entry for entry in numbers(whole) if entry["kind"] == "step"]
    assert not Recipe.load(run / "recipe.yaml").differences(Recipe.load(whole / "recipe.yaml"))
    assert [entry["changed"] for entry in log_entries(run, "resume")] == [{"training.epochs": {"was": 2, "now": 4}}]
    assert main(["train", "--out", str(run), "--resume"]) == 0, "its own number is now 4"
    said = capsys.readouterr().err
    assert "this training is finished" in said and "and was" not in said
    assert "changed" not in log_entries(run, "resume")[-1]


@pytest.mark.parametrize(("schedule", "stood"), [("linear_decay", "0"), ("cosine", "0")])
def test_a_schedule_that_is_spread_goes_on_as_the_longer_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], schedule: str, stood: str
) -> None:
    """From the joint on every update has the rate that a run of four epochs has there; what came before it keeps its own."""
    more = {"training__schedule": schedule, "training__log_every": 1, "training__validate_every": 0}
    whole = train(tiny_recipe(**more), tmp_path / "whole", quiet=True)
    run = train(tiny_recipe(training__epochs=2, **more), tmp_path / "run", quiet=True)
    again = shutil.copytree(run, tmp_path / "again")
    before = [entry["learning_rate"] for entry in log_entries(run, "step")]
    capsys.readouterr()
    train(tiny_recipe(**more), run, resume=True)
    at = {"linear_decay": "0.0004", "cosine": "0.0002"}[schedule]
    note = f"{schedule} is spread anew, and the learning rate goes on at {at} where it stood at {stood}\n"
    assert f"note: training.epochs is 4 and was 2; {note}" in capsys.readouterr().err
    rates, wanted = ([entry["learning_rate"] for entry in log_entries(one, "step")] for one in (run, whole))
    assert rates == before + wanted[12:] and before != wanted[:12]
    train(tiny_recipe(**more), again, resume=True, quiet=True)
    assert_same_bits(run, again)


def test_less_than_was_trained_is_refused_and_leaves_everything(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = train(tiny_recipe(training__epochs=2, training__schedule="constant"), tmp_path / "run", quiet=True)
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    assert main(["train", "--out", str(run), "--resume", "--training.epochs", "1", "--quiet"]) == 2
    assert capsys.readouterr().err == "transfigure: training.epochs is 1, and 2 epochs are done: give at least 2 as --training.epochs\n"
    other = tiny_recipe(training__epochs=3, training__schedule="constant", training__learning_rate=1e-3)
    with pytest.raises(UserError, match=r"with another recipe: training\.learning_rate is 0\.001 but was 0\.0004; use its own"):
        train(other, run, resume=True, quiet=True)
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


def test_a_run_in_the_middle_of_an_epoch_can_end_with_it_and_no_earlier(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    constant = {"training__schedule": "constant", "training__checkpoint_every": 2}
    with monkeypatch.context() as patch:
        stop_after(9, patch, OSError)
        with pytest.raises(OSError, match="killed"):
            train(tiny_recipe(**constant), tmp_path / "run", quiet=True)
    with pytest.raises(UserError, match=r"training\.epochs is 1, and the run is in epoch 2: give at least 2 as --training\.epochs"):
        train(tiny_recipe(training__epochs=1, **constant), tmp_path / "run", resume=True, quiet=True)
    train(tiny_recipe(training__epochs=2, **constant), tmp_path / "run", resume=True, quiet=True)
    assert_same_bits(train(tiny_recipe(training__epochs=2, **constant), tmp_path / "whole", quiet=True), tmp_path / "run")
