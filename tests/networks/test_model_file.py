"""A model directory says everything about its generator, and a damaged one says what is wrong with it."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from tests.damage import Trap, cuts, flips
from tests.tiny import RESNET, tiny_config, tiny_translator
from transfigure.errors import UserError
from transfigure.networks import model_file
from transfigure.networks.model_file import CARD, CONFIG, FORMAT, WEIGHTS, Domain, Inference, ModelConfig, load_model, save_model
from transfigure.recipe import Recipe


@pytest.fixture
def model(tmp_path: Path) -> Path:
    tiny_translator().save(tmp_path / "model")
    return tmp_path / "model"


def refused(folder: Path) -> str:
    """The one sentence that loading the folder ends with."""
    with pytest.raises(UserError) as caught:
        load_model(folder)
    sentence = str(caught.value)
    assert str(folder) in sentence
    assert "\n" not in sentence
    return sentence


def change(folder: Path, **values: Any) -> None:
    """Edit the configuration by hand, which takes its digest away."""
    config = json.loads((folder / CONFIG).read_text())
    config.pop("digest", None)
    config.update(values)
    (folder / CONFIG).write_text(json.dumps(config))


# ---- there and back -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "config",
    [
        tiny_config(),
        tiny_config("resnet", RESNET, size_multiple=4, inference=Inference("running", "none", 7)),
        tiny_config(
            "encoder_decoder", {"width": 4, "depth": 4}, Domain(5, "uint16", (0.0, 4095.0)), Domain(1, "float32", (-1000.0, 3000.5))
        ),
        tiny_config(recipe=Recipe.load("pix2pix").to_dict(), checkpoint={"which": "best", "images": 48000}, trained_size=None),
    ],
    ids=lambda config: config.generator,
)
def test_what_is_saved_comes_back_whole(tmp_path: Path, config: ModelConfig) -> None:
    generator = tiny_translator(config).generator
    save_model(tmp_path / "a" / "model", generator.state_dict(), config)
    loaded, found = load_model(tmp_path / "a" / "model")
    assert found == config
    assert loaded.state_dict().keys() == generator.state_dict().keys()
    for name, tensor in generator.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], tensor), name
    assert sorted(path.name for path in (tmp_path / "a" / "model").iterdir()) == sorted([WEIGHTS, CONFIG, CARD])


def test_configuration_is_json_without_surprises(model: Path) -> None:
    values = json.loads((model / CONFIG).read_text())
    assert values["format"] == FORMAT
    assert values["generator"] == "unet"
    assert values["source"].items() >= {"channels": 3, "dtype": "uint8", "value_range": None, "encoding": "values"}.items()
    assert values["inference"] == {"norm": "batch", "noise": "dropout", "seed": 0}


def test_weights_laid_out_channels_last_come_back(tmp_path: Path) -> None:
    translator = tiny_translator()
    translator.generator.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    translator.save(tmp_path)
    loaded, _ = load_model(tmp_path)
    for name, tensor in translator.generator.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], tensor), name


def test_loading_moves_nobody_s_random_numbers(model: Path) -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    load_model(model)
    assert torch.equal(torch.rand(3), expected)


def test_a_model_is_not_written_into_a_run_whose_own_it_would_hide(tmp_path: Path) -> None:
    tiny_translator().save(tmp_path / "run" / "model")
    for overwrite in (False, True):
        with pytest.raises(UserError, match="is a run, and a model in it would hide its own"):
            tiny_translator().save(tmp_path / "run", overwrite)
    assert [one.name for one in (tmp_path / "run").iterdir()] == ["model"]


def test_an_older_model_is_replaced(model: Path) -> None:
    config = tiny_config("resnet", RESNET, size_multiple=4)
    save_model(model, tiny_translator(config).generator.state_dict(), config)
    assert load_model(model)[1] == config
    assert not [path for path in model.iterdir() if path.name.endswith(".part")]


def test_keys_of_a_later_version_of_this_format_are_passed_over(model: Path) -> None:
    change(model, colour_of_the_cat="grey")
    assert load_model(model)[1] == tiny_config()


def test_card_says_what_it_is(tmp_path: Path) -> None:
    config = tiny_config(target=Domain(1, "uint16"), recipe=Recipe.load("pix2pix").to_dict(), checkpoint={"which": "last", "images": 12})
    save_model(tmp_path, tiny_translator(config).generator.state_dict(), config)
    text = (tmp_path / CARD).read_text()
    for words in (
        "# pix2pix",
        "3-channel 8-bit image into a 1-channel 16-bit image",
        "conditional adversarial (vanilla) + 100 x l1",
        "last (12 images)",
        "multiple of 16",
        "statistics: batch; noise: dropout, seed 0",
    ):
        assert words in text


# ---- damage -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [CONFIG, WEIGHTS])
def test_a_missing_file_is_named(model: Path, name: str) -> None:
    (model / name).unlink()
    assert name in refused(model)


def test_an_empty_folder_and_none_at_all(tmp_path: Path) -> None:
    assert "no config.json" in refused(tmp_path)
    assert "no config.json" in refused(tmp_path / "nowhere")


@pytest.mark.parametrize("kept", [0, 4, 9, 200, -1])
def test_cut_off_weights(model: Path, kept: int) -> None:
    data = (model / WEIGHTS).read_bytes()
    (model / WEIGHTS).write_bytes(data[:kept])
    assert "damaged or cut off" in refused(model)


def test_every_cut_of_the_configuration_is_refused(model: Path) -> None:
    whole = (model / CONFIG).read_text().rstrip()
    for kept in range(0, len(whole), 7):
        (model / CONFIG).write_text(whole[:kept])
        assert CONFIG in refused(model)


@pytest.mark.parametrize("text", ["", "null", "[]", "3", '"a"', "{}", "\ufeff{}", "[" * 100_000, '{"format": 1}', "{'format': 1}"])
def test_configurations_that_are_none(model: Path, text: str) -> None:
    (model / CONFIG).write_text(text, encoding="utf-8")
    assert CONFIG in refused(model)


def test_configuration_that_is_no_text(model: Path) -> None:
    (model / CONFIG).write_bytes(b"\xff\xfe\x00")
    assert CONFIG in refused(model)


@pytest.mark.parametrize("key", ["format", "generator", "options", "source", "target", "size_multiple"])
def test_a_missing_key_is_named(model: Path, key: str) -> None:
    config = json.loads((model / CONFIG).read_text())
    del config["digest"], config[key]
    (model / CONFIG).write_text(json.dumps(config))
    assert key in refused(model)


@pytest.mark.parametrize(
    "wrong",
    [
        {"format": "1"},
        {"format": 0},
        {"format": None},
        {"generator": 3},
        {"generator": "unett"},
        {"options": [1]},
        {"options": {"width": "wide"}},
        {"options": {"width": 0}},
        {"options": {"widht": 4}},
        {"options": {"width": 4, "depth": 1}},
        {"source": 3},
        {"source": {"channels": "3"}},
        {"source": {"channels": 0}},
        {"source": {"channels": 2.5}},
        {"source": {"channels": True}},
        {"source": {"dtype": "uint8"}},
        {"target": {"channels": 3, "dtype": "complex64"}},
        {"target": {"channels": 3, "value_range": [1, 0]}},
        {"target": {"channels": 3, "value_range": [0, "x"]}},
        {"target": {"channels": 3, "value_range": [0]}},
        {"size_multiple": 0},
        {"size_multiple": -16},
        {"size_multiple": "16"},
        {"trained_size": "big"},
        {"inference": {"norm": "eval"}},
        {"inference": {"noise": True}},
        {"inference": {"seed": "lucky"}},
        {"inference": {"seed": 2**70}},
        {"inference": {"mood": "good"}},
        {"inference": None},
        {"checkpoint": "last"},
        {"recipe": ["pix2pix"]},
    ],
    ids=str,
)
def test_wrong_values_are_refused_in_a_sentence(model: Path, wrong: dict[str, Any]) -> None:
    change(model, **wrong)
    assert CONFIG in refused(model)


def test_a_newer_format_asks_for_an_upgrade(model: Path) -> None:
    change(model, format=FORMAT + 1, transfigure="99.0", generator={"entirely": "other"})
    sentence = refused(model)
    assert "99.0" in sentence
    assert "upgrade" in sentence


@pytest.mark.parametrize(
    "changed",
    [
        {"options": {"width": 8, "depth": 4}},
        {"options": {"width": 4, "depth": 5}, "size_multiple": 32},
        {"source": {"channels": 1}},
        {"generator": "encoder_decoder"},
        {"generator": "resnet", "options": {"width": 4, "blocks": 1}},
    ],
    ids=str,
)
def test_weights_that_do_not_fit(model: Path, changed: dict[str, Any]) -> None:
    change(model, **changed)
    sentence = refused(model)
    assert "does not fit" in sentence
    assert len(sentence) < 600


def test_a_width_beyond_all_memory_is_refused(model: Path) -> None:
    change(model, options={"width": 10**12, "depth": 4})
    assert "of these sizes" in refused(model)


@pytest.mark.parametrize("name", [CONFIG, WEIGHTS])
def test_no_flipped_bit_and_no_cut_of_a_model_changes_what_is_loaded(model: Path, name: str) -> None:
    whole = (model / name).read_bytes()
    weights, config = load_model(model)
    refusals = 0
    for what, data in [*flips(whole, 120), *cuts(whole, 20)]:
        (model / name).write_bytes(data)
        try:
            found, read = load_model(model)
        except UserError as error:
            assert str(model) in str(error) and "\n" not in str(error), what
            refusals += 1
            continue
        # the word that names the digest, or a space between two values: nothing that is used
        assert read == config, what
        assert all(torch.equal(found.state_dict()[key], value) for key, value in weights.state_dict().items()), what
    assert refusals > 240


def test_a_configuration_changed_by_hand_is_told_how_it_is_accepted(model: Path) -> None:
    config = json.loads((model / CONFIG).read_text())
    config["inference"]["noise"] = "none"
    (model / CONFIG).write_text(json.dumps(config))
    assert 'if you changed it yourself, remove its line "digest"' in refused(model)
    del config["digest"]
    (model / CONFIG).write_text(json.dumps(config))
    assert load_model(model)[1].inference.noise == "none"


def test_a_kill_between_weights_and_configuration_leaves_a_model(model: Path, tmp_path: Path) -> None:
    """Of the same run: each file says its own digest."""
    later = tiny_translator()
    torch.nn.init.normal_(next(later.generator.parameters()))
    later.save(tmp_path / "later")
    (model / WEIGHTS).write_bytes((tmp_path / "later" / WEIGHTS).read_bytes())
    loaded, _ = load_model(model)
    assert torch.equal(next(loaded.parameters()), next(later.generator.parameters()))


@pytest.mark.parametrize(
    "options", [{"width": 8, "depth": 4}, {"width": 4, "depth": 4, "dropout": 0.0}, {"width": 4, "depth": 4, "norm": "instance"}]
)
def test_the_weights_of_another_run_are_refused(model: Path, tmp_path: Path, options: dict[str, Any]) -> None:
    """Also where the shapes are the same."""
    tiny_translator(tiny_config(options=options)).save(tmp_path / "other")
    (model / WEIGHTS).write_bytes((tmp_path / "other" / WEIGHTS).read_bytes())
    assert "does not fit" in refused(model)


def test_a_wide_network_is_not_built_before_its_weights_are_looked_at(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Width 1024 is a network of 14 GB; the weights beside it take 50 kB."""
    monkeypatch.setattr(model_file, "build_generator", lambda *_: pytest.fail("it was built"))
    change(model, options={"width": 1024, "depth": 4})
    assert "does not fit the unet described" in refused(model)


@pytest.mark.parametrize(
    "wrong",
    [
        {"size_multiple": 10**30},
        {"size_multiple": 2**21},
        {"size_multiple": 8},
        {"trained_size": 10**400},
        {"source": {"channels": 10**9}},
        {"target": {"channels": 3, "value_range": [0, 10**400]}},
        {"target": {"channels": 3, "value_range": [-1e308, 1e308]}},
        {"target": {"channels": 3, "value_range": [0, True]}},
        {"target": {"channels": 3, "value_range": "01"}},
        {"target": {"channels": 3, "dtype": ["uint8"]}},
        {"options": {"width": 4, "depth": 10**9}},
        {"options": {"width": 4, "depth": 17}},
        {"options": {"width": 4, "depth": 4, "bottleneck_width": 10**30}},
        {"generator": "resnet", "options": {"width": 4, "blocks": 10**9}},
        {"checkpoint": {"which": "last", "images": "many"}},
        {"checkpoint": {"which": "last", "images": -(10**30)}},
        {"inference": []},
        {"recipe": {"data": 5}},
        {"recipe": {"data": None}},
        {"recipe": {"objective": {"terms": [3]}}},
        {"recipe": {"objective": {"terms": [{"loss": "l1", "weight": "x"}]}}},
        {"recipe": {"objective": {"adversarial": {"loss": 1}}}},
        {"recipe": {"name": []}},
    ],
    ids=lambda wrong: str(wrong)[:60],
)
def test_sizes_and_ranges_beyond_any_are_refused(model: Path, wrong: dict[str, Any]) -> None:
    change(model, **wrong)
    assert CONFIG in refused(model)


def test_a_number_of_thousands_of_digits_in_a_configuration(model: Path) -> None:
    text = (model / CONFIG).read_text().replace('"size_multiple": 16', f'"size_multiple": {"1" * 4301}')
    (model / CONFIG).write_text(text)
    assert "thousands of digits" in refused(model)


def test_a_pickle_in_disguise_is_not_run(model: Path, tmp_path: Path) -> None:
    mark = tmp_path / "executed"
    (model / WEIGHTS).write_bytes(pickle.dumps(Trap(mark)))
    assert "damaged" in refused(model)
    torch.save({"down.0.conv.weight": torch.zeros(1), "trap": Trap(mark)}, model / WEIGHTS)
    assert "damaged" in refused(model)
    (model / CONFIG).write_bytes(pickle.dumps(Trap(mark)))
    refused(model)
    assert not mark.exists()


def test_names_in_the_configuration_reach_nothing_but_the_catalog(model: Path) -> None:
    change(model, generator="os.system")
    assert "no generator named" in refused(model)
    change(model, generator="../../unet")
    assert "no generator named" in refused(model)


def test_half_precision_weights_load(model: Path) -> None:
    weights = safetensors.torch.load_file(model / WEIGHTS)
    halved = {name: value.half() if value.is_floating_point() else value for name, value in weights.items()}
    (model / WEIGHTS).write_bytes(safetensors.torch.save(halved))
    loaded, _ = load_model(model)
    assert all(parameter.dtype == torch.float32 for parameter in loaded.parameters())


@pytest.mark.parametrize(
    "values", [{"norm": "eval"}, {"noise": "on"}, {"seed": -1}, {"seed": 2**63}, {"seed": 1.0}, {"seed": True}], ids=str
)
def test_inference_choices_that_there_are_not(values: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=next(iter(values))):
        Inference(**values)


def test_a_model_that_is_loaded_holds_what_was_saved_and_no_random_numbers_are_used(model: Path) -> None:
    expected = safetensors.torch.load_file(model / WEIGHTS)
    before = torch.get_rng_state()
    loaded, _ = load_model(model)
    assert torch.equal(torch.get_rng_state(), before)
    assert loaded.state_dict().keys() == expected.keys()
    for name, value in loaded.state_dict().items():
        assert torch.equal(value, expected[name]), name
    assert all(weight.requires_grad for weight in loaded.parameters())
