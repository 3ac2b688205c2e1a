"""Pyramids: an image and smaller and smaller copies of it in one TIFF, which viewers of whole slides open at once at any size.

The rows of the image come from the top, and a level's rows are known as soon as two rows of the level above are, so all levels grow
together: no more is held than one row of tiles of each. The tiles lie in the file in the order in which they became known, and the
directories that say where they are come last; whether these count in 32 bits or, beyond 4 GB, in 64 (BigTIFF) is decided then.

Where the levels stand differs between readers. OME-TIFF wants them below the full image (tag 330, SubIFDs), where openslide does not look;
openslide wants them behind it as further pages that are marked as reduced, where readers of OME-TIFF do not look. An image of a single page
has its levels in both places: two directories, and the tiles they point to are there once. An image whose channels are pages has them
below each page alone: to openslide every page behind the first would be a level.

TIFF 6.0; BigTIFF; OME-TIFF specification 6, "sub-resolutions".
"""

from __future__ import annotations

import math
import os
import struct
import zlib
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, BinaryIO, Literal

import numpy as np
from numpy.typing import NDArray

from . import metadata
from .metadata import Tag, Tags
from .row_file import ImageShape, RowFile
from .tiff_rows import TiffKind

TILE = 256
"""Pixels a side of a tile, as most slide scanners write them."""
SMALLEST = 512
"""The longer side of the smallest level, at most."""
_WORKERS = 4
_HEADER = 16
"""Bytes at the beginning: what a BigTIFF takes, which is more than what a TIFF does."""
_CLASSIC = (1 << 32) - (1 << 20)
"""Bytes up to which a file is a plain TIFF."""
_SHORT, _LONG, _LONG8, _IFD8 = 3, 4, 16, 18
_SUB_DIRECTORIES = 330
_SAMPLE_FORMAT = {"u": 1, "i": 2, "f": 3}

Reduction = Literal["mean", "commonest"]
"""What four pixels become: their mean, or, where numbers or colours stand for classes, the one that most of them are."""


class PyramidRows(RowFile):
    """A tiled TIFF of all levels of an image, compressed without loss.

    A side of a level is half of the one above, rounded up, so nothing is left out, and the last row or column of an odd side stands for one
    row or column alone.

    Args:
        stream, shape, begun: as of :class:`.row_file.RowFile`.
        kind: what it is beside its pixels.
        reduction: how a level comes from the one above. The mean of classes would be another class; indices of a palette have no mean.
    """

    def __init__(
        self, stream: BinaryIO, shape: ImageShape, begun: Mapping[str, Any] | None, kind: TiffKind, reduction: Reduction = "mean"
    ) -> None:
        super().__init__(stream, shape, begun)
        self.kind, self.reduction = kind, "commonest" if kind.about.palette else reduction
        self._no_data = kind.about.no_data()
        self._dtype = np.dtype(shape.dtype).newbyteorder("<")
        planes = 1 if kind.planes == "samples" else shape.channels
        self._levels = [_Level(*size, planes) for size in level_sizes(shape.height, shape.width)]
        if begun is None:
            stream.write(bytes(_HEADER))
            return
        for level, saved in zip(self._levels, begun["levels"], strict=True):
            level.written = int(saved["rows"])
            level.tiles = [[(int(place), int(size)) for place, size in tiles] for tiles in saved["tiles"]]
        for above, level in zip(self._levels, self._levels[1:]):
            if above.written > 2 * level.written:  # what was held of it was not saved, and is made again
                level.held = [self._halved(self._rows(above, 2 * level.written))]
        stream.seek(0, os.SEEK_END)

    @property
    def block(self) -> int:  # noqa: D102
        return TILE

    def append(self, rows: NDArray[Any]) -> None:  # noqa: D102
        self._write(0, rows)

    def state(self) -> dict[str, Any]:  # noqa: D102
        levels = [{"rows": level.written, "tiles": level.tiles} for level in self._levels]
        return {**super().state(), "levels": levels}

    def complete(self) -> None:  # noqa: D102
        for number, level in enumerate(self._levels[1:], 1):
            if rest := level.take(all_rows=True):
                self._write(number, rest[0])
        entries = 16 * sum(len(tiles) for level in self._levels for tiles in level.tiles)
        about, software = self.kind.about, self.kind.software
        tags, inner = metadata.tags_of(about, software), metadata.directories_of(about)
        small = sum(len(tag.data) for some in (tags, *inner.values()) for tag in some.values())
        big = self.stream.seek(0, os.SEEK_END) + 2 * entries + small > _CLASSIC
        directories = _Directories(self.stream, big)
        full, *reduced = [self._pages(directories, number) for number in range(len(self._levels))]
        chain = [dict(page) for page in full]
        chain[0] |= {**tags, **{code: directories.pointer([directories.write(more)]) for code, more in inner.items()}}
        if self.kind.planes != "bands" and reduced:
            for number, page in enumerate(chain):
                page[_SUB_DIRECTORIES] = directories.pointer([directories.write(level[number]) for level in reduced])
        if self.kind.planes != "pages":
            chain += [level[0] for level in reduced]
        following = 0
        for page in reversed(chain):
            following = directories.write(page, following)
        self.stream.seek(0)
        self.stream.write(struct.pack("<2sHHHQ", b"II", 43, 8, 0, following) if big else struct.pack("<2sHI", b"II", 42, following))
        metadata.seal(self.stream, software)

    def _write(self, number: int, rows: NDArray[Any]) -> None:
        """Write a row of tiles of a level, and what the next level gets of it."""
        level = self._levels[number]
        parts = [rows] if len(level.tiles) == 1 else np.split(rows, len(level.tiles), axis=2)
        with ThreadPoolExecutor(min(_WORKERS, os.cpu_count() or 1)) as pool:
            for tiles, part in zip(level.tiles, parts):
                for encoded in pool.map(_encoded, _cut(np.asarray(part, self._dtype))):
                    tiles.append((self.stream.tell(), len(encoded)))
                    self.stream.write(encoded)
        level.written += len(rows)
        if number + 1 < len(self._levels):
            below = self._levels[number + 1]
            below.held.append(self._halved(rows))
            for ready in below.take():
                self._write(number + 1, ready)

    def _halved(self, rows: NDArray[Any]) -> NDArray[Any]:
        return halved(rows, self.reduction, self._no_data)

    def _rows(self, level: _Level, top: int) -> NDArray[Any]:
        """The rows of a level from here on, as they lie in the file; it is the first of a row of tiles."""
        across = -(-level.width // TILE)
        samples = self.shape.channels // len(level.tiles)
        planes = []
        for tiles in level.tiles:
            rows = []
            for at in range(top // TILE * across, len(tiles), across):
                row = [self._decoded(place, size, samples) for place, size in tiles[at : at + across]]
                rows.append(np.concatenate(row, axis=1)[:, : level.width])
            planes.append(np.concatenate(rows)[: level.written - top])
        return np.concatenate(planes, axis=2)

    def _decoded(self, place: int, size: int, samples: int) -> NDArray[Any]:
        self.stream.seek(place)
        tile = np.frombuffer(zlib.decompress(self.stream.read(size)), self._dtype).reshape(TILE, TILE, samples)
        return np.cumsum(tile, axis=1, dtype=self._dtype) if _has_predictor(self._dtype) else tile

    def _pages(self, directories: _Directories, number: int) -> list[Tags]:
        """The tags of every page of a level."""
        level, kind = self._levels[number], self.kind
        samples = 1 if kind.planes == "pages" else self.shape.channels
        colours = kind.planes == "samples" and samples >= 3
        extra = [] if samples == (3 if colours else 1) else [2] if colours else [0] * (samples - 1)
        tags = {
            254: _tag(_LONG, [int(number > 0)]),
            256: _tag(_LONG, [level.width]),
            257: _tag(_LONG, [level.height]),
            258: _tag(_SHORT, [8 * self._dtype.itemsize] * samples),
            259: _tag(_SHORT, [8]),
            262: _tag(_SHORT, [3 if kind.about.palette else 2 if colours else 1]),
            277: _tag(_SHORT, [samples]),
            284: _tag(_SHORT, [2 if kind.planes == "bands" else 1]),
            317: _tag(_SHORT, [2 if _has_predictor(self._dtype) else 1]),
            322: _tag(_LONG, [TILE]),
            323: _tag(_LONG, [TILE]),
            339: _tag(_SHORT, [_SAMPLE_FORMAT[self._dtype.kind]] * samples),
        }
        if extra:
            tags[338] = _tag(_SHORT, extra)
        if kind.about.palette:
            table, colour_map = metadata.palette_table(kind.about.palette)[:, :3], np.zeros((3, 256), np.uint16)
            colour_map[:, : len(table)] = table.T.astype(np.uint16) * 257
            tags[320] = _tag(_SHORT, colour_map.ravel().tolist())
        pages = [[tile for tiles in level.tiles for tile in tiles]] if kind.planes == "bands" else level.tiles
        return [
            {**tags, 324: directories.numbers([place for place, _ in page]), 325: directories.numbers([size for _, size in page])}
            for page in pages
        ]


def level_sizes(height: int, width: int) -> list[tuple[int, int]]:
    """Height and width of each level of a pyramid, the full one first."""
    sizes = [(height, width)]
    while max(sizes[-1]) > SMALLEST:
        sizes.append((-(-sizes[-1][0] // 2), -(-sizes[-1][1] // 2)))
    return sizes


def halved(pixels: NDArray[Any], reduction: Reduction, no_data: float | None = None) -> NDArray[Any]:
    """``[H, W, C]`` at half the size: each pixel is made of two by two, or of those of them that there are.

    So a level lies exactly on the one above. Every second pixel alone, as "nearest" takes them, would lie half a pixel beside it, at every
    level anew.

    Args:
        pixels: of any type.
        reduction: ``mean``, rounded to the nearest number of the type; or ``commonest``, where a class that two of four have wins, the
            upper left one where all differ.
        no_data: the value that is left out of means; where all four are that, so is the result.
    """
    height, width = pixels.shape[:2]
    padded = np.pad(pixels, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge") if height % 2 or width % 2 else pixels
    four = padded[::2, ::2], padded[::2, 1::2], padded[1::2, ::2], padded[1::2, 1::2]
    if reduction == "commonest":
        return _commonest(*four)
    if no_data is not None:
        return _mean_of_data(four, no_data)
    if pixels.dtype.kind == "f":
        wide = np.promote_types(pixels.dtype, np.float32) if pixels.dtype.itemsize < 8 else np.dtype(np.float64)
        quarter = wide.type(0.25)
        summed = four[0].astype(wide) * quarter  # a quarter first: the sum of the largest floats would be infinite
        for one in four[1:]:
            summed += one.astype(wide) * quarter
        return summed.astype(pixels.dtype)
    total: NDArray[np.int64] = four[0].astype(np.int32 if pixels.dtype.itemsize < 4 else np.int64)
    for one in four[1:]:
        total += one
    rounded: NDArray[Any] = ((total + 2) >> 2).astype(pixels.dtype)
    return rounded


def _commonest(a: NDArray[Any], b: NDArray[Any], c: NDArray[Any], d: NDArray[Any]) -> NDArray[Any]:
    """Of four pixels, compared by all their channels together."""

    def same(one: NDArray[Any], other: NDArray[Any]) -> NDArray[np.bool_]:
        return np.asarray((one == other).all(axis=2, keepdims=True))

    first = same(a, b) | same(a, c) | same(a, d)
    second = same(b, c) | same(b, d)
    return np.where(first, a, np.where(second, b, np.where(same(c, d), c, a)))


def _mean_of_data(four: Sequence[NDArray[Any]], no_data: float) -> NDArray[Any]:
    dtype = four[0].dtype
    total = np.zeros(four[0].shape, np.float64)
    count = np.zeros(four[0].shape, np.uint8)
    for one in four:
        there = ~np.isnan(one) if math.isnan(no_data) else one != no_data
        total += np.where(there, one, 0)
        count += there
    mean = total / np.maximum(count, 1)
    if dtype.kind != "f":
        mean = np.floor(mean + 0.5)
    return np.where(count > 0, mean, no_data).astype(dtype)


class _Level:
    """What is known of a level: the rows that are not written yet, and where the others are.

    Attributes:
        height, width: pixels.
        written: rows, from the top.
        held: the next ones.
        tiles: place and size of each, row by row, of every plane.
    """

    def __init__(self, height: int, width: int, planes: int) -> None:
        self.height, self.width, self.written = height, width, 0
        self.held: list[NDArray[Any]] = []
        self.tiles: list[list[tuple[int, int]]] = [[] for _ in range(planes)]

    def take(self, all_rows: bool = False) -> list[NDArray[Any]]:
        """A row of tiles, if there is one; at the end, of fewer rows."""
        count = sum(map(len, self.held))
        if not count or (count < TILE and not all_rows):
            return []
        together = np.concatenate(self.held)
        self.held = [together[TILE:]] if count > TILE else []
        return [together[:TILE]]


class _Directories:
    """Writes directories of tags at the end of a file, as TIFF or BigTIFF has them."""

    def __init__(self, stream: BinaryIO, big: bool) -> None:
        self._stream, self._big = stream, big
        self._placed: dict[bytes, int] = {}

    def numbers(self, values: Sequence[int]) -> Tag:
        """Places and sizes in this file."""
        return _tag(_LONG8 if self._big else _LONG, values)

    def pointer(self, places: Sequence[int]) -> Tag:
        """To other directories."""
        return _tag(_IFD8 if self._big else _LONG, places)

    def write(self, tags: Tags, following: int = 0) -> int:
        """Write a directory, and what does not fit into it, which directories that say the same share.

        Returns:
            Where it is.
        """
        count, entry, inline = ("<Q", "<HHQ8s", 8) if self._big else ("<H", "<HHI4s", 4)
        lines = []
        for code, tag in sorted(tags.items()):
            data = tag.data if len(tag.data) <= inline else struct.pack("<Q", self._place(tag))[:inline]
            lines.append(struct.pack(entry, code, tag.kind, tag.count, data.ljust(inline, b"\0")))
        place = self._end()
        self._stream.write(struct.pack(count, len(lines)) + b"".join(lines) + struct.pack("<Q", following)[:inline])
        return place

    def place(self, tag: Tag) -> int | None:
        """Where the values of a tag were written."""
        return self._placed.get(tag.data)

    def _place(self, tag: Tag) -> int:
        if tag.data not in self._placed:
            self._placed[tag.data] = self._end()
            self._stream.write(tag.data)
        return self._placed[tag.data]

    def _end(self) -> int:
        place = self._stream.seek(0, os.SEEK_END)
        self._stream.write(bytes(-place % 8))
        return place + -place % 8


def _tag(kind: int, values: Iterable[int]) -> Tag:
    numbers = [*values]
    letter = {_SHORT: "H", _LONG: "I", _LONG8: "Q", _IFD8: "Q"}[kind]
    return Tag(kind, len(numbers), struct.pack(f"<{len(numbers)}{letter}", *numbers))


def _cut(rows: NDArray[Any]) -> Iterable[NDArray[Any]]:
    """A row of tiles; what is beyond the image goes on as its edge does, which compresses to nothing and never shows."""
    height, width = rows.shape[:2]
    for left in range(0, width, TILE):
        tile = rows[:, left : left + TILE]
        below, beside = TILE - height, TILE - tile.shape[1]
        yield np.pad(tile, ((0, below), (0, beside), (0, 0)), mode="edge") if below or beside else tile


def _encoded(tile: NDArray[Any]) -> bytes:
    """A tile compressed without loss.

    Integers as differences from their left neighbours, in which runs are all that is looked for, as in our PNG files: of photos nearly as
    small as with a full search, in a third of the time.
    """
    if not _has_predictor(tile.dtype):
        return zlib.compress(tile.tobytes(), 4)
    differences = tile.copy()
    np.subtract(tile[:, 1:], tile[:, :-1], out=differences[:, 1:])
    compressor = zlib.compressobj(4, strategy=zlib.Z_RLE)
    return compressor.compress(differences.tobytes()) + compressor.flush()


def _has_predictor(dtype: np.dtype[Any]) -> bool:
    return dtype.kind in "iu"
