"""The pictures of one place, whatever a person names: a folder, a pattern that selects in it, several files as one image, or a manifest."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from ..errors import UserError
from .file_patterns import FilePattern
from .files import home_path
from .folder import find_images, is_place
from .layouts import MANIFEST_SUFFIXES, listed_pictures
from .pages import PageReading, refuse_unsaid
from .pairs import FilePicture


@dataclass(frozen=True)
class FoundPictures:
    """The pictures of a place, in natural order (a manifest's in its own).

    Attributes:
        place: what was named.
        folder: a folder that they lie below, which nothing may be written into; None of patterns and manifests.
        names: what each is called, with ``/`` between folders.
        pictures: where each is read from.
        suffixes: whether the names end in the suffix of a file.
        is_one: it is one picture by what was named, so that its output may be a file.
        notes: one sentence about what was passed over, or none.
    """

    place: str
    folder: Path | None
    names: list[str]
    pictures: list[FilePicture]
    suffixes: bool = True
    is_one: bool = False
    notes: list[str] = field(default_factory=list)

    @functools.cached_property
    def files(self) -> list[Path]:
        """The (first) file of each."""
        return [Path(picture.files[0]) for picture in self.pictures]

    @property
    def are_stacks(self) -> bool:
        """Whether several files are one picture."""
        return any(len(picture.files) > 1 for picture in self.pictures)

    def stem(self, index: int) -> str:
        """The name of a picture without the suffix of its file."""
        name = self.names[index]
        return Path(name).with_suffix("").as_posix() if self.suffixes else name


def page_by_page(found: FoundPictures, reading: PageReading, source: bool = False) -> FoundPictures:
    """The pictures as pages are to be read: each page of a file a picture of its own, called ``name[0]`` and so on, where that is meant.

    Args:
        found: the pictures.
        reading: what pages are.
        source: they are what is translated, so that a slice of a volume brings its neighbours.

    Raises:
        UserError: files that are stacked have different numbers of pages.
    """
    if reading.use == "ask":
        refuse_unsaid(found.pictures[:1])
    if not reading.are_pictures:
        return replace(found, pictures=[replace(picture, pages=reading.use) for picture in found.pictures])
    pages = [reading.pages(picture, source) for picture in found.pictures]
    if all(len(some) == 1 for some in pages):
        return replace(found, pictures=[some[0] for some in pages])
    stems = map(found.stem, range(len(found.names)))
    names = [[f"{stem}[{page}]" for page in range(len(some))] if len(some) > 1 else [stem] for stem, some in zip(stems, pages)]
    return replace(found, names=[*itertools.chain(*names)], pictures=[*itertools.chain(*pages)], suffixes=False, is_one=False)


def is_list(place: str | Path) -> bool:
    """Whether a place is a manifest, by its suffix."""
    return Path(place).suffix.lower() in MANIFEST_SUFFIXES and home_path(place).is_file()


def is_pictures(place: str | Path) -> bool:
    """Whether :func:`find_pictures` takes this: a folder, a pattern, a manifest; not a single image file."""
    return FilePattern.read(place) is not None or is_place(place) or is_list(place)


def find_pictures(place: str | Path, columns: Sequence[str] = ("source",), single: bool = False) -> FoundPictures:
    """Every picture of a place.

    Args:
        place: a folder; a pattern such as ``results/*_fake_B.png``; several files as one image, such as ``cells/{name}_z{00..12}.png``;
            or a manifest (``.csv``, ``.tsv``, ``.jsonl``).
        columns: of a manifest, which column they stand in; the first of them that it has.
        single: a file is taken, too, as the one picture there is.

    Raises:
        UserError: there is no such place, it holds no pictures, a picture lacks files, or a manifest has no such column.
    """
    if (pattern := FilePattern.read(place)) is not None:
        found = pattern.find()
        pictures = [FilePicture(one.files, names=pattern.names) for one in found]
        return FoundPictures(str(place), None, [one.name for one in found], pictures, False, not pattern.has_name)
    if is_list(place):
        names, pictures = listed_pictures(home_path(place), columns)
        return FoundPictures(str(place), None, names, pictures, False)
    if single and (file := home_path(place)).is_file():
        return FoundPictures(str(place), None, [file.name], [FilePicture((str(file),))], is_one=True)
    images = find_images(place)
    pictures = [FilePicture((file,)) for file in images.places]
    return FoundPictures(str(images.folder), images.folder, images.names, pictures, notes=images.notes)


def as_one(files: Sequence[str | Path]) -> FilePicture:
    """Several files as one picture.

    Raises:
        UserError: there are none, or one of them is a pattern that finds more than one image.
    """
    if not files:
        raise UserError("no file is named: give the files of one image, in the order of its channels")
    if len(files) > 1 or (pattern := FilePattern.read(files[0])) is None:
        return FilePicture(tuple(str(file) for file in files))
    if pattern.has_name:
        raise UserError(f"{files[0]} may be any number of images, because of its {{name}}: name one image, or a folder to write to")
    (stack,) = pattern.find()
    return FilePicture(stack.files, names=pattern.names)
