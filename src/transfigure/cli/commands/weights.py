"""The weights that metrics need: where they are, and get them."""

from __future__ import annotations

import argparse
import json
from typing import Any

from ...errors import UserError
from ...progress import print_result
from ..options import add_json, add_quiet

GROUP = "measure"
EPILOG = """\
examples:

  transfigure weights
  transfigure weights get inception
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """List, or get some."""
    parser.add_argument("action", nargs="?", default="list", metavar="ACTION", choices=["list", "get"], help="list (default), or get NAME")
    parser.add_argument("names", nargs="*", metavar="NAME", help="which weights to get, such as inception")
    add_json(parser)
    add_quiet(parser)


def run(options: argparse.Namespace, overrides: dict[str, Any]) -> int:
    """Print the list, or download what is named and print where it is."""
    from ...features import download
    from ...features.weights import listing, listing_text

    if options.action == "get":
        if not options.names:
            raise UserError("no weights are named: transfigure weights get NAME (see: transfigure weights list)")
        for name in options.names:
            print_result(download.get(name, quiet=options.quiet))
        return 0
    rows = listing()
    print_result(json.dumps(rows, indent=2) if options.json else listing_text(rows), lines=True)
    return 0
