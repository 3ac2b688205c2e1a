"""Make a model directory of a network that another program trained."""

from __future__ import annotations

import argparse
import shlex
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import UserError
from ...progress import print_result, say
from ..options import add_overwrite, add_quiet

if TYPE_CHECKING:
    from ...networks.base import Generator
    from ...networks.model_file import ModelConfig

GROUP = "train and translate"
EPILOG = """\
examples:

  transfigure import latest_net_G.pth --out models/facades
  transfigure import latest_net_G.pth --out models/facades --noise dropout
  transfigure import cyclegan/horse2zebra --download --out models/zebras
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """A network, and where to write the model."""
    parser.add_argument(
        "source",
        metavar="SOURCE",
        help="a .pth file of pytorch-CycleGAN-and-pix2pix, or the name of a published one (see: transfigure list published)",
    )
    parser.add_argument("--out", required=True, metavar="MODEL", help="the model directory to write")
    parser.add_argument("--noise", choices=["dropout", "none"], help="what the model does with its dropout, unless told (default: none)")
    parser.add_argument(
        "--norm", choices=["batch", "running"], help="and its statistics: of the image at hand, or gathered in training (default: batch)"
    )
    parser.add_argument("--download", action="store_true", help="of a published network: download its file, if it is not here")
    parser.add_argument("--url", help="and from here, in place of the address where it was published")
    parser.add_argument("--sha256", metavar="HEX", help="the hash that the file must have (default: that of its first download)")
    add_overwrite(parser)
    add_quiet(parser)


def run(options: argparse.Namespace, overrides: dict[str, Any]) -> int:
    """Read it, run it once, write the model, and print what it was recognised as."""
    from ..imports import uncollected

    with uncollected():
        from ...interop.checks import describe, try_out
        from ...interop.pytorch_cyclegan import about_dropout
        from ...networks.model_file import check_folder
        from ...translation.translator import Translator

    folder = Path(options.out)
    check_folder(folder, options.overwrite)
    generator, config = _open(options)
    modes = {key: value for key in ("norm", "noise") if (value := getattr(options, key)) is not None}
    config = replace(config, inference=replace(config.inference, **modes))
    try_out(generator, config, options.source)
    Translator(generator, config, config.inference).save(folder, options.overwrite)
    print_result(f"{folder}: {describe(config)}")
    if not options.quiet:
        if options.noise is None and (note := about_dropout(generator)):
            say(f"note: {note}")
        say(f"next:    transfigure translate {shlex.quote(str(folder))} INPUT OUTPUT")
    return 0


def _open(options: argparse.Namespace) -> tuple[Generator, ModelConfig]:
    from ...interop import opening, zoo

    sha256 = None if options.sha256 is None else zoo.read_sha256(options.sha256)
    if zoo.is_name(options.source):
        fetch = options.download or options.url is not None
        found = opening.open_published(options.source, fetch=fetch, url=options.url, sha256=sha256, quiet=options.quiet)
        if not options.quiet:
            say(f"{options.source}: {zoo.published(options.source).summary}; {zoo.PREPROCESSING}")
        return found
    for flag in ("download", "url"):
        if getattr(options, flag):
            raise UserError(f"--{flag} is for the name of a published network, and {options.source} is none: leave it out")
    if sha256 is not None and Path(options.source).is_file():
        zoo.check(Path(options.source), sha256)
    return opening.open_file(options.source)
