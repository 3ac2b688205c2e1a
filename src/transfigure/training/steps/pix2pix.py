"""One update of pix2pix, and of every translator with one generator: the paper's algorithm.

Isola et al. 2017, section 3. With source x, target y and generated G(x) (the noise z is the generator's dropout):

    L_cGAN(G, D) = E[log D(x, y)] + E[log(1 - D(x, G(x)))]                    (1)
    G* = arg min_G max_D  L_cGAN(G, D) + lambda * L_L1(G)                     (4)

"We alternate between one gradient descent step on D, then one step on G", G maximises log D(x, G(x)), and D's objective is halved
(section 3.3). An unconditional D sees y and G(x) alone (equation 2); then x and y need not belong together: the streamlined translator is
the same step with an unconditional D, no terms, and targets drawn independently of their sources (arXiv:2411.10368).

Alternating, D looks at G(x) twice, before and after its own step. Simultaneous updates take both gradients at the weights of one moment, so
that one forward pass of D serves both: another algorithm, which the authors' Torch7 code is close to (there G's gradient goes through D's
new weights, but the activations of the old ones).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from ...data.batch import Batch
from ...errors import UserError
from ...losses.augment import augment
from ...losses.gan import AdversarialLoss
from ...losses.gradient_penalty import r1, r2
from ...losses.objective import Objective
from ...networks.base import Discriminator, DiscriminatorOutput, Generator
from ...registry import register
from ..engine import Engine
from ..pool import ImagePool
from ..setup import Setup
from .base import MicroBatch, Rehearsal, Stateful, StepOutput, TrainingStep, frozen, mean_output


@register("step", "pix2pix")
class Pix2PixStep(TrainingStep):
    """One step on D, then one step on G against the updated D; without a discriminator, regression by the terms alone.

    Source: Isola et al. 2017, section 3; with an unconditional D and no terms, arXiv:2411.10368.

    Args:
        setup: what the recipe asks for.
        update: ``alternating``, G's step against the updated D (the paper); or ``simultaneous``, both at once from one pass of D over
            G(x), which is faster and another algorithm.

    Raises:
        UserError: a loss needs the generator of the other direction, which is not trained here; or D is shown a pool's images, and the
            passes are to be shared.
    """

    def __init__(self, setup: Setup, update: Literal["alternating", "simultaneous"] = "alternating") -> None:
        super().__init__(setup.engine, setup.micro_batch_size)
        self.simultaneous = update == "simultaneous"
        self.direction = Direction.build(setup)
        if self.simultaneous and self.direction.pool is not None:
            raise UserError(
                "training.update simultaneous shares D's pass over the generated images, and objective.adversarial.pool shows D earlier "
                "ones: leave one of them out"
            )
        if missing := self.direction.objective.needing("inverse"):
            raise UserError(
                f"the loss {missing[0]} needs the generator of the other direction, which training.step pix2pix does not train: "
                "use --training.step cyclegan, or leave the loss out"
            )
        self.g_optimizer = setup.g_optimizer(self.direction.generator, self.direction.objective.trained)
        self.d_optimizer = setup.d_optimizer(self.direction.discriminator)

    def training_step(self, batch: Batch, measure: bool = False) -> StepOutput:
        """One step on D with real and generated images, then one step on G against the updated D; or both at once."""
        direction, parts = self.direction, self.parts(batch)
        if self.simultaneous and direction.discriminator is not None and self.d_optimizer is not None:
            return self._both(parts, direction.discriminator, self.d_optimizer, measure)
        if len(parts) > 1:
            return self._accumulated(parts, measure)

        fake = direction.generate(batch)
        d = None
        if direction.discriminator is not None and self.d_optimizer is not None:
            d = direction.discriminator_loss(batch, fake.detach())  # no gradient reaches G
            self.optimizer_step(self.d_optimizer, d.loss, direction.discriminator)

        with frozen(direction.discriminator):
            g = direction.generator_loss(batch, fake, measure=measure)
            self.optimizer_step(self.g_optimizer, g.loss, direction.generator, direction.objective.trained)
        return step_output(g, d)

    def _accumulated(self, parts: list[MicroBatch], measure: bool) -> StepOutput:
        """The same in parts, with the activations of one at a time: D steps when it has seen all of them, then G.

        G must not move before D has, and its activations are not kept until then: so it is applied twice, without and with a graph.
        """
        direction = self.direction
        rehearsal = Rehearsal(direction.generator, self.engine.device)
        ds = []
        if direction.discriminator is not None and self.d_optimizer is not None:
            for part in parts:
                rehearsal.first()
                with torch.no_grad():
                    fake = direction.generate(part.batch)
                d = direction.discriminator_loss(part.batch, fake)
                self.optimizer_step(self.d_optimizer, part.share * d.loss, direction.discriminator, more=part.more)
                ds.append(replace(d, loss=d.loss.detach()))
            rehearsal.rewind()

        outputs = []
        with frozen(direction.discriminator):
            for number, part in enumerate(parts):
                with rehearsal.again():
                    fake = direction.generate(part.batch)
                g = direction.generator_loss(part.batch, fake, measure=measure)
                loss, networks = part.share * g.loss, (direction.generator, direction.objective.trained)
                self.optimizer_step(self.g_optimizer, loss, *networks, more=part.more)
                outputs.append(step_output(g, ds[number] if ds else None))
        return mean_output(outputs, parts)

    def _both(self, parts: list[MicroBatch], discriminator: Discriminator, d_optimizer: Optimizer, measure: bool) -> StepOutput:
        """Both gradients at the weights of this moment; then both steps."""
        outputs = [self._both_gradients(part, discriminator, d_optimizer, measure) for part in parts]
        for optimizer in (d_optimizer, self.g_optimizer):
            self.engine.step(optimizer)
        return mean_output(outputs, parts)

    def _both_gradients(self, part: MicroBatch, discriminator: Discriminator, d_optimizer: Optimizer, measure: bool) -> StepOutput:
        """From one pass of D over real and one over generated images. The graph of both is gone when this returns."""
        direction, batch = self.direction, part.batch
        fake = direction.generate(batch)
        seen = direction.discriminate(batch, batch.target), direction.discriminate(batch, fake)
        d = direction.discriminator_loss(batch, fake.detach(), seen)
        g = direction.generator_loss(batch, fake, measure=measure, seen=seen)
        generators = direction.generator, direction.objective.trained
        for optimizer, loss, networks in ((d_optimizer, d.loss, (discriminator,)), (self.g_optimizer, g.loss, generators)):
            self.engine.backward(part.share * loss, *networks, optimizer=optimizer, shared=True, more=part.more)
        return step_output(g, d)

    @property
    def decided_by_host(self) -> str | None:
        """As :attr:`Direction.decided_by_host`; and with accumulated batches, the random numbers that are put back."""
        return self.direction.decided_by_host or ("training.accumulate" if self.micro_batch_size is not None else None)

    @property
    def generator(self) -> Generator:
        """G."""
        return self.direction.generator

    @property
    def discriminator(self) -> Discriminator | None:
        """D, or None for regression alone."""
        return self.direction.discriminator

    @property
    def gan(self) -> AdversarialLoss | None:
        """The adversarial form, if there is a D."""
        return self.direction.gan

    def networks(self) -> dict[str, nn.Module]:
        """``generator``, ``discriminator`` and, where terms train weights of their own, ``terms``."""
        return self.direction.networks()

    def optimizers(self) -> dict[str, Optimizer]:
        """``g_optimizer`` and, with a D, ``d_optimizer``."""
        return {"g_optimizer": self.g_optimizer, **({} if self.d_optimizer is None else {"d_optimizer": self.d_optimizer})}

    def pools(self) -> dict[str, Stateful]:
        """The pool of earlier generated images, if there is one."""
        return {} if self.direction.pool is None else {"pool": self.direction.pool}


Seen = tuple[DiscriminatorOutput, DiscriminatorOutput]
"""What D says to the real and to the generated images."""


@dataclass(frozen=True)
class DiscriminatorLoss:
    """D's loss with its graph, and D's mean outputs on real and generated images, without."""

    loss: Tensor
    d_real: Tensor
    d_fake: Tensor


@dataclass(frozen=True)
class GeneratorLoss:
    """G's loss with its graph: the whole, the adversarial part and each term, unweighted; and the gradient norms, if asked for."""

    loss: Tensor
    adversarial: Tensor | None
    terms: dict[str, Tensor]
    gradient_norms: dict[str, Tensor]


@dataclass(frozen=True)
class Direction:
    """From one domain to another: a generator, the discriminator of its outputs, and the loss of each.

    Attributes:
        generator: G.
        objective: the terms in addition to the adversarial loss.
        engine: precision of the forward passes.
        discriminator: D, or None for regression alone.
        gan: the adversarial form, if there is a D.
        conditional: D sees the source beside the image (cGAN).
        adversarial_weight: factor of G's adversarial loss.
        r1: half of this times the squared slope of D at real images is part of D's loss (Mescheder et al. 2018, equation 9).
        r2: the same at the generated images that D is shown (their equation 10).
        augment: what is done to every image before D sees it, real or generated (Zhao et al. 2020).
        pool: earlier generated images that D is shown in place of some new ones (Zhu et al. 2017, section 4).
    """

    generator: Generator
    objective: Objective
    engine: Engine
    discriminator: Discriminator | None = None
    gan: AdversarialLoss | None = None
    conditional: bool = True
    adversarial_weight: float = 1.0
    r1: float = 0.0
    r2: float = 0.0
    augment: tuple[str, ...] = ()
    pool: ImagePool | None = None

    @classmethod
    def build(cls, setup: Setup, swapped: bool = False) -> Direction:
        """The networks of a recipe, from source to target or (``swapped``) from target to source."""
        generator = setup.generator(swapped)
        objective = setup.objective(generator)
        game = setup.adversarial
        if game is None:
            return cls(generator, objective, setup.engine)
        return cls(
            generator,
            objective,
            setup.engine,
            discriminator=setup.discriminator(swapped),
            gan=setup.gan(),
            conditional=game.conditional,
            adversarial_weight=game.weight,
            r1=game.r1,
            r2=game.r2,
            augment=tuple(game.augment),
            pool=ImagePool(game.pool) if game.pool else None,
        )

    @property
    def decided_by_host(self) -> str | None:
        """What of an update is drawn or decided on the CPU, by its key in the recipe; None if nothing is."""
        if self.pool is not None:
            return "objective.adversarial.pool"
        if self.augment:
            return "objective.adversarial.augment"
        return None

    def generate(self, batch: Batch) -> Tensor:
        """G(x), where the batch's mask counts; elsewhere the target, so that neither D nor a term is shown what was generated there."""
        with self.engine.autocast():
            fake: Tensor = self.generator(batch.source)
        # The gradient of a mean at each of its values is too small for float16; the scale of the loss covers backward passes only.
        return batch.within(fake.float() if fake.dtype == torch.float16 else fake)

    def discriminate(self, batch: Batch, image: Tensor, twice: bool = False) -> DiscriminatorOutput:
        """D(x, image), or D(image) if D is unconditional; ``twice`` if its gradient is going to be differentiated."""
        assert self.discriminator is not None
        d_input = torch.cat([batch.source, image], dim=1) if self.conditional else image
        if self.augment:
            d_input = augment(d_input, self.augment)
        with self.engine.full_precision() if twice else self.engine.autocast():
            output: DiscriminatorOutput = self.discriminator(d_input)
        return output.float()

    def discriminator_loss(self, batch: Batch, fake: Tensor, seen: Seen | None = None) -> DiscriminatorLoss:
        """Half of D's adversarial loss and penalty, plus gamma / 2 times R1 and R2.

        Args:
            batch: sources and targets.
            fake: G(x), detached.
            seen: D's outputs, if they are there already.
        """
        assert self.gan is not None
        shown = fake if self.pool is None else self.pool.swap(fake)
        real_output, fake_output = seen or (self.discriminate(batch, batch.target), self.discriminate(batch, shown))
        loss = self.gan.d_loss(real_output, fake_output)

        def steep(image: Tensor) -> DiscriminatorOutput:
            return self.discriminate(batch, image, twice=True)

        penalty = self.gan.d_penalty(steep, batch.target, shown)
        loss = 0.5 * (loss if penalty is None else loss + penalty)
        if self.r1:
            loss = loss + 0.5 * self.r1 * r1(steep, batch.target)
        if self.r2:
            loss = loss + 0.5 * self.r2 * r2(steep, shown)
        return DiscriminatorLoss(loss, self.gan.mean_output(real_output), self.gan.mean_output(fake_output))

    def generator_loss(
        self, batch: Batch, fake: Tensor, inverse: Generator | None = None, measure: bool = False, seen: Seen | None = None
    ) -> GeneratorLoss:
        """G's adversarial loss and its terms, weighted and summed.

        Args:
            batch: sources and targets.
            fake: G(x), with its graph.
            inverse: the generator of the other direction, for terms that need one.
            measure: also the gradient norm of each term at ``fake``.
            seen: D's outputs, if they are there already.
        """
        adversarial, real_output, fake_output = None, DiscriminatorOutput(()), DiscriminatorOutput(())
        if self.gan is not None and seen is not None:
            real_output, fake_output = seen[0].detach(), seen[1]
            adversarial = self.gan.g_loss(real_output, fake_output)
        elif self.gan is not None:
            if self.gan.relativistic or self.objective.needing("real_output"):
                with torch.no_grad():
                    real_output = self.discriminate(batch, batch.target)
            fake_output = self.discriminate(batch, fake)
            adversarial = self.gan.g_loss(real_output, fake_output)
        batch = batch.with_fake(fake)
        context = {"generator": self.generator, "inverse": inverse, "real_output": real_output, "fake_output": fake_output}
        terms = self.objective.values(batch, **context)
        weighted = self.objective.weighted(terms, batch)
        loss = sum(weighted.values(), fake.new_zeros(()))
        if adversarial is not None:
            loss = self.adversarial_weight * adversarial + loss
            weighted = {"adversarial": self.adversarial_weight * adversarial, **weighted}
        return GeneratorLoss(loss, adversarial, terms, gradient_norms(weighted, fake) if measure else {})

    def networks(self) -> dict[str, nn.Module]:
        """Every network with weights, by the name it has in a checkpoint."""
        named: dict[str, nn.Module] = {"generator": self.generator}
        if self.discriminator is not None:
            named["discriminator"] = self.discriminator
        if len(self.objective.trained):
            named["terms"] = self.objective.trained
        return named


def gradient_norms(weighted: Mapping[str, Tensor], fake: Tensor) -> dict[str, Tensor]:
    """The norm of each weighted term's gradient at the generator's output.

    ||d L_k / d G(x)||_2 over all values of an image, averaged over the batch (whose mean in L_k is undone). Terms on other scales, such
    as L1 and a cosine, can be compared by it: it is what reaches the generator of each. The graph stays usable.

    Args:
        weighted: the terms as they are summed; one that depends on nothing is left out.
        fake: the generated images, ``[N, C, H, W]``, as the terms saw them.
    """
    norms = {}
    for name, value in weighted.items():
        if value.requires_grad:
            (gradient,) = torch.autograd.grad(value, fake, retain_graph=True, allow_unused=True)
            if gradient is not None:
                norms[name] = gradient.detach().float().flatten(1).norm(dim=1).mean() * len(fake)
    return norms


def step_output(g: GeneratorLoss, d: DiscriminatorLoss | None) -> StepOutput:
    """Both losses as numbers."""
    output = StepOutput(
        g_loss=g.loss.detach(),
        terms={name: value.detach() for name, value in g.terms.items()},
        adversarial=None if g.adversarial is None else g.adversarial.detach(),
        gradient_norms=g.gradient_norms,
    )
    return output if d is None else with_discriminator(output, d)


def with_discriminator(output: StepOutput, d: DiscriminatorLoss) -> StepOutput:
    """The same, with what D's step measured."""
    return replace(output, d_loss=d.loss.detach(), d_real=d.d_real, d_fake=d.d_fake)
