"""Bootstrap intervals: deterministic, right on average, and honest at the edges."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from torch import Tensor

from transfigure.metrics import interval
from transfigure.metrics.interval import bootstrap_interval, bootstrap_of_sums, jackknife_interval, paired_difference

scores = st.lists(st.floats(-100, 100), min_size=1, max_size=20)


@given(scores, st.integers(0, 50))
def test_the_interval_lies_within_the_values_and_repeats(values: list[float], seed: int) -> None:
    low, high = bootstrap_interval(values, resamples=100, seed=seed)
    assert min(values) - 1e-9 <= low <= high <= max(values) + 1e-9
    assert bootstrap_interval(values, resamples=100, seed=seed) == (low, high)


def test_it_agrees_with_scipy_and_with_theory() -> None:
    values = np.random.default_rng(3).normal(5, 2, 400)
    low, high = bootstrap_interval(values)
    theirs = stats.bootstrap((values,), np.mean, method="percentile", n_resamples=5000, rng=np.random.default_rng(0)).confidence_interval
    assert (low, high) == pytest.approx((theirs.low, theirs.high), abs=0.03)
    half = 1.96 * values.std() / math.sqrt(len(values))
    assert (low, high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.03)


def test_it_holds_the_true_mean_about_as_often_as_it_says() -> None:
    random = np.random.default_rng(0)
    held = 0
    for trial in range(300):
        low, high = bootstrap_interval(random.exponential(1.0, 60), level=0.9, resamples=300, seed=trial)
        held += low <= 1 <= high
    assert 0.82 <= held / 300 <= 0.95


def test_more_confidence_is_wider_and_another_seed_differs() -> None:
    values = np.random.default_rng(1).normal(size=50)
    narrow, wide = bootstrap_interval(values, level=0.5), bootstrap_interval(values, level=0.99)
    assert wide[0] < narrow[0] < narrow[1] < wide[1]
    assert bootstrap_interval(values, seed=1) != bootstrap_interval(values, seed=2)


def test_drawing_in_chunks_does_not_repeat_the_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(1).normal(size=100)
    whole = bootstrap_interval(values)
    monkeypatch.setattr(interval, "_DRAWS_AT_ONCE", 700)
    assert bootstrap_interval(values) == whole


def test_one_value_is_its_own_interval() -> None:
    assert bootstrap_interval([0.37]) == (0.37, 0.37)


def test_values_that_are_not_finite_have_no_interval() -> None:
    for bad in (math.nan, math.inf):
        assert all(math.isnan(end) for end in bootstrap_interval([1.0, bad]))


def test_a_paired_difference_sees_what_two_intervals_hide() -> None:
    random = np.random.default_rng(0)
    images = random.normal(20, 5, 200)  # images differ far more than the two translators
    a, b = images + 0.3 + random.normal(0, 0.2, 200), images
    low, high = paired_difference(a, b)
    assert 0.25 < low < 0.3 < high < 0.35
    assert bootstrap_interval(a)[0] < bootstrap_interval(b)[1]
    assert paired_difference(b, a) == pytest.approx((-high, -low), abs=0.01)
    assert paired_difference(a, a) == (0, 0)


def test_what_has_no_interval_is_refused() -> None:
    with pytest.raises(ValueError, match="one value per image"):
        bootstrap_interval([])
    with pytest.raises(ValueError, match="one value per image"):
        bootstrap_interval(np.zeros((2, 2)))
    for level in (0, 1, 95, math.nan):
        with pytest.raises(ValueError, match="level"):
            bootstrap_interval([1.0, 2.0], level=level)
    with pytest.raises(ValueError, match="resamples"):
        bootstrap_interval([1.0, 2.0], resamples=0)
    with pytest.raises(ValueError, match="two scores of each image"):
        paired_difference([1.0], [1.0, 2.0])


def share(total: Tensor) -> dict[str, float]:
    return {"share": float(total[0] / total.sum()), "total": float(total.sum())}


def test_a_function_of_sums_is_resampled_by_images_not_by_counts() -> None:
    sums = [torch.tensor([right, 100 - right]) for right in np.random.default_rng(0).integers(0, 101, 80).tolist()]
    found = bootstrap_of_sums(sums, share)
    assert list(found) == ["share", "total"]
    assert found["share"] == pytest.approx(bootstrap_interval([float(t[0]) / 100 for t in sums]), abs=0.02)
    assert found["total"] == (8000, 8000)
    low, high = found["share"]
    assert high - low > 0.1, "8,000 independent counts would give 0.02"


def test_bootstrapped_sums_repeat_and_hold_the_truth_about_as_often_as_they_say() -> None:
    random = np.random.default_rng(1)
    sums = list(torch.from_numpy(random.poisson((3.0, 5.0), (20, 2))))
    assert bootstrap_of_sums(sums, share) == bootstrap_of_sums(sums, share) != bootstrap_of_sums(sums, share, seed=1)
    assert bootstrap_of_sums(sums[:1], share)["share"] == (share(sums[0])["share"],) * 2
    held = 0
    for trial in range(200):
        found = bootstrap_of_sums(list(torch.from_numpy(random.poisson((3.0, 5.0), (60, 2)))), share, 0.9, 200, trial)["share"]
        held += found[0] <= 3 / 8 <= found[1]
    assert 0.83 <= held / 200 <= 0.96


def test_sums_have_the_shape_of_one_state_and_no_states_are_refused() -> None:
    shapes = set()

    def compute(total: Tensor) -> dict[str, float]:
        shapes.add((tuple(total.shape), total.dtype))
        return {"trace": math.nan if total[0, 0] == 0 else float(total.trace())}

    assert bootstrap_of_sums([torch.eye(3, dtype=torch.int64)] * 4, compute, resamples=7) == {"trace": (12, 12)}
    assert shapes == {((3, 3), torch.float64)}
    assert all(map(math.isnan, bootstrap_of_sums([torch.zeros(3, 3)], compute, resamples=3)["trace"]))
    with pytest.raises(ValueError, match="at least one image"):
        bootstrap_of_sums([], share)


def mean_without(values: Tensor) -> dict[str, tuple[float, float]]:
    return jackknife_interval(len(values), {"mean": float(values.mean())}, lambda rows: {"mean": float(values[rows].mean())})


def test_the_jackknife_of_a_mean_is_the_standard_error_of_its_groups() -> None:
    """For a mean and groups of one size the jackknife is exact: it is the standard error of the groups' means."""
    values = torch.from_numpy(np.random.default_rng(0).normal(5, 2, 200))
    seen: list[Tensor] = []

    def without(kept: Tensor) -> dict[str, float]:
        seen.append(kept)
        return {"mean": float(values[kept].mean())}

    low, high = jackknife_interval(200, {"mean": float(values.mean())}, without)["mean"]
    left_out = [np.setdiff1d(np.arange(200), kept.numpy()) for kept in seen]
    assert sorted(np.concatenate(left_out)) == list(range(200)), "each image left out once"
    assert all(torch.equal(kept, kept.sort().values) for kept in seen)
    error = np.std([values[group].mean() for group in left_out], ddof=1) / math.sqrt(10)
    assert (high - low) / 2 == pytest.approx(stats.t.ppf(0.975, 9) * error, rel=1e-3)
    assert (high + low) / 2 == pytest.approx(float(values.mean()), rel=1e-12)


def test_the_quantiles_are_students() -> None:
    assert {freedom: pytest.approx(stats.t.ppf(0.975, freedom), abs=6e-4) for freedom in range(1, 10)} == interval._STUDENT


@pytest.mark.parametrize("n", [60, 23, 5])
def test_the_jackknife_holds_the_truth_about_as_often_as_it_says(n: int) -> None:
    random = np.random.default_rng(n)
    found = [mean_without(torch.from_numpy(random.normal(1, 1, n)))["mean"] for _ in range(400)]
    assert 0.91 <= sum(low <= 1 <= high for low, high in found) / 400 <= 0.985


def test_the_jackknife_of_few_images() -> None:
    assert all(mean_without(torch.ones(n)) == {} for n in range(1, 4))
    assert mean_without(torch.ones(4)) == {"mean": (1, 1)}
    values = torch.arange(30.0)
    assert mean_without(values) == mean_without(values)
    assert all(map(math.isnan, mean_without(torch.tensor([1.0, math.nan, 2, 3, 4, 5]))["mean"]))
