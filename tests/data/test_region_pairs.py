"""One large image as several pairs: nothing that is trained on shows a held-out pixel, nor one within the margin."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transfigure.data import images
from transfigure.data.check.findings import shared_files
from transfigure.data.files import write_json_with_digest
from transfigure.data.open import FoundRecords, find_records, geometry_of, open_data, resolve_data
from transfigure.data.pairs import FilePicture, Record, region_of
from transfigure.data.region_pairs import trained_share
from transfigure.data.regions import Box, overlap
from transfigure.data.splits import SPLITS_FILE, StoredSplit
from transfigure.errors import UserError
from transfigure.recipe import Data, Recipe

Pixels = np.ndarray[Any, Any]
RANK = {"train": 0, "val": 1, "test": 2}


def numbered(height: int, width: int) -> Pixels:
    """Every pixel has a value of its own, ``[H, W, 1]`` uint16."""
    return np.arange(height * width).reshape(height, width, 1).astype(np.uint16)


def well(folder: Path, height: int, width: int, name: str = "well") -> None:
    """An image whose target is itself upside down in value, so that it is another file."""
    images.write(folder / "A" / f"{name}.png", numbered(height, width))
    images.write(folder / "B" / f"{name}.png", numbered(height, width) + np.uint16(1))


def section(folder: Path, **keys: Any) -> Data:
    given = {"load_size": None, "crop_size": 8, "split_by": "region", "cache_gb": 0, **keys}
    return resolve_data(Data.model_validate({"path": str(folder), **given}))


def names_in(found: FoundRecords) -> dict[str, list[str]]:
    return {part: [record.name for record in held] for part, held in found.splits.items()}


def near(where: Pixels, margin: int) -> Pixels:
    found = np.zeros_like(where)
    for row, column in np.argwhere(where):
        found[max(0, row - margin) : row + margin + 1, max(0, column - margin) : column + margin + 1] = True
    return found


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_no_training_crop_shows_a_pixel_that_is_held_out_or_near_one(data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    """By the pixels that are read: each value says where it was."""
    crop, margin = data.draw(st.integers(2, 7)), data.draw(st.one_of(st.none(), st.integers(0, 5)))
    gap = crop // 4 if margin is None else margin
    rows, columns = data.draw(st.sampled_from([(2, 2), (1, 3), (3, 2), (3, 3)]))
    height, width = (data.draw(st.integers(count * (crop + 2 * gap), count * (crop + 2 * gap) + 12)) for count in (rows, columns))
    folder = tmp_path_factory.mktemp("well")
    well(folder, height, width)
    keys: dict[str, Any] = {"split_seed": data.draw(st.integers(0, 50)), "val_fraction": data.draw(st.sampled_from([0.0, 0.3]))}
    if data.draw(st.booleans()):
        keys["test_regions"] = [[data.draw(st.integers(0, rows - 1)), data.draw(st.integers(0, columns - 1))]]
    one = section(folder, crop_size=crop, margin=margin, regions=(rows, columns), test_fraction=0.3, **keys)
    found = find_records(one)
    assert found.splits["train"] and found.splits["test"] and bool(found.splits["val"]) == (one.val_fraction > 0)
    if one.test_regions is not None:
        assert names_in(found)["test"] == [f"well/r{row}c{column}" for row, column in one.test_regions]
    geometry, whole, rng = geometry_of(one), numbered(height, width), np.random.default_rng(0)
    shown = {part: np.zeros((height, width), bool) for part in RANK}
    held = {part: np.zeros((height, width), bool) for part in RANK}
    for part, records in found.splits.items():
        for record in records:
            assert record.a.label.rpartition("[")[2] == record.b.label.rpartition("[")[2], "both sides are cut at one place"
            source, target = record.load()
            assert np.array_equal(source + 1, target)
            held[part].flat[source.ravel()] = True
            prepared = geometry.prepare(source, target)
            crops = [geometry.draw(rng, *source.shape[:2]) for _ in range(30)]
            for drawn in crops:
                pair = [geometry.apply(array, drawn) for array in prepared]
                assert np.array_equal(pair[0] + 1, pair[1])
                shown[part].flat[pair[0].ravel()] = True
    assert whole.size == height * width
    for part, above in (("train", "val"), ("train", "test"), ("val", "test")):
        assert not (shown[part] & near(held[above], gap)).any(), (part, above)
    grid = find_records(one.replaced(margin=0)).division.drawn
    assert grid is not None and grid.regions is not None
    tested = [grid.regions.boxes["pairs"][name] for name in names_in(found)["test"]]
    assert [region_of(record.a) for record in found.splits["test"]] == tested, "what is tested is tested whole"


@settings(max_examples=60, deadline=None)
@given(
    old=st.sets(st.text("abc", min_size=1, max_size=3), min_size=1, max_size=8),
    new=st.text("de", min_size=1, max_size=3),
    seed=st.integers(0, 9),
)
def test_added_images_move_no_region(old: set[str], new: str, seed: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("wells")
    for name in old:
        well(folder, 24, 24, name)
    one = section(folder, split_seed=seed, crop_size=4, regions=(3, 3), val_fraction=0.2, test_fraction=0.2)
    before = {name: part for part, names in names_in(find_records(one)).items() for name in names}
    well(folder, 24, 24, new)
    after = {name: part for part, names in names_in(find_records(one)).items() for name in names}
    assert len(after) == 9 * (len(old) + 1)
    moved = [name for name in before if before[name] != after[name]]
    assert len(moved) <= 2, "at most those that had filled an empty split"
    stored = find_records(one).division.drawn
    assert names_in(find_records(one, stored)) == names_in(find_records(one))


@settings(max_examples=25, deadline=None)
@given(
    pieces=st.sets(st.tuples(st.integers(0, 5), st.integers(0, 4)), min_size=8, max_size=20), seed=st.integers(0, 20), way=st.integers(0, 2)
)
def test_c31_groups_never_leak(pieces: set[tuple[int, int]], seed: int, way: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    """By the folder, by a pattern, and by a manifest's column."""
    if len({patient for patient, _ in pieces}) < 2:
        return
    folder = tmp_path_factory.mktemp("patients")
    tiny = np.zeros((4, 4, 1), np.uint8)
    names = [f"p{patient}/{number}" if way == 0 else f"p{patient}_{number}" for patient, number in sorted(pieces)]
    for name in names:
        for side in "AB":
            images.write(folder / side / f"{name}.png", tiny)
    keys: dict[str, Any] = {"split_by": "group", "split_seed": seed, "val_fraction": 0.2, "test_fraction": 0.3}
    place = folder
    if way == 2:
        place = folder / "pairs.csv"
        lines = [f"A/{name}.png,B/{name}.png,{name[:2]}" for name in names]
        place.write_text("\n".join(["source,target,group", *lines]))
    else:
        keys["group"] = "parent" if way == 0 else "^(p[0-9]+)_"
    found = find_records(section(place, **keys))
    groups = {
        part: {Path(record.a.paths[0]).relative_to(folder / "A").as_posix()[:2] for record in held} for part, held in found.splits.items()
    }
    assert groups["train"] and sum(map(len, found.splits.values())) == len(names)
    assert not groups["train"] & (groups["val"] | groups["test"]) and not groups["val"] & groups["test"]


def test_split_by_group_wants_to_know_what_belongs_together(tmp_path: Path) -> None:
    for number in range(4):
        well(tmp_path, 8, 8, f"p_{number}")
    with pytest.raises(UserError, match=r"nothing says what belongs together.*--data.group parent.*column group of a manifest"):
        find_records(section(tmp_path, split_by="group"))


def test_split_by_name_takes_no_notice_of_a_manifest_s_groups(tmp_path: Path) -> None:
    for number in range(20):
        well(tmp_path, 8, 8, str(number))
    lines = [f"A/{number}.png,B/{number}.png,one" for number in range(20)]
    (tmp_path / "pairs.csv").write_text("\n".join(["source,target,group", *lines]))
    assert len(find_records(section(tmp_path / "pairs.csv", split_by=None)).splits["train"]) in (0, 20)
    assert len(find_records(section(tmp_path / "pairs.csv", split_by="name")).splits["train"]) not in (0, 20)


def test_slices_of_one_place_stay_together(tmp_path: Path) -> None:
    """Whether they are pages of one file or files of one group: what lies above a held-out place is held out."""
    pytest.importorskip("tifffile")
    stack = np.stack([numbered(40, 40)[..., 0]] * 5)
    for side in "AB":
        (tmp_path / "pages" / side).mkdir(parents=True)
        _write_pages(tmp_path / "pages" / side / "volume.tif", stack)
        for page in range(5):
            images.write(tmp_path / "files" / side / f"field_z{page}.png", numbered(40, 40))
    for folder, keys in (("pages", {"pages": "depth"}), ("files", {"group": "^(.*)_z"})):
        found = find_records(section(tmp_path / folder, regions=(2, 2), margin=2, test_fraction=0.3, val_fraction=0.2, **keys))
        places = {part: {name.rpartition("/")[2] for name in names} for part, names in names_in(found).items()}
        assert sum(map(len, found.splits.values())) == 20 and sum(map(len, places.values())) == 4, "each place is in one split"


def _write_pages(path: Path, stack: Pixels) -> None:
    import tifffile

    tifffile.imwrite(path, stack, metadata={"axes": "ZYX"})


def test_pairs_with_a_file_in_common_stay_together(tmp_path: Path) -> None:
    """A manifest may list one source with several targets: what is held out of one pair is trained on in none."""
    for number in range(3):
        well(tmp_path, 40, 40, f"w{number}")
        well(tmp_path / "again", 40, 40, f"w{number}")
    rows = [f"A/w{number}.png,{place}B/w{number}.png,{name}{number}" for name, place in (("x", ""), ("y", "again/")) for number in range(3)]
    (tmp_path / "pairs.csv").write_text("\n".join(["source,target,name", *rows]))
    found = find_records(section(tmp_path / "pairs.csv", margin=2, test_fraction=0.3, val_fraction=0.2))
    held = {(path, region_of(record.a)) for part in ("val", "test") for record in found.splits[part] for path in record.a.paths}
    trained = [(path, region_of(record.a)) for record in found.splits["train"] for path in record.a.paths]
    assert len(trained) + sum(len(found.splits[part]) for part in ("val", "test")) == 24 and held
    for path, region in trained:
        assert not any(path == other and overlap(region, box) for other, box in held)


def test_everything_sees_the_region_alone(tmp_path: Path) -> None:
    """Percentiles, checks, datasets, masks, and the classes of label maps."""
    whole = np.full((40, 40, 1), 100, np.uint8)
    whole[20:, 20:] = 250  # in what is tested
    whole[:2] = 50
    images.write(tmp_path / "A" / "well.png", whole)
    images.write(tmp_path / "B" / "well.png", whole)
    mask = np.full((40, 40, 1), 255, np.uint8)
    mask[:, :5] = 0
    images.write(tmp_path / "mask" / "well.png", mask)
    keys = {"test_regions": [[1, 1]], "val_regions": [[1, 0]], "evaluation_size": 16, "margin": 2, "mask": "mask"}
    opened = open_data(section(tmp_path, source_percentiles=(0, 100), target_percentiles=(0, 100), **keys), quiet=True)
    assert opened.section.source_range == (50, 100) and opened.section.margin == 2
    assert [len(part) for part in (opened.train, opened.val, opened.test)] == [2, 1, 1]
    for epoch in range(5):
        for index in range(2):
            pair = opened.train[epoch, index]
            assert pair.source.shape == (1, 8, 8) and float(pair.source.max()) <= 1
    held_out, tested = opened.val[0].mask, opened.test[0].mask
    assert held_out is not None and tested is not None
    assert not held_out[..., :4].any() and held_out[..., 4:].all() and tested.all(), "the mask of its own region"
    labels = {"source_encoding": "labels", "source_range": None}
    of_classes = open_data(section(tmp_path, **keys, **labels, target_range=(0, 255)), quiet=True)
    assert of_classes.section.source_classes is not None and len(of_classes.section.source_classes) == 2, "250 is in the test region alone"


def test_a_margin_is_found_once_and_kept(tmp_path: Path) -> None:
    well(tmp_path, 80, 80)
    one = section(tmp_path, crop_size=16, evaluation_size=16)
    opened = open_data(one, quiet=True)
    assert opened.section.margin == 4 and any("4 pixels beside what is held out" in note for note in opened.notes)
    assert one.replaced(crop_size=32).with_found(opened.section).margin == 4
    drawn = opened.drawn
    assert drawn is not None and drawn.regions is not None and drawn.regions.margin == 4
    drawn.save(tmp_path / SPLITS_FILE)
    assert StoredSplit.load(tmp_path / SPLITS_FILE) == drawn
    text = json.loads((tmp_path / SPLITS_FILE).read_text())
    assert text["regions"]["margin"] == 4 and len(text["regions"]["pairs"]["well/r0c0"]) == 4
    again = open_data(one.with_found(opened.section), quiet=True, stored=drawn, resumed=True)
    assert [record.a.label for record in again.train.records] == [record.a.label for record in opened.train.records]


def test_a_damaged_list_of_regions_is_refused(tmp_path: Path) -> None:
    well(tmp_path, 80, 80)
    drawn = find_records(section(tmp_path)).division.drawn
    assert drawn is not None
    for boxes in ({"well/r0c0": [5, 5, 5, 9]}, {"well/r0c0": [0, 0, 5]}, {"well/r0c0": [0, 0, 5, "9"]}, [], None):
        regions = {"margin": 4, "pairs": boxes}
        write_json_with_digest(tmp_path / SPLITS_FILE, {"format": 1, **drawn.parts, "regions": regions})
        with pytest.raises(UserError, match=r"splits\.json"):
            StoredSplit.load(tmp_path / SPLITS_FILE)


def test_what_was_trained_on_is_known_by_its_pixels(tmp_path: Path) -> None:
    well(tmp_path, 80, 80)
    stored = find_records(section(tmp_path, test_regions=[[1, 1]], val_fraction=0, margin=0)).division.drawn
    assert trained_share(stored, "well", None) == 0.75
    assert trained_share(stored, "well/r0c0", Box(0, 0, 20, 20)) == 1.0
    assert trained_share(stored, "well/r0c0", Box(30, 30, 50, 50)) == 0.75
    assert trained_share(stored, "well/r1c1", Box(40, 40, 80, 80)) == 0.0
    assert trained_share(stored, "other", None) == trained_share(None, "well", None) == 0.0


def test_regions_of_one_file_are_no_copies_of_each_other(tmp_path: Path) -> None:
    well(tmp_path, 80, 80)
    found = find_records(section(tmp_path, margin=0))
    assert shared_files(found.splits["train"], found.splits["test"]) == []
    whole = [Record("well", FilePicture((str(tmp_path / "A" / "well.png"),)), FilePicture((str(tmp_path / "B" / "well.png"),)))]
    assert shared_files(found.splits["train"], whole) == ["well"], "but a whole image holds its regions"
    assert shared_files(whole, found.splits["test"]) == names_in(found)["test"]


def test_domains_without_pairs_are_divided_each_by_itself(tmp_path: Path) -> None:
    well(tmp_path, 48, 48)
    found = find_records(section(tmp_path, unpaired=True, margin=3, val_fraction=0.2, test_fraction=0.2))
    drawn = found.division.drawn
    assert drawn is not None and drawn.regions is not None and not found.paired
    assert {side: sum(map(len, parts.values())) for side, parts in drawn.parts.items()} == {"A": 4, "B": 4}
    for part, records in found.splits.items():
        for record in records:
            assert region_of(record.a) in [drawn.regions.boxes["A"][name] for name in drawn.parts["A"][part]]
            assert region_of(record.b) in [drawn.regions.boxes["B"][name] for name in drawn.parts["B"][part]]


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"crop_size": 64}, "region of 40x40 pixels"),
        ({"crop_size": 32, "margin": 20}, "of which a margin of 20 leaves"),
        ({"margin": 50, "load_size": 16}, "too small for a margin of 50"),
        ({"evaluation_size": 64}, "too small for a crop of 64"),
        ({"kind": "synthetic", "path": None}, "draws its pictures"),
    ],
)
def test_what_cannot_be_divided_is_refused_in_a_sentence(keys: Mapping[str, Any], said: str, tmp_path: Path) -> None:
    well(tmp_path, 80, 80)
    with pytest.raises(UserError, match=said):
        open_data(section(tmp_path, **keys), quiet=True)


def test_divided_data_and_unequal_sizes_are_refused(tmp_path: Path) -> None:
    well(tmp_path / "sizes", 80, 80)
    images.write(tmp_path / "sizes" / "B" / "well.png", numbered(80, 60))
    with pytest.raises(UserError, match=r"80x80 but .*60x80: a pair is divided at the same places"):
        find_records(section(tmp_path / "sizes"))
    for part in ("train", "test"):
        images.write(tmp_path / "divided" / part / "well.png", numbered(40, 80))
    with pytest.raises(UserError, match="divided already, into train, test"):
        find_records(section(tmp_path / "divided"))
    found = find_records(section(tmp_path / "divided"), elsewhere=True)
    assert names_in(found) == {"train": ["well"], "val": [], "test": ["well"]}, "a run's own way of dividing is no order to others"


def test_what_cannot_be_read_is_left_out_where_that_is_wanted(tmp_path: Path) -> None:
    well(tmp_path, 80, 80)
    well(tmp_path, 80, 80, "broken")
    (tmp_path / "A" / "broken.png").write_bytes(b"no picture")
    with pytest.raises(UserError, match=r"broken\.png"):
        find_records(section(tmp_path))
    opened = open_data(section(tmp_path, on_error="skip", val_fraction=0.0), quiet=True)
    assert all(record.name.startswith("well/") for record in opened.train.records)


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"split_by": None, "test_regions": [[0, 1]]}, "set data.split_by region, too"),
        ({"split_by": "name", "group": "parent"}, "leave out one of them"),
        ({"regions": "0x2"}, "cannot be '0x2'"),
        ({"regions": (1, 1)}, "two regions are the least"),
        ({"test_regions": "2,0"}, "a row from 0 to 1"),
        ({"test_regions": "0,1", "val_regions": "0,1"}, "stands twice"),
        ({"regions": "1x2", "test_regions": "0,1", "val_regions": "0,0"}, "leave one to train on"),
    ],
)
def test_keys_that_do_not_go_together_are_refused(keys: Mapping[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        Data.model_validate({"path": "x", "split_by": "region", "load_size": None, **keys})


def test_regions_alone_divide_nothing_and_are_refused_even_where_they_are_the_default() -> None:
    recipe = Recipe.load("pix2pix_small", {"data.path": "x", "data.load_size": None})
    with pytest.raises(UserError, match=r"set data\.split_by region, too"):
        Recipe.load("pix2pix_small", {"data.path": "x", "data.load_size": None, "data.regions": "2x2"})
    for regions in ("2x2", "4x4"):
        with pytest.raises(UserError, match=r"data\.regions is about regions of images: set data\.split_by region, too"):
            recipe.updated({"data.regions": regions})
        assert recipe.updated({"data.regions": regions, "data.split_by": "region"}).data.split_by == "region"


def test_an_image_of_another_size_than_when_it_was_divided_is_named(tmp_path: Path) -> None:
    """Its regions lie elsewhere then, so that pixels which were trained on would be tested."""
    well(tmp_path, 80, 80)
    well(tmp_path, 64, 96, "other")
    stored = find_records(section(tmp_path)).division.drawn
    assert stored is not None
    same = find_records(section(tmp_path, margin=0), stored).division  # another margin moves no border
    assert stored.resized(same) == []
    well(tmp_path, 120, 100)
    moved = find_records(section(tmp_path), stored).division
    assert stored.resized(moved) == ["well has 100x120 pixels and had 80x80"]
    with pytest.raises(UserError, match=r"well has 100x120 pixels and had 80x80 when it was divided into regions.*put the files back"):
        open_data(section(tmp_path), quiet=True, stored=stored, resumed=True)


def test_flags_have_a_short_spelling() -> None:
    given = {"path": "x", "split_by": "region", "load_size": None}
    one = Data.model_validate({**given, "regions": "4x3", "test_regions": "1,1; 0,2", "val_regions": "2,2"})
    assert (one.regions, one.test_regions, one.val_regions) == ((4, 3), [[1, 1], [0, 2]], [[2, 2]])
    assert Data.model_validate({**given, "test_regions": [1, 1]}).test_regions == [[1, 1]]
    assert Data.model_validate({**given, "test_regions": ["1,1", "0,1"]}).test_regions == [[1, 1], [0, 1]]


def test_halves_of_one_file_are_divided_alike(tmp_path: Path) -> None:
    """A region is one of each half, and the file is read once for both."""
    images.write(tmp_path / "well.png", np.concatenate([numbered(40, 60), numbered(40, 60) + np.uint16(1)], axis=1))
    found = find_records(section(tmp_path, kind="side_by_side", margin=3, test_regions=[[0, 1]], val_fraction=0))
    assert {part: len(records) for part, records in found.splits.items()} == {"train": 3, "val": 0, "test": 1}
    (tested,) = found.splits["test"]
    assert tested.a.label.endswith("well.png (left half)[y0-20 x30-60]") and tested.b.label.endswith("(right half)[y0-20 x30-60]")
    for records in found.splits.values():
        for record in records:
            source, target = record.load()
            assert np.array_equal(source + 1, target)
            assert record.name == "well/r0c1" or not np.isin(source, tested.load()[0]).any()


@pytest.mark.parametrize("check", ["headers", "sample", "full"])
def test_however_much_is_read_before_training(check: str, tmp_path: Path) -> None:
    well(tmp_path, 48, 48)
    opened = open_data(section(tmp_path, check=check, margin=2, test_regions=[[0, 0]], val_regions=[[1, 1]], evaluation_size=8), quiet=True)
    assert (opened.source_dtype, len(opened.train), len(opened.val)) == ("uint16", 2, 1)
    assert not any("enlarged" in note or "memorised" in note for note in opened.notes), "regions are large, and many crops are in them"
    assert {opened.train[epoch, index].source.shape for epoch in range(3) for index in range(2)} == {(1, 8, 8)}
