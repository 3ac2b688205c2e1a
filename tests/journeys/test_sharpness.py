"""The drawn street is hard enough to show what pix2pix is for: L1 alone blurs, the adversarial term sharpens."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from transfigure.data import images
from transfigure.recipe import Recipe
from transfigure.training.trainer import train


def detail(picture: np.ndarray) -> float:
    """Energy of the finest scale: the mean square of each pixel minus the mean of its four neighbours."""
    grey = picture.astype(np.float64).mean(axis=2)
    around = (grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:]) / 4
    return float(((grey[1:-1, 1:-1] - around) ** 2).mean())


@pytest.mark.slow
@pytest.mark.usefixtures("drawn_once")
def test_l1_alone_blurs_and_the_adversarial_term_sharpens(tmp_path: Path) -> None:
    common = {"data.train": 1000, "data.load_size": 32, "data.crop_size": 32, "training.epochs": 2, "training.preview_count": 6}
    found = {}
    for name, more in {"pix2pix": {}, "l1": {"objective.adversarial": None}}.items():
        run = train(Recipe.load("pix2pix_tiny", {**common, "training.accelerator": "cpu", **more}), tmp_path / name, quiet=True)
        last = max((path for path in (run / "samples").iterdir() if path.name != "fixed"), key=lambda path: path.name)
        generated = np.mean([detail(images.read(last / f"{k}.png")) for k in range(6)])
        target = np.mean([detail(images.read(run / "samples" / "fixed" / f"{k}_target.png")) for k in range(6)])
        found[name] = generated / target
    assert found["l1"] < 0.35, found  # most of the detail is averaged away
    assert found["pix2pix"] > 2 * found["l1"], found
