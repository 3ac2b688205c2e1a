"""A run directory as training and evaluation write it, and an evaluation of folders, made in a moment and without either."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from transfigure.reporting.run.page import report

RECIPE = """name: pix2pix_small
data: {kind: side_by_side, path: datasets/facades, direction: BtoA, load_size: 286, crop_size: 256, flip: true}
generator: {name: unet, depth: 6, width: 32, dropout: 0.5}
discriminator: {name: patch, receptive_field: 70, width: 64}
objective:
  adversarial: {loss: vanilla, conditional: true, weight: 1.0}
  terms: [{loss: l1, weight: 100.0}]
training: {epochs: 20, batch_size: 1, learning_rate: 0.0002, seed: 0}
"""

Save = Callable[[Path, str, int, float], None]


def scene(part: str, index: int, finished: float, side: int = 32) -> NDArray[np.uint8]:
    """A window on a wall; the generated one starts as noise and comes to look like the target as ``finished`` goes to 1."""
    noise = np.random.default_rng(index + 17).integers(0, 256, (side, side, 3))
    target = np.empty((side, side, 3))
    target[...] = (190 - 20 * index, 160, 120)
    target[side // 4 : side // 2 + index, side // 4 : side // 2 + side // 8] = (40, 60, 90)
    source = np.where(target[..., :1] < 100, (255, 255, 255), (0, 0, 120))
    image = {"source": source, "target": target}.get(part, finished * target + (1 - finished) * noise)
    return image.round().astype(np.uint8)


def save_colour(path: Path, part: str, index: int, finished: float) -> None:
    """An 8-bit RGB picture."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(scene(part, index, finished)).save(path)


def log_lines(images: int = 8000, every: int = 50, pairs: int = 400) -> list[dict[str, Any]]:
    """What a plausible training logs."""
    random = np.random.default_rng(0)
    lines: list[dict[str, Any]] = [
        {"kind": "start", "images": 0, "seconds": 0.0, "pairs": pairs, "parameters": {"generator": 1_900_000, "discriminator": 700_000}}
    ]
    for seen in range(every, images + 1, every):
        t = seen / images
        l1 = 0.1 + 0.3 * math.exp(-5 * t) + 0.02 * random.normal()
        adversarial = 1 + 1.5 * t + 0.3 * random.normal()
        lines.append(
            {
                "kind": "step",
                "images": seen,
                "epoch": (seen - 1) // pairs,
                "d": 0.69 * (1 - 0.5 * t) + 0.06 * random.normal(),
                "g": adversarial + 100 * l1,
                "adversarial": adversarial,
                "terms": {"l1": l1},
                "d_real": 0.5 + 0.25 * t + 0.05 * random.normal(),
                "d_fake": 0.5 - 0.25 * t + 0.05 * random.normal(),
                "learning_rate": 2e-4 * min(1.0, 2 - 2 * t),
                "images_per_second": 110 + 4 * random.normal(),
                "seconds": seen / 111,
            }
        )
        if seen % pairs == 0:
            best = seen == images * 3 // 4
            metrics = {"l1": l1, "psnr": 10 + 7 * (1 - math.exp(-4 * t)) - 0.5 * t, "ssim": 0.1 + 0.33 * (1 - math.exp(-3 * t))}
            lines.append({"kind": "validation", "images": seen, "epoch": seen // pairs, "metrics": metrics, "best": best})
    lines.append(
        {
            "kind": "health",
            "images": 3000,
            "code": "d_wins",
            "level": "warning",
            "message": "The discriminator wins: D(real) 0.98, D(fake) 0.02.",
        }
    )
    return [*lines, {"kind": "end", "images": images, "seconds": 72.0}]


def write_run(run: Path, save: Save = save_colour, suffix: str = ".png") -> Path:
    """A whole run directory; ``save(path, part, index, finished)`` writes its pictures."""
    (run / "evaluation").mkdir(parents=True)
    (run / "recipe.yaml").write_text(RECIPE)
    environment = {
        "transfigure": "0.1.0",
        "python": "3.12.1",
        "torch": "2.13.0",
        "cpu": "two cores",
        "threads": 2,
        "device": "cpu",
        "seed": 0,
    }
    (run / "environment.json").write_text(json.dumps(environment))
    (run / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in log_lines()))
    for index in range(2):
        for part in ("source", "target"):
            save(run / "samples" / "fixed" / f"{index}_{part}{suffix}", part, index, 1.0)
        for moment in range(1, 9):
            save(run / "samples" / f"{moment * 1000:08d}" / f"{index}{suffix}", "generated", index, moment / 8)
    panels = []
    for index, (role, value) in enumerate((("best", 0.61), ("median", 0.43), ("worst", 0.21), ("example", 0.4), ("example", 0.5))):
        files = {part: f"panels/{index:04d}_{part}{suffix}" for part in ("source", "generated", "target")}
        for part, name in files.items():
            save(run / "evaluation" / name, part, index, value + 0.3)
        panels.append({"name": f"{index:04d}", "role": role, "value": value, **files})
    bounds = {"source copied": 8.1, "mean training target": 12.3}
    rows = [
        {
            "metric": "psnr",
            "label": "PSNR",
            "unit": "dB",
            "better": "higher",
            "value": 17.21,
            "low": 16.9,
            "high": 17.5,
            "n": 128,
            "bounds": bounds,
        },
        {
            "metric": "ssim",
            "label": "SSIM",
            "unit": "",
            "better": "higher",
            "value": 0.431,
            "low": 0.418,
            "high": 0.445,
            "n": 128,
            "bounds": {"source copied": 0.12, "mean training target": 0.31},
        },
        {
            "metric": "l1",
            "label": "L1",
            "unit": "",
            "better": "lower",
            "value": 0.113,
            "low": 0.11,
            "high": 0.116,
            "n": 128,
            "bounds": {"source copied": 0.52, "mean training target": 0.21},
        },
        {
            "metric": "fid",
            "label": "FID",
            "skipped": "the Inception weights are not on this machine: put them where 'transfigure weights' says",
        },
    ]
    evaluation = {
        "split": "test",
        "n": 128,
        "resize": "none",
        "checkpoint": "last (8,000 images)",
        "model": "U-Net",
        "rows": rows,
        "ranked_by": "ssim",
        "panels": panels,
        "seconds": 12.3,
        "images_per_second": 10.4,
    }
    (run / "evaluation" / "evaluation.json").write_text(json.dumps(evaluation))
    random = np.random.default_rng(1)
    with (run / "evaluation" / "per_image.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["name", "psnr", "ssim", "l1"])
        table.writerows([f"{index:04d}", random.normal(17.2, 2), random.normal(0.43, 0.08), random.gamma(8, 0.014)] for index in range(128))
    return run


INCEPTION, ALEX, HEADS = "6726825d" + "0f" * 28, "ab" * 32, "0123456789abcdef" * 4
PRINTED = {"split": "test", "n": 128, "resize": "bicubic to 256 x 256", "checkpoint": "best (ssim 0.41 on 50 validation pairs)"}


def row_of(
    metric: str, label: str, better: str, value: float | None, *, bounds: dict[str, float] | None = None, **more: Any
) -> dict[str, Any]:
    """A row of evaluation.json, complete as evaluation writes it; its interval is a tenth of the value to both sides."""
    ends = (None, None) if value is None else (value - abs(value) / 10, value + abs(value) / 10)
    said = {"network": "", "weights": "", "resize": PRINTED["resize"], "checkpoint": PRINTED["checkpoint"], "caution": "", "skipped": ""}
    row = {"metric": metric, "label": label, "unit": "", "better": better, "value": value, "low": ends[0], "high": ends[1]}
    return {**row, "n": 0 if value is None else 128, "bounds": bounds or {}, **said, "of": metric, **more}


def rows_of_every_kind() -> list[dict[str, Any]]:
    """Every metric as a table may have it: of images, of pixels, of sets, of classes, with cautions, and skipped."""
    fed = {"network": "Inception v3 of 2015-12-05, pooled features", "weights": INCEPTION}
    fed["resize"] = f"{PRINTED['resize']}; bilinear to 299 x 299 as TensorFlow 1 does"
    few = "of 128 images, where {} are the least: too large, and not comparable with published values"
    absent = "the Inception weights are not on this machine: put pt_inception-2015-12-05-6726825d.pth into ~/.cache/transfigure/weights"
    segmented = {"of": "fcn_score", "network": "DRN of 2 classes", "weights": ALEX}
    random = {"network": "3 random convolutions, 256 features", "weights": "seed 0", "caution": few.format("256")}
    seen = {"network": "AlexNet, LPIPS 0.1 heads", "weights": f"{ALEX} + {HEADS}"}

    def bounds(copied: float, mean: float | None, itself: float) -> dict[str, float]:
        """In the order they come: what a metric knows itself, then the outputs without a translator."""
        known = {"target itself": itself, "source copied": copied, "mean training target": mean}
        return {name: value for name, value in known.items() if value is not None}

    return [
        row_of("variation_across_inputs", "Variation across inputs", "higher", 0.91, bounds=bounds(0.84, None, 1.0), of="dependence"),
        row_of("own_target_nearest", "Own target nearest", "higher", 0.973, bounds=bounds(0.81, None, 1.0), of="dependence"),
        row_of("dists", "DISTS", "lower", None, skipped=absent),
        row_of("diversity", "Diversity", "higher", 0.0123, caution="on 32 of 128 images"),
        row_of("fid", "FID", "lower", 142.1, bounds=bounds(301.2, None, 88.3), caution=few.format("2,048"), **fed),
        row_of("kid", "KID x 1,000", "lower", 31.2, bounds=bounds(190.4, None, -0.031), **fed),
        row_of("fcn_accuracy", "Per-pixel accuracy", "higher", 0.61, bounds={"real photos": 0.79, "source copied": 0.12}, **segmented),
        row_of("l1", "L1", "lower", 0.113, bounds=bounds(0.52, 0.21, 0.0)),
        row_of("lab_histogram_l", "Lab histogram, L", "higher", 0.83, bounds=bounds(0.31, 0.44, 1.0), of="lab_histogram"),
        row_of("lab_histogram_a", "Lab histogram, a", "higher", 0.71, bounds=bounds(0.22, 0.18, 1.0), of="lab_histogram"),
        row_of("lab_histogram_b", "Lab histogram, b", "higher", 0.69, bounds=bounds(0.25, 0.21, 1.0), of="lab_histogram"),
        row_of("lpips", "LPIPS", "lower", 0.287, bounds=bounds(0.61, 0.55, 0.0), **seen),
        row_of("ms_ssim", "MS-SSIM", "higher", None, skipped="needs images of 176 pixels and more"),
        row_of("prdc", "precision, recall, density, coverage", "higher", None, skipped=absent),
        row_of("psnr", "PSNR", "higher", 17.21, unit="dB", bounds=bounds(8.1, 12.3, 100.0)),
        row_of("random_frechet", "Fréchet, random features", "lower", 3.4, bounds=bounds(12.1, None, 0.42), **random),
        row_of("ssim", "SSIM", "higher", 0.431, bounds=bounds(0.12, 0.31, 1.0)),
    ]


def write_folders(folder: Path, save: Save = save_colour) -> Path:
    """An evaluation of two folders of 20 images each, without sources: nothing of a run."""
    panels = []
    for index, (role, value) in enumerate((("best", 0.58), ("median", 0.38), ("worst", 0.2), ("example", 0.4))):
        files = {part: f"panels/{index:02d}_{part}.png" for part in ("generated", "target")}
        for part, name in files.items():
            save(folder / name, part, index, 0.6)
        panels.append({"name": f"{index:04d}", "role": role, "value": value, **files})
    about = {"split": "made/facades against data/targets", "resize": "none", "checkpoint": "files", "model": "made/facades"}
    rows = [{**row, **{key: about[key] for key in ("resize", "checkpoint")}, "n": 20} for row in rows_of_every_kind()]
    for row in rows:
        row["bounds"] = {name: value for name, value in row["bounds"].items() if name == "target itself"}
    evaluation = {
        **about,
        "ranked_by": "ssim",
        "worst": ["0002"],
        "best": ["0000"],
        "seconds": 3.1,
        "n": 20,
        "rows": rows,
        "panels": panels,
    }
    (folder / "evaluation.json").write_text(json.dumps(evaluation))
    (folder / "per_image.csv").write_text("name,l1,ssim\n" + "".join(f"{at:04d},{0.1 + at / 90},{0.2 + at / 50}\n" for at in range(20)))
    return folder


def write(folder: Path) -> Path:
    """The page of a whole run."""
    return report(write_run(folder / "runs" / "facades"))
