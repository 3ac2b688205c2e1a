"""Perceptual distance: how different would a person call the prediction and its target? LPIPS and DISTS.

Both compare the activations of a network trained to classify photographs on the two images, weighted to agree with human judgements.
They are comparable with published values only on the published weights, and only at the same image size: nothing is resized here. A very
large image is compared in parts.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar, Literal
from weakref import WeakValueDictionary

import torch
import torch.nn.functional as F
from torch import Tensor

from ..data.regions import region_grid
from ..errors import Skipped, UserError, did_you_mean
from ..features import lpips, weights
from ..features.extractors import in_colour
from ..features.trunks.classifiers import Shapes, Trunk, take, trunk
from ..registry import register
from ..wording import counted
from .direction import Better
from .metric import ImageMetric, State

PIXELS_AT_ONCE = 2**18
"""Four images of 256 x 256: of these VGG-16 makes 128 MB of activations."""

LARGEST_AT_ONCE, PART = 2**22, 1024
"""Pixels of an image above which it is compared in parts, and the most pixels a side of one: of 2,048 x 2,048 pixels VGG-16 makes 2 GB."""

CACHED_BATCHES, CACHED_BYTES = 16, 2**29
"""How many batches' activations a trunk caches, and how much memory they may take."""


class CachedTrunk:
    """A trunk with the activations of its latest inputs.

    The same targets are compared with several predictions in turn, and one prediction (the mean training target) with every
    target, each time by another metric object. Equality decides, not identity: batches are copied, split and
    converted on the way here.
    """

    def __init__(self, trunk: Trunk) -> None:
        self.trunk = trunk
        self._cache: list[tuple[str, Tensor, list[Tensor]]] = []

    def lookup(self, metric: str, images: Tensor) -> list[Tensor] | None:
        """The activations that a metric has cached of these very images, or None."""
        for index, (owner, known, activations) in enumerate(self._cache):
            if owner == metric and torch.equal(known, images):
                self._cache.append(self._cache.pop(index))
                return activations
        return None

    def store(self, metric: str, images: Tensor, activations: list[Tensor]) -> None:
        """Cache them, and drop the least recently used."""
        self._cache.append((metric, images.clone(), activations))
        while len(self._cache) > CACHED_BATCHES or self.cached_bytes > CACHED_BYTES:
            self._cache.pop(0)

    @property
    def cached_bytes(self) -> int:
        """Memory of the cached activations."""
        return sum(activation.nbytes for _, _, activations in self._cache for activation in activations)


_cached_trunks: WeakValueDictionary[tuple[str, str], CachedTrunk] = WeakValueDictionary()
"""By network and SHA-256, for as long as a metric uses it: a network is in memory once, and not when nobody needs it."""


def _cached_trunk(network: str, device: torch.device) -> tuple[CachedTrunk, str]:
    """The one cached trunk with a network's weights, which are read only if nobody else has, and their SHA-256."""
    digest = weights.find(network).sha256
    cached = _cached_trunks.get((network, digest))
    if cached is None:
        state, digest = weights.load(network)
        cached = _cached_trunks[network, digest] = CachedTrunk(trunk(network, state, device))
    return cached, digest


class PerceptualMetric(ImageMetric):
    """A metric of the activations of a classifier's trunk.

    Attributes:
        heads_label: what the heads are called, the weights that were fitted to human judgements.
        smallest_input: the smallest height and width it can compare.

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
    of_colour: ClassVar[bool] = True
    chunk_size = 16
    heads_label: ClassVar[str]
    smallest_input = 1

    def __init__(self, network: str, heads: str) -> None:
        super().__init__()
        self._in_parts = 0
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        weights.need(network, heads)
        self.cached, digest = _cached_trunk(network, self.device)
        table = self.cached.trunk.network
        state, heads_digest = weights.load(heads)
        self.heads = take(state, self.head_shapes(table.widths), f"the published {self.heads_label} for {table.label}", self.device)
        self.weights = f"{digest} + {heads_digest}"

    @abstractmethod
    def head_shapes(self, widths: tuple[int, ...]) -> Shapes:
        """Of the heads for activations of so many channels, by published name."""

    @abstractmethod
    def features(self, images: Tensor) -> list[Tensor]:
        """The features that are compared, layer by layer: ``[N, 3, H, W]`` in [-1, 1] to some ``[N, C, h, w]``."""

    @abstractmethod
    def distance(self, x: list[Tensor], y: list[Tensor]) -> Tensor:
        """Between the features of N images and of N others, ``[N]``."""

    @torch.no_grad()
    def score(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Per image.

        Raises:
            Skipped: neither grey nor colour, or too small for the network.
        """
        height, width = prediction.shape[-2:]
        if min(height, width) < self.smallest_input:
            smallest, network = self.smallest_input, self.cached.trunk.network.label
            raise Skipped(f"{self.label} with {network} needs at least {smallest} x {smallest} pixels, and these are {width} x {height}")
        if height * width > LARGEST_AT_ONCE:
            return self._score_in_parts(prediction, target)
        share = max(1, PIXELS_AT_ONCE // (height * width))
        x, y = (torch.split(in_colour(images, self.label).to(self.device, torch.float32), share) for images in (prediction, target))
        return torch.cat([self.distance(self._cached_features(x_i), self._cached_features(y_i)) for x_i, y_i in zip(x, y, strict=True)])

    def _score_in_parts(self, prediction: Tensor, target: Tensor) -> Tensor:
        """The mean over parts that cover the images once, by their numbers of pixels."""
        height, width = prediction.shape[-2:]
        total = torch.zeros(len(prediction), dtype=torch.float64)
        for box in region_grid(height, width, -(-height // PART), -(-width // PART)).values():
            part = (..., slice(box.top, box.bottom), slice(box.left, box.right))
            total += self.score(prediction[part], target[part]).cpu().double() * box.height * box.width
        self._in_parts += len(prediction)
        return total / (height * width)

    def caution(self) -> str:
        """Large images are not seen as a whole."""
        if not self._in_parts:
            return ""
        which = f"{self._in_parts} of {counted(len(self.scores), 'image')}"
        return f"{which}, too large for the network at once: the mean of parts of {PART:,} pixels"

    def reset(self) -> None:
        """Forget all scores."""
        super().reset()
        self._in_parts = 0

    def state(self) -> State:
        """The score of every image, and ``in_parts``, how many of them were compared in parts."""
        return super().state() | {"in_parts": self._in_parts}

    def merge(self, state: State) -> None:
        """Put another's scores behind these."""
        super().merge(state)
        self._in_parts += state["in_parts"]

    def facts(self) -> dict[str, str]:
        """The network, and the SHA-256 of its weights and of its heads."""
        return {"network": f"{self.cached.trunk.network.label} + {self.heads_label}", "weights": self.weights, "resize": "none"}

    def _cached_features(self, images: Tensor) -> list[Tensor]:
        activations = self.cached.lookup(self.name, images)
        if activations is None:
            activations = self.features(images)
            self.cached.store(self.name, images, activations)
        return activations


@register("metric", "lpips", needs="weights")
class LPIPS(PerceptualMetric):
    """Learned perceptual image patch similarity: a weighted distance between a classifier's activations; 0 is identical.

    Sum over layers l of the mean over pixels of sum_c w_lc (x_lc - y_lc)^2, where x_l and y_l are activations divided by their norm
    over channels at each pixel. The heads w are those of version 0.1, which scales its input; grey images count as colour.

    Blind to what the weighted channels do not hold: exact colour and exact place cost little, and a pattern the network was never
    trained on (a microscope's, a satellite's) is compared as if it were a photograph.

    Source: Zhang et al. 2018, "The unreasonable effectiveness of deep features as a perceptual metric", equation 1.

    Args:
        network: the classifier: ``alex`` (the default of its authors), ``vgg`` or ``squeeze``.
    """

    name = "lpips"
    label = "LPIPS"
    heads_label = "LPIPS 0.1 heads"

    def __init__(self, network: Literal["alex", "vgg", "squeeze"] = "alex") -> None:
        if network not in lpips.NETWORKS:
            raise UserError(f"LPIPS has no network {network!r}{did_you_mean(network, lpips.NETWORKS)}")
        super().__init__(lpips.NETWORKS[network], f"lpips_{network}")
        self.smallest_input = self.cached.trunk.network.smallest_input

    def head_shapes(self, widths: tuple[int, ...]) -> Shapes:
        """One weight for each channel of each layer."""
        return lpips.head_shapes(widths)

    def features(self, images: Tensor) -> list[Tensor]:
        """Activations of unit norm."""
        return lpips.unit_norm(self.cached.trunk(lpips.standard(images)))

    def distance(self, x: list[Tensor], y: list[Tensor]) -> Tensor:
        """Equation 1."""
        return lpips.distance(self.heads.values(), x, y)


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
    heads_label = "DISTS weights"

    def __init__(self) -> None:
        super().__init__("vgg16", "dists")
        alpha, beta = (self.heads[name].flatten() for name in ("alpha", "beta"))
        self.alpha, self.beta = alpha / (alpha.sum() + beta.sum()), beta / (alpha.sum() + beta.sum())

    def head_shapes(self, widths: tuple[int, ...]) -> Shapes:
        """One weight for each channel, the image's three first."""
        shape = (1, 3 + sum(widths), 1, 1)
        return {"alpha": shape, "beta": shape}

    def features(self, images: Tensor) -> list[Tensor]:
        """The image in [0, 1] and the activations of its five stages."""
        return [(images + 1) / 2, *self.cached.trunk(lpips.standard(images), pool=root_mean_square_pool)]

    def distance(self, x: list[Tensor], y: list[Tensor]) -> Tensor:
        """The equation above; it sums what is missing from likeness, so that equal images are at a distance of exactly 0."""
        texture, structure = (torch.cat(terms, 1) for terms in zip(*map(_similarities, x, y), strict=True))
        return (self.alpha * (1 - texture) + self.beta * (1 - structure)).sum(1)


def root_mean_square_pool(x: Tensor) -> Tensor:
    """L2 pooling: the root of the mean of squares under a 3 x 3 Hann window, every second pixel (Ding et al. 2020, section 3)."""
    side = torch.hann_window(5, periodic=False, device=x.device)[1:-1]  # (1, 2, 1) / 2: a Hann window's ends are zero
    window = torch.outer(side, side) / side.sum().square()
    squares = F.conv2d(x.square(), window.expand(x.shape[1], 1, 3, 3), stride=2, padding=1, groups=x.shape[1])
    return (squares + 1e-12).sqrt()


def _similarities(x: Tensor, y: Tensor, c: float = 1e-6) -> tuple[Tensor, Tensor]:
    """Of texture and of structure, ``[N, C]`` each. Deviations are multiplied, not products centred: cov of equals is their variance."""
    mx, my = x.mean((2, 3), keepdim=True), y.mean((2, 3), keepdim=True)
    vx, vy = (x - mx).square().mean((2, 3)), (y - my).square().mean((2, 3))
    cov = ((x - mx) * (y - my)).mean((2, 3))
    mx, my = mx.flatten(1), my.flatten(1)
    return (2 * mx * my + c) / (mx.square() + my.square() + c), (2 * cov + c) / (vx + vy + c)
