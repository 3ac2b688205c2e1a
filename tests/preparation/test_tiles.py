"""Patches cover what they are cut from, and nothing of a held-out one is trained on."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tests.data.whole_slides import aperio, tissue
from transfigure.data import images
from transfigure.data.layouts import photos, two_folders
from transfigure.data.regions import Box
from transfigure.errors import UserError
from transfigure.preparation.destination import SplitOptions
from transfigure.preparation.tiles import TileOptions, tile, windows

Pixels = np.ndarray[Any, Any]
RANK = {"train": 0, "val": 1, "test": 2}


def numbered(height: int, width: int, first: int = 0) -> Pixels:
    """Every pixel has a value of its own, ``[H, W, 1]`` uint16."""
    return (first + np.arange(height * width)).reshape(height, width, 1).astype(np.uint16)


@given(
    box=st.tuples(st.integers(0, 9), st.integers(0, 9), st.integers(1, 40), st.integers(1, 40)),
    size=st.integers(1, 20),
    stride=st.integers(1, 20),
)
def test_windows_cover_and_stay_inside(box: tuple[int, int, int, int], size: int, stride: int) -> None:
    assume(stride <= size)
    part = Box(box[0], box[1], box[0] + box[2], box[1] + box[3])
    seen = np.zeros((60, 60), int)
    found = list(windows(part, size, stride))
    for window in found:
        assert window.bottom - window.top == window.right - window.left == size
        seen[window.top : window.bottom, window.left : window.right] += 1
    inside = np.zeros((60, 60), bool)
    inside[part.top : part.bottom, part.left : part.right] = True
    assert np.array_equal(seen > 0, inside) if min(box[2:]) >= size else not found
    assert len(set(found)) == len(found)


def patches(folder: Path, side: str = "") -> dict[str, dict[str, Pixels]]:
    return {
        split: {
            path.relative_to(folder / f"{split}{side}").as_posix(): images.read(path, pages="channels")
            for path in (folder / f"{split}{side}").rglob("*.*")
        }
        for split in RANK
        if (folder / f"{split}{side}").is_dir()
    }


@pytest.mark.parametrize(("regions", "margin", "stride"), [((2, 2), 5, None), ((3, 4), 0, 4), ((4, 4), 8, 5), ((1, 5), None, None)])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_by_region_nothing_leaks(regions: tuple[int, int], margin: int | None, stride: int | None, seed: int, tmp_path: Path) -> None:
    """By the pixels of the files that were written: each knows where it was."""
    height, width = 96, 130
    images.write(tmp_path / "in" / "well.tif", numbered(height, width))
    options = TileOptions(8, stride, "region", regions, margin, SplitOptions(0.2, 0.3, seed=seed), quiet=True)
    done = tile(tmp_path / "in", tmp_path / "out", options=options)
    found = patches(tmp_path / "out")
    assert set(found) == set(RANK) == set(done.counts) and {name: len(part) for name, part in found.items()} == done.counts
    where = {}
    for split, part in found.items():
        where[split] = np.zeros((height, width), bool)
        for name, patch in part.items():
            top, left = map(int, re.fullmatch(r"well/y(\d+)_x(\d+)\.png", name).groups())  # type: ignore[union-attr]
            assert np.array_equal(patch, numbered(height, width)[top : top + 8, left : left + 8])
            where[split].flat[patch.ravel()] = True
    gap = 8 // 4 if margin is None else margin
    for split, held in (("train", "val"), ("train", "test"), ("val", "test")):
        rows, columns = np.nonzero(where[held])
        for row, column in zip(rows, columns):
            assert not where[split][max(0, row - gap) : row + gap + 1, max(0, column - gap) : column + gap + 1].any(), (split, held)


def test_by_image_all_is_covered_and_kept_together(tmp_path: Path) -> None:
    for at in range(9):
        images.write(tmp_path / "in" / f"slide{at // 3}_{at}.png", numbered(20 + at, 30 - at, 700 * at))
    options = TileOptions(8, split=SplitOptions(0.3, 0.3, "^(slide.)_"), quiet=True)
    tile(tmp_path / "in", tmp_path / "out", options=options)
    found = patches(tmp_path / "out")
    slides = {split: {name.split("_")[0] for name in part} for split, part in found.items()}
    assert sum(map(len, slides.values())) == 3 and set.union(*slides.values()) == {"slide0", "slide1", "slide2"}
    values = np.unique(np.concatenate([patch.ravel() for part in found.values() for patch in part.values()]))
    assert len(values) == sum((20 + at) * (30 - at) for at in range(9))
    records = photos(tmp_path / "out").splits["train"]
    assert {record.name.rpartition("/")[0] for record in records} <= {f"slide{at // 3}_{at}" for at in range(9)}, "parent is the group"


def test_pairs_are_cut_at_the_same_places(tmp_path: Path) -> None:
    for at in range(4):
        images.write(tmp_path / "A" / f"{at}.png", numbered(40, 44))
        images.write(tmp_path / "B" / f"{at}.tif", numbered(40, 44).astype(np.float32) / 2)
    options = TileOptions(10, 7, "region", (2, 2), 3, SplitOptions(test=0.3), quiet=True)
    done = tile(tmp_path / "A", tmp_path / "out", tmp_path / "B", options)
    pairs = two_folders(tmp_path / "out").splits
    assert {name: len(records) for name, records in pairs.items()} == done.counts
    for record in (record for part in pairs.values() for record in part):
        source, target = record.load()
        assert source.dtype == np.uint16 and target.dtype == np.float32 and np.array_equal(source, target * 2)
    images.write(tmp_path / "B" / "0.tif", numbered(40, 43))
    with pytest.raises(UserError, match=r"44 x 40 pixels and .* is 43 x 40"):
        tile(tmp_path / "A", tmp_path / "x", tmp_path / "B", options)


def test_a_stack_is_cut_with_all_its_pages(tmp_path: Path) -> None:
    pages = [numbered(12, 12, 1000 * at) for at in range(5)]
    images.write_pages(tmp_path / "in" / "stack.tif", pages)
    tile(tmp_path / "in", tmp_path / "out", options=TileOptions(6, quiet=True))
    for file in (tmp_path / "out").rglob("*.tif"):
        top, left = (int(number) for number in re.findall(r"\d+", file.stem))
        patch = images.read(file, pages="channels")
        assert np.array_equal(patch, np.concatenate(pages, axis=2)[top : top + 6, left : left + 6])
    assert len(list((tmp_path / "out").rglob("*.tif"))) == 4


def test_equal_seeds_give_equal_bytes(tmp_path: Path) -> None:
    images.write(tmp_path / "in" / "a.png", numbered(64, 64))
    for out, seed in (("one", 1), ("two", 1), ("three", 2)):
        options = TileOptions(8, None, "region", (4, 4), 2, SplitOptions(test=0.3, seed=seed), quiet=True)
        tile(tmp_path / "in", tmp_path / out, options=options)
    one, two, three = (
        {path.relative_to(tmp_path / out).as_posix(): path.read_bytes() for path in (tmp_path / out).rglob("*.png")}
        for out in ("one", "two", "three")
    )
    assert one == two != three


def test_what_cannot_be_cut_is_refused(tmp_path: Path) -> None:
    images.write(tmp_path / "in" / "a.png", numbered(30, 40))
    half = SplitOptions(test=0.5)
    with pytest.raises(UserError, match=r"--val 0\.5 and --test 0\.5 must"):
        SplitOptions(0.5, 0.5)
    for options, words in (
        (TileOptions(31), "40 x 30 pixels, and gives no patch of 31"),
        (TileOptions(8, 9), "the stride at most the size"),
        (TileOptions(8, by="region"), "regions are cut to be divided"),
        (TileOptions(8, by="region", split=half), "regions of 7 pixels: too narrow"),
        (TileOptions(8, by="region", regions=(2, 2), margin=16, split=half), "a margin of 16"),
        (TileOptions(8, by="region", regions=(1, 1), split=half), "two regions at least"),
        (TileOptions(8, by="region", regions=(2, 2), split=SplitOptions(test=0.5, group="parent")), "choose one of the two"),
        (TileOptions(14, by="region", regions=(2, 2), margin=8, split=half), "no patch of 14 fits into the train regions"),
    ):
        with pytest.raises(UserError, match=words):
            tile(tmp_path / "in", tmp_path / "out", options=options)
    assert not (tmp_path / "out").exists()


def test_patches_of_a_level_of_slides(tmp_path: Path) -> None:
    (tmp_path / "slides").mkdir()
    levels = {name: aperio(tmp_path / "slides" / f"{name}.svs", tissue(320, 480 + 16 * at), (4,)) for at, name in enumerate("ab")}
    tile(tmp_path / "slides", tmp_path / "out", options=TileOptions(size=40, level=1, split=SplitOptions(test=0.5), quiet=True))
    found = patches(tmp_path / "out")
    assert sum(map(len, found.values())) == 2 * 3 + 2 * 4
    for name, patch in (item for split in found.values() for item in split.items()):
        image, top, left = re.fullmatch(r"(\w)/y(\d+)_x(\d+)\.\w+", name).groups()  # type: ignore[union-attr]
        assert np.array_equal(patch, levels[image][1][int(top) : int(top) + 40, int(left) : int(left) + 40])
    with pytest.raises(UserError, match="has no level 5: choose one of 0"):
        tile(tmp_path / "slides", tmp_path / "none", options=TileOptions(size=40, level=5, quiet=True))


def test_what_is_too_large_to_be_decoded_is_cut_piece_by_piece(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "slides").mkdir()
    levels = [aperio(tmp_path / "slides" / f"{name}.svs", tissue(320, 480), (4,)) for name in "ab"]
    monkeypatch.setenv("TRANSFIGURE_MAX_PIXELS", "2000")
    tile(tmp_path / "slides", tmp_path / "out", options=TileOptions(size=40, split=SplitOptions(test=0.5), quiet=True))
    found = [item for split in patches(tmp_path / "out").values() for item in split.items()]
    assert len(found) == 2 * 8 * 12
    for name, patch in found:
        top, left = map(int, re.findall(r"[yx](\d{5})", name))
        assert np.array_equal(patch, levels[0][0][top : top + 40, left : left + 40])
