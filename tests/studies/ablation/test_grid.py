"""A grid becomes cells, or is refused before anything runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from transfigure.errors import UserError
from transfigure.recipe import Recipe
from transfigure.studies.ablation.grid import Grid, shipped

TWO = {"base": "l1", "variations": {"one": {"objective.terms.l1.weight": 1}, "ten": {"objective.terms.l1.weight": 10}}}


def written(folder: Path, **changes: Any) -> Path:
    file = folder / "mine.yaml"
    file.write_text(yaml.safe_dump({**TWO, **changes}, sort_keys=False), encoding="utf-8")
    return file


PAIRED = [name for name in shipped() if not Grid.load(name).examine]
"""The grids on pairs; those that examine their cells are held to their own rules in ``test_examine.py``."""


@pytest.mark.parametrize("name", PAIRED)
def test_every_shipped_grid_expands(name: str) -> None:
    grid = Grid.load(name, {"data.kind": "synthetic"})
    cells = grid.cells()
    assert len(cells) == len(grid.variations) * 3
    assert len({cell.path for cell in cells}) == len(cells)
    assert grid.about and "fcn_score" in grid.metrics
    for seed in (0, 1, 2):
        trainings = [cell.recipe.training for cell in cells if cell.seed == seed]
        assert len({training.minutes or (training.epochs, training.batch_size) for training in trainings}) == 1


def test_shipped_grids_are_the_papers_tables() -> None:
    recipes = {name: {cell.variation: cell.recipe for cell in Grid.load(name, {}, [0]).cells()} for name in PAIRED}
    table = recipes["objectives"]
    assert list(table) == ["L1", "GAN", "cGAN", "L1+GAN", "L1+cGAN"]
    assert table["L1"].objective.adversarial is None and table["GAN"].objective.terms == table["cGAN"].objective.terms == ()
    conditional = {name: recipe.objective.adversarial.conditional for name, recipe in table.items() if recipe.objective.adversarial}
    assert conditional == {"GAN": False, "cGAN": True, "L1+GAN": False, "L1+cGAN": True}
    fields = [recipe.discriminator.options["receptive_field"] for recipe in recipes["receptive_field"].values() if recipe.discriminator]
    assert fields == [1, 16, 70, 286]
    assert [recipe.generator.name for recipe in recipes["generators"].values()] == ["encoder_decoder"] * 2 + ["unet"] * 2
    assert [term["weight"] for recipe in recipes["lambda"].values() for term in recipe.objective.terms] == [0, 1, 10, 100, 1000]
    assert [recipe.objective.adversarial.loss for recipe in recipes["gan_loss"].values() if recipe.objective.adversarial] == [
        "vanilla", "lsgan", "hinge", "wgan_gp", "relativistic",
    ]  # fmt: skip
    likes = {name: recipe.objective.terms[0].get("match_gradient_of") for name, recipe in recipes["cosine"].items()}
    assert likes == {"L1": None, "cosine": None, "cosine, pull of L1": "l1"}


def test_cells_are_the_base_and_what_differs(tmp_path: Path) -> None:
    grid = Grid.load(written(tmp_path, set={"training.epochs": 3}), {"generator.width": 8}, [4, 7])
    cells = grid.cells()
    assert [(cell.variation, cell.seed) for cell in cells] == [("one", 4), ("ten", 4), ("one", 7), ("ten", 7)]
    assert cells[0].path == Path("cells/one/seed4")
    for cell in cells:
        assert (cell.recipe.training.epochs, cell.recipe.generator.options["width"], cell.recipe.training.seed) == (3, 8, cell.seed)
    differing = cells[0].recipe.differences(cells[1].recipe)
    assert set(differing) == {"name", "objective.terms"}


def test_names_become_folders_that_no_system_mistakes(tmp_path: Path) -> None:
    weights = {"L1+cGAN": 1, "l1 cgan": 2, "λ": 3, "../up": 4}
    grid = Grid.load(
        written(tmp_path, variations={name: {"objective.terms.l1.weight": weight} for name, weight in weights.items()}), {}, [0]
    )
    assert [cell.path.parts[1] for cell in grid.cells()] == ["l1_cgan", "l1_cgan_2", "variation", "up"]


def test_a_printed_grid_makes_the_same_cells(tmp_path: Path) -> None:
    grid = Grid.load("cosine", {"data.kind": "synthetic", "training.epochs": 2}, [3])
    (tmp_path / "again.yaml").write_text(grid.to_yaml(), encoding="utf-8")
    again = Grid.load(tmp_path / "again.yaml")
    assert [cell.recipe for cell in again.cells()] == [cell.recipe for cell in grid.cells()]
    assert isinstance(again.cells()[0].recipe, Recipe)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"variations": {"a": {"objective.terms.l1.wieght": 1}}}, "variation 'a': .*wieght.*did you mean 'weight'"),
        ({"variations": {"a": {"generator": "unte"}}}, "did you mean 'unet'"),
        ({"variations": {"a": {"training.epochs": 3}}}, "changes training.epochs: all cells see the same images"),
        ({"variations": {"a": {"data.flip": False}}}, "changes data.flip"),
        ({"variations": {"a": {"base": "pix2pixx"}}}, "variation 'a': .*did you mean 'pix2pix'"),
        ({"variations": {"a": {"base": "streamlined"}}}, "changes data.*: all cells see the same images"),
        ({"variations": {"a": {"training.minutes": 2}}}, "changes training.minutes"),
        ({"set": {"training.minutes": 1}, "variations": {"a": {"training.minutes": 2}}}, "minutes: all cells train for the same time"),
        ({"set": {"training.minutes": 1}, "variations": {"a": {"data.flip": False}}}, "changes data.flip"),
        ({"free": ["data.crop_size"], "variations": {"a": {}, "b": {"data.crop_size": 16}}}, "'b' is evaluated at 16 pixels"),
        ({"free": ["data.load_size"], "variations": {"a": {}, "b": {"data.load_size": None}}}, "'b' is evaluated at their own size, and"),
        ({"variations": {"a": {}, "b": {}}}, "'a' and 'b' are the same recipe"),
        ({"variations": {}}, "variations must be a mapping"),
        ({"variations": ["a"]}, "variations must be a mapping"),
        ({"variation": {}}, "variation is not a key of a grid.*did you mean 'variations'"),
        ({"set": {"training.epoch": 3}}, "did you mean 'training.epochs'"),
        ({"base": "pix2pixx"}, "did you mean 'pix2pix'"),
        ({"metrics": ["sim"]}, "did you mean 'ssim'"),
        ({"seeds": [0, 0]}, "each once"),
        ({"seeds": ["a"]}, "whole numbers"),
        ({"seeds": []}, "whole numbers"),
    ],
    ids=str,
)
def test_what_is_no_grid_is_refused_before_anything_runs(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        Grid.load(written(tmp_path, **changes)).cells()


def test_recipes_are_compared_at_equal_time(tmp_path: Path) -> None:
    variations = {"small": {}, "pix2pix": {"base": "pix2pix"}, "four": {"training.batch_size": 4, "training.epochs": 9}}
    size = {"data.load_size": 128, "data.crop_size": 128}
    grid = Grid.load(
        written(tmp_path, base="pix2pix_small", set={"training.minutes": 3, "training.preview_count": 1, **size}, variations=variations)
    )
    recipes = {cell.variation: cell.recipe for cell in grid.cells()}
    assert recipes["pix2pix"].generator.options["width"] == 64 and recipes["small"].generator.options["width"] == 32
    assert {recipe.training.minutes for recipe in recipes.values()} == {3} and recipes["four"].training.batch_size == 4
    (tmp_path / "again.yaml").write_text(grid.to_yaml())
    assert [cell.recipe for cell in Grid.load(tmp_path / "again.yaml").cells()] == [cell.recipe for cell in grid.cells()]


def test_a_grid_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="did you mean 'objectives'"):
        Grid.load("objective")
    (tmp_path / "broken.yaml").write_text("variations: [", encoding="utf-8")
    with pytest.raises(UserError, match="not valid YAML"):
        Grid.load(tmp_path / "broken.yaml")
    (tmp_path / "text.yaml").write_text("hello", encoding="utf-8")
    with pytest.raises(UserError, match="is no grid"):
        Grid.load(tmp_path / "text.yaml")


ALIASES = "\n".join(["a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]", *(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 12))])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (ALIASES, "stands for more than 50,000 values"),
        ("base: &b [*b]", "inside itself"),
        ("seeds: [" + "1" * 4301 + "]", "thousands of digits"),
        ("variations: {a: {}, a: {}}", "given twice"),
        ("variations: {a: {x: 1}}\nmetrics: 5", "metrics must be a list of names"),
        ("variations: {a: {x: 1}}\nmetrics: ssim", "metrics must be a list of names"),
        ("variations: {a: {x: 1}}\nfree: {a: 1}", "free must be a list of names"),
        ("variations: {a: {x: 1}}\nset: [1]", "must be recipe keys"),
        ("variations: {a: 1}", "variations must be"),
        ("variations: {a: {x: 1}}\nseeds: {a: 1}", "whole numbers"),
    ],
)
def test_a_grid_of_other_values_is_refused_in_a_sentence(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "grid.yaml").write_text(text)
    with pytest.raises(UserError, match=words) as refusal:
        Grid.load(tmp_path / "grid.yaml")
    assert str(tmp_path) in str(refusal.value) or "seeds are" in str(refusal.value)
    assert "\n" not in str(refusal.value) and len(str(refusal.value)) < 500
