"""The network behind the probes: a trunk that forgets where things are unless it is asked, and a linear head per factor."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ...worlds.shapes.dataset import Factor

FEATURES = 256
WIDTH = 16
SIDE = 8
"""The trunk halves its maps until they are at most this high and wide."""


class Pool(nn.Module):
    """Maps to numbers: of each map its mean and its maximum, and the places that 16 attentions choose.

    A place is the mean of x and of y, from -1 to 1, under the softmax of a map over the picture. Were every cell of the maps a feature,
    each shape would have to be learnt at each place anew, and some thousand pictures would be learnt by heart.

    ``forward``: ``[N, channels, H, W]`` -> ``[N, outputs]``.
    """

    def __init__(self, channels: int, places: int = 16) -> None:
        super().__init__()
        self.score = nn.Conv2d(channels, places, 1)
        self.outputs = 2 * (channels + places)

    def forward(self, x: Tensor) -> Tensor:
        """The numbers of each picture."""
        attention = self.score(x).flatten(2).softmax(2).unflatten(2, x.shape[2:])
        y, x_ = (torch.linspace(-1, 1, side, dtype=x.dtype, device=x.device) for side in x.shape[2:])
        return torch.cat([x.mean((2, 3)), x.amax((2, 3)), attention.sum(2) @ x_, attention.sum(3) @ y], dim=1)


class ProbeNetwork(nn.Module):
    """Reads factors from a picture.

    ``forward``: ``[N, 3, H, W]`` in [-1, 1] -> one tensor ``[N, outputs]`` per factor: a choice's logits, with one for "none" if only one
    domain shows it; a number, scaled to [0, 1]; the cosine and sine of an angle. Behind a number or an angle that only one domain shows
    comes the logit of its presence.

    Args:
        factors: to be read.
        size: of the pictures, in pixels; it decides the depth.
        width: filters of the first convolution; they double twice.
    """

    def __init__(self, factors: Sequence[Factor], size: int, width: int = WIDTH) -> None:
        super().__init__()
        self.outputs = [outputs(factor) for factor in factors]
        layers = _convolution(3, width)
        incoming, side = width, size
        while side > SIDE:
            outgoing = min(2 * incoming, 4 * width)
            layers += [nn.MaxPool2d(2, ceil_mode=True), *_convolution(incoming, outgoing)]
            incoming, side = outgoing, -(-side // 2)
        pool = Pool(incoming)
        layers += [pool, nn.Linear(pool.outputs, FEATURES, bias=False), nn.BatchNorm1d(FEATURES), nn.ReLU(inplace=True)]
        self.trunk = nn.Sequential(*layers)
        self.heads = nn.Linear(FEATURES, sum(self.outputs))

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """The raw answers of every head."""
        answers: tuple[Tensor, ...] = self.heads(self.trunk(x.contiguous(memory_format=torch.channels_last))).split(self.outputs, dim=1)
        return answers


def _convolution(incoming: int, outgoing: int) -> list[nn.Module]:
    return [nn.Conv2d(incoming, outgoing, 3, padding=1, bias=False), nn.BatchNorm2d(outgoing), nn.ReLU(inplace=True)]


def outputs(factor: Factor) -> int:
    """How many numbers a factor's head answers with."""
    return {"choice": len(factor.values), "number": 1, "angle": 2}[factor.kind] + (factor.owner != "both")
