"""Follow a training in the browser while it runs.

Curves, the latest pictures beside their targets, the diagnosis, and the time left, on a page of this machine alone that looks again
every few seconds. It only reads, so it may be started and ended at any time, on a run that has not begun and on one that has ended.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ...progress import print_result
from ..options import add_overwrite

GROUP = "train and translate"
EPILOG = """\
examples:

  transfigure watch runs/facades
  transfigure watch runs/facades --once page.html
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """A run, and how it is shown."""
    parser.add_argument("run", metavar="RUN", help="the run directory that a training writes")
    parser.add_argument("--port", type=int, default=0, help="of the page's address (default: any that is free)")
    parser.add_argument("--browser", action="store_true", help="open the page too, not only print its address")
    parser.add_argument("--once", metavar="FILE", help="write the page as it is now into one HTML file, and end")
    add_overwrite(parser)


def run(options: argparse.Namespace, overrides: dict[str, Any]) -> int:
    """Serve the page until Ctrl-C, or write it once."""
    if options.once is not None:
        from ...reporting.watch.page import write_watch

        print_result(write_watch(Path(options.run), Path(options.once), options.overwrite))
        return 0
    from ...reporting.watch.server import WatchServer

    with WatchServer(Path(options.run), options.port) as server:
        print_result(f"watch: {server.address}  (Ctrl-C ends it; the training goes on)")
        if options.browser:
            import webbrowser

            webbrowser.open(server.address)
        server.serve_forever()
    return 0
