"""From a recipe to networks that can be trained: built, seeded, placed and given their optimisers."""

from __future__ import annotations

import torch

from ..data.open import OpenedData
from ..errors import UserError
from ..networks.build import build_discriminator, build_generator
from ..objectives.objective import Objective
from ..recipe import Recipe
from ..registry import build
from .engine import Engine
from .optimiser import adam, discriminator_rate
from .step import PairedStep


def build_step(recipe: Recipe, data: OpenedData, engine: Engine) -> PairedStep:
    """The networks of a recipe, initialised from the global random numbers, and the step that trains them.

    Raises:
        UserError: the crop does not fit a network, with the nearest one that does.
    """
    training, objective, crop = recipe.training, recipe.objective, recipe.data.crop_size
    generator = build_generator(recipe.generator.name, data.source_channels, data.target_channels, recipe.generator.options)
    multiple: int = generator.size_multiple  # type: ignore[assignment]
    if crop % multiple:
        raise UserError(
            f"data.crop_size {crop} is not a multiple of {multiple}, which this {recipe.generator.name} needs: "
            f"use {max(multiple, crop // multiple * multiple)}, or a smaller --generator.depth"
        )
    layout = memory_format(recipe, engine.device.type)
    generator = engine.place(generator, layout)
    terms = Objective(objective.terms).to(engine.device)
    optimiser_g = adam(generator, training.learning_rate, training)
    if objective.adversarial is None or recipe.discriminator is None:
        return PairedStep(generator, terms, optimiser_g, engine)

    conditional = objective.adversarial.conditional
    seen = data.target_channels + (data.source_channels if conditional else 0)
    discriminator = build_discriminator(recipe.discriminator.name, seen, recipe.discriminator.options)
    smallest: int = discriminator.smallest_input  # type: ignore[assignment]
    if crop < smallest:
        raise UserError(
            f"data.crop_size {crop} is too small for this discriminator, which needs {smallest} pixels: "
            "use a smaller --discriminator.receptive_field"
        )
    discriminator = engine.place(discriminator, layout)
    return PairedStep(
        generator,
        terms,
        optimiser_g,
        engine,
        discriminator=discriminator,
        adversarial=build("adversarial", objective.adversarial.loss, **objective.adversarial.options),
        conditional=conditional,
        adversarial_weight=objective.adversarial.weight,
        optimiser_d=adam(discriminator, discriminator_rate(training), training),
    )


def memory_format(recipe: Recipe, device: str) -> torch.memory_format:
    """The layout asked for; ``auto`` is NHWC on CUDA, whose tensor cores want it, and NCHW elsewhere.

    On CPUs which one is faster differs by a few per cent from one to the next (``benchmarks/training.py --layouts``), and with instance
    norm NHWC is clearly slower.
    """
    wish = recipe.training.channels_last
    last = wish == "yes" or (wish == "auto" and device == "cuda" and recipe.generator.options.get("norm") != "instance")
    return torch.channels_last if last else torch.contiguous_format
