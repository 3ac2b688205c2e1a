"""How weights start: Isola et al. 2017, section 6.2."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.conv import _ConvNd
from torch.nn.utils.parametrize import is_parametrized
from torch.overrides import TorchFunctionMode

M = TypeVar("M", bound=nn.Module)

GAIN = 0.02
"""The standard deviation that weights start with."""


class WithoutStartingWeights(TorchFunctionMode):
    """While this is on, layers leave their parameters as the memory held them: for weights that are about to be loaded over all of them.

    Drawing the 54 million random numbers of a U-Net twice (torch's own, then :func:`initialise`'s) takes longer than translating an
    image. Buffers, and parameters that are made with their values, are as ever.
    """

    def __torch_function__(
        self, function: Callable[..., Any], types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        filled = [*args, *(kwargs or {}).values()][:1]
        if function in _FILLS and filled and isinstance(filled[0], nn.Parameter):
            return filled[0]
        return function(*args, **(kwargs or {}))


_FILLS = {torch.Tensor.normal_, torch.Tensor.uniform_} | {
    getattr(nn.init, name) for name in dir(nn.init) if name.endswith("_") and not name.startswith("_")
}
"""What gives a tensor, its first argument, its first values: ``nn.init.kaiming_uniform_`` and so on."""


def initialise(module: M, gain: float = GAIN, generator: torch.Generator | None = None) -> M:
    """Convolutions from N(0, gain), the scales of every kind of norm layer from N(1, gain), all biases 0.

    A layer whose weights must start in some relation to each other has a method ``arrange_starting_weights``, which is given them as they
    were drawn, to change in place. Under spectral normalisation these are the weights before the division by their norm, and the norm is
    estimated anew.

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
                _draw(layer, weight.get_parameter("original"), mean, gain, generator)
                _settle(weight)
            elif layer.weight is not None:
                _draw(layer, layer.weight, mean, gain, generator)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
    return module


@torch.no_grad()
def _draw(layer: nn.Module, weight: Tensor, mean: float, gain: float, generator: torch.Generator | None) -> None:
    nn.init.normal_(weight, mean, gain, generator=generator)
    if callable(arrange := getattr(layer, "arrange_starting_weights", None)):
        arrange(weight)


@torch.no_grad()
def _settle(weight: nn.Module, iterations: int = 15) -> None:
    """One power iteration per pass in train mode, as many as torch starts with: the singular vectors become those of the new weight."""
    training = weight.training
    weight.train()
    for _ in range(iterations):
        weight()
    weight.train(training)
