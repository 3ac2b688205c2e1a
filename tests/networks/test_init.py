from __future__ import annotations

import pytest
import torch
from torch import nn

from transfigure.networks.init import WithoutStartingWeights, initialise


def zoo() -> nn.ModuleDict:
    layers: dict[str, nn.Module] = {
        "conv": nn.Conv2d(32, 64, 4),
        "transposed": nn.ConvTranspose2d(64, 32, 4),
        "batch": nn.BatchNorm2d(4000),
        "sync": nn.SyncBatchNorm(4000),
        "instance": nn.InstanceNorm2d(4000, affine=True),
        "group": nn.GroupNorm(4, 4000),
        "layer": nn.LayerNorm(4000),
        "bare": nn.InstanceNorm2d(7),
        "unbiased": nn.Conv2d(3, 3, 1, bias=False),
    }
    return nn.ModuleDict(layers)


@pytest.mark.parametrize("gain", [0.02, 0.1])
def test_kernels_scales_and_biases(gain: float) -> None:
    network = initialise(zoo(), gain=gain, generator=torch.Generator().manual_seed(0))
    for name in ("conv", "transposed", "batch", "sync", "instance", "group", "layer"):
        weight, bias = network[name].weight, network[name].bias
        centre = 0.0 if weight.ndim == 4 else 1.0
        assert weight.mean().item() == pytest.approx(centre, abs=0.1 * gain), name
        assert weight.std().item() == pytest.approx(gain, rel=0.05), name
        assert bias.abs().max() == 0, name


def test_a_generator_of_numbers_decides_all_and_the_global_one_is_left_alone() -> None:
    before = torch.get_rng_state()
    one, two = zoo(), zoo()
    torch.set_rng_state(before)
    for network in (one, two):
        assert initialise(network, generator=torch.Generator().manual_seed(5)) is network
    assert torch.equal(torch.get_rng_state(), before)
    for key, value in one.state_dict().items():
        assert torch.equal(value, two.state_dict()[key]), key


def test_weights_that_are_loaded_next_are_not_drawn() -> None:
    with WithoutStartingWeights():
        network = initialise(zoo())
        made = nn.Parameter(torch.arange(3.0))
    assert made.tolist() == [0, 1, 2]
    assert network["batch"].running_var.eq(1).all() and network["batch"].running_mean.eq(0).all()
    assert isinstance(network["conv"].weight, nn.Parameter) and network["conv"].weight.shape == (64, 32, 4, 4)


def test_none_of_the_random_numbers_of_layers_are_used() -> None:
    before = torch.get_rng_state()
    with WithoutStartingWeights():
        initialise(zoo())
        assert torch.equal(torch.get_rng_state(), before)
        nn.init.normal_(torch.zeros(3))
        assert not torch.equal(torch.get_rng_state(), before), "a tensor that is no parameter is filled"
    torch.set_rng_state(before)
    initialise(zoo())
    assert not torch.equal(torch.get_rng_state(), before)
