"""Collapse, and variety: known on pictures made for it, and against the definitions written out."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from torch import Tensor

from transfigure.errors import Skipped
from transfigure.metrics import dependence
from transfigure.metrics.dependence import GRID, Dependence, Diversity, mean_difference
from transfigure.metrics.interval import jackknife_interval
from transfigure.metrics.metric import TARGET_ITSELF, MetricContext

VARIATION, NEAREST = "variation_across_inputs", "own_target_nearest"


def pictures(n: int, channels: int = 3, size: int = GRID, seed: int = 0) -> Tensor:
    return torch.rand(n, channels, size, size, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def seen(outputs: Tensor, targets: Tensor) -> Dependence:
    metric = Dependence()
    metric.update(outputs, targets)
    return metric


def values(outputs: Tensor, targets: Tensor) -> dict[str, float]:
    return seen(outputs, targets).compute()


def test_mean_difference_is_over_all_pairs() -> None:
    x = torch.randn(7, 3, 4, generator=torch.Generator().manual_seed(0))
    pairs = torch.stack([(x[i] - x[j]).abs() for i, j in itertools.combinations(range(7), 2)]).double()
    assert torch.allclose(mean_difference(x), pairs.mean(0), atol=1e-6)
    assert (mean_difference(torch.full((9, 5), 0.1)) == 0).all()
    assert torch.equal(mean_difference(x), mean_difference(x.flip(0)))


@pytest.mark.parametrize("rows", [512, 4])
def test_the_values_are_the_definitions(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dependence, "_ROWS_AT_ONCE", rows)
    targets = pictures(11)
    outputs = 0.06 * targets + 0.9 * pictures(11, seed=1)
    g, y = outputs.double().flatten(1).numpy(), targets.double().flatten(1).numpy()
    pairs = list(itertools.permutations(range(11), 2))
    variation = np.mean([np.abs(g[i] - g[j]).mean() for i, j in pairs]) / np.mean([np.abs(y[i] - y[j]).mean() for i, j in pairs])
    nearest = np.mean([np.abs(g[i] - y[i]).mean() < np.abs(g[i] - y[j]).mean() for i, j in pairs])
    assert 0.5 < nearest < 1
    assert values(outputs, targets) == {VARIATION: pytest.approx(variation, rel=1e-5), NEAREST: pytest.approx(nearest)}


@pytest.mark.parametrize("channels", [1, 3, 5])
def test_one_picture_for_every_input_is_a_collapse(channels: int) -> None:
    targets = pictures(9, channels, size=50)
    for picture in (pictures(1, channels, size=50, seed=1), targets.mean(0, keepdim=True), targets[:1]):
        assert values(picture.expand_as(targets), targets) == {VARIATION: 0, NEAREST: 0.5}


def test_the_targets_are_as_varied_as_themselves() -> None:
    targets = pictures(9)
    metric = seen(targets, targets)
    assert metric.compute() == {VARIATION: 1, NEAREST: 1}
    assert metric.bounds() == {TARGET_ITSELF: metric.compute()}


def test_targets_that_occur_twice_can_only_tie() -> None:
    targets = pictures(4)[[0, 1, 2, 3, 0, 0]]
    metric = seen(targets, targets)
    assert metric.compute()[NEAREST] == pytest.approx(1 - 6 / 30 / 2)
    assert metric.bounds()[TARGET_ITSELF] == pytest.approx(metric.compute())


def test_faint_outputs_vary_little_but_know_their_input() -> None:
    targets = pictures(12)
    assert values(0.1 * targets, targets) == {VARIATION: pytest.approx(0.1, rel=1e-5), NEAREST: 1}


def test_others_outputs_vary_as_much_but_do_not_know_their_input() -> None:
    targets = pictures(12)
    shuffles = [values(targets.roll(by, 0), targets) for by in range(1, 12)]
    assert [found[VARIATION] for found in shuffles] == pytest.approx([1] * 11)
    assert np.mean([found[NEAREST] for found in shuffles]) == pytest.approx(5 / 11)  # 1 of 11 is hit exactly, and the other 10 are luck
    unrelated = values(pictures(200, seed=5), pictures(200))
    assert unrelated[NEAREST] == pytest.approx(0.5, abs=0.05)


def test_texture_is_not_seen() -> None:
    targets = pictures(6).repeat_interleave(8, -1).repeat_interleave(8, -2) * 0.5
    checks = torch.ones(8, 8)
    checks[::2, ::2] = checks[1::2, 1::2] = -1
    assert values(targets + 0.4 * checks.repeat(GRID, GRID), targets) == pytest.approx({VARIATION: 1, NEAREST: 1}, rel=1e-5)


def test_sizes_may_differ_and_small_images_count() -> None:
    metric = Dependence()
    for size in (1, 5, 16, 33, 100):
        image = pictures(1, size=size, seed=size)
        metric.update(image, image)
    assert metric.compute() == {VARIATION: 1, NEAREST: 1}


def test_neither_order_nor_batches_matter() -> None:
    targets = pictures(8, size=40)
    outputs = 0.3 * targets + 0.3 * pictures(8, size=40, seed=1)
    metric = Dependence()
    for i in (5, 2, 7, 0, 1, 6, 3, 4):
        metric.update(outputs[i : i + 1], targets[i : i + 1])
    assert metric.compute() == values(outputs, targets)


def test_the_interval_holds_the_value_and_is_narrower_with_more_images() -> None:
    def interval(n: int) -> dict[str, tuple[float, float]]:
        targets = pictures(n) * torch.linspace(0.2, 1, n)[torch.randperm(n, generator=torch.Generator().manual_seed(0))].view(-1, 1, 1, 1)
        metric = seen(0.05 * targets + pictures(n, seed=1), targets)
        for name, (low, high) in metric.interval().items():
            assert 0 <= low < metric.compute()[name] < high
        assert metric.interval()[NEAREST][1] <= 1
        return metric.interval()

    few, many = interval(20), interval(200)
    for name in (VARIATION, NEAREST):
        assert many[name][1] - many[name][0] < few[name][1] - few[name][0]
    assert seen(pictures(3), pictures(3, seed=1)).interval() == {}


def test_who_leaves_takes_all_its_pairs_along() -> None:
    targets = pictures(12)
    outputs = 0.06 * targets + 0.9 * pictures(12, seed=1)
    again = jackknife_interval(12, values(outputs, targets), lambda kept: values(outputs[kept], targets[kept]))
    low, high = again[NEAREST]
    assert seen(outputs, targets).interval() == {VARIATION: pytest.approx(again[VARIATION]), NEAREST: pytest.approx((low, min(high, 1)))}


def test_an_interval_that_cannot_be_had_is_left_out() -> None:
    targets = pictures(1).repeat(8, 1, 1, 1)
    targets[3] = 0  # without this one, all targets are the same
    metric = seen(pictures(8, seed=1), targets)
    assert all(map(math.isfinite, metric.compute().values()))
    assert metric.interval() == {}


def test_all_pairs_are_compared_once(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    compare = dependence._compare_all_pairs
    monkeypatch.setattr(
        dependence, "_compare_all_pairs", lambda outputs, targets: (calls.append(len(outputs)), compare(outputs, targets))[1]
    )
    metric = seen(pictures(6, seed=1), pictures(6))
    first = metric.compute(), metric.interval()
    assert (metric.compute(), metric.interval()) == first and calls == [6]
    metric.update(pictures(2, seed=2), pictures(2, seed=3))
    assert metric.compute() != first[0] and calls == [6, 8]
    metric.reset()
    metric.update(pictures(6, seed=1), pictures(6))
    assert (metric.compute(), metric.interval()) == first and calls == [6, 8, 6]


def test_few_images_are_unsure() -> None:
    assert "of 19 images" in seen(pictures(19), pictures(19)).caution()
    assert seen(pictures(20), pictures(20)).caution() == ""


def test_what_cannot_be_said_is_skipped() -> None:
    with pytest.raises(Skipped, match="here is 1"):
        values(pictures(1), pictures(1))
    with pytest.raises(Skipped, match="the same picture"):
        values(pictures(4), pictures(1).expand(4, -1, -1, -1))
    metric = seen(pictures(2), pictures(2))
    metric.update(pictures(1, channels=1), pictures(1, channels=1))
    with pytest.raises(Skipped, match="differ in channels"):
        metric.compute()


def test_outputs_that_are_no_numbers_have_no_values() -> None:
    outputs = pictures(4)
    outputs[2, 0, 0, 0] = math.nan
    assert all(map(math.isnan, values(outputs, pictures(4)).values()))


# ---- diversity ----------------------------------------------------------------------------------------------------------


def test_diversity_is_the_mean_over_pairs_of_samples_on_the_scale_of_files() -> None:
    samples = torch.stack([pictures(4, seed=seed) for seed in range(5)])
    metric = Diversity()
    metric.update(samples[0], pictures(4), context=MetricContext(samples=samples))
    pairs = list(itertools.combinations(range(5), 2))
    each = [np.mean([(samples[s, i] - samples[t, i]).abs().mean().item() / 2 for s, t in pairs]) for i in range(4)]
    assert metric.scores == pytest.approx(each, rel=1e-5)
    assert metric.compute() == {"diversity": pytest.approx(np.mean(each), rel=1e-5)}
    low, high = metric.interval()["diversity"]
    assert min(each) - 1e-6 <= low < metric.compute()["diversity"] < high <= max(each) + 1e-6


def test_black_and_white_samples_are_the_most_diverse_and_equal_ones_not_at_all() -> None:
    metric, images = Diversity(), torch.ones(1, 3, 4, 4)
    metric.update(images, images, context=MetricContext(samples=torch.stack([images, -images])))
    metric.update(images, images, context=MetricContext(samples=torch.stack([images, images, images]) * 0.3))
    assert metric.scores == [1.0, 0.0]


def test_batches_without_samples_contribute_nothing_and_are_owned_up_to() -> None:
    metric, images = Diversity(), pictures(3)
    with pytest.raises(ValueError, match="no images"):
        metric.compute()
    metric.update(images, images)
    assert metric.caution() == ""
    for ask in (metric.compute, metric.interval):
        with pytest.raises(Skipped, match="no second sample was drawn"):
            ask()
    metric.update(images[:2], images[:2], context=MetricContext(samples=torch.stack([images[:2], images[1:]])))
    assert metric.caution() == "on 2 of 5 images"
    assert len(metric.scores) == 2
    metric.reset()
    metric.update(images, images, context=MetricContext(samples=torch.stack([images, -images])))
    assert metric.caution() == ""


def test_samples_that_do_not_fit_are_refused_and_leave_no_trace() -> None:
    metric, images = Diversity(), pictures(3)
    for bad in (images[None], images, torch.stack([images, images]).repeat(1, 2, 1, 1, 1), torch.stack([images, images])[..., :-1]):
        with pytest.raises(ValueError, match="at least two samples"):
            metric.update(images, images, context=MetricContext(samples=bad))
    with pytest.raises(ValueError, match="no images"):
        metric.compute()
