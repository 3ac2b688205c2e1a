"""The comparison of several runs, or of an ablation, as one self-contained HTML page, with the same numbers as CSV and JSON beside it.

It is made from whatever the runs hold: a cell that failed is named with its reason, one that waits is a gap, and the page says so.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ...data.files import write_atomically, write_json
from ...data.ownership import check_outputs, digest, marked
from ...errors import UserError
from ...studies.ablation.formats import to_csv, to_dict
from ...studies.ablation.summary import Summary, summarise
from ...studies.ablation.variants import Comparison
from ..charts import DASHES, HUES, LineStyle
from ..panels import Album, PagePicture, fitting
from ..run_files import RunFiles
from ..scores import PanelFiles
from ..shell import fill
from . import overlays, words
from .overlays import Shown
from .table import table

BUDGET = 3_500_000
"""Bytes of pictures on a page. If the first of LEVELS (longest side in pixels, JPEG quality) weighs more, the next is tried."""
LEVELS = ((384, 90), (256, 86), (160, 80), (96, 75))
NO_PAGES = (".csv", ".json", ".md", ".txt", ".pdf", ".png", ".svg")
"""Ends of a name by which somebody means a file, and not a folder."""
ROWS = 6
NOTES = 12


@dataclass(frozen=True)
class PanelRow:
    """One test image: its pictures in the order of the columns."""

    name: str
    pictures: list[PagePicture]


@dataclass(frozen=True)
class ImageSheet:
    """The test images that all variants have pictures of.

    Attributes:
        columns: heads, with a remark each, such as the seed.
    """

    columns: list[tuple[str, str]]
    rows: list[PanelRow]
    stretched: bool
    weight: int


def compare(comparison: Comparison, out: str | Path, overwrite: bool = False) -> Path:
    """Write the comparison of a comparison: one HTML page, and the table beside it as ``.csv`` and ``.json``.

    Args:
        comparison: see ``studies.ablation.summary``: ``read_ablation`` or ``read_runs``.
        out: the page, as ``comparison.html``; or a folder, which gets a page of that name.
        overwrite: replace files that are there already and that this tool did not write.

    Returns:
        The page. Each file appears whole or not at all.

    Raises:
        UserError: the place cannot be written, or another's file is there.
    """
    page = check_comparison(out, overwrite)
    summary = summarise(comparison)
    text = render(comparison, summary, page)
    numbers, table = page.with_suffix(".json"), page.with_suffix(".csv")
    content = to_csv(summary).encode("utf-8", "backslashreplace")
    write_json(numbers, marked(to_dict(summary), {table.name: digest(content, table)}))
    write_atomically(table, content)
    write_atomically(page, text.encode("utf-8", "replace"))
    return page


def check_comparison(out: str | Path, overwrite: bool | None = False) -> Path:
    """The page that a comparison is going to be, once it is sure that it, and the files beside it, may be written.

    Raises:
        UserError: they may not.
    """
    page = Path(out)
    if page.suffix.lower() not in (".html", ".htm"):
        if not page.is_dir() and (os.path.lexists(page) or page.suffix.lower() in NO_PAGES):
            raise UserError(
                f"{page} is neither a folder nor a page: name a folder, or a file that ends in .html (.csv and .json come beside it)"
            )
        page /= "comparison.html"
    check_outputs((page.with_suffix(suffix) for suffix in (page.suffix, ".json", ".csv")), overwrite)
    return page


def render(comparison: Comparison, summary: Summary, page: Path) -> str:
    """The page as text."""
    notes = list(summary.notes)
    shown = readable(comparison, notes)
    gallery = fitting(lambda side, quality: _gallery(shown, side, quality), LEVELS, BUDGET)
    frequencies = list(overlays.pictures(shown, notes))
    notes += words.not_finite(shown)
    if any(files.log.fact("pairing") == "none" for variant in shown for _, files in variant.runs):
        notes.append("The data is unpaired: what stands under target is some picture of the target domain, and no truth for its row.")
    return fill(
        Path(__file__).parent,
        comparison=comparison,
        introduction=words.introduction(summary),
        table=table(summary),
        intervals=any(value.low is not None for line in summary.lines for value in line.values.values()),
        scores=list(overlays.scores(summary, shown)),
        gallery=gallery,
        curves=list(overlays.curves(shown)),
        frequencies=frequencies,
        health=words.health(shown),
        diagnoses=[(line.name, line.diagnoses[0][1], line.diagnosed) for line in summary.lines if line.diagnoses],
        shown=shown,
        bands=any(len(variant.runs) > 1 for variant in shown),
        crowded=len(shown) > len(HUES),
        notices=notes[:NOTES] + ([f"... and {len(notes) - NOTES} more."] if len(notes) > NOTES else []),
        dashes=["solid", "dashed", "dotted", "dashed"][: len(DASHES)],
        files=[page.with_suffix(suffix).name for suffix in (".csv", ".json")],
    )


def readable(comparison: Comparison, notes: list[str]) -> list[Shown]:
    """The variants with those of their runs that are done and can be read."""
    shown = []
    for at, variant in enumerate(comparison.variants):
        runs = []
        for cell in variant.cells:
            if cell.state == "done":
                try:
                    files = RunFiles.read(cell.run)
                except UserError:
                    notes.append(f"{variant.name}, seed {cell.seed}: its directory is not there, or holds nothing of a run.")
                    continue
                notes += [f"{variant.name}, seed {cell.seed}: {note}" for note in files.notes]
                runs.append((cell.seed, files))
        shown.append(Shown(variant.name, LineStyle.of(at), runs))
    return shown


# ---- pictures --------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class SameImages:
    """The test images that all variants have pictures of, as files.

    Attributes:
        names: of the images, at most ROWS.
        chosen: of each variant the first run that has pictures: (variant, seed, its panels by name).
        ends: by ``source`` and ``target`` and the image's name the file, if any run has it.
    """

    names: list[str]
    chosen: list[tuple[Shown, int, dict[str, PanelFiles]]]
    ends: dict[str, dict[str, Path | None]]

    @property
    def sourced(self) -> bool:
        """Whether there is any source to show."""
        return any(self.ends["source"].values())

    @property
    def columns(self) -> list[tuple[str, str]]:
        """Heads, with a remark each, such as the seed."""
        heads = [(variant.name, f"seed {seed}" if len(variant.runs) > 1 else "") for variant, seed, _ in self.chosen]
        return [*([("source", "")] if self.sourced else []), *heads, ("target", "")]


def same_images(shown: Sequence[Shown]) -> SameImages:
    """Of each variant the first run that has pictures; of the images those that all of these have."""
    chosen: list[tuple[Shown, int, dict[str, PanelFiles]]] = []
    for variant in shown:
        for seed, files in variant.runs:
            if panels := {panel.name: panel for panel in files.evaluation.panels if panel.name} if files.evaluation else {}:
                chosen.append((variant, seed, panels))
                break
    every = [panels for _, _, panels in chosen]
    names = [name for name in every[0] if all(name in panels for panels in every)][:ROWS] if every else []
    ends = {side: {name: _first([panels[name].files.get(side) for panels in every]) for name in names} for side in ("source", "target")}
    return SameImages(names, chosen, ends)


def _gallery(shown: list[Shown], side: int, quality: int) -> ImageSheet:
    album, same = Album(side, quality, names=names_of(shown)), same_images(shown)
    rows = []
    for name in same.names:
        source, target = (same.ends[end][name] for end in ("source", "target"))
        between = album.limits_of(target)
        pictures = [album.picture(source, f"{name}: source", side="source")] if same.sourced else []
        pictures += [
            album.picture(panels[name].files.get("generated"), f"{name}: {variant.name}", between, whole=True)
            for variant, _, panels in same.chosen
        ]
        pictures.append(album.picture(target, f"{name}: target", between, whole=True))
        look = next((picture.look for picture in pictures[::-1] if picture.look), "")
        rows.append(PanelRow(f"{name} ({look})" if look else name, pictures))
        for channel in dict.fromkeys(channel for picture in pictures for channel, _ in picture.channels):
            single = [dict(picture.channels).get(channel, PagePicture("", 0, 0, "", "–")) for picture in pictures]
            rows.append(PanelRow(channel, single))
    return ImageSheet(same.columns, rows, album.stretched, album.weight)


def names_of(shown: Sequence[Shown]) -> dict[str, list[str]]:
    """What the channels of the pictures are called, by the first run that knows."""
    return next((names for variant in shown for _, files in variant.runs if (names := files.channel_names)), {})


def _first(files: list[Path | None]) -> Path | None:
    return next((file for file in files if file is not None), None)
