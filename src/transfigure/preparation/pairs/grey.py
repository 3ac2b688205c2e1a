"""Photos without their colours."""

from __future__ import annotations

import numpy as np

from ...data.pixels import Array, convert_channels
from ...registry import register
from ..base import Preparation, PreparedPair, refuse_other_channels


@register("preparation", "grey")
class GreyPhotos(Preparation):
    """The lightness of colour photos (ITU-R BT.601 luma) in their own type, for colourisation."""

    def __call__(self, photo: Array, label: str, generator: np.random.Generator) -> PreparedPair:
        """The luma, ``[H, W, 1]``, rounded to the nearest where the photo holds integers."""
        refuse_other_channels(photo, label, 3)
        return PreparedPair(convert_channels(photo, 1), photo)
