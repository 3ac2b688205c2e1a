"""Every cell is run once, whatever becomes of the others, and a broken ablation goes on where it was."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.studies.ablation.two_cells import HERE, TOY, TWO, ledger, two, values
from tests.tiny import noise_image
from transfigure.cli import main
from transfigure.data import images
from transfigure.errors import UserError
from transfigure.recipe import Recipe
from transfigure.studies.ablation import ablation
from transfigure.studies.ablation.ablation import ablate
from transfigure.studies.ablation.cell import last_line, words_file
from transfigure.studies.ablation.grid import Grid, shipped
from transfigure.training.trainer import train

pytestmark = pytest.mark.usefixtures("drawn_once")


def test_what_is_written(tmp_path: Path) -> None:
    out = ablate(two(tmp_path), tmp_path / "out", HERE, quiet=True)
    stored = json.loads((out / "ablation.json").read_text(encoding="utf-8"))
    assert (stored["name"], stored["metrics"]) == ("two", ["l1", "ssim"])
    assert stored["budget"] == "6 images a cell (1 epoch of 6 pairs)"
    for cell in stored["cells"]:
        assert cell["state"] == "done" and cell["seconds"] > 0 and cell["peak_mib"] > 50
        run = out / cell["path"]
        assert last_line(run / "log.jsonl")["kind"] == "end"
        assert {row["of"] for row in json.loads((run / "evaluation" / "evaluation.json").read_text())["rows"]} == {"l1", "ssim"}
        assert json.loads((run / "evaluation" / "pictures.json").read_text())["images"] == 3
    again = Grid.load(out / "grid.yaml")
    assert [cell.recipe.to_dict()["objective"] for cell in again.cells()] == [
        c.recipe.to_dict()["objective"] for c in two(tmp_path).cells()
    ]


def test_equal_seeds_give_equal_tables_and_other_seeds_do_not(tmp_path: Path) -> None:
    grid = two(tmp_path, seeds=[0, 1])
    first, second = (values(ablate(grid, tmp_path / name, HERE, quiet=True)) for name in ("a", "b"))
    assert first == second
    assert first["one 0"] != first["one 1"]


def test_finished_cells_are_never_run_again(tmp_path: Path) -> None:
    out = ablate(two(tmp_path), tmp_path / "out", HERE, quiet=True)
    before = {path: path.stat().st_mtime_ns for path in (out / "cells").rglob("*") if path.is_file()}
    with pytest.raises(UserError, match=r"already holds an ablation.*--resume"):
        ablate(two(tmp_path), out, HERE, quiet=True)
    ablate(two(tmp_path, seeds=[0, 5]), out, HERE, resume=True, quiet=True)
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert {name: cell["state"] for name, cell in ledger(out).items()} == dict.fromkeys(("one 0", "ten 0", "one 5", "ten 5"), "done")


def test_cells_that_start_from_a_model_are_the_same_when_they_are_resumed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its place is that of the grid's run, wherever the cells run and however it was written."""
    monkeypatch.chdir(tmp_path)
    train(Recipe.load("l1", TOY), "model", quiet=True)
    grid = two(tmp_path, text="base: l1\nvariations: {drawn: {}, tuned: {training.start_from: model}}\nmetrics: [l1]\n")
    out = ablate(grid, tmp_path / "out", HERE, quiet=True)
    recipe = Recipe.load(out / "cells" / "tuned" / "seed0" / "recipe.yaml")
    assert recipe.training.start_from == str(tmp_path / "model")
    before = (out / "cells" / "tuned" / "seed0" / "log.jsonl").stat().st_mtime_ns
    ablate(grid, out, HERE, resume=True, quiet=True)
    assert (out / "cells" / "tuned" / "seed0" / "log.jsonl").stat().st_mtime_ns == before


def test_a_resume_with_another_recipe_is_refused(tmp_path: Path) -> None:
    out = ablate(two(tmp_path), tmp_path / "out", HERE, quiet=True)
    with pytest.raises(UserError, match=r"begun with another recipe .*generator\.width"):
        ablate(two(tmp_path, **{"generator.width": 3}), out, HERE, resume=True, quiet=True)


def test_a_place_that_holds_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").write_text("...")
    with pytest.raises(UserError, match=r"is not empty \(thesis.tex is in it\)"):
        ablate(two(tmp_path), tmp_path / "out", HERE, quiet=True)


@pytest.mark.parametrize("left", [[], ["grid.yaml"]])
def test_what_a_killed_ablation_left_is_its_own(tmp_path: Path, left: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """It looks empty, for what is in it is hidden: an unfinished file, or the grid and nothing else."""
    out, grid = tmp_path / "out", two(tmp_path)
    out.mkdir()
    (out / ".write-0123456789abcdef.part").write_bytes(b"half")
    for name in left:
        (out / name).write_text(grid.to_yaml(), encoding="utf-8")
    monkeypatch.setattr(ablation, "_in_this_process", lambda *_: None)
    ablate(grid, out, HERE, quiet=True)
    assert json.loads((out / "ablation.json").read_text(encoding="utf-8"))["name"] == grid.name
    assert Grid.load(out / "grid.yaml").to_yaml() == grid.to_yaml()


@pytest.mark.parametrize("name", [".hidden", "grid.yaml"])
def test_a_hidden_file_or_another_grid_is_named(tmp_path: Path, name: str) -> None:
    out, grid = tmp_path / "out", two(tmp_path)
    out.mkdir()
    (out / name).write_text("mine")
    with pytest.raises(UserError, match=rf"is not empty \({name} is in it\)"):
        ablate(grid, out, HERE, quiet=True)
    assert [path.name for path in out.iterdir()] == [name] and (out / name).read_text() == "mine"


def test_a_cell_that_diverges_is_named_and_the_others_go_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = TWO.replace("weight: 10}", "weight: 1.0e+38, training.learning_rate: 1.0e+30}")
    out = ablate(two(tmp_path, text=text, **{"training.epochs": 2}), tmp_path / "out", HERE, quiet=False)
    states = ledger(out)
    assert states["one 0"]["state"] == "done"
    assert states["ten 0"]["state"] == "failed"
    assert "became NaN or infinite" in states["ten 0"]["reason"] or "no longer finite" in states["ten 0"]["reason"]
    assert "failed: ten, seed 0" in capsys.readouterr().err


FILES = {key: value for key, value in TOY.items() if key not in ("data.kind", "data.train", "data.val", "data.test")}


def test_data_that_are_not_there_are_said_before_anything_runs(tmp_path: Path) -> None:
    (tmp_path / "two.yaml").write_text(TWO)
    grid = Grid.load(tmp_path / "two.yaml", {**FILES, "data.path": str(tmp_path / "absent")}, [0])
    with pytest.raises(UserError, match="absent"):
        ablate(grid, tmp_path / "out", HERE, quiet=True)
    assert not (tmp_path / "out").exists()


def test_pictures_that_cannot_be_used_fail_their_cells_with_the_sentence(tmp_path: Path) -> None:
    for side in ("A", "B"):
        for index in range(3):
            images.write(tmp_path / "data" / f"train{side}" / f"{index}.png", noise_image(32, 32, seed=index))
    (tmp_path / "data" / "trainA" / "1.png").write_bytes(b"no picture")
    (tmp_path / "two.yaml").write_text(TWO)
    grid = Grid.load(tmp_path / "two.yaml", {**FILES, "data.path": str(tmp_path / "data")}, [0])
    out = ablate(grid, tmp_path / "out", HERE, quiet=True)
    assert all(cell["state"] == "failed" and "1.png" in cell["reason"] for cell in ledger(out).values())


DYING = "import sys; sys.stdin.read(); print('about to'); raise ValueError('no \x1b[31mluck')"


def dying(monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    """Every cell runs this instead."""
    monkeypatch.setattr(ablation, "child_command", lambda module: [sys.executable, "-c", code])


def test_a_dead_cell_leaves_its_last_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    dying(monkeypatch, DYING)
    out = ablate(two(tmp_path), tmp_path / "out", quiet=True)
    printed = out / "cells" / "one" / "seed0.printed.txt"
    reason = ledger(out)["one 0"]["reason"]
    assert reason == (
        f"its process ended with code 1 before it could say why; the last it printed: ValueError: no \\x1b[31mluck (all of it: {printed})"
    )
    assert "about to" in printed.read_text()
    assert f"failed: one, seed 0: {reason}" in capsys.readouterr().err.replace("\\\\", "\\")


def test_a_cell_that_is_stopped_from_outside_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dying(monkeypatch, "raise SystemExit(143)")
    out = ablate(two(tmp_path), tmp_path / "out", quiet=True)
    assert ledger(out)["one 0"]["reason"] == "its process was stopped by SIGTERM from outside; --resume goes on with it"


def test_an_ablation_whose_cells_failed_says_how_many_and_exits_with_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    dying(monkeypatch, DYING)
    line = words(tmp_path / "out", tmp_path / "two.yaml", "--quiet")
    (tmp_path / "two.yaml").write_text(TWO)
    assert main(line) == 1
    captured = capsys.readouterr()
    assert f"transfigure: 2 of 2 cells failed: {tmp_path / 'out' / 'ablation.json'} says why; once that is mended" in captured.err
    assert "comparison:" in captured.out
    monkeypatch.undo()
    assert main([*line, "--resume", "--together"]) == 0
    assert {cell["state"] for cell in ledger(tmp_path / "out").values()} == {"done"}
    assert not list((tmp_path / "out").rglob("*.printed.txt"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_second_ctrl_c_ends_the_cells_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals) -> None:
    """These cells take no notice of a first wish."""
    dying(monkeypatch, "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(60)")
    monkeypatch.setattr(signal, "getsignal", lambda number: signal.SIG_DFL)
    sleep, start = time.sleep, ablation.start_process
    started: list[subprocess.Popen[bytes]] = []
    calls: list[int] = []
    monkeypatch.setattr(ablation, "start_process", lambda spec: started.append(start(spec)) or started[-1])  # type: ignore[func-returns-value]

    def impatient(seconds: float) -> None:
        sleep(0.05)
        if words_file(tmp_path / "out" / "cells" / "one" / "seed0").read_text():
            calls.append(number)
            signal.raise_signal(signal.SIGINT if len(calls) > 1 else number)

    monkeypatch.setattr(ablation.time, "sleep", impatient)
    with pytest.raises(KeyboardInterrupt):
        ablate(two(tmp_path), tmp_path / "out", quiet=True)
    assert [process.poll() for process in started] == [-signal.SIGKILL]


def words(out: Path, grid: Path, *more: str) -> list[str]:
    flags = [word for key, value in TOY.items() if key != "data.kind" for word in (f"--{key}", str(value))]
    return ["ablate", str(grid), "synthetic", "--out", str(out), "--seeds", "0", *flags, *more]


LONG = {"training.epochs": 60, "training.checkpoint_every": 30}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The ablation of two long cells, without a break."""
    folder = tmp_path_factory.mktemp("whole")
    return ablate(two(folder, **LONG), folder / "out", HERE, quiet=True)


@pytest.mark.slow
@pytest.mark.parametrize("when", ["within a cell", "between cells"])
def test_resume_after_kill_9(tmp_path: Path, whole: Path, forking_python: str, monkeypatch: pytest.MonkeyPatch, when: str) -> None:
    monkeypatch.setattr(sys, "executable", forking_python)  # for the cells that go on, too
    (tmp_path / "two.yaml").write_text(TWO)
    more = [word for key, value in LONG.items() for word in (f"--{key}", str(value))]
    out = tmp_path / "out"
    line = words(out, tmp_path / "two.yaml", *more)
    process = subprocess.Popen([forking_python, "-m", "transfigure", *line], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    awaited = out / "cells" / "one" / ("seed0/checkpoints/last.pt" if when == "within a cell" else "seed0.json")
    deadline = time.monotonic() + 120
    while not awaited.exists() and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.02)
    assert awaited.exists()
    process.send_signal(signal.SIGKILL)
    process.communicate()  # until nobody holds its stderr
    deadline = time.monotonic() + 60
    while any((out / "cells").rglob(".lock")) and time.monotonic() < deadline:  # its cell notices, saves and ends
        time.sleep(0.1)
    assert main([*line, "--resume", *(["--together"] if when == "between cells" else [])]) == 0
    assert values(out) == values(whole)
    assert (out / "comparison.csv").read_text() != ""


def both_train(out: Path) -> bool:
    """Each of the two cells has written a line of its log: one may be many steps ahead of the other."""
    logs = list(out.glob("cells/*/seed0/log.jsonl"))
    return len(logs) == 2 and all(log.stat().st_size for log in logs)


@pytest.mark.slow
def test_ctrl_c_saves_every_cell_and_says_how_to_go_on(tmp_path: Path, forking_python: str) -> None:
    (tmp_path / "two.yaml").write_text(TWO)
    out = tmp_path / "out"
    line = words(out, tmp_path / "two.yaml", "--training.epochs", "4000", "--jobs", "2", "--training.checkpoint_every", "100000")
    process = subprocess.Popen([forking_python, "-m", "transfigure", *line], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while not both_train(out) and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, printed = process.communicate(timeout=120)
    assert process.returncode == 130, printed
    assert "--resume" in printed and "Traceback" not in printed
    assert len(list(out.glob("cells/*/seed0/checkpoints/last.pt"))) == 2
    assert {cell["state"] for cell in ledger(out).values()} == {"waiting"}


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in shipped() if not Grid.load(name).examine])
def test_every_grid_of_pairs_runs_end_to_end(tmp_path: Path, name: str) -> None:
    grid = Grid.load(name, {**TOY, "data.load_size": 128, "data.crop_size": 64}, [0])
    out = ablate(grid, tmp_path / "out", HERE, quiet=True)
    states = ledger(out)
    assert {cell["state"] for cell in states.values()} == {"done"}, states
    assert len(states) == len(grid.variations)
    timed = grid.cells()[0].recipe.training.minutes is not None
    assert ("min a cell" in json.loads((out / "ablation.json").read_text())["budget"]) == timed
    shutil.rmtree(out)


def test_a_grid_may_be_named(tmp_path: Path) -> None:
    (tmp_path / "two.yaml").write_text(TWO, encoding="utf-8")
    out = ablate(tmp_path / "two.yaml", tmp_path / "out", HERE, overrides=TOY, seeds=[3], quiet=True)
    assert ledger(out).keys() == {"one 3", "ten 3"}
    with pytest.raises(UserError, match="the grid 'two' is loaded already: give overrides and seeds"):
        ablate(two(tmp_path), tmp_path / "other", HERE, seeds=[3])
    with pytest.raises(UserError, match=r"there is no grid 'objectivs' \(did you mean 'objectives'\?\)"):
        ablate("objectivs", tmp_path / "other", HERE)
