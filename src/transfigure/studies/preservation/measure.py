"""One number of an analysis, with what is needed to read it: how sure it is, and what outputs without a translator would have."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Family = Literal["preserved", "novel"]
IDENTITY, RANDOM_TARGET = "identity", "random target"
"""The two bounds between which a translation lies: nothing is novel, and nothing is preserved."""


@dataclass(frozen=True)
class Measure:
    """What is preserved of the source, or novel from the target domain, as one number over a set of outputs.

    Attributes:
        name: such as ``edge_agreement``.
        label: what a table calls it.
        family: ``preserved`` or ``novel``.
        value: over all outputs; NaN where there is nothing to say, and ``note`` says why.
        interval: 95 %, over the choice of images; None if it has none.
        bounds: the same for ``identity`` (G(x) = x) and ``random target`` (a real held-out target in place of G(x)).
        better: which way is good, or None where neither is meant.
        note: what it is computed from, in half a sentence.
    """

    name: str
    label: str
    family: Family
    value: float
    interval: tuple[float, float] | None
    bounds: dict[str, float] = field(default_factory=dict)
    better: Literal["higher", "lower"] | None = None
    note: str = ""
