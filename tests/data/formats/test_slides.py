"""Whole slides: every reader gives the same levels and pixels, and the size of a pixel is that of the level which is read."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import numpy as np
import pytest

from tests.data.whole_slides import aperio, generic, ome, tissue
from transfigure.data import images
from transfigure.data.formats import slides
from transfigure.data.formats.metadata import Metadata
from transfigure.data.formats.ome import PixelSize, aperio_size
from transfigure.data.pairs import FilePicture
from transfigure.errors import Missing, UserError

KINDS = {"svs": aperio, "tif": generic, "ome.tif": ome}


def read(file: Path, level: int) -> np.ndarray[Any, Any]:
    """All of a level, in rectangles."""
    windows = images.open_windows(file, pages="channels", level=level)
    assert windows is not None
    found = np.zeros((windows.height, windows.width, windows.channels), windows.dtype)
    for top in range(0, windows.height, 300):
        for left in range(0, windows.width, 333):
            bottom, right = min(top + 300, windows.height), min(left + 333, windows.width)
            found[top:bottom, left:right] = windows.read(top, left, bottom, right)
    windows.close()
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_every_level_is_read_as_it_is_stored(kind: str, tmp_path: Path) -> None:
    file = tmp_path / f"slide.{kind}"
    levels = KINDS[kind](file, tissue(1001, 1503))
    assert images.levels_of(file) == tuple(level.shape[:2] for level in levels)
    for number, level in enumerate(levels):
        np.testing.assert_array_equal(read(file, number), level)
    np.testing.assert_array_equal(images.read(file), levels[0])


def test_a_picture_is_a_level_of_its_file(tmp_path: Path) -> None:
    levels = aperio(tmp_path / "a.svs", tissue(1001, 1503))
    picture = FilePicture((tmp_path / "a.svs",), level=1)
    np.testing.assert_array_equal(picture.read(), levels[1])
    windows = picture.open_windows()
    assert windows is not None and (windows.height, windows.width) == levels[1].shape[:2]
    np.testing.assert_array_equal(windows.read(7, 9, 100, 90), levels[1][7:100, 9:90])
    windows.close()
    assert images.size_of(tmp_path / "a.svs", level=2).width == levels[2].shape[1]


def test_channels_of_16_bits_have_levels(tmp_path: Path) -> None:
    levels = ome(tmp_path / "a.ome.tif", tissue(700, 600, 5, "uint16"))
    for number, level in enumerate(levels):
        np.testing.assert_array_equal(read(tmp_path / "a.ome.tif", number), level)


@pytest.mark.parametrize("kind", ["svs", "tif"])
def test_openslide_and_tiffslide_read_the_same(kind: str, tmp_path: Path) -> None:
    openslide, tiffslide = pytest.importorskip("openslide"), pytest.importorskip("tiffslide")
    file = tmp_path / f"slide.{kind}"
    levels = KINDS[kind](file, tissue(1008, 1504))  # sides that 16 divides: else OpenSlide blends neighbours where a rectangle begins
    for reader in (openslide.OpenSlide(file), tiffslide.TiffSlide(file)):
        assert [(height, width) for width, height in reader.level_dimensions] == [level.shape[:2] for level in levels]
        for number, level in enumerate(levels):
            seen = np.asarray(reader.read_region((0, 0), number, reader.level_dimensions[number]))[..., :3]
            np.testing.assert_array_equal(seen, level)
        reader.close()
    by_openslide = slides.SlideLevel(file, 1)
    assert by_openslide.sizes == images.levels_of(file)
    np.testing.assert_array_equal(by_openslide.read(10, 20, 110, 220), levels[1][10:110, 20:220])
    by_openslide.close()


def test_what_tifffile_does_not_read_rightly_goes_to_openslide(tmp_path: Path) -> None:
    pytest.importorskip("openslide")
    levels = generic(tmp_path / "slide.scn", tissue(600, 800))
    windows = images.open_windows(tmp_path / "slide.scn", level=1)
    assert windows is not None and windows.facts.format == "slide" and len(windows.levels) == 3
    np.testing.assert_array_equal(windows.read(0, 0, 300, 400), levels[1])
    windows.close()
    with pytest.raises(UserError, match=r"slide\.scn has no level 3: choose one of 0 \(800 x 600\), 1 \(400 x 300\), 2 \(200 x 150\)"):
        images.open_windows(tmp_path / "slide.scn", level=3)
    header = images.size_of(tmp_path / "slide.scn", level=2)
    assert (header.height, header.width, header.channels, header.dtype) == (150, 200, 3, "uint8")
    np.testing.assert_array_equal(FilePicture((tmp_path / "slide.scn",), level=1).read(), levels[1])
    np.testing.assert_array_equal(FilePicture((tmp_path / "slide.scn",), level=0).read(), levels[0])
    with pytest.raises(UserError, match="larger than the limit"):
        FilePicture((tmp_path / "slide.scn",), level=0, max_pixels=1000).read()
    for what in (images.read, images.size_of):
        with pytest.raises(UserError, match="transfigure translate reads all of it"):
            what(tmp_path / "slide.scn")
    assert images.kind_of(tmp_path / "slide.scn") == ("whole slide", False)
    (tmp_path / "scan.svslide").write_bytes(b"no slide at all")
    with pytest.raises(UserError, match="no whole slide that OpenSlide knows"):
        images.open_windows(tmp_path / "scan.svslide")
    with pytest.raises(UserError, match="if it is a whole slide, transfigure translate reads it"):
        images.read(tmp_path / "scan.svslide")
    with pytest.raises(UserError, match="does not exist"):
        images.open_windows(tmp_path / "none.mrxs")


def test_without_openslide_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    generic(tmp_path / "slide.bif", tissue(300, 300))
    monkeypatch.setitem(sys.modules, "openslide", None)
    with pytest.raises(Missing, match=r"reading .*slide\.bif, a whole slide, needs the package 'openslide-python'.*\[slides\]"):
        images.open_windows(tmp_path / "slide.bif")


def test_where_nothing_was_scanned_the_background_shows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from PIL import Image

    class Fake:
        level_dimensions: ClassVar = ((40, 30),)
        level_downsamples: ClassVar = (1.0,)
        properties: ClassVar = {"openslide.background-color": "FF8000", "openslide.mpp-x": "0.5", "openslide.mpp-y": "0.25"}
        color_profile = None

        def __init__(self, path: Path) -> None:
            self.path = path

        def read_region(self, place: tuple[int, int], level: int, size: tuple[int, int]) -> Image.Image:
            return Image.new("RGBA", size, (10, 20, 30, 51))

        def close(self) -> None:
            pass

    fake = ModuleType("openslide")
    names = {"OpenSlide": Fake, "OpenSlideError": OSError, "OpenSlideUnsupportedFormatError": KeyError}
    words = {"PROPERTY_NAME_BACKGROUND_COLOR": "openslide.background-color"}
    words |= {"PROPERTY_NAME_MPP_X": "openslide.mpp-x", "PROPERTY_NAME_MPP_Y": "openslide.mpp-y"}
    for name, value in {**names, **words}.items():
        setattr(fake, name, value)
    monkeypatch.setitem(sys.modules, "openslide", fake)
    level = slides.SlideLevel(tmp_path / "a.mrxs")
    assert level.read(0, 0, 2, 3).shape == (2, 3, 3)
    assert level.read(0, 0, 1, 1)[0, 0].tolist() == [206, 106, 6]  # a fifth of the colour, and four fifths of the background
    assert level.about.pixel_size == PixelSize(0.5, 0.25)


def test_a_level_has_larger_pixels(tmp_path: Path) -> None:
    aperio(tmp_path / "a.svs", tissue(1001, 1503))
    ome(tmp_path / "a.ome.tif", tissue(501, 700))
    sizes = [images.metadata_of(tmp_path / "a.svs", level).pixel_size for level in range(3)]
    assert sizes == [PixelSize(0.499, 0.499), PixelSize(1.996, 1.996), PixelSize(7.984, 7.984)]
    assert images.metadata_of(tmp_path / "a.ome.tif", 2).pixel_size == PixelSize(1.0, 1.0)
    assert slides.factors(((100, 100), (33, 40)), 1) == (2.5, 3.0)


def test_a_level_says_nothing_of_the_ground_and_has_its_own_resolution() -> None:
    from transfigure.data.formats import metadata

    full = Metadata(resolution=metadata.resolution(300, 300), georeference={33550: metadata.Tag(12, 3, bytes(24))})
    level = slides.at_level(full, (4.0, 2.0))
    assert level.dpi() == (75.0, 150.0) and not level.georeference
    assert slides.at_level(full, (1.0, 1.0)) is full
    scanned = Metadata(resolution={**full.resolution, 296: metadata.Tag(3, 1, b"\3\0"), 282: metadata.Tag(5, 1, b"\x10'\0\0\1\0\0\0")})
    scanned = replace(scanned, resolution={**scanned.resolution, 283: scanned.resolution[282]})  # 10,000 per centimetre
    assert slides.at_level(scanned, (4.0, 4.0)).pixel_size == PixelSize(4.0, 4.0)


def test_a_level_that_is_not_there_is_refused_with_those_that_are(tmp_path: Path) -> None:
    aperio(tmp_path / "a.svs", tissue(1001, 1503))
    with pytest.raises(UserError, match=r"a\.svs has no level 3: choose one of 0 \(1503 x 1001\), 1 \(375 x 250\), 2 \(93 x 62\)"):
        images.open_windows(tmp_path / "a.svs", level=3)
    images.write(tmp_path / "a.png", tissue(20, 30))
    images.write(tmp_path / "a.tif", tissue(20, 30))
    with pytest.raises(UserError, match=r"a\.png is a PNG file, which has no levels: leave out --level 1"):
        images.open_windows(tmp_path / "a.png", level=1)
    with pytest.raises(UserError, match=r"a\.tif has no levels, but its one image of 30 x 20 pixels"):
        images.open_windows(tmp_path / "a.tif", level=1)
    assert images.levels_of(tmp_path / "a.png") == ((20, 30),)


@pytest.mark.parametrize("text", ["Aperio Image|MPP = 1.2.3", "Aperio Image|MPP = 0", "Aperio", "MPP = 0.5", "Aperio |MPP = ."])
def test_a_damaged_size_is_none(text: str) -> None:
    assert aperio_size(text) is None
