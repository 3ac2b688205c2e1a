"""A generator that does its work at a quarter of the resolution and below, and draws the details at full size.

Source: assembled here from published parts. Working at low resolution, and the exit of ``upsampling pixel_shuffle``: Shi et al. 2016
(arXiv:1609.05158), section 3. The other exits: Odena et al. 2016. Blocks as He et al. 2016 (arXiv:1603.05027), figure 4e. The U of
additions, halving by 2x2 convolutions and doubling by pixel shuffle: Chen et al. 2022, NAFNet (arXiv:2204.04676), section 3. Noise: Karras
et al. 2019 (arXiv:1812.04948), section 3.2.
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
from ..blocks import (
    FEATURE_LEVELS,
    SubPixelConv,
    check_at_least,
    conv_block,
    dropout_layer,
    needs_bias,
    noise_if,
    norm_layer,
    receptive_field,
    upsample,
)
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
class QuarterUNet(Generator):
    """A residual U-Net at a quarter of the size and below, whose details are drawn at full size beside the source.

    4x4 pixels of the source become channels; residual blocks work on the map of a quarter, an eighth and so on, and what is left on the
    way down is added on the way up. At the end the map is doubled twice, and two convolutions at full size join it with the source, so that
    edges stay where the source has them.

    ``forward``: ``[N, source_channels, H, W]`` in [-1, 1] -> ``[N, target_channels, H, W]`` in [-1, 1]; H and W must be multiples of
    ``size_multiple``, which is 2 to the power of ``depth``, and at least twice that, since a norm needs two places to compare.
    3,479,888 parameters at the defaults, 3 -> 3 channels; one output pixel depends on 264 pixels of the source.
    ``features`` gives maps of the way down, with ``feature_channels`` channels.

    Plain 3x3 convolutions, where ConvNeXt and NAFNet have depthwise ones.

    Args:
        source_channels: channels of the images that come in.
        target_channels: channels of the images that go out.
        width: channels at a quarter of the size; they double per halving up to 8 times this.
        depth: halvings in all, the two of the entrance included: 4 is down to a sixteenth; 3 sees half as far.
        blocks: residual blocks at each size on the way down, and as many on the way up.
        detail: channels at full size, the source's among them (of a source of many channels they are in addition); twice as many at half
            of it.
        upsampling: how the map at a quarter of the size comes to full size: bilinear or resize (bilinear or nearest-neighbour doubling,
            then a convolution, twice), or pixel_shuffle (channels become 4x4 pixels at once; it starts without a grid of 4 pixels, and
            adversarial training may bring one in: look at the metric ``grid``).
        noise: add noise to the maps on the way up, each channel as much as it learns to, for texture that the source does not say.
        norm: batch, instance or none, in the residual blocks.
        dropout: probability of the dropout inside every residual block; 0 makes the generator deterministic.

    Raises:
        UserError: a value outside these, or an image whose size does not fit.

    Example:
        >>> import torch
        >>> from transfigure.networks.generators.quarter import QuarterUNet
        >>> generator = QuarterUNet(3, 1, width=8, depth=3)
        >>> generator.size_multiple, generator.smallest_input
        (8, 16)
        >>> generator(torch.zeros(2, 3, 32, 40)).shape
        torch.Size([2, 1, 32, 40])
    """

    def __init__(
        self,
        source_channels: int,
        target_channels: int,
        *,
        width: PositiveInt = 64,
        depth: Depth = 4,
        blocks: Layers = 1,
        detail: PositiveInt = 16,
        upsampling: Literal["bilinear", "resize", "pixel_shuffle"] = "bilinear",
        noise: bool = False,
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

        self.feature_channels = (source_channels, width, *widths[:FEATURE_LEVELS])

        def row(channels: int, noise: bool = False) -> nn.Sequential:
            parts = [PreActivationBlock(channels, norm, dropout) for _ in range(blocks)]
            added = noise_if(noise, channels)
            return nn.Sequential(*parts, *([] if added is None else [added]))

        self.fold = nn.PixelUnshuffle(ENTRANCE)
        self.stem = conv_block(conv=WinogradConv2d(source_channels * ENTRANCE**2, width, 3, padding=1))
        self.encoder = nn.ModuleList(row(channels) for channels in widths)
        self.down = nn.ModuleList(conv_block(conv=nn.Conv2d(outer, inner, 2, stride=2)) for outer, inner in pairwise(widths))
        self.up = nn.ModuleList(conv_block(conv=SubPixelConv(inner, outer, kernel=1)) for inner, outer in pairwise(widths[::-1]))
        self.decoder = nn.ModuleList(row(channels, noise) for channels in widths[::-1])
        # Source and maps together have ``detail`` channels: convolutions are computed 16 channels at a time, and 19 would cost what 32 do.
        unfolded = max(detail - source_channels, -(-detail // 2))
        self.unfold = _to_full_size(upsampling, (width, 2 * detail, unfolded), noise)
        self.detail = conv_block(conv=WinogradConv2d(unfolded + source_channels, detail, 3, padding=1), activation=nn.ReLU(inplace=True))
        self.head = WinogradConv2d(detail, target_channels, 3, padding=1)
        inner = [part for pair in zip(self.down, self.encoder[1:], strict=True) for part in pair]
        outer = [part for pair in zip(self.up, self.decoder[1:], strict=True) for part in pair]
        path = [self.fold, self.stem, self.encoder[0], *inner, self.decoder[0], *outer, self.unfold, self.detail, self.head]
        self.receptive_field = receptive_field(path)

    def forward(self, source: Tensor) -> Tensor:
        """Translate a batch of images."""
        self.check_size(source.shape[-2], source.shape[-1])
        *skips, x = self._encode(self.stem(self.fold(source)), len(self.encoder))
        x = self.decoder[0](x)
        for up, blocks in zip(self.up, self.decoder[1:], strict=True):
            x = blocks(up(x) + skips.pop())
        x = self.detail(torch.cat([self.unfold(x), source], dim=1))
        return torch.tanh(self.head(x))

    def features(self, x: Tensor) -> list[Tensor]:
        """What the way down makes of a batch of images: the images, the map after the stem, and those of the outermost three sizes.

        Their sides are 1/4, 1/4, 1/8 and 1/16 of the image's, their channels ``feature_channels``; with a smaller depth there are fewer
        maps. For contrasts between patches (Park et al. 2020, arXiv:2007.15651, section 3). Only these maps are computed.
        """
        self.check_size(x.shape[-2], x.shape[-1])
        stem = self.stem(self.fold(x))
        return [x, stem, *self._encode(stem, FEATURE_LEVELS)]

    def _encode(self, x: Tensor, sizes: int) -> list[Tensor]:
        """The maps of the outermost so many sizes after their blocks."""
        maps = [self.encoder[0](x)]
        for down, blocks in zip(self.down, self.encoder[1:sizes]):
            maps.append(blocks(down(maps[-1])))
        return maps


def _to_full_size(upsampling: str, channels: tuple[int, int, int], noise: bool) -> nn.Sequential:
    """From a map at a quarter of the size to one at full size."""
    quarter, half, full = channels
    if upsampling == "pixel_shuffle":
        conv = SubPixelConv(quarter, full, kernel=1, factor=ENTRANCE)
        return nn.Sequential(conv_block(activation=nn.ReLU(), conv=conv, noise=noise_if(noise, full)))
    return nn.Sequential(
        *(
            conv_block(
                conv=upsample(upsampling, incoming, outgoing, kernel=3, bias=True),
                noise=noise_if(noise, outgoing),
                activation=nn.ReLU(inplace=True),
            )
            for incoming, outgoing in pairwise((quarter, half, full))
        )
    )
