"""What the runs of a variant cost: time, memory, speed and size, from their logs."""

from __future__ import annotations

import json
import math
import statistics
from dataclasses import dataclass
from pathlib import Path

import yaml

from ...evaluation.schema import finite
from ...recipe import stabilisers
from .study import Variant


@dataclass(frozen=True)
class Cost:
    """What a run of a variant took: means over its runs, the highest for memory; None where it is not known.

    Attributes:
        stabilisers: what steadied its training beside G's objective, in words; None if nothing did.
    """

    seconds: float | None = None
    peak_mib: float | None = None
    images: float | None = None
    images_per_second: float | None = None
    generator_parameters: float | None = None
    discriminator_parameters: float | None = None
    stabilisers: str | None = None


def cost_of(variant: Variant) -> Cost:
    """What a variant took, from what its cells say and their logs."""
    found: dict[str, list[float]] = {}
    for cell in variant.cells:
        if cell.state == "done":
            spent = _spent(cell.run / "log.jsonl")
            own = {"seconds": cell.seconds, "peak_mib": cell.peak_mib}
            spent |= {name: value for name, value in own.items() if value is not None}
            for name, value in spent.items():
                found.setdefault(name, []).append(value)
    merged = {name: max(values) if name == "peak_mib" else math.fsum(values) / len(values) for name, values in found.items()}
    return Cost(**merged, stabilisers=_steadied(variant))


def _steadied(variant: Variant) -> str | None:
    for cell in variant.cells:
        try:
            told = yaml.safe_load((cell.run / "recipe.yaml").read_text(encoding="utf-8"))
        except (OSError, ValueError, yaml.YAMLError, RecursionError):
            continue
        if isinstance(told, dict):
            return ", ".join(stabilisers(told)) or None
    return None


def _spent(log: Path) -> dict[str, float]:
    """What a log says of the cost; lines that cannot be read are passed over."""
    spent: dict[str, float] = {}
    rates = []
    for text in log.read_text(encoding="utf-8", errors="replace").splitlines() if log.is_file() else ():
        try:
            line = json.loads(text)
        except (ValueError, RecursionError):
            continue
        if not isinstance(line, dict):
            continue
        sizes = line.get("parameters")
        told = {f"{name}_parameters": sizes.get(name) for name in ("generator", "discriminator")} if isinstance(sizes, dict) else {}
        told |= {name: line.get(name) for name in ("images", "seconds")}
        for name, value in told.items():
            if (number := finite(value)) is not None:
                spent[name] = max(number, spent.get(name, 0.0))
        if line.get("kind") == "step" and (rate := finite(line.get("images_per_second"))) is not None:
            rates.append(rate)
    return spent | ({"images_per_second": statistics.median(rates)} if rates else {})
