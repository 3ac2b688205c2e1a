"""Deep colour and many channels, with the extra and without."""

from __future__ import annotations

import builtins
import importlib.util
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from tests.data.pictures import Pixels, gradient
from transfigure.cli.commands import doctor
from transfigure.cli.main import main
from transfigure.data import images
from transfigure.data.images import Header, read, size_of, write
from transfigure.data.value_range import NATURAL_RANGE
from transfigure.errors import Missing, UserError


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
            asked = name in ("nameless pages", "nameless planes", "nameless channels last", "big", "imagej")
            for pages in ("channels", "channels" if asked else "ask"):
                np.testing.assert_array_equal(read(path, pages=pages), array, err_msg=name)
                assert size_of(path, pages=pages) == Header(10, 12, 5, dtype, "TIFF"), name
            assert images.pages_of(path) == (5 if asked else 1)
            if asked:
                with pytest.raises(UserError, match=r"x\.tif holds 5 pages.*choose --pages channels .*, images .* or depth"):
                    read(path)

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

    @pytest.mark.parametrize("byteorder", ["<", ">"])
    @pytest.mark.parametrize("dtype", sorted(NATURAL_RANGE))
    def test_numbers_of_every_type_stay_what_they_are(self, tmp_path: Path, dtype: str, byteorder: str) -> None:
        kind = np.iinfo(dtype) if np.dtype(dtype).kind in "iu" else np.finfo(dtype)
        array = np.array([[0, 1, kind.max, kind.min, kind.max - (kind.bits == 32)]], dtype)
        tifffile.imwrite(tmp_path / "x.tif", array, byteorder=byteorder)
        back, facts = images.examine(tmp_path / "x.tif")
        assert back.dtype == np.dtype(dtype) and facts.stored == dtype
        np.testing.assert_array_equal(back[..., 0], array)
        assert size_of(tmp_path / "x.tif") == Header(5, 1, 1, dtype, "TIFF")

    @pytest.mark.parametrize("dtype", ["complex64", "int64", "uint64"])
    def test_numbers_that_no_image_has(self, tmp_path: Path, dtype: str) -> None:
        tifffile.imwrite(tmp_path / "x.tif", np.zeros((2, 2), dtype))
        for look in (read, size_of):
            with pytest.raises(UserError, match=rf"x\.tif holds {dtype} values: save it as integers of 8, 16 or 32 bits, or floats"):
                look(tmp_path / "x.tif")

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
        with pytest.raises(UserError, match=r"holds 2 images of different kinds \(5 x 4, 8-bit; 7 x 6, 8-bit\)"):
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
        assert read(tmp_path / "x.tif", pages="channels").shape == (4, 4, 2)
        assert not [name for name in opened if "secret" in name]


def compressed(path: Path, code: int) -> None:
    """A TIFF of five bands that says that it is compressed in this way; its pixels are as they were."""
    tifffile.imwrite(path, gradient(6, 5, 5), photometric="minisblack", planarconfig="contig", metadata=None)
    with tifffile.TiffFile(path) as tiff:
        tag = tiff.pages[0].tags[259]
        place, order = tag.valueoffset, tiff.byteorder
    data = bytearray(path.read_bytes())
    data[place : place + 2] = code.to_bytes(2, "little" if order == "<" else "big")
    path.write_bytes(data)


class TestCompressedBands:
    @pytest.mark.parametrize(("code", "name"), [(5, "LZW"), (7, "JPEG"), (34712, "JPEG2000"), (50000, "ZSTD")])
    def test_c03_the_package_is_named(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, name: str) -> None:
        compressed(tmp_path / "x.tif", code)

        def without(series: object, **options: object) -> Pixels:
            raise ValueError(f"<COMPRESSION.{name}: {code}> requires the 'imagecodecs' package")

        monkeypatch.setattr(tifffile.TiffPageSeries, "asarray", without)
        find_spec = importlib.util.find_spec
        monkeypatch.setattr(importlib.util, "find_spec", lambda module: None if module == "imagecodecs" else find_spec(module))
        expected = (
            rf"reading .*x\.tif, a TIFF compressed as {name}, needs the package 'imagecodecs': install it with .*transfigure\[science\]"
        )
        with pytest.raises(Missing, match=expected) as caught:
            read(tmp_path / "x.tif")
        assert caught.value.exit_code == 3
        assert size_of(tmp_path / "x.tif") == Header(5, 6, 5, "uint8", "TIFF")

    def test_c03_train_and_translate_end_with_exit_code_3(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        def without(series: object, **options: object) -> Pixels:
            raise ImportError("No module named 'compression'")  # what tifffile says of zstd

        for side in "AB":
            (tmp_path / "data" / side).mkdir(parents=True)
            compressed(tmp_path / "data" / side / "1.tif", 50000)
        monkeypatch.setattr(tifffile.TiffPageSeries, "asarray", without)
        monkeypatch.setattr(importlib.util, "find_spec", lambda module: None)
        assert main(["train", "pix2pix_small", str(tmp_path / "data"), "--out", str(tmp_path / "run")]) == 3
        assert "needs the package 'imagecodecs'" in capsys.readouterr().err

    @pytest.mark.parametrize("compression", ["lzw", "jpeg2000", "zstd", "zlib"])
    def test_c03_with_the_package_they_are_read(self, tmp_path: Path, compression: str) -> None:
        pytest.importorskip("imagecodecs")
        array = gradient(16, 12, 5, "uint16")
        options: dict[str, Any] = {"photometric": "minisblack", "planarconfig": "contig", "metadata": None}
        tifffile.imwrite(tmp_path / "x.tif", array, compression=compression, **options)
        np.testing.assert_array_equal(read(tmp_path / "x.tif"), array)

    def test_c03_the_doctor_knows_it(self) -> None:
        assert doctor.examine()["optional"]["imagecodecs"]["extra"] == "science"


class TestMissingExtra:
    @pytest.fixture
    def without(self, monkeypatch: pytest.MonkeyPatch) -> None:
        plain_import = builtins.__import__

        def refuse(name: str, *args: Any) -> Any:
            if name in ("png", "tifffile"):
                raise ImportError(name)
            return plain_import(name, *args)

        monkeypatch.setattr(builtins, "__import__", refuse)

    def test_reading_and_writing(self, tmp_path: Path, request: pytest.FixtureRequest) -> None:
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


def test_pillow_s_asides_are_not_printed(tmp_path: Path) -> None:
    """It says of each file with more than four samples a pixel that it cannot decode it; we can."""
    tifffile.imwrite(tmp_path / "bands.tif", np.zeros((8, 8, 13), np.uint16), photometric="minisblack", planarconfig="contig")
    program = f"from transfigure.data import images; print(images.read({str(tmp_path / 'bands.tif')!r}).shape)"
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert (ran.stdout, ran.stderr) == ("(8, 8, 13)\n", "")
