"""An ablation with evaluated runs, written in a moment and without any training."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

Values = Mapping[str, float | None]
METRICS = {"ssim": ("SSIM", "higher", ""), "l1": ("L1", "lower", ""), "psnr": ("PSNR", "higher", "dB"), "detail": ("Detail", "one", "")}
BOUNDS = {"ssim": {"source copied": 0.1, "target itself": 1.0}, "l1": {"source copied": 0.4, "mean training target": 0.2}}


def row(metric: str, value: float | None, **more: Any) -> dict[str, Any]:
    label, better, unit = METRICS.get(metric, (metric, "higher", ""))
    known = {
        "metric": metric,
        "label": label,
        "unit": unit,
        "better": better,
        "value": value,
        "of": metric,
        "bounds": BOUNDS.get(metric, {}),
    }
    return {**known, "low": None, "high": None, "n": 24, "caution": "", "skipped": "", **more}


def write_evaluation(run: Path, rows: Sequence[dict[str, Any]], **facts: Any) -> None:
    (run / "evaluation").mkdir(parents=True, exist_ok=True)
    stored = {"split": "test", "n": 24, "resize": "none", "rows": list(rows), "panels": [], **facts}
    (run / "evaluation" / "evaluation.json").write_text(json.dumps(stored))


def write_log(run: Path, rates: Sequence[float] = (10, 1000, 30), seconds: float = 12.5) -> None:
    lines: list[dict[str, Any]] = [{"kind": "start", "images": 0, "parameters": {"generator": 1000, "discriminator": 200}}]
    lines += [{"kind": "step", "images": 50 * at, "images_per_second": rate} for at, rate in enumerate(rates, 1)]
    lines.append({"kind": "end", "images": 150, "seconds": seconds})
    (run / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines) + "not JSON\n[1]\n")


def write_ablation(folder: Path, values: Mapping[str, Sequence[Values]], **more: Any) -> Path:
    """An ablation with one evaluated run per set of values."""
    cells = []
    for at, (name, seeds) in enumerate(values.items()):
        for seed, found in enumerate(seeds):
            path = f"cells/{at}/seed{seed}"
            write_evaluation(folder / path, [row(metric, value) for metric, value in found.items()])
            write_log(folder / path)
            cells.append(
                {"variation": name, "seed": seed, "path": path, "state": "done", "reason": "", "seconds": 60.0, "peak_mib": 100 + seed}
            )
    stored = {"name": "objectives", "about": "Why?", "budget": "150 images", "metrics": ["l1", "ssim"], "cells": cells, **more}
    (folder / "ablation.json").write_text(json.dumps(stored))
    return folder


def edit(folder: Path, variation: str, seed: int, **more: Any) -> None:
    file = folder / "ablation.json"
    stored = json.loads(file.read_text())
    next(cell for cell in stored["cells"] if (cell["variation"], cell["seed"]) == (variation, seed)).update(more)
    file.write_text(json.dumps(stored))
