"""How much memory a translation takes, found without taking it: the generator runs on the meta device, where tensors have shapes only."""

from __future__ import annotations

import copy
import weakref
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from ..networks.base import Generator

SMALL = 1 << 21
"""Pixels below which nobody asks: the first question costs about half a second."""
WORKSPACE = 1.4
"""What a convolution takes beside what goes in and comes out, as a factor."""
PER_CHANNEL = 40.0
"""Bytes for each pixel and channel of the image and of what becomes of it: read, as floats, padded, cropped, as it is written.

With both, on one core: a U-Net of width 64 at 2048 x 2048 took 1.39 GB beside its image where 1.50 were foretold, a ResNet at 1024 x 1024
0.94 where 0.94 were.
"""

HELD = 10.0
"""Of these, what an image takes that is translated in tiles: nothing of its size is padded, cropped or held by the engine."""


class HeldBytes(NamedTuple):
    """What is in memory of an image that is translated in tiles, beside them.

    Attributes:
        whole: bytes for each pixel of the image.
        row: for each of a row of tiles.
        tile: for each of a tile.
    """

    whole: float = 0.0
    row: float = 0.0
    tile: float = 0.0


class _Living(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the bytes of the tensors that live at one time."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.now = self.peak = 0
        self._held: dict[int, int] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        output = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(output):
            if isinstance(tensor, Tensor):
                storage = tensor.untyped_storage()
                key, size = storage._cdata, storage.nbytes()
                if key not in self._held:
                    self.now += size
                    self.peak = max(self.peak, self.now)
                self._held[key] = self._held.get(key, 0) + 1
                weakref.finalize(tensor, self._let_go, key, size)
        return output

    def _let_go(self, key: int, size: int) -> None:
        self._held[key] -= 1
        if not self._held[key]:
            del self._held[key]
            self.now -= size


class Footprint:
    """The memory that a generator's translations take; what has been found out about a size is kept.

    Args:
        generator: on any device.
        per_pixel: what is known already, see :attr:`per_pixel`.
    """

    def __init__(self, generator: Generator, per_pixel: float | None = None) -> None:
        self.generator = generator
        self._per_pixel = per_pixel

    def of(self, height: int, width: int, shown: tuple[int, int] | None = None) -> int:
        """Bytes that the translation of an image takes, 0 for a small one, or where nobody can tell.

        Args:
            height: of what goes into the generator, padded.
            width: likewise.
            shown: height and width of the image itself, if they are others.
        """
        own = height * width if shown is None else shown[0] * shown[1]
        return 0 if max(height * width, own) <= SMALL else self.least(height, width, shown)

    def least(self, height: int, width: int, shown: tuple[int, int] | None = None) -> int:
        """The same for small images, too."""
        pixels, own = height * width, height * width if shown is None else shown[0] * shown[1]
        return int(WORKSPACE * self.per_pixel * pixels + PER_CHANNEL * self._channels * max(pixels, own))

    def in_tiles(self, tile_height: int, tile_width: int, height: int, width: int, held: HeldBytes | None = None) -> int:
        """Bytes that the translation takes in tiles: one in the network, two rows of them joined, and what else is held.

        Args:
            tile_height, tile_width: of a tile.
            height, width: of the image, padded.
            held: what is held of the image and its output; None: both, all the time.
        """
        tile = WORKSPACE * self.per_pixel * tile_height * tile_width + PER_CHANNEL * self._channels * tile_height * tile_width
        joined = 3 * 4 * self.generator.target_channels * tile_height * width
        held = held or HeldBytes(HELD * self._channels)
        return int(tile + joined + held.whole * height * width + held.row * tile_height * width + held.tile * tile_height * tile_width)

    @property
    def _channels(self) -> int:
        return self.generator.source_channels + self.generator.target_channels

    @property
    def per_pixel(self) -> float:
        """Bytes for each pixel, of the tensors that live at one time inside the network; 0 where nobody can tell."""
        if self._per_pixel is None:
            side = self.generator.only_size or -(-max(256, self.generator.smallest_input) // self._multiple()) * self._multiple()
            self._per_pixel = _peak(self.generator, side) / side**2
        return self._per_pixel

    def _multiple(self) -> int:
        return max(1, self.generator.size_multiple)


def _peak(generator: Generator, side: int) -> int:
    image = torch.empty(1, generator.source_channels, side, side, device="meta")
    try:
        outline = _outline(generator)
        with torch.random.fork_rng(devices=[]), torch.no_grad(), _Living() as living:
            outline(image)
    except Exception:  # a network that asks for values on its way cannot be run without any
        return 0
    return int(living.peak)


def _outline(generator: Generator) -> Generator:
    """The network without values. It is another one: the generator itself may be at work in another thread meanwhile."""
    known: dict[int, object] = {}
    for tensor in (*generator.parameters(), *generator.buffers()):
        empty = torch.empty_like(tensor, device="meta")
        known[id(tensor)] = nn.Parameter(empty, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else empty
    return copy.deepcopy(generator, known)
