"""Train a grid of recipes and compare them: which loss does what?"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import RunFailure, UserError
from ...progress import print_result
from ..options import (
    DATA,
    add_executor,
    add_json,
    add_plugins,
    add_quiet,
    add_weights,
    after,
    cluster_options,
    required,
    split_names,
    weight_files,
    with_data,
)

if TYPE_CHECKING:
    from ...studies.ablation.ablation import CellPlace

GROUP = "compare and explain"
RECIPE_FLAGS = ("",)
ALIASES = ("mechanism",)
EPILOG = """\
Recipe flags change the base of all variations: --training.epochs 20, --data.direction BtoA ...

examples:

  transfigure ablate objectives datasets/facades --out runs/objectives --seeds 0,1
  transfigure ablate cosine synthetic --out runs/cosine --jobs 2
  transfigure ablate autoencoder --out runs/autoencoder
  transfigure ablate objectives datasets/facades --out runs/objectives --executor ray --address auto --worker-cpus 4
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """A grid, its data, and with what its cells are trained and scored."""
    parser.add_argument("grid", metavar="GRID", help="a shipped grid (see: transfigure list grid) or a YAML file")
    parser.add_argument("data", nargs="?", metavar="DATA", help=DATA)
    parser.add_argument("--out", metavar="DIR", help="the folder to write: a run per cell, and comparison.html")
    parser.add_argument("--seeds", metavar="0,1,2", help="train each variation once with each (default: the grid's)")
    parser.add_argument("--base", metavar="RECIPE", help="the recipe that is varied (default: the grid's)")
    parser.add_argument("--resume", action="store_true", help="go on in DIR: finished cells are kept, failed ones tried again")
    parser.add_argument("--jobs", type=int, metavar="N", help="cells at a time, each with its share of the cores (default: 1)")
    parser.add_argument("--together", action="store_true", help="all cells in this one process")
    parser.add_argument("--metrics", metavar="A,B", help="to compare (default: the grid's)")
    parser.add_argument("--segmenter", metavar="WHAT", help="for the FCN-score, as for evaluate; train: one is trained on DATA first")
    parser.add_argument("--palette", metavar="NAME", help="of the label maps, as for evaluate")
    add_weights(parser)
    parser.add_argument("--print_config", action="store_true", help="print the complete grid and stop")
    add_executor(parser)
    add_json(parser)
    add_plugins(parser)
    add_quiet(parser)


def run(options: argparse.Namespace, overrides: dict[str, Any]) -> int:
    """Train every cell, write the comparison, print its table, and fail if a cell did."""
    from ..imports import uncollected

    with uncollected():
        from ...recipe import has_place, without_place
        from ...reporting.comparison.page import check_comparison
        from ...studies.ablation.ablation import AblationOptions, ablate
        from ...studies.ablation.grid import Grid

    overrides = with_data(overrides, options.data)
    if options.base is not None:
        overrides["base"] = options.base
    grid = Grid.load(options.grid, overrides, _seeds(options.seeds))
    if options.metrics:
        grid = grid.with_metrics(split_names(options.metrics))
    cells = grid.cells()
    if options.print_config:
        print_result(grid.to_yaml(), lines=True, end="")
        return 0
    if not has_place(cells[0].recipe.data):
        wanted = "a folder of image pairs, a manifest, or a drawn world such as synthetic after the grid"
        raise UserError(without_place(cells[0].recipe.data, wanted))
    means = AblationOptions(
        options.segmenter,
        options.palette,
        weight_files(options),
        tuple(options.plugins or ()),
        jobs=1 if options.jobs is None else options.jobs,
        isolate=not options.together,
        place=_place(options, cells[0].recipe.training.accelerator),
    )
    out = Path(required(options.out, "--out DIR"))
    check_comparison(out / "comparison.html", None)
    ablate(grid, out, means, resume=options.resume, quiet=options.quiet)
    return _show(out, options.json)


def _place(options: argparse.Namespace, accelerator: str) -> CellPlace | None:
    """Where the cells run; None is this machine, without a cluster."""
    where = cluster_options(options)
    if where is None:
        return None
    if options.jobs is not None or options.together:
        flag, way_out = ("--together", "leave it out") if options.together else ("--jobs", "--workers says how many run at a time there")
        raise UserError(f"{flag} is for cells on this machine, and --executor ray gives each a worker of a cluster: {way_out}")
    from ...scale.ablation import ClusterPlace

    return ClusterPlace(replace(where, device=accelerator), options.quiet)


def _seeds(given: str | None) -> list[int] | None:
    try:
        return [int(seed) for seed in given.split(",")] if given else None
    except ValueError:
        raise UserError(f"--seeds {given} are no seeds: give whole numbers, as 0,1,2") from None


def _show(folder: Path, as_json: bool) -> int:
    from ...reporting.comparison.page import compare
    from ...studies.ablation.ablation import LEDGER
    from ...studies.ablation.formats import to_dict, to_text
    from ...studies.ablation.summary import summarise
    from ...studies.ablation.variants import read_ablation

    comparison = read_ablation(folder)
    page = compare(comparison, folder / "comparison.html")
    summary = summarise(comparison)
    if as_json:
        print_result(json.dumps(to_dict(summary), indent=2), lines=True)
    else:
        print_result(to_text(summary), lines=True)
        print_result(f"comparison: {page}")
    done = [cell.run for variant in comparison.variants for cell in variant.cells if cell.state == "done"]
    for run in done:
        after(run)  # a report that somebody made of a cell
    if done and not as_json:
        for line in after(done[0], "transfigure report {run}", "transfigure translate {run} INPUT OUTPUT{plugins}"):
            print_result(line)
    states = [cell.state for variant in comparison.variants for cell in variant.cells]
    if failed := sum(state != "done" for state in states):
        raise RunFailure(
            f"{failed} of {len(states)} cells failed: {folder / LEDGER} says why; once that is mended, the same command with --resume "
            "tries them again"
        )
    return 0
