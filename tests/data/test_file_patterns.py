"""Several files as one image: what patterns find, what they refuse, and how pairs are made of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from transfigure.data import images
from transfigure.data.file_patterns import FilePattern
from transfigure.data.layouts import two_folders, unpaired
from transfigure.data.open import find_records, open_data, resolve_data
from transfigure.data.pairs import FilePicture, channel_names
from transfigure.errors import UserError
from transfigure.recipe import Data


def touch(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def grey(file: Path, value: int, dtype: type = np.uint16, size: int = 8) -> Path:
    images.write(file, np.full((size, size, 1), value, dtype))
    return file


def found(pattern: str) -> dict[str, list[str]]:
    read = FilePattern.read(pattern)
    assert read is not None
    return {one.name: [Path(file).name for file in one.files] for one in read.find()}


def test_numbers_alternatives_and_names(tmp_path: Path) -> None:
    touch(tmp_path, *(f"cell, {n}_z{z:02d}.png" for n in (1, 2, 10) for z in range(3)), "cell, 3.txt", ".hidden_z00.png")
    assert found(f"{tmp_path}/{{name}}_z{{00..02}}.png") == {f"cell, {n}": [f"cell, {n}_z0{z}.png" for z in range(3)] for n in (1, 2, 10)}
    read = FilePattern.read(f"{tmp_path}/{{name}}_z{{00..02}}.png")
    assert read is not None and read.names == ("0", "1", "2")
    touch(tmp_path, "a_DAPI.tif", "a_MAP2.tif")
    read = FilePattern.read(f"{tmp_path}/{{name}}_{{MAP2,DAPI}}.tif")
    assert read is not None and read.names == ("MAP2", "DAPI") and found(read.text) == {"a": ["a_MAP2.tif", "a_DAPI.tif"]}


def test_everything_else_stands_for_itself(tmp_path: Path) -> None:
    name = "lab-X,year-2015,[a] (1){b},z-{},channel-P.png"
    touch(tmp_path, *(name.replace("{}", str(z)) for z in range(12)))
    pattern = name.replace("{}", "{11..0}")
    assert found(f"{tmp_path}/{pattern}") == {
        "lab-X,year-2015,[a] (1){b},z-11-0,channel-P": [name.replace("{}", str(z)) for z in range(11, -1, -1)]
    }


def test_products_folders_and_semicolons(tmp_path: Path) -> None:
    touch(tmp_path, *(f"{n}/{c}_{z}.png" for n in "ab" for c in ("x", "y") for z in range(2)), "masks/a.png", "masks/b.png")
    read = FilePattern.read(f"{tmp_path}/{{name}}/{{x,y}}_{{0..1}}.png;{tmp_path}/masks/{{name}}.png")
    assert read is not None and read.names == ("x_0", "x_1", "y_0", "y_1", "masks")
    assert found(read.text) == {n: ["x_0.png", "x_1.png", "y_0.png", "y_1.png", f"{n}.png"] for n in "ab"}


def test_a_file_belongs_to_one_image(tmp_path: Path) -> None:
    """``a_mask.png`` is a's mask and no image of its own; ``a11.png`` is no image a1 with the number 1."""
    touch(tmp_path, "a.png", "a_mask.png", "b.png", "b_mask.png", *(f"c{z}.tif" for z in range(12)))
    assert found(f"{tmp_path}/{{name}}{{,_mask}}.png") == {n: [f"{n}.png", f"{n}_mask.png"] for n in "ab"}
    assert list(found(f"{tmp_path}/{{name}}{{0..11}}.tif")) == ["c"]


def test_what_exists_is_no_pattern(tmp_path: Path) -> None:
    touch(tmp_path, "{name}/x.png", "a;b.png")
    assert FilePattern.read(tmp_path / "{name}") is None
    assert FilePattern.read(tmp_path / "a;b.png") is None
    assert FilePattern.read(tmp_path / "plain.png") is None
    assert FilePattern.read(tmp_path / "a{b}c.png") is None


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        ("{name}_z{00..03}.png", "no file matches .*/{name}_z03.png, of which each image .* has one .a, b.: check the numbers and words"),
        ("{name}_z{0..2}.png", "no file matches .*, and .*{name}_z{00..02}.png finds images: write the numbers as they stand"),
        ("{name}_q{00..02}.png", "no file matches .*holds a_z00.png, a_z01.png"),
        ("no/{name}.png", "the folder .*no does not exist"),
        ("{name}.png;a_z00.png", "a_z00.png has no {name}, and the others have"),
        ("{name}.png;", "nothing on one side of a semicolon"),
        ("{name}_z{0..99999}.png", "100,000 files for one image: 4,096 are the most"),
        ("{name}_{a,a}.png", "{name}_a.png twice"),
    ],
)
def test_refusals_say_what_to_do(tmp_path: Path, pattern: str, words: str) -> None:
    touch(tmp_path, *(f"{n}_z0{z}.png" for n in "ab" for z in range(3)))
    with pytest.raises(UserError, match=words):
        found(";".join(f"{tmp_path}/{part}" if part else "" for part in pattern.split(";")))


def test_the_channels_of_stacked_files_have_names() -> None:
    assert channel_names(("0", "1"), [(1, ()), (1, ("GFP",))]) == ("0", "1")
    assert channel_names(("", "masks"), [(3, ()), (1, ())]) == ("red", "green", "blue", "masks")
    assert channel_names(("photo", "masks"), [(3, ()), (1, ())]) == ("photo red", "photo green", "photo blue", "masks")
    assert channel_names((), [(1, ("GFP",)), (2, ("A", "B"))]) == ("GFP", "A", "B")
    assert channel_names((), [(1, ("GFP",)), (1, ("GFP",))]) == ("GFP 1", "GFP 2")
    assert channel_names((), [(1, ()), (3, ())]) == ()


def test_an_8_bit_mask_beside_a_16_bit_image_has_its_own_full_range(tmp_path: Path) -> None:
    picture = FilePicture((str(grey(tmp_path / "a.png", 1000)), str(grey(tmp_path / "b.png", 255, np.uint8))), names=("a", "mask"))
    array, facts = picture.examine()
    assert array.dtype == np.uint16 and array[0, 0].tolist() == [1000, 65535] and facts.channel_names == ("a", "mask")
    floats = FilePicture((str(grey(tmp_path / "f.tif", 1, np.float32)), str(tmp_path / "b.png")))
    with pytest.raises(UserError, match=r"one size and one type.*save them alike"):
        floats.read()


# ---- as data sets ----------------------------------------------------------------------------------------------------------


def cells(folder: Path, count: int = 4) -> Path:
    for n in range(count):
        for z in range(3):
            grey(folder / f"raw/cell{n}_z{z}.png", 100 * n + z)
        grey(folder / f"stained/cell{n}_DAPI.png", 1000 + n)
        grey(folder / f"stained/cell{n}_NFH.png", 2000 + n)
        grey(folder / f"masks/cell{n}.png", 255, np.uint8)
    return folder


def test_pairs_of_two_patterns(tmp_path: Path) -> None:
    """Different numbers of files on the two sides, and masks as a further channel of the source."""
    cells(tmp_path)
    collection = two_folders(tmp_path, "raw/{name}_z{0..2}.png;masks/{name}.png", "stained/{name}_{DAPI,NFH}.png")
    records = collection.splits["all"]
    assert [record.name for record in records] == ["cell0", "cell1", "cell2", "cell3"]
    source, target = records[2].load()
    assert source[0, 0].tolist() == [200, 201, 202, 65535] and target[0, 0].tolist() == [1002, 2002]


def test_a_pattern_against_a_folder_and_one_image_against_a_file(tmp_path: Path) -> None:
    cells(tmp_path)
    records = two_folders(tmp_path, "raw/{name}_z{0..2}.png", "masks").splits["all"]
    assert [record.name for record in records] == ["cell0", "cell1", "cell2", "cell3"]
    (record,) = two_folders(None, f"{tmp_path}/raw/cell1_z{{0..2}}.png", f"{tmp_path}/masks/cell1.png").splits["all"]
    assert record.name == "cell1" and [len(picture.paths) for picture in (record.a, record.b)] == [3, 1]


@pytest.mark.parametrize("layout", ["{split}/{side}", "{side}/{split}", "{split}{side}"])
def test_split_folders(tmp_path: Path, layout: str) -> None:
    for split, names in {"train": "ab", "test": "c"}.items():
        for name in names:
            touch(tmp_path / layout.format(split=split, side="A"), f"{name}_0.png", f"{name}_1.png")
            touch(tmp_path / layout.format(split=split, side="B"), f"{name}.png")
    collection = two_folders(tmp_path, "A/{name}_{0..1}.png", "B/{name}.png")
    assert {split: [record.name for record in records] for split, records in collection.splits.items()} == {
        "train": ["a", "b"],
        "test": ["c"],
    }


def test_unpaired_patterns(tmp_path: Path) -> None:
    cells(tmp_path)
    collection = unpaired(tmp_path, "raw/{name}_z{0..2}.png", "stained/{name}_{DAPI,NFH}.png")
    a, b = collection.domains["all"]
    assert [one.name for one in a] == [one.name for one in b] == ["cell0", "cell1", "cell2", "cell3"]
    assert [len(side[0].picture.paths) for side in (a, b)] == [3, 2]


def test_nothing_pairs_and_a_missing_file(tmp_path: Path) -> None:
    cells(tmp_path)
    with pytest.raises(UserError, match=r"no image of raw.*cell0.* has a partner in other.*q.*must be the same on both sides"):
        touch(tmp_path, "other/q_0.png", "other/q_1.png")
        two_folders(tmp_path, "raw/{name}_z{0..2}.png", "other/{name}_{0..1}.png")
    for n in range(4):
        (tmp_path / f"raw/cell{n}_z2.png").rename(tmp_path / f"raw/cell{n}-z2.png")
    with pytest.raises(UserError, match=r"no file matches .*raw/{name}_z2.png, of which each image of .* has one \(cell0, cell1"):
        find_records(resolve_data(Data.within({"path": str(tmp_path), "a": "raw/{name}_z{0..2}.png", "b": "masks"})))


def test_an_image_that_lacks_a_file_is_refused_or_left_out(tmp_path: Path) -> None:
    cells(tmp_path, 6)
    (tmp_path / "raw/cell2_z1.png").unlink()
    given = {"path": str(tmp_path), "a": "raw/{name}_z{0..2}.png", "b": "masks", "load_size": 8, "crop_size": 4}
    given |= {"source_range": [0, 1000], "val_fraction": 0, "test_fraction": 0}
    with pytest.raises(UserError, match=r"the image cell2 .* has no .*cell2_z1.png .2 of its 3 files are there.*--data.on_error skip"):
        open_data(resolve_data(Data.within(given)), quiet=True)
    opened = open_data(resolve_data(Data.within({**given, "on_error": "skip"})), quiet=True)
    assert len(opened.train) == 5
    (left,) = opened.left_out
    assert left.name == "cell2" and "cell2_z1.png does not exist" in left.reason


def test_a_section_of_patterns_is_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a path patterns are places by themselves, and are kept absolute."""
    cells(tmp_path)
    monkeypatch.chdir(tmp_path)
    options = {"a": "raw/{name}_z{0..2}.png", "b": "stained/{name}_{DAPI,NFH}.png", "load_size": 8, "crop_size": 4}
    section = resolve_data(Data.within({**options, "target_range": [0, 4000]}))
    assert section.kind == "two_folders" and section.options["a"] == f"{tmp_path.resolve()}/raw/{{name}}_z{{0..2}}.png"
    opened = open_data(section, quiet=True)
    assert (opened.source_channels, opened.target_channels) == (3, 2)
    assert sum(map(len, find_records(section).splits.values())) == 4
