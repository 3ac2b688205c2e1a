"""Pairs that stay on the device, and batches that are read ahead: the same pictures as ever, in the same order."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from transfigure.data import images
from transfigure.data.batch import Batch
from transfigure.data.dataset import Cache, Index, Loader, PairDataset, PairFormat, PairSampler
from transfigure.data.pairs import FilePicture, Record
from transfigure.data.read_ahead import ReadAhead
from transfigure.data.resident import ResidentLoader, bytes_of
from transfigure.data.transforms import Geometry
from transfigure.errors import UserError

CPU = torch.device("cpu")
GEOMETRY = Geometry(12, 8)


def same(one: Batch, other: Batch) -> bool:
    return one.names == other.names and torch.equal(one.source, other.source) and torch.equal(one.target, other.target)


def written(folder: Path, dtype: str, channels: tuple[int, int], count: int = 7) -> list[Record]:
    rng = np.random.default_rng(0)
    found = []
    for number in range(count):
        sides = []
        for side, wide in zip("ab", channels):
            path = folder / f"{number}_{side}.{'png' if dtype.startswith('uint') else 'tif'}"
            ends = (0, 0) if dtype.startswith("float") else (np.iinfo(dtype).min, np.iinfo(dtype).max)
            values = rng.random((10, 11, wide)) if ends == (0, 0) else rng.integers(*ends, (10, 11, wide), endpoint=True)
            images.write(path, values.astype(dtype))
            sides.append(FilePicture((str(path),)))
        found.append(Record(str(number), *sides))
    return found


def dataset(records: list[Record], dtype: str = "uint8", geometry: Geometry = GEOMETRY, **more: object) -> PairDataset:
    channels = more.pop("channels", (3, 1))
    how = PairFormat("AtoB", *channels, dtypes=(dtype, dtype), **more)  # type: ignore[arg-type, misc]
    return PairDataset(records, geometry, how, seed=5, cache=Cache(geometry), replaces=True)


def epochs(batches: ResidentLoader | ReadAhead | Loader, count: int, size: int = 7, batch: int = 3) -> Iterator[Batch]:
    for epoch in range(count):
        yield from batches.epoch(PairSampler(size, batch, 1, epoch, drop_last=False))


@pytest.mark.parametrize(
    ("dtype", "given"),
    [
        *(("uint8", None), ("uint8", (3, 200)), ("uint16", None), ("uint16", (100, 40_000)), ("float32", None), ("float32", (-1.0, 2.5))),
        *(("int8", None), ("int16", None), ("int16", (-1024, 3071)), ("float16", None), ("float16", (0.0, 0.5))),
    ],
)
def test_pairs_on_the_device_are_the_pairs(tmp_path: Path, dtype: str, given: tuple[float, float] | None) -> None:
    """Every type, with a range of its own or not, values above 32,767 among them; three epochs of jitter; bit for bit."""
    channels = (3, 1) if dtype == "uint8" else (1, 1)
    records = written(tmp_path, dtype, channels)
    data = [dataset(records, dtype, channels=channels, source_range=given, target_range=given) for _ in range(2)]
    expected = list(epochs(Loader(data[0], 3), 3))
    found = list(epochs(ResidentLoader(data[1], 3, CPU), 3))
    assert len(found) == 9 and all(map(same, found, expected))
    assert {batch.source.dtype for batch in found} == {torch.float32}


def test_types_that_are_converted_in_64_bits_are_left_to_the_other_loader(tmp_path: Path) -> None:
    records = written(tmp_path, "int32", (1, 1))
    assert bytes_of(dataset(records, "int32", channels=(1, 1))) is None


def test_without_pairs_each_source_meets_the_same_other_target(tmp_path: Path) -> None:
    records = written(tmp_path, "uint8", (3, 1))
    geometry = replace(GEOMETRY, paired=False)
    expected = list(epochs(Loader(dataset(records, geometry=geometry), 2), 2, batch=2))
    found = list(epochs(ResidentLoader(dataset(records, geometry=geometry), 2, CPU), 2, batch=2))
    assert all(map(same, found, expected))
    assert any(not torch.equal(one.target[0], two.target[0]) for one, two in zip(found, found[4:]))


def test_files_are_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = dataset(written(tmp_path, "uint8", (3, 1)))
    resident = ResidentLoader(data, 3, CPU)
    first = list(epochs(resident, 1))
    monkeypatch.setattr(data, "_prepared", lambda index: pytest.fail("read again"))
    again = list(epochs(resident, 1))
    assert all(map(same, first, again))


def test_a_pair_that_breaks_is_replaced_as_ever(tmp_path: Path) -> None:
    records = written(tmp_path, "uint8", (3, 1))
    for number in (2, 3):
        Path(records[number].a.paths[0]).write_bytes(b"no image")  # type: ignore[attr-defined]
    one, two = dataset(records), dataset(records)
    expected, found = list(epochs(Loader(one, 3), 2)), list(epochs(ResidentLoader(two, 3, CPU), 2))
    assert all(map(same, found, expected)) and one.unusable.keys() == two.unusable.keys() == {2, 3}
    late = ResidentLoader(dataset(records), 3, CPU)
    list(epochs(late, 1))
    late.dataset.unusable[5] = "found out by somebody else"
    names = [name for batch in epochs(late, 1) for name in batch.names]
    assert "5" not in names and names.count("6") == 2


def test_a_pair_of_another_type_goes_the_usual_way(tmp_path: Path) -> None:
    """Nobody is to say so of a data set that was inspected; if one is there all the same, its batch is right."""
    records = written(tmp_path, "uint8", (3, 1))
    deep = tmp_path / "deep"
    deep.mkdir()
    records[4] = replace(written(deep, "uint16", (1, 1))[4], name="deep")
    one, two = dataset(records), dataset(records)
    resident = ResidentLoader(two, 3, CPU)
    for data in (one, two):
        data.usual = None
    assert all(map(same, epochs(resident, 2), epochs(Loader(one, 3), 2)))


def test_what_they_take_is_known_before(tmp_path: Path) -> None:
    records = written(tmp_path, "uint8", (3, 1))
    assert bytes_of(dataset(records)) == 7 * 12 * 12 * 4
    deep = dataset(records, "uint16")
    assert bytes_of(deep) == 2 * 7 * 12 * 12 * 4
    native = dataset(records, geometry=Geometry(None, 8))
    assert bytes_of(native) is None
    with pytest.raises(ValueError, match="several sizes"):
        ResidentLoader(native, 1, CPU)


# ---- read ahead ----------------------------------------------------------------------------------------------------------


def test_reading_ahead_changes_nothing(tmp_path: Path) -> None:
    records = written(tmp_path, "uint8", (3, 1))
    expected = list(epochs(Loader(dataset(records), 3), 3))
    found = list(epochs(ReadAhead(Loader(dataset(records), 3), CPU), 3))
    assert len(found) == 9 and all(map(same, found, expected))


def test_it_reads_a_few_ahead_and_no_more(tmp_path: Path) -> None:
    asked: list[Index] = []

    def watched(sampler: Iterable[Index]) -> Iterator[Index]:
        for key in sampler:
            asked.append(key)
            yield key

    ahead = ReadAhead(Loader(dataset(written(tmp_path, "uint8", (3, 1))), 1), CPU, depth=2)
    batches = ahead.epoch(watched(PairSampler(7, 1, 0, 0)))
    next(batches)
    for _ in range(200):
        if len(asked) >= 4:
            break
        threading.Event().wait(0.01)
    threading.Event().wait(0.05)
    assert len(asked) == 4, "one given, two held, one in the hand that waits to lay it down"
    batches.close()  # type: ignore[attr-defined]


def test_an_epoch_that_is_broken_off_leaves_no_thread(tmp_path: Path) -> None:
    before = threading.active_count()
    ahead = ReadAhead(Loader(dataset(written(tmp_path, "uint8", (3, 1))), 1), CPU)
    for batches in (ahead.epoch(PairSampler(7, 1, 0, epoch)) for epoch in range(3)):
        list(itertools.islice(batches, 2))
        batches.close()  # type: ignore[attr-defined]
    assert threading.active_count() == before


def test_what_reading_raises_is_raised_in_its_place(tmp_path: Path) -> None:
    records = written(tmp_path, "uint8", (3, 1))
    Path(records[4].b.paths[0]).write_bytes(b"no image")  # type: ignore[attr-defined]
    data = dataset(records)
    data.replaces = False
    batches = ReadAhead(Loader(data, 1), CPU).epoch([(0, index) for index in range(7)])
    assert [next(batches).names[0] for _ in range(4)] == ["0", "1", "2", "3"]
    with pytest.raises(UserError, match=r"4_b\.png"):
        next(batches)
