"""Make pairs from a folder of photos: edges, grey or smaller pictures, holes; label maps by a palette.

Side A is what is made, side B the photo. Integers of 8 and 16 bits stay exact, and equal seeds give equal files.
"""

from __future__ import annotations

import argparse
from typing import Any

from ....registry import names
from ...options import add_plugins, add_prepared_folder, division, print_prepared

GROUP = "make data ready"
RECIPE_FLAGS = ("preparation.",)
EPILOG = """\
A preparation's own options: --preparation.OPTION VALUE, as --preparation.sigma 3 (see: transfigure list preparation).

examples:

  transfigure data prepare photos edges --out edges2photos --val 0.1 --test 0.1
  transfigure data prepare photos holes --out holes --preparation.count 3 --seed 7
  transfigure data prepare labels indices --out numbers --layout source --preparation.palette facades
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The photos, what is made of them, and where."""
    parser.add_argument("photos", metavar="DIR", help="the folder of photos, or of train, val and test folders with them")
    parser.add_argument("preparation", metavar="NAME", help=f"what is made: {', '.join(names('preparation'))}, or a plugin's")
    parser.add_argument(
        "--layout",
        choices=["two_folders", "side_by_side", "source"],
        default="two_folders",
        help="A and B, double-width files, or what was made alone (default: %(default)s)",
    )
    add_prepared_folder(parser)
    add_plugins(parser)


def run(options: argparse.Namespace, overrides: dict[str, Any]) -> int:
    """Write the pairs, and say how many."""
    from ...imports import uncollected

    with uncollected():
        from ....preparation.prepare import PrepareOptions, preparation, prepare

    made_by = preparation(options.preparation, {key.partition(".")[2]: value for key, value in overrides.items()})
    how = PrepareOptions(options.layout, division(options), options.alpha, options.overwrite, options.quiet)
    prepared = prepare(options.photos, options.out, made_by, how)
    print_prepared(prepared, options, "pair" if options.layout != "source" else "image")
    return 0
