"""Convolutions with fewer multiplications are convolutions, and are used where that pays."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from transfigure.networks import winograd
from transfigure.networks.blocks import spectral_if
from transfigure.networks.winograd import WinogradConv2d, convolve

SHAPES = [(1, 3, 5, 4, 4, 4), (2, 3, 5, 10, 13, 4), (1, 4, 2, 31, 7, 3), (3, 2, 6, 6, 9, 3), (1, 1, 1, 64, 64, 4)]


@pytest.mark.parametrize(("number", "channels", "outgoing", "height", "width", "kernel"), SHAPES)
def test_it_is_the_convolution(number: int, channels: int, outgoing: int, height: int, width: int, kernel: int) -> None:
    """In double precision to the last digits, with its first and second derivatives."""
    torch.manual_seed(0)
    x = torch.randn(number, channels, height, width, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(outgoing, channels, kernel, kernel, dtype=torch.float64, requires_grad=True)
    down = torch.randn(number, outgoing, height - kernel + 1, width - kernel + 1, dtype=torch.float64)

    def everything(y: Tensor) -> list[Tensor]:
        first = torch.autograd.grad((y * down).sin().sum(), (x, weight), create_graph=True)
        second = torch.autograd.grad(sum(one.square().sum() for one in first), (x, weight))
        return [y, *first, *second]

    for own, expected in zip(everything(convolve(x, weight)), everything(F.conv2d(x, weight)), strict=True):
        torch.testing.assert_close(own, expected, rtol=1e-11, atol=1e-11 * float(expected.detach().abs().max()))


@pytest.mark.parametrize("kernel", [3, 4])
def test_its_rounding_is_as_documented(kernel: int) -> None:
    torch.manual_seed(0)
    x, weight = torch.randn(1, 256, 40, 40), torch.randn(64, 256, kernel, kernel)
    exact = F.conv2d(x.double(), weight.double())
    error = ((convolve(x, weight) - exact).square().mean() / exact.square().mean()).sqrt()
    assert error < 3e-6
    assert convolve(x, weight).is_contiguous()


def used(monkeypatch: pytest.MonkeyPatch, layer: nn.Module, x: Tensor) -> bool:
    """Whether a layer computes a map so; and see that the map is right."""
    calls = []
    monkeypatch.setattr(winograd, "convolve", lambda *sides: (calls.append(1), convolve(*sides))[1])
    y = layer(x)
    with torch.no_grad():  # the plain convolution
        torch.testing.assert_close(y, layer(x), rtol=1e-3, atol=1e-4)
    return bool(calls)


def test_where_it_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    many = {"kernel_size": 4, "padding": 1}
    large, small = torch.randn(1, 128, 32, 32), torch.randn(1, 128, 16, 16)
    wide = WinogradConv2d(128, 128, **many)
    assert used(monkeypatch, wide, large)
    assert used(monkeypatch, wide, small.repeat(3, 1, 1, 1)), "three maps have tiles enough"
    assert used(monkeypatch, WinogradConv2d(128, 256, 3, padding=1, padding_mode="reflect", bias=False), large)
    assert not used(monkeypatch, wide, small)
    assert not used(monkeypatch, WinogradConv2d(128, 64, **many), large), "few weights"
    assert not used(monkeypatch, WinogradConv2d(128, 128, **many, stride=2), torch.randn(1, 128, 64, 64))
    assert not used(monkeypatch, WinogradConv2d(128, 128, 5, padding=2), large)
    assert not used(monkeypatch, WinogradConv2d(256, 256, **many, groups=2), torch.randn(1, 256, 32, 32))
    assert not used(monkeypatch, WinogradConv2d(128, 128, 4, dilation=2), large)
    assert not used(monkeypatch, WinogradConv2d(128, 128, 3, padding="same"), large)
    assert not used(monkeypatch, wide.double(), large.double())
    wide.float()
    with torch.autocast("cpu", torch.bfloat16):
        assert not used(monkeypatch, wide, large)
    monkeypatch.setattr(winograd, "convolve", lambda *_: pytest.fail("used without gradients"))
    with torch.no_grad():
        wide(large)
    torch.jit.trace(wide, large, check_trace=False)


def test_a_spectral_norm_takes_one_step_a_pass() -> None:
    """The norm's vectors move with each look at the weight; two looks would be another algorithm."""
    torch.manual_seed(0)
    plain = spectral_if(nn.Conv2d(128, 128, 4, padding=1), True)
    own = spectral_if(WinogradConv2d(128, 128, 4, padding=1), True)
    own.load_state_dict(plain.state_dict())
    x = torch.randn(1, 128, 32, 32)
    torch.testing.assert_close(own(x), plain(x), rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(own.state_dict(), plain.state_dict(), rtol=0, atol=0)
