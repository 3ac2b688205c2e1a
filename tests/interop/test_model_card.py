"""A shared model's card says what its run knows of this very state, shows examples, and nothing of the machine it was made on."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from tests.tiny import noise_image, tiny_config, tiny_translator
from transfigure.data import images
from transfigure.errors import UserError
from transfigure.interop.hub import PANEL
from transfigure.interop.model_card import without_paths
from transfigure.networks.model_file import CARD, COMPILED, load_model, save_model
from transfigure.recipe import Recipe
from transfigure.translation.translator import Translator

RUN = Path(__file__).parents[1] / "compat" / "v0_1_0" / "paired"


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run that was evaluated."""
    shutil.copytree(RUN, tmp_path / "run")
    return tmp_path / "run"


def shared(translator: Translator, folder: Path, **more: Any) -> tuple[dict[str, Any], str]:
    """The metadata and the text of the card."""
    translator.save_pretrained(folder, **more)
    opening, front, text = (folder / CARD).read_text(encoding="utf-8").split("---\n", 2)
    assert opening == ""
    return yaml.safe_load(front), text


def test_the_card_says_which_part_of_images_was_scored(run: Path, tmp_path: Path) -> None:
    file = run / "evaluation" / "evaluation.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "version": 3, "scored": "whole images, 56 x 40 to 48 x 64"}))
    _, text = shared(Translator.load(run), tmp_path / "shared")
    assert "Measured with norm batch, noise dropout, seed 0, on whole images, 56 x 40 to 48 x 64." in text


def test_the_card_of_a_run(run: Path, tmp_path: Path) -> None:
    front, text = shared(Translator.load(run), tmp_path / "shared", licence="mit", name="owner/facades")
    assert front["license"] == "mit"
    assert front["library_name"] == "transfigure"
    assert front["pipeline_tag"] == "image-to-image"
    assert {"image-to-image", "unet", "pix2pix"} <= {*front["tags"]}
    (index,) = front["model-index"]
    (result,) = index["results"]
    assert result["dataset"] == {"type": "synthetic", "name": "synthetic", "split": "test"}
    assert {"type": "psnr", "name": "PSNR", "value": 12.5545} in result["metrics"]
    for words in (
        "# facades\n",
        "| Data | synthetic, 10 to train on |",
        "| PSNR ↑ (dB) | 12.6 | 11.4 to 13.3 | 4 | 9.22 |",
        "Measured with norm batch, noise dropout, seed 0.",
        "not for measurement or diagnosis",
        "transfigure translate hub:owner/facades INPUT OUTPUT",
        'Translator.from_pretrained("owner/facades")',
        f"]({PANEL})",
        "## Licence\n\nmit.\n",
    ):
        assert words in text
    panel = images.read(tmp_path / "shared" / PANEL)
    assert panel.shape == (3 * 128 + 2 * 2, 3 * 128 + 2 * 2, 3)
    generated = images.read(run / "evaluation" / "panels" / "00_generated.png")
    assert np.array_equal(panel[:128:4, 130:258:4], generated)
    assert np.array_equal(Translator.load(tmp_path / "shared")(noise_image(20, 24)), Translator.load(run)(noise_image(20, 24)))


def test_an_evaluation_of_other_weights_is_left_out(run: Path, tmp_path: Path) -> None:
    best = Translator.load(run, checkpoint="best")
    front, text = shared(best, tmp_path / "best")
    assert "model-index" not in front
    assert "PSNR" not in text
    assert "10 to train on" in text
    Translator.load(run).save(run / "model")  # anew, so that it carries a digest
    shutil.rmtree(run / "model_best")
    assert "PSNR" in shared(Translator.load(run), tmp_path / "same")[1]
    changed = Translator.load(run / "model")
    with torch.no_grad():
        next(changed.generator.parameters()).add_(1)
    assert "PSNR" not in shared(changed, tmp_path / "changed")[1]
    assert not (tmp_path / "changed" / PANEL).exists()


def test_without_an_evaluation_the_newest_samples_are_shown(run: Path, tmp_path: Path) -> None:
    shutil.rmtree(run / "evaluation")
    front, text = shared(Translator.load(run), tmp_path / "shared")
    assert "model-index" not in front
    assert "license" not in front
    assert "ask before you use it" in text
    assert images.read(tmp_path / "shared" / PANEL).shape == (128, 3 * 128 + 2 * 2, 3)
    shared(Translator.load(run), tmp_path / "shared", panel=False)
    assert not (tmp_path / "shared" / PANEL).exists()
    assert PANEL not in (tmp_path / "shared" / CARD).read_text(encoding="utf-8")


def test_an_evaluation_can_name_no_picture_outside_its_folder(run: Path, tmp_path: Path) -> None:
    images.write(tmp_path / "secret.png", noise_image(32, 32))
    file = run / "evaluation" / "evaluation.json"
    values = json.loads(file.read_text())
    values["panels"] = [{"source": "../../secret.png", "generated": str(tmp_path / "secret.png"), "target": "panels/../../../secret.png"}]
    values["rows"] = [{"metric": "l1", "label": "| L1 |\n# forged", "value": 0.5}, {"metric": "psnr", "value": "x"}, 3]
    file.write_text(json.dumps(values))
    text = shared(Translator.load(run), tmp_path / "shared")[1]
    panel = images.read(tmp_path / "shared" / PANEL)
    assert panel.shape[0] == 128  # of the samples
    assert "\n# forged" not in text
    assert "PSNR" not in text


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b'{"checkpoint": "last (28 images)", "rows": 1, "panels": [1, {}]}'])
def test_a_damaged_evaluation_is_no_evaluation(run: Path, tmp_path: Path, damage: bytes) -> None:
    (run / "evaluation" / "evaluation.json").write_bytes(damage)
    (run / "log.jsonl").write_bytes(b"\xff\n")
    front, text = shared(Translator.load(run), tmp_path / "shared")
    assert "model-index" not in front
    assert "| Data | synthetic |" in text


def test_places_on_this_machine_are_not_shared(tmp_path: Path) -> None:
    recipe = Recipe.load("pix2pix", {"data.path": "/home/alice/patients/facades"}).to_dict()
    recipe["training"]["trackers"] = ["C:\\Users\\alice\\log"]
    translator = tiny_translator(tiny_config(recipe=recipe))
    text = shared(translator, tmp_path / "shared")[1]
    files = b"".join(file.read_bytes() for file in (tmp_path / "shared").iterdir())
    assert b"alice" not in files
    assert "| Data | facades |" in text
    data = without_paths(translator.config).recipe
    assert data is not None
    assert data["data"]["path"] == "facades"
    assert translator.config.recipe is not None
    assert translator.config.recipe["data"]["path"] == "/home/alice/patients/facades"  # our own copy knows it


def test_of_patterns_the_last_names_are_left() -> None:
    """Each of those that a semicolon joins: how files are named is worth knowing, where they lie is not."""
    translator = tiny_translator()
    translator.config = replace(translator.config, recipe={"data": {"a": "/home/ada/{name}_z{0..2}.png;/home/ada/masks/{name}.png"}})
    shared = without_paths(translator.config).recipe
    assert shared is not None and shared["data"]["a"] == "{name}_z{0..2}.png;{name}.png"


def test_a_card_that_somebody_edited_goes_along(run: Path, tmp_path: Path) -> None:
    Translator.load(run).save_pretrained(tmp_path / "shared")
    card = tmp_path / "shared" / CARD
    edited = card.read_text(encoding="utf-8").replace("## Limits", "## Limits, by me")
    card.write_text(edited, encoding="utf-8")
    Translator.load(tmp_path / "shared").save_pretrained(tmp_path / "again", name="owner/facades")
    assert (tmp_path / "again" / CARD).read_text(encoding="utf-8") == edited
    assert np.array_equal(images.read(tmp_path / "again" / PANEL), images.read(tmp_path / "shared" / PANEL))
    front, text = shared(Translator.load(tmp_path / "shared"), tmp_path / "licensed", licence="cc-by-4.0", panel=False)
    assert PANEL not in text
    assert front["license"] == "cc-by-4.0"
    assert front["library_name"] == "transfigure"
    assert "## Limits, by me" in text


def test_what_transfigure_did_not_write_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / PANEL).write_bytes(b"mine")
    with pytest.raises(UserError, match=PANEL):
        tiny_translator().save_pretrained(tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == [PANEL]
    (tmp_path / PANEL).rename(tmp_path / CARD)
    with pytest.raises(UserError, match=CARD):
        tiny_translator().save_pretrained(tmp_path)
    assert (tmp_path / CARD).read_bytes() == b"mine"


# ---- what these formats do by themselves ---------------------------------------------------------------------------------------------


def test_trap_channels_last_weights_are_written(tmp_path: Path) -> None:
    """safetensors refuses tensors that do not lie in their order."""
    translator = tiny_translator()
    plain = translator(noise_image(20, 24))
    translator.generator.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    translator.save_pretrained(tmp_path)
    assert np.array_equal(Translator.from_pretrained(tmp_path)(noise_image(20, 24)), plain)


def test_trap_a_compiled_generator_keeps_its_names(tmp_path: Path) -> None:
    """``torch.compile`` puts ``_orig_mod.`` before names, of the whole and of each part that is compiled; safetensors keeps it."""
    translator = tiny_translator()
    state = {
        f"{COMPILED}.{name.replace('down.0.', f'down.0.{COMPILED}.')}": value for name, value in translator.generator.state_dict().items()
    }
    assert len(state) == len(translator.generator.state_dict())
    save_model(tmp_path, state, translator.config)
    loaded = load_model(tmp_path)[0].state_dict()
    assert loaded.keys() == translator.generator.state_dict().keys()
    assert all(torch.equal(value, loaded[name]) for name, value in translator.generator.state_dict().items())


def test_trap_a_renamed_weight_is_refused(tmp_path: Path) -> None:
    """Loaded with ``strict=False``, such a file would leave random numbers in its place, silently."""
    translator = tiny_translator()
    state = {name.replace("down.0.", "stem."): value for name, value in translator.generator.state_dict().items()}
    save_model(tmp_path, state, translator.config)
    with pytest.raises(UserError, match=r"there is no down\.0\.conv\.weight"):
        Translator.from_pretrained(tmp_path)
    save_model(tmp_path, {**translator.generator.state_dict(), "extra": torch.zeros(1)}, translator.config)
    with pytest.raises(UserError, match="extra has no place"):
        Translator.from_pretrained(tmp_path)


@pytest.mark.parametrize("value", [torch.float16, torch.nn.ReLU, float("inf"), {"nested": [torch.float16]}, {1, 2}])
def test_trap_an_option_that_json_cannot_hold_is_refused_before_anything_is_written(tmp_path: Path, value: object) -> None:
    """The hub's own mixin drops types and dtypes from its configuration, and a model comes back with other options."""
    translator = tiny_translator()
    config = replace(translator.config, options={**translator.config.options, "kind": value})
    with pytest.raises(UserError, match=r"the option kind of the generator unet is .*config\.json cannot hold"):
        save_model(tmp_path / "model", translator.generator.state_dict(), config)
    assert not (tmp_path / "model").exists()
