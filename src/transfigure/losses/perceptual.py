"""Distances between what a network sees in two images: a classifier trained on photographs, or the discriminator itself.

Their gradient reaches the generated image through the network, which is not trained by them.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from ..data.batch import Batch
from ..errors import UserError, did_you_mean
from ..features import lpips, weights
from ..features.trunks.classifiers import NETWORKS, Trunk, take, trunk
from ..networks.base import DiscriminatorOutput, Generator
from ..registry import register
from .gradient_penalty import at_least_float32
from .pixel import compared

DISTANCES = {**{f"lpips_{kind}": name for kind, name in lpips.NETWORKS.items()}, "vgg16": "vgg16"}
"""The network behind each distance; LPIPS' heads are weights of the distance's own name."""
JOHNSON_LAYERS = 4
"""relu1_2, relu2_2, relu3_3 and relu4_3 of VGG-16 (Johnson et al. 2016, figure 2)."""


@register("loss", "feature_matching")
def feature_matching(batch: Batch, real_output: DiscriminatorOutput, fake_output: DiscriminatorOutput) -> Tensor:
    """What D's inner layers see in the generated image shall be what they see in the target: E|D_i(x, G(x)) - D_i(x, y)|.

    The mean over D's scales, over the layers i before the logits, and over each layer's values, so its weight needs no change with the
    depth of D. The paper sums over layers and scales: its weight 10 is here 10 x layers x scales, 40 for one ``patch`` of 70 pixels. It
    needs an adversarial loss, whose D it reads: the features change as D learns, and D is not trained by this term. From 0 up.

    Blind to whatever D does not look at; and where several outputs are plausible it draws towards their mean, as pixel losses do, but in
    D's layers.

    Source: Wang et al. 2018, "High-resolution image synthesis and semantic manipulation with conditional GANs" (pix2pixHD,
    arXiv:1711.11585), section 3.3, equation 4.

    Raises:
        UserError: the discriminator gives no features.
    """
    distances = [
        [F.l1_loss(fake.to(at_least_float32(fake)), real.detach().to(at_least_float32(real))) for fake, real in zip(*layers, strict=True)]
        for layers in zip(fake_output.features, real_output.features, strict=True)
    ]
    if not any(distances):
        raise UserError("the loss feature_matching reads the discriminator's inner layers, and this one gives none: choose another")
    return torch.stack([torch.stack(scale).mean() for scale in distances if scale]).mean()


@register("loss", "perceptual", needs="weights")
class Perceptual:
    """What a network trained to classify photographs sees in the generated image shall be what it sees in the target.

    ``lpips_...``: LPIPS, sum_l mean_hw sum_c w_lc (x_lc - y_lc)^2 between activations of unit norm, as the metric ``lpips``. ``vgg16``: the
    mean over relu1_2, relu2_2, relu3_3 and relu4_3 of the mean squared difference of the activations as they are; the paper takes one
    layer of the four. Both are 0 for equal images and have no upper end. Grey images count as colour, other numbers of channels are
    refused. Nothing is resized.

    The network is frozen and no part of a checkpoint or model; its weights are found as those of the metrics are (``transfigure weights``,
    or ``--weights vgg16=FILE``). A score by ``lpips`` with the same network says little of a generator trained on it.

    Blind to what the network does not see: exact colour costs little, and of the finest patterns AlexNet, whose first layer looks at every
    fourth place, sees less than VGG-16, the default.

    Source: Zhang et al. 2018, "The unreasonable effectiveness of deep features as a perceptual metric", equation 1; ``vgg16``: Johnson,
    Alahi and Fei-Fei 2016, "Perceptual losses for real-time style transfer and super-resolution", section 3.2, equation 2.

    Args:
        distance: LPIPS on VGG-16, AlexNet or SqueezeNet, or the plain distance of VGG-16's activations.

    Raises:
        UserError: no such distance.
    """

    def __init__(self, distance: Literal["lpips_vgg", "lpips_alex", "lpips_squeeze", "vgg16"] = "lpips_vgg") -> None:
        if distance not in DISTANCES:
            raise UserError(f"the loss perceptual has no distance {distance!r}{did_you_mean(distance, DISTANCES)}")
        self.distance = distance
        self._trunk: Trunk | None = None
        self._heads: list[Tensor] = []

    def prepare(self, generator: Generator) -> None:
        """Read the weights, before anything is trained.

        Raises:
            Missing: they are nowhere; the message says what to put where.
            UserError: a file is not what its name says, or G makes images that are neither grey nor colour.
        """
        _check_channels(generator.target_channels)
        self._read()

    def __call__(self, batch: Batch) -> Tensor:
        """The mean over the batch."""
        generated, target = (images.to(torch.float32) for images in compared(batch))
        _check_channels(target.shape[1])
        network = self._on(target.device)
        smallest, (height, width) = network.network.smallest_input, target.shape[-2:]
        if min(height, width) < smallest:
            raise UserError(
                f"the loss perceptual with {self.distance} needs at least {smallest} x {smallest} pixels, and these are {width} x "
                f"{height}: use a larger --data.crop_size"
            )
        with torch.autocast(target.device.type, enabled=False):  # squares of activations overflow half precision
            x = self._features(network, generated)
            with torch.no_grad():
                y = self._features(network, target)
            if self._heads:
                return lpips.distance(self._heads, x, y).mean()
            return torch.stack([F.mse_loss(x_l, y_l) for x_l, y_l in zip(x, y, strict=True)]).mean()

    def _features(self, network: Trunk, images: Tensor) -> list[Tensor]:
        activations = network(lpips.standard(images.expand(-1, 3, -1, -1)), stages=None if self._heads else JOHNSON_LAYERS)
        return lpips.unit_norm(activations) if self._heads else activations

    def _on(self, device: torch.device) -> Trunk:
        """The network, on the device of the images, where it stays."""
        network = self._trunk or self._read()
        if next(iter(network.state.values())).device != device:
            self._heads = [head.to(device) for head in self._heads]
            network = self._trunk = Trunk(network.network, {key: value.to(device) for key, value in network.state.items()})
        return network

    def _read(self) -> Trunk:
        name, has_heads = DISTANCES[self.distance], self.distance.startswith("lpips_")
        weights.need(name, *([self.distance] if has_heads else []))
        self._trunk = trunk(name, weights.load(name)[0])
        if has_heads:
            label = f"the published LPIPS 0.1 heads for {NETWORKS[name].label}"
            heads = take(weights.load(self.distance)[0], lpips.head_shapes(NETWORKS[name].widths), label)
            self._heads = list(heads.values())
        return self._trunk


def _check_channels(channels: int) -> None:
    if channels not in (1, 3):
        raise UserError(
            f"the loss perceptual sees colour or grey pictures, and the targets have {channels} channels: leave it out of objective.terms"
        )
