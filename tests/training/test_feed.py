"""Which way batches take to the device, and that it changes no bit of a training."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.training.runs import checkpoint_tensors, tiny_recipe
from transfigure import memory
from transfigure.data.dataset import Loader
from transfigure.data.open import open_data
from transfigure.data.read_ahead import ReadAhead
from transfigure.data.resident import ResidentLoader
from transfigure.training.feed import feed
from transfigure.training.trainer import train

CPU, CUDA = torch.device("cpu"), torch.device("cuda", 0)


def test_pairs_on_the_device_train_to_the_same_bits(tmp_path: Path) -> None:
    runs = [train(tiny_recipe(training__epochs=2, data__on_device=where), tmp_path / where, quiet=True) for where in ("no", "yes")]
    one, two = (checkpoint_tensors(run, "step", "ema") for run in runs)
    assert one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)


def test_the_way_is_chosen_by_device_and_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    section = tiny_recipe().data
    data = open_data(section, 0, quiet=True).train
    made: list[torch.device] = []
    monkeypatch.setattr(ResidentLoader, "__init__", lambda self, dataset, size, device: made.append(device))
    assert isinstance(feed(data, section, 1, CPU).batches, Loader) and feed(data, section, 1, CPU).words == ""
    assert isinstance(feed(data, section.replaced(on_device="yes"), 1, CPU).batches, ResidentLoader)
    wanted = 6 * 36 * 36 * 6
    monkeypatch.setattr(memory, "available_on", lambda device: 3 * wanted)
    chosen = feed(data, section, 1, CUDA)
    assert isinstance(chosen.batches, ResidentLoader) and "stay on the device" in chosen.words and made[-1] == CUDA
    monkeypatch.setattr(memory, "available_on", lambda device: 3 * wanted - 3)
    chosen = feed(data, section, 1, CUDA)
    assert isinstance(chosen.batches, ReadAhead) and "a third of what is free" in chosen.words
    assert isinstance(feed(data, section.replaced(on_device="no"), 1, CUDA).batches, ReadAhead)
    assert isinstance(feed(data, section.replaced(on_device="yes"), 1, CUDA).batches, ResidentLoader), "however little is free"
    workers = feed(data, section.replaced(on_device="no", workers=1), 1, CUDA).batches
    assert isinstance(workers, Loader)
    workers.close()


def test_pairs_of_several_sizes_are_read_as_ever() -> None:
    section = tiny_recipe(data__load_size="null", data__on_device="yes").data
    data = open_data(section, 0, quiet=True).train
    chosen = feed(data, section, 1, CPU)
    assert isinstance(chosen.batches, Loader) and "--data.load_size" in chosen.words
