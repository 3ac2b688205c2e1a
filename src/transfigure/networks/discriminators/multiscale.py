"""Several PatchGANs, each on the image at another size.

Source: Wang et al. 2018, "High-resolution image synthesis and semantic manipulation with conditional GANs" (pix2pixHD,
arXiv:1711.11585), section 3.2, "multi-scale discriminators".
Where ours differs: each is this package's PatchGAN, whose convolutions have a padding of 1 where the public code has 2; the number of
scales, the patch and the norm are options, as is spectral normalisation.
"""

from __future__ import annotations

from typing import Annotated, Literal

import torch.nn.functional as F
from annotated_types import Ge, Le
from torch import Tensor, nn

from ...bounds import PositiveInt
from ...registry import register
from ..base import Discriminator, DiscriminatorOutput
from ..blocks import check_at_least
from .patch import PatchDiscriminator


@register("discriminator", "multiscale")
class MultiscaleDiscriminator(Discriminator):
    """Real or generated? Logits of patches of the image, of its half, of its quarter: texture, and how it is laid out.

    ``forward``: ``[N, channels, H, W]`` in [-1, 1] -> per scale one map of logits ``[N, 1, h, w]`` and the activations of every layer
    before it, the image itself first; H and W must be at least ``smallest_input``, 93 at the defaults. Each scale has weights of its own:
    8,303,427 parameters at the defaults with 6 channels.

    A logit of the coarsest scale sees ``receptive_field`` pixels of the image: 283 at the defaults, 141 with two scales. Halving is a mean
    of the 3x3 pixels around every second one, of those that are there.

    Args:
        channels: channels of what it sees (source and target together when conditional).
        width: channels of the first layer at each scale; they double per layer up to 8 times this.
        receptive_field: side of the patch behind one logit, in pixels of its own scale: 1, 16, 34, 70, 142 or 286.
        scales: how many, each half as large as the one before (3 for images of 1024 and more, as the paper; 2 for smaller ones).
        norm: instance as the paper's code, batch or none.
        zero_pad: lay images that are smaller than a scale needs into the middle of zeros.
        spectral: divide the weights of every convolution by their largest singular value, which keeps the logits' slope small (spectral
            normalisation, Miyato et al. 2018); usually with norm none.
        downsampling: inside each of them: strided convolution, or blur (a convolution of stride 1, then smoothing and halving).
        equalized: scale the weights of every convolution so that no layer shrinks what passes it, as in ``patch``; with norm none.

    Raises:
        UserError: a value outside these.

    Example:
        >>> import torch
        >>> from transfigure.networks.discriminators.multiscale import MultiscaleDiscriminator
        >>> discriminator = MultiscaleDiscriminator(6, width=8, receptive_field=34, scales=2)
        >>> discriminator.receptive_field, discriminator.smallest_input
        (69, 23)
        >>> [logits.shape for logits in discriminator(torch.zeros(2, 6, 64, 96)).logits]
        [torch.Size([2, 1, 14, 22]), torch.Size([2, 1, 6, 10])]
    """

    def __init__(
        self,
        channels: int,
        width: PositiveInt = 64,
        receptive_field: Literal[1, 16, 34, 70, 142, 286] = 70,
        scales: Annotated[int, Ge(1), Le(8)] = 3,
        norm: Literal["batch", "instance", "none"] = "instance",
        zero_pad: bool = False,
        spectral: bool = False,
        downsampling: Literal["strided", "blur"] = "strided",
        equalized: bool = False,
    ) -> None:
        super().__init__(channels)
        check_at_least(1, "scales", scales)
        self.scales = nn.ModuleList(
            PatchDiscriminator(channels, width, receptive_field, norm, zero_pad, spectral, downsampling, equalized) for _ in range(scales)
        )
        self.receptive_field, self.smallest_input = (getattr(self.scales[-1], side) for side in ("receptive_field", "smallest_input"))
        for _ in range(scales - 1):
            self.receptive_field = 2 * self.receptive_field + 1
            self.smallest_input = 2 * self.smallest_input - 1

    def forward(self, x: Tensor) -> DiscriminatorOutput:
        """Per scale the map of logits, and what is before it."""
        outputs = []
        for number, discriminator in enumerate(self.scales):
            if number:
                x = F.avg_pool2d(x, 3, stride=2, padding=1, count_include_pad=False)
            outputs.append(discriminator(x))
        return DiscriminatorOutput(
            logits=tuple(logits for output in outputs for logits in output.logits),
            features=tuple(scale for output in outputs for scale in output.features),
        )
