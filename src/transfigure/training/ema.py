"""An exponential moving average of the generator's weights (Polyak averaging; Karras et al. 2018, section 3, use it for GANs)."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn


class EMA:
    """``average <- decay * average + (1 - decay) * weights``, after every update; buffers are copied.

    The decay warms up as ``min(decay, (1 + n) / (10 + n))`` after n updates, so that a short run is not an average of noise.

    Args:
        generator: the network to follow; it is not changed.
        decay: in (0, 1), such as 0.999.
    """

    def __init__(self, generator: nn.Module, decay: float) -> None:
        self.generator = copy.deepcopy(generator).requires_grad_(False)
        self.decay = decay
        self.updates = 0

    @torch.no_grad()
    def update(self, generator: nn.Module) -> None:
        """Move the average a little way to the present weights."""
        self.updates += 1
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        averages = [parameter.detach() for parameter in self.generator.parameters()]
        torch._foreach_lerp_(averages, [parameter.detach() for parameter in generator.parameters()], 1 - decay)
        for kind in {buffer.dtype for buffer in generator.buffers()}:
            mine, theirs = ([buffer for buffer in of.buffers() if buffer.dtype == kind] for of in (self.generator, generator))
            torch._foreach_copy_(mine, theirs)

    def state_dict(self) -> dict[str, Tensor | int | dict[str, Tensor]]:
        """Everything exact resume needs."""
        return {"updates": self.updates, "generator": self.generator.state_dict()}

    def load_state_dict(self, state: dict) -> None:  # type: ignore[type-arg]
        """Go on from a saved average."""
        self.updates = state["updates"]
        self.generator.load_state_dict(state["generator"])
