"""What a header claims is held against the file's bytes and the memory before anything is decoded."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from transfigure import memory
from transfigure.data import images
from transfigure.errors import UserError


def claiming_jpeg(path: Path, side: int) -> Path:
    """A JPEG of a grey square whose header says another size."""
    Image.new("RGB", (16, 16), "grey").save(path, "JPEG")
    data = bytearray(path.read_bytes())
    frame = data.index(b"\xff\xc0")
    data[frame + 5 : frame + 9] = struct.pack(">HH", side, side)
    path.write_bytes(data)
    return path


def claiming_png(path: Path, width: int, height: int) -> Path:
    """A PNG whose header says another size, with a right checksum."""
    Image.new("L", (16, 16)).save(path, "PNG")
    data = bytearray(path.read_bytes())
    data[16:24] = struct.pack(">II", width, height)
    data[29:33] = struct.pack(">I", zlib.crc32(bytes(data[12:29])))
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("read", [images.read, images.check_claim])
def test_a_small_jpeg_that_claims_169_million_pixels_is_cut_off(tmp_path: Path, read: object) -> None:
    """0.1.0 decoded it, in more than 8 GB."""
    path = claiming_jpeg(tmp_path / "a.jpg", 13_000)
    assert path.stat().st_size < 1000
    with pytest.raises(UserError, match="at least 330,078 bytes"):
        read(path)  # type: ignore[operator]


def test_a_small_png_that_claims_a_long_line_is_cut_off(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"a PNG of 1 x 1562500 pixels takes at least 3,028 bytes"):
        images.read(claiming_png(tmp_path / "a.png", 1, 1_562_500))


def test_flat_pictures_are_no_claim(tmp_path: Path) -> None:
    """The least that a real picture can take is more than the floor."""
    flat = np.full((3000, 3000), 128, np.uint8)
    for name, options in (("a.png", {"compress_level": 9}), ("a.jpg", {"quality": 1, "optimize": True}), ("b.jpg", {"progressive": True})):
        Image.fromarray(flat).save(tmp_path / name, **options)
        assert images.read(tmp_path / name).shape == (3000, 3000, 1)
    Image.fromarray(flat > 0).save(tmp_path / "bits.png")
    assert images.read(tmp_path / "bits.png").shape == (3000, 3000, 1)


def test_a_picture_beyond_the_memory_is_refused_undecoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.new("RGB", (3000, 3000)).save(tmp_path / "a.png")
    monkeypatch.setattr(memory, "available", lambda: 50_000_000)
    monkeypatch.setattr(images, "_decoded", lambda *_: pytest.fail("it was decoded"))
    with pytest.raises(UserError, match=r"3000 x 3000 pixels, which take about 76 MB of memory to read, and 50 MB are free: cut it"):
        images.read(tmp_path / "a.png")


def test_memory_is_known_here_and_less_than_all(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    free = memory.available()
    assert free is None or 10**6 < free < 10**15
    (tmp_path / "memory.max").write_text("1000000000\n")
    (tmp_path / "memory.current").write_text("700000000\n")
    (tmp_path / "memory.stat").write_text("anon 1\ninactive_file 100000000\n")
    monkeypatch.setattr(memory, "_CGROUP", tmp_path)
    monkeypatch.setattr(memory, "_of_system", lambda: None)
    monkeypatch.setattr(memory, "_of_process", lambda: None)
    assert memory.available() == 400_000_000
    (tmp_path / "memory.max").write_text("max\n")
    assert memory.available() is None


@pytest.mark.parametrize("given", ["1" * 4301, "many", "-1"])
def test_a_limit_that_is_no_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str) -> None:
    Image.new("RGB", (30, 30)).save(tmp_path / "a.png")
    monkeypatch.setenv("TRANSFIGURE_MAX_PIXELS", given)
    with pytest.raises(UserError, match="give a whole number of pixels"):
        images.read(tmp_path / "a.png")
