"""Rectangles of files are what the whole image has there, for every layout that gives them; the others say that they give none."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from transfigure.data import images
from transfigure.data.formats.windowed_tiff import WindowedTiff
from transfigure.data.pixels import Array
from transfigure.errors import UserError

HEIGHT, WIDTH = 50, 70
PLACES = [(0, 0, HEIGHT, WIDTH), (3, 5, 40, 61), (49, 69, 50, 70), (31, 15, 33, 17)]
KINDS: dict[str, tuple[tuple[int, ...], dict[str, Any]]] = {
    "grey": ((HEIGHT, WIDTH), {}),
    "white is zero": ((HEIGHT, WIDTH), {"photometric": "miniswhite"}),
    "RGB": ((HEIGHT, WIDTH, 3), {"photometric": "rgb"}),
    "RGBA": ((HEIGHT, WIDTH, 4), {"photometric": "rgb", "extrasamples": ["unassalpha"]}),
    "planes": ((3, HEIGHT, WIDTH), {"photometric": "rgb", "planarconfig": "separate"}),
    "bands": ((5, HEIGHT, WIDTH), {"photometric": "minisblack", "planarconfig": "separate"}),
    "samples": ((HEIGHT, WIDTH, 5), {"photometric": "minisblack", "planarconfig": "contig"}),
    "pages": ((5, HEIGHT, WIDTH), {"photometric": "minisblack"}),
    "channels of slices": ((2, 3, HEIGHT, WIDTH), {"photometric": "minisblack", "metadata": {"axes": "CZYX"}}),
}
LAYOUTS: list[dict[str, Any]] = [{}, {"rowsperstrip": 7}, {"tile": (32, 16)}]


def values(shape: tuple[int, ...], dtype: str) -> Array:
    random = np.random.default_rng(0)
    return random.random(shape).astype(dtype) if dtype.startswith("float") else random.integers(0, 100, shape).astype(dtype)


def compare(file: Path, **how: Any) -> None:
    """Rectangles against the whole."""
    whole, facts = images.examine(file, **how)
    windows = images.open_windows(file, **how)
    assert windows is not None
    assert (windows.height, windows.width, windows.channels, windows.dtype) == (*whole.shape, whole.dtype.name)
    assert windows.facts.no_data_share == 0 and windows.facts == replace(facts, no_data_share=0.0)
    for top, left, bottom, right in PLACES:
        got = windows.read(top, left, bottom, right)
        assert got.dtype == whole.dtype
        np.testing.assert_array_equal(got, whole[top:bottom, left:right])
    windows.close()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("compression", [None, "zlib", "lzw", "zstd", "packbits"])
def test_a_window_is_what_the_whole_has_there(kind: str, compression: str | None, tmp_path: Path) -> None:
    shape, options = KINDS[kind]
    for at, (dtype, layout) in enumerate(itertools.product(("uint8", "uint16", "float32"), LAYOUTS)):
        if kind == "RGBA" and dtype == "float32":
            continue
        order: dict[str, Any] = {"byteorder": "<>"[at % 2], "bigtiff": at % 4 == 1}
        tifffile.imwrite(tmp_path / f"{at}.tif", values(shape, dtype), compression=compression, **order, **layout, **options)
        compare(tmp_path / f"{at}.tif", alpha="keep", pages="channels")


@pytest.mark.parametrize("dtype", ["int8", "int16", "uint32", "int32", "float16", "float64"])
def test_of_every_type(dtype: str, tmp_path: Path) -> None:
    for compression in (None, "zlib"):
        tifffile.imwrite(tmp_path / "a.tif", values((HEIGHT, WIDTH), dtype), compression=compression, tile=(16, 16))
        compare(tmp_path / "a.tif")


@pytest.mark.parametrize("predictor", [False, True])
def test_compressions_that_lose_something_and_predictors(predictor: bool, tmp_path: Path) -> None:
    smooth = (np.add.outer(np.arange(64), np.arange(80))[..., None] + np.array([0, 20, 40])).astype(np.uint8)
    options: dict[str, Any] = {"compression": "zlib", "predictor": True} if predictor else {"compression": "jpeg"}
    tifffile.imwrite(tmp_path / "a.tif", smooth, photometric="rgb", tile=(32, 32), **options)
    compare(tmp_path / "a.tif")


def test_pages_that_are_chosen(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", values((2, 4, HEIGHT, WIDTH), "uint16"), photometric="minisblack", metadata={"axes": "CZYX"})
    tifffile.imwrite(
        tmp_path / "b.tif", values((4, 2, HEIGHT, WIDTH), "uint16"), compression="zlib", imagej=True, metadata={"axes": "ZCYX"}
    )
    for file, pages in itertools.product(("a.tif", "b.tif"), [(1,), (3, 0), (2, 2, 3)]):
        compare(tmp_path / file, pages=pages)
    with pytest.raises(UserError, match="holds 4 pages"):
        images.open_windows(tmp_path / "a.tif")


@pytest.mark.parametrize("tag", range(1, 9))
def test_orientation(tag: int, tmp_path: Path) -> None:
    for layout in LAYOUTS:
        tag_of = [(274, "H", 1, tag, True)]
        tifffile.imwrite(tmp_path / "a.tif", values((HEIGHT, WIDTH, 3), "uint8"), photometric="rgb", extratags=tag_of, **layout)
        compare(tmp_path / "a.tif", orientation="ignore")
        if tag < 5:
            compare(tmp_path / "a.tif")
        else:
            assert images.open_windows(tmp_path / "a.tif") is None


@pytest.mark.parametrize("alpha", ["white", "black", "drop", "keep"])
def test_transparency(alpha: str, tmp_path: Path) -> None:
    for extra, dtype in itertools.product(("assocalpha", "unassalpha"), ("uint8", "uint16")):
        tifffile.imwrite(
            tmp_path / "a.tif", values((HEIGHT, WIDTH, 2), dtype), photometric="minisblack", extrasamples=[extra], tile=(16, 16)
        )
        if images.open_windows(tmp_path / "a.tif", alpha=alpha) is not None:  # type: ignore[arg-type]
            compare(tmp_path / "a.tif", alpha=alpha)
        else:
            assert (extra, dtype) == ("assocalpha", "uint8")  # Pillow rounds otherwise
    opaque = values((HEIGHT, WIDTH, 4), "uint8")
    opaque[..., 3] = 255
    tifffile.imwrite(tmp_path / "b.tif", opaque, photometric="rgb", extrasamples=["unassalpha"])
    compare(tmp_path / "b.tif")
    opaque[30, 60, 3] = 254
    tifffile.imwrite(tmp_path / "b.tif", opaque, photometric="rgb", extrasamples=["unassalpha"])
    windows = images.open_windows(tmp_path / "b.tif")
    assert windows is not None and (windows.read(0, 0, 30, WIDTH) == opaque[:30, :, :3]).all()
    with pytest.raises(UserError, match=r"b.tif is partly transparent: choose --alpha white"):
        windows.read(20, 0, 40, WIDTH)


def test_no_data_and_values_that_are_no_numbers(tmp_path: Path) -> None:
    floats = values((HEIGHT, WIDTH), "float32")
    floats[40] = np.nan
    tifffile.imwrite(tmp_path / "a.tif", floats)
    compare(tmp_path / "a.tif", no_data="nan")
    windows = images.open_windows(tmp_path / "a.tif")
    assert windows is not None and np.isfinite(windows.read(0, 0, 40, WIDTH)).all()
    with pytest.raises(UserError, match="holds 70 values that are not finite"):
        windows.read(30, 0, 41, WIDTH)
    tifffile.imwrite(tmp_path / "b.tif", values((HEIGHT, WIDTH), "int16"), extratags=[(42113, "s", 0, "-9999", True)], tile=(16, 16))
    compare(tmp_path / "b.tif")


@pytest.mark.parametrize("shape", [(HEIGHT, WIDTH), (HEIGHT, WIDTH, 3), (4, HEIGHT, WIDTH), (4, HEIGHT, WIDTH, 2)])
def test_arrays_of_numpy(shape: tuple[int, ...], tmp_path: Path) -> None:
    for dtype in ("uint8", ">u2", "float64", "bool"):
        np.save(tmp_path / "a.npy", values(shape, "float64").astype(dtype) if dtype != "bool" else values(shape, "uint8") > 50)
        compare(tmp_path / "a.npy", pages="channels")
        if len(shape) > 2 and shape[0] == 4:
            compare(tmp_path / "a.npy", pages=(2, 0))
    np.save(tmp_path / "a.npy", np.asfortranarray(values(shape, "uint8")))
    assert images.open_windows(tmp_path / "a.npy", pages="channels") is None


def test_formats_and_layouts_that_give_none(tmp_path: Path) -> None:
    picture = values((HEIGHT, WIDTH, 3), "uint8")
    for name in ("a.png", "a.jpg", "a.webp", "a.bmp", "a.npz"):
        images.write(tmp_path / name, picture)
        assert images.open_windows(tmp_path / name) is None
    tifffile.imwrite(tmp_path / "palette.tif", picture[..., 0], photometric="palette", colormap=np.zeros((3, 256), np.uint16))
    assert images.open_windows(tmp_path / "palette.tif") is None
    with pytest.raises(UserError, match="does not exist"):
        images.open_windows(tmp_path / "none.tif")


def test_neighbours_are_decoded_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tifffile.imwrite(tmp_path / "a.tif", values((96, 96), "uint16"), compression="zlib", tile=(32, 32))
    windows = images.open_windows(tmp_path / "a.tif")
    assert windows is not None
    decoded: list[int] = []
    tiff: WindowedTiff = windows._raw  # type: ignore[attr-defined]
    keep = tiff._keep

    def counting(key: tuple[int, int], segment: Array | None) -> None:
        decoded.append(key[1])
        keep(key, segment)

    monkeypatch.setattr(tiff, "_keep", counting)
    for row in range(0, 96, 8):
        windows.read(row, 0, row + 8, 96)
    assert decoded == [*range(9)]


def test_damage_is_a_sentence(tmp_path: Path) -> None:
    file = tmp_path / "a.tif"
    tifffile.imwrite(file, values((HEIGHT, WIDTH), "uint16"), compression="zlib", rowsperstrip=10)
    with tifffile.TiffFile(file) as tiff:
        offset, count = tiff.pages[0].dataoffsets[3], tiff.pages[0].databytecounts[3]
    content = bytearray(file.read_bytes())
    content[offset : offset + count] = bytes(count)
    file.write_bytes(content)
    windows = images.open_windows(file)
    assert windows is not None and windows.read(0, 0, 30, WIDTH).shape == (30, WIDTH, 1)
    with pytest.raises(UserError, match=r"a.tif is a damaged or unsupported TIFF file"):
        windows.read(25, 0, 35, WIDTH)


def test_a_claim_that_the_bytes_do_not_bear_out(tmp_path: Path) -> None:
    file = tmp_path / "a.tif"
    tifffile.imwrite(file, values((16, 16), "uint8"), compression="zlib", tile=(16, 16))
    content = file.read_bytes()
    with tifffile.TiffFile(file) as tiff:
        places = [(tiff.pages.first.tags[code].valueoffset, size) for code, size in ((256, 60_000), (257, 60_000))]
    for place, size in places:
        content = content[:place] + size.to_bytes(2, "little") + content[place + 2 :]
    file.write_bytes(content)
    with pytest.raises(UserError, match=r"a.tif (claims to be 60000 x 60000 pixels, for which its|is a damaged or unsupported TIFF)"):
        images.open_windows(file)
