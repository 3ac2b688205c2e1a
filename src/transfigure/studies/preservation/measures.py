"""All measures that need no labels, over one set of outputs, each beside the two outputs that need no translator."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from ...errors import Missing, Skipped
from ...metrics.distribution import FID, KID, FeatureMetric, RandomFrechet, RandomKID
from ...metrics.interval import bootstrap_interval, bootstrap_of_sums
from ...progress import Progress
from .measure import IDENTITY, RANDOM_TARGET, Family, Measure
from .novel import DomainClassifier, nearest_training, set_distance
from .preserved import edge_agreement, low_pass_correlation, low_pass_ssim, retrieval_at_1, seed_distances
from .representations import COARSE, Space, check, check_pairs, to_channels

UNSURE = 0.9
"""A domain classifier that is right on fewer real images than this has little to say on generated ones."""
_WITHOUT_WEIGHTS: tuple[type[FeatureMetric], ...] = (RandomFrechet, RandomKID)
_WITH_WEIGHTS: tuple[type[FeatureMetric], ...] = (FID, KID)


@dataclass(frozen=True, eq=False)
class ImageSets:
    """The images that an analysis compares, all in [-1, 1].

    Attributes:
        sources: held-out sources ``[N, C, H, W]``, N at least 2.
        outputs: the generator's, ``[N, C', H, W]``.
        targets: held-out real targets ``[M, C', H, W]``, M at least 2. If there are fewer of them than sources, the bound is of M.
        train_sources: ``[K, C, H, W]``.
        train_targets: ``[L, C', H, W]``.
        second_outputs: to the same sources by another training, for the agreement of both; None without one.
    """

    sources: Tensor
    outputs: Tensor
    targets: Tensor
    train_sources: Tensor
    train_targets: Tensor
    second_outputs: Tensor | None = None

    def check(self) -> None:
        """Refuse sets that do not fit each other.

        Raises:
            ValueError: they do not.
        """
        check_pairs(self.sources, self.outputs, "sources", "outputs")
        if self.second_outputs is not None:
            check_pairs(self.outputs, self.second_outputs, "outputs", "outputs of the second training", channels=True)
        for name in ("sources", "targets", "train_sources", "train_targets"):
            what, images = name.replace("train_", "training "), getattr(self, name)
            check(images, what)
            similar = self.sources if name.endswith("sources") else self.outputs
            if images.shape[1:] != similar.shape[1:]:
                raise ValueError(f"the {what} must be of shape {list(similar.shape[1:])}: got {list(images.shape[1:])}")
            if len(images) < 2:
                raise ValueError(f"an analysis compares images with each other: give at least two {what}")


@dataclass(frozen=True, eq=False)
class _Cases:
    """The outputs, and what stands in their place for the bounds."""

    sources: Tensor
    outputs: Tensor
    copies: Tensor  # G(x) = x
    random: Tensor  # as many held-out targets, or as many as there are
    other_random: Tensor  # none of which is the same as above

    def each(self) -> Iterator[tuple[str, Tensor]]:
        yield from (("", self.outputs), (IDENTITY, self.copies), (RANDOM_TARGET, self.random))


def measures(images: ImageSets, *, seed: int = 0, same_domain: bool = False, quiet: bool = False) -> list[Measure]:
    """What is preserved of the sources in the outputs, and what is novel from the target domain.

    Every measure is computed three times in the same way: of the outputs; of the sources in their place (``identity``), with the
    targets' channels; and of held-out targets in their place (``random target``), where no source i meets target i, in case they are
    pairs. Sets are compared with the *training* images of a domain, so that held-out ones have an honest distance to them, too.

    Args:
        images: sources, outputs, targets, and what was trained on.
        seed: of the random targets and of the domain classifier.
        same_domain: source and target are one domain: sources are then recognised by their pixels and not by their outlines, and
            neither the distance from the source domain nor a classifier has anything to say.
        quiet: no progress.

    Returns:
        Preserved first, then novel. One that cannot be computed has the value NaN, and its note says why.

    Raises:
        ValueError: the shapes do not fit each other.
    """
    images.check()
    sources, outputs, second = images.sources, images.outputs, images.second_outputs
    cases = _Cases(sources, outputs, to_channels(sources, outputs.shape[1]), *_random_targets(images.targets, len(sources), seed))
    parts = [
        _preserved(cases, "pixels" if same_domain else "structure"),
        _agreements(cases, second) if second is not None else iter(()),
        _distances(cases, images.train_targets, "to_target", (*_WITHOUT_WEIGHTS, *_WITH_WEIGHTS)),
        _distances(cases, to_channels(images.train_sources, outputs.shape[1]), "from_source", () if same_domain else _WITHOUT_WEIGHTS),
        iter(()) if same_domain else _classified(cases, images, seed, quiet),
        _copied(cases, images.train_targets, images.targets),
    ]
    found = []
    total = (11 if same_domain else 14) + (2 if second is not None else 0)
    with Progress(total, "measure", "measure", quiet=quiet) as progress:
        for measure in itertools.chain(*parts):
            found.append(measure)
            progress.advance()
    return found


def _preserved(cases: _Cases, space: Space) -> Iterator[Measure]:
    def own_source(sources: Tensor, outputs: Tensor) -> Tensor:
        return retrieval_at_1(outputs, cases.sources, range(len(outputs)), space)

    by = {"pixels": "pixels", "structure": "outlines"}[space]
    n = len(cases.sources)
    plan: list[tuple[str, str, Callable[[Tensor, Tensor], Tensor], str]] = [
        ("edge_agreement", "outlines in common", edge_agreement, "correlation of maps of outlines"),
        ("low_pass_ssim", "layout, light for light", low_pass_ssim, f"SSIM of luminance at {COARSE} x {COARSE} pixels"),
        (
            "low_pass_correlation",
            "layout, also inverted",
            low_pass_correlation,
            f"|correlation| of luminance at {COARSE} x {COARSE} pixels",
        ),
        ("retrieval_at_1", "own source nearest", own_source, f"among {n:,} sources, by their {by}; chance is {1 / n:.2g}"),
    ]
    for name, label, score, note in plan:
        scores = {case: score(cases.sources[: len(images)], images) for case, images in cases.each()}
        yield _mean(name, label, "preserved", scores, "higher", note)
    usual = float(cases.random.double().std(0).mean())
    varied = {case: float(images.double().std(0).mean()) / usual if usual else math.nan for case, images in cases.each()}
    note = "standard deviation over images, beside that of real targets; 0 is one output for everything"
    if not usual:
        note = "no value: the real targets are all the same"
    yield Measure("variation", "variety of the outputs", "preserved", varied.pop(""), None, varied, None, note)


def _agreements(cases: _Cases, second: Tensor) -> Iterator[Measure]:
    pairs = {"": (cases.outputs, second), IDENTITY: (cases.copies, cases.copies), RANDOM_TARGET: (cases.random, cases.other_random)}
    spaces: list[tuple[Space, str, str]] = [("pixels", "seed_agreement", ""), ("structure", "seed_agreement_structure", ", by outlines")]
    for space, name, by in spaces:
        distances = {case: torch.stack(seed_distances(*pair, space), 1) for case, pair in pairs.items()}
        values = {case: _agreement(each.mean(0))["value"] for case, each in distances.items()}
        value = values.pop("")
        note = "1 is the same outputs, 0 as far apart as outputs to different sources"
        if math.isnan(value) and distances[""][:, 0].isfinite().all():
            note = "no value: the outputs to different sources are all the same, so two trainings agree trivially"
        interval = None if math.isnan(value) else bootstrap_of_sums(distances[""].unbind(), _agreement)["value"]
        yield Measure(name, f"two trainings agree{by}", "preserved", value, interval, values, "higher", note)


def _agreement(total: Tensor) -> dict[str, float]:
    own, other = total.tolist()
    return {"value": 1 - own / other}


def _distances(cases: _Cases, real: Tensor, which: str, classes: Sequence[type[FeatureMetric]]) -> Iterator[Measure]:
    better: Literal["lower"] | None = "lower" if which == "to_target" else None
    for cls in classes:
        name, label = f"{cls.name}_{which}", f"{cls.label}, {which.replace('_', ' ')}"
        try:
            metric = cls()  # type: ignore[call-arg]
            found = {case: set_distance(metric, images, real) for case, images in cases.each() if case}
            value, interval = set_distance(metric, cases.outputs, real)  # last, so that the caution is about the outputs
        except (Missing, Skipped) as reason:
            yield Measure(name, label, "novel", math.nan, None, better=better, note=f"skipped: {reason}")
            continue
        note = "; ".join(filter(None, [f"against {len(real):,} training images", metric.caution()]))
        yield Measure(name, label, "novel", value, interval, {case: bound for case, (bound, _) in found.items()}, better, note)


def _classified(cases: _Cases, images: ImageSets, seed: int, quiet: bool) -> Iterator[Measure]:
    classifier = DomainClassifier.train(images.train_sources, images.train_targets, seed=seed, quiet=quiet)
    right = classifier.accuracy(cases.sources, images.targets)
    note = f"by a classifier that is right on {right:.1%} of held-out real images{'' if right >= UNSURE else ': too few to go by it'}"
    scores = {case: classifier.taken_for_target(shown) for case, shown in cases.each()}
    yield _mean("taken_for_target", "taken for targets", "novel", scores, "higher", note)


def _copied(cases: _Cases, train_targets: Tensor, targets: Tensor) -> Iterator[Measure]:
    found = {case: nearest_training(images, train_targets, targets) for case, images in cases.each()}
    note = f"distance to the nearest of {len(train_targets):,} training targets, over that of unseen real targets; 0 is copies"
    unseen = "no value: every held-out target is among the training targets, so none is unseen"
    ratios = {case: nearest.ratio for case, nearest in found.items()}
    known = bool(ratios[RANDOM_TARGET].isnan().any())
    yield _mean("nearest_training", "nearest training target", "novel", ratios, None, unseen if known else note)
    ratios = {case: nearest.coarse_ratio for case, nearest in found.items()}
    known = bool(ratios[RANDOM_TARGET].isnan().any())
    at = f"; at {COARSE} x {COARSE} pixels"
    yield _mean("nearest_training_coarse", "nearest training target, coarse", "novel", ratios, None, (unseen if known else note) + at)


def _mean(
    name: str, label: str, family: Family, scores: dict[str, Tensor], better: Literal["higher", "lower"] | None, note: str
) -> Measure:
    means = {case: values.double().mean().item() for case, values in scores.items()}
    value = means.pop("")
    interval = None if math.isnan(value) else bootstrap_interval(scores[""].tolist())
    return Measure(name, label, family, value, interval, means, better, note)


def _random_targets(targets: Tensor, n: int, seed: int) -> tuple[Tensor, Tensor]:
    """At most n targets in an order of chance, and another such order: none stands at its own place, nor in both at the same one."""
    order = torch.randperm(len(targets), generator=torch.Generator().manual_seed(seed))
    following = torch.empty_like(order)
    following[order] = order.roll(-1)  # one cycle through all: nobody follows himself
    return targets[following[:n]], targets[following[following][:n]]
