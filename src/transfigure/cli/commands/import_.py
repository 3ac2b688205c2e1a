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
    from ...interop.opening import Foreign

RECIPE = "recipe.yaml"
"""The recipe of the training that a model came from, beside its other files."""
GROUP = "train and translate"
EPILOG = """\
examples:

  transfigure import latest_net_G.pth --out models/facades
  transfigure import latest_net_G.pth --out models/facades --noise dropout
  transfigure import checkpoints/facades_pix2pix --out models/facades
  transfigure import cyclegan/horse2zebra --download --out models/zebras
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """A network, and where to write the model."""
    parser.add_argument(
        "source",
        metavar="SOURCE",
        help="a .pth file of pytorch-CycleGAN-and-pix2pix, the folder that its training wrote (with train_opt.txt), the name of a network "
        "published for it (see: transfigure list published), or a .pict file of pix2pix-tensorflow",
    )
    parser.add_argument("--out", required=True, metavar="MODEL", help="the model directory to write")
    parser.add_argument("--noise", choices=["dropout", "none"], help="what the model does with its dropout, unless told (default: none)")
    parser.add_argument(
        "--norm", choices=["batch", "running"], help="and its statistics: of the image at hand, or gathered in training (default: batch)"
    )
    parser.add_argument("--epoch", help="of a folder: latest (default), an epoch, or iter_5000")
    parser.add_argument("--direction", choices=["AtoB", "BtoA"], help="of a folder of CycleGAN: which generator (default: as trained)")
    parser.add_argument("--download", action="store_true", help="of a published network: download its file, if it is not here")
    parser.add_argument("--url", help="and from here, in place of the address where it was published")
    parser.add_argument("--sha256", metavar="HEX", help="the hash that the file must have (default: that of its first download)")
    add_overwrite(parser)
    add_quiet(parser)


def run(options: argparse.Namespace, overrides: dict[str, Any]) -> int:
    """Read it, run it once, write the model, and print what it was recognised as."""
    from ..imports import uncollected

    with uncollected():
        from ...data.files import write_text
        from ...interop.checks import check_statistics, describe, try_out
        from ...interop.pytorch_cyclegan import about_dropout
        from ...networks.model_file import check_folder
        from ...translation.translator import Translator

    folder = Path(options.out)
    check_folder(folder, options.overwrite, RECIPE)
    found = _open(options)
    modes = {key: value for key in ("norm", "noise") if (value := getattr(options, key)) is not None}
    config = replace(found.config, inference=replace(found.config.inference, **modes))
    check_statistics(found.generator, config.inference.norm, options.source)
    try_out(found.generator, config, options.source)
    if found.recipe is not None:
        write_text(folder / RECIPE, found.recipe.to_yaml())
    Translator(found.generator, config, config.inference).save(folder, options.overwrite)
    print_result(f"{folder}: {describe(config)}")
    if not options.quiet:
        if options.noise is None and (note := about_dropout(found.generator)):
            say(f"note: {note}")
        for note in found.notes:
            say(f"note: {note}")
        say(f"next:    {_next(found, folder)}")
    return 0


def _open(options: argparse.Namespace) -> Foreign:
    from ...interop import opening, zoo

    source, published = Path(options.source), zoo.is_name(options.source)
    for flag, known, where in (
        ("download", published, "the name of a published network"),
        ("url", published, "the name of a published network"),
        ("epoch", source.is_dir(), "the folder of a training"),
        ("direction", source.is_dir(), "the folder of a training"),
    ):
        if getattr(options, flag) and not known:
            raise UserError(f"--{flag} is for {where}, and {options.source} is none: leave it out")
    sha256 = None if options.sha256 is None else zoo.read_sha256(options.sha256)
    if published:
        fetch = options.download or options.url is not None
        return opening.open_published(options.source, fetch=fetch, url=options.url, sha256=sha256, quiet=options.quiet)
    if source.is_dir():
        return opening.open_folder(source, options.epoch or "latest", options.direction)
    if sha256 is not None and source.is_file():
        zoo.check(source, sha256)
    return opening.Foreign(*opening.open_file(source))


def _next(found: Foreign, folder: Path) -> str:
    """What to do with it."""
    translate = f"transfigure translate {shlex.quote(str(folder))} INPUT OUTPUT"
    if found.recipe is None:
        return translate
    recipe, start = (shlex.quote(str(path)) for path in (folder / RECIPE, found.file))
    return f"{translate}   |   transfigure train {recipe} --from {start} --out RUN"
