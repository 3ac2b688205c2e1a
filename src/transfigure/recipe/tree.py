"""Recipes as nested plain values: reading files, what they extend, and dotted overrides."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml

from .. import registry
from ..errors import UserError, did_you_mean
from .sections import Adversarial, Component, Data


def shipped() -> dict[str, Path]:
    """The recipes in the package: ``{name: file}``."""
    folder = Path(str(files("transfigure") / "recipes"))
    return {file.stem: file for file in sorted(folder.glob("*.yaml"))}


def read_tree(name_or_file: str | Path) -> dict[str, Any]:
    """The plain values of a recipe file, with what it ``extends`` underneath."""
    text = str(name_or_file)
    known = shipped()
    if text in known:
        file = known[text]
    elif (file := Path(text)).suffix in (".yaml", ".yml") or file.is_file():
        if not file.is_file():
            raise UserError(f"recipe file {text} does not exist: give a YAML file or one of {', '.join(known)}")
    else:
        raise UserError(f"there is no recipe named {text!r}{did_you_mean(text, known)}; a file's name ends in .yaml")
    try:
        tree = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError, OSError) as error:
        raise UserError(f"recipe {file} cannot be read: {' '.join(str(error).split())}") from error
    if not isinstance(tree, dict):
        raise UserError(f"recipe {file} holds no keys: a recipe is a YAML mapping with data, generator, objective, training")
    base = tree.pop("extends", None)
    tree.setdefault("name", file.stem)
    if base is None:
        return tree
    if base == text:
        raise UserError(f"recipe {file} extends itself: name another recipe under 'extends', or remove the line")
    under = read_tree(base if base in known else file.parent / base)
    for key, value in flatten(tree):
        override(under, key, value)
    return under


def flatten(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every leaf as ``(dotted key, value)``; lists are leaves."""
    for key, value in tree.items():
        if isinstance(value, Mapping) and value:
            yield from flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def override(tree: dict[str, Any], key: str, value: Any) -> None:
    """Set one dotted key in place. Terms are addressed by loss name or position: ``objective.terms.l1.weight``.

    Naming another network, dataset kind or loss drops the options that belonged to the one named before.

    Raises:
        UserError: the key leads through something that has no keys.
    """
    if isinstance(value, str):
        value = parse_value(value)
    *path, last = key.split(".")
    if not path and isinstance(tree.get(last), dict) and isinstance(value, str):  # --generator resnet
        path, last = [last], "kind" if last == "data" else "name"
    here: Any = tree
    for position, part in enumerate(path):
        if isinstance(here, list):
            here = _term(here, part, key)
            continue
        if here.get(part) is None:
            here[part] = [] if ".".join(path[: position + 1]) == "objective.terms" else {}
        elif isinstance(here[part], str) and part in ("generator", "discriminator"):
            here[part] = {"name": here[part]}
        elif not isinstance(here[part], dict | list):
            raise UserError(f"{key} cannot be set: {part} is {here[part]!r} and has no keys")
        here = here[part]
    if isinstance(here, list):
        position_of = _term(here, last, key)
        here[here.index(position_of)] = value
        return
    renamed = {"name": ("generator", "discriminator"), "kind": ("data",), "loss": ("adversarial",)}.get(last, ())
    if path and path[-1] in renamed and here.get(last) != value:
        fixed = [item.name for item in dataclasses.fields({"data": Data, "adversarial": Adversarial}.get(path[-1], Component))]
        kind = {"data": "dataset"}.get(path[-1], path[-1])
        if (kind, value) in registry.catalog():
            kept = {*fixed, *registry.entry(kind, value).options}
            for stale in [name for name in here if name not in kept]:
                del here[stale]
    here[last] = value


def parse_value(text: str) -> Any:
    """A flag's text as a YAML value; ``2e-4`` is a number too (YAML 1.1 would want ``2.0e-4``)."""
    if re.fullmatch(r"[+-]?\d+(\.\d*)?[eE][+-]?\d+", text):
        return float(text)
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        return text


def _term(terms: list[Any], part: str, key: str) -> Any:
    if part.isdigit() and int(part) < len(terms):
        return terms[int(part)]
    for term in terms:
        if isinstance(term, dict) and term.get("loss") == part:
            return term
    have = ", ".join(str(term.get("loss")) for term in terms if isinstance(term, dict)) or "none"
    raise UserError(
        f"{key}: the recipe has no term {part!r} (it has: {have}); set them all with --objective.terms '[{{loss: l1, weight: 100}}]'"
    )
