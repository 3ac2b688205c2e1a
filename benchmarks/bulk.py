"""Bulk translation by workers of a Ray cluster beside plain local processes: are the files the same, and what does the engine add?

    python benchmarks/bulk.py same [--images 2000] [--workers 2]
    python benchmarks/bulk.py overhead [--images 2000] [--workers 2] [--size 256] [--width 32]

``same``: images of mixed sizes and formats (8 and 16 bits, grey and colour), of which 1 % are broken, are translated by one local process
and by workers, of which one is killed in the middle. Told are whether every file and the list of failures are the same, and the memory
of the process that distributes the work when a quarter of the images is done and when all are.

``overhead``: RGB images of one size go through a U-Net of ``--width`` by as many plain local processes as there are workers, each with its
part of the folder, and by the workers. Told are images per second from the first file to the last (which is what counts for many images)
and with all that starts and ends, the ratios, and how much of a CPU the process that distributes the work took. One thread each.

The U-Net is as it is before any training; what it makes looks like nothing, and takes as long.
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from measured import Row, add_json, machine, versions, write_if_asked
from numpy.typing import NDArray

from transfigure.data import images
from transfigure.networks.build import build_generator
from transfigure.networks.model_file import Domain, Inference, ModelConfig, save_model

TOY = ["all", "--images", "12", "--workers", "1", "--size", "32", "--width", "2"]
"""Arguments of a run that takes seconds."""
SIZES = (256, 256), (128, 384), (300, 200), (64, 64), (511, 130)
SUFFIXES = "png", "jpg", "tif", "webp", "npy", "bmp"
BROKEN = 100
"""One of so many is cut off."""


def hills(height: int, width: int, seed: int) -> NDArray[np.uint8]:
    """A smooth picture with a fine texture."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width] / 256 * 2 * np.pi
    waves = [np.sin(a * x + b * y + c) for a, b, c in rng.uniform(0, 5, (3, 3))]
    made: NDArray[np.uint8] = (116 + 115 * np.stack(waves, axis=2) + rng.integers(0, 24, (height, width, 3))).astype(np.uint8)
    return made


def write_mixed(folder: Path, count: int) -> None:
    """Images of several sizes and formats in sub-folders, some of them broken."""
    for number in range(count):
        suffix, array = SUFFIXES[number % len(SUFFIXES)], hills(*SIZES[number % len(SIZES)], number)
        file = folder / f"part{number % 7}" / f"image{number:05d}.{suffix}"
        if number % 11 == 5:
            array = array[..., :1]
        images.write(file, array.astype(np.uint16) * 257 if suffix in ("tif", "npy") else array)
        if number % BROKEN == BROKEN // 2 or (count < BROKEN and number == count // 2):
            file.write_bytes(file.read_bytes()[: file.stat().st_size // 3])


def write_model(folder: Path, width: int, size: int) -> None:
    """A U-Net for three channels."""
    torch.manual_seed(0)
    options = {"width": width, "depth": min(8, size.bit_length() - 1)}
    generator = build_generator("unet", 3, 3, options)
    config = ModelConfig("unet", options, Domain(3), Domain(3), 2 ** options["depth"], trained_size=size, inference=Inference(noise="none"))
    save_model(folder, generator.state_dict(), config)


@dataclass
class Watched:
    """A command that is looked at while it runs.

    Attributes:
        process: the command.
        output: the folder that it writes.
        started: when, by the monotonic clock.
        seconds: that it took, once it has ended.
        cpu: seconds of CPU that the process itself took, at the last look.
        memory: its MiB in memory, by how many files were there when they were looked at.
        said: on stderr.
    """

    process: subprocess.Popen[str]
    output: Path
    started: float = field(default_factory=time.monotonic)
    seconds: float = 0.0
    cpu: float = 0.0
    memory: dict[int, float] = field(default_factory=dict)
    said: str = ""

    def done(self) -> int:
        """How many files are there."""
        return sum(1 for file in self.output.rglob("*") if file.is_file() and not file.name.startswith("."))

    def look(self, files: int) -> None:
        """Take down what the system tells of it; nothing where there is no ``/proc``."""
        try:
            words = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
            pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        except (OSError, IndexError):
            return
        if words[0] != "Z":
            self.cpu = (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")
            self.memory[files] = pages * os.sysconf("SC_PAGE_SIZE") / 2**20

    def times(self) -> list[float]:
        """When each file was written."""
        return sorted(file.stat().st_mtime for file in self.output.rglob("*") if file.is_file())


def begin(model: Path, source: Path, output: Path, *more: str) -> Watched:
    """A command in a process of its own, with one thread."""
    command = [sys.executable, "-m", "transfigure", "translate", str(model), str(source), str(output), "--device", "cpu", *more]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=environment)
    return Watched(process, output)


def wait(commands: Sequence[Watched], kill_at: int = 0) -> bool:
    """Look at commands until they have ended; once ``kill_at`` files are there, a worker is killed. Whether one was."""
    killed = False
    while any(command.process.poll() is None for command in commands):
        for command in commands:
            if command.process.poll() is None:
                files = command.done()
                command.look(files)
                if kill_at and not killed and files >= kill_at:
                    killed = _kill_a_worker(command.process.pid)
            elif not command.seconds:
                command.seconds = time.monotonic() - command.started
        time.sleep(0.1)
    for command in commands:
        command.seconds = command.seconds or time.monotonic() - command.started
        command.said = command.process.communicate()[1]
    return killed


def _kill_a_worker(above: int) -> bool:
    """End a process below another in which the engine runs our code."""
    parents: dict[int, int] = {}
    workers = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(place.name)] = int((place / "stat").read_text().rpartition(")")[2].split()[1])
            if (place / "cmdline").read_bytes().startswith(b"ray::MapWorker"):
                workers.append(int(place.name))
        except (OSError, ValueError, IndexError):
            continue
    for worker in workers:
        parent = worker
        while parent := parents.get(parent, 0):
            if parent == above:
                os.kill(worker, signal.SIGKILL)
                return True
    return False


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, hidden ones too."""
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def sentence(said: str) -> str:
    """What a command ended with, without the lines of progress."""
    return "\n".join(line for line in said.splitlines() if not re.match(r"translate +\[", line))


def same(folder: Path, options: argparse.Namespace) -> list[Row]:
    """Whether workers make what one process makes."""
    write_mixed(folder / "in", options.images)
    write_model(folder / "model", min(options.width, 8), 64)
    local = begin(folder / "model", folder / "in", folder / "local", "--format", "same")
    wait([local])
    far = begin(folder / "model", folder / "in", folder / "far", "--format", "same", "--executor", "ray", "--workers", str(options.workers))
    killed = wait([far], kill_at=max(1, options.images // 3))
    one, other = contents(folder / "local"), contents(folder / "far")
    differing = sorted(name for name in one.keys() | other.keys() if one.get(name) != other.get(name))
    failures = sentence(local.said) == sentence(far.said)
    print(f"{options.images:,} images, {options.workers} workers, one killed in the middle: {'yes' if killed else 'NO'}")
    print(f"  files: {len(one):,} local, {len(other):,} by workers; {len(differing)} differ{''.join(f' {name}' for name in differing[:3])}")
    print(
        f"  exit codes: {local.process.returncode} and {far.process.returncode}; notes and failures the same: {'yes' if failures else 'NO'}"
    )
    print(f"  {sentence(far.said)[:300]}")
    rows = [Row("files that differ", "", [float(len(differing))]), Row("failures differ", "", [float(not failures)])]
    for share, name in ((0.25, "a quarter"), (0.5, "half"), (0.97, "all")):
        near = [memory for files, memory in far.memory.items() if files >= share * len(one)]
        if near:
            print(f"  memory of the process that distributes, at {name} of the images: {near[0]:.0f} MiB")
            rows.append(Row(f"memory at {name}", "MiB", [near[0]]))
    return rows


def overhead(folder: Path, options: argparse.Namespace) -> list[Row]:
    """What the engine adds to plain processes."""
    parts = [folder / "in" / f"part{number}" for number in range(options.workers)]
    for number in range(options.images):
        images.write(parts[number % len(parts)] / f"image{number:05d}.png", hills(options.size, options.size, number))
    write_model(folder / "model", options.width, options.size)
    plain = [begin(folder / "model", part, folder / "plain" / part.name) for part in parts]
    wait(plain)
    far = begin(folder / "model", folder / "in", folder / "far", "--executor", "ray", "--workers", str(options.workers))
    wait([far])
    for command in (*plain, far):
        if command.process.returncode:
            raise SystemExit(f"a command failed: {command.said}")
    if contents(folder / "plain") != contents(folder / "far"):
        raise SystemExit("the files differ")
    local, workers = sorted(time for command in plain for time in command.times()), far.times()
    rates = [(len(times) - 1) / max(1e-9, times[-1] - times[0]) for times in (local, workers)]
    totals = [options.images / seconds for seconds in (max(command.seconds for command in plain), far.seconds)]
    share = far.cpu / far.seconds
    each = f"{options.images:,} images of {options.size} x {options.size}, U-Net of width {options.width}"
    print(f"{each}: {options.workers} plain processes, and {options.workers} workers; the files are the same")
    print(f"  from the first file to the last: {rates[0]:.2f} and {rates[1]:.2f} images/s, ratio {rates[1] / rates[0]:.2f}")
    print(f"  with all that starts and ends:   {totals[0]:.2f} and {totals[1]:.2f} images/s, ratio {totals[1] / totals[0]:.2f}")
    print(f"  the process that distributes took {far.cpu:.1f} s of CPU, {share:.1%} of one over {far.seconds:.0f} s")
    return [
        Row("plain processes", "images/s", [rates[0]]),
        Row("workers", "images/s", [rates[1]]),
        Row("plain processes, in all", "images/s", [totals[0]]),
        Row("workers, in all", "images/s", [totals[1]]),
        Row("CPU of the process that distributes", "s", [far.cpu]),
    ]


def main() -> None:
    """Print what was measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=["same", "overhead", "all"])
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--size", type=int, default=256, help="of a side, for the overhead")
    parser.add_argument("--width", type=int, default=32, help="of the U-Net")
    add_json(parser)
    options = parser.parse_args()
    rows: list[Row] = []
    for name, part in (("same", same), ("overhead", overhead)):
        if options.part in (name, "all"):
            with tempfile.TemporaryDirectory() as folder:
                rows += part(Path(folder), options)
    print(f"({', '.join(machine().values())}; {', '.join(f'{name} {version}' for name, version in versions().items())})")
    write_if_asked(options, "bulk", rows)


if __name__ == "__main__":
    main()
