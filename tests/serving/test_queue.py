"""What waits before the networks: order, batches, failures, the end."""

from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import Future
from typing import Any

import pytest
import torch
from torch import Tensor

from transfigure.serving.queue import MOST_PIXELS, MOST_TOGETHER, MemoryLimit, Queue, Waiting


class Network:
    """Adds one, remembers what came together, and waits until it may."""

    def __init__(self, fails_at: float | None = None) -> None:
        self.go, self.batches, self._fails_at = threading.Event(), list[int](), fails_at

    def __call__(self, images: Tensor) -> Tensor:
        assert self.go.wait(30)
        self.batches.append(len(images))
        if self._fails_at is not None and bool((images == self._fails_at).any()):
            raise ValueError("not this one")
        return images + 1


def results_of(network: Network, keys: str, batched: bool = True, side: int = 2, cancelled: int | None = None) -> list[Future[Tensor]]:
    """Images of these keys, numbered, behind one that holds the network up until all are there."""
    queue = Queue()
    first = queue.put(Waiting(torch.full((1, side, side), -1.0), "first", network, batched))
    while len(queue):
        time.sleep(0.001)
    waiting = [queue.put(Waiting(torch.full((1, side, side), float(number)), key, network, batched)) for number, key in enumerate(keys)]
    if cancelled is not None:
        assert waiting[cancelled].cancel()
    network.go.set()
    queue.end()
    assert first.done()
    return waiting


def test_what_may_go_together_does_and_nobody_is_overtaken_for_long() -> None:
    network = Network()
    results = results_of(network, "aabab")
    assert network.batches == [1, 3, 2]
    assert [int(result.result()[0, 0, 0]) for result in results] == [1, 2, 3, 4, 5]


@pytest.mark.parametrize(("batched", "side", "most"), [(True, 2, MOST_TOGETHER), (False, 2, 1), (True, int((MOST_PIXELS / 3) ** 0.5), 3)])
def test_how_many_go_together(batched: bool, side: int, most: int) -> None:
    network = Network()
    results_of(network, "a" * 9, batched, side)
    assert max(network.batches) == most and sum(network.batches) == 10


def test_one_that_fails_takes_nobody_along() -> None:
    network = Network(fails_at=1.0)
    results = results_of(network, "aaa")
    assert network.batches == [1, 3, 1, 1, 1]
    with pytest.raises(ValueError, match="not this one"):
        results[1].result()
    assert [int(results[at].result()[0, 0, 0]) for at in (0, 2)] == [1, 3]


def test_what_was_given_up_is_passed_over() -> None:
    network = Network()
    results = results_of(network, "aaa", cancelled=1)
    assert network.batches == [1, 2] and results[1].cancelled()
    assert [int(results[at].result()[0, 0, 0]) for at in (0, 2)] == [1, 3]


def test_the_time_of_an_image_is_learnt() -> None:
    told: list[Any] = []
    queue = Queue(lambda images, seconds: told.append(images))
    for _ in range(60):
        queue.put(Waiting(torch.zeros(1, 1, 1), "a", lambda images: images, True)).result()
    queue.end()
    assert queue.seconds_per_image < 0.01 and sum(told) == 60
    with pytest.raises(RuntimeError):
        queue.put(Waiting(torch.zeros(1, 1, 1), "a", lambda images: images, True))


def test_memory_is_given_in_turn_and_comes_back() -> None:
    """A large image is not passed by small ones for ever, one larger than all of it goes alone, and who gives up leaves no gap."""
    let_in: list[str] = []

    async def visit(memory: MemoryLimit, name: str, values: int) -> None:
        async with memory.taken(values):
            let_in.append(name)
            await asyncio.sleep(0.01)

    async def scene() -> None:
        memory = MemoryLimit(10)
        visits = [
            asyncio.create_task(visit(memory, name, values)) for name, values in (("a", 4), ("b", 4), ("huge", 99), ("c", 1), ("d", 1))
        ]
        gone = asyncio.create_task(visit(memory, "gone", 10))
        await asyncio.sleep(0.005)
        assert let_in == ["a", "b"] and memory.free == 2
        gone.cancel()
        await asyncio.gather(*visits)
        assert let_in == ["a", "b", "huge", "c", "d"] and memory.free == 10

    asyncio.run(scene())
