"""A cluster whose workers are in this process: the same interface, without Ray, for tests of what is done and not of where."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Generator, Iterable, Sequence
from pathlib import Path
from typing import Any

from transfigure.scale.cluster import Cluster, ClusterOptions, Lost


class InlineCluster(Cluster):
    """Every batch goes to the next of the workers, and comes back in another order than it was given; all that is sent is pickled.

    Args:
        workers: how many; each is set up by itself.
        losing: numbers of the items that kill every worker.
    """

    def __init__(self, workers: int = 2, losing: Iterable[int] = ()) -> None:
        super().__init__(ClusterOptions(workers=workers), workers, 0.0, is_own=True)
        object.__setattr__(self, "losing", frozenset(losing))
        object.__setattr__(self, "checked", [])

    def map(
        self, factory: Callable[[], Any], items: Sequence[Any], *, batch: int | None = None, what: str = "work"
    ) -> Generator[tuple[int, Any], None, None]:
        """As :meth:`.Cluster.map`."""
        size = batch or max(1, min(32, len(items) // (4 * self.workers)))
        workers = [_copied(factory)() for _ in range(self.workers if items else 0)]
        starts = [*range(0, len(items), size)]
        for turn, first in enumerate([*starts[1::2], *starts[::2]]):
            numbers = [number for number in range(first, min(first + size, len(items))) if number not in self.losing]  # type: ignore[attr-defined]
            values = [*workers[turn % self.workers]([_copied(items[number]) for number in numbers])] if numbers else []
            assert len(values) == len(numbers)
            yield from zip(numbers, map(_copied, values))
            for number in range(first, min(first + size, len(items))):
                if number in self.losing:  # type: ignore[attr-defined]
                    yield number, Lost("3 workers died while they worked on it")

    def check(self, reads: Iterable[str | Path] = (), writes: Iterable[str | Path] = ()) -> None:
        """Remember what was asked for, in ``checked``."""
        self.checked.append(([*map(str, reads)], [*map(str, writes)]))  # type: ignore[attr-defined]


def _copied(thing: Any) -> Any:
    return pickle.loads(pickle.dumps(thing))
