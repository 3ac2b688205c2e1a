"""How sure is a mean over images? Percentile bootstrap intervals (Efron and Tibshirani 1993, chapter 13).

They speak of the choice of test images only: a second training run with another seed varies by more, and needs a second training.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_DRAWS_AT_ONCE = 1 << 21  # 16 MB of indices: no need to hold resamples x N of them


def bootstrap_interval(
    values: Sequence[float] | NDArray[np.floating], level: float = 0.95, resamples: int = 2000, seed: int = 0
) -> tuple[float, float]:
    """The interval of the mean of ``values``: resample with replacement, and take the middle ``level`` of the resampled means.

    The same arguments give the same interval. A single value gives ``(value, value)``: nothing is known of its spread, and the
    width of zero must be read as that. Values that are not finite give ``(nan, nan)``.

    Args:
        values: one per image.
        level: the share of resampled means inside, between 0 and 1.
        resamples: how many.
        seed: of the resampling.

    Returns:
        The lower and the upper end.

    Raises:
        ValueError: no values, more than one dimension, or ``level`` or ``resamples`` out of range.
    """
    sample = np.asarray(values, dtype=np.float64)
    if sample.ndim != 1 or sample.size == 0:
        raise ValueError(f"an interval needs a list of one value per image: got shape {sample.shape}")
    if not 0 < level < 1:
        raise ValueError(f"level is {level}: it must lie between 0 and 1, as 0.95")
    if resamples < 1:
        raise ValueError(f"resamples is {resamples}: it must be at least 1")
    if not np.isfinite(sample).all():
        return math.nan, math.nan
    random = np.random.default_rng(seed)
    rows = max(1, _DRAWS_AT_ONCE // sample.size)
    means = np.concatenate(
        [
            sample[random.integers(sample.size, size=(min(rows, resamples - done), sample.size))].mean(axis=1)
            for done in range(0, resamples, rows)
        ]
    )
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def paired_difference(
    a: Sequence[float] | NDArray[np.floating],
    b: Sequence[float] | NDArray[np.floating],
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> tuple[float, float]:
    """The interval of the mean of ``a - b``, two scores of the same images in the same order.

    Images differ more than translators do, so two overlapping intervals can still hide a difference that this one shows: if it does
    not hold 0, a and b differ.

    Raises:
        ValueError: the lengths differ, or see :func:`bootstrap_interval`.
    """
    first, second = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if first.shape != second.shape:
        raise ValueError(f"a paired difference needs two scores of each image: got {first.shape} and {second.shape}")
    return bootstrap_interval(first - second, level, resamples, seed)
