"""An adversarial form of your own: what D minimises, and what G minimises against it.

Train with it:

    transfigure train examples/tiny.yaml --out runs/relativistic_average --plugins examples/adversarial_form.py \
        --objective.adversarial relativistic_average
"""

import torch.nn.functional as F
from torch import Tensor

from transfigure import register
from transfigure.losses.gan import AdversarialLoss, mean, over_scales
from transfigure.networks.base import DiscriminatorOutput


@register("adversarial", "relativistic_average")
class RelativisticAverage(AdversarialLoss):
    """D says how much more real a real image is than generated ones on average, and the reverse; G wants both the other way round.

    ``d_loss`` = E[softplus(m(G(x)) - D(y))] + E[softplus(D(G(x)) - m(y))], m the mean logit of a batch; ``g_loss`` has y and G(x)
    exchanged.

    Blind to a common shift of all logits: only differences count.

    Source: Jolicoeur-Martineau 2019, "The relativistic discriminator: a key element missing from standard GAN", section 4.2.
    """

    relativistic = True  # G's loss is given D's outputs on real images too

    def d_loss(self, real: DiscriminatorOutput, fake: DiscriminatorOutput) -> Tensor:
        """Small where real images have the larger logits."""
        return over_scales(_larger, real, fake)

    def g_loss(self, real: DiscriminatorOutput, fake: DiscriminatorOutput) -> Tensor:
        """Small where generated images have."""
        return over_scales(_larger, fake, real)


def _larger(high: Tensor, low: Tensor) -> Tensor:
    """Small where the first logits are above the others' mean, and the others below the first ones'."""
    return mean(F.softplus(mean(low) - high)) + mean(F.softplus(low - mean(high)))
