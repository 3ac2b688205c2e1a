"""A small command line for every verb, in a folder that holds what it works on; ``OUT`` stands for what it writes."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import torch

from tests.interop.reference_layouts import reference_resnet
from tests.training.runs import TINY
from transfigure.cli import main
from transfigure.data import images
from transfigure.worlds.facades.dataset import draw_scene, render

TOY = [word for key, value in (TINY | {"training.epochs": 1}).items() for word in (f"--{key}", str(value))]
GRID = """\
base: pix2pix_small
variations:
  L1: {}
"""
"""One cell, since each is a process that imports everything."""
VERBS = {
    "ablate": ["ablate", "grid.yaml", "synthetic", "--out", "OUT", "--seeds", "0", "--metrics", "l1", *TOY],
    "analyze": ["analyze", "run", "--images", "2", "--split", "train"],
    "compare": ["compare", "run", "other", "--out", "OUT.html"],
    "demo": ["demo", "--out", "OUT"],
    "doctor": ["doctor"],
    "evaluate": ["evaluate", "run", "--metrics", "l1"],
    "import": ["import", "net.pth", "--out", "OUT"],
    "list": ["list"],
    "preview": ["preview", "labelled", "--out", "OUT.html", "--data.load_size", "32", "--data.crop_size", "32", "--pairs", "1"],
    "push": ["push", "run", "owner/name", "--dry-run", "OUT"],
    "report": ["report", "run", "--out", "OUT.html"],
    "segmenter": [
        *("segmenter", "train", "labelled", "--photos", "B", "--palette", "synthetic"),
        *("--size", "16", "--epochs", "1", "--width", "2", "--out", "OUT"),
    ],
    "statistics": ["statistics", "pictures", "--features", "random", "--out", "OUT.npz"],
    "train": ["train", "pix2pix_tiny", *TOY, "--out", "OUT"],
    "translate": ["translate", "run", "pictures", "OUT"],
    "weights": ["weights"],
}
WORKERS = {"ablate": ["--data.workers", "1"], "train": ["--data.workers", "1"]}
"""For those that can be loaded for by other processes."""


def make_place(folder: Path, name: str = "{}.png") -> Path:
    """Such a folder: two runs, ``pictures``, ``labelled`` pairs and a grid; the pictures are called as ``name`` says."""
    assert main(["train", "pix2pix_tiny", *TOY, "--out", str(folder / "run"), "--quiet"]) == 0
    assert main(["evaluate", str(folder / "run"), "--metrics", "l1", "--out", str(folder / "run" / "evaluation"), "--quiet"]) == 0
    shutil.copytree(folder / "run", folder / "other")
    (folder / "pictures").mkdir()
    for number, picture in enumerate(sorted((folder / "run" / "samples" / "fixed").rglob("*.png"))):
        shutil.copyfile(picture, folder / "pictures" / name.format(number))
    for number in range(3):
        scene = draw_scene(0, number)
        halves = [render(scene, rendering, 32) for rendering in ("labels", "day")]
        images.write(folder / "labelled" / name.format(number), np.concatenate(halves, axis=1))
    torch.save(reference_resnet(3, 3, 2, 1, "instance", dropout=False), folder / "net.pth")
    (folder / "grid.yaml").write_text(GRID, encoding="utf-8")
    return folder
