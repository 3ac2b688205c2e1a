"""Edges of photos, by Canny."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import numpy as np
from annotated_types import Ge, Gt, Le

from ...data.pixels import Array
from ...errors import Missing, UserError
from ...registry import register
from ..base import Preparation, PreparedPair, refuse_other_channels, scaled


@register("preparation", "edges")
class CannyEdges(Preparation):
    """Thin edges by Canny, as drawn lines.

    The photo is brought between its own dark and bright ends first, so that one of 8 bits, of 16 bits and of floats has the same edges.

    Args:
        sigma: standard deviation of the blur before, in pixels; more leaves fewer edges.
        low: gradient above which an edge goes on, of 1 for the whole range of a photo.
        high: gradient above which an edge begins.
        lines: colour of the lines.

    Source: Canny 1986, as scikit-image computes it.
    """

    def __init__(
        self,
        sigma: Annotated[float, Gt(0)] = 2.0,
        low: Annotated[float, Ge(0), Le(1)] = 0.1,
        high: Annotated[float, Ge(0), Le(1)] = 0.2,
        lines: Literal["black", "white"] = "black",
    ) -> None:
        if low > high:
            raise UserError(f"preparation.low {low} is above preparation.high {high}: an edge begins at the higher of the two")
        try:
            from skimage.feature import canny
        except ImportError as error:
            raise Missing.extra("scikit-image", "prepare", "finding edges") from error
        self._canny: Any = canny
        self._sigma, self._thresholds, self._lines = sigma, (low, high), lines

    def __call__(self, photo: Array, label: str, generator: np.random.Generator) -> PreparedPair:
        """The edges as 0 and 255, ``[H, W, 1]`` uint8."""
        refuse_other_channels(photo, label, 1, 3)
        low, high = self._thresholds
        found = self._canny(scaled(photo), sigma=self._sigma, low_threshold=low, high_threshold=high)
        drawn = found if self._lines == "white" else ~found
        return PreparedPair(drawn[..., None].astype(np.uint8) * np.uint8(255), photo)
