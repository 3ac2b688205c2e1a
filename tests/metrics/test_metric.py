"""The base of all metrics: what it takes in, keeps, and refuses."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from transfigure.metrics.metric import ImageMetric, Metric, State, stacked_alike


class Brightness(ImageMetric):
    """The mean of the prediction."""

    name = "brightness"
    label = "Brightness"
    better = "higher"

    def score(self, prediction: Tensor, target: Tensor) -> Tensor:
        assert prediction.dtype in (torch.float32, torch.float64) and not torch.is_grad_enabled()
        return prediction.flatten(1).mean(1)


def filled(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float32).view(-1, 1, 1, 1).expand(-1, 3, 2, 2)


def test_scores_and_names_are_kept_in_order_and_averaged() -> None:
    metric = Brightness()
    metric.update(filled(0.5, -0.5), filled(0, 0), names=("a", "b"))
    metric.update(filled(1.0), filled(0), names=["c"])
    metric.update(filled(0.25), filled(0))
    assert metric.scores == [0.5, -0.5, 1.0, 0.25]
    assert metric.names == ["a", "b", "c", "3"]
    assert metric.compute() == {"brightness": 0.3125}
    metric.reset()
    assert metric.scores == [] and metric.names == []


def test_the_mean_does_not_lose_small_scores_beside_large_ones() -> None:
    metric = Brightness()
    metric.scores = [1e16, 1.0, -1e16, 1.0]
    assert metric.compute() == {"brightness": 0.5}
    metric.scores = [math.inf, -math.inf]
    assert math.isnan(metric.compute()["brightness"])
    metric.scores = [0.0, math.nan]
    assert math.isnan(metric.compute()["brightness"])


def test_half_precision_is_lifted_and_gradients_are_left_behind() -> None:
    metric = Brightness()
    metric.update(filled(0.5).bfloat16().requires_grad_(), filled(0.0))
    assert metric.compute() == {"brightness": 0.5}


@pytest.mark.parametrize(
    ("prediction", "target", "names", "says"),
    [
        (torch.rand(3, 4, 4), torch.rand(3, 4, 4), None, "N, C, H, W"),
        (torch.rand(1, 3, 4, 4), torch.rand(1, 1, 4, 4), None, "one shape"),
        (torch.rand(2, 3, 4, 4), torch.rand(1, 3, 4, 4), None, "one shape"),
        (torch.rand(0, 3, 4, 4), torch.rand(0, 3, 4, 4), None, "at least one pixel"),
        (torch.zeros(1, 3, 4, 4, dtype=torch.uint8), torch.zeros(1, 3, 4, 4, dtype=torch.uint8), None, "uint8"),
        (torch.rand(2, 3, 4, 4), torch.rand(2, 3, 4, 4), ["a"], "as many names"),
        (torch.rand(2, 3, 4, 4), torch.rand(2, 3, 4, 4), "ab", "as many names"),
    ],
)
def test_what_cannot_be_compared_is_refused_and_leaves_no_trace(prediction: Tensor, target: Tensor, names, says: str) -> None:  # type: ignore[no-untyped-def]
    metric = Brightness()
    with pytest.raises(ValueError, match=says):
        metric.update(prediction, target, names)
    assert metric.scores == [] and metric.names == []


def test_a_metric_that_saw_nothing_says_so() -> None:
    with pytest.raises(ValueError, match="Brightness has seen no images"):
        Brightness().compute()


def test_the_base_is_abstract() -> None:
    for base in (Metric, ImageMetric):
        with pytest.raises(TypeError, match="abstract"):
            base()  # type: ignore[abstract]


class Sum(ImageMetric):
    """Remembers more than the state of its base."""

    name, label, better, perfect = "sum", "Sum", "lower", 0.0

    def score(self, prediction: Tensor, target: Tensor) -> Tensor:
        return (prediction - target).flatten(1).sum(1)

    def reset(self) -> None:
        super().reset()
        self.total = 0.0


class SumWithState(Sum):
    def state(self) -> State:
        return super().state() | {"total": self.total}

    def merge(self, state: State) -> None:
        super().merge(state)
        self.total += state["total"]


def test_a_metric_that_resets_more_than_its_state_holds_cannot_be_merged() -> None:
    assert not Sum.is_mergeable()
    assert SumWithState.is_mergeable()
    assert not Metric.is_mergeable()


def test_states_of_several_shapes_are_packed_by_neighbours() -> None:
    tensors = [*torch.rand(6, 2).unbind(), torch.rand(3), *torch.rand(2, 2).unbind()]
    packed = stacked_alike(tensors)
    assert [tuple(one.shape) for one in packed] == [(6, 2), (1, 3), (2, 2)]
    assert all(torch.equal(a, b) for a, b in zip(tensors, [one for several in packed for one in several.unbind()]))
    assert stacked_alike([]) == []
