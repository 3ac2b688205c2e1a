"""Outside trackers that the log can be sent to as well, each through its own library.

A tracker is a convenience: what it cannot do is said in one sentence before training starts, and what it fails at later is noted, once,
while training goes on. ``log.jsonl`` always has everything.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..data.files import write_json
from ..errors import Missing, UserError
from ..progress import say
from ..recipe import Recipe, flatten
from ..stored import read_json

FILE = "trackers.json"
"""In the run: the id that each tracker gave it, so that a resumed run goes on as the same one there."""
PARAMS = 100
"""Parameters that an MLflow server takes at a time."""


Strips = Sequence[tuple[str, NDArray[np.uint8]]]
"""The name of each example, and uint8 ``[H, W, 1 or 3]``: source, generated and target side by side. Bytes, since a library may take
numbers from 0 to 1 for numbers from 0 to 255, and show black."""
CAPTION = "source | generated | target"


class Tracker(Protocol):
    """What a tracker does.

    Attributes:
        id: its name for this run, for the next session; None where it needs none.
    """

    id: str | None

    def __init__(self, run: Path, recipe: Recipe | None, known: str | None, images: int | None) -> None:
        """Begin, or go on with the run of id ``known`` after so many ``images``."""

    def log(self, values: dict[str, float], images: int) -> None:
        """Numbers at so many images."""

    def pictures(self, strips: Strips, images: int) -> None:
        """Previews at so many images."""

    def close(self, finished: bool) -> None:
        """End, in peace or not."""


class TensorBoard:
    """Event files in the run's ``tensorboard/``."""

    def __init__(self, run: Path, recipe: Recipe | None, known: str | None, images: int | None) -> None:
        self.id: str | None = None
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise Missing.extra("tensorboard", "tracking", "logging to TensorBoard") from error
        # what a killed session logged after its last checkpoint is logged again, and shall not stand there twice
        self._writer = SummaryWriter(str(run / "tensorboard"), purge_step=None if images is None else images + 1)
        if recipe is not None and images is None:
            self._writer.add_text("recipe", f"```yaml\n{recipe.to_yaml()}```")

    def log(self, values: dict[str, float], images: int) -> None:
        """Every number as a scalar."""
        for name, value in values.items():
            self._writer.add_scalar(name, value, images)

    def pictures(self, strips: Strips, images: int) -> None:
        """Each example under a name of its own, which is its caption; a slider goes through the training."""
        for at, (name, strip) in enumerate(strips):
            self._writer.add_image(f"preview/{at}: {CAPTION} ({name})", strip, images, dataformats="HWC")

    def close(self, finished: bool) -> None:
        """Write what waits."""
        self._writer.close()


class MLflow:
    """A run on the server, or in the database, that ``MLFLOW_TRACKING_URI`` names; by default ``mlflow.db`` in the working folder."""

    def __init__(self, run: Path, recipe: Recipe | None, known: str | None, images: int | None) -> None:
        for name, value in {
            "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",  # by default a server that has gone is waited for during minutes
            "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
            "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",  # stdout is for results
        }.items():
            os.environ.setdefault(name, value)
        try:
            import mlflow
        except ImportError as error:
            raise Missing.extra("mlflow", "tracking", "logging to MLflow") from error
        self._mlflow = mlflow
        self.id: str | None = _start_mlflow(mlflow, run.resolve().name, known)
        if recipe is not None and self.id != known:  # a parameter that was logged cannot be changed
            params = [(key, str(value)[:500]) for key, value in flatten(recipe.to_dict())]
            for at in range(0, len(params), PARAMS):
                mlflow.log_params(dict(params[at : at + PARAMS]))

    def log(self, values: dict[str, float], images: int) -> None:
        """Every number as a metric whose step is images seen."""
        self._mlflow.log_metrics(values, step=images)

    def pictures(self, strips: Strips, images: int) -> None:
        """Artifacts, in a folder per moment."""
        for at, (_, strip) in enumerate(strips):
            self._mlflow.log_image(strip, artifact_file=f"previews/{images:08d}/{at}_source_generated_target.png")

    def close(self, finished: bool) -> None:
        """End the run."""
        self._mlflow.end_run(status="FINISHED" if finished else "KILLED")


def _start_mlflow(mlflow: Any, name: str, known: str | None) -> str:
    """Go on with the known run, or begin one if it is no longer there; its id."""
    if known is not None:
        with contextlib.suppress(mlflow.exceptions.MlflowException):
            return str(mlflow.start_run(run_id=known).info.run_id)
    return str(mlflow.start_run(run_name=name).info.run_id)


class WandB:
    """A run of the project ``transfigure`` at Weights & Biases; ``WANDB_MODE=offline`` keeps it in the run's ``wandb/``."""

    def __init__(self, run: Path, recipe: Recipe | None, known: str | None, images: int | None) -> None:
        try:
            import wandb
        except ImportError as error:
            raise Missing.extra("wandb", "tracking", "logging to Weights & Biases") from error
        self._image = wandb.Image
        config = recipe.to_dict() if recipe else None
        again = {"id": known, "resume": "allow"} if known is not None and os.environ.get("WANDB_MODE") != "offline" else {"id": known}
        self._run = wandb.init(project="transfigure", name=run.resolve().name, dir=str(run), config=config, **again)
        self._run.define_metric("*", step_metric="images")
        self.id: str | None = str(self._run.id)

    def log(self, values: dict[str, float], images: int) -> None:
        """Every number, drawn over images seen."""
        self._run.log({**values, "images": images})

    def pictures(self, strips: Strips, images: int) -> None:
        """Each example as an image with its caption."""
        drawn = {f"preview/{at}": self._image(strip, caption=f"{name}: {CAPTION}") for at, (name, strip) in enumerate(strips)}
        self._run.log({**drawn, "images": images})

    def close(self, finished: bool) -> None:
        """End the run."""
        self._run.finish(exit_code=0 if finished else 1)


TRACKERS: dict[str, type[Tracker]] = {"tensorboard": TensorBoard, "mlflow": MLflow, "wandb": WandB}
_WAYS_OUT = {
    "tensorboard": "make the run's folder writable",
    "mlflow": "set MLFLOW_TRACKING_URI to a server that answers, or to a database such as sqlite:///mlflow.db",
    "wandb": "set WANDB_MODE=offline, or log in by  wandb login",
}


class Trackers:
    """Every tracker that was asked for and has not failed.

    Args:
        names: which.
        run: the run's directory; :data:`FILE` there remembers their ids.
        recipe: logged to them where the run begins.
        images: seen before, in a run that is resumed; None for a new one.
        quiet: do not say that one was given up.

    Raises:
        Missing: a library is not installed.
        UserError: one cannot begin; the sentence says what its library said, and the way out.
    """

    def __init__(
        self, names: Sequence[str], run: Path, recipe: Recipe | None = None, images: int | None = None, quiet: bool = False
    ) -> None:
        self._quiet, self._running = quiet, dict[str, Tracker]()
        if quiet:
            os.environ.setdefault("WANDB_SILENT", "true")
        ids = _ids(run / FILE) if images is not None else {}
        for name in names:
            try:
                self._running[name] = TRACKERS[name](run, recipe, ids.get(name), images)
            except Exception as error:
                self.close(finished=False)
                if isinstance(error, Missing):
                    raise
                raise UserError(
                    f"training.trackers: {name} cannot be used here ({reason(error)}): {_WAYS_OUT[name]}, or leave {name} out"
                ) from error
        ids |= {name: tracker.id for name, tracker in self._running.items() if tracker.id is not None}
        if ids:
            write_json(run / FILE, ids)

    def log(self, values: dict[str, float], images: int) -> None:
        """Send numbers to each; one that fails is given up."""
        self._each(lambda tracker: tracker.log(values, images), images)

    def pictures(self, strips: Strips, images: int) -> None:
        """Send previews to each; one that fails is given up."""
        if strips:
            self._each(lambda tracker: tracker.pictures(strips, images), images)

    def _each(self, send: Callable[[Tracker], None], images: int) -> None:
        for name, tracker in list(self._running.items()):
            try:
                send(tracker)
            except Exception as error:
                del self._running[name]
                if not self._quiet:
                    say(
                        f"note: {name} failed at {images:,} images ({reason(error)}) and gets nothing more of this session; "
                        "log.jsonl has everything, and training goes on"
                    )
                with contextlib.suppress(Exception):
                    tracker.close(finished=False)

    def close(self, finished: bool) -> None:
        """End each; what cannot be ended in peace is noted."""
        for name, tracker in self._running.items():
            try:
                tracker.close(finished)
            except Exception as error:
                if not self._quiet:
                    say(f"note: {name} could not be closed ({reason(error)}): what it was sent last may be missing there")
        self._running.clear()


def reason(error: Exception) -> str:
    """The first sentence of what a library says."""
    words = " ".join(str(error).split()) or type(error).__name__
    first, _, _ = words.partition(". ")
    return f"{first[:240]}..." if len(first) > 240 else first.rstrip(".")


def _ids(file: Path) -> dict[str, str]:
    """What an earlier session wrote; nothing if it is not there or damaged."""
    try:
        stored = read_json(file)
    except (OSError, ValueError):
        return {}
    return {name: known for name, known in stored.items() if isinstance(known, str)} if isinstance(stored, dict) else {}


def check_trackers(names: Sequence[str]) -> None:
    """Refuse a tracker whose library is not installed, before anything else is done.

    Raises:
        Missing: it is not; the message names the extra that brings it.
    """
    for name in names:
        spec = None if name in sys.modules else importlib.util.find_spec(name)
        if name not in sys.modules and (
            spec is None or spec.origin is None
        ):  # without an origin: a mere folder of this name, as wandb leaves
            raise Missing.extra(name, "tracking", f"logging to {name}")
