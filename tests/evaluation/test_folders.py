"""Any two folders of images: paired by name, nothing resized, and a sentence wherever a number would mislead."""

from __future__ import annotations

import csv
import io
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.tiny import noise_image, write_images
from transfigure.data import images
from transfigure.errors import Missing, UserError
from transfigure.evaluation import scorer
from transfigure.evaluation.collection import MetricCollection
from transfigure.evaluation.folders import evaluate_folders, statistics_of
from transfigure.evaluation.result import Evaluation
from transfigure.evaluation.schema import Facts, Row

NAMES = ["a.png", "b.png", "sub/c.png"]


def near(folder: Path, like: Path, off: int = 20) -> Path:
    """The images of a folder, a little darker or brighter."""
    for index, file in enumerate(sorted(like.rglob("*.png"))):
        picture = images.read(file).astype(int)
        noise = np.random.default_rng(index).integers(-off, off + 1, picture.shape)
        images.write(folder / file.relative_to(like), (picture + noise).clip(0, 255).astype(np.uint8))
    return folder


PLAIN = ["l1", "psnr", "ssim", "ms_ssim"]
"""Metrics whose values can be said without computing, for images that are equal, black or white."""


def value(result: Evaluation, metric: str) -> float:
    return next(row.value for row in result.rows if row.metric == metric)


def test_scores_are_of_the_files(tmp_path: Path) -> None:
    target = write_images(tmp_path / "target", *NAMES)
    made = near(tmp_path / "made", target)
    result = evaluate_folders(made, target, quiet=True)
    assert result.names == ["a", "b", "sub/c"]
    pairs = [[images.read(folder / f"{name}.png") / 255 for folder in (made, target)] for name in result.names]
    assert result.scores["l1"] == pytest.approx([np.abs(one - two).mean() for one, two in pairs], abs=1e-6)
    assert result.scores["psnr"] == pytest.approx([-10 * np.log10(((one - two) ** 2).mean()) for one, two in pairs], abs=1e-4)
    assert value(result, "l1") == pytest.approx(np.mean(result.scores["l1"]))
    assert result.rows[0].bounds == {"target itself": 0}


def copy_of(folder: Path) -> Path:
    """The same pictures in other files."""
    place = folder.with_name(f"{folder.name}_copy")
    return place if place.is_dir() else Path(shutil.copytree(folder, place))


def test_equal_folders_are_perfect(tmp_path: Path) -> None:
    target = write_images(tmp_path / "target", *NAMES)
    result = evaluate_folders(str(copy_of(target)), str(target), source=str(target), metrics=PLAIN, quiet=True)
    assert {row.metric: round(row.value, 6) for row in result.rows} == {"l1": 0, "psnr": 100, "ssim": 1, "ms_ssim": 1}
    for row in result.rows:
        assert row.bounds == {"source copied": row.value, "target itself": pytest.approx(row.value)}


def test_partners_are_found_by_name_not_by_order(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = write_images(tmp_path / "target", "photo_1.png", "photo_2.png", "photo_10.png")
    for name in ("1", "2", "10"):
        (tmp_path / "made").mkdir(exist_ok=True)
        (tmp_path / "made" / f"{name}_fake.tif").write_bytes(b"")
        images.write(tmp_path / "made" / f"{name}_fake.tif", images.read(target / f"photo_{name}.png"))
    result = evaluate_folders(tmp_path / "made", target)
    assert result.names == ["1_fake", "2_fake", "10_fake"]
    assert result.scores["l1"] == [0, 0, 0]
    assert "photo_*" in capsys.readouterr().err


@pytest.mark.parametrize("lonely_side", ["made", "target"])
def test_an_image_without_partner_is_named(tmp_path: Path, lonely_side: str) -> None:
    for side in ("made", "target"):
        write_images(tmp_path / side, *NAMES)
    write_images(tmp_path / lonely_side, "extra.png")
    with pytest.raises(UserError, match=r"1 of the images in .*extra\.png") as caught:
        evaluate_folders(tmp_path / "made", tmp_path / "target", quiet=True)
    assert str(tmp_path / lonely_side) in str(caught.value).split("have no partner", maxsplit=1)[0]


def test_names_with_nothing_in_common(tmp_path: Path) -> None:
    made, target = write_images(tmp_path / "made", "cat.png", "dog.png"), write_images(tmp_path / "target", "sun.png", "moon.png")
    with pytest.raises(UserError, match="no partner of the same name"):
        evaluate_folders(made, target, quiet=True)


def test_more_sources_than_images_are_fine(tmp_path: Path) -> None:
    for side in ("made", "target"):
        write_images(tmp_path / side, "a.png")
    result = evaluate_folders(tmp_path / "made", tmp_path / "target", source=write_images(tmp_path / "source", *NAMES), quiet=True)
    assert set(result.rows[0].bounds) == {"source copied", "target itself"}
    with pytest.raises(UserError, match=r"c\.png.*complete"):
        evaluate_folders(
            write_images(tmp_path / "made", *NAMES), write_images(tmp_path / "target", *NAMES),
            source=write_images(tmp_path / "few", "a.png", "b.png"), quiet=True,
        )  # fmt: skip


def test_a_source_that_cannot_be_copied_leaves_the_bound_out(tmp_path: Path) -> None:
    for side in ("made", "target"):
        write_images(tmp_path / side, *NAMES)
    for name, options in (("many", {"channels": 5}), ("large", {"size": (40, 40)})):
        source = write_images(tmp_path / name, *(name.replace("png", "tif") for name in NAMES), **options)
        for row in evaluate_folders(tmp_path / "made", tmp_path / "target", source=source, quiet=True).rows:
            assert "source copied" not in row.bounds
    # one of them does not fit: a bound over the others would be another bound
    write_images(tmp_path / "some", *NAMES)
    images.write(tmp_path / "some" / "b.png", noise_image(50, 50))
    for row in evaluate_folders(tmp_path / "made", tmp_path / "target", source=tmp_path / "some", quiet=True).rows:
        assert "source copied" not in row.bounds


def test_a_grey_source_is_compared_with_colour(tmp_path: Path) -> None:
    target = write_images(tmp_path / "target", *NAMES)
    source = write_images(tmp_path / "source", *NAMES, channels=1)
    bound = next(row for row in evaluate_folders(copy_of(target), target, source=source, quiet=True).rows if row.metric == "l1").bounds
    pairs = [[images.read(folder / name) / 255 for folder in (source, target)] for name in NAMES]
    assert bound["source copied"] == pytest.approx(np.mean([np.abs(one - two).mean() for one, two in pairs]), abs=1e-6)


@pytest.mark.parametrize(("shape", "words"), [((20, 25, 3), "25x20.*24x20"), ((20, 24, 1), "24x20 with 1 channel but.*with 3")], ids=str)
def test_sizes_and_channels_that_differ(tmp_path: Path, shape: tuple[int, int, int], words: str) -> None:
    target, made = write_images(tmp_path / "target", *NAMES), write_images(tmp_path / "made", *NAMES)
    for name in NAMES if shape[2] == 1 else ["b.png"]:  # one grey file among colour ones would count as colour
        images.write(made / name, noise_image(*shape))
    with pytest.raises(UserError, match=rf"made/[ab]\.png is {words}") as caught:
        evaluate_folders(made, target, quiet=True)
    assert ("target/a.png" if shape[2] == 1 else "target/b.png") in str(caught.value)


def test_one_image(tmp_path: Path) -> None:
    target = write_images(tmp_path / "target", "a.png")
    result = evaluate_folders(near(tmp_path / "made", target), target, quiet=True)
    for row in result.rows:
        assert row.low is row.high is None and (row.skipped or row.value is not None), row
    assert "at least 2" in next(row.skipped for row in result.rows if row.of == "random_frechet")
    assert result.about["best"] == result.about["worst"] == ["a"]


@pytest.mark.parametrize("size", [(1, 1), (1, 30), (5, 7)], ids=str)
def test_tiny_images(tmp_path: Path, size: tuple[int, int]) -> None:
    target = write_images(tmp_path / "target", "a.png", size=size)
    for row in evaluate_folders(near(tmp_path / "made", target), target, quiet=True).rows:
        assert row.skipped or np.isfinite(row.value), row.metric


def test_black_images(tmp_path: Path) -> None:
    for side, level in (("made", 0), ("target", 0), ("white", 255)):
        for name in ("a.png", "b.png"):
            images.write(tmp_path / side / name, np.full((20, 24, 3), level, np.uint8))
    same = evaluate_folders(tmp_path / "made", tmp_path / "target", metrics=PLAIN, quiet=True)
    assert {row.metric: round(row.value, 6) for row in same.rows} == {"l1": 0, "psnr": 100, "ssim": 1, "ms_ssim": 1}
    other = evaluate_folders(tmp_path / "made", tmp_path / "white", quiet=True)
    assert value(other, "l1") == pytest.approx(1)
    assert value(other, "psnr") == pytest.approx(0, abs=1e-5)
    assert value(other, "ssim") == pytest.approx(0, abs=1e-3)
    json.dumps(other.to_dict(), allow_nan=False)


def test_float_images(tmp_path: Path) -> None:
    for side in ("made", "target"):
        write_images(tmp_path / side, "a.tif", "b.tif", channels=1, dtype="float32")
    assert value(evaluate_folders(tmp_path / "made", tmp_path / "target", quiet=True), "l1") == 0
    images.write(tmp_path / "made" / "b.tif", noise_image(20, 24, 1, "float32") * 100)
    with pytest.raises(UserError, match=r"made/b\.tif holds values.*value range"):
        evaluate_folders(tmp_path / "made", tmp_path / "target", quiet=True)
    ranged = evaluate_folders(tmp_path / "made", tmp_path / "target", value_range=(0.0, 100.0), quiet=True)
    difference = images.read(tmp_path / "made" / "b.tif") - images.read(tmp_path / "target" / "b.tif")
    assert ranged.scores["l1"] == pytest.approx([0, np.abs(difference).mean() / 100], abs=1e-6)


def test_values_that_are_not_finite(tmp_path: Path) -> None:
    for side in ("made", "target"):
        write_images(tmp_path / side, "a.tif", channels=1, dtype="float32")
    broken = noise_image(20, 24, 1, "float32")
    broken[0, 0] = np.nan
    images.write(tmp_path / "made" / "a.tif", broken)
    with pytest.raises(UserError, match=r"a\.tif holds 1 values that are not finite"):
        evaluate_folders(tmp_path / "made", tmp_path / "target", quiet=True)


def test_depths_may_differ(tmp_path: Path) -> None:
    target = write_images(tmp_path / "target", "a.png")
    images.write(tmp_path / "made" / "a.png", images.read(target / "a.png").astype(np.uint16) * 257)
    assert value(evaluate_folders(tmp_path / "made", target, quiet=True), "l1") == pytest.approx(0, abs=1e-7)


def test_a_value_range_is_not_for_files_of_another_depth(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        wanted = noise_image(20, 24, 1, "uint16") // 16  # 12 bits
        images.write(tmp_path / "target" / name, wanted)
        images.write(tmp_path / "made" / name, wanted)
        images.write(tmp_path / "source" / name, np.round(wanted / 4095 * 255).astype(np.uint8))
    folders = tmp_path / "made", tmp_path / "target"
    result = evaluate_folders(*folders, source=tmp_path / "source", value_range=(0, 4095), metrics=["l1"], quiet=True)
    assert result.rows[0].bounds["source copied"] == pytest.approx(0, abs=0.002)
    assert result.about["value_range"] == "0 to 4095"
    with pytest.raises(UserError, match=r"source/a\.png is uint8 but .*target/a\.png is uint16: one value range"):
        evaluate_folders(tmp_path / "source", tmp_path / "target", value_range=(0, 4095), quiet=True)


@pytest.mark.parametrize("unpaired", [False, True])
def test_c14_grey_among_colour_counts_as_colour(tmp_path: Path, unpaired: bool, capsys: pytest.CaptureFixture[str]) -> None:
    for side in ("made", "target", "plain"):
        write_images(tmp_path / side, "a.png", "b.png", "c.png", "d.png")
    images.write(tmp_path / "target" / "d.png", noise_image(20, 24, 1))
    grey = np.repeat(images.read(tmp_path / "target" / "d.png"), 3, axis=2)
    images.write(tmp_path / "plain" / "d.png", grey)
    result = evaluate_folders(tmp_path / "made", tmp_path / "target", unpaired=unpaired)
    noted = [line for line in capsys.readouterr().err.splitlines() if "grey" in line]
    assert noted == [f"note: 1 of 4 images in {tmp_path / 'target'} are grey among colour ones and will be treated as RGB: d.png"]
    right = evaluate_folders(tmp_path / "made", tmp_path / "plain", unpaired=unpaired, quiet=True)
    assert [(row.metric, row.value, row.skipped) for row in result.rows] == [(row.metric, row.value, row.skipped) for row in right.rows]
    assert value(result, "random_frechet") > 0
    assert unpaired or result.scores["l1"][3] > 0.1


def test_c14_statistics_take_grey_among_colour(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mixed, plain = write_images(tmp_path / "mixed", *NAMES), write_images(tmp_path / "plain", *NAMES)
    images.write(mixed / "b.png", noise_image(20, 24, 1))
    images.write(plain / "b.png", np.repeat(images.read(mixed / "b.png"), 3, axis=2))
    assert (statistics_of(mixed, "random").mean == statistics_of(plain, "random").mean).all()
    assert capsys.readouterr().err.count("are grey among colour ones and will be treated as RGB: b.png") == 1


def test_statistics_are_of_images_with_equally_many_channels(tmp_path: Path) -> None:
    """Features of three and of five channels are not the same numbers."""
    write_images(tmp_path, "a.tif", "b.tif")
    write_images(tmp_path, "c.tif", channels=5)
    with pytest.raises(UserError, match=r"images of different numbers of channels \(2 of 3 and 1 of 5\)"):
        statistics_of(tmp_path, "random", quiet=True)


# ---- c15: nothing is compared with itself ----------------------------------------------------------------------------------


@pytest.mark.parametrize("unpaired", [False, True])
@pytest.mark.parametrize("way", ["itself", "link", "links to files", "one link"])
def test_c15_what_is_compared_with_itself_is_refused(tmp_path: Path, unpaired: bool, way: str) -> None:
    target = write_images(tmp_path / "target", *NAMES)
    made = tmp_path / "made"
    if way == "itself":
        made = tmp_path / "made" / ".." / "target"
        (tmp_path / "made").mkdir()
    elif way == "link":
        made.symlink_to(target)
    else:
        (made / "sub").mkdir(parents=True)
        for index, name in enumerate(NAMES):
            (made / name).hardlink_to(target / name) if index == 0 or way == "links to files" else shutil.copy(target / name, made / name)
    words = (
        r"1 of 3 of the generated images are target images themselves \(.*a\.png\)" if way == "one link" else "all of the generated images"
    )
    with pytest.raises(UserError, match=words) as caught:
        evaluate_folders(made, target, unpaired=unpaired, quiet=True)
    assert (f"if {target} holds both, choose by pattern, as '{target}/*_fake_B.png'" in str(caught.value)) == (way in ("itself", "link"))
    assert evaluate_folders(copy_of(target), target, unpaired=unpaired, quiet=True).rows


@pytest.mark.parametrize("unpaired", [False, True])
def test_c15_copies_are_noted(tmp_path: Path, unpaired: bool, capsys: pytest.CaptureFixture[str]) -> None:
    target = write_images(tmp_path / "target", *NAMES)
    made = copy_of(target)
    words = "of the generated images are copies of target images, byte by byte"
    found = evaluate_folders(made, target, unpaired=unpaired, metrics=["l1", "random_frechet"])
    note = f"all {words} ({', '.join(sorted(NAMES))}): a copy scores perfectly"
    assert note in found.about.notes and f"note: {note}\n" in capsys.readouterr().err
    images.write(made / NAMES[0], images.read(made / NAMES[0])[::-1].copy())
    found = evaluate_folders(made, target, unpaired=unpaired, metrics=["l1", "random_frechet"], quiet=True)
    assert found.about.notes[0].startswith(f"2 of 3 {words}")
    assert not evaluate_folders(near(tmp_path / "near", target), target, unpaired=unpaired, metrics=["l1"], quiet=True).about.notes


def test_c15_files_of_a_mixed_folder_are_chosen_by_pattern(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As the reference implementation of pix2pix writes its results."""
    results = write_images(tmp_path / "results", *(f"{n}_{kind}.png" for n in (1, 2, 3) for kind in ("fake_B", "real_A", "real_B")))
    found = evaluate_folders(f"{results}/*_fake_B.png", f"{results}/*_real_B.png", source=f"{results}/*_real_A.png", metrics=["l1"])
    assert found.names == ["1_fake_B", "2_fake_B", "3_fake_B"]
    right = [
        np.abs(images.read(results / f"{n}_fake_B.png") / 255 - images.read(results / f"{n}_real_B.png") / 255).mean() for n in (1, 2, 3)
    ]
    assert found.scores["l1"] == pytest.approx(right, abs=1e-6)
    assert f"paired *_fake_B of {results} with *_real_B of {results}" in capsys.readouterr().err
    with pytest.raises(UserError, match=r"no image of .*results has a name like \*_fake_C\.png; it holds 1_fake_B\.png"):
        evaluate_folders(f"{results}/*_fake_C.png", f"{results}/*_real_B.png", quiet=True)


def test_c23_an_output_in_a_folder_that_is_scored_is_refused(tmp_path: Path) -> None:
    target = write_images(tmp_path / "target", *NAMES)
    with pytest.raises(UserError, match=r"--out .*target/scores lies inside .*target: its pictures would be scored next time"):
        evaluate_folders(near(tmp_path / "made", target), target, out=target / "scores", quiet=True)
    assert not (target / "scores").exists()


def test_large_pictures_go_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight of them, with all that metrics make of them, would be gigabytes."""
    monkeypatch.setattr(scorer, "LARGE", 3 * 20 * 24)
    names = [f"{index}.png" for index in range(5)]
    small, large = write_images(tmp_path / "small", *names), write_images(tmp_path / "large", *names, size=(20, 25))
    together: list[int] = []
    update = MetricCollection.update
    monkeypatch.setattr(MetricCollection, "update", lambda self, made, *more: (together.append(len(made)), update(self, made, *more))[1])
    evaluate_folders(copy_of(small), small, metrics=["l1"], quiet=True)
    assert together == [5]
    assert value(evaluate_folders(copy_of(large), large, metrics=["l1"], quiet=True), "l1") == 0
    assert together == [5, 1, 1, 1, 1, 1]


def test_a_picture_that_cannot_be_written_costs_no_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    names = ("a.tif", "b.tif")
    target, source = write_images(tmp_path / "target", *names), write_images(tmp_path / "source", *names, channels=5)
    write = images.write

    def poor(path: Path, array: Any, *_: Any) -> None:
        if array.shape[2] == 5:
            raise Missing.extra("tifffile", "science", f"writing {path}")
        write(path, array)

    monkeypatch.setattr(images, "write", poor)
    result = evaluate_folders(copy_of(target), target, source=source, metrics=["l1"], out=tmp_path / "out")
    assert json.loads((tmp_path / "out" / "evaluation.json").read_text())["n"] == 2
    assert all(panel.generated and panel.target and panel.source is None for panel in result.panels)
    assert capsys.readouterr().err.count("no source pictures") == 1
    evaluate_folders(copy_of(target), target, source=source, metrics=["l1"], out=tmp_path / "out", quiet=True)
    assert capsys.readouterr().err == ""


def test_transparency(tmp_path: Path) -> None:
    target = write_images(tmp_path / "target", "a.png", channels=4)
    with pytest.raises(UserError, match="transparent"):
        evaluate_folders(copy_of(target), target, quiet=True)
    assert value(evaluate_folders(copy_of(target), target, alpha="keep", quiet=True), "l1") == 0


def test_broken_and_missing(tmp_path: Path) -> None:
    for side in ("made", "target"):
        write_images(tmp_path / side, *NAMES)
    (tmp_path / "target" / "b.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    with pytest.raises(UserError, match=r"target/b\.png"):
        evaluate_folders(tmp_path / "made", tmp_path / "target", quiet=True)
    with pytest.raises(UserError, match="absent does not exist"):
        evaluate_folders(tmp_path / "absent", tmp_path / "target", quiet=True)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="no images"):
        evaluate_folders(tmp_path / "made", tmp_path / "empty", quiet=True)


def test_what_is_written(tmp_path: Path) -> None:
    names = ['a, "b".png', "it's; ü.png", "=1.png"]
    target = write_images(tmp_path / "target", *names)
    result = evaluate_folders(near(tmp_path / "made", target), target, out=tmp_path / "out", quiet=True)
    lines = list(csv.DictReader(io.StringIO((tmp_path / "out" / "per_image.csv").read_text(encoding="utf-8"))))
    assert [line["name"] for line in lines] == result.names
    assert sorted(result.names) == sorted(name.removesuffix(".png") for name in names)
    for metric, scores in result.scores.items():
        assert [float(line[metric]) for line in lines] == pytest.approx(scores, rel=1e-5)

    def no_constants(word: str) -> Any:
        raise AssertionError(word)

    loaded = json.loads((tmp_path / "out" / "evaluation.json").read_text(encoding="utf-8"), parse_constant=no_constants)
    assert loaded["n"] == 3
    assert loaded["model"] == str(tmp_path / "made")


def test_pictures_of_an_earlier_evaluation_go(tmp_path: Path) -> None:
    out = tmp_path / "out"
    for count in (6, 2):
        target = write_images(tmp_path / f"{count}", *(f"{index}.png" for index in range(count)))
        result = evaluate_folders(copy_of(target), target, metrics=["l1"], out=out, quiet=True)
        there = {f"panels/{file.name}" for file in (out / "panels").iterdir()}
        assert there == {file for panel in result.panels for file in (panel.generated, panel.target)}
        assert len(there) == 2 * count


def test_an_output_that_cannot_be_written_is_found_before_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = write_images(tmp_path / "target", "a.png")
    (tmp_path / "out").write_text("a file")
    monkeypatch.setattr(images, "examine", lambda *_: pytest.fail("an image was read"))
    with pytest.raises(UserError, match="out"):
        evaluate_folders(copy_of(target), target, out=tmp_path / "out", quiet=True)


# ---- the result itself --------------------------------------------------------------------------------------------------


def result_of(scores: list[float], better: str = "lower") -> Evaluation:
    row = Row("m", "M", "", better, float(np.mean(scores)), np.nan, np.inf, len(scores))
    return Evaluation([row], Facts("test"), scores={"m": scores}, names=[str(index) for index in range(len(scores))])


@pytest.mark.parametrize(
    ("better", "worst", "best"), [("lower", ["2", "0", "3"], ["4", "1", "3"]), ("higher", ["2", "4", "1"], ["0", "3", "1"])]
)
def test_extremes_and_scores_that_are_no_number(better: str, worst: list[str], best: list[str]) -> None:
    result = result_of([5.0, 2.0, float("nan"), 3.0, 1.0], better)
    assert result.extremes("m") == (worst, best)
    assert (result.about["worst"], result.about["best"]) == (worst, best)


def test_json_has_no_word_for_what_is_not_finite() -> None:
    (row,) = result_of([1.0, 2.0]).to_dict()["rows"]
    assert (row["value"], row["low"], row["high"]) == (1.5, None, None)
    json.dumps(result_of([float("inf")]).to_dict(), allow_nan=False)


def test_the_table_lines_up() -> None:
    row = Row("psnr", "PSNR", "dB", "higher", 21.5, 20.0, 23.0, 4, {"source copied": 9.0})
    other = Row("fid", "FID", "", "lower", 30.0, None, None, 4)
    lines = Evaluation([row, other], Facts(), names=["a"]).table().splitlines()
    assert lines[0].split() == ["metric", "value", "95", "%", "interval", "source", "copied", "better"]
    assert lines[1].split() == ["PSNR", "(dB)", "21.5000", "[20.0000,", "23.0000]", "9.0000", "higher"]
    assert lines[2].split() == ["FID", "30.0000", "-", "-", "lower"]
    assert lines[0].index("value") == lines[1].index("21.5") == lines[2].index("30.0")


def test_skipped_metrics_and_cautions_stand_below_the_table() -> None:
    rows = [
        Row("l1", "L1", "", "lower", 0.1, 0.09, 0.11, 4, {"target itself": 0.0}),
        Row("random_frechet", "Fréchet", "", "lower", 3.0, None, None, 4, caution="of 4 images"),
        *(Row(name, name.upper(), "", "lower", None, None, None, 0, skipped="no weights") for name in ("fid", "kid")),
    ]
    lines = Evaluation(rows, Facts(), names=["a"]).table().splitlines()
    assert len(lines) == 5
    assert lines[2].startswith("Fréchet *")
    assert lines[3:] == ["* Fréchet: of 4 images", "skipped: FID, KID: no weights"]


# ---- c21: what is broken is named together -----------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["paired", "unpaired", "statistics"])
def test_c21_all_broken_files_are_named_together(tmp_path: Path, way: str) -> None:
    target = write_images(tmp_path / "target", *(f"{number}.png" for number in range(9)))
    made = near(tmp_path / "made", target)
    (made / "2.png").write_bytes(b"")
    for number in (4, 5, 6, 8):
        (made / f"{number}.png").write_bytes((target / f"{number}.png").read_bytes()[:-200])
    with pytest.raises(UserError) as caught:
        if way == "statistics":
            statistics_of(made, "random", quiet=True)
        else:
            evaluate_folders(made, target, metrics=["random_frechet"], unpaired=way == "unpaired", quiet=True)
    what = {"paired": "pairs", "unpaired": "generated images", "statistics": "images"}[way]
    lines = str(caught.value).splitlines() if len(caught.value.args) == 1 else list(caught.value.args)
    assert lines[0] == f"5 of 9 {what} cannot be used:"
    assert f"{made / '2.png'} is empty" in lines[1]
    assert f"{made / '4.png'} is a damaged" in lines[2] and lines[2].endswith(f"likewise {made / '5.png'}, {made / '6.png'} and 1 more")
    assert lines[3:] == [f"repair these files, or move them{' (with their partners)' * (way == 'paired')} out of their folders"]


def test_c21_a_single_broken_file_has_its_own_sentence(tmp_path: Path) -> None:
    made = write_images(tmp_path / "made", *NAMES)
    (made / "b.png").write_bytes(b"")
    with pytest.raises(UserError, match=rf"^{made / 'b.png'} is empty"):
        statistics_of(made, "random", quiet=True)


def test_a_single_image_has_no_interval_and_a_reason_does_not_repeat_its_label(tmp_path: Path) -> None:
    target = write_images(tmp_path / "target", *NAMES[:2])
    made = near(tmp_path / "made", target)
    several = evaluate_folders(made, target, metrics=["l1"], quiet=True).rows[0]
    assert several.low is not None and several.high is not None and several.low < several.high
    for folder in (target, made):
        (folder / "b.png").unlink()
    result = evaluate_folders(made, target, metrics=["l1", "dependence", "random_frechet"], quiet=True)
    assert [(row.n, row.low, row.high) for row in result.rows if not row.skipped] == [(1, None, None)]
    table = result.table()
    assert "[" not in table
    assert table.splitlines()[-2:] == [
        "skipped: Dependence on the input: compares images with each other, and here is 1",
        "skipped: Fréchet, random features: compares sets of at least 2 images, and here is 1",
    ]
    assert json.loads(json.dumps(result.to_dict()))["rows"][0]["low"] is None
