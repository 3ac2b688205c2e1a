"""What the scores of an evaluation are of: whole images of which sizes, or which part of them."""

from __future__ import annotations

from collections.abc import Iterable

from ..data import images
from ..data.pairs import FilePicture, Picture
from ..data.transforms import Fit
from ..errors import Missing, UserError
from .schema import Facts

Size = tuple[int, int]
"""Height and width in pixels."""


class ScoredSizes:
    """Takes in the sizes of the images that are scored, and says in the end what was scored of them.

    Args:
        square: side of the square in the middle of each that is scored; None: all of it.
        resized: the side of the square that images are brought to; None: they keep their size.
        fit: how they are.

    Attributes:
        seen: the sizes of the images as their files have them.
    """

    def __init__(self, square: int | None = None, resized: int | None = None, fit: Fit = "refuse") -> None:
        if fit == "pad":  # at their own size, so that the middle is all that is seen
            square, resized = resized, None
        self.square, self.resized, self.fit = square, resized, fit
        self.seen: dict[Size, int] = {}

    def take(self, size: Size, images: int = 1) -> None:
        """An image's height and width, or those of several."""
        self.seen[size] = self.seen.get(size, 0) + images

    def say_in(self, about: Facts) -> None:
        """Write into the facts what was scored, and how much of the images' pixels that is, if it is not all."""
        about.scored, about.scored_share = self.words(), self.share()

    def words(self) -> str:
        """``whole images, 1024 x 1024``; ``the middle 128 x 128 of images of 640 x 480 to 1024 x 1024``."""
        if self.resized is not None:
            side = f"{self.resized} x {self.resized}"
            if self.fit == "crop" and any(height != width for height, width in self.seen):
                return f"the middle of images of {words_of(self.seen)}, as much of each as covers {side}"
            return f"whole images, {'scaled into' if self.fit == 'fit' else 'resized to'} {side}"
        if not self.seen:
            return ""
        sizes = words_of(self.seen)
        if self.square is None or all(size == (self.square, self.square) for size in self.seen):
            return f"whole images, {sizes}"
        return f"the middle {self.square} x {self.square} of images of {sizes}"

    def share(self) -> float | None:
        """How much of all pixels is scored; None if all of them are. An image that is smaller than the square is enlarged to it first."""
        if (self.square is None and self.fit != "crop") or not self.seen:
            return None
        scored = total = 0.0
        for (height, width), count in self.seen.items():
            square = min(height, width) if self.square is None else self.square
            if self.fit == "pad":
                scored += count * min(square, height) * min(square, width)
            else:
                scored += count * min(square, height, width) ** 2
            total += count * height * width
        return None if scored == total else scored / total


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
