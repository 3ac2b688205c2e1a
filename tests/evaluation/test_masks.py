"""Scores inside a mask: exact where a metric works per pixel, a reason where it does not, and a name for what has no score."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.tiny import noise_image, write_images
from transfigure.cli.main import main
from transfigure.data import images
from transfigure.errors import UserError
from transfigure.evaluation.folders import evaluate_folders

NAMES = ["a.png", "b.png", "c.png"]


def mask_of(top: int, bottom: int, left: int, right: int, value: int = 1) -> np.ndarray:
    mask = np.zeros((40, 48, 1), np.uint8)
    mask[top:bottom, left:right] = value
    return mask


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path, Path]:
    """Generated images, targets, and masks: a rectangle, a small one, and an empty one."""
    generated = write_images(tmp_path / "generated", *NAMES, size=(40, 48))
    for seed, name in enumerate(NAMES):
        images.write(tmp_path / "target" / name, noise_image(40, 48, seed=seed + 10))
    for name, mask in zip(NAMES, (mask_of(3, 27, 8, 40), mask_of(5, 10, 5, 9, value=255), mask_of(0, 0, 0, 0))):
        images.write(tmp_path / "mask" / name, mask)
    return generated, tmp_path / "target", tmp_path / "mask"


def test_c22_scores_are_those_of_the_part_that_counts(folders: tuple[Path, Path, Path], tmp_path: Path) -> None:
    generated, target, mask = folders
    result = evaluate_folders(generated, target, mask=mask, metrics=["l1", "psnr", "ssim", "pearson", "ms_ssim", "random_kid"], quiet=True)
    for name, (rows, columns) in {"a": (slice(3, 27), slice(8, 40)), "b": (slice(5, 10), slice(5, 9))}.items():
        for side in (generated, target):
            images.write(tmp_path / f"cut_{side.name}" / f"{name}.png", images.read(side / f"{name}.png")[rows, columns])
    cut = evaluate_folders(tmp_path / "cut_generated", tmp_path / "cut_target", metrics=["l1", "psnr", "ssim", "pearson"], quiet=True)
    assert result.names == cut.names == ["a", "b"]
    for metric, scores in cut.scores.items():
        wanted = scores if metric != "ssim" else [scores[0], result.scores["ssim"][1]]  # in the small one a window of 3 fits, of 5 high
        assert result.scores[metric] == pytest.approx(wanted, rel=1e-4), metric
    assert {row.metric: row.skipped for row in result.rows if row.skipped} == dict.fromkeys(
        ["ms_ssim", "random_kid"], "it scores whole pictures, and not everything counts in these"
    )
    assert result.about.notes[0] == "1 image has nothing that counts and no score: c"
    assert result.about.counted == pytest.approx((24 * 32 + 5 * 4) / 2 / (40 * 48))


def test_the_command_and_its_file(folders: tuple[Path, Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    generated, target, mask = map(str, folders)
    flags = ["evaluate", "--generated", generated, "--target", target, "--mask", mask, "--metrics", "l1", "--out", str(tmp_path / "out")]
    assert main(flags) == 0
    assert "% of their pixels count" in capsys.readouterr().out
    stored = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    assert stored["mask"] == mask and 0 < stored["counted"] < 1 and stored["n"] == 2
    assert main(["report", str(tmp_path / "out")]) == 0
    assert "of their pixels count" in next((tmp_path / "out").rglob("*.html")).read_text(encoding="utf-8")


def test_masks_that_cannot_be_used_are_refused(folders: tuple[Path, Path, Path], tmp_path: Path) -> None:
    generated, target, mask = folders
    images.write(mask / "b.png", mask_of(0, 9, 0, 9)[:20])
    with pytest.raises(UserError, match=r"b\.png is 48x20 but .*b\.png is 48x40: a mask must have the size"):
        evaluate_folders(generated, target, mask=mask, metrics=["l1"], quiet=True)
    (mask / "b.png").unlink()
    with pytest.raises(UserError, match=r"1 of the images in .* have no partner of the same name in .*mask"):
        evaluate_folders(generated, target, mask=mask, metrics=["l1"], quiet=True)
    with pytest.raises(UserError, match="--mask needs pairs"):
        evaluate_folders(generated, target, mask=mask, unpaired=True, quiet=True)
    for name in NAMES:
        images.write(tmp_path / "none" / name, mask_of(0, 0, 0, 0))
    with pytest.raises(UserError, match="nothing counts in any of the 3 images"):
        evaluate_folders(generated, target, mask=tmp_path / "none", metrics=["l1"], quiet=True)


@pytest.mark.parametrize("dtype", ["uint16", "int32"])
def test_c53_a_deep_container_is_scored_on_the_range_that_is_used(tmp_path: Path, dtype: str) -> None:
    tifffile = pytest.importorskip("tifffile")
    rng = np.random.default_rng(0)
    target = rng.integers(0, 4095, (32, 32)).astype(dtype)
    generated = np.clip(target.astype(np.int64) + rng.integers(-300, 300, target.shape), 0, 4095).astype(dtype)
    for folder, array in (("generated", generated), ("target", target)):
        (tmp_path / folder).mkdir()
        tifffile.imwrite(tmp_path / folder / "a.tif", array)
    wanted = 10 * np.log10(4095**2 / np.square(generated.astype(float) - target).mean())
    result = evaluate_folders(tmp_path / "generated", tmp_path / "target", value_range=(0, 4095), metrics=["psnr"], quiet=True)
    assert result.scores["psnr"] == pytest.approx([wanted], abs=0.01)
    try:
        loose = evaluate_folders(tmp_path / "generated", tmp_path / "target", metrics=["psnr"], quiet=True)
    except UserError as refused:
        assert "give the value range" in str(refused)
    else:
        assert any("--value_range 0 4095" in note for note in loose.about.notes), "without a range there is a note"


@pytest.mark.parametrize("value", [-9999.0, np.nan])
def test_c13_folders_with_no_data_are_scored_where_both_hold_some(tmp_path: Path, value: float) -> None:
    tifffile = pytest.importorskip("tifffile")
    rng = np.random.default_rng(0)
    pictures = {name: rng.random((24, 24), np.float32) for name in ("generated", "target")}
    for name, empty in (("generated", slice(0, 4)), ("target", slice(20, 24))):
        (tmp_path / name).mkdir()
        holed = pictures[name].copy()
        holed[empty] = value
        tifffile.imwrite(tmp_path / name / "a.tif", holed, extratags=[(42113, "s", 0, f"{value:g}", True)])
    result = evaluate_folders(tmp_path / "generated", tmp_path / "target", metrics=["l1"], quiet=True, out=tmp_path / "out")
    wanted = np.abs(pictures["generated"] - pictures["target"])[4:20].mean()
    assert result.scores["l1"] == pytest.approx([wanted], abs=1e-6)
    assert (result.about.mask, result.about.counted) == ("where there is data", pytest.approx(16 / 24))
    shown = images.read(tmp_path / "out" / "panels" / "00_generated.tif")
    assert np.allclose(shown[4:20], pictures["generated"][4:20, :, None]) and len(np.unique(shown[:4])) == 2, "stripes where nothing counts"
    untagged = [tmp_path / "plain" / side for side in ("generated", "target")]
    for folder in untagged:
        folder.mkdir(parents=True)
        holed = pictures[folder.name].copy()
        holed[:4] = value
        tifffile.imwrite(folder / "a.tif", holed)
    told = evaluate_folders(*untagged, metrics=["l1"], quiet=True, no_data="nan" if np.isnan(value) else value)
    assert told.scores["l1"] == pytest.approx([np.abs(pictures["generated"] - pictures["target"])[4:].mean()], abs=1e-6)


@pytest.mark.slow
def test_a_model_is_scored_inside_its_masks(tmp_path: Path) -> None:
    tifffile = pytest.importorskip("tifffile")
    rng = np.random.default_rng(0)
    for number in range(6):
        source = rng.random((32, 32), np.float32)
        target, mask = source * 0.5, np.zeros((32, 32, 1), np.uint8)
        source[:6], target[28:], mask[:, 4:] = -9999, np.nan, 1
        for side, array, tag in (("A", source, "-9999"), ("B", target, "nan")):
            (tmp_path / "data" / side).mkdir(parents=True, exist_ok=True)
            tifffile.imwrite(tmp_path / "data" / side / f"{number}.tif", array, extratags=[(42113, "s", 0, tag, True)])
        images.write(tmp_path / "data" / "mask" / f"{number}.png", mask)
    small = "--generator.width 2 --generator.depth 4 --discriminator.width 2 --discriminator.receptive_field 16 --training.epochs 1"
    size = "--data.load_size null --data.crop_size 32 --data.mask mask --training.accelerator cpu --training.preview_count 1"
    run = str(tmp_path / "run")
    assert main(["train", "pix2pix", str(tmp_path / "data"), "--out", run, "--quiet", *small.split(), *size.split()]) == 0
    assert main(["evaluate", run, "--quiet"]) == 0
    stored = json.loads((tmp_path / "run" / "evaluation" / "evaluation.json").read_text())
    assert stored["mask"] == "mask" and stored["counted"] == pytest.approx(22 * 28 / 32**2)
    assert {row["metric"] for row in stored["rows"] if not row["skipped"]} >= {"l1", "psnr", "ssim", "pearson", "detail"}
    copied = next(row for row in stored["rows"] if row["metric"] == "pearson")["bounds"]["source copied"]
    assert copied == pytest.approx(1, abs=1e-4), "where both hold data, a source is its target but for a factor"
    assert len(np.unique(images.read(next((tmp_path / "run" / "samples").glob("0*/0.tif")))[:6])) == 2
    assert main(["translate", run, str(tmp_path / "data" / "A"), str(tmp_path / "out"), "--quiet"]) == 0
    made = tifffile.imread(tmp_path / "out" / "0.tif")
    assert (made[:6] == -9999).all() and made[6:].min() >= 0
    config = json.loads((tmp_path / "run" / "model" / "config.json").read_text())
    assert config["target"]["no_data"] == "nan" and config["source"]["no_data"] is None
    assert main(["preview", run, "--out", str(tmp_path / "page.html"), "--quiet"]) == 0
    assert "targets have stripes where nothing does" in (tmp_path / "page.html").read_text(encoding="utf-8")
