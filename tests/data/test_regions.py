"""Regions of one image: a partition, a margin between those of different splits, and pictures that are only a region of their file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transfigure.data import images
from transfigure.data.masks import read_mask
from transfigure.data.pairs import FilePicture, Record
from transfigure.data.regions import Box, region_grid, usable
from transfigure.errors import UserError

RANK = {"train": 0, "val": 1, "test": 2}


@settings(max_examples=300)
@given(data=st.data(), rows=st.integers(1, 4), columns=st.integers(1, 4), margin=st.integers(0, 6))
def test_no_usable_pixel_is_within_the_margin_of_what_is_held_out_more(data: st.DataObject, rows: int, columns: int, margin: int) -> None:
    height, width = (data.draw(st.integers(max(margin, 1) * count, max(margin, 1) * count + 30)) for count in (rows, columns))
    grid = region_grid(height, width, rows, columns)
    covered = np.zeros((height, width), int)
    for box in grid.values():
        covered[box.top : box.bottom, box.left : box.right] += 1
    assert (covered == 1).all(), "the regions are a partition"
    splits = {at: data.draw(st.sampled_from(sorted(RANK))) for at in grid}
    used = {name: np.zeros((height, width), bool) for name in RANK}
    whole = {name: np.zeros((height, width), bool) for name in RANK}
    for at, box in grid.items():
        part = usable(grid, splits, at, margin)
        used[splits[at]][max(part.top, 0) : max(part.bottom, 0), max(part.left, 0) : max(part.right, 0)] = True
        whole[splits[at]][box.top : box.bottom, box.left : box.right] = True
    for name, rank in RANK.items():
        assert not (used[name] & ~whole[name]).any()
        above = np.zeros((height, width), bool)
        for other, others in RANK.items():
            if others > rank:
                for row, column in np.argwhere(whole[other]):
                    above[max(0, row - margin) : row + margin + 1, max(0, column - margin) : column + margin + 1] = True
        assert not (used[name] & above).any()
    assert np.array_equal(used["test"], whole["test"]), "what is tested is tested whole"


def test_a_picture_can_be_a_region_of_its_file(tmp_path: Path) -> None:
    whole = np.arange(30 * 40 * 3).reshape(30, 40, 3).astype(np.uint16)
    images.write(tmp_path / "well.png", whole)
    box = Box(4, 6, 20, 18)
    picture = FilePicture((str(tmp_path / "well.png"),), region=box)
    assert np.array_equal(picture.read(), whole[4:20, 6:18])
    assert picture.label == f"{tmp_path / 'well.png'}[y4-20 x6-18]"
    right = FilePicture((str(tmp_path / "well.png"),), half="right", region=box)
    assert np.array_equal(right.read(), whole[4:20, 26:38]), "a region is one of the half"
    left = FilePicture((str(tmp_path / "well.png"),), half="left", region=box)
    (a, b), _ = Record("well", left, right).examine()
    assert np.array_equal(a, whole[4:20, 6:18]) and np.array_equal(b, right.read())
    assert a.base is None, "no view of all of it"
    images.write(tmp_path / "mask.png", (whole[..., :1] % 7 != 0).astype(np.uint8))
    mask = read_mask(FilePicture((str(tmp_path / "mask.png"),), region=box))
    assert np.array_equal(mask, (whole[..., 0] % 7 != 0)[4:20, 6:18])
    with pytest.raises(UserError, match="40x30 pixels now"):
        FilePicture((str(tmp_path / "well.png"),), region=Box(0, 0, 31, 10)).read()


def test_the_share_of_no_data_is_that_of_the_region(tmp_path: Path) -> None:
    whole = np.ones((8, 8, 1), np.float32)
    whole[:4, :4] = -9
    images.write(tmp_path / "scene.tif", whole)
    for box, share in ((Box(0, 0, 4, 4), 1.0), (Box(0, 0, 8, 8), 0.25), (Box(4, 4, 8, 8), 0.0)):
        _, facts = FilePicture((str(tmp_path / "scene.tif"),), no_data=-9.0, region=box).examine()
        assert facts.no_data == -9 and facts.no_data_share == share


def test_a_region_of_a_tiff_is_read_without_the_rest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And is what is cut from all of it, in pixels and in what the file says."""
    pytest.importorskip("tifffile")
    whole = np.arange(60 * 50).reshape(60, 50, 1).astype(np.uint16)
    images.write(tmp_path / "a.tif", whole)
    np.save(tmp_path / "b.npy", whole + np.uint16(1))
    files, box = tuple(str(tmp_path / name) for name in ("a.tif", "b.npy")), Box(10, 5, 40, 45)
    all_of_it, facts = FilePicture(files, no_data=555.0).examine()
    monkeypatch.setattr(images, "examine", None)
    part, of_part = FilePicture(files, no_data=555.0, region=box).examine()
    assert np.array_equal(part, all_of_it[10:40, 5:45]) and part.dtype == np.uint16
    assert of_part.no_data == facts.no_data == 555 and of_part.channel_names == facts.channel_names
    assert of_part.no_data_share == float((part == 555).mean()) > 0


def test_files_of_two_sizes_are_no_channels_of_one_region(tmp_path: Path) -> None:
    """A region lies in both, and yet they do not lie on each other."""
    images.write(tmp_path / "a.png", np.zeros((30, 30, 1), np.uint8))
    images.write(tmp_path / "b.png", np.zeros((30, 40, 1), np.uint8))
    with pytest.raises(UserError, match=r"b\.png is 40x30, 8-bit grey but .*a\.png is 30x30"):
        FilePicture((str(tmp_path / "a.png"), str(tmp_path / "b.png")), region=Box(0, 0, 10, 10)).read()
