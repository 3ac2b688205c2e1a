"""Every chart of the pages, as inline SVG: a few kilobytes each, text as text, colours left to the page so that dark mode is readable.

Every chart is drawn at the width it is read at (350 units), on a laptop three in a row, on a phone one below the other. Variants are told
apart by colour and, from the fifth on, by dashes too; the key is the page's.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullLocator
from numpy.typing import NDArray

from ..errors import printable

Array = NDArray[np.float64]
POINTS = 600
WIDTH, HEIGHT = 350, 190
HUGE = 1e30  # beyond it an axis has no meaning: treated as not finite

# Okabe and Ito's palette, told apart by colour-blind readers. In the page each becomes var(--name), which dark mode redefines.
COLOURS = {
    **{"blue": "#0072b2", "orange": "#d55e00", "green": "#009e73", "purple": "#cc79a7"},
    **{"amber": "#e69f00", "sky": "#56b4e9", "brown": "#7a4b2a", "olive": "#6b7a12"},
    **{"ink": "#5b6470", "rule": "#dfe3e8"},
}
STYLE: Any = {"svg.fonttype": "none", "svg.hashsalt": "transfigure", "font.size": 10.5}
HUES = ("blue", "orange", "green", "purple", "amber", "sky", "brown", "olive")
DASHES: tuple[str | tuple[int, tuple[float, ...]], ...] = ("-", (0, (5, 2)), (0, (1.5, 1.5)), (0, (6, 2, 1.5, 2)))
FAR = 30
"""Means further apart than this factor would flatten each other on a plain axis."""
LABEL = 24
"""Letters of a variant's name beside a figure."""
FAINT = 0.28
"""How much of what was logged shows behind its running mean."""
PLACES = 120
"""Points of a mean line at most; a longer log is averaged over as many stretches."""


@dataclass(frozen=True)
class Chart:
    """An SVG with its title, a remark and a key of (colour, words)."""

    title: str
    svg: Markup
    note: str = ""
    key: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class LineStyle:
    """How a variant is drawn everywhere: the name of a colour, and which of DASHES."""

    colour: str
    dash: int = 0

    @classmethod
    def of(cls, position: int) -> LineStyle:
        """Of the n-th variant: four colours in full lines, four more dashed, then the same colours in other dashes."""
        return cls(HUES[position % len(HUES)], (position // 4) % len(DASHES))


@dataclass(frozen=True)
class Curve:
    """A quantity over images seen; y may be NaN where it was not finite."""

    points: Sequence[tuple[float, float]]
    colour: str = "blue"


@dataclass(frozen=True)
class Band:
    """A quantity over images seen, once per seed; y may be NaN where it was not finite."""

    style: LineStyle
    seeds: Sequence[Sequence[tuple[float, float]]]


@dataclass(frozen=True)
class Dots:
    """One variant's values of one metric: a dot per seed, the mean, and the interval if there is one."""

    label: str
    style: LineStyle
    seeds: Sequence[float]
    mean: float
    interval: tuple[float, float] | None


def curve(
    lines: Sequence[Curve],
    name: str,
    *,
    smooth: bool = True,
    images_per_epoch: float | None = None,
    level: float | None = None,
    best: float | None = None,
    floor: bool = False,
) -> str:
    """Lines over images seen, as an ``<svg>``.

    Args:
        lines: what to draw; each with its raw values faint and, if ``smooth``, their running mean over them.
        name: unique on the page, [a-z0-9-]; it prefixes the ids inside the SVG.
        smooth: False draws the values themselves, with dots where there are few.
        images_per_epoch: where epochs end, for the ticks at the top.
        level: a dashed horizontal reference line.
        best: images seen at the point to be marked as the best.
        floor: start the axis at 0.
    """
    with mpl.rc_context(STYLE):
        figure, axes = canvas()
        drawn: list[Array] = []
        for line in lines:
            x, y = np.asarray(line.points, np.float64).reshape(-1, 2).T
            y = np.where(np.abs(y) < HUGE, y, math.nan)
            colour = COLOURS[line.colour]
            drawn.append(y)
            if smooth and len(x) > 12:
                axes.plot(*decimate(x, y), color=colour, alpha=FAINT, linewidth=0.8, solid_joinstyle="round")
                axes.plot(*decimate(x, running_mean(y)), color=colour, linewidth=1.7)
            else:
                axes.plot(*decimate(x, y), color=colour, linewidth=1.5, marker="o" if len(x) <= 60 else "", markersize=2.6)
            if best is not None and (at := np.flatnonzero((x == best) & np.isfinite(y))).size:
                axes.plot(
                    x[at[-1]],
                    y[at[-1]],
                    marker="o",
                    markersize=9,
                    markerfacecolor="none",
                    markeredgecolor=COLOURS["orange"],
                    markeredgewidth=1.8,
                )
        if level is not None:
            axes.axhline(level, color=COLOURS["ink"], linewidth=0.9, linestyle=(0, (4, 3)))
        fit_height(axes, np.concatenate(drawn) if drawn else np.empty(0), level, floor)
        last = max((point[0] for line in lines for point in line.points), default=1.0) or 1.0
        fit_width(axes, last, images_per_epoch)
        return inline(figure, name)


def histogram(values: Sequence[float], name: str, ends: tuple[str, str] | None = None) -> str:
    """Per-image scores as bars, with a dashed line at the median, as an ``<svg>``.

    Args:
        values: at least one.
        name: unique on the page, as for :func:`curve`.
        ends: words for the lowest and the highest value, written above them.
    """
    with mpl.rc_context(STYLE):
        figure, axes = canvas(height=140, head=22 if ends else 8)
        data = np.clip(np.asarray(values, np.float64), -HUGE, HUGE)
        varied = np.ptp(data) > 1e-9 * np.abs(data).max()
        bins = int(np.clip(round(2 * len(data) ** 0.5), 6, 30)) if varied else 1
        axes.hist(data, bins=bins, color=COLOURS["blue"], alpha=0.75, rwidth=0.92)
        axes.axvline(float(np.median(data)), color=COLOURS["orange"], linewidth=1.6, linestyle=(0, (4, 2)))
        axes.yaxis.set_major_locator(MaxNLocator(3, integer=True))
        axes.xaxis.set_major_locator(MaxNLocator(6))
        axes.xaxis.set_major_formatter(FuncFormatter(tick))
        for at, words, side in zip((data.min(), data.max()), ends if ends and varied else (), ("left", "right")):
            axes.axvline(float(at), color=COLOURS["ink"], linewidth=0.9)
            axes.annotate(words, (float(at), 1), (0, 3), axes.get_xaxis_transform(), "offset points", ha=side, color=COLOURS["ink"])
        return inline(figure, name)


def bands(
    variants: Sequence[Band],
    name: str,
    *,
    smooth: bool = True,
    images_per_epoch: float | None = None,
    level: float | None = None,
    wide: bool = False,
) -> str:
    """Variants over images seen: the mean over seeds as a line, from the lowest to the highest seed as a band.

    Args:
        variants: what to draw.
        name: unique on the page, [a-z0-9-]; it prefixes the ids inside the SVG.
        smooth: draw each seed's running mean instead of its values.
        images_per_epoch: where epochs end, for the ticks at the top.
        level: a dashed horizontal reference line.
        wide: make the axis logarithmic if the means lie far apart and none is 0 or less.
    """
    with mpl.rc_context(STYLE):
        figure, axes = canvas()
        drawn, last = [], 1.0
        for variant in variants:
            x, table = on_common_places(variant.seeds, smooth)
            if not x.size:
                continue
            low, mean, high = _spread(table)
            colour = COLOURS[variant.style.colour]
            if len(table) > 1:
                axes.fill_between(x, low, high, color=colour, alpha=0.16, linewidth=0)
            dots = "o" if len(x) <= 30 else ""
            axes.plot(x, mean, color=colour, linewidth=1.6, linestyle=DASHES[variant.style.dash], marker=dots, markersize=2.4)
            drawn += [low, mean, high]
            last = max([last, *(seen for points in variant.seeds for seen, _ in points)])
        if level is not None:
            axes.axhline(level, color=COLOURS["ink"], linewidth=0.9, linestyle=(0, (4, 3)))
        everywhere = np.concatenate(drawn) if drawn else np.empty(0)
        finite = everywhere[np.isfinite(everywhere)]
        if wide and finite.size and finite.max() > FAR * finite.min() > 0:
            _logarithmic(axes, finite)
        else:
            fit_height(axes, everywhere, level, floor=False)
        fit_width(axes, last, images_per_epoch)
        return _rounded(inline(figure, name))


def overlay(
    lines: Sequence[tuple[LineStyle, Sequence[tuple[float, float]]]],
    name: str,
    *,
    target: Sequence[tuple[float, float]] = (),
    level: float | None = None,
    step: bool = False,
    logarithmic: bool = False,
) -> str:
    """Plain lines beside the targets' own, such as spectra or histograms, as an ``<svg>``.

    Args:
        lines: each variant's (x, y); y may be NaN.
        name: unique on the page, as for :func:`bands`.
        target: the same of the targets, drawn thick and grey beneath.
        level: a dashed horizontal reference line.
        step: draw stairs, as of a histogram.
        logarithmic: the y axis.
    """
    with mpl.rc_context(STYLE):
        figure, axes = canvas(head=8)
        drawn = []
        everything = [
            (COLOURS["ink"], 4.5, 0.45, "-", target),
            *((COLOURS[style.colour], 1.5, 1.0, DASHES[style.dash], y) for style, y in lines),
        ]
        for colour, width, alpha, dash, points in everything:
            x, y = np.asarray(points, np.float64).reshape(-1, 2).T
            y = np.where(np.abs(y) < HUGE, y, math.nan)
            y = np.where(y > 0, y, math.nan) if logarithmic else y
            drawstyle = "steps-mid" if step else "default"
            axes.plot(x, y, color=colour, linewidth=width, alpha=alpha, linestyle=dash, drawstyle=drawstyle, solid_capstyle="butt")
            drawn.append(y)
        if level is not None:
            axes.axhline(level, color=COLOURS["ink"], linewidth=0.9, linestyle=(0, (4, 3)))
        everywhere = np.concatenate(drawn)
        finite = everywhere[np.isfinite(everywhere)]
        if logarithmic and finite.size:
            _logarithmic(axes, finite)
        else:
            fit_height(axes, everywhere, level, False)
        axes.xaxis.set_major_locator(MaxNLocator(6))
        axes.xaxis.set_major_formatter(FuncFormatter(tick))
        return _rounded(inline(figure, name))


def dots(rows: Sequence[Dots], name: str, level: float | None = None) -> str:
    """The seeds' values, a row per variant, on one axis; an interval that is far wider than the values runs off it.

    Args:
        rows: at least one, each with at least one value.
        name: unique on the page, as for :func:`bands`.
        level: a dashed vertical reference line, drawn where the axis reaches it.
    """
    with mpl.rc_context(STYLE):
        height = 34 + 21 * len(rows)
        figure, axes = canvas(height=height, head=4)
        labels = _labels([row.label for row in rows])
        left = 8 + 6.4 * max(map(len, labels))
        axes.set_position((left / WIDTH, 22 / height, (WIDTH - left - 14) / WIDTH, (height - 28) / height))
        axes.grid(axis="x", color=COLOURS["rule"], linewidth=0.8)
        axes.grid(visible=False, axis="y")
        values = np.clip(np.concatenate([row.seeds for row in rows]), -HUGE, HUGE)
        low, high = float(values.min()), float(values.max())
        ends = [end for row in rows if row.interval for end in row.interval]
        slack = (high - low) or 0.1 * abs(high) or 1.0
        start, end = max(min([low, *ends]), low - 0.6 * slack), min(max([high, *ends]), high + 0.6 * slack)
        for at, row in enumerate(rows):
            colour = COLOURS[row.style.colour]
            if row.interval:
                axes.plot(np.clip(row.interval, -HUGE, HUGE), (at, at), color=colour, linewidth=6, alpha=0.25, solid_capstyle="butt")
            axes.plot(
                np.clip(row.seeds, -HUGE, HUGE),
                [at] * len(row.seeds),
                "o",
                color=colour,
                markersize=4,
                markerfacecolor="none",
                markeredgewidth=1.1,
            )
            axes.plot(np.clip(row.mean, -HUGE, HUGE), at, "|", color=colour, markersize=13, markeredgewidth=2.2)
        if level is not None:
            axes.axvline(level, color=COLOURS["ink"], linewidth=0.9, linestyle=(0, (4, 3)))
        axes.set_xlim(start - 0.04 * slack, end + 0.04 * slack)
        axes.set_ylim(len(rows) - 0.4, -0.6)
        axes.set_yticks(range(len(rows)), labels)
        axes.xaxis.set_major_locator(MaxNLocator(4))
        axes.xaxis.set_major_formatter(FuncFormatter(tick))
        return _rounded(inline(figure, name))


# ---- points and axes -------------------------------------------------------------------------------------------------------


def on_common_places(seeds: Sequence[Sequence[tuple[float, float]]], smooth: bool = True, places: int = PLACES) -> tuple[Array, Array]:
    """The seeds' curves on common places.

    Args:
        seeds: (images, value) of each; one may end before the others.
        smooth: draw the running mean where there are many points.
        places: more points than this are averaged over as many stretches of equal length.

    Returns:
        The places ``[n]``, and each seed's value there ``[seeds, n]``: NaN where it has none, or none that is finite.
    """
    curves = [np.asarray(points, np.float64).reshape(-1, 2) for points in seeds if len(points)]
    if not curves:
        return np.empty(0), np.empty((0, 0))
    x = np.unique(np.concatenate([curve[:, 0] for curve in curves]))
    edges = np.linspace(0, x[-1], places + 1)
    binned = len(x) > places
    at = (edges[:-1] + edges[1:]) / 2 if binned else x
    table = np.full((len(curves), len(at)), math.nan)
    for row, (seen, y) in zip(table, (curve.T for curve in curves)):
        index = np.clip(np.searchsorted(edges, seen) - 1, 0, places - 1) if binned else np.searchsorted(x, seen)
        finite = np.abs(y) < HUGE
        counts = np.bincount(index[finite], minlength=len(at))
        sums = np.bincount(index[finite], y[finite], minlength=len(at))
        row[:] = _bridged(at, np.where(counts > 0, sums / np.maximum(counts, 1), math.nan))  # another run may log in another rhythm
        lost = index[~finite]
        row[lost[counts[lost] == 0]] = math.nan
        if smooth and len(at) > 12:
            row[:] = running_mean(row)
    return at, table


def running_mean(y: Array, share: float = 0.04) -> Array:
    """Exponential mean over about ``share`` of the points, unbiased at the start. NaN stays NaN and does not spread."""
    keep = 1 - 1 / max(2.0, share * len(y))
    total = weight = 0.0
    smoothed = np.full(len(y), math.nan)
    for at, value in enumerate(y):
        if math.isfinite(value):
            total, weight = keep * total + (1 - keep) * value, keep * weight + (1 - keep)
            smoothed[at] = total / weight
    return smoothed


def decimate(x: Array, y: Array, points: int = POINTS) -> tuple[Array, Array]:
    """At most ``points`` points: of each stretch its lowest and its highest, so that no spike is lost. A stretch of NaN stays a gap."""
    if len(x) <= points:
        return x, y
    chosen: set[int] = set()
    for part in np.array_split(np.arange(len(x)), points // 2):
        finite = part[np.isfinite(y[part])]
        chosen.update((finite[np.argmin(y[finite])], finite[np.argmax(y[finite])]) if finite.size else (part[0],))
    index = np.array(sorted(chosen))
    return x[index], y[index]


def short(value: float, digits: int = 4) -> str:
    """A number of few letters: 1200000 -> 1.2M, 48000 -> 48k, 0.0002 -> 2e−4."""
    for unit, size in (("M", 1e6), ("k", 1e3)):
        if abs(value) >= size:
            return f"{value / size:.{digits}g}{unit}"
    if 0 < abs(value) < 1e-3:
        mantissa, _, power = f"{value:.{digits - 2}e}".partition("e")
        return "0" if int(power) < -12 else f"{float(mantissa):g}e{int(power)}".replace("-", "−")
    return f"{value:.{digits}g}".replace("-", "−")


def tick(value: float, position: int | None = None) -> str:
    """The label of a tick. Ticks are round, so those near each other are told apart and the others stay as short."""
    return short(value, 7)


def canvas(height: int = HEIGHT, head: int = 24) -> tuple[Figure, Axes]:
    """An empty figure with one pair of axes, in the style of all."""
    figure = Figure(figsize=(WIDTH / 72, height / 72))
    FigureCanvasSVG(figure)
    figure.patch.set_alpha(0)
    axes = figure.add_axes((46 / WIDTH, 22 / height, (WIDTH - 56) / WIDTH, (height - 22 - head) / height))
    axes.set_facecolor("none")
    for side in ("top", "left", "right"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(COLOURS["ink"])
    axes.grid(axis="y", color=COLOURS["rule"], linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(colors=COLOURS["ink"], length=3, width=0.7)
    axes.tick_params(axis="y", length=0)
    axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.yaxis.set_major_formatter(FuncFormatter(tick))
    return figure, axes


def fit_height(axes: Axes, y: Array, level: float | None, floor: bool) -> None:
    """The y axis. A first spike must not flatten a whole run: far outliers leave the axis and are named instead."""
    finite = y[np.isfinite(y)]
    if finite.size == 0:
        axes.set_yticks([])
        axes.text(0.5, 0.5, "no finite values", transform=axes.transAxes, ha="center", va="center", color=COLOURS["ink"])
        return
    low, high, peak = float(finite.min()), float(finite.max()), float(finite.max())
    if finite.size >= 50:
        usual = float(np.percentile(finite, 98.5))
        high = usual + 0.25 * (usual - low) if peak > usual + 1.5 * (usual - low) > low else high
    if level is not None:
        low, high = min(low, level), max(high, level)
    if floor:
        low = min(low, 0.0)
    slack = 0.06 * (high - low) or 0.1 * abs(high) or 1.0
    axes.set_ylim(low if floor and low == 0 else low - slack, high + slack)
    if high < peak:
        axes.text(0.99, 0.97, f"↑ peak {short(peak)}", transform=axes.transAxes, ha="right", va="top", color=COLOURS["ink"], fontsize=10)


def fit_width(axes: Axes, last: float, images_per_epoch: float | None) -> None:
    """The x axis up to the last value: images seen below, epochs above."""
    axes.set_xlim(0, last * 1.015)
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.xaxis.set_major_formatter(FuncFormatter(tick))
    epochs = last / images_per_epoch if images_per_epoch else 0.0
    if images_per_epoch is None or not 1 <= epochs < 1e9:
        return
    every = next(step * 10**power for power in range(9) for step in (1, 2, 5) if epochs / (step * 10**power) <= 5)
    ends = range(every, int(epochs + 1e-6) + 1, every)
    top = axes.twiny()
    top.set_facecolor("none")
    for spine in top.spines.values():
        spine.set_visible(False)
    top.set_xlim(axes.get_xlim())
    top.set_xticks([end * images_per_epoch for end in ends], [f"epoch {end:,}" if end == every else f"{end:,}" for end in ends])
    top.tick_params(colors=COLOURS["ink"], length=3, width=0.7, pad=1, labelsize=10)


def inline(figure: Figure, name: str) -> str:
    """Inline SVG: no header, no size of its own, colours as CSS variables, ids that no other figure on the page has."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None})
    text = buffer.getvalue()
    text = re.sub(r"<metadata>.*?</metadata>", "", text[text.index("<svg") :], flags=re.DOTALL)
    text = re.sub(r"<!--.*?-->|<style.*?</style>", "", text, flags=re.DOTALL)  # its style would be the whole page's
    text = re.sub(r"\n\s*", "\n", text)
    text = re.sub(r'^<svg[^>]*viewBox="([^"]+)"[^>]*>', r'<svg viewBox="\1" role="img" aria-hidden="true">', text)
    text = re.sub(r'\bid="', f'id="{name}-', text).replace("url(#", f"url(#{name}-").replace('href="#', f'href="#{name}-')
    for colour, code in COLOURS.items():
        text = text.replace(code, f"var(--{colour})")
    return text.strip()


def _logarithmic(axes: Axes, finite: Array) -> None:
    axes.set_yscale("log")
    axes.set_ylim(finite.min() / 1.5, finite.max() * 1.5)
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(tick))


def _spread(table: Array) -> tuple[Array, Array, Array]:
    """Lowest, mean and highest of the seeds that have a value at each place; NaN where none has."""
    known = np.isfinite(table)
    count = known.sum(0)
    mean = np.where(count > 0, np.where(known, table, 0).sum(0) / np.maximum(count, 1), math.nan)
    low, high = np.where(known, table, math.inf).min(0), np.where(known, table, -math.inf).max(0)
    return np.where(count > 0, low, math.nan), mean, np.where(count > 0, high, math.nan)


def _bridged(x: Array, y: Array) -> Array:
    """Gaps between two known values filled by a straight line."""
    known = np.isfinite(y)
    return np.interp(x, x[known], y[known], left=math.nan, right=math.nan) if known.any() else y


def _labels(names: Sequence[str]) -> list[str]:
    """Names cut to what fits beside a figure: at their end, or where that leaves two the same, at their beginning, or numbered."""
    names = [printable(" ".join(name.split())) for name in names]
    for cut in (
        [name if len(name) <= LABEL else f"{name[: LABEL - 1].rstrip()}…" for name in names],
        [name if len(name) <= LABEL else f"…{name[1 - LABEL :].lstrip()}" for name in names],
    ):
        if len({*cut}) == len(cut):
            return cut
    return [f"{number}. {name[: LABEL - 6]}…" for number, name in enumerate(names, 1)]


def _rounded(svg: str) -> str:
    """Coordinates to a hundredth of a unit: nobody sees more, and a figure weighs half."""
    return re.sub(r' (?:d|x|y|transform)="[^"]*"', lambda found: re.sub(r"(\.\d\d)\d+", r"\1", found[0]), svg)
