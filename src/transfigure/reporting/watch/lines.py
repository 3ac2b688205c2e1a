"""Curves as plain SVG, drawn in a millisecond: the page is drawn anew every few seconds beside a training that wants the processor."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from ..charts import HUGE, decimate, running_mean, short
from ..run_files import Points

WIDTH, HEIGHT, LEFT, BOTTOM = 340, 150, 46, 20
TOP = 8
MOST = 500


def draw(lines: Sequence[tuple[Points, str]], title: str, smooth: bool = True) -> Markup:
    """Lines over images seen, raw values faint and their running mean strong.

    Args:
        lines: points and the name of a colour of the pages.
        title: what a screen reader says.
        smooth: False draws the values themselves.
    """
    raw = [np.asarray(points, np.float64).reshape(-1, 2).T for points, _ in lines]
    means = []
    for at, (x, given) in enumerate(raw):
        y = np.where(np.abs(given) < HUGE, given, math.nan)
        raw[at] = np.stack(decimate(x, y, MOST))
        strong = running_mean(y) if smooth and len(x) > 12 else y
        means.append(np.stack(decimate(x, strong, MOST)))
    seen = np.concatenate([points[1] for points in means])
    seen = seen[np.isfinite(seen)]
    right = max((float(points[0][-1]) for points in raw if points.size), default=1.0) or 1.0
    if seen.size == 0:
        return Markup('<p class="one">no finite values</p>')
    values = np.concatenate([points[1][np.isfinite(points[1])] for points in raw])
    low = min(float(seen.min()), float(np.percentile(values, 2)))
    high = max(float(seen.max()), float(np.percentile(values, 98)))
    if high - low < 1e-9 * max(abs(high), 1):
        low, high = low - 0.5 * (abs(low) or 1), high + 0.5 * (abs(high) or 1)
    drawn = []
    for (_, colour), faint, strong in zip(lines, raw, means, strict=True):
        if smooth and faint.shape[1] > 12:
            drawn.append(_path(faint, right, low, high, colour, "faint"))
        drawn.append(_path(strong, right, low, high, colour, "strong"))
    words = [
        f'<text x="{LEFT - 6}" y="{TOP + 9}" text-anchor="end">{short(high, 3)}</text>',
        f'<text x="{LEFT - 6}" y="{HEIGHT - BOTTOM}" text-anchor="end">{short(low, 3)}</text>',
        f'<text x="{LEFT}" y="{HEIGHT - 5}">0</text>',
        f'<text x="{WIDTH - 2}" y="{HEIGHT - 5}" text-anchor="end">{right:,.0f} images</text>',
        f'<path class="axis" d="M{LEFT} {TOP}V{HEIGHT - BOTTOM}H{WIDTH}"/>',
    ]
    label = Markup.escape(title)
    return Markup(f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{label}">{"".join(words)}{"".join(drawn)}</svg>')


def _path(points: NDArray[np.float64], right: float, low: float, high: float, colour: str, strength: str) -> str:
    pieces, pen = [], "M"
    for x, y in points.T:
        if not math.isfinite(y):
            pen = "M"
            continue
        across = LEFT + (WIDTH - LEFT - 2) * x / right
        down = TOP + (HEIGHT - BOTTOM - TOP) * (1 - (min(max(y, low), high) - low) / (high - low))
        pieces.append(f"{pen}{across:.1f} {down:.1f}")
        pen = "L"
    if len(pieces) == 1:
        pieces.append("h.1")
    return f'<path class="{strength}" style="stroke: var(--{colour})" d="{"".join(pieces)}"/>'
