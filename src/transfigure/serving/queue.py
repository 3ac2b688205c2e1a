"""What waits: images until there is memory for them, then for the networks, where one thread takes those that may go together."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Hashable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

import torch
from torch import Tensor

MOST_TOGETHER = 8
"""Images of a batch, of :data:`MOST_PIXELS` together: more takes more memory and is hardly faster on a CPU."""
MOST_PIXELS = 1 << 20
_LEARNS = 0.2
"""The weight of the latest pass in the time that an image is expected to take."""


@dataclass(frozen=True)
class Waiting:
    """An image that waits for its network.

    Attributes:
        image: ``[C, H, W]`` in [-1, 1].
        key: images of one key may be a batch.
        run: the network, for a batch.
        batched: whether a batch comes out bit for bit as its images do; else each goes alone.
        result: ``[C', H, W]``, when it is there.
    """

    image: Tensor
    key: Hashable
    run: Callable[[Tensor], Tensor]
    batched: bool
    result: Future[Tensor] = field(default_factory=Future)


class MemoryLimit:
    """Bounds what lies decoded in memory; who comes first is let in first.

    A small file may hold a large image: without this, as many as are accepted would be decoded before the first is answered.

    Args:
        most: values of images, together; one that holds more goes alone.
    """

    def __init__(self, most: int) -> None:
        self.most = self.free = most
        self._turn, self._freed = asyncio.Lock(), asyncio.Event()

    @contextlib.asynccontextmanager
    async def taken(self, values: int) -> AsyncIterator[None]:
        """Wait until there is memory for an image, and hold it meanwhile."""
        values = min(values, self.most)
        async with self._turn:
            while self.free < values:
                self._freed.clear()
                await self._freed.wait()
            self.free -= values
        try:
            yield
        finally:
            self.free += values
            self._freed.set()


class Queue:
    """Runs networks one at a time, in the order in which images come, since each takes all cores.

    Args:
        on_batch: called with the number of images of each pass and its seconds.
    """

    def __init__(self, on_batch: Callable[[int, float], None] = lambda images, seconds: None) -> None:
        self._waiting: deque[Waiting] = deque()
        self._changed, self._ends, self._on_batch = threading.Condition(), False, on_batch
        self.seconds_per_image = 0.1
        self._thread = threading.Thread(target=self._work, name="networks", daemon=True)
        self._thread.start()

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, waiting: Waiting) -> Future[Tensor]:
        """Let an image wait; what is cancelled before its turn is passed over."""
        with self._changed:
            if self._ends:
                raise RuntimeError("the queue has ended")
            self._waiting.append(waiting)
            self._changed.notify()
        return waiting.result

    def end(self) -> None:
        """Return when all that waits has been done."""
        with self._changed:
            self._ends = True
            self._changed.notify()
        self._thread.join()

    def _work(self) -> None:
        while batch := self._next():
            ready = [one for one in batch if one.result.set_running_or_notify_cancel()]
            if ready:
                self._run(ready)

    def _next(self) -> list[Waiting]:
        """The longest waiting, and those that may go with it; none is the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._ends)
            if not self._waiting:
                return []
            first = self._waiting[0]
            most = min(MOST_TOGETHER, max(1, MOST_PIXELS // first.image[0].numel())) if first.batched else 1
            together = list(itertools.islice((one for one in self._waiting if one.key == first.key), most))
            chosen = set(map(id, together))
            self._waiting = deque(one for one in self._waiting if id(one) not in chosen)
            return together

    def _run(self, batch: Sequence[Waiting]) -> None:
        started = time.monotonic()
        try:
            outputs = batch[0].run(torch.stack([one.image for one in batch]))
        except BaseException as error:
            if len(batch) > 1:  # one of them may be to blame, or all together too much for the memory
                for one in batch:
                    self._run([one])
            else:
                batch[0].result.set_exception(error)
            return
        seconds = time.monotonic() - started
        self.seconds_per_image += _LEARNS * (seconds / len(batch) - self.seconds_per_image)
        self._on_batch(len(batch), seconds)
        for one, output in zip(batch, outputs, strict=True):
            one.result.set_result(output)
