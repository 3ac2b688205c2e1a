"""A picture is found again in another size, format, quality and exposure; other pictures are not taken for it."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from transfigure.data.check.likeness import alike, grey, groups, likeness
from transfigure.data.pixels import Array
from transfigure.worlds.facades.dataset import draw_scene, render

STREETS = [render(draw_scene(0, index), "day", 128) for index in range(40)]


def jpeg(picture: Array, quality: int) -> Array:
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, "JPEG", quality=quality)
    return np.asarray(Image.open(stream))


def resized(picture: Array, *size: int) -> Array:
    return np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BICUBIC))


COPIES: dict[str, Callable[[Array], Array]] = {
    "half the size": lambda picture: resized(picture, 64, 64),
    "twice the size": lambda picture: resized(picture, 256, 256),
    "an odd size": lambda picture: resized(picture, 101, 117),
    "a poor JPEG": lambda picture: jpeg(picture, 30),
    "a small JPEG": lambda picture: jpeg(resized(picture, 90, 90), 60),
    "grey": lambda picture: np.asarray(Image.fromarray(picture).convert("L"))[..., None],
    "darker": lambda picture: (picture * 0.8).astype(np.uint8),
    "16 bits": lambda picture: picture.astype(np.uint16) * 257,
    "floats": lambda picture: (picture / 255).astype(np.float32),
}


@pytest.mark.parametrize("copy", COPIES)
def test_a_copy_is_found_and_nothing_else(copy: str) -> None:
    everything = [*STREETS, *(COPIES[copy](STREETS[at]) for at in (3, 17))]
    assert alike([likeness(grey(one)) for one in everything]) == [(3, 40), (17, 41)]


def test_a_picture_that_shows_nothing_is_like_no_other() -> None:
    flat = np.full((64, 64, 1), 7, np.uint8)
    assert likeness(grey(flat)) is None
    assert alike([None, None, likeness(grey(STREETS[0]))]) == []


def test_small_pictures_and_broken_floats_have_a_likeness() -> None:
    small = np.arange(12, dtype=np.float32).reshape(3, 4, 1)
    small[0, 0] = np.nan
    assert likeness(grey(small)) is not None


def test_groups_are_what_is_connected() -> None:
    assert groups(7, [(0, 3), (3, 5), (2, 6)]) == [[0, 3, 5], [2, 6]]
    assert groups(3, []) == []


def test_thousands_of_nearly_one_hash_end_soon_and_stay_connected() -> None:
    """As label maps of one background have."""
    one = likeness(grey(STREETS[0]))
    assert one is not None
    pairs = alike([one] * 1500)
    assert len(pairs) < 1500 * 40
    assert groups(1500, pairs) == [list(range(1500))]
