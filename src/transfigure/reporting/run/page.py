"""The report of a run, or of an evaluation alone: one self-contained HTML page, made from whatever its directory holds.

Nothing on the page comes from elsewhere (pictures are data URIs, figures inline SVG), and its content security policy forbids the rest.
"""

from __future__ import annotations

import base64
import hashlib
import math
import shlex
import statistics
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup

from ...data.files import write_atomically
from ...data.ownership import check_outputs
from ...evaluation.schema import OF_FILES
from ...progress import say
from ...wording import called
from .. import charts
from ..charts import Chart
from ..formatting import decimals, plain, weight
from ..panels import Album, PagePicture, fitting
from ..run_files import Points, RunFiles, Sample, undecided
from ..scores import EvaluationView, PanelFiles, Score, mapping
from ..shell import fill
from . import words
from .animation import animation, spread
from .table import NO_MODEL, channel_table, channels_said, evaluated, table

BUDGET = 4_500_000
"""Bytes of pictures on a page. If the first of LEVELS (longest side in pixels, JPEG quality) weighs more, the next is tried."""
LEVELS = ((512, 92), (384, 88), (256, 85), (160, 80))
MOMENTS, STRIPS, PANELS = 6, 4, 12
ENOUGH = 8  # per-image scores that make a histogram

COMMANDS = (
    ("Go on training from the last checkpoint", "transfigure train --out {run} --resume{plugins}"),
    ("Translate your own images", "transfigure translate {run} INPUT OUTPUT{plugins}"),
    ("Measure it again", "transfigure evaluate {run}{plugins}"),
    ("Write this page again", "transfigure report {run}"),
    ("Write its figures as files", "transfigure report {run} --pictures figures"),
)
CONTENTS = {
    "recipe.yaml": "the complete recipe: training with it makes this run again",
    "environment.json": "the machine and the versions",
    "log.jsonl": "every logged step, one JSON object a line",
    "splits.json": "which pairs were drawn for training, validation and test",
    "samples": "the fixed examples over time",
    "checkpoints": "all that an exact resume needs",
    "model": "the translator as training left it",
    "model_best": "the translator that validated best",
    "left_out.json": "the pairs that could not be used and were left out",
    "evaluation": "the numbers above, per image, and the pictures",
    "analysis": "what of the sources is preserved, and what is new",
}
CONTENTS_ALONE = {
    "evaluation.json": "the numbers above, and more of how they were made",
    "per_image.csv": "the score of every image",
    "panels": "the pictures above",
}
ROLES = {"best": "best", "median": "median", "worst": "worst"}


@dataclass(frozen=True)
class PictureRow:
    """Source (where there is one), generated and target of one pair, each with a caption, and a heading."""

    heading: str
    note: str
    pictures: list[tuple[str, PagePicture]]


@dataclass(frozen=True)
class Strip:
    """A fixed example over time: its pictures with a caption each."""

    heading: str
    pictures: list[tuple[str, PagePicture]]


@dataclass(frozen=True)
class Moving:
    """The fixed examples as a moving picture, and what stands in its place where nothing shall move."""

    uri: str
    still: str
    width: int
    height: int
    alt: str
    left_out: str

    @property
    def weight(self) -> int:
        """Bytes of the page."""
        return len(self.uri) + len(self.still)


@dataclass(frozen=True)
class Gallery:
    """Every picture of the page."""

    hero: PictureRow | None
    rows: list[PictureRow]
    strips: list[Strip]
    stretched: bool
    weight: int


def report(run_dir: Path, out: Path | None = None, overwrite: bool = False, quiet: bool = False) -> Path:
    """Write the report of a run, or of an evaluation alone, as one self-contained HTML file.

    Args:
        run_dir: the directory a training wrote; any part of it may be missing, and the page says which. Or a directory with an
            ``evaluation.json`` at its top, as ``transfigure evaluate --out`` writes it: then nothing is missing that training would write.
        out: where to write; by default ``report.html`` in that directory.
        overwrite: replace a file that is there already and that this tool did not write.
        quiet: do not say that the log is damaged, which stands on the page.

    Returns:
        The file written. It appears whole or not at all.

    Raises:
        UserError: the directory is missing, or is neither a run nor an evaluation; or the page may not be written.
    """
    files = RunFiles.read(Path(run_dir))
    path = check_report(files.folder, out, overwrite)
    if files.log.damaged and not quiet:
        say(f"note: {files.folder / 'log.jsonl'}: {files.log.unreadable}")
    page = render(files)
    write_atomically(path, page.encode("utf-8", "replace"))
    return path


def check_report(run_dir: Path, out: Path | None = None, overwrite: bool | None = False) -> Path:
    """Where the report of a run goes, once it is sure that it may be written.

    Raises:
        UserError: it may not.
    """
    path = Path(out) if out is not None else Path(run_dir) / "report.html"
    check_outputs([path], overwrite)
    return path


def render(files: RunFiles) -> str:
    """The page as text."""
    moving = None if files.alone else _moving(files)
    left = BUDGET - (moving.weight if moving else 0)
    gallery = fitting(lambda side, quality: _gallery(files, side, quality), LEVELS, left)
    moving = moving if gallery.weight <= left else None  # pictures that stand still come first
    run = shlex.quote(str(files.folder))
    return fill(
        Path(__file__).parent,
        files=files,
        title=words.title(files),
        summary=words.summary(files),
        gallery=gallery,
        moving=moving,
        table=table(files.evaluation),
        by_channel=channel_table(files.evaluation),
        channels_said=channels_said(files.evaluation),
        evaluated=evaluated(files.evaluation),
        scored_with_care=files.evaluation.about.notes if files.evaluation else [],
        histograms=list(histograms(files.evaluation)),
        figures=list(curves(files)),
        diagnosis=None if files.alone or not (files.log.entries or files.evaluation) else files.diagnosis,
        no_steps=words.no_steps(files),
        notices=words.notices(files),
        health=[({"message": "", "code": "", **line}, str(line.get("level") or "warning")) for line in files.log.health],
        environment=_facts(files.environment),
        facts=_facts(files.evaluation.about.to_dict() if files.evaluation else {}),
        contents=_contents(files.folder, CONTENTS_ALONE if files.alone else CONTENTS),
        commands=[(what, command.format(run=run, plugins=words.plugins(files.environment))) for what, command in COMMANDS],
    )


# Pictures


def _gallery(files: RunFiles, side: int, quality: int) -> Gallery:
    target = target_name(files)
    album, moments = (Album(longest, quality, target, files.channel_names) for longest in (side, min(side, 320)))
    strips = [_strip(moments, sample) for sample in files.samples[:STRIPS]]
    rows = [_row(album, panel, files.evaluation) for panel in panels_of(files)]
    hero = rows.pop(0) if rows else _latest(album, files.samples)
    return Gallery(hero, rows, strips, album.stretched or moments.stretched, album.weight + moments.weight)


def _moving(files: RunFiles) -> Moving | None:
    found = animation(files.samples, target_name(files), files.channel_names)
    if found is None:
        return None
    encoded = base64.b64encode(found.encoded).decode("ascii")
    height, width = found.still.shape[:2]
    return Moving(f"data:image/webp;base64,{encoded}", found.still_uri, width, height, found.alt, found.left_out)


def target_name(files: RunFiles) -> str:
    """What stands below a target: without pairs it is no truth for its row."""
    return "some target" if files.log.fact("pairing") == "none" else "target"


def panels_of(files: RunFiles) -> list[PanelFiles]:
    """The evaluated pairs that are shown, the median first."""
    order = {"median": 0, "best": 1, "worst": 2}
    return sorted(files.evaluation.panels[:PANELS] if files.evaluation else [], key=lambda panel: order.get(panel.role, 3))


def role_of(panel: PanelFiles) -> str:
    """Why a pair is shown: ``best``, ``median``, ``worst``, or as an ``example``."""
    return ROLES.get(panel.role, "example")


def note_of(panel: PanelFiles, evaluation: EvaluationView | None) -> str:
    """A pair's score, its name, and its size if it is shown smaller."""
    ranked = evaluation.ranked_by if evaluation else ""
    value = f"{ranked} {plain(panel.value)}".strip() if panel.value is not None else ""
    return " · ".join(filter(None, (value, panel.name, f"reduced from {panel.reduced_from}" if panel.reduced_from else "")))


def _row(album: Album, panel: PanelFiles, evaluation: EvaluationView | None) -> PictureRow:
    heading = role_of(panel)
    return PictureRow(heading, note_of(panel, evaluation), album.row(panel.files, panel.name or heading))


def _latest(album: Album, samples: list[Sample]) -> PictureRow | None:
    sample = next((sample for sample in samples if sample.moments), None) or next(iter(samples), None)
    if sample is None:
        return None
    seen, generated = sample.moments[-1] if sample.moments else (0, None)
    note = f"after {seen:,} images" if generated else "before the first pictures were generated"
    files = {"source": sample.source, "generated": generated, "target": sample.target}
    return PictureRow("fixed example", note, album.row(files, f"fixed example {sample.index}"))


def _strip(album: Album, sample: Sample) -> Strip:
    name = f"fixed example {sample.index}"
    between = album.limits_of(sample.target)
    pictures = [("source", album.picture(sample.source, f"{name}: source", side="source"))]
    for seen, path in spread(sample.moments, MOMENTS):
        pictures.append((f"{seen:,}", album.picture(path, f"{name} after {seen:,} images", between)))
    return Strip(name, [*pictures, (album.target, album.picture(sample.target, f"{name}: target", between))])


# Charts


def histograms(evaluation: EvaluationView | None) -> Iterator[Chart]:
    """The scores of single images, metric by metric as the table has them."""
    if evaluation is None:
        return
    labels = {score.metric: score for score in evaluation.scores}
    order = [*(name for name in labels if name in evaluation.per_image), *(name for name in evaluation.per_image if name not in labels)]
    for at, metric in enumerate(order):
        values = evaluation.per_image[metric]
        if len(values) >= ENOUGH:
            score = labels.get(metric)
            ends = {"higher": ("worst", "best"), "lower": ("best", "worst")}.get(score.better) if score else None
            ranks = ends if metric == evaluation.ranking else None
            places = decimals(max(map(abs, values)))
            low, middle, high = (plain(value, places) for value in (min(values), statistics.median(values), max(values)))
            note = f"{len(values):,} images: {low} to {high}, median {middle} (dashed)" + (
                "; the pictures are chosen by it" if ranks else ""
            )
            yield Chart(_titled(metric, score), Markup(charts.histogram(values, f"hist{at}", ranks)), note)


def _titled(metric: str, score: Score | None) -> str:
    """A metric as the table calls it, with its unit."""
    return f"{score.label}{f' ({score.unit})' if score.unit else ''}" if score else called(metric)


def _scores(files: RunFiles) -> list[Score]:
    return files.evaluation.scores if files.evaluation else []


def curves(files: RunFiles) -> Iterator[Chart]:
    """Every curve there is something for, in the order they are read; a single value stands as text in place of a curve."""
    log = files.log
    labels = {score.metric: score for score in _scores(files)}

    def figure(title: str, *lines: tuple[Points, str, str], note: str = "", **options: Any) -> Iterator[Chart]:
        present = [(points, colour, key) for points, colour, key in lines if points]
        if present:
            name = "plot-" + hashlib.sha256(title.encode()).hexdigest()[:8]
            keys = tuple((colour, key) for _, colour, key in present if key)
            if all(len(points) == 1 for points, _, _ in present):  # a lone dot says less than its number
                values = " · ".join(f"{plain(None if math.isnan(value) else value)}" for points, _, _ in present for _, value in points)
                seen = f"the only value so far, after {present[0][0][0][0]:,.0f} images"
                yield Chart(title, Markup('<p class="one">{}</p>').format(values), seen, keys)
                return
            drawn = [charts.Curve(points, colour) for points, colour, _ in present]
            svg = charts.curve(drawn, name, images_per_epoch=log.images_per_epoch, **options)
            yield Chart(title, Markup(svg), note, keys)

    yield from figure("Generator, weighted total", (log.series("g"), "blue", ""))
    yield from figure("Generator, adversarial", (log.series("adversarial"), "blue", ""))
    for term in log.names("terms"):
        yield from figure(f"{called(term)}, unweighted", (log.series(term, "terms"), "green", ""))
    yield from figure("Discriminator loss", (log.series("d"), "purple", ""))
    real, fake = (log.series("d_real"), "blue", "real"), (log.series("d_fake"), "orange", "generated")
    half = undecided(files.recipe)
    yield from figure("D(real) and D(generated)", real, fake, note="" if half is None else f"dashed: {half}", level=half)
    for metric in log.names("metrics"):
        best = log.best
        note = f"best: {best['images']:,} images (ring)" if best and metric in mapping(best.get("metrics")) else ""
        title = f"Validation {_titled(metric, labels.get(metric))}"
        yield from figure(
            title, (log.validation(metric), "purple", ""), note=note, smooth=False, best=best["images"] if note and best else None
        )
    yield from figure("Learning rate", (log.series("learning_rate"), "green", ""), smooth=False, floor=True)
    yield from figure("Images per second", (log.series("images_per_second"), "blue", ""), floor=True)


# Facts


def _value(value: object) -> str:
    return ", ".join(f"{key}: {item}" for key, item in value.items()) if isinstance(value, dict) else str(value)


def _facts(given: dict[str, Any]) -> list[tuple[str, str]]:
    """What can be said in a line each."""
    return [(key, _value(value)) for key, value in {**given, **_reworded(given)}.items() if value != "" and not isinstance(value, list)]


def _reworded(given: dict[str, Any]) -> dict[str, Any]:
    """What the file says in a word that tells a reader nothing."""
    return {"checkpoint": NO_MODEL} if given.get("checkpoint") == OF_FILES else {}


def _contents(folder: Path, meanings: dict[str, str]) -> list[tuple[str, str, str]]:
    """(name, size, what it is) of the files that are there."""
    found = []
    for name, meaning in meanings.items():
        path = folder / name
        if path.exists():
            inside = [path] if path.is_file() else [item for item in path.rglob("*") if item.is_file()]
            found.append((name + ("/" if path.is_dir() else ""), weight(sum(item.stat().st_size for item in inside)), meaning))
    return found
