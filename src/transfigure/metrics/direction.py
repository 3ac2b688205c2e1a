"""Which way a value is good. Imports nothing heavy: tables and pages ask, too."""

from __future__ import annotations

from typing import Literal

Better = Literal["lower", "higher", "one"]
"""Down, up, or nearer to 1."""


def badness(better: str, value: float) -> float:
    """The value, with its sign or origin changed so that lower is better."""
    return {"lower": value, "higher": -value, "one": abs(value - 1)}[better]
