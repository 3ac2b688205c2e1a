"""The result of an evaluation: a table with intervals and bounds, and the score of every image."""

from __future__ import annotations

import csv
import dataclasses
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from ..metrics.interval import bootstrap_interval
from ..metrics.metric import ImageMetric, Metric
from ..registry import build, catalog, names


@dataclass(frozen=True)
class Row:
    """One metric's line of the table.

    Attributes:
        metric: registered name.
        label, unit: for a person.
        better: ``higher`` or ``lower``.
        value: the mean over n images.
        low, high: its 95 % bootstrap interval.
        n: images.
        bounds: the same metric for the source copied and for the mean training target, where they exist.
    """

    metric: str
    label: str
    unit: str
    better: str
    value: float
    low: float
    high: float
    n: int
    bounds: dict[str, float] = field(default_factory=dict)


@dataclass
class Evaluation:
    """The result of an evaluation.

    Attributes:
        rows: one per metric.
        scores: per metric, one value per image, in the order of ``names``.
        names: the images.
        about: split, resize rule, checkpoint, seconds and other facts.
        panels: pictures kept for the report.
    """

    rows: list[Row]
    scores: dict[str, list[float]]
    names: list[str]
    about: dict[str, Any]
    panels: list[dict[str, Any]] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as ``evaluation.json`` holds them."""
        return {**self.about, "n": len(self.names), "rows": [dataclasses.asdict(row) for row in self.rows], "panels": self.panels}

    def table(self) -> str:
        """The table for a terminal."""
        bounds = list(dict.fromkeys(name for row in self.rows for name in row.bounds))
        head = ["metric", "value", "95 % interval", *bounds, "better"]
        lines = [
            [
                f"{row.label}{f' ({row.unit})' if row.unit else ''}",
                f"{row.value:.4f}",
                f"[{row.low:.4f}, {row.high:.4f}]",
                *(f"{row.bounds[name]:.4f}" if name in row.bounds else "-" for name in bounds),
                row.better,
            ]
            for row in self.rows
        ]
        widths = [max(len(line[column]) for line in [head, *lines]) for column in range(len(head))]
        return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip() for line in [head, *lines])

    def extremes(self, by: str, count: int = 3) -> tuple[list[str], list[str]]:
        """The names of the worst and of the best images by one metric."""
        lower = next(row.better for row in self.rows if row.metric == by) == "lower"
        order = sorted(range(len(self.names)), key=lambda index: self.scores[by][index], reverse=lower)
        return [self.names[index] for index in order[:count]], [self.names[index] for index in order[::-1][:count]]

    def csv(self) -> str:
        """One line per image."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["name", *self.scores])
        writer.writerows([name, *(f"{values[index]:.6g}" for values in self.scores.values())] for index, name in enumerate(self.names))
        return text.getvalue()


class Scores:
    """The metrics on one way of answering: the model's, or a bound's."""

    def __init__(self, chosen: Sequence[str]) -> None:
        self.metrics: dict[str, Metric] = {name: build("metric", name) for name in chosen}

    def update(self, prediction: Tensor, target: Tensor, name: str) -> None:
        """Take in one image, ``[C, H, W]`` in [-1, 1]."""
        for metric in self.metrics.values():
            metric.update(prediction[None], target[None], [name])

    def values(self) -> dict[str, float]:
        """The mean of each metric."""
        return {name: value for metric in self.metrics.values() for name, value in metric.compute().items()}

    def per_image(self) -> dict[str, list[float]]:
        """The scores of each metric that scores single images."""
        return {name: list(metric.scores) for name, metric in self.metrics.items() if isinstance(metric, ImageMetric)}


def metric_names(wanted: Sequence[str] | None) -> list[str]:
    """The metrics that were asked for, or all that need nothing but the images."""
    if wanted:
        for name in wanted:
            build("metric", name)
        return list(wanted)
    return [name for name in names("metric") if catalog()["metric", name].extra.get("needs", "nothing") == "nothing"]


def as_target(source: Tensor, channels: int) -> Tensor | None:
    """The source as an answer, if its channels can be made the target's."""
    if source.shape[0] == channels:
        return source
    if {source.shape[0], channels} == {1, 3}:
        grey = source.mean(dim=0, keepdim=True)
        return grey.expand(channels, -1, -1)
    return None


def complete(scores: Scores, count: int) -> bool:
    """Whether a bound could answer for every image."""
    return all(len(values) == count for values in scores.per_image().values())


def table_rows(scores: Scores, bounds: dict[str, Scores]) -> list[Row]:
    """The table's lines, each with its interval and its bounds."""
    reached = {label: bound.values() for label, bound in bounds.items()}
    per_image, rows = scores.per_image(), []
    for name, metric in scores.metrics.items():
        value = metric.compute()[name]
        low, high = bootstrap_interval(per_image[name])
        rows.append(
            Row(
                name,
                metric.label,
                metric.unit,
                metric.better,
                value,
                low,
                high,
                len(per_image[name]),
                {label: values[name] for label, values in reached.items()},
            )
        )
    return rows
