"""The adversarial game: what the discriminator D minimises, and what the generator G does to fool it.

Every loss here is a mean over all logits, whatever their shape: one verdict per image, or a map with one per patch. D minimises
``real(D(y)) + fake(D(G(x)))``, plus its ``penalty`` if there is one; G minimises ``fool(D(G(x)))``. pix2pix halves D's sum
(Isola et al. 2017, section 3.3); whoever takes the step decides that, not these equations.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import UserError
from ..registry import register

Judge = Callable[[Tensor], Tensor]
"""Images ``[N, C, H, W]`` to logits; a conditional judge already holds the source images."""


class Adversarial(ABC):
    """The two sides of one adversarial objective. ``logits`` are D's raw outputs, of any shape; each loss is a scalar."""

    @abstractmethod
    def real(self, logits: Tensor) -> Tensor:
        """D's loss on real images."""

    @abstractmethod
    def fake(self, logits: Tensor) -> Tensor:
        """D's loss on generated images."""

    @abstractmethod
    def fool(self, logits: Tensor) -> Tensor:
        """G's loss: small where D takes the generated images for real ones."""

    def penalty(self, judge: Judge, real: Tensor, fake: Tensor) -> Tensor | None:
        """What D pays beside its two losses, or None if this objective asks for nothing more.

        Args:
            judge: D as a function of images alone.
            real: real images ``[N, C, H, W]`` in [-1, 1].
            fake: generated images of the same shape; no gradient reaches G through them.
        """
        return None

    def score(self, logits: Tensor) -> Tensor:
        """D's mean verdict as a person reads it, without gradient: a probability for ``vanilla``, else the mean output."""
        return _mean(logits.detach())

    def won(self, real: float, fake: float) -> bool:
        """Whether D's mean verdicts on real and generated images say that it tells them apart almost perfectly."""
        return real > 0.95 and fake < 0.05


@register("adversarial", "vanilla")
class Vanilla(Adversarial):
    """The original game on probabilities, D = sigmoid(logit), with the non-saturating loss for G.

    ``real`` = -E[log D(y)], ``fake`` = -E[log(1 - D(G(x)))], ``fool`` = -E[log D(G(x))]. G's loss replaces E[log(1 - D(G(x)))],
    whose gradient vanishes just when D rejects everything.

    Blind to how far a sample is from the data once D accepts it: the gradient is gone on the right side of the border.

    Source: Goodfellow et al. 2014, "Generative adversarial nets", equation 1 and the end of section 3; label smoothing from
    Salimans et al. 2016, section 3.4.

    Args:
        real_label: the probability D is taught to give real images; 0.9 smooths the label and keeps D from certainty.

    Raises:
        UserError: ``real_label`` outside (0, 1].
    """

    def __init__(self, real_label: float = 1.0) -> None:
        self.real_label = _label(real_label)

    def real(self, logits: Tensor) -> Tensor:
        """-E[r log D + (1 - r) log(1 - D)] with r = ``real_label``; for r = 1, -E[log D]."""
        cross_entropy = self.real_label * F.logsigmoid(logits) + (1 - self.real_label) * F.logsigmoid(-logits)
        return -_mean(cross_entropy)

    def fake(self, logits: Tensor) -> Tensor:
        """-E[log(1 - D)]."""
        return -_mean(F.logsigmoid(-logits))

    def fool(self, logits: Tensor) -> Tensor:
        """-E[log D]."""
        return -_mean(F.logsigmoid(logits))

    def score(self, logits: Tensor) -> Tensor:
        """E[D], in [0, 1]; 0.5 means that D cannot tell."""
        return _mean(torch.sigmoid(logits.detach()))

    def won(self, real: float, fake: float) -> bool:
        """Both means within 5 % of their labels."""
        return real > 0.95 * self.real_label and fake < 0.05 * self.real_label


@register("adversarial", "lsgan")
class LeastSquares(Adversarial):
    """Least squares: D regresses r for real and 0 for fake, G pulls its fakes to r.

    ``real`` = E[(D(y) - r)^2], ``fake`` = E[D(G(x))^2], ``fool`` = E[(D(G(x)) - r)^2]. The paper's factors 1/2 are left out, as
    in CycleGAN. Samples that D accepts but that lie far from its border still get a gradient.

    Blind to the sign of its error: G is also pulled back from outputs that D finds *more* real than r.

    Source: Mao et al. 2017, "Least squares generative adversarial networks", equation 2 with a = 0 and b = c = r.

    Args:
        real_label: r, the value that stands for "real"; 0.9 smooths the label.

    Raises:
        UserError: ``real_label`` outside (0, 1].
    """

    def __init__(self, real_label: float = 1.0) -> None:
        self.real_label = _label(real_label)

    def real(self, logits: Tensor) -> Tensor:
        """E[(D - r)^2]."""
        return _mean((logits - self.real_label).square())

    def fake(self, logits: Tensor) -> Tensor:
        """E[D^2]."""
        return _mean(logits.square())

    def fool(self, logits: Tensor) -> Tensor:
        """E[(D - r)^2]."""
        return _mean((logits - self.real_label).square())

    def won(self, real: float, fake: float) -> bool:
        """Both means within 5 % of their labels."""
        return real > 0.95 * self.real_label and fake < 0.05 * self.real_label


@register("adversarial", "hinge")
class Hinge(Adversarial):
    """The hinge: D is content once real is above +1 and fake below -1; G raises D's output without bound.

    ``real`` = E[max(0, 1 - D(y))], ``fake`` = E[max(0, 1 + D(G(x)))], ``fool`` = -E[D(G(x))].

    Blind inside D's margin: logits beyond +-1 on the right side no longer teach D anything. G's loss has no floor, so its value
    says little; meant for a D that is kept smooth (spectral normalisation).

    Source: Lim and Ye 2017, "Geometric GAN"; Miyato et al. 2018, "Spectral normalization", equations 16 and 17.
    """

    def real(self, logits: Tensor) -> Tensor:
        """E[max(0, 1 - D)]."""
        return _mean(F.relu(1 - logits))

    def fake(self, logits: Tensor) -> Tensor:
        """E[max(0, 1 + D)]."""
        return _mean(F.relu(1 + logits))

    def fool(self, logits: Tensor) -> Tensor:
        """-E[D]."""
        return -_mean(logits)

    def won(self, real: float, fake: float) -> bool:
        """Both means beyond their margins: no gradient is left for D."""
        return real >= 1 and fake <= -1


@register("adversarial", "wgan_gp", batch_norm=False)
class WassersteinPenalty(Adversarial):
    """Wasserstein distance with gradient penalty: D is a critic whose slope is kept near 1 between real and fake.

    ``real`` = -E[D(y)], ``fake`` = E[D(G(x))], ``fool`` = -E[D(G(x))], and ``penalty`` = lambda E[(||grad D(z)|| - 1)^2] with z
    drawn evenly on the line from a real image to a fake one, one z per pair. Without the penalty the critic's loss has no floor.

    Of a map of logits the penalty takes the mean per image: that mean is the critic whose value enters the losses.

    Blind in one respect: the slope is held only along those lines. A critic with batch norm judges the batch and not the image,
    which voids the penalty (section 4): give the discriminator instance norm or none. The paper takes 5 critic steps for each
    of G, and Adam with betas (0, 0.9).

    Source: Gulrajani et al. 2017, "Improved training of Wasserstein GANs", equation 3 and algorithm 1.

    Args:
        penalty_weight: lambda, the weight of the gradient penalty; 0 leaves it out.

    Raises:
        UserError: ``penalty_weight`` is negative or not finite.
    """

    def __init__(self, penalty_weight: float = 10.0) -> None:
        if not (math.isfinite(penalty_weight) and penalty_weight >= 0):
            raise UserError(f"penalty_weight is {penalty_weight}: it must be a number from 0 up (the paper's is 10)")
        self.penalty_weight = penalty_weight

    def real(self, logits: Tensor) -> Tensor:
        """-E[D]."""
        return -_mean(logits)

    def fake(self, logits: Tensor) -> Tensor:
        """E[D]."""
        return _mean(logits)

    def fool(self, logits: Tensor) -> Tensor:
        """-E[D]."""
        return -_mean(logits)

    def won(self, real: float, fake: float) -> bool:
        """Never: a critic has no scale, and its gradient does not vanish when it is right."""
        return False

    def penalty(self, judge: Judge, real: Tensor, fake: Tensor) -> Tensor | None:
        """Lambda E[(||grad D(z)||_2 - 1)^2], z = e y + (1 - e) G(x), e ~ U[0, 1] per image; differentiable in D's weights.

        Draws from torch's global generator. Under ``torch.no_grad`` the value comes without a graph.

        Raises:
            ValueError: ``real`` and ``fake`` differ in shape.
        """
        if self.penalty_weight == 0:
            return None
        if real.shape != fake.shape:
            raise ValueError(f"the penalty needs as many fakes as reals, of one size: got {tuple(real.shape)} and {tuple(fake.shape)}")
        e = torch.rand(len(real), 1, 1, 1, device=real.device, dtype=real.dtype)
        slope = _slope(judge, e * real.detach() + (1 - e) * fake.detach())
        norm: Tensor = torch.linalg.vector_norm(slope.flatten(1), dim=1, dtype=_at_least_float32(slope))
        return self.penalty_weight * (norm - 1).square().mean()


def r1(judge: Judge, real: Tensor) -> Tensor:
    """E[||grad_y D(y)||^2] over real images y: how steep D is on the data. Times gamma / 2 it is the penalty R1, added to D's loss.

    It keeps D from a slope where real images lie, so that the game comes to rest there. Differentiable in D's weights; under
    ``torch.no_grad`` the value comes without a graph. No random numbers.

    D(y) is the mean over a map of logits, one number per image, because that mean is what enters the losses (and what ``wgan_gp`` holds).
    For a D with one verdict per image it is the paper's sum of logits over the batch, differentiated. Over a map of n logits, each of which
    sees its own patch, the mean is about n times less steep, squared, than one logit: gamma means more on a larger map.

    Blind to mixing: with batch norm D(y) also depends on the other images of the batch, and what is measured is then the gradient of the
    whole batch's verdicts. Give D instance norm, none, or spectral normalisation.

    Shapes: ``real`` ``[N, C, H, W]`` -> scalar, at least float32, from 0 up.
    Source: Mescheder, Geiger and Nowozin 2018, "Which training methods for GANs do actually converge?", equation 9 without gamma / 2.

    Args:
        judge: D as a function of images alone.
        real: real images in [-1, 1].
    """
    slope = _slope(judge, real)
    return slope.flatten(1).square().sum(1, dtype=_at_least_float32(slope)).mean()


def _slope(judge: Judge, images: Tensor) -> Tensor:
    """The gradient of D at each image, D being the mean of an image's logits; it has a graph where gradients are enabled."""
    training = torch.is_grad_enabled()
    with torch.enable_grad():
        y = images.detach().requires_grad_()
        verdict = judge(y).reshape(len(y), -1).mean(1).sum()  # images do not mix in D, so the sum's gradient is each image's own
        (slope,) = torch.autograd.grad(verdict, y, create_graph=training)
    return slope


def _mean(values: Tensor) -> Tensor:
    return values.mean(dtype=_at_least_float32(values))


def _at_least_float32(values: Tensor) -> torch.dtype:
    return torch.promote_types(values.dtype, torch.float32)


def _label(value: float) -> float:
    if not 0 < value <= 1:
        raise UserError(f"real_label is {value}: it must be above 0 and at most 1 (1 is the plain label, 0.9 the usual smoothed one)")
    return value
