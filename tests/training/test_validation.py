"""Validation pairs that cannot be read any more once training has begun."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from tests.training.runs import log_entries
from transfigure.data import images
from transfigure.errors import UserError
from transfigure.recipe import Recipe
from transfigure.training import trainer
from transfigure.training.trainer import train


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
