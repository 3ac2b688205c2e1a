"""Any rectangle of a TIFF, of which no more is decoded than the strips or tiles that it touches.

Strips, tiles, samples side by side or in planes, pages as channels, little and big endian, BigTIFF, and every compression that tifffile
decodes. What is laid out in another way (volumes in one page, all pixels in one compressed strip) gives no windows. Only `images` calls
this file.
"""

from __future__ import annotations

import contextlib
import importlib.util
import math
import threading
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import UserError
from .scientific import Layout, Pages, SeriesAxes, finished, layout_of, main_image
from .slides import Sizes, check_level

_NO_COMPRESSION, _JPEGS = 1, (6, 7, 34892, 33007)
_BY_ITSELF = (1, 8, 32773, 32946)
"""Compressions that tifffile decodes without imagecodecs: none, deflate, PackBits."""
_LARGEST_SEGMENT = 64 << 20
"""Decoded bytes of a strip or tile beyond which the whole may as well be decoded."""
_CACHE = 32 << 20
"""Bytes of decoded strips or tiles that are held at least, so that neighbouring rectangles do not decode them twice."""
_MOST_PER_BYTE = 10_000
"""How many bytes of pixels the best compression makes of one."""


class WindowedTiff:
    """The image of a TIFF file, as :func:`.scientific.read_tiff` gives all of it: with alpha, not turned upright.

    Args:
        path: the file.
        pages: what of its pages is wanted.
        level: of a pyramid, 0 for the full size.

    Attributes:
        layout: what it holds.
        sizes: height and width of every level.
        has_windows: whether rectangles can be read of it at all.

    Raises:
        UserError: it holds no image, or several, or no such level, or its pages are not what they are said to be.
        ValueError: it is damaged.
        Missing: tifffile is not installed.
    """

    def __init__(self, path: Path, pages: Pages, level: int = 0) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._open = contextlib.ExitStack()
        try:
            stream = self._open.enter_context(path.open("rb"))
            tiff, full = self._open.enter_context(main_image(stream, path))
            self.sizes: Sizes = tuple(_size_of(one) for one in full.levels)
            check_level(path, level, self.sizes)
            self._series = full.levels[level]
            self._file, self._keyframe = tiff.filehandle, self._series.keyframe
            axes = SeriesAxes.of(self._series)
            chosen = pages.chosen(path, axes.pages, axes.page_axis)
            self.layout: Layout = layout_of(tiff, self._series, axes, chosen, path)
            self._separate, depth, self._height, self._width, self._contiguous = self._keyframe.shaped
            each = self._separate * self._contiguous
            self._channels = _channels(axes, chosen)
            self._planes = math.prod(axes.shape) // (each * self._height * self._width)
            self.has_windows = not self.layout.entries and self._can(axes, depth, each)  # no colours to look up
        except BaseException:
            self._open.close()
            raise
        self._decoded: OrderedDict[tuple[int, int], NDArray[Any] | None] = OrderedDict()
        self._held = 0

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            self._decoded.clear()
            self._open.close()

    @property
    def raw_bytes(self) -> int:
        """Of all strips or tiles, as they lie in the file."""
        if self._series.dataoffset is not None:
            return int(self._series.nbytes)
        return sum(int(count) for page in self._series.pages if page is not None for count in page.databytecounts)

    def read(self, top: int, left: int, bottom: int, right: int) -> NDArray[Any]:
        """``[bottom - top, right - left, C]``."""
        if not (0 <= top < bottom <= self._height and 0 <= left < right <= self._width):
            raise ValueError(f"rows {top} to {bottom} and columns {left} to {right} of {self._height} x {self._width} pixels")
        each = self._separate * self._contiguous
        with self._lock:
            wanted: dict[int, list[tuple[int, int]]] = {}
            for channel, number in enumerate(self._channels):
                wanted.setdefault(number // each, []).append((channel, number % each))
            found = np.empty((bottom - top, right - left, len(self._channels)), self._series.dtype)
            for page, places in wanted.items():
                if self._separate > 1:
                    for channel, sample in places:
                        found[..., channel] = self._part(page, sample, top, left, bottom, right)[..., 0]
                else:
                    channels, samples = ([place[at] for place in places] for at in (0, 1))
                    part = self._part(page, 0, top, left, bottom, right)
                    if samples == [*range(self._contiguous)] and channels == [*range(channels[0], channels[0] + len(channels))]:
                        found[..., channels[0] : channels[0] + len(channels)] = part
                    else:
                        found[..., channels] = part[..., samples]
        return finished(found, self._keyframe, self.layout)

    def _can(self, axes: SeriesAxes, depth: int, each: int) -> bool:
        """Whether its strips or tiles are of a kind that this reads."""
        first, last = axes.plane
        behind = axes.shape[last + 1 :]
        in_place = last == first + 1 and behind in ((), (self._contiguous,)) and (self._height, self._width) == axes.shape[first : last + 1]
        contiguous = self._series.dataoffset is not None
        if depth != 1 or not in_place or not (contiguous or len(self._series.pages) == self._planes):
            return False
        if self._plain or contiguous:
            return True
        if self._keyframe.compression not in _BY_ITSELF and importlib.util.find_spec("imagecodecs") is None:
            return False
        return bool(self._segment_height * self._segment_width * self._contiguous * self._series.dtype.itemsize <= _LARGEST_SEGMENT)

    @property
    def _plain(self) -> bool:
        """Whether its strips are rows of numbers as they are."""
        page = self._keyframe
        whole = page.bitspersample == 8 * self._series.dtype.itemsize and page.fillorder == 1 and page.predictor == 1
        return bool(page.compression == _NO_COMPRESSION and not page.is_tiled and whole and not page.is_subsampled)

    @property
    def _segment_height(self) -> int:
        page = self._keyframe
        return int(page.tilelength) if page.is_tiled else min(int(page.rowsperstrip), self._height)

    @property
    def _segment_width(self) -> int:
        return int(self._keyframe.tilewidth) if self._keyframe.is_tiled else self._width

    def _part(self, number: int, plane: int, top: int, left: int, bottom: int, right: int) -> NDArray[Any]:
        """``[h, w, samples]`` of one plane of a page."""
        if self._series.dataoffset is not None:
            row = self._width * self._contiguous * self._series.dtype.itemsize
            start = self._series.dataoffset + (number * self._separate + plane) * self._height * row
            return self._rows(start + top * row, bottom - top)[:, left:right]
        page = self._series.pages[number]
        down, across = -(-self._height // self._segment_height), -(-self._width // self._segment_width)
        if page is None:
            raise ValueError("some of its pages are missing")
        if len(page.dataoffsets) < down * across * self._separate:
            raise ValueError("part of its pixels is missing")
        found = np.empty((bottom - top, right - left, self._contiguous), self._series.dtype)
        for at in range(top // self._segment_height, -(-bottom // self._segment_height)):
            begin, end = max(top, at * self._segment_height), min(bottom, (at + 1) * self._segment_height)
            if self._plain:
                index = plane * down + at
                row = self._width * self._contiguous * self._series.dtype.itemsize
                start = page.dataoffsets[index] + (begin - at * self._segment_height) * row
                if page.databytecounts[index] < (end - at * self._segment_height) * row:
                    raise ValueError("part of its pixels is missing")
                found[begin - top : end - top] = self._rows(start, end - begin)[:, left:right]
                continue
            for column in range(left // self._segment_width, -(-right // self._segment_width)):
                first, last = max(left, column * self._segment_width), min(right, (column + 1) * self._segment_width)
                segment = self._segment(page, number, (plane * down + at) * across + column)
                inside = found[begin - top : end - top, first - left : last - left]
                if segment is None:
                    inside[...] = page.nodata
                else:
                    up, beside = at * self._segment_height, column * self._segment_width
                    inside[...] = segment[begin - up : end - up, first - beside : last - beside]
        return found

    def _rows(self, start: int, count: int) -> NDArray[Any]:
        """Rows of numbers as they lie in the file."""
        shape, dtype = (count, self._width, self._contiguous), self._series.dtype.newbyteorder(self._series.keyframe.parent.byteorder)
        self._file.seek(start)
        data = self._file.read(math.prod(shape) * dtype.itemsize)
        if len(data) < math.prod(shape) * dtype.itemsize:
            raise ValueError("part of its pixels is missing")
        return np.frombuffer(data, dtype).reshape(shape)

    def _segment(self, page: Any, number: int, index: int) -> NDArray[Any] | None:
        """A decoded strip or tile ``[h, w, samples]``; None where the file leaves it out."""
        key = number, index
        if key in self._decoded:
            self._decoded.move_to_end(key)
            return self._decoded[key]
        data = None
        if count := int(page.databytecounts[index]):
            self._file.seek(page.dataoffsets[index])
            data = self._file.read(count)
            if len(data) < count:
                raise ValueError("part of its pixels is missing")
        options: dict[str, Any] = {"_fullsize": bool(self._keyframe.is_tiled)}
        if self._keyframe.compression in _JPEGS:
            options |= {"jpegtables": page.jpegtables, "jpegheader": self._keyframe.jpegheader}
        decoded, _, shape = self._keyframe.decode(data, index, **options)
        segment = None if decoded is None else decoded[0]
        if segment is not None and segment.shape[:2] < tuple(shape[1:3]):
            raise ValueError("part of its pixels is missing")
        self._keep(key, segment)
        return segment

    def _keep(self, key: tuple[int, int], segment: NDArray[Any] | None) -> None:
        row = self._width * self._segment_height * self._separate * self._contiguous * self._series.dtype.itemsize
        self._decoded[key] = segment
        self._held += 0 if segment is None else segment.nbytes
        while self._held > max(_CACHE, row) and len(self._decoded) > 1:
            _, oldest = self._decoded.popitem(last=False)
            self._held -= 0 if oldest is None else oldest.nbytes

    def check_claim(self) -> None:
        """See that the file has the bytes that an image of its size takes at the very least.

        Raises:
            UserError: it has not.
        """
        size, there = self._series.nbytes, self.path.stat().st_size
        if self.raw_bytes * _MOST_PER_BYTE < size or self.raw_bytes > there:
            layout = self.layout
            raise UserError(
                f"{self.path} claims to be {layout.width} x {layout.height} pixels, for which its {there:,} bytes are too few: it is "
                "damaged or cut off; copy it again, or leave it out"
            )


def _size_of(series: Any) -> tuple[int, int]:
    axes = SeriesAxes.of(series)
    return axes.shape[axes.plane[0]], axes.shape[axes.plane[1]]


def _channels(axes: SeriesAxes, chosen: Sequence[int] | None) -> list[int]:
    """Where each channel lies: its page times the samples of a page, and its sample."""
    others = [at for at in range(len(axes.shape)) if at not in axes.plane]
    numbers = np.arange(math.prod(axes.shape[at] for at in others)).reshape([axes.shape[at] for at in others])
    if chosen is None:
        return [int(number) for number in numbers.ravel()]
    paged = [others.index(at) for at in axes.paged]
    pages = np.moveaxis(numbers, paged, range(len(paged))).reshape(axes.pages, -1)
    return [int(number) for number in pages[[*chosen]].ravel()]
