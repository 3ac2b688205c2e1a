"""What is written is read back exactly, by us and by others, with the names of channels and the size of a pixel."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.data.pictures import Pixels
from tests.tiny import tiny_config, tiny_translator
from transfigure.data import images, ownership
from transfigure.data.formats import scientific
from transfigure.data.formats.metadata import Metadata
from transfigure.data.formats.ome import PixelSize
from transfigure.data.pixels import upright
from transfigure.data.value_range import NATURAL_RANGE
from transfigure.errors import UserError
from transfigure.networks.model_file import Domain

tifffile = pytest.importorskip("tifffile")

NAMES = ('DAPI <1> & "2"', "MAP2, µm", "NFH", "d", "e", *(f"z{at}" for at in range(8)))


def noise(height: int, width: int, channels: int, dtype: str = "uint16") -> Pixels:
    values = np.random.default_rng(channels).random((height, width, channels)) * 120
    return values.astype(dtype)


class TestTiff:
    @pytest.mark.parametrize("dtype", sorted(NATURAL_RANGE))
    @pytest.mark.parametrize("channels", [1, 2, 3, 4, 5, 13])
    def test_every_type_and_count(self, tmp_path: Path, channels: int, dtype: str) -> None:
        """Sides of one pixel, of two to four, and of as many as there are channels: what a bare imwrite takes for something else."""
        path = tmp_path / "x.tif"
        for height, width in ((7, 6), (1, 1), (7, 1), (1, 6), (64, 3), (3, 64), (channels, channels)):
            for names, size in (((), None), (NAMES[:channels], PixelSize(0.325, 0.65, 1.5))):
                array = noise(height, width, channels, dtype)
                images.write(path, array, Metadata(channel_names=names, pixel_size=size))
                back, facts = images.examine(path, "keep")
                assert back.dtype == array.dtype
                np.testing.assert_array_equal(back, array)
                assert facts.channel_names == names and facts.pages == 1
                assert images.metadata_of(path).pixel_size == size
                assert images.pages_of(path) == 1 and ownership.is_ours(path)
                header = images.size_of(path)
                assert (header.height, header.width, header.channels + header.transparent) == (height, width, channels)
                assert header.dtype == dtype

    @pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "float32", "float64", "float16"])
    @pytest.mark.parametrize("channels", [2, 3, 4, 13])
    def test_others_read_named_channels_with_their_axes(self, tmp_path: Path, channels: int, dtype: str) -> None:
        array, size = noise(20, 17, channels, dtype), PixelSize(0.325, 0.65)
        images.write(tmp_path / "x.tif", array, Metadata(channel_names=NAMES[:channels], pixel_size=size))
        with tifffile.TiffFile(tmp_path / "x.tif") as tiff:
            (series,) = tiff.series
            assert series.axes == "CYX" and series.dtype == dtype
            np.testing.assert_array_equal(series.asarray(), array.transpose(2, 0, 1))
            resolution = [float(np.divide(*tiff.pages[0].tags[code].value)) for code in (282, 283)]
            assert resolution == pytest.approx([1e4 / 0.325, 1e4 / 0.65]) and tiff.pages[0].tags[296].value == 3
            if dtype == "float16":  # which OME does not know
                assert tiff.shaped_metadata[0]["Channel"] == {"Name": list(NAMES[:channels])}
            else:
                pixels = tifffile.xml2dict(tiff.ome_metadata)["OME"]["Image"]["Pixels"]
                assert [channel["Name"] for channel in pixels["Channel"]] == list(NAMES[:channels])
                assert (pixels["PhysicalSizeX"], pixels["PhysicalSizeY"], pixels["PhysicalSizeXUnit"]) == (0.325, 0.65, "µm")
                assert (pixels["SizeC"], pixels["SizeY"], pixels["SizeX"]) == (channels, 20, 17)

    def test_colours_without_names_stay_colours(self, tmp_path: Path) -> None:
        for dtype in ("uint8", "uint16"):
            images.write(tmp_path / "x.tif", noise(20, 17, 3, dtype))
            with tifffile.TiffFile(tmp_path / "x.tif") as tiff:
                assert tiff.series[0].axes == "YXS" and tiff.pages[0].photometric.name == "RGB"

    def test_the_same_image_is_the_same_file(self, tmp_path: Path) -> None:
        for name in "ab":
            images.write(tmp_path / f"{name}.tif", noise(20, 17, 5), Metadata(channel_names=NAMES[:5]))
        assert (tmp_path / "a.tif").read_bytes() == (tmp_path / "b.tif").read_bytes()

    def test_a_file_whose_places_need_64_bits(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(scientific, "BIG", 0)
        images.write(tmp_path / "x.tif", noise(20, 17, 5), Metadata(channel_names=NAMES[:5]))
        assert (tmp_path / "x.tif").read_bytes()[:4] == b"II+\0"
        found, facts = images.examine(tmp_path / "x.tif")
        np.testing.assert_array_equal(found, noise(20, 17, 5))
        assert facts.channel_names == NAMES[:5]

    def test_names_for_other_channels_are_refused(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match="2 names for 3 channels"):
            images.write(tmp_path / "x.tif", noise(20, 17, 3), Metadata(channel_names=("a", "b")))


class TestTypesOfTheTarget:
    @pytest.mark.parametrize("dtype", ["int16", "int32", "uint32", "float64", "int8"])
    def test_hounsfield_units_come_out_as_they_went_in(self, tmp_path: Path, dtype: str, capsys: pytest.CaptureFixture[str]) -> None:
        limits = (-100.0, 100.0) if dtype == "int8" else (0.0, 3000.0) if dtype == "uint32" else (-1024.0, 3071.0)
        array = np.random.default_rng(0).integers(*(round(one) for one in limits), (16, 16, 1)).astype(dtype)
        images.write(tmp_path / "in" / "ct.tif", array)
        domain = Domain(1, dtype, limits)
        translator = tiny_translator(tiny_config(source=domain, target=domain))
        translator.generator.forward = lambda source: source
        (written,) = translator.translate_folder(tmp_path / "in", tmp_path / "out")
        assert written.name == "ct.tif" and "written as tif: a png cannot hold 1 channel" in capsys.readouterr().err
        found = images.read(written)
        assert found.dtype == np.dtype(dtype)
        np.testing.assert_allclose(found, array, atol=1e-3 if dtype == "float64" else 0)

    @pytest.mark.parametrize("dtype", ["int8", "int16", "uint32", "int32", "float16", "float32", "float64"])
    def test_a_png_is_refused_with_the_way_out(self, tmp_path: Path, dtype: str) -> None:
        with pytest.raises(UserError, match=rf"a PNG file cannot hold 1 channel of {dtype}: write a \.tif file instead"):
            images.write(tmp_path / "x.png", noise(4, 4, 1, dtype))


class TestPixelSize:
    def imagej(self, path: Path) -> None:
        tifffile.imwrite(
            path, noise(16, 12, 1)[..., 0], imagej=True, resolution=(1 / 0.2, 1 / 0.4), metadata={"unit": "um", "spacing": 1.5}
        )

    def ome(self, path: Path) -> None:
        size = {"PhysicalSizeX": 200, "PhysicalSizeXUnit": "nm", "PhysicalSizeY": 0.4, "PhysicalSizeYUnit": "µm"}
        more = {"PhysicalSizeZ": 0.0015, "PhysicalSizeZUnit": "mm"}
        tifffile.imwrite(path, noise(16, 12, 1)[..., 0], ome=True, photometric="minisblack", metadata={"axes": "YX", **size, **more})

    @pytest.mark.parametrize("kind", ["imagej", "ome"])
    def test_it_is_kept_by_translation(self, tmp_path: Path, kind: str, capsys: pytest.CaptureFixture[str]) -> None:
        getattr(self, kind)(tmp_path / "in.tif")
        domain = Domain(1, "uint16")
        translator = tiny_translator(tiny_config(source=domain, target=Domain(3, "uint16", names=("a", "b", "c"))))
        translator.translate_file(tmp_path / "in.tif", tmp_path / "out.tif")
        found = images.metadata_of(tmp_path / "out.tif").pixel_size
        assert found is not None and (found.x, found.y, found.z) == pytest.approx((0.2, 0.4, 1.5))
        assert images.examine(tmp_path / "out.tif")[1].channel_names == ("a", "b", "c")
        assert "not kept" not in capsys.readouterr().err

    def test_in_a_png_it_is_a_resolution(self, tmp_path: Path) -> None:
        self.imagej(tmp_path / "in.tif")
        domain = Domain(1, "uint16")
        tiny_translator(tiny_config(source=domain, target=domain)).translate_file(tmp_path / "in.tif", tmp_path / "out.png")
        with Image.open(tmp_path / "out.png") as image:
            assert image.info["dpi"] == pytest.approx((25400 / 0.2, 25400 / 0.4), rel=1e-5)

    @pytest.mark.parametrize("suffix", ["npy", "npz", "bmp", "webp"])
    def test_the_loss_is_said_once(self, tmp_path: Path, suffix: str, capsys: pytest.CaptureFixture[str]) -> None:
        domain = Domain(1, "uint16" if suffix[:2] == "np" else "uint8")
        (tmp_path / "in").mkdir()
        for name in "ab":
            self.imagej(tmp_path / "in" / f"{name}.tif")
        translator = tiny_translator(tiny_config(source=Domain(1, "uint16"), target=domain))
        translator.translate_folder(tmp_path / "in", tmp_path / "out", format=suffix)
        said = capsys.readouterr().err
        assert said.count("the size of a pixel of the source is not kept: a") == 1

    def test_a_turned_picture(self, tmp_path: Path) -> None:
        found = Metadata(pixel_size=PixelSize(1.0, 2.0, 3.0), orientation=6)
        assert found.fitting("TIFF", 1, "uint8", same_grid=True)[0].pixel_size == PixelSize(2.0, 1.0, 3.0)
        assert found.fitting("TIFF", 1, "uint8", same_grid=False)[0].pixel_size == PixelSize(2.0, 1.0, 3.0)

    @pytest.mark.parametrize("unit", ["pixel", "\\u00B5m", "micron", "", "lightyear"])
    def test_units_of_imagej(self, tmp_path: Path, unit: str) -> None:
        tifffile.imwrite(tmp_path / "x.tif", noise(4, 4, 1)[..., 0], imagej=True, resolution=(2, 2), metadata={"unit": unit})
        found = images.metadata_of(tmp_path / "x.tif").pixel_size
        assert (found == PixelSize(0.5, 0.5)) if unit in ("\\u00B5m", "micron") else found is None


# ---- PNG ------------------------------------------------------------------------------------------------------------------------


def png(values: Pixels, bits: int, chunks: bytes = b"", colour: int = 0) -> bytes:
    """A PNG of values of few bits, with chunks before them."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    height, width = values.shape[:2]
    rows = []
    for row in values.reshape(height, -1):
        text = "".join(format(int(value), f"0{bits}b") for value in row)
        text += "0" * (-len(text) % 8)
        rows.append(b"\0" + bytes(int(text[at : at + 8], 2) for at in range(0, len(text), 8)))
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0))
    parts = [chunk(chunks[at : at + 4], chunks[at + 4 : at + 8].rstrip(b"_")) for at in range(0, len(chunks), 8)]
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(parts) + chunk(b"IDAT", zlib.compress(b"".join(rows))) + chunk(b"IEND", b"")


class TestPng:
    @pytest.mark.parametrize("bits", [2, 4])
    def test_few_bits_are_the_values_that_the_file_holds(self, tmp_path: Path, bits: int) -> None:
        values = np.arange(1 << bits, dtype=np.uint8).reshape(2, -1)
        (tmp_path / "x.png").write_bytes(png(values, bits))
        found, facts = images.examine(tmp_path / "x.png")
        np.testing.assert_array_equal(found[..., 0], values)
        assert facts.bits == bits
        with Image.open(tmp_path / "x.png") as image:
            assert np.array(image).max() == 255, "Pillow stretches them"

    def test_the_colour_that_stands_for_transparent(self, tmp_path: Path) -> None:
        values = np.arange(4, dtype=np.uint8).reshape(1, 4)
        (tmp_path / "x.png").write_bytes(png(values, 2, b"tRNS\0\1__"))
        with pytest.raises(UserError, match="partly transparent"):
            images.read(tmp_path / "x.png")
        np.testing.assert_array_equal(images.read(tmp_path / "x.png", "drop")[..., 0], values)
        np.testing.assert_array_equal(images.read(tmp_path / "x.png", "keep")[..., 3], [[255, 0, 255, 255]])

    @pytest.mark.parametrize("channels", [1, 3])
    def test_significant_bits(self, tmp_path: Path, channels: int) -> None:
        values = np.random.default_rng(0).integers(0, 2000, (4, 5, channels))
        chunk = b"sBIT" + b"\x0c" * channels + b"_" * (4 - channels)
        (tmp_path / "x.png").write_bytes(png(values, 16, chunk, 0 if channels == 1 else 2))
        found, facts = images.examine(tmp_path / "x.png")
        assert facts.bits == 12 and found.dtype == np.uint16
        np.testing.assert_array_equal(found, values)

    def test_they_are_in_the_note_about_the_range(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        values = np.random.default_rng(0).integers(0, 2000, (16, 16))
        (tmp_path / "in").mkdir()
        (tmp_path / "in" / "x.png").write_bytes(png(values, 16, b"sBIT\x0c___"))
        domain = Domain(1, "uint16")
        tiny_translator(tiny_config(source=domain, target=domain)).translate_folder(tmp_path / "in", tmp_path / "out")
        said = capsys.readouterr().err
        assert f"use only the values {values.min()} to {values.max()} of 65535 (their files say that 12 bits are used)" in said

    def test_deep_colour_is_exact(self, tmp_path: Path) -> None:
        """Pillow reads the high byte of each."""
        pytest.importorskip("png")
        array = np.random.default_rng(0).integers(0, 65536, (9, 8, 3)).astype(np.uint16)
        images.write(tmp_path / "x.png", array)
        np.testing.assert_array_equal(images.read(tmp_path / "x.png"), array)
        stream = io.BytesIO((tmp_path / "x.png").read_bytes())
        np.testing.assert_array_equal(np.array(Image.open(stream)), array >> 8)


def test_many_channels_do_not_lose_colour_where_a_fourth_is_zero() -> None:
    """Pillow resizes RGBA multiplied by alpha."""
    array = np.random.default_rng(0).integers(0, 256, (16, 16, 4)).astype(np.uint8)
    array[..., 3] = 0
    found: dict[str, Any] = {"ours": images.resize(array, 8, 8, "bicubic"), "Pillow": Image.fromarray(array).resize((8, 8), 3)}
    alone = images.resize(array[..., :3], 8, 8, "bicubic")
    np.testing.assert_array_equal(found["ours"][..., :3], alone)
    assert np.array(found["Pillow"])[..., :3].max() == 0


def test_values_beyond_bytes_are_written_as_they_are(tmp_path: Path) -> None:
    """Pillow's conversion of floats to 16 bits clips at 255."""
    array = np.linspace(0, 65535, 300).round().astype(np.uint16).reshape(15, 20, 1)
    for name in ("x.png", "x.tif"):
        images.write(tmp_path / name, array)
        np.testing.assert_array_equal(images.read(tmp_path / name), array)
    floats = Image.fromarray(array[..., 0].astype(np.float32))
    assert np.array(floats.convert("I;16")).max() == 255


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(("channels", "dtype"), [(1, "uint16"), (1, "int16"), (1, "float32"), (3, "uint16"), (5, "uint8")])
def test_deep_values_are_turned_without_a_change(tmp_path: Path, channels: int, dtype: str, orientation: int) -> None:
    """Pillow's rotation of 16-bit grey, where it resamples, is noise."""
    array = (noise(6, 9, channels, "float64") * 2).astype(dtype)
    stored = upright(array, {6: 8, 8: 6}.get(orientation, orientation))
    pages = [stored[..., channel] for channel in range(channels)]
    options: dict[str, Any] = {"metadata": {"axes": "CYX"}} if channels > 1 else {"metadata": None}
    tag = [(274, 3, 1, orientation, True)]
    tifffile.imwrite(tmp_path / "x.tif", np.stack(pages) if channels > 1 else pages[0], photometric="minisblack", extratags=tag, **options)
    np.testing.assert_array_equal(images.read(tmp_path / "x.tif"), array)
    np.testing.assert_array_equal(images.read(tmp_path / "x.tif", orientation="ignore"), stored)
