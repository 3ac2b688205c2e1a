"""Any bytes are an array or a sentence, and nothing is decoded that is too large."""

from __future__ import annotations

import io
import os
import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from transfigure.data import images
from transfigure.data.images import read, size_of, write
from transfigure.errors import UserError

from .pictures import encoded, gradient, in_one_folder


def png_chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png_file(width: int, height: int, bits: int, colour: int, data: bytes) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + png_chunk(b"IDAT", zlib.compress(data)) + png_chunk(b"IEND", b"")


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
    tifffile.imwrite(
        stream, gradient(6, 5, 4, "uint16").transpose(2, 0, 1), photometric="minisblack", compression="zlib", metadata={"axes": "CYX"}
    )
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
        monkeypatch.setattr(os, "open", refuse)
        self.expect(tmp_path / "x.png", r"cannot read .*x\.png: permission denied")

    @pytest.mark.parametrize(
        ("name", "data", "pattern"),
        [
            ("x.png", b"", r"x\.png is empty"),
            ("x.jpg", b"hello, I am a text", r"x\.jpg is not a PNG, JPEG, WebP, TIFF, BMP, GIF, PNM, NPY or NPZ file: convert"),
            ("x.png", b"%PDF-1.7\n", "looks like PDF"),
            ("x.png", b"GIF89a" + b"\0" * 30, "damaged or unsupported GIF"),
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

    def test_a_stack_whose_last_pages_are_gone_is_not_a_smaller_stack(self, tmp_path: Path) -> None:
        tifffile.imwrite(tmp_path / "x.tif", gradient(6, 5, 4, "uint16").transpose(2, 0, 1), photometric="minisblack", metadata=None)
        with tifffile.TiffFile(tmp_path / "x.tif") as tiff:
            end = tiff.pages[3].offset
        data = (tmp_path / "x.tif").read_bytes()
        (tmp_path / "x.tif").write_bytes(data[:end])
        self.expect(tmp_path / "x.tif", "damaged or unsupported TIFF file .*pages are missing")

    def test_rows_that_are_announced_but_not_there_are_not_black(self, tmp_path: Path) -> None:
        tifffile.imwrite(tmp_path / "x.tif", gradient(6, 5, 3, "uint16"), photometric="rgb", rowsperstrip=6)
        with tifffile.TiffFile(tmp_path / "x.tif") as tiff:
            place = tiff.pages.first.tags[257].valueoffset
        data = bytearray((tmp_path / "x.tif").read_bytes())
        data[place : place + 4] = struct.pack("<I", 60000)
        (tmp_path / "x.tif").write_bytes(data)
        with pytest.raises(UserError, match="damaged or unsupported TIFF file"):
            read(tmp_path / "x.tif")

    def test_text_bombs(self, tmp_path: Path) -> None:
        text = PngImagePlugin.PngInfo()
        text.add_text("k", "a" * 3_000_000, zip=True)
        (tmp_path / "x.png").write_bytes(encoded(Image.fromarray(gradient(2, 2, 3)), "PNG", pnginfo=text))
        self.array_or_sentence(tmp_path / "x.png")
