"""Several files as one image: patterns such as ``cells/{name}_z{00..12}.png``, and the images that they find, in order.

``{name}`` is the part of a file's name that tells one image from another; a pattern without it is one image. ``{00..12}`` are numbers, with
zeros in front as they are written, ``{DAPI,MAP2,NFH}`` are alternatives: the files of one image, in this order. A semicolon joins patterns
whose files belong to one image, too: ``{name}.png;masks/{name}.png``. Everything else stands for itself: commas, spaces, brackets. Whatever
exists under the very name is no pattern.
"""

from __future__ import annotations

import itertools
import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ..errors import UserError
from ..recipe import BRACES
from ..wording import counted
from .files import home_path, natural_key, real_path
from .folder import composed, names_in
from .pairing import listed

NAME = "{name}"
JOINED = ";"
MOST = 4096
"""Files of one image."""
_NUMBERS = re.compile(r"\{(\d+)\.\.(\d+)\}")


@dataclass(frozen=True)
class _Member:
    """What the file of each image has of one alternative: a path in which ``{name}`` is left open, below the part's folder."""

    path: str
    label: str

    def fill(self, name: str) -> str:
        return self.path.replace(NAME, name)

    @property
    def literal(self) -> int:
        return len(self.path.replace(NAME, ""))


@dataclass(frozen=True)
class _Part:
    """One of the patterns that a semicolon joins.

    Attributes:
        folder: what stands before the first path component with braces; empty for the working folder.
        members: one for each file that an image has of it.
        text: what is below the folder, as written.
    """

    folder: str
    members: tuple[_Member, ...]
    text: str


@dataclass(frozen=True)
class FileStack:
    """The files of one image.

    Attributes:
        name: what ``{name}`` stands for; made of the pattern where it has none.
        files: in the order of the pattern.
    """

    name: str
    files: tuple[str, ...]


@dataclass(frozen=True)
class FilePattern:
    """A pattern, read; see the module.

    Attributes:
        text: as it was written.
        parts: of what it consists.
        names: for each file of an image what it is called: its alternative or number; empty where the pattern says nothing.
    """

    text: str
    parts: tuple[_Part, ...]
    names: tuple[str, ...]

    @classmethod
    def read(cls, text: str | Path, below: Path | None = None) -> FilePattern | None:
        """The pattern of this text; None if it has no braces and no semicolon, or if something of this very name exists.

        Args:
            text: a path.
            below: the folder that it is relative to.

        Raises:
            UserError: it has braces that cannot be meant, or some parts tell images apart by ``{name}`` and others do not.
        """
        text = str(text)
        joined = text.split(JOINED) if JOINED in text else [text]
        if not (len(joined) > 1 or BRACES.search(text)) or os.path.lexists((below or Path()) / home_path(text)):
            return None
        if not all(part.strip() for part in joined):
            raise UserError(f"{text!r} has nothing on one side of a semicolon: write a path or a pattern on each")
        parts = tuple(_part(part.strip() if len(joined) > 1 else part, text) for part in joined)
        named = [NAME in part for part in joined]
        if any(named) and not all(named):
            raise UserError(f"{text}: {joined[named.index(False)]} has no {{name}}, and the others have: write it in each, or in none")
        if (total := sum(len(part.members) for part in parts)) > MOST:
            raise UserError(f"{text} names {total:,} files for one image: {MOST:,} are the most")
        return cls(text, parts, _labels(parts))

    @property
    def has_name(self) -> bool:
        """Whether it finds any number of images; else it is one."""
        return NAME in self.text

    @property
    def stem(self) -> str:
        """A name for the image of a pattern without ``{name}``: its own, with what the braces hold in few words."""
        words = [_stem_of(part.text) for part in self.parts]
        return words[0] if words else "image"

    @property
    def folders(self) -> tuple[Path, ...]:
        """The folder that each part begins in, once each."""
        return tuple(dict.fromkeys(Path(part.folder) for part in self.parts))

    def within(self, folders: Sequence[Path]) -> FilePattern:
        """The same with each part below another folder.

        Args:
            folders: one for each part, in the place of what stands there before the braces.
        """
        parts = tuple(replace(part, folder=str(folder)) for part, folder in zip(self.parts, folders, strict=True))
        return replace(self, text=JOINED.join(os.path.join(part.folder, part.text) for part in parts), parts=parts)  # noqa: PTH118

    def absolute(self) -> str:
        """The text with every folder as an absolute path, links followed."""
        places = [(real_path(part.folder or "."), part.text) for part in self.parts]
        return JOINED.join(os.path.join(place, text) for place, text in places)  # noqa: PTH118 - {name} may stand beside a slash

    def is_there(self) -> bool:
        """Whether any file matches it."""
        return any(self._find().values())

    def is_whole(self) -> bool:
        """Whether it finds images, and none of them lacks a file."""
        found = self._find()
        return bool(found) and all(None not in files for files in found.values())

    def find(self) -> list[FileStack]:
        """Every image, in natural order, all its files present.

        Raises:
            UserError: no file matches, a folder cannot be read, or images lack files: which, and of what image.
        """
        found, lacking = self.find_all()
        if lacking:
            raise UserError(lacking)
        return found

    def find_all(self) -> tuple[list[FileStack], str]:
        """Every image, in natural order, also those that lack files; and the sentence about these, empty if there are none.

        Raises:
            UserError: no file matches, or a folder cannot be read.
        """
        found = self._find()
        if not found:
            raise UserError(self._nothing())
        lacking = {name: [at for at, file in enumerate(files) if file is None] for name, files in found.items()}
        lacking = {name: gone for name, gone in lacking.items() if gone}
        members = self._members

        def path(name: str, at: int) -> str:
            part, member = members[at]
            return found[name][at] or os.path.join(part.folder, member.fill(name))  # noqa: PTH118

        stacks = [FileStack(name, tuple(path(name, at) for at in range(len(members)))) for name in sorted(found, key=natural_key)]
        return stacks, self._lacking(found, lacking) if lacking else ""

    @property
    def _members(self) -> list[tuple[_Part, _Member]]:
        return [(part, member) for part in self.parts for member in part.members]

    def _find(self) -> dict[str, list[str | None]]:
        """By image the file of each member, None where it is not there."""
        listings = _Listings()
        members = self._members
        found: dict[str, list[str | None]] = {}
        # Those that say most come first: of {name}{,_mask}.png the file a_mask.png is a mask, and no image called a_mask.
        order = sorted(range(len(members)), key=lambda at: -members[at][1].literal)
        for index, at in enumerate(order):
            part, member = members[at]
            if not self.has_name:
                if (file := listings.take(part.folder, member.path)) is not None:
                    found.setdefault(self.stem, [None] * len(members))[at] = file
                continue
            for name, file in list(listings.matching(part.folder, member.path)):
                files = found.setdefault(name, [None] * len(members))
                files[at] = file
                for other in order[index + 1 :]:  # so that few files are left to be looked at by the other members
                    if files[other] is None:
                        files[other] = listings.take(members[other][0].folder, members[other][1].fill(name))
        return found

    def _nothing(self) -> str:
        """The sentence where no file matches."""
        part = self.parts[0]
        folder = Path(part.folder or ".")
        if not os.path.isdir(folder):  # noqa: PTH112
            return f"{self.text} finds nothing: the folder {folder} does not exist"
        files = sorted(names_in(folder)[0], key=natural_key)
        holds = f"{folder} holds {listed(files)}" if files else f"{folder} holds no files"
        if (other := self._with_other_zeros()) is not None:
            return f"no file matches {self.text}, and {other} finds images: write the numbers as they stand in the names"
        shape = "{name} stands for the part that tells images apart, {00..12} for numbers, {A,B} for alternatives"
        return f"no file matches {self.text} ({holds}): {shape}, and all else for itself"

    def _with_other_zeros(self) -> str | None:
        """The pattern with numbers of another width, if that one finds whole images."""
        for width in (1, 2, 3, 4, 5):
            below = [_of_width(part.text, width) for part in self.parts]
            text = JOINED.join(os.path.join(part.folder, one) for part, one in zip(self.parts, below))  # noqa: PTH118
            if text != self.text and (other := FilePattern.read(text)) is not None and other.is_whole():
                return _of_width(self.text, width)
        return None

    def _lacking(self, found: Mapping[str, Sequence[str | None]], lacking: Mapping[str, Sequence[int]]) -> str:
        if (other := self._with_other_zeros()) is not None:
            return f"{self.text} finds only parts of images, and {other} whole ones: write the numbers as they stand in the names"
        members = self._members
        common = set(range(len(members))).intersection(*lacking.values())
        if common and len(lacking) == len(found) and self.has_name:
            part, member = members[min(common)]
            nowhere = os.path.join(part.folder, member.path)  # noqa: PTH118
            more = f" and {len(common) - 1} more" if len(common) > 1 else ""
            shown = listed(sorted(found, key=natural_key))
            return (
                f"no file matches {nowhere}{more}, of which each image of {self.text} has one ({shown}): check the numbers and words in "
                "the braces"
            )
        name = min(lacking, key=natural_key)
        gone = [str(Path(part.folder, member.fill(name))) for part, member in (members[at] for at in lacking[name])]
        have = len(members) - len(gone)
        which = f"{gone[0]}{f' and {len(gone) - 1} more' if len(gone) > 1 else ''}"
        what = f"the image {name}" if self.has_name else "the image"
        others = (
            ""
            if len(lacking) == 1
            else f" ({counted(len(lacking), 'image')} of {len(found):,} lack files: {listed(sorted(lacking, key=natural_key))})"
        )
        return (
            f"{what} of {self.text} has no {which} ({have} of its {len(members)} files {'is' if have == 1 else 'are'} there){others}: "
            "complete it, or move its other files away"
        )


class _Listings:
    """What lies in folders, each listed once; a file that belongs to an image belongs to no other."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[dict[str, str], dict[str, str]]] = {}

    def _at(self, folder: str) -> tuple[dict[str, str], dict[str, str]]:
        """Files that are free, and folders, by their composed names as they are stored."""
        if folder not in self._known:
            files, folders = names_in(Path(folder or ".")) if os.path.isdir(folder or ".") else ((), ())  # noqa: PTH112
            self._known[folder] = {composed(name): name for name in files}, {composed(name): name for name in folders}
        return self._known[folder]

    def take(self, folder: str, path: str) -> str | None:
        """The file at this path below a folder, if it is there and free."""
        *above, name = composed(path).split("/")
        for one in above:
            folder = os.path.join(folder, one if one in (".", "..") else self._at(folder)[1].get(one, one))  # noqa: PTH118
        stored = self._at(folder)[0].pop(name, None)
        return None if stored is None else os.path.join(folder, stored)  # noqa: PTH118

    def matching(self, folder: str, path: str) -> Iterator[tuple[str, str]]:
        """Every free file that a path with ``{name}`` matches: what the name is, and the file."""
        above, _, name = composed(path).rpartition("/")
        for place, called in list(self._folders(folder, above.split("/") if above else [], None)):
            expression = _expression(name, called)
            files = self._at(place)[0]
            for file, stored in [(file, stored) for file, stored in files.items() if not file.startswith(".")]:
                if (match := expression.fullmatch(file)) is not None:
                    del files[file]
                    yield match["name"] if called is None else called, os.path.join(place, stored)  # noqa: PTH118

    def _folders(self, folder: str, above: list[str], called: str | None) -> Iterator[tuple[str, str | None]]:
        if not above:
            yield folder, called
            return
        first, *rest = above
        if NAME not in first or called is not None:
            first = first.replace(NAME, called or "")
            stored = first if first in (".", "..") else self._at(folder)[1].get(first)
            if stored is not None:
                yield from self._folders(os.path.join(folder, stored), rest, called)  # noqa: PTH118
            return
        expression = _expression(first, None)
        for name, stored in self._at(folder)[1].items():
            if (match := expression.fullmatch(name)) is not None:
                yield from self._folders(os.path.join(folder, stored), rest, match["name"])  # noqa: PTH118


def _expression(text: str, called: str | None) -> re.Pattern[str]:
    """Matches a name; a number beside ``{name}`` is a whole one: a11.png is no image a1 with the number 1."""
    if called is not None or NAME not in text:
        return re.compile(re.escape(text.replace(NAME, called or "")))
    pieces = text.split(NAME)
    found, open_name = "", "(?P<name>.+)"
    for at, piece in enumerate(pieces):
        before = "(?<![0-9])" if at and piece[:1].isdecimal() else ""
        after = "(?![0-9])" if at < len(pieces) - 1 and piece[-1:].isdecimal() else ""
        found += f"{before}{re.escape(piece)}{after}"
        if at < len(pieces) - 1:
            found += open_name
            open_name = "(?P=name)"
    return re.compile(found)


def _part(text: str, whole: str) -> _Part:
    pieces = text.replace(os.sep, "/").split("/")
    first = next((at for at, piece in enumerate(pieces) if BRACES.search(piece)), len(pieces) - 1)
    folder, below = "/".join(pieces[:first]), "/".join(pieces[first:])
    if text.startswith("/") and not folder:
        folder = "/"
    if not below:
        raise UserError(f"{whole}: {text} ends in a slash: write a pattern of files")
    choices: list[list[tuple[str, str]]] = []
    at, count = 0, 1
    for match in BRACES.finditer(below):
        choices.append([(below[at : match.start()], "")])
        found = [(NAME, "")] if match[0] == NAME else _choices(match[0], whole)
        choices.append(found)
        count *= len(found)
        at = match.end()
    if count > MOST:
        raise UserError(f"{whole} names {count:,} files for one image: {MOST:,} are the most")
    choices.append([(below[at:], "")])
    members = []
    for combination in itertools.product(*choices):
        label = "_".join(label for _, label in combination if label)
        members.append(_Member("".join(piece for piece, _ in combination), label))
    if twice := [path for path, times in Counter(member.path for member in members).items() if times > 1]:
        raise UserError(f"{whole} names {twice[0]} twice: leave out one of the two")
    return _Part(str(home_path(folder)) if folder else "", tuple(members), below)


def _choices(braces: str, whole: str) -> list[tuple[str, str]]:
    """What may stand in the place of these braces, and what each is called."""
    if (numbers := _NUMBERS.fullmatch(braces)) is None:
        return [(one, one.strip(" _-.")) for one in braces[1:-1].split(",")]
    first, last = numbers.groups()
    width = max(len(first), len(last)) if any(len(one) > 1 and one[0] == "0" for one in (first, last)) else 1
    low, high = (int(one[:18]) for one in (first, last))
    if abs(high - low) >= MOST:
        raise UserError(f"{whole}: {braces} are {abs(high - low) + 1:,} files for one image: {MOST:,} are the most")
    return [(str(number).zfill(width), str(number)) for number in (range(low, high + 1) if low <= high else range(low, high - 1, -1))]


def _of_width(text: str, width: int) -> str:
    """A pattern with its numbers so wide."""
    return _NUMBERS.sub(lambda match: "{" + "..".join(str(int(one[:18])).zfill(width) for one in match.groups()) + "}", text)


def _labels(parts: Sequence[_Part]) -> tuple[str, ...]:
    """What the files of an image are called; nothing where there is one, or where the pattern has no word for any."""
    labels = []
    for part in parts:
        own = Path(part.folder).name if len(parts) > 1 else ""
        labels.append([member.label or (own if len(part.members) == 1 else "") for member in part.members])
    if len(parts) > 1 and len({label for some in labels for label in some}) < sum(map(len, labels)):
        labels = [
            [" ".join(dict.fromkeys(word for word in (Path(part.folder).name, label) if word)) for label in some]
            for part, some in zip(parts, labels)
        ]
    flat = tuple(label for some in labels for label in some)
    return flat if len(flat) > 1 and any(flat) else ()


def _stem_of(text: str) -> str:
    def few(match: re.Match[str]) -> str:
        if (numbers := _NUMBERS.fullmatch(match[0])) is not None:
            return f"{numbers[1]}-{numbers[2]}"
        words = match[0][1:-1].split(",")
        return "+".join(words) if len(words) <= 3 else f"{words[0]}-{words[-1]}"

    name = Path(BRACES.sub(few, text)).name
    stem, dot, suffix = name.rpartition(".")
    return stem if dot and stem and suffix.isalnum() and len(suffix) <= 5 else name
