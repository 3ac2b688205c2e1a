"""All measures at once: known outputs stand where they belong between the two bounds."""

from __future__ import annotations

import math
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from tests.studies.preservation.tiny_pictures import boxes
from tests.studies.quick import quick_classifier
from transfigure.errors import Missing
from transfigure.metrics import distribution
from transfigure.studies.preservation import measures as module
from transfigure.studies.preservation.measure import IDENTITY, RANDOM_TARGET, Measure
from transfigure.studies.preservation.measures import ImageSets, measures

SOURCES, TARGETS = boxes(20, 10), boxes(20, 11, striped=True)
TRAINING = {"train_sources": boxes(40, 12), "train_targets": boxes(40, 13, striped=True)}
TRUTH = boxes(20, 10, striped=True)
PRESERVED = ["edge_agreement", "low_pass_ssim", "low_pass_correlation", "retrieval_at_1"]
NOVEL = ["random_frechet_to_target", "random_kid_to_target", "random_frechet_from_source", "random_kid_from_source", "taken_for_target"]
WEIGHTS = ["fid_to_target", "kid_to_target"]
COPIES = ["nearest_training", "nearest_training_coarse"]


@pytest.fixture(autouse=True)
def _quick_and_without_weights(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    def absent(resize: str = "tf1") -> None:
        raise Missing("the weights are not here")

    monkeypatch.setattr(distribution, "inception", absent)
    monkeypatch.setattr(module, "DomainClassifier", quick_classifier(120))
    yield


def of(outputs: Tensor, sources: Tensor = SOURCES, targets: Tensor = TARGETS, **more: object) -> dict[str, Measure]:
    sets = {**TRAINING, **{name: more.pop(name) for name in [*more] if name in ("train_sources", "train_targets", "second_outputs")}}
    found = measures(ImageSets(sources, outputs, targets, **sets), quiet=True, **more)  # type: ignore[arg-type]
    assert len({each.name for each in found}) == len(found)
    return {each.name: each for each in found}


def test_a_right_output_lies_where_it_should() -> None:
    found = of(TRUTH, second_outputs=TRUTH)
    assert set(found) == {*PRESERVED, "variation", *NOVEL, *WEIGHTS, *COPIES, "seed_agreement", "seed_agreement_structure"}
    assert [each.family for each in found.values()] == ["preserved"] * 7 + ["novel"] * 9
    for name in PRESERVED:
        assert found[name].bounds[IDENTITY] == pytest.approx(1)
    for name in ("edge_agreement", "retrieval_at_1"):
        value, bounds = found[name].value, found[name].bounds
        assert bounds[RANDOM_TARGET] + 0.15 < value <= bounds[IDENTITY]
    for name in ("seed_agreement", "seed_agreement_structure"):
        assert found[name].value == pytest.approx(1) == found[name].bounds[IDENTITY]
        assert abs(found[name].bounds[RANDOM_TARGET]) < 0.2
    for name in NOVEL[:2]:
        assert found[name].value < 0.4 * found[name].bounds[IDENTITY]
    for name in NOVEL[3:4]:  # a Fréchet distance of 20 images is bias above all
        assert found[name].value > 2 * found[name].bounds[IDENTITY] and found[name].better is None
    taken = found["taken_for_target"]
    assert taken.value > 0.8 and taken.bounds[RANDOM_TARGET] > 0.8 and taken.bounds[IDENTITY] < 0.2
    assert "of held-out real images" in taken.note
    assert found["nearest_training"].value == pytest.approx(1, abs=0.3) and found["nearest_training"].bounds[
        RANDOM_TARGET
    ] == pytest.approx(1)
    for each in found.values():
        if each.name not in WEIGHTS:
            assert each.note and each.label and set(each.bounds) == {IDENTITY, RANDOM_TARGET}
            assert each.name == "variation" or (
                each.interval is not None and each.interval[0] - 1e-9 <= each.value <= each.interval[1] + 1e-9
            )
    for name in WEIGHTS:
        assert math.isnan(found[name].value) and found[name].note == "skipped: the weights are not here" and not found[name].bounds


def test_the_bounds_are_computed_as_the_outputs_are() -> None:
    """Sources given as outputs have the value of that bound, exactly."""
    for each in of(SOURCES, second_outputs=SOURCES).values():
        if each.name not in WEIGHTS:
            assert each.value == each.bounds[IDENTITY]


def test_copies_and_a_collapse() -> None:
    copies = of(TRAINING["train_targets"][:20], second_outputs=TRUTH[:1].expand_as(TRUTH), same_domain=True)
    assert copies["nearest_training"].value == copies["nearest_training_coarse"].value == 0
    one = TRUTH[:1].repeat(20, 1, 1, 1)
    collapsed = of(one, second_outputs=one, same_domain=True)
    assert math.isnan(collapsed["seed_agreement"].value) and collapsed["seed_agreement"].interval is None
    assert "trivially" in collapsed["seed_agreement"].note
    assert collapsed["retrieval_at_1"].value == pytest.approx(1 / 20)


def test_what_has_no_value_says_why() -> None:
    known = of(TRUTH, targets=TRAINING["train_targets"][:20])
    for name in COPIES:
        assert math.isnan(known[name].value) and known[name].note.startswith("no value: every held-out target is among the training")
    alike = of(TRUTH, targets=TRUTH[:1].repeat(20, 1, 1, 1))
    assert math.isnan(alike["variation"].value) and alike["variation"].note == "no value: the real targets are all the same"
    assert not math.isnan(alike["nearest_training"].value) and "unseen real targets" in alike["nearest_training"].note


def test_one_domain_has_no_distance_from_the_source_and_no_classifier() -> None:
    found = of(SOURCES.roll(1, 0), targets=boxes(20, 15), same_domain=True, train_targets=TRAINING["train_sources"])
    assert set(found) == {*PRESERVED, "variation", *NOVEL[:2], *WEIGHTS, *COPIES}
    assert found["retrieval_at_1"].value == 0 and "pixels" in found["retrieval_at_1"].note
    assert found["random_kid_to_target"].value == pytest.approx(found["random_kid_to_target"].bounds[IDENTITY])


def test_paired_targets_are_never_their_own_random_target() -> None:
    found = of(TRUTH, targets=TRUTH, same_domain=True)
    assert (
        found["retrieval_at_1"].bounds[RANDOM_TARGET] < 0.2
        and found["edge_agreement"].bounds[RANDOM_TARGET] < found["edge_agreement"].value
    )


@pytest.mark.parametrize("n", [2, 3, 50])
def test_random_targets_are_none_of_their_own(n: int) -> None:
    targets = torch.arange(n).float().view(n, 1, 1, 1)
    for seed in range(5):
        first, second = (images.flatten().tolist() for images in module._random_targets(targets, n, seed))
        assert sorted(first) == sorted(second) == list(range(n))
        assert all(index != at for at, index in enumerate(first)) and all(a != b for a, b in zip(first, second))
    assert len(module._random_targets(targets, 2, 0)[0]) == 2 and len(module._random_targets(targets, 99, 0)[0]) == n


def test_outputs_that_are_not_finite_have_no_value() -> None:
    broken = TRUTH.clone()
    broken[3, 0, 5, 5] = math.nan
    for each in of(broken, second_outputs=TRUTH).values():
        assert math.isnan(each.value) and each.interval is None and "trivially" not in each.note, each.name
        if each.name not in WEIGHTS:
            assert all(map(math.isfinite, each.bounds.values()))


def test_fewer_targets_than_sources_and_other_channels() -> None:
    grey = {
        name: images.mean(1, keepdim=True)
        for name, images in (("outputs", TRUTH), ("targets", TARGETS[:7]), ("train_targets", TRAINING["train_targets"]))
    }
    found = of(grey.pop("outputs"), **grey)  # type: ignore[arg-type]
    assert found["edge_agreement"].bounds[IDENTITY] > 0.999
    assert math.isfinite(found["random_frechet_from_source"].value)


@pytest.mark.parametrize(
    "wrong",
    [
        {"outputs": TRUTH[:5]},
        {"outputs": TRUTH[..., :16]},
        {"targets": TARGETS[:1]},
        {"targets": TARGETS[:, :1]},
        {"train_sources": TARGETS[:, :1]},
        {"train_targets": TARGETS[..., :16]},
        {"train_targets": TARGETS[0]},
        {"second_outputs": TRUTH[:5]},
    ],
)
def test_what_does_not_fit_is_refused(wrong: dict[str, Tensor]) -> None:
    with pytest.raises(ValueError):
        of(**{"outputs": TRUTH, **wrong})  # type: ignore[arg-type]


def test_progress_is_on_stderr_and_its_length_is_right(monkeypatch: pytest.MonkeyPatch) -> None:
    totals, done = [], []

    class Counted:
        def __init__(self, total: int, *_: object, **__: object) -> None:
            totals.append(total)

        def __enter__(self) -> Counted:
            return self

        def __exit__(self, *_: object) -> None: ...

        def advance(self) -> None:
            done.append(1)

    monkeypatch.setattr(module, "Progress", Counted)
    variants: list[dict[str, object]] = [{}, {"second_outputs": TRUTH}, {"same_domain": True}]
    for options in variants:
        totals.clear()
        done.clear()
        of(TRUTH, **options)
        assert totals == [len(done)]
