"""The result of an evaluation: a table with intervals and bounds, and the score of every image."""

from __future__ import annotations

import csv
import dataclasses
import io
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor

from ..data.files import to_json_values, write_text
from ..errors import Missing, Skipped
from ..metrics.distribution import FeatureMetric
from ..metrics.metric import NO_CONTEXT, ImageMetric, Interval, Metric, MetricContext
from ..progress import track
from ..registry import build, resolve
from .choice import Choice
from .schema import PER_IMAGE, EvaluationRecord, Facts, Row

T = TypeVar("T")
LUMA = (0.299, 0.587, 0.114)
"""What red, green and blue give to grey (ITU-R BT.601)."""


@dataclass
class Evaluation(EvaluationRecord):
    """The result of an evaluation: what its file holds, and the score of every image.

    Attributes:
        scores: per metric that scores single images, one value per image, in the order of ``names``.
        names: the images.
    """

    scores: dict[str, list[float]] = field(default_factory=dict)
    names: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        by = "ssim" if "ssim" in self.scores else next(iter(self.scores), None)
        worst, best = self.extremes(by) if by is not None else ([], [])
        self.about = dataclasses.replace(self.about, ranked_by=by, worst=worst, best=best, n=len(self.names))

    def table(self) -> str:
        """The table for a terminal, and below it what was left out and what to beware of."""
        shown = [row for row in self.rows if not row.skipped]
        bounds = list(dict.fromkeys(name for row in shown for name in row.bounds))
        head = ["metric", "value", "95 % interval", *bounds, "better"]
        lines = [
            [
                f"{row.label}{f' ({row.unit})' if row.unit else ''}{' *' if row.caution else ''}",
                f"{row.value:.4f}",
                f"[{row.low:.4f}, {row.high:.4f}]" if row.low is not None and row.high is not None else "-",
                *(f"{row.bounds[name]:.4f}" if name in row.bounds else "-" for name in bounds),
                row.better,
            ]
            for row in shown
        ]
        widths = [max(len(line[column]) for line in [head, *lines]) for column in range(len(head))]
        written = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip() for line in [head, *lines]]
        for mark, key in (("* ", "caution"), ("skipped: ", "skipped")):
            reasons: dict[str, list[str]] = {}
            for row in self.rows:
                reasons.setdefault(getattr(row, key), []).append(row.label)
            written += [f"{mark}{', '.join(dict.fromkeys(labels))}: {reason}" for reason, labels in reasons.items() if reason]
        return "\n".join(written)

    def extremes(self, by: str, count: int = 3) -> tuple[list[str], list[str]]:
        """The names of the worst and of the best images by one metric, the very worst and the very best first."""
        order = self.order(by)
        return [self.names[index] for index in order[:count]], [self.names[index] for index in order[::-1][:count]]

    def order(self, by: str) -> list[int]:
        """The positions of the images from the worst to the best; one whose score is no number is worst of all."""
        sign = next(1 if row.better == "higher" else -1 for row in self.rows if by in (row.metric, row.of))
        values = [sign * value for value in self.scores[by]]
        return sorted(range(len(values)), key=lambda index: (not math.isnan(values[index]), values[index]))

    def csv(self) -> str:
        """One line per image."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["name", *self.scores])
        writer.writerows(
            [to_json_values(name), *(f"{values[index]:.6g}" for values in self.scores.values())] for index, name in enumerate(self.names)
        )
        return text.getvalue()

    def save(self, folder: Path) -> None:
        """Write ``evaluation.json`` and ``per_image.csv``."""
        write_text(folder / PER_IMAGE, self.csv())
        self.write(folder)


class Scores:
    """The chosen metrics on one way of answering: the model's, or a bound's.

    Args:
        choice: which metrics, with their options.
        bound: the bound these are for: only the metrics that it says something about take part. None is the answer to be judged.

    Attributes:
        metrics: those that can be computed.
        skipped: for the others, why not.
        count: images taken in.
    """

    def __init__(self, choice: Choice, bound: str | None = None) -> None:
        self.metrics: dict[str, Metric] = {}
        self.skipped: dict[str, str] = {}
        self.count = 0
        for name in choice.metrics:
            if bound is not None and bound not in _class_of(name).bounded_by:
                continue  # before it reads weights or opens a segmenter
            try:
                metric: Metric = build("metric", name, **choice.options.get(name, {}))
            except (Missing, Skipped) as reason:
                if bound is None and name in choice.require:
                    raise Missing(f"{name} is required: {reason}") from reason
                self.skipped[name] = str(reason)
                continue
            self.metrics[name] = metric
        self._required = choice.require if bound is None else ()

    def update(
        self, prediction: Tensor, target: Tensor, names: Sequence[str], context: MetricContext = NO_CONTEXT, new: Tensor | None = None
    ) -> None:
        """Take in a batch.

        Args:
            prediction, target: ``[N, C, H, W]`` in [-1, 1].
            names: of the images.
            context: what else is known of them.
            new: of two domains, ``[2, N]``: which predictions and which targets are met for the first time. Sets of features take in
                each picture once.
        """
        self.count += len(names)

        def take(metric: Metric) -> None:
            if new is None or not isinstance(metric, FeatureMetric):
                metric.update(prediction, target, names, context)
                return
            for take_in, images in ((metric.update_generated, prediction[new[0]]), (metric.update_real, target[new[1]])):
                if len(images):
                    take_in(images)

        self.each(take)

    def without_pairs(self) -> None:
        """Skip what compares an answer with the one target that belongs to its source."""
        for name, metric in list(self.metrics.items()):
            if metric.pairs:
                self._try(
                    name, lambda _: _skip("it compares with the target of each source, and in unpaired data no target belongs to a source")
                )

    def only(self, kind: type[Any], reason: str) -> None:
        """Skip every metric that is not of this kind."""
        for name, metric in list(self.metrics.items()):
            if not isinstance(metric, kind):
                self._try(name, lambda _: _skip(reason))

    def each(self, act: Callable[[Any], object]) -> None:
        """Do something with every metric; one that cannot is skipped."""
        for name in list(self.metrics):
            self._try(name, act)

    def compute(self, name: str) -> dict[str, float]:
        """A metric's values; empty, and the metric skipped, if it cannot be computed on what it has seen."""
        values: list[dict[str, float]] = []
        self._try(name, lambda metric: values.append(metric.compute() or _skip("it has no value for these images")))
        return values[0] if values else {}

    def values(self) -> dict[str, float]:
        """The values of every metric."""
        return {name: value for metric in list(self.metrics) for name, value in self.compute(metric).items()}

    def per_image(self) -> dict[str, list[float]]:
        """The scores of each metric that scores single images."""
        return {name: list(metric.scores) for name, metric in self.metrics.items() if isinstance(metric, ImageMetric)}

    def _try(self, name: str, act: Callable[[Metric], object]) -> None:
        try:
            act(self.metrics[name])
        except (Missing, Skipped) as reason:
            if name in self._required:
                raise Missing(f"{name} is required: {reason}") from reason
            self.skipped[name] = str(reason)
            del self.metrics[name]


def _steps(*resizes: str) -> str:
    """What is done to an image's size one after another; ``none`` if nothing is."""
    return ", then ".join(dict.fromkeys(step for step in resizes if step not in ("", "none"))) or "none"


def _skip(reason: str) -> Any:
    raise Skipped(reason)


def _class_of(name: str) -> type[Metric]:
    return resolve("metric", name)  # type: ignore[return-value]


def _beside(found: Callable[[], T], nothing: T) -> T:
    """What is said beside a value; nothing if the metric has a value and cannot say this of it."""
    try:
        return found()
    except (Missing, Skipped):
        return nothing


def as_target(source: Tensor, channels: int) -> Tensor | None:
    """The sources ``[..., C, H, W]`` as answers, if their channels can be made the targets'."""
    have = source.shape[-3]
    if have == channels:
        return source
    if {have, channels} == {1, 3}:  # as files are converted, see data.pixels.convert_channels
        grey = torch.einsum("c,...chw->...hw", source.new_tensor(LUMA), source)[..., None, :, :] if have == 3 else source
        return grey.expand(*grey.shape[:-3], channels, -1, -1)
    return None


def table_rows(choice: Choice, scores: Scores, bounds: Mapping[str, Scores], about: Facts, quiet: bool = False) -> list[Row]:
    """The table's lines, each with its interval, its origin, and the bounds that could answer for every image.

    Args:
        choice: the metrics, in order.
        scores: of the answer to be judged.
        bounds: of the answers that need no translator.
        about: facts of the evaluation; ``resize`` and ``checkpoint`` go into every row.
        quiet: no progress.
    """
    reached = {label: bound.values() for label, bound in bounds.items() if bound.count == scores.count}
    rows: list[Row] = []
    for name in track(choice.metrics, len(choice.metrics), "compute", unit="metric", quiet=quiet):
        values = scores.compute(name) if name in scores.metrics else {}
        if not values:
            cls = _class_of(name)
            rows.append(Row(name, cls.label, cls.unit, cls.better, None, None, None, 0, skipped=scores.skipped[name], of=name))
            continue
        metric = scores.metrics[name]
        intervals: dict[str, Interval] = _beside(metric.interval, {})
        own: dict[str, dict[str, float]] = _beside(metric.bounds, {})
        facts: dict[str, str] = _beside(metric.facts, {})
        for key, value in values.items():
            low, high = intervals.get(key, (None, None))
            known = {label: found[key] for label, found in [*own.items(), *reached.items()] if key in found}
            rows.append(
                Row(
                    key,
                    metric.values.get(key, metric.label),
                    metric.unit,
                    metric.better_of.get(key, metric.better),
                    value,
                    low,
                    high,
                    scores.count,
                    known,
                    network=facts.get("network", ""),
                    weights=facts.get("weights", ""),
                    resize=_steps(about.resize, facts.get("resize", "")),
                    checkpoint=about.checkpoint,
                    caution=_beside(metric.caution, ""),
                    of=name,
                )
            )
    return rows
