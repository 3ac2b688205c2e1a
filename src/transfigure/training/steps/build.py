"""Which step a recipe trains with."""

from __future__ import annotations

from ...errors import UserError
from ...losses.objective import Objective
from ...recipe import Recipe
from ...registry import build, resolve
from ..setup import Setup
from .base import TrainingStep


def step_name(recipe: Recipe) -> str:
    """``training.step``; ``auto`` is ``cyclegan`` if a term needs the generator of the other direction, else ``pix2pix``."""
    if recipe.training.step != "auto":
        return recipe.training.step
    return "cyclegan" if Objective(recipe.objective.terms).needing("inverse") else "pix2pix"


def build_step(setup: Setup) -> TrainingStep:
    """The networks of a recipe, initialised from the global random numbers, and the step that trains them.

    Raises:
        UserError: there is no such step, or the recipe does not fit it or its data.
    """
    name = step_name(setup.recipe)
    thing = resolve("step", name)
    if missing := sorted(getattr(thing, "__abstractmethods__", ())):
        raise UserError(f"the registered step {name!r} lacks {', '.join(missing)}: write them down as TrainingStep says")
    step = build("step", name, setup, **setup.recipe.training.options)
    if not isinstance(step, TrainingStep):
        raise UserError(f"the registered step {name!r} is no TrainingStep: derive it from transfigure.training.steps.base.TrainingStep")
    if setup.micro_batch_size is not None and step.micro_batch_size is None:
        raise UserError(
            f"the step {name} takes its batch as a whole, so nothing can be accumulated: use --training.accumulate 1, or write it with "
            "super().__init__(setup.engine, setup.micro_batch_size) and go through self.parts(batch)"
        )
    return step
