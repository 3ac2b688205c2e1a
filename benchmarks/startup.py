"""How long each verb takes to start: over a process that imports torch and nothing else, interleaved.

    python benchmarks/startup.py [--rounds 7] [--width 64] [--json FILE]

``translate`` is the whole command for one image of 256 x 256 with the U-Net of pix2pix (217 MB of weights at width 64); the others do as
little as they can: ``train`` takes one update of a network of width 2, ``evaluate`` scores two folders of two images. Each run is a process
of its own; its processor time is printed beside the seconds that went by, because that hardly depends on what else the machine does.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from measured import Row, add_json, machine, ratios, versions, write_if_asked

TOY = ["--rounds", "1", "--unmeasured", "0", "--width", "2"]
"""Arguments of a run that takes seconds."""

BASE = "import torch"
_SMALL = [f"--{key}={value}" for key, value in {
    "training.epochs": 1, "training.preview_count": 0, "data.size": 32, "data.load_size": 32, "data.crop_size": 32, "data.train": 1,
    "data.val": 1, "data.test": 2, "generator.width": 2, "discriminator.width": 2}.items()]  # fmt: skip
VERBS = {
    "--help": ["--help"],
    "list": ["list"],
    "doctor": ["doctor"],
    "translate, one image": ["translate", "model", "in/0.png", "out.png", "--overwrite", "--quiet"],
    "train, one update": ["train", "pix2pix_tiny", "synthetic", "--out", "new", "--quiet", *_SMALL],
    "evaluate, two images": ["evaluate", "--generated", "in", "--target", "other", "--metrics", "l1,psnr", "--quiet"],
    "report": ["report", "run", "--overwrite"],
    "compare": ["compare", "run", "another", "--overwrite"],
}
"""What is measured: the arguments of ``transfigure``."""


def prepare(folder: Path, width: int) -> None:
    """A model, images, and two runs that were evaluated."""
    code = f"""
import numpy as np
from pathlib import Path
from transfigure.cli.main import main
from transfigure.data import images
from transfigure.networks.build import build_generator
from transfigure.networks.model_file import Domain, ModelConfig, save_model
options = {{"width": {width}}}
generator = build_generator("unet", 3, 3, options)
save_model(Path("model"), generator.state_dict(), ModelConfig("unet", options, Domain(3), Domain(3), generator.size_multiple, 256))
for name in ("in/0.png", "in/1.png", "other/0.png", "other/1.png"):
    images.write(Path(name), np.random.default_rng(len(name)).integers(0, 256, (256, 256, 3), np.uint8))
assert main(["train", "pix2pix_tiny", "synthetic", "--out", "run", "--quiet", *{_SMALL}]) == 0
assert main(["evaluate", "run", "--metrics", "l1", "--out", "run/evaluation"]) == 0
"""
    run([sys.executable, "-c", code], folder)
    shutil.copytree(folder / "run", folder / "another")


def run(command: list[str], folder: Path) -> tuple[float, float]:
    """The seconds that a process took, and those that its processors worked."""
    shutil.rmtree(folder / "new", ignore_errors=True)
    start, before = time.perf_counter(), os.times()
    subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    after = os.times()
    worked = after.children_user + after.children_system - before.children_user - before.children_system
    return time.perf_counter() - start, worked


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--unmeasured", type=int, default=1, help="rounds before these, which fill caches of files and are not counted")
    parser.add_argument("--width", type=int, default=64, help="of the generator that translates")
    add_json(parser)
    options = parser.parse_args()
    commands = {BASE: [sys.executable, "-c", BASE]} | {verb: [sys.executable, "-m", "transfigure", *words] for verb, words in VERBS.items()}
    seconds: dict[str, list[float]] = {name: [] for name in commands}
    worked: dict[str, list[float]] = {name: [] for name in commands}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        prepare(folder, options.width)
        for number in range(-options.unmeasured, options.rounds):
            for name, command in commands.items():
                found = run(command, folder)
                if number >= 0:
                    seconds[name].append(found[0])
                    worked[name].append(found[1])
    for group in (machine(), versions()):
        print(", ".join(f"{key} {value}" for key, value in group.items()))
    print(f"{'':22} {'seconds':>8} {'(rounds)':>16} {'over torch':>11} {'ratio':>7}    processor: {'seconds':>8} {'over torch':>11}")
    rows = []
    for name in commands:
        passed, work = statistics.median(seconds[name]), statistics.median(worked[name])
        over = statistics.median(a - b for a, b in zip(seconds[name], seconds[BASE], strict=True))
        more = statistics.median(a - b for a, b in zip(worked[name], worked[BASE], strict=True))
        times = ratios(seconds[name], seconds[BASE])
        spread = f"({min(seconds[name]):.2f} to {max(seconds[name]):.2f})"
        ratio = statistics.median(times)
        print(f"{name:22} {passed:8.2f} {spread:>16} {over:+11.2f} {ratio:5.2f} x    {'':10} {work:8.2f} {more:+11.2f}")
        rows += [Row(name, "s", seconds[name]), Row(f"{name}, processor", "s", worked[name]), Row(f"{name}, against {BASE}", "x", times)]
    write_if_asked(options, "startup", rows)


if __name__ == "__main__":
    main()
