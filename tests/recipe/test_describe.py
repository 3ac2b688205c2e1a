"""What is said of a recipe's keys: each with its own help, what it takes, and its value."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import pytest
from annotated_types import Ge, Gt, Le, Lt

from transfigure import registry
from transfigure.bounds import Decay, NonNegativeInt, PositiveFloat, PositiveInt, Seed, Share
from transfigure.recipe import Recipe, flatten, shipped
from transfigure.recipe.describe import Key, recipe_keys
from transfigure.recipe.values import NameOf, as_meant, takes


def _keys(name: str, **overrides: Any) -> dict[str, Key]:
    recipe = Recipe.load(name, {key.replace("__", "."): value for key, value in overrides.items()})
    return {key.name: key for group in recipe_keys(recipe) for key in group.keys}


@pytest.mark.parametrize("name", sorted(shipped()))
def test_every_key_of_a_recipe_is_described_with_its_value(name: str) -> None:
    recipe = Recipe.load(name)
    values = {key: value for key, value in flatten(recipe.to_dict()) if key not in ("name", "objective.terms")}
    values = {key: value for key, value in values.items() if value is not None or key not in ("discriminator", "objective.adversarial")}
    described = _keys(name)
    assert {
        key: list(item.value) if isinstance(item.value, tuple) else item.value for key, item in described.items() if key in values
    } == values
    options = {key for key, item in described.items() if item.option}
    assert set(described) - set(values) <= options, "data that is recognised later: what its kind may take"
    assert all(item.help and item.takes for item in described.values())


def test_a_key_that_several_kinds_take_has_the_help_of_each() -> None:
    """The folders of pairs and those of two domains are both called a and b."""
    for side in "ab":
        helps = {kind: registry.entry("dataset", kind).options[side].help.removesuffix(".") for kind in ("two_folders", "unpaired")}
        assert _keys("pix2pix")[f"data.{side}"].help == f"two_folders: {helps['two_folders']}; unpaired: {helps['unpaired']}"
        assert _keys("pix2pix", data__kind="two_folders")[f"data.{side}"].help == f"{helps['two_folders']}."


def test_choices_are_data() -> None:
    described = _keys("pix2pix")
    assert described["data.direction"].choices == ("AtoB", "BtoA")
    assert described["discriminator.receptive_field"].choices == (1, 16, 34, 70, 142, 286)
    assert described["training.trackers"].choices == ("tensorboard", "mlflow", "wandb")
    assert described["generator.name"].choices == tuple(registry.names("generator"))
    assert described["data.kind"].choices == ("auto", *registry.names("dataset"))
    assert described["training.step"].choices == ("auto", *registry.names("step"))
    assert described["training.epochs"].choices == ()
    assert (described["training.epochs"].value, _keys("pix2pix", training__epochs=3)["training.epochs"].value) == (200, 3)
    assert _keys("pix2pix", training__epochs=3)["training.epochs"].default == 200
    assert not any(key.startswith(("discriminator", "objective.adversarial")) for key in _keys("l1"))


@pytest.mark.parametrize(
    ("annotation", "words"),
    [
        (int, "a whole number"),
        (PositiveInt, "a whole number above 0"),
        (PositiveInt | None, "a whole number above 0 or null"),
        (None | PositiveInt, "a whole number above 0 or null"),
        (NonNegativeInt, "a whole number from 0 up"),
        (Seed, "a whole number from 0 to 2^63 - 1"),
        (float | None, "a number or null"),
        (PositiveFloat, "a number above 0"),
        (Share, "a number from 0 to below 1"),
        (Decay, "a number above 0 and below 1"),
        (Annotated[float, Lt(3)], "a number to below 3"),
        (Annotated[int, Ge(2), Le(9)], "a whole number from 2 to 9"),
        (Annotated[int, Gt(2), Le(9)], "a whole number above 2 to 9"),
        (bool, "true or false"),
        (str, "a word"),
        (Literal["a", "b"], "one of a, b"),
        (Literal[1, 2] | None, "one of 1, 2 or null"),
        (list[str], "a list, such as [a, b]"),
        (list[Literal["x", "y"]], "a list of any of x, y, such as [x]"),
        (tuple[float, float] | None, "a list [number, number] or null"),
        (tuple[Share, Share], "a list [number, number], each from 0 to below 1"),
        (Annotated[str, NameOf("adversarial")] | None, "the name of an adversarial or null"),
        (int | str, "a whole number or a word"),
    ],
)
def test_a_type_in_words(annotation: Any, words: str) -> None:
    assert takes(annotation) == words


@pytest.mark.parametrize(
    ("annotation", "written", "meant"),
    [
        (float, "2e-4", 2e-4),
        (int, "12", 12),
        (int, 12.0, 12),
        (int, 12.5, 12.5),
        (int | None, "null", None),
        (float | int, 3.0, 3.0),
        (Literal["auto", "yes", "no"], False, "no"),
        (Literal["auto", "yes", "no"], True, "yes"),
        (Literal[1, 70], 70.0, 70),
        (Literal[1, 70], "70", 70),
        (bool, "no", False),
        (str, "no", "no"),
        (str | None, "12", "12"),
        (tuple[float, float], ["5e-1", 1], (0.5, 1)),
        (tuple[float, float] | None, [1], (1,)),
        (list[int], (1.0, "2"), [1, 2]),
        (tuple[float, ...], [1, 2, "3e0"], (1, 2, 3.0)),
        (int, [1], [1]),
        (Any, "12", "12"),
    ],
)
def test_a_value_is_read_as_its_key_means_it(annotation: Any, written: Any, meant: Any) -> None:
    found = as_meant(annotation, written)
    assert found == meant and type(found) is type(meant)


@pytest.mark.parametrize("annotation", [int, float, int | None, Literal[0, 1], str, list[int], tuple[float, float]])
def test_true_is_no_number(annotation: Any) -> None:
    """Nor is it inside a list; to Python it equals 1."""
    with pytest.raises(ValueError, match="True"):
        as_meant(annotation, True)
    if annotation in (list[int], tuple[float, float]):
        with pytest.raises(ValueError, match="True"):
            as_meant(annotation, [True, 1])
