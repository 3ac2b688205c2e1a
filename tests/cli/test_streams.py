"""Every command works, and says one sentence where it cannot, whatever its standard streams are: closed, full, or of a small alphabet.

The commands run in children forked from here, which have torch imported already.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.walk import VERBS, make_place
from transfigure.cli import main
from transfigure.data.files import write_atomically
from transfigure.progress import open_streams, print_result, say

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")

STATES = ("stderr closed", "stdout closed", "all closed", "stdout full", "stderr full", "ASCII")
HARDEST = ("all closed", "stdout full", "ASCII")
"""What holds in these holds in the others too: the lighter verbs meet them all."""
QUICK = {"evaluate", "list", "statistics", "translate", "weights"}
HEAVY = {"ablate", "analyze", "segmenter", "train"}


class Child:
    """What became of a function that ran in a fork, with standard streams as a shell would have given them."""

    def __init__(self, folder: Path, state: str, work: Callable[[], int]) -> None:
        out, err = folder / "stdout.txt", folder / "stderr.txt"
        out.write_bytes(b""), err.write_bytes(b"")
        pid = os.fork()
        if pid == 0:
            code = 70
            try:
                self._streams(state, out, err)
                code = work()
                if sys.stdout is not None:
                    sys.stdout.flush()  # as the interpreter does at its end
                with contextlib.suppress(OSError, AttributeError):  # which it ignores
                    sys.stderr.flush()
            except BaseException:
                err.write_text(traceback.format_exc())
            finally:
                os._exit(code)
        self.code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        self.out, self.err = out.read_text(), err.read_text()

    @staticmethod
    def _streams(state: str, out: Path, err: Path) -> None:
        full = "/dev/full"
        places = {1: full if state == "stdout full" else out, 2: full if state == "stderr full" else err}
        closed = {"stderr closed": [2], "stdout closed": [1], "all closed": [0, 1, 2]}.get(state, [])
        encoding = "ascii" if state == "ASCII" else "utf-8"
        for number, name in ((1, "stdout"), (2, "stderr")):
            read, opened = os.pipe() if state == f"{name} gone" else (None, os.open(places[number], os.O_WRONLY | os.O_APPEND))
            if read is not None:
                os.close(read)
            os.dup2(opened, number)
            os.close(opened)
            setattr(sys, name, io.TextIOWrapper(os.fdopen(number, "wb", closefd=False), encoding=encoding, errors="strict"))
        for number in closed:
            os.close(number)
            setattr(sys, ("stdin", "stdout", "stderr")[number], None)  # as Python starts then


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run, and a folder of images, one of which has a name that no small alphabet holds."""
    return make_place(tmp_path_factory.mktemp("streams"), "Straße {} 日本.png")


def cases() -> list[object]:
    found = []
    for verb in sorted(VERBS.keys() - {"demo"}):  # which is train, translate, evaluate and report
        marks = () if verb in QUICK else (pytest.mark.slow,)
        found += [pytest.param(verb, state, marks=marks) for state in (HARDEST if verb in HEAVY else STATES)]
    return found


@pytest.mark.parametrize(("verb", "state"), cases())
def test_every_verb_meets_every_stream(verb: str, state: str, place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if state.endswith("full") and not Path("/dev/full").exists():
        pytest.skip("there is no /dev/full")
    monkeypatch.chdir(place)
    words = [word.replace("OUT", str(tmp_path / "ärger")) for word in VERBS[verb]]
    words += ["--together"] if verb == "ablate" else []
    child = Child(tmp_path, state, lambda: main(words))
    assert "Traceback" not in child.err and "Exception ignored" not in child.err, child.err
    if state == "stdout full":
        assert child.code == 1
        assert child.err.endswith(
            "transfigure: the result cannot be printed (No space left on device): what was written to files is there\n"
        )
    else:
        assert child.code == 0, child.err
        assert (child.out == "") == (state in ("stdout closed", "all closed"))
    child.out.encode("ascii" if state == "ASCII" else "utf-8")
    if verb in ("train", "ablate", "statistics", "translate", "segmenter"):
        assert (tmp_path / "ärger.npz" if verb == "statistics" else tmp_path / "ärger").exists()


def test_the_number_of_a_closed_stream_is_not_given_to_a_file(tmp_path: Path) -> None:
    """A library's print would land in a checkpoint."""

    def work() -> int:
        open_streams()
        write_atomically(tmp_path / "state", lambda stream: (os.write(1, b"print"), os.write(2, b"print"), stream.write(b"state")))
        return int(os.fstat(0).st_rdev != Path(os.devnull).stat().st_rdev)

    assert Child(tmp_path, "all closed", work).code == 0
    assert (tmp_path / "state").read_bytes() == b"state"


def test_processes_that_are_started_have_usable_streams_too(tmp_path: Path) -> None:
    def work() -> int:
        open_streams()
        return os.spawnl(os.P_WAIT, sys.executable, sys.executable, "-S", "-c", "import os; [os.fstat(number) for number in range(3)]")

    assert Child(tmp_path, "all closed", work).code == 0


def test_nobody_listens_to_the_progress(tmp_path: Path) -> None:
    """``transfigure train 2>&1 | head -1``: the training goes on."""

    def work() -> int:
        open_streams()
        say("note: nobody reads this")
        print_result("but this")
        return 0

    child = Child(tmp_path, "stderr gone", work)
    assert (child.code, child.out) == (0, "but this\n")


def test_who_reads_the_results_has_gone(tmp_path: Path) -> None:
    """``transfigure list | head -1``."""
    child = Child(tmp_path, "stdout gone", lambda: main(["list", "loss"]))
    assert (child.code, child.err) == (0, "")


def test_what_an_alphabet_lacks_is_an_escape(tmp_path: Path) -> None:
    def work() -> int:
        open_streams()
        print_result("Straße 日本")
        say("± 1")
        return 0

    child = Child(tmp_path, "ASCII", work)
    assert (child.code, child.out, child.err) == (0, "Stra\\xdfe \\u65e5\\u672c\n", "\\xb1 1\n")
