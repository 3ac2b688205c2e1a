"""How good is it? A translator on held-out pairs, through every metric, beside bounds that anyone can reach.

A score alone says little. Beside each stand what copying the source would score, what the mean training target would, and what the
targets score against themselves: a translator that does not clearly beat the first two has learnt nothing worth having by that metric.
"""

from __future__ import annotations

import copy
import dataclasses
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..data.batch import chunks
from ..data.dataset import PairDataset
from ..data.files import check_writable_folder
from ..data.pixels import NATURAL_RANGE, Array, to_array, to_tensor
from ..errors import UserError
from ..features import weights as weight_files
from ..metrics.metric import MetricContext
from ..metrics.palettes import learn_palette
from ..networks.model_file import Domain, describe_checkpoint
from ..progress import say, track
from ..recipe import Data
from ..translation.translator import Translator
from .choice import Choice
from .held_out import HeldOut, held_out, read
from .panels import keep_panels, spread
from .result import Evaluation, Scores, as_target, table_rows
from .schema import Facts

Pictures = tuple[Tensor, Tensor, Tensor]
BATCH, LARGE = 8, 3 * 512 * 512
"""Pairs that go through the metrics together, and the values of a picture above which it goes alone: it fills the memory of many."""
BOUND_IMAGES = 500
"""The mean training target is taken over at most this many training pairs, spread evenly."""
SAMPLED_IMAGES, SAMPLES = 32, 4
"""For the diversity, this many images, spread evenly, are translated this many times."""
PALETTE_IMAGES = 64
"""The palette ``learn`` is learnt from at most this many label maps, spread evenly."""


def evaluate(
    model: Translator | str | Path,
    data: str | Path | Data | None = None,
    *,
    split: str | None = None,
    metrics: Sequence[str] | None = None,
    require: Sequence[str] = (),
    options: Mapping[str, Mapping[str, Any]] | None = None,
    segmenter: Any = None,
    palette: Any = None,
    weights: Mapping[str, str | Path] | None = None,
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
        metrics: registered names; None is every metric, and those that lack something (weights, a segmenter) say so in their row.
        require: metrics that must not be skipped.
        options: per metric, values for its options, such as ``{"fid": {"resize": "clean"}}``.
        segmenter: for the FCN-score, what reads label maps back from generated photos: a file, ``module:function`` or a callable.
        palette: for the FCN-score, how label maps are coloured: a shipped name, a JSON file, ``learn`` or a ``Palette``.
        weights: files of feature networks, by name (see ``transfigure weights list``).
        out: a folder for ``evaluation.json``, ``per_image.csv`` and the panels; for a run directory the default is its ``evaluation``,
            unless metrics are chosen: a part shall not take the place of the whole.
        checkpoint: of a run: ``last`` or ``best``.
        overrides: dotted data keys laid on top of the recipe's, such as ``{"data.direction": "BtoA"}``.
        quiet: no progress.

    Raises:
        UserError: no model, no pairs, or pairs that do not fit the model.
        Missing: a required metric cannot be computed.
    """
    started = time.monotonic()
    choice = Choice.of(metrics, require, options)
    if not isinstance(model, Translator):
        where = Path(model)
        model = Translator.load(where, checkpoint=checkpoint)  # type: ignore[arg-type]
        if out is None and metrics is None and not require and (where / "recipe.yaml").is_file():
            out = where / "evaluation"
    translator = model
    found = held_out(translator, data, split, overrides or {})
    if not quiet:
        for note in found.notes:
            say(f"note: {note}")
    if out is not None:
        check_writable_folder(Path(out))
    choice = with_labels(choice, segmenter, palette, lambda photos: _label_maps(found, photos))
    photos = bool(choice.options.get("fcn_score", {}).get("segmenter"))
    about = Facts(
        split=found.split,
        data=str(found.section.path or found.section.kind),
        resize=found.resize,
        paired=found.paired,
        checkpoint=describe_checkpoint(translator.config.checkpoint),
        model=str(translator.origin or "in memory"),
        inference=dataclasses.asdict(translator.inference),
        options=choice.option_values(),
    )
    with weight_files.explicit(weights or {}):
        generated, bounds = Scores(choice), {name: Scores(choice, name) for name in ("source copied", "mean training target")}
        if not found.paired:
            for scores in (generated, *bounds.values()):
                scores.without_pairs()
        mean_target = _mean_target(found, translator, quiet) if bounds["mean training target"].metrics else None
        kept: dict[str, Pictures] = {}
        wanted = translator.config.target
        levels = wanted.value_range or NATURAL_RANGE[wanted.dtype]
        examples = spread([record.name for record in found.pairs.records])
        step = every(len(found.pairs), SAMPLED_IMAGES) if _wants_samples(generated, translator) else 0
        names: list[str] = []
        new = first_times(found) if not found.paired else None
        progress = track(read(found.pairs), len(found.pairs), "evaluate", quiet=quiet)
        for chunk in chunks(progress, BATCH, lambda item: (item[0].source.shape, alike(item[0].target))):
            pairs, files = zip(*chunk, strict=True)
            source, target = torch.stack([pair.source for pair in pairs]), torch.stack([pair.target for pair in pairs])
            fake = torch.stack([as_written(image, wanted) for image in translator.translate_tensor(source)])
            here = [pair.name for pair in pairs]
            labels = [pictures[0 if photos else 1] for pictures in files]
            there = found.section.target_range or NATURAL_RANGE[files[0][1].dtype.name]
            sampled = [at for at in range(len(pairs)) if step and (len(names) + at) % step == 0]
            samples = _samples(translator, source[sampled], fake[sampled]) if sampled else None
            these = None if new is None else new[:, len(names) : len(names) + len(here)]
            generated.update(fake, target, here, MetricContext(source, samples, labels, (levels, there)), these)
            copied = as_target(source, target.shape[1])
            if copied is not None:
                bounds["source copied"].update(copied, target, here, MetricContext(source), these)
            if mean_target is not None:
                bounds["mean training target"].update(mean_target.expand_as(target), target, here, MetricContext(source), these)
            names += here
            kept |= {pair.name: (pair.source, fake[at], pair.target) for at, pair in enumerate(pairs) if pair.name in examples}
        rows = table_rows(choice, generated, bounds, about, quiet)
    result = Evaluation(rows, about, scores=generated.per_image(), names=names)
    if out is not None:
        keep_panels(result, Path(out), kept, _pictures_of(kept, found.pairs, translator), quiet)
    result.about.seconds = round(time.monotonic() - started, 2)
    if out is not None:
        result.save(Path(out))
    return result


def first_times(found: HeldOut) -> Tensor:
    """``[2, N]``: whether a record's source, and its target, is met for the first time; the smaller of two domains comes round again."""
    times = []
    for labels in zip(*((record.a.label, record.b.label) for record in found.pairs.records)):
        first = {label: index for index, label in reversed(list(enumerate(labels)))}
        times.append([first[label] == index for index, label in enumerate(labels)])
    return torch.tensor(times)


def with_labels(choice: Choice, segmenter: Any, palette: Any, label_maps: Callable[[bool], Iterator[Any]]) -> Choice:
    """The choice with the segmenter and the palette of the FCN-score laid in.

    Args:
        choice: the metrics and their options.
        segmenter, palette: as in :func:`evaluate`; None leaves the options as they are.
        label_maps: the label maps to learn the palette ``learn`` from; it is told whether photos are generated, or label maps.
    """
    for option, value in (("segmenter", segmenter), ("palette", palette)):
        if value is not None:
            if "fcn_score" not in choice.metrics:
                raise UserError(
                    f"--{option} is for the metric fcn_score, which is not chosen: add it to --metrics, or leave --{option} out"
                )
            choice = choice.with_option("fcn_score", option, value)
    given = choice.options.get("fcn_score", {})
    if isinstance(given.get("palette"), str) and given["palette"] == "learn":
        choice = choice.with_option("fcn_score", "palette", learn_palette(label_maps(bool(given.get("segmenter")))))
    return choice


def _label_maps(found: HeldOut, photos: bool) -> Iterator[Any]:
    """The label maps of some training pairs as their files hold them: sources if photos are generated, else targets."""
    dataset = found.training or found.pairs
    for _, pictures in read(dataset, every(len(dataset), PALETTE_IMAGES)):
        yield pictures[0 if photos else 1]


def alike(image: Tensor) -> object:
    """Equal for images ``[C, H, W]`` that may go through the metrics together; a large one equals no other."""
    return image.shape if image.numel() <= LARGE else object()


def every(n: int, most: int) -> int:
    """The step by which at most so many of n are taken, evenly spread."""
    return max(1, -(-n // most))


def as_written(image: Tensor, domain: Domain) -> Tensor:
    """The image as its file will hold it, rounded and clipped."""
    return to_tensor(to_array(image, domain.dtype, domain.value_range), domain.value_range)


def _wants_samples(scores: Scores, translator: Translator) -> bool:
    return translator.inference.noise == "dropout" and any(metric.needs == "samples" for metric in scores.metrics.values())


def _samples(translator: Translator, source: Tensor, first: Tensor) -> Tensor:
    """The same sources under other noise, ``[SAMPLES, N, C, H, W]``; the first answer is one of them."""
    answers = [first]
    for number in range(1, SAMPLES):
        other = copy.copy(translator)
        other.inference = dataclasses.replace(translator.inference, seed=(translator.inference.seed or 0) + number)
        answers.append(torch.stack([as_written(image, translator.config.target) for image in other.translate_tensor(source)]))
    return torch.stack(answers)


def _mean_target(found: HeldOut, translator: Translator, quiet: bool) -> Tensor | None:
    """The mean of the training targets: the best constant answer by L2."""
    if found.training is None:
        return None
    step = every(len(found.training), BOUND_IMAGES)
    total, count = torch.zeros(()).double(), 0
    for pair, _ in track(read(found.training, step), len(range(0, len(found.training), step)), "mean target", quiet=quiet):
        total, count = total + pair.target, count + 1
    return as_written((total / count).float(), translator.config.target)


def _pictures_of(kept: dict[str, Pictures], pairs: PairDataset, translator: Translator) -> Callable[[str], dict[str, Array]]:
    """How to get the pictures of a pair as their files would hold them; those not kept are translated again."""
    position = {record.name: index for index, record in enumerate(pairs.records)}
    source, target = translator.config.source, translator.config.target

    def pictures_of(name: str) -> dict[str, Array]:
        if name in kept:
            given, made, wanted = kept[name]
        else:
            pair = pairs[position[name]]
            given, made, wanted = pair.source, translator.translate_tensor(pair.source[None])[0], pair.target
        sides = (("source", given, source), ("generated", made, target), ("target", wanted, target))
        return {side: to_array(picture, domain.dtype, domain.value_range) for side, picture, domain in sides}

    return pictures_of
