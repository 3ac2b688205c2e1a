"""Dependence: does the output depend on the input at all, and does it vary with the noise?

A generator can collapse and give one picture whatever it is shown, as the one trained without a condition did in Isola et al. 2017,
section 4.2. Its picture may look real, and a distortion metric takes it for a blur; these metrics see it for what it is.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from ..data.batch import row_bands
from ..errors import Skipped
from ..registry import register
from .direction import Better
from .interval import bootstrap_interval, jackknife_interval
from .metric import (
    NO_CONTEXT,
    TARGET_ITSELF,
    Interval,
    Metric,
    MetricContext,
    State,
    at_least_float32,
    check_images,
    stacked_alike,
)

GRID = 16
"""Pixels per side of what images are averaged to: what a picture is of stays, texture goes, and sizes no longer differ."""

DEPENDENCE_IMAGES = 20
"""Below this the values are called unsure: some 400 pairs, but only 20 pictures."""

_ROWS_AT_ONCE = 512


@register("metric", "dependence")
class Dependence(Metric):
    """Whether the output depends on the input: how much outputs vary over inputs, and how often each is nearest to its own target.

    On images averaged to 16 x 16 pixels, with d the mean absolute difference and i != j over all pairs of images:
    variation across inputs = E d(G(x_i), G(x_j)) / E d(y_i, y_j); 0 is always the same picture, 1 as varied as the targets, and more
    is not better. Own target nearest = P(d(G(x_i), y_i) < d(G(x_i), y_j)), ties counted half; 0.5 if the output ignores its input,
    and 1 if it always identifies its input.

    Blind to everything smaller than a sixteenth of the image, and to quality: a poor copy depends on its input as well as a good one.

    Source: ours, for the collapse that Isola et al. 2017, section 4.2, describe below table 1.
    """

    name = "dependence"
    label = "Dependence on the input"
    better: ClassVar[Better] = "higher"
    better_of: ClassVar = {"variation_across_inputs": "one"}
    values: ClassVar = {"variation_across_inputs": "Variation across inputs", "own_target_nearest": "Own target nearest"}
    bounded_by: ClassVar[tuple[str, ...]] = ()  # a copied source varies as it likes: to vary more than the targets is not better
    _comparisons: Tensor | None

    def __init__(self) -> None:
        self.reset()

    def update(self, prediction: Tensor, target: Tensor, names: Sequence[str] | None = None, context: MetricContext = NO_CONTEXT) -> None:
        """Keep a small copy of each image."""
        check_images(prediction, target, names)
        self.check_mask(prediction, context)
        with torch.no_grad():
            self._outputs += _small(prediction)
            self._targets += _small(target)
        self._comparisons = None

    def compute(self) -> dict[str, float]:
        """Both values over all pairs of images.

        Raises:
            ValueError: nothing was taken in.
            Skipped: one image, the same target for all, or grey and colour images together.
        """
        outputs, targets = self._images()
        return _values(outputs, targets, self._compare(outputs, targets))

    def interval(self) -> dict[str, Interval]:
        """Delete-a-group jackknife over images: whoever leaves takes all its pairs along."""
        outputs, targets = self._images()
        nearer = self._compare(outputs, targets)
        found = jackknife_interval(
            len(nearer),
            _values(outputs, targets, nearer),
            lambda chosen: _values(outputs[chosen], targets[chosen], nearer[chosen][:, chosen]),
        )
        highest = {"own_target_nearest": 1.0}
        clipped = {name: (max(low, 0.0), min(high, highest.get(name, math.inf))) for name, (low, high) in found.items()}
        return {name: ends for name, ends in clipped.items() if all(map(math.isfinite, ends))}

    def bounds(self) -> dict[str, dict[str, float]]:
        """The targets against themselves: 1 and 1, or a little less for the second if some targets are the same."""
        _, targets = self._images()
        copies = torch.unique(targets, dim=0, return_counts=True)[1].double()
        ties = (copies * (copies - 1)).sum().item() / (len(targets) * (len(targets) - 1))
        return {TARGET_ITSELF: {"variation_across_inputs": 1.0, "own_target_nearest": 1 - ties / 2}}

    def caution(self) -> str:
        """Few images say little of all pairs."""
        n = len(self._outputs)
        return f"of {n} images, where {DEPENDENCE_IMAGES} are the least: too few pairs to be sure" if n < DEPENDENCE_IMAGES else ""

    def reset(self) -> None:
        """Forget all images."""
        self._outputs: list[Tensor] = []
        self._targets: list[Tensor] = []
        self._comparisons = None

    def state(self) -> State:
        """``outputs`` and ``targets``: the small copy of every image, in order, as some ``[n, C * 256]`` float32."""
        return {"outputs": stacked_alike(self._outputs), "targets": stacked_alike(self._targets)}

    def merge(self, state: State) -> None:
        """Put another's small copies behind these; all pairs of images are compared once, when all are there."""
        self._outputs += [image for images in state["outputs"] for image in images.unbind()]
        self._targets += [image for images in state["targets"] for image in images.unbind()]
        self._comparisons = None

    def _compare(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Of all pairs, worked out once: this is what takes long where images are many."""
        if self._comparisons is None:
            self._comparisons = _compare_all_pairs(outputs, targets)
        return self._comparisons

    def _images(self) -> tuple[Tensor, Tensor]:
        """Small outputs and targets, ``[N, D]``, of which something can be said."""
        if not self._outputs:
            raise ValueError(f"{self.label} has seen no images: call update(prediction, target) first")
        if len(self._outputs) < 2:
            raise Skipped(f"{self.label} compares images with each other, and here is 1")
        if len({len(image) for image in self._outputs}) > 1:
            raise Skipped(f"{self.label} compares images with each other, and these differ in channels")
        outputs, targets = torch.stack(self._outputs), torch.stack(self._targets)
        if (targets == targets[0]).all():
            raise Skipped(
                f"all targets are the same picture at {GRID} x {GRID} pixels: an output that follows its input has nothing to follow"
            )
        return outputs, targets


@register("metric", "diversity", needs="samples")
class Diversity(Metric):
    """How much a prediction varies with the noise: the mean L1 distance between predictions of one source, on the [0, 1] scale.

    E_i E_(s != t) |G(x_i, z_s) - G(x_i, z_t)| / 2, for images in [-1, 1]; over all pairs of an image's samples, and then over images.
    0 is always the same output. L1 and not LPIPS, so that it needs no weights, takes any channels, and can be read together with ``l1``: as
    much as the samples differ, so much of the error is choice. In [0, 1].

    Blind to whether the variety is plausible: pure noise is very diverse, and a change of texture counts as a change of shape does.

    Source: in the spirit of Zhu et al. 2017, "Toward multimodal image-to-image translation", section 5, who measure pairs by LPIPS.
    """

    name = "diversity"
    label = "Diversity"
    better: ClassVar[Better] = "higher"
    needs = "samples"
    bounded_by: ClassVar[tuple[str, ...]] = ()
    pairs: ClassVar[bool] = False

    def __init__(self) -> None:
        self.reset()

    def update(self, prediction: Tensor, target: Tensor, names: Sequence[str] | None = None, context: MetricContext = NO_CONTEXT) -> None:
        """Score the samples of each image that has some; a batch without any contributes nothing.

        Raises:
            ValueError: the shapes do not fit each other, or there is but one sample.
        """
        check_images(prediction, target, names, of_one_size=False)
        self.check_mask(prediction, context)
        samples = context.samples
        if samples is not None:
            fits = samples.ndim == 5 and samples.shape[2:] == prediction.shape[1:] and samples.shape[1] <= len(prediction)
            if not fits or len(samples) < 2:
                raise ValueError(
                    f"diversity compares at least two samples [S, M, C, H, W] of the shape of the predictions, M of the N at most: "
                    f"got {tuple(samples.shape)} and {tuple(prediction.shape)}"
                )
            with torch.no_grad():
                self.scores += [_mean_of_differences(image) / 2 for image in at_least_float32(samples).unbind(1)]
        self._seen += len(prediction)

    def compute(self) -> dict[str, float]:
        """``{name: mean}`` over the images that had samples.

        Raises:
            ValueError: nothing was taken in.
            Skipped: no image had samples.
        """
        self._check_sampled()
        return {self.name: math.fsum(self.scores) / len(self.scores)}

    def interval(self) -> dict[str, Interval]:
        """The bootstrap interval of the mean."""
        self._check_sampled()
        return {self.name: bootstrap_interval(self.scores)}

    def caution(self) -> str:
        """It may have been measured on a part of the images."""
        return f"on {len(self.scores):,} of {self._seen:,} images" if 0 < len(self.scores) < self._seen else ""

    def reset(self) -> None:
        """Forget all scores."""
        self.scores: list[float] = []
        self._seen = 0

    def state(self) -> State:
        """``scores`` of the images that had samples, in order, and ``seen``, how many images there were."""
        return {"scores": list(self.scores), "seen": self._seen}

    def merge(self, state: State) -> None:
        """Put another's scores behind these; the mean is taken of all."""
        self.scores += state["scores"]
        self._seen += state["seen"]

    def _check_sampled(self) -> None:
        if not self._seen:
            raise ValueError(f"{self.label} has seen no images: call update(prediction, target, context=...) first")
        if not self.scores:
            raise Skipped("no second sample was drawn: diversity needs a model that takes noise, and is not defined for folders of images")


def _mean_of_differences(samples: Tensor) -> float:
    """The mean of :func:`mean_difference` over all places of ``[S, C, H, W]``, in bands of rows where that is large."""
    bands = row_bands(samples.shape[2], samples[:, :, 0].numel())
    if len(bands) == 1:
        return mean_difference(samples).mean().item()
    sums = [mean_difference(samples[:, :, start:stop]).sum().item() for start, stop in bands]
    return math.fsum(sums) / samples[0].numel()


def mean_difference(values: Tensor) -> Tensor:
    """The mean absolute difference between two of n values, over all pairs: Gini's mean difference.

    sum_k k (n - k) (v_(k+1) - v_k) / (n (n - 1) / 2) with v sorted: between neighbours k and k + 1 lies a step that k (n - k) of the
    pairs cross. Without a matrix of pairs, and exactly 0 for equal values.

    Args:
        values: ``[n, ...]``, n at least 2.

    Returns:
        ``[...]`` float64.
    """
    n = len(values)
    below = torch.arange(1, n, dtype=torch.float64, device=values.device)
    steps = values.double().sort(0).values.diff(dim=0)
    return torch.einsum("k,k...->...", below * (n - below), steps) * 2 / (n * (n - 1))


def _small(images: Tensor) -> Sequence[Tensor]:
    """``[N, C, H, W]`` to N of ``[C * 16 * 16]``; an image smaller than that repeats its pixels."""
    return F.adaptive_avg_pool2d(at_least_float32(images), GRID).flatten(1).float().cpu().unbind()


def _compare_all_pairs(outputs: Tensor, targets: Tensor) -> Tensor:
    """``[N, N]`` int8: 1 where output i is nearer to its own target than to target j, 0 where neither is, -1 where j's is."""
    rows = []
    for start in range(0, len(outputs), _ROWS_AT_ONCE):
        distance = torch.cdist(outputs[start : start + _ROWS_AT_ONCE], targets, p=1)
        rows.append((distance - distance.diagonal(start)[:, None]).sign().to(torch.int8))
    return torch.cat(rows)


def _values(outputs: Tensor, targets: Tensor, nearer: Tensor) -> dict[str, float]:
    n, apart = len(outputs), mean_difference(targets).mean().item()
    variation = mean_difference(outputs).mean().item() / apart if apart else math.nan
    nearest = (1 + nearer.sum().item() / (n * (n - 1))) / 2 if math.isfinite(variation) else math.nan
    return {"variation_across_inputs": variation, "own_target_nearest": nearest}
