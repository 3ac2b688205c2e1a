"""Measure how fast a recipe trains on this machine, in float32 and bfloat16, with alternating and simultaneous updates.

Every key of a recipe is a flag too: --data.crop_size 512, --training.batch_size 4.
"""

from __future__ import annotations

import argparse
import json
from typing import Any

from ...errors import TransfigureError, UserError
from ...progress import Progress, print_result, say
from ..options import add_json, add_plugins, add_quiet

GROUP = "look up"
RECIPE_FLAGS = ("",)
EPILOG = """\
examples:

  transfigure benchmark
  transfigure benchmark pix2pix_small --rounds 3
  transfigure benchmark pix2pix --data.load_size 542 --data.crop_size 512
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which recipe, and how long."""
    parser.add_argument(
        "recipe", nargs="?", default="pix2pix", metavar="RECIPE", help="what is trained (default: pix2pix, for about a minute)"
    )
    parser.add_argument("--rounds", type=int, default=5, help="turns that each way of computing has (default: %(default)s)")
    add_plugins(parser)
    add_json(parser)
    add_quiet(parser)


def more_help(options: argparse.Namespace, overrides: dict[str, Any]) -> str:
    """Every key of RECIPE as a flag."""
    from ..inventory import recipe_flags

    return recipe_flags(options.recipe, overrides)


def run(options: argparse.Namespace, overrides: dict[str, Any]) -> int:
    """Measure, print the table, and keep it for ``doctor``."""
    from ...recipe import Recipe
    from ...training.speed import WAYS, keep, measure, table

    if options.rounds < 1:
        raise UserError(f"--rounds {options.rounds} measures nothing: give 1 or more")
    recipe = Recipe.load(options.recipe, overrides)
    with Progress((options.rounds + 1) * len(WAYS), "measure", "turn", quiet=options.quiet) as progress:
        found = measure(recipe, options.rounds, done=progress.advance)
    try:
        keep(found)
    except (OSError, TransfigureError) as error:
        if not options.quiet:
            say(f"note: doctor will not know of it: {error}")
    print_result(json.dumps(found, indent=2) if options.json else table(found), lines=True)
    return 0
