"""Every network, loss, metric, dataset kind, recipe, grid, published network and command."""

from __future__ import annotations

import argparse
import json
from typing import Any

from ...errors import UserError, did_you_mean
from ...progress import print_result
from ..options import add_json, add_plugins

GROUP = "look up"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What is listed, and how."""
    parser.add_argument("kind", nargs="?", metavar="KIND", help="only this kind, such as loss")
    parser.add_argument(
        "--markdown", action="store_true", help="as a page of the reference: KIND command is one, all the others are another"
    )
    add_json(parser)
    add_plugins(parser)


def run(options: argparse.Namespace, overrides: dict[str, Any]) -> int:
    """Print the list."""
    from ..inventory import inventory, inventory_text, reference

    if options.markdown:
        from ..reference import command_reference

        print_result(command_reference() if options.kind == "command" else reference(), lines=True, end="")
        return 0
    if options.kind is not None and options.kind not in inventory():
        raise UserError(f"there is no kind {options.kind!r}{did_you_mean(options.kind, inventory())}")
    shown = {kind: items for kind, items in inventory().items() if options.kind in (None, kind)}
    print_result(json.dumps(shown, indent=2, default=str) if options.json else inventory_text(shown), lines=True)
    return 0
