"""One update of two translators that are trained together, one for each direction: the step of CycleGAN.

Zhu, Park, Isola and Efros 2017, section 3. With G: X -> Y, whose outputs D_Y sees, and F: Y -> X, whose outputs D_X sees:

    L(G, F, D_X, D_Y) = L_GAN(G, D_Y) + L_GAN(F, D_X) + lambda (E|F(G(x)) - x| + E|G(F(y)) - y|)      (3)

Each direction has the losses of ``pix2pix.py``, with the same objective; what makes them one is that each generator is the other's
inverse, that one optimizer updates both generators, and one both discriminators. As in the authors' public code, G and F come first.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from ...data.batch import Batch
from ...losses.gan import AdversarialLoss
from ...networks.base import Discriminator, Generator
from ...registry import register
from ..setup import Setup
from .base import Stateful, StepOutput, TrainingStep, frozen, mean_output
from .pix2pix import Direction, step_output, with_discriminator


@register("step", "cyclegan")
class CycleGANStep(TrainingStep):
    """One step on both generators, then one on both discriminators.

    Source: Zhu, Park, Isola and Efros 2017, "Unpaired image-to-image translation using cycle-consistent adversarial networks", section 3.

    Args:
        setup: what the recipe asks for.
    """

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup.engine, setup.micro_batch_size)
        self.a_to_b = Direction.build(setup)
        self.b_to_a = Direction.build(setup, swapped=True)
        both = self.a_to_b, self.b_to_a
        self.g_optimizer = setup.g_optimizer(*(one.generator for one in both), *(one.objective.trained for one in both))
        self.d_optimizer = setup.d_optimizer(*(one.discriminator for one in both))

    def training_step(self, batch: Batch, measure: bool = False) -> StepOutput:
        """G and F against the discriminators as they are, then D_Y and D_X.

        Returns:
            ``g_loss`` is the sum over both directions, everything else their mean.
        """
        a_to_b, b_to_a, parts = self.a_to_b, self.b_to_a, self.parts(batch)
        generators = a_to_b.generator, b_to_a.generator, a_to_b.objective.trained, b_to_a.objective.trained
        fakes, outputs = [], []
        with frozen(a_to_b.discriminator, b_to_a.discriminator):
            for part in parts:
                x, y = part.batch, part.batch.swapped()
                fake_b, fake_a = a_to_b.generate(x), b_to_a.generate(y)
                g_b = a_to_b.generator_loss(x, fake_b, inverse=b_to_a.generator, measure=measure)
                g_a = b_to_a.generator_loss(y, fake_a, inverse=a_to_b.generator, measure=measure)
                self.optimizer_step(self.g_optimizer, part.share * (g_b.loss + g_a.loss), *generators, more=part.more)
                fakes.append((fake_b.detach(), fake_a.detach()))
                outputs.append((step_output(g_b, None), step_output(g_a, None)))

        if self.d_optimizer is not None and a_to_b.discriminator is not None and b_to_a.discriminator is not None:
            discriminators = a_to_b.discriminator, b_to_a.discriminator
            for number, part in enumerate(parts):
                (fake_b, fake_a), (of_b, of_a) = fakes[number], outputs[number]
                d_b, d_a = a_to_b.discriminator_loss(part.batch, fake_b), b_to_a.discriminator_loss(part.batch.swapped(), fake_a)
                self.optimizer_step(self.d_optimizer, part.share * (d_b.loss + d_a.loss), *discriminators, more=part.more)
                outputs[number] = with_discriminator(of_b, d_b), with_discriminator(of_a, d_a)
        return mean_output([_of_both(*both) for both in outputs], parts)

    @property
    def decided_by_host(self) -> str | None:
        """As :attr:`.pix2pix.Direction.decided_by_host` of either direction; and with accumulated batches."""
        accumulated = "training.accumulate" if self.micro_batch_size is not None else None
        return self.a_to_b.decided_by_host or self.b_to_a.decided_by_host or accumulated

    @property
    def generator(self) -> Generator:
        """G, from source to target."""
        return self.a_to_b.generator

    @property
    def inverse_generator(self) -> Generator:
        """F, from target to source."""
        return self.b_to_a.generator

    @property
    def discriminator(self) -> Discriminator | None:
        """D_Y, which sees targets."""
        return self.a_to_b.discriminator

    @property
    def gan(self) -> AdversarialLoss | None:
        """The adversarial form, the same in both directions."""
        return self.a_to_b.gan

    def networks(self) -> dict[str, nn.Module]:
        """Those of both directions; the names of the second begin with ``inverse_``."""
        return {**self.a_to_b.networks(), **{f"inverse_{name}": network for name, network in self.b_to_a.networks().items()}}

    def optimizers(self) -> dict[str, Optimizer]:
        """``g_optimizer`` and, with discriminators, ``d_optimizer``."""
        return {"g_optimizer": self.g_optimizer, **({} if self.d_optimizer is None else {"d_optimizer": self.d_optimizer})}

    def pools(self) -> dict[str, Stateful]:
        """The pools of earlier generated images, if there are any."""
        pools = {"pool": self.a_to_b.pool, "inverse_pool": self.b_to_a.pool}
        return {name: pool for name, pool in pools.items() if pool is not None}


def _of_both(one: StepOutput, other: StepOutput) -> StepOutput:
    def mean(a: Tensor | None, b: Tensor | None) -> Tensor | None:
        return None if a is None or b is None else torch.stack([a, b]).mean()

    return StepOutput(
        g_loss=one.g_loss + other.g_loss,
        terms={name: 0.5 * (value + other.terms[name]) for name, value in one.terms.items()},
        d_loss=mean(one.d_loss, other.d_loss),
        adversarial=mean(one.adversarial, other.adversarial),
        d_real=mean(one.d_real, other.d_real),
        d_fake=mean(one.d_fake, other.d_fake),
        gradient_norms={
            name: 0.5 * (value + other.gradient_norms[name]) for name, value in one.gradient_norms.items() if name in other.gradient_norms
        },
    )
