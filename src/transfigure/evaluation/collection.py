"""The metrics of an evaluation: which, with which options; updated together; and their values as rows of the table."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypedDict, TypeVar

from numpy.typing import NDArray
from torch import Tensor

from ..errors import Missing, Skipped, UserError
from ..metrics.distribution import FeatureMetric
from ..metrics.metric import NO_CONTEXT, ImageMetric, Interval, Metric, MetricContext, State
from ..metrics.palettes import learn_palette
from ..progress import track
from ..recipe import read_options
from ..registry import build, catalog, entry, names, resolve
from .schema import Facts, Row
from .shards import Executor

T = TypeVar("T")

FAMILIES = ("distortion", "perceptual", "distribution", "colour", "detail", "segmentation", "dependence")
"""The files of metrics in the order of the table; those of other files come last."""


class MetricKeywords(TypedDict, total=False):
    """The fields of :class:`MetricOptions` as keywords of an evaluating function."""

    require: Sequence[str]
    options: Mapping[str, Mapping[str, Any]] | None
    segmenter: Any
    palette: Any
    weights: Mapping[str, str | Path] | None


class EvaluationKeywords(MetricKeywords, total=False):
    """Those; whether files that this tool did not write may be replaced; and where images are scored, if not in this process."""

    overwrite: bool
    executor: Executor | None


@dataclass(frozen=True)
class MetricOptions:
    """Which metrics are wanted, and what they need.

    Attributes:
        metrics: registered names; None is every metric, and those that lack something (weights, a segmenter) say so in their row.
        require: metrics that must not be skipped.
        options: per metric, values for its options, such as ``{"fid": {"resize": "clean"}}``; texts are read as flags are.
        segmenter: for the FCN-score, what reads label maps back from generated photos: a file, ``module:function`` or a callable.
        palette: for the FCN-score, how label maps are coloured: a shipped name, a JSON file, ``learn`` or a ``Palette``.
        weights: files of feature networks, by name (see ``transfigure weights list``).
    """

    metrics: Sequence[str] | None = None
    require: Sequence[str] = ()
    options: Mapping[str, Mapping[str, Any]] | None = None
    segmenter: Any = None
    palette: Any = None
    weights: Mapping[str, str | Path] | None = None

    @classmethod
    def of(cls, metrics: MetricOptions | Sequence[str] | None, keywords: MetricKeywords) -> MetricOptions:
        """From names and keywords, or as they are.

        Raises:
            TypeError: options and keywords, or a keyword that there is not.
        """
        if not isinstance(metrics, MetricOptions):
            return cls(metrics, **keywords)
        if keywords:
            raise TypeError(f"{', '.join(keywords)}: give either MetricOptions or keywords, not both")
        return metrics

    def choose(self) -> MetricChoice:
        """The metrics, checked, without segmenter and palette (see :meth:`MetricChoice.with_segmenter`).

        Raises:
            UserError: an unknown name or option, or a value of the wrong type.
        """
        return MetricChoice.of(self.metrics, self.require, self.options)


@dataclass(frozen=True)
class MetricChoice:
    """The metrics of an evaluation, checked.

    Attributes:
        metrics: registered names, in the order of the table.
        require: those that end the evaluation if they have to be skipped.
        options: per metric, values for its options.
    """

    metrics: tuple[str, ...]
    require: tuple[str, ...] = ()
    options: dict[str, dict[str, Any]] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        metrics: Sequence[str] | None = None,
        require: Sequence[str] = (),
        options: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> MetricChoice:
        """Names and options, checked.

        Args:
            metrics: registered names; None is every metric there is.
            require: further names, that must not be skipped.
            options: ``{metric: {option: value}}``; texts are read as flags are.

        Raises:
            UserError: an unknown name or option, or a value of the wrong type.
        """
        must = _names(require)
        chosen = list(dict.fromkeys([*_names(metrics), *must])) if metrics is not None else in_table_order()
        if not chosen:
            raise UserError(f"no metric is chosen: name some of {', '.join(names('metric'))}, or leave the choice out")
        read: dict[str, dict[str, Any]] = {}
        for metric, given in (options or {}).items():
            entry("metric", metric)
            if metric not in chosen:
                raise UserError(f"an option is given for the metric {metric}, which is not chosen: add it to --metrics")
            read[metric] = read_options(f"metric.{metric}", "metric", metric, given)
        return cls(tuple(chosen), tuple(must), read)

    def with_option(self, metric: str, option: str, value: Any) -> MetricChoice:
        """The same with one more option set, as it is."""
        return dataclasses.replace(self, options={**self.options, metric: {**self.options.get(metric, {}), option: value}})

    def with_segmenter(self, wanted: MetricOptions, label_maps: Callable[[bool], Iterator[NDArray[Any]]]) -> MetricChoice:
        """The same with the segmenter and the palette of the FCN-score set.

        Args:
            wanted: its ``segmenter`` and ``palette``; None leaves the metric's options as they are.
            label_maps: the label maps to learn the palette ``learn`` from; called with whether photos are generated, or label maps.

        Raises:
            UserError: the FCN-score is not among the metrics, or no palette can be learnt.
        """
        choice = self
        for option, value in (("segmenter", wanted.segmenter), ("palette", wanted.palette)):
            if value is not None:
                if "fcn_score" not in self.metrics:
                    raise UserError(
                        f"--{option} is for the metric fcn_score, which is not chosen: add it to --metrics, or leave --{option} out"
                    )
                choice = choice.with_option("fcn_score", option, value)
        palette = choice.options.get("fcn_score", {}).get("palette")
        if isinstance(palette, str) and palette == "learn":
            choice = choice.with_option("fcn_score", "palette", learn_palette(label_maps(choice.generates_photos)))
        return choice

    @property
    def generates_photos(self) -> bool:
        """Whether the FCN-score reads label maps back from generated photos; else the generated images are label maps themselves."""
        return bool(self.options.get("fcn_score", {}).get("segmenter"))

    def option_values(self) -> dict[str, Any]:
        """The options that were set, as a reader needs them to make the numbers again; a thing that is no plain value by its name."""
        return {f"{metric}.{option}": _plain_value(value) for metric, given in self.options.items() for option, value in given.items()}


def _plain_value(value: Any) -> Any:
    plain = isinstance(value, str | int | float | bool | None)
    return value if plain else str(getattr(value, "name", getattr(value, "__name__", type(value).__name__)))


def in_table_order() -> list[str]:
    """Every registered metric, family by family, each family in the order of its file."""
    entries = [found for (kind, _), found in catalog().items() if kind == "metric"]
    family = {name: at for at, name in enumerate(FAMILIES)}
    return [found.name for found in sorted(entries, key=lambda found: family.get(found.module.rpartition(".")[2], len(family)))]


def options_from_flags(flags: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """``{"metric.fid.resize": "clean"}`` as ``{"fid": {"resize": "clean"}}``.

    Raises:
        UserError: a key of another form.
    """
    options: dict[str, dict[str, Any]] = {}
    for key, value in flags.items():
        parts = key.split(".")
        if len(parts) != 3:
            raise UserError(f"--{key} is no metric's option: write --metric.NAME.OPTION VALUE, as --metric.fid.resize clean")
        options.setdefault(parts[1], {})[parts[2]] = value
    return options


def _names(wanted: Sequence[str] | None) -> list[str]:
    chosen = [name.strip() for name in wanted or ()]
    for name in chosen:
        entry("metric", name)
    return list(dict.fromkeys(chosen))


# ---- computing them --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class CollectionState:
    """What a collection has taken in of a part of the images.

    Attributes:
        count: images.
        states: of each metric what it has taken in, see :meth:`.metrics.metric.Metric.state`.
        skipped: the metrics that were left out, and why.
    """

    count: int
    states: dict[str, State]
    skipped: dict[str, str]


class MetricCollection:
    """The chosen metrics, updated together with one set of outputs: the model's, or a bound's.

    Parts of the images are taken in one after the other, here or elsewhere, and put together by :meth:`take` and :meth:`merge`.

    Args:
        choice: which metrics, with their options.
        bound: the bound that the outputs are: only the metrics that are worth comparing with it take part. None: the model's outputs.

    Attributes:
        choice: as given.
        metrics: those that can be computed.
        skipped: for the others, why not.
        count: images taken in.
    """

    def __init__(self, choice: MetricChoice, bound: str | None = None) -> None:
        self.choice = choice
        self.metrics: dict[str, Metric] = {}
        self.skipped: dict[str, str] = {}
        self.count = 0
        self._of_this_part: dict[str, Metric] = {}
        for name in choice.metrics:
            if bound is not None and bound not in _class_of(name).bounded_by:
                continue  # before it reads weights or opens a segmenter
            try:
                metric: Metric = build("metric", name, **choice.options.get(name, {}))
            except (Missing, Skipped) as reason:
                if bound is None and name in choice.require:
                    raise Missing(f"{name} is required: {reason}") from reason
                self.skipped[name] = str(reason)
                continue
            self.metrics[name] = metric
        self._required = choice.require if bound is None else ()

    def update(
        self,
        prediction: Tensor,
        target: Tensor,
        names: Sequence[str],
        context: MetricContext = NO_CONTEXT,
        first_seen: Tensor | None = None,
    ) -> None:
        """Take in a batch.

        Args:
            prediction, target: ``[N, C, H, W]`` in [-1, 1].
            names: of the images.
            context: what else is known of them.
            first_seen: of two domains, ``[2, N]``: which predictions and which targets are met for the first time. Metrics of features take
                in each picture once.
        """
        self.count += len(names)

        def update_one(metric: Metric) -> None:
            metric.check_mask(prediction, context)
            if first_seen is None or not isinstance(metric, FeatureMetric):
                metric.update(prediction, target, names, context)
                return
            for update, images in ((metric.update_generated, prediction[first_seen[0]]), (metric.update_real, target[first_seen[1]])):
                if len(images):
                    update(images)

        self._take_in(update_one)

    def update_generated(self, images: Tensor) -> None:
        """Take in generated images alone, ``[N, C, H, W]`` in [-1, 1]; only metrics of features may be left."""
        self._take_in(lambda metric: metric.update_generated(images))

    def update_real(self, images: Tensor) -> None:
        """Take in target images alone."""
        self._take_in(lambda metric: metric.update_real(images))

    def take(self) -> CollectionState:
        """What was taken in since the last time, for :meth:`merge`; then all begins anew.

        A metric that found something in these images to say nothing about is asked again about the next ones, which may be others in
        another process: :meth:`merge` leaves it out. One that cannot be merged goes on as it is, and has no state.
        """
        states = {}
        for name, metric in self.metrics.items():
            if metric.is_mergeable():
                states[name] = metric.state()
                metric.reset()
        found = CollectionState(self.count, states, dict(self.skipped))
        for name, metric in self._of_this_part.items():
            if metric.is_mergeable():
                metric.reset()
                self.metrics[name] = metric
                del self.skipped[name]
        self.count, self._of_this_part = 0, {}
        return found

    def merge(self, state: CollectionState) -> None:
        """Take in what was taken of a part, behind the parts before it; where a part has left out a metric, it is left out.

        Raises:
            Missing: a required metric was left out.
        """
        for name, reason in state.skipped.items():
            if name in self.metrics:
                self._leave_out(name, Skipped(reason))
        for name, taken in state.states.items():
            if name in self.metrics:
                self.metrics[name].merge(taken)
        self.count += state.count

    def skip(self, unfit: Callable[[Metric], bool], reason: str, of_weights: bool = False) -> None:
        """Leave out every metric that a condition holds for.

        Args:
            unfit: the condition.
            reason: why.
            of_weights: whether it holds for all that need weights: this is said of those that lack them, too, for they would not help.

        Raises:
            Missing: one of them is required.
        """
        for name, metric in list(self.metrics.items()):
            if unfit(metric):
                self._leave_out(name, Skipped(reason))
        self.skipped |= {name: reason for name in self.skipped if of_weights and _class_of(name).needs == "weights"}

    def skip_colour(self, reason: str) -> None:
        """Leave out every metric that sees red, green and blue: of other channels its value would mean nothing.

        Args:
            reason: why these are no colours, see :func:`transfigure.data.channels.not_colour`; nothing is left out if it is empty.

        Raises:
            Missing: one of them is required.
        """
        if not reason:
            return
        why = f"it sees colour or grey pictures, and {reason}"
        self.skip(lambda metric: metric.of_colour, why)
        # nor would the weights help that some of them lack
        self.skipped |= {name: why for name in self.skipped if _class_of(name).of_colour}

    def each(self, call: Callable[[Any], object]) -> None:
        """Call a function with every metric; one that cannot is skipped."""
        for name in list(self.metrics):
            self._try(name, call)

    def compute(self, name: str) -> dict[str, float]:
        """A metric's values; empty, and the metric skipped, if it cannot be computed on what it has seen."""
        values: dict[str, float] = {}
        self._try(name, lambda metric: values.update(metric.compute()))
        if name in self.metrics and not values:
            self._leave_out(name, Skipped("it has no value for these images"))
        return values

    def values(self) -> dict[str, float]:
        """The values of every metric."""
        return {name: value for metric in list(self.metrics) for name, value in self.compute(metric).items()}

    def per_image(self) -> dict[str, list[float]]:
        """The scores of each metric that scores single images."""
        return {name: list(metric.scores) for name, metric in self.metrics.items() if isinstance(metric, ImageMetric)}

    def rows(self, bounds: Mapping[str, MetricCollection], about: Facts, quiet: bool = False) -> list[Row]:
        """The table's lines, each with its interval, its origin, and the bounds that have an output for every image.

        Args:
            bounds: the same metrics on outputs that need no translator.
            about: facts of the evaluation; ``resize`` and ``checkpoint`` go into every row.
            quiet: no progress.
        """
        reached = {label: bound.values() for label, bound in bounds.items() if bound.count == self.count}
        rows: list[Row] = []
        for name in track(self.choice.metrics, len(self.choice.metrics), "compute", unit="metric", quiet=quiet):
            values = self.compute(name) if name in self.metrics else {}
            if not values:
                cls = _class_of(name)
                reason = self.skipped[name].removeprefix(f"{cls.label} ")  # it stands beside the label, wherever it is shown
                rows.append(Row(name, cls.label, cls.unit, cls.better, None, None, None, 0, skipped=reason, of=name))
                continue
            metric = self.metrics[name]
            # of the spread of images a single one says nothing
            intervals: dict[str, Interval] = _or_nothing(metric.interval, {}) if self.count > 1 else {}
            own: dict[str, dict[str, float]] = _or_nothing(metric.bounds, {})
            facts: dict[str, str] = _or_nothing(metric.facts, {})
            for key, value in values.items():
                low, high = intervals.get(key, (None, None))
                known = {label: found[key] for label, found in [*own.items(), *reached.items()] if key in found}
                rows.append(
                    Row(
                        key,
                        metric.values.get(key, metric.label),
                        metric.unit,
                        metric.better_of.get(key, metric.better),
                        value,
                        low,
                        high,
                        self.count,
                        known,
                        network=facts.get("network", ""),
                        weights=facts.get("weights", ""),
                        resize=_steps(about.resize, facts.get("resize", "")),
                        checkpoint=about.checkpoint,
                        caution=_or_nothing(metric.caution, ""),
                        of=name,
                    )
                )
        return rows

    def _take_in(self, call: Callable[[Any], object]) -> None:
        """As :meth:`each`, with images: what cannot be computed on these is left out for this part of them."""
        before = dict(self.metrics)
        self.each(call)
        self._of_this_part |= {name: metric for name, metric in before.items() if name not in self.metrics}

    def _try(self, name: str, call: Callable[[Metric], object]) -> None:
        try:
            call(self.metrics[name])
        except (Missing, Skipped) as reason:
            self._leave_out(name, reason)

    def _leave_out(self, name: str, reason: Missing | Skipped) -> None:
        if name in self._required:
            raise Missing(f"{name} is required: {reason}") from reason
        self.skipped[name] = str(reason)
        del self.metrics[name]


def _steps(*resizes: str) -> str:
    """What is done to an image's size one after another; ``none`` if nothing is."""
    return ", then ".join(dict.fromkeys(step for step in resizes if step not in ("", "none"))) or "none"


def _class_of(name: str) -> type[Metric]:
    return resolve("metric", name)  # type: ignore[return-value]


def _or_nothing(found: Callable[[], T], nothing: T) -> T:
    """What else a metric says of its value; nothing if it has a value and cannot say this of it."""
    try:
        return found()
    except (Missing, Skipped):
        return nothing
