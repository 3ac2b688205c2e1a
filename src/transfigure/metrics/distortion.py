"""Distortion: how far each prediction is from its own target, pixel by pixel or window by window.

All are right for any number of channels and need no weights. Distortion and realism pull apart (Blau and Michaeli 2018): a blurred
picture often scores best here, so read these together with a perceptual or a distribution metric.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar

import torch
from torch import Tensor

from ..data.batch import mean_within, row_bands
from ..losses import ssim as structural
from ..registry import register
from .direction import Better
from .metric import ImageMetric

PSNR_CEILING = 100.0
"""dB. Identical images have no finite PSNR; we call it 100 dB, an error of two thirds of a 16-bit step, so that means stay finite."""


@register("metric", "l1")
class L1(ImageMetric):
    """Mean absolute error on the [0, 1] scale of values: 0.1 means off by a tenth of the range from black to white.

    E|G(x) - y| / 2, for images in [-1, 1]; half the loss term ``l1``. In [0, 1].

    Inside a mask it is the mean over the pixels that count.

    Blind to where errors sit and what they look like; a grey blur scores well where the right output is uncertain.

    Source: the L1 distance of Isola et al. 2017, equation 3, on the scale of image files.
    """

    name = "l1"
    label = "L1"
    perfect = 0.0
    better: ClassVar[Better] = "lower"
    takes_mask = True

    def score(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Mean over channels and pixels, per image."""
        return mean_within((prediction - target).abs(), None) / 2

    def score_within(self, prediction: Tensor, target: Tensor, mask: Tensor) -> Tensor:
        """Mean over channels and the pixels that count, per image."""
        return mean_within((prediction - target).abs(), mask) / 2


@register("metric", "psnr")
class PSNR(ImageMetric):
    """Peak signal-to-noise ratio in decibels: the full range of values against the root mean squared error.

    10 log10(L^2 / MSE) with L = 2 for images in [-1, 1], which is 255 for 8-bit files: not the range that happens to occur in an
    image. Each image gets its own value, and those are averaged. Never above 100 dB, the value of identical images. Inside a mask the
    error is that of the pixels that count.

    Blind to structure: a small shift of the image, which nobody sees, costs more than a blur, which everybody sees.

    Source: Huynh-Thu and Ghanbari 2008, "Scope of validity of PSNR in image/video quality assessment".
    """

    name = "psnr"
    label = "PSNR"
    perfect = PSNR_CEILING
    unit = "dB"
    better: ClassVar[Better] = "higher"
    takes_mask = True

    def score(self, prediction: Tensor, target: Tensor) -> Tensor:
        """In dB, per image, over all channels and pixels."""
        return self._decibels((prediction - target).square().flatten(1).mean(1))

    def score_within(self, prediction: Tensor, target: Tensor, mask: Tensor) -> Tensor:
        """In dB, per image, over all channels and the pixels that count."""
        return self._decibels(mean_within((prediction - target).square(), mask))

    @staticmethod
    def _decibels(mean_squared_error: Tensor) -> Tensor:
        smallest = 4 * 10 ** (-PSNR_CEILING / 10)
        return 10 * (4 / mean_squared_error.clamp_min(smallest)).log10()


@register("metric", "ssim")
class SSIM(ImageMetric):
    """Structural similarity: brightness, contrast and pattern compared in an 11-pixel Gaussian window; 1 is identical.

    Data range 2 on [-1, 1] (255 for 8-bit files), population variances, the mean over windows wholly inside the image and over
    channels. Images under 11 pixels take the largest odd window that fits. Inside a mask it is the mean over windows wholly inside the
    mask, of the largest odd side up to 11 that fits somewhere: a rectangle scores what the picture cut down to it would. In [-1, 1].

    Blind to structure larger than the window, which is 11 pixels whatever the image's size, so that large images are compared by their
    texture alone; channels are compared one by one, so wrong colour costs little.

    Source: Wang et al. 2004, "Image quality assessment", equation 13.
    """

    name = "ssim"
    label = "SSIM"
    perfect = 1.0
    better: ClassVar[Better] = "higher"
    takes_mask = True

    def score(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Per image; see :func:`transfigure.losses.ssim.ssim`."""
        return structural.ssim(prediction, target)

    def score_within(self, prediction: Tensor, target: Tensor, mask: Tensor) -> Tensor:
        """Per image; see :func:`transfigure.losses.ssim.ssim_within`."""
        return structural.ssim_within(prediction, target, mask)


@register("metric", "ms_ssim")
class MultiScaleSSIM(ImageMetric):
    """Structural similarity over up to five scales, each half the size of the last; 1 is identical.

    Five scales need 176 pixels; smaller images take fewer, and the result is then not comparable with published values. A scale
    with a negative index (inverted patterns) makes the image's score 0. In [0, 1].

    Blind to uniform shifts of brightness and colour, more so than ``ssim``: only the coarsest scale compares means.

    Source: Wang, Simoncelli and Bovik 2003, "Multiscale structural similarity for image quality assessment", equation 7.
    """

    name = "ms_ssim"
    label = "MS-SSIM"
    perfect = 1.0
    better: ClassVar[Better] = "higher"

    def score(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Per image; see :func:`transfigure.losses.ssim.ms_ssim`."""
        return structural.ms_ssim(prediction, target)


@register("metric", "pearson")
class Pearson(ImageMetric):
    """Pearson's correlation of the generated with the true values, channel by channel, then the mean over channels; 1 is perfect.

    r = sum (x - mx)(y - my) / sqrt(sum (x - mx)^2 sum (y - my)^2) over the pixels of one channel of one image, with its means mx and
    my: the score that label-free staining is usually told by. In [-1, 1]. A channel that is constant on either side has no
    correlation: it counts as 0, and as 1 where both sides are equal pixel for pixel.

    Blind to any scale and offset of a whole channel: an output of a tenth of the contrast, or of another brightness, scores the same,
    so read it beside ``psnr`` or ``l1``. Of an image that is mostly dark background, a few bright objects decide.

    Source: Pearson 1895, "Note on regression and inheritance in the case of two parents"; per channel as Ounkomol et al. 2018,
    "Label-free prediction of three-dimensional fluorescence images".
    """

    name = "pearson"
    label = "Pearson"
    perfect = 1.0
    better: ClassVar[Better] = "higher"
    takes_mask = True

    def score(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Mean over channels, per image; see :func:`correlation`."""
        return correlation(prediction, target).mean(1)

    def score_within(self, prediction: Tensor, target: Tensor, mask: Tensor) -> Tensor:
        """Mean over channels, per image, of the pixels that count."""
        images = zip(prediction, target, mask[:, 0], strict=True)
        return torch.cat([correlation(x[None, :, where], y[None, :, where]).mean(1) for x, y, where in images])


def correlation(x: Tensor, y: Tensor) -> Tensor:
    """Pearson's r of every channel of every image: ``[N, C, H, W]`` twice to float64 ``[N, C]`` in [-1, 1].

    Where a channel is constant on either side it is 0, and 1 where both are equal pixel for pixel; NaN where a value is.
    """
    x, y = x.flatten(2), y.flatten(2)
    if len(bands := row_bands(x.shape[2], x[:, :, 0].numel())) > 1:
        return _correlation_of_parts(x, y, bands)
    x, y = x.double(), y.double()
    # the mean of equal values may miss them by a rounding, and rounding errors correlate as well as anything
    constant = (x.amax(2) == x.amin(2)) | (y.amax(2) == y.amin(2))
    same = (x == y).all(2)
    x, y = x - x.mean(2, keepdim=True), y - y.mean(2, keepdim=True)
    found = (x * y).sum(2) / ((x * x).sum(2) * (y * y).sum(2)).sqrt()
    return found.clamp(-1, 1).where(~constant, 0.0).where(~same, 1.0)


def _correlation_of_parts(x: Tensor, y: Tensor, parts: Sequence[tuple[int, int]]) -> Tensor:
    """The same of ``[N, C, P]`` in stretches of P: in float64 no more than one of them is held."""

    def each() -> Iterator[tuple[Tensor, Tensor]]:
        return ((x[..., start:stop].double(), y[..., start:stop].double()) for start, stop in parts)

    constant = (x.amax(2) == x.amin(2)) | (y.amax(2) == y.amin(2))
    same = torch.stack([(x[..., start:stop] == y[..., start:stop]).all(2) for start, stop in parts]).all(0)
    mean_x, mean_y = (torch.stack(sums).sum(0)[..., None] / x.shape[2] for sums in zip(*((a.sum(2), b.sum(2)) for a, b in each())))
    sums = torch.zeros(3, *x.shape[:2], dtype=torch.float64, device=x.device)
    for x_part, y_part in each():
        a, b = x_part - mean_x, y_part - mean_y
        sums += torch.stack([(a * b).sum(2), (a * a).sum(2), (b * b).sum(2)])
    found = sums[0] / (sums[1] * sums[2]).sqrt()
    return found.clamp(-1, 1).where(~constant, 0.0).where(~same, 1.0)
