"""Validation pairs that cannot be read any more once training has begun, or of which nothing counts."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.tiny import noise_image
from tests.training.runs import log_entries
from transfigure.data import images
from transfigure.data.open import open_data, resolve_data
from transfigure.errors import UserError
from transfigure.recipe import Recipe
from transfigure.training import trainer
from transfigure.training.trainer import train
from transfigure.training.validation import Validation


def recipe(place: Path, epochs: int = 2) -> Recipe:
    for split, count in (("train", 4), ("val", 3)):
        for side in "AB":
            for number in range(count):
                array = np.random.default_rng([number, ord(side), count]).random((16, 16, 1), np.float32)
                images.write(place / split / side / f"{number}.tif", array)
    return Recipe.load(
        "pix2pix",
        {
            **{"data.path": str(place), "data.load_size": 16, "data.crop_size": 16, "data.cache_gb": 0},
            **{"generator.depth": 4, "generator.width": 4, "discriminator.width": 4, "discriminator.receptive_field": 16},
            **{"training.epochs": epochs, "training.accelerator": "cpu", "training.schedule": "constant", "training.preview_count": 3},
        },
    )


def bad(place: Path, name: str) -> None:
    images.write(place / "val" / "B" / name, np.full((16, 16, 1), 1.5, np.float32))


def test_c36_a_bad_float_among_the_validation_images_is_found_before_training(tmp_path: Path) -> None:
    given = recipe(tmp_path / "data")
    bad(tmp_path / "data", "1.tif")
    with pytest.raises(UserError, match=r"1 of 7 pairs cannot be used:\n.*val/B/1\.tif holds values from 1\.5 to 1\.5"):
        train(given, tmp_path / "run", quiet=True)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("broken", [1, 3], ids=["one", "all"])
def test_c36_what_turns_up_later_is_a_note_and_training_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], broken: int
) -> None:
    given = recipe(tmp_path / "data")
    opened = trainer.open_data

    def spoilt(*args: object, **keys: object) -> object:
        data = opened(*args, **keys)  # type: ignore[arg-type]
        for number in range(broken):
            bad(tmp_path / "data", f"{number}.tif")
        return data

    monkeypatch.setattr(trainer, "open_data", spoilt)
    run = train(given, tmp_path / "run")
    said = capsys.readouterr().err
    assert said.count("note: a validation pair is left out: ") == broken and "0.tif holds values from 1.5 to 1.5" in said
    assert said.count("note: there is no preview of") == broken
    values = [entry["metrics"]["l1"] for entry in log_entries(run, "validation")]
    assert len(values) == 2
    assert all((value is None or math.isnan(value)) == (broken == 3) for value in values)
    assert (run / "model" / "config.json").is_file()


def test_pairs_of_which_nothing_counts_have_no_score_and_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for split, count in (("train", 2), ("val", 2)):
        for number in range(count):
            for side in "AB":
                images.write(tmp_path / f"{split}{side}" / f"{number}.png", noise_image(16, 16, seed=number + ord(side)))
            mask = np.zeros((16, 16, 1), np.uint8)
            mask[:4] = number
            images.write(tmp_path / f"{split}mask" / f"{number}.png", mask)
    given = {"path": str(tmp_path), "load_size": 16, "crop_size": 16, "mask": "mask", "cache_gb": 0}
    tree = {"data": given, "generator": {"name": "unet", "depth": 4}, "objective": {"terms": ["l1"]}}
    data = open_data(resolve_data(Recipe.from_dict(tree).data), quiet=True)
    validation = Validation(data, "l1", torch.device("cpu"))
    first = data.val[1]
    scores = validation.run(torch.nn.Identity())
    assert scores["l1"] == pytest.approx((first.source - first.target)[:, :4].abs().mean().item() / 2, rel=1e-5)
    assert capsys.readouterr().err.count("1 of 2 validation pairs have nothing that counts and no score: 0") == 1
    validation.run(torch.nn.Identity())
    assert "nothing that counts" not in capsys.readouterr().err
