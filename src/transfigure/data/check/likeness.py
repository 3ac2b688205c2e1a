"""Which pictures show the same: a perceptual hash that survives another size, another format and another quality.

The hash is the field's usual one (as pHash): the signs of the low frequencies of the small grey picture, about their median. Two pictures
of nearly equal hashes are compared once more by their small grey pictures, because hashes of 64 bits agree by chance among thousands.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..pixels import Array

SMALL = 32
"""Side of the small grey picture."""
_LOW = 8
_BITS = 7
"""Bits of 64 that may differ. Of eight bytes one is then equal, by which candidates are found."""
_CANDIDATES = 32
"""How many near hashes of one picture are looked at: thousands of label maps may have nearly one."""
_ALIKE = 0.97
"""Correlation of two small grey pictures that show the same."""
_FLAT = 0.004
"""A picture whose grey varies less than this, as a share of its own range of values, shows nothing that could be compared."""


@dataclass(frozen=True, slots=True)
class Likeness:
    """What is needed of a picture to find it again.

    Attributes:
        hash: of 64 bits.
        small: the small grey picture, uint8 ``[SMALL * SMALL]`` between its darkest and its lightest place, as bytes.
    """

    hash: int
    small: bytes


def grey(array: Array) -> NDArray[np.float32]:
    """The mean of the channels, ``[H, W]``; what is not finite is the mean of the rest."""
    values = array[..., 0].astype(np.float32)
    for channel in range(1, array.shape[2]):  # many times as fast as a mean over the last axis
        values += array[..., channel]
    values /= np.float32(array.shape[2])
    if array.dtype.kind == "f" and not (finite := np.isfinite(values)).all():
        values[~finite] = values[finite].mean() if finite.any() else 0
    return values


def reduced(values: NDArray[np.float32], side: int = SMALL) -> NDArray[np.float32]:
    """A grey picture brought to ``side`` by ``side`` pixels, each the mean of what it covers, parts of pixels too."""
    for axis in (0, 1):
        along = np.swapaxes(values, 0, axis)
        length = len(along)
        ends = np.linspace(0, length, side + 1)
        whole = np.minimum(ends.astype(np.int64), length - 1)
        sums = np.concatenate([np.zeros((1, along.shape[1])), np.cumsum(along, axis=0, dtype=np.float64)])
        upto = sums[whole] + (ends - whole)[:, None] * along[whole]
        values = np.swapaxes(np.diff(upto, axis=0) * (side / length), 0, axis).astype(np.float32)
    return values


def likeness(values: NDArray[np.float32]) -> Likeness | None:
    """What a grey picture is found again by; None of one that shows next to nothing.

    Args:
        values: ``[H, W]``, in any range.
    """
    small = reduced(values)
    low, high = float(small.min()), float(small.max())
    spread = float(values.max()) - float(values.min())
    if not spread or float(small.std()) < _FLAT * spread or high <= low:
        return None
    waves = _waves() @ small @ _waves().T
    flat = waves.ravel()
    bits = flat > np.median(flat[1:])
    bits[0] = False  # the mean, which says nothing
    packed = int.from_bytes(np.packbits(bits).tobytes(), "big")
    return Likeness(packed, ((small - low) * (255 / (high - low))).round().astype(np.uint8).tobytes())


def _waves() -> NDArray[np.float32]:
    """The first cosines of the discrete cosine transform, ``[_LOW, SMALL]``."""
    return np.cos(np.pi / SMALL * np.arange(_LOW)[:, None] * (np.arange(SMALL) + 0.5)).astype(np.float32)


def alike(pictures: Sequence[Likeness | None]) -> list[tuple[int, int]]:
    """Which pictures show the same, as pairs of positions, the smaller first and each pair once.

    Args:
        pictures: what each is found again by; None is like no other.
    """
    places = np.array([at for at, one in enumerate(pictures) if one is not None], np.int64)
    if len(places) < 2:
        return []
    hashes = np.array([one.hash for one in pictures if one is not None], np.uint64)
    found: set[tuple[int, int]] = set()
    for byte in range(8):
        keys = (hashes >> np.uint64(8 * byte)) & np.uint64(255)
        order = np.argsort(keys, kind="stable")
        for group in np.split(order, np.flatnonzero(np.diff(keys[order])) + 1):
            for first, others in _near(hashes, group):
                found |= {(min(first, other), max(first, other)) for other in others}
    smalls = {at: _normal(one.small) for at in {at for pair in found for at in pair} if (one := pictures[places[at]]) is not None}
    return sorted((int(places[a]), int(places[b])) for a, b in found if float(smalls[a] @ smalls[b]) >= _ALIKE)


def _near(hashes: NDArray[np.uint64], group: NDArray[np.int64]) -> Iterable[tuple[int, list[int]]]:
    """For each of a group, those after it whose hashes are nearest, if they are near."""
    for at in range(len(group) - 1):
        rest = group[at + 1 :]
        apart = _count_bits(hashes[rest] ^ hashes[group[at]])
        near = np.flatnonzero(apart <= _BITS)
        if len(near):
            nearest = near[np.argsort(apart[near], kind="stable")[:_CANDIDATES]]
            yield int(group[at]), rest[nearest].tolist()


def _count_bits(values: NDArray[np.uint64]) -> NDArray[np.int64]:
    counts: NDArray[np.int64] = _SET_BITS[values.view(np.uint8).reshape(-1, 8)].sum(axis=1)
    return counts


_SET_BITS = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1).sum(axis=1).astype(np.int64)


def correlation(a: Likeness, b: Likeness) -> float:
    """Of two small grey pictures, in [-1, 1]; those of two pictures that show other things hardly reach 0.9."""
    return float(_normal(a.small) @ _normal(b.small))


def _normal(small: bytes) -> NDArray[np.float64]:
    values = np.frombuffer(small, np.uint8).astype(np.float64)
    values -= values.mean()
    length = float(np.linalg.norm(values))
    return values / length if length else values


def groups(count: int, pairs: Iterable[tuple[int, int]]) -> list[list[int]]:
    """What is connected by pairs, as groups of positions; whatever is connected to nothing is left out."""
    root = list(range(count))

    def find(at: int) -> int:
        while root[at] != at:
            root[at] = root[root[at]]
            at = root[at]
        return at

    for a, b in pairs:
        root[find(b)] = find(a)
    together: dict[int, list[int]] = defaultdict(list)
    for at in range(count):
        together[find(at)].append(at)
    return sorted(group for group in together.values() if len(group) > 1)
