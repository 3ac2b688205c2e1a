"""The files Pillow would flatten: 16-bit colour PNG (through pypng) and TIFF of many channels or deep colour (through tifffile).

Both packages come with the extra ``science``. Only `images` calls this file; arrays are ``[H, W, C]``.
"""

from __future__ import annotations

import importlib.util
import io
import logging
import math
import struct
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from ...errors import Missing, UserError
from ..value_range import NATURAL_RANGE, TYPES

_GREY_OR_COLOUR = (0, 1, 2)  # TIFF 6.0, PhotometricInterpretation: white is zero, black is zero, RGB
_WHITE_IS_ZERO = 0
_ASSOCIATED_ALPHA, _UNASSOCIATED_ALPHA = 1, 2  # TIFF 6.0, ExtraSamples
_ORIENTATION = 274
GDAL_NO_DATA = 42113
"""The tag in which GDAL, and what writes like it, says which value means that there is nothing."""


@dataclass(frozen=True)
class Layout:
    """How the image of a file is laid out, before any orientation is applied: what `read` would give.

    Attributes:
        height: pixels.
        width: pixels.
        channels: alpha included.
        dtype: of the array: one of :data:`.value_range.NATURAL_RANGE`.
        transparent: the last channel is alpha.
        orientation: the EXIF/TIFF code, 1 to 8.
        stored: the type of the numbers in the file.
        pages: how many pages became the channels.
        page_axis: what they are called, ``Z``, ``T`` or ``C``; empty if they have no name.
        no_data: the value that is declared to mean "nothing here"; None if none is.
    """

    height: int
    width: int
    channels: int
    dtype: str
    transparent: bool
    orientation: int = 1
    stored: str = ""
    pages: int = 1
    page_axis: str = ""
    no_data: float | None = None


# --- PNG with 16 bits per sample and 2 to 4 samples ---------------------------------------------------------------------


def is_deep_png(head: bytes) -> bool:
    """Whether these first bytes (26 or more) of a PNG announce 16-bit colour, or 16-bit grey with alpha."""
    return len(head) >= 26 and head[24] == 16 and head[25] in (2, 4, 6)


def read_png(stream: BinaryIO, path: Path) -> tuple[NDArray[np.uint16], bool]:
    """A 16-bit colour PNG: uint16 ``[H, W, C]`` and whether its last channel is alpha."""
    png = _pypng(f"reading {path}, a 16-bit colour PNG,")
    stream.seek(0)
    _refuse_bomb(png.Reader(file=stream), stream)
    stream.seek(0)
    width, height, rows, info = png.Reader(file=stream).read()
    pixels = np.array([np.frombuffer(row, np.uint16) for row in rows]).reshape(height, width, info["planes"])
    if (clear := info.get("transparent")) is not None:  # tRNS: one colour stands for "see through"
        alpha = np.where((pixels == np.array(clear, np.uint16)).all(axis=2, keepdims=True), 0, 65535).astype(np.uint16)
        return np.concatenate([pixels, alpha], axis=2), True
    return pixels, bool(info["alpha"])


def encode_png(pixels: NDArray[np.uint16], path: Path) -> bytes:
    """A 16-bit PNG of uint16 ``[H, W, 3 or 4]``."""
    png = _pypng(f"writing {path}, a 16-bit colour PNG,")
    height, width, channels = pixels.shape
    writer = png.Writer(width, height, greyscale=False, alpha=channels == 4, bitdepth=16, compression=4)
    stream = io.BytesIO()
    writer.write_packed(stream, (row.astype(">u2").tobytes() for row in pixels))
    return stream.getvalue()


def _refuse_bomb(reader: Any, stream: BinaryIO) -> None:
    """Unpack the pixel data once in small pieces, so that a few bytes which unpack to gigabytes are never held."""
    head = stream.read(26)
    stream.seek(0)
    width, height = struct.unpack(">II", head[16:24])
    most = height * width * 8 + 2 * height + 8  # at most 4 samples of 2 bytes, and a filter byte a row (interlaced: two)
    inflate, size = zlib.decompressobj(), 0
    for kind, data in reader.chunks():
        packed = data if kind == b"IDAT" else b""
        while packed:
            size += len(inflate.decompress(packed, 1 << 20))
            packed = inflate.unconsumed_tail
            if size > most:
                raise ValueError("it unpacks to more pixels than it announces")


def _pypng(purpose: str) -> Any:
    try:
        import png
    except ImportError as error:
        raise Missing.extra("pypng", "science", purpose) from error
    return png


# --- TIFF ---------------------------------------------------------------------------------------------------------------


def tiff_layout(stream: BinaryIO, path: Path) -> Layout:
    """What a TIFF holds, from its tags alone."""
    with _main_image(stream, path) as (series, _):
        return _layout(series, path)


def read_tiff(stream: BinaryIO, path: Path, check: Callable[[Layout], None]) -> tuple[NDArray[Any], Layout]:
    """A TIFF of any number of channels: its array, and its layout, which ``check`` sees before anything is decoded.

    Channels are the samples of a pixel, or the planes or pages of equal size: whatever is neither height nor width.
    Numbers stay what they are in the file, and true and false become 255 and 0.
    """
    with _main_image(stream, path) as (series, order):
        layout = _layout(series, path)
        check(layout)
        if len(series.keyframe.dataoffsets) < math.prod(series.keyframe.chunked):  # tifffile would fill the rest with black
            raise ValueError("part of its pixels is missing")
        shape = series.get_shape(squeeze=False)
        pixels = _decoded(series, path).reshape(shape).transpose(order).reshape(layout.height, layout.width, layout.channels)
        white_is_zero = series.keyframe.photometric == _WHITE_IS_ZERO
        associated = layout.transparent and series.keyframe.extrasamples[-1] == _ASSOCIATED_ALPHA
    pixels = plain_dtype(pixels)
    if white_is_zero and pixels.dtype.kind == "u":
        pixels = np.iinfo(pixels.dtype).max - pixels
    if associated:
        pixels = _unmultiplied(pixels)
    return pixels, layout


def _decoded(series: Any, path: Path) -> NDArray[Any]:
    """The values of a series, as stored.

    Raises:
        Missing: they are compressed in a way that needs another package.
    """
    try:
        pixels: NDArray[Any] = series.asarray(maxworkers=1)
    except (ValueError, ImportError) as error:
        asked = isinstance(error, ImportError) or "imagecodecs" in str(error)  # for zstd it asks for a module of Python 3.14
        if not asked or importlib.util.find_spec("imagecodecs") is not None:
            raise
        kind = getattr(series.keyframe.compression, "name", series.keyframe.compression)
        raise Missing.extra("imagecodecs", "science", f"reading {path}, a TIFF compressed as {kind},") from error
    return pixels


def encode_tiff(pixels: NDArray[Any], path: Path) -> bytes:
    """A TIFF that `read_tiff` gives back exactly: 16-bit RGB as such, everything else as one page per channel (axes CYX)."""
    tifffile = _tifffile(f"writing {path}, a TIFF of {pixels.shape[2]} channels of {pixels.dtype},")
    stream = io.BytesIO()
    if pixels.dtype == np.uint16 and pixels.shape[2] == 3:
        tifffile.imwrite(stream, pixels, photometric="rgb", compression="zlib", metadata={"axes": "YXS"})
    else:
        pages = np.ascontiguousarray(pixels.transpose(2, 0, 1))
        # With its labels on, tifffile would fold a stack of one-pixel-wide pages into a single page.
        labels = {"axes": "CYX"} if pages.shape[2] > 1 else None
        tifffile.imwrite(stream, pages, photometric="minisblack", compression="zlib", metadata=labels)
    return stream.getvalue()


@contextmanager
def _main_image(stream: BinaryIO, path: Path) -> Iterator[tuple[Any, list[int]]]:
    """The one image of a TIFF, previews aside, and the order that brings its axes to height, width, channels."""
    tifffile = _tifffile(f"reading {path}, a TIFF that is not plain 8-bit colour or 16-bit grey,")
    stream.seek(0)
    # A name without a folder and these flags off: the metadata of some microscopes' files make tifffile open their neighbours.
    closed = {"_multifile": False, "is_ome": False, "is_mmstack": False, "is_ndtiff": False}
    with tifffile.TiffFile(stream, name="image.tif", **closed) as tiff:
        images = [series for series in tiff.series if not series.keyframe.is_reduced]
        if not images or _more_pages(tiff):
            raise ValueError("some of its pages are missing")
        if len(images) > 1:
            sizes = ", ".join(f"{one.keyframe.imagewidth} x {one.keyframe.imagelength}" for one in images[:4])
            raise UserError(f"{path} holds {len(images)} images of different kinds ({sizes}): save each as a file of its own")
        yield images[0], _order(images[0])


def _more_pages(tiff: Any) -> bool:
    """Whether the last page found announces another: tifffile makes do with the pages before the damage."""
    file, form, last = tiff.filehandle, tiff.tiff, tiff.pages[-1]
    file.seek(last.offset)
    (tags,) = struct.unpack(form.tagnoformat, file.read(form.tagnosize))
    file.seek(tags * form.tagsize, io.SEEK_CUR)
    (following,) = struct.unpack(form.offsetformat, file.read(form.offsetsize))
    return bool(following)


def _order(series: Any) -> list[int]:
    axes, shape = series.get_axes(squeeze=False), series.get_shape(squeeze=False)
    if axes == "QYX" and shape[2] < min(shape[:2]):
        # A nameless [H, W, C] array saved by tifffile: it became H pages of W x C pixels. The smallest side is C.
        axes = "YXQ"
    image = [axes.index("Y"), axes.index("X")]
    return image + [i for i in range(len(axes)) if i not in image]


def _layout(series: Any, path: Path) -> Layout:
    page, shape = series.keyframe, series.get_shape(squeeze=False)
    if page.photometric not in _GREY_OR_COLOUR:
        kind = getattr(page.photometric, "name", page.photometric)
        raise UserError(f"{path} stores its colours as {kind}, which cannot be read at this depth: convert it to grey or RGB")
    height, width, *others = (shape[axis] for axis in _order(series))
    extra = tuple(page.extrasamples)
    samples_only = series.get_axes(squeeze=False)[-1] == "S" and len([n for n in others if n > 1]) == 1
    transparent = samples_only and others[-1] in (2, 4) and extra[-1:] in ((_ASSOCIATED_ALPHA,), (_UNASSOCIATED_ALPHA,))
    transparent &= series.dtype.kind != "i"
    tag = page.tags.get(_ORIENTATION)
    dtype = plain_type(series.dtype, path)
    channels = math.prod(others)
    axes = series.get_axes(squeeze=False)
    named = next((axis for axis in "ZTC" if axis in axes and shape[axes.index(axis)] > 1), "")
    rows = "Q" in axes and _order(series)[0] == axes.index("Q")  # then its pages are the rows of one picture
    pages = 1 if rows else channels // (shape[axes.index("S")] if "S" in axes else 1)
    no_data = page.tags.get(GDAL_NO_DATA)
    return Layout(
        height,
        width,
        channels,
        dtype,
        transparent,
        int(tag.value) if tag is not None else 1,
        series.dtype.name,
        pages,
        named,
        no_data_of(None if no_data is None else no_data.value),
    )


def no_data_of(text: object) -> float | None:
    """The number in the tag of no-data values, which holds it as text; None where it holds none."""
    try:
        return float(str(text).strip("\0 "))
    except ValueError:
        return None


def plain_type(dtype: np.dtype[Any], path: Path) -> str:
    """The type that an image has in memory, from that of the numbers in its file.

    Raises:
        UserError: no image has such numbers.
    """
    if dtype.kind == "b":
        return "uint8"
    if dtype.name not in NATURAL_RANGE:
        raise UserError(f"{path} holds {dtype.name} values: save it as {TYPES}")
    return dtype.name


def plain_dtype(pixels: NDArray[Any]) -> NDArray[Any]:
    """The same values in this machine's byte order; true and false as 255 and 0."""
    if pixels.dtype == bool:
        return pixels.astype(np.uint8) * np.uint8(255)
    return pixels.astype(pixels.dtype.newbyteorder("="))


def _unmultiplied(pixels: NDArray[Any]) -> NDArray[Any]:
    """Colours as they were before being multiplied by their alpha."""
    if pixels.dtype.kind == "f":
        of_float = np.divide(pixels[..., :-1], pixels[..., -1:], out=np.zeros_like(pixels[..., :-1]), where=pixels[..., -1:] > 0)
        return np.concatenate([of_float, pixels[..., -1:]], axis=2)
    top = np.iinfo(pixels.dtype).max
    colour, alpha = pixels[..., :-1].astype(np.uint64), pixels[..., -1:].astype(np.uint64)
    colour = ((colour * top + alpha // 2) // np.maximum(alpha, 1)).clip(0, top)
    return np.concatenate([colour, alpha], axis=2).astype(pixels.dtype)


def _tifffile(purpose: str) -> Any:
    try:
        import tifffile
    except ImportError as error:
        raise Missing.extra("tifffile", "science", purpose) from error
    logging.getLogger("tifffile").addHandler(logging.NullHandler())  # its asides on damaged files would come before our sentence
    return tifffile
