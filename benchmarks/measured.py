"""What a benchmark measured, in one shape for all: the machine, the versions, and rows of a name, a unit and the values of the rounds.

    {"benchmark": "training", "arguments": {...}, "machine": {...}, "versions": {...},
     "rows": [{"name": "ours", "unit": "images/s", "values": [1.61, 1.59]}, ...]}

A script that fills it takes ``--json FILE``; ``benchmarks/compare.py`` shows two such files side by side. Imports no torch, so that what
measures imports can use it.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

TOY = ["all"]
"""Arguments of a run that takes seconds: by itself it says what this machine is."""

PACKAGES = ("transfigure", "torch", "numpy", "pillow")


def machine() -> dict[str, str]:
    """The processor, how many cores there are for us, and the system."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    threads = os.environ.get("OMP_NUM_THREADS", "")
    return {
        "processor": _processor(),
        "cores": str(cores),
        "memory": f"{_memory() / 2**30:.0f} GiB" if _memory() else "unknown",
        "system": f"{platform.system()} {platform.machine()}",
        **({"OMP_NUM_THREADS": threads} if threads else {}),
    }


def versions() -> dict[str, str]:
    """Of Python and of the packages that do the work."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def _memory() -> int:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return 0


@dataclass(frozen=True)
class Row:
    """One thing that was measured.

    Attributes:
        name: what, such as ``ours, cached``.
        unit: of the values, such as ``pairs/s``. A ratio of two other rows has the unit ``x``.
        values: one for each round, in their order.
    """

    name: str
    unit: str
    values: list[float]

    @property
    def median(self) -> float:
        """The middle of the rounds."""
        return statistics.median(self.values)

    def spread(self) -> str:
        """The least and the most of the rounds, in words; nothing if there was one."""
        return f"({number(min(self.values))} to {number(max(self.values))})" if len(self.values) > 1 else ""


@dataclass(frozen=True)
class Measured:
    """A run of a benchmark: which, with what arguments, on which machine, with which versions, and what came out."""

    benchmark: str
    arguments: dict[str, Any]
    rows: list[Row]
    machine: dict[str, str] = field(default_factory=machine)
    versions: dict[str, str] = field(default_factory=versions)

    def write(self, file: str | Path) -> None:
        """As JSON."""
        Path(file).write_text(json.dumps(asdict(self), indent=1, default=str) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, file: str | Path) -> Measured:
        """Back from JSON.

        Raises:
            SystemExit: it is no such file; the sentence says what is missing.
        """
        try:
            held = json.loads(Path(file).read_text(encoding="utf-8"))
            rows = [Row(str(row["name"]), str(row["unit"]), [float(value) for value in row["values"]]) for row in held["rows"]]
            if not all(row.values for row in rows):
                raise ValueError("a row without values")
            return cls(held["benchmark"], dict(held["arguments"]), rows, dict(held["machine"]), dict(held["versions"]))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise SystemExit(f"{file} is not what a benchmark writes by --json ({type(error).__name__}: {error})") from error


def add_json(parser: argparse.ArgumentParser) -> None:
    """The flag ``--json``."""
    parser.add_argument("--json", metavar="FILE", help="write what was measured here, for benchmarks/compare.py")


def _shown(value: Any) -> Any:
    """An argument; of a place on this machine the name alone."""
    return Path(value).name if isinstance(value, str | Path) and Path(value).is_absolute() else value


def write_if_asked(options: argparse.Namespace, benchmark: str, rows: Iterable[Row]) -> None:
    """The file of ``--json``, where it was given."""
    if options.json:
        arguments = {key: _shown(value) for key, value in vars(options).items() if key not in ("json", "child")}
        Measured(benchmark, arguments, list(rows)).write(options.json)


def ratios(over: Sequence[float], under: Sequence[float]) -> list[float]:
    """Round by round, so that what slowed a round down is in both."""
    return [a / b for a, b in zip(over, under, strict=True)]


def number(value: float) -> str:
    """With three digits that count, and all those before the point."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def main() -> None:
    parser = argparse.ArgumentParser(description="what this machine is, and with which versions it works")
    parser.add_argument("what", nargs="?", choices=("machine", "versions", "all"), default="all")
    what = parser.parse_args().what
    groups = {"machine": machine(), "versions": versions()}
    for group in groups.values() if what == "all" else [groups[what]]:
        print(", ".join(f"{key} {value}" for key, value in group.items()))


if __name__ == "__main__":
    main()
