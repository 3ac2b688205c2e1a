"""Write matching files of two folders side by side, A left and B right; no value changes."""

from __future__ import annotations

import argparse
from typing import Any

from ...options import add_prepared_folder, division, print_prepared

GROUP = "make data ready"
EPILOG = """\
examples:

  transfigure data combine edges photos --out pairs
  transfigure data combine data/A data/B --out pairs --val 0.1 --test 0.1
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The two folders, and the one to write."""
    parser.add_argument("a", metavar="A", help="the folder of the left halves, or a pattern such as 'all/*_A.png'")
    parser.add_argument("b", metavar="B", help="the folder of the right halves")
    add_prepared_folder(parser)


def run(options: argparse.Namespace, overrides: dict[str, Any]) -> int:
    """Write the files, and say how many."""
    from ...imports import uncollected

    with uncollected():
        from ....preparation.side_by_side import RewriteOptions, combine

    how = RewriteOptions(division(options), options.alpha, options.overwrite, options.quiet)
    prepared = combine(options.a, options.b, options.out, how)
    print_prepared(prepared, options, "pair")
    return 0
