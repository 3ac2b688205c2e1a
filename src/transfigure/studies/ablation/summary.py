"""Variants side by side in numbers: each metric's mean over seeds with its interval, which is best and whether that is more than chance.

A best variant is told from the rest only where its interval over seeds lies apart from every other's: a cautious rule, for intervals may
overlap a little and still differ.
"""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePath
from typing import Any, get_args

from ...errors import UserError
from ...evaluation.diagnosis import WORDS, Diagnosis, diagnose, read_run_log
from ...evaluation.schema import FILE, EvaluationRecord, Facts, Row, finite
from ...metrics.direction import Better, badness
from ...recipe import stabilisers
from ...stored import read_log, read_yaml
from .over_seeds import SeedStatistics, over_seeds
from .variants import Comparison, TrainedCell, Variant, read_object

ANALYSIS = "analysis/analysis.json"
QUESTIONS = {"shared": "preserved", "source only": "hidden_information", "target only": "generated"}
"""What is asked of a factor, by its role."""
FORMER_KEYS = {"smuggled": "hidden_information", "verdict": "outcome"}
FORMER_OUTCOMES = {
    "kept though it should not be": "preserved though it should not be",
    "lost, but smuggled": "lost, but hidden in the output",
}
"""What analyses of 0.1.0 call it."""
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
class Cost:
    """What a run of a variant took: means over its runs, the highest for memory; None where it is not known.

    Attributes:
        stabilisers: what steadied its training beside G's objective, in words; None if nothing did.
    """

    seconds: float | None = None
    peak_mib: float | None = None
    images: float | None = None
    images_per_second: float | None = None
    generator_parameters: float | None = None
    discriminator_parameters: float | None = None
    stabilisers: str | None = None


@dataclass(frozen=True)
class FactorLine:
    """One factor as a row.

    Attributes:
        name: the factor's.
        role: ``shared``, ``source only`` or ``target only``.
        question: ``preserved``, ``hidden_information`` or ``generated``.
        values: by variation, over seeds.
        outcomes: by variation what the analyses call it, each with how many seeds say so, as ``preserved (2), lost (1)``.
        random_target: what a random target in place of G(x) scores; None where that is not asked.
    """

    name: str
    role: str
    question: str
    values: dict[str, SeedStatistics]
    outcomes: dict[str, str]
    random_target: float | None


@dataclass(frozen=True)
class VariantLine:
    """A variant as a row of the table.

    Attributes:
        values: by metric; a metric that no run of it mentions is absent.
        measured: runs with an evaluation.
        troubles: (seed, what is the matter) of the runs without one.
        diagnoses: (seed, diagnosis) of the runs that are done.
    """

    name: str
    cells: tuple[TrainedCell, ...]
    values: dict[str, SeedStatistics]
    cost: Cost
    measured: int
    troubles: tuple[tuple[int, str], ...]
    diagnoses: tuple[tuple[int, Diagnosis], ...] = ()

    @property
    def diagnosed(self) -> str:
        """Its runs' diagnoses, the worst first: ``collapsed in 2 of 3 runs, healthy in 1 of 3``; without numbers where there is one run."""
        times = Counter(found.word for _, found in self.diagnoses)
        words = [word for word in WORDS if times[word]]
        count = len(self.diagnoses)
        told = [f"{word} in {times[word]} of {count}{' runs' if word == words[0] else ''}" for word in words]
        return ", ".join(told if count > 1 else words)


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
    lines: tuple[VariantLine, ...]
    bounds: tuple[str, ...]
    skipped: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]
    factors: tuple[FactorLine, ...] = ()


def summarise(comparison: Comparison) -> Summary:
    """The table of a comparison, from the evaluations and logs of its runs; a part that is missing or damaged is a gap and a note."""
    notes: list[str] = []
    records = {cell: _evaluation(cell, notes) for variant in comparison.variants for cell in variant.cells}
    rows = {cell: record.rows if record else [] for cell, record in records.items()}
    every = [row for of_cell in rows.values() for row in of_cell]
    valued = list(dict.fromkeys(row.metric for row in every if not row.skipped))
    valued_of = {row.of for row in every if not row.skipped}
    order = {name: at for at, name in enumerate(comparison.metrics)}
    first = {row.metric: row for row in reversed(every) if not row.skipped}
    valued.sort(key=lambda key: order.get(first[key].of, len(order)))
    lines = tuple(_line(variant, rows, {key: first[key].of for key in valued}) for variant in comparison.variants)
    columns = tuple(_column(first[key], [row for row in every if row.metric == key and not row.skipped], lines) for key in valued)
    absent = dict.fromkeys((row.label, row.skipped) for row in every if row.skipped and row.of not in valued_of)
    notes += _different([record.about for record in records.values() if record and record.rows])
    bounds = tuple(dict.fromkeys(name for column in columns for name in column.bounds))
    return Summary(
        comparison.title,
        comparison.about,
        comparison.budget,
        columns,
        lines,
        bounds,
        tuple(absent),
        tuple(dict.fromkeys(notes)),
        factor_lines(comparison),
    )


# ---- rows and columns ------------------------------------------------------------------------------------------------------


def _line(variant: Variant, rows: dict[TrainedCell, list[Row]], columns: dict[str, str]) -> VariantLine:
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
    diagnoses = tuple(
        (cell.seed, diagnose(read_run_log(cell.run / "log.jsonl").entries, rows[cell])) for cell in variant.cells if cell.state == "done"
    )
    measured = len(variant.cells) - len(troubles)
    return VariantLine(variant.name, variant.cells, values, cost_of(variant), measured, tuple(troubles), diagnoses)


def _column(row: Row, rows: list[Row], lines: tuple[VariantLine, ...]) -> Column:
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


def _evaluation(cell: TrainedCell, notes: list[str]) -> EvaluationRecord | None:
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
        given = ["none (whole images)" if (key, value) == ("resize", "none") else value for value in given]
        found = list(dict.fromkeys(PurePath(value).name if key == "data" else value for value in given))
        if len(found) > 1:
            yield f"Not every run was evaluated alike: the {what} is {', '.join(found[:-1])} or {found[-1]}. Compare with care."


# ---- factors ----------------------------------------------------------------------------------------------------------------


def factor_lines(comparison: Comparison) -> tuple[FactorLine, ...]:
    """The rows, in the order of the world's factors; none where no cell has an analysis of known factors."""
    factors: dict[tuple[str, str], dict[str, list[tuple[int, dict[str, Any]]]]] = {}
    for variant in comparison.variants:
        for cell in variant.cells:
            for factor in _analysed(cell.run) if cell.state == "done" else ():
                key = str(factor.get("name")), str(factor.get("role"))
                factors.setdefault(key, {}).setdefault(variant.name, []).append((cell.seed, factor))
    return tuple(_factor_line(name, role, of) for (name, role), of in factors.items() if role in QUESTIONS)


def _factor_line(name: str, role: str, of: dict[str, list[tuple[int, dict[str, Any]]]]) -> FactorLine:
    question = QUESTIONS[role]
    values, outcomes = {}, {}
    for variation, factors in of.items():
        found = [(seed, value) for seed, factor in factors if (value := _factor_value(factor, question)) is not None]
        values[variation] = over_seeds(found)
        seen = [str(factor.get("outcome") or "") for _, factor in factors]
        outcomes[variation] = ", ".join(f"{each} ({seen.count(each)})" for each in dict.fromkeys(seen) if each)
    first = next(iter(of.values()))[0][1]
    bounds = first.get("bounds")
    random = bounds.get("random target") if isinstance(bounds, dict) else None
    return FactorLine(name, role, question, values, outcomes, finite(random.get(question)) if isinstance(random, dict) else None)


def _factor_value(factor: dict[str, Any], question: str) -> float | None:
    value = factor.get(question)
    return finite(value.get("value") if isinstance(value, dict) else value)


def _analysed(run: Path) -> list[dict[str, Any]]:
    file = run / ANALYSIS
    if not file.is_file():
        return []
    try:
        factors = read_object(file).get("factors")
    except UserError:
        return []
    return [_renamed(factor) for factor in factors if isinstance(factor, dict)] if isinstance(factors, list) else []


def _renamed(factor: dict[str, Any]) -> dict[str, Any]:
    """A factor of an analysis in today's words, whichever version wrote it."""
    return {FORMER_KEYS.get(key, key): FORMER_OUTCOMES.get(value, value) if key == "verdict" else value for key, value in factor.items()}


# ---- cost -------------------------------------------------------------------------------------------------------------------


def cost_of(variant: Variant) -> Cost:
    """What a variant took, from what its cells say and their logs."""
    found: dict[str, list[float]] = {}
    for cell in variant.cells:
        if cell.state == "done":
            spent = _spent(cell.run / "log.jsonl")
            own = {"seconds": cell.seconds, "peak_mib": cell.peak_mib}
            spent |= {name: value for name, value in own.items() if value is not None}
            for name, value in spent.items():
                found.setdefault(name, []).append(value)
    merged = {name: max(values) if name == "peak_mib" else math.fsum(values) / len(values) for name, values in found.items()}
    return Cost(**merged, stabilisers=_steadied(variant))


def _steadied(variant: Variant) -> str | None:
    for cell in variant.cells:
        try:
            recipe = read_yaml(cell.run / "recipe.yaml")
        except (OSError, ValueError):
            continue
        if isinstance(recipe, dict):
            return ", ".join(stabilisers(recipe)) or None
    return None


def _spent(log: Path) -> dict[str, float]:
    """What a log says of the cost; lines that cannot be read are passed over."""
    spent: dict[str, float] = {}
    rates = []
    for line in read_log(log) if log.is_file() else ():
        if line is None:
            continue
        sizes = line.get("parameters")
        values = {f"{name}_parameters": sizes.get(name) for name in ("generator", "discriminator")} if isinstance(sizes, dict) else {}
        values |= {name: line.get(name) for name in ("images", "seconds")}
        for name, value in values.items():
            if (number := finite(value)) is not None:
                spent[name] = max(number, spent.get(name, 0.0))
        if line.get("kind") == "step" and (rate := finite(line.get("images_per_second"))) is not None:
            rates.append(rate)
    return spent | ({"images_per_second": statistics.median(rates)} if rates else {})
