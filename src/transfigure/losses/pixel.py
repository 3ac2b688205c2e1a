"""How far the generated image is from its target, value by value or as a direction.

Each term reads ``batch.fake`` and ``batch.target``, ``[N, C, H, W]`` in [-1, 1], and returns a scalar: the mean over the batch. Where the
batch has a mask it is the mean over the pixels of each image that count, then over the batch; an image of which nothing counts costs 0.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ..bounds import PositiveFloat
from ..data.batch import Batch, mean_within
from ..errors import UserError
from ..registry import register


def compared(batch: Batch) -> tuple[Tensor, Tensor]:
    """The generated images and their targets, in float32 at least (sums over an image overflow half precision).

    Raises:
        ValueError: nothing is generated yet, or the shapes differ (they would broadcast to a number that means nothing).
    """
    generated, target = batch.fake, batch.target
    if generated.shape != target.shape:
        raise ValueError(f"generated images {tuple(generated.shape)} and targets {tuple(target.shape)} must have one shape")
    return tuple(images.to(torch.promote_types(images.dtype, torch.float32)) for images in (generated, target))  # type: ignore[return-value]


def mean_of(values: Tensor, batch: Batch) -> Tensor:
    """The mean of what counts of values ``[N, C, H, W]`` of a batch's images: over each image, then over the batch."""
    return values.mean() if batch.mask is None else mean_within(values, batch.mask).mean()


@register("loss", "l1")
def l1(batch: Batch) -> Tensor:
    """The mean absolute difference of generated and target image: E|G(x) - y|.

    Its minimum is the median of all plausible targets. On [-1, 1] data it is twice the metric ``l1``, which speaks of [0, 1]. In
    [0, 2].

    Blind to where errors sit and what they look like: noise and a displaced edge can cost the same, and where several outputs are
    plausible the safest is a grey blur.

    Source: Isola et al. 2017, equation 3.
    """
    return mean_of(F.l1_loss(*compared(batch), reduction="none"), batch)


@register("loss", "l2")
def l2(batch: Batch) -> Tensor:
    """The mean squared difference of generated and target image: E[(G(x) - y)^2].

    Its minimum is the mean of all plausible targets. In [0, 4].

    Blind to small errors, which square to almost nothing, and to structure, like ``l1``; it blurs more than ``l1``, for one large
    error costs more than many small ones.

    Source: Pathak et al. 2016, "Context encoders"; compared with L1 in Isola et al. 2017, section 3.1.
    """
    return mean_of(F.mse_loss(*compared(batch), reduction="none"), batch)


@register("loss", "charbonnier")
def charbonnier(batch: Batch, epsilon: PositiveFloat = 1e-3) -> Tensor:
    """A smooth L1: E[sqrt((G(x) - y)^2 + epsilon^2)].

    Like L2 for differences below epsilon, like L1 above; the gradient has no jump at zero. Equal images cost epsilon, not zero.

    Blind to structure, like ``l1``.

    Source: Charbonnier et al. 1994, "Two deterministic half-quadratic regularization algorithms"; Lai et al. 2017, "LapSRN".

    Args:
        epsilon: the difference, on [-1, 1] values, below which the loss turns quadratic.

    Raises:
        UserError: ``epsilon`` is not above 0.
    """
    generated, target = compared(batch)
    return mean_of(((generated - target).square() + _above_zero(epsilon) ** 2).sqrt(), batch)


@register("loss", "cosine")
def cosine(batch: Batch, epsilon: PositiveFloat = 1e-3) -> Tensor:
    """One minus the cosine similarity of the generated and the target image, each flattened to one vector.

    1 - <G(x), y> / (||G(x)|| ||y||), one similarity per image, then the mean over the batch. In [0, 2].

    Blind to a common scale of all values, so it does not hold contrast. Its gradient is as long as sin(angle) / ||G(x)||, that of
    ``l1`` as 1 / sqrt(n) for n values: at an equal weight it is sin(angle) / rms(G(x)) times as long, whatever the size of the
    image, which is more where contrast is low (measured in docs/results/cosine.md).

    Source: the cosine study, O. Bernstein, "Imagination to image-nation", alteration to the architecture.

    Args:
        epsilon: the floor of both norms: it bounds the gradient on a blank (all zero) image, which has no direction and costs 1.

    Raises:
        UserError: ``epsilon`` is not above 0.
    """
    generated, target = compared(batch)
    if batch.mask is not None:  # a direction in the space of the values that count
        generated, target = generated * batch.mask, target * batch.mask
    return (1 - F.cosine_similarity(generated.flatten(1), target.flatten(1), eps=_above_zero(epsilon))).mean()


@register("loss", "cosine_pixel")
def cosine_pixel(batch: Batch, epsilon: PositiveFloat = 1e-3) -> Tensor:
    """One minus the cosine similarity of the two channel vectors at each pixel: 1 minus the cosine of their spectral angle.

    1 - <G(x)_p, y_p> / (||G(x)_p|| ||y_p||), the mean over all pixels p and the batch. In [0, 2].

    Blind to the length of every pixel's vector in [-1, 1], where mid-grey is the origin: it holds hue, not contrast. With a
    single channel only the sign is left, and no gradient.

    Source: Kruse et al. 1993, "The spectral image processing system (SIPS)": the spectral angle mapper.

    Args:
        epsilon: the floor of both norms: it bounds the gradient where a pixel is mid-grey (all channels 0) and has no direction.
            The default is below the step between two 8-bit values (0.0078).

    Raises:
        UserError: ``epsilon`` is not above 0.
    """
    generated, target = compared(batch)
    return mean_of((1 - F.cosine_similarity(generated, target, dim=1, eps=_above_zero(epsilon)))[:, None], batch)


def _above_zero(epsilon: float) -> float:
    if not epsilon > 0:
        raise UserError(f"epsilon is {epsilon}: it must be above 0, or the gradient is undefined where it is needed")
    return epsilon
