"""A closer look at the trained cells of an experiment: is G the identity, and what does it preserve or make new?

What is found joins the cell's evaluation as further rows, so tables, intervals over seeds and pages treat it as they treat a metric; what
was measured on the way, at the models that a run kept, is a curve.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...data.files import write_atomically, write_json
from ...data.open import find_records, resolve_data
from ...errors import UserError
from ...evaluation.held_out import HeldOut, held_out
from ...evaluation.schema import EvaluationRecord, Row
from ...evaluation.scorer import as_written
from ...integrity import Damaged, check_archive, write_archive
from ...recipe import Recipe
from ...stored import read_json
from ...translation.translator import Translator
from ..preservation.analyze import Analysis, AnalysisOptions, analyze, domains_of, shared_agreement, world_probes
from ..preservation.measure import IDENTITY
from ..preservation.preserved import retrieval_at_1, seed_agreement
from ..preservation.probes import Probes, load_probes
from ..preservation.representations import Space
from .variants import Comparison

EXAMINED, OUTPUTS, PROBES = "examined.json", "examined.npz", "probes.safetensors"
TRAINING, HELD_OUT = 500, 200
"""Images of the training set and of the rest that reconstruction is measured on, and that two trainings are compared on."""
SHOWN = (
    *("edge_agreement", "low_pass_correlation", "retrieval_at_1", "taken_for_target", "nearest_training"),
    *("random_kid_to_target", "random_frechet_from_source"),
)
"""The measures of an analysis that become columns; the rest stands in ``analysis/analysis.json``."""
AGREEMENT = "seed_agreement"


def prepare(recipe: Recipe, folder: Path, quiet: bool = False) -> Path | None:
    """Train the probes that all cells of an experiment share, if the data's factors are known; their file."""
    file = folder / PROBES
    if not file.is_file():
        data = resolve_data(recipe.data)
        records = find_records(data).splits
        probes = world_probes(records["train"], quiet=quiet)
        if probes is None:
            return None
        probes.save(file)
    return file


def examine(run: Path, what: str, probes: Path | None = None) -> None:
    """Look at a trained run: ``translation`` or ``reconstruction``; its evaluation must be there.

    Raises:
        UserError: the run's models or data cannot be used.
    """
    if what == "translation":
        _translation(run, load_probes(probes) if probes is not None else None)
    else:
        _reconstruction(run)


def agreements(comparison: Comparison) -> None:
    """How far the trainings of each variation agree with those of the other seeds: as a row of each, and along the way."""
    for variant in comparison.variants:
        done = [cell.run for cell in variant.cells if cell.state == "done" and (cell.run / OUTPUTS).is_file()]
        outputs = [_load(run) for run in done]
        common = sorted(set.intersection(*(set(each) for each in outputs))) if len(outputs) > 1 else []
        between: dict[tuple[int, int, int], float] = {}
        for moment in common:
            for one, other in itertools.combinations(range(len(done)), 2):
                between[moment, one, other] = float(
                    torch.nan_to_num(seed_agreement(outputs[one][moment], outputs[other][moment]), nan=math.nan).nanmean()
                )
        for at, run in enumerate(done):
            values = {
                moment: _mean([between[moment, *sorted((at, other))] for other in range(len(done)) if other != at])  # type: ignore[index]
                for moment in common
            }
            _add_moments(run, {moment: {AGREEMENT: value} for moment, value in values.items()})
            if common:
                label, last = "Seeds agree", values[common[-1]]
                add_rows(run, [_row(AGREEMENT, label, "higher", last, bounds={IDENTITY: 1.0})])


def add_rows(run: Path, rows: Sequence[Row]) -> None:
    """Add rows to those of a run's evaluation, in place of any of the same names."""
    folder = run / "evaluation"
    record = EvaluationRecord.read(folder)
    record.replace_rows(rows)
    record.write(folder)


# ---- translation ------------------------------------------------------------------------------------------------------------


def _translation(run: Path, probes: Probes | None) -> None:
    analysis = analyze(run, options=AnalysisOptions(probes=probes), quiet=True)
    write_json(run / "analysis" / "analysis.json", analysis.to_dict())
    translator = Translator.load(run)
    found = held_out(translator, None, None, {})
    add_rows(run, [*_measured(analysis), *_factored(analysis), *_on_training(translator, found, probes, analysis), *_best(run)])
    sources = domains_of(found.pairs, HELD_OUT, "", True)[0]
    _save(run, {_images(translator): _outputs(translator, sources)})


def _measured(analysis: Analysis) -> Iterator[Row]:
    for measure in analysis.measures:
        if measure.name in SHOWN:
            reason = measure.note if math.isnan(measure.value) else ""
            value = None if reason else measure.value
            better = measure.better or ""
            label = measure.label[:1].upper() + measure.label[1:]
            yield _row(measure.name, label, better, value, measure.interval, measure.bounds, skipped=reason)
    attribution = analysis.attribution
    yield _row("locality", "Depends on its own place", "higher", attribution.share, bounds={"uniform dependence": attribution.uniform})


def _factored(analysis: Analysis) -> Iterator[Row]:
    """The means over the factors of one role."""
    asked = (
        ("shared", "preserved", "Shared factors preserved", "higher"),
        ("source only", "preserved", "Source's own factors left", "lower"),
        ("target only", "generated", "Target's own factors generated", "higher"),
    )
    for role, key, label, better in asked:
        of = [result for result in analysis.factors if result.role == role]
        if of:
            at = ("preserved", "generated").index(key)
            bounds = {IDENTITY: fmean(one.identity[at] for one in of), "random target": fmean(one.random_target[at] for one in of)}
            yield _row(f"{role.replace(' ', '_')}_{key}", label, better, fmean(getattr(one, key) for one in of), bounds=bounds)


def _on_training(translator: Translator, found: HeldOut, probes: Probes | None, analysis: Analysis) -> Iterator[Row]:
    """What is kept of the sources that it was trained on, where the held-out ones say what is kept of new ones."""
    assert found.training is not None
    sources = domains_of(found.training, HELD_OUT, "", True)[0]
    outputs = _outputs(translator, sources)
    space: Space = "pixels" if analysis.about["same_domain"] else "structure"
    own = float(retrieval_at_1(outputs, sources, range(len(outputs)), space).mean())
    yield _row("retrieval_at_1_training", "Own source nearest, training", "higher", own, bounds={"permutation": 1 / len(outputs)})
    if analysis.factors and probes is not None:
        preserved = shared_agreement(probes, found.training, outputs, HELD_OUT)
        yield _row("shared_preserved_training", "Shared factors preserved, training", "higher", preserved)


def _best(run: Path) -> Iterator[Row]:
    """The distance to the target domain of the checkpoint that validated best, where one was chosen by it."""
    if (run / "model_best").is_dir():
        from ...evaluation.evaluate import evaluate

        for row in evaluate(run, checkpoint="best", metrics=["random_frechet"], quiet=True).rows:
            yield Row(
                **{**asdict(row), "metric": f"{row.metric}_best", "label": f"{row.label}, best checkpoint", "of": f"{row.metric}_best"}
            )


# ---- reconstruction ---------------------------------------------------------------------------------------------------------


def _reconstruction(run: Path) -> None:
    """Error, retrieval and outputs at every model that was kept, on training and on held-out images."""
    last = Translator.load(run)
    found = held_out(last, None, None, {})
    assert found.training is not None
    sides = {
        "training": domains_of(found.training, TRAINING, "", True)[0],
        "held-out": domains_of(found.pairs, HELD_OUT, "", True)[0],
    }
    moments: dict[int, dict[str, float]] = {}
    outputs: dict[int, Tensor] = {}
    rows: list[Row] = []
    kept = sorted(folder for folder in (run / "kept").glob("[0-9]*") if folder.is_dir())
    for translator in (*(Translator.load(folder) for folder in kept), last):
        at, values = _images(translator), {}
        for side, images in sides.items():
            output = _outputs(translator, images)
            values[f"error, {side}"] = float((output - images).abs().mean() / 2)
            values[f"own source nearest, {side}"] = float(retrieval_at_1(output, images, range(len(output)), "pixels").mean())
            if side == "held-out":
                outputs[at] = output
        moments[at] = values
    final = moments[max(moments)]
    for name, value in final.items():
        kind, side = name.split(", ")
        error = kind == "error"
        n = len(sides[side])
        bounds = {IDENTITY: 0.0 if error else 1.0} | ({} if error else {"permutation": 1 / n})
        metric = name.replace(", ", "_").replace(" ", "_").replace("-", "_")
        rows.append(_row(metric, name.capitalize(), "lower" if error else "higher", value, bounds=bounds, n=n))
    add_rows(run, rows)
    _add_moments(run, moments, anew=True)
    _save(run, outputs)


# ---- files ------------------------------------------------------------------------------------------------------------------


def _outputs(translator: Translator, sources: Tensor) -> Tensor:
    parts = [translator.translate_tensor(part) for part in sources.split(16)]  # type: ignore[no-untyped-call]
    return torch.stack([as_written(image, translator.config.target) for part in parts for image in part])


def _images(translator: Translator) -> int:
    return int(translator.config.checkpoint.get("images") or 0)


def _save(run: Path, outputs: dict[int, Tensor]) -> None:
    arrays = {str(at): ((images + 1) * 127.5).round().clamp(0, 255).byte().numpy() for at, images in outputs.items()}
    write_atomically(run / OUTPUTS, lambda stream: write_archive(stream, lambda archive: np.savez_compressed(archive, **arrays)))  # type: ignore[arg-type]


def _load(run: Path) -> dict[int, Tensor]:
    """What :func:`_save` wrote.

    Raises:
        UserError: it is damaged.
    """
    file = run / OUTPUTS
    try:
        check_archive(file)
        with np.load(file, allow_pickle=False) as saved:
            arrays = {int(at): saved[at] for at in saved.files}
        if any(array.dtype != np.uint8 or array.ndim != 4 for array in arrays.values()):
            raise Damaged("it does not hold 8-bit images")
    except Exception as error:  # a broken archive surfaces as almost any exception type
        what = str(error) if isinstance(error, Damaged) else "it cannot be unpacked"
        raise UserError(f"{file} is damaged ({what}): delete it, and run  transfigure ablate --resume  again") from error
    return {at: torch.from_numpy(array).float() / 127.5 - 1 for at, array in arrays.items()}


def _add_moments(run: Path, moments: dict[int, dict[str, float]], anew: bool = False) -> None:
    """Add values to those of ``examined.json``: ``[{"images": ..., "values": {...}}, ...]``."""
    file = run / EXAMINED
    stored: dict[int, dict[str, Any]] = {}
    if file.is_file() and not anew:
        try:
            stored = {int(entry["images"]): dict(entry["values"]) for entry in read_json(file)["moments"]}
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise UserError(f"{file} is damaged ({error}): delete it, and run  transfigure ablate --resume  again") from error
    for at, values in moments.items():
        stored.setdefault(at, {}).update({name: value for name, value in values.items() if math.isfinite(value)})
    write_json(file, {"moments": [{"images": at, "values": stored[at]} for at in sorted(stored)]})


def _mean(values: Sequence[float]) -> float:
    finite = [value for value in values if math.isfinite(value)]
    return fmean(finite) if finite else math.nan


def _row(
    name: str,
    label: str,
    better: str,
    value: float | None,
    interval: tuple[float, float] | None = None,
    bounds: dict[str, float] | None = None,
    n: int = 0,
    skipped: str = "",
) -> Row:
    nothing = value is None or not math.isfinite(value)
    reason = skipped or ("there is nothing to compare" if nothing else "")
    known = {bound: at for bound, at in (bounds or {}).items() if math.isfinite(at)}
    low, high = interval or (None, None)
    return Row(name, label, "", better, None if nothing else value, low, high, n, known, skipped=reason, of=name)
