"""Colour for grey photos: trained from a folder, scored and shown as the photos that are made with the lightness of the input."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from transfigure.data import images
from transfigure.data.encodings.lab import lab_of_file
from transfigure.errors import UserError
from transfigure.evaluation.evaluate import evaluate
from transfigure.recipe import Recipe
from transfigure.training.trainer import train
from transfigure.translation.translator import Translator
from transfigure.worlds.facades.dataset import draw_scene, render

SIDE = 32
SMALL = {
    "data.load_size": SIDE, "data.crop_size": SIDE, "data.cache_gb": 0, "generator.width": 2, "discriminator.width": 2,
    "discriminator.receptive_field": 16, "training.epochs": 1, "training.preview_count": 1,
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photos in sub-folders, one of them grey."""
    place = tmp_path_factory.mktemp("photos")
    for at in range(10):
        photo = render(draw_scene(0, at), "day", SIDE)
        images.write(place / ("trip" if at % 2 else "home") / f"{at}.png", photo[..., :1] if at == 3 else photo)
    return place


@pytest.fixture(scope="module")
def run(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(Recipe.load("colorize", {"data.path": str(folder), **SMALL}), tmp_path_factory.mktemp("run") / "run", quiet=True)


def test_the_recipe_needs_a_folder_only(run: Path) -> None:
    config = Translator.load(run).config
    assert (config.source.encoding, config.source.channels, config.target.encoding, config.target.channels) == ("L", 1, "ab", 2)
    assert config.target.file_channels == 3 and config.source.names == () == config.target.names
    assert "L of uint8 photos -> ab of uint8 photos" in repr(Translator.load(run))
    assert "turns a grey or colour 8-bit image into a colour 8-bit image" in (run / "model" / "README.md").read_text()
    fixed = images.read(run / "samples" / "fixed" / "0_target.png")
    assert fixed.shape == (SIDE, SIDE, 3) and images.read(run / "samples" / "fixed" / "0_source.png").shape == (SIDE, SIDE, 1)
    made = images.read(next((run / "samples").glob("0*/0.png")))
    assert np.abs(lab_of_file(made, part="L") - lab_of_file(fixed, part="L")).max() < 1


@pytest.mark.parametrize(("dtype", "channels"), [("uint8", 1), ("uint8", 3), ("uint16", 1), ("uint16", 3)])
def test_an_output_has_the_lightness_size_and_depth_of_its_input(run: Path, tmp_path: Path, dtype: str, channels: int) -> None:
    photo: NDArray[np.generic] = render(draw_scene(0, 7), "day", 75)[:51]
    photo = photo[..., :channels].astype(dtype) * (257 if dtype == "uint16" else 1)
    images.write(tmp_path / "in.png", photo)
    translator = Translator.load(run)
    translator.translate_file(tmp_path / "in.png", tmp_path / "out.png")
    made = images.read(tmp_path / "out.png")
    assert made.shape == (51, 75, 3) and made.dtype == np.dtype(dtype)
    away = np.abs(lab_of_file(made, part="L") - lab_of_file(photo, part="L"))
    assert away.max() < (1 if dtype == "uint8" else 0.02)
    assert np.abs(lab_of_file(made, part="ab")).max() > 1, "it has colour"
    assert np.array_equal(translator(photo), made)
    translator.translate_folder(tmp_path, tmp_path.parent / f"out_{dtype}_{channels}")
    assert np.array_equal(images.read(tmp_path.parent / f"out_{dtype}_{channels}" / "in.png"), made)
    if dtype == "uint8":
        assert np.array_equal(np.array(translator(Image.open(tmp_path / "in.png"))), made)


def test_a_photo_of_floats_is_said_to_lose_its_depth(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    images.write(tmp_path / "in.tif", np.random.default_rng(0).random((20, 20, 1)).astype(np.float32))
    Translator.load(run).translate_file(tmp_path / "in.tif", tmp_path / "out.tif")
    assert "photos of float32 are written as uint8" in capsys.readouterr().err and images.read(tmp_path / "out.tif").dtype == np.uint8


def test_scores_are_those_of_the_photos_that_are_written(run: Path, folder: Path, tmp_path: Path) -> None:
    result = evaluate(run, split="train", metrics=["l1", "psnr", "lab_histogram"], out=tmp_path / "scores", quiet=True)
    scores = {row.metric: row for row in result.rows}
    translator = Translator.load(run)
    errors, grey = [], []
    for name in result.names:
        photo = images.read(next(folder.rglob(f"{Path(name).name}.png")))
        photo = np.repeat(photo, 3, axis=2) if photo.shape[2] == 1 else photo
        made = translator(photo)
        errors.append(np.abs(made.astype(float) - photo).mean() / 255)
        lightness = translator.config.source.to_encoding().decode(translator.to_tensor(photo))
        grey.append(np.abs(lightness.astype(float) - photo).mean() / 255)
    assert scores["l1"].value == pytest.approx(np.mean(errors), abs=2e-3)
    assert scores["l1"].bounds["source copied"] == pytest.approx(np.mean(grey), abs=2e-3), "a grey copy"
    assert scores["l1"].bounds["mean training target"] is not None and scores["lab_histogram_a"].value is not None
    panel = result.panels[0]
    assert panel.generated is not None and images.read(tmp_path / "scores" / panel.generated).shape == (SIDE, SIDE, 3)


def test_half_of_pairs_side_by_side_are_photos_too(tmp_path: Path) -> None:
    for at in range(4):
        both = np.concatenate([render(draw_scene(0, at), look, SIDE) for look in ("day", "labels")], axis=1)
        images.write(tmp_path / "pairs" / f"{at}.png", both)
    more = {"data.path": str(tmp_path / "pairs"), "data.half": "left", "data.val_fraction": 0, "data.test_fraction": 0}
    run = train(Recipe.load("colorize", {**SMALL, **more}), tmp_path / "run", quiet=True)
    target = images.read(run / "samples" / "fixed" / "0_target.png")
    assert np.abs(target.astype(int) - render(draw_scene(0, 0), "day", SIDE)).max() <= 1


def test_what_does_not_go_together_is_refused() -> None:
    with pytest.raises(UserError, match=r"data\.source_classes lists classes, and data\.source_encoding is values"):
        Recipe.load("pix2pix", {"data.path": "x", "data.source_classes": [0, 1]})
    with pytest.raises(UserError, match=r"set data\.source_encoding L, too"):
        Recipe.load("pix2pix", {"data.path": "x", "data.target_encoding": "ab"})
