"""What channels are called, and ranges that are percentiles: found once in the training set, and kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from transfigure.data import images
from transfigure.data.channels import resolve_names
from transfigure.data.file_facts import FactsWatch, FileFacts
from transfigure.data.open import open_data, resolve_data
from transfigure.data.pairs import FilePicture
from transfigure.data.percentiles import sample_of
from transfigure.errors import UserError
from transfigure.evaluation.evaluate import evaluate
from transfigure.networks.model_file import read_config
from transfigure.recipe import Recipe
from transfigure.training.preview import Previews
from transfigure.training.trainer import train

SIZE = 16
TINY: dict[str, Any] = {
    "data.load_size": None,
    "data.crop_size": SIZE,
    "data.flip": False,
    "generator.width": 2,
    "training.epochs": 1,
    "training.preview_count": 1,
    "training.accelerator": "cpu",
}


def pairs(folder: Path, count: int = 6) -> Path:
    """One file of values to three files of 12-bit values with a few outliers, by patterns."""
    random = np.random.default_rng(0)
    for index in range(count):
        for name, low in (("in", 100), ("DAPI", 200), ("MAP2", 300)):
            values = random.integers(low, 3000, (SIZE, SIZE, 1), np.uint16)
            values[0, 0] = 60000
            images.write(folder / f"{index}_{name}.png", values)
    return folder


def recipe(folder: Path, **overrides: Any) -> Recipe:
    sides = {"data.a": str(folder / "{name}_in.png"), "data.b": str(folder / "{name}_{DAPI,MAP2}.png")}
    return Recipe.load("l1", {**TINY, **sides, **{key.replace("__", "."): value for key, value in overrides.items()}})


def test_names_of_a_recipe_go_before_those_of_files_and_their_count_is_checked() -> None:
    assert resolve_names("target", None, ("a", "b"), 2) == ("a", "b")
    assert resolve_names("target", ["c", "d"], ("a", "b"), 2) == ("c", "d")
    assert resolve_names("target", None, ("a", "b"), 3) == ()
    with pytest.raises(UserError, match=r"target_channel_names names 1 .c., and the target pictures have 2 channels"):
        resolve_names("target", ["c"], ("a", "b"), 2)


@pytest.mark.parametrize(
    ("value", "expected"), [("DAPI,MAP2", ["DAPI", "MAP2"]), ("[488, 561]", ["488", "561"]), (["a b", "c"], ["a b", "c"]), ("null", None)]
)
def test_names_as_they_are_typed(value: object, expected: object) -> None:
    assert Recipe.load("l1", {"data.target_channel_names": value}).data.target_channel_names == expected


@pytest.mark.parametrize("value", [["a", "a"], ["a", " "], ["a\x1b", "b"]])
def test_names_that_are_none(value: list[str]) -> None:
    with pytest.raises(UserError, match="channel_names cannot be"):
        Recipe.load("l1", {"data.source_channel_names": value})


def test_files_that_name_their_channels_otherwise_are_noted() -> None:
    watch = FactsWatch("target pictures", ("DAPI", "MAP2"))
    for label, names in (("0.tif", ("MAP2", "DAPI")), ("1.tif", ("MAP2", "DAPI")), ("2.tif", ("DAPI", "MAP2")), ("3.tif", ())):
        watch.look(label, FileFacts(channel_names=names), 2)
    assert watch.channel_names == ("MAP2", "DAPI")
    first, second = watch.notes()
    assert first.startswith("1 of 4 target pictures name their channels otherwise than the rest, such as 2.tif (DAPI, MAP2 in place of")
    assert "the model was trained with DAPI, MAP2" in second


def test_percentiles_are_found_once_said_stored_and_kept_on_resume(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = pairs(tmp_path / "data")
    chosen = recipe(folder, data__target_percentiles="[1, 99]", data__source_percentiles="[0, 100]", data__test_fraction=0.2)
    run = train(chosen, tmp_path / "run")
    said = capsys.readouterr().err
    stored = yaml.safe_load((run / "recipe.yaml").read_text())["data"]
    assert stored["source_range"] == [100.0, 60000.0] and stored["target_percentiles"] == [1, 99]
    low, high = stored["target_range"]
    assert 200 <= low < 300 and 2900 < high < 3000, "without the outliers"
    assert f"data.target_range is [{low:g}, {high:g}]: the percentiles 1 and 99 of" in said
    target = read_config(run / "model").target
    assert target.value_range == (low, high) and target.names == ("DAPI", "MAP2") and read_config(run / "model").source.names == ()

    result = evaluate(run, quiet=True, metrics=["psnr"])
    assert [channel.name for channel in result.channels] == ["DAPI", "MAP2"]
    renamed = evaluate(run, quiet=True, metrics=["psnr"], overrides={"data.target_channel_names": ["x", "y"]})
    assert [channel.name for channel in renamed.channels] == ["x", "y"]
    with pytest.raises(UserError, match=r"is found in training: .*--data.target_range"):
        evaluate(run, quiet=True, overrides={"data.target_percentiles": [0, 50]})

    images.write(folder / "0_DAPI.png", np.full((SIZE, SIZE, 1), 9, np.uint16))  # other values now, and the run keeps its range
    train(chosen.updated({"training.epochs": 2}), run, resume=True, quiet=True)
    assert yaml.safe_load((run / "recipe.yaml").read_text())["data"]["target_range"] == [low, high]


def test_previews_for_trackers_are_bytes_with_every_channel_below_and_said(tmp_path: Path) -> None:
    data = open_data(resolve_data(recipe(pairs(tmp_path / "data")).data), quiet=True)
    previews = Previews(data, 1, tmp_path / "samples", torch.device("cpu"))
    fakes, _ = previews.draw(torch.nn.Conv2d(1, 2, 1), 0)
    ((name, strip),) = previews.strips(fakes)
    assert strip.dtype == np.uint8 and strip.shape == (3 * SIZE + 4, 3 * SIZE + 4, 3), "a library takes floats from 0 to 1 for black"
    assert strip.max() == 255
    assert name.endswith("(target: DAPI green, MAP2 magenta; below: DAPI, MAP2)")


def test_a_stored_range_goes_with_its_percentiles_and_its_data() -> None:
    stored = Recipe.load("l1", {"data.target_percentiles": [1, 99], "data.path": "here"}).updated({"data.target_range": [3, 9]})
    assert stored.data.target_range == (3, 9)
    assert Recipe.from_dict(stored.to_dict()) == stored
    assert stored.updated({"training.epochs": 3}).data.target_range == (3, 9)
    assert stored.updated({"data.path": "there"}).data.target_range is None
    assert stored.updated({"data.target_percentiles": [0, 100]}).data.target_range is None
    assert stored.updated({"data.target_percentiles": None}).data.target_range == (3, 9)
    with pytest.raises(UserError, match="both are given"):
        Recipe.load("l1", {"data.target_percentiles": [1, 99], "data.target_range": [0, 4095]})
    for bad in ([99, 1], [0, 101], [5, 5]):
        with pytest.raises(UserError, match="target_percentiles"):
            Recipe.load("l1", {"data.target_percentiles": bad})


def test_the_sample_is_bounded_even_and_without_what_is_no_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("transfigure.data.percentiles.VALUES", 60)
    values = np.stack([np.full((30, 40), 1, np.float32), np.full((30, 40), 5, np.float32)], axis=2)
    values[:15, :, 1] = np.nan

    class InMemory:
        paths, label = (), "drawn"

        def read(self, alpha: str = "refuse") -> np.ndarray:
            return values

    sample = sample_of([InMemory(), FilePicture((tmp_path / "missing.png",))])
    assert sample.pictures == 1 and [len(one) for one in sample.values] == [45]
    assert sorted(set(sample.values[0])) == [1, 5] and sample.percentiles((0, 100)) == (1, 5)


def test_percentiles_of_flat_pictures_are_refused(tmp_path: Path) -> None:
    folder = tmp_path / "flat"
    for index in range(3):
        for name in ("in", "DAPI", "MAP2"):
            images.write(folder / f"{index}_{name}.png", np.full((SIZE, SIZE, 1), 7, np.uint16))
    section = resolve_data(recipe(folder, data__target_percentiles="[1, 99]").data)
    with pytest.raises(UserError, match="the percentiles 1 and 99 of the target pictures are both 7"):
        open_data(section, quiet=True)
