"""One update of two translators that are trained together, one for each direction: the step of CycleGAN.

Zhu, Park, Isola and Efros 2017, section 3. With G: X -> Y judged by D_Y and F: Y -> X judged by D_X:

    L(G, F, D_X, D_Y) = L_GAN(G, D_Y) + L_GAN(F, D_X) + lambda (E|F(G(x)) - x| + E|G(F(y)) - y|)      (3)

Each direction is a :class:`PairedStep` of its own, with the same objective; what makes them one is that each is the other's inverse,
that one optimiser moves both generators, and one both discriminators. As in the authors' public code, G and F move first.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from ..data.batch import Batch
from ..losses.gan import Adversarial
from .step import Judged, Losses, PairedStep, Stateful, frozen


@dataclass
class TwoWayStep:
    """Two directions, moved together.

    Attributes:
        there: source to target; its generator is the run's model.
        back: target to source.
        optimiser_g: moves both generators.
        optimiser_d: moves both discriminators, if there are any.
    """

    there: PairedStep
    back: PairedStep
    optimiser_g: Optimizer
    optimiser_d: Optimizer | None = None

    @property
    def generator(self) -> nn.Module:
        """The one from source to target."""
        return self.there.generator

    @property
    def discriminator(self) -> nn.Module | None:
        """The one that judges targets."""
        return self.there.discriminator

    @property
    def adversarial(self) -> Adversarial | None:
        """The form of the game, the same in both directions."""
        return self.there.adversarial

    def update(self, pair: Batch, measure: bool = False) -> Losses:
        """One step on both generators, then one on both discriminators.

        Args:
            pair: a batch of sources and targets, which need not belong together.
            measure: also how hard each term pulls at the generated images; changes nothing else.

        Returns:
            ``g`` is the sum over both directions, everything else their mean.
        """
        there, back, turned = self.there, self.back, pair.turned()
        fake_target, fake_source = there.translate(pair), back.translate(turned)
        with frozen(there.discriminator, back.discriminator):
            made = (
                there.towards(pair, fake_target, measure, inverse=back.generator),
                back.towards(turned, fake_source, measure, inverse=there.generator),
            )
            networks = there.generator, back.generator, there.objective.trained, back.objective.trained
            there.descend(made[0].loss + made[1].loss, self.optimiser_g, *networks)
        judged: tuple[Judged | None, Judged | None] = None, None
        if self.optimiser_d is not None and there.discriminator is not None and back.discriminator is not None:
            first, second = there.against(pair, fake_target), back.against(turned, fake_source)
            there.descend(first.loss + second.loss, self.optimiser_d, there.discriminator, back.discriminator)
            judged = first, second
        return _together(*(one.losses(other) for one, other in zip(made, judged)))

    def networks(self) -> dict[str, nn.Module]:
        """Every network with weights, by the name it has in a checkpoint."""
        return {**self.there.networks(), **{f"inverse_{name}": network for name, network in self.back.networks().items()}}

    def parts(self) -> dict[str, Stateful]:
        """Everything that exact resume must find again, by its name in a checkpoint."""
        pools = {"pool": self.there.pool, "inverse_pool": self.back.pool, "optimiser_d": self.optimiser_d}
        return {**self.networks(), "optimiser_g": self.optimiser_g, **{name: part for name, part in pools.items() if part is not None}}


def _together(one: Losses, other: Losses) -> Losses:
    def mean(a: Tensor | None, b: Tensor | None) -> Tensor | None:
        return None if a is None or b is None else torch.stack([a, b]).mean()

    return Losses(
        g=one.g + other.g,
        terms={name: 0.5 * (value + other.terms[name]) for name, value in one.terms.items()},
        d=mean(one.d, other.d),
        adversarial=mean(one.adversarial, other.adversarial),
        d_real=mean(one.d_real, other.d_real),
        d_fake=mean(one.d_fake, other.d_fake),
        gradients={name: 0.5 * (value + other.gradients[name]) for name, value in one.gradients.items()},
    )
