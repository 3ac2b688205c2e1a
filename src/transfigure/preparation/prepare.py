"""Pairs made from a folder of photos."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from .. import registry
from ..data.folder import composed
from ..data.images import Alpha
from ..data.layouts import photos as photos_of
from ..data.pairs import FilePicture
from ..data.pixels import Array
from ..data.value_range import NATURAL_RANGE
from ..errors import UserError
from ..progress import track
from ..recipe.section import read_options
from .base import Preparation
from .destination import Destination, PreparedFolder, SplitOptions, divided, prefix
from .side_by_side import joined

Layout = Literal["two_folders", "side_by_side", "source"]


@dataclass(frozen=True)
class PrepareOptions:
    """How pairs are written.

    Attributes:
        layout: ``two_folders``, ``side_by_side``, or ``source`` for what was made alone, without the photos.
        split: how they are divided.
        alpha: what to do with transparent photos.
        overwrite: replace files that are not ours.
        quiet: no progress line.
    """

    layout: Layout = "two_folders"
    split: SplitOptions = field(default_factory=SplitOptions)
    alpha: Alpha = "refuse"
    overwrite: bool = False
    quiet: bool = False


def preparation(name: str, options: Mapping[str, Any] | None = None) -> Preparation:
    """A registered way to make pairs, with its options.

    Args:
        name: as ``transfigure list preparation`` says.
        options: values, or their texts as flags give them.

    Raises:
        UserError: no such name or option, or a value that it does not take.
        Missing: an extra is needed for it.
    """
    made: Preparation = registry.build("preparation", name, **read_options("preparation", "preparation", name, options or {}))
    return made


def prepare(photos: str | Path, out: str | Path, made_by: Preparation, options: PrepareOptions | None = None) -> PreparedFolder:
    """Make a pair of each photo of a folder, and write them as a data set.

    Side A is what was made, side B the photo; masks lie in ``mask`` (``trainmask``, ...) beside them. Integers stay exact.

    Args:
        photos: a folder of images, or of train, val and test folders with them.
        out: the folder to write.
        made_by: how, see :func:`preparation`.
        options: how they are written.

    Raises:
        UserError: a photo cannot be used, or the folder cannot be written.
    """
    options = options or PrepareOptions()
    if options.layout == "side_by_side" and not made_by.keeps_size:
        raise UserError("source and target differ in size, which one file cannot hold side by side: use --layout two_folders")
    collection = photos_of(Path(photos))
    prepared = PreparedFolder(Path(out), notes=list(collection.notes))
    splits = divided(collection, options.split, prepared.notes)
    sides = {"two_folders": ("A", "B"), "side_by_side": ("",), "source": ("",)}[options.layout]
    sides = (*sides, *(("mask",) if made_by.has_mask else ()))
    records = [(split, record) for split, part in splits.items() for record in part]
    stems = [f"{prefix(split, side)}{record.name}" for split, record in records for side in sides]
    place = Destination(out, stems, options.overwrite, [Path(photos)])
    cropped = 0
    for split, record in track(records, len(records), "prepare", quiet=options.quiet):
        assert isinstance(record.a, FilePicture)
        photo, facts = record.a.examine(options.alpha, flag="--alpha")
        pair = made_by(photo, record.a.label, generator_of(options.split.seed, record.name))
        cropped += pair.target.shape != photo.shape
        if options.layout == "side_by_side":
            source = like(pair.source, pair.target)
            place.write(f"{prefix(split)}{record.name}", joined(source, pair.target, record.a.label, record.a.label))
        else:
            place.write(f"{prefix(split, sides[0])}{record.name}", pair.source)
        if options.layout == "two_folders":
            place.write(f"{prefix(split, 'B')}{record.name}", pair.target, facts.channel_names)
        if pair.mask is not None:
            place.write(f"{prefix(split, 'mask')}{record.name}", pair.mask)
        prepared.counts[split] = prepared.counts.get(split, 0) + 1
    if cropped:
        prepared.notes.append(f"{cropped} of {len(records)} photos were cropped at the right and the bottom to fit")
    return prepared


def generator_of(seed: int, name: str) -> np.random.Generator:
    """Random numbers of one photo, whatever others there are and on whatever system."""
    same = composed(f"{seed}/{name}").encode("utf-8", "surrogatepass")
    return np.random.default_rng(int.from_bytes(hashlib.blake2b(same, digest_size=16).digest()))


def like(drawn: Array, photo: Array) -> Array:
    """What was drawn in 8 bits, in the type of its photo: black and white stay black and white.

    Raises:
        UserError: it is of another type that cannot be that of the photo.
    """
    if drawn.dtype == photo.dtype:
        return drawn
    if drawn.dtype != np.uint8 or photo.dtype.name not in NATURAL_RANGE:
        raise UserError(f"a source of {drawn.dtype} does not fit beside a photo of {photo.dtype} in one file: use --layout two_folders")
    low, high = NATURAL_RANGE[photo.dtype.name]
    values = drawn.astype(np.float64) / 255 * (high - low) + low
    found: Array = (values if photo.dtype.kind == "f" else np.rint(values)).astype(photo.dtype)
    return found
