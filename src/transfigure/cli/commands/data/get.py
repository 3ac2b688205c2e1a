"""Download a public data set of pix2pix or CycleGAN, and unpack it.

Its size and its terms are said first. The archive is checked against its hash, where somebody has published one; a download that was cut
is gone on from; the folder appears whole, and nothing that is there is replaced.
"""

from __future__ import annotations

import argparse
import json
from typing import Any

from ....errors import UserError
from ....progress import print_result, say
from ...options import add_json, add_quiet

GROUP = "make data ready"
EPILOG = """\
examples:

  transfigure data get --list
  transfigure data get facades --list
  transfigure data get facades
  transfigure data get cyclegan/maps --out /data/maps
  transfigure data get horse2zebra --mirror https://mirror.example.org/datasets
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which one, from where, and where to."""
    parser.add_argument("name", nargs="?", metavar="NAME", help="which data set, such as facades or cyclegan/facades (see --list)")
    parser.add_argument("--out", metavar="DIR", help="the folder that it becomes (default: datasets/NAME)")
    parser.add_argument("--mirror", metavar="PLACE", help="where its archive is instead: a file, a folder, or an http address of either")
    parser.add_argument("--sha256", metavar="HEX", help="the hash that the archive must have (default: the published one, if there is one)")
    parser.add_argument("--list", action="store_true", help="say what is known of NAME, or which there are, and download nothing")
    add_json(parser)
    add_quiet(parser)


def run(options: argparse.Namespace, overrides: dict[str, Any]) -> int:
    """Get it and print where it is, or list what there is."""
    from ....interop.zoo import read_sha256
    from ....preparation.public import catalogue
    from ....preparation.public.get import get

    if options.list:
        _list(options)
        return 0
    if options.name is None:
        raise UserError("no data set is named: transfigure data get NAME (see: transfigure data get --list)")
    sha256 = read_sha256(options.sha256) if options.sha256 is not None else None
    fetched = get(options.name, out=options.out, mirror=options.mirror, sha256=sha256, quiet=options.quiet)
    training = fetched.dataset.training(str(fetched.folder))
    if options.json:
        facts = {**fetched.dataset.facts(), "training": training}
        here = {"folder": str(fetched.folder), "files": fetched.files, "already_here": fetched.already}
        print_result(json.dumps({**facts, **here, "archive_sha256": fetched.sha256}, indent=2, ensure_ascii=False), lines=True)
        return 0
    print_result(fetched.folder)
    if not options.quiet:
        say(f"cite: {'; '.join(fetched.dataset.citations)}")
        say(f"train on it:  {training}")
        for other in catalogue.namesakes(fetched.dataset):
            say(f"note: {other.full_name} is another data set of that name: {other.about}")
    return 0


def _list(options: argparse.Namespace) -> None:
    from ....preparation.public.catalogue import DATASETS, dataset_called, details_text, listing_text

    one = dataset_called(options.name) if options.name is not None else None
    if options.json:
        facts: Any = [one.facts() for one in DATASETS.values()] if one is None else one.facts()
        print_result(json.dumps(facts, indent=2, ensure_ascii=False), lines=True)
    else:
        print_result(listing_text() if one is None else details_text(one), lines=True)
