"""Fine structure: have the generated images as much of it as the targets (``detail``), and is it a grid of their up-sampling (``grid``)?

For a texture that cannot be foreseen a pixel loss is lowest at the mean of the possible ones, which is smooth; a generator that fools a
discriminator with a pattern of its own has more of it than any target. Energy at the finest scale shows both. Lines in the spectrum at the
periods of the up-sampling show a pattern that comes from the network's layers and not from the pictures.
"""

from __future__ import annotations

import math
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from ..data.batch import mean_within, row_bands
from ..errors import Skipped
from ..registry import register
from .direction import Better
from .metric import TARGET_ITSELF, AccumulatedMetric, Interval, MetricContext, at_least_float32


def high_frequency_energy(images: Tensor, mask: Tensor | None = None) -> Tensor:
    """The mean square of each value minus the mean of its four neighbours: the energy of an image's finest scale.

    h = x - (x_up + x_down + x_left + x_right) / 4 is -1/4 of the five-point Laplacian. It passes a wave of u cycles per pixel across
    and v down by 1 - (cos 2 pi u + cos 2 pi v) / 2: nothing of a constant, a tenth of a wave of 10 pixels along one axis, and twice a
    checkerboard. White noise of variance s^2 has 1.25 s^2.

    Each channel by itself and not the luminance alone: two colours of one lightness have an edge too, and of five channels nobody
    knows which is luminance. Borders repeat their last pixel, so that every value counts once and an image of a single pixel has 0.

    Args:
        images: ``[N, C, H, W]``, in [-1, 1] or on any other scale; twice the contrast is four times the energy.
        mask: what counts, bool ``[N, 1, H, W]``: a pixel whose value and four neighbours count; 0 if there is none.

    Returns:
        ``[N]``, at least float32.

    Raises:
        ValueError: not four dimensions, or no pixels.
    """
    if images.ndim != 4 or images.numel() == 0:
        raise ValueError(f"fine detail is of images [N, C, H, W] with at least one pixel: got {tuple(images.shape)}")
    x = at_least_float32(images)
    if mask is not None:
        outside = _with_rim((~mask).to(x.dtype), 0, x.shape[2])
        touched = outside[..., 1:-1, :-2] + outside[..., 1:-1, 2:] + outside[..., :-2, 1:-1] + outside[..., 2:, 1:-1]
        mask = mask & (touched == 0)
    bands = row_bands(x.shape[2], x[:, :, 0].numel())
    if len(bands) == 1:
        return mean_within(_energy(x, 0, x.shape[2]), mask)
    counted = x[0].numel() if mask is None else (mask.flatten(1).sum(1) * x.shape[1]).clamp_min(1)
    total = x.new_zeros(len(x), dtype=torch.float64)
    for start, stop in bands:
        energy = _energy(x, start, stop)
        total += (energy if mask is None else torch.where(mask[..., start:stop, :], energy, 0)).flatten(1).sum(1, dtype=torch.float64)
    return (total / counted).to(x.dtype)


def _energy(x: Tensor, start: int, stop: int) -> Tensor:
    """Of every value in some rows."""
    padded = _with_rim(x, start, stop)
    across, down = padded[..., 1:-1, :-2] + padded[..., 1:-1, 2:], padded[..., :-2, 1:-1] + padded[..., 2:, 1:-1]
    return (padded[..., 1:-1, 1:-1] - (across + down) / 4).square()  # two pairs, not four in a row: exactly 0 for a constant


def _with_rim(x: Tensor, start: int, stop: int) -> Tensor:
    """Some rows with the one above and the one below, and a column on either side; at borders the last is repeated."""
    rows = x[..., max(0, start - 1) : min(x.shape[-2], stop + 1), :]
    return F.pad(rows, (1, 1, int(start == 0), int(stop == x.shape[-2])), mode="replicate")


class ShareOfTargets(AccumulatedMetric):
    """How much of something the generated images have, in units of what the targets have: 1 is as much, whosever the images are."""

    better: ClassVar[Better] = "one"
    pairs: ClassVar[bool] = False

    def interval(self) -> dict[str, Interval]:
        """The bootstrap interval; none if so few targets have any of it that a resample may hold none of them."""
        return {name: ends for name, ends in super().interval().items() if all(map(math.isfinite, ends))}

    def bounds(self) -> dict[str, dict[str, float]]:
        """The targets have all of their own."""
        return {TARGET_ITSELF: {self.name: 1.0}}


@register("metric", "detail")
class Detail(ShareOfTargets):
    """How much fine detail the generated images have, as a share of the targets': energy at the finest scale over energy there.

    E |h * G(x)|^2 / E |h * y|^2, with h * y each value minus the mean of its four neighbours, and both means over pixels, channels and
    images before anything is divided. 1 is as much fine detail as the targets. Below is blur. Above is noise, ringing or a pattern of
    the generator's own: more than 1 is not better.

    Inside a mask a pixel counts whose neighbours count, too.

    Blind to whether the detail is the right one or in the right place: noise counts as texture does, and so much of it can be added to
    a blur that the value is 1. What is coarser than a few pixels it hardly sees.

    Source: ours. The pixel losses' want of high frequencies is Isola et al. 2017, section 3.2.2; the excess that up-convolutions can
    bring is Durall, Keuper and Keuper 2020, "Watch your up-convolution", who look at the whole spectrum. The high pass is the
    Laplacian; the finest level of Burt and Adelson 1983, "The Laplacian pyramid as a compact image code", subtracts a Gaussian instead
    of four neighbours, and so reaches to coarser scales.
    """

    name = "detail"
    label = "Fine detail kept"
    takes_mask = True

    def accumulate(self, prediction: Tensor, target: Tensor, context: MetricContext) -> Tensor:
        """``[N, 2]``: energy of the prediction and of the target."""
        return torch.stack([high_frequency_energy(images, context.mask) for images in (prediction, target)], 1)

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


PERIOD = 8
"""Pixels of the coarsest grid looked for; its overtones are those of 4 and 2."""
SIDE, SMALLEST_SIDE = 64, 4 * PERIOD
"""Of the squares whose spectra are taken; below the smallest there is nothing between two lines to compare them with."""
ROUNDING = (2 / 255) ** 2
"""Added to every power: white noise of one grey level in 255, below which nobody sees a line."""

LINES = [
    (i, j) for j in range(PERIOD // 2 + 1) for i in range(PERIOD) if (i, j) != (0, 0) and not (j in (0, PERIOD // 2) and i > PERIOD // 2)
]
"""Every frequency (i/8, j/8), down and across, but 0 and those whose power is another's: 33."""


def line_prominence(images: Tensor) -> Tensor:
    """How far each line of a grid of 8, 4 or 2 pixels stands out from the spectrum beside it: the log of their powers' quotient.

    Squares of 64 pixels that overlap by half (of smaller images the largest that is a multiple of 8) are freed of their mean, weighted by
    a Hann window and transformed; powers are the mean over channels, with :data:`ROUNDING` added. A line's neighbours are 2 and 3 bins
    away, down and across: a pure line under that window is one bin wide to either side. Lines on an axis are compared along it only, for
    upright and level edges make a ridge there. From the line's log the mean of its neighbours' logs is taken, then the mean over squares.
    So a spectrum that falls off smoothly, by any power, has 0 everywhere, and a filter that changes slowly with frequency changes nothing.

    Args:
        images: ``[N, C, H, W]`` in [-1, 1].

    Returns:
        ``[N, 33]``, one column for each of :data:`LINES`.

    Raises:
        Skipped: less than 32 pixels high or wide.
    """
    height, width = images.shape[-2:]
    side = min(SIDE, min(height, width) // PERIOD * PERIOD)
    if side < SMALLEST_SIDE:
        raise Skipped(
            f"a grid of {PERIOD} pixels is looked for in squares of {SMALLEST_SIDE} at least, and these are {width} x {height} pixels"
        )
    hann = torch.hann_window(side, dtype=images.dtype, device=images.device)
    window = torch.outer(hann, hann)
    total, rows, columns = torch.zeros((), device=images.device), _starts(height, side), _starts(width, side)
    for top in rows:
        squares = torch.stack([images[..., top : top + side, left : left + side] for left in columns], 1)
        waves = torch.fft.fft2((squares - squares.mean((-2, -1), keepdim=True)) * window)
        power = waves.abs().square().mean(2) / window.square().sum()  # white noise has its variance, [N, columns, side, side]
        total = total + _above_neighbours((power + ROUNDING).log()).sum(1)
    return total / (len(rows) * len(columns))


def _starts(length: int, side: int) -> list[int]:
    """Where squares begin: at most half a square apart, the last at the end."""
    count = math.ceil((length - side) / (side // 2)) + 1
    return [round(index * (length - side) / max(1, count - 1)) for index in range(count)]


def _above_neighbours(spectrum: Tensor) -> Tensor:
    """Each line of a logarithmic spectrum ``[..., side, side]`` less the mean beside it, ``[..., 33]``."""
    side = spectrum.shape[-1]
    step = side // PERIOD
    away = [sign * bins for bins in range(2, max(3, side // 16)) for sign in (1, -1)]
    found = []
    for i, j in LINES:
        down, across = i * step, j * step
        beside = [((down + bins) % side, across) for bins in away if i] + [(down, (across + bins) % side) for bins in away if j]
        near = torch.stack([spectrum[..., u, v] for u, v in beside]).mean(0)
        found.append(spectrum[..., down, across] - near)
    return torch.stack(found, -1)


@register("metric", "grid")
class UpsamplingGrid(ShareOfTargets):
    """How much lines at the periods of the up-sampling (2, 4, 8 pixels) stand out of the generated images' spectra, over the targets'.

    G = sum_f exp(E l_f(G(x))) / sum_f exp(E l_f(y)), with l_f the log of the power at frequency f = (i/8, j/8) over that beside it (see
    ``line_prominence``) and E the mean over images: 33 lines' heights above the images' own texture, each a geometric mean. 1 is as in
    the targets. Above is a grid, such as transposed convolutions leave. Below: a pattern that the targets have there, brick of 4 pixels
    or blocks of JPEG, is missing. Without any line the sum is 33, so targets that have none are divided by as safely as others.

    A line is weighed against the texture of its own picture, for texture hides it: the same grid counts more in a smooth picture. Blur and
    noise change line and neighbours alike.

    Blind to grids of other periods; to one whose phase or sign changes from cell to cell; to what is smooth or rough but has no line; and
    it takes a real pattern of the scene with just such a period for a line, where the targets have none.

    Source: ours. The pattern is Odena, Dumoulin and Olah 2016, "Deconvolution and checkerboard artifacts"; its lines in the spectrum of
    generated images are Zhang, Karaman and Chang 2019, "Detecting and simulating artifacts in GAN fake images", section 3. The averaged
    periodograms are Welch's 1967.
    """

    name = "grid"
    label = "Grid"

    def accumulate(self, prediction: Tensor, target: Tensor, context: MetricContext) -> Tensor:
        """``[N, 2, 34]``: of the prediction and of the target the prominence of each line, and a 1 that counts them."""
        lines = torch.stack([line_prominence(prediction), line_prominence(target)], 1)
        return torch.cat([lines, torch.ones_like(lines[..., :1])], -1)

    def compute_from(self, total: Tensor) -> dict[str, float]:
        """The quotient of the means over lines."""
        generated, wanted = (total[:, :-1] / total[:, -1:]).exp().mean(1).tolist()
        return {self.name: generated / wanted}
