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


def test_scores_are_those_of_the_part_that_counts(folders: tuple[Path, Path, Path], tmp_path: Path) -> None:
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
        ["ms_ssim", "random_kid"], "it scores whole pictures, and here a mask says what counts"
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
def test_a_deep_container_is_scored_on_the_range_that_is_used(tmp_path: Path, dtype: str) -> None:
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
