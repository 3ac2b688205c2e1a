"""Grey files among colour ones: every reader takes them as three equal channels, and says so in one sentence."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from ..errors import Missing, UserError
from . import images
from .file_facts import PageUse
from .pairing import listed
from .pairs import FilePicture, Picture


def channels_of(pictures: Iterable[Picture]) -> dict[str, int]:
    """The channels that the files of pictures have by their headers; drawn and stacked pictures are left out."""
    known: dict[tuple[Path, bool], int] = {}
    found = {}
    for picture in pictures:
        pages = picture.pages if isinstance(picture, FilePicture) else "channels"
        if len(picture.paths) == 1 and not (isinstance(pages, tuple) and len(pages) > 1):
            path = picture.paths[0]
            key = path, isinstance(pages, tuple)  # all pages of a file are alike
            if key not in known:
                known[key] = header_channels(path, pages)
            found[picture.label] = known[key]
    return found


def header_channels(file: Path, pages: PageUse | tuple[int, ...] = "channels") -> int:
    """As the file's header says of these pages; 0 where it cannot be read, which is said when its pixels are."""
    try:
        return images.size_of(file, pages=pages).channels
    except (UserError, Missing):
        return 0


def are_mixed(channels: Iterable[int]) -> bool:
    """Whether grey and colour stand together."""
    return {1, 3} <= set(channels)


def grey_among_colour(channels: Mapping[str, int], what: str) -> list[str]:
    """The sentence about grey pictures among colour ones, if there are any.

    Args:
        channels: of each picture, by what a message calls it.
        what: the pictures, as ``source pictures``.
    """
    if not are_mixed(channels.values()):
        return []
    grey = [name for name, count in channels.items() if count == 1]
    return [f"{len(grey)} of {len(channels)} {what} are grey among colour ones and will be treated as RGB: {listed(grey)}"]
