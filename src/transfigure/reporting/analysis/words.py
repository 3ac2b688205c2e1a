"""An analysis in words: what sums it up, and what a reader must know before trusting it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...evaluation.diagnosis import Diagnosis, diagnose, diagnose_run
from ...progress import duration
from ...studies.preservation.measure import IDENTITY, RANDOM_TARGET, Measure
from ...studies.preservation.measures import UNSURE
from ..formatting import listed, percent

if TYPE_CHECKING:
    from ...studies.preservation.analyze import Analysis

MOST, SOME, LITTLE = 0.6, 0.2, 0.05
"""Of the way from a random target to the source itself, from where on most, some or little of the layout is preserved."""
READABLE = 0.6
"""A probe that does worse than this on real pictures of either domain says little about outputs."""
ALIKE = 0.05
"""Outputs that vary by less than this share of what their sources vary, as mean variance of pixels, hardly differ."""
FEW = 100
"""With fewer sources than this the intervals are wide."""
ROLES = {
    "shared": ("that both domains show", "preserves", "preserved"),
    "target only": ("that only the target shows", "generates", "generated"),
    "source only": ("that only the source shows", "gives up", "lost, as it should be"),
}
"""Of each role: whose it is, what a translator should do with it, and the outcome that says it did."""
FACTS = {
    "inference": "inference mode",
    "second": "second training",
    "sources": "held-out sources",
    "targets": "held-out targets",
    "same_domain": "source and target are one domain",
    "seconds": "took",
}


def called(path: str) -> str:
    """A run, a model or data as people call it: the last part of its path."""
    place = Path(path)
    return f"{place.parent.name}/{place.name}" if place.name in ("model", "model_best") and place.parent.name else place.name or str(path)


def summary(analysis: Analysis) -> Iterator[str]:
    """What is preserved, what is novel, and what became of the factors, in a sentence each, as far as it was measured."""
    measures = {measure.name: measure for measure in analysis.measures if math.isfinite(measure.value)}
    preserved = [*_layout(measures.get("edge_agreement")), *_recognised(measures.get("retrieval_at_1"), int(analysis.about["sources"]))]
    if preserved:
        yield "; ".join(preserved) + "."
    if taken := measures.get("taken_for_target"):
        real = taken.bounds.get(RANDOM_TARGET, math.nan)
        compared = f" (of real targets: {percent(real)})" if math.isfinite(real) else ""
        doubt = ", which says little here: see below" if _right(taken) < UNSURE or alike(analysis) else ""
        yield f"A classifier takes {percent(taken.value)} of its outputs for targets{compared}{doubt}."
    counts = []
    for role, (whose, verb, outcome) in ROLES.items():
        if of := [one.outcome == outcome for one in analysis.factors if one.role == role]:
            counts.append(f"{verb} {sum(of)} of {len(of)} {whose}")
    if counts:
        yield f"Of the world's known factors it {listed(counts)}."


def _layout(edges: Measure | None) -> Iterator[str]:
    low, high = (edges.bounds.get(name, math.nan) if edges else math.nan for name in (RANDOM_TARGET, IDENTITY))
    if edges is None or not high > low:
        return
    way = (edges.value - low) / (high - low)
    if way >= SOME:
        much = "most" if way >= MOST else "some"
        yield f"It preserves {much} of the layout: {percent(way)} of the way from a random target to the source itself, by outlines"
    elif way >= LITTLE:
        yield f"It preserves little of the layout: {percent(way)} of the way from a random target to the source itself, by outlines"
    else:
        yield "It preserves nothing of the layout: its outlines agree with the source's no more than those of a random target"


def _recognised(own: Measure | None, n: int) -> Iterator[str]:
    if own is not None and n > 1:
        chance = own.interval is not None and own.interval[0] <= 1 / n
        end = ", no more than by chance" if chance else ""
        yield f"{percent(own.value)} of its outputs are nearer to their own source than to any other of {n:,}{end}"


def notices(analysis: Analysis) -> Iterator[str]:
    """What a reader must know before trusting the page."""
    n = int(analysis.about["sources"])
    if alike(analysis):
        yield (
            "The outputs below hardly differ from each other, while their sources do: this training has probably collapsed, "
            "and what is said of its outputs is said of little more than one picture."
        )
    taken = next((one for one in analysis.measures if one.name == "taken_for_target"), None)
    if taken and _right(taken) < UNSURE:
        yield f"The classifier is right on only {percent(_right(taken))} of real images: what it takes for targets says little."
    if names := unreadable(analysis):
        them = "it" if len(names) == 1 else "them"
        yield f"The probes read {listed(names)} badly even in real pictures: what is said of {them} is little more than a guess."
    if n < FEW:
        yield f"Only {n} sources were looked at, so the intervals are wide: 100 or more are better."


def diagnosis_of(analysis: Analysis) -> Diagnosis | None:
    """The diagnosis of the run whose translator it is, with what is seen here; None without a run and with nothing amiss."""
    place, seen = Path(str(analysis.about["model"])), alike(analysis)
    needed = ("recipe.yaml", "log.jsonl")
    run = next((folder for folder in (place, place.parent) if all((folder / name).is_file() for name in needed)), None)
    if run is None:
        return diagnose([], [], alike=True) if seen else None
    return diagnose_run(run, alike=seen)


def _right(taken: Measure) -> float:
    """The classifier's accuracy on held-out real images, as far as the bounds tell."""
    return (taken.bounds.get(RANDOM_TARGET, math.nan) + 1 - taken.bounds.get(IDENTITY, math.nan)) / 2


def alike(analysis: Analysis) -> bool:
    """Whether the outputs of the examples hardly differ from each other."""
    names, pictures = analysis.examples
    if len(names) < 2:
        return False
    output, source = (float(pictures[which].double().var(0).mean()) for which in ("output", "source"))
    return output < ALIKE * source


def unreadable(analysis: Analysis) -> list[str]:
    """The factors that the probes read badly in real pictures."""
    return [one.name for one in analysis.factors if min(analysis.accuracy.get(one.name, {}).values(), default=1.0) < READABLE]


def facts(about: dict[str, Any]) -> list[tuple[str, str]]:
    """What an analysis says about itself, each in words."""
    return [(FACTS.get(key, key.replace("_", " ")), _fact(key, value)) for key, value in about.items() if value is not None]


def _fact(key: str, value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if key == "seconds":
        return duration(value)
    if isinstance(value, dict):
        return ", ".join(f"{name}: {item}" for name, item in value.items())
    return f"{value:,}" if isinstance(value, int) and key != "seed" else str(value)
