"""Images that are larger than the memory, piece by piece: what reads any rectangle of a file, and what takes finished rows.

Readers come from :func:`.images.open_windows`, which knows the formats that can do it; writers from :func:`.images.open_rows`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from .file_facts import FileFacts
from .pixels import Array


class WindowedImage(Protocol):
    """An image file that gives any rectangle of its pixels without holding the rest. Threads may read at the same time.

    Attributes:
        height: pixels, upright.
        width: likewise.
        channels: without transparency, unless that is kept.
        dtype: of its numbers, by NumPy's name.
        levels: height and width of every level of a pyramid, the full image first, as stored; an image alone is the only one.
        facts: what the file says of itself; the share of no-data values, which nobody has counted, is 0.
    """

    height: int
    width: int
    channels: int
    dtype: str
    levels: tuple[tuple[int, int], ...]
    facts: FileFacts

    def read(self, top: int, left: int, bottom: int, right: int) -> Array:
        """The pixels of a rectangle, ``[bottom - top, right - left, C]``, as :func:`.images.examine` gives them of the whole.

        Raises:
            UserError: they are damaged, partly transparent where that is refused, or not finite.
        """
        ...

    def close(self) -> None:
        """Let go of the file."""
        ...


class WindowedWriter(Protocol):
    """Takes the rows of an image from the top; the file appears whole or not at all."""

    def write_rows(self, rows: Array) -> None:
        """The next rows, ``[n, W, C]`` of the type of the file.

        Raises:
            UserError: the place cannot be written.
            RunFailure: the disk is full or failing.
        """
        ...

    def close(self) -> Path:
        """All rows have come: the file takes its name.

        Raises:
            ValueError: rows are missing.
            UserError, RunFailure: as :meth:`write_rows`.
        """
        ...

    def discard(self) -> None:
        """Leave nothing behind; after :meth:`close` nothing happens."""
        ...
