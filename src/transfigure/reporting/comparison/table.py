"""The table of a comparison in words: means with half their intervals, what the seeds tell apart, and what is missing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import Any

from ...metrics.direction import badness
from ...progress import duration
from ...studies.ablation.over_seeds import SeedStatistics
from ...studies.ablation.summary import Column, FactorLine, Summary, VariantLine
from ..charts import LineStyle
from ..formatting import ARROWS, MEANINGS, count, decimals, listed, plain, to_places
from ..scores import CEILINGS

COSTS: dict[str, tuple[str, Callable[[Any], str]]] = {
    "seconds": ("Time a run", duration),
    "peak_mib": ("Peak memory", lambda value: f"{plain(value, 0)} MiB"),
    "images_per_second": ("Images/s", plain),
    "images": ("Images seen", lambda value: plain(value, 0)),
    "generator_parameters": ("Generator", lambda value: f"{count(value)} parameters"),
    "discriminator_parameters": ("Discriminator", lambda value: f"{count(value)} parameters"),
    "stabilisers": ("Stabilised by", str),
}
"""What a run costs: a column's head, and how its numbers are written."""


@dataclass(frozen=True)
class TableCell:
    """A cell of the table.

    Attributes:
        half: half the 95 % interval over seeds; empty for one seed.
        few: how many seeds it is of, where that is fewer than the variant has; empty otherwise.
        best: whether it is the best, and apart from all others.
        beaten: what needs no translator and does better.
        seeds: each seed's value in words.
    """

    text: str
    half: str = ""
    few: str = ""
    best: bool = False
    beaten: str = ""
    seeds: str = ""


@dataclass(frozen=True)
class VariantRow:
    """A variant: its name, style, how many of its runs are measured, and its cells."""

    name: str
    style: LineStyle
    runs: str
    whole: bool
    cells: list[TableCell]


@dataclass(frozen=True)
class ColumnHead:
    """A column's head."""

    label: str
    unit: str
    arrow: str
    meaning: str
    caution: str


@dataclass(frozen=True)
class FactorRow:
    """A known factor: what is asked of it, and a cell for each variant, whose hint is what the analyses call it."""

    name: str
    role: str
    question: str
    cells: list[TableCell]
    random_target: str


@dataclass(frozen=True)
class ComparisonTable:
    """The table, with what is said below it.

    Attributes:
        bounds: (name, whether it is a ceiling, cells) of the extra lines.
        troubles: (variant, seeds, what is the matter).
        cautions, skipped: (which metrics, reason).
        costs: heads, and for each variant its cells.
        factors: what became of each known factor; empty where none are.
    """

    heads: list[ColumnHead]
    rows: list[VariantRow]
    bounds: list[tuple[str, bool, list[str]]]
    troubles: list[tuple[str, str, str]]
    cautions: list[tuple[str, str]]
    skipped: list[tuple[str, str]]
    costs: tuple[list[str], list[list[str]]]
    factors: list[FactorRow]

    @property
    def starred(self) -> bool:
        """Whether any variant is told from all others by any metric."""
        return any(cell.best for row in self.rows for cell in row.cells)

    @property
    def beaten(self) -> bool:
        """Whether any variant does worse than what needs no translator."""
        return any(cell.beaten for row in self.rows for cell in row.cells)


def table(summary: Summary) -> ComparisonTable:
    """The summary in words."""
    places = {column.metric: _places(column, summary.lines) for column in summary.columns}
    names = sorted(summary.bounds, key=lambda name: name in CEILINGS)
    return ComparisonTable(
        [
            ColumnHead(
                column.label, column.unit, ARROWS.get(column.better, ""), MEANINGS.get(column.better, ""), "; ".join(column.cautions)
            )
            for column in summary.columns
        ],
        [
            VariantRow(
                line.name,
                LineStyle.of(at),
                f"{line.measured}" if line.measured == len(line.cells) else f"{line.measured} of {len(line.cells)}",
                line.measured == len(line.cells),
                [_cell(column, line, places[column.metric]) for column in summary.columns],
            )
            for at, line in enumerate(summary.lines)
        ],
        [
            (
                name,
                name in CEILINGS,
                [to_places(column.bounds[name], places[column.metric]) if name in column.bounds else "–" for column in summary.columns],
            )
            for name in names
        ],
        [trouble for line in summary.lines for trouble in _troubles(line)],
        _grouped([(caution, column.label) for column in summary.columns for caution in column.cautions]),
        _grouped([(reason, label) for label, reason in summary.skipped] + list(_gaps(summary))),
        _costs(summary),
        [_factor(factor, summary.lines) for factor in summary.factors],
    )


def _places(column: Column, lines: tuple[VariantLine, ...]) -> int:
    """Decimals of a column: three digits of its largest value, and one or two more where most intervals are narrower than that."""
    values = [line.values[column.metric] for line in lines if column.metric in line.values]
    usual = decimals(*(value.mean for value in values))
    halves = [half for value in values if (half := value.half)]
    return min(max(usual, decimals(median(halves)) - 2), usual + 2) if halves else usual


def _cell(column: Column, line: VariantLine, places: int) -> TableCell:
    value = line.values.get(column.metric, SeedStatistics())
    if value.mean is None:
        return TableCell("skipped" if value.skipped else "–")
    return TableCell(
        plain(value.mean, places),
        "" if value.half is None else to_places(value.half, places),
        f"n = {value.n}" if value.n < line.measured else "",
        column.apart and column.best == line.name,
        listed(found) if (found := _beaten(column, value.mean)) else "",
        ", ".join(f"seed {seed}: {plain(each, places)}" for seed, each in value.seeds),
    )


def _factor(factor: FactorLine, lines: tuple[VariantLine, ...]) -> FactorRow:
    cells = []
    for line in lines:
        value = factor.values.get(line.name, SeedStatistics())
        if value.mean is None:
            cells.append(TableCell("–"))
        else:
            half = "" if value.half is None else to_places(value.half, 2)
            cells.append(TableCell(plain(value.mean, 2), half, seeds=factor.outcomes.get(line.name) or "no outcome"))
    bound = "–" if factor.random_target is None else to_places(factor.random_target, 2)
    return FactorRow(factor.name, factor.role, factor.question.replace("_", " "), cells, bound)


def _beaten(column: Column, mean: float) -> list[str]:
    """The bounds without a translator that score better than this."""
    floors = {name: bound for name, bound in column.bounds.items() if name not in CEILINGS and column.better in MEANINGS}
    return [name for name, bound in floors.items() if badness(column.better, bound) < badness(column.better, mean)]


def _troubles(line: VariantLine) -> list[tuple[str, str, str]]:
    """Seeds of one trouble together."""
    seeds: dict[str, list[str]] = {}
    for seed, what in line.troubles:
        seeds.setdefault(what, []).append(str(seed))
    return [(line.name, f"seed{'s' * (len(found) > 1)} {listed(found)}", what) for what, found in seeds.items()]


def _gaps(summary: Summary) -> list[tuple[str, str]]:
    """Metrics that some variants have and others lack: (reason, which)."""
    return [
        (line.values[column.metric].skipped, f"{column.label} of {line.name}{' in part' if line.values[column.metric].n else ''}")
        for column in summary.columns
        for line in summary.lines
        if column.metric in line.values and line.values[column.metric].skipped
    ]


def _grouped(pairs: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """(labels of one reason, reason), in order of first appearance."""
    labels: dict[str, list[str]] = {}
    for reason, label in pairs:
        labels.setdefault(reason, []).append(label)
    return [(", ".join(dict.fromkeys(found)), reason) for reason, found in labels.items()]


def _costs(summary: Summary) -> tuple[list[str], list[list[str]]]:
    known = [key for key in COSTS if any(getattr(line.cost, key) is not None for line in summary.lines)]
    rows = []
    for line in summary.lines:
        values = [(COSTS[key][1], getattr(line.cost, key)) for key in known]
        rows.append([write(value) if value is not None else "–" for write, value in values])
    return [COSTS[key][0] for key in known], rows
