"""A grid: one base recipe, named variations of it, and seeds. Every cell is a recipe; all are checked before any of them runs."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml

from ...errors import UserError, did_you_mean
from ...recipe import Recipe, flatten
from ...registry import entry
from ...stored import read_yaml

KEYS = ("name", "about", "base", "set", "variations", "seeds", "metrics", "free", "examine")
SAME = (
    *("data", "training.epochs", "training.batch_size", "training.accumulate", "training.seed"),
    *("training.patience", "training.devices", "training.nodes"),
)
"""What no variation may change: the images seen and their order. Beginnings of keys."""
BY_TIME = ("training.epochs", "training.batch_size", "training.accumulate")
"""What it may change where ``training.minutes`` are what all cells have alike."""
EXAMINATIONS = ("", "translation", "reconstruction")
"""What can be looked at in every trained cell beside its evaluation (see ``examine.py``)."""


@dataclass(frozen=True, eq=False)
class GridCell:
    """One training of a grid.

    Attributes:
        variation: the name of the variation.
        seed: of the training.
        recipe: complete.
        path: where it lies within the ablation's folder.
    """

    variation: str
    seed: int
    recipe: Recipe
    path: Path


@dataclass(frozen=True)
class Grid:
    """A base recipe and its variations.

    Attributes:
        name: of the grid.
        about: what it asks, in a sentence or two.
        base: the recipe's name or file.
        set: keys set over the base for all variations.
        variations: name to the keys that differ; among them ``base``, another recipe that the variation starts from.
        seeds: each variation is trained once with each.
        metrics: registered metrics to compare; the first decides nothing, it is only shown first.
        free: keys that variations may change although they belong to the data or the budget, because they are what is asked about. The
            images seen stay equal, or, where the base has ``training.minutes``, the time.
        examine: what else is looked at: ``translation`` (what is preserved and what is new) or ``reconstruction`` (is G the identity?).
    """

    name: str
    about: str
    base: str
    variations: dict[str, dict[str, Any]]
    set: dict[str, Any] = field(default_factory=dict)
    seeds: tuple[int, ...] = (0, 1, 2)
    metrics: tuple[str, ...] = ()
    free: tuple[str, ...] = ()
    examine: str = ""

    @classmethod
    def load(cls, name_or_file: str | Path, overrides: Mapping[str, Any] | None = None, seeds: Sequence[int] | None = None) -> Grid:
        """A shipped grid by name, or a YAML file.

        Args:
            name_or_file: ``objectives`` or ``my/grid.yaml``.
            overrides: recipe keys set over the base, for all variations; ``name`` names another base.
            seeds: instead of the grid's.

        Raises:
            UserError: no such grid, a key that is none, a metric that is none, or seeds that are none.
        """
        known = shipped()
        file = known.get(str(name_or_file), Path(name_or_file))
        if not file.is_file():
            raise UserError(f"there is no grid {str(name_or_file)!r}{did_you_mean(str(name_or_file), known)}, nor a file of that name")
        try:
            tree = read_yaml(file)
        except (ValueError, OSError) as error:
            raise UserError(f"{file} is not valid YAML: {' '.join(str(error).split())[:200]}") from None
        if not isinstance(tree, Mapping):
            raise UserError(f"{file} is no grid: it needs the keys base and variations")
        for key in tree:
            if key not in KEYS:
                raise UserError(f"{file}: {key} is not a key of a grid{did_you_mean(str(key), KEYS)}")
        variations = tree.get("variations")
        if not isinstance(variations, Mapping) or not variations or not all(isinstance(v, Mapping) for v in variations.values()):
            raise UserError(f"{file}: variations must be a mapping of names to recipe keys, as  L1: {{objective.adversarial: null}}")
        merged = {**_keys(tree.get("set"), f"{file}: set"), **dict(overrides or {})}
        base = str(merged.pop("base", tree.get("base") or "pix2pix_small"))
        grid = cls(
            str(tree.get("name") or file.stem),
            " ".join(str(tree.get("about") or "").split()),
            base,
            {str(name): dict(flatten(keys)) for name, keys in variations.items()},
            merged,
            _seeds(tree.get("seeds", (0, 1, 2)) if seeds is None else seeds),
            _words(tree.get("metrics"), f"{file}: metrics", "[ssim, l1]"),
            _words(tree.get("free"), f"{file}: free", "[data.limit]"),
            str(tree.get("examine") or ""),
        )
        if grid.examine not in EXAMINATIONS:
            raise UserError(f"{file}: examine is {grid.examine!r}: it must be {' or '.join(EXAMINATIONS[1:])}")
        for metric in grid.metrics:
            entry("metric", metric)
        return grid

    def with_metrics(self, metrics: Sequence[str]) -> Grid:
        """The same, compared by other metrics.

        Raises:
            UserError: one of them is none.
        """
        for metric in metrics:
            entry("metric", metric.strip())
        return replace(self, metrics=tuple(metric.strip() for metric in metrics))

    def cells(self) -> list[GridCell]:
        """Every training, seed by seed, so that a grid that is stopped early has something of every variation.

        Raises:
            UserError: a key or value that no recipe takes, a variation that changes the budget or the data, or two alike.
        """
        base = Recipe.load(self.base, self.set)
        timed = base.training.minutes is not None
        seen = set()
        recipes = {}
        for name, keys in self.variations.items():
            try:
                start = Recipe.load(str(keys["base"]), self.set) if "base" in keys else base
                given = {key: value for key, value in keys.items() if key != "base"}
                recipes[name] = recipe = start.updated({**given, "name": f"{self.name}: {name}"})
            except UserError as error:
                raise UserError(f"variation {name!r}: {error}") from error
            for key in [*given, *(base.differences(recipe) if "base" in keys else ())]:
                if not self._may_change(key, timed):
                    equal = "train for the same time on the same pairs" if timed else "see the same images in the same order"
                    raise UserError(f"variation {name!r} changes {key}: all cells {equal}, so set it for all")
            if (one := _evaluated(recipe)) != (other := _evaluated(base)):
                raise UserError(f"variation {name!r} is evaluated at {one}, and others at {other}: set data.evaluation_size for all")
            if not timed and ("data.limit" in keys or "training.epochs" in keys):
                seen.add(recipe.training.epochs * (recipe.data.limit or 0))
        if len(seen) > 1:
            counts = " and ".join(map(str, sorted(seen)))
            raise UserError(f"the variations see {counts} images: set data.limit and training.epochs so that all see as many")
        for one, other in itertools.combinations(recipes, 2):
            if not recipes[one].differences(recipes[other]).keys() - {"name"}:
                raise UserError(f"the variations {one!r} and {other!r} are the same recipe: leave one out")
        folders = _folders(list(recipes))
        return [
            GridCell(name, seed, recipe.updated({"training.seed": seed}), Path("cells") / folders[name] / f"seed{seed}")
            for seed in self.seeds
            for name, recipe in recipes.items()
        ]

    def _may_change(self, key: str, timed: bool) -> bool:
        """Whether a variation may differ from the base in this key; the size of evaluation is compared as what it comes to."""
        same = {*SAME, "training.minutes"} - {*(BY_TIME if timed else ())}
        return key in (*self.free, "data.evaluation_size") or not any(key == one or key.startswith(f"{one}.") for one in same)

    def to_yaml(self) -> str:
        """The grid as a file that makes it again."""
        tree = {
            "name": self.name,
            "about": self.about,
            "base": self.base,
            "set": self.set,
            "variations": self.variations,
            "seeds": list(self.seeds),
            "metrics": list(self.metrics),
            **({"free": list(self.free)} if self.free else {}),
            **({"examine": self.examine} if self.examine else {}),
        }
        return yaml.safe_dump(tree, sort_keys=False, default_flow_style=None, width=110, allow_unicode=True)


def shipped() -> dict[str, Path]:
    """The grids in the package: ``{name: file}``."""
    folder = Path(str(files("transfigure") / "studies" / "ablation" / "grids"))
    return {file.stem: file for file in sorted(folder.glob("*.yaml"))}


def _keys(value: Any, where: str) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise UserError(f"{where} must be recipe keys, as {{training.epochs: 4}}")
    return dict(flatten({str(key): item for key, item in value.items()}))


def _words(value: Any, where: str, example: str) -> tuple[str, ...]:
    if value is None:
        return ()
    if not isinstance(value, list) or not all(isinstance(word, str) for word in value):
        raise UserError(f"{where} must be a list of names, as {example}")
    return tuple(value)


def _seeds(given: Any) -> tuple[int, ...]:
    seeds = [given] if isinstance(given, int) else list(given) if isinstance(given, Sequence) and not isinstance(given, str) else []
    if not seeds or any(type(seed) is not int or seed < 0 for seed in seeds):
        raise UserError(f"seeds are {given!r}: give whole numbers from 0 up, as 0,1,2")
    if len(set(seeds)) < len(seeds):
        raise UserError(f"seeds are {given!r}: each once")
    return tuple(seeds)


def _evaluated(recipe: Recipe) -> str:
    """At which size its outputs are scored, in words."""
    return "their own size" if recipe.data.scores_whole else f"{recipe.data.seen_size} pixels"


def _folders(names: Sequence[str]) -> dict[str, str]:
    """A folder name for each variation, readable and unlike the others on every file system."""
    folders: dict[str, str] = {}
    for name in names:
        plain = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_") or "variation"
        folder, number = plain, 1
        while folder in folders.values():
            number += 1
            folder = f"{plain}_{number}"
        folders[name] = folder
    return folders
