"""A large set is looked at as far as a training needs to begin, the rest behind it, and nothing twice."""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import subprocess
import sys
import time
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.tiny import noise_image
from transfigure.data import images, prepared
from transfigure.data.check import findings as check
from transfigure.data.check import inspection, processes
from transfigure.data.check.facts_cache import FactsCache
from transfigure.data.check.findings import PairFacts
from transfigure.data.check.inspection import BackgroundCheck, UnusablePair
from transfigure.data.check.processes import CheckProcesses, PartToCheck, check_pairs, keys_of, read_headers
from transfigure.data.dataset import Loader, PairDataset
from transfigure.data.open import OpenedData, caches, find_records, geometry_of, open_data, resolve_data
from transfigure.data.pairs import directed
from transfigure.errors import Missing, RunFailure, UserError
from transfigure.recipe import Data

COUNT = 24


def make(folder: Path, count: int = COUNT, size: int = 20, val: int = 0) -> Path:
    for split, many, start in (("train", count, 0), ("val", val, 1000)):
        for number in range(many):
            for side, seed in (("A", 0), ("B", 500)):
                images.write(folder / f"{split}{side}" / f"{number:03d}.png", noise_image(size, size, seed=start + seed + number))
    return folder


def section(folder: Path, **keys: Any) -> Data:
    return resolve_data(Data(**{"path": str(folder), "load_size": 18, "crop_size": 16, "val_fraction": 0, "test_fraction": 0, **keys}))


@pytest.fixture
def large(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Every set is a large one, of which the pixels of five pairs are read; files count as settled."""
    monkeypatch.setattr(inspection, "WHOLE", 1.0)
    monkeypatch.setattr(inspection, "SAMPLE", 5 * 2 * (inspection.PER_PICTURE + 400.0))
    monkeypatch.setattr(prepared, "SETTLED", -60.0)
    monkeypatch.setenv("TRANSFIGURE_CACHE", str(tmp_path / "cache"))


def decoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files whose pixels are read from now on, in this process."""
    seen: list[str] = []
    examine = images.examine
    monkeypatch.setattr(images, "examine", lambda path, *how, **more: (seen.append(Path(path).name), examine(path, *how, **more))[1])
    return seen


def finish(rest: BackgroundCheck | None) -> tuple[list[UnusablePair], list[str], list[UnusablePair]]:
    """All that a look at the rest finds: pairs as it goes, and notes and pairs at its end."""
    assert rest is not None
    late: list[UnusablePair] = []
    with contextlib.closing(rest):
        rest.start(2)
        until(lambda: late.extend(rest.poll()) or rest.is_done)  # type: ignore[func-returns-value]
        assert rest.gave_up == ""
        return late, *rest.end()


def until(done: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not done():
        assert time.monotonic() < end, "it has not come to an end"
        time.sleep(0.01)


def open_pairs(opened: OpenedData) -> int:
    return 0 if opened.background_check is None else sum(len(checked.open()) for checked in opened.background_check.checked.values())


@pytest.mark.usefixtures("large")
def test_c38_a_large_set_is_sampled_looked_at_behind_and_not_looked_at_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """20,000 pairs were decoded in one process before the first step, at every start."""
    place = section(make(tmp_path / "data"))
    read = decoded(monkeypatch)
    first = open_data(place, processes=1)
    assert len(read) == 10
    assert (open_pairs(first), first.source_channels, first.target_dtype) == (COUNT - 5, 3, "uint8")
    read.clear()
    again = open_data(place, processes=1)
    assert read == [] and open_pairs(again) == COUNT - 5  # the same few, which are remembered
    late, notes, more = finish(again.background_check)
    assert (late, notes, more) == ([], [], [])
    done = open_data(place, processes=1)
    assert done.background_check is None and read == []
    for index in range(COUNT):
        done.train[0, index]
    assert read == []  # and their pixels are kept, too


@pytest.mark.usefixtures("large")
def test_a_file_that_was_edited_is_looked_at_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = section(make(tmp_path / "data"), check="full")
    assert open_data(place, processes=1).background_check is None
    images.write(tmp_path / "data" / "trainB" / "003.png", noise_image(20, 20, seed=9))
    read = decoded(monkeypatch)
    open_data(place, processes=1)
    assert read == ["003.png", "003.png"]


def test_a_small_set_is_read_whole_as_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path)
    read = decoded(monkeypatch)
    assert open_data(section(tmp_path), processes=1).background_check is None
    assert len(read) == 2 * COUNT


@pytest.mark.parametrize("how", ["full", "headers"])
def test_the_other_two_ways(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, large: None, how: str) -> None:
    make(tmp_path / "data")
    read = decoded(monkeypatch)
    opened = open_data(section(tmp_path / "data", check=how), processes=1)
    assert opened.background_check is None and opened.source_channels == 3
    assert len(read) == (2 * COUNT if how == "full" else 0)


@pytest.mark.usefixtures("large")
@pytest.mark.parametrize("how", ["sample", "headers"])
def test_what_a_header_shows_is_found_before_the_training(tmp_path: Path, how: str) -> None:
    make(tmp_path / "data")
    images.write(tmp_path / "data" / "trainB" / "007.png", noise_image(20, 22, seed=1))
    images.write(tmp_path / "data" / "trainA" / "011.png", noise_image(20, 20, 1, seed=1).astype(np.uint16) * 200)
    (tmp_path / "data" / "trainA" / "013.png").write_bytes(b"no image at all")
    with pytest.raises(UserError) as caught:
        open_data(section(tmp_path / "data", check=how), processes=1)
    message = str(caught.value)
    assert message.startswith(f"3 of {COUNT} pairs cannot be used:")
    for words in ("trainB/007.png is 22x20", "011.png is 16-bit but most source pictures are 8-bit", "013.png is not a PNG"):
        assert words in message
    opened = open_data(section(tmp_path / "data", check=how, on_error="skip"), processes=1)
    assert [pair.name for pair in opened.left_out] == ["007", "011", "013"] and len(opened.train) == COUNT - 3
    assert all(pair.found == "before" for pair in opened.left_out)
    if how == "sample":
        assert finish(opened.background_check)[0] == []


@pytest.mark.usefixtures("large")
def test_grey_files_among_colour_ones_are_no_fault(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make(tmp_path / "data")
    for number in (3, 9, 15):
        images.write(tmp_path / "data" / "trainA" / f"{number:03d}.png", noise_image(20, 20, 1, seed=number))
    opened = open_data(section(tmp_path / "data"), processes=1)
    assert opened.source_channels == 3
    assert f"3 of {COUNT} source pictures are grey among colour ones" in capsys.readouterr().err
    assert finish(opened.background_check) == ([], [], [])


@pytest.mark.usefixtures("large")
def test_what_only_pixels_show_is_found_behind(tmp_path: Path) -> None:
    data = make(tmp_path / "data", val=6)
    rest = open_data(section(data), quiet=True, processes=1).background_check
    assert rest is not None
    train, val = rest.checked["train"].open()[0], rest.checked["val"].open()[0]
    broken = data / "trainA" / f"{train:03d}.png"
    broken.write_bytes(broken.read_bytes()[:300] + b"\0" * 300)
    clear = np.concatenate([noise_image(20, 20, seed=5), np.full((20, 20, 1), 90, np.uint8)], axis=2)
    images.write(data / "valB" / f"{val:03d}.png", clear)
    twin = rest.checked["train"].open()[-1]
    for side, other in (("A", 0), ("B", 500)):
        images.write(data / f"train{side}" / f"{twin:03d}.png", noise_image(20, 20, seed=other + 1))
    for side in "AB":  # a validation pair that is a training pair too
        (data / f"val{side}" / f"{(val + 1) % 6:03d}.png").write_bytes((data / f"train{side}" / "002.png").read_bytes())
    opened = open_data(section(data, alpha="refuse"), quiet=True, processes=1)
    late, notes, more = finish(opened.background_check)
    reasons = {(one.part, one.index): one.reasons[0] for one in late}
    assert reasons.keys() == {("train", train), ("val", val)}
    assert f"{train:03d}.png is a damaged" in reasons["train", train] and f"{val:03d}.png is partly transparent" in reasons["val", val]
    assert any("1 training pair has the same pixels as another" in note for note in notes)
    assert any("1 of 6 validation and test pairs are also in the training set" in note for note in notes)
    assert more == []
    with pytest.raises(UserError, match="2 of 30 pairs cannot be used"):  # what cannot be read is not remembered as if it could
        open_data(section(data, check="full"), quiet=True, processes=1)


@pytest.mark.usefixtures("large")
def test_palettes_that_differ_are_found_when_all_have_been_seen(tmp_path: Path) -> None:
    from PIL import Image

    data = make(tmp_path / "data")
    rest = open_data(section(data), quiet=True, processes=1).background_check
    assert rest is not None
    other = rest.checked["train"].open()[0]
    for number in range(COUNT):
        picture = Image.fromarray(np.random.default_rng(number).integers(0, 3, (20, 20), np.uint8), "P")
        picture.putpalette([0, 0, 0, 200, 0, 0, 0, 0, 250 if number != other else 10])
        picture.save(data / "trainA" / f"{number:03d}.png")
    opened = open_data(section(data), quiet=True, processes=1)
    late, _, more = finish(opened.background_check)
    assert late == [] and [one.index for one in more] == [other]
    assert f"{other:03d}.png has another palette" in more[0].reasons[0]


@pytest.mark.usefixtures("large")
def test_two_domains_are_sampled_too(tmp_path: Path) -> None:
    data = make(tmp_path / "data")
    (data / "trainB" / "000.png").unlink()
    opened = open_data(section(data, kind="unpaired"), quiet=True, processes=1)
    assert open_pairs(opened) == COUNT - 5
    assert finish(opened.background_check)[0] == []
    broken = data / "trainB" / "004.png"
    broken.write_bytes(broken.read_bytes()[:300] + b"\0" * 300)
    with_fault = open_data(section(data, kind="unpaired", check="full", on_error="skip"), quiet=True, processes=1)
    assert [pair.files for pair in with_fault.left_out] == [("trainB/004.png",)]


# ---- what is remembered ----------------------------------------------------------------------------------------------------


def facts_of(data: Path, **keys: Any) -> tuple[PartToCheck, list[PairFacts]]:
    place = section(data, **keys)
    records = directed(find_records(place).splits["train"], place.direction)
    part = PartToCheck(records, geometry_of(place), place.alpha, (place.source_range, place.target_range))
    return part, [part.look(index) for index in range(len(records))]


@pytest.mark.usefixtures("large")
def test_facts_come_back_as_they_were(tmp_path: Path) -> None:
    data = make(tmp_path / "data", count=4)
    images.write(data / "trainA" / "000.png", np.where(noise_image(20, 20, 1, seed=1) > 127, np.uint8(255), np.uint8(3)))
    part, facts = facts_of(data, source_range=(10, 200))
    memory = FactsCache(tmp_path, "refuse", part.ranges)
    for record, one in zip(part.records, facts):
        memory.put(memory.key(record), one)
    memory.flush()
    later = FactsCache(tmp_path, "refuse", part.ranges)
    assert [later.get(later.key(record)) for record in part.records] == facts
    assert {type(one) for one in facts} == {PairFacts} and facts[0].pictures is not None and facts[0].pictures[0].values is not None
    other = FactsCache(tmp_path, "refuse", (None, None))
    assert other.get(other.key(part.records[0])) is None  # the share that is clipped is another there


@pytest.mark.usefixtures("large")
def test_a_line_that_is_torn_flipped_or_made_up_is_not_there(tmp_path: Path) -> None:
    part, facts = facts_of(make(tmp_path / "data", count=3))
    memory = FactsCache(tmp_path, "refuse", part.ranges)
    keys = [memory.key(record) for record in part.records]
    for key, one in zip(keys, facts):
        memory.put(key, one)
    memory.flush()
    file = tmp_path / prepared.FACTS
    whole = file.read_bytes()
    for at in range(0, len(whole), 5):
        file.write_bytes(whole[:at] + bytes([whole[at] ^ 4]) + whole[at + 1 :])
        damaged = FactsCache(tmp_path, "refuse", part.ranges)
        assert all(damaged.get(key) in (None, one) for key, one in zip(keys, facts))
    file.write_bytes(whole[:-9])
    torn = FactsCache(tmp_path, "refuse", part.ranges)
    assert [torn.get(key) for key in keys] == [*facts[:2], None]
    torn.put(keys[2], facts[2])
    torn.flush()
    mended = FactsCache(tmp_path, "refuse", part.ranges)
    assert [mended.get(key) for key in keys] == facts


def test_a_file_that_has_only_just_changed_is_not_remembered(tmp_path: Path) -> None:
    part, _ = facts_of(make(tmp_path / "data", count=1))
    assert FactsCache(tmp_path, "refuse", part.ranges).key(part.records[0]) is None


# ---- processes -------------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("large")
def test_processes_see_what_one_sees_and_fill_its_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "FEWEST", 2)
    monkeypatch.setattr(processes, "MANY", 10)
    place = section(make(tmp_path / "data"))
    part, facts = facts_of(tmp_path / "data")
    train, _ = caches(place, part.geometry, part.records, [])
    part.cache = train
    keys = [("train", index) for index in range(COUNT)]
    found = dict(check_pairs({"train": part}, keys, 2))
    assert [found[key] for key in keys] == facts
    read = decoded(monkeypatch)
    for index in range(COUNT):
        kept = train.get(index)
        assert kept is not None
        np.testing.assert_array_equal(kept[0], images.resize(noise_image(20, 20, seed=index), 18, 18, "bicubic"))
    assert read == []
    assert read_headers({"train": part}, keys, 2) == {key: part.header(key[1]) for key in keys}
    assert images.size_of(part.records[0].a.paths[0]).width == 20
    memory = FactsCache(tmp_path, "refuse", part.ranges)
    parts = {"train": part, "val": replace(part, records=part.records[:3])}
    for count in (1, 2):
        remembered = keys_of(parts, memory.key, count)
        assert remembered == {name: [memory.key(record) for record in one.records] for name, one in parts.items()}
        assert None not in remembered["train"]


@pytest.mark.skipif(sys.platform != "linux", reason="what a fork brings along is replaced here")
def test_a_missing_extra_and_a_process_that_dies_are_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    part, _ = facts_of(make(tmp_path, count=4))
    keys = [("train", index) for index in range(4)]

    def lacking(*_: object) -> PairFacts:
        raise Missing.extra("tifffile", "science", "this file")

    def dying(*_: object) -> PairFacts:
        os._exit(9)

    for what, error in ((lacking, Missing), (dying, RunFailure)):
        monkeypatch.setattr(processes, "look", what)
        with contextlib.closing(CheckProcesses({"train": part}, 2)) as busy:
            busy.give(keys)
            with pytest.raises(error, match="science" if error is Missing else r"from outside \(its exit status is 9\)"):
                while busy.busy:
                    busy.results(timeout=None)


class _OwnsThreads:
    """As sessions of onnxruntime: to destroy it in a process that has not its threads ends that process."""

    def __init__(self) -> None:
        self.itself, self.at_home = self, os.getpid()

    def __del__(self) -> None:
        if os.getpid() != self.at_home:
            os._exit(11)


@pytest.mark.skipif(sys.platform != "linux", reason="a process that is spawned brings nothing along")
@pytest.mark.parametrize("by", ["check", "loader"])
def test_what_was_thrown_away_before_a_fork_is_not_destroyed_in_it(by: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    part, _ = facts_of(make(tmp_path, count=4))
    directly, prepare = processes.look, PairDataset._prepared

    def collecting(*what: Any) -> PairFacts:
        gc.collect()
        return directly(*what)

    monkeypatch.setattr(processes, "look", collecting)
    gc.disable()
    try:
        _OwnsThreads()
        if by == "check":
            with contextlib.closing(CheckProcesses({"train": part}, 2)) as busy:
                busy.give([("train", index) for index in range(4)])
                while busy.busy:
                    busy.results(timeout=None)
        else:
            data = open_data(section(tmp_path, workers=1))
            monkeypatch.setattr(PairDataset, "_prepared", lambda self, index: (gc.collect(), prepare(self, index))[1])
            with contextlib.closing(Loader(data.train, 2, workers=1, start_method="fork")) as loader:
                _OwnsThreads()
                assert [len(batch) for batch in loader.epoch([(0, index) for index in range(4)])] == [2, 2]
    finally:
        gc.enable()


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_they_take_no_signal_hold_no_lock_and_end_with_the_process_that_they_come_from(tmp_path: Path) -> None:
    make(tmp_path / "data", count=2)
    program = f"""
import os, sys, time
from dataclasses import replace
from pathlib import Path
from tests.data.check.test_inspection import facts_of
from transfigure.data.files import LOCK, lock_file
from transfigure.data.check.processes import CheckProcesses
part, _ = facts_of(Path({str(tmp_path / "data")!r}))
stream = open({str(tmp_path / ".lock")!r}, "a+b")
lock_file(stream)
busy = CheckProcesses({{"train": part}}, 2, background=True)
busy.give([("train", 0), ("train", 1)])
while busy.busy:
    busy.results(timeout=None)
print(*[process.pid for process in busy._processes.values()], flush=True)
time.sleep(60)
"""
    root = Path(__file__).resolve().parents[3]
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, cwd=root) as parent:
        assert parent.stdout is not None
        children = [int(word) for word in parent.stdout.readline().split()]
        assert len(children) == 2
        until(lambda: all(os.getpriority(os.PRIO_PROCESS, child) == 19 for child in children))
        for child in children:
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                os.kill(child, number)
            assert ".lock" not in {item.readlink().name for item in Path(f"/proc/{child}/fd").iterdir()}
        time.sleep(0.2)
        assert all(Path(f"/proc/{child}").exists() for child in children)
        parent.kill()
        parent.wait()
    until(lambda: not any(_runs(child) for child in children))


def _runs(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_the_work_of_a_set_counts_pixels_and_files() -> None:
    facts = check.facts_by_header([((100, 200, 3), "uint8"), ((100, 200, 1), "uint8")])
    assert inspection._work_of(facts) == 2 * (20_000 + inspection.PER_PICTURE)


@pytest.mark.usefixtures("large")
def test_a_header_that_claims_more_than_its_file_holds_is_no_large_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inspection, "WHOLE", 400e6)
    data = make(tmp_path / "data")
    content = bytearray((data / "trainA" / "003.png").read_bytes())
    content[16:24] = (30_000).to_bytes(4) * 2
    content[29:33] = zlib.crc32(content[12:29]).to_bytes(4)
    (data / "trainA" / "003.png").write_bytes(content)
    with pytest.raises(UserError, match="1 of 24 pairs cannot be used"):
        open_data(section(data), quiet=True, processes=1)
    assert open_data(section(data, on_error="skip"), quiet=True, processes=1).background_check is None
