"""The plain old formats of netpbm (PBM, PGM, PPM) in all their depths, and PFM, which holds floats.

Pillow reduces 16-bit colour to 8 bits here and knows no PFM of three channels, so they are read by their few rules:
https://netpbm.sourceforge.net/doc/ and https://www.pauldebevec.com/Research/HDR/PFM/. Only `images` calls this file.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from ...errors import UserError
from .scientific import Layout

_SPACE = rb"(?:\s|#[^\n\r]*[\n\r])+"
_INTEGERS = re.compile(rb"P([1-6])" + _SPACE + rb"(\d{1,9})" + _SPACE + rb"(\d{1,9})")
_MAXIMUM = re.compile(_SPACE + rb"(\d{1,5})")
_FLOATS = re.compile(rb"P([fF])\s+(\d{1,9})\s+(\d{1,9})\s+([-+]?\d[\d.eE+-]{0,30})")
_LONGEST_HEADER = 1 << 16


@dataclass(frozen=True)
class _Header:
    kind: str  # the second letter of the file
    width: int
    height: int
    channels: int
    most: int  # the value of white
    scale: float  # of a PFM: negative if its bytes are little-endian
    start: int  # of the pixels


def is_pnm(head: bytes) -> bool:
    """Whether these first bytes announce one."""
    return re.match(rb"P[1-6](\s+[\d#]|#)|P[fF]\s+\d", head) is not None


def pnm_layout(stream: BinaryIO) -> Layout:
    """What the file holds, from its header alone."""
    header = _header(stream)
    dtype = "float32" if header.scale else "uint8" if header.most < 256 else "uint16"
    return Layout(header.height, header.width, header.channels, dtype, transparent=False)


def read_pnm(stream: BinaryIO, path: object) -> NDArray[Any]:
    """The pixels ``[H, W, C]``: uint8, uint16 or float32; white, which the header defines, is the type's largest value."""
    header = _header(stream)
    count = header.width * header.height * header.channels
    stream.seek(header.start)
    if header.kind in "123":
        samples = _plain(stream.read(count * 8 + _LONGEST_HEADER), header.kind, count)
    else:
        dtype = np.dtype("<f4" if header.scale < 0 else ">f4") if header.scale else np.dtype(">u2" if header.most > 255 else "u1")
        row = -(-header.width // 8) if header.kind == "4" else header.width * header.channels * dtype.itemsize
        data = stream.read(row * header.height)
        if len(data) < row * header.height:
            raise ValueError("part of its pixels is missing")
        if is_pnm(stream.read(32).lstrip()):
            raise UserError(f"{path} holds several images one after the other: save each as a file of its own")
        samples = np.frombuffer(data, dtype)
        if header.kind == "4":
            samples = np.unpackbits(samples.reshape(header.height, row), axis=1)[:, : header.width]
    pixels = samples.reshape(header.height, header.width, header.channels)
    if header.scale:
        return np.ascontiguousarray(pixels[::-1]).astype(np.float32)  # the lowest row comes first
    if header.kind in "14":
        return (255 * (1 - pixels)).astype(np.uint8)  # 1 is black
    top, dtype = (255, np.dtype(np.uint8)) if header.most < 256 else (65535, np.dtype(np.uint16))
    if header.most == top:
        return pixels.astype(dtype)
    return ((pixels.clip(0, header.most).astype(np.uint64) * top + header.most // 2) // header.most).astype(dtype)


def _header(stream: BinaryIO) -> _Header:
    stream.seek(0)
    head = stream.read(_LONGEST_HEADER)
    if found := _FLOATS.match(head):
        scale = float(found[4])
        return _Header(found[1].decode(), int(found[2]), int(found[3]), 3 if found[1] == b"F" else 1, 0, scale or 1.0, found.end() + 1)
    found = _INTEGERS.match(head)
    if found is None:
        raise ValueError("its header is incomplete")
    kind, most, end = found[1].decode(), 1, found.end()
    if kind not in "14":
        maximum = _MAXIMUM.match(head, end)
        if maximum is None or not 0 < int(maximum[1]) < 65536:
            raise ValueError("its header names no value for white")
        most, end = int(maximum[1]), maximum.end()
    return _Header(kind, int(found[2]), int(found[3]), 3 if kind in "36" else 1, most, 0.0, end + 1)


def _plain(text: bytes, kind: str, count: int) -> NDArray[Any]:
    """The numbers of a file that is written in digits."""
    text = re.sub(rb"#[^\n\r]*", b"", text)
    digits = b"".join(text.split())
    samples = (
        np.frombuffer(digits, np.uint8)[:count] - ord("0")
        if kind == "1"
        else np.fromstring(text.decode("ascii"), np.int64, sep=" ")[:count]
    )
    if len(samples) < count or (kind == "1" and samples.max() > 1):
        raise ValueError("part of its pixels is missing")
    return samples
