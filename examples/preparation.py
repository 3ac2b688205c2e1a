"""A way of your own to make pairs from photos: few levels of each colour, as on a screen print, which a network is to undo.

The first line draws pictures to take for photos:

    python examples/data_kind.py runs/pairs
    transfigure data prepare runs/pairs posterized --out runs/posterized --plugins examples/preparation.py --preparation.levels 3
"""

from typing import Annotated, Any

import numpy as np
from annotated_types import Ge, Le
from numpy.typing import NDArray

from transfigure import register
from transfigure.data.value_range import limits
from transfigure.preparation.base import Preparation, PreparedPair


@register("preparation", "posterized")
class Posterized(Preparation):
    """Photos with few levels of each colour.

    Args:
        levels: how many are left.
    """

    def __init__(self, levels: Annotated[int, Ge(2), Le(64)] = 4) -> None:
        self.levels = levels

    def __call__(self, photo: NDArray[Any], label: str, generator: np.random.Generator) -> PreparedPair:
        """The nearest of equally spaced levels, in the photo's own type."""
        low, high = limits(photo.dtype)
        step = (high - low) / (self.levels - 1)
        source = (np.rint((photo.astype(np.float64) - low) / step) * step + low).astype(photo.dtype)
        return PreparedPair(source, photo)
