"""docs/performance.md from what the benchmarks wrote by ``--json``.

    python benchmarks/performance.py docs/results/performance > docs/performance.md

The folder holds one file for each benchmark, named after it, and beside it the picture that it drew, if it draws one. Every number of the
page is a number of these files, and the page says with which command, on which machine and with which versions each was measured;
``benchmarks/compare.py`` shows such a file beside your own.
"""

from __future__ import annotations

import argparse
import ast
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from measured import Measured, Row, number

TOY = ["--example"]
"""Arguments of a run that takes seconds."""

TITLES = {
    "against_reference": "The training step",
    "first_step": "The first update",
    "data": "Reading pairs",
    "startup": "Starting",
    "memory": "Memory for larger images",
    "growth": "Growth",
    "evaluation": "The evaluation",
    "serving": "Serving",
}
"""Benchmarks in the order of the page."""

EXAMPLE = Measured("data", {"pairs": 4}, [Row("ours", "pairs/s", [2.0, 2.5]), Row("ours: against Pillow", "x", [3.0, 4.0])], {}, {})
_PLACE = re.compile(r"\{(\w+)\|([^|{}]+)(?:\|([^|{}]+))?\}")
"""``{benchmark|row}`` in the template is the median of a row; ``{benchmark|row|format}`` with a format of Python's."""


def page(measured: Mapping[str, Measured], template: str, pictures: Mapping[str, str] | None = None) -> str:
    """The template's words with the numbers in them, then a section for each benchmark, with its picture."""
    pictures = pictures or {}
    sections = [section(measured[name], title, pictures.get(name)) for name, title in TITLES.items() if name in measured]
    return "\n\n".join([filled(template, measured).rstrip(), *sections]) + "\n"


def filled(template: str, measured: Mapping[str, Measured]) -> str:
    """The template with numbers.

    Raises:
        SystemExit: it names a row that was not measured.
    """

    def value(match: re.Match[str]) -> str:
        benchmark, name, form = match.groups()
        rows = [row for row in measured[benchmark].rows if row.name == name] if benchmark in measured else []
        if not rows:
            raise SystemExit(f"the template names {match.group()}, which is in none of the files")
        return format(rows[0].median, form) if form else number(rows[0].median)

    return _PLACE.sub(value, template)


def section(measured: Measured, title: str, picture: str | None = None) -> str:
    """What was done, with what, the picture and the rows."""
    about = about_of(measured.benchmark)
    machine, versions = (", ".join(f"{key} {value}" for key, value in group.items()) for group in (measured.machine, measured.versions))
    parts = [f"## {title}", f"```bash\n{command(measured)}\n```", about, f"Machine: {machine}. Versions: {versions}."]
    drawn = [f"![{title}: the table below as curves]({picture})"] if picture else []
    return "\n\n".join([*parts, *drawn, table(measured.rows)])


def about_of(benchmark: str) -> str:
    """The benchmark's own words, without its usage."""
    file = Path(__file__).with_name(f"{benchmark}.py")
    text = (ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or "").replace("``", "`")
    return "\n\n".join(paragraph for paragraph in text.split("\n\n") if not paragraph.startswith("    "))


def command(measured: Measured) -> str:
    """As it was typed, with the arguments that are not the defaults' names but their values."""
    words = ["python", f"benchmarks/{measured.benchmark}.py"]
    for key, value in measured.arguments.items():
        if value in (None, False, "") or key in ("child", "svg"):
            continue
        shown = "PATH" if key == "reference" else " ".join(map(str, value)) if isinstance(value, list) else str(value)
        words.append(f"--{key}" if value is True else f"--{key} {shown}")
    return " ".join(words)


def table(rows: list[Row]) -> str:
    """A Markdown table: what stands before a colon names the line, what stands behind it the column."""
    names = dict.fromkeys(row.name.partition(": ")[0] for row in rows)
    columns = dict.fromkeys((row.name.partition(": ")[2], row.unit) for row in rows)
    cells: dict[tuple[str, tuple[str, str]], Row] = {}
    for row in rows:
        name, _, column = row.name.partition(": ")
        cells[name, (column, row.unit)] = row
    head = ["", *(", ".join(filter(None, column)) for column in columns)]
    lines = [head, ["---", *["---:"] * len(columns)]]
    for name in names:
        found = [cells.get((name, column)) for column in columns]
        lines.append([name, *("" if row is None else f"{number(row.median)} {row.spread()}".strip() for row in found)])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def read(folder: Path) -> dict[str, Measured]:
    """Every file of a folder, by the benchmark that wrote it."""
    found: dict[str, Measured] = {}
    for file in sorted(folder.glob("*.json")):
        measured = Measured.read(file)
        found[measured.benchmark] = measured
    return found


def pictures(folder: Path) -> dict[str, str]:
    """Where the page, two folders above, finds each benchmark's picture."""
    return {file.stem: file.relative_to(folder.parent.parent).as_posix() for file in sorted(folder.glob("*.svg"))}


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path, help="with a JSON file of each benchmark, and template.txt")
    parser.add_argument("--example", action="store_true", help="a made-up page")
    options: Any = parser.parse_args(arguments)
    if options.example:
        print(
            page({"data": EXAMPLE}, "# Example\n\nOurs read {data|ours} pairs a second, {data|ours: against Pillow|.1f} times Pillow's.\n")
        )
    elif options.folder is None:
        parser.error("name the folder of JSON files")
    else:
        sys.stdout.write(
            page(read(options.folder), (options.folder / "template.txt").read_text(encoding="utf-8"), pictures(options.folder))
        )


if __name__ == "__main__":
    main()
