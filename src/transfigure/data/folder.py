"""Which files of a folder are images: every reader asks here, so that all see the same folder alike.

A file whose suffix belongs to a readable format is taken; any other is decided by its first bytes, but for camera raw files, previews
and backups, which begin as an image does and are not the image. What is passed over is counted in one note. Names that begin with a dot,
and the folders in which systems and network drives keep thumbnails and deleted files, are no data, nor are this tool's own output folders
inside a folder of data. Links are followed, out of the folder too.
"""

from __future__ import annotations

import fnmatch
import functools
import os
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import UserError
from . import images
from .files import natural_key, natural_keys

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp"})
"""Files of these are images without being opened; what is in them is found out when they are read."""
ACCEPTED = "png, jpg, webp, tif, npy, npz, gif, pnm or bmp"

_NO_DATA_FOLDERS = frozenset(
    {
        *("@eadir", "@recycle", "#recycle", "@tmp", "@recently-snapshot", "#snapshot", "@sharebin", "@transcode"),  # network drives
        *("$recycle.bin", "recycler", "system volume information", "lost+found", "found.000"),
        *("__macosx", "network trash folder", "temporary items", "__pycache__", "thumbs"),
    }
)
_NO_DATA_FILES = frozenset({"thumbs.db", "ehthumbs.db", "desktop.ini"})

_BESIDE_AN_IMAGE = frozenset(
    {".ovr", ".thm", ".bak", ".backup", ".old", ".orig", ".tmp", ".temp", ".part", ".crdownload", ".download", ".swp"}
)
"""Overviews of GDAL, thumbnails of cameras, what editors keep and what a download has not finished."""

_OUTPUTS = (
    ("recipe.yaml", ("log.jsonl", "checkpoints", "model")),
    ("evaluation.json", ("per_image.csv", "panels")),
    ("analysis.json", ("analysis.html",)),
    ("ablation.json", ("grid.yaml",)),
)
"""What this tool's output folders hold: a file, and beside it at least one of the others."""
_MARKS = frozenset(name for file, others in _OUTPUTS for name in (file, *others))

_FOLDER, _LINK, _LOOP = "folder of thumbnails, deleted or hidden files", "link that cannot be followed", "link that leads back"
_OUTPUT = "folder that transfigure wrote (a run, an evaluation)"
_COPY, _HIDDEN, _UNREADABLE, _OTHER = "preview or backup", "hidden file", "unreadable file", "other file"
_PLURALS = {
    _FOLDER: "folders of thumbnails, deleted or hidden files",
    _OUTPUT: "folders that transfigure wrote (runs, evaluations)",
    _LINK: "links that cannot be followed",
    _LOOP: "links that lead back",
    _COPY: "previews or backups",
    images.SEVERAL_ARRAYS: "NumPy archives of several arrays",
}
_REPEATED, _REPEATED_SHARE = 100_000, 20
"""Folders that are reached more than once, by links, may bring so many entries, and so many times those that are there once."""


@dataclass(frozen=True)
class Found:
    """The images of a folder.

    Attributes:
        folder: where they are; every file is below it.
        names: each file below the folder, with ``/`` between folders, in natural order.
        notes: one sentence about what was passed over, or none. Whoever reads the folder says it, once.
    """

    folder: Path
    names: list[str]
    notes: list[str] = field(default_factory=list)

    @functools.cached_property
    def files(self) -> list[Path]:
        """The files, in the order of their names."""
        return [self.folder / name for name in self.names]

    @property
    def places(self) -> list[str]:
        """The files as strings, which are made sooner: there may be 100,000 of them."""
        prefix = "" if str(self.folder) == "." else os.path.join(self.folder, "")  # noqa: PTH118
        return [f"{prefix}{name}" for name in self.names] if os.sep == "/" else [str(file) for file in self.files]


def find_images(place: str | Path, recursive: bool = True) -> Found:
    """Every image of a folder, in natural order.

    Args:
        place: a folder; or a pattern such as ``results/*_fake_B.png``, which selects among the files of ``results`` by their names (not in
            its sub-folders). A pattern that names something that exists is no pattern.
        recursive: look into its sub-folders too.

    Raises:
        UserError: there is no such folder, it cannot be read, links multiply it without end, or it holds no image.
    """
    folder, pattern = _folder_and_pattern(Path(place))
    if not os.path.isdir(folder):  # noqa: PTH112 - Path.is_dir raises where a name cannot be
        state = "is a file, not a folder" if os.path.isfile(folder) else "does not exist"  # noqa: PTH113
        raise UserError(f"{'' if state.startswith('is') else 'the folder '}{folder} {state}: give a folder of {ACCEPTED} files")
    passed = _PassedOver()
    names = list(_walk(folder, recursive and pattern is None, pattern, passed))
    if not names and pattern is not None:
        inside = "".join(f"; it holds {name}" for name in sorted(os.listdir(folder), key=natural_key)[:1])  # noqa: PTH208
        raise UserError(f"no image of {folder} has a name like {pattern}{inside}")
    if not names:
        raise UserError(_nothing(folder, passed, "" if recursive else " (its subfolders were not searched)"))
    return Found(folder, _ordered(names), [PassedOverNote((folder,), passed)] if passed else [])


def images_among(
    names: Iterable[str], place: str, kind_of: Callable[[str], tuple[str, bool]], pattern: str | None = None
) -> tuple[list[str], list[str]]:
    """Those that :func:`find_images` would take of the files of a folder, by a list of their names: of a storage that has no folders.

    Args:
        names: every file, with ``/`` between folders.
        place: what the folder is called.
        kind_of: what the first bytes of a file say, as :func:`.images.kind_of`; asked of those whose suffix says nothing.
        pattern: selects among the files that are in no folder below.

    Returns:
        The images, in natural order; and one sentence about what was passed over, or none.

    Raises:
        UserError: none of them is an image.
    """
    passed, found = _PassedOver(), list[str]()
    folders: dict[str, list[str]] = {}
    for name in names:
        above, _, file = name.rpartition("/")
        folders.setdefault(above, []).append(file)
    inside: dict[str, set[str]] = {}
    for above in folders:
        parts = above.split("/") if above else []
        for at, part in enumerate(parts):
            inside.setdefault("/".join(parts[:at]), set()).add(part)
    left: dict[str, bool] = {}

    def is_left_out(folder: str) -> bool:
        """Whether a folder, or one that it is in, is no data; the first of them is counted."""
        if folder not in left:
            above, _, own = folder.rpartition("/")
            left[folder] = bool(folder) and is_left_out(above)
            if folder and not left[folder]:
                no_data = own != "" and _is_no_data(own)  # between two slashes there is an empty name
                if no_data or (not is_run("") and is_run(folder)):
                    passed.add(_FOLDER if no_data else _OUTPUT, folder)
                    left[folder] = True
        return left[folder]

    @functools.cache
    def is_run(folder: str) -> bool:
        return written_by_us([*folders.get(folder, ()), *inside.get(folder, ())])

    for folder, files in folders.items():
        if (pattern is not None and folder) or is_left_out(folder):
            continue
        for file in files:
            if pattern is not None and not fnmatch.fnmatchcase(composed(file), pattern):
                continue
            name = f"{folder}/{file}" if folder else file
            if _is_no_data(file):
                if _has_known_suffix(file):
                    passed.add(_HIDDEN, name)
            elif (reason := None if _has_known_suffix(file) else _not_an_image(file, functools.partial(kind_of, name))) is None:
                found.append(name)
            else:
                passed.add(reason, name)
    if not found and pattern is not None:
        raise UserError(f"no image of {place} has a name like {pattern}{''.join(f'; it holds {name}' for name in _ordered(names)[:1])}")
    if not found:
        raise UserError(_nothing(place, passed, ""))
    return _ordered(found), [f"passed over in {place}: {passed}"] if passed else []


def _nothing(folder: Path | str, passed: _PassedOver, where: str) -> str:
    held = f"only {passed}" if passed else "no other file either"
    return f"the folder {folder} holds no images, {held}{where}: accepted are {ACCEPTED} files"


def _ordered(names: Iterable[str]) -> list[str]:
    """Names with ``/`` between folders, in natural order."""
    names = list(names)
    of_folder = functools.cache(natural_key)

    def order(name: str) -> list[object]:
        *folders, file = name.split("/")
        return [*map(of_folder, folders), natural_key(file)]

    if any("/" in name for name in names):
        names.sort(key=order)
        return names
    return [name for _, name in sorted(natural_keys(names))]


def is_place(place: str | Path) -> bool:
    """Whether there is a folder, or a pattern that selects among the files of one."""
    folder, pattern = _folder_and_pattern(Path(place))
    return os.path.isdir(folder) and (pattern is None or bool(fnmatch.filter(os.listdir(folder), pattern)))  # noqa: PTH112, PTH208


def sub_folders(place: Path) -> list[str]:
    """The names of the folders in a folder that may hold data, in natural order; none if it is no folder.

    Raises:
        UserError: it cannot be read.
    """
    if not os.path.isdir(place):  # noqa: PTH112
        return []
    return sorted(
        (entry.name for entry in _entries(str(place)) if not _is_no_data(entry.name) and _what(entry) == "folder"), key=natural_key
    )


def names_in(place: Path) -> tuple[list[str], list[str]]:
    """The names of the files, and of the folders, in a folder, but for those that are no data; in the order of the disk.

    Raises:
        UserError: it cannot be read.
    """
    files: list[str] = []
    folders: list[str] = []
    for entry in _entries(str(place)):
        if not _is_no_data(entry.name) and (what := _what(entry)) in ("file", "folder"):
            (files if what == "file" else folders).append(entry.name)
    return files, folders


def written_by_us(names: Iterable[str]) -> bool:
    """Whether a folder that holds these names is an output of this tool: a run, an evaluation, an analysis or an ablation.

    A folder of translated pictures is none: its files say so themselves, and are data like any other.
    """
    found = _MARKS.intersection(names)
    return any(file in found and not found.isdisjoint(others) for file, others in _OUTPUTS)


def composed(name: str) -> str:
    """A name as it is compared with others: accents composed with their letters, whichever way a system stores them."""
    return name if name.isascii() else unicodedata.normalize("NFC", name)


def merged(notes: Iterable[str]) -> list[str]:
    """Notes, each once, and one in place of all that say what was passed over in a folder: the folders of a data set are much alike."""
    notes = list(dict.fromkeys(notes))
    passed = [note for note in notes if isinstance(note, PassedOverNote)]
    if len(passed) < 2:
        return notes
    total = _PassedOver()
    for note in passed:
        total.take(note.passed, note.folders[0].name)
    one = PassedOverNote([folder for note in passed for folder in note.folders], total)
    first = notes.index(passed[0])
    return [*notes[:first], one, *(note for note in notes[first:] if not isinstance(note, PassedOverNote))]


class _PassedOver:
    """What was no image, counted by its kind, with one example of each."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._examples: dict[str, str] = {}

    def add(self, kind: str, name: str) -> None:
        self._counts[kind] += 1
        self._examples[kind] = min(name, self._examples.get(kind, name))

    def take(self, other: _PassedOver, folder: str) -> None:
        """Count another's as well; its examples are named with its folder."""
        self._counts += other._counts
        for kind, name in other._examples.items():
            self._examples.setdefault(kind, f"{folder}/{name}")

    def __bool__(self) -> bool:
        return bool(self._counts)

    def __str__(self) -> str:
        plain = (images.SEVERAL_ARRAYS, _COPY, _OTHER, _HIDDEN, _UNREADABLE, _LINK, _LOOP, _FOLDER, _OUTPUT)
        formats = sorted(kind for kind in self._counts if kind not in plain)
        parts = []
        if formats:
            numbers = [f"{self._counts[kind]} {kind}" for kind in formats]
            many = sum(self._counts[kind] for kind in formats) > 1
            which = f"{', '.join(numbers[:-1])} and {numbers[-1]}" if len(numbers) > 1 else numbers[0]
            example = min(self._examples[kind] for kind in formats)
            parts.append(
                f"{which} file{'s' * many}, such as {example} (convert {'them' if many else 'it'} to PNG to use {'them' if many else 'it'})"
            )
        for kind in plain:
            if count := self._counts[kind]:
                words = kind if count == 1 else _PLURALS.get(kind, f"{kind}s")
                way_out = " (save the one that is the image as a file of its own)" if kind == images.SEVERAL_ARRAYS else ""
                parts.append(f"{count} {words}, such as {self._examples[kind]}{way_out}")
        return "; ".join(parts)


class PassedOverNote(str):
    """The sentence about what was passed over; it can be added to another (see :func:`merged`).

    Attributes:
        folders: where.
        passed: what, and how often.
    """

    folders: Sequence[Path]
    passed: _PassedOver

    def __new__(cls, folders: Sequence[Path], passed: _PassedOver) -> PassedOverNote:
        """The sentence of one folder, or of several."""
        named = ", ".join(map(str, folders[:4])) + (f" and {len(folders) - 4} more folders" if len(folders) > 4 else "")
        note = super().__new__(cls, f"passed over in {named}: {passed}")
        note.folders, note.passed = folders, passed
        return note


@dataclass(frozen=True)
class _Above:
    """A folder on the way to another."""

    identity: tuple[int, int]
    parent: _Above | None


def _folder_and_pattern(place: Path) -> tuple[Path, str | None]:
    if any(mark in place.name for mark in "*?[") and not os.path.lexists(place):
        return place.parent, composed(place.name)
    return place, None


def _walk(folder: Path, recursive: bool, pattern: str | None, passed: _PassedOver) -> Iterator[str]:
    """The names of the images, ``/`` between folders, in the order of the disk."""
    above: _Above | None = None
    for parent in reversed(Path(os.path.realpath(folder)).parents):
        above = _Above(_identity(str(parent)), above)
    seen: set[tuple[int, int]] = set()
    once = again = 0
    own = False
    stack: list[tuple[str, str, bool, _Above | None]] = [(str(folder), "", False, above)]
    while stack:
        place, prefix, linked, above = stack.pop()
        try:
            identity, entries = _identity(place), _entries(place)
        except (UserError, OSError):
            if not linked:
                raise
            passed.add(_LINK, prefix.rstrip("/"))
            continue
        if _contains(above, identity):
            passed.add(_LOOP, prefix.rstrip("/"))
            continue
        if written_by_us(entry.name for entry in entries):
            own = own or not prefix  # a run that was named itself is read, with all that is in it
            if not own:
                passed.add(_OUTPUT, prefix.rstrip("/"))
                continue
        if identity in seen:
            again += 1 + len(entries)
            if again > _REPEATED + _REPEATED_SHARE * once:
                raise UserError(
                    f"links in {folder} multiply its files without end ({place} is one way to a folder seen before): remove some of them"
                )
        else:
            seen.add(identity)
            once += 1 + len(entries)
        for entry in entries:
            name, what = f"{prefix}{entry.name}", _what(entry)
            if pattern is not None and not fnmatch.fnmatchcase(composed(entry.name), pattern):
                continue
            if what == "folder":
                if recursive and _is_no_data(entry.name):
                    passed.add(_FOLDER, name)
                elif recursive:
                    stack.append((entry.path, f"{name}/", linked or entry.is_symlink(), _Above(identity, above)))
            elif _is_no_data(entry.name):
                if _has_known_suffix(entry.name):
                    passed.add(_HIDDEN, name)
            elif what != "file":
                passed.add(what, name)
            elif (
                _has_known_suffix(entry.name)
                or (reason := _not_an_image(entry.name, functools.partial(images.kind_of, entry.path))) is None
            ):
                yield name
            else:
                passed.add(reason, name)


def _entries(place: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(place) as entries:
            return list(entries)
    except OSError as error:
        raise UserError(f"cannot look into the folder {place}: {error.strerror}; change its permissions or move it away") from error


def _what(entry: os.DirEntry[str]) -> str:
    """``folder``, ``file``, or as what it is passed over."""
    try:
        if entry.is_dir():
            return "folder"
        if entry.is_file():
            return "file"
    except OSError:  # a link to itself, or one through a folder that is closed
        return _LINK
    return _LINK if entry.is_symlink() else _OTHER


def _is_no_data(name: str) -> bool:
    return name[0] == "." or (name := name.lower()) in _NO_DATA_FOLDERS or name in _NO_DATA_FILES


def _has_known_suffix(name: str) -> bool:
    stem, dot, suffix = name.rpartition(".")
    return stem != "" and f"{dot}{suffix}".lower() in SUFFIXES


def _not_an_image(name: str, kind_of: Callable[[], tuple[str, bool]]) -> str | None:
    """As what a file of another suffix is passed over; None if its first bytes are those of an image that can be read."""
    suffix = os.path.splitext(name)[1].lower()  # noqa: PTH122
    if suffix in _BESIDE_AN_IMAGE or suffix.endswith(("_original", "~")):
        return _COPY
    try:
        kind, readable = kind_of()
    except OSError:
        return _UNREADABLE
    return None if readable else kind or _OTHER


def _identity(place: str) -> tuple[int, int]:
    found = os.stat(place)  # noqa: PTH116
    return found.st_dev, found.st_ino


def _contains(above: _Above | None, identity: tuple[int, int]) -> bool:
    while above is not None:
        if above.identity == identity:
            return True
        above = above.parent
    return False
