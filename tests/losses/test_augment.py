"""Differentiable augmentation: what each policy may do to an image, and that gradients pass."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch

from transfigure.errors import UserError
from transfigure.losses.augment import POLICIES, augment

every = pytest.mark.parametrize("policy", [*((name,) for name in POLICIES), POLICIES], ids="+".join)


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def pictures(n: int = 4, channels: int = 3, height: int = 16, width: int = 24) -> torch.Tensor:
    return torch.rand(n, channels, height, width, generator=torch.Generator().manual_seed(1)) * 1.9 - 0.95


@every
@pytest.mark.parametrize("channels", [1, 2, 3, 7])
def test_shape_and_dtype_are_kept(policy: Sequence[str], channels: int) -> None:
    for dtype in (torch.float32, torch.float64):
        x = pictures(channels=channels).to(dtype)
        before = x.clone()
        y = augment(x, policy)
        assert (y.shape, y.dtype) == (x.shape, dtype)
        assert y.isfinite().all()
        assert torch.equal(x, before), "the images were changed in place"
    for size in ((0, channels, 8, 8), (2, channels, 1, 1), (1, channels, 7, 1)):
        assert augment(torch.rand(size), policy).shape == size


@every
def test_gradients_are_those_of_the_change(policy: Sequence[str]) -> None:
    """Every policy is affine in the image, A x + b, so its transpose can be held to <v, A h> = <A' v, h> exactly."""
    x = pictures().double().requires_grad_()
    h, v = torch.randn(2, *x.shape, dtype=torch.float64)

    def repeated(images: torch.Tensor) -> torch.Tensor:
        torch.manual_seed(3)
        return augment(images, policy)

    linear = (repeated(x + h) - repeated(x)).detach()
    (transposed,) = torch.autograd.grad(repeated(x), x, v)
    torch.testing.assert_close((transposed * h).sum(), (linear * v).sum())
    # A penalty on D's slope passes twice: the gradient of ||A x + b||^2 along h changes by 2 <A h, A h> along h.
    (slope,) = torch.autograd.grad(repeated(x).square().sum(), x, create_graph=True)
    (curvature,) = torch.autograd.grad((slope * h).sum(), x)
    torch.testing.assert_close((curvature * h).sum(), 2 * linear.square().sum())


@every
def test_a_seed_repeats_and_every_image_has_its_own_draw(policy: Sequence[str]) -> None:
    x = pictures(1).expand(6, -1, -1, -1)
    torch.manual_seed(5)
    one = augment(x, policy)
    other = augment(x, policy)
    torch.manual_seed(5)
    assert torch.equal(augment(x, policy), one)
    assert not torch.equal(one, other)
    assert len({image.numpy().tobytes() for image in one}) > 3


@every
def test_the_numbers_are_the_cpus_whatever_the_device(policy: Sequence[str]) -> None:
    torch.manual_seed(7)
    augment(pictures(), policy)
    after = torch.get_rng_state()
    torch.manual_seed(7)
    augment(pictures().to("meta"), policy)
    assert torch.equal(torch.get_rng_state(), after)


def test_policies_are_applied_in_the_order_given() -> None:
    x = pictures()
    torch.manual_seed(2)
    expected = augment(augment(x, ["cutout"]), ["color"])
    torch.manual_seed(2)
    assert torch.equal(augment(x, ["cutout", "color"]), expected)
    assert augment(x, []) is x


def test_brightness_is_added_within_a_half() -> None:
    grey = torch.full((500, 3, 2, 2), 0.1)
    change = augment(grey, ["color"]) - grey  # grey has neither colour nor contrast
    torch.testing.assert_close(change, change[:, :1, :1, :1].expand_as(change))
    u = change[:, 0, 0, 0]
    assert -0.5 - 1e-6 <= u.min() < -0.45 and 0.45 < u.max() <= 0.5 + 1e-6


def test_contrast_is_within_a_half_of_one_and_saturation_up_to_double() -> None:
    x = pictures(1, 3, 6, 6).expand(800, -1, -1, -1).double()
    y = augment(x, ["color"])
    grey_x, grey_y = x.mean(1, keepdim=True), y.mean(1, keepdim=True)
    centred_x, centred_y = (grey - grey.mean((2, 3), keepdim=True) for grey in (grey_x, grey_y))
    contrast = (centred_y * centred_x).sum((1, 2, 3)) / centred_x.square().sum((1, 2, 3))
    torch.testing.assert_close(centred_y, contrast.view(-1, 1, 1, 1) * centred_x)
    assert 0.5 <= contrast.min() < 0.53 and 1.47 < contrast.max() <= 1.5
    colour = ((y - grey_y) * (x - grey_x)).sum((1, 2, 3)) / (x - grey_x).square().sum((1, 2, 3)) / contrast
    torch.testing.assert_close(y - grey_y, (colour * contrast).view(-1, 1, 1, 1) * (x - grey_x))
    assert 0 <= colour.min() < 0.05 and 1.95 < colour.max() <= 2
    assert abs(torch.corrcoef(torch.stack([contrast, colour]))[0, 1]) < 0.15, "one number must not serve twice"
    assert y.abs().max() > 1, "nothing is clipped"


def test_translation_moves_by_whole_pixels_up_to_an_eighth_and_pads_with_zeros() -> None:
    x = pictures(1, 2, 16, 24).expand(300, -1, -1, -1)
    found = set()
    for image in augment(x, ["translation"]):
        filled = (image != 0).any(0)
        rows, columns = filled.any(1).nonzero(), filled.any(0).nonzero()
        (top, bottom), (left, right) = ((int(axis[0]), int(axis[-1])) for axis in (rows, columns))
        down, across = (top or bottom - 15), (left or right - 23)
        found.add((down, across))
        expected = torch.zeros_like(image)
        expected[:, top : bottom + 1, left : right + 1] = x[0][:, top - down : bottom + 1 - down, left - across : right + 1 - across]
        assert torch.equal(image, expected)
    assert found == {(down, across) for down in range(-2, 3) for across in range(-3, 4)}


def test_cutout_is_one_rectangle_of_half_the_sides_centred_anywhere() -> None:
    height, width = 8, 12
    x = torch.full((3000, 2, height, width), 0.3)
    y = augment(x, ["cutout"])
    assert ((y == 0) | (y == 0.3)).all()
    assert torch.equal(y[:, 0], y[:, 1])
    corners = set()
    for hole in (y[:, 0] == 0).unique(dim=0):
        rows, columns = hole.any(1).nonzero().flatten().tolist(), hole.any(0).nonzero().flatten().tolist()
        top, bottom, left, right = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
        assert hole[top:bottom, left:right].all() and hole.sum() == (bottom - top) * (right - left)
        assert bottom - top == height // 2 or top == 0 or bottom == height
        assert right - left == width // 2 or left == 0 or right == width
        assert 2 <= bottom - top <= height // 2 and 3 <= right - left <= width // 2
        corners.add((top, bottom, left, right))
    assert len(corners) == height * width, "one hole per place of the centre"


def test_unknown_policies_are_refused_before_anything_is_drawn() -> None:
    before = torch.get_rng_state()
    with pytest.raises(UserError, match=r"'colour'.*did you mean 'color'"):
        augment(pictures(), ["color", "colour"])
    assert torch.equal(torch.get_rng_state(), before)
