"""What is said beside the scores, and stands in evaluation.json and on the page: ranges that are not the images', and JPEG."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.evaluation.examples import model_on
from tests.tiny import noise_image, write_images
from transfigure.cli.main import main
from transfigure.data import images
from transfigure.errors import UserError
from transfigure.evaluation.evaluate import evaluate
from transfigure.evaluation.folders import evaluate_folders, statistics_of
from transfigure.evaluation.schema import EvaluationRecord
from transfigure.evaluation.segmenter_training import SegmenterOptions, train_segmenter
from transfigure.networks.model_file import Domain
from transfigure.studies.preservation import analyze as analysis


def camera(folder: Path, count: int = 4, size: int = 24, noise: float = 0) -> Path:
    """Twelve-bit values in 16-bit files."""
    for number in range(count):
        rng = np.random.default_rng(number)
        values = rng.integers(0, 4096, (size, size, 1))
        values = (values + rng.normal(0, noise, values.shape)).clip(0, 4095).astype(np.uint16)
        values[0, :2, 0] = 0, 4095
        images.write(folder / f"{number}.png", values)
    return folder


def psnr(result: Any) -> float:
    return next(row.value for row in result.rows if row.metric == "psnr")


def test_c53_twelve_bit_values_are_noted_and_the_right_range_gives_the_right_score(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target, made = camera(tmp_path / "target"), camera(tmp_path / "made", noise=400)
    wrong = evaluate_folders(made, target, metrics=["psnr"], out=tmp_path / "out")
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("note: ")]
    assert said == [f"note: {note}" for note in wrong.about.notes]
    assert wrong.about.notes == [
        "the 16-bit generated images use only the values 0 to 4095 of 65535 and the 16-bit targets use only the values 0 to 4095 of 65535, "
        "and will look dark, so that PSNR, SSIM and L1 come out far too good: give the range that should become black and white, "
        "--value_range 0 4095"
    ]
    right = evaluate_folders(made, target, metrics=["psnr"], value_range=(0, 4095))
    assert right.about.notes == [] and "note:" not in capsys.readouterr().err
    assert psnr(wrong) - psnr(right) == pytest.approx(20 * np.log10(65535 / 4095), abs=1e-3)  # 24 dB that were not there
    errors = [np.mean(((images.read(made / f"{n}.png").astype(float) - images.read(target / f"{n}.png")) / 4095) ** 2) for n in range(4)]
    assert psnr(right) == pytest.approx(np.mean([-10 * np.log10(error) for error in errors]), abs=1e-4)


def test_c53_the_note_stands_in_the_file_and_on_the_page(tmp_path: Path) -> None:
    target, made = camera(tmp_path / "target"), camera(tmp_path / "made", noise=400)
    result = evaluate_folders(made, target, metrics=["psnr"], out=tmp_path / "out", quiet=True)
    assert json.loads((tmp_path / "out" / "evaluation.json").read_text())["notes"] == result.about.notes
    assert EvaluationRecord.read(tmp_path / "out").about.notes == result.about.notes
    assert main(["report", str(tmp_path / "out")]) == 0
    page = (tmp_path / "out" / "report.html").read_text()
    assert "Read with care:" in page and "use only the values 0 to 4095 of 65535" in page


def test_c53_sets_statistics_models_and_analyses_say_it_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    target, made = camera(tmp_path / "target"), camera(tmp_path / "made", noise=400)
    sets = evaluate_folders(made, target, unpaired=True, metrics=["random_frechet"])
    assert any("16-bit targets use only the values 0 to 4095" in note for note in sets.about.notes)
    statistics_of(target, "random")
    assert "note: the 16-bit images use only the values 0 to 4095 of 65535 and will look dark: give" in capsys.readouterr().err
    kind = Domain(1, "uint16")
    for split, count in (("train", 4), ("test", 4)):
        for side in "AB":
            camera(tmp_path / "pairs" / f"{split}{side}", count)
    translator = model_on(tmp_path / "pairs", kind, kind)
    result = evaluate(translator, metrics=["l1"])
    (sources, targets) = result.about.notes
    assert "source pictures use only the values 0 to 4095 of 65535 and will look dark: " in sources
    assert "--data.target_range '[0, 4095]', in training" in targets and "come out far too good" in targets
    capsys.readouterr()

    def stop(*images: Any, **options: Any) -> None:
        raise UserError("what is measured is of no account here")

    monkeypatch.setattr(analysis, "measures", stop)
    with pytest.raises(UserError, match="of no account"):
        analysis.analyze(translator, options=analysis.AnalysisOptions(limit=4))
    assert capsys.readouterr().err.count("use only the values 0 to 4095") == 2
    ranged = model_on(tmp_path / "pairs", kind, kind, {"data.source_range": [0, 4095], "data.target_range": [0, 4095]})
    assert evaluate(ranged, metrics=["l1"], quiet=True).about.notes == []


def test_c53_the_segmenter_says_it_of_its_photos(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for split in ("train", "test"):
        camera(tmp_path / f"{split}A", 4, 32)
        for number in range(4):
            labels = np.zeros((32, 32, 3), np.uint8)
            labels[:, 16:] = (255, 0, 0)
            images.write(tmp_path / f"{split}B" / f"{number}.png", labels)
    train_segmenter(tmp_path, tmp_path / "s.safetensors", SegmenterOptions(photos="A", size=32, epochs=1, width=4))
    said = capsys.readouterr().err
    assert "the 16-bit photos use only the values 0 to 4095 of 65535" in said and "--data.source_range '[0, 4095]'" in said


def test_c34_a_range_that_clips_is_said_with_the_scores(tmp_path: Path) -> None:
    target, made = camera(tmp_path / "target"), camera(tmp_path / "made", noise=400)
    notes = evaluate_folders(made, target, metrics=["psnr"], value_range=(0, 1000), quiet=True).about.notes
    assert len(notes) == 1 and notes[0].count(" of the values of the 16-bit ") == notes[0].count("are clipped (") == 2
    assert notes[0].endswith(": give the range that should become black and white, --value_range 0 4095")


@pytest.mark.parametrize(
    ("made", "target", "said"), [("jpg", "png", True), ("jpg", "jpg", False), ("png", "jpg", False), ("png", "png", False)]
)
@pytest.mark.parametrize("unpaired", [False, True])
def test_c46_jpeg_against_png_is_remarked(tmp_path: Path, made: str, target: str, said: bool, unpaired: bool) -> None:
    for side, suffix in (("made", made), ("target", target)):
        write_images(tmp_path / side, *(f"{number}.{suffix}" for number in range(3)))
    metric = "random_frechet" if unpaired else "l1"
    notes = evaluate_folders(tmp_path / "made", tmp_path / "target", metrics=[metric], unpaired=unpaired, quiet=True).about.notes
    remark = "3 of 3 generated images are JPEG files, and 3 of 3 targets are not: what JPEG loses counts against the generated images"
    assert [note.startswith(remark) for note in notes if "generated images are JPEG" in note] == [True] * said


@pytest.mark.parametrize("unpaired", [False, True])
def test_c46_jpeg_targets_are_remarked(tmp_path: Path, unpaired: bool) -> None:
    write_images(tmp_path / "made", "0.png", "1.png")
    write_images(tmp_path / "target", "0.jpg", "1.jpg")
    metric = "random_frechet" if unpaired else "l1"
    (note,) = evaluate_folders(tmp_path / "made", tmp_path / "target", metrics=[metric], unpaired=unpaired, quiet=True).about.notes
    assert note == (
        "2 of 2 targets are JPEG files, and 2 of 2 generated images are not: what JPEG loses is what the generated images are held "
        "against, so take the targets' originals if there are any"
    )


@pytest.mark.parametrize(("lossless", "said"), [(False, ["2 of 2 generated images are lossy WebP files"]), (True, [])])
def test_c46_lossy_webp_is_remarked(tmp_path: Path, lossless: bool, said: list[str]) -> None:
    write_images(tmp_path / "target", "0.png", "1.png")
    (tmp_path / "made").mkdir()
    for number in range(2):
        with Image.open(tmp_path / "target" / f"{number}.png") as image:
            image.save(tmp_path / "made" / f"{number}.webp", lossless=lossless, icc_profile=b"a profile" * 9)
    notes = evaluate_folders(tmp_path / "made", tmp_path / "target", metrics=["l1"], quiet=True).about.notes
    assert [note.partition(", and 2 of 2 targets are not")[0] for note in notes] == said


def grey_files(folder: Path, top: int, dtype: str = "uint8", count: int = 3) -> Path:
    for number in range(count):
        values = np.random.default_rng(number).integers(0, top + 1, (16, 16, 1)).astype(dtype)
        values[0, :2, 0] = 0, top
        images.write(folder / f"{number}.png", values)
    return folder


def test_c01_c53_one_range_that_fits_both_sides_is_named(tmp_path: Path) -> None:
    made, target = grey_files(tmp_path / "made", 1), grey_files(tmp_path / "target", 5)
    (note,) = evaluate_folders(made, target, metrics=["l1"], quiet=True).about.notes
    assert "generated images use only the values 0 to 1 of 255 and the 8-bit targets use only the values 0 to 5 of 255" in note
    assert note.count("--value_range") == 1 and note.endswith("--value_range 0 5")
    deep = grey_files(tmp_path / "deep", 4000, "uint16"), grey_files(tmp_path / "part", 1000, "uint16")
    (note,) = evaluate_folders(*deep, metrics=["l1"], quiet=True).about.notes
    assert note.endswith("--value_range 0 4095")


def test_c01_no_range_is_named_where_none_fits_both(tmp_path: Path) -> None:
    made, target = grey_files(tmp_path / "made", 255), grey_files(tmp_path / "target", 1)
    (note,) = evaluate_folders(made, target, metrics=["l1"], quiet=True).about.notes
    assert "the 8-bit targets use only the values 0 to 1 of 255" in note and "--value_range" not in note
    assert note.endswith(", and the others do not: save all with one range")


def test_c53_eight_bit_outputs_of_twelve_bit_targets_are_told_to_have_one_depth(tmp_path: Path) -> None:
    made, target = grey_files(tmp_path / "made", 255), grey_files(tmp_path / "target", 4095, "uint16")
    (note,) = evaluate_folders(made, target, metrics=["l1"], quiet=True).about.notes
    assert "16-bit targets use only the values 0 to 4095" in note and "--value_range" not in note
    assert note.endswith(": save all with one depth, since one range cannot be right for both")


def test_c01_sets_are_not_said_to_have_scores_that_they_have_not(tmp_path: Path) -> None:
    made, target = grey_files(tmp_path / "made", 1), grey_files(tmp_path / "target", 5)
    (note,) = evaluate_folders(made, target, unpaired=True, metrics=["random_frechet"], quiet=True).about.notes
    assert "PSNR" not in note and "will look dark: " in note


def test_c08_an_orientation_tag_on_one_side_is_noted(tmp_path: Path) -> None:
    for side, seed in (("made", 0), ("target", 10)):
        for number in range(2):
            images.write(tmp_path / side / f"{number}.png", noise_image(16, 16, seed=seed + number))
    exif = Image.Exif()
    exif[274] = 6
    with Image.open(tmp_path / "target" / "1.png") as image:
        image.load()
        image.save(tmp_path / "target" / "1.png", exif=exif)
    (note,) = evaluate_folders(tmp_path / "made", tmp_path / "target", metrics=["l1"], quiet=True).about.notes
    assert note.startswith("1 pair of generated image and target has") and "6 (turned by 90 degrees clockwise) in" in note
    assert note.endswith("--ignore-orientation if not")
    assert not evaluate_folders(tmp_path / "made", tmp_path / "target", metrics=["l1"], orientation="ignore", quiet=True).about.notes
