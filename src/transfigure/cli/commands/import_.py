"""Make a model directory of a network that another program trained."""

from __future__ import annotations

import argparse
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

from ...progress import print_result, say
from ..options import add_overwrite, add_quiet

GROUP = "train and translate"
EPILOG = """\
examples:

  transfigure import latest_net_G.pth --out models/facades
  transfigure import latest_net_G.pth --out models/facades --noise dropout
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """A network, and where to write the model."""
    parser.add_argument("source", metavar="FILE", help="a .pth file of pytorch-CycleGAN-and-pix2pix")
    parser.add_argument("--out", required=True, metavar="MODEL", help="the model directory to write")
    parser.add_argument("--noise", choices=["dropout", "none"], help="what the model does with its dropout, unless told (default: none)")
    parser.add_argument(
        "--norm", choices=["batch", "running"], help="and its statistics: of the image at hand, or gathered in training (default: batch)"
    )
    add_overwrite(parser)
    add_quiet(parser)


def run(options: argparse.Namespace, overrides: dict[str, Any]) -> int:
    """Read it, run it once, write the model, and print what it was recognised as."""
    from ..imports import uncollected

    with uncollected():
        from ...interop.checks import describe, try_out
        from ...interop.pytorch_cyclegan import about_dropout
        from ...networks.model_file import check_folder
        from ...translation.translator import open_translator

    folder = Path(options.out)
    check_folder(folder, options.overwrite)
    translator = open_translator(options.source, device="cpu", norm=options.norm, noise=options.noise, quiet=True)
    config = replace(translator.config, inference=translator.inference)
    try_out(translator.generator, config, options.source)
    translator.save(folder, options.overwrite)
    print_result(f"{folder}: {describe(config)}")
    if not options.quiet:
        if options.noise is None and (note := about_dropout(translator.generator)):
            say(f"note: {note}")
        say(f"next:    transfigure translate {shlex.quote(str(folder))} INPUT OUTPUT")
    return 0
