"""A TIFF that is written row by row: strips as they come, and at the end the directories that say where they are.

TIFF 6.0; BigTIFF as described by its authors, https://www.awaresystems.be/imaging/tiff/bigtiff.html. Only `images` calls this file.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO, Literal

import numpy as np
from numpy.typing import NDArray

from . import metadata
from .metadata import Metadata, Tag, Tags
from .row_file import ImageShape, RowFile
from .scientific import BIG

_SHORT, _LONG, _LONG8 = 3, 4, 16
_LEVEL = 6
_KINDS = {"u": 1, "i": 2, "f": 3}
"""SampleFormat by NumPy's letter."""

Planes = Literal["samples", "pages", "bands"]
"""Where the channels of an image are: side by side in each pixel, each in a page of its own, or as planes of one page."""


@dataclass(frozen=True)
class TiffKind:
    """What a TIFF is, beside its pixels.

    Attributes:
        planes: where its channels are.
        about: what it says.
        software: the name of the software that writes it, with a place for the digest.
    """

    planes: Planes
    about: Metadata
    software: str


class TiffRows(RowFile):
    """A TIFF file, compressed by deflate; of more than 4 GB of pixels a BigTIFF.

    Args:
        stream, shape, begun: as of :class:`.row_file.RowFile`.
        kind: what it is beside its pixels.
    """

    def __init__(self, stream: BinaryIO, shape: ImageShape, begun: Mapping[str, Any] | None, kind: TiffKind) -> None:
        super().__init__(stream, shape, begun)
        self.kind, self._big = kind, shape.row * shape.height > BIG
        self._count = 1 if kind.planes == "samples" else shape.channels
        self._strips: list[list[tuple[int, int]]] = [[] for _ in range(self._count)]
        if begun is None:
            stream.write(struct.pack("<2sHHHQ", b"II", 43, 8, 0, 0) if self._big else struct.pack("<2sHI", b"II", 42, 0))
        else:
            self._strips = [[(int(place), int(size)) for place, size in plane] for plane in begun["strips"]]

    @property
    def block(self) -> int:  # noqa: D102
        return min(super().block * self._count, self.shape.height)

    def append(self, rows: NDArray[Any]) -> None:  # noqa: D102
        little = np.dtype(rows.dtype).newbyteorder("<")
        for number, plane in enumerate([rows] if self._count == 1 else np.moveaxis(rows, 2, 0)):
            packed = zlib.compress(np.ascontiguousarray(plane, little).data, _LEVEL)
            self._strips[number].append((self.stream.tell(), len(packed)))
            self.stream.write(packed)

    def state(self) -> dict[str, Any]:  # noqa: D102
        return {**super().state(), "strips": self._strips}

    def complete(self) -> None:  # noqa: D102
        about = self.kind.about
        pages = [[plane] for plane in self._strips] if self.kind.planes == "pages" else [self._strips]
        link = 8 if self._big else 4  # where the place of the next directory stands
        for number, planes in enumerate(pages):
            tags = self._tags([strip for plane in planes for strip in plane])
            if number == 0:
                tags |= metadata.tags_of(about, self.kind.software)
                for code, inner in metadata.directories_of(about).items():
                    place = self._place()
                    self.stream.write(_directory(inner, place, self._big))
                    tags[code] = self._numbers([place])
            place = self._place()
            self.stream.write(_directory(tags, place, self._big))
            self.stream.seek(link)
            self.stream.write(struct.pack("<Q" if self._big else "<I", place))
            link = place + (8 + 20 * len(tags) if self._big else 2 + 12 * len(tags))
            self.stream.seek(0, 2)
        metadata.seal(self.stream, self.kind.software)

    def _place(self) -> int:
        """The end of the stream, made even."""
        if (place := self.stream.seek(0, 2)) % 2:
            self.stream.write(b"\0")
        return place + place % 2

    def _tags(self, strips: list[tuple[int, int]]) -> Tags:
        """Of a page with these strips."""
        shape, about = self.shape, self.kind.about
        channels = 1 if self.kind.planes == "pages" else shape.channels
        dtype = np.dtype(shape.dtype)
        rgb = self.kind.planes == "samples" and channels >= 3
        tags = {
            256: self._numbers([shape.width]),
            257: self._numbers([shape.height]),
            258: _shorts([8 * dtype.itemsize] * channels),
            259: _shorts([8]),
            262: _shorts([3 if about.palette else 2 if rgb else 1]),
            273: self._numbers([place for place, _ in strips]),
            277: _shorts([channels]),
            278: self._numbers([self.block]),
            279: self._numbers([size for _, size in strips]),
            284: _shorts([2 if self.kind.planes == "bands" and channels > 1 else 1]),
        }
        if rgb and channels == 4:
            tags[338] = _shorts([2])
        elif not rgb and channels > 1:
            tags[338] = _shorts([0] * (channels - 1))
        if dtype.kind != "u":
            tags[339] = _shorts([_KINDS[dtype.kind]] * channels)
        if about.palette:
            colours = np.zeros((3, 256), np.uint16)
            table = metadata.palette_table(about.palette)[:, :3]
            colours[:, : len(table)] = table.T.astype(np.uint16) * 257
            tags[320] = _shorts(colours.ravel().tolist())
        return tags

    def _numbers(self, values: list[int]) -> Tag:
        letter, kind = ("Q", _LONG8) if self._big else ("I", _LONG)
        return Tag(kind, len(values), struct.pack(f"<{len(values)}{letter}", *values))


def _shorts(values: list[int]) -> Tag:
    return Tag(_SHORT, len(values), struct.pack(f"<{len(values)}H", *values))


def _directory(tags: Tags, place: int, big: bool) -> bytes:
    """A directory of tags that begins at this place, and after it the values that do not fit into it; no other follows."""
    number, entry, inline, link = ("<Q", "<HHQ8s", 8, 8) if big else ("<H", "<HHI4s", 4, 4)
    end = place + struct.calcsize(number) + len(tags) * struct.calcsize(entry) + link
    lines, values = [], b""
    for code in sorted(tags):
        tag = tags[code]
        data = tag.data.ljust(inline, b"\0")
        if len(tag.data) > inline:
            data = struct.pack("<Q" if big else "<I", end + len(values))
            values += tag.data + b"\0" * (len(tag.data) % 2)
        lines.append(struct.pack(entry, code, tag.kind, tag.count, data))
    return struct.pack(number, len(tags)) + b"".join(lines) + bytes(link) + values
