"""What image files that are written row by row have in common: they grow in an open stream, and can be gone on with in another process."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

BLOCK = 1 << 18
"""Bytes of pixels that are compressed together, at least a row."""


@dataclass(frozen=True)
class ImageShape:
    """What an image file is going to hold."""

    height: int
    width: int
    channels: int
    dtype: str

    @property
    def row(self) -> int:
        """Bytes of a row."""
        return self.width * self.channels * np.dtype(self.dtype).itemsize


class RowFile(ABC):
    """An image file that is written from the top.

    Args:
        stream: open for reading and writing; from its beginning, or what another one has left in it.
        shape: of the image.
        begun: what :meth:`state` said of what is in the stream already; None: nothing is.
    """

    def __init__(self, stream: BinaryIO, shape: ImageShape, begun: Mapping[str, Any] | None = None) -> None:
        self.stream, self.shape = stream, shape
        self.rows = 0 if begun is None else int(begun["rows"])
        """How many are in the stream, from the top."""
        self._waiting: list[NDArray[Any]] = []
        if begun is not None:
            stream.truncate(int(begun["end"]))
        stream.seek(0, 2)

    @property
    def block(self) -> int:
        """Rows that go into the stream together."""
        return max(1, BLOCK // self.shape.row)

    def write(self, rows: NDArray[Any]) -> None:
        """The next rows, ``[n, W, C]``.

        Raises:
            ValueError: they are not of the image's width, channels and type, or too many.
            OSError: they cannot be written.
        """
        shape, waiting = self.shape, sum(map(len, self._waiting))
        if rows.shape[1:] != (shape.width, shape.channels) or rows.dtype.name != shape.dtype:
            raise ValueError(f"rows of {rows.shape[1:]} and {rows.dtype} in an image of {shape}")
        if self.rows + waiting + len(rows) > shape.height:
            raise ValueError(f"more rows than {shape.height}")
        self._waiting.append(rows)
        ready = waiting + len(rows)
        take = ready if self.rows + ready == shape.height else ready // self.block * self.block
        if not take:
            return
        together = self._waiting[0] if len(self._waiting) == 1 else np.concatenate(self._waiting)
        for at in range(0, take, self.block):
            part = together[at : min(take, at + self.block)]
            self.append(part)
            self.rows += len(part)
        self._waiting = [together[take:].copy()] if take < ready else []

    @abstractmethod
    def append(self, rows: NDArray[Any]) -> None:
        """Write :attr:`block` rows, or the last ones, at the end of the stream."""

    def state(self) -> dict[str, Any]:
        """What another process needs to go on after the :attr:`rows` that are in the stream: numbers, words and lists of them."""
        return {"rows": self.rows, "end": self.stream.seek(0, 2)}

    def finish(self) -> None:
        """All rows are in the stream: make it the whole file.

        Raises:
            ValueError: rows are missing.
            OSError: it cannot be written.
        """
        if self.rows != self.shape.height:
            raise ValueError(f"{self.rows} rows of {self.shape.height}")
        self.complete()

    @abstractmethod
    def complete(self) -> None:
        """Write what comes after the last row."""


class PlainRows(RowFile):
    """Rows as they are in memory: for arrays of NumPy behind their header, and for what is encoded at the end.

    Args:
        stream, shape, begun: as of :class:`RowFile`.
        head: what comes before them.
    """

    def __init__(self, stream: BinaryIO, shape: ImageShape, begun: Mapping[str, Any] | None = None, head: bytes = b"") -> None:
        super().__init__(stream, shape, begun)
        if begun is None:
            stream.write(head)

    def append(self, rows: NDArray[Any]) -> None:  # noqa: D102
        self.stream.write(np.ascontiguousarray(rows).data)

    def complete(self) -> None:  # noqa: D102
        pass
