"""How long the gradient of the cosine is compared with that of L1: the quotient that its docstring states."""

from __future__ import annotations

import math

import pytest
import torch

from transfigure.data.batch import Batch
from transfigure.losses.pixel import cosine, l1


@pytest.mark.parametrize("side", [16, 64])
@pytest.mark.parametrize("contrast", [0.2, 0.9])
def test_the_gradient_norm_of_the_cosine_is_angle_over_contrast(side: int, contrast: float) -> None:
    torch.manual_seed(0)
    target, fake = torch.rand(2, 1, 3, side, side) * 2 - 1
    fake = (contrast * fake).requires_grad_()
    batch = Batch(target, target, ("0",)).with_fake(fake)
    norms = [float(torch.autograd.grad(loss(batch), fake)[0].norm()) for loss in (cosine, l1)]
    angle = math.acos(float(torch.nn.functional.cosine_similarity(fake.flatten(1), target.flatten(1)).detach()))
    assert norms[1] == pytest.approx(1 / math.sqrt(3 * side * side), rel=1e-4)
    assert norms[0] / norms[1] == pytest.approx(math.sin(angle) / float(fake.detach().square().mean().sqrt()), rel=1e-3)
