"""An evaluation read back with forgiveness: evaluation.json, the scores of single images, and the pictures kept for the report."""

from __future__ import annotations

import csv
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..metrics.direction import badness
from ..studies.preservation.measure import IDENTITY, RANDOM_TARGET

Entry = dict[str, Any]

ITSELF, REAL = "target itself", "real photos"
CEILINGS = (ITSELF, REAL, IDENTITY, RANDOM_TARGET)
"""The bounds that no translator need do better than; every other bound is a floor: what needs no translator. The last two are the ends
of an analysis, each perfect by half of its measures and worthless by the others."""
_SAID = ("unit", "better", "skipped", "caution", "network", "weights", "resize", "checkpoint")


def number(value: object) -> float | None:
    """The value as a finite float; None for anything else (NaN, text, booleans, absent)."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        real = float(value)
    except OverflowError:
        return None
    return real if math.isfinite(real) else None


def mapping(value: object) -> Entry:
    """The value as a dictionary with text for keys; an empty one for anything else."""
    return {str(key): item for key, item in value.items()} if isinstance(value, dict) else {}


@dataclass(frozen=True)
class Score:
    """One row of evaluation.json, with the meaning it has there.

    Attributes:
        skipped: the reason there is no value; empty if there is one.
        whole: whether the value is of the set as a whole; False for the mean of scores that single images have.
    """

    metric: str
    value: float | None
    low: float | None
    high: float | None
    n: int | None
    bounds: dict[str, float | None]
    whole: bool
    label: str
    registered: str
    unit: str
    better: str
    skipped: str
    caution: str
    network: str
    weights: str
    resize: str
    checkpoint: str

    @classmethod
    def of(cls, row: Entry, whole: bool = False) -> Score:
        """From a row of evaluation.json."""
        metric = str(row.get("metric", "?"))
        n = number(row.get("n"))
        said = {key: str(row[key]) if row.get(key) else "" for key in _SAID}
        value, low, high = (number(row.get(key)) for key in ("value", "low", "high"))
        bounds = {name: number(bound) for name, bound in mapping(row.get("bounds")).items()}
        named = {"label": str(row.get("label") or metric), "registered": str(row.get("of") or metric)}
        return cls(metric, value, low, high, None if n is None else int(n), bounds, whole, **named, **said)

    def beaten_by(self) -> list[str]:
        """The floors that do better than the translator: a translator worth having is beaten by none."""
        if self.value is None or self.better not in ("higher", "lower", "one"):
            return []
        mine = badness(self.better, self.value)
        floors = {name: bound for name, bound in self.bounds.items() if name not in CEILINGS}
        return [name for name, bound in floors.items() if bound is not None and badness(self.better, bound) < mine]

    def telling(self) -> dict[str, float]:
        """The bounds that a value is worth comparing with. The target itself is none where single images are scored: it is perfect."""
        return {name: bound for name, bound in self.bounds.items() if bound is not None and (self.whole or name != ITSELF)}


@dataclass(frozen=True)
class Panel:
    """One evaluated pair as picture files, by side (None: the file is not there); a side that nobody promised is absent."""

    name: str
    role: str
    value: float | None
    files: dict[str, Path | None]


@dataclass(frozen=True)
class Evaluation:
    """evaluation.json, with the per-image scores beside it (finite ones only)."""

    facts: Entry
    scores: list[Score]
    panels: list[Panel]
    per_image: dict[str, list[float]]

    @property
    def ranking(self) -> str:
        """The name of the metric that chose best, median and worst."""
        return str(self.facts.get("ranked_by") or "")

    @property
    def ranked_by(self) -> str:
        """The same in its table words."""
        return next((score.label for score in self.scores if score.metric == self.ranking), self.ranking)

    @property
    def of_files(self) -> bool:
        """Whether folders were compared: then nothing is known of a translator."""
        return self.facts.get("checkpoint") == "files"

    @property
    def of_sets(self) -> bool:
        """Whether they were two sets without correspondence."""
        return "against" in self.facts

    @classmethod
    def read(cls, folder: Path, notes: list[str]) -> Evaluation | None:
        """Read a folder that an evaluation wrote; None without an ``evaluation.json`` that can be read.

        Args:
            folder: where it is.
            notes: what is damaged or left out is added here, in words.
        """
        facts = read_json(folder / "evaluation.json", notes)
        if facts is None:
            return None
        per_image = _per_image(folder / "per_image.csv", notes)
        rows = [row for row in map(mapping, _list(facts.get("rows"))) if row]
        panels = [_panel(folder, panel) for panel in map(mapping, _list(facts.get("panels"))) if panel]
        whole = [per_image is not None and str(row.get("metric", "?")) not in per_image for row in rows]
        return cls(facts, [Score.of(*each) for each in zip(rows, whole, strict=True)], panels, per_image or {})


def read_json(path: Path, notes: list[str]) -> Entry | None:
    """A file's one JSON object; None if it is not there, and None with a note if it is something else."""
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


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _panel(folder: Path, panel: Entry) -> Panel:
    sides = [side for side in ("source", "generated", "target") if side != "source" or panel.get("source") is not None]
    files = {side: _inside(folder, panel.get(side)) for side in sides}
    return Panel(str(panel.get("name", "")), str(panel.get("role") or "example"), number(panel.get("value")), files)


def _inside(folder: Path, name: object) -> Path | None:
    """The file of that name, if it exists and lies in the folder: a name in a JSON file must not reach anything else on this machine."""
    if not isinstance(name, str) or not name:
        return None
    try:
        path = (folder / name).resolve()
        return path if path.is_relative_to(folder.resolve()) and path.is_file() else None
    except (OSError, ValueError):
        return None


def _per_image(path: Path, notes: list[str]) -> dict[str, list[float]] | None:
    """The finite scores of each metric that scores single images; None without the file."""
    if not path.is_file():
        return None
    columns: dict[str, list[float]] = {}
    lost = 0
    try:
        with path.open(encoding="utf-8", errors="replace", newline="") as file:
            table = csv.DictReader(file)
            columns |= {metric: [] for metric in table.fieldnames or () if metric not in ("", "name")}
            for row in table:
                for metric, scores in columns.items():
                    try:
                        value = number(float(row[metric]))
                    except (TypeError, ValueError):
                        value = None
                    if value is None:
                        lost += 1
                    else:
                        scores.append(value)
    except csv.Error:
        notes.append(f"{path.name} could not be read to its end.")
    if lost:
        notes.append(f"{path.name}: {lost:,} {'score is' if lost == 1 else 'scores are'} not a finite number and left out.")
    return columns
