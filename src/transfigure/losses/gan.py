"""The adversarial forms: what the discriminator D minimises, and what the generator G minimises against it.

A form takes D's outputs on real and on generated images, ``d_loss(real, fake)`` and ``g_loss(real, fake)``; one that compares the two needs
both. Every loss is a mean over all logits of a map, whatever its shape (one per image, or one per patch), then over D's scales. pix2pix
halves D's loss (Isola et al. 2017, section 3.3): the training step does that, not these equations.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from ..bounds import NonNegativeFloat, PositiveFloat
from ..errors import UserError
from ..networks.base import DiscriminatorOutput
from ..registry import register
from .gradient_penalty import Discriminate, at_least_float32, check_penalty_weight, interpolated_penalty


class AdversarialLoss(ABC):
    """Both sides of one adversarial form. A subclass writes down ``d_loss`` and ``g_loss``; each returns a scalar.

    Attributes:
        relativistic: G's loss compares generated with real images, so D's outputs on real ones are computed for it too.
    """

    relativistic: bool = False

    @abstractmethod
    def d_loss(self, real: DiscriminatorOutput, fake: DiscriminatorOutput) -> Tensor:
        """D's loss.

        Args:
            real: D's output (logits and features) for real images.
            fake: D's output for generated images.
        """

    @abstractmethod
    def g_loss(self, real: DiscriminatorOutput, fake: DiscriminatorOutput) -> Tensor:
        """G's loss: small where D takes generated images for real ones.

        Args:
            real: D's output for real images, without gradient, if the form is ``relativistic``; else it holds no logits.
            fake: D's output for generated images.
        """

    def d_penalty(self, discriminate: Discriminate, real: Tensor, fake: Tensor) -> Tensor | None:
        """What D's loss holds beside, or None if this form asks for nothing more.

        Args:
            discriminate: D as a function of images alone (if it is conditional, with the sources given).
            real: real images ``[N, C, H, W]`` in [-1, 1].
            fake: generated images of the same shape; no gradient reaches G through them.
        """
        return None

    def mean_output(self, output: DiscriminatorOutput) -> Tensor:
        """D's mean output as a person reads it, without gradient: a probability for ``vanilla``, else the mean logit."""
        return over_scales(mean, output.detach())

    def is_saturated(self, d_real: float, d_fake: float) -> bool:
        """Whether D's mean outputs on real and generated images say that it separates them so well that little gradient is left.

        Never, unless a form says when: outputs without a scale of their own do not show it.
        """
        return False

    def is_certain(self, d_real: float, d_fake: float) -> bool:
        """The same by a margin that chance does not reach, so that it need not be watched for long; as :meth:`is_saturated`."""
        return False


class SeparateLosses(AdversarialLoss):
    """A form whose losses look at real and at generated images one by one: D minimises ``d_real_loss(D(y)) + d_fake_loss(D(G(x)))``."""

    @abstractmethod
    def d_real_loss(self, logits: Tensor) -> Tensor:
        """D's loss on a map of logits of real images."""

    @abstractmethod
    def d_fake_loss(self, logits: Tensor) -> Tensor:
        """D's loss on a map of logits of generated images."""

    @abstractmethod
    def g_fake_loss(self, logits: Tensor) -> Tensor:
        """G's loss on a map of logits of generated images."""

    def d_loss(self, real: DiscriminatorOutput, fake: DiscriminatorOutput) -> Tensor:
        """The sum of both."""
        return over_scales(self.d_real_loss, real) + over_scales(self.d_fake_loss, fake)

    def g_loss(self, real: DiscriminatorOutput, fake: DiscriminatorOutput) -> Tensor:
        """Of the generated images alone."""
        return over_scales(self.g_fake_loss, fake)


def over_scales(loss: Callable[..., Tensor], *outputs: DiscriminatorOutput) -> Tensor:
    """The mean over D's scales of a loss on the maps of logits of each scale."""
    losses = [loss(*maps) for maps in zip(*(output.logits for output in outputs), strict=True)]
    return sum(losses[1:], losses[0]) / len(losses)


def mean(values: Tensor) -> Tensor:
    """The mean over all logits of a map, in float32 at least."""
    return values.mean(dtype=at_least_float32(values))


@register("adversarial", "vanilla")
class Vanilla(SeparateLosses):
    """The original game on probabilities, D = sigmoid(logit), with the non-saturating loss for G.

    ``d_loss`` = -E[log D(y)] - E[log(1 - D(G(x)))], ``g_loss`` = -E[log D(G(x))]. G's loss replaces E[log(1 - D(G(x)))], whose gradient
    vanishes just when D rejects everything.

    Blind to how far a sample is from the data once D accepts it: the gradient is gone on the right side of the border.

    Source: Goodfellow et al. 2014, "Generative adversarial nets", equation 1 and the end of section 3; label smoothing from
    Salimans et al. 2016, section 3.4.

    Args:
        real_label: the probability D is taught to give real images; 0.9 smooths the label and keeps D from certainty.

    Raises:
        UserError: ``real_label`` outside (0, 1].
    """

    def __init__(self, real_label: PositiveFloat = 1.0) -> None:
        self.real_label = _label(real_label)

    def d_real_loss(self, logits: Tensor) -> Tensor:
        """-E[r log D + (1 - r) log(1 - D)] with r = ``real_label``; for r = 1, -E[log D]."""
        cross_entropy = self.real_label * F.logsigmoid(logits) + (1 - self.real_label) * F.logsigmoid(-logits)
        return -mean(cross_entropy)

    def d_fake_loss(self, logits: Tensor) -> Tensor:
        """-E[log(1 - D)]."""
        return -mean(F.logsigmoid(-logits))

    def g_fake_loss(self, logits: Tensor) -> Tensor:
        """-E[log D]."""
        return -mean(F.logsigmoid(logits))

    def mean_output(self, output: DiscriminatorOutput) -> Tensor:
        """E[D], in [0, 1]; 0.5 means that D cannot tell."""
        return super().mean_output(output.detach().map_logits(torch.sigmoid))

    def is_saturated(self, d_real: float, d_fake: float) -> bool:
        """Both means within 5 % of their labels."""
        return _near_labels(d_real, d_fake, self.real_label, 0.05)

    def is_certain(self, d_real: float, d_fake: float) -> bool:
        """Both means within 1 % of their labels."""
        return _near_labels(d_real, d_fake, self.real_label, 0.01)


@register("adversarial", "lsgan")
class LeastSquares(SeparateLosses):
    """Least squares: D regresses r for real and 0 for fake, G brings its outputs to r.

    ``d_loss`` = E[(D(y) - r)^2] + E[D(G(x))^2], ``g_loss`` = E[(D(G(x)) - r)^2]. The paper's factors 1/2 are left out, as in CycleGAN.
    Samples that D accepts but that lie far from its border still get a gradient.

    Blind to the sign of its error: G is also pulled back from outputs that D finds *more* real than r.

    Source: Mao et al. 2017, "Least squares generative adversarial networks", equation 2 with a = 0 and b = c = r.

    Args:
        real_label: r, the value that stands for "real"; 0.9 smooths the label.

    Raises:
        UserError: ``real_label`` outside (0, 1].
    """

    def __init__(self, real_label: PositiveFloat = 1.0) -> None:
        self.real_label = _label(real_label)

    def d_real_loss(self, logits: Tensor) -> Tensor:
        """E[(D - r)^2]."""
        return mean((logits - self.real_label).square())

    def d_fake_loss(self, logits: Tensor) -> Tensor:
        """E[D^2]."""
        return mean(logits.square())

    def g_fake_loss(self, logits: Tensor) -> Tensor:
        """E[(D - r)^2]."""
        return mean((logits - self.real_label).square())

    def is_saturated(self, d_real: float, d_fake: float) -> bool:
        """Both means within 5 % of their labels."""
        return _near_labels(d_real, d_fake, self.real_label, 0.05)

    def is_certain(self, d_real: float, d_fake: float) -> bool:
        """Both means within 1 % of their labels."""
        return _near_labels(d_real, d_fake, self.real_label, 0.01)


@register("adversarial", "hinge")
class Hinge(SeparateLosses):
    """The hinge: D is content once real is above +1 and fake below -1; G raises D's output without bound.

    ``d_loss`` = E[max(0, 1 - D(y))] + E[max(0, 1 + D(G(x)))], ``g_loss`` = -E[D(G(x))].

    Blind inside D's margin: logits beyond +-1 on the right side no longer teach D anything. G's loss has no floor, so its value
    says little; meant for a D that is kept smooth (spectral normalisation).

    Source: Lim and Ye 2017, "Geometric GAN"; Miyato et al. 2018, "Spectral normalization", equations 16 and 17.
    """

    def d_real_loss(self, logits: Tensor) -> Tensor:
        """E[max(0, 1 - D)]."""
        return mean(F.relu(1 - logits))

    def d_fake_loss(self, logits: Tensor) -> Tensor:
        """E[max(0, 1 + D)]."""
        return mean(F.relu(1 + logits))

    def g_fake_loss(self, logits: Tensor) -> Tensor:
        """-E[D]."""
        return -mean(logits)

    def is_saturated(self, d_real: float, d_fake: float) -> bool:
        """Both means beyond their margins: no gradient is left for D."""
        return d_real >= 1 and d_fake <= -1

    def is_certain(self, d_real: float, d_fake: float) -> bool:
        """Both means beyond twice their margins."""
        return d_real >= 2 and d_fake <= -2


@register("adversarial", "wgan_gp", batch_norm=False)
class WassersteinPenalty(SeparateLosses):
    """Wasserstein distance with gradient penalty: D is a critic whose slope is kept near 1 between real and fake.

    ``d_loss`` = -E[D(y)] + E[D(G(x))], ``g_loss`` = -E[D(G(x))], and ``d_penalty`` = lambda E[(||grad D(z)|| - 1)^2] with z drawn evenly
    on the line from a real image to a fake one, one z per pair. Without the penalty the critic's loss has no floor.

    Of a map of logits the penalty takes the mean per image: that mean is the critic whose value enters the losses.

    Blind in one respect: the slope is held only along those lines. A critic with batch norm sees the batch and not the image,
    which voids the penalty (section 4): give the discriminator instance norm or none. The paper takes 5 critic steps for each
    of G, and Adam with betas (0, 0.9).

    Source: Gulrajani et al. 2017, "Improved training of Wasserstein GANs", equation 3 and algorithm 1.

    Args:
        penalty_weight: lambda, the weight of the gradient penalty; 0 leaves it out.

    Raises:
        UserError: ``penalty_weight`` is negative or not finite.
    """

    def __init__(self, penalty_weight: NonNegativeFloat = 10.0) -> None:
        self.penalty_weight = check_penalty_weight(penalty_weight)

    def d_real_loss(self, logits: Tensor) -> Tensor:
        """-E[D]."""
        return -mean(logits)

    def d_fake_loss(self, logits: Tensor) -> Tensor:
        """E[D]."""
        return mean(logits)

    def g_fake_loss(self, logits: Tensor) -> Tensor:
        """-E[D]."""
        return -mean(logits)

    def d_penalty(self, discriminate: Discriminate, real: Tensor, fake: Tensor) -> Tensor | None:
        """Lambda times :func:`~transfigure.losses.gradient_penalty.interpolated_penalty`."""
        if self.penalty_weight == 0:
            return None
        return self.penalty_weight * interpolated_penalty(discriminate, real, fake)


@register("adversarial", "relativistic")
class RelativisticPairing(AdversarialLoss):
    """Relativistic pairing: D says how much more real a real image is than the generated one beside it, and G turns that round.

    ``d_loss`` = E[softplus(D(G(x)) - D(y))], ``g_loss`` = E[softplus(D(y) - D(G(x)))], which is -log sigmoid of the difference that each
    side wants large. Logits are paired place by place, image by image and scale by scale: with pairs the two stand for the same patch of
    the same scene. D cannot push all generated images to one side of a border of its own, so G cannot drop modes unpunished.

    Converges with a penalty on D's slope at real and at generated images, and not without: R3GAN is this loss with ``r1`` and ``r2``.

    Blind to any offset: D may add one number to all its outputs, so the mean of either side says nothing and only their difference does.

    Source: Jolicoeur-Martineau 2018, "The relativistic discriminator" (arXiv:1807.00734), section 4.1 (RpGAN), with the logistic f(t) =
    -log sigmoid(-t) of Huang et al. 2025, "The GAN is dead; long live the GAN!" (arXiv:2501.05441), section 2, equation 2. There real and
    generated images are paired at random; here each target stands beside the output for its own source, where data is paired.
    """

    relativistic = True

    def d_loss(self, real: DiscriminatorOutput, fake: DiscriminatorOutput) -> Tensor:
        """E[softplus(D(G(x)) - D(y))]; log 2 where D cannot tell."""
        return over_scales(_softplus_of_difference, fake, real)

    def g_loss(self, real: DiscriminatorOutput, fake: DiscriminatorOutput) -> Tensor:
        """E[softplus(D(y) - D(G(x)))]; log 2 where D cannot tell."""
        return over_scales(_softplus_of_difference, real, fake)

    def is_saturated(self, d_real: float, d_fake: float) -> bool:
        """Their difference beyond 2 log 19, which is that of the logits of probabilities 0.95 and 0.05."""
        return d_real - d_fake > 2 * math.log(19)

    def is_certain(self, d_real: float, d_fake: float) -> bool:
        """Their difference beyond 2 log 99, which is that of the logits of probabilities 0.99 and 0.01."""
        return d_real - d_fake > 2 * math.log(99)


def _softplus_of_difference(low: Tensor, high: Tensor) -> Tensor:
    """-E[log sigmoid(high - low)], logit by logit.

    Raises:
        ValueError: the maps differ in shape, so that their logits are no pairs.
    """
    if low.shape != high.shape:
        raise ValueError(f"a relativistic loss pairs logits, which needs maps of one shape: got {tuple(low.shape)} and {tuple(high.shape)}")
    return mean(F.softplus(low - high))


def _near_labels(d_real: float, d_fake: float, real_label: float, margin: float) -> bool:
    return d_real > (1 - margin) * real_label and d_fake < margin * real_label


def _label(value: float) -> float:
    if not 0 < value <= 1:
        raise UserError(f"real_label is {value}: it must be above 0 and at most 1 (1 is the plain label, 0.9 the usual smoothed one)")
    return value
