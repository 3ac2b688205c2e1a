"""What is written comes back, and every kind of file is read as what it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
import png
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image, ImageOps

from transfigure.data.images import Header, kind_of, read, size_of, split_halves, write
from transfigure.errors import UserError

from .pictures import Pixels, encoded, gradient, in_one_folder


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
        if suffix == "webp" and array.shape[2] == 4 and (array[..., 3] == 255).all():
            array = array[..., :3]  # WebP does not store an alpha channel that is opaque everywhere
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
            ("png", 1, "int16", r"PNG file cannot hold 1 channel of int16: write a \.tif"),
            ("tif", 3, "int64", "use integers of 8, 16 or 32 bits, or floats of 16, 32 or 64 bits"),
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
            np.testing.assert_array_equal(read(tmp_path / f"x.{suffix}", alpha), array[..., :3])


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


# ---- c11: several frames are no picture, whatever the format -----------------------------------------------------------------


@pytest.mark.parametrize(("suffix", "words"), [(".webp", "WebP"), (".png", "PNG"), (".gif", "GIF")])
def test_c11_an_animation_is_refused_with_its_number_of_frames(suffix: str, words: str, tmp_path: Path) -> None:
    frames = [Image.fromarray(np.full((8, 8, 3), value, np.uint8)) for value in (0, 90, 250)]
    frames[0].save(tmp_path / f"moving{suffix}", save_all=True, append_images=frames[1:])
    frames[0].save(tmp_path / f"still{suffix}", save_all=True)
    for look in (read, size_of):
        with pytest.raises(UserError, match=rf"moving\{suffix} is an animated {words} of 3 frames: save the frame that is meant as PNG"):
            look(tmp_path / f"moving{suffix}")
        look(tmp_path / f"still{suffix}")
    (tmp_path / f"moving{suffix}").rename(tmp_path / "moving")
    assert kind_of(tmp_path / "moving") == (f"animated {words}", False)
