"""Say what is wrong with a folder of pairs, before a training.

Every picture of every split is read once, with the reader that trains and by its rules: files without a partner, files that cannot be
read, pairs that a training would refuse, shifted targets, the same or nearly the same pictures twice or in two splits, pictures of one
value, colours outside a palette, mixed sizes and types, values that are cut off. Nothing is trained, and nothing is changed.
"""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING, Any

from ....errors import UserError, did_you_mean
from ....progress import print_result
from ...options import DATA, add_json, add_overwrite, add_plugins, add_quiet, split_names, with_data

if TYPE_CHECKING:
    from ....data.check.measures import KnownColours

PAGE = "check.html"
GROUP = "make data ready"
RECIPE_FLAGS = ("data.",)
EPILOG = """\
examples:

  transfigure data check datasets/facades
  transfigure data check datasets/facades --palette facades --out facades.html
  transfigure data check datasets/facades --json --strict --ignore remark,clipping
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The data, and what is done with what is found."""
    parser.add_argument("data", metavar="DATA", help=DATA)
    parser.add_argument("--out", metavar="FILE", help=f"the page to write (.html) (default: {PAGE}; with --json none)")
    parser.add_argument(
        "--palette", metavar="NAME", help="colours that the label maps may hold: facades, cityscapes, synthetic or a JSON file"
    )
    parser.add_argument("--ignore", metavar="A,B", help="kinds of problems that are not to be said, as they are named in front of a line")
    parser.add_argument("--strict", action="store_true", help="exit with code 4 if anything was found")
    add_overwrite(parser)
    add_json(parser)
    add_plugins(parser)
    add_quiet(parser)


def run(options: argparse.Namespace, overrides: dict[str, Any]) -> int:
    """Read everything, write the page, and say what was found."""
    from ....recipe import Recipe

    recipe = Recipe.load("pix2pix", with_data(overrides, options.data))
    from ...imports import uncollected

    with uncollected():
        from ....data.check.whole import KINDS, CheckOptions, check_data
        from ....data.open import refuse_inside, resolve_data
        from ....reporting.data_check.page import check_page, write_page

    ignored = split_names(options.ignore)
    for kind in ignored:
        if kind not in KINDS:
            raise UserError(f"--ignore {kind}: there is no such kind of problem{did_you_mean(kind, KINDS)}")
    out = options.out or (None if options.json else PAGE)
    if out is not None:
        refuse_inside(resolve_data(recipe.data), check_page(out, options.overwrite))
    palette = None if options.palette is None else _palette(options.palette)
    sizes_given = bool({"data.load_size", "data.crop_size"} & overrides.keys())
    found = check_data(recipe.data, CheckOptions(sizes_given, palette, tuple(ignored), options.quiet))
    page = None if out is None else write_page(found, out, options.overwrite)
    if options.json:
        print_result(json.dumps(found.as_json(), indent=2, ensure_ascii=False), lines=True)
    else:
        for line in found.summary():
            print_result(line)
        print_result(f"page: {page}")
    return 4 if options.strict and found.problems else 0


def _palette(name: str) -> KnownColours:
    """What ``--palette`` names."""
    import numpy as np

    from ....data.check.measures import KnownColours
    from ....metrics.palettes import load_palette

    palette = load_palette(name)
    colours = np.zeros((0, 3), np.uint8) if palette.colours is None else palette.colours
    return KnownColours(np.concatenate([colours, palette.ignored]), tuple(palette.numbers or ()))
