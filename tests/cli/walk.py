"""A small command line for every verb, in a folder that holds two runs and ``pictures``; ``OUT`` stands for what it writes."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.training.runs import TINY
from transfigure.cli import main

TOY = [word for key, value in TINY.items() for word in (f"--{key}", str(value))]
VERBS = {
    "ablate": ["ablate", "cosine", "synthetic", "--out", "OUT", "--seeds", "0", "--metrics", "l1", *TOY],
    "analyze": ["analyze", "run", "--images", "2", "--split", "train"],
    "compare": ["compare", "run", "other", "--out", "OUT.html"],
    "demo": ["demo", "--out", "OUT"],
    "doctor": ["doctor"],
    "evaluate": ["evaluate", "run", "--metrics", "l1"],
    "list": ["list"],
    "report": ["report", "run", "--out", "OUT.html"],
    "segmenter": ["segmenter", "train", "synthetic", "--palette", "synthetic", "--epochs", "1", "--width", "4", "--out", "OUT"],
    "statistics": ["statistics", "pictures", "--features", "random", "--out", "OUT.npz"],
    "train": ["train", "demo", *TOY, "--out", "OUT"],
    "translate": ["translate", "run", "pictures", "OUT"],
    "weights": ["weights"],
}
WORKERS = {"ablate": ["--data.workers", "1"], "train": ["--data.workers", "2"]}
"""For those that can be loaded for by other processes."""


def make_place(folder: Path, name: str = "{}.png") -> Path:
    """Such a folder; the pictures are called as ``name`` says."""
    assert main(["train", "demo", *TOY, "--out", str(folder / "run"), "--quiet"]) == 0
    assert main(["evaluate", str(folder / "run"), "--metrics", "l1", "--out", str(folder / "run" / "evaluation"), "--quiet"]) == 0
    shutil.copytree(folder / "run", folder / "other")
    (folder / "pictures").mkdir()
    for number, picture in enumerate(sorted((folder / "run" / "samples" / "fixed").rglob("*.png"))):
        shutil.copyfile(picture, folder / "pictures" / name.format(number))
    return folder
