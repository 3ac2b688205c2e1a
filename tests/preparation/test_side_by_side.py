"""Side-by-side files and two folders are each other's inverse."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transfigure.data import images
from transfigure.data.layouts import side_by_side
from transfigure.data.splits import divide
from transfigure.errors import UserError
from transfigure.preparation.destination import SplitOptions
from transfigure.preparation.side_by_side import RewriteOptions, combine, split

QUIET = RewriteOptions(quiet=True)
Pixels = np.ndarray[Any, Any]


def noise(seed: int, height: int, width: int, channels: int, dtype: str) -> Pixels:
    random = np.random.default_rng(seed)
    if dtype == "float32":
        return random.random((height, width, channels), np.float32)
    return random.integers(0, int(np.iinfo(dtype).max) + 1, (height, width, channels), dtype)


def written(folder: Path) -> dict[str, Pixels]:
    return {path.relative_to(folder).as_posix(): images.read(path, pages="channels") for path in folder.rglob("*") if path.is_file()}


def same(one: dict[str, Pixels], other: dict[str, Pixels]) -> bool:
    return one.keys() == other.keys() and all(one[key].dtype == other[key].dtype and np.array_equal(one[key], other[key]) for key in one)


@settings(max_examples=20, deadline=None)
@given(
    size=st.tuples(st.integers(1, 12), st.integers(1, 12)),
    channels=st.sampled_from([1, 2, 3, 5]),
    dtype=st.sampled_from(["uint8", "uint16", "float32"]),
    parts=st.sampled_from([("",), ("train", "test")]),
)
def test_they_are_inverses(
    size: tuple[int, int], channels: int, dtype: str, parts: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory
) -> None:
    root = tmp_path_factory.mktemp("pairs")
    kind = "png" if channels in (1, 3) and dtype == "uint8" else "tif"
    for part in parts:
        for at in range(3):
            for side in "AB":
                images.write(root / "in" / f"{part}{side}" / f"s/{at}.{kind}", noise(at + (side == "B") * 9, *size, channels, dtype))
    if parts == ("",):
        combine(root / "in" / "A", root / "in" / "B", root / "joined", QUIET)
    else:
        for part in parts:
            combine(root / "in" / f"{part}A", root / "in" / f"{part}B", root / "joined" / part, QUIET)
    split(root / "joined", root / "back", QUIET)
    before = {name.rpartition(".")[0]: pixels for name, pixels in written(root / "in").items()}
    assert same(before, {name.rpartition(".")[0]: pixels for name, pixels in written(root / "back").items()})
    if parts == ("",):
        combine(root / "back" / "A", root / "back" / "B", root / "again", QUIET)
        assert same(written(root / "again"), written(root / "joined"))


def test_the_names_are_divided_as_training_divides_them(tmp_path: Path) -> None:
    for at in range(20):
        for side in "AB":
            images.write(tmp_path / side / f"n{at // 4}_{at}.png", noise(at, 4, 4, 3, "uint8"))
    options = SplitOptions(val=0.2, test=0.3, group="^(n.)_", seed=3)
    done = combine(tmp_path / "A", tmp_path / "B", tmp_path / "out", RewriteOptions(options, quiet=True))
    combine(tmp_path / "A", tmp_path / "B", tmp_path / "whole", QUIET)
    drawn = divide(side_by_side(tmp_path / "whole"), 0.2, 0.3, 3, group="^(n.)_").splits
    assert {name: sorted(path.stem for path in (tmp_path / "out" / name).iterdir()) for name in drawn} == {
        name: sorted(record.name for record in records) for name, records in drawn.items()
    }
    assert done.counts == {name: len(records) for name, records in drawn.items()} and min(done.counts.values()) >= 4
    groups = [{path.stem[:2] for path in (tmp_path / "out" / name).iterdir()} for name in drawn]
    assert sum(map(len, groups)) == len(set.union(*groups)) == 5
    with pytest.raises(UserError, match="divided already, into train, val, test"):
        split(tmp_path / "out", tmp_path / "x", RewriteOptions(SplitOptions(test=0.5)))


def test_pairs_that_cannot_be_one_file_are_refused(tmp_path: Path) -> None:
    cases: list[tuple[Pixels, Pixels, str]] = [
        (noise(0, 4, 5, 3, "uint8"), noise(0, 4, 6, 3, "uint8"), "5x4, 8-bit RGB and .* is 6x4"),
        (noise(0, 4, 5, 1, "uint8"), noise(0, 4, 5, 1, "uint16"), "one size and one type"),
        (noise(0, 4, 5, 1, "uint8"), noise(0, 4, 5, 2, "uint8"), "has 1 channels and .* has 2"),
    ]
    for at, (left, right, words) in enumerate(cases):
        images.write(tmp_path / f"{at}" / "A" / "x.tif", left)
        images.write(tmp_path / f"{at}" / "B" / "x.tif", right)
        with pytest.raises(UserError, match=words):
            combine(tmp_path / f"{at}" / "A", tmp_path / f"{at}" / "B", tmp_path / "out", QUIET)
    with pytest.raises(UserError, match="two folders already"):
        split(tmp_path / "0", tmp_path / "out", QUIET)
    images.write(tmp_path / "odd" / "x.png", noise(0, 4, 5, 3, "uint8"))
    with pytest.raises(UserError, match="even width"):
        split(tmp_path / "odd", tmp_path / "out", QUIET)


def test_grey_beside_colour_is_said(tmp_path: Path) -> None:
    grey, colour = noise(0, 4, 5, 1, "uint8"), noise(1, 4, 5, 3, "uint8")
    images.write(tmp_path / "A" / "x.png", grey)
    images.write(tmp_path / "B" / "x.png", colour)
    done = combine(tmp_path / "A", tmp_path / "B", tmp_path / "out", QUIET)
    assert done.notes == ["1 of 1 pairs are of grey and colour: the grey side is written as RGB"]
    assert np.array_equal(images.read(tmp_path / "out" / "x.png"), np.concatenate([np.repeat(grey, 3, axis=2), colour], axis=1))
