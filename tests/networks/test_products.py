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
    monkeypatch.setattr(blocks, "_as_product", lambda x, positions, weight: True)
    monkeypatch.setattr(nn.Conv2d, "forward", _not_called)
    monkeypatch.setattr(nn.ConvTranspose2d, "forward", _not_called)
    found = layer(x)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    for mine, theirs in zip(torch.autograd.grad((found * direction).sum(), weights), gradients, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-12, atol=1e-12)


def _not_called(*_: object) -> None:
    pytest.fail("a convolution was called")


def test_only_where_it_is_faster(monkeypatch: pytest.MonkeyPatch) -> None:
    """On the inner levels, up to so many positions of a whole batch, and with large weights: small networks keep their bits."""
    asked: list[int] = []
    product = blocks._as_product

    def noted(x: torch.Tensor, positions: int, weight: torch.Tensor) -> bool:
        chosen = product(x, positions, weight)
        if chosen:
            asked.append(positions)
        return chosen

    monkeypatch.setattr(blocks, "_as_product", noted)
    generator = build_generator("unet", 3, 3, {"width": 2, "depth": 6})
    generator(torch.zeros(1, 3, 64, 64))
    assert asked == []
    monkeypatch.setattr(blocks, "MANY_WEIGHTS", 100)
    generator(torch.zeros(1, 3, 64, 64))
    assert asked == [64, 16, 4, 1, 1, 4, 16, 64]
    asked.clear()
    generator(torch.zeros(4, 3, 64, 64))
    assert asked == [16, 4, 1, 1, 4, 16]


@pytest.mark.parametrize("norm", ["batch", "none"])
@pytest.mark.parametrize("bfloat16", [False, True])
def test_a_generator_makes_the_same(monkeypatch: pytest.MonkeyPatch, norm: str, bfloat16: bool) -> None:
    generator = build_generator("unet", 3, 3, {"width": 8, "depth": 5, "dropout": 0.0, "norm": norm}).eval()
    x = torch.rand(2, 3, 32, 32) * 2 - 1
    exact = generator.double()(x.double()).float()
    found = {}
    for few in (0, 64):
        monkeypatch.setattr(blocks, "FEW_POSITIONS", few)
        monkeypatch.setattr(blocks, "MANY_WEIGHTS", 0)
        with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
            found[few] = (generator.float()(x).float() - exact).abs().max().item()
    assert found[64] < 3 * found[0] < (0.1 if bfloat16 else 1e-5), "no further from double precision than convolutions are"
