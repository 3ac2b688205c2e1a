"""One value per seed in the place of many: the mean over seeds, with its interval.

The interval is Student's: mean +- t(0.975, n - 1) s / sqrt(n), s the sample standard deviation of one value per seed. It speaks of another
training with another seed, where the interval in ``evaluation.json`` speaks of other test images.
"""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class SeedStatistics:
    """One metric of one variant.

    Attributes:
        seeds: the finite value of each run that has one, as (seed, value).
        mean, low, high: over seeds; no mean without a value, no interval with fewer than two.
        skipped: why some or all of the runs have no value; empty if all have one.
    """

    seeds: tuple[tuple[int, float], ...] = ()
    mean: float | None = None
    low: float | None = None
    high: float | None = None
    skipped: str = ""

    @property
    def n(self) -> int:
        """Runs with a value."""
        return len(self.seeds)

    @property
    def half(self) -> float | None:
        """Half the interval's width."""
        return None if self.low is None or self.high is None else self.high / 2 - self.low / 2


def student(degrees: int) -> float:
    """The 97.5 % quantile of Student's t, by bisection of its distribution function, a finite sum for whole degrees of freedom.

    Source: Abramowitz and Stegun 1964, 26.7.3 and 26.7.4.
    """

    def inside(angle: float) -> float:
        """P(|t| < tan(angle) sqrt(degrees))."""
        odd, cos2 = degrees % 2, math.cos(angle) ** 2
        term = total = math.cos(angle) if odd else 1.0
        for step in range(2 + odd, degrees - 1, 2):
            term *= cos2 * (step - 1) / step
            total += term
        if odd:
            return 2 / math.pi * (angle + (math.sin(angle) * total if degrees > 1 else 0.0))
        return math.sin(angle) * total

    low, high = 0.0, math.pi / 2
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if inside(middle) < 0.95 else (low, middle)
    return math.tan(low) * math.sqrt(degrees)


def over_seeds(seeds: list[tuple[int, float]], skipped: str = "") -> SeedStatistics:
    """The value of several trainings, from (seed, finite value) of each that has one; ``skipped`` says why others have none."""
    values = [value for _, value in seeds]
    if not values:
        return SeedStatistics(skipped=skipped or "no finite value")
    n = len(values)
    mean = math.fsum(value / n for value in values)  # a sum of huge values would overflow
    if n == 1:
        return SeedStatistics(tuple(seeds), mean, skipped=skipped)
    scale = max(abs(value - mean) for value in values) or 1.0  # and so would their squares
    deviation = scale * math.sqrt(math.fsum(((value - mean) / scale) ** 2 for value in values) / (n - 1))
    half = student(n - 1) * deviation / math.sqrt(n)
    return (
        SeedStatistics(tuple(seeds), mean, mean - half, mean + half, skipped)
        if math.isfinite(half)
        else SeedStatistics(tuple(seeds), mean, skipped=skipped)
    )
