"""The scores of every channel by itself: of a mean over channels, the easy ones hide the one that matters."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from torch import Tensor

from ..metrics.metric import NO_CONTEXT, MetricContext
from .collection import CollectionState, MetricChoice, MetricCollection
from .schema import ChannelScores, Facts

PER_CHANNEL = ("psnr", "ssim", "pearson")
"""Those of the chosen metrics that are computed for each channel, too."""


class ChannelCollection:
    """Metrics of single channels, updated together with one set of outputs: the model's, or a bound's.

    Args:
        choice: the metrics of the evaluation; those of :data:`PER_CHANNEL` among them are computed here.
        titles: what each channel is called.
        bound: as of :class:`.collection.MetricCollection`.
    """

    def __init__(self, choice: MetricChoice, titles: Sequence[str], bound: str | None = None) -> None:
        metrics = tuple(name for name in choice.metrics if name in PER_CHANNEL)
        options = {name: given for name, given in choice.options.items() if name in metrics}
        mine = dataclasses.replace(choice, metrics=metrics, require=(), options=options)
        self.titles = list(titles)
        self.collections = [MetricCollection(mine, bound) for _ in self.titles] if metrics else []

    def update(self, prediction: Tensor, target: Tensor, names: Sequence[str], context: MetricContext = NO_CONTEXT) -> None:
        """Take in a batch, ``[N, C, H, W]`` in [-1, 1], with as many channels as there are titles."""
        for at, collection in enumerate(self.collections):
            collection.update(prediction[:, at : at + 1], target[:, at : at + 1], names, context)

    def take(self) -> list[CollectionState]:
        """What each channel's metrics have taken in since the last time, see :meth:`.collection.MetricCollection.take`."""
        return [collection.take() for collection in self.collections]

    def merge(self, states: Sequence[CollectionState]) -> None:
        """Take in what was taken of a part, behind the parts before it."""
        for collection, state in zip(self.collections, states, strict=True):
            collection.merge(state)

    def scores(self, bounds: Mapping[str, ChannelCollection], about: Facts) -> list[ChannelScores]:
        """The table's lines of each channel, with the bounds that have an output for every image."""
        found = []
        for at, (title, collection) in enumerate(zip(self.titles, self.collections)):
            beside = {label: bound.collections[at] for label, bound in bounds.items() if bound.collections}
            found.append(ChannelScores(title, collection.rows(beside, about, quiet=True)))
        return found

    def per_image(self) -> dict[str, list[float]]:
        """The score of every image, by the name of its column."""
        return {
            ChannelScores(title).column(metric): scores
            for title, collection in zip(self.titles, self.collections)
            for metric, scores in collection.per_image().items()
        }
