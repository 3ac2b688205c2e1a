"""What a log says of a training that goes wrong: once, and after a while."""

from __future__ import annotations

import json

import pytest
import torch

from transfigure.recipe import Recipe
from transfigure.training.health import PATIENCE_IMAGES, Health, broken, remedies, variation, weight_size


def test_health_speaks_once_when_a_condition_has_held_and_again_after_it_was_better() -> None:
    health = Health()
    said = [health.losses(images, True) for images in range(0, 3 * PATIENCE_IMAGES, 100)]
    spoken = [finding for findings in said for finding in findings]
    assert len(spoken) == 1 and spoken[0]["code"] == "d_wins" and "1,000 images" in spoken[0]["message"]
    assert health.losses(9000, False) == []
    assert health.losses(9100, True) == []
    assert health.losses(9100 + PATIENCE_IMAGES, True)[0]["code"] == "d_wins"
    assert health.losses(20000, None) == []


def test_health_sees_collapse_and_not_variety() -> None:
    random = torch.Generator().manual_seed(0)
    targets = torch.rand(4, 3, 8, 8, generator=random) * 2 - 1
    same = targets[:1].repeat(4, 1, 1, 1)
    health = Health()
    assert health.previews(0, same, targets) == []
    found = health.previews(PATIENCE_IMAGES, same, targets)
    assert found[0]["code"] == "collapse" and "0.0%" in found[0]["message"] and "conditional" in found[0]["message"]
    has_them = Health(Recipe.load("pix2pix").to_dict())
    has_them.previews(0, same, targets)
    advice = has_them.previews(PATIENCE_IMAGES, same, targets)[0]["message"].partition("Common remedies: ")[2]
    assert advice == "lower the learning rate (--training.learning_rate)."
    unpaired = Health(unpaired=True)
    unpaired.previews(0, same, targets)
    advice = unpaired.previews(PATIENCE_IMAGES, same, targets)[0]["message"]
    assert "--generator.depth" in advice and "conditional" not in advice
    healthy = Health()
    assert [healthy.previews(images, targets.flip(0), targets) for images in (0, 5000, 9000)] == [[], [], []]
    assert variation(same) == 0 and variation(targets) > 0.3
    assert health.previews(9, targets[:1], targets[:1]) == []


def test_nothing_is_advised_against_a_winning_discriminator_that_the_run_has() -> None:
    def advice(real_label: float) -> str:
        health = Health({"objective": {"adversarial": {"real_label": real_label}}})
        health.losses(0, True)
        return str(health.losses(PATIENCE_IMAGES, True)[0]["message"])

    assert "real_label 0.9" in advice(1.0) and "real_label" not in advice(0.9)


def test_health_state_is_resumed() -> None:
    health = Health()
    health.losses(100, True)
    other = Health()
    other.load_state_dict(json.loads(json.dumps(health.state_dict())))
    assert other.losses(100 + PATIENCE_IMAGES, True)


def test_what_is_certain_is_said_after_a_hundred_images() -> None:
    health = Health()
    assert health.losses(100, True, certain=True) == [] == health.losses(150, True, certain=True)
    found = health.losses(200, True, certain=True)
    assert found[0]["code"] == "d_wins" and "for 100 images" in found[0]["message"]
    assert health.losses(250, True) == [] and health.conditions() == {"d_wins": 100}, "no longer certain, and not over"
    interrupted = Health()
    interrupted.losses(100, True, certain=True)
    interrupted.losses(150, True)
    assert interrupted.losses(200, True, certain=True) == []
    resumed = Health()
    resumed.load_state_dict(json.loads(json.dumps(interrupted.state_dict())))
    assert resumed.losses(300, True, certain=True)[0]["code"] == "d_wins"
    old = Health()
    old.load_state_dict({"since": {}, "reported": []})
    assert old.certain == {}


def test_outputs_that_are_all_equal_are_a_collapse_soon() -> None:
    targets = torch.rand(4, 3, 8, 8, generator=torch.Generator().manual_seed(0)) * 2 - 1
    health = Health()
    assert health.previews(50, torch.zeros_like(targets), targets) == []
    assert [found["code"] for found in health.previews(150, torch.zeros_like(targets), targets)] == ["collapse"]
    slight = Health()
    slight.previews(50, 0.02 * targets, targets)
    assert slight.previews(150, 0.02 * targets, targets) == [], "an untrained generator is given time"


def test_outputs_at_the_ends_of_their_range_have_diverged_unless_the_targets_are_so() -> None:
    targets = torch.rand(4, 3, 8, 8, generator=torch.Generator().manual_seed(0)) * 2 - 1
    health = Health()
    health.previews(50, targets.sign(), targets)
    found = health.previews(150, targets.sign(), targets)
    assert [one["code"] for one in found] == ["saturated"] and "100% of the generated values" in found[0]["message"]
    assert "lower --training.learning_rate" in found[0]["message"]
    assert health.previews(200, targets, targets) == [] and health.conditions() == {}
    masks = Health()
    assert masks.previews(50, targets.sign(), targets.sign()) == [] == masks.previews(150, targets.sign(), targets.sign())


def test_weights_out_of_hand_are_said_at_once_and_once() -> None:
    health = Health()
    assert health.weights(50, {"generator": 0.1, "discriminator": 0.2}, {"generator": 0.02, "discriminator": 0.02}) == []
    found = health.weights(100, {"generator": 0.1, "discriminator": 2.6}, {"generator": 0.02, "discriminator": 0.02})
    assert found[0]["code"] == "weights" and "the discriminator's weights are 130 times as large" in found[0]["message"]
    assert health.weights(150, {"discriminator": 2.7}, {"discriminator": 0.02}) == [] and "weights" in health.conditions()
    assert Health().weights(50, {"yours": 0.5}, {"yours": 0.0}) == [], "what began at zero is no measure"


def test_the_size_of_weights_is_their_root_mean_square() -> None:
    network = torch.nn.Linear(2, 2)
    with torch.no_grad():
        network.weight.copy_(torch.tensor([[3.0, 0.0], [0.0, 4.0]]))
        network.bias.fill_(0)
    assert weight_size(network) == pytest.approx((25 / 6) ** 0.5)
    assert weight_size(network.requires_grad_(False)) == 0


@pytest.mark.parametrize(
    ("adversarial", "advised"),
    [
        ({"loss": "vanilla"}, "real_label"),
        ({"loss": "relativistic"}, "objective.adversarial.r1 and r2"),
        ({"loss": "relativistic", "r1": 1.0, "r2": 1.0}, None),
        ({"loss": "hinge"}, None),
    ],
)
def test_only_what_a_form_has_is_advised(adversarial: dict[str, object], advised: str | None) -> None:
    words = remedies("d_wins", {"objective": {"adversarial": adversarial}})
    assert advised in words if advised else words == "use a smaller --training.discriminator_learning_rate, or more data"


def test_broken_names_what_is_not_finite() -> None:
    assert broken({"a": 1.0, "b": float("nan"), "c": float("inf")}) == ["b", "c"]
