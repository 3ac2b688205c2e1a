"""Known shifts are found: of blurred, inverted and re-coloured targets; and aligned pairs are called aligned."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageFilter

from transfigure.data.check.registration import Shift, common_shift, shift_between
from transfigure.data.pixels import Array
from transfigure.worlds.facades.dataset import draw_scene, render

SHIFTS = [(0, 0), (3, -2), (-7, 5), (0, 9), (-11, -4), (1, 0)]
"""Right, down."""


def picture(number: int, size: int = 160, kind: str = "day") -> Array:
    return render(draw_scene(0, number), kind, size)


def texture(number: int, size: int = 160) -> Array:
    """Blobs of all sizes, as cells or clouds."""
    noise = np.random.default_rng(number).normal(size=(size, size))
    waves = np.hypot(*np.meshgrid(np.fft.fftfreq(size), np.fft.fftfreq(size)))
    waves[0, 0] = 1
    values = np.fft.ifft2(np.fft.fft2(noise) / waves**1.2).real
    scaled = (values - values.min()) / (values.max() - values.min())
    return (scaled * 255).astype(np.uint8)[..., None]


def blurred(array: Array, radius: float) -> Array:
    image = Image.fromarray(array[..., 0] if array.shape[2] == 1 else array).filter(ImageFilter.GaussianBlur(radius))
    found = np.asarray(image)
    return found[..., None] if found.ndim == 2 else found


TARGETS = {
    "the same": lambda array: array,
    "blurred": lambda array: blurred(array, 2),
    "inverted": lambda array: 255 - array,
    "inverted and blurred": lambda array: 255 - blurred(array, 1.5),
    "noisy": lambda array: np.clip(array + np.random.default_rng(1).normal(0, 12, array.shape), 0, 255).astype(np.uint8),
    "16 bits": lambda array: array.astype(np.uint16) * 200,
    "squared": lambda array: (array.astype(np.float32) / 255) ** 2,
}


def moved(source: Array, target: Array, right: int, down: int, rim: int = 16) -> tuple[Array, Array]:
    """Both cut out of larger pictures, so that what comes in at a side is new."""
    height, width = source.shape[:2]
    return (
        source[rim : height - rim, rim : width - rim],
        target[rim - down : height - rim - down, rim - right : width - rim - right],
    )


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize(("right", "down"), SHIFTS)
@pytest.mark.parametrize("make", [picture, texture])
def test_a_known_shift_is_found(make: object, target: str, right: int, down: int) -> None:
    for number in (0, 1):
        source = make(number)  # type: ignore[operator]
        found = shift_between(*moved(source, TARGETS[target](source), right, down))
        assert found is not None and found.is_clear
        assert (found.right, found.down) == (pytest.approx(right, abs=0.7), pytest.approx(down, abs=0.7)), found


def test_half_a_pixel_is_told() -> None:
    large = np.asarray(Image.fromarray(texture(3, 320)[..., 0]))
    source, target = large[20:300:2, 20:300:2], large[20:300:2, 13:293:2]  # 3.5 pixels
    found = shift_between(source[..., None], target[..., None])
    assert found is not None and found.right == pytest.approx(3.5, abs=0.3) and found.down == pytest.approx(0, abs=0.3)


def test_pictures_that_have_nothing_in_common_are_not_called_shifted() -> None:
    for number in range(6):
        found = shift_between(texture(number), texture(100 + number))
        assert found is not None and not found.is_clear and found.length == 0


def test_what_cannot_be_told_is_not_told() -> None:
    assert shift_between(texture(0), texture(0)[:100]) is None
    assert shift_between(np.zeros((64, 64, 1), np.uint8), texture(0, 64)) is None
    assert shift_between(texture(0, 8), texture(0, 8)) is None


def test_a_large_picture_is_looked_at_in_its_middle() -> None:
    source = texture(5, 1200)
    found = shift_between(*moved(source, source, 6, -3))
    assert found is not None and (round(found.right), round(found.down)) == (6, -3)


@pytest.mark.parametrize(("right", "down"), [(0, 0), (3, -2), (-1, 0)])
def test_all_pairs_together_tell_what_none_tells_alone(right: int, down: int) -> None:
    """Targets that share little with their sources: far more noise than picture."""
    shifts: list[Shift] = []
    for number in range(24):
        source = texture(number)
        noise = np.random.default_rng(1000 + number).normal(0, 60, source.shape)
        found = shift_between(*moved(source, source.astype(np.float32) + noise.astype(np.float32), right, down))
        assert found is not None
        shifts.append(found)
    assert sum(one.is_clear for one in shifts) < 12
    together = common_shift(shifts)
    assert together is not None and (together.right, together.down) == (right, down)
    assert common_shift(shifts[:3]) is None


def test_unrelated_pairs_share_no_shift() -> None:
    shifts = [found for number in range(24) if (found := shift_between(texture(number), texture(100 + number))) is not None]
    together = common_shift(shifts)
    assert together is None or together.length == 0


def test_it_agrees_with_scikit_image_where_that_is_right() -> None:
    registration = pytest.importorskip("skimage.registration")
    for right, down in SHIFTS:
        source, target = moved(texture(2), texture(2), right, down)
        theirs, _, _ = registration.phase_cross_correlation(source[..., 0], target[..., 0], normalization=None)
        found = shift_between(source, target)
        assert found is not None
        assert (-theirs[1], -theirs[0]) == (pytest.approx(found.right, abs=0.7), pytest.approx(found.down, abs=0.7))
