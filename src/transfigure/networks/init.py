"""How weights start: Isola et al. 2017, section 6.2."""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.conv import _ConvNd

M = TypeVar("M", bound=nn.Module)


def initialise(module: M, gain: float = 0.02, generator: torch.Generator | None = None) -> M:
    """Convolutions from N(0, gain), the scales of every kind of norm layer from N(1, gain), all biases 0.

    Args:
        module: changed in place, submodules included.
        gain: the standard deviation.
        generator: where the numbers come from (by default the global one); of the weights' device.

    Returns:
        ``module``.
    """
    for layer in module.modules():
        mean = 0.0 if isinstance(layer, _ConvNd | nn.Linear) else 1.0
        if isinstance(layer, _ConvNd | nn.Linear | _NormBase | nn.GroupNorm | nn.LayerNorm):
            if layer.weight is not None:
                nn.init.normal_(layer.weight, mean, gain, generator=generator)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
    return module
