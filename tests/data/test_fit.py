"""How a picture comes to a size that is not its own: what lies on each other, what is padded, and that padding counts in nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from transfigure.data import images, pixels
from transfigure.data.augmentation import Augmentation
from transfigure.data.dataset import Cache, Loader, PairDataset, PairFormat, PairSampler, prepare
from transfigure.data.masks import Counts
from transfigure.data.open import open_data, resolve_data
from transfigure.data.pairs import FilePicture, Record
from transfigure.data.pixels import Array
from transfigure.data.resident import ResidentLoader
from transfigure.data.transforms import FITS, Fit, Framing, Geometry
from transfigure.errors import UserError
from transfigure.evaluation.sizes import ScoredSizes
from transfigure.recipe import Data

sides = st.integers(2, 40)
KEPT: list[Fit] = ["fit", "crop", "pad"]


def of(height: int, width: int) -> Array:
    """Every pixel has another value."""
    return np.arange(height * width, dtype=np.float32).reshape(height, width, 1) / (height * width)


@settings(max_examples=60, deadline=None)
@given(height=sides, width=sides, load=st.integers(4, 30), margin=st.integers(0, 3), kind=st.sampled_from(KEPT), native=st.booleans())
def test_proportions_are_kept(height: int, width: int, load: int, margin: int, kind: Fit, native: bool) -> None:
    crop = max(1, load - margin)
    geometry = Geometry(None if native else load, crop, fit=kind)
    place, _ = geometry.framings((height, width), (height, width))
    wanted = crop if native else load
    source, target = geometry.prepare(of(height, width), of(height, width))
    assert source.shape[:2] == target.shape[:2] == place.frame and min(place.frame) >= crop
    assert abs(place.height / height - place.width / width) <= 1 / min(height, width), "but for rounding to whole pixels"
    if kind == "pad":
        assert (place.height, place.width) == (height, width)
    if kind == "crop":
        assert not place.pads and (native or min(place.frame) == load)
    if kind == "fit" and not native:
        assert place.frame == (load, load) and max(place.height, place.width) == load
    if native:
        assert (place.height, place.width) >= (height, width), "nothing is reduced"
    mask = prepare(geometry, of(height, width), of(height, width)).mask
    if max(wanted - height, wanted - width) <= 0 and kind != "fit":
        assert mask is None
    if mask is not None:
        assert int(mask.sum()) == min(place.height, place.frame[0]) * min(place.width, place.frame[1]), "what is padded, and that alone"
        inside = mask[..., 0] != 0
        expected = pixels.resize(of(height, width), place.height, place.width, "bicubic")
        np.testing.assert_array_equal(source[inside].reshape(-1), expected.reshape(-1))
        assert source.min() >= expected.min() and source.max() <= expected.max(), "padded with what is there"


@settings(max_examples=60, deadline=None)
@given(source=st.tuples(sides, sides), target=st.tuples(sides, sides), kind=st.sampled_from(FITS[1:]), load=st.sampled_from([None, 24]))
def test_a_target_of_another_size_is_brought_to_its_source(
    source: tuple[int, int], target: tuple[int, int], kind: Fit, load: int | None
) -> None:
    geometry = Geometry(load, 8, fit=kind, source_rule="nearest", target_rule="nearest")
    found = prepare(geometry, of(*source), of(*target))
    first, second = geometry.framings(source, target)
    assert found[0].shape == found[1].shape and first.frame == second.frame
    if kind == "resize":
        assert first == second and found.mask is None
        return
    middles = [(one.top + one.height / 2, one.left + one.width / 2) for one in (first, second)]
    if source != target:
        assert np.abs(np.subtract(*middles)).max() <= 0.5, "middle on middle, but for half a pixel"
    if kind == "pad":
        assert (second.height, second.width) == target
    if source != target and kind == "fit":
        assert second.height <= first.height and second.width <= first.width
    if source != target and kind == "crop":
        assert second.height >= first.height and second.width >= first.width
    counts = np.ones(first.frame, bool) if found.mask is None else found.mask[..., 0] != 0
    for place, array, shape in zip((first, second), found, (source, target)):
        held = place.holds()
        assert held is None or not (counts & ~held).any()
        plain = pixels.resize(of(*shape), place.height, place.width, "nearest")
        rows, columns = np.nonzero(counts)
        np.testing.assert_array_equal(array[rows, columns], plain[rows - place.top, columns - place.left])


@pytest.mark.parametrize(("kind", "size", "expected"), [
    ("resize", (40, 20), (16, 16, 0, 0)),
    ("refuse", (40, 20), (16, 16, 0, 0)),
    ("fit", (40, 20), (16, 8, 0, 4)),
    ("crop", (40, 20), (32, 16, 0, 0)),
    ("pad", (40, 12), (40, 12, 0, 2)),
])  # fmt: skip
def test_words_mean_what_they_say(kind: Fit, size: tuple[int, int], expected: tuple[int, ...]) -> None:
    place, _ = Geometry(16, 16, fit=kind).framings(size, size)
    assert (place.height, place.width, place.top, place.left) == expected


def test_beyond_the_border_a_picture_is_mirrored() -> None:
    array = of(3, 2)
    found = Framing(3, 2, 4, 3, (9, 9)).framed(array)
    np.testing.assert_array_equal(found, np.pad(array, ((4, 2), (3, 4), (0, 0)), "symmetric"))
    np.testing.assert_array_equal(Framing(3, 2, -1, 1, (2, 4)).framed(array)[:, 1:3], array[1:])


def test_a_mask_goes_where_its_picture_goes() -> None:
    mask = np.zeros((30, 20), bool)
    mask[10:, :15] = True
    for kind in FITS[1:]:
        geometry = Geometry(16, 16, fit=kind, source_rule="nearest", target_rule="nearest")
        for given_for in ("source", "target", "given"):
            counts = Counts(**{given_for: mask})
            found = prepare(geometry, mask[..., None].astype(np.uint8), mask[..., None].astype(np.uint8), counts)
            assert found.mask is not None
            inside = found.mask != 0
            assert inside.any() and (found[0][inside] == 1).all() and (found[1][inside] == 1).all()
    small = np.ones((10, 10), np.uint8)[..., None]
    of_target = np.ones((10, 10), bool)
    of_target[:5] = False
    found = prepare(Geometry(None, 8, fit="pad"), np.ones((20, 20, 1), np.uint8), small, Counts(given=of_target))
    assert found.mask is not None and found.mask[10:15, 5:15].all() and found.mask.sum() == 50, "a mask may have the target's size"


# ---- data sets -----------------------------------------------------------------------------------------------------------


def written(folder: Path, shapes: list[tuple[tuple[int, int], tuple[int, int]]]) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    for number, both in enumerate(shapes):
        for side, size in zip("AB", both):
            images.write(folder / side / f"{number}.png", rng.integers(0, 256, (*size, 3), dtype=np.uint8))
    return {"path": str(folder), "val_fraction": 0, "test_fraction": 0, "crop_size": 16}


SHAPES = [((32, 32), (32, 32)), ((32, 32), (20, 40)), ((24, 40), (24, 40)), ((12, 20), (12, 20))]


def test_how_many_were_changed_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    keys = written(tmp_path, SHAPES)
    with pytest.raises(
        UserError, match=r"1 of 4 pairs cannot be used:\n.*--data\.fit resize brings the target to it; so do fit, crop and pad"
    ):
        open_data(resolve_data(Data(**keys)), quiet=True)
    words = {
        "fit": ["each target is scaled with its proportions until it lies inside its source (what is padded does not count), 1 (from 40x20",
                "2 of 4 pairs are not square and will be scaled into 20x20 pixels, and the rest padded"],
        "crop": ["until it covers its source, and cut, 1", "2 of 4 pairs are not square and will be scaled until they cover 20x20"],
        "pad": ["laid on the middle of its source", "1 of 4 pairs are smaller than the crop of 16 pixels and will be padded, which"],
        "resize": ["resized to its source's size, 1", "not square and will be squeezed to 20x20 pixels"],
    }  # fmt: skip
    for kind, said in words.items():
        open_data(resolve_data(Data(**keys, load_size=20, fit=kind)))
        text = capsys.readouterr().err
        assert "1 of 4 pairs are of two sizes" in text
        for one in said:
            assert one in text, kind


@pytest.mark.parametrize("kind", KEPT)
@pytest.mark.parametrize("load_size", [None, 20])
def test_padding_is_masked_in_training_and_scoring_alike(tmp_path: Path, kind: Fit, load_size: int | None) -> None:
    data = open_data(resolve_data(Data(**written(tmp_path, SHAPES), load_size=load_size, fit=kind, rotation=20)), quiet=True)
    for index, ((source, target), plain) in enumerate(zip(SHAPES, data.train_plain)):
        assert plain.source.shape == plain.target.shape == (3, 16, 16)
        holds = [place.holds() for place in data.train_plain.geometry.framings(source, target)]
        pads = any(held is not None for held in holds)
        assert (plain.mask is not None) == pads, f"{index}"
        with_files, files = data.train_plain.with_files(index)
        assert torch.equal(with_files.source, plain.source)
        assert [one.shape[:2] for one in files] == [(16, 16)] * 2, "labels are taken from what the tensors show"
        jittered = data.train[0, index]
        assert jittered.source.shape == (3, 16, 16) and (jittered.mask is None or jittered.mask.shape == (1, 16, 16))


def test_the_cache_keeps_padded_pairs_with_their_masks(tmp_path: Path) -> None:
    keys = written(tmp_path, [((24, 40), (24, 40))] * 4)
    section = resolve_data(Data(**keys, load_size=20, fit="fit"))
    first, again = (open_data(section, quiet=True) for _ in range(2))
    assert first.train.cache.geometry.fit == "fit"
    for index in range(4):
        one, other = first.train[1, index], again.train[1, index]
        assert (
            torch.equal(one.source, other.source) and one.mask is not None and other.mask is not None and torch.equal(one.mask, other.mask)
        )
    squeezed = open_data(resolve_data(Data(**keys, load_size=20)), quiet=True).train[1, 0]
    assert squeezed.mask is None


def test_pairs_on_the_device_have_their_masks(tmp_path: Path) -> None:
    written(tmp_path, [((24, 40), (24, 40)), ((20, 20), (20, 20)), ((30, 18), (30, 18))])
    records = [Record(str(at), *(FilePicture((str(tmp_path / side / f"{at}.png"),)) for side in "AB")) for at in range(3)]
    geometry = Geometry(20, 16, fit="fit", augmentation=Augmentation(vertical_flip=True))
    data = [PairDataset(records, geometry, PairFormat("AtoB", 3, 3, dtypes=("uint8", "uint8")), cache=Cache(geometry)) for _ in range(2)]
    for epoch in range(3):
        sampler = PairSampler(3, 3, 0, epoch)
        (one,), (other,) = Loader(data[0], 3).epoch(sampler), ResidentLoader(data[1], 3, torch.device("cpu")).epoch(sampler)
        assert one.mask is not None and other.mask is not None and torch.equal(one.mask, other.mask)
        assert torch.equal(one.source, other.source) and torch.equal(one.target, other.target)


def test_two_domains_are_padded_and_have_no_masks(tmp_path: Path) -> None:
    keys = written(tmp_path, SHAPES)
    data = open_data(resolve_data(Data(**keys, load_size=20, fit="fit", unpaired=True)), quiet=True)
    assert all(data.train[0, index].mask is None and data.train[0, index].source.shape == (3, 16, 16) for index in range(4))


def test_what_was_scored_of_pictures_of_other_proportions_is_said() -> None:
    said = {}
    for kind in FITS:
        sizes = ScoredSizes(Geometry(20, 16, fit=kind).evaluation())
        sizes.take((16, 32))
        said[kind] = sizes.words(), sizes.share()
    assert said["refuse"] == said["resize"] == ("whole images, resized to 16 x 16", None)
    assert said["fit"] == ("whole images, scaled into 16 x 16", None)
    assert said["crop"] == ("the middle of images of 32 x 16, as much of each as covers 16 x 16", 0.5)
    assert said["pad"] == ("the middle 16 x 16 of images of 32 x 16", 0.5)
    small = ScoredSizes(Geometry(20, 16, fit="pad").evaluation())
    small.take((8, 12))
    assert small.share() is None, "all of it lies in the padded square"
