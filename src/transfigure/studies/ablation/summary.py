"""Variants side by side in numbers: each metric's mean over seeds with its interval, which is best and whether that is more than chance.

A best variant is told from the rest only where its interval over seeds lies apart from every other's: a cautious rule, for intervals may
overlap a little and still differ.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import PurePath
from typing import Any, get_args

from ...errors import UserError
from ...evaluation.schema import FILE, EvaluationRecord, Facts, Row
from ...metrics.direction import Better, badness
from .cost import Cost, cost_of
from .factor_table import FactorLine, factor_lines
from .over_seeds import Value, over_seeds
from .study import Cell, Study, Variant, of_runs, read_ablation

__all__ = [
    "Cell",
    "Column",
    "Cost",
    "Line",
    "Study",
    "Summary",
    "Variant",
    "of_runs",
    "read_ablation",
    "summarise",
    "to_csv",
    "to_dict",
]

EQUAL = 1e-3
"""Bounds of two evaluations of the same pairs agree within this share; a GPU sums in another order."""


@dataclass(frozen=True)
class Column:
    """A metric's value as a column of the table.

    Attributes:
        better: ``lower``, ``higher`` or ``one`` (nearest to 1); empty if nobody says.
        best: the variant with the best mean; empty where fewer than two have one.
        apart: whether its interval over seeds lies apart from those of all others that have a value.
        bounds: what needs no translator, and the targets, score: those that are the same for every run.
        cautions: why the values should be read with care.
    """

    metric: str
    label: str
    unit: str
    better: str
    of: str
    best: str = ""
    apart: bool = False
    bounds: dict[str, float] = field(default_factory=dict)
    cautions: tuple[str, ...] = ()


@dataclass(frozen=True)
class Line:
    """A variant as a row of the table.

    Attributes:
        values: by metric; a metric that no run of it mentions is absent.
        measured: runs with an evaluation.
        troubles: (seed, what is the matter) of the runs without one.
    """

    name: str
    cells: tuple[Cell, ...]
    values: dict[str, Value]
    cost: Cost
    measured: int
    troubles: tuple[tuple[int, str], ...]


@dataclass(frozen=True)
class Summary:
    """The table.

    Attributes:
        bounds: names of the extra lines below, as far as any column has them.
        skipped: (label, reason) of metrics that no run has a value of.
        notes: in words, what a reader must know before trusting the table.
        factors: what became of each known factor, where the cells were analysed and their data have any.
    """

    title: str
    about: str
    budget: str
    columns: tuple[Column, ...]
    lines: tuple[Line, ...]
    bounds: tuple[str, ...]
    skipped: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]
    factors: tuple[FactorLine, ...] = ()


def summarise(study: Study) -> Summary:
    """The table of a study, from the evaluations and logs of its runs; a part that is missing or damaged is a gap and a note."""
    notes: list[str] = []
    records = {cell: _evaluation(cell, notes) for variant in study.variants for cell in variant.cells}
    rows = {cell: record.rows if record else [] for cell, record in records.items()}
    every = [row for of_cell in rows.values() for row in of_cell]
    valued = list(dict.fromkeys(row.metric for row in every if not row.skipped))
    valued_of = {row.of for row in every if not row.skipped}
    order = {name: at for at, name in enumerate(study.metrics)}
    first = {row.metric: row for row in reversed(every) if not row.skipped}
    valued.sort(key=lambda key: order.get(first[key].of, len(order)))
    lines = tuple(_line(variant, rows, {key: first[key].of for key in valued}) for variant in study.variants)
    columns = tuple(_column(first[key], [row for row in every if row.metric == key and not row.skipped], lines) for key in valued)
    absent = dict.fromkeys((row.label, row.skipped) for row in every if row.skipped and row.of not in valued_of)
    notes += _different([record.about for record in records.values() if record and record.rows])
    bounds = tuple(dict.fromkeys(name for column in columns for name in column.bounds))
    return Summary(
        study.title, study.about, study.budget, columns, lines, bounds, tuple(absent), tuple(dict.fromkeys(notes)), factor_lines(study)
    )


def to_dict(summary: Summary) -> dict[str, Any]:
    """Plain values for ``comparison.json``. Nothing but ``cost`` differs between two runs of one ablation on one machine."""
    return {
        "title": summary.title,
        "about": summary.about,
        "budget": summary.budget,
        "columns": [
            {key: getattr(column, key) for key in ("metric", "label", "unit", "better", "of", "best", "apart", "bounds")}
            | {"cautions": list(column.cautions)}
            for column in summary.columns
        ],
        "variants": [
            {
                "name": line.name,
                "cells": [{"seed": cell.seed, "state": cell.state, "reason": cell.reason} for cell in line.cells],
                "values": {metric: _told(value) for metric, value in line.values.items()},
            }
            for line in summary.lines
        ],
        "cost": {line.name: dict(vars(line.cost)) for line in summary.lines},
        "skipped": [{"label": label, "reason": reason} for label, reason in summary.skipped],
        "notes": list(summary.notes),
        **({"factors": [_factor(line) for line in summary.factors]} if summary.factors else {}),
    }


def to_csv(summary: Summary) -> str:
    """One line per variant, then one per bound; what things cost stands in the last columns, whose names start with ``cost_``."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    metrics = [column.metric for column in summary.columns]
    parts = ("mean", "low", "high", "n")
    costs = list(vars(Cost()))
    writer.writerow(
        ["kind", "name", "runs", "measured", *(f"{m}_{part}" for m in metrics for part in parts), *(f"cost_{c}" for c in costs)]
    )
    for line in summary.lines:
        values = [line.values.get(metric, Value()) for metric in metrics]
        numbers = [_number(getattr(value, part)) for value in values for part in parts]
        spent = [_number(getattr(line.cost, cost)) for cost in costs]
        writer.writerow(["variant", line.name, len(line.cells), line.measured, *numbers, *spent])
    for name in summary.bounds:
        numbers = [text for column in summary.columns for text in (_number(column.bounds.get(name)), "", "", "")]
        writer.writerow(["bound", name, "", "", *numbers, *("" for _ in costs)])
    return text.getvalue()


def _number(value: float | str | None) -> str:
    if value is None or isinstance(value, str):
        return value or ""
    return f"{value:.0f}" if value == round(value) and abs(value) < 1e15 else f"{value:.6g}"


def _told(value: Value) -> dict[str, Any]:
    seeds = [{"seed": seed, "value": each} for seed, each in value.seeds]
    return {"n": value.n, "mean": value.mean, "low": value.low, "high": value.high, "seeds": seeds, "skipped": value.skipped}


def _factor(line: FactorLine) -> dict[str, Any]:
    values = {name: _told(value) | {"verdicts": line.verdicts[name]} for name, value in line.values.items()}
    return {"name": line.name, "role": line.role, "question": line.question, "random_target": line.random_target, "values": values}


# ---- rows and columns ------------------------------------------------------------------------------------------------------


def _line(variant: Variant, rows: dict[Cell, list[Row]], columns: dict[str, str]) -> Line:
    """A variant's values; a metric that was skipped as a whole has one row in the place of all its values."""
    values = {}
    for key, of in columns.items():
        here = [(cell, row) for cell in variant.cells for row in rows[cell] if row.metric == key or (row.skipped and row.of == of)]
        seeds = [(cell.seed, row.value) for cell, row in here if row.metric == key and row.value is not None]
        if here:
            values[key] = over_seeds(seeds, next((row.skipped for _, row in here if row.skipped), ""))
    troubles = []
    for cell in variant.cells:
        if cell.state != "done":
            troubles.append((cell.seed, cell.state + (f": {cell.reason}" if cell.reason else "")))
        elif not rows[cell]:
            troubles.append((cell.seed, "trained, but without an evaluation"))
    return Line(variant.name, variant.cells, values, cost_of(variant), len(variant.cells) - len(troubles), tuple(troubles))


def _column(row: Row, rows: list[Row], lines: tuple[Line, ...]) -> Column:
    better = row.better
    known = [(line.name, value.mean, value) for line in lines if (value := line.values.get(row.metric)) and value.mean is not None]
    best, apart = "", False
    if better in get_args(Better) and len(known) > 1:
        best = min(known, key=lambda each: badness(better, each[1]))[0]
        spans = [
            (name, _between(better, value.low, value.high)) for name, _, value in known if value.low is not None and value.high is not None
        ]
        worst = next((high for name, (_, high) in spans if name == best), math.inf)
        apart = len(spans) == len(known) and all(worst < low for name, (low, _) in spans if name != best)
    cautions = tuple(dict.fromkeys(each.caution for each in rows if each.caution))
    return Column(row.metric, row.label, row.unit, better, row.of, best, apart, _bounds(rows), cautions)


def _between(better: str, low: float, high: float) -> tuple[float, float]:
    """For an interval of a value the interval of how bad that is."""
    ends = badness(better, low), badness(better, high)
    return (0.0 if better == "one" and low <= 1 <= high else min(ends)), max(ends)


def _bounds(rows: list[Row]) -> dict[str, float]:
    """The bounds that every run has, and has the same."""
    same = {}
    for name, value in rows[0].bounds.items():
        others = [row.bounds.get(name) for row in rows[1:]]
        if value is not None and all(other is not None and math.isclose(value, other, rel_tol=EQUAL, abs_tol=1e-6) for other in others):
            same[name] = value
    return same


# ---- files of a run --------------------------------------------------------------------------------------------------------


def _evaluation(cell: Cell, notes: list[str]) -> EvaluationRecord | None:
    """A run's evaluation; None for a run that is not done, or has none that can be read."""
    folder = cell.run / "evaluation"
    if cell.state != "done" or not (folder / FILE).is_file():
        return None
    try:
        record = EvaluationRecord.read(folder)
    except UserError as error:
        reason = str(error).rpartition("cannot be read: ")[2]
        notes.append(f"The evaluation of {cell.variation}, seed {cell.seed}, could not be read: {reason}.")
        return None
    return replace(record, rows=[row for row in record.rows if row.metric])


def _different(evaluations: Sequence[Facts]) -> Iterable[str]:
    """Evaluations are comparable if they were made of the same images in the same way."""
    for key, what in (("data", "data set"), ("split", "split"), ("n", "number of images"), ("resize", "resize rule")):
        given = [str(value) for facts in evaluations if (value := getattr(facts, key))]
        found = list(dict.fromkeys(PurePath(value).name if key == "data" else value for value in given))
        if len(found) > 1:
            yield f"Not every run was evaluated alike: the {what} is {', '.join(found[:-1])} or {found[-1]}. Compare with care."
