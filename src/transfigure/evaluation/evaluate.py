"""How good is it? A translator on held-out pairs, through every metric, beside bounds that anyone can reach.

A score alone says little. Beside each stand what copying the source would score, and what the mean training target would: a
translator that does not clearly beat both has learnt nothing worth having by that metric.
"""

from __future__ import annotations

import dataclasses
import shutil
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from ..data import images
from ..data.dataset import PairDataset
from ..data.files import write_json, write_text
from ..data.open import find_records, geometry_of, settle
from ..data.pixels import to_array, to_tensor
from ..errors import UserError
from ..progress import say, track
from ..recipe import Data, Recipe
from ..translation.translator import Translator
from .result import Evaluation, Scores, as_target, complete, metric_names, table_rows

BOUND_IMAGES = 500
"""The mean training target is taken over at most this many training pairs, spread evenly."""


def evaluate(
    model: Translator | str | Path,
    data: str | Path | Data | None = None,
    *,
    split: str | None = None,
    metrics: Sequence[str] | None = None,
    out: str | Path | None = None,
    checkpoint: str = "last",
    overrides: dict[str, Any] | None = None,
    quiet: bool = False,
) -> Evaluation:
    """Score a translator on held-out pairs.

    The generated images are rounded to the model's file type first, so that the numbers are those of the files it writes.

    Args:
        model: a translator, or a run or model directory.
        data: a folder, a manifest, the word ``synthetic`` or a data section; None is the data of the model's own recipe.
        split: ``test`` (default; ``val`` if there is no test split, and it is said so), ``val`` or ``train``.
        metrics: registered names; None is every metric that needs nothing but the images.
        out: a folder for ``evaluation.json``, ``per_image.csv`` and the panels; for a run directory the default is its ``evaluation``.
        checkpoint: of a run: ``last`` or ``best``.
        overrides: dotted data keys laid on top of the recipe's, such as ``{"data.direction": "BtoA"}``.
        quiet: no progress.

    Raises:
        UserError: no model, no pairs, or pairs that do not fit the model.
    """
    started = time.monotonic()
    chosen = metric_names(metrics)
    if isinstance(model, Translator):
        translator, where = model, None
    else:
        translator = Translator.load(model, checkpoint=checkpoint)  # type: ignore[arg-type]
        where = Path(model)
        if out is None and (where / "recipe.yaml").is_file():
            out = where / "evaluation"
    section = settle(_section_for(translator, data, overrides or {}))
    records, notes = find_records(section)
    name = split or ("test" if records["test"] else "val" if records["val"] else "all pairs")
    pairs = records["train"] if name == "all pairs" else records.get(name, [])
    if not pairs:
        have = ", ".join(key for key, value in records.items() if value) or "none"
        raise UserError(f"{section.path or 'the data'} has no {name} pairs (splits with pairs: {have}): choose another with --split")
    if split is None and name != "test":
        notes.append(f"there is no test split: these are the {name}{'' if name == 'val' else ' of the folder'}")
    if not quiet:
        for note in notes:
            say(f"note: {note}")
    dataset = _plain_dataset(section, translator, pairs)
    mean_target = _mean_target(section, translator, records["train"], quiet) if name != "all pairs" else None

    generated, copied, mean = Scores(chosen), Scores(chosen), Scores(chosen)
    kept: dict[str, tuple[Tensor, Tensor, Tensor]] = {}
    spread = {pairs[round(i * (len(pairs) - 1) / 5)].name for i in range(6)}
    target_domain = translator.config.target
    names_seen = []
    for pair in track(_read(dataset), len(dataset), "evaluate", quiet=quiet):
        fake = translator.translate_tensor(pair.source[None])[0]
        fake = to_tensor(to_array(fake, target_domain.dtype, target_domain.value_range), target_domain.value_range)
        generated.update(fake, pair.target, pair.name)
        copy = as_target(pair.source, pair.target.shape[0])
        if copy is not None:
            copied.update(copy, pair.target, pair.name)
        if mean_target is not None and mean_target.shape == pair.target.shape:
            mean.update(mean_target, pair.target, pair.name)
        names_seen.append(pair.name)
        if pair.name in spread:
            kept[pair.name] = (pair.source, fake, pair.target)
    bounds = {"source copied": copied, "mean training target": mean}
    rows = table_rows(generated, {label: scores for label, scores in bounds.items() if complete(scores, len(dataset))})
    size = f"{section.crop_size} x {section.crop_size}"
    result = Evaluation(
        rows,
        generated.per_image(),
        names_seen,
        {
            "split": name,
            "data": str(section.path or section.kind),
            "resize": f"{section.source_resize} / {section.target_resize} to {size}" if section.load_size else f"middle {size}",
            "checkpoint": ", ".join(f"{value}" for value in translator.config.checkpoint.values()) or "unknown",
            "model": str(where) if where else "in memory",
            "inference": dataclasses.asdict(translator.inference),
            "ranked_by": "ssim" if "ssim" in chosen else chosen[0],
        },
    )
    result.about["worst"], result.about["best"] = result.extremes(result.about["ranked_by"])
    if out is not None:
        _keep_panels(result, kept, dataset, translator, Path(out))
    result.about["seconds"] = round(time.monotonic() - started, 2)
    if out is not None:
        write_text(Path(out) / "per_image.csv", result.csv())
        write_json(Path(out) / "evaluation.json", result.to_dict())
    return result


def _section_for(translator: Translator, data: str | Path | Data | None, overrides: dict[str, Any]) -> Data:
    """The data section to evaluate on: the model's own way of reading, at the place that was named."""
    if isinstance(data, Data):
        return data
    if translator.config.recipe is not None:
        recipe = Recipe.from_dict(translator.config.recipe)
    else:  # a model from elsewhere: squares of the size it was trained on
        size = translator.config.trained_size or 256
        recipe = Recipe.load("l1", {"data.load_size": size, "data.crop_size": size, "generator.depth": 4})
    if data is not None:
        text = str(data)
        if text == "synthetic":
            overrides = {"data.kind": "synthetic", **overrides}
        elif recipe.data.path is None or Path(text).expanduser().resolve() != Path(recipe.data.path):
            overrides = {"data.path": text, "data.kind": "auto", **overrides}
    tree = recipe.updated(overrides) if overrides else recipe
    return tree.data


def _plain_dataset(section: Data, translator: Translator, records: Sequence[Any]) -> PairDataset:
    config = translator.config
    return PairDataset(
        records,
        geometry_of(section),
        direction=section.direction,
        alpha=section.alpha,
        source_channels=config.source.channels,
        target_channels=config.target.channels,
        source_range=section.source_range,
        target_range=section.target_range,
        training=False,
        cache_bytes=0,
    )


def _read(dataset: PairDataset) -> Iterator[Any]:
    for index in range(len(dataset)):
        yield dataset[index]


def _mean_target(section: Data, translator: Translator, records: Sequence[Any], quiet: bool) -> Tensor | None:
    """The mean of the training targets: the best constant answer by L2."""
    if not records:
        return None
    step = max(1, -(-len(records) // BOUND_IMAGES))
    dataset = _plain_dataset(section, translator, records[::step])
    total: Tensor | None = None
    for pair in track(_read(dataset), len(dataset), "mean target", quiet=quiet):
        total = pair.target.double() if total is None else total + pair.target
    assert total is not None
    domain = translator.config.target
    return to_tensor(to_array((total / len(dataset)).float(), domain.dtype, domain.value_range), domain.value_range)


def _keep_panels(result: Evaluation, kept: dict[str, Any], dataset: PairDataset, translator: Translator, out: Path) -> None:
    """Write source, generated and target of the best, the median, the worst and a few evenly spread examples."""
    by = result.about["ranked_by"]
    values = result.scores[by]
    lower = next(row.better for row in result.rows if row.metric == by) == "lower"
    order = sorted(range(len(values)), key=lambda index: values[index], reverse=not lower)
    roles = {result.names[order[0]]: "best"}
    roles.setdefault(result.names[order[len(order) // 2]], "median")
    roles.setdefault(result.names[order[-1]], "worst")
    for name in kept:
        roles.setdefault(name, "example")
    position = {name: index for index, name in enumerate(result.names)}
    shutil.rmtree(out / "panels", ignore_errors=True)
    source, target = translator.config.source, translator.config.target
    for number, (name, role) in enumerate(roles.items()):
        if name in kept:
            pictures = kept[name]
        else:
            pair = dataset[position[name]]
            pictures = (pair.source, translator.translate_tensor(pair.source[None])[0], pair.target)
        panel: dict[str, Any] = {"name": name, "role": role, "value": values[position[name]]}
        for side, picture, domain in zip(("source", "generated", "target"), pictures, (source, target, target)):
            array = to_array(picture, domain.dtype, domain.value_range)
            plain = (array.dtype == np.uint8 and array.shape[2] in (1, 3)) or (array.dtype == np.uint16 and array.shape[2] == 1)
            file = Path("panels") / f"{number:02d}_{side}.{'png' if plain else 'tif'}"
            images.write(out / file, array)
            panel[side] = file.as_posix()
        result.panels.append(panel)
