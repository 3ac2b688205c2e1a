"""FID, KID and PRDC as metrics, on features that are the pixels themselves: what is under test is all but the network."""

from __future__ import annotations

import math
import pickle
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from transfigure.errors import Skipped, UserError
from transfigure.features.extractors import Extractor
from transfigure.metrics import distribution, divergence
from transfigure.metrics.distribution import FID, KID, PRDC, FeatureMetric, RandomFrechet
from transfigure.metrics.metric import TARGET_ITSELF
from transfigure.metrics.statistics import Statistics

CLASSES: list[type[FeatureMetric]] = [FID, RandomFrechet, KID, PRDC]


def pixels(resize: str = "tf1") -> Extractor:
    return Extractor("pixels", "none at all", resize, lambda images: images.flatten(1))


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(distribution, "inception", pixels)
    monkeypatch.setattr(distribution, "random_network", pixels)
    yield


def images(n: int, d: int = 4, seed: int = 0, shift: float = 0.0) -> Tensor:
    return torch.randn(n, d, 1, 1, generator=torch.Generator().manual_seed(seed)) + shift


def filled(cls: type[FeatureMetric], generated: Tensor, real: Tensor, batch: int = 1000) -> FeatureMetric:
    metric = cls()
    for x, y in zip(generated.split(batch), real.split(batch), strict=True):
        metric.update(x, y)
    return metric


def unpaired(cls: type[FeatureMetric], generated: Tensor, real: Tensor) -> FeatureMetric:
    metric = cls()
    metric.update_generated(generated)
    metric.update_real(real)
    return metric


def test_the_values_are_divergences() -> None:
    x, y = images(30), images(30, seed=1, shift=0.3)
    a, b = x.flatten(1).double(), y.flatten(1).double()
    assert filled(FID, x, y).compute() == {"fid": divergence.frechet(a, b)}
    assert filled(RandomFrechet, x, y).compute() == {"random_frechet": divergence.frechet(a, b)}
    assert filled(KID, x, y).compute() == {"kid": 1000 * divergence.kid(a, b)[0]}
    assert filled(PRDC, x, y).compute() == divergence.prdc(a, b, 5) != divergence.prdc(b, a, 5)
    assert PRDC(neighbours=2).distance(a, b) == divergence.prdc(a, b, 2)


@pytest.mark.parametrize("cls", CLASSES)
def test_neither_batch_size_nor_order_matters(cls: type[FeatureMetric]) -> None:
    x, y = images(33), images(33, seed=1, shift=0.3)
    value = filled(cls, x, y).compute()
    for batch in (1, 7):
        assert filled(cls, x, y, batch).compute() == value
    order = torch.randperm(33, generator=torch.Generator().manual_seed(2))
    assert filled(cls, x[order], y[order]).compute() == pytest.approx(value, rel=1e-9)
    assert filled(cls, x[order], y).compute() == pytest.approx(value, rel=1e-9), "nothing is paired"


@pytest.mark.parametrize("cls", CLASSES)
def test_sets_without_pairs_and_of_other_sizes(cls: type[FeatureMetric]) -> None:
    x, y = images(40), images(40, seed=1, shift=0.3)
    assert unpaired(cls, x, y).compute() == filled(cls, x, y).compute()
    assert unpaired(cls, x, y).interval() == filled(cls, x, y).interval()
    other = unpaired(cls, x, y[:25])
    assert set(other.interval()) == set(other.compute())
    with pytest.raises(ValueError, match="one shape"):
        cls().update(x, y[:25])


@pytest.mark.parametrize("cls", CLASSES)
def test_nothing_is_shared_and_reset_forgets(cls: type[FeatureMetric]) -> None:
    metric, other = filled(cls, images(20), images(20, seed=1)), filled(cls, images(20, seed=2), images(20, seed=3))
    value, others = metric.compute(), other.compute()
    assert value != others
    metric.reset()
    assert other.compute() == others
    for ask in (metric.compute, metric.interval, metric.bounds):
        with pytest.raises(ValueError, match="has seen no images"):
            ask()
    metric.update(images(20), images(20, seed=1))
    assert metric.compute() == value


@pytest.mark.parametrize("cls", CLASSES)
def test_half_precision_is_lifted(cls: type[FeatureMetric]) -> None:
    x, y = images(20).half(), images(20, seed=1).half()
    assert filled(cls, x, y).compute() == filled(cls, x.float(), y.float()).compute()


@pytest.mark.parametrize("cls", CLASSES)
def test_too_few_images_are_skipped_with_the_reason(cls: type[FeatureMetric]) -> None:
    least = 6 if cls is PRDC else 2
    for n in range(1, least):
        metric = filled(cls, images(n), images(n, seed=1))
        with pytest.raises(Skipped, match=rf"sets of at least {least} images, and here {'is' if n == 1 else 'are'} {n}"):
            metric.compute()
        with pytest.raises(Skipped):
            unpaired(cls, images(20), images(n)).compute()
    for n in range(least, 16):  # what has a value may lack an interval or a bound, and says so by leaving it out
        metric = filled(cls, images(n), images(n, seed=1))
        assert all(map(math.isfinite, metric.compute().values()))
        for low, high in metric.interval().values():
            assert low <= high
        for bound in metric.bounds().values():
            assert all(map(math.isfinite, bound.values()))
    assert metric.interval() and metric.bounds()


def test_a_ball_needs_a_neighbour() -> None:
    with pytest.raises(UserError, match="neighbours is 0"):
        PRDC(neighbours=0)


@pytest.mark.parametrize("cls", CLASSES)
def test_images_that_are_not_finite_have_no_number_and_no_interval(cls: type[FeatureMetric]) -> None:
    x = images(20)
    x[3] = math.nan
    metric = filled(cls, x, images(20, seed=1))
    assert all(map(math.isnan, metric.compute().values()))
    assert metric.interval() == {}


@pytest.mark.parametrize("cls", CLASSES)
def test_the_bound_is_the_targets_in_halves(cls: type[FeatureMetric]) -> None:
    y = images(400, seed=1)
    near, far = filled(cls, images(400), y), filled(cls, images(400, shift=2), y)
    (label,) = near.bounds()
    assert label == TARGET_ITSELF
    bound = near.bounds()[label]
    assert bound == far.bounds()[label] == near.bounds()[label], "of the targets alone, and the same each time"
    assert set(bound) == set(far.compute())
    for name, value in far.compute().items():
        assert (bound[name] < value) == (cls.better == "lower")
    seen: list[tuple[Tensor, Tensor]] = []
    near.distance = lambda generated, real: seen.append((generated, real)) or {}  # type: ignore[method-assign, func-returns-value]
    near.bounds()
    assert torch.equal(torch.cat(seen[0]).sort(0).values, y.flatten(1).double().sort(0).values), "each target in one of the halves"
    odd = filled(cls, images(401), images(401, seed=1))
    assert all(map(math.isfinite, odd.bounds()[TARGET_ITSELF].values()))


@pytest.mark.parametrize("cls", CLASSES)
def test_images_of_different_channels_are_skipped(cls: type[FeatureMetric]) -> None:
    metric = filled(cls, images(10), images(10, seed=1))
    metric.update(images(10, d=3), images(10, d=3))
    with pytest.raises(Skipped, match="here are 4 of each image and 3"):
        metric.compute()


def test_the_facts_name_the_network() -> None:
    assert FID(resize="clean").facts() == {"network": "pixels", "weights": "none at all", "resize": "clean"}
    assert KID().facts()["resize"] == PRDC().facts()["resize"] == "tf1"


def test_cautions() -> None:
    few = filled(FID, images(2047), images(2047))
    assert "of 2,047 images, where 2,048 are the least" in few.caution()
    assert filled(FID, images(2048), images(2048)).caution() == ""
    assert "256" in unpaired(RandomFrechet, images(300), images(255)).caution()
    assert "of 99 images" in unpaired(KID, images(99), images(300)).caution()
    assert unpaired(KID, images(100), images(100)).caution() == ""


# Intervals


@pytest.mark.parametrize(("cls", "n", "m"), [(FID, 300, 300), (FID, 300, 200), (KID, 300, 200)])
def test_intervals_hold_the_truth_about_as_often_as_they_say(cls: type[FeatureMetric], n: int, m: int) -> None:
    """N(0.8, 1) against N(0, 1) in 3 dimensions. KID's truth is its kernel's Gaussian moments; FID's is above 3 x 0.8^2 by its bias."""
    random, draws = torch.Generator().manual_seed(0), 200
    found = []
    for _ in range(draws):
        x, y = torch.randn(n, 3, 1, 1, generator=random) + 0.8, torch.randn(m, 3, 1, 1, generator=random)
        found.append(unpaired(cls, x, y))
    intervals = [metric.interval()[metric.name] for metric in found]
    values = [metric.compute()[metric.name] for metric in found]
    truth = 5296.8 if cls is KID else float(np.mean(values))
    assert np.mean(values) == pytest.approx(5296.8 if cls is KID else 3 * 0.8**2 + 3 / n + 3 / m, rel=0.03)
    assert 0.90 <= sum(low <= truth <= high for low, high in intervals) / draws <= 0.99
    width = np.mean([high - low for low, high in intervals])
    assert 3.4 * np.std(values) < width < 5.2 * np.std(values)  # 3.92 by the normal quantile, 4.52 by Student's with 9


def test_pairs_are_left_out_together() -> None:
    """A generator that is right but for a constant: its error varies less over pairs than over two sets drawn apart."""
    y = images(400, 3)
    widths = []
    for x in (y + 0.5, images(400, 3, seed=9, shift=0.5)):
        low, high = filled(FID, x, y).interval()["fid"]
        widths.append(high - low)
    assert widths[0] < 1e-6 < 100 * widths[0] < widths[1]


def test_unpaired_sets_are_left_out_by_the_same_shares(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[tuple[int, int]] = []

    def note(self: FID, generated: Tensor, real: Tensor) -> dict[str, float]:
        sizes.append((len(generated), len(real)))
        return {"fid": 1.0}

    monkeypatch.setattr(FID, "distance", note)
    unpaired(FID, images(40), images(100, seed=1)).interval()
    assert sizes[0] == (40, 100)
    assert len(sizes) == 11
    assert all(left == 36 and 88 <= right <= 92 for left, right in sizes[1:])
    assert sum(100 - right for _, right in sizes[1:]) == 100, "every target left out once"


@pytest.mark.parametrize("cls", CLASSES)
def test_intervals_stay_where_values_can_be(cls: type[FeatureMetric]) -> None:
    y = images(60, seed=1)
    metric = filled(cls, images(60), y)
    for name, (low, high) in metric.interval().items():
        assert low <= metric.compute()[name] <= high
        assert cls is KID or low >= 0
        assert name not in ("precision", "recall", "coverage") or high <= 1


# Stored references


def stored(y: Tensor, tmp_path: Path, moments_only: bool = False) -> Statistics:
    path = tmp_path / "reference.npz"
    made = Statistics.of(y.flatten(1), pixels(), "targets")
    if moments_only:
        np.savez(path, mu=made.mean.numpy(), sigma=made.covariance.numpy())
    else:
        made.save(path)
    return Statistics.load(path)


@pytest.mark.parametrize("cls", CLASSES)
def test_a_stored_set_stands_for_the_targets(cls: type[FeatureMetric], tmp_path: Path) -> None:
    x, y = images(30), images(50, seed=1, shift=0.3)
    direct, metric = unpaired(cls, x, y), cls()
    metric.compare_with(stored(y, tmp_path))
    metric.update_generated(x)
    assert metric.compute() == direct.compute()
    assert metric.bounds() == direct.bounds()
    assert metric.caution() == direct.caution()
    intervals = metric.interval()
    assert set(intervals) == set(direct.compute())
    for name, value in metric.compute().items():
        assert intervals[name][0] <= value <= intervals[name][1]
    metric.reset()
    metric.update_generated(x)
    assert metric.compute() == direct.compute(), "a reset forgets images, not the reference"


@pytest.mark.parametrize("cls", [FID, RandomFrechet])
def test_stored_moments_are_enough_for_a_frechet_distance(cls: type[FeatureMetric], tmp_path: Path) -> None:
    x, y = images(3000), images(50, seed=1, shift=0.3)
    direct, metric = unpaired(cls, x, y), cls()
    metric.compare_with(stored(y, tmp_path, moments_only=True))
    metric.update_generated(x)
    assert metric.compute() == pytest.approx(direct.compute(), rel=1e-9)
    assert metric.bounds() == {}
    low, high = metric.interval()[metric.name]
    assert low < metric.compute()[metric.name] < high
    assert "does not say how many images" in metric.caution()
    metric.reset()
    metric.update_generated(x[:100])
    assert "of 100 images" in metric.caution()
    metric.reset()
    metric.update_generated(x[:1])
    with pytest.raises(Skipped, match="at least 2"):
        metric.compute()


@pytest.mark.parametrize("cls", [KID, PRDC])
def test_stored_moments_are_not_enough_for_the_others(cls: type[FeatureMetric], tmp_path: Path) -> None:
    with pytest.raises(Skipped, match=r"reference\.npz holds a mean and a covariance only"):
        cls().compare_with(stored(images(50), tmp_path, moments_only=True))


@pytest.mark.parametrize("cls", CLASSES)
def test_a_reference_of_another_network_is_skipped(cls: type[FeatureMetric]) -> None:
    metric = cls()
    with pytest.raises(Skipped, match="made with network another"):
        metric.compare_with(Statistics.of(images(9).flatten(1), Extractor("another", "", "tf1", torch.flatten), "there"))
    assert metric.reference is None


@pytest.mark.parametrize("cls", CLASSES)
@pytest.mark.parametrize("moments_only", [False, True])
def test_features_of_other_lengths_are_skipped(cls: type[FeatureMetric], moments_only: bool, tmp_path: Path) -> None:
    if moments_only and cls in (KID, PRDC):
        return
    metric = cls()
    metric.compare_with(stored(images(50, d=6), tmp_path, moments_only))
    metric.update_generated(images(30, d=4))
    with pytest.raises(Skipped, match="features of one network, and here are 4 of each image and 6"):
        metric.compute()


@pytest.mark.parametrize("cls", CLASSES)
def test_states_in_their_order_are_one_run_over_all(cls: type[FeatureMetric]) -> None:
    x, y = images(40), images(32, seed=1, shift=0.3)
    whole, worker, merged = unpaired(cls, x, y), cls(), cls()
    for generated, real in zip(x.split(10), [*y.split(20), None, None]):
        worker.update_generated(generated)
        if real is not None:
            worker.update_real(real)
        merged.merge(pickle.loads(pickle.dumps(worker.state())))
        worker.reset()
    for what in ("compute", "interval", "bounds", "caution"):
        assert getattr(merged, what)() == getattr(whole, what)()
