"""Names and places as people have them: accents, bytes that are no letters, worlds and folders of one name, stray tables, Windows paths."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import sys
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.evaluation.examples import model_on, two_folders
from tests.tiny import copying, needs_any_name, write_images
from transfigure.cli.main import main
from transfigure.data.folder import find_images
from transfigure.data.layouts import manifest, recognise, side_by_side, unpaired
from transfigure.data.layouts import two_folders as pairs_of
from transfigure.data.open import find_records, resolve_data
from transfigure.data.pairing import match
from transfigure.data.pictures import find_pictures
from transfigure.errors import UserError
from transfigure.evaluation.evaluate import evaluate
from transfigure.evaluation.folders import evaluate_folders, statistics_of
from transfigure.evaluation.segmenter_training import SegmenterOptions, train_segmenter
from transfigure.networks.segmenter import load_segmenter
from transfigure.recipe import Data, Recipe
from transfigure.translation.folder import plan_outputs

from .commands import TINY, done, refused

COMPOSED, DECOMPOSED = (unicodedata.normalize(form, "Façade é{}.png") for form in ("NFC", "NFD"))
NO_LETTERS = os.fsdecode(b"n\xff")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


# ---- c04 -------------------------------------------------------------------------------------------------------------------------


def test_c04_composed_and_decomposed_names_pair(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for n in range(4):
        write_images(here / "A", (DECOMPOSED if n % 2 else COMPOSED).format(n))
        write_images(here / "B", (COMPOSED if n < 3 else DECOMPOSED).format(n))
    found = pairs_of(here)
    assert len(found.splits["all"]) == 4 and found.notes == []
    # each keeps its own name on disk, and A's names the pair as it always did
    assert [record.name for record in found.splits["all"]] == [record.a.paths[0].stem for record in found.splits["all"]]
    result = evaluate_folders(here / "A", here / "B", metrics=["l1"])
    assert len(result.names) == 4 and "partner" not in capsys.readouterr().err


def test_c04_affixes_and_capitals_with_accents() -> None:
    paired = match([DECOMPOSED.format(n) for n in "12"], [COMPOSED.format(n).upper() for n in "12"])
    assert [(i, j) for i, j, _ in paired.pairs] == [(0, 0), (1, 1)]
    paired = match(["e\u0301_1_A.png", "e\u0301_2_A.png"], ["\u00e9_1_B.png", "\u00e9_2_B.png"])
    assert [(i, j) for i, j, _ in paired.pairs] == [(0, 0), (1, 1)]
    assert match(["e\u0301.png", "\u00e9.png"], ["\u00e9.png", "e\u0301.png"]).pairs == [(0, 1, "e\u0301.png"), (1, 0, "\u00e9.png")]


def test_c04_a_manifest_finds_files_whose_accents_are_stored_the_other_way(here: Path) -> None:
    write_images(here / unicodedata.normalize("NFD", "Bücher"), DECOMPOSED.format(1), DECOMPOSED.format(2))
    written = f"Bücher/{COMPOSED}"
    (here / "manifest.csv").write_text(f"source,target\n{written.format(1)},{written.format(2)}\n", encoding="utf-8")
    (record,) = manifest(here).splits["all"]
    assert record.a.paths[0].is_file() and record.a.paths[0].name == DECOMPOSED.format(1)


def test_c04_two_outputs_that_some_systems_take_for_one(here: Path) -> None:
    folder = write_images(here / "in", COMPOSED.format(1), DECOMPOSED.format(1))
    if len(list(folder.iterdir())) < 2:
        pytest.skip("this file system takes them for one already")
    with pytest.raises(UserError, match="differ only in how accents are stored"):
        plan_outputs(find_pictures(folder), here / "out", "png", lambda path: None)


# ---- c05 -------------------------------------------------------------------------------------------------------------------------


def test_c05_names_that_are_no_letters_are_trained_on_translated_and_scored(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    needs_any_name(here)
    data = os.fsdecode(b"da\xe9ta")
    for side in "AB":
        write_images(here / data / side, *(f"{NO_LETTERS}{n}.png" for n in range(5)), size=(32, 32))
    run, out = os.fsdecode(b"r\xff"), os.fsdecode(b"out\xff")
    tiny = TINY.replace("--data.val_fraction 0 --data.test_fraction 0", "--data.val_fraction 0.2 --data.test_fraction 0.4").split()
    assert main(["train", "pix2pix", data, "--out", run, *tiny, "--quiet"]) == 0
    assert main(["train", "pix2pix", data, "--out", run, "--resume", *tiny, "--quiet"]) == 0
    unpaired_run = ["train", "streamlined_small", data, "--out", "unpaired", "--data.kind", "unpaired", "--quiet"]
    small = "--data.load_size 36 --data.crop_size 32 --generator.width 4 --training.epochs 1 --training.accelerator cpu"
    assert main([*unpaired_run, *small.split()]) == 0
    assert main(["translate", run, f"{data}/A", out, "--quiet"]) == 0
    assert sorted(os.listdir(out)) == sorted(f"{NO_LETTERS}{n}.png" for n in range(5))  # noqa: PTH208
    capsys.readouterr()
    assert main(["evaluate", run, "--metrics", "l1", "--out", "scores", "--json", "--quiet"]) == 0
    printed = capsys.readouterr().out
    printed.encode("ascii")  # escapes, which JSON reads as the name it is
    stored = json.loads(Path("scores/evaluation.json").read_text(encoding="utf-8"))
    assert {panel["name"] for panel in stored["panels"]} <= {f"{NO_LETTERS}{n}" for n in range(5)}
    assert {panel["name"] for panel in json.loads(printed)["panels"]} == {panel["name"] for panel in stored["panels"]}
    with Path("scores/per_image.csv").open(encoding="utf-8", newline="") as table:
        assert {row["name"] for row in csv.DictReader(table)} <= {f"n\\udcff{n}" for n in range(5)}
    assert main(["report", run]) == main(["report", "scores"]) == 0
    assert "\\xff" in Path("scores/report.html").read_text(encoding="utf-8") or "n\ufffd" in Path("scores/report.html").read_text("utf-8")


def test_c05_statistics_and_segmenter_of_such_names(here: Path) -> None:
    needs_any_name(here)
    folder = write_images(here / os.fsdecode(b"d\xe9"), *(f"{NO_LETTERS}{n}.png" for n in range(3)), size=(32, 64))
    statistics_of(folder, "random", quiet=True).save(here / f"{NO_LETTERS}.npz")
    scored = evaluate_folders(folder, here / f"{NO_LETTERS}.npz", metrics=["random_frechet"], quiet=True)
    assert len(scored.names) == 3
    options = SegmenterOptions(palette="facades", photos="A", size=32, epochs=1)
    train_segmenter(folder, here / f"{NO_LETTERS}.safetensors", options, quiet=True)
    assert load_segmenter(here / f"{NO_LETTERS}.safetensors")[1]["data"] == str(folder)


def test_c05_a_home_that_there_is_not_is_a_sentence(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for line in ("train pix2pix ~nosuchuser/x --out r", "train pix2pix --out r --data.a ~nosuchuser/a --data.b ~nosuchuser/b",
                 "segmenter train ~nosuchuser/x --out s.safetensors", "statistics ~nosuchuser/x --out s.npz"):  # fmt: skip
        assert "~nosuchuser" in refused(capsys, f"transfigure {line}")
    (here / "m.csv").write_text("source,target\n~nosuchuser/a.png,b.png\n")
    assert "/~nosuchuser/a.png (line 2)" in refused(capsys, "transfigure train pix2pix m.csv --out r")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("source,target\n;,a.png\n", "line 2 has no file name for source"),
        ("source,target\n; ;,a.png\n", "line 2 has no file name for source"),
        ("source,target,split\na.png,a.png,\n;;;,a.png,train\n", "line 3 has no file name for source"),
    ],
)
def test_c05_an_entry_of_separators_alone_is_a_sentence(here: Path, text: str, words: str) -> None:
    write_images(here, "a.png")
    (here / "m.csv").write_text(text)
    with pytest.raises(UserError, match=words):
        manifest(here / "m.csv")


def test_c05_lone_surrogates_in_a_manifest_are_a_sentence_or_work(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_images(here, "a.png", "b.png", size=(32, 32))
    line = f"transfigure train pix2pix m.jsonl --out r {TINY} --quiet"
    (here / "m.jsonl").write_text('{"source": "\\ud800.png", "target": "a.png"}\n')
    said = refused(capsys, line)
    assert "m.jsonl names 1 file that does not exist: " in said and "\\ud800.png (line 1)" in said
    (here / "m.jsonl").write_text('{"source": "a.png", "target": "a.png", "name": "\\udfff"}\n')
    done(capsys, line)


def test_c05_a_lone_surrogate_where_data_should_be_is_a_sentence(here: Path) -> None:
    for kind in ("auto", "two_folders", "manifest", "side_by_side", "unpaired"):
        with pytest.raises(UserError, match="does not exist"):
            find_records(resolve_data(Data(kind=kind, path="\ud800")))


def test_c05_a_number_of_4301_digits_in_a_name(here: Path) -> None:
    write_images(here, "a.png", "b.png")
    rows = [{"source": "a.png", "target": "b.png", "name": f"x{'7' * 4301}{n}"} for n in (2, 1)]
    (here / "m.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    records = find_records(resolve_data(Data(path="m.jsonl", val_fraction=0, test_fraction=0))).splits["train"]
    assert [record.name[-1] for record in records] == ["1", "2"]
    (here / "m.jsonl").write_text(f'{{"source": "a.png", "target": "b.png", "page": {"7" * 4301}}}\n')
    with pytest.raises(UserError, match="line 1 is not JSON"):
        manifest(here / "m.jsonl")


# ---- c16 -------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "line", ["train pix2pix {world} --out r", "ablate cosine {world} --out r", "segmenter train {world} --out s.safetensors"]
)
@pytest.mark.parametrize("world", ["synthetic", "shapes"])
def test_c16_a_folder_called_like_a_world_is_asked_about(here: Path, line: str, world: str, capsys: pytest.CaptureFixture[str]) -> None:
    two_folders(here / world)
    words = (
        f"{world} is a drawn world, and there is a folder of that name here: write ./{world} for that, or --data.kind {world} for the world"
    )
    assert refused(capsys, f"transfigure {line.format(world=world)}") == words


def test_c16_evaluate_and_analyze_ask_too(here: Path) -> None:
    data, model = two_folders(here / "shapes"), model_on(two_folders(here / "trained"))
    with pytest.raises(UserError, match=r"write \./shapes for that, or --data.kind shapes for the world"):
        evaluate(model, "shapes", metrics=["l1"], quiet=True)
    assert evaluate(model, "./shapes", metrics=["l1"], quiet=True).about["data"] == str(data)
    assert evaluate(model, Path("shapes"), metrics=["l1"], quiet=True).about["data"] == str(data)


def test_c16_each_can_be_named(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = two_folders(here / "shapes")
    for words, kind, path in (
        ("./shapes", "unpaired", str(folder)),
        ("shapes --data.kind two_folders", "two_folders", str(folder)),
        ("shapes --data.kind shapes", "shapes", None),
        ("--data.kind shapes", "shapes", None),
    ):
        recipe = here / "recipe.yaml"
        recipe.write_text(done(capsys, f"transfigure train streamlined_small {words} --print_config"))
        section = resolve_data(Recipe.load(recipe).data)
        assert (section.kind, section.path) == (kind, path), words
    shutil.rmtree(folder)
    assert "kind: shapes" in done(capsys, "transfigure train streamlined_small shapes --print_config")


def test_c16_a_recipe_that_names_the_word_is_asked_too(here: Path) -> None:
    two_folders(here / "synthetic")
    with pytest.raises(UserError, match="drawn world, and there is a folder of that name"):
        resolve_data(Data(path="synthetic"))
    assert resolve_data(Data(path="./synthetic")).kind == "two_folders"


# ---- c17, c18 --------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "text"), [("metadata.csv", "patient,age\n1,40\n"), ("metadata.jsonl", '{"id": 3}\n'), ("metadata.csv", "")]
)
def test_c17_an_unrelated_table_does_not_stop_recognition(here: Path, name: str, text: str) -> None:
    two_folders(here / "pairs")
    write_images(here / "side", "a.png", "b.png", size=(32, 64))
    for place, kind in ((here / "pairs", "two_folders"), (here / "side", "side_by_side")):
        (place / name).write_text(text)
        assert recognise(place) == kind
        notes = find_records(resolve_data(Data(path=str(place)))).notes
        columns = "it has no columns" if not text else "it has the columns"
        assert sum(f"{name} is not used: {columns}" in note for note in notes) == 1, notes
    assert sum("is not used" in note for note in unpaired(here / "pairs").notes) == 1


def test_c17_where_there_is_nothing_else_the_way_out_is_told(here: Path) -> None:
    (here / "metadata.csv").write_text("patient,age\n1,40\n")
    with pytest.raises(UserError, match=r"has the columns patient, age, and none that name pairs.*--data\.kind"):
        recognise(here)
    (here / "manifest.csv").write_text("")
    assert recognise(here) == "manifest"  # whose emptiness is said when it is read
    write_images(here / "x", "a.png")
    (here / "metadata.csv").write_text("source,target\nx/a.png,x/a.png\n")
    (here / "manifest.csv").write_text("patient,age\n1,40\n")
    assert len(manifest(here).splits["all"]) == 1


def test_c18_back_slashes_of_windows_are_understood(here: Path) -> None:
    write_images(here / "in", "1.png")
    write_images(here / "out", "1.png")
    (here / "m.csv").write_text("source,target\nin\\1.png,.\\out\\1.png\n")
    (record,) = manifest(here / "m.csv").splits["all"]
    assert [path.resolve() for path in (*record.a.paths, *record.b.paths)] == [here / "in" / "1.png", here / "out" / "1.png"]
    (here / "m.csv").write_text("source,target\nC:\\data\\1.png,out\\2.png\n")
    with pytest.raises(
        UserError, match=r"names 2 files .*C:\\data\\1\.png.*with / in place of the back-slashes of Windows they do not exist"
    ):
        manifest(here / "m.csv")


@pytest.mark.skipif(sys.platform == "win32", reason="a back-slash is no letter of a name there")
def test_c18_a_name_with_a_back_slash_is_itself(here: Path) -> None:
    write_images(here, "a\\1.png", "b.png")
    write_images(here / "a", "1.png")
    (here / "m.csv").write_text("source,target\na\\1.png,b.png\n")
    (record,) = manifest(here / "m.csv").splits["all"]
    assert record.a.paths[0].name == "a\\1.png"


# ---- c23 -------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("place", "kind", "inside"),
    [
        ("side/run", "auto", "side"),
        ("pairs/trainA/run", "auto", "pairs/trainA"),
        ("link/run", "auto", "side"),
        ("pairs/testB", "unpaired", "pairs/testB"),
    ],
)
def test_c23_a_run_inside_the_data_is_refused(here: Path, place: str, kind: str, inside: str, capsys: pytest.CaptureFixture[str]) -> None:
    write_images(here / "side", *(f"{n}.png" for n in range(3)), size=(32, 64))
    two_folders(here / "pairs")
    (here / "link").symlink_to(here / "side")
    data = "side" if inside == "side" else "pairs"
    said = refused(capsys, f"transfigure train pix2pix {data} --out {place} --data.kind {kind}")
    assert said == f"{place} lies inside the data {here / inside}: its pictures would be data next time; choose another --out"
    assert not (here / "side" / "run").exists()
    if kind == "auto":
        assert "lies inside the data" in refused(capsys, f"transfigure ablate cosine {data} --out {place} --data.kind {kind}")


def test_c23_a_run_beside_the_folders_that_are_read_is_fine(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    two_folders(here)
    done(capsys, f"transfigure train pix2pix . --out run {TINY} --quiet")
    assert len(pairs_of(here).splits["train"]) == 3


def test_c23_an_evaluation_inside_the_data_is_refused(here: Path) -> None:
    data = two_folders(here / "pairs")
    with pytest.raises(UserError, match="lies inside the data"):
        evaluate(model_on(data), metrics=["l1"], out=data / "testA" / "scores", quiet=True)
    assert evaluate(model_on(data), metrics=["l1"], out=data / "scores", quiet=True).names


def test_c23_pictures_of_an_analysis_inside_the_data_are_refused_and_files_that_are_none_are_not(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    two_folders(here / "pairs")
    done(capsys, f"transfigure train pix2pix pairs --out pairs/run {TINY} --quiet")
    said = refused(capsys, "transfigure analyze pairs/run --out pairs/trainA/x")
    assert (
        said == f"pairs/trainA/x lies inside the data {here / 'pairs/trainA'}: its pictures would be data next time; choose another --out"
    )
    before = find_images(here / "pairs").names
    assert not [name for name in before if name.startswith("run")]
    done(capsys, "transfigure statistics pairs/trainA --out pairs/trainA/known.npz --features random --quiet")
    done(capsys, "transfigure report pairs/run --out pairs/trainA/report.html")
    assert find_images(here / "pairs").names == before


def test_c11_a_side_of_animations_alone_is_told_so(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = two_folders(here / "pairs")
    frames = [Image.fromarray(np.full((8, 8, 3), value, np.uint8)) for value in (0, 250)]
    for folder in ("trainA", "valA", "testA"):
        for file in find_images(data / folder).files:
            frames[0].save(file.with_suffix(".gif"), save_all=True, append_images=frames[1:])
            file.unlink()
    said = refused(capsys, "transfigure train pix2pix pairs --out run")
    reason = (
        rf"the folder {data / 'trainA'} holds no images, only \d animated GIF files, such as \S+\.gif \(convert them to PNG to use them\)"
    )
    assert re.match(reason, said)
    for file in find_images(data / "valB").files:  # and where another split has pairs
        shutil.copy(file, data / "valA")
    said = refused(capsys, "transfigure train pix2pix pairs --out run")
    assert re.match(rf"{data} has no training pairs \(found: val\): {reason}", said)


def test_c17_a_table_of_another_program_that_names_nothing_here_stops_nothing(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    two_folders(here / "pairs")
    write_images(here / "side", *(f"{n}.png" for n in range(3)), size=(32, 64))
    (here / "alone").mkdir()
    for folder in ("pairs", "side", "alone"):
        (here / folder / "metadata.csv").write_text("source,target\n" + "raw/1.png,raw/2.png\n" * 20)
    assert recognise(here / "pairs") == "two_folders" and recognise(here / "side") == "side_by_side"
    for found in (pairs_of(here / "pairs"), side_by_side(here / "side")):
        assert [note for note in found.notes if note.endswith("metadata.csv is not used: no file that it names is there")]
    said = refused(capsys, "transfigure train pix2pix alone --out run")
    assert "names 40 files that do not exist" in said and said.endswith("; if it is none, say which kind of data this is with --data.kind")
    shutil.copy(here / "pairs" / "metadata.csv", here / "pairs" / "manifest.csv")  # what is called a manifest is meant as one
    assert "manifest.csv names 40 files that do not exist" in refused(capsys, "transfigure train pix2pix pairs --out run")
    (here / "pairs" / "manifest.csv").unlink()
    with (here / "pairs" / "metadata.csv").open("a") as table:  # one that is there is enough
        table.write(f"trainA/{find_images(here / 'pairs' / 'trainA').files[0].name},trainB/gone.png\n")
    assert recognise(here / "pairs") == "manifest"


def test_c07_what_is_passed_over_in_several_folders_is_said_once(here: Path) -> None:
    two_folders(here / "pairs")
    for folder in ("trainA", "trainB", "testA"):
        write_images(here / "pairs" / folder / "@eaDir", "1.png", "2.png")
    (here / "pairs" / "testA" / "notes.txt").touch()
    folders = ", ".join(str(here / "pairs" / folder) for folder in ("trainA", "trainB", "testA"))
    right = (
        f"passed over in {folders}: 1 other file, such as testA/notes.txt; "
        "3 folders of thumbnails, deleted or hidden files, such as trainA/@eaDir"
    )
    for reader in (pairs_of, unpaired):
        assert [note for note in reader(here / "pairs").notes if note.startswith("passed over")] == [right]


# ---- what was typed otherwise --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("train pix2pix --data d --out r", "--data d names no kind of data: a folder goes without a flag, as  transfigure train RECIPE d"),
        ("evaluate r --data d", "a folder goes without a flag, as  transfigure evaluate MODEL d  (or with --data.path)"),
        ("train pix2pix --out r --data.a x/a --data.b x/b", "data.a is x/a, which is no folder: check its name"),
        (
            "train pix2pix --out r --data.a d/A",
            "data.a is d/A, and data.b is missing: name the folder that holds both sides after the recipe",
        ),
        ("train pix2pix --out r --data.a ./d/A --data.b y", "data.b is y, a folder inside DATA, and no DATA is named"),
        ("ablate cosine --out r --data.a x/a --data.b x/b", "data.a is x/a, which is no folder"),
    ],
)
def test_data_that_are_typed_otherwise_get_a_helpful_sentence(
    here: Path, line: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    two_folders(here / "d")
    (here / "d" / "A").mkdir()
    assert words in refused(capsys, f"transfigure {line}")


def test_c15_two_patterns_are_two_folders(here: Path) -> None:
    write_images(here / "results", *(f"{n}_{kind}.png" for n in (1, 2, 3, 4) for kind in ("real_A", "fake_B")))
    inside = pairs_of(here / "results", "*_real_A.png", "*_fake_B.png")
    apart = pairs_of(None, "results/*_real_A.png", "./results/*_fake_B.png")
    assert [record.name for record in inside.splits["all"]] == ["1", "2", "3", "4"] == [record.name for record in apart.splits["all"]]
    section = resolve_data(Data(kind="two_folders", a="results/*_real_A.png", b="results/*_fake_B.png"))
    assert sum(map(len, find_records(section).splits.values())) == 4
    wide = write_images(here / "wide", "1_pair.png", "2_pair.png", "other.png", size=(16, 32))
    assert [record.name for record in side_by_side(wide / "*_pair.png").splits["all"]] == ["1_pair", "2_pair"]
    written = copying().translate_folder(here / "results" / "*_real_A.png", here / "out", quiet=True)
    assert [file.name for file in written] == [f"{n}_real_A.png" for n in (1, 2, 3, 4)]


PLACES = (
    "train pix2pix {} --out r",
    "train {} d --out r",
    "train pix2pix d --out r --data.a {}",
    "train pix2pix d --out r --plugins {}",
    "ablate cosine {} --out r",
    "translate {} d/trainA out",
    "translate model {} out",
    "translate model d/trainA {}",
    "evaluate {}",
    "evaluate model {} --metrics l1",
    "evaluate --generated {} --target d/trainA",
    "evaluate --generated d/trainB --target {}",
    "evaluate --generated d/trainB --target d/trainA --source {}",
    "statistics {} --features random --out s.npz",
    "statistics d/trainA --features random --out {}.npz",
    "segmenter train {} --out s.safetensors",
    "report {}",
    "compare {}",
    "analyze model {}",
)


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("places")
    model_on(two_folders(root / "d")).save(root / "model")
    (root / "loop").symlink_to("loop")
    return root


@pytest.mark.parametrize("line", PLACES)
def test_c05_whatever_stands_for_a_place_is_answered_in_a_sentence(
    places: Path, line: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(places)
    for word in ("\ud800", "a\0b", "~nosuchuser/x", "loop", "loop/x", "n" * 300, "d/" * 2100 + "x", "*.nothing", "["):
        code = main([part.replace("{}", word) for part in line.split()])
        said = capsys.readouterr().err
        for left in set(places.iterdir()) - {places / name for name in ("d", "model", "loop")}:
            shutil.rmtree(left) if left.is_dir() else left.unlink()
        written = line.startswith(("translate model d", "statistics d"))  # some of these are names that can be written
        assert code == 2 or (written and code == 0), (word[:20], said)
        assert code == 0 or said.splitlines()[-1].startswith("transfigure: "), (word[:20], said)
