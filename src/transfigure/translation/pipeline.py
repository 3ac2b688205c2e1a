"""Reading, running and writing at the same time: while one batch is in the network, the next is decoded and the last is encoded."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Generator, Hashable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Read = TypeVar("Read")
Made = TypeVar("Made")

READERS, WRITERS = 2, 2
"""Threads; decoding, encoding and waiting for the disk leave Python's lock to others."""


def overlapped(
    items: Iterable[Item],
    read: Callable[[Item], Read],
    run: Callable[[list[Read]], list[Made]],
    write: Callable[[Item, Made], None],
    *,
    kind: Callable[[Read], Hashable],
    batch: int = 1,
    errors: tuple[type[Exception], ...] = (),
    writing_at_once: int = WRITERS,
) -> Generator[tuple[Item, Exception | None], None, None]:
    """Take items through three stages, each stage at the same time as the others; only a few of them are in memory.

    Args:
        items: in the order in which they come out again.
        read: the first stage, in threads.
        run: the second, in the caller's thread, for a batch at a time.
        write: the third, in threads.
        kind: items that follow one another go into a batch together if this is the same for them.
        batch: the most in a batch.
        errors: what is an item's own failure; anything else ends it all, when what is being written has been written.
        writing_at_once: how many items are in the third stage; more where that waits for a network.

    Yields:
        Every item when it is written, and its failure or None.
    """
    source = iter(items)
    readers, writers = ThreadPoolExecutor(READERS, "read"), ThreadPoolExecutor(writing_at_once, "write")
    reading: deque[tuple[Item, Future[Read]]] = deque()
    writing: deque[tuple[Item, Future[None] | Exception]] = deque()

    def read_ahead() -> None:
        for item in itertools.islice(source, max(0, 2 * batch + READERS - len(reading))):
            reading.append((item, readers.submit(read, item)))

    def written(keep: int) -> Iterator[tuple[Item, Exception | None]]:
        while len(writing) > keep:
            item, outcome = writing.popleft()
            try:
                if isinstance(outcome, Exception):
                    raise outcome
                outcome.result()
            except errors as error:
                yield item, error
            else:
                yield item, None

    try:
        read_ahead()
        while reading:
            together: list[tuple[Item, Read]] = []
            while reading and len(together) < batch:
                item, future = reading[0]
                try:
                    found = future.result()
                except errors as error:
                    if together:
                        break
                    reading.popleft()
                    writing.append((item, error))
                    continue
                if together and kind(found) != kind(together[0][1]):
                    break
                together.append((item, found))
                reading.popleft()
            read_ahead()
            if together:
                writing.extend(_run(together, run, write, writers, errors))
            yield from written(keep=batch + writing_at_once)
        yield from written(keep=0)
    finally:
        for pool in (readers, writers):
            pool.shutdown(wait=True, cancel_futures=True)


def _run(
    together: list[tuple[Item, Read]],
    run: Callable[[list[Read]], list[Made]],
    write: Callable[[Item, Made], None],
    writers: ThreadPoolExecutor,
    errors: tuple[type[Exception], ...],
) -> Iterator[tuple[Item, Future[None] | Exception]]:
    """A batch through the second stage; if it fails, each of its items by itself."""
    try:
        outputs = run([found for _, found in together])
    except errors as error:
        if len(together) == 1:
            yield together[0][0], error
            return
        for one in together:
            yield from _run([one], run, write, writers, errors)
        return
    for (item, _), output in zip(together, outputs, strict=True):
        yield item, writers.submit(write, item, output)
