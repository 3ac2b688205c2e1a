"""Pairs made of photos: every preparation keeps values exact, and follows from the seed alone."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transfigure.data import images
from transfigure.data.layouts import two_folders, with_masks
from transfigure.data.pixels import convert_channels
from transfigure.errors import Missing, UserError
from transfigure.preparation.destination import SplitOptions
from transfigure.preparation.prepare import PrepareOptions, generator_of, preparation, prepare

QUIET = PrepareOptions(quiet=True)
Pixels = np.ndarray[Any, Any]
PALETTE = {"classes": {"sky": [70, 130, 180], "road": [128, 64, 128], "car": [0, 0, 142]}, "ignore": [[0, 0, 0]]}


def scene(seed: int = 0, height: int = 40, width: int = 56) -> Pixels:
    """A few coloured rectangles under a gradient, ``[H, W, 3]`` uint8."""
    random = np.random.default_rng(seed)
    found = np.zeros((height, width, 3)) + np.linspace(20, 90, width)[None, :, None]
    for _ in range(6):
        top, left = random.integers(height - 8), random.integers(width - 8)
        found[top : top + random.integers(6, 24), left : left + random.integers(6, 24)] = random.integers(0, 256, 3)
    return found.astype(np.uint8)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for at in range(12):
        images.write(tmp_path / "photos" / f"p{at}.png", scene(at))
    return tmp_path / "photos"


def disk(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def made(name: str, photo: Pixels, seed: int = 0, **options: Any) -> Any:
    return preparation(name, options)(photo, "this photo", generator_of(seed, "this"))


PHOTO_KINDS = ["downscaled", "edges", "grey", "holes"]


@pytest.mark.parametrize("name", PHOTO_KINDS)
def test_the_target_is_the_photo_bit_for_bit(name: str, photos: Path, tmp_path: Path) -> None:
    assert prepare(photos, tmp_path / "out", preparation(name), QUIET).counts == {"all": 12}
    for at in range(12):
        assert np.array_equal(images.read(tmp_path / "out" / "B" / f"p{at}.png"), scene(at))
    assert [record.name for record in two_folders(tmp_path / "out").splits["all"]] == [f"p{at}" for at in range(12)]


@pytest.mark.parametrize("name", PHOTO_KINDS)
def test_equal_seeds_give_equal_bytes(name: str, photos: Path, tmp_path: Path) -> None:
    for out, seed in (("one", 5), ("two", 5), ("three", 6)):
        options = PrepareOptions(split=SplitOptions(0.2, 0.2, seed=seed), quiet=True)
        prepare(photos, tmp_path / out, preparation(name), options)
    assert disk(tmp_path / "one") == disk(tmp_path / "two") != disk(tmp_path / "three")


@pytest.mark.parametrize("name", [name for name in PHOTO_KINDS if name != "grey"])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_two_folders_and_side_by_side_agree(name: str, dtype: str, tmp_path: Path) -> None:
    photo = convert_channels(scene().astype(dtype), 1) * {"uint8": 1, "uint16": 257, "float32": 1 / 255}[dtype]
    images.write(tmp_path / "photos" / "one.tif", photo.astype(dtype))
    for layout in ("two_folders", "side_by_side"):
        prepare(tmp_path / "photos", tmp_path / layout, preparation(name), PrepareOptions(layout, quiet=True))
    file, a, b = (next((tmp_path / place).glob("one.*")) for place in ("side_by_side", "two_folders/A", "two_folders/B"))
    left, right = images.split_halves(images.read(file), file)
    assert right.dtype == dtype and np.array_equal(right, photo.astype(dtype)) and np.array_equal(right, images.read(b))
    source = images.read(a)
    assert np.array_equal(left, source) or np.allclose(left / np.float64(left.max()), source / np.float64(source.max()))


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), colour=st.booleans(), low=st.integers(0, 60), high=st.integers(120, 255))
def test_edges_do_not_depend_on_the_type(seed: int, colour: bool, low: int, high: int) -> None:
    """Of 8 bits, 16 bits, 12 bits in 16, and floats of either range."""
    photo = (low + scene(seed).astype(np.float64) * (high - low) / 255).astype(np.uint8)
    photo = photo if colour else convert_channels(photo, 1)
    edges = made("edges", photo).source
    assert 0 < (edges == 0).mean() < 0.5
    for same in (photo.astype(np.uint16) * 257, photo.astype(np.uint16) * 16, photo.astype(np.float64), photo.astype(np.int32) - 1000):
        assert np.array_equal(made("edges", same).source, edges)
    assert (made("edges", (photo / 255).astype(np.float32)).source != edges).mean() < 0.002


def test_without_scikit_image_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "skimage.feature", None)
    with pytest.raises(Missing, match=r"pip install 'transfigure\[prepare\]'"):
        preparation("edges")
    assert preparation("grey").keeps_size


def test_a_photo_without_anything_has_no_edges() -> None:
    for value in (0, 77, 255):
        assert (made("edges", np.full((20, 20, 3), value, np.uint8)).source == 255).all()
    assert (made("edges", np.full((20, 20, 1), 7, np.uint8), lines="white").source == 0).all()


def test_grey_is_the_luma_of_either_depth() -> None:
    deep = np.random.default_rng(0).integers(0, 65536, (9, 9, 3), np.uint16)
    grey = made("grey", deep).source
    assert grey.dtype == np.uint16 and np.abs(grey[..., 0] - deep @ np.array([0.299, 0.587, 0.114])).max() <= 0.501
    with pytest.raises(UserError, match="this photo has 1 channel, and 3 are needed"):
        made("grey", deep[..., :1])


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 99),
    height=st.integers(1, 30),
    width=st.integers(1, 30),
    count=st.integers(1, 4),
    fill=st.sampled_from(["black", "white", "grey", "mean"]),
    dtype=st.sampled_from(["uint8", "uint16", "float32"]),
)
def test_holes_change_nothing_outside(seed: int, height: int, width: int, count: int, fill: str, dtype: str) -> None:
    values = np.random.default_rng(seed).random((height, width, 3)) * (1 if dtype == "float32" else np.iinfo(dtype).max)
    photo = values.astype(dtype)
    pair = made("holes", photo, seed, count=count, fill=fill)
    hole = pair.mask[..., 0] == 255
    assert hole.any() and set(np.unique(pair.mask)) <= {0, 255}
    assert np.array_equal(pair.source[~hole], photo[~hole]) and np.array_equal(pair.target, photo)
    assert len(np.unique(pair.source[hole], axis=0)) == 1 and pair.source.dtype == photo.dtype
    assert count > 1 or hole.sum() == np.prod([side.max() - side.min() + 1 for side in np.nonzero(hole)])


def test_masks_of_holes_are_found_by_their_names(photos: Path, tmp_path: Path) -> None:
    prepare(photos, tmp_path / "out", preparation("holes"), PrepareOptions(split=SplitOptions(test=0.3), quiet=True))
    found = two_folders(tmp_path / "out")
    with_masks(found, tmp_path / "out", "mask")
    assert set(found.splits) == {"train", "test"} and sum(map(len, found.splits.values())) == 12
    for record in [record for part in found.splits.values() for record in part]:
        assert record.mask is not None
        (source, target), hole = record.load(), record.mask.read()[..., 0] == 255
        assert ((source != target).any(axis=2) <= hole).all() and (source != target).any()


def test_a_hole_is_where_its_name_and_the_seed_put_it(photos: Path, tmp_path: Path) -> None:
    """Other photos beside it do not matter."""
    prepare(photos, tmp_path / "all", preparation("holes"), QUIET)
    (tmp_path / "few").mkdir()
    (tmp_path / "few" / "p7.png").write_bytes((photos / "p7.png").read_bytes())
    prepare(tmp_path / "few", tmp_path / "one", preparation("holes"), QUIET)
    assert disk(tmp_path / "one" / "mask")["p7.png"] == disk(tmp_path / "all" / "mask")["p7.png"]
    assert len(set(disk(tmp_path / "all" / "mask").values())) == 12


def test_downscaled_there_and_back(tmp_path: Path) -> None:
    photo = scene(3, 41, 55)
    there = made("downscaled", photo, back=False, factor=2)
    assert there.source.shape == (20, 27, 3) and there.target.shape == (40, 54, 3) and np.array_equal(there.target, photo[:40, :54])
    back = made("downscaled", photo, factor=2)
    assert back.source.shape == back.target.shape and 1 < np.abs(back.source.astype(int) - back.target).mean() < 40
    images.write(tmp_path / "photos" / "odd.png", photo)
    done = prepare(tmp_path / "photos", tmp_path / "out", preparation("downscaled", {"factor": 2}), QUIET)
    assert done.notes == ["1 of 1 photos were cropped at the right and the bottom to fit"]
    with pytest.raises(UserError, match="differ in size"):
        prepare(tmp_path / "photos", tmp_path / "x", preparation("downscaled", {"back": False}), PrepareOptions("side_by_side"))
    with pytest.raises(UserError, match="too small to be 64 times smaller"):
        made("downscaled", photo, factor=64)


@settings(max_examples=20, deadline=None)
@given(
    seed=st.integers(0, 999),
    numbers=st.sampled_from([None, {"7": "sky", "0": "road", "23": "car"}, {"7": "sky", "400": "road", "2": "car"}]),
)
def test_palettes_go_there_and_back(seed: int, numbers: dict[str, str] | None, tmp_path_factory: pytest.TempPathFactory) -> None:
    file = tmp_path_factory.mktemp("palette") / "palette.json"
    file.write_text(json.dumps(PALETTE | ({"numbers": numbers} if numbers else {})))
    classes = np.random.default_rng(seed).integers(0, 4, (7, 9))
    colours = np.array([*PALETTE["classes"].values(), [0, 0, 0]], np.uint8)[classes]  # type: ignore[attr-defined]
    indices = made("indices", colours, palette=str(file)).source
    expected = {None: [0, 1, 2], "0": [7, 0, 23], "400": [7, 400, 2]}[next((key for key in ("0", "400") if key in (numbers or {})), None)]
    assert np.array_equal(indices[..., 0], np.array([*expected, 255])[classes])
    assert np.array_equal(made("colours", indices, palette=str(file)).source, colours)


def test_a_colour_outside_the_palette_is_refused(tmp_path: Path) -> None:
    (tmp_path / "p.json").write_text(json.dumps(PALETTE))
    labels = np.array([[[70, 130, 180], [72, 130, 180]]], np.uint8)
    with pytest.raises(UserError, match=r"1 pixels of colours that are not in the palette p, such as \[72, 130, 180\]"):
        made("indices", labels, palette=str(tmp_path / "p.json"))
    assert made("indices", labels, palette=str(tmp_path / "p.json"), nearest=True).source.tolist() == [[[0], [0]]]
    with pytest.raises(UserError, match="numbers that the palette p does not know, such as 9"):
        made("colours", np.array([[[0], [9]]], np.uint8), palette=str(tmp_path / "p.json"))


def test_the_source_alone(photos: Path, tmp_path: Path) -> None:
    prepare(photos, tmp_path / "out", preparation("grey"), PrepareOptions("source", quiet=True))
    assert sorted(disk(tmp_path / "out")) == sorted(f"p{at}.png" for at in range(12))
    assert images.read(tmp_path / "out" / "p3.png").shape == (40, 56, 1)


def test_a_place_that_would_mix_or_be_read_again_is_refused(photos: Path, tmp_path: Path) -> None:
    grey = preparation("grey")
    with pytest.raises(UserError, match="lies in"):
        prepare(photos, photos / "out", grey, QUIET)
    images.write(tmp_path / "out" / "A" / "other.png", scene())
    with pytest.raises(UserError, match=r"holds 1 image that would be mixed .* such as A/other\.png"):
        prepare(photos, tmp_path / "out", grey, QUIET)
    prepare(photos, tmp_path / "again", grey, QUIET)
    prepare(photos, tmp_path / "again", grey, QUIET)
    with pytest.raises(UserError, match="would be mixed"):
        prepare(photos, tmp_path / "again", grey, PrepareOptions(split=SplitOptions(test=0.5), quiet=True))


def test_options_are_checked_by_their_types() -> None:
    for name, options, words in (
        ("edges", {"sigma": "-1"}, "preparation.sigma"),
        ("edges", {"sgma": "1"}, "did you mean"),
        ("edges", {"low": "0.5", "high": "0.2"}, "exchange|above"),
        ("holes", {"fill": "blue"}, "preparation.fill"),
        ("blurred", {}, "there is no preparation named"),
        ("soft_edges", {}, "give its ONNX file"),
        ("indices", {}, "--preparation.palette"),
    ):
        with pytest.raises(UserError, match=words):
            preparation(name, options)
    assert preparation("downscaled", {"factor": "2", "back": "false"}).keeps_size is False
