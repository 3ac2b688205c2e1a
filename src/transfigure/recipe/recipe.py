"""The recipe itself: its sections, what must hold between them, and its ways from and to YAML."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import yaml
from pydantic import ValidationError, ValidationInfo, field_validator

from .. import registry
from ..errors import UserError
from .section import Section, first_error, refusal
from .sections import Data, DiscriminatorSection, GeneratorSection, ObjectiveSection, Training
from .tree import flatten, merge, parse_overrides, read_files

FREE_ON_RESUME: frozenset[str] = frozenset(
    f"{section}.{key}"
    for section, keys in {
        "data": ("path", "workers", "cache_gb", "split_rule", "check", "on_error", "on_device"),
        "training": (
            *("checkpoint_every", "preview_every", "keep_every", "preview_count", "log_every"),
            *("trackers", "checkpoint_activations", "graphs"),
        ),
    }.items()
    for key in keys
)
"""Keys that do not change what is computed, only where from and what is kept: a resumed run may change them. (It keeps its own split.)"""


class Recipe(Section):
    """Everything that defines a training run. Load one with :meth:`load`; it is complete, checked and immutable."""

    name: str = "recipe"
    data: Data
    generator: GeneratorSection
    objective: ObjectiveSection
    discriminator: DiscriminatorSection | None
    """None without an adversarial part."""
    training: Training

    @classmethod
    def load(cls, name_or_file: str | Path, overrides: Mapping[str, Any] | None = None) -> Self:
        """A shipped recipe by name, or a YAML file, with dotted overrides merged into it.

        Args:
            name_or_file: ``pix2pix`` or ``my/recipe.yaml``.
            overrides: ``{"training.epochs": 20, "generator": "resnet", ...}``; strings are read as YAML values.

        Raises:
            UserError: unknown recipe, key or name (with the nearest known one), or a value that a key does not take.
        """
        layers = [*read_files(name_or_file), (None, parse_overrides(overrides or {}))]
        tree: dict[str, Any] = {}
        for file, values in layers:
            try:
                merge(tree, values)
            except UserError as error:
                raise UserError(_said_by(file, str(error))) from None
        try:
            made = cls.within(tree)
        except ValidationError as error:
            key, sentence = first_error(error)
            origin = next((file for file, values in reversed(layers) if _says(values, key)), None)
            raise UserError(_said_by(origin, sentence)) from None
        made._refuse_idle_regions(overrides or {})
        return made

    @classmethod
    def from_dict(cls, tree: Mapping[str, Any]) -> Self:
        """A recipe from nested plain values, completed with every default and checked.

        Raises:
            UserError: as :meth:`load`.
        """
        return cls.model_validate(copy.deepcopy(dict(tree)))

    def to_dict(self) -> dict[str, Any]:
        """Nested plain values, every key present, ready for YAML or JSON."""
        adversarial = self.objective.adversarial
        return {
            "name": self.name,
            "data": self.data.to_dict(),
            "generator": self.generator.to_dict(),
            "discriminator": None if self.discriminator is None else self.discriminator.to_dict(),
            "objective": {
                "adversarial": None if adversarial is None else adversarial.to_dict(),
                "terms": [dict(term) for term in self.objective.terms],
            },
            "training": self.training.to_dict(),
        }

    def to_yaml(self) -> str:
        """The complete recipe as YAML."""
        return yaml.safe_dump(self.to_dict(), sort_keys=False, default_flow_style=None, width=110)

    def updated(self, overrides: Mapping[str, Any]) -> Self:
        """A copy with dotted overrides merged into it.

        Raises:
            UserError: a key or value that a recipe cannot have.
        """
        tree = self.to_dict()
        merge(tree, parse_overrides(overrides))
        made = self.from_dict(tree)
        made._refuse_idle_regions(overrides)
        return made

    def _refuse_idle_regions(self, overrides: Mapping[str, Any]) -> None:
        """Refuse regions that are asked for where nothing is divided by them: those that are the default can be seen only here."""
        if "data.regions" in overrides and "data.split_by" not in overrides and self.data.split_by != "region":
            raise UserError("data.regions is about regions of images: set data.split_by region, too, or leave it out")

    def with_found(self, stored: Recipe) -> Self:
        """The same with what a run that stored its recipe found out in its data, see :meth:`.Data.with_found`."""
        return self.replaced(data=self.data.with_found(stored.data))

    def differences(self, other: Recipe) -> dict[str, tuple[Any, Any]]:
        """``{dotted key: (mine, other's)}`` for every key that differs."""
        mine, theirs = dict(flatten(self.to_dict())), dict(flatten(other.to_dict()))
        return {key: (mine.get(key), theirs.get(key)) for key in sorted({*mine, *theirs}) if mine.get(key) != theirs.get(key)}

    # ---- what must hold between the sections ------------------------------------------------------------------------------

    @classmethod
    def _read(cls, given: Any) -> dict[str, Any]:
        """A section that is left out or empty has its defaults."""
        held = super()._read(given)
        sections = {key: {} if held.get(key) is None else held[key] for key in cls.model_fields if key != "name"}
        return {"name": str(held.get("name") or "recipe"), **sections}

    @field_validator("generator")
    @classmethod
    def _depth(cls, generator: GeneratorSection, info: ValidationInfo) -> GeneratorSection:
        """A U-shaped generator left without a depth gets as many halvings as its crops allow, at most the paper's 8."""
        if "data" not in info.data or generator.options.get("depth", 0) is not None:
            return generator
        crop = info.data["data"].crop_size
        halvings = (crop & -crop).bit_length() - 1
        if halvings < 4:
            near = max(16, round(crop / 16) * 16)
            message = (
                f"data.crop_size {crop} cannot be halved often enough for a U-shaped generator: "
                f"use a multiple of 16 such as {near}, or set --generator.depth"
            )
            raise refusal((), message, "together")
        return generator.replaced(depth=min(8, halvings))

    @field_validator("discriminator")
    @classmethod
    def _none_without_an_adversary(cls, discriminator: DiscriminatorSection, info: ValidationInfo) -> DiscriminatorSection | None:
        return discriminator if "objective" not in info.data or info.data["objective"].adversarial is not None else None

    def _check(self) -> None:
        game = self.objective.adversarial
        if game is not None and self.discriminator is not None:
            alone = registry.entry("adversarial", game.loss).extra.get("batch_norm") is False
            if alone and self.discriminator.options.get("norm") == "batch":
                message = (
                    f"objective.adversarial.loss {game.loss} needs a discriminator that judges each image by itself: "
                    f"add --discriminator.norm instance"
                )
                raise refusal((), message, "together")
        if not any(term["weight"] for term in self.objective.terms) and not (game and game.weight):
            message = "the objective is empty: set objective.adversarial, or at least one of objective.terms, with a weight above zero"
            raise refusal((), message, "together")


def _said_by(file: Path | None, sentence: str) -> str:
    return sentence if file is None else f"recipe {file}: {sentence}"


def _says(values: Mapping[str, Any], key: tuple[str | int, ...]) -> bool:
    """Whether nested or dotted values say something of a key, or of what it is part of."""
    wanted = ".".join(map(str, key))
    leaves = [name for name, _ in flatten({str(name): value for name, value in values.items()})]
    if wanted.startswith("objective.terms."):
        wanted = "objective.terms"
    return bool(key) and any(f"{leaf}.".startswith(f"{wanted}.") or f"{wanted}.".startswith(f"{leaf}.") for leaf in leaves)
