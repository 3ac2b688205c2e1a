"""What can be named: for ``transfigure list``, ``--help`` and the reference page, read from the catalog without importing it."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from .. import registry
from ..errors import printable
from ..interop.zoo import PREPROCESSING, PUBLISHED
from ..networks.shipped import shipped_models, title_of
from ..recipe import Recipe, shipped
from ..recipe.describe import SECTIONS, recipe_keys, section_keys
from ..recipe.values import takes
from ..studies.ablation.grid import shipped as shipped_grids
from .commands import commands

if TYPE_CHECKING:
    from ..metrics.metric import Metric


def inventory() -> dict[str, dict[str, dict[str, Any]]]:
    """``{kind: {name: {summary, options, ...}}}`` for what is registered, shipped (recipes, models, grids) or published, and commands."""
    found: dict[str, dict[str, dict[str, Any]]] = {"recipe": {}}
    for name, file in shipped().items():
        found["recipe"][name] = {"summary": _comments(file), "options": {}}
    found["model"] = {name: {"summary": title_of(folder), "options": {}} for name, folder in shipped_models().items()}
    found["grid"] = {name: {"summary": _comments(file), "options": {}} for name, file in shipped_grids().items()}
    for kind in registry.KINDS:
        found[kind] = {}
        for name in registry.names(kind):
            entry = registry.entry(kind, name)
            options = {key: item.default for key, item in entry.options.items()}
            found[kind][name] = {"summary": entry.summary, "options": options, **entry.extra}
    found["published"] = {name: {"summary": network.summary, "options": {}} for name, network in PUBLISHED.items()}
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
            words = printable(item["summary"] + (f" ({options})" if options else ""))
            lines += textwrap.wrap(words, 116, initial_indent=f"  {printable(name).ljust(width)}  ", subsequent_indent=" " * (width + 4))
    return "\n".join(lines[1:])


def reference() -> str:
    """The reference page: every registered thing with its whole docstring's first part and its options, as Markdown."""
    lines = [
        "# Names and keys",
        "",
        "Everything that can be named in a recipe. Written by `transfigure list --markdown`; a test keeps it true.",
    ]
    for kind, items in inventory().items():
        if kind == "command":  # has a page of its own
            continue
        lines += ["", f"## {kind}"]
        if kind == "metric":
            lines += ["", *_metrics(list(items))]
        if kind == "published":
            lines += ["", *_published()]
            continue
        for name, item in items.items():
            lines += ["", f"### `{name}`", "", _code(item["summary"])]
            if kind in registry.KINDS and (options := registry.entry(kind, name).options):
                lines += ["", *_table("option", [(key, one.default, takes(one.annotation), one.help) for key, one in options.items()])]
    for section in SECTIONS:
        group = section_keys(section)
        rows = [(key.name, key.default, key.takes, key.help) for key in group.keys]
        lines += ["", f"## Keys of `{group.where}`", "", _code(group.summary), "", *_table("key", rows)]
    return "\n".join(lines) + "\n"


def _published() -> list[str]:
    """The generators that ``transfigure import NAME`` gets, in a table."""
    rows = [f"| `{one.full_name}` | {one.source} | {one.target} | {one.data} | {one.network} |" for one in PUBLISHED.values()]
    head = [f"What `transfigure import NAME --out MODEL --download` gets. All were {PREPROCESSING.replace('give it', 'give them')}.", ""]
    return [*head, "| name | from | to | trained on | network |", "|---|---|---|---|---|", *rows]


def _table(first: str, rows: list[tuple[str, Any, str, str]]) -> list[str]:
    head = [f"| {first} | default | takes | |", "|---|---|---|---|"]
    return head + [f"| `{name}` | `{_shown(default)}` | {_code(words)} | {_code(text)} |" for name, default, words, text in rows]


def _metrics(names: list[str]) -> list[str]:
    """What each metric needs and which way it is good, which only the imported class tells; ours with their pages."""
    lines = ["| metric | needs | better |", "|---|---|---|"]
    for name in names:
        metric = cast("type[Metric]", registry.resolve("metric", name))
        better = "; ".join([metric.better, *(f"`{value}`: {way}" for value, way in metric.better_of.items())])
        ours = registry.entry("metric", name).module.startswith("transfigure.")
        lines.append(f"| {f'[{name}](metrics/{name}.md)' if ours else name} | {metric.needs} | {better} |")
    return lines


def _code(text: str) -> str:
    return text.replace("``", "`").replace("|", "\\|")


def recipe_flags(name: str, overrides: Mapping[str, Any] | None = None) -> str:
    """Every key of a recipe as a flag, with its meaning, what it takes, and its value there."""
    recipe = Recipe.load(name, overrides)
    lines = [f"keys of the recipe {recipe.name} (each is a key of its YAML file too):"]
    for group in recipe_keys(recipe):
        lines += ["", printable(f"{group.where}: {group.summary}")]
        for key in group.keys:
            words = printable(f"{key.help.replace('``', '')} ({key.takes}) [{_shown(key.value)}]")
            lines += textwrap.wrap(words, 118, initial_indent=f"  --{printable(key.name)}  ", subsequent_indent=" " * 10)
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
