"""An ablation of two variants with two seeds each, whole or with everything that may be the matter with one."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from transfigure.reporting.comparison.page import compare
from transfigure.studies.ablation.variants import read_ablation

from ..reading import change
from ..run.example import write_run

VARIANTS = {"L1": "l1", "L1+cGAN": "l1_cgan"}
D_KEYS = ("d", "adversarial", "d_real", "d_fake")


def pictures(power: float, colour: bool = True) -> dict[str, Any]:
    """``pictures.json``: outputs whose power falls by ``power`` as fast as that of the targets."""
    frequency = [at / 32 for at in range(17)]
    target = [0.0, *(1 / f**2 for f in frequency[1:])]
    edges = [float(edge) for edge in range(-4, 5)]
    shares = [0.0, 0.01, 0.09, 0.4, 0.4, 0.09, 0.01, 0.0]
    lab = {channel: {"edges": edges, "generated": shares[::-1], "target": shares} for channel in "Lab"}
    spectrum = {"frequency": frequency, "generated": [y ** (1 + power) for y in target], "target": target}
    return {"images": 8, "spectrum": spectrum, "lab": lab if colour else None}


def write_cell(run: Path, variant: str, seed: int) -> None:
    write_run(run)
    alone = variant == "L1"

    def lines() -> Any:
        for text in (run / "log.jsonl").read_text().splitlines():
            line = json.loads(text)
            if alone and line["kind"] == "health":
                continue
            if line["kind"] == "step":
                line |= {"gradients": {"l1": 0.5 + 0.1 * seed, **({} if alone else {"adversarial": 0.1})}, "g": line["g"] + seed}
                line = {key: value for key, value in line.items() if not (alone and key in D_KEYS)}
            yield line
        for at in range(1, 5):
            yield {"kind": "preview", "images": 2000 * at, "detail": 0.2 * at, "variation": 1 - math.exp(-at - seed)}

    text = "".join(json.dumps(line) + "\n" for line in list(lines()))
    (run / "log.jsonl").write_text(text)

    def shift(stored: dict[str, Any]) -> None:
        for row in stored["rows"]:
            if "value" in row:
                row["value"] += 0.001 * seed + (0.2 if alone else 0.0)

    change(run / "evaluation" / "evaluation.json", shift)
    (run / "evaluation" / "pictures.json").write_text(json.dumps(pictures(-0.2 if alone else 0.1)))


def write_comparison(folder: Path) -> Path:
    """The whole ablation; what ``transfigure ablate`` leaves."""
    cells = []
    for variant, slug in VARIANTS.items():
        for seed in (0, 1):
            path = f"cells/{slug}/seed{seed}"
            write_cell(folder / path, variant, seed)
            cells.append(
                {"variation": variant, "seed": seed, "path": path, "state": "done", "reason": "", "seconds": 63.2, "peak_mib": 812.0}
            )
    stored = {
        "name": "objectives",
        "about": "What does each term do?",
        "budget": "8,000 images a cell",
        "metrics": ["ssim"],
        "cells": cells,
    }
    (folder / "ablation.json").write_text(json.dumps(stored))
    return folder


def edit(folder: Path, variant: str, seed: int, **more: Any) -> None:
    """Change a cell of ``ablation.json``."""

    def change_cell(stored: dict[str, Any]) -> None:
        next(cell for cell in stored["cells"] if (cell["variation"], cell["seed"]) == (variant, seed)).update(more)

    change(folder / "ablation.json", change_cell)


def write(folder: Path) -> Path:
    """The page of a whole ablation."""
    return compare(read_ablation(write_comparison(folder / "objectives")), folder)
