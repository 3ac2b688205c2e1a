"""A drawn world of your own: pictures that are made when they are read, as many as you ask for, their truth known.

Its name stands where a folder would:

    transfigure train examples/tiny.yaml discs --out runs/world --plugins examples/world.py
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from transfigure import register
from transfigure.data.images import Alpha
from transfigure.data.pairs import Collection, Record
from transfigure.data.pixels import Array
from transfigure.errors import UserError


@dataclass(frozen=True)
class Disc:
    """One picture.

    Attributes:
        number: which one; place and radius are drawn from it.
        filled: the whole disc, its colour told by its radius; else its outline alone.
        size: height and width in pixels.
        paths: none, it is not on disk.
    """

    number: int
    filled: bool
    size: int
    paths: tuple[Path, ...] = ()

    @property
    def label(self) -> str:
        """What a message calls it."""
        return f"disc {self.number}"

    def read(self, alpha: Alpha = "refuse") -> Array:
        """The pixels, uint8 ``[size, size, 3]``."""
        x, y, radius = np.random.default_rng(self.number).uniform((0.3, 0.3, 0.1), (0.7, 0.7, 0.3))
        rows, columns = np.mgrid[: self.size, : self.size] / self.size
        distance = np.hypot(columns - x, rows - y)
        ink = distance < radius if self.filled else abs(distance - radius) < 0.03
        colour = (255 * 5 * (radius - 0.1), 60, 120) if self.filled else (0, 0, 0)
        return np.where(ink[..., None], np.array(colour), 255).astype(np.uint8)


@register("dataset", "discs", drawn=True)
def discs(path: Path | None, size: int = 64, train: int = 100, val: int = 10, test: int = 20) -> Collection:
    """Outlines of discs, and the discs, whose colour is told by their radius: no files.

    Args:
        path: not used; None.
        size: height and width in pixels, 8 or more; a recipe gives its crop_size.
        train: number of pairs to train on.
        val: number of pairs to validate on.
        test: number of pairs to test on.

    Raises:
        UserError: the size is below 8.
    """
    if size < 8:
        raise UserError(f"data.size is {size}: a disc needs 8 pixels or more")
    first = {"train": 0, "val": 10**6, "test": 2 * 10**6}  # far apart: no split has another's pictures
    counts = {"train": train, "val": val, "test": test}

    def drawn(split: str) -> list[Record]:
        numbers = range(first[split], first[split] + counts[split])
        return [Record(f"disc_{number}", Disc(number, False, size), Disc(number, True, size)) for number in numbers]

    return Collection({split: drawn(split) for split in counts})
