"""The figures of a comparison as files of their own, for a paper or a slide: every chart as an SVG, the test images as one PNG.

They are the page's charts, but lean on no page: colours are written out; title, legend and what the strokes mean stand beside them.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path

import matplotlib as mpl
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from ...data import images
from ...data.display import Limits, shown
from ...data.files import check_writable_folder, write_atomically
from ...data.ownership import check_outputs
from ...errors import TransfigureError, printable
from ...studies.ablation.summary import summarise
from ...studies.ablation.variants import Comparison
from .. import panels
from ..charts import COLOURS, DASHES, WIDTH, Chart, LineStyle
from ..formatting import capital
from . import overlays
from .overlays import Shown
from .page import readable, same_images

FONTS = "Helvetica, Arial, 'Liberation Sans', 'DejaVu Sans', sans-serif"
EDGE, LEGEND, SCALE, SIDE = 14, 150, 1.6, 512
"""Units of white around and of a legend's name at most, pixels a unit of a chart, and pixels of a test image's longest side."""
INTERVALS = "ring: one run; stroke: their mean; bar: the 95 % interval of that mean, cut where it runs off the axis"
BANDS = "line: mean over seeds, of running means where many steps were logged; band: from the lowest to the highest seed"
TARGETS = ("the targets", LineStyle("ink"))
QUIET = f'fill="{COLOURS["ink"]}"'


def figures(comparison: Comparison, folder: str | Path, overwrite: bool = False) -> list[Path]:
    """Write every figure of a study's comparison: charts as SVGs called by their titles, test images by variant as ``panels.png``.

    Args:
        comparison: see ``studies.ablation.summary``: ``read_ablation`` or ``read_runs``.
        folder: is made if absent; what else lies there stays.
        overwrite: replace files that are there already and that this tool did not write.

    Returns:
        The files, in the order of the page. Each appears whole or not at all; one comparison gives the same names every time.

    Raises:
        UserError: the place cannot be written, or another's file is there.
    """
    folder = Path(folder)
    shown = readable(comparison, [])
    charts: dict[Path, str] = {}
    for name, text in _charts(comparison, shown):
        charts[folder / f"{_slug(name, [path.stem for path in charts])}.svg"] = text
    pictures, sheet = panel_sheet(shown), folder / "panels.png"
    written = [*charts, *([] if pictures is None else [sheet])]
    check_outputs(written, overwrite, below=folder)
    check_writable_folder(folder)
    for path, text in charts.items():
        write_atomically(path, text.encode("utf-8", "replace"))
    if pictures is not None:
        images.write(sheet, pictures)
    return written


def _charts(comparison: Comparison, shown: list[Shown]) -> Iterator[tuple[str, str]]:
    """(name, SVG) of every chart."""
    several = any(len(variant.runs) > 1 for variant in shown)
    variants = [(variant.name, variant.style) for variant in shown if variant.runs]
    for figure in overlays.scores(summarise(comparison), shown):
        cut = "…" in figure.svg  # otherwise the rows have their names
        yield f"score {figure.title}", standing(figure, variants if cut else [], note=INTERVALS if several else "")
    for figure in overlays.curves(shown):
        yield f"curve {figure.title}", standing(figure, variants, "images seen", BANDS if several else "")
    for figure in overlays.pictures(shown, []):
        channel = next((name for name, title in overlays.LAB.items() if title == figure.title), "")
        legend = [*variants, *([TARGETS] if "thick grey" in figure.note else [])]
        kind, below = ("colour ", f"{channel} of CIELAB") if channel else ("", "cycles per pixel")
        yield f"{kind}{figure.title}", standing(figure, legend, below, "means over seeds" if several else "")


def standing(figure: Chart, legend: Sequence[tuple[str, LineStyle]], below: str = "", note: str = "") -> str:
    """A figure of the page as a document of its own.

    Args:
        figure: its title, its inline SVG and its note.
        legend: names and styles; those whose colour the chart does not have are left out.
        below, note: what the horizontal axis counts, and more to say under the chart.
    """
    found = re.fullmatch(r'<svg viewBox="0 0 \S+ (\S+)"[^>]*>(.*)</svg>', str(figure.svg).strip(), re.DOTALL)
    tall, inside = (float(found[1]), found[2]) if found else (0.0, "")
    names = [(wrapped(name, _font(11), LEGEND), style) for name, style in legend if f"var(--{style.colour})" in inside]
    legend_width = max((46 + _font(11).getlength(line) for lines, _ in names for line in lines), default=0.0)
    wide = 2 * EDGE + WIDTH + legend_width
    parts: list[str] = []

    def write(x: float, y: float, lines: Sequence[str], size: float, style: str = "") -> float:
        """Lines of text from a first baseline on; the baseline after the last."""
        for line in lines:
            parts.append(f'<text x="{x:.2f}" y="{y:.2f}" font-size="{size}" {style}>{escape(printable(line))}</text>')
            y += round(1.3 * size)
        return y

    title = wrapped(capital(figure.title), _font(13.5, "-Bold"), wide - 2 * EDGE)
    top = write(EDGE, EDGE + 11, title, 13.5, 'font-weight="bold"') - 8
    y = top + 30.0
    for lines, style in names:
        parts.append(_stroke(style, EDGE + WIDTH + 14, y - 4))
        y = write(EDGE + WIDTH + 46, y, lines, 11) + 5
    bottom = write(EDGE + (WIDTH + 36) / 2, top + tall + 12, [below] if below else [], 10.5, f'text-anchor="middle" {QUIET}')
    level = any(float(x) < WIDTH for x in re.findall(r'd="M (\S+)[^"]*"[^>]*dasharray', inside))  # or it lies beyond the axis
    own = figure.note if level else figure.note.replace(" (dashed)", "")
    caption = " ".join(f"{capital(each).rstrip('.')}." for each in (own, note) if each)
    high = write(EDGE, max(bottom + 4, y), wrapped(caption, _font(10), wide - 2 * EDGE), 10, QUIET) + 1
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


def panel_sheet(shown: Sequence[Shown]) -> NDArray[np.uint8] | None:
    """The page's test images: a row each, and source, variants and target as columns; None if there is none that all variants have.

    Small pictures are enlarged with hard edges, large ones shrunk to SIDE; one that cannot be read is a grey field.
    """
    same, rows = same_images(shown), []
    for name in same.names:
        source, target = (same.ends[end][name] for end in ("source", "target"))
        between = panels.Album().limits_of(target)
        row = [_picture(found[name].files.get("generated"), between) for *_, found in same.chosen]
        row = [*([_picture(source, None)] if same.sourced else []), *row, _picture(target, between)]
        height, width = next((picture.shape[:2] for picture in row if picture is not None), (64, 64))
        rows.append([np.full((height, width, 3), 225, np.uint8) if picture is None else picture for picture in row])
    return _headed(panels.sheet(rows), same.columns) if rows else None


def _picture(path: Path | None, between: Limits | None) -> NDArray[np.uint8] | None:
    if path is None:
        return None
    try:
        image = shown(images.read(path, alpha="drop"), between)
    except (TransfigureError, OSError, ValueError):
        return None
    picture = Image.fromarray(np.broadcast_to(image, (*image.shape[:2], 3)))
    picture.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    return np.asarray(picture)


def _headed(pictures: NDArray[np.uint8], columns: Sequence[tuple[str, str]]) -> NDArray[np.uint8]:
    """A sheet of pictures with whole names above its columns, on as many lines as they need."""
    cell = pictures.shape[1] / len(columns)
    font = _font(max(11, min(20, round(cell / 12))))
    heads = [
        [*((line, panels.INK) for line in wrapped(name, font, 0.94 * cell)), *[(remark, (120, 120, 126))] * bool(remark)]
        for name, remark in columns
    ]
    step = round(1.3 * font.size)
    high = step * max(map(len, heads)) + step // 2
    paper = Image.new("RGB", (pictures.shape[1], high + pictures.shape[0]), panels.PAPER)
    paper.paste(Image.fromarray(pictures), (0, high))
    for at, lines in enumerate(heads):
        for up, (line, ink) in enumerate(reversed(lines)):
            ImageDraw.Draw(paper).text(((at + 0.5) * cell, high - up * step - step // 6), line, fill=ink, font=font, anchor="md")
    return np.asarray(paper)


def _font(size: float, face: str = "") -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(Path(mpl.get_data_path()) / "fonts" / "ttf" / f"DejaVuSans{face}.ttf", size)


def wrapped(text: str, font: ImageFont.FreeTypeFont, width: float) -> list[str]:
    """The text in lines that fit: broken at spaces, in long words after what joins them, and if need be anywhere."""
    lines = [""]
    for piece in re.findall(r"\S+?(?:[.,=_/+:-](?=\w)|(?=\s|$))\s*", " ".join(text.split())):
        for part in [piece] if font.getlength(piece.rstrip()) <= width else piece:
            if lines[-1] and font.getlength((lines[-1] + part).rstrip()) > width:
                lines.append("")
            lines[-1] += part
    return [line.strip() for line in lines if line.strip()]


def _slug(title: str, taken: Sequence[str]) -> str:
    """A title as a file's name; a number sets those apart that would be one."""
    letters = unicodedata.normalize("NFKD", title).encode("ascii", "ignore").decode().lower()
    slug = re.sub(r"[^a-z0-9]+", "-", letters)[:80].strip("-") or "figure"
    return next(name for name in (slug, *(f"{slug}-{at}" for at in range(2, len(taken) + 3))) if name not in taken)
