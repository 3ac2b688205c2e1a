"""Show pairs as training will see them, before a night is spent on it.

Which side is the source and which the target, what is cut out and mirrored, what the networks get of the files' values, and what was
passed over. The pairs come from the very code that trains, with the same flags; nothing is trained.
"""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path
from typing import Any

from ...errors import UserError
from ...progress import print_result, say
from ..options import DATA, add_overwrite, add_plugins, add_quiet, with_data
from .train import recipe_and_data

GROUP = "train and translate"
RECIPE_FLAGS = ("",)  # every key, so that the line of a training can be typed with another verb
EPILOG = """\
examples:

  transfigure preview pix2pix datasets/facades --data.direction BtoA
  transfigure preview pix2pix datasets/facades --data.load_size null --out preview.png
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The data, how training reads it, and where the page goes."""
    parser.add_argument("recipe", nargs="?", metavar="RECIPE", help="as for train (default: pix2pix); or a run, for what it was trained on")
    parser.add_argument("data", nargs="?", metavar="DATA", help=DATA)
    parser.add_argument("--out", metavar="FILE", default="preview.html", help="a page (.html) or a picture (.png) (default: %(default)s)")
    parser.add_argument("--pairs", type=int, default=6, help="how many, spread evenly over all (default: %(default)s)")
    parser.add_argument("--draws", type=int, default=4, help="epochs that each is shown in, at most 8 (default: %(default)s)")
    parser.add_argument("--seed", type=int, help="short for --training.seed")
    add_overwrite(parser)
    add_plugins(parser)
    add_quiet(parser)


def more_help(options: argparse.Namespace, overrides: dict[str, Any]) -> str:
    """Every key of RECIPE as a flag."""
    from ..inventory import recipe_flags

    return recipe_flags(recipe_and_data(options.recipe, options.data)[0] or "pix2pix", overrides)


def run(options: argparse.Namespace, overrides: dict[str, Any]) -> int:
    """Draw the pairs, and write the page."""
    from ...recipe import Recipe, has_place, without_place

    for flag, value, most in (("--pairs", options.pairs, 100), ("--draws", options.draws, 8)):
        if not 1 <= value <= most:
            raise UserError(f"{flag} is {value}: give 1 to {most}")
    if options.seed is not None:
        overrides["training.seed"] = options.seed
    name, data = recipe_and_data(options.recipe, options.data)
    if data is not None and options.data is None and (Path(data) / "recipe.yaml").is_file():
        name, data = str(Path(data) / "recipe.yaml"), None  # a run
    recipe = Recipe.load(name or "pix2pix", with_data(overrides, data))
    if not has_place(recipe.data):
        raise UserError(without_place(recipe.data, "a folder of image pairs, a manifest, or a drawn world such as synthetic"))
    from ..imports import uncollected

    with uncollected():
        from ...data.open import open_data, refuse_inside, resolve_data
        from ...reporting.preview.draws import preview
        from ...reporting.preview.page import check_preview, write_preview
        from ...reporting.preview.words import summary
    out = check_preview(options.out, options.overwrite)
    if name is None and not options.quiet:
        say("note: no recipe is named: the pairs are shown as pix2pix draws them")
    section = resolve_data(recipe.data)
    if out.suffix.lower() == ".png":
        refuse_inside(section, out)
    opened = open_data(section, recipe.training.seed, options.quiet)
    found = preview(opened, recipe.name, pairs=options.pairs, draws=options.draws, epochs=recipe.training.epochs, quiet=options.quiet)
    written = write_preview(found, out, options.overwrite)
    for sentence in summary(found):
        print_result(sentence)
    print_result(f"preview: {written}")
    if data is not None:
        words = ["transfigure", "train", recipe.name if name is None else name, data, "--out", "RUN"]
        print_result(f"next:    {shlex.join(words)}{' ...' if overrides else ''}")
    return 0
