"""The page of a data check: one self-contained HTML file with pictures of what is wrong."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePath

import numpy as np
from numpy.typing import NDArray

from ...data.check.measures import KnownColours, foreign_places
from ...data.check.registration import Shift, edges_of
from ...data.check.whole import KINDS, CheckedData, DataProblem, ProblemItem, SideInNumbers
from ...data.display import shown
from ...data.encodings.by_name import SIDES
from ...data.files import write_text
from ...data.ownership import check_outputs
from ...data.pairs import Picture
from ...data.pixels import Array
from ...data.value_range import number
from ...errors import TransfigureError, UserError
from ...wording import counted
from ..formatting import percent
from ..panels import PagePicture, data_uri, fitting, shrunk
from ..shell import fill

BUDGET = 6_000_000
"""Bytes of pictures on a page. If the first of LEVELS (longest side in pixels, JPEG quality) weighs more, the next is tried."""
LEVELS = ((320, 88), (224, 84), (160, 80), (112, 75))
PICTURED = 8
"""Items of a problem that are shown in pictures."""
NAMED = 200
"""Items of a problem that are named below them."""
_DETAIL = 160
"""Side of the middle of a shifted pair whose edges are laid over each other."""
_MARK = (255, 0, 200)
Palettes = tuple[KnownColours | None, KnownColours | None]
_READ = (TransfigureError, OSError, ValueError)


@dataclass(frozen=True)
class _Thumbnail:
    """A picture before it is brought to the size of the page; None where it cannot be read, with the reason."""

    caption: str
    image: NDArray[np.uint8] | None
    reason: str = ""


@dataclass(frozen=True)
class ShownItem:
    """An item as the page shows it."""

    name: str
    split: str
    detail: str
    pictures: list[tuple[str, PagePicture]]


@dataclass(frozen=True)
class ShownProblem:
    """A problem as the page shows it.

    Attributes:
        more: names and details of the items without pictures.
        rest: how many are not even named.
    """

    kind: str
    heading: str
    sentence: str
    count: int
    items: list[ShownItem]
    more: list[tuple[str, str, str]]
    rest: int


@dataclass(frozen=True)
class _Gallery:
    problems: list[ShownProblem]
    weight: int


def check_page(out: str | Path, overwrite: bool | None = False) -> Path:
    """Where the page goes, once it is sure that it may be written.

    Raises:
        UserError: it may not, or its name is not that of a page.
    """
    path = Path(out)
    if path.suffix.lower() not in (".html", ".htm") or path.is_dir():
        raise UserError(f"{path} is no page: name a file that ends in .html")
    check_outputs([path], overwrite)
    return path


def write_page(found: CheckedData, out: str | Path, overwrite: bool = False) -> Path:
    """Write the page.

    Args:
        found: what was found.
        out: a file that ends in ``.html``.
        overwrite: replace a file that is there already and that this tool did not write.

    Returns:
        The file. It appears whole or not at all.

    Raises:
        UserError: it may not be written.
    """
    path = check_page(out, overwrite)
    write_text(path, render(found))
    return path


def render(found: CheckedData) -> str:
    """The page as text."""
    thumbnails = {
        (at, place): list(_thumbnails(problem, item, found.palettes))
        for at, problem in enumerate(found.problems)
        for place, item in enumerate(problem.items[:PICTURED])
    }
    gallery = fitting(lambda side, quality: _gallery(found, thumbnails, side, quality), LEVELS, BUDGET)
    count = len(found.problems)
    total = sum(found.counts.values())
    return fill(
        Path(__file__).parent,
        title=[PurePath(found.place).name or found.place, counted(total, "pair" if found.paired else "record"), _amount(count)],
        amounts=", ".join(f"{amount:,} {split}" for split, amount in found.counts.items()),
        found=found,
        problems=gallery.problems,
        sides=[_row(one) for one in found.sides],
        shift=_shift_words(found.shift),
        ignored=[KINDS[kind].lower() for kind in found.ignored],
        facts=[("data", found.place), ("kind", found.kind), ("direction", found.section.direction), ("pairs", f"{total:,}")],
    )


def _amount(problems: int) -> str:
    return "nothing wrong" if not problems else counted(problems, "problem")


def _shift_words(shift: Shift | None) -> str:
    if shift is None or shift.length:
        return ""
    return f"All pairs taken together, targets lie on their sources (their edges agree by {shift.agreement:.2f} on average)."


def _row(one: SideInNumbers) -> dict[str, str]:
    """A line of the table of values."""

    def several(values: tuple[tuple[str, int], ...]) -> str:
        if len(values) == 1:
            return values[0][0]
        more = f" and {len(values) - 3} more" if len(values) > 3 else ""
        return ", ".join(f"{what} ({count:,})" for what, count in values[:3]) + more

    known = one.low <= one.high
    return {
        "split": one.split,
        "side": one.side,
        "kinds": several(one.kinds) or "none could be read",
        "sizes": several(one.sizes),
        "values": f"{number(one.low)} to {number(one.high)}" if known else "",
        "top": percent(one.at_top),
        "bottom": percent(one.at_bottom),
    }


# ---- pictures ------------------------------------------------------------------------------------------------------------------


def _thumbnails(problem: DataProblem, item: ProblemItem, palettes: Palettes) -> Iterator[_Thumbnail]:
    """What is shown of an item."""
    for caption, picture in item.pictures:
        yield _seen(caption, picture)
    if tuple(caption for caption, _ in item.pictures) != SIDES:
        return
    try:
        source, target = (picture.read("drop") for _, picture in item.pictures)
    except _READ:
        return
    array, palette = (target, palettes[1]) if "its target" in item.detail else (source, palettes[0])
    if problem.kind == "misaligned":
        yield from _overlays(source, target, round(item.numbers["right"]), round(item.numbers["down"]))
    if problem.kind == "palette" and palette is not None:
        yield _marked("outside the palette", array, foreign_places(array, palette))
    if problem.kind == "clipping":
        yield _marked("at the largest value", array, (array == array.max()).any(axis=2))


def _seen(caption: str, picture: Picture) -> _Thumbnail:
    try:
        return _Thumbnail(caption, shrunk(shown(picture.read("drop")), LEVELS[0][0]))
    except _READ:
        return _Thumbnail(caption, None, "cannot be read")


def _marked(caption: str, array: Array, places: NDArray[np.bool_]) -> _Thumbnail:
    """A picture in pale grey, with places in a colour of their own."""
    grey = 96 + shown(array).astype(np.float32).mean(axis=2, keepdims=True) * 0.6
    image = np.broadcast_to(grey.clip(0, 255), (*grey.shape[:2], 3)).astype(np.uint8).copy()
    image[places] = _MARK
    return _Thumbnail(caption, shrunk(image, LEVELS[0][0]))


def _overlays(source: Array, target: Array, right: int, down: int) -> Iterator[_Thumbnail]:
    """The edges of both pictures over each other, source red and target cyan: as they are, and with the target moved back."""
    if source.shape[:2] != target.shape[:2]:
        return
    one, two = edges_of(source), edges_of(target)
    for caption, moved in (("edges as they are", two), ("target moved back", np.roll(two, (-down, -right), (0, 1)))):
        top, left = (max(0, (length - _DETAIL) // 2) for length in one.shape)
        layers = [part[top : top + _DETAIL, left : left + _DETAIL] for part in (one, moved, moved)]
        scaled = [(255 * (layer / (np.percentile(layer, 98) or 1)).clip(0, 1)).astype(np.uint8) for layer in layers]
        yield _Thumbnail(caption, np.stack(scaled, axis=2).repeat(2, 0).repeat(2, 1))


def _gallery(found: CheckedData, thumbnails: dict[tuple[int, int], list[_Thumbnail]], side: int, quality: int) -> _Gallery:
    weight = 0

    def picture(thumbnail: _Thumbnail, alt: str) -> PagePicture:
        nonlocal weight
        if thumbnail.image is None:
            return PagePicture("", 0, 0, alt, thumbnail.reason)
        small = shrunk(thumbnail.image, side)
        uri = data_uri(small, quality)
        weight += len(uri)
        return PagePicture(uri, small.shape[1], small.shape[0], alt)

    problems = []
    for at, problem in enumerate(found.problems):
        items = [
            ShownItem(
                item.name,
                item.split,
                item.detail,
                [(one.caption, picture(one, f"{item.name}, {one.caption}")) for one in thumbnails[at, place]],
            )
            for place, item in enumerate(problem.items[:PICTURED])
        ]
        more = [(item.split, item.name, item.detail) for item in problem.items[PICTURED : PICTURED + NAMED]]
        rest = max(0, len(problem.items) - PICTURED - NAMED)
        problems.append(ShownProblem(problem.kind, KINDS[problem.kind], problem.sentence, len(problem.items), items, more, rest))
    return _Gallery(problems, weight)
