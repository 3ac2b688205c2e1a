"""Lab against scikit-image, and its histograms against numpy and against pictures whose output is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from skimage.color import rgb2lab
from torch import Tensor

from transfigure.errors import Skipped, UserError
from transfigure.metrics.colour import LabHistogram, rgb_to_lab
from transfigure.metrics.metric import TARGET_ITSELF

L, A, B = "lab_histogram_l", "lab_histogram_a", "lab_histogram_b"


def cube(steps: int = 18) -> Tensor:
    """All of sRGB, corners included."""
    axis = torch.linspace(-1, 1, steps)
    return torch.cartesian_prod(axis, axis, axis).T.reshape(1, 3, steps, steps**2)


def pictures(n: int, size: int = 20, seed: int = 0) -> Tensor:
    random = torch.Generator().manual_seed(seed)
    return (torch.rand(n, 3, 1, 1, generator=random) + torch.rand(n, 3, size, size, generator=random)) - 1


def one_colour(*rgb: float, size: int = 4) -> Tensor:
    return torch.tensor(rgb, dtype=torch.float32).view(1, 3, 1, 1).expand(1, 3, size, size)


def values(prediction: Tensor, target: Tensor, **options: int) -> dict[str, float]:
    metric = LabHistogram(**options)
    metric.update(prediction, target)
    return metric.compute()


def test_lab_is_scikit_images() -> None:
    images = cube()
    theirs = rgb2lab((images.double().numpy() + 1) / 2, channel_axis=1)
    assert np.abs(rgb_to_lab(images.double()).numpy() - theirs).max() < 0.005  # their matrix and their white differ by as much
    assert np.abs(rgb_to_lab(images).numpy() - theirs).max() < 0.006


def test_lab_of_known_colours() -> None:
    known = {
        (1.0, 1.0, 1.0): (100, 0, 0),
        (-1.0, -1.0, -1.0): (0, 0, 0),
        (1.0, -1.0, -1.0): (53.24, 80.09, 67.20),
        (-1.0, 1.0, -1.0): (87.73, -86.18, 83.18),
        (-1.0, -1.0, 1.0): (32.30, 79.19, -107.86),
    }
    for rgb, lab in known.items():
        assert rgb_to_lab(one_colour(*rgb))[0, :, 0, 0].tolist() == pytest.approx(lab, abs=0.02)


def test_grey_is_exactly_grey_and_lightness_grows() -> None:
    lab = rgb_to_lab(torch.linspace(-1, 1, 1001, dtype=torch.float64).expand(1, 3, 1, 1001))
    assert lab[:, 1:].abs().max() < 1e-12
    assert (lab[0, 0, 0].diff() > 0).all()


def test_what_lies_outside_is_clipped() -> None:
    images = pictures(2) * 3
    assert torch.equal(rgb_to_lab(images), rgb_to_lab(images.clamp(-1, 1)))
    target = pictures(2, seed=1)
    assert values(images, target) == values(images.clamp(-1, 1), target)


def test_only_colour_has_lab() -> None:
    for bad in (torch.zeros(3, 4, 4), torch.zeros(1, 1, 4, 4), torch.zeros(1, 4, 4, 4)):
        with pytest.raises(ValueError, match="red, green and blue"):
            rgb_to_lab(bad)


def test_the_overlap_is_numpys() -> None:
    x, y = pictures(3), pictures(3, seed=1) * 0.7
    lab = [rgb_to_lab(images).double().numpy() for images in (x, y)]
    found = values(x, y)
    edges = [np.arange(0, 101, 1), np.arange(-111, 112, 2), np.arange(-111, 112, 2)]
    for channel, (name, edge) in enumerate(zip((L, A, B), edges, strict=True)):
        p, q = (np.histogram(images[:, channel], edge)[0] / images[:, channel].size for images in lab)
        assert found[name] == pytest.approx(np.minimum(p, q).sum(), abs=1e-12)
        assert 0.1 < found[name] < 0.95


def test_bins_hold_all_of_srgb_and_none_is_lost() -> None:
    for bins in (1, 2, 7, 100, 256):
        metric = LabHistogram(bins=bins)
        metric.update(cube(), cube())
        assert all(part.sum() == cube()[0, 0].numel() for half in metric.states[0] for part in half.split(metric._bins))
        inner = metric.states[0][0].split(metric._bins)
        assert metric.compute() == {L: 1, A: 1, B: 1}
        assert len(inner[0]) == bins and 0.4 * 220 * bins / 100 < len(inner[1]) < 0.6 * 220 * bins / 100 + 3


@pytest.mark.parametrize("bins", [1, 7, 100])
def test_the_edges_are_those_of_the_bins(bins: int) -> None:
    metric = LabHistogram(bins=bins)
    images = pictures(3)
    lab = rgb_to_lab(images)
    for channel, (counts, edges) in enumerate(zip(metric.by_channel(metric.counts(images).sum(0)), metric.edges(), strict=True)):
        assert len(edges) == len(counts) + 1
        assert counts.tolist() == np.histogram(lab[:, channel].double(), edges)[0].tolist()
    assert metric.edges()[0][-1] == 100 and metric.edges()[1][-1] == -metric.edges()[1][0] >= 110


def test_pictures_with_known_outputs() -> None:
    red, blue = one_colour(1, -1, -1), one_colour(-1, -1, 1)
    assert values(red, red) == {L: 1, A: 1, B: 1}
    assert values(red, blue) == {L: 0, A: 1, B: 0}  # a is 80.1 and 79.2: one bin
    half = torch.cat([red[..., :2], blue[..., 2:]], -1)
    assert values(half, red) == {L: 0.5, A: 1, B: 0.5}
    assert values(half, half.flip(-1)) == {L: 1, A: 1, B: 1}  # blind to where


def test_colours_are_those_of_the_set_not_of_each_image() -> None:
    red, blue = one_colour(1, -1, -1), one_colour(-1, -1, 1)
    assert values(torch.cat([red, blue]), torch.cat([blue, red])) == {L: 1, A: 1, B: 1}
    metric = LabHistogram()
    metric.update(red, red)  # 16 pixels right
    metric.update(one_colour(1, -1, -1, size=8), one_colour(-1, -1, 1, size=8))  # 64 wrong
    assert metric.compute() == {L: pytest.approx(0.2), A: 1, B: pytest.approx(0.2)}


def test_a_grey_output_lacks_colour_but_not_lightness() -> None:
    target = pictures(4)
    lightness = rgb_to_lab(target)[:, :1]
    f = (lightness + 16) / 116
    y = torch.where(f > 6 / 29, f**3, 3 * (6 / 29) ** 2 * (f - 4 / 29))
    grey = (torch.where(y <= 0.0031308, 12.92 * y, 1.055 * y ** (1 / 2.4) - 0.055) * 2 - 1).expand(-1, 3, -1, -1)
    found = values(grey, target)
    assert found[L] > 0.99
    assert found[A] < 0.2 and found[B] < 0.2


def test_rounding_does_not_tear_grey_apart() -> None:
    grey = torch.linspace(-0.9, 0.9, 400).expand(1, 3, 1, 400)
    found = values(grey + torch.randn(grey.shape, generator=torch.Generator().manual_seed(0)) * 1e-5, grey)
    assert found[A] == found[B] == 1


def test_neither_order_nor_batches_matter() -> None:
    x, y = pictures(6), pictures(6, seed=1)
    whole = values(x, y)
    metric = LabHistogram()
    for i in (3, 0, 5, 1, 4, 2):
        metric.update(x[i : i + 1], y[i : i + 1])
    assert metric.compute() == whole


def test_16_bit_values_are_seen() -> None:
    steps = torch.arange(2000).view(1, 1, 40, 50) / 65535 * 2 - 0.2  # 2,000 neighbouring 16-bit values: 3 % of the range
    images = steps.expand(1, 3, -1, -1)
    shifted = images + 1000 / 65535 * 2
    assert values(shifted, images, bins=1000)[L] == pytest.approx(0.5, abs=0.05)
    assert values(shifted, images, bins=10)[L] > 0.7


def test_grey_images_have_lightness_only() -> None:
    x, y = pictures(4)[:, :1], pictures(4, seed=1)[:, :1]
    metric = LabHistogram()
    metric.update(x, y)
    assert list(metric.compute()) == list(metric.interval()) == [L]
    assert metric.compute()[L] == values(x.expand(-1, 3, -1, -1), y.expand(-1, 3, -1, -1))[L]
    assert metric.bounds() == {TARGET_ITSELF: {L: 1.0}}
    metric.update(pictures(1), pictures(1))  # beside one colour image, a grey one is a colour image that is grey
    assert list(metric.compute()) == [L, A, B]
    metric.reset()
    metric.update(x, y)
    assert list(metric.compute()) == [L]


def test_other_channels_are_skipped_and_leave_no_trace() -> None:
    metric = LabHistogram()
    with pytest.raises(Skipped, match="5 channels"):
        metric.update(torch.zeros(1, 5, 4, 4), torch.zeros(1, 5, 4, 4))
    assert metric.states == []


def test_the_interval_holds_the_value_where_resampling_would_not() -> None:
    target = pictures(40, size=8)
    metric = LabHistogram()
    metric.update(target.roll(1, 0), target)  # the same set, so 1; resampled pairs are two sets that differ
    assert metric.compute() == {L: 1, A: 1, B: 1}
    for low, high in metric.interval().values():
        assert 0 < low < 1 == high
    metric.reset()
    metric.update(target[:3], target[:3])
    assert metric.interval() == {}


def test_a_picture_that_is_not_a_number_is_not_black() -> None:
    bad = pictures(2)
    bad[1, 0, 3, 3] = math.nan
    assert all(map(math.isnan, values(bad, pictures(2)).values()))


def test_no_bins_are_refused() -> None:
    with pytest.raises(UserError, match="bins is 0"):
        LabHistogram(bins=0)
