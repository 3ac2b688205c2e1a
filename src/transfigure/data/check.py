"""What is wrong with my data? Every training picture is read once, and all that is wrong is said together."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import numpy as np

from ..errors import UserError
from .images import Alpha
from .pairing import listed
from .pairs import Direction, Picture, Record, describe, directed
from .pixels import Array
from .transforms import Geometry

T = TypeVar("T")

SIDES = ("source", "target")
SHOWN = 20
ENOUGH = 10
"""A domain with fewer training pictures is memorised."""
_DEPTHS = {"uint8": "8-bit", "uint16": "16-bit", "float32": "float"}


@dataclass
class Findings:
    """What a look at every training pair found.

    Attributes:
        errors: one line for each reason a pair cannot be used.
        warnings: one line for each thing that is probably not meant.
        source_channels: channels of the sources; 3 where grey and colour are mixed; 0 if none could be read.
        target_channels: channels of the targets.
        source_dtype: ``uint8``, ``uint16`` or ``float32``, which most sources have; empty if none could be read.
        target_dtype: the same for the targets.
        count: how many pairs were looked at.
        unusable: how many of them have an error.
        source_values: the smallest and the largest value in any source.
        target_values: the same for the targets.
    """

    errors: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    source_channels: int = 0
    target_channels: int = 0
    source_dtype: str = ""
    target_dtype: str = ""
    count: int = 0
    unusable: int = 0
    source_values: tuple[float, float] = (0.0, 0.0)
    target_values: tuple[float, float] = (0.0, 0.0)


@dataclass(frozen=True)
class _Seen:
    """What is remembered of one picture after its pixels are gone."""

    index: int
    label: str
    size: tuple[int, int]
    channels: int
    dtype: str
    low: float
    high: float


def inspect(
    records: Sequence[Record],
    geometry: Geometry,
    *,
    direction: Direction = "AtoB",
    alpha: Alpha = "refuse",
    held_out: Sequence[Record] = (),
    progress: Callable[[int, int], None] | None = None,
    sink: Callable[[int, Array, Array], object] | None = None,
) -> Findings:
    """Read every training pair and say all that is wrong with them.

    Args:
        records: the training pairs.
        geometry: how they will be resized and cropped: pictures smaller than the crop, or squeezed to a square, are warned about. Where
            it is not ``paired`` (two domains), the pictures of a record need not have one size.
        direction: which side is the source.
        alpha: what to do with transparency, as in :func:`images.read`.
        held_out: validation and test pairs; a training file among them is warned about.
        progress: called with the number of pairs done and of all pairs.
        sink: called with the index, source and target of each pair that could be read, so that nothing is decoded twice:
            give it the ``put`` of the data set's ``Cache``.
    """
    paired = geometry.paired
    found = Findings(count=len(records))
    bad: dict[int, list[str]] = defaultdict(list)
    seen: tuple[list[_Seen], list[_Seen]] = ([], [])
    contents: dict[bytes, list[str]] = defaultdict(list)
    domains: tuple[dict[bytes, list[str]], dict[bytes, list[str]]] = (defaultdict(list), defaultdict(list))
    labels: tuple[set[str], set[str]] = (set(), set())
    for index, record in enumerate(directed(records, direction)):
        try:
            arrays = record.load(alpha)
        except UserError:
            bad[index] += _reasons((record.a, record.b), alpha)
        else:
            problems = _problems(record, *arrays, paired)
            bad[index] += problems
            for side, known, picture, array in zip(seen, labels, (record.a, record.b), arrays):
                if paired or picture.label not in known:  # the smaller domain comes round again
                    side.append(_look(index, picture, array))
                    known.add(picture.label)
            contents[_digest(*arrays)].append(record.name)
            if not paired:
                for domain, picture, array in zip(domains, (record.a, record.b), arrays):
                    domain[_digest(array)].append(picture.label)
            if sink is not None and not problems:
                sink(index, *arrays)
        if progress is not None:
            progress(index + 1, len(records))

    found.source_dtype, found.source_channels, found.source_values = _agree("source", seen[0], bad, found.warnings)
    found.target_dtype, found.target_channels, found.target_values = _agree("target", seen[1], bad, found.warnings)
    _warn_of_shapes(found, seen[0], geometry.crop_size, geometry.load_size)
    _warn_of_values(found, seen)
    repeated = [names for names in contents.values() if len(names) > 1]
    if not paired:
        found.warnings += _domain_warnings(records, domains)
        found.warnings += _sizes_of_domains(seen)
    elif repeated:
        extra = sum(len(names) - 1 for names in repeated)
        found.warnings.append(f"{extra} training {_pairs(extra)} the same pixels as another, such as {' and '.join(repeated[0][:2])}")
    shared = _shared_files(records, held_out)
    if shared:
        found.warnings.append(
            f"{len(shared)} of {len(held_out)} validation and test pairs are also in the training set, so their scores will be "
            f"too good: {listed(shared)}"
        )
    found.errors = [line for index in sorted(bad) for line in bad[index]]
    found.unusable = sum(1 for lines in bad.values() if lines)
    return found


def raise_if_bad(findings: Findings) -> None:
    """Stop if any pair cannot be used.

    Raises:
        UserError: how many pairs cannot be used, the first reasons, and the way out.
    """
    if not findings.errors:
        return
    lines = [f"{findings.unusable} of {findings.count} pairs cannot be used:"]
    lines += [f"  {error}" for error in findings.errors[:SHOWN]]
    if len(findings.errors) > SHOWN:
        lines.append(f"  and {len(findings.errors) - SHOWN} more")
    lines.append("repair these files, or move them (with their partners) out of the data set")
    raise UserError(*lines)


# ---- one pair -----------------------------------------------------------------------------------------------------------


def _reasons(pictures: Iterable[Picture], alpha: Alpha) -> list[str]:
    """Why each picture of a pair cannot be read; a file that holds both is named once."""
    reasons = []
    for picture in pictures:
        try:
            picture.read(alpha)
        except UserError as error:
            reasons.append(str(error))
    return list(dict.fromkeys(reasons))


def _problems(record: Record, source: Array, target: Array, paired: bool) -> list[str]:
    problems = []
    if paired and source.shape[:2] != target.shape[:2]:
        problems.append(
            f"{record.a.label} is {describe(source)} but {record.b.label} is {describe(target)}: both pictures of a pair must have one size"
        )
    for picture, array in zip((record.a, record.b), (source, target)):
        if min(array.shape[:2]) < 2:
            problems.append(f"{picture.label} is {describe(array)}: a picture needs at least 2 pixels each way")
    return problems


def _look(index: int, picture: Picture, array: Array) -> _Seen:
    height, width, channels = array.shape
    return _Seen(index, picture.label, (height, width), channels, array.dtype.name, float(array.min()), float(array.max()))


def _digest(*arrays: Array) -> bytes:
    digest = hashlib.blake2b(digest_size=16)
    for array in arrays:
        digest.update(repr((array.shape, array.dtype.name)).encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.digest()


# ---- all pairs ----------------------------------------------------------------------------------------------------------


def _agree(side: str, seen: Sequence[_Seen], bad: dict[int, list[str]], warnings: list[str]) -> tuple[str, int, tuple[float, float]]:
    """The type, channels and values of a side. Those that differ from most are errors, but grey may stand among colour."""
    if not seen:
        return "", 0, (0.0, 0.0)
    dtype = _most(one.dtype for one in seen)
    channels = _most(one.channels for one in seen)
    if {one.channels for one in seen} & {1, 3} == {1, 3} and channels in {1, 3}:
        channels = 3
        grey = [one.label for one in seen if one.channels == 1]
        warnings.append(f"{len(grey)} of {len(seen)} {side} pictures are grey among colour ones and will be treated as RGB: {listed(grey)}")
    for one in seen:
        if one.dtype != dtype:
            bad[one.index].append(
                f"{one.label} is {_DEPTHS.get(one.dtype, one.dtype)} but most {side} pictures are {_DEPTHS.get(dtype, dtype)}: "
                "their values do not compare, so save all with one depth"
            )
        if one.channels != channels and (one.channels, channels) != (1, 3):
            bad[one.index].append(f"{one.label} has {one.channels} channels but most {side} pictures have {channels}")
    same = [one for one in seen if one.dtype == dtype]
    return dtype, channels, (min(one.low for one in same), max(one.high for one in same))


def _most(values: Iterable[T]) -> T:
    return Counter(values).most_common(1)[0][0]


def _warn_of_shapes(found: Findings, sources: Sequence[_Seen], crop_size: int, load_size: int | None) -> None:
    small = [one.label for one in sources if min(one.size) < crop_size]
    if small:
        found.warnings.append(
            f"{len(small)} of {len(sources)} pairs are smaller than the crop of {crop_size} pixels and will be enlarged: {listed(small)}"
        )
    oblong = [one.label for one in sources if one.size[0] != one.size[1]]
    if load_size is not None and oblong:
        found.warnings.append(
            f"{len(oblong)} of {len(sources)} pairs are not square and will be squeezed to {load_size}x{load_size} pixels: "
            f"{listed(oblong)} (--data.load_size null cuts squares out of them instead)"
        )


def _domain_warnings(records: Sequence[Record], contents: tuple[dict[bytes, list[str]], dict[bytes, list[str]]]) -> list[str]:
    """What is probably not meant about two domains, one sentence each.

    Args:
        records: the training records.
        contents: of sources and of targets, a digest of the pixels to the names of the pictures that have them.
    """
    warnings = []
    sides = [list(dict.fromkeys(picture.label for picture in pictures)) for pictures in zip(*((record.a, record.b) for record in records))]
    numbers = [len(side) for side in sides]
    shared = contents[0].keys() & contents[1].keys()
    if shared and len(shared) == len(contents[0]) == len(contents[1]):
        warnings.append(
            "both domains are the same pictures: nothing is translated, and what is left is the autoencoder experiment "
            "(does G learn to give back its input without being asked to?)"
        )
    elif shared:
        names = [name for digest in sorted(shared) for name in contents[0][digest][:1]]
        warnings.append(f"{len(shared)} pictures are in both domains, such as {listed(names)}: leaving them as they are is right for them")
    for side, count in zip(("source", "target"), numbers):
        if count < ENOUGH:
            what = "a single picture" if count == 1 else f"only {count} pictures"
            effect = "the generator can only learn that one" if side == "target" and count == 1 else "they will be memorised"
            warnings.append(f"the {side} domain has {what} to train on: {effect}")
    return warnings


def _sizes_of_domains(seen: tuple[Sequence[_Seen], Sequence[_Seen]]) -> list[str]:
    """How the two domains' pictures differ in kind, which is no error: the generator is built for it."""
    warnings = []
    sizes = [Counter(one.size for one in side).most_common(1)[0][0] for side in seen if side]
    if len(sizes) == 2 and sizes[0] != sizes[1]:
        warnings.append(
            f"sources are mostly {sizes[0][1]}x{sizes[0][0]} and targets {sizes[1][1]}x{sizes[1][0]} pixels: both are cut to one crop"
        )
    return warnings


def _warn_of_values(found: Findings, seen: tuple[Sequence[_Seen], Sequence[_Seen]]) -> None:
    values = (found.source_dtype, found.source_values), (found.target_dtype, found.target_values)
    for name, side, (dtype, (low, high)) in zip(SIDES, seen, values):
        flat = [one for one in side if one.low == one.high]
        if flat:
            black = sum(one.high == 0 for one in flat)
            also = f" ({black} of them black)" if black else ""
            found.warnings.append(
                f"{len(flat)} of {len(side)} {name} pictures hold one single value{also}: {listed([one.label for one in flat])}"
            )
        if dtype == "uint16" and 0 < high < 65535 / 4:
            found.warnings.append(
                f"the 16-bit {name} pictures use only the values {low:.0f} to {high:.0f} of 65535 and will look dark: "
                "give the range that should become black and white"
            )


def _pairs(count: int) -> str:
    return "pair has" if count == 1 else "pairs have"


def _shared_files(records: Sequence[Record], held_out: Sequence[Record]) -> list[str]:
    """Names of held-out pairs whose files are all, byte for byte, training files.

    All of them, because two pairs may well share an empty label map. Only files that have the size of another are read.
    """
    mine = [path for record in records for picture in (record.a, record.b) for path in picture.paths]
    sizes = {size for path in set(mine) if (size := _bytes_in(path))}
    theirs = {path for record in held_out for picture in (record.a, record.b) for path in picture.paths}
    common = sizes & {_bytes_in(path) for path in theirs}
    if not common:
        return []
    known = {_file_digest(path) for path in set(mine) if _bytes_in(path) in common}
    copied = {path for path in theirs if _bytes_in(path) in common and _file_digest(path) in known}
    return [record.name for record in held_out if record.a.paths and copied.issuperset(record.a.paths + record.b.paths)]


def _bytes_in(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _file_digest(path: Path) -> bytes:
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "blake2b").digest()
    except OSError:
        return b""
