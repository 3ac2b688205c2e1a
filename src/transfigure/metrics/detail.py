"""Detail: how much fine texture do the generated images have, compared with the targets?

For a texture that cannot be foreseen a pixel loss is lowest at the mean of the possible ones, which is smooth; a generator that fools a
discriminator with a pattern of its own has more of it than any target. Energy at the finest scale shows both.
"""

from __future__ import annotations

import math
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import Skipped
from ..registry import register
from .direction import Better
from .metric import TARGET_ITSELF, AccumulatedMetric, Interval, MetricContext, at_least_float32


def high_frequency_energy(images: Tensor) -> Tensor:
    """The mean square of each value minus the mean of its four neighbours: the energy of an image's finest scale.

    h = x - (x_up + x_down + x_left + x_right) / 4 is -1/4 of the five-point Laplacian. It passes a wave of u cycles per pixel across
    and v down by 1 - (cos 2 pi u + cos 2 pi v) / 2: nothing of a constant, a tenth of a wave of 10 pixels along one axis, and twice a
    checkerboard. White noise of variance s^2 has 1.25 s^2.

    Each channel by itself and not the luminance alone: two colours of one lightness have an edge too, and of five channels nobody
    knows which is luminance. Borders repeat their last pixel, so that every value counts once and an image of a single pixel has 0.

    Args:
        images: ``[N, C, H, W]``, in [-1, 1] or on any other scale; twice the contrast is four times the energy.

    Returns:
        ``[N]``, at least float32.

    Raises:
        ValueError: not four dimensions, or no pixels.
    """
    if images.ndim != 4 or images.numel() == 0:
        raise ValueError(f"fine detail is of images [N, C, H, W] with at least one pixel: got {tuple(images.shape)}")
    x = at_least_float32(images)
    padded = F.pad(x, (1, 1, 1, 1), mode="replicate")
    across, down = padded[..., 1:-1, :-2] + padded[..., 1:-1, 2:], padded[..., :-2, 1:-1] + padded[..., 2:, 1:-1]
    return (x - (across + down) / 4).square().flatten(1).mean(1)  # two pairs, not four in a row: exactly 0 for a constant


@register("metric", "detail")
class Detail(AccumulatedMetric):
    """How much fine detail the generated images have, as a share of the targets': energy at the finest scale over energy there.

    E |h * G(x)|^2 / E |h * y|^2, with h * y each value minus the mean of its four neighbours, and both means over pixels, channels and
    images before anything is divided. 1 is as much fine detail as the targets. Below is blur. Above is noise, ringing or a pattern of
    the generator's own: more than 1 is not better.

    Blind to whether the detail is the right one or in the right place: noise counts as texture does, and so much of it can be added to
    a blur that the value is 1. What is coarser than a few pixels it hardly sees.

    Source: ours. The pixel losses' want of high frequencies is Isola et al. 2017, section 3.2.2; the excess that up-convolutions can
    bring is Durall, Keuper and Keuper 2020, "Watch your up-convolution", who look at the whole spectrum. The high pass is the
    Laplacian; the finest level of Burt and Adelson 1983, "The Laplacian pyramid as a compact image code", subtracts a Gaussian instead
    of four neighbours, and so reaches to coarser scales.
    """

    name = "detail"
    label = "Fine detail kept"
    better: ClassVar[Better] = "one"
    pairs: ClassVar[bool] = False

    def accumulate(self, prediction: Tensor, target: Tensor, context: MetricContext) -> Tensor:
        """``[N, 2]``: energy of the prediction and of the target."""
        return torch.stack([high_frequency_energy(prediction), high_frequency_energy(target)], 1)

    def compute_from(self, total: Tensor) -> dict[str, float]:
        """The share; of targets without any detail, not a number."""
        generated, wanted = total.tolist()
        return {self.name: generated / wanted if wanted else math.nan}

    def compute(self) -> dict[str, float]:
        """The share over all images.

        Raises:
            ValueError: nothing was taken in.
            Skipped: the targets have no detail at all.
        """
        value = super().compute()
        if not any(wanted for _, wanted in torch.stack(self.states).tolist()):
            raise Skipped("every target is of one colour without any detail, so there is none to be kept")
        return value

    def interval(self) -> dict[str, Interval]:
        """The bootstrap interval; none if so few targets have any detail that a resample may hold none of them."""
        return {name: ends for name, ends in super().interval().items() if all(map(math.isfinite, ends))}

    def bounds(self) -> dict[str, dict[str, float]]:
        """The targets have all of their own detail."""
        return {TARGET_ITSELF: {self.name: 1.0}}
