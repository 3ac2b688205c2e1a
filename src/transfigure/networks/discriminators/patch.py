"""The PatchGAN: a fully convolutional discriminator of patches, from single pixels to the whole image.

Source: Isola et al. 2017 (arXiv:1611.07004v3), sections 3.2.2, 4.4 and 6.1.2.
Where ours differs: it returns logits, the sigmoid being part of the loss; 34 and 142 pixels are added between the paper's 16, 70 and
286; spectral normalisation, an equalized learning rate and anti-aliased halving are options. The paper's layers are all of stride 2; as in
its public code, the last two are of stride 1, which is what gives these sizes.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from ...bounds import PositiveInt
from ...errors import UserError
from ...registry import register
from ..base import Discriminator, DiscriminatorOutput
from ..blocks import EvenConv, blur_if, check_at_least, conv_block, encode, needs_bias, norm_layer, spectral_if
from ..winograd import WinogradConv2d

_HALVINGS = {1: 0, 16: 1, 34: 2, 70: 3, 142: 4, 286: 5}


@register("discriminator", "patch")
class PatchDiscriminator(Discriminator):
    """Real or generated? One logit per patch of ``receptive_field`` pixels: it sees texture and leaves the layout to the other terms.

    ``forward``: ``[N, channels, H, W]`` in [-1, 1] -> one map of logits ``[N, 1, h, w]``, 30x30 for 256x256 at the default, and the
    activations of every layer before it; H and W must be at least ``smallest_input``. 2,768,705 parameters at the defaults with 6 channels.

    Args:
        channels: channels of what it sees (source and target together when conditional).
        width: channels of the first layer; they double per layer up to 8 times this.
        receptive_field: side of the patch behind one logit, in pixels: 1, 16, 34, 70, 142 or 286 (at 256x256 the whole image).
        norm: batch, instance or none.
        zero_pad: lay images that are smaller than ``smallest_input`` would be into the middle of zeros, so that a field larger than the
            image can be used ("larger receptive fields are padded with zeros", Isola et al. 2017, table 3).
        spectral: divide the weights of every convolution by their largest singular value, which keeps the logits' slope small (spectral
            normalisation, Miyato et al. 2018); usually with norm none.
        downsampling: strided convolution as the paper, or blur (a convolution of stride 1, then smoothing and halving; Zhang 2019). The
            patch is then larger than ``receptive_field`` says: 18, 40, 84, 172 and 348 pixels in place of 16, 34, 70, 142 and 286.
        equalized: scale the weights of every convolution in each pass so that no layer shrinks what passes it (equalized learning rate,
            Karras et al. 2018). Without a norm it is what keeps the logits apart; and without a norm D sees how strong contrasts are.

    Raises:
        UserError: a value outside these.

    Example:
        >>> import torch
        >>> from transfigure.networks.discriminators.patch import PatchDiscriminator
        >>> discriminator = PatchDiscriminator(6, width=8)
        >>> discriminator.receptive_field, discriminator.smallest_input
        (70, 24)
        >>> discriminator(torch.zeros(2, 6, 64, 96)).logits[0].shape
        torch.Size([2, 1, 6, 10])
    """

    def __init__(
        self,
        channels: int,
        width: PositiveInt = 64,
        receptive_field: Literal[1, 16, 34, 70, 142, 286] = 70,
        norm: Literal["batch", "instance", "none"] = "batch",
        zero_pad: bool = False,
        spectral: bool = False,
        downsampling: Literal["strided", "blur"] = "strided",
        equalized: bool = False,
    ) -> None:
        super().__init__(channels)
        patches = Patches(receptive_field, norm, spectral, downsampling, equalized)
        self.receptive_field = patches.receptive_field
        self.layers = patches.trunk(channels, width)
        self.head = patches.head(self.layers)
        self.whole = patches.smallest_input
        self.smallest_input = 1 if zero_pad else self.whole

    def forward(self, x: Tensor) -> DiscriminatorOutput:
        """The map of logits for a batch of images."""
        features = encode(amid_zeros(x, self.whole) if self.smallest_input < self.whole else x, self.layers)
        return DiscriminatorOutput((self.head(features[-1]),), (tuple(features),))


class Patches:
    """The layers of a PatchGAN, from what the discriminators that are made of them have in common.

    Attributes:
        receptive_field: side of the patch behind one place of the head's map, in pixels.
        smallest_input: the least side of an image.
        kernel: side of every convolution.
        padding: zeros on each side of what it reads.
    """

    def __init__(self, receptive_field: int, norm: str, spectral: bool, downsampling: str, equalized: bool) -> None:
        if receptive_field not in _HALVINGS:
            raise UserError(f"receptive_field is {receptive_field}: it can be {', '.join(map(str, _HALVINGS))} pixels")
        if spectral and equalized:
            raise UserError("a discriminator's weights are scaled by spectral or by equalized: choose one")
        self._equalized = equalized
        self._halvings = halvings = _HALVINGS[receptive_field]
        self._norm, self._spectral, self._downsampling = norm, spectral, downsampling
        self._blurred = blur_if(downsampling) is not None
        self.kernel, self.padding = (4, 1) if halvings else (1, 0)
        self.receptive_field = receptive_field + (2 * (2**halvings - 1) if self._blurred else 0)
        # h = H / 2^n - 2 after n halvings and the two convolutions of stride 1. A norm layer needs two values to compare.
        self.smallest_input = 3 * 2**halvings if halvings else (1 if norm == "none" else 2)

    def trunk(self, channels: int, width: int) -> nn.ModuleList:
        """All layers but the head, for images of so many channels."""
        check_at_least(1, "width", width)
        widths = [width * min(2**level, 8) for level in range(self._halvings + 1)] if self._halvings else [width, 2 * width]
        layers = nn.ModuleList()
        for level, (incoming, outgoing) in enumerate(pairwise([channels, *widths])):
            first, halve = level == 0, level < self._halvings
            layers.append(
                conv_block(
                    conv=self._conv(incoming, outgoing, first or needs_bias(self._norm), 2 if halve and not self._blurred else 1),
                    norm=None if first else norm_layer(self._norm, outgoing),
                    activation=nn.LeakyReLU(0.2, inplace=True),
                    pool=blur_if(self._downsampling) if halve else None,
                )
            )
        return layers

    def head(self, trunk: nn.ModuleList) -> nn.Conv2d:
        """The convolution that makes logits of what a trunk gives."""
        return self._conv(width_of(trunk), 1, self._halvings > 0 or needs_bias(self._norm), gain=1)

    def _conv(self, incoming: int, outgoing: int, bias: bool, stride: int = 1, gain: float = math.sqrt(2)) -> nn.Conv2d:
        if self._equalized:
            return EvenConv(incoming, outgoing, self.kernel, gain, bias, stride, self.padding)
        return spectral_if(WinogradConv2d(incoming, outgoing, self.kernel, stride, self.padding, bias=bias), self._spectral)


def width_of(trunk: nn.ModuleList) -> int:
    """Channels of what a trunk gives."""
    conv: nn.Conv2d = trunk[-1].get_submodule("conv")  # type: ignore[assignment]
    return conv.out_channels


def amid_zeros(x: Tensor, least: int) -> Tensor:
    """Images in the middle of zeros where a side is shorter than ``least``."""
    down, right = (max(0, least - side) for side in x.shape[-2:])
    return F.pad(x, (right // 2, right - right // 2, down // 2, down - down // 2))
