"""A loss that looks through the discriminator: it is given what its arguments are called.

Train with it; it needs an adversarial part:

    transfigure train examples/tiny.yaml --out runs/feature_means --plugins examples/feature_means.py \
        --objective.terms '[{loss: feature_means, weight: 10}]'
"""

import torch
from torch import Tensor

from transfigure import Batch, register
from transfigure.networks.base import DiscriminatorOutput


@register("loss", "feature_means")
def feature_means(batch: Batch, real_output: DiscriminatorOutput, fake_output: DiscriminatorOutput) -> Tensor:
    """How far the means of D's inner activations are apart on targets and on generated images: mean over channels, layers and scales.

    E[(m_c(y) - m_c(G(x)))^2], each channel's mean m_c over a batch and all places. So it asks for the same statistics, in any places.

    Blind to where things are, and to what this discriminator does not look at, which changes while it trains.

    Source: Salimans et al. 2016, "Improved techniques for training GANs", section 3.1, of every layer instead of one.
    """
    # An argument without a default is filled by its name: real_output, fake_output (of D), generator, inverse (CycleGAN's other one).
    distances = [
        (real.detach().mean((0, 2, 3)) - fake.mean((0, 2, 3))).square().mean()
        for real_scale, fake_scale in zip(real_output.features, fake_output.features, strict=True)
        for real, fake in zip(real_scale, fake_scale, strict=True)
    ]
    return torch.stack(distances).mean()
