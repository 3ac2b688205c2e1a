"""Our data path, cached in memory and on disk, against decoding and resizing each item with Pillow, interleaved, on one thread.

    python benchmarks/data.py [--pairs 40] [--rounds 5] [--json FILE]

Both make the same thing from side-by-side JPEG files of 512 x 256: resize to 286, crop to 256 at random, mirror, float tensors in
[-1, 1]. The files are drawn facades, written to a temporary folder, and so are the pairs that are kept. The first epoch decodes; the second
one from disk checks every pair once. Compare ratios, not rates: these depend on what else the machine does.
"""

from __future__ import annotations

import argparse
import os
import platform
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import PIL
import torch
from measured import Row, add_json, ratios, write_if_asked
from PIL import Image

from transfigure.data import images, prepared
from transfigure.data.dataset import Cache, PairDataset, PairFormat
from transfigure.data.open import caches, open_collection
from transfigure.data.transforms import Geometry
from transfigure.recipe import Data
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
    add_json(parser)
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for index in range(options.pairs):
            scene = draw_scene(0, index)
            images.write(root / "train" / f"{index}.jpg", np.concatenate([render(scene, "day", 256), render(scene, "labels", 256)], axis=1))
        files = sorted((root / "train").iterdir())
        records = open_collection("side_by_side", root).splits["train"]
        time.sleep(prepared.SETTLED)  # what is younger is kept in memory only
        os.environ["TRANSFIGURE_CACHE"] = str(root / "cache")
        section, geometry = Data(kind="side_by_side", path=str(root)), Geometry(286, 256)
        places = {"in memory": Cache(geometry), "on disk": caches(section, geometry, records, [])[0]}
        datasets = {place: PairDataset(records, geometry, PairFormat("AtoB", 3, 3), cache=cache) for place, cache in places.items()}
        names = ["Pillow, each item anew", *(f"ours, {epoch}{place}" for place in datasets for epoch in ("first epoch, ", "cached "))]
        rates: dict[str, list[float]] = {name: [] for name in names}
        for epoch in range(options.rounds + 1):
            rates["Pillow, each item anew"].append(rate(lambda index: plain(files[index]), len(files)))
            for place, dataset in datasets.items():
                name = f"ours, {'cached ' if epoch else 'first epoch, '}{place}"
                rates[name].append(rate(lambda index, epoch=epoch, pairs=dataset: pairs[epoch, index], len(records)))  # type: ignore[misc]
    versions = f"torch {torch.__version__}, Pillow {PIL.__version__}"
    print(f"{platform.machine()}, one thread, {options.pairs} pairs; {versions}")
    rows = []
    for name, found in rates.items():
        base = rates["Pillow, each item anew"]
        times = ratios(found, base[: len(found)] if "first" in name else base[-len(found) :])
        spread = f"{statistics.median(times):5.1f} x  (rounds: {min(times):.1f} to {max(times):.1f})"
        rows += [Row(name, "pairs/s", found), Row(f"{name}, against Pillow", "x", times)]
        print(f"{name:28} {statistics.median(found):8.0f} pairs/s   {spread}")
    write_if_asked(options, "data", rows)


if __name__ == "__main__":
    main()
