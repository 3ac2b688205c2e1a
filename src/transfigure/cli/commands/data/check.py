"""Say what is wrong with a folder of pairs, before a training.

Every picture of every split is read once, with the reader that trains and by the same rules; nothing is trained and nothing is changed.
"""

from __future__ import annotations

import argparse
import json
from typing import Any

from ....progress import print_result
from ...options import DATA, add_json, add_plugins, add_quiet, with_data

GROUP = "make data ready"
RECIPE_FLAGS = ("data.",)
EPILOG = """\
examples:

  transfigure data check datasets/facades
  transfigure data check datasets/facades --json --strict
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The data, and what is done with what is found."""
    parser.add_argument("data", metavar="DATA", help=DATA)
    parser.add_argument("--strict", action="store_true", help="exit with code 4 if anything was found")
    add_json(parser)
    add_plugins(parser)
    add_quiet(parser)


def run(options: argparse.Namespace, overrides: dict[str, Any]) -> int:
    """Read everything, and say what was found."""
    from ....recipe import Recipe

    recipe = Recipe.load("pix2pix", with_data(overrides, options.data))
    from ...imports import uncollected

    with uncollected():
        from ....data.check.whole import check_data

    found = check_data(recipe.data, sizes_given={"data.load_size", "data.crop_size"} & overrides.keys() != set(), quiet=options.quiet)
    if options.json:
        print_result(json.dumps(found.as_json(), indent=2, ensure_ascii=False), lines=True)
    else:
        for line in found.summary():
            print_result(line)
    return 4 if options.strict and found.problems else 0
