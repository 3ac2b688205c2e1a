"""The one place that decides whether a file may be written: never over a file that this tool did not write, never through a link.

Whose a file is stands in the file itself, not in a list kept elsewhere: as the software that wrote it, with pictures with a digest of the
whole file behind it, since many programs keep that name when they save a picture. So a picture that was changed since, by whatever program,
or put in the place of ours, is no longer ours. What no mark fits into counts as not ours, but for
tables (CSV), whose digest stands in the JSON file beside them. Nothing of a file is run.
"""

from __future__ import annotations

import hashlib
import json
import re
import stat
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from .._version import __version__
from ..errors import Missing, UserError
from ..integrity import read_header
from ..stored import read_json
from . import images
from .files import refuse_link
from .formats import metadata

TOOL = "transfigure"
KEY = TOOL
"""The key of our JSON files, and of the metadata of our tensors, that holds the version which wrote them."""
FILES = "files"
"""The key of our JSON files that holds the SHA-256 of each table beside them."""

_LARGEST = 1 << 26
_STATISTICS = {f"{name}.npy" for name in ("mu", "sigma", "network", "weights", "resize", "version")}
_KINDS = (
    {"split", "data", "resize", "checkpoint", "rows", "panels"},
    {"measures", "where", "factors", "probe_accuracy"},
    {"title", "budget", "columns", "variants", "cost"},
    {"images", "spectrum", "lab"},
    {KEY, "generator", "options", "inference"},
    {KEY, "measured", "of"},
)
"""Keys that a file of ours has together: an evaluation, an analysis, a comparison, its pictures, a model's configuration, and speeds.

Our own key alone would not do, as anybody's notes may have it; and the first four have none if 0.1.0 wrote them.
"""


def check_outputs(files: Iterable[Path], overwrite: bool | None = False, below: Path | None = None) -> None:
    """Find out before the work whether these files may be written. A file that is not there, and one of ours, may be.

    Args:
        files: what is going to be written.
        overwrite: whether files that are not ours may be replaced; None if the user has no way to say so.
        below: the folder that was asked for. It may be a link itself; a link below it is refused, since it would lead out of it.

    Raises:
        UserError: files are there that this tool did not write, or something is a link, which is never written through.
    """
    foreign, seen = [], set[Path]()
    for file in files:
        for place in [] if below is None else file.relative_to(below).parents:
            if str(place) != "." and (folder := Path(below or "", place)) not in seen:
                seen.add(folder)
                refuse_link(folder)
        refuse_link(file)
        if not overwrite and file.is_file() and not is_ours(file):
            foreign.append(file)
    if foreign:
        several = f"{len(foreign)} files are there already that {TOOL} did not write, such as {foreign[0]}"
        what = several if len(foreign) > 1 else f"{foreign[0]} is there already, and {TOOL} did not write it"
        way_out = "choose another place" + (
            "" if overwrite is None else f", or replace {'them' if len(foreign) > 1 else 'it'} with --overwrite"
        )
        raise UserError(f"{what}: {way_out if overwrite is not None else 'move it away, or ' + way_out}")


def is_ours(file: Path) -> bool:
    """Whether this tool wrote a file, as far as the file itself, or the table's JSON file beside it, says so."""
    try:
        if not stat.S_ISREG(file.lstat().st_mode):
            return False
        if (software := images.software(file)) is not None:
            return (_says_us(software) and _as_written(file, software)) or _named_by_version_1(file)
        with file.open("rb") as stream:
            head = stream.read(1024)
        if head.startswith(b"PK"):
            return _archive(file)
        if head.startswith(b"%PDF-"):
            return _document(file)
        if head[8:9] == b"{" and int.from_bytes(head[:8], "little") <= file.stat().st_size:  # safetensors: a length, then what is in it
            return _tensors(file)
        if head.startswith(b"{"):
            return _described(_json(file))
        return _page(file, head) or (file.suffix.lower() == ".csv" and _table(file))
    except Exception:  # damaged, so not as we wrote it: on such bytes a reader may raise anything at all
        return False


def marked(values: Mapping[str, Any], files: Mapping[str, str] | None = None) -> dict[str, Any]:
    """The object of a JSON file with the key by which it is known as ours, and the digests of the tables that are written beside it."""
    return {**values, KEY: __version__, **({FILES: dict(files)} if files else {})}


def digest(content: bytes, replaced: Path | None = None) -> str:
    """The SHA-256 of a table's content, and after it that of the file it is about to replace.

    So whichever of the two is there is known as ours, should the process end between the table and the file that holds its digest.
    """
    digests = [hashlib.sha256(content).hexdigest()]
    if replaced is not None and replaced.is_file() and is_ours(replaced):
        digests.append(hashlib.sha256(replaced.read_bytes()).hexdigest())
    return " ".join(dict.fromkeys(digests))


def _says_us(software: str) -> bool:
    return software.split(" ", maxsplit=1)[0] == TOOL


def _as_written(file: Path, software: str) -> bool:
    """Whether a picture that names us is byte for byte as we wrote it, or cut off, as by a copy that was interrupted."""
    if metadata.is_sealed_file(file, software):
        return True
    try:
        if images.is_large(file):  # too large to be decoded whole, and not known to be damaged
            return False
        images.read(file, "keep", pages="channels")
    except UserError:
        return True
    except Missing:
        return False
    return False


def _document(file: Path) -> bool:
    """A figure as PDF: byte for byte as we wrote it."""
    content = file.read_bytes()
    named = re.search(rf"/Creator \(({TOOL} [^()]*)\)".encode(), content)
    return named is not None and metadata.is_sealed(content, named[1].decode("latin-1"))


def _archive(file: Path) -> bool:
    try:
        with zipfile.ZipFile(file) as archive:
            names = set(archive.namelist())
    except zipfile.BadZipFile:
        return False
    return names >= _STATISTICS or f"{KEY}.npy" in names


def _tensors(file: Path) -> bool:
    """A safetensors file whose metadata hold our key, at their top or in the one object that all of a kind share."""
    texts = read_header(file).metadata
    return KEY in texts or any(value.startswith("{") and KEY in json.loads(value) for value in texts.values())


def _json(file: Path) -> Mapping[str, Any]:
    values = read_json(file, largest=_LARGEST)
    return values if isinstance(values, dict) else {}


def _described(values: Mapping[str, Any]) -> bool:
    return any(keys <= values.keys() for keys in _KINDS)


def _page(file: Path, head: bytes) -> bool:
    """A page or a figure by its first lines; a page of 0.1.0 by its last."""
    if f'name="generator" content="{TOOL} '.encode() in head or head.startswith(f'<svg data-generator="{TOOL} '.encode()):
        return True
    if not head.startswith(b"<!doctype html>"):
        return False
    with file.open("rb") as stream:
        stream.seek(max(0, file.stat().st_size - 65536))
        return b'<footer class="quiet">Written by Transfigure 0.1.0. One file' in stream.read()


def _table(file: Path) -> bool:
    """A table by the digest in the JSON file beside it; one of 0.1.0, which has none there, by the names of its columns."""
    beside = file.with_name("evaluation.json" if file.name == "per_image.csv" else f"{file.stem}.json")
    if not beside.is_file():
        return False
    values = _json(beside)
    if not _described(values):
        return False
    if KEY in values:
        named = values.get(FILES)
        return isinstance(named, dict) and digest(file.read_bytes()) in str(named.get(file.name)).split()
    with file.open(encoding="utf-8") as stream:
        columns = stream.readline().rstrip("\n").split(",")
    rows = values.get("rows", [])
    known = {row.get("of") or row.get("metric") for row in rows if isinstance(row, dict)}
    return columns[:4] == ["kind", "name", "runs", "measured"] or (columns[0] == "name" and known >= set(columns[1:]))


def _named_by_version_1(file: Path) -> bool:
    """Whether it is a picture of an evaluation by 0.1.0, which wrote no mark: its ``evaluation.json`` names it."""
    record = file.parent.parent / "evaluation.json"
    if file.parent.name != "panels" or not record.is_file():
        return False
    values = _json(record)
    panels = values.get("panels") if _described(values) and KEY not in values else None
    names = [value for panel in panels or [] if isinstance(panel, dict) for value in panel.values()]
    return f"panels/{file.name}" in names
