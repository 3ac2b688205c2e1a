"""Recipes as nested plain values: reading files, what they extend, and dotted overrides."""

from __future__ import annotations

import re
import typing
from collections.abc import Hashable, Iterator, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from .. import registry
from ..errors import UserError, did_you_mean
from .sections import Adversarial, Component, Data, Term


class Group(NamedTuple):
    """A group of keys that names a registered thing, and holds that thing's options beside its own keys."""

    naming: str
    kind: str
    default: str
    own: Any


GROUPS = {
    "data": Group("kind", "dataset", "auto", Data),
    "generator": Group("name", "generator", "unet", Component),
    "discriminator": Group("name", "discriminator", "patch", Component),
    "objective.adversarial": Group("loss", "adversarial", "vanilla", Adversarial),
}
_TERMS = "objective.terms"
_TERM = Group("loss", "loss", "", Term)
_SECTIONS = ("data", "generator", "discriminator", "objective", "training")


def shipped() -> dict[str, Path]:
    """The recipes in the package: ``{name: file}``."""
    folder = Path(str(files("transfigure") / "recipes"))
    return {file.stem: file for file in sorted(folder.glob("*.yaml"))}


def options_of(kind: str, name: str) -> dict[str, registry.Parameter]:
    """The options a section may hold, given what it names; for ``auto`` data those of every kind that reads files."""
    if kind == "dataset" and name == "auto":
        merged: dict[str, registry.Parameter] = {}
        for other in registry.names(kind):
            if other not in drawn_worlds():
                merged.update(registry.entry(kind, other).options)
        return merged
    return registry.entry(kind, name).options


def drawn_worlds() -> list[str]:
    """The dataset kinds that draw their pictures and read no files: their names stand in for a folder."""
    return [name for name in registry.names("dataset") if registry.entry("dataset", name).extra.get("drawn")]


def data_at(place: str) -> dict[str, Any]:
    """The overrides that name data, from what a person wrote: a folder, a manifest, or the name of a drawn world."""
    return {"data.kind": place} if place in drawn_worlds() else {"data.path": place}


def stabilisers(recipe: Mapping[str, Any]) -> list[str]:
    """What steadies a recipe's training without a term in G's objective, in words; told beside every result, for it is no small help.

    Args:
        recipe: nested plain values, as of ``recipe.yaml``; what is not there is off.
    """

    def part(holder: Any, key: str) -> Mapping[str, Any]:
        found = holder.get(key) if isinstance(holder, Mapping) else None
        return found if isinstance(found, Mapping) else {}

    game, judge, training = part(part(recipe, "objective"), "adversarial"), part(recipe, "discriminator"), part(recipe, "training")
    smoothed = game.get("real_label")
    return [
        *([f"R1 {game['r1']:g}"] if game.get("r1") else []),
        *([f"augmentation ({', '.join(map(str, game['augment']))})"] if game.get("augment") else []),
        *([f"pool of {game['pool']}"] if game.get("pool") else []),
        *([f"real label {smoothed:g}"] if isinstance(smoothed, float) and smoothed != 1 else []),
        *(["spectral norm"] if judge.get("spectral") else []),
        *([f"average of weights {training['ema']:g}"] if training.get("ema") else []),
    ]


def has_place(data: Data) -> bool:
    """Whether a data section says where its pictures come from: a path, a drawn world, or two folders by name."""
    sides = [data.options.get(side) for side in "ab"]
    return (
        data.path is not None
        or data.kind in drawn_worlds()
        or all(side and Path(side).is_dir() and len(Path(side).parts) > 1 for side in sides)
    )


# ---- files ----------------------------------------------------------------------------------------------------------------


class _Loader(yaml.SafeLoader):
    """YAML, with a key given twice refused instead of silently lost."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        keys = [key.value for key, _ in node.value]
        for key in keys:
            if isinstance(key, str) and keys.count(key) > 1:
                raise yaml.constructor.ConstructorError(None, None, f"the key {key!r} is given twice", node.start_mark)
        return super().construct_mapping(node, deep)


def read_tree(name_or_file: str | Path, below: tuple[Path, ...] = ()) -> dict[str, Any]:
    """The plain values of a recipe file, with what it ``extends`` underneath (``below``: the files that extend this one)."""
    file = _find(str(name_or_file))
    if file.resolve() in below:
        chain = " -> ".join(item.name for item in (*below, file))
        raise UserError(f"recipe {file} extends itself ({chain}): name another recipe under 'extends', or remove the line")
    try:
        tree = yaml.load(file.read_text(encoding="utf-8"), _Loader)  # a SafeLoader
        list(flatten(tree) if isinstance(tree, dict) else ())  # an alias inside what it stands for would have no end
    except (yaml.YAMLError, ValueError, OSError, RecursionError) as error:
        raise UserError(f"recipe {file} cannot be read: {' '.join(str(error).split())}") from error
    if not isinstance(tree, dict):
        raise UserError(f"recipe {file} holds no keys: a recipe is a YAML mapping with data, generator, objective, training")
    base = tree.pop("extends", None)
    tree.setdefault("name", file.stem)
    if base is None:
        return tree
    if not isinstance(base, str):
        raise UserError(f"recipe {file} extends {base!r}: name one shipped recipe or YAML file")
    known = shipped()
    if base not in known and not (base.endswith((".yaml", ".yml")) or (file.parent / base).is_file()):
        raise UserError(f"recipe {file} extends {base!r}, and there is no such recipe{did_you_mean(base, known)}")
    under = read_tree(base if base in known else file.parent / base, (*below, file.resolve()))
    lay(under, tree)
    return under


def _find(text: str) -> Path:
    known = shipped()
    file = Path(text)
    if text in known:
        return known[text]
    if file.is_file():
        return file
    if file.is_dir():
        raise UserError(f"{text} is a folder where a recipe is expected: the recipe comes first, such as pix2pix, then the data")
    if file.suffix in (".yaml", ".yml"):
        raise UserError(f"recipe file {text} does not exist: give a YAML file or one of {', '.join(known)}")
    raise UserError(f"there is no recipe named {text!r}{did_you_mean(text, known)}; a file's name ends in .yaml")


# ---- overrides ------------------------------------------------------------------------------------------------------------


def flatten(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every leaf as ``(dotted key, value)``; lists are leaves."""
    for key, value in tree.items():
        if isinstance(value, Mapping) and value:
            yield from flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def lay(tree: dict[str, Any], overrides: Mapping[str, Any]) -> None:
    """Lay dotted keys and groups of keys over a tree, in place, key by key.

    Naming another network, dataset kind or loss drops the options that belonged to the one named before, so names go first.
    A term is addressed by its loss or its position, ``objective.terms.l1.weight``, and removed by null. A section that is null
    or empty changes nothing.

    Raises:
        UserError: a key leads through something that has no keys.
    """
    leaves = list(flatten({str(key): value for key, value in overrides.items()}))
    names = [(key, value) for key, value in leaves if _is_naming(key, value)]
    held = tree.get("data")
    drawn = (held.get("kind") if isinstance(held, dict) else held) in drawn_worlds()
    if drawn and dict(leaves).get("data.path") is not None and not {"data", "data.kind"} & {key for key, _ in names}:
        names.append(("data.kind", "auto"))  # whoever names files wants them read
    for key, value in [*names, *(leaf for leaf in leaves if leaf not in names)]:
        if not (value == {} or (value is None and key in _SECTIONS)):
            _put(tree, key, value)


def parse_overrides(overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Flags' texts as the values they stand for; a key that takes text, such as ``data.path``, keeps it as it was written."""
    return {
        str(key): parse_value(value) if isinstance(value, str) and (value in ("", "null") or not _takes_text(str(key))) else value
        for key, value in overrides.items()
    }


def parse_value(text: str) -> Any:
    """A flag's text as a YAML value; ``2e-4`` is a number too (YAML 1.1 would want ``2.0e-4``)."""
    if re.fullmatch(r"[+-]?\d+(\.\d*)?[eE][+-]?\d+", text):
        return float(text)
    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError):
        return text


def _put(tree: dict[str, Any], key: str, value: Any) -> None:
    if isinstance(value, str) and key in GROUPS:  # --generator resnet
        key = f"{key}.{GROUPS[key].naming}"
    *path, last = key.split(".")
    here: Any = tree
    where = ""
    group: Group | None = None
    for part in path:
        if isinstance(here, list):
            here, group = here[_position(here, part, key)], _TERM
            continue
        where = f"{where}.{part}".lstrip(".")
        group = GROUPS.get(where)
        if here.get(part) is None:
            here[part] = [] if where == _TERMS else {}
        elif isinstance(here[part], str) and group is not None:
            here[part] = {group.naming: here[part]}
        elif isinstance(here[part], list) and where == _TERMS:
            here[part] = [{"loss": term} if isinstance(term, str) else term for term in here[part]]
        elif not isinstance(here[part], dict):
            raise UserError(f"{key} cannot be set: {where} is {here[part]!r} and has no keys")
        here = here[part]
    if isinstance(here, list):
        position = _position(here, last, key)
        if value is None:
            del here[position]
            return
        here, last, group = here[position], "loss", _TERM
    if group is not None and last == group.naming and isinstance(value, str):
        _drop_stale(here, group, value)
    here[last] = value


def _drop_stale(here: dict[str, Any], group: Group, name: str) -> None:
    before = str(here.get(group.naming) or group.default)
    known = {(group.kind, other) for other in registry.names(group.kind)} | {("dataset", "auto")}
    if name == before or not {(group.kind, name), (group.kind, before)} <= known:
        return
    for stale in options_of(group.kind, before).keys() - options_of(group.kind, name).keys():
        here.pop(stale, None)
    if name in drawn_worlds():
        here.pop("path", None)


def _is_naming(key: str, value: Any) -> bool:
    group, _, last = key.rpartition(".")
    return isinstance(value, str) and (key in GROUPS or (group in GROUPS and last == GROUPS[group].naming))


def _takes_text(key: str) -> bool:
    where, _, last = key.rpartition(".")
    if where not in GROUPS:
        return key == "name"
    group = GROUPS[where]
    types = {typing.get_type_hints(group.own).get(last)}
    types |= {
        registry.entry(group.kind, name).options[last].annotation for name in registry.names(group.kind) if _has(group.kind, name, last)
    }
    return types - {None} <= {str, str | None} and types != {None}


def _has(kind: str, name: str, option: str) -> bool:
    return option in registry.entry(kind, name).options


def _position(terms: list[Any], part: str, key: str) -> int:
    if part.isdecimal() and int(part) < len(terms) and isinstance(terms[int(part)], dict):
        return int(part)
    for position, term in enumerate(terms):
        if isinstance(term, dict) and term.get("loss") == part:
            return position
    have = ", ".join(str(term.get("loss")) for term in terms if isinstance(term, dict)) or "none"
    raise UserError(
        f"{key}: the recipe has no term {part!r} (it has: {have}); set them all with --objective.terms '[{{loss: l1, weight: 100}}]'"
    )
