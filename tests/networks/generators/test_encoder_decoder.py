"""What passes from the encoder-decoder's encoder to its decoder, and that the default is the paper's."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from transfigure.errors import UserError
from transfigure.networks.build import build_generator
from transfigure.networks.generators.unet import EncoderDecoder

PUBLISHED = 39_075_459  # the U-Net's 54,413,955 without the skips' part of the decoder


def parameters(network: EncoderDecoder) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def passing(network: EncoderDecoder, x: Tensor) -> Tensor:
    seen = []
    handle = network.down[-1].register_forward_hook(lambda layer, args, out: seen.append(out.clone()))
    network(x)
    handle.remove()
    return seen[0]


@pytest.mark.parametrize(("width", "more"), [(None, 0), (512, 0), (8, -2 * 16 * 512 * 504), (1024, 2 * 16 * 512 * 512)])
def test_a_width_changes_the_two_innermost_layers_and_nothing_else(width: int | None, more: int) -> None:
    with torch.device("meta"):
        network, papers = EncoderDecoder(3, 3, bottleneck_width=width), EncoderDecoder(3, 3)
    assert parameters(papers) == PUBLISHED
    assert parameters(network) == PUBLISHED + more
    inner = width or 512
    assert (network.down[-1].conv.in_channels, network.down[-1].conv.out_channels) == (512, inner)
    assert (network.up[0].conv.in_channels, network.up[0].conv.out_channels) == (inner, 512)
    shapes, default = ({key: value.shape for key, value in each.state_dict().items()} for each in (network, papers))
    assert list(shapes) == list(default)
    differing = {key for key in shapes if shapes[key] != default[key]}
    assert differing == ({"down.7.conv.weight", "up.0.conv.weight"} if more else set())


@pytest.mark.parametrize("bottleneck", ["spatial", "vector"])
def test_neither_bottleneck_adds_a_layer_or_a_random_number(bottleneck: str) -> None:
    torch.manual_seed(0)
    plain = build_generator("encoder_decoder", 3, 3, {"width": 2, "depth": 4})
    after = torch.rand(1)
    torch.manual_seed(0)
    named = build_generator("encoder_decoder", 3, 3, {"width": 2, "depth": 4, "bottleneck": bottleneck, "bottleneck_width": 16})
    assert torch.equal(torch.rand(1), after)
    assert list(plain.state_dict()) == list(named.state_dict())
    assert all(torch.equal(a, b) for a, b in zip(plain.state_dict().values(), named.state_dict().values(), strict=True))
    x = torch.rand(2, 3, 16, 16)
    assert torch.equal(plain.eval()(x), named.eval()(x))


@pytest.mark.parametrize("upsampling", ["transposed", "resize"])
@pytest.mark.parametrize(("depth", "width", "size"), [(2, 1, (8, 12)), (3, 5, (8, 24)), (4, None, (32, 16)), (5, 70, (32, 32))])
def test_the_stated_shape_is_what_passes(depth: int, width: int | None, size: tuple[int, int], upsampling: str) -> None:
    network = EncoderDecoder(3, 1, width=4, depth=depth, bottleneck_width=width, upsampling=upsampling)  # type: ignore[arg-type]
    x = torch.rand(2, 3, *size)
    assert passing(network, x).shape == (2, *network.bottleneck_shape(*size))
    assert network.bottleneck_shape(*size) == (width or 32, size[0] >> depth, size[1] >> depth)
    assert network(x).shape == (2, 1, *size)


def test_a_vector_is_numbers_without_a_place() -> None:
    network = EncoderDecoder(3, 3, width=2, depth=4, bottleneck="vector", bottleneck_width=7).eval()
    assert network.bottleneck_shape(16, 16) == (7, 1, 1)
    assert passing(network, torch.rand(2, 3, 16, 16)).shape == (2, 7, 1, 1)
    for height, width in ((32, 32), (16, 32), (32, 16)):
        for ask in (lambda: network.bottleneck_shape(height, width), lambda: network(torch.rand(1, 3, height, width))):  # noqa: B023
            with pytest.raises(UserError, match=f"{width} pixels wide and {height} high.*16x16 only"):
                ask()
    with pytest.raises(UserError, match="16x16 only"):
        network.features(torch.rand(1, 3, 32, 32))
    assert EncoderDecoder(3, 3, width=2, depth=4).bottleneck_shape(32, 32) == (16, 2, 2)


def test_one_image_alone_passes_a_vector() -> None:
    """Batch norm at the 1x1 map would leave zeros at batch 1; there is none, whatever the width."""
    torch.manual_seed(0)
    network = build_generator(
        "encoder_decoder", 1, 1, {"width": 2, "depth": 3, "bottleneck": "vector", "bottleneck_width": 3, "dropout": 0.0}
    )
    assert not hasattr(network.down[-1], "norm")
    a, b = torch.rand(2, 1, 1, 8, 8)
    assert not torch.equal(network.train()(a), network(b))


def test_a_size_that_does_not_fit_has_no_bottleneck() -> None:
    with pytest.raises(UserError, match="multiples of 8"):
        EncoderDecoder(3, 3, width=1, depth=3).bottleneck_shape(20, 16)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"bottleneck": "vectr"}, "'vectr'.*did you mean 'vector'"),
        ({"bottleneck_width": 0}, "bottleneck_width is 0"),
        ({"bottleneck_width": -4}, "bottleneck_width is -4"),
    ],
)
def test_impossible_bottlenecks_are_said(options: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        build_generator("encoder_decoder", 3, 3, {"width": 1, **options})
