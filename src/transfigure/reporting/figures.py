"""The figures of a comparison as files of their own, for a paper or a slide: every chart as an SVG, the test images as one PNG.

They are the page's charts, but lean on no page: colours are written out, and title, legend, units and what the strokes mean stand beside
the chart on white paper.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

import matplotlib as mpl
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from ..data import images
from ..data.files import check_writable_folder, write_atomically
from ..errors import TransfigureError
from ..experiments.summary import Study, summarise
from . import overlays, words
from .bands import DASHES, Look
from .comparison import readable, same_images
from .curves import COLOURS, WIDTH
from .overlays import Shown
from .page import Figure
from .panels import INK, PAPER, Limits, limits, sheet
from .panels import shown as seen

FONTS = "Helvetica, Arial, 'Liberation Sans', 'DejaVu Sans', sans-serif"
SCALE = 1.6
"""Pixels a unit: with a legend beside it a chart is about as wide as a page of text."""
EDGE, LEGEND, SIDE = 14, 150, 512
"""Units of white around, units of a legend's name at most, and pixels of a test image's longest side."""
INTERVALS = "ring: one run; stroke: their mean; bar: the 95 % interval of that mean, cut where it runs off the axis"
BANDS = "line: mean over seeds, of running means where many steps were logged; band: from the lowest to the highest seed"
Pixels = NDArray[np.uint8]
Font = ImageFont.FreeTypeFont


@dataclass(frozen=True)
class Stroke:
    """A line of the legend."""

    name: str
    look: Look
    width: float = 2.0
    opacity: float = 1.0


TARGETS = Stroke("the targets", Look("ink"), 4.5, 0.45)


def figures(study: Study, folder: str | Path) -> list[Path]:
    """Write every figure of a study's comparison: charts as ``<slug of its title>.svg``, test images by variant as ``panels.png``.

    Args:
        study: see ``experiments.summary``: ``read_ablation`` or ``of_runs``.
        folder: is made if absent; what else lies there stays.

    Returns:
        The files, in the order of the page. Each appears whole or not at all; one study gives the same names every time.

    Raises:
        UserError: the place cannot be written.
        RunFailure: the disk is full.
    """
    folder = Path(folder)
    check_writable_folder(folder)
    shown = readable(study, [])
    written: list[Path] = []
    for name, text in _charts(study, shown):
        written.append(folder / f"{_slug(name, [path.stem for path in written])}.svg")
        write_atomically(written[-1], text.encode("utf-8", "replace"))
    if (panels := panel_sheet(shown)) is not None:
        written.append(folder / "panels.png")
        images.write(written[-1], panels)
    return written


def _charts(study: Study, shown: list[Shown]) -> Iterator[tuple[str, str]]:
    """(name, SVG) of every chart."""
    several = any(len(variant.runs) > 1 for variant in shown)
    variants = [Stroke(variant.name, variant.look) for variant in shown if variant.runs]
    for figure in overlays.scores(summarise(study), shown):
        legend = variants if "…" in figure.svg else []  # the rows have their names, unless those were cut
        yield f"score {figure.title}", standing(figure, legend, notes=[INTERVALS if several else ""])
    for figure in overlays.curves(shown):
        yield f"curve {figure.title}", standing(figure, variants, "images seen", [BANDS if several else ""])
    for figure in overlays.pictures(shown, []):
        legend = [*variants, *([TARGETS] if "thick grey" in figure.note else [])]
        below = "cycles per pixel" if figure.title.startswith("Spectrum") else ""
        yield figure.title, standing(figure, legend, below, ["means over seeds" if several else ""])


def standing(figure: Figure, legend: Sequence[Stroke], below: str = "", notes: Sequence[str] = ()) -> str:
    """A figure of the page as a document.

    Args:
        figure: its title, its inline SVG and its note.
        legend: what the strokes mean; a variant whose colour the chart does not have is left out.
        below: what the horizontal axis counts.
        notes: more to say under the chart.
    """
    found = re.fullmatch(r'<svg viewBox="0 0 \S+ (\S+)"[^>]*>(.*)</svg>', str(figure.svg).strip(), re.DOTALL)
    tall, inside = (float(found[1]), found[2]) if found else (0.0, "")
    legend = [stroke for stroke in legend if f"var(--{stroke.look.colour})" in inside]
    names = [wrapped(stroke.name, _font(11), LEGEND) for stroke in legend]
    room = 46 + max((_font(11).getlength(line) for lines in names for line in lines), default=-46.0)
    wide = 2 * EDGE + WIDTH + room
    parts: list[str] = []

    def write(x: float, y: float, lines: Sequence[str], size: float, style: str = "") -> float:
        """Lines of text from a first baseline on; the baseline after the last."""
        for line in lines:
            parts.append(f'<text x="{x:.2f}" y="{y:.2f}" font-size="{size}" {style}>{escape(line)}</text>')
            y += round(1.3 * size)
        return y

    quiet = f'fill="{COLOURS["ink"]}"'
    top = (
        write(EDGE, EDGE + 11, wrapped(words.capital(figure.title), _font(13.5, "-Bold"), wide - 2 * EDGE), 13.5, 'font-weight="bold"') - 8
    )
    y = top + 30.0
    for stroke, lines in zip(legend, names):
        parts.append(_swatch(stroke, EDGE + WIDTH + 14, y - 4))
        y = write(EDGE + WIDTH + 46, y, lines, 11) + 5
    bottom = top + tall + 12
    if below:
        bottom = write(EDGE + 46 + (WIDTH - 56) / 2, bottom, [below], 10.5, f'text-anchor="middle" {quiet}')
    bottom = max(bottom + 4, y)
    said = " ".join(f"{words.capital(note).rstrip('.')}." for note in (figure.note, *notes) if note)
    high = write(EDGE, bottom, wrapped(said, _font(10), wide - 2 * EDGE), 10, quiet) - 13 + EDGE
    plain = re.sub(r"font-family: [^;\"]*", f"font-family: {FONTS}", inside)
    chart = f'<g transform="translate({EDGE} {top})" stroke-linejoin="round" stroke-linecap="butt">{plain}</g>'
    text = (
        f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" viewBox="0 0 {wide:.1f} {high:.1f}" '
        f'width="{SCALE * wide:.0f}" height="{SCALE * high:.0f}" role="img" font-family="{FONTS}" fill="#23262b">\n'
        f'<title>{escape(figure.title)}</title>\n<rect width="100%" height="100%" fill="#fff"/>\n{chart}\n'
        + "\n".join(parts)
        + "\n</svg>\n"
    )
    text = re.sub(r"var\(--(\w+)\)", lambda name: COLOURS.get(name[1], "#000"), text)
    return re.sub(r"[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "\ufffd", text)  # XML has no place for the others


def _swatch(stroke: Stroke, x: float, y: float) -> str:
    dash = DASHES[stroke.look.dash]
    dashes = "" if isinstance(dash, str) else f' stroke-dasharray="{" ".join(f"{stroke.width * part:g}" for part in dash[1])}"'
    line = f'stroke="{COLOURS[stroke.look.colour]}" stroke-width="{stroke.width}" stroke-opacity="{stroke.opacity}"{dashes}'
    return f'<path d="M {x} {y:.2f} h 24" fill="none" {line}/>'


def panel_sheet(shown: Sequence[Shown]) -> Pixels | None:
    """The page's test images: a row each, and source, variants and target as columns; None if there is none that all variants have.

    Small pictures are enlarged with hard edges, large ones shrunk to SIDE; one that cannot be read is a grey field.
    """
    same = same_images(shown)
    rows: list[list[Pixels]] = []
    for name in same.names:
        source, target = (same.ends[end][name] for end in ("source", "target"))
        between = _between(target)
        row = [_picture(source, None)] if same.sourced else []
        row += [_picture(panels[name].files.get("generated"), between) for _, _, panels in same.chosen]
        row.append(_picture(target, between))
        size = next((picture.shape[:2] for picture in reversed(row) if picture is not None), (64, 64))
        rows.append([np.full((*size, 3), 225, np.uint8) if picture is None else picture for picture in row])
    return _headed(sheet(rows), same.columns) if rows else None


def _headed(pictures: Pixels, columns: Sequence[tuple[str, str]]) -> Pixels:
    """A sheet of pictures with whole names above its columns, on as many lines as they need."""
    cell = pictures.shape[1] / len(columns)
    font = _font(max(11, min(20, round(cell / 12))))
    heads = [
        [(line, INK) for line in wrapped(name, font, 0.94 * cell)] + [(remark, (130, 130, 136))] * bool(remark) for name, remark in columns
    ]
    step = round(1.3 * font.size)
    high = step * max(map(len, heads)) + step // 2
    paper = Image.new("RGB", (pictures.shape[1], high + pictures.shape[0]), PAPER)
    paper.paste(Image.fromarray(pictures), (0, high))
    draw = ImageDraw.Draw(paper)
    for at, lines in enumerate(heads):
        for up, (line, ink) in enumerate(reversed(lines)):
            draw.text(((at + 0.5) * cell, high - up * step - step // 6), line, fill=ink, font=font, anchor="md")
    return np.asarray(paper)


def _between(path: Path | None) -> Limits | None:
    raw = _raw(path)
    return None if raw is None else limits(raw)


def _picture(path: Path | None, between: Limits | None) -> Pixels | None:
    raw = _raw(path)
    if raw is None:
        return None
    image = seen(raw, between)
    picture = Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image).convert("RGB")
    picture.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    return np.asarray(picture)


def _raw(path: Path | None) -> NDArray[np.generic] | None:
    try:
        return None if path is None else images.read(path, alpha="drop")
    except (TransfigureError, OSError, ValueError):
        return None


# ---- words -----------------------------------------------------------------------------------------------------------------


def _font(size: float, face: str = "") -> Font:
    return ImageFont.truetype(Path(mpl.get_data_path()) / "fonts" / "ttf" / f"DejaVuSans{face}.ttf", size)


def wrapped(text: str, font: Font, width: float) -> list[str]:
    """The text in lines that fit: broken at spaces, in long words after what joins them, and if need be anywhere."""
    lines = [""]
    for piece in re.findall(r"\S+?(?:[.,=_/+:-](?=\w)|(?=\s|$))\s*", " ".join(text.split())):
        if lines[-1] and font.getlength((lines[-1] + piece).rstrip()) > width:
            lines.append("")
        for letter in piece:
            if lines[-1] and font.getlength((lines[-1] + letter).rstrip()) > width:
                lines.append("")
            lines[-1] += letter
    return [line.strip() for line in lines if line.strip()]


def _slug(title: str, taken: Sequence[str]) -> str:
    """A title as a file's name; a number sets those apart that would be one."""
    letters = unicodedata.normalize("NFKD", title).encode("ascii", "ignore").decode().lower()
    slug = re.sub(r"[^a-z0-9]+", "-", letters)[:80].strip("-") or "figure"
    return next(name for name in (slug, *(f"{slug}-{at}" for at in range(2, len(taken) + 3))) if name not in taken)
