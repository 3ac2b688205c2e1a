"""Damage done to files by a seed: single bits flipped, ends cut off; and code hidden in them."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path


class Trap:
    """Pickled, it makes a folder when it is loaded."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Callable[[str], object], tuple[str]]:
        return os.mkdir, (str(self.mark),)


def flips(data: bytes, count: int, seed: int = 0) -> Iterator[tuple[str, bytes]]:
    """The same bytes with one flipped bit, ``count`` times: anywhere, and at every place of the last 100 bytes and the first 40."""
    draw = random.Random(seed)
    places = [*range(min(40, len(data))), *range(max(0, len(data) - 100), len(data)), *(draw.randrange(len(data)) for _ in range(count))]
    for place in places:
        bit = 1 << draw.randrange(8)
        changed = bytearray(data)
        changed[place] ^= bit
        yield f"bit {bit} of byte {place} of {len(data)}", bytes(changed)


def cuts(data: bytes, count: int, seed: int = 0) -> Iterator[tuple[str, bytes]]:
    """Beginnings of the same bytes."""
    draw = random.Random(seed)
    for kept in [0, 1, len(data) - 1, len(data) - 83, *(draw.randrange(len(data)) for _ in range(count))]:
        yield f"the first {kept} of {len(data)} bytes", data[:kept]
