"""Train a segmenter, which reads label maps back from photos, for the FCN-score."""

from __future__ import annotations

import argparse
import json
from typing import Any

from ...progress import print_result
from ...wording import counted
from ..options import add_device, add_json, add_overwrite, add_quiet

GROUP = "measure"
RECIPE_FLAGS = ("data.",)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Photos with their label maps, and how long it is trained."""
    parser.add_argument("action", metavar="ACTION", choices=["train"], help="train")
    parser.add_argument("data", metavar="DATA", help="pairs of photos and label maps, as for train")
    parser.add_argument("--out", required=True, metavar="FILE", help="the file to write, such as segmenter.safetensors")
    parser.add_argument(
        "--palette", metavar="NAME", help="of the label maps: facades, cityscapes, synthetic or a JSON file (default: learnt)"
    )
    parser.add_argument("--photos", choices=["A", "B"], help="which side the photos are (default: the side without flat colours)")
    parser.add_argument("--size", type=int, metavar="PIXELS", help="side of the pictures it is trained on (default: 128)")
    parser.add_argument("--epochs", type=int, help="passes over the training pairs (default: about three minutes on one core)")
    parser.add_argument("--minutes", type=float, help="stop in time for this")
    parser.add_argument("--width", type=int, help="filters of the outermost level (default: 16)")
    add_overwrite(parser)
    add_device(parser)
    parser.add_argument("--seed", type=int, default=0, help="default: %(default)s")
    add_json(parser)
    add_quiet(parser)


def run(options: argparse.Namespace, overrides: dict[str, Any]) -> int:
    """Train, and print its accuracy on real photos."""
    from ..imports import uncollected

    with uncollected():
        from ...evaluation.segmenter_training import SegmenterOptions, train_segmenter

    keys = ("palette", "photos", "size", "epochs", "minutes", "width", "device", "seed")
    given = {key: getattr(options, key) for key in keys if getattr(options, key) is not None}
    common = {"overrides": overrides, "quiet": options.quiet, "overwrite": options.overwrite}
    facts = train_segmenter(options.data, options.out, SegmenterOptions(**given), **common)
    if options.json:
        print_result(json.dumps(facts, indent=2), lines=True)
        return 0
    print_result(f"{facts['file']}: {len(facts['palette']['classes'])} classes, {facts['size']} pixels, photos are side {facts['photos']}")
    scored = counted(facts["n"], f"{facts['split']} pair")
    for score in ("pixel_accuracy", "class_accuracy", "class_iou"):
        print_result(f"{score.replace('_', ' '):16} {facts[score]:.3f}  on the real photos of {scored}")
    return 0
