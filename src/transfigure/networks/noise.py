"""The noise of a generator, drawn outside of it: from a seed, the same on every device and for every engine.

A generator has noise in its dropout, the z of pix2pix (Isola et al. 2017, end of section 3.1), and where it injects some. What each such
layer is given for one image is a map; all maps of a pass come from one stream of random numbers, in the order in which the layers come.
The stream is numpy's (``numpy.random.default_rng(seed)``): it is the same on all platforms, and is at hand where there is no torch.
"""

from __future__ import annotations

import itertools
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


class TiledNoise(NoiseStream):
    """The noise of one tile of a large image, the same wherever two tiles overlap, and whatever the tiles.

    Each layer's map of the whole image is made of squares of ``SQUARE`` positions, whose values follow from the seed, the layer and the
    place; of these a tile takes what it covers. It is another draw of the same noise than that of the image in one pass.

    Args:
        seed: of all of it.
        top: first row of the tile, in pixels of the image.
        left: first column, likewise.
        height: of the tile in pixels.
        width: likewise.
    """

    SQUARE = 64

    def __init__(self, seed: int, top: int, left: int, height: int, width: int) -> None:
        super().__init__(seed)
        self._seed, self._corner, self._sides = seed, (top, left), (height, width)

    def next(self, wanted: NoiseMap) -> NDArray[np.float32]:  # noqa: D102
        layer, (channels, height, width) = len(self.maps), wanted.shape
        self.maps.append(wanted)
        if height == width == 1:  # whole channels: the same for all of the image
            return wanted.draw(np.random.default_rng((self._seed, layer)))
        top, left = (corner * inner // side for corner, inner, side in zip(self._corner, (height, width), self._sides))
        found, size = np.empty((1, channels, height, width), np.float32), self.SQUARE
        square = NoiseMap(wanted.kind, wanted.probability, (channels, size, size))
        for row, column in itertools.product(_squares(top, height, size), _squares(left, width, size)):
            drawn = square.draw(np.random.default_rng((self._seed, layer, row, column)))
            rows, inside = _common(row * size, size, top, height)
            columns, across = _common(column * size, size, left, width)
            found[:, :, rows, columns] = drawn[:, :, inside, across]
        return found


def _squares(start: int, length: int, size: int) -> range:
    return range(start // size, -(-(start + length) // size))


def _common(place: int, size: int, start: int, length: int) -> tuple[slice, slice]:
    """What a square and a tile share: in the tile, and in the square."""
    first, last = max(place, start), min(place + size, start + length)
    return slice(first - start, last - start), slice(first - place, last - place)


def draw_all(maps: Sequence[NoiseMap], seed: int) -> list[NDArray[np.float32]]:
    """The maps of one pass, as :class:`NoiseStream` gives them one by one."""
    stream = np.random.default_rng(seed)
    return [one.draw(stream) for one in maps]
