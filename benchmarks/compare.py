"""Two runs of a benchmark side by side: medians, their ratio, the spread of both, and where machine, versions or arguments differ.

    python benchmarks/against_reference.py --json before.json
    python benchmarks/against_reference.py --json after.json
    python benchmarks/compare.py before.json after.json

The ratio is the second's median over the first's. "within the spread" stands where the rounds of the two overlap: such a difference may
be chance.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

from measured import Measured, Row, number

TOY = ["--example"]
"""Arguments of a run that takes seconds."""

EXAMPLE = (
    Measured("example", {"size": 64}, [Row("ours", "images/s", [2.0, 2.2, 2.1]), Row("start", "s", [1.5])], {"cores": "2"}, {"torch": "1"}),
    Measured("example", {"size": 64}, [Row("ours", "images/s", [4.0, 4.4, 4.1]), Row("new", "MiB", [90])], {"cores": "4"}, {"torch": "1"}),
)


def differences(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[str]:
    """``key: one, and other``, for every key in which two mappings differ."""
    keys = sorted(first.keys() | second.keys())
    return [f"{key}: {first.get(key, 'not said')}, and {second.get(key, 'not said')}" for key in keys if first.get(key) != second.get(key)]


def overlap(first: Row, second: Row) -> bool:
    """Whether the rounds of two rows reach into each other."""
    return min(first.values) <= max(second.values) and min(second.values) <= max(first.values)


def table(first: Measured, second: Measured) -> list[list[str]]:
    """A line for every row of either."""
    ones, others = ({(row.name, row.unit): row for row in side.rows} for side in (first, second))
    lines = [["name", "unit", "first", "", "second", "", "second / first", ""]]
    for key in dict.fromkeys([*ones, *others]):
        sides = [side.get(key) for side in (ones, others)]
        cells = [*key]
        for row in sides:
            cells += ["-", ""] if row is None else [number(row.median), row.spread()]
        one, other = sides
        if one is not None and other is not None and one.median:
            cells += [f"{other.median / one.median:.2f} x", "within the spread" if overlap(one, other) else ""]
        lines.append([*cells, *[""] * (8 - len(cells))])
    return lines


def words(first: Measured, second: Measured) -> str:
    """The table, below what must be known to read it."""
    notes = [] if first.benchmark == second.benchmark else [f"note: two benchmarks, {first.benchmark} and {second.benchmark}"]
    for what in ("arguments", "machine", "versions"):
        found = differences(getattr(first, what), getattr(second, what))
        notes += [f"note: {what} differ: {'; '.join(found)}"] if found else []
    lines = table(first, second)
    widths = [max(len(line[column]) for line in lines) for column in range(8)]
    text = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]
    return "\n".join([*notes, *text])


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("first", nargs="?", help="what a benchmark wrote by --json")
    parser.add_argument("second", nargs="?", help="what it wrote another time")
    parser.add_argument("--example", action="store_true", help="show two made-up files")
    options = parser.parse_args()
    if not options.example and options.second is None:
        parser.error("give two files")
    first, second = EXAMPLE if options.example else (Measured.read(options.first), Measured.read(options.second))
    print(words(first, second))


if __name__ == "__main__":
    main()
