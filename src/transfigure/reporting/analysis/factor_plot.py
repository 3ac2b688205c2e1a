"""What a translator did with every known factor, in one figure: to the right what it preserves of x, upwards what is as in the target.

Both of an honest translation's virtues are in it at once: shared factors belong to the upper right, what only the target shows to the
upper left, and so does what only the source shows and G gave up.
"""

from __future__ import annotations

import io
import itertools
import math
from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.transforms import Affine2D, Transform
from numpy.typing import NDArray

from ...data.formats.metadata import sealed, to_be_sealed
from ...data.images import SOFTWARE
from ...studies.preservation.factors import FactorResult
from ..charts import COLOURS, STYLE, inline

WIDTH, HEIGHT = 700, 500
LEFT, RIGHT, TOP, BOTTOM = 50, 8, 32, 42
"""Units between the figure's edges and the axes."""
LABEL = 24
"""Letters of a factor's name beside its dot."""
LOOKS = {"shared": ("blue", "o"), "source only": ("orange", "s"), "target only": ("green", "^")}
WORDS = {"shared": "in both domains", "source only": "in the source only", "target only": "in the target only"}
CORNERS = (
    ("left", "top", "made anew, or given up as it should be"),
    ("right", "top", "preserved"),
    ("left", "bottom", "lost, or collapsed to few values"),
    ("right", "bottom", "left as it was, though no target is so"),
)
_LETTER, _LINE = 6.3, 13.0  # the size of a label's letters in units, for fonts that we do not know

_CORNER = {("left", "top"): (0, 1.075), ("right", "top"): (1, 1.075), ("left", "bottom"): (0, -0.075), ("right", "bottom"): (1, -0.075)}

Box = tuple[float, float, float, float]


def factor_plot(results: Sequence[FactorResult], name: str = "factors") -> str:
    """The figure as an ``<svg>`` for a page, 700 units wide.

    A dot per factor with its name and its 95 % intervals; small hollow marks are its two bounds, a circle for G(x) = x and a diamond for
    a real target picture in place of G(x). The heights of the diamonds are what a perfect translator can reach.

    Args:
        results: from :func:`transfigure.studies.preservation.factors.analyze_factors`; values that are not finite are left out.
        name: unique on the page, [a-z0-9-]; it prefixes the ids inside the SVG.
    """
    with mpl.rc_context(STYLE):
        return inline(_draw(results), name)


def factor_png(results: Sequence[FactorResult], scale: float = 2.0) -> bytes:
    """The same figure as a PNG on white, ``scale`` pixels to the unit."""
    buffer, software = io.BytesIO(), to_be_sealed(SOFTWARE)
    with mpl.rc_context(STYLE):
        _draw(results).savefig(buffer, format="png", dpi=72 * scale, facecolor="white", metadata={"Software": software})
    return sealed(buffer.getvalue(), software)


def _draw(results: Sequence[FactorResult]) -> Figure:
    figure = Figure(figsize=(WIDTH / 72, HEIGHT / 72))
    FigureCanvasSVG(figure)
    figure.patch.set_alpha(0)
    axes = _axes(figure)
    dots, marks = [], [_words(axes, *corner) for corner in CORNERS]
    finite = [each for each in results if math.isfinite(each.preserved + each.generated)]
    for each in finite:
        colour, marker = COLOURS[LOOKS[each.role][0]], LOOKS[each.role][1]
        for (x, y), hollow in ((each.identity, "o"), (each.random_target, "D")):
            axes.plot(x, y, hollow, markersize=4, markerfacecolor="none", markeredgecolor=colour, markeredgewidth=0.9, alpha=0.6)
            marks.append(_around(axes, x, y, 3))
        at = each.preserved, each.generated
        for across, up in ((each.preserved_interval, (at[1], at[1])), ((at[0], at[0]), each.generated_interval)):
            axes.plot(across, up, color=colour, linewidth=1.1, alpha=0.75, solid_capstyle="butt")
            (left, low), (right, high) = (_units(axes, across[end], up[end]) for end in (0, 1))
            marks.append((left - 1, low - 1, right + 1, high + 1))
        axes.plot(*at, marker, color=colour, markersize=7.5, markeredgecolor="none")
        dots.append(_around(axes, *at, 5))
    names = [each.name if len(each.name) <= LABEL else f"{each.name[: LABEL - 1]}…" for each in finite]
    for each, text, box, dot in zip(finite, names, _places(names, dots, marks), dots):
        colour = COLOURS[LOOKS[each.role][0]]
        middle, beside = np.array([(box[0] + box[2]) / 2, (box[1] + box[3]) / 2]), np.array([(dot[0] + dot[2]) / 2, (dot[1] + dot[3]) / 2])
        near = np.clip(beside, (box[0], box[1] + 3), (box[2], box[3] - 3))
        if np.linalg.norm(near - beside) > 18:
            axes.plot(*zip(beside, near), color=colour, linewidth=0.6, alpha=0.7, transform=_plain(figure), zorder=1.5)
        x, y = middle.tolist()
        axes.text(x, y, text, color=colour, ha="center", va="center", transform=_plain(figure), parse_math=False)
    _key(figure, [role for role in LOOKS if any(each.role == role for each in finite)])
    return figure


def _axes(figure: Figure) -> Axes:
    """From 0 to 1 both ways, with a strip above and below for what the corners mean."""
    axes = figure.add_axes((LEFT / WIDTH, BOTTOM / HEIGHT, (WIDTH - LEFT - RIGHT) / WIDTH, (HEIGHT - TOP - BOTTOM) / HEIGHT))
    axes.set_facecolor("none")
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.set_xlim(-0.04, 1.04)
    axes.set_ylim(-0.11, 1.11)
    ticks = [0, 0.25, 0.5, 0.75, 1]
    axes.set_xticks(ticks, ["0", "0.25", "0.5", "0.75", "1"])
    axes.set_yticks(ticks, ["0", "0.25", "0.5", "0.75", "1"])
    axes.tick_params(colors=COLOURS["ink"], length=0)
    for at in ticks:
        wide = 1.1 if at in (0, 1) else 0.6
        axes.plot((0, 1), (at, at), color=COLOURS["rule"], linewidth=wide, zorder=0.5)
        axes.plot((at, at), (0, 1), color=COLOURS["rule"], linewidth=wide, zorder=0.5)
    axes.set_xlabel("preserved: G(x) has the value that x has  →", color=COLOURS["ink"], labelpad=4)
    axes.set_ylabel("generated: values as often as in the target  →", color=COLOURS["ink"], labelpad=5)
    for side, end, words in CORNERS:
        axes.text(*_CORNER[side, end], words, ha=side, va="center", color=COLOURS["ink"], alpha=0.75, style="italic", fontsize=10)
    return axes


def _key(figure: Figure, roles: Sequence[str]) -> None:
    """One line above the axes: whose factors the marks are, and what the hollow ones mean."""
    entries = [(LOOKS[role][1], COLOURS[LOOKS[role][0]], COLOURS[LOOKS[role][0]], 7.5, WORDS[role]) for role in roles]
    entries += [("o", "none", COLOURS["ink"], 4.5, "if G(x) = x"), ("D", "none", COLOURS["ink"], 4.0, "a real target instead")]
    x = float(LEFT)
    for marker, face, edge, size, words in entries:
        mark = Line2D([x + 6], [HEIGHT - 14], marker=marker, markersize=size, markerfacecolor=face, markeredgecolor=edge, linestyle="none")
        mark.set_transform(_plain(figure))
        figure.add_artist(mark)
        figure.text(x + 14, HEIGHT - 14, words, va="center_baseline", color=COLOURS["ink"], transform=_plain(figure))
        x += 14 + 5.5 * len(words) + 18


def _places(names: Sequence[str], dots: Sequence[Box], marks: Sequence[Box]) -> list[Box]:
    """A box for every name near its dot: each in turn goes where it covers least of the dots, the other names and the marks.

    Args:
        names: what is written.
        dots: of each, in units.
        marks: what should not be covered either, but may be.
    """
    choices = [_candidates(name, dot) for name, dot in zip(names, dots)]
    boxes = [np.array([box for box, _ in each]) for each in choices]
    on_marks = [2 * _common(each, marks) for each in boxes]
    far = [np.array([far for _, far in each]) for each in choices]
    placed: list[Box | None] = [None] * len(names)
    for _, at in itertools.product(range(4), range(len(names))):
        solid = [*dots, *(box for other, box in enumerate(placed) if box and other != at)]
        placed[at] = choices[at][int(np.argmin(20 * _common(boxes[at], solid) + on_marks[at] + far[at]))][0]
    return [box for box in placed if box]


def _candidates(name: str, dot: Box) -> list[tuple[Box, float]]:
    """Boxes around a dot, inside the figure, each with how far off it is; right beside the dot comes first."""
    wide, x, y = _LETTER * len(name), (dot[0] + dot[2]) / 2, (dot[1] + dot[3]) / 2
    found = []
    for step, across in itertools.product(range(-12, 13), (9, 26, 50, -9 - wide, -26 - wide, -50 - wide, -wide / 2)):
        up = step * _LINE / 2
        if across == -wide / 2 and abs(step) < 2:  # on the dot itself
            continue
        box = x + across, y + up - _LINE / 2, x + across + wide, y + up + _LINE / 2
        if box[0] >= LEFT - 4 and box[2] <= WIDTH - 2 and box[1] >= BOTTOM + 2 and box[3] <= HEIGHT - TOP:
            found.append((box, math.hypot(max(across, -across - wide, 0), up)))
    return found or [((x, y, x + wide, y + _LINE), 0.0)]


def _common(boxes: NDArray[np.float64], others: Sequence[Box]) -> NDArray[np.float64]:
    """The area that each of some boxes ``[N, 4]`` shares with all the others together; what two of those share counts twice."""
    each = np.array(others).reshape(-1, 1, 4)
    wide = np.minimum(boxes[:, 2], each[..., 2]) - np.maximum(boxes[:, 0], each[..., 0])
    high = np.minimum(boxes[:, 3], each[..., 3]) - np.maximum(boxes[:, 1], each[..., 1])
    shared: NDArray[np.float64] = (np.maximum(wide, 0) * np.maximum(high, 0)).sum(axis=0)
    return shared


def _units(axes: Axes, x: float, y: float) -> tuple[float, float]:
    """Where a point of the axes lies in the figure, in units."""
    across, up = axes.figure.transFigure.inverted().transform(axes.transData.transform((x, y)))
    return float(across) * WIDTH, float(up) * HEIGHT


def _around(axes: Axes, x: float, y: float, radius: float) -> Box:
    across, up = _units(axes, x, y)
    return across - radius, up - radius, across + radius, up + radius


def _words(axes: Axes, side: str, end: str, words: str) -> Box:
    """The box of a corner's words."""
    x, y = _units(axes, *_CORNER[side, end])
    left = x if side == "left" else x - 0.85 * _LETTER * len(words)
    return left, y - _LINE / 2, left + 0.85 * _LETTER * len(words), y + _LINE / 2


def _plain(figure: Figure) -> Transform:
    """Units of the figure, from its lower left corner."""
    return Affine2D().scale(1 / WIDTH, 1 / HEIGHT) + figure.transFigure
