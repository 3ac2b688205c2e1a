"""Names and numbers as people write them, for every page."""

from __future__ import annotations

import math
import re

ARROWS = {"higher": "↑", "lower": "↓", "one": "→ 1"}
MEANINGS = {"higher": "higher is better", "lower": "lower is better", "one": "nearest to 1 is better"}


def capital(text: str) -> str:
    """The text with a capital first letter."""
    return text[:1].upper() + text[1:]


def decimals(*values: float | None) -> int:
    """Decimals that show three significant digits of the largest of the values."""
    largest = max((abs(value) for value in values if value is not None), default=0.0)
    return min(6, max(0, 2 - math.floor(math.log10(largest)))) if largest > 1e-9 else 2


def plain(value: float | None, places: int | None = None) -> str:
    """A number for reading: thousands separated, a true minus, three significant digits unless ``places`` is given."""
    if value is None:
        return "not a number"
    if abs(value) >= 1e9 or (places is None and 0 < abs(value) < 1e-4):
        return f"{value:.2e}".replace("-", "−")
    return f"{value:,.{decimals(value) if places is None else places}f}".replace("-", "−")


def to_places(value: float | None, places: int) -> str:
    """A number beside one of so many decimals; a small one gets more, so that only zero is written as zero."""
    lost = value is not None and value != 0 and abs(value) < 0.5 * 10.0**-places
    return plain(value, decimals(value) if lost else places)


def short_hash(weights: str) -> str:
    """The first 12 digits of a hash; what is no hash stays."""
    return weights[:12] if re.fullmatch(r"[0-9a-fA-F]{32,}", weights) else weights


def count(value: float) -> str:
    """1900000 -> 1.9 M."""
    for unit, size in (("M", 1e6), ("k", 1e3)):
        if value >= size:
            return f"{value / size:.3g} {unit}"
    return f"{value:.0f}"


def weight(size: float) -> str:
    """Bytes as 1.4 MB."""
    for unit in ("bytes", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} bytes" if unit == "bytes" else f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} GB"


def percent(share: float) -> str:
    """0.93 -> 93 %; 0 % and 100 % only where it is exactly so."""
    return f"{share * 100 if share in (0, 1) else min(max(share * 100, 1), 99):.0f}\N{NO-BREAK SPACE}%"


def listed(names: list[str]) -> str:
    """``x, y and size``."""
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
