"""The recipe: everything that defines a training run, as one YAML file, typed, complete and re-runnable. Imports no torch."""

from __future__ import annotations

from .describe import stabilisers
from .recipe import FREE_ON_RESUME, Recipe
from .section import read_options
from .sections import (
    Adversarial,
    Data,
    DiscriminatorSection,
    GeneratorSection,
    ObjectiveSection,
    Term,
    Training,
    data_at,
    drawn_worlds,
    has_place,
    without_place,
)
from .tree import flatten, shipped
from .values import parse_value

__all__ = [
    "FREE_ON_RESUME",
    "Adversarial",
    "Data",
    "DiscriminatorSection",
    "GeneratorSection",
    "ObjectiveSection",
    "Recipe",
    "Term",
    "Training",
    "data_at",
    "drawn_worlds",
    "flatten",
    "has_place",
    "parse_value",
    "read_options",
    "shipped",
    "stabilisers",
    "without_place",
]
