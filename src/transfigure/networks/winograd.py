"""Convolutions of stride 1 with fewer multiplications, by Winograd's minimal filtering, on CPUs.

A tile of m x m outputs of a convolution with r x r weights takes m^2 r^2 multiplications for each pair of channels, and (m + r - 1)^2 in
this form (Lavin and Gray 2016, arXiv:1509.09308, equation 8):

    Y = A^T [(G g G^T) * (B^T d B)] A

where g are the weights, d a tile of (m + r - 1)^2 inputs and * is element by element; over the channels those products are one product of
matrices for each of the (m + r - 1)^2 places. Tiles here are of 6 x 6 inputs: 4 times fewer multiplications for r = 3 as for r = 4.

The result is the convolution's but for rounding, whose error is some six times as large: 2e-6 of the output's size in float32. So it is
used where gradients are computed, and a network that only translates gives the convolution's own numbers. In bfloat16 the error would
be too large, and there convolutions are fast.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Iterable, Sequence
from fractions import Fraction

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_TILE = 6
_POINTS = (0, 1, -1, 2, Fraction(-1, 2))
"""Where the polynomials are evaluated, beside infinity: of small numbers those with the smallest error."""
FEWEST_TILES, FEWEST_WEIGHTS = 64, 2**18
"""In all maps of a batch, and in a layer: with fewer, to transform the weights takes longer than what is saved."""


class WinogradConv2d(nn.Conv2d):
    """A convolution, computed by :func:`convolve` where that is faster: 3x3 or 4x4 weights, stride 1, float32, on a CPU, in training."""

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102
        if not self._fits(x):
            return super().forward(x)
        if self.padding_mode == "zeros":
            first, second = (int(side) for side in self.padding)
            x = F.pad(x, (second, second, first, first))
        else:
            x = F.pad(x, self._reversed_padding_repeated_twice, mode=self.padding_mode)
        maps = convolve(x, self.weight)
        return maps if self.bias is None else maps + self.bias[:, None, None]

    def _fits(self, x: Tensor) -> bool:
        first, second = self.kernel_size
        if not torch.is_grad_enabled() or self.in_channels * self.out_channels * first * second < FEWEST_WEIGHTS:
            return False  # the weight itself is not looked at: a spectral norm computes it anew each time
        if x.device.type != "cpu" or x.dtype != torch.float32 or torch.is_autocast_enabled("cpu"):
            return False
        plain = self.stride == self.dilation == (1, 1) and self.groups == 1 and self.kernel_size in ((3, 3), (4, 4))
        if not plain or isinstance(self.padding, str) or is_traced():
            return False
        height, width = (side + 2 * padding - self.kernel_size[0] + 1 for side, padding in zip(x.shape[-2:], self.padding))
        each = _TILE + 1 - self.kernel_size[0]
        return len(x) * -(-height // each) * -(-width // each) >= FEWEST_TILES


def is_traced() -> bool:
    """Whether the graph is written down, for images of any size: then it must not depend on the size of those at hand."""
    return torch.compiler.is_compiling() or torch.jit.is_tracing()  # type: ignore[attr-defined,no-untyped-call]


def convolve(x: Tensor, weight: Tensor) -> Tensor:
    """The convolution of stride 1 and no padding, ``[N, C, H, W]`` with ``[O, C, r, r]`` -> ``[N, O, H - r + 1, W - r + 1]``."""
    number, channels, height, width = x.shape
    outgoing, _, kernel, _ = weight.shape
    each = _TILE + 1 - kernel
    height, width = height - kernel + 1, width - kernel + 1
    rows, columns = -(-height // each), -(-width // each)
    at_outputs, at_weights, at_inputs = (matrix.to(x.dtype) for matrix in _transforms(kernel))
    x = F.pad(x, (0, each * columns - width, 0, each * rows - height))
    tiles = F.unfold(x, _TILE, stride=each).view(number, channels, _TILE**2, -1).permute(2, 1, 0, 3).reshape(_TILE**2, -1)
    inputs = (at_inputs @ tiles).view(_TILE**2, channels, -1)
    weights = (at_weights @ weight.reshape(outgoing * channels, kernel**2).t()).view(_TILE**2, outgoing, channels)
    products = torch.bmm(weights, inputs).view(_TILE**2, -1)
    outputs = (at_outputs @ products).view(each, each, outgoing, number, rows, columns)
    return outputs.permute(3, 2, 4, 0, 5, 1).reshape(number, outgoing, each * rows, each * columns)[..., :height, :width].contiguous()


@functools.cache
def _transforms(kernel: int) -> tuple[Tensor, Tensor, Tensor]:
    """The Kronecker squares of A^T, G and B^T, which act on whole tiles: ``[m^2, 36]``, ``[36, r^2]``, ``[36, 36]``, in float64.

    A^T and G evaluate polynomials at the points; B^T interpolates, by Lagrange's formula, whose denominators are in G.
    """
    points = [Fraction(point) for point in _POINTS]
    others = [[point for point in points if point != own] for own in points]
    below = [_product(own - point for point in rest) for own, rest in zip(points, others)]
    each = _TILE + 1 - kernel
    a = [[*(point**power for point in points), Fraction(power == each - 1)] for power in range(each)]
    g = [[point**power / denominator for power in range(kernel)] for point, denominator in zip(points, below)]
    g.append([Fraction(power == kernel - 1) for power in range(kernel)])
    b = [[*_polynomial(rest), Fraction(0)] for rest in others] + [_polynomial(points)]
    return _square(a), _square(g), _square(b)


def _square(matrix: Sequence[Sequence[Fraction]]) -> Tensor:
    rows = torch.tensor([[float(value) for value in row] for row in matrix], dtype=torch.float64)
    return torch.kron(rows, rows)


def _product(factors: Iterable[Fraction]) -> Fraction:
    return functools.reduce(operator.mul, factors, Fraction(1))


def _polynomial(roots: Sequence[Fraction]) -> list[Fraction]:
    """The coefficients of the product of (x - root), the constant first."""
    coefficients = [Fraction(1)]
    for root in roots:
        coefficients = [higher - root * own for higher, own in zip([Fraction(0), *coefficients], [*coefficients, Fraction(0)])]
    return coefficients
