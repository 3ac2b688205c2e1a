"""What was prepared of a data set, kept on disk for the next epoch, the next process and the next run."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import os
import stat
import time
from collections.abc import Iterable
from pathlib import Path

import PIL

from ..progress import say
from ..recipe import Data
from .files import home_path, is_unfinished, write_json
from .transforms import Geometry

_VERSION = 1
"""Of the way files are decoded and resized: whoever changes a pixel of it counts this up, and all that was kept is prepared anew."""
_FORMAT = "transfigure cache 1"
_ABOUT = "about.json"
"""The marker in a folder of ours: what is not marked is never written to and never removed."""
SETTLED = 2.0
"""Seconds without a change after which a file is remembered: the coarsest clock of a file system, in whose step it could change unseen."""


def cache_root() -> Path:
    """``data`` in ``$TRANSFIGURE_CACHE``, else in ``$XDG_CACHE_HOME/transfigure``, else in ``~/.cache/transfigure``."""
    if own := os.environ.get("TRANSFIGURE_CACHE"):
        return home_path(own).absolute() / "data"
    return home_path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").absolute() / "transfigure" / "data"


def cache_folder(section: Data, geometry: Geometry) -> Path | None:
    """The folder that keeps what is made of a data set in one way of preparing it; created if it is not there.

    Args:
        section: the recipe's data section, resolved.
        geometry: how its training pairs are prepared.

    Returns:
        The folder; None for a drawn world, for ``cache_gb`` 0, and where nothing can be kept, which is said once.
    """
    places = [section.path, *(section.options.get(side) for side in "ab")]
    if not section.cache_gb or not any(places):
        return None
    parts = [section.kind, *places, *preparation(geometry), section.alpha, section.orientation, section.direction]
    folder = cache_root() / hashlib.blake2b(json.dumps(parts).encode("utf-8", "surrogateescape"), digest_size=8).hexdigest()
    try:
        _claim(folder, {"format": _FORMAT, "data": [place for place in places if place]})
    except (OSError, ValueError) as error:
        _say_once(f"nothing is kept in {folder} for the next run ({error}): set TRANSFIGURE_CACHE to a folder that can be written")
        return None
    return folder


def preparation(geometry: Geometry) -> tuple[object, ...]:
    """All that a prepared pair depends on beside its files: the geometry without its chances, and what decodes and resizes."""
    rules = geometry.source_rule, geometry.target_rule
    return _VERSION, PIL.__version__, geometry.load_size, geometry.crop_size, *rules, geometry.paired, geometry.fit


def file_key(paths: Iterable[Path], *more: object, before: float | None = None) -> bytes | None:
    """What files are known by: 16 bytes that are others as soon as a file, or anything else given, is another.

    Of each file its device, inode, size, and times of change count, so that hard links share what is kept, and neither an edit nor a
    replacement goes unseen.

    Args:
        paths: the files, in order.
        more: whatever else the kept thing depends on; its ``repr`` counts.
        before: the time of :func:`time.time` at which the reading of the data set began. A file that changed later, or just before it, may
            have changed between its reading and now.

    Returns:
        The key; None where nothing should be remembered: a file is gone, is no regular file, or changed too recently.
    """
    digest = hashlib.blake2b(repr(more).encode("utf-8", "surrogatepass"), digest_size=16)
    latest = (time.time() if before is None else before) - SETTLED
    for path in paths:
        try:
            state = os.stat(path)  # noqa: PTH116 - half the time of Path.stat, and there may be 200,000 of them
        except (OSError, ValueError):
            return None
        if not stat.S_ISREG(state.st_mode) or state.st_ctime > latest:
            return None
        digest.update(b"%d %d %d %d %d\n" % (state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns, state.st_ctime_ns))
    return digest.digest()


def _claim(folder: Path, about: dict[str, object]) -> None:
    """Make the folder, or see that it is one of ours.

    Raises:
        OSError: it cannot be made.
        ValueError: it is another's.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if is_ours(folder):
        return
    if foreign := [name for name in os.listdir(folder) if name != _ABOUT and not is_unfinished(name)]:  # noqa: PTH208
        raise ValueError(f"it holds {foreign[0]}, which is no cache of ours")
    write_json(folder / _ABOUT, about)


def is_ours(folder: Path) -> bool:
    """Whether a folder was made by :func:`cache_folder`."""
    try:
        about = json.loads((folder / _ABOUT).read_text("utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(about, dict) and about.get("format") == _FORMAT


@functools.cache
def _say_once(message: str) -> None:
    with contextlib.suppress(Exception):
        say(f"note: {message}")
