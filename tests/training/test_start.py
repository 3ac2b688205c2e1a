"""A training that begins with a model's weights: what is taken of what, what is said, and that it is as exact as any other."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from torch import Tensor

from tests.data.domains import domains
from tests.interop.reference_layouts import reference_patch, reference_resnet, reference_unet
from tests.tiny import tiny_config, tiny_translator
from tests.training.runs import TINY, assert_same_bits, log_entries, numbers, stop_after, tiny_recipe, unpaired_recipe
from transfigure.cli import main
from transfigure.data import images
from transfigure.errors import UserError
from transfigure.interop.model_card import without_paths
from transfigure.networks.model_file import load_model
from transfigure.recipe import Recipe
from transfigure.training import checkpoint
from transfigure.training.checkpoint import FORMAT, load_checkpoint
from transfigure.training.start import open_start, starting_from
from transfigure.training.trainer import train

STILL = {"training.learning_rate": 1e-30}
"""A rate so low that no weight moves: a run ends with what it began with."""
SMALL = {key: value for key, value in TINY.items() if not key.startswith(("generator.", "discriminator."))} | {"training.epochs": 1}
"""What makes a training short, without a word about its networks."""
Weights = dict[str, dict[str, Tensor]]


def flags(values: Mapping[str, object]) -> list[str]:
    return [word for key, value in values.items() for word in (f"--{key}", str(value))]


def small(**more: object) -> dict[str, Any]:
    return {**SMALL, **{key.replace("__", "."): value for key, value in more.items()}}


def parameters(run: Path) -> Weights:
    """Of every network in a run's checkpoint, without the statistics, which every update moves."""
    state = load_checkpoint(run / "checkpoints" / "last.pt")
    networks = {name: part for name, part in state["step"].items() if all(isinstance(value, Tensor) for value in part.values())}
    return {
        name: {key: value for key, value in part.items() if ".running_" not in key and "num_batches" not in key}
        for name, part in networks.items()
    }


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    """Equal, but for what the least of rates adds to a zero."""
    return one.keys() == other.keys() and all(torch.allclose(one[key], other[key], rtol=0, atol=1e-20) for key in one)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with an average, to be left as it is."""
    return train(tiny_recipe(training__epochs=1), tmp_path_factory.mktemp("trained") / "run", quiet=True)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def fine_tuned(capsys: pytest.CaptureFixture[str], model: Path | str, *more: str, out: str = "tuned", recipe: str = "pix2pix_tiny") -> str:
    """Fine-tune on the command line; what is said."""
    capsys.readouterr()
    assert main(["train", recipe, "synthetic", *flags(SMALL), "--out", out, "--from", str(model), *more]) == 0, capsys.readouterr().err
    return capsys.readouterr().err


# ---- what is taken ------------------------------------------------------------------------------------------------------------


def test_of_a_run_the_average_of_g_and_d_are_taken_with_their_architecture(
    trained: Path, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = fine_tuned(capsys, trained, *flags(STILL))
    taken, began = parameters(Path("tuned")), load_checkpoint(trained / "checkpoints" / "last.pt")
    assert all(torch.equal(value, began["ema"]["generator"][key]) for key, value in taken["generator"].items())
    assert not same(taken["generator"], parameters(trained)["generator"]), "the average is not the network of the last update"
    assert same(taken["discriminator"], parameters(trained)["discriminator"])
    tuned = load_checkpoint(Path("tuned/checkpoints/last.pt"))
    assert all(torch.equal(value, tuned["ema"]["generator"][key]) for key, value in taken["generator"].items()), (
        "the average begins there too"
    )
    assert f"note: the generator is that of {trained}, with width 4, where the recipe says width 32\n" in said
    assert f"note: the discriminator is that of {trained}, with width 4, receptive_field 16, where the recipe says" in said
    state = "after 6 images, the average of its generator"
    assert f"start:   {trained} ({state}): generator 34 of 34 tensors, discriminator 10 of 10 tensors\n" in said
    assert Recipe.load("tuned/recipe.yaml").training.start_from == str(trained)


def test_where_it_came_from_is_written_down_and_stays(trained: Path, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fine_tuned(capsys, trained, "--quiet")
    digest = hashlib.sha256((trained / "checkpoints" / "last.pt").read_bytes()).hexdigest()
    (start,) = log_entries(Path("tuned"), "start")
    record = start["started_from"]
    assert record["path"] == str(trained) and record["files"] == {"checkpoints/last.pt": digest}
    assert record["taken"] == {"generator": "34 of 34 tensors", "discriminator": "10 of 10 tensors"} and "not_taken" not in record
    assert main(["train", "--out", "tuned", "--resume", "--training.epochs", "2", "--quiet"]) == 0
    assert json.loads(Path("tuned/environment.json").read_text())["started_from"] == record
    assert load_model(Path("tuned/model"))[1].started_from == record
    shared = json.dumps(without_paths(load_model(Path("tuned/model"))[1]).to_dict())
    assert str(trained.parent) not in shared and digest in shared
    card = Path("tuned/model/README.md").read_text()
    state = "after 6 images, the average of its generator"
    assert f"\n| Fine-tuned from | {trained.parent.name}/run ({state}; checkpoints/last.pt SHA-256 {digest}) |\n" in card


@pytest.mark.parametrize("name", ["cyclegan", "cut"])
def test_every_network_of_a_step_is_taken(tmp_path: Path, name: str) -> None:
    """Both directions of CycleGAN, and what a contrastive term has trained beside G."""
    data = domains(tmp_path / "data", trainA=2, trainB=2)
    more = {"training.epochs": 1, "training.preview_count": 0}
    first = train(unpaired_recipe(name, data, **more), tmp_path / "first", quiet=True)
    second = train(unpaired_recipe(name, data, **more, **STILL, **{"training.seed": 5}), tmp_path / "second", start_from=first, quiet=True)
    one, other = parameters(first), parameters(second)
    wanted = {"generator", "discriminator"} | ({"inverse_generator", "inverse_discriminator"} if name == "cyclegan" else {"terms"})
    assert one.keys() == other.keys() and one.keys() >= wanted
    assert [network for network in one if not same(one[network], other[network])] == []


def test_of_a_run_of_the_first_version_all_is_taken(capsys: pytest.CaptureFixture[str]) -> None:
    run = Path(__file__).parents[1] / "compat" / "v0_1_0" / "paired"
    start = open_start(run)
    assert start.state == "after 28 images, the average of its generator" and [*start.weights] == ["generator", "discriminator"]
    assert starting_from(run, "pix2pix", quiet=True).generator.options["width"] == 2


def test_of_a_model_directory_g_is_taken_and_d_is_drawn(trained: Path, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = fine_tuned(capsys, trained / "model", *flags(STILL))
    model, _ = load_model(trained / "model")
    taken = parameters(Path("tuned"))
    assert all(torch.equal(value, taken["generator"][key]) for key, value in model.named_parameters())
    assert f"start:   {trained / 'model'} (last (6 images)): generator 34 of 34 tensors, discriminator anew\n" in said
    assert Recipe.load("tuned/recipe.yaml").discriminator == Recipe.load("pix2pix_tiny").discriminator


def test_of_the_reference_what_is_saved_beside_g_is_taken(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.manual_seed(0)
    torch.save(reference_unet(3, 3, 4, 5, "batch"), "latest_net_G.pth")
    torch.save(d := reference_patch(6, 4, 2, "batch"), "latest_net_D.pth")
    said = fine_tuned(capsys, "latest_net_G.pth", *flags(STILL), recipe="pix2pix")
    recipe = Recipe.load("tuned/recipe.yaml")
    assert (recipe.generator.options["width"], recipe.generator.options["depth"]) == (4, 5)
    assert recipe.discriminator is not None and recipe.discriminator.options["receptive_field"] == 34
    assert "(from latest_net_G.pth, latest_net_D.pth): generator " in said
    assert torch.equal(parameters(Path("tuned"))["discriminator"]["layers.0.conv.weight"], d["model.0.weight"])
    Path("latest_net_D.pth").write_bytes(b"no weights")
    assert "note: latest_net_D.pth beside latest_net_G.pth is not used: " in fine_tuned(
        capsys, "latest_net_G.pth", out="other", recipe="pix2pix"
    )


def test_what_a_reference_s_file_does_not_say_is_the_recipe_s(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A U-Net's dropout has no weights. The options beside the file say it; so does a recipe; the file alone would be a guess."""
    folder = tmp_path / "checkpoints" / "facades"
    folder.mkdir(parents=True)
    torch.save(reference_unet(3, 3, 2, 5, "batch"), folder / "latest_net_G.pth")
    torch.save(reference_patch(6, 2, 2, "batch"), folder / "latest_net_D.pth")
    assert starting_from(folder / "latest_net_G.pth", "pix2pix", {"generator.dropout": 0}, quiet=True).generator.options["dropout"] == 0
    recipe = Recipe.load("pix2pix", {"generator.dropout": 0.25, "generator.width": 8})
    options = starting_from(folder / "latest_net_G.pth", recipe, quiet=True).generator.options
    assert (options["dropout"], options["width"], options["dropout_skip"]) == (0.25, 2, 1)
    names = {"model": "pix2pix", "dataset_mode": "aligned", "dataroot": "photos", "netG": "unet_32", "ngf": 2, "no_dropout": True}
    (folder / "train_opt.txt").write_text("\n".join(f"{name}: {value}" for name, value in names.items()))
    own = starting_from(folder, None, {"data.path": "photos"}, quiet=True)
    assert (own.generator.options["dropout"], own.generator.options["width"]) == (0, 2)
    start = open_start(folder)
    assert [*start.weights] == ["generator", "discriminator"] and start.state == "from latest_net_G.pth, latest_net_D.pth"
    (folder / "latest_net_G.pth").rename(folder / "3_net_G.pth")
    with pytest.raises(UserError, match=r"facades holds no latest_net_G\.pth: there are 3_net_G\.pth"):
        starting_from(folder)


def test_of_the_reference_s_cyclegan_both_directions_are_read(tmp_path: Path) -> None:
    torch.manual_seed(0)
    states = {name: reference_resnet(3, 3, 2, 1, "instance", dropout=False) for name in ("G_A", "G_B")}
    states |= {name: reference_patch(3, 2, 2, "instance") for name in ("D_A", "D_B")}
    for name, state in states.items():
        torch.save(state, tmp_path / f"latest_net_{name}.pth")
    for side, other in (("A", "B"), ("B", "A")):
        start = open_start(tmp_path / f"latest_net_G_{side}.pth")
        heads = {name: value["head.weight"] for name, value in start.weights.items()}
        wanted = {
            "generator": f"G_{side}",
            "discriminator": f"D_{side}",
            "inverse_generator": f"G_{other}",
            "inverse_discriminator": f"D_{other}",
        }
        for name, theirs in wanted.items():
            last = [value for key, value in states[theirs].items() if key.endswith(".weight")][-1]
            assert torch.equal(heads[name], last), (name, theirs)


def test_other_channels_leave_the_outer_layers_anew_and_all_is_listed(
    trained: Path, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A colour model goes on on grey sources: its first layer, and D's, which sees the source too, are drawn."""
    rng = np.random.default_rng(0)
    for side, channels in (("A", 1), ("B", 3)):
        for number in range(4):
            images.write(place / "data" / side / f"{number}.png", rng.integers(0, 255, (32, 32, channels), np.uint8))
    more = {**SMALL, **STILL, "data.val_fraction": 0, "data.test_fraction": 0, "data.load_size": 32, "generator.width": 4}
    more = {key: value for key, value in more.items() if key not in ("data.train", "data.val", "data.test")}
    assert main(["train", "pix2pix", "data", *flags(more), "--out", "tuned", "--from", str(trained)]) == 0
    said = capsys.readouterr().err
    assert f"note: {trained} is for 3 -> 3 channels and this data has 1 -> 3: the layers that meet them begin anew\n" in said
    listed = "down.0.conv.weight ([4, 3, 4, 4] there, [4, 1, 4, 4] here)"
    assert f"note: of the generator, not taken: {listed}\n" in said
    assert re.search(r"note: of the discriminator, not taken: layers\.0\.conv\.weight \(\[4, 6, 4, 4\] there, \[4, 4, 4, 4\] here\)", said)
    assert "layers.0.conv.bias (with its layer)\n" in said, "a layer is taken whole or not at all"
    assert "generator 33 of 34 tensors, discriminator 8 of 10 tensors" in said
    (start,) = log_entries(Path("tuned"), "start")
    assert start["started_from"]["not_taken"]["generator"] == [listed]
    average, taken = load_checkpoint(trained / "checkpoints" / "last.pt")["ema"]["generator"], parameters(Path("tuned"))["generator"]
    assert all(torch.equal(value, average[key]) for key, value in taken.items() if not key.startswith("down.0.conv."))


LABELS = {"data.target_encoding": "labels"}


@pytest.mark.parametrize(
    ("before", "after", "note"),
    [
        (LABELS, {}, "targets of 3 classes, and these are of 3 x uint8"),
        (LABELS, {**LABELS, "data.target_classes": "[3, 2, 0]"}, "targets of the classes 0, 2, 3, and these are of the classes 3, 2, 0"),
        ({"data.source_range": "[0, 100]"}, {}, "sources of the values 0 to 100, and these are of the values 0 to 255"),
        ({"data.target_channel_names": "x,y,z"}, {"data.target_channel_names": "z,y,x"}, "targets of the channels x, y, z, and these are"),
        (LABELS, LABELS, ""),
    ],
)
def test_channels_that_meant_something_else_are_said(
    place: Path, before: dict[str, str], after: dict[str, str], note: str, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(0)
    for number in range(3):
        images.write(place / "data" / "A" / f"{number}.png", rng.integers(0, 255, (32, 32, 1), np.uint8))
        images.write(place / "data" / "B" / f"{number}.png", rng.choice(np.array([0, 2, 3], np.uint8), (32, 32, 1)))
        images.write(place / "rgb" / "A" / f"{number}.png", rng.integers(0, 255, (32, 32, 1), np.uint8))
        images.write(place / "rgb" / "B" / f"{number}.png", rng.integers(0, 255, (32, 32, 3), np.uint8))
    more = {**SMALL, **STILL, "data.val_fraction": 0, "data.test_fraction": 0, "data.load_size": 32, "generator.width": 4}
    more = {key: value for key, value in more.items() if key not in ("data.train", "data.val", "data.test")}
    for run, keys in (("first", before), ("tuned", after)):
        data = "data" if "data.target_encoding" in keys else "rgb"
        capsys.readouterr()
        assert main(["train", "l1", data, *flags({**more, **keys}), "--out", run, *(["--from", "first"] if run == "tuned" else [])]) == 0
    said = [line for line in capsys.readouterr().err.splitlines() if "was trained on" in line]
    assert len(said) == bool(note) and all(f"{place / 'first'} was trained on {note}" in line for line in said)


# ---- which recipe -------------------------------------------------------------------------------------------------------------


def test_a_key_that_was_typed_goes_before_the_model_s(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipe = starting_from(trained, "pix2pix", {"generator.dropout": "0.25", "training.epochs": "3", "data.path": "photos"})
    assert {key: recipe.generator.options[key] for key in ("width", "depth", "dropout")} == {"width": 4, "depth": 4, "dropout": 0.25}
    assert recipe.discriminator is not None and recipe.discriminator.options["width"] == 4
    assert recipe.training.replaced(epochs=200, start_from=None) == Recipe.load("pix2pix").training and recipe.data.crop_size == 256
    said = capsys.readouterr().err
    assert f"note: generator.dropout is 0.25, where {trained} has dropout 0.5\n" in said
    assert (
        f"note: the generator is that of {trained}, with width 4, depth 4, dropout_layers 1, where the recipe says width 64, depth 8, "
        in said
    )
    assert f"note: {trained} was trained on squares of 32 pixels, and data.crop_size is 256\n" in said
    other = starting_from(trained, "pix2pix", {"generator": "resnet"})
    assert other.generator == Recipe.load("pix2pix", {"generator": "resnet"}).generator
    assert f"note: generator.name is resnet, where {trained} has unet\n" in capsys.readouterr().err
    starting_from(trained, "pix2pix", quiet=True)
    assert capsys.readouterr().err == ""


def test_without_a_recipe_it_is_the_model_s_own(trained: Path, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    own = Recipe.load(trained / "recipe.yaml")
    recipe = starting_from(trained, None, {"training.learning_rate": "1e-5"})
    assert recipe.differences(own) == {"training.learning_rate": (1e-5, 4e-4), "training.start_from": (str(trained), None)}
    assert capsys.readouterr().err == f"note: the recipe is the one that {trained} was trained by, pix2pix_tiny\n"
    other = starting_from(trained, None, {"data.path": "photos"}, quiet=True).data
    assert (other.kind, other.path, other.crop_size) == ("auto", "photos", 32) and "train" not in other.options
    torch.save(reference_resnet(3, 1, 2, 1, "instance", dropout=False), "latest_net_G_A.pth")
    recipe = starting_from("latest_net_G_A.pth", None, {"data.path": "photos"})
    assert (recipe.name, recipe.generator.name, recipe.generator.options["blocks"]) == ("pix2pix", "resnet", 1)
    assert "latest_net_G_A.pth does not say what it was trained by: the recipe is pix2pix\n" in capsys.readouterr().err


def test_a_word_alone_beside_from_is_data_unless_it_is_a_recipe(trained: Path, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def section(*words: str) -> tuple[str, str | None, str]:
        assert main(["train", *words, "--from", str(trained), "--print_config", "--quiet"]) == 0
        recipe = Recipe.from_dict(yaml.safe_load(capsys.readouterr().out))
        return recipe.data.kind, recipe.data.path, recipe.name

    assert section("photos") == ("auto", "photos", "pix2pix_tiny")
    assert section("shapes") == ("shapes", None, "pix2pix_tiny")
    assert section("pix2pix_small", "photos") == ("auto", "photos", "pix2pix_small")
    assert section("demo") == ("synthetic", None, "demo")
    assert section() == ("synthetic", None, "pix2pix_tiny")


def test_from_python(trained: Path, tmp_path: Path) -> None:
    """A recipe gets the model's networks; with its own key they stay its own, and what fits is taken."""
    recipe = tiny_recipe(training__epochs=1, generator__width=8, discriminator__width=4)
    run = train(recipe, tmp_path / "run", start_from=trained, quiet=True)
    assert Recipe.load(run / "recipe.yaml").generator.options["width"] == 4
    own = recipe.updated({"training.start_from": str(trained), "generator.width": 4, "generator.noise": True})
    kept = train(own, tmp_path / "kept", quiet=True)
    assert Recipe.load(kept / "recipe.yaml").generator == own.generator
    assert "not_taken" in log_entries(kept, "start")[0]["started_from"]
    with pytest.raises(UserError, match=r"no recipe is given: name one, e\.g\. pix2pix, or a model to start_from"):
        train(None, tmp_path / "none", quiet=True)


# ---- as exact as any other ----------------------------------------------------------------------------------------------------


def test_a_fine_tune_is_repeated_resumed_and_rerun_to_the_same_bits(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Resuming asks for the model no more; the run's own recipe makes it again, whatever was typed beside --from."""
    model = shutil.copytree(trained, tmp_path / "model")
    recipe = tiny_recipe(training__epochs=2, training__checkpoint_every=2)
    whole = train(recipe, tmp_path / "whole", start_from=model, quiet=True)
    torch.rand(5)
    assert_same_bits(whole, train(Recipe.load(whole / "recipe.yaml"), tmp_path / "again", quiet=True))
    with monkeypatch.context() as patch:
        stop_after(9, patch, OSError)
        with pytest.raises(OSError, match="killed"):
            train(recipe, tmp_path / "killed", start_from=model, quiet=True)
    shutil.rmtree(model)
    assert main(["train", "--out", str(tmp_path / "killed"), "--resume", "--quiet"]) == 0, capsys.readouterr().err
    assert_same_bits(whole, tmp_path / "killed")
    assert numbers(whole) == numbers(tmp_path / "killed")


def test_checkpoints_from_before_there_was_a_start_go_on(trained: Path, tmp_path: Path) -> None:
    run = shutil.copytree(trained, tmp_path / "run")
    state = load_checkpoint(run / "checkpoints" / "last.pt")
    del state["started_from"], state["recipe"]["training"]["start_from"]
    torch.save({**state, "format": 2}, run / "checkpoints" / "last.pt")
    train(tiny_recipe(training__epochs=1), run, resume=True, quiet=True)
    assert load_model(run / "model")[1].started_from is None


# ---- what cannot be ------------------------------------------------------------------------------------------------------------


def _half(run: Path) -> None:
    file = run / "checkpoints" / "last.pt"
    file.write_bytes(file.read_bytes()[:5000])


def _newer_model(run: Path) -> None:
    file = run / "model" / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "format": 99}))


@pytest.mark.parametrize(
    ("change", "model", "more", "said"),
    [
        (None, "run", ["--resume"], "--from begins a new training, and --resume goes on with one from its own checkpoint"),
        (
            None,
            "nowhere",
            [],
            "nowhere does not exist: start from a run, a model directory, a shipped model, hub:owner/name, or a .pth file of the PyTorch",
        ),
        (
            None,
            "run/samples",
            [],
            "run/samples holds no model to start from: give a run, a model directory, a shipped model, hub:owner/name, or a ",
        ),
        (None, "run/recipe.yaml", [], "run/recipe.yaml is not a file of PyTorch weights"),
        (None, "run/model/generator.safetensors", [], "generator.safetensors is one file of a model: start from its folder, "),
        (None, "run/checkpoints/last.pt", [], "run/checkpoints/last.pt is the checkpoint of a run: start from the run itself, "),
        (None, "latest_net_D.pth", [], "latest_net_D.pth: it is a discriminator patch, 6 channels, "),
        (None, "notes.pth", [], "notes.pth is not a file of PyTorch weights"),
        (None, "model.onnx", [], "model.onnx was exported to be run, and cannot be trained: start from the run or the model that it was"),
        (None, "run", ["--generator.width", "8"], "run fits the generator of this recipe (down.0.conv.weight ([4, 3, 4, 4] there, [8, "),
        (None, "run", ["--generator", "resnet"], "run fits the generator of this recipe (stem.conv.weight (not there, "),
        (_half, "run", [], "run/checkpoints/last.pt is damaged or cut off: start from its model alone, "),
        (_newer_model, "run/model", [], "run/model/config.json has format 99 of transfigure"),
    ],
)
def test_what_cannot_be_started_from_is_one_sentence_and_leaves_nothing(
    trained: Path, place: Path, capsys: pytest.CaptureFixture[str], change: Any, model: str, more: list[str], said: str
) -> None:
    run = shutil.copytree(trained, place / "run")
    torch.save(reference_patch(6, 4, 2, "batch"), "latest_net_D.pth")
    for name in ("notes.pth", "model.onnx"):
        Path(name).write_text("notes")
    if change is not None:
        change(run)
    before = sorted(path for path in place.rglob("*"))
    assert main(["train", "pix2pix", "synthetic", *flags(SMALL), "--out", "tuned", "--from", model, *more, "--quiet"]) == 2
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1 and error.startswith("transfigure: ") and "Traceback" not in error
    assert sorted(path for path in place.rglob("*")) == before


def test_a_newer_checkpoint_and_weights_that_are_not_finite_are_refused(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "FORMAT", FORMAT - 1)
        with pytest.raises(UserError, match=rf"was written by a newer version \(format {FORMAT}\): update transfigure to read it"):
            open_start(trained)
    translator = tiny_translator(tiny_config())
    with torch.no_grad():
        next(translator.generator.parameters()).view(-1)[0] = float("nan")
    translator.save(tmp_path / "model")
    with pytest.raises(UserError, match=r"holds a number that is not finite, in generator\.down\.0\.conv\.weight"):
        train(tiny_recipe(training__epochs=1), tmp_path / "run", start_from=tmp_path / "model", quiet=True)
    assert not (tmp_path / "run").exists()
