"""From a recipe to networks that can be trained: built, seeded, placed and given their optimisers."""

from __future__ import annotations

import torch

from ..data.open import OpenedData
from ..errors import UserError
from ..losses.objective import Objective
from ..networks.build import build_discriminator, build_generator
from ..recipe import Recipe
from ..registry import build, entry
from .engine import Engine
from .optimiser import adam, discriminator_rate
from .pool import ImagePool
from .step import PairedStep
from .two_way import TwoWayStep

Step = PairedStep | TwoWayStep


def build_step(recipe: Recipe, data: OpenedData, engine: Engine) -> Step:
    """The networks of a recipe, initialised from the global random numbers, and the step that trains them.

    A term that needs the other direction's generator, as ``cycle`` does, makes it two translators that are trained together.

    Raises:
        UserError: the crop does not fit a network, with the nearest one that does; or a loss needs pairs, and the data has none.
    """
    _check_pairs(recipe, data)
    training = recipe.training
    channels = data.source_channels, data.target_channels
    there = _direction(recipe, (channels[0], channels[1]), engine)
    if not there.objective.asks_for("inverse"):
        there.optimiser_g = adam([there.generator, there.objective.trained], training.learning_rate, training)
        if there.discriminator is not None:
            there.optimiser_d = adam([there.discriminator], discriminator_rate(training), training)
        return there
    back = _direction(recipe, (channels[1], channels[0]), engine)
    generators = [there.generator, back.generator, there.objective.trained, back.objective.trained]
    judges = [one.discriminator for one in (there, back) if one.discriminator is not None]
    return TwoWayStep(
        there,
        back,
        adam(generators, training.learning_rate, training),
        adam(judges, discriminator_rate(training), training) if judges else None,
    )


def _direction(recipe: Recipe, channels: tuple[int, int], engine: Engine) -> PairedStep:
    """The networks of one direction; the optimisers come once all are there."""
    objective, crop = recipe.objective, recipe.data.crop_size
    source, target = channels
    generator = build_generator(recipe.generator.name, source, target, recipe.generator.options)
    multiple: int = generator.size_multiple  # type: ignore[assignment]
    if crop % multiple:
        raise UserError(
            f"data.crop_size {crop} is not a multiple of {multiple}, which this {recipe.generator.name} needs: "
            f"use {max(multiple, crop // multiple * multiple)}, or a smaller --generator.depth"
        )
    layout = memory_format(recipe, engine.device.type)
    generator = engine.place(generator, layout)
    terms = Objective(objective.terms).prepare(generator).to(engine.device)
    engine.place(terms.trained, torch.preserve_format)
    step = PairedStep(generator, terms, None, engine)
    if objective.adversarial is None or recipe.discriminator is None:
        return step

    game = objective.adversarial
    seen = target + (source if game.conditional else 0)
    discriminator = build_discriminator(recipe.discriminator.name, seen, recipe.discriminator.options)
    smallest: int = discriminator.smallest_input  # type: ignore[assignment]
    if crop < smallest:
        raise UserError(
            f"data.crop_size {crop} is too small for this discriminator, which needs {smallest} pixels: "
            f"use a smaller --discriminator.{'receptive_field' if 'receptive_field' in recipe.discriminator.options else 'depth'}"
        )
    step.discriminator = engine.place(discriminator, layout)
    step.adversarial = build("adversarial", game.loss, **game.options)
    step.conditional, step.adversarial_weight = game.conditional, game.weight
    step.r1, step.augment = game.r1, tuple(game.augment)
    step.pool = ImagePool(game.pool) if game.pool else None
    return step


def _check_pairs(recipe: Recipe, data: OpenedData) -> None:
    """Without pairs there is no target to be near to, and no pair for D to look at."""
    game = recipe.objective.adversarial
    unlike = data.source_channels != data.target_channels
    for term in recipe.objective.terms:
        extra = entry("loss", term["loss"]).extra
        if data.unpaired and not extra.get("unpaired"):
            raise UserError(
                f"the loss {term['loss']} compares an answer with its target, and in unpaired data no target belongs to a source: leave it "
                "out of objective.terms, or train on pairs (--data.unpaired false)"
            )
        if unlike and extra.get("needs") in ("generator", "source", "features"):
            raise UserError(
                f"the loss {term['loss']} needs sources and targets with equally many channels, and these have {data.source_channels} and "
                f"{data.target_channels}: leave it out of objective.terms, or save both domains alike"
            )
    if data.unpaired and game is not None and game.conditional:
        raise UserError(
            "a conditional discriminator sees a source and its target together, and in unpaired data no target belongs to a source: "
            "set --objective.adversarial.conditional false, or train on pairs (--data.unpaired false)"
        )


def memory_format(recipe: Recipe, device: str) -> torch.memory_format:
    """The layout asked for; ``auto`` is NHWC on CUDA, whose tensor cores want it, and NCHW elsewhere.

    On CPUs which one is faster differs by a few per cent from one to the next (``benchmarks/training.py --layouts``), and with instance
    norm NHWC is clearly slower.
    """
    wish = recipe.training.channels_last
    last = wish == "yes" or (wish == "auto" and device == "cuda" and recipe.generator.options.get("norm") != "instance")
    return torch.channels_last if last else torch.contiguous_format
