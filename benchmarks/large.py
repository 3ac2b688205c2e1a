"""What the translation of large files takes: memory of the whole process, and time against that of the network alone.

    python benchmarks/large.py [--sizes 2048 8192 20000] [--depth 8] [--max-memory 3GB] [--width 8] [--blocks 6] [--statistics global]
    python benchmarks/large.py --sizes 4096 --depth 16 --tile 1024 --statistics tile

For each size a TIFF of tiles is written, piece by piece, of RGB in 8 bits or grey in 16: smooth hills with a fine texture. A ResNet with
instance norm, as it is before any training (what it makes looks like nothing, and takes as long), translates it by
``Translator.translate_file`` in a process of its own, whose most memory (``ru_maxrss``) is told, that of Python and torch included. The
time of the network alone is that of all its passes, those that gather statistics too; so the ratio is 1 where reading and writing
cost nothing.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
import torch
from measured import Row, add_json, machine, versions, write_if_asked
from numpy.typing import NDArray

from transfigure.networks.build import build_generator
from transfigure.networks.model_file import Domain, Inference, ModelConfig, save_model
from transfigure.translation.tiling import parse_size, parse_tile

TOY = ["--sizes", "160", "--tile", "64", "--width", "2", "--blocks", "1"]
"""Arguments of a run that takes seconds."""
TILE = 512


def tiles(size: int, depth: int) -> Iterator[NDArray[Any]]:
    """The tiles of a picture, in the order of reading."""
    texture = np.random.default_rng(0).integers(0, 24, (TILE, TILE, 3), np.int64)
    for top in range(0, size, TILE):
        for left in range(0, size, TILE):
            y, x = np.mgrid[top : top + TILE, left : left + TILE] / size * 2 * np.pi
            hills = np.stack([np.sin(3 * x + 2 * y), np.cos(2 * x - y), np.sin(5 * y)], axis=2)
            values = (116 + 115 * hills).astype(np.int64) + texture
            yield values.astype(np.uint8) if depth == 8 else (values[..., 0] * 257).astype(np.uint16)


def write_picture(file: Path, size: int, depth: int) -> None:
    """A TIFF of tiles, of which one at a time is in memory."""
    kind: dict[str, Any] = {"photometric": "rgb" if depth == 8 else "minisblack", "tile": (TILE, TILE), "compression": "zlib"}
    shape = (size, size, 3) if depth == 8 else (size, size)
    tifffile.imwrite(file, tiles(size, depth), shape=shape, dtype=f"uint{depth}", metadata=None, maxworkers=1, **kind)


def measure(model: str, source: str, output: str, tiling: dict[str, Any]) -> dict[str, float]:
    """One translation in this process."""
    from transfigure.translation.engines.torch import TorchEngine
    from transfigure.translation.translator import Translator

    translator = Translator.load(model, device="cpu").set_tiles(**tiling)
    engine, spent = translator.engine, [0.0]
    assert isinstance(engine, TorchEngine)
    translator.translate_array(np.zeros((64, 64, translator.config.source.channels), translator.config.source.dtype))

    def timed(act: Any) -> Any:
        def passing(*given: Any, **more: Any) -> Any:
            start = time.perf_counter()
            try:
                return act(*given, **more)
            finally:
                spent[0] += time.perf_counter() - start

        return passing

    for name in ("within", "_one"):
        setattr(engine, name, timed(getattr(engine, name)))
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.perf_counter()
    translator.translate_file(source, output, overwrite=True)
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"seconds": seconds, "network": spent[0], "peak": peak / 1024, "before": before / 1024}


def child(*job: Any) -> dict[str, float]:
    """The same in a process of its own."""
    done = subprocess.run([sys.executable, __file__, "--child", json.dumps(job)], check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    """Print a line for each size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[2048, 8192, 20000], metavar="PIXELS")
    parser.add_argument("--depth", type=int, choices=[8, 16], default=8)
    parser.add_argument("--tile", default="auto", metavar="auto|PIXELS")
    parser.add_argument("--max-memory", metavar="SIZE")
    parser.add_argument("--statistics", choices=["tile", "global", "exact"], default="global")
    parser.add_argument("--width", type=int, default=8)
    parser.add_argument("--blocks", type=int, default=6)
    parser.add_argument("--format", choices=["tif", "png", "npy"], default="tif")
    parser.add_argument("--folder", help="where the files are, which stay there (default: a temporary one)")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    add_json(parser)
    options = parser.parse_args()
    if options.child:
        print(json.dumps(measure(*json.loads(options.child))))
        return
    torch.manual_seed(0)
    rows = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(options.folder or temporary)
        side = Domain(3) if options.depth == 8 else Domain(1, "uint16")
        settings = {"width": options.width, "blocks": options.blocks, "norm": "instance"}
        generator = build_generator("resnet", side.channels, side.channels, settings)
        config = ModelConfig("resnet", settings, side, side, size_multiple=generator.size_multiple, inference=Inference("batch", "none", 0))
        save_model(folder / "model", generator.state_dict(), config)
        tiling: dict[str, Any] = {"tile": parse_tile(options.tile), "statistics": options.statistics}
        if options.max_memory:
            tiling["max_memory"] = parse_size(options.max_memory)
        for size in options.sizes:
            source, output = folder / f"{size}_{options.depth}.tif", folder / f"out_{size}_{options.depth}.{options.format}"
            if not source.is_file():
                write_picture(source, size, options.depth)
            found = child(str(folder / "model"), str(source), str(output), tiling)
            ratio = found["seconds"] / found["network"]
            print(
                f"{size} x {size}, {options.depth} bits: at most {found['peak']:,.0f} MiB ({found['before']:,.0f} before), "
                f"{found['seconds']:,.1f} s, {ratio:.3f} times the network's {found['network']:,.1f} s, "
                f"{size * size / 1e6 / found['seconds']:.2f} million pixels/s",
                flush=True,
            )
            rows += [Row(f"{size}", unit, [value]) for unit, value in (("MiB", found["peak"]), ("s", found["seconds"]), ("x", ratio))]
    print("; ".join(f"{key} {value}" for key, value in {**machine(), **versions()}.items()))
    write_if_asked(options, "large", rows)


if __name__ == "__main__":
    main()
