"""From the command to the first update, on a folder of many pairs: cold, and the second time.

    python benchmarks/first_step.py [--pairs 100000] [--distinct 10000] [--size 128] [--layout two_folders] [--updates N] [--json FILE]

The folder is made of ``--distinct`` files of their own and hard links to them, so that it takes little disk. Each start is a process of its
own that trains until its first update. Printed are the seconds since the command for each part of the way, and the most memory that the
process held. Cold: the pairs have never been looked at, and the system's file cache has been emptied (where that is allowed), PyTorch's own
files included; second: by another run after the first; second, cold: the same with the file cache emptied again.

With ``--updates`` a last start goes on for so many updates, and what memory of its own the process holds (no file, no map) is printed on
the way: after the first update and after each tenth of them.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from measured import Row, add_json, machine, versions, write_if_asked
from PIL import Image

TOY = ["--pairs", "60", "--distinct", "20", "--size", "32", "--width", "2", "--updates", "4"]
"""Arguments of a run that takes seconds."""


def make(folder: Path, pairs: int, distinct: int, size: int, layout: str) -> None:
    """A folder of pairs, most of them hard links."""
    random = np.random.default_rng(0)
    sides = {"two_folders": ("trainA", "trainB"), "side_by_side": ("train",)}[layout]
    each = max(1, distinct // len(sides))
    for side in sides:
        (folder / side).mkdir(parents=True)
        for number in range(pairs):
            file = folder / side / f"{number:06d}.jpg"
            if number >= each:
                os.link(folder / side / f"{number % each:06d}.jpg", file)
                continue
            coarse = Image.fromarray(random.integers(0, 256, (8, 8 * (3 - len(sides)), 3), np.uint8))
            coarse.resize((size * (3 - len(sides)), size), Image.Resampling.BICUBIC).save(file, quality=90)


def start(folder: Path, run: Path, size: int, width: int, cache: Path, updates: int = 1) -> dict[str, float]:
    """Train to the first update, or so many, in a process of its own."""
    command = [sys.executable, __file__, "--child", str(folder), str(run), str(size), str(width), str(updates), str(time.time())]
    done = subprocess.run(command, env={**os.environ, "TRANSFIGURE_CACHE": str(cache)}, stdout=subprocess.PIPE, check=True)
    times: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return times


def empty_file_cache() -> None:
    """What the system remembers of the disk; only root may."""
    with contextlib.suppress(OSError):
        os.sync()
        Path("/proc/sys/vm/drop_caches").write_text("3")


def own_memory() -> float:
    """MiB that this process holds beside files; 0 where the system does not say."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("RssAnon:"):
                return int(line.split()[1]) / 1024
    return 0.0


def child(folder: str, run: str, size: int, width: int, updates: int, began: float) -> None:
    """Train to the first update, and print when each part of the way was done."""
    times: dict[str, float] = {}

    def mark(name: str) -> None:
        times[name] = time.time() - began

    from transfigure.data import open as opening
    from transfigure.training import trainer as training

    mark("imported")
    find, look = opening.find_records, opening._inspect  # the parts of open_data

    def found(*arguments: object, **named: object) -> object:
        result = find(*arguments, **named)  # type: ignore[arg-type]
        mark("listed, paired, divided")
        return result

    def looked(*arguments: object, **named: object) -> object:
        result = look(*arguments, **named)  # type: ignore[arg-type]
        mark("looked at")
        return result

    opening.find_records, opening._inspect = found, looked  # type: ignore[assignment]

    class Enough(Exception):
        pass

    done = 0

    after = training.Expectation.after

    def update(self: training.Expectation, images: int, left: int) -> None:
        nonlocal done
        done += 1
        if done == 1:
            mark("first update")
        if updates > 1 and (done == 1 or done % max(1, updates // 10) == 0):
            times[f"MiB of its own after update {done:,}"] = own_memory()
        if done == updates:
            raise Enough

    training.Expectation.after = update  # type: ignore[method-assign]
    from transfigure.recipe import Recipe

    depth = max(1, min(8, int(np.log2(size))))
    keys = {"data.path": folder, "data.load_size": size + size // 8, "data.crop_size": size, "generator.width": width}
    keys |= {"discriminator.width": width, "generator.depth": depth, "training.preview_count": 0}
    recipe = Recipe.load("pix2pix", keys)
    with contextlib.suppress(Enough):
        training.train(recipe, run, quiet=True)
    training.Expectation.after = after  # type: ignore[method-assign]
    times["MiB at most"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps(times))


def main() -> None:
    if sys.argv[1:2] == ["--child"]:
        folder, run, size, width, updates, began = sys.argv[2:]
        child(folder, run, int(size), int(width), int(updates), float(began))
        return
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--pairs", type=int, default=100_000)
    parser.add_argument("--distinct", type=int, default=10_000)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--layout", choices=("two_folders", "side_by_side"), default="two_folders")
    parser.add_argument("--updates", type=int, default=0, help="of a last start whose memory is followed")
    add_json(parser)
    options = parser.parse_args()
    for group in (machine(), versions()):
        print(", ".join(f"{key} {value}" for key, value in group.items()))
    rows = []
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        make(root / "data", options.pairs, options.distinct, options.size, options.layout)
        time.sleep(2.5)  # files that have only just changed are not remembered
        print(f"{options.pairs:,} pairs ({options.layout}, {options.distinct:,} distinct files of {options.size} pixels)")
        print("seconds since the command:")
        starts = {"cold": 1, "second": 1, "second, cold": 1, **({"training": options.updates} if options.updates > 1 else {})}
        for name, updates in starts.items():
            if "cold" in name:
                empty_file_cache()
            times = start(root / "data", root / f"run-{name}", options.size, options.width, root / "cache", updates)
            print(f"{name:12}" + "".join(f"  {part} {value:.1f}" for part, value in times.items()))
            rows += [Row(f"{name}: {part}", "MiB" if "MiB" in part else "s", [value]) for part, value in times.items()]
    write_if_asked(options, "first_step", rows)


if __name__ == "__main__":
    main()
