"""What is novel: distances between sets, the classifier of domains, copies of training images."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from tests.studies.preservation.tiny_pictures import boxes
from transfigure.errors import Skipped
from transfigure.features.extractors import random_network
from transfigure.metrics import divergence
from transfigure.metrics.distribution import RandomFrechet, RandomKID
from transfigure.studies.preservation.novel import DomainClassifier, nearest_training, set_distance

PLAIN, STRIPED = boxes(60, 2), boxes(60, 3, striped=True)
NEW_PLAIN, NEW_STRIPED = boxes(30, 4), boxes(30, 5, striped=True)


def test_distances_without_weights() -> None:
    features = [random_network()(images).double() for images in (NEW_STRIPED, STRIPED)]
    value, interval = set_distance(RandomFrechet(), NEW_STRIPED, STRIPED)
    assert value == pytest.approx(divergence.frechet(*features)) and interval is not None and interval[0] <= value <= interval[1]
    value, interval = set_distance(RandomKID(), NEW_STRIPED, STRIPED)
    assert value == pytest.approx(1000 * divergence.kid(*features)[0]) and interval is not None and interval[0] < value < interval[1]
    assert RandomKID.needs == "nothing" and RandomKID.name == "random_kid"


@pytest.mark.parametrize("metric", [RandomFrechet, RandomKID])
def test_the_other_domain_is_farther(metric: Callable[[], RandomFrechet]) -> None:
    assert set_distance(metric(), NEW_PLAIN, STRIPED)[0] > 3 * abs(set_distance(metric(), NEW_STRIPED, STRIPED)[0])


def test_kid_does_not_mind_how_few() -> None:
    """Six images at a time against others of their domain: on both sides of 0, where the Fréchet distance is far above."""
    few = torch.tensor([set_distance(RandomKID(), NEW_STRIPED[start : start + 6], STRIPED)[0] for start in range(0, 30, 6)])
    assert few.min() < 0 < few.max()
    with pytest.raises(Skipped):
        set_distance(RandomKID(), NEW_PLAIN[:1], STRIPED)


@pytest.fixture(scope="module")
def classifier() -> DomainClassifier:
    return DomainClassifier.train(PLAIN, STRIPED, steps=150, quiet=True)


def test_the_classifier_knows_real_images_it_has_not_seen(classifier: DomainClassifier) -> None:
    assert classifier.accuracy(NEW_PLAIN, NEW_STRIPED) > 0.95
    assert classifier.taken_for_target(NEW_STRIPED).mean() > 0.9 and classifier.taken_for_target(NEW_PLAIN).mean() < 0.1
    assert classifier.probability(NEW_STRIPED).shape == (30,)
    assert classifier.accuracy(NEW_STRIPED, NEW_PLAIN) < 0.05


def test_a_tint_alone_does_not_pass(classifier: DomainClassifier) -> None:
    tinted = NEW_PLAIN + torch.tensor([0.15, 0, -0.15])[:, None, None]
    assert classifier.taken_for_target(tinted).mean() < 0.2


def test_the_same_seed_is_the_same_classifier_and_the_world_is_left_alone() -> None:
    before = torch.get_rng_state()
    first, second, third = (DomainClassifier.train(PLAIN, STRIPED, seed=seed, steps=3, quiet=True) for seed in (1, 1, 2))
    assert torch.get_rng_state().equal(before)
    assert first.probability(NEW_PLAIN).equal(second.probability(NEW_PLAIN))
    assert not first.probability(NEW_PLAIN).equal(third.probability(NEW_PLAIN))


def test_it_stops_when_it_is_sure(capsys: pytest.CaptureFixture[str]) -> None:
    steps: list[int] = []

    class Counting(DomainClassifier):
        def _fit(self, *given: object) -> None:
            self.network.register_forward_hook(lambda *_: steps.append(1))
            super()._fit(*given)  # type: ignore[arg-type]

    Counting.train(torch.full((4, 1, 8, 8), -0.8), torch.full((4, 1, 8, 8), 0.8), steps=2000, quiet=True)
    assert 2 * 25 <= len(steps) < 2 * 500
    assert capsys.readouterr().err == ""


def test_one_domain_leaves_it_at_chance() -> None:
    classifier = DomainClassifier.train(PLAIN[:30], PLAIN[30:], steps=40, quiet=True)
    assert classifier.accuracy(NEW_PLAIN[:15], NEW_PLAIN[15:]) < 0.8


def test_sources_are_seen_with_the_channels_of_the_targets() -> None:
    grey = DomainClassifier.train(PLAIN, STRIPED.mean(1, keepdim=True), steps=2, quiet=True)
    assert grey.channels == 1 and grey.probability(PLAIN).shape == (60,)
    assert DomainClassifier.train(PLAIN.mean(1, keepdim=True), STRIPED, steps=2, quiet=True).channels == 3


def test_copies_of_training_targets_are_found() -> None:
    order = [7, 3, 3, 59]
    found = nearest_training(STRIPED[order], STRIPED, NEW_STRIPED)
    assert found.indices.tolist() == found.coarse_indices.tolist() == order
    assert found.ratio.eq(0).all() and found.coarse_ratio.eq(0).all()


def test_new_images_are_as_far_as_new_images() -> None:
    found = nearest_training(NEW_STRIPED, STRIPED, NEW_STRIPED)
    assert found.ratio.mean() == pytest.approx(1) and found.coarse_ratio.mean() == pytest.approx(1)
    assert nearest_training(boxes(30, 6, striped=True), STRIPED, NEW_STRIPED).ratio.mean() == pytest.approx(1, abs=0.25)


def test_a_copy_without_its_texture_is_found_in_the_coarse() -> None:
    faint = STRIPED[:10] + 0.1 * torch.randn(10, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    found = nearest_training(faint, STRIPED, NEW_STRIPED)
    assert found.coarse_indices.tolist() == list(range(10))
    assert found.coarse_ratio.mean() < 0.7 * found.ratio.mean() < 0.7


def test_a_ratio_to_nothing_is_none() -> None:
    found = nearest_training(NEW_STRIPED, STRIPED, STRIPED[:2])
    assert found.ratio.isnan().all() and found.coarse_ratio.isnan().all()


@pytest.mark.parametrize(
    "call",
    [
        lambda: nearest_training(PLAIN, STRIPED[..., :8], NEW_STRIPED),
        lambda: nearest_training(PLAIN, STRIPED, NEW_STRIPED[:, :1]),
        lambda: nearest_training(PLAIN[0], STRIPED, NEW_STRIPED),
        lambda: DomainClassifier.train(PLAIN[0], STRIPED, quiet=True),
        lambda: DomainClassifier.train(PLAIN, STRIPED[:0], quiet=True),
        lambda: set_distance(RandomFrechet(), PLAIN[0], STRIPED),
    ],
)
def test_what_does_not_fit_is_refused(call: Callable[[], Tensor]) -> None:
    with pytest.raises(ValueError):
        call()
