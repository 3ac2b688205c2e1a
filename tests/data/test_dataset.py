"""Two integers describe where a training is in its data; workers, ranks and resuming change no picture."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import pickle
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from transfigure.data import images
from transfigure.data.batch import Batch
from transfigure.data.dataset import Cache, Loader, PairDataset, PairFormat, PairSampler, loader
from transfigure.data.open import open_collection
from transfigure.data.pairs import FilePicture, Record
from transfigure.data.transforms import Geometry
from transfigure.errors import RunFailure, UserError

GEOMETRY = Geometry(12, 8)


@pytest.fixture
def records(tmp_path: Path) -> list[Record]:
    rng = np.random.default_rng(0)
    found = []
    for n in range(7):
        path = tmp_path / f"{n}.png"
        images.write(path, rng.integers(0, 256, (10, 20, 3), np.uint8))
        found.append(Record(str(n), FilePicture((str(path),), "left"), FilePicture((str(path),), "right")))
    return found


def dataset(records: list[Record], geometry: Geometry = GEOMETRY, *, training: bool = True, cache_bytes: int = 2**20) -> PairDataset:
    return PairDataset(
        records,
        geometry,
        PairFormat("BtoA", 3, 3),
        training=training,
        cache=Cache(geometry if training else geometry.evaluation(), cache_bytes),
    )


def same(one: Batch, other: Batch) -> bool:
    return one.names == other.names and torch.equal(one.source, other.source) and torch.equal(one.target, other.target)


def test_a_pair(records: list[Record]) -> None:
    pair = dataset(records)[3, 2]
    assert pair.name == "2"
    for tensor in (pair.source, pair.target):
        assert (tensor.shape, tensor.dtype, tensor.is_contiguous()) == ((3, 8, 8), torch.float32, True)
        assert tensor.abs().max() <= 1


def test_direction_and_exact_values(records: list[Record]) -> None:
    left, right = records[4].load()
    pair = dataset(records, Geometry(None, 10, flip=False))[0, 4]
    assert torch.equal(pair.source, images.to_tensor(right))
    assert torch.equal(pair.target, images.to_tensor(left))


def test_source_and_target_stay_aligned(tmp_path: Path) -> None:
    images.write(tmp_path / "1.png", np.tile(np.random.default_rng(0).integers(0, 256, (20, 20, 1), np.uint8), (1, 2, 1)))
    picture = Record("1", FilePicture((str(tmp_path / "1.png"),), "left"), FilePicture((str(tmp_path / "1.png"),), "right"))
    data = PairDataset([picture], GEOMETRY, PairFormat("AtoB", 1, 3))
    seen = set()
    for epoch in range(20):
        pair = data[epoch, 0]
        assert torch.equal(pair.source.expand(3, -1, -1), pair.target)
        seen.add(pair.source.numpy().tobytes())
    assert len(seen) > 10


def test_jitter_depends_on_seed_epoch_and_index_only(records: list[Record]) -> None:
    one, other = dataset(records), dataset(records, cache_bytes=0)
    first = [one[1, index].source for index in range(7)]
    again = [other[1, index].source for index in reversed(range(7))][::-1]
    assert all(map(torch.equal, first, again))
    assert any(not torch.equal(a, one[2, index].source) for index, a in enumerate(first))
    reseeded = PairDataset(records, GEOMETRY, PairFormat("BtoA", 3, 3), seed=1)
    assert any(not torch.equal(a, reseeded[1, index].source) for index, a in enumerate(first))


def test_evaluation_ignores_the_epoch(records: list[Record]) -> None:
    data = dataset(records, training=False)
    assert torch.equal(data[5].source, data[9, 5].source)
    with pytest.raises(TypeError, match="epoch"):
        dataset(records)[5]


def test_the_cache_changes_no_pixel_and_keeps_to_its_budget(records: list[Record], capsys: pytest.CaptureFixture[str]) -> None:
    one_pair = 2 * 12 * 12 * 3
    small = dataset(records, cache_bytes=3 * one_pair)
    for epoch in range(2):
        for index in range(7):
            assert torch.equal(small[epoch, index].target, dataset(records, cache_bytes=0)[epoch, index].target)
    assert (len(small.cache), small.cache.bytes) == (3, 3 * one_pair)
    assert capsys.readouterr().err.count("note: the picture cache is full after 3 pairs (") == 1


def test_cached_pictures_are_not_decoded_again(records: list[Record]) -> None:
    data = dataset(records)
    first = data[0, 1]
    records[1].a.paths[0].unlink()
    assert torch.equal(data[0, 1].source, first.source)


def test_a_filled_cache_must_fit(records: list[Record]) -> None:
    with pytest.raises(ValueError, match="cache was prepared with"):
        PairDataset(records, GEOMETRY, PairFormat("AtoB", 3, 3), cache=Cache(GEOMETRY.evaluation()))


def test_16_bit_keeps_its_levels(tmp_path: Path) -> None:
    for side, top in (("a", 4095), ("b", 65535)):
        images.write(tmp_path / f"{side}.png", np.linspace(0, top, 64).astype(np.uint16).reshape(8, 8, 1))
    record = Record("1", FilePicture((str(tmp_path / "a.png"),)), FilePicture((str(tmp_path / "b.png"),)))
    data = PairDataset([record], Geometry(None, 8, False), PairFormat("AtoB", 1, 1, (0, 4095)))
    pair = data[0, 0]
    assert (float(pair.source.min()), float(pair.source.max())) == (-1, 1)
    assert len(pair.source.unique()) == len(pair.target.unique()) == 64


# ---- order ----------------------------------------------------------------------------------------------------------------

counts, batches, worlds = st.integers(1, 40), st.integers(1, 6), st.integers(1, 4)


@given(counts, batches, worlds, st.integers(0, 5), st.booleans())
def test_ranks_share_out_one_permutation(n: int, batch: int, world: int, epoch: int, drop: bool) -> None:
    assume(n >= world)
    ranks = [list(PairSampler(n, batch, 0, epoch, rank=rank, world_size=world, drop_last=drop)) for rank in range(world)]
    assert len({len(part) for part in ranks}) == 1
    assert all(seen_epoch == epoch for part in ranks for seen_epoch, _ in part)
    indices = [index for part in ranks for _, index in part]
    together = batch * world
    assert len(indices) == len(set(indices)), "no pair is seen twice"
    assert len(indices) == (n // together * together if drop and n >= together else n // world * world)
    # The batches of all ranks together are the batches of one rank that takes as many.
    alone = list(PairSampler(n, together, 0, epoch, drop_last=drop))
    whole = len(alone) // together if drop and n >= together else 0
    for k in range(whole):
        parts = [part[k * batch : (k + 1) * batch] for part in ranks]
        assert sorted(itertools.chain(*parts)) == sorted(alone[k * together : (k + 1) * together])


@given(counts, batches, st.integers(0, 50))
def test_resuming_goes_on_where_it_stopped(n: int, batch: int, done: int) -> None:
    whole = PairSampler(n, batch, 3, 2)
    rest = PairSampler(n, batch, 3, 2, start_batch=done)
    assert list(rest) == list(whole)[done * batch :]
    assert len(rest) == len(list(rest))
    assert rest.batches == whole.batches == -(-len(whole) // batch)


def test_epochs_and_seeds_differ() -> None:
    orders = {tuple(index for _, index in PairSampler(30, 1, seed, epoch)) for seed in range(4) for epoch in range(4)}
    assert len(orders) == 16


@pytest.mark.parametrize(("n", "batch", "rank", "world"), [(0, 1, 0, 1), (1, 1, 0, 2), (3, 0, 0, 1), (3, 1, 1, 1), (3, 1, -1, 1)])
def test_senseless_orders_are_refused(n: int, batch: int, rank: int, world: int) -> None:
    with pytest.raises(ValueError, match="cannot sample"):
        PairSampler(n, batch, 0, 0, rank=rank, world_size=world)


# ---- workers --------------------------------------------------------------------------------------------------------------


def test_small_data_still_gives_a_batch(records: list[Record]) -> None:
    (batch,) = loader(dataset(records), PairSampler(7, 16, 0, 0), 16)
    assert len(batch) == 7


def test_loading_is_lazy(records: list[Record]) -> None:
    data = dataset(records)
    next(loader(data, PairSampler(7, 2, 0, 0), 2))
    assert len(data.cache) == 2


@pytest.mark.parametrize("start_method", [pytest.param("fork"), pytest.param("spawn", marks=pytest.mark.slow)])
def test_workers_change_nothing(records: list[Record], start_method: str) -> None:
    alone, crowd = Loader(dataset(records), 2), Loader(dataset(records), 2, workers=2, start_method=start_method)
    for epoch in (0, 1):
        ours, theirs = (list(one.epoch(PairSampler(7, 2, 0, epoch, drop_last=False))) for one in (alone, crowd))
        assert len(ours) == len(theirs) == 4
        assert all(map(same, ours, theirs))
    abandoned = crowd.epoch(PairSampler(7, 2, 0, 2))
    next(abandoned)
    resumed = list(crowd.epoch(PairSampler(7, 2, 0, 2, start_batch=1)))
    assert all(map(same, resumed, list(alone.epoch(PairSampler(7, 2, 0, 2)))[1:]))


def test_ctrl_c_and_sigterm_do_not_end_the_workers(records: list[Record]) -> None:
    crowd = Loader(dataset(records), 1, workers=2)
    batches = crowd.epoch(PairSampler(7, 1, 0, 0))
    next(batches), next(batches)  # one of each worker, so both are at work
    for worker in multiprocessing.active_children():
        for number in (signal.SIGINT, signal.SIGTERM):
            os.kill(worker.pid or 0, number)
    assert len(list(batches)) == 5
    crowd.close()


def test_a_worker_that_is_killed_is_a_sentence() -> None:
    def dying() -> Iterator[Batch]:
        yield Batch(torch.zeros(1, 1, 2, 2), torch.zeros(1, 1, 2, 2), ("a",))
        raise RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed.")

    batches = Loader._prepared(dying())
    next(batches)
    with pytest.raises(RunFailure, match=r"fewer --data\.workers"):
        next(batches)


def test_an_error_in_a_worker_is_still_a_sentence(records: list[Record]) -> None:
    records[0].a.paths[0].write_bytes(b"broken")
    before = set(multiprocessing.active_children())
    with pytest.raises(UserError) as caught:
        list(loader(dataset(records), PairSampler(7, 7, 0, 0), 7, workers=1))
    assert str(caught.value).startswith(str(records[0].a.paths[0]))
    assert "\n" not in str(caught.value)
    assert set(multiprocessing.active_children()) == before, "whoever holds the error holds no worker"


def test_a_data_set_travels_without_its_cache(records: list[Record]) -> None:
    data = dataset(records)
    pair = data[0, 0]
    copy = pickle.loads(pickle.dumps(data))
    assert (len(data.cache), len(copy.cache), copy.cache.bytes) == (1, 0, 0)
    assert torch.equal(copy[0, 0].source, pair.source)


def test_real_pairs(shared: Path) -> None:
    found = open_collection("side_by_side", shared / "data" / "facade_windows").splits["train"][:6]
    data = PairDataset(found, Geometry(286, 256), PairFormat("BtoA", 3, 3))
    (batch,) = loader(data, PairSampler(6, 6, 0, 0), 6)
    assert batch.source.shape == batch.target.shape == (6, 3, 256, 256)
    assert batch.source.std() > 0.1
