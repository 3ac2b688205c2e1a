"""A PNG that is written row by row: blocks of rows, each compressed by itself, are the parts of one stream of deflate.

PNG (third edition), sections 9 (filtering) and 10 (compression). Only `images` calls this file.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from . import metadata
from .metadata import Metadata
from .row_file import ImageShape, RowFile

_COLOURS = {1: 0, 3: 2, 4: 6}
_PALETTE = 3
_LEVEL = 4
_ENDS = b"\x03\x00"
"""An empty last block of deflate."""


@dataclass(frozen=True)
class PngKind:
    """What a PNG says beside its pixels, and the name of the software that writes it, with a place for the digest."""

    about: Metadata
    software: str


class PngRows(RowFile):
    """A PNG file of 8 or 16 bits: grey, RGB, RGBA, or indices of a palette.

    Args:
        stream, shape, begun: as of :class:`.row_file.RowFile`.
        kind: what it says.
    """

    def __init__(self, stream: BinaryIO, shape: ImageShape, begun: Mapping[str, Any] | None, kind: PngKind) -> None:
        super().__init__(stream, shape, begun)
        self.kind = kind
        deep = shape.dtype == "uint16" and shape.channels > 1
        self._strategy = zlib.Z_DEFAULT_STRATEGY if deep else zlib.Z_RLE  # as for whole images: see images._SAVE
        self._sum, self._before = zlib.adler32(b""), np.zeros(shape.row, np.uint8)
        if begun is None:
            stream.write(self._head())
        else:
            self._sum, self._before = int(begun["sum"]), np.frombuffer(bytes.fromhex(begun["row"]), np.uint8)

    def _head(self) -> bytes:
        shape, about = self.shape, self.kind.about
        colour = _PALETTE if about.palette else _COLOURS[shape.channels]
        bits = 8 * np.dtype(shape.dtype).itemsize
        parts = [b"\x89PNG\r\n\x1a\n", _chunk(b"IHDR", struct.pack(">IIBBBBB", shape.width, shape.height, bits, colour, 0, 0, 0))]
        parts += [_chunk(name, data) for name, data in metadata.chunks_of(about, self.kind.software)]
        if about.palette:
            table = metadata.palette_table(about.palette)
            parts.append(_chunk(b"PLTE", table[:, :3].tobytes()))
            if opacities := metadata.opacities(table):
                parts.append(_chunk(b"tRNS", opacities))
        return b"".join([*parts, _chunk(b"IDAT", b"\x78\x01")])

    def append(self, rows: NDArray[Any]) -> None:  # noqa: D102
        lines = np.ascontiguousarray(rows, rows.dtype.newbyteorder(">")).reshape(len(rows), -1).view(np.uint8)
        if self.kind.about.palette:
            filtered = np.concatenate([np.zeros((len(lines), 1), np.uint8), lines], axis=1)
        else:
            filtered = _filtered(lines, self._before, self.shape.channels * rows.dtype.itemsize)
        self._before = lines[-1].copy()
        self._sum = zlib.adler32(filtered.data, self._sum)
        packer = zlib.compressobj(_LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS, 8, self._strategy)
        packed = packer.compress(filtered.data) + packer.flush(zlib.Z_FULL_FLUSH)
        self.stream.write(_chunk(b"IDAT", packed))

    def state(self) -> dict[str, Any]:  # noqa: D102
        return {**super().state(), "sum": self._sum, "row": self._before.tobytes().hex()}

    def complete(self) -> None:  # noqa: D102
        self.stream.write(_chunk(b"IDAT", _ENDS + struct.pack(">I", self._sum)) + _chunk(b"IEND", b""))
        metadata.seal(self.stream, self.kind.software)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _filtered(lines: NDArray[np.uint8], before: NDArray[np.uint8], step: int) -> NDArray[np.uint8]:
    """Rows behind the number of their filter: of none, left, above and Paeth's the one of the smallest sum, as the standard advises.

    Args:
        lines: ``[n, bytes]``.
        before: the row above the first.
        step: bytes of a pixel.
    """
    above = np.concatenate([before[None], lines[:-1]])
    left, corner = np.zeros_like(lines), np.zeros_like(lines)
    left[:, step:], corner[:, step:] = lines[:, :-step], above[:, :-step]
    a, b, c = (part.astype(np.int16) for part in (left, above, corner))
    to_a, to_b, to_c = np.abs(b - c), np.abs(a - c), np.abs(a + b - 2 * c)
    paeth = np.where((to_a <= to_b) & (to_a <= to_c), left, np.where(to_b <= to_c, above, corner))
    candidates = [lines, lines - left, lines - above, lines - paeth]
    costs = np.stack([np.abs(one.view(np.int8).astype(np.int16)).sum(axis=1, dtype=np.int64) for one in candidates])
    best = costs.argmin(axis=0)
    filtered = np.empty((len(lines), lines.shape[1] + 1), np.uint8)
    for number, (code, one) in enumerate(zip((0, 1, 2, 4), candidates)):
        chosen = best == number
        filtered[chosen, 0], filtered[chosen, 1:] = code, one[chosen]
    return filtered
