"""One diagnosis of a run, in one vocabulary, for every page and every command that says how it is.

It is taken from what the run's log says of the training and from what its evaluation measured. A condition that is there is never hidden
by another word: the worst names the diagnosis, and all that were found are told. Imports no torch: tables and pages ask, too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import UserError
from ..metrics.direction import badness
from ..stored import read_log, read_yaml
from ..training.health import CERTAIN_IMAGES, COLLAPSED, PATIENCE_IMAGES, remedies
from .schema import FILE, MEAN_TARGET, SOURCE_COPIED, EvaluationRecord, Row, finite

Entry = dict[str, Any]

HEALTHY, EARLY, WORSE = "healthy", "too early to say", "worse than the mean target"
COLLAPSE, SATURATED, DIVERGED = "collapsed", "discriminator wins", "diverged"
WORDS = (DIVERGED, COLLAPSE, SATURATED, WORSE, EARLY, HEALTHY)
"""The vocabulary, the worst first."""
ADVICE = {
    DIVERGED: "Lower --training.learning_rate, or the weight of the term that grew, and start again.",
    WORSE: "Train longer, or look at the pictures: blur does well by these metrics, and an adversarial term alone may lose by them.",
    EARLY: f"Train on, at least to {PATIENCE_IMAGES:,} images.",
    HEALTHY: "",
}
"""What to do, by word; against the others there is :func:`.health.remedies`."""
LASTING = (COLLAPSE, SATURATED, WORSE)
"""What more training may mend."""
_OF_CODES = {"nan": DIVERGED, "weights": DIVERGED, "saturated": DIVERGED, "collapse": COLLAPSE, "d_wins": SATURATED}
_AS_IT_BEGINS = {
    "collapse": ("the fixed examples hardly varied with their sources", "the fixed examples have hardly varied with their sources"),
    "d_wins": (
        "the discriminator told real from generated almost perfectly",
        "the discriminator has told real from generated almost perfectly",
    ),
    "saturated": ("the generated values were at the ends of their range", "the generated values have been at the ends of their range"),
}
"""At one moment, and for a while."""


@dataclass(frozen=True)
class Diagnosis:
    """How a run is.

    Attributes:
        word: one of :data:`WORDS`.
        reasons: every condition that was found, in a sentence each, the worst first; for a healthy run what was looked for.
        advice: what to do; empty if there is nothing.
    """

    word: str
    reasons: tuple[str, ...]
    advice: str = ""

    def __str__(self) -> str:
        return f"{self.word}: {' '.join(self.reasons)}"


def diagnose(entries: Sequence[Entry], rows: Sequence[Row] = (), alike: bool = False, recipe: Mapping[str, Any] | None = None) -> Diagnosis:
    """The diagnosis of a run.

    Args:
        entries: the lines of its log, as :func:`read_run_log` gives them.
        rows: of its evaluation; none if there is none yet.
        alike: whether somebody else saw that its outputs hardly differ while their sources do.
        recipe: what it was trained by, so that nothing is advised that it has already.
    """
    images = max((int(entry["images"]) for entry in entries), default=None)
    found = [*_of_training(entries), *_of_outputs(rows, alike)]
    found.sort(key=lambda finding: WORDS.index(finding[0]))
    worst = found[0][0] if found else HEALTHY
    young = images is not None and images < PATIENCE_IMAGES
    if young or (images is None and not found and not rows):
        seen = f"Only {images:,} image{' has' if images == 1 else 's have'} been seen" if images else "Nothing has been trained yet"
        found.append((EARLY, f"{seen}{f': {EARLY} whether it stays so' if worst in LASTING else ''}."))
        worst = EARLY if worst == HEALTHY else worst
    reasons = [sentence for _, sentence in found] or [_looked_for(entries, rows)]
    reasons += list(_remarks(rows))
    advice = _advice(worst, recipe or {})
    if young and worst in LASTING:
        advice = f"{ADVICE[EARLY]} If it stays so: {advice[:1].lower()}{advice[1:]}"
    return Diagnosis(worst, tuple(reasons), advice)


def diagnose_run(run: Path, alike: bool = False, entries: Sequence[Entry] | None = None) -> Diagnosis:
    """The diagnosis of a run directory, from its log and its evaluation as far as they can be read.

    Args:
        run: the directory.
        alike: as for :func:`diagnose`.
        entries: its log, where somebody has read it already.
    """
    try:
        rows = EvaluationRecord.read(run / "evaluation").rows if (run / "evaluation" / FILE).is_file() else []
    except UserError:
        rows = []
    try:
        recipe = read_yaml(run / "recipe.yaml", errors="replace") if (run / "recipe.yaml").is_file() else {}
    except (OSError, ValueError):
        recipe = {}
    logged = read_run_log(run / "log.jsonl").entries if entries is None else entries
    return diagnose(logged, rows, alike, recipe if isinstance(recipe, dict) else {})


def _advice(word: str, recipe: Mapping[str, Any]) -> str:
    """What to do, without what the recipe has already."""
    if word in ADVICE:
        return ADVICE[word]
    words = remedies(next(code for code, its in _OF_CODES.items() if its == word), recipe)
    return f"{words[:1].upper()}{words[1:]}."


def _of_training(entries: Sequence[Entry]) -> Iterator[tuple[str, str]]:
    """What the log says is amiss, now and not only once."""
    last = entries[-1] if entries else {}
    young = last.get("conditions") if last.get("kind") == "end" else None
    steps = [entry for entry in entries if entry["kind"] == "step"]
    lost = [name for name in ("g", "d", "adversarial") if steps and name in steps[-1] and finite(steps[-1][name]) is None]
    previews = [entry for entry in entries if entry["kind"] == "preview"]
    told: dict[str, Entry] = {str(entry.get("code")): entry for entry in entries if entry["kind"] == "health"}
    for code, entry in told.items():
        over = isinstance(young, dict) and code != "nan" and code not in young
        varied = finite(previews[-1].get("variation")) if previews else None
        over |= code == "collapse" and previews[-1:] != [] and previews[-1]["images"] > entry["images"] and (varied or 0) >= COLLAPSED
        if code in _OF_CODES and entry.get("level") != "info" and not over:
            message = str(entry.get("message") or code)
            yield _OF_CODES[code], f"At {entry['images']:,.0f} images: {message.split(' Common remedies', maxsplit=1)[0]}"
    if lost and "nan" not in told:
        yield DIVERGED, f"The last logged {', '.join(lost)} {'is' if len(lost) == 1 else 'are'} not finite."
    for code, since in young.items() if isinstance(young, dict) else ():
        begun = finite(since)
        if code in _AS_IT_BEGINS and code not in told and begun is not None:
            lasted, (once, since_then) = last["images"] - begun, _AS_IT_BEGINS[code]
            said = f"For the last {lasted:,.0f} images {since_then}" if lasted > 0 else f"At the end {once}"
            sure = f"{CERTAIN_IMAGES} images"
            patience = sure if code == "saturated" else f"{PATIENCE_IMAGES:,} images, or beyond doubt for {sure}"
            yield EARLY, f"{said}; it counts once it has held for {patience}."


def _of_outputs(rows: Sequence[Row], alike: bool) -> Iterator[tuple[str, str]]:
    """What the evaluation says is amiss."""
    varied = next((row.value for row in rows if row.metric == "variation_across_inputs" and row.value is not None), None)
    if varied is not None and varied < COLLAPSED:
        yield COLLAPSE, f"Over the test images the outputs vary by {varied:.1%} of what their targets do."
    elif alike:
        yield COLLAPSE, "The outputs hardly differ from each other, while their sources do."
    if losing := [row.label for row in rows if does_better(row, MEAN_TARGET)]:
        asked = sum(row.value is not None and row.bounds.get(MEAN_TARGET) is not None for row in rows)
        yield WORSE, f"The mean training target does better by {', '.join(losing)} ({len(losing)} of the {asked} metrics that it has)."


def _remarks(rows: Sequence[Row]) -> Iterator[str]:
    if losing := [row.label for row in rows if does_better(row, SOURCE_COPIED)]:
        yield f"Copying the source does better by {', '.join(losing)}."


def _looked_for(entries: Sequence[Entry], rows: Sequence[Row]) -> str:
    training = "no sign of a collapse, of losses that are not finite or of a discriminator that wins" if entries else ""
    if not rows:
        return f"{training[:1].upper()}{training[1:]}; how good its outputs are, only an evaluation can say."
    asked = [row for row in rows if row.value is not None and row.bounds.get(MEAN_TARGET) is not None]
    better = f"better than the mean training target by each of the {len(asked)} metrics that it has" if asked else ""
    words = "; ".join(filter(None, (training, better))) or "nothing is amiss in its evaluation"
    return f"{words[:1].upper()}{words[1:]}."


def does_better(row: Row, bound: str) -> bool:
    """Whether what needs no translator scores better than the translator."""
    other = row.bounds.get(bound)
    if row.value is None or other is None or row.better not in ("higher", "lower", "one"):
        return False
    return badness(row.better, other) < badness(row.better, row.value)


# ---- the log ---------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class LogLines:
    """A log read back, without what a resume has undone.

    Attributes:
        damaged: how many lines could not be read.
        replaced: how many lines a later resume from an earlier point made void.
    """

    entries: list[Entry]
    damaged: int = 0
    replaced: int = 0


def read_run_log(path: Path) -> LogLines:
    """Read ``log.jsonl``; an absent file is an empty log."""
    entries: list[Entry] = []
    damaged = replaced = 0
    for entry in read_log(path) if path.is_file() else ():
        images = finite(entry.get("images")) if isinstance(entry, dict) else None
        if entry is None or images is None or not 0 <= images < 1e15 or not isinstance(entry.get("kind"), str):
            damaged += 1
            continue
        if entry["kind"] in ("start", "resume"):  # training went on from here: what was logged past it happened to another network
            kept = [old for old in entries if old["images"] <= images]
            replaced += len(entries) - len(kept)
            entries = kept
        entries.append(entry)
    return LogLines(entries, damaged, replaced)
