"""The random numbers of a checkpoint go on where they were."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch

from transfigure.training.checkpoint import random_state, restore_random_state


def test_random_numbers_go_on_where_they_were() -> None:
    cpu = torch.device("cpu")
    state = random_state(cpu)
    first = torch.rand(3), np.random.rand(3), random.random()
    restore_random_state(state, cpu)
    again = torch.rand(3), np.random.rand(3), random.random()
    assert torch.equal(first[0], again[0]) and np.array_equal(first[1], again[1]) and first[2] == again[2]


@pytest.mark.parametrize("kind", ["cuda", "mps"])
def test_the_random_numbers_of_the_device_in_use_are_kept(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    calls: list[object] = []
    module = getattr(torch, kind)
    monkeypatch.setattr(module, "get_rng_state", lambda: torch.tensor([7], dtype=torch.uint8))
    monkeypatch.setattr(module, "set_rng_state", calls.append)
    monkeypatch.setattr(torch.cuda, "set_device", lambda device: None)
    device = torch.device(kind, 0)
    state = random_state(device)
    restore_random_state(state, torch.device("cpu"))  # it may go on elsewhere
    assert calls == []
    restore_random_state(state, device)
    assert calls == [state["device"]]
