"""One update of pix2pix: the paper's algorithm, and nothing else in sight.

Isola et al. 2017, section 3. With source x, target y and generated G(x) (the noise z is the generator's dropout):

    L_cGAN(G, D) = E[log D(x, y)] + E[log(1 - D(x, G(x)))]                    (1)
    G* = arg min_G max_D  L_cGAN(G, D) + lambda * L_L1(G)                     (4)

"We alternate between one gradient descent step on D, then one step on G", G maximises log D(x, G(x)), and D's objective is halved
(section 3.3). An unconditional D sees y and G(x) alone (equation 2).
"""

from __future__ import annotations

from collections.abc import Iterator
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

    Without a discriminator ``d``, ``adversarial``, ``d_real`` and ``d_fake`` are None.
    """

    g: Tensor
    terms: dict[str, Tensor] = field(default_factory=dict)
    d: Tensor | None = None
    adversarial: Tensor | None = None
    d_real: Tensor | None = None
    d_fake: Tensor | None = None


@contextmanager
def frozen(network: nn.Module) -> Iterator[None]:
    """Gradients pass through the network but are not computed for its weights."""
    network.requires_grad_(False)
    try:
        yield
    finally:
        network.requires_grad_(True)


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

    def update(self, pair: Batch) -> Losses:
        """One step on D with real and generated images, then one step on G against the updated D."""
        with self.engine.autocast():
            fake = self.generator(pair.source)
        if self.discriminator is None:
            values = self.objective.values(pair.with_fake(fake))
            g_loss = self.objective.weigh(values)
            self._descend(g_loss, self.generator, self.optimiser_g)
            return Losses(g_loss.detach(), {name: value.detach() for name, value in values.items()})

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
            g_loss = self.adversarial_weight * fool + self.objective.weigh(values)
            self._descend(g_loss, self.generator, self.optimiser_g)

        return Losses(
            g=g_loss.detach(),
            terms={name: value.detach() for name, value in values.items()},
            d=d_loss.detach(),
            adversarial=fool.detach(),
            d_real=self.adversarial.score(real_map.detach()),
            d_fake=self.adversarial.score(fake_map.detach()),
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
