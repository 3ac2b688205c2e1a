"""Photos with holes."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from annotated_types import Ge, Gt, Le

from ...data.pixels import Array
from ...data.value_range import limits
from ...errors import UserError
from ...registry import register
from ..base import Preparation, PreparedPair


@register("preparation", "holes")
class Holes(Preparation):
    """Photos with rectangles cut out, for inpainting, and masks that are white in the holes.

    Where the holes are follows from the seed and a photo's name alone.

    Args:
        count: rectangles in each photo.
        smallest: least share of the photo's side that a rectangle's side has.
        largest: most of it.
        fill: what holes are filled with: black, white, halfway between, or the photo's mean.
    """

    has_mask = True

    def __init__(
        self,
        count: Annotated[int, Ge(1)] = 1,
        smallest: Annotated[float, Gt(0), Le(1)] = 0.25,
        largest: Annotated[float, Gt(0), Le(1)] = 0.5,
        fill: Literal["black", "white", "grey", "mean"] = "mean",
    ) -> None:
        if smallest > largest:
            raise UserError(f"preparation.smallest {smallest} is above preparation.largest {largest}: exchange them")
        self._count, self._shares, self._fill = count, (smallest, largest), fill

    def __call__(self, photo: Array, label: str, generator: np.random.Generator) -> PreparedPair:
        """The photo outside the holes, bit for bit."""
        height, width, _ = photo.shape
        hole = np.zeros((height, width), bool)
        for _ in range(self._count):
            shares = generator.uniform(*self._shares, 2)
            rows, columns = (min(side, max(1, round(share * side))) for side, share in zip((height, width), shares))
            top, left = int(generator.integers(height - rows + 1)), int(generator.integers(width - columns + 1))
            hole[top : top + rows, left : left + columns] = True
        source = photo.copy()
        source[hole] = self._filling(photo)
        return PreparedPair(source, photo, hole[..., None].astype(np.uint8) * np.uint8(255))

    def _filling(self, photo: Array) -> Array:
        """A value for each channel, in the photo's type."""
        low, high = limits(photo.dtype, None)
        if self._fill == "mean":
            value = photo.mean(axis=(0, 1), dtype=np.float64)
        else:
            value = np.full(photo.shape[2], {"black": low, "white": high, "grey": (low + high) / 2}[self._fill], np.float64)
        filling: Array = (value if photo.dtype.kind == "f" else np.rint(value)).astype(photo.dtype)
        return filling
