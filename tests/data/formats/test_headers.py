"""A plain header says just what the readers of whole images say, and whatever is not plain is left to them."""

from __future__ import annotations

import os
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from transfigure.data import images
from transfigure.data.formats.headers import plain_header
from transfigure.errors import UserError

PIXELS = np.random.default_rng(0).integers(0, 256, (6, 10, 4), np.uint8)


def exif(orientation: int | None) -> bytes:
    block = Image.Exif()
    block[305] = "a camera"
    if orientation is not None:
        block[274] = orientation
    return block.tobytes()


def text() -> PngInfo:
    info = PngInfo()
    info.add_text("Software", "a program")
    return info


FILES: dict[str, tuple[str, dict[str, Any], bool]] = {
    "grey.png": ("L", {}, True),
    "rgb.png": ("RGB", {"pnginfo": text()}, True),
    "rgba.png": ("RGBA", {}, True),
    "grey_alpha.png": ("LA", {}, True),
    "palette.png": ("P", {}, True),
    "few.png": ("P", {"bits": 2}, True),
    "bits.png": ("1", {}, True),
    "deep.png": ("I;16", {}, True),
    "dpi.png": ("RGB", {"dpi": (72, 72)}, True),
    "clear.png": ("P", {"transparency": 3}, False),
    "turned.png": ("RGB", {"exif": exif(6)}, False),
    "profile.png": ("RGB", {"icc_profile": b"\0" * 128}, False),
    "rgb.jpg": ("RGB", {}, True),
    "grey.jpg": ("L", {}, True),
    "cmyk.jpg": ("CMYK", {}, True),
    "progressive.jpg": ("RGB", {"progressive": True, "comment": b"words"}, True),
    "turned.jpg": ("RGB", {"exif": exif(6)}, True),
    "upright.jpg": ("RGB", {"exif": exif(1)}, True),
    "no_tag.jpg": ("RGB", {"exif": exif(None)}, False),
    "profile.jpg": ("RGB", {"icc_profile": b"\1" * 70_000}, True),
    "other.webp": ("RGB", {}, False),
    "other.tif": ("RGB", {}, False),
}


def save(file: Path) -> None:
    mode, options, _ = FILES[file.name]
    source = Image.fromarray(PIXELS, "RGBA").convert("RGB")
    deep = Image.fromarray(np.arange(60, dtype=np.uint16).reshape(6, 10) * 900)
    image = deep if mode == "I;16" else Image.fromarray(PIXELS, "RGBA") if mode == "RGBA" else source.convert(mode)
    image.save(file, **options)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("orientation", ["apply", "ignore"])
def test_a_header_is_what_the_readers_of_whole_images_say(tmp_path: Path, name: str, orientation: Any) -> None:
    save(tmp_path / name)
    assert (plain_header(tmp_path / name) is not None) == FILES[name][2]
    assert images.size_of(tmp_path / name, orientation) == images._size_of(tmp_path / name, orientation)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("name", ["rgb.png", "turned.jpg", "grey.jpg"])
def test_a_damaged_header_never_says_more_than_they_do(tmp_path: Path, name: str) -> None:
    save(tmp_path / name)
    whole = (tmp_path / name).read_bytes()
    random = np.random.default_rng(1)
    damaged = [whole[:length] for length in range(0, len(whole), 7)]
    for place in random.integers(0, min(400, len(whole)), 200):
        damaged.append(whole[:place] + bytes([whole[place] ^ (1 << int(random.integers(8)))]) + whole[place + 1 :])
    for content in damaged:
        (tmp_path / "x").write_bytes(content)
        if (plain := plain_header(tmp_path / "x")) is None:
            continue
        try:
            header = images._size_of(tmp_path / "x", "ignore")
        except UserError:
            continue  # what is broken beyond the header is found out when the pixels are read
        stored, _ = plain
        assert (stored.width, stored.height, stored.channels, stored.dtype) == (header.width, header.height, header.channels, header.dtype)


def test_a_chunk_with_a_wrong_sum_is_not_plain(tmp_path: Path) -> None:
    save(tmp_path / "rgb.png")
    content = bytearray((tmp_path / "rgb.png").read_bytes())
    content[16:20] = (1 << 20).to_bytes(4)
    (tmp_path / "x.png").write_bytes(content)
    assert plain_header(tmp_path / "x.png") is None
    content[29:33] = zlib.crc32(content[12:29]).to_bytes(4)
    (tmp_path / "x.png").write_bytes(content)
    header = plain_header(tmp_path / "x.png")
    assert header is not None and header[0].width == 1 << 20


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_pipe_a_folder_and_nothing_are_no_headers(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    for place in (tmp_path / "pipe.png", tmp_path, tmp_path / "none.png"):
        assert plain_header(place) is None
        with pytest.raises(UserError):
            images.size_of(place)
