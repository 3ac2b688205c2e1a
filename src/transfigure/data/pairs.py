"""Where pairs come from: the records of a data set, before any image is decoded.

A :class:`Record` names two pictures, A and B. A is the left half, the first folder or the ``source`` column; a direction of ``AtoB``
makes A the source, ``BtoA`` makes B the source. The kinds of data set that find records on disk are in ``layouts.py``.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol, TypeVar

import numpy as np

from ..errors import UserError
from . import images
from .files import natural_key
from .images import Alpha
from .pixels import Array

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
        """The pixels, ``[H, W, C]`` in the file's own type (uint8, uint16 or float32)."""
        ...


@dataclass(frozen=True)
class FilePicture:
    """A picture on disk.

    Attributes:
        paths: one file, or several whose channels are stacked in this order (they must agree in size and type).
        half: which half of a side-by-side file this is; None for the whole file.
    """

    paths: tuple[Path, ...]
    half: Literal["left", "right"] | None = None

    @property
    def label(self) -> str:
        """The first file, and how many more or which half."""
        more = f" (and {len(self.paths) - 1} more)" if len(self.paths) > 1 else ""
        return f"{self.paths[0]}{more}{f' ({self.half} half)' if self.half else ''}"

    def read(self, alpha: Alpha = "refuse") -> Array:
        """The pixels, ``[H, W, C]`` in the file's own type.

        Raises:
            UserError: a file cannot be read; stacked files differ in size or type; the width of a side-by-side file is odd.
        """
        whole = self._whole(alpha)
        if self.half is None:
            return whole
        return images.split_halves(whole, self.paths[0])[self.half == "right"]

    def _whole(self, alpha: Alpha) -> Array:
        layers = [images.read(path, alpha) for path in self.paths]
        first = layers[0]
        for path, layer in zip(self.paths, layers):
            if layer.shape[:2] != first.shape[:2] or layer.dtype != first.dtype:
                raise UserError(
                    f"{path} is {describe(layer)} but {self.paths[0]} is {describe(first)}: "
                    "files that are stacked as the channels of one picture must have one size and one type"
                )
        return first if len(layers) == 1 else np.concatenate(layers, axis=2)


def describe(array: Array) -> str:
    """``512x256, 8-bit RGB``: width, height, type and channels for a message."""
    height, width, channels = array.shape
    depth = {"uint8": "8-bit", "uint16": "16-bit", "float32": "float"}.get(array.dtype.name, array.dtype.name)
    colours = {1: "grey", 2: "grey with alpha", 3: "RGB", 4: "RGBA"}.get(channels, f"{channels} channels")
    return f"{width}x{height}, {depth} {colours}"


@dataclass(frozen=True)
class Record:
    """Two pictures that belong together, not yet decoded.

    Attributes:
        name: what a person calls the pair; unique within its split.
        a: the left half, the first folder's file or the ``source`` column.
        b: the right half, the second folder's file or the ``target`` column.
    """

    name: str
    a: Picture
    b: Picture

    def swapped(self) -> Record:
        """The same pair the other way round."""
        return Record(self.name, self.b, self.a)

    def load(self, alpha: Alpha = "refuse") -> tuple[Array, Array]:
        """Both pictures' pixels, ``[H, W, C]`` each; a side-by-side file is decoded once.

        Raises:
            UserError: a file cannot be used.
        """
        a, b = self.a, self.b
        if isinstance(a, FilePicture) and isinstance(b, FilePicture) and a.paths == b.paths and a.half and b.half:
            halves = images.split_halves(a._whole(alpha), a.paths[0])
            return halves[a.half == "right"], halves[b.half == "right"]
        return a.read(alpha), b.read(alpha)


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
    """

    name: str
    picture: Picture


@dataclass
class Collection:
    """What a kind of data set found: pairs in ``splits``, or two domains without correspondence in ``domains``.

    Attributes:
        splits: records by ``train``, ``val`` and ``test``, or all of them under ``all`` when the data is not divided.
        notes: what a person should know about how the pairs were found: files without a partner, folders not used.
        domains: the pictures of A and of B by the same names, where there are no pairs.
    """

    splits: dict[str, list[Record]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    domains: dict[str, tuple[list[Single], list[Single]]] = field(default_factory=dict)

    @property
    def unpaired(self) -> bool:
        """Whether nothing says which target belongs to a source."""
        return bool(self.domains)


Named = TypeVar("Named", Record, Single)


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


def split(collection: Collection, val_fraction: float, test_fraction: float, seed: int) -> dict[str, list[Record]]:
    """The records for training, validation and test.

    Sub-folders or a manifest's split column win: what they hold is taken as it is, and a split they lack stays empty. Otherwise each
    fraction is drawn by a hash of the seed and the pair's name, so it depends on neither the order of the files nor the platform, and
    adding pictures moves few of the old ones. A fraction above 0 gets at least one pair where two (val) or three (test) exist; one
    pair always stays for training.

    Args:
        collection: what a data set's kind found.
        val_fraction: share of the pairs for validation, in [0, 1).
        test_fraction: share of the pairs for test, in [0, 1); the two together stay below 1.
        seed: another seed draws other pairs.

    Raises:
        UserError: the fractions leave nothing for training, a split's name is unknown, or two pairs of a split have one name.
    """
    if min(val_fraction, test_fraction) < 0 or val_fraction + test_fraction >= 1:
        raise UserError(
            f"val_fraction {val_fraction} and test_fraction {test_fraction} must not be negative and must leave something to train on"
        )
    result: dict[str, list[Record]] = {name: [] for name in SPLITS}
    for name, sides in collection.domains.items():
        for side, singles in zip("AB", sides):
            _refuse_duplicates(singles, f"domain {side}")
        if name == "all":
            a, b = (_draw(singles, val_fraction, test_fraction, seed) for singles in sides)
            for part in SPLITS:
                result[part] += side_by_chance(a[part], b[part])
        else:
            result[canonical_split(name)] += side_by_chance(*sides)
    for name, records in collection.splits.items():
        if name == "all":
            _refuse_duplicates(records, "the data set")
            for part, chosen in _draw(records, val_fraction, test_fraction, seed).items():
                result[part] += chosen
        else:
            result[canonical_split(name)] += records
    for name, records in result.items():
        _refuse_duplicates(records, f"the {name} split")
    return result


def canonical_split(word: str) -> str:
    """``train``, ``val`` or ``test`` from any of the words in use for them.

    Raises:
        UserError: the word is none of them.
    """
    for name, words in SPLIT_NAMES.items():
        if word.strip().lower() in words:
            return name
    raise UserError(f"{word!r} is not a split: use train, val or test")


def _draw(records: Sequence[Named], val_fraction: float, test_fraction: float, seed: int) -> dict[str, list[Named]]:
    count = len(records)
    test = max(round(test_fraction * count), 1) if test_fraction > 0 and count >= 3 else 0
    val = max(round(val_fraction * count), 1) if val_fraction > 0 and count >= 2 else 0
    val = min(val, count - 1 - (test > 0))
    test = min(test, count - 1 - val)
    drawn = sorted(records, key=lambda record: hashlib.blake2b(f"{seed}/{record.name}".encode(), digest_size=16).digest())
    parts = {"test": drawn[:test], "val": drawn[test : test + val], "train": drawn[test + val :]}
    return {name: sorted(part, key=lambda record: natural_key(record.name)) for name, part in parts.items()}


def _refuse_duplicates(records: Sequence[Record] | Sequence[Single], where: str) -> None:
    repeated = [name for name, times in Counter(record.name for record in records).items() if times > 1]
    if repeated:
        raise UserError(f"two pairs of {where} are called {repeated[0]!r}: names must be unique, so rename one")
