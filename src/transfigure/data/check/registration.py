"""How far the two pictures of a pair lie apart: the shift between them, estimated by phase correlation and then verified.

Phase correlation alone calls many a pair aligned that is not: with every frequency of equal weight a blurred target has its peak nowhere;
with their own weights an inverted or re-coloured one has none. So both are asked, of the pictures and of their edges, and each answer is
tried: the one under which the edges of the two pictures agree best wins, and only if they agree clearly better than unmoved.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..pixels import Array
from .likeness import grey

WINDOW = 512
"""Side of the middle of a large picture that is looked at."""
SMALLEST = 16
"""A smaller picture has no shift that could be told from chance."""
_FURTHEST = 0.25
"""Of a picture's side: a larger shift is not looked for."""
_AGREE = 0.35
"""Edges that correlate less than this, wherever they lie, say nothing."""
_BETTER = 0.12
"""By how much they must correlate better than unmoved."""
_WELL, _LITTLE_BETTER = 0.5, 0.02
"""Of edges that correlate as well as this, this is enough."""
_NEAR = 8
"""Pixels each way in which all pairs are looked at together."""
_FEWEST = 6
"""Fewer pairs than these tell nothing together."""
_CLEARLY = 4.0
"""By how many standard errors the shift that all pairs share must be better than none."""
_PEAKS = 2
_BLUR = 2


@dataclass(frozen=True, slots=True)
class Shift:
    """How a target lies on its source.

    Attributes:
        right: pixels by which what the target shows lies further right than in the source; negative is left.
        down: the same downwards; negative is up.
        agreement: correlation of the edges of both pictures once the target is moved back, at most 1.
        unmoved: and as they are.
        is_clear: whether they agree so well there that this pair's shift can be believed. Photographs and their label maps often do not.
        near: the agreement under every shift of a few pixels, float16 ``[n, n]`` as bytes, for :func:`common_shift`.
    """

    right: float
    down: float
    agreement: float
    unmoved: float
    is_clear: bool = True
    near: bytes = b""

    @property
    def length(self) -> float:
        """In pixels."""
        return float(np.hypot(self.right, self.down))


def shift_between(source: Array, target: Array) -> Shift | None:
    """How a target lies on its source.

    Args:
        source: ``[H, W, C]`` of any type.
        target: of the same height and width; it may be blurred, inverted or in quite other colours.

    Returns:
        The shift, to about a fifth of a pixel, 0 where the pictures lie on each other or have too little in common to tell (which is
        ``is_clear``); None where they are of two sizes, of one value, or smaller than :data:`SMALLEST`.
    """
    if source.shape[:2] != target.shape[:2] or min(source.shape[:2]) < SMALLEST:
        return None
    a, b = (grey(_middle(one)) for one in (source, target))
    if a.std() == 0 or b.std() == 0:
        return None
    edges = _edges(a), _edges(b)
    candidates = {(0, 0), *_peaks(a, b), *_peaks(*edges)}
    scores = {one: _agreement(*edges, one) for one in candidates}
    best = max(scores, key=lambda one: scores[one])
    unmoved, near = scores[0, 0], _near(*edges)
    if scores[best] < max(_AGREE, unmoved + (_BETTER if scores[best] < _WELL else _LITTLE_BETTER)):
        return Shift(0.0, 0.0, unmoved, unmoved, unmoved >= _AGREE, near)
    down, right = (at + _between(edges, best, axis, scores[best]) for axis, at in enumerate(best))
    return Shift(right, down, scores[best], unmoved, True, near)


def common_shift(shifts: Sequence[Shift]) -> Shift | None:
    """The shift of a few pixels that all pairs share, which together they tell though no single one may.

    Returns:
        The shift (0 where they lie on each other), with the mean agreements; None where there are too few pairs, or where they have nothing
        in common.
    """
    maps = np.stack([np.frombuffer(one.near, np.float16).astype(np.float64) for one in shifts if one.near] or [np.zeros(1)])
    if len(maps) < _FEWEST:
        return None
    mean, side = maps.mean(axis=0), 2 * _NEAR + 1
    best, zero = int(mean.argmax()), side * _NEAR + _NEAR
    gain = maps[:, best] - maps[:, zero]
    error = float(gain.std()) / len(maps) ** 0.5
    if best == zero or gain.mean() < _CLEARLY * error:
        clear = bool(mean[zero] > _CLEARLY * maps[:, zero].std() / len(maps) ** 0.5)
        return Shift(0.0, 0.0, float(mean[zero]), float(mean[zero]), clear) if clear else None
    return Shift(float(best % side - _NEAR), float(best // side - _NEAR), float(mean[best]), float(mean[zero]))


def _near(a: NDArray[np.float32], b: NDArray[np.float32]) -> bytes:
    """The agreement of two pictures of edges under every shift of up to :data:`_NEAR` pixels, of the target by (down, right)."""
    one, two = a - a.mean(), b - b.mean()
    spread = float(np.sqrt((one * one).sum() * (two * two).sum())) or 1.0
    correlation = np.fft.irfft2(np.conj(np.fft.rfft2(one)) * np.fft.rfft2(two), s=a.shape) / spread
    steps = np.arange(-_NEAR, _NEAR + 1)
    return correlation[np.ix_(steps % a.shape[0], steps % a.shape[1])].astype(np.float16).tobytes()


def _middle(array: Array) -> Array:
    """The middle of a picture, at most :data:`WINDOW` pixels each way."""
    top, left = (max(0, (length - WINDOW) // 2) for length in array.shape[:2])
    return array[top : top + WINDOW, left : left + WINDOW]


def edges_of(array: Array) -> NDArray[np.float32]:
    """How much a picture changes at each place, ``[H, W]``: what is compared."""
    return _edges(grey(array))


def _edges(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """How much a picture changes at each place, slightly blurred: alike for a picture, its negative, and one in other colours."""
    down, right = np.gradient(_blurred(values))
    found: NDArray[np.float32] = np.sqrt(down * down + right * right)
    return found


def _blurred(values: NDArray[np.float32]) -> NDArray[np.float32]:
    for axis in (0, 1):
        for _ in range(_BLUR):
            turned = np.swapaxes(values, 0, axis)
            soft = 2 * turned
            soft[1:] += turned[:-1]
            soft[:-1] += turned[1:]
            soft[0] += turned[0]
            soft[-1] += turned[-1]
            values = np.swapaxes(soft / np.float32(4), 0, axis)
    return values


def _peaks(a: NDArray[np.float32], b: NDArray[np.float32]) -> list[tuple[int, int]]:
    """The shifts under which two pictures correlate most, either way up, by phases alone and by the frequencies' own weights."""
    window = np.outer(*(np.hanning(length + 2)[1:-1] for length in a.shape)).astype(np.float32)
    first, second = (np.fft.rfft2((one - one.mean()) * window) for one in (a, b))
    product = np.conj(first) * second
    size = np.abs(product)
    found: list[tuple[int, int]] = []
    for weighted in (product, product / np.maximum(size, 1e-6 * float(size.max()) + 1e-30)):
        correlation = np.abs(np.fft.irfft2(weighted, s=a.shape))
        limits = [max(1, int(_FURTHEST * length)) for length in a.shape]
        rows, columns = (np.arange(-limit, limit + 1) for limit in limits)
        near = correlation[np.ix_(rows % a.shape[0], columns % a.shape[1])]
        for at in np.argpartition(near.ravel(), -_PEAKS)[-_PEAKS:].tolist():
            found.append((int(rows[at // len(columns)]), int(columns[at % len(columns)])))
    return found


def _agreement(a: NDArray[np.float32], b: NDArray[np.float32], shift: tuple[int, int]) -> float:
    """Correlation of the part of two pictures that is in both once the second is moved back by (down, right)."""
    (height, width), (down, right) = a.shape, shift
    one = a[max(0, -down) : height - max(0, down), max(0, -right) : width - max(0, right)]
    two = b[max(0, down) : height + min(0, down), max(0, right) : width + min(0, right)]
    one, two = one - one.mean(), two - two.mean()
    scale = float(np.sqrt((one * one).sum() * (two * two).sum()))
    return float((one * two).sum()) / scale if scale else 0.0


def _between(edges: tuple[NDArray[np.float32], NDArray[np.float32]], at: tuple[int, int], axis: int, here: float) -> float:
    """Where between the whole pixels the agreement is best along an axis: the top of the parabola through three of them."""
    before, after = (_agreement(*edges, (at[0] + step * (axis == 0), at[1] + step * (axis == 1))) for step in (-1, 1))
    bend = before - 2 * here + after
    return float(np.clip(0.5 * (before - after) / bend, -0.5, 0.5)) if bend < 0 else 0.0
