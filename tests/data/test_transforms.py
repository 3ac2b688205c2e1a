"""What lies on top of each other still does after every resize, crop and mirror."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from transfigure.data.pixels import Array
from transfigure.data.transforms import Crop, Geometry
from transfigure.errors import UserError


def index_image(height: int, width: int) -> Array:
    """Each pixel holds its own number, so a picture says where its pixels came from."""
    return np.arange(height * width, dtype=np.float32).reshape(height, width, 1)


sizes = st.integers(2, 40)
seeds = st.integers(0, 2**32 - 1)


@given(st.integers(1, 20), st.integers(0, 12), sizes, sizes, st.booleans(), seeds)
def test_both_sides_get_the_same_draw(crop: int, margin: int, height: int, width: int, flip: bool, seed: int) -> None:
    geometry = Geometry(crop + margin, crop, flip, "nearest", "nearest")
    source, target = geometry.prepare(index_image(height, width), index_image(height, width) + 0.5)
    assert source.shape == target.shape == (crop + margin, crop + margin, 1)
    draw = geometry.draw(np.random.default_rng(seed), *source.shape[:2])
    assert 0 <= draw.top <= margin
    assert 0 <= draw.left <= margin
    assert not (draw.flipped and not flip)
    cut_source, cut_target = geometry.apply(source, draw), geometry.apply(target, draw)
    assert cut_source.shape == (crop, crop, 1)
    assert np.array_equal(cut_source + 0.5, cut_target)
    expected = source[draw.top : draw.top + crop, draw.left : draw.left + crop]
    assert np.array_equal(cut_source, np.fliplr(expected) if draw.flipped else expected)


@given(st.integers(1, 16))
def test_mirroring_twice_changes_nothing(size: int) -> None:
    geometry, image, mirror = Geometry(size, size), index_image(size, size), Crop(0, 0, True)
    once = geometry.apply(image, mirror)
    assert np.array_equal(geometry.apply(once, mirror), image)
    assert np.array_equal(once, image[:, ::-1])


def test_every_place_and_both_mirrors_are_drawn() -> None:
    geometry, rng = Geometry(6, 4), np.random.default_rng(0)
    draws = [geometry.draw(rng, 6, 6) for _ in range(600)]
    assert len(set(draws)) == 3 * 3 * 2
    assert 240 < sum(draw.flipped for draw in draws) < 360


def test_the_mirror_does_not_move_the_crops() -> None:
    with_mirror, without = Geometry(30, 10), Geometry(30, 10, flip=False)
    for seed in range(20):
        one, other = (g.draw(np.random.default_rng(seed), 30, 30) for g in (with_mirror, without))
        assert (one.top, one.left) == (other.top, other.left)


@given(sizes, sizes, st.integers(1, 50))
def test_native_size_is_kept_or_enlarged_in_proportion(height: int, width: int, crop: int) -> None:
    image = index_image(height, width)
    (result, _) = Geometry(None, crop).prepare(image, image)
    if min(height, width) >= crop:
        assert result is image
    else:
        assert min(result.shape[:2]) == crop
        assert max(result.shape[:2]) == pytest.approx(crop * max(height, width) / min(height, width), abs=0.51)


def test_native_size_needs_equal_sizes() -> None:
    with pytest.raises(UserError, match="of a pair are 4x6 and 4x5"):
        Geometry(None, 2).prepare(index_image(6, 4), index_image(5, 4))
    source, target = Geometry(8, 4).prepare(index_image(6, 4), index_image(5, 4))
    assert source.shape == target.shape == (8, 8, 1)


def test_nearest_invents_no_label() -> None:
    labels = np.random.default_rng(0).choice(np.array([0, 128, 255], np.uint8), (32, 32, 1))
    photo, resized = Geometry(37, 32, True, "bicubic", "nearest").prepare(labels, labels)
    assert set(np.unique(resized)) == {0, 128, 255}
    assert len(np.unique(photo)) > 3


def test_evaluation_has_no_chance_in_it() -> None:
    image = index_image(20, 20)
    whole = Geometry(30, 16, True, "nearest", "nearest").evaluation()
    (prepared, _) = whole.prepare(image, image)
    assert prepared.shape == (16, 16, 1)
    assert whole.draw(np.random.default_rng(3), 16, 16) == Crop(0, 0, False)
    middle = Geometry(None, 16).evaluation()
    assert middle.prepare(image, image)[0] is image
    assert middle.draw(np.random.default_rng(3), 20, 20) == Crop(2, 2, False)


def test_what_is_trained_on_parts_is_evaluated_on_wholes() -> None:
    geometry = Geometry(24, 8, True, "nearest", "nearest", evaluation_size=16)
    image = index_image(20, 20)
    assert geometry.apply(geometry.prepare(image, image)[0], geometry.draw(np.random.default_rng(0), 24, 24)).shape == (8, 8, 1)
    assert geometry.evaluation() == Geometry(16, 16, False, "nearest", "nearest", random=False)
    middle = Geometry(None, 8, evaluation_size=16).evaluation()
    assert middle.draw(None, *middle.prepare(image, image)[0].shape[:2]) == Crop(2, 2, False)


def test_impossible_sizes_are_refused() -> None:
    with pytest.raises(UserError, match="load_size 200 is smaller than crop_size 256"):
        Geometry(200, 256)
    with pytest.raises(UserError, match="at least 1 pixel"):
        Geometry(None, 0)
    with pytest.raises(ValueError, match="smaller than the crop"):
        Geometry(8, 8).draw(np.random.default_rng(0), 7, 8)
