"""A recipe's keys as data: what each means, what it takes and what it is, for ``--help``, the reference page and the docs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .recipe import Recipe
from .section import Named, key_type, options_of
from .sections import Adversarial, Data, DiscriminatorSection, GeneratorSection, Term, Training
from .values import NameOf, beside, choices, takes

SECTIONS: tuple[type[Named], ...] = (Data, GeneratorSection, DiscriminatorSection, Adversarial, Term, Training)
"""In the order of a recipe."""


@dataclass(frozen=True)
class Key:
    """One key of a recipe; each is a flag, too.

    Attributes:
        name: dotted, such as ``training.epochs``.
        help: its meaning.
        takes: what it takes, in words.
        choices: the only values there are (null apart), or the names of registered things; empty if there are more.
        default: what it is where nothing is said; None for a key that must be given.
        value: what it is in the recipe at hand, else the default.
        option: whether it is an option of what the section names, and not of every such section.
    """

    name: str
    help: str
    takes: str
    choices: tuple[Any, ...]
    default: Any
    value: Any
    option: bool = False


@dataclass(frozen=True)
class KeyGroup:
    """The keys of a section.

    Attributes:
        where: the section's dotted key.
        summary: what it is about, in a sentence.
        keys: in the order of the YAML.
    """

    where: str
    summary: str
    keys: tuple[Key, ...]


def section_keys(section: type[Named], held: Mapping[str, Any] | None = None) -> KeyGroup:
    """The keys of a section, whatever it names; with ``held``, the values of one recipe, also the options of what it names."""
    given = held or {}
    keys = []
    for name, field in section.model_fields.items():
        default = None if field.is_required() else field.get_default(call_default_factory=True)
        keys.append(_key(section, name, key_type(section, name), field.description or "", default, given, option=False))
    if held is not None:
        for name, option in options_of(section.named(), given[section.naming]).items():
            keys.append(_key(section, name, option.annotation, option.help, option.default, given, option=True))
    return KeyGroup(section.where, (section.__doc__ or "").strip().splitlines()[0], tuple(keys))


def recipe_keys(recipe: Recipe) -> list[KeyGroup]:
    """Every key of a recipe with its value there; the terms of the objective, which are a list, are told apart."""
    tree = recipe.to_dict()
    held = {**tree, "objective.adversarial": tree["objective"]["adversarial"]}
    return [section_keys(section, held[section.where]) for section in SECTIONS if held.get(section.where) is not None]


def _key(section: type[Named], name: str, annotation: Any, help_: str, default: Any, given: Mapping[str, Any], option: bool) -> Key:
    known = [word for item in beside(annotation) if isinstance(item, NameOf) for word in item.names()] or choices(annotation)
    return Key(f"{section.where}.{name}", help_, takes(annotation), tuple(known), default, given.get(name, default), option)


def stabilisers(recipe: Mapping[str, Any]) -> list[str]:
    """What steadies a recipe's training without a term in G's objective, in words; told beside every result, for it is no small help.

    Args:
        recipe: nested plain values, as of ``recipe.yaml``; what is not there is off.
    """

    def part(holder: Any, key: str) -> Mapping[str, Any]:
        found = holder.get(key) if isinstance(holder, Mapping) else None
        return found if isinstance(found, Mapping) else {}

    adversarial, discriminator, training = (
        part(part(recipe, "objective"), "adversarial"),
        part(recipe, "discriminator"),
        part(recipe, "training"),
    )

    def number(holder: Mapping[str, Any], key: str) -> float:
        """Zero for what is no number: the file may have been written by anybody."""
        found = holder.get(key)
        return found if isinstance(found, int | float) and not isinstance(found, bool) and abs(found) < 1e9 else 0

    label, augment = adversarial.get("real_label"), adversarial.get("augment")
    words = [word for word in augment if isinstance(word, str)] if isinstance(augment, list | tuple) else []
    return [
        *([f"R1 {number(adversarial, 'r1'):g}"] if number(adversarial, "r1") else []),
        *([f"R2 {number(adversarial, 'r2'):g}"] if number(adversarial, "r2") else []),
        *([f"augmentation ({', '.join(words)})"] if words else []),
        *([f"pool of {number(adversarial, 'pool')}"] if number(adversarial, "pool") else []),
        *([f"real label {label:g}"] if isinstance(label, float) and label != 1 else []),
        *(["spectral norm"] if discriminator.get("spectral") is True else []),
        *([f"average of weights {number(training, 'ema'):g}"] if number(training, "ema") else []),
    ]
