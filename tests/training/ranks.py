"""Processes that train together, as torchrun or srun would start them: forked from one that has imported everything.

That saves seconds for each, and lets a test put something into each before its command begins.
"""

from __future__ import annotations

import multiprocessing
import os
import socket
import sys
import time
from collections.abc import Callable, Sequence
from multiprocessing.context import ForkServerProcess
from pathlib import Path

_SERVER = multiprocessing.get_context("forkserver")
_IMPORTED = ["transfigure.cli.main", "transfigure.training.trainer", "transfigure.reporting.run.page", "lightning_fabric"]


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _rank(words: Sequence[str], variables: dict[str, str], printed: str, prepare: Callable[[], None] | None) -> None:
    os.setsid()  # a group of its own, as a launcher gives it
    os.environ.update(variables)
    stream = os.open(printed, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(stream, 1)
    os.dup2(stream, 2)
    sys.stdout, sys.stderr = (os.fdopen(number, "w", buffering=1, encoding="utf-8") for number in (1, 2))
    from transfigure.cli.main import main

    if prepare is not None:
        prepare()
    sys.argv = ["transfigure", *words]
    code = main(words)
    sys.stdout.flush()
    sys.exit(code)


class Ranks:
    """Several processes of one training.

    Args:
        words: of the command, the same for each.
        folder: for what each prints.
        variables: of one process, from its number; by default those of torchrun's on one machine.
        count: how many are to know of each other.
        started: how many of them are there.
        prepare: called in each before the command.
    """

    def __init__(
        self,
        words: Sequence[str],
        folder: Path,
        variables: Callable[[int], dict[str, str]] | None = None,
        count: int = 2,
        started: int | None = None,
        prepare: Callable[[], None] | None = None,
    ) -> None:
        port = free_port()
        folder.mkdir(parents=True, exist_ok=True)
        self.files = [folder / f"{rank}.txt" for rank in range(count if started is None else started)]
        os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")  # of the server, which imports torch
        _SERVER.set_forkserver_preload(_IMPORTED)

        def of_torchrun(rank: int) -> dict[str, str]:
            return {
                "TORCHELASTIC_RUN_ID": "tests",
                "RANK": str(rank),
                "LOCAL_RANK": str(rank),
                "WORLD_SIZE": str(count),
                "LOCAL_WORLD_SIZE": str(count),
                "MASTER_ADDR": "127.0.0.1",
                "MASTER_PORT": str(port),
                "OMP_NUM_THREADS": "1",
            }

        self.processes: list[ForkServerProcess] = []
        for rank, file in enumerate(self.files):
            process = _SERVER.Process(target=_rank, args=(list(words), (variables or of_torchrun)(rank), str(file), prepare))
            process.start()
            self.processes.append(process)

    def wait(self, seconds: float = 60.0) -> list[int | None]:
        """The exit codes, in the order of the ranks; what has not ended by then is killed and None."""
        end = time.monotonic() + seconds
        for process in self.processes:
            process.join(max(0.0, end - time.monotonic()))
        codes = [process.exitcode for process in self.processes]
        for process in self.processes:
            process.kill()
            process.join()
        return codes

    def until(self, condition: Callable[[], bool], seconds: float = 60.0) -> None:
        """Wait for something that they do."""
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end and any(process.is_alive() for process in self.processes), self.printed()
            time.sleep(0.02)

    def pid(self, rank: int) -> int:
        """Of one process."""
        pid = self.processes[rank].pid
        assert pid is not None
        return pid

    def printed(self) -> str:
        """All that they said, on both streams."""
        return "\n".join(file.read_text(encoding="utf-8") for file in self.files if file.exists())

    def sentences(self) -> list[str]:
        """The lines in which the command says what ended it."""
        return [line for line in self.printed().splitlines() if line.startswith("transfigure: ")]
