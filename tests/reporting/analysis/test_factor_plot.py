from __future__ import annotations

import io
import itertools
import math
import re

import numpy as np
import pytest
from PIL import Image

from transfigure.reporting.analysis.factor_plot import HEIGHT, WIDTH, _common, _places, factor_plot, factor_png
from transfigure.reporting.charts import COLOURS

from ..reading import texts
from .example import SOME, result


def test_a_figure_is_small_well_formed_and_left_to_the_page_to_colour() -> None:
    svg = factor_plot(SOME)
    assert len(svg) < 60_000 and svg.startswith(f'<svg viewBox="0 0 {WIDTH} {HEIGHT}"')
    assert "http" not in svg and "<metadata" not in svg
    assert not any(code in svg for code in COLOURS.values())
    assert {"place", "tint", "stripes", "preserved", "in both domains", "in the source only", "in the target only"} <= {*texts(svg)}
    assert all(f"var(--{colour})" in svg for colour in ("blue", "orange", "green", "ink", "rule"))
    assert factor_plot(SOME) == svg, "the same results, the same figure"


def test_the_key_names_only_what_is_there() -> None:
    svg = factor_plot(SOME[:1])
    assert "in both domains" in texts(svg) and "in the target only" not in texts(svg) and "var(--green)" not in svg


def test_ids_differ_between_figures_and_every_reference_is_met() -> None:
    one, two = (factor_plot(SOME, name) for name in ("one", "two"))
    ids = [{*re.findall(r'\bid="([^"]+)"', svg)} for svg in (one, two)]
    assert not ids[0] & ids[1]
    for svg, known in zip((one, two), ids):
        assert {*re.findall(r'(?:url\(|href=")#([^)"]+)', svg)} <= known


def test_a_picture_is_on_white_and_shows_the_colours() -> None:
    picture = Image.open(io.BytesIO(factor_png(SOME, 1.0)))
    assert picture.size == (WIDTH, HEIGHT)
    colours = {colour for _, colour in picture.convert("RGB").getcolors(1 << 20)}
    assert picture.convert("RGB").getpixel((2, 250)) == (255, 255, 255)
    assert {tuple(bytes.fromhex(COLOURS[name][1:])) for name in ("blue", "orange", "green")} <= colours
    assert factor_png(SOME, 1.0) == factor_png(SOME, 1.0)


def test_a_better_value_stands_further_to_the_right_and_higher() -> None:
    def dot(preserved: float, generated: float) -> tuple[float, float]:
        """The middle of the blue marks of one factor's picture; its bounds are the same in all."""
        picture = Image.open(io.BytesIO(factor_png([result("i", preserved, generated)], 1.0))).convert("RGB")
        blue = tuple(bytes.fromhex(COLOURS["blue"][1:]))
        found = [(x, y) for x, y in itertools.product(range(60, WIDTH), range(60, HEIGHT)) if picture.getpixel((x, y)) == blue]
        return sum(x for x, _ in found) / len(found), sum(y for _, y in found) / len(found)

    low, right, high = dot(0.3, 0.3), dot(0.6, 0.3), dot(0.3, 0.6)
    assert right[0] - low[0] == pytest.approx(0.3 * 594, abs=25) and abs(right[1] - low[1]) < 8
    assert low[1] - high[1] == pytest.approx(0.3 * 350, abs=25) and abs(high[0] - low[0]) < 8


@pytest.mark.parametrize("at", [(0.0, 1.0), (1.0, 0.0), (0.0, 0.0), (1.0, 1.0), (0.5, 0.5)])
def test_names_of_crowded_dots_do_not_cover_each_other(at: tuple[float, float]) -> None:
    names = ["texture", "palette", "line", "background", "fill", "shade", "number", "x", "y", "size"]
    x, y = 50 + 600 * at[0], 70 + 350 * at[1]
    dots = [(x - 5, y - 5 - i, x + 5, y + 5 - i) for i in range(len(names))]
    boxes = _places(names, dots, [])
    assert len(boxes) == len(names)
    for one, other in itertools.combinations(boxes, 2):
        assert _common(np.array([one]), [other]) == 0
    for box, dot in itertools.product(boxes, dots):
        assert _common(np.array([box]), [dot]) == 0
    assert all(box[0] >= 0 and box[2] <= WIDTH and box[1] >= 0 and box[3] <= HEIGHT for box in boxes)


def test_strange_results() -> None:
    assert factor_plot([]).startswith("<svg")
    svg = factor_plot([result("a$x_1$ <b> & " + "é" * 40, 0.5, 0.5), result("gone", math.nan, 0.5)])
    assert any(text.startswith("a$x_1$ <b> & é") and text.endswith("…") for text in texts(svg)) and "gone" not in texts(svg)
