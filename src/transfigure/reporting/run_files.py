"""What a run directory holds, read with forgiveness: a missing part is ``None`` or empty, a damaged one becomes a note in words.

A directory that holds an evaluation alone is read the same way, and nothing is missing from it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from ..data.folder import SUFFIXES
from ..errors import UserError
from ..evaluation.diagnosis import Diagnosis, diagnose, read_run_log
from ..evaluation.schema import finite
from ..stored import LARGEST_YAML, read_yaml, thinned
from .scores import Entry, EvaluationView, mapping, read_json

LOOKED_FOR = ("recipe.yaml", "environment.json", "log.jsonl", "samples", "evaluation/evaluation.json", "evaluation.json")
OF_A_RUN = ("recipe.yaml", "log.jsonl", "evaluation/evaluation.json")
"""One of these makes a directory a run, even beside an ``evaluation.json`` at its top."""

MOST_NAMES, MOST_FINDINGS = 24, 100
"""Curves of one kind, and lines about the training's health, on a page."""
SHOWN_TEXT = 20_000
"""Characters of a recipe that cannot be read."""

Points = list[tuple[float, float]]


def points_of(lines: Sequence[Entry], key: str, inside: str | None = None) -> Points:
    """Images seen and value, for every line of a log that has the key; a value that is no number is NaN, where a curve is broken.

    Args:
        lines: of one kind.
        key: of the value.
        inside: the mapping that holds it, such as ``terms``; None is the line itself.
    """
    points = []
    for line in lines:
        holder = mapping(line.get(inside)) if inside else line
        if key in holder:
            value = finite(holder[key])
            points.append((float(line["images"]), math.nan if value is None else value))
    return points


@dataclass(frozen=True)
class Log:
    """The lines of log.jsonl by kind, in order, without what a resume has undone.

    Attributes:
        damaged: how many lines could not be read.
        replaced: how many lines a later resume from an earlier point made void.
        entries: all of them.
    """

    steps: list[Entry] = field(default_factory=list)
    validations: list[Entry] = field(default_factory=list)
    health: list[Entry] = field(default_factory=list)
    marks: list[Entry] = field(default_factory=list)
    damaged: int = 0
    replaced: int = 0
    previews: list[Entry] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)

    @classmethod
    def read(cls, path: Path) -> Log:
        """Read log.jsonl; an absent file is an empty log."""
        lines = read_run_log(path)

        def of(*kinds: str) -> list[Entry]:
            return [entry for entry in lines.entries if entry["kind"] in kinds]

        marks = of("start", "resume", "end")
        return cls(of("step"), of("validation"), of("health"), marks, lines.damaged, lines.replaced, of("preview"), lines.entries)

    def series(self, key: str, inside: str | None = None) -> Points:
        """(images, value) of a step's quantity, e.g. ``series("d")`` or ``series("l1", inside="terms")``; NaN where it was not finite."""
        return points_of(self.steps, key, inside)

    def validation(self, metric: str) -> Points:
        """(images, value) of a validation metric."""
        return points_of(self.validations, metric, "metrics")

    def preview(self, key: str) -> Points:
        """(images, value) of what the fixed examples were measured to have, ``detail`` or ``variation``."""
        return points_of(self.previews, key)

    def names(self, inside: str) -> list[str]:
        """Every loss term (``"terms"``), gradient norm (``"gradients"``) or validation metric (``"metrics"``), the first seen first.

        No more than :data:`MOST_NAMES`: each is a curve.
        """
        return self._names(inside)[:MOST_NAMES]

    def left_out(self) -> list[str]:
        """In words, what there is too much of to be shown."""
        words = {"terms": "loss terms", "gradients": "gradient norms", "metrics": "validation metrics"}
        many = {called: len(self._names(inside)) for inside, called in words.items()}
        return [
            f"log.jsonl names {count:,} {called}: the first {MOST_NAMES} are shown." for called, count in many.items() if count > MOST_NAMES
        ]

    @cached_property
    def _all_names(self) -> dict[str, list[str]]:
        return {
            inside: list(dict.fromkeys(name for line in lines for name in mapping(line.get(inside))))
            for inside, lines in (("terms", self.steps), ("gradients", self.steps), ("metrics", self.validations))
        }

    def _names(self, inside: str) -> list[str]:
        return self._all_names.get(inside, [])

    @property
    def unreadable(self) -> str:
        """In words, how many lines are damaged."""
        return f"{_lines(self.damaged)} could not be read and {'was' if self.damaged == 1 else 'were'} left out"

    @property
    def images(self) -> int | None:
        """Images seen when the log ends."""
        counts = [entry["images"] for entry in (*self.steps, *self.validations, *self.marks)]
        return int(max(counts)) if counts else None

    @property
    def best(self) -> Entry | None:
        """The last validation that was called the best."""
        return next((line for line in reversed(self.validations) if line.get("best") is True), None)

    @property
    def images_per_epoch(self) -> float | None:
        """Epoch e ends at e times this many images: from the validations, which come at an epoch's end, or else the number of pairs."""
        ratios = [line["images"] / epoch for line in self.validations if (epoch := finite(line.get("epoch"))) and epoch > 0]
        return ratios[-1] if ratios else finite(self.fact("pairs"))

    def fact(self, key: str) -> Any:
        """What the last start or resume line says under this key; None if none does."""
        return next((mark[key] for mark in reversed(self.marks) if mark.get(key) is not None), None)


@dataclass(frozen=True)
class Sample:
    """One fixed example and what the generator gave for it at several moments, as (images, file)."""

    index: int
    source: Path | None
    target: Path | None
    moments: list[tuple[int, Path]]


def channel_names(said: object) -> dict[str, list[str]]:
    """The names of the channels of ``source`` and ``target``, from what the log's start line says of them; nothing if they have none."""
    logged = mapping(said)
    return {side: [str(name) for name in names] for side, names in logged.items() if isinstance(names, list)}


@dataclass(frozen=True)
class RunFiles:
    """Everything a report can be made from.

    Attributes:
        notes: in words, what was damaged or void.
        alone: whether this is an evaluation and no run, such as one of two folders.
        examined: what was measured at the models that the run kept: name to (images, value).
    """

    folder: Path
    recipe: Entry
    recipe_text: str
    environment: Entry
    log: Log
    samples: list[Sample]
    evaluation: EvaluationView | None
    notes: list[str]
    alone: bool = False
    examined: dict[str, Points] = field(default_factory=dict)

    @property
    def channel_names(self) -> dict[str, list[str]]:
        """What the channels of ``source`` and ``target`` pictures are called, where that is known."""
        return (self.evaluation.about.channel_names if self.evaluation else {}) or channel_names(self.log.fact("channel_names"))

    @property
    def diagnosis(self) -> Diagnosis:
        """How this run is."""
        return diagnose(self.log.entries, self.evaluation.scores if self.evaluation else (), recipe=self.recipe)

    @classmethod
    def read(cls, run_dir: Path) -> RunFiles:
        """Read a run directory, or one that ``transfigure evaluate --out`` wrote.

        Raises:
            UserError: there is no such directory, or nothing in it is a part of a run or of an evaluation.
        """
        folder = Path(run_dir)
        if not folder.is_dir():
            raise UserError(
                f"{folder} is not a directory: give the directory that 'transfigure train' or 'transfigure evaluate --out' wrote"
            )
        if not any((folder / name).exists() for name in LOOKED_FOR):
            raise UserError(f"{folder} is neither a run directory nor an evaluation: it holds none of {', '.join(LOOKED_FOR)}")
        notes: list[str] = []
        if (folder / "evaluation.json").is_file() and not any((folder / name).exists() for name in OF_A_RUN):
            return cls(folder, {}, "", {}, Log(), [], EvaluationView.read(folder, notes), notes, alone=True)
        recipe, text = _recipe(folder / "recipe.yaml", notes)
        environment = read_json(folder / "environment.json", notes) or {}
        log = Log.read(folder / "log.jsonl")
        if log.damaged:
            notes.append(f"log.jsonl: {log.unreadable}.")
        if (every := thinned(folder / "log.jsonl") if (folder / "log.jsonl").is_file() else 1) > 1:
            notes.append(f"log.jsonl is long: one in {every:,} of its steps is read.")
        notes += log.left_out()
        if len(log.health) > MOST_FINDINGS:
            notes.append(f"log.jsonl holds {len(log.health):,} findings about the training's health: the last {MOST_FINDINGS} are shown.")
            log = replace(log, health=log.health[-MOST_FINDINGS:])
        if log.replaced:
            notes.append(f"log.jsonl: {_lines(log.replaced)} logged after the checkpoint that a resume started from, left out.")
        evaluation = EvaluationView.read(folder / "evaluation", notes)
        examined = _examined(read_json(folder / "examined.json", notes) if (folder / "examined.json").is_file() else None)
        return cls(folder, recipe, text, environment, log, samples(folder / "samples"), evaluation, notes, examined=examined)


def undecided(recipe: Entry) -> float | None:
    """D's mean output where it cannot tell: 0.5 of forms that teach it 1 and 0; of the others, whose offset is free, none."""
    form = mapping(mapping(recipe.get("objective")).get("adversarial")).get("loss", "vanilla")
    return 0.5 if form in ("vanilla", "lsgan") else None


def _examined(stored: Entry | None) -> dict[str, Points]:
    found: dict[str, Points] = {}
    moments = (stored or {}).get("moments")
    for moment in moments if isinstance(moments, list) else []:
        images = finite(mapping(moment).get("images"))
        for name, value in mapping(mapping(moment).get("values")).items():
            if images is not None and (number := finite(value)) is not None:
                found.setdefault(name, []).append((images, number))
    return found


def _lines(count: int) -> str:
    return "1 line" if count == 1 else f"{count:,} lines"


def _recipe(path: Path, notes: list[str]) -> tuple[Entry, str]:
    if not path.is_file():
        return {}, ""
    with path.open("rb") as stream:
        text = stream.read(LARGEST_YAML).decode("utf-8", "replace")
    try:
        return mapping(read_yaml(path, errors="replace")), text
    except ValueError as error:
        notes.append(f"recipe.yaml cannot be read ({error}): it is shown as text only.")
        return {}, text[:SHOWN_TEXT]


def samples(folder: Path) -> list[Sample]:
    """The fixed examples of a run's ``samples/``; none if it is not there."""
    if not folder.is_dir():
        return []
    ends: dict[int, dict[str, Path]] = {}
    for path in sorted((folder / "fixed").glob("*")):
        if (match := re.fullmatch(r"(\d+)_(source|target)", path.stem)) and path.suffix.lower() in SUFFIXES:
            ends.setdefault(int(match[1]), {})[match[2]] = path
    moments: dict[int, list[tuple[int, Path]]] = {}
    for moment in sorted(
        (path for path in folder.iterdir() if path.is_dir() and re.fullmatch(r"\d+", path.name)), key=lambda path: int(path.name)
    ):
        for path in sorted(moment.iterdir()):
            if re.fullmatch(r"\d+", path.stem) and path.suffix.lower() in SUFFIXES:
                moments.setdefault(int(path.stem), []).append((int(moment.name), path))
    return [
        Sample(index, ends.get(index, {}).get("source"), ends.get(index, {}).get("target"), moments.get(index, []))
        for index in sorted(ends.keys() | moments.keys())
    ]
