"""How pairs lie on disk: side by side in one file, in two folders, or listed in a manifest."""

from __future__ import annotations

import contextlib
import os
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from ..errors import UserError
from ..registry import register
from .files import list_images
from .images import size_of
from .manifests import MANIFEST_SUFFIXES, find_manifest, read_manifest
from .pairing import listed, match
from .pairs import SPLIT_NAMES, Collection, FilePicture, Record

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

_THREE_LAYOUTS = (
    "pairs can be (1) double-width images, A left and B right, in the folder or in its train, val and test sub-folders; "
    "(2) two folders with equal file names, such as trainA and trainB, or A and B; "
    "(3) a manifest.csv or .jsonl with the columns source and target"
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
    notes = []
    if parts:
        direct = images_in(folder, [], recursive=False)
        if direct:
            notes.append(f"{len(direct)} images directly in {folder} are not used, since it has {listed(sorted(parts))} sub-folders")
    found = {name: _halves(part, images_in(part, notes)) for name, part in (parts or {"all": folder}).items()}
    splits = {name: records for name, records in found.items() if records}
    if not splits:
        raise UserError(f"{notes[-1]}; {_THREE_LAYOUTS}")
    return Collection(splits, notes)


@register("dataset", "two_folders")
def two_folders(path: Path | None, a: str = "A", b: str = "B") -> Collection:
    """Source and target as separate files with matching names: trainA and trainB, A/train and B/train, train/A and train/B, or A and B.

    Where there is no A and B, the names in common use (source and target, images and labels, ...) are looked for, and a note says
    which were taken.

    Args:
        path: the folder that holds both sides.
        a: name of the first side's folder, or a path to it.
        b: name of the second side's folder, or a path to it.

    Raises:
        UserError: a folder is missing, several could be meant, or no file has a partner.
    """
    if path is not None or not (Path(a).is_dir() and Path(b).is_dir()):
        _existing_folder(path, "two_folders")
    words = words_for(path, a, b)
    notes = [] if words == (a, b) else [f"{path} has no {a} and {b}: took {words[0]} and {words[1]}"]
    sides = side_folders(path, words[0]), side_folders(path, words[1])
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
    return Collection(splits, notes)


@register("dataset", "manifest")
def manifest(path: Path | None) -> Collection:
    """Pairs listed in a CSV, TSV or JSONL file: the columns source and target, and optionally split and name.

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
    file = find_manifest(path) if path.is_dir() else path
    if file is None:
        raise UserError(f"{path} holds no manifest.csv, manifest.tsv, manifest.jsonl or metadata of the same kinds: {_THREE_LAYOUTS}")
    return read_manifest(file)


def recognise(path: Path) -> str:
    """Which kind of data set a folder or a file is, without decoding an image.

    Raises:
        UserError: it is none; the message says what was found and which layouts there are.
    """
    if not path.exists():
        raise UserError(f"{path} does not exist: {_THREE_LAYOUTS}")
    if path.is_file():
        if path.suffix.lower() in MANIFEST_SUFFIXES:
            return "manifest"
        raise UserError(f"{path} is a single file and no manifest: {_THREE_LAYOUTS}")
    if find_manifest(path):
        return "manifest"
    if _usual_words_in(path):
        return "two_folders"
    files = [file for folder in (_split_folders(path) or {"all": path}).values() for file in images_in(folder, [])]
    if not files:
        children = sorted(child.name for child in path.iterdir())
        raise UserError(f"{path} holds {f'{listed(children)} and no images' if children else 'nothing'}: {_THREE_LAYOUTS}")
    sizes = _sizes([files[0], files[len(files) // 2], files[-1]])
    odd = [(file, (width, height)) for file, (width, height) in sizes.items() if not 1.9 <= width / height <= 2.1]
    if odd:
        (file, (width, height)) = odd[0]
        raise UserError(
            f"{path} holds {len(files)} images, but {file.name} is {width}x{height}, not twice as wide as high: {_THREE_LAYOUTS}; "
            "if these are double-width pairs of pictures that are not square, say so with --data.kind side_by_side"
        )
    return "side_by_side"


def _sizes(files: Iterable[Path]) -> dict[Path, tuple[int, int]]:
    """Width and height of those that can be read; what is wrong with the others is said later, together with all else."""
    sizes = {}
    for file in files:
        with contextlib.suppress(UserError):
            header = size_of(file)
            sizes[file] = header.width, header.height
    return sizes


# ---- folders ------------------------------------------------------------------------------------------------------------


def _existing_folder(path: Path | None, kind: str) -> Path:
    if path is None:
        raise UserError(f"data kind {kind!r} needs a folder: give it with --data.path")
    if not path.is_dir():
        state = "is a file" if path.is_file() else "does not exist"
        raise UserError(f"{path} {state}: data kind {kind!r} needs a folder with images")
    return path


def _children(folder: Path) -> list[str]:
    return sorted(child.name for child in folder.iterdir() if child.is_dir()) if folder.is_dir() else []


def _child(folder: Path, names: Iterable[str]) -> Path | None:
    """The sub-folder with one of these names, exactly if there is one, else in other capitals."""
    names, children = list(names), _children(folder)
    exact = [name for name in names if name in children]
    folded = [child for child in children if child.lower() in {name.lower() for name in names}]
    return folder / (exact or folded)[0] if exact or folded else None


def _split_folders(folder: Path) -> dict[str, Path]:
    found = {name: _child(folder, words) for name, words in SPLIT_NAMES.items()}
    return {name: child for name, child in found.items() if child}


def side_folders(path: Path | None, word: str) -> dict[str, Path]:
    """A side's folder for each split, or for ``all``; empty if the word names nothing."""
    if path is not None and len(Path(word).parts) == 1:
        found = {name: _child(path, (f"{alias}{dash}{word}" for alias in words for dash in ("", "_", "-")))
                 for name, words in SPLIT_NAMES.items()}  # fmt: skip
        inside = {name: _child(part, [word]) for name, part in _split_folders(path).items()}
        splits = {name: folder for name, folder in {**inside, **{k: v for k, v in found.items() if v}}.items() if folder}
        if splits:
            return {name: splits[name] for name in SPLIT_NAMES if name in splits}
        whole = _child(path, [word])
    else:
        candidates = [*([path / word] if path is not None else []), Path(word).expanduser()]
        whole = next((folder for folder in candidates if folder.is_dir()), None)
    if whole is None:
        return {}
    return _split_folders(whole) or {"all": whole}


def _usual_words_in(path: Path) -> list[tuple[str, str]]:
    return [words for words in USUAL_WORDS if set(side_folders(path, words[0])) & set(side_folders(path, words[1]))]


def words_for(path: Path | None, a: str, b: str) -> tuple[str, str]:
    """The two folder names asked for, or the pair in common use that is there in place of A and B.

    Raises:
        UserError: neither, or several could be meant.
    """
    missing = [word for word in (a, b) if not side_folders(path, word)]
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
        f"{path} has no folder {' and no folder '.join(missing)} (it holds {listed(_children(path), 8) or 'no folders'}): "
        "name the two sides with --data.a and --data.b"
    )


# ---- records ------------------------------------------------------------------------------------------------------------


def images_in(folder: Path, notes: list[str], recursive: bool = True) -> list[Path]:
    """The folder's images; where it has none, the reason goes to the notes."""
    try:
        return list_images(folder, recursive)
    except UserError as error:
        notes.append(str(error))
        return []


def _relative(files: Iterable[Path], folder: Path) -> list[str]:
    return [file.relative_to(folder).as_posix() for file in files]


def _halves(folder: Path, files: list[Path]) -> list[Record]:
    names = _relative(files, folder)
    stems = [os.path.splitext(name)[0] for name in names]  # noqa: PTH122 - with_suffix would refuse some names
    times = Counter(stems)
    return [
        Record(name if times[stem] > 1 else stem, FilePicture((file,), "left"), FilePicture((file,), "right"))
        for file, name, stem in zip(files, names, stems)
    ]


def _pair(a: Path, b: Path) -> tuple[list[Record], list[str]]:
    notes: list[str] = []
    files = images_in(a, notes), images_in(b, notes)
    paired = match(_relative(files[0], a), _relative(files[1], b))
    if not paired.pairs and any(files):
        return [], [*notes, f"no file of {a} has a partner in {b}"]
    records = [Record(name, FilePicture((files[0][i],)), FilePicture((files[1][j],))) for i, j, name in paired.pairs]
    return records, notes + paired.notes(str(a), str(b))


def _nothing_paired(a: dict[str, Path], b: dict[str, Path]) -> str:
    name = next(name for name in a if name in b)
    folders = a[name], b[name]
    shown = [listed(_relative(images_in(folder, []), folder)) or "no images" for folder in folders]
    return (
        f"no file of {folders[0]} ({shown[0]}) has a partner in {folders[1]} ({shown[1]}): give the two files of a pair one name, "
        "or list the pairs in a manifest"
    )
