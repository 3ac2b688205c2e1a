"""The residual generator of CycleGAN.

Source: Johnson, Alahi and Fei-Fei 2016 (arXiv:1603.08155); as in Zhu, Park, Isola and Efros 2017 (arXiv:1703.10593), section 7.2:
``c7s1-64, d128, d256, R256 x 9, u128, u64, c7s1-3``, with reflection padding and instance norm.
Where ours differs: nothing by default. Options give any number of blocks, dropout inside them, noise after them, up-sampling by
resize-convolution or pixel shuffle, and halving with anti-aliasing, as the public code of CUT does by default (Park et al. 2020,
arXiv:2007.15651), which also doubles with a smoothing filter; here doubling is what ``upsampling`` says.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from ...bounds import Layers, PositiveInt, Share
from ...registry import register
from ..base import Generator
from ..blocks import (
    blur_if,
    check_at_least,
    conv_block,
    dropout_layer,
    encode,
    needs_bias,
    noise_if,
    norm_layer,
    receptive_field,
    upsample,
)
from ..levels import Level
from ..winograd import WinogradConv2d


class ResidualBlock(Level):
    """``x + f(x)``, f being two 3x3 convolutions with normalisation, and a ReLU (and dropout) between them; then noise, if any."""

    def __init__(self, channels: int, norm: str, dropout: float, noise: bool = False) -> None:
        super().__init__()
        self.first = conv_block(
            conv=_reflected(channels, channels, 3, needs_bias(norm)),
            norm=norm_layer(norm, channels),
            activation=nn.ReLU(inplace=True),
            dropout=dropout_layer(dropout),
        )
        self.second = conv_block(
            conv=_reflected(channels, channels, 3, needs_bias(norm)), norm=norm_layer(norm, channels), noise=noise_if(noise, channels)
        )

    def compute(self, x: Tensor) -> Tensor:  # noqa: D102
        return x + self.second(self.first(x))  # type: ignore[no-any-return]


@register("generator", "resnet")
class ResNet(Generator):
    """Two halvings, residual blocks at a quarter of the size, two doublings: keeps the source's layout, suits unpaired training.

    ``forward``: ``[N, source_channels, H, W]`` in [-1, 1] -> ``[N, target_channels, H, W]`` in [-1, 1]; H and W must be multiples of 4
    and at least 8 (a reflection needs a second row to mirror). 11,378,179 parameters at the defaults, 3 -> 3 channels.
    ``features`` gives some of its maps up to the middle, with ``feature_channels`` channels.

    Args:
        source_channels: channels of the images that come in.
        target_channels: channels of the images that go out.
        width: channels at full size; the residual blocks have 4 times this.
        blocks: residual blocks (9 for images of 256x256 and more, 6 for 128x128).
        norm: batch, instance or none.
        dropout: probability of the dropout inside every residual block.
        upsampling: transposed convolution as the paper; resize (nearest-neighbour doubling, then a convolution), which leaves no
            checkerboard; bilinear (the same with bilinear doubling), which leaves no blocks either; or pixel_shuffle (four kernels per
            channel, one for each of 2x2 pixels), which starts without a checkerboard.
        downsampling: strided convolution as the paper, or blur (a convolution of stride 1, then smoothing and halving), with which the
            output changes less when the source moves by a pixel (Zhang 2019).
        noise: add noise after every residual block and doubling, each channel as much as it learns to (Karras et al. 2019), for texture
            that the source does not say.

    Raises:
        UserError: a value outside these, or an image whose size does not fit.

    Example:
        >>> import torch
        >>> from transfigure.networks.generators.resnet import ResNet
        >>> generator = ResNet(3, 3, width=8, blocks=2)
        >>> generator(torch.zeros(1, 3, 32, 20)).shape
        torch.Size([1, 3, 32, 20])
    """

    def __init__(
        self,
        source_channels: int,
        target_channels: int,
        *,
        width: PositiveInt = 64,
        blocks: Layers = 9,
        norm: Literal["batch", "instance", "none"] = "instance",
        dropout: Share = 0.0,
        upsampling: Literal["transposed", "resize", "bilinear", "pixel_shuffle"] = "transposed",
        downsampling: Literal["strided", "blur"] = "strided",
        noise: bool = False,
    ) -> None:
        super().__init__(source_channels, target_channels)
        check_at_least(1, "width", width)
        check_at_least(1, "blocks", blocks)
        self.size_multiple = 4
        self.smallest_input = 8
        self.feature_channels = (source_channels, 2 * width, 4 * width, *[4 * width] * min(blocks, 2))
        bias = needs_bias(norm)

        def block(conv: nn.Module, channels: int, pool: nn.Module | None = None, noise: bool = False) -> nn.Sequential:
            return conv_block(
                conv=conv,
                norm=norm_layer(norm, channels),
                noise=noise_if(noise, channels),
                activation=nn.ReLU(inplace=True),
                pool=pool,
            )

        def down(channels: int) -> nn.Sequential:
            pool = blur_if(downsampling)
            conv = WinogradConv2d(channels, 2 * channels, 3, stride=1 if pool else 2, padding=1, bias=bias)
            return block(conv, 2 * channels, pool)

        self.stem = block(_reflected(source_channels, width, 7, bias), width)
        self.down = nn.ModuleList(down(channels) for channels in (width, 2 * width))
        self.blocks = nn.ModuleList(ResidualBlock(4 * width, norm, dropout, noise) for _ in range(blocks))
        self.up = nn.ModuleList(
            block(upsample(upsampling, 2 * channels, channels, kernel=3, bias=bias), channels, noise=noise)
            for channels in (2 * width, width)
        )
        self.head = _reflected(width, target_channels, 7, bias=True)
        self.receptive_field = receptive_field([self.stem, self.down, self.blocks, self.up, self.head])

    def forward(self, x: Tensor) -> Tensor:
        """Translate a batch of images."""
        self.check_size(x.shape[-2], x.shape[-1])
        x = self.stem(x)
        for layer in (*self.down, *self.blocks, *self.up):
            x = layer(x)
        return torch.tanh(self.head(x))

    def features(self, x: Tensor) -> list[Tensor]:
        """What the first half makes of a batch of images: the images, the two halvings, the first residual block and the middle one.

        Sides 1, 1/2, 1/4, 1/4 and 1/4 of the image's, channels ``feature_channels``; a single block is there once. Source: Park et al.
        2020 (arXiv:2007.15651), section 3 and appendix: with 9 blocks the fifth. Where ours differs: the halvings are taken after their
        norm and ReLU. Nothing beyond the middle is computed.
        """
        self.check_size(x.shape[-2], x.shape[-1])
        middle = len(self.blocks) // 2
        maps = encode(self.stem(x), (*self.down, *self.blocks[: middle + 1]))
        halvings, blocks = maps[:2], maps[2:]
        return [x, *halvings, blocks[0], *blocks[1:][-1:]]


def _reflected(incoming: int, outgoing: int, kernel: int, bias: bool) -> nn.Conv2d:
    return WinogradConv2d(incoming, outgoing, kernel, padding=kernel // 2, padding_mode="reflect", bias=bias)
