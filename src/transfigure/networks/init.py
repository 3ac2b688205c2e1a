"""How weights start: Isola et al. 2017, section 6.2."""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.conv import _ConvNd
from torch.nn.utils.parametrize import is_parametrized

M = TypeVar("M", bound=nn.Module)

GAIN = 0.02
"""The standard deviation that weights start with."""


def initialise(module: M, gain: float = GAIN, generator: torch.Generator | None = None) -> M:
    """Convolutions from N(0, gain), the scales of every kind of norm layer from N(1, gain), all biases 0.

    Under spectral normalisation these are the weights before the division by their norm, and the norm is estimated anew.

    Args:
        module: changed in place, submodules included.
        gain: the standard deviation.
        generator: where the numbers come from (by default the global one); of the weights' device.

    Returns:
        ``module``.
    """
    if next((parameter.is_meta for parameter in module.parameters()), False):
        return module  # an outline without values; a random number on the meta device costs a second of imports
    for layer in module.modules():
        mean = 0.0 if isinstance(layer, _ConvNd | nn.Linear) else 1.0
        if isinstance(layer, _ConvNd | nn.Linear | _NormBase | nn.GroupNorm | nn.LayerNorm):
            if is_parametrized(layer, "weight"):  # layer.weight is computed: a number written there would be lost
                weight = layer.get_submodule("parametrizations.weight")
                nn.init.normal_(weight.get_parameter("original"), mean, gain, generator=generator)
                _settle(weight)
            elif layer.weight is not None:
                nn.init.normal_(layer.weight, mean, gain, generator=generator)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
    return module


@torch.no_grad()
def _settle(weight: nn.Module, iterations: int = 15) -> None:
    """One power iteration per pass in train mode, as many as torch starts with: the singular vectors become those of the new weight."""
    training = weight.training
    weight.train()
    for _ in range(iterations):
        weight()
    weight.train(training)
