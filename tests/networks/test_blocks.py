"""How maps are halved and enlarged."""

from __future__ import annotations

import copy
import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from transfigure.networks.blocks import BilinearConv, BlurPool, NoiseInjection, ResizeConv, SubPixelConv, receptive_field, upsample
from transfigure.networks.build import build_generator
from transfigure.networks.init import WithoutStartingWeights, initialise
from transfigure.networks.modes import inference


def of_blocks(x: Tensor, side: int) -> bool:
    """Whether every block of ``side`` x ``side`` pixels has one value."""
    return torch.equal(x, F.interpolate(x[..., ::side, ::side], scale_factor=float(side), mode="nearest"))


@pytest.mark.parametrize("factor", [2, 4])
@pytest.mark.parametrize("start", [lambda layer: layer, initialise], ids=["built", "initialised"])
def test_a_fresh_pixel_shuffle_is_nearest_neighbour_up_sampling_of_a_convolution(factor: int, start) -> None:  # type: ignore[no-untyped-def]
    torch.manual_seed(0)
    layer = start(SubPixelConv(5, 3, factor=factor))
    x = torch.randn(2, 5, 6, 7)
    y = layer(x)
    assert y.shape == (2, 3, 6 * factor, 7 * factor)
    assert of_blocks(y, factor)
    one_of_each = F.conv2d(x, layer.weight[:: factor**2], layer.bias[:: factor**2], padding=1)
    assert torch.allclose(y, F.interpolate(one_of_each, scale_factor=float(factor), mode="nearest"), atol=1e-6)
    assert y.std() > 0.01
    assert not of_blocks(F.pixel_shuffle(nn.Conv2d(5, 3 * factor**2, 3, padding=1)(x), factor), factor), "drawn one by one they differ"


def test_kernels_of_different_channels_differ_and_have_the_usual_size() -> None:
    layer = initialise(SubPixelConv(64, 64), generator=torch.Generator().manual_seed(0))
    kernels = layer.weight[::4]
    assert kernels.std().item() == pytest.approx(0.02, rel=0.05)
    assert len(torch.unique(kernels)) > 0.99 * kernels.numel()
    assert layer.bias is not None and layer.bias.abs().max() == 0


def test_the_places_part_in_training() -> None:
    torch.manual_seed(0)
    layer = SubPixelConv(2, 1)
    x, target = torch.randn(1, 2, 6, 6), torch.randn(1, 1, 12, 12)
    F.mse_loss(layer(x), target).backward()
    with torch.no_grad():
        for parameter in layer.parameters():
            assert parameter.grad is not None
            parameter.sub_(parameter.grad)
    assert not of_blocks(layer(x), 2)


@pytest.mark.parametrize("name", ["unet", "resnet"])
def test_a_generator_of_pixel_shuffle_starts_without_a_grid_and_one_of_transposed_convolutions_with_one(name: str) -> None:
    """The last doubling of a constant image, away from its border."""
    for upsampling, smooth in (("pixel_shuffle", True), ("transposed", False)):
        torch.manual_seed(0)
        options = {"width": 4, "norm": "none", "dropout": 0.0, "upsampling": upsampling}
        generator = build_generator(name, 3, 3, {**options, **({"depth": 2} if name == "unet" else {"blocks": 1})})
        layer = generator.up[-1].conv
        maps = layer(torch.ones(1, layer.in_channels, 8, 8))[..., 4:-4, 4:-4]
        assert (maps.std(dim=(2, 3)).max() < 1e-6) == smooth


def test_one_seed_draws_the_same_numbers_of_the_other_layers() -> None:
    """The kernels of a pixel shuffle are all drawn and then arranged, so no layer after it starts otherwise."""
    layers = [nn.Sequential(layer, nn.Conv2d(4, 4, 3)) for layer in (SubPixelConv(4, 4), nn.Conv2d(4, 16, 3))]
    after = [initialise(each, generator=torch.Generator().manual_seed(0))[1].weight for each in layers]
    assert torch.equal(after[0], after[1])


def test_weights_that_are_loaded_next_are_not_drawn() -> None:
    with WithoutStartingWeights():
        layer = initialise(SubPixelConv(3, 2))
    state = copy.deepcopy(SubPixelConv(3, 2)).state_dict()
    layer.load_state_dict(state)
    assert torch.equal(layer.weight, state["weight"])


@pytest.mark.parametrize("upsampling", ["transposed", "resize", "bilinear", "pixel_shuffle"])
@pytest.mark.parametrize("size", [(1, 1), (5, 8)])
def test_every_way_doubles(upsampling: str, size: tuple[int, int]) -> None:
    for kernel in (3, 4):
        layer = upsample(upsampling, 3, 2, kernel, bias=False)
        assert layer(torch.rand(1, 3, *size)).shape == (1, 2, 2 * size[0], 2 * size[1])
        assert [name for name, _ in layer.named_parameters()] == ["weight"]


@pytest.mark.parametrize("size", [(2, 2), (8, 12), (7, 9)])
def test_a_blur_is_the_binomial_filter_at_every_second_pixel(size: tuple[int, int]) -> None:
    x = torch.randn(2, 3, *size, dtype=torch.float64)
    line = torch.tensor([1.0, 2, 1], dtype=torch.float64) / 4
    kernel = (line[:, None] * line).expand(3, 1, 3, 3)
    expected = F.conv2d(F.pad(x, (1, 1, 1, 1), mode="reflect"), kernel, stride=2, groups=3)
    assert expected.shape[2:] == tuple(math.ceil(side / 2) for side in size)
    assert torch.allclose(BlurPool()(x), expected, atol=1e-12)


def test_a_blur_lets_the_finest_grid_vanish_and_a_constant_pass() -> None:
    board = (torch.arange(8)[:, None] + torch.arange(8)) % 2 * 2.0 - 1
    assert BlurPool()(board[None, None]).abs().max() == 0
    assert torch.equal(BlurPool()(torch.full((1, 1, 8, 8), 0.7)), torch.full((1, 1, 4, 4), 0.7))


@pytest.mark.parametrize(
    "layers",
    [
        [SubPixelConv(1, 1)],
        [SubPixelConv(1, 1, factor=4), nn.Conv2d(1, 1, 3, padding=1)],
        [BlurPool(), nn.Conv2d(1, 1, 3)],
        [ResizeConv(1, 1, 3, padding=1)],
        [BilinearConv(1, 1, 3, padding=1)],
        [BilinearConv(1, 1, 3, padding=1), BilinearConv(1, 1, 3, padding=1), nn.Conv2d(1, 1, 3, padding=1)],
    ],
)
def test_the_receptive_field_is_the_widest_of_all_places(layers: list[nn.Module]) -> None:
    network = nn.Sequential(*layers).double()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.abs_().add_(0.1)
    widest = 0
    for place in range(8, 12):
        x = torch.rand(1, 1, 48, 48, dtype=torch.float64, requires_grad=True)
        network(x)[0, 0, place, place].backward()
        assert x.grad is not None
        widest = max(widest, int((x.grad[0, 0] != 0).any(0).sum()))
    assert receptive_field([network]) == widest


def test_bilinear_doubling_keeps_a_slope_where_nearest_neighbours_make_steps() -> None:
    x = torch.arange(12.0).expand(1, 1, 12, 12)
    layers = [kind(1, 1, 3, padding=1, bias=False) for kind in (BilinearConv, ResizeConv)]
    for layer in layers:
        nn.init.dirac_(layer.weight)
    smooth, steps = (layer(x)[0, 0, 12, 4:-4].diff() for layer in layers)
    assert torch.allclose(smooth, torch.tensor(0.5)) and set(steps.tolist()) == {0.0, 1.0}


def test_injected_noise_is_one_map_for_all_channels_and_new_for_every_image_and_pass() -> None:
    torch.manual_seed(0)
    layer, x = NoiseInjection(4), torch.zeros(2, 4, 64, 64)
    with torch.no_grad():
        layer.scale.copy_(torch.tensor([0.0, 0.5, 1.0, -1.0])[:, None, None])
    first, second = layer(x).detach(), layer(x).detach()
    assert first[:, 0].abs().max() == 0 and torch.equal(first[:, 1], first[:, 2] / 2) and torch.equal(first[:, 3], -first[:, 2])
    assert first[0, 2].std().item() == pytest.approx(1, abs=0.05)
    for one, other in ((first[0, 2], first[1, 2]), (first[0, 2], second[0, 2])):
        assert abs(torch.corrcoef(torch.stack([one.flatten(), other.flatten()]))[0, 1].item()) < 0.1
    assert torch.equal(layer.eval()(x), x)


@pytest.mark.parametrize("name", ["unet", "resnet", "quarter"])
def test_a_generator_with_noise_draws_what_its_seed_says_and_learns_how_much(name: str) -> None:
    size = {"blocks": 1} if name == "resnet" else {"depth": 3}
    network = initialise(build_generator(name, 1, 3, {"width": 4, "noise": True, **size})).eval()
    plain = build_generator(name, 1, 3, {"width": 4, **size})
    added = network.state_dict().keys() - plain.state_dict().keys()
    assert added and all(key.endswith("scale") for key in added)
    x = torch.rand(1, 1, 32, 32)
    drawn = []
    for noise, seed in (("dropout", 1), ("dropout", 1), ("dropout", 2), ("none", 1), ("none", 2)):
        with inference(network, noise=noise, seed=seed):  # type: ignore[arg-type]
            drawn.append(network(x))
    assert torch.equal(drawn[0], drawn[1]) and not torch.equal(drawn[0], drawn[2])
    assert torch.equal(drawn[3], drawn[4]) and not torch.equal(drawn[0], drawn[3])
    network.train()(x).square().mean().backward()
    assert all(parameter.grad.abs().max() > 0 for key, parameter in network.named_parameters() if key in added)
