"""The figures of a run's report as files of their own: charts as SVG and PDF, the pictures as PNG, the examples over time as WebP."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..charts import FAINT, Chart, LineStyle
from ..figure_files import composed, standing, write_figures
from ..formatting import capital
from ..panels import channels_of, limits_of, look_of, picture_of
from ..run_files import RunFiles
from .animation import animation, spread
from .page import curves, histograms, note_of, panels_of, role_of, target_name

SIDE, MOMENTS = 512, 6
"""Pixels of a picture's longest side, and moments of a fixed example on paper."""
SMOOTHED = "faint: what was logged; strong: its running mean"


def figures(files: RunFiles, folder: str | Path, overwrite: bool = False) -> list[Path]:
    """Write every figure of a run, or of an evaluation alone.

    Charts are called by their titles; ``panels.png`` has the evaluated pairs, ``examples.png`` the fixed examples over time, and
    ``progress.webp`` is these as a moving picture.

    Args:
        files: of the run.
        folder: is made if absent; what else lies there stays.
        overwrite: replace files that are there already and that this tool did not write.

    Returns:
        The files, in the order of the report. Each appears whole or not at all; one run gives the same names every time.

    Raises:
        UserError: the place cannot be written, or another's file is there.
    """
    moving = animation(files.samples, target_name(files), files.channel_names)
    return write_figures(
        Path(folder),
        _charts(files),
        {"panels": _panels(files), "examples": _examples(files)},
        overwrite,
        others={} if moving is None else {"progress.webp": moving.encoded},
        pdfs=True,
    )


def _charts(files: RunFiles) -> Iterator[tuple[str, str]]:
    """(name, SVG) of every chart."""
    for figure in curves(files):
        if "<svg" in figure.svg:  # a single value is no curve
            smoothed = f"stroke-opacity: {FAINT}" in figure.svg
            yield f"curve {figure.title}", standing(figure, _legend(figure), "images seen", SMOOTHED if smoothed else "")
    for figure in histograms(files.evaluation):
        yield f"scores {figure.title}", standing(figure, [], "score of an image")


def _legend(figure: Chart) -> list[tuple[str, LineStyle]]:
    return [(words, LineStyle(colour)) for colour, words in figure.key]


def _panels(files: RunFiles) -> NDArray[np.uint8] | None:
    """The evaluated pairs, a row each: what it is, and its source, generated and target picture."""
    rows: list[tuple[str, list[NDArray[np.uint8] | None]]] = []
    named, names = target_name(files), files.channel_names
    panels = panels_of(files)
    sides = [side for side in ("source", "generated", "target") if any(panel.files.get(side) for panel in panels)]
    for panel in panels:
        between = limits_of(panel.files.get("target"), names.get("target", ()))
        limits = {"generated": between, "target": between}
        of_side = {side: names.get("source" if side == "source" else "target", ()) for side in sides}
        pictures = [picture_of(panel.files.get(side), limits.get(side), SIDE, of_side[side]) for side in sides]
        looks = dict.fromkeys(look for side in sides if (look := look_of(panel.files.get(side), of_side[side])))
        heading = "; ".join([f"{capital(role_of(panel))}: {note_of(panel, files.evaluation)}", *looks])
        rows.append((heading, pictures))
        single = {side: dict(channels_of(panel.files.get(side), limits.get(side), SIDE, of_side[side])) for side in sides}
        for channel in dict.fromkeys(channel for found in single.values() for channel in found):
            known = [single[side].get(channel) for side in sides]
            empty = np.full_like(next(one for one in known if one is not None), 255)
            rows.append((channel, [empty if one is None else one for one in known]))
    return composed(rows, [(named if side == "target" else side, "") for side in sides]) if rows and sides else None


def _examples(files: RunFiles) -> NDArray[np.uint8] | None:
    """The fixed examples, a row each: the source, what was generated of it after so many images, the target."""
    moving = [sample for sample in files.samples if sample.moments]
    every = sorted({seen for sample in moving for seen, _ in sample.moments})
    if not every:
        return None
    chosen, rows = spread(every, MOMENTS), []
    of_source, of_target = (files.channel_names.get(side, ()) for side in ("source", "target"))
    for sample in moving:
        between, found = limits_of(sample.target, of_target), dict(sample.moments)
        shown = [picture_of(file, between, SIDE // 2, of_target) for file in (*map(found.get, chosen), sample.target)]
        rows.append(("", [picture_of(sample.source, None, SIDE // 2, of_source), *shown]))
    return composed(rows, [("source", ""), *((f"{seen:,} images", "") for seen in chosen), (target_name(files), "")])
