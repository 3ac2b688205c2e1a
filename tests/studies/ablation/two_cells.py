"""A grid of two tiny cells, and what became of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from transfigure.studies.ablation.ablation import AblationOptions
from transfigure.studies.ablation.grid import Grid

TOY: dict[str, Any] = {
    "data.kind": "synthetic",
    "data.train": 6,
    "data.val": 0,
    "data.test": 3,
    "data.load_size": 32,
    "data.crop_size": 32,
    "generator.width": 2,
    "generator.depth": 4,
    "discriminator.width": 2,
    "training.epochs": 1,
    "training.batch_size": 2,
    "training.accelerator": "cpu",
    "training.log_every": 2,
    "training.preview_count": 2,
}
HERE = AblationOptions(isolate=False)
TWO = """
base: l1
variations:
  one: {objective.terms.l1.weight: 1}
  ten: {objective.terms.l1.weight: 10}
metrics: [l1, ssim]
"""


def two(folder: Path, **changes: Any) -> Grid:
    seeds = changes.pop("seeds", [0])
    (folder / "two.yaml").write_text(changes.pop("text", TWO), encoding="utf-8")
    return Grid.load(folder / "two.yaml", {**TOY, **changes}, seeds)


def ledger(folder: Path) -> dict[str, dict[str, Any]]:
    found = json.loads((folder / "ablation.json").read_text(encoding="utf-8"))
    return {f"{cell['variation']} {cell['seed']}": cell for cell in found["cells"]}


def values(folder: Path) -> dict[str, list[Any]]:
    """Every cell's numbers, and the very bits of its generator."""
    found = {}
    for name, cell in ledger(folder).items():
        run = folder / cell["path"]
        rows = json.loads((run / "evaluation" / "evaluation.json").read_text(encoding="utf-8"))["rows"]
        found[name] = [[row["value"] for row in rows], (run / "model" / "generator.safetensors").read_bytes()]
    return found
