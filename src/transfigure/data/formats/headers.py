"""The headers of common PNG and JPEG files, read in a few microseconds: there may be 200,000 of them before a training begins.

Whatever is not plain (a profile, a colour that stands for transparent, an animation, damage) is left to the readers of whole images.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass

_FIRST = 2048
_LONGEST = 1 << 20
"""Bytes within which the image itself begins; a file with more before it is not plain."""
_PLAIN_CHUNKS = frozenset({b"gAMA", b"pHYs", b"sRGB", b"cHRM", b"sBIT", b"bKGD", b"tIME", b"tEXt", b"PLTE"})
_PNG = {(0, 1), (0, 2), (0, 4), (0, 8), (0, 16), (2, 8), (3, 1), (3, 2), (3, 4), (3, 8), (4, 8), (6, 8)}
"""Colour types with their bits that Pillow shows whole."""
_ORIENTATION, _SHORT = 274, 3


@dataclass(frozen=True)
class Header:
    """What a file says about its image, as ``images.read`` would give it.

    Attributes:
        width: pixels.
        height: pixels.
        channels: without alpha.
        dtype: of its numbers, such as ``uint8``.
        format: ``PNG``, ``JPEG``, ``WEBP``, ``TIFF``, ``BMP``, ``GIF`` or ``PNM``.
        transparent: the file also has an alpha channel (or a colour that stands for transparent).
    """

    width: int
    height: int
    channels: int
    dtype: str
    format: str
    transparent: bool = False


def plain_header(path: str | os.PathLike[str]) -> tuple[Header, int] | None:
    """The header of a plain PNG or JPEG file, as stored, and its orientation tag; None for others and for what cannot be opened."""
    try:
        # A pipe of this name would keep a process that opens it waiting for ever.
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
        try:
            head = os.read(descriptor, _FIRST)

            def at(start: int, count: int) -> bytes:
                if start + count <= len(head):
                    return head[start : start + count]
                os.lseek(descriptor, start, os.SEEK_SET)
                return os.read(descriptor, count)

            if head.startswith(b"\x89PNG\r\n\x1a\n"):
                return _png(at)
            return _jpeg(at) if head.startswith(b"\xff\xd8\xff") else None
        finally:
            os.close(descriptor)
    except (OSError, ValueError, struct.error):
        return None


def _png(at: Callable[[int, int], bytes]) -> tuple[Header, int] | None:
    head = at(8, 25)
    if len(head) < 25 or head[:8] != b"\0\0\0\rIHDR" or zlib.crc32(head[4:21]) != int.from_bytes(head[21:]):
        return None
    width, height, bits, colour, compression, rule, interlace = struct.unpack(">IIBBBBB", head[8:21])
    if not width or not height or (colour, bits) not in _PNG or compression or rule or interlace > 1:
        return None
    place = 33
    while place < _LONGEST:
        size, name = struct.unpack(">I4s", at(place, 8))
        if name == b"IDAT":
            channels, dtype = 1 if colour in (0, 4) else 3, "uint16" if bits == 16 else "uint8"
            return Header(width, height, channels, dtype, "PNG", colour > 3), 1
        if name not in _PLAIN_CHUNKS or size > _LONGEST:
            return None
        body = at(place + 4, size + 8)
        if len(body) < size + 8 or zlib.crc32(body[:-4]) != int.from_bytes(body[-4:]):
            return None
        place += size + 12
    return None


def _jpeg(at: Callable[[int, int], bytes]) -> tuple[Header, int] | None:
    place, orientation, frame = 2, 1, None
    while place < _LONGEST:
        start = at(place, 4)
        if len(start) < 4 or start[0] != 0xFF:
            return None
        marker, size = start[1], int.from_bytes(start[2:])
        if marker == 0xDA:
            return None if frame is None else (Header(*frame, "uint8", "JPEG"), orientation)
        if marker in (0xC0, 0xC1, 0xC2) and frame is None:
            bits, height, width, layers = struct.unpack(">BHHB", at(place + 4, 6))
            if bits != 8 or layers not in (1, 3, 4) or not width or not height or size != 8 + 3 * layers:
                return None
            frame = width, height, 1 if layers == 1 else 3
        elif marker == 0xE1:
            if (found := _orientation(at(place + 4, size - 2))) is None:
                return None
            orientation = found
        elif marker not in (0xC4, 0xDB, 0xDD, 0xFE, 0xE0, 0xE2, 0xEE) or size < 2:
            return None
        place += size + 2
    return None


def _orientation(block: bytes) -> int | None:
    """The orientation that an EXIF block says; None where it is not plain."""
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(block[6:10])
    if block[:6] != b"Exif\0\0" or order is None:
        return None
    block = block[6:]
    (start,) = struct.unpack(f"{order}I", block[4:8])
    (count,) = struct.unpack(f"{order}H", block[start : start + 2])
    for entry in range(start + 2, start + 2 + 12 * count, 12):
        tag, kind, many = struct.unpack(f"{order}HHI", block[entry : entry + 8])
        if tag == _ORIENTATION:
            if kind != _SHORT or many != 1:
                return None
            found: int = struct.unpack(f"{order}H", block[entry + 8 : entry + 10])[0]
            return found
    return None  # the tag may stand elsewhere, as in XMP
