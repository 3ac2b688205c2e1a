"""The directory a training writes, and what it says about itself."""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import platform
import re
import shlex
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy
import torch

from .._version import __version__
from ..data.check.left_out import LEFT_OUT_FILE, LeftOut, save_left_out
from ..data.files import (
    LOCK,
    check_writable_folder,
    in_it,
    is_unfinished,
    lock_file,
    occupants,
    open_to_write,
    refuse_link,
    sweep,
    write_json,
    write_text,
)
from ..data.splits import SPLITS_FILE, StoredSplit
from ..errors import UserError
from ..recipe import FREE_ON_RESUME, Recipe
from ..registry import plugin_files, plugin_flags
from ..stored import read_json

LENGTH = frozenset({"training.epochs", "training.minutes"})
"""Keys that say how long a run trains, and that it may be given anew when it is resumed."""
_TRACKED = ("tensorboard", "wandb", "trackers.json")
"""What outside trackers make in a run."""


_OTHERS = ("environment.json", "report.html", SPLITS_FILE)
_LEFT = re.compile(r"samples/(fixed|\d{8})/[^/]+\.(png|tif)|(model_best|kept/\d{8})/(generator\.safetensors|config\.json|README\.md)")
"""The files that are removed where a run died before its first checkpoint."""


@dataclass(frozen=True)
class RunDirectory:
    """Where everything of a run lies.

    Attributes:
        path: the directory.
    """

    path: Path

    @property
    def recipe(self) -> Path:
        """The complete recipe."""
        return self.path / "recipe.yaml"

    @property
    def left_out(self) -> Path:
        """The pairs that cannot be used and were left out."""
        return self.path / LEFT_OUT_FILE

    @property
    def splits(self) -> Path:
        """The names that were drawn into each split, where the data did not come divided."""
        return self.path / SPLITS_FILE

    @property
    def log(self) -> Path:
        """One JSON object per logged step."""
        return self.path / "log.jsonl"

    @property
    def checkpoint(self) -> Path:
        """Everything exact resume needs."""
        return self.path / "checkpoints" / "last.pt"

    @property
    def model(self) -> Path:
        """The last generator, as a translator loads it."""
        return self.path / "model"

    @property
    def best_model(self) -> Path:
        """The generator that validated best."""
        return self.path / "model_best"

    @property
    def inverse_model(self) -> Path:
        """The last generator of the other direction, where two were trained together."""
        return self.path / "model_inverse"

    def kept_model(self, images: int) -> Path:
        """A generator that was kept on the way."""
        return self.path / "kept" / f"{images:08d}"

    @property
    def samples(self) -> Path:
        """Pictures of fixed examples over time."""
        return self.path / "samples"

    def reserve(self) -> None:
        """Make an empty run directory.

        Raises:
            UserError: the place is taken, by a run or by something else, or cannot be written.
        """
        if self.checkpoint.exists():
            raise UserError(f"{self.path} already holds a training: continue it with --resume, or choose another --out")
        if self.model.exists():  # a run makes it after its first checkpoint
            raise UserError(f"{self.path} holds the model of a training (without its checkpoint): choose another --out, or move it away")
        known = {
            "recipe.yaml",
            "environment.json",
            SPLITS_FILE,
            LEFT_OUT_FILE,
            "log.jsonl",
            "samples",
            "checkpoints",
            "model_best",
            "kept",
            *_TRACKED,
        }
        found = occupants(self.path)
        # A run begins with an empty log, so these are its own; a recipe or samples alone may be a person's.
        began = "log.jsonl" in found and ("recipe.yaml" in found or not self.log.stat().st_size)
        others = [name for name in found if not began or name not in known]
        for name in ("samples", "model_best", "kept") if began else ():
            files = (file.relative_to(self.path).as_posix() for file in (self.path / name).rglob("*") if not file.is_dir())
            others += [file for file in files if not _LEFT.fullmatch(file) and not is_unfinished(Path(file).name)]
        if others:
            raise UserError(f"{self.path} is not empty ({in_it(others)}): choose a new folder for --out")
        check_writable_folder(self.path)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep every other process from training into this directory; the system lets go when this one ends, however it ends.

        Raises:
            UserError: another process trains here, or something that it is going to write is a link.
        """
        for place in (self.recipe, self.log, self.left_out, *(self.path / name for name in (*_OTHERS, *_TRACKED))):
            refuse_link(place)
        for folder in self._folders()[1:]:  # the first is the run itself, which is the user's to place, on another disk perhaps
            refuse_link(folder)
            for place in folder.rglob("*"):
                refuse_link(place)
        with open_to_write(self.path / LOCK, "a+b") as stream:
            try:
                lock_file(stream)
            except OSError as error:
                if error.errno in (errno.EACCES, errno.EAGAIN, errno.EDEADLK):
                    raise UserError(f"{self.path} is being trained by another process: wait for it, or choose another --out") from error
                # else a file system that knows no locks: go on without
            try:
                yield
            finally:
                with contextlib.suppress(OSError):  # Windows removes no open file; it is found free next time
                    (self.path / LOCK).unlink()

    def start(self, recipe: Recipe, drawn: StoredSplit | None = None, left_out: Sequence[LeftOut] = ()) -> None:
        """Write the recipe, the split if one was drawn, and the pairs that were left out if any were, into a reserved directory.

        What a run left there that died before its first checkpoint is dropped.
        """
        self.log.unlink(missing_ok=True)
        self.splits.unlink(missing_ok=True)
        self.left_out.unlink(missing_ok=True)
        for leftover in (self.samples, self.best_model, self.path / "kept"):  # or they would be taken for this run's
            shutil.rmtree(leftover, ignore_errors=True)
        self.sweep()
        open_to_write(self.log, "ab").close()
        if drawn is not None:
            drawn.save(self.splits)
        if left_out:
            save_left_out(self.left_out, left_out)
        self.keep_recipe(recipe)

    def keep_recipe(self, recipe: Recipe) -> None:
        """Write the recipe, or another one in its place, where a run is given another length."""
        write_text(self.recipe, recipe.to_yaml())

    def sweep(self) -> None:
        """Remove the unfinished files of a process that was killed while it wrote them; each can be as large as a checkpoint."""
        for folder in self._folders():
            sweep(folder, grace=0)

    def _folders(self) -> tuple[Path, ...]:
        """Every folder that a training writes to."""
        kept = self.path / "kept"
        models = (self.model, self.best_model, self.inverse_model, *(sorted(kept.iterdir()) if kept.is_dir() else ()))
        return (self.path, self.checkpoint.parent, self.samples, kept, *models)

    def check_same(self, recipe: Recipe, saved: Recipe) -> None:
        """A resumed run goes on with the recipe it began with; only how long it trains may be another, and on which machines as many
        processes run.

        Raises:
            UserError: a key differs that changes what is computed; the message names each.
        """
        free = FREE_ON_RESUME | LENGTH | {"name"}
        now, then = (one.training.devices * one.training.nodes for one in (recipe, saved))
        if now == then:
            free |= {"training.devices", "training.nodes"}
        differing = {key: values for key, values in recipe.differences(saved).items() if key not in free}
        if differing:
            listed = "; ".join(f"{key} is {now!r} but was {then!r}" for key, (now, then) in differing.items())
            raise UserError(
                f"cannot resume {self.path} with another recipe: {listed}; use its own "
                f"(transfigure train --out {shlex.quote(str(self.path))} --resume{plugin_flags()}) or start a new run with another --out"
            )


def free_place(name: str) -> Path:
    """``runs/NAME``, or the first of ``runs/NAME-2``, ``runs/NAME-3``, ... that does not exist."""
    name = re.sub(r"[^\w.-]+", "_", name).lstrip(".") or "run"
    places = (Path("runs") / (name if number == 1 else f"{name}-{number}") for number in itertools.count(1))
    return next(place for place in places if not place.exists())


def write_environment(
    run: RunDirectory, recipe: Recipe, device: torch.device, world_size: int, started_from: dict[str, Any] | None = None
) -> None:
    """Say with what and where the run was made, and from which model's weights; what an earlier session of a resumed run had stands under
    ``earlier``.
    """
    file = run.path / "environment.json"
    entry = environment(device)
    if files := plugin_files():
        entry["plugins"] = files
    entry.update(devices=world_size, seed=recipe.training.seed, started=time.strftime("%Y-%m-%d %H:%M:%S %z"), command=shlex.join(sys.argv))
    if started_from is not None:
        entry["started_from"] = started_from
    try:
        before = read_json(file)
        entry["earlier"] = [*before.pop("earlier", []), before]
    except (OSError, ValueError, AttributeError, TypeError):
        entry["earlier"] = []  # the first time, or a damaged file: only the present is known
    write_json(file, entry)


def other_machine(run: RunDirectory, device: torch.device) -> str:
    """In words, what of a run's machine the last bits of its numbers depend on and is not as it was; empty if all is."""
    try:
        then = read_json(run.path / "environment.json")
        now = environment(device)
        differing = [key for key in ("threads", "torch", "device", "processor") if key in then and then[key] != now[key]]
    except (OSError, ValueError, TypeError):
        return ""

    def listed(machine: dict[str, Any]) -> str:
        words = {
            key: f"{machine[key]} thread{'s' * (machine[key] != 1)}" if key == "threads" else f"{key} {machine[key]}" for key in differing
        }
        return ", ".join(words.values())

    return f"this run was made with {listed(then)}, now {listed(now)}: the numbers go on, other bits are possible" if differing else ""


def environment(device: torch.device | None = None) -> dict[str, Any]:
    """Versions and hardware, as plain values."""
    cuda = torch.cuda.is_available()
    return {
        "transfigure": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": numpy.__version__,
        "platform": platform.platform(),
        "processor": _processor(),
        "cores": os.cpu_count() or 1,
        "threads": torch.get_num_threads(),
        "device": str(device) if device is not None else "cpu",
        "gpu": torch.cuda.get_device_name(0) if cuda else "none",
        "cuda": str(torch.version.cuda) if cuda else "none",
    }


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
