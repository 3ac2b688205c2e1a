"""A verb in a forked child, with limits of time and memory, and what came of it.

Python, torch and the package are imported once, in the parent; a child starts within milliseconds. The parent must never compute
gradients: torch's threads for them do not survive a fork.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import io
import os
import pickle
import resource
import select
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SECONDS, MEGABYTES = 10.0, 2048
"""What no run may exceed: seconds of the processor, and memory at its highest."""
PATIENCE = 60.0
"""Seconds by the clock after which a child that waits for something is ended; one that waits for its turn on a busy machine goes on."""
ROOM = 3 << 30
"""Bytes that a child may ask for beyond what it starts with: enough to see that it passes the limit, and the machine survives it."""


@dataclass(frozen=True)
class Ending:
    """What became of a child.

    Attributes:
        code: its exit code; negative is the signal that ended it.
        seconds: by the clock.
        computed: seconds of the processor.
        megabytes: memory at its highest, with what the imports take.
        stdout, stderr: what it printed, as bytes.
    """

    code: int
    seconds: float
    computed: float
    megabytes: float
    stdout: bytes
    stderr: bytes


def prepare() -> None:
    """Import what every verb needs, so that children find it there; one thread."""
    import torch

    torch.set_num_threads(1)
    import pkgutil

    import transfigure

    for module in pkgutil.walk_packages(transfigure.__path__, "transfigure."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)


def warm(place: Path) -> None:
    """Draw and read once here what every child would have to begin with: fonts, templates, kernels. Nothing that computes gradients."""
    from transfigure.cli.main import main

    copy = place.parent / "warm"
    shutil.copytree(place, copy)
    words = (
        ["report", "run"],
        ["compare", "run", "spare/run", "--out", "page.html"],
        ["evaluate", "run", "--metrics", "l1,ssim", "--quiet"],
    )
    with contextlib.chdir(copy), contextlib.redirect_stdout(io.StringIO()):
        for command in words:
            main(command)
    shutil.rmtree(copy)


def run(work: Callable[[], int], place: Path, seconds: float = PATIENCE, limited: bool = True) -> Ending:
    """Do the work in a child whose working folder is ``place``, and wait for its end."""
    started = time.monotonic()
    pid = start(work, place, limited)
    used = _wait(pid, started + seconds)
    stdout, stderr = ((place.parent / name).read_bytes() for name in ("stdout", "stderr"))
    return Ending(used[0], time.monotonic() - started, used[1], used[2], stdout, stderr)


def start(work: Callable[[], int], place: Path, limited: bool = True) -> int:
    """Begin the work in a child; its process id. What it prints goes to files beside ``place``."""
    sys.stdout.flush()
    sys.stderr.flush()
    gc.freeze()  # a child that collects garbage need not look through all that is imported, which would copy it
    pid = os.fork()
    if pid:
        return pid
    code = 70
    try:
        _settle(place, limited)
        code = work()
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(BaseException):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code & 0xFF)


def answer(work: Callable[[], Any], place: Path) -> Any:
    """What a function returns when it is called in a child; None if the child fails."""
    file = place.parent / "answer"
    file.unlink(missing_ok=True)

    def kept() -> int:
        file.write_bytes(pickle.dumps(work()))
        return 0

    ending = run(kept, place)
    return pickle.loads(file.read_bytes()) if ending.code == 0 else None


def _settle(place: Path, limited: bool) -> None:
    os.setsid()  # what it starts can be ended with it
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    for number, name in ((0, os.devnull), (1, place.parent / "stdout"), (2, place.parent / "stderr")):
        opened = os.open(name, os.O_RDONLY if number == 0 else os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        os.dup2(opened, number)
        os.close(opened)
    sys.stdin = os.fdopen(0, closefd=False)
    sys.stdout, sys.stderr = (os.fdopen(number, "w", encoding="utf-8", closefd=False) for number in (1, 2))
    os.chdir(place)
    os.environ["HOME"] = str(place.parent / "home")
    os.environ.pop("TRANSFIGURE_CACHE", None)
    os.fsync = os.fstat  # type: ignore[assignment]  # no power is cut here
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if limited:
        memory = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
        resource.setrlimit(resource.RLIMIT_AS, (memory + ROOM, memory + ROOM))
        resource.setrlimit(resource.RLIMIT_CPU, (int(SECONDS) + 2, int(SECONDS) + 4))
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 30, 1 << 30))


def _sleeps(pid: int) -> bool:
    """Whether a process waits for something else than its turn on a busy machine."""
    for _ in range(5):
        with contextlib.suppress(OSError):
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "S":
                return False
        time.sleep(0.1)
    return True


def _wait(pid: int, until: float) -> tuple[int, float, float]:
    handle = os.pidfd_open(pid)
    while not select.select([handle], [], [], max(0.1, until - time.monotonic()))[0]:
        if _sleeps(pid) or time.monotonic() > until + 10 * PATIENCE:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)
            ended = -signal.SIGXCPU
            break
    else:
        ended = 0
    os.close(handle)
    _, status, usage = os.wait4(pid, 0)
    code = ended or os.waitstatus_to_exitcode(status)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)  # whatever it left behind
    return code, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024
