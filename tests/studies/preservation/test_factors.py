from __future__ import annotations

import json
import math
from dataclasses import replace
from functools import cache
from typing import Literal

import numpy as np
import pytest
import torch
from torch import Tensor

from transfigure.errors import UserError
from transfigure.studies.preservation.factors import FactorResult, analyze_factors, bins, hidden_information, overlap, spread
from transfigure.studies.preservation.probes import Reading
from transfigure.worlds.shapes.dataset import Factor

from . import tiny_world as world

SHARED, SOURCE_ONLY, TARGET_ONLY = ("outline", "place"), ("tint", "glow"), ("stripes", "frame", "haze")
SCENES, STYLES, HELD_OUT = world.draw(200, 11), world.draw(200, 12), world.draw(200, 13)
A, B = world.render(SCENES, "A"), world.render(HELD_OUT, "B")


def perfect() -> Tensor:
    """G(x) of a translator that keeps what is shared and invents the rest."""
    return world.render({**STYLES, **{name: SCENES[name] for name in SHARED}}, "B")


OUTPUTS = {
    "identity": lambda: A,
    "perfect": perfect,
    "constant": lambda: B[:1].expand_as(A),
    "unrelated": lambda: world.render(STYLES, "B"),
    "shifted": lambda: world.render({**STYLES, "outline": 1 - SCENES["outline"], "place": 2 - SCENES["place"]}, "B"),
}


@cache
def results(outputs: str) -> dict[str, FactorResult]:
    found = analyze_factors(world.probes(), world.FACTORS, world.labelled(SCENES, "A"), OUTPUTS[outputs](), B)
    assert [each.name for each in found] == [factor.name for factor in world.FACTORS]
    return {each.name: each for each in found}


def test_the_identity_preserves_all_and_generates_nothing() -> None:
    found = results("identity")
    assert min(each.preserved for each in found.values()) > 0.93
    assert max(found[name].generated for name in (*SOURCE_ONLY, *TARGET_ONLY)) < 0.05
    for name in SHARED:
        assert found[name].generated == pytest.approx(found[name].random_target[1], abs=0.1)
    for each in found.values():
        assert each.identity == pytest.approx((each.preserved, each.generated))
    assert {found[name].outcome for name in SHARED} == {"preserved"}
    assert {found[name].outcome for name in SOURCE_ONLY} == {"preserved though it should not be"}
    assert {found[name].outcome for name in TARGET_ONLY} == {"not generated"}


def test_a_perfect_translator_preserves_what_is_shared_and_generates_the_rest() -> None:
    found = results("perfect")
    for name in SHARED:
        assert found[name].preserved > 0.9 and found[name].outcome == "preserved"
    for name in (*SOURCE_ONLY, *TARGET_ONLY):
        assert found[name].preserved < 0.05
    for each in found.values():
        assert each.generated > 0.9 * each.random_target[1]
    assert {found[name].outcome for name in SOURCE_ONLY} == {"lost, as it should be"}
    assert {found[name].outcome for name in TARGET_ONLY} == {"generated"}


def test_one_output_to_everything_preserves_nothing_and_generates_little() -> None:
    found = results("constant")
    assert found["outline"].preserved < 0.6 and found["place"].preserved < 0.05
    assert max(found[name].generated for name in ("place", "stripes", "haze")) < 0.3
    assert found["frame"].generated < 0.65, "one of two values"
    assert {found[name].outcome for name in (*SHARED, *TARGET_ONLY)} == {"collapsed to few values"}
    assert {found[name].outcome for name in SOURCE_ONLY} == {"lost, as it should be"}, "no B picture shows them"


def test_unrelated_targets_have_the_distribution_and_nothing_of_the_input() -> None:
    found = results("unrelated")
    for each in found.values():
        assert each.preserved == pytest.approx(each.random_target[0], abs=0.12)
        assert each.generated == pytest.approx(each.random_target[1], abs=0.12)
    assert {found[name].outcome for name in SHARED} == {"lost: generated anew"}


def test_a_mirrored_world_has_the_distribution_and_is_not_called_preserved() -> None:
    found = results("shifted")
    assert max(found[name].preserved for name in SHARED) < 0.05
    assert {found[name].outcome for name in SHARED} == {"lost: generated anew"}


def test_values_lie_within_their_intervals_and_bounds_frame_them() -> None:
    for name in OUTPUTS:
        for each in results(name).values():
            assert 0 <= each.preserved_interval[0] <= each.preserved <= each.preserved_interval[1] <= 1
            assert 0 <= each.generated_interval[0] <= each.generated + 1e-9 <= each.generated_interval[1] + 2e-9 <= 1 + 3e-9
            assert (each.hidden_information is not None) == (each.owner == "A")
            assert all(0 <= value <= 1 + 1e-9 for value in (*each.identity, *each.random_target))
    for name in ("frame", "haze"):
        low, high = results("perfect")[name].generated_interval
        assert 0.03 < high - low < 0.3


def test_a_result_is_plain_json() -> None:
    stored = results("perfect")["glow"].to_dict()
    assert json.loads(json.dumps(stored)) == stored
    assert {*stored["bounds"]} == {"identity", "random target"} and stored["bounds"]["identity"]["preserved"] > 0.9
    assert stored["owner"] == "A" and stored["role"] == "source only" and stored["hidden_information"] is not None


def test_the_same_seed_gives_the_same_result() -> None:
    sources = world.labelled({name: value[:40] for name, value in SCENES.items()}, "A")
    before = torch.random.get_rng_state()
    first, second = (analyze_factors(world.probes(), world.FACTORS, sources, A[:40], B[:50]) for _ in range(2))
    assert first == second and torch.equal(before, torch.random.get_rng_state())


@pytest.mark.parametrize(("source", "target"), [("B", "A"), ("A", "A")])
def test_other_directions(source: Literal["A", "B"], target: Literal["A", "B"]) -> None:
    x, y = world.render(SCENES, source), world.render(HELD_OUT, target)
    found = analyze_factors(world.probes(), world.FACTORS, world.labelled(SCENES, source), x, y, target=target)
    roles = {each.name: each.role for each in found}
    if source == target:
        assert {*roles} == {*SHARED, *SOURCE_ONLY} and {*roles.values()} == {"shared"}
        assert {each.outcome for each in found} == {"preserved"} and all(each.hidden_information is None for each in found)
    else:
        assert roles["tint"] == "target only" and roles["stripes"] == "source only"
        assert next(each for each in found if each.name == "stripes").hidden_information > 0.5  # type: ignore[operator]


def test_a_hidden_message_is_found() -> None:
    """The shade of the input as a pattern of three grey levels or less, in pictures that no probe reads it from."""
    pattern = torch.sign(torch.sin(3.0 * torch.arange(world.SIZE)))[None, None, :]
    outputs = perfect()
    outputs[:, 0] += 0.05 * (SCENES["glow"] - 0.5)[:, None, None] * pattern
    found = analyze_factors(world.probes(), world.FACTORS, world.labelled(SCENES, "A"), outputs, B, resamples=50)
    glow, tint = (next(each for each in found if each.name == name) for name in ("glow", "tint"))
    assert (
        glow.preserved < 0.05
        and glow.hidden_information is not None
        and glow.hidden_information > 0.5
        and glow.outcome == "lost, but hidden in the output"
    )
    assert tint.hidden_information is not None and tint.hidden_information < 0.14 and tint.outcome == "lost, as it should be"


def test_chance_hides_nothing() -> None:
    turn = Factor("turn", "A", "angle", period=360.0)
    factors = [next(factor for factor in world.FACTORS if factor.name == name) for name in SOURCE_ONLY]
    found = hidden_information(world.probes(), world.render(STYLES, "B"), [*factors, turn], {**SCENES, "turn": 360 * SCENES["haze"]})
    assert max(found.values()) < 0.14
    assert hidden_information(world.probes(), B, [], {}) == {}
    found = hidden_information(world.probes(), A, [*factors, turn], {**SCENES, "turn": 180 * SCENES["glow"]})
    assert min(found.values()) > 0.9


def test_bins_hold_every_value_and_none_is_one_of_them() -> None:
    there = torch.tensor([0.9, 0.9, 0.9, 0.1])
    number = bins(Reading(Factor("n", "A", "number", low=-1.0, high=3.0), torch.tensor([-1.0, 3.0, 0.99, 0.0]), there))
    assert number.argmax(1).tolist() == [0, 9, 4, 10] and number.shape == (4, 11)
    angle = bins(Reading(Factor("a", "A", "angle", period=180.0), torch.tensor([0.0, 180.0, 179.9, 30.0]), there))
    assert angle.argmax(1).tolist() == [0, 0, 7, 8]
    choice = bins(Reading(Factor("c", "A", "choice", values=("u", "v")), torch.tensor([0, 1, 2, 1]), there))
    assert choice.argmax(1).tolist() == [0, 1, 2, 1] and choice.shape == (4, 3)


def test_the_overlap_of_equal_distributions_is_what_halves_reach() -> None:
    random = np.random.default_rng(0)
    targets, outputs, other = (np.eye(10)[random.integers(0, high, n)] for high, n in ((10, 400), (10, 300), (5, 300)))
    value, reach = overlap(outputs, targets)
    assert value == pytest.approx(reach, abs=0.05) and 0.85 < reach < 0.97
    assert overlap(other, targets)[0] == pytest.approx(0.5, abs=0.06)
    assert overlap(np.eye(10)[[9] * 20], np.eye(10)[[0] * 30])[0] == 0
    assert overlap(targets[:40], targets[:40])[1] < overlap(targets, targets)[1], "small samples differ by more"


def test_spread_counts_values_beside_the_first() -> None:
    assert spread(np.eye(5)[[2] * 9]) == pytest.approx(0)
    assert spread(np.eye(5)[[0, 1, 2, 3] * 5]) == pytest.approx(3)
    assert 0 < spread(np.eye(5)[[0] * 9 + [1]]) < 1


def test_what_does_not_fit_is_refused() -> None:
    sources = world.labelled(SCENES, "A")
    given = {"sources": sources, "outputs": A, "targets": B}
    for changes, words in (
        ({"outputs": A[:9]}, "9 outputs to 200 source pictures"),
        ({"targets": B[:7]}, "200 source and 7 target pictures are too few"),
        ({"sources": replace(sources, values={**sources.values, "glow": sources.values["glow"][:5]})}, "do not tell glow"),
        ({"outputs": A * math.nan}, "not a number"),
    ):
        with pytest.raises(UserError, match=words):
            analyze_factors(world.probes(), world.FACTORS, **{**given, **changes})  # type: ignore[arg-type]
    with pytest.raises(UserError, match="cannot read colour"):
        analyze_factors(world.probes(), [Factor("colour", "both", "number")], **given)  # type: ignore[arg-type]
