"""What holds for every way to make pairs from photos."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.preparation.edge_networks import write_network
from transfigure import registry
from transfigure.data import images
from transfigure.data.layouts import two_folders
from transfigure.metrics.palettes import load_palette
from transfigure.preparation.base import Preparation
from transfigure.preparation.prepare import PrepareOptions, generator_of, preparation, prepare

Pixels = np.ndarray[Any, Any]
each = pytest.mark.parametrize("name", registry.names("preparation"))
DTYPES = {"indices": ("uint8",), "colours": ("uint8", "uint16")}
"""Types of which the photos are, where not of all."""


@pytest.fixture(name="made_by")
def _made_by(name: str, tmp_path: Path) -> Preparation:
    """With the options without which some cannot be."""
    needed: dict[str, Any] = {"indices": {"palette": "facades"}, "colours": {"palette": "facades"}}.get(name, {})
    if name == "soft_edges":
        pytest.importorskip("onnx")
        needed = {"model": str(write_network(tmp_path / "edges.onnx", [0.3, 0.3, 0.3])), "multiple": 4}
    return preparation(name, needed)


def photo_for(name: str, dtype: str, seed: int = 0) -> Pixels:
    random = np.random.default_rng(seed)
    if name in DTYPES:
        palette = load_palette("facades")
        classes = random.integers(0, len(palette.classes), (18, 22))
        if name == "colours":
            return (1 + classes)[..., None].astype(dtype)
        assert palette.colours is not None
        return palette.colours[classes].astype(dtype)
    values = np.cumsum(random.random((18, 22, 3)), axis=1) / 22
    return (values if dtype.startswith("float") else values * np.iinfo(dtype).max).astype(dtype)


@each
def test_the_target_is_of_the_photo_and_the_photo_stays(name: str, made_by: Preparation) -> None:
    for dtype in DTYPES.get(name, ("uint8", "uint16", "float32")):
        photo = photo_for(name, dtype)
        before = photo.copy()
        pair = made_by(photo, "this photo", generator_of(0, "x"))
        height, width, _ = pair.target.shape
        assert np.array_equal(photo, before)
        assert pair.target.dtype == photo.dtype and np.array_equal(pair.target, before[:height, :width]) and height * width > 200
        assert not made_by.keeps_size or pair.source.shape[:2] == (height, width)


@each
def test_twice_it_is_the_same(name: str, made_by: Preparation) -> None:
    photo = photo_for(name, "uint8")
    one, other = (made_by(photo, "this photo", generator_of(3, "x")) for _ in range(2))
    assert np.array_equal(one.source, other.source) and one.source.dtype == other.source.dtype
    assert (one.mask is None) == (other.mask is None) == (not made_by.has_mask)


@each
def test_the_source_is_another_picture(name: str, made_by: Preparation) -> None:
    photo = photo_for(name, "uint8")
    pair = made_by(photo, "this photo", generator_of(3, "x"))
    assert pair.source.shape != pair.target.shape or (pair.source != pair.target).any()
    assert np.isfinite(pair.source.astype(np.float64)).all() and pair.source.dtype.name in ("uint8", "uint16", photo.dtype.name)
    if pair.mask is not None:
        assert pair.mask.shape == (*pair.target.shape[:2], 1) and set(np.unique(pair.mask)) == {0, 255}


@each
def test_a_folder_of_photos_becomes_a_data_set(name: str, made_by: Preparation, tmp_path: Path) -> None:
    for at in range(3):
        images.write(tmp_path / "photos" / f"{at}.png", photo_for(name, "uint8", at))
    done = prepare(tmp_path / "photos", tmp_path / "out", made_by, PrepareOptions(quiet=True))
    assert done.counts == {"all": 3}
    records = two_folders(tmp_path / "out").splits["all"]
    assert [record.name for record in records] == ["0", "1", "2"]
    for at, record in enumerate(records):
        pair = made_by(photo_for(name, "uint8", at), "this photo", generator_of(0, record.name))
        source, target = record.load()
        assert np.array_equal(source, pair.source) and np.array_equal(target, pair.target)
    assert (tmp_path / "out" / "mask").is_dir() == made_by.has_mask
