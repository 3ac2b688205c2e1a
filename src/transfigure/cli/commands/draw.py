"""Draw, and see what a model makes of it: a page in the browser that works without internet.

Without a model it opens on the street painter that comes with the package. It is the page of ``serve``, with the same limits.
"""

from __future__ import annotations

import argparse
from typing import Any

from ...progress import print_result
from ..options import add_model
from .serve import add_served, make_server

GROUP = "train and translate"
EPILOG = """\
examples:

  transfigure draw
  transfigure draw runs/facades
  transfigure draw street runs/facades --port 8080 --no-browser
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Models, an address, limits."""
    add_model(parser, several=True, required=False)
    add_served(parser)
    parser.add_argument("--port", type=int, help="of the page's address (default: 8000, or any that is free)")
    parser.add_argument("--no-browser", action="store_true", help="only print the address")


def run(options: argparse.Namespace, overrides: dict[str, Any]) -> int:
    """Show the page until Ctrl-C."""
    server = make_server(options, options.model or ["street"])

    def ready() -> None:
        print_result(f"draw at {server.address}  (Ctrl-C ends it)")
        if not options.no_browser:
            import webbrowser

            webbrowser.open(server.address)

    server.run(ready)
    return 0
