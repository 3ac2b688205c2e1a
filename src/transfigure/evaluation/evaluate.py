"""How good is it? A translator on held-out pairs, through every metric, and the bounds that anyone can reach.

A score alone says little. It is compared with what copying the source would score, what the mean training target would, and what the
targets score against themselves: a translator that does not clearly beat the first two has learnt nothing worth having by that metric.
"""

from __future__ import annotations

import copy
import dataclasses
import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Unpack

import numpy as np
import torch
from torch import Tensor

from ..data.batch import Pair, chunks, mean_of_channels, stacked_masks
from ..data.channels import ChannelKind, resolve_names
from ..data.dataset import PairDataset
from ..data.display import hatched
from ..data.encodings.label_maps import LabelMaps
from ..data.open import place_of, refuse_inside
from ..data.pixels import Array, match_channels
from ..data.value_range import limits
from ..errors import UserError
from ..features import weights as weight_files
from ..metrics.metric import TARGET_ITSELF, MetricContext
from ..metrics.palettes import IGNORE, palette_of
from ..metrics.segmentation import FCNScore
from ..networks.model_file import Domain, describe_checkpoint
from ..progress import say, track
from ..recipe import Data
from ..translation.tiling import TilePlan, Tiling
from ..translation.translator import Translator
from .by_channel import ChannelCollection
from .collection import EvaluationKeywords, MetricChoice, MetricCollection, MetricOptions
from .counted import Counted
from .held_out import HeldOut, held_out, read, scored_before
from .result import Evaluation, prepare_place, reduced, save_panels, spread
from .schema import MEAN_TARGET, MIDDLE, SIDES, SOURCE_COPIED, ChannelScores, EvaluationRecord, Facts, Row
from .sizes import ScoredSizes, size_by_header, words_of

OF_CLASSES = "the targets are label maps, whose numbers and colours are names of classes: see the FCN-score"
NO_PAIRS = "it compares with the target of each source, and in unpaired data no target belongs to a source"
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
        keywords: ``overwrite``, to replace files in ``out`` that this tool did not write; and the other fields of
            :class:`MetricOptions`: ``require``, ``options``, ``segmenter``, ``palette`` and ``weights``.

    Raises:
        UserError: no model, no pairs, or pairs that do not fit the model.
        Missing: a required metric cannot be computed.
    """
    started = time.monotonic()
    overwrite, run = keywords.pop("overwrite", False), None
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
        generated = MetricCollection(choice)
        bounds = {name: MetricCollection(choice, name) for name in (SOURCE_COPIED, MEAN_TARGET)}
        if not found.paired:
            for collection in (generated, *bounds.values()):
                collection.skip(lambda metric: metric.pairs, NO_PAIRS)
        kind = kind_of(translator.config.target, found.section)
        about.channel_names = names_of(translator.config.source.file_names, kind.names)
        for collection in (generated, *bounds.values()):
            collection.skip_colour(kind.why_no_colour)
        domain = translator.config.target
        encoding = domain.to_encoding()
        linear = encoding.is_linear
        if isinstance(encoding, LabelMaps):
            for collection in (generated, *bounds.values()):
                collection.skip(lambda metric: metric.needs != "labels", OF_CLASSES, of_weights=True)
        mean = _mean_target(found, quiet) if bounds[MEAN_TARGET].metrics else None
        titles = kind.scored if found.paired else []
        by_channel = ChannelCollection(choice, titles)
        channel_bounds = {name: ChannelCollection(choice, titles, name) for name in bounds}
        generated_levels = encoding.levels if isinstance(encoding, LabelMaps) else limits(domain.dtype, domain.value_range)
        step = stride(len(found.pairs), SAMPLED_IMAGES) if _wants_samples(generated, translator) else 0
        first_seen = None if found.paired else first_times(found)
        chosen = spread([record.name for record in found.pairs.records])
        examples: dict[str, dict[str, Array]] = {}
        shown = _Shown(translator)
        names: list[str] = []
        scored_as: dict[str, tuple[int, int]] = {}
        sizes, found.pairs.sizes, tiles = found.sizes(), {}, dict[str, None]()
        progress = track(read(found.pairs), len(found.pairs), "evaluate", quiet=quiet)
        that_count = Counted()
        scored = that_count.those_that_count(progress, lambda item: (item[0].name, item[0].mask))
        for chunk in chunks(scored, BATCH, _key):
            pairs, files = zip(*chunk, strict=True)
            chunk.clear()
            for pair in pairs:
                sizes.take(found.pairs.sizes[pair.name])
                scored_as[pair.name] = pair.source.shape[1], pair.source.shape[2]
            if (plan := _plan_for(translator, pairs[0])) is not None:
                tiles[plan.note] = None
            source, target = _stacked([pair.source for pair in pairs]), _stacked([pair.target for pair in pairs])
            outputs = translator.translate_tensor(source)
            fake = _stacked([as_written(image, domain, one) for image, one in zip(outputs, source)])
            target = target if linear else _stacked([as_written(image, domain, one) for image, one in zip(target, source)])
            batch_names = [pair.name for pair in pairs]
            labels = [pictures[0 if choice.generates_photos else 1] for pictures in files]
            labels = [LabelMaps.as_file(one) if encoding.rule else one for one in labels]
            target_levels = encoding.levels if isinstance(encoding, LabelMaps) else limits(files[0][1].dtype, found.section.target_range)
            sampled = [at for at in range(len(pairs)) if step and (len(names) + at) % step == 0]
            samples = _samples(translator, source[sampled], fake[sampled]) if sampled else None
            means = None if mean is None else _stacked([mean.as_written(domain, target.shape[2:], one) for one in source])
            source = _stacked([found.pairs.encodings[0].picture(one) for one in source])
            new = None if first_seen is None else first_seen[:, len(names) : len(names) + len(pairs)]
            mask = stacked_masks([pair.mask for pair in pairs], target.shape[2:])
            of_bound = MetricContext(source, mask=mask)
            context = MetricContext(source, samples, labels, (generated_levels, target_levels), mask)
            generated.update(fake, target, batch_names, context, new)
            by_channel.update(fake, target, batch_names, context)
            copied = match_channels(_own_slice(source, found.section), target.shape[1])
            if copied is not None:
                bounds[SOURCE_COPIED].update(copied, target, batch_names, of_bound, new)
                channel_bounds[SOURCE_COPIED].update(copied, target, batch_names, of_bound)
            if means is not None:
                bounds[MEAN_TARGET].update(means, target, batch_names, of_bound, new)
                channel_bounds[MEAN_TARGET].update(means, target, batch_names, of_bound)
            names += batch_names
            examples |= {
                pair.name: shown.of(pair.source, outputs[at], pair.target, pair.mask)
                for at, pair in enumerate(pairs)
                if pair.name in chosen
            }
            del (
                pairs,
                files,
                source,
                target,
                outputs,
                fake,
                labels,
                samples,
                means,
                mask,
                of_bound,
                context,
                copied,
            )  # before the next is read
        that_count.say_in(about)
        sizes.say_in(about)
        about.notes += found.pairs.notes()
        about.notes += ([] if mean is None else mean.notes()) + _of_other_pixels(before, sizes)
        for note in [] if quiet else about.notes:
            say(f"note: {note}")
        about.notes += tiles  # the translator has said them
        rows = generated.rows(bounds, about, quiet)
        channels = by_channel.scores(channel_bounds, about)
        if domain.classes and isinstance(counted := generated.metrics.get("fcn_score"), FCNScore):
            channels += scores_of_classes(counted, about, len(names))
    result = Evaluation(rows, about, channels=channels, scores=generated.per_image(), names=names, channel_scores=by_channel.per_image())
    result.sizes = scored_as
    if out is not None:
        save_panels(result, Path(out), examples, _pictures_of(examples, found.pairs, shown), quiet)
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


def kind_of(domain: Domain, section: Data) -> ChannelKind:
    """What the channels of a domain's images are; classes, and the parts of a colour, are none to be scored by themselves.

    Names in the data section go before those of the model.
    """
    names = resolve_names("target", section.target_channel_names, domain.names, domain.channels)
    if domain.encoding == "ab":  # with the source's lightness it is a photo
        return ChannelKind(3, domain.dtype)
    return ChannelKind(domain.channels, domain.dtype, names) if domain.encoding == "values" else ChannelKind(1)


def first_times(found: HeldOut) -> Tensor:
    """``[2, N]``: whether a record's source, and its target, is met for the first time; the smaller of two domains comes round again."""
    times = []
    for labels in zip(*((record.a.label, record.b.label) for record in found.pairs.records)):
        first = {label: index for index, label in reversed(list(enumerate(labels)))}
        times.append([first[label] == index for index, label in enumerate(labels)])
    return torch.tensor(times)


def _own_slice(source: Tensor, section: Data) -> Tensor:
    """Sources without the neighbours that come with slices of a volume: what copying them would give."""
    if section.pages != "depth":
        return source
    each = source.shape[1] // (2 * section.depth_neighbours + 1)
    return source[:, section.depth_neighbours * each :][:, :each]


def _label_maps(found: HeldOut, photos: bool) -> Iterator[Any]:
    """The label maps of some training pairs as their files hold them: sources if photos are generated, else targets."""
    dataset = found.training or found.pairs
    for _, pictures in read(dataset, stride(len(dataset), PALETTE_IMAGES)):
        yield pictures[0 if photos else 1]


def batch_key(image: Tensor) -> object:
    """Equal for images ``[C, H, W]`` that may go through the metrics together; None for a large one, which goes alone."""
    return image.shape if image.numel() <= LARGE else None


def _key(item: tuple[Pair, Any]) -> object:
    """The same for pairs."""
    source, target = batch_key(item[0].source), batch_key(item[0].target)
    return None if source is None or target is None else (source, target, item[0].mask is None)


def _stacked(images: Sequence[Tensor]) -> Tensor:
    """``[N, ...]``; a single image, which may be large, is not copied."""
    return images[0][None] if len(images) == 1 else torch.stack(list(images))


def _tiles_of(translator: Translator) -> dict[str, Any]:
    """When and how it translates in tiles, as far as somebody has chosen that."""
    return {} if translator.tiling == Tiling() else {"tiles": dataclasses.asdict(translator.tiling)}


def _plan_for(translator: Translator, pair: Pair) -> TilePlan | None:
    """The tiles in which a pair's source is translated; an error names it."""
    try:
        return translator.check_memory(*pair.source.shape[1:])
    except UserError as error:
        raise UserError(f"{pair.name}: {error}") from error


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


def as_written(image: Tensor, domain: Domain, source: Tensor | None = None) -> Tensor:
    """The image as its file will hold it, rounded and clipped, for metrics: ``[C, H, W]`` in [-1, 1].

    Args:
        image: ``[C', H, W]`` as the generator makes it.
        domain: what it is.
        source: what it was made from, ``[C'', H, W]``.
    """
    encoding = domain.to_encoding()
    return encoding.scored(encoding.decode(image, source))


def _wants_samples(collection: MetricCollection, translator: Translator) -> bool:
    return translator.inference.noise == "dropout" and any(metric.needs == "samples" for metric in collection.metrics.values())


def _samples(translator: Translator, source: Tensor, first: Tensor) -> Tensor:
    """Outputs for the same sources under other noise, ``[SAMPLES, N, C, H, W]``; the first output is one of them."""
    outputs = [first]
    for number in range(1, SAMPLES):
        other = copy.copy(translator)
        other.inference = dataclasses.replace(translator.inference, seed=(translator.inference.seed or 0) + number)
        made = zip(other.translate_tensor(source), source)
        outputs.append(torch.stack([as_written(image, translator.config.target, one) for image, one in made]))
    return torch.stack(outputs)


@dataclass
class _MeanTarget:
    """The mean of the training targets as the networks see them, over what counts: the best constant by L2.

    Attributes:
        values: ``[C, 1, 1]``, of each channel over all pixels.
        image: ``[C, H, W]``, of each pixel over all images; None where images differ in size, so that no pixel belongs to another.
    """

    values: Tensor
    image: Tensor | None

    def as_written(self, domain: Domain, size: Sequence[int], source: Tensor) -> Tensor:
        """The same as the file of a translation of ``source`` would hold it, ``[C, H, W]``."""
        if self.image is not None:
            return as_written(self.image, domain, source)
        if domain.encoding == "values":
            return as_written(self.values, domain).expand(-1, *size)
        return as_written(self.values.expand(-1, *size), domain, source)

    def notes(self) -> list[str]:
        """What it is, if it is not what its name says."""
        if self.image is not None:
            return []
        return ["images differ in size, so the mean training target is the mean value of each channel, the same at every pixel"]


def _mean_target(found: HeldOut, quiet: bool) -> _MeanTarget | None:
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
    return _MeanTarget(values, (total / count.clamp_min(1)).float() if alike else None)


@dataclass(frozen=True)
class _Shown:
    """Pictures of a pair as the files of a translator would hold them, small enough to be kept.

    Attributes:
        translator: whose.
    """

    translator: Translator

    def of(self, source: Tensor, output: Tensor, target: Tensor, mask: Tensor | None) -> dict[str, Array]:
        """A picture for each side, ``[H, W, C]``, striped where nothing counts."""
        config = self.translator.config
        domains = zip(SIDES, (source, output, target), (config.source, config.target, config.target))
        found: dict[str, Array] = {}
        for side, image, domain in domains:
            encoding = domain.to_encoding()
            found[side] = reduced(encoding.shown(encoding.decode(image, source)), bool(domain.classes))
        counts = None if mask is None else reduced(mask[0].numpy()[..., None].astype(np.uint8), True)[..., 0] != 0
        return {**found, "generated": hatched(found["generated"], counts)}


def _pictures_of(examples: dict[str, dict[str, Array]], pairs: PairDataset, shown: _Shown) -> Callable[[str], dict[str, Array]]:
    """How to get the pictures of a pair; one that is no example is translated again."""
    position = {record.name: index for index, record in enumerate(pairs.records)}

    def pictures_of(name: str) -> dict[str, Array]:
        if name in examples:
            return examples[name]
        pair = pairs[position[name]]
        return shown.of(pair.source, shown.translator.translate_tensor(pair.source[None])[0], pair.target, pair.mask)

    return pictures_of
