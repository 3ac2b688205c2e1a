"""The levels that networks are built of, whose activations can be computed anew in the backward pass instead of being kept until then.

Source: Chen, Xu, Zhang and Guestrin 2016, "Training deep nets with sublinear memory cost" (arXiv:1604.06174).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import AbstractContextManager, nullcontext
from types import TracebackType

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint


class Level(nn.Module, ABC):
    """A part of a network that maps one tensor to one: a convolution with what belongs to it, a residual block.

    A subclass writes down :meth:`compute`. What comes in must not be changed in place.

    Attributes:
        recompute: keep only what comes in, and compute the rest anew when the gradient is taken. The same bits come out: random numbers,
            running statistics and singular vectors are what they were the first time, and are not moved a second time.
    """

    recompute: bool = False

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102
        if self.recompute and torch.is_grad_enabled():
            y: Tensor = checkpoint(self.compute, x, use_reentrant=False, context_fn=lambda: (nullcontext(), _AsBefore(self)))
            return y
        return self.compute(x)

    @abstractmethod
    def compute(self, x: Tensor) -> Tensor:
        """The level's output."""


class ConvBlock(Level, nn.Sequential):
    """Layers in a row, as one level."""

    def compute(self, x: Tensor) -> Tensor:  # noqa: D102
        for layer in self:
            x = layer(x)
        return x


def recompute_levels(network: nn.Module) -> int:
    """Set every outermost level of a network to compute its activations anew; how many there are."""
    if isinstance(network, Level):
        network.recompute = True
        if isinstance(network, ConvBlock) and isinstance(first := network[0], nn.ReLU | nn.LeakyReLU):
            first.inplace = False  # what comes in is kept, and must stay as it came
        return 1
    return sum(recompute_levels(child) for child in network.children())


class _AsBefore(AbstractContextManager[None]):
    """Within it a network has copies of the buffers that it had when this was made; afterwards its own again, untouched."""

    def __init__(self, network: nn.Module) -> None:
        named = [(module, name, buffer) for module in network.modules() for name, buffer in module.named_buffers(recurse=False)]
        self._before = [(module, name, buffer.clone()) for module, name, buffer in named]
        self._now: list[tuple[nn.Module, str, Tensor]] = []

    def __enter__(self) -> None:
        for module, name, before in self._before:
            self._now.append((module, name, module.get_buffer(name)))
            setattr(module, name, before.clone())

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for module, name, now in self._now:
            setattr(module, name, now)
        self._now = []
