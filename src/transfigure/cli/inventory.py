"""What can be named: for ``transfigure list``, ``--help`` and the reference page, read from the catalog without importing it."""

from __future__ import annotations

import dataclasses
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .. import registry
from ..recipe import Adversarial, Component, Data, Recipe, Training, describe_type, options_of, section_class, shipped
from ..studies.ablation.grid import shipped as shipped_grids
from .commands import commands


def inventory() -> dict[str, dict[str, dict[str, Any]]]:
    """``{kind: {name: {summary, options, ...}}}`` for every registered thing, every shipped recipe and grid, and every command."""
    found: dict[str, dict[str, dict[str, Any]]] = {"recipe": {}}
    for name, file in shipped().items():
        found["recipe"][name] = {"summary": _comments(file), "options": {}}
    found["grid"] = {name: {"summary": _comments(file), "options": {}} for name, file in shipped_grids().items()}
    for kind in registry.KINDS:
        if registry.names(kind):
            found[kind] = {}
        for name in registry.names(kind):
            entry = registry.entry(kind, name)
            options = {key: item.default for key, item in entry.options.items()}
            found[kind][name] = {"summary": entry.summary, "options": options, **entry.extra}
    found["command"] = {command.name: {"summary": command.summary, "options": {}} for command in commands()}
    return found


def _comments(file: Path) -> str:
    """What a shipped file says of itself in its comments."""
    return " ".join(line.lstrip("# ").strip() for line in file.read_text(encoding="utf-8").splitlines() if line.startswith("#"))


def inventory_text(found: dict[str, dict[str, dict[str, Any]]]) -> str:
    """The inventory for a person."""
    width = max(len(name) for items in found.values() for name in items)
    lines: list[str] = []
    for kind, items in found.items():
        lines += ["", kind]
        for name, item in items.items():
            options = ", ".join(f"{key}={value}" for key, value in item["options"].items())
            words = item["summary"] + (f" ({options})" if options else "")
            lines += textwrap.wrap(words, 116, initial_indent=f"  {name.ljust(width)}  ", subsequent_indent=" " * (width + 4))
    return "\n".join(lines[1:])


def reference() -> str:
    """The reference page: every registered thing with its whole docstring's first part and its options, as Markdown."""
    lines = [
        "# Reference",
        "",
        "Everything that can be named in a recipe. Written by `transfigure list --markdown`; a test keeps it true.",
    ]
    for kind, items in inventory().items():
        if kind == "command":  # has a page of its own
            continue
        lines += ["", f"## {kind}"]
        for name, item in items.items():
            lines += ["", f"### `{name}`", "", _code(item["summary"])]
            if kind not in ("recipe", "grid") and (options := registry.entry(kind, name).options):
                lines += ["", "| option | default | |", "|---|---|---|"]
                lines += [f"| `{key}` | `{_shown(option.default)}` | {_code(option.help)} |" for key, option in options.items()]
    for where, cls in (("data", Data), ("objective.adversarial", Adversarial), ("training", Training)):
        made = section_class(cls)
        helps = registry.argument_help(made.__doc__ or "")
        lines += ["", f"## Keys of `{where}`", "", _code((made.__doc__ or "").splitlines()[0]), "", "| key | default | |", "|---|---|---|"]
        for field in dataclasses.fields(made):
            default = field.default if field.default is not dataclasses.MISSING else []
            lines.append(f"| `{where}.{field.name}` | `{_shown(default)}` | {_code(helps.get(field.name, ''))} |")
    return "\n".join(lines) + "\n"


def _code(text: str) -> str:
    return text.replace("``", "`").replace("|", "\\|")


def recipe_flags(name: str, overrides: Mapping[str, Any] | None = None) -> str:
    """Every key of a recipe as a flag, with its meaning, what it takes, and its value there."""
    recipe = Recipe.load(name, overrides)
    parts: list[tuple[str, Any, Any, dict[str, Any]]] = [
        ("data", Data, options_of("dataset", recipe.data.kind), recipe.to_dict()["data"]),
        ("generator", Component, registry.entry("generator", recipe.generator.name).options, recipe.to_dict()["generator"]),
    ]
    if recipe.discriminator is not None and recipe.objective.adversarial is not None:
        adversarial = recipe.objective.adversarial
        options = registry.entry("discriminator", recipe.discriminator.name).options
        parts.append(("discriminator", Component, options, recipe.to_dict()["discriminator"]))
        options = registry.entry("adversarial", adversarial.loss).options
        parts.append(("objective.adversarial", Adversarial, options, recipe.to_dict()["objective"]["adversarial"]))
    parts.append(("training", Training, {}, recipe.to_dict()["training"]))
    lines = [f"keys of the recipe {recipe.name} (each is a key of its YAML file too):"]
    for where, cls, options, values in parts:
        made = section_class(cls, tuple(options.values()))
        helps = registry.argument_help(made.__doc__ or "")
        lines.append(f"\n{where}: {(made.__doc__ or '').splitlines()[0]}")
        for item in dataclasses.fields(made):
            value = values.get(item.name, options[item.name].default if item.name in options else None)
            takes = f" ({describe_type(item.type)})" if "Literal" in str(item.type) else ""
            words = f"{helps.get(item.name, '').replace('``', '')}{takes} [{_shown(value)}]"
            lines += textwrap.wrap(words, 118, initial_indent=f"  --{where}.{item.name}  ", subsequent_indent=" " * 10)
    terms = [", ".join(f"{key}: {_shown(value)}" for key, value in term.items()) for term in recipe.objective.terms]
    lines += ["", "objective.terms: The weighted loss terms beside the adversarial one."]
    lines += [f"  --objective.terms '[{', '.join(f'{{{term}}}' for term in terms)}]'"]
    for term in recipe.objective.terms:
        lines += [f"  --objective.terms.{term['loss']}.{key} {_shown(value)}" for key, value in term.items() if key != "loss"]
    return "\n".join(lines)


def _shown(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    return str(list(value)) if isinstance(value, tuple) else str(value)
