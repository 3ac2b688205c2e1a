"""How batches reach the device: from pairs that stay there, read ahead by a thread, or one after the other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

import torch

from .. import memory
from ..data.batch import Batch
from ..data.dataset import Index, Loader, PairDataset
from ..data.read_ahead import ReadAhead
from ..data.resident import ResidentLoader, bytes_of, obstacle
from ..recipe import Data

SHARE = 1 / 3
"""Of the device's free memory, that pairs may take: the networks' activations come later."""


class Batches(Protocol):
    """What a training takes its batches from."""

    def epoch(self, sampler: Iterable[Index]) -> Iterator[Batch]:
        """The batches of one epoch, or of what is left of it."""

    def close(self) -> None:
        """End what is open."""


@dataclass(frozen=True)
class Feed:
    """Where batches come from.

    Attributes:
        batches: their source.
        words: what a person is told of it; empty where there is nothing to tell.
    """

    batches: Batches
    words: str = ""


def feed(dataset: PairDataset, section: Data, update_size: int, device: torch.device) -> Feed:
    """The fastest way that fits the device and the data."""
    words = ""
    if section.on_device == "yes" or (section.on_device == "auto" and device.type == "cuda"):
        wanted, free = bytes_of(dataset), memory.available_on(device)
        if wanted is None:
            words = f"pairs are read anew for each batch: {obstacle(dataset)}"
        elif section.on_device == "auto" and free is not None and wanted > SHARE * free:
            words = f"pairs are read anew for each batch: all of them take {memory.words(wanted)}, a third of what is free on the device "
            words += f"is {memory.words(int(SHARE * free))}"
        else:
            return Feed(ResidentLoader(dataset, update_size, device), f"pairs stay on the device once read ({memory.words(wanted)})")
    plain = Loader(dataset, update_size, section.workers)
    if device.type == "cuda" and section.workers == 0:
        return Feed(ReadAhead(plain, device), words)
    return Feed(plain, words)
