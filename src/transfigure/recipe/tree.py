"""Recipes as nested plain values: reading files, what they extend, and dotted overrides."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

from .. import registry
from ..errors import UserError, did_you_mean
from ..stored import brief, read_yaml
from .section import Named, key_type, options_of
from .sections import Adversarial, Data, DiscriminatorSection, GeneratorSection, Term, Training, drawn_worlds
from .values import alternatives, parse_value

GROUPS: dict[str, type[Named]] = {
    section.where: section for section in (Data, GeneratorSection, DiscriminatorSection, Adversarial, Training)
}
"""The groups of keys that name a registered thing; a term of the objective is one too."""
_SECTIONS = ("data", "generator", "discriminator", "objective", "training")


def shipped() -> dict[str, Path]:
    """The recipes in the package: ``{name: file}``."""
    folder = Path(str(files("transfigure") / "recipes"))
    return {file.stem: file for file in sorted(folder.glob("*.yaml"))}


# ---- files ----------------------------------------------------------------------------------------------------------------


def read_files(name_or_file: str | Path) -> list[tuple[Path, dict[str, Any]]]:
    """The plain values of a recipe file and of those that it ``extends``, the last one first: to be merged in this order.

    Raises:
        UserError: a file is not there, is no recipe, or extends itself.
    """
    found: list[tuple[Path, dict[str, Any]]] = []
    file = _find(str(name_or_file))
    while True:
        if file.resolve() in [above.resolve() for above, _ in found]:
            chain = " -> ".join(item.name for item in (*(above for above, _ in reversed(found)), file))
            raise UserError(f"recipe {file} extends itself ({chain}): name another recipe under 'extends', or remove the line")
        tree = _read(file)
        found.insert(0, (file, tree))
        base = tree.pop("extends", None)
        tree.setdefault("name", file.stem)
        if base is None:
            return found
        if not isinstance(base, str):
            raise UserError(f"recipe {file} extends {base!r}: name one shipped recipe or YAML file")
        known = shipped()
        if base not in known and not (base.endswith((".yaml", ".yml")) or (file.parent / base).is_file()):
            raise UserError(f"recipe {file} extends {base!r}, and there is no such recipe{did_you_mean(base, known)}")
        file = _find(base if base in known else str(file.parent / base))


def _read(file: Path) -> dict[str, Any]:
    try:
        tree = read_yaml(file)
    except (ValueError, OSError) as error:
        raise UserError(f"recipe {file} cannot be read: {' '.join(str(error).split())}") from error
    if not isinstance(tree, dict):
        raise UserError(f"recipe {file} holds no keys: a recipe is a YAML mapping with data, generator, objective, training")
    return tree


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


def merge(tree: dict[str, Any], overrides: Mapping[str, Any]) -> None:
    """Merge dotted keys and groups of keys into a tree, in place, key by key.

    Naming another network, dataset kind or loss drops the options that belonged to the one named before, so names go first.
    A term is addressed by its loss or its position, ``objective.terms.l1.weight``, and removed by null. A section that is null
    or empty changes nothing. A key's old name is its new one.

    Raises:
        UserError: a key leads through something that has no keys.
    """
    leaves = list(flatten({str(key): value for key, value in overrides.items()}))
    names = [(key, value) for key, value in leaves if _is_naming(key, value)]
    held = tree.get("data")
    _forget_found(held, dict(leaves))
    drawn = (held.get("kind") if isinstance(held, dict) else held) in drawn_worlds()
    if drawn and dict(leaves).get("data.path") is not None and not {"data", "data.kind"} & {key for key, _ in names}:
        names.append(("data.kind", "auto"))  # whoever names files wants them read
    for key, value in [*names, *(leaf for leaf in leaves if leaf not in names)]:
        if not (value == {} or (value is None and key in _SECTIONS)):
            _put(tree, key, value)


def _forget_found(data: Any, given: Mapping[str, Any]) -> None:
    """A range that a run found as percentiles of its own data is none of other percentiles, nor of other data."""
    for side in ("source", "target") if isinstance(data, dict) else ():
        percentiles, other_data = f"data.{side}_percentiles", given.keys() & {"data", "data.path", "data.kind", "data.a", "data.b"}
        stale = given.get(percentiles) is not None or (data.get(f"{side}_percentiles") is not None and other_data)
        if stale and given.get(f"data.{side}_range") is None:
            data.pop(f"{side}_range", None)


def parse_overrides(overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Flags' texts as the values they stand for; a key that takes text, such as ``data.path``, keeps it as it was written.

    Raises:
        UserError: a range is typed, and percentiles that should be found for it.
    """
    for side in ("source", "target"):
        typed = [key for key in (f"data.{side}_percentiles", f"data.{side}_range") if overrides.get(key) not in (None, "", "null")]
        if len(typed) == 2:
            raise UserError(f"{typed[0]} finds what {typed[1]} says, and both are given: leave out one of them")
    return {
        str(key): parse_value(value) if isinstance(value, str) and (value in ("", "null") or not _takes_text(str(key))) else value
        for key, value in overrides.items()
    }


def _put(tree: dict[str, Any], key: str, value: Any) -> None:
    if isinstance(value, str) and key in GROUPS:  # --generator resnet
        key = f"{key}.{GROUPS[key].naming}"
    *path, last = key.split(".")
    here: Any = tree
    where = ""
    group: type[Named] | None = None
    for part in path:
        if isinstance(here, list):
            here, group = here[_position(here, part, key)], Term
            continue
        where = f"{where}.{part}".lstrip(".")
        group = GROUPS.get(where)
        if here.get(part) is None:
            here[part] = [] if where == Term.where else {}
        elif isinstance(here[part], str) and group is not None:
            here[part] = {group.naming: here[part]}
        elif isinstance(here[part], list) and where == Term.where:
            here[part] = [{"loss": term} if isinstance(term, str) else term for term in here[part]]
        elif not isinstance(here[part], dict):
            raise UserError(f"{key} cannot be set: {where} is {here[part]!r} and has no keys")
        here = here[part]
    if isinstance(here, list):
        position = _position(here, last, key)
        if value is None:
            del here[position]
            return
        here, last, group = here[position], "loss", Term
    if group is not None and last == group.naming and isinstance(value, str):
        _drop_stale(here, group, value)
    if key == Term.where and isinstance(value, list):
        value = [Term.renamed(term) if isinstance(term, dict) else term for term in value]
    here.update({last: value} if group is None else group.renamed({last: value}))


def _drop_stale(here: dict[str, Any], group: type[Named], name: str) -> None:
    kind = group.named()
    before = str(here.get(group.naming) or kind.default)
    if name == before or not {name, before} <= set(kind.names()):
        return
    for stale in options_of(kind, before).keys() - options_of(kind, name).keys():
        here.pop(stale, None)
    if group is Data and name in drawn_worlds():
        here.pop("path", None)


def _is_naming(key: str, value: Any) -> bool:
    group, _, last = key.rpartition(".")
    return isinstance(value, str) and (key in GROUPS or (group in GROUPS and last == GROUPS[group].naming))


def _takes_text(key: str) -> bool:
    """Whether a key takes text and nothing else (null apart), so that ``2024`` is a text there too."""
    where, _, last = key.rpartition(".")
    if where not in GROUPS:
        return key == "name"
    section = GROUPS[where]
    kind = section.named().kind
    entries = [registry.entry(kind, name) for name in registry.names(kind)]
    types = [key_type(section, last)] if last in section.model_fields else []
    types += [entry.options[last].annotation for entry in entries if last in entry.options]
    return bool(types) and all(part in (str, None, type(None)) for one in types for part in alternatives(one))


def _position(terms: list[Any], part: str, key: str) -> int:
    if part.isdecimal() and len(part) < 10 and int(part) < len(terms) and isinstance(terms[int(part)], dict):
        return int(part)
    for position, term in enumerate(terms):
        if isinstance(term, dict) and term.get("loss") == part:
            return position
    have = ", ".join(str(term.get("loss")) for term in terms if isinstance(term, dict)) or "none"
    wanted = part if part in registry.names("loss") else "l1"
    raise UserError(
        f"{key[:120]}: the recipe has no term {brief(part)} (it has: {have}); set them all with "
        f"--objective.terms '[{{loss: {wanted}, weight: 100}}]'"
    )
