"""Figures of several variants at once, as inline SVG: curves with a band over seeds, spectra, histograms, and the seeds' values in a row.

Variants are told apart by colour and, from the fifth on, by dashes too; the key is the page's.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullLocator

from .curves import COLOURS, HUGE, STYLE, WIDTH, Array, canvas, fit_height, fit_width, inline, running_mean, short

HUES = ("blue", "orange", "green", "purple", "amber", "sky", "brown", "olive")
DASHES: tuple[str | tuple[int, tuple[float, ...]], ...] = ("-", (0, (5, 2)), (0, (1.5, 1.5)), (0, (6, 2, 1.5, 2)))
FAR = 30
"""Means further apart than this factor would flatten each other on a plain axis."""
LABEL = 24
"""Letters of a variant's name beside a figure."""
PLACES = 120
"""Points of a mean line at most; a longer log is averaged over as many stretches."""


@dataclass(frozen=True)
class Look:
    """How a variant is drawn everywhere: the name of a colour, and which of DASHES."""

    colour: str
    dash: int = 0

    @classmethod
    def of(cls, position: int) -> Look:
        """Of the n-th variant: four colours in full lines, four more dashed, then the same colours in other dashes."""
        return cls(HUES[position % len(HUES)], (position // 4) % len(DASHES))


@dataclass(frozen=True)
class Band:
    """A quantity over images seen, once per seed; y may be NaN where it was not finite."""

    look: Look
    seeds: Sequence[Sequence[tuple[float, float]]]


def over_seeds(seeds: Sequence[Sequence[tuple[float, float]]], smooth: bool = True, places: int = PLACES) -> tuple[Array, Array]:
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
            x, table = over_seeds(variant.seeds, smooth)
            if not x.size:
                continue
            low, mean, high = _spread(table)
            colour = COLOURS[variant.look.colour]
            if len(table) > 1:
                axes.fill_between(x, low, high, color=colour, alpha=0.16, linewidth=0)
            dots = "o" if len(x) <= 30 else ""
            axes.plot(x, mean, color=colour, linewidth=1.6, linestyle=DASHES[variant.look.dash], marker=dots, markersize=2.4)
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
    lines: Sequence[tuple[Look, Sequence[tuple[float, float]]]],
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
            *((COLOURS[look.colour], 1.5, 1.0, DASHES[look.dash], y) for look, y in lines),
        ]
        for colour, width, alpha, dash, points in everything:
            x, y = np.asarray(points, np.float64).reshape(-1, 2).T
            y = np.where(np.abs(y) < HUGE, y, math.nan)
            y = np.where(y > 0, y, math.nan) if logarithmic else y
            style = "steps-mid" if step else "default"
            axes.plot(x, y, color=colour, linewidth=width, alpha=alpha, linestyle=dash, drawstyle=style, solid_capstyle="butt")
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
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: short(value)))
        return _rounded(inline(figure, name))


@dataclass(frozen=True)
class Dots:
    """One variant's values of one metric: a dot per seed, the mean, and the interval if there is one."""

    label: str
    look: Look
    seeds: Sequence[float]
    mean: float
    interval: tuple[float, float] | None


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
        room = (high - low) or 0.1 * abs(high) or 1.0
        start, end = max(min([low, *ends]), low - 0.6 * room), min(max([high, *ends]), high + 0.6 * room)
        for at, row in enumerate(rows):
            colour = COLOURS[row.look.colour]
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
        axes.set_xlim(start - 0.04 * room, end + 0.04 * room)
        axes.set_ylim(len(rows) - 0.4, -0.6)
        axes.set_yticks(range(len(rows)), labels)
        axes.xaxis.set_major_locator(MaxNLocator(4))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: short(value)))
        return _rounded(inline(figure, name))


def _logarithmic(axes: Axes, finite: Array) -> None:
    axes.set_yscale("log")
    axes.set_ylim(finite.min() / 1.5, finite.max() * 1.5)
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: short(value)))


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
    names = [" ".join(name.split()) for name in names]
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
