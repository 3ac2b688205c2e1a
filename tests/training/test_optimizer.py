"""Adam: PyTorch's, without its compiler, whose moments keep the layout of the weights."""

from __future__ import annotations

import copy
import functools
import subprocess
import sys

import pytest
import torch
from torch import nn, optim

from transfigure.recipe import Training
from transfigure.training.optimizer import Adam, adam


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


def test_a_loaded_state_is_moments_and_leaves_the_settings_as_they_were_asked_for() -> None:
    """PyTorch's own takes all of the other's: a resumed run would step by another kernel and at another rate than its recipe says."""
    asked = {"lr": 1e-3, "betas": (0.5, 0.999), "fused": False, "foreach": False}
    other = nn.Linear(3, 2)
    loaded_from = optim.Adam(other.parameters(), lr=5e-2, betas=(0.9, 0.99), fused=True)
    other(torch.ones(3)).sum().backward()
    loaded_from.step()
    loaded_from.param_groups[0]["lr"] = 0.0  # as linear_decay leaves it
    theirs = optim.Adam(nn.Linear(3, 2).parameters(), **asked)  # type: ignore[arg-type]
    theirs.load_state_dict(loaded_from.state_dict())
    assert theirs.param_groups[0]["fused"] is True and theirs.param_groups[0]["lr"] == 0.0, "the trap"

    ours = adam([nn.Linear(3, 2)], 1e-3, Training(fused=False))
    ours.load_state_dict(loaded_from.state_dict())
    assert {key: ours.param_groups[0][key] for key in asked} == asked
    for mine, saved in zip(ours.state.values(), loaded_from.state.values(), strict=True):
        assert all(torch.equal(mine[key], saved[key]) for key in ("step", "exp_avg", "exp_avg_sq"))


@pytest.mark.parametrize("fused", [True, False])
def test_it_is_pytorchs_adam(fused: bool) -> None:
    weights: list[nn.Parameter] = []
    for kind in (Adam, optim.Adam):
        torch.manual_seed(0)
        own, later = nn.Parameter(torch.randn(5)), nn.Parameter(torch.randn(4, 3))
        optimizer = kind([own], lr=1e-2, betas=(0.5, 0.999), fused=fused)
        optimizer.add_param_group({"params": [later], "lr": 3e-2})
        calls: list[object] = []
        optimizer.register_step_post_hook(functools.partial(lambda calls, *_: calls.append(1), calls))
        for number in range(4):
            if number == 2:
                optimizer.load_state_dict(copy.deepcopy(optimizer.state_dict()))
            optimizer.zero_grad()
            assert own.grad is None

            def closure(own: nn.Parameter = own, later: nn.Parameter = later) -> float:
                loss = own.square().sum() + (later - 1).abs().sum()
                loss.backward()
                return float(loss.detach())

            assert optimizer.step(closure) > 0
        assert len(calls) == 4
        assert optimizer.state_dict().keys() == {"state", "param_groups"}
        weights += [own, later]
    assert torch.equal(weights[0], weights[2])
    assert torch.equal(weights[1], weights[3])


def test_a_training_does_not_import_pytorchs_compiler() -> None:
    code = """
import sys, torch
from transfigure.training.optimizer import Adam
weight = torch.nn.Parameter(torch.ones(2))
optimizer = Adam([weight], fused=True)
weight.grad = torch.ones(2)
optimizer.step()
optimizer.zero_grad()
optimizer.load_state_dict(optimizer.state_dict())
assert "torch._dynamo" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)
