"""Pairs that cannot be scored are refused by every reader in the words of training, all together and before anything is scored."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from transfigure.data import images
from transfigure.errors import UserError
from transfigure.evaluation.evaluate import evaluate
from transfigure.studies.preservation.analyze import AnalysisOptions, analyze
from transfigure.translation.translator import Translator

from .examples import SIZE, model_on, smooth, two_folders


def read_by(reader: str, translator: Translator, place: Path | None, **overrides: Any) -> Any:
    if reader == "evaluate":
        return evaluate(translator, place, metrics=["l1"], overrides=overrides)
    return analyze(translator, place, overrides=overrides, options=AnalysisOptions(limit=8))


def tag(path: Path, orientation: int) -> None:
    """Give a PNG an orientation tag; its stored pixels stay."""
    exif = Image.Exif()
    exif[274] = orientation
    with Image.open(path) as image:
        image.load()
        image.save(path, exif=exif)


@pytest.mark.parametrize("reader", ["evaluate", "analyze"])
@pytest.mark.parametrize(("source", "target"), [((64, 64), (64, 63)), ((32, 32), (64, 64)), ((32, 64), (64, 32))])
def test_c20_pairs_of_two_sizes_are_not_scored(tmp_path: Path, reader: str, source: Any, target: Any) -> None:
    translator = model_on(two_folders(tmp_path / "trained"))
    place = two_folders(tmp_path / "other")
    for index in (1, 2):
        images.write(place / "testA" / f"{index}.png", smooth(*source, 3, "uint8", 1))
        images.write(place / "testB" / f"{index}.png", smooth(*target, 3, "uint8", 2))
    with pytest.raises(UserError, match=r"2 of 4 pairs cannot be used:\n  .*both pictures of a pair must have one size") as caught:
        read_by(reader, translator, place)
    assert caught.value.exit_code == 2
    assert str(caught.value).count("must have one size") == 1, "the reason once"
    assert str(place / "testA" / "1.png") in str(caught.value) and str(place / "testA" / "2.png") in str(caught.value)
    assert "--data.on_error skip" in str(caught.value)


@pytest.mark.parametrize("reader", ["evaluate", "analyze"])
def test_c20_they_are_left_out_or_resized_where_that_is_asked_for(tmp_path: Path, reader: str, capsys: pytest.CaptureFixture[str]) -> None:
    translator = model_on(two_folders(tmp_path / "trained"))
    place = two_folders(tmp_path / "other")
    images.write(place / "testB" / "1.png", smooth(SIZE, SIZE - 1, 3, "uint8", 2))
    read_by(reader, translator, place, **{"data.on_error": "skip"})
    assert "1 test pair cannot be used and is left out (data.on_error skip; 3 are used), such as 1: " in capsys.readouterr().err
    read_by(reader, translator, place, **{"data.fit": "resize"})
    assert "1 of 4 pairs are of two sizes: each target is resized to its source's size, 1 (from 31x32 to 32x32)" in capsys.readouterr().err


@pytest.mark.parametrize("reader", ["evaluate", "analyze"])
def test_c08_an_orientation_tag_on_one_picture_of_an_oblong_pair(tmp_path: Path, reader: str) -> None:
    translator = model_on(two_folders(tmp_path / "trained"))
    place = two_folders(tmp_path / "other")
    for side in "AB":
        images.write(place / f"test{side}" / "1.png", smooth(32, 48, 3, "uint8", 1))
    tag(place / "testB" / "1.png", 6)
    with pytest.raises(UserError, match=r"orientation tags differ: none in .*, 6 \(turned by 90 degrees clockwise\).*orientation ignore"):
        read_by(reader, translator, place)
    read_by(reader, translator, place, **{"data.orientation": "ignore"})


@pytest.mark.parametrize("reader", ["evaluate", "analyze"])
def test_c08_an_orientation_tag_on_one_picture_of_a_square_pair(tmp_path: Path, reader: str, capsys: pytest.CaptureFixture[str]) -> None:
    translator = model_on(two_folders(tmp_path / "trained"))
    place = two_folders(tmp_path / "other")
    tag(place / "testB" / "1.png", 6)
    read_by(reader, translator, place)
    assert "1 of 4 pairs have different orientation tags in their two pictures" in capsys.readouterr().err
    read_by(reader, translator, place, **{"data.orientation": "ignore"})
    assert "orientation tags" not in capsys.readouterr().err


def test_c36_every_unusable_test_pair_is_named_before_anything_is_scored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = two_folders(tmp_path / "data")
    for side in ("trainA", "trainB", "testA", "testB"):
        for file in list((place / side).iterdir()):
            images.write(file.with_suffix(".tif"), images.read(file).astype(np.float32) / 255)
            file.unlink()
    translator = model_on(place)
    for index in (1, 3):
        pixels = images.read(place / "testB" / f"{index}.tif").copy()
        pixels[0, 0, 0] = np.nan
        images.write(place / "testB" / f"{index}.tif", pixels)
    monkeypatch.setattr(Translator, "translate_tensor", lambda *_: pytest.fail("scored"))
    with pytest.raises(UserError, match=r"(?s)2 of 4 pairs .*testB/1\.tif holds 1 values.*; likewise .*testB/3\.tif\n.*on_error skip"):
        evaluate(translator, None, metrics=["l1"])
    monkeypatch.undo()
    assert evaluate(translator, None, metrics=["l1"], overrides={"data.on_error": "skip"}).names == ["0", "2"]
