"""``log.jsonl``: one object per line, appended as it happens and cut back to the checkpoint when a run resumes."""

from __future__ import annotations

import contextlib
import json
import math
from pathlib import Path
from typing import Any

from ..data.files import open_to_write, separate
from ..errors import RunFailure
from ..recipe import Recipe, flatten
from .trackers import Strips, Trackers


class RunLog:
    """The run's log, and the outside trackers that were asked for.

    Args:
        file: ``log.jsonl``; created if absent.
        keep: bytes to keep of what is there (what was logged after the checkpoint will be logged again); None keeps all.
        trackers: tensorboard, mlflow, wandb.
        recipe: passed on to the trackers.
        images: seen before, in a run that is resumed.
        quiet: do not say that a tracker was given up.

    Raises:
        Missing: a tracker's library is not installed.
        UserError: a tracker cannot be used here, as one that needs a server or an account.
    """

    def __init__(
        self,
        file: Path,
        keep: int | None = None,
        trackers: tuple[str, ...] = (),
        recipe: Recipe | None = None,
        images: int | None = None,
        quiet: bool = False,
    ) -> None:
        self._file = file
        separate(file)
        self._stream = open_to_write(file, "ab")
        if keep is not None and keep < self._stream.tell():
            self._stream.truncate(keep)
            self._stream.seek(keep)
        try:
            self._trackers = Trackers(trackers, file.parent, recipe, images, quiet)
        except BaseException:
            self._stream.close()
            raise

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
        self._trackers.log({f"{kind}/{key}": value for key, value in numbers.items()}, images)

    def pictures(self, strips: Strips, images: int) -> None:
        """Send previews to the trackers; the run itself has them in ``samples/``."""
        self._trackers.pictures(strips, images)

    def size(self) -> int:
        """Bytes written so far; a checkpoint remembers it."""
        return self._stream.tell()

    def close(self, finished: bool = True) -> None:
        """Close the file and the trackers, which are told whether the training came to its end."""
        with contextlib.suppress(OSError):  # what a full disk refused is tried once more; the failure itself has been reported
            self._stream.close()
        self._trackers.close(finished)


def _finite(value: Any) -> Any:
    """JSON has no NaN: write null."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value
