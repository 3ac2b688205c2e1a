"""A data set with one of every fault, and its page."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
from PIL import Image

from transfigure.data import images
from transfigure.data.check.measures import KnownColours
from transfigure.data.check.whole import CheckedData, CheckOptions, check_data
from transfigure.data.pixels import Array
from transfigure.metrics.palettes import load_palette
from transfigure.recipe import Recipe
from transfigure.reporting.data_check.page import write_page
from transfigure.worlds.facades.dataset import draw_scene, render

SIZE = 96
TRAIN = 16


def palette() -> KnownColours:
    """The colours that the label maps are drawn in."""
    colours = load_palette("synthetic").colours
    assert colours is not None
    return KnownColours(colours)


def bicubic(array: Array, size: int) -> Array:
    """An image brought to another size, as a viewer's export would."""
    return np.asarray(Image.fromarray(array).resize((size, size), Image.Resampling.BICUBIC))


def write_faults(folder: Path) -> Path:
    """Twenty-two drawn pairs, in ``trainA`` ... ``testB``; what is wrong with each is in its name."""
    names = {
        2: "shifted",
        3: "black",
        4: "blended",
        5: "deep",
        6: "copied",
        7: "resized",
        8: "twice",
        9: "torn",
        10: "alone",
        11: "small",
        12: "burnt",
    }
    for number in range(22):
        scene = draw_scene(0, number)
        source, target = render(scene, "labels", SIZE), render(scene, "day", SIZE)
        name = names.get(number, str(number))
        split = "train" if number < TRAIN else "test"
        if name == "shifted":
            target = np.roll(target, (-5, 7), (0, 1))
        elif name == "black":
            target = np.zeros_like(target)
        elif name == "blended":
            source = bicubic(bicubic(source, SIZE // 2), SIZE)
        elif name == "deep":
            target = target.astype(np.uint16) * 257
        elif name == "small":
            source, target = source[:64, :64], target[:64, :64]
        elif name == "burnt":
            smooth = bicubic(np.random.default_rng(0).integers(0, 256, (12, 12, 3)).astype(np.uint8), SIZE)
            target = np.minimum(smooth.astype(np.uint16) * 3 // 2, 255).astype(np.uint8)
        for side, array in (("A", source), ("B", target)):
            images.write(folder / f"{split}{side}" / f"{name}.png", array)
        if name in ("copied", "resized"):
            size = SIZE if name == "copied" else 80
            nearest = np.asarray(Image.fromarray(source).resize((size, size), Image.Resampling.NEAREST))
            images.write(folder / "testA" / f"{name} again.png", nearest)
            images.write(folder / "testB" / f"{name} again.png", target if size == SIZE else bicubic(target, size))
        if name == "twice":
            for side in "AB":
                shutil.copy(folder / f"train{side}" / "twice.png", folder / f"train{side}" / "twice again.png")
    (folder / "trainB" / "alone.png").unlink()
    torn = folder / "trainB" / "torn.png"
    torn.write_bytes(torn.read_bytes()[:600])
    return folder


def checked(folder: Path, options: CheckOptions | None = None) -> CheckedData:
    """What a check finds there."""
    section = Recipe.load("pix2pix", {"data.path": str(folder)}).data
    return check_data(section, options or CheckOptions(palette=palette(), quiet=True))


def write(folder: Path) -> Path:
    """The page of all faults."""
    return write_page(checked(write_faults(folder / "streets")), folder / "check.html")
