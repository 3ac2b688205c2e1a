"""A PatchGAN that takes the source by an inner product, not as more channels of the image.

Source: Miyato and Koyama 2018, "cGANs with projection discriminator" (arXiv:1802.05637), section 3, equation 3 and figure 1d; for
conditions that are images, section 5.2 (super-resolution), where it is done place by place. The trunks are those of the PatchGAN.
Where ours differs: what is multiplied are the patches of features that the head's convolution reads, so the logits lie where those of
``patch`` lie; the product is divided by the root of its length, or with many channels it would outweigh the head from the start.
"""

from __future__ import annotations

import math
from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from ...bounds import PositiveInt
from ...registry import register
from ..base import Discriminator, DiscriminatorOutput
from ..blocks import EvenConv, check_at_least, encode, spectral_if
from .patch import Patches, amid_zeros, width_of


@register("discriminator", "projection")
class ProjectionDiscriminator(Discriminator):
    """Real or generated? Per patch, how real the image looks, plus how well its features go with the source's at the same place.

    A logit is ``head(f) + <phi, f> / sqrt(n)``: f are the n features of the image in the 4x4 places that the head reads, phi those of the
    source, by a trunk of its own and a 1x1 convolution. f depends on the image alone, so D can tell no pair by the source. Unconditional,
    it is ``head(f)``, and the network is ``patch``.

    ``forward``: ``[N, channels, H, W]`` in [-1, 1], the source's channels first -> one map of logits ``[N, 1, h, w]``, as large as that of
    ``patch``, and the activations of the image's layers; H and W must be at least ``smallest_input``. 5,785,729 parameters at the defaults
    for 3 + 3 channels, of them 3,020,096 for the source.

    Args:
        channels: channels of what it sees (source and target together when conditional).
        source_channels: how many of them, the first ones, are the source's; 0 when unconditional.
        width: channels of the first layer; they double per layer up to 8 times this.
        source_width: the same of the source's layers, or null, which is ``width``.
        receptive_field: side of the patch behind one logit, in pixels: 1, 16, 34, 70, 142 or 286.
        norm: batch, instance or none.
        zero_pad: lay images that are smaller than ``smallest_input`` would be into the middle of zeros.
        spectral: divide the weights of every convolution by their largest singular value, which keeps the logits' slope small (spectral
            normalisation, Miyato et al. 2018); usually with norm none, as the paper.
        downsampling: strided convolution, or blur (a convolution of stride 1, then smoothing and halving; Zhang 2019).
        equalized: scale the weights of every convolution so that no layer shrinks what passes it, as in ``patch``; with norm none.

    Raises:
        UserError: a value outside these.

    Example:
        >>> import torch
        >>> from transfigure.networks.discriminators.projection import ProjectionDiscriminator
        >>> discriminator = ProjectionDiscriminator(6, source_channels=3, width=8)
        >>> discriminator.receptive_field, discriminator.smallest_input
        (70, 24)
        >>> discriminator(torch.zeros(2, 6, 64, 96)).logits[0].shape
        torch.Size([2, 1, 6, 10])
    """

    def __init__(
        self,
        channels: int,
        source_channels: int,
        width: PositiveInt = 64,
        source_width: PositiveInt | None = None,
        receptive_field: Literal[1, 16, 34, 70, 142, 286] = 70,
        norm: Literal["batch", "instance", "none"] = "batch",
        zero_pad: bool = False,
        spectral: bool = False,
        downsampling: Literal["strided", "blur"] = "strided",
        equalized: bool = False,
    ) -> None:
        super().__init__(channels)
        self.source_channels = source_channels
        patches = Patches(receptive_field, norm, spectral, downsampling, equalized)
        self.receptive_field = patches.receptive_field
        self.layers = patches.trunk(channels - source_channels, width)
        self.head = patches.head(self.layers)
        self.source_layers: nn.ModuleList | None = None
        if source_channels:
            source_width = width if source_width is None else check_at_least(1, "source_width", source_width)
            self.source_layers = patches.trunk(source_channels, source_width)
            ends = width_of(self.source_layers), width_of(self.layers)
            self.embedding = EvenConv(*ends, 1, gain=1) if equalized else spectral_if(nn.Conv2d(*ends, 1), spectral)
        self.kernel, self.padding = patches.kernel, patches.padding
        self.whole = patches.smallest_input
        self.smallest_input = 1 if zero_pad else self.whole

    def forward(self, x: Tensor) -> DiscriminatorOutput:
        """The map of logits for a batch of sources and images."""
        x = amid_zeros(x, self.whole) if self.smallest_input < self.whole else x
        source, image = x[:, : self.source_channels], x[:, self.source_channels :]
        features = encode(image, self.layers)
        logits = self.head(features[-1])
        if self.source_layers is not None:
            logits = logits + self._projection(self.embedding(encode(source, self.source_layers)[-1]), features[-1])
        return DiscriminatorOutput((logits,), (tuple(features),))

    def _projection(self, phi: Tensor, features: Tensor) -> Tensor:
        """The inner product of two patches of features under each place of the head's map, over the root of their length: [N, 1, h, w]."""
        products = (phi * features).sum(dim=1, keepdim=True)
        means = F.avg_pool2d(products, self.kernel, stride=1, padding=self.padding)  # zeros around count, as the head's
        return means * (self.kernel / math.sqrt(features.shape[1]))
