"""Shards: consecutive images of an evaluation that are scored by themselves, here or elsewhere, and put together in their order.

One process scores them one after the other, a cluster many at a time, by the same code. Their ends depend on the images alone, no batch
crosses one, and what they hold is merged in their order: so the scores are the same to the last digit wherever they were worked out (by
arithmetic in as many threads).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from torch import Tensor

from ..errors import RunFailure, TransfigureError, UserError
from ..progress import Progress
from .sizes import Size

T = TypeVar("T")
S_co = TypeVar("S_co", covariant=True)
S = TypeVar("S")

SHARD, SHARD_PIXELS = 16, 16 * 512 * 512
"""Images in a shard, and about how many pixels where they are larger."""
BATCH = 8
"""Images that go through the metrics together; a shard of more is a whole number of batches."""


@dataclass(frozen=True)
class Shard(Generic[T]):
    """Some images of an evaluation.

    Attributes:
        start: how many come before them.
        items: what each is read from.
        what: which of several sets they are of.
        first_seen: of two domains, ``[2, N]``: which sources and which targets are met for the first time.
    """

    start: int
    items: Sequence[T]
    what: str = ""
    first_seen: Tensor | None = None


def shards_of(items: Sequence[T], size_of: Callable[[T], Size | None], what: str = "") -> list[Shard[T]]:
    """Divide images into shards.

    Args:
        items: what each is read from.
        size_of: the height and width of one, asked of the first of each shard; None if nobody knows.
        what: which of several sets they are of.
    """
    found: list[Shard[T]] = []
    start = 0
    while start < len(items):
        size = size_of(items[start])
        count = SHARD if size is None else min(SHARD, max(1, SHARD_PIXELS // max(1, size[0] * size[1])))
        if count > BATCH:
            count -= count % BATCH
        found.append(Shard(start, items[start : start + count], what))
        start += count
    return found


class UnreadableImage(UserError):
    """An image cannot be used.

    Attributes:
        errors: of this image and of those behind it in its shard: what is wrong, and the names of its files in that sentence.
    """

    errors: list[tuple[str, list[str]]]

    @classmethod
    def of(cls, error: UserError, errors: list[tuple[str, list[str]]] | None = None) -> UnreadableImage:
        """With another error's sentence."""
        found = cls(*error.args)
        found.errors = errors or []
        return found


class Scorer(Protocol[S_co]):
    """Scores one shard after the other."""

    def score(self, shard: Shard[Any], advance: Callable[[], object]) -> S_co:
        """The scores of a shard; ``advance`` is called after each image.

        Raises:
            UnreadableImage: an image cannot be used.
        """
        ...


class ScoringPlan(Protocol[S_co]):
    """All that scoring takes, as plain values that can be sent to another process."""

    def scorer(self, model: Callable[[], Any] | None) -> Scorer[S_co]:
        """Build what scores: networks, weights, metrics. ``model`` opens the translator, where there is one."""
        ...


class Executor(Protocol):
    """Where shards are scored, if not in this process."""

    def score(
        self, plan: ScoringPlan[S], shards: Sequence[Shard[Any]], model: Any = None
    ) -> Generator[tuple[int, S | TransfigureError], None, None]:
        """Score all shards by what a plan builds: each one's place and its scores, or the error that ended it, in any order.

        Args:
            plan: for every process.
            shards: what is scored.
            model: the translator, of which each process opens its own; None if there is none.
        """
        ...


def scored_in_order(
    scorer: Scorer[S],
    plan: ScoringPlan[S],
    shards: Sequence[Shard[Any]],
    executor: Executor | None,
    quiet: bool,
    doing: str = "evaluate",
    model: Any = None,
) -> Iterator[S]:
    """The scores of every shard in the order of the shards, with a progress line.

    Args:
        scorer: scores here.
        plan: for scoring elsewhere.
        shards: what is scored.
        executor: where; None is here.
        quiet: no progress line.
        doing: what the progress line says.
        model: the translator, for scoring elsewhere.

    Raises:
        TransfigureError: the first that ended a shard, in their order.
    """
    with Progress(sum(len(shard.items) for shard in shards), doing, quiet=quiet) as progress:
        if executor is None:
            for shard in shards:
                yield scorer.score(shard, progress.advance)
            return
        waiting: dict[int, S | TransfigureError] = {}
        following = 0
        with contextlib.closing(executor.score(plan, shards, model)) as scored:  # whose workers are needed for what may follow
            for at, scores in scored:
                progress.advance(len(shards[at].items))
                waiting[at] = scores
                while following in waiting:
                    next_one = waiting.pop(following)
                    if isinstance(next_one, TransfigureError):
                        raise next_one
                    yield next_one
                    following += 1
        if following < len(shards):
            raise RunFailure(f"{len(shards) - following} of {len(shards)} parts of the images were not scored: start it again")
