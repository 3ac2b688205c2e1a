from __future__ import annotations

from contextlib import nullcontext
from typing import Literal

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from transfigure.errors import UserError
from transfigure.networks.blocks import UPSAMPLINGS, ResizeConv
from transfigure.networks.build import build_generator
from transfigure.networks.generators.unet import EncoderDecoder, UNet
from transfigure.networks.modes import inference


def count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize(("depth", "parameters"), [(None, 54_413_955), (8, 54_413_955), (7, 41_828_995)])
def test_parameter_counts_are_the_published_ones(depth: int | None, parameters: int) -> None:
    with torch.device("meta"):
        assert count(UNet(3, 3, depth=depth)) == parameters


def test_the_layers_are_those_of_the_paper() -> None:
    with torch.device("meta"):
        unet, plain = UNet(3, 3), EncoderDecoder(3, 3)
    encoder = [64, 128, 256, 512, 512, 512, 512, 512]
    assert [layer.conv.out_channels for layer in unet.down] == encoder
    assert [layer.conv.out_channels for layer in plain.down] == encoder
    assert [layer.conv.in_channels for layer in unet.up] == [512, 1024, 1024, 1024, 1024, 512, 256, 128]
    assert [layer.conv.out_channels for layer in plain.up] == [512, 512, 512, 512, 256, 128, 64, 3]
    for network in (unet, plain):
        assert [hasattr(layer, "norm") for layer in network.down] == [False, *[True] * 6, False]
        assert [hasattr(layer, "norm") for layer in network.up] == [*[True] * 7, False]
        assert [hasattr(layer, "dropout") for layer in network.up] == [*[True] * 3, *[False] * 5]
        convs = [layer.conv for layer in (*network.down, *network.up)]
        assert all(conv.kernel_size == (4, 4) and conv.stride == (2, 2) for conv in convs)
        assert [conv.bias is not None for conv in convs] == [*[False] * 15, True]
        assert all(layer.activation.negative_slope == 0.2 for layer in network.down if hasattr(layer, "activation"))


@pytest.mark.parametrize(
    ("skip", "layers", "where"), [(0, 3, [0, 1, 2]), (1, 3, [1, 2, 3]), (1, 2, [1, 2]), (0, 0, []), (0, 99, [0, 1, 2, 3])]
)
def test_dropout_is_where_it_is_asked_for_and_never_on_the_image(skip: int, layers: int, where: list[int]) -> None:
    network = UNet(3, 3, width=2, depth=5, dropout_skip=skip, dropout_layers=layers)
    assert [index for index, layer in enumerate(network.up) if hasattr(layer, "dropout")] == where
    assert not any(hasattr(layer, "dropout") for layer in UNet(3, 3, width=2, depth=5, dropout=0.0).up)


def test_every_skip_carries_the_encoder_to_the_decoder_of_its_own_level() -> None:
    torch.manual_seed(0)
    network = build_generator("unet", 1, 1, {"width": 2, "depth": 3, "norm": "none", "dropout": 0.0})
    x = torch.rand(1, 1, 16, 16)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.normal_()
        one = network.down[0](x)
        two = network.down[1](one)
        inner = network.up[0](network.down[2](two))
        middle = network.up[1](torch.cat([two, inner], 1))
        expected = torch.tanh(network.up[2](torch.cat([one, middle], 1)))
        assert torch.equal(network(x), expected)
        # What a skip carries is read through the decoder's ReLU, so it makes no difference whether a LeakyReLU came before.
        leaky = nn.functional.leaky_relu(two, 0.2)
        assert torch.equal(network.up[1](torch.cat([leaky, inner], 1)), middle)


def test_without_skips_only_the_bottleneck_speaks() -> None:
    options = {"width": 2, "depth": 3, "dropout": 0.0}
    for name, independent in (("unet", False), ("encoder_decoder", True)):
        torch.manual_seed(0)
        network = build_generator(name, 1, 1, options).eval()
        network.down[-1].conv.weight.data.zero_()
        outputs = network(torch.rand(2, 1, 16, 16))
        assert torch.equal(outputs[0], outputs[1]) == independent


def test_one_image_alone_is_not_lost_at_the_bottleneck() -> None:
    """With batch norm at its 1x1 bottleneck, a batch of one would always be zeros there (the paper's errata)."""
    torch.manual_seed(0)
    network = build_generator("encoder_decoder", 1, 1, {"width": 2, "depth": 3, "dropout": 0.0}).train()
    a, b = torch.rand(2, 1, 1, 8, 8)
    assert not torch.equal(network(a), network(b))


@pytest.mark.parametrize("mode", ["train", "batch", "running"])
def test_a_normalised_bottleneck_of_one_position_is_its_shift(mode: Literal["train", "batch", "running"]) -> None:
    """The network must not change by being run, and with running statistics the bottleneck speaks again."""
    torch.manual_seed(0)
    network = build_generator("encoder_decoder", 1, 1, {"width": 2, "depth": 3, "dropout": 0.0, "bottleneck_norm": True}).train()
    with torch.no_grad():
        network.get_parameter("down.2.norm.bias").copy_(torch.linspace(-1, 1, 8))
    before = {name: value.clone() for name, value in network.named_parameters()}
    a, b = torch.rand(2, 1, 1, 8, 8)
    with nullcontext() if mode == "train" else inference(network, mode, "none"):
        outputs = [network(a), network(b), network(a)]
    assert torch.equal(outputs[0], outputs[2])
    assert torch.equal(outputs[0], outputs[1]) is (mode != "running")
    assert all(torch.equal(value, before[name]) for name, value in network.named_parameters())
    assert not torch.equal(network(torch.rand(1, 1, 16, 16)), network(torch.rand(1, 1, 16, 16)))


def test_a_normalised_bottleneck_is_for_batch_norm() -> None:
    with pytest.raises(UserError, match="bottleneck_norm is for batch norm, and norm is instance"):
        build_generator("unet", 1, 1, {"width": 2, "depth": 3, "norm": "instance", "bottleneck_norm": True})


@pytest.mark.parametrize("norm", ["batch", "instance"])
def test_the_first_convolution_may_have_a_bias(norm: str) -> None:
    plain, biased = (build_generator("unet", 1, 1, {"width": 2, "depth": 3, "norm": norm, "first_bias": bias}) for bias in (False, True))
    more = {"down.0.conv.bias"} if norm == "batch" else set()
    assert biased.state_dict().keys() - plain.state_dict().keys() == more


@settings(max_examples=25)
@given(
    kind=st.sampled_from([UNet, EncoderDecoder]),
    depth=st.integers(2, 6),
    channels=st.tuples(st.integers(1, 6), st.integers(1, 6)),
    options=st.fixed_dictionaries({"norm": st.sampled_from(["batch", "instance", "none"]), "upsampling": st.sampled_from(UPSAMPLINGS)}),
    more=st.tuples(st.integers(0, 1), st.integers(0, 1)),
)
def test_any_depth_gives_back_the_size(kind, depth, channels, options, more) -> None:  # type: ignore[no-untyped-def]
    network = kind(*channels, width=1, depth=depth, **options)
    assert network.size_multiple == 2**depth
    height, width = (network.size_multiple * (1 + extra) for extra in more)
    assert network(torch.rand(2, channels[0], height, width)).shape == (2, channels[1], height, width)


def test_resize_convolution_shows_no_checkerboard() -> None:
    """On a constant map, transposed convolution gives neighbouring pixels different sums of weights; resizing cannot, off the border."""
    torch.manual_seed(0)
    with torch.no_grad():
        constant = torch.ones(1, 4, 6, 6)
        resized = ResizeConv(4, 1, 3, padding=1)(constant)[..., 1:-1, 1:-1]
        transposed = nn.ConvTranspose2d(4, 1, 4, stride=2, padding=1)(constant)[..., 1:-1, 1:-1]
    assert resized.shape == transposed.shape == (1, 1, 10, 10)
    assert resized.std() < 1e-6 < transposed.std()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"depth": 1}, "depth is 1"),
        ({"depth": 0}, "depth is 0"),
        ({"norm": "bach"}, "did you mean 'batch'"),
        ({"upsampling": "nearest"}, "transposed"),
        ({"dropout": 1.5}, "dropout is 1.5"),
        ({"dropout": -0.1}, "dropout is -0.1"),
    ],
)
@pytest.mark.parametrize("name", ["unet", "encoder_decoder"])
def test_impossible_options_are_said(name: str, options: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        build_generator(name, 3, 3, {"width": 1, **options})
