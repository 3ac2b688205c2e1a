"""The classes of label maps: as a recipe or a file lists them, and as they are found in the files of a training set."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from ...errors import UserError, did_you_mean
from ...stored import brief, load_json
from ..file_facts import FileFacts
from ..files import home_path
from ..pairing import listed
from ..pixels import Array
from ..value_range import FEW
from .label_colours import CITYSCAPES, FACADES, ColourCounts, Entry, calm, codes_of, count_colours, flat_colours, from_codes, sum_counts

Form = Literal["palette", "numbers", "colours"]
"""What files hold: indices into a palette of theirs, plain numbers, or red, green and blue."""
MOST_CLASSES = 256
"""Each class is a channel of the networks."""
LARGEST_INDEX = 65_535
_EXACT = 0.9
"""Of the flat pixels of files whose colours are exact, more than this share equals its neighbours."""
_TIGHT = 0.75
"""Flat places of label maps gather around few colours by at least this share, those of photographs do not."""
_LARGEST_FILE = 1 << 20
KNOWN: dict[str, dict[str, tuple[int, tuple[int, int, int]]]] = {"facades": FACADES, "cityscapes": CITYSCAPES}
"""Well-known data sets: the number and the colour of each class."""


@dataclass(frozen=True)
class LabelClass:
    """A class of label maps, as files hold it.

    Attributes:
        name: what a person calls it; may be empty.
        index: its number in files of palette indices or of numbers; None where files hold colours.
        colour: red, green and blue, of palettes and of files of colours; None where files hold plain numbers.
    """

    name: str = ""
    index: int | None = None
    colour: tuple[int, int, int] | None = None

    @property
    def hex(self) -> str:
        """``#0080ff``; empty without a colour."""
        return "" if self.colour is None else "#" + bytes(self.colour).hex()

    @property
    def label(self) -> str:
        """Its name, else its number, else its colour."""
        return self.name or (self.hex if self.index is None else str(self.index))

    def __str__(self) -> str:
        """``window (3 #0080ff)``."""
        known = " ".join(word for word in ("" if self.index is None else str(self.index), self.hex) if word)
        return f"{self.name} ({known})" if self.name else known

    def to_dict(self) -> dict[str, Any]:
        """What a recipe says of it: keys that say nothing are left out."""
        found: dict[str, Any] = {"name": self.name} if self.name else {}
        found |= {"index": self.index} if self.index is not None else {}
        return found | ({"colour": self.hex} if self.colour is not None else {})


def form_of(classes: Sequence[LabelClass]) -> Form:
    """What files of such classes hold."""
    if all(one.colour is not None for one in classes):
        return "palette" if all(one.index is not None for one in classes) else "colours"
    return "numbers"


def check_classes(classes: Sequence[LabelClass]) -> None:
    """See that classes can be told apart in files of one form.

    Raises:
        ValueError: they cannot; the message goes after a colon.
    """
    if not 2 <= len(classes) <= MOST_CLASSES:
        raise ValueError(f"there are {len(classes)}, and 2 to {MOST_CLASSES} are possible")
    for what, values in (("number", [one.index for one in classes]), ("colour", [one.colour for one in classes])):
        given = [value for value in values if value is not None]
        if given and len(given) < len(classes):
            lone = next(one for one, value in zip(classes, values) if value is None)
            raise ValueError(f"{lone.label or 'one of them'} has no {what}, and others have one")
        if what == "colour" and form_of(classes) == "palette":
            continue  # their numbers tell them apart: palettes hold a colour twice
        if len({*given}) < len(given):
            twice = next(value for value in given if given.count(value) > 1)
            raise ValueError(f"two of them have the {what} {twice}")
    if all(one.index is None and one.colour is None for one in classes):
        raise ValueError("they have neither numbers nor colours")


# ---- as they are given ---------------------------------------------------------------------------------------------------------------


def read_classes(given: str | Sequence[Any], key: str) -> tuple[LabelClass, ...]:
    """The classes that a recipe gives.

    Args:
        given: a list of numbers, of colours (``'#0080ff'`` or ``[0, 128, 255]``), of names (numbered from 0), or of mappings with ``name``,
            ``index`` and ``colour``; the name of a well-known data set, ``facades`` or ``cityscapes``; or a file: JSON, CSV, or text with
            one class a line.
        key: the recipe's key, for messages.

    Raises:
        UserError: no such file, or no classes.
    """
    where = f"{key} {given}" if isinstance(given, str) else key
    try:
        if not isinstance(given, str):
            classes = _of_values(given)
        elif given in KNOWN:
            classes = tuple(LabelClass(name, index, colour) for name, (index, colour) in KNOWN[given].items())
        else:
            classes = _of_file(given, key)
        check_classes(classes)
        return classes
    except ValueError as error:
        raise UserError(f"{where} lists no classes ({error}): {_WAYS}") from error


_WAYS = "write [{name: sky, colour: '#4682b4'}, {name: road, colour: '#804080'}], or index: 0, 1, ... where files hold numbers"


def _of_file(given: str, key: str) -> tuple[LabelClass, ...]:
    file = home_path(given)
    if not file.is_file():
        raise UserError(
            f"{key} is {given!r}, and there is no such file{did_you_mean(given, list(KNOWN))}: {_WAYS}, or a file with such lines"
        )
    try:
        with file.open("rb") as stream:
            content = stream.read(_LARGEST_FILE + 1)
    except OSError as error:
        raise UserError(f"cannot read {file}: {(error.strerror or str(error)).lower()}") from error
    if len(content) > _LARGEST_FILE:
        raise UserError(f"{file} is larger than {_LARGEST_FILE >> 20} MiB, which no list of classes is")
    text = content.decode("utf-8-sig", "strict") if _is_utf8(content) else content.decode("latin-1")
    if file.suffix.lower() == ".json" or text.lstrip()[:1] in ("{", "["):
        return _of_json(load_json(text))
    return _of_lines(text.splitlines())


def _is_utf8(content: bytes) -> bool:
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _of_json(values: Any) -> tuple[LabelClass, ...]:
    """A list as in a recipe; a palette as ``evaluate`` takes it; or names with their number or colour each."""
    if isinstance(values, Mapping) and isinstance(values.get("classes"), Mapping | list):
        numbers = values.get("numbers") or {}
        inner = _of_json(values["classes"])
        named = {str(name): _index(int(number)) for number, name in numbers.items()} if isinstance(numbers, Mapping) else {}
        return tuple(replace(one, index=named.get(one.name, one.index)) for one in inner)
    if isinstance(values, Mapping):
        return tuple(replace(LabelClass() if value is None else _of_value(value), name=str(name)) for name, value in values.items())
    if isinstance(values, list):
        return _of_values(values)
    raise ValueError(f"it holds {brief(values)}")


def _of_values(values: Sequence[Any]) -> tuple[LabelClass, ...]:
    if values and all(isinstance(value, str) and not _HEX.fullmatch(value) for value in values):
        return tuple(LabelClass(str(value), index) for index, value in enumerate(values))
    return tuple(map(_of_value, values))


_HEX = re.compile(r"#?[0-9a-fA-F]{6}")


def _of_value(value: Any) -> LabelClass:
    if isinstance(value, Mapping):
        if unknown := [key for key in value if key not in ("name", "index", "colour", "color")]:
            raise ValueError(f"a class has {brief(unknown[0])}, which is none of name, index and colour")
        colour = value.get("colour", value.get("color"))
        index = value.get("index")
        return LabelClass(
            str(value.get("name") or ""), None if index is None else _index(index), None if colour is None else _colour(colour)
        )
    if isinstance(value, int) and not isinstance(value, bool):
        return LabelClass(index=_index(value))
    return LabelClass(colour=_colour(value))


def _index(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= LARGEST_INDEX:
        raise ValueError(f"{brief(value)} is no number of a class, which lie from 0 to {LARGEST_INDEX}")
    return value


def _colour(value: Any) -> tuple[int, int, int]:
    if isinstance(value, str) and _HEX.fullmatch(value):
        red, green, blue = bytes.fromhex(value.removeprefix("#"))
        return red, green, blue
    if isinstance(value, list | tuple) and len(value) == 3 and all(type(part) is int and 0 <= part <= 255 for part in value):
        return value[0], value[1], value[2]
    raise ValueError(f"{brief(value)} is no colour, such as '#4682b4' or [70, 130, 180]")


def _of_lines(lines: Iterable[str]) -> tuple[LabelClass, ...]:
    """One class a line: its words are the name; one number is its index, three are its colour, four are both."""
    found: list[LabelClass] = []
    headed = False
    for line in lines:
        if not line.strip() or re.match(r"\s*(#(?![0-9a-fA-F]{6}\b)|//)", line):
            continue
        parts = [part.strip().strip('"') for part in re.split(r"[\t,;]" if re.search(r"[\t,;]", line) else r"\s+", line.strip())]
        parts = [piece for part in parts for piece in (part.split() if re.fullmatch(r"[\d\s]+", part) else [part]) if piece]
        numbers = [int(part) for part in parts if part.isdecimal()]
        hexes = [part for part in parts if part.startswith("#") and _HEX.fullmatch(part)]
        name = " ".join(part for part in parts if not part.isdecimal() and part not in hexes)
        if not numbers and not hexes and not found and not headed and re.search(r"\b(name|class|index|id|r|red|colou?r)\b", line, re.I):
            headed = True  # the first line of a table
            continue
        colour = _colour(hexes[0]) if hexes else _colour(numbers[-3:]) if len(numbers) >= 3 else None
        left = numbers if hexes or colour is None else numbers[:-3]
        if len(left) > 1 or len(hexes) > 1:
            raise ValueError(f"the line {brief(line.strip())} is not a name with a number, a colour or both")
        found.append(LabelClass(name, _index(left[0]) if left else None, colour))
    if found and all(one.index is None and one.colour is None for one in found):
        return tuple(replace(one, index=index) for index, one in enumerate(found))
    return tuple(found)


# ---- as files have them -------------------------------------------------------------------------------------------------------------


class ClassWatch:
    """Looks at label maps, and says what files of theirs hold and which classes there are.

    Args:
        side: ``source`` or ``target``, for messages.
    """

    def __init__(self, side: Literal["source", "target"]) -> None:
        self.side = side
        self.count = 0
        self._forms: dict[Form, str] = {}
        self._lossy = False
        self._calm = self._equal = 0
        self._palette: dict[int, tuple[tuple[int, int, int], str]] = {}
        self._numbers: dict[int, str] = {}
        self._colours: ColourCounts = from_codes(np.zeros(0, np.int64)), np.zeros(0, np.int64)
        self._flat: ColourCounts = self._colours

    def look(self, label: str, array: Array, facts: FileFacts) -> None:
        """Take in a label map, read as indices where its file has any.

        Raises:
            UserError: it cannot be one, or is of another form or palette than the others.
        """
        self.count += 1
        channels = array.shape[2]
        if array.dtype.kind not in "iu" or channels not in (1, 3) or (channels == 3 and array.dtype != np.uint8):
            raise UserError(
                f"{label} is no label map: its {channels} {'channel' if channels == 1 else 'channels'} of {array.dtype.name} are neither "
                f"whole numbers nor 8-bit colours; set data.{self.side}_encoding values, or convert it"
            )
        form: Form = "palette" if facts.palette else "numbers" if channels == 1 else "colours"
        self._forms.setdefault(form, label)
        if len(self._forms) > 1:
            (one, first), (other, second) = [*self._forms.items()][:2]
            raise UserError(
                f"{second} holds {_FORMS[other]} and {first} {_FORMS[one]}: save all label maps of the {self.side} side in one form"
            )
        if form == "palette":
            for index, colour in facts.palette:
                if index == facts.no_data:
                    continue
                red, green, blue = colour
                known, where = self._palette.setdefault(index, ((red, green, blue), label))
                if known != (red, green, blue):
                    raise UserError(
                        f"{label} has another palette than {where}: its index {index} is the colour {(red, green, blue)}, there {known}; "
                        "save all with one palette, or as RGB if the colours are what is meant"
                    )
        elif form == "numbers":
            for value in np.unique(array).tolist():
                self._numbers.setdefault(int(value), label)
            if len(self._numbers) > MOST_CLASSES:
                raise UserError(
                    f"the {self.side} pictures hold more than {MOST_CLASSES} numbers ({label} among others): label maps hold the number of "
                    f"a class at each pixel; set data.{self.side}_encoding values if these are images"
                )
        else:
            self._lossy |= bool(facts.lossy)
            self._colours = sum_counts([self._colours, count_colours(array.reshape(-1, 3))])
            self._flat = sum_counts([self._flat, count_colours(array[(flat := calm(array))])])
            same = (array[1:-1, 1:-1] == array[1:-1, 2:]).all(2) & (array[1:-1, 1:-1] == array[2:, 1:-1]).all(2)
            self._calm += int(flat.sum())
            self._equal += int((flat[1:-1, 1:-1] & same).sum())

    @property
    def is_noisy(self) -> bool:
        """Whether not every colour in the files is a class: what lost something or was smoothed holds many that nobody has chosen."""
        return self.form == "colours" and (self._lossy or len(self._colours[0]) > FEW)

    @property
    def form(self) -> Form:
        """What the files hold."""
        return next(iter(self._forms), "colours")

    def found(self) -> tuple[LabelClass, ...]:
        """The classes in the files: by their number, or else by their colour.

        Raises:
            UserError: none are to be found.
        """
        if self.form == "palette":
            classes = tuple(LabelClass("", index, self._palette[index][0]) for index in sorted(self._palette))
        elif self.form == "numbers":
            if outside := [value for value in self._numbers if not 0 <= value <= LARGEST_INDEX]:
                raise UserError(
                    f"{self._numbers[outside[0]]} holds the number {outside[0]}: numbers of classes lie from 0 to {LARGEST_INDEX}"
                )
            classes = tuple(LabelClass("", index) for index in sorted(self._numbers))
        else:
            classes = tuple(LabelClass("", None, (red, green, blue)) for red, green, blue in self._found_colours())
        try:
            check_classes(classes)
        except ValueError as error:
            raise UserError(f"no classes are to be found in the {self.side} label maps ({error}): {self._ways}") from error
        return classes

    def _found_colours(self) -> list[list[int]]:
        colours = self._colours[0]
        if self.is_noisy:
            flat = self._flat[0]
            if self._equal < _EXACT * self._calm or not 2 <= len(flat) <= MOST_CLASSES:  # else edges alone were smoothed
                flat, tight = flat_colours(*self._flat, MOST_CLASSES)
                if not 2 <= len(flat) <= MOST_CLASSES or tight <= _TIGHT:
                    raise UserError(
                        f"no classes are to be found in the {self.side} label maps: they hold {len(colours):,} colours, and their flat "
                        f"places gather around no few of them, as those of photographs; {self._ways}"
                    )
            colours = from_codes(np.unique(codes_of(flat)))
        return [list(map(int, colour)) for colour in colours]

    def matched(self, given: Sequence[LabelClass], entries: Sequence[Entry] = ()) -> tuple[LabelClass, ...]:
        """Classes that were given, in the form that the files have.

        Args:
            given: as they were given.
            entries: the whole palette of files with a palette, for classes that no pixel is of.

        Raises:
            UserError: they have no numbers where the files have some, or no colours; or the files' palette says otherwise.
        """
        if self.form == "colours":
            if any(one.colour is None for one in given):
                raise UserError(
                    f"data.{self.side}_classes gives numbers, and {self._forms['colours']} holds colours: give the colour of each class"
                )
            try:
                check_classes(coloured := tuple(replace(one, index=None) for one in given))
            except ValueError as error:
                raise UserError(
                    f"data.{self.side}_classes cannot be told apart in {self._forms['colours']}, which holds colours ({error}): give each "
                    "class a colour of its own"
                ) from error
            return coloured
        if self.form == "numbers":
            if any(one.index is None for one in given):
                raise UserError(
                    f"data.{self.side}_classes gives colours, and {self._forms['numbers']} holds numbers: give the index of each class"
                )
            classes = tuple(replace(one, colour=None) for one in given)
        else:
            unused = {index: (entry[0], entry[1], entry[2]) for index, entry in enumerate(entries) if index not in self._palette}
            by_colour = {colour: index for index, colour in reversed(unused.items())}
            by_colour |= {colour: index for index, (colour, _) in self._palette.items()}
            classes = tuple(self._with_palette(one, by_colour, unused) for one in given)
        known = {one.index for one in classes}
        places = {index: where for index, (_, where) in self._palette.items()} if self.form == "palette" else self._numbers
        if unknown := [index for index in sorted(places) if index not in known]:
            raise UserError(
                f"{places[unknown[0]]} holds the class {unknown[0]}, which data.{self.side}_classes does not list "
                f"(not listed: {listed(list(map(str, unknown)))}): add it there, or replace it in the files"
                f"{f', or say that it does not count (--data.{self.side}_nodata {unknown[0]})' if len(unknown) == 1 else ''}"
            )
        return classes

    def _with_palette(
        self, one: LabelClass, by_colour: Mapping[tuple[int, int, int], int], unused: Mapping[int, tuple[int, int, int]]
    ) -> LabelClass:
        index = one.index if one.index is not None else by_colour.get(one.colour or (0, 0, 0))
        if index is None:
            raise UserError(f"data.{self.side}_classes lists the colour {one.hex}, which no palette of the files has: give its index, too")
        if index > 255:
            raise UserError(f"data.{self.side}_classes lists the index {index}, and palettes end at 255")
        colour, where = self._palette.get(index, (one.colour or unused.get(index, (0, 0, 0)), ""))
        if one.colour is not None and colour != one.colour:
            raise UserError(
                f"data.{self.side}_classes says that {index} is {one.hex}, and in the palette of {where} it is "
                f"{LabelClass(colour=colour).hex}"
            )
        return replace(one, index=index, colour=colour)

    @property
    def _ways(self) -> str:
        return f"give them as --data.{self.side}_classes, or set data.{self.side}_encoding values"


_FORMS = {"palette": "a palette", "numbers": "plain numbers", "colours": "colours"}
