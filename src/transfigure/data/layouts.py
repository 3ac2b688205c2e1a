"""How data lies on disk: pairs side by side in one file, in two folders or listed in a manifest; and two folders without pairs."""

from __future__ import annotations

import contextlib
import csv
import itertools
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, TextIO

from ..errors import UserError
from ..registry import register
from ..stored import LONGEST_LINE, load_json
from ..wording import counted
from .file_patterns import FilePattern
from .files import home_path
from .folder import Found, composed, find_images, is_place, merged, sub_folders
from .images import size_of
from .pairing import listed, match
from .pairs import SPLIT_NAMES, Collection, FilePicture, Record, Single, canonical_split

USUAL_WORDS = (
    ("A", "B"),
    ("source", "target"),
    ("sources", "targets"),
    ("src", "tgt"),
    ("input", "output"),
    ("inputs", "outputs"),
    ("input", "target"),
    ("inputs", "targets"),
    ("image", "label"),
    ("images", "labels"),
    ("image", "mask"),
    ("images", "masks"),
    ("photo", "label"),
    ("photos", "labels"),
    ("img", "label"),
    ("img", "mask"),
)
"""Folder names tried, in any capitals, where there is no A and B."""

MANIFEST_SUFFIXES = (".csv", ".tsv", ".jsonl")

LARGEST_MANIFEST = 128 << 20
"""Bytes of a manifest: a million pairs and more."""

_COLUMNS = (
    ("source", "target"),
    ("input_file_name", "target_file_name"),
    ("input_file_name", "output_file_name"),
    ("input_image", "target_image"),
    ("input_image", "output_image"),
    ("input", "target"),
    ("input", "output"),
    ("image", "mask"),
    ("a", "b"),
)
"""Column names accepted for the two sides, in any capitals."""

_THREE_LAYOUTS = (
    "pairs can be (1) double-width images, A left and B right, in the folder or in its train, val and test sub-folders; "
    "(2) two folders with equal file names, such as trainA and trainB, or A and B; "
    "(3) a manifest.csv or .jsonl with the columns source and target; or say which kind of data it is with --data.kind"
)


@register("dataset", "side_by_side")
def side_by_side(path: Path | None) -> Collection:
    """Double-width images whose left half is A and whose right half is B, in one folder or in train, val and test sub-folders.

    Args:
        path: the folder.

    Raises:
        UserError: the folder is missing or holds no images.
    """
    folder = _existing_folder(path, "side_by_side")
    parts = _split_folders(folder)
    notes = _idle_manifests(folder)
    if parts:
        direct = _images_in(folder, [], recursive=False).names
        if direct:
            used = "is" if len(direct) == 1 else "are"
            notes.append(
                f"{counted(len(direct), 'image')} directly in {folder} {used} not used, since it has {listed(sorted(parts))} sub-folders"
            )
    found = {name: _halves(_images_in(part, notes)) for name, part in (parts or {"all": folder}).items()}
    splits = {name: records for name, records in found.items() if records}
    if not splits:
        raise UserError(f"{notes[-1]}; {_THREE_LAYOUTS}")
    return Collection(splits, merged(notes))


@register("dataset", "two_folders")
def two_folders(path: Path | None, a: str = "A", b: str = "B") -> Collection:
    """Source and target as separate files with matching names: trainA and trainB, A/train and B/train, train/A and train/B, or A and B.

    Where there is no A and B, the names in common use (source and target, images and labels, ...) are looked for, and a note says
    which were taken. A side may also be a pattern of several files that are one image, see :mod:`.file_patterns`.

    Args:
        path: the folder that holds both sides.
        a: name of the first side's folder, or a path to it; or a pattern such as ``{name}_z{00..12}.png``.
        b: name of the second side's folder, or a path to it; or a pattern.

    Raises:
        UserError: a folder is missing, several could be meant, no file has a partner, or an image lacks a file.
    """
    if _is_pattern(path, a) or _is_pattern(path, b):
        return _pairs_of_patterns(path, a, b)
    if path is not None or not (is_place(a) and is_place(b)):
        _existing_folder(path, "two_folders", pattern=False)
    words = _words_for(path, a, b)
    notes = _idle_manifests(path) + ([] if words == (a, b) else [f"{path} has no {a} and {b}: took {words[0]} and {words[1]}"])
    sides = _side_folders(path, words[0]), _side_folders(path, words[1])
    if set(sides[0]) & set(sides[1]) == set():
        where = [", ".join(str(folder) for folder in side.values()) for side in sides]
        raise UserError(f"one side is {where[0]}, the other {where[1]}: both need the same train, val and test sub-folders, or none")
    splits = {}
    for name in [*sides[0], *(name for name in sides[1] if name not in sides[0])]:
        if name in sides[0] and name in sides[1]:
            records, found = _pair(sides[0][name], sides[1][name])
            notes += found
            if records:
                splits[name] = records
        else:
            notes.append(f"{(sides[0].get(name) or sides[1][name])} has no folder beside it for the other side: not used")
    if not splits:
        raise UserError(_nothing_paired(sides[0], sides[1]))
    if path is not None and "all" not in splits:
        idle = [folder for name, folder in _split_folders(path).items() if name not in {*sides[0], *sides[1]}]
        notes += [f"{folder} is not used: it holds no {words[0]} and {words[1]}" for folder in idle]
    return Collection(splits, merged(notes))


@register("dataset", "manifest")
def manifest(path: Path | None) -> Collection:
    """Pairs listed in a CSV, TSV or JSONL file: the columns source and target, and optionally split, group, name and mask.

    A path is relative to the manifest. Several files for one side, as a JSON list or separated by ``;``, are stacked as channels.

    Args:
        path: the file, or a folder that holds manifest.csv, .tsv or .jsonl (or metadata.csv, .tsv or .jsonl).

    Raises:
        UserError: the file cannot be read, a line is incomplete, or files it names do not exist.
    """
    if path is None:
        raise UserError("data kind 'manifest' needs a path: give the manifest file, or the folder it is in, with --data.path")
    if not path.exists():
        raise UserError(f"{path} does not exist: give the path of a CSV, TSV or JSONL manifest")
    file = next(iter(_pair_manifests(path) or _manifests(path)), None) if path.is_dir() else path
    if file is None:
        raise UserError(f"{path} holds no manifest.csv, manifest.tsv, manifest.jsonl or metadata of the same kinds: {_THREE_LAYOUTS}")
    return _read_manifest(file, "; if it is none, say which kind of data this is with --data.kind" if path.is_dir() else "")


@register("dataset", "unpaired")
def unpaired(path: Path | None, a: str = "A", b: str = "B") -> Collection:
    """Two domains as two folders, of any names and numbers of files: trainA and trainB (testA, testB), A and B, or any two folders.

    Nothing is matched. Where only one side has a validation or test folder, it is not used, and a note says so. A domain may also be a
    pattern of several files that are one image, see :mod:`.file_patterns`.

    Args:
        path: the folder that holds both sides.
        a: name of the first domain's folder, or a path to it; or a pattern such as ``{name}_z{00..12}.png``.
        b: name of the second domain's folder, or a path to it; the same folder again is the autoencoder experiment. Or a pattern.

    Raises:
        UserError: a folder is missing, several could be meant, a domain holds no images, or an image lacks a file.
    """
    if _is_pattern(path, a) or _is_pattern(path, b):
        return _domains_of_patterns(path, a, b)
    if path is not None and not path.is_dir():
        raise UserError(f"{path} {'is a file' if path.is_file() else 'does not exist'}: unpaired data is a folder with two domains in it")
    words = _words_for(path, a, b)
    notes = _idle_manifests(path) + ([] if words == (a, b) else [f"{path} has no {a} and {b}: took {words[0]} and {words[1]}"])
    sides = _side_folders(path, words[0]), _side_folders(path, words[1])
    both = [name for name in (*SPLIT_NAMES, "all") if name in sides[0] and name in sides[1]]
    if not both:
        where = [", ".join(str(folder) for folder in side.values()) for side in sides]
        raise UserError(f"one domain is {where[0]}, the other {where[1]}: both need the same train, val and test sub-folders, or none")
    notes += [
        f"{folder} has no folder beside it for the other domain: not used"
        for side in sides
        for name, folder in side.items()
        if name not in both
    ]
    domains = {}
    for name in both:
        domains[name] = _singles(sides[0][name], notes), _singles(sides[1][name], notes)
    return Collection(notes=merged(notes), domains=domains)


def masks_at(inside: Path | None, mask: str) -> tuple[_Side | None, bool]:
    """Where masks are, and whether that is not in the data folder.

    Args:
        inside: the data folder, or that of the manifest.
        mask: a folder by its name in there (also as ``trainmask`` or ``mask/train``), or by its path; or a pattern.

    Raises:
        UserError: a pattern finds nothing.
    """
    if FilePattern.read(mask, inside) is not None:
        elsewhere = FilePattern.read(mask)
        if elsewhere is not None and elsewhere.is_there():
            return _Side(mask, {"all": elsewhere}), True
        return _Side.read(inside, mask), False
    place = home_path(mask)
    found = _side_folders(inside, mask) or ((_split_folders(place) or {"all": place}) if place.is_dir() else {})
    return (_Side(mask, dict(found)) if found else None), any(folder.is_relative_to(place) for folder in found.values())


def with_masks(collection: Collection, path: str | Path | None, mask: str, unpaired: bool = False) -> None:
    """Give each pair of a data set its mask, by its name.

    Args:
        collection: the pairs; their masks are set in place.
        path: the data set, in which the folder of masks may lie.
        mask: see :func:`masks_at`.
        unpaired: the pairs are not to be used as such.

    Raises:
        UserError: the data has no pairs, there is no such folder, or a pair has no mask.
    """
    if collection.unpaired or unpaired:
        raise UserError("data.mask says what of a pair counts, and in unpaired data there are no pairs: leave it out")
    inside = None if path is None else Path(path)
    if inside is not None and inside.is_file():
        inside = inside.parent
    side, _ = masks_at(inside, mask)
    if side is None:
        where = f"in {inside} or " if inside is not None else ""
        raise UserError(f"data.mask is {mask}, and there is no such folder {where}in the working directory: give a folder of masks")
    for split, records in collection.splits.items():
        part = split if split in side.parts else "all"
        if not records:
            continue
        if part not in side.parts:
            raise UserError(f"the {split} pairs have no masks ({mask} has {', '.join(side.parts)}): add a folder of them, named {split}")
        found = side.images(part, collection)
        where = str(side.parts[part]) if isinstance(side.parts[part], Path) else mask
        pairing = match([f"{record.name}.png" for record in records], [f"{name}.png" for name, _ in found], ("the pairs", where))
        masks = {a: found[b][1] for a, b, _ in pairing.pairs}
        if lonely := [record.name for index, record in enumerate(records) if index not in masks]:
            raise UserError(
                f"{counted(len(lonely), 'pair')} of {len(records)} {'has' if len(lonely) == 1 else 'have'} no mask of the same name in "
                f"{where}: {listed(lonely)}; give a white one where everything counts"
            )
        records[:] = [replace(record, mask=masks[index]) for index, record in enumerate(records)]
    collection.notes[:] = merged(collection.notes)


@register("dataset", "photos")
def photos(path: Path | None, half: Literal["left", "right"] | None = None) -> Collection:
    """Any photos, each of which is both sides of a pair: for what is learnt from a part of a picture, as colour from lightness.

    In one folder, or in train, val and test sub-folders.

    Args:
        path: the folder.
        half: only this half of each image, of side-by-side pairs one of whose halves is the photo.

    Raises:
        UserError: the folder is missing or holds no images.
    """
    folder = _existing_folder(path, "photos")
    notes: list[str] = []
    splits: dict[str, list[Record]] = {}
    for name, part in (_split_folders(folder) or {"all": folder}).items():
        found = _images_in(part, notes)
        records = [Record(name, picture := FilePicture((file,), half), picture) for file, name in zip(found.places, _names_of(found))]
        splits |= {name: records} if records else {}
    if not splits:
        raise UserError(f"{notes[-1]}: data kind 'photos' needs a folder with images")
    return Collection(splits, merged(notes))


def _names_of(found: Found) -> list[str]:
    """Names without their suffixes where these tell nothing apart."""
    stems = [os.path.splitext(name)[0] for name in found.names]  # noqa: PTH122 - with_suffix would refuse some names
    times = Counter(stems)
    return [name if times[stem] > 1 else stem for name, stem in zip(found.names, stems)]


def recognise(path: Path) -> str:
    """Which kind of data set a folder or a file is, without decoding an image.

    Raises:
        UserError: it is none; the message says what was found and which layouts there are.
    """
    if not path.exists() and not is_place(path):
        raise UserError(f"{path} does not exist: {_THREE_LAYOUTS}")
    if path.is_file():
        if path.suffix.lower() in MANIFEST_SUFFIXES:
            return "manifest"
        raise UserError(f"{path} is a single file and no manifest: {_THREE_LAYOUTS}")
    listing = _pair_manifests(path)
    if listing and not all(map(_names_nothing, listing)):
        return "manifest"
    if _usual_words_in(path):
        return "two_folders"
    files = [file for folder in (_split_folders(path) or {"all": path}).values() for file in _images_in(folder, []).files]
    if listing and (not files or _not_double(files)):
        return "manifest"  # where what it names is missing is said
    if not files:
        children = [*sub_folders(path), *(name for name in sorted(os.listdir(path)) if not (path / name).is_dir())]  # noqa: PTH208
        unrelated = "".join(f"; {note}" for note in _idle_manifests(path))
        raise UserError(f"{path} holds {f'{listed(children)} and no images' if children else 'nothing'}{unrelated}: {_THREE_LAYOUTS}")
    if odd := _not_double(files):
        (file, (width, height)) = odd[0]
        raise UserError(
            f"{path} holds {counted(len(files), 'image')}, and {file.name} is {width}x{height}, not twice as wide as high: "
            f"{_THREE_LAYOUTS}; if these are double-width pairs of pictures that are not square, say so with --data.kind side_by_side"
        )
    return "side_by_side"


def _not_double(files: Sequence[Path]) -> list[tuple[Path, tuple[int, int]]]:
    """Those of some files that are not twice as wide as high, with their sizes."""
    sizes = _sizes([files[0], files[len(files) // 2], files[-1]])
    return [(file, (width, height)) for file, (width, height) in sizes.items() if not 1.9 <= width / height <= 2.1]


def _sizes(files: Iterable[Path]) -> dict[Path, tuple[int, int]]:
    """Width and height of those that can be read; what is wrong with the others is said later, together with all else."""
    sizes = {}
    for file in files:
        with contextlib.suppress(UserError):
            header = size_of(file, pages="channels")
            sizes[file] = header.width, header.height
    return sizes


# ---- folders ------------------------------------------------------------------------------------------------------------


def _existing_folder(path: Path | None, kind: str, pattern: bool = True) -> Path:
    if path is None:
        raise UserError(f"data kind {kind!r} needs a folder: name it after the recipe, or with --data.path")
    if not path.is_dir() and not (pattern and is_place(path)):
        state = "is a file" if path.is_file() else "does not exist"
        raise UserError(f"{path} {state}: data kind {kind!r} needs a folder with images")
    return path


def _child(folder: Path, names: Iterable[str]) -> Path | None:
    """The sub-folder with one of these names, exactly if there is one, else in other capitals."""
    names, children = list(names), sub_folders(folder)
    exact = [name for name in names if name in children]
    folded = [child for child in children if child.lower() in {name.lower() for name in names}]
    return folder / (exact or folded)[0] if exact or folded else None


def _split_folders(folder: Path) -> dict[str, Path]:
    found = {name: _child(folder, words) for name, words in SPLIT_NAMES.items()}
    return {name: child for name, child in found.items() if child}


def _side_folders(path: Path | None, word: str) -> dict[str, Path]:
    """A side's folder for each split, or for ``all``; empty if the word names nothing."""
    if path is not None and not os.path.lexists(path / word) and is_place(path / word):
        return {"all": path / word}  # a pattern
    if path is not None and len(Path(word).parts) == 1:
        found = {name: _child(path, (f"{alias}{dash}{word}" for alias in words for dash in ("", "_", "-")))
                 for name, words in SPLIT_NAMES.items()}  # fmt: skip
        inside = {name: _child(part, [word]) for name, part in _split_folders(path).items()}
        splits = {name: folder for name, folder in {**inside, **{k: v for k, v in found.items() if v}}.items() if folder}
        if splits:
            return {name: splits[name] for name in SPLIT_NAMES if name in splits}
        whole = _child(path, [word])
    else:
        candidates = [*([path / word] if path is not None else []), home_path(word)]
        whole = next((folder for folder in candidates if is_place(folder)), None)
    if whole is None:
        return {}
    return _split_folders(whole) or {"all": whole}


def _usual_words_in(path: Path) -> list[tuple[str, str]]:
    return [words for words in USUAL_WORDS if set(_side_folders(path, words[0])) & set(_side_folders(path, words[1]))]


def _words_for(path: Path | None, a: str, b: str) -> tuple[str, str]:
    """The two folder names asked for, or the pair in common use that is there in place of A and B.

    Raises:
        UserError: neither, or several could be meant.
    """
    missing = [word for word in (a, b) if not _side_folders(path, word)]
    if not missing:
        return a, b
    if path is None:
        raise UserError(f"{missing[0]} is not a folder: give the folder of each side, or the one that holds both with --data.path")
    usual = _usual_words_in(path) if (a, b) == ("A", "B") else []
    if len(usual) == 1:
        return usual[0]
    if usual:
        choices = listed([f"{first} and {second}" for first, second in usual])
        raise UserError(f"{path} could be paired in more than one way ({choices}): say which with --data.a and --data.b")
    raise UserError(
        f"{path} has no folder {' and no folder '.join(missing)} (it holds {listed(sub_folders(path), 8) or 'no folders'}): "
        "name the two sides with --data.a and --data.b"
    )


def folders_read(kind: str, path: Path | None, a: str = "A", b: str = "B") -> list[Path]:
    """The folders whose images a data set is made of: what is written there becomes data. None for a manifest and a drawn world.

    Of a pattern of several files these are none: what is written below its folder has no name that it matches.
    """
    if kind in ("two_folders", "unpaired") and (_is_pattern(path, a) or _is_pattern(path, b)):
        sides = [_Side.read(path, word) for word in (a, b)]
        return [part for side in sides for part in side.parts.values() if isinstance(part, Path) and not part.is_file()]
    if kind in ("two_folders", "unpaired"):
        words = _words_for(path, a, b)
        return [folder for word in words for folder in _side_folders(path, word).values()]
    if kind in ("side_by_side", "photos") and path is not None:
        return list(_split_folders(path).values()) or [path]
    return [path] if path is not None and path.is_dir() and kind not in ("manifest", "auto") else []


# ---- records ------------------------------------------------------------------------------------------------------------


def _images_in(folder: Path, notes: list[str], recursive: bool = True) -> Found:
    """The folder's images; where it has none, the reason goes to the notes, as does what was passed over."""
    try:
        found = find_images(folder, recursive)
    except UserError as error:
        notes.append(str(error))
        return Found(folder, [])
    notes += found.notes
    return found


def _halves(found: Found) -> list[Record]:
    files, names = found.places, found.names
    stems = [os.path.splitext(name)[0] for name in names]  # noqa: PTH122 - with_suffix would refuse some names
    times = Counter(stems)
    return [
        Record(name if times[stem] > 1 else stem, FilePicture((file,), "left"), FilePicture((file,), "right"))
        for file, name, stem in zip(files, names, stems)
    ]


def _pair(a: Path, b: Path) -> tuple[list[Record], list[str]]:
    notes: list[str] = []
    files = _images_in(a, notes), _images_in(b, notes)
    paired = match(files[0].names, files[1].names, (a, b))
    if not paired.pairs and any(found.names for found in files):
        return [], [*notes, f"no file of {a} has a partner in {b}"]
    first, second = files[0].places, files[1].places
    records = [Record(name, FilePicture((first[i],)), FilePicture((second[j],))) for i, j, name in paired.pairs]
    return records, notes + paired.notes(str(a), str(b))


def _singles(folder: Path, notes: list[str]) -> list[Single]:
    try:
        found = find_images(folder)
    except UserError as error:
        raise UserError(f"{error}: a domain needs images") from error
    notes += found.notes
    files, names = found.places, found.names
    stems = [os.path.splitext(name)[0] for name in names]  # noqa: PTH122 - with_suffix would refuse some names
    times = Counter(stems)
    return [Single(name if times[stem] > 1 else stem, FilePicture((file,))) for file, name, stem in zip(files, names, stems)]


# ---- several files as one image -------------------------------------------------------------------------------------------


def _is_pattern(path: Path | None, word: str) -> bool:
    return FilePattern.read(word, path) is not None


@dataclass(frozen=True)
class _Side:
    """One side of pairs of which at least one side is a pattern: a pattern, a folder, or a file that is the one image there is.

    Attributes:
        word: what was written.
        parts: the images of each split, or of ``all``, as a pattern, a folder or a file.
    """

    word: str
    parts: dict[str, FilePattern | Path]

    @classmethod
    def read(cls, path: Path | None, word: str) -> _Side:
        """From what was written.

        Raises:
            UserError: it is no pattern that finds anything, no folder and no file.
        """
        pattern = FilePattern.read(word, path)
        if pattern is None:
            if parts := _side_folders(path, word):
                return cls(word, dict(parts))
            file = (path or Path()) / home_path(word)
            if file.is_file():
                return cls(word, {"all": file})
            where = "" if path is None else f" in {path}"
            raise UserError(f"{word} is no folder, no file and no pattern{where}: name the two sides with --data.a and --data.b")
        whole = pattern.within([(path or Path()) / folder.folder for folder in pattern.parts])
        if whole.is_there():
            return cls(word, {"all": whole})
        inside = [_pattern_folders(path, part.folder) for part in pattern.parts]
        divided = {name: pattern.within([one[name] for one in inside]) for name in SPLIT_NAMES if all(name in one for one in inside)}
        divided = {name: one for name, one in divided.items() if one.is_there()}
        if not divided:
            whole.find()  # which says what is there instead
        return cls(word, dict(divided))

    @property
    def folders(self) -> list[tuple[str, Path]]:
        """Where its files lie, by split."""
        found: list[tuple[str, Path]] = []
        for name, part in self.parts.items():
            if isinstance(part, FilePattern):
                found += [(name, folder) for folder in part.folders]
            else:
                found.append((name, part.parent if part.is_file() else part))
        return found

    def images(self, name: str, found: Collection) -> list[tuple[str, FilePicture]]:
        """The images of a split: what each is called, and where it is read from.

        Args:
            name: of the split.
            found: what is being found, to whose notes what was passed over is added, and to whose lacks the images that lack files.

        Raises:
            UserError: a pattern finds none, or there are no images in a folder.
        """
        part = self.parts[name]
        if isinstance(part, FilePattern):
            stacks, lacking = part.find_all()
            found.lacking += [lacking] if lacking else []
            return [(one.name, FilePicture(one.files, names=part.names)) for one in stacks]
        if part.is_file():
            return [(part.stem, FilePicture((str(part),)))]
        return [(one.name, one.picture) for one in _singles(part, found.notes) if isinstance(one.picture, FilePicture)]

    def is_one(self, name: str) -> bool:
        """Whether it is one image by what was written, so that names tell nothing."""
        part = self.parts[name]
        return not part.has_name if isinstance(part, FilePattern) else part.is_file()


def _pattern_folders(path: Path | None, folder: str) -> dict[str, Path]:
    """The folders for each split that the folder of a pattern, as it is written, may stand for."""
    if folder:
        return {name: place for name, place in _side_folders(path, folder).items() if name != "all"}
    return _split_folders(path or Path())


def _sides_of_patterns(path: Path | None, a: str, b: str) -> tuple[_Side, _Side, list[str]]:
    if path is not None and not path.is_dir():
        raise UserError(f"{path} {'is a file' if path.is_file() else 'does not exist'}: give the folder that the patterns are below")
    sides = _Side.read(path, a), _Side.read(path, b)
    both = [name for name in (*SPLIT_NAMES, "all") if name in sides[0].parts and name in sides[1].parts]
    if not both:
        where = [", ".join(str(folder) for _, folder in side.folders) for side in sides]
        raise UserError(f"one side is {where[0]}, the other {where[1]}: both need the same train, val and test sub-folders, or none")
    return *sides, both


def _pairs_of_patterns(path: Path | None, a: str, b: str) -> Collection:
    first, second, both = _sides_of_patterns(path, a, b)
    collection = Collection()
    splits, notes = collection.splits, collection.notes
    for name in both:
        sides = first.images(name, collection), second.images(name, collection)
        if first.is_one(name) and second.is_one(name):
            (one, source), (other, target) = sides[0][0], sides[1][0]
            splits[name] = [Record(_shared_name(one, other), source, target)]
            continue
        places = first.word, second.word
        paired = match([called for called, _ in sides[0]], [called for called, _ in sides[1]], places, (False, False))
        if not paired.pairs:
            shown = [listed([called for called, _ in side]) for side in sides]
            raise UserError(
                f"no image of {a} ({shown[0]}) has a partner in {b} ({shown[1]}): what {{name}} stands for must be the same on both sides, "
                "or list the pairs in a manifest"
            )
        splits[name] = [Record(called, sides[0][i][1], sides[1][j][1]) for i, j, called in paired.pairs]
        notes += paired.notes(*places)
    notes[:] = merged(notes)
    return collection


def _domains_of_patterns(path: Path | None, a: str, b: str) -> Collection:
    first, second, both = _sides_of_patterns(path, a, b)
    collection = Collection()
    for name in both:
        sides = [[Single(called, picture) for called, picture in side.images(name, collection)] for side in (first, second)]
        collection.domains[name] = sides[0], sides[1]
    collection.notes[:] = merged(collection.notes)
    return collection


def _shared_name(a: str, b: str) -> str:
    """What two names begin with alike, cut where a word ends; the first where that is nothing."""
    shared = os.path.commonprefix([a, b])  # noqa: RUF071 - characters are what is meant
    while shared and (shared[-1].isalnum() and any(name[len(shared) : len(shared) + 1].isalnum() for name in (a, b))):
        shared = shared[:-1]
    return shared.rstrip(" ,;._-+") or a


def _nothing_paired(a: dict[str, Path], b: dict[str, Path]) -> str:
    name = next(name for name in a if name in b)
    folders = a[name], b[name]
    shown = []
    for folder in folders:
        notes: list[str] = []
        if not (found := _images_in(folder, notes)).names:
            return notes[0]  # what it holds instead
        shown.append(listed(found.names))
    return (
        f"no file of {folders[0]} ({shown[0]}) has a partner in {folders[1]} ({shown[1]}): give the two files of a pair one name, "
        "or list the pairs in a manifest"
    )


# ---- manifests ------------------------------------------------------------------------------------------------------------


def _manifests(folder: Path) -> list[Path]:
    """The files of a folder that have a manifest's name."""
    candidates = [folder / f"{stem}{suffix}" for stem in ("manifest", "metadata") for suffix in MANIFEST_SUFFIXES]
    return [file for file in candidates if file.is_file()]


def _pair_manifests(folder: Path) -> list[Path]:
    """Those of them that list pairs; a damaged one counts if it is called manifest, so that its damage is said."""
    return [file for file in _manifests(folder) if _headings(file) is None]


def _idle_manifests(folder: Path | None) -> list[str]:
    """A sentence for each file of a manifest's name that lists no pairs, where the folder is read in another way."""
    found = [(file, _headings(file)) for file in (_manifests(folder) if folder is not None else [])]
    return [
        f"{file} is not used: it {f'has the columns {listed(names, 6)}' if names else 'has no columns'}, and none that name pairs"
        for file, names in found
        if names is not None
    ] + [f"{file} is not used: no file that it names is there" for file, names in found if names is None and _names_nothing(file)]


def _names_nothing(file: Path) -> bool:
    """Whether a file of the name metadata, which other programs write, too, lists no file that is there, as far as its first lines show.

    One that is called manifest is meant as one: what is missing is said.
    """
    if file.stem != "metadata":
        return False
    look = _Lookup(file.parent)
    try:
        rows = list(itertools.islice(_rows(file), 1000))
        columns = _columns(file, rows[0][1]) if rows else ()
        return not any(_is_file(path) for number, row in rows for column in columns for path in _paths(file, number, row, column, look))
    except UserError:  # is said when it is read
        return False


def _headings(file: Path) -> list[str] | None:
    """The columns of a file that cannot be a manifest for want of the right ones; None for one that may be."""
    try:
        if file.suffix.lower() == ".jsonl":
            names = next((list(row) for _, row in _rows(file)), [])
        else:
            with file.open(encoding="utf-8-sig", newline="") as stream:
                names = [name.strip().lower() for name in next(csv.reader(stream, delimiter=_delimiter(file, stream)), [])]
    except (OSError, ValueError, csv.Error, UserError):
        return None if file.stem == "manifest" else []
    if any(set(columns) <= set(names) for columns in _COLUMNS) or (file.stem == "manifest" and not names):
        return None
    return names


def _delimiter(file: Path, stream: TextIO) -> str:
    heading = stream.readline(LONGEST_LINE)
    stream.seek(0)
    return "\t" if file.suffix.lower() == ".tsv" or "\t" in heading else "," if "," in heading else ";"


def _read_manifest(file: Path, way_out: str = "") -> Collection:
    """The records of a manifest; files that do not exist are counted before it is refused, with a way out if it was not named itself."""
    rows = list(_rows(file))
    if not rows:
        raise UserError(f"{file} lists no pairs: write one line for each, with the columns source and target")
    columns = _columns(file, rows[0][1])
    look = _Lookup(file.parent)
    sides = [(number, row, tuple(_paths(file, number, row, column, look) for column in columns)) for number, row in rows]
    masks = [_mask(file, number, row, look) if "mask" not in columns else None for number, row in rows]
    missing = [f"{path} (line {number})" for number, _, pair in sides for paths in pair for path in paths if not _is_file(path)]
    missing += [f"{mask} (line {number})" for (number, _), mask in zip(rows, masks) if mask is not None and not _is_file(mask)]
    if missing:
        raise UserError(
            f"{file} names {len(missing)} {'file that does' if len(missing) == 1 else 'files that do'} not exist: {listed(missing)}; "
            f"paths are taken relative to {file.parent.absolute()}"
            + (
                ", and with / in place of the back-slashes of Windows they do not exist either"
                if any("\\" in one for one in missing)
                else ""
            )
            + way_out
        )
    divided = any(_text(row, "split") for _, row, _ in sides)
    parts = [_split(file, number, row) if divided else "all" for number, row, _ in sides]
    names = _names(parts, [_text(row, "name") for _, row, _ in sides], [pair[0][0] for _, _, pair in sides])
    splits: dict[str, list[Record]] = {}
    groups = [_text(row, "group") for _, row, _ in sides]
    for part, name, group, mask, (_, _, (a, b)) in zip(parts, names, groups, masks, sides):
        pictures = FilePicture(tuple(map(str, a))), FilePicture(tuple(map(str, b)))
        splits.setdefault(part, []).append(Record(name, *pictures, group or None, None if mask is None else FilePicture((str(mask),))))
    return Collection(splits)


def listed_pictures(file: Path, columns: Sequence[str]) -> tuple[list[str], list[FilePicture]]:
    """The pictures in one column of a manifest, which may have that column alone: what each is called, and where it is read from.

    Args:
        file: a CSV, TSV or JSONL file; paths are relative to it, and several files of one picture are a list, or separated by ``;``.
        columns: the name of the column; of several the first that it has, and of the names in use for the first of them any.

    Raises:
        UserError: it cannot be read, has no such column, a line is incomplete, or files that it names do not exist.
    """
    rows = list(_rows(file))
    if not rows:
        raise UserError(f"{file} lists no pictures: write one line for each, with the column {columns[0]}")
    at = {"source": 0, "target": 1}.get(columns[0])
    usual = () if at is None else tuple(pair[at] for pair in _COLUMNS)
    column = next((name for name in (*columns, *usual) if name in rows[0][1]), None)
    if column is None:
        raise UserError(f"{file} has the columns {', '.join(rows[0][1]) or '(none)'}: it needs {columns[0]} (and, if you like, name)")
    look = _Lookup(file.parent)
    stacks = [_paths(file, number, row, column, look) for number, row in rows]
    gone = [f"{path} (line {number})" for (number, _), paths in zip(rows, stacks) for path in paths if not _is_file(path)]
    if gone:
        raise UserError(
            f"{file} names {counted(len(gone), 'file')} that {'does' if len(gone) == 1 else 'do'} not exist: {listed(gone)}; paths are "
            f"taken relative to {file.parent.absolute()}"
            + (", and a manifest names no URLs" if any("://" in str(row.get(column)) for _, row in rows) else "")
        )
    names = _names([""] * len(rows), [_text(row, "name") for _, row in rows], [paths[0] for paths in stacks])
    return names, [FilePicture(tuple(map(str, paths))) for paths in stacks]


def _rows(file: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Line numbers and what the lines hold, with column names in small letters."""
    try:
        if (size := file.stat().st_size) > LARGEST_MANIFEST:
            raise UserError(f"{file} takes {size:,} bytes, and {LARGEST_MANIFEST:,} are the most for a manifest: divide it")
        with file.open(encoding="utf-8-sig", newline="") as stream:
            if file.suffix.lower() == ".jsonl":
                yield from _json_rows(file, stream)
                return
            reader = csv.DictReader(stream, delimiter=_delimiter(file, stream), strict=True)
            for row in reader:
                yield reader.line_num, {(key or "").strip().lower(): value for key, value in row.items()}
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{file} cannot be read as a manifest ({error}): it must be a CSV, TSV or JSONL file in UTF-8") from error


def _json_rows(file: Path, stream: TextIO) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, line in enumerate(iter(lambda: stream.readline(LONGEST_LINE), ""), start=1):
        if not line.strip():
            continue
        try:
            row = load_json(line)
        except ValueError as error:
            raise UserError(f"{file} line {number} is not JSON ({error}): write one object on each line") from error
        if not isinstance(row, dict):
            raise UserError(f'{file} line {number} is not an object: write {{"source": "...", "target": "..."}} on each line')
        yield number, {str(key).strip().lower(): value for key, value in row.items()}


def _columns(file: Path, row: dict[str, Any]) -> tuple[str, str]:
    for columns in _COLUMNS:
        if set(columns) <= row.keys():
            return columns
    raise UserError(f"{file} has the columns {', '.join(row) or '(none)'}: it needs source and target (and, if you like, split and name)")


class _Lookup:
    """The file that an entry of a manifest means: as it is written, with its accents stored the other way, or with / for back-slashes.

    Args:
        folder: what paths are relative to.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._listings: dict[Path, dict[str, str]] = {}

    def __call__(self, written: str) -> Path:
        """The path; as it is written where no file is found."""
        for spelling in dict.fromkeys((written, written.replace("\\", "/"))):
            path = self._folder / home_path(spelling)
            if _is_file(path):
                return path
            if not spelling.isascii() and _is_file(other := self._as_stored(path)):
                return other
        return self._folder / home_path(written)

    def _as_stored(self, path: Path) -> Path:
        """The same path with each name as its folder spells it."""
        found = Path(path.anchor)
        for name in path.parts[bool(path.anchor) :]:
            if found not in self._listings:
                try:
                    self._listings[found] = {composed(one): one for one in os.listdir(found)}  # noqa: PTH208
                except (OSError, ValueError):
                    self._listings[found] = {}
            found /= self._listings[found].get(composed(name), name)
        return found


def _paths(file: Path, number: int, row: dict[str, Any], column: str, look: _Lookup) -> tuple[Path, ...]:
    value = row.get(column)
    items: list[Any] = value if isinstance(value, list) else [value]
    if isinstance(value, str) and ";" in value and file.suffix.lower() != ".jsonl" and not _is_file(look(value)):
        items = [item for item in value.split(";") if item.strip()]
    if not items or not all(isinstance(item, str) and item.strip() for item in items):
        raise UserError(f"{file} line {number} has no file name for {column}: write a path, or a list of paths to stack as channels")
    if any("\0" in item for item in items):
        raise UserError(f"{file} line {number} has a null character in {column}: write a path")
    return tuple(look(item.strip()) for item in items)


def _mask(file: Path, number: int, row: dict[str, Any], look: _Lookup) -> Path | None:
    """The file in the column ``mask``; None where the line has none, so that everything counts."""
    written = row.get("mask")
    if written is None or (isinstance(written, str) and not written.strip()):
        return None
    if not isinstance(written, str) or "\0" in written:
        raise UserError(f"{file} line {number} has no file name for mask: write one path, or leave it empty where everything counts")
    return look(written.strip())


def _text(row: dict[str, Any], column: str) -> str:
    value = row.get(column)
    return str(value).strip() if value is not None else ""


def _split(file: Path, number: int, row: dict[str, Any]) -> str:
    try:
        return canonical_split(_text(row, "split"))
    except UserError as error:
        raise UserError(f"{file} line {number}: {error}") from None


def _is_file(path: Path) -> bool:
    return os.path.isfile(path)  # noqa: PTH113 - Path.is_file raises where a name is too long to exist


def _names(parts: list[str], given: list[str], sources: list[Path]) -> list[str]:
    """The names that were written, else the first file below the folder that all of them share; repeated ones are numbered."""
    files = [Path(os.path.normpath(path)) for path in sources]
    try:
        shared = os.path.commonpath([file.parent for file in files])
    except ValueError:  # on different drives, or absolute next to relative
        shared = ""
    names = [
        name or (file.relative_to(shared) if shared else Path(file.name)).with_suffix("").as_posix() for name, file in zip(given, files)
    ]
    keys = list(zip(parts, names))
    total, seen, taken = Counter(keys), Counter[tuple[str, str]](), set(keys)
    for index, (part, name) in enumerate(keys):
        if total[part, name] > 1:
            seen[part, name] += 1
            numbered = f"{name}-{seen[part, name]}"
            while (part, numbered) in taken:
                numbered += "+"
            taken.add((part, numbered))
            names[index] = numbered
    return names
