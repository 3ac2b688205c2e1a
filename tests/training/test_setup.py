"""What networks are told of the recipe when they are built for a training."""

from __future__ import annotations

import pytest

from transfigure.errors import UserError
from transfigure.networks.build import build_discriminator
from transfigure.networks.discriminators.projection import ProjectionDiscriminator
from transfigure.recipe import Recipe
from transfigure.training.engine import Engine
from transfigure.training.setup import Setup


def setup(**overrides: object) -> Setup:
    changes = {
        "data.kind": "synthetic",
        "discriminator": "projection",
        "discriminator.width": 2,
        "training.accelerator": "cpu",
        **overrides,
    }
    recipe = Recipe.load("pix2pix_small", changes)
    return Setup(recipe, (4, 3), Engine(recipe.training))


@pytest.mark.parametrize(("conditional", "swapped", "channels"), [(True, False, (7, 4)), (True, True, (7, 3)), (False, False, (3, 0))])
def test_a_training_says_which_channels_are_the_sources(conditional: bool, swapped: bool, channels: tuple[int, int]) -> None:
    network = setup(**{"objective.adversarial.conditional": conditional}).discriminator(swapped)
    assert isinstance(network, ProjectionDiscriminator)
    assert (network.channels, network.source_channels) == channels


def test_other_discriminators_are_told_nothing_and_recipes_cannot_say_it() -> None:
    assert not hasattr(setup(discriminator="patch").discriminator(), "source_channels")
    with pytest.raises(UserError, match="source_channels is not a parameter"):
        build_discriminator("projection", 6, {"source_channels": 3})
    assert "source_channels" not in Recipe.load("pix2pix_small", {"discriminator": "projection"}).to_dict()["discriminator"]
