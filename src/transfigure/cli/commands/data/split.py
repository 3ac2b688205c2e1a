"""Write the halves of side-by-side files as two folders, A and B; no value changes."""

from __future__ import annotations

import argparse
from typing import Any

from ...options import add_prepared_folder, division, print_prepared

GROUP = "make data ready"
EPILOG = """\
examples:

  transfigure data split datasets/facades --out facades_in_two_folders
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The folder of double-width files, and the one to write."""
    parser.add_argument("pairs", metavar="DIR", help="the folder of double-width files, or of train, val and test folders with them")
    add_prepared_folder(parser)


def run(options: argparse.Namespace, overrides: dict[str, Any]) -> int:
    """Write the files, and say how many."""
    from ...imports import uncollected

    with uncollected():
        from ....preparation.side_by_side import RewriteOptions, split

    how = RewriteOptions(division(options), options.alpha, options.overwrite, options.quiet)
    prepared = split(options.pairs, options.out, how)
    print_prepared(prepared, options, "pair")
    return 0
