"""The simulation of many images on many workers: what it must say where the answer is known."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import pytest

from transfigure.scale.cluster import parts

NOTHING = {"plan": 0.0, "start": 0.0, "hand": 0.0, "gap": 0.0, "shared": 0.0, "end": 0.0}


@pytest.fixture
def scaling(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(Path(__file__).resolve().parents[2] / "benchmarks")
    monkeypatch.delitem(sys.modules, "scaling", raising=False)
    return importlib.import_module("scaling")


def seconds(scaling: Any, images: int, workers: int, cores: int = 10**6, bandwidth: float = float("inf"), **scheduler: float) -> float:
    """Of images that take 0.1 + 0.8 + 0.1 s and have 1 MB in all, on machines of one worker each unless it has all the cores."""
    cost = scaling.ImageCost(0.1, 0.8, 0.1, 0.5e6, 0.5e6)
    place = scaling.Place(cores, min(cores, workers), bandwidth, has_driver=False)
    found: float = scaling.simulate(images, workers, cost, scaling.SchedulerCost(**{**NOTHING, **scheduler}), place).seconds
    return found


def test_where_no_stage_waits_the_network_alone_counts_and_workers_share_it(scaling: Any) -> None:
    one, ten = seconds(scaling, 10_000, 1), seconds(scaling, 10_000, 10)
    assert one == pytest.approx(8000, rel=0.02) and ten == pytest.approx(800, rel=0.02)


def test_on_busy_cores_all_stages_count(scaling: Any) -> None:
    assert seconds(scaling, 10_000, 2, cores=2) == pytest.approx(10_000 / 2, rel=0.01)


def test_what_is_done_one_after_the_other_bounds_any_number_of_workers(scaling: Any) -> None:
    assert seconds(scaling, 10**6, 1000, plan=0.001) == pytest.approx(1000 + 800, rel=0.02)
    assert seconds(scaling, 10**6, 1000, hand=1.0) == pytest.approx(len(parts(10**6, 1000)) * 1.0, rel=0.1)
    assert seconds(scaling, 10**6, 1000, bandwidth=1e9) == pytest.approx(1000, rel=0.03)


def test_what_happens_once_is_added(scaling: Any) -> None:
    assert seconds(scaling, 1000, 10, start=7, end=2) == pytest.approx(seconds(scaling, 1000, 10) + 9)


def test_large_folders_are_simulated_in_larger_pieces_that_take_as_long(scaling: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    coarse = seconds(scaling, 10**6, 4, gap=0.5, hand=0.01)
    monkeypatch.setattr(scaling, "TURNS", 10**6)
    assert coarse == pytest.approx(seconds(scaling, 10**6, 4, gap=0.5, hand=0.01), rel=0.01)
