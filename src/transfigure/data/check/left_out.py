"""Pairs that cannot be used and were left out (``data.on_error: skip``): which they are, and the file in which a run remembers them."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from ...errors import UserError
from ...wording import counted
from ..files import read_json_with_digest, write_json_with_digest
from ..pairs import Record, Single, side_by_chance
from ..regions import image_of

LEFT_OUT_FILE = "left_out.json"
"""In a run directory."""
_FORMAT = 1

Found = Literal["before", "training"]


@dataclass(frozen=True)
class LeftOut:
    """A pair that was left out, or of two domains without pairs a picture.

    Attributes:
        split: ``train`` or ``val``.
        name: the pair's; of a picture without a pair, its file.
        files: what cannot be used of it, below the data's folder where they are in it.
        reason: why.
        found: ``before`` the training began, so that it is gone from the pairs; or in ``training``, where its place in each epoch is taken
            by the next pair that can be used.
    """

    split: str
    name: str
    files: tuple[str, ...]
    reason: str
    found: Found = "before"


def save_left_out(file: Path, pairs: Sequence[LeftOut]) -> None:
    """Write the list as JSON with its digest."""
    write_json_with_digest(file, {"format": _FORMAT, "pairs": [asdict(pair) for pair in pairs]})


def load_left_out(file: Path) -> tuple[LeftOut, ...] | None:
    """What a run wrote; None where it wrote none.

    Raises:
        UserError: the file is damaged.
    """
    if (values := read_json_with_digest(file)) is None:
        return None
    try:
        if values["format"] != _FORMAT:
            raise ValueError(f"format {values['format']!r}")
        return tuple(
            LeftOut(_text(pair["split"]), _text(pair["name"]), _texts(pair["files"]), _text(pair["reason"]), _found(pair))
            for pair in values["pairs"]
        )
    except (ValueError, TypeError, KeyError) as error:
        raise UserError(f"{file} is damaged: it does not hold the pairs that a run left out; copy the run again") from error


def without(records: Sequence[Record], reasons: dict[int, list[str]], split: str, place: str | None, paired: bool) -> tuple[
    list[Record], list[LeftOut]
]:  # fmt: skip
    """The records that can be used, and those that cannot.

    Of two domains a picture that cannot be used goes, and the others are put beside each other anew: its partner has no fault in it.

    Args:
        records: as they were inspected.
        reasons: by position, why one cannot be used.
        split: which they are.
        place: the data's folder.
        paired: whether they are pairs.
    """
    bad: dict[str, LeftOut] = {}
    for index, why in reasons.items():
        record = records[index]
        paths = dict.fromkeys(path for picture in (record.a, record.b) for path in picture.paths)
        faulty = [path for path in paths if any(str(path) in reason for reason in why)] or list(paths)
        key = record.name if paired else repr(faulty)
        files = tuple(_below(path, place) for path in faulty)
        bad.setdefault(key, LeftOut(split, record.name if paired else ", ".join(files), files, "; ".join(why)))
    left = list(bad.values())
    return remaining(records, left, place, paired), left


def left_out_in_training(record: Record, reasons: Sequence[str], split: str, place: str | None) -> LeftOut:
    """A pair that turns out to be of no use while the training runs, so that it stays among the others and is replaced."""
    paths = dict.fromkeys(path for picture in (record.a, record.b) for path in picture.paths)
    faulty = [path for path in paths if any(str(path) in reason for reason in reasons)] or list(paths)
    return LeftOut(split, record.name, tuple(_below(path, place) for path in faulty), "; ".join(reasons), "training")


def is_left_out(name: str, left: Sequence[LeftOut]) -> bool:
    """Whether a pair, or a picture of a domain, of this name is among what was left out."""
    files = [file for pair in left for file in pair.files]
    return any(pair.name == name for pair in left) or any(
        f"/{one}" in (f"/{file}"[-len(one) - 1 :], f"/{_stem(file)}"[-len(one) - 1 :]) for file in files for one in {name, image_of(name)}
    )


def _stem(file: str) -> str:
    return os.path.splitext(file)[0]  # noqa: PTH122 - with_suffix would refuse some names


def remaining(records: Sequence[Record], left: Sequence[LeftOut], place: str | None, paired: bool) -> list[Record]:
    """The records of a split without what was left out of it."""
    if not left:
        return list(records)
    if paired:
        names = {pair.name for pair in left}
        return [record for record in records if record.name not in names]
    files = {file for pair in left for file in pair.files}
    sides: tuple[dict[str, Single], dict[str, Single]] = {}, {}
    for record in records:
        for side, picture in zip(sides, (record.a, record.b)):
            if not any(_below(path, place) in files for path in picture.paths):
                side.setdefault(picture.label, Single(record.name, picture))
    return side_by_chance(*(list(side.values()) for side in sides))


def pictures_in(records: Sequence[Record], paired: bool) -> int:
    """How many there are to leave out of: pairs, or without pairs the pictures of both domains, each once."""
    return len(records) if paired else len({picture.label for record in records for picture in (record.a, record.b)})


def of_left_out(gone: int, first: LeftOut, used: int, paired: bool, part: str = "") -> str:
    """The sentence about what is left out.

    Args:
        gone: how many pairs (or pictures, without pairs) are left out.
        first: one of them.
        used: how many are left.
        paired: whether they are pairs.
        part: of which split, if that is to be said.
    """
    noun = f"{part} pair" if paired else f"{part} picture"
    return (
        f"{counted(gone, noun.strip())} cannot be used and {'is' if gone == 1 else 'are'} left out (data.on_error skip; {used} "
        f"{'is' if used == 1 else 'are'} used), such as {first.name}: {first.reason}"
    )


def _below(path: Path, place: str | None) -> str:
    """A file's name below the data's folder, so that the folder may move."""
    relative = os.path.relpath(path, place) if place is not None else ".."
    return str(path) if relative.startswith("..") else Path(relative).as_posix()


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("no text")
    return value


def _found(pair: Mapping[str, object]) -> Found:
    return "training" if pair.get("found", "before") == "training" else "before"


def _texts(values: object) -> tuple[str, ...]:
    if not isinstance(values, list):
        raise TypeError("no list")
    return tuple(map(_text, values))
