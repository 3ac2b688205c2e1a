"""Cut large images, or pairs of them, into training patches, so that nothing of a held-out patch is trained on.

By image, all patches of an image (or of a group of images) are in one split. By region, each image is cut into regions, which are divided,
and a margin between regions of different splits is left out. A patch's folder is its image: --data.group parent keeps together what is.
"""

from __future__ import annotations

import argparse
import re
from typing import Any

from ....errors import UserError
from ...options import add_prepared_folder, division, print_prepared

GROUP = "make data ready"
EPILOG = """\
examples:

  transfigure data tile slides --out patches --size 256 --val 0.1 --test 0.2
  transfigure data tile brightfield stained --out patches --by region --regions 2x2 --test 0.25 --margin 64
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The images, the patches, and how they are divided."""
    parser.add_argument("a", metavar="DIR", help="the folder of large images, or the first side of pairs")
    parser.add_argument("b", metavar="B", nargs="?", help="the folder of the second side of pairs, cut at the same places")
    parser.add_argument("--size", type=int, default=256, metavar="PIXELS", help="side of a patch (default: %(default)s)")
    parser.add_argument("--stride", type=int, metavar="PIXELS", help="from one patch to the next, at most the size (default: the size)")
    parser.add_argument("--by", choices=["image", "region"], default="image", help="what is divided (default: %(default)s)")
    parser.add_argument("--regions", default="4x4", metavar="ROWSxCOLUMNS", help="regions of an image (default: %(default)s)")
    parser.add_argument(
        "--margin", type=int, metavar="PIXELS", help="left out between regions of different splits (default: a quarter of the size)"
    )
    parser.add_argument("--level", type=int, default=0, metavar="N", help="of whole slides and pyramids (default: 0, the full size)")
    add_prepared_folder(parser)


def run(options: argparse.Namespace, overrides: dict[str, Any]) -> int:
    """Write the patches, and say how many."""
    from ...imports import uncollected

    with uncollected():
        from ....preparation.tiles import TileOptions, tile

    if not (regions := re.fullmatch(r"(\d{1,4})x(\d{1,4})", options.regions)):
        raise UserError(f"--regions {options.regions} is not rows and columns: write them as 2x2")
    how = TileOptions(
        size=options.size,
        stride=options.stride,
        by=options.by,
        regions=(int(regions[1]), int(regions[2])),
        margin=options.margin,
        split=division(options),
        alpha=options.alpha,
        overwrite=options.overwrite,
        quiet=options.quiet,
        level=options.level,
    )
    prepared = tile(options.a, options.out, options.b, how)
    print_prepared(prepared, options, "patch", "patches")
    return 0
