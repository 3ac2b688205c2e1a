"""Work on a GPU, recorded once as a CUDA graph and replayed: one launch in place of hundreds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar

import torch

T = TypeVar("T")


class Graphs(Protocol):
    """How work on a device is recorded."""

    def aside(self, act: Callable[[], T]) -> T:
        """Do it now, where the same will be recorded later."""

    def record(self, act: Callable[[], T]) -> Callable[[], T]:
        """Record it without doing it; what comes back does it, and gives the same tensors with new values each time.

        Raises:
            RuntimeError: something in it cannot be recorded.
        """


class CudaGraphs:
    """CUDA graphs on one device.

    Args:
        device: a CUDA device.
        together: they share their memory: what one gives is overwritten by any other, and all of it is freed with the last of them.
    """

    def __init__(self, device: torch.device, together: bool = False) -> None:
        self.device, self.together = device, together
        self.stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self._first: torch.cuda.CUDAGraph | None = None

    def aside(self, act: Callable[[], T]) -> T:  # noqa: D102
        self.stream.wait_stream(torch.cuda.current_stream(self.device))
        with torch.cuda.stream(self.stream):
            done = act()
        torch.cuda.current_stream(self.device).wait_stream(self.stream)
        return done

    def record(self, act: Callable[[], T]) -> Callable[[], T]:  # noqa: D102
        graph = torch.cuda.CUDAGraph()
        pool = None if self._first is None else self._first.pool()
        # Other threads of this process may allocate meanwhile: the one that reads batches ahead does.
        with torch.cuda.graph(graph, pool=pool, stream=self.stream, capture_error_mode="thread_local"):
            output = act()
        if self.together:
            self._first = self._first or graph

        def replay() -> T:
            graph.replay()
            return output

        return replay
