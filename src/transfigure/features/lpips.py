"""LPIPS as its authors define it, for the metric of that name and for the loss: a weighted distance between a classifier's activations.

Source: Zhang et al. 2018, "The unreasonable effectiveness of deep features as a perceptual metric", equation 1; heads of version 0.1,
which scales its input.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from .trunks.classifiers import Shapes

NETWORKS = {"alex": "alexnet", "vgg": "vgg16", "squeeze": "squeezenet"}
"""What LPIPS calls its networks, and what we call them."""


def standard(images: Tensor) -> Tensor:
    """[-1, 1] to what the classifiers were trained on: ImageNet's mean is 0 and its deviation 1, channel by channel."""
    mean, deviation = (images.new_tensor(values).view(1, 3, 1, 1) for values in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    return ((images + 1) / 2 - mean) / deviation


def head_shapes(widths: tuple[int, ...]) -> Shapes:
    """One weight for each channel of each layer."""
    return {f"lin{i}.model.1.weight": (1, width, 1, 1) for i, width in enumerate(widths)}


def unit_norm(activations: Iterable[Tensor]) -> list[Tensor]:
    """Activations ``[N, C, h, w]`` divided by their norm over channels at each pixel.

    A pixel where nothing is active stays 0; without the floor under its root the gradient there would not be a number.
    """
    return [x / (x.square().sum(1, keepdim=True).clamp_min(1e-30).sqrt() + 1e-10) for x in activations]


def distance(heads: Iterable[Tensor], x: list[Tensor], y: list[Tensor]) -> Tensor:
    """Equation 1 between activations of unit norm: the sum over layers of the mean over pixels of sum_c w_c (x_c - y_c)^2, ``[N]``."""
    layers = zip(heads, x, y, strict=True)
    return torch.stack([(w * (x_l - y_l).square()).sum(1).mean((1, 2)) for w, x_l, y_l in layers]).sum(0)
