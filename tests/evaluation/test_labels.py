"""Label maps in an evaluation: the right side's, at the place and in the numbers of their files."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.evaluation.examples import model_on
from tests.tiny import Copy
from transfigure.data import images
from transfigure.data.dataset import PairDataset, PairFormat
from transfigure.data.formats.metadata import Metadata
from transfigure.data.layouts import two_folders
from transfigure.data.splits import divide
from transfigure.data.transforms import Geometry
from transfigure.evaluation.evaluate import evaluate
from transfigure.evaluation.folders import evaluate_folders
from transfigure.evaluation.result import Evaluation
from transfigure.metrics.palettes import Palette
from transfigure.networks.base import Generator
from transfigure.networks.model_file import Domain

TWO = Palette.from_dict({"name": "two", "classes": {"dark": [0, 0, 0], "light": [255, 255, 255]}})
THREE = Palette.from_dict({"name": "three", "classes": {"a": None, "b": None, "c": None}, "numbers": {"0": "a", "1": "b", "2": "c"}})


def brightness(photos: Tensor) -> Tensor:
    """A segmenter that is always right about black and white."""
    return (photos.mean(1) > 0).long()


def black_and_white(height: int, width: int, seed: int) -> np.ndarray[Any, Any]:
    """Random blocks of 4 pixels."""
    blocks = np.random.default_rng(seed).integers(0, 2, (height // 4, width // 4, 1), dtype=np.uint8) * 255
    return np.repeat(np.repeat(np.repeat(blocks, 4, 0), 4, 1), 3, 2)


def numbered(size: int, seed: int, kind: str) -> np.ndarray[Any, Any]:
    return np.random.default_rng(seed).integers(0, 3, (size, size, 1)).astype(kind)


def scores(result: Evaluation, bound: str) -> tuple[float, float]:
    """Pixel accuracy of the outputs, and of a bound."""
    found = next(row for row in result.rows if row.metric == "pixel_accuracy")
    assert found.value is not None
    return found.value, found.bounds[bound]


@pytest.mark.parametrize("direction", ["AtoB", "BtoA"])
@pytest.mark.parametrize(("height", "width", "load"), [(32, 32, 32), (64, 64, 32), (48, 72, None)], ids=str)
def test_generated_photos_are_held_to_the_labels_they_were_made_from(
    tmp_path: Path, direction: str, height: int, width: int, load: int | None
) -> None:
    """Photos that have nothing to do with their labels: only a copy of the labels finds them all, and only where it was cropped."""
    for index in range(4):
        for side, seed in (("A", 0), ("B", 50)):
            images.write(tmp_path / f"test{side}" / f"{index}.png", black_and_white(height, width, seed + index))
    translator = model_on(tmp_path, values={"data.direction": direction, "data.load_size": load, "data.source_resize": "nearest"})
    translator.generator = Copy()
    result = evaluate(translator, metrics=["fcn_score"], segmenter=brightness, palette=TWO, quiet=True)
    right, real = scores(result, "real photos")
    assert right == pytest.approx(1)
    assert 0.3 < real < 0.7
    assert result.about["options"] == {"fcn_score.segmenter": "brightness", "fcn_score.palette": "two"}


class Always(Generator):
    """A generator that draws the same class everywhere."""

    def __init__(self, value: float) -> None:
        super().__init__(3, 1)
        self.value = value

    def forward(self, x: Tensor) -> Tensor:
        return torch.full_like(x[:, :1], self.value)


@pytest.mark.parametrize(("kind", "limits"), [("uint8", (0.0, 2.0)), ("uint16", None), ("uint16", (0.0, 2.0)), ("uint8", None)], ids=str)
def test_drawn_numbers_are_the_numbers_of_the_files(tmp_path: Path, kind: str, limits: tuple[float, float] | None) -> None:
    drawn = []
    for index in range(3):
        labels = numbered(32, index, kind)
        drawn.append(labels)
        images.write(tmp_path / "testA" / f"{index}.png", black_and_white(32, 32, index))
        images.write(tmp_path / "testB" / f"{index}.png", labels)
    values = {"data.target_range": list(limits)} if limits else {}
    translator = model_on(tmp_path, 3, Domain(1, kind, limits), values={**values, "data.target_resize": "nearest"})
    low, high = limits or (0, np.iinfo(kind).max)
    for number in (0, 1, 2):
        translator.generator = Always((number - low) / (high - low) * 2 - 1)
        right, ceiling = scores(evaluate(translator, metrics=["fcn_score"], palette=THREE, quiet=True), "target itself")
        assert right == pytest.approx(np.mean([labels == number for labels in drawn]))
        assert ceiling == pytest.approx(1)
    copied = shutil.copytree(tmp_path / "testB", tmp_path / "copied")
    files = evaluate_folders(copied, tmp_path / "testB", palette=THREE, metrics=["fcn_score"], value_range=limits, quiet=True)
    assert scores(files, "target itself") == pytest.approx((1, 1))


def test_numbers_of_another_depth_than_the_targets(tmp_path: Path) -> None:
    for index in range(3):
        images.write(tmp_path / "target" / f"{index}.png", numbered(16, index, "uint16"))
        images.write(tmp_path / "made" / f"{index}.png", numbered(16, index, "uint8"))
    result = evaluate_folders(tmp_path / "made", tmp_path / "target", palette=THREE, metrics=["fcn_score"], quiet=True)
    assert scores(result, "target itself") == pytest.approx((1, 1))


def test_a_palette_is_learnt_from_label_maps_of_the_whole_folder(tmp_path: Path) -> None:
    """A class that only the last images have, and that is drawn as another."""
    for index in range(130):
        labels = np.zeros((12, 12, 3), np.uint8)
        labels[:, 6:] = (255, 0, 0) if index < 100 else (0, 0, 255)
        images.write(tmp_path / "labels" / f"{index:03d}.png", labels)
        images.write(tmp_path / "made" / f"{index:03d}.png", labels * np.array([1, 1, 0], np.uint8))
    result = evaluate_folders(tmp_path / "made", tmp_path / "labels", palette="learn", metrics=["fcn_score"], quiet=True)
    assert scores(result, "target itself") == pytest.approx((1 - 30 / 130 / 2, 1))


@pytest.mark.parametrize("photos", [False, True])
def test_a_palette_is_learnt_from_the_labels_of_the_training_pairs(tmp_path: Path, photos: bool) -> None:
    """Of the side that has the labels, and with a class that no test pair has."""
    for split, colours in (("train", 3), ("test", 2)):
        for index in range(4):
            blocks = np.random.default_rng(index).integers(0, colours, (4, 4))
            labels = np.repeat(np.repeat(np.array([[0, 0, 0], [255, 255, 255], [0, 0, 255]], np.uint8)[blocks], 8, 0), 8, 1)
            noise = np.random.default_rng(index + 9).integers(0, 256, (32, 32, 3), dtype=np.uint8)
            for side, picture in (("A", labels if photos else noise), ("B", noise if photos else labels)):
                images.write(tmp_path / f"{split}{side}" / f"{index}.png", picture)
    segmenter = brightness if photos else None
    result = evaluate(model_on(tmp_path), metrics=["fcn_score"], segmenter=segmenter, palette="learn", quiet=True)
    iou = next(row for row in result.rows if row.metric == "class_iou")
    if photos:
        assert "1 of 3 classes" in iou.caution
    else:  # what is drawn is no label map, and says that instead
        assert iou.bounds["target itself"] == pytest.approx(2 / 3)


def test_label_maps_smaller_than_the_crop_keep_their_colours(tmp_path: Path) -> None:
    for side in "AB":
        images.write(tmp_path / side / "0.png", black_and_white(16, 16, 3))
    records = divide(two_folders(tmp_path), 0, 0, 0).splits["train"]
    data = PairDataset(records, Geometry(None, 24), PairFormat("AtoB", 3, 3), training=False)
    pair, files = data.with_files(0)
    assert files[0].shape == files[1].shape == (24, 24, 3)
    assert set(np.unique(files[0])) == set(np.unique(files[1])) == {0, 255}
    assert len(pair.source.unique()) > 2  # what the network sees is enlarged smoothly, as the recipe says


PALETTE = tuple((index, tuple(np.random.default_rng(index).integers(0, 256, 3).tolist())) for index in range(12))


def palette_files(root: Path, made: list[np.ndarray[Any, Any]], target: list[np.ndarray[Any, Any]], other: int | None = None) -> None:
    """Files of the same palette; the last of the targets has another colour for one of its indices, perhaps."""
    for at, (one, two) in enumerate(zip(made, target)):
        changed = [(index, (1, 2, 3) if index == other and at == len(made) - 1 else colour) for index, colour in PALETTE]
        images.write(root / "made" / f"{at}.png", one, Metadata(palette=PALETTE))
        images.write(root / "target" / f"{at}.png", two, Metadata(palette=tuple(changed)))


def test_folders_of_palette_files_say_themselves_what_their_classes_are(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = [np.array([0, 3, 11], np.uint8)[numbered(16, at, "uint8")] for at in range(3)]
    made = [np.where(one == 3, 11, one).astype(np.uint8) for one in target]
    made[0][0, 0] = 5  # a class that no target has
    palette_files(tmp_path, made, target)
    result = evaluate_folders(tmp_path / "made", tmp_path / "target", metrics=["fcn_score", "l1"])
    assert "label maps of one palette: its 4 indices in use are the classes" in capsys.readouterr().err
    right = np.mean([(a == b).mean() for a, b in zip(made, target)])
    assert scores(result, "target itself") == pytest.approx((right, 1))
    of_classes = next(row.value for row in result.rows if row.metric == "class_accuracy")
    all_made, all_target = np.stack(made), np.stack(target)
    assert of_classes == pytest.approx(np.mean([(all_made[all_target == one] == one).mean() for one in (0, 3, 11)]))
    assert next(row.value for row in result.rows if row.metric == "l1"), "other metrics compare their colours"
    assert result.about["options"] == {"fcn_score.palette": "of the files", "fcn_score.absent": "skip"}


@pytest.mark.parametrize("case", ["another colour", "no palette", "two of one colour"])
def test_files_whose_classes_cannot_be_known_are_not_guessed_at(tmp_path: Path, case: str) -> None:
    target = [np.array([0, 3, 11], np.uint8)[numbered(16, at, "uint8")] for at in range(2)]
    palette_files(tmp_path, target, target, other=3 if case == "another colour" else None)
    if case == "no palette":
        images.write(tmp_path / "target" / "1.png", images.read(tmp_path / "target" / "1.png"))
    if case == "two of one colour":
        for file in [*(tmp_path / "made").iterdir(), *(tmp_path / "target").iterdir()]:
            same = tuple((index, (9, 9, 9) if index in (3, 11) else colour) for index, colour in PALETTE)
            images.write(file, images.examine(file, palette="index")[0], Metadata(palette=same))
    result = evaluate_folders(tmp_path / "made", tmp_path / "target", metrics=["fcn_score", "l1"], quiet=True)
    assert next(row.skipped for row in result.rows if row.metric != "l1"), "as before"
