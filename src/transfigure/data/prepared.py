"""What was prepared of a data set, kept on disk for the next epoch, for other processes and for later runs.

Below :func:`cache_root` every data set has a folder for each way of preparing it. Its name is a digest of both, and it holds

=============== ==========================================================================================================
``about.json``  the marker: what a folder without it holds is another's, and neither written to nor removed
``.lock``       locked (shared) by every process that uses the folder; its time of change tells when it was last used
``pairs.data``  pixels, one prepared pair behind the other, each beginning at a multiple of 64
``pairs.index`` entries of 64 bytes, one for each pair in ``pairs.data``
=============== ==========================================================================================================

An entry is little-endian and has

===== ====== =============================================================================================================
bytes type   meaning
===== ====== =============================================================================================================
16    bytes  the key of the pair: see :func:`file_key`
8     uint64 where its pixels begin in ``pairs.data``
24    uint32 height, width and channels of the source, then of the target
2     uint8  type of the source and of the target: 0 is uint8, 1 uint16, 2 float32, 3 int8, 4 int16, 5 uint32, 6 int32, 7 float16,
             8 float64
6             nothing
4     uint32 CRC-32 of its pixels: the source ``[C, H, W]``, zeros up to a multiple of 64, and the target
4     uint32 CRC-32 of the 60 bytes before it
===== ====== =============================================================================================================

Both files only grow, and whoever lets one grow has locked the index. Pixels are written before their entry, and at the end of the file, not
where the last entry ends: a process that is killed at any moment leaves bytes that no entry names, or a torn entry that the next one
overwrites. A reader needs no lock: what is torn, cut or flipped does not have its CRC and counts as not there, and nothing is changed
once it has been written. Pixels are read through a map of the file but written by ``pwrite``, to which a full disk is an error like others.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import hashlib
import json
import mmap
import os
import re
import stat
import struct
import sys
import time
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import BinaryIO

import numpy as np
import PIL

from ..errors import UserError
from ..progress import say
from ..recipe import Data
from ..stored import read_json
from ..wording import counted
from .files import LOCK, cache_place, is_unfinished, open_to_write, write_json
from .pixels import Array
from .transforms import Geometry
from .value_range import NATURAL_RANGE

if sys.platform != "win32":
    import fcntl

_VERSION = 3
"""Of the way files are decoded and resized: whoever changes a pixel of it counts this up, and all that was kept is prepared anew."""
_FORMAT = "transfigure cache 1"
_ABOUT, _DATA, _INDEX, FACTS = "about.json", "pairs.data", "pairs.index", "facts.jsonl"
_FILES = (_DATA, _INDEX, FACTS, _ABOUT, LOCK)
_NAME = re.compile("[0-9a-f]{16}")

SETTLED = 2.0
"""Seconds without a change after which a file is remembered: the coarsest clock of a file system, in whose step it could change unseen."""
ALL_TOGETHER = 10 * 2**30
"""Bytes that all data sets together may take."""
LEFT_FREE = 2**30
"""Bytes of the disk that are left to others."""
_STEP = 64 * 2**20
"""Bytes that a process adds before it looks again at what all data sets take."""
_PATIENCE = 1.0
"""Seconds to wait for a lock that is otherwise held for a thousandth of that: whoever holds it may have been suspended."""

_ENTRY, _CRC = struct.Struct("<16sQ6I2B6xI"), struct.Struct("<I")
_LENGTH = _ENTRY.size + _CRC.size
_TYPES = tuple(NATURAL_RANGE)
_MOST = 2**20
"""Pairs in a folder: their entries are held in memory."""


# ---- the place -----------------------------------------------------------------------------------------------------------


def cache_root() -> Path:
    """The folder of prepared data."""
    return cache_place("data")


def cache_folder(section: Data, geometry: Geometry, quiet: bool = False) -> Path | None:
    """The folder that keeps what is made of a data set in one way of preparing it; created if it is not there.

    As long as a :class:`PreparedStore` of it is open, no other process removes it.

    Args:
        section: the recipe's data section, resolved.
        geometry: how its training pairs are prepared.
        quiet: nothing is said.

    Returns:
        The folder; None for a drawn world, for ``cache_gb`` 0, on Windows, and where nothing can be kept, which is said once.
    """
    places = [section.path, *(section.options.get(side) for side in "ab")]
    if not section.cache_gb or not any(places) or sys.platform == "win32":
        return None
    parts = [_FORMAT, section.kind, *places, *preparation(geometry), section.alpha, section.orientation, section.direction]
    folder = cache_root() / hashlib.blake2b(json.dumps(parts).encode("utf-8", "surrogateescape"), digest_size=8).hexdigest()
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not is_ours(folder):
            if foreign := [item.name for item in folder.iterdir() if item.name not in _FILES and not is_unfinished(item.name)]:
                raise ValueError(f"it holds {foreign[0]}, which is no cache of ours")
            write_json(folder / _ABOUT, {"format": _FORMAT, "data": [place for place in places if place]})
    except (OSError, ValueError, UserError) as error:
        if not quiet:
            _say_once(f"nothing is kept in {folder} for the next run ({error}): set TRANSFIGURE_CACHE to a folder that can be written")
        return None
    return folder


def preparation(geometry: Geometry) -> tuple[object, ...]:
    """All that a prepared pair depends on beside its files: the geometry without its chances, and what decodes and resizes."""
    rules = geometry.source_rule, geometry.target_rule
    return _VERSION, _decoders(), geometry.load_size, geometry.crop_size, *rules, geometry.paired, geometry.fit != "refuse" and geometry.fit


@functools.cache
def _decoders() -> tuple[str, ...]:
    """What turns files into pixels, with versions: another may round otherwise."""
    found = [f"pillow {PIL.__version__}"]
    for name in ("tifffile", "imagecodecs", "pypng"):
        with contextlib.suppress(metadata.PackageNotFoundError):
            found.append(f"{name} {metadata.version(name)}")
    return tuple(found)


def file_key(files: Iterable[str | Path], *more: object, before: float | None = None) -> bytes | None:
    """What files are known by: 16 bytes that are others as soon as a file, or anything else given, is another.

    Of each file its device, inode, size, and times of change count, so that hard links share what is kept, and neither an edit nor a
    replacement goes unseen.

    Args:
        files: in order.
        more: whatever else the kept thing depends on; its ``repr`` counts.
        before: the time of :func:`time.time` at which the reading of the data set began. A file that changed later, or just before it, may
            have changed between its reading and now.

    Returns:
        The key; None where nothing should be remembered: a file is gone, is no regular file, or changed too recently.
    """
    digest = hashlib.blake2b(repr(more).encode("utf-8", "surrogatepass"), digest_size=16)
    latest = (time.time() if before is None else before) - SETTLED
    for file in files:
        try:
            state = os.stat(file)  # noqa: PTH116 - half the time of Path.stat, and there may be 200,000 of them
        except (OSError, ValueError):
            return None
        if not stat.S_ISREG(state.st_mode) or state.st_ctime > latest:
            return None
        digest.update(b"%d %d %d %d %d\n" % (state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns, state.st_ctime_ns))
    return digest.digest()


# ---- the pairs of one folder ---------------------------------------------------------------------------------------------


class PreparedStore:
    """Prepared pairs on disk, shared by all processes that open the same folder. It never raises: what cannot be read is not there.

    Args:
        folder: of :func:`cache_folder`.
        max_bytes: how large it may grow.
        quiet: nothing is said.

    Attributes:
        is_full: no more may be added, so that the other pairs are decoded in every epoch.
        is_lost: the place cannot be used (any more), which has been said.
    """

    def __init__(self, folder: Path, max_bytes: int, quiet: bool = False) -> None:
        self.folder, self.max_bytes, self.quiet = folder, max_bytes, quiet
        self.is_full = self.is_lost = False
        self._index, self._data = folder / _INDEX, folder / _DATA
        self._unasked = 0
        self._forget()
        self._holds = self._hold()

    def __reduce__(self) -> tuple[type[PreparedStore], tuple[Path, int, bool]]:
        """A process that is spawned opens the folder itself; one that is forked shares the map."""
        return PreparedStore, (self.folder, self.max_bytes, self.quiet)

    def __len__(self) -> int:
        self._refresh()
        return len(self._entries)

    @property
    def size(self) -> int:
        """Bytes that the folder takes."""
        return _size_of(self.folder)

    def describe(self) -> str:
        """``440 prepared pairs (236 MiB of at most 2 GiB) in /home/ada/.cache/transfigure/data/0123456789abcdef``."""
        sizes = f"{amount(self.size)} of at most {amount(self.max_bytes)}"
        return f"{counted(len(self), 'prepared pair')} ({sizes}) in {self.folder}{'; new ones in memory' if self.is_lost else ''}"

    def get(self, key: bytes) -> tuple[Array, Array] | None:
        """A kept pair, ``[H, W, C]`` each, as read-only views of the file; None if it is not there."""
        if (entry := self._entries.get(key)) is None:
            self._refresh()
            if (entry := self._entries.get(key)) is None:
                return None
        _, offset, *numbers, first, second, crc = _ENTRY.unpack_from(entry)
        shapes, types = (numbers[:3], numbers[3:]), (np.dtype(_TYPES[first]), np.dtype(_TYPES[second]))
        lengths = [height * width * channels * kind.itemsize for (height, width, channels), kind in zip(shapes, types)]
        starts = offset, offset + _padded(lengths[0])
        end = starts[1] + lengths[1]
        if (content := self._mapped(end)) is None or (key not in self._checked and not _is_intact(content, offset, end, crc)):
            self._entries.pop(key, None)  # so that it is kept anew
            return None
        self._checked.add(key)
        source, target = (
            np.frombuffer(content, kind, height * width * channels, start).reshape(channels, height, width).transpose(1, 2, 0)
            for start, kind, (height, width, channels) in zip(starts, types, shapes)
        )
        return source, target

    def put(self, key: bytes, source: Array, target: Array) -> bool:
        """Keep a pair.

        Args:
            key: what it is known by.
            source: ``[H, W, C]``, prepared.
            target: ``[H, W, C']``, prepared.

        Returns:
            Whether it is kept; also if it was before.
        """
        if self.is_full or self.is_lost or {source.dtype.name, target.dtype.name} - {*_TYPES}:
            return False
        planes = [array.transpose(2, 0, 1).tobytes() for array in (source, target)]
        content = planes[0].ljust(_padded(len(planes[0])), b"\0") + planes[1]
        if not self._may_grow(len(content)):
            return False
        try:
            with alone_with(self._index) as index:
                if index is None:
                    self._lose("another process does not let go of it")
                    return False
                self._refresh()
                if key in self._entries:
                    return True
                with opened(self._data, os.O_RDWR | os.O_CREAT) as data:
                    start, entry_at = _padded(os.fstat(data).st_size), os.fstat(index).st_size // _LENGTH * _LENGTH
                    if start + len(content) + entry_at + _LENGTH > self.max_bytes or len(self._entries) >= _MOST:
                        self.is_full = True
                        return False
                    _write(data, content, start)
                kinds = _TYPES.index(source.dtype.name), _TYPES.index(target.dtype.name)
                entry = _ENTRY.pack(key, start, *source.shape, *target.shape, *kinds, zlib.crc32(content))
                _write(index, entry + _CRC.pack(zlib.crc32(entry)), entry_at)
        except OSError as error:
            self._lose(f"{error.strerror or error}")
            return False
        return True

    def begin_anew_if_stale(self, wanted: Iterable[bytes | None]) -> None:
        """Empty a folder that is nearly full of what is not wanted any more (files that were edited or removed), if nobody else uses it.

        Args:
            wanted: the keys of all pairs; gone through only if it is nearly full.
        """
        if self.is_lost or self._holds is None or self.size < 3 / 4 * self.max_bytes:
            return
        self._refresh()
        keys = {*wanted} - {None}
        here = len(self._entries.keys() & keys)
        if here == len(keys) or here >= len(self._entries) / 2:
            return
        with contextlib.suppress(OSError):
            if _lock(self._holds.fileno(), exclusive=True, patience=0):
                self._index.unlink(missing_ok=True)
                self._data.unlink(missing_ok=True)
                self._forget()
            _lock(self._holds.fileno())

    def _hold(self) -> BinaryIO | None:
        try:
            stream = open_to_write(self.folder / LOCK, "a+b")
            if _lock(stream.fileno()) and _is_at(stream, self.folder / LOCK):
                os.utime(self.folder / LOCK)
                return stream
            stream.close()
            self._lose("another process is removing it")
        except (OSError, UserError) as error:
            self._lose(str(error))
        return None

    def _lose(self, reason: str) -> None:
        self.is_lost = True
        if not self.quiet:
            _say_once(f"prepared pairs cannot be kept in {self.folder} ({reason}): they are kept in memory, as far as data.cache_gb goes")

    def _forget(self) -> None:
        self._entries: dict[bytes, bytes] = {}
        self._checked: set[bytes] = set()
        self._map: mmap.mmap | None = None
        self._read = 0
        self._files: list[tuple[int, int] | None] = [None, None]

    def _refresh(self) -> None:
        """Take in the entries that were added; all is forgotten if the files were replaced or cut."""
        try:
            state = os.stat(self._index)  # noqa: PTH116 - for every pair of a first epoch
            if state.st_size // _LENGTH * _LENGTH == self._read and self._is_known(0, state):
                return
            with opened(self._index) as index:
                state = os.fstat(index)
                if not self._is_known(0, state) or state.st_size < self._read:
                    self._forget()
                self._files[0] = state.st_dev, state.st_ino
                added = os.pread(index, (state.st_size - self._read) // _LENGTH * _LENGTH, self._read)
        except OSError:
            return
        for at in range(0, len(added) - _LENGTH + 1, _LENGTH):
            entry = added[at : at + _LENGTH]
            if _CRC.pack(zlib.crc32(entry[: _ENTRY.size])) == entry[_ENTRY.size :]:
                key = entry[:16]
                self._entries[key] = entry
                self._checked.discard(key)
        self._read += len(added) // _LENGTH * _LENGTH

    def _is_known(self, which: int, state: os.stat_result) -> bool:
        return self._files[which] in (None, (state.st_dev, state.st_ino))

    def _mapped(self, end: int) -> mmap.mmap | None:
        """The pixels, up to ``end`` at least; None if there are not so many."""
        if self._map is not None and end <= len(self._map):
            return self._map
        try:
            with opened(self._data) as data:
                state = os.fstat(data)
                if not self._is_known(1, state):
                    self._forget()
                    return None
                self._files[1] = state.st_dev, state.st_ino
                if end > state.st_size:
                    return None
                self._map = mmap.mmap(data, state.st_size, access=mmap.ACCESS_READ)
        except (OSError, ValueError, OverflowError):
            return None
        return self._map

    def _may_grow(self, size: int) -> bool:
        """Whether the disk and the bound of all data sets together allow so many bytes more, once what nobody uses has been evicted."""
        try:
            disk = os.statvfs(self.folder)
        except OSError as error:
            self._lose(error.strerror or str(error))
            return False
        if disk.f_bavail * disk.f_frsize < LEFT_FREE + size:
            self._lose(f"less than {LEFT_FREE / 2**30:.0f} GiB of the disk would be left free")
            return False
        self._unasked -= size
        if self._unasked <= 0:
            self._unasked = _STEP
            self.is_full = not evict(self.folder, max(ALL_TOGETHER, self.max_bytes), self.quiet)
        return not self.is_full


@contextlib.contextmanager
def alone_with(path: Path) -> Iterator[int | None]:
    """The descriptor of a file that grows, which no other process changes meanwhile; None if one does not let go of it.

    It is opened anew each time, since a lock belongs to what was opened, and a process that is forked would share it.

    Raises:
        OSError: it cannot be opened, or nothing can be locked there.
    """
    with opened(path, os.O_RDWR | os.O_CREAT) as descriptor:
        yield descriptor if _lock(descriptor, exclusive=True) else None


@contextlib.contextmanager
def opened(path: Path, flags: int = os.O_RDONLY) -> Iterator[int]:
    """A descriptor of a regular file: no link is followed, and no pipe is waited for."""
    descriptor = os.open(path, flags | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0), 0o600)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, f"{path.name} is no regular file")
        yield descriptor
    finally:
        os.close(descriptor)


def _lock(descriptor: int, exclusive: bool = False, patience: float | None = None) -> bool:
    """Lock an open file; False if another holds it for too long, OSError where nothing can be locked."""
    if sys.platform == "win32":
        raise OSError(errno.ENOTSUP, "no shared locks")
    end = time.monotonic() + (_PATIENCE if patience is None else patience)
    while True:
        try:
            fcntl.flock(descriptor, (fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH) | fcntl.LOCK_NB)
            return True
        except (BlockingIOError, PermissionError):
            if time.monotonic() >= end:
                return False
            time.sleep(0.001)


def _is_at(stream: BinaryIO, path: Path) -> bool:
    return os.path.samestat(os.fstat(stream.fileno()), path.stat())


def _write(descriptor: int, content: bytes, at: int) -> None:
    written = 0
    while written < len(content):
        written += os.pwrite(descriptor, memoryview(content)[written:], at + written)


def _is_intact(content: mmap.mmap, start: int, end: int, crc: int) -> bool:
    with memoryview(content) as whole, whole[start:end] as part:
        return zlib.crc32(part) == crc


def _padded(length: int) -> int:
    return -(-length // _LENGTH) * _LENGTH


# ---- all of them ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Kept:
    """A folder of prepared pairs.

    Attributes:
        folder: where it lies.
        data: the data set's own places.
        size: bytes that it takes.
        used: when it was last used, in seconds since 1970.
    """

    folder: Path
    data: tuple[str, ...]
    size: int
    used: float


def all_kept() -> list[Kept]:
    """All folders of prepared pairs, the one that was used longest ago first."""
    found = []
    with contextlib.suppress(OSError):
        for folder in cache_root().iterdir():
            if _NAME.fullmatch(folder.name) and (about := _about(folder)) is not None:
                used = 0.0
                with contextlib.suppress(OSError):
                    used = (folder / LOCK).stat().st_mtime
                places = about.get("data")
                data = tuple(map(str, places)) if isinstance(places, list) else ()
                found.append(Kept(folder, data, _size_of(folder), used))
    return sorted(found, key=lambda kept: kept.used)


def evict(own: Path, most: int, quiet: bool = False) -> bool:
    """Remove what was used longest ago, and is not used now, until all together take no more than ``most`` bytes; whether they do.

    Args:
        own: the folder that stays.
        most: bytes that all may take together.
        quiet: do not say what was removed.
    """
    found = all_kept()
    total = sum(kept.size for kept in found)
    for kept in found:
        if total <= most:
            break
        if kept.folder != own and _remove(kept.folder):
            total -= kept.size
            if not quiet:
                day = time.strftime("%Y-%m-%d", time.localtime(kept.used))
                say(
                    f"note: the prepared pairs of {' and '.join(kept.data)} ({amount(kept.size)}, last used {day}) were removed from "
                    f"{kept.folder}, to keep all that is prepared within {amount(most)}"
                )
    return total <= most


def is_ours(folder: Path) -> bool:
    """Whether a folder was made by :func:`cache_folder`."""
    return _about(folder) is not None


def _about(folder: Path) -> dict[str, object] | None:
    try:
        about = read_json(folder / _ABOUT)
    except (OSError, ValueError):
        return None
    return about if isinstance(about, dict) and str(about.get("format")).startswith("transfigure cache ") else None


def _remove(folder: Path) -> bool:
    """Remove a folder that no process holds; whether it could be."""
    try:
        with opened(folder / LOCK, os.O_RDWR | os.O_CREAT) as lock:
            if not _lock(lock, exclusive=True, patience=0):
                return False
            for item in list(folder.iterdir()):
                if item.name in _FILES or is_unfinished(item.name):
                    item.unlink()
            folder.rmdir()
    except OSError:
        return not (folder / _DATA).exists()
    return True


def amount(size: int) -> str:
    """``236 MiB``, ``1.2 GiB``."""
    return f"{size / 2**30:.3g} GiB" if size >= 2**30 else f"{size / 2**20:.3g} MiB"


def _size_of(folder: Path) -> int:
    total = 0
    for name in _FILES:
        with contextlib.suppress(OSError):
            total += (folder / name).stat().st_size
    return total


@functools.cache
def _say_once(message: str) -> None:
    with contextlib.suppress(Exception):
        say(f"note: {message}")
