"""An adversarial form of your own: what D minimises, and what G minimises against it.

Train with it:

    transfigure train examples/tiny.yaml --out runs/relativistic --plugins examples/adversarial_form.py \
        --objective.adversarial relativistic
"""

import torch.nn.functional as F
from torch import Tensor

from transfigure import register
from transfigure.losses.gan import AdversarialLoss, mean, over_scales
from transfigure.networks.base import DiscriminatorOutput


@register("adversarial", "relativistic")
class Relativistic(AdversarialLoss):
    """The relativistic pairing: D says how much more real a real image is than a generated one, and G reverses it.

    ``d_loss`` = E[softplus(D(G(x)) - D(y))], ``g_loss`` = E[softplus(D(y) - D(G(x)))].

    Blind to a common shift of all logits: only differences count.

    Source: Jolicoeur-Martineau 2019, "The relativistic discriminator: a key element missing from standard GAN", section 4.
    """

    relativistic = True  # G's loss is given D's outputs on real images too

    def d_loss(self, real: DiscriminatorOutput, fake: DiscriminatorOutput) -> Tensor:
        """Small where real images have the larger logits."""
        return over_scales(lambda r, f: mean(F.softplus(f - r)), real, fake)

    def g_loss(self, real: DiscriminatorOutput, fake: DiscriminatorOutput) -> Tensor:
        """Small where generated images have."""
        return over_scales(lambda r, f: mean(F.softplus(r - f)), real, fake)
