"""Figures as files of their own, for a paper or a slide: every chart as an SVG, pictures as one PNG with heads.

They are the page's charts, but lean on no page: colours are written out; title, legend and what the strokes mean stand beside them.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path

import matplotlib as mpl
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from ..data import images
from ..data.files import check_writable_folder, write_atomically
from ..data.ownership import check_outputs
from ..errors import printable
from . import panels
from .charts import COLOURS, DASHES, WIDTH, Chart, LineStyle
from .formatting import capital

FONTS = "Helvetica, Arial, 'Liberation Sans', 'DejaVu Sans', sans-serif"
EDGE, LEGEND, SCALE = 14, 150, 1.6
"""Units of white around and of a legend's name at most, and pixels a unit of a chart."""
TARGETS = ("the targets", LineStyle("ink"))
QUIET = f'fill="{COLOURS["ink"]}"'


def write_figures(
    folder: Path, charts: Iterable[tuple[str, str]], sheets: Mapping[str, NDArray[np.uint8] | None], overwrite: bool = False
) -> list[Path]:
    """Write figures into a folder: each chart as an SVG called by its title, each sheet as a PNG.

    Args:
        folder: is made if absent; what else lies there stays.
        charts: title and document.
        sheets: name and picture; None is no file.
        overwrite: replace files that are there already and that this tool did not write.

    Returns:
        The files, in this order. Each appears whole or not at all; the same figures have the same names every time.

    Raises:
        UserError: the place cannot be written, or another's file is there.
    """
    drawn: dict[Path, str] = {}
    for name, text in charts:
        drawn[folder / f"{slug(name, [path.stem for path in drawn])}.svg"] = text
    pictures = {folder / f"{name}.png": picture for name, picture in sheets.items() if picture is not None}
    written = [*drawn, *pictures]
    check_outputs(written, overwrite, below=folder)
    check_writable_folder(folder)
    for path, text in drawn.items():
        write_atomically(path, text.encode("utf-8", "replace"))
    for path, picture in pictures.items():
        images.write(path, picture)
    return written


def standing(figure: Chart, legend: Sequence[tuple[str, LineStyle]], below: str = "", note: str = "") -> str:
    """A figure of the page as a document of its own.

    Args:
        figure: its title, its inline SVG and its note.
        legend: names and styles; those whose colour the chart does not have are left out.
        below, note: what the horizontal axis counts, and more to say under the chart.
    """
    found = re.fullmatch(r'<svg viewBox="0 0 \S+ (\S+)"[^>]*>(.*)</svg>', str(figure.svg).strip(), re.DOTALL)
    tall, inside = (float(found[1]), found[2]) if found else (0.0, "")
    names = [(wrapped(name, font(11), LEGEND), style) for name, style in legend if f"var(--{style.colour})" in inside]
    legend_width = max((46 + font(11).getlength(line) for lines, _ in names for line in lines), default=0.0)
    wide = 2 * EDGE + WIDTH + legend_width
    parts: list[str] = []

    def write(x: float, y: float, lines: Sequence[str], size: float, style: str = "") -> float:
        """Lines of text from a first baseline on; the baseline after the last."""
        for line in lines:
            parts.append(f'<text x="{x:.2f}" y="{y:.2f}" font-size="{size}" {style}>{escape(printable(line))}</text>')
            y += round(1.3 * size)
        return y

    title = wrapped(capital(figure.title), font(13.5, "-Bold"), wide - 2 * EDGE)
    top = write(EDGE, EDGE + 11, title, 13.5, 'font-weight="bold"') - 8
    y = top + 30.0
    for lines, style in names:
        parts.append(_stroke(style, EDGE + WIDTH + 14, y - 4))
        y = write(EDGE + WIDTH + 46, y, lines, 11) + 5
    bottom = write(EDGE + (WIDTH + 36) / 2, top + tall + 12, [below] if below else [], 10.5, f'text-anchor="middle" {QUIET}')
    level = any(float(x) < WIDTH for x in re.findall(r'd="M (\S+)[^"]*"[^>]*dasharray', inside))  # or it lies beyond the axis
    own = figure.note if level else figure.note.replace(" (dashed)", "")
    caption = " ".join(f"{capital(each).rstrip('.')}." for each in (own, note) if each)
    high = write(EDGE, max(bottom + 4, y), wrapped(caption, font(10), wide - 2 * EDGE), 10, QUIET) + 1
    plain, rest = re.sub(r"font-family: [^;\"]*", f"font-family: {FONTS}", inside), "\n".join(parts)
    text = f"""<svg data-generator="{images.SOFTWARE}" xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" \
viewBox="0 0 {wide:.1f} {high:.1f}" \
width="{SCALE * wide:.0f}" height="{SCALE * high:.0f}" role="img" font-family="{FONTS}" fill="#23262b">
<title>{escape(printable(figure.title))}</title><rect width="100%" height="100%" fill="#fff"/>
<g transform="translate({EDGE} {top})" stroke-linejoin="round" stroke-linecap="butt">{plain}</g>
{rest}</svg>
"""
    text = re.sub(r"var\(--(\w+)\)", lambda name: COLOURS.get(name[1], "#000"), text)
    return re.sub(r"[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "\ufffd", text)  # XML has no place for the others


def _stroke(line: LineStyle, x: float, y: float) -> str:
    """A line of the legend; that of the targets is thick and faint."""
    width, opacity = (4.5, 0.45) if line == TARGETS[1] else (2.0, 1.0)
    dash = DASHES[line.dash]
    dashes = "none" if isinstance(dash, str) else " ".join(f"{width * part:g}" for part in dash[1])
    style = f"fill: none; stroke: var(--{line.colour}); stroke-width: {width}; stroke-opacity: {opacity}; stroke-dasharray: {dashes}"
    return f'<path d="M {x} {y:.2f} h 24" style="{style}"/>'


def headed(pictures: NDArray[np.uint8], columns: Sequence[tuple[str, str]]) -> NDArray[np.uint8]:
    """A sheet of pictures with whole names above its columns, on as many lines as they need."""
    cell = pictures.shape[1] / len(columns)
    letters = font(max(11, min(20, round(cell / 12))))
    heads = [
        [*((line, panels.INK) for line in wrapped(name, letters, 0.94 * cell)), *[(remark, (120, 120, 126))] * bool(remark)]
        for name, remark in columns
    ]
    step = round(1.3 * letters.size)
    high = step * max(map(len, heads)) + step // 2
    paper = Image.new("RGB", (pictures.shape[1], high + pictures.shape[0]), panels.PAPER)
    paper.paste(Image.fromarray(pictures), (0, high))
    for at, lines in enumerate(heads):
        for up, (line, ink) in enumerate(reversed(lines)):
            ImageDraw.Draw(paper).text(((at + 0.5) * cell, high - up * step - step // 6), line, fill=ink, font=letters, anchor="md")
    return np.asarray(paper)


def font(size: float, face: str = "") -> ImageFont.FreeTypeFont:
    """The typeface of pictures, which comes with matplotlib; ``face`` is ``-Bold`` or nothing."""
    return ImageFont.truetype(Path(mpl.get_data_path()) / "fonts" / "ttf" / f"DejaVuSans{face}.ttf", size)


def wrapped(text: str, face: ImageFont.FreeTypeFont, width: float) -> list[str]:
    """The text in lines that fit: broken at spaces, in long words after what joins them, and if need be anywhere."""
    lines = [""]
    for piece in re.findall(r"\S+?(?:[.,=_/+:-](?=\w)|(?=\s|$))\s*", " ".join(text.split())):
        for part in [piece] if face.getlength(piece.rstrip()) <= width else piece:
            if lines[-1] and face.getlength((lines[-1] + part).rstrip()) > width:
                lines.append("")
            lines[-1] += part
    return [line.strip() for line in lines if line.strip()]


def slug(title: str, taken: Sequence[str]) -> str:
    """A title as a file's name; a number sets those apart that would be one."""
    letters = unicodedata.normalize("NFKD", title).encode("ascii", "ignore").decode().lower()
    slug = re.sub(r"[^a-z0-9]+", "-", letters)[:80].strip("-") or "figure"
    return next(name for name in (slug, *(f"{slug}-{at}" for at in range(2, len(taken) + 3))) if name not in taken)
