"""From a recipe to what a training step is built from: networks with their starting weights, placed, and their optimizers."""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import nn
from torch.optim import Adam

from ..errors import UserError
from ..losses.gan import AdversarialLoss
from ..losses.objective import Objective
from ..networks.base import Discriminator, Generator
from ..networks.build import build_discriminator, build_generator
from ..networks.levels import recompute_levels
from ..recipe import Adversarial, Recipe
from ..registry import build, entry, is_own
from .engine import Engine
from .optimizer import adam

M = TypeVar("M", bound=nn.Module)


class Setup:
    """Builds, in the order in which a step asks, from torch's global random numbers.

    Args:
        recipe: what is asked for.
        channels: of sources and of targets.
        engine: where to compute.
        unpaired: no target belongs to a source.

    Attributes:
        adversarial: the recipe's section of that name, or None for regression alone.
        micro_batch_size: how many pairs pass the networks together where an update is of more (``training.accumulate``), else None.

    Raises:
        UserError: a loss or a discriminator needs pairs, and the data has none; or equal channels, and it has others.
    """

    def __init__(self, recipe: Recipe, channels: tuple[int, int], engine: Engine, unpaired: bool = False) -> None:
        _check_pairs(recipe, channels, unpaired)
        self.recipe, self.engine = recipe, engine
        self.channels = channels
        self.micro_batch_size = recipe.training.batch_size if recipe.training.accumulate > 1 else None
        self.adversarial: Adversarial | None = recipe.objective.adversarial if recipe.discriminator is not None else None

    def generator(self, swapped: bool = False) -> Generator:
        """The recipe's generator, from source to target or (``swapped``) from target to source.

        Raises:
            UserError: the crop does not fit it, with the nearest one that does.
        """
        name, crop = self.recipe.generator.name, self.recipe.data.crop_size
        source, target = reversed(self.channels) if swapped else self.channels
        generator = build_generator(name, source, target, self.recipe.generator.options)
        multiple = generator.size_multiple
        if crop % multiple:
            near = multiple < 2 * crop  # a size that its pictures may well have
            size = f"use {max(multiple, crop // multiple * multiple)}, or " if near else ""
            deepest = (crop & -crop).bit_length() - 1
            depth = "a smaller --generator.depth" if near else f"--generator.depth {max(1, deepest)} is the most for this size"
            raise UserError(f"data.crop_size {crop} is not a multiple of {multiple}, which this {name} needs: {size}{depth}")
        seen = self.recipe.data.evaluation_size
        if isinstance(seen, int) and (seen % multiple or seen < generator.smallest_input):
            fits = max(multiple, generator.smallest_input, seen // multiple * multiple)
            raise UserError(f"data.evaluation_size {seen} does not fit this {name}, which needs multiples of {multiple}: use {fits}")
        return self._placed(generator, f"the generator {name}")

    def objective(self, generator: Generator) -> Objective:
        """The recipe's loss terms, those that train weights beside this generator built and placed.

        Raises:
            UserError: a term reads a discriminator's output, and there is none.
        """
        objective = Objective(self.recipe.objective.terms)
        needing = [*objective.needing("real_output"), *objective.needing("fake_output")]
        if self.adversarial is None and needing:
            raise UserError(f"the loss {needing[0]} reads the discriminator, and objective.adversarial is null: give both, or neither")
        objective.prepare(generator).to(self.engine.device)
        self.engine.place(objective.trained, torch.preserve_format)
        return objective

    def discriminator(self, swapped: bool = False) -> Discriminator:
        """The recipe's discriminator of targets or (``swapped``) of sources.

        Raises:
            UserError: the crop is too small for it.
        """
        assert self.recipe.discriminator is not None and self.adversarial is not None
        section, crop = self.recipe.discriminator, self.recipe.data.crop_size
        source, target = reversed(self.channels) if swapped else self.channels
        seen = source if self.adversarial.conditional else 0
        discriminator = build_discriminator(section.name, seen + target, section.options, source_channels=seen)
        if crop < discriminator.smallest_input:
            raise UserError(
                f"data.crop_size {crop} is too small for this discriminator, which needs {discriminator.smallest_input} pixels: "
                f"use a smaller --discriminator.{'receptive_field' if 'receptive_field' in section.options else 'depth'}"
            )
        return self._placed(discriminator, f"the discriminator {section.name}")

    def _placed(self, network: M, what: str) -> M:
        if self.recipe.training.checkpoint_activations and not recompute_levels(network):
            raise UserError(
                f"{what} has no levels whose activations can be computed anew: leave training.checkpoint_activations out, or derive its "
                "blocks from transfigure.networks.levels.Level"
            )
        return self.engine.place(network, memory_format(self.recipe, self.engine.device.type))

    def gan(self) -> AdversarialLoss:
        """The recipe's adversarial form."""
        assert self.adversarial is not None
        form: AdversarialLoss = build("adversarial", self.adversarial.loss, **self.adversarial.options)
        return form

    def g_optimizer(self, *networks: nn.Module) -> Adam:
        """One optimizer for generators and what terms train beside them."""
        return adam(networks, self.recipe.training.learning_rate, self.recipe.training)

    def d_optimizer(self, *networks: nn.Module | None) -> Adam | None:
        """One for discriminators, at their own rate if the recipe gives one (two time-scales; Heusel et al. 2017); None for none."""
        training = self.recipe.training
        rate = training.discriminator_learning_rate
        given = [network for network in networks if network is not None]
        return adam(given, training.learning_rate if rate is None else rate, training) if given else None


def memory_format(recipe: Recipe, device: str) -> torch.memory_format:
    """The layout asked for; ``auto`` is NHWC on CUDA, whose tensor cores want it, and NCHW elsewhere.

    On CPUs which one is faster differs by a few per cent from one to the next, and with instance norm NHWC is clearly slower
    (``benchmarks/against_reference.py --layouts``).
    """
    wish = recipe.training.channels_last
    last = wish == "yes" or (wish == "auto" and device == "cuda" and recipe.generator.options.get("norm") != "instance")
    return torch.channels_last if last else torch.contiguous_format


def _check_pairs(recipe: Recipe, channels: tuple[int, int], unpaired: bool) -> None:
    """Without pairs there is no target to be near to, and no pair for D to see."""
    game = recipe.objective.adversarial
    for term in recipe.objective.terms:
        extra = entry("loss", term["loss"]).extra
        if unpaired and not extra.get("unpaired"):
            own = is_own(entry("loss", term["loss"]))
            raise UserError(
                f"the loss {term['loss']} compares an output with its target, and in unpaired data no target belongs to a source: leave it "
                "out of objective.terms, or train on pairs (--data.unpaired false)"
                if own
                else f"the loss {term['loss']} of a plugin does not say that it can do without pairs, and this data is unpaired: if it "
                f'never reads batch.target, register it with @register("loss", "{term["loss"]}", unpaired=True), else train on pairs'
            )
        if channels[0] != channels[1] and extra.get("same_channels"):
            raise UserError(
                f"the loss {term['loss']} needs sources and targets with equally many channels, and these have {channels[0]} and "
                f"{channels[1]}: leave it out of objective.terms, or save both domains alike"
            )
    if unpaired and game is not None and game.conditional:
        raise UserError(
            "a conditional discriminator sees a source and its target together, and in unpaired data no target belongs to a source: "
            "set --objective.adversarial.conditional false, or train on pairs (--data.unpaired false)"
        )
