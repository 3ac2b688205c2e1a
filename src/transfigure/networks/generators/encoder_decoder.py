"""The encoder-decoder that pix2pix is compared with: its U-Net without skip connections.

Source: Isola et al. 2017 (arXiv:1611.07004v3), sections 3.2.1, 4.3 and 6.1.1. Everything must pass the bottleneck, whose size is
the subject of "Mechanisms of Generative Image-to-Image Translation Networks" (arXiv:2411.10368).
Where ours differs: as :mod:`transfigure.networks.generators.unet`.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from ...registry import register
from ..blocks import check_image, decoder, encoder, level_widths


@register("generator", "encoder_decoder")
class EncoderDecoder(nn.Module):
    """The U-Net's encoder and decoder without skip connections: all that is kept of the source passes the bottleneck.

    ``forward``: ``[N, source_channels, H, W]`` in [-1, 1] -> ``[N, target_channels, H, W]`` in [-1, 1]; H and W must be multiples of
    ``size_multiple``, which is 2 to the power of ``depth``.

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
    ) -> None:
        super().__init__()
        widths = level_widths(width, 8 if depth is None else depth)
        dropped = range(dropout_skip, dropout_skip + dropout_layers)
        self.source_channels = source_channels
        self.target_channels = target_channels
        self.size_multiple = self.smallest_input = 2 ** len(widths)
        self.down = encoder(source_channels, widths, norm)
        self.up = decoder(target_channels, widths, norm, dropout=dropout, dropped=dropped, upsampling=upsampling, skips=False)

    def forward(self, x: Tensor) -> Tensor:
        """Translate a batch of images."""
        check_image(x, self.size_multiple, self.smallest_input)
        for layer in (*self.down, *self.up):
            x = layer(x)
        return torch.tanh(x)
