"""Recipes: what may be written, what comes of it, and what is said to a person who wrote something else."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from transfigure import registry
from transfigure.data.open import resolve_data
from transfigure.errors import UserError
from transfigure.recipe import (
    Adversarial,
    Data,
    ObjectiveSection,
    Recipe,
    Term,
    Training,
    flatten,
    has_place,
    parse_value,
    read_options,
    shipped,
)
from transfigure.recipe import section as recipe_section
from transfigure.recipe.describe import SECTIONS, section_keys

QUICK = settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])


def _write(folder: Path, text: str, name: str = "mine.yaml") -> Path:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text, encoding="utf-8")
    return folder / name


def _load(**overrides: Any) -> Recipe:
    return Recipe.load("pix2pix", {key.replace("__", "."): value for key, value in overrides.items()})


def _refused(overrides: dict[str, Any], base: str | Path = "pix2pix") -> str:
    with pytest.raises(UserError) as caught:
        Recipe.load(base, overrides)
    sentence = str(caught.value)
    assert "\n" not in sentence and len(sentence.replace(str(base), "")) < 400
    return sentence


# ---- there and back ----------------------------------------------------------------------------------------------------

VALID: dict[str, st.SearchStrategy[Any]] = {
    "name": st.text(min_size=1).filter(str.strip),
    "data": st.sampled_from(["auto", "side_by_side", "two_folders", "manifest", "synthetic"]),
    "data.load_size": st.sampled_from([None, 512, 600]),
    "data.crop_size": st.sampled_from([16, 48, 64, 272, 512]),
    "data.direction": st.sampled_from(["AtoB", "BtoA"]),
    "data.flip": st.booleans(),
    "data.source_range": st.sampled_from([None, [0, 4095], [-1.5, 2]]),
    "data.val_fraction": st.floats(0, 0.49),
    "data.limit": st.none() | st.integers(1, 10**9),
    "data.cache_gb": st.floats(0, 1e6),
    "generator": st.sampled_from(registry.names("generator")),
    "generator.width": st.integers(1, 512),
    "generator.dropout": st.floats(0, 0.9),
    "discriminator.receptive_field": st.sampled_from([1, 16, 34, 70, 142, 286]),
    "discriminator.norm": st.sampled_from(["instance", "none"]),
    "objective.adversarial": st.sampled_from([None, *registry.names("adversarial")]),
    "objective.terms": st.lists(
        st.fixed_dictionaries({"loss": st.sampled_from(registry.names("loss")), "weight": st.floats(1e-3, 1e6)}), min_size=1, max_size=3
    ),
    "objective.terms.0.weight": st.floats(1e-9, 1e9),
    "training.epochs": st.integers(1, 10**6),
    "training.learning_rate": st.floats(1e-12, 10),
    "training.betas": st.tuples(st.floats(0, 0.999), st.floats(0, 0.9999)),
    "training.schedule": st.sampled_from(["linear_decay", "constant", "cosine"]),
    "training.ema": st.none() | st.floats(0.5, 0.99999),
    "training.seed": st.integers(0, 2**63 - 1),
    "training.channels_last": st.sampled_from(["auto", "yes", "no"]),
    "training.best_metric": st.sampled_from(registry.names("metric")),
    "training.trackers": st.lists(st.sampled_from(["tensorboard", "mlflow", "wandb"]), unique=True),
}
OVERRIDES = st.sets(st.sampled_from(sorted(VALID)), max_size=8).flatmap(
    lambda keys: st.fixed_dictionaries({key: VALID[key] for key in VALID if key in keys})
)


@QUICK
@given(base=st.sampled_from(sorted(shipped())), overrides=OVERRIDES)
def test_whatever_was_set_comes_back_from_the_printed_recipe(tmp_path: Path, base: str, overrides: dict[str, Any]) -> None:
    try:
        recipe = Recipe.load(base, {"discriminator.norm": "instance", "objective.terms": [{"loss": "l2"}], **overrides})
    except UserError as error:
        assert "smaller than data.crop_size" in str(error)  # a small recipe's load_size with a large crop
        return
    assert Recipe.load(_write(tmp_path, recipe.to_yaml())) == recipe
    assert Recipe.from_dict(recipe.to_dict()) == recipe
    assert recipe.updated({}) == recipe
    assert recipe.differences(recipe) == {}
    said = dict(flatten(recipe.to_dict()))
    for key, value in overrides.items():
        if key in said and not isinstance(value, list) and key != "name":
            assert said[key] == (list(value) if isinstance(value, tuple) else value), key
    again = Recipe.load(base, {key: value for key, value in said.items() if value != {}})  # every key of the YAML is a flag
    assert again == recipe


@settings(QUICK, max_examples=60)
@given(
    key=st.sampled_from(sorted({key for name in shipped() for key, _ in flatten(Recipe.load(name).to_dict())} | set(VALID)))
    | st.text(max_size=20),
    value=st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
        max_leaves=4,
    ),
)
def test_any_value_anywhere_is_a_recipe_or_a_sentence(key: str, value: Any) -> None:
    try:
        recipe = Recipe.load("pix2pix_tiny", {key: value})
    except UserError as error:
        assert str(error)
        return
    assert Recipe.from_dict(yaml.safe_load(recipe.to_yaml())) == recipe


def test_a_changed_copy_leaves_the_first_alone() -> None:
    recipe = Recipe.load("pix2pix")
    before = recipe.to_yaml()
    changed = recipe.updated({"objective.terms.l1.weight": 10, "training.betas": [0.1, 0.2], "data.path": "x"})
    assert recipe.to_yaml() == before
    assert changed.differences(recipe) == {
        "data.path": ("x", None),
        "objective.terms": ([{"loss": "l1", "weight": 10.0}], [{"loss": "l1", "weight": 100.0}]),
        "training.betas": ([0.1, 0.2], [0.5, 0.999]),
    }
    assert recipe.differences(changed)["data.path"] == (None, "x")


def test_differences_name_keys_that_one_of_them_has_not() -> None:
    difference = Recipe.load("pix2pix").updated({"generator": "resnet"}).differences(Recipe.load("pix2pix"))
    assert difference["generator.blocks"] == (9, None)
    assert difference["generator.depth"] == (None, 8)


def test_a_recipe_resolved_by_its_data_comes_back_the_same(tmp_path: Path) -> None:
    for base, path in (("pix2pix_tiny", None), ("pix2pix", tmp_path)):
        recipe = Recipe.load(base, {} if path is None else {"data.kind": "two_folders", "data.path": str(path)})
        resolved = recipe.replaced(data=resolve_data(recipe.data))
        assert Recipe.load(_write(tmp_path, resolved.to_yaml())) == resolved


def test_a_recipe_cannot_be_changed_in_place() -> None:
    recipe = Recipe.load("pix2pix")
    for section, key, value in ((recipe, "name", "other"), (recipe.training, "epochs", 3), (recipe.generator, "width", 3)):
        with pytest.raises(ValidationError, match="frozen"):
            setattr(section, key, value)
    assert recipe == Recipe.load("pix2pix")


def test_every_key_has_help() -> None:
    for section in SECTIONS:
        group = section_keys(section)
        assert group.summary.endswith(".")
        assert [key.name for key in group.keys] == [f"{group.where}.{name}" for name in section.model_fields]
        assert all(key.help and key.takes for key in group.keys)


def test_the_defaults_are_what_their_keys_take() -> None:
    """Pydantic does not look at defaults; here each is given as if a person had written it."""
    for section in SECTIONS:
        for key in section_keys(section).keys:
            if key.default is not None or "null" in key.takes:
                name = key.name.removeprefix(f"{section.where}.")
                assert getattr(section(**{"loss": "l1"} if section is Term else {}, **{name: key.default}), name) == key.default
    for kind, name in registry.catalog():
        given = {key: item.default for key, item in registry.entry(kind, name).options.items()}
        assert read_options(name, kind, name, given) == given
    assert Recipe.from_dict({"objective": {"terms": ["l1"]}}).training == Training()


# ---- from Python ------------------------------------------------------------------------------------------------------------


def test_a_replaced_section_is_checked_as_a_whole() -> None:
    recipe = Recipe.load("pix2pix", {"data.a": "left"})
    changed = recipe.replaced(data=recipe.data.replaced(crop_size=128), training=recipe.training.replaced(epochs=3, betas=[0, 0.9]))
    assert changed == recipe.updated({"data.crop_size": 128, "training.epochs": 3, "training.betas": [0, 0.9], "generator.depth": 8})
    assert changed.data.options == {"a": "left"}
    for wrong, said in (
        (lambda: recipe.data.replaced(crop_size=-1), "data.crop_size cannot be -1: it takes a whole number above 0"),
        (lambda: recipe.data.replaced(croup_size=1), "data.croup_size is not a recipe key (did you mean 'data.crop_size'?)"),
        (lambda: recipe.data.replaced(crop_size=512), "data.load_size 286 is smaller than data.crop_size 512"),
        (lambda: recipe.data.model_copy(update={"crop_size": -1}), "data.crop_size cannot be -1"),
        (lambda: recipe.replaced(data={"crop_size": 0}), "data.crop_size cannot be 0"),
        (lambda: recipe.replaced(generator="unett"), "there is no generator named 'unett' (did you mean 'unet'?)"),
        (lambda: recipe.generator.replaced(width=True), "generator.width cannot be true"),
        (lambda: Training(epochs=0), "training.epochs cannot be 0: it takes a whole number above 0"),
        (lambda: Data(val_fraction=0.5, test_fraction=0.5), "leave nothing to train on"),
        (lambda: Adversarial(loss="hinge", conditional=1), "objective.adversarial.conditional cannot be 1: it takes true or false"),
    ):
        with pytest.raises(UserError) as caught:
            wrong()
        assert str(caught.value).startswith(said) or said in str(caught.value)


def test_a_recipe_can_be_sent_to_another_process() -> None:
    recipe = Recipe.load("pix2pix", {"generator": "resnet", "data.kind": "two_folders"})
    again = pickle.loads(pickle.dumps(recipe))
    assert again == recipe and again.generator.options == recipe.generator.options and again.to_yaml() == recipe.to_yaml()


def test_numbers_of_numpy_are_numbers() -> None:
    recipe = _load(training__epochs=np.int64(3), training__learning_rate=np.float32(0.5), generator__width=np.int32(8))
    assert (recipe.training.epochs, recipe.training.learning_rate, recipe.generator.options["width"]) == (3, 0.5, 8)
    assert recipe == Recipe.from_dict(yaml.safe_load(recipe.to_yaml()))


# ---- old names --------------------------------------------------------------------------------------------------------------


@pytest.fixture
def notices(capsys: pytest.CaptureFixture[str]) -> Iterator[Callable[[], list[str]]]:
    """What has been said on stderr; as if nothing had been said before."""
    recipe_section._notice.cache_clear()
    yield lambda: [*capsys.readouterr().err.splitlines()]
    recipe_section._notice.cache_clear()


NOTICE = "note: the recipe key objective.terms.like is now called match_gradient_of; the old name is still read"


def test_an_old_name_is_read_everywhere_with_one_line_of_notice(tmp_path: Path, notices: Callable[[], list[str]]) -> None:
    new = Recipe.load("pix2pix", {"objective.terms": [{"loss": "cosine", "weight": 5, "match_gradient_of": "l1"}, "l1"]})
    assert notices() == []
    old = new.to_yaml().replace("match_gradient_of", "like")
    assert old != new.to_yaml()
    tree = yaml.safe_load(old)
    for recipe in (
        Recipe.load(_write(tmp_path, old)),
        Recipe.load(_write(tmp_path, "extends: pix2pix\nname: pix2pix\nobjective: {terms: [{loss: cosine, weight: 5, like: l1}, l1]}")),
        Recipe.load("pix2pix", {"objective.terms": "[{loss: cosine, weight: 5, like: l1}, l1]"}),
        Recipe.load("pix2pix", {"objective": {"terms": [{"loss": "cosine", "weight": 5, "like": "l1"}, "l1"]}}),
        new.updated({"objective.terms.cosine.match_gradient_of": None}).updated({"objective.terms.cosine.like": "l1"}),
        new.updated({"objective.terms.0": {"like": "l1"}}),
        Recipe.from_dict(tree),
        new.replaced(objective=ObjectiveSection(terms=tree["objective"]["terms"], adversarial=new.objective.adversarial)),
    ):
        assert recipe == new and not recipe.differences(new)
        assert "like" not in recipe.to_yaml()
    assert notices() == [NOTICE]
    assert new.updated({"objective.terms.cosine.like": None}).objective.terms[0].keys() == {"loss", "weight", "epsilon"}
    assert _refused({"objective.terms": [{"loss": "cosine", "like": "l1", "match_gradient_of": "l1"}]}) == (
        "objective.terms.like is the old name of objective.terms.match_gradient_of: give one of them"
    )
    assert "did you mean 'l1'" in _refused({"objective.terms.l1.like": "l11"})


def test_a_group_of_keys_may_have_old_names_too(monkeypatch: pytest.MonkeyPatch, notices: Callable[[], list[str]], tmp_path: Path) -> None:
    monkeypatch.setattr(Training, "formerly", {"n_epochs": "epochs"})
    for recipe in (
        Recipe.load("pix2pix", {"training.n_epochs": "3"}),
        Recipe.load(_write(tmp_path, "extends: pix2pix\ntraining: {n_epochs: 3}")),
        Recipe.load("pix2pix").updated({"training": {"n_epochs": 3}}),
        Recipe.from_dict({"training": {"n_epochs": 3}, "objective": {"terms": ["l1"]}}),
    ):
        assert recipe.training.epochs == 3 and "n_epochs" not in recipe.to_yaml()
    assert len(notices()) == 1


# ---- the step ---------------------------------------------------------------------------------------------------------------


def test_the_step_is_a_name_with_options(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_plugins", {})
    assert Recipe.load("pix2pix").training.step == "auto"
    assert Recipe.load("pix2pix", {"training.step": "auto"}) == Recipe.load("pix2pix")
    parts = '''
@register("step", "{name}")
class {name}:
    """One update.

    Args:
        {option}: how many.
    """

    def __init__(self, networks, {option}: int = {default}) -> None: ...
'''
    text = "from transfigure.registry import register\n" + "".join(
        parts.replace("{name}", name).replace("{option}", option).replace("{default}", str(default))
        for name, option, default in (("Wgan", "critic_updates", 5), ("Slow", "pause", 1))
    )
    registry.load_plugin(str(_write(tmp_path, text, "steps.py")))
    recipe = Recipe.load("pix2pix", {"training.step": "Wgan"})
    assert recipe.training.options == {"critic_updates": 5}
    assert recipe.updated({"training.critic_updates": 3, "training.epochs": 2}).to_dict()["training"]["critic_updates"] == 3
    assert recipe.updated({"training": "Slow"}).training.options == {"pause": 1}
    assert Recipe.load("pix2pix", {"training.pause": 2}).training.options == {"pause": 2}, "what auto comes to may take it"
    assert "did you mean 'training.critic_updates'" in _refused({"training.step": "Wgan", "training.critic_update": 3})
    assert "training.critic_updates cannot be 'x': it takes a whole number" in _refused({"training.critic_updates": "x"})
    assert "there is no step named 'Wgam' (did you mean 'Wgan'?)" in _refused({"training.step": "Wgam"})


def test_an_option_cannot_have_the_name_of_a_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would not reach the thing."""
    monkeypatch.setattr(registry, "_plugins", {})
    text = 'from transfigure.registry import register\n\n@register("loss", "heavy")\ndef heavy(batch, weight: float = 2.0): ...\n'
    registry.load_plugin(str(_write(tmp_path, text, "heavy.py")))
    assert _refused({"objective.terms": ["heavy"]}) == (
        "loss 'heavy' has an option weight, which is a key of every objective.terms: give it another name"
    )


def test_a_recipe_of_0_1_0_has_no_step() -> None:
    tree = Recipe.load("pix2pix").to_dict()
    del tree["training"]["step"]
    assert not Recipe.from_dict(tree).differences(Recipe.load("pix2pix"))


# ---- what may be written -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("20", 20),
        ("2e-4", 2e-4),
        ("-1E5", -1e5),
        ("1.5e+3", 1500.0),
        ("0.5", 0.5),
        ("null", None),
        ("", None),
        ("no", False),
        ("true", True),
        ("[0.5, 0.999]", [0.5, 0.999]),
        ("{loss: l1}", {"loss": "l1"}),
        ("resnet", "resnet"),
        ("a: b: c", "a: b: c"),
        ("2e-4x", "2e-4x"),
        ("2024-99-99", "2024-99-99"),
        ("[" * 600, "[" * 600),
    ],
)
def test_flags_are_yaml_values(text: str, value: Any) -> None:
    assert parse_value(text) == value


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("training.learning_rate", "2e-4", 2e-4),
        ("training.betas", "[5e-1, 9.9e-1]", (0.5, 0.99)),
        ("training.epochs", "2e2", 200),
        ("training.channels_last", "no", "no"),
        ("training.channels_last", "yes", "yes"),
        ("training.fused", "no", False),
        ("training.ema", "null", None),
        ("training.trackers", "[wandb, mlflow]", ["wandb", "mlflow"]),
        ("data.load_size", "null", None),
        ("data.source_range", "[0, 4095]", (0.0, 4095.0)),
        ("data.path", "2024", "2024"),
        ("data.path", "no", "no"),
        ("data.path", "a: b #c", "a: b #c"),
        ("data.path", "[x]", "[x]"),
        ("data.path", "2024-01-01", "2024-01-01"),
        ("data.path", "null", None),
        ("name", "007", "007"),
    ],
)
def test_a_flag_is_read_as_its_key_wants(key: str, text: str, value: Any) -> None:
    recipe: Any = _load(**{key: text})
    for part in key.split("."):
        recipe = getattr(recipe, part)
    assert recipe == value and type(recipe) is type(value)


def test_folder_names_that_look_like_numbers() -> None:
    recipe = Recipe.load("pix2pix", {"data.kind": "two_folders", "data.a": "01", "data.b": "off"})
    assert recipe.data.options == {"a": "01", "b": "off"}
    assert Recipe.from_dict(yaml.safe_load(recipe.to_yaml())) == recipe


def test_a_path_may_be_a_path() -> None:
    assert _load(data__path=Path("some") / "where").data.path == os.path.join("some", "where")  # noqa: PTH118


def test_a_file_keeps_its_quoted_words(tmp_path: Path) -> None:
    """What YAML has read once is not read again on its way through ``extends``."""
    for extends in ("", "extends: pix2pix\n"):
        file = _write(tmp_path, extends + 'data: {path: "2024", kind: two_folders, a: "no"}\nobjective: {terms: [l1]}\nname: "1"')
        recipe = Recipe.load(file)
        assert (recipe.data.path, recipe.data.options["a"], recipe.name) == ("2024", "no", "1")


def test_yaml_files_may_write_numbers_as_people_do(tmp_path: Path) -> None:
    file = _write(
        tmp_path, "training: {learning_rate: 2e-4, betas: [5e-1, 0.999], ema: 9e-1, epochs: 20.0, channels_last: no}\nextends: pix2pix"
    )
    training = Recipe.load(file).training
    assert (training.learning_rate, training.betas, training.ema) == (2e-4, (0.5, 0.999), 0.9)
    assert (training.epochs, training.channels_last) == (20, "no")


def test_short_forms(tmp_path: Path) -> None:
    file = _write(tmp_path, "data: synthetic\ngenerator: resnet\nobjective: {adversarial: lsgan, terms: [l1, {loss: ssim, weight: 5}]}")
    recipe = Recipe.load(
        file, {"generator.blocks": 6, "data.train": 5, "objective.adversarial.real_label": 0.9, "objective.terms.l1.weight": 3}
    )
    assert (recipe.data.kind, recipe.data.options["train"]) == ("synthetic", 5)
    assert (recipe.generator.name, recipe.generator.options["blocks"]) == ("resnet", 6)
    assert recipe.objective.adversarial == Adversarial(loss="lsgan", real_label=0.9)
    assert [(term["loss"], term["weight"]) for term in recipe.objective.terms] == [("l1", 3.0), ("ssim", 5.0)]
    assert recipe.name == "mine"


def test_a_section_may_leave_out_its_name(tmp_path: Path) -> None:
    recipe = Recipe.load(_write(tmp_path, "generator: {width: 8}\ndiscriminator: {width: 9}\nobjective: {adversarial: {weight: 2}}"))
    assert (recipe.generator.name, recipe.generator.options["width"]) == ("unet", 8)
    assert recipe.discriminator is not None and recipe.discriminator.name == "patch"
    assert recipe.objective.adversarial is not None and recipe.objective.adversarial.loss == "vanilla"


def test_a_group_of_keys_is_laid_over_key_by_key() -> None:
    recipe = _load(generator={"width": 8}, training="{epochs: 3, seed: 7}", objective__terms__l1={"weight": 5})
    assert recipe.generator.options["dropout"] == 0.5 and recipe.generator.options["width"] == 8
    assert (recipe.training.epochs, recipe.training.seed) == (3, 7)
    assert recipe.objective.terms[0]["weight"] == 5


def test_an_empty_section_changes_nothing(tmp_path: Path) -> None:
    """As when every key under a heading is commented out."""
    file = _write(tmp_path, "extends: pix2pix_tiny\nname: pix2pix_tiny\ndata:\ngenerator: {}\ndiscriminator:\nobjective:\ntraining:\n")
    assert Recipe.load(file) == Recipe.load("pix2pix_tiny")


# ---- naming another thing ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["generator", "generator.name"])
def test_another_generator_keeps_what_it_shares_and_drops_the_rest(key: str) -> None:
    recipe = _load(**{"generator.width": 32, "generator.dropout_layers": 2}).updated({key: "resnet"})
    shared = {"width": 32, "norm": "batch", "dropout": 0.5, "upsampling": "transposed", "noise": False}
    assert recipe.generator.options == {**shared, "blocks": 9, "downsampling": "strided"}
    back = recipe.updated({key: "unet"})
    assert back.generator.options["depth"] == 8
    assert "blocks" not in back.generator.options


@pytest.mark.parametrize("pairs", [["generator", "generator.blocks"], ["generator.blocks", "generator"]])
def test_the_order_of_flags_does_not_matter(pairs: list[str]) -> None:
    values = {"generator": "resnet", "generator.blocks": 3}
    assert Recipe.load("pix2pix", {key: values[key] for key in pairs}).generator.options["blocks"] == 3


def test_an_option_of_the_old_generator_given_with_the_new_one_is_refused() -> None:
    assert "generator.depth is not a recipe key" in _refused({"generator.depth": 5, "generator": "resnet"})


def test_a_misspelt_option_survives_no_renaming(tmp_path: Path) -> None:
    file = _write(tmp_path, "generator: {widht: 3}\nobjective: {terms: [l1]}")
    assert "did you mean 'generator.width'" in _refused({"generator": "resnet"}, file)
    file = _write(tmp_path, "extends: pix2pix\ngenerator: {blokcs: 3, name: resnet}")
    assert "did you mean 'generator.blocks'" in _refused({}, file)


def test_another_adversarial_loss_keeps_the_rest_of_the_objective() -> None:
    recipe = Recipe.load("gan", {"objective.adversarial.weight": 3, "objective.adversarial.real_label": 0.9})
    for key in ("objective.adversarial", "objective.adversarial.loss"):
        adversarial = recipe.updated({key: "hinge"}).objective.adversarial
        assert adversarial == Adversarial(loss="hinge", conditional=False, weight=3.0)


def test_another_loss_in_a_term_keeps_its_weight() -> None:
    terms = [{"loss": "ssim", "weight": 7, "window": 5}]
    for key in ("objective.terms.ssim", "objective.terms.0.loss"):
        recipe = _load(objective__terms=terms).updated({key: "charbonnier"})
        assert recipe.objective.terms == ({"loss": "charbonnier", "weight": 7.0, "epsilon": 0.001},)


def test_terms_by_name_and_by_position() -> None:
    recipe = _load(objective__terms="[l1, {loss: l1, weight: 2}, ssim]")
    assert [term["weight"] for term in recipe.updated({"objective.terms.1.weight": 9}).objective.terms] == [1, 9, 1]
    assert [term["weight"] for term in recipe.updated({"objective.terms.ssim.weight": 9}).objective.terms] == [1, 2, 9]
    assert [term["loss"] for term in recipe.updated({"objective.terms.1": "l2"}).objective.terms] == ["l1", "l2", "ssim"]
    assert [term["loss"] for term in recipe.updated({"objective.terms.ssim": None}).objective.terms] == ["l1", "l1"]


def test_the_adversarial_term_can_be_taken_out_and_put_back() -> None:
    recipe = _load(objective__adversarial=None)
    assert recipe.objective.adversarial is None and recipe.discriminator is None
    again = recipe.updated({"objective.adversarial": "lsgan"})
    assert again.discriminator is not None and again.discriminator.name == "patch"


def test_files_instead_of_drawn_pictures() -> None:
    recipe = Recipe.load("pix2pix_tiny", {"data.path": "photos"})
    assert (recipe.data.kind, recipe.data.path) == ("auto", "photos")
    assert not {"train", "world_seed"} & set(recipe.data.options)
    back = recipe.updated({"data.kind": "synthetic"})
    assert (back.data.kind, back.data.path) == ("synthetic", None)
    assert "reads no files" in _refused({"data.kind": "synthetic", "data.path": "x"})


def test_options_of_unresolved_data_may_be_those_of_any_kind_of_file() -> None:
    assert Recipe.load("pix2pix", {"data.a": "left"}).data.options == {"a": "left"}
    assert "data.world_seed is not a recipe key" in _refused({"data.world_seed": 1})


# ---- depth -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("crop", "depth"), [(512, 8), (256, 8), (128, 7), (64, 6), (272, 4), (48, 4), (16, 4), (1024, 8)])
def test_depth_follows_the_crop(crop: int, depth: int) -> None:
    recipe = Recipe.load("pix2pix", {"data.load_size": None, "data.crop_size": crop})
    assert recipe.generator.options["depth"] == depth
    assert Recipe.load("encoder_decoder", {"data.load_size": None, "data.crop_size": crop}).generator.options["depth"] == depth


@pytest.mark.parametrize(("crop", "near"), [(250, 256), (100, 96), (8, 16), (255, 256)])
def test_a_crop_that_cannot_be_halved_is_refused_with_one_that_can(crop: int, near: int) -> None:
    sentence = _refused({"data.load_size": None, "data.crop_size": crop})
    assert f"data.crop_size {crop} " in sentence and f"such as {near}," in sentence
    assert Recipe.load("pix2pix", {"data.load_size": None, "data.crop_size": near}).data.crop_size == near


@pytest.mark.parametrize("crop", [0, -16])
def test_a_crop_without_pixels_is_refused(crop: int) -> None:
    assert _refused({"data.load_size": None, "data.crop_size": crop}) == f"data.crop_size cannot be {crop}: it takes a whole number above 0"


def test_a_depth_that_was_written_down_stays(tmp_path: Path) -> None:
    saved = _write(tmp_path, Recipe.load("pix2pix").to_yaml())
    assert Recipe.load(saved, {"data.crop_size": 128}).generator.options["depth"] == 8
    assert Recipe.load(saved, {"data.crop_size": 128, "generator.depth": None}).generator.options["depth"] == 7
    assert Recipe.load("pix2pix", {"data.crop_size": 100, "generator.depth": 2}).generator.options["depth"] == 2
    assert "depth" not in Recipe.load("pix2pix", {"data.crop_size": 100, "generator": "resnet"}).generator.options


# ---- extends -----------------------------------------------------------------------------------------------------------


def test_a_file_extends_a_shipped_recipe(tmp_path: Path) -> None:
    file = _write(tmp_path, "extends: pix2pix\ntraining: {epochs: 3}\nobjective: {terms: {l1: {weight: 7}}}")
    assert Recipe.load(file).differences(Recipe.load("pix2pix")) == {
        "name": ("mine", "pix2pix"),
        "training.epochs": (3, 200),
        "objective.terms": ([{"loss": "l1", "weight": 7.0}], [{"loss": "l1", "weight": 100.0}]),
    }


def test_a_chain_of_files_each_beside_the_last(tmp_path: Path) -> None:
    _write(tmp_path, "extends: pix2pix_tiny\ntraining: {epochs: 3, seed: 3}\ndata: {limit: 3}", "base.yaml")
    _write(tmp_path, "extends: ../base.yaml\ntraining: {epochs: 2, seed: 2}", "deep/middle.yaml")
    top = _write(tmp_path, "training: {epochs: 1}\nextends: middle.yaml", "deep/top.yaml")
    recipe = Recipe.load(top)
    assert (recipe.training.epochs, recipe.training.seed, recipe.data.limit, recipe.data.kind) == (1, 2, 3, "synthetic")
    assert recipe.name == "top"
    assert "extends" not in recipe.to_dict()


def test_a_file_named_as_the_recipe_it_extends(tmp_path: Path) -> None:
    file = _write(tmp_path, "extends: pix2pix\ntraining: {epochs: 3}", "pix2pix.yaml")
    assert Recipe.load(file).training.epochs == 3


@pytest.mark.parametrize("files", [{"a": "a"}, {"a": "b", "b": "a"}, {"a": "b", "b": "c", "c": "./b"}])
def test_a_loop_is_one_sentence(tmp_path: Path, files: dict[str, str]) -> None:
    for name, base in files.items():
        _write(tmp_path, f"extends: {base}.yaml\n", f"{name}.yaml")
    sentence = _refused({}, tmp_path / "a.yaml")
    assert "extends itself (a.yaml -> " in sentence


@pytest.mark.parametrize(
    ("base", "said"),
    [
        ("pix2pixx", "did you mean 'pix2pix'"),
        ("absent.yaml", "absent.yaml does not exist"),
        ("5", "extends 5: name one"),
        ("[pix2pix]", "name one shipped recipe"),
        ("''", "no such recipe"),
    ],
)
def test_a_base_that_is_not_there(tmp_path: Path, base: str, said: str) -> None:
    assert said in _refused({}, _write(tmp_path, f"extends: {base}\n"))


# ---- files that are no recipes -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "holds no keys"),
        ("- a\n- b", "holds no keys"),
        ("just words", "holds no keys"),
        ("a: b: c", "cannot be read"),
        ("a: !!python/object/apply:os.system [echo]", "cannot be read"),
        ("training: {epochs: 1}\ntraining: {seed: 1}", "the key 'training' is given twice"),
        ("training: {epochs: 1, epochs: 2}", "the key 'epochs' is given twice"),
        ("training: &a {betas: {x: *a}}", "cannot be read"),
        ("[" * 600, "cannot be read"),
        ("trainin: {epochs: 1}", "trainin is not a recipe key (did you mean 'training'?)"),
        ("1: 2", "1 is not a recipe key"),
        ("training: {1: 2}", "training.1 is not a recipe key"),
        ("training: 5", "training cannot be 5: it is a group of keys"),
        ("training: fast", "there is no step named 'fast'"),
        ("data: [a]", "data cannot be ['a']"),
        ("objective: l1", "objective cannot be 'l1'"),
        ("objective: {term: [l1]}", "objective.term is not a recipe key (did you mean 'objective.terms'?)"),
        ("objective: {terms: l1}", "objective.terms cannot be 'l1': it is a list"),
        ("objective: {terms: [5]}", "objective.terms.0 cannot be 5"),
        ("objective: {terms: [{weight: 5}]}", "objective.terms.0 names no loss"),
        ("data: {path: 2024}", "mine.yaml: data.path cannot be 2024: it takes a word or null (in quotes if it looks like a number)"),
        ("generator: {name: null}", "generator.name cannot be null"),
        ("training: {epochs: 3}", "the objective is empty"),
    ],
)
def test_a_file_that_cannot_be_a_recipe(tmp_path: Path, text: str, said: str) -> None:
    assert said in _refused({}, _write(tmp_path, text))


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    (tmp_path / "picture.yaml").write_bytes(b"\x89PNG\r\n\x1a\n\x00")
    assert "cannot be read" in _refused({}, tmp_path / "picture.yaml")


def test_recipes_that_are_not_there(tmp_path: Path) -> None:
    assert "there is no recipe named 'pix2pixx' (did you mean 'pix2pix'?)" in _refused({}, "pix2pixx")
    assert "does not exist: give a YAML file or one of" in _refused({}, tmp_path / "absent.yaml")
    assert "is a folder where a recipe is expected" in _refused({}, tmp_path)


# ---- misspelt at every level, and values that mean nothing -------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "value", "nearest"),
    [
        ("trainin.epochs", 1, "training"),
        ("training.epoch", 1, "training.epochs"),
        ("data.crop-size", 64, "data.crop_size"),
        ("data.knd", "auto", "data.kind"),
        ("data.kind", "sidebyside", "side_by_side"),
        ("generator", "resnett", "resnet"),
        ("generator.widht", 1, "generator.width"),
        ("discriminator", "pach", "patch"),
        ("discriminator.receptivefield", 70, "discriminator.receptive_field"),
        ("objective.adversarial", "vannila", "vanilla"),
        ("objective.adversarial.conditonal", True, "objective.adversarial.conditional"),
        ("objective.adversrial", "lsgan", "objective.adversarial"),
        ("objective.terms", [{"loss": "l1l"}], "l1"),
        ("objective.terms.l1.wieght", 1, "weight"),
        ("training.best_metric", "ssmi", "ssim"),
        ("training.trackers", ["tensorbord"], "tensorboard"),
    ],
)
def test_a_misspelt_word_suggests_the_nearest(key: str, value: Any, nearest: str) -> None:
    assert f"(did you mean '{nearest}'?)" in _refused({key: value})


def test_a_misspelt_key_of_a_discriminator_nobody_needs_is_refused_too() -> None:
    assert "did you mean 'discriminator.width'" in _refused({"discriminator.widht": 3}, "l1")


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("training.epochs", "five", "cannot be 'five': it takes a whole number"),
        ("training.epochs", 1.5, "cannot be 1.5: it takes a whole number"),
        ("training.epochs", True, "cannot be true: it takes a whole number"),
        ("training.epochs", None, "cannot be null: it takes a whole number"),
        ("training.epochs", float("inf"), "cannot be .inf: it takes a whole number above 0"),
        ("training.epochs", "1e400", "cannot be .inf: it takes a whole number above 0"),
        ("training.epochs", [1], "cannot be [1]: it takes a whole number"),
        ("training.epochs.x", 1, "cannot be set: training.epochs is 200 and has no keys"),
        ("training.learning_rate", "fast", "cannot be 'fast': it takes a number"),
        ("training.learning_rate", True, "it takes a number"),
        ("training.fused", "maybe", "it takes true or false"),
        ("training.fused", 1, "it takes true or false"),
        ("training.fused", None, "it takes true or false"),
        ("training.schedule", "linear", "it takes one of linear_decay, constant, cosine"),
        ("training.schedule", None, "cannot be null: it takes one of"),
        ("training.precision", 16, "it takes one of auto, 32-true, bf16-mixed, 16-mixed"),
        ("training.betas", [0.5], "it takes a list [number, number]"),
        ("training.betas", 0.5, "it takes a list [number, number]"),
        ("training.betas", None, "it takes a list [number, number]"),
        ("training.betas", [0.1, 0.2, 0.3], "it takes a list [number, number]"),
        ("training.trackers", "wandb", "it takes a list of any of tensorboard, mlflow, wandb, such as [tensorboard]"),
        ("training.trackers", None, "it takes a list"),
        ("training.ema", "often", "it takes a number above 0 and below 1 or null"),
        ("data.load_size", "big", "it takes a whole number above 0 or null"),
        ("data.source_range", [1], "it takes a list [number, number] or null"),
        ("data.direction", "btoa", "it takes one of AtoB, BtoA"),
        ("data.path", 5, "it takes a word or null (in quotes if it looks like a number)"),
        ("data.path", [1], "it takes a word"),
        ("generator.width", None, "cannot be null: it takes a whole number"),
        ("generator.norm", "batchh", "it takes one of batch, instance, none"),
        ("generator.depth", "deep", "it takes a whole number from 1 to 16 or null"),
        ("discriminator.receptive_field", True, "cannot be true: it takes one of 1, 16, 34, 70, 142, 286"),
        ("discriminator.receptive_field", 71, "it takes one of 1, 16, 34, 70, 142, 286"),
        ("objective.terms.l1.weight", "much", "objective.terms.0.weight cannot be 'much': it takes a number"),
        ("objective.adversarial.conditional", "perhaps", "it takes true or false"),
    ],
)
def test_a_value_of_the_wrong_type(key: str, value: Any, said: str) -> None:
    sentence = _refused({key: value})
    assert said in sentence
    assert key.replace(".l1.", ".0.") in sentence


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *((key, bad) for key in ("training.epochs", "training.batch_size", "training.devices", "training.log_every") for bad in (0, -3)),
        *(
            (key, bad)
            for key in ("training.preview_every", "training.checkpoint_every", "training.patience", "data.limit")
            for bad in (0, -1)
        ),
        *(("training.learning_rate", bad) for bad in (0, -1e-4, float("nan"), float("inf"), ".nan", ".inf")),
        *(("training.discriminator_learning_rate", bad) for bad in (0, -1e-4, float("nan"))),
        *((key, bad) for key in ("generator.width", "generator.depth", "discriminator.width") for bad in (0, -1)),
        *((key, -1) for key in ("data.workers", "data.cache_gb", "training.preview_count", "training.validate_every")),
        *((key, bad) for key in ("training.seed", "data.split_seed") for bad in (-1, 2**63)),
        *((key, bad) for key in ("data.val_fraction", "data.test_fraction") for bad in (-0.1, 1, 1.5, float("nan"))),
        *(("training.ema", bad) for bad in (0, 1, -0.5, 1.5, float("nan"))),
        *(("training.betas", bad) for bad in ([0.5, 1], [-0.1, 0.9], [float("nan"), 0.9], [0.5, True], [float("inf"), 0.9])),
        *(("data.source_range", bad) for bad in ([1, 1], [4095, 0], [0, float("nan")], [0, float("inf")], [float("-inf"), 0])),
        *(("objective.terms.l1.weight", bad) for bad in (-1, float("nan"), float("inf"))),
        *(("objective.adversarial.weight", bad) for bad in (-1, float("nan"), float("inf"))),
        ("objective.adversarial.real_label", float("nan")),
        *(("data.cache_gb", bad) for bad in (float("nan"), float("inf"), True)),
        *(("objective.adversarial.r1", bad) for bad in (-1, float("inf"), True)),
        *(("objective.adversarial.r2", bad) for bad in (-1, float("inf"), True)),
        *(("objective.adversarial.pool", bad) for bad in (-1, 0.5, True)),
        *(("objective.terms.l1.weight", bad) for bad in (True, "yes", None)),
        ("generator.dropout", float("inf")),
        ("generator.width", True),
    ],
)
def test_a_value_that_means_nothing(key: str, value: Any) -> None:
    sentence = _refused({key: value})
    assert key.replace(".l1.", ".0.") in sentence
    assert ":" in sentence, "the way out follows the fault"


def test_the_sentence_names_the_file_that_says_it(tmp_path: Path) -> None:
    base = _write(tmp_path, "extends: pix2pix\ntraining: {epochs: 0}\ngenerator: {width: no}", "base.yaml")
    top = _write(tmp_path, "extends: base.yaml\ndata: {flip: maybe}\nobjective: {terms: [{loss: l1, weight: heavy}]}", "top.yaml")
    assert _refused({}, base) == f"recipe {base}: generator.width cannot be false: it takes a whole number above 0"
    assert _refused({"generator.width": 8}, base) == f"recipe {base}: training.epochs cannot be 0: it takes a whole number above 0"
    assert _refused({"generator.width": 0}, base) == "generator.width cannot be 0: it takes a whole number above 0", "the flag says it"
    assert _refused({}, top) == f"recipe {top}: data.flip cannot be 'maybe': it takes true or false"
    flags: dict[str, Any] = {"data.flip": True, "generator.width": 8}
    assert _refused(flags, top) == f"recipe {top}: objective.terms.0.weight cannot be 'heavy': it takes a number from 0 up"
    assert (
        _refused({**flags, "objective.terms.l1.weight": 1}, top)
        == f"recipe {base}: training.epochs cannot be 0: it takes a whole number above 0"
    )
    assert _refused({**flags, "objective.terms.l1.weight": -1}, top) == "objective.terms.0.weight cannot be -1: it takes a number from 0 up"
    assert _refused({}, _write(tmp_path, "trainin: {epochs: 1}")).startswith(
        f"recipe {tmp_path / 'mine.yaml'}: trainin is not a recipe key ("
    )
    assert _refused({}, _write(tmp_path, "generator: unett")).startswith(
        f"recipe {tmp_path / 'mine.yaml'}: there is no generator named 'unett'"
    )


def test_values_that_do_not_go_together() -> None:
    assert "data.load_size 286 is smaller than data.crop_size 512" in _refused({"data.crop_size": 512})
    assert "leave nothing to train on" in _refused({"data.val_fraction": 0.5, "data.test_fraction": 0.5})
    assert "add --discriminator.norm instance" in _refused({"objective.adversarial": "wgan_gp"})
    assert Recipe.load("pix2pix", {"objective.adversarial": "wgan_gp", "discriminator.norm": "instance"})
    assert Recipe.load("pix2pix", {"data.load_size": 256, "data.crop_size": 256})
    assert Recipe.load("pix2pix", {"data.val_fraction": 0, "data.test_fraction": 0})


@pytest.mark.parametrize(
    "overrides",
    [
        {"objective.adversarial": None, "objective.terms": []},
        {"objective.adversarial": None, "objective.terms.l1": None},
        {"objective.adversarial": None, "objective.terms.l1.weight": 0},
        {"objective.adversarial.weight": 0, "objective.terms": []},
    ],
)
def test_an_empty_objective(overrides: dict[str, Any]) -> None:
    assert "the objective is empty" in _refused(overrides)


def test_a_term_that_is_not_there() -> None:
    sentence = _refused({"objective.terms.l2.weight": 3})
    assert "the recipe has no term 'l2' (it has: l1)" in sentence and "--objective.terms '[{loss: l2, weight: 100}]'" in sentence
    assert "no term '7'" in _refused({"objective.terms.7.weight": 3})
    assert "(it has: none)" in _refused({"objective.terms.l1.weight": 3}, "cgan")


def test_two_folders_here_are_a_place_once_they_are_written_as_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("photos", "art"):
        (tmp_path / name).mkdir()
    assert has_place(Data(kind="unpaired", a="./photos", b="./art"))
    assert not has_place(Data(kind="unpaired", a="photos", b="art")), "one word alone is the name of a folder inside DATA"


@pytest.mark.parametrize("part", ["recipe", "base of a recipe"])
def test_a_recipe_whose_aliases_multiply_is_refused_at_once(tmp_path: Path, part: str) -> None:
    lists = [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 12)]
    (tmp_path / "mine.yaml").write_text("\n".join(["a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]", *lists]))
    (tmp_path / "over.yaml").write_text("extends: mine.yaml")
    with pytest.raises(UserError, match=r"mine.yaml cannot be read: it stands for more than 50,000 values"):
        Recipe.load(tmp_path / ("mine.yaml" if part == "recipe" else "over.yaml"))


@pytest.mark.parametrize(
    "flag",
    [
        {"training.epochs": "1" * 4301},
        {"training.seed": "1" * 4301},
        {"training.learning_rate": "1" * 4301},
        {"data.source_range": f"[0, {'1' * 4301}]"},
        {"data.source_range": f"[0, {'1' * 400}]"},
        {f"objective.terms.{'1' * 4301}.weight": "2"},
        {"generator.depth": "1" * 300},
    ],
    ids=lambda flag: str(flag)[:40],
)
def test_numbers_of_any_length_are_refused_in_a_sentence(flag: dict[str, str]) -> None:
    with pytest.raises(UserError) as refusal:
        Recipe.load("pix2pix", flag)
    assert "\n" not in str(refusal.value) and len(str(refusal.value)) < 800
