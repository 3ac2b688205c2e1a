"""A discriminator that gives one logit for the whole image, by a residual network.

Source: Karras et al. 2020, "Analyzing and improving the image quality of StyleGAN" (arXiv:1912.04958), section 4.1 and figure 7c: the
residual discriminator, whose blocks are divided by sqrt(2). Spectral normalisation: Miyato et al. 2018 (arXiv:1802.05957).
Where ours differs: the last map is averaged over its places, where the paper reads its 4x4 places one by one, so any image size will do;
halving is a plain 2x2 average, without the paper's smoothing filter; there is no statistic over the batch, so that each image is seen by
itself; and weights start at N(0, 0.02) as everywhere here, not N(0, 1), with scales that come to the same
(:class:`~transfigure.networks.blocks.EvenConv`).
"""

from __future__ import annotations

import math
from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from ...bounds import Depth, PositiveInt
from ...registry import register
from ..base import Discriminator, DiscriminatorOutput
from ..blocks import EvenConv, check_at_least, conv_block, encode, needs_bias, norm_layer, spectral_if
from ..levels import Level


def convolution(incoming: int, outgoing: int, kernel: int, *, spectral: bool, gain: float = math.sqrt(2), bias: bool = True) -> nn.Conv2d:
    """Of spectral norm 1, or else an :class:`EvenConv`; the usual gain is that of a LeakyReLU (which 0.2 hardly changes)."""
    if spectral:
        return spectral_if(nn.Conv2d(incoming, outgoing, kernel, padding=kernel // 2, bias=bias), spectral)
    return EvenConv(incoming, outgoing, kernel, gain, bias)


class HalvingBlock(Level):
    """``(f(x) + s(x)) / sqrt(2)`` at half the size: f is two 3x3 convolutions with LeakyReLU 0.2, s a 1x1 convolution."""

    def __init__(self, incoming: int, outgoing: int, norm: str, spectral: bool) -> None:
        super().__init__()

        def layer(outgoing: int) -> nn.Sequential:
            return conv_block(
                conv=convolution(incoming, outgoing, 3, spectral=spectral, bias=needs_bias(norm)),
                norm=norm_layer(norm, outgoing),
                activation=nn.LeakyReLU(0.2, inplace=True),
            )

        self.first = layer(incoming)
        self.second = layer(outgoing)
        self.shortcut = convolution(incoming, outgoing, 1, spectral=spectral, gain=1, bias=False)

    def compute(self, x: Tensor) -> Tensor:  # noqa: D102
        return (_halve(self.second(self.first(x))) + self.shortcut(_halve(x))) / math.sqrt(2)  # type: ignore[no-any-return]


@register("discriminator", "image")
class ImageDiscriminator(Discriminator):
    """Real or generated? One logit for the whole image: it also sees what goes with what, and the layout, not texture alone.

    ``forward``: ``[N, channels, H, W]`` in [-1, 1] -> one map of logits ``[N, 1, 1, 1]`` and the activations of its blocks, for any H and W
    from ``smallest_input``, which is 2 to the power of ``depth - 1``, plus 1. ``receptive_field`` is 0, which stands for the whole image,
    whatever its size. 1,936,161 parameters at the defaults with 3 channels.

    The last block's map is averaged over the image before two more layers: the logit is not a sum of logits of patches. But
    where things are to each other is known only as far as one place of that map sees: 5 x 2^depth - 4 pixels. Choose ``depth`` so that
    this covers the image: 4 for 64x64, 5 for 128x128, 6 for 256x256.

    Args:
        channels: channels of what it sees (source and target together when conditional).
        width: channels at full size; they double per halving up to 8 times this.
        depth: residual blocks, each halving the image.
        norm: none as the paper, batch or instance.
        spectral: divide the weights of every convolution by their largest singular value, which keeps the logits' slope small (spectral
            normalisation, Miyato et al. 2018).

    Raises:
        UserError: a value outside these.

    Example:
        >>> import torch
        >>> from transfigure.networks.discriminators.image import ImageDiscriminator
        >>> discriminator = ImageDiscriminator(3, width=8)
        >>> discriminator.receptive_field, discriminator.smallest_input
        (0, 9)
        >>> discriminator(torch.zeros(2, 3, 64, 97)).logits[0].shape
        torch.Size([2, 1, 1, 1])
    """

    def __init__(
        self,
        channels: int,
        width: PositiveInt = 32,
        depth: Depth = 4,
        norm: Literal["batch", "instance", "none"] = "none",
        spectral: bool = False,
    ) -> None:
        super().__init__(channels)
        check_at_least(1, "width", width)
        check_at_least(1, "depth", depth)
        self.receptive_field = 0
        self.smallest_input = 2 ** (depth - 1) + 1  # the last block then still has two places a side, which a norm layer needs to compare

        widths = [width * min(2**level, 8) for level in range(depth + 1)]
        self.stem = conv_block(conv=convolution(channels, width, 1, spectral=spectral), activation=nn.LeakyReLU(0.2, inplace=True))
        self.blocks = nn.ModuleList(HalvingBlock(widths[level], widths[level + 1], norm, spectral) for level in range(depth))
        self.hidden = conv_block(conv=convolution(widths[-1], widths[-1], 1, spectral=spectral), activation=nn.LeakyReLU(0.2, inplace=True))
        self.head = convolution(widths[-1], 1, 1, spectral=spectral, gain=1)

    def forward(self, x: Tensor) -> DiscriminatorOutput:
        """One logit per image."""
        if min(x.shape[-2:]) < self.smallest_input:
            raise ValueError(f"this discriminator needs {self.smallest_input} pixels a side, and got {x.shape[-1]} x {x.shape[-2]}")
        features = encode(self.stem(x), self.blocks)
        logits = self.head(self.hidden(features[-1].mean(dim=(2, 3), keepdim=True)))
        return DiscriminatorOutput((logits,), (tuple(features),))


def _halve(x: Tensor) -> Tensor:
    """Means of 2x2 pixels; at an odd side the last ones are of the pixels that are there, so that none is left out."""
    return F.avg_pool2d(x, 2, ceil_mode=True)
