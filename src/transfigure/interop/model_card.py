"""What goes beside the weights when a model is shared: a card that says what it is, how good, on which data, under which licence.

A run knows more than its model: how many pairs there were, how it was evaluated, what it looks like. All of it is read with forgiveness,
and what is not known is not said.
"""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray
from PIL import Image

from ..data import images
from ..data.display import GAP, limits, shown, strip
from ..data.file_patterns import JOINED
from ..data.files import write_text
from ..errors import Missing, UserError, printable
from ..integrity import Damaged, read_header
from ..networks.model_file import CARD, CONFIG, INVENTS, WEIGHTS, ModelConfig, card, describe_checkpoint, facts_table, what_it_does
from ..recipe import BRACES
from ..registry import plugin_files
from ..stored import read_json, read_log
from .hub import PANEL, PREFIX, base_of

Array = NDArray[Any]
MOST_METRICS, MOST_ROWS = 60, 3
"""Of a card's table, and of its picture."""
_SMALL, _SIDE = 128, 256
"""Pixels that a picture of the panel is high at least, and at most."""
_BETTER = {"higher": " ↑", "lower": " ↓", "one": " → 1"}


@dataclass(frozen=True)
class CardScore:
    """A value of a metric, as the run's evaluation has it."""

    metric: str
    label: str
    unit: str
    better: str
    value: float
    low: float | None
    high: float | None
    n: int | None
    copied: float | None


@dataclass(frozen=True)
class Evidence:
    """What a run knows of its model.

    Attributes:
        pairs: it was trained on.
        split: of the evaluation.
        scores: of the evaluation, if it is one of this very state.
        about: how they were measured, in words.
        panel: rows of picture files: source, generated, target, as far as they are there.
    """

    pairs: int | None = None
    split: str = ""
    scores: list[CardScore] = field(default_factory=list)
    about: str = ""
    panel: list[list[Path]] = field(default_factory=list)

    @classmethod
    def of(cls, origin: Path | None, config: ModelConfig, weights: Path) -> Evidence:
        """From the run around a model. What was measured on other weights says nothing about these.

        Args:
            origin: the run, or a model directory inside it; anything else knows nothing.
            config: of the model.
            weights: its file.
        """
        run = next((place for place in (origin, origin.parent) if (place / "recipe.yaml").is_file()), None) if origin else None
        if run is None:
            return cls()
        if not _are_among(weights, [run / name / WEIGHTS for name in ("model", "model_best")]):
            return cls(_pairs(run))
        values = _evaluation(run / "evaluation" / "evaluation.json")
        if values.get("checkpoint") != describe_checkpoint(config.checkpoint):
            values = {}
        inference = values.get("inference")
        how = inference if isinstance(inference, dict) else {}
        about = ", ".join(f"{key} {how[key]}" for key in ("norm", "noise", "seed") if key in how)
        about += f", on {scored}" if about and (scored := str(values.get("scored") or "")[:120]) else ""
        rows = values.get("rows")
        scores = [score for row in (rows if isinstance(rows, list) else [])[:MOST_METRICS] if (score := _score(row)) is not None]
        return cls(_pairs(run), str(values.get("split") or ""), scores, about, _panel(run, values) or _samples(run / "samples"))


def _are_among(weights: Path, files: Sequence[Path]) -> bool:
    """Whether these are the weights of one of the files; those of 0.1.0 carry no digest, and are believed."""
    try:
        digests = [read_header(file).digest for file in files if file.is_file()]
        return None in digests or read_header(weights).digest in digests
    except (Damaged, OSError):
        return False


def _evaluation(file: Path) -> dict[str, Any]:
    try:
        values = read_json(file, errors="replace")
    except (OSError, ValueError):
        return {}
    return values if isinstance(values, dict) else {}


def _score(row: object) -> CardScore | None:
    """A row of the evaluation; none if it has no value."""
    if not isinstance(row, dict) or (value := _number(row.get("value"))) is None:
        return None
    bounds = row.get("bounds")
    n = row.get("n")
    metric, label, unit, better = (str(row.get(key) or "")[:80] for key in ("metric", "label", "unit", "better"))
    copied = _number(bounds.get("source copied")) if isinstance(bounds, dict) else None
    low, high = _number(row.get("low")), _number(row.get("high"))
    return CardScore(metric, label or metric, unit, better, value, low, high, n if type(n) is int else None, copied)


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300 else None


def _pairs(run: Path) -> int | None:
    """Of the log's last start."""
    try:
        found = [entry.get("pairs") for entry in read_log(run / "log.jsonl") if entry and entry.get("kind") in ("start", "resume")]
    except OSError:
        return None
    return next((pairs for pairs in reversed(found) if type(pairs) is int), None)


def _panel(run: Path, values: Mapping[str, Any]) -> list[list[Path]]:
    """Pictures of the evaluation: only those that lie in its folder, whatever it names."""
    folder, panels, rows = run / "evaluation" / "panels", values.get("panels"), []
    for panel in panels if isinstance(panels, list) else []:
        names = [panel.get(side) for side in ("source", "generated", "target")] if isinstance(panel, dict) else []
        files = [folder / PurePosixPath(name).name for name in names if isinstance(name, str) and PurePosixPath(name).name]
        rows.append([file for file in files if file.is_file()])
    return [row for row in rows if len(row) > 1][:MOST_ROWS]


def _samples(folder: Path) -> list[list[Path]]:
    """The run's fixed examples as the generator last gave them."""
    moments = sorted((path for path in folder.glob("*") if path.name.isdecimal() and path.is_dir()), key=lambda path: int(path.name))
    rows = []
    for made in sorted(moments[-1].glob("*"), key=lambda path: path.name) if moments else []:
        sides = [next(iter((folder / "fixed").glob(f"{made.stem}_{side}.*")), None) for side in ("source", "target")]
        if made.stem.isdecimal():
            rows.append([file for file in (sides[0], made, sides[1]) if file is not None])
    return rows[:MOST_ROWS]


# ---- the picture --------------------------------------------------------------------------------------------------------------


def draw_panel(evidence: Evidence) -> Array | None:
    """Source, generated and target side by side, an example a row; None if there are none that can be read.

    Returns:
        uint8 ``[H, W, 3]``.
    """
    rows = []
    for files in evidence.panel:
        try:
            opened = [images.examine(file, "drop") for file in files]
        except (UserError, Missing, OSError):
            continue
        target, of_target = opened[-1]
        between = limits(target, of_target.channel_names)
        pictures = []
        for array, facts in opened:
            alike = array.dtype == target.dtype and array.shape[2] == target.shape[2]
            pictures.append(_fitting(shown(array, between if alike else None, facts.channel_names)))
        rows.append(strip([np.repeat(picture, 3, axis=2) if picture.shape[2] == 1 else picture for picture in pictures]))
    if not rows:
        return None
    width = max(row.shape[1] for row in rows)
    paper = np.full((sum(row.shape[0] + GAP for row in rows) - GAP, width, 3), 255, np.uint8)
    top = 0
    for row in rows:
        paper[top : top + row.shape[0], : row.shape[1]] = row
        top += row.shape[0] + GAP
    return paper


def _fitting(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    height, width = picture.shape[:2]
    if height <= _SIDE:
        times = max(1, _SMALL // height)  # a pixel stays a pixel
        return picture.repeat(times, axis=0).repeat(times, axis=1)
    small = Image.fromarray(picture[:, :, 0] if picture.shape[2] == 1 else picture).resize((max(1, width * _SIDE // height), _SIDE))
    return np.asarray(small).reshape(_SIDE, -1, picture.shape[2])


# ---- the words ----------------------------------------------------------------------------------------------------------------


def without_paths(config: ModelConfig) -> ModelConfig:
    """A configuration as it may be shared: of places on this machine only the last names are left."""
    config = replace(config, started_from=_relative(config.started_from))
    recipe = dict(config.recipe) if config.recipe is not None else None
    if recipe is None:
        return config
    data = recipe.get("data")
    if isinstance(data, dict):
        places = {key: _last(value) for key, value in data.items() if key in ("path", "source", "target") and isinstance(value, str)}
        recipe["data"] = data | places
    shared: dict[str, Any] = _relative(recipe)
    return replace(config, recipe=shared)


def _relative(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _relative(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_relative(item) for item in value]
    absolute = isinstance(value, str) and (value.startswith(("/", "~", "\\\\")) or PureWindowsPath(value).is_absolute())
    return _last(value) if absolute else value


def _last(place: str) -> str:
    if JOINED in place and BRACES.search(place):  # patterns of files that are one image
        return JOINED.join(map(_last, place.split(JOINED)))
    return PureWindowsPath(place).name or place if re.search(r"[/\\]", place) else place


def write_card(folder: Path, config: ModelConfig, origin: Path | None, *, name: str | None, licence: str | None, panel: bool) -> None:
    """Write the card and its picture into a model's folder.

    Args:
        folder: where the model is.
        config: of the model, as it is shared.
        origin: where the model came from. A run knows more than its model; a model directory whose card somebody edited has that one, and
            so has a model of the hub, as long as the weights are the same.
        name: on the hub, ``owner/name``, if it is known.
        licence: the hub's word for it.
        panel: show the run's examples.
    """
    base = base_of(origin)
    place = origin if base is None else base[1]
    edited = _edited_card(place, config, folder / WEIGHTS)
    if edited is not None and place is not None:
        beside = place / PANEL
        picture = images.read(beside, "drop") if panel and beside.is_file() else None
        if base is not None and name is not None:
            edited = re.sub(rf"(?<![\w./-]){re.escape(base[0].id)}(?![\w/-])", name, edited)
        if picture is None:
            edited = "\n".join(line for line in edited.split("\n") if f"]({PANEL})" not in line)
        text = _with_front(edited, license=licence, base_model=base[0].id if base else None)
    else:
        evidence = Evidence.of(origin, config, folder / WEIGHTS)
        picture = draw_panel(evidence) if panel else None
        text = shared_card(config, evidence, name=name, licence=licence, panel=picture is not None, base=base[0].id if base else None)
    if picture is not None:
        images.write(folder / PANEL, picture)
    else:
        (folder / PANEL).unlink(missing_ok=True)  # an older model's
    write_text(folder / CARD, text)


def _edited_card(origin: Path | None, config: ModelConfig, weights: Path) -> str | None:
    """The card of a model directory that is not as a training writes it: it goes along as it is, whoever worked on it."""
    if origin is None or not (origin / CONFIG).is_file() or (origin.parent / "recipe.yaml").is_file():
        return None
    if not _are_among(weights, [origin / WEIGHTS]):
        return None
    try:
        text = (origin / CARD).read_text(encoding="utf-8")
    except (OSError, ValueError):
        return None
    return None if text == card(config) else text


def _with_front(text: str, **values: str | None) -> str:
    """A card with these in its metadata."""
    values = {key: value for key, value in values.items() if value is not None}
    if not values:
        return text
    _, front, rest = text.split("---", 2) if text.startswith("---") and text.count("---") > 1 else ("", "", f"\n{text}")
    kept = [line for line in front.strip().splitlines() if line.partition(":")[0] not in values]
    return "\n".join(["---", yaml.safe_dump(values, sort_keys=False).rstrip(), *kept, f"---{rest}"])


def shared_card(
    config: ModelConfig, evidence: Evidence, *, name: str | None, licence: str | None, panel: bool, base: str | None = None
) -> str:
    """The text of a card: metadata that the hub reads, and what people want to know.

    Args:
        config: of the model.
        evidence: what its run knows.
        name: on the hub.
        licence: the hub's word for it.
        panel: there is a picture.
        base: the hub's model that it was made from.
    """
    title = name.partition("/")[2] if name else _plain((config.recipe or {}).get("name") or "An image-to-image translator")
    place, model = name or "THIS_FOLDER", f"{PREFIX}{name}" if name else "THIS_FOLDER"
    plugins = "".join(f" --plugins {shlex.quote(Path(file).name)}" for file in plugin_files())
    picture = [f"![Source, generated, target]({PANEL})", "", "From left to right: source, generated, target.", ""] if panel else []
    return "\n".join(
        [
            "---",
            yaml.safe_dump(_front(config, evidence, title, licence, base), sort_keys=False, allow_unicode=True).rstrip(),
            "---",
            f"# {title}",
            "",
            what_it_does(config),
            "",
            *picture,
            "## Use",
            "",
            "```bash",
            "pip install 'transfigure[hub]'",
            f"transfigure translate {model} INPUT OUTPUT{plugins}",
            "```",
            "",
            "```python",
            "from transfigure import Translator",
            "",
            f'translator = Translator.from_pretrained("{place}")',
            'translator.translate_file("input.png", "output.png")',
            "```",
            "",
            "## What it is",
            "",
            *facts_table(config),
            *_data_rows(config, evidence),
            "",
            *_scores(evidence),
            "## Limits",
            "",
            f"- {INVENTS}",
            "- Which images these are is said above: on others nothing was measured.",
            *_noise(config),
            "",
            "## Licence",
            "",
            f"{licence}." if licence else "Its maker named none: ask before you use it.",
            "",
        ]
    )


def _front(config: ModelConfig, evidence: Evidence, title: str, licence: str | None, base: str | None) -> dict[str, Any]:
    tags = ["transfigure", "image-to-image", config.generator, *(["pix2pix"] if _is_conditional(config) else [])]
    front: dict[str, Any] = ({"license": licence} if licence else {}) | ({"base_model": base} if base else {})
    front |= {"library_name": "transfigure", "pipeline_tag": "image-to-image", "tags": list(dict.fromkeys(tags))}
    if evidence.scores:
        front["metrics"] = list(dict.fromkeys(score.metric for score in evidence.scores))
        data = _data_name(config) or "unnamed"
        dataset = {"type": re.sub(r"[^a-z0-9]+", "-", data.lower()).strip("-") or "unnamed", "name": data}
        front["model-index"] = [
            {
                "name": title,
                "results": [
                    {
                        "task": {"type": "image-to-image", "name": "Image-to-image translation"},
                        "dataset": dataset | ({"split": evidence.split} if evidence.split else {}),
                        "metrics": [{"type": one.metric, "name": one.label, "value": float(f"{one.value:.6g}")} for one in evidence.scores],
                    }
                ],
            }
        ]
    return front


def _is_conditional(config: ModelConfig) -> bool:
    adversarial = ((config.recipe or {}).get("objective") or {}).get("adversarial")
    return isinstance(adversarial, dict) and adversarial.get("conditional") is True


def _data(config: ModelConfig) -> Mapping[str, Any]:
    data = (config.recipe or {}).get("data")
    return data if isinstance(data, dict) else {}


def _data_name(config: ModelConfig) -> str:
    data = _data(config)
    named = data.get("path") or data.get("kind")
    return _plain(_last(str(named))) if named else ""


def _data_rows(config: ModelConfig, evidence: Evidence) -> list[str]:
    pairs = f", {evidence.pairs:,} to train on" if evidence.pairs is not None else ""
    name = _data_name(config)
    return [f"| Data | {name}{pairs} |"] if name else []


def _scores(evidence: Evidence) -> list[str]:
    if not evidence.scores:
        return []
    images_of = f" on the {evidence.split} images" if evidence.split else ""
    lines = [
        f"## How good{images_of}",
        "",
        "| Metric | value | 95 % interval | images | source copied |",
        "|---|---|---|---|---|",
    ]
    for one in evidence.scores:
        interval = f"{_figure(one.low)} to {_figure(one.high)}" if one.low is not None and one.high is not None else ""
        name = f"{_plain(one.label)}{_BETTER.get(one.better, '')}{f' ({_plain(one.unit)})' if one.unit else ''}"
        lines.append(f"| {name} | {_figure(one.value)} | {interval} | {'' if one.n is None else one.n} | {_figure(one.copied)} |")
    how = f"Measured with {_plain(evidence.about)}. " if evidence.about else ""
    return [*lines, "", f'{how}"Source copied" is what the untranslated source scores.', ""]


def _noise(config: ModelConfig) -> Sequence[str]:
    if config.inference.noise != "dropout":
        return []
    return [
        "- Its noise is drawn by a seed: the same seed gives the same picture, another seed another, and none of them is the right one."
    ]


def _figure(value: float | None) -> str:
    if value is None:
        return ""
    places = min(6, max(0, 2 - math.floor(math.log10(abs(value))))) if abs(value) > 1e-9 else 2
    return f"{value:,.{places}f}"


def _plain(text: object) -> str:
    """Words of a recipe or of a file name in a page: one line, no marks of its own."""
    return re.sub(r"([\\`*_\[\]<>|#])", r"\\\1", printable(str(text))[:200])
