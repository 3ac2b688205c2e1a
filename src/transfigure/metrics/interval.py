"""How sure is a value over images? Percentile bootstrap intervals (Efron and Tibshirani 1993, chapter 13), and the jackknife.

They speak of the choice of test images only: a second training run with another seed varies by more, and needs a second training.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

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
    return _middle(means.tolist(), level)


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


def bootstrap_of_sums(
    states: Sequence[Tensor], compute: Callable[[Tensor], dict[str, float]], level: float = 0.95, resamples: int = 500, seed: int = 0
) -> dict[str, tuple[float, float]]:
    """The interval of each value that is a function of a sum over images: resample the images, sum their states, and compute.

    Args:
        states: one per image, all of one shape.
        compute: the values from a sum.
        level: the share of resampled values inside.
        resamples: how many.
        seed: of the resampling.

    Returns:
        ``{value's name: (low, high)}``.

    Raises:
        ValueError: no states.
    """
    if not states:
        raise ValueError("an interval needs at least one image")
    stacked = torch.stack(list(states)).double()
    n = len(stacked)
    random = np.random.default_rng(seed)
    times = torch.from_numpy(random.multinomial(n, np.full(n, 1 / n), size=resamples)).double()
    totals = (times @ stacked.reshape(n, -1)).reshape(resamples, *stacked.shape[1:])
    values = [compute(total) for total in totals]
    return {name: _middle([value[name] for value in values], level) for name in values[0]}


def jackknife_interval(
    n: int, value: dict[str, float], without: Callable[[Tensor], dict[str, float]], groups: int = 10, seed: int = 0
) -> dict[str, tuple[float, float]]:
    """The interval of values that resampling with replacement would spoil, by leaving out one group of images at a time.

    A bootstrap draws images twice, and a copy is its own nearest neighbour and narrows every covariance: distances between
    distributions would be those of other, worse sets. The delete-a-group jackknife only leaves images out. Its standard error,
    sqrt((g - 1) / g sum_j (v_j - mean v)^2), times the 97.5 % quantile of Student's t with g - 1 degrees of freedom, is the distance
    from the value to either end (Kott 2001, "The delete-a-group jackknife"; Efron and Tibshirani 1993, chapter 11).

    Args:
        n: images.
        value: the values over all of them.
        without: the values over the images whose indices it is given, in order.
        groups: how many; fewer if there are fewer images.
        seed: of the division into groups.

    Returns:
        ``{value's name: (low, high)}``; empty for fewer than 4 images, of whose spread a jackknife can say nothing.
    """
    groups = min(groups, n // 2)
    if groups < 2:
        return {}
    order = np.random.default_rng(seed).permutation(n)
    left_out = [without(torch.from_numpy(np.sort(np.delete(order, np.s_[group::groups])))) for group in range(groups)]
    intervals = {}
    for name, middle in value.items():
        left = np.array([values[name] for values in left_out])
        error = math.sqrt((groups - 1) / groups * float(((left - left.mean()) ** 2).sum()))
        half_width = _STUDENT[groups - 1] * error
        intervals[name] = (middle - half_width, middle + half_width)
    return intervals


_STUDENT = {1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571, 6: 2.447, 7: 2.365, 8: 2.306, 9: 2.262}
"""The 97.5 % quantile of Student's t by degrees of freedom."""


def _middle(values: Sequence[float], level: float) -> tuple[float, float]:
    sample = np.asarray(values, dtype=np.float64)
    if not np.isfinite(sample).all():
        return math.nan, math.nan
    low, high = np.quantile(sample, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
