"""Score a translator, or any two folders of images."""

from __future__ import annotations

import argparse
import contextlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import UserError
from ...progress import print_result, say
from ...wording import counted
from ..options import (
    add_alpha,
    add_executor,
    add_ignore_orientation,
    add_json,
    add_model,
    add_overwrite,
    add_pages,
    add_plugins,
    add_quiet,
    add_split,
    add_tiles,
    add_weights,
    after,
    cluster_options,
    open_model,
    orientation,
    required,
    split_names,
    tiling,
    unquoted,
    value_range,
    weight_files,
)

if TYPE_CHECKING:
    from ...data.file_facts import NoData
    from ...evaluation.result import Evaluation

GROUP = "measure"
RECIPE_FLAGS = ("data.", "metric.")
_IN_DATA = "a model finds its pairs in DATA"
OF_FOLDERS = {
    "source": _IN_DATA,
    "labels": _IN_DATA,
    "unpaired": _IN_DATA,
    "alpha": "for a model use --data.alpha",
    "channel_names": "for a model use --data.target_channel_names",
    "pages": "for a model use --data.pages",
    "ignore-orientation": "for a model use --data.orientation ignore",
    "nodata": "for a model use --data.nodata",
}
"""Flags of two folders, and what a model has in their place."""
OF_TILES = ("tile", "overlap", "max_memory", "tile_statistics")
"""Flags of a model that translates."""
EPILOG = """\
A metric's own options: --metric.NAME.OPTION VALUE, as --metric.fid.resize clean (see: transfigure list metric).

examples:

  transfigure evaluate runs/facades
  transfigure evaluate runs/stain --data.evaluation_size whole --max-memory 3GB
  transfigure evaluate --generated generated/ --target photos/ --metrics ssim,l1 --json
  transfigure evaluate --generated generated/ --target photos/ --executor ray --workers 2
  transfigure evaluate --generated stained/ --target 'stains/{name}_{DAPI,MAP2,NFH}.png'
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What is scored, against what, by which metrics."""
    add_model(parser, required=False)
    parser.add_argument("data", nargs="?", metavar="DATA", help="pairs as for train (default: the data it was trained on)")
    parser.add_argument("--generated", metavar="DIR", help="a folder of generated images (or a pattern, a manifest), instead of MODEL")
    parser.add_argument(
        "--target", metavar="DIR", help="the folder (or pattern) of what they should be, or a file of stored statistics (.npz)"
    )
    parser.add_argument("--source", metavar="DIR", help="the folder of their sources, for the bound of copying them")
    parser.add_argument(
        "--labels",
        metavar="DIR",
        help="the folder of label maps for the FCN-score (default: the sources, or the targets without --segmenter)",
    )
    parser.add_argument(
        "--mask", metavar="DIR", help="a folder of masks by the names of images or pairs: only what is not 0 there is scored"
    )
    parser.add_argument(
        "--nodata",
        metavar="VALUE",
        help="the value that means no data in the folders' files: a number, nan, none (default: what files declare)",
    )
    parser.add_argument("--unpaired", action="store_true", help="the folders are two sets: compare distributions only")
    add_alpha(parser, "in the folders")
    add_pages(parser, " (in the folders)")
    add_ignore_orientation(parser)
    parser.add_argument(
        "--channel_names",
        metavar="A,B",
        help="what the channels in the folders are called, in their order (default: what the files say); red,green,blue are a photo's",
    )
    add_split(parser)
    parser.add_argument("--metrics", metavar="A,B", help="default: all; those that lack weights or a segmenter say so")
    parser.add_argument("--require", metavar="A,B", help="metrics that must not be skipped (else exit code 3)")
    parser.add_argument(
        "--segmenter", metavar="WHAT", help="for the FCN-score: a file (see: transfigure segmenter), .onnx or module:function"
    )
    parser.add_argument("--palette", metavar="NAME", help="of the label maps: facades, cityscapes, synthetic, learn, or a JSON file")
    add_weights(parser)
    add_tiles(parser)
    parser.add_argument(
        "--out", metavar="DIR", help="write evaluation.json, per_image.csv and panels here (default for a run: RUN/evaluation)"
    )
    add_overwrite(parser)
    add_json(parser)
    add_plugins(parser)
    add_quiet(parser)
    add_executor(parser)


def run(options: argparse.Namespace, overrides: dict[str, Any]) -> int:
    """Evaluate, and print the table."""
    from ..imports import uncollected

    with uncollected():
        from ...data.value_range import share
        from ...evaluation.collection import options_from_flags
        from ...evaluation.schema import FILE, OF_FILES

    of_metrics = {key: overrides.pop(key) for key in list(overrides) if key.startswith("metric.")}
    common = {
        "metrics": split_names(options.metrics) or None,
        "require": split_names(options.require),
        "options": options_from_flags(of_metrics),
        "segmenter": options.segmenter,
        "palette": options.palette,
        "weights": weight_files(options),
        "quiet": options.quiet,
        "overwrite": options.overwrite,
    }
    evaluate = _folders if options.generated or options.target else _model
    with contextlib.ExitStack() as held:
        if (where := cluster_options(options)) is not None:
            from ...scale.cluster import connected
            from ...scale.evaluation import ClusterExecutor

            common["executor"] = ClusterExecutor(held.enter_context(connected(where, options.quiet)))
        result = evaluate(options, overrides, common)
    run = options.model if evaluate is _model else None
    next_ones = ["transfigure translate {run} INPUT OUTPUT{plugins}"]
    if run and (Path(run) / "evaluation" / FILE).is_file():  # without one there is nothing to compare
        next_ones.append("transfigure compare {run} ANOTHER_RUN")
    following = after(run, *next_ones, quiet=options.quiet) if run else []
    if options.json:
        print_result(json.dumps(result.to_dict(), indent=2), lines=True)
        return 0
    about = result.about
    facts = (
        counted(len(result.names), "image"),
        *(f"{key}: {fact}" for key in ("split", "data", "checkpoint") if (fact := getattr(about, key)) and fact != OF_FILES),
        *filter(None, [about.pixels_scored]),
    )
    if about.counted is not None:
        facts = (*facts, f"{share(about.counted)} of their pixels count")
    print_result(", ".join(facts))
    print_result(result.table(), lines=True)
    if about.ranked_by is not None:
        print_result(f"worst by {about.ranked_by}: {', '.join(about.worst)}    best: {', '.join(about.best)}")
    for line in following:
        print_result(line)
    return 0


def _folders(options: argparse.Namespace, overrides: dict[str, Any], common: dict[str, Any]) -> Evaluation:
    from ...evaluation.folders import evaluate_folders

    if options.model:
        raise UserError(f"give either a model and its data, or --generated and --target, not both{unquoted(options.model)}")
    if overrides or options.split:
        flag = "split" if options.split else next(iter(overrides))
        raise UserError(f"--{flag} does not go with --generated and --target, which are compared as they are: leave it out")
    if given := next((flag for flag in OF_TILES if getattr(options, flag) not in (None, "auto")), None):
        raise UserError(f"--{given.replace('_', '-')} is for a model that translates, and here are its files: leave it out")
    return evaluate_folders(
        required(options.generated, "--generated DIR"),
        required(options.target, "--target DIR"),
        source=options.source,
        labels=options.labels,
        unpaired=options.unpaired,
        out=options.out,
        value_range=value_range(options),
        alpha=options.alpha,
        orientation=orientation(options),
        pages=options.pages or "ask",
        mask=options.mask,
        no_data=_no_data(options.nodata),
        channel_names=split_names(options.channel_names) or None,
        **common,
    )


def _no_data(word: str | None) -> NoData:
    """What is written after ``--nodata``."""
    if word is None or word in ("tag", "nan", "none"):
        return word or "tag"  # type: ignore[return-value]
    try:
        return float(word)
    except ValueError:
        raise UserError(f"--nodata {word} is no number: give one, or tag, nan or none") from None


def _model(options: argparse.Namespace, overrides: dict[str, Any], common: dict[str, Any]) -> Evaluation:
    from ...evaluation.evaluate import evaluate

    if not options.model:
        raise UserError("nothing to evaluate: give a model or run and its data, or --generated DIR --target DIR")
    for flag, instead in OF_FOLDERS.items():
        if getattr(options, flag.replace("-", "_")) not in (None, False, "refuse"):
            raise UserError(f"--{flag} goes with --generated and --target: {instead}")
    if options.value_range is not None and not options.model.lower().endswith(".onnx"):
        raise UserError("--value_range is for two folders or another's .onnx file: for a model use --data.target_range '[LOW, HIGH]'")
    if options.mask is not None:
        from ...data.open import absolute

        overrides = {**overrides, "data.mask": absolute(options.mask)}
    translator = open_model(options).set_tiles(**tiling(options))
    out = options.out
    whole = Path(options.model) / "evaluation" if out is None and (Path(options.model) / "recipe.yaml").is_file() else None
    chosen = "--metrics" if options.metrics else "--require" if options.require else None
    if whole is not None and chosen is None:
        out = str(whole)
    found = evaluate(translator, options.data, split=options.split, out=out, overrides=overrides, **common)
    if whole is not None and chosen is not None and not options.quiet:
        say(f"note: with {chosen} nothing is stored in {whole}, which is kept for an evaluation by all metrics: store these with --out DIR")
    return found
