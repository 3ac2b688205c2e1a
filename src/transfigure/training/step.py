"""One update of pix2pix, and of every translator with one generator: the paper's algorithm, and nothing else in sight.

Isola et al. 2017, section 3. With source x, target y and generated G(x) (the noise z is the generator's dropout):

    L_cGAN(G, D) = E[log D(x, y)] + E[log(1 - D(x, G(x)))]                    (1)
    G* = arg min_G max_D  L_cGAN(G, D) + lambda * L_L1(G)                     (4)

"We alternate between one gradient descent step on D, then one step on G", G maximises log D(x, G(x)), and D's objective is halved
(section 3.3). An unconditional D sees y and G(x) alone (equation 2); then x and y need not belong together.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from ..data.batch import Batch
from ..losses.augment import augment
from ..losses.gan import Adversarial, r1
from ..losses.objective import Objective
from .engine import Engine
from .pool import ImagePool


class Stateful(Protocol):
    """What can be saved and found again."""

    def state_dict(self) -> dict[str, Any]: ...  # noqa: D102

    def load_state_dict(self, state_dict: dict[str, Any]) -> Any: ...  # noqa: D102


@dataclass(frozen=True)
class Losses:
    """What one update measured, detached. The terms are unweighted; ``g`` is the weighted total that G descended.

    Without a discriminator ``d``, ``adversarial``, ``d_real`` and ``d_fake`` are None. ``gradients`` is empty unless it was asked for:
    how hard each term, with its weight, pulls at the generated images (see :func:`pulls`).
    """

    g: Tensor
    terms: dict[str, Tensor] = field(default_factory=dict)
    d: Tensor | None = None
    adversarial: Tensor | None = None
    d_real: Tensor | None = None
    d_fake: Tensor | None = None
    gradients: dict[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class Judged:
    """D's turn: what it pays, with its graph, and its mean verdicts."""

    loss: Tensor
    d_real: Tensor
    d_fake: Tensor


@dataclass(frozen=True)
class Made:
    """G's turn: what it pays in all, for fooling D and for each term, with their graphs."""

    loss: Tensor
    fool: Tensor | None
    values: dict[str, Tensor]
    gradients: dict[str, Tensor]

    def losses(self, judged: Judged | None) -> Losses:
        """Both turns as numbers."""
        return Losses(
            g=self.loss.detach(),
            terms={name: value.detach() for name, value in self.values.items()},
            d=None if judged is None else judged.loss.detach(),
            adversarial=None if self.fool is None else self.fool.detach(),
            d_real=None if judged is None else judged.d_real,
            d_fake=None if judged is None else judged.d_fake,
            gradients=self.gradients,
        )


@contextmanager
def frozen(*networks: nn.Module | None) -> Iterator[None]:
    """Gradients pass through the networks but are not computed for their weights."""
    held = [network for network in networks if network is not None]
    for network in held:
        network.requires_grad_(False)
    try:
        yield
    finally:
        for network in held:
            network.requires_grad_(True)


def pulls(weighted: Mapping[str, Tensor], fake: Tensor) -> dict[str, Tensor]:
    """How hard each weighted term pulls at the generator's output: the norm of its gradient there.

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


@dataclass
class PairedStep:
    """The networks, what they are judged by, and how they move.

    The streamlined translator is the same step with an unconditional D, no terms, and targets that were drawn independently of their
    sources (arXiv:2411.10368): the adversarial loss alone.

    Attributes:
        generator: G.
        objective: the terms beside the adversarial loss.
        optimiser_g: moves G, and what terms train beside it; None where another step moves it.
        engine: backward and averaging over devices.
        discriminator: D, or None for regression alone.
        adversarial: the form of the game, if there is a D.
        conditional: D sees the source beside the image (cGAN).
        adversarial_weight: factor of G's adversarial loss.
        optimiser_d: moves D.
        r1: half of this times the squared slope of D at real images is what D pays beside its losses (Mescheder et al. 2018, equation 9).
        augment: what is done to every image before D sees it, real or generated (Zhao et al. 2020).
        pool: earlier generated images that D is shown in place of some new ones (Zhu et al. 2017, section 4).
    """

    generator: nn.Module
    objective: Objective
    optimiser_g: Optimizer | None
    engine: Engine
    discriminator: nn.Module | None = None
    adversarial: Adversarial | None = None
    conditional: bool = True
    adversarial_weight: float = 1.0
    optimiser_d: Optimizer | None = None
    r1: float = 0.0
    augment: tuple[str, ...] = ()
    pool: ImagePool | None = None

    def update(self, pair: Batch, measure: bool = False) -> Losses:
        """One step on D with real and generated images, then one step on G against the updated D.

        Args:
            pair: a batch of pairs.
            measure: also how hard each term pulls at the generated images; changes nothing else.
        """
        assert self.optimiser_g is not None
        fake = self.translate(pair)
        judged = None
        if self.discriminator is not None:
            assert self.optimiser_d is not None
            judged = self.against(pair, fake)
            self.descend(judged.loss, self.optimiser_d, self.discriminator)
        with frozen(self.discriminator):  # G's turn, against the D just updated
            made = self.towards(pair, fake, measure)
            self.descend(made.loss, self.optimiser_g, self.generator, self.objective.trained)
        return made.losses(judged)

    def translate(self, pair: Batch) -> Tensor:
        """G(x)."""
        with self.engine.autocast():
            fake: Tensor = self.generator(pair.source)
        return fake

    def against(self, pair: Batch, fake: Tensor) -> Judged:
        """D's turn: what it pays for its verdicts on real and generated images. No gradient reaches G: D judges a detached image."""
        assert self.adversarial is not None
        shown = fake.detach() if self.pool is None else self.pool.swap(fake.detach())
        real_map, fake_map = self.judge(pair, pair.target), self.judge(pair, shown)
        loss = self.adversarial.real(real_map) + self.adversarial.fake(fake_map)
        penalty = self.adversarial.penalty(lambda image: self.judge(pair, image), pair.target, shown)
        loss = 0.5 * (loss if penalty is None else loss + penalty)
        if self.r1:
            loss = loss + 0.5 * self.r1 * r1(lambda image: self.judge(pair, image), pair.target)
        return Judged(loss, self.adversarial.score(real_map.detach()), self.adversarial.score(fake_map.detach()))

    def towards(self, pair: Batch, fake: Tensor, measure: bool = False, inverse: nn.Module | None = None) -> Made:
        """G's turn: what it pays for these answers.

        Args:
            pair: a batch of pairs.
            fake: G's answers, with their graph.
            measure: also how hard each term pulls at them.
            inverse: the generator of the other direction, for terms that need one.
        """
        fake_map = fool = None
        if self.discriminator is not None:
            assert self.adversarial is not None
            fake_map = self.judge(pair, fake)
            fool = self.adversarial.fool(fake_map)
        answered = pair.with_fake(fake, fake_map).between(self.generator, inverse)
        values = self.objective.values(answered)
        loss = self.objective.weigh(values, batch=answered)
        if fool is not None:
            loss = self.adversarial_weight * fool + loss
        gradients = {}
        if measure:
            adversarial = {} if fool is None else {"adversarial": self.adversarial_weight * fool}
            gradients = pulls({**adversarial, **self.objective.weighted(values, answered)}, fake)
        return Made(loss, fool, values, gradients)

    def judge(self, pair: Batch, image: Tensor) -> Tensor:
        """D's logits on an image, beside its source if D is conditional: a map, one logit per patch."""
        assert self.discriminator is not None
        seen = torch.cat([pair.source, image], dim=1) if self.conditional else image
        if self.augment:
            seen = augment(seen, self.augment)
        with self.engine.autocast():
            logits: Tensor = self.discriminator(seen)
        return logits.float()

    def descend(self, loss: Tensor, optimiser: Optimizer, *networks: nn.Module) -> None:
        """One step of an optimiser down a loss; ``networks`` are what it moves."""
        optimiser.zero_grad(set_to_none=True)
        self.engine.backward(loss, *networks)
        optimiser.step()

    # ---- what there is to save and to move ------------------------------------------------------------------------------

    def networks(self) -> dict[str, nn.Module]:
        """Every network with weights, by the name it has in a checkpoint."""
        named = {"generator": self.generator, "discriminator": self.discriminator}
        if len(self.objective.trained):
            named["terms"] = self.objective.trained
        return {name: network for name, network in named.items() if network is not None}

    def parts(self) -> dict[str, Stateful]:
        """Everything that exact resume must find again, by its name in a checkpoint."""
        others: dict[str, Stateful | None] = {"optimiser_g": self.optimiser_g, "optimiser_d": self.optimiser_d, "pool": self.pool}
        return {**self.networks(), **{name: part for name, part in others.items() if part is not None}}
