"""The program that stands in for ``sys.executable`` does what that does."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

SEEN = """
import json, os, sys
print(json.dumps([sys.argv, os.getcwd(), os.environ.get("SEEN"), sys.path[0], __name__, sys.stdin.read()]))
print("said", file=sys.stderr)
sys.exit(7)
"""


def ran(program: str, *words: str, **options: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([program, *words], capture_output=True, text=True, timeout=60, check=False, **options)  # type: ignore[call-overload,no-any-return]


def test_words_folder_environment_and_streams_are_those_of_python(tmp_path: Path, forking_python: str) -> None:
    for place in ("script.py", "folder/__main__.py", "importable.py"):
        (tmp_path / place).parent.mkdir(exist_ok=True)
        (tmp_path / place).write_text(SEEN)
    for words in (["-c", SEEN, "a b"], [str(tmp_path / "script.py"), "a", "-c"], ["folder", "a"], ["-m", "importable", "a"]):
        for safe in ({}, {"PYTHONSAFEPATH": "1"} if words[0] != "-m" else {}):
            told = {"cwd": tmp_path, "env": {**os.environ, "SEEN": "ü", **safe}, "input": "from outside"}
            real, forked = (ran(program, *words, **told) for program in (sys.executable, forking_python))
            assert json.loads(real.stdout)[2:] == ["ü", json.loads(real.stdout)[3], "__main__", "from outside"]
            assert (forked.returncode, forked.stdout, forked.stderr) == (real.returncode, real.stdout, real.stderr)


@pytest.mark.parametrize(
    "code",
    [
        "raise ValueError('no')",
        "raise SystemExit('words')",
        "import sys; sys.exit(300)",
        "raise KeyboardInterrupt",
        "import os; os._exit(9)",
        "import os, signal; os.kill(os.getpid(), signal.SIGTERM)",
        "import os, signal; os.kill(os.getpid(), signal.SIGKILL)",
        "import atexit, threading; atexit.register(print, 'last'); threading.Timer(0.1, print, ['late']).start()",
        "import sys; print('kept'); sys.stdout.write('no end of line')",
    ],
)
def test_it_ends_as_python_does(forking_python: str, code: str) -> None:
    real, forked = ran(sys.executable, "-c", code), ran(forking_python, "-c", code)
    assert (forked.returncode, forked.stdout) == (real.returncode, real.stdout)
    assert forked.stderr.splitlines()[-1:] == real.stderr.splitlines()[-1:]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_reach_the_child(forking_python: str, number: signal.Signals) -> None:
    code = f"import signal, time\nsignal.signal({int(number)}, lambda *_: exit(5))\nprint('on', flush=True)\ntime.sleep(60)"
    with subprocess.Popen([forking_python, "-c", code], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stdout.readline() == b"on\n"
        process.send_signal(number)
        assert process.wait(20) == 5


def test_whoever_kills_it_kills_the_child(forking_python: str) -> None:
    code = "import os, time\nprint(os.getpid(), flush=True)\ntime.sleep(60)"
    with subprocess.Popen([forking_python, "-c", code], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        child = os.pidfd_open(int(process.stdout.readline()))
        process.kill()
        assert process.stdout.read() == "", "nobody holds the pipe any more"
    os.close(child)


def test_children_are_forked_from_one_that_has_imported_torch_and_start_such(forking_python: str) -> None:
    code = """
import os, subprocess, sys
assert "torch" in sys.modules and "transfigure.training.trainer" in sys.modules
print(os.getpid(), os.getppid(), flush=True)
if len(sys.argv) < 2:
    subprocess.run([sys.executable, "-c", sys.orig_argv[2], "again"], check=True)
"""
    child, parent, another, parent_of_it = ran(forking_python, "-c", code).stdout.split()
    assert int(parent) == os.getpid() and parent_of_it == child != another


@pytest.mark.parametrize(("words", "variables"), [(["-I"], {}), ([], {"PYTHONUTF8": "1"}), ([], {"OMP_NUM_THREADS": "3"})])
def test_what_python_reads_when_it_starts_is_left_to_a_real_one(forking_python: str, words: list[str], variables: dict[str, str]) -> None:
    code = "import sys; print(sys.executable, sys.flags.isolated, sys.flags.utf8_mode, 'torch' in sys.modules)"
    real, forked = (ran(program, *words, "-c", code, env={**os.environ, **variables}) for program in (sys.executable, forking_python))
    assert forked.stdout == real.stdout != "" and forked.returncode == 0


def test_what_is_on_the_path_is_found_but_another_package_is_for_a_real_one(tmp_path: Path, forking_python: str) -> None:
    (tmp_path / "own" / "elsewhere.py").parent.mkdir()
    (tmp_path / "own" / "elsewhere.py").write_text("")
    for package in ("copy/transfigure/__init__.py", "hooked/sitecustomize.py"):
        (tmp_path / package).parent.mkdir(parents=True)
        (tmp_path / package).write_text("")
    here = os.environ.get("PYTHONPATH", "")
    code = "import sys, elsewhere, transfigure; print(sys.path, transfigure.__file__, elsewhere.__file__, sys.argv)"
    for path, shared in ((["own", here], True), (["own", "copy", here], False), (["own", "hooked", here], False)):
        told = {"cwd": tmp_path, "env": {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, path))}}
        real, forked = (ran(program, "-u", "-c", code, "a", **told) for program in (sys.executable, forking_python))
        assert forked.stdout == real.stdout != "", forked.stderr
        assert ran(forking_python, "-c", "import sys; print('torch' in sys.modules)", **told).stdout == f"{shared}\n"
