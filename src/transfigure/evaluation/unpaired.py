"""Two sets of images without correspondence: only their distributions can be compared; and statistics of a set, to be stored."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import torch

from ..data import images
from ..data.batch import chunks
from ..data.files import list_images
from ..data.pixels import to_tensor
from ..errors import Missing, Skipped, UserError
from ..features import weights as weight_files
from ..features.extractors import inception, random_network
from ..metrics.distribution import FeatureMetric
from ..metrics.statistics import Statistics
from ..progress import track
from .choice import Choice
from .evaluate import BATCH, alike
from .result import Evaluation, Scores, table_rows
from .schema import Facts

FEATURES = ("inception", "random")


@dataclass(frozen=True)
class Sets:
    """What is compared: generated images, real ones (or their stored statistics), and sources if there are any."""

    generated: list[Path]
    real: list[Path] | Statistics
    source: list[Path] | None = None


def compare_sets(
    choice: Choice, sets: Sets, about: Facts, value_range: tuple[float, float] | None, alpha: images.Alpha, quiet: bool
) -> Evaluation:
    """Score one set against another.

    Args:
        choice: the metrics; those that need pairs are skipped.
        sets: the images.
        about: facts of the evaluation.
        value_range: the values that count as black and white.
        alpha: what to do with transparency.
        quiet: no progress.

    Raises:
        UserError: an image cannot be read.
        Missing: a required metric cannot be computed.
    """

    def fill(files: Sequence[Path], take: str, into: Sequence[Scores], what: str) -> None:
        def give(batch: torch.Tensor) -> None:
            for scores in into:
                scores.each(lambda metric: getattr(metric, take)(batch))

        _features(files, value_range, alpha, give, what, quiet)

    scores, copied = Scores(choice), Scores(choice, "source copied")
    judged = [scores, copied] if sets.source is not None else [scores]
    for each in judged:
        each.only(FeatureMetric, "needs pairs of generated image and target, and here are two sets without correspondence")
    real = sets.real
    if isinstance(real, Statistics):
        for each in judged:
            each.each(lambda metric: metric.compare_with(real))
    else:
        fill(real, "update_real", judged, "targets")
    fill(sets.generated, "update_generated", [scores], "generated")
    scores.count = len(sets.generated)
    bounds = {}
    if sets.source is not None:
        fill(sets.source, "update_generated", [copied], "sources")
        copied.count = scores.count
        bounds = {"source copied": copied}
    rows = table_rows(choice, scores, bounds, about, quiet)
    about.options, about.target_images = choice.option_values(), real.count if isinstance(real, Statistics) else len(real)
    return Evaluation(rows, about, names=[file.stem for file in sets.generated])


def statistics_of(
    folder: str | Path,
    features: Literal["inception", "random"] = "inception",
    resize: Literal["tf1", "clean"] | None = None,
    *,
    weights: Mapping[str, str | Path] | None = None,
    value_range: tuple[float, float] | None = None,
    alpha: images.Alpha = "refuse",
    quiet: bool = False,
) -> Statistics:
    """Feature statistics of a folder of images, to be saved and compared with again and again.

    Args:
        folder: the images.
        features: ``inception`` for FID, KID and PRDC, or ``random`` for ``random_frechet``.
        resize: how Inception is fed; None is ``tf1``.
        weights: files of feature networks, by name.
        value_range: the values that count as black and white.
        alpha: what to do with transparency.
        quiet: no progress.

    Raises:
        UserError: no images, or some that cannot be read or have no features.
        Missing: the network's weights are not there.
    """
    if features == "random" and resize is not None:
        raise UserError(f"--resize {resize} is Inception's: the random network sees images at their own size, so leave it out")
    files = list_images(Path(folder))
    with weight_files.explicit(weights or {}):
        extractor = inception(resize or "tf1") if features == "inception" else random_network()
        found: list[torch.Tensor] = []
        try:
            _features(files, value_range, alpha, lambda batch: found.append(extractor(batch)), "features", quiet)
        except Skipped as reason:
            raise Missing(f"{folder} has no {features} features: {reason}") from reason
    return replace(Statistics.of(torch.cat(found).double(), extractor, str(folder)), origin=str(folder))


def _features(
    files: Sequence[Path],
    value_range: tuple[float, float] | None,
    alpha: images.Alpha,
    take: Callable[[torch.Tensor], object],
    what: str,
    quiet: bool,
) -> None:
    """Give every image to ``take``, neighbours of one size together."""
    read = (to_tensor(images.read(file, alpha), value_range, str(file)) for file in track(files, len(files), what, quiet=quiet))
    for chunk in chunks(read, BATCH, alike):
        take(torch.stack(chunk))
