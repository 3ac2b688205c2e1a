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

from ...data.batch import row_bands

SEED = 0
_STAGES = ((24, 3.0), (32, 1.5), (32, 1.5))
"""Width and gain of each. The gains, and that of the colours, bring all features to a like spread over ordinary pictures."""
_COLOUR_GAIN = 2.0
_AT_ONCE = 1 << 24
"""Responses of the first filters that are worked on together."""
_STEP = 8
"""Rows: a multiple of what the last stage averages over, and more than what a response depends on to either side (1 + 2 + 4)."""


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
        """``[N, C, H, W]`` in [-1, 1] to ``[N, 2 C + 176]``; of large images in bands of rows, which changes no more than roundings."""
        bands = row_bands(x.shape[2], _STAGES[0][0] * x.shape[3] * len(x), _AT_ONCE)
        if len(bands) > 1:
            return self._of_bands(x, max(_STEP, (bands[0][1] - bands[0][0]) // _STEP * _STEP))
        x = x.contiguous(memory_format=torch.channels_last)  # twice as fast as planes on a CPU
        features = [_COLOUR_GAIN * _moments(x)]
        for stage, filters in enumerate(self.filters):
            x = F.avg_pool2d(x, 2, ceil_mode=True) if stage else x
            x = F.conv2d(F.pad(x, (1, 1, 1, 1), mode="replicate"), filters).relu_()
            features.append(_moments(x))
        return torch.cat(features, 1)

    def _of_bands(self, x: Tensor, rows: int) -> Tensor:
        """The same, so many rows at a time, each time with as many above and below as their features depend on."""
        height = x.shape[2]
        found: list[list[tuple[int, Tensor]]] = []
        for start in range(0, height, rows):
            above, below = min(start, _STEP), min(height, start + rows + _STEP)
            own = min(rows, height - start)
            part = x[:, :, start - above : below].contiguous(memory_format=torch.channels_last)
            of_stages = [_moments_of(part[:, :, above : above + own])]
            for stage, filters in enumerate(self.filters):
                part = F.avg_pool2d(part, 2, ceil_mode=True) if stage else part
                part = F.conv2d(F.pad(part, (1, 1, 1, 1), mode="replicate"), filters).relu_()
                top = above >> stage
                of_stages.append(_moments_of(part[:, :, top : top - (-own >> stage)]))
            found.append(of_stages)
        features = []
        for stage, parts in enumerate(zip(*found)):
            total = sum(count for count, _ in parts)
            weights = torch.tensor([count / total for count, _ in parts], dtype=torch.float64, device=x.device)[:, None, None]
            means, deviations = torch.stack([moments.double() for _, moments in parts]).chunk(2, dim=2)
            mean = (weights * means).sum(0)
            variance = (weights * (deviations.square() + (means - mean).square())).sum(0)
            features.append((1 if stage else _COLOUR_GAIN) * torch.cat([mean, variance.sqrt()], 1).to(x.dtype))
        return torch.cat(features, 1)


def _moments_of(part: Tensor) -> tuple[int, Tensor]:
    """How many pixels a part has, and their moments."""
    return part.shape[2] * part.shape[3], _moments(part)


def _moments(x: Tensor) -> Tensor:
    mean = x.mean((2, 3), keepdim=True)
    deviation = (x - mean).square().mean((2, 3)).sqrt()  # torch.std is several times slower
    return torch.cat([mean.flatten(1), deviation], 1)
