"""Which values are black and white, and what is said where that looks wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from transfigure.data import images
from transfigure.data.open import open_data, resolve_data
from transfigure.data.pixels import to_tensor
from transfigure.data.value_range import MeasuredParts, Watch, beyond_percentiles, folder_flag, limits, measured, number, train_flag
from transfigure.errors import UserError
from transfigure.recipe import Data


def two_folders(folder: Path, target: Any, count: int = 12) -> Path:
    """Pairs of noise in A, and in B what ``target(rng)`` makes."""
    for index in range(count):
        rng = np.random.default_rng(index)
        images.write(folder / "A" / f"{index}.png", rng.integers(0, 256, (20, 20, 3), np.uint8))
        array = target(rng)
        images.write(folder / "B" / f"{index}.{'tif' if array.dtype == np.float32 else 'png'}", array)
    return folder


def said(capsys: pytest.CaptureFixture[str], place: Path, **keys: Any) -> list[str]:
    """What opening the data for training says of values."""
    open_data(resolve_data(Data(path=str(place), load_size=20, crop_size=16, **keys)))
    return [line for line in capsys.readouterr().err.splitlines() if "use only the values" in line or "clipped" in line]


@pytest.mark.parametrize(("classes", "values"), [(2, "0 to 1"), (6, "0 to 5")])
def test_c01_masks_of_few_small_values_are_noted_with_the_flags(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], classes: int, values: str
) -> None:
    place = two_folders(tmp_path, lambda rng: rng.integers(0, classes, (20, 20, 1)).astype(np.uint8))
    (note,) = said(capsys, place)
    assert note == (
        f"note: the 8-bit target pictures use only the values {values} of 255 and will look dark: give the range that should become black "
        f"and white, --data.target_range '[0, {classes - 1}]' (for masks and class indices also --data.target_resize nearest, which mixes "
        "no two classes, or only --data.target_encoding labels)"
    )
    assert said(capsys, place, target_range=(0, classes - 1), target_resize="nearest") == []


def test_c01_an_ignored_class_of_255_hides_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = two_folders(tmp_path, lambda rng: rng.choice([0, 1, 18, 255], (20, 20, 1)).astype(np.uint8))
    (note,) = said(capsys, place)
    assert "target pictures use only the values 0 to 18 and 255, as label maps do" in note


@pytest.mark.parametrize("values", [(0, 255), (0, 256), (40, 200)], ids=str)
def test_c01_photos_and_masks_of_the_full_range_are_not_noted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], values: tuple[int, int]
) -> None:
    def target(rng: np.random.Generator) -> Any:
        both = values if values[1] == 255 else range(*values)
        return rng.choice(list(both), (20, 20, 1)).astype(np.uint8)

    assert said(capsys, two_folders(tmp_path, target)) == []


@pytest.mark.parametrize(
    ("array", "flag"),
    [
        (np.array([0, 4000], np.uint16), "'[0, 4095]'"),
        (np.array([300, 1023], np.uint16), "'[300, 1023]'"),
        (np.array([0.0, 0.125], np.float32), "'[0, 0.125]'"),
        (np.array([30000, 31000], np.uint16), "'[30000, 31000]'"),
    ],
)
def test_a_range_of_which_little_is_used_is_noted_with_its_numbers(array: Any, flag: str) -> None:
    watch = Watch("source pictures", flag=train_flag("source"))
    watch.look(array.reshape(1, -1, 1))
    (note,) = watch.notes()
    assert f"--data.source_range {flag}" in note
    assert ("little contrast" in note) == (array.min() > 10000)


def test_c34_a_range_that_saturates_is_said_with_its_share(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def target(rng: np.random.Generator) -> Any:
        array = np.full((20, 20, 1), 200, np.uint8)
        array[:5] = 50
        array[5:, :10] = 0
        return array

    place = two_folders(tmp_path, target)
    (note,) = said(capsys, place, target_range=(20, 100))
    # of 20 rows 15 are half 0 and half 200; 5 are 50
    assert note.startswith(
        "note: 75 % of the values of the 8-bit target pictures lie outside of the range 20 to 100 and are clipped "
        "(38 % black, 38 % white): they go from 0 to 200"
    )
    assert "--data.target_range '[0, 200]'" in note
    (wide,) = said(capsys, place, target_range=(0, 4095))
    assert "use only the values 0 to 200 of the range 0 to 4095" in wide
    assert said(capsys, place, target_range=(0, 200)) == []


def test_c12_rounding_beyond_the_range_is_no_error() -> None:
    array = np.array([[[0.136], [1.0000001]]], np.float32)
    assert array.max() > 1
    tensor = to_tensor(array)
    assert tensor.max() == 1
    np.testing.assert_allclose(tensor[0, 0, 0], 2 * 0.136 - 1, atol=1e-6)
    assert to_tensor(np.array([[[-9e-7]]], np.float32)) == -1


def test_c12_a_refusal_shows_the_digits_that_matter() -> None:
    with pytest.raises(UserError, match=r"holds values from 0\.136 to 1\.00001 where 0 to 1 is expected"):
        to_tensor(np.array([[[0.136], [1.00001]]], np.float32), name="x.tif")


def test_c12_and_c36_the_check_finds_floats_beyond_the_range_before_training(tmp_path: Path) -> None:
    def target(rng: np.random.Generator) -> Any:
        return rng.random((20, 20, 1)).astype(np.float32)

    for split in ("train", "val"):
        two_folders(tmp_path / split, target, 3)
    images.write(tmp_path / "val" / "B" / "1.tif", np.full((20, 20, 1), 1.5, np.float32))
    with pytest.raises(UserError, match=r"1 of 6 pairs cannot be used:\n.*val/B/1\.tif holds values from 1\.5 to 1\.5 where 0 to 1"):
        open_data(resolve_data(Data(path=str(tmp_path), load_size=20, crop_size=16)), quiet=True)


def test_limits_and_numbers() -> None:
    assert limits("uint16") == (0, 65535) and limits(np.dtype("uint8"), (3, 4)) == (3, 4)
    with pytest.raises(UserError, match=r"\(2, 2\) is empty"):
        limits("uint8", (2, 2))
    assert limits("int16") == (-32768, 32767)
    with pytest.raises(UserError, match="int64"):
        limits("int64")
    assert [number(value) for value in (4095, 0.136, 1.0000001, -9999, 1e-9)] == ["4095", "0.136", "1.0000001", "-9999", "0.000000001"]
    assert [number(value) for value in (2**31 - 1, -(2.0**31), 1e9 + 0.5, float(np.float32(0.1)))] == [
        "2147483647",
        "-2147483648",
        "1000000000.5",
        "0.1",
    ]
    assert folder_flag((0, 4095)) == "--value_range 0 4095"


def test_what_percentiles_leave_out_is_no_surprise() -> None:
    ramp = np.arange(1000, dtype=np.uint16).reshape(40, 25, 1)
    for percentiles, given, said in (
        ([1, 99], (10, 989), False),
        ([1, 99], (100, 989), True),
        (None, (10, 989), True),
        ("1", (0, 900), True),
    ):
        watch = Watch("target pictures", given, beyond=beyond_percentiles(percentiles))
        watch.look(ramp)
        assert any("are clipped" in note for note in watch.notes()) is said, (percentiles, given)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float16", "float32"])
@pytest.mark.parametrize("given", [None, (10.0, 200.0)])
@pytest.mark.parametrize("no_data", [None, 7.0, float("nan")])
@pytest.mark.parametrize("kind", ["noise", "labels", "nothing"])
def test_a_picture_in_parts_is_measured_as_the_whole(dtype: str, given: Any, no_data: float | None, kind: str) -> None:
    values = np.random.default_rng(0).integers(0, 256, (40, 30, 1))
    if kind == "labels":
        values = np.where(values < 200, values // 50, 255)
    array = values.astype(dtype)
    if no_data is not None and (not np.isnan(no_data) or dtype.startswith("float")):
        array[:13] = no_data
        if kind == "nothing":
            array[:] = no_data
    parts = MeasuredParts(40, 30, given, no_data)
    for top in range(0, 40, 13):
        parts.add(array[top : top + 13])
    assert parts.values == measured(array, given, no_data)
