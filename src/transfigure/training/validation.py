"""The validation pairs, scored during training by metrics that score single images."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator

import torch
from torch import nn

from ..data.open import OpenedData
from ..data.pairing import listed
from ..errors import Skipped, UserError
from ..metrics.metric import ImageMetric, Metric, MetricContext
from ..networks.model_file import Norm
from ..networks.modes import inference
from ..progress import say, track
from ..registry import build, names, resolve

ALWAYS = ("l1", "psnr", "ssim")


def fitting(truth: bool) -> list[str]:
    """The metrics that ``best`` can be chosen by: one number each, and without ``truth`` those that need no pairs."""
    classes: dict[str, type[Metric]] = {name: resolve("metric", name) for name in names("metric")}  # type: ignore[misc]
    return [
        name
        for name, kind in classes.items()
        if not kind.values
        and kind.needs != "labels"
        and (issubclass(kind, ImageMetric) or not kind.pairs)
        and (truth or not kind.pairs)
        and kind.better != "one"
    ]


class Validation:
    """Scores a generator on the validation pairs.

    Args:
        data: the opened data.
        best_metric: the metric by which ``best`` is chosen; it is scored beside the usual three.
        device: where the generator is.
        wanted: whether the recipe asks for validations at all.
        norm: the statistics that the generator translates with, ``batch`` or ``running``.

    Raises:
        UserError: the metric cannot choose: it gives several numbers, or none without pairs.
        Missing: the metric's weights are not there.
    """

    def __init__(self, data: OpenedData, best_metric: str, device: torch.device, wanted: bool = True, norm: Norm = "batch") -> None:
        self._pairs, self._device, self._norm = data.val, device, norm
        self._target = data.target
        self.possible = wanted and len(data.val) > 0
        self.lower_is_better = False
        self._metrics: dict[str, Metric] = {}
        self._skipped: set[str] = set()
        self._unreadable: set[int] = set()
        self._said_empty = False
        if best_metric not in (fit := fitting(data.has_pairs)) and (data.has_pairs or self.possible):
            reason = (
                "gives no one number of generated images"
                if data.has_pairs
                else "needs the target of each source, and this data is unpaired"
            )
            raise UserError(f"training.best_metric cannot be {best_metric}, which {reason}: choose from {', '.join(fit)}")
        if data.has_pairs or self.possible:
            self._metrics = {name: build("metric", name) for name in dict.fromkeys((*(ALWAYS if data.has_pairs else ()), best_metric))}
            self.lower_is_better = self._metrics[best_metric].better == "lower"

    def run(self, generator: nn.Module, quiet: bool = False) -> dict[str, float]:
        """The mean of each metric over the validation pairs, each image translated by itself.

        A metric that cannot be computed on them is NaN, which is never the best; the first time, a note says why. So it is with a pair
        that cannot be read any more: it is left out. So is one of which nothing counts.

        Args:
            generator: G; its statistics and the random numbers of the training are left as they are.
            quiet: no progress line.
        """
        for metric in self._metrics.values():
            metric.reset()
        scored, empty = 0, list[str]()
        for index in track(range(len(self._pairs)), len(self._pairs), "validate", quiet=quiet):
            try:
                pair = self._pairs[index]
            except UserError as error:  # it could be read before training; the training has no fault in it
                if not quiet and index not in self._unreadable:
                    say(f"note: a validation pair is left out: {error}")
                self._unreadable.add(index)
                continue
            if pair.mask is not None and not bool(pair.mask.any()):
                empty.append(pair.name)
                continue
            scored += 1
            with inference(generator, self._norm, seed=0):
                fake = generator(pair.source[None].to(self._device)).float().cpu()
            target, context = pair.target[None], MetricContext(mask=None if pair.mask is None else pair.mask[None])
            if self._target.needs_source:  # what is scored is the picture that is made with it
                fake, target = (self._target.scored(self._target.decode(one[0], pair.source))[None] for one in (fake, target))
            for name, metric in self._metrics.items():
                if name not in self._skipped:
                    with self._noting(name, quiet):
                        metric.update(fake, target, [pair.name], context)
        if empty and not quiet and not self._said_empty:
            say(f"note: {len(empty)} of {len(self._pairs)} validation pairs have nothing that counts and no score: {listed(empty)}")
            self._said_empty = True
        scores: dict[str, float] = {}
        for name, metric in self._metrics.items():
            scores[name] = math.nan
            if not scored:
                continue
            with self._noting(name, quiet):
                scores |= metric.compute() if name not in self._skipped else {}
        return scores

    @contextlib.contextmanager
    def _noting(self, name: str, quiet: bool) -> Iterator[None]:
        try:
            yield
        except Skipped as reason:
            if not quiet:
                say(f"note: {name} is not computed on the validation pairs: {reason}")
            self._skipped.add(name)
