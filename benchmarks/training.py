"""Our training step against a plain PyTorch loop of the same networks, interleaved, on CPU.

    python benchmarks/training.py [--rounds 5] [--steps 6] [--size 256] [--width 64] [--layouts] [--json FILE]

"Plain" is what a careful person writes first: the same U-Net and PatchGAN, ``torch.optim.Adam`` as it comes (unfused), contiguous
memory, glibc's allocator as it is. Each measurement is a process of its own, since the allocator's setting belongs to a process; they
take turns, so that whatever else the machine does hurts both. Printed are images a second (median over rounds), their ratio, and
peak memory.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

import torch
from measured import Row, add_json, ratios, write_if_asked

from transfigure.data.batch import Batch

TOY = ["--rounds", "1", "--steps", "1", "--size", "32", "--width", "2"]
"""Arguments of a run that takes seconds."""


def pair(size: int) -> Batch:
    random = torch.Generator().manual_seed(0)
    source, target = torch.rand(2, 1, 3, size, size, generator=random) * 2 - 1
    return Batch(source, target, ("one",))


def measure_ours(steps: int, size: int, width: int, layout: str, norm: str) -> dict[str, float]:
    from transfigure.recipe import Recipe
    from transfigure.training.allocator import keep_freed_memory
    from transfigure.training.engine import Engine
    from transfigure.training.setup import Setup
    from transfigure.training.steps.build import build_step

    overrides: dict[str, object] = {"data.crop_size": size, "data.load_size": size, "generator.width": width, "discriminator.width": width}
    overrides |= {"training.channels_last": layout, "training.accelerator": "cpu", "generator.norm": norm}
    recipe = Recipe.load("pix2pix", overrides)
    keep_freed_memory()
    torch.manual_seed(0)
    step = build_step(Setup(recipe, (3, 3), Engine(recipe.training)))
    batch = pair(size)
    return timed(lambda: step.training_step(batch), steps)


def measure_plain(steps: int, size: int, width: int, norm: str) -> dict[str, float]:
    from torch.nn import functional as F

    from transfigure.networks.build import build_discriminator, build_generator
    from transfigure.recipe import Recipe

    recipe = Recipe.load("pix2pix", {"data.crop_size": size, "data.load_size": size, "generator.width": width, "generator.norm": norm})
    torch.manual_seed(0)
    generator = build_generator("unet", 3, 3, recipe.generator.options)
    discriminator = build_discriminator("patch", 6, {"width": width})
    adam_g = torch.optim.Adam(generator.parameters(), 2e-4, (0.5, 0.999))
    adam_d = torch.optim.Adam(discriminator.parameters(), 2e-4, (0.5, 0.999))
    batch = pair(size)
    source, target = batch.source, batch.target

    def gan(logits: torch.Tensor, real: bool) -> torch.Tensor:
        return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, float(real)))

    def update() -> None:
        fake = generator(source)
        adam_d.zero_grad()
        real, fakes = (discriminator(torch.cat([source, image], 1)).logits[0] for image in (target, fake.detach()))
        (0.5 * (gan(real, True) + gan(fakes, False))).backward()  # type: ignore[no-untyped-call]
        adam_d.step()
        discriminator.requires_grad_(False)
        adam_g.zero_grad()
        (gan(discriminator(torch.cat([source, fake], 1)).logits[0], True) + 100 * F.l1_loss(fake, target)).backward()  # type: ignore[no-untyped-call]
        adam_g.step()
        discriminator.requires_grad_(True)

    return timed(update, steps)


def timed(update: Callable[[], object], steps: int) -> dict[str, float]:
    for _ in range(2):
        update()
    seconds = []
    for _ in range(steps):
        start = time.perf_counter()
        update()
        seconds.append(time.perf_counter() - start)
    try:
        import resource

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    except ImportError:  # Windows
        peak = float("nan")
    return {"images_per_second": 1 / statistics.median(seconds), "peak_mib": peak}


def child(which: str, options: argparse.Namespace) -> dict[str, float]:
    command = [sys.executable, __file__, "--child", which]
    for name in ("steps", "size", "width", "norm"):
        command += [f"--{name}", str(getattr(options, name))]
    measured: dict[str, float] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return measured


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--norm", default="batch")
    parser.add_argument("--layouts", action="store_true", help="also compare NHWC with NCHW")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    add_json(parser)
    options = parser.parse_args()
    shape = (options.steps, options.size, options.width)
    if options.child:
        layouts = {"ours": "auto", "ours, NCHW": "no", "ours, NHWC": "yes"}
        plain = options.child == "plain"
        found = measure_plain(*shape, options.norm) if plain else measure_ours(*shape, layouts[options.child], options.norm)
        print(json.dumps(found))
        return
    ways = ["plain", "ours", *(["ours, NCHW", "ours, NHWC"] if options.layouts else [])]
    measured: dict[str, list[dict[str, float]]] = {way: [] for way in ways}
    for number in range(options.rounds):
        for way in ways:
            measured[way].append(child(way, options))
            latest = measured[way][-1]
            print(
                f"round {number + 1}/{options.rounds}  {way:12} {latest['images_per_second']:.3f} img/s  {latest['peak_mib']:.0f} MiB",
                file=sys.stderr,
            )
    size = f"{options.size} x {options.size}, width {options.width}"
    print(f"pix2pix step, {size}, batch 1, {torch.get_num_threads()} threads, torch {torch.__version__}")
    rates = {way: [item["images_per_second"] for item in measured[way]] for way in ways}
    rows = []
    for way, rounds in rates.items():
        peaks = [item["peak_mib"] for item in measured[way]]
        times = ratios(rounds, rates["plain"])
        compared = f"{statistics.median(times):.2f} x plain (rounds: {min(times):.2f} to {max(times):.2f})"
        print(f"{way:12} {statistics.median(rounds):.3f} images/s   {compared}   peak {max(peaks):.0f} MiB")
        rows += [Row(way, "images/s", rounds), Row(f"{way}, against plain", "x", times), Row(f"{way}, peak memory", "MiB", peaks)]
    write_if_asked(options, "training", rows)


if __name__ == "__main__":
    main()
