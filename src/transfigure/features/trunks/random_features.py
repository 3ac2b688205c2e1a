"""A network that needs no training and no file: filters drawn once, from a stream of numbers that NumPy promises never to change.

Random filters see edges, texture and contrasts of colour at three scales, and nothing of what a thing is. Features of untrained
networks distinguish distributions where trained ones know nothing of the domain (Naeem et al. 2020, "Reliable fidelity and diversity
metrics", section 4). The design is ours: small, right for any number of channels, and at the images' own resolution, so that no
resizing hides a blur.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

SEED = 0
_STAGES = ((24, 3.0), (32, 1.5), (32, 1.5))
"""Width and gain of each. The gains, and that of the colours, bring all features to a like spread over ordinary pictures."""
_COLOUR_GAIN = 2.0


class RandomFeatures(nn.Module):
    """Mean and standard deviation over the pixels of each channel, and of each random filter's response at three scales.

    A stage is a 3x3 convolution and a ReLU; between stages the responses are averaged two by two. Every filter is drawn from a normal
    distribution, freed of its mean and scaled to one length, so that a grey plane gives 0 and every filter counts alike. Borders
    repeat, and an image of one pixel has features as any other: D depends on the number of channels C alone, 2 C + 176.

    Args:
        channels: of the images; another number has other filters.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        random = np.random.RandomState([SEED, channels])
        self.filters = nn.ParameterList()
        for width, gain in _STAGES:
            drawn = random.standard_normal((width, channels, 3, 3))
            drawn -= drawn.mean((1, 2, 3), keepdims=True)
            drawn *= gain / np.sqrt((drawn**2).sum((1, 2, 3), keepdims=True))
            self.filters.append(torch.from_numpy(drawn).float())
            channels = width
        self.requires_grad_(False).eval()

    def forward(self, x: Tensor) -> Tensor:
        """``[N, C, H, W]`` in [-1, 1] to ``[N, 2 C + 176]``."""
        x = x.contiguous(memory_format=torch.channels_last)  # twice as fast as planes on a CPU
        features = [_COLOUR_GAIN * _moments(x)]
        for stage, filters in enumerate(self.filters):
            x = F.avg_pool2d(x, 2, ceil_mode=True) if stage else x
            x = F.conv2d(F.pad(x, (1, 1, 1, 1), mode="replicate"), filters).relu_()
            features.append(_moments(x))
        return torch.cat(features, 1)


def _moments(x: Tensor) -> Tensor:
    mean = x.mean((2, 3), keepdim=True)
    deviation = (x - mean).square().mean((2, 3)).sqrt()  # torch.std is several times slower
    return torch.cat([mean.flatten(1), deviation], 1)
