"""How good is it? A translator on held-out pairs, through every metric, and the bounds that anyone can reach.

A score alone says little. It is compared with what copying the source would score, what the mean training target would, and what the
targets score against themselves: a translator that does not clearly beat the first two has learnt nothing worth having by that metric.
"""

from __future__ import annotations

import dataclasses
import re
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, Unpack

import torch
from torch import Tensor

from ..data.batch import mean_of_channels
from ..data.dataset import PairDataset
from ..data.open import place_of, refuse_inside
from ..data.pairs import Record
from ..data.pixels import Array
from ..errors import UserError
from ..features import weights as weight_files
from ..metrics.metric import TARGET_ITSELF
from ..metrics.palettes import IGNORE, palette_of
from ..metrics.segmentation import FCNScore
from ..networks.model_file import Domain, describe_checkpoint
from ..progress import say, track
from ..recipe import Data
from ..translation.tiling import Tiling
from ..translation.translator import Translator
from .collection import EvaluationKeywords, MetricChoice, MetricOptions
from .held_out import HeldOut, held_out, raise_for_all, read, scored_before
from .result import Evaluation, prepare_place, save_panels, spread
from .schema import MEAN_TARGET, MIDDLE, ChannelScores, EvaluationRecord, Facts, Row
from .scorer import ExamplePictures, MeanTarget, ModelPlan, ModelScorer, ModelScores, merge_outputs
from .shards import Shard, UnreadableImage, scored_in_order, shards_of
from .sizes import ScoredSizes, size_by_header, words_of

BOUND_IMAGES = 500
"""The mean training target is taken over at most this many training pairs, spread evenly."""
SAMPLED_IMAGES = 32
"""For the diversity, at most this many images, spread evenly, are translated several times."""
PALETTE_IMAGES = 64
"""The palette ``learn`` is learnt from at most this many label maps, spread evenly."""


def evaluate(
    model: Translator | str | Path,
    data: str | Path | Data | None = None,
    *,
    split: str | None = None,
    metrics: MetricOptions | Sequence[str] | None = None,
    out: str | Path | None = None,
    checkpoint: Literal["last", "best"] = "last",
    overrides: dict[str, Any] | None = None,
    quiet: bool = False,
    **keywords: Unpack[EvaluationKeywords],
) -> Evaluation:
    """Score a translator on held-out pairs.

    The generated images are rounded to the model's file type first, so that the numbers are those of the files it writes. Whole images
    are scored, at their own size, where the model was trained on pixels as they are (``data.load_size`` null); where they were resized for
    it, so are these. ``data.evaluation_size`` chooses: ``whole``, or the side of a square. One large image is in memory at a time, and it
    is translated in tiles where that is needed, see :meth:`.translation.translator.Translator.set_tiles`.

    Args:
        model: a translator, or a run or model directory.
        data: a folder, a manifest, the name of a drawn world or a data section; None is the data of the model's own recipe.
        split: ``test`` (default; ``val`` if there is no test split, and it is said so), ``val`` or ``train``.
        metrics: registered names, or :class:`MetricOptions`; None is every metric.
        out: a folder for ``evaluation.json``, ``per_image.csv`` and the panels; for a run directory the default is its ``evaluation``,
            unless metrics are chosen: a part shall not take the place of the whole.
        checkpoint: of a run: ``last`` or ``best``.
        overrides: dotted data keys merged into the recipe's, such as ``{"data.direction": "BtoA"}``.
        quiet: no progress.
        keywords: ``overwrite``, to replace files in ``out`` that this tool did not write; ``executor``, where the pairs are scored, if
            not in this process, see :mod:`transfigure.scale.evaluation`; and the other fields of :class:`MetricOptions`: ``require``,
            ``options``, ``segmenter``, ``palette`` and ``weights``.

    Raises:
        UserError: no model, no pairs, or pairs that do not fit the model.
        Missing: a required metric cannot be computed.
    """
    started = time.monotonic()
    overwrite, executor, run = keywords.pop("overwrite", False), keywords.pop("executor", None), None
    wanted = MetricOptions.of(metrics, keywords)
    choice = wanted.choose()
    if isinstance(model, Translator):
        translator = model
    else:
        translator = Translator.load(model, checkpoint=checkpoint)
        if out is None and wanted.metrics is None and not wanted.require and (Path(model) / "recipe.yaml").is_file():
            run, out = Path(model), Path(model) / "evaluation"
    found = held_out(translator, data, split, overrides or {}, quiet, whole=True)
    before = scored_before(translator) if found.whole else None
    if not quiet:
        for note in found.notes:
            say(f"note: {note}")
    if out is not None:
        refuse_inside(found.section, out)
        prepare_place(Path(out), overwrite, run)
    choice = _for_labels(choice.with_segmenter(wanted, lambda photos: _label_maps(found, photos)), translator.config.target)
    about = Facts(
        split=found.split,
        data=place_of(found.section),
        resize=found.resize,
        paired=found.paired,
        checkpoint=describe_checkpoint(translator.config.checkpoint),
        model=str(translator.origin or "in memory"),
        inference=dataclasses.asdict(translator.inference) | _tiles_of(translator),
        options=choice.option_values(),
        mask=found.section.mask or "",
    )
    with weight_files.explicit(wanted.weights or {}):
        plan = ModelPlan(
            choice,
            found.section,
            found.pairs.part(()),
            found.paired,
            wanted.weights or {},
            every=stride(len(found.pairs), SAMPLED_IMAGES),
            chosen=frozenset(spread([record.name for record in found.pairs.records])),
            elsewhere=executor is not None,
        )
        scorer = ModelScorer(plan, translator)
        about.channel_names = names_of(translator.config.source.file_names, scorer.kind.names)
        if scorer.bounds[MEAN_TARGET].together.metrics:
            scorer.plan = plan = dataclasses.replace(plan, mean=_mean_target(found, quiet))
        scores = ModelScores()
        try:
            for of_shard in scored_in_order(scorer, plan, _shards(found), executor, quiet, model=translator):
                scores.add(of_shard)
                found.pairs.take_in(of_shard.looks)
        except UnreadableImage as error:
            raise_for_all(found.pairs)
            raise UserError(*error.args) from error
        merge_outputs(scorer.outputs, scores.outputs)
        for note in scores.said:
            translator.say_once(note)
        sizes = scores.scored_sizes(found.sizes())
        scores.counted.say_in(about)
        sizes.say_in(about)
        about.notes += found.pairs.notes()
        about.notes += ([] if plan.mean is None else plan.mean.notes()) + _of_other_pixels(before, sizes)
        for note in [] if quiet else about.notes:
            say(f"note: {note}")
        about.notes += scores.tiles  # the translator has said them
        generated, bounds, domain = scorer.generated, scorer.bounds, translator.config.target
        rows = generated.together.rows({bound: outputs.together for bound, outputs in bounds.items()}, about, quiet)
        channels = generated.by_channel.scores({bound: outputs.by_channel for bound, outputs in bounds.items()}, about)
        if domain.classes and isinstance(counted := generated.together.metrics.get("fcn_score"), FCNScore):
            channels += scores_of_classes(counted, about, len(scores.names))
    of_images = generated.together.per_image(), generated.by_channel.per_image()
    result = Evaluation(rows, about, channels=channels, scores=of_images[0], names=scores.names, channel_scores=of_images[1])
    result.sizes = scores.scored_as
    if out is not None:
        save_panels(result, Path(out), scores.examples, _pictures_of(scores.examples, found.pairs, ExamplePictures(translator)), quiet)
    result.about.seconds = round(time.monotonic() - started, 2)
    if out is not None:
        result.save(Path(out))
    return result


def _for_labels(choice: MetricChoice, target: Domain) -> MetricChoice:
    """The same, where label maps are generated, with their own classes for the FCN-score, if nobody asks for others."""
    if (
        not 2 <= len(target.classes) < IGNORE + 1
        or "fcn_score" not in choice.metrics
        or choice.options.get("fcn_score", {}).keys() & {"segmenter", "palette"}
    ):
        return choice
    choice = choice.with_option("fcn_score", "palette", palette_of(target.classes))
    return choice if "absent" in choice.options["fcn_score"] else choice.with_option("fcn_score", "absent", "skip")


def scores_of_classes(metric: FCNScore, about: Facts, images: int) -> list[ChannelScores]:
    """The IoU of each class of generated label maps, as the scores of its channel."""
    found = []
    for name, (value, (low, high)) in metric.class_scores().items():
        ends: tuple[float | None, float | None] = (low, high) if images > 1 else (None, None)
        known, where = {TARGET_ITSELF: 1.0}, about.checkpoint
        row = Row("iou", "IoU", "", "higher", value, ends[0], ends[1], images, known, checkpoint=where, of=metric.name)
        found.append(ChannelScores(name, [row]))
    return found


def names_of(source: Sequence[str], target: Sequence[str]) -> dict[str, list[str]]:
    """The names of channels as an evaluation's file has them: of the sides that have any."""
    return {side: list(names) for side, names in (("source", source), ("target", target)) if names}


def _shards(found: HeldOut) -> list[Shard[Record]]:
    """The pairs in shards, by their sources' sizes."""
    shards = shards_of(found.pairs.records, lambda record: size_by_header(record.a))
    if found.paired:
        return shards
    new = first_times(found)
    return [dataclasses.replace(shard, first_seen=new[:, shard.start : shard.start + len(shard.items)]) for shard in shards]


def first_times(found: HeldOut) -> Tensor:
    """``[2, N]``: whether a record's source, and its target, is met for the first time; the smaller of two domains comes round again."""
    times = []
    for labels in zip(*((record.a.label, record.b.label) for record in found.pairs.records)):
        first = {label: index for index, label in reversed(list(enumerate(labels)))}
        times.append([first[label] == index for index, label in enumerate(labels)])
    return torch.tensor(times)


def _label_maps(found: HeldOut, photos: bool) -> Iterator[Any]:
    """The label maps of some training pairs as their files hold them: sources if photos are generated, else targets."""
    dataset = found.training or found.pairs
    for _, pictures in read(dataset, stride(len(dataset), PALETTE_IMAGES)):
        yield pictures[0 if photos else 1]


def _tiles_of(translator: Translator) -> dict[str, Any]:
    """When and how it translates in tiles, as far as somebody has chosen that."""
    return {} if translator.tiling == Tiling() else {"tiles": dataclasses.asdict(translator.tiling)}


def _of_other_pixels(before: EvaluationRecord | None, sizes: ScoredSizes) -> list[str]:
    """That the run was scored on other pixels by an earlier version, which took the middle of each image, and how to do so again."""
    side = re.match(MIDDLE + r"(\d+)", "" if before is None or before.about.scored else before.about.resize)
    if side is None or all(size == (int(side[1]), int(side[1])) for size in sizes.seen):
        return []
    return [
        f"this evaluation is of whole images ({words_of(sizes.seen)}), and the one that the run holds is of the middle "
        f"{side[1]} x {side[1]} of each: --data.evaluation_size {side[1]} scores those pixels again"
    ]


def stride(n: int, most: int) -> int:
    """The step by which at most so many of n are taken, evenly spread."""
    return max(1, -(-n // most))


def _mean_target(found: HeldOut, quiet: bool) -> MeanTarget | None:
    """The mean training target; of each pixel only where all images, of training and those that are scored, have one size."""
    if found.training is None:
        return None
    step = stride(len(found.training), BOUND_IMAGES)
    # each image counts as much as every other, and its pixels all alike
    total, count, of_channels, images = torch.zeros(()).double(), torch.zeros(()).double(), torch.zeros(()).double(), 0
    sizes = {size_by_header(record.a if found.paired else record.b) for record in found.pairs.records} if found.whole else set()
    alike = len(sizes) <= 1
    for pair, _ in track(read(found.training, step), len(range(0, len(found.training), step)), "mean target", quiet=quiet):
        alike = alike and (total.ndim == 0 or total.shape == pair.target.shape) and not sizes - {tuple(pair.target.shape[1:]), None}
        within = mean_of_channels(pair.target[None], None if pair.mask is None else pair.mask[None])
        if pair.mask is None or pair.mask.any():
            of_channels, images = of_channels + within[0].double(), images + 1
        if not alike:
            continue
        if pair.mask is None:
            total, count = total + pair.target, count + 1
        else:
            total, count = total + torch.where(pair.mask, pair.target, 0), count + pair.mask
    values = (of_channels / max(1, images)).float()[:, None, None]
    return MeanTarget(values, (total / count.clamp_min(1)).float() if alike else None)


def _pictures_of(examples: dict[str, dict[str, Array]], pairs: PairDataset, shown: ExamplePictures) -> Callable[[str], dict[str, Array]]:
    """How to get the pictures of a pair; one that is no example is translated again."""
    position = {record.name: index for index, record in enumerate(pairs.records)}

    def pictures_of(name: str) -> dict[str, Array]:
        if name in examples:
            return examples[name]
        pair = pairs[position[name]]
        return shown.of(pair.source, shown.translator.translate_tensor(pair.source[None])[0], pair.target, pair.mask)

    return pictures_of
