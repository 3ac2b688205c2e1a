from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from transfigure.errors import UserError
from transfigure.networks.base import DiscriminatorOutput
from transfigure.networks.blocks import EvenConv
from transfigure.networks.build import build_discriminator
from transfigure.networks.discriminators.image import HalvingBlock, ImageDiscriminator


def test_parameter_count_is_the_stated_one() -> None:
    with torch.device("meta"):
        network = ImageDiscriminator(3)
    assert sum(parameter.numel() for parameter in network.parameters()) == 1_936_161


@settings(max_examples=25)
@given(
    depth=st.integers(1, 5),
    more=st.tuples(st.integers(0, 40), st.integers(0, 40)),
    norm=st.sampled_from(["batch", "instance", "none"]),
    spectral=st.booleans(),
)
def test_any_size_from_the_smallest_gets_one_logit(depth: int, more: tuple[int, int], norm: str, spectral: bool) -> None:
    network = build_discriminator("image", 2, {"width": 1, "depth": depth, "norm": norm, "spectral": spectral})
    height, width = (network.smallest_input + extra for extra in more)
    (logits,) = network(torch.rand(1, 2, height, width)).logits
    assert logits.shape == (1, 1, 1, 1)
    assert logits.isfinite().all()


@pytest.mark.parametrize("size", [(9, 9), (16, 16), (17, 31), (50, 64)])
def test_the_logit_depends_on_every_pixel(size: tuple[int, int]) -> None:
    network = build_discriminator("image", 3, {"width": 4}).double()
    x = torch.rand(1, 3, *size, dtype=torch.float64, requires_grad=True)
    network(x).logits[0].sum().backward()
    assert x.grad is not None
    assert (x.grad != 0).any(1).all(), "a row or column is not looked at"


def test_the_logit_is_no_sum_of_logits_of_parts() -> None:
    """Were it a mean over patches, changing two far corners together would do what the two changes do alone, added."""
    torch.manual_seed(0)
    network = build_discriminator("image", 1, {"width": 8, "depth": 2}).double().eval()
    base = torch.rand(1, 1, 64, 64, dtype=torch.float64)
    one, other, both = base.clone(), base.clone(), base.clone()
    for image in (one, both):
        image[..., :8, :8] = -20
    for image in (other, both):
        image[..., -8:, -8:] = 20
    with torch.no_grad():
        plain, first, second, together = (network(image).logits[0].item() for image in (base, one, other, both))
    assert abs((together - plain) - (first - plain) - (second - plain)) > 1e-3 * abs(together - plain)


@pytest.mark.parametrize("depth", [1, 2, 3, 4])
def test_one_place_of_the_last_map_sees_the_stated_field(depth: int) -> None:
    network = build_discriminator("image", 1, {"width": 1, "depth": depth}).double()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.abs_()  # nothing can cancel
    field = 5 * 2**depth - 4
    side = 2**depth * (2 + 2 * math.ceil(field / 2**depth))
    x = torch.rand(1, 1, side, side, dtype=torch.float64, requires_grad=True)
    maps = network.stem(x)
    for block in network.blocks:
        maps = block(maps)
    middle = maps.shape[-1] // 2
    maps[0, 0, middle, middle].backward()
    assert x.grad is not None
    rows = (x.grad[0, 0] != 0).any(1).nonzero()
    assert rows.numel() == field
    assert 0 < rows[0] < rows[-1] < side - 1


def test_a_block_is_its_two_paths_over_the_root_of_two() -> None:
    torch.manual_seed(0)
    block = HalvingBlock(2, 3, "none", spectral=False)
    x = torch.randn(1, 2, 6, 8)
    shortcut = nn.functional.avg_pool2d(nn.functional.conv2d(x, block.shortcut.weight * block.shortcut.scale), 2)
    residual = nn.functional.avg_pool2d(block.second(block.first(x)), 2)
    torch.testing.assert_close(block(x), (residual + shortcut) / math.sqrt(2))
    with torch.no_grad():
        block.second.conv.weight.zero_()
        block.second.conv.bias.zero_()
    torch.testing.assert_close(block(x), shortcut / math.sqrt(2))


@pytest.mark.parametrize("width", [4, 16, 64])
def test_the_size_of_what_passes_does_not_depend_on_the_width(width: int) -> None:
    """With N(0, 0.02) alone a width of 4 would leave 1e-10 of the difference between two images, and D would not learn."""
    torch.manual_seed(0)
    network = build_discriminator("image", 3, {"width": width, "depth": 3})
    assert network.blocks[0].first.conv.weight.std().item() == pytest.approx(0.02, rel=0.25)
    x = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        for layer in (network.stem, *network.blocks):
            x = layer(x)
            assert 0.3 < x.square().mean().sqrt() < 3
    layer = EvenConv(9 * width, 64, 3, gain=1)
    nn.init.normal_(layer.weight, 0, 0.02)
    assert layer(torch.randn(4, 9 * width, 16, 16)).std().item() == pytest.approx(1, rel=0.15)


def test_it_learns_what_belongs_together() -> None:
    """Two squares far apart, of one colour (real) or of two: each half alone says nothing."""
    torch.manual_seed(0)
    network = build_discriminator("image", 1, {"width": 8, "depth": 3, "norm": "none"})
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3, betas=(0.5, 0.999))

    def images(alike: bool) -> torch.Tensor:
        tone = torch.randint(0, 2, (16, 1, 1, 1)) * 2.0 - 1
        x = torch.zeros(16, 1, 24, 24)
        x[:, :, 2:10, 2:10] = tone
        x[:, :, 14:22, 14:22] = tone if alike else -tone
        return x

    def logits(alike: bool) -> torch.Tensor:
        output: DiscriminatorOutput = network(images(alike))
        return output.logits[0]

    for _ in range(60):
        loss = nn.functional.softplus(-logits(True)).mean() + nn.functional.softplus(logits(False)).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert logits(True).min() > 0 > logits(False).max()


@pytest.mark.parametrize("norm", ["batch", "instance", "none"])
def test_nothing_is_normalised_on_the_way_in_and_out(norm: str) -> None:
    network = ImageDiscriminator(2, width=2, depth=2, norm=norm)  # type: ignore[arg-type]
    assert not hasattr(network.stem, "norm") and not hasattr(network.hidden, "norm")
    assert [hasattr(layer, "norm") for block in network.blocks for layer in (block.first, block.second)] == [norm != "none"] * 4


def test_impossible_options_are_said() -> None:
    for options, message in (({"depth": 0}, "depth is 0"), ({"norm": "bach"}, "did you mean 'batch'")):
        with pytest.raises(UserError, match=message):
            build_discriminator("image", 3, options)
