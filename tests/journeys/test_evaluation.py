"""Evaluation as it is typed: options, requirements, weights, stored statistics, unpaired sets, and bad input in one sentence each."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import numpy as np
import pytest

from tests.journeys.commands import done, refused, type_in
from tests.tiny import noise_image
from transfigure.data import images
from transfigure.worlds.facades.dataset import draw_scene, render

COUNT, SIZE = 6, 32
FREE = "l1,psnr,ssim,ms_ssim,random_frechet,lab_histogram,dependence"


@pytest.fixture
def sets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Folders ``made``, ``real`` and ``labels`` of drawn facades, and no weights anywhere."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.delenv("TRANSFIGURE_WEIGHTS", raising=False)
    for index in range(COUNT):
        scene = draw_scene(0, index)
        photo = render(scene, "day", SIZE)
        noise = np.random.default_rng(index).integers(-20, 21, photo.shape)
        for folder, picture in (("real", photo), ("labels", render(scene, "labels", SIZE)), ("made", (photo + noise).clip(0, 255))):
            images.write(tmp_path / folder / f"{index}.png", picture.astype(np.uint8))
    return tmp_path


def test_what_is_absent_is_skipped_with_the_file_and_the_place(sets: Path, capsys: pytest.CaptureFixture[str]) -> None:
    printed = done(capsys, "transfigure evaluate --generated made --target real --source labels --quiet")
    skipped = next(line for line in printed.splitlines() if line.startswith("skipped: ") and "FID" in line)
    assert "pt_inception-2015-12-05-6726825d.pth" in skipped
    assert str(sets / "torch" / "hub" / "checkpoints") in skipped
    assert "transfigure weights get inception" in skipped
    assert "KID" in skipped
    for words in ("'alexnet' and 'lpips_alex'", "transfigure weights get vgg16 dists", "--segmenter", "target itself", "source copied"):
        assert words in printed


@pytest.mark.parametrize("name", ["fid", "kid", "prdc", "lpips", "dists", "fcn_score", "diversity"])
def test_what_is_required_and_absent_ends_with_3(sets: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    said = refused(capsys, f"transfigure evaluate --generated made --target real --metrics l1 --require {name} --quiet", code=3)
    assert said.startswith(f"{name} is required: ")
    done(capsys, f"transfigure evaluate --generated made --target real --metrics {name} --quiet")


def test_what_is_asked_for_and_skipped_is_said_in_place_of_an_empty_table(sets: Path, capsys: pytest.CaptureFixture[str]) -> None:
    printed = done(capsys, "transfigure evaluate --generated made --target real --metrics fid,lpips --quiet").splitlines()
    assert printed[1] == "none of the metrics could be computed (with --require METRIC that is an error, exit code 3):"
    assert [line.split(" ")[0] for line in printed[2:]] == ["skipped:", "skipped:"]
    printed_too = done(capsys, "transfigure evaluate --generated made --target real --metrics fid,l1 --quiet")
    assert "none of the metrics" not in printed_too


def test_every_row_says_how_it_was_made(sets: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = json.loads(done(capsys, f"transfigure evaluate --generated made --target real --metrics {FREE} --json --quiet"))["rows"]
    for row in rows:
        assert row["n"] == COUNT
        assert row["low"] <= row["value"] <= row["high"]
        assert row["resize"] and row["checkpoint"] == "files"
        assert "target itself" in row["bounds"]
    frechet = next(row for row in rows if row["metric"] == "random_frechet")
    assert frechet["network"] and frechet["weights"]
    assert "6 images" in frechet["caution"]


def test_statistics_are_stored_and_used_again(sets: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert f"{COUNT} images" in done(capsys, "transfigure statistics real --features random --out real.npz --quiet")
    with np.load("real.npz", allow_pickle=False) as stored:
        assert stored["mu"].shape[0] == stored["sigma"].shape[0] == stored["features"].shape[1]
    line = "transfigure evaluate --generated made --target {} --metrics random_frechet --json --quiet"
    values = [json.loads(done(capsys, line.format(target)))["rows"][0]["value"] for target in ("real.npz", "real", "real --unpaired")]
    assert values[0] == pytest.approx(values[1], rel=1e-4) == pytest.approx(values[2], rel=1e-4)
    assert "must end in .npz" in refused(capsys, "transfigure statistics real --features random --out real --quiet")
    assert "leave it out" in refused(capsys, "transfigure statistics real --features random --resize clean --out real.npz --quiet")
    assert "pt_inception" in refused(capsys, "transfigure statistics real --out real.npz --quiet", code=3)
    skipped = done(capsys, "transfigure evaluate --generated made --target real.npz --metrics l1,random_frechet --quiet")
    assert "skipped: L1: needs pairs" in skipped


def test_unpaired_sets_of_other_lengths_names_and_sizes(sets: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for index in range(3):
        images.write(sets / "other" / f"x{index}.png", noise_image(40, 24 + index, seed=index))
    line = "transfigure evaluate --generated other --target real --source labels --unpaired --metrics random_frechet --json --quiet"
    printed = json.loads(done(capsys, line))
    assert (printed["n"], printed["target_images"]) == (3, COUNT)
    (row,) = printed["rows"]
    assert row["value"] > row["bounds"]["target itself"]
    assert "source copied" in row["bounds"]


def test_options_reach_the_metric(sets: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = "transfigure evaluate --generated made --target real --metrics lab_histogram --json --quiet"
    fine, coarse = (json.loads(done(capsys, f"{line}{more}"))["rows"][0]["value"] for more in ("", " --metric.lab_histogram.bins 4"))
    assert coarse > fine
    assert "did you mean 'bins'" in refused(capsys, f"{line} --metric.lab_histogram.bin 4")
    assert "a whole number" in refused(capsys, f"{line} --metric.lab_histogram.bins few")
    assert "which is not chosen" in refused(capsys, f"{line} --metric.fid.resize clean")


def test_a_report_of_two_folders(sets: Path, capsys: pytest.CaptureFixture[str]) -> None:
    done(capsys, f"transfigure evaluate --generated made --target real --metrics {FREE} --out scores --quiet")
    page = Path(done(capsys, "transfigure report scores").strip()).read_text(encoding="utf-8")
    assert "data:image/png" in page or "data:image/jpeg" in page
    assert len(list((sets / "scores" / "panels").iterdir())) >= 6


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("--generated made --target real --metrics fdi", "no metric named 'fdi' (did you mean 'fid'?)"),
        ("--generated made --target real --weights inception", "is not NAME=FILE"),
        ("--generated made --target real --weights inseption=a.pth", "did you mean 'inception'"),
        ("--generated made --target real --weights inception=a.pth", "a.pth"),
        ("--generated made --target absent.npz", "absent.npz"),
        ("--generated made --target real --unpaired --labels labels", "--labels needs pairs"),
        ("--generated made --target real --unpaired --palette facades", "--palette needs pairs"),
        ("--generated made --target real --unpaired --segmenter a.onnx", "--segmenter needs pairs"),
        ("--generated made --target real --palette facade", "facade"),
        ("--generated made --target real --segmenter absent.safetensors", "absent.safetensors"),
        ("--generated made --target real --palette learn --labels real", "flat colours"),
        ("--generated made --target real --palette facades --metrics l1", "--palette is for the metric fcn_score, which is not chosen"),
    ],
)
def test_bad_words_are_refused_in_a_sentence(sets: Path, capsys: pytest.CaptureFixture[str], line: str, words: str) -> None:
    assert words in refused(capsys, f"transfigure evaluate {line} --quiet")


def test_bad_folders_are_refused_in_a_sentence(sets: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = "transfigure evaluate --generated made --target real --quiet"
    (sets / "made" / "0.png").rename(sets / "elsewhere.png")
    assert "0.png" in refused(capsys, line)
    images.write(sets / "made" / "0.png", noise_image(20, 20))
    said = refused(capsys, line)
    assert "20x20" in said and "made/0.png" in said
    broken = noise_image(SIZE, SIZE, 1, "float32")
    broken[3, 3] = np.nan
    for folder in ("one", "two"):
        images.write(sets / folder / "a.tif", broken)
    assert "not finite" in refused(capsys, "transfigure evaluate --generated one --target two --quiet")


def test_black_images_and_one_image(sets: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("a", "b"):
        for folder in ("black", "also_black"):
            images.write(sets / folder / f"{name}.png", np.zeros((SIZE, SIZE, 3), np.uint8))
    printed = done(capsys, "transfigure evaluate --generated black --target also_black --quiet")
    assert "nan" not in printed.lower()
    for folder in ("single", "copy"):
        images.write(sets / folder / "a.png", noise_image(SIZE, SIZE))
    printed = done(capsys, "transfigure evaluate --generated single --target copy --quiet")
    assert "nan" not in printed.lower()
    assert "at least 2" in printed


def test_weights_are_listed_and_nothing_is_fetched(sets: Path, capsys: pytest.CaptureFixture[str]) -> None:
    printed = done(capsys, "transfigure weights list")
    assert done(capsys, "transfigure weights") == printed
    for words in ("inception", "pt_inception-2015-12-05-6726825d.pth: not here", "looked for in:", "transfigure weights get NAME"):
        assert words in printed
    listed = json.loads(done(capsys, "transfigure weights list --json"))
    assert {row["name"] for row in listed} >= {"inception", "alexnet", "vgg16", "squeezenet", "lpips_alex", "dists"}
    assert all(len(row["sha256"]) == 64 for row in listed)
    assert "did you mean 'inception'" in refused(capsys, "transfigure weights get inceptoin")
    assert "no weights are named" in refused(capsys, "transfigure weights get")
    assert not (sets / "torch").exists()


def test_help_names_the_new_flags(capsys: pytest.CaptureFixture[str]) -> None:
    printed = type_in(capsys, "transfigure evaluate --help").out
    for flag in shlex.split("--require --segmenter --palette --weights --unpaired --labels --metric.NAME.OPTION"):
        assert flag in printed
