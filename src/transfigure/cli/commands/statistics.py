"""Store a folder's feature statistics, to evaluate against."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ...errors import UserError
from ...progress import print_result
from ...wording import counted
from ..options import (
    add_alpha,
    add_ignore_orientation,
    add_overwrite,
    add_pages,
    add_quiet,
    add_value_range,
    add_weights,
    orientation,
    value_range,
    weight_files,
)

GROUP = "measure"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """A folder, the network that sees it, and the file to write."""
    parser.add_argument("folder", metavar="DIR", help="the folder of images (or a pattern, a manifest)")
    parser.add_argument("--out", required=True, metavar="FILE", help="the .npz file to write")
    parser.add_argument(
        "--features", choices=["inception", "random"], default="inception", help="for FID, KID and PRDC, or for random_frechet"
    )
    parser.add_argument("--resize", choices=["tf1", "clean"], help="how Inception is fed (default: tf1)")
    add_value_range(parser)
    add_alpha(parser)
    add_pages(parser)
    add_ignore_orientation(parser)
    add_weights(parser)
    add_overwrite(parser)
    add_quiet(parser)


def run(options: argparse.Namespace, overrides: dict[str, Any]) -> int:
    """Write the file, and print what it holds."""
    from ..imports import uncollected

    with uncollected():
        from ...data.ownership import check_outputs
        from ...evaluation.folders import statistics_of

    if Path(options.out).suffix.lower() != ".npz":
        raise UserError(f"--out {options.out} must end in .npz, by which evaluate --target knows it: call it {options.out}.npz")
    check_outputs([Path(options.out)], options.overwrite)
    found = statistics_of(
        options.folder,
        options.features,
        options.resize,
        weights=weight_files(options),
        value_range=value_range(options),
        alpha=options.alpha,
        orientation=orientation(options),
        pages=options.pages or "ask",
        quiet=options.quiet,
    )
    found.save(Path(options.out), options.overwrite)
    print_result(f"{options.out}: {counted(found.count, 'image')}, {found.network}")
    return 0
