"""CIE Lab and the two encodings made of it, against the definition, another library, and itself."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from transfigure.data.encodings.lab import CHROMA_REACH, Chroma, Lightness, lab_of_file, lab_to_rgb, rgb_to_lab
from transfigure.errors import RunFailure, UserError
from transfigure.metrics.colour import rgb_to_lab as by_metric

RNG = np.random.default_rng(0)
PHOTO = RNG.integers(0, 256, (17, 23, 3), np.uint8)
KNOWN = {
    (255, 255, 255): (100, 0, 0),
    (0, 0, 0): (0, 0, 0),
    (255, 0, 0): (53.2408, 80.0925, 67.2032),
    (0, 255, 0): (87.7347, -86.1827, 83.1793),
    (0, 0, 255): (32.2970, 79.1875, -107.8602),
    (119, 119, 119): (50.0344, 0, 0),
}
"""Lab of sRGB's corners and a grey for D65 and 2 degrees, as tables of colour give them."""


def test_known_colours() -> None:
    found = rgb_to_lab(np.array([*KNOWN]) / 255)
    assert np.abs(found - np.array([*KNOWN.values()])).max() < 0.02
    greys = rgb_to_lab(np.repeat(np.arange(256)[:, None] / 255, 3, axis=1))
    assert np.abs(greys[:, 1:]).max() < 1e-9 and (np.diff(greys[:, 0]) > 0).all()


def test_it_is_the_metrics_lab_and_that_of_scikit_image() -> None:
    images = torch.from_numpy(PHOTO).permute(2, 0, 1)[None].double() / 127.5 - 1
    mine = rgb_to_lab(PHOTO / 255)
    assert np.abs(by_metric(images)[0].permute(1, 2, 0).numpy() - mine).max() < 1e-9
    color = pytest.importorskip("skimage.color")
    assert np.abs(color.rgb2lab(PHOTO) - mine).max() < 0.03, "theirs is of matrices with fewer digits"


def test_there_and_back() -> None:
    assert np.abs(lab_to_rgb(rgb_to_lab(PHOTO / 255)) * 255 - PHOTO).max() < 1e-4
    every = np.stack(np.meshgrid(*[np.arange(0, 256, 15)] * 3), axis=-1).reshape(1, -1, 3).astype(np.uint8)
    source, colour = Lightness().encode(every), Chroma().encode(every)
    for lightness in (source, every):
        assert np.array_equal(Chroma().decode(colour, lightness), every), "all of sRGB fits between -1 and 1"


def test_a_colour_that_srgb_has_not_keeps_its_lightness_and_hue() -> None:
    strange = np.array([[50.0, 100.0, -100.0], [97.0, 60.0, 40.0], [3.0, -40.0, 40.0], [60.0, 5.0, 5.0]])
    rgb = lab_to_rgb(strange)
    assert ((rgb >= 0) & (rgb <= 1)).all()
    back = rgb_to_lab(rgb)
    assert np.abs(back[:, 0] - strange[:, 0]).max() < 2e-3
    ratio = back[:, 1:] / strange[:, 1:]
    assert np.abs(ratio[:, 0] - ratio[:, 1]).max() < 1e-3 and (ratio[:3] < 1).all() and np.allclose(ratio[3], 1)


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_a_grey_source_without_colour_comes_back_exactly(dtype: str) -> None:
    most = np.iinfo(dtype).max
    grey = np.arange(0, most + 1, max(1, most // 255)).astype(dtype)[None, :, None]
    nothing = torch.zeros(2, *grey.shape[:2])
    assert np.array_equal(Chroma().decode(nothing, grey), np.repeat(grey, 3, axis=2)), "in its own depth"
    assert np.array_equal(Lightness(dtype).decode(Lightness(dtype).encode(grey)), grey) or dtype == "uint16"
    coloured = Chroma().decode(torch.full((2, *grey.shape[:2]), 0.3), grey)
    assert coloured.dtype == grey.dtype
    assert np.abs(lab_of_file(coloured)[..., 0] - lab_of_file(grey)[..., 0]).max() < (0.6 if dtype == "uint8" else 0.01)


def test_what_the_networks_see() -> None:
    lab = rgb_to_lab(PHOTO / 255)
    assert np.abs(Lightness().encode(PHOTO)[0].numpy() - (lab[..., 0] / 50 - 1)).max() < 1e-5
    assert np.abs(Chroma().encode(PHOTO).numpy() - np.moveaxis(lab[..., 1:] / CHROMA_REACH, 2, 0)).max() < 1e-5
    assert torch.equal(Chroma().encode(PHOTO[..., :1]), torch.zeros(2, *PHOTO.shape[:2])), "a grey photo has no colour"
    assert torch.allclose(Lightness().encode(PHOTO), Lightness().encode(PHOTO.astype(np.uint16) * 257), atol=1e-6)
    twelve = Lightness("uint16", (0.0, 4095.0)).encode((PHOTO.astype(np.float64) / 255 * 4095).round().astype(np.uint16))
    assert torch.allclose(twelve, Lightness().encode(PHOTO), atol=2e-3)
    assert torch.equal(Lightness("uint16", (0.0, 4095.0)).encode(PHOTO), Lightness().encode(PHOTO)), "a range speaks of its own type"
    assert (Lightness().channels, Chroma().channels, Chroma().file_channels, Chroma().needs_source) == (1, 2, 3, True)


def test_a_large_photo_is_converted_row_by_row_alike() -> None:
    tall = RNG.integers(0, 256, (700, 1600, 3), np.uint8)
    whole = lab_of_file(tall)
    assert np.array_equal(whole[600:], lab_of_file(tall[600:])) and whole.shape == tall.shape
    colour = Chroma().encode(tall)
    assert np.abs(Chroma().decode(colour, tall).astype(int) - tall).max() == 0


def test_what_is_no_photo_is_refused() -> None:
    with pytest.raises(UserError, match="x has 4 channels: Lab is of grey"):
        Lightness().encode(np.zeros((4, 4, 4), np.uint8), "x")
    with pytest.raises(UserError, match="x holds values from"):
        Lightness().encode(np.full((4, 4, 1), 7, np.float32), "x")
    with pytest.raises(ValueError, match="does not lie on"):
        Chroma().decode(torch.zeros(2, 4, 4), np.zeros((4, 5, 3), np.uint8))
    with pytest.raises(ValueError, match="give it"):
        Chroma().decode(torch.zeros(2, 4, 4))
    with pytest.raises(RunFailure, match="not finite"):
        Chroma().decode(torch.full((2, 4, 4), torch.nan), np.zeros((4, 4, 3), np.uint8))
