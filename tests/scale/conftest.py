"""One small cluster for all tests of this folder, started where a test asks for it and ended for certain."""

from __future__ import annotations

import contextlib
import os
import secrets
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

CPUS = 3
_HEAD = "import sys; from ray.scripts.scripts import main; sys.exit(main())"


@contextlib.contextmanager
def running_head(cpus: int = CPUS, **environment: str) -> Iterator[str]:
    """A head of a cluster in a process group and a folder of its own; its address."""
    folder = Path(tempfile.mkdtemp(prefix="tf-", dir="/tmp" if Path("/tmp").is_dir() else None))  # a socket's path is short
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = ["start", "--head", "--block", f"--port={port}", f"--num-cpus={cpus}", "--num-gpus=0", "--include-dashboard=false"]
    words += [f"--object-store-memory={80 << 20}", f"--temp-dir={folder}", "--include-log-monitor=false", "--disable-usage-stats"]
    words += ["--node-ip-address=127.0.0.1", "--min-worker-port=0", "--max-worker-port=0"]
    variables = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), **environment}
    log = folder / "head.log"
    with log.open("w") as out:
        head = subprocess.Popen(
            [sys.executable, "-c", _HEAD, *words], stdout=out, stderr=out, stdin=subprocess.DEVNULL, env=variables, start_new_session=True
        )
    try:
        deadline = time.monotonic() + 180
        while "will now block" not in log.read_text():
            if head.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"the head did not start: {log.read_text()[-2000:]}")
            time.sleep(0.1)
        yield f"127.0.0.1:{port}"
    finally:
        _end(head, folder)
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def another_machine(address: str, hidden: Path) -> Iterator[None]:
    """A node of one CPU that joins a cluster, and sees an empty folder where this machine has ``hidden``.

    Skips where no file system may be mounted.
    """
    folder = Path(tempfile.mkdtemp(prefix="tf-", dir="/tmp" if Path("/tmp").is_dir() else None))
    mounting = f"mount -t tmpfs none {hidden}"
    if (
        shutil.which("unshare") is None
        or subprocess.run(["unshare", "-m", "sh", "-c", mounting], capture_output=True, check=False).returncode
    ):
        pytest.skip("no file system may be mounted here")
    words = ["start", f"--address={address}", "--block", "--num-cpus=1", "--num-gpus=0", f"--object-store-memory={80 << 20}"]
    words += ["--min-worker-port=0", "--max-worker-port=0", "--include-log-monitor=false"]
    command = " ".join(map(shlex.quote, [sys.executable, "-c", _HEAD, *words]))
    variables = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "TMPDIR": str(folder)}
    with (folder / "node.log").open("w") as out:
        node = subprocess.Popen(
            ["unshare", "-m", "sh", "-c", f"{mounting} && exec {command}"],
            stdout=out,
            stderr=out,
            stdin=subprocess.DEVNULL,
            env=variables,
            start_new_session=True,
        )
    try:
        deadline = time.monotonic() + 180
        while "will now block" not in (folder / "node.log").read_text():
            if node.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"the node did not start: {(folder / 'node.log').read_text()[-2000:]}")
            time.sleep(0.1)
        yield
    finally:
        _end(node, folder)
        shutil.rmtree(folder, ignore_errors=True)


def _end(head: subprocess.Popen[bytes], folder: Path) -> None:
    """End the head, and whatever of its cluster has gone its own way; nothing in it is worth the half minute of a graceful end."""
    for process in {*processes_with(str(folder)), *_children(head.pid)}:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(head.pid, signal.SIGKILL)
    head.wait(timeout=10)


def processes_with(word: str) -> list[int]:
    """The processes whose command line holds a word; none where there is no ``/proc``."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if word.encode() in (place / "cmdline").read_bytes() and int(place.name) != os.getpid():
                found.append(int(place.name))
    return found


def _children(parent: int) -> Iterator[int]:
    """All processes below one."""
    for place in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, ValueError):
            if int((place / "stat").read_text().rpartition(")")[2].split()[1]) == parent:
                yield from _children(int(place.name))
                yield int(place.name)


@pytest.fixture(scope="session")
def cluster_address() -> Iterator[str]:
    """A cluster of three logical CPUs with a token of its own, which is in the environment; started once for all tests of this process."""
    pytest.importorskip("ray")
    before = os.environ.get("RAY_AUTH_MODE"), os.environ.get("RAY_AUTH_TOKEN")
    token = secrets.token_hex(32)
    os.environ.update(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=token)
    try:
        with running_head() as address:
            yield address
    finally:
        for name, value in zip(("RAY_AUTH_MODE", "RAY_AUTH_TOKEN"), before):
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
