"""What a log says of a training that goes wrong: once, and after a while."""

from __future__ import annotations

import json

import torch

from transfigure.recipe import Recipe
from transfigure.training.health import PATIENCE_IMAGES, Health, broken, variation


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


def test_broken_names_what_is_not_finite() -> None:
    assert broken({"a": 1.0, "b": float("nan"), "c": float("inf")}) == ["b", "c"]
