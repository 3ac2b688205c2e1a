"""Distribution: do the generated images, as a set, look like the targets? FID, KID, precision / recall / density / coverage.

No image has a score of its own here, and nothing is paired: a generator that shuffles its outputs scores the same. All compare the
features of two sets of images; the networks that make the features are in ``extractors.py``, the mathematics in ``divergence.py``.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import ClassVar, Literal

import torch
from torch import Tensor

from ..bounds import PositiveInt
from ..errors import Skipped, UserError
from ..features.extractors import Extractor, inception, random_network
from ..registry import register
from . import divergence
from .direction import Better
from .interval import jackknife_interval
from .metric import NO_CONTEXT, TARGET_ITSELF, Interval, Metric, MetricContext, State, at_least_float32, check_images
from .statistics import Statistics

FID_IMAGES, KID_IMAGES = 2048, 100
"""Below these the estimates say so: 2,048 features have no full covariance from fewer images, and KID's error outgrows it."""


class FeatureMetric(Metric):
    """A metric that compares the features of two sets of images.

    Args:
        extractor: makes ``[N, D]`` features of a batch of images; shared by the metrics that use the same one.
    """

    bounded_by: ClassVar[tuple[str, ...]] = ("source copied",)
    pairs: ClassVar[bool] = False

    def __init__(self, extractor: Extractor) -> None:
        self.extractor = extractor
        self.reference: Statistics | None = None
        self.reset()

    @abstractmethod
    def distance(self, generated: Tensor, real: Tensor) -> dict[str, float]:
        """The values for two sets of features, float64 ``[N, D]`` and ``[M, D]``."""

    def update(self, prediction: Tensor, target: Tensor, names: Sequence[str] | None = None, context: MetricContext = NO_CONTEXT) -> None:
        """Take in the features of one batch of pairs."""
        check_images(prediction, target, names)
        self.check_mask(prediction, context)
        self.update_generated(prediction)
        self.update_real(target)

    def update_generated(self, images: Tensor) -> None:
        """Take in generated images alone, ``[N, C, H, W]`` in [-1, 1], where nothing is paired."""
        self._generated.append(self.extractor(at_least_float32(images)))

    def update_real(self, images: Tensor) -> None:
        """Take in target images alone."""
        self._real.append(self.extractor(at_least_float32(images)))

    def compare_with(self, reference: Statistics) -> None:
        """Compare with a stored set instead of targets taken in.

        Raises:
            Skipped: its features are of another network or resize, or it does not hold what this metric needs.
        """
        reference.check_made_by(self.extractor)
        if reference.features is None and not isinstance(self, FrechetMetric):
            raise Skipped(f"{reference.origin} holds a mean and a covariance only: {self.label} needs the features of every image")
        self.reference = reference

    def check_width(self) -> None:
        """See that the stored set and the generated images taken in so far have as many features each.

        Raises:
            Skipped: they have not: the stored ones are of another network, whatever its file says.
        """
        width = self._generated[0].shape[1] if self._generated else None
        if self.reference is not None and width not in (None, len(self.reference.mean)):
            raise Skipped(
                f"it holds {len(self.reference.mean):,} features of each image, and {self.extractor.name}, which {self.label} sees with, "
                f"gives {width:,}: make it anew with  transfigure statistics"
            )

    @property
    def generated(self) -> Tensor:
        """Features of the generated images, ``[N, D]`` float64."""
        return _stacked(self._generated, self.label)

    @property
    def real(self) -> Tensor:
        """Features of the targets, ``[M, D]`` float64."""
        if self.reference is not None and self.reference.features is not None:
            return self.reference.features
        return _stacked(self._real, self.label)

    def compare_with_real(self, generated: Tensor) -> dict[str, float]:
        """The values of these features, ``[N, D]``, compared with all targets."""
        return self.distance(generated, self.real)

    def compute(self) -> dict[str, float]:
        """The values over everything taken in."""
        return self.compare_with_real(self.generated)

    def interval(self) -> dict[str, Interval]:
        """Delete-a-group jackknife. Pairs are left out together, unpaired sets by the same shares, and a stored set stays as it is."""
        generated = self.generated
        if self.reference is not None:
            return _jackknife(len(generated), self.compute, lambda chosen: self.compare_with_real(generated[chosen]))
        real = self.real
        n = min(len(generated), len(real))
        return _jackknife(n, self.compute, lambda chosen: self.distance(_share(generated, chosen, n), _share(real, chosen, n)))

    def bounds(self) -> dict[str, dict[str, float]]:
        """The targets in two halves, drawn with a fixed seed, against each other."""
        real = self.real
        if len(real) < 4:
            return {}
        order = torch.randperm(len(real), generator=torch.Generator().manual_seed(0))
        half = len(real) // 2
        try:
            return {TARGET_ITSELF: self.distance(real[order[:half]], real[order[half : 2 * half]])}
        except Skipped:  # enough images for the value, and too few in half of them
            return {}

    def facts(self) -> dict[str, str]:
        """The network, its weights and how it is fed."""
        return {"network": self.extractor.name, "weights": self.extractor.weights, "resize": self.extractor.resize}

    def reset(self) -> None:
        """Forget all features."""
        self._generated: list[Tensor] = []
        self._real: list[Tensor] = []

    def state(self) -> State:
        """``generated`` and ``real``: the features of every image, in order, as some ``[n, D]`` float32; a stored set is no part of it."""
        return {"generated": list(self._generated), "real": list(self._real)}

    def merge(self, state: State) -> None:
        """Put another's features behind these; means, covariances and distances are reckoned of all images at once."""
        self._generated += state["generated"]
        self._real += state["real"]


class FrechetMetric(FeatureMetric):
    """The Fréchet distance between Gaussians fitted to the two sets of features."""

    fewest: ClassVar[int]

    def distance(self, generated: Tensor, real: Tensor) -> dict[str, float]:
        """``{name: d^2}``."""
        _comparable(generated, real, self.label)
        _enough(generated, real, 2, self.label)
        return {self.name: divergence.frechet(generated, real)}

    def compare_with_real(self, generated: Tensor) -> dict[str, float]:
        """With features, or with a stored mean and covariance."""
        stored = self.reference
        if stored is None or stored.features is not None:
            return super().compare_with_real(generated)
        _comparable(generated, stored.mean[None], self.label)
        _enough(generated, generated, 2, self.label)
        moments = generated.mean(0), divergence.covariance(generated)
        return {self.name: divergence.frechet_from_moments(*moments, stored.mean, stored.covariance)}

    def bounds(self) -> dict[str, dict[str, float]]:
        """Halves of the targets, where there are features to halve."""
        return {} if self.reference is not None and self.reference.features is None else super().bounds()

    def caution(self) -> str:
        """Too few images make a Fréchet distance too large."""
        generated = _count(self._generated)
        real = _count(self._real) if self.reference is None else self.reference.count
        n = min(generated, real or generated)
        if n < self.fewest:
            return f"of {n:,} images, where {self.fewest:,} are the least: too large, and not comparable with published values"
        unknown = "against a file that does not say how many images it was made from: too large if they were few"
        return "" if real else unknown


@register("metric", "fid", needs="weights")
class FID(FrechetMetric):
    """Fréchet Inception distance: between Gaussians fitted to the Inception features of both sets; 0 is the same.

    |m1 - m2|^2 + Tr(S1 + S2 - 2 (S1 S2)^(1/2)) on the 2,048 pooled features of the TensorFlow Inception of 2015-12-05.

    Blind to pairing, to everything the features ignore, and to what a Gaussian cannot hold; with few images it is too large.

    Source: Heusel et al. 2017, "GANs trained by a two time-scale update rule", equation 6.

    Args:
        resize: ``tf1``, the bilinear resize of the original graph, or ``clean``, antialiased bicubic (Parmar et al. 2022).
    """

    name = "fid"
    label = "FID"
    better: ClassVar[Better] = "lower"
    needs = "weights"
    of_colour: ClassVar[bool] = True
    fewest = FID_IMAGES

    def __init__(self, resize: Literal["tf1", "clean"] = "tf1") -> None:
        super().__init__(inception(resize))


@register("metric", "random_frechet")
class RandomFrechet(FrechetMetric):
    """Fréchet distance on the features of a fixed random network: needs no weights, and is NOT the FID; 0 is the same.

    For comparing translators with each other on one data set, with any number of channels. Random filters see edges, texture and
    colour, so blur, noise and wrong colours all cost; what a thing is, they do not see.

    Blind to pairing and to meaning; its scale depends on the data and is comparable with nothing else.

    Source: ours; random features after Naeem et al. 2020, "Reliable fidelity and diversity metrics", section 4.
    """

    name = "random_frechet"
    label = "Fréchet, random features"
    better: ClassVar[Better] = "lower"
    fewest = 256

    def __init__(self) -> None:
        super().__init__(random_network())


class KernelMetric(FeatureMetric):
    """The squared maximum mean discrepancy of two sets of features, times 1,000, with the kernel of the KID."""

    def distance(self, generated: Tensor, real: Tensor) -> dict[str, float]:
        """``{name: 1000 MMD^2}``."""
        _comparable(generated, real, self.label)
        _enough(generated, real, 2, self.label)
        return {self.name: 1000 * divergence.kid(generated, real)[0]}

    def interval(self) -> dict[str, Interval]:
        """1.96 standard errors on both sides."""
        value, error = divergence.kid(self.generated, self.real)
        return {} if not math.isfinite(error) else {self.name: (1000 * (value - 1.96 * error), 1000 * (value + 1.96 * error))}

    def caution(self) -> str:
        """Few images make it noisy."""
        n = min(_count(self._generated), _count(self._real) if self.reference is None else self.reference.count)
        return f"of {n:,} images, where {KID_IMAGES:,} are the least: too noisy to compare" if n < KID_IMAGES else ""


@register("metric", "kid", needs="weights")
class KID(KernelMetric):
    """Kernel Inception distance, times 1,000: squared maximum mean discrepancy of Inception features; 0 on average for equal sets.

    The unbiased estimate over all images with the kernel k(x, y) = (x.y / d + 1)^3, d = 2,048. It can be negative. Its interval is
    1.96 standard errors, by the jackknife.

    Blind to pairing and to everything the features ignore.

    Source: Bińkowski et al. 2018, "Demystifying MMD GANs", section 4.

    Args:
        resize: ``tf1``, the bilinear resize of the original graph, or ``clean``, antialiased bicubic (Parmar et al. 2022).
    """

    name = "kid"
    label = "KID x 1,000"
    better: ClassVar[Better] = "lower"
    needs = "weights"
    of_colour: ClassVar[bool] = True

    def __init__(self, resize: Literal["tf1", "clean"] = "tf1") -> None:
        super().__init__(inception(resize))


@register("metric", "random_kid")
class RandomKID(KernelMetric):
    """The KID's estimate on the features of a fixed random network, times 1,000: needs no weights, and is NOT the KID.

    Beside ``random_frechet``, whose value falls as images are added: this one is unbiased, so that test sets of different sizes can be
    compared. The kernel is k(x, y) = (x.y / d + 1)^3, d = 2 C + 176. It can be negative. Its interval is 1.96 standard errors.

    Blind to pairing and to meaning; its scale depends on the data and is comparable with nothing else.

    Source: Bińkowski et al. 2018, "Demystifying MMD GANs", section 4; the features are ours (see ``random_frechet``).
    """

    name = "random_kid"
    label = "KID x 1,000, random features"
    better: ClassVar[Better] = "lower"

    def __init__(self) -> None:
        super().__init__(random_network())


@register("metric", "prdc", needs="weights")
class PRDC(FeatureMetric):
    """Precision, recall, density and coverage: which generated images lie among the real ones, and which real ones among them.

    A ball around each image reaches to its k-th nearest neighbour of its own set. Precision: the share of generated images in a real
    ball. Recall: of real images in a generated ball. Density: real balls a generated image lies in, over k. Coverage: the share of
    real balls with a generated image inside. On the Inception features of ``fid``.

    Blind to pairing and to how far outside an image lies; one outlier's large ball raises precision (density and coverage mend that).

    Source: Kynkäänniemi et al. 2019, "Improved precision and recall metric"; Naeem et al. 2020, equations 5 to 8.

    Args:
        neighbours: k, which of its own set's neighbours a ball reaches to.
        resize: ``tf1``, the bilinear resize of the original graph, or ``clean``, antialiased bicubic (Parmar et al. 2022).
    """

    name = "prdc"
    label = "precision, recall, density, coverage"
    better: ClassVar[Better] = "higher"
    needs = "weights"
    of_colour: ClassVar[bool] = True
    values: ClassVar = {"precision": "Precision", "recall": "Recall", "density": "Density", "coverage": "Coverage"}

    def __init__(self, neighbours: PositiveInt = 5, resize: Literal["tf1", "clean"] = "tf1") -> None:
        if neighbours < 1:
            raise UserError(f"neighbours is {neighbours}: a ball reaches at least to the first (3 and 5 are usual)")
        super().__init__(inception(resize))
        self.neighbours = neighbours

    def distance(self, generated: Tensor, real: Tensor) -> dict[str, float]:
        """The four values."""
        _comparable(generated, real, self.label)
        _enough(generated, real, self.neighbours + 1, self.label)
        return divergence.prdc(generated, real, self.neighbours)

    def interval(self) -> dict[str, Interval]:
        """As for every feature metric; all but the density are shares, of at most 1."""
        return {name: ends if name == "density" else (ends[0], min(ends[1], 1.0)) for name, ends in super().interval().items()}


def _stacked(batches: list[Tensor], label: str) -> Tensor:
    if not batches:
        raise ValueError(f"{label} has seen no images: call update(prediction, target) first")
    for batch in batches:
        _comparable(batches[0], batch, label)
    return torch.cat(batches).double()


def _count(batches: list[Tensor]) -> int:
    return sum(map(len, batches))


def _share(features: Tensor, chosen: Tensor, n: int) -> Tensor:
    """The rows that stay when of n shares only the chosen ones do. Row i belongs to share i mod n: of n rows each is its own."""
    return features[torch.isin(torch.arange(len(features)) % n, chosen)]


def _jackknife(n: int, value: Callable[[], dict[str, float]], without: Callable[[Tensor], dict[str, float]]) -> dict[str, Interval]:
    try:
        found = jackknife_interval(n, value(), without)
    except Skipped:  # enough images for the value, and too few to leave any out
        return {}
    return {name: (max(low, 0.0), high) for name, (low, high) in found.items() if math.isfinite(high)}  # nothing here can be negative


def _comparable(generated: Tensor, real: Tensor, label: str) -> None:
    if generated.shape[1] != real.shape[1]:
        raise Skipped(
            f"{label} compares features of one network, and here are {generated.shape[1]:,} of each image and {real.shape[1]:,} "
            "(if these are images of different channels, bring them to one kind)"
        )


def _enough(generated: Tensor, real: Tensor, least: int, label: str) -> None:
    n = min(len(generated), len(real))
    if n < least:
        raise Skipped(f"{label} compares sets of at least {least} images, and here {'is' if n == 1 else 'are'} {n}")
