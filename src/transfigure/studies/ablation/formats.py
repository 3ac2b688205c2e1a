"""A comparison written down: plain values for ``comparison.json``, a CSV, a table for a terminal, and one in Markdown.

In the last two a column has as many decimals as the first two digits of its intervals over seeds warrant; the half width in the middle
decides for all, of two the smaller one.
"""

from __future__ import annotations

import csv
import io
import math
import re
from statistics import median, median_low
from typing import Any

from ...errors import printable
from .over_seeds import SeedStatistics
from .summary import Column, Cost, FactorLine, Summary, VariantLine

ARROWS = {"higher": " ↑", "lower": " ↓", "one": " → 1"}
ABSENT = "-"


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
                "diagnoses": [{"seed": seed, "diagnosis": found.word, "reasons": list(found.reasons)} for seed, found in line.diagnoses],
                "values": {metric: _plain(value) for metric, value in line.values.items()},
            }
            for line in summary.lines
        ],
        "cost": {line.name: dict(vars(line.cost)) for line in summary.lines},
        "skipped": [{"label": label, "reason": reason} for label, reason in summary.skipped],
        "notes": list(summary.notes),
        **({"factors": [_plain_factor(line) for line in summary.factors]} if summary.factors else {}),
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
        values = [line.values.get(metric, SeedStatistics()) for metric in metrics]
        numbers = [_csv_number(getattr(value, part)) for value in values for part in parts]
        spent = [_csv_number(getattr(line.cost, cost)) for cost in costs]
        writer.writerow(["variant", line.name, len(line.cells), line.measured, *numbers, *spent])
    for name in summary.bounds:
        numbers = [text for column in summary.columns for text in (_csv_number(column.bounds.get(name)), "", "", "")]
        writer.writerow(["bound", name, "", "", *numbers, *("" for _ in costs)])
    return text.getvalue()


def to_text(summary: Summary) -> str:
    """The table: variations in rows, metrics in columns, mean and half the interval over seeds; ``*`` marks a best that stands apart.

    Below it the diagnoses, what went wrong and what was skipped, and of each variation the seeds behind it and what they cost.
    """
    rows = [[summary.title, *map(_head, summary.columns)], *_values(summary, "{} *"), *_bounds(summary)]
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    text = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows]
    return "\n".join(map(printable, [*text, *_diagnoses(summary), *_amiss(summary), *_behind(summary)]))


def to_markdown(summary: Summary) -> str:
    """The same as a GitHub table: the best in bold where it stands apart, bounds in italics, and below it what the numbers are of.

    Names are escaped: none of their letters is taken for markup.
    """
    heads = [_escaped(_head(column)) + ARROWS.get(column.better, "") for column in summary.columns]
    rows = [["variation", *heads], ["---", *("---:" for _ in heads)]]
    rows += [[_escaped(name), *cells] for name, *cells in _values(summary, "**{}**")]
    rows += [[f"*{_escaped(cell)}*" if cell != ABSENT else cell for cell in row] for row in _bounds(summary)]
    halves = [value.half for line in summary.lines for value in line.values.values() if value.half is not None]
    notes = [
        "Mean ± half the 95 % interval over seeds (Student's t)." if halves else "",
        "Bold: the best, with an interval apart from those of all others." if any(column.apart for column in summary.columns) else "",
        "Italic: bounds, on the same test images." if summary.bounds else "",
    ]
    table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    behind = f"What each took: {'; '.join(map(_escaped, _behind(summary)))}."
    amiss = "\n".join(f"- {_escaped(each)}" for each in _amiss(summary))
    return "\n\n".join(filter(None, (table, " ".join(filter(None, notes)), _factor_table(summary), behind, amiss)))


def _factor_table(summary: Summary) -> str:
    """A second table: what became of every known factor."""
    if not summary.factors:
        return ""
    lines = summary.lines
    rows = [
        ["factor", "of", "asked", *(_escaped(line.name) for line in lines), "*random target*"],
        ["---", "---", "---", *("---:" for _ in lines), "---:"],
    ]
    for factor in summary.factors:
        values = [factor.values.get(line.name) for line in lines]
        bound = ABSENT if factor.random_target is None else f"*{factor.random_target:.2f}*"
        rows.append([_escaped(factor.name), factor.role, factor.question.replace("_", " "), *map(_share, values), bound])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _share(value: SeedStatistics | None) -> str:
    if value is None or value.mean is None:
        return ABSENT
    return f"{value.mean:.2f}" + (f" ± {value.half:.2f}" if value.half is not None else "")


def _head(column: Column) -> str:
    return f"{column.label}{f' ({column.unit})' if column.unit else ''}"


def _values(summary: Summary, best: str) -> list[list[str]]:
    """A row per variation: its name, and what it reached by each metric; ``best`` is filled with what stands apart."""
    places = [_places(column, summary.lines) for column in summary.columns]
    return [[line.name, *(_value(column, line, at, best) for column, at in zip(summary.columns, places))] for line in summary.lines]


def _value(column: Column, line: VariantLine, places: int, best: str) -> str:
    value = line.values.get(column.metric)
    if value is None or value.mean is None:
        return ABSENT
    half = "" if value.half is None else f" ± {_number(value.half, places)}"
    text = f"{_number(value.mean, places)}{half}{f' (n = {value.n})' if value.n < line.measured else ''}"
    return best.format(text) if column.apart and column.best == line.name else text


def _bounds(summary: Summary) -> list[list[str]]:
    """A row per bound: its name, and what it reaches by each metric that has it."""
    places = [_places(column, summary.lines) for column in summary.columns]
    return [
        [name, *(_number(column.bounds[name], at) if name in column.bounds else ABSENT for column, at in zip(summary.columns, places))]
        for name in summary.bounds
    ]


def _places(column: Column, lines: tuple[VariantLine, ...]) -> int:
    """Decimals of a column: two digits of the half width in the middle, at most two more than show three digits of the largest mean."""
    values = [line.values[column.metric] for line in lines if column.metric in line.values]
    halves = [half for value in values if (half := value.half)]
    usual = min(6, _decimals(max((abs(value.mean) for value in values if value.mean is not None), default=0.0), 3))
    return min(_decimals(median_low(halves), 2), usual + 2) if halves else usual


def _decimals(value: float, digits: int) -> int:
    """Decimals that show so many significant digits of a value."""
    return max(0, digits - 1 - math.floor(math.log10(value))) if value else digits - 1


def _number(value: float, places: int) -> str:
    """With so many decimals; a small one gets more, so that only zero is written as zero."""
    if abs(value) >= 1e9:
        return f"{value:.3g}"
    return f"{value:.2g}" if 0 < abs(value) <= 0.5 * 10.0**-places else f"{value + 0.0:.{places}f}"


def _amiss(summary: Summary) -> list[str]:
    """Cells without a value, values to be read with care, metrics that nobody has, and what else a reader must know."""
    troubles = [f"{line.name}, seed {seed}: {trouble}" for line in summary.lines for seed, trouble in line.troubles]
    cautions = [f"with care: {column.label}: {caution}" for column in summary.columns for caution in column.cautions]
    return [*troubles, *cautions, *(f"skipped: {label}: {reason}" for label, reason in summary.skipped), *summary.notes]


def _behind(summary: Summary) -> list[str]:
    """Of each variation in a sentence: how many seeds its numbers are of, what each of them saw, and what it cost."""
    return [f"{line.name}: {', '.join(filter(None, (_seeds(line), *_cost(line))))}" for line in summary.lines]


def _diagnoses(summary: Summary) -> list[str]:
    """The diagnoses of the runs of each variation, in one line; variations that have the same share it."""
    same: dict[str, list[str]] = {}
    for line in summary.lines:
        same.setdefault(line.diagnosed, []).append(line.name)
    told = [f"{words}: {'; '.join(names)}" for words, names in same.items() if words]
    return [f"diagnosis: {' | '.join(told)}"] if told else []


def _seeds(line: VariantLine) -> str:
    of = f" of {len(line.cells)}" if line.measured < len(line.cells) else ""
    return f"{line.measured}{of} seed{'s' * (len(line.cells) != 1)}"


def _cost(line: VariantLine) -> list[str]:
    """Images seen, the median of the cells' seconds (of runs that nobody timed: the mean that their logs tell) and the highest memory."""
    timed = [cell.seconds for cell in line.cells if cell.state == "done" and cell.seconds is not None]
    seconds = median(timed) if timed else line.cost.seconds
    several = f" ({'median' if timed else 'mean'})" if line.measured > 1 else ""
    return [
        f"{line.cost.images:,.0f} images seen" if line.cost.images is not None else "",
        f"{seconds:,.{0 if seconds >= 10 else 1}f} s a cell{several}" if seconds is not None else "",
        f"{line.cost.peak_mib:,.0f} MiB at most" if line.cost.peak_mib is not None else "",
        f"stabilised by {line.cost.stabilisers}" if line.cost.stabilisers else "",
    ]


def _escaped(text: str) -> str:
    """The text on one line, for Markdown to take as it stands."""
    return re.sub(r"([\\`*_{}\[\]<>|~$&#@])", r"\\\1", printable(" ".join(text.split())))


# ---- plain values -----------------------------------------------------------------------------------------------------------


def _csv_number(value: float | str | None) -> str:
    if value is None or isinstance(value, str):
        return value or ""
    return f"{value:.0f}" if value == round(value) and abs(value) < 1e15 else f"{value:.6g}"


def _plain(value: SeedStatistics) -> dict[str, Any]:
    seeds = [{"seed": seed, "value": each} for seed, each in value.seeds]
    return {"n": value.n, "mean": value.mean, "low": value.low, "high": value.high, "seeds": seeds, "skipped": value.skipped}


def _plain_factor(line: FactorLine) -> dict[str, Any]:
    values = {name: _plain(value) | {"outcomes": line.outcomes[name]} for name, value in line.values.items()}
    return {"name": line.name, "role": line.role, "question": line.question, "random_target": line.random_target, "values": values}
