"""Evaluation over a cluster: its shards are scored by workers, and put together here in their order, as in one process.

What is sent to a worker are plain values: where the model is, which metrics, and for each shard its files. The network, the metrics and
their networks are built there. What comes back is small: scores, histograms and features of each image, and the pictures of the few that
are shown. See :mod:`transfigure.evaluation.shards` for why the numbers are those of one process, to the last digit.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from ..data.pairs import FilePicture
from ..errors import RunFailure, TransfigureError, UserError
from ..evaluation.shards import Scorer, ScoringPlan, Shard
from ..registry import plugin_files
from ..wording import counted
from .cluster import Cluster, Lost
from .translation import SameTranslator

S = TypeVar("S")


@dataclass(frozen=True)
class ClusterExecutor:
    """Scores the shards of an evaluation on the workers of a cluster: the ``executor`` of
    :func:`.evaluation.evaluate.evaluate` and :func:`.evaluation.folders.evaluate_folders`.

    The numbers are those of one process to the last digit, by arithmetic in as many threads.

    Attributes:
        cluster: whose, see :func:`.cluster.connected`.

    Example:
        >>> from transfigure import evaluate
        >>> from transfigure.scale.cluster import ClusterOptions, connected
        >>> with connected(ClusterOptions(workers=2)) as cluster:  # doctest: +SKIP
        ...     evaluate("runs/facades", executor=ClusterExecutor(cluster))
    """

    cluster: Cluster

    def score(
        self, plan: ScoringPlan[S], shards: Sequence[Shard[Any]], model: Any = None
    ) -> Generator[tuple[int, S | TransfigureError], None, None]:
        """Each shard's place and its scores, or the error that ended it, in the order in which they are done.

        Raises:
            UserError: the model or the segmenter is in memory only; a machine of the cluster does not see a file, or is another version.
            TransfigureError: what a worker found out when it was set up.
            RunFailure: the cluster was lost.
        """
        same = None if model is None else SameTranslator.of(model)
        segmenter = _options(plan).get("segmenter", "")
        if not isinstance(segmenter, str | Path):
            raise UserError("an open segmenter is not sent to the workers of a cluster: name its file, or module:function")
        beside = [Path(name) for name in (segmenter, *getattr(plan, "weights", {}).values()) if name and Path(name).is_file()]
        of_model = [] if same is None else same.files()
        self.cluster.check(reads=[*of_model, *beside, *plugin_files(), *_first_files(shards)])
        factory = ScoringWorkers(plan, same, str(Path.cwd()))
        with contextlib.closing(self.cluster.map(factory, shards, batch=1, what="score the images")) as found:
            for at, value in found:
                yield at, _of_lost(shards[at], value) if isinstance(value, Lost) else value


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
    model: SameTranslator | None
    folder: str

    def __call__(self) -> ScoringWorker:
        """A worker with networks and metrics of its own."""
        with contextlib.suppress(OSError):  # who has no such folder has no such files either, and that is found before
            os.chdir(self.folder)
        return ScoringWorker(self.plan.scorer(None if self.model is None else self.model.load))


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
