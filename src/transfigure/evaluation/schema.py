"""evaluation.json: what is in it, how it is written, and how it is read back. Everything that touches the file goes through here.

An evaluation writes a folder: ``evaluation.json`` (this schema), ``per_image.csv`` (the score of every image, one column per metric that
scores single images) and ``panels/`` (the pictures that the file names). Imports no torch: tables and pages read it, too.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..data.files import to_json_values, write_json
from ..data.ownership import FILES, KEY, marked
from ..data.value_range import share
from ..errors import UserError
from ..stored import read_json

VERSION = 3
"""Of the file. One that names no version is of version 1, as 0.1.0 wrote it, where ``target_images`` and ``paired`` have other keys. Up to
version 2 nothing says which part of images was scored (``scored``) but the words in ``resize``."""
MOST_ROWS = 2_000
"""Of scores, and of pictures, in one evaluation."""
_RENAMED = {"against": "target_images", "truth": "paired"}

FILE, PER_IMAGE, PANELS = "evaluation.json", "per_image.csv", "panels"
SOURCE_COPIED, MEAN_TARGET = "source copied", "mean training target"
"""The bounds: what outputs score that need no translator."""
FLOORS = (SOURCE_COPIED, MEAN_TARGET)
SIDES = ("source", "generated", "target")
MIDDLE = "middle "
"""How ``resize`` begins where the square in the middle of each image was scored."""
OF_FILES = "files"
"""The ``checkpoint`` of an evaluation of two folders: nothing is known of a translator."""


@dataclass(frozen=True)
class Row:
    """One value of a metric, with all that is needed to make it again.

    Attributes:
        metric: the value's name; for most metrics the registered name.
        label: the value's name for a person.
        unit: of ``value``, ``low``, ``high`` and ``bounds``, such as ``dB``; empty for a pure number.
        better: ``higher``, ``lower`` or ``one`` (nearest to 1); empty if nobody says.
        value: the mean over n images, or one value for all of them; None if it was skipped.
        low, high: the 95 % interval over images; None where there is none.
        n: images; None if the file does not say.
        bounds: the same value for outputs that need no translator, and for the targets themselves; None where it is no number.
        network, weights: of a metric on features: which, and the SHA-256 of its file.
        resize: what was done to the sizes of images on their way from the file to this value.
        checkpoint: which state of the model this is, and by what it was chosen.
        caution: why the value should be read with care.
        skipped: why there is no value, and what would help; empty if there is one.
        of: the registered name of the metric.
    """

    metric: str
    label: str
    unit: str
    better: str
    value: float | None
    low: float | None
    high: float | None
    n: int | None
    bounds: Mapping[str, float | None] = field(default_factory=dict)
    network: str = ""
    weights: str = ""
    resize: str = ""
    checkpoint: str = ""
    caution: str = ""
    skipped: str = ""
    of: str = ""

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Row:
        """From an entry of ``rows``; a value of the wrong type counts as absent."""
        metric = _text(values.get("metric"))
        value, low, high = (finite(values.get(key)) for key in ("value", "low", "high"))
        bounds = {name: finite(bound) for name, bound in _mapping(values.get("bounds")).items()}
        texts = {key: _text(values.get(key)) for key in ("network", "weights", "resize", "checkpoint", "caution", "skipped")}
        label, unit, better, of = (_text(values.get(key)) for key in ("label", "unit", "better", "of"))
        return cls(
            metric, label or metric or "?", unit, better, value, low, high, _whole(values.get("n")), bounds, of=of or metric, **texts
        )


@dataclass(frozen=True)
class Panel:
    """The pictures of one image, kept for reports.

    Attributes:
        name: the image.
        role: ``best``, ``median``, ``worst`` (by ``ranked_by``) or ``example``.
        value: its score by ``ranked_by``; None if nothing ranks single images.
        source, generated, target: picture files, relative to the evaluation's folder; None for one that was not kept.
        reduced_from: the image's own size, as ``4096 x 4096``, if the files are smaller; empty if they are as large.
    """

    name: str
    role: str = "example"
    value: float | None = None
    source: str | None = None
    generated: str | None = None
    target: str | None = None
    reduced_from: str = ""

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Panel:
        """From an entry of ``panels``; a value of the wrong type counts as absent."""
        files = {side: values[side] for side in SIDES if isinstance(values.get(side), str)}
        of = _text(values.get("reduced_from"))
        return cls(_text(values.get("name")), _text(values.get("role")) or "example", finite(values.get("value")), **files, reduced_from=of)

    def to_dict(self) -> dict[str, Any]:
        """As the file has it: sides that were not kept are absent."""
        values = {key: value for key, value in vars(self).items() if key not in SIDES or value is not None}
        return values if self.reduced_from else {key: value for key, value in values.items() if key != "reduced_from"}


@dataclass(frozen=True)
class ChannelScores:
    """The scores of one channel by itself, where channels are measurements of their own and not the colours of a photo.

    Attributes:
        name: of the channel; ``channel 1`` and so on where nobody has named it.
        rows: as in the table of all channels, with the same bounds.
    """

    name: str
    rows: list[Row] = field(default_factory=list)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> ChannelScores:
        """From an entry of ``channels``; a value of the wrong type counts as absent."""
        return cls(_text(values.get("name")), [Row.from_dict(entry) for entry in map(_mapping, _list(values.get("rows"))) if entry])

    def column(self, metric: str) -> str:
        """What ``per_image.csv`` calls a metric of this channel."""
        return f"{metric}[{self.name}]"


@dataclass
class Facts:
    """How the numbers of an evaluation were made. Each attribute is a key of the file; one that is at its default may be absent there.

    Attributes:
        split: ``train``, ``val`` or ``test``; empty for folders.
        data: where the images come from.
        resize: what was done to their sizes, in words; ``none`` where whole images were scored at their own size.
        paired: whether a target is what its source should become; in unpaired data it is any image of the target domain.
        checkpoint: which state of the model, and by what it was chosen; :data:`OF_FILES` where folders were compared.
        model: where it was loaded from, or the folder of generated images.
        inference: ``norm``, ``noise`` and ``seed``, with which the translator ran.
        value_range: the numbers in files that count as black and white, if they were given: ``0 to 4095``.
        options: the options of metrics that were set, as ``fid.resize``.
        target_images: where two sets without correspondence were compared, how many images the set of targets has; 0 if nobody knows.
        mask: the folder of the masks that say what counts, or what else says it; empty if everything counts.
        counted: the share of the scored images' pixels that counts; None without a mask.
        channel_names: what the channels of ``source`` and ``target`` are called, where they have names.
        scored: which part of the images was scored, and their size: ``whole images, 1024 x 1024``; empty in files up to version 2.
        scored_share: how much of their pixels that is; None if it is all of them.
        ranked_by: the metric that says which images are best: SSIM, or else the first that scores single images; None if none does.
        worst, best: names of images, the very worst and the very best first.
        notes: what looked wrong with the images or how they were read, a sentence each; the scores are to be read with them.
        seconds: how long the evaluation took.
        n: images.
        more: keys that this version does not know; they are written back as they were read.
    """

    split: str = ""
    data: str = ""
    resize: str = ""
    paired: bool = True
    checkpoint: str = ""
    model: str = ""
    inference: dict[str, Any] = field(default_factory=dict)
    value_range: str = ""
    options: dict[str, Any] = field(default_factory=dict)
    target_images: int | None = None
    mask: str = ""
    counted: float | None = None
    channel_names: dict[str, list[str]] = field(default_factory=dict)
    scored: str = ""
    scored_share: float | None = None
    ranked_by: str | None = None
    worst: list[str] = field(default_factory=list)
    best: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    seconds: float | None = None
    n: int = 0
    more: dict[str, Any] = field(default_factory=dict)

    def __getitem__(self, key: str) -> Any:
        """A fact by its key in the file; KeyError if there is none."""
        key = _RENAMED.get(key, key)
        return getattr(self, key) if key in Facts.__dataclass_fields__ else self.more[key]

    def to_dict(self) -> dict[str, Any]:
        """By the file's keys, in its order; those that say nothing are absent."""
        optional = {"paired": True, "inference": {}, "value_range": "", "options": {}, "target_images": None, "notes": [], "seconds": None}
        optional |= {"mask": "", "counted": None, "scored": "", "scored_share": None}
        optional["channel_names"] = {}
        values = {key: value for key, value in vars(self).items() if key != "more" and not (key in optional and value == optional[key])}
        return values | self.more

    @property
    def pixels_scored(self) -> str:
        """What was scored, in words: ``scored``, with its share of all pixels; or, of an older file, what was done to sizes."""
        if not self.scored:
            return f"resize: {self.resize}" if self.resize else ""
        part = "" if self.scored_share is None else f" ({share(self.scored_share)} of their pixels)"
        return f"scored: {self.scored}{part}"

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Facts:
        """From all keys of the file but its rows and panels; a value of the wrong type counts as absent."""
        values = {_RENAMED.get(key, key): value for key, value in values.items()}
        known = {key: values.pop(key, None) for key in vars(cls()) if key != "more"}
        texts = {key: _text(known[key]) for key in ("split", "data", "resize", "scored", "checkpoint", "model", "value_range", "mask")}
        return cls(
            **texts,
            paired=known["paired"] is not False,
            inference=_mapping(known["inference"]),
            options=_mapping(known["options"]),
            counted=finite(known["counted"]),
            scored_share=finite(known["scored_share"]),
            target_images=None if known["target_images"] is None else _whole(known["target_images"]) or 0,
            channel_names={side: _names(names) for side, names in _mapping(known["channel_names"]).items()},
            ranked_by=_text(known["ranked_by"]) or None,
            worst=_names(known["worst"]),
            best=_names(known["best"]),
            notes=_names(known["notes"]),
            seconds=finite(known["seconds"]),
            n=_whole(known["n"]) or 0,
            more=values,
        )


@dataclass
class EvaluationRecord:
    """An evaluation as its file holds it.

    Attributes:
        rows: the table, one row per value of a metric.
        about: how it was made.
        panels: pictures kept for reports.
        files: the SHA-256 of the tables beside the file, by which they are known as ours.
        channels: the scores channel by channel; empty for photos, and in files of version 0.1.0.
    """

    rows: list[Row]
    about: Facts
    panels: list[Panel] = field(default_factory=list)
    files: dict[str, str] = field(default_factory=dict)
    channels: list[ChannelScores] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as the file holds them: what is not finite is None, for JSON has no word for it."""
        rows = [dataclasses.asdict(row) for row in self.rows]
        values = {"version": VERSION, **self.about.to_dict(), "rows": rows}
        if self.channels:
            values["channels"] = [dataclasses.asdict(channel) for channel in self.channels]
        values["panels"] = [panel.to_dict() for panel in self.panels]
        return {key: to_json_values(value) for key, value in values.items()}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> EvaluationRecord:
        """From the file's object, of any version up to this one. What is damaged is left out, never an error.

        Raises:
            UserError: it is of a newer version.
        """
        version = _whole(values.get("version")) or 1
        if version > VERSION:
            raise UserError(f"it is of version {version}, written by a newer program, and {VERSION} is the newest known here")
        lists = ("rows", "panels", "channels")
        rows, panels, channels = ([entry for entry in map(_mapping, _list(values.get(key))) if entry] for key in lists)
        if max(map(len, (rows, panels, channels))) > MOST_ROWS:
            counts = f"{len(rows):,} rows, {len(panels):,} panels and {len(channels):,} channels"
            raise UserError(f"it holds {counts}, and {MOST_ROWS:,} are the most")
        facts = {key: value for key, value in values.items() if key not in ("version", *lists, FILES, KEY)}
        files = {name: _text(digest) for name, digest in _mapping(values.get(FILES)).items()}
        return cls(
            [Row.from_dict(row) for row in rows],
            Facts.from_dict(facts),
            [Panel.from_dict(panel) for panel in panels],
            files,
            [ChannelScores.from_dict(channel) for channel in channels],
        )

    @classmethod
    def read(cls, folder: Path) -> EvaluationRecord:
        """Read the file of an evaluation's folder.

        Raises:
            UserError: it is not there, not one JSON object, or of a newer version.
        """
        file = folder / FILE
        try:
            values = read_json(file, errors="replace")
        except FileNotFoundError as error:
            raise UserError(f"{folder} holds no {FILE}: run  transfigure evaluate  first") from error
        except OSError as error:
            raise UserError(f"{file} cannot be read: {(error.strerror or str(error)).lower()}") from error
        except ValueError:
            values = None
        if not isinstance(values, dict):
            raise UserError(f"{file} cannot be read: it is not one JSON object")
        try:
            return cls.from_dict(values)
        except UserError as error:
            raise UserError(f"{file} cannot be read: {error}") from error

    def write(self, folder: Path) -> None:
        """Write the file.

        Raises:
            UserError: the folder cannot be written.
            RunFailure: the disk is full or failing.
        """
        write_json(folder / FILE, marked(self.to_dict(), self.files))

    def replace_rows(self, rows: Sequence[Row]) -> None:
        """Add rows at the end, in place of those of the same names."""
        names = {row.metric for row in rows}
        self.rows = [row for row in self.rows if row.metric not in names] + list(rows)


# ---- values of any type as what they should be -----------------------------------------------------------------------------


def finite(value: object) -> float | None:
    """The value as a finite float; None for anything else (NaN, text, booleans, absent)."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _whole(value: object) -> int | None:
    number = finite(value)
    return None if number is None else int(number)


def _text(value: object) -> str:
    return str(value) if value else ""


def _mapping(value: object) -> dict[str, Any]:
    return {str(key): item for key, item in value.items()} if isinstance(value, dict) else {}


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _names(value: object) -> list[str]:
    return [name for name in _list(value) if isinstance(name, str)]
