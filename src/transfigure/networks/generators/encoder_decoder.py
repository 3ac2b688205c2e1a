"""The encoder-decoder that pix2pix is compared with: its U-Net without skip connections.

Source: Isola et al. 2017 (arXiv:1611.07004v3), sections 3.2.1, 4.3 and 6.1.1. Everything must pass the bottleneck, whose size is
the subject of "Mechanisms of Generative Image-to-Image Translation Networks" (arXiv:2411.10368).
Where ours differs: as :mod:`transfigure.networks.generators.unet`. Options give the bottleneck another width, and hold it to one pixel.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from ...errors import UserError, did_you_mean
from ...registry import register
from ..blocks import FEATURE_LEVELS, check_size, decoder, encode, encoder, level_widths

BOTTLENECKS = ("spatial", "vector")


@register("generator", "encoder_decoder")
class EncoderDecoder(nn.Module):
    """The U-Net's encoder and decoder without skip connections: all that is kept of the source passes the bottleneck.

    ``forward``: ``[N, source_channels, H, W]`` in [-1, 1] -> ``[N, target_channels, H, W]`` in [-1, 1]; H and W must be multiples of
    ``size_multiple``, which is 2 to the power of ``depth``. 39,075,459 parameters at the defaults, 3 -> 3 channels. ``features`` gives the
    encoder's first maps, with ``feature_channels`` channels.

    Args:
        source_channels: channels of the images that come in.
        target_channels: channels of the images that go out.
        width: channels of the outermost level; they double per level up to 8 times this.
        depth: levels, each halving the image (default 8, which takes 256x256 down to 1x1); fewer leave a larger bottleneck.
        norm: batch, instance or none; at batch size 1, batch norm in training is instance norm with learned scales.
        dropout: probability of the decoder's dropout, the only noise of pix2pix; 0 makes the generator deterministic.
        dropout_skip: innermost decoder layers left without dropout.
        dropout_layers: decoder layers with dropout, counted outwards from there.
        upsampling: transposed convolution as the paper, or resize (nearest-neighbour doubling, then a convolution), which leaves no
            checkerboard.
        bottleneck: spatial lets a map of ``bottleneck_width`` x H / 2^depth x W / 2^depth pass, so what is left of the source keeps its
            place; vector lets ``bottleneck_width`` numbers without a place pass. The layers are the same, but a vector takes images of
            exactly 2^depth pixels a side, so ``depth`` must be such that 2^depth is the crop of training.
        bottleneck_width: channels of the innermost level, which is all that passes from the encoder to the decoder (default the paper's: 8
            times ``width`` from depth 4 on).

    Raises:
        UserError: a value outside these, or an image whose size does not fit.

    Example:
        >>> import torch
        >>> from transfigure.networks.generators.encoder_decoder import EncoderDecoder
        >>> generator = EncoderDecoder(3, 3, width=8, depth=4)
        >>> generator(torch.zeros(1, 3, 32, 48)).shape
        torch.Size([1, 3, 32, 48])
    """

    def __init__(
        self,
        source_channels: int,
        target_channels: int,
        *,
        width: int = 64,
        depth: int | None = None,
        norm: Literal["batch", "instance", "none"] = "batch",
        dropout: float = 0.5,
        dropout_skip: int = 0,
        dropout_layers: int = 3,
        upsampling: Literal["transposed", "resize"] = "transposed",
        bottleneck: Literal["spatial", "vector"] = "spatial",
        bottleneck_width: int | None = None,
    ) -> None:
        super().__init__()
        if bottleneck not in BOTTLENECKS:
            raise UserError(f"there is no bottleneck {bottleneck!r}{did_you_mean(bottleneck, BOTTLENECKS)}")
        widths = level_widths(width, 8 if depth is None else depth, bottleneck_width)
        dropped = range(dropout_skip, dropout_skip + dropout_layers)
        self.source_channels = source_channels
        self.target_channels = target_channels
        self.size_multiple = self.smallest_input = 2 ** len(widths)
        self.bottleneck = bottleneck
        self.only_size = 2 ** len(widths) if bottleneck == "vector" else None  # a translator resizes to it and back
        self.bottleneck_width = widths[-1]
        self.feature_channels = (source_channels, *widths[:FEATURE_LEVELS])
        self.down = encoder(source_channels, widths, norm)
        self.up = decoder(target_channels, widths, norm, dropout=dropout, dropped=dropped, upsampling=upsampling, skips=False)

    def forward(self, x: Tensor) -> Tensor:
        """Translate a batch of images."""
        self._check(x.shape[-2], x.shape[-1])
        for layer in (*self.down, *self.up):
            x = layer(x)
        return torch.tanh(x)

    def features(self, x: Tensor) -> list[Tensor]:
        """What the encoder makes of a batch of images: the images themselves, then the maps of its outermost three levels.

        Their sides are 1/2, 1/4 and 1/8 of the image's, their channels ``feature_channels``; with fewer levels there are fewer maps. For
        contrasts between patches (Park et al. 2020, arXiv:2007.15651, section 3). Only these levels are computed.
        """
        self._check(x.shape[-2], x.shape[-1])
        return [x, *encode(x, self.down[:FEATURE_LEVELS])]

    def bottleneck_shape(self, height: int, width: int) -> tuple[int, int, int]:
        """What passes from the encoder to the decoder: channels, height and width, for an image of ``height`` x ``width`` pixels.

        Raises:
            UserError: no image of this size can be translated.
        """
        self._check(height, width)
        return self.bottleneck_width, height // self.size_multiple, width // self.size_multiple

    def _check(self, height: int, width: int) -> None:
        check_size(height, width, self.size_multiple, self.smallest_input)
        side = self.size_multiple
        if self.bottleneck == "vector" and (height != side or width != side):
            raise UserError(
                f"this generator got an image {width} pixels wide and {height} high: with a vector as bottleneck it takes {side}x{side} "
                "only (resize the image, or train with --generator.bottleneck spatial)"
            )
