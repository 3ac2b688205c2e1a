"""What a metric is: ``update`` with batches of predictions and targets, then ``compute`` the values; ``interval`` says how sure they are.

Three ways to get there, by what an image contributes: a score of its own (:class:`ImageMetric`), a state that only means something
summed over images (:class:`AccumulatedMetric`), or features whose distribution is compared (:class:`.distribution.FeatureMetric`).

A part of the images can be taken in elsewhere: :meth:`Metric.state` is what was taken in, and :meth:`Metric.merge` takes it in. All of
ours remember each image by itself, so that a merged metric holds what one metric that saw all images in that order would hold; means,
quantiles, covariances and intervals are reckoned once, of all of it.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..errors import Skipped
from .direction import Better
from .interval import bootstrap_interval, bootstrap_of_sums

Interval = tuple[float, float]
State = dict[str, Any]
"""What a metric has taken in, as plain values and tensors in the processor's memory that can be pickled."""
TARGET_ITSELF = "target itself"
"""The bound every metric knows: what the targets score against themselves."""


@dataclass(frozen=True, eq=False)
class MetricContext:
    """What else is known of a batch, next to its predictions and targets; a metric takes what it needs.

    Attributes:
        source: what the predictions were made from, ``[N, C', H, W]`` in [-1, 1].
        samples: S predictions of M <= N of the sources, each under other noise, ``[S, M, C, H, W]`` in [-1, 1].
        labels: per image the label map as its file holds it, ``[H', W', C'']`` uint8 or uint16, never resized.
        levels: the numbers in files that -1 and 1 stand for, of predictions and of targets; None if nobody knows of files.
        mask: what counts, bool ``[N, 1, H, W]`` with at least one pixel of each image; None if everything does. A metric that cannot leave
            out pixels is left out itself (:attr:`Metric.takes_mask`).
    """

    source: Tensor | None = None
    samples: Tensor | None = None
    labels: Sequence[NDArray[np.generic]] | None = None
    levels: tuple[tuple[float, float], tuple[float, float]] | None = None
    mask: Tensor | None = None


NO_CONTEXT = MetricContext()
WHOLE_PICTURES = "it scores whole pictures, and not everything counts in these"


class Metric(ABC):
    """A number, or a few, about a set of predictions and the targets they were meant to be.

    Attributes:
        name: the registered name, and the key of the value if there is but one.
        label: what a table's head says.
        unit: of the value; empty for a pure number.
        better: which way is good: ``lower``, ``higher``, or ``one``, where both more and less than 1 are worse.
        better_of: of a metric with several values, those whose way is another.
        needs: ``nothing``, ``weights`` of a network that must be on disk, ``labels`` of the images, or ``samples`` under other noise.
        values: of a metric with several values, the name of each and what a table calls it.
        bounded_by: the outputs that need no translator and are worth comparing with (see ``evaluation.evaluate``).
        pairs: whether a target must be what its source should become; else it may be any image of the target domain.
        takes_mask: whether nothing outside the context's mask touches its value; else it is skipped where there is a mask.
        of_colour: whether it sees three channels as red, green and blue, so that others mean nothing to it.
    """

    name: ClassVar[str]
    label: ClassVar[str]
    unit: ClassVar[str] = ""
    better: ClassVar[Better]
    better_of: ClassVar[Mapping[str, Better]] = {}
    needs: ClassVar[Literal["nothing", "weights", "labels", "samples"]] = "nothing"
    values: ClassVar[Mapping[str, str]] = {}
    bounded_by: ClassVar[tuple[str, ...]] = ("source copied", "mean training target")
    pairs: ClassVar[bool] = True
    takes_mask: ClassVar[bool] = False
    of_colour: ClassVar[bool] = False

    @abstractmethod
    def update(self, prediction: Tensor, target: Tensor, names: Sequence[str] | None = None, context: MetricContext = NO_CONTEXT) -> None:
        """Take in one batch.

        Args:
            prediction: ``[N, C, H, W]`` in [-1, 1].
            target: the same shape.
            names: what the N images are called.
            context: what else is known of them.

        Raises:
            ValueError: the shapes do not fit each other.
            Skipped: this metric has nothing to say about such images.
        """

    @abstractmethod
    def compute(self) -> dict[str, float]:
        """The values over everything taken in since the last reset.

        Raises:
            ValueError: nothing was taken in.
            Skipped: too little was taken in.
        """

    @abstractmethod
    def reset(self) -> None:
        """Forget everything taken in."""

    def state(self) -> State:
        """What was taken in since the last reset, for :meth:`merge` of a metric of the same class and options, in another process perhaps.

        A class that remembers more than its base extends this, :meth:`merge` and :meth:`reset` together.

        Raises:
            NotImplementedError: this metric cannot be merged, see :meth:`is_mergeable`.
        """
        raise NotImplementedError(f"{type(self).__name__} has no state() and merge(state)")

    def merge(self, state: State) -> None:
        """Take in what another metric took in, behind all that was taken in before.

        Merging the states of consecutive parts of the images in their order gives what taking in all images gives.

        Args:
            state: of :meth:`state`; it is not changed, and nothing of it is changed later.

        Raises:
            NotImplementedError: this metric cannot be merged.
        """
        raise NotImplementedError(f"{type(self).__name__} has no state() and merge(state)")

    @classmethod
    def is_mergeable(cls) -> bool:
        """Whether :meth:`state` holds all that there is to remember.

        They must be defined, and no further up among the base classes than :meth:`reset` is: who resets more than the base remembers more
        than the base's state holds.
        """
        nearest = {name: next(at for at, base in enumerate(cls.__mro__) if name in vars(base)) for name in ("state", "merge", "reset")}
        return cls.state is not Metric.state and cls.merge is not Metric.merge and max(nearest.values()) <= nearest["reset"]

    def interval(self) -> dict[str, Interval]:
        """The 95 % interval of each value that has one. It speaks of the choice of images, not of another training."""
        return {}

    def bounds(self) -> dict[str, dict[str, float]]:
        """What this metric itself knows to compare with, such as the targets against themselves: ``{bound: {value's name: value}}``."""
        return {}

    def facts(self) -> dict[str, str]:
        """What a reader needs to make the number again: ``network``, the SHA-256 of its ``weights``, ``resize``; those that apply."""
        return {}

    def caution(self) -> str:
        """Why the value should be read with care, in one sentence; empty if there is no reason."""
        return ""

    def check_mask(self, prediction: Tensor, context: MetricContext) -> None:
        """Refuse a mask that this metric cannot heed.

        Raises:
            Skipped: it scores whole pictures.
            ValueError: the mask is not bool ``[N, 1, H, W]``, or nothing of an image counts.
        """
        mask = context.mask
        if mask is None:
            return
        if not self.takes_mask:
            raise Skipped(WHOLE_PICTURES)
        if mask.dtype != torch.bool or mask.shape != (len(prediction), 1, *prediction.shape[2:]):
            raise ValueError(
                f"a mask is bool [N, 1, H, W] of the images: got {mask.dtype} {tuple(mask.shape)} for {tuple(prediction.shape)}"
            )
        if not bool(mask.flatten(1).any(1).all()):
            raise ValueError("a mask leaves nothing of an image: leave that image out")


class ImageMetric(Metric):
    """A metric that scores each image by itself; its value is the mean of the scores.

    Attributes:
        scores: one per image seen, in order.
        names: what those images are called; an image given without a name is called by its number.
        perfect: the score of an image that equals its target.
        chunk_size: images scored together; one image of ordinary size fits a processor's cache, many do not.
    """

    perfect: ClassVar[float]
    chunk_size: ClassVar[int] = 1

    def __init__(self) -> None:
        self.scores: list[float] = []
        self.names: list[str] = []

    @abstractmethod
    def score(self, prediction: Tensor, target: Tensor) -> Tensor:
        """One score per image: float32 ``[N, C, H, W]`` in [-1, 1], twice, to ``[N]``."""

    def score_within(self, prediction: Tensor, target: Tensor, mask: Tensor) -> Tensor:
        """As :meth:`score`, of what the mask (bool ``[N, 1, H, W]``) lets count; for metrics with :attr:`takes_mask`.

        Raises:
            Skipped: it scores whole pictures.
        """
        raise Skipped(WHOLE_PICTURES)

    def update(self, prediction: Tensor, target: Tensor, names: Sequence[str] | None = None, context: MetricContext = NO_CONTEXT) -> None:
        """Score a batch and remember each image's score."""
        check_images(prediction, target, names)
        self.check_mask(prediction, context)
        with torch.no_grad():
            sides = at_least_float32(prediction), at_least_float32(target), *(() if context.mask is None else (context.mask,))
            parts = zip(*(torch.split(side, self.chunk_size) for side in sides), strict=True)
            score = self.score if context.mask is None else self.score_within
            scores: list[float] = [value for part in parts for value in score(*part).tolist()]
        self.names += names if names is not None else [str(len(self.scores) + index) for index in range(len(scores))]
        self.scores += scores

    def compute(self) -> dict[str, float]:
        """``{name: mean}``; the mean is summed exactly, so it does not depend on the order of the images."""
        self._check_seen()
        return {self.name: _mean(self.scores)}

    def interval(self) -> dict[str, Interval]:
        """The bootstrap interval of the mean."""
        self._check_seen()
        return {self.name: bootstrap_interval(self.scores)}

    def bounds(self) -> dict[str, dict[str, float]]:
        """The score of the target itself, which needs no computing."""
        return {TARGET_ITSELF: {self.name: self.perfect}}

    def reset(self) -> None:
        """Forget all scores and names."""
        self.scores, self.names = [], []

    def state(self) -> State:
        """``scores`` and ``names``: one of each per image, in order."""
        return {"scores": list(self.scores), "names": list(self.names)}

    def merge(self, state: State) -> None:
        """Put another's scores behind these; the mean and its interval are taken of all."""
        self.scores += state["scores"]
        self.names += state["names"]

    def _check_seen(self) -> None:
        if not self.scores:
            raise ValueError(f"{self.label} has seen no images: call update(prediction, target) first")


class AccumulatedMetric(Metric):
    """A metric of states (histograms, confusion matrices) that are summed over all images before anything is divided.

    Attributes:
        states: one per image seen, any one shape, float64.
    """

    def __init__(self) -> None:
        self.states: list[Tensor] = []

    @abstractmethod
    def accumulate(self, prediction: Tensor, target: Tensor, context: MetricContext) -> Tensor:
        """One state per image: ``[N, C, H, W]`` in [-1, 1], twice, to ``[N, ...]``."""

    @abstractmethod
    def compute_from(self, total: Tensor) -> dict[str, float]:
        """The values from a weighted sum of states, float64."""

    def update(self, prediction: Tensor, target: Tensor, names: Sequence[str] | None = None, context: MetricContext = NO_CONTEXT) -> None:
        """Keep the state of each image of a batch."""
        check_images(prediction, target, names, of_one_size=self.pairs)
        self.check_mask(prediction, context)
        with torch.no_grad():
            self.states += self.accumulate(at_least_float32(prediction), at_least_float32(target), context).double().cpu().unbind()

    def compute(self) -> dict[str, float]:
        """The values over all images. Counts are whole numbers, so neither order nor batches matter."""
        if not self.states:
            raise ValueError(f"{self.label} has seen no images: call update(prediction, target) first")
        return self.compute_from(torch.stack(self.states).sum(0))

    def interval(self) -> dict[str, Interval]:
        """The bootstrap interval of each value, over images."""
        return bootstrap_of_sums(self.states, self.compute_from)

    def reset(self) -> None:
        """Forget all states."""
        self.states = []

    def state(self) -> State:
        """``states``: one per image, in order, as some ``[n, ...]`` float64, see :func:`stacked_alike`."""
        return {"states": stacked_alike(self.states)}

    def merge(self, state: State) -> None:
        """Put another's states behind these; they are summed over all images at once."""
        self.states += [one for several in state["states"] for one in several.unbind()]


def stacked_alike(tensors: Sequence[Tensor]) -> list[Tensor]:
    """Neighbours of one shape as one tensor: ``[...]`` each to ``[n, ...]``, with no more memory behind them than they have themselves."""
    found: list[list[Tensor]] = []
    for one in tensors:
        if found and found[-1][0].shape == one.shape:
            found[-1].append(one)
        else:
            found.append([one])
    return [torch.stack(alike) for alike in found]


def check_images(prediction: Tensor, target: Tensor, names: Sequence[str] | None = None, of_one_size: bool = True) -> None:
    """Refuse what a metric cannot compare.

    Args:
        prediction: float ``[N, C, H, W]``.
        target: the same shape.
        names: N of them.
        of_one_size: else height and width may differ.

    Raises:
        ValueError: not two float tensors of one shape ``[N, C, H, W]`` with N names.
    """
    compared = slice(4 if of_one_size else 2)
    if prediction.ndim != 4 or target.ndim != 4 or prediction.shape[compared] != target.shape[compared]:
        raise ValueError(f"a metric compares images [N, C, H, W] of one shape: got {tuple(prediction.shape)} and {tuple(target.shape)}")
    if 0 in (prediction.numel(), target.numel()):
        raise ValueError(f"a metric needs at least one pixel: got {tuple(prediction.shape)}")
    if not (prediction.is_floating_point() and target.is_floating_point()):
        raise ValueError(f"a metric takes values in [-1, 1]: got {prediction.dtype} and {target.dtype}")
    if names is not None and (isinstance(names, str) or len(names) != len(prediction)):
        raise ValueError(f"{len(prediction)} images need a list of as many names: got {names!r}")


def at_least_float32(images: Tensor) -> Tensor:
    """The images in float32 or better: half precision is for networks, not for sums."""
    return images.to(torch.promote_types(images.dtype, torch.float32))


def _mean(scores: Sequence[float]) -> float:
    """In float64. ``fsum`` is exact, but refuses infinities of both signs; those have no mean."""
    try:
        return math.fsum(scores) / len(scores)
    except (ValueError, OverflowError):
        return math.nan
