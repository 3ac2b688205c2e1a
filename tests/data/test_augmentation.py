"""One draw moves source, target and mask alike, whatever is on; what is off moves nothing."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from transfigure.data import images, pixels
from transfigure.data.augmentation import NO_AUGMENTATION, Augmentation, Warp, jittered
from transfigure.data.batch import Batch, Pair
from transfigure.data.dataset import Cache, Loader, PairDataset, PairFormat, PairSampler
from transfigure.data.encodings.base import LinearValues
from transfigure.data.open import augmentation_of, open_data, resolve_data
from transfigure.data.pairs import FilePicture, Record
from transfigure.data.pixels import Array
from transfigure.data.resident import ResidentLoader, bytes_of, obstacle
from transfigure.data.transforms import Geometry
from transfigure.errors import UserError
from transfigure.recipe import Data

EVERYTHING = Augmentation(True, 25.0, 0.3, 1.5, 0.3, "both")
KINDS: dict[str, dict[str, Any]] = {
    "vertical_flip": {"vertical_flip": True},
    "rotation": {"rotation": 25.0},
    "scaling": {"scaling": 0.3},
    "elastic": {"elastic": 1.5},
}


def every_combination() -> Iterator[Augmentation]:
    for count in range(1, len(KINDS) + 1):
        for chosen in itertools.combinations(KINDS.values(), count):
            yield Augmentation(**{key: value for one in chosen for key, value in one.items()})


def picture(seed: int, height: int, width: int, channels: int = 1, dtype: str = "uint8") -> Array:
    rng = np.random.default_rng(seed)
    if dtype.startswith("float"):
        return rng.random((height, width, channels)).astype(dtype)
    ends = np.iinfo(dtype)
    return rng.integers(ends.min, ends.max, (height, width, channels), dtype, endpoint=True)


def drawn(geometry: Geometry, shape: Sequence[int], seed: int) -> Any:
    return geometry.draw(np.random.default_rng(seed), shape[0], shape[1], np.random.default_rng([seed, 3]))


# ---- geometry ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("augmentation", list(every_combination()), ids=lambda one: "+".join(one.words()))
@settings(max_examples=8, deadline=None)
@given(height=st.integers(20, 40), width=st.integers(20, 40), seed=st.integers(0, 2**32 - 1), rule=st.sampled_from(["bicubic", "nearest"]))
def test_equal_pictures_stay_equal_and_their_mask_goes_with_them(
    augmentation: Augmentation, height: int, width: int, seed: int, rule: Any
) -> None:
    geometry = Geometry(None, 16, source_rule=rule, target_rule=rule, augmentation=augmentation)
    mask = np.zeros((height, width, 1), np.uint8)
    mask[3:15, 2:17] = 1
    source = np.where(mask, picture(seed % 1000, height, width, 3), 255).astype(np.uint8)
    source[..., 2] = np.where(mask[..., 0], 7, 255)  # a channel that says which pixels have a part in a result
    source, target = geometry.prepare(source, source.copy())
    crop = drawn(geometry, source.shape, seed)
    found = [geometry.apply(array, crop, rule) for array in (source, target)]
    assert found[0].shape == (16, 16, 3) and found[0].dtype == np.uint8
    np.testing.assert_array_equal(found[0], found[1])
    counts = geometry.apply_mask(mask, crop)[..., 0] != 0
    assert (found[0][..., 2][counts] == 7).all(), "nothing that does not count has a part in what does"
    if rule == "nearest":
        assert (found[0][..., 2][~counts] == 255).all()


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), dtype=st.sampled_from(["uint8", "uint16", "int16", "int32"]))
def test_no_class_is_invented(seed: int, dtype: str) -> None:
    labels = np.random.default_rng(seed).choice(np.array([0, 3, 100], dtype), (24, 31, 1))
    geometry = Geometry(None, 16, target_rule="nearest", augmentation=EVERYTHING)
    assert set(np.unique(geometry.apply(labels, drawn(geometry, labels.shape, seed), "nearest"))) <= {0, 3, 100}


@settings(max_examples=20, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1), dtype=st.sampled_from(["uint8", "uint16", "int16", "uint32", "int32", "float16", "float32", "float64"])
)
def test_no_value_leaves_those_of_the_picture(seed: int, dtype: str) -> None:
    array = picture(seed % 99, 24, 31, 2, dtype) // 3 + 5 if "int" in dtype else picture(seed % 99, 24, 31, 2, dtype) * 900 - 300
    geometry = Geometry(None, 16, augmentation=replace(EVERYTHING, rotation=180))
    found = geometry.apply(array.astype(dtype), drawn(geometry, array.shape, seed), "bicubic")
    assert found.dtype.name == dtype and found.min() >= array.min() and found.max() <= array.max()


def test_a_right_angle_is_a_right_angle_and_nothing_is_nothing() -> None:
    array = picture(0, 20, 20, 3)
    for rule in ("bicubic", "nearest"):
        np.testing.assert_array_equal(pixels.sample(array, *Warp().places(3, 5, 12), rule), array[3:15, 5:17])
        np.testing.assert_array_equal(pixels.sample(array, *Warp(90).places(0, 0, 20), rule), np.rot90(array))
        beyond = pixels.sample(array, *Warp().places(-7, 10, 20), rule)
        np.testing.assert_array_equal(beyond, np.pad(array, ((7, 0), (0, 10), (0, 0)), "symmetric")[:20, 10:30])
    larger = pixels.sample(np.kron(array[:10, :10], np.ones((2, 2, 1), np.uint8)), *Warp(0, 2.0).places(0, 0, 20), "nearest")
    np.testing.assert_array_equal(larger, np.kron(array[:10, :10], np.ones((4, 4, 1), np.uint8))[10:30, 10:30])


def test_what_is_cut_out_of_a_large_picture_is_what_all_of_it_gives() -> None:
    large = picture(1, 200, 180)
    rows, columns = Warp(17.0, 1.2).places(101, 93, 16)
    found = pixels.sample(large, rows, columns, "bicubic")
    around = pixels.sample(large[60:160, 60:160], rows - 60, columns - 60, "bicubic")
    np.testing.assert_allclose(found.astype(int), around.astype(int), atol=1)


def test_the_elastic_grid_moves_as_far_as_it_is_said_to() -> None:
    augmentation = Augmentation(elastic=3.0)
    warps = [augmentation.draw(np.random.default_rng(seed))[1] for seed in range(300)]
    moved = np.array([one.displacements for one in warps if one is not None])
    assert moved.shape == (300, 32) and abs(moved.std() - 3) < 0.1 and abs(moved.mean()) < 0.1
    still = Warp().places(0, 0, 64)
    rows = np.stack([one.places(0, 0, 64)[0] - still[0] for one in warps if one is not None])
    assert 2 < rows.std() < 3.1, "between the points it is a little less"
    assert np.abs(np.diff(rows, axis=1)).max() < 1, "nothing folds"


def test_angles_and_factors_are_drawn_from_all_of_their_range() -> None:
    augmentation = Augmentation(rotation=10, scaling=0.25)
    warps = [warp for seed in range(500) if (warp := augmentation.draw(np.random.default_rng(seed))[1]) is not None]
    angles, factors = [one.degrees for one in warps], [one.factor for one in warps]
    assert -10 <= min(angles) < -9.5 and 9.5 < max(angles) <= 10
    assert 0.8 <= min(factors) < 0.81 and 1.24 < max(factors) <= 1.25 and abs(np.log(factors).mean()) < 0.02


@pytest.mark.parametrize("more", KINDS.values(), ids=KINDS)
def test_turning_one_thing_on_moves_no_other(more: dict[str, Any]) -> None:
    for seed in range(10):
        alone, together, without = (
            drawn(Geometry(40, 16, augmentation=one), (40, 40), seed) for one in (Augmentation(**more), EVERYTHING, NO_AUGMENTATION)
        )
        for one in (alone, together):
            assert (one.top, one.left, one.flipped) == (without.top, without.left, without.flipped)
        kind = next(iter(more))
        if kind == "vertical_flip":
            assert alone.upside_down == together.upside_down and alone.warp is None
        else:
            attribute = {"rotation": "degrees", "scaling": "factor", "elastic": "displacements"}[kind]
            assert getattr(alone.warp, attribute) == getattr(together.warp, attribute)


def test_evaluation_knows_nothing_of_it() -> None:
    geometry = Geometry(20, 16, augmentation=EVERYTHING)
    assert geometry.evaluation() == replace(geometry, augmentation=NO_AUGMENTATION).evaluation()


# ---- colour --------------------------------------------------------------------------------------------------------------


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), strength=st.floats(0, 1), channels=st.sampled_from([1, 2, 3, 13]))
def test_colours_stay_between_black_and_white(seed: int, strength: float, channels: int) -> None:
    image = torch.rand(channels, 9, 7, generator=torch.Generator().manual_seed(seed % 1000)) * 2 - 1
    before = image.clone()
    one, again = (jittered(image, strength, np.random.default_rng(seed), LinearValues(channels)) for _ in range(2))
    assert torch.equal(one, again) and torch.equal(image, before)
    assert one.dtype == torch.float32 and one.shape == image.shape and one.min() >= -1 and one.max() <= 1
    if strength == 0:
        assert torch.allclose(one, image, atol=1e-6)


def test_photos_keep_grey_grey_and_measured_channels_go_their_own_ways() -> None:
    grey = torch.rand(1, 8, 8).expand(3, 8, 8) - 0.5
    for seed in range(20):
        photo = jittered(grey, 0.3, np.random.default_rng(seed), LinearValues(3))
        assert torch.allclose(photo[0], photo[1], atol=1e-5) and torch.allclose(photo[0], photo[2], atol=1e-5)
    measured = jittered(grey, 0.3, np.random.default_rng(1), LinearValues(3, "uint16"))
    assert not torch.allclose(measured[0], measured[1], atol=1e-3)
    slices = jittered(grey, 0.3, np.random.default_rng(1), LinearValues(3, "uint16", channel_names=("0", "1", "2")))
    assert torch.allclose(slices[0], slices[1], atol=1e-5), "of a stack the slices stay alike"


def test_contrast_is_of_all_channels_that_belong_together() -> None:
    levels = torch.tensor([0.4, 0.1, -0.2])[:, None, None].expand(3, 4, 4)
    stack = LinearValues(3, "uint16", channel_names=("0", "1", "2"))
    apart = [
        float((one[0] - one[2]).mean()) / 0.6 for seed in range(40) for one in [jittered(levels, 0.2, np.random.default_rng(seed), stack)]
    ]
    assert 1 / 1.2 <= min(apart) < 0.9 and 1.1 < max(apart) <= 1.2


def test_a_jitter_changes_brightness_contrast_saturation_and_hue() -> None:
    image = torch.tensor([0.5, -0.2, -0.4])[:, None, None] * torch.linspace(0.5, 1, 64).reshape(1, 8, 8)
    found = [jittered(image, 0.2, np.random.default_rng(seed), LinearValues(3)) for seed in range(300)]
    shifts = torch.stack([one.mean() for one in found]) - image.mean()
    assert -0.22 < shifts.min() < -0.18 and 0.18 < shifts.max() < 0.22, "and the other saturation moves the mean a little"
    contrasts = [float(one[0].std() / image[0].std()) for one in found]
    assert min(contrasts) < 0.85 and max(contrasts) > 1.15
    means = torch.stack([one.mean((1, 2)) for one in found])
    spread, before = means.max(1).values - means.min(1).values, image.mean((1, 2)).max() - image.mean((1, 2)).min()
    assert spread.min() < 0.85 * before and spread.max() > 1.15 * before, "saturation"
    assert 0.6 < (means[:, 1] > means[:, 2]).float().mean() < 0.99, "hue: green and blue are near each other, and change places"


def test_no_data_stays_black() -> None:
    image = torch.rand(3, 8, 8)
    image[:, :3] = -1
    mask = torch.ones(1, 8, 8, dtype=torch.bool)
    mask[:, :4] = False
    found = jittered(image, 0.3, np.random.default_rng(2), LinearValues(3), mask)
    assert (found[:, :3] == -1).all() and not torch.equal(found[:, 3], image[:, 3]) and not torch.equal(found[:, 5], image[:, 5])


# ---- data sets -----------------------------------------------------------------------------------------------------------


def written(folder: Path, count: int = 6, **more: Any) -> list[Record]:
    """Pairs whose target is their source."""
    found = []
    for number in range(count):
        path = folder / f"{number}.png"
        images.write(path, picture(number, 22, 22, **more))
        found.append(Record(str(number), FilePicture((str(path),)), FilePicture((str(path),))))
    return found


def dataset(records: list[Record], geometry: Geometry, channels: int = 3, dtype: str = "uint8", **more: Any) -> PairDataset:
    how = PairFormat("AtoB", channels, channels, dtypes=(dtype, dtype))
    return PairDataset(
        records, geometry, how, seed=5, cache=Cache(geometry if more.get("training", True) else geometry.evaluation()), **more
    )


@pytest.mark.parametrize(("dtype", "channels"), [("uint8", 3), ("uint16", 1)])
def test_what_lies_on_each_other_still_does_in_every_epoch(tmp_path: Path, dtype: str, channels: int) -> None:
    records = written(tmp_path, dtype=dtype, channels=channels)
    plain, moved = (dataset(records, Geometry(20, 16, augmentation=one), channels, dtype) for one in (NO_AUGMENTATION, EVERYTHING))
    for epoch, index in itertools.product(range(3), range(6)):
        pair, other = moved[epoch, index], plain[epoch, index]
        assert torch.equal(pair.source, pair.target) and not torch.equal(pair.source, other.source)
    again = dataset(records, Geometry(20, 16, augmentation=EVERYTHING), channels, dtype)
    assert torch.equal(again[2, 3].source, moved[2, 3].source), "by seed, epoch and pair alone"
    evaluated = [
        dataset(records, Geometry(20, 16, augmentation=one), channels, dtype, training=False)[3] for one in (EVERYTHING, NO_AUGMENTATION)
    ]
    assert torch.equal(evaluated[0].source, evaluated[1].source)


def test_colours_of_sources_alone_leave_targets(tmp_path: Path) -> None:
    records = written(tmp_path, channels=3)
    jitter = Augmentation(colour_jitter=0.3)
    plain, found, both = (
        dataset(records, Geometry(20, 16, augmentation=one)) for one in (NO_AUGMENTATION, jitter, replace(jitter, colour_jitter_on="both"))
    )
    for index in range(6):
        assert torch.equal(found[0, index].target, plain[0, index].target)
        assert not torch.equal(found[0, index].source, plain[0, index].source)
        assert torch.equal(both[0, index].source, found[0, index].source) and torch.equal(both[0, index].target, found[0, index].source)


def test_two_domains_are_drawn_apart(tmp_path: Path) -> None:
    records = written(tmp_path, count=1, channels=3)
    unpaired = replace(Geometry(20, 20, flip=False, augmentation=EVERYTHING), paired=False)
    pair, crops = dataset(records, unpaired)[0, 0], dataset(records, unpaired).crops(0, 0, (20, 20), (20, 20))
    assert crops[0].warp != crops[1].warp and not torch.equal(pair.source, pair.target)
    plain = dataset(records, replace(unpaired, augmentation=NO_AUGMENTATION)).crops(0, 0, (20, 20), (20, 20))
    assert [(one.top, one.left, one.flipped) for one in crops] == [(one.top, one.left, one.flipped) for one in plain]


def same(one: Batch, other: Batch) -> bool:
    return one.names == other.names and torch.equal(one.source, other.source) and torch.equal(one.target, other.target)


def test_workers_change_nothing(tmp_path: Path) -> None:
    records = written(tmp_path, channels=3)
    sampler = PairSampler(6, 2, 1, 0)
    geometry = Geometry(20, 16, augmentation=EVERYTHING)
    here, workers = Loader(dataset(records, geometry), 2), Loader(dataset(records, geometry), 2, workers=1)
    try:
        assert all(map(same, here.epoch(sampler), workers.epoch(sampler)))
    finally:
        workers.close()


def test_mirrors_are_made_on_the_device_and_the_rest_is_left_to_the_other_loader(tmp_path: Path) -> None:
    records = written(tmp_path, channels=3)
    geometry = Geometry(20, 16, augmentation=Augmentation(vertical_flip=True))
    sampler = PairSampler(6, 2, 1, 0)
    resident = ResidentLoader(dataset(records, geometry), 2, torch.device("cpu"))
    assert all(map(same, resident.epoch(sampler), Loader(dataset(records, geometry), 2).epoch(sampler)))
    assert any(dataset(records, geometry).crops(0, index, (20, 20), (20, 20))[0].upside_down for index in range(6))
    for one in (Augmentation(rotation=5), Augmentation(colour_jitter=0.1)):
        data = dataset(records, Geometry(20, 16, augmentation=one))
        assert bytes_of(data) is None and "on the CPU" in obstacle(data)
    assert "in size" in obstacle(dataset(records, Geometry(20, 16, fit="crop")))


# ---- recipes -------------------------------------------------------------------------------------------------------------


def test_the_keys_reach_the_pairs(tmp_path: Path) -> None:
    for number in range(3):
        for side in "AB":
            images.write(tmp_path / side / f"{number}.png", picture(number, 24, 24, 3))
    keys: dict[str, Any] = {"path": str(tmp_path), "crop_size": 16, "load_size": 20, "val_fraction": 0, "test_fraction": 0}
    wanted = {"vertical_flip": True, "rotation": 20, "scaling": 0.2, "elastic": 1, "colour_jitter": 0.2, "colour_jitter_on": "both"}
    section = Data(**keys, **wanted)
    assert augmentation_of(section) == Augmentation(**wanted)  # type: ignore[arg-type]
    opened = open_data(resolve_data(section), quiet=True)
    pair: Pair = opened.train[0, 1]
    assert torch.equal(pair.source, pair.target) and opened.train.crops(0, 1, (20, 20), (20, 20))[0].warp is not None
    assert opened.val.geometry.augmentation == opened.train_plain.geometry.augmentation == NO_AUGMENTATION
    assert augmentation_of(Data()) == NO_AUGMENTATION


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"source_encoding": "labels"}, "changes the colours of sources, and data.source_encoding is labels"),
        ({"source_encoding": "L", "target_encoding": "ab"}, "data.source_encoding is L"),
        ({"source_resize": "nearest"}, "data.source_resize is nearest, as for label maps"),
        ({"target_encoding": "labels", "colour_jitter_on": "both"}, "changes the colours of targets"),
    ],
)
def test_colours_that_mean_something_are_not_changed(keys: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        Data(**keys, colour_jitter=0.2)
    Data(target_encoding="labels", target_resize="nearest", colour_jitter=0.2)


def test_bounds() -> None:
    with pytest.raises(UserError, match=r"data\.elastic 33 would fold pictures of 256 pixels"):
        Data(elastic=33)
    for key, value in (("rotation", 181), ("scaling", 1.5), ("colour_jitter", -0.1), ("elastic", float("inf"))):
        with pytest.raises(UserError, match=f"data.{key}"):
            Data(**{key: value})
