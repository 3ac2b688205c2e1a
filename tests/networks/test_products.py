"""Convolutions of small maps as products of matrices: the same function, its gradients included."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from transfigure.networks import blocks
from transfigure.networks.blocks import DownConv, UpConv
from transfigure.networks.build import build_generator

LAYERS = {
    "down": lambda: DownConv(3, 5, 4, stride=2, padding=1),
    "down, no bias": lambda: DownConv(3, 5, 4, stride=2, padding=1, bias=False),
    "down, 3x3": lambda: DownConv(3, 5, 3, padding=1),
    "up": lambda: UpConv(3, 5, 4, stride=2, padding=1),
    "up, no bias": lambda: UpConv(3, 5, 4, stride=2, padding=1, bias=False),
    "up, 3x3": lambda: UpConv(3, 5, 3, stride=2, padding=1, output_padding=1),
}


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("size", [(1, 2, 2), (1, 6, 4), (3, 4, 2)], ids=str)
def test_the_same_function_and_gradients(monkeypatch: pytest.MonkeyPatch, name: str, size: tuple[int, int, int]) -> None:
    layer = LAYERS[name]().double()
    count, height, width = size
    x = torch.randn(count, 3, height, width, dtype=torch.float64, requires_grad=True)
    weights = [x, *layer.parameters()]
    expected = layer(x)
    direction = torch.randn_like(expected)
    gradients = torch.autograd.grad((expected * direction).sum(), weights)
    monkeypatch.setattr(blocks, "_as_product", lambda x, positions: True)
    monkeypatch.setattr(nn.Conv2d, "forward", _not_called)
    monkeypatch.setattr(nn.ConvTranspose2d, "forward", _not_called)
    found = layer(x)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    for mine, theirs in zip(torch.autograd.grad((found * direction).sum(), weights), gradients, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-12, atol=1e-12)


def _not_called(*_: object) -> None:
    pytest.fail("a convolution was called")


def test_only_where_it_is_faster(monkeypatch: pytest.MonkeyPatch) -> None:
    """Never in float32, whose bits stay what they were; in bfloat16 on the inner levels, up to so many positions of a whole batch."""
    asked: list[int] = []
    product = blocks._as_product

    def noted(x: torch.Tensor, positions: int) -> bool:
        chosen = product(x, positions)
        if chosen:
            asked.append(positions)
        return chosen

    monkeypatch.setattr(blocks, "_as_product", noted)
    generator = build_generator("unet", 3, 3, {"width": 2, "depth": 6})
    generator(torch.zeros(1, 3, 64, 64))
    assert asked == []
    with torch.autocast("cpu", torch.bfloat16):
        generator(torch.zeros(1, 3, 64, 64))
        assert asked == [256, 64, 16, 4, 1, 1, 4, 16, 64, 256]
        asked.clear()
        generator(torch.zeros(4, 3, 64, 64))
        assert asked == [64, 16, 4, 1, 1, 4, 16, 64]


@pytest.mark.parametrize("norm", ["batch", "none"])
def test_a_generator_makes_the_same_in_bfloat16(monkeypatch: pytest.MonkeyPatch, norm: str) -> None:
    generator = build_generator("unet", 3, 3, {"width": 8, "depth": 5, "dropout": 0.0, "norm": norm}).eval()
    x = torch.rand(2, 3, 32, 32) * 2 - 1
    exact = generator(x)
    with torch.autocast("cpu", torch.bfloat16):
        as_products = generator(x)
        monkeypatch.setattr(blocks, "FEW_POSITIONS", 0)
        as_convolutions = generator(x)
    near, usual = ((found.float() - exact).abs().max() for found in (as_products, as_convolutions))
    assert near < 2 * usual < 0.1, "no further from float32 than bfloat16 is anyway"
