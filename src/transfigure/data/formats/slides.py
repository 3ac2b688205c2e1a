"""Whole slides: scans of microscopes' glass slides, in which an image is there at several sizes, its levels.

Most are TIFF files, of which tifffile gives every level as it is stored, and `windowed_tiff` any rectangle. What is no TIFF, and TIFFs
whose tiles overlap or whose image is put together of several scans, are read by OpenSlide, which knows how vendors mean them. It comes
with the extra ``slides``. Only `images` calls this file; arrays are ``[H, W, 3]`` of uint8.

OpenSlide 4.0, https://openslide.org/api/python/ and its pages on vendors' formats.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from ...errors import Missing, UserError
from . import metadata
from .metadata import Metadata
from .ome import PixelSize, scaled_size
from .scientific import Layout

VENDORS = frozenset({".bif", ".czi", ".dcm", ".mrxs", ".scn", ".svslide", ".vms", ".vmu"})
"""Suffixes of slides that OpenSlide reads and tifffile does not, or not rightly."""
ONLY_PART = frozenset({".bif", ".mrxs", ".scn"})
"""Suffixes of those whose first bytes are those of a JPEG or TIFF: a preview, tiles that overlap, one of several scans."""
KIND = "slide"
"""What a file that OpenSlide reads is called where others are TIFF or PNG."""
_XMP, _DESCRIPTION = 700, 270
_WHITE = "FFFFFF"

Sizes = tuple[tuple[int, int], ...]
"""Height and width of each level, the full one first."""


def is_vendors(path: Path, stream: BinaryIO | None = None) -> bool:
    """Whether OpenSlide has to read a file, by its suffix, or by the tags of a TIFF.

    Args:
        path: the file.
        stream: of it, if it is a TIFF.
    """
    if path.suffix.lower() in VENDORS:
        return True
    if stream is None:
        return False
    tags = metadata.first_tags(stream)
    software = metadata.software_of_tiff(stream) if tags else ""
    stream.seek(0)
    description = tags[_DESCRIPTION].data if _DESCRIPTION in tags else b""
    stitched = _XMP in tags and b"<iScan" in tags[_XMP].data  # Ventana: the tiles overlap
    return stitched or software.startswith("MedScan") or b"<scn xmlns" in description  # Trestle: likewise; Leica: an image a scan


def check_level(path: Path, level: int, sizes: Sequence[tuple[int, int]]) -> None:
    """See that there is such a level.

    Raises:
        UserError: there is not; the message says which there are.
    """
    if 0 <= level < len(sizes):
        return
    if len(sizes) == 1:
        raise UserError(f"{path} has no levels, but its one image of {sizes[0][1]} x {sizes[0][0]} pixels: leave out --level {level}")
    listed = ", ".join(f"{number} ({width} x {height})" for number, (height, width) in enumerate(sizes))
    raise UserError(f"{path} has no level {level}: choose one of {listed}")


def factors(sizes: Sequence[tuple[int, int]], level: int) -> tuple[float, float]:
    """How much larger a pixel of a level is than one of the full image, along a row and along a column.

    A side that is a whole part of the full one, rounded, is just that: the last pixel alone is smaller, or was left out.
    """

    def of(full: int, side: int) -> float:
        whole = round(full / side)
        return float(whole) if side in (full // whole, -(-full // whole)) else full / side

    return of(sizes[0][1], sizes[level][1]), of(sizes[0][0], sizes[level][0])


def at_level(about: Metadata, larger: tuple[float, float]) -> Metadata:
    """What a file says of its full image, of a level of it: a pixel is larger, and it lies elsewhere on the ground.

    Args:
        about: the full image.
        larger: how much larger a pixel is, along a row and along a column.
    """
    if larger == (1.0, 1.0):
        return about
    about = about.in_micrometres()
    size = None if about.pixel_size is None else scaled_size(about.pixel_size, *larger)
    dpi = replace(about, pixel_size=None).dpi()
    resolution = {} if dpi is None else metadata.resolution(dpi[0] / larger[0], dpi[1] / larger[1])
    return replace(about, pixel_size=size, resolution=resolution, georeference={})


class SlideLevel:
    """One level of a slide, by OpenSlide: RGB on the background's colour, where nothing was scanned.

    Levels that are not smaller by a whole number lie between the pixels that OpenSlide counts in, those of level 0: a rectangle of such a
    level may lie off by up to half a pixel of level 0.

    Args:
        path: the file.
        level: 0 for the full size.

    Attributes:
        layout: what it holds.
        sizes: of all levels.
        about: what the slide says beside its pixels, of this level.

    Raises:
        UserError: there is no such level, or OpenSlide cannot read the file.
        Missing: OpenSlide is not installed.
    """

    def __init__(self, path: Path, level: int = 0) -> None:
        openslide = _openslide(f"reading {path}, a whole slide,")
        try:
            self._slide = openslide.OpenSlide(path)
        except openslide.OpenSlideUnsupportedFormatError as error:
            raise UserError(f"{path} is no whole slide that OpenSlide knows: convert it to TIFF, or leave it out") from error
        except openslide.OpenSlideError as error:
            raise ValueError(str(error)) from error
        try:
            self._error: type[Exception] = openslide.OpenSlideError
            self.sizes: Sizes = tuple((height, width) for width, height in self._slide.level_dimensions)
            check_level(path, level, self.sizes)
            self._level, (height, width) = level, self.sizes[level]
            background = self._slide.properties.get(openslide.PROPERTY_NAME_BACKGROUND_COLOR, _WHITE)
            self._background = np.array([int(background[at : at + 2], 16) for at in (0, 2, 4)], np.uint16)
            self.layout = Layout(height, width, 3, "uint8", transparent=False, stored="uint8", axes="YXS", lossy="JPEG")
            self.about = at_level(self._about(openslide), factors(self.sizes, level))
        except BaseException:
            self._slide.close()
            raise

    def read(self, top: int, left: int, bottom: int, right: int) -> NDArray[Any]:
        """``[bottom - top, right - left, 3]``."""
        larger = self._slide.level_downsamples[self._level]
        place = round(left * larger), round(top * larger)
        try:
            image = self._slide.read_region(place, self._level, (right - left, bottom - top))
        except self._error as error:
            raise ValueError(str(error)) from error
        pixels: NDArray[np.uint8] = np.asarray(image)
        colours, alpha = pixels[..., :3], pixels[..., 3:]
        if (alpha == 255).all():
            return np.ascontiguousarray(colours)
        mixed = colours.astype(np.uint16) * alpha + self._background * (255 - alpha.astype(np.uint16))
        blended: NDArray[Any] = ((mixed + 127) // 255).astype(np.uint8)
        return blended

    def close(self) -> None:
        """Let go of the file."""
        self._slide.close()

    def _about(self, openslide: Any) -> Metadata:
        known = self._slide.properties
        size = None
        with contextlib.suppress(KeyError, ValueError):
            size = PixelSize(float(known[openslide.PROPERTY_NAME_MPP_X]), float(known[openslide.PROPERTY_NAME_MPP_Y]))
        icc = b""
        with contextlib.suppress(Exception):  # the pixels are another matter
            profile = self._slide.color_profile
            icc = b"" if profile is None else profile.tobytes()
        return Metadata(icc=icc, pixel_size=size)


def _openslide(purpose: str) -> Any:
    try:
        import openslide
    except (ImportError, OSError) as error:  # the library itself is a package of its own
        raise Missing.extra("openslide-python", "slides", purpose) from error
    return openslide
