"""What a GPU makes of the package: correctness first, then speed, then trainings at 256 pixels.

    python benchmarks/gpu --out FOLDER [PART ...] [--windows FOLDER] [--reference FOLDER]

The parts are correctness, speed, modes, classical, recipes and trainings; all of them if none is named.

Everything is printed as it comes, kept in ``gpu.json``, and told again as one table at the end. ``--dry-run`` is the same code at toy
size on the CPU. See ``benchmarks/gpu.sh`` for a machine that has only Python and PyTorch.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # must stand before CUDA starts, for deterministic algorithms

import torch
from setting import Findings, Setting

PARTS = ("correctness", "speed", "modes", "classical", "recipes", "trainings")
TOY = ["--dry-run", "--out", "gpu", "--minutes", "30"]
"""Arguments of a run that takes a minute or two."""


def main() -> int:
    """Run the parts that were asked for; 1 if a check did not hold."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("parts", nargs="*", default=PARTS, help=f"any of {', '.join(PARTS)}; all if none is named")
    parser.add_argument("--out", type=Path, required=True, help="folder for gpu.json, the table and pictures")
    parser.add_argument("--dry-run", action="store_true", help="toy sizes on the CPU")
    parser.add_argument("--windows", type=Path, help="a folder of side-by-side pairs, photo left, labels right, to train on too")
    parser.add_argument("--reference", type=Path, help="a checkout of the public PyTorch implementation, whose own step is timed too")
    parser.add_argument("--updates", type=int, help="updates in each training (default: 6000, in a dry run 6)")
    parser.add_argument("--limit", type=float, help="seconds after which a training is stopped as by Ctrl-C, and scored as it is")
    parser.add_argument("--minutes", type=float, default=8, help="after which nothing more is begun (default: %(default)s)")
    options = parser.parse_args()
    if unknown := set(options.parts) - set(PARTS):
        parser.error(f"unknown: {', '.join(sorted(unknown))}; the parts are {', '.join(PARTS)}")
    if not options.dry_run and not torch.cuda.is_available():
        parser.error("PyTorch sees no CUDA device here: use --dry-run, or another machine")
    options.out.mkdir(parents=True, exist_ok=True)
    setting = Setting.dry() if options.dry_run else Setting()
    found = Findings(options.out, seconds=60 * options.minutes)
    found.number("machine", _machine())
    from correctness import check
    from speed import measure
    from trainings import classical, compare_modes, compare_recipes, run

    updates = options.updates or (6 if options.dry_run else 6000)
    parts: dict[str, Callable[[], object]] = {
        "correctness": lambda: check(setting, found),
        "speed": lambda: measure(setting, found, options.reference),
        "modes": lambda: compare_modes(setting, found),
        "classical": lambda: classical(setting, found, options.limit or found.left),
        "recipes": lambda: compare_recipes(setting, found),
        "trainings": lambda: run(setting, found, options.windows, updates, options.limit or found.left),
    }
    for name in (name for name in parts if name in options.parts):
        found.part(name, parts[name])
    found.save()
    print("\n" + "\n".join(found.lines))
    failed = found.failed()
    print(f"\n{len(failed)} checks did not hold{': ' + '; '.join(failed) if failed else ''}")
    return 1 if failed else 0


def _machine() -> str:
    words = [f"Python {sys.version.split()[0]}, torch {torch.__version__}, {os.cpu_count()} CPU cores"]
    if torch.cuda.is_available():
        words.append(f"{torch.cuda.get_device_name(0)}, cuDNN {torch.backends.cudnn.version()}")  # type: ignore[no-untyped-call]
        query = ["nvidia-smi", "--query-gpu=driver_version,memory.total,clocks.sm,clocks.max.sm,power.limit", "--format=csv,noheader"]
        try:
            words.append(subprocess.run(query, capture_output=True, text=True, check=True, timeout=20).stdout.strip())
        except (OSError, subprocess.SubprocessError):
            words.append("nvidia-smi tells nothing")
    return "; ".join(words)


if __name__ == "__main__":
    sys.exit(main())
