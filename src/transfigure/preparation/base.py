"""How a pair is made from one photo."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np

from ..data.pixels import Array
from ..errors import UserError


@dataclass(frozen=True)
class PreparedPair:
    """What a photo became.

    Attributes:
        source: ``[H, W, C]``, what was made.
        target: ``[H, W, C]``, the photo, or the part of it that the source is of.
        mask: ``[H, W, 1]`` uint8, white where the pair counts; None if it has none.
    """

    source: Array
    target: Array
    mask: Array | None = None


class Preparation(ABC):
    """One way to make pairs from photos; its parameters are its options."""

    has_mask = False
    """Whether each pair comes with a mask."""
    keeps_size = True
    """Whether source and target have one size."""

    @abstractmethod
    def __call__(self, photo: Array, label: str, generator: np.random.Generator) -> PreparedPair:
        """Make the pair of one photo.

        Args:
            photo: ``[H, W, C]`` in the numbers of its file.
            label: what to call the photo in an error.
            generator: random numbers of this photo alone, by the seed and its name.

        Raises:
            UserError: there is no such pair of this photo.
        """


def refuse_other_channels(photo: Array, label: str, *channels: int) -> None:
    """See that a photo has one of these numbers of channels.

    Raises:
        UserError: it has another.
    """
    if photo.shape[2] not in channels:
        wanted = " or ".join(map(str, channels))
        raise UserError(
            f"{label} has {photo.shape[2]} channel{'s' * (photo.shape[2] > 1)}, and {wanted} are needed: save it as "
            f"{' or '.join({1: 'grey', 3: 'RGB'}[count] for count in channels)}, or leave it out"
        )


def scaled(photo: Array, low: float = 1.0, high: float = 99.0) -> Array:
    """The lightness of a photo between its own dark and bright ends, so that its type and exposure do not matter.

    Equal pictures of 8 bits, of 16 bits and of floats come out equal: values lie on a grid of 65,536 levels.

    Args:
        photo: ``[H, W, 1 or 3]`` of any type.
        low: percent of the values that become 0.
        high: percent of the values above which all is 1. Where the two ends meet, the smallest and the largest value are taken.

    Returns:
        float64 ``[H, W]`` in [0, 1]; 0 everywhere if the photo is constant.
    """
    values = photo.astype(np.float64)
    grey = values[..., 0] if photo.shape[2] == 1 else values @ np.array([299.0, 587.0, 114.0])  # ITU-R BT.601, exact for integers
    # One that is there, not one between two: that would be rounded otherwise at another depth.
    dark, bright = np.percentile(grey, [low, high], method="nearest")
    if dark == bright:
        dark, bright = grey.min(), grey.max()
    if dark == bright:
        return np.zeros(grey.shape)
    found: Array = np.rint(np.clip((grey - dark) / (bright - dark), 0, 1) * 65535) / 65535
    return found
