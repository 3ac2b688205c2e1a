"""What lies in the current folder is data: no command, and no process that it starts, runs ``json.py`` from there."""

from __future__ import annotations

import multiprocessing
import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

import transfigure
from tests.cli.walk import VERBS, WORKERS, make_place
from transfigure.__main__ import leave_current_folder
from transfigure.cli.commands import names
from transfigure.errors import UserError
from transfigure.metrics.segmenters import open_segmenter

MARKERS = ("json", "random", "torch", "numpy", "yaml", "pickle", "tempfile", "PIL")
ENTRIES = {
    "the installed command": [str(Path(sys.executable).with_name("transfigure"))],
    "python -m": [sys.executable, "-m", "transfigure"],
}
METHODS = multiprocessing.get_all_start_methods()
"""The first is Python's own choice: the walk of ``train`` is by it."""
START = """
import os
if "TEST_START_METHOD" in os.environ:
    import multiprocessing
    multiprocessing.set_start_method(os.environ["TEST_START_METHOD"])
"""


def spread_markers(folder: Path) -> Path:
    """Files that Python would import if it looked here; each leaves a line in the file that is returned."""
    marks = folder.parent / "marks.txt"
    for name in MARKERS:
        (folder / f"{name}.py").write_text(f"with open({str(marks)!r}, 'a') as file: print({name!r}, file=file)\nraise SystemExit(99)\n")
    return marks


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run, images and markers in it."""
    folder = tmp_path_factory.mktemp("hostile") / "work"
    make_place(folder)
    spread_markers(folder)
    return folder


def test_every_verb_is_walked() -> None:
    assert sorted(WALK) == names()
    assert len(VERBS) > 10


def walk(place: Path, entry: str, words: list[str], out: Path, **environment: str) -> None:
    if not Path(ENTRIES[entry][0]).is_file():
        pytest.skip("transfigure is not installed as a command here")
    marks = place.parent / "marks.txt"
    start = out.parent / "start"
    start.mkdir(exist_ok=True)
    (start / "sitecustomize.py").write_text(START)
    root = Path(transfigure.__file__).parents[1]
    line = [*ENTRIES[entry], *(word.replace("OUT", str(out)) for word in words)]
    done = subprocess.run(
        line,
        cwd=place,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": f"{start}{os.pathsep}{root}", **environment},
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert not marks.exists(), marks.read_text()
    assert done.returncode == 0, done.stderr


WALK = {verb: [*verb.split(), "--help"] for verb in names()} | VERBS | {"demo": ["demo", "--help"]}
"""The demo is a training of a minute; its parts are walked. Of a verb that nobody has written a line for, its help is."""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("verb", "entry"),
    [(verb, "the installed command") for verb in sorted(WALK)] + [(verb, "python -m") for verb in ("ablate", "list", "translate")],
)
def test_no_verb_runs_what_lies_in_the_current_folder(verb: str, entry: str, place: Path, tmp_path: Path) -> None:
    """Behind either entry the verbs are the same; ``python -m`` is walked with those that start processes, read images, and do neither."""
    walk(place, entry, [*WALK[verb], *WORKERS.get(verb, [])], tmp_path / "out")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("entry", "method"),
    [*(("the installed command", method) for method in METHODS if method != METHODS[0]), ("python -m", "spawn")],
)
def test_loader_processes_do_not_run_it_either(entry: str, method: str, place: Path, tmp_path: Path) -> None:
    walk(place, entry, [*VERBS["train"], *WORKERS["train"]], tmp_path / "out", TEST_START_METHOD=method)


@pytest.mark.slow
def test_the_walk_would_find_it(tmp_path: Path) -> None:
    folder = tmp_path / "work"
    folder.mkdir()
    marks = spread_markers(folder)
    subprocess.run([sys.executable, "-c", "import json"], cwd=folder, check=False, env={**os.environ, "PYTHONSAFEPATH": ""})
    assert marks.read_text() == "json\n"


def test_python_m_leaves_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), "/elsewhere"])
    leave_current_folder()
    assert sys.path == ["/elsewhere"]
    leave_current_folder()
    assert sys.path == ["/elsewhere"]


def test_python_m_stays_where_the_package_lives(monkeypatch: pytest.MonkeyPatch) -> None:
    root = str(Path(transfigure.__file__).parents[1])
    monkeypatch.chdir(root)
    monkeypatch.setattr(sys, "path", [root, "/elsewhere"])
    monkeypatch.setenv("PYTHONPATH", "/given")
    leave_current_folder()
    assert sys.path == [root, "/elsewhere"]
    assert os.environ["PYTHONPATH"] == f"/given{os.pathsep}{root}", "the processes that it starts find it too"


SEGMENTER = "import a_sibling_in_this_folder\ndef own(images):\n    return images.argmax(1)\nown.classes = 3\n"


def test_a_module_that_is_asked_for_is_found_in_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Asked for by name, it is no accident; what lies beside it is found too, but never in the place of a library."""
    monkeypatch.chdir(tmp_path)
    marks = spread_markers(tmp_path)
    (tmp_path / "my_own_segmenter.py").write_text(SEGMENTER)
    (tmp_path / "a_sibling_in_this_folder.py").write_text("import json, random")
    before = list(sys.path)
    assert open_segmenter("my_own_segmenter:own").classes == 3
    assert sys.path == before and not marks.exists()
    with pytest.raises(UserError, match="No module named 'not_in_this_folder'"):
        open_segmenter("not_in_this_folder:own")


def test_the_entry_is_what_is_run() -> None:
    """``__main__`` does what the walk of processes, which is slow, shows in full."""
    with pytest.raises(SystemExit) as stop, pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["transfigure", "--version"])
        patch.delitem(sys.modules, "transfigure.__main__")
        runpy.run_module("transfigure", run_name="__main__")
    assert stop.value.code == 0
