"""Structural similarity: do windows of two images agree in brightness, contrast and pattern?

The functions serve the loss terms below and the metrics of the same name. Images are ``[N, C, H, W]`` in [-1, 1], any number of
channels. The index is that of the images on their file's scale: luminance is compared from black upwards, so the means are
shifted from [-1, 1] to [0, 2] (data range 2). The equations have no such freedom: about the origin of [-1, 1] they would call a
mid-grey image unlike itself a shade brighter.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from ..bounds import PositiveFloat, PositiveInt
from ..data.batch import Batch, mean_within, row_bands
from ..errors import UserError
from ..registry import register
from .pixel import compared

WINDOW = 11
"""Side of the Gaussian window in pixels (Wang et al. 2004, section III.C)."""
SIGMA = 1.5
"""Its standard deviation in pixels."""
SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
"""The exponents of MS-SSIM from the finest scale to the coarsest (Wang et al. 2003)."""

_RANGE = 2.0
_C1 = (0.01 * _RANGE) ** 2
_C2 = (0.03 * _RANGE) ** 2


def ssim_map(x: Tensor, y: Tensor, window: int = WINDOW, sigma: float = SIGMA) -> Tensor:
    """SSIM at every place where the whole window lies inside the image.

    Args:
        x: images ``[N, C, H, W]`` in [-1, 1].
        y: images of the same shape.
        window: side of the Gaussian window, odd; a smaller image takes the largest odd side that fits it.
        sigma: standard deviation of the window in pixels.

    Returns:
        ``[N, C, H - window + 1, W - window + 1]`` in [-1, 1].

    Raises:
        ValueError: the shapes differ or are not ``[N, C, H, W]``.
        UserError: the window is not odd, or sigma is not above 0.
    """
    luminance, structure = _luminance_and_structure(x, y, window, sigma)
    return luminance * structure


def ssim(x: Tensor, y: Tensor, window: int = WINDOW, sigma: float = SIGMA) -> Tensor:
    """The mean of :func:`ssim_map` over channels and places: one index per image, ``[N]``, in [-1, 1], 1 for equal images.

    Source: Wang et al. 2004, "Image quality assessment", equation 13, with population variances.
    """
    return _mean_of(x, y, window, sigma, _product)


def ssim_within(x: Tensor, y: Tensor, mask: Tensor) -> Tensor:
    """The mean of :func:`ssim_map` over channels and the windows wholly inside a mask: nothing outside it touches the index.

    An image whose mask holds no window of 11 pixels takes the largest odd side that fits somewhere, as a small image does. So the index
    inside a rectangle is that of both images cut down to it.

    Args:
        x: images ``[N, C, H, W]`` in [-1, 1].
        y: images of the same shape.
        mask: what counts, bool ``[N, 1, H, W]``, at least one pixel of each image.

    Returns:
        ``[N]`` in [-1, 1].
    """
    indices = []
    for one, other, counts in zip(torch.split(x, 1), torch.split(y, 1), torch.split(mask, 1), strict=True):
        for window in range(_fitting(WINDOW, min(x.shape[-2:])), 0, -2):
            inside = F.max_pool2d((~counts).to(x.dtype), window, stride=1) == 0
            if window == 1 or bool(inside.any()):
                indices.append(_mean_of(one, other, window, SIGMA, _product, None if inside.all() else inside))
                break
    return torch.cat(indices)


def ms_ssim(x: Tensor, y: Tensor, floor: float = 0.0) -> Tensor:
    """Multi-scale SSIM: contrast and structure at each scale, luminance at the coarsest, as a weighted geometric mean.

    Each scale halves the last by averaging 2 x 2 pixels. Five scales need a shorter side of 176 pixels; a smaller image takes as
    many as leave room for the 11-pixel window (one below 22 pixels: plain SSIM), with the weights of those scaled to sum to 1.

    Args:
        x: images ``[N, C, H, W]`` in [-1, 1].
        y: images of the same shape.
        floor: every scale counts for at least this much. A negative index has no fractional power: 0 (for scores) makes the
            product zero, a small positive number (for training) keeps gradients finite and the other scales heard.

    Returns:
        ``[N]`` in [0, 1], 1 for equal images.

    Raises:
        ValueError: the shapes differ or are not ``[N, C, H, W]``.

    Source: Wang, Simoncelli and Bovik 2003, "Multiscale structural similarity for image quality assessment", equation 7.
    """
    weights = _scale_weights(min(x.shape[-2:]))
    product = torch.ones((), dtype=x.dtype, device=x.device)
    for scale, weight in enumerate(weights, start=1):
        last = scale == len(weights)
        index = _mean_of(x, y, WINDOW, SIGMA, _product if last else (lambda _, structure: structure))
        product = product * index.clamp_min(floor) ** weight
        if scale < len(weights):
            x, y = F.avg_pool2d(x, 2), F.avg_pool2d(y, 2)
    return product


@register("loss", "ssim")
def ssim_loss(batch: Batch, window: PositiveInt = 11, sigma: PositiveFloat = 1.5) -> Tensor:
    """One minus the structural similarity of generated and target image.

    1 - E[(2 mx my + C1)(2 sxy + C2) / ((mx^2 + my^2 + C1)(sx^2 + sy^2 + C2))], with means m and (co)variances s in a Gaussian
    window, C1 = (0.01 L)^2 and C2 = (0.03 L)^2 for the data range L. In [0, 2].

    With a mask the mean is over the windows that hold something that counts, with the target's own values in the rest of them.

    Blind to structure larger than its window, and nearly so to a uniform shift of brightness in light areas; each channel is compared
    alone, so colour bleeding costs little.

    Source: Wang et al. 2004, "Image quality assessment", equation 13; as a loss, Zhao et al. 2017, "Loss functions for image
    restoration with neural networks".

    Args:
        window: side of the Gaussian window in pixels, odd; images smaller than it take the largest odd side that fits.
        sigma: standard deviation of the window in pixels.

    Raises:
        UserError: the window is not odd, or sigma is not above 0.
    """
    generated, target = compared(batch)
    if batch.mask is None:
        return (1 - ssim(generated, target, window, sigma)).mean()
    index = ssim_map(generated, target, window, sigma)
    side = generated.shape[-1] - index.shape[-1] + 1
    seen = F.max_pool2d(batch.mask.to(index.dtype), side, stride=1) > 0  # a window without anything that counts is of two equal pictures
    return mean_within(1 - index, seen).mean()


@register("loss", "ms_ssim")
def ms_ssim_loss(batch: Batch) -> Tensor:
    """One minus the multi-scale structural similarity of generated and target image.

    1 - l_M^w_M prod_j (cs_j)^w_j: contrast and structure cs at scales j = 1..M, luminance l at the coarsest, weights w (see
    :func:`ms_ssim`, also for images under 176 pixels). A scale whose index is below 1e-4 counts as 1e-4. In [0, 1]. With a mask, what does
    not count is equal in both pictures, but it is not taken out of the mean.

    Blind to uniform shifts of brightness and colour, more so than ``ssim``: only the coarsest scale compares means; and to a scale
    whose patterns are inverted or unrelated, which gives no gradient until the others have brought it round.

    Source: Wang, Simoncelli and Bovik 2003, equation 7; as a loss, Zhao et al. 2017.
    """
    return (1 - ms_ssim(*compared(batch), floor=1e-4)).mean()


def _product(luminance: Tensor, structure: Tensor) -> Tensor:
    """SSIM of the two, at every place."""
    return luminance * structure


def _mean_of(
    x: Tensor, y: Tensor, window: int, sigma: float, index: Callable[[Tensor, Tensor], Tensor], inside: Tensor | None = None
) -> Tensor:
    """The mean of an index of luminance and structure over channels and places, per image; in bands of rows where images are large.

    Args:
        x: ``[N, C, H, W]``.
        y: the same shape.
        window: side of the window.
        sigma: of it.
        index: what is averaged, of luminance and structure.
        inside: the places that count, bool ``[N, 1, H', W']``; None if all do.
    """
    _check(x, y)
    window = _fitting(window, min(x.shape[-2:]))
    places = x.shape[-2] - window + 1
    bands = row_bands(places, x[:, :, 0].numel())
    if len(bands) == 1:
        return mean_within(index(*_luminance_and_structure(x, y, window, sigma)), inside)
    total, count = x.new_zeros(len(x), dtype=torch.float64), 0 if inside is None else inside.flatten(1).sum(1) * x.shape[1]
    for start, stop in bands:
        rows = slice(start, stop + window - 1)
        values = index(*_luminance_and_structure(x[..., rows, :], y[..., rows, :], window, sigma))
        if inside is not None:
            values = torch.where(inside[..., start:stop, :], values, 0)
        total = total + values.flatten(1).sum(1, dtype=torch.float64)
        count = count + (values[0].numel() if inside is None else 0)
    return (total / count).to(x.dtype)


def _check(x: Tensor, y: Tensor) -> None:
    if x.shape != y.shape or x.ndim != 4:
        raise ValueError(f"SSIM compares images [N, C, H, W] of one shape: got {tuple(x.shape)} and {tuple(y.shape)}")


def _luminance_and_structure(x: Tensor, y: Tensor, window: int, sigma: float) -> tuple[Tensor, Tensor]:
    """Wang et al. 2004, equations 6 and, with C3 = C2 / 2, 9 times 10."""
    _check(x, y)
    kernel = _gaussian(_fitting(window, min(x.shape[-2:])), sigma, x)
    with torch.autocast(x.device.type, enabled=False):  # E[x^2] - E[x]^2 cancels: half precision would leave nothing
        mx, my, mxx, myy, mxy = _blur(torch.cat([x, y, x * x, y * y, x * y], dim=1), kernel).chunk(5, dim=1)
        structure = (2 * (mxy - mx * my) + _C2) / ((mxx - mx * mx) + (myy - my * my) + _C2)
        mx, my = mx + _RANGE / 2, my + _RANGE / 2
        luminance = (2 * mx * my + _C1) / (mx * mx + my * my + _C1)
    return luminance, structure


def _blur(images: Tensor, kernel: Tensor) -> Tensor:
    """A separable filter without padding. Depthwise, which is fast on a CPU and, on a GPU, keeps cuDNN from rounding to TF32."""
    channels = images.shape[1]
    rows, columns = kernel.view(1, 1, -1, 1), kernel.view(1, 1, 1, -1)
    images = F.conv2d(images, rows.expand(channels, -1, -1, -1), groups=channels)
    return F.conv2d(images, columns.expand(channels, -1, -1, -1), groups=channels)


def _gaussian(side: int, sigma: float, like: Tensor) -> Tensor:
    if not sigma > 0:
        raise UserError(f"sigma is {sigma}: the width of the SSIM window must be above 0 pixels")
    offsets = torch.arange(side, dtype=like.dtype, device=like.device) - side // 2
    return torch.softmax(-(offsets**2) / (2 * sigma**2), dim=0)


def _fitting(window: int, side: int) -> int:
    if window < 1 or window % 2 == 0:
        raise UserError(f"window is {window}: the SSIM window needs an odd number of pixels, 1 or more")
    return min(window, side - 1 + side % 2)


def _scale_weights(side: int) -> list[float]:
    scales = 1
    while scales < len(SCALE_WEIGHTS) and side // 2**scales >= WINDOW:
        scales += 1
    if scales == len(SCALE_WEIGHTS):
        return list(SCALE_WEIGHTS)  # as printed: they sum to 1.0001, and published values were computed so
    used = SCALE_WEIGHTS[:scales]
    return [weight / sum(used) for weight in used]
