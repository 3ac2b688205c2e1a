"""What half precision changes of an update, and what it must not: losses, penalties and the measured gradients stay near float32's."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from tests.training.small import small_batch, small_step

WAYS = {
    "pix2pix": {},
    "unconditional": {"objective.adversarial.conditional": False},
    "r1 and r2": {"objective.adversarial.r1": 10.0, "objective.adversarial.r2": 10.0, "discriminator.norm": "instance"},
    "wgan_gp": {"objective.adversarial.loss": "wgan_gp", "discriminator.norm": "instance"},
    "matched cosine": {"objective.terms": [{"loss": "cosine", "weight": 100, "match_gradient_of": "l1"}]},
}


@pytest.mark.parametrize("precision", ["bf16-mixed", "16-mixed"])
@pytest.mark.parametrize("way", WAYS)
def test_an_update_in_half_precision_is_nearly_that_in_float32(way: str, precision: str) -> None:
    outputs = []
    for chosen in ("32-true", precision):
        more: dict[str, Any] = {"generator.dropout": 0.0, "training.precision": chosen, **WAYS[way]}
        step = small_step(more)
        torch.manual_seed(2)
        outputs.append(step.training_step(small_batch(), measure=True))
        assert all(bool(torch.isfinite(tensor).all()) for network in step.networks().values() for tensor in network.state_dict().values())
    exact, half = outputs
    assert exact.d_loss is not None and half.d_loss is not None
    torch.testing.assert_close(half.d_loss, exact.d_loss, rtol=0.03, atol=0.01)
    torch.testing.assert_close(half.g_loss, exact.g_loss, rtol=0.03, atol=0.01)
    assert exact.gradient_norms.keys() == half.gradient_norms.keys()
    for name, norm in exact.gradient_norms.items():
        assert norm > 0
        torch.testing.assert_close(half.gradient_norms[name], norm, rtol=0.06, atol=0, msg=lambda text, name=name: f"{name}: {text}")


def test_float16_moves_weights_as_float32_does() -> None:
    """At a scale at which nothing overflows, Adam's first step has the same length and nearly the same direction."""
    moved = []
    for precision in ("32-true", "16-mixed"):
        step = small_step({"generator.dropout": 0.0, "training.precision": precision})
        for optimizer in step.optimizers().values():
            if (scaler := step.engine.scaler(optimizer)) is not None:
                scaler.load_state_dict({**scaler.state_dict(), "scale": 256.0})
        before = [weight.detach().clone() for weight in step.generator.parameters()]
        step.training_step(small_batch())
        moved.append(torch.cat([(weight.detach() - old).flatten() for weight, old in zip(step.generator.parameters(), before)]))
    assert float((torch.sign(moved[0]) == torch.sign(moved[1])).float().mean()) > 0.9
    torch.testing.assert_close(moved[1].abs().mean(), moved[0].abs().mean(), rtol=0.02, atol=0)
