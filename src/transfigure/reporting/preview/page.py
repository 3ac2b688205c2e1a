"""Pairs as a training will draw them: one self-contained HTML page, or one picture."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...data import images
from ...data.files import write_text
from ...data.ownership import check_outputs
from ...data.value_range import USED
from ...errors import UserError
from ..figure_files import composed
from ..formatting import capital
from ..panels import PagePicture, data_uri, fitting, shrunk
from ..shell import fill
from . import words
from .draws import PairSide, Preview

BUDGET = 4_000_000
"""Bytes of pictures on a page. If the first of LEVELS (longest side in pixels, JPEG quality) weighs more, the next is tried."""
LEVELS = ((360, 90), (256, 85), (192, 80), (128, 75))
NAMED = 12
"""Pairs that were left out, by name."""


@dataclass(frozen=True)
class CaptionedPicture:
    """A picture of a row: its caption, a remark, and the name of the colour of its frame."""

    caption: str
    remark: str
    colour: str
    picture: PagePicture


@dataclass(frozen=True)
class SideRow:
    """One side of a pair: the whole file, and what each epoch sees of it.

    Attributes:
        start, width: of what the networks get, in percent of a line from -1 to 1.
    """

    role: str
    file: str
    about: str
    dark: bool
    remarks: list[str]
    start: float
    width: float
    pictures: list[CaptionedPicture]


@dataclass(frozen=True)
class Shelf:
    """Every picture of the page."""

    pairs: list[tuple[str, list[SideRow]]]
    weight: int


def check_preview(out: str | Path, overwrite: bool | None = False) -> Path:
    """Where a preview goes, once it is sure that it may be written.

    Raises:
        UserError: it may not, or its name is that of neither a page nor a picture.
    """
    path = Path(out)
    if path.suffix.lower() not in (".html", ".htm", ".png") or path.is_dir():
        raise UserError(f"{path} is neither a page nor a picture: name a file that ends in .html or in .png")
    check_outputs([path], overwrite)
    return path


def write_preview(found: Preview, out: str | Path, overwrite: bool = False) -> Path:
    """Write a preview.

    Args:
        found: what is shown.
        out: a page (``.html``) or a picture (``.png``).
        overwrite: replace a file that is there already and that this tool did not write.

    Returns:
        The file. It appears whole or not at all.

    Raises:
        UserError: it may not be written.
    """
    path = check_preview(out, overwrite)
    if path.suffix.lower() == ".png":
        images.write(path, sheet(found))
    else:
        write_text(path, render(found))
    return path


def render(found: Preview) -> str:
    """The page as text."""
    shelf = fitting(lambda side, quality: _shelf(found, side, quality), LEVELS, BUDGET)
    return fill(
        Path(__file__).parent,
        title=words.title(found),
        recipe=found.recipe,
        summary=words.summary(found),
        other_way=words.other_way(found),
        pairs=shelf.pairs,
        facts=list(words.facts(found)),
        notices=list(found.notes),
        left_out=[(pair.name, pair.reason) for pair in found.left_out[:NAMED]],
        more_left_out=max(0, len(found.left_out) - NAMED),
        unpaired=found.unpaired,
        stretched=any(dtype != "uint8" for dtype in found.dtypes),
        whole=found.section.load_size == found.section.crop_size,
    )


def _shelf(found: Preview, longest: int, quality: int) -> Shelf:
    weight, pairs = 0, []

    def picture(image: NDArray[np.uint8], alt: str) -> PagePicture:
        nonlocal weight
        small = shrunk(image, longest)
        uri = data_uri(small, quality)
        weight += len(uri)
        return PagePicture(uri, small.shape[1], small.shape[0], alt)

    for pair in found.pairs:
        rows = []
        for side in pair.sides:
            turns = side.role == "target" and words.turns(pair)
            pictures = [CaptionedPicture("the whole picture", words.resized(side), "", picture(side.whole, f"{side.file}, whole"))]
            for draw in side.draws:
                caption = words.caption(draw)
                remark = draw.file if turns else ""
                pictures.append(CaptionedPicture(caption, remark, draw.colour, picture(draw.picture, f"{draw.file}, {caption}")))
            if side.evaluated is not None:
                pictures.append(CaptionedPicture("when evaluated", "", "", picture(side.evaluated, f"{side.file}, when evaluated")))
            pictures += [CaptionedPicture(name, "", "", picture(channel, f"{side.file}, {name}")) for name, channel in side.single]
            low, high = side.seen
            used = (high - low) / 2
            about = words.about(side)
            rows.append(SideRow(side.role, side.file, about, used < USED, words.remarks(side), 50 * (low + 1), 50 * (high - low), pictures))
        pairs.append((pair.name, rows))
    return Shelf(pairs, weight)


# ---- one picture -----------------------------------------------------------------------------------------------------------


def sheet(found: Preview) -> NDArray[np.uint8]:
    """The pairs as one picture, uint8 ``[H, W, 3]``: a row for each side, the words above it."""
    longest = max(128, min(256, found.section.crop_size))
    draws = max(len(pair.source.draws) for pair in found.pairs)
    evaluated = any(side.evaluated is not None for pair in found.pairs for side in pair.sides)
    heads = [("the whole picture", ""), *((f"epoch {at + 1}", "") for at in range(draws)), *([("when evaluated", "")] if evaluated else [])]
    return composed([row for pair in found.pairs for row in _rows(pair.sides, longest)], heads, longest)


def _rows(sides: tuple[PairSide, PairSide], longest: int) -> Iterator[tuple[str, list[NDArray[np.uint8] | None]]]:
    for side in sides:
        mirrored = [str(draw.epoch) for draw in side.draws if draw.mirrored]
        said = f"; mirrored: epoch {', '.join(mirrored)}" if mirrored else ""
        pictures = [side.whole, *(draw.picture for draw in side.draws), *([] if side.evaluated is None else [side.evaluated])]
        text = f"{capital(side.role)}: {side.file}; {words.about(side)}{said}"
        yield text, [shrunk(_enlarged(one, longest), longest) for one in pictures]


def _enlarged(picture: NDArray[np.uint8], longest: int) -> NDArray[np.uint8]:
    """A small picture enlarged with hard edges by a whole number."""
    scale = max(1, longest // max(picture.shape[:2]))
    return picture.repeat(scale, 0).repeat(scale, 1)
