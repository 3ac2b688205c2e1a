"""How each value of a metric ranks five outputs of known order, if not as claimed: said on the metric's page, with the reason."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

from transfigure import registry
from transfigure.metrics.metric import Metric

PAGES = Path(__file__).resolve().parents[2] / "docs" / "reference" / "metrics"
SENTENCE = re.compile(r"On \[drawn facades\]\(\S+\) (it|`[^:]+`) ranks? `([^`]+)`: ([^\n]+)")


def metric_class(name: str) -> type[Metric]:
    found = registry.resolve("metric", name)
    assert isinstance(found, type) and issubclass(found, Metric)
    return found


@cache
def exceptions() -> dict[str, tuple[str, str]]:
    """``{value: (reason, order)}``, where ``a > b = c >= d; e > f`` is better than, equal up to rounding, and not worse.

    What a chain does not name is left open. The page says: On [drawn facades](...) `value` ranks `order`: reason.
    """
    found = {}
    for name in registry.names("metric"):
        values = list(metric_class(name).values) or [name]
        for paragraph in (PAGES / f"{name}.md").read_text(encoding="utf-8").split("\n\n"):
            for which, order, reason in SENTENCE.findall(" ".join(paragraph.split())):
                named = re.findall(r"`(\w+)`", which) or values
                assert set(named) <= set(values), f"{name}.md speaks of {named}"
                found.update(dict.fromkeys(named, (reason, order)))
    return found
