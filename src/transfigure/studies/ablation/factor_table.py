"""What became of every known factor, variation by variation: the analyses of an experiment's cells in one table.

Each factor is asked the question of its role: of what both domains show, how much is preserved; of what only the target shows, how far
it is generated as the target has it; of what only the source shows, how much can still be learnt from the answer.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...errors import UserError
from ...evaluation.schema import finite
from .over_seeds import Value, over_seeds
from .study import Study, read_object

FILE = "analysis/analysis.json"
QUESTIONS = {"shared": "preserved", "source only": "smuggled", "target only": "generated"}


@dataclass(frozen=True)
class FactorLine:
    """One factor as a row.

    Attributes:
        name: the factor's.
        role: ``shared``, ``source only`` or ``target only``.
        question: ``preserved``, ``smuggled`` or ``generated``.
        values: by variation, over seeds.
        verdicts: by variation what the analyses call it, each with how many seeds say so, as ``preserved (2), lost (1)``.
        random_target: what a random target in place of G(x) scores; None where that is not asked.
    """

    name: str
    role: str
    question: str
    values: dict[str, Value]
    verdicts: dict[str, str]
    random_target: float | None


def factor_lines(study: Study) -> tuple[FactorLine, ...]:
    """The rows, in the order of the world's factors; none where no cell has an analysis of known factors."""
    told: dict[tuple[str, str], dict[str, list[tuple[int, dict[str, Any]]]]] = {}
    for variant in study.variants:
        for cell in variant.cells:
            for factor in _analysed(cell.run) if cell.state == "done" else ():
                key = str(factor.get("name")), str(factor.get("role"))
                told.setdefault(key, {}).setdefault(variant.name, []).append((cell.seed, factor))
    return tuple(_line(name, role, of) for (name, role), of in told.items() if role in QUESTIONS)


def _line(name: str, role: str, of: dict[str, list[tuple[int, dict[str, Any]]]]) -> FactorLine:
    question = QUESTIONS[role]
    values, verdicts = {}, {}
    for variation, factors in of.items():
        found = [(seed, value) for seed, factor in factors if (value := _value(factor, question)) is not None]
        values[variation] = over_seeds(found)
        said = [str(factor.get("verdict") or "") for _, factor in factors]
        verdicts[variation] = ", ".join(f"{each} ({said.count(each)})" for each in dict.fromkeys(said) if each)
    first = next(iter(of.values()))[0][1]
    bounds = first.get("bounds")
    random = bounds.get("random target") if isinstance(bounds, dict) else None
    return FactorLine(name, role, question, values, verdicts, finite(random.get(question)) if isinstance(random, dict) else None)


def _value(factor: dict[str, Any], question: str) -> float | None:
    told = factor.get(question)
    return finite(told.get("value") if isinstance(told, dict) else told)


def _analysed(run: Path) -> list[dict[str, Any]]:
    file = run / FILE
    if not file.is_file():
        return []
    try:
        told = read_object(file).get("factors")
    except UserError:
        return []
    return [factor for factor in told if isinstance(factor, dict)] if isinstance(told, list) else []
