"""An evaluation read back with forgiveness: evaluation.json, the scores of single images, and the pictures kept for the report."""

from __future__ import annotations

import csv
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from .. import stored
from ..errors import UserError
from ..evaluation.schema import FILE, OF_FILES, PER_IMAGE, SIDES, EvaluationRecord, Facts, Panel, Row, finite
from ..metrics.direction import badness
from ..studies.preservation.measure import IDENTITY, RANDOM_TARGET

Entry = dict[str, Any]

ITSELF, REAL = "target itself", "real photos"
LARGEST_TABLE, MOST_COLUMNS = 64 << 20, 100
"""Of ``per_image.csv``: bytes, and metrics."""
CEILINGS = (ITSELF, REAL, IDENTITY, RANDOM_TARGET)
"""The bounds that no translator need do better than; every other bound is a floor: what needs no translator. The last two are the ends
of an analysis, each perfect by half of its measures and worthless by the others."""


def mapping(value: object) -> Entry:
    """The value as a dictionary with text for keys; an empty one for anything else."""
    return {str(key): item for key, item in value.items()} if isinstance(value, dict) else {}


@dataclass(frozen=True)
class Score(Row):
    """One row of evaluation.json, with the meaning it has there.

    Attributes:
        whole: whether the value is of the set as a whole; False for the mean of scores that single images have.
    """

    whole: bool = False

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
class PanelFiles:
    """One evaluated pair as picture files, by side (None: the file is not there); a side that nobody promised is absent.

    ``reduced_from`` is the image's own size, where the files are smaller.
    """

    name: str
    role: str
    value: float | None
    files: dict[str, Path | None]
    reduced_from: str = ""


@dataclass(frozen=True)
class EvaluationView:
    """An evaluation as a page shows it, with the scores of single images (finite ones only) and of single channels."""

    about: Facts
    scores: list[Score]
    panels: list[PanelFiles]
    per_image: dict[str, list[float]]
    channels: list[tuple[str, list[Score]]] = field(default_factory=list)

    @property
    def ranking(self) -> str:
        """The name of the metric that chose best, median and worst."""
        return self.about.ranked_by or ""

    @property
    def ranked_by(self) -> str:
        """The same in its table words."""
        return next((score.label for score in self.scores if score.metric == self.ranking), self.ranking)

    @property
    def of_files(self) -> bool:
        """Whether folders were compared: then nothing is known of a translator."""
        return self.about.checkpoint == OF_FILES

    @property
    def of_sets(self) -> bool:
        """Whether they were two sets without correspondence."""
        return self.about.target_images is not None

    @classmethod
    def read(cls, folder: Path, notes: list[str]) -> EvaluationView | None:
        """Read a folder that an evaluation wrote; None without an ``evaluation.json`` that can be read.

        Args:
            folder: where it is.
            notes: what is damaged or left out is added here, in words.
        """
        if not (folder / FILE).is_file():
            return None
        try:
            record = EvaluationRecord.read(folder)
        except UserError as error:
            notes.append(f"{FILE} could not be read: {str(error).rpartition('cannot be read: ')[2]}.")
            return None
        per_image = _per_image(folder / PER_IMAGE, notes)
        scores = [Score(**vars(row), whole=per_image is not None and row.metric not in per_image) for row in record.rows]
        channels, of_channels = [], set()
        for channel in record.channels:
            named = [replace(row, label=f"{channel.name}: {row.label}") for row in channel.rows]
            channels.append((channel.name, [Score(**vars(row)) for row in named]))
            of_channels |= {channel.column(row.metric) for row in channel.rows}
        of_images = {name: values for name, values in (per_image or {}).items() if name not in of_channels}
        return cls(record.about, scores, [_files_of(folder, panel) for panel in record.panels], of_images, channels)


def read_json(path: Path, notes: list[str]) -> Entry | None:
    """A file's one JSON object; None if it is not there, and None with a note if it is something else."""
    if not path.is_file():
        return None
    try:
        loaded = stored.read_json(path, errors="replace")
    except (ValueError, OSError):
        loaded = None
    if not isinstance(loaded, dict):
        notes.append(f"{path.name} could not be read: it is not one JSON object.")
        return None
    return loaded


def _files_of(folder: Path, panel: Panel) -> PanelFiles:
    names = {side: getattr(panel, side) for side in SIDES if side != "source" or panel.source is not None}
    files = {side: _inside(folder, name) for side, name in names.items()}
    return PanelFiles(panel.name, panel.role, panel.value, files, panel.reduced_from)


def _inside(folder: Path, name: str | None) -> Path | None:
    """The file of that name, if it exists and lies in the folder: a name in a JSON file must not reach anything else on this machine."""
    if not name:
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
    if path.stat().st_size > LARGEST_TABLE:
        notes.append(f"{path.name} is left out: it takes {path.stat().st_size:,} bytes, where {LARGEST_TABLE:,} are the most.")
        return None
    try:
        with path.open(encoding="utf-8", errors="replace", newline="") as file:
            table = csv.DictReader(file)
            columns |= {metric: [] for metric in [*(table.fieldnames or ())][:MOST_COLUMNS] if metric not in ("", "name")}
            for row in table:
                for metric, scores in columns.items():
                    try:
                        value = finite(float(row[metric]))
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
