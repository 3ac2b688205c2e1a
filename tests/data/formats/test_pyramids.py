"""Pyramids are read back exactly, and tifffile, tiffslide and openslide see the same levels in them."""

from __future__ import annotations

import itertools
import math
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from tests.data.whole_slides import tissue
from transfigure.data import images
from transfigure.data.formats import metadata, pyramids
from transfigure.data.formats.metadata import Metadata
from transfigure.data.formats.ome import PixelSize
from transfigure.data.formats.pyramids import halved, level_sizes
from transfigure.data.formats.row_file import ImageShape
from transfigure.data.ownership import is_ours
from transfigure.data.row_writer import RowWriter
from transfigure.errors import UserError

SIDES = (701, 1203)


def begin(
    file: Path, image: NDArray[Any], about: Metadata | None = None, classes: bool = False, key: str = "", height: int = 0
) -> RowWriter:
    shape = ImageShape(height or image.shape[0], image.shape[1], image.shape[2], image.dtype.name)
    return images.open_rows(file, shape, about, key, "commonest" if classes else "mean")


def write(file: Path, image: NDArray[Any], about: Metadata | None = None, classes: bool = False, rows: int = 97) -> list[NDArray[Any]]:
    """Write a pyramid some rows at a time; gives its levels as they should be."""
    writer = begin(file, image, about, classes)
    for top in range(0, len(image), rows):
        writer.write_rows(image[top : top + rows])
    assert not file.exists()
    assert writer.close() == file
    levels = [image]
    while max(levels[-1].shape[:2]) > pyramids.SMALLEST:
        levels.append(halved(levels[-1], "commonest" if classes else "mean"))
    return levels


def by_tifffile(file: Path) -> tuple[str, list[NDArray[Any]]]:
    with tifffile.TiffFile(file) as tiff:
        assert len(tiff.series) == 1
        series = tiff.series[0]
        found = [np.asarray(level.asarray()) for level in series.levels]
        return series.axes, [np.moveaxis(one, 0, 2) if series.axes[0] == "C" else one.reshape(*one.shape[:2], -1) for one in found]


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_three_readers_see_the_same_levels(channels: int, dtype: str, big: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    openslide, tiffslide = pytest.importorskip("openslide"), pytest.importorskip("tiffslide")
    if big:
        monkeypatch.setattr(pyramids, "_CLASSIC", 0)
    file = tmp_path / "slide.ome.tif"
    levels = write(file, tissue(*SIDES, channels, dtype), Metadata(pixel_size=PixelSize(0.25, 0.5)))
    assert file.read_bytes()[:4] == (b"II+\0" if big else b"II*\0")
    axes, seen = by_tifffile(file)
    assert axes == ("YX" if channels == 1 else "YXS") and len(levels) == 3
    for level, one in zip(levels, seen, strict=True):
        np.testing.assert_array_equal(one, level)
    slide = tiffslide.TiffSlide(file)
    assert [(height, width) for width, height in slide.level_dimensions] == [level.shape[:2] for level in levels]
    assert (slide.properties["tiffslide.mpp-x"], slide.properties["tiffslide.mpp-y"]) == (0.25, 0.5)
    for number, level in enumerate(levels):
        one = slide.read_region((0, 0), number, slide.level_dimensions[number], as_array=True)
        np.testing.assert_array_equal(one.reshape(level.shape), level)
    slide.close()
    other = openslide.OpenSlide(file)
    assert [(height, width) for width, height in other.level_dimensions] == [level.shape[:2] for level in levels]
    assert [float(other.properties[f"openslide.mpp-{axis}"]) for axis in "xy"] == [0.25, 0.5]
    for number, level in enumerate(levels):
        one = np.asarray(other.read_region((0, 0), number, other.level_dimensions[number]))[..., :3]
        whole = level.shape[1] // pyramids.TILE * pyramids.TILE if (channels, dtype) == (1, "uint16") else level.shape[1]
        shown = (level >> 8 if dtype == "uint16" else level)[:, :whole]  # 8 bits; of the last tiles of grey with 16 bits it shows rubbish
        assert abs(one[:, :whole].astype(int) - shown.astype(int)).max() <= (dtype == "uint16")
    other.close()


CASES: dict[str, tuple[int, str, Metadata]] = {
    "RGB": (3, "uint8", Metadata(maker="model-abc")),
    "RGB on the ground": (3, "uint8", Metadata(georeference={33550: metadata.Tag(12, 3, bytes(24))})),
    "RGBA": (4, "uint8", Metadata()),
    "grey": (1, "uint16", Metadata()),
    "floats": (1, "float32", Metadata()),
    "doubles": (2, "float64", Metadata()),
    "signed": (2, "int16", Metadata()),
    "named": (5, "uint16", Metadata(channel_names=("DAPI", "FITC", "Cy3", "Cy5", "<&>"))),
    "colours of 32 bits": (3, "uint32", Metadata()),
    "bands": (4, "uint16", Metadata(channel_names=tuple("abcd"), georeference={33550: metadata.Tag(12, 3, bytes(24))})),
}


@pytest.mark.parametrize("case", CASES)
def test_it_is_read_back_as_it_was_written(case: str, tmp_path: Path) -> None:
    channels, dtype, about = CASES[case]
    file = tmp_path / "a.ome.tif"
    levels = write(file, tissue(*SIDES, channels, dtype), about)
    assert images.levels_of(file) == tuple(level.shape[:2] for level in levels) == tuple(level_sizes(*SIDES))
    image, facts = images.examine(file, "keep", pages="channels")
    np.testing.assert_array_equal(image, levels[0])
    assert image.dtype == dtype and facts.channel_names == about.channel_names
    assert images.metadata_of(file).is_on_ground == about.is_on_ground
    for number, level in enumerate(levels):
        windows = images.open_windows(file, "keep", pages="channels", level=number)
        assert windows is not None
        np.testing.assert_array_equal(windows.read(100, 50, level.shape[0], level.shape[1]), level[100:, 50:])
        windows.close()
    assert is_ours(file)
    words = (images.software(file) or "").split(" ")
    assert words[0] == "transfigure" and ("model-abc" in words) == (about.maker != "")
    file.write_bytes(file.read_bytes() + b"x")
    assert not is_ours(file)


def test_it_says_what_the_image_says(tmp_path: Path) -> None:
    about = Metadata(
        icc=bytes(16) + b"RGB " + bytes(200),
        camera={271: metadata.Tag(2, 4, b"abc\0")},
        exif={33434: metadata.Tag(5, 1, bytes(8))},
        resolution={
            282: metadata.Tag(5, 1, b"\x10'\0\0\1\0\0\0"),
            283: metadata.Tag(5, 1, b"\x10'\0\0\2\0\0\0"),
            296: metadata.Tag(3, 1, b"\3\0"),
        },
    )
    write(tmp_path / "a.ome.tif", tissue(600, 600), about)
    found = images.metadata_of(tmp_path / "a.ome.tif")
    assert (found.icc, found.camera, found.exif) == (about.icc, about.camera, about.exif)
    assert found.pixel_size == PixelSize(1.0, 2.0)  # of the resolution per centimetre, as scanners give it
    assert images.metadata_of(tmp_path / "a.ome.tif", 1).pixel_size == PixelSize(2.0, 4.0)
    write(tmp_path / "b.ome.tif", tissue(600, 600), Metadata(resolution=metadata.resolution(300, 300)))
    assert images.metadata_of(tmp_path / "b.ome.tif").pixel_size is None  # a camera's says nothing of what is in the picture


def test_indices_of_a_palette_stay_indices_at_every_level(tmp_path: Path) -> None:
    colours = ((0, (0, 0, 0)), (1, (255, 0, 0)), (7, (0, 10, 20)))
    unused = ((8, (1, 2, 3, 9)), (255, (4, 5, 6)))  # the first of them transparent, which a TIFF cannot say
    indices = np.array([0, 1, 7], np.uint8)[tissue(*SIDES, 1) % 3]
    levels = write(tmp_path / "a.ome.tif", indices, Metadata(palette=(*colours, *unused)), classes=True)
    image, facts = images.examine(tmp_path / "a.ome.tif", palette="index")
    np.testing.assert_array_equal(image, indices)
    assert facts.palette == tuple((index, bytes(colour)) for index, colour in colours)
    assert facts.entries[4 * 8 : 4 * 9] == bytes((1, 2, 3, 255)) and facts.entries[4 * 255 :] == bytes((4, 5, 6, 255))
    _, seen = by_tifffile(tmp_path / "a.ome.tif")
    assert all(np.array_equal(one, level) and set(np.unique(one)) <= {0, 1, 7} for one, level in zip(seen, levels, strict=True))
    with Image.open(tmp_path / "a.ome.tif") as opened:
        assert opened.convert("RGB").getpixel((0, 0)) == dict(colours)[int(indices[0, 0, 0])]


def test_half_the_size_is_the_mean_of_four() -> None:
    four = np.array([[[0], [1]], [[1], [1]]])
    assert halved(four.astype("uint8"), "mean").item() == 1  # 0.75
    assert halved((four - 1).astype("int16"), "mean").item() == 0  # -0.25
    assert halved(np.full((2, 2, 1), 2**32 - 1, "uint32"), "mean").item() == 2**32 - 1
    assert halved(np.full((2, 2, 1), 3e38, "float32"), "mean").item() == np.float32(3e38)
    odd = halved(np.arange(15, dtype="uint8").reshape(3, 5, 1), "mean")
    assert odd[..., 0].tolist() == [[3, 5, 7], [11, 13, 14]]


def test_half_the_size_of_classes_is_the_commonest_of_four() -> None:
    cases = {(1, 2, 2, 3): 2, (1, 2, 3, 2): 2, (1, 2, 3, 3): 3, (1, 2, 3, 1): 1, (1, 2, 3, 4): 1, (5, 5, 6, 6): 5}
    for four, wanted in cases.items():
        assert halved(np.array(four, "uint8").reshape(2, 2, 1), "commonest").item() == wanted
    colours = np.array([[[9, 0, 0], [0, 9, 0]], [[0, 9, 0], [0, 0, 9]]], "uint8")
    assert halved(colours, "commonest")[0, 0].tolist() == [0, 9, 0]  # each channel by itself would be black


@pytest.mark.parametrize(("dtype", "none"), [("int16", -9999.0), ("float32", math.nan), ("uint8", 0.0)])
def test_no_data_is_left_out_of_means(dtype: str, none: float) -> None:
    image = np.array([[none, 4, none, none], [6, none, none, none]], "float64")[..., None].astype(dtype)
    small = halved(image, "mean", none)
    assert small[0, 0].item() == 5 and np.array_equal(small[0, 1], np.array([none], dtype), equal_nan=True)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 3000), st.integers(1, 3000))
def test_levels_halve_until_they_are_small(height: int, width: int) -> None:
    sizes = level_sizes(height, width)
    assert sizes[0] == (height, width) and max(sizes[-1]) <= max(pyramids.SMALLEST, 1)
    for above, below in itertools.pairwise(sizes):
        assert below == tuple(-(-side // 2) for side in above) and max(above) > pyramids.SMALLEST


def test_what_it_cannot_hold_is_refused_before_the_work(tmp_path: Path) -> None:
    for name, dtype, reason in (
        ("a.png", "uint8", r"a pyramid is a TIFF file: write a\.ome\.tif, or say --pyramid off"),
        ("a.ome.tif", "float16", "an OME-TIFF knows no float16: say --pyramid off"),
    ):
        with pytest.raises(UserError, match=reason):
            begin(tmp_path / name, np.zeros((600, 600, 1), dtype))
    with pytest.raises(UserError, match="cannot hold indices of a palette"):
        begin(tmp_path / "a.tif", np.zeros((600, 600, 3), "uint8"), Metadata(palette=((0, (1, 2, 3)),)))
    assert not any(tmp_path.iterdir())


def test_it_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    file = tmp_path / "a.ome.tif"
    writer = begin(file, tissue(700, 600))
    writer.write_rows(tissue(600, 600))
    assert [item.suffix for item in tmp_path.iterdir()] == [".part"]
    with pytest.raises(ValueError, match="rows of 700"):
        writer.close()
    writer.discard()
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("case", ["RGB", "named", "floats", "signed", "bands"])
@pytest.mark.parametrize("cuts", [(1,), (300, 520), (1030,), (1100,), (1101,)])
def test_a_cut_run_goes_on_to_the_same_file(case: str, cuts: tuple[int, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pyramids, "SMALLEST", 100)
    monkeypatch.setattr(pyramids, "TILE", 64)
    channels, dtype, about = CASES[case]
    image = tissue(1101, 330, channels, dtype)
    write(tmp_path / "whole.ome.tif", image, about)
    file = tmp_path / "cut.ome.tif"
    at = 0
    for cut in cuts:
        writer = begin(file, image, about, key="work")
        assert writer.rows <= at
        writer.write_rows(image[writer.rows : cut])
        writer.save({})
        writer.write_rows(image[cut : cut + 200])  # which nobody saves
        writer.keep()
        at = cut
    writer = begin(file, image, about, key="work")
    assert at - 64 < writer.rows <= at
    writer.write_rows(image[writer.rows :])
    writer.close()
    np.testing.assert_array_equal(images.read(file, "keep", pages="channels"), image)
    for level in range(len(images.levels_of(file))):
        pair = [images.open_windows(one, "keep", pages="channels", level=level) for one in (file, tmp_path / "whole.ome.tif")]
        assert pair[0] is not None and pair[1] is not None
        np.testing.assert_array_equal(*(one.read(0, 0, one.height, one.width) for one in pair if one is not None))
    assert is_ours(file) and sorted(item.name for item in tmp_path.iterdir()) == ["cut.ome.tif", "whole.ome.tif"]


def test_the_same_image_gives_the_same_file(tmp_path: Path) -> None:
    for name, rows in (("a", 1), ("b", 700)):
        write(tmp_path / f"{name}.ome.tif", tissue(700, 600), rows=rows)
    assert (tmp_path / "a.ome.tif").read_bytes() == (tmp_path / "b.ome.tif").read_bytes()


def test_no_more_is_held_than_a_row_of_tiles_of_each_level(tmp_path: Path) -> None:
    width, rows = 2048, tissue(64, 2048)
    writer = begin(tmp_path / "a.ome.tif", rows, height=6400)
    tracemalloc.start()
    try:
        for _ in range(100):
            writer.write_rows(rows)
        writer.close()
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 12 * pyramids.TILE * width * 3  # of 25 rows of tiles


def test_an_image_too_large_to_decode_that_was_changed_is_not_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "a.ome.tif"
    write(file, tissue(700, 600))
    monkeypatch.setenv("TRANSFIGURE_MAX_PIXELS", "1000")
    assert is_ours(file)
    with file.open("r+b") as changed:
        changed.seek(2000)
        changed.write(b"another")
    assert not is_ours(file)
