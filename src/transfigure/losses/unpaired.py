"""Penalties of unpaired translation: what others add to the adversarial loss, here so that leaving them out can be tested.

Without pairs the adversarial loss says only that G(x) should look like the target domain. These terms say what of x should be left in
it. They compare no output with its target: each applies the generator to something else, or the generator of the other direction, or
compares with the source. A term that needs a network has it as an argument (see :class:`~transfigure.losses.objective.Objective`).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..bounds import PositiveFloat, PositiveInt
from ..data.batch import Batch
from ..errors import UserError
from ..networks.base import Generator
from ..registry import register
from .pixel import mean_of


@register("loss", "cycle", unpaired=True)
def cycle(batch: Batch, inverse: Generator) -> Tensor:
    """There and back again: E|F(G(x)) - x|, with F the generator of the other direction, trained beside G.

    A recipe with this term trains two generators and two discriminators, each direction with the same objective, so both halves of the
    published loss are in it. On [-1, 1] data; in [0, 2].

    Blind to what G hides: an invisible pattern in G(x) from which F restores x costs nothing (Chu, Zhmoginov and Sandler 2017,
    "CycleGAN, a master of steganography").

    Source: Zhu, Park, Isola and Efros 2017, "Unpaired image-to-image translation using cycle-consistent adversarial networks", equation 2.
    """
    return mean_of(F.l1_loss(inverse(batch.fake).float(), batch.source, reduction="none"), batch)


@register("loss", "identity", unpaired=True, same_channels=True)
def identity(batch: Batch, generator: Generator) -> Tensor:
    """What is of the target domain already shall stay as it is: E|G(y) - y|. In [0, 2].

    It holds colours, where the two domains share them. Source and target need equal channels.

    Blind to x altogether: it never sees G(x).

    Source: Taigman, Polyak and Wolf 2017; Zhu et al. 2017, section 5.2, where its weight is half that of the cycle.
    """
    _same_channels(batch, "identity")
    return mean_of(F.l1_loss(generator(batch.target).float(), batch.target, reduction="none"), batch)


@register("loss", "reconstruction", unpaired=True, same_channels=True)
def reconstruction(batch: Batch) -> Tensor:
    """The output shall be near its own source: E|G(x) - x|. In [0, 2]; source and target need equal channels.

    With the source domain as target this is the autoencoder's loss. Between domains it pulls against the adversarial loss wherever
    they differ.

    Blind to the target domain.

    Source: "Mechanisms of generative image-to-image translation networks" (arXiv:2411.10368), whose claim is that it can be left out.
    """
    _same_channels(batch, "reconstruction")
    return mean_of(F.l1_loss(batch.fake.float(), batch.source, reduction="none"), batch)


@register("loss", "contrastive", unpaired=True, same_channels=True, draws_on_host=True)
class Contrastive(nn.Module):
    """A patch of the output shall be recognised as its own place in the source among other places of it (PatchNCE).

    For a place s, with z = H(enc(G(x)))_s, its positive H(enc(x))_s and the same image's other places as negatives, all of unit length:
    -log(exp(z . z+ / t) / sum exp(z . z- / t)), the mean over places and over layers of G's own encoder. H is a small network of two
    layers per encoder layer, trained with G. As in the paper's public code the positive's side is not followed by a gradient.

    Blind to a change that is the same everywhere, and to what the encoder chooses not to see.

    Source: Park, Efros, Zhang and Zhu 2020, "Contrastive learning for unpaired image-to-image translation", equations 3 and 4.

    Args:
        patches: places drawn per image and layer.
        width: length of the vectors compared.
        temperature: t, below which differences are sharpened.
        identity: the same for target images, between y and G(y), beside it (the second half of the paper's equation 5).
        flip_equivariance: in every second pass, at random, the keys are of the mirrored source, mirrored back: what a place is shall not
            depend on its side. (The paper's FastCUT mirrors the images that G translates and then the queries; since images come mirrored
            as often as not, that is the same pair of images with their names exchanged, and takes no translation more.)

    Raises:
        UserError: a number that is not positive.
    """

    def __init__(
        self,
        patches: PositiveInt = 256,
        width: PositiveInt = 256,
        temperature: PositiveFloat = 0.07,
        identity: bool = False,
        flip_equivariance: bool = False,
    ) -> None:
        super().__init__()
        for name, value in (("patches", patches), ("width", width), ("temperature", temperature)):
            if not value > 0:
                raise UserError(f"{name} is {value}: the contrastive loss needs a number above 0")
        self.patches, self.width, self.temperature = patches, width, temperature
        self.identity, self.flip_equivariance = identity, flip_equivariance
        self.heads = nn.ModuleList()

    def prepare(self, generator: Generator) -> None:
        """Build H for this generator's encoder, from the global random numbers.

        Raises:
            UserError: the generator gives no features.
        """
        channels = generator.feature_channels
        if not channels:
            raise UserError(
                f"the contrastive loss reads a generator's encoder, and {type(generator).__name__} gives no features of one: choose another"
            )
        self.heads = nn.ModuleList(
            nn.Sequential(nn.Linear(incoming, self.width), nn.ReLU(), nn.Linear(self.width, self.width)) for incoming in channels
        )
        for layer in self.heads.modules():
            if isinstance(layer, nn.Linear):
                nn.init.xavier_normal_(layer.weight, gain=0.02)
                nn.init.zeros_(layer.bias)

    def forward(self, batch: Batch, generator: Generator) -> Tensor:
        """The mean over the encoder's layers; for both halves, if asked for, their sum."""
        _same_channels(batch, "contrastive")
        loss = self._patch_nce(generator, batch.fake, batch.source)
        return loss + self._patch_nce(generator, generator(batch.target), batch.target) if self.identity else loss

    def _patch_nce(self, generator: Generator, output: Tensor, source: Tensor) -> Tensor:
        queries = generator.features(output)
        mirrored = self.flip_equivariance and bool(torch.rand(()) < 0.5)
        with torch.no_grad():
            keys = [key.flip(3) for key in generator.features(source.flip(3))] if mirrored else generator.features(source)
        return torch.stack([self._layer(head, *pair) for head, *pair in zip(self.heads, queries, keys, strict=True)]).mean()

    def _layer(self, head: nn.Module, query: Tensor, key: Tensor) -> Tensor:
        query, key = query.float().flatten(2), key.float().flatten(2)  # [N, C, places]
        places = torch.randperm(query.shape[2])[: self.patches].to(query.device)
        z, positive = (F.normalize(head(features[:, :, places].transpose(1, 2)), dim=2) for features in (query, key))
        logits = z @ positive.detach().transpose(1, 2) / self.temperature  # [N, places, places]: the diagonal is each one's own place
        own = torch.arange(len(places), device=query.device).expand(len(z), -1)
        return F.cross_entropy(logits.flatten(0, 1), own.flatten())


def _same_channels(batch: Batch, loss: str) -> None:
    if batch.source.shape[1] != batch.target.shape[1]:
        raise UserError(
            f"the loss {loss} compares the two domains, whose images have {batch.source.shape[1]} and {batch.target.shape[1]} channels: "
            "leave it out, or bring both to one number of channels"
        )
