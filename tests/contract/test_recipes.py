"""Every recipe in the package loads, says what it is, and names only what exists."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from transfigure import registry
from transfigure.cli.inventory import inventory
from transfigure.recipe import Recipe, shipped

NAMES = sorted(shipped())


def test_there_are_recipes() -> None:
    assert {"pix2pix", "pix2pix_cosine", "demo"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_loads_under_its_own_name(name: str) -> None:
    assert Recipe.load(name).name == name


@pytest.mark.parametrize("name", NAMES)
def test_names_only_registered_things(name: str) -> None:
    recipe = Recipe.load(name)
    named = [("generator", recipe.generator.name), ("metric", recipe.training.best_metric)]
    named += [("loss", term["loss"]) for term in recipe.objective.terms]
    if recipe.data.kind != "auto":
        named.append(("dataset", recipe.data.kind))
    assert (recipe.discriminator is None) == (recipe.objective.adversarial is None)
    if recipe.discriminator is not None and recipe.objective.adversarial is not None:
        named += [("discriminator", recipe.discriminator.name), ("adversarial", recipe.objective.adversarial.loss)]
    assert [item for item in named if item not in registry.catalog()] == []


@pytest.mark.parametrize("name", NAMES)
def test_says_what_it_is(name: str) -> None:
    first = shipped()[name].read_text(encoding="utf-8").splitlines()[0]
    assert first.startswith("# ") and len(first) > 20
    summary = inventory()["recipe"][name]["summary"]
    assert summary.startswith(first.removeprefix("# "))
    assert summary.endswith(".")


@pytest.mark.parametrize("name", NAMES)
def test_is_complete_and_comes_back_the_same(name: str, tmp_path: Path) -> None:
    recipe = Recipe.load(name)
    file = tmp_path / "saved.yaml"
    file.write_text(recipe.to_yaml(), encoding="utf-8")
    assert Recipe.load(file) == recipe
    tree = yaml.safe_load(recipe.to_yaml())
    assert list(tree) == ["name", "data", "generator", "discriminator", "objective", "training"]
    assert "extends" not in tree
    assert set(tree["generator"]) == {"name", *registry.entry("generator", recipe.generator.name).options}
    assert tree["generator"].get("depth", 1) is not None


def test_the_papers_values() -> None:
    """Isola et al. 2017, sections 3.3 and 6.1: what a recipe called pix2pix must say."""
    recipe = Recipe.load("pix2pix")
    assert (recipe.data.load_size, recipe.data.crop_size, recipe.data.flip) == (286, 256, True)
    assert (recipe.generator.name, recipe.generator.options["width"], recipe.generator.options["depth"]) == ("unet", 64, 8)
    assert recipe.generator.options["dropout"] == 0.5
    assert recipe.discriminator is not None and recipe.discriminator.options["receptive_field"] == 70
    assert recipe.objective.adversarial is not None and recipe.objective.adversarial.conditional
    assert recipe.objective.terms == ({"loss": "l1", "weight": 100.0},)
    training = recipe.training
    assert (training.epochs, training.batch_size, training.learning_rate, training.betas) == (200, 1, 2e-4, (0.5, 0.999))


@pytest.mark.parametrize(
    ("name", "changed"),
    [
        ("cgan", {"objective.terms"}),
        ("gan", {"objective.terms", "objective.adversarial.conditional"}),
        ("l1_gan", {"objective.adversarial.conditional"}),
        ("pix2pix_cosine", {"objective.terms"}),
        ("encoder_decoder", {"generator.name"}),
    ],
)
def test_a_variant_differs_from_pix2pix_in_one_thing(name: str, changed: set[str]) -> None:
    one, pix2pix = Recipe.load(name), Recipe.load("pix2pix")
    own = {f"generator.{option}" for option in one.generator.options.keys() - pix2pix.generator.options.keys()}
    assert set(one.differences(pix2pix)) - own == {"name", *changed}


def test_regression_alone_has_no_adversarial_term() -> None:
    recipe = Recipe.load("l1")
    assert recipe.objective.adversarial is None and recipe.discriminator is None
    assert recipe.objective.terms == Recipe.load("pix2pix").objective.terms
