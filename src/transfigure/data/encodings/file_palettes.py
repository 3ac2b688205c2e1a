"""The whole palettes of label maps, with the colours that no pixel uses: as a recipe gives them, and as files have them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from ...errors import UserError
from ...stored import brief
from ...wording import counted
from .. import images
from ..file_facts import FileFacts
from ..files import home_path
from ..pairing import listed
from .label_classes import LabelClass
from .label_colours import Entry, as_hex, entries_of, read_entry

MOST_ENTRIES = 256


def read_palette(given: str | Sequence[Any], key: str) -> tuple[Entry, ...]:
    """The palette that a recipe gives.

    Args:
        given: the colours of the indices from 0 on, such as ``'#0080ff'``, ``'#0080ff00'`` where they are not opaque, or ``[0, 128, 255]``;
            or an image file that has the palette.
        key: the recipe's key, for messages.

    Raises:
        UserError: no such file, or no palette.
    """
    if isinstance(given, str):
        file = home_path(given)
        if not file.is_file():
            raise UserError(f"{key} is {given!r}, and there is no such file: {_WAYS}")
        entries = images.examine(file, alpha="drop", palette="index")[1].entries
        if not entries:
            raise UserError(f"{key}: {file} has no palette: {_WAYS}")
        return entries_of(entries)
    try:
        if not 1 <= len(given) <= MOST_ENTRIES:
            raise ValueError(f"there are {len(given)} colours, and 1 to {MOST_ENTRIES} are possible")
        return tuple(map(read_entry, given))
    except ValueError as error:
        raise UserError(f"{key} is no palette ({error}): {_WAYS}") from error


_WAYS = "list the colours of the indices from 0 on, such as ['#000000', '#4682b4'], or name an image file that has the palette"


def contradiction(palette: Sequence[Entry], classes: Sequence[LabelClass]) -> LabelClass | None:
    """The first class whose index is another colour in a palette, or is not in it; None if there is none."""
    return next((one for one in classes if one.index is not None and entry_at(palette, one.index)[:3] != one.colour), None)


def entry_at(palette: Sequence[Entry], index: int) -> Entry:
    """The entry of an index; nothing where the palette ends before it."""
    return palette[index] if index < len(palette) else ()


class PaletteWatch:
    """Counts the palettes of label maps, and says which of them outputs are written with.

    Args:
        side: ``source`` or ``target``, for messages.
        given: the palette of the recipe, if it gives one.
    """

    def __init__(self, side: str, given: tuple[Entry, ...] = ()) -> None:
        self.side, self.given = side, given
        self._counts: Counter[bytes] = Counter()
        self._first: dict[bytes, str] = {}

    def look(self, label: str, facts: FileFacts) -> None:
        """Take in what a file says of itself."""
        if facts.entries:
            self._counts[facts.entries] += 1
            self._first.setdefault(facts.entries, label)

    @property
    def usual(self) -> tuple[Entry, ...]:
        """The one that is given, else that of most files; empty if none has any."""
        return self.given or (entries_of(self._counts.most_common(1)[0][0]) if self._counts else ())

    def chosen(self, classes: Sequence[LabelClass]) -> tuple[tuple[Entry, ...], list[str]]:
        """The palette to write files of these classes with, and what a person should know of the choice.

        That is the palette that most of the files have, of those that give each class its colour: a palette may end at the last index that
        its own file uses.

        Args:
            classes: with an index and a colour each.

        Raises:
            UserError: the palette that is given has another colour for one of the classes.
        """
        if self.given:
            if (one := contradiction(self.given, classes)) is not None:
                there = entry_at(self.given, one.index or 0)
                raise UserError(
                    f"data.{self.side}_palette {f'says that {one.index} is {as_hex(there)}' if there else f'ends before {one.index}'}, and "
                    f"the class {one.label} of the {self.side} label maps is {one.hex}: leave it out, or give the palette of the files"
                )
            return self.given, []
        if not self._counts:
            return (), []
        usual = self._counts.most_common()
        fits = [(entries, count) for entries, count in usual if contradiction(entries_of(entries), classes) is None]
        entries, count = (fits or usual)[0]
        palette, where, notes = [*entries_of(entries)], self._first[entries], []
        total = self._counts.total()
        if len(usual) > 1:
            notes.append(
                f"{counted(total, f'{self.side} label map')} have {len(usual)} palettes, which differ in colours that no pixel has: label "
                f"maps are written with that of {count} of them, such as {where} (--data.{self.side}_palette FILE chooses another)"
            )
        if not fits:
            others = [one for one in classes if entry_at(palette, one.index or 0)[:3] != one.colour]
            palette += [(0, 0, 0)] * (max(one.index or 0 for one in classes) + 1 - len(palette))
            for one in others:
                palette[one.index or 0] = (*(one.colour or ()), *palette[one.index or 0][3:])
            notes.append(
                f"label maps are written with the palette of {where}, but for the colours of classes that it does not have: "
                f"{listed([*map(str, others)])}"
            )
        return tuple(palette), notes


def check_entries(values: Any, classes: Sequence[LabelClass]) -> tuple[Entry, ...]:
    """A palette as a model's file holds it.

    Raises:
        ValueError: it is none, or another than that of the classes.
    """
    if not isinstance(values, list | tuple) or len(values) > MOST_ENTRIES:
        raise ValueError(f"its palette is {brief(values)}")
    entries = tuple(map(read_entry, values))
    if entries and (one := contradiction(entries, classes)) is not None:
        raise ValueError(f"its palette is another than that of its class {one}")
    return entries
