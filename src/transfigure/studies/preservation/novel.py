"""What of the target domain is in the output: distances between sets, a classifier of domains, and copies of training images."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...metrics.distribution import FeatureMetric
from ...progress import Progress
from .representations import ROWS, check, coarse, shrunk, squared_distances, to_channels

BATCH = 32
"""Images of each domain in a step of the classifier's training."""
STEPS = 500
"""Its longest training, some 15 s of one core at 64 pixels."""
LEARNING_RATE = 2e-3
_WIDTHS = (16, 32, 64, 64)
GAIN, OFFSET = 0.3, 0.25
"""How far it jitters the contrast of an image and the level of each channel, so that a tint alone is no domain."""
_SURE, _WINDOW = 0.01, 25  # it stops when the cross-entropy has been below this, on average, over so many steps


def set_distance(metric: FeatureMetric, outputs: Tensor, real: Tensor) -> tuple[float, tuple[float, float] | None]:
    """How far one set of images is from another, by a metric of distributions.

    Args:
        metric: one with a single value; it is reset first.
        outputs: ``[N, C, H, W]`` in [-1, 1].
        real: ``[M, C, H', W']``.

    Returns:
        The value, and its 95 % interval if it has one.

    Raises:
        ValueError: these are no images.
        Skipped: too few, or other channels than the network sees.
    """
    check(outputs, "outputs")
    check(real, "real images")
    metric.reset()
    metric.update_generated(outputs)
    metric.update_real(real)
    (name, value), *_ = metric.compute().items()
    return value, metric.interval().get(name)


class DomainClassifier:
    """A small network that tells the source domain from the target domain, and is then shown the outputs.

    Four convolutions with stride 2, the mean over places, and one logit, on images whose shorter side is averaged to at most 64
    pixels. Adam on the cross-entropy of 32 real training images of each domain a step, for 500 steps, or until it has been sure for 25.
    Contrast and the level of each channel are jittered, x (1 + 0.3 u) + 0.25 v_c with u and v_c uniform in [-1, 1]: without it, a
    source with a faint tint passed for a target, and every seed had another opinion. If the domains differ in channels, the sources are
    seen with those of the targets, as a copy of them would have to be.

    Blind to a difference of brightness, contrast or tint no larger than the jitter; and to all but the easiest of the others, so that
    a generator may pass that changed only that one. It has never seen a generated image: its word on one is an extrapolation (an
    average of all targets may pass), and says nothing before its accuracy on held-out real images is known.

    Source: ours; classifying generated images with a network trained on real ones is the idea of the FCN-score (Isola et al. 2017,
    section 3.4).

    Attributes:
        network: logits above 0 are the target domain.
        channels: that it sees.
    """

    def __init__(self, network: nn.Module, channels: int) -> None:
        self.network, self.channels = network, channels

    @classmethod
    def train(cls, sources: Tensor, targets: Tensor, *, seed: int = 0, steps: int = STEPS, quiet: bool = False) -> DomainClassifier:
        """Train one, on the CPU. The same images and seed give the same network.

        Args:
            sources: real training images ``[N, C, H, W]`` in [-1, 1].
            targets: real training images of the other domain ``[M, C', H', W']``.
            seed: of the weights and the order.
            steps: at most.
            quiet: no progress.

        Raises:
            ValueError: these are no images.
        """
        check(sources, "sources")
        check(targets, "targets")
        channels = targets.shape[1]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            classifier = cls(_network(channels), channels)
        classifier._fit(classifier._seen(sources), classifier._seen(targets), seed, steps, quiet)
        return classifier

    def probability(self, images: Tensor) -> Tensor:
        """That each image is of the target domain: ``[N, C, H, W]`` in [-1, 1] to ``[N]``.

        Raises:
            ValueError: these are no images.
        """
        check(images, "images")
        with torch.no_grad():
            return torch.cat([self.network(self._seen(part)).sigmoid() for part in torch.split(images, 256)])

    def taken_for_target(self, images: Tensor) -> Tensor:
        """1 for each image that it takes for a target and 0 for a source, ``[N]``; NaN for one that is not finite."""
        probability = self.probability(images)
        return (probability > 0.5).double().masked_fill(probability.isnan(), math.nan)

    def accuracy(self, sources: Tensor, targets: Tensor) -> float:
        """On real images: the mean of the shares it gets right of each domain, so that 0.5 is chance however many there are of each."""
        right = self.taken_for_target(targets).mean() + 1 - self.taken_for_target(sources).mean()
        return right.item() / 2

    def _seen(self, images: Tensor) -> Tensor:
        return shrunk(to_channels(images, self.channels)).float().cpu().contiguous()

    def _fit(self, sources: Tensor, targets: Tensor, seed: int, steps: int, quiet: bool) -> None:
        optimizer = torch.optim.Adam(self.network.parameters(), LEARNING_RATE)
        draws = torch.Generator().manual_seed(seed)
        batches = zip(range(steps), _shuffled(len(sources), draws), _shuffled(len(targets), draws), strict=False)
        losses: list[float] = []
        with Progress(steps, "train domain classifier", "step", quiet=quiet) as progress:
            for _, chosen_sources, chosen_targets in batches:
                chosen = sources[chosen_sources], targets[chosen_targets]
                logits = [self.network(_jittered(images, draws)) for images in chosen]
                loss = (F.softplus(logits[0]).mean() + F.softplus(-logits[1]).mean()) / 2
                optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
                losses.append(loss.item())
                progress.advance()
                if len(losses) >= _WINDOW and sum(losses[-_WINDOW:]) < _SURE * _WINDOW:
                    break
        self.network.eval()


def _network(channels: int) -> nn.Module:
    layers: list[nn.Module] = []
    for incoming, outgoing in zip((channels, *_WIDTHS), _WIDTHS):
        layers += [nn.Conv2d(incoming, outgoing, 3, stride=2, padding=1), nn.LeakyReLU(0.2)]
    for layer in layers[::2]:
        nn.init.kaiming_normal_(layer.weight, 0.2)  # type: ignore[arg-type]
        nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(_WIDTHS[-1], 1), nn.Flatten(0))


def _jittered(images: Tensor, draws: torch.Generator) -> Tensor:
    n, channels = images.shape[:2]
    gain, offset = (2 * torch.rand(n, count, 1, 1, generator=draws) - 1 for count in (1, channels))
    return images * (1 + GAIN * gain) + OFFSET * offset


def _shuffled(n: int, draws: torch.Generator) -> Iterator[Tensor]:
    """Batches of indices without end: every image once in an order of chance, then again in another."""
    left = torch.empty(0, dtype=torch.long)
    while True:
        while len(left) < BATCH:
            left = torch.cat([left, torch.randperm(n, generator=draws)])
        yield left[:BATCH]
        left = left[BATCH:]


@dataclass(frozen=True, eq=False)
class NearestTraining:
    """How near each output is to a training target, and to which.

    Attributes:
        ratio: the root mean square difference to the nearest training target, over the mean of the same for held-out real targets,
            ``[N]`` float64; NaN if those are all in the training set themselves.
        coarse_ratio: the same of images averaged to 16 x 16 pixels.
        indices: of the nearest training targets, ``[N]``, pixel by pixel.
        coarse_indices: of those nearest in the coarse.
    """

    ratio: Tensor
    coarse_ratio: Tensor
    indices: Tensor
    coarse_indices: Tensor


def nearest_training(outputs: Tensor, train_targets: Tensor, held_out_targets: Tensor) -> NearestTraining:
    """Whether the outputs are copies: each one's distance to its nearest training target, relative to that of unseen real targets.

    About 1 for images that are as new as real ones, 0 for copies. Coarse and in full, since a copy may have lost its texture.

    Blind to copies that were shifted, mirrored or recoloured. A blur lies nearer to everything than a real image does, so a ratio
    somewhat below 1 may also mean smooth outputs: the nearest images must be looked at, and are named. The larger the training set,
    the nearer all are.

    Args:
        outputs: ``[N, C, H, W]`` in [-1, 1].
        train_targets: ``[M, C, H, W]``.
        held_out_targets: real targets that were not trained on, ``[K, C, H, W]``.

    Raises:
        ValueError: the shapes do not fit.

    Source: ours; nearest neighbours as a look at memorisation are as old as the GAN (Goodfellow et al. 2014, figure 2).
    """
    for images, what in ((outputs, "outputs"), (train_targets, "training targets"), (held_out_targets, "held-out targets")):
        check(images, what)
        if images.shape[1:] != outputs.shape[1:]:
            raise ValueError(f"{what} and outputs must be of one shape: got {list(images.shape)} and {list(outputs.shape)}")
    distance, indices = _nearest(outputs, train_targets)
    coarse_distance, coarse_indices = _nearest(coarse(outputs), coarse(train_targets))
    usual = _nearest(held_out_targets, train_targets)[0].mean()
    coarse_usual = _nearest(coarse(held_out_targets), coarse(train_targets))[0].mean()
    ratio, coarse_ratio = (
        d / u if u > 0 else torch.full_like(d, math.nan) for d, u in ((distance, usual), (coarse_distance, coarse_usual))
    )
    return NearestTraining(ratio, coarse_ratio, indices, coarse_indices)


def _nearest(images: Tensor, among: Tensor) -> tuple[Tensor, Tensor]:
    """The root mean square difference to the nearest of ``among``, and which it is; equal up to rounding is 0."""
    x, y = images.flatten(1), among.flatten(1)
    distances, indices = [], []
    for rows in torch.split(x, ROWS):
        apart, rounding = squared_distances(rows, y)
        nearest, index = apart.masked_fill(apart <= rounding, 0).min(1)
        distances.append((nearest / x.shape[1]).sqrt())
        indices.append(index)
    return torch.cat(distances), torch.cat(indices)
