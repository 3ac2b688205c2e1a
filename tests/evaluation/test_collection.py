"""Metrics of other people in the table: whatever they say or leave out, every one has a row, and nothing ends in a traceback."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.tiny import write_images
from transfigure import registry
from transfigure.data.pixels import match_channels
from transfigure.errors import Missing, Skipped
from transfigure.evaluation.collection import MetricChoice, MetricCollection
from transfigure.evaluation.folders import evaluate_folders
from transfigure.evaluation.schema import Row
from transfigure.metrics.metric import ImageMetric


class Difference(ImageMetric):
    """A metric as it should be, but for what each of those below does."""

    name, label, better, perfect = "difference", "Difference", "lower", 0.0

    def score(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Mean absolute difference."""
        return (prediction - target).abs().flatten(1).mean(1)


class WithoutInterval(Difference):
    """It cannot say how sure it is."""

    def interval(self) -> dict[str, tuple[float, float]]:
        raise Skipped("no interval")


class WithoutBounds(Difference):
    """It has nothing to compare with, and no facts."""

    def bounds(self) -> dict[str, dict[str, float]]:
        raise Skipped("no bounds")

    def facts(self) -> dict[str, str]:
        raise Skipped("no facts")

    def caution(self) -> str:
        raise Skipped("no caution")


class Otherwise(Difference):
    """It calls itself otherwise than it is registered."""

    name = "otherwise"


class Silent(Difference):
    """It has no value."""

    def compute(self) -> dict[str, float]:
        return {}


class Late(Difference):
    """It looks for its weights when they are needed."""

    def score(self, prediction: Tensor, target: Tensor) -> Tensor:
        raise Missing("the weights are not here")


class Costly(Difference):
    """No bound is worth comparing with it, so none should build it."""

    bounded_by = ()
    built = 0

    def __init__(self) -> None:
        super().__init__()
        Costly.built += 1


@pytest.fixture(autouse=True)
def plugins(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(registry, "_plugins", {})
    for kind in (WithoutInterval, WithoutBounds, Otherwise, Silent, Late, Costly):
        registry.register("metric", kind.__name__.lower() if kind is not Otherwise else "difference")(kind)
    yield


def row(folder: Path, metric: str, require: tuple[str, ...] = ()) -> Row:
    made, target = (write_images(folder / side, "a.png", "b.png", channels=channels) for side, channels in (("made", 1), ("target", 1)))
    (found,) = evaluate_folders(made, target, source=target, metrics=[metric], require=require, out=folder / "out", quiet=True).rows
    return found


@pytest.mark.parametrize("metric", ["withoutinterval", "withoutbounds", "difference"])
def test_what_cannot_be_said_beside_a_value_is_left_out(tmp_path: Path, metric: str) -> None:
    found = row(tmp_path, metric, require=(metric,))
    assert found.value == 0 and not found.skipped
    assert (found.low is None) == (metric == "withoutinterval")
    assert ("target itself" in found.bounds) == (metric != "withoutbounds")
    assert found.bounds["source copied"] == 0


@pytest.mark.parametrize(("metric", "reason"), [("silent", "no value"), ("late", "weights are not here")])
def test_without_a_value_the_reason_is_given_or_the_evaluation_ends(tmp_path: Path, metric: str, reason: str) -> None:
    assert reason in row(tmp_path, metric).skipped
    with pytest.raises(Missing, match=f"{metric} is required: .*{reason}"):
        row(tmp_path, metric, require=(metric,))


def test_a_bound_builds_only_what_it_bounds() -> None:
    Costly.built = 0
    choice = MetricChoice.of(["costly", "l1"])
    assert set(MetricCollection(choice, "source copied").metrics) == {"l1"} and Costly.built == 0
    assert set(MetricCollection(choice).metrics) == {"l1", "costly"} and Costly.built == 1


def test_a_source_in_colour_becomes_grey_as_everywhere_else() -> None:
    green = torch.tensor([-1.0, 1.0, -1.0]).view(1, 3, 1, 1)
    copied = match_channels(green, 1)
    assert copied is not None and copied.flatten().tolist() == pytest.approx([2 * 0.587 - 1])
    assert match_channels(torch.zeros(1, 4, 2, 2), 1) is None
