"""Scores a translator on one shard of held-out pairs after the other: what goes in, what comes out, and every metric that looks at it."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..data.batch import Pair, chunks, stacked_masks
from ..data.channels import ChannelKind, resolve_names
from ..data.dataset import Arrays, Looks, PairDataset
from ..data.display import hatched
from ..data.encodings.label_maps import LabelMaps
from ..data.pairs import Record
from ..data.pixels import Array, match_channels
from ..data.value_range import limits
from ..errors import UserError
from ..features import weights as weight_files
from ..metrics.metric import MetricContext
from ..networks.model_file import Domain
from ..recipe import Data
from ..translation.tiling import TilePlan
from ..translation.translator import Translator
from .by_channel import ChannelCollection
from .collection import CollectionState, MetricChoice, MetricCollection
from .counted import Counted
from .held_out import read_one
from .result import reduced
from .schema import MEAN_TARGET, SIDES, SOURCE_COPIED
from .shards import BATCH, Shard, UnreadableImage
from .sizes import ScoredSizes, Size

OF_CLASSES = "the targets are label maps, whose numbers and colours are names of classes: see the FCN-score"
NO_PAIRS = "it compares with the target of each source, and in unpaired data no target belongs to a source"
NOT_MERGEABLE = "it cannot be computed by several workers, as it has no state() and merge(): evaluate in one process for it"
LARGE = 3 * 512 * 512
"""Values of a picture above which it goes through the metrics alone: it fills the memory of many."""
SAMPLES = 4
"""For the diversity, an image is translated this many times."""


@dataclass(frozen=True)
class OutputState:
    """What the metrics of one kind of outputs have taken in of a part of the images: of all channels together, and of each by itself."""

    together: CollectionState
    by_channel: list[CollectionState]


class OutputMetrics:
    """The metrics of one kind of outputs, the model's or a bound's: of all channels together, and of each by itself.

    Args:
        choice: which metrics.
        bound: as of :class:`.collection.MetricCollection`.

    Attributes:
        together: of all channels.
        by_channel: of each; of none before :meth:`name_channels`.
    """

    def __init__(self, choice: MetricChoice, bound: str | None = None) -> None:
        self._choice, self._bound = choice, bound
        self.together = MetricCollection(choice, bound)
        self.by_channel = ChannelCollection(choice, (), bound)

    def name_channels(self, titles: Sequence[str]) -> None:
        """Score each of these channels by itself, too."""
        self.by_channel = ChannelCollection(self._choice, titles, self._bound)

    def update(
        self, prediction: Tensor, target: Tensor, names: Sequence[str], context: MetricContext, first_seen: Tensor | None = None
    ) -> None:
        """Take in a batch, see :meth:`.collection.MetricCollection.update`."""
        self.together.update(prediction, target, names, context, first_seen)
        self.by_channel.update(prediction, target, names, context)

    def take(self) -> OutputState:
        """What was taken in since the last time, see :meth:`.collection.MetricCollection.take`."""
        return OutputState(self.together.take(), self.by_channel.take())

    def merge(self, state: OutputState) -> None:
        """Take in what was taken of a part, behind the parts before it."""
        self.together.merge(state.together)
        self.by_channel.merge(state.by_channel)


def skip_unmergeable(collection: MetricCollection) -> None:
    """Leave out what cannot be computed part by part in several processes.

    Raises:
        Missing: one of them is required.
    """
    collection.skip(lambda metric: not metric.is_mergeable(), NOT_MERGEABLE)


def merge_outputs(outputs: Mapping[str, OutputMetrics], states: Mapping[str, list[OutputState]]) -> None:
    """Take in what was taken of all shards, in their order; the lists are emptied."""
    for kind, of_shards in states.items():
        for at, state in enumerate(of_shards):
            outputs[kind].merge(state)
            of_shards[at] = _NOTHING  # which need not be in memory twice
        of_shards.clear()


_NOTHING = OutputState(CollectionState(0, {}, {}), [])


@dataclass(frozen=True)
class ModelPlan:
    """How pairs are scored, by plain values: all but the translator.

    Attributes:
        choice: the metrics.
        section: the data section that the pairs come from.
        pairs: how they are read; its records do not matter.
        paired: whether a pair's target is what its source should become.
        weights: files of feature networks, by name.
        mean: the mean training target; None if there is none, or nobody wants to know.
        every: so many images lie between two of which samples are drawn.
        chosen: the names of the images whose pictures are kept.
        elsewhere: whether shards are scored in several processes.
    """

    choice: MetricChoice
    section: Data
    pairs: PairDataset
    paired: bool
    weights: Mapping[str, str | Path]
    mean: MeanTarget | None = None
    every: int = 1
    chosen: frozenset[str] = frozenset()
    elsewhere: bool = False

    def scorer(self, model: Callable[[], Any] | None) -> ModelScorer:
        """What scores, with a translator that is opened for it."""
        assert model is not None
        with weight_files.explicit(self.weights):
            return ModelScorer(self, model())


@dataclass
class ShardScores:
    """What is known of the images of some shards.

    Attributes:
        names: of those that were scored, in order.
        scored_as: height and width of what was scored of each.
        sizes: the heights and widths of images as their files have them, and how many have each.
        counted: how much of them counts.
        outputs: by kind of outputs, what the metrics have taken in, of one shard after the other.
    """

    names: list[str] = field(default_factory=list)
    scored_as: dict[str, Size] = field(default_factory=dict)
    sizes: dict[Size, int] = field(default_factory=dict)
    counted: Counted = field(default_factory=Counted)
    outputs: dict[str, list[OutputState]] = field(default_factory=dict)

    def merge(self, other: ShardScores) -> None:
        """Take in what is known of the shard that comes next."""
        self.names += other.names
        self.scored_as |= other.scored_as
        for size, count in other.sizes.items():
            self.sizes[size] = self.sizes.get(size, 0) + count
        self.counted.merge(other.counted)
        for kind, states in other.outputs.items():
            self.outputs.setdefault(kind, []).extend(states)

    def scored_sizes(self, sizes: ScoredSizes | None = None) -> ScoredSizes:
        """What says in the end what was scored of them; ``sizes`` knows what was done to them."""
        sizes = sizes or ScoredSizes()
        for size, count in self.sizes.items():
            sizes.take(size, count)
        return sizes


@dataclass
class ModelScores(ShardScores):
    """What is known of the pairs of some shards.

    Attributes:
        looks: of one shard, what the watches over its files have seen; they are merged by themselves.
        examples: the pictures of some.
        tiles: in which tiles they were translated, in words.
        said: what the translator has said of them.
    """

    looks: Looks = field(default_factory=lambda: ([], []))
    examples: dict[str, dict[str, Array]] = field(default_factory=dict)
    tiles: dict[str, None] = field(default_factory=dict)
    said: list[str] = field(default_factory=list)

    def add(self, other: ModelScores) -> None:
        """Take in what is known of the shard that comes next, see :meth:`merge`."""
        self.merge(other)
        self.examples |= other.examples
        self.tiles |= other.tiles
        self.said += [note for note in other.said if note not in self.said]


OF_MODEL = "generated"
"""The kind of the model's own outputs; those of bounds are called as these are."""


class ModelScorer:
    """Scores a translator on one shard after the other.

    Args:
        plan: how.
        translator: what is scored.

    Attributes:
        plan: as given; its ``mean`` may be set later.
        outputs: the metrics of each kind of outputs: the model's, and those of bounds.
        kind: what the channels of the targets are.
    """

    def __init__(self, plan: ModelPlan, translator: Translator) -> None:
        self.plan, self.translator = plan, translator
        self.outputs = {kind: OutputMetrics(plan.choice, None if kind == OF_MODEL else kind) for kind in KINDS}
        self.kind = kind_of(translator.config.target, plan.section)
        self._encoding = translator.config.target.to_encoding()
        for outputs in self.outputs.values():
            if not plan.paired:
                outputs.together.skip(lambda metric: metric.pairs, NO_PAIRS)
            outputs.together.skip_colour(self.kind.why_no_colour)
            if isinstance(self._encoding, LabelMaps):
                outputs.together.skip(lambda metric: metric.needs != "labels", OF_CLASSES, of_weights=True)
            outputs.name_channels(self.kind.scored if plan.paired else [])
            if plan.elsewhere:
                for collection in (outputs.together, *outputs.by_channel.collections):
                    skip_unmergeable(collection)
        self._shown = ExamplePictures(translator)

    @property
    def generated(self) -> OutputMetrics:
        """The metrics of the model's own outputs."""
        return self.outputs[OF_MODEL]

    @property
    def bounds(self) -> dict[str, OutputMetrics]:
        """The metrics of the outputs that need no translator."""
        return {kind: outputs for kind, outputs in self.outputs.items() if kind != OF_MODEL}

    def score(self, shard: Shard[Record], advance: Callable[[], object]) -> ModelScores:
        """Score the pairs of a shard, and begin anew.

        Raises:
            UnreadableImage: a pair cannot be used.
            UserError: an image is too large for the memory.
            Missing: a required metric cannot be computed.
        """
        found, pairs = ModelScores(), self.plan.pairs.part(shard.items)
        scored = found.counted.those_that_count(_each_pair(pairs, advance), lambda item: (item[1].name, item[1].mask))
        for chunk in chunks(scored, BATCH, lambda item: _key(item[1])):
            self._score_batch(chunk, shard, pairs, found)
        found.outputs = {kind: [outputs.take()] for kind, outputs in self.outputs.items()}
        found.looks, found.said = pairs.looks(), self.translator.said
        return found

    def _score_batch(self, chunk: list[_Read], shard: Shard[Record], dataset: PairDataset, found: ModelScores) -> None:
        """Score pairs of one size together; the list is emptied."""
        plan, translator, encoding = self.plan, self.translator, self._encoding
        places, pairs, files = zip(*chunk, strict=True)
        chunk.clear()
        self._note_sizes(pairs, dataset, found)
        domain, names = translator.config.target, [pair.name for pair in pairs]
        source, target = _stacked([pair.source for pair in pairs]), _stacked([pair.target for pair in pairs])
        outputs = translator.translate_tensor(source)
        fake = _stacked([as_written(image, domain, one) for image, one in zip(outputs, source)])
        if not encoding.is_linear:
            target = _stacked([as_written(image, domain, one) for image, one in zip(target, source)])
        labels = [pictures[0 if plan.choice.generates_photos else 1] for pictures in files]
        labels = [LabelMaps.as_file(one) if encoding.rule else one for one in labels]
        of_generated = encoding.levels if isinstance(encoding, LabelMaps) else limits(domain.dtype, domain.value_range)
        of_target = encoding.levels if isinstance(encoding, LabelMaps) else limits(files[0][1].dtype, plan.section.target_range)
        sampled = [at for at, place in enumerate(places) if (shard.start + place) % plan.every == 0] if self._wants_samples() else []
        samples = _samples(translator, source[sampled], fake[sampled]) if sampled else None
        means = None if plan.mean is None else _stacked([plan.mean.as_written(domain, target.shape[2:], one) for one in source])
        source = _stacked([dataset.encodings[0].picture(one) for one in source])
        new = None if shard.first_seen is None else shard.first_seen[:, list(places)]
        mask = stacked_masks([pair.mask for pair in pairs], target.shape[2:])
        context = MetricContext(source, samples, labels, (of_generated, of_target), mask)
        self.generated.update(fake, target, names, context, new)
        copied = match_channels(_own_slice(source, plan.section), target.shape[1])
        for bound, images in ((SOURCE_COPIED, copied), (MEAN_TARGET, means)):
            if images is not None:
                self.outputs[bound].update(images, target, names, MetricContext(source, mask=mask), new)
        found.names += names
        for at, pair in enumerate(pairs):
            if pair.name in plan.chosen:
                found.examples[pair.name] = self._shown.of(pair.source, outputs[at], pair.target, pair.mask)

    def _note_sizes(self, pairs: Sequence[Pair], dataset: PairDataset, found: ModelScores) -> None:
        assert dataset.sizes is not None
        for pair in pairs:
            size = dataset.sizes[pair.name]
            found.sizes[size] = found.sizes.get(size, 0) + 1
            found.scored_as[pair.name] = pair.source.shape[1], pair.source.shape[2]
        if (tiles := _plan_for(self.translator, pairs[0])) is not None:
            found.tiles[tiles.note] = None

    def _wants_samples(self) -> bool:
        metrics = self.generated.together.metrics.values()
        return self.translator.inference.noise == "dropout" and any(metric.needs == "samples" for metric in metrics)


KINDS = (OF_MODEL, SOURCE_COPIED, MEAN_TARGET)
_Read = tuple[int, Pair, Arrays]
"""A pair with its place in its shard, and its pictures as their files hold them."""


def _each_pair(pairs: PairDataset, advance: Callable[[], object]) -> Iterator[_Read]:
    for place in range(len(pairs)):
        try:
            read = (place, *read_one(pairs, place))
        except UserError as error:
            raise UnreadableImage.of(error) from error
        yield read
        del read  # or it is in memory while the next is read
        advance()


def kind_of(domain: Domain, section: Data) -> ChannelKind:
    """What the channels of a domain's images are; classes, and the parts of a colour, are none to be scored by themselves.

    Names in the data section go before those of the model.
    """
    names = resolve_names("target", section.target_channel_names, domain.names, domain.channels)
    if domain.encoding == "ab":  # with the source's lightness it is a photo
        return ChannelKind(3, domain.dtype)
    return ChannelKind(domain.channels, domain.dtype, names) if domain.encoding == "values" else ChannelKind(1)


def _own_slice(source: Tensor, section: Data) -> Tensor:
    """Sources without the neighbours that come with slices of a volume: what copying them would give."""
    if section.pages != "depth":
        return source
    each = source.shape[1] // (2 * section.depth_neighbours + 1)
    return source[:, section.depth_neighbours * each :][:, :each]


def batch_key(image: Tensor) -> object:
    """Equal for images ``[C, H, W]`` that may go through the metrics together; None for a large one, which goes alone."""
    return image.shape if image.numel() <= LARGE else None


def _key(pair: Pair) -> object:
    """The same for pairs."""
    source, target = batch_key(pair.source), batch_key(pair.target)
    return None if source is None or target is None else (source, target, pair.mask is None)


def _stacked(images: Sequence[Tensor]) -> Tensor:
    """``[N, ...]``; a single image, which may be large, is not copied."""
    return images[0][None] if len(images) == 1 else torch.stack(list(images))


def _plan_for(translator: Translator, pair: Pair) -> TilePlan | None:
    """The tiles in which a pair's source is translated; an error names it."""
    try:
        return translator.check_memory(*pair.source.shape[1:])
    except UserError as error:
        raise UserError(f"{pair.name}: {error}") from error


def as_written(image: Tensor, domain: Domain, source: Tensor | None = None) -> Tensor:
    """The image as its file will hold it, rounded and clipped, for metrics: ``[C, H, W]`` in [-1, 1].

    Args:
        image: ``[C', H, W]`` as the generator makes it.
        domain: what it is.
        source: what it was made from, ``[C'', H, W]``.
    """
    encoding = domain.to_encoding()
    return encoding.scored(encoding.decode(image, source))


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
class MeanTarget:
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


@dataclass(frozen=True)
class ExamplePictures:
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
