"""Penalties on how steep the discriminator D is: at real images (R1), at generated ones (R2), or between the two (WGAN-GP).

Both are differentiable in D's weights; under ``torch.no_grad`` the value comes without a graph. D's value for an image is the mean of its
logits, because that mean is what enters the losses.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from ..errors import UserError
from ..networks.base import DiscriminatorOutput

Discriminate = Callable[[Tensor], DiscriminatorOutput]
"""D as a function of images ``[N, C, H, W]`` alone; a conditional one already holds the sources."""


def r1(discriminate: Discriminate, real: Tensor) -> Tensor:
    """E[||grad_y D(y)||^2] over real images y: how steep D is on the data. Times gamma / 2 it is the penalty R1, added to D's loss.

    It keeps D from a slope where real images lie, so that the game comes to rest there. No random numbers.

    For a D with one logit per image it is the paper's sum of logits over the batch, differentiated. Over a map of n logits, each of which
    sees its own patch, the mean is about n times less steep, squared, than one logit: gamma means more on a larger map.

    Blind to mixing: with batch norm D(y) also depends on the other images of the batch, and what is measured is then the gradient of the
    whole batch's logits. Give D instance norm, none, or spectral normalisation.

    Shapes: ``real`` ``[N, C, H, W]`` -> scalar, at least float32, from 0 up.
    Source: Mescheder, Geiger and Nowozin 2018, "Which training methods for GANs do actually converge?", equation 9 without gamma / 2.

    Args:
        discriminate: D as a function of images alone.
        real: real images in [-1, 1].
    """
    return _squared_slope(discriminate, real)


def r2(discriminate: Discriminate, fake: Tensor) -> Tensor:
    """E[||grad_z D(z)||^2] over generated images z: how steep D is where G is now. Times gamma / 2 it is the penalty R2.

    Together with :func:`r1` it makes a relativistic game converge where either alone does not: R1 says nothing of D's slope where images
    are generated, and it is that slope which drives G. What is said there of maps of logits and of batch norm holds here. No random
    numbers.

    Blind to the same mixing as R1, and to anything on the way between real and generated images.

    Shapes: ``fake`` ``[N, C, H, W]`` -> scalar, at least float32, from 0 up; no gradient reaches G.
    Source: Mescheder, Geiger and Nowozin 2018, equation 10 without gamma / 2; with R1, Huang et al. 2025, "The GAN is dead; long live the
    GAN!" (arXiv:2501.05441), section 2.2.

    Args:
        discriminate: D as a function of images alone.
        fake: generated images in [-1, 1], as D is shown them.
    """
    return _squared_slope(discriminate, fake)


def interpolated_penalty(discriminate: Discriminate, real: Tensor, fake: Tensor) -> Tensor:
    """E[(||grad D(z)||_2 - 1)^2], z = e y + (1 - e) G(x), e ~ U[0, 1] per image. Draws from torch's global generator.

    Shapes: ``real`` and ``fake`` ``[N, C, H, W]`` -> scalar, at least float32, from 0 up.
    Source: Gulrajani et al. 2017, "Improved training of Wasserstein GANs", equation 3 without lambda.

    Raises:
        ValueError: ``real`` and ``fake`` differ in shape.
    """
    if real.shape != fake.shape:
        raise ValueError(f"the penalty needs as many fakes as reals, of one size: got {tuple(real.shape)} and {tuple(fake.shape)}")
    e = torch.rand(len(real), 1, 1, 1, device=real.device, dtype=real.dtype)
    slope = _slope(discriminate, e * real.detach() + (1 - e) * fake.detach())
    norm: Tensor = torch.linalg.vector_norm(slope.flatten(1), dim=1, dtype=at_least_float32(slope))
    return (norm - 1).square().mean()


def _squared_slope(discriminate: Discriminate, images: Tensor) -> Tensor:
    """The squared norm of D's gradient at each image, averaged."""
    slope = _slope(discriminate, images)
    return slope.flatten(1).square().sum(1, dtype=at_least_float32(slope)).mean()


def _slope(discriminate: Discriminate, images: Tensor) -> Tensor:
    """The gradient of D at each image; it has a graph where gradients are enabled."""
    training = torch.is_grad_enabled()
    with torch.enable_grad():
        y = images.detach().requires_grad_()
        total = discriminate(y).per_image().sum()  # images do not mix in D, so the sum's gradient is each image's own
        (slope,) = torch.autograd.grad(total, y, create_graph=training)
    return slope


def at_least_float32(values: Tensor) -> torch.dtype:
    """The type to average in: half precision would lose the sum."""
    return torch.promote_types(values.dtype, torch.float32)


def check_penalty_weight(weight: float) -> float:
    """``weight`` itself.

    Raises:
        UserError: it is negative or not finite.
    """
    if not (math.isfinite(weight) and weight >= 0):
        raise UserError(f"penalty_weight is {weight}: it must be a number from 0 up (the paper's is 10)")
    return weight
