"""The figures of a comparison as files of their own, for a paper or a slide: every chart as an SVG, the test images as one PNG.

They are the page's charts, but lean on no page: colours are written out; title, legend and what the strokes mean stand beside them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...studies.ablation.summary import summarise
from ...studies.ablation.variants import Comparison
from .. import panels
from ..figure_files import TARGETS, headed, standing, write_figures
from ..panels import picture_of
from . import overlays
from .overlays import Shown
from .page import names_of, readable, same_images

SIDE = 512
"""Pixels of a test image's longest side."""
INTERVALS = "ring: one run; stroke: their mean; bar: the 95 % interval of that mean, cut where it runs off the axis"
BANDS = "line: mean over seeds, of running means where many steps were logged; band: from the lowest to the highest seed"


def figures(comparison: Comparison, folder: str | Path, overwrite: bool = False) -> list[Path]:
    """Write every figure of a study's comparison: charts as SVGs called by their titles, test images by variant as ``panels.png``.

    Args:
        comparison: see ``studies.ablation.summary``: ``read_ablation`` or ``read_runs``.
        folder: is made if absent; what else lies there stays.
        overwrite: replace files that are there already and that this tool did not write.

    Returns:
        The files, in the order of the page. Each appears whole or not at all; one comparison gives the same names every time.

    Raises:
        UserError: the place cannot be written, or another's file is there.
    """
    shown = readable(comparison, [])
    return write_figures(Path(folder), _charts(comparison, shown), {"panels": panel_sheet(shown)}, overwrite)


def _charts(comparison: Comparison, shown: list[Shown]) -> Iterator[tuple[str, str]]:
    """(name, SVG) of every chart."""
    several = any(len(variant.runs) > 1 for variant in shown)
    variants = [(variant.name, variant.style) for variant in shown if variant.runs]
    for figure in overlays.scores(summarise(comparison), shown):
        cut = "…" in figure.svg  # otherwise the rows have their names
        yield f"score {figure.title}", standing(figure, variants if cut else [], note=INTERVALS if several else "")
    for figure in overlays.curves(shown):
        yield f"curve {figure.title}", standing(figure, variants, "images seen", BANDS if several else "")
    for figure in overlays.pictures(shown, []):
        channel = next((name for name, title in overlays.LAB.items() if title == figure.title), "")
        legend = [*variants, *([TARGETS] if "thick grey" in figure.note else [])]
        kind, below = ("colour ", f"{channel} of CIELAB") if channel else ("", "cycles per pixel")
        yield f"{kind}{figure.title}", standing(figure, legend, below, "means over seeds" if several else "")


def panel_sheet(shown: Sequence[Shown]) -> NDArray[np.uint8] | None:
    """The page's test images: a row each, and source, variants and target as columns; None if there is none that all variants have.

    Small pictures are enlarged with hard edges, large ones shrunk to SIDE; one that cannot be read is a grey field.
    """
    same, names = same_images(shown), names_of(shown)
    of_source, of_target = (names.get(side, ()) for side in ("source", "target"))
    rows = []
    for name in same.names:
        source, target = (same.ends[end][name] for end in ("source", "target"))
        between = panels.limits_of(target, of_target)
        row = [picture_of(found[name].files.get("generated"), between, SIDE, of_target) for *_, found in same.chosen]
        first = [picture_of(source, None, SIDE, of_source)] if same.sourced else []
        row = [*first, *row, picture_of(target, between, SIDE, of_target)]
        height, width = next((picture.shape[:2] for picture in row if picture is not None), (64, 64))
        rows.append([np.full((height, width, 3), 225, np.uint8) if picture is None else picture for picture in row])
    return headed(panels.sheet(rows), same.columns) if rows else None
