"""The report in words: what was trained, on what, how good it is, and what a reader must know before trusting the page."""

from __future__ import annotations

import math
import shlex
from collections.abc import Iterator
from pathlib import PurePath
from typing import Any

from ...evaluation.schema import MEAN_TARGET, SOURCE_COPIED, finite
from ...progress import duration
from ...recipe import stabilisers
from ...wording import called, weighted
from ..formatting import capital, count, decimals, plain, to_places
from ..run_files import Points, RunFiles
from ..scores import CEILINGS, EvaluationView, Score

_BOUNDS = {
    "source copied": "copying the source gives",
    "mean training target": "the mean training target gives",
    "target itself": "the targets themselves give",
    "real photos": "real photos give",
}
_SUMS_UP = ("ssim", "l1")
"""The metrics that a summary prefers, the first first; without them it takes the first that has a value."""


def score(row: Score) -> str:
    """``17.2 [16.9, 17.5] dB``."""
    places = decimals(row.value)
    between = f" [{plain(row.low, places)}, {plain(row.high, places)}]" if row.low is not None and row.high is not None else ""
    return f"{plain(row.value, places)}{between}{' ' + row.unit if row.unit else ''}"


def amount(evaluation: EvaluationView, n: float) -> str:
    """What was evaluated: ``128 test pairs``; of sets without pairs ``200 generated and 500 target images``."""
    one = round(n) == 1
    if evaluation.of_sets:
        targets = evaluation.about.target_images
        return f"{n:,.0f} generated and {targets:,} target images" if targets else f"{n:,.0f} image{'' if one else 's'}"
    split = "" if evaluation.of_files else evaluation.about.split
    return f"{n:,.0f} {split + ' ' if split else ''}{'pair' if evaluation.about.paired else 'image'}{'' if one else 's'}"


def part(recipe: dict[str, Any], key: str) -> dict[str, Any]:
    """A section of the recipe; empty if it is absent or something else."""
    section = recipe.get(key)
    return section if isinstance(section, dict) else {}


def plugins(environment: dict[str, Any]) -> str:
    """The flags that a command needs for a run that was made with plugins; each begins with a space."""
    named = environment.get("plugins")
    return "".join(f" --plugins {shlex.quote(str(file))}" for file in named) if isinstance(named, list) else ""


def title(files: RunFiles) -> list[str]:
    """Recipe name, data and size, as far as they are known; at least the name of the directory."""
    if files.alone:
        return _title_alone(files)
    data = part(files.recipe, "data")
    name = files.recipe.get("name")
    where = data.get("path") or data.get("kind")
    evaluated = data.get("evaluation_size")
    size = (None if evaluated == "whole" else evaluated) or data.get("crop_size") or data.get("load_size")
    pieces = [
        str(name) if name and name != "recipe" else files.folder.resolve().name,
        PurePath(str(where)).stem if where else "",
        f"{size} × {size} pixels" if size else "",
    ]
    return [piece for piece in pieces if piece]


def _title_alone(files: RunFiles) -> list[str]:
    folder = files.folder.resolve()
    name = (folder.parent if folder.name == "evaluation" else folder).name
    data = files.evaluation.about.data if files.evaluation else ""
    return [name or "evaluation", *filter(None, [PurePath(data).stem])]


def summary(files: RunFiles) -> list[str]:
    """One to three sentences that say what was trained, on what, and how good it is, from what the run directory holds."""
    return [sentence for sentence in (_training(files), _evaluated(files.evaluation)) if sentence]


def _training(files: RunFiles) -> str:
    recipe, log = files.recipe, files.log
    generator = part(recipe, "generator")
    name = called(str(generator["name"])) if generator.get("name") else "generator"
    sizes = log.fact("parameters")
    parameters = finite(sizes.get("generator")) if isinstance(sizes, dict) else finite(sizes)
    details = [f"{key} {generator[key]}" for key in ("depth", "blocks", "width") if finite(generator.get(key)) is not None]
    details += [f"{count(parameters)} parameters"] if parameters else []
    article = "an" if name.lower().startswith(tuple("aeio")) else "a"
    text = f"{capital(article) if log.images else f'The recipe: {article}'} {name}" + (f" ({', '.join(details)})" if details else "")
    against, steadied = _objective(recipe), stabilisers(recipe)
    text += f" trained {against}" if against else " trained"
    text += f", stabilised by {', '.join(steadied)}," if steadied else ""
    pairs, pairing = finite(log.fact("pairs")), log.fact("pairing")
    drawn = {"none": "unpaired images, {} in an epoch", "shuffled": "{} pairs without their pairing"}.get(str(pairing), "{} pairs")
    text += f" on {drawn.format(f'{pairs:,.0f}')}" if pairs else ""
    epochs = log.images / log.images_per_epoch if log.images and log.images_per_epoch else None
    text += f" for {epochs:.3g} epoch{'s' if epochs != 1 else ''}" if epochs else ""
    seconds = max((value for line in (*log.steps, *log.marks) if (value := finite(line.get("seconds"))) is not None), default=None)
    device = str(files.environment.get("device") or "")
    spent = [f"{log.images:,} images" if log.images else "", duration(seconds) + (f" on {device}" if device else "") if seconds else ""]
    text += f" ({', '.join(filter(None, spent))})" if any(spent) else ""
    start = part(recipe, "training").get("start_from")
    text += f", beginning with the weights of {'/'.join(PurePath(start).parts[-2:])}" if isinstance(start, str) else ""
    return text + "." if generator.get("name") or log.images else ""


def _objective(recipe: dict[str, Any]) -> str:
    objective = part(recipe, "objective")
    adversarial = objective.get("adversarial")
    held = objective.get("terms")
    terms = [term for term in held if isinstance(term, dict) and term.get("loss")] if isinstance(held, list) else []
    written = (weighted(str(term["loss"]), finite(term.get("weight", 1)) or 0) for term in terms)
    sums = " + ".join(each.replace(" × ", "\N{NO-BREAK SPACE}×\N{NO-BREAK SPACE}") for each in written)
    if isinstance(adversarial, dict):
        discriminator = part(recipe, "discriminator")
        field = discriminator.get("receptive_field")
        kind = (
            f"{field}-pixel patch "
            if discriminator.get("name") == "patch" and field
            else "whole-image "
            if discriminator.get("name") == "image"
            else ""
        )
        sees = adversarial.get("conditional")
        conditional = "conditional " if sees is True else "unconditional " if sees is False else ""
        article = "an" if (conditional or kind or "d")[0] in "u8" else "a"
        return f"against {article} {conditional}{kind}discriminator" + (f" with {sums}" if sums else " and nothing else")
    return f"with {sums} and no discriminator" if sums else ""


def _evaluated(evaluation: EvaluationView | None) -> str:
    best = _summing_up(evaluation.scores) if evaluation else None
    if evaluation is None or best is None:
        return ""
    n = best.n or evaluation.about.n
    on = f" on {amount(evaluation, n)}" if n else ""
    places = decimals(best.value)
    bounds = sorted(best.telling().items(), key=lambda bound: bound[0] in CEILINGS)
    compared = [f"{_BOUNDS.get(name, name + ' gives')} {to_places(bound, places)}" for name, bound in bounds]
    beware = f" Read with care: {best.caution.rstrip('.')}." if best.caution else ""
    return f"{best.label} {score(best)}{on}" + (f"; {', '.join(compared)}" if compared else "") + "." + beware


def _summing_up(scores: list[Score]) -> Score | None:
    valued = [row for row in scores if row.value is not None and not row.skipped]
    return next((row for name in _SUMS_UP for row in valued if row.metric == name), next(iter(valued), None))


def notices(files: RunFiles) -> list[str]:
    """What a reader must know before trusting the page, and the diagnosis has not said."""
    notices = list(files.notes)
    lost = [name for name, points in _losses(files) if any(math.isnan(value) for _, value in points)]
    if lost:
        notices.append(f"Not every logged value is finite: {', '.join(lost)}. The curves have gaps there.")
    if files.log.marks and files.log.marks[-1]["kind"] != "end":
        notices.append("The log has no end: training was still going on, or had been stopped, when this page was written.")
    said = "" if files.alone else str(files.diagnosis)
    warnings = [line for line in files.log.health if line.get("level") != "info"]
    if warnings and str(warnings[-1].get("message") or warnings[-1].get("code")).split(" Common remedies", maxsplit=1)[0] not in said:
        last = warnings[-1]
        raised = "Training raised a warning" if len(warnings) == 1 else f"Training raised {len(warnings):,} warnings; the last"
        notices.append(f"{raised} at {last['images']:,} images. {last.get('message') or last.get('code')}")
    better: dict[str, list[str]] = {}
    for row in files.evaluation.scores if files.evaluation else ():
        for bound in row.beaten_by():
            if not files.alone and bound in (MEAN_TARGET, SOURCE_COPIED):
                continue  # the diagnosis says it
            if row.label not in better.setdefault(bound, []):
                better[bound].append(row.label)
    whose = "the generated images" if files.evaluation and files.evaluation.of_files else "the translator"
    notices += [f"{capital(bound)} does better than {whose} by {', '.join(labels)}." for bound, labels in better.items()]
    return notices


def no_steps(files: RunFiles) -> str:
    """Why there is no logged step."""
    if not files.log.entries:
        return "log.jsonl is not there or holds no steps."
    every = finite(part(files.recipe, "training").get("log_every"))
    return f"no step has been logged yet{f', since one is logged every {every:,.0f} images (training.log_every)' if every else ''}."


def _losses(files: RunFiles) -> Iterator[tuple[str, Points]]:
    for name, key in (("G", "g"), ("G adversarial", "adversarial"), ("D", "d")):
        yield name, files.log.series(key)
    for term in files.log.names("terms"):
        yield called(term), files.log.series(term, "terms")
