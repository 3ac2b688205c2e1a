from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from transfigure.data.display import limits, shown
from transfigure.reporting.panels import Album, data_uri, sheet


def decoded(uri: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))))


@pytest.mark.parametrize(("channels", "seen"), [(1, 1), (2, 3), (3, 3), (4, 3), (9, 1)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_any_image_can_be_seen(channels: int, seen: int, dtype: type) -> None:
    image = np.random.default_rng(0).integers(0, 200, (5, 7, channels)).astype(dtype)
    result = shown(image)
    assert result.dtype == np.uint8 and result.shape == (5, 7, seen)
    if dtype is np.uint8:
        green_and_magenta = np.stack([image[..., -1], image[..., 0], image[..., -1]], axis=2)
        expected = {2: green_and_magenta, 9: image[..., 4:5]}.get(channels, image[..., :seen])
        np.testing.assert_array_equal(result, expected)


def test_dim_16_bit_pictures_are_not_black() -> None:
    image = np.linspace(300, 900, 10_000).reshape(100, 100).astype(np.uint16)
    result = shown(image)
    assert result.min() == 0 and result.max() == 255
    low, high = limits(image) or (0.0, 0.0)
    assert low == pytest.approx(300.6, abs=1) and high == pytest.approx(899.4, abs=1)


def test_pictures_shown_between_the_same_values_can_be_compared() -> None:
    target = np.full((4, 4, 1), 1000, np.uint16)
    target[0, 0] = 0
    np.testing.assert_array_equal(shown(target // 2, (0.0, 1000.0))[1:], 128)


def test_constant_and_broken_values() -> None:
    assert shown(np.full((2, 2), 7, np.uint16)).max() == 0
    broken = np.array([[np.nan, np.inf], [-np.inf, 1.0]], np.float32)
    np.testing.assert_array_equal(shown(broken, (0.0, 1.0))[..., 0], [[0, 255], [0, 255]])
    assert shown(np.full((2, 2, 3), np.nan)).shape == (2, 2, 3)


def test_flat_pictures_are_exact_and_noise_is_compressed_without_losing_colour_resolution() -> None:
    flat = np.zeros((64, 64, 3), np.uint8)
    flat[:, 32:] = (255, 0, 0)
    assert data_uri(flat).startswith("data:image/png")
    np.testing.assert_array_equal(decoded(data_uri(flat)), flat)
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    smooth = np.asarray(Image.fromarray(noise).resize((256, 256), Image.Resampling.BICUBIC))
    uri = data_uri(smooth)
    assert uri.startswith("data:image/jpeg")
    assert np.abs(decoded(uri).astype(int) - smooth).mean() < 4


def test_an_album_bounds_the_size_and_survives_damage(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((30, 900), np.uint8)).save(tmp_path / "long.png")
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    album = Album(side=300)
    long = album.picture(tmp_path / "long.png", "a long one")
    assert (long.width, long.height) == (900, 30)
    assert decoded(long.uri).shape == (10, 300)
    assert album.weight == len(long.uri)
    assert "broken.png could not be read" in album.picture(tmp_path / "broken.png", "x").problem
    assert album.picture(None, "x").problem == "no file"
    assert album.limits_of(tmp_path / "broken.png") is None


def test_a_sheet_has_every_picture_in_its_place() -> None:
    red, blue = np.zeros((8, 8, 3), np.uint8), np.zeros((8, 8, 3), np.uint8)
    red[..., 0], blue[..., 2] = 255, 255
    grey = np.full((4, 8), 99, np.uint8)
    page = sheet([[red, blue], [grey]], ["source", "target"], scale=4)
    bare = sheet([[red, blue], [grey]], scale=4)
    assert page.dtype == np.uint8 and page.shape[1] == bare.shape[1] and page.shape[0] > bare.shape[0]
    gap, cell = 4, 32
    assert bare.shape == (2 * (cell + gap) + gap, 2 * (cell + gap) + gap, 3)
    np.testing.assert_array_equal(bare[gap : gap + cell, gap : gap + cell], np.broadcast_to([255, 0, 0], (cell, cell, 3)))
    np.testing.assert_array_equal(bare[gap : gap + cell, 2 * gap + cell : 2 * (gap + cell)], np.broadcast_to([0, 0, 255], (cell, cell, 3)))
    assert (bare == 99).all(axis=-1).sum() == 32 * 16
    assert (page[:gap] == 255).all() and (page[: page.shape[0] - bare.shape[0]] < 200).any(), "captions are drawn above"


def test_a_sheet_refuses_nonsense() -> None:
    with pytest.raises(ValueError, match="at least one picture"):
        sheet([])
    with pytest.raises(ValueError, match="3 labels for 1 columns"):
        sheet([[np.zeros((4, 4), np.uint8)]], ["a", "b", "c"])


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 3), st.text(max_size=60))
def test_a_sheet_of_any_size_and_caption(height: int, width: int, scale: int, label: str) -> None:
    page = sheet([[np.zeros((height, width, 3), np.uint8)]], [label], scale)
    factor = scale or max(1, round(192 / max(height, width)))
    assert page.shape[0] >= height * factor and page.shape[1] >= width * factor
    assert (page == 0).all(axis=-1).sum() == height * width * factor**2
