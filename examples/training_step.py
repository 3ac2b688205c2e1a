"""A training step of your own: an algorithm is which networks it updates, in which order, by which losses.

Train with it; what its constructor takes is a key of the recipe's ``training`` section:

    transfigure train examples/tiny.yaml --out runs/training_step --plugins examples/training_step.py \
        --training.step several_d_steps --training.d_steps 3
"""

import torch

from transfigure import Batch, register
from transfigure.bounds import PositiveInt
from transfigure.training.setup import Setup
from transfigure.training.steps.base import StepOutput
from transfigure.training.steps.pix2pix import Pix2PixStep


@register("step", "several_d_steps")
class SeveralDSteps(Pix2PixStep):
    """pix2pix with several steps on D for each step on G.

    Source: Goodfellow et al. 2014, "Generative adversarial nets", algorithm 1 with k = ``d_steps``.

    Args:
        setup: builds what the recipe asks for: networks, optimizers, losses.
        d_steps: steps on D before each step on G.
    """

    def __init__(self, setup: Setup, d_steps: PositiveInt = 2) -> None:
        super().__init__(setup)
        self.d_steps = d_steps

    def training_step(self, batch: Batch, measure: bool = False) -> StepOutput:
        """All steps on D but the last; then pix2pix's own, which is one on D and one on G."""
        if self.discriminator is not None and self.d_optimizer is not None:
            for _ in range(self.d_steps - 1):
                with torch.no_grad():
                    fake = self.direction.generate(batch)
                loss = self.direction.discriminator_loss(batch, fake).loss
                self.optimizer_step(self.d_optimizer, loss, self.discriminator)
        return super().training_step(batch, measure)
