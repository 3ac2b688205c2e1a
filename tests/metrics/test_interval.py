"""Bootstrap intervals: deterministic, right on average, and honest at the edges."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from transfigure.metrics import interval
from transfigure.metrics.interval import bootstrap_interval, paired_difference

scores = st.lists(st.floats(-100, 100), min_size=1, max_size=20)


@settings(deadline=None)
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
