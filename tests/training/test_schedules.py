"""The schedules of the learning rate, alone and in runs that are broken off and resumed."""

from __future__ import annotations

import math
import typing
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.training.runs import assert_same_bits, log_entries, numbers, stop_after, tiny_recipe
from transfigure.errors import UserError
from transfigure.recipe import Training
from transfigure.training.checkpoint import load_checkpoint, save_checkpoint
from transfigure.training.schedules import SCHEDULES, SPREAD, Moment, Plateau, factor
from transfigure.training.trainer import train
from transfigure.training.validation import Validation


def over(epochs: int, per_epoch: int = 1, **training: Any) -> list[float]:
    """The factor of every update of a training."""
    section = Training(epochs=epochs, **training)
    updates = epochs * per_epoch
    return [factor(section, Moment(done / updates, done // per_epoch)) for done in range(updates)]


def test_each_name_of_the_recipe_is_a_row_of_the_table_and_begins_at_one() -> None:
    names = typing.get_args(Training.model_fields["schedule"].annotation)
    assert set(SCHEDULES) == set(names) and set(SPREAD) < set(names)
    assert [factor(Training(schedule=name), Moment(0.0)) for name in names] == [1.0] * len(names)


def test_linear_decay_is_constant_for_the_first_half_then_falls_to_zero() -> None:
    section = Training()
    assert [factor(section, Moment(t)) for t in (0, 0.25, 0.5, 0.75, 1)] == [1, 1, 1, 0.5, 0]
    assert over(3, schedule="constant") == [1, 1, 1]
    cosine = over(50, schedule="cosine")
    assert cosine[25] == pytest.approx(0.5) and cosine == sorted(cosine, reverse=True)


def test_the_half_is_the_default_of_decay_start_to_the_last_bit() -> None:
    assert over(6, 5, decay_start=3) == over(6, 5) == [min(1.0, 2 * (1 - done / 30)) for done in range(30)]


@pytest.mark.parametrize(
    ("start", "expected"),
    [(0, [1.0, 0.75, 0.5, 0.25]), (1, [1.0, 1.0, 2 / 3, 1 / 3]), (3, [1.0, 1.0, 1.0, 1.0]), (4, [1.0, 1.0, 1.0, 1.0])],
)
def test_decay_start_is_the_number_of_epochs_at_the_full_rate(start: int, expected: list[float]) -> None:
    assert over(4, decay_start=start) == pytest.approx(expected)
    assert over(4, 2, decay_start=start)[::2] == pytest.approx(expected), "between whole epochs it falls, too"
    assert factor(Training(epochs=4, decay_start=3), Moment(7 / 8)) == pytest.approx(0.5)


def test_step_multiplies_after_every_so_many_epochs() -> None:
    assert over(6, 2, schedule="step", decay_every=2, decay_factor=0.5) == [1] * 4 + [0.5] * 4 + [0.25] * 4
    assert over(101, schedule="step")[49:51] == pytest.approx([1, 0.1]) and over(101, schedule="step")[100] == pytest.approx(0.01)


@pytest.mark.parametrize("mode", ["min", "max"])
@pytest.mark.parametrize("patience", [1, 3])
def test_plateau_lowers_where_torch_does(mode: typing.Literal["min", "max"], patience: int) -> None:
    weight = torch.nn.Parameter(torch.zeros(()))
    optimizer = torch.optim.SGD([weight], lr=1.0)
    reference = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, mode, factor=0.5, patience=patience - 1, eps=0)
    plateau, random = Plateau(), torch.Generator().manual_seed(patience)
    section = Training(schedule="plateau", decay_factor=0.5)
    values = [1.0, 0.99995, 0.9, math.nan, 0.9, 0.9, *torch.rand(40, generator=random).tolist()]
    lowered = 0
    for value in values if mode == "min" else [2 - value for value in values]:
        lowered += plateau.lowers(value, mode == "min", patience)
        reference.step(value)
        assert factor(section, Moment(0.0, 0, plateau.reductions)) == optimizer.param_groups[0]["lr"]
    assert lowered == plateau.reductions > 3


@pytest.mark.parametrize(
    ("training", "sentence"),
    [
        ({"decay_start": 5, "epochs": 4}, r"training\.decay_start is 5, and there are 4 epochs"),
        ({"decay_every": 3}, r"training\.decay_every is for --training\.schedule step, and the schedule here is linear_decay"),
        ({"decay_factor": 0.5, "schedule": "cosine"}, r"decay_factor is for --training\.schedule step or plateau, and .* here is cosine"),
        ({"decay_start": 0, "schedule": "step"}, r"decay_start is for --training\.schedule linear_decay"),
        ({"decay_patience": 2, "schedule": "step"}, r"decay_patience is for --training\.schedule plateau"),
        ({"decay_factor": 1.0, "schedule": "step"}, r"decay_factor"),
        ({"schedule": "plateau", "validate_every": 0}, r"plateau goes by validations, and training\.validate_every is 0"),
        ({"schedule": "plateu"}, r"plateau"),
    ],
)
def test_what_would_do_nothing_is_refused(training: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        Training(**training)


def test_plateau_without_validation_pairs_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="plateau needs validation pairs, and there are none"):
        train(tiny_recipe(training__schedule="plateau", data__val=0), tmp_path / "run", quiet=True)
    assert not (tmp_path / "run").exists()


@pytest.fixture
def no_progress(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every validation gives the same value, so that it is a plateau from the second one on."""
    run = Validation.run
    monkeypatch.setattr(Validation, "run", lambda self, *args, **keys: {**run(self, *args, **keys), "ssim": 0.5})


@pytest.mark.usefixtures("no_progress")
def test_a_run_on_a_plateau_says_so_and_resumes_bit_for_bit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = tiny_recipe(training__schedule="plateau", training__decay_patience=2, training__decay_factor=0.5, training__epochs=6)
    whole = train(recipe, tmp_path / "whole")
    said = capsys.readouterr().err
    assert said.count("ssim has not improved for 2 validations: the learning rate is now 0.0002") == 1
    assert said.count("the learning rate is now") == 2, "after the third epoch and after the fifth"
    rates = {entry["epoch"]: entry["learning_rate"] for entry in log_entries(whole, "step")}
    assert [rates[epoch] for epoch in range(6)] == pytest.approx([4e-4, 4e-4, 4e-4, 2e-4, 2e-4, 1e-4])
    for killed_at in (14, 26):  # with a stale validation counted, and with one lowering done
        with monkeypatch.context() as patch:
            stop_after(killed_at, patch, OSError)
            with pytest.raises(OSError, match="killed"):
                train(recipe, tmp_path / str(killed_at), quiet=True)
        resumed = train(recipe, tmp_path / str(killed_at), resume=True, quiet=True)
        assert_same_bits(whole, resumed)
        assert numbers(whole) == numbers(resumed)


@pytest.mark.usefixtures("no_progress")
def test_step_and_plateau_can_be_trained_on(tmp_path: Path) -> None:
    """They do not depend on how many epochs there are: longer from the start and longer afterwards are the same bits."""
    for name, more in (("step", {"training__decay_every": 1}), ("plateau", {"training__decay_patience": 1})):
        short, long = (tiny_recipe(training__schedule=name, training__epochs=epochs, **more) for epochs in (2, 3))
        run = train(short, tmp_path / f"{name}_longer", quiet=True)
        assert_same_bits(train(long, tmp_path / name, quiet=True), train(long, run, resume=True, quiet=True))


@pytest.mark.parametrize("damage", [None, {"best": 0.5, "stale": -1, "reductions": 0}, {"best": 0.5, "stale": 0}])
def test_a_checkpoint_without_the_count_of_a_plateau_is_damaged(tmp_path: Path, damage: dict[str, Any] | None) -> None:
    recipe = tiny_recipe(training__schedule="plateau", training__epochs=1)
    run = train(recipe, tmp_path / "run", quiet=True)
    file = run / "checkpoints" / "last.pt"
    state = load_checkpoint(file)
    save_checkpoint(file, {**{key: value for key, value in state.items() if key != "format"}, "plateau": damage})
    with pytest.raises(UserError, match="is damaged"):
        train(recipe, run, resume=True, quiet=True)


def test_checkpoints_made_before_there_were_plateaus_go_on(tmp_path: Path) -> None:
    recipe = tiny_recipe(training__epochs=1, training__schedule="constant")
    run = train(recipe, tmp_path / "run", quiet=True)
    file = run / "checkpoints" / "last.pt"
    state = load_checkpoint(file)
    assert state.pop("plateau") is None
    for key in ("decay_start", "decay_factor", "decay_every", "decay_patience"):
        del state["recipe"]["training"][key]
    save_checkpoint(file, {key: value for key, value in state.items() if key != "format"})
    train(recipe.updated({"training.epochs": 2}), run, resume=True, quiet=True)
    assert load_checkpoint(file)["position"]["epoch"] == 2
