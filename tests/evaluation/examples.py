"""Pairs on disk, and tiny translators that say they were trained on them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tests.tiny import tiny_config, tiny_translator
from transfigure.data import images
from transfigure.data.open import resolve_data
from transfigure.networks.model_file import Domain
from transfigure.recipe import Recipe
from transfigure.translation.translator import Translator

SIZE = 32


def smooth(height: int, width: int, channels: int, dtype: str, seed: int) -> Any:
    """A picture with structure, so that structural scores differ from image to image."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[0:height, 0:width]
    phases = rng.uniform(0, 6, (channels, 2))
    wave = np.stack([np.sin(rows / (3 + seed % 3) + a) + np.cos(columns / 5 + b) for a, b in phases], axis=2) / 4 + 0.5
    if dtype == "float32":
        return wave.astype(np.float32)
    return (wave * np.iinfo(dtype).max).astype(dtype)


def two_folders(root: Path, source: Domain | int = 3, target: Domain | int = 3, size: int = SIZE, **counts: int) -> Path:
    """A folder of pairs, with test and val parts of the counts given."""
    for split, count in (counts or {"train": 3, "val": 2, "test": 4}).items():
        for side, domain, start in (("A", source, 0), ("B", target, 50)):
            kind = Domain(domain) if isinstance(domain, int) else domain
            suffix = "png" if kind.channels in (1, 3) and kind.dtype != "float32" else "tif"
            for index in range(count):
                picture = smooth(size, size, kind.channels, kind.dtype, start + index + 10 * len(split))
                images.write(root / f"{split}{side}" / f"{index}.{suffix}", picture)
    return root


def section(path: Path | None, values: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """A recipe whose data section is resolved, as a training leaves it."""
    recipe = Recipe.load("l1", {"data.load_size": SIZE, "data.crop_size": SIZE, "data.path": path and str(path), **(values or {})})
    return recipe.replaced(data=resolve_data(recipe.data)).to_dict()


def model_on(path: Path | None, source: Domain | int = 3, target: Domain | int = 3, values: Mapping[str, Any] | None = None) -> Translator:
    """A tiny translator that was "trained" on this data."""
    return tiny_translator(tiny_config(source=source, target=target, recipe=section(path, values)))
