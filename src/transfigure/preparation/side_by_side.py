"""Pairs in two folders to side-by-side files, and back."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ..data.images import Alpha
from ..data.layouts import recognise, side_by_side, two_folders
from ..data.pairs import FilePicture, describe
from ..data.pixels import Array, convert_channels
from ..errors import UserError
from ..progress import track
from .destination import Destination, PreparedFolder, SplitOptions, divided, prefix


@dataclass(frozen=True)
class RewriteOptions:
    """How pairs are rewritten.

    Attributes:
        split: how they are divided.
        alpha: what to do with transparent images.
        overwrite: replace files that are not ours.
        quiet: no progress line.
    """

    split: SplitOptions = field(default_factory=SplitOptions)
    alpha: Alpha = "refuse"
    overwrite: bool = False
    quiet: bool = False


def combine(a: str | Path, b: str | Path, out: str | Path, options: RewriteOptions | None = None) -> PreparedFolder:
    """Write matching files of two folders side by side, A left and B right; no value changes.

    Args:
        a: the first folder, or a pattern of names; its train, val and test folders are kept.
        b: the second one.
        out: the folder to write.
        options: how.

    Raises:
        UserError: nothing matches, or a pair differs in size, type or channels (grey beside RGB becomes RGB).
    """
    options = options or RewriteOptions()
    collection = two_folders(None, str(a), str(b))
    prepared = PreparedFolder(Path(out), notes=list(collection.notes))
    splits = divided(collection, options.split, prepared.notes)
    records = [(split, record) for split, part in splits.items() for record in part]
    place = Destination(out, [f"{prefix(split)}{record.name}" for split, record in records], options.overwrite, [Path(a), Path(b)])
    widened = 0
    for split, record in track(records, len(records), "combine", "pair", quiet=options.quiet):
        left, right = (_read(picture, options) for picture in (record.a, record.b))
        widened += left.shape[2] != right.shape[2]
        place.write(f"{prefix(split)}{record.name}", joined(left, right, record.a.label, record.b.label))
        prepared.counts[split] = prepared.counts.get(split, 0) + 1
    if widened:
        prepared.notes.append(f"{widened} of {len(records)} pairs are of grey and colour: the grey side is written as RGB")
    return prepared


def split(path: str | Path, out: str | Path, options: RewriteOptions | None = None) -> PreparedFolder:
    """Write the halves of side-by-side files as the folders A and B (trainA, trainB, ...); no value changes.

    Args:
        path: the folder of double-width files; its train, val and test folders are kept.
        out: the folder to write.
        options: how.

    Raises:
        UserError: a file is of odd width, or cannot be read; or the folder holds two folders of pairs.
    """
    options = options or RewriteOptions()
    kind = ""
    with contextlib.suppress(UserError):  # pairs of pictures that are not square are recognised as nothing
        kind = recognise(Path(path))
    if kind == "two_folders":
        raise UserError(f"{path} holds pairs in two folders already: give a folder of double-width files")
    collection = side_by_side(Path(path))
    prepared = PreparedFolder(Path(out), notes=list(collection.notes))
    splits = divided(collection, options.split, prepared.notes)
    records = [(part, record) for part, members in splits.items() for record in members]
    stems = [f"{prefix(part, side)}{record.name}" for part, record in records for side in "AB"]
    place = Destination(out, stems, options.overwrite, [Path(path)])
    for part, record in track(records, len(records), "split", "pair", quiet=options.quiet):
        (left, right), (facts, _) = record.examine(options.alpha)
        for side, array in (("A", left), ("B", right)):
            place.write(f"{prefix(part, side)}{record.name}", np.ascontiguousarray(array), facts.channel_names)
        prepared.counts[part] = prepared.counts.get(part, 0) + 1
    return prepared


def joined(left: Array, right: Array, left_label: str, right_label: str) -> Array:
    """Two images side by side, ``[H, 2 W, C]``.

    Raises:
        UserError: they differ in size or type, or in channels other than grey and RGB.
    """
    if left.shape[:2] != right.shape[:2] or left.dtype != right.dtype:
        raise UserError(
            f"{left_label} is {describe(left)} and {right_label} is {describe(right)}: side by side they need one size and one type; "
            "bring them to it, or leave them as two folders"
        )
    channels = max(left.shape[2], right.shape[2])
    if left.shape[2] != right.shape[2] and {left.shape[2], right.shape[2]} != {1, 3}:
        raise UserError(
            f"{left_label} has {left.shape[2]} channels and {right_label} has {right.shape[2]}: side by side they need the same; "
            "leave them as two folders"
        )
    return np.concatenate([convert_channels(left, channels), convert_channels(right, channels)], axis=1)


def _read(picture: object, options: RewriteOptions) -> Array:
    assert isinstance(picture, FilePicture)
    return picture.examine(options.alpha, flag="--alpha")[0]
