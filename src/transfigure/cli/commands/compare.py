"""Compare runs, or the cells of an ablation: tables, curves, pictures."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from ...errors import UserError
from ..options import add_json, add_overwrite

GROUP = "compare and explain"
EPILOG = """\
examples:

  transfigure compare runs/l1 runs/pix2pix --out comparison.html
  transfigure compare runs/objectives --markdown
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What is compared, and what is written."""
    parser.add_argument("runs", nargs="+", metavar="RUN", help="run directories, or the folder of one ablation")
    parser.add_argument(
        "--out",
        metavar="FILE",
        help="the page to write (.html), or a folder for it, with .csv and .json beside it (default: comparison.html)",
    )
    parser.add_argument(
        "--pictures", metavar="DIR", help="write each figure of the page here too: charts as .svg, test images as panels.png"
    )
    parser.add_argument("--markdown", action="store_true", help="print the table as a GitHub table, to paste into a document")
    add_overwrite(parser)
    add_json(parser)


def run(options: argparse.Namespace, overrides: dict[str, Any]) -> int:
    """Write the page, and print the table."""
    from ...progress import print_result, say
    from ...reporting.comparison.figures import figures
    from ...reporting.comparison.page import check_comparison, compare
    from ...studies.ablation.formats import to_dict, to_markdown, to_text
    from ...studies.ablation.summary import summarise
    from ...studies.ablation.variants import read_ablation, read_runs

    if options.json and options.markdown:
        raise UserError("give either --json or --markdown, not both")
    folder = Path(options.runs[0])
    if len(options.runs) == 1 and (folder / "ablation.json").is_file():
        comparison, page = read_ablation(folder), folder / "comparison.html"
    else:
        comparison, page = read_runs([Path(run) for run in options.runs]), Path("comparison.html")
    page = check_comparison(options.out or page, options.overwrite)
    pictures = figures(comparison, options.pictures, options.overwrite) if options.pictures else []
    written = compare(comparison, page, options.overwrite)
    summary = summarise(comparison)
    alone = options.json or options.markdown  # the table is all there is on stdout, to be piped into a file
    if alone:
        print_result(json.dumps(to_dict(summary), indent=2) if options.json else to_markdown(summary), lines=True)
    else:
        print_result(to_text(summary), lines=True)
        print_result(f"comparison: {written}")
    for picture in pictures:
        (say if alone else print_result)(f"picture: {picture}")
    return 0
