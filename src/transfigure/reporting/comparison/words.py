"""The comparison in words: how much of it is done, what the seeds tell apart, and what a reader must know before trusting the page."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ...studies.ablation.summary import Summary
from ..formatting import listed
from .overlays import Shown


def introduction(summary: Summary) -> list[str]:
    """What a reader should know before the table, in sentences."""
    cells = [cell for line in summary.lines for cell in line.cells]
    counts = {len(line.cells) for line in summary.lines}
    variants = f"{len(summary.lines)} variant{'s' * (len(summary.lines) != 1)}"
    single = counts == {1}
    seeds = "one run each" if single else f"{counts.pop()} seeds each" if len(counts) == 1 else f"{len(cells)} runs"
    states = [(sum(cell.state == state for cell in cells), word) for state, word in (("failed", "failed"), ("waiting", "still waiting"))]
    amiss = [f"{count} {word}" for count, word in states if count]
    sentence = f"{variants}, {seeds}: " + (
        f"all {len(cells)} runs are done." if not amiss else f"of {len(cells)} runs {' and '.join(amiss)}."
    )
    budget = f"Budget: {summary.budget.rstrip('.')}." if summary.budget else ""
    return [each for each in (" ".join(filter(None, (sentence, budget))), _differences(summary, single)) if each]


def _differences(summary: Summary, single: bool) -> str:
    compared = [column for column in summary.columns if column.best]
    if not compared:
        return ""
    if single:
        return "One run of each tells no difference from chance: another seed may turn any order here around."
    apart: dict[str, list[str]] = {}
    for column in compared:
        if column.apart:
            apart.setdefault(column.best, []).append(column.label)
    if not apart:
        why = (
            "their intervals over seeds overlap"
            if all(len(line.cells) == line.measured for line in summary.lines)
            else ("their intervals over seeds overlap, or too few runs are done")
        )
        return f"By no metric does the best variant stand apart from all others: {why}."
    winners = "; ".join(f"{name} by {listed(labels)}" for name, labels in apart.items())
    left = len(compared) - sum(map(len, apart.values()))
    others = (
        f" By {'the other' if left > 1 else 'the one other'} {f'{left} metrics' if left > 1 else 'metric'} no variant does." if left else ""
    )
    return f"Best and apart from all others, as far as the seeds can tell: {winners}.{others}"


def health(shown: Sequence[Shown]) -> list[tuple[str, str, str]]:
    """(variant, which seeds and when, what) of every kind of warning that training raised."""
    found: dict[tuple[str, str], list[tuple[int, float, str]]] = {}
    for variant in shown:
        for seed, files in variant.runs:
            for line in files.log.health:
                if line.get("level") != "info":
                    message = str(line.get("message") or line.get("code") or "no words")
                    found.setdefault((variant.name, str(line.get("code") or message)), []).append((seed, float(line["images"]), message))
    lines = []
    for (name, _), each in found.items():
        seeds = list(dict.fromkeys(seed for seed, _, _ in each))
        which = f"seed{'s' * (len(seeds) > 1)} {', '.join(map(str, seeds))}, first at {min(images for _, images, _ in each):,.0f} images"
        lines.append((name, which, each[-1][2]))
    return lines


def not_finite(shown: Sequence[Shown]) -> list[str]:
    """Curves with gaps, by variant."""
    lost = [
        variant.name
        for variant in shown
        if any(math.isnan(value) for _, files in variant.runs for key in ("g", "d", "adversarial") for _, value in files.log.series(key))
    ]
    return [f"Not every logged value is finite: {', '.join(lost)}. The curves leave those out."] if lost else []
