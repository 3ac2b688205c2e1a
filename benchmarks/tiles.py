"""What tiles do to a large image: how far it is from one pass and where, whether their borders show, what they cost in time and memory.

    python benchmarks/tiles.py [--size 1024] [--tile 384 | --max-memory 3GB] [--overlap N] [--updates 300] [--seeds 0 1 2]
        [--networks unet,batch resnet,instance ...] [--ways tile global exact] [--panel worst.png] [--pictures SOURCE.npy TARGET.npy]

Each network is first trained for a while (L1, crops of 128 of the upper left quarter), on drawn streets, every scene of 256 x 256 beside
the next, or on ``--pictures`` (float32 ``[C, H, W]`` in [-1, 1]). Then the whole image is translated, each time in a process of its own: in
one pass, and in tiles with each way of statistics. Printed are the largest difference on [-1, 1] and its place, the mean difference, how
much the difference changes across the borders of tiles against how much it changes over as many pixels inside (1: no border shows), pixels
a second against one pass, and the most memory beyond what the process held before. ``--panel`` shows the worst place of each.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from measured import Row, add_json, machine, number, versions, write_if_asked
from torch import Tensor

from transfigure import memory
from transfigure.networks.build import build_generator
from transfigure.networks.model_file import Domain, Inference, ModelConfig, save_model
from transfigure.translation.tiling import parse_size
from transfigure.translation.translator import Translator
from transfigure.worlds.facades.dataset import draw_scene, render

TOY = [
    "--size",
    "96",
    "--tile",
    "64",
    "--overlap",
    "16",
    "--updates",
    "1",
    "--width",
    "2",
    "--networks",
    "unet,batch",
    "--panel",
    "worst.png",
]
"""Arguments of a run that takes seconds."""
SCENE, CROP = 256, 128
OPTIONS: dict[str, dict[str, Any]] = {
    "unet": {"depth": 5, "dropout": 0.0},
    "encoder_decoder": {"depth": 5, "dropout": 0.0},
    "resnet": {"blocks": 6},
}


def streets(size: int) -> tuple[Tensor, Tensor]:
    """Label maps and photos of many scenes."""
    across = -(-size // SCENE)
    sides = []
    for rendering in ("labels", "day"):
        rows = [
            np.concatenate([render(draw_scene(0, row * across + column), rendering, SCENE) for column in range(across)], 1)
            for row in range(across)
        ]
        picture = torch.from_numpy(np.concatenate(rows)).permute(2, 0, 1)[:, :size, :size]
        sides.append(picture.float() / 127.5 - 1)
    return sides[0], sides[1]


def trained(network: str, seed: int, source: Tensor, target: Tensor, options: argparse.Namespace, folder: Path) -> None:
    """A model directory."""
    name, norm = network.split(",")
    torch.manual_seed(seed)
    settings = {**OPTIONS[name], "width": options.width, "norm": norm}
    generator = build_generator(name, len(source), len(target), settings)
    optimizer = torch.optim.Adam(generator.parameters(), 5e-4, (0.5, 0.999))
    half = max(min(source.shape[1] // 2, source.shape[2] // 2), min(CROP, *source.shape[1:]))
    crop = min(CROP, half) // generator.size_multiple * generator.size_multiple
    loss = torch.zeros(())
    for _ in range(options.updates):
        top, left = torch.randint(0, half - crop + 1, (2,)).tolist()
        place = (slice(None), slice(top, top + crop), slice(left, left + crop))
        loss = (generator.train()(source[place][None]) - target[place][None]).abs().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    print(f"{name}, {norm}, seed {seed}: {options.updates} updates, L1 {float(loss.detach()):.3f}", file=sys.stderr)
    sides = Domain(len(source)), Domain(len(target))
    config = ModelConfig(name, settings, *sides, size_multiple=generator.size_multiple, inference=Inference("batch", "none", 0))
    save_model(folder, generator.state_dict(), config)


def measure(model: str, pictures: str, out: str, tiling: dict[str, Any]) -> dict[str, Any]:
    """One translation in this process."""
    translator = Translator.load(model, device="cpu").set_tiles(**tiling)
    source = torch.from_numpy(np.load(pictures))[None]
    translator.translate_tensor(source[..., :128, :128])
    plan = translator._tiler.plan(*source.shape[-2:])  # now: what is free afterwards may lead to another
    before, start = memory.used(), time.perf_counter()
    made = translator.translate_tensor(source)[0]
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before
    np.save(out, made.numpy())
    grid = None if plan is None else [[[span.start, span.stop] for span in line] for line in (plan.grid.rows, plan.grid.columns)]
    return {"seconds": seconds, "mib": peak / 2**20, "grid": grid, "feather": 0 if plan is None else plan.grid.feather}


def child(*job: Any) -> dict[str, Any]:
    """The same in a process of its own."""
    done = subprocess.run([sys.executable, __file__, "--child", json.dumps(job)], check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def seams(difference: Tensor, columns: list[list[int]], feather: int) -> float:
    """How much a difference ``[C, H, W]`` changes across the borders between columns of tiles, against everywhere else."""
    middles = [(second[0] + first[1]) // 2 for first, second in pairwise(columns)]
    lag = feather + 2
    change = (difference[..., lag:] - difference[..., :-lag]).abs().mean((0, 1))
    at = [min(max(0, middle - lag // 2), len(change) - 1) for middle in middles]
    inside = torch.ones(len(change), dtype=torch.bool)
    for place in at:
        inside[max(0, place - lag) : place + lag] = False
    if not inside.any() or float(change[inside].mean()) < 1e-7:
        return float("nan")
    return float(change[at].mean() / change[inside].mean())


@dataclass(frozen=True)
class Place:
    """The largest difference that tiles of one network made in one way, and what lies there."""

    title: str
    squares: list[Tensor]
    largest: float


def worst(title: str, whole: Tensor, tiled: Tensor, side: int = 96) -> Place:
    """The square around the largest difference, in one pass and in tiles."""
    change = (tiled - whole).abs().amax(0)
    row, column = divmod(int(change.argmax()), change.shape[1])
    top, left = (max(0, min(at - side // 2, size - side)) for at, size in zip((row, column), change.shape))
    return Place(title, [x[:, top : top + side, left : left + side] for x in (whole, tiled)], float(change.max()))


def draw(places: list[Place], file: Path) -> None:
    """The worst places below each other: one pass, tiles, and the difference, black where there is none and white at 0.5 and more."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(len(places), 3, figsize=(6, 2.1 * len(places)), squeeze=False, layout="constrained")
    for place, line in zip(places, axes):
        whole, tiled = place.squares
        shown = [(whole + 1) / 2, (tiled + 1) / 2, ((tiled - whole).abs().amax(0, keepdim=True) * 2).expand(3, -1, -1)]
        for axis, image, title in zip(line, shown, ("one pass", place.title, f"difference (most: {place.largest:.2f})")):
            axis.imshow(image[:3].expand(3, -1, -1).permute(1, 2, 0).clamp(0, 1).numpy(), interpolation="nearest")
            axis.set_title(title, fontsize=7)
            axis.axis("off")
    figure.savefig(file, dpi=110)
    pyplot.close(figure)


def compare(network: str, root: Path, options: argparse.Namespace, rounds: dict[tuple[str, str], list[float]]) -> list[Place]:
    """One trained network in tiles, in every way, against one pass; the numbers go to ``rounds``."""
    norm, places = network.split(",")[1], []
    base = child(str(root / "model"), str(root / "source.npy"), str(root / "whole.npy"), {"tile": "none"})
    whole = torch.from_numpy(np.load(root / "whole.npy"))
    print(f"{network:24} one pass: {base['seconds']:.2f} s, {base['mib']:.0f} MiB, deviation of values {float(whole.std()):.3f}")
    size = {"max_memory": parse_size(options.max_memory)} if options.max_memory else {"tile": options.tile}
    for way in ["tile"] if norm == "none" else options.ways:
        found = child(
            str(root / "model"), str(root / "source.npy"), str(root / "tiled.npy"), {**size, "overlap": options.overlap, "statistics": way}
        )
        if found["grid"] is None:
            raise SystemExit(f"{network} goes through whole: give --tile, or a smaller --max-memory")
        tiled = torch.from_numpy(np.load(root / "tiled.npy"))
        difference = tiled - whole
        largest, place = float(difference.abs().max()), int(difference.abs().amax(0).argmax())
        ratio, mean = base["seconds"] / found["seconds"], float(difference.abs().mean())
        (row, *_), columns = found["grid"]
        seam = seams(difference, columns, found["feather"])
        down, right = divmod(place, whole.shape[2])
        print(
            f"  {way:8} {columns[0][1]} x {row[1]}: largest {largest:.1e} at row {down}, column {right}; "
            f"mean {mean:.1e}; borders {seam:.2f} x inside; {ratio:.2f} x pixels/s; {found['mib']:.0f} MiB"
        )
        values = {"on [-1, 1], largest": largest, "on [-1, 1], mean": mean, "x": ratio, "MiB": found["mib"], "x inside": seam}
        for unit, value in values.items():
            rounds.setdefault((f"{network}, {way}", unit), []).append(value)
        places.append(worst(f"{network}, {way}", whole, tiled))
    return places


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--size", type=int, default=1024)
    parser.add_argument("--tile", type=int, default=384)
    parser.add_argument("--max-memory", help="tiles as they are chosen for this")
    parser.add_argument("--overlap", type=int)
    parser.add_argument("--updates", type=int, default=300)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--width", type=int, default=16)
    parser.add_argument(
        "--networks", nargs="+", default=["unet,none", "unet,batch", "unet,instance", "resnet,none", "resnet,batch", "resnet,instance"]
    )
    parser.add_argument("--ways", nargs="+", default=["tile", "global", "exact"], choices=["tile", "global", "exact"])
    parser.add_argument("--pictures", nargs=2, type=Path)
    parser.add_argument("--panel", type=Path, help="PNG with the worst place of each, of the first seed")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    add_json(parser)
    options = parser.parse_args()
    if options.child:
        print(json.dumps(measure(*json.loads(options.child))))
        return
    print("; ".join(", ".join(f"{key} {value}" for key, value in group.items()) for group in (machine(), versions())))
    if options.pictures:
        source, target = (torch.from_numpy(np.load(file)) for file in options.pictures)
    else:
        source, target = streets(options.size)
    print(f"{source.shape[2]} x {source.shape[1]} pixels")
    rounds: dict[tuple[str, str], list[float]] = {}
    places: list[Place] = []
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        np.save(root / "source.npy", source.numpy())
        for network in options.networks:
            for seed in options.seeds:
                trained(network, seed, source, target, options, root / "model")
                found = compare(network, root, options, rounds)
                places += found if seed == options.seeds[0] else []
                shutil.rmtree(root / "model")
    rows = [Row(name, unit, values) for (name, unit), values in rounds.items()]
    if len(options.seeds) > 1:
        for row in rows:
            print(f"{row.name:24} {number(row.median)} {row.unit} {row.spread()}")
    if options.panel:
        draw(places, options.panel)
    write_if_asked(options, "tiles", rows)


if __name__ == "__main__":
    main()
