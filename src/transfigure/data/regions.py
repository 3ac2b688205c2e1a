"""Rectangles of an image: regions that are divided among the splits, with a margin between them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

Place = tuple[int, int]
"""Row and column of a region, from 0."""
_NAME = re.compile(r"(.+)/r(\d+)c(\d+)")
_RANK = {"train": 0, "val": 1, "test": 2}
"""Of two neighbours in different splits, the one that is less held out gives the margin."""


class Box(NamedTuple):
    """Rows ``top`` to ``bottom`` and columns ``left`` to ``right`` of an image, the last of each not included."""

    top: int
    left: int
    bottom: int
    right: int

    def __str__(self) -> str:
        return f"y{self.top}-{self.bottom} x{self.left}-{self.right}"

    @property
    def height(self) -> int:
        """How many rows there are."""
        return self.bottom - self.top

    @property
    def width(self) -> int:
        """How many columns there are."""
        return self.right - self.left

    def common(self, other: Box) -> Box:
        """What lies in both; without a pixel if nothing does."""
        top, left = max(self.top, other.top), max(self.left, other.left)
        return Box(top, left, max(top, min(self.bottom, other.bottom)), max(left, min(self.right, other.right)))


def overlap(one: Box | None, other: Box | None) -> bool:
    """Whether two parts of an image have a pixel in common; None is all of it."""
    if one is None or other is None:
        return True
    common = one.common(other)
    return common.height > 0 and common.width > 0


def region_grid(height: int, width: int, rows: int, columns: int) -> dict[Place, Box]:
    """An image in rows and columns of regions that differ by a pixel at most and cover it."""
    down = [height * at // rows for at in range(rows + 1)]
    across = [width * at // columns for at in range(columns + 1)]
    return {
        (row, column): Box(down[row], across[column], down[row + 1], across[column + 1]) for row in range(rows) for column in range(columns)
    }


def usable(grid: Mapping[Place, Box], splits: Mapping[Place, str], at: Place, margin: int) -> Box:
    """The part of a region that keeps the margin to every region that is held out more than itself.

    Args:
        grid: the regions of an image, none narrower than the margin.
        splits: the split of each.
        at: row and column of the region.
        margin: in pixels.
    """

    def yields(down: int, across: int) -> bool:
        other = splits.get((at[0] + down, at[1] + across))
        return other is not None and _RANK[other] > _RANK[splits[at]]

    up, low, west, east = yields(-1, 0), yields(1, 0), yields(0, -1), yields(0, 1)
    # A neighbour at a corner is far enough if the margin is kept on either side of that corner.
    west = west or (yields(-1, -1) and not up) or (yields(1, -1) and not low)
    east = east or (yields(-1, 1) and not up) or (yields(1, 1) and not low)
    box = grid[at]
    return Box(box.top + margin * up, box.left + margin * west, box.bottom - margin * low, box.right - margin * east)


def region_name(image: str, at: Place) -> str:
    """``well/r0c1``: what the pair of a region is called."""
    return f"{image}/r{at[0]}c{at[1]}"


def image_of(name: str) -> str:
    """The image that a region's pair is of; the name itself where it is none."""
    found = _NAME.fullmatch(name)
    return found.group(1) if found is not None else name
