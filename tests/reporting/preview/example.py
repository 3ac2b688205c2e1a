"""Three pairs of deep sources and colour targets, and things that are passed over."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from transfigure.data import images
from transfigure.data.open import OpenedData, open_data, resolve_data
from transfigure.recipe import Data
from transfigure.reporting.preview.draws import Preview, preview
from transfigure.reporting.preview.page import write_preview
from transfigure.worlds.facades.dataset import draw_scene, render


def write_pairs(folder: Path, count: int = 3, size: int = 48, deep: int = 16) -> Path:
    """Scenes in ``A`` as 16-bit grey, of so many values a grey level, and in ``B`` in colour; every pair is of another scene."""
    for index in range(count):
        scene = draw_scene(0, index)
        images.write(folder / "A" / f"{index}.png", render(scene, "grey", size).astype(np.uint16) * deep)
        images.write(folder / "B" / f"{index}.png", render(scene, "day", size))
    return folder


def opened(folder: Path | None, seed: int = 0, **keys: Any) -> OpenedData:
    """The data of a folder, all of it for training unless ``keys`` say otherwise; of crops of 32 pixels."""
    place = {} if folder is None else {"path": str(folder)}
    small = {"load_size": None, "crop_size": 32, "val_fraction": 0.0, "test_fraction": 0.0, "cache_gb": 0.0}
    section = resolve_data(Data(**{**place, **small, **keys}))
    return open_data(section, seed, quiet=True)


def previewed(folder: Path | None, pairs: int = 2, draws: int = 3, **keys: Any) -> Preview:
    """What a preview knows of it."""
    return preview(opened(folder, **keys), "pix2pix", pairs=pairs, draws=draws, epochs=50, quiet=True)


def write(folder: Path) -> Path:
    """The page."""
    write_pairs(folder / "streets", 4)
    (folder / "streets" / "A" / "notes.txt").write_text("mine")
    (folder / "streets" / "A" / "3.png").write_bytes(b"broken")
    return write_preview(previewed(folder / "streets", on_error="skip"), folder / "preview.html")
