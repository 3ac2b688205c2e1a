"""Write the report page of a run, or of an evaluation."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ...progress import print_result
from ..options import add_overwrite

GROUP = "measure"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """A run, and where its page goes."""
    parser.add_argument("run", metavar="RUN", help="the run directory, or what evaluate --out wrote")
    parser.add_argument("--out", metavar="FILE", help="default: RUN/report.html")
    add_overwrite(parser)


def run(options: argparse.Namespace, overrides: dict[str, Any]) -> int:
    """Write the page, and print where it is."""
    from ...reporting.run.page import report

    print_result(report(Path(options.run), Path(options.out) if options.out else None, options.overwrite))
    return 0
