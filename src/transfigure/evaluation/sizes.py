"""What the scores of an evaluation are of: whole images of which sizes, or which part of them."""

from __future__ import annotations

from collections.abc import Iterable

from ..data import images
from ..data.pairs import FilePicture, Picture
from ..data.transforms import Geometry
from ..errors import Missing, UserError
from .schema import Facts

Size = tuple[int, int]
"""Height and width in pixels."""


class ScoredSizes:
    """Takes in the sizes of the images that are scored, and says in the end what was scored of them.

    Args:
        geometry: what is done to them; None: nothing, all of each is scored at its own size.
        what: they are: ``images``, or ``regions`` of images.

    Attributes:
        seen: the sizes of the images as their files have them, and how many have each.
    """

    def __init__(self, geometry: Geometry | None = None, what: str = "images") -> None:
        self.geometry = None if geometry is None or geometry.whole else geometry
        self.what = what
        self.seen: dict[Size, int] = {}

    def take(self, size: Size, images: int = 1) -> None:
        """An image's height and width, or those of several."""
        self.seen[size] = self.seen.get(size, 0) + images

    def say_in(self, about: Facts) -> None:
        """Write into the facts what was scored, and how much of the images' pixels that is, if it is not all."""
        about.scored, about.scored_share = self.words(), self.share()

    def words(self) -> str:
        """``whole images, 1024 x 1024``; ``the middle 128 x 128 of images of 640 x 480 to 1024 x 1024``."""
        if not self.seen:
            return ""
        sizes, geometry = words_of(self.seen), self.geometry
        if geometry is None:
            return f"whole {self.what}, {sizes}"
        square, part = f"{geometry.crop_size} x {geometry.crop_size}", self.share() is not None
        if geometry.load_size is not None and geometry.fit != "pad":
            if part:
                return f"the middle of {self.what} of {sizes}, as much of each as covers {square}"
            return f"whole {self.what}, {'scaled into' if geometry.fit == 'fit' else 'resized to'} {square}"
        small = any(min(size) < geometry.crop_size for size in self.seen)
        if part:
            return f"the middle {square} of {self.what} of {sizes}" + (", smaller ones enlarged" if small and geometry.fit != "pad" else "")
        if small:
            return f"whole {self.what}, {'padded' if geometry.fit == 'pad' else 'brought'} to {square}"
        return f"whole {self.what}, {sizes}"

    def share(self) -> float | None:
        """How much of all pixels is scored; None if all of them are."""
        if self.geometry is None:
            return None
        scored = total = 0.0
        for size, count in self.seen.items():
            scored += count * size[0] * size[1] * _part_seen(self.geometry, size)
            total += count * size[0] * size[1]
        return scored / total if scored < total * (1 - 1e-9) else None


def _part_seen(geometry: Geometry, size: Size) -> float:
    """Which part of an image lies in the square in the middle that is taken of it."""
    framing = geometry.framings(size, size)[0]
    seen = 1.0
    for start, length, space in zip((framing.top, framing.left), (framing.height, framing.width), framing.frame):
        first = (space - geometry.crop_size) // 2
        seen *= max(0, min(start + length, first + geometry.crop_size) - max(start, first)) / length
    return seen


def words_of(sizes: Iterable[Size]) -> str:
    """``1024 x 1024``, width first, or the smallest and the largest of several: ``640 x 480 to 1024 x 1024``."""
    ordered = sorted(sizes, key=lambda size: (size[0] * size[1], size))
    ends = [f"{width} x {height}" for height, width in (ordered[0], ordered[-1])]
    return " to ".join(dict.fromkeys(ends))


def size_by_header(picture: Picture) -> Size | None:
    """Height and width of a picture as its file's header has them; None if it says nothing, or there is no file."""
    if not isinstance(picture, FilePicture):
        return None
    if picture.region is not None:
        return picture.region.height, picture.region.width
    try:
        header = images.size_of(picture.paths[0], picture.orientation, picture.pages)
    except (UserError, Missing):
        return None
    return header.height, header.width // (1 if picture.half is None else 2)
