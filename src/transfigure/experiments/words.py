"""A comparison for a terminal."""

from __future__ import annotations

from .summary import Summary, Value


def to_text(summary: Summary) -> str:
    """The table: variations in rows, metrics in columns, mean and half the interval over seeds; ``*`` marks a best that stands apart."""
    head = [summary.title, *(f"{column.label}{f' ({column.unit})' if column.unit else ''}" for column in summary.columns)]
    lines = []
    for line in summary.lines:
        cells = [_said(line.values.get(column.metric), column.apart and column.best == line.name) for column in summary.columns]
        lines.append([line.name, *cells])
    for bound in summary.bounds:
        lines.append([bound, *(f"{column.bounds[bound]:.4g}" if bound in column.bounds else "-" for column in summary.columns)])
    widths = [max(len(row[at]) for row in [head, *lines]) for at in range(len(head))]
    text = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in [head, *lines]]
    for line in summary.lines:
        text += [f"{line.name}, seed {seed}: {trouble}" for seed, trouble in line.troubles]
    text += [f"skipped: {label}: {reason}" for label, reason in summary.skipped]
    return "\n".join([*text, *summary.notes])


def _said(value: Value | None, best: bool) -> str:
    if value is None or value.mean is None:
        return "-"
    return f"{value.mean:.4g}{f' ± {value.half:.2g}' if value.half is not None else ''}{' *' if best else ''}"
