"""Rectangles of an image: regions that are divided among the splits, with a margin between them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

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


def region_grid(height: int, width: int, rows: int, columns: int) -> dict[tuple[int, int], Box]:
    """An image in rows and columns of regions that differ by a pixel at most and cover it."""
    down = [height * at // rows for at in range(rows + 1)]
    across = [width * at // columns for at in range(columns + 1)]
    return {
        (row, column): Box(down[row], across[column], down[row + 1], across[column + 1]) for row in range(rows) for column in range(columns)
    }


def usable(grid: Mapping[tuple[int, int], Box], splits: Mapping[tuple[int, int], str], at: tuple[int, int], margin: int) -> Box:
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
