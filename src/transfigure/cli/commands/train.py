"""Train a translator on image pairs, or on two unpaired domains.

Every key of a recipe is a flag too: --training.epochs 20, --generator resnet, --data.direction BtoA.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

from ...errors import UserError
from ...progress import print_result
from ..options import DATA, add_plugins, add_quiet, add_weights, after, required, weight_files, with_data

GROUP = "train and translate"
RECIPE_FLAGS = ("",)  # every key
EPILOG = """\
examples:

  transfigure train pix2pix datasets/facades --out runs/facades --data.direction BtoA
  transfigure train streamlined shapes --out runs/shapes --training.epochs 10
  transfigure train --out runs/facades --resume
  transfigure train pix2pix photos --out runs/photos --from runs/facades
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What is learnt from what, and where the run is written."""
    parser.add_argument("recipe", nargs="?", metavar="RECIPE", help="a shipped recipe (see: transfigure list recipe) or a YAML file")
    parser.add_argument("data", nargs="?", metavar="DATA", help=DATA)
    parser.add_argument("--out", metavar="RUN", help="the run directory to write")
    parser.add_argument(
        "--from",
        dest="start_from",
        metavar="MODEL",
        help="begin with the weights of a run, a model directory, a shipped model, hub:owner/name, or a .pth file of the PyTorch "
        "reference code (RECIPE may be left out)",
    )
    parser.add_argument("--resume", action="store_true", help="go on from the run's last checkpoint (RECIPE and DATA may be left out)")
    parser.add_argument("--seed", type=int, help="short for --training.seed")
    parser.add_argument("--devices", type=int, help="short for --training.devices")
    parser.add_argument("--print_config", action="store_true", help="print the complete recipe and stop")
    add_weights(parser)
    add_plugins(parser)
    add_quiet(parser)


def more_help(options: argparse.Namespace, overrides: dict[str, Any]) -> str:
    """Every key of RECIPE as a flag: which there are depends on the recipe, the flags beside it and the plugins."""
    from ..inventory import recipe_flags

    return recipe_flags(options.recipe or "pix2pix", overrides)


def recipe_and_data(recipe: str | None, data: str | None) -> tuple[str | None, str | None]:
    """RECIPE and DATA where a model is named to start from: a word alone that names no recipe is DATA."""
    from ...recipe import shipped

    if recipe is None or data is not None or recipe in shipped() or recipe.endswith((".yaml", ".yml")):
        return recipe, data
    return None, recipe


def run(options: argparse.Namespace, overrides: dict[str, Any]) -> int:
    """Train, and write the report."""
    from ...recipe import Recipe, has_place, without_place

    for key, value in (("training.seed", options.seed), ("training.devices", options.devices)):
        if value is not None:
            overrides[key] = value
    if options.start_from is not None and options.resume:
        raise UserError("--from begins a new training, and --resume goes on with one from its own checkpoint: leave out one of them")
    if options.start_from is not None and "training.start_from" in overrides:
        raise UserError(
            f"--from {options.start_from} and --training.start_from {overrides['training.start_from']} both say what to begin with: leave "
            "out one of them"
        )
    start_from = options.start_from if options.resume else options.start_from or overrides.get("training.start_from")
    if start_from is not None and start_from != "null":
        from ..imports import uncollected

        with uncollected():
            from ...training.start import starting_from

        name, data = recipe_and_data(options.recipe, options.data)
        recipe = starting_from(start_from, name, with_data(overrides, data), quiet=options.quiet)
    elif options.resume and options.recipe is None:
        run = Path(required(options.out, "--out RUN"))
        file = run / "recipe.yaml"
        if not file.is_file():
            what = "holds no recipe.yaml to resume" if run.is_dir() else "is no folder" if os.path.lexists(run) else "does not exist"
            raise UserError(f"{options.out} {what}: give the directory of a run")
        recipe = Recipe.load(file, overrides)
    else:
        if options.recipe is None:
            raise UserError("no recipe is named: transfigure train RECIPE DATA --out RUN, e.g. pix2pix datasets/facades --out runs/facades")
        recipe = Recipe.load(options.recipe, with_data(overrides, options.data))
    if options.print_config:
        print_result(recipe.to_yaml(), lines=True, end="")
        return 0
    out = required(options.out, "--out RUN")
    if not has_place(recipe.data):
        wanted = "a folder of image pairs, a manifest, or a drawn world such as synthetic after the recipe"
        raise UserError(without_place(recipe.data, wanted))
    from ..imports import uncollected

    with uncollected():
        from ...data.ownership import check_outputs
        from ...features import weights
        from ...training.launch import leads
        from ...training.trainer import train
    check_outputs([Path(out) / "report.html"], None)
    with weights.explicit(weight_files(options)):
        run_directory = train(recipe, out, resume=options.resume, quiet=options.quiet)
    if leads():  # of several processes the others stay silent
        from ...evaluation.diagnosis import diagnose_run
        from ...reporting.run.page import report

        print_result(f"trained: {run_directory}")
        print_result(f"diagnosis: {diagnose_run(run_directory)}")
        print_result(f"report:  {report(run_directory, quiet=options.quiet)}")
        for line in after(run_directory, "transfigure translate {run} INPUT OUTPUT{plugins}", "transfigure evaluate {run}{plugins}"):
            print_result(line)
    return 0
