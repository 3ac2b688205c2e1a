"""What a metric is: it sees predictions and targets, batch by batch, and says at the end what they are worth."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar, Literal

import torch
from torch import Tensor


class Metric(ABC):
    """A number, or a few, about a set of predictions and the targets they were meant to be.

    Attributes:
        name: the registered name, and the key of the (first) value.
        label: what a table's head says.
        unit: of the value; empty for a pure number.
        better: which way is good.
        needs: ``nothing``, ``weights`` of a network that must be on disk, or ``labels`` beside the images.
    """

    name: ClassVar[str]
    label: ClassVar[str]
    unit: ClassVar[str] = ""
    better: ClassVar[Literal["lower", "higher"]]
    needs: ClassVar[Literal["nothing", "weights", "labels"]] = "nothing"

    @abstractmethod
    def update(self, prediction: Tensor, target: Tensor, names: Sequence[str] | None = None) -> None:
        """Take in one batch.

        Args:
            prediction: ``[N, C, H, W]`` in [-1, 1].
            target: the same shape.
            names: what the N images are called.

        Raises:
            ValueError: the shapes do not fit each other.
        """

    @abstractmethod
    def compute(self) -> dict[str, float]:
        """The values over everything taken in since the last reset.

        Raises:
            ValueError: nothing was taken in.
        """

    @abstractmethod
    def reset(self) -> None:
        """Forget everything taken in."""


class ImageMetric(Metric):
    """A metric that scores each image by itself; its value is the mean of the scores.

    Attributes:
        scores: one per image seen, in order.
        names: what those images are called; an image given without a name is called by its number.
    """

    def __init__(self) -> None:
        self.scores: list[float] = []
        self.names: list[str] = []

    @abstractmethod
    def score(self, prediction: Tensor, target: Tensor) -> Tensor:
        """One score per image: float32 ``[N, C, H, W]`` in [-1, 1], twice, to ``[N]``."""

    def update(self, prediction: Tensor, target: Tensor, names: Sequence[str] | None = None) -> None:
        """Score a batch and remember each image's score."""
        check_images(prediction, target, names)
        with torch.no_grad():
            scores: list[float] = self.score(_lifted(prediction), _lifted(target)).tolist()
        self.names += names if names is not None else [str(len(self.scores) + index) for index in range(len(scores))]
        self.scores += scores

    def compute(self) -> dict[str, float]:
        """``{name: mean}``; the mean is summed exactly, so it does not depend on the order of the images."""
        if not self.scores:
            raise ValueError(f"{self.label} has seen no images: call update(prediction, target) first")
        return {self.name: _mean(self.scores)}

    def reset(self) -> None:
        """Forget all scores and names."""
        self.scores, self.names = [], []


def check_images(prediction: Tensor, target: Tensor, names: Sequence[str] | None = None) -> None:
    """Refuse what a metric cannot compare.

    Raises:
        ValueError: not two float tensors of one shape ``[N, C, H, W]`` with N names.
    """
    if prediction.ndim != 4 or prediction.shape != target.shape:
        raise ValueError(f"a metric compares images [N, C, H, W] of one shape: got {tuple(prediction.shape)} and {tuple(target.shape)}")
    if prediction.numel() == 0:
        raise ValueError(f"a metric needs at least one pixel: got {tuple(prediction.shape)}")
    if not (prediction.is_floating_point() and target.is_floating_point()):
        raise ValueError(f"a metric takes values in [-1, 1]: got {prediction.dtype} and {target.dtype}")
    if names is not None and (isinstance(names, str) or len(names) != len(prediction)):
        raise ValueError(f"{len(prediction)} images need a list of as many names: got {names!r}")


def _lifted(images: Tensor) -> Tensor:
    return images.to(torch.promote_types(images.dtype, torch.float32))


def _mean(scores: Sequence[float]) -> float:
    """In float64. ``fsum`` is exact, but refuses infinities of both signs; those have no mean."""
    try:
        return math.fsum(scores) / len(scores)
    except (ValueError, OverflowError):
        return math.nan
