"""Work is mapped over the workers of a cluster: every item has its value exactly once, whoever dies."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from transfigure.errors import Missing, RunFailure, UserError
from transfigure.scale.cluster import Cluster, ClusterOptions, Lost, connected, parts
from transfigure.scale.machines import NodeFacts, differs

from .conftest import another_machine
from .inline import InlineCluster

FULL, UNEXPECTED = 1001, 1002
"""Items that end all work."""


@dataclass(frozen=True)
class Squares:
    """A worker: squares; a negative number is an error, and some end the process.

    Attributes:
        once: a file that the first process to see ``13`` leaves behind before it dies.
        deadly: what ends every process.
    """

    once: Path
    deadly: int = -1

    def __call__(self) -> Squares:
        return self

    def work(self, items: Sequence[int]) -> Iterator[int | UserError]:
        for item in items:
            if item == self.deadly:
                os.kill(os.getpid(), signal.SIGKILL)
            if item == 13 and not self.once.exists():
                self.once.touch()
                os.kill(os.getpid(), signal.SIGKILL)
            if item == FULL:
                raise RunFailure("the disk is full")
            if item == UNEXPECTED:
                raise KeyError("nothing of ours")
            yield UserError(f"{item} is negative") if item < 0 else item**2


@dataclass(frozen=True)
class SetUp:
    """Gives the worker."""

    squares: Squares

    def __call__(self):  # type: ignore[no-untyped-def]
        return self.squares.work


@dataclass(frozen=True)
class Unusable:
    """A worker that cannot be set up."""

    def __call__(self):  # type: ignore[no-untyped-def]
        raise UserError("runs/street is not there")


@pytest.mark.parametrize(("item", "words"), [(FULL, "^the disk is full$"), (UNEXPECTED, "a worker on .* failed: KeyError: .*nothing of")])
def test_what_ends_all_work_keeps_its_words(cluster: Cluster, item: int, words: str) -> None:
    with pytest.raises(RunFailure, match=words):
        [*cluster.map(SetUp(Squares(Path("unused"))), [1, 2, item, 3])]


@pytest.fixture(scope="module")
def cluster(cluster_address: str) -> Iterator[Cluster]:
    with connected(ClusterOptions(cluster_address, workers=2)) as found:
        yield found


def test_every_item_has_its_value_once_though_a_worker_is_killed(cluster: Cluster, tmp_path: Path) -> None:
    items = [*range(1, 24), -1, *range(24, 40)]
    found = [*cluster.map(SetUp(Squares(tmp_path / "killed", deadly=30)), items, batch=4)]
    assert (tmp_path / "killed").exists()
    assert sorted(number for number, _ in found) == [*range(len(items))]
    values = dict(found)
    assert str(values.pop(23)) == "-1 is negative"
    lost = values.pop(items.index(30))
    assert isinstance(lost, Lost) and "3 workers died while they worked on it" in lost.reason
    assert {items[number]: value for number, value in values.items()} == {n: n**2 for n in range(1, 40) if n != 30}


def test_a_worker_that_cannot_be_set_up_ends_it_all_with_its_sentence(cluster: Cluster) -> None:
    with pytest.raises(UserError, match=r"^runs/street is not there$"):
        [*cluster.map(Unusable(), [1, 2, 3])]


def test_the_inline_cluster_does_the_same(tmp_path: Path) -> None:
    (tmp_path / "killed").touch()
    found = dict(InlineCluster(losing=[3]).map(SetUp(Squares(tmp_path / "killed")), [1, -2, 3, 4, 5], batch=2))
    assert isinstance(found.pop(3), Lost) and str(found.pop(1)) == "-2 is negative"
    assert found == {0: 1, 2: 9, 4: 25}


HERE = NodeFacts("here", "1.0", "2.13", "3.11", {"/runs/street": "file 1", "/photos": "folder 2 ab"})


@pytest.mark.parametrize(
    ("there", "words"),
    [
        (("", "", {}), "transfigure is not installed on there"),
        (("0.9", "2.13", {}), "has transfigure 0.9, and this one has 1.0"),
        (("1.0", "2.12", {}), "has torch 2.12, and this one has 2.13"),
        (("1.0", "2.13", {"/runs/street": ""}), "/runs/street is not there on there, a machine of the cluster: put it where all machines"),
        (("1.0", "2.13", {"/runs/street": "file 2", "/photos": "folder 2 ab"}), "/runs/street is not the same on there"),
        (("1.0", "2.13", {"/runs/street": "file 1", "/photos": "folder 3 ab"}), "/photos is not the same on there"),
        (("1.0", "2.13", {**HERE.files, "/out/.shared-1": ""}), "/out on there, a machine of the cluster, is not the folder"),
        (("1.0", "2.13", {**HERE.files, "/out/.shared-1": "file 3"}), ""),
    ],
)
def test_a_machine_that_cannot_do_its_part_is_named(there: tuple[str, str, dict[str, str]], words: str) -> None:
    version, torch, files = there
    reason = differs(HERE, NodeFacts("there", version, torch, "3.11", files), ["/out/.shared-1"])
    assert words in reason and bool(words) == bool(reason) and "\n" not in reason


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("ray://10.0.0.1:10001", "run this command on a machine of the cluster"),
        ("10.0.0.1", "is not host:port"),
        ("127.0.0.1:1", "cannot be reached"),
    ],
)
def test_an_address_that_is_none_or_does_not_answer(address: str, words: str) -> None:
    pytest.importorskip("ray")
    with pytest.raises(UserError, match=words), connected(ClusterOptions(address)):
        pass


def test_what_answers_is_no_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ray")
    monkeypatch.setattr("transfigure.scale.cluster.ANSWER", 2)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(UserError, match="does not answer as a Ray cluster within 2 seconds"), connected(ClusterOptions(address)):
            pass


@pytest.mark.slow
def test_a_cluster_that_refuses_us_or_runs_another_version(cluster: Cluster, cluster_address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from ray.experimental.internal_kv import _internal_kv_get, _internal_kv_put

    key, place = b"CLUSTER_METADATA", b"cluster"
    true = _internal_kv_get(key, namespace=place)
    for name, other, words in (
        ("ray_version", "2.59.0", "runs Ray 2.59.0, and here is Ray"),
        ("python_version", "3.9.1", "runs Python 3.9.1"),
    ):
        _internal_kv_put(key, json.dumps({**json.loads(true), name: other}).encode(), overwrite=True, namespace=place)
        try:
            with pytest.raises(UserError, match=f"{words}.*: install the same version"), connected(ClusterOptions(cluster_address)):
                pass
        finally:
            _internal_kv_put(key, true, overwrite=True, namespace=place)
    monkeypatch.setenv("RAY_AUTH_TOKEN", "0" * 64)
    with pytest.raises(UserError, match="refuses this user's token: put that of the"), connected(ClusterOptions(cluster_address)):
        pass


@pytest.mark.slow
def test_a_token_in_a_file_is_used_without_being_told_to(
    cluster: Cluster, cluster_address: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As ray start does, which then wants it of everybody."""
    file = tmp_path / ".ray" / "auth_token"
    file.parent.mkdir()
    file.write_text(os.environ["RAY_AUTH_TOKEN"])
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN"):
        monkeypatch.delenv(name)
    before = dict(os.environ)
    with connected(ClusterOptions(cluster_address, workers=1)) as joined:
        assert joined.workers == 1
    assert dict(os.environ) == before
    for mode in (None, "token"):
        if mode is not None:
            monkeypatch.setenv("RAY_AUTH_MODE", mode)
        monkeypatch.setattr("transfigure.scale.cluster._has_token", lambda: False)
        with pytest.raises(UserError, match="refuses this user's token: put that of the"), connected(ClusterOptions(cluster_address)):
            pass


def test_a_cluster_of_this_machine_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ray")
    monkeypatch.setattr("transfigure.scale.cluster.ANSWER", 0.1)
    with pytest.raises(UserError, match="no cluster that was started on this machine answers within"), connected(ClusterOptions("auto")):
        pass


@pytest.mark.skipif(sys.platform == "win32", reason="no alarm")
def test_sigterm_stays_the_programs(cluster_address: str, capfd: pytest.CaptureFixture[str]) -> None:
    """Ray's own handler would dump a stack, and have the program killed three seconds later."""
    came: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: came.append(number))
    try:
        with connected(ClusterOptions(cluster_address, workers=1), quiet=True):
            signal.raise_signal(signal.SIGTERM)
            assert came == [signal.SIGTERM] and signal.alarm(0) == 0
    finally:
        signal.signal(signal.SIGTERM, before)
    assert "SIGTERM received" not in capfd.readouterr().err


@pytest.mark.slow
def test_a_machine_that_does_not_see_a_path_is_found_before_the_work(cluster: Cluster, cluster_address: str, tmp_path: Path) -> None:
    for name in ("model", "out"):
        (tmp_path / name).mkdir()
    (tmp_path / "model" / "config.json").write_text("{}")
    cluster.check(reads=[tmp_path / "model" / "config.json"], writes=[tmp_path / "out"])
    with (
        another_machine(cluster_address, tmp_path / "model"),
        pytest.raises(UserError, match=r"model/config.json is not there on .*, a machine of the cluster: put it where all machines see"),
    ):
        cluster.check(reads=[tmp_path / "model" / "config.json"])
    assert [*(tmp_path / "out").iterdir()] == []


@pytest.mark.parametrize(("count", "workers", "batch"), [(1, 2, None), (1000, 2, None), (7, 3, 2), (100, 300, None)])
def test_parts_are_all_items_once_and_small_at_the_end(count: int, workers: int, batch: int | None) -> None:
    found = parts(count, workers, batch)
    assert [number for part in found for number in part] == [*range(count)]
    sizes = [len(part) for part in found]
    assert sizes == sorted(sizes, reverse=True) and sizes[0] <= (batch or 32) and (batch or sizes[-1] == 1)


def test_many_workers_take_up_more_at_a_time() -> None:
    sizes = {workers: [len(part) for part in parts(10**6, workers)] for workers in (2, 31, 32, 100, 1000)}
    assert [found[0] for found in sizes.values()] == [32, 32, 64, 192, 250]
    assert [found[-2] for found in sizes.values()] == [1, 1, 2, 6, 32]


def test_without_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(Missing, match=r"'transfigure\[scale\]'"), connected(ClusterOptions()):
        pass


@pytest.mark.parametrize("options", [{"workers": 0}, {"cpus": 0}, {"gpus": -1.0}, {"gpus": 1.5}])
def test_options_that_mean_nothing(options: dict[str, float]) -> None:
    with pytest.raises(UserError):
        ClusterOptions(**options)  # type: ignore[arg-type]


def test_nothing_of_the_engine_is_left_in_the_program(cluster_address: str) -> None:
    def state() -> tuple[object, ...]:
        return dict(os.environ), sys.breakpointhook, sys.excepthook, signal.getsignal(signal.SIGTERM)

    before = state()
    with connected(ClusterOptions(cluster_address, workers=1), quiet=True):
        pass
    assert state() == before


def test_another_thread_of_the_program_is_refused_and_told_what_to_do(cluster: Cluster) -> None:
    found = []

    def join() -> None:
        try:
            with connected(ClusterOptions(), quiet=True):
                pass
        except UserError as error:
            found.append(str(error))

    thread = threading.Thread(target=join)
    thread.start()
    thread.join()
    assert found and "another thread of this program works on a cluster" in found[0]
    assert dict(cluster.map(SetUp(Squares(Path("unused"))), [3])) == {0: 9}
