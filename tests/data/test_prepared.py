"""What is kept of a data set is found again by its files alone, and never mistaken for another's."""

from __future__ import annotations

import errno
import fcntl
import os
import pickle
import shutil
import signal
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from transfigure.data import images, prepared
from transfigure.data.dataset import Loader, PairDataset, PairFormat, PairSampler, loader
from transfigure.data.open import caches
from transfigure.data.pairs import FilePicture, Record
from transfigure.data.pixels import Array
from transfigure.data.prepared import PreparedStore, all_kept, amount, cache_folder, evict, file_key
from transfigure.data.transforms import Geometry
from transfigure.recipe import Data

GEOMETRY = Geometry(12, 8)


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TRANSFIGURE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(prepared, "SETTLED", -60.0)  # the files of a test are young
    prepared._say_once.cache_clear()
    return tmp_path / "cache" / "data"


def section(path: Path, **keys: object) -> Data:
    return Data(kind="side_by_side", path=str(path), load_size=12, crop_size=8).replaced(**keys)


def test_a_folder_for_each_data_set_and_preparation(tmp_path: Path, place: Path) -> None:
    ours = cache_folder(section(tmp_path / "x"), GEOMETRY)
    assert ours is not None
    assert ours.parent == place
    assert ours == cache_folder(section(tmp_path / "x"), Geometry(12, 8, flip=False)), "chance is no preparation"
    others = [
        cache_folder(section(tmp_path / "y"), GEOMETRY),
        cache_folder(section(tmp_path / "x"), Geometry(13, 8)),
        cache_folder(section(tmp_path / "x"), Geometry(12, 8, target_rule="nearest")),
        cache_folder(section(tmp_path / "x", alpha="drop"), GEOMETRY),
        cache_folder(section(tmp_path / "x", orientation="ignore"), GEOMETRY),
    ]
    assert len({ours, *others}) == 6
    assert None not in others


def test_another_decoder_prepares_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = cache_folder(section(tmp_path), GEOMETRY)
    monkeypatch.setattr(prepared, "_decoders", lambda: ("pillow 99.0",))
    assert cache_folder(section(tmp_path), GEOMETRY) != before


def test_nothing_is_kept_of_what_is_drawn_or_not_wanted(tmp_path: Path) -> None:
    assert cache_folder(Data(kind="synthetic"), GEOMETRY) is None
    assert cache_folder(section(tmp_path, cache_gb=0.0), GEOMETRY) is None


@pytest.mark.parametrize("variable", ["XDG_CACHE_HOME", "HOME"])
def test_the_place_follows_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    monkeypatch.delenv("TRANSFIGURE_CACHE")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv(variable, str(tmp_path / "home"))
    inside = "transfigure/data" if variable == "XDG_CACHE_HOME" else ".cache/transfigure/data"
    folder = cache_folder(section(tmp_path), GEOMETRY)
    assert folder is not None
    assert folder.parent == tmp_path / "home" / inside


def test_a_foreign_folder_is_left_alone_and_said(tmp_path: Path, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ours = cache_folder(section(tmp_path), GEOMETRY)
    assert ours is not None
    (ours / "about.json").unlink()
    (ours / "thesis.txt").write_text("mine")
    for _ in range(2):
        assert cache_folder(section(tmp_path), GEOMETRY) is None
    assert capsys.readouterr().err.count("it holds thesis.txt, which is no cache of ours") == 1
    assert [item.name for item in ours.iterdir()] == ["thesis.txt"]


def test_a_place_that_is_a_file_is_a_note(tmp_path: Path, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place.parent.write_text("")
    assert cache_folder(section(tmp_path), GEOMETRY, quiet=True) is None
    assert capsys.readouterr().err == ""
    assert cache_folder(section(tmp_path), GEOMETRY) is None
    assert "set TRANSFIGURE_CACHE to a folder that can be written" in capsys.readouterr().err


def test_the_key_of_a_file(tmp_path: Path) -> None:
    file, other = tmp_path / "a", tmp_path / "b"
    file.write_bytes(b"123")
    other.write_bytes(b"123")
    key = file_key([file])
    assert key == file_key([file])
    assert key is not None
    assert len(key) == 16
    assert len({key, file_key([other]), file_key([file, other]), file_key([other, file]), file_key([file], "left")}) == 5


def test_hard_links_share_a_key_and_edits_change_it(tmp_path: Path) -> None:
    file, link = tmp_path / "a", tmp_path / "b"
    file.write_bytes(b"123")
    link.hardlink_to(file)
    before, state = file_key([file]), file.stat()
    assert before == file_key([link])
    time.sleep(0.02)
    file.write_bytes(b"456")
    os.utime(file, ns=(state.st_atime_ns, state.st_mtime_ns))  # of one size and age: the time of its inode's change still tells
    assert file_key([file]) not in (before, None)
    assert file_key([link]) == file_key([file])


def test_what_may_still_change_has_no_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    file = tmp_path / "a"
    assert file_key([file]) is None
    assert file_key([tmp_path]) is None
    file.write_bytes(b"123")
    assert file_key([file]) is None, "younger than the step of a clock"
    assert file_key([file], before=time.time() + 60) is not None
    assert file_key([file], before=time.time() - 60) is None, "it changed after the reading began"


# ---- the pairs of one folder ---------------------------------------------------------------------------------------------


def picture(seed: int, kind: str = "uint8", height: int = 5, width: int = 7, channels: int = 3) -> Array:
    rng = np.random.default_rng(seed)
    if kind.startswith("float"):
        return rng.random((height, width, channels), np.float32).astype(kind)
    return (
        rng.integers(0, 256, (height, width, channels), kind)
        if kind.startswith("uint")
        else rng.integers(-99, 99, (height, width, channels), kind)
    )


def name(number: int) -> bytes:
    return number.to_bytes(16, "big")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    found = cache_folder(section(tmp_path), GEOMETRY)
    assert found is not None
    return found


def store_in(folder: Path, max_bytes: int = 2**24) -> PreparedStore:
    return PreparedStore(folder, max_bytes)


def filled(folder: Path, count: int = 4) -> PreparedStore:
    store = store_in(folder)
    assert all(store.put(name(number), picture(number), picture(100 + number)) for number in range(count))
    return store


def there(store: PreparedStore, number: int) -> bool:
    """Whether a pair is there; if so it must be the right one."""
    found = store.get(name(number))
    if found is None:
        return False
    np.testing.assert_array_equal(found[0], picture(number))
    np.testing.assert_array_equal(found[1], picture(100 + number))
    return True


@pytest.mark.parametrize(
    "kinds",
    [
        *(("uint8", "uint8"), ("uint8", "float32"), ("uint16", "uint8"), ("float32", "uint16")),
        *(("int8", "int16"), ("uint32", "int32"), ("float16", "float64")),
    ],
)
def test_a_pair_is_read_as_it_was_kept(folder: Path, kinds: tuple[str, str]) -> None:
    source, target = picture(1, kinds[0]), picture(2, kinds[1], 3, 11, 1)
    assert store_in(folder).put(name(1), source, target)
    found = store_in(folder).get(name(1))
    assert found is not None
    for array, expected in zip(found, (source, target)):
        np.testing.assert_array_equal(array, expected)
        assert array.dtype == expected.dtype
        assert array.transpose(2, 0, 1).flags.c_contiguous
        assert not array.flags.writeable
    assert store_in(folder).get(name(2)) is None


def test_what_one_adds_the_others_see(folder: Path) -> None:
    reader = store_in(folder)
    assert not there(reader, 0)
    filled(folder, 2)
    assert there(reader, 0)
    filled(folder, 3)
    assert there(reader, 2)
    assert len(reader) == 3, "what is there is not added again"


def test_a_store_travels_as_its_place(folder: Path) -> None:
    copy = pickle.loads(pickle.dumps(filled(folder)))
    assert there(copy, 3)
    assert copy.max_bytes == 2**24


def test_every_flipped_or_cut_byte_is_a_miss_and_can_be_kept_anew(folder: Path) -> None:
    filled(folder)
    index, data = folder / "pairs.index", folder / "pairs.data"
    sound = {file: file.read_bytes() for file in (index, data)}
    rng = np.random.default_rng(0)

    def try_out(file: Path, damaged: bytes) -> int:
        for path, content in sound.items():
            path.write_bytes(damaged if path == file else content)
        store = store_in(folder)
        found = sum(there(store, number) for number in range(4))
        for number in range(4):
            assert store.put(name(number), picture(number), picture(100 + number))
        assert all(there(store_in(folder), number) for number in range(4))
        return found

    for file, content in sound.items():
        places = range(64, 128) if file == index else rng.integers(0, len(content), 40).tolist()  # all of an entry
        flipped = [content[:at] + bytes([content[at] ^ 1 << at % 8]) + content[at + 1 :] for at in places]
        lost = [try_out(file, one) for one in flipped]
        assert {3} <= set(lost) <= {3, 4}, "no more than the pair that it hit; the bytes between pairs hit none"
        cut = [try_out(file, content[:length]) for length in range(0, len(content), 13)]
        assert cut == sorted(cut)
        assert (cut[0], cut[-1]) == (0, 3)
    assert try_out(index, sound[index] + b"\0" * 64) == 4, "a file system may leave zeros behind after a power cut"
    assert try_out(index, b"") == 0


def writes(folder: Path, numbers: Iterable[int], about_to_write: Callable[[int, bytes, int], None] = lambda *_: None) -> int:
    """A process that keeps these pairs and ends; its id."""
    process = os.fork()
    if process:
        return process
    try:
        write = os.pwrite

        def watched(descriptor: int, content: bytes, at: int) -> int:
            about_to_write(descriptor, content, at)
            return write(descriptor, content, at)

        os.pwrite = watched  # type: ignore[assignment]
        store = store_in(folder)
        for number in numbers:
            store.put(name(number), picture(number), picture(100 + number))
    finally:
        os._exit(0)


def test_processes_that_write_at_once_lose_nothing(folder: Path) -> None:
    orders = [np.random.default_rng(seed).permutation(60).tolist() for seed in range(3)]
    for process in [writes(folder, order, lambda *_: time.sleep(0.001)) for order in orders]:
        assert os.waitpid(process, 0)[1] == 0
    store = store_in(folder)
    assert all(there(store, number) for number in range(60))
    assert (folder / "pairs.index").stat().st_size == 60 * 64, "each once"


@pytest.mark.parametrize("write", range(1, 7))
@pytest.mark.parametrize("half", [False, True])
def test_a_process_that_is_killed_leaves_whole_pairs(folder: Path, write: int, half: bool) -> None:
    """Killed as it begins the n-th write, or in the middle of it: odd ones are of pixels, even ones of an entry."""
    count = 0

    def kill(descriptor: int, content: bytes, at: int) -> None:
        nonlocal count
        count += 1
        if count == write:
            if half:
                os.lseek(descriptor, at, os.SEEK_SET)
                os.write(descriptor, content[: len(content) // 2])
            os.kill(os.getpid(), signal.SIGKILL)

    os.waitpid(writes(folder, range(4), kill), 0)
    store = store_in(folder)
    assert [there(store, number) for number in range(4)] == [number < (write - 1) // 2 for number in range(4)]
    filled(folder)
    assert all(there(store, number) for number in range(4))
    assert all(there(store_in(folder), number) for number in range(4))


def test_processes_that_are_killed_at_any_time_harm_nobody(folder: Path) -> None:
    rng = np.random.default_rng(0)
    reader = store_in(folder)
    for turn in range(12):
        victim, other = writes(folder, range(1000)), writes(folder, range(turn * 5, turn * 5 + 5))
        time.sleep(float(rng.uniform(0.002, 0.04)))
        os.kill(victim, signal.SIGKILL)
        os.waitpid(victim, 0)
        assert os.waitpid(other, 0)[1] == 0
        assert all(there(reader, number) for number in range(turn * 5, turn * 5 + 5)), "no lock outlives its process"
    assert sum(there(store_in(folder), number) for number in range(1000)) >= 60


def test_a_full_store_says_so_and_adds_nothing(folder: Path) -> None:
    store = store_in(folder, 3 * (2 * 128 + 64))
    assert [store.put(name(number), picture(number), picture(100 + number)) for number in range(5)] == [True, True, True, False, False]
    assert store.is_full
    assert store.size <= store.max_bytes + 200, "the marker is not counted"
    assert there(store, 2)


def test_a_store_full_of_what_is_gone_begins_anew(folder: Path) -> None:
    pairs = 10
    most = pairs * (2 * 128 + 64)
    for number in range(pairs):
        store_in(folder, most).put(name(number), picture(number), picture(100 + number))
    store = store_in(folder, most)
    store.begin_anew_if_stale([name(number) for number in (0, 1, 2, 3, 4, 50)])
    assert len(store) == pairs, "half of it is still wanted"
    store.begin_anew_if_stale([name(number) for number in (0, 1)])
    assert len(store) == pairs, "all that is wanted is there"
    other = store_in(folder, most)
    store.begin_anew_if_stale([name(number) for number in (0, 50)])
    assert len(store) == pairs, "somebody else uses it"
    assert there(other, 7)
    del other
    store.begin_anew_if_stale([name(number) for number in (0, 50)])
    assert len(store) == 0
    assert store.put(name(50), picture(50), picture(150))
    assert there(store, 50)
    roomy = store_in(folder, 2**24)
    roomy.begin_anew_if_stale([name(60)])
    assert len(roomy) == 1


def test_links_are_not_followed(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for file in ("pairs.data", "pairs.index", ".lock"):
        (tmp_path / "mine").write_text("precious")
        (folder / file).unlink(missing_ok=True)
        (folder / file).symlink_to(tmp_path / "mine")
        assert not store_in(folder).put(name(1), picture(1), picture(2))
        assert (tmp_path / "mine").read_text() == "precious"
        (folder / file).unlink()
    assert "prepared pairs cannot be kept" in capsys.readouterr().err


def test_a_folder_that_is_removed_meanwhile(folder: Path, tmp_path: Path) -> None:
    store = filled(folder, 2)
    assert there(store, 0) and there(store, 1)
    shutil.rmtree(folder)
    assert there(store, 0) and there(store, 1), "the map is still there"
    assert not store.put(name(2), picture(2), picture(102))
    assert store.is_lost


def test_a_folder_that_is_made_anew_meanwhile(folder: Path, tmp_path: Path) -> None:
    store = filled(folder, 2)
    assert there(store, 0)
    shutil.rmtree(folder)
    assert cache_folder(section(tmp_path), GEOMETRY) == folder
    other = store_in(folder)
    for number in (7, 6, 5, 1, 0):
        assert other.put(name(number), picture(number), picture(100 + number))
    assert all(there(store, number) for number in (0, 1, 5, 6, 7))


def test_a_known_pair_is_not_looked_for_in_other_pixels(folder: Path, tmp_path: Path) -> None:
    store = filled(folder, 1)
    assert there(store, 0)
    filled(folder, 2)
    assert len(store) == 2, "it knows of the second, but has not seen its pixels"
    shutil.rmtree(folder)
    assert cache_folder(section(tmp_path), GEOMETRY) == folder
    other = store_in(folder)
    for number in (7, 1):
        assert other.put(name(number), picture(number), picture(100 + number))
    there(store, 1)
    assert not there(store, 0), "where it was, there is another"


# ---- where nothing can be kept -------------------------------------------------------------------------------------------


def no_locks(descriptor: int, how: int) -> None:
    raise OSError(errno.ENOLCK, "No locks available")


def held(descriptor: int, how: int) -> None:
    raise BlockingIOError(errno.EWOULDBLOCK, "held")


def full_disk(descriptor: int, content: bytes, at: int) -> int:
    raise OSError(errno.ENOSPC, "No space left on device")


def nearly_full(path: Path) -> object:
    return SimpleNamespace(f_bavail=2**18, f_frsize=4096, f_blocks=10**6)


@pytest.mark.parametrize(
    ("module", "function", "instead", "reason"),
    [
        (fcntl, "flock", no_locks, "No locks available"),
        (os, "pwrite", full_disk, "No space left on device"),
        (os, "statvfs", nearly_full, "less than 1 GiB of the disk would be left free"),
    ],
)
def test_pairs_stay_in_memory_where_they_cannot_be_kept(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    module: object,
    function: str,
    instead: Callable[..., object],
    reason: str,
) -> None:
    monkeypatch.setattr(module, function, instead)
    data = dataset(pairs_in(tmp_path), tmp_path)
    expected = [data[0, index] for index in range(4)]
    no_decoding(monkeypatch)
    assert all(torch.equal(data[0, index].source, pair.source) for index, pair in enumerate(expected))
    assert len(data.cache) == 4
    assert capsys.readouterr().err.count(reason) == 1


def test_who_holds_the_lock_for_long_is_not_waited_for(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = filled(folder, 1)
    monkeypatch.setattr(fcntl, "flock", held)
    monkeypatch.setattr(prepared, "_PATIENCE", 0.0)
    assert not store.put(name(1), picture(1), picture(101))
    assert not store.put(name(2), picture(2), picture(102))
    assert store.is_lost
    assert there(store, 0), "readers need no lock"


# ---- all of them ---------------------------------------------------------------------------------------------------------


def others(tmp_path: Path, count: int = 3) -> list[Path]:
    """Folders of other data sets with a pair each, the first used longest ago."""
    found = []
    for number in range(count):
        one = cache_folder(section(tmp_path / f"set{number}"), GEOMETRY)
        assert one is not None
        filled(one, 1)
        os.utime(one / ".lock", (number, number))
        found.append(one)
    return found


def test_what_was_used_longest_ago_makes_room(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, second, third = others(tmp_path)
    filled(folder)
    foreign = folder.parent / "0123456789abcdef"
    foreign.mkdir()
    (foreign / "pairs.data").write_bytes(b"not ours" * 10**4)
    assert [kept.folder for kept in all_kept()] == [first, second, third, folder]
    holder = store_in(first)
    os.utime(first / ".lock", (0, 0))
    size, total = all_kept()[1].size, sum(kept.size for kept in all_kept())
    assert evict(folder, total)
    assert first.exists() and second.exists()
    assert evict(folder, total - 1)
    assert [one.exists() for one in (first, second, third, foreign)] == [True, False, True, True], "the first is in use"
    assert f"of {tmp_path / 'set1'} ({amount(size)}, last used 1970-01-01) were removed" in capsys.readouterr().err
    assert there(holder, 0)
    assert not evict(folder, 10, quiet=True), "the rest is in use, or its own"
    assert first.exists() and folder.exists() and not third.exists()
    assert capsys.readouterr().err == ""


def test_no_more_than_all_together_may_take(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, _, _ = others(tmp_path)
    monkeypatch.setattr(prepared, "ALL_TOGETHER", sum(kept.size for kept in all_kept()) - 1)
    monkeypatch.setattr(prepared, "_STEP", 0)
    store = store_in(folder, 100)
    store.max_bytes = 100
    assert not store.put(name(1), picture(1), picture(101)), "its own budget"
    assert not first.exists()


def test_a_process_may_end_while_it_removes(folder: Path, tmp_path: Path) -> None:
    (half_removed,) = others(tmp_path, 1)
    (half_removed / "about.json").unlink()
    assert cache_folder(section(tmp_path / "set0"), GEOMETRY) == half_removed
    assert there(store_in(half_removed), 0)


# ---- in front of it ------------------------------------------------------------------------------------------------------


def pairs_in(folder: Path, count: int = 4) -> list[Record]:
    found = []
    for number in range(count):
        path = folder / f"{number}.png"
        images.write(path, picture(number, height=10, width=20))
        found.append(Record(str(number), FilePicture((str(path),), "left"), FilePicture((str(path),), "right")))
    return found


def dataset(records: list[Record], folder: Path, **keys: object) -> PairDataset:
    """As training has it."""
    keys = {"direction": "BtoA", **keys}
    train, _ = caches(section(folder, **keys), GEOMETRY, records, [])
    return PairDataset(records, GEOMETRY, PairFormat("BtoA", 3, 3), cache=train)


def no_decoding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "examine", lambda *_: pytest.fail("decoded again"))


def test_a_later_run_decodes_nothing_and_sees_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    records = pairs_in(tmp_path)
    plain = PairDataset(records, GEOMETRY, PairFormat("BtoA", 3, 3))
    expected = {(epoch, index): plain[epoch, index] for epoch in range(2) for index in range(4)}
    first = dataset(records, tmp_path)
    for key, pair in expected.items():
        assert torch.equal(first[key].source, pair.source)
    assert len(first.cache) == 0, "none in memory"
    no_decoding(monkeypatch)
    later = dataset(records, tmp_path)
    for key, pair in expected.items():
        assert torch.equal(later[key].source, pair.source)
        assert torch.equal(later[key].target, pair.target)
    records[0].a.paths[0].unlink()
    assert torch.equal(later[1, 0].source, expected[1, 0].source), "and a run goes on with what it has seen"


def test_an_edited_file_is_decoded_again(tmp_path: Path) -> None:
    records = pairs_in(tmp_path)
    first = dataset(records, tmp_path)
    before = [first[0, index] for index in range(4)]
    images.write(tmp_path / "1.png", picture(9, height=10, width=20))
    later = dataset(records, tmp_path)
    assert [torch.equal(later[0, index].source, before[index].source) for index in range(4)] == [True, False, True, True]


def test_hard_links_share_what_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (record,) = pairs_in(tmp_path, 1)
    (tmp_path / "link.png").hardlink_to(tmp_path / "0.png")
    twin = Record("link", FilePicture((str(tmp_path / "link.png"),), "left"), FilePicture((str(tmp_path / "link.png"),), "right"))
    data = dataset([record, twin], tmp_path)
    one = data[0, 0]
    no_decoding(monkeypatch)
    assert data[0, 1].source.shape == one.source.shape


def test_halves_are_not_mistaken_for_each_other(tmp_path: Path) -> None:
    (record,) = pairs_in(tmp_path, 1)
    data = dataset([record, record.swapped()], tmp_path)
    one, other = data.cache.put(0, *data._loaded(0)), data.cache.put(1, *data._loaded(1))
    np.testing.assert_array_equal(one[0], other[1])
    np.testing.assert_array_equal(one[1], other[0])
    assert not np.array_equal(one[0], one[1])


def test_training_and_validation_share_a_folder_and_mistake_nothing(tmp_path: Path) -> None:
    records = pairs_in(tmp_path)
    train, val = caches(section(tmp_path, direction="AtoB"), GEOMETRY, records, records)
    assert train.store is val.store
    source, target = records[0].load()
    train.put(0, source, target)
    assert val.get(0) is None
    assert val.put(0, source, target)[0].shape[:2] == (8, 8)
    again = train.get(0)
    assert again is not None
    assert again[0].shape[:2] == (12, 12)


def test_what_has_just_changed_is_kept_in_memory_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prepared, "SETTLED", 2.0)
    data = dataset(pairs_in(tmp_path), tmp_path)
    assert data[0, 0].name == "0"
    assert data.cache.store is not None
    assert (len(data.cache), len(data.cache.store)) == (1, 0)


def test_a_file_that_changes_while_it_is_read_is_not_kept(tmp_path: Path) -> None:
    records = pairs_in(tmp_path)
    data = dataset(records, tmp_path)
    assert data.cache.get(0) is None
    arrays = data._loaded(0)
    images.write(tmp_path / "0.png", picture(9, height=10, width=20))
    data.cache.put(0, *arrays)
    assert data.cache.store is not None
    assert (len(data.cache), len(data.cache.store)) == (1, 0)


def test_a_full_store_leaves_the_others_to_be_decoded(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    records = pairs_in(tmp_path)
    data = dataset(records, tmp_path, cache_gb=2.5 * 1024 / 2**30)  # a pair takes 2 x 448 bytes and its entry
    for _ in range(2):
        for index in range(4):
            assert torch.equal(data[0, index].source, PairDataset(records, GEOMETRY, PairFormat("BtoA", 3, 3))[0, index].source)
    assert data.cache.store is not None
    assert (len(data.cache), len(data.cache.store)) == (0, 2)
    assert capsys.readouterr().err.count("note: the picture cache is full after 2 pairs (") == 1


@pytest.mark.parametrize("start_method", [pytest.param("fork"), pytest.param("spawn", marks=pytest.mark.slow)])
def test_loader_processes_fill_it_for_everybody(tmp_path: Path, start_method: str) -> None:
    records = pairs_in(tmp_path, 6)
    data = dataset(records, tmp_path)
    data.cache._opened += 120  # what is spawned has the usual patience
    crowd = Loader(data, 1, workers=2, start_method=start_method)
    seen = list(crowd.epoch(PairSampler(6, 1, 0, 0)))
    crowd.close()
    assert data.cache.store is not None
    assert len(data.cache.store) == 6
    alone = list(loader(dataset(records, tmp_path, cache_gb=0.0), PairSampler(6, 1, 0, 0), 1))
    assert all(torch.equal(one.source, other.source) for one, other in zip(seen, alone))
