"""One cell of an ablation: train, evaluate, measure the pictures. Runs in a process of its own, so that its memory is its own and
nothing that happens to it reaches the others.

What it is to do comes on stdin, as JSON.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ...data.files import write_json
from ...errors import Interrupted, TransfigureError
from ...processes import Stopped, stopped_by_signals
from ...recipe import Recipe
from ...registry import load_plugin
from ...stored import load_json, read_json


def outcome_file(run: Path) -> Path:
    """Where a cell says what became of it: beside its run directory, which is the training's alone."""
    return run.with_name(f"{run.name}.json")


def words_file(run: Path) -> Path:
    """What a cell's process prints, kept where it failed."""
    return run.with_name(f"{run.name}.printed.txt")


@dataclass(frozen=True)
class CellSpec:
    """What a cell is to do, in plain values.

    Attributes:
        recipe: the complete recipe.
        run: the run directory.
        metrics: to evaluate by.
        segmenter, palette: of the FCN-score.
        weights: files of feature networks, by name.
        plugins: files to import first.
        examine: what else to look at: ``translation``, ``reconstruction`` or nothing.
        probes: the file of what reads known factors.
        threads: of torch; None leaves the choice to it.
        parent: process to end with, so that a killed ablation leaves no trainings behind; None is nobody.
    """

    recipe: dict[str, Any]
    run: str
    metrics: list[str]
    segmenter: str | None = None
    palette: str | None = None
    weights: dict[str, str] | None = None
    plugins: tuple[str, ...] = ()
    examine: str = ""
    probes: str | None = None
    threads: int | None = None
    parent: int | None = None

    def to_json(self) -> str:
        """As :func:`main` reads it."""
        return json.dumps(asdict(self))


def failed(reason: str = "") -> dict[str, Any]:
    """The outcome of a cell that could not even begin."""
    return {"state": "failed", "reason": reason, "seconds": None, "peak_mib": None}


def run_cell(spec: CellSpec) -> dict[str, Any]:
    """Train (or go on, or find it trained), evaluate, measure the pictures, and say what became of it.

    Returns:
        ``state`` (``done`` or ``failed``), ``reason``, ``seconds`` of training and ``peak_mib`` of memory: what :func:`outcome_file` holds.

    Raises:
        Interrupted: the state is saved; it can be gone on with.
    """
    run = Path(spec.run)
    outcome = failed()
    try:
        recipe = Recipe.from_dict(spec.recipe)
        outcome.update(_trained(recipe, run))
        from ...evaluation.evaluate import evaluate
        from .pictures import write_pictures

        evaluate(
            run,
            metrics=spec.metrics or None,
            segmenter=spec.segmenter,
            palette=spec.palette,
            weights=spec.weights,
            out=run / "evaluation",
            quiet=True,
        )
        write_pictures(run, quiet=True)
        if spec.examine:
            from .examine import examine

            examine(run, spec.examine, Path(spec.probes) if spec.probes else None)
        outcome["state"] = "done"
    except Interrupted:
        raise
    except TransfigureError as error:
        outcome["reason"] = str(error)
    except (MemoryError, RuntimeError, ValueError, ArithmeticError) as error:  # a plugin's fault, or a machine's: the other cells go on
        outcome["reason"] = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
    write_json(outcome_file(run), outcome)
    return outcome


def _trained(recipe: Recipe, run: Path) -> dict[str, Any]:
    """Train to the end, and say what it cost; what is done already is not done again."""
    import torch

    from ...training.trainer import train

    last = last_line(run / "log.jsonl")
    if last.get("kind") == "end":
        return {"seconds": last.get("seconds"), "peak_mib": _outcome(run).get("peak_mib")}
    train(recipe, run, resume=(run / "checkpoints" / "last.pt").is_file(), quiet=True)
    peak = _peak_mib() + (torch.cuda.max_memory_allocated() / 2**20 if torch.cuda.is_available() else 0.0)
    cost = {"seconds": last_line(run / "log.jsonl").get("seconds"), "peak_mib": round(peak, 1)}
    write_json(outcome_file(run), {"state": "waiting", "reason": "", **cost})  # what evaluating costs is another matter
    return cost


def _outcome(run: Path) -> dict[str, Any]:
    try:
        stored = read_json(outcome_file(run))
    except (OSError, ValueError):
        return {}
    return stored if isinstance(stored, dict) else {}


def last_line(log: Path) -> dict[str, Any]:
    """The last complete line of a log; empty if there is none."""
    try:
        with log.open("rb") as stream:
            stream.seek(max(0, log.stat().st_size - 8192))
            lines = stream.read().splitlines(keepends=True)
    except OSError:
        return {}
    for line in reversed(lines):
        if line.endswith(b"\n"):
            try:
                found = load_json(line)
            except ValueError:
                continue
            return found if isinstance(found, dict) else {}
    return {}


def _peak_mib() -> float:
    """The most memory this process ever held, in MiB; 0 where the system does not say."""
    try:
        import resource
    except ImportError:  # Windows
        return 0.0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10


def _end_with(parent: int) -> None:
    """Stop as if by SIGTERM, which saves the state, once the ablation's own process is gone."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()


def main(arguments: Sequence[str] = ()) -> int:
    """Do what stdin says; 0 is done, 1 failed, more is a signal that was obeyed."""
    stored = json.loads(sys.stdin.buffer.read())
    spec = CellSpec(**{**stored, "plugins": tuple(stored["plugins"])})
    if spec.parent is not None:
        _end_with(spec.parent)
    if spec.threads is not None:
        import torch

        torch.set_num_threads(spec.threads)
    try:
        with stopped_by_signals():
            for plugin in spec.plugins:
                load_plugin(plugin)
            return 0 if run_cell(spec)["state"] == "done" else 1
    except Interrupted as stop:
        return stop.exit_code
    except Stopped as stop:
        return 128 + stop.number
    except TransfigureError as error:
        write_json(outcome_file(Path(spec.run)), failed(str(error)))
        return 1
