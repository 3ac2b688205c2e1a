"""Write the report page of a run, or of an evaluation."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ...progress import print_result
from ..options import add_overwrite

GROUP = "measure"
EPILOG = """\
examples:

  transfigure report runs/facades
  transfigure report runs/facades --pictures figures
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """A run, and where its page goes."""
    parser.add_argument("run", metavar="RUN", help="the run directory, or what evaluate --out wrote")
    parser.add_argument("--out", metavar="FILE", help="default: RUN/report.html")
    parser.add_argument(
        "--pictures",
        metavar="DIR",
        help="write each figure of the page here too: charts as .svg and .pdf, pictures as .png, the examples over time as progress.webp",
    )
    add_overwrite(parser)


def run(options: argparse.Namespace, overrides: dict[str, Any]) -> int:
    """Write the page, and print where it is."""
    from ...reporting.run.page import check_report, report

    run, out = Path(options.run), Path(options.out) if options.out else None
    figures = []
    if options.pictures:
        from ...reporting.run.figures import figures as write_figures
        from ...reporting.run_files import RunFiles

        check_report(run, out, options.overwrite)
        figures = write_figures(RunFiles.read(run), options.pictures, options.overwrite)
    print_result(report(run, out, options.overwrite))
    for figure in figures:
        print_result(f"picture: {figure}")
    return 0
