"""Evaluation over a cluster: its shards are scored by workers, and put together here in their order, as in one process.

What is sent to a worker are plain values: where the model is, which metrics, and for each shard its files. The network, the metrics and
their networks are built there. What comes back is small: scores, histograms and features of each image, and the pictures of the few that
are shown. See :mod:`transfigure.evaluation.shards` for why the numbers are those of one process, to the last digit.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from ..data.pairs import FilePicture
from ..errors import RunFailure, TransfigureError, UserError
from ..evaluation.evaluate import evaluate
from ..evaluation.folders import evaluate_folders
from ..evaluation.result import Evaluation
from ..evaluation.scorer import ModelPlan
from ..evaluation.shards import Scorer, ScoringPlan, Shard
from ..networks.model_file import CONFIG, WEIGHTS
from ..translation.opening import HowToRun
from ..translation.tiling import TilingKeywords
from ..translation.translator import Translator
from ..wording import counted
from .cluster import Cluster, Lost

S = TypeVar("S")


@dataclass(frozen=True)
class ModelArguments:
    """Where a model is and how it runs, by plain values: every worker opens it for itself.

    Attributes:
        path: as of :meth:`.translation.translator.Translator.load`.
        how: likewise.
        tiling: as of :meth:`.translation.translator.Translator.set_tiles`.
    """

    path: str
    how: HowToRun = field(default_factory=HowToRun)
    tiling: TilingKeywords = field(default_factory=TilingKeywords)

    def files(self) -> Iterator[Path]:
        """Those that every worker reads; none of a model that comes with the package, or from a hub."""
        place = Path(self.path)
        inside = place / ("model_best" if self.how.get("checkpoint") == "best" else "model")
        for path in (place, *(folder / name for folder in (place, inside) for name in (CONFIG, WEIGHTS))):
            if path.is_file():
                yield path

    def __call__(self) -> Translator:
        """The translator, which says nothing."""
        how = self.how.copy()
        how["quiet"] = True
        return Translator.load(self.path, **how).set_tiles(**self.tiling)


@dataclass(frozen=True)
class ClusterExecutor:
    """Scores the shards of an evaluation on the workers of a cluster; see :class:`.evaluation.shards.Executor`.

    Attributes:
        cluster: whose.
        model: what they open, if a model is evaluated.
    """

    cluster: Cluster
    model: ModelArguments | None = None

    def score(self, plan: ScoringPlan[S], shards: Sequence[Shard[Any]]) -> Iterator[tuple[int, S | TransfigureError]]:
        """Each shard's place and its scores, or the error that ended it, in the order in which they are done.

        Raises:
            UserError: the model or the segmenter is in memory only; a machine of the cluster does not see a file, or is another version.
            TransfigureError: what a worker found out when it was set up.
        """
        sent: Any = plan
        if isinstance(sent, ModelPlan) and self.model is None:
            raise UserError("a model in memory is not sent to the workers of a cluster: name its run, its folder or its file")
        self._refuse_open_segmenter(plan)
        self.cluster.check(reads=[*self._files(plan), *_first_files(shards)])
        factory = ScoringWorkers(plan, self.model, str(Path.cwd()))
        for at, value in self.cluster.map(factory, shards, batch=1, what="score the images"):
            yield at, _of_lost(shards[at], value) if isinstance(value, Lost) else value

    def _refuse_open_segmenter(self, plan: Any) -> None:
        segmenter = _options(plan).get("segmenter", "")
        if not isinstance(segmenter, str | Path):
            raise UserError("an open segmenter is not sent to the workers of a cluster: name its file, or module:function")

    def _files(self, plan: Any) -> Iterator[Path]:
        """What workers read beside the images."""
        if self.model is not None:
            yield from self.model.files()
        for name in (_options(plan).get("segmenter", ""), *getattr(plan, "weights", {}).values()):
            if name and Path(name).is_file():
                yield Path(name)


def _options(plan: Any) -> Mapping[str, Any]:
    """Of the FCN-score, where a plan has it."""
    choice = getattr(plan, "choice", None)
    return {} if choice is None else choice.options.get("fcn_score", {})


def _first_files(shards: Sequence[Shard[Any]]) -> Iterator[Path]:
    """The files of the first image of every set: who sees these sees the others."""
    known = set[str]()
    for shard in shards:
        if shard.what not in known:
            known.add(shard.what)
            item = shard.items[0]
            sides = [item] if isinstance(item, FilePicture) else vars(item).values()
            for picture in sides:
                if isinstance(picture, FilePicture):
                    yield picture.paths[0]


def _of_lost(shard: Shard[Any], lost: Lost) -> RunFailure:
    first = shard.items[0]
    name = first.label if isinstance(first, FilePicture) else first.name
    return RunFailure(
        f"{counted(len(shard.items), 'image')} from {name} on could not be scored ({lost.reason}), and scores of the others would mislead: "
        "give each worker more, with --worker-cpus or fewer --workers"
    )


@dataclass(frozen=True)
class ScoringWorkers:
    """Builds a worker, in its own process.

    Attributes:
        plan: what it scores by.
        model: what it opens.
        folder: where relative paths begin.
    """

    plan: ScoringPlan[Any]
    model: ModelArguments | None
    folder: str

    def __call__(self) -> ScoringWorker:
        """A worker with networks and metrics of its own."""
        with contextlib.suppress(OSError):  # who has no such folder has no such files either, and that is found before
            os.chdir(self.folder)
        return ScoringWorker(self.plan.scorer(self.model))


@dataclass(frozen=True)
class ScoringWorker:
    """Scores shards; an error is a value.

    Attributes:
        scorer: scores one shard after the other.
    """

    scorer: Scorer[Any]

    def __call__(self, shards: Sequence[Shard[Any]]) -> Iterable[Any]:
        """The scores of each, or the error that ended it."""
        for shard in shards:
            try:
                yield self.scorer.score(shard, _unseen)
            except TransfigureError as error:
                yield error
            except Exception as error:
                yield RunFailure(f"a worker could not score {counted(len(shard.items), 'image')}: {type(error).__name__}: {error}")


def _unseen() -> None:
    """Nobody looks at a worker's progress."""


def evaluate_on(
    cluster: Cluster,
    model: str | Path,
    data: Any = None,
    *,
    how: HowToRun | None = None,
    tiling: TilingKeywords | None = None,
    **keywords: Any,
) -> Evaluation:
    """As :func:`.evaluation.evaluate.evaluate`, by a cluster's workers; with the same numbers, by arithmetic in as many threads.

    Args:
        cluster: see :func:`.cluster.connected`.
        model: where it is: a run, a folder or a file that every machine sees; a translator in memory is refused.
        data: as there.
        how: how it runs, as for :meth:`.translation.translator.Translator.load`; of ``quiet`` no worker takes notice.
        tiling: as for :meth:`.translation.translator.Translator.set_tiles`.
        keywords: as there.

    Raises:
        UserError: as there; or a machine of the cluster does not see a file that it needs.
        Missing: as there.
        RunFailure: images that no worker lives through.
    """
    if not isinstance(model, str | Path):
        raise UserError("a model in memory is not sent to the workers of a cluster: name its run, its folder or its file")
    arguments = ModelArguments(str(model), how or HowToRun(), tiling or TilingKeywords())
    if "checkpoint" in keywords:
        arguments.how["checkpoint"] = keywords["checkpoint"]
    opened: Any = arguments() if how or tiling else model
    return evaluate(opened, data, executor=ClusterExecutor(cluster, arguments), **keywords)


def evaluate_folders_on(cluster: Cluster, generated: str | Path, target: str | Path, **keywords: Any) -> Evaluation:
    """As :func:`.evaluation.folders.evaluate_folders`, by a cluster's workers; with the same numbers, by arithmetic in as many threads.

    Args:
        cluster: see :func:`.cluster.connected`.
        generated, target: as there; every machine must see them.
        keywords: as there.

    Raises:
        UserError: as there; or a machine of the cluster does not see a file that it needs.
        Missing: as there.
        RunFailure: images that no worker lives through.
    """
    return evaluate_folders(generated, target, executor=ClusterExecutor(cluster), **keywords)
