from __future__ import annotations

import pytest
import torch

from transfigure.errors import UserError
from transfigure.networks.blocks import DOWNSAMPLINGS, UPSAMPLINGS
from transfigure.networks.build import build_generator
from transfigure.networks.generators.resnet import ResidualBlock, ResNet


@pytest.mark.parametrize(("blocks", "parameters"), [(9, 11_378_179), (6, 7_837_699)])
def test_parameter_counts_are_the_published_ones(blocks: int, parameters: int) -> None:
    with torch.device("meta"):
        assert sum(parameter.numel() for parameter in ResNet(3, 3, blocks=blocks).parameters()) == parameters


@pytest.mark.parametrize("norm", ["batch", "instance", "none"])
@pytest.mark.parametrize("upsampling", UPSAMPLINGS)
@pytest.mark.parametrize("downsampling", DOWNSAMPLINGS)
def test_every_variant_keeps_the_size_down_to_its_smallest(norm: str, upsampling: str, downsampling: str) -> None:
    sampling = {"upsampling": upsampling, "downsampling": downsampling}
    network = build_generator("resnet", 2, 1, {"width": 2, "blocks": 1, "norm": norm, "dropout": 0.5, **sampling})
    for size in ((8, 8), (8, 20), (36, 12)):
        assert network(torch.rand(1, 2, *size)).shape == (1, 1, *size)


def test_four_pixels_are_too_few_to_reflect() -> None:
    with pytest.raises(UserError, match="at least 8"):
        build_generator("resnet", 3, 3, {"width": 2, "blocks": 1})(torch.zeros(1, 3, 4, 4))


def test_a_block_adds_to_its_input() -> None:
    block = ResidualBlock(4, "instance", dropout=0.0)
    for parameter in block.parameters():
        parameter.data.zero_()
    x = torch.rand(1, 4, 5, 5)
    assert torch.equal(block(x), x)


def test_a_constant_image_has_no_border() -> None:
    """Reflection padding in stem, blocks and head: zero padding would darken the frame of an image that is all one value."""
    torch.manual_seed(0)
    network = build_generator("resnet", 1, 1, {"width": 4, "blocks": 2, "norm": "none"})
    x = torch.full((1, 1, 16, 16), 0.7)
    for layer in (network.stem, network.blocks[0].first, network.blocks[1].second):
        x = layer(x) if x.shape[1] == layer.conv.in_channels else layer(torch.full((1, layer.conv.in_channels, 8, 8), 0.7))
        assert torch.allclose(x, x[..., :1, :1].expand_as(x), atol=1e-6)


def test_dropout_is_noise_only_where_asked() -> None:
    x = torch.rand(1, 1, 8, 8)
    for dropout in (0.0, 0.5):
        torch.manual_seed(0)
        network = build_generator("resnet", 1, 1, {"width": 4, "blocks": 2, "dropout": dropout}).train()
        assert torch.equal(network(x), network(x)) == (dropout == 0)


def test_no_blocks_is_refused() -> None:
    with pytest.raises(UserError, match="blocks is 0"):
        build_generator("resnet", 3, 3, {"blocks": 0})


def test_halving_after_a_blur_has_the_same_weights() -> None:
    one, other = (build_generator("resnet", 3, 3, {"width": 2, "blocks": 1, "downsampling": halving}) for halving in DOWNSAMPLINGS)
    assert {key: value.shape for key, value in one.state_dict().items()} == {key: value.shape for key, value in other.state_dict().items()}
    assert [layer.conv.stride for layer in (*one.down, *other.down)] == [(2, 2), (2, 2), (1, 1), (1, 1)]


def test_an_unknown_halving_is_refused_with_the_nearest() -> None:
    with pytest.raises(UserError, match="did you mean 'blur'"):
        build_generator("resnet", 3, 3, {"width": 2, "downsampling": "blurr"})
