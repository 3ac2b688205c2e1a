"""What is compared: variants of a recipe, each with a run per seed, from an ablation or from any run directories."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

from ...errors import TransfigureError, UserError
from ...evaluation.schema import FILE, finite
from ...recipe import FREE_ON_RESUME, Recipe, flatten
from ...stored import read_json
from ...wording import called, weighted

STATES = ("done", "failed", "waiting")
NAMED = {"data": "kind", "generator": "name", "discriminator": "name", "objective.adversarial": "loss"}
"""Groups of recipe keys, and the key in each that says what the others are options of."""
_TERMS = "objective.terms"
_SAID = {
    "objective.adversarial=null": "no discriminator",
    "objective.adversarial.conditional=true": "conditional",
    "objective.adversarial.conditional=false": "unconditional",
}
_LONGEST = 120
"""Characters of a variant's name; what would be longer is called as its folder is."""
_SAME_RESULT = (FREE_ON_RESUME | {"name", "training.seed"}) - {"data.path"}
"""Keys in which the runs of one variant may differ. Of the data's path only the place may, not its last part."""


@dataclass(frozen=True)
class TrainedCell:
    """One run of a variant.

    Attributes:
        run: its directory; it need not exist.
        state: ``done``, ``failed`` or ``waiting``.
        reason: why it failed, in a sentence.
        seconds: of training; None if nobody measured them.
        peak_mib: memory at its highest, in MiB.
    """

    variation: str
    seed: int
    run: Path
    state: str = "done"
    reason: str = ""
    seconds: float | None = None
    peak_mib: float | None = None


@dataclass(frozen=True)
class Variant:
    """A recipe, trained once or with several seeds."""

    name: str
    cells: tuple[TrainedCell, ...]


@dataclass(frozen=True)
class Comparison:
    """Variants to compare.

    Attributes:
        about: one sentence; may be empty.
        budget: what every run was given, in words; may be empty.
        metrics: registered names, in the order a table has them.
    """

    title: str
    about: str
    budget: str
    metrics: tuple[str, ...]
    variants: tuple[Variant, ...]


def read_ablation(folder: str | Path) -> Comparison:
    """The comparison of a folder that ``transfigure ablate`` wrote; what some cells lack is no error.

    Raises:
        UserError: there is no ``ablation.json``, or it is not one.
    """
    folder = Path(folder)
    file = folder / "ablation.json"
    if not file.is_file():
        raise UserError(f"{folder} is no ablation: it holds no ablation.json (give the folder that 'transfigure ablate' wrote)")
    stored = read_object(file)
    listed = [cell for cell in stored.get("cells") or () if isinstance(cell, dict)] if isinstance(stored.get("cells"), list) else []
    if not listed:
        raise UserError(f"{file} holds no cells: it is damaged, or not what 'transfigure ablate' wrote")
    variants: dict[str, list[TrainedCell]] = {}
    for cell in (_cell(folder, entry) for entry in listed):
        variants.setdefault(cell.variation, []).append(cell)
    metrics = stored.get("metrics")
    return Comparison(
        str(stored.get("name") or folder.resolve().name),
        str(stored.get("about") or ""),
        str(stored.get("budget") or ""),
        tuple(map(str, metrics)) if isinstance(metrics, list) else (),
        tuple(Variant(name, tuple(cells)) for name, cells in variants.items()),
    )


def read_runs(paths: Sequence[str | Path], title: str | None = None) -> Comparison:
    """The comparison of any runs: those whose recipes differ only in seed, places and what is kept are one variant.

    A variant is called by what its recipe has and the others' have not, as ``100 × L1`` or ``generator.width=32``, or else by its folder.
    Runs of one recipe and one seed are no independent witnesses of it, so each is a variant of its own.

    Args:
        paths: run directories, two or more, each with an evaluation.
        title: of the page; None counts the runs.

    Raises:
        UserError: fewer than two, one given twice, one that is no run, or runs without an evaluation (the message makes one).
    """
    runs = [Path(path) for path in paths]
    for at, run in enumerate(runs):
        if not (run / "recipe.yaml").is_file():
            raise UserError(f"{run} {_what_instead(run)}")
        if run.resolve() in [other.resolve() for other in runs[:at]]:
            raise UserError(f"{run} is given twice: name each run once")
    if len(runs) < 2:
        others = [str(run) for run in _runs_in(runs[0].parent) if run.resolve() != runs[0].resolve()] if runs else []
        beside = f" (beside it: {', '.join(others[:3])}{', ...' if len(others) > 3 else ''})" if others else ""
        raise UserError(f"a comparison needs two or more runs, or the folder of an ablation; given was {' '.join(map(str, runs))}{beside}")
    if unmeasured := [run for run in runs if not (run / "evaluation" / FILE).is_file()]:
        commands = " && ".join(f"transfigure evaluate {shlex.quote(str(run))}" for run in unmeasured)
        what = f"{unmeasured[0]} has no evaluation" if len(unmeasured) == 1 else f"{len(unmeasured)} runs have no evaluation"
        raise UserError(f"{what}: first run  {commands}")
    recipes = [_recipe(run) for run in runs]
    groups: list[list[int]] = []
    for at, recipe in enumerate(recipes):
        group = next((group for group in groups if _same(recipe, recipes[group[0]])), None)
        groups.append([at]) if group is None else group.append(at)
    seeds = [recipe.training.seed if recipe else 0 for recipe in recipes]
    parts = [part for group in groups for part in ([group] if len({seeds[at] for at in group}) == len(group) else [[at] for at in group])]
    names = _names([[runs[at] for at in part] for part in parts], [recipes[part[0]] for part in parts])
    variants = tuple(Variant(name, tuple(TrainedCell(name, seeds[at], runs[at]) for at in part)) for name, part in zip(names, parts))
    return Comparison(title or f"{len(runs)} runs", "", "", (), variants)


def _runs_in(folder: Path) -> list[Path]:
    try:
        return sorted(run for run in folder.iterdir() if (run / "recipe.yaml").is_file())
    except OSError:
        return []


def _what_instead(path: Path) -> str:
    """Why a path is no run, and what may have been meant."""
    if inside := _runs_in(path):
        return f"is no run, but holds some: name them, as  transfigure compare {' '.join(shlex.quote(str(run)) for run in inside[:4])}"
    if path.is_dir():
        return "is no run: it holds no recipe.yaml (give directories that 'transfigure train' wrote, or the folder of an ablation)"
    there = [run.name for run in _runs_in(path.parent)]
    known = f"; the runs in {path.parent} are {', '.join(there[:8])}{', ...' if len(there) > 8 else ''}" if there else ""
    return f"does not exist: give two or more runs, or the folder of an ablation{known}"


def read_object(file: Path) -> dict[str, Any]:
    """A file's one JSON object.

    Raises:
        UserError: it holds something else.
    """
    try:
        stored = read_json(file)
    except (OSError, ValueError) as error:
        raise UserError(f"{file} cannot be read: {' '.join(str(error).split())}") from error
    if not isinstance(stored, dict):
        raise UserError(f"{file} cannot be read: it is not one JSON object")
    return stored


def _cell(folder: Path, entry: dict[str, Any]) -> TrainedCell:
    """A name in a JSON file must not reach anything outside the ablation's folder."""
    name, seed = str(entry.get("variation") or "unnamed"), finite(entry.get("seed"))
    seconds, peak = finite(entry.get("seconds")), finite(entry.get("peak_mib"))
    state, reason = str(entry.get("state") or ""), str(entry.get("reason") or "")
    run = folder / str(entry.get("path") or "?")
    try:
        within = bool(entry.get("path")) and run.resolve().is_relative_to(folder.resolve())
    except (OSError, ValueError):
        within = False
    if not within:
        run, state, reason = folder / "?", "failed", "its path does not lie in the ablation's folder"
    elif state not in STATES:
        state, reason = "failed", f"its state is not known ({state or 'none is given'})"
    return TrainedCell(name, 0 if seed is None else int(seed), run, state, reason, seconds, peak)


# ---- names of variants -----------------------------------------------------------------------------------------------------


def _recipe(run: Path) -> Recipe | None:
    try:
        return Recipe.load(run / "recipe.yaml")
    except TransfigureError:  # of another version: then the folder's name must do
        return None


def _same(a: Recipe | None, b: Recipe | None) -> bool:
    if a is None or b is None:
        return False
    differing = {key for key in a.differences(b) if key not in _SAME_RESULT}
    return not differing or (differing == {"data.path"} and _last(a.data.path) == _last(b.data.path))


def _last(path: str | None) -> str:
    return PurePath(path or "").name


def _names(folders: list[list[Path]], recipes: list[Recipe | None]) -> list[str]:
    """A name for each variant, no two the same."""
    names = _by_keys([recipe for recipe in recipes if recipe is not None]) if None not in recipes else []
    if len(set(names)) < len(folders) or not all(0 < len(name) <= _LONGEST for name in names):
        parents = [{run.resolve().parent.name for run in runs} for runs in folders]
        shared = [next(iter(each)) for each in parents if len(each) == 1]  # cells/l1_cgan/seed0, cells/l1_cgan/seed1
        several = any(len(runs) > 1 for runs in folders)
        names = shared if several and len({*shared}) == len(folders) else [runs[0].resolve().name for runs in folders]
    return [name if name not in names[:at] else f"{name} ({names[:at].count(name) + 1})" for at, name in enumerate(names)]


def _by_keys(recipes: list[Recipe]) -> list[str]:
    """Each recipe in the keys that tell it from the others."""
    facts = [_facts(recipe) for recipe in recipes]
    keys = sorted(dict.fromkeys(key for each in facts for key in each), key=lambda key: key.startswith((_TERMS, "training")))
    groups = [*NAMED, *(key for key in keys if key.startswith(f"{_TERMS}.") and key.count(".") == 2)]
    names = []
    for own in facts:
        named: dict[str, Any] = {}
        for key in keys:
            group = next((group for group in groups if key == group or key.startswith(f"{group}.")), None)
            # An option of what this group names is compared with those who name the same; the name itself with everybody.
            peers = [each for each in facts if group in (None, key) or each.get(group) == own.get(group)]
            if key == "discriminator":  # without an adversarial loss there is none: that need not be named
                peers = [each for each in peers if each.get(key) and own.get(key)]
            if all(each.get(key) == own.get(key) for each in peers):
                continue
            term = key == group and key.startswith(_TERMS) and key in own
            named[f"{key}.weight" if term else key] = own.get(f"{key}.weight" if term else key)
        for group in NAMED:  # what has options that are named is there: its own name need not be, unless another has another
            if any(key.startswith(f"{group}.") for key in named) and len({each.get(group) for each in facts} - {None}) == 1:
                named.pop(group, None)
        names.append(", ".join(_pieces(named, own)))
    return names


def _pieces(named: dict[str, Any], own: dict[str, Any]) -> list[str]:
    """Differing keys as a report has them: ``conditional``, ``100 × L1``; others as the overrides that they are."""
    terms = list(dict.fromkeys(key.split(".")[2] for key in named if key.startswith(f"{_TERMS}.")))
    present = [_term(loss, named, own) for loss in terms if f"{_TERMS}.{loss}" in own]
    objective = [" + ".join(present)] if present else [f"no {called(loss)}" for loss in terms]
    networks, training = [], []
    for key, value in named.items():
        words = f"{key}={_written(value)}"
        if key.startswith("training"):
            training.append(words)
        elif not key.startswith(f"{_TERMS}."):
            networks.append(_SAID.get(words, words))
    return [*networks, *objective, *training]


def _term(loss: str, named: dict[str, Any], own: dict[str, Any]) -> str:
    group = f"{_TERMS}.{loss}."
    weight = finite(own.get(f"{group}weight"))
    options = [
        f"{key.removeprefix(group)}={_written(value)}" for key, value in named.items() if key.startswith(group) and key != f"{group}weight"
    ]
    return (called(loss) if weight is None else weighted(loss, weight)) + (f" ({', '.join(options)})" if options else "")


def _facts(recipe: Recipe) -> dict[str, Any]:
    """Dotted keys of what changes the result. A group's own key holds what it names; a term's, that it is there."""
    tree = recipe.to_dict()
    terms = {str(term["loss"]): term for term in tree["objective"].pop("terms")}
    facts: dict[str, Any] = {}
    for key, value in flatten(tree):
        group, _, last = key.rpartition(".")
        facts[group if NAMED.get(group) == last else key] = value
    facts["data.path"] = _last(recipe.data.path)
    for loss, term in terms.items():
        facts[f"{_TERMS}.{loss}"] = loss
        facts |= {f"{_TERMS}.{loss}.{key}": value for key, value in term.items() if key != "loss"}
    return {key: value for key, value in facts.items() if key not in _SAME_RESULT}


def _written(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_written, value))}]"
    return f"{value:g}" if isinstance(value, float) else str(value)
