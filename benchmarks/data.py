"""Our data path, cached, against decoding and resizing each item with Pillow, interleaved, on one thread.

    python benchmarks/data.py [--pairs 40] [--rounds 5]

Both make the same thing from side-by-side JPEG files of 512 x 256: resize to 286, crop to 256 at random, mirror, float tensors in
[-1, 1]. The files are drawn facades, written to a temporary folder.
"""

from __future__ import annotations

import argparse
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from transfigure.data import images
from transfigure.data.dataset import PairDataset, PairFormat
from transfigure.data.open import open_collection
from transfigure.data.transforms import Geometry
from transfigure.worlds.facades.dataset import draw_scene, render

TOY = ["--pairs", "4", "--rounds", "1"]
"""Arguments of a run that takes seconds."""


def plain(file: Path) -> tuple[torch.Tensor, torch.Tensor]:
    picture = Image.open(file).convert("RGB")
    width, height = picture.size
    halves = [picture.crop((0, 0, width // 2, height)), picture.crop((width // 2, 0, width, height))]
    left, top, mirror = random.randint(0, 30), random.randint(0, 30), random.random() < 0.5
    tensors = []
    for half in halves:
        part = half.resize((286, 286), Image.Resampling.BICUBIC).crop((left, top, left + 256, top + 256))
        part = part.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if mirror else part
        tensors.append(torch.from_numpy(np.asarray(part).copy()).permute(2, 0, 1).float() / 127.5 - 1)
    return tensors[0], tensors[1]


def rate(work: Callable[[int], object], count: int) -> float:
    start = time.perf_counter()
    for index in range(count):
        work(index)
    return count / (time.perf_counter() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--pairs", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for index in range(options.pairs):
            scene = draw_scene(0, index)
            images.write(root / "train" / f"{index}.jpg", np.concatenate([render(scene, "day", 256), render(scene, "labels", 256)], axis=1))
        files = sorted((root / "train").iterdir())
        records = open_collection("side_by_side", root).splits["train"]
        dataset = PairDataset(records, Geometry(286, 256), PairFormat("AtoB", 3, 3))
        first = rate(lambda index: dataset[0, index], len(records))
        ratios, ours, theirs = [], [], []
        for epoch in range(1, options.rounds + 1):
            theirs.append(rate(lambda index: plain(files[index]), len(files)))
            ours.append(rate(lambda index, epoch=epoch: dataset[epoch, index], len(records)))  # type: ignore[misc]
            ratios.append(ours[-1] / theirs[-1])
    print(f"Pillow, each item anew  {statistics.median(theirs):8.0f} pairs/s")
    print(f"ours, first epoch       {first:8.0f} pairs/s   {first / statistics.median(theirs):.1f} x")
    spread = f"(rounds: {min(ratios):.1f} to {max(ratios):.1f})"
    print(f"ours, cached            {statistics.median(ours):8.0f} pairs/s   {statistics.median(ratios):.1f} x {spread}")


if __name__ == "__main__":
    main()
