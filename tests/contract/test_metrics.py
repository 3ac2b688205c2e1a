"""Every registered metric, unasked: what each must do to stand in a table.

Metrics that need weights or labels are held to the documentation rules here and to the rest where they live.
"""

from __future__ import annotations

import math
import pickle
import re
from collections import Counter

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from tests.metrics.ranks import exceptions, metric_class
from transfigure import registry
from transfigure.errors import Skipped
from transfigure.metrics.distribution import FeatureMetric
from transfigure.metrics.metric import TARGET_ITSELF, ImageMetric, Metric, MetricContext

EVERY = registry.names("metric")

FREE = [name for name in EVERY if metric_class(name).needs in ("nothing", "samples")]
PER_IMAGE = [name for name in FREE if issubclass(metric_class(name), ImageMetric)]


def quality(metric: type[Metric], value: str) -> bool:
    """Whether a value ranks outputs: not how much there is of something (best at 1), nor how much samples of one source differ."""
    return metric.better_of.get(value, metric.better) != "one" and metric.needs != "samples"


def blind_to_blur(value: str) -> bool:
    """Whether the metric's page says that a lightly blurred copy may be as good as the target itself."""
    _, order = exceptions().get(value, ("", "target itself > light blur"))
    return " > " not in order.partition("target itself")[2].partition("light blur")[0]


def scenes(n: int = 8, channels: int = 3, size: int = 48) -> Tensor:
    """Smooth shapes with edges: pictures that a blur can hurt."""
    random = torch.Generator().manual_seed(7)
    coarse = torch.rand(n, channels, 6, 6, generator=random) * 2 - 1
    return (3 * F.interpolate(coarse, size=(size, size), mode="bilinear")).tanh().sign() * 0.5 + F.interpolate(coarse, (size, size)) * 0.4


def blurred(images: Tensor) -> Tensor:
    return F.avg_pool2d(F.pad(images, (2, 2, 2, 2), mode="replicate"), 5, stride=1)


def noise(images: Tensor) -> Tensor:
    return torch.rand(images.shape, generator=torch.Generator().manual_seed(3)) * 2 - 1


def seen(name: str, prediction: Tensor, target: Tensor, batch: int = 8, order: Tensor | None = None) -> Metric:
    """A metric that has taken in everything, with all the context that there may be."""
    metric: Metric = registry.build("metric", name)
    samples = torch.stack([prediction, 0.5 * prediction, prediction * prediction.detach().abs()])
    order = torch.arange(len(prediction)) if order is None else order
    for chosen in order.split(batch):
        context = MetricContext(source=-target[chosen], samples=samples[:, chosen])
        metric.update(prediction[chosen], target[chosen], [f"image {i}" for i in chosen.tolist()], context)
    return metric


def evaluate(name: str, prediction: Tensor, target: Tensor, batch: int = 8, order: Tensor | None = None) -> dict[str, float]:
    return seen(name, prediction, target, batch, order).compute()


@pytest.mark.parametrize("name", EVERY)
def test_the_facts_a_table_needs(name: str) -> None:
    metric, entry = metric_class(name), registry.entry("metric", name)
    assert metric.name == name
    assert metric.label and isinstance(metric.unit, str) and metric.better in ("lower", "higher", "one")
    assert set(metric.better_of) <= set(metric.values) and set(metric.better_of.values()) <= {"lower", "higher", "one"}
    assert metric.needs in ("nothing", "weights", "labels", "samples")
    assert entry.extra.get("needs", "nothing") == metric.needs, "a lister reads it from the decorator"
    assert isinstance(metric.bounded_by, tuple) and set(metric.bounded_by) <= {"source copied", "mean training target"}
    assert all(re.fullmatch(r"[a-z][a-z0-9_]*", key) and heading for key, heading in metric.values.items())
    assert len({*metric.values.values()}) == len(metric.values), "two columns of one head"
    assert re.search(r"\bSource: \S", entry.doc), "name the paper it comes from"
    assert re.search(r"\bBlind to\b", entry.doc), "say what it cannot see"
    assert entry.summary.endswith(".")
    for option, parameter in entry.options.items():
        assert parameter.help, f"--{option} has no help"
    assert set(entry.parameters) == set(entry.options), "a metric is built without arguments"


def test_no_two_metrics_share_the_name_of_a_value() -> None:
    names = Counter(value for name in EVERY for value in (metric_class(name).values or (name,)))
    assert [value for value, times in names.items() if times > 1] == []


@pytest.mark.parametrize("name", FREE)
@pytest.mark.parametrize("channels", [1, 3, 5])
def test_the_target_beats_a_blurred_copy_beats_noise(name: str, channels: int) -> None:
    target = scenes(channels=channels)
    try:
        best, middle, worst = (evaluate(name, prediction, target) for prediction in (target, blurred(target), noise(target)))
    except Skipped as why:
        assert channels != 3 and str(why), "colour pictures are for every metric, and a reason is owed for the others"
        return
    assert set(best) == set(middle) == set(worst)
    for value in best:
        scores = [best[value], middle[value], worst[value]]
        assert all(map(math.isfinite, scores))
        a, b, c = scores if metric_class(name).better == "higher" else [-score for score in scores]
        if not quality(metric_class(name), value):
            continue
        assert a >= b > c, value
        assert a > b or blind_to_blur(value), f"{value}: a blurred copy is as good as the target, and the metric's page does not say so"


@pytest.mark.parametrize("name", FREE)
def test_the_values_have_their_names(name: str) -> None:
    metric = seen(name, blurred(scenes()), scenes())
    named = metric_class(name).values
    assert set(metric.compute()) == (set(named) or {name})
    assert all(type(value) is float for value in metric.compute().values())
    grey = scenes(channels=1)
    try:
        fewer = evaluate(name, blurred(grey), grey)
    except Skipped:
        return
    assert fewer and set(fewer) <= (set(named) or {name})


@pytest.mark.parametrize("name", FREE)
@pytest.mark.parametrize("change", [blurred, noise, torch.clone, lambda images: images.roll(1, 0)])
def test_an_interval_holds_its_value(name: str, change) -> None:  # type: ignore[no-untyped-def]
    target = scenes(9)
    metric = seen(name, change(target), target)
    values, intervals = metric.compute(), metric.interval()
    assert set(intervals) <= set(values)
    for value, (low, high) in intervals.items():
        assert math.isfinite(low) and math.isfinite(high)
        slack = 1e-9 * max(1, abs(values[value]))  # a mean of equal scores is rounded once more than they are
        assert low - slack <= values[value] <= high + slack
    assert intervals == metric.interval(), "not twice the same"


@pytest.mark.parametrize("name", FREE)
def test_one_image_is_enough_or_the_reason_is_given(name: str) -> None:
    target = scenes(1)
    metric = seen(name, blurred(target), target)
    try:
        values = metric.compute()
    except Skipped as why:
        assert not issubclass(metric_class(name), ImageMetric) and str(why)
        return
    assert all(map(math.isfinite, values.values()))
    assert set(metric.interval()) <= set(values)


@pytest.mark.parametrize("name", FREE)
def test_what_it_says_beside_its_values(name: str) -> None:
    target = scenes()
    metric = seen(name, blurred(target), target)
    for bound, values in metric.bounds().items():
        assert bound == TARGET_ITSELF
        assert values and set(values) <= set(metric.compute()) and all(map(math.isfinite, values.values()))
    assert set(metric.facts()) <= {"network", "weights", "resize"} and all(metric.facts().values())
    assert isinstance(metric.caution(), str) and "\n" not in metric.caution()


@pytest.mark.parametrize("name", PER_IMAGE)
def test_perfect_is_what_the_target_scores(name: str) -> None:
    metric = seen(name, scenes(), scenes())
    assert isinstance(metric, ImageMetric)
    assert metric.scores == pytest.approx([metric.perfect] * 8, abs=1e-4)
    assert metric.bounds() == {TARGET_ITSELF: {name: metric.perfect}}


@pytest.mark.parametrize("name", [name for name in FREE if metric_class(name).better == "lower"])
def test_a_distance_of_the_target_to_itself_is_none(name: str) -> None:
    target = scenes()
    none, far = evaluate(name, target, target), evaluate(name, noise(target), target)
    # below it, too: an unbiased estimate of a set against its very self is negative
    assert all(none[value] < 1e-5 * far[value] for value in far if quality(metric_class(name), value))


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
    metric = seen(name, noise(target), target)
    metric.reset()
    with pytest.raises(ValueError, match=r"\w"):
        metric.compute()
    metric.update(blurred(target), target, context=MetricContext(samples=torch.stack([target, blurred(target)])))
    fresh: Metric = registry.build("metric", name)
    fresh.update(blurred(target), target, context=MetricContext(samples=torch.stack([target, blurred(target)])))
    assert metric.compute() == pytest.approx(fresh.compute())
    assert metric.interval() == fresh.interval() and metric.caution() == fresh.caution()


@pytest.mark.parametrize("name", FREE)
def test_unequal_shapes_are_refused(name: str) -> None:
    metric: Metric = registry.build("metric", name)
    another_size = torch.rand(2, 3, 16, 15)
    may_differ = not metric.pairs and not isinstance(metric, FeatureMetric)  # which takes such images one set after the other
    for bad in (torch.rand(2, 1, 16, 16), torch.rand(3, 16, 16), *([] if may_differ else [another_size])):
        with pytest.raises(ValueError, match="shape"):
            metric.update(torch.rand(2, 3, 16, 16), bad)
    with pytest.raises(ValueError, match="as many names"):
        metric.update(torch.rand(2, 3, 16, 16), torch.rand(2, 3, 16, 16), ["one"])
    with pytest.raises(ValueError, match=r"\w"):  # nothing of it was taken in
        metric.compute()


@pytest.mark.parametrize("name", FREE)
def test_images_are_left_alone(name: str) -> None:
    target = scenes()
    prediction = blurred(target)
    kept = prediction.clone(), target.clone()
    evaluate(name, prediction, target)
    assert torch.equal(prediction, kept[0]) and torch.equal(target, kept[1])


@pytest.mark.parametrize("name", FREE)
def test_half_precision_is_lifted_and_gradients_are_left_behind(name: str) -> None:
    target, prediction = scenes().bfloat16(), blurred(scenes()).bfloat16()
    metric: Metric = registry.build("metric", name)
    halves = torch.stack([prediction, target])
    metric.update(prediction.clone().requires_grad_(), target, context=MetricContext(samples=halves.clone().requires_grad_()))
    exact: Metric = registry.build("metric", name)
    exact.update(prediction.float(), target.float(), context=MetricContext(samples=halves.float()))
    assert metric.compute() == pytest.approx(exact.compute(), rel=1e-6)


@pytest.mark.parametrize("name", PER_IMAGE)
@pytest.mark.parametrize("size", [1, 2, 11, 30])
def test_one_small_image_has_a_finite_score_and_a_name(name: str, size: int) -> None:
    metric: ImageMetric = registry.build("metric", name)
    for target in (scenes(1, size=size), torch.zeros(1, 3, size, size), -torch.ones(1, 3, size, size)):
        metric.update(noise(target), target, ["a"])
        metric.update(target, target, ["b"])
    assert all(map(math.isfinite, metric.scores)) and metric.names == ["a", "b"] * 3
    assert metric.compute()[name] == pytest.approx(sum(metric.scores) / 6, rel=1e-6)


@pytest.mark.parametrize("name", [name for name in FREE if name not in PER_IMAGE])
@pytest.mark.parametrize("size", [1, 2, 11, 30])
def test_small_images_have_finite_values_or_a_reason(name: str, size: int) -> None:
    target = scenes(size=size)
    try:
        values = evaluate(name, noise(target), target)
    except Skipped as why:
        assert str(why)
        return
    assert all(map(math.isfinite, values.values()))


@pytest.mark.parametrize("name", EVERY)
def test_a_mask_is_heeded_or_the_metric_is_left_out(name: str) -> None:
    target = scenes(3)
    prediction = blurred(target)
    mask = torch.zeros(3, 1, 48, 48, dtype=torch.bool)
    mask[:, :, 5:37, 9:30] = True
    if not metric_class(name).takes_mask:
        with pytest.raises(Skipped, match="whole pictures"):
            Metric.check_mask(metric_class(name).__new__(metric_class(name)), prediction, MetricContext(mask=mask))
        return
    if name not in FREE:  # the FCN-score's own tests hold it to this
        return

    def values(one: Tensor, other: Tensor, what: Tensor | None) -> dict[str, float]:
        metric: Metric = registry.build("metric", name)
        metric.update(one, other, None, MetricContext(mask=what))
        return metric.compute()

    inside = values(prediction, target, mask)
    elsewhere = torch.where(mask, prediction, noise(prediction)), torch.where(mask, target, -noise(target))
    assert values(*elsewhere, mask) == pytest.approx(inside, abs=1e-6), "what lies outside changes the value"
    assert values(prediction, target, None) == pytest.approx(values(prediction, target, torch.ones_like(mask)), abs=1e-6)
    assert values(prediction, target, None) != pytest.approx(inside, abs=1e-6)
    with pytest.raises(ValueError, match="leaves nothing"):
        values(prediction, target, mask & False)


@pytest.mark.parametrize("name", EVERY)
def test_every_metric_can_be_merged(name: str) -> None:
    assert metric_class(name).is_mergeable(), "what it resets beyond its base belongs into its state"


def same_to_the_last_digit(one: Metric, other: Metric) -> None:
    """All that a table or a file has of a metric is the same."""
    for what in ("compute", "interval", "bounds", "facts", "caution"):
        assert repr(getattr(one, what)()) == repr(getattr(other, what)()), what
    if isinstance(one, ImageMetric) and isinstance(other, ImageMetric):
        assert (one.scores, one.names) == (other.scores, other.names)


@pytest.mark.parametrize("name", [*FREE, "fcn_score"])
def test_states_in_their_order_are_one_run_over_all(name: str) -> None:
    target = scenes(11)
    prediction = blurred(target) + 0.01 * noise(target)
    options = {"palette": "facades"} if name == "fcn_score" else {}
    samples = torch.stack([prediction, 0.5 * prediction])
    labels = [((image.permute(1, 2, 0).numpy() + 1) * 127).astype("uint8") for image in target]

    def part(chosen: slice, metric: Metric) -> Metric:
        context = MetricContext(-target[chosen], samples[:, chosen], labels[chosen])
        metric.update(prediction[chosen], target[chosen], [f"image {at}" for at in range(chosen.start, chosen.stop)], context)
        return metric

    parts = [slice(0, 3), slice(3, 8), slice(8, 11)]
    whole, worker, merged = (registry.build("metric", name, **options) for _ in range(3))
    sent = []
    for chosen in parts:
        part(chosen, whole)
        sent.append(pickle.dumps(part(chosen, worker).state()))
        worker.reset()
    assert all(len(state) < 8 * target[chosen].nbytes for state, chosen in zip(sent, parts)), "larger than its images"
    for state in sent:
        merged.merge(pickle.loads(state))
    same_to_the_last_digit(merged, whole)
    if whole.compute() != part(parts[1], worker).compute():  # else it cannot tell one part from all
        merged.reset()
        merged.merge(pickle.loads(sent[1]))
        same_to_the_last_digit(merged, worker)
