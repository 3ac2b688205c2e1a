"""Distortion metrics against scikit-image, on the pictures people have: 8-bit and 16-bit, grey and colour."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from torch import Tensor

from transfigure.data.batch import Batch
from transfigure.losses import pixel as reconstruction
from transfigure.losses import ssim as structural
from transfigure.metrics.distortion import L1, PSNR, PSNR_CEILING, SSIM, MultiScaleSSIM, Pearson
from transfigure.metrics.metric import ImageMetric


def picture(size: int, channels: int, peak: int = 255, seed: int = 0) -> np.ndarray:
    random = np.random.default_rng(seed)
    rows, columns = np.mgrid[:size, :size] / size
    smooth = np.stack([np.sin(5 * rows + c) * np.cos(7 * columns - c) for c in range(channels)], -1)
    noisy = 0.5 + 0.4 * smooth + random.normal(0, 0.05, smooth.shape)
    return (np.clip(noisy, 0, 1) * peak).astype(np.uint8 if peak == 255 else np.uint16)


def tensor(image: np.ndarray) -> Tensor:
    peak = np.iinfo(image.dtype).max
    return torch.from_numpy((image.astype(np.float64) / peak * 2 - 1).astype(np.float32)).permute(2, 0, 1)[None]


def value(metric: ImageMetric, x: np.ndarray, y: np.ndarray) -> float:
    metric.update(tensor(x), tensor(y))
    return metric.compute()[metric.name]


@pytest.mark.parametrize("channels", [1, 3, 5])
@pytest.mark.parametrize("peak", [255, 65535])
def test_the_values_are_scikit_images(channels: int, peak: int) -> None:
    x, y = picture(40, channels, peak), picture(40, channels, peak, seed=1)
    error = np.abs(x.astype(float) - y.astype(float)).mean() / peak
    assert value(L1(), x, y) == pytest.approx(error, abs=1e-7)
    assert value(PSNR(), x, y) == pytest.approx(peak_signal_noise_ratio(y, x, data_range=peak), abs=1e-4)
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": peak, "channel_axis": -1}
    assert value(SSIM(), x, y) == pytest.approx(structural_similarity(y, x, **options), abs=2e-6)
    each = [np.corrcoef(x[..., channel].ravel(), y[..., channel].ravel())[0, 1] for channel in range(channels)]
    assert value(Pearson(), x, y) == pytest.approx(np.mean(each), abs=1e-6)


def test_pearson_is_blind_to_scale_and_offset_of_a_channel_and_sees_its_inverse() -> None:
    x = tensor(picture(20, 2))
    for y, expected in (
        (x * torch.tensor([0.1, 3.0]).view(1, 2, 1, 1) - 0.2, 1),
        (-x, -1),
        (x * torch.tensor([1.0, -1]).view(1, 2, 1, 1), 0),
    ):
        metric = Pearson()
        metric.update(y, x)
        assert metric.scores == [pytest.approx(expected, abs=1e-6)]


def test_what_is_constant_correlates_with_nothing_but_its_equal() -> None:
    flat, textured = torch.full((1, 1, 7, 7), 0.1), tensor(picture(7, 1))
    metric = Pearson()
    for x, y in ((flat, textured), (textured, flat), (flat, flat + 0.1), (flat, flat), (textured.where(textured > 0, torch.nan), textured)):
        metric.update(x, y)
    assert metric.scores == [0, 0, 0, 1, pytest.approx(float("nan"), nan_ok=True)]


def test_ms_ssim_shares_the_objectives_function_but_scores_opposites_zero() -> None:
    x, y = tensor(picture(180, 3)), tensor(picture(180, 3, seed=1))
    metric = MultiScaleSSIM()
    metric.update(torch.cat([x, -y]), torch.cat([y, y]))
    assert metric.scores == [pytest.approx(structural.ms_ssim(x, y).item(), abs=1e-6), 0.0]


def test_one_8_bit_step_everywhere() -> None:
    x = np.full((16, 16, 3), 100, np.uint8)
    assert value(L1(), x, x + 1) == pytest.approx(1 / 255, rel=1e-5)
    assert value(PSNR(), x, x + 1) == pytest.approx(20 * np.log10(255), abs=1e-4)


def test_psnr_uses_the_full_range_not_the_images_own() -> None:
    dim = np.full((8, 8, 1), 10, np.uint8)
    assert value(PSNR(), dim, dim + 10) == pytest.approx(20 * np.log10(25.5), abs=1e-4)


def test_psnr_is_the_mean_of_each_images_own() -> None:
    metric, zeros = PSNR(), torch.zeros(2, 1, 4, 4)
    metric.update(torch.tensor([0.02, 0.2]).view(2, 1, 1, 1).expand(2, 1, 4, 4), zeros)
    assert metric.scores == pytest.approx([40, 20], abs=1e-4)
    assert metric.compute()["psnr"] == pytest.approx(30, abs=1e-4)


def test_identical_images_have_the_ceiling_and_nothing_exceeds_it() -> None:
    metric, y = PSNR(), torch.rand(1, 3, 8, 8) * 2 - 1
    metric.update(y, y)
    metric.update(torch.zeros(1, 1, 4, 4), torch.full((1, 1, 4, 4), 1e-7))
    assert metric.scores == pytest.approx([PSNR_CEILING] * 2, abs=1e-4)
    metric.update(torch.zeros(1, 1, 4, 4), torch.full((1, 1, 4, 4), 2 * 1.2e-5))  # 98.4 dB is still itself
    assert metric.scores[-1] == pytest.approx(-20 * np.log10(1.2e-5), abs=1e-3)


def test_l1_is_half_the_training_loss() -> None:
    x, y = torch.rand(2, 3, 4, 4) * 2 - 1, torch.rand(2, 3, 4, 4) * 2 - 1
    metric = L1()
    metric.update(x, y)
    loss = reconstruction.l1(Batch(x, y, ("a", "b")).with_fake(x))
    assert metric.compute()["l1"] == pytest.approx(loss.item() / 2, rel=1e-6)


def test_black_against_white_is_the_worst() -> None:
    black, white = np.zeros((16, 16, 1), np.uint8), np.full((16, 16, 1), 255, np.uint8)
    assert value(L1(), black, white) == 1
    assert value(PSNR(), black, white) == pytest.approx(0, abs=1e-5)
    assert value(SSIM(), black, white) == pytest.approx(0, abs=1e-3)
