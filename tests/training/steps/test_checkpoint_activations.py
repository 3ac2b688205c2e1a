"""Activations that are computed anew in the backward pass: the same bits, less kept."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.training.runs import assert_same_bits, stop_after, tiny_recipe
from tests.training.small import SMALL, small_batch, small_setup
from transfigure.errors import UserError
from transfigure.networks.build import build_discriminator, build_generator
from transfigure.networks.levels import Level, recompute_levels
from transfigure.recipe import Recipe
from transfigure.registry import names
from transfigure.training import setup as building
from transfigure.training.engine import Engine
from transfigure.training.setup import Setup
from transfigure.training.steps.base import TrainingStep
from transfigure.training.steps.build import build_step
from transfigure.training.trainer import train

RECIPES: dict[str, dict[str, Any]] = {
    "pix2pix, with batch norm and dropout": {},
    "no skips": {"generator": "encoder_decoder", "generator.upsampling": "resize"},
    "resnet": {"generator": "resnet", "generator.blocks": 2, "generator.norm": "batch", "generator.dropout": 0.5},
    "spectral norm and R1": {"discriminator.spectral": True, "discriminator.norm": "none", "objective.adversarial.r1": 2.0},
    "whole images, spectral": {"discriminator": "image", "discriminator.depth": 2, "discriminator.spectral": True},
    "wgan_gp": {"objective.adversarial.loss": "wgan_gp", "discriminator.norm": "instance"},
    "bfloat16": {"training.precision": "bf16-mixed"},
    "simultaneous": {"training.update": "simultaneous"},
    "accumulated": {"training.accumulate": 2},
    "cyclegan": {"generator": "resnet", "generator.blocks": 2, "training.step": "cyclegan"},
    "quarter, at two scales": {"generator": "quarter", "discriminator": "multiscale", "discriminator.scales": 2},
    "projection, spectral": {"generator.upsampling": "pixel_shuffle", "discriminator": "projection", "discriminator.spectral": True},
    "blurred": {"generator": "resnet", "generator.downsampling": "blur", "discriminator.downsampling": "blur"},
    "features of the generator": {"generator": "resnet", "generator.blocks": 2, "objective.terms": [{"loss": "contrastive"}]},
}


def steps(chosen: dict[str, Any]) -> Iterator[TrainingStep]:
    """One that keeps its activations and one that does not."""
    given = {**SMALL, **chosen}
    if "generator" in chosen and chosen["generator"] != "encoder_decoder":
        del given["generator.depth"]
    if chosen.get("discriminator") == "image":
        del given["discriminator.receptive_field"]
    for anew in (False, True):
        recipe = Recipe.load("pix2pix", {**given, "training.checkpoint_activations": anew})
        torch.manual_seed(0)
        yield build_step(Setup(recipe, (3, 3), Engine(recipe.training)))


def bits(step: TrainingStep) -> dict[str, Tensor]:
    return {f"{name}.{key}": value for name, network in step.networks().items() for key, value in network.state_dict().items()}


@pytest.mark.parametrize("measure", [False, True])
@pytest.mark.parametrize("name", RECIPES)
def test_updates_are_the_same_bits(name: str, measure: bool) -> None:
    states = []
    for step in steps(RECIPES[name]):
        torch.manual_seed(1)
        for seed in range(2):
            output = step.training_step(small_batch(seed, 2), measure=measure)
        states.append({**bits(step), "g_loss": output.g_loss, "random": torch.get_rng_state(), **output.gradient_norms})
    kept, anew = states
    assert kept.keys() == anew.keys()
    assert [key for key in kept if not torch.equal(kept[key], anew[key])] == []


@pytest.mark.parametrize("kind", ["generator", "discriminator"])
def test_every_network_of_ours_has_levels_and_its_gradients_are_the_same_bits(kind: str) -> None:
    for name in names(kind):
        torch.manual_seed(0)
        kept = build_generator(name, 3, 3, {"width": 4}) if kind == "generator" else build_discriminator(name, 3, {"width": 4})
        anew = copy.deepcopy(kept)
        assert recompute_levels(anew) >= 3
        side = getattr(kept, "only_size", None) or max(64, getattr(kept, "size_multiple", 1), kept.smallest_input)
        x = torch.rand(2, 3, side, side) * 2 - 1
        for network in (kept, anew):
            torch.manual_seed(1)
            outputs = [network(x)] if kind == "generator" else network(x).logits
            sum(output.square().mean() for output in outputs).backward()
        for (key, one), other in zip(kept.named_parameters(), anew.parameters(), strict=True):
            assert one.grad is not None and other.grad is not None and torch.equal(one.grad, other.grad), f"{name}: {key}"
        for one, other in zip(kept.buffers(), anew.buffers(), strict=True):
            assert torch.equal(one, other)


def saved(network: nn.Module, x: Tensor) -> int:
    """Bytes of what a forward pass keeps by itself for the backward pass; what a level that computes anew keeps is its input alone."""
    sizes: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        sizes[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor.detach()

    weights = {weight.untyped_storage().data_ptr() for weight in network.parameters()}
    inputs: dict[int, int] = {}
    for level in network.modules():
        if isinstance(level, Level) and level.recompute:
            level.register_forward_pre_hook(lambda level, given: inputs.update({given[0].data_ptr(): given[0].untyped_storage().nbytes()}))
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        output = network(x)
    del output
    return sum(size for place, size in {**sizes, **inputs}.items() if place not in weights)


@pytest.mark.parametrize(("name", "share"), [("unet", 0.7), ("resnet", 0.4)])
def test_only_what_comes_into_a_level_is_kept(name: str, share: float) -> None:
    torch.manual_seed(0)
    network = build_generator(name, 3, 3, {"width": 8, **({"depth": 5} if name == "unet" else {})})
    anew = copy.deepcopy(network)
    recompute_levels(anew)
    x = torch.rand(1, 3, 64, 64)
    assert saved(anew, x) < share * saved(network, x)


def test_without_a_gradient_nothing_is_done_twice() -> None:
    generator = build_generator("unet", 3, 3, {"width": 4, "depth": 4})
    recompute_levels(generator)
    calls: list[int] = []
    for module in generator.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(lambda module, given, output: calls.append(1))
    x = torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        generator(x)
    assert len(calls) == 4
    generator(x).mean().backward()
    assert len(calls) > 8, "once forwards and once backwards, but for a level's last layer if its input is all that is needed"


def test_a_network_without_levels_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(building, "recompute_levels", lambda network: 0)
    with pytest.raises(UserError, match=r"the generator unet has no levels .* leave training\.checkpoint_activations out"):
        build_step(small_setup({"training.checkpoint_activations": True}))


def test_a_run_may_change_it_on_the_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It changes no bit, so who runs out of memory can go on with it."""
    whole = train(tiny_recipe(training__epochs=2), tmp_path / "whole", quiet=True)
    with monkeypatch.context() as patch:
        stop_after(8, patch, OSError)
        with pytest.raises(OSError, match="killed"):
            train(tiny_recipe(training__epochs=2), tmp_path / "run", quiet=True)
    frugal = tiny_recipe(training__epochs=2, training__checkpoint_activations=True)
    assert_same_bits(whole, train(frugal, tmp_path / "run", resume=True, quiet=True))
