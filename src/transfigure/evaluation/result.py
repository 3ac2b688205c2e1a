"""The result of an evaluation: its table for a terminal, the score of every image, and pictures of the best, the median and the worst."""

from __future__ import annotations

import csv
import dataclasses
import io
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..data import images
from ..data.files import check_writable_folder, write_atomically
from ..data.ownership import check_outputs, digest, is_ours
from ..data.pixels import Array, resize
from ..errors import Missing, printable
from ..progress import say
from .schema import FILE, FLOORS, PANELS, PER_IMAGE, SIDES, EvaluationRecord, Panel, Row
from .sizes import words_of

PANEL_SIDE = 1024
"""Pixels a side of the pictures that are kept for reports: of larger images smaller ones."""
MOST_LINES = 60
"""Of the scores of single channels, on a terminal."""


@dataclass
class Evaluation(EvaluationRecord):
    """The result of an evaluation: what its file holds, and the score of every image.

    Attributes:
        scores: per metric that scores single images, one value per image, in the order of ``names``.
        names: the images.
        channel_scores: the same as ``scores`` for each channel by itself, as ``psnr[DAPI]``.
        sizes: height and width of what was scored of each image.
    """

    scores: dict[str, list[float]] = field(default_factory=dict)
    names: list[str] = field(default_factory=list)
    channel_scores: dict[str, list[float]] = field(default_factory=dict)
    sizes: dict[str, tuple[int, int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        by = "ssim" if "ssim" in self.scores else next(iter(self.scores), None)
        worst, best = self.extremes(by) if by is not None else ([], [])
        self.about = dataclasses.replace(self.about, ranked_by=by, worst=worst, best=best, n=len(self.names))

    def table(self) -> str:
        """The table for a terminal, and below it what was left out and what to beware of."""
        shown = [row for row in self.rows if not row.skipped]
        written = _aligned(*_cells([((), row) for row in shown], ()))
        if not shown:
            written = ["none of the metrics could be computed (with --require METRIC that is an error, exit code 3):"]
        if any(row.metric == "psnr" and "target itself" in row.bounds for row in shown):
            written.append("target itself: the targets compared with themselves; the PSNR of identical images counts as 100 dB")
        for mark, key in (("* ", "caution"), ("skipped: ", "skipped")):
            reasons: dict[str, list[str]] = {}
            for row in self.rows:
                reasons.setdefault(getattr(row, key), []).append(row.label)
            written += [f"{mark}{', '.join(dict.fromkeys(labels))}: {reason}" for reason, labels in reasons.items() if reason]
        of_channels = [((channel.name,), row) for channel in self.channels for row in channel.rows if not row.skipped]
        if of_channels:
            few = of_channels[:MOST_LINES]
            written += ["", *_aligned(*_cells(few, ("channel",)))]
            if len(few) < len(of_channels):
                written.append(f"and {len(of_channels) - len(few)} more lines, which {FILE} has (--out DIR writes it; --json prints it)")
        return "\n".join(map(printable, written))

    def extremes(self, by: str, count: int = 3) -> tuple[list[str], list[str]]:
        """The names of the worst and of the best images by one metric, the very worst and the very best first."""
        order = self.order(by)
        return [self.names[index] for index in order[:count]], [self.names[index] for index in order[::-1][:count]]

    def order(self, by: str) -> list[int]:
        """The positions of the images from the worst to the best; one whose score is no number is worst of all."""
        sign = next(1 if row.better == "higher" else -1 for row in self.rows if by in (row.metric, row.of))
        values = [sign * value for value in self.scores[by]]
        return sorted(range(len(values)), key=lambda index: (not math.isnan(values[index]), values[index]))

    def csv(self) -> str:
        """One line per image."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        columns = {**self.scores, **self.channel_scores}
        writer.writerow(["name", *columns])
        writer.writerows([name, *(f"{values[index]:.6g}" for values in columns.values())] for index, name in enumerate(self.names))
        return text.getvalue()

    def save(self, folder: Path) -> None:
        """Write ``evaluation.json`` and ``per_image.csv``."""
        table = self.csv().encode("utf-8", "backslashreplace")
        self.files = {PER_IMAGE: digest(table, folder / PER_IMAGE)}
        self.write(folder)
        write_atomically(folder / PER_IMAGE, table)


def _cells(rows: Sequence[tuple[tuple[str, ...], Row]], before: tuple[str, ...]) -> tuple[list[str], list[list[str]]]:
    """The head of a table and the cells of its lines; ``before`` is the head of what stands before the metric in each."""
    bounds = list(dict.fromkeys(name for _, row in rows for name in row.bounds if not before or name in FLOORS))
    head = [*before, "metric", "value", "95 % interval", *bounds, "better"]
    lines = [
        [
            *first,
            f"{row.label}{f' ({row.unit})' if row.unit else ''}{' *' if row.caution else ''}",
            f"{row.value:.4f}",
            f"[{row.low:.4f}, {row.high:.4f}]" if row.low is not None and row.high is not None else "-",
            *(f"{row.bounds[name]:.4f}" if name in row.bounds else "-" for name in bounds),
            {"one": "nearest to 1"}.get(row.better, row.better),
        ]
        for first, row in rows
    ]
    return head, lines


def _aligned(head: list[str], lines: list[list[str]]) -> list[str]:
    widths = [max(len(line[column]) for line in [head, *lines]) for column in range(len(head))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip() for line in [head, *lines]]


def prepare_place(out: Path, overwrite: bool = False, run: Path | None = None) -> None:
    """Find out before an evaluation whether it may be written to a folder, and create that.

    Args:
        out: the folder.
        overwrite: whether files there that this tool did not write may be replaced.
        run: the run that the folder is part of, if it is.

    Raises:
        UserError: they may not, or there is a link; or the place cannot be written.
    """
    panels = [f"{PANELS}/{number:02d}_{side}.{suffix}" for number in range(100) for side in SIDES for suffix in ("png", "tif")]
    check_outputs((out / name for name in (FILE, PER_IMAGE, *panels)), overwrite, below=out if run is None else run)
    check_writable_folder(out)


def save_panels(
    result: Evaluation, out: Path, examples: Iterable[str], pictures_of: Callable[[str], Mapping[str, Array]], quiet: bool = False
) -> None:
    """Write the pictures of the best, the median, the worst and some example images, and name them in the result.

    Args:
        result: its ``panels`` are filled.
        out: the evaluation's folder; the pictures go into ``panels`` there, and those of an earlier evaluation are removed.
        examples: names of images to show besides the ranked ones.
        pictures_of: for an image's name its ``source`` (where there is one), ``generated`` and ``target``, ``[H, W, C]`` as in files; or
            smaller ones, as :func:`reduced` makes them of what was taken into ``result.sizes``.
        quiet: no note of pictures that no installed package can write.
    """
    by = result.about.ranked_by
    roles: dict[str, str] = {}
    if by is not None:
        order = result.order(by)
        for role, index in (("best", order[-1]), ("median", order[(len(order) - 1) // 2]), ("worst", order[0])):
            roles.setdefault(result.names[index], role)
    for name in examples:
        roles.setdefault(name, "example")
    position = {name: index for index, name in enumerate(result.names)}
    written: set[Path] = set()
    left_out: dict[str, str] = {}
    for number, (name, role) in enumerate(roles.items()):
        files: dict[str, str] = {}
        pictures = pictures_of(name)
        for side in SIDES:
            if side in pictures:
                array = pictures[side]
                names = result.about.channel_names.get("source" if side == "source" else "target", ())
                try:
                    file = images.write_kept(out / PANELS / f"{number:02d}_{side}", array, names)
                except Missing as missing:  # a picture less is no cause to lose the numbers
                    left_out.setdefault(side, str(missing))
                    continue
                files[side] = f"{PANELS}/{file.name}"
                written.add(file)
        value = result.scores[by][position[name]] if by is not None else None
        size = result.sizes.get(name)
        of = words_of([size]) if size is not None and max(size) > PANEL_SIDE else ""
        result.panels.append(Panel(name, role, value, **files, reduced_from=of))
    for side, reason in ({} if quiet else left_out).items():
        say(f"note: the report will show no {side} pictures: {reason}")
    for stale in (out / PANELS).glob("[0-9][0-9]_*"):  # an earlier evaluation's, and only now that the new ones are there
        if stale not in written and is_ours(stale):
            stale.unlink()


def reduced(array: Array, labels: bool = False) -> Array:
    """A picture no larger than is kept for reports: itself, or a smaller one of the same proportions.

    Args:
        array: ``[H, W, C]``.
        labels: whether its values are names of classes, of which there are none in between.
    """
    height, width = array.shape[:2]
    if max(height, width) <= PANEL_SIDE:
        return array
    scale = PANEL_SIDE / max(height, width)
    return resize(array, max(1, round(height * scale)), max(1, round(width * scale)), "nearest" if labels else "bicubic")


def spread(names: list[str], count: int = 6) -> list[str]:
    """A few names, evenly spread over all of them, without repetition."""
    return list(dict.fromkeys(names[round(i * (len(names) - 1) / (count - 1))] for i in range(count))) if names else []
