"""The only place that opens or writes an image file.

An image in memory is a numpy array ``[H, W, C]`` with C >= 1 in the numbers of its file: integers or floats. A file is
what its first bytes say, never what its suffix says (but for camera raw files, which are refused), and it is data: a size limit
holds before anything is decoded, and whatever a decoder makes of damaged bytes ends as one sentence. Colour profiles are not applied.

`pixels` turns arrays into tensors and back; its functions can be had from here too.
"""

from __future__ import annotations

import contextlib
import io
import logging
import math
import os
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO, Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import BmpImagePlugin, GifImagePlugin, Image, JpegImagePlugin, PngImagePlugin, TiffImagePlugin, WebPImagePlugin
from PIL.ImageFile import ImageFile

from .._version import __version__
from ..errors import Missing, TransfigureError, UserError
from ..progress import without_warnings
from ..stored import brief
from .channels import are_primaries
from .file_facts import FileFacts, NoData, Orientation, PageUse, no_data_in
from .files import write_atomically
from .formats import metadata, npy, pnm, scientific, slides, windowed_tiff
from .formats.claims import check_bytes, check_memory
from .formats.headers import Header, plain_header
from .formats.metadata import Metadata
from .formats.ome import ONE, Slices, names_other_axes, of_description
from .formats.ome import TYPES as TYPES_OF_OME
from .formats.png_rows import PngKind, PngRows
from .formats.pyramids import PyramidRows, Reduction
from .formats.row_file import ImageShape, PlainRows, RowFile
from .formats.scientific import ASKED, Pages
from .formats.tiff_rows import Planes, TiffKind, TiffRows
from .pixels import Array, convert_channels, resize, to_array, to_tensor, upright
from .row_writer import RowWriter
from .value_range import NATURAL_RANGE, TYPES
from .windows import WindowedImage

__all__ = ["Alpha", "Array", "Header", "check_format", "convert_channels", "examine", "from_pillow", "levels_of", "metadata_of",
           "open_windows", "pages_of", "read", "resize", "size_of", "software", "split_halves", "to_array", "to_tensor",
           "write", "write_pages"]  # fmt: skip

logging.getLogger("PIL").addHandler(logging.NullHandler())  # what Pillow cannot decode is read in another way, or said in our sentence

Alpha = Literal["refuse", "white", "black", "drop", "keep"]
PaletteUse = Literal["colours", "index"]

SOFTWARE = f"transfigure {__version__}"
"""What our files say of the software that wrote them."""

MAX_PIXELS = 178_956_970
"""The largest image that is decoded, in pixels (of up to four channels); ``TRANSFIGURE_MAX_PIXELS`` overrides it."""

# The plugins are called by name: Image.open would try its whole registry of formats and apply limits that belong to the process.
_PLUGINS: dict[str, type[ImageFile]] = {
    "PNG": PngImagePlugin.PngImageFile,
    "JPEG": JpegImagePlugin.JpegImageFile,
    "WEBP": WebPImagePlugin.WebPImageFile,
    "TIFF": TiffImagePlugin.TiffImageFile,
    "BMP": BmpImagePlugin.BmpImageFile,
    "GIF": GifImagePlugin.GifImageFile,
}
_FORMATS = {
    ".png": "PNG",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".jfif": "JPEG",
    ".jpe": "JPEG",
    ".webp": "WEBP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".bmp": "BMP",
    ".npy": "NPY",
    ".npz": "NPZ",
}
_SIGNATURES = {
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"\xff\xd8\xff": "JPEG",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"II+\0": "TIFF",
    b"MM\0+": "TIFF",
    b"BM": "BMP",
    b"GIF87a": "GIF",
    b"GIF89a": "GIF",
    npy.MAGIC: "NPY",
}
_FOREIGN = {
    b"\0\0\0\x0cjP  \r\n": "JPEG 2000",
    b"\xff\x4f\xff\x51": "JPEG 2000",
    b"\0\0\0\x0cJXL \r\n": "JPEG XL",
    b"\xff\x0a": "JPEG XL",
    b"8BPS": "Photoshop",
    b"v/1\x01": "OpenEXR",
    b"P7\n": "PAM",
    b"%PDF": "PDF",
    b"<svg": "SVG",
    b"<?xml": "XML",
    b"<!DOCTYPE": "HTML",
    npy.ZIP: "ZIP",
}
_BRANDS = {b"avif": "AVIF", b"avis": "AVIF", b"heic": "HEIC", b"heix": "HEIC", b"hevc": "HEIC", b"mif1": "HEIC", b"msf1": "HEIC"}
"""Of the files that begin with a box called ftyp."""
_FOREIGN_IMAGES = frozenset({"JPEG 2000", "JPEG XL", "Photoshop", "OpenEXR", "PAM", "AVIF", "HEIC"})

_CAMERA_RAW = frozenset(
    {
        *(".3fr", ".arw", ".cr2", ".cr3", ".crw", ".dcr", ".dng", ".erf", ".iiq", ".kdc", ".mef", ".mos", ".mrw"),
        *(".nef", ".nrw", ".orf", ".pef", ".raf", ".rw2", ".rwl", ".sr2", ".srf", ".srw", ".x3f"),
    }
)
"""Most are TIFF by their first bytes, of which only the small preview inside would be read: here alone the suffix decides."""

_ANIMATED = {"GIF": "GIF", "PNG": "PNG", "WEBP": "WebP"}
"""Formats that may hold several frames, of which none is the picture."""

FORMATS = "PNG, JPEG, WebP, TIFF, BMP, GIF, PNM, NPY or NPZ file"
_NOT_PILLOW = ("PNM", "NPY", "NPZ")

_ANY = range(1, 1 << 16)
_HOLDS: dict[str, dict[str, range | tuple[int, ...]]] = {
    "PNG": {"uint8": (1, 3, 4), "uint16": (1, 3, 4)},
    "JPEG": {"uint8": (1, 3)},
    "WEBP": {"uint8": (1, 3, 4)},
    "BMP": {"uint8": (1, 3)},
    **dict.fromkeys(("TIFF", "NPY", "NPZ"), dict.fromkeys(NATURAL_RANGE, _ANY)),
}
# Runs only, and no search for repetitions: of photos, which hold none, the files are as small, and written in a third to a seventh of the
# time (Pillow 13 at 256 x 256: 13 ms become 2); flat label maps take a third more, of two kilobytes.
_SAVE: dict[str, dict[str, Any]] = {
    "PNG": {"compress_level": 4, "compress_type": zlib.Z_RLE},
    "JPEG": {"quality": 95, "subsampling": 0},
    "WEBP": {"lossless": True, "exact": True},
    "TIFF": {"compression": "tiff_adobe_deflate"},
    "BMP": {},
}
OF_PAGES = ("TIFF", "NPY", "NPZ")
"""Formats that hold several pages."""
_PILLOW_TIFF = ("uint8", "uint16", "float32")
"""Types of which Pillow writes grey TIFF."""
_HEAD = 512
"""Bytes that tell what a file is."""
_WEBP_CHUNKS = 16
"""The picture is one of the first, after its colour profile."""
WITH_PALETTE = ("PNG", "TIFF", "BMP")
"""Formats that can hold indices into a palette."""
_ON_ITS_SIDE = (5, 6, 7, 8)
"""Orientation tags that exchange rows and columns."""
_MOST_LEVELS = 32
_ORIENTATION, _BITS, _PHOTOMETRIC, _EXTRA_SAMPLES, _SAMPLE_FORMAT = 274, 258, 262, 338, 339
_COMPRESSION, _SUBFILE, _SUB_IMAGES, _DESCRIPTION = 259, 254, 330, 270
_BY_PILLOW = (1, 2, 3, 4, 5, 6, 7, 8, 32773, 32946)
"""Compressions of TIFF that Pillow decodes wherever it is installed: none, of facsimiles, LZW, JPEG, deflate and PackBits."""

_SIGNED = 2
_LARGE = 1 << 22
"""Pixels that are copied together."""


def read(path: str | Path, alpha: Alpha = "refuse", orientation: Orientation = "apply", pages: PageUse | tuple[int, ...] = "ask") -> Array:
    """Decode an image file.

    Palettes and CMYK become RGB, 1-bit images 8-bit grey; other numbers stay what they are in the file, those of 2 and 4 bits too. The
    channels of a TIFF are its samples or planes, what it names channels, and pages as ``pages`` says. An array of NumPy is ``[H, W]`` or
    ``[H, W, C]``, the last dimension the smallest; else its first is taken for pages.

    Args:
        path: a PNG, JPEG, WebP, TIFF, BMP, GIF (each of one frame), PNM (PBM, PGM, PPM, PFM), NPY or NPZ (of one array) file, whatever its
            suffix.
        alpha: what to do with transparency: ``refuse`` files that have any (alpha that is opaque everywhere is dropped),
            lay the image on ``white`` or ``black``, ``drop`` the alpha channel, or ``keep`` it as the last of 4 channels.
        orientation: ``apply`` the file's orientation tag (EXIF 2.3, tag 0x0112), or ``ignore`` it and give the pixels as they are stored.
        pages: what pages are which the file does not call channels (z-slices, time points, pages without a name): ``ask`` refuses a file
            that has several, ``channels`` makes all of them channels, and numbers (from 0) read those pages alone, as channels in this
            order. ``images`` and ``depth`` are for who asks for pages one by one (:func:`pages_of`), and refuse several.

    Returns:
        ``[H, W, C]`` of one of the types of :data:`.value_range.NATURAL_RANGE`.

    Raises:
        UserError: not there, not an image, damaged, too large, transparent, of several pages, or not finite.
        Missing: the extra ``science`` is needed for this file.
    """
    # which of the values are none, the caller would not know
    return examine(path, alpha, orientation, pages=pages, no_data="none")[0]


def examine(
    path: str | Path,
    alpha: Alpha = "refuse",
    orientation: Orientation = "apply",
    flag: str = "--alpha",
    palette: PaletteUse = "colours",
    pages: PageUse | tuple[int, ...] = "ask",
    no_data: NoData = "tag",
    max_pixels: int | None = None,
) -> tuple[Array, FileFacts]:
    """As :func:`read`, and what the file says of itself beside the pixels.

    Args:
        path, alpha, orientation, pages: as of :func:`read`.
        flag: what a refusal of transparency names; one of pages names its neighbour, ``--pages`` or ``--data.pages``.
        palette: ``colours`` for what a viewer shows; ``index`` for the numbers that label maps store: palette images become
            ``[H, W, 1]`` of their indices, and grey images of one bit hold 0 and 1. Transparency that is not refused is dropped then.
        no_data: the value that means "nothing here", which may be NaN and goes into the facts; infinity is always refused.
        max_pixels: the largest image that is decoded, in place of :func:`pixel_limit`.
    """
    path, wanted = Path(path), Pages(pages, flag.replace("alpha", "pages"))
    with _opened(path) as (stream, kind):
        image = _pillow(stream, kind, path)
        turned = None  # the orientation that Pillow has applied: it does so to TIFFs alone
        if kind == "PNM":
            layout = pnm.pnm_layout(stream)
            _check_layout(path, layout, max_pixels)
            pixels, transparent, tag = pnm.read_pnm(stream, path), False, 1
            facts = FileFacts(kind, pixels.dtype.name)
        elif kind in ("NPY", "NPZ"):
            pixels, layout = npy.read(stream, kind, path, lambda found: _check_layout(path, found, max_pixels), wanted)
            transparent, tag, facts = False, 1, layout.facts(kind)
        elif image is None:
            pixels, layout = scientific.read_tiff(stream, path, lambda found: _check_layout(path, found, max_pixels), wanted)
            transparent, tag, facts = layout.transparent, layout.orientation, layout.facts(kind)
            if layout.entries:
                facts = _with_entries(facts, pixels, layout.entries)
                pixels = pixels if palette == "index" else _coloured(pixels, layout.entries, path)
        else:
            _check_size(path, image.width, image.height, limit=max_pixels)
            check_bytes(path, stream, kind, image.width, image.height)
            check_memory(path, image.width, image.height, _decoded_bytes(image))
            turned = int(image.tag_v2.get(_ORIENTATION, 1)) if isinstance(image, TiffImagePlugin.TiffImageFile) else None
            few = 0
            if kind == "PNG" and scientific.is_deep_png(_head(stream)):
                pixels, transparent = scientific.read_png(stream, path)
            else:
                few = _few_bits(image)
                pixels, transparent = _decoded(image, few) if palette == "colours" else _numbers(image, few)
            # After decoding: a PNG may bring its EXIF last.
            tag = Image.Image.getexif(image).get(_ORIENTATION, 1) if turned is None else turned
            facts = replace(_facts_of(image, kind, pixels.dtype, tag), bits=few or _significant_bits(image, stream, kind))
            if isinstance(image, TiffImagePlugin.TiffImageFile):
                facts = replace(facts, channel_names=_described_names(image, pixels.shape[2] - transparent))
            if kind == "WEBP" and _is_lossy_webp(stream):
                facts = replace(facts, lossy="lossy WebP")
        if orientation == "apply" and turned is None:
            pixels = upright(pixels, tag)
        elif orientation == "ignore" and turned is not None:
            pixels = upright(pixels, {6: 8, 8: 6}.get(turned, turned))  # the way back
        if 0 in pixels.shape:
            raise ValueError("it holds no pixels")
    facts = replace(facts, no_data=no_data_in(facts, no_data))
    may_be_nan = facts.no_data is not None and math.isnan(facts.no_data)
    _check_finite(pixels, path, may_be_nan, flag)
    if orientation == "ignore":
        facts = replace(facts, orientation=1)
    if facts.no_data is not None:
        facts = replace(facts, no_data_share=float((np.isnan(pixels) if may_be_nan else pixels == facts.no_data).mean()))
    if transparent and palette == "index" and pixels.shape[2] == 2:
        alpha = "refuse" if alpha == "refuse" else "drop"
    pixels = _without_alpha(pixels, alpha, path, flag) if transparent else pixels
    if image is not None or kind == "PNM":  # of a single page, which may be wanted several times
        times = len(wanted.chosen(path, 1, "") or (0,))
        pixels, facts = (np.concatenate([pixels] * times, axis=2), replace(facts, pages=times)) if times > 1 else (pixels, facts)
    return pixels, facts


def _check_finite(pixels: Array, path: Path, may_be_nan: bool, flag: str) -> None:
    if pixels.dtype.kind == "f" and (broken := int((np.isinf(pixels) if may_be_nan else ~np.isfinite(pixels)).sum())):
        nan_too = flag == "--data.alpha" and bool(np.isnan(pixels).any()) and not may_be_nan
        way_out = ", or say that NaN means no data (--data.nodata nan)" if nan_too else ""
        raise UserError(
            f"{path} holds {broken} values that are not finite (NaN or infinity), of {pixels.size}: "
            f"replace them{way_out}, or leave this file out"
        )


def open_windows(
    path: str | Path,
    alpha: Alpha = "refuse",
    orientation: Orientation = "apply",
    flag: str = "--alpha",
    palette: PaletteUse = "colours",
    pages: PageUse | tuple[int, ...] = "ask",
    no_data: NoData = "tag",
    *,
    level: int = 0,
) -> WindowedImage | None:
    """An image file of which any rectangle can be read without the rest, for images that are larger than the memory.

    The limit of pixels does not hold here, as nothing as large is held; the file must have the bytes for what it claims to be.

    Args:
        path, alpha, orientation, flag, palette, pages, no_data: as of :func:`examine`.
        level: of a pyramid, 0 for the full size.

    Returns:
        None where the format, or the layout of this file, gives no rectangles: it has to be decoded whole.

    Raises:
        UserError: not there, not an image, without such a level, damaged, or of several pages whose meaning nobody has said.
        Missing: the extra ``science``, or ``slides``, is needed for this file.
    """
    path, wanted = Path(path), Pages(pages, flag.replace("alpha", "pages"))
    if slides.is_vendors(path):
        return _open_slide(path, level, (alpha, orientation, flag, no_data))
    with _opened(path) as (stream, kind):
        if kind == "TIFF" and slides.is_vendors(path, stream):
            return _open_slide(path, level, (alpha, orientation, flag, no_data))
        image = _pillow(stream, kind, path)
        if kind != "TIFF" and level:
            raise UserError(f"{path} is a {kind} file, which has no levels: leave out --level {level}")
        if kind == "NPY":
            raw: windowed_tiff.WindowedTiff | npy.WindowedNpy = npy.WindowedNpy(path, wanted)
        elif kind != "TIFF" or (image is not None and not _has_plain_samples(image, palette, pages) and not level):
            return None
        else:
            try:
                raw = windowed_tiff.WindowedTiff(path, wanted, level)
            except Missing:
                if image is None or level:
                    raise
                return None  # Pillow reads it, whole
            raw.check_claim()
        if not raw.has_windows:
            raw.close()
            if level:
                raise UserError(f"level {level} of {path} is stored in one piece, or in another way than is known: choose another level")
            return None
        return _Windows.of(path, kind, raw, image, (alpha, orientation, flag, no_data))


def check_whole(path: Path, windows: WindowedImage, max_pixels: int | None = None) -> None:
    """See that all of an image may be held at once, and fits into memory.

    Args:
        path: its file.
        windows: of it.
        max_pixels: as of :func:`examine`.

    Raises:
        UserError: it may not, or does not.
    """
    _check_size(path, windows.width, windows.height, windows.channels, max_pixels)
    check_memory(path, windows.width, windows.height, 2.0 * windows.channels * np.dtype(windows.dtype).itemsize)


def is_slide(path: str | Path) -> bool:
    """Whether a file is a whole slide of a format that plain readers do not read, or not rightly; what cannot be opened is none."""
    path = Path(path)
    if slides.is_vendors(path):
        return True
    try:
        with path.open("rb") as stream:
            return _readable(_head(stream)) == "TIFF" and slides.is_vendors(path, stream)
    except OSError:
        return False


def _open_slide(path: Path, level: int, how: tuple[Alpha, Orientation, str, NoData]) -> WindowedImage | None:
    _regular(path)
    with _worded(path, slides.KIND):
        return _Windows.of(path, slides.KIND, slides.SlideLevel(path, level), None, how)


def levels_of(path: str | Path) -> slides.Sizes:
    """Height and width of every level of a file, the full image first; of an image alone it is the only one.

    Raises:
        UserError, Missing: as :func:`open_windows`.
    """
    path = Path(path)
    opened = open_windows(path, "keep", "ignore", pages="channels", no_data="none")
    if opened is not None:
        opened.close()
        return opened.levels
    header = size_of(path, "ignore", "channels")
    return ((header.height, header.width),)


def _has_plain_samples(image: ImageFile, palette: PaletteUse, pages: PageUse | tuple[int, ...]) -> bool:
    """Whether tifffile gives the numbers that Pillow gives of a TIFF: no colours to look up, no bits to spread, no page several times."""
    extra = image.tag_v2.get(_EXTRA_SAMPLES, ()) if isinstance(image, TiffImagePlugin.TiffImageFile) else ()
    modes = ("L", "LA", "RGB", "RGBA", "F")
    plain = (image.mode in modes or image.mode.startswith("I;16")) and not _few_bits(image) and 1 not in extra
    return plain and not (isinstance(pages, tuple) and len(pages) > 1) and not (palette == "index" and image.mode == "1")


class _Raw(Protocol):
    """Rectangles of a file as its format's reader gives them."""

    layout: scientific.Layout

    def read(self, top: int, left: int, bottom: int, right: int) -> Array: ...
    def close(self) -> None: ...


class _Windows:
    """Rectangles of a file as :func:`examine` gives the whole: upright, finite, without alpha; see :class:`.windows.WindowedImage`."""

    def __init__(self, path: Path, raw: _Raw, facts: FileFacts, alpha: Alpha, tag: int, flag: str) -> None:
        self.path, self.facts, self._raw, self._alpha, self._tag, self._flag = path, facts, raw, alpha, tag, flag
        layout = raw.layout
        self.levels: slides.Sizes = getattr(raw, "sizes", ((layout.height, layout.width),))
        self.height, self.width, self.dtype = layout.height, layout.width, layout.dtype
        grey = layout.transparent and layout.channels == 2
        self.channels = (
            layout.channels if not layout.transparent else 4 if alpha == "keep" and grey else layout.channels - (alpha != "keep")
        )

    @classmethod
    def of(cls, path: Path, kind: str, raw: _Raw, image: ImageFile | None, how: tuple[Alpha, Orientation, str, NoData]) -> _Windows | None:
        """None where its rows are columns upright."""
        alpha, orientation, flag, no_data = how
        layout = raw.layout
        if isinstance(image, TiffImagePlugin.TiffImageFile):
            facts = _facts_of(image, kind, np.dtype(layout.dtype), layout.orientation)
            facts = replace(
                facts,
                bits=_significant_bits(image, None, kind),
                channel_names=_described_names(image, layout.channels - layout.transparent),
            )
        else:
            facts = layout.facts(kind)
        facts = replace(facts, no_data=no_data_in(facts, no_data))
        if orientation == "ignore":
            facts = replace(facts, orientation=1)
        if facts.orientation in _ON_ITS_SIDE or 0 in (layout.height, layout.width, layout.channels):
            raw.close()
            return None
        return cls(path, raw, facts, alpha, facts.orientation, flag)

    def read(self, top: int, left: int, bottom: int, right: int) -> Array:
        if not (0 <= top < bottom <= self.height and 0 <= left < right <= self.width):
            raise ValueError(f"rows {top} to {bottom} and columns {left} to {right} of {self.width} x {self.height} pixels")
        if self._tag in (3, 4):
            top, bottom = self.height - bottom, self.height - top
        if self._tag in (2, 3):
            left, right = self.width - right, self.width - left
        with _worded(self.path, self.facts.format):
            pixels = upright(self._raw.read(top, left, bottom, right), self._tag)
        _check_finite(pixels, self.path, self.facts.no_data is not None and math.isnan(self.facts.no_data), self._flag)
        return _without_alpha(pixels, self._alpha, self.path, self._flag) if self._raw.layout.transparent else pixels

    def close(self) -> None:
        self._raw.close()


def pages_of(path: str | Path) -> int:
    """How many pages a file has that it does not call channels, from its header: 1 for an image alone.

    Raises:
        UserError: not there, not an image, or its header is damaged.
        Missing: the extra ``science`` is needed for this file.
    """
    path = Path(path)
    with _opened(path) as (stream, kind):
        if kind in ("NPY", "NPZ"):
            return npy.pages(stream, kind, path)
        several = kind == "TIFF" and _pillow(stream, kind, path) is None
        return scientific.tiff_pages(stream, path) if several else 1


def size_of(
    path: str | Path, orientation: Orientation = "apply", pages: PageUse | tuple[int, ...] = "ask", level: int | None = None
) -> Header:
    """What an image file holds, from its header alone: no pixel is decoded, and no size limit applies.

    Args:
        path: the file.
        orientation: whether its orientation tag is applied, as in :func:`read`.
        pages: what its pages are, as in :func:`read`.
        level: of a pyramid or a whole slide, 0 for its full size. None takes no whole slide of a vendor's format, of which plain readers
            would read a preview or a part.

    Raises:
        UserError: not there, not an image, its header is damaged, or nobody has said what its pages are.
        Missing: the extra ``science`` is needed for this file.
    """
    if level is not None and (level or is_slide(path)):
        windows = open_windows(path, "drop", orientation, pages=pages, level=level)
        if windows is None:
            raise UserError(f"level {level} of {path} is stored in a way that is not read: choose another level")
        windows.close()
        return Header(windows.width, windows.height, windows.channels, windows.dtype, windows.facts.format)
    if (plain := plain_header(path)) is not None and not _is_camera_raw(path):
        header, tag = plain
        turned = orientation == "apply" and tag in _ON_ITS_SIDE
        header = replace(header, width=header.height, height=header.width) if turned else header
        return _repeated(header, Path(path), Pages(pages)) if isinstance(pages, tuple) else header
    return _size_of(Path(path), orientation, Pages(pages))


def _repeated(header: Header, path: Path, pages: Pages) -> Header:
    """The header of an image of a single page that is wanted several times."""
    return replace(header, channels=header.channels * len(pages.chosen(path, 1, "") or (0,)))


def _size_of(path: Path, orientation: Orientation, pages: Pages = ASKED) -> Header:
    """As :func:`size_of`, by the plugins that read whole images."""
    with _opened(path) as (stream, kind):
        image = _pillow(stream, kind, path)
        if kind == "PNM":
            layout = pnm.pnm_layout(stream)
        elif kind in ("NPY", "NPZ"):
            layout = npy.layout(stream, kind, path, pages)
        elif image is None:
            layout = scientific.tiff_layout(stream, path, pages)
        else:
            deep = kind == "PNG" and scientific.is_deep_png(_head(stream))
            dtype = "uint16" if deep or image.mode.startswith("I") else "float32" if image.mode == "F" else "uint8"
            grey = _mode(image) not in ("RGB", "RGBA") or (deep and _head(stream)[25] == 4)
            transparent = image.has_transparency_data
            if turned := isinstance(image, TiffImagePlugin.TiffImageFile):  # Pillow turns TIFF sizes itself
                tag = int(image.tag_v2.get(_ORIENTATION, 1))
            else:
                tag = Image.Image.getexif(image).get(_ORIENTATION, 1)
            rows, columns = (image.width, image.height) if turned and tag in _ON_ITS_SIDE else (image.height, image.width)
            layout = scientific.Layout(rows, columns, (1 if grey else 3) + transparent, dtype, transparent, tag)
        if 0 in (layout.width, layout.height, layout.channels):
            raise ValueError("it holds no pixels")
        width, height = layout.width, layout.height
        if orientation == "apply" and layout.orientation in _ON_ITS_SIDE:
            width, height = height, width
        header = Header(width, height, layout.channels - layout.transparent, layout.dtype, kind, layout.transparent)
        return _repeated(header, path, pages) if image is not None or kind == "PNM" else header


def check_claim(path: str | Path, max_pixels: int | None = None) -> None:
    """See that a picture is within the limit, and its file of the bytes that its size takes at the least; :func:`read` does so by itself.

    Raises:
        UserError: it is not, or cannot be read at all.
    """
    path = Path(path)
    with _opened(path) as (stream, kind):
        image = _pillow(stream, kind, path)
        if image is not None:
            _check_size(path, image.width, image.height, limit=max_pixels)
            check_bytes(path, stream, kind, image.width, image.height)


def write(path: str | Path, array: Array, about: Metadata | None = None) -> None:
    """Write an image in the format its suffix names; it appears whole or not at all, and names the software that wrote it.

    PNG, WebP (lossless), TIFF and BMP give back exactly what was written, JPEG (quality 95, full colour resolution) nearly.
    Four channels of uint8, or of uint16 in a PNG, are RGB and alpha; a 16-bit or float TIFF calls them just channels. WebP
    knows only colour: a grey image comes back with three equal channels. A TIFF of channels that are no colours, or that have names, is an
    OME-TIFF: a page for each channel, with its name and the size of a pixel where they are known. One that lies somewhere on the ground has
    its channels as bands of one page, with their names as GDAL gives them.

    Args:
        path: ends in png, jpg, jpeg, jfif, jpe, webp, tif, tiff, bmp, npy or npz; folders above it are created.
        array: ``[H, W, C]``; a PNG holds uint8 and uint16, a TIFF and NumPy's files any type.
        about: what else the file says, as far as its format can; see :meth:`.metadata.Metadata.fitting`.

    Raises:
        UserError: the format cannot hold this image, or the place cannot be written.
        RunFailure: the disk is full.
        Missing: the extra ``science`` is needed for this image.
    """
    write_atomically(Path(path), encode(path, array, about))


def check_pyramid(path: Path, channels: int, dtype: str) -> None:
    """See that a pyramid can hold such an image: to be asked before the work of making one.

    Raises:
        UserError: it cannot.
    """
    if check_format(path, channels, dtype) != "TIFF":
        raise UserError(f"{path}: a pyramid is a TIFF file: write {path.stem}.ome.tif, or say --pyramid off")
    if dtype not in TYPES_OF_OME:
        raise UserError(f"{path}: an OME-TIFF knows no {dtype}: say --pyramid off, which writes an image of one size")


def can_hold_pages(path: Path) -> bool:
    """Whether the suffix names a format in which :func:`write_pages` writes several."""
    return _FORMATS.get(path.suffix.lower()) in OF_PAGES


def write_pages(path: str | Path, pages: Sequence[Array], about: Metadata | None = None, axis: str = "Z") -> None:
    """Write several images as the slices of one file, which :func:`pages_of` counts; it appears whole or not at all.

    Args:
        path: ends in tif, tiff, npy or npz; folders above it are created.
        pages: ``[H, W, C]`` each, of one shape and type.
        about: what else the file says.
        axis: what they are: ``Z`` slices, or ``T`` times.

    Raises:
        UserError: the format holds one image, or none of this kind, or the place cannot be written.
        RunFailure: the disk is full.
        Missing: the extra ``science`` is needed.
    """
    path = Path(path)
    if len(pages) == 1:
        write(path, pages[0], about)
        return
    if len({(page.shape, page.dtype) for page in pages}) != 1:
        raise UserError(f"{path} cannot be written from {len(pages)} pages that differ in size or type: bring them to one")
    if (kind := check_format(path, pages[0].shape[2], pages[0].dtype.name)) not in OF_PAGES:
        raise UserError(f"{path} would have {len(pages)} pages: write a .tif or .npy file, which holds them")
    write_atomically(path, _encoded(pages, kind, path, about or Metadata(), axis if axis in ("Z", "T") else "Z"))


def write_kept(stem: Path, array: Array, names: Sequence[str] = ()) -> Path:
    """Write an image for later use, as the plainest file that gives it back exactly: a PNG where that can be, else a TIFF.

    Args:
        stem: where, without a suffix.
        array: ``[H, W, C]``.
        names: of the channels, for which a TIFF is needed.

    Returns:
        The file.

    Raises:
        UserError, RunFailure, Missing: as :func:`write`.
    """
    channels, name = array.shape[2], array.dtype.name
    named = len(names) == channels > 1 and not are_primaries(names)
    plain = not named and ((channels in (1, 3) and name == "uint8") or (channels == 1 and name == "uint16"))
    file = stem.with_name(f"{stem.name}.{'png' if plain else 'tif'}")
    about = Metadata(channel_names=tuple(names)) if len(names) == channels and not plain else None
    try:
        write(file, array, about)
    except Missing:
        if not (named and channels == 3 and name == "uint8"):
            raise
        file = stem.with_name(f"{stem.name}.png")  # without the names is better than not at all
        write(file, array)
    return file


def encode(path: str | Path, array: Array, about: Metadata | None = None) -> bytes:
    """The bytes that :func:`write` would write to a file of this name.

    Raises:
        UserError: the format cannot hold this image.
        Missing: the extra ``science`` is needed for this image.
    """
    path = Path(path)
    if array.ndim != 3 or 0 in array.shape:
        raise UserError(f"{path} cannot be written from an array of shape {array.shape}: an image is [height, width, channels]")
    kind = check_format(path, array.shape[2], array.dtype.name)
    try:
        return _encoded([array], kind, path, about or Metadata())
    except TransfigureError:
        raise
    except Exception as error:  # e.g. sides beyond what the format can say
        height, width, _ = array.shape
        raise UserError(f"{path}: {width} x {height} pixels cannot be written as {kind} ({_reason(error)}): use png or tif") from error


def check_format(path: Path, channels: int, dtype: str) -> str:
    """The format that a file's suffix names, if it can hold such an image: to be asked before the work of making one.

    Raises:
        UserError: it cannot, or the suffix names no format.
    """
    kind = _FORMATS.get(path.suffix.lower())
    if kind is None:
        raise UserError(f"{path} names no image format that can be written: let it end in {', '.join(_FORMATS)}")
    if channels not in _HOLDS[kind].get(dtype, ()):
        fits = [suffix for suffix in (".png", ".tif") if channels in _HOLDS[_FORMATS[suffix]].get(dtype, ())]
        way_out = f"write a {' or '.join(fits)} file instead" if fits else f"use {TYPES}"
        raise UserError(f"{path}: a {kind} file cannot hold {channels} channel{'s' * (channels > 1)} of {dtype}: {way_out}")
    return kind


def can_be_written(path: Path) -> bool:
    """Whether the suffix names a format that :func:`write` knows."""
    return path.suffix.lower() in _FORMATS


def split_halves(array: Array, path: str | Path) -> tuple[Array, Array]:
    """The left and the right half of a side-by-side pair.

    Raises:
        UserError: the width is odd.
    """
    width = array.shape[1]
    if width % 2:
        raise UserError(
            f"{path} is {width} pixels wide: a side-by-side pair needs an even width "
            "(use --data.kind two_folders if source and target are separate files)"
        )
    return array[:, : width // 2], array[:, width // 2 :]


@contextmanager
def _opened(path: Path) -> Iterator[tuple[BinaryIO, str]]:
    """An image file's stream and format; whatever goes wrong with it inside becomes a sentence."""
    _regular(path)
    try:
        stream = path.open("rb")
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from error
    with stream, _worded(path, "image"):
        kind = _sniffed(_head(stream), path)
        with _worded(path, kind):
            yield stream, kind


def _regular(path: Path) -> None:
    """See that a path is a file that can be opened.

    Raises:
        UserError: it is not.
    """
    try:
        if path.is_dir():
            raise UserError(f"{path} is a folder, not an image file: name one of the files in it")
        if not path.exists():
            raise UserError(f"{path} does not exist: check the name and the folder it should be in")
        if not path.is_file():
            raise UserError(f"{path} is not a regular file: save the image to disk first")
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> UserError:
    reason = getattr(error, "strerror", None) or str(error)
    return UserError(f"cannot read {path}: {reason.lower()}; check its name and permissions")


@contextmanager
def _worded(path: Path, kind: str) -> Iterator[None]:
    """Whatever goes wrong while a file of this kind is decoded becomes a sentence."""
    with without_warnings():  # a decoder's asides on damaged bytes; what matters is raised
        try:
            yield
        except TransfigureError:
            raise
        except MemoryError as error:
            raise UserError(f"{path} does not fit into memory: crop or tile it, or close other programs") from error
        except Image.DecompressionBombError as error:
            raise UserError(f"{path} is too large for Pillow ({_reason(error)}): crop it, or save it as PNG") from error
        except Exception as error:  # on damaged bytes a decoder may raise anything at all
            raise UserError(f"{path} is a damaged or unsupported {kind} file ({_reason(error)}): save or copy it again") from error


def _head(stream: BinaryIO) -> bytes:
    stream.seek(0)
    head = stream.read(_HEAD)
    stream.seek(0)
    return head


def kind_of(path: str | Path) -> tuple[str, bool]:
    """What a file's first bytes say it is, and whether that can be read here; an empty word for what is no image.

    Raises:
        OSError: the file cannot be opened.
    """
    if _is_camera_raw(path):
        return "camera raw", False
    if os.path.splitext(path)[1].lower() in slides.ONLY_PART:  # noqa: PTH122 - likewise
        return "whole slide", False
    with open(path, "rb") as stream:  # noqa: PTH123 - a Path for each of many files takes longer than the look itself
        head = stream.read(_HEAD)
        if (kind := _readable(head)) in ("NPY", "NPZ"):
            return _array_or_not(stream, kind)
        if kind in _ANIMATED:
            with contextlib.suppress(Exception):  # a damaged one is said to be so when it is read
                stream.seek(0)
                if getattr(_PLUGINS[kind](stream), "is_animated", False):
                    return f"animated {_ANIMATED[kind]}", False
    if kind:
        return kind, True
    return next((kind for kind in (_foreign(head),) if kind in _FOREIGN_IMAGES), ""), False


SEVERAL_ARRAYS = "NumPy archive of several arrays"


def _array_or_not(stream: BinaryIO, kind: str) -> tuple[str, bool]:
    """As :func:`kind_of`, of NumPy's arrays, which are anything at all: those that cannot be an image are none."""
    try:
        return (kind, True) if npy.is_image(stream, kind) else ("", False)
    except UserError:
        return SEVERAL_ARRAYS, False
    except Exception:  # damaged, which is said when it is read
        return kind, True


def _is_camera_raw(path: str | Path) -> bool:
    return os.path.splitext(path)[1].lower() in _CAMERA_RAW  # noqa: PTH122 - a Path for each of many files takes longer


def _readable(head: bytes) -> str | None:
    """The readable format that these first bytes announce."""
    for signature, kind in _SIGNATURES.items():
        if head.startswith(signature):
            return kind
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WEBP"
    return "PNM" if pnm.is_pnm(head) else "NPZ" if npy.is_npz(head) else None


def _foreign(head: bytes) -> str:
    """What else these first bytes look like; an empty word if nothing known."""
    if head[4:8] == b"ftyp":
        return _BRANDS.get(head[8:12], "video")
    return next((kind for signature, kind in _FOREIGN.items() if head.startswith(signature)), "")


def _sniffed(head: bytes, path: Path) -> str:
    if not head:
        raise UserError(f"{path} is empty (0 bytes): copy it again, or leave it out")
    if _is_camera_raw(path):
        raise UserError(
            f"{path} is a camera raw file, of which only the small preview inside would be read: convert it to PNG, or leave it out"
        )
    suffix = path.suffix.lower()
    if kind := _readable(head):
        if suffix in slides.ONLY_PART:
            raise UserError(
                f"{path} is a whole slide, of which only a preview or a part would be read: transfigure translate reads all of it; for "
                "other uses, convert it to TIFF"
            )
        return kind
    if suffix in slides.VENDORS:
        raise UserError(
            f"{path} is not a {FORMATS}: if it is a whole slide, transfigure translate reads it; for other uses, convert it to TIFF"
        )
    looks = f" (it looks like {kind})" if (kind := _foreign(head)) else ""
    raise UserError(f"{path} is not a {FORMATS}{looks}: convert it to PNG, or leave it out")


def _pillow(stream: BinaryIO, kind: str, path: Path) -> ImageFile | None:
    """The image with its header read, or None for what Pillow would not show whole: a PNM, or a TIFF that is tifffile's to read."""
    if kind in _NOT_PILLOW:
        return None
    if kind != "TIFF":
        still = _PLUGINS[kind](stream)
        if kind in _ANIMATED and getattr(still, "is_animated", False):
            raise UserError(
                f"{path} is an animated {_ANIMATED[kind]} of {getattr(still, 'n_frames', 2)} frames: "
                "save the frame that is meant as PNG, or leave it out"
            )
        return still
    try:
        image = TiffImagePlugin.TiffImageFile(stream)
        return image if _shown_whole(image) else None
    except Exception:  # Pillow knows fewer kinds of TIFF than tifffile, which will say what is wrong if it is damaged
        return None


def _shown_whole(image: TiffImagePlugin.TiffImageFile) -> bool:
    """Whether Pillow gives all there is in this TIFF: no other page, no sample left out, no depth lost, no sign, no inversion."""
    tags = image.tag_v2
    bits, extra = tags.get(_BITS, (1,)), tags.get(_EXTRA_SAMPLES, ())
    inverted = image.mode.startswith("I") and tags.get(_PHOTOMETRIC) == 0
    # of libtiff, which decodes compressed floats into this machine's byte order, Pillow takes them to be in that of the file
    swapped = tags.prefix == b"MM" and tags.get(_COMPRESSION, 1) != 1
    large = image.width * image.height > (Image.MAX_IMAGE_PIXELS or MAX_PIXELS)  # Pillow would warn, process-wide
    return (
        _others_are_reduced(image)
        and image.mode != "I"
        and (image.mode != "F" or (bits == (32,) and not swapped))
        and _SIGNED not in tags.get(_SAMPLE_FORMAT, ())
        and (len(bits) == 1 or (len(bits) <= 4 and max(bits) <= 8))
        and 0 not in extra
        and not inverted
        and not large
        and tags.get(_COMPRESSION, 1) in _BY_PILLOW
        and not (tags.get(_SUBFILE, 0) & 1 and _SUB_IMAGES in tags)
        and not names_other_axes(str(tags.get(_DESCRIPTION, "")))
    )


def _others_are_reduced(image: TiffImagePlugin.TiffImageFile) -> bool:
    """Whether there is one image alone, or the first and smaller copies of it that are marked as such, as pyramids have them."""
    count = image.n_frames
    if not 1 < count <= _MOST_LEVELS or image.tag_v2.get(_SUBFILE, 0) & 1:
        return count == 1
    try:
        for frame in range(1, count):
            image.seek(frame)
            if not image.tag_v2.get(_SUBFILE, 0) & 1:
                return False
    finally:
        image.seek(0)
    return True


def _mode(image: Image.Image) -> str:
    """The Pillow mode an image is decoded to: L, LA, RGB, RGBA, or its own if it is deep grey."""
    if image.mode.startswith(("I", "F")):
        return image.mode
    grey = image.mode in ("1", "L", "LA", "La")
    return ("L" if grey else "RGB") + ("A" if image.has_transparency_data else "")


def _decoded(image: Image.Image, bits: int = 0) -> tuple[Array, bool]:
    """The array of an image that Pillow can show whole, and whether its last channel is alpha.

    Args:
        image: decoded or not.
        bits: how many its values have in a file, if they are 2 or 4 and wanted as they are there.
    """
    image.load()
    mode = _mode(image)
    if bits and image.mode == "L":
        return _unstretched(image, bits)
    pixels = _copied(image if image.mode == mode else image.convert(mode))
    if mode.startswith("I"):
        deep = pixels.astype(np.uint16)
        clear = image.info.get("transparency")
        if clear is None:
            return deep, False
        return np.concatenate([deep, np.where(deep == clear, 0, 65535).astype(np.uint16)], axis=2), True
    return pixels, mode.endswith("A")


def _copied(image: Image.Image) -> Array:
    """``[H, W, C]`` of an image that is decoded; of a large one some rows at a time, as NumPy makes three copies of what it is given."""
    if image.width * image.height < _LARGE or image.mode not in ("L", "RGB", "RGBA"):
        return np.array(image).reshape(image.height, image.width, -1)
    pixels = np.empty((image.height, image.width, len(image.getbands())), np.uint8)
    step = max(1, _LARGE // image.width)
    for top in range(0, image.height, step):
        part = image.crop((0, top, image.width, min(image.height, top + step)))
        pixels[top : top + step] = np.asarray(part).reshape(part.height, part.width, -1)
    return pixels


def _numbers(image: Image.Image, bits: int = 0) -> tuple[Array, bool]:
    """As :func:`_decoded`, by the numbers that a palette image, or a grey one of a single bit, stores."""
    if image.mode == "P":
        image.load()
        indices = np.array(image)[..., None]
        if not image.has_transparency_data:
            return indices, False
        return np.concatenate([indices, np.array(image.convert("RGBA"))[..., 3:]], axis=2), True
    pixels, transparent = _decoded(image, bits)
    if image.mode == "1" and pixels.shape[2] == 1:
        pixels = pixels // np.uint8(255)
    return pixels, transparent


def _few_bits(image: Image.Image) -> int:
    """2 or 4, where a grey image that is not decoded yet has values of so many bits; else 0."""
    tiles = getattr(image, "tile", None) or []
    modes = {str(tile.args if isinstance(tile.args, str) else (tile.args or ("",))[0]) for tile in tiles}
    found = {int(mode[2]) for mode in modes if mode[:3] in ("L;2", "L;4")}
    return found.pop() if len(found) == 1 and len(modes) == 1 else 0


def _unstretched(image: Image.Image, bits: int) -> tuple[Array, bool]:
    """A grey image of 2 or 4 bits with the values that it holds, which may be classes: Pillow stretches them to 255."""
    pixels = (np.array(image)[..., None] // np.uint8(255 // ((1 << bits) - 1))).astype(np.uint8)
    clear = image.info.get("transparency")
    if not isinstance(clear, int):
        return pixels, False
    return np.concatenate([pixels, np.where(pixels == clear, 0, 255).astype(np.uint8)], axis=2), True


def _significant_bits(image: ImageFile, stream: BinaryIO | None, kind: str) -> int:
    """How many bits of each value mean something, where the file says that they are fewer than its type has; else 0."""
    if kind == "PNG" and stream is not None:
        return metadata.significant_bits_of_png(stream)
    if isinstance(image, TiffImagePlugin.TiffImageFile) and image.mode.startswith("I;16"):
        (bits,) = set(image.tag_v2.get(_BITS, (16,)))
        return int(bits) if bits < 16 else 0
    return 0


def _described_names(image: TiffImagePlugin.TiffImageFile, channels: int) -> tuple[str, ...]:
    """What the description of a TIFF that Pillow reads calls its channels; empty if it names none, or not each."""
    text = str(image.tag_v2.get(_DESCRIPTION, ""))  # in Latin-1, as Pillow reads all
    names = of_description(text.encode("latin-1", "replace").decode("utf-8", "replace")).names
    return names if len(names) == channels else ()


def _facts_of(image: ImageFile, kind: str, dtype: np.dtype[Any], tag: object) -> FileFacts:
    """What a file that Pillow has decoded says of itself."""
    no_data = None
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        no_data = scientific.no_data_of(image.tag_v2.get(scientific.GDAL_NO_DATA))
    lossy = "JPEG" if kind == "JPEG" or image.info.get("compression") == "jpeg" else ""
    facts = FileFacts(kind, dtype.name, tag if isinstance(tag, int) and tag in range(1, 9) else 1, no_data=no_data, lossy=lossy)
    if image.mode == "P" and (colours := image.getpalette("RGB")) is not None:
        return _with_entries(facts, np.asarray(image), _entries(bytes(colours), image.info.get("transparency")))
    return facts


@lru_cache(maxsize=64)
def _entries(colours: bytes, transparency: object) -> bytes:
    """All that a palette holds, see :attr:`.file_facts.FileFacts.entries`: one object for all files that have it.

    Args:
        colours: red, green and blue of each index.
        transparency: as Pillow has it: the opacity of the first indices, or the only index that is not seen.
    """
    table = np.full((len(colours) // 3, 4), 255, np.uint8)
    table[:, :3] = np.frombuffer(colours, np.uint8).reshape(-1, 3)
    if isinstance(transparency, bytes):
        opacity = np.frombuffer(transparency[: len(table)], np.uint8)
        table[: len(opacity), 3] = opacity
    elif isinstance(transparency, int) and 0 <= transparency < len(table):
        table[transparency, 3] = 0
    return table.tobytes()


def _with_entries(facts: FileFacts, indices: NDArray[Any], entries: bytes) -> FileFacts:
    """With a palette, and the colours of the indices that pixels have; an index beyond it is black, as it is to viewers."""
    used = np.flatnonzero(np.bincount(indices.ravel(), minlength=256)).tolist()
    palette = tuple((index, entries[4 * index : 4 * index + 3] or bytes(3)) for index in used)
    return replace(facts, palette=palette, entries=entries)


def _coloured(indices: Array, entries: bytes, path: Path) -> Array:
    """The colours of the indices of one page, uint8 ``[H, W, 3]``."""
    if indices.shape[2] > 1:
        raise UserError(
            f"{path} holds {indices.shape[2]} pages of indices into a palette, which are not the channels of one image: name the page that "
            "is meant"
        )
    table = np.zeros((256, 4), np.uint8)
    table[: len(entries) // 4] = np.frombuffer(entries, np.uint8).reshape(-1, 4)
    coloured: Array = table[indices[..., 0], :3]
    return coloured


def _is_lossy_webp(stream: BinaryIO) -> bool:
    """Whether a WebP file's (first) picture is in its lossy format: by the name of its chunk."""
    stream.seek(12)
    for _ in range(_WEBP_CHUNKS):
        head = stream.read(8)
        if len(head) < 8 or head[:4] in (b"VP8 ", b"VP8L"):
            return head[:4] == b"VP8 "
        size = int.from_bytes(head[4:], "little")
        stream.seek(size + size % 2, os.SEEK_CUR)
    return False


def _without_alpha(pixels: Array, alpha: Alpha, path: Path, flag: str = "alpha =") -> Array:
    top = 1 if pixels.dtype.kind == "f" else int(np.iinfo(pixels.dtype).max)
    colour, opacity = pixels[..., :-1], pixels[..., -1:]
    if alpha == "keep":
        return np.concatenate([np.repeat(colour, 3, axis=2), opacity], axis=2) if colour.shape[2] == 1 else pixels
    if alpha == "drop" or bool((opacity == top).all()):
        return np.ascontiguousarray(colour)
    if alpha == "refuse":
        raise UserError(
            f"{path} is partly transparent: choose {flag} white or black (what lies behind it), "
            "drop (ignore the transparency) or keep (as a fourth channel)"
        )
    behind = top if alpha == "white" else 0
    blended: Array
    if pixels.dtype.kind == "f":
        blended = colour * opacity + behind * (1 - opacity)
    else:
        wide = np.dtype(np.uint32 if pixels.dtype.itemsize < 4 else np.uint64)
        c, a = colour.astype(wide), opacity.astype(wide)
        blended = (c * a + wide.type(behind) * (top - a) + wide.type(top // 2)) // wide.type(top)
    return blended.astype(pixels.dtype)


def with_palette(indices: Array, palette: Sequence[tuple[int, tuple[int, ...]]]) -> Image.Image:
    """``[H, W, 1]`` of indices as a Pillow image of mode ``P``, see :attr:`.Metadata.palette`."""
    table = metadata.palette_table(palette)
    image = Image.fromarray(np.ascontiguousarray(indices[:, :, 0])).copy()  # its memory was numpy's
    image.putpalette(table[:, :3].tobytes())
    if opacities := metadata.opacities(table):
        image.info["transparency"] = opacities
    return image


def _laid_out(shape: ImageShape, kind: str, about: Metadata, slices: Slices = ONE, described: bool = False) -> tuple[Planes, Metadata, str]:
    """Where the channels of a file are, what it says beside its pixels, and the name of its software with a place for the digest.

    Args:
        shape: of the image.
        kind: the file's format.
        about: what is known.
        slices: how many such images the file holds.
        described: a TIFF is an OME-TIFF also where OME-XML has nothing to say that the tags do not.
    """
    channels, name = shape.channels, shape.dtype
    software = metadata.to_be_sealed(f"{SOFTWARE} {about.maker}".rstrip())
    if about.channel_names and len(about.channel_names) != channels:
        raise ValueError(f"{len(about.channel_names)} names for {channels} channels")
    by_channel = kind == "TIFF" and (channels not in (1, 3, 4) or (channels > 1 and bool(about.channel_names)))
    by_channel |= kind == "TIFF" and channels > 1 and name != "uint8" and (name != "uint16" or channels != 3)
    if by_channel and slices.count == 1 and about.is_on_ground:
        return "bands", about.with_bands(), software
    if kind == "TIFF":
        layers = (channels if by_channel else 1, shape.height, shape.width)
        about = about.described(layers, 1 if by_channel else channels, name, SOFTWARE, slices, described)
    return "pages" if by_channel else "samples", about, software


def _encoded(pages: Sequence[Array], kind: str, path: Path, about: Metadata, axis: str = "Z") -> bytes:
    array = pages[0]
    height, width, channels = array.shape
    shape = ImageShape(height, width, channels, array.dtype.name)
    if about.palette:
        _check_palette(path, kind, shape)
    planes, about, software = _laid_out(shape, kind, about, Slices(len(pages), axis))
    by_channel, bands = planes != "samples", planes == "bands"
    if kind in ("NPY", "NPZ"):
        encoded = npy.encode(pages, kind, software.encode("latin-1", "replace"))
    elif array.dtype == np.uint16 and channels > 1 and kind == "PNG":
        encoded = scientific.encode_png(array, path)
    elif (
        by_channel
        or len(pages) > 1
        or (kind == "TIFF" and (array.dtype.name not in _PILLOW_TIFF or (channels > 1 and array.dtype != np.uint8)))
    ):
        colours = metadata.palette_table(about.palette)[:, :3] if about.palette else None
        encoded = scientific.encode_tiff(pages, path, by_channel, about.description, bands, colours)
    else:
        stream = io.BytesIO()
        options = _SAVE[kind] | metadata.save_options(kind, about, software)
        image = Image.fromarray(np.ascontiguousarray(array[..., 0] if channels == 1 else array))
        if about.palette:
            image = with_palette(array, about.palette)
        image.save(stream, kind, **options)
        encoded = stream.getvalue()
    into = {"PNG": metadata.into_png, "TIFF": metadata.into_tiff}.get(kind)
    return metadata.sealed(encoded if into is None else into(encoded, about, software), software)


def _check_palette(path: Path, kind: str, shape: ImageShape) -> None:
    if kind not in WITH_PALETTE or shape.channels != 1 or shape.dtype != "uint8":
        raise UserError(f"{path}: a {kind} file cannot hold indices of a palette: write a .png or .tif file")


def open_rows(
    path: str | Path, shape: ImageShape, about: Metadata | None = None, key: str = "", pyramid: Reduction | None = None
) -> RowWriter:
    """As :func:`write`, of an image whose rows come one after the other; it appears whole or not at all.

    TIFF, PNG and NPY files grow as rows come; rows of other formats are kept beside the file and encoded at the end, in one piece.

    Args:
        path: as of :func:`write`.
        shape: of the image.
        about: what else the file says.
        key: what tells this piece of work from all others. With one, rows that are saved can be gone on with by another process, see
            :class:`.row_writer.RowWriter`.
        pyramid: a TIFF gets copies of half, a quarter, an eighth, ... of its size, as an OME-TIFF which viewers of whole slides open at
            once at any size, see :mod:`.formats.pyramids`. Four pixels become their ``mean``, or, where they stand for classes, the
            ``commonest`` of them. What lies on the ground and has bands is no OME-TIFF.

    Raises:
        UserError: the format cannot hold this image, the place cannot be written, or another process is writing it.
        Missing: the extra ``science`` is needed for this image.
    """
    path, about = Path(path), about or Metadata()
    kind = check_format(path, shape.channels, shape.dtype)
    if about.palette:
        _check_palette(path, kind, shape)
    if pyramid is not None:
        check_pyramid(path, shape.channels, shape.dtype)
        about = about.in_micrometres()
    planes, about, software = _laid_out(shape, kind, about, described=pyramid is not None)

    def begin(stream: BinaryIO, begun: Mapping[str, Any] | None) -> RowFile:
        if pyramid is not None:
            return PyramidRows(stream, shape, begun, TiffKind(planes, about, software), pyramid)
        if kind == "TIFF":
            return TiffRows(stream, shape, begun, TiffKind(planes, about, software))
        if kind == "PNG":
            return PngRows(stream, shape, begun, PngKind(about, software))
        return PlainRows(stream, shape, begun, npy.head(shape) if kind == "NPY" else b"")

    def encoded(stream: BinaryIO) -> bytes:
        stream.flush()
        rows = np.memmap(stream, shape.dtype, "r", shape=(shape.height, shape.width, shape.channels))
        return _encoded([rows], kind, path, about)

    return RowWriter(path, begin, None if kind in ("TIFF", "PNG", "NPY") else encoded, key)


def write_pyramid(path: str | Path, array: Array, about: Metadata, pyramid: Reduction) -> None:
    """As :func:`open_rows`, of all rows at once.

    Raises:
        UserError, RunFailure: as :func:`write`.
    """
    height, width, channels = array.shape
    writer = open_rows(path, ImageShape(height, width, channels, array.dtype.name), about, pyramid=pyramid)
    try:
        writer.write_rows(array)
        writer.close()
    finally:
        writer.discard()


def metadata_of(path: str | Path, level: int = 0) -> Metadata:
    """What an image file says beside its pixels; nothing where that is damaged.

    Args:
        path: the file.
        level: of a pyramid, whose pixels are larger the higher it is; where the full image lies on the ground is said of that alone.

    Raises:
        UserError: it cannot be opened, or is no image.
    """
    path = Path(path)
    if slides.is_vendors(path):
        return _metadata_of_slide(path, level)
    with _opened(path) as (stream, kind):
        try:
            if kind == "TIFF" and slides.is_vendors(path, stream):
                return _metadata_of_slide(path, level)
            if kind == "TIFF":
                found = metadata.of_tiff(stream)
                sizes = levels_of(path) if level else ()
                return slides.at_level(found, slides.factors(sizes, level)) if level else found
            if kind == "PNG":
                return metadata.of_png(stream)
            if kind in _NOT_PILLOW:
                return Metadata()
            info = _PLUGINS[kind](stream).info
            dpi = info.get("dpi")
            found = metadata.of_blocks(info.get("icc_profile") or b"", info.get("exif") or b"")
            return found if not dpi or found.resolution else replace(found, resolution=metadata.resolution(*map(float, dpi)))
        except Exception:  # the pixels are another matter, and have been read
            return Metadata()


def _metadata_of_slide(path: Path, level: int) -> Metadata:
    _regular(path)
    with _worded(path, slides.KIND):
        slide = slides.SlideLevel(path, level)
        slide.close()
        return slide.about


def software(path: str | Path) -> str | None:
    """The software that an image file names as its writer: empty if it names none, None if it is no image."""
    with open(path, "rb") as stream:  # noqa: PTH123 - a Path for each of many files takes longer than the look itself
        kind = _readable(_head(stream))
        if kind is None:
            return None
        try:
            if kind == "PNG":
                return metadata.software_of_png(stream)
            if kind == "TIFF":
                return metadata.software_of_tiff(stream)
            if kind in ("NPY", "NPZ"):
                return (npy.comment_of(stream) or None) if kind == "NPZ" else ""
            with without_warnings():
                exif = _PLUGINS[kind](stream).info.get("exif")
            return metadata.software_of_tiff(io.BytesIO(exif.removeprefix(b"Exif\0\0"))) if exif else ""
        except Exception:  # on damaged bytes a decoder may raise anything at all
            return ""


_BYTES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "La", "RGBa", "HSV", "LAB")
"""Pillow's modes of a byte a channel."""


def _decoded_bytes(image: Image.Image) -> float:
    """What a pixel takes while an image is decoded: Pillow's own, of four bytes where there are colours, and the array's.

    A fifth is added: 8.1 bytes of RGB, 2.3 of grey and 9.4 with transparency were seen (Pillow 13.0.0, 6,000 x 6,000 pixels).
    """
    bands = len(image.getbands())
    if image.mode in ("L", "RGB", "RGBA"):
        return 1.2 * ((4 if bands > 1 else 1) + bands)
    return 4.0 * bands * (1 if image.mode in _BYTES else 4)


def _check_layout(path: Path, layout: scientific.Layout, limit: int | None = None) -> None:
    _check_size(path, layout.width, layout.height, layout.channels, limit)
    check_memory(path, layout.width, layout.height, 2.0 * layout.channels * max(2, np.dtype(layout.dtype).itemsize))


def pixel_limit() -> int:
    """The largest image that is decoded whole, in pixels: :data:`MAX_PIXELS`, or what ``TRANSFIGURE_MAX_PIXELS`` says.

    Raises:
        UserError: that is no number.
    """
    given = os.environ.get("TRANSFIGURE_MAX_PIXELS", "")
    if given and not (given.isdecimal() and len(given) < 19):
        raise UserError(f"TRANSFIGURE_MAX_PIXELS is {brief(given)}: give a whole number of pixels, or unset it")
    return int(given) if given else MAX_PIXELS


def is_beyond_limit(width: int, height: int, channels: int = 1, limit: int | None = None) -> bool:
    """Whether an image of this size is not decoded whole; more than four channels count by the four."""
    return width * height * max(1, channels / 4) > (pixel_limit() if limit is None else limit)


def is_large(path: str | Path) -> bool:
    """Whether an image is larger than what is decoded whole, by its header.

    Raises:
        UserError, Missing: as :func:`size_of`.
    """
    header = size_of(path, "ignore", "channels")
    return is_beyond_limit(header.width, header.height, header.channels)


def _millions(pixels: int) -> str:
    return f"{pixels / 1e6:,.0f} million" if pixels >= 10e6 else f"{pixels:,}"


def _check_size(path: Path, width: int, height: int, channels: int = 1, limit: int | None = None) -> None:
    if is_beyond_limit(width, height, channels, limit):
        many = f" with {channels} channels" if channels > 4 else ""
        raise UserError(
            f"{path} is {width} x {height} pixels{many} ({_millions(width * height)}): larger than the limit of "
            f"{_millions(pixel_limit() if limit is None else limit)}; crop or tile it, or set "
            "TRANSFIGURE_MAX_PIXELS (translate takes --max-pixels, and most TIFF and NPY files of any size)"
        )


def _reason(error: BaseException) -> str:
    """A decoder's complaint, short and on one line."""
    words = " ".join(str(error).split())
    return (words[:120] or type(error).__name__).rstrip(".")


def from_pillow(image: Image.Image, alpha: Alpha = "refuse", palette: PaletteUse = "colours") -> Array:
    """The pixels of a Pillow image, as `read` would give them; the EXIF orientation is not applied, so the size stays.

    Raises:
        UserError: it cannot be decoded, is transparent, or holds integers beyond 16 bits.
    """
    name = Path(str(getattr(image, "filename", "")) or "this image")
    try:
        if image.mode == "I" and ((ends := np.array(image.getextrema())) != ends.astype(np.uint16)).any():
            raise UserError(f"{name} holds integers from {ends[0]} to {ends[1]}: 16 bits hold 0 to 65535")
        pixels, transparent = _decoded(image) if palette == "colours" else _numbers(image)
    except (OSError, ValueError, SyntaxError) as error:
        raise UserError(f"{name} cannot be decoded ({_reason(error)}): save or convert it again") from error
    return _without_alpha(pixels, alpha, name) if transparent else pixels
