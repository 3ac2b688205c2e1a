"""Pairs that cannot be used are left out with their partners, counted and listed, where that is asked for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.training.runs import checkpoint_tensors
from transfigure.data import images
from transfigure.data.check.left_out import LEFT_OUT_FILE, LeftOut, load_left_out, save_left_out
from transfigure.data.open import open_data, resolve_data
from transfigure.errors import UserError
from transfigure.evaluation.evaluate import evaluate
from transfigure.recipe import Data, Recipe
from transfigure.studies.preservation.analyze import AnalysisOptions, analyze
from transfigure.training.trainer import train

from ...tiny import noise_image

BROKEN = (2, 7)


def pairs(folder: Path, broken: tuple[int, ...] = BROKEN, splits: tuple[str, ...] = ("train", "val", "test")) -> Path:
    """Ten pairs a split; in training and test some targets are broken, in validation one holds a float."""
    for split in splits:
        for number in range(10):
            for side, seed in (("A", number), ("B", 100 + number)):
                images.write(folder / split / side / f"{number}.png", noise_image(20, 20, seed=seed))
        for number in broken:
            (folder / split / "B" / f"{number}.png").write_bytes(b"no image at all")
    return folder


def section(place: Path, **keys: Any) -> Data:
    return resolve_data(Data(path=str(place), **{"load_size": 18, "crop_size": 16, "on_error": "skip", **keys}))


def recipe(place: Path, **keys: Any) -> Recipe:
    return Recipe.load(
        "pix2pix",
        {
            "data.path": str(place),
            "data.load_size": 18,
            "data.crop_size": 16,
            "data.on_error": "skip",
            **{"generator.depth": 4, "generator.width": 4, "discriminator.width": 4, "discriminator.receptive_field": 16},
            **{"training.epochs": 2, "training.accelerator": "cpu", "training.preview_count": 1, "training.log_every": 4},
            **keys,
        },
    )


def test_c21_stop_is_the_default_and_names_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"(?s)4 of 20 pairs .*B/2\.png is not.*leave them out with --data\.on_error skip"):
        open_data(section(pairs(tmp_path), on_error="stop"), quiet=True)


def test_c21_broken_pairs_are_left_out_counted_and_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    opened = open_data(section(pairs(tmp_path)))
    assert (
        [record.name for record in opened.train.records]
        == ["0", "1", "3", "4", "5", "6", "8", "9"]
        == [record.name for record in opened.val.records]
    )
    assert [(pair.split, pair.name, pair.files) for pair in opened.left_out] == [
        (split, name, (f"{split}/B/{name}.png",)) for split in ("train", "val") for name in ("2", "7")
    ]
    note = "note: 4 pairs cannot be used and are left out (data.on_error skip; 16 are used), such as 2: "
    assert note in capsys.readouterr().err
    for index, record in enumerate(opened.train.records):  # the cache was filled before anything was left out
        expected = noise_image(20, 20, seed=int(record.name))
        cached = opened.train.cache.get(index)
        assert cached is not None
        np.testing.assert_array_equal(cached[0], images.resize(expected, 18, 18, "bicubic"))


def test_c21_whatever_is_wrong_with_one_pair_is_left_out(tmp_path: Path) -> None:
    place = pairs(tmp_path, ())
    images.write(place / "train" / "B" / "0.png", noise_image(20, 21))
    images.write(place / "train" / "B" / "1.png", noise_image(20, 20, 1, "uint16"))
    images.write(place / "train" / "A" / "2.png", noise_image(20, 20, 4))
    opened = open_data(section(place), quiet=True)
    assert {pair.name: pair.reason for pair in opened.left_out}.keys() == {"0", "1", "2"}
    assert len(opened.train) == 7


def test_c21_nothing_left_to_train_on_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="10 of 10 pairs cannot be used"):
        open_data(section(pairs(tmp_path, tuple(range(10)), ("train",)), val_fraction=0, test_fraction=0), quiet=True)


def test_c21_of_two_domains_a_picture_goes_and_its_neighbour_stays(tmp_path: Path) -> None:
    for side, count in (("trainA", 5), ("trainB", 3)):
        for number in range(count):
            images.write(tmp_path / side / f"{number}.png", noise_image(20, 20, seed=number))
    (tmp_path / "trainB" / "1.png").write_bytes(b"no image at all")
    opened = open_data(section(tmp_path, kind="unpaired"), quiet=True)
    assert [(pair.name, pair.files) for pair in opened.left_out] == [("trainB/1.png", ("trainB/1.png",))]
    assert [(record.a.paths[0].name, record.b.paths[0].name) for record in opened.train.records] == [
        ("0.png", "0.png"), ("1.png", "2.png"), ("2.png", "0.png"), ("3.png", "2.png"), ("4.png", "0.png"),
    ]  # fmt: skip
    pair = opened.train[0, 1]
    assert pair.source.shape == (3, 16, 16)


def test_c21_a_run_lists_them_and_a_resume_goes_on_without_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = pairs(tmp_path / "data")
    whole = train(recipe(place, **{"training.epochs": 3, "training.schedule": "constant"}), tmp_path / "whole", quiet=True)
    part = train(recipe(place, **{"training.epochs": 2, "training.schedule": "constant"}), tmp_path / "part", quiet=True)
    listed = json.loads((part / LEFT_OUT_FILE).read_text())
    assert listed["format"] == 1
    assert [(pair["split"], pair["name"]) for pair in listed["pairs"]] == [("train", "2"), ("train", "7"), ("val", "2"), ("val", "7")]
    images.write(place / "train" / "B" / "2.png", noise_image(20, 20, seed=102))  # repaired: with it, it would be another training
    train(recipe(place, **{"training.epochs": 3, "training.schedule": "constant"}), part, resume=True, quiet=True)
    expected, found = checkpoint_tensors(whole, "step"), checkpoint_tensors(part, "step")
    assert expected.keys() == found.keys()
    assert all(torch.equal(tensor, found[name]) for name, tensor in expected.items())
    capsys.readouterr()
    assert evaluate(part, split="train", metrics=["l1"]).names == ["0", "1", "3", "4", "5", "6", "8", "9"]
    assert "note: 2 train pairs are left out, as in training" in capsys.readouterr().err
    assert evaluate(part, metrics=["l1"]).names == ["0", "1", "3", "4", "5", "6", "8", "9"]
    assert "note: 2 test pairs cannot be used and are left out (data.on_error skip; 8 are used), such as 2: " in capsys.readouterr().err
    analysis = analyze(part, options=AnalysisOptions(limit=8), quiet=True)
    assert analysis.about["split"] == "test"


def test_c21_a_model_without_its_run_leaves_out_what_cannot_be_used(tmp_path: Path) -> None:
    place = pairs(tmp_path / "data")
    run = train(recipe(place), tmp_path / "run", quiet=True)
    (run / "model").rename(tmp_path / "model")
    assert len(evaluate(tmp_path / "model", metrics=["l1"], quiet=True).names) == 8


def test_a_run_without_broken_pairs_lists_nothing(tmp_path: Path) -> None:
    run = train(recipe(pairs(tmp_path / "data", ()), **{"training.epochs": 1}), tmp_path / "run", quiet=True)
    assert not (run / LEFT_OUT_FILE).exists()


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": 2, "pairs": []}', '{"format": 1, "pairs": [{}]}', '{"format": 1, "pairs": 3}',
                                  '{"format": 1, "pairs": [{"split": "train", "name": 3, "files": [], "reason": ""}]}'])  # fmt: skip
def test_a_damaged_list_is_said(tmp_path: Path, text: str) -> None:
    (tmp_path / LEFT_OUT_FILE).write_text(text)
    with pytest.raises(UserError, match=r"left_out\.json is damaged"):
        load_left_out(tmp_path / LEFT_OUT_FILE)


def test_the_list_is_read_back(tmp_path: Path) -> None:
    pairs_out = (LeftOut("train", "a\udcff", ("A/a\udcff.png", "B/ä.png"), "why"), LeftOut("val", "b", (), ""))
    save_left_out(tmp_path / LEFT_OUT_FILE, pairs_out)
    assert load_left_out(tmp_path / LEFT_OUT_FILE) == pairs_out
    assert load_left_out(tmp_path / "nowhere.json") is None


def test_c36_test_pairs_that_cannot_be_used_are_said_before_training(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = pairs(tmp_path, ())
    (place / "test" / "B" / "2.png").write_bytes(b"no image at all")
    images.write(place / "test" / "B" / "7.png", noise_image(20, 19))
    assert len(open_data(section(place, on_error="stop")).test) == 10
    assert "note: 2 of 10 test pairs cannot be used by what their headers say" in (said := capsys.readouterr().err)
    assert ": 2, 7; evaluate will refuse them" in said


def test_a_long_list_is_read_as_it_was_written(tmp_path: Path) -> None:
    pairs_left_out = [LeftOut("train", str(at), (f"{at}.png",), "x" * (1 << 20)) for at in range(17)]  # more than other JSON may take
    save_left_out(tmp_path / LEFT_OUT_FILE, pairs_left_out)
    assert load_left_out(tmp_path / LEFT_OUT_FILE) == tuple(pairs_left_out)
