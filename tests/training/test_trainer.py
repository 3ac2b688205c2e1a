"""What a run leaves behind, and when it stops."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.training.runs import log_entries, stop_after, tiny_recipe
from transfigure.data import images
from transfigure.errors import Missing, UserError
from transfigure.recipe import Recipe
from transfigure.training import trainer
from transfigure.training.checkpoint import load_checkpoint
from transfigure.training.steps.pix2pix import Pix2PixStep
from transfigure.training.trainer import train
from transfigure.training.validation import Validation
from transfigure.translation.translator import Translator

pytestmark = pytest.mark.usefixtures("drawn_once")


def test_a_run_directory_holds_all_that_was_promised(tmp_path: Path) -> None:
    run = train(tiny_recipe(), tmp_path / "run", quiet=True)
    names = {path.name for path in run.iterdir()}
    assert names == {"recipe.yaml", "environment.json", "log.jsonl", "samples", "checkpoints", "model", "model_best"}
    assert Recipe.load(run / "recipe.yaml") == Recipe.from_dict(torch.load(run / "checkpoints" / "last.pt", weights_only=True)["recipe"])
    environment = json.loads((run / "environment.json").read_text())
    assert environment["torch"] == torch.__version__ and environment["seed"] == 0
    steps = log_entries(run, "step")
    assert [step["images"] for step in steps] == [4, 8, 12, 16, 20, 24]
    for step in steps:
        assert set(step) == {
            *("kind", "images", "epoch", "g", "d", "adversarial", "d_real", "d_fake"),
            *("terms", "gradients", "learning_rate", "images_per_second", "seconds"),
        }
        assert step["gradients"].keys() == {"adversarial", "l1"} and min(step["gradients"].values()) > 0
        assert step["g"] == pytest.approx(step["adversarial"] + 100 * step["terms"]["l1"], rel=1e-4)
        assert 0 <= step["d_real"] <= 1 and 0 <= step["d_fake"] <= 1
    assert [step["learning_rate"] for step in steps[:3]] == [4e-4] * 3
    assert steps[-1]["learning_rate"] == pytest.approx(4e-4 * 2 / 24)
    previews = log_entries(run, "preview")
    assert [entry["images"] for entry in previews] == [6, 12, 18, 24]
    assert all(entry["detail"] > 0 and entry["variation"] > 0 for entry in previews)
    assert len(log_entries(run, "validation")) == 4 and len(log_entries(run, "end")) == 1
    assert (run / "samples" / "fixed" / "0_source.png").is_file()
    assert {path.name for path in (run / "samples").iterdir()} == {"fixed", "00000006", "00000012", "00000018", "00000024"}
    assert images.read(run / "samples" / "00000024" / "1.png").shape == (32, 32, 3)


def test_the_model_is_the_average_where_there_is_one(tmp_path: Path) -> None:
    run = train(tiny_recipe(training__ema=0.9), tmp_path / "run", quiet=True)
    state = torch.load(run / "checkpoints" / "last.pt", weights_only=True)
    model = Translator.load(run).generator.state_dict()
    assert all(torch.equal(model[name], state["ema"]["generator"][name]) for name in model)
    assert any(not torch.equal(model[name], state["step"]["generator"][name]) for name in model)


def scripted(monkeypatch: pytest.MonkeyPatch, values: list[float], metric: str = "ssim") -> None:
    """Validations that go as the script says."""
    left = iter(values)
    monkeypatch.setattr(Validation, "run", lambda self, generator, quiet=False: {metric: next(left)})


def test_best_is_the_best_and_not_the_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scripted(monkeypatch, [0.1, 0.5, 0.3, 0.4])
    run = train(tiny_recipe(), tmp_path / "run", quiet=True)
    assert [entry["best"] for entry in log_entries(run, "validation")] == [True, True, False, False]
    best, last = Translator.load(run, checkpoint="best"), Translator.load(run)
    assert best.config.checkpoint["which"] == "best" and "ssim 0.5" in best.config.checkpoint["by"]
    assert any(not torch.equal(a, b) for a, b in zip(best.generator.parameters(), last.generator.parameters()))


@pytest.mark.parametrize(("metric", "error"), [("dependence", UserError), ("lab_histogram", UserError), ("lpips", Missing)])
def test_best_by_what_cannot_be_had_is_refused_before_training(
    metric: str, error: type[Exception], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    with pytest.raises(error, match=metric if error is UserError else "alexnet"):
        train(tiny_recipe(training__best_metric=metric), tmp_path / "run", quiet=True)
    assert not list((tmp_path / "run").glob("log.jsonl")), "nothing was begun"
    train(tiny_recipe(), tmp_path / "run", quiet=True)


def test_a_metric_that_a_validation_set_is_too_small_for_is_said_and_never_the_best(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    chosen = tiny_recipe(training__best_metric="random_frechet", data__val=1, training__epochs=2)
    run = train(chosen, tmp_path / "run")
    assert [(entry["metrics"]["random_frechet"], entry["best"]) for entry in log_entries(run, "validation")] == [(None, False)] * 2
    assert capsys.readouterr().err.count("note: random_frechet is not computed on the validation pairs: ") == 1
    assert not (run / "model_best").exists() and (run / "model" / "config.json").is_file()


def test_a_metric_that_should_fall(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scripted(monkeypatch, [0.5, 0.2, 0.3, 0.1], "l1")
    run = train(tiny_recipe(training__best_metric="l1"), tmp_path / "run", quiet=True)
    assert [entry["best"] for entry in log_entries(run, "validation")] == [True, True, False, True]


def test_patience_stops_early_and_the_run_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scripted(monkeypatch, [0.5, 0.2, 0.3, 0.9])
    run = train(tiny_recipe(training__patience=2), tmp_path / "run", quiet=True)
    assert len(log_entries(run, "validation")) == 3 and log_entries(run, "end")[0]["images"] == 18
    assert Translator.load(run).config.checkpoint["images"] == 18


def test_patience_without_validation_pairs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="validation pairs"):
        train(tiny_recipe(training__patience=2, data__val=0), tmp_path / "run", quiet=True)


def test_a_long_epoch_is_saved_in_between(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trainer, "CHECKPOINT_SECONDS", 0.0)
    saved: list[int] = []
    real = trainer.save_checkpoint
    monkeypatch.setattr(trainer, "save_checkpoint", lambda file, state: (saved.append(state["position"]["images"]), real(file, state)))
    train(tiny_recipe(training__epochs=1, training__validate_every=0), tmp_path / "run", quiet=True)
    assert saved[:5] == [1, 2, 3, 4, 5]


def test_batches_that_do_not_divide_the_intervals_are_still_logged(tmp_path: Path) -> None:
    run = train(tiny_recipe(training__batch_size=3, training__log_every=4, data__train=9), tmp_path / "run", quiet=True)
    assert [step["images"] for step in log_entries(run, "step")] == [6, 9, 12, 18, 21, 24, 30, 33, 36]


@pytest.mark.parametrize(
    "chosen",
    [
        {"objective.adversarial": None},
        {"objective.adversarial.conditional": False, "objective.terms": []},
        {"objective.adversarial.loss": "wgan_gp", "discriminator.norm": "instance"},
        {"objective.terms": [{"loss": "cosine", "weight": 100}, {"loss": "ssim", "weight": 1}]},
        {"generator.name": "encoder_decoder"},
        {"generator.name": "resnet"},
        {"data.source": "edges", "data.target": "grey"},
        {"training.discriminator_learning_rate": 1e-5, "training.schedule": "cosine"},
    ],
    ids=lambda chosen: next(iter(chosen)),
)
def test_every_kind_of_recipe_trains_translates_and_resumes(tmp_path: Path, chosen: dict[str, object]) -> None:
    made = tiny_recipe(training__epochs=1, training__validate_every=0).updated(chosen)
    run = train(made, tmp_path / "run", quiet=True)
    train(made, run, resume=True, quiet=True)
    translator = Translator.load(run)
    source = translator.config.source.channels
    output = translator(np.random.default_rng(0).integers(0, 256, (41, 29, source), dtype=np.uint8))
    assert output.shape == (41, 29, translator.config.target.channels) and output.dtype == np.uint8
    steps = log_entries(run, "step")
    assert all(np.isfinite(step["g"]) for step in steps)
    assert ("d" in steps[0]) == (made.objective.adversarial is not None)


def test_a_crop_that_does_not_fit_is_refused_with_one_that_does(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"not a multiple of 32, which this unet needs: use 32, or a smaller --generator\.depth"):
        train(tiny_recipe(generator__depth=5, data__crop_size=48, data__load_size=48), tmp_path / "run", quiet=True)
    with pytest.raises(UserError, match=r"a multiple of 1024, which this unet needs: --generator\.depth 4 is the most for this size$"):
        train(tiny_recipe(generator__depth=10, generator__width=1, data__crop_size=48, data__load_size=48), tmp_path / "run", quiet=True)
    with pytest.raises(UserError, match=r"data\.evaluation_size 40 does not fit this unet, which needs multiples of 16: use 32$"):
        train(tiny_recipe(data__evaluation_size=40), tmp_path / "run", quiet=True)
    quarter = {"generator": "quarter", "generator__depth": 3, "generator__width": 2, "data__crop_size": 8, "data__load_size": 8}
    with pytest.raises(UserError) as refused:
        train(tiny_recipe(**quarter), tmp_path / "run", quiet=True)
    assert "evaluation_size" not in str(refused.value), "which nobody set"
    with pytest.raises(UserError, match="receptive_field"):
        train(tiny_recipe(discriminator__receptive_field=286), tmp_path / "run", quiet=True)
    assert not (tmp_path / "run").exists()


def test_previews_and_validation_are_of_the_size_that_is_evaluated(tmp_path: Path) -> None:
    made = tiny_recipe(data__crop_size=16, data__evaluation_size=32, training__epochs=1)
    run = train(made, tmp_path / "run", quiet=True)
    shown = {images.read(file).shape for file in (run / "samples").rglob("*.png")}
    assert shown and all(shape[0] % 32 == 0 for shape in shown), shown
    assert [row["l1"] for entry in log_entries(run, "validation") if (row := entry["metrics"])]
    assert Translator.load(run).config.trained_size == 16


@pytest.mark.parametrize("norm", ["batch", "running"])
def test_a_model_translates_with_the_statistics_that_its_recipe_says(tmp_path: Path, norm: str) -> None:
    run = train(tiny_recipe(training__inference_norm=norm, training__epochs=1, generator__dropout=0.0), tmp_path / "run", quiet=True)
    translator = Translator.load(run)
    assert translator.inference.norm == norm
    source, shown = (images.read(run / "samples" / name) for name in ("fixed/0_source.png", "00000006/0.png"))
    assert np.array_equal(translator(source), shown), "the last preview is what the model makes"
    other = Translator.load(run, norm="running" if norm == "batch" else "batch")
    assert not np.array_equal(other(source), shown)


def test_sixteen_bits_stay_sixteen_bits(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    for index in range(4):
        for side in "AB":
            images.write(tmp_path / "data" / side / f"{index}.png", random.integers(0, 4096, (32, 32, 1), dtype=np.uint16))
    made = Recipe.load(
        "pix2pix_tiny",
        {
            **{"data.kind": "two_folders", "data.path": str(tmp_path / "data"), "data.crop_size": 32, "data.load_size": 32},
            **{"data.source_range": [0, 4095], "data.target_range": [0, 4095], "generator.width": 4, "discriminator.width": 4},
            **{"discriminator.receptive_field": 16, "training.epochs": 1, "training.accelerator": "cpu"},
        },
    )
    translator = Translator.load(train(made, tmp_path / "run", quiet=True))
    output = translator(images.read(tmp_path / "data" / "A" / "0.png"))
    assert output.dtype == np.uint16 and output.max() <= 4095 and output.std() > 0
    assert images.read(tmp_path / "run" / "samples" / "fixed" / "0_source.png").dtype == np.uint16


def test_without_a_place_a_run_finds_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    made = tiny_recipe(training__epochs=1, training__validate_every=0)
    assert [train(made, quiet=True), train(made, quiet=True)] == [Path("runs/pix2pix_tiny"), Path("runs/pix2pix_tiny-2")]
    with pytest.raises(UserError, match="without a place"):
        train(made, resume=True, quiet=True)


# ---- a budget of time ------------------------------------------------------------------------------------------------------


class Clock:
    """Time that passes by a second at each update, and not otherwise."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        real = Pix2PixStep.training_step

        def training_step(step: Pix2PixStep, *arguments: Any, **options: Any) -> Any:
            self.now += 1
            return real(step, *arguments, **options)

        monkeypatch.setattr(Pix2PixStep, "training_step", training_step)
        monkeypatch.setattr(trainer.time, "monotonic", lambda: self.now)


def test_minutes_are_a_budget_with_the_schedule_spread_over_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """15 updates of a second each in a quarter of a minute, two epochs of six and a half; the rate falls from the middle of them on."""
    Clock(monkeypatch)
    run = train(tiny_recipe(training__minutes=0.25, training__epochs=200, training__log_every=1), tmp_path / "run", quiet=True)
    steps = log_entries(run, "step")
    assert [step["images"] for step in steps] == list(range(1, 16))
    rates = [step["learning_rate"] / 4e-4 for step in steps]
    expected = [min(1.0, 2 * (1 - done / 15)) for done in range(15)]
    assert rates == pytest.approx(expected)
    assert [entry["epoch"] for entry in log_entries(run, "validation")] == [1, 2, 2], "and once more at the end"
    assert log_entries(run, "end")[0]["images"] == 15
    assert load_checkpoint(run / "checkpoints" / "last.pt")["position"]["images"] == 15
    assert (run / "samples" / "00000015" / "0.png").is_file()


def test_epochs_may_be_over_before_the_minutes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Clock(monkeypatch)
    run = train(tiny_recipe(training__minutes=10, training__epochs=2, training__log_every=1), tmp_path / "run", quiet=True)
    rates = [step["learning_rate"] / 4e-4 for step in log_entries(run, "step")]
    assert len(rates) == 12 and rates[-1] == pytest.approx(2 * (1 - 11 / 12))


def test_a_budget_goes_on_where_it_was_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Time spent before counts; a finished one is not trained on, and says how it could be."""
    Clock(monkeypatch)
    chosen = tiny_recipe(training__minutes=0.25, training__epochs=200, training__log_every=1, training__checkpoint_every=4)
    with monkeypatch.context() as patch:
        stop_after(9, patch, OSError)
        with pytest.raises(OSError, match="killed"):
            train(chosen, tmp_path / "run", quiet=True)
    train(chosen, tmp_path / "run", resume=True, quiet=True)
    assert log_entries(tmp_path / "run", "end")[0]["images"] == 15
    capsys.readouterr()
    train(chosen, tmp_path / "run", resume=True)
    assert "its 0.25 minutes are over: to train on, give more as --training.minutes" in capsys.readouterr().err
    assert load_checkpoint(tmp_path / "run" / "checkpoints" / "last.pt")["position"]["images"] == 15
    with pytest.raises(UserError, match=r"training\.minutes is 0\.1, and 0\.25 minutes are done: give more than that"):
        train(chosen.updated({"training.minutes": 0.1}), tmp_path / "run", resume=True, quiet=True)
    train(chosen.updated({"training.minutes": 0.5}), tmp_path / "run", resume=True)
    said = capsys.readouterr().err
    assert "note: training.minutes is 0.5 and was 0.25; linear_decay is spread anew, and the learning rate goes on at 0.0004" in said
    assert [entry["images"] for entry in log_entries(tmp_path / "run", "end")][-1] == 30
    assert Recipe.load(tmp_path / "run" / "recipe.yaml").training.minutes == 0.5


def test_the_plan_says_how_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    Clock(monkeypatch)
    train(tiny_recipe(training__minutes=0.1), tmp_path / "run")
    assert "plan:    6 s, at most 4 epochs of 6 images" in capsys.readouterr().err
