"""Upload a model to the Hugging Face Hub, with a card.

The card says what the model is, on which data it was trained, how good its run's evaluation found it, and what it cannot do. Files that
are there already are replaced only if transfigure wrote them.
"""

from __future__ import annotations

import argparse
from typing import Any

from ...progress import print_result
from ..options import add_model, add_overwrite, add_plugins, open_model

GROUP = "train and translate"
EPILOG = """\
examples:

  transfigure push runs/facades me/facades --licence mit --dry-run shared
  transfigure push shared me/facades --private

Your token is the business of the hub's library: hf auth login, or HF_TOKEN.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """A model, and its name on the hub."""
    add_model(parser)
    parser.add_argument("name", metavar="OWNER/NAME", help="its name on the hub; created if it is not there")
    parser.add_argument("--private", action="store_true", help="a new repository is for you alone")
    parser.add_argument("--licence", metavar="WORD", help="the hub's word for it, such as mit, apache-2.0 or cc-by-4.0")
    parser.add_argument("--no-panel", action="store_true", help="show no examples of the run's data on the card")
    parser.add_argument("--dry-run", metavar="DIR", help="write what would be uploaded to this folder, and upload nothing")
    add_overwrite(parser)
    add_plugins(parser)


def run(options: argparse.Namespace, overrides: dict[str, Any]) -> int:
    """Upload, and print the model's page; or write the folder, and print it."""
    from ...interop.hub import HubModel

    model = HubModel.read(options.name)
    translator = open_model(options)
    panel = not options.no_panel
    if options.dry_run is not None:
        translator.save_pretrained(options.dry_run, licence=options.licence, panel=panel, overwrite=options.overwrite, name=model.id)
        print_result(options.dry_run)
        return 0
    print_result(
        translator.push_to_hub(str(model), private=options.private, licence=options.licence, panel=panel, overwrite=options.overwrite)
    )
    return 0
