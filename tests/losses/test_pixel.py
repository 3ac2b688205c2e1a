"""Each reconstruction term against its closed form, and the properties its docstring claims."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from transfigure.data.batch import Batch
from transfigure.errors import UserError
from transfigure.losses.pixel import charbonnier, compared, cosine, cosine_pixel, l1, l2

TERMS = [l1, l2, charbonnier, cosine, cosine_pixel]


def pair(generated: Tensor, target: Tensor) -> Batch:
    return Batch(target, target, tuple(str(index) for index in range(len(target)))).with_fake(generated)


@st.composite
def images(draw: st.DrawFn) -> tuple[Tensor, Tensor]:
    shape = [draw(st.integers(1, 3)), draw(st.integers(1, 5)), draw(st.integers(1, 6)), draw(st.integers(1, 6))]
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**32)))
    x, y = (torch.rand(shape, generator=generator, dtype=torch.float64) * 2 - 1 for _ in range(2))
    return x, y


def test_closed_forms() -> None:
    x, y = torch.tensor([0.5, -0.5, 1.0, 0.0]).view(1, 1, 2, 2), torch.tensor([0.0, 0.0, -1.0, 0.0]).view(1, 1, 2, 2)
    assert l1(pair(x, y)).item() == pytest.approx((0.5 + 0.5 + 2 + 0) / 4)
    assert l2(pair(x, y)).item() == pytest.approx((0.25 + 0.25 + 4 + 0) / 4)
    assert charbonnier(pair(x, y), 0.1).item() == pytest.approx((2 * math.hypot(0.5, 0.1) + math.hypot(2, 0.1) + 0.1) / 4)
    assert cosine(pair(x, y)).item() == pytest.approx(1 + 1 / math.sqrt(1.5))


def test_cosine_is_one_similarity_per_image_over_all_its_values() -> None:
    x, y = torch.randn(2, 3, 4, 4), torch.randn(2, 3, 4, 4)
    by_hand = [1 - (a * b).sum() / (a.norm() * b.norm()) for a, b in zip(x, y, strict=True)]
    assert cosine(pair(x, y)).item() == pytest.approx(sum(by_hand).item() / 2, abs=1e-6)


def test_cosine_pixel_is_the_angle_of_channel_vectors() -> None:
    x = torch.tensor([1.0, 0.0, 0.0]).view(1, 3, 1, 1).repeat(1, 1, 1, 2)
    y = torch.stack([torch.tensor([0.3, 0.0, 0.0]), torch.tensor([0.5, 0.5, 0.0])], dim=-1).view(1, 3, 1, 2)
    assert cosine_pixel(pair(x, y)).item() == pytest.approx((0 + 1 - math.cos(math.pi / 4)) / 2, abs=1e-6)


@given(images())
def test_terms_are_not_negative_symmetric_and_bounded(xy: tuple[Tensor, Tensor]) -> None:
    x, y = xy
    for term, most in zip(TERMS, (2, 4, 2.001, 2, 2), strict=True):
        there, back = term(pair(x, y)).item(), term(pair(y, x)).item()
        assert -1e-12 <= there <= most + 1e-12
        assert there == pytest.approx(back, abs=1e-12)


@given(images())
def test_equal_images_cost_nothing(xy: tuple[Tensor, Tensor]) -> None:
    x, _ = xy
    x = x + torch.where(x < 0, -0.01, 0.01)  # no vector shorter than cosine's floor
    for term in (l1, l2, cosine, cosine_pixel):
        assert term(pair(x, x)).item() == pytest.approx(0, abs=1e-12)
    assert charbonnier(pair(x, x), 0.01).item() == pytest.approx(0.01)


@given(images(), st.floats(0.05, 20))
def test_cosine_is_blind_to_contrast_and_l1_is_not(xy: tuple[Tensor, Tensor], scale: float) -> None:
    x, y = xy[0] + 2, xy[1]
    for term in (cosine, cosine_pixel):
        assert term(pair(x * scale, y)).item() == pytest.approx(term(pair(x, y)).item(), abs=1e-9)
    assert abs(scale - 1) < 0.01 or l1(pair(x * scale, x)).item() > 0.005


@given(images())
def test_a_batch_costs_the_mean_of_its_images(xy: tuple[Tensor, Tensor]) -> None:
    x, y = xy
    for term in TERMS:
        singles = [term(pair(x[i : i + 1], y[i : i + 1])).item() for i in range(len(x))]
        assert term(pair(x, y)).item() == pytest.approx(sum(singles) / len(singles), abs=1e-12)


@given(images())
def test_charbonnier_lies_within_epsilon_above_l1(xy: tuple[Tensor, Tensor]) -> None:
    batch = pair(*xy)
    assert l1(batch).item() <= charbonnier(batch, 0.02).item() <= l1(batch).item() + 0.02


@pytest.mark.parametrize("term", [cosine, cosine_pixel])
def test_a_vector_without_direction_costs_one_with_a_bounded_gradient(term) -> None:  # type: ignore[no-untyped-def]
    blank = torch.zeros(1, 3, 4, 4, requires_grad=True)
    loss = term(pair(blank, torch.rand(1, 3, 4, 4)))
    loss.backward()
    assert loss.item() == 1
    assert blank.grad is not None and 0 < blank.grad.norm() <= 1001


def test_descending_on_each_term_reaches_the_target_or_its_direction() -> None:
    torch.manual_seed(0)
    target = torch.rand(1, 3, 4, 4) - 0.3
    for term, rate in zip(TERMS, (0.2, 2.0, 0.2, 2.0, 1.0), strict=True):
        x = torch.randn(1, 3, 4, 4) * 0.5
        start = term(pair(x, target)).item()
        for _ in range(200):
            x.requires_grad_()
            (gradient,) = torch.autograd.grad(term(pair(x, target)), x)
            x = (x - rate * gradient).detach()
        assert term(pair(x, target)).item() < 0.1 * start, term.__name__


def test_half_precision_is_lifted() -> None:
    x, y = torch.rand(2, 3, 8, 8), torch.rand(2, 3, 8, 8)
    for term in TERMS:
        value = term(pair(x.bfloat16(), y))
        assert value.dtype == torch.float32
        assert value.item() == pytest.approx(term(pair(x, y)).item(), abs=0.01)


def test_shapes_that_would_broadcast_are_refused() -> None:
    for term in TERMS:
        with pytest.raises(ValueError, match="one shape"):
            term(pair(torch.rand(2, 3, 4, 4), torch.rand(2, 1, 4, 4)))


def test_a_batch_without_generated_images_is_refused() -> None:
    with pytest.raises(ValueError, match="no generated images"):
        compared(Batch(torch.rand(1, 1, 2, 2), torch.rand(1, 1, 2, 2), ("a",)))


@pytest.mark.parametrize("epsilon", [0.0, -1.0, math.nan])
def test_epsilon_must_be_above_zero(epsilon: float) -> None:
    for term in (charbonnier, cosine, cosine_pixel):
        with pytest.raises(UserError, match="epsilon"):
            term(pair(torch.rand(1, 1, 2, 2), torch.rand(1, 1, 2, 2)), epsilon=epsilon)


@pytest.mark.parametrize("side", [16, 64])
@pytest.mark.parametrize("contrast", [0.2, 0.9])
def test_the_gradient_norm_of_the_cosine_is_angle_over_contrast(side: int, contrast: float) -> None:
    torch.manual_seed(0)
    target, fake = torch.rand(2, 1, 3, side, side) * 2 - 1
    fake = (contrast * fake).requires_grad_()
    batch = Batch(target, target, ("0",)).with_fake(fake)
    norms = [float(torch.autograd.grad(loss(batch), fake)[0].norm()) for loss in (cosine, l1)]
    angle = math.acos(float(torch.nn.functional.cosine_similarity(fake.flatten(1), target.flatten(1)).detach()))
    assert norms[1] == pytest.approx(1 / math.sqrt(3 * side * side), rel=1e-4)
    assert norms[0] / norms[1] == pytest.approx(math.sin(angle) / float(fake.detach().square().mean().sqrt()), rel=1e-3)
