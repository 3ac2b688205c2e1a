"""A comparison for a terminal, or as a table for a document.

A column has as many decimals as the first two digits of its intervals over seeds warrant; the half width in the middle decides for all,
of two the smaller one.
"""

from __future__ import annotations

import math
import re
from statistics import median, median_low

from .over_seeds import Value
from .summary import Column, Line, Summary

ARROWS = {"higher": " ↑", "lower": " ↓", "one": " → 1"}
ABSENT = "-"


def to_text(summary: Summary) -> str:
    """The table: variations in rows, metrics in columns, mean and half the interval over seeds; ``*`` marks a best that stands apart.

    Below it what went wrong and what was skipped, and of each variation the seeds behind it and what they cost.
    """
    rows = [[summary.title, *map(_head, summary.columns)], *_values(summary, "{} *"), *_bounds(summary)]
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    text = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows]
    return "\n".join([*text, *_amiss(summary), *_behind(summary)])


def to_markdown(summary: Summary) -> str:
    """The same as a GitHub table: the best in bold where it stands apart, bounds in italics, and below it what the numbers are of.

    Names are escaped: none of their letters is taken for markup.
    """
    heads = [_escaped(_head(column)) + ARROWS.get(column.better, "") for column in summary.columns]
    rows = [["variation", *heads], ["---", *("---:" for _ in heads)]]
    rows += [[_escaped(name), *cells] for name, *cells in _values(summary, "**{}**")]
    rows += [[f"*{_escaped(cell)}*" if cell != ABSENT else cell for cell in row] for row in _bounds(summary)]
    halves = [value.half for line in summary.lines for value in line.values.values() if value.half is not None]
    said = [
        "Mean ± half the 95 % interval over seeds (Student's t)." if halves else "",
        "Bold: the best, with an interval apart from those of all others." if any(column.apart for column in summary.columns) else "",
        "Italic: bounds, on the same test images." if summary.bounds else "",
    ]
    table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    behind = f"What each took: {'; '.join(map(_escaped, _behind(summary)))}."
    amiss = "\n".join(f"- {_escaped(each)}" for each in _amiss(summary))
    return "\n\n".join(filter(None, (table, " ".join(filter(None, said)), _factors(summary), behind, amiss)))


def _factors(summary: Summary) -> str:
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
        rows.append([_escaped(factor.name), factor.role, factor.question, *map(_share, values), bound])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _share(value: Value | None) -> str:
    if value is None or value.mean is None:
        return ABSENT
    return f"{value.mean:.2f}" + (f" ± {value.half:.2f}" if value.half is not None else "")


def _head(column: Column) -> str:
    return f"{column.label}{f' ({column.unit})' if column.unit else ''}"


def _values(summary: Summary, best: str) -> list[list[str]]:
    """A row per variation: its name, and what it reached by each metric; ``best`` is filled with what stands apart."""
    places = [_places(column, summary.lines) for column in summary.columns]
    return [[line.name, *(_value(column, line, at, best) for column, at in zip(summary.columns, places))] for line in summary.lines]


def _value(column: Column, line: Line, places: int, best: str) -> str:
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


def _places(column: Column, lines: tuple[Line, ...]) -> int:
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


def _seeds(line: Line) -> str:
    of = f" of {len(line.cells)}" if line.measured < len(line.cells) else ""
    return f"{line.measured}{of} seed{'s' * (len(line.cells) != 1)}"


def _cost(line: Line) -> list[str]:
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
    return re.sub(r"([\\`*_{}\[\]<>|~$&#@])", r"\\\1", " ".join(text.split()))
