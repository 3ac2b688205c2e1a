"""The table of an evaluation in words: values beside their bounds, what was skipped, what to beware of, and how each was made."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from ...data.value_range import share
from ...evaluation.schema import MEAN_TARGET, OF_FILES
from ...progress import duration
from ..formatting import ARROWS, MEANINGS, decimals, plain, short_hash, to_places
from ..placement import Placement
from ..scores import CEILINGS, EvaluationView, Score
from . import words

NO_MODEL = "no model: image files were compared"
MOST_LINES = 60
"""Of the scores of single channels."""


@dataclass(frozen=True)
class ScoreLine:
    """A row of the table: a score in words.

    Attributes:
        beaten: the floors that do better.
    """

    score: Score
    arrow: str
    meaning: str
    value: str
    interval: str
    bounds: dict[str, str]
    beaten: list[str]
    place: Placement | None


@dataclass(frozen=True)
class Origin:
    """All that is needed to make a value again."""

    label: str
    registered: str
    n: str
    network: str
    weights: list[tuple[str, str]]
    resize: str
    checkpoint: str


@dataclass(frozen=True)
class ScoreTable:
    """What is said of an evaluation's scores.

    Attributes:
        lines: those that were not skipped.
        floors, ceilings: the bounds that any of them has.
        counts: whether they are of different numbers of images, so that each must say its own.
        cautions, skipped: (which scores, reason), those of one reason together.
        origins: how each value was made.
    """

    lines: list[ScoreLine] = field(default_factory=list)
    floors: list[str] = field(default_factory=list)
    ceilings: list[str] = field(default_factory=list)
    counts: bool = False
    cautions: list[tuple[str, str]] = field(default_factory=list)
    skipped: list[tuple[str, str]] = field(default_factory=list)
    origins: list[Origin] = field(default_factory=list)

    @property
    def bounds(self) -> list[str]:
        """Every bound, as the columns stand."""
        return self.floors + self.ceilings

    @property
    def drawn(self) -> list[str]:
        """The ceilings that any score is drawn beside."""
        shown = {name for line in self.lines if line.place for name, _, _ in line.place.bounds}
        return [name for name in self.ceilings if name in shown]

    @property
    def placed(self) -> bool:
        """Whether any score can be drawn between its bounds."""
        return any(line.place for line in self.lines)


def table(evaluation: EvaluationView | None) -> ScoreTable:
    """The scores in words; an empty table without an evaluation."""
    if evaluation is None:
        return ScoreTable()
    shown = [score for score in evaluation.scores if not score.skipped]
    names = list(dict.fromkeys(name for score in shown for name in score.bounds))
    return ScoreTable(
        [_line(score) for score in shown],
        [name for name in names if name not in CEILINGS],
        [name for name in names if name in CEILINGS],
        len({score.n for score in shown}) > 1,
        _by_reason(shown, lambda score: score.caution),
        _by_reason(evaluation.scores, lambda score: score.skipped),
        [_origin(score, evaluation) for score in shown],
    )


def channel_table(evaluation: EvaluationView | None) -> ScoreTable:
    """The scores of single channels, each channel's together; at most :data:`MOST_LINES` of them."""
    if evaluation is None:
        return ScoreTable()
    shown = [score for _, scores in evaluation.channels for score in scores if not score.skipped][:MOST_LINES]
    names = list(dict.fromkeys(name for score in shown for name in score.bounds if name not in CEILINGS))
    return ScoreTable([_line(score) for score in shown], names)


def channels_said(evaluation: EvaluationView | None) -> str:
    """What stands below that table: how many channels are better than their mean image, and how many lines are left out."""
    if evaluation is None or not evaluation.channels:
        return ""
    known = [score for _, scores in evaluation.channels for score in scores if score.value is not None]
    compared = [score for score in known if score.bounds.get(MEAN_TARGET) is not None]
    beaten = sum(MEAN_TARGET in score.beaten_by() for score in compared)
    sentences = ["Each channel scored by itself, as the whole image is above."]
    if compared:
        ahead = f"{len(compared) - beaten} of {len(compared)}" if beaten else f"All {len(compared)}"
        sentences.append(f"{ahead} scores are at least as good as those of the mean training target.")
    if len(known) > MOST_LINES:
        sentences.append(f"The first {MOST_LINES} of {len(known)} lines are shown; evaluation.json has all.")
    return " ".join(sentences)


def evaluated(evaluation: EvaluationView | None) -> str:
    """How the numbers were made, in one line."""
    if evaluation is None:
        return ""
    about = evaluation.about
    origin = ("split",) if evaluation.of_files else ("data", "checkpoint", "model")
    pieces = [
        words.amount(evaluation, about.n) if about.n else "",
        *(f"{'' if key == 'split' else f'{key}: '}{value}" for key in origin if (value := getattr(about, key))),
        about.pixels_scored,
        f"what counts: {about.mask}" if about.mask else "",
        f"{share(about.counted)} of their pixels count" if about.counted is not None else "",
        f"took {duration(about.seconds)}" if about.seconds and about.seconds >= 1 else "",
    ]
    return " · ".join(filter(None, pieces))


def _line(score: Score) -> ScoreLine:
    places = decimals(score.value)
    return ScoreLine(
        score,
        ARROWS.get(score.better, ""),
        MEANINGS.get(score.better, ""),
        plain(score.value, places) + (f" {score.unit}" if score.unit and score.value is not None else ""),
        f"{plain(score.low, places)} to {plain(score.high, places)}" if None not in (score.low, score.high) else "",
        {name: to_places(bound, places) for name, bound in score.bounds.items()},
        score.beaten_by(),
        _place(score),
    )


def _place(score: Score) -> Placement | None:
    """Better is always further right."""
    bounds = score.telling()
    if score.value is None or score.better not in ("higher", "lower") or not bounds:
        return None
    ends = (score.low, score.high) if score.low is not None and score.high is not None else (score.value, score.value)
    known = [(name, bound, name in CEILINGS) for name, bound in bounds.items()]
    return Placement.on(score.value, ends, known, rising=score.better == "higher", margin=4)


def _by_reason(scores: list[Score], reason_of: Callable[[Score], str]) -> list[tuple[str, str]]:
    """The labels of the scores that share a reason, for each reason in order of first appearance."""
    labels: dict[str, list[str]] = {}
    for score in scores:
        if reason := reason_of(score):
            labels.setdefault(reason, []).append(score.label)
    return [(", ".join(dict.fromkeys(found)), reason) for reason, found in labels.items()]


def _origin(score: Score, evaluation: EvaluationView) -> Origin:
    """A row says it all itself; one that an older version wrote leaves resize and checkpoint to the evaluation."""
    resize, checkpoint = (getattr(score, key) or getattr(evaluation.about, key) for key in ("resize", "checkpoint"))
    weights = [(short_hash(one), one) for one in score.weights.split(" + ")] if score.weights else []
    n = "" if score.n is None else f"{score.n:,}"
    return Origin(score.label, score.of, n, score.network, weights, resize, NO_MODEL if checkpoint == OF_FILES else checkpoint)
