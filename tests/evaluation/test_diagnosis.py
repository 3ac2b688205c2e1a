"""One diagnosis of a run: every word of the vocabulary from what must give it, and no condition hidden behind another."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.imports import PACKAGE
from transfigure.evaluation.diagnosis import ADVICE, WORDS, diagnose, diagnose_run
from transfigure.evaluation.schema import Row

Entries = list[dict[str, Any]]


def log(images: int = 4000, *more: dict[str, Any], conditions: dict[str, int] | None = None) -> Entries:
    steps = [{"kind": "step", "images": seen, "g": 1.0, "d": 0.6} for seen in range(100, images + 1, 100)]
    end = {"kind": "end", "images": images, **({} if conditions is None else {"conditions": conditions})}
    return [{"kind": "start", "images": 0}, *steps, *more, end]


def warning(code: str, images: int = 2000) -> dict[str, Any]:
    return {"kind": "health", "images": images, "code": code, "level": "warning", "message": f"It is {code}. Common remedies: none."}


def row(metric: str, value: float | None, mean: float | None, copied: float | None = None, better: str = "higher") -> Row:
    bounds = {"mean training target": mean, "source copied": copied}
    return Row(
        metric, metric.upper(), "", better, value, None, None, 9, {name: bound for name, bound in bounds.items() if bound is not None}
    )


GOOD, BAD = row("ssim", 0.4, 0.3), row("l1", 0.3, 0.2, better="lower")


@pytest.mark.parametrize(
    ("entries", "rows", "word", "said"),
    [
        (log(), [], "healthy", "only an evaluation can say"),
        (log(), [GOOD], "healthy", "by each of the 1 metrics"),
        ([], [GOOD], "healthy", "by each of the 1 metrics"),
        (log(), [row("fid", 9.0, None)], "healthy", "No sign of a collapse"),
        ([], [], "too early to say", "Nothing has been trained"),
        (log(900), [], "too early to say", "Only 900 images"),
        (log(4000, conditions={"d_wins": 3600}), [], "too early to say", "For the last 400 images the discriminator has told"),
        (log(), [GOOD, BAD], "worse than the mean target", "does better by L1 (1 of the 2 metrics"),
        (log(4000, warning("d_wins")), [GOOD], "discriminator wins", "At 2,000 images: It is d_wins."),
        (log(4000, warning("collapse")), [GOOD], "collapsed", "At 2,000 images: It is collapse."),
        (log(), [GOOD, row("variation_across_inputs", 0.01, None, better="one")], "collapsed", "vary by 1.0% of what their targets do"),
        (log(4000, warning("nan", 4000)), [], "diverged", "It is nan."),
        ([*log(), {"kind": "step", "images": 4100, "g": None, "d": 0.5}], [], "diverged", "The last logged g is not finite"),
    ],
)
def test_every_word_and_why(entries: Entries, rows: list[Row], word: str, said: str) -> None:
    found = diagnose(entries, rows)
    assert found.word == word in WORDS
    assert said in " ".join(found.reasons), found
    advice = {
        **ADVICE,
        "collapsed": "Give the discriminator the source (--objective.adversarial.conditional true), add a reconstruction term such as l1, "
        "or lower the learning rate (--training.learning_rate).",
        "discriminator wins": "Use a smaller --training.discriminator_learning_rate, softer labels "
        "(--objective.adversarial.real_label 0.9), or more data.",
    }
    assert found.advice == advice[word] and bool(found.advice) == (word != "healthy")


def test_the_worst_names_it_and_nothing_is_hidden() -> None:
    rows = [BAD, row("ssim", 0.1, 0.05, copied=0.2)]
    found = diagnose(log(500, warning("collapse", 400), warning("d_wins", 300)), rows)
    assert found.word == "collapsed"
    text = " ".join(found.reasons)
    assert text.index("It is collapse") < text.index("It is d_wins") < text.index("mean training target does better by L1")
    assert "Copying the source does better by SSIM." in text
    assert diagnose(log(500), [BAD]).word == "worse than the mean target", "being early hides nothing"


@pytest.mark.parametrize(
    ("entries", "word"),
    [
        (log(4000, warning("d_wins"), conditions={}), "healthy"),
        (log(4000, warning("d_wins"), conditions={"d_wins": 900}), "discriminator wins"),
        (log(4000, warning("collapse"), {"kind": "preview", "images": 3000, "variation": 0.4}), "healthy"),
        (log(4000, warning("collapse"), {"kind": "preview", "images": 3000, "variation": 0.01}), "collapsed"),
        (log(4000, warning("nan", 3000), conditions={}), "diverged"),
    ],
)
def test_what_is_over_is_over(entries: Entries, word: str) -> None:
    assert diagnose(entries).word == word


def test_a_short_run_is_told_what_is_there_and_that_it_is_early() -> None:
    varied = row("variation_across_inputs", 0.01, None, better="one")
    found = diagnose(log(10, conditions={"collapse": 10}), [varied])
    assert found.word == "collapsed"
    assert "vary by 1.0%" in str(found) and "Only 10 images have been seen: too early to say whether it stays so." in str(found)
    assert found.advice.startswith("Train on, at least to 1,000 images. If it stays so: ")
    early = diagnose(log(10, conditions={"collapse": 10}))
    assert early.word == "too early to say" and "last 0 images" not in str(early)
    assert (
        "At the end the fixed examples hardly varied with their sources; it counts once it has held for 1,000 images, or "
        "beyond doubt for 100 images."
    ) in early.reasons


@pytest.mark.parametrize(
    ("recipe", "advice"),
    [
        (
            {"objective": {"adversarial": {"conditional": True}, "terms": [{"loss": "l1"}]}},
            "Lower the learning rate (--training.learning_rate).",
        ),
        (
            {"objective": {"adversarial": {"conditional": True}, "terms": []}},
            "Add a reconstruction term such as l1, or lower the learning rate (--training.learning_rate).",
        ),
        ({"data": {"unpaired": True}, "objective": {"terms": [{"loss": "cycle"}]}}, "Use fewer levels in the generator"),
        ({"objective": None, "data": []}, "Add a reconstruction term"),
    ],
)
def test_nothing_is_advised_that_the_run_has(recipe: dict[str, Any], advice: str) -> None:
    assert diagnose(log(4000, warning("collapse")), recipe=recipe).advice.startswith(advice)


def test_outputs_that_somebody_else_saw_to_be_alike() -> None:
    assert diagnose(log(), [GOOD], alike=True).word == "collapsed"


def test_a_run_is_read_as_far_as_it_can_be(tmp_path: Path) -> None:
    assert diagnose_run(tmp_path).word == "too early to say"
    (tmp_path / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in log()) + "damaged\n")
    (tmp_path / "evaluation").mkdir()
    (tmp_path / "evaluation" / "evaluation.json").write_text("[]")
    assert str(diagnose_run(tmp_path)).startswith("healthy: No sign of")


def test_the_guide_says_what_each_word_means() -> None:
    guide = (PACKAGE.parents[1] / "docs" / "how-to" / "report.md").read_text(encoding="utf-8")
    assert [word for word in WORDS if not re.search(rf"^\| {word} \|", guide, re.M)] == []
