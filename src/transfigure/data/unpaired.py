"""Two sets of pictures without correspondence, and what should be known of them before anything is trained."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from ..errors import UserError
from ..registry import register
from .layouts import images_in, side_folders, words_for
from .pairing import listed
from .pairs import SPLIT_NAMES, Collection, FilePicture, Record, Single

ENOUGH = 10
"""A domain with fewer training pictures is learnt by heart."""


@register("dataset", "unpaired")
def unpaired(path: Path | None, a: str = "A", b: str = "B") -> Collection:
    """Two domains as two folders, of any names and numbers of files: trainA and trainB (testA, testB), A and B, or any two folders.

    Nothing is matched. Where only one side has a validation or test folder, it is not used, and a note says so.

    Args:
        path: the folder that holds both sides.
        a: name of the first domain's folder, or a path to it.
        b: name of the second domain's folder, or a path to it; the same folder again is the autoencoder experiment.

    Raises:
        UserError: a folder is missing, several could be meant, or a domain holds no images.
    """
    if path is not None and not path.is_dir():
        raise UserError(f"{path} {'is a file' if path.is_file() else 'does not exist'}: unpaired data is a folder with two domains in it")
    words = words_for(path, a, b)
    notes = [] if words == (a, b) else [f"{path} has no {a} and {b}: took {words[0]} and {words[1]}"]
    sides = side_folders(path, words[0]), side_folders(path, words[1])
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
        domains[name] = _singles(sides[0][name]), _singles(sides[1][name])
    return Collection(notes=notes, domains=domains)


def _singles(folder: Path) -> list[Single]:
    missing: list[str] = []
    files = images_in(folder, missing)
    if not files:
        raise UserError(f"{missing[0] if missing else folder}: a domain needs images")
    names = [file.relative_to(folder).as_posix() for file in files]
    stems = [os.path.splitext(name)[0] for name in names]  # noqa: PTH122 - with_suffix would refuse some names
    times = Counter(stems)
    return [Single(name if times[stem] > 1 else stem, FilePicture((file,))) for file, name, stem in zip(files, names, stems)]


def look_at_domains(records: Sequence[Record], contents: tuple[dict[bytes, list[str]], dict[bytes, list[str]]]) -> list[str]:
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
            effect = "the generator can only learn that one" if side == "target" and count == 1 else "they will be learnt by heart"
            warnings.append(f"the {side} domain has {what} to train on: {effect}")
    return warnings
