"""What tiles are cut from: an image in memory, or a file of which only the rows at hand are."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

from ..data.pixels import Array
from ..data.windows import WindowedImage
from .tiles import Span, reflected

Rows: TypeAlias = Any
"""``[n, W, C]``, an array or a tensor."""


class TileSource(ABC):
    """An image, as numbers of its own kind, and what a part of it is to a generator.

    Attributes:
        height: pixels.
        width: pixels.
        is_held: all of it is in memory, so that rows are a view.
        bytes_per_pixel: of its own numbers.
    """

    height: int
    width: int
    is_held: bool
    bytes_per_pixel: float

    @abstractmethod
    def rows(self, top: int, bottom: int) -> Rows:
        """Some of its rows, ``[bottom - top, W, C]``."""

    @abstractmethod
    def encode(self, part: Rows) -> Tensor:
        """A part of it ``[h, w, C]`` as a generator sees it: float32 ``[C', h, w]`` in [-1, 1]."""


class TensorSource(TileSource):
    """An image that is one for the generator already.

    Args:
        image: ``[C, H, W]`` in [-1, 1].
    """

    is_held = True

    def __init__(self, image: Tensor) -> None:
        self._image = image.permute(1, 2, 0)
        self.height, self.width, channels = self._image.shape
        self.bytes_per_pixel = 4.0 * channels

    def rows(self, top: int, bottom: int) -> Rows:  # noqa: D102
        return self._image[top:bottom]

    def encode(self, part: Rows) -> Tensor:  # noqa: D102
        tensor: Tensor = part.permute(2, 0, 1).contiguous()
        return tensor


class ArraySource(TileSource):
    """An image in the numbers of its file, all of it in memory.

    Args:
        array: ``[H, W, C]``.
        encode: makes of any part of it ``[h, w, C]`` what the generator sees, ``[C', h, w]``.
    """

    is_held = True

    def __init__(self, array: Array, encode: Callable[[Array], Tensor]) -> None:
        self._array, self._encode = array, encode
        self.height, self.width = array.shape[:2]
        self.bytes_per_pixel = float(array[0, 0].nbytes)

    def rows(self, top: int, bottom: int) -> Rows:  # noqa: D102
        return self._array[top:bottom]

    def encode(self, part: Rows) -> Tensor:  # noqa: D102
        return self._encode(part)


class WindowSource(TileSource):
    """An image in its file, of which no more is read than the rows at hand.

    Args:
        windows: the file.
        encode: makes of any part of it ``[h, w, C]`` what the generator sees, ``[C', h, w]``.
    """

    is_held = False

    def __init__(self, windows: WindowedImage, encode: Callable[[Array], Tensor]) -> None:
        self.windows, self._encode = windows, encode
        self.height, self.width = windows.height, windows.width
        self.bytes_per_pixel = float(windows.channels * np.dtype(windows.dtype).itemsize)

    def rows(self, top: int, bottom: int) -> Rows:  # noqa: D102
        return self.windows.read(top, 0, bottom, self.width)

    def encode(self, part: Rows) -> Tensor:  # noqa: D102
        return self._encode(part)


class RowReader:
    """The rows that rows of tiles need, one after the other from the top, each read once; the next are read by a thread meanwhile.

    Args:
        source: the image.
        spans: the rows of each row of tiles, which may reach beyond the image's end, where it goes on as it would in one pass.
        look: is shown all rows that are read from a file, each once.
    """

    def __init__(self, source: TileSource, spans: Sequence[Span], look: Callable[[Rows], None] | None = None) -> None:
        self._source, self._look = source, look
        self._needs = [_needed(span, source.height) for span in spans]
        self._chunks: deque[tuple[Span, Rows]] = deque()
        self._pool = None if source.is_held else ThreadPoolExecutor(1, "read rows")
        self._ahead: Future[Rows] | None = None
        self._end = 0
        if source.is_held:
            self._end = source.height
            self._chunks.append((Span(0, self._end), source.rows(0, self._end)))

    def __enter__(self) -> RowReader:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._chunks.clear()
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)

    def go_to(self, index: int) -> None:
        """See that the rows of this row of tiles are there, and let go of those before.

        Raises:
            UserError: they cannot be read.
        """
        need = self._needs[index]
        while self._pool is not None and self._chunks and self._chunks[0][0].stop <= need.start:
            self._chunks.popleft()
        missing = self._missing(index)
        if len(missing):
            rows = self._source.rows(missing.start, missing.stop) if self._ahead is None else self._ahead.result()
            self._chunks.append((missing, rows))
            self._end, self._ahead = missing.stop, None
            if self._look is not None:
                self._look(rows)
        if self._pool is not None and self._ahead is None and index + 1 < len(self._needs) and len(following := self._missing(index + 1)):
            self._ahead = self._pool.submit(self._source.rows, following.start, following.stop)

    def _missing(self, index: int) -> Span:
        """The rows that this row of tiles needs and those before it do not."""
        need = self._needs[index]
        return Span(start := max(self._end, need.start), max(start, need.stop))

    def cut(self, row: Span, column: Span) -> Rows:
        """The part of the image where a tile lies, ``[h, w, C]``; its rows are there already."""
        rows, columns = _needed(row, self._source.height), _needed(column, self._source.width)
        parts = [
            chunk[max(0, rows.start - span.start) : rows.stop - span.start, columns.start : columns.stop]
            for span, chunk in self._chunks
            if span.start < rows.stop and rows.start < span.stop
        ]
        part = parts[0] if len(parts) == 1 else np.concatenate(parts)
        for dimension, (span, need, size) in enumerate(((row, rows, self._source.height), (column, columns, self._source.width))):
            if span.stop > size:
                places = reflected(span, size) - need.start
                part = part.index_select(dimension, places) if isinstance(part, torch.Tensor) else part.take(places.numpy(), dimension)
        return part


def _needed(span: Span, size: int) -> Span:
    """The stretch of an image of this size that fills one which may reach beyond its end."""
    if span.stop <= size:
        return span
    places = reflected(span, size)
    return Span(int(places.min()), int(places.max()) + 1)
