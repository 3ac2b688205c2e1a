"""Fine detail: its energy against the definition and against signals whose energy is known, and the share that is kept."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from transfigure.errors import Skipped
from transfigure.metrics.detail import Detail, high_frequency_energy
from transfigure.metrics.metric import TARGET_ITSELF


def pictures(n: int, channels: int = 3, size: int = 24, seed: int = 0) -> Tensor:
    """Noise over a slope: something fine and something coarse."""
    random = torch.Generator().manual_seed(seed)
    return torch.rand(n, channels, size, size, generator=random) - torch.linspace(0, 1, size)


def blurred(images: Tensor) -> Tensor:
    return F.avg_pool2d(F.pad(images, (1, 1, 1, 1), mode="replicate"), 3, stride=1)


def seen(prediction: Tensor, target: Tensor) -> Detail:
    metric = Detail()
    metric.update(prediction, target)
    return metric


def share(prediction: Tensor, target: Tensor) -> float:
    return seen(prediction, target).compute()["detail"]


# ---- the energy ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(3, 3, 9, 7), (1, 5, 1, 6), (2, 1, 2, 2), (1, 2, 1, 1)], ids=str)
def test_the_energy_is_its_definition(shape: tuple[int, ...]) -> None:
    images = torch.rand(shape, generator=torch.Generator().manual_seed(0)) * 2 - 1
    padded = np.pad(images.double().numpy(), ((0, 0), (0, 0), (1, 1), (1, 1)), mode="edge")
    around = (padded[:, :, :-2, 1:-1] + padded[:, :, 2:, 1:-1] + padded[:, :, 1:-1, :-2] + padded[:, :, 1:-1, 2:]) / 4
    expected = ((padded[:, :, 1:-1, 1:-1] - around) ** 2).mean((1, 2, 3))
    assert high_frequency_energy(images).tolist() == pytest.approx(expected.tolist(), rel=1e-5)


@pytest.mark.parametrize(("across", "down"), [(0.1, 0.0), (0.25, 0.0), (0.5, 0.5), (0.125, 0.375)])
def test_a_wave_has_the_energy_of_its_frequency(across: float, down: float) -> None:
    size = 400  # so that borders count little
    rows, columns = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    wave = torch.cos(2 * math.pi * (across * columns + down * rows).double())[None, None]
    gain = 1 - (math.cos(2 * math.pi * across) + math.cos(2 * math.pi * down)) / 2
    assert high_frequency_energy(wave).item() == pytest.approx(gain**2 * wave.square().mean().item(), rel=0.02)


def test_white_noise_has_five_quarters_of_its_variance() -> None:
    noise = 0.3 * torch.randn(1, 3, 400, 400, generator=torch.Generator().manual_seed(0))
    assert high_frequency_energy(noise).item() == pytest.approx(1.25 * 0.09, rel=0.02)


@pytest.mark.parametrize("value", [0.1, -1.0, 1 / 3, 0.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_one_colour_has_exactly_none(value: float, dtype: torch.dtype) -> None:
    assert high_frequency_energy(torch.full((2, 3, 5, 6), value, dtype=dtype)).tolist() == [0, 0]


def test_a_single_pixel_has_none() -> None:
    assert high_frequency_energy(torch.tensor([0.7, -0.2]).view(2, 1, 1, 1)).tolist() == [0, 0]


def test_it_is_of_each_image_and_of_every_channel_alike() -> None:
    images = pictures(4, channels=5)
    energy = high_frequency_energy(images)
    assert energy.shape == (4,)
    assert torch.equal(energy, torch.cat([high_frequency_energy(image[None]) for image in images]))
    assert torch.allclose(energy, high_frequency_energy(images[:, [4, 2, 0, 1, 3]]), rtol=1e-6)
    assert torch.allclose(energy, torch.stack([high_frequency_energy(images[:, k : k + 1]) for k in range(5)]).mean(0), rtol=1e-6)
    assert torch.allclose(high_frequency_energy(3 * images + 1), 9 * energy, rtol=1e-4)


def test_an_edge_between_colours_of_one_lightness_is_detail() -> None:
    stripes = torch.tensor([1.0, -1.0]).repeat(8).expand(16, 16)
    red_and_green = torch.stack([0.587 * stripes, -0.299 * stripes, 0 * stripes])[None]  # 0.299 R + 0.587 G is 0 everywhere
    assert high_frequency_energy(red_and_green).item() > 0.1


def test_gradients_pass() -> None:
    images = pictures(2).requires_grad_()
    high_frequency_energy(images).sum().backward()
    assert images.grad is not None and images.grad.abs().sum() > 0


@pytest.mark.parametrize("shape", [(3, 8, 8), (1, 3, 0, 8), (0, 3, 8, 8)], ids=str)
def test_what_is_no_batch_of_images_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="fine detail is of images"):
        high_frequency_energy(torch.zeros(shape))


# ---- the share ----------------------------------------------------------------------------------------------------------


def test_the_target_keeps_all_and_a_blur_little() -> None:
    target = pictures(5)
    metric = seen(target, target)
    assert metric.compute() == {"detail": 1.0}
    assert metric.interval() == {"detail": (1.0, 1.0)}
    assert metric.bounds() == {TARGET_ITSELF: {"detail": 1.0}}
    assert share(blurred(blurred(target)), target) < share(blurred(target), target) < 0.2
    assert share(target.mean((2, 3), keepdim=True).expand_as(target), target) == 0


def test_more_than_the_targets_is_more_than_one() -> None:
    target = pictures(5)
    for more in (2 * target - blurred(target), target + 0.3 * pictures(5, seed=1), -1.2 * target):
        assert share(more, target) > 1.05


def test_contrast_counts_by_its_square() -> None:
    target = pictures(5)
    assert share(0.5 * target, target) == pytest.approx(0.25)


def test_energies_are_summed_before_they_are_divided() -> None:
    target = pictures(2)
    target[1] *= 0.1
    prediction = torch.stack([0.5 * target[0], 2 * target[1]])
    made, wanted = high_frequency_energy(prediction).double(), high_frequency_energy(target).double()
    assert share(prediction, target) == pytest.approx((made.sum() / wanted.sum()).item())
    assert (made / wanted).mean().item() == pytest.approx(2.125, rel=1e-5) and share(prediction, target) < 0.4


def test_images_count_alike_whatever_their_size() -> None:
    metric = Detail()
    small, large = pictures(1, size=8), pictures(1, size=64)
    metric.update(0 * small, small)
    metric.update(large, large)
    energies = [high_frequency_energy(images).item() for images in (small, large)]
    assert metric.compute()["detail"] == pytest.approx(energies[1] / sum(energies), rel=1e-5)


def test_it_is_blind_to_whose_the_detail_is_and_to_what_it_is() -> None:
    target = pictures(6)
    assert share(target.roll(1, 0), target) == pytest.approx(1.0, rel=1e-12)
    blur, noise = blurred(target), torch.randn(target.shape, generator=torch.Generator().manual_seed(1))
    lacking = high_frequency_energy(target).sum() - high_frequency_energy(blur).sum()
    assert share(blur + noise * (lacking / high_frequency_energy(noise).sum()).sqrt(), target) == pytest.approx(1.0, abs=0.05)


# ---- targets with little to keep ----------------------------------------------------------------------------------------


def test_targets_without_detail_are_skipped() -> None:
    flat = torch.rand(3, 3, 1, 1, generator=torch.Generator().manual_seed(0)).expand(3, 3, 8, 8)
    metric = seen(pictures(3, size=8), flat)
    with pytest.raises(Skipped, match="every target is of one colour"):
        metric.compute()
    metric.update(pictures(1, size=8), pictures(1, size=8))  # a single one that has some is enough
    assert metric.compute()["detail"] > 1


def test_there_is_no_interval_if_a_resample_may_hold_no_detail() -> None:
    target = torch.zeros(6, 3, 8, 8)
    target[2] = pictures(1, size=8)[0]
    metric = seen(0.5 * target, target)
    assert metric.compute() == {"detail": pytest.approx(0.25)}
    assert metric.interval() == {}


def test_a_picture_that_is_not_a_number_is_no_detail() -> None:
    broken = pictures(2)
    broken[1, 0, 3, 3] = math.nan
    assert math.isnan(share(broken, pictures(2)))
    assert seen(broken, pictures(2)).interval() == {}
