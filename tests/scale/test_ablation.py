"""The cells of an ablation on a cluster: the same files as on one machine, and what kills a worker costs nothing."""

from __future__ import annotations

import contextlib
import json
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.studies.ablation.two_cells import HERE, TOY, TWO, ledger, two, values
from tests.training.runs import checkpoint_tensors
from transfigure.cli import main
from transfigure.data.files import LOCK, lock_file
from transfigure.errors import RunFailure, UserError
from transfigure.scale import ablation as on_cluster
from transfigure.scale.ablation import ClusterPlace, Keeper
from transfigure.scale.cluster import Cluster, ClusterOptions
from transfigure.studies.ablation import ablation
from transfigure.studies.ablation.ablation import AblationOptions, CellEnd, CellStarter, RunningCell, ablate
from transfigure.studies.ablation.cell import CellSpec

pytestmark = [
    pytest.mark.usefixtures("drawn_once"),
    pytest.mark.skipif(sys.platform == "win32", reason="signals"),
]

ENDING = """\
import os, signal
from pathlib import Path
from transfigure import register
from transfigure.training.steps.pix2pix import Pix2PixStep

update, seen = Pix2PixStep.training_step, [0]

def counted(step, *given, **named):
    seen[0] += 1
    if seen[0] == 5:
        for name, victim in (("worker", os.getppid), ("cell", os.getpid)):
            try:
                os.close(os.open(Path(__file__).with_name(name), os.O_CREAT | os.O_EXCL))
            except FileExistsError:
                continue
            os.kill(victim(), signal.SIGKILL)
            break
    return update(step, *given, **named)

Pix2PixStep.training_step = counted

@register("loss", "nothing")
def nothing(batch):
    return batch.fake.mean() * 0
"""
"""The first cell to come to its fifth update kills the worker that looks after it, the second one itself; then nothing more happens."""


@pytest.mark.slow
def test_a_cluster_gives_what_one_machine_gives_though_a_worker_and_a_cell_are_killed(tmp_path: Path, cluster_address: str) -> None:
    plugin = tmp_path / "ending.py"
    plugin.write_text(ENDING)
    more = {"training.epochs": 4, "training.checkpoint_every": 4}
    here = ablate(two(tmp_path, **more), tmp_path / "here", HERE, quiet=True)
    place = ClusterPlace(ClusterOptions(cluster_address, workers=2, device="cpu"), quiet=True)
    out = ablate(two(tmp_path, **more), tmp_path / "there", AblationOptions(plugins=(str(plugin),), place=place), quiet=True)
    assert (tmp_path / "worker").exists() and (tmp_path / "cell").exists()
    assert {cell["state"] for cell in ledger(out).values()} == {"done"}
    assert values(out) == values(here)
    for name in ("one", "ten"):
        first, second = (checkpoint_tensors(folder / "cells" / name / "seed0", "step", "random") for folder in (here, out))
        assert first.keys() == second.keys()
        assert [key for key in first if not first[key].equal(second[key])] == []
    logs = [(out / "cells" / name / "seed0" / "log.jsonl").read_text() for name in ("one", "ten")]
    assert any('"resume"' in log for log in logs), "one that lost its worker saved its state, and went on from there"
    assert not list(out.rglob("*.printed.txt")) and not list(out.rglob(".lock"))


# ---- without Ray --------------------------------------------------------------------------------------------------------


def spec(run: Path) -> CellSpec:
    run.parent.mkdir(parents=True, exist_ok=True)
    return CellSpec({}, str(run), [], threads=1)


def cell_is(monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    """Every cell runs this instead."""
    monkeypatch.setattr(ablation, "child_command", lambda module: [sys.executable, "-S", "-c", code])


def test_a_keeper_starts_its_cell_and_hands_on_how_it_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cell_is(
        monkeypatch, "import json, os, sys; found = json.load(sys.stdin); print(found['run'], found['parent'] == os.getppid()); sys.exit(1)"
    )
    monkeypatch.chdir(tmp_path)
    assert Keeper().run(spec(tmp_path / "run"), str(tmp_path)) == (1, "")
    assert (tmp_path / "run.printed.txt").read_text() == f"{tmp_path / 'run'} True\n"


def test_a_keeper_stops_and_kills_its_cell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    cell_is(
        monkeypatch, "import signal, sys, time; signal.signal(15, lambda *_: sys.exit(143)); print('there', flush=True); time.sleep(60)"
    )
    for ask, code in ((Keeper.stop, 143), (Keeper.kill, -signal.SIGKILL)):
        keeper, ends = Keeper(), list[tuple[int, str]]()
        running = threading.Thread(target=lambda: ends.append(keeper.run(spec(tmp_path / "run"), str(tmp_path))))  # noqa: B023
        running.start()
        printed, deadline = tmp_path / "run.printed.txt", time.monotonic() + 20
        while not (printed.exists() and printed.read_text()) and time.monotonic() < deadline:
            time.sleep(0.02)
        ask(keeper)
        running.join(20)
        assert ends == [(code, "")]
        printed.unlink()


def test_a_keeper_that_is_stopped_before_it_starts_starts_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    keeper = Keeper()
    keeper.stop()
    assert keeper.run(spec(tmp_path / "run"), str(tmp_path)) == (143, "")
    assert not (tmp_path / "run.printed.txt").exists()


def test_a_keeper_waits_for_who_still_saves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    cell_is(monkeypatch, "")
    run = tmp_path / "run"
    run.mkdir()
    monkeypatch.setattr(on_cluster, "_UNTIL_FREE", 0.3)
    with (run / LOCK).open("a+b") as held:
        lock_file(held)
        code, reason = Keeper().run(spec(run), str(tmp_path))
        assert code == 1 and reason.startswith(f"{run} is still being trained")
        monkeypatch.setattr(on_cluster, "_UNTIL_FREE", 20)
        threading.Timer(0.3, held.close).start()
        assert Keeper().run(spec(run), str(tmp_path)) == (0, "")


def test_a_folder_that_a_machine_does_not_see_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    code, reason = Keeper().run(spec(tmp_path / "run"), str(tmp_path / "gone"))
    assert code == 2 and reason.startswith(f"it cannot run in {tmp_path / 'gone'} on ") and reason.endswith("at the same path")


class Gone(Exception):
    """A worker is."""


class CannotStart(Gone):
    """A worker says so of a cell."""

    cause = ImportError("No module named 'transfigure'")


class FakeRay:
    """Ray's few functions that a cell needs, and its worker: how each ends a list says; None runs on."""

    exceptions = SimpleNamespace(RayError=Gone, RayTaskError=CannotStart)

    def __init__(self, ends: Sequence[Any], there: bool = True) -> None:
        self.ends, self.there = list(ends), there
        self.begun: list[dict[str, Any]] = []
        self.calls: list[str] = []

    def remote(self, kind: type) -> Any:
        assert kind is Keeper
        return SimpleNamespace(options=self._options)

    def _options(self, **given: Any) -> Any:
        self.begun.append(given)
        return SimpleNamespace(remote=lambda: self.worker)

    @property
    def worker(self) -> Any:
        def method(name: str) -> Any:
            return SimpleNamespace(remote=lambda *given: self.calls.append(name) or name)  # type: ignore[func-returns-value]

        return SimpleNamespace(**{name: method(name) for name in ("is_there", "run", "stop", "kill")})

    def wait(self, results: list[str], timeout: float) -> tuple[list[str], list[str]]:
        (one,) = results
        ready = self.there if one == "is_there" else self.ends[0] is not None
        return ([one], []) if ready else ([], [one])

    def get(self, result: str, timeout: float | None = None) -> Any:
        end = self.ends.pop(0)
        if isinstance(end, type):
            raise end()
        return end

    def kill(self, keeper: Any) -> None:
        if not self.there:
            self.ends = [Gone]


def remote_cell(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, ray: FakeRay) -> RunningCell:
    monkeypatch.setitem(sys.modules, "ray", ray)  # type: ignore[arg-type]
    return on_cluster._OnCluster(Cluster(ClusterOptions(cpus=3, workers=2), 2, 0.5, is_own=True)).start(spec(tmp_path / "run"))


def test_a_cell_goes_on_in_another_worker_but_not_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lost = Gone
    ray = FakeRay([None])
    cell = remote_cell(monkeypatch, tmp_path, ray)
    assert cell.end() is None and len(ray.begun) == 1
    assert ray.begun[0] == {"num_cpus": 3, "num_gpus": 0.5, "max_restarts": 0, "max_task_retries": 0, "max_concurrency": 2}
    ray.ends = [lost, (-signal.SIGKILL, ""), (0, "")]
    assert [cell.end() for _ in range(3)] == [None, None, CellEnd(0)]
    assert len(ray.begun) == 3
    ray = FakeRay([lost] * 3)
    cell = remote_cell(monkeypatch, tmp_path, ray)
    assert [cell.end(), cell.end()] == [None, None]
    assert cell.end() == CellEnd(-9, "it was killed in each of 3 workers, perhaps for lack of memory; --resume goes on with it")


def test_a_cell_that_fails_by_itself_is_not_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ray = FakeRay([(1, "")])
    assert remote_cell(monkeypatch, tmp_path, ray).end() == CellEnd(1)
    ray = FakeRay([CannotStart])
    assert remote_cell(monkeypatch, tmp_path, ray).end() == CellEnd(1, "its worker could not start it: No module named 'transfigure'")
    assert len(ray.begun) == 1


def test_a_cell_that_is_to_stop_is_not_begun_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ray = FakeRay([None])
    cell = remote_cell(monkeypatch, tmp_path, ray)
    cell.stop()
    assert ray.calls[-1] == "stop"
    ray.ends = [(143, "")]
    assert cell.end() == CellEnd(143)
    ray = FakeRay([None], there=False)  # the cluster has no place for it yet
    cell = remote_cell(monkeypatch, tmp_path, ray)
    cell.stop()
    assert "stop" not in ray.calls and cell.end() == CellEnd(-9) and len(ray.begun) == 1


def test_cells_end_with_the_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cell = remote_cell(monkeypatch, tmp_path, FakeRay([None]))
    assert cell.end() is None
    monkeypatch.setattr(Cluster, "lost", "the Ray cluster is gone: it ended; start the command again when it runs")
    with pytest.raises(RunFailure, match=r"^the Ray cluster is gone: .* when it runs, with --resume$"):
        cell.end()


class Refusing:
    """A place that cannot be used."""

    @contextlib.contextmanager
    def opened(self, folder: Path, reads: Sequence[str]) -> Iterator[CellStarter]:
        self.reads = reads
        raise UserError("the cluster at x cannot be reached")
        yield


def test_a_place_that_cannot_be_used_is_said_before_anything_is_written(tmp_path: Path) -> None:
    plugin = tmp_path / "mine.py"
    plugin.write_text("")
    place = Refusing()
    with pytest.raises(UserError, match="cannot be reached"):
        ablate(two(tmp_path), tmp_path / "out", AblationOptions(plugins=(str(plugin),), place=place), quiet=True)
    assert not (tmp_path / "out").exists() or list((tmp_path / "out").iterdir()) == []
    assert place.reads == [str(plugin)]


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--executor", "ray", "--jobs", "2"], "--jobs is for cells on this machine"),
        (["--executor", "ray", "--together"], "--together is for cells on this machine"),
        (["--workers", "2"], "--workers is for workers of a cluster: add --executor ray"),
        (["--executor", "ray", "--address", "127.0.0.1:9"], "the cluster at 127.0.0.1:9 cannot be reached"),
    ],
)
def test_flags_that_do_not_go_together_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str], flags: list[str], said: str) -> None:
    if "--address" in flags:
        pytest.importorskip("ray")
    (tmp_path / "two.yaml").write_text(TWO)
    own = [word for key, value in TOY.items() if key != "data.kind" for word in (f"--{key}", str(value))]
    out = tmp_path / "out"
    assert main(["ablate", str(tmp_path / "two.yaml"), "synthetic", "--out", str(out), *own, "--quiet", *flags]) == 2
    assert said in capsys.readouterr().err
    assert not out.exists() or list(out.iterdir()) == []


def test_finished_cells_need_no_cluster(tmp_path: Path) -> None:
    out = ablate(two(tmp_path), tmp_path / "out", HERE, quiet=True)
    before = json.loads((out / "ablation.json").read_text())
    ablate(two(tmp_path), out, AblationOptions(place=Refusing()), resume=True, quiet=True)
    assert json.loads((out / "ablation.json").read_text()) == before and (out / "grid.yaml").is_file()
