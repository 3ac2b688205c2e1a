"""One update of pix2pix: the paper's algorithm, and nothing else in sight.

Isola et al. 2017, section 3. With source x, target y and generated G(x) (the noise z is the generator's dropout):

    L_cGAN(G, D) = E[log D(x, y)] + E[log(1 - D(x, G(x)))]                    (1)
    G* = arg min_G max_D  L_cGAN(G, D) + lambda * L_L1(G)                     (4)

"We alternate between one gradient descent step on D, then one step on G", G maximises log D(x, G(x)), and D's objective is halved
(section 3.3). An unconditional D sees y and G(x) alone (equation 2).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from ..data.batch import Batch
from ..objectives.adversarial import Adversarial
from ..objectives.objective import Objective
from .engine import Engine


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


@contextmanager
def frozen(network: nn.Module) -> Iterator[None]:
    """Gradients pass through the network but are not computed for its weights."""
    network.requires_grad_(False)
    try:
        yield
    finally:
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

    Attributes:
        generator: G.
        objective: the reconstruction terms.
        optimiser_g: moves G.
        engine: backward and averaging over devices.
        discriminator: D, or None for regression alone.
        adversarial: the form of the game, if there is a D.
        conditional: D sees the source beside the image (cGAN).
        adversarial_weight: factor of G's adversarial loss.
        optimiser_d: moves D.
    """

    generator: nn.Module
    objective: Objective
    optimiser_g: Optimizer
    engine: Engine
    discriminator: nn.Module | None = None
    adversarial: Adversarial | None = None
    conditional: bool = True
    adversarial_weight: float = 1.0
    optimiser_d: Optimizer | None = None

    def update(self, pair: Batch, measure: bool = False) -> Losses:
        """One step on D with real and generated images, then one step on G against the updated D.

        Args:
            pair: a batch of pairs.
            measure: also how hard each term pulls at the generated images; changes nothing else.
        """
        with self.engine.autocast():
            fake = self.generator(pair.source)
        if self.discriminator is None:
            answered = pair.with_fake(fake)
            values = self.objective.values(answered)
            g_loss = self.objective.weigh(values, batch=answered)
            gradients = pulls(self.objective.weighted(values, answered), fake) if measure else {}
            self._descend(g_loss, self.generator, self.optimiser_g)
            return Losses(g_loss.detach(), {name: value.detach() for name, value in values.items()}, gradients=gradients)

        assert self.adversarial is not None and self.optimiser_d is not None
        # D's turn: no gradient reaches G, since D judges a detached image
        real_map, fake_map = self.judge(pair, pair.target), self.judge(pair, fake.detach())
        d_loss = self.adversarial.real(real_map) + self.adversarial.fake(fake_map)
        penalty = self.adversarial.penalty(lambda image: self.judge(pair, image), pair.target, fake.detach())
        d_loss = 0.5 * (d_loss if penalty is None else d_loss + penalty)
        self._descend(d_loss, self.discriminator, self.optimiser_d)

        # G's turn, against the D just updated
        with frozen(self.discriminator):
            judged = pair.with_fake(fake, self.judge(pair, fake))
            assert judged.fake_map is not None
            fool = self.adversarial.fool(judged.fake_map)
            values = self.objective.values(judged)
            g_loss = self.adversarial_weight * fool + self.objective.weigh(values, batch=judged)
            if measure:
                gradients = pulls({"adversarial": self.adversarial_weight * fool, **self.objective.weighted(values, judged)}, fake)
            self._descend(g_loss, self.generator, self.optimiser_g)

        return Losses(
            g=g_loss.detach(),
            terms={name: value.detach() for name, value in values.items()},
            d=d_loss.detach(),
            adversarial=fool.detach(),
            d_real=self.adversarial.score(real_map.detach()),
            d_fake=self.adversarial.score(fake_map.detach()),
            gradients=gradients if measure else {},
        )

    def judge(self, pair: Batch, image: Tensor) -> Tensor:
        """D's logits on an image, beside its source if D is conditional: a map, one logit per patch."""
        assert self.discriminator is not None
        seen = torch.cat([pair.source, image], dim=1) if self.conditional else image
        with self.engine.autocast():
            logits: Tensor = self.discriminator(seen)
        return logits.float()

    def _descend(self, loss: Tensor, network: nn.Module, optimiser: Optimizer) -> None:
        optimiser.zero_grad(set_to_none=True)
        self.engine.backward(loss, network)
        optimiser.step()
