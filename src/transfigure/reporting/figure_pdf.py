"""A figure's SVG as PDF, which LaTeX takes: the same strokes and words at the same places, as vectors.

It reads what :func:`figure_files.standing` writes, and no other SVG: groups, paths, rectangles, marks that are used again, and text.
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_pdf import FigureCanvasPdf
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch, Rectangle
from matplotlib.path import Path

from ..data import images
from ..data.formats.metadata import sealed, to_be_sealed
from ..progress import without_warnings

_LINK = "{http://www.w3.org/1999/xlink}href"
_CODES: Any = {"M": Path.MOVETO, "L": Path.LINETO, "Q": Path.CURVE3, "C": Path.CURVE4}
_ALIGNED = {"start": "left", "middle": "center", "end": "right"}
_CAPS: Any = {"butt": "butt", "square": "projecting", "round": "round"}
_OWN = {"id", "x", "y", "width", "height", "transform", "style", "d", "clip-path", "viewBox", "opacity", "role", _LINK}
"""What an element does not hand on to those in it."""
_STYLE: Any = {"pdf.fonttype": 42, "font.family": "DejaVu Sans", "svg.fonttype": "none"}
"""Letters stay letters (TrueType), as journals ask."""


def pdf(svg: str) -> bytes:
    """A PDF of what :func:`figure_files.standing` made; the same bytes for the same figure.

    Args:
        svg: a document.
    """
    root = ElementTree.fromstring(svg)
    wide, high = (float(one) for one in root.attrib["viewBox"].split()[2:])
    software, stream = to_be_sealed(images.SOFTWARE), io.BytesIO()
    with mpl.rc_context(_STYLE), without_warnings():  # of letters that the typeface does not have
        figure = Figure(figsize=(wide / 72, high / 72))
        canvas = FigureCanvasPdf(figure)
        axes = figure.add_axes((0, 0, 1, 1), xlim=(0, wide), ylim=(high, 0))
        axes.set_axis_off()
        known = {node.attrib["id"]: node for node in root.iter() if "id" in node.attrib}
        _Drawing(axes, known).draw(root, {"fill": root.attrib.get("fill", "#000")}, (0.0, 0.0))
        canvas.print_figure(stream, format="pdf", metadata={"Creator": software, "Producer": None, "CreationDate": None})
    return sealed(stream.getvalue(), software)


def _declared(node: Element) -> dict[str, str]:
    """What an element's ``style`` says."""
    return dict(re.findall(r"([\w-]+):\s*([^;]+)", node.attrib.get("style", "")))


@dataclass(frozen=True)
class _Drawing:
    """Draws the elements of a document, one behind the other.

    Attributes:
        axes: a unit is a point, and y goes down.
        known: elements by their ids.
    """

    axes: Axes
    known: Mapping[str, Element]

    def draw(self, node: Element, style: Mapping[str, str], at: tuple[float, float]) -> None:
        """Draw an element and what is in it, with what it inherits, from this point on."""
        kind = node.tag.rpartition("}")[2]
        style = {**style, **node.attrib, **_declared(node)}
        if kind in ("defs", "title"):
            return
        if moved := re.match(r"translate\(([-\d.]+) ([-\d.]+)\)", node.attrib.get("transform", "")):
            at = at[0] + float(moved[1]), at[1] + float(moved[2])
        if kind == "path":
            self._stroke(node.attrib["d"], style, at)
        elif kind == "rect" and node.attrib["width"] != "100%":  # the paper is white in any case
            self.axes.add_patch(Rectangle(self._corner(node, at), *self._size(node), **self._look(style)))
        elif kind == "use":
            mark = self.known[node.attrib[_LINK].removeprefix("#")]
            self._stroke(mark.attrib["d"], {**style, **_declared(mark), **_declared(node)}, self._corner(node, at))
        elif kind == "text":
            self._write(node, style, at)
        inherited = {key: value for key, value in style.items() if key not in _OWN}
        for child in node:
            self.draw(child, inherited, at)

    @staticmethod
    def _corner(node: Element, at: tuple[float, float]) -> tuple[float, float]:
        return at[0] + float(node.attrib.get("x", 0)), at[1] + float(node.attrib.get("y", 0))

    @staticmethod
    def _size(node: Element) -> tuple[float, float]:
        return float(node.attrib["width"]), float(node.attrib["height"])

    def _stroke(self, words: str, style: Mapping[str, str], at: tuple[float, float]) -> None:
        points: list[tuple[float, float]] = []
        codes: list[Any] = []
        for letter, numbers in re.findall(r"([MLQCzh])([^MLQCzh]*)", words):
            values = [float(one) for one in numbers.split()]
            if letter == "z":
                found, code = points[-1:], Path.CLOSEPOLY
            elif letter == "h":  # a line of the legend
                found, code = [(points[-1][0] + values[0], points[-1][1])], Path.LINETO
            else:
                found, code = [(at[0] + x, at[1] + y) for x, y in zip(values[::2], values[1::2])], _CODES[letter]
            points += found
            codes += [code] * len(found)
        if not points:
            return
        patch = PathPatch(Path(np.array(points), codes), clip_on=False, **self._look(style))
        self.axes.add_patch(patch)
        if clip := re.match(r"url\(#(.+)\)", style.get("clip-path", "")):
            (box,) = self.known[clip[1]]  # in the group of the path, and moved as it is
            patch.set_clip_on(True)
            patch.set_clip_path(Rectangle(self._corner(box, at), *self._size(box), transform=self.axes.transData))

    def _look(self, style: Mapping[str, str]) -> dict[str, Any]:
        width = float(style.get("stroke-width", 1))
        whole = float(style.get("opacity", 1))
        fill, stroke = style.get("fill", "none"), style.get("stroke", "none")
        dashes = [float(one) / width for one in re.findall(r"[\d.]+", style.get("stroke-dasharray", "none"))]
        return {
            "facecolor": "none" if fill == "none" else (fill, whole * float(style.get("fill-opacity", 1))),
            "edgecolor": "none" if stroke == "none" else (stroke, whole * float(style.get("stroke-opacity", 1))),
            "linewidth": width if stroke != "none" else 0,
            "linestyle": (float(style.get("stroke-dashoffset", 0)) / width, dashes) if dashes else "-",
            "capstyle": _CAPS[style.get("stroke-linecap", "butt")],
            "joinstyle": style.get("stroke-linejoin", "round"),
        }

    def _write(self, node: Element, style: Mapping[str, str], at: tuple[float, float]) -> None:
        turned = re.match(r"rotate\(([-\d.]+)", node.attrib.get("transform", ""))
        x, y = self._corner(node, at)
        self.axes.text(
            x,
            y,
            node.text or "",
            fontsize=float(style["font-size"].removesuffix("px")),
            fontweight=style.get("font-weight", "normal"),
            color=style["fill"],
            alpha=float(style.get("opacity", 1)),
            ha=_ALIGNED[style.get("text-anchor", "start")],
            va="baseline",
            rotation=-float(turned[1]) if turned else 0.0,
            rotation_mode="anchor",
            parse_math=False,
        )
