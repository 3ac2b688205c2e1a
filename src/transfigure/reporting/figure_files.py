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
from ..progress import track
from . import panels
from .charts import COLOURS, DASHES, WIDTH, Chart, LineStyle
from .formatting import capital

FONTS = "Helvetica, Arial, 'Liberation Sans', 'DejaVu Sans', sans-serif"
EDGE, LEGEND, SCALE = 14, 150, 1.6
"""Units of white around and of a legend's name at most, and pixels a unit of a chart."""
TARGETS = ("the targets", LineStyle("ink"))
QUIET = f'fill="{COLOURS["ink"]}"'


def write_figures(
    folder: Path,
    charts: Iterable[tuple[str, str]],
    sheets: Mapping[str, NDArray[np.uint8] | None],
    overwrite: bool = False,
    others: Mapping[str, bytes] | None = None,
    pdfs: bool = False,
) -> list[Path]:
    """Write figures into a folder: each chart as an SVG called by its title, each sheet as a PNG.

    Args:
        folder: is made if absent; what else lies there stays.
        charts: title and document.
        sheets: name and picture; None is no file.
        overwrite: replace files that are there already and that this tool did not write.
        others: whole names of more files, and what they hold.
        pdfs: each chart is written as PDF too.

    Returns:
        The files, in this order. Each appears whole or not at all; the same figures have the same names every time.

    Raises:
        UserError: the place cannot be written, or another's file is there.
    """
    documents: dict[Path, str] = {}
    for name, text in charts:
        documents[folder / f"{slug(name, [path.stem for path in documents])}.svg"] = text
    drawn = {path: text.encode("utf-8", "replace") for path, text in documents.items()}
    if pdfs:
        from .figure_pdf import pdf

        for path, text in track(documents.items(), len(documents), "draw figures", "figure"):
            drawn[path.with_suffix(".pdf")] = pdf(text)
    pictures = {folder / f"{name}.png": picture for name, picture in sheets.items() if picture is not None}
    encoded = {folder / name: content for name, content in (others or {}).items()}
    written = [*drawn, *pictures, *encoded]
    check_outputs(written, overwrite, below=folder)
    check_writable_folder(folder)
    for path, content in drawn.items():
        write_atomically(path, content)
    for path, picture in pictures.items():
        images.write(path, picture)
    for path, content in encoded.items():
        write_atomically(path, content)
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


def composed(
    rows: Sequence[tuple[str, Sequence[NDArray[np.uint8] | None]]], heads: Sequence[tuple[str, str]] = (), side: int = 192
) -> NDArray[np.uint8]:
    """Pictures in rows on white paper, each row below a line of text, columns below their heads.

    Args:
        rows: what stands above each row, at most a line or two, and its pictures, uint8 ``[H, W, 1 or 3]``; None is a grey field. Each lies
            in the middle of its column.
        heads: a name and a remark for each column; none where the rows say it.
        side: small pictures are enlarged with hard edges to about so many pixels.

    Returns:
        uint8 ``[H, W, 3]``.
    """
    sizes = [picture.shape[:2] for _, pictures in rows for picture in pictures if picture is not None] or [(side, side)]
    scale = max(1, round(side / max(max(size) for size in sizes)))
    columns, cell = max(len(pictures) for _, pictures in rows), scale * max(width for _, width in sizes)
    gap, letters = max(4, cell // 32), font(max(9, min(15, round(cell / 13))))
    step = round(1.35 * letters.size)
    wide = columns * (cell + gap) + gap
    texts = [wrapped(text, letters, wide - 2 * gap) if text else [] for text, _ in rows]
    high = [scale * max((one.shape[0] for one in pictures if one is not None), default=sizes[0][0]) for _, pictures in rows]
    tall = sum(len(lines) * step + (step // 3 if lines else 0) for lines in texts) + sum(high) + gap * (len(rows) + 1)
    paper = Image.new("RGB", (wide, tall), panels.PAPER)
    draw, top = ImageDraw.Draw(paper), gap
    for (_, pictures), lines, height in zip(rows, texts, high):
        for line in lines:
            draw.text((gap, top + step // 2), printable(line), fill=panels.INK, font=letters, anchor="lm")
            top += step
        top += step // 3 if lines else 0
        for at, picture in enumerate(pictures):
            left = gap + at * (cell + gap)
            if picture is None:
                draw.rectangle((left, top, left + cell - 1, top + height - 1), fill=(225, 225, 225))
                continue
            seen = Image.fromarray(np.broadcast_to(picture, (*picture.shape[:2], 3)))
            seen = seen.resize((seen.width * scale, seen.height * scale), Image.Resampling.NEAREST)
            paper.paste(seen, (left + (cell - seen.width) // 2, top + (height - seen.height) // 2))
        top += height + gap
    return headed(np.asarray(paper), heads) if heads else np.asarray(paper)


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
