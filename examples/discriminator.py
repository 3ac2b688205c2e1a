"""A discriminator of your own: two PatchGANs, one on the image and one on its half, as one network.

Train against it:

    transfigure train examples/tiny.yaml --out runs/discriminator --plugins examples/discriminator.py --discriminator two_scales
"""

import torch.nn.functional as F
from torch import Tensor

from transfigure import Discriminator, register
from transfigure.networks.base import DiscriminatorOutput
from transfigure.networks.discriminators.patch import PatchDiscriminator


@register("discriminator", "two_scales")
class TwoScales(Discriminator):
    """Real or generated? Logits of patches at full size and at half: texture, and what is laid out around it.

    Source: Wang et al. 2018, "High-resolution image synthesis and semantic manipulation with conditional GANs", section 3.2.

    Args:
        channels: channels of what it sees (source and target together when conditional).
        width: channels of the first layer of each.
    """

    def __init__(self, channels: int, width: int = 8) -> None:
        super().__init__(channels)
        self.fine = PatchDiscriminator(channels, width, receptive_field=16, norm="instance")
        self.coarse = PatchDiscriminator(channels, width, receptive_field=16, norm="instance")
        self.receptive_field = 2 * self.coarse.receptive_field + 1
        self.smallest_input = 2 * self.coarse.smallest_input

    def forward(self, x: Tensor) -> DiscriminatorOutput:
        """Per scale one map of logits, and the activations before it for losses that compare them."""
        outputs = self.fine(x), self.coarse(F.avg_pool2d(x, 3, stride=2, padding=1, count_include_pad=False))
        return DiscriminatorOutput(
            logits=tuple(logits for output in outputs for logits in output.logits),
            features=tuple(scale for output in outputs for scale in output.features),
        )
