"""What a picture says beside its pixels goes with it, where its file can say it: checked with the libraries that others read it with."""

from __future__ import annotations

import io
import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageCms, PngImagePlugin, TiffImagePlugin
from PIL.TiffTags import DOUBLE, SHORT

from tests.tiny import copying, noise_image
from transfigure.data import images
from transfigure.data.formats import metadata
from transfigure.networks.model_file import Domain

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
GREY = SRGB[:16] + b"GRAY" + SRGB[20:]
GEO: dict[int, tuple[Any, Any]] = {
    33550: (DOUBLE, (0.5, 0.5, 0.0)),
    33922: (DOUBLE, (0.0, 0.0, 0.0, 440720.0, 3751320.0, 0.0)),
    34735: (SHORT, (1, 1, 0, 3, 1024, 0, 1, 1, 1025, 0, 1, 1, 3072, 0, 1, 32611)),
    34736: (DOUBLE, (6378137.0, 298.257223563)),
    34737: (2, "UTM Zone 11 N with WGS 84|"),
    42113: (2, "0"),
}


def exif(orientation: int = 1) -> Image.Exif:
    found = Image.Exif()
    found[271], found[272], found[306] = "Maker", "Model 7", "2026:11:27 12:00:00"
    found[274], found[305] = orientation, "some camera"
    found.get_ifd(ExifTags.IFD.Exif).update({36867: "2026:11:27 11:59:59", 33434: 0.004, 37500: b"m" * 300, 40961: 1})
    found.get_ifd(ExifTags.IFD.GPSInfo).update({1: "N", 2: (47.0, 22.0, 30.5), 3: "E", 4: (8.0, 32.0, 1.25)})
    return found


def source(file: Path, channels: int = 3, orientation: int = 1, **more: Any) -> Path:
    array = noise_image(8, 12, channels)
    picture = Image.fromarray(array[..., 0] if channels == 1 else array)
    file.parent.mkdir(parents=True, exist_ok=True)
    picture.save(file, exif=exif(orientation).tobytes(), dpi=(300, 300), icc_profile=SRGB if channels == 3 else GREY, **more)
    return file


def geotiff(file: Path, channels: int = 3, dtype: str = "uint8", nodata: str = "0", big_endian: bool = False, orientation: int = 1) -> Path:
    """As GDAL writes it: tags of the ground beside a picture."""
    file.parent.mkdir(parents=True, exist_ok=True)
    array = noise_image(8, 12, channels, dtype)
    if channels not in (1, 3) or dtype != "uint8":
        tifffile = pytest.importorskip("tifffile")
        geo = {code: (kind, (nodata if code == 42113 else value)) for code, (kind, value) in GEO.items()}
        extra = [(code, kind, 0 if kind == 2 else len(value), value, True) for code, (kind, value) in geo.items()]
        pages = array.transpose(2, 0, 1) if channels > 1 else array[..., 0]
        order: dict[str, Any] = {"byteorder": ">" if big_endian else "<", "planarconfig": "separate" if channels > 1 else None}
        tifffile.imwrite(file, pages, photometric="minisblack", extratags=extra, metadata=None, **order)
        return file
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[274] = orientation
    for code, (kind, value) in GEO.items():
        tags.tagtype[code] = kind
        tags[code] = nodata if code == 42113 else value
    Image.fromarray(array[..., 0] if channels == 1 else array).save(file, tiffinfo=tags, dpi=(72, 72))
    return file


def translated(file: Path, suffix: str, channels: int = 3, dtype: str = "uint8", **options: Any) -> Path:
    output = file.parent / f"out{suffix}"
    copying(Domain(channels, dtype)).translate_file(file, output, **options)
    return output


def said(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return [line for line in capsys.readouterr().err.splitlines() if "not kept" in line]


# ---- date, camera, position, profile, resolution ----------------------------------------------------------------------------


@pytest.mark.parametrize("before", [".jpg", ".png", ".webp", ".tif"])
@pytest.mark.parametrize("after", [".jpg", ".png", ".webp", ".tif"])
def test_c09_exif_profile_and_resolution_are_kept(tmp_path: Path, before: str, after: str, capsys: pytest.CaptureFixture[str]) -> None:
    output = translated(source(tmp_path / f"in{before}"), after)
    with Image.open(output) as picture:
        found = picture.getexif()
        assert (found[271], found[272], found[306]) == ("Maker", "Model 7", "2026:11:27 12:00:00")
        assert found.get(274, 1) == 1 and found[305].startswith("transfigure ")
        taken, place = found.get_ifd(ExifTags.IFD.Exif), found.get_ifd(ExifTags.IFD.GPSInfo)
        assert (taken[36867], float(taken[33434])) == ("2026:11:27 11:59:59", pytest.approx(0.004))
        assert not {37500, 40961} & taken.keys(), "the maker's own note and the colour space are of the old file"
        assert (place[1], [float(part) for part in place[2]]) == ("N", [47.0, 22.0, 30.5])
        assert picture.info["icc_profile"] == SRGB
        if before != ".webp" and after != ".webp":  # which has no place of its own for it
            assert picture.info["dpi"] == pytest.approx((300, 300), abs=0.01)
    assert said(capsys) == []


def test_c09_what_was_turned_is_upright(tmp_path: Path) -> None:
    output = translated(source(tmp_path / "in.jpg", orientation=6), ".jpg")
    with Image.open(output) as picture:
        assert picture.size == (8, 12) and picture.getexif()[274] == 1 and picture.getexif()[271] == "Maker"


def test_c09_what_was_not_turned_lies_where_it_lay(tmp_path: Path) -> None:
    """With the orientation ignored the grid is the file's, so the tags of the ground hold; and a batch goes on."""
    file = geotiff(tmp_path / "in" / "in.tif", orientation=6)
    output = tmp_path / "out" / "in.tif"
    copying().translate_folder(file.parent, output.parent, format="tif", orientation="ignore", quiet=True)
    assert images.read(output).shape == (8, 12, 3) and of_the_ground(output).keys() == GEO.keys()
    again = copying().translate_folder(file.parent, output.parent, format="tif", orientation="ignore", quiet=True, skip_existing=True)
    assert again == [] and again.skipped == [output]
    copying().translate_folder(file.parent, output.parent, format="tif", quiet=True, skip_existing=True)
    assert images.read(output).shape == (12, 8, 3) and of_the_ground(output) == {42113: "0"}, "which no turn changes"


@pytest.mark.parametrize("orientation", [0, 9])
def test_c09_an_orientation_that_there_is_not_moves_nothing(tmp_path: Path, orientation: int, capsys: pytest.CaptureFixture[str]) -> None:
    output = translated(geotiff(tmp_path / "in.tif", orientation=orientation), ".tif")
    assert images.read(output).shape == (8, 12, 3) and of_the_ground(output).keys() == GEO.keys() and said(capsys) == []


def test_c09_a_profile_goes_with_its_kind_of_image_only(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    grey = translated(source(tmp_path / "grey.png", channels=1), ".png", channels=3)
    with Image.open(grey) as picture:
        assert picture.mode == "RGB" and "icc_profile" not in picture.info and picture.getexif()[271] == "Maker"
    assert said(capsys) == ["note: the colour profile of the source is not kept: it is not for images of 3 channels"]
    same = translated(source(tmp_path / "same.png", channels=1), ".png", channels=1)
    with Image.open(same) as picture:
        assert picture.info["icc_profile"] == GREY


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif"])
def test_c09_it_can_be_dropped(tmp_path: Path, suffix: str, capsys: pytest.CaptureFixture[str]) -> None:
    output = translated(source(tmp_path / f"in{suffix}"), suffix, metadata="drop")
    with Image.open(output) as picture:
        found = picture.getexif()
        assert not {271, 306, 34665, 34853} & found.keys() and "icc_profile" not in picture.info
    assert b"Maker" not in output.read_bytes() and said(capsys) == []


def test_c09_a_bitmap_holds_the_resolution_alone_and_it_is_said_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(3):
        source(tmp_path / "in" / f"{number}.jpg")
    written = copying().translate_folder(tmp_path / "in", tmp_path / "out", format="bmp")
    assert said(capsys) == [
        "note: the colour profile of the source is not kept: a BMP file has no place for it",
        "note: EXIF data (date, camera, position) of the source are not kept: a BMP file has no place for them",
    ]
    with Image.open(written[0]) as picture:
        assert picture.info["dpi"] == pytest.approx((300, 300), abs=0.1)


def test_c09_texts_of_a_png_are_not_kept_and_it_is_said_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture = Image.fromarray(noise_image(16, 16))
    for number, keys in enumerate([("Comment",), ("Author", "Title"), ()]):
        texts = PngImagePlugin.PngInfo()
        for key in ("Software", "date:create", *keys):
            texts.add_text(key, "of the pixels")
        (tmp_path / "in").mkdir(exist_ok=True)
        picture.save(tmp_path / "in" / f"{number}.png", pnginfo=texts)
    copying().translate_folder(tmp_path / "in", tmp_path / "out")
    assert said(capsys) == ["note: texts of the source (comment, author, title and the like) are not kept: they may speak of its pixels"]
    assert list(Image.open(tmp_path / "out" / "0.png").info) == ["Software"]
    copying().translate_file(tmp_path / "in" / "2.png", tmp_path / "alone.png")
    assert said(capsys) == []


def test_c09_a_profile_of_a_tiff_goes_into_a_png(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    Image.fromarray(noise_image(16, 16)).save(tmp_path / "a.tif", icc_profile=profile)
    copying().translate_file(tmp_path / "a.tif", tmp_path / "a.png")
    assert Image.open(tmp_path / "a.png").info["icc_profile"] == profile and said(capsys) == []


def test_c09_the_same_pixels_with_and_without(tmp_path: Path) -> None:
    for suffix in (".png", ".webp", ".tif"):
        file = source(tmp_path / f"in{suffix}", **({"lossless": True} if suffix == ".webp" else {}))
        kept, dropped = translated(file, f".a{suffix}"), translated(file, f".b{suffix}", metadata="drop")
        assert np.array_equal(images.read(kept), images.read(dropped)) and np.array_equal(images.read(kept), images.read(file))


# ---- where it lies on the ground ----------------------------------------------------------------------------------------------


def of_the_ground(file: Path) -> dict[int, Any]:
    tifffile = pytest.importorskip("tifffile")
    with tifffile.TiffFile(file) as tiff:
        return {code: tiff.pages[0].tags[code].value for code in GEO if code in tiff.pages[0].tags}


@pytest.mark.parametrize(
    ("channels", "dtype", "big_endian"),
    [
        (3, "uint8", False),
        (1, "uint8", False),
        (1, "uint16", False),
        (5, "uint16", False),
        (4, "float32", True),
        (1, "float32", False),
        (5, "uint16", True),
    ],
)
def test_c09_geotiff_tags_are_kept(tmp_path: Path, channels: int, dtype: str, big_endian: bool, capsys: pytest.CaptureFixture[str]) -> None:
    file = geotiff(tmp_path / "in.tif", channels, dtype, big_endian=big_endian)
    copying(Domain(channels, dtype, (0.0, 1.0) if dtype == "float32" else None)).translate_folder(
        tmp_path, tmp_path.parent / "out", format="tif"
    )
    output = tmp_path.parent / "out" / "in.tif"
    assert of_the_ground(output) == of_the_ground(file) and len(of_the_ground(output)) == 6
    assert images.read(output).shape == images.read(file).shape and said(capsys) == []
    tifffile = pytest.importorskip("tifffile")
    with tifffile.TiffFile(output) as tiff:
        assert tiff.pages[0].tags[305].value.startswith("transfigure ")


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize(("height", "width"), [(8, 12), (3, 4), (9, 1)])
def test_channels_on_the_ground_are_bands_of_one_page(tmp_path: Path, dtype: str, height: int, width: int) -> None:
    """To GDAL the pages of a TIFF are images of their own."""
    tifffile = pytest.importorskip("tifffile")
    about = images.metadata_of(geotiff(tmp_path / "in.tif"))
    names = ("B2 <blue>", "B3", "B4 µ", "B8")
    array = noise_image(height, width, 4, dtype)
    for given in ((), names):
        images.write(tmp_path / "out.tif", array, replace(about, channel_names=given))
        back, facts = images.examine(tmp_path / "out.tif", "keep")
        if dtype == "uint8" and not given:
            continue  # four channels of bytes are RGB and alpha
        np.testing.assert_array_equal(back, array)
        assert facts.channel_names == given and of_the_ground(tmp_path / "out.tif") == of_the_ground(tmp_path / "in.tif")
        with tifffile.TiffFile(tmp_path / "out.tif") as tiff:
            assert len(tiff.pages) == 1 and tiff.pages[0].samplesperpixel == 4 and tiff.pages[0].planarconfig == 2


def test_c09_a_png_has_no_place_for_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    translated(geotiff(tmp_path / "in.tif"), ".png")
    assert said(capsys) == ["note: georeference and no-data value of the source are not kept: a PNG file has no place for them (tif has)"]


@pytest.mark.parametrize(
    ("tags", "words"),
    [
        (GEO.keys() - {42113}, "the georeference of the source is not kept: a PNG file has no place for it (tif has)"),
        ({42113}, "the no-data value of the source is not kept: a PNG file has no place for it (tif has)"),
    ],
)
def test_c09_what_is_not_there_is_not_said_to_be_lost(tags: set[int], words: str) -> None:
    found = metadata.Metadata(georeference={code: metadata.Tag(2, 2, b"0\0") for code in tags})
    kept, lost = found.fitting("PNG", 3, "uint8", same_grid=True)
    assert lost == [words] and not kept.georeference


def test_c09_half_of_a_picture_lies_elsewhere(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = translated(geotiff(tmp_path / "in.tif"), ".tif", half="left")
    assert of_the_ground(output) == {42113: "0"}, "what means no data does so anywhere"
    notes = said(capsys)
    assert "note: the georeference of the source is not kept: the output has other rows and columns" in notes


def test_c09_a_no_data_value_that_the_output_cannot_say(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = translated(geotiff(tmp_path / "in.tif", nodata="-9999"), ".tif")
    assert of_the_ground(output).keys() == GEO.keys() - {42113}
    assert said(capsys) == ["note: the no-data value of the source is not kept: uint8 cannot say -9999"]


# ---- damaged and hostile ------------------------------------------------------------------------------------------------------


def tiff_of_tags(*entries: tuple[int, int, int, bytes], count: int | None = None) -> bytes:
    return (
        b"II*\0"
        + struct.pack("<IH", 8, len(entries) if count is None else count)
        + b"".join(struct.pack("<HHI4s", *entry) for entry in entries)
        + bytes(4)
    )


@pytest.mark.parametrize(
    "block",
    [
        b"",
        b"II",
        b"II*\0\xff\xff\xff\xff",
        tiff_of_tags(count=60_000),
        tiff_of_tags((271, 2, 0xFFFFFFFF, b"\x08\0\0\0")),
        tiff_of_tags((34665, 4, 1, b"\x08\0\0\0")),
        tiff_of_tags((34665, 4, 1, b"\xff\xff\xff\x7f")),
        tiff_of_tags((33550, 99, 3, b"\x08\0\0\0"), (282, 5, 1, b"\x08\0\0\0")),
    ],
)
def test_c09_damaged_metadata_are_left_out(tmp_path: Path, block: bytes) -> None:
    with Image.fromarray(noise_image(8, 12, 3)) as picture:
        picture.save(tmp_path / "in.jpg", exif=b"Exif\0\0" + block)
    assert images.read(translated(tmp_path / "in.jpg", ".png")).shape == (8, 12, 3)
    assert images.software(tmp_path / "in.jpg") in ("", None)


def test_c09_a_profile_that_unpacks_to_anything_is_left_out() -> None:
    import zlib

    data = b"x\0\0" + zlib.compress(bytes(64 << 20))
    png = b"\x89PNG\r\n\x1a\n" + struct.pack(">I4s", len(data), b"iCCP") + data + struct.pack(">I", zlib.crc32(b"iCCP" + data))
    assert metadata.of_png(io.BytesIO(png)).icc == b""


def test_c09_what_is_too_large_is_not_taken_along(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    large = exif()
    large.get_ifd(ExifTags.IFD.Exif)[37510] = b"ASCII\0\0\0" + b"x" * 64_000
    Image.fromarray(noise_image(8, 12, 3)).save(tmp_path / "in.png", exif=large)
    output = translated(tmp_path / "in.png", ".jpg")
    with Image.open(output) as picture:
        assert 271 not in picture.getexif()
    assert said(capsys) == ["note: EXIF data (date, camera, position) of the source are not kept: they are more than 60,000 bytes"]
