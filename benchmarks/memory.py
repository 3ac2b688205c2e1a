"""What accumulating gradients and computing activations anew save in memory, and what they cost in time.

    python benchmarks/memory.py [--sizes 512 1024] [--generators unet resnet] [--batch 4] [--rounds 3]

One update of pix2pix's recipe with each generator: all activations kept; activations of each level computed anew
(``training.checkpoint_activations``); a batch of several pairs whole, and the same batch one pair at a time (``training.accumulate``). Each
measurement is a process of its own, and they take turns. Printed are the most memory that the process held beyond what it held with its
networks built (gradients and Adam's moments are in it, 12 bytes a weight), seconds an update, and the ratio of both to the first row of the
same kind.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from typing import Any

import torch
from measured import Row, add_json, machine, ratios, versions, write_if_asked

from transfigure.data.batch import Batch

TOY = ["--sizes", "64", "--generators", "unet", "--batch", "2", "--rounds", "1", "--updates", "1", "--width", "2",
       "--ways", "kept", "a batch, whole", "a batch, accumulated, anew"]  # fmt: skip
"""Arguments of a run that takes seconds."""
WAYS: dict[str, dict[str, Any]] = {
    "kept": {},
    "computed anew": {"training.checkpoint_activations": True},
    "a batch, whole": {"training.batch_size": 0},
    "a batch, accumulated": {"training.accumulate": 0},
    "a batch, accumulated, anew": {"training.accumulate": 0, "training.checkpoint_activations": True},
}
"""What each way changes; 0 stands for the size of the batch."""


def peak() -> float:
    """MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(generator: str, size: int, width: int, batch: int, way: str, updates: int) -> dict[str, float]:
    """A few updates in this process."""
    from transfigure.recipe import Recipe
    from transfigure.training.allocator import keep_freed_memory
    from transfigure.training.engine import Engine
    from transfigure.training.setup import Setup
    from transfigure.training.steps.build import build_step

    # The depth is that of 256 x 256, so that sizes differ in nothing else.
    overrides: dict[str, object] = {"data.crop_size": size, "data.load_size": size, "discriminator.width": width}
    overrides |= {"generator": generator, "generator.width": width, "training.accelerator": "cpu", "training.precision": "32-true"}
    overrides |= {"generator.depth": min(8, size.bit_length() - 1)} if generator == "unet" else {"generator.norm": "batch"}
    recipe = Recipe.load("pix2pix", {**overrides, **{key: value if value else batch for key, value in WAYS[way].items()}})
    keep_freed_memory()
    torch.manual_seed(0)
    step = build_step(Setup(recipe, (3, 3), Engine(recipe.training)))
    count = recipe.training.update_size
    source, target = torch.rand(2, count, 3, size, size) * 2 - 1
    pairs = Batch(source, target, tuple(map(str, range(count))))
    before = peak()
    seconds = []
    for _ in range(updates):
        start = time.perf_counter()
        step.training_step(pairs)
        seconds.append(time.perf_counter() - start)
    return {"mib": peak() - before, "seconds": statistics.median(seconds)}


def child(generator: str, size: int, way: str, options: argparse.Namespace) -> dict[str, float]:
    """The same in a process of its own."""
    command = [sys.executable, __file__, "--child", json.dumps([generator, size, options.width, options.batch, way, options.updates])]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    measured: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return measured


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[512, 1024])
    parser.add_argument("--generators", nargs="+", default=["unet", "resnet"], choices=["unet", "resnet"])
    parser.add_argument("--ways", nargs="+", default=list(WAYS), choices=list(WAYS))
    parser.add_argument("--batch", type=int, default=4, help="pairs in a batch, where there are several")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--updates", type=int, default=2)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--child", help=argparse.SUPPRESS)
    add_json(parser)
    options = parser.parse_args()
    if options.child:
        print(json.dumps(measure(*json.loads(options.child))))
        return
    print("; ".join(", ".join(f"{key} {value}" for key, value in group.items()) for group in (machine(), versions())))
    rows = []
    for generator in options.generators:
        for size in options.sizes:
            found: dict[str, list[dict[str, float]]] = {way: [] for way in options.ways}
            for number in range(options.rounds):
                for way in options.ways:
                    found[way].append(child(generator, size, way, options))
                    print(f"{generator} {size}  round {number + 1}/{options.rounds}  {way}  {found[way][-1]}", file=sys.stderr)
            for way, rounds in found.items():
                name = f"{generator} {size}, {way.replace('a batch', f'a batch of {options.batch}')}"
                base = found.get("a batch, whole" if way.startswith("a batch") else "kept", rounds)
                for key, unit in (("mib", "MiB"), ("seconds", "s")):
                    values, first = [one[key] for one in rounds], [one[key] for one in base]
                    rows += [Row(name, unit, values), Row(f"{name}: {unit} by those of the first", "x", ratios(values, first))]
    for row in rows:
        print(f"{row.name:64} {row.median:9.2f} {row.unit:4} {row.spread()}")
    write_if_asked(options, "memory", rows)


if __name__ == "__main__":
    main()
