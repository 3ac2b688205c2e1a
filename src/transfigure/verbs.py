"""What each verb does. A verb's heavy imports happen when it is chosen."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .errors import UserError, did_you_mean


def train(options: argparse.Namespace, overrides: dict[str, Any]) -> int:
    """Train a translator on image pairs."""
    from .recipe import Recipe, data_at, has_place

    for key, value in (("training.seed", options.seed), ("training.devices", options.devices)):
        if value is not None:
            overrides[key] = value
    if options.resume and options.recipe is None:
        file = Path(_required(options.out, "--out RUN")) / "recipe.yaml"
        if not file.is_file():
            raise UserError(f"{options.out} holds no recipe.yaml to resume: give the directory of a run")
        recipe = Recipe.load(file, overrides)
    else:
        if options.recipe is None:
            raise UserError("no recipe is named: transfigure train RECIPE DATA --out RUN, e.g. pix2pix datasets/facades --out runs/facades")
        if options.data is not None:
            overrides = {**data_at(options.data), **overrides}
        recipe = Recipe.load(options.recipe, overrides)
    if options.print_config:
        print(recipe.to_yaml(), end="")
        return 0
    out = _required(options.out, "--out RUN")
    if not has_place(recipe.data):
        raise UserError("no data: name a folder of image pairs, a manifest, or a drawn world such as synthetic after the recipe")
    from .training.loop import train as run_training

    run = run_training(recipe, out, resume=options.resume, quiet=options.quiet)
    from torch import distributed

    if not (distributed.is_available() and distributed.is_initialized()) or distributed.get_rank() == 0:  # the others stay silent
        from .reporting.page import report as write_report

        print(f"trained: {run}\nreport:  {write_report(run)}")
        print(f"next:    transfigure translate {run} INPUT OUTPUT   |   transfigure evaluate {run} DATA")
    return 0


def translate(options: argparse.Namespace, overrides: dict[str, Any]) -> int:
    """Translate a file, or a folder to a folder."""
    from .data.files import list_images
    from .translation.folder import FORMATS

    translator = _translator(options)
    source, output = Path(options.input), Path(options.output)
    if not source.exists():
        raise UserError(f"{source} does not exist: give an image or a folder of images")
    if source.is_dir():
        written = translator.translate_folder(
            source, output, format=options.format, half=options.half, alpha=options.alpha, quiet=options.quiet
        )
        print(f"{len(written)} of {len(list_images(source))} images written to {output}")
        return 0
    if output.is_dir() or options.output.endswith(("/", os.sep)):
        suffix = source.suffix if options.format == "same" else f".{options.format or 'png'}"
        output = output / f"{source.stem}{suffix}"
    elif options.format and options.format != "same" and output.suffix.lower() != f".{options.format}":
        raise UserError(f"--format {options.format} and the output {output} disagree: leave out one (formats: {', '.join(FORMATS)})")
    translator.translate_file(source, output, alpha=options.alpha, half=options.half)
    print(output)
    return 0


def evaluate(options: argparse.Namespace, overrides: dict[str, Any]) -> int:
    """Score a translator, or a folder of images, against targets."""
    from .evaluation.choice import options_from_flags

    of_metrics = {key: overrides.pop(key) for key in list(overrides) if key.startswith("metric.")}
    common = {
        "metrics": options.metrics.split(",") if options.metrics else None,
        "require": options.require.split(",") if options.require else (),
        "options": options_from_flags(of_metrics),
        "segmenter": options.segmenter,
        "palette": options.palette,
        "weights": _named_files(options.weights),
        "quiet": options.quiet,
    }
    if options.generated or options.target:
        from .evaluation.folders import evaluate_folders

        if options.model:
            raise UserError("give either a model and its data, or --generated and --target, not both")
        if overrides or options.split:
            flag = "split" if options.split else next(iter(overrides))
            raise UserError(f"--{flag} does not go with --generated and --target, which are compared as they are: leave it out")
        result = evaluate_folders(
            _required(options.generated, "--generated DIR"),
            _required(options.target, "--target DIR"),
            source=options.source,
            labels=options.labels,
            unpaired=options.unpaired,
            out=options.out,
            value_range=tuple(options.value_range) if options.value_range else None,
            alpha=options.alpha,
            **common,
        )
    else:
        from .evaluation.evaluate import evaluate as run_evaluation

        if not options.model:
            raise UserError("nothing to evaluate: give a model or run and its data, or --generated DIR --target DIR")
        for flag in ("source", "labels", "unpaired"):
            if getattr(options, flag):
                raise UserError(f"--{flag} goes with --generated and --target: a model finds its pairs in DATA")
        if foreign := [key for key in overrides if not key.startswith("data.")]:
            raise UserError(f"--{foreign[0]} cannot be changed after training: only --data.* and --metric.* can")
        translator = _translator(options)
        out = options.out
        if out is None and not (options.metrics or options.require) and (Path(options.model) / "recipe.yaml").is_file():
            out = str(Path(options.model) / "evaluation")
        result = run_evaluation(translator, options.data, split=options.split, out=out, overrides=overrides, **common)
    if options.json:
        print(json.dumps(result.to_dict(), indent=2))
        return 0
    about = result.about
    facts = (f"{len(result.names)} images", *(f"{key}: {about[key]}" for key in ("split", "data", "resize", "checkpoint") if about[key]))
    print(", ".join(facts))
    print(result.table())
    if about["ranked_by"] is not None:
        print(f"worst by {about['ranked_by']}: {', '.join(about['worst'])}    best: {', '.join(about['best'])}")
    return 0


def ablate(options: argparse.Namespace, overrides: dict[str, Any]) -> int:
    """Train every cell of a grid, and compare them."""
    from .recipe import data_at, has_place
    from .studies.ablation.ablation import Means
    from .studies.ablation.ablation import ablate as run_ablation
    from .studies.ablation.grid import Grid

    if options.data is not None:
        overrides = {**data_at(options.data), **overrides}
    if options.base is not None:
        overrides["base"] = options.base
    try:
        seeds = [int(seed) for seed in options.seeds.split(",")] if options.seeds else None
    except ValueError:
        raise UserError(f"--seeds {options.seeds} are no seeds: give whole numbers, as 0,1,2") from None
    grid = Grid.load(options.grid, overrides, seeds)
    if options.metrics:
        grid = grid.with_metrics(options.metrics.split(","))
    cells = grid.cells()
    if options.print_config:
        print(grid.to_yaml(), end="")
        return 0
    data = cells[0].recipe.data
    if not has_place(data):
        raise UserError("no data: name a folder of image pairs, a manifest, or a drawn world such as synthetic after the grid")
    means = Means(
        options.segmenter,
        options.palette,
        _named_files(options.weights),
        tuple(options.plugins or ()),
        jobs=options.jobs,
        isolate=not options.together,
    )
    out = Path(_required(options.out, "--out DIR"))
    run_ablation(grid, out, means, resume=options.resume, quiet=options.quiet)
    return _compare(out, None, options)


def mechanism(options: argparse.Namespace, overrides: dict[str, Any]) -> int:
    """Run an experiment on how translation by the adversarial loss alone works."""
    from .studies.ablation.grid import shipped

    known = shipped("mechanisms")
    if options.grid not in known:
        raise UserError(f"there is no experiment {options.grid!r}{did_you_mean(options.grid, known)}")
    options.grid = str(known[options.grid])
    return ablate(options, overrides)


def compare(options: argparse.Namespace, overrides: dict[str, Any]) -> int:
    """Lay runs, or the cells of an ablation, side by side."""
    if options.json and options.markdown:
        raise UserError("give either --json or --markdown, not both")
    return _compare(Path(options.runs[0]), options.runs, options)


def _compare(folder: Path, runs: list[str] | None, options: argparse.Namespace) -> int:
    from .progress import say
    from .reporting.comparison import compare as write_page
    from .reporting.figures import figures
    from .studies.ablation.study import of_runs, read_ablation
    from .studies.ablation.summary import summarise, to_dict
    from .studies.ablation.words import to_markdown, to_text

    if runs is None or (len(runs) == 1 and (folder / "ablation.json").is_file()):
        study, page = read_ablation(folder), folder / "comparison.html"
    else:
        study, page = of_runs([Path(run) for run in runs]), Path("comparison.html")
    if runs is not None and options.out:
        page = Path(options.out)
    pictures = figures(study, options.pictures) if runs is not None and options.pictures else []
    written = write_page(study, page)
    summary = summarise(study)
    alone = options.json or (runs is not None and options.markdown)  # the table is all there is on stdout, to be piped into a file
    if alone:
        print(json.dumps(to_dict(summary), indent=2) if options.json else to_markdown(summary))
    else:
        print(f"{to_text(summary)}\ncomparison: {written}")
    for picture in pictures:
        (say if alone else print)(f"picture: {picture}")
    return 0


def weights(options: argparse.Namespace, overrides: dict[str, Any]) -> int:
    """List the weights that metrics need, or get some."""
    from .features import download
    from .features.weights import listing, listing_text

    if options.action == "get":
        if not options.names:
            raise UserError("no weights are named: transfigure weights get NAME (see: transfigure weights list)")
        for name in options.names:
            print(download.get(name, quiet=options.quiet))
        return 0
    rows = listing()
    print(json.dumps(rows, indent=2) if options.json else listing_text(rows))
    return 0


def segmenter(options: argparse.Namespace, overrides: dict[str, Any]) -> int:
    """Train a segmenter on real photos and their label maps."""
    from .evaluation.segmenter_training import train_segmenter

    keys = ("palette", "photos", "size", "epochs", "minutes", "width", "device", "seed", "quiet")
    facts = train_segmenter(options.data, options.out, **{key: getattr(options, key) for key in keys if getattr(options, key) is not None})
    if options.json:
        print(json.dumps(facts, indent=2))
        return 0
    print(f"{facts['file']}: {len(facts['palette']['classes'])} classes, {facts['size']} pixels, photos are side {facts['photos']}")
    for score in ("pixel_accuracy", "class_accuracy", "class_iou"):
        print(f"{score.replace('_', ' '):16} {facts[score]:.3f}  on the real photos of {facts['n']} {facts['split']} pairs")
    return 0


def statistics(options: argparse.Namespace, overrides: dict[str, Any]) -> int:
    """Store the feature statistics of a folder."""
    from .evaluation.unpaired import statistics_of

    if Path(options.out).suffix.lower() != ".npz":
        raise UserError(f"--out {options.out} must end in .npz, by which evaluate --target knows it: call it {options.out}.npz")
    found = statistics_of(
        options.folder,
        options.features,
        options.resize,
        weights=_named_files(options.weights),
        value_range=tuple(options.value_range) if options.value_range else None,
        alpha=options.alpha,
        quiet=options.quiet,
    )
    found.save(Path(options.out))
    print(f"{options.out}: {found.count} images, {found.network}")
    return 0


def analyze(options: argparse.Namespace, overrides: dict[str, Any]) -> int:
    """Say what a translator preserves and what it makes new."""
    from .reporting.analysis_page import write_analysis
    from .studies.preservation.analyze import analyze as run_analysis
    from .studies.preservation.analyze import read_probes

    if foreign := [key for key in overrides if not key.startswith("data.")]:
        raise UserError(f"--{foreign[0]} cannot be changed after training: only --data.* can")
    if options.images < 2:
        raise UserError(f"--images {options.images}: an analysis needs at least 2, better 100")
    translator = _translator(options)
    out = options.out or (str(Path(options.model) / "analysis") if (Path(options.model) / "recipe.yaml").is_file() else None)
    second = None if options.second is None else _translator(argparse.Namespace(**{**vars(options), "model": options.second}))
    common = {"split": options.split, "overrides": overrides, "quiet": options.quiet}
    probes = None if options.probes is None else read_probes(options.probes, translator, options.data, **common)
    found = run_analysis(translator, options.data, second=second, probes=probes, limit=options.images, **common)
    page = None if out is None else write_analysis(found, Path(out))
    if options.json:
        print(json.dumps(found.to_dict(), indent=2))
    else:
        print(found.table() + (f"\nanalysis: {page}" if page else ""))
    return 0


def report(options: argparse.Namespace, overrides: dict[str, Any]) -> int:
    """Write the report page of a run."""
    from .reporting.page import report as write_report

    print(write_report(Path(options.run), Path(options.out) if options.out else None))
    return 0


def demo(options: argparse.Namespace, overrides: dict[str, Any]) -> int:
    """Draw facades, train, translate, evaluate, and show."""
    from .demo import run_demo

    print(run_demo(Path(options.out), quiet=options.quiet))
    return 0


def list_(options: argparse.Namespace, overrides: dict[str, Any]) -> int:
    """Everything that can be named in a recipe."""
    from .inventory import inventory, inventory_text, reference

    if options.markdown:
        print(reference(), end="")
        return 0
    if options.kind is not None and options.kind not in inventory():
        raise UserError(f"there is no kind {options.kind!r}{did_you_mean(options.kind, inventory())}")
    shown = {kind: items for kind, items in inventory().items() if options.kind in (None, kind)}
    print(json.dumps(shown, indent=2, default=str) if options.json else inventory_text(shown))
    return 0


def doctor(options: argparse.Namespace, overrides: dict[str, Any]) -> int:
    """What is installed, what the machine has, and what is missing for which feature."""
    from .doctor import examine, text

    found = examine()
    print(json.dumps(found, indent=2) if options.json else text(found))
    return 0


def _translator(options: argparse.Namespace) -> Any:
    """A run's, a model directory's or a reference checkpoint's translator, run as the flags say."""
    from .translation.open import open_translator

    return open_translator(
        options.model, checkpoint=options.checkpoint, device=options.device, norm=options.norm, noise=options.noise, seed=options.seed
    )


def _named_files(pairs: list[str] | None) -> dict[str, str]:
    """``["inception=FILE"]`` as ``{"inception": "FILE"}``."""
    named = {}
    for pair in pairs or []:
        name, equals, file = pair.partition("=")
        if not (name and equals and file):
            raise UserError(f"--weights {pair!r} is not NAME=FILE, as inception=pt_inception-2015-12-05-6726825d.pth")
        named[name] = file
    return named


def _required(value: str | None, flag: str) -> str:
    if not value:
        raise UserError(f"{flag} is missing: say where")
    return value


VERBS: dict[str, Callable[[argparse.Namespace, dict[str, Any]], int]] = {
    "demo": demo,
    "train": train,
    "translate": translate,
    "evaluate": evaluate,
    "report": report,
    "ablate": ablate,
    "analyze": analyze,
    "mechanism": mechanism,
    "compare": compare,
    "weights": weights,
    "segmenter": segmenter,
    "statistics": statistics,
    "list": list_,
    "doctor": doctor,
}
