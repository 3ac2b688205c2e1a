"""The cells of an ablation on a Ray cluster: each has a worker with its CPUs and its share of a GPU, and writes to the folder that all see.

A worker does what the ablation does on one machine: it starts the cell in a process of its own and looks after it. So the files, the
progress, the failures and resuming are the same. A cell whose worker dies goes on in another, from its last checkpoint.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import platform
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ..data.files import LOCK, lock_file
from ..errors import RunFailure
from ..studies.ablation.ablation import CellEnd, CellStarter, RunningCell, start_process
from ..studies.ablation.cell import CellSpec
from .cluster import Cluster, ClusterOptions, connected

DEATHS = 3
"""Workers, or processes in them, that a cell may lose before it counts as failed."""
_UNTIL_FREE = 60.0
"""Seconds for which a cell waits for what its dead worker left, which saves its state."""
_SECONDS = 5.0
"""Within which a worker answers."""


@dataclasses.dataclass(frozen=True)
class ClusterPlace:
    """A cluster, as a place for the cells of an ablation.

    Attributes:
        options: which, and what each cell takes of it.
        quiet: no notes.
    """

    options: ClusterOptions
    quiet: bool = False

    @contextlib.contextmanager
    def opened(self, folder: Path, reads: Sequence[str]) -> Iterator[CellStarter]:
        """Join the cluster, or start an engine on this machine.

        Args:
            folder: of the ablation, which all machines must share.
            reads: paths of what the cells read, which all must see alike.

        Raises:
            UserError: the cluster cannot be joined, or a machine of it has other versions, or does not see a path.
        """
        with connected(self.options, self.quiet, interrupting=False) as cluster:
            cluster.check(reads, [folder])
            yield _OnCluster(cluster)


class _OnCluster:
    """As many cells at once as the cluster has workers for."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self.at_once = cluster.workers
        self.threads: int | None = cluster.options.cpus

    def start(self, spec: CellSpec) -> RunningCell:
        return _RemoteCell(spec, self._cluster)


class _RemoteCell:
    """A cell in a worker, seen from here."""

    def __init__(self, spec: CellSpec, cluster: Cluster) -> None:
        import ray

        self._ray: Any = ray
        self._spec, self._cluster = spec, cluster
        self._deaths, self._stopping = 0, False
        self._begin()

    def _begin(self) -> None:
        share = {"num_cpus": self._cluster.options.cpus, "num_gpus": self._cluster.gpus}
        keeper = self._ray.remote(Keeper).options(**share, max_restarts=0, max_task_retries=0, max_concurrency=2)
        self._keeper = keeper.remote()
        self._there = self._keeper.is_there.remote()
        self._run = self._keeper.run.remote(self._spec, str(Path.cwd()))

    def end(self) -> CellEnd | None:
        if self._cluster.lost:
            raise RunFailure(f"{self._cluster.lost}, with --resume")
        if not self._ready(self._run):
            return None
        try:
            code, reason = self._ray.get(self._run)
        except self._ray.exceptions.RayTaskError as error:  # nothing of the cell's: it could not be looked after
            first, *_ = (str(error.cause) or repr(error.cause)).splitlines()
            code, reason = 1, f"its worker could not start it: {first}"
        except self._ray.exceptions.RayError:  # with its worker, or the machine
            code, reason = -signal.SIGKILL, ""
        if code == -signal.SIGKILL and not self._stopping:
            self._deaths += 1
            if self._deaths < DEATHS:
                self._end_keeper()
                self._begin()
                return None
            reason = f"it was killed in each of {DEATHS} workers, perhaps for lack of memory; --resume goes on with it"
        self._end_keeper()
        return CellEnd(code, reason)

    def stop(self) -> None:
        self._stopping = True
        if self._ready(self._there):
            self._keeper.stop.remote()
        else:  # it waits for its place, and has not begun
            self._end_keeper()

    def kill(self) -> None:
        self._stopping = True
        with contextlib.suppress(self._ray.exceptions.RayError):
            if self._ready(self._there):
                self._ray.get(self._keeper.kill.remote(), timeout=_SECONDS)
        self._end_keeper()

    def _ready(self, result: Any) -> bool:
        return bool(self._ray.wait([result], timeout=0)[0])

    def _end_keeper(self) -> None:
        with contextlib.suppress(self._ray.exceptions.RayError):
            self._ray.kill(self._keeper)


class Keeper:
    """A worker that looks after one cell's process, in a process of Ray's."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._ended = threading.Event()

    def is_there(self) -> bool:
        """Called to find out."""
        return True

    def run(self, spec: CellSpec, folder: str) -> tuple[int, str]:
        """Run the cell to its end.

        Args:
            spec: what it is to do.
            folder: in which the ablation was started, which paths are relative to.

        Returns:
            The exit code of its process, and why it could not be started, if that is so.
        """
        try:
            os.chdir(folder)
        except OSError as error:
            where = f"{folder} on {platform.node()}, a machine of the cluster ({error.strerror})"
            return 2, f"it cannot run in {where}: start the ablation in a folder that all machines see at the same path"
        run = Path(spec.run)
        if not self._is_free(run):
            return 1, f"{run} is still being trained, by another worker or by somebody else: --resume goes on with it"
        if self._ended.is_set():
            return 128 + signal.SIGTERM, ""
        self._process = start_process(dataclasses.replace(spec, parent=os.getpid()))
        if self._ended.is_set():  # it was asked for meanwhile
            self._process.send_signal(signal.SIGTERM)
        return self._process.wait(), ""

    def _is_free(self, run: Path) -> bool:
        """Wait until nobody trains there: who lost the worker before this one saves its state and ends."""
        deadline = time.monotonic() + _UNTIL_FREE
        while time.monotonic() < deadline and not self._ended.is_set():
            try:
                with (run / LOCK).open("r+b") as stream:
                    lock_file(stream)
                return True
            except FileNotFoundError:
                return True
            except OSError:
                time.sleep(0.2)
        return self._ended.is_set()

    def stop(self) -> None:
        """The cell is to save its state and to end."""
        self._ended.set()
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """The cell ends at once."""
        self._ended.set()
        if self._process is not None:
            self._process.kill()
            self._process.wait()
