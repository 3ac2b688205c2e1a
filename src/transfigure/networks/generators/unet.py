"""The U-Net of pix2pix, and the same network without its skip connections.

Source: Isola, Zhu, Zhou and Efros 2017 (arXiv:1611.07004v3), sections 3.2.1, 4.3 and 6.1.1; after Ronneberger et al. 2015.
Where ours differs: nothing by default. With batch norm no convolution but the last has a bias, as in both public implementations, so
the parameter counts agree with theirs. Options reach the PyTorch implementation's variant (``dropout_skip=1``), instance norm, other
depths and bottlenecks, up-sampling by resize-convolution or pixel shuffle, and noise in the decoder.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from ...bounds import Depth, NonNegativeInt, PositiveInt, Share
from ...errors import UserError, did_you_mean
from ...registry import register
from ..base import Generator
from ..blocks import FEATURE_LEVELS, decoder, encode, encoder, level_widths, receptive_field

BOTTLENECKS = ("spatial", "vector")


@register("generator", "unet")
class UNet(Generator):
    """An encoder and a decoder with a skip connection at every level: what source and target share need not pass the bottleneck.

    ``forward``: ``[N, source_channels, H, W]`` in [-1, 1] -> ``[N, target_channels, H, W]`` in [-1, 1]; H and W must be multiples of
    ``size_multiple``, which is 2 to the power of ``depth``. 54,413,955 parameters at the defaults, 3 -> 3 channels.
    ``features`` gives the encoder's first maps, with ``feature_channels`` channels.

    Args:
        source_channels: channels of the images that come in.
        target_channels: channels of the images that go out.
        width: channels of the outermost level; they double per level up to 8 times this.
        depth: levels, each halving the image (default 8, which takes 256x256 down to 1x1; 7 is the usual choice for 128x128).
        norm: batch, instance or none; at batch size 1, batch norm in training is instance norm with learned scales.
        dropout: probability of the decoder's dropout, the only noise of pix2pix; 0 makes the generator deterministic.
        dropout_skip: innermost decoder layers left without dropout (0 as the paper; the PyTorch implementation leaves out 1).
        dropout_layers: decoder layers with dropout, counted outwards from there.
        upsampling: transposed convolution as the paper; resize (nearest-neighbour doubling, then a convolution), which leaves no
            checkerboard; bilinear (the same with bilinear doubling), which leaves no blocks either; or pixel_shuffle (four kernels per
            channel, one for each of 2x2 pixels), which starts without a checkerboard.
        bottleneck: spatial lets a map of ``bottleneck_width`` x H / 2^depth x W / 2^depth pass, so what is left of the source keeps its
            place; vector lets ``bottleneck_width`` numbers without a place pass. The layers are the same, but a vector takes images of
            exactly 2^depth pixels a side, so ``depth`` must be such that 2^depth is the crop of training.
        bottleneck_width: channels of the innermost level (default the paper's: 8 times ``width`` from depth 4 on).
        noise: add noise to the decoder's maps, each channel as much as it learns to (Karras et al. 2019), for texture that the source does
            not say.
        first_bias: the first convolution has a bias beside batch norm, too, as in pix2pix-tensorflow.
        bottleneck_norm: the bottleneck is normalised by batch norm as well, as in pix2pix-tensorflow and the first version of the paper's
            code; a bottleneck of one position then says nothing of the source (the paper's errata, section 6.3).

    Raises:
        UserError: a value outside these, or an image whose size does not fit.

    Example:
        >>> import torch
        >>> from transfigure.networks.generators.unet import UNet
        >>> generator = UNet(3, 1, width=8, depth=5)
        >>> generator.size_multiple
        32
        >>> generator(torch.zeros(2, 3, 64, 96)).shape
        torch.Size([2, 1, 64, 96])
    """

    skips = True

    def __init__(
        self,
        source_channels: int,
        target_channels: int,
        *,
        width: PositiveInt = 64,
        depth: Depth | None = None,
        norm: Literal["batch", "instance", "none"] = "batch",
        dropout: Share = 0.5,
        dropout_skip: NonNegativeInt = 0,
        dropout_layers: NonNegativeInt = 3,
        upsampling: Literal["transposed", "resize", "bilinear", "pixel_shuffle"] = "transposed",
        bottleneck: Literal["spatial", "vector"] = "spatial",
        bottleneck_width: PositiveInt | None = None,
        noise: bool = False,
        first_bias: bool = False,
        bottleneck_norm: bool = False,
    ) -> None:
        super().__init__(source_channels, target_channels)
        if bottleneck not in BOTTLENECKS:
            raise UserError(f"there is no bottleneck {bottleneck!r}{did_you_mean(bottleneck, BOTTLENECKS)}")
        widths = level_widths(width, 8 if depth is None else depth, bottleneck_width)
        dropped = range(dropout_skip, dropout_skip + dropout_layers)
        self.size_multiple = self.smallest_input = 2 ** len(widths)
        self.only_size = 2 ** len(widths) if bottleneck == "vector" else None
        self.bottleneck_width = widths[-1]
        self.feature_channels = (source_channels, *widths[:FEATURE_LEVELS])
        self.down = encoder(source_channels, widths, norm, first_bias=first_bias, bottleneck_norm=bottleneck_norm)
        self.up = decoder(
            target_channels, widths, norm, dropout=dropout, dropped=dropped, upsampling=upsampling, skips=self.skips, noise=noise
        )
        self.receptive_field = receptive_field([self.down, self.up])

    def forward(self, x: Tensor) -> Tensor:
        """Translate a batch of images."""
        self.check_size(x.shape[-2], x.shape[-1])
        *skips, x = encode(x, self.down)
        for up in self.up:
            x = up(x)
            if skips and self.skips:
                x = torch.cat([skips.pop(), x], dim=1)
        return torch.tanh(x)

    def features(self, x: Tensor) -> list[Tensor]:
        """What the encoder makes of a batch of images: the images themselves, then the maps of its outermost three levels.

        Their sides are 1/2, 1/4 and 1/8 of the image's, their channels ``feature_channels``; with fewer levels there are fewer maps. For
        contrasts between patches (Park et al. 2020, arXiv:2007.15651, section 3). Only these levels are computed.
        """
        self.check_size(x.shape[-2], x.shape[-1])
        return [x, *encode(x, self.down[:FEATURE_LEVELS])]

    def bottleneck_shape(self, height: int, width: int) -> tuple[int, int, int]:
        """What passes from the encoder to the decoder: channels, height and width, for an image of ``height`` x ``width`` pixels.

        Raises:
            UserError: no image of this size can be translated.
        """
        self.check_size(height, width)
        return self.bottleneck_width, height // self.size_multiple, width // self.size_multiple


@register("generator", "encoder_decoder")
class EncoderDecoder(UNet):
    """The U-Net without skip connections: everything of the source that is to be kept must pass the bottleneck.

    The network that pix2pix is compared with (section 4.3). The size of its bottleneck is the subject of "Mechanisms of generative
    image-to-image translation networks" (arXiv:2411.10368). Options, shapes and ``features`` are those of :class:`UNet`; 39,075,459
    parameters at the defaults, 3 -> 3 channels.

    Example:
        >>> import torch
        >>> from transfigure.networks.generators.unet import EncoderDecoder
        >>> generator = EncoderDecoder(3, 3, width=8, depth=4)
        >>> generator(torch.zeros(1, 3, 32, 48)).shape
        torch.Size([1, 3, 32, 48])
    """

    skips = False
