"""What the machines of a cluster must have in common: versions of what runs on them, and the files that they see."""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from .._version import __version__


@dataclass(frozen=True)
class NodeFacts:
    """What a machine of the cluster says of itself.

    Attributes:
        name: of the machine.
        transfigure: its version, empty if it is not installed.
        torch: likewise.
        python: likewise.
        files: what it sees of each path, see :func:`_seen`.
    """

    name: str
    transfigure: str
    torch: str
    python: str
    files: Mapping[str, str]


def facts_of(paths: Iterable[str]) -> NodeFacts:
    """What this machine says of itself, and sees of some paths."""
    try:
        torch = version("torch")
    except PackageNotFoundError:
        torch = ""
    return NodeFacts(platform.node(), __version__, torch, platform.python_version(), {path: _seen(path) for path in paths})


def _seen(path: str) -> str:
    """The content of a file, or the names in a folder, in short; empty if there is neither."""
    place = Path(path)
    try:
        if place.is_dir():
            with os.scandir(place) as entries:
                names = sorted(entry.name for entry in entries if not entry.name.startswith("."))
            return f"folder {len(names)} {hashlib.sha256(repr(names).encode()).hexdigest()}"
        return f"file {_digest(place)}"
    except OSError:
        return ""


def _digest(file: Path) -> str:
    found = hashlib.sha256()
    with file.open("rb") as opened:
        while part := opened.read(1 << 20):
            found.update(part)
    return found.hexdigest()


def differs(here: NodeFacts, there: NodeFacts, marks: Sequence[str] = ()) -> str:
    """Why a machine cannot do its part, in one sentence; empty if it can.

    Args:
        here: this machine, and what must be seen.
        there: the other.
        marks: files that were written here just now, to find out whether their folders are shared.
    """
    if not there.transfigure:
        return f"transfigure is not installed on {there.name}, a machine of the cluster: install version {here.transfigure} there"
    for name, ours, theirs in (("transfigure", here.transfigure, there.transfigure), ("torch", here.torch, there.torch)):
        if ours != theirs:
            return f"{there.name}, a machine of the cluster, has {name} {theirs or 'not at all'}, and this one has {ours}: install the same"
    way_out = "put it where all machines see it at the same path (a shared disk), or use an s3:// address"
    for path, ours in here.files.items():
        theirs = there.files.get(path, "")
        if ours and not theirs:
            return f"{path} is not there on {there.name}, a machine of the cluster: {way_out}"
        if ours != theirs:
            return f"{path} is not the same on {there.name}, a machine of the cluster: {way_out}"
    for mark in marks:
        if not there.files.get(mark):
            return f"{Path(mark).parent} on {there.name}, a machine of the cluster, is not the folder that it is here: {way_out}"
    return ""


@contextlib.contextmanager
def marked(folder: Path) -> Iterator[Path]:
    """A file in a folder, for a moment, by which others can tell that they see the same folder."""
    there = next((place for place in (folder, *folder.parents) if place.is_dir()), folder)
    with tempfile.NamedTemporaryFile(dir=there, prefix=".shared-") as file:
        yield Path(file.name)
