"""SSIM against scikit-image, MS-SSIM against torchmetrics and scikit-image, and both at their edges."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from skimage.metrics import structural_similarity
from torch import Tensor
from torchmetrics.functional.image import multiscale_structural_similarity_index_measure

from transfigure.data.batch import Batch
from transfigure.errors import UserError
from transfigure.losses.ssim import SCALE_WEIGHTS, ms_ssim, ms_ssim_loss, ssim, ssim_loss, ssim_map


def scene(height: int, width: int, channels: int = 3, seed: int = 0) -> np.ndarray:
    """A uint8 picture with flat, smooth and busy parts, in dark and light."""
    random = np.random.default_rng(seed)
    rows, columns = np.mgrid[:height, :width]
    layers = [
        127 * (1 + np.sin(rows / (5 + c) + columns / 9)) * (columns > width / 3) + 255 * (rows > height * 0.7)
        for c in range(1, channels + 1)
    ]
    noise = random.normal(0, 20, (height, width, channels)) * (rows < height / 2)[..., None]
    return np.clip(np.stack(layers, -1) + noise, 0, 255).astype(np.uint8)


def distorted(image: np.ndarray, seed: int = 1) -> np.ndarray:
    random = np.random.default_rng(seed)
    return np.clip(0.8 * image + 12 + random.normal(0, 15, image.shape), 0, 255).astype(np.uint8)


def tensor(image: np.ndarray) -> Tensor:
    return torch.from_numpy(image.astype(np.float32) / 127.5 - 1).permute(2, 0, 1)[None]


def skimage_ssim(x: np.ndarray, y: np.ndarray) -> float:
    return float(
        structural_similarity(
            x, y, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=255, channel_axis=-1, K1=0.01, K2=0.03
        )
    )


@pytest.mark.parametrize("channels", [1, 3, 5])
@pytest.mark.parametrize("size", [(11, 11), (12, 40), (64, 48)])
def test_ssim_is_scikit_images(channels: int, size: tuple[int, int]) -> None:
    x = scene(*size, channels)
    y = distorted(x)
    assert ssim(tensor(x), tensor(y)).item() == pytest.approx(skimage_ssim(x, y), abs=2e-6)


def test_ssim_is_scikit_images_on_flat_pictures_too() -> None:
    for a, b in [(0, 0), (0, 3), (128, 131), (255, 250), (255, 0)]:  # where E[x^2] - E[x]^2 cancels
        x, y = np.full((16, 16, 1), a, np.uint8), np.full((16, 16, 1), b, np.uint8)
        assert ssim(tensor(x), tensor(y)).item() == pytest.approx(skimage_ssim(x, y), abs=1e-4)


def test_ssim_is_scikit_images_on_real_photographs(shared: Path) -> None:
    files = sorted(file for file in shared.rglob("*") if file.suffix.lower() in {".png", ".jpg"})[:3]
    if not files:
        pytest.skip("no pictures in the shared folder")
    for file in files:
        with Image.open(file) as opened:
            x = np.asarray(opened.convert("RGB"))[:200, :200]
        y = distorted(x)
        assert ssim(tensor(x), tensor(y)).item() == pytest.approx(skimage_ssim(x, y), abs=1e-5)


def test_ssim_of_constant_images_is_the_luminance_term() -> None:
    x, y = torch.full((1, 1, 16, 16), -0.5), torch.full((1, 1, 16, 16), 0.5)
    c1 = (0.01 * 2) ** 2
    assert ssim(x, y).item() == pytest.approx((2 * 0.5 * 1.5 + c1) / (0.5**2 + 1.5**2 + c1), abs=1e-4)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [(176, 176), (181, 209)])
def test_ms_ssim_is_torchmetrics_and_at_the_coarsest_scale_scikit_images(channels: int, size: tuple[int, int]) -> None:
    # torchmetrics takes contrast where the window lies inside the image, as Wang does, but averages the coarsest scale's SSIM over a
    # reflected border too (10 of 11 rows at 176 pixels). So that scale's exponent is set to 0 there and the scale is asked of skimage.
    x = scene(*size, channels)
    y = distorted(x)
    contrast = multiscale_structural_similarity_index_measure(
        (tensor(x).double() + 1) / 2, (tensor(y).double() + 1) / 2, data_range=1.0, betas=(*SCALE_WEIGHTS[:-1], 0.0), normalize="relu"
    )
    height, width = size[0] // 16, size[1] // 16
    coarse = (image[: height * 16, : width * 16].astype(float).reshape(height, 16, width, 16, channels).mean((1, 3)) for image in (x, y))
    expected = contrast.item() * skimage_ssim(*coarse) ** SCALE_WEIGHTS[-1]
    assert ms_ssim(tensor(x), tensor(y)).item() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(("side", "scales"), [(1, 1), (10, 1), (21, 1), (22, 2), (43, 2), (44, 3), (88, 4), (175, 4), (176, 5)])
def test_small_images_use_fewer_scales_whose_weights_sum_to_one(side: int, scales: int) -> None:
    # At each scale but the last a checkerboard of pixels averages away, so only the number of scales and their weights matter.
    x = torch.zeros(1, 1, side, side + 3)
    y = x.clone()
    y[..., ::2, ::2] = y[..., 1::2, 1::2] = 0.4
    y -= 0.2
    used = SCALE_WEIGHTS[:scales]
    finest = ssim_map(x, y).mean() if scales > 1 else ssim(x, y)
    exponent = used[0] / sum(used)
    assert ms_ssim(x, y).item() == pytest.approx(finest.item() ** exponent, abs=1e-3)
    assert 0 <= ms_ssim(x, y).item() <= 1


@given(st.integers(1, 30), st.integers(1, 30), st.integers(1, 4), st.integers(0, 1000))
@settings(max_examples=40)
def test_any_size_has_a_bounded_symmetric_index(height: int, width: int, channels: int, seed: int) -> None:
    random = torch.Generator().manual_seed(seed)
    x, y = (torch.rand(2, channels, height, width, generator=random) * 2 - 1 for _ in range(2))
    for index in (ssim, ms_ssim):
        value = index(x, y)
        assert value.shape == (2,)
        assert (value.abs() <= 1 + 1e-6).all()
        torch.testing.assert_close(value, index(y, x), atol=1e-6, rtol=0)
        assert (index(x, x) == 1).all()
        torch.testing.assert_close(value, torch.cat([index(x[:1], y[:1]), index(x[1:], y[1:])]), atol=1e-5, rtol=0)


def test_the_window_shrinks_to_the_largest_odd_size() -> None:
    x, y = torch.rand(1, 2, 8, 20), torch.rand(1, 2, 8, 20)
    assert ssim_map(x, y).shape == (1, 2, 2, 14)
    torch.testing.assert_close(ssim_map(x, y), ssim_map(x, y, window=7))
    assert ssim_map(x, y, window=5).shape == (1, 2, 4, 16)


def test_opposite_patterns_score_below_zero_and_zero() -> None:
    x = torch.from_numpy(scene(48, 48, 1)).float().permute(2, 0, 1)[None] / 127.5 - 1
    assert ssim(x, -x).item() < -0.2
    assert ms_ssim(x, -x).item() == 0


def test_losses_have_finite_gradients_where_the_index_is_negative() -> None:
    target = torch.sin(torch.arange(48.0))[None, None, None].repeat(1, 1, 48, 1)
    for loss in (ssim_loss, ms_ssim_loss):
        generated = (-target).requires_grad_()
        value = loss(Batch(target, target, ("a",)).with_fake(generated))
        value.backward()
        assert generated.grad is not None and generated.grad.isfinite().all()


def test_ms_ssim_still_teaches_when_one_scale_disagrees() -> None:
    torch.manual_seed(0)
    coarse = torch.rand(1, 1, 12, 12).repeat_interleave(4, 2).repeat_interleave(4, 3) - 0.5
    checks = 0.4 * (1 - 2 * ((torch.arange(48)[:, None] + torch.arange(48)) % 2)).float()
    target = coarse * 0.3 + checks
    generated = (coarse * 0.1 - checks).requires_grad_()  # the finest scale is inverted
    ms_ssim_loss(Batch(target, target, ("a",)).with_fake(generated)).backward()
    assert generated.grad is not None and generated.grad.norm() > 1e-3


@pytest.mark.parametrize("loss", [ssim_loss, ms_ssim_loss])
def test_descending_on_the_loss_restores_the_image(loss) -> None:  # type: ignore[no-untyped-def]
    target = tensor(scene(24, 24, 1))
    torch.manual_seed(0)
    x = (target * 0.5 + 0.2 * torch.randn_like(target)).requires_grad_()
    optimizer = torch.optim.Adam([x], lr=0.03)
    for _ in range(80):
        value = loss(Batch(target, target, ("a",)).with_fake(x))
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
    assert ssim(x.detach(), target).item() > 0.95


def test_half_precision_and_autocast_do_not_ruin_the_variances() -> None:
    x, y = tensor(scene(32, 32)), tensor(distorted(scene(32, 32)))
    exact = ssim_loss(Batch(y, y, ("a",)).with_fake(x)).item()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert ssim_loss(Batch(y, y, ("a",)).with_fake(x)).item() == pytest.approx(exact, abs=1e-6)
        assert ssim_loss(Batch(y, y, ("a",)).with_fake(x.bfloat16())).item() == pytest.approx(exact, abs=5e-3)


def test_what_cannot_be_compared_is_refused() -> None:
    x = torch.rand(1, 1, 16, 16)
    with pytest.raises(ValueError, match="one shape"):
        ssim(x, torch.rand(1, 3, 16, 16))
    with pytest.raises(ValueError, match="one shape"):
        ms_ssim(x[0], x[0])
    for window in (0, 4, -3):
        with pytest.raises(UserError, match="odd"):
            ssim(x, x, window=window)
    for sigma in (0.0, -1.0, math.nan):
        with pytest.raises(UserError, match="sigma"):
            ssim(x, x, sigma=sigma)
