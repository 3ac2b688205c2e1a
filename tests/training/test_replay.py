"""Updates that are recorded and replayed: the control flow, with a stand-in for CUDA graphs that any machine has."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest
import torch
from torch import Tensor

from tests.training.runs import checkpoint_tensors, log_entries, tiny_recipe
from transfigure import registry
from transfigure.data.batch import Batch
from transfigure.recipe import Recipe
from transfigure.training import replay, trainer
from transfigure.training.checkpoint import random_state, restore_random_state
from transfigure.training.engine import Engine
from transfigure.training.replay import FIRST, Updates, obstacle
from transfigure.training.setup import Setup
from transfigure.training.steps.base import StepOutput
from transfigure.training.steps.build import build_step
from transfigure.training.steps.pix2pix import Pix2PixStep
from transfigure.training.trainer import train

T = TypeVar("T")


class Again:
    """A graph on a CPU: the same function on the same tensors, called again. Like a graph it computes nothing while it is recorded, keeps
    what the host had decided by then (here: the rates' tensors), and overwrites what it gave the last time.
    """

    def __init__(self) -> None:
        self.recorded = self.replayed = self.aside_ = 0

    def aside(self, act: Callable[[], T]) -> T:
        self.aside_ += 1
        return act()

    def record(self, act: Callable[[], T]) -> Callable[[], T]:
        self.recorded += 1
        step: Pix2PixStep = act.__closure__[-1].cell_contents.step  # type: ignore[index]
        rates = [(group, group["lr"]) for optimizer in step.optimizers().values() for group in optimizer.param_groups]
        assert all(isinstance(rate, Tensor) and group["capturable"] for group, rate in rates), "a graph reads rates from the device"
        kept: list[T] = []

        def again() -> T:
            self.replayed += 1
            for group, rate in rates:
                group["lr"] = float(rate)
            made = act()
            if not kept:
                kept.append(made)
            elif isinstance(kept[0], StepOutput) and isinstance(made, StepOutput):
                for name in ("g_loss", "d_loss", "adversarial", "d_real", "d_fake"):
                    getattr(kept[0], name).copy_(getattr(made, name))
                for mine, new in ((kept[0].terms, made.terms), (kept[0].gradient_norms, made.gradient_norms)):
                    for name in mine:
                        mine[name].copy_(new[name])
            return kept[0]

        return again


def small(**more: Any) -> Recipe:
    return tiny_recipe(training__graphs="auto", **more)


def step_of(recipe: Recipe) -> Pix2PixStep:
    torch.manual_seed(0)
    step = build_step(Setup(recipe, (3, 3), Engine(recipe.training)))
    assert isinstance(step, Pix2PixStep)
    return step


def batch(number: int, size: int = 1, side: int = 16) -> Batch:
    generator = torch.Generator().manual_seed(number)
    source, target = torch.rand(2, size, 3, side, side, generator=generator) * 2 - 1
    return Batch(source, target, ("pair",) * size)


def updates(recipe: Recipe, graphs: Again | None, count: int = 9) -> tuple[list[dict[str, Tensor]], dict[str, Tensor]]:
    """Losses of each update, and the generator's weights at the end."""
    step = step_of(recipe)
    act = Updates(step, step.engine, graphs, quiet=True)
    torch.manual_seed(1)
    found = []
    for number in range(count):
        step.set_learning_rate(1 / (1 + number))
        output = act(batch(number, side=recipe.data.crop_size), measure=number % 3 == 2)
        found.append({"g": output.g_loss.clone(), "d": output.d_loss.clone(), **copy.deepcopy(output.gradient_norms)})  # type: ignore[union-attr]
    for optimizer in step.optimizers().values():
        for group in optimizer.param_groups:
            assert isinstance(group["lr"], float) and not group["capturable"], "a checkpoint holds numbers"
    return found, {name: tensor.clone() for name, tensor in step.generator.state_dict().items()}


@pytest.mark.parametrize("more", [{}, {"training__precision": "16-mixed"}, {"training__update": "simultaneous"}], ids=str)
def test_a_replayed_update_is_the_update(more: dict[str, Any]) -> None:
    """Rates that change, gradient norms in between, dropout: the same losses and weights, bit for bit."""
    graphs = Again()
    recipe = small(generator__dropout=0.5, training__learning_rate=0.0123456789, **more)
    losses, weights = updates(recipe, graphs)
    rounded = recipe.updated({"training.learning_rate": 0.0123456789})
    step = step_of(rounded)
    torch.manual_seed(1)
    for number, expected in enumerate(losses):
        step.set_learning_rate(1 / (1 + number))
        for optimizer in step.optimizers().values():
            optimizer.param_groups[0]["lr"] = float(torch.tensor(optimizer.param_groups[0]["lr"]))  # as a tensor holds it
        output = step.training_step(batch(number, side=recipe.data.crop_size), measure=number % 3 == 2)
        assert output.d_loss is not None
        found = {"g": output.g_loss, "d": output.d_loss, **output.gradient_norms}
        assert found.keys() == expected.keys() and all(torch.equal(found[name], expected[name]) for name in found)
    assert all(torch.equal(weights[name], tensor) for name, tensor in step.generator.state_dict().items())
    assert graphs.recorded == 2, "one with and one without gradient norms"
    assert (graphs.aside_, graphs.replayed) == (FIRST, 9 - FIRST)


def test_other_shapes_are_computed_one_by_one() -> None:
    graphs = Again()
    step = step_of(small())
    act = Updates(step, step.engine, graphs)
    side = small().data.crop_size
    for number, size in enumerate([1, 1, 1, 1, 3, 1, 3, 1]):
        act(batch(number, size, side))
    assert (graphs.recorded, graphs.replayed, graphs.aside_) == (2, 4, 4)


class Broken(Again):
    """What cannot be recorded."""

    def record(self, act: Callable[[], T]) -> Callable[[], T]:
        torch.rand(3)
        raise RuntimeError("operation not permitted when stream is capturing\nand more lines")


def test_an_update_that_cannot_be_recorded_costs_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    exact = small(training__learning_rate=2**-11)  # the same in 32 bits
    step, plain = step_of(exact), step_of(exact)
    act = Updates(step, step.engine, Broken())
    side = small().data.crop_size
    for one in (act, plain.training_step):
        torch.manual_seed(1)
        for number in range(6):
            one(batch(number, side=side))
    said = capsys.readouterr().err
    assert said.count("note:") == 1 and "kernel by kernel" in said and "operation not permitted when stream is capturing and more" in said
    assert all(torch.equal(a, b) for a, b in zip(step.generator.state_dict().values(), plain.generator.state_dict().values()))


class Drawing(Again):
    """Records, and draws on the host meanwhile, as an update does that must not be replayed: its numbers would stay the same."""

    def record(self, act: Callable[[], T]) -> Callable[[], T]:
        torch.rand(1)
        return super().record(act)


def test_random_numbers_of_the_host_are_noticed(capsys: pytest.CaptureFixture[str]) -> None:
    step = step_of(small())
    act = Updates(step, step.engine, Drawing())
    torch.manual_seed(3)
    for number in range(4):
        act(batch(number, side=small().data.crop_size))
    assert "draws random numbers on the CPU" in capsys.readouterr().err
    after = random_state(torch.device("cpu"))
    again = step_of(small())
    torch.manual_seed(3)
    for number in range(4):
        again.training_step(batch(number, side=small().data.crop_size))
    assert torch.equal(after["torch"], random_state(torch.device("cpu"))["torch"]), "and those drawn in vain are put back"
    restore_random_state(after, torch.device("cpu"))


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({}, None),
        ({"objective__adversarial__augment": ["color"]}, "objective.adversarial.augment"),
        ({"objective__adversarial__pool": 5}, "objective.adversarial.pool"),
        ({"training__accumulate": 2}, "training.accumulate"),
        ({"training__fused": False}, "training.fused is false"),
    ],
    ids=str,
)
def test_what_is_decided_on_the_host_is_not_recorded(more: dict[str, Any], why: str | None) -> None:
    recipe = small(**more)
    step = step_of(recipe)
    found = obstacle(recipe, step, step.engine)
    assert found is None if why is None else found is not None and why in found


def test_patches_drawn_on_the_host_are_not_recorded() -> None:
    recipe = Recipe.load("cut", {"data.kind": "synthetic", "training.accelerator": "cpu", "generator.width": 4, "generator.blocks": 1})
    step = build_step(Setup(recipe, (3, 3), Engine(recipe.training), unpaired=True))
    assert obstacle(recipe, step, step.engine) == "the loss contrastive draws random numbers on the CPU"


def of_somebody_else(batch: Batch) -> Tensor:
    """A plugin's loss."""
    return (batch.fake - batch.target).abs().mean()


@pytest.mark.parametrize("facts", [{}, {"draws_on_host": False}, {"draws_on_host": True}], ids=str)
def test_a_plugin_says_whether_it_may_be_recorded(monkeypatch: pytest.MonkeyPatch, facts: dict[str, bool]) -> None:
    monkeypatch.setattr(registry, "_plugins", {})
    registry.register("loss", "of_somebody_else", **facts)(of_somebody_else)
    recipe = small(objective__terms=[{"loss": "of_somebody_else"}])
    step = step_of(recipe)
    found = obstacle(recipe, step, step.engine)
    words = {None: "is a plugin's, which does not say", True: "draws random numbers on the CPU"}
    assert found is None if facts.get("draws_on_host") is False else found is not None and words[facts.get("draws_on_host")] in found


def test_a_training_that_is_replayed_resumes_to_the_same_bits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut after an epoch, gone on: the first updates after the resume are computed one by one again, and give what a replay would."""
    monkeypatch.setattr(trainer, "graphs_for", lambda recipe, step, engine: Again())
    more = {"training__epochs": 2, "training__schedule": "constant", "training__learning_rate": 0.00123456789, "generator__dropout": 0.5}
    whole = train(small(**more), tmp_path / "whole", quiet=True)
    half = train(small(**{**more, "training__epochs": 1}), tmp_path / "half", quiet=True)
    train(small(**more), half, resume=True, quiet=True)
    one, two = (checkpoint_tensors(run, "step", "ema") for run in (whole, half))
    assert one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)
    logged = [[(line["g"], line["d"]) for line in log_entries(run, "step")] for run in (whole, half)]
    assert logged[0] == logged[1]


def test_graphs_are_for_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = small()
    step = step_of(recipe)
    assert replay.graphs_for(recipe, step, step.engine) is None
    monkeypatch.setattr(step.engine, "device", torch.device("cuda", 0))
    monkeypatch.setattr(replay, "CudaGraphs", lambda device, together: ("graphs on", device))
    assert replay.graphs_for(recipe, step, step.engine) == ("graphs on", torch.device("cuda", 0))
    assert replay.graphs_for(recipe.updated({"training.graphs": "no"}), step, step.engine) is None
