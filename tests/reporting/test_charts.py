from __future__ import annotations

import math
import re
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from transfigure.reporting.charts import (
    COLOURS,
    POINTS,
    Band,
    Curve,
    Dots,
    LineStyle,
    bands,
    curve,
    decimate,
    dots,
    histogram,
    on_common_places,
    overlay,
    running_mean,
    short,
    tick,
)

from .reading import texts


def wave(n: int) -> list[tuple[float, float]]:
    return [(50.0 * i, math.sin(i / 9) + 2) for i in range(n)]


def test_a_curve_is_small_well_formed_and_left_to_the_page_to_colour() -> None:
    svg = curve([Curve(wave(20_001)), Curve(wave(20_001), "orange")], "losses", images_per_epoch=100_000, level=0.5)
    assert len(svg) < 90_000
    assert svg.startswith('<svg viewBox="0 0 350 190"')
    assert "http" not in svg and "<metadata" not in svg
    assert not any(code in svg for code in COLOURS.values()) and "var(--blue)" in svg and "var(--orange)" in svg
    assert {"0", "500k", "1M"} <= set(texts(svg)), "images below, as text"
    assert "epoch 2" in texts(svg) and "10" in texts(svg), "epochs above"


def test_ids_differ_between_figures_and_every_reference_is_met() -> None:
    one, two = (curve([Curve(wave(100))], name) for name in ("one", "two"))
    ids = [set(re.findall(r'\bid="([^"]+)"', svg)) for svg in (one, two)]
    assert not ids[0] & ids[1]
    for svg, known in zip((one, two), ids):
        assert set(re.findall(r'(?:url\(|href=")#([^)"]+)', svg)) <= known


def test_the_same_points_give_the_same_svg() -> None:
    assert curve([Curve(wave(40))], "a") == curve([Curve(wave(40))], "a")


@pytest.mark.parametrize(
    "points", [[], [(0.0, math.nan)], [(10.0, 2.0)], [(10.0, 2.0), (20.0, 2.0)], [(0.0, 0.0)], [(1e12, 1e300), (2e12, -1e300)]]
)
def test_few_strange_or_no_points(points: list[tuple[float, float]]) -> None:
    svg = curve([Curve(points)], "few", images_per_epoch=7.0, smooth=False, best=10)
    assert ("no finite values" in texts(svg)) == (not any(abs(y) < 1e30 for _, y in points))


def test_a_far_spike_leaves_the_axis_and_is_named() -> None:
    points = wave(200)
    points[3] = (150.0, 5000.0)
    assert "↑ peak 5k" in texts(curve([Curve(points)], "spike"))
    assert not any("peak" in text for text in texts(curve([Curve(wave(200))], "calm")))


def test_the_best_is_ringed() -> None:
    plain, ringed = (curve([Curve(wave(20))], "v", smooth=False, best=best) for best in (None, 100.0))
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


# ---- several variants ------------------------------------------------------------------------------------------------------


def test_seeds_are_laid_on_common_places() -> None:
    x, table = on_common_places([[(1, 1.0), (2, 2.0), (3, 3.0)], [(1, 3.0), (2, math.nan), (3, 5.0)], [(1, 5.0), (2, 5.0)]])
    assert x.tolist() == [1, 2, 3]
    np.testing.assert_array_equal(table, [[1, 2, 3], [3, math.nan, 5], [5, 5, math.nan]])
    _, other = on_common_places([[(0, 0.0), (4, 4.0)], [(0, 0.0), (1, 1.0), (2, 5.0), (4, 7.0)]])
    np.testing.assert_array_equal(other, [[0, 1, 2, 4], [0, 1, 5, 7]], "a log of another rhythm is bridged")


def test_a_long_log_is_averaged_over_stretches() -> None:
    points = [(float(at), float(at)) for at in range(1, 12_001)]
    x, table = on_common_places([points, [(at, y + 100) for at, y in points[:6000]]], smooth=False)
    assert table.shape == (2, 120)
    np.testing.assert_allclose(table[0], x + 0.5)
    np.testing.assert_allclose(table[1, :60], x[:60] + 100.5)
    assert np.isnan(table[1, 60:]).all(), "where a run has ended it has no more part in the mean"
    lost = [(at, math.nan if 3000 <= at <= 4000 else y) for at, y in points]
    assert np.isnan(on_common_places([lost], smooth=False)[1][0][31:39]).all()


def test_bands_are_small_and_named_apart() -> None:
    seeds = [[(50.0 * at, math.sin(at / 50) + seed) for at in range(20_000)] for seed in range(3)]
    svg = bands([Band(LineStyle.of(0), seeds), Band(LineStyle.of(5), seeds[:1])], "wave", images_per_epoch=250_000)
    ElementTree.fromstring(svg.replace("xlink:href", "href"))
    assert len(svg) < 25_000 and "var(--blue)" in svg and "var(--sky)" in svg
    assert svg.count("<use") >= 1 and "fill-opacity: 0.16" in svg
    assert {"0", "500k", "1M", "epoch 1"} <= set(texts(svg))


def test_means_far_apart_get_a_logarithmic_axis() -> None:
    far = [Band(LineStyle.of(0), [[(1, 100.0), (2, 90.0)]]), Band(LineStyle.of(1), [[(1, 0.5), (2, 0.4)]])]
    assert {"1", "10", "100"} <= set(texts(bands(far, "far", wide=True)))
    assert {"0", "50", "100"} <= set(texts(bands(far, "plain")))
    below = [*far, Band(LineStyle.of(2), [[(1, -1.0), (2, 0.0)]])]
    assert "0" in texts(bands(below, "below", wide=True))


@pytest.mark.parametrize("value", [math.nan, math.inf, 1e300, 0.0, -5.0])
def test_figures_bear_any_value(value: float) -> None:
    for svg in (
        bands([Band(LineStyle.of(0), [[(1, value), (2, value)], [(1, 1.0)]]), Band(LineStyle.of(1), [])], "any"),
        bands([Band(LineStyle.of(0), [[(1, value)]])], "wide", wide=True),
        overlay([(LineStyle.of(0), [(0.1, value), (0.2, 1.0)])], "over", target=[(0.1, value)], logarithmic=True),
        overlay([(LineStyle.of(0), [(0.1, value)])], "level", level=0.0),
    ):
        ElementTree.fromstring(svg.replace("xlink:href", "href"))


def test_dots_show_every_seed_and_cut_long_names() -> None:
    rows = [
        Dots("objective.terms.l1.weight=1000", LineStyle.of(0), [0.1, 0.2], 0.15, (-5.0, 5.3)),
        Dots("objective.terms.l1.weight=1", LineStyle.of(1), [0.3], 0.3, None),
    ]
    svg = dots(rows, "dots", level=1.0)
    said = [text for text in texts(svg) if "…" in text]
    assert said == ["…e.terms.l1.weight=1000", "…tive.terms.l1.weight=1"] or len(set(said)) == 2
    same = [Dots("x" * 30 + str(at) + "y" * 30, LineStyle.of(at), [0.5], 0.5, None) for at in range(2)]
    assert [text[:2] for text in texts(dots(same, "same")) if "…" in text] == ["1.", "2."]


@pytest.mark.parametrize(
    ("ticks", "labels"),
    [
        ([0.17471, 0.17473, 0.17475], ["0.17471", "0.17473", "0.17475"]),
        ([0.5, 1.0], ["0.5", "1"]),
        ([1_234_500, 1_234_600], ["1.2345M", "1.2346M"]),
        ([2.0001e-4, 2.0002e-4], ["2.0001e−4", "2.0002e−4"]),
        ([0.1 + 0.2, 0.4, 1e-17], ["0.3", "0.4", "0"]),
    ],
)
def test_ticks_are_told_apart(ticks: list[float], labels: list[str]) -> None:
    assert [tick(each) for each in ticks] == labels


def test_dots_near_each_other_have_an_axis_that_says_where() -> None:
    rows = [Dots("a", LineStyle.of(0), [0.17472], 0.17472, None), Dots("b", LineStyle.of(1), [0.17474], 0.17474, None)]
    found = [text for text in texts(dots(rows, "near")) if text.startswith("0.17")]
    assert len(found) > 2 and len({*found}) == len(found)


def test_tick_labels_keep_their_digits() -> None:
    values = [text for text in texts(bands([Band(LineStyle.of(0), [[(1, 0.4251), (2, 0.4259)]])], "fine")) if text.startswith("0.42")]
    assert any(len(text) > 4 for text in values), "coordinates are rounded, words are not"
