"""Reading a list of pairs from a CSV, TSV or JSONL file."""

from __future__ import annotations

import csv
import json
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..errors import UserError
from .pairing import listed
from .pairs import Collection, FilePicture, Record, canonical_split

MANIFEST_SUFFIXES = (".csv", ".tsv", ".jsonl")

COLUMNS = (
    ("source", "target"),
    ("input_file_name", "target_file_name"),
    ("input_file_name", "output_file_name"),
    ("input_image", "target_image"),
    ("input_image", "output_image"),
    ("input", "target"),
    ("input", "output"),
    ("image", "mask"),
    ("a", "b"),
)
"""Column names accepted for the two sides, in any capitals."""

Row = dict[str, Any]


def find_manifest(folder: Path) -> Path | None:
    """The manifest that a folder holds, if it does."""
    candidates = [folder / f"{stem}{suffix}" for stem in ("manifest", "metadata") for suffix in MANIFEST_SUFFIXES]
    return next((file for file in candidates if file.is_file()), None)


def read_manifest(file: Path) -> Collection:
    """The records of a manifest; see the data set ``manifest`` for its form.

    Raises:
        UserError: the file cannot be read, a line is incomplete, or files it names do not exist (all are counted).
    """
    rows = list(_rows(file))
    if not rows:
        raise UserError(f"{file} lists no pairs: write one line for each, with the columns source and target")
    columns = _columns(file, rows[0][1])
    sides = [(number, row, tuple(_paths(file, number, row, column) for column in columns)) for number, row in rows]
    missing = [f"{path} (line {number})" for number, _, pair in sides for paths in pair for path in paths if not _is_file(path)]
    if missing:
        raise UserError(
            f"{file} names {len(missing)} {'file that does' if len(missing) == 1 else 'files that do'} not exist: {listed(missing)}; "
            f"paths are taken relative to {file.parent.absolute()}"
        )
    divided = any(_text(row, "split") for _, row, _ in sides)
    parts = [_split(file, number, row) if divided else "all" for number, row, _ in sides]
    names = _names(parts, [_text(row, "name") for _, row, _ in sides], [pair[0][0] for _, _, pair in sides])
    splits: dict[str, list[Record]] = {}
    for part, name, (_, _, (a, b)) in zip(parts, names, sides):
        splits.setdefault(part, []).append(Record(name, FilePicture(a), FilePicture(b)))
    return Collection(splits)


def _rows(file: Path) -> Iterator[tuple[int, Row]]:
    """Line numbers and what the lines hold, with column names in small letters."""
    try:
        with file.open(encoding="utf-8-sig", newline="") as stream:
            if file.suffix.lower() == ".jsonl":
                yield from _json_rows(file, stream)
                return
            heading = stream.readline()
            stream.seek(0)
            delimiter = "\t" if file.suffix.lower() == ".tsv" or "\t" in heading else "," if "," in heading else ";"
            reader = csv.DictReader(stream, delimiter=delimiter, strict=True)
            for row in reader:
                yield reader.line_num, {(key or "").strip().lower(): value for key, value in row.items()}
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{file} cannot be read as a manifest ({error}): it must be a CSV, TSV or JSONL file in UTF-8") from error


def _json_rows(file: Path, stream: Iterator[str] | Any) -> Iterator[tuple[int, Row]]:
    for number, line in enumerate(stream, start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (json.JSONDecodeError, RecursionError) as error:
            raise UserError(f"{file} line {number} is not JSON ({error}): write one object on each line") from error
        if not isinstance(row, dict):
            raise UserError(f'{file} line {number} is not an object: write {{"source": "...", "target": "..."}} on each line')
        yield number, {str(key).strip().lower(): value for key, value in row.items()}


def _columns(file: Path, row: Row) -> tuple[str, str]:
    for columns in COLUMNS:
        if set(columns) <= row.keys():
            return columns
    raise UserError(f"{file} has the columns {', '.join(row) or '(none)'}: it needs source and target (and, if you like, split and name)")


def _paths(file: Path, number: int, row: Row, column: str) -> tuple[Path, ...]:
    value = row.get(column)
    items: list[Any] = value if isinstance(value, list) else [value]
    if not items or not all(isinstance(item, str) and item.strip() for item in items):
        raise UserError(f"{file} line {number} has no file name for {column}: write a path, or a list of paths to stack as channels")
    if isinstance(value, str) and ";" in value and file.suffix.lower() != ".jsonl" and not _is_file(file.parent / value):
        items = [item for item in value.split(";") if item.strip()]
    if any("\0" in item for item in items):
        raise UserError(f"{file} line {number} has a null character in {column}: write a path")
    return tuple(file.parent / Path(item.strip()).expanduser() for item in items)


def _text(row: Row, column: str) -> str:
    value = row.get(column)
    return str(value).strip() if value is not None else ""


def _split(file: Path, number: int, row: Row) -> str:
    try:
        return canonical_split(_text(row, "split"))
    except UserError as error:
        raise UserError(f"{file} line {number}: {error}") from None


def _is_file(path: Path) -> bool:
    return os.path.isfile(path)  # noqa: PTH113 - Path.is_file raises where a name is too long to exist


def _names(parts: list[str], given: list[str], sources: list[Path]) -> list[str]:
    """The names that were written, else the first file below the folder that all of them share; repeated ones are numbered."""
    files = [Path(os.path.normpath(path)) for path in sources]
    try:
        shared = os.path.commonpath([file.parent for file in files])
    except ValueError:  # on different drives, or absolute beside relative
        shared = ""
    names = [
        name or (file.relative_to(shared) if shared else Path(file.name)).with_suffix("").as_posix() for name, file in zip(given, files)
    ]
    keys = list(zip(parts, names))
    total, seen, taken = Counter(keys), Counter[tuple[str, str]](), set(keys)
    for index, (part, name) in enumerate(keys):
        if total[part, name] > 1:
            seen[part, name] += 1
            numbered = f"{name}-{seen[part, name]}"
            while (part, numbered) in taken:
                numbered += "+"
            taken.add((part, numbered))
            names[index] = numbered
    return names
