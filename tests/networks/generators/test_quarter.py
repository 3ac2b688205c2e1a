from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from transfigure.errors import UserError
from transfigure.networks.build import build_generator
from transfigure.networks.generators.quarter import PreActivationBlock, QuarterUNet

NORMS = ["batch", "instance", "none"]


def test_parameter_count_and_field_are_the_stated_ones() -> None:
    with torch.device("meta"):
        network = QuarterUNet(3, 3)
    assert f"{sum(parameter.numel() for parameter in network.parameters()):,} parameters" in (QuarterUNet.__doc__ or "")
    assert f"depends on {network.receptive_field} pixels" in (QuarterUNet.__doc__ or "")


@pytest.mark.parametrize("depth", [2, 3, 4, 5])
def test_the_output_sees_more_of_the_image_with_each_halving(depth: int) -> None:
    network = QuarterUNet(1, 1, width=2, depth=depth)
    assert network.size_multiple == 2**depth and network.smallest_input == 2 ** (depth + 1)
    assert (network.receptive_field or 0) > (QuarterUNet(1, 1, width=2, depth=depth - 1).receptive_field or 0 if depth > 2 else 40)
    if depth >= 3:
        assert (network.receptive_field or 0) >= 100, "most of an image of 128 pixels"


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("depth", [2, 3, 5])
def test_every_variant_gives_back_the_size_from_its_smallest(norm: str, depth: int) -> None:
    network = build_generator("quarter", 2, 1, {"width": 2, "depth": depth, "norm": norm, "dropout": 0.5, "detail": 3})
    least, step = network.smallest_input, network.size_multiple
    for size in ((least, least), (least, least + 3 * step)):
        assert network(torch.rand(1, 2, *size)).shape == (1, 1, *size)
    with pytest.raises(UserError, match=f"at least {least}"):
        network(torch.rand(1, 2, least - step, least))


def test_a_fresh_one_draws_blocks_without_a_grid_within() -> None:
    """Before the layers at full size, all 4x4 pixels of a block are alike, so what differs within comes from the source."""
    torch.manual_seed(0)
    network = build_generator("quarter", 3, 3, {"width": 4, "depth": 3, "upsampling": "pixel_shuffle"})
    maps = network.unfold(torch.randn(1, 4, 6, 6))
    assert torch.equal(maps, F.interpolate(maps[..., ::4, ::4], scale_factor=4.0, mode="nearest"))
    assert maps.std() > 0


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("upsampling", ["bilinear", "resize", "pixel_shuffle"])
def test_a_constant_image_gives_no_grid_away_from_its_border(norm: str, upsampling: str) -> None:
    torch.manual_seed(0)
    network = build_generator("quarter", 3, 3, {"width": 4, "depth": 2, "norm": norm, "upsampling": upsampling}).double().eval()
    y = network(torch.full((1, 3, 128, 128), 0.3, dtype=torch.float64))
    inside = y[..., 40:-40, 40:-40]
    assert (inside - inside[..., :1, :1]).abs().max() < (1e-9 if norm != "instance" else 1e-3)


def test_the_source_reaches_the_output_pixel_by_pixel() -> None:
    """With all that is folded away taken out, an edge of the source lies in the output where it lay, to two pixels."""
    torch.manual_seed(0)
    network = build_generator("quarter", 1, 1, {"width": 4, "depth": 3}).double()
    with torch.no_grad():
        for parameter in network.unfold.parameters():
            parameter.zero_()
    x = torch.rand(1, 1, 32, 32, dtype=torch.float64, requires_grad=True)
    network(x)[0, 0, 13, 14].backward()
    assert x.grad is not None
    seen = (x.grad[0, 0] != 0).nonzero()
    assert seen.min(0).values.tolist() == [11, 12] and seen.max(0).values.tolist() == [15, 16]


@pytest.mark.parametrize("source", [1, 3, 13, 16, 40])
def test_a_source_of_many_channels_leaves_room_for_the_maps(source: int) -> None:
    network = QuarterUNet(source, 2, width=2, depth=2)
    unfolded = network.detail.conv.in_channels - source  # type: ignore[union-attr,operator]
    assert unfolded == max(16 - source, 8)
    assert network(torch.rand(1, source, 8, 8)).shape == (1, 2, 8, 8)


@pytest.mark.parametrize("norm", NORMS)
def test_a_block_adds_to_its_input_and_leaves_it_as_it_is(norm: str) -> None:
    torch.manual_seed(0)
    block = PreActivationBlock(4, norm, dropout=0.0)
    x = torch.randn(2, 4, 5, 5)
    before = x.clone()
    assert not torch.equal(block(x), x)
    assert torch.equal(x, before)
    for parameter in block.second.conv.parameters():
        parameter.data.zero_()
    assert torch.equal(block(x), x)


def test_dropout_is_noise_only_where_asked() -> None:
    x = torch.rand(1, 1, 8, 8)
    for dropout in (0.0, 0.5):
        torch.manual_seed(0)
        network = build_generator("quarter", 1, 1, {"width": 4, "depth": 2, "dropout": dropout}).train()
        assert torch.equal(network(x), network(x)) == (dropout == 0)


def test_half_precision_passes() -> None:
    network = build_generator("quarter", 3, 3, {"width": 4})
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = network(torch.rand(1, 3, 32, 48))
    assert y.isfinite().all()
    y.float().mean().backward()
    assert all(parameter.grad is not None and parameter.grad.isfinite().all() for parameter in network.parameters())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"depth": 1}, "depth is 1"),
        ({"blocks": 0}, "blocks is 0"),
        ({"detail": 0}, "detail is 0"),
        ({"norm": "bach"}, "did you mean 'batch'"),
    ],
)
def test_impossible_options_are_said(options: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        build_generator("quarter", 3, 3, {"width": 2, **options})
