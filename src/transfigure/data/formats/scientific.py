"""The files Pillow would flatten: 16-bit colour PNG (through pypng) and TIFF of many channels or deep colour (through tifffile).

Both packages come with the extra ``science``. Only `images` calls this file; arrays are ``[H, W, C]``.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import logging
import math
import re
import struct
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from ...errors import Missing, UserError
from ..file_facts import AXES_IN_WORDS, FileFacts, PageUse, pages_in_words
from ..value_range import DEPTHS, NATURAL_RANGE, TYPES
from . import ome

_GREY_OR_COLOUR = (0, 1, 2)  # TIFF 6.0, PhotometricInterpretation: white is zero, black is zero, RGB
_PALETTE = 3
_WHITE_IS_ZERO, _YCBCR = 0, 6
_JPEGS = (6, 7)
_NAMED = frozenset("ZTCSRPAHEVLM")
"""Axes that a file names, of those that tifffile knows; ``Q`` and ``I`` are nameless."""
_BESIDE = frozenset({"thumbnail", "label", "macro", "map"})
"""Images that slide scanners put beside the one that is meant, by their names in tifffile."""
_GDAL_METADATA = 42112
BIG = (1 << 32) - (1 << 25)
"""Bytes of pixels from which a TIFF counts its places in 64 bits."""
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
        page_axis: what they are called, such as ``Z`` or ``TZ``; empty if they have no name.
        no_data: the value that is declared to mean "nothing here"; None if none is.
        names: of the channels, by the file; empty if it names none.
        axes: what its dimensions are, in its own order; empty if it does not say.
        bits: how many bits of each value mean something; 0 for all of them.
        lossy: the compression that has lost something, if one has.
        entries: of indices into a palette, all that this holds, see :attr:`.file_facts.FileFacts.entries`; the channels are then those of
            its colours.
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
    names: tuple[str, ...] = ()
    axes: str = ""
    bits: int = 0
    lossy: str = ""
    entries: bytes = b""

    def facts(self, kind: str) -> FileFacts:
        """What a file of this kind says of itself."""
        return FileFacts(
            kind,
            self.stored,
            self.orientation,
            no_data=self.no_data,
            pages=self.pages,
            page_axis=self.page_axis,
            lossy=self.lossy,
            channel_names=self.names,
            axes=self.axes,
            bits=self.bits,
        )


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


@dataclass(frozen=True)
class Pages:
    """What of a file with several pages is wanted, and what a message calls it.

    Attributes:
        use: ``ask`` refuses a file with pages whose meaning it does not say, ``channels`` makes them all channels; numbers choose some.
        flag: where the choice is made.
    """

    use: PageUse | tuple[int, ...] = "ask"
    flag: str = "--pages"

    def chosen(self, path: Path, count: int, axis: str) -> tuple[int, ...] | None:
        """The numbers of the pages that are wanted; None for all.

        Args:
            path: the file.
            count: how many it has.
            axis: what it says that they are; empty if it does not say it.

        Raises:
            UserError: they are not there, or nobody has said what they are.
        """
        if isinstance(self.use, tuple):
            if missing := [number for number in self.use if not 0 <= number < count]:
                has = f"{count} pages, numbered from 0" if count > 1 else "a single page, number 0"
                raise UserError(f"{path} has {has}: there is no page {missing[0]}")
            if not self.use:
                raise UserError(f"no page of {path} is asked for: name the numbers of those that are wanted, from 0")
            return self.use if count > 1 or len(self.use) > 1 else None
        if count == 1 or self.use == "channels":
            return None
        if self.use == "ask":
            unsaid = "" if axis else ", and does not say what they are"
            raise UserError(
                f"{path} holds {pages_in_words(count, axis)}{unsaid}: choose {self.flag} channels (the channels of one image), "
                "images (each an image of its own) or depth (the slices of one volume)"
            )
        raise UserError(f"{path} holds {pages_in_words(count, axis)}, which are not one image: name the page that is meant")


ASKED = Pages()
"""What is meant by pages has to be said."""


def tiff_pages(stream: BinaryIO, path: Path) -> int:
    """How many pages a TIFF has that are not channels."""
    with main_image(stream, path) as (_, series):
        return SeriesAxes.of(series).pages


def tiff_layout(stream: BinaryIO, path: Path, pages: Pages) -> Layout:
    """What a TIFF holds, from its tags alone."""
    with main_image(stream, path) as (tiff, series):
        axes = SeriesAxes.of(series)
        return layout_of(tiff, series, axes, pages.chosen(path, axes.pages, axes.page_axis), path)


def read_tiff(stream: BinaryIO, path: Path, check: Callable[[Layout], None], pages: Pages) -> tuple[NDArray[Any], Layout]:
    """A TIFF of any number of channels: its array, and its layout, which ``check`` sees before anything is decoded.

    Channels are what the file calls so, the samples of a pixel, and those of its pages that are wanted.
    Numbers stay what they are in the file (indices into a palette, too), and true and false become 255 and 0.
    """
    with main_image(stream, path) as (tiff, series):
        axes = SeriesAxes.of(series)
        chosen = pages.chosen(path, axes.pages, axes.page_axis)
        layout = layout_of(tiff, series, axes, chosen, path)
        check(layout)
        pixels = axes.image(_decoded(series, axes, chosen, path)).reshape(layout.height, layout.width, -1)
        page = series.keyframe
    return finished(pixels, page, layout), layout


def finished(pixels: NDArray[Any], page: Any, layout: Layout) -> NDArray[Any]:
    """What a page's values mean, of all of them or of some: black is zero, and colours are not multiplied by their alpha.

    Args:
        pixels: ``[H, W, C]``, as stored.
        page: the page that describes them, as tifffile gives it.
        layout: of the image.
    """
    bits = page.bitspersample
    pixels = plain_dtype(pixels)
    if page.photometric == _WHITE_IS_ZERO and pixels.dtype.kind == "u":
        top = (1 << bits) - 1 if isinstance(bits, int) and 1 < bits < 8 * pixels.itemsize else np.iinfo(pixels.dtype).max
        pixels = np.array(top, pixels.dtype) - pixels
    if layout.transparent and page.extrasamples[-1] == _ASSOCIATED_ALPHA:
        pixels = _unmultiplied(pixels)
    return pixels


@dataclass(frozen=True)
class SeriesAxes:
    """Which dimension of a series is what.

    Attributes:
        names: a letter for each, as tifffile gives them.
        shape: its size.
        paged: positions of those that are pages: neither of the plane nor channels.
        channels: positions of those that are channels.
        plane: positions of height and width.
        named: whether the file says what each is.
    """

    names: str
    shape: tuple[int, ...]
    paged: tuple[int, ...]
    channels: tuple[int, ...]
    plane: tuple[int, int]
    named: bool

    @classmethod
    def of(cls, series: Any) -> SeriesAxes:
        """Of a series of tifffile."""
        names, shape = series.get_axes(squeeze=False), tuple(series.get_shape(squeeze=False))
        channels = [at for at, name in enumerate(names) if name in "CS"]
        plane = names.index("Y"), names.index("X")
        if names == "QYX" and shape[2] < min(shape[:2]):
            # A nameless [H, W, C] array saved by tifffile: it became H pages of W x C pixels. The smallest side is C.
            names, plane = "YXQ", (0, 1)
        paged = [at for at in range(len(names)) if at not in plane and at not in channels]
        named = all(names[at] in _NAMED for at in paged if shape[at] > 1)
        return cls(names, shape, tuple(paged), tuple(channels), plane, named)

    @property
    def pages(self) -> int:
        """How many pages there are."""
        return math.prod(self.shape[at] for at in self.paged)

    @property
    def page_axis(self) -> str:
        """What the file says that they are, such as ``Z`` or ``TZ``; empty if it does not."""
        return "".join(self.names[at] for at in self.paged if self.shape[at] > 1) if self.named else ""

    @property
    def words(self) -> str:
        """All dimensions of more than one value, in the file's order; empty if it does not say what they are."""
        return "".join(name for name, size in zip(self.names, self.shape) if size > 1 or name in "YX") if self.named else ""

    def image(self, planes: NDArray[Any]) -> NDArray[Any]:
        """``[H, W, ...]`` of the whole array, or of its pages one behind the other in front of the other dimensions."""
        if planes.ndim == len(self.names):
            return planes.transpose(*self.plane, *(at for at in range(planes.ndim) if at not in self.plane))
        left = [at for at in range(len(self.names)) if at not in self.paged]
        place = {at: 1 + number for number, at in enumerate(left)}
        return planes.transpose(*(place[at] for at in self.plane), 0, *(place[at] for at in left if at not in self.plane))


def _decoded(series: Any, axes: SeriesAxes, chosen: tuple[int, ...] | None, path: Path) -> NDArray[Any]:
    """The values of a series, as stored: all of them, or the pages that are chosen, ``[pages, ...]``.

    Raises:
        Missing: they are compressed in a way that needs another package.
        ValueError: part of them is missing.
    """
    try:
        if chosen is None:
            _check_pages(series, series.pages)
            pixels: NDArray[Any] = series.asarray(maxworkers=1)
            return pixels.reshape(axes.shape)
        return _some_pages(series, axes, chosen)
    except (ValueError, ImportError) as error:
        asked = isinstance(error, ImportError) or "imagecodecs" in str(error)  # for zstd it asks for a module of Python 3.14
        if not asked or importlib.util.find_spec("imagecodecs") is not None:
            raise
        kind = getattr(series.keyframe.compression, "name", series.keyframe.compression)
        raise Missing.extra("imagecodecs", "science", f"reading {path}, a TIFF compressed as {kind},") from error


def _check_pages(series: Any, pages: Iterable[Any]) -> None:
    """See that all is there: tifffile would fill the rest with black."""
    segments = math.prod(series.keyframe.chunked)
    for page in pages:
        if page is None:
            raise ValueError("some of its pages are missing")
        if len(page.dataoffsets) < segments:
            raise ValueError("part of its pixels is missing")


def _some_pages(series: Any, axes: SeriesAxes, chosen: Sequence[int]) -> NDArray[Any]:
    """Some pages of a series, ``[pages, *(the other dimensions)]``: nothing else of it is read where each is stored by itself."""
    shape, paged = axes.shape, axes.paged
    others = [shape[at] for at in range(len(shape)) if at not in paged]
    stored = _leading(series, axes)
    if stored is None:  # pages and pixels are mixed in the file
        _check_pages(series, series.pages)
        whole: NDArray[Any] = np.moveaxis(series.asarray(maxworkers=1).reshape(shape), paged, range(len(paged))).reshape(-1, *others)
        some: NDArray[Any] = whole[[*chosen]]
        return some
    count = math.prod(shape[:stored])
    numbers = np.moveaxis(np.arange(count).reshape(shape[:stored]), paged, range(len(paged))).reshape(axes.pages, -1)[[*chosen]]
    planes = np.stack([_plane(series, int(number), count) for number in numbers.ravel()])
    return planes.reshape(len(chosen), *others)


def _leading(series: Any, axes: SeriesAxes) -> int | None:
    """How many of the first dimensions count what is stored one behind the other, each by itself, if all pages are among them."""
    contiguous = series.dataoffset is not None
    for many in range(max(axes.paged, default=-1) + 1, min(axes.plane) + 1):
        count = math.prod(axes.shape[:many])
        if contiguous or (count == len(series.pages) and series.keyframe.size * count == math.prod(axes.shape)):
            return many
    return None


def _plane(series: Any, number: int, count: int) -> NDArray[Any]:
    """One of so many equal parts of a series."""
    if series.dataoffset is None:
        page = series.pages[number]
        _check_pages(series, [page])
        decoded: NDArray[Any] = page.asarray(maxworkers=1)
        return decoded.ravel()
    size, file = series.size // count, series.keyframe.parent.filehandle
    start = series.dataoffset + number * size * series.dtype.itemsize
    values: NDArray[Any] = file.read_array(series.keyframe.parent.byteorder + series.dtype.char, size, start)
    return values


def encode_tiff(
    images: Sequence[NDArray[Any]],
    path: Path,
    by_channel: bool,
    description: bytes = b"",
    bands: bool = False,
    palette: NDArray[np.uint8] | None = None,
) -> bytes:
    """A TIFF that :func:`read_tiff` gives back exactly, compressed without loss.

    Args:
        images: ``[H, W, C]`` each; several are the slices of one volume.
        path: where it is going to be.
        by_channel: a page for each channel; else the image is grey or RGB. Nothing is left for tifffile to guess, which takes three or four
            layers for colours, and the last of several short sides for samples.
        description: of a file of more than 4 GB, whose tags cannot be changed any more.
        bands: the channels of one image are planes of one page, as programs of the ground want them: to GDAL pages are other images.
        palette: ``[N, 3]``, the colours of images that hold 8-bit indices.
    """
    channels = images[0].shape[2]
    tifffile = _tifffile(f"writing {path}, a TIFF of {channels} channels of {images[0].dtype},")
    stream = io.BytesIO()
    flat = by_channel or channels == 1
    pages = [pixels[..., channel] for pixels in images for channel in range(channels)] if flat else [*images]
    colour, planar = "minisblack" if flat else "rgb", None
    if bands:
        pages, planar = [images[0].transpose(2, 0, 1)], "separate"
    table = {}
    if palette is not None:
        colour, table = "palette", {"colormap": np.zeros((3, 256), np.uint16)}
        table["colormap"][:, : len(palette)] = palette.T.astype(np.uint16) * 257
    big = sum(pixels.nbytes for pixels in images) > BIG
    with tifffile.TiffWriter(stream, bigtiff=big) as tiff:
        for number, page in enumerate(pages):
            text = description if big and number == 0 else None
            options = {"compression": "zlib", "metadata": None, "contiguous": False, "description": text or None}
            tiff.write(np.ascontiguousarray(page), photometric=colour, planarconfig=planar, **options, **table)
    return stream.getvalue()


@contextmanager
def main_image(stream: BinaryIO, path: Path) -> Iterator[tuple[Any, Any]]:
    """A TIFF, and the one image in it, previews aside."""
    tifffile = _tifffile(f"reading {path}, a TIFF that is not plain 8-bit colour or 16-bit grey,")
    with contextlib.ExitStack() as opened:

        def opening(**flags: Any) -> Any:
            # A name without a folder and these flags off: the metadata of some microscopes' files make tifffile open their neighbours.
            stream.seek(0)
            closed = {"_multifile": False, "is_mmstack": False, "is_ndtiff": False}
            return opened.enter_context(tifffile.TiffFile(stream, name="image.tif", **closed, **flags))

        tiff = opening(is_ome=False)
        if not len(tiff.pages) or _more_pages(tiff):
            raise ValueError("some of its pages are missing")
        text = tiff.pages[0].description
        if ome.is_ome(text) and ome.is_about(text, len(tiff.pages)):
            tiff = opening()
        images = [one for one in tiff.series if not one.keyframe.is_reduced and one.name.lower() not in _BESIDE]
        if not images:
            raise ValueError("it holds no image, or only a reduced copy of one")
        if len(images) > 1:
            kinds = "; ".join(map(_in_words, images[:4])) + ("; ..." if len(images) > 4 else "")
            raise UserError(f"{path} holds {len(images)} images of different kinds ({kinds}): save each as a file of its own")
        _check_size(images[0])
        yield tiff, images[0]


def _check_size(series: Any) -> None:
    """See that a series has the pixels that its description speaks of."""
    wanted = math.prod(series.get_shape(squeeze=False))
    there = len(series.pages) * series.keyframe.size
    if wanted > there and series.dataoffset is not None:  # pages one behind the other, of which the first alone has tags
        there = (series.keyframe.parent.filehandle.size - series.dataoffset) // series.dtype.itemsize
    if wanted > there:
        raise ValueError("part of its pixels is missing")


def _in_words(series: Any) -> str:
    """``512 x 384, 16-bit, 3 channels``: the size and kind of one of several images in a file."""
    axes, shape = series.get_axes(squeeze=False), series.get_shape(squeeze=False)
    sizes = dict(zip(axes, shape))
    parts = [f"{sizes.pop('X')} x {sizes.pop('Y')}", DEPTHS.get(series.dtype.name, series.dtype.name)]
    parts += [f"{size} {AXES_IN_WORDS.get(axis, 'pages')}" for axis, size in sizes.items() if size > 1]
    return (f"{series.name}: " if series.name and not re.fullmatch(r"(Image|Series)? ?\d*", series.name) else "") + ", ".join(parts)


def _more_pages(tiff: Any) -> bool:
    """Whether the last page found announces another: tifffile makes do with the pages before the damage."""
    file, form, last = tiff.filehandle, tiff.tiff, tiff.pages[-1]
    file.seek(last.offset)
    (tags,) = struct.unpack(form.tagnoformat, file.read(form.tagnosize))
    file.seek(tags * form.tagsize, io.SEEK_CUR)
    (following,) = struct.unpack(form.offsetformat, file.read(form.offsetsize))
    return bool(following)


def layout_of(tiff: Any, series: Any, axes: SeriesAxes, chosen: tuple[int, ...] | None, path: Path) -> Layout:
    """What a series holds.

    Args:
        tiff: the file, as tifffile gives it.
        series: its main image.
        axes: of that.
        chosen: the pages that are wanted; None for all.
        path: the file's name.

    Raises:
        UserError: its colours or its numbers are of a kind that is not read.
    """
    page, shape = series.keyframe, axes.shape
    as_rgb = page.photometric == _YCBCR and page.compression in _JPEGS  # which its decoder turns into RGB
    entries = _entries_of(series) if page.photometric == _PALETTE and series.dtype == np.uint8 else b""
    if page.photometric not in _GREY_OR_COLOUR and not as_rgb and not entries:
        kind = getattr(page.photometric, "name", page.photometric)
        raise UserError(f"{path} stores its colours as {kind}, which cannot be read at this depth: convert it to grey or RGB")
    height, width = (shape[at] for at in axes.plane)
    pages = axes.pages if chosen is None else len(chosen)
    each = math.prod(shape[at] for at in axes.channels)
    extra = tuple(page.extrasamples)
    samples_only = axes.names[-1] == "S" and pages * each == shape[-1] and shape[-1] in (2, 4)
    transparent = samples_only and extra[-1:] in ((_ASSOCIATED_ALPHA,), (_UNASSOCIATED_ALPHA,)) and series.dtype.kind != "i"
    tag = page.tags.get(_ORIENTATION)
    dtype = plain_type(series.dtype, path)
    no_data = page.tags.get(GDAL_NO_DATA)
    bits = page.bitspersample
    return Layout(
        height,
        width,
        3 if entries and pages * each == 1 else pages * each,
        dtype,
        transparent,
        int(tag.value) if tag is not None else 1,
        series.dtype.name,
        pages,
        axes.page_axis,
        no_data_of(None if no_data is None else no_data.value),
        _names_of(tiff, axes, each) if pages == 1 else (),
        axes.words,
        bits if isinstance(bits, int) and 1 < bits < 8 * series.dtype.itemsize and series.dtype.kind == "u" else 0,
        "JPEG" if page.compression in _JPEGS else "",
        entries,
    )


def _entries_of(series: Any) -> bytes:
    """The palette of a series, see :attr:`.file_facts.FileFacts.entries`; empty if it has none.

    Raises:
        ValueError: its pages have several.
    """
    found = series.keyframe.colormap
    if found is None or found.ndim != 2 or found.shape[0] != 3:
        return b""
    for page in series.pages:
        other = getattr(page, "colormap", found)
        if other is not None and not np.array_equal(other, found):
            raise ValueError("its pages have several palettes")
    table = np.full((found.shape[1], 4), 255, np.uint8)
    table[:, :3] = (found >> 8).astype(np.uint8).T
    return table.tobytes()


def _names_of(tiff: Any, axes: SeriesAxes, channels: int) -> tuple[str, ...]:
    """What a file calls its channels; empty if it names none, or not each."""
    named = [at for at in axes.channels if axes.shape[at] > 1]
    first = tiff.pages[0]
    names: tuple[str, ...] = ()
    if tiff.is_imagej:
        labels = (tiff.imagej_metadata or {}).get("Labels")
        names = ome.imagej_names(labels, math.prod(axes.shape[at] for at in (*axes.paged, *axes.channels)), channels)
        names = names if channels > 1 and axes.names.endswith("CYXS") else ()
    elif (metadata := first.tags.get(_GDAL_METADATA)) is not None:
        names = ome.gdal_names(str(metadata.value), channels)
    if not names and (len(named) <= 1 or axes.names[named[0]] == "C"):
        names = ome.of_description(first.description).names
    return names if len(names) == channels else ()


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
