"""Folders of images against each other, whoever made them: pair by pair, or as two sets; and the feature statistics of a folder."""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, TypedDict, TypeVar, Unpack

import numpy as np
import torch
from torch import Tensor

from ..data import images
from ..data.batch import chunks
from ..data.channels import ChannelKind
from ..data.check.findings import SHOWN
from ..data.display import hatched
from ..data.encodings.label_classes import LabelClass
from ..data.file_facts import (
    BLACK,
    FileFacts,
    Look,
    NoData,
    Orientation,
    PageUse,
    PictureWatch,
    describe_orientation,
    differ_in_orientation,
    lossy_against_lossless,
)
from ..data.files import real_path
from ..data.folder import merged
from ..data.grey import are_mixed, grey_among_colour, header_channels
from ..data.masks import Mask, both, check_size, data_of, read_mask, without_no_data
from ..data.pages import PageReading
from ..data.pairing import listed, match
from ..data.pairs import FilePicture
from ..data.pictures import FoundPictures, find_pictures, page_by_page
from ..data.pixels import Array, convert_channels, match_channels, to_tensor
from ..data.value_range import SCORES, Watch, folder_flag, if_of_type, limits, notes_together, number, outside, suggested_for
from ..errors import Missing, Skipped, UserError
from ..features import weights as weight_files
from ..features.extractors import inception, random_network
from ..metrics.distribution import FeatureMetric
from ..metrics.metric import MetricContext
from ..metrics.palettes import IGNORE, palette_of
from ..metrics.statistics import Statistics
from ..progress import Progress, say
from ..wording import counted, said_once
from .collection import EvaluationKeywords, MetricChoice, MetricCollection, MetricOptions
from .evaluate import PALETTE_IMAGES, names_of, stride
from .result import Evaluation, prepare_place, reduced, save_panels, spread
from .schema import OF_FILES, SOURCE_COPIED, Facts
from .scorer import OF_MODEL, OutputMetrics, ShardScores, batch_key, merge_outputs, skip_unmergeable
from .shards import BATCH, Executor, Scorer, Shard, UnreadableImage, scored_in_order, shards_of
from .sizes import size_by_header

T = TypeVar("T")
R = TypeVar("R")
GENERATED, TARGETS, SOURCES = "generated images", "targets", "sources"
LOOKS = "look dark"
"""What comes of a range that is hardly used, where sets are compared."""
_COLUMNS = {"folder": ("source",)}
"""Of a manifest, the column in which pictures stand, where it is not called as they are."""
NO_CORRESPONDENCE = "needs pairs of generated image and target, and here are two sets without correspondence"


@dataclass(frozen=True)
class FileReading:
    """How image files become tensors in [-1, 1].

    Attributes:
        value_range: the values that count as black and white, for files that do not use their type's full range; not for sources of
            another depth than the targets.
        alpha: what to do with transparency, see :func:`transfigure.data.images.read`.
        orientation: whether files are turned upright by their orientation tag.
        grey: grey pictures among colour ones, which are read as three equal channels.
        effect: what comes of a range that is hardly used, in a note.
        watches: over what is read, by what it is.
        turned: pairs of which one image alone was turned by its orientation tag.
        channel_names: what the channels of the images that are compared are called; None is what their files say.
        kinds: of what is read, by what it is, what the first file holds.
        no_data: what means "nothing here" in the files.
        of_palette: what a person should know of the palette that was found in the files.
        in_part: whether it reads a part of the files, and what it sees is for another, see :meth:`part`.
    """

    value_range: tuple[float, float] | None = None
    alpha: images.Alpha = "refuse"
    orientation: Orientation = "apply"
    grey: frozenset[FilePicture] = frozenset()
    effect: str = SCORES
    watches: dict[str, PictureWatch] = field(default_factory=dict)
    turned: list[str] = field(default_factory=list)
    channel_names: tuple[str, ...] | None = None
    kinds: dict[str, ChannelKind] = field(default_factory=dict)
    no_data: NoData = "tag"
    of_palette: list[str] = field(default_factory=list)
    in_part: bool = False

    def part(self) -> FileReading:
        """The same for a part of the files, in another process perhaps; what it has :meth:`seen` is for :meth:`take_in` here."""
        return replace(self, watches={}, turned=[], kinds=dict(self.kinds), in_part=True)

    def seen(self) -> SeenFiles:
        """What a part has seen."""
        return SeenFiles({what: watch.looks or [] for what, watch in self.watches.items()}, dict(self.kinds), list(self.turned))

    def take_in(self, part: SeenFiles) -> None:
        """Take in what was seen of a part, behind the parts before it."""
        for what, looks in part.looks.items():
            watch = self._watch(what)
            for one in looks:
                watch.take_in(one)
        for what, kind in part.kinds.items():
            self.kinds.setdefault(what, kind)
        self.turned.extend(part.turned)

    def _watch(self, what: str) -> PictureWatch:
        """Over all that is read as one of ``what``."""
        if what not in self.watches:
            watch = PictureWatch(Watch(what, self.value_range, folder_flag, effect=self.effect))
            if self.effect == LOOKS:  # in sets
                watch.files.of_no_data = BLACK
            self.watches[what] = watch.of_a_part() if self.in_part else watch
        return self.watches[what]

    def array(self, picture: FilePicture, what: str = "") -> Array:
        """A picture's own values, ``[H, W, C]``, with black where nothing is; watched as one of ``what``, such as ``targets``."""
        array, facts = self.examine(picture, what)
        return without_no_data(array, facts.no_data, self.value_range)[0]

    def examine(self, picture: FilePicture, what: str = "") -> tuple[Array, FileFacts]:
        """A picture's own values as they are, and what its file says of itself."""
        array, facts = replace(picture, orientation=self.orientation, no_data=self.no_data).examine(self.alpha, "--alpha")
        file = picture.label
        if what and (reason := outside(array, self.value_range, facts.no_data)):
            flag = folder_flag(suggested_for(array, facts.no_data))
            raise UserError(f"{file} {reason}: give the value range, such as {flag}")
        if what:
            self._watch(what).look(file, array, facts)
            self.kinds.setdefault(what, self._kind(file, array, facts))
        return (convert_channels(array, 3) if array.shape[2] == 1 and picture in self.grey else array), facts

    def _kind(self, file: str, array: Array, facts: FileFacts) -> ChannelKind:
        names = facts.channel_names if self.channel_names is None else self.channel_names
        if names and len(names) != array.shape[2]:
            raise UserError(f"{file} has {array.shape[2]} channels, and {len(names)} are named ({', '.join(names)}): name each of them")
        return ChannelKind(array.shape[2], array.dtype.name, names)

    def tensor(self, picture: FilePicture, what: str = "") -> Tensor:
        """``[C, H, W]`` in [-1, 1]."""
        return to_tensor(self.array(picture, what), self.value_range, picture.label)

    def notes(self) -> list[str]:
        """What looks wrong with all that was read."""
        compared = [watch.values for what, watch in self.watches.items() if what != SOURCES]
        notes = notes_together(compared, [watch.values for what, watch in self.watches.items() if what == SOURCES])
        notes += [*self.of_palette, *(note for watch in self.watches.values() for note in watch.files.notes())]
        if GENERATED in self.watches and TARGETS in self.watches:
            notes += lossy_against_lossless(self.watches[GENERATED].files, self.watches[TARGETS].files)
        if self.turned:
            which = f"{counted(len(self.turned), 'pair')} of generated image and target {'has' if len(self.turned) == 1 else 'have'}"
            notes.append(
                f"{which} different orientation tags, such as {self.turned[0]}: both are turned upright by them, so look whether they lie "
                "on each other, and give --ignore-orientation if not"
            )
        return notes


@dataclass(frozen=True)
class SeenFiles:
    """What was seen of the files of a part of the images.

    Attributes:
        looks: by what they are, what the watches have seen.
        kinds: the same, what the first file holds.
        turned: pairs of which one image alone was turned by its orientation tag.
    """

    looks: dict[str, list[Look]]
    kinds: dict[str, ChannelKind]
    turned: list[str]


class ReadingKeywords(TypedDict, total=False):
    """How files are read: fields of :class:`FileReading`, and what their pages are."""

    value_range: tuple[float, float] | None
    alpha: images.Alpha
    orientation: Orientation
    pages: PageUse
    no_data: NoData


class FolderKeywords(EvaluationKeywords, ReadingKeywords, total=False):
    """The fields of :class:`FileReading` and of :class:`.collection.MetricOptions` as keywords, and ``overwrite``."""

    channel_names: Sequence[str] | None
    mask: str | Path | None


def evaluate_folders(
    generated: str | Path,
    target: str | Path,
    *,
    source: str | Path | None = None,
    labels: str | Path | None = None,
    unpaired: bool = False,
    metrics: MetricOptions | Sequence[str] | None = None,
    out: str | Path | None = None,
    quiet: bool = False,
    **keywords: Unpack[FolderKeywords],
) -> Evaluation:
    """Score a folder of generated images against a folder of targets, whoever made them; nothing is resized.

    Args:
        generated: folder of generated images; like the others also a pattern of several files that are one image, a manifest (columns
            ``generated``, ``target``, ``source``), or a single file.
        target: folder of what they should be, paired by name as two-folder data is; or a file of stored statistics (``.npz``).
        source: folder of sources, for the bound of copying them.
        labels: folder of label maps for the FCN-score, of any size; default: the sources, or without a segmenter the targets. Where all
            are palette images whose indices mean the same, those are its classes.
        unpaired: the folders are two sets without correspondence, of any lengths and sizes: only distributions are compared.
        metrics: as for :func:`.evaluate.evaluate`.
        out: a folder for ``evaluation.json``, ``per_image.csv`` and pictures; ``transfigure report`` makes a page of it.
        quiet: no progress and no notes.
        keywords: ``value_range``, ``alpha``, ``orientation``, ``no_data`` and ``channel_names``, see :class:`FileReading`; ``pages``, what
            the pages of a file are: ``channels``, ``images`` or ``depth`` (each page is compared with its own), or ``ask``, which refuses
            several; ``mask``, a folder of masks of the names of the generated images, where what is not 0 counts (see
            :attr:`.metrics.metric.Metric.takes_mask`);
            ``overwrite``, to replace files in ``out`` that this tool did not write; ``executor``, where the images are scored, if not in
            this process, see :mod:`transfigure.scale.evaluation`; and ``require``, ``options``, ``segmenter``, ``palette`` and ``weights``,
            see :class:`.collection.MetricOptions`.

    Raises:
        UserError: a folder is missing or empty, an image has no partner, cannot be read, or differs from its partner in size or channels.
        Missing: a required metric cannot be computed.
    """
    started = time.monotonic()
    reading = FileReading(keywords.pop("value_range", None), keywords.pop("alpha", "refuse"), keywords.pop("orientation", "apply"))
    reading = replace(reading, no_data=keywords.pop("no_data", "tag"))
    if (named := keywords.pop("channel_names", None)) is not None:
        reading = replace(reading, channel_names=tuple(named))
    pages = PageReading(keywords.pop("pages", "ask"))
    overwrite, mask, executor = keywords.pop("overwrite", False), keywords.pop("mask", None), keywords.pop("executor", None)
    wanted = MetricOptions.of(metrics, keywords)
    choice = wanted.choose()
    stored = Path(target).suffix.lower() == ".npz"
    about = Facts(
        data=f"{generated} against {target}" + (", unpaired" if unpaired or stored else ""),
        resize="none",
        checkpoint=OF_FILES,
        model=str(generated),
        mask="" if mask is None else str(mask),
        value_range="" if reading.value_range is None else f"{number(reading.value_range[0])} to {number(reading.value_range[1])}",
    )
    with weight_files.explicit(wanted.weights or {}):
        if unpaired or stored:
            for flag, given in (("labels", labels), ("mask", mask), ("segmenter", wanted.segmenter), ("palette", wanted.palette)):
                if given is not None:
                    raise UserError(f"--{flag} needs pairs: leave it out, or leave out --unpaired and give --target a folder")
            found = _list({"generated": generated, "source": source, **({} if stored else {"target": target})}, pages, quiet)
            sets = _Sets(
                found["generated"],
                Statistics.load(Path(target)) if stored else found["target"].pictures,
                found["source"].pictures if "source" in found else None,
            )
            _refuse_the_same(found)
            reading = replace(_with_grey(reading, found, quiet), effect=LOOKS)
            _prepare(out, found, overwrite)
            result = _compare_sets(SetPlan(choice, reading, wanted.weights or {}, executor is not None), sets, about, executor, quiet)
        else:
            photos = wanted.segmenter is not None or choice.generates_photos
            found = _list({"generated": generated, "target": target, "source": source, "labels": labels, "mask": mask}, pages, quiet)
            _refuse_the_same(found)
            files = _matched(found, photos, quiet)
            reading = _with_grey(reading, found, quiet)
            _prepare(out, found, overwrite)
            some = files[:: stride(len(files), PALETTE_IMAGES)]
            choice = choice.with_segmenter(wanted, lambda _: (reading.array(one.labels) for one in some if one.labels))
            choice = _with_own_palette(choice, files, reading, quiet)
            result = _compare_pairs(PairPlan(choice, reading, wanted.weights or {}, executor is not None), files, about, executor, quiet)
            if out is not None:
                save_panels(result, Path(out), spread(result.names), _pictures_of(files, reading), quiet)
    result.about.notes += [*_copies(found), *reading.notes()]
    for note in [] if quiet else result.about.notes:
        say(f"note: {note}")
    result.about.seconds = round(time.monotonic() - started, 2)
    if out is not None:
        result.save(Path(out))
    return result


def _prepare(out: str | Path | None, listing: Mapping[str, FoundPictures], overwrite: bool) -> None:
    if out is not None:
        for found in listing.values():
            if found.folder is not None and real_path(out).is_relative_to(real_path(found.folder)):
                raise UserError(f"--out {out} lies inside {found.folder}: its pictures would be scored next time; choose another folder")
        prepare_place(Path(out), overwrite)


# ---- pair by pair ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Files:
    """Files that belong together: a generated image, its target, and what else is known of it."""

    name: str
    generated: FilePicture
    target: FilePicture
    source: FilePicture | None = None
    labels: FilePicture | None = None
    mask: FilePicture | None = None


@dataclass(frozen=True)
class FilePlan:
    """How files are scored, by plain values.

    Attributes:
        choice: the metrics.
        reading: how files are read; of a first file of each kind it may know what that holds.
        weights: files of feature networks, by name.
        elsewhere: whether shards are scored in several processes.
    """

    choice: MetricChoice
    reading: FileReading
    weights: Mapping[str, str | Path]
    elsewhere: bool = False


@dataclass(frozen=True)
class PairPlan(FilePlan):
    """How pairs of files are scored."""

    def scorer(self, model: Callable[[], Any] | None = None) -> PairScorer:
        """What scores; there is no model."""
        with weight_files.explicit(self.weights):
            return PairScorer(self)


@dataclass
class FileScores(ShardScores):
    """What is known of the files of some shards.

    Attributes:
        seen: of one shard, what was seen of its files; it is merged by itself.
    """

    seen: SeenFiles = field(default_factory=lambda: SeenFiles({}, {}, []))


class PairScorer:
    """Scores generated files against their targets, one shard after the other.

    Args:
        plan: how.

    Attributes:
        outputs: the metrics of each kind of outputs.
    """

    def __init__(self, plan: PairPlan) -> None:
        self.plan = plan
        self.outputs = {OF_MODEL: OutputMetrics(plan.choice), SOURCE_COPIED: OutputMetrics(plan.choice, SOURCE_COPIED)}
        self._begun = False
        if plan.elsewhere:
            for outputs in self.outputs.values():
                skip_unmergeable(outputs.together)

    def begin(self, reading: FileReading) -> None:
        """Choose metrics by what the first files hold, which has been read; only once."""
        if self._begun:
            return
        kind, self._begun = reading.kinds[TARGETS], True
        _refuse_another_order(reading.kinds[GENERATED].names, kind.names)
        for outputs in self.outputs.values():
            outputs.together.skip_colour(kind.why_no_colour)
            outputs.name_channels(kind.scored)

    def score(self, shard: Shard[_Files], advance: Callable[[], object]) -> FileScores:
        """Score the files of a shard, and begin anew.

        Raises:
            UnreadableImage: files cannot be used.
            UserError: files differ in a way that no table can show.
            Missing: a required metric cannot be computed.
        """
        found, reading = FileScores(), self.plan.reading.part()
        read = _each_of(shard.items, lambda one: _read(one, reading), advance)
        for chunk in chunks(found.counted.those_that_count(read, lambda one: (one.name, one.mask)), BATCH, _Pictures.key):
            self._score_batch(chunk, reading, found)
            chunk.clear()  # before the next is read
        found.outputs = {kind: [outputs.take()] for kind, outputs in self.outputs.items()}
        found.seen = reading.seen()
        return found

    def _score_batch(self, chunk: Sequence[_Pictures], reading: FileReading, found: FileScores) -> None:
        """Score files of one size together."""
        names = [one.name for one in chunk]
        for one in chunk:
            size = one.target.shape[1], one.target.shape[2]
            found.sizes[size] = found.sizes.get(size, 0) + 1
            found.scored_as[one.name] = size
        mask = None if chunk[0].mask is None else torch.stack([torch.from_numpy(one.mask)[None] for one in chunk])
        prediction, target = torch.stack([one.generated for one in chunk]), torch.stack([one.target for one in chunk])
        sources = [one.copied for one in chunk if one.copied is not None]
        source = torch.stack(sources) if sources else None
        labels = [one.labels for one in chunk if one.labels is not None]
        known = labels if len(labels) == len(chunk) else None
        self.begin(reading)
        titles = self.outputs[OF_MODEL].by_channel.titles
        if titles and len(titles) != target.shape[1]:
            raise UserError(
                f"the target of {names[0]} has {target.shape[1]} channels, and those before it {len(titles)}: "
                "a table of scores is of one kind of images, so compare them in two evaluations"
            )
        self.outputs[OF_MODEL].update(prediction, target, names, MetricContext(source, labels=known, levels=chunk[0].levels, mask=mask))
        if source is not None:
            self.outputs[SOURCE_COPIED].update(source, target, names, MetricContext(mask=mask))
        found.names += names


def _compare_pairs(plan: PairPlan, files: Sequence[_Files], about: Facts, executor: Executor | None, quiet: bool) -> Evaluation:
    reading, scorer, scores = plan.reading, plan.scorer(), FileScores()
    if executor is not None:  # what the first files hold is for every worker to know
        reading.kinds.update(_kinds_of_first(lambda part: _read(files[0], part), reading))
    shards = shards_of(files, lambda one: size_by_header(one.target))
    for of_shard in _scored(scorer, plan, shards, executor, quiet):
        scores.merge(of_shard)
        reading.take_in(of_shard.seen)
    about.options = plan.choice.option_values()
    scores.counted.say_in(about)
    sizes = scores.scored_sizes()
    sizes.say_in(about)
    scorer.begin(reading)
    about.channel_names = names_of(reading.kinds[SOURCES].names if SOURCES in reading.kinds else (), reading.kinds[TARGETS].names)
    merge_outputs(scorer.outputs, scores.outputs)
    generated, copied = scorer.outputs[OF_MODEL], scorer.outputs[SOURCE_COPIED]
    rows = generated.together.rows({SOURCE_COPIED: copied.together}, about, quiet)
    return Evaluation(
        rows,
        about,
        channels=generated.by_channel.scores({SOURCE_COPIED: copied.by_channel}, about),
        scores=generated.together.per_image(),
        names=scores.names,
        channel_scores=generated.by_channel.per_image(),
        sizes=scores.scored_as,
    )


def _kinds_of_first(read: Callable[[FileReading], object], reading: FileReading) -> dict[str, ChannelKind]:
    """What the first files hold; nothing if they cannot be used, which is said when they are scored."""
    part = reading.part()
    with contextlib.suppress(UserError, Missing):
        read(part)
    return part.kinds


def _refuse_another_order(generated: Sequence[str], target: Sequence[str]) -> None:
    """Refuse images whose channels have the same names in another order: each would be compared with another."""
    if list(generated) != list(target) and sorted(generated) == sorted(target):
        raise UserError(
            f"the channels of the generated images are {', '.join(generated)}, and those of the targets {', '.join(target)}: name the "
            "files in the same order"
        )


def _pictures_of(files: Sequence[_Files], reading: FileReading) -> Callable[[str], dict[str, Array]]:
    by_name = {one.name: one for one in files}

    def pictures_of(name: str) -> dict[str, Array]:
        one = by_name[name]
        sides = {"source": one.source, "generated": one.generated, "target": one.target}
        found = {
            side: reduced(reading.array(picture), picture.palette == "index") for side, picture in sides.items() if picture is not None
        }
        counts = _counts_in(one, reading)
        small = None if counts is None else reduced(counts[..., None].astype(np.uint8), True)[..., 0] != 0
        return {**found, "generated": hatched(found["generated"], small)}

    return pictures_of


@dataclass(frozen=True, eq=False)
class _Pictures:
    name: str
    generated: Tensor
    target: Tensor
    copied: Tensor | None
    labels: Array | None
    levels: tuple[tuple[float, float], tuple[float, float]]
    mask: Mask | None

    def key(self) -> object:
        """Equal for pictures that may go through the metrics together; None for large ones, which go alone."""
        if (shape := batch_key(self.target)) is None:
            return None
        return shape, None if self.copied is None else self.copied.shape, self.levels, self.mask is None


def _read(files: _Files, reading: FileReading) -> _Pictures:
    """One pair, each file decoded once."""
    value_range = reading.value_range
    (generated, of_generated), (target, of_target) = reading.examine(files.generated, GENERATED), reading.examine(files.target, TARGETS)
    if generated.shape != target.shape:
        (height, width, channels), (high, wide, layers) = generated.shape, target.shape
        tags = of_generated.orientation, of_target.orientation
        turned = (
            f" (their orientation tags are {' and '.join(map(describe_orientation, tags))}; --ignore-orientation leaves both as stored)"
            if tags[0] != tags[1]
            else ""
        )
        raise UserError(
            f"{files.generated.label} is {width}x{height} with {channels} channel{'s' * (channels > 1)} but {files.target.label} is "
            f"{wide}x{high} with {layers}{turned}: bring them to one size and kind first, nothing is resized here"
        )
    if differ_in_orientation((of_generated, of_target), generated.shape):
        tags_of = [f"{describe_orientation(one.orientation)} in {picture.label}" for one, picture in (
            (of_generated, files.generated), (of_target, files.target))]  # fmt: skip
        reading.turned.append(" and ".join(tags_of))
    kinds = {generated.dtype.name, target.dtype.name}
    if value_range is not None and len(kinds) == 2 and "uint8" in kinds and generated.dtype.kind == target.dtype.kind:
        raise UserError(
            f"{files.generated.label} is {generated.dtype} but {files.target.label} is {target.dtype}: one value range cannot be right "
            "for both, so save them with one depth, or leave the range out"
        )
    target, has_target = without_no_data(target, of_target.no_data, value_range)
    generated, has_generated = without_no_data(generated, of_generated.no_data, value_range)
    mask = both(has_target, has_generated)
    image = to_tensor(target, value_range, files.target.label)
    source = reading.array(files.source, SOURCES) if files.source is not None else None
    copied = None
    if files.source is not None and source is not None and source.shape[:2] == target.shape[:2]:
        # the range is that of the images that are compared; a source of another depth is taken at its own full range
        given = value_range if source.dtype.kind == "f" else if_of_type(value_range, target.dtype.name, source.dtype.name)
        copied = match_channels(to_tensor(source, given, files.source.label), image.shape[0])
    decoded = {files.target: target, files.source: source}
    labels = None
    if files.labels is not None:
        known = decoded.get(files.labels)
        labels = known if known is not None else reading.array(files.labels)
    mask = _masked(files, reading, target, mask)
    black_and_white = limits(generated.dtype, value_range), limits(target.dtype, value_range)
    return _Pictures(files.name, to_tensor(generated, value_range, files.generated.label), image, copied, labels, black_and_white, mask)


def _masked(files: _Files, reading: FileReading, target: Array, data: Mask | None) -> Mask | None:
    """What counts by the mask that is given, if one is, of what holds data."""
    if files.mask is None:
        return data
    given = read_mask(replace(files.mask, orientation=reading.orientation))
    check_size(given, files.mask.label, target.shape, files.target.label)
    return both(data, given)


def _counts_in(files: _Files, reading: FileReading) -> Mask | None:
    """What counts in a pair that could be read before."""
    (generated, of_generated), (target, of_target) = reading.examine(files.generated), reading.examine(files.target)
    return _masked(files, reading, target, both(data_of(target, of_target.no_data), data_of(generated, of_generated.no_data)))


def _matched(found: Mapping[str, FoundPictures], photos: bool, quiet: bool) -> list[_Files]:
    """Every generated file with its partners in the other folders."""
    partners = {other: _partners(found, other, quiet) for other in found if other != "generated"}
    label_maps = partners.get("labels") or partners.get("source" if photos else "target")
    return [
        _Files(
            found["generated"].stem(index),
            picture,
            partners["target"][index],
            partners["source"][index] if "source" in partners else None,
            label_maps[index] if label_maps else None,
            partners["mask"][index] if "mask" in partners else None,
        )
        for index, picture in enumerate(found["generated"].pictures)
    ]


def _with_own_palette(choice: MetricChoice, files: Sequence[_Files], reading: FileReading, quiet: bool) -> MetricChoice:
    """The same, where all that is compared are label maps of one palette, with the indices that they hold as the classes of the FCN-score.

    Nothing is changed where somebody has said what the classes are, or where files have palettes that contradict each other, as pictures
    of few colours have: images are compared by their colours.
    """
    if "fcn_score" not in choice.metrics or choice.options.get("fcn_score", {}).keys() & {"segmenter", "palette"}:
        return choice
    known: dict[int, bytes] = {}
    with Progress(len(files), "look for palettes", "pair", quiet=quiet) as progress:
        for one in files:
            for picture in {one.generated, one.target, one.labels or one.target}:
                as_indices = replace(picture, palette="index", orientation=reading.orientation, no_data=reading.no_data)
                try:
                    palette = as_indices.examine(reading.alpha, "--alpha")[1].palette
                except (UserError, Missing):  # is said when it is read
                    return choice
                if not palette or len(picture.files) > 1 or any(known.setdefault(index, colour) != colour for index, colour in palette):
                    return choice
            progress.advance()
    if not 2 <= len(known) < IGNORE + 1 or len({*known.values()}) < len(known):
        return choice
    classes = [LabelClass("", index, (colour[0], colour[1], colour[2])) for index, colour in sorted(known.items())]
    reading.of_palette.append(
        f"these are label maps of one palette: its {len(classes)} indices in use are the classes of the FCN-score (--palette names others)"
    )
    choice = choice.with_option("fcn_score", "palette", replace(palette_of(classes), name="of the files"))
    return choice if "absent" in choice.options["fcn_score"] else choice.with_option("fcn_score", "absent", "skip")


def _list(places: Mapping[str, str | Path | None], pages: PageReading, quiet: bool) -> dict[str, FoundPictures]:
    """The images of each place that is given; what was passed over is said once for each."""
    found = {what: find_pictures(place, _COLUMNS.get(what, (what,)), single=True) for what, place in places.items() if place is not None}
    if "mask" in found and found["mask"].are_stacks:
        raise UserError(f"{found['mask'].place} names several files as one mask: a mask is one file")
    for note in merged(note for one in found.values() for note in one.notes if not quiet):
        say(f"note: {note}")
    return {what: page_by_page(one, pages) for what, one in found.items()}


def _refuse_the_same(listing: Mapping[str, FoundPictures]) -> None:
    """Refuse images that are compared with themselves, under whatever names or links.

    Raises:
        UserError: a generated file is one of the targets.
    """
    generated, target = listing["generated"], listing.get("target")
    if target is None:
        return
    known = {_identity(file) for picture in target.pictures for file in picture.paths} - {None}
    same = [picture.label for picture in generated.pictures if any(_identity(file) in known for file in picture.paths)]
    if same:
        which = "all" if len(same) == len(generated.pictures) else f"{len(same)} of {len(generated.pictures)}"
        mixed = f"; if {target.folder} holds both, choose by pattern, as '{target.folder}/*_fake_B.png'"
        raise UserError(
            f"{which} of the generated images are target images themselves ({listed(same)}), and what is compared with itself scores "
            "perfectly: give --generated what a translator wrote"
            + (mixed if generated.folder and target.folder and real_path(generated.folder) == real_path(target.folder) else "")
        )


def _copies(listing: Mapping[str, FoundPictures]) -> list[str]:
    """A note if generated files are, byte by byte, files of the targets: a folder that was copied, and not translated."""
    generated, target = listing["generated"], listing.get("target")
    if target is None:
        return []
    sizes: dict[int, list[Path]] = defaultdict(list)
    for file in [file for picture in target.pictures for file in picture.paths]:
        sizes[_bytes_in(file)].append(file)
    digests: dict[int, set[bytes]] = {}

    def is_copy(file: Path) -> bool:
        if not (size := _bytes_in(file)) or size not in sizes:
            return False
        if size not in digests:
            digests[size] = {_digest(one) for one in sizes[size]}
        return _digest(file) in digests[size]

    same = [name for picture, name in zip(generated.pictures, generated.names) if all(map(is_copy, picture.paths))]
    if not same:
        return []
    which = "all" if len(same) == len(generated.pictures) else f"{len(same)} of {len(generated.pictures)}"
    return [f"{which} of the generated images are copies of target images, byte by byte ({listed(same)}): a copy scores perfectly"]


def _bytes_in(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError:  # is said when it is read
        return 0


def _digest(file: Path) -> bytes:
    try:
        with file.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").digest()
    except OSError:
        return os.fsencode(file)


def _identity(file: Path) -> tuple[int, int] | None:
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _with_grey(reading: FileReading, listing: Mapping[str, FoundPictures], quiet: bool) -> FileReading:
    """Grey files among the colour ones of a folder are read as colour, as training does, and it is said; label maps are left alone."""
    grey: list[FilePicture] = []
    for what, found in listing.items():
        single = [] if what in ("labels", "mask") or found.are_stacks else found.pictures
        channels = {picture: header_channels(picture.paths[0], picture.pages) for picture in single}
        if are_mixed(channels.values()):
            grey += [picture for picture, count in channels.items() if count == 1]
        for note in [] if quiet else grey_among_colour(dict(zip(found.names, channels.values())), f"images in {found.place}"):
            say(f"note: {note}")
    return replace(reading, grey=frozenset(grey))


def _partners(listing: Mapping[str, FoundPictures], other: str, quiet: bool) -> list[FilePicture]:
    """For every generated image its partner in another place."""
    folders, mine = {what: one.place for what, one in listing.items()}, listing["generated"].names
    sides = listing["generated"], listing[other]
    if [len(side.names) for side in sides] == [1, 1] and any(side.is_one for side in sides):
        return sides[1].pictures  # one image each, by what was named
    pairing = match(mine, sides[1].names, (folders["generated"], folders[other]), (sides[0].suffixes, sides[1].suffixes))
    found = {a: sides[1].pictures[b] for a, b, _ in pairing.pairs}
    if len(found) < len(mine) or (other == "target" and pairing.only_b):
        lonely = [mine[index] for index in range(len(mine)) if index not in found] or list(pairing.only_b)
        where, elsewhere = ("generated", other) if len(found) < len(mine) else (other, "generated")
        raise UserError(
            f"{len(lonely)} of the images in {folders[where]} have no partner of the same name in {folders[elsewhere]} "
            f"({listed(lonely)}): scores over a part would mislead, so complete the folders first, or compare them as sets with --unpaired"
        )
    if not quiet:
        for note in pairing.notes(folders["generated"], folders[other]):
            say(f"note: {note}")
    return [found[index] for index in range(len(mine))]


# ---- as two sets -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Sets:
    """What is compared: generated images, real ones (or their stored statistics), and sources if there are any."""

    generated: FoundPictures
    real: list[FilePicture] | Statistics
    source: list[FilePicture] | None = None


@dataclass(frozen=True)
class SetPlan(FilePlan):
    """How sets of files are scored."""

    def scorer(self, model: Callable[[], Any] | None = None) -> SetScorer:
        """What scores; there is no model."""
        with weight_files.explicit(self.weights):
            return SetScorer(self)


class SetScorer:
    """Scores sets of files, one shard after the other, by the metrics that need no pairs.

    Args:
        plan: how.

    Attributes:
        outputs: the metrics of generated images, and of sources in their place.
        stored: what the images are compared with in place of targets, if that is so and somebody wants to know at once whether it fits.
    """

    def __init__(self, plan: SetPlan) -> None:
        self.plan = plan
        self.outputs = {OF_MODEL: OutputMetrics(plan.choice), SOURCE_COPIED: OutputMetrics(plan.choice, SOURCE_COPIED)}
        self.stored: Statistics | None = None
        for collection in self.collections:
            collection.skip(lambda metric: not isinstance(metric, FeatureMetric), NO_CORRESPONDENCE)
            if plan.elsewhere:
                skip_unmergeable(collection)
        self._skip_colour(plan.reading)

    @property
    def collections(self) -> list[MetricCollection]:
        """Of all metrics."""
        return [outputs.together for outputs in self.outputs.values()]

    def compare_with(self, stored: Statistics) -> None:
        """Take stored statistics for the targets.

        Raises:
            UserError: no metric can.
        """
        self.stored = stored
        for collection in self.collections:
            _each_fitting(collection, stored, lambda metric: metric.compare_with(stored))

    def score(self, shard: Shard[FilePicture], advance: Callable[[], object]) -> FileScores:
        """Take in the files of a shard as one of its sets, and begin anew.

        Raises:
            UnreadableImage: files cannot be used.
            Missing: a required metric cannot be computed.
        """
        found, reading = FileScores(), self.plan.reading.part()
        read = _each_of(shard.items, lambda file: reading.tensor(file, shard.what), advance)
        for images_of_one_size in chunks(read, BATCH, batch_key):
            batch = torch.stack(images_of_one_size)
            images_of_one_size.clear()
            if shard.what == TARGETS:
                self._skip_colour(reading)
                for collection in self.collections:
                    collection.update_real(batch)
                continue
            if shard.what == GENERATED:
                size = batch.shape[2], batch.shape[3]
                found.sizes[size] = found.sizes.get(size, 0) + len(batch)
            collection = self.outputs[OF_MODEL if shard.what == GENERATED else SOURCE_COPIED].together
            collection.update_generated(batch)
            self.check_width(collection)
        found.outputs = {kind: [outputs.take()] for kind, outputs in self.outputs.items()}
        found.seen = reading.seen()
        return found

    def check_width(self, collection: MetricCollection) -> None:
        """Leave out metrics whose features are not as long as the stored ones.

        Raises:
            UserError: none is left.
        """
        if self.stored is not None:
            _each_fitting(collection, self.stored, lambda metric: metric.check_width())

    def _skip_colour(self, reading: FileReading) -> None:
        for collection in self.collections if TARGETS in reading.kinds else []:
            collection.skip_colour(reading.kinds[TARGETS].why_no_colour)


def _compare_sets(plan: SetPlan, sets: _Sets, about: Facts, executor: Executor | None, quiet: bool) -> Evaluation:
    """Score one set against another by the metrics that need no pairs."""
    real = sets.real
    if executor is not None and not isinstance(real, Statistics):
        plan.reading.kinds.update(_kinds_of_first(lambda part: part.array(real[0], TARGETS), plan.reading))
    scorer, scores = plan.scorer(), FileScores()
    if isinstance(real, Statistics):
        scorer.compare_with(real)
    about.target_images = real.count if isinstance(real, Statistics) else len(real)
    files = {} if isinstance(real, Statistics) else {TARGETS: real}
    files |= {GENERATED: sets.generated.pictures, SOURCES: sets.source or []}
    shards = [shard for what, pictures in files.items() for shard in shards_of(pictures, size_by_header, what)]
    for of_shard in _scored(scorer, plan, shards, executor, quiet):
        scores.merge(of_shard)
        plan.reading.take_in(of_shard.seen)
    merge_outputs(scorer.outputs, scores.outputs)
    for collection in scorer.collections:
        scorer.check_width(collection)
        collection.count = len(sets.generated.pictures)
    scores.scored_sizes().say_in(about)
    about.options = plan.choice.option_values()
    generated, copied = scorer.collections
    rows = generated.rows({} if sets.source is None else {SOURCE_COPIED: copied}, about, quiet)
    return Evaluation(rows, about, names=[*map(sets.generated.stem, range(len(sets.generated.names)))])


def _each_fitting(collection: MetricCollection, stored: Statistics, call: Callable[[Any], object]) -> None:
    """Call a function with every metric; those that cannot use the stored statistics are skipped.

    Raises:
        UserError: none of them can.
    """
    asked = [*collection.metrics]
    collection.each(call)
    if asked and not collection.metrics:
        reason = collection.skipped[asked[0]].removeprefix(f"{stored.origin} ")
        raise UserError(f"{stored.origin} cannot be compared with: {reason}")


def statistics_of(
    folder: str | Path,
    features: Literal["inception", "random"] = "inception",
    resize: Literal["tf1", "clean"] | None = None,
    *,
    weights: Mapping[str, str | Path] | None = None,
    quiet: bool = False,
    **keywords: Unpack[ReadingKeywords],
) -> Statistics:
    """Feature statistics of a folder of images, to be saved and compared with again and again.

    Args:
        folder: the images; also a pattern of several files that are one image, or a manifest with a column ``source``.
        features: ``inception`` for FID, KID and PRDC, or ``random`` for ``random_frechet``.
        resize: how Inception is fed; None is ``tf1``.
        weights: files of feature networks, by name.
        quiet: no progress and no notes.
        keywords: ``value_range``, ``alpha`` and ``orientation``, see :class:`FileReading`; and ``pages``, as for :func:`evaluate_folders`.

    Raises:
        UserError: no images, or some that cannot be read or have no features.
        Missing: the network's weights are not there.
    """
    if features == "random" and resize is not None:
        raise UserError(f"--resize {resize} is Inception's: the random network sees images at their own size, so leave it out")
    found = _list({"folder": folder}, PageReading(keywords.get("pages", "ask")), quiet)
    how = keywords.get("value_range"), keywords.get("alpha", "refuse"), keywords.get("orientation", "apply")
    reading = _with_grey(FileReading(*how, effect=LOOKS), found, quiet)
    with weight_files.explicit(weights or {}):
        extractor = inception(resize or "tf1") if features == "inception" else random_network()
        try:
            seen, channels = [], Counter[int]()
            for batch in _batches(found["folder"].pictures, reading, "images", quiet):
                seen.append(extractor(batch))
                channels[batch.shape[1]] += len(batch)
        except Skipped as reason:
            raise Missing(f"{folder} has no {features} features: {reason}") from reason
    for note in [] if quiet else reading.notes():
        say(f"note: {note}")
    if features == "random" and len(channels) > 1:
        counts = " and ".join(f"{number} of {one}" for one, number in sorted(channels.items()))
        raise UserError(f"{folder} holds images of different numbers of channels ({counts}): their features are not one set, so part them")
    return replace(Statistics.of(torch.cat(seen).double(), extractor, str(folder)), origin=str(folder))


def _batches(files: Sequence[FilePicture], reading: FileReading, what: str, quiet: bool) -> Iterator[Tensor]:
    """Every image, neighbours of one size together: ``[N, C, H, W]`` in [-1, 1]."""
    return map(torch.stack, chunks(_each(files, lambda file: reading.tensor(file, what), what, what, quiet), BATCH, batch_key))


def _paths(item: object) -> list[str]:
    """What a sentence may call a picture, or the pictures that belong together."""
    sides = ("generated", "target", "source", "labels", "mask")
    pictures = [item] if isinstance(item, FilePicture) else [getattr(item, side, None) for side in sides]
    known = [picture for picture in pictures if isinstance(picture, FilePicture)]
    return [name for picture in known for name in dict.fromkeys((picture.label, *map(str, picture.paths)))]


def _each(items: Sequence[T], read: Callable[[T], R], what: str, doing: str, quiet: bool) -> Iterator[R]:
    """All of them, read one after the other; where one cannot be used, the rest is looked at before that is said.

    Raises:
        UserError: which cannot be used, and why.
    """
    with Progress(len(items), doing, quiet=quiet) as progress:
        try:
            yield from _each_of(items, read, progress.advance)
        except UnreadableImage as error:
            raise _all_unusable(error, error.errors, items, what) from error


def _each_of(items: Sequence[T], read: Callable[[T], R], advance: Callable[[], object]) -> Iterator[R]:
    """All of them, read one after the other; where one cannot be used, the rest is looked at before that is said.

    Raises:
        UnreadableImage: which cannot be used, and why.
    """
    for index, item in enumerate(items):
        try:
            found = read(item)
        except UserError as first:
            raise UnreadableImage.of(first, [(str(first), _paths(item)), *_errors_of(items[index + 1 :], read)]) from first
        yield found
        del found  # or it is in memory while the next is read
        advance()


def _errors_of(items: Sequence[T], read: Callable[[T], object]) -> list[tuple[str, list[str]]]:
    """What is wrong with each that cannot be used, and what a sentence may call its files."""
    errors = []
    for item in items:
        try:
            read(item)
        except (UserError, Missing) as error:
            errors.append((str(error), _paths(item)))
    return errors


def _all_unusable(first: UserError, errors: Sequence[tuple[str, list[str]]], items: Sequence[Any], what: str) -> UserError:
    """What is wrong with all of some files that cannot be used."""
    if len(errors) == 1:
        return UserError(*first.args)
    lines = [f"  {error}" for error in said_once(errors)]
    more = [f"  and {len(lines) - SHOWN} more"] if len(lines) > SHOWN else []
    with_them = "" if isinstance(items[0], FilePicture) else " (with their partners)"
    way_out = f"repair these files, or move them{with_them} out of their folders"
    return UserError(f"{len(errors)} of {len(items)} {what} cannot be used:", *lines[:SHOWN], *more, way_out)


@dataclass(frozen=True)
class LookPlan:
    """How files are looked at only, once one of them cannot be used."""

    reading: FileReading

    def scorer(self, model: Callable[[], Any] | None = None) -> LookPlan:
        """Itself; there is no model."""
        return self

    def score(self, shard: Shard[Any], advance: Callable[[], object]) -> list[tuple[str, list[str]]]:
        """What is wrong with the files of a shard."""
        reading = self.reading.part()

        def read(item: Any) -> None:
            if isinstance(item, FilePicture):
                reading.tensor(item, shard.what)
            else:
                _read(item, reading)

        return _errors_of(shard.items, read)


def _scored(
    scorer: Scorer[FileScores], plan: PairPlan | SetPlan, shards: Sequence[Shard[Any]], executor: Executor | None, quiet: bool
) -> Iterator[FileScores]:
    """The scores of every shard in their order; where a file cannot be used, the rest of its kind is looked at before that is said.

    Raises:
        UserError: which cannot be used, and why.
    """
    done = 0
    try:
        for scores in scored_in_order(scorer, plan, shards, executor, quiet):
            yield scores
            done += 1
    except UnreadableImage as first:
        what = shards[done].what
        look, rest = LookPlan(plan.reading), [shard for shard in shards[done + 1 :] if shard.what == what]
        others = scored_in_order(look, look, rest, executor if rest else None, quiet, "look at the rest")
        errors = [*first.errors, *(error for some in others for error in some)]
        items = [item for shard in shards if shard.what == what for item in shard.items]
        raise _all_unusable(first, errors, items, what or "pairs") from first
