"""Any file is an array or a sentence, and what is written comes back."""

from __future__ import annotations

import builtins
import io
import struct
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import png
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image, ImageOps, PngImagePlugin

from transfigure.data import images
from transfigure.data.images import Header, read, size_of, split_halves, write
from transfigure.errors import Missing, UserError

Pixels = np.ndarray[Any, Any]
in_one_folder = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


def gradient(height: int, width: int, channels: int, dtype: str = "uint8") -> Pixels:
    count = np.arange(height * width * channels).reshape(height, width, channels)
    if dtype == "float32":
        return (count / count.size).astype(np.float32)
    return (count * 7919 % (int(np.iinfo(dtype).max) + 1)).astype(dtype)


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def png_chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png_file(width: int, height: int, bits: int, colour: int, data: bytes) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + png_chunk(b"IDAT", zlib.compress(data)) + png_chunk(b"IEND", b"")


def check_header(path: Path) -> None:
    header, pixels = size_of(path), read(path, "drop")
    assert (header.height, header.width, header.channels) == pixels.shape
    assert header.dtype == pixels.dtype.name


@st.composite
def lossless(draw: st.DrawFn) -> tuple[str, Pixels]:
    dtype = draw(st.sampled_from(["uint8", "uint16", "float32"]))
    suffixes = {"uint8": ["png", "webp", "bmp", "tif"], "uint16": ["png", "tiff"], "float32": ["tif"]}[dtype]
    suffix = draw(st.sampled_from(suffixes))
    channels = draw(
        {"png": st.sampled_from([1, 3, 4]), "webp": st.sampled_from([3, 4]), "bmp": st.sampled_from([1, 3])}.get(suffix, st.integers(1, 7))
    )
    shape = (draw(st.integers(1, 9)), draw(st.integers(1, 9)), channels)
    values: dict[str, Any] = {"elements": st.floats(-1e6, 1e6, width=32)} if dtype == "float32" else {}
    return suffix, draw(hnp.arrays(dtype, shape, **values))


class TestWriteThenRead:
    @in_one_folder
    @given(lossless())
    def test_lossless(self, tmp_path: Path, case: tuple[str, Pixels]) -> None:
        suffix, array = case
        path = tmp_path / f"x.{suffix}"
        write(path, array)
        back = read(path, "keep")
        assert back.dtype == array.dtype
        np.testing.assert_array_equal(back, array)
        check_header(path)
        assert back.flags.writeable

    def test_webp_knows_only_colour(self, tmp_path: Path) -> None:
        grey = gradient(4, 5, 1)
        write(tmp_path / "x.webp", grey)
        np.testing.assert_array_equal(read(tmp_path / "x.webp"), np.repeat(grey, 3, axis=2))

    def test_jpeg_is_near_in_full_colour_resolution(self, tmp_path: Path) -> None:
        y, x = np.mgrid[0:32, 0:32]
        smooth = np.stack([y * 8, x * 8, 255 - x * 4 - y * 4], axis=2).astype(np.uint8)
        write(tmp_path / "x.JPG", smooth)
        assert np.abs(read(tmp_path / "x.JPG").astype(int) - smooth).max() <= 6
        with Image.open(tmp_path / "x.JPG") as image:
            assert [component[1:3] for component in image.layer] == [(1, 1)] * 3  # type: ignore[attr-defined]
        write(tmp_path / "g.jpeg", smooth[..., :1])
        assert read(tmp_path / "g.jpeg").shape == (32, 32, 1)

    def test_what_others_see_in_our_tiffs(self, tmp_path: Path) -> None:
        write(tmp_path / "rgb.tif", gradient(6, 5, 3, "uint16"))
        write(tmp_path / "stack.tif", gradient(6, 5, 13, "uint16"))
        with tifffile.TiffFile(tmp_path / "rgb.tif") as tiff:
            assert (tiff.series[0].axes, len(tiff.pages)) == ("YXS", 1)
        with tifffile.TiffFile(tmp_path / "stack.tif") as tiff:
            assert (tiff.series[0].axes, len(tiff.pages)) == ("CYX", 13)
        write(tmp_path / "grey.png", gradient(6, 5, 1, "uint16"))
        with Image.open(tmp_path / "grey.png") as image:
            assert image.mode.startswith("I;16")

    @pytest.mark.parametrize(
        ("suffix", "channels", "dtype", "way_out"),
        [
            ("jpg", 4, "uint8", r"JPEG file cannot hold 4 channels of uint8: write a \.png or \.tif"),
            ("jpg", 1, "uint16", r"JPEG file cannot hold 1 channel of uint16: write a \.png or \.tif"),
            ("jpeg", 13, "uint16", r"write a \.tif file"),
            ("png", 2, "uint8", r"write a \.tif file"),
            ("png", 3, "float32", r"write a \.tif file"),
            ("bmp", 4, "uint8", r"write a \.png or \.tif"),
            ("webp", 3, "uint16", r"write a \.png or \.tif"),
            ("tif", 3, "float64", "use uint8, uint16 or float32"),
        ],
    )
    def test_what_a_format_cannot_hold(self, tmp_path: Path, suffix: str, channels: int, dtype: str, way_out: str) -> None:
        with pytest.raises(UserError, match=way_out):
            write(tmp_path / f"x.{suffix}", np.zeros((2, 2, channels), dtype))
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize("name", ["x.gif", "x", "png"])
    def test_unknown_suffix(self, tmp_path: Path, name: str) -> None:
        with pytest.raises(UserError, match=r"names no image format.*\.png"):
            write(tmp_path / name, gradient(2, 2, 3))

    @pytest.mark.parametrize("shape", [(2, 2), (0, 2, 3), (2, 2, 0)])
    def test_not_an_image(self, tmp_path: Path, shape: tuple[int, ...]) -> None:
        with pytest.raises(UserError, match="an image is"):
            write(tmp_path / "x.png", np.zeros(shape, np.uint8))

    def test_too_wide_for_the_format(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match=r"20000 x 1 pixels cannot be written as WEBP .*: use png or tif"):
            write(tmp_path / "x.webp", np.zeros((1, 20000, 3), np.uint8))
        with pytest.raises(UserError, match=r"70000 x 1 pixels cannot be written as JPEG .*: use png or tif"):
            write(tmp_path / "x.jpg", np.zeros((1, 70000, 3), np.uint8))

    def test_a_failed_write_leaves_the_old_image(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        write(tmp_path / "x.png", gradient(3, 3, 3))

        def broken(*_: object, **__: object) -> None:
            raise ValueError("no")

        monkeypatch.setattr(Image.Image, "save", broken)
        with pytest.raises(UserError):
            write(tmp_path / "x.png", gradient(2, 2, 3))
        monkeypatch.undo()
        np.testing.assert_array_equal(read(tmp_path / "x.png"), gradient(3, 3, 3))
        assert [path.name for path in tmp_path.iterdir()] == ["x.png"]


class TestModes:
    @pytest.mark.parametrize("kind", ["PNG", "TIFF", "BMP"])
    def test_one_bit(self, tmp_path: Path, kind: str) -> None:
        bits = gradient(5, 11, 1)[..., 0] > 100
        (tmp_path / "x").write_bytes(encoded(Image.fromarray(bits), kind))
        np.testing.assert_array_equal(read(tmp_path / "x"), bits[..., None] * np.uint8(255))
        assert size_of(tmp_path / "x") == Header(11, 5, 1, "uint8", kind)

    @pytest.mark.parametrize("kind", ["PNG", "TIFF", "BMP"])
    def test_palette(self, tmp_path: Path, kind: str) -> None:
        image = Image.fromarray(gradient(5, 7, 3)).quantize(9)
        (tmp_path / "x").write_bytes(encoded(image, kind))
        np.testing.assert_array_equal(read(tmp_path / "x"), np.asarray(image.convert("RGB")))
        check_header(tmp_path / "x")

    @pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
    def test_cmyk(self, tmp_path: Path, kind: str) -> None:
        image = Image.new("CMYK", (8, 8), (255, 0, 0, 0))
        (tmp_path / "x").write_bytes(encoded(image, kind))
        assert np.abs(read(tmp_path / "x").astype(int) - [0, 255, 255]).max() <= 3
        check_header(tmp_path / "x")

    @pytest.mark.parametrize("order", ["<", ">"])
    def test_16_bit_grey_tiff_of_either_byte_order(self, tmp_path: Path, order: Literal["<", ">"]) -> None:
        array = gradient(5, 7, 1, "uint16")
        tifffile.imwrite(tmp_path / "x.tif", array[..., 0], byteorder=order)
        back = read(tmp_path / "x.tif")
        np.testing.assert_array_equal(back, array)
        assert back.dtype == np.dtype("uint16")
        assert back.dtype.isnative

    @pytest.mark.parametrize("dtype", ["uint8", "uint16"])
    def test_white_is_zero(self, tmp_path: Path, dtype: str) -> None:
        array = gradient(5, 7, 1, dtype)
        tifffile.imwrite(tmp_path / "x.tif", array[..., 0], photometric="miniswhite")
        np.testing.assert_array_equal(read(tmp_path / "x.tif"), np.iinfo(dtype).max - array)

    @pytest.mark.parametrize("planes", [2, 3, 4])
    @pytest.mark.parametrize("interlace", [False, True])
    def test_16_bit_colour_png(self, tmp_path: Path, planes: int, interlace: bool) -> None:
        array = gradient(9, 11, planes, "uint16")
        options: dict[str, Any] = {"greyscale": planes == 2, "alpha": planes != 3, "bitdepth": 16, "interlace": interlace}
        with (tmp_path / "x.png").open("wb") as stream:
            png.Writer(11, 9, **options).write(stream, [row.flatten().tolist() for row in array])
        back = read(tmp_path / "x.png", "keep")
        np.testing.assert_array_equal(back, array if planes > 2 else array[..., [0, 0, 0, 1]])
        assert back.dtype == np.uint16
        assert size_of(tmp_path / "x.png") == Header(11, 9, 1 if planes == 2 else 3, "uint16", "PNG", planes != 3)

    def test_a_file_is_what_its_bytes_say(self, tmp_path: Path) -> None:
        (tmp_path / "x.jpg").write_bytes(encoded(Image.fromarray(gradient(3, 4, 3)), "PNG"))
        np.testing.assert_array_equal(read(tmp_path / "x.jpg"), gradient(3, 4, 3))
        assert size_of(tmp_path / "x.jpg").format == "PNG"

    @pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "TIFF deflate"])
    @pytest.mark.parametrize("orientation", range(1, 9))
    def test_exif_orientation(self, tmp_path: Path, kind: str, orientation: int) -> None:
        image = Image.fromarray(np.kron(gradient(2, 3, 3), np.ones((16, 16, 1), np.uint8)))
        exif = Image.Exif()
        exif[0x0112] = orientation
        options: dict[str, Any] = {"lossless": True} if kind == "WEBP" else {"compression": "tiff_adobe_deflate"} if " " in kind else {}
        (tmp_path / "x").write_bytes(encoded(image, kind.split(maxsplit=1)[0], exif=exif, **options))
        with Image.open(tmp_path / "x") as again:
            expected = np.asarray(ImageOps.exif_transpose(again))
        np.testing.assert_array_equal(read(tmp_path / "x"), expected)
        check_header(tmp_path / "x")

    @pytest.mark.parametrize("orientation", range(1, 9))
    def test_orientation_of_a_deep_tiff(self, tmp_path: Path, orientation: int) -> None:
        array = gradient(4, 6, 3, "uint16")
        tifffile.imwrite(tmp_path / "x.tif", array, photometric="rgb", extratags=[(274, "H", 1, orientation, True)])
        exif = Image.Exif()
        exif[0x0112] = orientation
        reference = Image.fromarray((array[..., 0] % 251).astype(np.uint8))
        reference.info["exif"] = exif.tobytes()
        upright = ImageOps.exif_transpose(reference)
        np.testing.assert_array_equal(read(tmp_path / "x.tif")[..., 0] % 251, np.asarray(upright))
        check_header(tmp_path / "x.tif")


class TestAlpha:
    def check(self, path: Path, colour: Pixels, opacity: Pixels) -> None:
        """All five ways, against the definition of compositing."""
        top = int(np.iinfo(colour.dtype).max)
        share = opacity.astype(np.float64) / top
        with pytest.raises(UserError, match=r"partly transparent: .*white or black.*drop.*keep"):
            read(path)
        np.testing.assert_array_equal(read(path, "drop"), colour)
        np.testing.assert_array_equal(
            read(path, "keep"), np.concatenate([np.broadcast_to(colour, (*colour.shape[:2], 3)), opacity], axis=2)
        )
        for alpha, behind in (("white", top), ("black", 0)):
            blended = read(path, alpha)  # type: ignore[arg-type]
            assert blended.dtype == colour.dtype
            assert np.abs(blended - (colour * share + behind * (1 - share))).max() <= 0.5 + 1e-6
        assert size_of(path).transparent
        check_header(path)

    @pytest.mark.parametrize("dtype", ["uint8", "uint16"])
    @pytest.mark.parametrize("channels", [1, 3])
    @pytest.mark.parametrize("suffix", ["png", "tif"])
    def test_a_channel(self, tmp_path: Path, dtype: str, channels: int, suffix: str) -> None:
        array = gradient(6, 7, channels + 1, dtype)
        path = tmp_path / f"x.{suffix}"
        if suffix == "tif":
            kind = "rgb" if channels == 3 else "minisblack"
            tifffile.imwrite(path, array, photometric=kind, extrasamples=["unassalpha"], planarconfig="contig")
        else:
            options: dict[str, Any] = {"greyscale": channels == 1, "alpha": True, "bitdepth": array.itemsize * 8}
            with path.open("wb") as stream:
                png.Writer(7, 6, **options).write(stream, [row.flatten().tolist() for row in array])
        self.check(path, array[..., :-1], array[..., -1:])

    def test_premultiplied_tiff(self, tmp_path: Path) -> None:
        colour, opacity = np.full((2, 2, 3), 40000, np.uint16), np.array([[65535, 30000], [20000, 10000]], np.uint16)[..., None]
        multiplied = np.round(colour * (opacity / 65535)).astype(np.uint16)
        tifffile.imwrite(tmp_path / "x.tif", np.concatenate([multiplied, opacity], axis=2), photometric="rgb", extrasamples=["assocalpha"])
        assert np.abs(read(tmp_path / "x.tif", "drop").astype(int) - colour).max() <= 4

    @pytest.mark.parametrize(("mode", "clear"), [("L", 7), ("RGB", (7, 8, 9)), ("P", 7), ("1", 255), ("I;16", 7)])
    def test_a_colour_that_stands_for_transparent(self, tmp_path: Path, mode: str, clear: Any) -> None:
        if mode == "RGB":
            pixels = np.array([[[7, 8, 9], [7, 8, 10]]], np.uint8)
            image = Image.fromarray(pixels)
        elif mode == "I;16":
            pixels = np.array([[[7], [1000]]], np.uint16)
            image = Image.fromarray(pixels[..., 0])
        else:
            pixels = np.array([[[255 if mode == "1" else 7], [0]]], np.uint8)
            image = Image.fromarray(pixels[..., 0])
            if mode == "1":
                image = image.convert("1")
            if mode == "P":
                image.putpalette([c for i in range(256) for c in (i, i // 2, 3)])
                pixels = np.asarray(image.convert("RGB"))
        data = encoded(image, "PNG", transparency=clear)
        (tmp_path / "x.png").write_bytes(data)
        top = np.iinfo(pixels.dtype).max
        self.check(tmp_path / "x.png", pixels, np.array([[[0], [top]]], pixels.dtype))

    def test_16_bit_colour_that_stands_for_transparent(self, tmp_path: Path) -> None:
        pixels = np.array([[[7, 8, 9], [7, 8, 10]]], np.uint16)
        with (tmp_path / "x.png").open("wb") as stream:
            png.Writer(2, 1, greyscale=False, bitdepth=16, transparent=(7, 8, 9)).write(stream, [row.flatten().tolist() for row in pixels])
        self.check(tmp_path / "x.png", pixels, np.array([[[0], [65535]]], np.uint16))

    @pytest.mark.parametrize("suffix", ["png", "webp", "tif"])
    def test_opaque_alpha_is_no_alpha(self, tmp_path: Path, suffix: str) -> None:
        array = gradient(4, 4, 4)
        array[..., 3] = 255
        write(tmp_path / f"x.{suffix}", array)
        for alpha in ("refuse", "white", "black", "drop"):
            np.testing.assert_array_equal(read(tmp_path / f"x.{suffix}", alpha), array[..., :3])  # type: ignore[arg-type]


class TestManyChannels:
    def save(self, path: Path, array: Pixels, **options: Any) -> None:
        tifffile.imwrite(path, array, **options)

    @pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
    def test_layouts(self, tmp_path: Path, dtype: str) -> None:
        array = gradient(12, 10, 5, dtype)
        planes = np.ascontiguousarray(array.transpose(2, 0, 1))
        cases: dict[str, Callable[[Path], None]] = {
            "named planes": lambda path: self.save(path, planes, photometric="minisblack", metadata={"axes": "CYX"}),
            "nameless pages": lambda path: self.save(path, planes, photometric="minisblack", metadata=None),
            "nameless planes": lambda path: self.save(path, planes, photometric="minisblack"),
            "nameless channels last": lambda path: self.save(path, array, photometric="minisblack"),
            "samples": lambda path: self.save(path, array, photometric="minisblack", planarconfig="contig", metadata=None),
            "separate samples": lambda path: self.save(path, planes, photometric="minisblack", planarconfig="separate", metadata=None),
            "big": lambda path: self.save(path, planes, photometric="minisblack", bigtiff=True),
            "imagej": lambda path: self.save(path, planes, photometric="minisblack", imagej=True, metadata={"axes": "ZYX"}),
            "ome": lambda path: self.save(path, planes, photometric="minisblack", ome=True, metadata={"axes": "CYX"}),
        }
        for name, save in cases.items():
            path = tmp_path / "x.tif"
            save(path)
            np.testing.assert_array_equal(read(path), array, err_msg=name)
            assert size_of(path) == Header(10, 12, 5, dtype, "TIFF"), name

    def test_four_bands_that_are_not_alpha(self, tmp_path: Path) -> None:
        array = gradient(6, 5, 4)
        tifffile.imwrite(tmp_path / "x.tif", array, photometric="rgb", extrasamples=["unspecified"])
        np.testing.assert_array_equal(read(tmp_path / "x.tif"), array)

    def test_16_bit_rgb(self, tmp_path: Path) -> None:
        array = gradient(6, 5, 3, "uint16")
        for config in ("contig", "separate"):
            pixels = array if config == "contig" else np.ascontiguousarray(array.transpose(2, 0, 1))
            tifffile.imwrite(tmp_path / "x.tif", pixels, photometric="rgb", planarconfig=config, compression="zlib", predictor=2)
            np.testing.assert_array_equal(read(tmp_path / "x.tif"), array)

    @pytest.mark.parametrize("dtype", ["int8", "int16", "uint32", "float16", "float64"])
    def test_other_numbers_become_floats(self, tmp_path: Path, dtype: str) -> None:
        array = np.array([[0, 1, 100]], dtype)
        if not dtype.startswith("u"):
            array[0, 0] = -3
        tifffile.imwrite(tmp_path / "x.tif", array)
        back = read(tmp_path / "x.tif")
        assert back.dtype == np.float32
        np.testing.assert_array_equal(back[..., 0], array)
        check_header(tmp_path / "x.tif")

    def test_integers_beyond_floats(self, tmp_path: Path) -> None:
        tifffile.imwrite(tmp_path / "x.tif", np.array([[0, 2**24 + 1]], np.uint32))
        with pytest.raises(UserError, match=r"x\.tif holds integers from 0 to 16777217"):
            read(tmp_path / "x.tif")

    def test_complex(self, tmp_path: Path) -> None:
        tifffile.imwrite(tmp_path / "x.tif", np.zeros((2, 2), np.complex64))
        with pytest.raises(UserError, match="complex64"):
            read(tmp_path / "x.tif")

    @pytest.mark.parametrize("channels", [1, 2])
    def test_not_finite(self, tmp_path: Path, channels: int) -> None:
        array = gradient(3, 3, channels, "float32")
        array[0, 0, 0], array[1, 1, 0] = np.nan, -np.inf
        write(tmp_path / "x.tif", array)
        with pytest.raises(UserError, match=r"x\.tif holds 2 values that are not finite"):
            read(tmp_path / "x.tif")

    def test_pages_of_different_sizes(self, tmp_path: Path) -> None:
        with tifffile.TiffWriter(tmp_path / "x.tif") as tiff:
            tiff.write(np.zeros((4, 5), np.uint8))
            tiff.write(np.zeros((6, 7), np.uint8))
        with pytest.raises(UserError, match=r"holds 2 images of different kinds \(5 x 4, 7 x 6\)"):
            read(tmp_path / "x.tif")

    def test_a_preview_is_passed_over(self, tmp_path: Path) -> None:
        array = gradient(8, 8, 3, "uint16")
        with tifffile.TiffWriter(tmp_path / "x.tif") as tiff:
            tiff.write(array, photometric="rgb")
            tiff.write(array[::2, ::2], photometric="rgb", subfiletype=1)
        np.testing.assert_array_equal(read(tmp_path / "x.tif"), array)

    def test_deep_colours_we_cannot_read(self, tmp_path: Path) -> None:
        tifffile.imwrite(tmp_path / "x.tif", gradient(4, 4, 4, "uint16"), photometric="separated")
        with pytest.raises(UserError, match=r"SEPARATED.*convert it to grey or RGB"):
            read(tmp_path / "x.tif")

    def test_a_file_never_opens_its_neighbours(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """An OME-TIFF may name other files that hold the rest of it."""
        secret = gradient(4, 4, 2, "uint16").transpose(2, 0, 1)
        xml = (
            '<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" UUID="urn:uuid:a"><Image ID="Image:0">'
            '<Pixels ID="Pixels:0" DimensionOrder="XYCZT" Type="uint16" SizeX="4" SizeY="4" SizeC="2" SizeZ="1" SizeT="1">'
            '<TiffData FirstC="0" IFD="0" PlaneCount="1"><UUID FileName="x.tif">urn:uuid:a</UUID></TiffData>'
            '<TiffData FirstC="1" IFD="0" PlaneCount="1"><UUID FileName="secret.tif">urn:uuid:b</UUID></TiffData></Pixels></Image></OME>'
        )
        tifffile.imwrite(tmp_path / "x.tif", secret[:1].repeat(2, axis=0), description=xml, metadata=None, photometric="minisblack")
        tifffile.imwrite(tmp_path / "secret.tif", secret[1])
        monkeypatch.chdir(tmp_path)
        opened: list[str] = []
        plain_open = builtins.open

        def noting(file: Any, *args: Any, **options: Any) -> Any:
            opened.append(str(file))
            return plain_open(file, *args, **options)

        monkeypatch.setattr(builtins, "open", noting)
        assert read(tmp_path / "x.tif").shape == (4, 4, 2)
        assert not [name for name in opened if "secret" in name]


class TestMissingExtra:
    @pytest.fixture
    def without(self, monkeypatch: pytest.MonkeyPatch) -> None:
        plain_import = builtins.__import__

        def refuse(name: str, *args: Any) -> Any:
            if name in ("png", "tifffile"):
                raise ImportError(name)
            return plain_import(name, *args)

        monkeypatch.setattr(builtins, "__import__", refuse)

    def test_reading_and_writing(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
        write(tmp_path / "x.png", gradient(2, 2, 3, "uint16"))
        write(tmp_path / "x.tif", gradient(2, 2, 5))
        request.getfixturevalue("without")
        for action in (lambda: read(tmp_path / "x.png"), lambda: write(tmp_path / "y.png", gradient(2, 2, 3, "uint16"))):
            with pytest.raises(Missing, match=r"16-bit colour PNG, needs the package 'pypng'.*transfigure\[science\]"):
                action()
        for path in ("x.tif", "y.tif"):
            with pytest.raises(Missing, match=r"needs the package 'tifffile'.*transfigure\[science\]"):
                read(tmp_path / path) if path == "x.tif" else write(tmp_path / path, gradient(2, 2, 5))

    @pytest.mark.usefixtures("without")
    @pytest.mark.parametrize(
        ("suffix", "channels", "dtype"), [("png", 1, "uint16"), ("tif", 1, "uint16"), ("tif", 1, "float32"), ("tif", 3, "uint8")]
    )
    def test_the_base_is_enough_for(self, tmp_path: Path, suffix: str, channels: int, dtype: str) -> None:
        array = gradient(3, 4, channels, dtype)
        write(tmp_path / f"x.{suffix}", array)
        np.testing.assert_array_equal(read(tmp_path / f"x.{suffix}"), array)
        assert size_of(tmp_path / f"x.{suffix}") == Header(4, 3, channels, dtype, "PNG" if suffix == "png" else "TIFF")


class TestSizeLimit:
    @pytest.mark.parametrize(("bits", "colour"), [(8, 2), (16, 0), (16, 2)])
    def test_a_png_that_announces_too_much(self, tmp_path: Path, bits: int, colour: int) -> None:
        (tmp_path / "x.png").write_bytes(png_file(30000, 30000, bits, colour, b""))
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            with pytest.raises(
                UserError, match=r"x\.png is 30000 x 30000 pixels \(900 million\): larger than the limit of 179 million; crop"
            ):
                read(tmp_path / "x.png")
            assert size_of(tmp_path / "x.png").width == 30000

    def test_a_tiff_that_announces_too_much(self, tmp_path: Path) -> None:
        big = np.broadcast_to(np.uint16(0), (20000, 20000))
        for shape in ((20000, 20000), (20000, 20000, 3), (5000, 5000, 40)):
            path = tmp_path / "x.tif"
            tifffile.imwrite(
                tmp_path / "small.tif",
                np.zeros((2, 2, *shape[2:]), np.uint16),
                photometric="minisblack",
                planarconfig="contig" if shape[2:] else None,
                metadata=None,
            )
            data = bytearray((tmp_path / "small.tif").read_bytes())
            with tifffile.TiffFile(tmp_path / "small.tif") as tiff:
                places = [tiff.pages.first.tags[code].valueoffset for code in (256, 257)]
            for place, side in zip(places, shape[1::-1], strict=True):
                data[place : place + 4] = struct.pack("<I", side)
            path.write_bytes(data)
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                with pytest.raises(UserError, match="larger than the limit of 179 million"):
                    read(path)
        assert big.shape == (20000, 20000)

    def test_the_limit_can_be_set(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        for name, channels, dtype in (("a.png", 3, "uint8"), ("b.png", 3, "uint16"), ("c.tif", 9, "uint8")):
            write(tmp_path / name, gradient(10, 10, channels, dtype))
            monkeypatch.setenv("TRANSFIGURE_MAX_PIXELS", "99")
            with pytest.raises(UserError, match=rf"{name} is 10 x 10 pixels"):
                read(tmp_path / name)
            monkeypatch.setenv("TRANSFIGURE_MAX_PIXELS", "225")
            read(tmp_path / name)
        monkeypatch.setenv("TRANSFIGURE_MAX_PIXELS", "many")
        with pytest.raises(UserError, match="TRANSFIGURE_MAX_PIXELS is 'many'"):
            read(tmp_path / "a.png")

    def test_above_pillows_own_limit(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            for suffix in ("png", "jpg", "bmp", "tif"):
                write(tmp_path / f"x.{suffix}", gradient(9, 9, 3))
                assert read(tmp_path / f"x.{suffix}").shape == (9, 9, 3)

    def test_pixels_that_unpack_beyond_the_header(self, tmp_path: Path) -> None:
        (tmp_path / "x.png").write_bytes(png_file(2, 2, 16, 2, b"\0" * 50_000_000))
        with pytest.raises(UserError, match="unpacks to more pixels than it announces"):
            read(tmp_path / "x.png")


GOOD = {
    "png": encoded(Image.fromarray(gradient(12, 9, 3)), "PNG"),
    "png16": png_file(3, 4, 16, 2, (b"\1" + bytes(range(18))) * 4),
    "jpg": encoded(Image.fromarray(gradient(16, 16, 3)), "JPEG"),
    "webp": encoded(Image.fromarray(gradient(12, 9, 3)), "WEBP"),
    "tif": encoded(Image.fromarray(gradient(12, 9, 3)), "TIFF", compression="tiff_adobe_deflate"),
    "bmp": encoded(Image.fromarray(gradient(12, 9, 3)), "BMP"),
}


def stack() -> bytes:
    stream = io.BytesIO()
    tifffile.imwrite(stream, gradient(6, 5, 4, "uint16").transpose(2, 0, 1), photometric="minisblack", compression="zlib")
    return stream.getvalue()


GOOD["stack"] = stack()


class TestDamage:
    def array_or_sentence(self, path: Path) -> None:
        for action in (read, size_of):
            try:
                result = action(path)
            except UserError as error:
                assert str(path) in str(error)
                assert "\n" not in str(error)
            else:
                if isinstance(result, np.ndarray):
                    assert result.ndim == 3
                    assert result.size > 0

    def expect(self, path: Path, pattern: str) -> None:
        for action in (read, size_of):
            with pytest.raises(UserError, match=pattern):
                action(path)

    def test_not_there(self, tmp_path: Path) -> None:
        self.expect(tmp_path / "no.png", r"no\.png does not exist")
        self.expect(tmp_path, "is a folder, not an image file")
        self.expect(Path("a\0b.png"), "cannot read|does not exist")
        self.expect(tmp_path / ("x" * 300), "cannot read|does not exist")

    def test_not_readable(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        write(tmp_path / "x.png", gradient(2, 2, 3))

        def refuse(*_: object) -> None:
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr(Path, "open", refuse)
        self.expect(tmp_path / "x.png", r"cannot read .*x\.png: permission denied")

    @pytest.mark.parametrize(
        ("name", "data", "pattern"),
        [
            ("x.png", b"", r"x\.png is empty"),
            ("x.jpg", b"hello, I am a text", r"x\.jpg is not a PNG, JPEG, WebP, TIFF or BMP file: convert"),
            ("x.png", b"%PDF-1.7\n", "looks like PDF"),
            ("x.png", b"GIF89a" + b"\0" * 30, "looks like GIF"),
            ("x.png", b"RIFF\0\0\0\0WAVE", "is not a PNG"),
            ("x.bmp", b"BMW is not a bitmap", "damaged or unsupported BMP"),
            ("x.tif", b"II*\0", "damaged or unsupported TIFF"),
            ("x.png", b"\x89PNG\r\n\x1a\n", "damaged or unsupported PNG"),
        ],
    )
    def test_not_an_image(self, tmp_path: Path, name: str, data: bytes, pattern: str) -> None:
        (tmp_path / name).write_bytes(data)
        self.expect(tmp_path / name, pattern)

    @pytest.mark.parametrize("kind", ["png", "png16", "jpg", "webp", "tif", "bmp", "stack"])
    def test_truncated(self, tmp_path: Path, kind: str) -> None:
        path = tmp_path / "x"
        path.write_bytes(GOOD[kind])
        read(path)
        path.write_bytes(GOOD[kind][: len(GOOD[kind]) * 2 // 3])
        with pytest.raises(UserError, match=r"x is a damaged or unsupported .* file .*: save or copy it again"):
            read(path)

    @in_one_folder
    @given(st.sampled_from([b"", *images._SIGNATURES, b"RIFF\x20\0\0\0WEBPVP8 "]), st.binary(max_size=200))
    def test_random_bytes(self, tmp_path: Path, signature: bytes, data: bytes) -> None:
        (tmp_path / "x").write_bytes(signature + data)
        self.array_or_sentence(tmp_path / "x")

    @settings(in_one_folder, max_examples=300)
    @given(st.sampled_from(sorted(GOOD)), st.data())
    def test_truncations_and_bit_flips(self, tmp_path: Path, kind: str, data: st.DataObject) -> None:
        damaged = bytearray(GOOD[kind])
        for place in data.draw(st.lists(st.integers(0, len(damaged) * 8 - 1), max_size=4)):
            damaged[place // 8] ^= 1 << place % 8
        end = data.draw(st.integers(1, len(damaged)) | st.just(len(damaged)))
        (tmp_path / "x").write_bytes(bytes(damaged[:end]))
        self.array_or_sentence(tmp_path / "x")

    def test_text_bombs(self, tmp_path: Path) -> None:
        text = PngImagePlugin.PngInfo()
        text.add_text("k", "a" * 3_000_000, zip=True)
        (tmp_path / "x.png").write_bytes(encoded(Image.fromarray(gradient(2, 2, 3)), "PNG", pnginfo=text))
        self.array_or_sentence(tmp_path / "x.png")


class TestSplitHalves:
    def test_halves(self) -> None:
        array = gradient(3, 8, 2)
        left, right = split_halves(array, "x.png")
        np.testing.assert_array_equal(np.concatenate([left, right], axis=1), array)
        assert left.shape == right.shape == (3, 4, 2)

    def test_odd(self) -> None:
        with pytest.raises(UserError) as caught:
            split_halves(np.zeros((2, 511, 3), np.uint8), Path("photos/0113.jpg"))
        assert str(caught.value).replace("\\", "/") == (
            "photos/0113.jpg is 511 pixels wide: a side-by-side pair needs an even width "
            "(use --data.kind two_folders if source and target are separate files)"
        )


class TestRealImages:
    def test_microscope_16_bit(self, shared: Path) -> None:
        path = next((shared / "data" / "isl_16bit").glob("*channel-DAPI*"))
        array = read(path)
        assert array.shape == (1024, 1024, 1)
        assert array.dtype == np.uint16
        assert array.max() > 255
        assert size_of(path) == Header(1024, 1024, 1, "uint16", "PNG")
        with Image.open(path) as image:
            np.testing.assert_array_equal(array[..., 0], np.asarray(image))

    def test_microscope_8_bit_and_photos(self, shared: Path) -> None:
        assert read(shared / "data" / "isbi2012_em" / "membrane" / "test" / "6.png").shape == (512, 512, 1)
        assert read(shared / "data" / "facades_mini22" / "trainA" / "1_A.jpg").shape == (256, 256, 3)
