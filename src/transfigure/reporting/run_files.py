"""What a run directory holds, read with forgiveness: a missing part is ``None`` or empty, a damaged one becomes a note in words."""

from __future__ import annotations

import csv
import json
import math
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from ..data.files import IMAGE_SUFFIXES
from ..errors import UserError

LOOKED_FOR = ("recipe.yaml", "environment.json", "log.jsonl", "samples", "evaluation/evaluation.json")

Entry = dict[str, Any]
Points = list[tuple[float, float]]


def number(value: object) -> float | None:
    """The value as a finite float; None for anything else (NaN, text, booleans, absent)."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        real = float(value)
    except OverflowError:
        return None
    return real if math.isfinite(real) else None


def _mapping(value: object) -> dict[str, Any]:
    return {str(key): item for key, item in value.items()} if isinstance(value, dict) else {}


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


@dataclass(frozen=True)
class Log:
    """The lines of log.jsonl by kind, in order, without what a resume has undone.

    Attributes:
        damaged: how many lines could not be read.
        replaced: how many lines a later resume from an earlier point made void.
    """

    steps: list[Entry] = field(default_factory=list)
    validations: list[Entry] = field(default_factory=list)
    health: list[Entry] = field(default_factory=list)
    marks: list[Entry] = field(default_factory=list)
    damaged: int = 0
    replaced: int = 0

    @classmethod
    def read(cls, path: Path) -> Log:
        """Read log.jsonl; an absent file is an empty log."""
        entries: list[Entry] = []
        damaged = replaced = 0
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else []:
            if not line.strip():
                continue
            try:
                entry = json.loads(line)
            except (ValueError, RecursionError):
                entry = None
            images = number(entry.get("images")) if isinstance(entry, dict) else None
            if images is None or not 0 <= images < 1e15 or not isinstance(entry.get("kind"), str):
                damaged += 1
                continue
            if entry["kind"] in ("start", "resume"):  # training went on from here: what was logged past it happened to another network
                kept = [old for old in entries if old["images"] <= images]
                replaced += len(entries) - len(kept)
                entries = kept
            entries.append(entry)

        def of(*kinds: str) -> list[Entry]:
            return [entry for entry in entries if entry["kind"] in kinds]

        return cls(of("step"), of("validation"), of("health"), of("start", "resume", "end"), damaged, replaced)

    def series(self, key: str, inside: str | None = None) -> Points:
        """(images, value) of a step's quantity, e.g. ``series("d")`` or ``series("l1", inside="terms")``; NaN where it was not finite."""
        return self._points(self.steps, key, inside)

    def validation(self, metric: str) -> Points:
        """(images, value) of a validation metric."""
        return self._points(self.validations, metric, "metrics")

    def names(self, inside: str) -> list[str]:
        """Every loss term (``"terms"``) or validation metric (``"metrics"``), in order of first appearance."""
        lines = self.validations if inside == "metrics" else self.steps
        return list(dict.fromkeys(name for line in lines for name in _mapping(line.get(inside))))

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
        ratios = [line["images"] / epoch for line in self.validations if (epoch := number(line.get("epoch"))) and epoch > 0]
        return ratios[-1] if ratios else number(self.fact("pairs"))

    def fact(self, key: str) -> Any:
        """What the last start or resume line says under this key; None if none does."""
        return next((mark[key] for mark in reversed(self.marks) if mark.get(key) is not None), None)

    @staticmethod
    def _points(lines: list[Entry], key: str, inside: str | None) -> Points:
        points = []
        for line in lines:
            holder = _mapping(line.get(inside)) if inside else line
            if key in holder:
                value = number(holder[key])
                points.append((float(line["images"]), math.nan if value is None else value))
        return points


@dataclass(frozen=True)
class Score:
    """One row of the metrics table. ``skipped`` is the reason there is no value."""

    metric: str
    label: str
    unit: str
    better: str
    value: float | None
    low: float | None
    high: float | None
    n: int | None
    bounds: dict[str, float | None]
    skipped: str | None

    @classmethod
    def of(cls, row: dict[str, Any]) -> Score:
        """From a row of evaluation.json."""
        metric = str(row.get("metric", "?"))
        n = number(row.get("n"))
        return cls(
            metric,
            str(row.get("label") or metric),
            str(row.get("unit") or ""),
            str(row.get("better") or ""),
            number(row.get("value")),
            number(row.get("low")),
            number(row.get("high")),
            None if n is None else int(n),
            {name: number(bound) for name, bound in _mapping(row.get("bounds")).items()},
            str(row["skipped"]) if row.get("skipped") else None,
        )

    def beaten_by(self) -> list[str]:
        """The bounds that do better than the translator: a translator worth having is beaten by none."""
        if self.value is None or self.better not in ("higher", "lower"):
            return []
        sign = 1 if self.better == "higher" else -1
        return [name for name, bound in self.bounds.items() if bound is not None and sign * bound > sign * self.value]


@dataclass(frozen=True)
class Panel:
    """One evaluated pair as picture files (None: the file is not there)."""

    name: str
    role: str
    value: float | None
    source: Path | None
    generated: Path | None
    target: Path | None


@dataclass(frozen=True)
class Evaluation:
    """evaluation/evaluation.json, with the per-image scores beside it (finite ones only)."""

    facts: Entry
    scores: list[Score]
    panels: list[Panel]
    per_image: dict[str, list[float]]

    @property
    def ranked_by(self) -> str:
        """The metric that chose best, median and worst, in its table words."""
        name = str(self.facts.get("ranked_by") or "")
        return next((score.label for score in self.scores if score.metric == name), name)


@dataclass(frozen=True)
class Sample:
    """One fixed example and what the generator made of it at several moments, as (images, file)."""

    index: int
    source: Path | None
    target: Path | None
    moments: list[tuple[int, Path]]


@dataclass(frozen=True)
class RunFiles:
    """Everything a report can be made from. ``notes`` says in words what was damaged or void."""

    folder: Path
    recipe: Entry
    recipe_text: str
    environment: Entry
    log: Log
    samples: list[Sample]
    evaluation: Evaluation | None
    notes: list[str]

    @classmethod
    def read(cls, run_dir: Path) -> RunFiles:
        """Read a run directory.

        Raises:
            UserError: there is no such directory, or nothing in it is a part of a run.
        """
        folder = Path(run_dir)
        if not folder.is_dir():
            raise UserError(f"{folder} is not a directory: give the directory that 'transfigure train' wrote")
        if not any((folder / name).exists() for name in LOOKED_FOR):
            raise UserError(f"{folder} is not a run directory: it holds none of {', '.join(LOOKED_FOR)}")
        notes: list[str] = []
        recipe, text = _recipe(folder / "recipe.yaml", notes)
        environment = _json(folder / "environment.json", notes) or {}
        log = Log.read(folder / "log.jsonl")
        if log.damaged:
            notes.append(f"log.jsonl: {_lines(log.damaged)} could not be read and {'was' if log.damaged == 1 else 'were'} left out.")
        if log.replaced:
            notes.append(f"log.jsonl: {_lines(log.replaced)} logged after the checkpoint that a resume started from, left out.")
        return cls(folder, recipe, text, environment, log, _samples(folder / "samples"), _evaluation(folder / "evaluation", notes), notes)


def _lines(count: int) -> str:
    return "1 line" if count == 1 else f"{count:,} lines"


def _recipe(path: Path, notes: list[str]) -> tuple[Entry, str]:
    if not path.is_file():
        return {}, ""
    text = path.read_text(encoding="utf-8", errors="replace")
    try:
        return _mapping(yaml.safe_load(text)), text
    except (yaml.YAMLError, RecursionError, ValueError):
        notes.append("recipe.yaml is not valid YAML: it is shown as text only.")
        return {}, text


def _json(path: Path, notes: list[str]) -> Entry | None:
    if not path.is_file():
        return None
    try:
        loaded = json.loads(path.read_text(encoding="utf-8", errors="replace"))
    except (ValueError, RecursionError):
        loaded = None
    if not isinstance(loaded, dict):
        notes.append(f"{path.name} could not be read: it is not one JSON object.")
        return None
    return loaded


def _inside(folder: Path, name: object) -> Path | None:
    """The file of that name, if it exists and lies in the folder: a name in a JSON file must not reach anything else on this machine."""
    if not isinstance(name, str) or not name:
        return None
    try:
        path = (folder / name).resolve()
        return path if path.is_relative_to(folder.resolve()) and path.is_file() else None
    except (OSError, ValueError):
        return None


def _evaluation(folder: Path, notes: list[str]) -> Evaluation | None:
    facts = _json(folder / "evaluation.json", notes)
    if facts is None:
        return None
    panels = []
    for panel in filter(None, map(_mapping, _list(facts.get("panels")))):
        source, generated, target = (_inside(folder, panel.get(part)) for part in ("source", "generated", "target"))
        name, role = str(panel.get("name", "")), str(panel.get("role") or "example")
        panels.append(Panel(name, role, number(panel.get("value")), source, generated, target))
    scores = [Score.of(row) for row in map(_mapping, _list(facts.get("rows"))) if row]
    return Evaluation(facts, scores, panels, _per_image(folder / "per_image.csv", notes))


def _per_image(path: Path, notes: list[str]) -> dict[str, list[float]]:
    columns: dict[str, list[float]] = {}
    if not path.is_file():
        return columns
    lost = 0
    try:
        with path.open(encoding="utf-8", errors="replace", newline="") as file:
            for row in csv.DictReader(file):
                for metric, cell in row.items():
                    if metric in (None, "", "name"):
                        continue
                    scores = columns.setdefault(metric, [])
                    try:
                        value = number(float(cell))
                    except (TypeError, ValueError):
                        value = None
                    if value is None:
                        lost += 1
                    else:
                        scores.append(value)
    except csv.Error:
        notes.append("evaluation/per_image.csv could not be read to its end.")
    if lost:
        notes.append(f"evaluation/per_image.csv: {lost:,} {'score is' if lost == 1 else 'scores are'} not a finite number and left out.")
    return columns


def _samples(folder: Path) -> list[Sample]:
    if not folder.is_dir():
        return []
    ends: dict[int, dict[str, Path]] = {}
    for path in sorted((folder / "fixed").glob("*")):
        if (match := re.fullmatch(r"(\d+)_(source|target)", path.stem)) and path.suffix.lower() in IMAGE_SUFFIXES:
            ends.setdefault(int(match[1]), {})[match[2]] = path
    moments: dict[int, list[tuple[int, Path]]] = {}
    for moment in sorted(
        (path for path in folder.iterdir() if path.is_dir() and re.fullmatch(r"\d+", path.name)), key=lambda path: int(path.name)
    ):
        for path in sorted(moment.iterdir()):
            if re.fullmatch(r"\d+", path.stem) and path.suffix.lower() in IMAGE_SUFFIXES:
                moments.setdefault(int(path.stem), []).append((int(moment.name), path))
    return [
        Sample(index, ends.get(index, {}).get("source"), ends.get(index, {}).get("target"), moments.get(index, []))
        for index in sorted(ends.keys() | moments.keys())
    ]
