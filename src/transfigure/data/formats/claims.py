"""What an image's header claims, held against the bytes of its file and the memory there is, before anything is decoded.

Most formats can say a large flat picture in few bytes, so that a small file with a large claim is no proof of damage. Two have a floor:
Huffman-coded JPEG takes at least a bit for every block of 8 x 8 pixels, and a PNG's compression packs at most 1,032 bytes into one.
"""

from __future__ import annotations

import math
import os
import struct
from pathlib import Path
from typing import BinaryIO

from ... import memory
from ...errors import UserError

LARGE = 64 << 20
"""Bytes below which nobody asks how much memory there is."""
_DEFLATE = 1032
_HUFFMAN = (0xC0, 0xC1, 0xC2)
_PNG_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}


def check_bytes(path: Path, stream: BinaryIO, kind: str, width: int, height: int) -> None:
    """See that a file has the bytes that a picture of its size takes at the very least.

    Raises:
        UserError: it has not: it is cut off, or its header is damaged.
    """
    size = os.fstat(stream.fileno()).st_size
    find = {"JPEG": _least_jpeg, "PNG": _least_png}.get(kind)
    least = 0 if find is None else find(stream, width, height)
    if size < least:
        raise UserError(
            f"{path} is damaged or cut off: a {kind} of {width} x {height} pixels takes at least {least:,} bytes, and it has {size:,}; "
            "copy it again, or leave it out"
        )


def check_memory(path: Path, width: int, height: int, bytes_per_pixel: float) -> None:
    """See that a picture fits into memory.

    Raises:
        UserError: it does not; the message says how much it takes and how much there is.
    """
    wanted = width * height * bytes_per_pixel
    if wanted > LARGE and (free := memory.available()) is not None and wanted > free:
        raise UserError(
            f"{path} is {width} x {height} pixels, which take about {memory.words(wanted)} of memory to read, and {memory.words(free)} are "
            "free: cut it into parts, or close other programs"
        )


def _least_jpeg(stream: BinaryIO, width: int, height: int) -> int:
    return math.ceil(width / 8) * math.ceil(height / 8) // 8 if _frame(stream) in _HUFFMAN else 0


def _frame(stream: BinaryIO) -> int:
    """The marker of a JPEG's frame, which says how it is coded; 0 if there is none."""
    place = stream.tell()
    try:
        stream.seek(2)
        for _ in range(10_000):
            head = stream.read(4)
            if len(head) < 4 or head[0] != 0xFF or head[1] == 0xDA:
                return 0
            if 0xC0 <= head[1] <= 0xCF and head[1] not in (0xC4, 0xC8, 0xCC):
                marker: int = head[1]
                return marker
            stream.seek(max(2, struct.unpack(">H", head[2:])[0]) - 2, os.SEEK_CUR)
        return 0
    finally:
        stream.seek(place)


def _least_png(stream: BinaryIO, width: int, height: int) -> int:
    place = stream.tell()
    stream.seek(24)
    depth, colour = [*stream.read(2), 0, 0][:2]
    stream.seek(place)
    row: int = 1 + math.ceil(width * depth * _PNG_CHANNELS.get(colour, 1) / 8)
    return height * row // _DEFLATE
