"""Where a value lies between its bounds, on a line that a table draws beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Placement:
    """Where a value lies between its bounds, in percent of the line's width.

    Attributes:
        value: of the value.
        start, width: of its 95 % interval.
        bounds: (name, position, whether it is a ceiling).
    """

    value: float
    start: float
    width: float
    bounds: list[tuple[str, float, bool]]

    @classmethod
    def on(
        cls, value: float, ends: tuple[float, float], bounds: Sequence[tuple[str, float, bool]], *, rising: bool, margin: float
    ) -> Placement:
        """On a line that is as long as needed to hold the value, its interval and every bound; all of them finite.

        Args:
            value: of the row.
            ends: of its interval.
            bounds: (name, value, whether it is a ceiling).
            rising: whether larger values lie further right.
            margin: percent of the line left free at both ends.
        """
        known = [value, *ends, *(bound for _, bound, _ in bounds)]
        least, span = min(known), max(known) / 2 - min(known) / 2  # halves: the difference itself may overflow

        def at(number: float) -> float:
            share = (number / 2 - least / 2) / span if span > 0 else 0.5
            return round(margin + (100 - 2 * margin) * (share if rising else 1 - share), 2)

        start, end = sorted(map(at, ends))
        return cls(at(value), start, round(end - start, 2), [(name, at(bound), ceiling) for name, bound, ceiling in bounds])
