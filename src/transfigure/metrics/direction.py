"""Which way a value is good. Imports nothing heavy: tables and pages ask, too."""

from __future__ import annotations

from typing import Literal

Better = Literal["lower", "higher", "one"]
"""Down, up, or towards 1."""


def badness(better: str, value: float) -> float:
    """The value turned so that lower is better, whichever way it goes itself."""
    return {"lower": value, "higher": -value, "one": abs(value - 1)}[better]
