"""What does not count reaches neither the discriminator nor a loss, in every step: only what G makes inside the mask moves anything."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from tests.training.small import small_batch, small_cyclegan, small_step
from transfigure.training.steps.base import StepOutput

KINDS = {
    "pix2pix": {},
    "simultaneous": {"training.update": "simultaneous"},
    "accumulated": {"training.accumulate": 2},
    "penalties": {"objective.adversarial.r1": 1.0, "objective.adversarial.r2": 1.0, "discriminator.norm": "instance"},
    "pool": {"objective.adversarial.pool": 2, "objective.adversarial.conditional": False},
}


class Elsewhere(torch.nn.Module):
    """A generator whose output is another where nothing counts."""

    def __init__(self, inner: torch.nn.Module, mask: Tensor, shift: float) -> None:
        super().__init__()
        self.inner, self.mask, self.shift = inner, mask, shift

    def forward(self, x: Tensor) -> Tensor:
        made = self.inner(x)
        return torch.where(self.mask[: len(x)], made, (made + self.shift).clamp(-1, 1))


def run(kind: str, shift: float, mask: Tensor | None) -> StepOutput:
    torch.manual_seed(0)
    step = small_step(KINDS[kind])
    batch = small_batch(count=2)
    if mask is not None:
        batch = replace(batch, mask=mask[: len(batch)])
        object.__setattr__(step.direction, "generator", Elsewhere(step.direction.generator, mask, shift))
    outputs = [step.training_step(batch) for _ in range(2)]
    return outputs[-1]


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_generated_outside_changes_no_update(kind: str) -> None:
    size = small_batch().target.shape[-1]
    mask = torch.zeros(8, 1, size, size, dtype=torch.bool)
    mask[:, :, : size // 2] = True
    one, other = run(kind, 0.0, mask), run(kind, 0.7, mask)
    assert torch.equal(one.g_loss, other.g_loss) and torch.equal(one.d_loss, other.d_loss)
    plain = run(kind, 0.0, None)
    assert not torch.equal(one.g_loss, plain.g_loss)
    everything = run(kind, 0.0, torch.ones_like(mask))
    assert everything.g_loss.item() == pytest.approx(plain.g_loss.item(), rel=1e-4)


def test_cyclegan_compares_what_counts() -> None:
    batch = small_batch(count=2)
    mask = torch.zeros(2, 1, 32, 32, dtype=torch.bool)
    mask[:, :, :16] = True
    batch = replace(batch, mask=mask)
    assert torch.equal(batch.swapped().mask, mask) and torch.equal(torch.cat([part.mask for part in batch.split(1)]), mask)
    terms = {"objective.terms": [{"loss": "cycle"}, {"loss": "identity"}]}
    found = [small_cyclegan(terms).training_step(one).terms for one in (batch, replace(batch, mask=None))]
    for name in ("cycle", "identity"):
        assert found[0][name].item() != found[1][name].item()
