"""``log.jsonl``: one object per line, appended as it happens and cut back to the checkpoint when a run resumes."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..data.files import open_to_write
from ..errors import Missing, RunFailure
from ..recipe import Recipe, flatten


class RunLog:
    """The run's log, and the outside trackers that were asked for.

    Args:
        file: ``log.jsonl``; created if absent.
        keep: bytes to keep of what is there (what was logged after the checkpoint will be logged again); None keeps all.
        trackers: tensorboard, mlflow, wandb.
        recipe: passed on to the trackers.
    """

    def __init__(self, file: Path, keep: int | None = None, trackers: tuple[str, ...] = (), recipe: Recipe | None = None) -> None:
        self._file = file
        self._stream = open_to_write(file, "ab")
        if keep is not None and keep < self._stream.tell():
            self._stream.truncate(keep)
            self._stream.seek(keep)
        self._trackers = [TRACKERS[name](file.parent, recipe) for name in trackers]

    def write(self, kind: str, images: int, **values: Any) -> None:
        """Append one line.

        Raises:
            RunFailure: the disk is full.
        """
        line = json.dumps({"kind": kind, "images": images, **_finite(values)}, allow_nan=False, separators=(",", ":"))
        try:
            self._stream.write(line.encode() + b"\n")
            self._stream.flush()
        except OSError as error:
            raise RunFailure(f"cannot write {self._file} ({error.strerror}): free some space and go on with --resume") from error
        numbers = {key: float(value) for key, value in flatten(values) if isinstance(value, int | float) and not isinstance(value, bool)}
        for tracker in self._trackers:
            tracker.log({f"{kind}/{key}": value for key, value in numbers.items()}, images)

    def size(self) -> int:
        """Bytes written so far; a checkpoint remembers it."""
        return self._stream.tell()

    def close(self) -> None:
        """Close the file and the trackers."""
        with contextlib.suppress(OSError):  # what a full disk refused is tried once more; the failure itself has been reported
            self._stream.close()
        for tracker in self._trackers:
            tracker.close()


def _finite(value: Any) -> Any:
    """JSON has no NaN: write null."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value


class _TensorBoard:
    def __init__(self, run: Path, recipe: Recipe | None) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise Missing.extra("tensorboard", "tracking", "logging to TensorBoard") from error
        self._writer = SummaryWriter(str(run / "tensorboard"))
        if recipe is not None:
            self._writer.add_text("recipe", f"```yaml\n{recipe.to_yaml()}```")

    def log(self, values: dict[str, float], images: int) -> None:
        for name, value in values.items():
            self._writer.add_scalar(name, value, images)

    def close(self) -> None:
        self._writer.close()


class _MLflow:
    def __init__(self, run: Path, recipe: Recipe | None) -> None:
        try:
            import mlflow
        except ImportError as error:
            raise Missing.extra("mlflow", "tracking", "logging to MLflow") from error
        self._mlflow = mlflow
        mlflow.start_run(run_name=run.name)
        if recipe is not None:
            mlflow.log_params({key: str(value)[:500] for key, value in flatten(recipe.to_dict())})

    def log(self, values: dict[str, float], images: int) -> None:
        self._mlflow.log_metrics(values, step=images)

    def close(self) -> None:
        self._mlflow.end_run()


class _WandB:
    def __init__(self, run: Path, recipe: Recipe | None) -> None:
        try:
            import wandb
        except ImportError as error:
            raise Missing.extra("wandb", "tracking", "logging to Weights & Biases") from error
        self._run = wandb.init(project="transfigure", name=run.name, dir=str(run), config=recipe.to_dict() if recipe else None)

    def log(self, values: dict[str, float], images: int) -> None:
        self._run.log({**values, "images": images})

    def close(self) -> None:
        self._run.finish()


TRACKERS: dict[str, Any] = {"tensorboard": _TensorBoard, "mlflow": _MLflow, "wandb": _WandB}


def check_trackers(names: Sequence[str]) -> None:
    """Refuse a tracker whose library is not installed, before anything else is done.

    Raises:
        Missing: it is not; the message names the extra that brings it.
    """
    for name in names:
        if name not in sys.modules and importlib.util.find_spec(name) is None:
            raise Missing.extra(name, "tracking", f"logging to {name}")
