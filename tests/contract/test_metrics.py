"""Every registered metric, unasked: what each must do to stand in a table.

Metrics that need weights or labels are held to the documentation rules here and to the rest where they live.
"""

from __future__ import annotations

import math
import re

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from transfigure import registry
from transfigure.metrics.metric import ImageMetric, Metric

EVERY = registry.names("metric")


def _class(name: str) -> type[Metric]:
    found = registry.resolve("metric", name)
    assert isinstance(found, type) and issubclass(found, Metric)
    return found


FREE = [name for name in EVERY if _class(name).needs == "nothing"]
PER_IMAGE = [name for name in FREE if issubclass(_class(name), ImageMetric)]


def scenes(n: int = 8, channels: int = 3, size: int = 48) -> Tensor:
    """Smooth shapes with edges: pictures that a blur can hurt."""
    random = torch.Generator().manual_seed(7)
    coarse = torch.rand(n, channels, 6, 6, generator=random) * 2 - 1
    return (3 * F.interpolate(coarse, size=(size, size), mode="bilinear")).tanh().sign() * 0.5 + F.interpolate(coarse, (size, size)) * 0.4


def blurred(images: Tensor) -> Tensor:
    return F.avg_pool2d(F.pad(images, (2, 2, 2, 2), mode="replicate"), 5, stride=1)


def noise(images: Tensor) -> Tensor:
    return torch.rand(images.shape, generator=torch.Generator().manual_seed(3)) * 2 - 1


def evaluate(name: str, prediction: Tensor, target: Tensor, batch: int = 8, order: Tensor | None = None) -> dict[str, float]:
    metric: Metric = registry.build("metric", name)
    order = torch.arange(len(prediction)) if order is None else order
    for chosen in order.split(batch):
        metric.update(prediction[chosen], target[chosen], [f"image {i}" for i in chosen.tolist()])
    return metric.compute()


@pytest.mark.parametrize("name", EVERY)
def test_the_facts_a_table_needs(name: str) -> None:
    metric, entry = _class(name), registry.entry("metric", name)
    assert metric.name == name
    assert metric.label and metric.unit is not None and metric.better in ("lower", "higher")
    assert metric.needs in ("nothing", "weights", "labels")
    assert entry.extra.get("needs", metric.needs) == metric.needs
    assert re.search(r"\bSource: \S", entry.doc), "name the paper it comes from"
    assert re.search(r"\bBlind\b", entry.doc), "say what it cannot see"
    assert entry.summary.endswith(".") and len(entry.summary) < 160
    for option, parameter in entry.options.items():
        assert len(parameter.help) > 10, f"--{option} has no help"


@pytest.mark.parametrize("name", FREE)
@pytest.mark.parametrize("channels", [1, 3, 5])
def test_the_target_beats_a_blurred_copy_beats_noise(name: str, channels: int) -> None:
    target = scenes(channels=channels)
    best, middle, worst = (evaluate(name, prediction, target)[name] for prediction in (target, blurred(target), noise(target)))
    assert all(math.isfinite(value) for value in (best, middle, worst))
    assert best < middle < worst if _class(name).better == "lower" else best > middle > worst


@pytest.mark.parametrize("name", FREE)
def test_neither_batch_size_nor_order_matters(name: str) -> None:
    target = scenes()
    prediction = blurred(target)
    whole = evaluate(name, prediction, target)
    for batch, order in ((1, None), (3, None), (8, torch.arange(7, -1, -1)), (3, torch.tensor([3, 1, 7, 0, 2, 6, 5, 4]))):
        assert evaluate(name, prediction, target, batch, order) == pytest.approx(whole, rel=1e-5)


@pytest.mark.parametrize("name", FREE)
def test_reset_forgets(name: str) -> None:
    target = scenes()
    metric: Metric = registry.build("metric", name)
    metric.update(noise(target), target)
    metric.reset()
    with pytest.raises(ValueError, match=r"\w"):
        metric.compute()
    metric.update(blurred(target), target)
    assert metric.compute() == pytest.approx(evaluate(name, blurred(target), target))


@pytest.mark.parametrize("name", FREE)
def test_unequal_shapes_are_refused(name: str) -> None:
    metric: Metric = registry.build("metric", name)
    for bad in (torch.rand(2, 1, 16, 16), torch.rand(2, 3, 16, 15), torch.rand(3, 16, 16)):
        with pytest.raises(ValueError, match="shape"):
            metric.update(torch.rand(2, 3, 16, 16), bad)


@pytest.mark.parametrize("name", FREE)
def test_images_are_left_alone(name: str) -> None:
    target = scenes()
    prediction = blurred(target)
    kept = prediction.clone(), target.clone()
    evaluate(name, prediction, target)
    assert torch.equal(prediction, kept[0]) and torch.equal(target, kept[1])


@pytest.mark.parametrize("name", PER_IMAGE)
@pytest.mark.parametrize("size", [1, 2, 11, 30])
def test_one_small_image_has_a_finite_score_and_a_name(name: str, size: int) -> None:
    metric: ImageMetric = registry.build("metric", name)
    for target in (scenes(1, size=size), torch.zeros(1, 3, size, size), -torch.ones(1, 3, size, size)):
        metric.update(noise(target), target, ["a"])
        metric.update(target, target, ["b"])
    assert all(map(math.isfinite, metric.scores)) and metric.names == ["a", "b"] * 3
    assert metric.compute()[name] == pytest.approx(sum(metric.scores) / 6, rel=1e-6)
