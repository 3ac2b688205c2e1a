"""Small steps for tests: built from a recipe, as training builds them."""

from __future__ import annotations

from typing import Any

import torch

from transfigure.data.batch import Batch
from transfigure.recipe import Recipe
from transfigure.training.engine import Engine
from transfigure.training.setup import Setup
from transfigure.training.steps.base import TrainingStep
from transfigure.training.steps.build import build_step
from transfigure.training.steps.cyclegan import CycleGANStep
from transfigure.training.steps.pix2pix import Pix2PixStep

SMALL = {
    **{"generator.width": 4, "generator.depth": 4, "discriminator.width": 4, "discriminator.receptive_field": 16},
    **{"data.crop_size": 32, "data.load_size": 32, "training.accelerator": "cpu", "training.fused": False},
}


def small_setup(overrides: dict[str, Any] | None = None, recipe: str = "pix2pix", unpaired: bool = False) -> Setup:
    """What a small step is built from; the global random numbers are seeded."""
    torch.manual_seed(0)
    chosen = Recipe.load(recipe, {**SMALL, **(overrides or {})})
    return Setup(chosen, (3, 3), Engine(chosen.training), unpaired)


def small_step(overrides: dict[str, Any] | None = None) -> Pix2PixStep:
    """pix2pix's step on a U-Net of width 4, with seeded weights."""
    step: TrainingStep = build_step(small_setup(overrides))
    assert isinstance(step, Pix2PixStep)
    return step


def small_cyclegan(overrides: dict[str, Any] | None = None) -> CycleGANStep:
    """CycleGAN's step on U-Nets with instance norm and without noise, with seeded weights."""
    norms = {"generator": "unet", "generator.norm": "instance", "generator.dropout": 0.0, "discriminator.norm": "instance"}
    step = build_step(small_setup({**norms, **(overrides or {})}, "cyclegan", unpaired=True))
    assert isinstance(step, CycleGANStep)
    return step


def small_batch(seed: int = 0, count: int = 1) -> Batch:
    """Random pairs of 32 x 32 pixels."""
    random = torch.Generator().manual_seed(seed)
    source, target = torch.rand(2, count, 3, 32, 32, generator=random) * 2 - 1
    return Batch(source, target, tuple(str(i) for i in range(count)))
