"""How time and memory grow: of a training step with resolution and with batch size, and of opening the data with the number of pairs.

    python benchmarks/growth.py [--rounds 3] [--resolutions 128 ... 2048] [--batches 1 ... 64] [--pairs 1000 ... 100000]
                                [--memory GB] [--json FILE] [--svg FILE]

A step is pix2pix's, as in benchmarks/against_reference.py; resolution grows at batch 1, the batch at 256 x 256. Opening is that of
benchmarks/first_step.py: from the command to the first update, on a folder that has never been looked at. Each measurement is a process of
its own; the rounds take turns. One that needs more than ``--memory`` is stopped by the system before the machine begins to swap, and so are
not begun the larger ones behind it.

The exponent says how something grows from one line to the next: 1 is in proportion to what is on the left (for resolution: to the number
of pixels), less is a fixed share beside it, more is where it stops being linear. In the plot, dashed lines are in proportion to the first
measurement.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from measured import Row, add_json, machine, number, versions, write_if_asked

TOY = ["--rounds", "1", "--steps", "1", "--width", "2", "--resolutions", "32", "64", "--batches", "2", "--batch_resolution", "32",
       "--pairs", "20", "--pair_size", "32"]  # fmt: skip
"""Arguments of a run that takes seconds."""


@dataclass
class Series:
    """Measurements along one axis.

    Attributes:
        axis: ``resolution``, ``batch`` or ``pairs``.
        of: what is measured.
        at: where, in rising order.
        seconds, mib: what came out there, one value for each round.
        stopped: where there was not enough memory; nothing larger is begun.
    """

    axis: str
    of: str
    at: list[int]
    seconds: dict[int, list[float]] = field(default_factory=dict)
    mib: dict[int, list[float]] = field(default_factory=dict)
    stopped: int | None = None

    def amount(self, at: int) -> int:
        """What time should be in proportion to."""
        return at * at if self.axis == "resolution" else at

    def rows(self) -> list[Row]:
        """As rows of a benchmark."""
        found = []
        for at in self.seconds:
            found += [Row(f"{self.of}, {self.axis} {at}", "s", self.seconds[at])]
            found += [Row(f"{self.of}, {self.axis} {at}, peak memory", "MiB", self.mib[at])]
        return found


def measure_step(size: int, batch: int, steps: int, width: int) -> dict[str, float]:
    """The median of some steps, and the most memory that the process held."""
    import torch
    from against_reference import timed

    from transfigure.data.batch import Batch
    from transfigure.recipe import Recipe
    from transfigure.training.allocator import keep_freed_memory
    from transfigure.training.engine import Engine
    from transfigure.training.setup import Setup
    from transfigure.training.steps.build import build_step

    overrides: dict[str, object] = {"data.crop_size": size, "data.load_size": size, "generator.width": width, "discriminator.width": width}
    overrides |= {"training.accelerator": "cpu", "training.batch_size": batch, "generator.depth": min(8, int(math.log2(size)))}
    recipe = Recipe.load("pix2pix", overrides)
    keep_freed_memory()
    torch.manual_seed(0)
    step = build_step(Setup(recipe, (3, 3), Engine(recipe.training)))
    source, target = torch.rand(2, batch, 3, size, size) * 2 - 1
    pairs = Batch(source, target, tuple(map(str, range(batch))))
    found = timed(lambda: step.training_step(pairs), steps)
    return {"seconds": found["seconds"], "mib": found["peak_mib"]}


def measure_opening(pairs: int, size: int, width: int) -> dict[str, float]:
    """From the command to the first update, on a folder of so many pairs, a tenth of them files of their own."""
    from first_step import make, start

    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        make(root / "data", pairs, max(2, pairs // 10), size, "two_folders")
        time.sleep(2.5)  # files that have only just changed are not remembered
        found = start(root / "data", root / "run", size, width, root / "cache")
    return {"seconds": found["first update"], "mib": found["MiB at most"]}


def child(axis: str, at: int, options: argparse.Namespace) -> dict[str, float]:
    """One measurement, in this process and below a limit of memory."""
    limit_memory(options.memory * 1e9)
    if axis == "pairs":
        return measure_opening(at, options.pair_size, options.width)
    size, batch = (at, 1) if axis == "resolution" else (options.batch_resolution, at)
    return measure_step(size, batch, options.steps, options.width)


def limit_memory(size: float) -> None:
    """Make the system refuse this process, and those that it starts, more memory of their own than so many bytes."""
    try:
        import resource

        resource.setrlimit(resource.RLIMIT_DATA, (int(size), int(size)))
    except (ImportError, ValueError, OSError):  # Windows, or a limit that is lower already
        print("note: this system does not limit a process's memory", file=sys.stderr)


def in_a_process(axis: str, at: int, options: argparse.Namespace) -> dict[str, float] | None:
    """One measurement; None if its memory did not suffice.

    Raises:
        SystemExit: it failed for another reason.
    """
    flags = [f"--{name}={getattr(options, name)}" for name in ("steps", "width", "batch_resolution", "pair_size", "memory")]
    done = subprocess.run([sys.executable, __file__, "--child", axis, str(at), *flags], capture_output=True, text=True, check=False)
    if done.returncode == 0:
        found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
        return found
    lacking = ("allocate memory", "MemoryError", "bad_alloc", "not enough memory", "Cannot allocate")
    if done.returncode in (-9, 137) or any(words in done.stderr for words in lacking):
        return None
    raise SystemExit(f"{axis} {at}: the measurement failed\n{done.stderr[-2000:]}")


def grown(before: tuple[float, float], after: tuple[float, float]) -> float:
    """The exponent by which the second of each pair grows with the first."""
    return math.log(after[1] / before[1]) / math.log(after[0] / before[0])


def table(series: Series) -> list[str]:
    """Lines to read: where, how long, how much, and how both grow."""
    lines = [f"{series.of}:", f"  {series.axis:>10}  {'seconds':>9}  {'(rounds)':>18}  {'exponent':>8}  {'MiB':>8}  {'exponent':>8}"]
    last: tuple[float, float, float] | None = None
    for at, values in series.seconds.items():
        now = (series.amount(at), statistics.median(values), statistics.median(series.mib[at]))
        exponents = ["", ""] if last is None else [f"{grown((last[0], last[part]), (now[0], now[part])):.2f}" for part in (1, 2)]
        spread = Row("", "", values).spread()
        lines.append(f"  {at:10,}  {number(now[1]):>9}  {spread:>18}  {exponents[0]:>8}  {now[2]:8,.0f}  {exponents[1]:>8}")
        last = now
    return lines


def plot(found: Sequence[Series], file: str) -> None:
    """Time above, memory below, for every axis; dashed: in proportion to the first measurement."""
    import matplotlib as mpl
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "transfigure", "font.size": 9}):
        figure = Figure((3.4 * len(found), 5.2), layout="constrained")
        FigureCanvasSVG(figure)
        places = figure.subplots(2, len(found), squeeze=False)
        for column, series in enumerate(found):
            for axes, name, values in zip(places[:, column], ("s", "MiB"), (series.seconds, series.mib), strict=True):
                at = list(values)
                middle = [statistics.median(values[one]) for one in at]
                low, high = ([abs(end(values[one]) - mid) for one, mid in zip(at, middle, strict=True)] for end in (min, max))
                axes.errorbar(at, middle, (low, high), marker="o", markersize=3, linewidth=1.2, capsize=2, color="#0072b2")
                axes.plot(at, [middle[0] * series.amount(one) / series.amount(at[0]) for one in at], "--", linewidth=0.8, color="#5b6470")
                axes.set(xscale="log", yscale="log", xlabel=series.axis, ylabel=name)
                axes.set_xticks(at, [f"{one:,}" for one in at])
                axes.minorticks_off()
                axes.grid(linewidth=0.3)
            places[0, column].set_title(series.of, fontsize=9)
        figure.savefig(file, format="svg", metadata={"Date": None})


def run(options: argparse.Namespace) -> list[Series]:
    """All rounds of all measurements."""
    every = [
        Series("resolution", "step, batch 1", options.resolutions),
        Series("batch", f"step, {options.batch_resolution} x {options.batch_resolution}", options.batches),
        Series("pairs", f"opening, {options.pair_size} x {options.pair_size}", options.pairs),
    ]
    found = [series for series in every if series.at]
    for turn in range(options.rounds):
        for series in found:
            for at in sorted(series.at):
                if series.stopped is not None and at >= series.stopped:
                    continue
                measured: Mapping[str, Any] | None = in_a_process(series.axis, at, options)
                if measured is None:
                    series.stopped = at
                    series.seconds.pop(at, None)
                    series.mib.pop(at, None)
                    print(f"{series.axis} {at:,}: stopped, it needs more than the {options.memory:.1f} GB of --memory", file=sys.stderr)
                    continue
                series.seconds.setdefault(at, []).append(measured["seconds"])
                series.mib.setdefault(at, []).append(measured["mib"])
                print(
                    f"round {turn + 1}/{options.rounds}  {series.axis} {at:,}: {measured['seconds']:.3g} s, {measured['mib']:,.0f} MiB",
                    file=sys.stderr,
                )
    return [series for series in found if series.seconds]


def main() -> None:
    from transfigure import memory

    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=3, help="of a process, after two that are not timed")
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--resolutions", type=int, nargs="*", default=[128, 256, 512, 1024, 2048])
    parser.add_argument("--batches", type=int, nargs="*", default=[1, 2, 4, 8, 16, 32, 64])
    parser.add_argument("--batch_resolution", type=int, default=256, help="of the steps with more than one image")
    parser.add_argument("--pairs", type=int, nargs="*", default=[1_000, 10_000, 100_000])
    parser.add_argument("--pair_size", type=int, default=128, help="of the images of the folders")
    parser.add_argument("--memory", type=float, help="GB that one process may take (default: 0.8 of what is free)")
    parser.add_argument("--svg", metavar="FILE", help="write the plot here")
    parser.add_argument("--child", nargs=2, metavar=("AXIS", "AT"), help=argparse.SUPPRESS)
    add_json(parser)
    options = parser.parse_args()
    if options.child:
        print(json.dumps(child(options.child[0], int(options.child[1]), options)))
        return
    if options.memory is None:
        options.memory = 0.8 * (memory.available() or 8e9) / 1e9
    for group in (machine(), versions()):
        print(", ".join(f"{key} {value}" for key, value in group.items()))
    found = run(options)
    for series in found:
        print("\n".join(table(series)))
        if series.stopped is not None:
            print(f"  {series.axis} {series.stopped:,} needs more than {options.memory:.1f} GB")
    if options.svg and found:
        plot(found, options.svg)
    write_if_asked(options, "growth", [row for series in found for row in series.rows()])


if __name__ == "__main__":
    main()
