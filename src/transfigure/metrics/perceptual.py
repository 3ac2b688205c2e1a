"""Perceptual distance: how different would a person call the prediction and its target? LPIPS and DISTS.

Both compare what a network trained to classify photographs sees in the two images, weighted so as to agree with people's judgements.
They are comparable with published values only on the published weights, and only at the same image size: nothing is resized here.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar, Literal
from weakref import WeakValueDictionary

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import Skipped, UserError, did_you_mean
from ..features import weights
from ..features.extractors import in_colour
from ..features.trunks.classifiers import Shapes, Trunk, take, trunk
from ..registry import register
from .direction import Better
from .metric import ImageMetric

PIXELS_AT_ONCE = 2**18
"""Four images of 256 x 256: of these VGG-16 makes 128 MB of activations."""

REMEMBERED_BATCHES, REMEMBERED_BYTES = 16, 2**29
"""How many batches' activations a sight keeps, and how much memory they may take."""


class Sight:
    """A trunk with the activations of what it saw last.

    The same targets are compared with several predictions in turn, and one prediction (the mean training target) with every
    target, each time by another metric object. Equality decides, not identity: batches are copied, split and lifted on the way here.
    """

    def __init__(self, seeing: Trunk) -> None:
        self.trunk = seeing
        self._seen: list[tuple[str, Tensor, list[Tensor]]] = []

    def recall(self, whose: str, images: Tensor) -> list[Tensor] | None:
        """What a metric made of these very images, if that is still remembered."""
        for index, (metric, known, activations) in enumerate(self._seen):
            if metric == whose and torch.equal(known, images):
                self._seen.append(self._seen.pop(index))
                return activations
        return None

    def remember(self, whose: str, images: Tensor, activations: list[Tensor]) -> None:
        """Keep them, and forget what was not asked for longest."""
        self._seen.append((whose, images.clone(), activations))
        while len(self._seen) > REMEMBERED_BATCHES or self.remembered_bytes > REMEMBERED_BYTES:
            self._seen.pop(0)

    @property
    def remembered_bytes(self) -> int:
        """What the remembered activations take."""
        return sum(activation.nbytes for _, _, activations in self._seen for activation in activations)


_sights: WeakValueDictionary[tuple[str, str], Sight] = WeakValueDictionary()
"""By network and SHA-256, for as long as a metric uses it: a network is in memory once, and not when nobody needs it."""


def _sight(network: str, device: torch.device) -> tuple[Sight, str]:
    """The one sight with a network's weights, which are read only if nobody else has, and their SHA-256."""
    digest = weights.find(network).sha256
    sight = _sights.get((network, digest))
    if sight is None:
        state, digest = weights.load(network)
        sight = _sights[network, digest] = Sight(trunk(network, state, device))
    return sight, digest


class PerceptualMetric(ImageMetric):
    """A metric of the activations of a classifier's trunk.

    Attributes:
        fitted: what the heads are called, the weights that were fitted to people's judgements.
        least: the smallest height and width it can judge.

    Args:
        network: of :data:`.trunks.classifiers.NETWORKS`, and the name of its weights.
        heads: the name of the heads' weights.

    Raises:
        Missing: one of the two files of weights is not there.
        UserError: one of them is not what its name says.
    """

    perfect = 0.0
    better: ClassVar[Better] = "lower"
    needs = "weights"
    at_once = 16
    fitted: ClassVar[str]
    least = 1

    def __init__(self, network: str, heads: str) -> None:
        super().__init__()
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        weights.need(network, heads)
        self.sight, digest = _sight(network, self.device)
        seen = self.sight.trunk.network
        state, heads_digest = weights.load(heads)
        self.heads = take(state, self.head_shapes(seen.widths), f"the published {self.fitted} for {seen.label}", self.device)
        self.weights = f"{digest} + {heads_digest}"

    @abstractmethod
    def head_shapes(self, widths: tuple[int, ...]) -> Shapes:
        """Of the heads for activations of so many channels, by published name."""

    @abstractmethod
    def see(self, images: Tensor) -> list[Tensor]:
        """What is compared, layer by layer: ``[N, 3, H, W]`` in [-1, 1] to some ``[N, C, h, w]``."""

    @abstractmethod
    def distance(self, x: list[Tensor], y: list[Tensor]) -> Tensor:
        """Of what was seen in N images and in N others, ``[N]``."""

    @torch.no_grad()
    def score(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Per image.

        Raises:
            Skipped: neither grey nor colour, or too small for the network.
        """
        height, width = prediction.shape[-2:]
        if min(height, width) < self.least:
            network = self.sight.trunk.network.label
            raise Skipped(
                f"{self.label} with {network} needs at least {self.least} x {self.least} pixels, and these are {width} x {height}"
            )
        share = max(1, PIXELS_AT_ONCE // (height * width))
        x, y = (torch.split(in_colour(images, self.label).to(self.device, torch.float32), share) for images in (prediction, target))
        return torch.cat([self.distance(self._seen(x_i), self._seen(y_i)) for x_i, y_i in zip(x, y, strict=True)])

    def facts(self) -> dict[str, str]:
        """The network, and the SHA-256 of its weights and of its heads."""
        return {"network": f"{self.sight.trunk.network.label} + {self.fitted}", "weights": self.weights, "resize": "none"}

    def _seen(self, images: Tensor) -> list[Tensor]:
        activations = self.sight.recall(self.name, images)
        if activations is None:
            activations = self.see(images)
            self.sight.remember(self.name, images, activations)
        return activations


TRUNKS = {"alex": "alexnet", "vgg": "vgg16", "squeeze": "squeezenet"}
"""What LPIPS calls its networks, and what we call them."""


@register("metric", "lpips", needs="weights")
class LPIPS(PerceptualMetric):
    """Learned perceptual image patch similarity: a weighted distance between a classifier's activations; 0 is identical.

    Sum over layers l of the mean over pixels of sum_c w_lc (x_lc - y_lc)^2, where x_l and y_l are activations divided by their norm
    over channels at each pixel. The heads w are those of version 0.1, which scales its input; grey images count as colour.

    Blind to what the weighted channels do not hold: exact colour and exact place cost little, and a pattern the network was never
    trained on (a microscope's, a satellite's) is judged as if it were a photograph.

    Source: Zhang et al. 2018, "The unreasonable effectiveness of deep features as a perceptual metric", equation 1.

    Args:
        network: the classifier: ``alex`` (the default of its authors), ``vgg`` or ``squeeze``.
    """

    name = "lpips"
    label = "LPIPS"
    fitted = "LPIPS 0.1 heads"

    def __init__(self, network: Literal["alex", "vgg", "squeeze"] = "alex") -> None:
        if network not in TRUNKS:
            raise UserError(f"LPIPS has no network {network!r}{did_you_mean(network, TRUNKS)}")
        super().__init__(TRUNKS[network], f"lpips_{network}")
        self.least = self.sight.trunk.network.least

    def head_shapes(self, widths: tuple[int, ...]) -> Shapes:
        """One weight for each channel of each layer."""
        return {f"lin{i}.model.1.weight": (1, width, 1, 1) for i, width in enumerate(widths)}

    def see(self, images: Tensor) -> list[Tensor]:
        """Activations of unit norm."""
        return [x / (x.square().sum(1, keepdim=True).sqrt() + 1e-10) for x in self.sight.trunk(_standard(images))]

    def distance(self, x: list[Tensor], y: list[Tensor]) -> Tensor:
        """Equation 1."""
        layers = zip(self.heads.values(), x, y, strict=True)
        return torch.stack([(w * (x_l - y_l).square()).sum(1).mean((1, 2)) for w, x_l, y_l in layers]).sum(0)


@register("metric", "dists", needs="weights")
class DISTS(PerceptualMetric):
    """Deep image structure and texture similarity: one minus a weighted likeness of VGG-16 activations; 0 is identical.

    1 - sum(alpha l + beta s) / sum(alpha + beta) over the channels of the image itself, in [0, 1], and of five stages:
    l = (2 mx my + c) / (mx^2 + my^2 + c) compares spatial means, which is texture; s = (2 cov + c) / (vx + vy + c) compares
    structure; c = 1e-6. Max pools are replaced by the root of a windowed mean of squares. Grey images count as colour.

    Blind to where texture sits: a resampled texture costs little, as people agree, and so do small shifts. The last stage sees
    an image of 16 pixels or fewer as a single one, and then compares no structure.

    Source: Ding et al. 2020, "Image quality assessment: unifying structure and texture similarity", section 3. Their example shrinks
    images to 256 pixels on the shorter side; ours does not resize, so shrink images before comparing with such values.
    """

    name = "dists"
    label = "DISTS"
    fitted = "DISTS weights"

    def __init__(self) -> None:
        super().__init__("vgg16", "dists")
        alpha, beta = (self.heads[name].flatten() for name in ("alpha", "beta"))
        self.alpha, self.beta = alpha / (alpha.sum() + beta.sum()), beta / (alpha.sum() + beta.sum())

    def head_shapes(self, widths: tuple[int, ...]) -> Shapes:
        """One weight for each channel, the image's three first."""
        shape = (1, 3 + sum(widths), 1, 1)
        return {"alpha": shape, "beta": shape}

    def see(self, images: Tensor) -> list[Tensor]:
        """The image in [0, 1] and the activations of its five stages."""
        return [(images + 1) / 2, *self.sight.trunk(_standard(images), pool=root_mean_square_pool)]

    def distance(self, x: list[Tensor], y: list[Tensor]) -> Tensor:
        """The equation above; it sums what is missing from likeness, so that equal images are at a distance of exactly 0."""
        texture, structure = (torch.cat(terms, 1) for terms in zip(*map(_likeness, x, y), strict=True))
        return (self.alpha * (1 - texture) + self.beta * (1 - structure)).sum(1)


def root_mean_square_pool(x: Tensor) -> Tensor:
    """L2 pooling: the root of the mean of squares under a 3 x 3 Hann window, every second pixel (Ding et al. 2020, section 3)."""
    side = torch.hann_window(5, periodic=False, device=x.device)[1:-1]  # (1, 2, 1) / 2: a Hann window's ends are zero
    window = torch.outer(side, side) / side.sum().square()
    squares = F.conv2d(x.square(), window.expand(x.shape[1], 1, 3, 3), stride=2, padding=1, groups=x.shape[1])
    return (squares + 1e-12).sqrt()


def _likeness(x: Tensor, y: Tensor, c: float = 1e-6) -> tuple[Tensor, Tensor]:
    """Of texture and of structure, ``[N, C]`` each. Deviations are multiplied, not products centred: cov of equals is their variance."""
    mx, my = x.mean((2, 3), keepdim=True), y.mean((2, 3), keepdim=True)
    vx, vy = (x - mx).square().mean((2, 3)), (y - my).square().mean((2, 3))
    cov = ((x - mx) * (y - my)).mean((2, 3))
    mx, my = mx.flatten(1), my.flatten(1)
    return (2 * mx * my + c) / (mx.square() + my.square() + c), (2 * cov + c) / (vx + vy + c)


def _standard(images: Tensor) -> Tensor:
    """[-1, 1] to what the classifiers were trained on: ImageNet's mean is 0 and its deviation 1, channel by channel."""
    mean, deviation = (images.new_tensor(values).view(1, 3, 1, 1) for values in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    return ((images + 1) / 2 - mean) / deviation
