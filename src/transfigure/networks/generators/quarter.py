"""A generator that does its work at a quarter of the resolution and below, and draws the details at full size.

Source: assembled here from published parts. The entrance and the exit as in Shi et al. 2016 (arXiv:1609.05158), section 3: all but a
little is computed at low resolution, and channels become pixels at the end. Blocks as He et al. 2016 (arXiv:1603.05027), figure 4e. The
U of additions, halving by 2x2 convolutions and doubling by pixel shuffle: Chen et al. 2022, NAFNet (arXiv:2204.04676), section 3.
Where ours differs: no norm at the entrance and at the exit, where it would take the colours of every image to the same mean; and two
convolutions at full size, which also see the source.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn

from ...bounds import Depth, Layers, PositiveInt, Share
from ...errors import UserError
from ...registry import register
from ..base import Generator
from ..blocks import SubPixelConv, check_at_least, conv_block, dropout_layer, encode, needs_bias, norm_layer, receptive_field
from ..levels import Level
from ..winograd import WinogradConv2d

ENTRANCE = 4
"""So many pixels a side become channels at the entrance, and channels become so many at the exit."""
HALVINGS = 2
"""What that is in halvings."""


class PreActivationBlock(Level):
    """``x + f(x)``, f being norm, ReLU and a 3x3 convolution, twice, with dropout before the second convolution."""

    def __init__(self, channels: int, norm: str, dropout: float) -> None:
        super().__init__()
        self.first, self.second = (
            conv_block(
                norm=norm_layer(norm, channels),
                # Not in place where there is no norm: what comes in is also what is added.
                activation=nn.ReLU(inplace=norm != "none" or number > 0),
                dropout=dropout_layer(dropout) if number else None,
                conv=WinogradConv2d(channels, channels, 3, padding=1, bias=number > 0 or needs_bias(norm)),
            )
            for number in range(2)
        )

    def compute(self, x: Tensor) -> Tensor:  # noqa: D102
        return x + self.second(self.first(x))  # type: ignore[no-any-return]


@register("generator", "quarter")
class Quarter(Generator):
    def __init__(
        self,
        source_channels: int,
        target_channels: int,
        *,
        width: PositiveInt = 64,
        depth: Depth = 4,
        blocks: Layers = 2,
        detail: PositiveInt = 16,
        norm: Literal["batch", "instance", "none"] = "instance",
        dropout: Share = 0.0,
    ) -> None:
        super().__init__(source_channels, target_channels)
        check_at_least(1, "width", width)
        check_at_least(1, "blocks", blocks)
        check_at_least(1, "detail", detail)
        if depth < HALVINGS:
            raise UserError(f"generator depth is {depth}: the entrance alone takes {HALVINGS} halvings, so it must be at least {HALVINGS}")
        widths = [width * min(2**level, 8) for level in range(depth - HALVINGS + 1)]
        self.size_multiple = 2**depth
        # The innermost maps have two places a side, which a norm needs to compare.
        self.smallest_input = 2**depth * (1 if norm == "none" else 2)

        def row(channels: int, number: int = blocks) -> nn.Sequential:
            return nn.Sequential(*(PreActivationBlock(channels, norm, dropout) for _ in range(number)))

        self.fold = nn.PixelUnshuffle(ENTRANCE)
        self.stem = conv_block(conv=WinogradConv2d(source_channels * ENTRANCE**2, width, 3, padding=1))
        self.encoder = nn.ModuleList(row(channels) for channels in widths)
        self.down = nn.ModuleList(conv_block(conv=nn.Conv2d(outer, inner, 2, stride=2)) for outer, inner in pairwise(widths))
        self.up = nn.ModuleList(conv_block(conv=SubPixelConv(inner, outer, kernel=1)) for inner, outer in pairwise(widths[::-1]))
        self.decoder = nn.ModuleList(row(channels) for channels in widths[-2::-1])
        self.unfold = conv_block(activation=nn.ReLU(), conv=SubPixelConv(width, detail, kernel=1, factor=ENTRANCE))
        self.detail = conv_block(conv=WinogradConv2d(detail + source_channels, detail, 3, padding=1), activation=nn.ReLU(inplace=True))
        self.head = WinogradConv2d(detail, target_channels, 3, padding=1)

    def forward(self, source: Tensor) -> Tensor:
        """Translate a batch of images."""
        self.check_size(source.shape[-2], source.shape[-1])
        x = self.stem(self.fold(source))
        skips = []
        for blocks, down in zip(self.encoder[:-1], self.down, strict=True):
            skips.append(blocks(x))
            x = down(skips[-1])
        x = self.encoder[-1](x)
        for up, blocks in zip(self.up, self.decoder, strict=True):
            x = blocks(up(x) + skips.pop())
        x = self.detail(torch.cat([self.unfold(x), source], dim=1))
        return torch.tanh(self.head(x))
