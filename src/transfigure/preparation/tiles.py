"""Large images cut into training patches, so that nothing of a held-out patch is trained on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np

from ..data.images import Alpha, is_beyond_limit, size_of
from ..data.layouts import photos, two_folders
from ..data.pairs import Collection, FilePicture, Picture, Record
from ..data.pixels import Array
from ..data.regions import Box, region_grid, usable
from ..data.splits import divide
from ..errors import UserError
from ..progress import track
from .destination import Destination, PreparedFolder, SplitOptions, divided, prefix

_RANK = {"train": 0, "val": 1, "test": 2}
"""Of two neighbours in different splits, the one that is less held out gives the margin."""


@dataclass(frozen=True)
class TileOptions:
    """How images are cut.

    Attributes:
        size: side of a patch, in pixels.
        stride: from one patch to the next, in pixels, at most ``size``; None for patches that only overlap at the last row and column.
        by: ``image``: the patches of an image, or of a group of images, are in one split. ``region``: each image is cut into regions,
            which are divided.
        regions: rows and columns of regions in an image.
        margin: pixels that are left out between regions of different splits; None for a quarter of ``size``.
        split: how images or regions are divided.
        alpha: what to do with transparent images.
        overwrite: replace files that are not ours.
        quiet: no progress line.
        level: of whole slides and pyramids, 0 for the full size.
    """

    size: int = 256
    stride: int | None = None
    by: Literal["image", "region"] = "image"
    regions: tuple[int, int] = (4, 4)
    margin: int | None = None
    split: SplitOptions = field(default_factory=SplitOptions)
    alpha: Alpha = "refuse"
    overwrite: bool = False
    quiet: bool = False
    level: int = 0


def tile(a: str | Path, out: str | Path, b: str | Path | None = None, options: TileOptions | None = None) -> PreparedFolder:
    """Cut the images of a folder, or the pairs of two, into patches; no value changes.

    A patch is called by its image and its place in it, ``scene/y00256_x00512.png``: ``--data.group parent`` knows what belongs together.

    Args:
        a: the folder of images, or of train, val and test folders with them; the pages of a stack are its channels.
        out: the folder to write.
        b: the second side of pairs; each of its images has the size of its partner.
        options: how.

    Raises:
        UserError: an image, a region or a margin is too small or too large for the patches, or a pair differs in size.
    """
    options = options or TileOptions()
    stride = _checked_stride(options)
    collection = photos(Path(a)) if b is None else two_folders(None, str(a), str(b))
    prepared = PreparedFolder(Path(out), notes=list(collection.notes))
    if options.level:
        collection.splits = {split: [_at_level(one, options.level) for one in part] for split, part in collection.splits.items()}
    if options.by == "image":
        records = [(split, record) for split, part in divided(collection, options.split, prepared.notes).items() for record in part]
        boxes = {(split, record.name): [(split, Box(0, 0, *_size(record)))] for split, record in records}
    else:
        records, boxes = _by_region(collection, options)
    sides = {"A": "a", "B": "b"} if b is not None else {"": "a"}
    plan = [
        (record, [(split, window) for split, box in boxes[key, record.name] for window in windows(box, options.size, stride)])
        for key, record in records
    ]
    _check_plan(plan, boxes, options)
    stems = [f"{prefix(split, side)}{_name(record, window)}" for record, cut in plan for split, window in cut for side in sides]
    place = Destination(out, stems, options.overwrite, [Path(a), *([] if b is None else [Path(b)])])
    for record, cut in track(plan, len(plan), "tile", quiet=options.quiet):
        for side, attribute in sides.items():
            picture = getattr(record, attribute)
            assert isinstance(picture, FilePicture)
            with _opened(picture, options) as (patch_at, names):
                for split, window in cut:
                    place.write(f"{prefix(split, side)}{_name(record, window)}", patch_at(window), names)
        for split, _ in cut:
            prepared.counts[split] = prepared.counts.get(split, 0) + 1
    if options.by == "region" and margin_of(options):
        prepared.notes.append(f"{margin_of(options)} pixels are left out between regions of different splits (--margin)")
    prepared.counts = {split: prepared.counts[split] for split in ("all", *_RANK) if split in prepared.counts}
    return prepared


def _at_level(record: Record, level: int) -> Record:
    a, b = (replace(side, level=level) if isinstance(side, FilePicture) else side for side in (record.a, record.b))
    return replace(record, a=a, b=b)


@contextmanager
def _opened(picture: FilePicture, options: TileOptions) -> Iterator[tuple[Callable[[Box], Array], tuple[str, ...]]]:
    """What gives the patches of an image, and the names of its channels; one too large to be decoded whole is read patch by patch."""
    header = size_of(picture.paths[0], picture.orientation, picture.pages, picture.level)
    large = is_beyond_limit(header.width, header.height, header.channels)
    parts = picture.open_windows(options.alpha, "--alpha") if large else None
    if parts is not None:
        with closing(parts):
            yield lambda box: parts.read(*box), parts.facts.channel_names
        return
    whole, facts = picture.examine(options.alpha, flag="--alpha")
    yield lambda box: np.ascontiguousarray(whole[box.top : box.bottom, box.left : box.right]), facts.channel_names


def margin_of(options: TileOptions) -> int:
    """The margin in pixels."""
    return options.size // 4 if options.margin is None else options.margin


def windows(box: Box, size: int, stride: int) -> Iterator[Box]:
    """The patches of a part of an image, row by row; the last of a row or column ends where the part does. None if it is too small."""
    for top in _starts(box.top, box.bottom, size, stride):
        for left in _starts(box.left, box.right, size, stride):
            yield Box(top, left, top + size, left + size)


def _starts(low: int, high: int, size: int, stride: int) -> list[int]:
    if high - low < size:
        return []
    found = list(range(low, high - size + 1, stride))
    return found if found[-1] == high - size else [*found, high - size]


def _by_region(
    collection: Collection, options: TileOptions
) -> tuple[list[tuple[str, Record]], dict[tuple[str, str], list[tuple[str, Box]]]]:
    """The images, and of each the parts that patches may lie in, with their splits."""
    if "all" not in collection.splits:
        raise UserError(
            f"the images are divided already, into {', '.join(collection.splits)}: cut them with --by image, or move them into one folder"
        )
    if not (options.split.val or options.split.test):
        raise UserError("regions are cut to be divided: give --test 0.25 (and --val), or cut by image")
    if options.split.group is not None:
        raise UserError("--group keeps images together, and --by region divides each of them: choose one of the two")
    images, margin = collection.splits["all"], margin_of(options)
    grids = {record.name: region_grid(*_size(record), *options.regions) for record in images}
    for record in images:
        least = min(min(box.bottom - box.top, box.right - box.left) for box in grids[record.name].values())
        if least < max(margin, options.size):
            raise UserError(
                f"{record.a.label} has regions of {least} pixels: too narrow for a patch of {options.size} and a margin of {margin}; "
                "give fewer --regions, or a smaller --size"
            )
    parts = [Record(f"{record.name}/{row}_{column}", record.a, record.b) for record in images for row, column in grids[record.name]]
    drawn = divide(Collection({"all": parts}), options.split.val, options.split.test, options.split.seed)
    split_of = {record.name: split for split, members in drawn.splits.items() for record in members}
    boxes = {}
    for record in images:
        grid = grids[record.name]
        splits = {(row, column): split_of[f"{record.name}/{row}_{column}"] for row, column in grid}
        boxes["all", record.name] = [(splits[at], usable(grid, splits, at, margin)) for at in grid]
    return [("all", record) for record in images], boxes


def _check_plan(
    plan: list[tuple[Record, list[tuple[str, Box]]]], boxes: Mapping[tuple[str, str], list[tuple[str, Box]]], options: TileOptions
) -> None:
    """See that every image gives patches, and every split that it was meant to have.

    Raises:
        UserError: one does not.
    """
    for record, cut in plan:
        if not cut:
            height, width = _size(record)
            raise UserError(
                f"{record.a.label} is {width} x {height} pixels, and gives no patch of {options.size} x {options.size}: give a smaller "
                "--size (or --margin), or leave it out"
            )
    for split in {split for parts in boxes.values() for split, _ in parts}:
        if not any(one == split for _, cut in plan for one, _ in cut):
            raise UserError(
                f"no patch of {options.size} fits into the {split} regions with a margin of {margin_of(options)}: give fewer --regions, "
                "a smaller --size or another --seed"
            )


def _checked_stride(options: TileOptions) -> int:
    stride = options.size if options.stride is None else options.stride
    if options.size < 1 or not 1 <= stride <= options.size:
        raise UserError(f"--size {options.size} and --stride {stride}: both must be at least 1, and the stride at most the size")
    if margin_of(options) < 0:
        raise UserError(f"--margin {options.margin}: give 0 or more pixels")
    if min(options.regions) < 1 or options.regions == (1, 1):
        raise UserError(f"--regions {options.regions[0]}x{options.regions[1]}: give rows and columns, two regions at least, such as 2x2")
    return stride


def _size(record: Record) -> tuple[int, int]:
    """Height and width by the header; the same on both sides.

    Raises:
        UserError: they differ.
    """
    (height, width), other = _of_header(record.a), _of_header(record.b)
    if (height, width) != other:
        raise UserError(
            f"{record.a.label} is {width} x {height} pixels and {record.b.label} is {other[1]} x {other[0]}: a pair is cut at the same "
            "places, so bring both to one size"
        )
    return height, width


def _of_header(picture: Picture) -> tuple[int, int]:
    assert isinstance(picture, FilePicture)
    header = size_of(picture.paths[0], picture.orientation, picture.pages, picture.level)
    return header.height, header.width


def _name(record: Record, window: Box) -> str:
    return f"{record.name}/y{window.top:05d}_x{window.left:05d}"
