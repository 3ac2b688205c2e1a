"""A discriminator of your own: two PatchGANs, one on the image and one on its half, as one network.

Source: Wang et al. 2018, "High-resolution image synthesis and semantic manipulation with conditional GANs", section 3.2.
Where ours differs: two scales instead of three.

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
    """Real or generated? Logits of patches at full size and at half: texture, and how it is laid out.

    Args:
        channels: channels of what it sees (source and target together when conditional).
        width: channels of the first layer of each of the two.

    Example:
        >>> import torch
        >>> from transfigure.networks.build import build_discriminator
        >>> output = build_discriminator("two_scales", 6)(torch.zeros(2, 6, 32, 32))
        >>> [logits.shape for logits in output.logits]
        [torch.Size([2, 1, 14, 14]), torch.Size([2, 1, 6, 6])]
    """

    def __init__(self, channels: int, width: int = 8) -> None:
        super().__init__(channels)
        self.fine = PatchDiscriminator(channels, width, receptive_field=16, norm="instance")
        self.coarse = PatchDiscriminator(channels, width, receptive_field=16, norm="instance")
        self.receptive_field = 2 * self.coarse.receptive_field + 1
        self.smallest_input = 2 * self.coarse.smallest_input - 1

    def forward(self, x: Tensor) -> DiscriminatorOutput:
        """Per scale one map of logits, and the activations before it for losses that compare them."""
        halved = F.avg_pool2d(x, 3, stride=2, padding=1, count_include_pad=False)
        outputs = self.fine(x), self.coarse(halved)
        return DiscriminatorOutput(
            logits=tuple(logits for output in outputs for logits in output.logits),
            features=tuple(scale for output in outputs for scale in output.features),
        )
