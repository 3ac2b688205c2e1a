"""How good is it? A translator on held-out pairs, through every metric, beside bounds that anyone can reach.

A score alone says little. Beside each stand what copying the source would score, and what the mean training target would: a
translator that does not clearly beat both has learnt nothing worth having by that metric.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from ..data import images
from ..data.batch import Pair
from ..data.dataset import PairDataset
from ..data.files import check_writable_folder
from ..data.layouts import recognise
from ..data.open import find_records, geometry_of, settle
from ..data.pixels import to_array, to_tensor
from ..errors import UserError
from ..networks.model_file import Domain, describe_checkpoint
from ..progress import say, track
from ..recipe import Data, Recipe
from ..recipe.sections import plain
from ..translation.translator import Translator
from .result import Evaluation, Scores, as_target, metric_names, table_rows

Pictures = tuple[Tensor, Tensor, Tensor]
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
    if not isinstance(model, Translator):
        where = Path(model)
        model = Translator.load(where, checkpoint=checkpoint)  # type: ignore[arg-type]
        if out is None and (where / "recipe.yaml").is_file():
            out = where / "evaluation"
    translator = model
    section = settle(_section_for(translator, data, overrides or {}))
    records, notes = find_records(section)
    name = split or next((name for name in ("test", "val") if records[name]), "train")
    pairs = records.get(name)
    if not pairs:
        have = ", ".join(key for key, value in records.items() if value) or "none"
        raise UserError(f"{section.path or 'the data'} has no {name} pairs (splits with pairs: {have}): choose another with --split")
    if split is None and name == "val":
        notes.append("there is no test split: these are the val pairs, by which the best checkpoint was chosen")
    elif split is None and name == "train":
        notes.append("there is neither a test nor a val split: if these are the pairs it was trained on, the scores are too good")
    elif split is None and data is not None:
        notes.append(f"{len(pairs)} of {sum(map(len, records.values()))} pairs are scored: the {name} split")
    dataset = _plain_dataset(section, translator, pairs)
    notes += _conversions(dataset)
    if not quiet:
        for note in notes:
            say(f"note: {note}")
    if out is not None:
        check_writable_folder(Path(out))
    mean_target = _mean_target(section, translator, records["train"], quiet)

    generated, copied, mean = Scores(chosen), Scores(chosen), Scores(chosen)
    kept: dict[str, Pictures] = {}
    spread = {pairs[round(i * (len(pairs) - 1) / 5)].name for i in range(6)}
    names_seen = []
    for pair in track(_read(dataset), len(dataset), "evaluate", quiet=quiet):
        fake = as_written(translator.translate_tensor(pair.source[None])[0], translator.config.target)
        generated.update(fake, pair.target, pair.name)
        copy = as_target(pair.source, pair.target.shape[0])
        if copy is not None:
            copied.update(copy, pair.target, pair.name)
        if mean_target is not None:
            mean.update(mean_target, pair.target, pair.name)
        names_seen.append(pair.name)
        if pair.name in spread:
            kept[pair.name] = (pair.source, fake, pair.target)
    size = f"{section.crop_size} x {section.crop_size}"
    result = Evaluation(
        table_rows(generated, {"source copied": copied, "mean training target": mean}),
        generated.per_image(),
        names_seen,
        {
            "split": name,
            "data": str(section.path or section.kind),
            "resize": f"{section.source_resize} / {section.target_resize} to {size}" if section.load_size else f"middle {size}",
            "checkpoint": describe_checkpoint(translator.config.checkpoint),
            "model": str(translator.origin or "in memory"),
            "inference": dataclasses.asdict(translator.inference),
        },
    )
    if out is not None:
        _keep_panels(result, kept, dataset, translator, Path(out))
    result.about["seconds"] = round(time.monotonic() - started, 2)
    if out is not None:
        result.save(Path(out))
    return result


def as_written(image: Tensor, domain: Domain) -> Tensor:
    """The image as its file will hold it, rounded and clipped."""
    return to_tensor(to_array(image, domain.dtype, domain.value_range), domain.value_range)


def _section_for(translator: Translator, data: str | Path | Data | None, overrides: dict[str, Any]) -> Data:
    """The data section to evaluate on: the model's own way of reading, at the place that was named."""
    config = translator.config
    given: dict[str, Any] = {}
    if isinstance(data, Data):
        given, data = plain(data), None
    elif config.recipe is not None:
        given = config.recipe.get("data") or {}
    else:  # a model from elsewhere: squares of the size it was trained on
        size = config.trained_size or 256
        given = {"load_size": size, "crop_size": size}
        if data is None and not {"data.path", "data.kind"} & overrides.keys():
            raise UserError("this model does not say what it was trained on: name the pairs to evaluate on")
    # the data section alone is wanted; what the networks and the losses were is of no account here
    recipe = Recipe.from_dict({"data": given, "generator": {"name": "unet", "depth": 4}, "objective": {"terms": ["l1"]}})
    if data is not None and str(data) == "synthetic":
        overrides = {"data.kind": "synthetic", "data.path": None, **overrides}
    elif data is not None:
        place = Path(data).expanduser().resolve()
        if str(place) != recipe.data.path:
            overrides = {"data.kind": overrides.get("data.kind") or _kind_at(place, recipe.data), "data.path": str(place), **overrides}
    return recipe.updated(overrides).data if overrides else recipe.data


def _kind_at(place: Path, section: Data) -> str:
    """What the pairs at another place look like; two folders of unusual names are recognised if the recipe names them."""
    try:
        return recognise(place)
    except UserError:
        if section.kind == "two_folders" and all((place / str(section.options.get(side))).is_dir() for side in "ab"):
            return section.kind
        raise


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


def _read(dataset: PairDataset) -> Iterator[Pair]:
    """Every pair, decoded once; what is wrong with one is said with its file."""
    for index, record in enumerate(dataset.records):
        try:
            pair = dataset[index]
        except UserError as error:
            named = any(str(path) in str(error) for path in (*record.a.paths, *record.b.paths))
            raise error if named else UserError(f"{record.a.label} and its target: {error}") from error
        yield pair


def _conversions(dataset: PairDataset) -> list[str]:
    """What is done to pictures that do not have the model's channels, judged by the first pair."""
    notes = []
    for side, picture, channels in zip(("sources", "targets"), (dataset.records[0].a, dataset.records[0].b), dataset.channels):
        have = images.size_of(picture.paths[0]).channels if len(picture.paths) == 1 else channels
        if {have, channels} == {1, 3}:
            notes.append(
                f"the {side} are {'grey' if have == 1 else 'in colour'}: turned to {'colour' if have == 1 else 'grey'} for this model"
            )
    return notes


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
    return as_written((total / len(dataset)).float(), translator.config.target)


def _keep_panels(result: Evaluation, kept: dict[str, Pictures], dataset: PairDataset, translator: Translator, out: Path) -> None:
    """Write source, generated and target of the best, the median, the worst and a few evenly spread examples."""
    by = result.about["ranked_by"]
    roles: dict[str, str] = {}
    if by is not None:
        order = result.order(by)
        for role, index in (("best", order[-1]), ("median", order[(len(order) - 1) // 2]), ("worst", order[0])):
            roles.setdefault(result.names[index], role)
    for name in kept:
        roles.setdefault(name, "example")
    position = {name: index for index, name in enumerate(result.names)}
    source, target = translator.config.source, translator.config.target
    for number, (name, role) in enumerate(roles.items()):
        if name in kept:
            pictures = kept[name]
        else:
            pair = dataset[position[name]]
            pictures = (pair.source, translator.translate_tensor(pair.source[None])[0], pair.target)
        panel: dict[str, Any] = {"name": name, "role": role, "value": result.scores[by][position[name]] if by is not None else None}
        for side, picture, domain in zip(("source", "generated", "target"), pictures, (source, target, target)):
            array = to_array(picture, domain.dtype, domain.value_range)
            plain = (array.dtype == np.uint8 and array.shape[2] in (1, 3)) or (array.dtype == np.uint16 and array.shape[2] == 1)
            file = Path("panels") / f"{number:02d}_{side}.{'png' if plain else 'tif'}"
            images.write(out / file, array)
            panel[side] = file.as_posix()
        result.panels.append(panel)
    named = {out / panel[side] for panel in result.panels for side in ("source", "generated", "target")}
    for stale in (out / "panels").glob("[0-9][0-9]_*"):  # an earlier evaluation's, and only now that the new ones are there
        if stale not in named:
            stale.unlink()
