"""An analysis as one self-contained HTML page, for a reader who asks what of the source is preserved and what is novel."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
import torch.nn.functional as F
from markupsafe import Markup
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from ...data.display import shown
from ...data.files import write_atomically, write_json
from ...data.ownership import check_outputs, is_ours, marked
from ...studies.preservation.measure import IDENTITY, RANDOM_TARGET, Measure
from ..formatting import decimals, plain, to_places
from ..panels import PagePicture, data_uri
from ..placement import Placement
from ..shell import fill
from . import words
from .factor_plot import LOOKS, WORDS, factor_plot, factor_png

if TYPE_CHECKING:
    from ...studies.preservation.analyze import Analysis
    from ...studies.preservation.factors import FactorResult

SIDE = 288
"""Longest side of a picture on the page, in pixels."""
HEADS = {"source": "source", "output": "output", "second": "output of the second training", "nearest": "nearest training target"}
MAPS = ("the part with most contrast depends on", "the part with least contrast depends on")

Array = NDArray[np.uint8]


@dataclass(frozen=True)
class MeasureLine:
    """A measure in words.

    Attributes:
        bounds: the identity's and the random target's value, in this order.
        place: where it lies between them; None without both.
    """

    measure: Measure
    arrow: str
    value: str
    interval: str
    bounds: tuple[str, str]
    place: Placement | None


@dataclass(frozen=True)
class FactorEntry:
    """A factor in words.

    Attributes:
        read: (share, whether it is too low to go by) of the probe on real sources and targets.
        preserved, generated: the value, its interval, and the same for identity and random target.
    """

    result: FactorResult
    colour: str
    owner: str
    read: list[tuple[str, bool]]
    preserved: tuple[str, str, str, str]
    generated: tuple[str, str, str, str]
    hidden: str


def write_analysis(analysis: Analysis, out: Path, overwrite: bool = False) -> Path:
    """Write an analysis as a page, ``analysis.html``, with its numbers in ``analysis.json`` and the figure of factors beside it.

    Args:
        analysis: from :func:`transfigure.studies.preservation.analyze.analyze`.
        out: a folder, created if absent; an older analysis in it is replaced. ``factors.png`` is there only if factors are known.
        overwrite: replace files that are there already and that this tool did not write.

    Returns:
        The page. Each file appears whole or not at all, the page last.

    Raises:
        UserError: the place cannot be written, or another's file is there.
    """
    check_analysis(out, overwrite)
    page, figure = Path(out) / "analysis.html", Path(out) / "factors.png"
    text = render(analysis)
    write_json(Path(out) / "analysis.json", marked(analysis.to_dict()))
    if analysis.factors:
        write_atomically(figure, factor_png(analysis.factors))
    elif is_ours(figure):
        figure.unlink()
    write_atomically(page, text.encode("utf-8", "replace"))
    return page


def check_analysis(out: Path, overwrite: bool = False, run: Path | None = None) -> None:
    """See that an analysis may be written to a folder, which is part of a run or is not.

    Raises:
        UserError: it may not.
    """
    check_outputs((Path(out) / name for name in ("analysis.html", "analysis.json", "factors.png")), overwrite, below=run or Path(out))


def render(analysis: Analysis) -> str:
    """The page as text."""
    about = analysis.about
    lines = {family: _lines([one for one in analysis.measures if one.family == family]) for family in ("preserved", "novel")}
    parts = len(analysis.attribution.examples[0][0]) if analysis.attribution.examples else 0
    return fill(
        Path(__file__).parent,
        title=[words.called(about["model"]), words.called(about["data"]), str(about["direction"]).replace("to", " to ")],
        about=about,
        summary=list(words.summary(analysis)),
        notices=list(words.notices(analysis)),
        diagnosis=words.diagnosis_of(analysis),
        heads=[head for name, head in HEADS.items() if name in analysis.examples[1]] + list(MAPS if parts else ()),
        rows=list(_rows(analysis)),
        parts=parts,
        figure=Markup(factor_plot(analysis.factors, "factors")) if analysis.factors else None,
        factors=[_factor(one, analysis.accuracy.get(one.name, {})) for one in analysis.factors],
        unreadable=words.unreadable(analysis),
        tables=[(family, family.capitalize(), rows) for family, rows in lines.items()],
        share=analysis.attribution.share,
        uniform=analysis.attribution.uniform,
        facts=words.facts(about),
    )


# ---- pictures ---------------------------------------------------------------------------------------------------------------


def _rows(analysis: Analysis) -> Iterator[tuple[str, list[PagePicture]]]:
    """Of each example its name and its pictures, in the order of the heads."""
    names, pictures = analysis.examples
    for at, name in enumerate(names):
        row = [_picture(_eight_bits(pictures[which][at]), f"{name}: {head}") for which, head in HEADS.items() if which in pictures]
        if at < len(analysis.attribution.examples):
            maps, masks = analysis.attribution.examples[at]
            for cell, head in zip(_parts(pictures["output"][at], masks), MAPS):
                row.append(_picture(overlay(pictures["source"][at], maps[cell], masks[cell]), f"{name}: what {head}"))
        yield name, row


def _eight_bits(image: Tensor) -> Array:
    return shown(((image.float() + 1) * 127.5).round().clamp(0, 255).byte().permute(1, 2, 0).cpu().numpy())


def _picture(image: Array, alt: str) -> PagePicture:
    height, width = image.shape[:2]
    if max(height, width) > SIDE:
        scale = SIDE / max(height, width)
        width, height = max(1, round(width * scale)), max(1, round(height * scale))
        flat = Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)
        image = np.atleast_3d(np.asarray(flat.resize((width, height), Image.Resampling.LANCZOS)))
    return PagePicture(data_uri(image), width, height, alt)


def _parts(output: Tensor, masks: Tensor) -> list[int]:
    """The regions where the output has most and least contrast."""
    inside = (masks != 0).double()
    light, pixels = output.double().mean(0), inside.sum((1, 2)).clamp_min(1)
    mean = (inside * light).sum((1, 2)) / pixels
    contrast = (inside * (light - mean[:, None, None]).square()).sum((1, 2)) / pixels
    return [int(contrast.argmax()), int(contrast.argmin())]


def overlay(source: Tensor, depends: Tensor, region: Tensor) -> Array:
    """A map of dependence in orange on the pale source, with the region's outline: uint8 ``[h, w, 3]``, small images enlarged.

    The colour is as strong as the map, full from its 99.5th percentile on.

    Args:
        source: ``[C, H, W]`` in [-1, 1].
        depends: how much on each pixel, at least 0, ``[H, W]``.
        region: a mask, ``[H, W]``.
    """
    times = max(1, SIDE // max(source.shape[1:]))

    def large(image: Tensor) -> Tensor:
        return F.interpolate(image[None, None].float(), scale_factor=times, mode="nearest")[0, 0]

    top = max(float(np.quantile(depends.numpy(), 0.995)), 1e-30)
    strength = 0.9 * large((depends / top).clamp(0, 1))[..., None]
    pale = 120 + 0.5 * large(torch.from_numpy(_eight_bits(source)).float().mean(2))[..., None]
    line = max(1, max(source.shape[1:]) * times // 140)
    outside = F.pad(1 - large((region != 0).float())[None], (line,) * 4, value=1)
    outline = (large((region != 0).float()) > 0) & (F.max_pool2d(outside, 2 * line + 1, stride=1)[0] > 0)
    coloured = pale * (1 - strength) + torch.tensor([200.0, 60.0, 0.0]) * strength
    painted = torch.where(outline[..., None], torch.tensor([20.0, 40.0, 70.0]), coloured)
    seen: Array = painted.round().clamp(0, 255).byte().numpy()
    return seen


# ---- tables -----------------------------------------------------------------------------------------------------------------


def _lines(measures: list[Measure]) -> list[MeasureLine]:
    """In their order; those that have no value for one reason share a line."""
    lost: dict[str, list[Measure]] = {}
    for one in measures:
        if not math.isfinite(one.value):
            lost.setdefault(one.note, []).append(one)
    first = {id(same[0]): "; ".join(one.label for one in same) for same in lost.values()}
    return [_line(replace(one, label=first.get(id(one), one.label))) for one in measures if math.isfinite(one.value) or id(one) in first]


def _line(measure: Measure) -> MeasureLine:
    lost = not math.isfinite(measure.value)
    places = 2 if lost else min(3, decimals(measure.value))
    bounds = [measure.bounds.get(name, math.nan) for name in (IDENTITY, RANDOM_TARGET)]
    identity, random = (to_places(bound, places) if math.isfinite(bound) else "" for bound in bounds)
    return MeasureLine(
        measure,
        {"higher": "↑", "lower": "↓"}.get(measure.better or "", ""),
        "" if lost else to_places(measure.value, places),
        "" if lost else _between(measure.interval, places),
        (identity, random),
        _place(measure),
    )


def _between(interval: tuple[float, float] | None, places: int) -> str:
    known = interval is not None and all(map(math.isfinite, interval))
    return " to ".join(plain(end, places) for end in interval) if interval and known else ""


def _place(measure: Measure) -> Placement | None:
    """On a line from the random target to the identity for what is preserved, and the other way for what is novel."""
    order = (RANDOM_TARGET, IDENTITY) if measure.family == "preserved" else (IDENTITY, RANDOM_TARGET)
    left, right = (measure.bounds.get(name, math.nan) for name in order)
    ends = measure.interval or (measure.value, measure.value)
    if not all(map(math.isfinite, (measure.value, left, right, *ends))) or left == right:
        return None
    return Placement.on(measure.value, ends, [(order[0], left, False), (order[1], right, False)], rising=left < right, margin=5)


def _factor(one: FactorResult, accuracy: dict[str, float]) -> FactorEntry:
    def cells(which: Literal["preserved", "generated"], at: int) -> tuple[str, str, str, str]:
        interval = getattr(one, f"{which}_interval")
        return _share(getattr(one, which)), _between(interval, 2), _share(one.identity[at]), _share(one.random_target[at])

    read = [accuracy.get(side, math.nan) for side in ("source", "target")]
    return FactorEntry(
        one,
        LOOKS[one.role][0],
        WORDS[one.role].removeprefix("in "),
        [(_share(value), value < words.READABLE) for value in read],
        cells("preserved", 0),
        cells("generated", 1),
        "" if one.hidden_information is None else _share(one.hidden_information),
    )


def _share(value: float) -> str:
    return plain(value, 2) if math.isfinite(value) else "–"
