"""All that is wrong with a data set is said at once, and nothing that is right is complained about."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from transfigure.data import images
from transfigure.data.check import findings as check
from transfigure.data.check.findings import Findings, inspect, raise_if_bad
from transfigure.data.dataset import Cache, PairDataset, PairFormat
from transfigure.data.open import open_collection, open_data, resolve_data
from transfigure.data.pairs import FilePicture, Record
from transfigure.data.transforms import Geometry
from transfigure.errors import UserError
from transfigure.recipe import Data
from transfigure.wording import counted, said_once


def noise(seed: int, height: int = 8, width: int = 8, channels: int = 3, dtype: str = "uint8") -> Any:
    return np.random.default_rng(seed).integers(0, np.iinfo(dtype).max, (height, width, channels), dtype, endpoint=True)


def pair(folder: Path, name: str, source: Any, target: Any) -> Record:
    for side, array in (("A", source), ("B", target)):
        images.write(folder / side / f"{name}.png", array)
    return Record(name, FilePicture((str(folder / "A" / f"{name}.png"),)), FilePicture((str(folder / "B" / f"{name}.png"),)))


@pytest.fixture
def good(tmp_path: Path) -> list[Record]:
    return [pair(tmp_path, f"good{n}", noise(n), noise(100 + n, channels=1)) for n in range(4)]


def test_good_data(good: list[Record]) -> None:
    findings = inspect(good, Geometry(None, 8))
    assert (findings.errors, findings.warnings, findings.count, findings.unusable) == ([], [], 4, 0)
    assert (findings.source_channels, findings.target_channels) == (3, 1)
    assert (findings.source_dtype, findings.target_dtype) == ("uint8", "uint8")
    swapped = inspect(good, Geometry(None, 8), direction="BtoA")
    assert (swapped.source_channels, swapped.target_channels) == (1, 3)
    raise_if_bad(findings)


def test_squeezing_is_said(tmp_path: Path) -> None:
    records = [pair(tmp_path, "wide", noise(1, 8, 16), noise(2, 8, 16)), pair(tmp_path, "square", noise(3), noise(4))]
    (warning,) = inspect(records, Geometry(8, 8)).warnings
    assert warning.startswith("1 of 2 pairs are not square and will be squeezed to 8x8 pixels") and "wide" in warning
    assert inspect(records, Geometry(None, 8)).warnings == []


def test_validation_pictures_of_another_depth(tmp_path: Path) -> None:
    for split, dtype in (("train", "uint8"), ("val", "uint16")):
        for side in "AB":
            images.write(tmp_path / f"{split}{side}" / "1.png", noise(1, 16, 16, 1, dtype))
    section = resolve_data(Data(path=str(tmp_path), crop_size=16, load_size=16))
    with pytest.raises(UserError, match="validation source pictures are uint16, the training ones uint8"):
        open_data(section, quiet=True)


def test_everything_wrong_is_said_together(good: list[Record], tmp_path: Path) -> None:
    truncated = pair(tmp_path, "truncated", noise(1, 64, 64), noise(2, 64, 64, 1))
    for record in (truncated,):
        for picture in (record.a, record.b):
            data = picture.paths[0].read_bytes()
            picture.paths[0].write_bytes(data[: len(data) // 2])
    clear = noise(3, channels=4)
    clear[..., 3] = 7
    images.write(tmp_path / "odd.png", noise(4, width=9))
    odd = Record("odd", FilePicture((str(tmp_path / "odd.png"),), "left"), FilePicture((str(tmp_path / "odd.png"),), "right"))
    bad = [
        truncated,
        odd,
        pair(tmp_path, "sizes", noise(5), noise(6, height=9, channels=1)),
        pair(tmp_path, "alpha", clear, noise(7, channels=1)),
        pair(tmp_path, "deep", noise(8), noise(9, channels=1, dtype="uint16")),
        pair(tmp_path, "tiny", noise(10, 1, 1), noise(11, 1, 1, 1)),
    ]
    findings = inspect(good + bad, Geometry(None, 1))
    assert findings.unusable == len(bad)
    expected = {
        "A/truncated.png": "damaged", "B/truncated.png": "damaged", "odd.png": "9 pixels wide", "A/sizes.png": "is 8x8.*is 8x9",
        "A/alpha.png": "transparent", "B/deep.png": "16-bit but most target pictures are 8-bit", "A/tiny.png": "1x1", "B/tiny.png": "1x1",
    }  # fmt: skip
    assert len(findings.errors) == len(expected)
    for (file, reason), line in zip(expected.items(), findings.errors):
        assert file in line
        assert re.search(reason, line)
    with pytest.raises(UserError, match=r"^6 of 10 pairs cannot be used:\n  .*truncated"):
        raise_if_bad(findings)


def test_a_long_list_is_cut() -> None:
    with pytest.raises(UserError) as caught:
        raise_if_bad(Findings(errors=[f"file{n}.png is broken" for n in range(25)], count=30, unusable=25))
    assert "file19.png" in str(caught.value)
    assert "file20.png" not in str(caught.value)
    assert "and 5 more" in str(caught.value)


def test_grey_among_colour_is_only_a_warning(good: list[Record], tmp_path: Path) -> None:
    findings = inspect([*good, pair(tmp_path, "grey", noise(1, channels=1), noise(2, channels=1))], Geometry(None, 8))
    assert findings.errors == []
    assert findings.source_channels == 3
    assert any("1 of 5 source pictures are grey" in line and "grey.png" in line for line in findings.warnings)


def test_other_channel_counts_are_errors(tmp_path: Path) -> None:
    records = [pair(tmp_path, str(n), noise(n), noise(n + 9)) for n in range(3)]
    stacked = Record("stack", FilePicture((*records[0].a.files, *records[1].a.files)), records[0].b)
    findings = inspect([*records, stacked], Geometry(None, 8))
    assert findings.unusable == 1
    assert "has 6 channels but most source pictures have 3" in findings.errors[0]


def test_warnings(good: list[Record], tmp_path: Path) -> None:
    records = [
        *good,
        pair(tmp_path, "black", np.zeros((8, 8, 3), np.uint8), noise(1, channels=1)),
        pair(tmp_path, "flat", noise(2), np.full((8, 8, 1), 9, np.uint8)),
        pair(tmp_path, "small", noise(3, 4, 8), noise(4, 4, 8, 1)),
        pair(tmp_path, "again", noise(0), noise(100, channels=1)),
    ]
    findings = inspect(records, Geometry(None, 8))
    assert findings.errors == []
    assert [line.split(":")[0] for line in findings.warnings] == [
        "1 of 8 pairs are smaller than the crop of 8 pixels and will be enlarged",
        "1 of 8 source pictures hold one single value (1 of them black)",
        "1 of 8 target pictures hold one single value",
        "1 training pair has the same pixels as another, such as good0 and again",
    ]


def test_dark_16_bit_is_warned_about(tmp_path: Path) -> None:
    records = [pair(tmp_path, str(n), noise(n, channels=1, dtype="uint16") // 16, noise(n, channels=1, dtype="uint16")) for n in range(3)]
    findings = inspect(records, Geometry(None, 8))
    assert findings.errors == []
    (warning,) = findings.warnings
    smallest, largest = (extreme([extreme(record.a.read()) for record in records]) for extreme in (np.min, np.max))
    assert f"16-bit source pictures use only the values {smallest} to {largest} of 65535" in warning and largest <= 4095


def test_training_files_among_the_test_files(good: list[Record], tmp_path: Path) -> None:
    copied = pair(tmp_path / "test", "copy", noise(1), noise(101, channels=1))
    fresh = pair(tmp_path / "test", "fresh", noise(50), noise(51, channels=1))
    only_label = pair(tmp_path / "test", "label", noise(52), noise(101, channels=1))
    findings = inspect(good, Geometry(None, 8), held_out=[copied, fresh, only_label])
    assert findings.warnings == ["1 of 3 validation and test pairs are also in the training set, so their scores will be too good: copy"]


def test_progress_and_sink_spare_a_second_decoding(good: list[Record], monkeypatch: pytest.MonkeyPatch) -> None:
    geometry, steps = Geometry(8, 8), []
    cache = Cache(geometry)
    findings = inspect(good, geometry, direction="BtoA", progress=lambda done, of: steps.append((done, of)), sink=cache.put)
    assert steps == [(1, 4), (2, 4), (3, 4), (4, 4)]
    plain = PairDataset(good, geometry, PairFormat("BtoA", 1, 3))[0, 2]
    monkeypatch.setattr(images, "examine", lambda *_: pytest.fail("decoded again"))
    pair_format = PairFormat("BtoA", findings.source_channels, findings.target_channels)
    pair = PairDataset(good, geometry, pair_format, cache=cache)[0, 2]
    assert (pair.source == plain.source).all()
    assert (pair.target == plain.target).all()


def test_a_side_by_side_header_is_read_once_and_an_odd_width_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, width in (("even", 16), ("odd", 17)):
        images.write(tmp_path / f"{name}.png", noise(1, 8, width))
    records = open_collection("side_by_side", tmp_path).splits["all"]
    looks: list[str] = []
    size_of = images.size_of
    monkeypatch.setattr(check, "size_of", lambda path, *how: (looks.append(path), size_of(path, *how))[1])
    assert check.amiss_by_headers(records, Geometry(None, 8)) == ["odd"]
    assert [Path(file).name for file in looks] == ["even.png", "odd.png"]


def test_nothing_readable(tmp_path: Path) -> None:
    record = Record("x", FilePicture((str(tmp_path / "none.png"),)), FilePicture((str(tmp_path / "none.png"),)))
    findings = inspect([record], Geometry(None, 8))
    assert (findings.unusable, findings.source_channels, findings.source_dtype) == (1, 0, "")
    assert len(findings.errors) == 1


def test_real_data_is_clean(shared: Path) -> None:
    found = open_collection("two_folders", shared / "data" / "facades_mini22").splits
    findings = inspect(found["train"], Geometry(None, 256), held_out=found["test"])
    assert (findings.errors, findings.warnings) == ([], [])
    assert (findings.source_channels, findings.target_channels, findings.source_dtype) == (3, 3, "uint8")


def test_c20_a_target_of_another_size_is_brought_to_its_source(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number, size in enumerate([(32, 32), (64, 64), (33, 32), (32, 32)]):
        images.write(tmp_path / "A" / f"{number}.png", noise(number, 32, 32))
        images.write(tmp_path / "B" / f"{number}.png", noise(10 + number, *size, 1))
    keys: dict[str, Any] = {"path": str(tmp_path), "crop_size": 16, "val_fraction": 0, "test_fraction": 0}
    with pytest.raises(UserError, match=r"2 of 4 pairs cannot be used:\n.*32x32.*64x64.*--data\.fit resize"):
        open_data(resolve_data(Data(**keys)), quiet=True)
    for load_size in (None, 24):
        opened = open_data(resolve_data(Data(**keys, load_size=load_size, fit="resize", target_resize="nearest")))
        note = (
            "2 of 4 pairs are of two sizes: each target is resized to its source's size, 1 (from 64x64 to 32x32), 2 (from 32x33 to 32x32)"
        )
        assert note in capsys.readouterr().err
        for index in range(4):
            pair = opened.train[0, index]
            assert pair.source.shape == (3, 16, 16) and pair.target.shape == (1, 16, 16)
    native = open_data(resolve_data(Data(**keys, load_size=None, fit="resize", target_resize="nearest")), quiet=True).train_plain
    expected = images.resize(noise(11, 64, 64, 1), 32, 32, "nearest")[8:24, 8:24]
    np.testing.assert_array_equal(images.to_array(native[1].target), expected)


def test_c20_bicubic_is_the_rule_of_targets_unless_said(tmp_path: Path) -> None:
    prepared = Geometry(None, 16, fit="resize").prepare(noise(1, 20, 20), noise(2, 40, 40))[1]
    np.testing.assert_array_equal(prepared, images.resize(noise(2, 40, 40), 20, 20, "bicubic"))


@pytest.mark.parametrize(("count", "few"), [(1, "there is a single training pair: it will be memorised"), (4, "only 4 training pairs")])
def test_c28_few_pairs_and_nothing_that_validates_are_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], count: int, few: str
) -> None:
    for number in range(count):
        pair(tmp_path, str(number), noise(number, 16, 16), noise(100 + number, 16, 16))
    more = {} if count == 1 else {"val_fraction": 0.0}
    open_data(resolve_data(Data(path=str(tmp_path), load_size=16, crop_size=16, test_fraction=0, **more)))
    said = capsys.readouterr().err
    assert few in said
    assert "there are no validation pairs: no best model is chosen, and nothing tells how good the translator is" in said
    for number in range(count, 24):
        pair(tmp_path, str(number), noise(number, 16, 16), noise(100 + number, 16, 16))
    open_data(resolve_data(Data(path=str(tmp_path), load_size=16, crop_size=16, val_fraction=0.2, test_fraction=0)))
    assert "note:" not in capsys.readouterr().err


def test_few_validation_pictures_are_not_said_to_be_trained_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for split, count in (("train", 12), ("val", 3)):
        for side, start in (("A", 0), ("B", 50)):
            for number in range(count):
                images.write(tmp_path / f"{split}{side}" / f"{number}.png", noise(start + number + 200 * (split == "val"), 16, 16))
    open_data(resolve_data(Data(path=str(tmp_path), kind="unpaired", load_size=16, crop_size=16)))
    said = capsys.readouterr().err
    assert "note: validation: the target domain has only 3 pictures: scores of so few say little" in said
    assert "to train on" not in said


@pytest.mark.parametrize(("count", "noun", "words"), [(0, "pair", "0 pairs"), (1, "pair", "1 pair"), (2, "class", "2 classes")])
def test_a_count_agrees_with_its_word(count: int, noun: str, words: str) -> None:
    assert counted(count, noun, "classes" if noun == "class" else None) == words


def test_c21_one_reason_is_said_once_with_its_files() -> None:
    reasons = [(f"{name}.png is {name}x9 and too small: enlarge it", [f"{name}.png"]) for name in "12345"]
    reasons.insert(1, ("6.png is damaged", ["6.png"]))
    assert said_once(reasons) == [
        "1.png is 1x9 and too small: enlarge it; likewise 2.png, 3.png and 2 more",
        "6.png is damaged",
    ]
