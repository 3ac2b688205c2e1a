"""NumPy's arrays, alone (NPY) or in an archive (NPZ): an image if it is ``[H, W]`` or ``[H, W, C]``, channels last.

A file says nothing of what its dimensions are. One whose last is not the smallest may be a stack of images: its first is taken for pages,
which have to be asked for. Files are data: objects, which are code, are never read, and a header is held against the bytes there are.
https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html. Only `images` calls this file.
"""

from __future__ import annotations

import io
import math
import os
import threading
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, BinaryIO

import numpy as np
from numpy.lib.format import read_array_header_1_0, read_array_header_2_0, read_magic, write_array, write_array_header_1_0
from numpy.typing import NDArray

from ...errors import UserError
from ..value_range import TYPES
from .row_file import ImageShape
from .scientific import Layout, Pages, plain_dtype, plain_type

MAGIC = b"\x93NUMPY"
ZIP = b"PK\x03\x04"
_MEMBER = "image.npy"
_LARGEST_HEADER = 10_000
_MOST_MEMBERS = 10_000
_CHANNELS_LAST = "[height, width] or [height, width, channels]"


@dataclass(frozen=True)
class _ArrayHeader:
    """What an array's header says.

    Attributes:
        shape: of the array.
        fortran: whether its first dimension is the fastest.
        dtype: of its numbers.
        start: where they begin; in an archive, after how many bytes of its member.
        paged: whether the first dimension counts pages.
    """

    shape: tuple[int, ...]
    fortran: bool
    dtype: np.dtype[Any]
    start: int
    paged: bool

    @property
    def pages(self) -> int:
        return self.shape[0] if self.paged else 1

    @property
    def each(self) -> tuple[int, int, int]:
        """Height, width and channels of one page."""
        height, width, *channels = self.shape[self.paged :]
        return height, width, (channels or [1])[0]


def is_npz(head: bytes) -> bool:
    """Whether these first bytes of a file announce an archive of arrays."""
    name = head[30 : 30 + int.from_bytes(head[26:28], "little")]
    return head.startswith(ZIP) and name.endswith(b".npy")


def is_image(stream: BinaryIO, kind: str) -> bool:
    """Whether a file holds a single array that may be an image; others are no business of ours."""
    with _array(stream, kind, Path()) as (array, size):
        shape = _header(array, size, Path(), judged=False).shape
        return len(shape) in (2, 3, 4) and all(shape)


def pages(stream: BinaryIO, kind: str, path: Path) -> int:
    """How many pages it has: the length of a first dimension that may count them."""
    with _array(stream, kind, path) as (array, size):
        return _header(array, size, path).pages


def layout(stream: BinaryIO, kind: str, path: Path, wanted: Pages) -> Layout:
    """What it holds, by its header."""
    with _array(stream, kind, path) as (array, size):
        header = _header(array, size, path)
        return _layout(header, _chosen(header, path, wanted), path)


def read(stream: BinaryIO, kind: str, path: Path, check: Callable[[Layout], None], wanted: Pages) -> tuple[NDArray[Any], Layout]:
    """The pixels, and the layout, which ``check`` sees before anything is read."""
    with _array(stream, kind, path) as (array, size):
        header = _header(array, size, path)
        chosen = _chosen(header, path, wanted)
        found = _layout(header, chosen, path)
        check(found)
        pixels = _pixels(array, header, chosen)
    return plain_dtype(pixels).reshape(found.height, found.width, found.channels), found


class WindowedNpy:
    """Any rectangle of an array of NumPy, as :func:`read` gives all of it; no more is read than its rows.

    Args:
        path: the file.
        wanted: what of its pages is wanted.

    Attributes:
        layout: what it holds.
        has_windows: whether rectangles can be read of it: not where its columns are what lies together.

    Raises:
        UserError, ValueError: as of :func:`read`.
    """

    def __init__(self, path: Path, wanted: Pages) -> None:
        self._lock, self._stream = threading.Lock(), path.open("rb")
        try:
            self._header = _header(self._stream, os.fstat(self._stream.fileno()).st_size, path)
            chosen = _chosen(self._header, path, wanted)
            self.layout = _layout(self._header, chosen, path)
        except BaseException:
            self._stream.close()
            raise
        self._pages = range(self._header.pages) if chosen is None else chosen
        self.has_windows = not self._header.fortran

    def read(self, top: int, left: int, bottom: int, right: int) -> NDArray[Any]:
        """``[bottom - top, right - left, C]``."""
        height, width, channels = self._header.each
        row, parts = width * channels * self._header.dtype.itemsize, []
        for page in self._pages:
            with self._lock:
                self._stream.seek(self._header.start + (page * height + top) * row)
                values = _numbers(self._stream, self._header.dtype, (bottom - top) * width * channels)
            parts.append(values.reshape(bottom - top, width, channels)[:, left:right])
        return plain_dtype(np.concatenate(parts, axis=2))

    def close(self) -> None:
        """Let go of the file."""
        self._stream.close()


def encode(pages: Sequence[NDArray[Any]], kind: str, comment: bytes) -> bytes:
    """The bytes of a file: ``[H, W]`` of an image of one channel, ``[H, W, C]`` of others, and ``[pages, H, W, C]`` of several.

    Args:
        pages: ``[H, W, C]`` each, of any type of images.
        kind: ``NPY`` or ``NPZ``.
        comment: of the archive; an array alone has no place for it.
    """
    stream = io.BytesIO()
    pixels = np.stack(pages) if len(pages) > 1 else pages[0][..., 0] if pages[0].shape[2] == 1 else pages[0]
    write_array(stream, np.ascontiguousarray(pixels), allow_pickle=False)
    if kind == "NPY":
        return stream.getvalue()
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(zipfile.ZipInfo(_MEMBER), stream.getvalue(), zipfile.ZIP_DEFLATED)
        archive.comment = comment
    return packed.getvalue()


def head(shape: ImageShape) -> bytes:
    """What stands before the rows of an image in a file of its array alone."""
    dimensions = (shape.height, shape.width) if shape.channels == 1 else (shape.height, shape.width, shape.channels)
    stream = io.BytesIO()
    write_array_header_1_0(stream, {"descr": np.dtype(shape.dtype).str, "fortran_order": False, "shape": dimensions})
    return stream.getvalue()


def comment_of(stream: BinaryIO) -> str:
    """The comment of an archive."""
    with zipfile.ZipFile(stream) as archive:
        return archive.comment.decode("latin-1")


@contextmanager
def _array(stream: BinaryIO, kind: str, path: Path) -> Iterator[tuple[IO[bytes], int]]:
    """The stream of an array with its header, and how many bytes that has.

    Raises:
        UserError: an archive of several.
        ValueError: it is damaged.
    """
    stream.seek(0)
    if kind == "NPY":
        yield stream, os.fstat(stream.fileno()).st_size
        return
    with zipfile.ZipFile(stream) as archive:
        members = archive.infolist()
        if len(members) != 1:
            names = ", ".join(member.filename.removesuffix(".npy")[:40] for member in members[:4]) + (", ..." if len(members) > 4 else "")
            raise UserError(f"{path} holds {len(members)} arrays ({names}): save the one that is the image as a file of its own")
        if members[0].compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise ValueError("it is compressed in another way than numpy does")
        with archive.open(members[0]) as member:
            yield member, members[0].file_size


def _header(array: IO[bytes], size: int, path: Path, judged: bool = True) -> _ArrayHeader:
    """The header of an array that may be an image.

    Raises:
        UserError: it is none, of no type of images, or of other dimensions, if that is ``judged``.
        ValueError: it is damaged, or speaks of more than there is.
    """
    version = read_magic(array)
    read = {(1, 0): read_array_header_1_0, (2, 0): read_array_header_2_0}.get(version)
    if read is None:
        raise ValueError(f"its header is of version {version[0]}.{version[1]}")
    shape, fortran, dtype = read(array, max_header_size=_LARGEST_HEADER)
    start = array.tell()
    if not judged:
        return _ArrayHeader(shape, fortran, dtype, start, False)
    if dtype.hasobject or dtype.kind not in "biuf":
        what = "objects, which are code and never read" if dtype.hasobject else f"{dtype.name} values"
        raise UserError(f"{path} holds {what}: save it as {TYPES}")
    plain_type(dtype, path)
    if len(shape) not in (2, 3, 4) or 0 in shape:
        what = f"shape {shape}" if len(shape) < 9 else f"{len(shape)} dimensions"
        raise UserError(f"{path} is an array of {what}: save an image as {_CHANNELS_LAST}")
    smallest_last = shape[-1] == 1 or shape[-1] < min(shape[-3:-1], default=0)
    if len(shape) == 4 and not smallest_last:
        raise UserError(
            f"{path} is an array of shape {shape}, whose last dimension is not the smallest of an image's: save images as "
            f"{_CHANNELS_LAST}, and a stack of them with the pages first"
        )
    if math.prod(shape) * dtype.itemsize > size - start:
        raise ValueError("part of its pixels is missing")
    return _ArrayHeader(shape, fortran, dtype, start, len(shape) == 4 or (len(shape) == 3 and not smallest_last))


def _chosen(header: _ArrayHeader, path: Path, wanted: Pages) -> tuple[int, ...] | None:
    if header.paged and wanted.use == "ask" and header.pages > 1:
        shape = " x ".join(map(str, header.shape))
        raise UserError(
            f"{path} is an array of {shape} and does not say what its dimensions are: if the first counts pages, choose {wanted.flag} "
            f"channels (the channels of one image), images (each an image of its own) or depth (the slices of one volume); "
            f"else save it as {_CHANNELS_LAST}"
        )
    return wanted.chosen(path, header.pages, "")


def _layout(header: _ArrayHeader, chosen: tuple[int, ...] | None, path: Path) -> Layout:
    height, width, channels = header.each
    count = header.pages if chosen is None else len(chosen)
    return Layout(height, width, channels * count, plain_type(header.dtype, path), False, 1, header.dtype.name, count)


def _pixels(array: IO[bytes], header: _ArrayHeader, chosen: tuple[int, ...] | None) -> NDArray[Any]:
    """``[H, W, pages x channels]``; of pages that lie one behind the other, only those that are chosen are read."""
    each = header.each
    if chosen is not None and not header.fortran:
        length = math.prod(each) * header.dtype.itemsize
        found = []
        for page in chosen:
            array.seek(header.start + page * length)
            found.append(_numbers(array, header.dtype, math.prod(each)).reshape(each))
        return np.concatenate(found, axis=2)
    values = _numbers(array, header.dtype, math.prod(header.shape)).reshape(header.shape, order="F" if header.fortran else "C")
    stack = values.reshape(header.pages, *each)
    some = stack if chosen is None else stack[[*chosen]]
    return np.moveaxis(some, 0, 2).reshape(each[0], each[1], -1)


def _numbers(array: IO[bytes], dtype: np.dtype[Any], count: int) -> NDArray[Any]:
    data = array.read(count * dtype.itemsize)
    if len(data) < count * dtype.itemsize:
        raise ValueError("part of its pixels is missing")
    return np.frombuffer(data, dtype, count)
