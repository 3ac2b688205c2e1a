"""What counts reaches the networks beside the pair: from a folder of masks, a column, or what files declare to hold no data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch

from tests.tiny import noise_image, write_images
from transfigure.data import images, prepared
from transfigure.data.batch import collate
from transfigure.data.dataset import Loader, PairSampler
from transfigure.data.masks import black, data_of, filled, of_class, resized, without_no_data
from transfigure.data.open import OpenedData, open_data, resolve_data
from transfigure.data.resident import ResidentLoader
from transfigure.errors import UserError
from transfigure.recipe import Data, Recipe

NAMES = [f"{number}.png" for number in range(6)]


def section(path: Path, **options: Any) -> Data:
    given = {
        "path": str(path),
        "load_size": 24,
        "crop_size": 16,
        "val_fraction": 0.2,
        "test_fraction": 0.2,
        "cache_gb": 0.1,
        "target_resize": "nearest",
        **options,
    }
    return resolve_data(Recipe.from_dict({"data": given, "generator": {"name": "unet", "depth": 4}, "objective": {"terms": ["l1"]}}).data)


def opened(path: Path, **options: Any) -> OpenedData:
    return open_data(section(path, **options), quiet=True)


@pytest.fixture
def pairs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Six pairs in two folders, older than the reading of them, whose targets are white exactly where their masks count."""
    monkeypatch.setenv("TRANSFIGURE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(prepared, "SETTLED", -60.0)
    write_images(tmp_path / "data" / "A", *NAMES, size=(24, 24))
    for seed, name in enumerate(NAMES):
        mask = (noise_image(6, 6, 1, seed=seed) > 128).repeat(4, 0).repeat(4, 1).astype(np.uint8)
        images.write(tmp_path / "data" / "mask" / name, mask * (seed + 1))
        images.write(tmp_path / "data" / "B" / name, mask * 255)
    return tmp_path / "data"


def agrees(pair_mask: torch.Tensor | None, target: torch.Tensor) -> bool:
    return pair_mask is not None and pair_mask.dtype == torch.bool and torch.equal(pair_mask, target[..., :1, :, :] > 0)


def test_a_mask_is_cut_and_mirrored_with_its_pair_and_kept(pairs: Path) -> None:
    for _ in range(2):  # the second time from the store
        data = opened(pairs, mask="mask")
        for split in (data.train_plain, data.val, data.test):
            assert all(agrees(split[index].mask, split[index].target) for index in range(len(split)))
        for epoch in range(4):
            for index in range(len(data.train)):
                pair = data.train[epoch, index]
                assert pair.mask.shape == (1, 16, 16) and agrees(pair.mask, pair.target)
    assert data.train.cache.store is not None and len(data.train.cache.store) == 2 * (len(data.train) + len(data.val))
    assert len(data.train.cache) == 0, "nothing is left to memory"


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_have_masks(pairs: Path, workers: int) -> None:
    data = opened(pairs, mask="mask", cache_gb=0)
    sampler = PairSampler(len(data.train), 2, 0, 1)
    batches = list(Loader(data.train, 2, workers).epoch(sampler))
    assert batches and all(agrees(batch.mask, batch.target) for batch in batches)
    resident = list(ResidentLoader(data.train, 2, torch.device("cpu")).epoch(sampler))
    for one, other in zip(batches, resident, strict=True):
        assert torch.equal(one.target, other.target) and torch.equal(one.mask, other.mask)


def test_without_a_mask_nothing_is_otherwise(pairs: Path) -> None:
    plain, masked = opened(pairs), opened(pairs, mask="mask")
    for index in range(len(plain.train)):
        one, other = plain.train[1, index], masked.train[1, index]
        assert one.mask is None and torch.equal(one.source, other.source) and torch.equal(one.target, other.target)
    assert collate([plain.train[0, 0], plain.train[0, 1]]).mask is None
    some = collate([plain.train[0, 0], masked.train[0, 1]]).mask
    assert some is not None and bool(some[0].all()) and not bool(some[1].all())


def test_masks_lie_in_folders_of_splits_or_elsewhere_or_in_a_column(pairs: Path, tmp_path: Path) -> None:
    for split, names in (("train", NAMES[:4]), ("val", NAMES[4:])):
        for side in ("A", "B", "mask"):
            for name in names:
                images.write(tmp_path / "split" / f"{split}{side}" / name, images.read(pairs / side / name))
    data = opened(tmp_path / "split", mask="mask")
    assert len(data.train) == 4 and agrees(data.val[1].mask, data.val[1].target)
    (pairs / "mask").rename(tmp_path / "elsewhere")
    data = opened(pairs, mask=str(tmp_path / "elsewhere"))
    assert agrees(data.val[0].mask, data.val[0].target)
    lines = [f"data/A/{name},data/B/{name},{f'elsewhere/{name}' if name != '0.png' else ''}" for name in NAMES]
    (tmp_path / "pairs.csv").write_text("\n".join(["source,target,mask", *lines]))
    data = opened(tmp_path / "pairs.csv")
    found = {pair.name: pair for split in (data.train_plain, data.val, data.test) for pair in (split[at] for at in range(len(split)))}
    assert [name for name, pair in found.items() if pair.mask is None] == [name for name in found if name.endswith("A/0") or name == "0"]
    assert all(agrees(pair.mask, pair.target) for pair in found.values() if pair.mask is not None)
    (tmp_path / "pairs.csv").write_text("source,target,mask\ndata/A/0.png,data/B/0.png,missing.png\n")
    with pytest.raises(UserError, match=r"names 1 file that does not exist: .*missing\.png \(line 2\)"):
        opened(tmp_path / "pairs.csv")


def test_masks_by_a_pattern_of_one_file_or_several(pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        mask = images.read(pairs / "mask" / name)
        images.write(pairs / "two" / name.replace(".", "_top."), np.where(np.arange(24)[:, None, None] < 12, mask, 1))
        images.write(pairs / "two" / name.replace(".", "_low."), np.where(np.arange(24)[:, None, None] < 12, 1, mask))
    (tmp_path / "elsewhere").mkdir()
    for name in NAMES:
        (tmp_path / "elsewhere" / f"is_{name}").write_bytes((pairs / "mask" / name).read_bytes())
    monkeypatch.chdir(tmp_path)
    for mask in ("mask/{name}.png", "two/{name}_{top,low}.png", "elsewhere/is_{name}.png"):
        data = opened(pairs, mask=mask)
        assert agrees(data.train_plain[1].mask, data.train_plain[1].target), mask
        assert data.section.mask == (mask if "elsewhere" not in mask else str(tmp_path / mask))
    with pytest.raises(UserError, match=r"no file matches .*mask/\{name\}_x\.png"):
        opened(pairs, mask="mask/{name}_x.png")


def test_masks_that_cannot_be_meant_are_refused(pairs: Path) -> None:
    with pytest.raises(UserError, match=r"there is no such folder in .*data or in the working directory"):
        opened(pairs, mask="masks")
    with pytest.raises(UserError, match="in unpaired data there are no pairs"):
        opened(pairs, mask="mask", unpaired=True)
    images.write(pairs / "mask" / "3.png", noise_image(12, 24, 1))
    with pytest.raises(UserError, match=r"3\.png is 24x12 but .*B.3\.png is 24x24: a mask must have the size of what it masks"):
        opened(pairs, mask="mask")
    (pairs / "mask" / "3.png").unlink()
    with pytest.raises(UserError, match=r"1 pair of 6 has no mask of the same name in .*mask: 3"):
        opened(pairs, mask="mask")


# ---- no data ---------------------------------------------------------------------------------------------------------------


def tile(path: Path, seed: int, no_data: float, tagged: bool = True, part: slice = slice(0, 8), dtype: str = "float32") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    array = (np.random.default_rng(seed).random((24, 24)) * 900 + 50).astype(dtype)
    array[part] = no_data
    tifffile.imwrite(path, array, extratags=[(42113, "s", 0, f"{no_data:g}", True)] if tagged else [])


@pytest.mark.parametrize(
    ("value", "tagged", "told"), [(-9999, True, "tag"), (np.nan, True, "tag"), (np.nan, False, "nan"), (-1, False, -1), (0, True, "tag")]
)
def test_c13_no_data_is_black_and_does_not_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], value: float, tagged: bool, told: str | float
) -> None:
    monkeypatch.setenv("TRANSFIGURE_CACHE", str(tmp_path / "cache"))
    for number in range(5):
        tile(tmp_path / "A" / f"{number}.tif", number, value, tagged, slice(0, 8))
        tile(tmp_path / "B" / f"{number}.tif", number + 9, value, tagged, slice(20, 24))
    options = {"load_size": None, "source_range": [0, 1000], "target_range": [0, 1000], "nodata": told}
    for _ in range(2):
        data = open_data(section(tmp_path, **options, crop_size=24))
        said = capsys.readouterr().err
        assert f"{'NaN' if np.isnan(value) else value} means no data in 3 of 3 source pictures" in said and "of the values" not in said
        for pair in (data.train[0, 0], data.val[0], data.test[0]):
            assert not pair.mask[:, :8].any() and not pair.mask[:, 20:].any() and bool(pair.mask[:, 8:20].all())
            assert (pair.source[:, :8] == -1).all() and (pair.target[:, 20:] == -1).all() and pair.source[:, 8:].min() > -1
    halved = opened(tmp_path, **{**options, "load_size": 12, "target_resize": "bicubic"}, crop_size=12).train_plain[0]
    assert halved.mask[0].any(1).tolist() == [False] * 6 + [True] * 2 + [False] * 4, "what is resized from black does not count"
    if tagged and not np.isnan(value):
        plain = opened(tmp_path, **{**options, "nodata": "none"}, crop_size=24)
        assert plain.train[0, 0].mask is None


@pytest.mark.parametrize("direction", ["AtoB", "BtoA"])
@pytest.mark.parametrize("kind", ["two folders", "halves"])
def test_each_side_has_a_value_of_its_own(tmp_path: Path, direction: str, kind: str) -> None:
    """255 is no label in the targets, and white in the sources, whose own value is 7."""
    for number in range(3):
        source, target = noise_image(24, 24, 1, seed=number) // 2 + 20, noise_image(24, 24, 1, seed=9 + number) // 2 + 20
        source[:, :4], source[:, 4:8], target[:, 12:16], target[:, 20:] = 7, 255, 7, 255
        sides = (source, target) if direction == "AtoB" else (target, source)
        if kind == "halves":
            images.write(tmp_path / f"{number}.png", np.concatenate(sides, axis=1))
        else:
            for folder, side in zip("AB", sides):
                images.write(tmp_path / folder / f"{number}.png", side)
    options = {"direction": direction, "load_size": None, "crop_size": 24, "val_fraction": 0, "test_fraction": 0}
    told = opened(tmp_path, **options, source_nodata=7, target_nodata=255).train[0, 0]
    assert told.mask[0].any(0).tolist() == [False] * 4 + [True] * 16 + [False] * 4
    assert (told.source[0, :, :4] == -1).all() and (told.source[0, :, 4:8] == 1).all() and (told.target[0, :, 12:16] > -1).all()
    one = opened(tmp_path, **options, nodata=7, target_nodata="none").train[0, 0]
    assert one.mask[0].any(0).tolist() == [False] * 4 + [True] * 20
    both = opened(tmp_path, **options, nodata=7).train[0, 0]
    assert both.mask[0].any(0).tolist() == [False] * 4 + [True] * 8 + [False] * 4 + [True] * 8


def test_no_data_of_unpaired_sets_is_black(tmp_path: Path) -> None:
    for number in range(3):
        tile(tmp_path / "A" / f"{number}.tif", number, -9999)
        tile(tmp_path / "B" / f"{number}.tif", number, -9999)
    pair = opened(tmp_path, source_range=[0, 1000], target_range=[0, 1000], unpaired=True, load_size=None, test_fraction=0).train[0, 0]
    assert pair.mask is None and (pair.source == -1).any()


def test_channels_of_one_picture_agree_on_no_data(tmp_path: Path) -> None:
    for number in range(3):
        tile(tmp_path / f"{number}_0.tif", number, -9999, part=slice(0, 4))
        tile(tmp_path / f"{number}_1.tif", number, -9999 if number else -1, part=slice(4, 8))
        images.write(tmp_path / f"{number}.png", noise_image(24, 24, 1))
    lines = [f"{number}_0.tif;{number}_1.tif,{number}.png" for number in range(3)]
    (tmp_path / "pairs.csv").write_text("\n".join(["source,target", *lines]))
    options = {"source_range": [0, 1000], "load_size": None, "val_fraction": 0, "test_fraction": 0}
    with pytest.raises(
        UserError, match=r"0_0\.tif \(and 1 more\) are channels of one picture and declare -9999.* and -1.* as their no-data"
    ):
        opened(tmp_path / "pairs.csv", **options)
    (tmp_path / "pairs.csv").write_text("\n".join(["source,target", *lines[1:]]))
    pair = opened(tmp_path / "pairs.csv", **options, crop_size=24).train[0, 0]
    assert pair.mask[0].any(1).tolist() == [False] * 8 + [True] * 16


def test_nodata_of_a_recipe(tmp_path: Path) -> None:
    for written, meant in (("-9999", -9999.0), (".nan", "nan"), ("nan", "nan"), (float("nan"), "nan"), ("none", "none"), (0, 0.0)):
        assert Recipe.load("pix2pix", {"data.nodata": written}).data.nodata == meant
    for wrong in ("nothing", None, True):
        with pytest.raises(UserError, match=r"data\.nodata"):
            Recipe.load("pix2pix", {"data.nodata": wrong})
    sides = Recipe.load("pix2pix", {"data.nodata": "-1", "data.target_nodata": "255"}).data
    assert sides.no_data == (-1.0, 255.0) and sides.swapped().no_data == (255.0, -1.0) and sides.swapped().direction == "BtoA"
    assert Recipe.load("pix2pix", {"data.source_nodata": ".nan"}).data.no_data == ("nan", "tag")


def test_the_small_things() -> None:
    array = np.full((2, 2, 1), 7, np.int16)
    assert filled(array, np.eye(2, dtype=bool), black(array, (-1e6, 3.0))).ravel().tolist() == [7, -32768, -32768, 7]
    labels = np.array([[[9, 9, 9], [1, 2, 3]]], np.uint8)
    assert without_no_data(labels, 9, of_class(labels, data_of(labels, 9)))[0].tolist() == [[[1, 2, 3], [1, 2, 3]]]
    red = np.array([[[255, 0, 0], [0, 0, 0]]], np.uint8)
    assert data_of(red, 0).tolist() == [[True, False]] and data_of(red.astype(np.float32), 0).tolist() == [[False, False]]
    mask = np.zeros((9, 9), bool)
    mask[3:] = True
    assert resized(mask, 3, 3).any(1).tolist() == [False, True, True]
    assert resized(mask, 3, 3, "bicubic").any(1).tolist() == [False] * 3, "the cubic kernel reaches 6 pixels"
    assert resized(np.ones((9, 9), bool), 4, 4, "bicubic").all()


def test_training_pairs_of_which_nothing_counts_are_noted(pairs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in NAMES[:2]:
        images.write(pairs / "mask" / name, np.zeros((24, 24, 1), np.uint8))
    for _ in range(2):  # the second time from what is remembered of the pairs
        open_data(section(pairs, mask="mask", val_fraction=0, test_fraction=0))
        assert "note: 2 training pairs have nothing that counts, and nothing to teach: 0, 1" in capsys.readouterr().err
