"""Where pairs come from: the records of a data set, before any image is decoded.

A :class:`Record` names two pictures, A and B. A is the left half, the first folder or the ``source`` column; a direction of ``AtoB``
makes A the source, ``BtoA`` makes B the source. The kinds of data set that find records on disk are in ``layouts.py``.
"""

from __future__ import annotations

import contextlib
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np

from ..errors import UserError
from . import images
from .file_facts import NO_FACTS, FileFacts, NoData, Orientation, PageUse
from .images import Alpha, PaletteUse
from .pixels import Array
from .regions import Box
from .value_range import DEPTHS
from .windows import WindowedImage

Direction = Literal["AtoB", "BtoA"]

SPLITS = ("train", "val", "test")
SPLIT_NAMES = {"train": ("train", "training"), "val": ("val", "valid", "validation"), "test": ("test", "testing")}
"""The words that folders and manifests use for each split."""


class Picture(Protocol):
    """Something that can be read as one image: a file, half a file, several files as channels, or a procedure."""

    @property
    def paths(self) -> tuple[Path, ...]:
        """The files it is read from; empty if it is not on disk."""
        ...

    @property
    def label(self) -> str:
        """What a message calls it."""
        ...

    def read(self, alpha: Alpha = "refuse") -> Array:
        """The pixels, ``[H, W, C]`` in the file's own type."""
        ...


@dataclass(frozen=True)
class FilePicture:
    """A picture on disk.

    Attributes:
        files: one file, or several whose channels are stacked in this order. They must agree in size and type; 8 bits beside 16 become 16
            bits, each file in its own full range. There may be 200,000 of them, and strings take less memory and time than paths.
        half: which half of a side-by-side file this is; None for the whole file.
        orientation: whether the files' orientation tags are applied.
        palette: whether a palette image is read as its colours, or as its indices: 0 for its full size; see :func:`.images.size_of`.
        names: what each of the files is called, where something says it: a pattern's alternatives and numbers.
        pages: what their pages are; numbers, counted from 0, are those that are read, as channels in this order, and the one in the
            middle is what the picture shows.
        no_data: what means "nothing here" in the files.
        region: the part of it that is the picture, after everything else that is said here; None for all of it.
        max_pixels: the largest file that is decoded whole, in place of :func:`.images.pixel_limit`.
        level: of a pyramid or a whole slide, 0 for its full size; see :func:`.images.size_of`.
    """

    files: tuple[str | Path, ...]
    half: Literal["left", "right"] | None = None
    orientation: Orientation = "apply"
    names: tuple[str, ...] = ()
    palette: PaletteUse = "colours"
    pages: PageUse | tuple[int, ...] = "channels"
    no_data: NoData = "tag"
    region: Box | None = None
    max_pixels: int | None = None
    level: int | None = None

    @property
    def paths(self) -> tuple[Path, ...]:
        """The files, as paths."""
        return tuple(map(Path, self.files))

    @property
    def label(self) -> str:
        """The first file, its page, how many more or which half, and its region."""
        more = f" (and {len(self.files) - 1} more)" if len(self.files) > 1 else ""
        page = f"[{self.pages[len(self.pages) // 2]}]" if isinstance(self.pages, tuple) else ""
        region = f"[{self.region}]" if self.region is not None else ""
        return f"{self.files[0]}{page}{more}{f' ({self.half} half)' if self.half else ''}{region}"

    def read(self, alpha: Alpha = "refuse") -> Array:
        """The pixels, ``[H, W, C]`` in the file's own type.

        Raises:
            UserError: a file cannot be read; stacked files differ in size or type; the width of a side-by-side file is odd.
        """
        return self.examine(alpha)[0]

    def examine(self, alpha: Alpha = "refuse", flag: str = "--data.alpha") -> tuple[Array, FileFacts]:
        """As :meth:`read`, and what the (first) file says of itself; the channels of several files have those files' names.

        Args:
            alpha: what to do with transparency.
            flag: what a refusal of transparency names.
        """
        whole, facts = self._whole(alpha, flag)
        return self._part(whole, facts)

    def _part(self, whole: Array, facts: FileFacts) -> tuple[Array, FileFacts]:
        """Its half of what the files hold, and the region of that; without a half, the region alone has been read."""
        if self.half is None:
            return whole, facts
        half = images.split_halves(whole, self.paths[0])[self.half == "right"]
        return (half, facts) if self.region is None else self._cut(half, facts)

    def _cut(self, whole: Array, facts: FileFacts) -> tuple[Array, FileFacts]:
        assert self.region is not None
        part = cut(whole, self.region, self.label)
        return part, _with_share(facts, part)

    def _whole(self, alpha: Alpha, flag: str = "--data.alpha") -> tuple[Array, FileFacts]:
        files = [self._file(path, alpha, flag) for path in self.paths]
        found, sizes = [(array, facts) for array, facts, _ in files], [size for *_, size in files]
        if len(found) == 1:
            return found[0]
        layers = [layer for layer, _ in found]
        facts, deep = self._together(
            [_Shape((*size, layer.shape[2]), layer.dtype) for layer, size in zip(layers, sizes)], [one for _, one in found]
        )
        return np.concatenate([deepened(layer) if deep else layer for layer in layers], axis=2), facts

    def _together(self, files: Sequence[Shaped], facts: Sequence[FileFacts]) -> tuple[FileFacts, bool]:
        """What is known of an image of several files, and whether those of 8 bits stand beside others of 16."""
        known = facts[0]
        declared = {str(one.no_data): one for one in facts if one.no_data is not None}
        if len(declared) > 1:
            raise UserError(
                f"{self.label} are channels of one picture and declare {' and '.join(declared)} as their no-data values: one must hold for "
                "all, so give it with --data.nodata"
            )
        if declared:
            share = sum(one.no_data_share for one in facts) / len(facts)
            known = replace(known, no_data=next(iter(declared.values())).no_data, no_data_share=share)
        deep = {file.dtype.name for file in files} == {"uint8", "uint16"}
        for path, file in zip(self.paths, files):
            if file.shape[:2] != files[0].shape[:2] or (file.dtype != files[0].dtype and not deep):
                first = describe(files[0])
                raise UserError(
                    f"{path} is {describe(file)} but {self.paths[0]} is {first}: files that are stacked as the channels of one "
                    "picture must have one size and one type (8-bit files may stand beside 16-bit ones): save them alike"
                )
        if deep:
            known = replace(known, stored="uint16")
        names = channel_names(self.names, [(file.shape[2], one.channel_names) for file, one in zip(files, facts)])
        return replace(known, channel_names=names), deep

    def open_windows(self, alpha: Alpha = "refuse", flag: str = "--data.alpha") -> WindowedImage | None:
        """What reads any rectangle of it without the rest; None where one of its files has to be decoded whole.

        Args:
            alpha, flag: as of :meth:`examine`.

        Raises:
            UserError: as :meth:`read`, as far as headers show it.
        """
        if isinstance(self.pages, tuple) and len(self.pages) > 1:
            return None
        with contextlib.ExitStack() as opened:
            files = []
            for path in self.paths:
                one = images.open_windows(
                    path, alpha, self.orientation, flag, self.palette, self.pages, self.no_data, level=self.level or 0
                )
                if one is None:
                    return None
                files.append(one)
                opened.callback(one.close)
            windows = self._windows(files)
            opened.pop_all()
            return windows

    def _windows(self, files: Sequence[WindowedImage]) -> WindowedImage:
        facts, deep = files[0].facts, False
        if len(files) > 1:
            outlines = [_Shape((one.height, one.width, one.channels), np.dtype(one.dtype)) for one in files]
            facts, deep = self._together(outlines, [one.facts for one in files])
        box = Box(0, 0, files[0].height, files[0].width)
        if self.half is not None:
            images.split_halves(np.empty((0, box.width, 0)), self.paths[0])
            left = box.width // 2 * (self.half == "right")
            box = Box(0, left, box.height, left + box.width // 2)
        if (region := self.region) is not None:
            check_region(region, box.height, box.width, self.label)
            box = Box(box.top + region.top, box.left + region.left, box.top + region.bottom, box.left + region.right)
        return _PictureWindows(files, box, facts, deep)

    def _file(self, path: Path, alpha: Alpha, flag: str) -> tuple[Array, FileFacts, tuple[int, int]]:
        """One file, of which only the region is read where there is one (not of halves) and its format can do that; and the whole size."""
        array, facts, (height, width) = self._read(path, alpha, flag)
        if not isinstance(self.pages, tuple) or len(self.pages) == 1:
            return array, facts, (height, width)
        if facts.pages == 1:  # a file of one page is its own neighbour
            array = np.concatenate([array] * len(self.pages), axis=2)
        middle = len(self.pages) // 2
        steps = [f"slice {at - middle:+d}" if at != middle else "slice" for at in range(len(self.pages))]
        names = tuple(steps) if array.shape[2] == len(steps) else ()
        return array, replace(facts, pages=1, channel_names=names), (height, width)

    def _read(self, path: Path, alpha: Alpha, flag: str) -> tuple[Array, FileFacts, tuple[int, int]]:
        region = self.region if self.half is None else None
        level = self.level or 0
        by_level = self.level is not None and (level > 0 or images.is_slide(path))
        if region is not None or by_level:
            windows = images.open_windows(path, alpha, self.orientation, flag, self.palette, self.pages, self.no_data, level=level)
            if windows is not None:
                with contextlib.closing(windows):
                    size = windows.height, windows.width
                    if region is None:
                        images.check_whole(path, windows, self.max_pixels)
                    else:
                        check_region(region, *size, self.label)
                    array = windows.read(*(region or Box(0, 0, *size)))
                    return array, _with_share(windows.facts, array), size
            if by_level:
                raise UserError(f"level {level} of {path} is stored in a way that is not read: choose another level")
        array, facts = images.examine(path, alpha, self.orientation, flag, self.palette, self.pages, self.no_data, self.max_pixels)
        size = array.shape[0], array.shape[1]
        return (array, facts, size) if region is None else (*self._cut(array, facts), size)


class _Shape(NamedTuple):
    shape: tuple[int, ...]
    dtype: np.dtype[Any]


def _with_share(facts: FileFacts, part: Array) -> FileFacts:
    """What a file says, with the share of no-data in a part of it."""
    if facts.no_data is None:
        return facts
    return replace(facts, no_data_share=float((np.isnan(part) if math.isnan(facts.no_data) else part == facts.no_data).mean()))


class _PictureWindows:
    """Rectangles of a picture: of a part of its files, whose channels lie one behind the other; see :class:`.windows.WindowedImage`."""

    def __init__(self, files: Sequence[WindowedImage], box: Box, facts: FileFacts, deep: bool) -> None:
        self._files, self._box, self._deep, self.facts = files, box, deep, facts
        self.height, self.width, self.levels = box.height, box.width, files[0].levels
        self.channels, self.dtype = sum(one.channels for one in files), "uint16" if deep else files[0].dtype

    def read(self, top: int, left: int, bottom: int, right: int) -> Array:
        if not (0 <= top < bottom <= self.height and 0 <= left < right <= self.width):
            raise ValueError(f"rows {top} to {bottom} and columns {left} to {right} of {self.width} x {self.height} pixels")
        y, x = self._box.top, self._box.left
        parts = [one.read(y + top, x + left, y + bottom, x + right) for one in self._files]
        return parts[0] if len(parts) == 1 else np.concatenate([deepened(part) if self._deep else part for part in parts], axis=2)

    def close(self) -> None:
        for one in self._files:
            one.close()


def deepened(layer: Array) -> Array:
    """8 bits in their full range as 16 bits in theirs."""
    return layer.astype(np.uint16) * np.uint16(257) if layer.dtype == np.uint8 else layer


def channel_names(files: Sequence[str], channels: Sequence[tuple[int, tuple[str, ...]]]) -> tuple[str, ...]:
    """What the channels of stacked files are called.

    Args:
        files: what each file is called; empty, or an empty word, where nothing says it.
        channels: of each file how many it has, and what it calls them itself.

    Returns:
        A name for each, none of them twice; nothing where no file and no pattern names any.
    """
    files = list(files) if len(files) == len(channels) else [""] * len(channels)
    if not any(files) and not any(own for _, own in channels):
        return ()
    names: list[str] = []
    for called, (count, own) in zip(files, channels):
        inside = own if len(own) == count else _COLOURS if count == 3 else tuple(map(str, range(count)))
        names += [called or (own[0] if own else "image")] if count == 1 else [f"{called} {one}".strip() for one in inside]
    times, seen = Counter(names), Counter[str]()
    for at, name in enumerate(names):
        if times[name] > 1:
            seen[name] += 1
            names[at] = f"{name} {seen[name]}"
    return tuple(names)


_COLOURS = ("red", "green", "blue")


def cut(array: Array, region: Box, label: str) -> Array:
    """A region of an image, as an array of its own: a view would keep the whole image in memory.

    Args:
        array: ``[H, W, ...]``.
        region: what is taken.
        label: what a message calls it.

    Raises:
        UserError: the image is smaller than that.
    """
    check_region(region, array.shape[0], array.shape[1], label)
    return array[region.top : region.bottom, region.left : region.right].copy()


def check_region(region: Box, height: int, width: int, label: str) -> None:
    """Refuse a region that an image of this size does not have.

    Raises:
        UserError: it does not.
    """
    if region.bottom > height or region.right > width:
        raise UserError(
            f"{label} is a region of an image that has {width}x{height} pixels now: it was changed after it was divided into regions, so "
            "start anew"
        )


def region_of(picture: Picture) -> Box | None:
    """The part of its files that a picture is; None for all of them."""
    return picture.region if isinstance(picture, FilePicture) else None


def are_halves(a: FilePicture, b: FilePicture) -> bool:
    """Whether two pictures are the halves of one, to be decoded once."""
    return a.files == b.files and bool(a.half and b.half) and (a.pages, a.palette, a.no_data) == (b.pages, b.palette, b.no_data)


def examined(picture: Picture, alpha: Alpha = "refuse") -> tuple[Array, FileFacts]:
    """Any picture's pixels, and what its file says of itself; a picture that is not on disk says nothing."""
    return picture.examine(alpha) if isinstance(picture, FilePicture) else (picture.read(alpha), NO_FACTS)


class Shaped(Protocol):
    """A picture, or what is remembered of one."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Height, width, channels."""
        ...

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of its numbers."""
        ...


def describe(array: Shaped, named: bool = False) -> str:
    """``512x256, 8-bit RGB``: width, height, type and channels for a message; ``named`` ones are not red, green and blue."""
    height, width, channels = array.shape
    depth = DEPTHS.get(array.dtype.name, array.dtype.name)
    colours = {1: "grey", 2: "grey with alpha", 3: "RGB", 4: "RGBA"}.get(channels, f"{channels} channels")
    return f"{width}x{height}, {depth} {f'{channels} channels' if named and channels > 1 else colours}"


@dataclass(frozen=True)
class Record:
    """Two pictures that belong together, not yet decoded.

    Attributes:
        name: what a person calls the pair; unique within its split.
        a: the left half, the first folder's file or the ``source`` column.
        b: the right half, the second folder's file or the ``target`` column.
        group: what it is a part of, from a manifest's ``group`` column: the parts of one thing stay in one split.
        mask: the file that says what counts; None if everything does.
    """

    name: str
    a: Picture
    b: Picture
    group: str | None = None
    mask: FilePicture | None = None

    def swapped(self) -> Record:
        """The same pair the other way round."""
        return Record(self.name, self.b, self.a, self.group, self.mask)

    def as_stored(self) -> Record:
        """The same pair, its files read without regard to their orientation tags."""
        a, b = (replace(one, orientation="ignore") if isinstance(one, FilePicture) else one for one in (self.a, self.b))
        return replace(self, a=a, b=b, mask=None if self.mask is None else replace(self.mask, orientation="ignore"))

    def with_no_data(self, a: NoData, b: NoData) -> Record:
        """The same pair, where these mean "nothing here" in the files of A and of B."""
        sides = zip((self.a, self.b), (a, b))
        first, second = (replace(one, no_data=told) if isinstance(one, FilePicture) else one for one, told in sides)
        return replace(self, a=first, b=second)

    def with_indices(self, a: bool, b: bool) -> Record:
        """The same pair, the palette files of one side or both read as their indices."""
        sides = zip((self.a, self.b), (a, b))
        first, second = (replace(one, palette="index") if labels and isinstance(one, FilePicture) else one for one, labels in sides)
        return replace(self, a=first, b=second)

    def load(self, alpha: Alpha = "refuse") -> tuple[Array, Array]:
        """Both pictures' pixels, ``[H, W, C]`` each; a side-by-side file is decoded once.

        Raises:
            UserError: a file cannot be used.
        """
        return self.examine(alpha)[0]

    def examine(self, alpha: Alpha = "refuse") -> tuple[tuple[Array, Array], tuple[FileFacts, FileFacts]]:
        """As :meth:`load`, and what the file of each says of itself."""
        a, b = self.a, self.b
        if isinstance(a, FilePicture) and isinstance(b, FilePicture) and are_halves(a, b):
            whole, facts = a._whole(alpha)
            (left, of_left), (right, of_right) = a._part(whole, facts), b._part(whole, facts)
            return (left, right), (of_left, of_right)
        (first, of_a) = examined(a, alpha)
        (second, of_b) = (first, of_a) if a == b else examined(b, alpha)
        return (first, second), (of_a, of_b)


def directed(records: Sequence[Record], direction: Direction) -> list[Record]:
    """The records with their sources first: as they are for ``AtoB``, swapped for ``BtoA``.

    Raises:
        UserError: another word.
    """
    if direction not in ("AtoB", "BtoA"):
        raise UserError(f"direction is {direction!r}: it must be AtoB (A is the source) or BtoA (B is the source)")
    return list(records) if direction == "AtoB" else [record.swapped() for record in records]


@dataclass(frozen=True)
class Single:
    """One picture of a domain, not yet decoded.

    Attributes:
        name: what a person calls it; unique within its split and domain.
        picture: where it is read from.
        group: what it is a part of, if that is known.
    """

    name: str
    picture: Picture
    group: str | None = None


@dataclass
class Collection:
    """What a kind of data set found: pairs in ``splits``, or two domains without correspondence in ``domains``.

    Attributes:
        splits: records by ``train``, ``val`` and ``test``, or all of them under ``all`` when the data is not divided.
        notes: what a person should know about how the pairs were found: files without a partner, folders not used.
        domains: the pictures of A and of B by the same names, where there are no pairs.
        lacking: a sentence for each side on which images lack files that a pattern names.
        told: of names under ``all``, those of which somebody has said in which split they are.
    """

    splits: dict[str, list[Record]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    domains: dict[str, tuple[list[Single], list[Single]]] = field(default_factory=dict)
    lacking: list[str] = field(default_factory=list)
    told: dict[str, str] = field(default_factory=dict)

    @property
    def unpaired(self) -> bool:
        """Whether nothing says which target belongs to a source."""
        return bool(self.domains)


def side_by_chance(a: Sequence[Single], b: Sequence[Single]) -> list[Record]:
    """Every picture of both domains in as many records as the larger one has; the smaller one is gone through again.

    What stands in one record has nothing to do with each other. A name is A's, numbered when A is gone through again.
    """
    if not a or not b:
        return []
    return [
        Record(one.name if turn == 0 else f"{one.name} ({turn + 1})", one.picture, other.picture)
        for index in range(max(len(a), len(b)))
        for turn, one, other in [(index // len(a), a[index % len(a)], b[index % len(b)])]
    ]


def canonical_split(word: str) -> str:
    """``train``, ``val`` or ``test`` from any of the words in use for them.

    Raises:
        UserError: the word is none of them.
    """
    for name, words in SPLIT_NAMES.items():
        if word.strip().lower() in words:
            return name
    raise UserError(f"{word!r} is not a split: use train, val or test")
