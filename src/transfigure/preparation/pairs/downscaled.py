"""Photos of fewer pixels."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from annotated_types import Ge

from ...data.pixels import Array, resize
from ...errors import UserError
from ...registry import register
from ..base import Preparation, PreparedPair


@register("preparation", "downscaled")
class Downscaled(Preparation):
    """Smaller photos (bicubic, antialiased), for super-resolution.

    Photos lose the rows at their bottom and the columns at their right that ``factor`` does not divide.

    Args:
        factor: how many times smaller each side is.
        back: enlarge them to the photo's size again, as networks need that keep the size.
    """

    def __init__(self, factor: Annotated[int, Ge(2)] = 4, back: bool = True) -> None:
        self._factor, self._back = factor, back
        self.keeps_size = back

    def __call__(self, photo: Array, label: str, generator: np.random.Generator) -> PreparedPair:
        """The photo at a ``factor``-th of its sides, or blurred by the way there and back."""
        height, width = (side // self._factor for side in photo.shape[:2])
        if min(height, width) < 1:
            raise UserError(f"{label} is {photo.shape[1]} x {photo.shape[0]} pixels: too small to be {self._factor} times smaller")
        target = np.ascontiguousarray(photo[: height * self._factor, : width * self._factor])
        small = resize(target, height, width, "bicubic")
        return PreparedPair(resize(small, target.shape[0], target.shape[1], "bicubic") if self._back else small, target)
