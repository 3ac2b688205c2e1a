"""The result of an evaluation: a table with intervals and bounds, and the score of every image."""

from __future__ import annotations

import csv
import dataclasses
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from ..data.files import write_json, write_text
from ..errors import UserError
from ..metrics.interval import bootstrap_interval
from ..metrics.metric import ImageMetric, Metric
from ..registry import build, catalog, entry, names


@dataclass(frozen=True)
class Row:
    """One metric's line of the table.

    Attributes:
        metric: registered name (of a metric with several values, the value's own).
        label, unit: for a person.
        better: ``higher`` or ``lower``.
        value: the mean over n images, or one value for all of them.
        low, high: the 95 % bootstrap interval of a mean; None where no image has a score of its own.
        n: images.
        bounds: the same metric for the source copied and for the mean training target, where they exist.
    """

    metric: str
    label: str
    unit: str
    better: str
    value: float
    low: float | None
    high: float | None
    n: int
    bounds: dict[str, float] = field(default_factory=dict)


@dataclass
class Evaluation:
    """The result of an evaluation.

    Attributes:
        rows: one per metric.
        scores: per metric, one value per image, in the order of ``names``.
        names: the images.
        about: split, resize rule, checkpoint, seconds and other facts; the best and the worst images, and the metric that says so
            (SSIM, or else the first that scores single images; none if none does).
        panels: pictures kept for the report.
    """

    rows: list[Row]
    scores: dict[str, list[float]]
    names: list[str]
    about: dict[str, Any]
    panels: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        by = "ssim" if "ssim" in self.scores else next(iter(self.scores), None)
        worst, best = self.extremes(by) if by is not None else ([], [])
        self.about |= {"ranked_by": by, "worst": worst, "best": best}

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as ``evaluation.json`` holds them: what is not finite is None, for JSON has no word for it."""
        values = {**self.about, "n": len(self.names), "rows": [dataclasses.asdict(row) for row in self.rows], "panels": self.panels}
        return {key: _plain(value) for key, value in values.items()}

    def table(self) -> str:
        """The table for a terminal."""
        bounds = list(dict.fromkeys(name for row in self.rows for name in row.bounds))
        head = ["metric", "value", "95 % interval", *bounds, "better"]
        lines = [
            [
                f"{row.label}{f' ({row.unit})' if row.unit else ''}",
                f"{row.value:.4f}",
                f"[{row.low:.4f}, {row.high:.4f}]" if row.low is not None and row.high is not None else "-",
                *(f"{row.bounds[name]:.4f}" if name in row.bounds else "-" for name in bounds),
                row.better,
            ]
            for row in self.rows
        ]
        widths = [max(len(line[column]) for line in [head, *lines]) for column in range(len(head))]
        return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip() for line in [head, *lines])

    def extremes(self, by: str, count: int = 3) -> tuple[list[str], list[str]]:
        """The names of the worst and of the best images by one metric, the very worst and the very best first."""
        order = self.order(by)
        return [self.names[index] for index in order[:count]], [self.names[index] for index in order[::-1][:count]]

    def order(self, by: str) -> list[int]:
        """The positions of the images from the worst to the best; one whose score is no number is worst of all."""
        sign = next(1 if row.better == "higher" else -1 for row in self.rows if row.metric == by)
        values = [sign * value for value in self.scores[by]]
        return sorted(range(len(values)), key=lambda index: (not math.isnan(values[index]), values[index]))

    def csv(self) -> str:
        """One line per image."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["name", *self.scores])
        writer.writerows(
            [_plain(name), *(f"{values[index]:.6g}" for values in self.scores.values())] for index, name in enumerate(self.names)
        )
        return text.getvalue()

    def save(self, folder: Path) -> None:
        """Write ``evaluation.json`` and ``per_image.csv``."""
        write_text(folder / "per_image.csv", self.csv())
        write_json(folder / "evaluation.json", self.to_dict())


def _plain(value: Any) -> Any:
    """The same without what JSON or UTF-8 cannot say: numbers that are not finite, bytes of a file name that are no letters."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else value


class Scores:
    """The metrics on one way of answering: the model's, or a bound's."""

    def __init__(self, chosen: Sequence[str]) -> None:
        self.metrics: dict[str, Metric] = {name: build("metric", name) for name in chosen}
        self.count = 0

    def update(self, prediction: Tensor, target: Tensor, name: str) -> None:
        """Take in one image, ``[C, H, W]`` in [-1, 1]."""
        self.count += 1
        for metric in self.metrics.values():
            metric.update(prediction[None], target[None], [name])

    def values(self) -> dict[str, float]:
        """The mean, or the one value, of each metric."""
        return {name: value for metric in self.metrics.values() for name, value in metric.compute().items()}

    def per_image(self) -> dict[str, list[float]]:
        """The scores of each metric that scores single images."""
        return {name: list(metric.scores) for name, metric in self.metrics.items() if isinstance(metric, ImageMetric)}


def metric_names(wanted: Sequence[str] | None) -> list[str]:
    """The metrics that were asked for, or all that need nothing but the images."""
    if wanted is None:
        return [name for name in names("metric") if catalog()["metric", name].extra.get("needs", "nothing") == "nothing"]
    chosen = [name.strip() for name in wanted]
    for name in chosen:
        entry("metric", name)
    if not chosen:
        raise UserError(f"no metric is chosen: name some of {', '.join(names('metric'))}, or leave the choice out")
    return list(dict.fromkeys(chosen))


def as_target(source: Tensor, channels: int) -> Tensor | None:
    """The source as an answer, if its channels can be made the target's."""
    if source.shape[0] == channels:
        return source
    if {source.shape[0], channels} == {1, 3}:
        grey = source.mean(dim=0, keepdim=True)
        return grey.expand(channels, -1, -1)
    return None


def table_rows(scores: Scores, bounds: dict[str, Scores]) -> list[Row]:
    """The table's lines, each with its interval, and with the bounds that could answer for every image."""
    reached = {label: bound.values() for label, bound in bounds.items() if bound.count == scores.count}
    rows = []
    for metric in scores.metrics.values():
        for name, value in metric.compute().items():
            low, high = bootstrap_interval(metric.scores) if isinstance(metric, ImageMetric) else (None, None)
            limits = {label: values[name] for label, values in reached.items()}
            rows.append(Row(name, metric.label, metric.unit, metric.better, value, low, high, scores.count, limits))
    return rows
