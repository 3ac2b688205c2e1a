"""Where other metrics, augmentations and trackers go wrong on deep images, and the right values; ``docs/how-to/data.md`` has the table."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from transfigure.data import images
from transfigure.evaluation.folders import evaluate_folders
from transfigure.losses.augment import augment
from transfigure.metrics.distortion import SSIM


def scored(tmp_path: Path, target: NDArray[Any], generated: NDArray[Any], **options: Any) -> tuple[dict[str, float], list[str]]:
    """L1 and PSNR of one image against another, by files; and the notes."""
    for name, array in (("target", target), ("generated", generated)):
        images.write(tmp_path / name / "x.tif", array)
    result = evaluate_folders(tmp_path / "generated", tmp_path / "target", metrics=["l1", "psnr"], quiet=True, **options)
    return {row.metric: row.value for row in result.rows if row.value is not None}, list(result.about.notes)


@pytest.mark.parametrize(
    ("dtype", "top", "too_high"), [("uint16", 4095, 24.1), ("int32", 4095, 126.4), ("uint32", 65535, 96.3), ("int16", 4095, 24.1)]
)
def test_psnr_needs_the_range_that_is_used_and_says_so(tmp_path: Path, dtype: str, top: int, too_high: float) -> None:
    """12 bits in 16 score 24 dB more than they are worth, in 32 bits 120 and more: noted, and right with the range."""
    rng = np.random.default_rng(0)
    target = rng.integers(0, top + 1, (32, 40, 1)).astype(dtype)
    generated = (target.astype(np.int64) + rng.integers(-9, 10, target.shape)).clip(0, top).astype(dtype)
    error = float(((generated.astype(np.float64) - target.astype(np.float64)) ** 2).mean())
    right = 10 * math.log10(top**2 / error)
    by_range, notes = scored(tmp_path, target, generated, value_range=(0.0, float(top)))
    assert by_range["psnr"] == pytest.approx(right, abs=0.01) and notes == []
    of_type, notes = scored(tmp_path, target, generated, overwrite=True)
    assert of_type["psnr"] == pytest.approx(min(right + too_high, 100.0), abs=0.1)
    assert any("far too good" in note and "--value_range" in note for note in notes)


def test_differences_of_bytes_do_not_wrap(tmp_path: Path) -> None:
    """5 - 250 is 11 in 8 bits, which makes white on black a near match."""
    dark, light = np.full((16, 16, 3), 5, np.uint8), np.full((16, 16, 3), 250, np.uint8)
    values, _ = scored(tmp_path, light, dark)
    assert values["l1"] == pytest.approx(245 / 255) and values["psnr"] == pytest.approx(20 * math.log10(255 / 245), abs=1e-4)


def test_the_ssim_of_an_image_does_not_depend_on_its_neighbours() -> None:
    """A range that is taken from the batch does."""
    generator = torch.Generator().manual_seed(0)
    dim, bright = torch.rand(1, 1, 32, 32, generator=generator) * 0.2 - 1, torch.rand(1, 1, 32, 32, generator=generator) * 2 - 1
    alone, beside = SSIM(), SSIM()
    alone.update(dim + 0.02, dim)
    beside.update(torch.cat([dim + 0.02, bright]), torch.cat([dim, bright.flip(3)]))
    assert alone.scores[0] == beside.scores[0]


def test_no_augmentation_clips_what_lies_below_zero() -> None:
    """Values are in [-1, 1] here; libraries that take [0, 1] for granted lose the darker half."""
    torch.manual_seed(0)
    dark = torch.full((64, 3, 8, 8), -0.9)
    changed = augment(dark, ["color", "translation"])
    assert float(changed.min()) < -1 and float((changed < 0).float().mean()) > 0.7
