"""A run that is being trained, as ``transfigure watch --once`` shows it."""

from __future__ import annotations

import json
from pathlib import Path

from transfigure.reporting.watch.page import write_watch

from ..run.example import write_run


def write(folder: Path) -> Path:
    run = write_run(folder / "run")
    log = run / "log.jsonl"
    log.write_text("".join(line for line in log.read_text().splitlines(keepends=True) if json.loads(line)["kind"] != "end"))
    return write_watch(run, folder / "watch.html")
