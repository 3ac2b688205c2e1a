"""pix2pix as it is written first: the same networks in a plain loop, against which the package's step is compared.

An independent implementation of the update (Isola et al. 2017, section 3.3), with PyTorch's own losses and ``torch.optim.Adam`` as it
comes. In float64 it is the reference for correctness, in float32 the baseline for speed.
"""

from __future__ import annotations

import torch
from setting import Setting
from torch import Tensor
from torch.nn import functional as F

from transfigure.networks.build import build_discriminator, build_generator


class PlainPix2Pix:
    """Networks, optimizers and one update.

    Args:
        setting: the size of the networks and where they are.
        norm: ``batch`` or ``instance``.
        dropout: of the generator.
        dtype: of everything.
        seed: the networks are the same as those of ``step_of`` with this seed.
    """

    def __init__(self, setting: Setting, norm: str, dropout: float, dtype: torch.dtype = torch.float32, seed: int = 0) -> None:
        recipe = setting.recipe(generator__norm=norm, generator__dropout=dropout, discriminator__norm=norm)
        assert recipe.discriminator is not None
        torch.manual_seed(seed)
        self.generator = build_generator("unet", 3, 3, recipe.generator.options).to(setting.device, dtype)
        self.discriminator = build_discriminator("patch", 6, recipe.discriminator.options).to(setting.device, dtype)
        self.adam_g = torch.optim.Adam(self.generator.parameters(), 2e-4, (0.5, 0.999))
        self.adam_d = torch.optim.Adam(self.discriminator.parameters(), 2e-4, (0.5, 0.999))

    def update(self, source: Tensor, target: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """One step on D, one on G; returns the losses in the order of ``NUMBERS``, detached."""
        fake = self.generator(source)
        self.adam_d.zero_grad()
        d_loss = 0.5 * (_cross_entropy(self._logits(source, target), 1) + _cross_entropy(self._logits(source, fake.detach()), 0))
        d_loss.backward()  # type: ignore[no-untyped-call]
        self.adam_d.step()
        self.discriminator.requires_grad_(False)
        self.adam_g.zero_grad()
        adversarial = _cross_entropy(self._logits(source, fake), 1)
        l1 = F.l1_loss(fake, target)
        g_loss = adversarial + 100 * l1
        g_loss.backward()  # type: ignore[no-untyped-call]
        self.adam_g.step()
        self.discriminator.requires_grad_(True)
        return g_loss.detach(), l1.detach(), adversarial.detach(), d_loss.detach()

    def _logits(self, source: Tensor, image: Tensor) -> Tensor:
        logits: Tensor = self.discriminator(torch.cat([source, image], 1)).logits[0]
        return logits


def _cross_entropy(logits: Tensor, label: float) -> Tensor:
    return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, label))
