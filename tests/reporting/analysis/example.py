"""An analysis as ``transfigure analyze`` finds it, made in a moment and without a translator."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from transfigure.reporting.analysis.page import write_analysis
from transfigure.studies.preservation.analyze import Analysis, Attribution
from transfigure.studies.preservation.factors import FactorResult
from transfigure.studies.preservation.measure import Measure

Role = Literal["shared", "source only", "target only"]


def result(name: str, preserved: float, generated: float, role: Role = "shared") -> FactorResult:
    return FactorResult(
        name=name,
        owner={"shared": "both", "source only": "A", "target only": "B"}[role],  # type: ignore[arg-type]
        kind="number",
        role=role,
        preserved=preserved,
        preserved_interval=(max(preserved - 0.05, 0), min(preserved + 0.05, 1)),
        generated=generated,
        generated_interval=(max(generated - 0.05, 0), min(generated + 0.05, 1)),
        identity=(1.0, 0.9),
        random_target=(0.0, 0.85),
        hidden_information=None,
        outcome="preserved",
    )


SOME = [result("place", 0.9, 0.85), result("tint", 0.0, 1.0, "source only"), result("stripes", 0.0, 0.4, "target only")]

ABOUT = {
    "split": "test",
    "data": "datasets/shapes",
    "direction": "AtoB",
    "model": "runs/stream",
    "second": None,
    "checkpoint": "last (48,000 images)",
    "inference": {"norm": "batch", "noise": "dropout", "seed": 0},
    "sources": 200,
    "targets": 150,
    "training_sources": 1000,
    "training_targets": 900,
    "same_domain": False,
    "seed": 0,
    "seconds": 75.2,
}


def measure(name: str, family: Any, value: float, identity: float, random: float, **more: Any) -> Measure:
    bounds = {"identity": identity, "random target": random}
    return Measure(name, more.pop("label", name), family, value, (value - 0.02, value + 0.02), bounds, **more)


MEASURES = [
    measure("edge_agreement", "preserved", 0.9, 1.0, 0.5, label="outlines in common", better="higher", note="correlation of maps"),
    measure("retrieval_at_1", "preserved", 0.95, 1.0, 0.005, label="own source nearest", better="higher", note="among 200"),
    Measure("fid", "FID, to target", "novel", math.nan, None, better="lower", note="skipped: no weights"),
    Measure("kid", "KID, to target", "novel", math.nan, None, better="lower", note="skipped: no weights"),
    measure("taken_for_target", "novel", 0.9, 0.02, 0.98, label="taken for targets", better="higher", note="by a classifier"),
]


def images(n: int, seed: int, channels: int = 3, side: int = 32) -> Tensor:
    return torch.rand(n, channels, side, side, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def cells(side: int = 32) -> Tensor:
    masks = torch.zeros(4, side, side)
    half = side // 2
    for at in range(4):
        masks[at, at // 2 * half : at // 2 * half + half, at % 2 * half : at % 2 * half + half] = 1
    return masks


def analysis(n: int = 3, **changes: Any) -> Analysis:
    pictures = {name: images(n, seed) for seed, name in enumerate(("source", "output", "second", "nearest"))}
    attribution = Attribution(0.62, 0.2, [(cells() / 256, cells())] * n)
    accuracy = {
        "place": {"source": 0.97, "target": 0.95},
        "tint": {"source": 0.99, "target": 1.0},
        "stripes": {"source": 1.0, "target": 0.4},
    }
    made = Analysis(dict(ABOUT), list(MEASURES), attribution, list(SOME), accuracy, ([f"shape {at}" for at in range(n)], pictures))
    return dataclasses.replace(made, **changes)


def with_measure(name: str, **changes: Any) -> Analysis:
    return analysis(measures=[dataclasses.replace(one, **changes) if one.name == name else one for one in MEASURES])


def write(folder: Path) -> Path:
    """The page of a whole analysis."""
    return write_analysis(analysis(), folder)
