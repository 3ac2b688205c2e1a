"""Pythons that are forked from one that has imported torch and the package already, for tests that start many: each saves seconds.

``python_that_forks`` writes a program that is called as ``sys.executable`` is. It hands its words, folder, environment, input and outputs
to a server that forks, and ends as the child ends, by an exit code or a signal; signals that it gets it hands on. What the server cannot
stand in for is done by a real Python: flags that change how Python works, variables that Python or torch read when they start, another
``transfigure`` on the path.

The child imports nothing anew. A test of what is imported, of how a process starts or of what it needs to do so starts a real one.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import io
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import traceback
import types
from collections.abc import Iterator
from functools import partial
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any, cast

AT_START = ("PYTHON", "OMP_", "MKL_", "OPENBLAS_", "LD_", "CUDA_", "MPL", "TORCH_LOGS", "TORCH_COMPILE", "LANG", "LC_")
"""How the variables begin that are read when something is imported: a child must have those of the server."""
OF_THE_PATH = ("PYTHONPATH", "PYTHONSAFEPATH")
"""Those of them that a child can follow."""

PROGRAM = """\
#!{python} -IS
import array, json, os, signal, socket, sys
real, words = {python!r}, sys.argv[1:]
kept = {{name: value for name, value in os.environ.items() if name.startswith({at_start!r}) and name not in {of_the_path!r}}}
first = (words[1:] if words[:1] == ["-u"] else words)[:1]
if kept != {variables!r} or not first or (first[0].startswith("-") and first[0] not in ("-m", "-c")):
    os.execv(real, [real, *words])
server = socket.socket(socket.AF_UNIX)
server.connect({address!r})
open_ones = []
for number in range(3):
    try:
        os.fstat(number)
        open_ones.append(number)
    except OSError:
        pass
ignored = [number for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP) if signal.getsignal(number) is signal.SIG_IGN]
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # an ignored one, too: the child may have come to heed it
    signal.signal(number, lambda number, frame: server.sendall(bytes([number])))
told = json.dumps([words, os.getcwd(), dict(os.environ), open_ones, ignored, os.getpid()]).encode()
numbers = array.array("i", open_ones).tobytes()
server.sendmsg([len(told).to_bytes(4, "big")], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, numbers)] if open_ones else [])
server.sendall(told)
for number in open_ones:
    os.close(number)
ended = b""
while len(ended) < 4:
    more = server.recv(4 - len(ended))
    if not more:
        os._exit(71)
    ended += more
code = int.from_bytes(ended, "big", signed=True)
if code < 0:
    signal.signal(-code, signal.SIG_DFL) if -code not in (signal.SIGKILL, signal.SIGSTOP) else None
    os.kill(os.getpid(), -code)
os._exit(code)
"""


@contextlib.contextmanager
def python_that_forks(folder: Path) -> Iterator[str]:
    """Write the program into a folder and start its server; the program's path. All children end with the block."""
    address, program = folder / "socket", folder / "python"
    place = str(address)
    if len(place) > 100 or not hasattr(os, "pidfd_open"):
        yield sys.executable  # such a path is none of a socket; only Linux has process descriptors
        return
    variables = {name: value for name, value in os.environ.items() if name.startswith(AT_START) and name not in OF_THE_PATH}
    text = PROGRAM.format(python=sys.executable, at_start=AT_START, of_the_path=OF_THE_PATH, variables=variables, address=place)
    program.write_text(text, encoding="utf-8")
    program.chmod(0o700)
    command = [sys.executable, __file__, place, str(program)]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONSAFEPATH"}
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment) as server:
        assert server.stdin is not None and server.stdout is not None
        assert server.stdout.readline() == b"ready\n"
        try:
            yield str(program)
        finally:
            server.stdin.close()  # which ends it, as does the end of this process


# ---- the server -------------------------------------------------------------------------------------------------------------


def _import() -> None:
    """What trainings, translations and evaluations need. Nothing is computed: gradients would start threads, which no child inherits."""
    import multiprocessing.spawn

    import lightning_fabric  # noqa: F401
    import torch

    torch.set_num_threads(1)
    import torch._dynamo

    import transfigure.cli.main
    import transfigure.evaluation.evaluate
    import transfigure.reporting.run.page
    import transfigure.studies.ablation.ablation
    import transfigure.training.trainer
    import transfigure.translation.translator  # noqa: F401

    multiprocessing.spawn.set_executable(sys.executable)


def _serve(listener: socket.socket) -> tuple[Any, socket.socket, list[int]]:
    """Fork a child for whoever asks. Returns in a child, with what is asked of it."""
    waiting: dict[int, tuple[int, socket.socket]] = {}
    while True:
        programs = {connection.fileno(): pid for pid, connection in waiting.values()}
        ready = set(select.select([0, listener.fileno(), *waiting, *programs], [], [])[0])
        if 0 in ready and not os.read(0, 1):
            for pid, _ in waiting.values():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            os._exit(0)
        for number in ready & programs.keys():
            try:
                word = os.read(number, 1)
            except ConnectionError:
                word = b""
            with contextlib.suppress(ProcessLookupError):
                os.kill(programs[number], word[0] if word else signal.SIGKILL)  # without a word: the program itself was killed
        for number in ready & waiting.keys():
            pid, connection = waiting.pop(number)
            code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
            os.close(number)
            with contextlib.suppress(OSError):
                connection.sendall(code.to_bytes(4, "big", signed=True))
            connection.close()
        if listener.fileno() in ready:
            connection, _ = listener.accept()
            length, numbers, _, _ = socket.recv_fds(connection, 4, 3)
            told = b""
            while len(told) < int.from_bytes(length, "big"):
                told += connection.recv(1 << 20)
            pid = os.fork()
            if not pid:
                for number, (_, other) in waiting.items():
                    os.close(number)
                    other.close()
                return json.loads(told), connection, numbers
            waiting[os.pidfd_open(pid)] = pid, connection
            for number in numbers:
                os.close(number)


def _become(asked: Any, numbers: list[int], program: str) -> list[str]:
    """Make this process what the program's would be; its words."""
    words, folder, environment, places, ignored, pid = asked
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        usual = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
        signal.signal(number, signal.SIG_IGN if number in ignored else usual)
    for place in range(3):
        os.close(place)
    for place, opened in zip(places, numbers, strict=True):
        os.dup2(opened, place)
        os.close(opened)
    sys.stdin = cast(Any, os.fdopen(0, "r", encoding="utf-8", closefd=False) if 0 in places else None)
    sys.stdout = cast(Any, os.fdopen(1, "w", encoding="utf-8", closefd=False) if 1 in places else None)
    sys.stderr = cast(Any, os.fdopen(2, "w", 1, "utf-8", "backslashreplace", closefd=False) if 2 in places else None)
    sys.__stdin__, sys.__stdout__, sys.__stderr__ = sys.stdin, sys.stdout, sys.stderr  # type: ignore[misc]
    os.chdir(folder)
    before = os.environ.get("PYTHONPATH")
    os.getppid = partial(_parent_of, pid)
    os.environ.clear()
    os.environ.update(environment)
    tempfile.tempdir = None  # it may be another now
    if os.environ.get("PYTHONPATH") != before:
        for entry in _entries(before):
            sys.path.remove(entry)
        sys.path[:0] = _entries(os.environ.get("PYTHONPATH"))
        import transfigure

        found = PathFinder.find_spec("transfigure", sys.path)
        other = found is None or found.origin is None or not Path(found.origin).samefile(transfigure.__file__)
        if other or PathFinder.find_spec("sitecustomize", _entries(os.environ.get("PYTHONPATH"))):
            os.execv(sys.executable, [sys.executable, *words])
    if words[0] == "-u":
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(write_through=True)
    sys.executable, sys.orig_argv = program, [program, *words]
    return cast("list[str]", words[words[0] == "-u" :])


def _parent_of(pid: int) -> int:
    """What started a process, or what it was left to."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[1])
    except OSError:
        return 1


def _entries(paths: str | None) -> list[str]:
    """As Python has them in ``sys.path``, where each stands once."""
    return list(dict.fromkeys(str(Path(path).absolute()) for path in paths.split(os.pathsep))) if paths else []


def _run(words: list[str]) -> None:
    """As Python runs ``-m module``, ``-c code``, a script or a folder."""
    safe = bool(os.environ.get("PYTHONSAFEPATH"))
    first, *rest = words
    if first == "-m":
        sys.argv = ["-m", *rest[1:]]
        if not safe:
            sys.path.insert(0, str(Path.cwd()))
        _main_module(rest[0])
    elif first == "-c":
        sys.argv = ["-c", *rest[1:]]
        if not safe:
            sys.path.insert(0, "")
        _main(rest[0], "<string>")
    elif Path(first).is_dir():
        sys.argv = words
        sys.path.insert(0, str(Path(first).resolve()))
        _main_module("__main__", named=False)
    else:
        sys.argv = words
        if not safe:
            sys.path.insert(0, str(Path(first).resolve().parent))
        _main(Path(first).read_text(encoding="utf-8"), first)


def _main_module(name: str, named: bool = True) -> None:
    sys.modules["__main__"] = types.ModuleType("__main__")
    runpy._run_module_as_main(name, named)  # type: ignore[attr-defined]


def _main(code: str, file: str) -> None:
    module = sys.modules["__main__"] = types.ModuleType("__main__")
    if file != "<string>":
        module.__file__ = file
    exec(compile(code, file, "exec"), module.__dict__)


def _end(error: BaseException | None) -> int:
    """Say what Python says of an exception that reaches its end, and the exit code that it has then; negative is a signal."""
    if error is None:
        return 0
    if not isinstance(error, SystemExit):
        trace = error.__traceback__
        while trace is not None and trace.tb_frame.f_code.co_filename in (__file__, runpy.__file__, "<frozen runpy>"):
            trace = trace.tb_next
        traceback.print_exception(error.with_traceback(trace))
        return -signal.SIGINT if isinstance(error, KeyboardInterrupt) else 1
    if error.code is None or isinstance(error.code, int):
        return (error.code or 0) & 0xFF
    print(error.code, file=sys.stderr)
    return 1


def _main_server() -> None:
    address, program = sys.argv[1:]
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for pytest, which ends this
    del sys.path[0]  # the folder of this file
    _import()
    gc.freeze()  # children need not look through all that, which would copy it
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(address)
        listener.listen(64)
        print("ready", flush=True)
        asked, connection, numbers = _serve(listener)
    # a child, from here on
    os.set_inheritable(connection.fileno(), False)
    code = 1
    try:
        words = _become(asked, numbers, program)
        try:
            _run(words)
            code = _end(None)
        except BaseException as error:
            code = _end(error)
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                stream.flush()
    except BrokenPipeError:
        code = 120
    except BaseException:
        traceback.print_exc()
    finally:
        if code < 0:
            signal.signal(-code, signal.SIG_DFL)
            os.kill(os.getpid(), -code)
        os._exit(code)


if __name__ == "__main__":
    _main_server()
