"""Adam whose moments keep the layout of the weights."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from transfigure.recipe import Training
from transfigure.training.optimizer import adam


@pytest.mark.parametrize("fused", [True, False])
def test_loaded_moments_take_the_memory_layout_of_the_weights(fused: bool) -> None:
    """A run begun in NCHW may go on in NHWC: the next update is the same, element by element."""
    torch.manual_seed(0)
    before = nn.Conv2d(3, 4, 4)
    after = nn.Conv2d(3, 4, 4).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    first, second = (adam([network], 1e-3, Training(fused=fused)) for network in (before, after))
    gradients = [torch.randn(weight.shape) for weight in before.parameters()]
    for number in range(3):
        if number == 2:
            after.load_state_dict(before.state_dict())
            second.load_state_dict(copy.deepcopy(first.state_dict()))
        for network, optimizer in ((before, first), (after, second)):
            for weight, gradient in zip(network.parameters(), gradients, strict=True):
                weight.grad = torch.empty_like(weight).copy_(gradient * (number + 1))
            optimizer.step()
    torch.testing.assert_close(after.state_dict(), before.state_dict(), rtol=1e-6, atol=1e-8)
