"""The recipe: everything that defines a training run, as one YAML file, typed, complete and re-runnable. Imports no torch.

Its names are imported when first used: what needs one module of it (how options are checked) does not wait for YAML and all sections.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .describe import stabilisers
    from .recipe import FREE_ON_RESUME, Recipe
    from .section import read_options
    from .sections import (
        BRACES,
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
        is_file_pattern,
        without_place,
    )
    from .tree import flatten, shipped
    from .values import parse_value

__all__ = [
    "BRACES",
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
    "is_file_pattern",
    "parse_value",
    "read_options",
    "shipped",
    "stabilisers",
    "without_place",
]

_OTHERS = {
    "FREE_ON_RESUME": "recipe",
    "Recipe": "recipe",
    "flatten": "tree",
    "parse_value": "values",
    "read_options": "section",
    "shipped": "tree",
    "stabilisers": "describe",
}
"""Name: the module here that defines it, where that is not ``sections``."""


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(importlib.import_module(f".{_OTHERS.get(name, 'sections')}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
