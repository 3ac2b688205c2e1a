"""A small command line for every verb, in a folder that holds a run and ``pictures``; ``OUT`` stands for what it writes."""

from __future__ import annotations

from tests.training.runs import TINY

TOY = [word for key, value in TINY.items() for word in (f"--{key}", str(value))]
VERBS = {
    "ablate": ["ablate", "cosine", "synthetic", "--out", "OUT", "--seeds", "0", "--metrics", "l1", *TOY, "--data.workers", "1"],
    "analyze": ["analyze", "run", "--images", "2", "--split", "train"],
    "compare": ["compare", "run", "run", "--out", "OUT.html"],
    "demo": ["demo", "--out", "OUT"],
    "doctor": ["doctor"],
    "evaluate": ["evaluate", "run", "--metrics", "l1"],
    "list": ["list"],
    "report": ["report", "run", "--out", "OUT.html"],
    "segmenter": ["segmenter", "train", "synthetic", "--palette", "synthetic", "--epochs", "1", "--width", "4", "--out", "OUT"],
    "statistics": ["statistics", "pictures", "--features", "random", "--out", "OUT.npz"],
    "train": ["train", "demo", *TOY, "--data.workers", "2", "--out", "OUT"],
    "translate": ["translate", "run", "pictures", "OUT"],
    "weights": ["weights"],
}
