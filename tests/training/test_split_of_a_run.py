"""A run keeps the split it was trained on: files added later are neither trained on nor scored, and trained ones never tested."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from transfigure.data.splits import SPLITS_FILE, divide
from transfigure.errors import UserError
from transfigure.evaluation.held_out import held_out
from transfigure.recipe import Recipe
from transfigure.training.trainer import train
from transfigure.translation.translator import Translator

from ..tiny import write_images

NAMES = [f"{n}.png" for n in range(20)]


def pairs(folder: Path, names: list[str]) -> Path:
    write_images(folder / "A", *names, size=(16, 16))
    write_images(folder / "B", *names, size=(16, 16))
    return folder


def recipe(folder: Path, **training: Any) -> Recipe:
    return Recipe.from_dict(
        {
            "data": {"path": str(folder), "load_size": None, "crop_size": 16, "val_fraction": 0.2, "test_fraction": 0.2},
            "generator": {"name": "unet", "width": 2, "depth": 2},
            "discriminator": {"name": "patch", "width": 2, "receptive_field": 1},
            "objective": {"adversarial": {"loss": "lsgan"}, "terms": [{"loss": "l1", "weight": 10}]},
            "training": {"epochs": 2, "schedule": "constant", "preview_count": 0, "validate_every": 0, **training},
        }
    )


def scored(run: Path) -> tuple[list[str], list[str]]:
    found = held_out(Translator.load(run), None, None, {})
    return [record.name for record in found.pairs.records], found.notes


def weights(run: Path) -> dict[str, torch.Tensor]:
    return Translator.load(run).generator.state_dict()


def test_c35_images_added_after_training(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = pairs(tmp_path / "data", NAMES)
    run = train(recipe(data, epochs=1), tmp_path / "run", quiet=True)
    whole = train(recipe(data, epochs=2), tmp_path / "whole", quiet=True)
    stored = json.loads((run / SPLITS_FILE).read_text())["pairs"]
    assert sorted(name for part in stored.values() for name in part) == sorted(name.removesuffix(".png") for name in NAMES)
    assert scored(run)[0] == stored["test"]

    pairs(data, [f"new{n}.png" for n in range(20)])
    names, notes = scored(run)
    assert names == stored["test"]
    assert any(note.startswith("20 pairs were added since this run was trained and are not used: new0, new1, new2") for note in notes)
    assert scored(run / "model")[0] == stored["test"]
    alone = shutil.copytree(run / "model", tmp_path / "alone")  # a model away from its run: each name decides, so no trained one is tested
    assert set(scored(alone)[0]) >= set(stored["test"])
    assert not set(scored(alone)[0]) & set(stored["train"])

    capsys.readouterr()
    train(recipe(data, epochs=2), run, resume=True)
    assert "20 pairs were added since this run was trained and are not used" in capsys.readouterr().err
    assert all(torch.equal(value, weights(whole)[name]) for name, value in weights(run).items())


def test_a_pair_that_was_trained_on_is_gone(tmp_path: Path) -> None:
    data = pairs(tmp_path / "data", NAMES)
    run = train(recipe(data, epochs=1), tmp_path / "run", quiet=True)
    stored = json.loads((run / SPLITS_FILE).read_text())["pairs"]
    (data / "A" / f"{stored['test'][0]}.png").unlink()
    names, notes = scored(run)
    assert names == stored["test"][1:]
    assert f"1 pair that this run divided is not there any more: {stored['test'][0]}" in notes
    (data / "A" / f"{stored['train'][0]}.png").unlink()
    with pytest.raises(UserError, match=rf"1 of the pairs that this run was trained on are not in .* any more \({stored['train'][0]}\)"):
        train(recipe(data), run, resume=True, quiet=True)


def test_another_seed_or_another_place_asks_for_another_split(tmp_path: Path) -> None:
    data = pairs(tmp_path / "data", NAMES)
    run = train(recipe(data, epochs=1), tmp_path / "run", quiet=True)
    translator = Translator.load(run)
    usual = {record.name for record in held_out(translator, None, None, {}).pairs.records}
    other = {record.name for record in held_out(translator, None, None, {"data.split_seed": "5"}).pairs.records}
    assert other != usual
    notes = held_out(translator, None, None, {"data.test_fraction": "0.7"}).notes
    assert any("that this run was trained on (scores too good)" in note for note in notes)
    assert not any("was trained on" in note for note in held_out(translator, None, None, {}).notes)
    elsewhere = pairs(tmp_path / "elsewhere", [f"x{name}" for name in NAMES])
    assert all(record.name.startswith("x") for record in held_out(translator, elsewhere, None, {}).pairs.records)


def test_a_run_of_version_0_1_0_goes_on_with_its_own_split(tmp_path: Path) -> None:
    data = pairs(tmp_path / "data", NAMES)
    old = recipe(data, epochs=1)
    old = old.replaced(data=old.data.replaced(split_rule="rank"))
    run = train(old, tmp_path / "run", quiet=True)
    whole = train(old.updated({"training.epochs": "2"}), tmp_path / "whole", quiet=True)
    (run / SPLITS_FILE).unlink()  # 0.1.0 wrote none, and knew no split_rule and no group
    state = torch.load(run / "checkpoints" / "last.pt", weights_only=True)
    config = json.loads((run / "model" / "config.json").read_text())
    written = yaml.safe_load((run / "recipe.yaml").read_text())
    for tree in (state["recipe"], config["recipe"], written):
        del tree["data"]["split_rule"], tree["data"]["group"]
    config.pop("digest", None)
    torch.save({**state, "format": 2}, run / "checkpoints" / "last.pt")
    (run / "model" / "config.json").write_text(json.dumps(config))
    (run / "recipe.yaml").write_text(yaml.safe_dump(written))

    tested = json.loads((whole / SPLITS_FILE).read_text())["pairs"]["test"]
    names, notes = scored(run)
    assert names == tested
    assert not any("0.1.0" in note for note in notes)
    grown = shutil.copytree(run, tmp_path / "grown")
    pairs(data, [f"new{n}.png" for n in range(20)])
    assert any("files have come or gone, so that pairs it was trained on may be scored" in note for note in scored(grown)[1])
    for n in range(20):
        for side in "AB":
            (data / side / f"new{n}.png").unlink()
    train(Recipe.load(run / "recipe.yaml", {"training.epochs": "2"}), run, resume=True, quiet=True)
    assert all(torch.equal(value, weights(whole)[name]) for name, value in weights(run).items())


def test_the_older_command_line_goes_on_too(tmp_path: Path) -> None:
    """A recipe that says nothing of the rule is that of the run that is resumed."""
    data = pairs(tmp_path / "data", NAMES)
    first = recipe(data, epochs=1)
    run = train(first.replaced(data=first.data.replaced(split_rule="rank")), tmp_path / "run", quiet=True)
    before = json.loads((run / SPLITS_FILE).read_text())
    (run / SPLITS_FILE).unlink()
    train(recipe(data, epochs=2), run, resume=True, quiet=True)
    assert [record.name for record in held_out(Translator.load(run), None, None, {}).pairs.records] == before["pairs"]["test"]


def test_c35_data_that_were_moved_are_still_the_run_s_own(tmp_path: Path) -> None:
    data = pairs(tmp_path / "data", NAMES)
    run = train(recipe(data, epochs=1, keep_every=4), tmp_path / "run", quiet=True)
    stored = json.loads((run / SPLITS_FILE).read_text())["pairs"]
    for name in stored["test"]:  # so that drawing anew would fill the empty split with a trained pair
        for side in "AB":
            (data / side / f"{name}.png").unlink()
    moved = shutil.move(data, tmp_path / "moved")
    kept = next((run / "kept").iterdir())
    for model in (run, run / "model", kept):
        found = held_out(Translator.load(model), moved, None, {})
        assert found.split == "val"
        assert [record.name for record in found.pairs.records] == stored["val"]


def test_c21_what_was_left_out_may_go(tmp_path: Path) -> None:
    data = pairs(tmp_path / "data", NAMES)
    first = recipe(data, epochs=1)
    first = first.replaced(data=first.data.replaced(on_error="skip"))
    broken = first_of_training(data)
    (data / "A" / f"{broken}.png").write_bytes(b"no image")
    run = train(first, tmp_path / "run", quiet=True)
    whole = train(first.updated({"training.epochs": "2"}), tmp_path / "whole", quiet=True)
    for side in "AB":
        (data / side / f"{broken}.png").unlink()
    train(first.updated({"training.epochs": "2"}), run, resume=True, quiet=True)
    assert all(torch.equal(value, weights(whole)[name]) for name, value in weights(run).items())


def first_of_training(data: Path) -> str:
    from transfigure.data.open import open_collection

    return divide(open_collection("two_folders", data), 0.2, 0.2, 0).splits["train"][0].name


def test_data_that_came_divided_stores_no_split(tmp_path: Path) -> None:
    for part in ("train", "test"):
        pairs(tmp_path / "data" / part, NAMES[:4])
    run = train(recipe(tmp_path / "data", epochs=1), tmp_path / "run", quiet=True)
    assert not (run / SPLITS_FILE).exists()
    pairs(tmp_path / "data" / "test", ["new.png"])
    assert "new" in scored(run)[0]


def test_the_split_is_what_divide_says(tmp_path: Path) -> None:
    from transfigure.data.open import open_collection

    data = pairs(tmp_path / "data", NAMES)
    run = train(recipe(data, epochs=1), tmp_path / "run", quiet=True)
    drawn = divide(open_collection("two_folders", data), 0.2, 0.2, 0).drawn
    assert drawn is not None
    assert json.loads((run / SPLITS_FILE).read_text())["pairs"] == drawn.parts["pairs"]


def test_a_run_keeps_the_regions_of_its_images(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its margin too, whatever would be chosen now; and evaluation knows which pixels it was trained on."""
    for side in "AB":
        write_images(tmp_path / "data" / side, "well.png", size=(64, 64))
    data = {"split_by": "region", "test_regions": [[1, 1]], "val_fraction": 0, "crop_size": 16, "evaluation_size": 32}
    tree = recipe(tmp_path / "data", epochs=1).to_dict()
    one = Recipe.from_dict({**tree, "data": {**tree["data"], **data}})
    longer = Recipe.from_dict({**one.to_dict(), "training": {**tree["training"], "epochs": 2}})
    run = train(one, tmp_path / "run", quiet=True)
    whole = train(longer, tmp_path / "whole", quiet=True)
    assert Recipe.load(run / "recipe.yaml").data.margin == 4 == json.loads((run / SPLITS_FILE).read_text())["regions"]["margin"]
    train(longer, run, resume=True)
    assert all(torch.equal(value, weights(whole)[name]) for name, value in weights(run).items())

    assert scored(run)[0] == ["well/r1c1"] and not any("was trained on" in note for note in scored(run)[1])
    found = held_out(Translator.load(run), None, None, {"data.split_by": "name"})
    assert [record.name for record in found.pairs.records] == ["well"]
    share = round(100 * (32 * 28 + 28 * 32 + 32 * 28) / 64**2)
    assert f"1 of 1 pair holds pixels that this run was trained on (scores too good): well ({share} % of its pixels)" in found.notes
    other = held_out(
        Translator.load(run), None, "test", {"data.regions": "4x4", "data.test_regions": "0,0;3,3", "data.evaluation_size": 16}
    )
    assert any("1 of 2 pairs holds pixels" in note and "well/r0c0 (100 % of its pixels)" in note for note in other.notes)
    moved = shutil.move(tmp_path / "data", tmp_path / "moved")
    there = held_out(Translator.load(run), moved, None, {})
    assert [record.name for record in there.pairs.records] == ["well/r1c1"], "in data that were moved, too"
