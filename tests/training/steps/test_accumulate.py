"""Gradients accumulated over the parts of a batch are the gradients of the batch."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.training.runs import assert_same_bits, log_entries, numbers, stop_after, tiny_recipe
from tests.training.small import small_batch, small_setup
from transfigure.data.batch import Batch
from transfigure.errors import UserError
from transfigure.networks.base import DiscriminatorOutput
from transfigure.recipe import Training
from transfigure.training.setup import Setup
from transfigure.training.steps import build as build_module
from transfigure.training.steps.base import Rehearsal, StepOutput, TrainingStep
from transfigure.training.steps.build import build_step
from transfigure.training.steps.pix2pix import Pix2PixStep
from transfigure.training.trainer import train

EACH_BY_ITSELF = {
    **{"generator": "unet", "generator.norm": "instance", "generator.dropout": 0.0, "discriminator.norm": "instance"},
    "training.learning_rate": 1e-2,  # a bias before a norm has a gradient of rounding errors, from which Adam makes 1e-9
}
"""Networks that see each image by itself, so that a batch is the sum of its parts."""


def step_of(size: int, accumulate: int, **overrides: Any) -> TrainingStep:
    """A step in double precision; the first weights are the same whatever the sizes."""
    sizes = {"training.batch_size": size, "training.accumulate": accumulate}
    given = {**EACH_BY_ITSELF, **sizes, **{key.replace("__", "."): value for key, value in overrides.items()}}
    step = build_step(small_setup(given, "cyclegan" if given.get("training.step") == "cyclegan" else "pix2pix"))
    for network in step.networks().values():
        network.double()
    return step


def double_batch(seed: int, count: int) -> Batch:
    batch = small_batch(seed, count)
    return Batch(batch.source.double(), batch.target.double(), batch.names)


def assert_close(one: object, other: object, name: str) -> None:
    if isinstance(one, dict) and isinstance(other, dict):
        assert one.keys() == other.keys()
        for key, value in one.items():
            assert_close(value, other[key], f"{name}.{key}")
    elif isinstance(one, Tensor) and isinstance(other, Tensor):
        rtol = 1e-8 if one.dtype == torch.float64 else 1e-5  # in which gradient norms are measured
        torch.testing.assert_close(one, other, rtol=rtol, atol=1e-8, msg=lambda text: f"{name}: {text}")
    else:
        assert one is other is None, name


WHOLES: dict[str, dict[str, Any]] = {
    "alternating": {},
    "simultaneous": {"training__update": "simultaneous"},
    "regression": {"objective__adversarial": None},
    "penalties": {"objective__adversarial__r1": 1.0, "objective__adversarial__r2": 0.5, "objective__adversarial__loss": "lsgan"},
    "relativistic": {"objective__adversarial__loss": "relativistic"},
    "cyclegan": {"training__step": "cyclegan"},
}


@pytest.mark.parametrize(("size", "count"), [(1, 3), (2, 4), (2, 5)], ids=["one by one", "two by two", "the last is smaller"])
@pytest.mark.parametrize("kind", WHOLES)
def test_in_parts_is_the_whole_batch_to_rounding(kind: str, size: int, count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(DiscriminatorOutput, "float", lambda output: output)  # logits in double precision, too
    parts, whole = step_of(size, 3, **WHOLES[kind]), step_of(count, 1, **WHOLES[kind])
    for seed in range(3):
        batch = double_batch(seed, count)
        outputs = parts.training_step(batch, measure=True), whole.training_step(batch, measure=True)
        for field in fields(StepOutput):
            assert_close(getattr(outputs[0], field.name), getattr(outputs[1], field.name), field.name)
    for name, network in whole.networks().items():
        assert_close(parts.networks()[name].state_dict(), network.state_dict(), name)


def passes(network: nn.Module) -> list[Tensor]:
    """The outputs of a network from now on."""
    seen: list[Tensor] = []
    network.register_forward_hook(lambda module, given, output: seen.append(output.detach().clone()))
    return seen


def test_the_second_pass_of_g_is_the_first_one_and_statistics_count_once() -> None:
    """With the dropout and the batch norm of the paper; pool and augmentation draw random numbers in between."""
    overrides = {"training.batch_size": 2, "training.accumulate": 3, "objective.adversarial.augment": ["translation"]}
    step = build_step(small_setup({**overrides, "objective.adversarial.pool": 2}))
    seen = passes(step.generator)
    before = step.generator.state_dict()["down.1.norm.running_mean"].clone()
    step.training_step(small_batch(count=6))
    assert len(seen) == 6
    for first, again in zip(seen[:3], seen[3:], strict=True):
        assert torch.equal(first, again)
    assert not torch.equal(seen[0], seen[1])
    after = step.generator.state_dict()
    assert after["down.1.norm.num_batches_tracked"] == 3
    # by hand: 0.9 of the old and 0.1 of each part's mean, from the first weights
    other = build_step(small_setup(overrides))
    for part in small_batch(count=6).split(2):
        other.generator(part.source)
    assert not torch.equal(after["down.1.norm.running_mean"], before)
    assert torch.equal(after["down.1.norm.running_mean"], other.generator.state_dict()["down.1.norm.running_mean"])


def test_random_numbers_go_on_after_a_second_pass_as_if_it_had_not_been() -> None:
    torch.manual_seed(3)
    rehearsal = Rehearsal(nn.Dropout(), torch.device("cpu"))
    rehearsal.first()
    drawn = torch.rand(4)
    between, expected = torch.rand(4), torch.rand(4)
    torch.manual_seed(3)
    torch.rand(4), torch.rand(4)
    with rehearsal.again():
        assert torch.equal(torch.rand(4), drawn)
    assert torch.equal(torch.rand(4), expected) and not torch.equal(between, drawn)


@pytest.mark.parametrize("kind", ["alternating", "simultaneous", "cyclegan"])
def test_processes_average_once_per_network_and_update(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    step = step_of(1, 4, **WHOLES[kind])
    calls: list[int] = []
    monkeypatch.setattr(torch.distributed, "all_reduce", lambda tensor: calls.append(tensor.numel()))
    monkeypatch.setattr(step.engine, "world_size", 2)
    step.training_step(double_batch(0, 4))
    assert len(calls) == 2


def held_at_once(step: TrainingStep, batch: Batch) -> int:
    """The most bytes that graphs kept for their backward passes at one moment of an update."""
    held, most = [0], [0]

    class Kept:
        def __init__(self, tensor: Tensor) -> None:
            self.tensor, self.size = tensor.detach(), tensor.numel() * tensor.element_size()
            held[0] += self.size
            most[0] = max(most[0], held[0])

        def __del__(self) -> None:
            held[0] -= self.size

    with torch.autograd.graph.saved_tensors_hooks(Kept, lambda kept: kept.tensor):
        step.training_step(batch)
    return most[0]


@pytest.mark.parametrize("kind", ["alternating", "simultaneous", "cyclegan"])
def test_only_one_part_has_activations_at_a_time(kind: str) -> None:
    one, four, whole = (
        held_at_once(step_of(size, times, **WHOLES[kind]), double_batch(0, count))
        for size, times, count in ((1, 1, 1), (1, 4, 4), (4, 1, 4))
    )
    assert four < 1.1 * one and whole > 2 * one


def test_a_step_that_takes_its_batch_whole_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    class Whole(Pix2PixStep):
        def __init__(self, setup: Setup) -> None:
            super().__init__(setup)
            self.micro_batch_size = None  # as a step of a plugin that knows nothing of parts

    monkeypatch.setattr(build_module, "build", lambda kind, name, setup: Whole(setup))
    assert isinstance(build_step(small_setup()), Whole)
    with pytest.raises(UserError, match="the step pix2pix takes its batch as a whole, so nothing can be accumulated"):
        build_step(small_setup({"training.accumulate": 2}))


def test_a_run_counts_and_orders_images_as_one_with_larger_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The pairs are the same in the same order, and position, log and schedule agree; two updates an epoch, the rest is left out."""
    seen: dict[str, list[tuple[str, ...]]] = {"parts": [], "whole": []}
    training_step = Pix2PixStep.training_step
    for name, sizes in (("parts", {"batch_size": 1, "accumulate": 3}), ("whole", {"batch_size": 3, "accumulate": 1})):

        def noted(self: Pix2PixStep, batch: Batch, measure: bool = False, name: str = name) -> StepOutput:
            seen[name].append(batch.names)
            return training_step(self, batch, measure)

        monkeypatch.setattr(Pix2PixStep, "training_step", noted)
        recipe = tiny_recipe(**{f"training__{key}": value for key, value in sizes.items()}, data__train=7, training__epochs=3)
        train(recipe, tmp_path / name, quiet=True)
    assert seen["parts"] == seen["whole"] and len(seen["parts"]) == 6
    parts, whole = (
        [(entry["kind"], entry["images"], entry.get("epoch"), entry.get("learning_rate")) for entry in log_entries(tmp_path / name)]
        for name in seen
    )
    assert parts == whole
    assert Training(batch_size=4, accumulate=8).update_size == 32


def test_killed_and_resumed_is_the_same_bits_with_accumulation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = tiny_recipe(training__accumulate=3, training__epochs=3, training__checkpoint_every=3)
    whole = train(recipe, tmp_path / "whole", quiet=True)
    with monkeypatch.context() as patch:
        stop_after(9, patch, OSError)
        with pytest.raises(OSError, match="killed"):
            train(recipe, tmp_path / "run", quiet=True)
    resumed = train(recipe, tmp_path / "run", resume=True, quiet=True)
    assert_same_bits(whole, resumed)
    assert numbers(whole) == numbers(resumed)


def test_the_plan_says_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train(tiny_recipe(training__accumulate=3, training__epochs=1), tmp_path / "run")
    assert "1 epoch of 6 images, 1 at a time, 3 to an update\n" in capsys.readouterr().err
