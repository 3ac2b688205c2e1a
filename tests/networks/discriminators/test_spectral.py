"""Spectral normalisation in every discriminator that has it: beside initialisation, freezing, copies and files."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import nn

from transfigure import registry
from transfigure.losses.gradient_penalty import r1
from transfigure.networks.base import DiscriminatorOutput
from transfigure.networks.build import build_discriminator
from transfigure.networks.init import initialise
from transfigure.networks.modes import inference
from transfigure.training.steps.base import frozen

discriminators = pytest.mark.parametrize(
    "name", [name for name in registry.names("discriminator") if "spectral" in registry.entry("discriminator", name).options]
)
TINY = {"width": 4, "norm": "none", "receptive_field": 16}


def spectral(name: str, seed: int = 0, **more: Any) -> nn.Module:
    torch.manual_seed(seed)
    return built(name, {"spectral": True, **more})


def built(name: str, options: dict[str, Any]) -> nn.Module:
    """Small enough for images of 32 pixels, and the first of three channels the source's where that matters."""
    small = {key: value for key, value in TINY.items() if key in registry.entry("discriminator", name).options}
    return build_discriminator(name, 3, {**small, **options}, source_channels=1)


def logits(network: nn.Module, x: torch.Tensor) -> torch.Tensor:
    output: DiscriminatorOutput = network(x)
    return torch.cat([logits.flatten(1) for logits in output.logits], dim=1)


def convolutions(network: nn.Module) -> list[nn.Conv2d]:
    return [layer for layer in network.modules() if isinstance(layer, nn.Conv2d)]


@discriminators
def test_every_convolution_is_divided_by_its_largest_singular_value(name: str) -> None:
    network = spectral(name)
    with torch.no_grad():
        for _ in range(30):
            network(torch.rand(1, 3, 32, 32))
        for layer in convolutions(network.eval()):
            assert torch.linalg.matrix_norm(layer.weight.flatten(1), 2).item() == pytest.approx(1, rel=0.02)
    assert not any(hasattr(layer, "parametrizations") for layer in convolutions(built(name, {})))


@discriminators
def test_initialisation_reaches_the_weights_before_the_division_and_the_norm_follows(name: str) -> None:
    network = initialise(spectral(name, width=16), gain=5.0, generator=torch.Generator().manual_seed(0)).eval()
    for layer in convolutions(network):
        original = layer.parametrizations.weight.original
        if original.numel() > 500:
            assert original.std().item() == pytest.approx(5.0, rel=0.1)
        # Singular vectors of the weights before initialisation would give a norm that is too small, and so weights far beyond 1.
        assert torch.linalg.matrix_norm(layer.weight.flatten(1), 2).item() == pytest.approx(1, abs=0.15)
        assert layer.bias is None or layer.bias.abs().max() == 0
    one, same, other = (initialise(spectral(name), generator=torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    weights = [[layer.parametrizations.weight.original for layer in convolutions(network)] for network in (one, same, other)]
    assert all(torch.equal(a, b) for a, b in zip(weights[0], weights[1], strict=True))
    assert not torch.equal(weights[0][0], weights[2][0])


@discriminators
def test_training_mode_is_as_it_was_after_initialisation(name: str) -> None:
    network = spectral(name).eval()
    assert not any(part.training for part in initialise(network).modules())


@discriminators
def test_weights_and_singular_vectors_survive_a_file(name: str) -> None:
    network, x = spectral(name), torch.rand(2, 3, 32, 32)
    network(x)
    file = safetensors.torch.save(network.state_dict())
    loaded = spectral(name, seed=9)
    loaded.load_state_dict(safetensors.torch.load(file), strict=True)
    assert torch.equal(logits(loaded, x), logits(network, x)), "the next update would differ after a resume"
    assert torch.equal(logits(loaded.eval(), x), logits(network.eval(), x))


@discriminators
def test_a_copy_is_equal_and_independent(name: str) -> None:
    network, x = spectral(name).eval(), torch.rand(1, 3, 32, 32)
    copied = copy.deepcopy(network)
    before = logits(network, x)
    assert torch.equal(logits(copied, x), before)
    with torch.no_grad():
        for parameter in copied.parameters():
            parameter.add_(1)
    copied.train()(x)
    assert torch.equal(logits(network, x), before)


@discriminators
def test_frozen_it_passes_gradients_but_keeps_none(name: str) -> None:
    network, x = spectral(name), torch.rand(1, 3, 32, 32, requires_grad=True)
    with frozen(network):
        logits(network, x).mean().backward()
    assert x.grad is not None and x.grad.abs().max() > 0
    assert all(parameter.grad is None and parameter.requires_grad for parameter in network.parameters())


@discriminators
def test_inference_leaves_it_as_it_was(name: str) -> None:
    network, x = spectral(name), torch.rand(1, 3, 32, 32)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    with inference(network):
        assert torch.equal(logits(network, x), logits(network, x))
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())


@discriminators
def test_an_update_on_two_passes_and_a_penalty_moves_every_weight(name: str) -> None:
    network = spectral(name)
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
    before = {key: value.clone() for key, value in network.named_parameters()}
    real, fake = torch.rand(2, 2, 3, 32, 32)
    (logits(network, fake).mean() - logits(network, real).mean() + r1(network, real)).backward()
    optimizer.step()
    moved = {key for key, value in network.named_parameters() if not torch.equal(value, before[key])}
    assert {key for key in before if "weight" in key} <= moved


@discriminators
def test_half_precision_passes(name: str) -> None:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert logits(spectral(name), torch.rand(1, 3, 32, 32)).isfinite().all()
