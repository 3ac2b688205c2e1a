"""The penalties R1 and R2 against their equations, on discriminators whose gradient is known."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from transfigure.losses.gradient_penalty import r1, r2
from transfigure.networks.base import DiscriminatorOutput
from transfigure.networks.build import build_discriminator


def out(logits: Tensor) -> DiscriminatorOutput:
    return DiscriminatorOutput((logits,))


class Quadratic(nn.Module):
    """D(y) = sum_i w_i y_i^2 / 2, whose gradient is w y."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight)

    def forward(self, images: Tensor) -> DiscriminatorOutput:
        return out((self.weight * images.square() / 2).sum((1, 2, 3)))


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def test_it_is_the_squared_slope_averaged_over_images_and_teaches_the_weights() -> None:
    discriminator, real = Quadratic(torch.randn(2, 3, 5)), torch.randn(4, 2, 3, 5)
    value = r1(discriminator, real)
    w = discriminator.weight.detach()
    torch.testing.assert_close(value, (w * real).square().sum((1, 2, 3)).mean())
    value.backward()
    torch.testing.assert_close(discriminator.weight.grad, (2 * w * real.square()).mean(0))
    assert real.grad is None and not real.requires_grad


def test_a_constant_offset_and_the_number_of_equal_logits_do_not_matter() -> None:
    discriminator, real = Quadratic(torch.randn(2, 3, 5)), torch.randn(4, 2, 3, 5)
    torch.testing.assert_close(r1(lambda y: discriminator(y).map_logits(lambda logits: logits + 100), real), r1(discriminator, real))
    torch.testing.assert_close(
        r1(lambda y: discriminator(y).map_logits(lambda logits: logits.view(-1, 1, 1, 1).expand(-1, 1, 6, 5)), real),
        r1(discriminator, real),
    )
    assert r1(lambda y: out(0 * y.sum((1, 2, 3)) + 3), real) == 0


def test_logits_that_see_patches_of_their_own_weigh_less_as_the_docstring_says() -> None:
    real = torch.ones(1, 1, 4, 4)
    whole, quarters = r1(out, real), r1(lambda y: out(nn.functional.avg_pool2d(y, 2) * 4), real)
    assert whole.item() == pytest.approx(16 * (1 / 16) ** 2)  # each of 16 logits has slope 1 at its own pixel
    assert quarters.item() == pytest.approx(4 * 4 * (1 / 4) ** 2)  # each of 4 has the squared slope 4, of which a quarter is left


@pytest.mark.parametrize("name", ["patch", "image"])
@pytest.mark.parametrize("spectral", [False, True])
def test_its_gradient_is_that_of_finite_differences(name: str, spectral: bool) -> None:
    discriminator = build_discriminator(name, 1, {"width": 2, "norm": "none", "spectral": spectral}).double().eval()
    with torch.no_grad():
        for parameter in discriminator.parameters():
            parameter.mul_(5)
    real = torch.randn(2, 1, 24, 24, dtype=torch.float64)
    weights = [parameter for key, parameter in discriminator.named_parameters() if "bias" not in key]
    direction = [torch.randn_like(weight) for weight in weights]
    gradients = torch.autograd.grad(r1(discriminator, real), weights)
    slope = sum((gradient * step).sum() for gradient, step in zip(gradients, direction, strict=True))
    values = []
    for length in (1e-8, -2e-8):  # short: the slope of a LeakyReLU network jumps where a unit changes side
        with torch.no_grad():
            for weight, step in zip(weights, direction, strict=True):
                weight.add_(length * step)
        values.append(r1(discriminator, real))
    assert isinstance(slope, Tensor) and slope != 0
    torch.testing.assert_close((values[0] - values[1]) / 2e-8, slope, rtol=1e-4, atol=0)


def test_without_gradients_the_value_comes_alone() -> None:
    discriminator, real = Quadratic(torch.randn(1, 3, 3)), torch.randn(2, 1, 3, 3)
    with torch.no_grad():
        value = r1(discriminator, real)
    assert not value.requires_grad
    assert value == r1(discriminator, real)


def test_no_random_numbers_and_float32_at_least() -> None:
    discriminator = build_discriminator("patch", 1, {"width": 2})
    real, before = torch.randn(2, 1, 32, 32), torch.get_rng_state()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert r1(discriminator, real).dtype == torch.float32
    assert torch.equal(torch.get_rng_state(), before)


def test_batch_norm_mixes_images_as_the_docstring_warns() -> None:
    real = torch.randn(3, 1, 32, 32)
    for norm, mixes in (("batch", True), ("instance", False), ("none", False)):
        torch.manual_seed(0)
        discriminator = build_discriminator("patch", 1, {"width": 4, "norm": norm})
        alone = torch.stack([r1(discriminator, image[None]) for image in real]).mean()
        assert torch.allclose(r1(discriminator, real), alone, rtol=1e-3) != mixes


def test_r2_is_the_same_at_generated_images_and_teaches_d_alone() -> None:
    discriminator, source = Quadratic(torch.randn(2, 3, 5)), torch.randn(4, 2, 3, 5, requires_grad=True)
    fake = 0.5 * source  # a generator with a graph
    value = r2(discriminator, fake)
    w = discriminator.weight.detach()
    torch.testing.assert_close(value, (w * fake.detach()).square().sum((1, 2, 3)).mean())
    value.backward()
    torch.testing.assert_close(discriminator.weight.grad, (2 * w * fake.detach().square()).mean(0))
    assert source.grad is None
