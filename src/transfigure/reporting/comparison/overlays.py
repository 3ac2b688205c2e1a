"""The figures of a comparison: which quantity of which runs each shows, and what its caption says."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean

from markupsafe import Markup

from ...evaluation.schema import finite
from ...studies.ablation.summary import Summary
from ...wording import called
from ..charts import Band, Chart, Dots, LineStyle, bands, dots, overlay
from ..run_files import Points, RunFiles, undecided
from ..scores import Entry, mapping, read_json

LAB = {"L": "Lightness L", "a": "Green to red, a", "b": "Blue to yellow, b"}


@dataclass(frozen=True)
class Shown:
    """A variant on the page: its name, its style, and its runs that could be read, as (seed, files)."""

    name: str
    style: LineStyle
    runs: list[tuple[int, RunFiles]]


def scores(summary: Summary, shown: Sequence[Shown]) -> Iterator[Chart]:
    """Metric by metric the seeds' values, where there is more than one run to show."""
    styles = {variant.name: variant.style for variant in shown}
    for column in summary.columns:
        rows = []
        for line in summary.lines:
            value = line.values.get(column.metric)
            if value is not None and value.mean is not None:
                interval = None if value.low is None or value.high is None else (value.low, value.high)
                rows.append(Dots(_short(line.name), styles[line.name], [each for _, each in value.seeds], value.mean, interval))
        if len(rows) > 1:
            svg = dots(rows, _name("dots", column.metric), level=1.0 if column.better == "one" else None)
            good = {"higher": "better to the right", "lower": "better to the left", "one": "best at 1 (dashed)"}.get(column.better, "")
            yield Chart(f"{column.label}{f' ({column.unit})' if column.unit else ''}", Markup(svg), good)


def _single(shown: Sequence[Shown], drawn: Sequence[Band]) -> list[Dots]:
    """Curves of one point each as rows of values: alone on a plane they would tell nothing."""
    rows = []
    for variant, band in zip(shown, drawn):
        if values := [value for points in band.seeds for _, value in points if math.isfinite(value)]:
            rows.append(Dots(_short(variant.name), variant.style, values, fmean(values), None))
    return rows


def _short(name: str) -> str:
    """A variant's name without the sections of its keys: ``objective.terms.l1.weight=10`` -> l1.weight=10."""
    pieces = (
        piece.removeprefix("objective.terms.") if "terms." in piece else re.sub(r"^(?:\w+\.)+(?=\w+=)", "", piece)
        for piece in name.split(", ")
    )
    return ", ".join(pieces)


def curves(shown: Sequence[Shown]) -> Iterator[Chart]:
    """Every curve that any run has something for, in the order they are read."""
    logs = [files.log for variant in shown for _, files in variant.runs]
    epochs = {log.images_per_epoch for log in logs} - {None}
    epoch = epochs.pop() if len(epochs) == 1 else None  # runs of different sets have no common epochs

    def figure(
        title: str,
        series: Callable[[RunFiles], Points],
        note: str = "",
        smooth: bool = True,
        level: float | None = None,
        wide: bool = False,
    ) -> Iterator[Chart]:
        drawn = [Band(variant.style, [points for _, files in variant.runs if (points := series(files))]) for variant in shown]
        alone = all(len(points) == 1 for band in drawn for points in band.seeds)
        if alone and (rows := _single(shown, drawn)):
            yield Chart(title, Markup(dots(rows, _name("dot", title), level=level)), "; ".join(filter(None, (note, "one value a run"))))
        elif drawn := [band for band in drawn if band.seeds]:
            svg = bands(drawn, _name("band", title), smooth=smooth, level=level, wide=wide, images_per_epoch=epoch)
            yield Chart(title, Markup(svg), note)

    def names(inside: str) -> list[str]:
        return list(dict.fromkeys(name for log in logs for name in log.names(inside)))

    own = "each objective's own sum: compare courses, not heights"
    yield from figure("Generator, weighted total", _series("g"), own, wide=True)
    yield from figure("Generator, adversarial", _series("adversarial"))
    for term in names("terms"):
        yield from figure(f"{called(term)}, unweighted", _series(term, "terms"))
    yield from figure("Discriminator loss", _series("d"))
    halves = {undecided(files.recipe) for variant in shown for _, files in variant.runs if files.log.series("d_real")}
    half = halves.pop() if len(halves) == 1 else None
    note = "" if half is None else f"dashed: {half}, where D cannot tell"
    yield from figure("D(real)", _series("d_real"), note, level=half)
    yield from figure("D(generated)", _series("d_fake"), note, level=half)
    for term in names("gradients"):
        norm = "norm of the weighted term's gradient at the generated image"
        yield from figure(f"Gradient norm of {called(term)}", _series(term, "gradients"), norm, wide=True)
    detail, variation = "dashed: as much fine detail as the targets", "dashed: as much as the targets; 0: one output for everything"
    yield from figure("Detail of the fixed examples", _preview("detail"), detail, False, 1.0)
    yield from figure("Variation across inputs", _preview("variation"), variation, False, 1.0)
    for name in dict.fromkeys(name for variant in shown for _, files in variant.runs for name in files.examined):
        yield from figure(f"{called(name)}, along the way", _examined(name), "at the models that were kept", smooth=False)
    for metric in names("metrics"):
        title = f"Validation {_titled(metric, shown)}"
        yield from figure(title, _validation(metric), smooth=False)


def _series(key: str, inside: str | None = None) -> Callable[[RunFiles], Points]:
    return lambda files: files.log.series(key, inside)


def _preview(key: str) -> Callable[[RunFiles], Points]:
    return lambda files: files.log.preview(key)


def _examined(name: str) -> Callable[[RunFiles], Points]:
    return lambda files: files.examined.get(name, [])


def _validation(metric: str) -> Callable[[RunFiles], Points]:
    return lambda files: files.log.validation(metric)


def _titled(metric: str, shown: Sequence[Shown]) -> str:
    """A metric as the table calls it, with its unit."""
    rows = [row for variant in shown for _, files in variant.runs if files.evaluation for row in files.evaluation.scores]
    row = next((row for row in rows if row.metric == metric), None)
    return f"{row.label}{f' ({row.unit})' if row.unit else ''}" if row else called(metric)


# ---- frequencies and colours -----------------------------------------------------------------------------------------------


def pictures(shown: Sequence[Shown], notes: list[str]) -> Iterator[Chart]:
    """Spectra and colours of the outputs beside the targets', from ``evaluation/pictures.json``; what is damaged becomes a note."""
    found = {
        variant.name: [stored for seed, files in variant.runs if (stored := _pictures_file(files, f"{variant.name}, seed {seed}", notes))]
        for variant in shown
    }
    styles = {variant.name: variant.style for variant in shown}
    yield from _spectra({name: [mapping(stored.get("spectrum")) for stored in each] for name, each in found.items()}, styles)
    for channel, title in LAB.items():
        each = {name: [mapping(mapping(stored.get("lab")).get(channel)) for stored in own] for name, own in found.items()}
        lines = {name: line for name, own in each.items() if (line := _mean(own, "generated", "edges"))}
        if lines:
            target = next((line for own in each.values() if (line := _mean(own, "target", "edges"))), [])
            drawn = [(styles[name], line) for name, line in lines.items()]
            svg = overlay(drawn, _name("lab", channel), target=target, logarithmic=True)
            yield Chart(title, Markup(svg), "share of pixels, on a logarithmic scale; thick grey: the targets")


def _spectra(found: dict[str, list[Entry]], styles: dict[str, LineStyle]) -> Iterator[Chart]:
    lines = {name: line for name, own in found.items() if (line := _mean(own, "generated", "frequency"))}
    if not lines:
        return
    target = next((line for own in found.values() if (line := _mean(own, "target", "frequency"))), [])
    drawn = [(styles[name], line) for name, line in lines.items()]
    note = "power by cycles per pixel; thick grey: the targets"
    yield Chart("Spectrum", Markup(overlay(drawn, "spectrum", target=target, logarithmic=True)), note)
    ratios = []
    for name, own in found.items():
        beside = dict(_mean(own, "target", "frequency"))
        ratio = [(x, 10 * math.log10(y / beside[x])) for x, y in lines.get(name, []) if y > 0 and beside.get(x, 0) > 0]
        ratios += [(styles[name], ratio)] if ratio else []
    if ratios:
        note = "decibels over the targets' power (dashed: as theirs); at the right end less is blur, more is noise or a pattern"
        yield Chart("Spectrum, relative to the targets", Markup(overlay(ratios, "spectrum-ratio", level=0.0)), note)


def _pictures_file(files: RunFiles, name: str, notes: list[str]) -> Entry:
    own: list[str] = []
    stored = read_json(files.folder / "evaluation" / "pictures.json", own) or {}
    whole = not stored or (bool(_mean([mapping(stored.get("spectrum"))], "generated", "frequency")))
    if own or not whole:
        notes.append(f"{name}: evaluation/pictures.json could not be read; its spectrum and colours are left out.")
    return stored


def _mean(runs: Sequence[Entry], side: str, along: str) -> Points:
    """(place, mean over runs) of one side; the places are the first run's, and runs that have others are left out.

    A spectrum begins after frequency 0, which says nothing, and its mean is that of the logarithms; a share's is the plain one.
    """
    kept: list[tuple[list[float], list[float]]] = []
    for each in runs:
        x, y = _numbers(each.get(along)), _numbers(each.get(side))
        if along == "edges":
            x = [(low + high) / 2 for low, high in pairwise(x)]
        if x and len(x) == len(y) and (not kept or x == kept[0][0]):
            kept.append((x, y))
    points = []
    for at, place in enumerate(kept[0][0] if kept else []):
        values = [y[at] for _, y in kept]
        if along == "edges":
            points.append((place, fmean(values)))
        elif place > 0:
            points.append((place, math.exp(fmean(map(math.log, values))) if min(values) > 0 else 0.0))
    return points


def _numbers(values: object) -> list[float]:
    """The list as finite numbers; empty if it is anything else."""
    found = [finite(value) for value in values] if isinstance(values, list) else []
    return [value for value in found if value is not None] if None not in found else []


def _name(kind: str, title: str) -> str:
    return f"{kind}-{hashlib.sha256(title.encode('utf-8', 'replace')).hexdigest()[:8]}"
