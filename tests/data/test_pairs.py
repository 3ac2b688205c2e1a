"""Every layout that people have on disk gives the pairs they mean, and says what it left out."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from transfigure.data import images
from transfigure.data.layouts import recognise
from transfigure.data.open import find_records, open_collection, resolve_data
from transfigure.data.pairs import Collection, FilePicture, Record, directed
from transfigure.data.regions import Box
from transfigure.errors import UserError
from transfigure.recipe import Data


def paint(path: Path, value: int = 0, *, height: int = 4, width: int = 4, channels: int = 3, dtype: str = "uint8") -> Path:
    images.write(path, np.full((height, width, channels), value, dtype))
    return path


def values(record: Record) -> tuple[int, int]:
    a, b = record.load()
    return int(a.flat[0]), int(b.flat[0])


def double(path: Path, left: int, right: int) -> Path:
    images.write(path, np.concatenate([np.full((4, 4, 3), left, np.uint8), np.full((4, 4, 3), right, np.uint8)], axis=1))
    return path


def summary(collection: Collection) -> dict[str, list[str]]:
    return {name: [record.name for record in records] for name, records in collection.splits.items()}


# ---- side by side ---------------------------------------------------------------------------------------------------------


def test_side_by_side_splits(tmp_path: Path) -> None:
    for n in (10, 9, 1):
        double(tmp_path / "train" / f"{n}.png", n, 100 + n)
    double(tmp_path / "valid" / "3.png", 3, 103)
    double(tmp_path / "stray.png", 0, 0)
    found = open_collection("side_by_side", tmp_path)
    assert summary(found) == {"train": ["1", "9", "10"], "val": ["3"]}
    assert values(found.splits["train"][2]) == (10, 110)
    assert values(found.splits["train"][2].swapped()) == (110, 10)
    assert any("1 image directly in" in note for note in found.notes)


def test_a_side_by_side_file_is_decoded_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    double(tmp_path / "1.png", 1, 2)
    (record,) = open_collection("side_by_side", tmp_path).splits["all"]
    reads: list[Path] = []
    examine = images.examine
    monkeypatch.setattr(images, "examine", lambda path, *how, **more: (reads.append(path), examine(path, *how, **more))[1])
    assert values(record) == (1, 2)
    assert len(reads) == 1


def test_equal_stems_stay_apart(tmp_path: Path) -> None:
    double(tmp_path / "1.png", 1, 2)
    double(tmp_path / "1.bmp", 3, 4)
    assert summary(open_collection("side_by_side", tmp_path)) == {"all": ["1.bmp", "1.png"]}


def test_odd_width_is_refused_with_its_file(tmp_path: Path) -> None:
    paint(tmp_path / "odd.png", width=5)
    (record,) = open_collection("side_by_side", tmp_path).splits["all"]
    with pytest.raises(UserError, match=r"odd\.png is 5 pixels wide"):
        record.load()


# ---- two folders ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", ["{split}{side}", "{split}_{side}", "{side}/{split}", "{split}/{side}", "{side}"])
@pytest.mark.parametrize("sides", [("A", "B"), ("images", "Masks"), ("input", "output")])
def test_two_folder_layouts(tmp_path: Path, layout: str, sides: tuple[str, str]) -> None:
    names = ["all"] if layout == "{side}" else ["train", "test"]
    for name in names:
        for n in (2, 10):
            for offset, side in enumerate(sides):
                paint(tmp_path / layout.format(split=name, side=side) / f"{n}.png", n + 100 * offset)
    found = open_collection("auto", tmp_path)
    assert summary(found) == {name: ["2", "10"] for name in names}
    assert values(found.splits[names[0]][1]) == (10, 110)
    took = [note for note in found.notes if "took" in note]
    assert took == ([] if sides == ("A", "B") else [f"{tmp_path} has no A and B: took {sides[0].lower()} and {sides[1].lower()}"])


def test_two_separate_folders(tmp_path: Path) -> None:
    paint(tmp_path / "here" / "1.png", 1)
    paint(tmp_path / "there" / "x" / "1.png", 2)
    found = open_collection("two_folders", None, a=str(tmp_path / "here"), b=str(tmp_path / "there" / "x"))
    assert values(found.splits["all"][0]) == (1, 2)
    assert values(open_collection("two_folders", tmp_path, a="here", b="there/x").splits["all"][0]) == (1, 2)


def test_lonely_files_and_folders_are_noted(tmp_path: Path) -> None:
    for n in range(5):
        paint(tmp_path / "trainA" / f"{n}.png")
        if n != 2:
            paint(tmp_path / "trainB" / f"{n}.png")
    paint(tmp_path / "testA" / "1.png")
    notes = open_collection("two_folders", tmp_path).notes
    assert any("1 of 5 files in" in note and note.endswith("2.png") for note in notes)
    assert any("testA has no folder beside it" in note for note in notes)


def test_nothing_paired_shows_names_of_both_sides(tmp_path: Path) -> None:
    for n in range(5):
        paint(tmp_path / "A" / f"cat{n}.png")
        paint(tmp_path / "B" / f"dog{n + 5}.png")
    with pytest.raises(UserError, match=r"cat0\.png, cat1\.png, cat2\.png and 2 more.*dog5\.png, dog6\.png"):
        open_collection("two_folders", tmp_path)


def test_two_possible_pairings_are_refused(tmp_path: Path) -> None:
    for side in ("images", "labels", "masks"):
        paint(tmp_path / side / "1.png")
    with pytest.raises(UserError, match="images and labels, images and masks"):
        open_collection("two_folders", tmp_path)
    assert len(open_collection("two_folders", tmp_path, a="images", b="masks").splits["all"]) == 1


@pytest.mark.parametrize("options", [{}, {"a": "left", "b": "right"}])
def test_a_missing_side_names_what_is_there(tmp_path: Path, options: dict[str, str]) -> None:
    paint(tmp_path / "pictures" / "1.png")
    with pytest.raises(UserError, match="it holds pictures"):
        open_collection("two_folders", tmp_path, **options)


# ---- manifests ------------------------------------------------------------------------------------------------------------


def write_manifest(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    else:
        with path.open("w", newline="", encoding="utf-8-sig") as stream:
            writer = csv.DictWriter(stream, list(rows[0]), delimiter="\t" if path.suffix == ".tsv" else ",")
            writer.writeheader()
            writer.writerows(rows)
    return path


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl"])
@pytest.mark.parametrize("columns", [("source", "target"), ("Input_File_Name", "target_file_name"), ("a", "b")])
def test_manifest(tmp_path: Path, suffix: str, columns: tuple[str, str]) -> None:
    rows = []
    for n, part in ((1, "train"), (2, "Validation"), (3, "train")):
        paint(tmp_path / "x, y" / f"{n}.png", n)
        paint(tmp_path / "out" / f"{n}.png", 100 + n)
        rows.append({columns[0]: f"x, y/{n}.png", columns[1]: str(tmp_path / "out" / f"{n}.png"), "split": part})
    file = write_manifest(tmp_path / f"manifest{suffix}", rows)
    for path in (file, tmp_path):
        assert recognise(path) == "manifest"
        found = open_collection("auto", path)
        assert summary(found) == {"train": ["1", "3"], "val": ["2"]}
        assert values(found.splits["train"][1]) == (3, 103)


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_several_files_are_stacked_as_channels(tmp_path: Path, suffix: str) -> None:
    for n in range(3):
        paint(tmp_path / f"z{n}.png", 1000 * (n + 1), channels=1, dtype="uint16")
    paint(tmp_path / "small.png", height=3, channels=1, dtype="uint16")
    files = ["z2.png", "z0.png"]
    target = ["z1.png", "small.png"]
    row = {"source": files, "target": target} if suffix == ".jsonl" else {"source": ";".join(files), "target": ";".join(target)}
    (record,) = open_collection("manifest", write_manifest(tmp_path / f"m{suffix}", [row])).splits["all"]
    stacked = record.a.read()
    assert (stacked.shape, stacked.dtype) == ((4, 4, 2), np.dtype("uint16"))
    assert stacked[0, 0].tolist() == [3000, 1000]
    with pytest.raises(UserError, match=r"small\.png is 4x3, 16-bit grey but .*z1\.png is 4x4"):
        record.b.read()


def test_missing_files_are_counted_at_once(tmp_path: Path) -> None:
    rows = [{"source": f"in{n}.png", "target": "out.png"} for n in range(4)]
    paint(tmp_path / "in0.png")
    with pytest.raises(UserError, match=r"names 7 files that do not exist: .*out\.png \(line 2\), .*in1\.png \(line 3\).* and 4 more"):
        open_collection("manifest", write_manifest(tmp_path / "m.csv", rows))


def test_names_of_a_manifest(tmp_path: Path) -> None:
    for name in ("x/1.png", "y/1.png", "t.png"):
        paint(tmp_path / "deep" / name)
    rows = [
        {"source": "deep/x/1.png", "target": "deep/t.png"},
        {"source": "deep/y/1.png", "target": "deep/t.png"},
        {"source": "deep/x/1.png", "target": "deep/x/1.png"},
        {"source": "deep/t.png", "target": "deep/t.png", "name": "mine"},
    ]
    file = write_manifest(tmp_path / "m.jsonl", rows)
    assert summary(open_collection("manifest", file)) == {"all": ["x/1-1", "y/1", "x/1-2", "mine"]}


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("m.csv", "", "lists no pairs"),
        ("m.csv", "left,right\n1.png,1.png\n", "it needs source and target"),
        ("m.csv", "source,target\n1.png\n", "line 2 has no file name for target"),
        ("m.csv", 'source,target\n"1.png,1.png\n', "cannot be read as a manifest"),
        ("m.csv", "source,target,split\n1.png,1.png,dev\n", "line 2: 'dev' is not a split"),
        ("m.csv", "source,target,split\n1.png,1.png,train\n1.png,1.png,\n", "line 3: '' is not a split"),
        ("m.jsonl", '{"source": "1.png", "target": "1.png"}\n{"sour', "line 2 is not JSON"),
        ("m.jsonl", "[1]\n", "line 1 is not an object"),
        ("m.jsonl", '{"source": 3, "target": "1.png"}\n', "line 1 has no file name for source"),
        ("m.jsonl", '{"source": [], "target": "1.png"}\n', "line 1 has no file name for source"),
        ("m.jsonl", '{"source": "a\\u0000b", "target": "1.png"}\n', "null character"),
        ("m.jsonl", '{"source": "' + "x" * 5000 + '", "target": "1.png"}\n', "does not exist|do not exist|that does not exist"),
        ("m.csv", b"source,target\n\xff\xfe,1.png\n", "must be a CSV, TSV or JSONL file in UTF-8"),
    ],
)  # fmt: skip
def test_bad_manifests_are_explained(tmp_path: Path, name: str, content: str | bytes, message: str) -> None:
    paint(tmp_path / "1.png")
    (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(UserError, match=message):
        open_collection("manifest", tmp_path / name)


# ---- recognising ----------------------------------------------------------------------------------------------------------


def test_recognise(tmp_path: Path) -> None:
    double(tmp_path / "pairs" / "1.png", 1, 2)
    double(tmp_path / "splits" / "val" / "1.png", 1, 2)
    paint(tmp_path / "square" / "1.png")
    (tmp_path / "empty").mkdir()
    assert recognise(tmp_path / "pairs") == recognise(tmp_path / "splits") == "side_by_side"
    for wrong, what in (("square", "1.png is 4x4"), ("empty", "holds nothing"), ("none", "does not exist"), ("pairs/1.png", "single file")):
        with pytest.raises(UserError, match=f"{what}.*double-width images.*two folders.*manifest"):
            recognise(tmp_path / wrong)


def test_no_path_is_explained() -> None:
    for kind in ("auto", "side_by_side", "two_folders", "manifest"):
        with pytest.raises(UserError, match=r"--data\.path"):
            open_collection(kind, None)


def test_unknown_kinds_and_options_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="did you mean 'two_folders'"):
        open_collection("two_folder", tmp_path)
    with pytest.raises(UserError, match="is not a parameter of dataset 'side_by_side'"):
        open_collection("side_by_side", tmp_path, a="A")


def test_direction() -> None:
    record = Record("1", FilePicture(("a.png",)), FilePicture(("b.png",)))
    assert directed([record], "AtoB") == [record]
    assert directed([record], "BtoA") == [record.swapped()]
    with pytest.raises(UserError, match="must be AtoB"):
        directed([record], "AB")  # type: ignore[arg-type]


# ---- real data ------------------------------------------------------------------------------------------------------------


def test_real_folders(shared: Path) -> None:
    facades = open_collection("auto", shared / "data" / "facades_mini22")
    assert {name: len(part) for name, part in facades.splits.items()} == {"train": 11, "test": 11}
    for record in facades.splits["train"]:
        assert (record.a.paths[0].stem, record.b.paths[0].stem) == (f"{record.name}_A", f"{record.name}_B")
    for record in facades.splits["test"]:
        assert record.a.paths[0].stem == record.b.paths[0].stem == record.name
    shoes = open_collection("auto", shared / "data" / "edges2shoes_mini20")
    assert {name: len(part) for name, part in shoes.splits.items()} == {"train": 10, "val": 10}
    windows = open_collection("auto", shared / "data" / "facade_windows")
    assert {name: len(part) for name, part in windows.splits.items()} == {"train": 476, "test": 128}
    photo, labels = windows.splits["train"][0].load()
    assert photo.shape == labels.shape == (256, 256, 3)
    membrane = open_collection("auto", shared / "data" / "isbi2012_em" / "membrane")
    assert len(membrane.splits["train"]) == 30
    assert any("test is not used" in note for note in membrane.notes)


def test_real_16_bit_channels(shared: Path, tmp_path: Path) -> None:
    files = sorted((shared / "data" / "isl_16bit").glob("*.png"))
    slices = [str(file) for file in files if "PHASE_CONTRAST" in file.name]
    stains = [str(file) for file in files if "PHASE_CONTRAST" not in file.name]
    manifest = write_manifest(tmp_path / "manifest.jsonl", [{"source": slices, "target": stains, "name": "well A4"}])
    (record,) = open_collection("auto", manifest).splits["all"]
    phase, stained = record.load()
    assert (phase.shape, phase.dtype, stained.shape) == ((1024, 1024, 13), np.dtype("uint16"), (1024, 1024, 3))
    assert np.array_equal(stained[..., 1:2], images.read(stains[1]))


def test_sides_that_are_named_need_no_recognition(tmp_path: Path) -> None:
    for n in range(3):
        paint(tmp_path / "phase" / f"{n}.png", n)
        paint(tmp_path / "dapi" / f"{n}.png", 100 + n)
    paint(tmp_path / "0.png")
    found = resolve_data(Data.model_validate({"path": str(tmp_path), "a": "phase", "b": "dapi"}))
    assert found.kind == "two_folders"
    assert len(find_records(found).splits["train"]) >= 1
    unpaired = resolve_data(Data.model_validate({"path": str(tmp_path), "a": "phase", "b": "dapi", "unpaired": True}))
    assert unpaired.kind == "unpaired"
    with pytest.raises(UserError, match="has no folder nothere"):
        find_records(resolve_data(Data.model_validate({"path": str(tmp_path), "a": "nothere", "b": "dapi"})))


@pytest.mark.parametrize("half", [None, "left", "right"])
@pytest.mark.parametrize("region", [None, Box(3, 2, 11, 9)])
@pytest.mark.parametrize("files", [("a.tif",), ("a.tif", "b.npy"), ("a.tif", "c.tif")])
def test_rectangles_of_a_picture_are_those_of_all_of_it(files: tuple[str, ...], half: Any, region: Box | None, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    images.write(tmp_path / "a.tif", random.integers(0, 256, (20, 24, 3), np.uint8))
    images.write(tmp_path / "b.npy", random.integers(0, 256, (20, 24, 1), np.uint8))
    images.write(tmp_path / "c.tif", random.integers(0, 65536, (20, 24, 1), np.uint16))
    picture = FilePicture(tuple(tmp_path / name for name in files), half, names=("one", "two")[: len(files)], region=region)
    whole, facts = picture.examine()
    windows = picture.open_windows()
    assert windows is not None and windows.facts == facts
    assert (windows.height, windows.width, windows.channels, windows.dtype) == (*whole.shape, whole.dtype.name)
    for top, left, bottom, right in ((0, 0, *whole.shape[:2]), (1, 2, 7, 5)):
        np.testing.assert_array_equal(windows.read(top, left, bottom, right), whole[top:bottom, left:right])
    with pytest.raises(ValueError, match="rows 0 to 21"):
        windows.read(0, 0, 21, 1)
    windows.close()


def test_a_picture_of_files_that_give_no_rectangles_or_do_not_go_together(tmp_path: Path) -> None:
    for name, size in (("a.tif", 20), ("b.png", 20), ("c.tif", 18)):
        images.write(tmp_path / name, np.zeros((size, 24, 1), np.uint8))
    files = [tmp_path / name for name in ("a.tif", "b.png", "c.tif")]
    assert FilePicture((files[0], files[1])).open_windows() is None
    assert FilePicture((files[0],), pages=(0, 0)).open_windows() is None
    with pytest.raises(UserError, match="must have one size and one type"):
        FilePicture((files[0], files[2])).open_windows()
    with pytest.raises(UserError, match="is a region of an image that has 24x20 pixels now"):
        FilePicture((files[0],), region=Box(0, 0, 30, 10)).open_windows()
