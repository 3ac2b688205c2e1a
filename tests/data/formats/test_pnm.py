"""PBM, PGM, PPM and PFM in all their depths, and GIF: what is read, and what is refused in one sentence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from transfigure.data import images
from transfigure.data.folder import find_images
from transfigure.errors import UserError

from ..pictures import gradient

FLOATS = np.array([[[0.0], [0.5]], [[1.0], [2.0]]], "<f4")
DEEP = (np.arange(18).reshape(2, 3, 3) * 3000).astype(">u2")


@pytest.mark.parametrize(
    ("data", "right"),
    [
        (b"P1\n# a remark\n3 1\n1 0 1\n", [[[0], [255], [0]]]),
        (b"P1 3 1\n101\n", [[[0], [255], [0]]]),
        (b"P4\n3 2\n" + bytes([0b10100000, 0b01000000]), [[[0], [255], [0]], [[255], [0], [255]]]),
        (b"P2\n3 1\n255\n0 1 255\n", [[[0], [1], [255]]]),
        (b"P2 3 1 5 0 1 5", [[[0], [51], [255]]]),
        (b"P5\n3 1\n255\n\x00\x01\xff", [[[0], [1], [255]]]),
        (b"P5 3 1 5\n\x00\x01\x05", [[[0], [51], [255]]]),
        (b"P3\n1 1\n65535\n0 1000 65535\n", [[[0, 1000, 65535]]]),
        (b"P6#a\n1 1#b\n255\n\x00\x01\xff", [[[0, 1, 255]]]),
    ],
)
def test_c02_pnm_of_8_bits_and_in_digits(tmp_path: Path, data: bytes, right: Any) -> None:
    (tmp_path / "x").write_bytes(data)
    found = images.read(tmp_path / "x")
    assert found.tolist() == right
    header = images.size_of(tmp_path / "x")
    assert (header.height, header.width, header.channels) == found.shape and header.dtype == found.dtype and header.format == "PNM"


def test_c02_pnm_of_16_bits_keeps_them(tmp_path: Path) -> None:
    """Pillow gives the high byte of these colours."""
    (tmp_path / "x.ppm").write_bytes(b"P6\n3 2\n65535\n" + DEEP.tobytes())
    assert images.read(tmp_path / "x.ppm").dtype == np.uint16 and (images.read(tmp_path / "x.ppm") == DEEP).all()
    (tmp_path / "x.pgm").write_bytes(b"P5\n9 2\n65535\n" + DEEP.tobytes())
    assert (images.read(tmp_path / "x.pgm")[..., 0] == DEEP.reshape(2, 9)).all()
    (tmp_path / "y.pgm").write_bytes(b"P5\n3 1\n4095\n" + np.array([0, 1000, 4095], ">u2").tobytes())
    assert images.read(tmp_path / "y.pgm").ravel().tolist() == [0, 16004, 65535]


@pytest.mark.parametrize(("word", "channels", "scale", "order"), [("Pf", 1, "-1.0", "<f4"), ("PF", 3, "1", ">f4")])
def test_c02_pfm_is_float_and_upright(tmp_path: Path, word: str, channels: int, scale: str, order: str) -> None:
    pixels = np.repeat(FLOATS, channels, axis=2)
    (tmp_path / "x.pfm").write_bytes(f"{word}\n2 2\n{scale}\n".encode() + pixels[::-1].astype(order).tobytes())
    found = images.read(tmp_path / "x.pfm")
    assert found.dtype == np.float32 and (found == pixels).all()
    assert images.size_of(tmp_path / "x.pfm").dtype == "float32"


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"P6\n3 2\n255\n\x00", "damaged or unsupported PNM file (part of its pixels is missing)"),
        (b"P2\n3 2\n255\n1 2 3", "part of its pixels is missing"),
        (b"P2\n3 2\n255\n1 2 x 4 5 6", "damaged or unsupported PNM file"),
        (b"P1\n3 1\n1 0 7", "part of its pixels is missing"),
        (b"P5\n3 1\n0\n\x00\x00\x00", "names no value for white"),
        (b"P5\n3 1\n70000\n\x00\x00\x00", "names no value for white"),
        (b"P5\n3", "header is incomplete"),
        (b"P5\n0 3\n255\n", "it holds no pixels"),
        (b"P5\n1 1\n255\n\x07P5\n1 1\n255\n\x08", "holds several images one after the other"),
        (b"P5\n999999999 999999999\n255\n\x07", "larger than the limit"),
        (b"P5\n" + b"9" * 5000 + b" 1\n255\n", "header is incomplete"),
    ],
)
def test_c02_a_pnm_that_is_not_whole_is_one_sentence(tmp_path: Path, data: bytes, words: str) -> None:
    (tmp_path / "x.ppm").write_bytes(data)
    with pytest.raises(UserError) as caught:
        images.read(tmp_path / "x.ppm")
    assert words in str(caught.value) and str(tmp_path / "x.ppm") in str(caught.value)


def test_c02_a_text_is_no_pnm(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"")
    (tmp_path / "plan").write_bytes(b"P1 is what we do first\n")
    (tmp_path / "Pf").write_bytes(b"Pfade\n")
    assert find_images(tmp_path).files == [tmp_path / "a.png"]


def test_c02_a_gif_of_one_frame_is_read_and_an_animation_is_named(tmp_path: Path) -> None:
    grey = gradient(8, 8, 1)[..., 0]
    Image.fromarray(grey).save(tmp_path / "one.gif")
    colours = np.zeros((8, 8, 3), np.uint8)
    colours[:4], colours[4:] = (255, 0, 0), (0, 0, 255)
    Image.fromarray(colours).save(tmp_path / "two.gif")
    Image.fromarray(colours).save(tmp_path / "moving.gif", save_all=True, append_images=[Image.fromarray(colours[::-1])])
    assert (images.read(tmp_path / "one.gif")[..., 0] == grey).all()
    assert (images.read(tmp_path / "two.gif") == colours).all()
    assert images.size_of(tmp_path / "two.gif").format == "GIF"
    with pytest.raises(UserError, match=r"moving\.gif is an animated GIF of 2 frames: save the frame that is meant as PNG"):
        images.read(tmp_path / "moving.gif")
    found = find_images(tmp_path)
    assert found.names == ["one.gif", "two.gif"]
    assert found.notes == [f"passed over in {tmp_path}: 1 animated GIF file, such as moving.gif (convert it to PNG to use it)"]
