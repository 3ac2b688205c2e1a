"""The recipe: everything that defines a training run, as one YAML file, typed, complete and re-runnable.

A section is a dataclass of ``sections.py`` plus, where it names a registered thing (a generator, a dataset kind, a loss), that
thing's own options, read from the catalog. So a new network or loss brings its recipe keys and its flags with it. Imports no torch.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from .check import (
    check_keys,
    check_values,
    describe_type,
    read_mapping,
    read_options,
    read_section,
    read_terms,
    read_training,
    section_class,
    with_depth,
)
from .sections import Adversarial, Component, Data, ObjectiveSection, Training, plain
from .tree import (
    GROUPS,
    data_at,
    drawn_worlds,
    flatten,
    has_place,
    lay,
    options_of,
    parse_overrides,
    parse_value,
    read_tree,
    shipped,
    stabilisers,
)

__all__ = [
    "Adversarial",
    "Component",
    "Data",
    "ObjectiveSection",
    "Recipe",
    "Training",
    "data_at",
    "describe_type",
    "drawn_worlds",
    "flatten",
    "has_place",
    "options_of",
    "parse_value",
    "read_options",
    "section_class",
    "shipped",
    "stabilisers",
]

FREE_ON_RESUME = frozenset(
    f"{section}.{key}"
    for section, keys in {
        "data": ("path", "workers", "cache_gb"),
        "training": ("checkpoint_every", "preview_every", "keep_every", "preview_count", "log_every", "trackers"),
    }.items()
    for key in keys
)
"""Keys that do not change what is computed, only where from and what is kept: a resumed run may change them."""


@dataclass(frozen=True)
class Recipe:
    """Everything that defines a training run. Load one with :meth:`load`; it is complete, checked and immutable."""

    name: str
    data: Data
    generator: Component
    discriminator: Component | None
    objective: ObjectiveSection
    training: Training

    @classmethod
    def load(cls, name_or_file: str | Path, overrides: Mapping[str, Any] | None = None) -> Recipe:
        """A shipped recipe by name, or a YAML file, with dotted overrides laid on top.

        Args:
            name_or_file: ``pix2pix`` or ``my/recipe.yaml``.
            overrides: ``{"training.epochs": 20, "generator": "resnet", ...}``; strings are read as YAML values.

        Raises:
            UserError: unknown recipe, key or name (with the nearest known one), or a value of the wrong type.
        """
        tree = read_tree(name_or_file)
        lay(tree, parse_overrides(overrides or {}))
        return cls.from_dict(tree)

    @classmethod
    def from_dict(cls, tree: Mapping[str, Any]) -> Recipe:
        """A recipe from nested plain values, completed with every default and checked.

        Raises:
            UserError: as :meth:`load`.
        """
        tree = copy.deepcopy(dict(tree))
        check_keys("recipe", tree, [item.name for item in dataclasses.fields(cls)])
        name = str(tree.get("name") or "recipe")
        data = read_section("data", tree.get("data"), GROUPS["data"])
        generator = read_section("generator", tree.get("generator"), GROUPS["generator"])
        objective = read_mapping("objective", tree.get("objective"))
        check_keys("objective", objective, ["adversarial", "terms"])
        adversarial = None
        if objective.get("adversarial") is not None:
            adversarial = read_section("objective.adversarial", objective["adversarial"], GROUPS["objective.adversarial"])
        discriminator = read_section("discriminator", tree.get("discriminator"), GROUPS["discriminator"])
        recipe = cls(
            name,
            data,
            with_depth(generator, data.crop_size),
            None if adversarial is None else discriminator,
            ObjectiveSection(adversarial, read_terms(objective.get("terms"))),
            read_training(tree.get("training")),
        )
        check_values(recipe)
        return recipe

    def to_dict(self) -> dict[str, Any]:
        """Nested plain values, every key present, ready for YAML or JSON."""
        adversarial = self.objective.adversarial
        return {
            "name": self.name,
            "data": plain(self.data),
            "generator": plain(self.generator),
            "discriminator": None if self.discriminator is None else plain(self.discriminator),
            "objective": {
                "adversarial": None if adversarial is None else plain(adversarial),
                "terms": [dict(term) for term in self.objective.terms],
            },
            "training": plain(self.training),
        }

    def to_yaml(self) -> str:
        """The complete recipe as YAML."""
        return yaml.safe_dump(self.to_dict(), sort_keys=False, default_flow_style=None, width=110)

    def updated(self, overrides: Mapping[str, Any]) -> Recipe:
        """A copy with dotted overrides laid on top."""
        tree = self.to_dict()
        lay(tree, parse_overrides(overrides))
        return Recipe.from_dict(tree)

    def differences(self, other: Recipe) -> dict[str, tuple[Any, Any]]:
        """``{dotted key: (mine, other's)}`` for every key that differs."""
        mine, theirs = dict(flatten(self.to_dict())), dict(flatten(other.to_dict()))
        return {key: (mine.get(key), theirs.get(key)) for key in sorted({*mine, *theirs}) if mine.get(key) != theirs.get(key)}
