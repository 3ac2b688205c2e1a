"""The two resizes: against their definition pixel by pixel, and against Pillow."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from transfigure.features.resizing import clean_bicubic, tf1_bilinear

SIZES = [
    ((4, 4), (8, 8)),
    ((8, 8), (4, 4)),
    ((7, 5), (13, 17)),
    ((31, 17), (11, 9)),
    ((5, 9), (5, 20)),
    ((1, 1), (3, 2)),
    ((40, 3), (29, 1)),
]


def picture(height: int, width: int, channels: int = 2, n: int = 2) -> Tensor:
    return torch.rand(n, channels, height, width, generator=torch.Generator().manual_seed(height * width)) * 255


def naive(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """One plane, one output pixel after the other."""
    result = np.zeros((height, width), np.float64)
    scale_y, scale_x = image.shape[0] / height, image.shape[1] / width
    for i in range(height):
        for j in range(width):
            y, x = i * scale_y, j * scale_x
            top, left = int(np.floor(y + 1e-9)), int(np.floor(x + 1e-9))
            down, right = min(top + 1, image.shape[0] - 1), min(left + 1, image.shape[1] - 1)
            v, u = y - top, x - left
            result[i, j] = (
                (1 - v) * (1 - u) * image[top, left]
                + (1 - v) * u * image[top, right]
                + v * (1 - u) * image[down, left]
                + v * u * image[down, right]
            )
    return result


@pytest.mark.parametrize(("before", "after"), SIZES)
def test_tf1_bilinear_is_its_definition(before: tuple[int, int], after: tuple[int, int]) -> None:
    images = picture(*before)
    resized = tf1_bilinear(images, *after)
    assert resized.dtype == torch.float32 and resized.shape == (2, 2, *after)
    for n in range(2):
        for c in range(2):
            assert resized[n, c].numpy() == pytest.approx(naive(images[n, c].double().numpy(), *after), abs=2e-3)


def test_tf1_bilinear_starts_at_the_first_pixel_and_stops_at_the_last() -> None:
    row = torch.tensor([[[[0.0, 1.0, 3.0]]]])
    assert tf1_bilinear(row, 1, 6).tolist() == [[[[0, 0.5, 1, 2, 3, 3]]]]
    assert tf1_bilinear(torch.arange(6.0).view(1, 1, 1, 6), 1, 3).tolist() == [[[[0, 2, 4]]]]  # neighbours skipped, not averaged
    same = picture(9, 7)
    assert torch.equal(tf1_bilinear(same, 9, 7), same)


@pytest.mark.parametrize("corners", [False, True])
def test_tf1_bilinear_is_not_torchs(corners: bool) -> None:
    images = picture(64, 64)
    for size in (32, 100, 299):
        torchs = F.interpolate(images, (size, size), mode="bilinear", align_corners=corners)
        assert (tf1_bilinear(images, size, size) - torchs).abs().mean() > 1


@pytest.mark.parametrize(("before", "after"), [*SIZES, ((256, 256), (299, 299)), ((64, 64), (299, 299)), ((512, 300), (299, 299))])
def test_clean_bicubic_is_pillows_on_floats(before: tuple[int, int], after: tuple[int, int]) -> None:
    image = picture(*before, channels=3, n=1)
    resized = clean_bicubic(image, *after)[0]
    for ours, plane in zip(resized, image[0], strict=True):
        pillows = Image.fromarray(plane.numpy()).resize((after[1], after[0]), Image.Resampling.BICUBIC)
        assert np.abs(ours.numpy() - np.asarray(pillows)).max() < 0.01


def test_clean_bicubic_neither_rounds_nor_clips() -> None:
    step = torch.zeros(1, 1, 16, 16)
    step[..., 8:] = 255
    resized = clean_bicubic(step, 33, 33)
    assert resized.min() < -5 and resized.max() > 260
    assert (resized != resized.round()).float().mean() > 0.2


def test_clean_bicubic_does_not_alias_where_tf1_does() -> None:
    stripes = torch.zeros(1, 1, 600, 600)
    stripes[..., ::2] = 255
    assert clean_bicubic(stripes, 200, 200)[..., 5:-5].std() < 10
    assert tf1_bilinear(stripes, 200, 200).std() > 100
