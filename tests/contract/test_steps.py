"""Every registered training step, unasked: what each must do to be trained with, resumed and exported."""

from __future__ import annotations

import copy
import re
from typing import Any, get_args

import pytest
import torch
from torch import Tensor

from tests.training.small import small_batch, small_setup
from transfigure import registry
from transfigure.errors import UserError
from transfigure.networks.base import Generator
from transfigure.training.steps.base import TrainingStep
from transfigure.training.steps.build import build_step

steps = pytest.mark.parametrize("name", registry.names("step"))


def ways() -> list[dict[str, Any]]:
    """Every step with its defaults, and with each word that each of its options may be."""
    found = []
    for name in registry.names("step"):
        words = {key: get_args(option.annotation) for key, option in registry.entry("step", name).options.items()}
        choices = [(key, word) for key, given in words.items() for word in given if isinstance(word, str)]
        found += [{"name": name}, *({"name": name, f"training__{key}": word} for key, word in choices)]
    return found


every_way = pytest.mark.parametrize("way", ways(), ids=lambda way: "-".join(way.values()))


def built(name: str, **overrides: Any) -> TrainingStep:
    return build_step(small_setup({"training.step": name, **{key.replace("__", "."): value for key, value in overrides.items()}}))


def weights(step: TrainingStep) -> dict[str, Tensor]:
    """A copy of every weight, by its network's name and its own."""
    return {
        f"{name}.{key}": value.detach().clone() for name, network in step.networks().items() for key, value in network.named_parameters()
    }


def changed(before: dict[str, Tensor], after: dict[str, Tensor]) -> set[str]:
    return {name for name, value in after.items() if not torch.equal(value, before[name])}


@every_way
def test_an_update_moves_every_network_and_says_what_it_measured(way: dict[str, Any]) -> None:
    step = built(**way)
    assert isinstance(step, TrainingStep) and isinstance(step.generator, Generator)
    assert step.networks()["generator"] is step.generator, "the model that is saved is the network of this name"
    before = weights(step)
    output = step.training_step(small_batch(count=2))
    assert {key.partition(".")[0] for key in changed(before, weights(step))} == set(step.networks())
    measured = {"g_loss": output.g_loss, "d_loss": output.d_loss, "adversarial": output.adversarial, **output.terms}
    for key, value in measured.items():
        assert value is not None and value.shape == () and value.isfinite() and not value.requires_grad, key
    assert set(output.terms) == {"l1"}, "the terms of the recipe by their names"
    assert all(parameter.requires_grad for network in step.networks().values() for parameter in network.parameters())


@every_way
def test_without_a_discriminator_it_is_regression_or_a_reason_is_given(way: dict[str, Any]) -> None:
    try:
        step = built(**way, objective__adversarial="null")
    except UserError as why:
        assert str(why)
        return
    output = step.training_step(small_batch())
    assert output.d_loss is None and output.adversarial is None and output.g_loss.isfinite()


@every_way
def test_measuring_changes_nothing(way: dict[str, Any]) -> None:
    plain, measured = built(**way), built(**way)
    torch.manual_seed(1)
    plain.training_step(small_batch())
    torch.manual_seed(1)
    output = measured.training_step(small_batch(), measure=True)
    assert changed(weights(plain), weights(measured)) == set()
    assert {"adversarial", "l1"} <= set(output.gradient_norms)
    assert all(value.isfinite() and value > 0 for value in output.gradient_norms.values())


@every_way
def test_saved_and_loaded_it_goes_on_bit_for_bit(way: dict[str, Any]) -> None:
    try:
        one, pool = built(**way, objective__adversarial__pool=4), 4
    except UserError as why:
        assert "objective.adversarial.pool" in str(why)
        one, pool = built(**way), 0
    for seed in range(3):
        one.training_step(small_batch(seed))
    state = copy.deepcopy(one.state_dict())
    other = built(**way, objective__adversarial__pool=pool)
    other.training_step(small_batch(9))  # so that nothing is right by being fresh
    other.load_state_dict(state)
    assert changed(weights(one), weights(other)) == set()
    for step in (one, other):
        torch.manual_seed(5)
        for seed in (3, 4):
            step.training_step(small_batch(seed))
    assert changed(weights(one), weights(other)) == set(), "something that the next update depends on is not in the state"


@steps
def test_the_schedule_reaches_every_optimizer(name: str) -> None:
    step = built(name)
    assert step.optimizers()
    step.set_learning_rate(0.0)
    before = weights(step)
    step.training_step(small_batch())
    assert changed(before, weights(step)) == set()


@steps
def test_what_it_is_and_what_its_options_mean(name: str) -> None:
    entry = registry.entry("step", name)
    assert entry.summary.endswith(".")
    assert re.search(r"\bSource: \S", entry.doc), "name the paper it comes from"
    assert [parameter for parameter in entry.parameters if parameter not in entry.options] == ["setup"]
    for option, parameter in entry.options.items():
        assert parameter.help, f"--training.{option} has no help"
