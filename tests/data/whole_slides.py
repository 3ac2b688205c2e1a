"""Small whole slides of the kinds that scanners write: as tests can make them, with pixels that are known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

TILE = (240, 240)
Pixels = NDArray[Any]


def tissue(height: int, width: int, channels: int = 3, dtype: str = "uint8") -> Pixels:
    """``[H, W, C]``: another value at every place nearby, in every channel."""
    y, x = np.mgrid[:height, :width]
    planes = [(x * (channel + 1) + y * (channel + 2)) % 251 for channel in range(channels)]
    pixels = np.stack(planes, axis=2)
    return (pixels / 250).astype(dtype) if dtype.startswith("float") else (pixels * (np.iinfo(dtype).max // 255)).astype(dtype)


def smaller(pixels: Pixels, times: int) -> Pixels:
    """Every so many pixels one, and no part of a pixel at the end, as scanners round."""
    height, width = pixels.shape[0] // times, pixels.shape[1] // times
    return np.ascontiguousarray(pixels[::times, ::times][:height, :width])


def aperio(file: Path, image: Pixels, times: tuple[int, ...] = (4, 16), **options: Any) -> list[Pixels]:
    """An SVS: the full image, a thumbnail, smaller levels, then the label and the macro image of the glass.

    Returns:
        Its levels.
    """
    height, width, _ = image.shape
    levels = [image, *(smaller(image, each) for each in times)]
    about = "Aperio Image Library v12.0.15\r\n{size} [0,0 {full}] (240x240) |AppMag = 20|MPP = 0.4990|Filename = 1"
    options = {"compression": "zlib", **options}

    def described(pixels: Pixels) -> str:
        return about.format(size=f"{pixels.shape[1]}x{pixels.shape[0]}", full=f"{width}x{height}")

    with tifffile.TiffWriter(file) as tiff:
        tiff.write(image, tile=TILE, photometric="rgb", description=described(image), metadata=None, **options)
        thumbnail = smaller(image, 8)
        tiff.write(thumbnail, photometric="rgb", rowsperstrip=16, description=described(thumbnail), metadata=None)
        for level in levels[1:]:
            tiff.write(level, tile=TILE, photometric="rgb", description=described(level), metadata=None, **options)
        for name, kind in (("label", 1), ("macro", 9)):
            beside = smaller(image, 10)
            text = f"Aperio Image Library v12.0.15\r\n{name} {beside.shape[1]}x{beside.shape[0]}"
            tiff.write(beside, photometric="rgb", rowsperstrip=16, description=text, subfiletype=kind, metadata=None)
    return levels


def generic(file: Path, image: Pixels, times: tuple[int, ...] = (2, 4)) -> list[Pixels]:
    """A tiled pyramid whose levels are further pages, marked as reduced."""
    levels = [image, *(smaller(image, each) for each in times)]
    with tifffile.TiffWriter(file) as tiff:
        for number, level in enumerate(levels):
            grey = level.shape[2] == 1
            tiff.write(
                level[..., 0] if grey else level,
                tile=(256, 256),
                photometric="minisblack" if grey else "rgb",
                subfiletype=int(number > 0),
                compression="zlib",
                metadata=None,
            )
    return levels


def ome(file: Path, image: Pixels, times: tuple[int, ...] = (2, 4)) -> list[Pixels]:
    """An OME-TIFF of a page for each channel, whose levels stand below the pages."""
    levels = [image, *(smaller(image, each) for each in times)]
    planes = [np.moveaxis(level, 2, 0) for level in levels]
    with tifffile.TiffWriter(file, ome=True) as tiff:
        about = {"axes": "CYX", "PhysicalSizeX": 0.25, "PhysicalSizeXUnit": "µm", "PhysicalSizeY": 0.25, "PhysicalSizeYUnit": "µm"}
        options: dict[str, Any] = {"tile": (128, 128), "photometric": "minisblack", "compression": "zlib"}
        tiff.write(planes[0], subifds=len(planes) - 1, metadata=about, **options)
        for plane in planes[1:]:
            tiff.write(plane, subfiletype=1, metadata=None, **options)
    return levels
