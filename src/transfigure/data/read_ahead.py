"""The next batches are read while the device computes."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterable, Iterator

import torch

from .batch import Batch
from .dataset import Index, Loader


class ReadAhead:
    """Batches of a loader, read by a thread that is a few of them ahead, in memory from which a GPU fetches them by itself.

    Args:
        loader: without processes of its own, which read ahead already.
        device: where batches go.
        depth: how many are held.
    """

    def __init__(self, loader: Loader, device: torch.device, depth: int = 3) -> None:
        self.loader, self.device, self.depth = loader, device, depth

    def epoch(self, sampler: Iterable[Index]) -> Iterator[Batch]:
        """The batches of one epoch, in order, on the device; what reading one raises is raised in its place.

        Raises:
            UserError: a pair's files cannot be used.
        """
        held: queue.Queue[Batch | BaseException | None] = queue.Queue(self.depth)
        ended = threading.Event()
        thread = threading.Thread(target=self._read, args=(sampler, held, ended), name="read ahead", daemon=True)
        thread.start()
        try:
            while (batch := held.get()) is not None:
                if isinstance(batch, BaseException):
                    raise batch
                yield batch.to(self.device)
        finally:  # also where the training stops in the middle
            ended.set()
            while thread.is_alive():
                _empty(held)
                thread.join(0.01)

    def _read(self, sampler: Iterable[Index], held: queue.Queue[Batch | BaseException | None], ended: threading.Event) -> None:
        try:
            for batch in self.loader.epoch(sampler):
                if ended.is_set():
                    return
                held.put(batch.pinned() if self.device.type == "cuda" else batch)
            held.put(None)
        except BaseException as error:  # it is the training's to deal with
            held.put(error)

    def close(self) -> None:
        """End what the loader holds."""
        self.loader.close()


def _empty(held: queue.Queue[Batch | BaseException | None]) -> None:
    try:
        while True:
            held.get_nowait()
    except queue.Empty:
        return
