"""Pictures for people: any image as 8 bits on a screen, as a data URI for a page, or many of them on a contact sheet."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from ..data import images
from ..data.display import Between, described, limits, parts, shown
from ..data.pixels import Array
from ..errors import TransfigureError

PAPER, INK = (255, 255, 255), (70, 70, 74)
SMALL = 128  # pictures up to this many pixels wide are enlarged with hard edges, so a pixel stays a pixel


@dataclass(frozen=True)
class PagePicture:
    """An image ready for a page. ``problem`` says why there is none; then ``uri`` is empty.

    Attributes:
        look: of many channels, what is to be seen of them, such as ``slice 7 of 13``.
        channels: of a composite, each channel by itself, with its name.
    """

    uri: str
    width: int
    height: int
    alt: str
    problem: str = ""
    look: str = ""
    channels: tuple[tuple[str, PagePicture], ...] = ()

    @property
    def small(self) -> bool:
        """Whether enlarging should keep the pixels visible."""
        return self.width <= SMALL


def _pillow(image: NDArray[np.uint8]) -> Image.Image:
    return Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)


def data_uri(image: NDArray[np.uint8], quality: int = 92) -> str:
    """A uint8 ``[H, W, 1 or 3]`` image as a data URI: PNG where that is small, else JPEG without colour subsampling."""
    picture = _pillow(image)
    quick, exact, close = io.BytesIO(), io.BytesIO(), io.BytesIO()
    picture.save(close, "JPEG", quality=quality, subsampling=0)
    picture.save(quick, "PNG", compress_level=1)
    kind, data = "jpeg", close
    if quick.tell() <= 3 * close.tell():  # the best compression takes ten times as long, and does not shrink a photo to half
        picture.save(exact, "PNG", optimize=True)
        kind, data = ("png", exact) if exact.tell() <= 1.5 * close.tell() else ("jpeg", close)
    return f"data:image/{kind};base64,{base64.b64encode(data.getvalue()).decode('ascii')}"


def opened(path: Path, names: Sequence[str] = ()) -> tuple[Array, tuple[str, ...]]:
    """A picture file, and what its channels are called: by those who know better than the file, or else by itself.

    Raises:
        TransfigureError, OSError, ValueError: it cannot be read.
    """
    array, facts = images.examine(path, alpha="drop")
    known = (tuple(names), facts.channel_names)
    return array, next((some for some in known if len(some) == array.shape[2]), ())


def limits_of(path: Path | None, names: Sequence[str] = ()) -> Between:
    """The display limits of a file; None if it is 8-bit, absent or unreadable."""
    try:
        return limits(*opened(path, names)) if path else None
    except (TransfigureError, OSError, ValueError):
        return None


def picture_of(path: Path | None, between: Between, side: int, names: Sequence[str] = ()) -> NDArray[np.uint8] | None:
    """A file as uint8 ``[H, W, 3]``, a large one shrunk to ``side`` pixels; None if it is absent or unreadable.

    Args:
        path: the file.
        between: the values that become black and white; by default its own :func:`display.limits`.
        side: of the longer side, at most.
        names: of its channels, if the file need not say them.
    """
    if path is None:
        return None
    try:
        array, names = opened(path, names)
    except (TransfigureError, OSError, ValueError):
        return None
    return shrunk(shown(array, between, names), side)


def channels_of(path: Path | None, between: Between, side: int, names: Sequence[str] = ()) -> list[tuple[str, NDArray[np.uint8]]]:
    """The channels of a composite, each by itself, as :func:`picture_of` gives them all; none of other pictures."""
    if path is None:
        return []
    try:
        array, names = opened(path, names)
    except (TransfigureError, OSError, ValueError):
        return []
    return [(name, shrunk(picture, side)) for name, picture in parts(array, between, names)]


def look_of(path: Path | None, names: Sequence[str] = ()) -> str:
    """What is to be seen of a file's many channels; empty of a photo, and if it is absent or unreadable."""
    if path is None:
        return ""
    try:
        array, names = opened(path, names)
    except (TransfigureError, OSError, ValueError):
        return ""
    return described(array.shape[2], names, array.dtype.name)


def shrunk(image: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """A uint8 image ``[H, W, 1 or 3]`` as ``[H, W, 3]``, no longer than ``side`` pixels."""
    picture = Image.fromarray(np.broadcast_to(image, (*image.shape[:2], 3)))
    picture.thumbnail((side, side), Image.Resampling.LANCZOS)
    return np.asarray(picture)


class Album:
    """Turns picture files into :class:`PagePicture` s of bounded size, and counts what they weigh.

    Args:
        side: longest side in pixels; larger pictures are shrunk.
        quality: of the JPEGs, out of 100.
        target: what a target is called below its picture.
        names: of the channels of ``source`` and ``target`` pictures, where they are known; else files may say them.
    """

    def __init__(
        self, side: int = 512, quality: int = 92, target: str = "target", names: Mapping[str, Sequence[str]] | None = None
    ) -> None:
        self.side, self.quality, self.target = side, quality, target
        self.names = dict(names or {})
        self.weight = 0
        self.stretched = False

    def row(self, files: Mapping[str, Path | None], name: str) -> list[tuple[str, PagePicture]]:
        """The sides of a pair with their names; generated and target are shown between the same values, so they can be compared."""
        shared = self.limits_of(files.get("target"))
        called = {"target": self.target}
        return [
            (called.get(side, side), self.picture(file, f"{name}: {side}", None if side == "source" else shared, side, whole=True))
            for side, file in files.items()
        ]

    def limits_of(self, path: Path | None) -> Between:
        """The display limits of a target's file; None if it is 8-bit, absent or unreadable."""
        return limits_of(path, self.names.get("target", ()))

    def picture(self, path: Path | None, alt: str, between: Between = None, side: str = "target", whole: bool = False) -> PagePicture:
        """One file as a picture; a missing or damaged one becomes a picture with a problem in words.

        Args:
            path: the file.
            alt: what it is.
            between: the values that become black and white; by default its own.
            side: ``source``, or anything else for a target and what is generated for it: whose channels have the names.
            whole: with each channel of a composite by itself.
        """
        if path is None:
            return PagePicture("", 0, 0, alt, "no file")
        try:
            raw, names = opened(path, self.names.get("source" if side == "source" else "target", ()))
        except (TransfigureError, OSError, ValueError):
            return PagePicture("", 0, 0, alt, f"{path.name} could not be read")
        self.stretched = self.stretched or limits(raw, names) is not None
        look = described(raw.shape[2], names, raw.dtype.name)
        single = parts(raw, between, names) if whole else []
        channels = [(name, self._encoded(part, f"{alt}, {name}", self.side // 2)) for name, part in single]
        picture = self._encoded(shown(raw, between, names), f"{alt} ({look})" if look else alt, self.side)
        return replace(picture, look=look, channels=tuple(channels))

    def _encoded(self, image: NDArray[np.uint8], alt: str, side: int) -> PagePicture:
        height, width = image.shape[:2]
        if max(height, width) > side:
            scale = side / max(height, width)
            size = (max(1, round(width * scale)), max(1, round(height * scale)))
            image = np.atleast_3d(np.asarray(_pillow(image).resize(size, Image.Resampling.LANCZOS)))
        uri = data_uri(image, self.quality)
        self.weight += len(uri)
        return PagePicture(uri, width, height, alt)


class Weighed(Protocol):
    """Pictures that know how many bytes of a page they take."""

    @property
    def weight(self) -> int:
        """Bytes."""
        ...


Pictures = TypeVar("Pictures", bound=Weighed)


def fitting(build: Callable[[int, int], Pictures], levels: Sequence[tuple[int, int]], budget: int) -> Pictures:
    """The pictures of the first level that weighs no more than the budget; of the last if none does.

    Args:
        build: longest side in pixels and JPEG quality -> pictures.
        levels: both, from the best down.
        budget: bytes.
    """
    for level in levels[:-1]:
        pictures = build(*level)
        if pictures.weight <= budget:
            return pictures
    return build(*levels[-1])


def sheet(rows: Sequence[Sequence[NDArray[np.generic]]], labels: Sequence[str] | None = None, scale: int = 0) -> NDArray[np.uint8]:
    """A contact sheet: one row of pictures per row, on white paper, with a caption above each column.

    Args:
        rows: images ``[H, W]`` or ``[H, W, C]`` as :func:`shown` takes them; sizes may differ, each is centred in its cell.
        labels: one caption per column, e.g. ``["source", "generated", "target"]``; long ones are shortened to fit.
        scale: whole-number enlargement with hard edges; 0 brings small images to about 192 pixels.

    Returns:
        uint8 ``[H, W, 3]``.

    Raises:
        ValueError: there is no picture, a negative scale, or more labels than columns.
    """
    cells = [[shown(image) for image in row] for row in rows]
    sizes = [image.shape[:2] for row in cells for image in row]
    if not sizes or scale < 0:
        raise ValueError("a sheet needs at least one picture and a scale of 0 or more")
    columns = max(len(row) for row in cells)
    if labels is not None and len(labels) > columns:
        raise ValueError(f"{len(labels)} labels for {columns} columns")
    height, width = max(size[0] for size in sizes), max(size[1] for size in sizes)
    scale = scale or max(1, round(192 / max(height, width)))
    height, width = height * scale, width * scale
    gap = max(4, width // 32)
    letter = max(9, min(20, width // 11))
    head = round(letter * 1.6) if labels else 0
    paper = Image.new("RGB", (columns * (width + gap) + gap, head + len(cells) * (height + gap) + gap), PAPER)
    font = ImageFont.load_default(size=letter)
    draw = ImageDraw.Draw(paper)
    for column, label in enumerate(labels or ()):
        middle = gap + column * (width + gap) + width // 2
        draw.text((middle, gap // 2 + head // 2), _fitted(label, font, width), fill=INK, font=font, anchor="mm")
    for line, row in enumerate(cells):
        for column, image in enumerate(row):
            picture = _pillow(image).convert("RGB")
            picture = picture.resize((picture.width * scale, picture.height * scale), Image.Resampling.NEAREST)
            left = gap + column * (width + gap) + (width - picture.width) // 2
            top = gap + head + line * (height + gap) + (height - picture.height) // 2
            paper.paste(picture, (left, top))
    return np.asarray(paper)


def _fitted(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> str:
    """The text, or as much of its beginning as fits."""
    text = " ".join(text.split())
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(text + "…") > width:
        text = text[:-1]
    return text.rstrip() + "…" if text else ""
