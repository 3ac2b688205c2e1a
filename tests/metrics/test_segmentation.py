"""The FCN-score: the arithmetic, what is compared with what, and at which size."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from transfigure import registry
from transfigure.errors import Skipped, UserError
from transfigure.metrics.metric import MetricContext
from transfigure.metrics.palettes import IGNORE, Palette, load_palette
from transfigure.metrics.segmentation import FCNScore, confusion, scores
from transfigure.worlds.facades.dataset import PALETTE, draw_scene, render

ALL = pytest.approx({"pixel_accuracy": 1, "class_accuracy": 1, "class_iou": 1}, abs=1e-9)
NONE = {"pixel_accuracy": 0, "class_accuracy": 0, "class_iou": 0}
TWO = Palette.from_dict({"name": "two", "classes": {"dark": [0, 0, 0], "light": [255, 255, 255]}, "ignore": [[255, 0, 0]]})


def brightness(images: Tensor) -> Tensor:
    """A segmenter that is always right about black and white."""
    return (images.mean(1) > 0).long()


def street(index: int, size: int = 64) -> tuple[np.ndarray[Any, Any], Tensor]:
    labels = render(draw_scene(0, index), "labels", size)
    return labels, torch.from_numpy(labels).permute(2, 0, 1)[None].float() / 127.5 - 1


def test_confusion_by_hand() -> None:
    truth = torch.tensor([[0, 0, 1], [2, IGNORE, 1]])
    prediction = torch.tensor([[0, 1, 1], [0, 2, 1]])
    assert confusion(truth, prediction, 3).tolist() == [[1, 1, 0], [0, 2, 0], [1, 0, 0]]
    assert confusion(torch.full((2, 2), IGNORE), torch.zeros(2, 2), 3).sum() == 0
    with pytest.raises(ValueError, match="one shape"):
        confusion(truth, prediction[:1], 3)
    for bad in (torch.full((2, 3), 3), torch.full((2, 3), -1)):
        with pytest.raises(ValueError, match="from 0 to 2"):
            confusion(truth, bad, 3)


def test_scores_by_hand() -> None:
    matrix = torch.tensor([[6, 2, 0], [1, 3, 0], [0, 0, 0]])  # the third class does not occur
    assert scores(matrix) == pytest.approx(
        {"pixel_accuracy": 9 / 12, "class_accuracy": (6 / 8 + 3 / 4) / 3, "class_iou": (6 / 9 + 3 / 6) / 3}, abs=1e-9
    )
    assert scores(matrix, "skip") == pytest.approx(
        {"pixel_accuracy": 9 / 12, "class_accuracy": (6 / 8 + 3 / 4) / 2, "class_iou": (6 / 9 + 3 / 6) / 2}, abs=1e-9
    )
    drawn = torch.tensor([[6, 0, 2], [0, 4, 0], [0, 0, 0]])  # drawn where it is not: an IoU of 0, not no IoU
    assert scores(drawn, "skip")["class_iou"] == pytest.approx((6 / 8 + 1 + 0) / 3)
    assert scores(torch.zeros(3, 3)) == NONE


@pytest.mark.slow
def test_scores_against_another_implementation() -> None:
    random = np.random.default_rng(0)
    truth, prediction = random.integers(0, 5, 4000), random.integers(0, 5, 4000)
    metrics = pytest.importorskip("torchmetrics.functional.classification")
    found = scores(confusion(torch.from_numpy(truth), torch.from_numpy(prediction), 5))
    pair = torch.from_numpy(prediction), torch.from_numpy(truth)
    assert found["pixel_accuracy"] == pytest.approx(metrics.multiclass_accuracy(*pair, 5, average="micro").item(), abs=1e-6)
    assert found["class_accuracy"] == pytest.approx(metrics.multiclass_accuracy(*pair, 5, average="macro").item(), abs=1e-6)
    assert found["class_iou"] == pytest.approx(metrics.multiclass_jaccard_index(*pair, 5).item(), abs=1e-6)


def test_drawn_label_maps_against_the_target_file() -> None:
    metric = FCNScore(palette="synthetic")
    assert metric.labels_from == "target" and metric.segmenter is None
    labels, image = street(0)
    metric.update(image, image, ["a"], MetricContext(labels=[labels]))
    assert metric.compute()["pixel_accuracy"] == pytest.approx(1)
    present = len(np.unique(labels.reshape(-1, 3), axis=0))
    assert metric.compute()["class_iou"] == pytest.approx(present / 16), "absent classes are 0 in the mean, as in the paper"
    assert metric.caution() == f"{16 - present} of 16 classes are in none of these label maps and count as 0 in the means"
    assert metric.bounds() == {"target itself": pytest.approx(metric.compute())}
    assert metric.facts() == {"palette": "synthetic, 16 classes", "absent": "zero", "resize": "classes to the size of the labels, nearest"}

    skipping = FCNScore(palette="synthetic", absent="skip")
    other_labels, other = street(1)
    skipping.update(torch.cat([image, image]), torch.cat([image, other]), None, MetricContext(labels=[labels, other_labels]))
    values = skipping.compute()
    assert 0 < values["class_iou"] < values["class_accuracy"] < 1 and skipping.caution() == ""
    assert skipping.bounds()["target itself"] == ALL
    low, high = skipping.interval()["pixel_accuracy"]
    assert low <= values["pixel_accuracy"] <= high and low < 0.9 and high == pytest.approx(1)


def test_photos_taken_for_label_maps_are_doubted() -> None:
    labels, image = street(0)
    photo = torch.from_numpy(render(draw_scene(0, 0), "day", 64)).permute(2, 0, 1)[None].float() / 127.5 - 1
    metric = FCNScore(palette="facades")
    metric.update(photo, image, None, MetricContext(labels=[labels]))
    assert "are these label maps?" in metric.caution()
    metric.reset()
    facades = load_palette("facades")
    assert facades.colours is not None
    drawn = torch.from_numpy(facades.colours[np.arange(144).reshape(12, 12) % 12]).permute(2, 0, 1)[None].float() / 127.5 - 1
    metric.update(drawn + 0.1 * torch.randn_like(drawn), drawn, None, MetricContext(labels=[labels]))
    assert "are these label maps?" not in metric.caution()


def test_the_bound_of_drawn_maps_is_what_their_size_allows() -> None:
    """Fine labels cannot be read at a quarter of the size, and the labels are not made coarser to hide it."""
    fine = render(draw_scene(0, 3), "labels", 128)
    coarse = torch.from_numpy(render(draw_scene(0, 3), "labels", 32)).permute(2, 0, 1)[None].float() / 127.5 - 1
    metric = FCNScore(palette="synthetic")
    metric.update(coarse, coarse, None, MetricContext(labels=[fine]))
    assert 0.7 < metric.bounds()["target itself"]["pixel_accuracy"] < 0.99
    assert metric.compute() == metric.bounds()["target itself"]
    assert sum(metric.states)[0].sum() == 128 * 128  # type: ignore[index]


def test_photos_through_a_segmenter_and_the_real_row() -> None:
    random = torch.Generator().manual_seed(0)
    truth = (torch.rand(4, 8, 8, generator=random) > 0.6).float()
    photos = (truth * 1.6 - 0.8)[:, None].repeat_interleave(3, 1)
    labels = [np.repeat((one.numpy() * 255).astype(np.uint8)[..., None], 3, 2).repeat(2, 0).repeat(2, 1) for one in truth]
    metric = FCNScore(segmenter=brightness, palette=TWO)  # type: ignore[arg-type]
    assert metric.labels_from == "source"
    metric.update(photos, photos, None, MetricContext(labels=labels))
    assert metric.compute() == ALL and metric.bounds() == {"real photos": metric.compute()}
    metric.reset()
    assert metric.bounds() == {}
    for part in (slice(0, 1), slice(1, 4)):
        metric.update(-photos[part], photos[part], None, MetricContext(labels=labels[part]))
    assert metric.compute() == NONE
    assert metric.bounds() == {"real photos": ALL}
    assert metric.interval() == dict.fromkeys(metric.values, (0.0, 0.0))
    assert metric.facts()["network"] == "brightness" and "weights" not in metric.facts()


def test_a_whole_set_is_one_matrix() -> None:
    """The scores of the sum, not the mean of the images' scores."""
    labels = [np.zeros((4, 4, 3), np.uint8), np.full((4, 4, 3), 255, np.uint8)]
    labels[0][:1] = 255, 0, 0  # without a label
    photo = torch.full((2, 3, 4, 4), -1.0)
    metric = FCNScore(segmenter=brightness, palette=TWO)  # type: ignore[arg-type]
    metric.update(photo, photo, None, MetricContext(labels=labels))
    assert metric.compute() == pytest.approx({"pixel_accuracy": 12 / 28, "class_accuracy": 0.5, "class_iou": 12 / 28 / 2})


def test_labels_are_never_resized() -> None:
    """Stripes one pixel wide in a label map twice the photo's size stay: every second of them is missed."""
    labels = np.zeros((16, 16, 1), np.uint8)
    labels[:, ::2] = 255
    metric = FCNScore(segmenter=brightness, palette=TWO)  # type: ignore[arg-type]
    photo = torch.ones(1, 1, 8, 8)
    metric.update(photo, photo, None, MetricContext(labels=[labels]))
    assert metric.compute()["pixel_accuracy"] == pytest.approx(0.5)
    assert sum(metric.states)[0].sum() == 256  # type: ignore[index]


def test_what_it_cannot_do_is_said() -> None:
    with pytest.raises(Skipped, match=r"give --segmenter FILE .* or --palette NAME"):
        registry.build("metric", "fcn_score")
    metric = FCNScore(palette="facades")
    image = torch.zeros(1, 3, 4, 4)
    with pytest.raises(Skipped, match="no label maps"):
        metric.update(image, image)
    with pytest.raises(Skipped, match="5 channels"):
        metric.update(torch.zeros(1, 5, 4, 4), torch.zeros(1, 5, 4, 4), None, MetricContext(labels=[np.zeros((4, 4, 3), np.uint8)]))
    with pytest.raises(ValueError, match="as many label maps"):
        metric.update(image, image, None, MetricContext(labels=[]))
    with pytest.raises(ValueError, match="seen no images"):
        metric.compute()
    with pytest.raises(UserError, match="zero or skip"):
        FCNScore(palette="facades", absent="none")  # type: ignore[arg-type]
    ignoring = FCNScore(palette=TWO)  # type: ignore[arg-type]
    ignoring.update(image, image, None, MetricContext(labels=[np.full((4, 4, 3), (255, 0, 0), np.uint8)]))
    with pytest.raises(Skipped, match="no pixel"):
        ignoring.compute()


def test_segmenter_and_palette_must_agree(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="give --palette"):
        FCNScore(segmenter=brightness)  # type: ignore[arg-type]

    class Segmenter:
        classes = 2

        def __call__(self, images: Tensor) -> Tensor:
            return torch.full((len(images), 4, 4), 2)

    with pytest.raises(UserError, match="knows 2 classes and the palette facades 12"):
        FCNScore(segmenter=Segmenter(), palette="facades")  # type: ignore[arg-type]
    wild = FCNScore(segmenter=Segmenter(), palette=TWO)  # type: ignore[arg-type]
    with pytest.raises(UserError, match="class 2"):
        wild.update(torch.zeros(1, 3, 4, 4), torch.zeros(1, 3, 4, 4), None, MetricContext(labels=[np.zeros((4, 4, 3), np.uint8)]))
    (tmp_path / "two.json").write_text(json.dumps(TWO.to_dict()))
    assert FCNScore(segmenter=brightness, palette=str(tmp_path / "two.json")).palette.classes == TWO.classes  # type: ignore[arg-type]


def test_a_generator_with_the_colours_exchanged_is_found_out() -> None:
    metric = FCNScore(palette="synthetic")
    for index in range(3):
        labels, image = street(index)
        classes = load_palette("synthetic").decode(labels)
        wrong = PALETTE[(classes.astype(int) + 1) % 16]
        metric.update(torch.from_numpy(wrong).permute(2, 0, 1)[None].float() / 127.5 - 1, image, None, MetricContext(labels=[labels]))
    assert metric.compute() == NONE
    assert metric.bounds()["target itself"]["pixel_accuracy"] == pytest.approx(1)
