"""A cluster's engine, Ray: joined where one runs, or started on this machine, and work that is mapped over its workers.

The unit of work is small (a path, not pixels). What goes wrong with an item is its value, and no exception: an exception in one row would
cost the rows beside it. A worker that dies costs nothing: what it had in hand is done again, by another. An item that kills every worker
that takes it up is given up after a few of them (:class:`Lost`), and takes nothing else along.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import logging
import os
import pickle
import platform
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Generic, TypeVar

from ..errors import Missing, RunFailure, TransfigureError, UserError
from ..processes import isolated_children
from ..progress import filtered_stderr, on_terminal, say, without_warnings
from ..registry import load_plugin, plugin_files
from ..wording import counted
from .machines import NodeFacts, differs, facts_of, marked

Item = TypeVar("Item")
Value = TypeVar("Value")
Worker = Callable[[Sequence[Item]], Iterable[Value]]
"""Called with some items, it gives one value for each, in their order."""

ANSWER = 15
"""Seconds in which a cluster has to answer who it is."""
DEATHS = 3
"""Workers that an item may end before it is given up."""
_WAITING = 4
"""Batches that a worker has in hand or waiting: Ray looks for those that are done ten times a second, and a worker with one more would
stand still until then (2.60.0)."""
_STORE = 100 << 20
"""Bytes of shared memory of an engine of our own: what goes through it are paths."""
_LOOK = 1.0
"""Seconds between two looks at whether the engine is there still."""
_GONE = 40.0
"""Seconds after which the head of a cluster that does not answer is gone: Ray (2.60.0) waits for a minute."""
_CONNECTING = threading.RLock()
"""Ray keeps one connection for the whole program, and so one thread has it."""
_TEMPORARY = 40
"""Letters of a folder in which Ray can keep its sockets, whose paths may have 107."""


@dataclass(frozen=True)
class ClusterOptions:
    """Where the workers are, how many, and what each takes.

    Attributes:
        address: of a running cluster, ``host:port`` or ``auto`` (the one that this machine belongs to); None starts an engine on this
            machine for as long as the work takes.
        workers: how many; None is as many as fit.
        cpus: of each, which are also its torch threads.
        gpus: of each, also a part of one (0.5); None is one where the cluster has GPUs, if the work is not for the CPU.
        device: what the work is for; on the ``cpu`` no GPU is taken.
    """

    address: str | None = None
    workers: int | None = None
    cpus: int = 1
    gpus: float | None = None
    device: str = "auto"

    def __post_init__(self) -> None:
        if self.workers is not None and self.workers < 1:
            raise UserError(f"{self.workers} workers do nothing: give at least 1")
        if self.cpus < 1:
            raise UserError(f"a worker of {self.cpus} CPUs does nothing: give it at least 1")
        if self.gpus is not None and (self.gpus < 0 or (self.gpus > 1 and self.gpus != int(self.gpus))):
            raise UserError(f"a worker cannot have {self.gpus:g} GPUs: give a whole number, or a part of one such as 0.5")


@dataclass(frozen=True)
class Lost:
    """In place of an item's value: every worker that took it up has died.

    Attributes:
        reason: one sentence.
    """

    reason: str


@dataclass(frozen=True)
class Failed:
    """In place of a value, where no worker could be set up, or one came upon what ends all work."""

    error: TransfigureError


@dataclass(frozen=True)
class Cluster:
    """Workers that are ready to be set up, see :func:`connected`.

    Attributes:
        options: what was asked for.
        workers: how many there are.
        gpus: of each.
        is_own: the engine was started by us, for this work.
    """

    options: ClusterOptions
    workers: int
    gpus: float
    is_own: bool
    _watch: _Watch | None = field(default=None, repr=False)

    @property
    def lost(self) -> str:
        """Why the engine is gone, in one sentence; empty while it is there."""
        return "" if self._watch is None else self._watch.lost

    def map(
        self, factory: Callable[[], Worker[Item, Value]], items: Sequence[Item], *, batch: int | None = None, what: str = "work"
    ) -> Generator[tuple[int, Value | Lost], None, None]:
        """What workers make of items, in the order in which they are done.

        Args:
            factory: called once in every worker's process, it gives the worker; it is pickled, as are the items and their values. Plugins
                that were loaded here are loaded there before.
            items: small: they are sent to the workers.
            batch: items that a worker takes up together; None lets :func:`parts` say.
            what: that is done, in a sentence.

        Yields:
            The number of an item and its value, each once; or :class:`Lost`.

        Raises:
            TransfigureError: what the factory, or a worker, raised: the first of them.
            RunFailure: no worker could be kept alive, or the cluster is gone.
        """
        if not items:
            return
        with _as_sentences(what):
            for found in self._done(factory, items, parts(len(items), self.workers, batch)):
                for number, value in found:
                    if isinstance(value, Failed):
                        raise value.error
                    yield number, value

    def _done(
        self, factory: Callable[[], Worker[Item, Value]], items: Sequence[Item], batches: Sequence[range]
    ) -> Iterator[list[tuple[int, Any]]]:
        import pyarrow
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        ray = _ray()
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)  # not on a machine that may be lost
        journal = ray.remote(num_cpus=0, max_restarts=0)(Journal).options(scheduling_strategy=here).remote()
        job = _pickled((factory, plugin_files(), self.options.cpus))
        blocks = [pyarrow.table({"first": [part.start], "items": [_pickled(items[part.start : part.stop])]}) for part in batches]
        before = ray.data.DataContext.get_current()
        try:
            context = before.copy()
            ray.data.DataContext._set_current(context)
            _choose(context)
            table = ray.data.from_blocks(blocks).map_batches(
                _Stage,
                fn_constructor_args=(job, journal),
                batch_size=1,
                batch_format="pyarrow",
                zero_copy_batch=True,
                compute=ray.data.ActorPoolStrategy(size=min(self.workers, len(blocks)), max_tasks_in_flight_per_actor=_WAITING),
                num_cpus=self.options.cpus,
                num_gpus=self.gpus,
            )
            del blocks
            for row in table.iter_rows():
                yield pickle.loads(row["values"])
        finally:
            ray.data.DataContext._set_current(before)
            ray.kill(journal)

    def check(self, reads: Iterable[str | Path] = (), writes: Iterable[str | Path] = ()) -> None:
        """Find out before the work whether every machine of the cluster has what the workers need.

        Args:
            reads: files, which must have the same content everywhere, and folders, which must hold the same names.
            writes: folders that all machines must share.

        Raises:
            UserError: a machine has another version of transfigure or torch, or does not see a path, or sees something else there.
        """
        here = facts_of([str(Path(path).absolute()) for path in reads])
        with contextlib.ExitStack() as marks:
            shared = [marks.enter_context(marked(Path(folder).absolute())) for folder in writes]
            wanted = [*here.files, *map(str, shared)]
            for facts in self._every_node(wanted):
                if reason := differs(here, facts, [*map(str, shared)]):
                    raise UserError(reason)

    def _every_node(self, paths: Sequence[str]) -> list[NodeFacts]:
        if self.is_own:
            return []
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        def look(paths: Sequence[str]) -> tuple[str, dict[str, Any] | None]:  # sent by value: the other side may lack this package
            import platform

            try:
                from transfigure.scale.machines import facts_of
            except ImportError:
                return platform.node(), None
            return platform.node(), dict(vars(facts_of(paths)))

        ray = _ray()
        pinned = [
            ray.remote(look)
            .options(num_cpus=0, max_retries=1, scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False))
            .remote(paths)
            for node in _nodes()
            if node["Resources"].get("CPU", 0) >= self.options.cpus
        ]
        with _as_sentences("look at the cluster's machines"):
            found = ray.get(pinned, timeout=120)
        return [NodeFacts(name, "", "", "", {}) if facts is None else NodeFacts(**facts) for name, facts in found]


def parts(count: int, workers: int, batch: int | None = None) -> list[range]:
    """The numbers of the items that are taken up together.

    Args:
        count: of items.
        workers: that take them up.
        batch: in each part; None is 32, and more for many workers: handing out takes as long whatever a part holds, one after the other.
            Towards the end they become smaller.
    """
    found, start = list[range](), 0
    smallest, largest = max(1, min(32, workers // 16, count // (4 * workers))), 32 * min(8, max(1, workers // 16))
    while start < count:
        size = batch or max(smallest, min(largest, (count - start) // (4 * workers)))
        found.append(range(start, min(start + size, count)))
        start += size
    return found


def _ray() -> Any:
    """The engine; it takes a second to import."""
    import ray
    import ray.data

    return ray


def _pickled(thing: object) -> bytes:
    """Also what is defined in a script or a notebook."""
    return bytes(_ray().cloudpickle.dumps(thing))


class Journal:
    """What batches were begun, kept outside of the workers, so that those who come after a dead one know."""

    def __init__(self) -> None:
        self._begun: set[int] = set()
        self._tries: dict[int, int] = {}
        self._done: dict[int, bytes] = {}

    def begin(self, batch: int) -> bool:
        """A batch is taken up; whether it has been before, by somebody who did not end it."""
        again = batch in self._begun
        self._begun.add(batch)
        return again

    def end(self, batch: int, items: Sequence[int]) -> None:
        """It is done."""
        self._begun.discard(batch)
        for item in items:
            self._tries.pop(item, None)
            self._done.pop(item, None)

    def begin_item(self, item: int) -> tuple[int, bytes | None]:
        """An item of a batch that a worker died of is taken up by itself: how often it has been, and its value if it is done."""
        tries = self._tries.get(item, 0)
        self._tries[item] = tries + 1
        return tries, self._done.get(item)

    def end_item(self, item: int, value: bytes) -> None:
        """It is done."""
        self._done[item] = value


class _Stage(Generic[Item, Value]):
    """A worker in a process of its own: the items of a batch in, pickled values out."""

    def __init__(self, job: bytes, journal: Any) -> None:
        self._journal, self._failed = journal, None
        self._worker: Worker[Item, Value] | None = None
        try:
            factory, plugins, threads = pickle.loads(job)
            if importlib.util.find_spec("torch") is not None:
                import torch

                torch.set_num_threads(threads)
            for plugin in plugins:
                load_plugin(plugin)
            self._worker = factory()
        except TransfigureError as error:
            self._failed = Failed(error)
        except Exception as error:
            self._failed = Failed(RunFailure(f"a worker on {platform.node()} could not be set up: {type(error).__name__}: {error}"))

    def __call__(self, table: Any) -> Any:
        import pyarrow

        (first,), (given,) = table["first"].to_pylist(), table["items"].to_pylist()
        values = [(first, self._failed)] if self._failed is not None else self._values_or_failure(first, pickle.loads(given))
        return pyarrow.table({"values": [pickle.dumps(values)]})

    def _values_or_failure(self, first: int, items: Sequence[Item]) -> list[tuple[int, Any]]:
        """What ends the whole work, such as a full disk, is a value, too: Ray (2.60.0) would wrap it, and lose its words."""
        try:
            return self._values(first, items)
        except TransfigureError as error:
            return [(first, Failed(error))]
        except _ray().exceptions.RayError:
            raise
        except Exception as error:
            return [(first, Failed(RunFailure(f"a worker on {platform.node()} failed: {type(error).__name__}: {_first_line(error)}")))]

    def _values(self, first: int, items: Sequence[Item]) -> list[tuple[int, Any]]:
        ray = _ray()
        assert self._worker is not None
        numbers = range(first, first + len(items))
        again = ray.get(self._journal.begin.remote(first))
        values = list(map(self._alone, numbers, items)) if again else list(self._worker(items))
        if len(values) != len(items):
            raise AssertionError(f"a worker gave {len(values)} values for {len(items)} items")
        ray.get(self._journal.end.remote(first, [*numbers]))
        return [*zip(numbers, values)]

    def _alone(self, number: int, item: Item) -> Any:
        """An item of a batch in which a worker died: one after the other, so that the one that it died of is found."""
        ray = _ray()
        assert self._worker is not None
        tries, known = ray.get(self._journal.begin_item.remote(number))
        if known is not None:
            return pickle.loads(known)
        if tries >= DEATHS - 1:  # and one with the whole batch
            return Lost(f"{DEATHS} workers died while they worked on it: perhaps it takes more memory than a worker has")
        (value,) = self._worker([item])
        ray.get(self._journal.end_item.remote(number, pickle.dumps(value)))
        return value


# ---- joining and starting ---------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def connected(options: ClusterOptions, quiet: bool = False, interrupting: bool = True) -> Iterator[Cluster]:
    """The workers of a running cluster, or of an engine that is started on this machine and ended with the block.

    A program that has called ``ray.init`` itself stays connected, and its cluster is used, unless an address is given. Several threads of
    a program connect once, and share what they get.

    Args:
        options: where, and how many.
        quiet: nothing is said; else a person who looks on is told that it takes a while.
        interrupting: where the engine is gone, the main thread is interrupted; else whoever works looks at :attr:`Cluster.lost`.

    Raises:
        Missing: Ray is not installed.
        UserError: another thread is connected; or the address cannot be reached, or is no cluster's, or refuses us, or runs another version
            of Ray; or the cluster does not have what the workers ask for.
        RunFailure: the engine could not be started.
    """
    if importlib.util.find_spec("ray") is None or importlib.util.find_spec("pyarrow") is None:
        raise Missing.extra("ray", "scale", "working on a cluster")
    with contextlib.ExitStack() as held:
        held.enter_context(_alone())
        held.callback(lambda: None if _ray().is_initialized() else _read_again())
        held.enter_context(_as_before())
        held.enter_context(_variables({"RAY_USAGE_STATS_ENABLED": "0", "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0"}))
        ray = _ray()
        address = "local" if options.address is None else _answering(options.address)
        if ray.is_initialized():
            if address not in ("local", ray.get_runtime_context().gcs_address):
                raise UserError(
                    "this program is connected to another cluster already: leave out the address, or call ray.shutdown() before"
                )
            held.enter_context(_silence())
            watch = held.enter_context(_watched(_GONE, interrupting))
            yield replace(_cluster(options, is_own=False), _watch=watch)
            return
        if on_terminal() and not quiet:
            what = "starting Ray on this machine" if options.address is None else f"joining the cluster at {address}"
            say(f"{what}, and workers on it: the first result takes some seconds")
        held.enter_context(_silence())
        _read_again()
        held.enter_context(_own_engine() if options.address is None else contextlib.nullcontext())
        held.enter_context(_initialized(address, options))
        watch = held.enter_context(_watched(_GONE if options.address is not None else 2 * _LOOK, interrupting))
        yield replace(_cluster(options, is_own=options.address is None), _watch=watch)


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """No other thread of this program connects or disconnects meanwhile."""
    if not _CONNECTING.acquire(blocking=False):
        raise UserError(
            "another thread of this program works on a cluster: let one begin when the other has ended, or connect once and give both "
            "that cluster (transfigure.scale.cluster.connected)"
        )
    try:
        yield
    finally:
        _CONNECTING.release()


@contextlib.contextmanager
def _initialized(address: str, options: ClusterOptions) -> Iterator[None]:
    ray = _ray()
    how: dict[str, Any] = {"log_to_driver": False, "configure_logging": False, "logging_level": logging.CRITICAL}
    folder: Path | None = None
    if address == "local":
        how |= {"num_cpus": _cores(), "include_dashboard": False, "object_store_memory": _STORE}
        folder = Path(tempfile.mkdtemp(prefix="ray-"))
        how |= {"_temp_dir": str(folder)} if len(str(folder)) <= _TEMPORARY else {}
    try:
        with _own_signals():
            try:
                ray.init(address=address, **how)
            except KeyboardInterrupt:
                raise
            except (Exception, SystemExit) as error:
                if address == "local":
                    raise RunFailure(f"Ray could not be started on this machine: {_first_line(error)}") from error
                raise UserError(f"the cluster at {address} cannot be joined: {_first_line(error)}") from error
        yield
    finally:
        with _undisturbed():
            helpers = _helpers() if address == "local" else {}
            ray.shutdown()
            _end_helpers(helpers)
            if folder is not None:
                shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _watched(patience: float, interrupting: bool) -> Iterator[_Watch]:
    """Where the engine is gone the block ends with a sentence: Ray (2.60.0) ends the whole program, without a word and with all it holds.

    Args:
        patience: seconds for which the head of the cluster need not answer.
        interrupting: as of :func:`connected`.

    Raises:
        RunFailure: the engine is gone.
    """
    node = _ray()._private.worker._global_node
    watch = _Watch(str(node.gcs_address), _daemon(str(node.raylet_socket_name)), patience, interrupting)
    watch.start()
    try:
        try:
            yield watch
        finally:
            watch.end()
    except KeyboardInterrupt as error:
        if watch.lost:
            raise RunFailure(watch.lost) from error
        raise


def _daemon(socket_name: str) -> Path | None:
    """Where the system tells of the process by which this machine belongs to the cluster; None if it does not tell."""
    for place in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            first, *words = (place / "cmdline").read_bytes().split(b"\0")
            if first.endswith(b"raylet") and f"--raylet_socket_name={socket_name}".encode() in words:
                return place / "cmdline"
    return None


class _Watch(threading.Thread):
    """Looks from time to time whether an engine is there still, and interrupts the main thread if it is not, or only knows it.

    Args:
        head: the address of the cluster's head.
        daemon: what :func:`_daemon` gives.
        patience: as of :func:`_watched`.
        interrupting: likewise.

    Attributes:
        lost: one sentence, once it is gone.
    """

    def __init__(self, head: str, daemon: Path | None, patience: float, interrupting: bool) -> None:
        super().__init__(name="watch over the engine", daemon=True)
        self.lost = ""
        self._head, self._process, self._patience = head, daemon, patience
        self._ended, self._telling = threading.Event(), threading.Lock()
        self._interrupting, self._in_main = interrupting, threading.current_thread() is threading.main_thread()

    def run(self) -> None:
        answered = time.monotonic()
        while not self._ended.wait(_LOOK):
            if self._answers():
                answered = time.monotonic()
            if not self._is_there():
                return self._tell("its process on this machine has ended")
            if time.monotonic() - answered >= self._patience:
                return self._tell(f"its head at {self._head} does not answer any more")
        return None

    def end(self) -> None:
        """Nothing is told after this."""
        self._ended.set()
        with self._telling:
            pass

    def _answers(self) -> bool:
        host, _, port = self._head.rpartition(":")
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout=_LOOK).close()
        except OSError:
            return False
        return True

    def _is_there(self) -> bool:
        try:
            return self._process is None or bool(self._process.read_bytes())  # empty of one that has ended and is not waited for
        except OSError:
            return False

    def _tell(self, reason: str) -> None:
        lost = f"the Ray cluster is gone: {reason}; start the command again when it runs"
        with self._telling:
            if self._ended.is_set():
                return
            if not self._interrupting:
                self.lost = lost
            elif self._in_main and callable(signal.getsignal(signal.SIGINT)) and hasattr(signal, "pthread_kill"):
                self.lost = lost
                signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
            else:
                say(f"transfigure: {lost}")  # before Ray ends the program


def _helpers() -> dict[int, bytes]:
    """The processes that the engine which this process has started has started in turn, and when each began; empty without ``/proc``."""
    stats = {int(place.name): stat for place in Path("/proc").glob("[0-9]*") if (stat := _stat(place))}
    engines = {pid for pid, (name, parent, _) in stats.items() if name == b"raylet" and parent == os.getpid()}
    return {pid: begun for pid, (_, parent, begun) in stats.items() if parent in engines}


def _stat(place: Path) -> tuple[bytes, int, bytes] | None:
    """The name, the parent and the beginning of a process."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        head, _, rest = (place / "stat").read_bytes().rpartition(b")")
        words = rest.split()
        return head.partition(b"(")[2], int(words[1]), words[19]
    return None


def _end_helpers(helpers: Mapping[int, bytes]) -> None:
    """End those that are left. Where the engine is ended while they begin they would try to reach it for a minute (2.60.0)."""
    for pid, begun in helpers.items():
        if (stat := _stat(Path("/proc", str(pid)))) is not None and stat[2] == begun:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _nodes() -> list[dict[str, Any]]:
    return [node for node in _ray().nodes() if node["Alive"]]


def _cluster(options: ClusterOptions, is_own: bool) -> Cluster:
    """How many workers there are going to be.

    Raises:
        UserError: so many do not fit.
    """
    resources = [node["Resources"] for node in _nodes()]
    total_gpus = sum(node.get("GPU", 0) for node in resources)
    gpus = options.gpus if options.gpus is not None else 1.0 if total_gpus and options.device != "cpu" else 0.0
    fitting = sum(
        int(min(node.get("CPU", 0) // options.cpus, node.get("GPU", 0) / gpus + 1e-9 if gpus else float("inf"))) for node in resources
    )
    wanted = counted(options.workers or 1, "worker")
    if fitting < (options.workers or 1):
        have = f"{counted(int(sum(node.get('CPU', 0) for node in resources)), 'CPU')} and {counted(int(total_gpus), 'GPU')}"
        where = "this machine has" if is_own else f"the cluster has ({counted(len(resources), 'machine')})"
        each = f"{counted(options.cpus, 'CPU')} and {gpus:g} GPU{'s' * (gpus > 1)}" if gpus else counted(options.cpus, "CPU")
        way_out = f"ask for at most {counted(fitting, 'worker')}" if fitting else "ask for less"
        raise UserError(f"{wanted} of {each} do{'es' * ((options.workers or 1) == 1)} not fit in what {where}, {have}: {way_out}")
    return Cluster(options, options.workers or fitting, gpus, is_own)


_PROBE = """\
import json, sys
from ray._private.services import canonicalize_bootstrap_address_or_die
from ray._raylet import GcsClient
try:
    address = canonicalize_bootstrap_address_or_die(sys.argv[1])
    found = GcsClient(address=address).internal_kv_get(b"CLUSTER_METADATA", b"cluster", timeout=10)
    print(json.dumps({"address": address, **json.loads(found or b"{}")}))
except Exception as error:
    print(json.dumps({"error": type(error).__name__, "message": str(error)}))
"""


def _answering(address: str) -> str:
    """The address of a cluster that answers, lets us in and runs the Ray that is installed here.

    Ray itself asks for two minutes and then ends the process that asked, so this is found out in another one.

    Raises:
        UserError: it does not.
    """
    if "://" in address:
        raise UserError(
            f"{address} is for clients outside of a cluster: run this command on a machine of the cluster, with --address auto, or submit "
            "it as a job (ray job submit)"
        )
    host, _, port = address.rpartition(":")
    if address != "auto":
        if not host or not port.isdigit():
            raise UserError(f"the address {address!r} is not host:port, as 10.0.0.1:6379, or auto")
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout=5).close()
        except (OSError, OverflowError) as error:
            reason = "does not answer within 5 seconds" if isinstance(error, TimeoutError) else f"cannot be reached ({_reason(error)})"
            raise UserError(f"the cluster at {address} {reason}: see whether it runs there (ray status), and the firewall") from error
    found = _asked(address)
    if found.get("error") == "AuthenticationError" and "RAY_AUTH_MODE" not in os.environ and _has_token():
        # ray start asks for a token, without being told to, where the user has one in a file
        os.environ["RAY_AUTH_MODE"] = "token"
        found = _asked(address)
    if found.get("error") == "AuthenticationError":
        raise UserError(
            f"the cluster at {address} refuses this user's token: put that of the cluster into RAY_AUTH_TOKEN (and RAY_AUTH_MODE=token), "
            "or into ~/.ray/auth_token"
        )
    if "error" in found:
        if address == "auto":
            raise UserError("no cluster runs on this machine: give its address, host:port, or start one (ray start --head)")
        raise UserError(f"the cluster at {address} cannot be joined: {_first_line(found['message'])}")
    for name, ours, theirs in (
        ("Ray", _ray().__version__, found.get("ray_version")),
        ("Python", platform.python_version(), found.get("python_version")),
    ):
        if theirs is not None and ours != theirs:
            raise UserError(f"the cluster at {address} runs {name} {theirs}, and here is {name} {ours}: install the same version")
    return str(found["address"])


def _asked(address: str) -> dict[str, str]:
    """What another process is told by whoever answers at an address.

    Raises:
        UserError: nothing, for too long.
    """
    if os.environ.get("RAY_AUTH_MODE", "").lower() == "token" and not _has_token():  # Ray would end that process by a dump of its stack
        return {"error": "AuthenticationError", "message": ""}
    try:
        with isolated_children():
            asked = subprocess.run([sys.executable, "-c", _PROBE, address], capture_output=True, text=True, timeout=ANSWER, check=False)
    except subprocess.TimeoutExpired as error:
        if address == "auto":
            raise UserError(
                f"no cluster that was started on this machine answers within {ANSWER} seconds: give its address, host:port"
            ) from error
        raise UserError(f"what answers at {address} does not answer as a Ray cluster within {ANSWER} seconds: see the port") from error
    try:
        told: dict[str, str] = json.loads(asked.stdout.splitlines()[-1])
    except (IndexError, ValueError):
        told = {"error": "", "message": asked.stderr.strip().splitlines()[-1] if asked.stderr.strip() else "it ended without a word"}
    return told


def _has_token() -> bool:
    """Whether this user has a token, in a variable or in a file."""
    loader = _ray()._raylet.AuthenticationTokenLoader.instance()
    loader.reset_cache()
    return bool(loader.has_token(ignore_auth_mode=True))


def _reason(error: Exception) -> str:
    return error.strerror or str(error) if isinstance(error, OSError) else str(error)


def _first_line(error: object) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return re.sub(r"\x1b\[[0-9;]*m", "", lines[0]).rstrip(".") if lines else type(error).__name__


@contextlib.contextmanager
def _as_sentences(what: str) -> Iterator[None]:
    """What Ray raises is one sentence."""
    ray = _ray()
    try:
        yield
    except ray.exceptions.RayTaskError as error:
        cause = error.cause if isinstance(error.cause, Exception) else error
        raise RunFailure(f"a worker could not {what}: {type(cause).__name__}: {_first_line(cause)}") from error
    except (ray.exceptions.RayError, ray.exceptions.GetTimeoutError) as error:
        raise RunFailure(f"the cluster could not {what} to the end: {type(error).__name__}: {_first_line(error)}") from error


# ---- Ray is silent ----------------------------------------------------------------------------------------------------------


def _choose(context: Any) -> None:
    """Of a copy of Ray Data's context: no lines of its own, no exceptions as values, no endless retries of what cannot begin."""
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    context.enable_auto_log_stats = False
    context.execution_options.preserve_order = False
    context.max_errored_blocks = 0
    context.max_consecutive_actor_init_deaths = DEATHS - 1


@contextlib.contextmanager
def _as_before() -> Iterator[None]:
    """What Ray (2.60.0) leaves in a program is taken away: variables, a debugger behind ``breakpoint()``, and a view of exceptions."""
    before, hooks = dict(os.environ), (sys.breakpointhook, sys.excepthook)
    try:
        yield
    finally:
        sys.breakpointhook, sys.excepthook = hooks
        for name in [name for name in os.environ if name.startswith(("RAY_", "PYTHONBREAKPOINT"))]:
            if name not in before:
                del os.environ[name]


@contextlib.contextmanager
def _variables(values: Mapping[str, str]) -> Iterator[None]:
    """Environment variables that are not set get a value for a while; processes that are started hand them on."""
    missing = {name: value for name, value in values.items() if name not in os.environ}
    os.environ.update(missing)
    try:
        yield
    finally:
        for name in missing:
            os.environ.pop(name, None)


@contextlib.contextmanager
def _own_engine() -> Iterator[None]:
    """An engine of our own listens to us alone: by a token that nobody else knows, and that is written nowhere."""
    if "RAY_AUTH_MODE" in os.environ:
        yield
        return
    with _variables({"RAY_AUTH_MODE": "token"}):
        before = os.environ.get("RAY_AUTH_TOKEN")
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
        try:
            _read_again()
            yield
        finally:
            os.environ.pop("RAY_AUTH_TOKEN")
            if before is not None:
                os.environ["RAY_AUTH_TOKEN"] = before
    _read_again()


def _read_again() -> None:
    """Ray keeps what the environment said of tokens when it was imported."""
    engine = _ray()._raylet
    engine.Config.initialize("")
    engine.AuthenticationTokenLoader.instance().reset_cache()


_LINE_OF_RAY = re.compile(
    rb"\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} [A-Z] \d+ \d+\] |\*\*\* SIGTERM received at |(PC:|   ) @ +(0x|\.\.\. and )"
)
"""Also the stack that it dumps when it is told to end, which is no fault."""


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Ray says nothing: neither by Python's logging nor, from C++, on stderr itself; all is as it was afterwards."""
    worker = _ray()._private.worker
    loggers = [logging.getLogger(name) for name in ("ray", "ray.data", "ray.tune", "ray.rllib", "ray.train", "ray.serve")]
    levels = [logger.level for logger in loggers]
    printing = getattr(worker, "_worker_logs_enabled", True)
    for logger in loggers:
        logger.setLevel(logging.CRITICAL + 1)
    worker._worker_logs_enabled = False
    try:
        with filtered_stderr(_LINE_OF_RAY), without_warnings():
            yield
    finally:
        worker._worker_logs_enabled = printing
        for logger, level in zip(loggers, levels):
            logger.setLevel(level)


@contextlib.contextmanager
def _own_signals() -> Iterator[None]:
    """SIGTERM stays ours: Ray would have it end the program, by an exit code of its own.

    Its C++ takes it, too, behind Python's back (2.60.0): it dumps its stack, and kills the program (SIGABRT) if that has not ended after
    three seconds. So the handler that was there is set again, though for Python it still is.
    """
    utils = _ray()._private.utils
    before, setting = signal.getsignal(signal.SIGTERM), utils.set_sigterm_handler
    utils.set_sigterm_handler = lambda handler: None
    try:
        yield
    finally:
        utils.set_sigterm_handler = setting
        if threading.current_thread() is threading.main_thread() and before is not None:
            signal.signal(signal.SIGTERM, before)


@contextlib.contextmanager
def _undisturbed() -> Iterator[None]:
    """A second Ctrl-C waits until what was started is ended, so that nothing is left behind."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
