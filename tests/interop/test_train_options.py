"""A folder of the reference's: which generator is taken, and what its ``train_opt.txt`` becomes."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.interop.foreign_files import PIX2PIX, put
from tests.interop.reference_layouts import reference_resnet, reference_unet
from transfigure.cli.main import main
from transfigure.errors import UserError
from transfigure.interop.opening import open_folder
from transfigure.interop.train_options import FORMER, OPTIONS, read_options
from transfigure.networks.model_file import Inference
from transfigure.recipe import Recipe
from transfigure.translation.translator import Translator

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "from-pytorch-cyclegan.md"
CYCLEGAN = {"model": "cycle_gan", "dataset_mode": "unaligned", "dataroot": "maps", "no_dropout": True, "max_dataset_size": 100}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder of a training of pix2pix."""
    (tmp_path / "facades").mkdir()
    torch.manual_seed(0)
    torch.save(reference_unet(3, 3, 2, 7, "batch"), tmp_path / "facades" / "latest_net_G.pth")
    return put(tmp_path / "facades", PIX2PIX)


@pytest.fixture
def maps(tmp_path: Path) -> Path:
    """That of one of CycleGAN."""
    (tmp_path / "maps").mkdir()
    for side in "AB":
        torch.save(reference_resnet(3, 3, 2, 1, "instance", dropout=False), tmp_path / "maps" / f"latest_net_G_{side}.pth")
    return put(tmp_path / "maps", CYCLEGAN)


def differing(recipe: Recipe, base: str) -> dict[str, Any]:
    """What is not as in a shipped recipe."""
    return {key: theirs for key, (theirs, _) in recipe.differences(Recipe.load(base)).items()}


def test_the_page_says_what_every_option_is() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert [name for name, ours in OPTIONS.items() if f"\n| `{name}` | {ours} |" not in page] == []
    assert [name for name in FORMER if f"`{name}`" not in page] == []
    assert set(FORMER.values()) <= set(OPTIONS)
    assert len(re.findall(r"^\| `", page, re.M)) == len(OPTIONS)


def test_the_options_of_pix2pix_become_a_recipe(folder: Path) -> None:
    found = open_folder(folder)
    assert found.notes == ()
    assert found.recipe is not None
    assert differing(found.recipe, "pix2pix") == {
        "name": "facades_pix2pix",
        "data.kind": "side_by_side",
        "data.path": "./datasets/facades: old",
        "data.direction": "BtoA",
        "data.load_size": 143,
        "data.crop_size": 128,
        "data.flip": False,
        "generator.width": 2,
        "generator.depth": 7,
        "generator.dropout_skip": 1,
        "generator.dropout_layers": 2,
        "discriminator.receptive_field": 34,
        "discriminator.width": 32,
        "objective.adversarial.loss": "lsgan",
        "objective.terms": [{"loss": "l1", "weight": 50.0}],
        "training.epochs": 100,
        "training.decay_start": 60,
        "training.batch_size": 4,
        "training.learning_rate": 0.0001,
        "training.betas": [0.4, 0.999],
        "training.log_every": 200,
        "training.checkpoint_every": 3000,
    }


def test_the_defaults_of_cyclegan_are_our_recipe(maps: Path) -> None:
    found = open_folder(maps)
    assert found.recipe is not None
    assert differing(found.recipe, "cyclegan") == {
        "name": "imported",
        "data.kind": "unpaired",
        "data.path": "maps",
        "data.limit": 100,
        "data.a": "A",
        "data.b": "B",
        "generator.width": 2,
        "generator.blocks": 1,
        "training.log_every": 100,
        "training.checkpoint_every": 5000,
    }


def test_the_model_holds_the_recipe_and_the_next_line_goes_on(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = tmp_path / "model"
    assert main(["import", str(folder), "--out", str(model)]) == 0
    start = folder / "latest_net_G.pth"
    assert f"|   transfigure train {model}/recipe.yaml --from {start} --out RUN\n" in capsys.readouterr().err
    recipe, found = Recipe.load(model / "recipe.yaml"), open_folder(folder).recipe
    translator = Translator.load(model)
    assert translator.config.recipe is not None
    assert recipe == Recipe.from_dict(translator.config.recipe) == found
    assert translator.config.trained_size == 128
    assert translator.inference == Inference(noise="none")
    assert main(["import", str(folder), "--out", str(model), "--quiet"]) == 0  # over its own outputs it needs no flag


@pytest.mark.parametrize(
    ("trained", "asked", "file", "direction"),
    [
        ("AtoB", None, "A", "AtoB"),
        ("AtoB", "BtoA", "B", "BtoA"),
        ("BtoA", None, "A", "BtoA"),
        ("BtoA", "AtoB", "B", "AtoB"),
        ("BtoA", "BtoA", "A", "BtoA"),
    ],
)
def test_of_two_generators_that_of_the_direction_is_taken(maps: Path, trained: str, asked: str | None, file: str, direction: str) -> None:
    """G_A translates as the training's direction says, G_B the other way."""
    put(maps, {**CYCLEGAN, "direction": trained})
    found = open_folder(maps, direction=asked)
    assert found.file == maps / f"latest_net_G_{file}.pth"
    assert found.recipe is not None
    assert found.recipe.data.direction == direction


def test_a_unet_that_was_trained_without_dropout_has_none(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    put(folder, {**PIX2PIX, "no_dropout": True})
    assert main(["import", str(folder), "--out", str(folder / "model")]) == 0
    assert Translator.load(folder / "model").config.options["dropout"] == 0.0
    assert "dropout that" not in capsys.readouterr().err


def test_earlier_names_are_read(folder: Path) -> None:
    (folder / "train_opt.txt").unlink()
    old = {
        "dataroot": "x",
        "model": "pix2pix",
        "batchSize": 3,
        "fineSize": 64,
        "loadSize": 70,
        "no_lsgan": True,
        "niter": 5,
        "niter_decay": 0,
    }
    lines = [f"{name}: {value}" for name, value in {**old, "which_direction": "BtoA", "which_model_netD": "pixel"}.items()]
    (folder / "opt.txt").write_text("\n".join(["------------ Options -------------", *lines, "-------------- End ----------------"]))
    recipe = open_folder(folder).recipe
    assert recipe is not None and recipe.discriminator is not None and recipe.objective.adversarial is not None
    assert (recipe.data.crop_size, recipe.data.load_size, recipe.data.direction, recipe.training.batch_size) == (64, 70, "BtoA", 3)
    assert (recipe.training.epochs, recipe.training.schedule, recipe.objective.adversarial.loss) == (5, "constant", "vanilla")
    assert recipe.discriminator.options["receptive_field"] == 1


@pytest.mark.parametrize(
    ("change", "note"),
    [
        ({"preprocess": "scale_width_and_crop"}, "preprocess scale_width_and_crop has no counterpart: squares of 128 pixels"),
        ({"init_type": "xavier"}, "init_type xavier has no counterpart"),
        ({"n_layers_D": 9}, "n_layers_D 9 has no counterpart: the discriminator has 5 layers"),
        ({"my_own": 1, "another": 2}, "not known, and left out: another, my_own"),
    ],
)
def test_what_has_no_counterpart_is_said(folder: Path, change: dict[str, Any], note: str) -> None:
    assert note in open_folder(put(folder, {**PIX2PIX, **change})).notes[0]


def test_two_weights_of_the_cycle_are_one(maps: Path) -> None:
    found = open_folder(put(maps, {**CYCLEGAN, "lambda_A": 5, "lambda_B": 6, "lambda_identity": 0}))
    assert found.notes == ("lambda_A 5 and lambda_B 6 are one weight here: it is 5",)
    assert found.recipe is not None
    assert found.recipe.objective.terms == ({"loss": "cycle", "weight": 5.0},)


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        ({"lr_policy": "step", "lr_decay_iters": 20}, ("step", 0.1, 20)),
        ({"lr_policy": "plateau"}, ("plateau", 0.2, 50)),
        ({"lr_policy": "cosine"}, ("cosine", 0.1, 50)),
    ],
)
def test_the_schedules(folder: Path, policy: dict[str, Any], expected: tuple[str, float, int]) -> None:
    recipe = open_folder(put(folder, {**PIX2PIX, **policy})).recipe
    assert recipe is not None
    assert (recipe.training.schedule, recipe.training.decay_factor, recipe.training.decay_every) == expected


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            {"model": "colorization"},
            "says model 'colorization', and only pix2pix, cycle_gan have a counterpart here: change that line, or import",
        ),
        ({"batch_size": "many"}, "says batch_size 'many', and it is no number"),
        ({"crop_size": "inf"}, "says crop_size 'inf', and it is no whole number"),
        ({"load_size": 100}, "makes no recipe: data.load_size 100 is smaller than data.crop_size 128"),
    ],
)
def test_options_of_no_training_that_there_is_here(folder: Path, change: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UserError, match=re.escape(sentence)):
        open_folder(put(folder, {**PIX2PIX, **change}))


def test_a_folder_without_options_gives_the_network_alone(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "train_opt.txt").unlink()
    assert main(["import", str(folder), "--out", str(tmp_path / "model")]) == 0
    assert "has no train_opt.txt, so there is no recipe of its training\n" in capsys.readouterr().err
    assert not (tmp_path / "model" / "recipe.yaml").exists()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["FOLDER", "--epoch", "5"], "holds no 5_net_G.pth: there are latest_net_G.pth"),
        (["FOLDER", "--direction", "AtoB"], "is one generator, trained BtoA: leave out --direction"),
        (["FOLDER/empty"], "holds no latest_net_G.pth: give the folder that train.py wrote into checkpoints/"),
        (["FOLDER/latest_net_G.pth", "--epoch", "5"], "--epoch is for the folder of a training"),
        (["FOLDER", "--download"], "--download is for the name of a published network"),
    ],
)
def test_what_a_folder_does_not_hold(folder: Path, capsys: pytest.CaptureFixture[str], words: list[str], sentence: str) -> None:
    (folder / "empty").mkdir()
    assert main(["import", *(word.replace("FOLDER", str(folder)) for word in words), "--out", str(folder / "model")]) == 2
    said = capsys.readouterr().err
    assert sentence in said and said.count("\n") == 1
    assert not (folder / "model").exists()


def test_what_is_ours_already_needs_no_import(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["import", str(folder), "--out", str(tmp_path / "run" / "model"), "--quiet"]) == 0
    for place in (tmp_path / "run", tmp_path / "run" / "model"):
        assert main(["import", str(place), "--out", str(tmp_path / "again")]) == 2
        assert "is a model already, and needs no import" in capsys.readouterr().err


def test_what_is_no_file_of_options(tmp_path: Path) -> None:
    for content in (b"", b"\xff\x00" * 100, b"name: x\n", b"dataroot: x\n" + b"a" * (1 << 20)):
        (tmp_path / "train_opt.txt").write_bytes(content)
        with pytest.raises(UserError, match="is no file of options"):
            read_options(tmp_path / "train_opt.txt")
