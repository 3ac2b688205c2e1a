"""What a translator preserves of its sources, and what it makes new."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from ...errors import UserError
from ...progress import print_result
from ..options import add_json, add_model, add_overwrite, add_plugins, add_quiet, add_split, after, open_model

GROUP = "compare and explain"
RECIPE_FLAGS = ("data.",)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """A model, its data, and what is measured on them."""
    add_model(parser)
    parser.add_argument("data", nargs="?", metavar="DATA", help="two domains, or pairs, as for train (default: what it was trained on)")
    parser.add_argument("--second", metavar="RUN", help="another training of the same recipe: do the two agree?")
    parser.add_argument(
        "--probes", metavar="FILE", help="trained probes of the known factors: read if the file is there, else trained and written to it"
    )
    add_split(parser)
    parser.add_argument("--images", type=int, default=500, metavar="N", help="at most so many of each domain (default: %(default)s)")
    parser.add_argument("--out", metavar="DIR", help="write analysis.json and analysis.html here (default for a run: RUN/analysis)")
    add_overwrite(parser)
    add_json(parser)
    add_plugins(parser)
    add_quiet(parser)


def run(options: argparse.Namespace, overrides: dict[str, Any]) -> int:
    """Analyze, write the page, and print the table."""
    from ..imports import uncollected

    with uncollected():
        from ...evaluation.held_out import refuse_among_data
        from ...reporting.analysis.page import check_analysis, write_analysis
        from ...studies.preservation.analyze import AnalysisOptions, analyze, read_probes

    if options.images < 2:
        raise UserError(f"--images {options.images}: an analysis needs at least 2, better 100")
    translator = open_model(options)
    run = Path(options.model) if options.out is None and (Path(options.model) / "recipe.yaml").is_file() else None
    out = run / "analysis" if run is not None else None if options.out is None else Path(options.out)
    if out is not None:
        check_analysis(out, options.overwrite, run)
        refuse_among_data(translator, options.data, overrides, out)
    second = None if options.second is None else open_model(options, options.second)
    common = {"split": options.split, "overrides": overrides, "quiet": options.quiet}
    probes = None if options.probes is None else read_probes(options.probes, translator, options.data, **common)
    found = analyze(translator, options.data, second=second, options=AnalysisOptions(options.images, probes=probes), **common)
    page = None if out is None else write_analysis(found, out, options.overwrite)
    following = after(options.model, "transfigure compare {run} ANOTHER_RUN", quiet=options.quiet)
    if options.json:
        print_result(json.dumps(found.to_dict(), indent=2), lines=True)
    else:
        print_result(found.table(), lines=True)
        if page:
            print_result(f"analysis: {page}")
        for line in following:
            print_result(line)
    return 0
