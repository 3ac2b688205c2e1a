"""A loss that looks through the discriminator: it is given what its arguments are called.

Train with it; it needs an adversarial part:

    transfigure train examples/tiny.yaml --out runs/feature_matching --plugins examples/feature_matching.py \
        --objective.terms '[{loss: feature_matching, weight: 10}]'
"""

from torch import Tensor

from transfigure import Batch, register
from transfigure.networks.base import DiscriminatorOutput


@register("loss", "feature_matching")
def feature_matching(batch: Batch, real_output: DiscriminatorOutput, fake_output: DiscriminatorOutput) -> Tensor:
    """The L1 distance of D's inner activations on target and generated image, mean over layers and scales.

    Blind to what this discriminator does not look at, which changes while it trains.

    Source: Wang et al. 2018, "High-resolution image synthesis and semantic manipulation with conditional GANs", equation 4.
    """
    # An argument without a default is filled by its name: real_output, fake_output (of D), generator, inverse (CycleGAN's other one).
    distances = [
        (real.detach() - fake).abs().mean()
        for real_scale, fake_scale in zip(real_output.features, fake_output.features, strict=True)
        for real, fake in zip(real_scale, fake_scale, strict=True)
    ]
    return sum(distances, batch.fake.new_zeros(())) / len(distances)
