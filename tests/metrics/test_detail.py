"""Fine detail: its energy against the definition and against signals whose energy is known, and the share that is kept; grids."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from transfigure.errors import Skipped
from transfigure.metrics.detail import LINES, Detail, UpsamplingGrid, high_frequency_energy, line_prominence
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


# ---- lines at the periods of the up-sampling -----------------------------------------------------------------------------


def grid_of(prediction: Tensor, target: Tensor) -> float:
    metric = UpsamplingGrid()
    metric.update(prediction, target)
    return metric.compute()["grid"]


def textures(n: int = 24, size: int = 64, seed: int = 0, channels: int = 3) -> Tensor:
    """Random pictures whose power falls off as 1/f^2, as that of photos does, with edges."""
    random = torch.Generator().manual_seed(seed)
    waves = torch.fft.rfft2(torch.randn(n, channels, size, size, generator=random))
    u, v = torch.fft.fftfreq(size).view(-1, 1), torch.fft.rfftfreq(size)
    found = torch.fft.irfft2(waves / (u.square() + v.square() + 1 / size**2).sqrt(), (size, size))
    return (found / found.std() * 0.4 + 0.3 * found.sign()).clamp(-1, 1)


def board(period: int, size: int = 64) -> Tensor:
    """A checkerboard of that many pixels from one square to the next of its colour, +-1."""
    row, column = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    return ((row // (period // 2) + column // (period // 2)) % 2 * 2 - 1).float()


@pytest.mark.parametrize("period", [2, 4, 8])
@pytest.mark.parametrize("side", [64, 48])
def test_a_checkerboard_raises_the_grid_as_its_spectrum_says(period: int, side: int) -> None:
    """On one bright pixel in the middle, whose spectrum is flat: every line is known, by sums written out."""
    target = torch.zeros(1, 1, side, side)
    target[..., side // 2, side // 2] = 0.9
    for amplitude in (0.01, 0.05):
        made = target + amplitude * board(period, side)
        hann = np.sin(np.pi * np.arange(side) / side) ** 2
        window = np.outer(hann, hann)
        heights = []
        for image in (made, target):
            picture = image[0, 0].double().numpy()
            picture = (picture - picture.mean()) * window
            lines = []
            for i, j in LINES:
                wave = np.exp(-2j * np.pi * (i * np.arange(side)[:, None] + j * np.arange(side)[None]) / 8)
                lines.append(abs((picture * wave).sum()) ** 2 / (window**2).sum() + (2 / 255) ** 2)
            heights.append(np.mean(lines) / (0.81 / (window**2).sum() + (2 / 255) ** 2))  # beside them all is flat
        assert heights[1] == pytest.approx(1, abs=0.01)
        assert grid_of(made, target) == pytest.approx(heights[0] / heights[1], rel=0.01)
        assert heights[0] > 1.2
    if period == 2:  # one line of 33, by hand: the pixel's wave and the board's, of amplitude times the window's sum
        line = (0.9 + (1 if board(2)[0, 0] > 0 else -1) * 0.05 * (side / 2) ** 2) ** 2 / 0.81
        assert grid_of(made, target) == pytest.approx((32 + line) / 33, rel=0.06)


def test_equal_images_have_a_grid_of_one_and_so_have_others_of_the_same_kind() -> None:
    target = textures(48)
    metric = UpsamplingGrid()
    metric.update(target, target)
    assert metric.compute() == {"grid": 1.0} and metric.interval() == {"grid": (1.0, 1.0)}
    assert metric.bounds() == {TARGET_ITSELF: {"grid": 1.0}}
    for size in (32, 48, 64, 100):
        assert grid_of(textures(96, size, seed=1), textures(96, size, seed=2)) == pytest.approx(1, abs=0.12)


def test_targets_without_any_line_have_a_prominence_of_one_whatever_their_spectrum() -> None:
    for target in (textures(200), torch.randn(200, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 0.3):
        assert line_prominence(target).mean(0).exp().mean().item() == pytest.approx(1, abs=0.06)


@pytest.mark.parametrize("period", [2, 4, 8])
def test_a_stronger_board_is_more_of_a_grid_and_its_interval_excludes_one(period: int) -> None:
    target = textures()
    values = [grid_of(target + amplitude * board(period), target) for amplitude in (0.0, 0.05, 0.1, 0.2)]
    assert values == sorted(values) and values[0] == 1 and values[-1] > 2
    metric = UpsamplingGrid()
    metric.update(target + 0.2 * board(period), target)
    low, high = metric.interval()["grid"]
    assert 1 < low < values[-1] < high


def test_blur_and_noise_are_no_grid() -> None:
    target = textures(96)
    smooth = torch.outer(*[torch.tensor([0.06, 0.24, 0.4, 0.24, 0.06])] * 2).expand(3, 1, 5, 5)
    noise = 0.2 * torch.randn(target.shape, generator=torch.Generator().manual_seed(3))
    for other in (F.conv2d(target, smooth, padding=2, groups=3), target + noise, 0.3 * target):
        assert grid_of(other, target) == pytest.approx(1, abs=0.12)


def test_where_the_board_begins_and_which_way_a_picture_is_turned_matter_little() -> None:
    target = textures()
    made = target + 0.1 * board(4)
    value = grid_of(made, target)
    assert value > 1.5
    assert grid_of(made.flip(-1), target) == pytest.approx(value, rel=0.05)
    assert grid_of(made.transpose(-1, -2), target) == pytest.approx(value, rel=0.05)
    assert grid_of(made.roll((3, 5), (-2, -1)), target) == pytest.approx(value, rel=0.15)
    wide = textures(24, 128)
    large = wide + 0.1 * board(4, 128)
    assert grid_of(large[..., 1:65, 3:67], wide[..., 1:65, 3:67]) == pytest.approx(
        grid_of(large[..., 60:124, 50:114], wide[..., 60:124, 50:114]), rel=0.2
    )


def test_a_grid_that_the_targets_have_is_none_and_its_loss_is_less_than_one() -> None:
    bare = textures()
    brick = bare + 0.1 * board(4)
    assert grid_of(brick, brick.flip(0)) == pytest.approx(1, abs=0.1)
    assert grid_of(bare, brick) == pytest.approx(1 / grid_of(brick, bare))


def test_transposed_convolution_leaves_a_grid_and_resizing_leaves_less() -> None:
    target = textures(48)
    small = F.avg_pool2d(target, 2) + 0.5  # the pattern multiplies, so brightness shows it
    uneven = torch.ones(3, 1, 3, 3)  # stride 2 does not divide 3: some pixels are written once, some four times
    transposed = F.conv_transpose2d(small, uneven, stride=2, padding=1, output_padding=1, groups=3) / 2.25
    resized = F.interpolate(small, scale_factor=2, mode="bilinear")
    assert grid_of(transposed, target) > 3
    assert grid_of(resized, target) == pytest.approx(1, abs=0.15)


def test_flat_pictures_are_no_grid_and_a_line_below_a_grey_level_hardly_counts() -> None:
    flat = torch.zeros(2, 3, 64, 64)
    assert grid_of(flat, flat) == 1.0
    assert grid_of(textures(48), torch.zeros(48, 3, 64, 64)) == pytest.approx(1, abs=0.15)
    assert grid_of(flat + 1e-4 * board(2), flat) < 1.05


def test_images_too_small_for_the_grid_say_so() -> None:
    with pytest.raises(Skipped, match=r"squares of 32 at least, and these are 40 x 31 pixels"):
        UpsamplingGrid().update(torch.zeros(1, 3, 31, 40), torch.zeros(1, 3, 31, 40))


def test_every_pixel_lies_in_a_square() -> None:
    target = textures(4, 200)
    for place in ((0, 0), (199 - 63, 0), (0, 199 - 63), (70, 111)):
        made = target.clone()
        made[..., place[0] : place[0] + 64, place[1] : place[1] + 64] += 0.3 * board(2)
        assert grid_of(made, target) > 1.01
