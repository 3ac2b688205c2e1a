"""The noise of a generator, drawn outside of it: from a seed, the same on every device and for every engine.

A generator has noise in its dropout, the z of pix2pix (Isola et al. 2017, end of section 3.1), and where it injects some. What each such
layer is given for one image is a map; all maps of a pass come from one stream of random numbers, in the order in which the layers come.
The stream is numpy's (``numpy.random.default_rng(seed)``): it is the same on all platforms, and is at hand where there is no torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class NoiseMap:
    """What a layer that makes noise is given for one image.

    Attributes:
        kind: ``dropout``: 0 with a probability p, else 1 / (1 - p), by which values are multiplied; ``normal``: a standard normal
            deviate, which is scaled and added.
        probability: p; 0 for ``normal``.
        shape: ``(C, H, W)`` of the map, which is spread over what it is applied to.
    """

    kind: Literal["dropout", "normal"]
    probability: float
    shape: tuple[int, ...]

    def draw(self, stream: np.random.Generator) -> NDArray[np.float32]:
        """The map for the next pass, ``[1, C, H, W]``."""
        if self.kind == "normal":
            return stream.standard_normal((1, *self.shape), dtype=np.float32)
        if self.probability == 1:
            return np.zeros((1, *self.shape), np.float32)
        kept = stream.random((1, *self.shape), dtype=np.float32) >= np.float32(self.probability)
        return kept.astype(np.float32) / np.float32(1 - self.probability)

    def neutral(self) -> NDArray[np.float32]:
        """A map that changes nothing."""
        return np.full((1, *self.shape), 0 if self.kind == "normal" else 1, np.float32)


class NoiseStream:
    """Gives the layers of one pass their maps, one after another.

    Args:
        seed: the same seed gives the same maps.
        given: maps to give in place of those that would be drawn.
    """

    def __init__(self, seed: int, given: Sequence[Any] | None = None) -> None:
        self._stream = np.random.default_rng(seed)
        self._given = None if given is None else list(given)
        self.maps: list[NoiseMap] = []
        """Those that have been asked for, in order."""

    def next(self, wanted: NoiseMap) -> Any:
        """The next map: an array that was drawn, or what was given."""
        self.maps.append(wanted)
        return wanted.draw(self._stream) if self._given is None else self._given[len(self.maps) - 1]


def draw_all(maps: Sequence[NoiseMap], seed: int) -> list[NDArray[np.float32]]:
    """The maps of one pass, as :class:`NoiseStream` gives them one by one."""
    stream = np.random.default_rng(seed)
    return [one.draw(stream) for one in maps]
