from __future__ import annotations

import math
import re
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from transfigure.reporting.curves import COLOURS, POINTS, Line, curve, decimate, histogram, running_mean, short


def wave(n: int) -> list[tuple[float, float]]:
    return [(50.0 * i, math.sin(i / 9) + 2) for i in range(n)]


def texts(svg: str) -> list[str]:
    return [node.text or "" for node in ElementTree.fromstring(svg.replace("xlink:href", "href")).iter("text")]


def test_a_curve_is_small_well_formed_and_left_to_the_page_to_colour() -> None:
    svg = curve([Line(wave(20_001)), Line(wave(20_001), "orange")], "losses", images_per_epoch=100_000, level=0.5)
    assert len(svg) < 90_000
    assert svg.startswith('<svg viewBox="0 0 350 190"')
    assert "http" not in svg and "<metadata" not in svg
    assert not any(code in svg for code in COLOURS.values()) and "var(--blue)" in svg and "var(--orange)" in svg
    assert {"0", "500k", "1M"} <= set(texts(svg)), "images below, as text"
    assert "epoch 2" in texts(svg) and "10" in texts(svg), "epochs above"


def test_ids_differ_between_figures_and_every_reference_is_met() -> None:
    one, two = (curve([Line(wave(100))], name) for name in ("one", "two"))
    ids = [set(re.findall(r'\bid="([^"]+)"', svg)) for svg in (one, two)]
    assert not ids[0] & ids[1]
    for svg, known in zip((one, two), ids):
        assert set(re.findall(r'(?:url\(|href=")#([^)"]+)', svg)) <= known


def test_the_same_points_give_the_same_svg() -> None:
    assert curve([Line(wave(40))], "a") == curve([Line(wave(40))], "a")


@pytest.mark.parametrize(
    "points", [[], [(0.0, math.nan)], [(10.0, 2.0)], [(10.0, 2.0), (20.0, 2.0)], [(0.0, 0.0)], [(1e12, 1e300), (2e12, -1e300)]]
)
def test_few_strange_or_no_points(points: list[tuple[float, float]]) -> None:
    svg = curve([Line(points)], "few", images_per_epoch=7.0, smooth=False, best=10)
    assert ("no finite values" in texts(svg)) == (not any(abs(y) < 1e30 for _, y in points))


def test_a_far_spike_leaves_the_axis_and_is_named() -> None:
    points = wave(200)
    points[3] = (150.0, 5000.0)
    assert "↑ peak 5k" in texts(curve([Line(points)], "spike"))
    assert not any("peak" in text for text in texts(curve([Line(wave(200))], "calm")))


def test_the_best_is_ringed() -> None:
    plain, ringed = (curve([Line(wave(20))], "v", smooth=False, best=best) for best in (None, 100.0))
    assert ringed.count("var(--orange)") > plain.count("var(--orange)") == 0


def test_a_histogram_holds_every_value() -> None:
    svg = histogram([1.0] * 30 + [2.0] * 10, "h")
    assert "30" in texts(svg) and len(svg) < 20_000


def test_a_histogram_names_its_ends_if_it_has_two() -> None:
    ranked = texts(histogram([0.1, 0.2, 0.3, 0.5] * 4, "h", ("worst", "best")))
    assert {"worst", "best"} <= set(ranked)
    assert "worst" not in texts(histogram([0.1, 0.5] * 4, "h")) and "worst" not in texts(histogram([0.5] * 8, "h", ("worst", "best")))


@pytest.mark.parametrize("values", [[0.0] * 8, [1e16, 1e16 + 2] * 4, [1e300, -1e300] * 4, [1e-300] * 7 + [2e-300]])
def test_histograms_of_strange_values(values: list[float]) -> None:
    assert histogram(values, "h").startswith("<svg")
    assert histogram(values, "h", ("worst", "best")).startswith("<svg")


numbers = st.floats(-1e6, 1e6) | st.just(math.nan)


@given(st.lists(numbers, min_size=1, max_size=3000))
def test_decimation_keeps_extremes_and_order(values: list[float]) -> None:
    y = np.array(values)
    x = np.arange(len(y), dtype=float)
    few_x, few_y = decimate(x, y)
    assert len(few_x) == len(few_y) <= POINTS
    assert np.all(np.diff(few_x) > 0)
    np.testing.assert_array_equal(y[few_x.astype(int)], few_y)
    if np.isfinite(y).any():
        assert np.nanmin(few_y) == np.nanmin(y) and np.nanmax(few_y) == np.nanmax(y)


@given(st.lists(numbers, min_size=1, max_size=200))
def test_the_running_mean_stays_between_extremes_and_keeps_gaps(values: list[float]) -> None:
    y = np.array(values)
    smooth = running_mean(y)
    np.testing.assert_array_equal(np.isnan(smooth), np.isnan(y))
    if np.isfinite(y).any():
        slack = 1e-9 * (1 + np.nanmax(np.abs(y)))
        assert np.nanmin(smooth) >= np.nanmin(y) - slack and np.nanmax(smooth) <= np.nanmax(y) + slack


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (48_000, "48k"), (1_200_000, "1.2M"), (0.05, "0.05"), (-3, "−3"), (2e-4, "2e−4"), (1.5e-4, "1.5e−4"), (1e-17, "0")],
)
def test_tick_labels(value: float, text: str) -> None:
    assert short(value) == text
