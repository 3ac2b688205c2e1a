"""Run every cell of a grid: each once, in a process of its own, whatever becomes of the others; and go on where a run was broken off."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from ...data.files import check_writable_folder, in_it, occupants, write_json, write_text
from ...data.open import find_records, no_training_pairs, refuse_inside, resolve_data
from ...errors import Interrupted, UserError, printable
from ...evaluation.schema import finite
from ...processes import StopRequest, child_command, isolated_children
from ...progress import Progress, say
from ...recipe import FREE_ON_RESUME, Recipe
from ...stored import read_json
from ...wording import counted
from .cell import CellSpec, last_line, outcome_file, run_cell, words_file
from .grid import Grid, GridCell

LEDGER, GRID = "ablation.json", "grid.yaml"
SEGMENTER = "segmenter.safetensors"
STOPPED = {129: "SIGHUP", 130: "SIGINT", 138: "SIGUSR1", 143: "SIGTERM"}
"""Exit codes of a cell that did as a signal wished."""


@dataclass(frozen=True)
class CellEnd:
    """How a cell's process ended.

    Attributes:
        code: its exit code; negative is a signal that it was killed by.
        reason: why, where the code does not say it.
    """

    code: int
    reason: str = ""


class RunningCell(Protocol):
    """A cell in a process of its own, here or elsewhere."""

    def end(self) -> CellEnd | None:
        """How it ended; None if it runs."""

    def stop(self) -> None:
        """It is to save its state and to end."""

    def kill(self) -> None:
        """It ends at once; it has ended when this returns."""


class CellStarter(Protocol):
    """Where cells run.

    Attributes:
        at_once: how many.
        threads: of each; None leaves the choice to torch.
    """

    at_once: int
    threads: int | None

    def start(self, spec: CellSpec) -> RunningCell:
        """Start one."""


class CellPlace(Protocol):
    """Where the cells of an ablation can run."""

    def opened(self, folder: Path, reads: Sequence[str]) -> AbstractContextManager[CellStarter]:
        """Be ready to start cells.

        Args:
            folder: of the ablation.
            reads: paths of what the cells read.

        Raises:
            UserError: they could not.
        """


@dataclass(frozen=True)
class AblationOptions:
    """How the cells are evaluated and run.

    Attributes:
        segmenter: of the FCN-score: a file, ``module:function``, or ``train``, which trains one on the ablation's own data first.
        palette: of the label maps.
        weights: files of feature networks, by name.
        plugins: files that register what the recipes name.
        probes: the file of what reads known factors, for grids that examine a translation.
        jobs: cells at a time; with more than one each has its share of the cores.
        isolate: a process for each cell. False runs them here, one by one.
        place: where the processes are; None is this machine.
    """

    segmenter: str | None = None
    palette: str | None = None
    weights: dict[str, str] = field(default_factory=dict)
    plugins: tuple[str, ...] = ()
    probes: str | None = None
    jobs: int = 1
    isolate: bool = True
    place: CellPlace | None = None


def ablate(
    grid: Grid | str | Path,
    out: str | Path,
    options: AblationOptions | None = None,
    *,
    overrides: Mapping[str, Any] | None = None,
    seeds: Sequence[int] | None = None,
    resume: bool = False,
    quiet: bool = False,
) -> Path:
    """Train and evaluate every cell of a grid.

    Args:
        grid: a shipped grid by name, a YAML file, or a grid that is loaded already.
        out: the folder to write: ``grid.yaml``, ``ablation.json`` and a run directory per cell.
        options: with what.
        overrides: recipe keys for all variations, as ``{"data.path": "datasets/facades"}``; not with a loaded grid, which has its own.
        seeds: each variation is trained once with each; None takes the grid's. Not with a loaded grid either.
        resume: go on in a folder that holds an ablation: finished cells are kept, broken ones go on, failed ones are tried again.
        quiet: no progress.

    Returns:
        The folder.

    Raises:
        UserError: a cell that no recipe can be, no data, or a folder that holds something else; nothing has been run then.
        Interrupted: Ctrl-C, SIGTERM or a lost terminal's SIGHUP; every cell that was running has saved its state.
    """
    if not isinstance(grid, Grid):
        grid = Grid.load(grid, overrides, seeds)
    elif overrides or seeds is not None:
        raise UserError(f"the grid {grid.name!r} is loaded already: give overrides and seeds to Grid.load, or the grid's name to ablate")
    options = options or AblationOptions()
    if options.jobs < 1:
        raise UserError(f"--jobs is {options.jobs}: it must be at least 1")
    cells = [_resolved(cell) for cell in grid.cells()]
    opened = find_records(cells[0].recipe.data)
    records = opened.splits
    if not records["train"]:
        raise UserError(no_training_pairs(cells[0].recipe.data, opened))
    folder = Path(out)
    refuse_inside(cells[0].recipe.data, folder)
    _check_place(folder, grid, cells, resume)
    check_writable_folder(folder)
    for plugin in options.plugins:
        if not Path(plugin).is_file():
            raise UserError(f"plugin {plugin} does not exist: give the path of a Python file that registers something")
    pairs, epochs, minutes = len(records["train"]), cells[0].recipe.training.epochs, cells[0].recipe.training.minutes
    each, unit = (pairs * epochs, "img") if minutes is None else (math.ceil(60 * minutes), "s")
    budget = f"{counted(each, 'image')} a cell ({counted(epochs, 'epoch')} of {counted(pairs, 'pair')})"
    ledger = Ledger(folder, grid, cells, budget if minutes is None else f"{minutes:g} min a cell, on {counted(pairs, 'pair')}")
    waiting = [cell for cell in cells if ledger.states[cell]["state"] != "done"]
    place = options.place or _Here(options.jobs)
    with place.opened(folder, _read_by(cells[0].recipe, options)) if waiting else contextlib.nullcontext(_Here(1)) as starter:
        write_text(folder / GRID, grid.to_yaml())
        ledger.write()
        if waiting and options.segmenter == "train":
            options = dataclasses.replace(options, segmenter=_segmenter(folder, cells[0].recipe, options, quiet))
        if waiting and grid.examine == "translation" and options.probes is None:
            from .examine import prepare

            found = prepare(cells[0].recipe, folder, quiet)
            options = dataclasses.replace(options, probes=None if found is None else str(found))
        if not quiet and len(waiting) < len(cells):
            say(f"note: {len(cells) - len(waiting)} of {len(cells)} cells are done already")
        with Progress(len(waiting) * each, f"cell 0/{len(waiting)}", unit, quiet=quiet) as progress:
            if options.isolate:
                _in_processes(starter, ledger, waiting, grid, options, progress, each)
            else:
                _in_this_process(ledger, waiting, grid, options, progress, each)
    if grid.examine:
        from .examine import agreements
        from .variants import read_ablation

        agreements(read_ablation(folder))
    return folder


class Ledger:
    """What became of each cell, in ``ablation.json``.

    Attributes:
        states: per cell ``state``, ``reason``, ``seconds``, ``peak_mib``.
    """

    def __init__(self, folder: Path, grid: Grid, cells: Sequence[GridCell], budget: str) -> None:
        self.folder, self.grid, self.budget = folder, grid, budget
        self.states: dict[GridCell, dict[str, Any]] = {cell: self._found(cell) for cell in cells}

    def _found(self, cell: GridCell) -> dict[str, Any]:
        nothing = {"state": "waiting", "reason": "", "seconds": None, "peak_mib": None}
        with contextlib.suppress(OSError, ValueError):
            stored = read_json(outcome_file(self.folder / cell.path))
            if not isinstance(stored, dict):
                return nothing
            texts = {key: stored[key] for key in ("state", "reason") if isinstance(stored.get(key), str)}
            return {**nothing, **texts, **{key: finite(stored.get(key)) for key in ("seconds", "peak_mib")}}
        return nothing

    def close(self, cell: GridCell, reason: str = "") -> dict[str, Any]:
        """Take down what a cell says of itself; ``reason`` is why it could not."""
        found = self._found(cell)
        if found["state"] != "done":
            found = {**found, "state": "failed", "reason": found["reason"] or reason}
        self.states[cell] = found
        words = words_file(self.folder / cell.path)
        with contextlib.suppress(OSError):
            if found["state"] == "done" or words.stat().st_size == 0:
                words.unlink()
        self.write()
        return found

    def write(self) -> None:
        """Write the file."""
        listed = [
            {"variation": cell.variation, "seed": cell.seed, "path": cell.path.as_posix(), **state} for cell, state in self.states.items()
        ]
        about = {"name": self.grid.name, "about": self.grid.about, "budget": self.budget, "metrics": list(self.grid.metrics)}
        write_json(self.folder / LEDGER, {**about, "cells": listed})


def _resolved(cell: GridCell) -> GridCell:
    from ...training.start import resolve_start

    recipe = cell.recipe.replaced(data=resolve_data(cell.recipe.data), training=resolve_start(cell.recipe.training))
    return dataclasses.replace(cell, recipe=recipe)


def _check_place(folder: Path, grid: Grid, cells: Sequence[GridCell], resume: bool) -> None:
    if not resume:
        if (folder / LEDGER).exists():
            raise UserError(f"{folder} already holds an ablation: go on with it by --resume, or choose another --out")
        begun = [GRID] if (folder / GRID).is_file() and (folder / GRID).read_bytes() == grid.to_yaml().encode() else []  # and killed
        if (found := occupants(folder)) not in ([], begun):
            raise UserError(f"{folder} is not empty ({in_it(found)}): choose a new folder for --out")
        return
    for cell in cells:
        file = folder / cell.path / "recipe.yaml"
        if file.is_file():
            stored = Recipe.load(file)
            differing = stored.differences(cell.recipe.with_found(stored)).keys() - FREE_ON_RESUME - {"name"}
            if differing:
                raise UserError(
                    f"{folder / cell.path} was begun with another recipe ({', '.join(sorted(differing))} differ): "
                    "resume with the grid and the flags it was begun with, or choose another --out"
                )


def _segmenter(folder: Path, recipe: Recipe, options: AblationOptions, quiet: bool) -> str:
    """The ablation's own segmenter, trained once on its data."""
    file = folder / SEGMENTER
    if not file.is_file():
        from ...evaluation.segmenter_training import SegmenterOptions, train_segmenter

        train_segmenter(recipe.data.replaced(limit=None), file, SegmenterOptions(palette=options.palette), quiet=quiet)
    return str(file)


def _read_by(recipe: Recipe, options: AblationOptions) -> list[str]:
    """The paths of all that cells read, as far as they are there."""
    own = [str(path) for path in (recipe.data.path, recipe.training.start_from) if path is not None]
    given = [*options.plugins, *options.weights.values(), options.segmenter, options.probes]
    return [path for path in (*own, *given) if path is not None and Path(path).exists()]


def _spec(cell: GridCell, folder: Path, grid: Grid, options: AblationOptions, threads: int | None = None) -> CellSpec:
    return CellSpec(
        cell.recipe.to_dict(),
        str(folder / cell.path),
        list(grid.metrics),
        options.segmenter,
        options.palette,
        options.weights,
        options.plugins,
        grid.examine,
        options.probes,
        threads,
    )


def _in_this_process(
    ledger: Ledger, cells: Sequence[GridCell], grid: Grid, options: AblationOptions, progress: Progress, each: int
) -> None:
    for number, cell in enumerate(cells, start=1):
        progress.words(f"cell {number}/{len(cells)}", f"   {cell.variation}, seed {cell.seed}")
        run_cell(_spec(cell, ledger.folder, grid, options))
        _report_failure(cell, ledger.close(cell))
        progress.advance(each)


def _in_processes(
    starter: CellStarter,
    ledger: Ledger,
    cells: Sequence[GridCell],
    grid: Grid,
    options: AblationOptions,
    progress: Progress,
    each: int,
) -> None:
    """Keep as many processes busy as there may be at once; the progress is that of all their logs."""
    waiting, running, counted = list(cells), dict[GridCell, RunningCell](), dict[GridCell, int]()
    asked = False
    with _ended(running), StopRequest("stopping: every running cell saves its state (Ctrl-C again stops at once) ...") as stop:
        while waiting or running:
            while waiting and len(running) < starter.at_once and stop.signal is None:
                cell = waiting.pop(0)
                counted[cell] = 0
                running[cell] = starter.start(_spec(cell, ledger.folder, grid, options, starter.threads))
                names = ", ".join(f"{one.variation}, seed {one.seed}" for one in running)
                progress.words(f"cell {len(cells) - len(waiting)}/{len(cells)}", f"   {names}")
            if stop.signal is not None and not asked:
                asked = True
                for process in running.values():
                    process.stop()
            for cell, process in list(running.items()):
                end = process.end()
                key = "images" if cell.recipe.training.minutes is None else "seconds"
                done = each if end is not None else int(finite(last_line(ledger.folder / cell.path / "log.jsonl").get(key)) or 0)
                progress.advance(max(0, min(done, each) - counted[cell]))
                counted[cell] = max(done, counted[cell])
                if end is not None:
                    del running[cell]
                    if stop.signal is None or end.code in (0, 1):  # else it was asked to stop, and goes on another time
                        _report_failure(cell, ledger.close(cell, end.reason or _reason(end.code, ledger.folder / cell.path)))
            if stop.signal is not None and not running:
                break
            time.sleep(0.2 if running else 0.0)
    if stop.signal is not None:
        raise Interrupted(f"stopped; every state is saved: go on with the same command and --resume ({ledger.folder})", stop.exit_code)


@contextlib.contextmanager
def _ended(running: Mapping[GridCell, RunningCell]) -> Iterator[None]:
    """No cell outlives what started it."""
    try:
        yield
    finally:
        for process in running.values():
            process.kill()


class _Here:
    """On this machine, some at a time, each with its share of the cores."""

    def __init__(self, jobs: int) -> None:
        self.at_once = jobs
        self.threads = max(1, (os.cpu_count() or 1) // jobs) if jobs > 1 else None

    @contextlib.contextmanager
    def opened(self, folder: Path, reads: Sequence[str]) -> Iterator[CellStarter]:
        yield self

    def start(self, spec: CellSpec) -> RunningCell:
        return _Child(start_process(dataclasses.replace(spec, parent=os.getpid())))


class _Child:
    """A cell in a child of this process."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    def end(self) -> CellEnd | None:
        code = self._process.poll()
        return None if code is None else CellEnd(code)

    def stop(self) -> None:
        self._process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()


def start_process(spec: CellSpec) -> subprocess.Popen[bytes]:
    """Start a cell in a child of this process, which ends with ``spec.parent``; what it prints goes to :func:`.cell.words_file`."""
    threads = {"OMP_NUM_THREADS": str(spec.threads)} if spec.threads is not None else {}
    words = words_file(Path(spec.run))
    words.parent.mkdir(parents=True, exist_ok=True)
    # Its own session: Ctrl-C comes to us alone, and we ask every cell once. What libraries print in it is no part of our results.
    with words.open("wb") as printed, isolated_children():
        process = subprocess.Popen(
            child_command("transfigure.studies.ablation.cell"),
            env={**os.environ, **threads},
            start_new_session=True,
            stdin=subprocess.PIPE,
            stdout=printed,
            stderr=subprocess.STDOUT,
        )
    assert process.stdin is not None
    with contextlib.suppress(OSError), process.stdin:  # it may be gone already; its code will say so
        process.stdin.write(spec.to_json().encode())
    return process


def _reason(code: int, run: Path) -> str:
    """Why a cell's process ended, with the last that it printed: the end of a traceback says most."""
    file = words_file(run)
    if code in STOPPED:
        return f"its process was stopped by {STOPPED[code]} from outside; --resume goes on with it"
    if code >= 0:
        reason = f"its process ended with code {code} before it could say why"
    else:
        reason = f"its process was ended by signal {-code}" + (" (perhaps for lack of memory)" if code == -signal.SIGKILL else "")
    with contextlib.suppress(OSError):
        with file.open("rb") as stream:
            stream.seek(max(0, file.stat().st_size - 8192))
            lines = [line.strip() for line in stream.read().decode("utf-8", "replace").splitlines() if line.strip()]
        if lines:
            return f"{reason}; the last it printed: {printable(lines[-1][:300])} (all of it: {file})"
    return reason


def _report_failure(cell: GridCell, state: Mapping[str, Any]) -> None:
    if state["state"] == "failed":
        say(f"failed: {cell.variation}, seed {cell.seed}: {state['reason']}")
