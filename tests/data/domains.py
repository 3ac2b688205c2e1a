"""Folders of images without correspondence, each image known by its commonest value."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from transfigure.data import images


def fill(folder: Path, count: int, first: int = 0, side: int = 20, channels: int = 3) -> Path:
    """``count`` pictures whose commonest value is their number."""
    for number in range(first, first + count):
        picture = np.full((side, side, channels), number, np.uint8)
        picture[::5, ::5] = 255  # a picture of one value would be noted
        images.write(folder / f"{number}.png", picture)
    return folder


def domains(folder: Path, **counts: int) -> Path:
    """One folder per domain and split, such as ``trainA=4``, whose numbers begin at 0, 50, 100, ..."""
    for index, (name, count) in enumerate(counts.items()):
        fill(folder / name, count, first=50 * index)
    return folder
