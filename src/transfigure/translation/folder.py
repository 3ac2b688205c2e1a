"""Which files a folder becomes, and what is said when some of them fail: one bad file never stops the others."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Literal, NoReturn, TypedDict

from ..data.file_facts import Orientation, PageUse
from ..data.files import RealPaths, real_path
from ..data.folder import composed
from ..data.formats.metadata import Keep
from ..data.images import Alpha, can_be_written, kind_of
from ..data.ownership import is_ours
from ..data.pairing import listed
from ..data.pairs import FilePicture
from ..data.pictures import FoundPictures
from ..errors import Missing, UserError
from ..progress import say, track
from ..wording import counted, said_once
from .pyramid import PyramidUse


@dataclass(frozen=True)
class FileOptions:
    """How a file is read and written.

    Attributes:
        alpha: what to do with transparency, see :func:`transfigure.data.images.read`.
        half: translate only this half of side-by-side files; ``none`` translates whole images, also where they look like such pairs.
        metadata: ``keep`` what the output can hold of the source's georeference, colour profile, resolution, date, camera and position, or
            ``drop`` it.
        overwrite: replace an output that is there already and that this tool did not write.
        orientation: whether files are turned upright by their orientation tag; None does as the model's training did.
        pages: what the pages of a file are: the ``channels`` of one image; or each is translated (``images``, ``depth``) and the output has
            as many; ``ask`` refuses a file that has several. None is as the model was trained, and asks where that is not known.
        max_pixels: the largest file that is decoded whole, in place of :func:`transfigure.data.images.pixel_limit`.
        level: of a pyramid or a whole slide, 0 for the full size.
        pyramid: whether TIFF outputs are pyramids, see :func:`.pyramid.reduction_for`.
    """

    alpha: Alpha = "refuse"
    half: Literal["left", "right", "none"] | None = None
    metadata: Keep = "keep"
    overwrite: bool = False
    orientation: Orientation | None = None
    pages: PageUse | None = None
    max_pixels: int | None = None
    level: int = 0
    pyramid: PyramidUse = "auto"


class FileKeywords(TypedDict, total=False):
    """The fields of :class:`FileOptions` as keywords."""

    alpha: Alpha
    half: Literal["left", "right", "none"] | None
    metadata: Keep
    overwrite: bool
    orientation: Orientation | None
    pages: PageUse | None
    max_pixels: int | None
    level: int
    pyramid: PyramidUse


class Written(list[Path]):
    """The files that were written, in order.

    Attributes:
        skipped: those that were there already, and were left.
        inputs: how many images there were to translate.
    """

    def __init__(self, files: Iterable[Path] = (), skipped: Sequence[Path] = (), inputs: int = 0) -> None:
        super().__init__(files)
        self.skipped, self.inputs = list(skipped), inputs

    def words(self, output: Path | str) -> str:
        """``8 of 10 images written to photos (2 were there already)``."""
        were = "was" if len(self.skipped) == 1 else "were"
        return f"{len(self):,} of {counted(self.inputs, 'image')} written to {output}" + (
            f" ({len(self.skipped)} {were} there already)" if self.skipped else ""
        )


@dataclass(frozen=True)
class FileToTranslate:
    """An image file, or several that are one image, and the one it becomes.

    Attributes:
        picture: what it is read from.
        output: what it becomes.
        maker: a word that the output says of what made it, so that another time it is known whether it would become the same.
    """

    picture: FilePicture
    output: Path
    maker: str = ""

    @property
    def source(self) -> Path:
        """The (first) file."""
        return self.picture.paths[0]


class TranslateKeywords(FileKeywords, total=False):
    """How a folder is translated, as keywords; see :meth:`transfigure.Translator.translate_folder`."""

    format: str | None
    skip_existing: bool
    batch: int


@dataclass(frozen=True)
class FolderWork:
    """What becomes of a folder, and what has become of it so far.

    Attributes:
        files: to be translated, in order.
        options: how they are read and written.
        batch: images of one size that go through the network together.
        folder: that they are in, if they are in one.
        written: those that are done.
        failed: those that could not be translated, by their labels, and why.
    """

    files: list[FileToTranslate]
    options: FileOptions
    batch: int
    folder: Path | None
    written: Written
    failed: dict[str, UserError | Missing] = field(default_factory=dict)

    def take_down(self, file: FileToTranslate, error: Exception | None) -> bool:
        """Take down what became of a file; whether it was written."""
        if isinstance(error, UserError | Missing):
            self.failed[file.picture.label] = error
            return False
        self.written.append(file.output)
        return True

    def end(self) -> Written:
        """What was written, when all is done.

        Raises:
            UserError: some files could not be translated.
            Missing: likewise, if all that they lack is an optional package.
        """
        if self.failed:
            raise_failures(self.failed, self.folder, self.written)
        return self.written


_URL = re.compile("[A-Za-z][A-Za-z0-9+.-]*:/")  # a path has one of its slashes


def refuse_url(place: str | Path) -> None:
    """Refuse a URL where a file or a folder of a disk is meant: as a path it would be a folder called ``s3:``.

    Raises:
        UserError: it is one.
    """
    if _URL.match(str(place)) and not os.path.lexists(place):
        raise UserError(
            f"{place} is a URL, and this takes files and folders of a disk: the command  transfigure translate  takes both, in Python "
            "transfigure.scale.carrier does"
        )


MANY = 4_000
"""Images at which a look at all outputs takes about a second."""
FORMATS = ("png", "jpg", "webp", "tif", "bmp", "npy", "npz", "same")


def plan_outputs(
    found: FoundPictures, output: Path, format: str, check: Callable[[Path], None], quiet: bool = True
) -> dict[Path, FilePicture]:
    """The input of each file that will be written, before anything is: same names below another folder.

    Args:
        found: the inputs.
        output: the folder to write.
        format: one of :data:`FORMATS`; ``same`` keeps each input's own, if it can be written.
        check: called with each file to be written; raises UserError if its format cannot hold the images.
        quiet: no progress, which is shown where there are so many pictures that it takes over a second.

    Raises:
        UserError: an unknown format, an output inside the input, two inputs with one output, or an output that would replace an input.
    """
    if format not in FORMATS:
        raise UserError(f"format {format!r} is not one of {', '.join(FORMATS)}")
    if found.folder is not None and real_path(output).is_relative_to(real_path(found.folder)):
        raise UserError(
            f"the output {output} lies inside the input {found.folder}: its pictures would be translated next time; choose another folder"
        )
    where = RealPaths()
    inputs = {where(file) for picture in found.pictures for file in picture.paths}
    outputs: dict[Path, FilePicture] = {}
    spellings: dict[str, str] = {}
    pictures = track(found.pictures, len(found.pictures), "plan the outputs", quiet=quiet or len(found.pictures) < MANY)
    for index, picture in enumerate(pictures):
        stem = PurePath(found.stem(index))
        if stem.is_absolute() or ".." in stem.parts or not stem.name:
            raise UserError(f"{found.place} calls a picture {str(stem)!r}, which leads out of {output}: give it a plain name")
        written = output / stem.with_name(f"{stem.name}{suffix_of(picture.paths[0], format, check)}")
        if written in outputs:
            way_out = "rename one" if format == "same" or not found.suffixes else "use --format same, or rename one"
            raise UserError(f"{outputs[written].label} and {picture.label} would both be written as {written}: {way_out}")
        if (other := spellings.setdefault(composed(str(written)), picture.label)) != picture.label:
            raise UserError(
                f"the names of {other} and {picture.label} differ only in how accents are stored, which some systems take for one file: "
                "rename one"
            )
        if where(written) in inputs:
            raise UserError(f"{written} is one of the images to be translated, which would be lost: choose another output folder")
        check(written)
        outputs[written] = picture
    return outputs


def suffix_of(file: Path, format: str, check: Callable[[Path], None]) -> str:
    """The suffix of a file's output; where its own format cannot be written, that of a png, or of a tif if a png cannot hold it."""
    if format != "same":
        return f".{format}"
    if can_be_written(file):
        return file.suffix
    try:
        check(Path("image.png"))
    except UserError:
        return ".tif"
    return ".png"


def other_formats(outputs: Mapping[Path, FilePicture]) -> str:
    """A note, for ``--format same``, if some inputs are of a format that is read and not written."""
    other = [(picture.paths[0], file) for file, picture in outputs.items() if not can_be_written(picture.paths[0])]
    if not other:
        return ""
    (image, file), kinds = other[0], sorted({image.suffix.lower() or "no suffix" for image, _ in other})
    which = f"{len(other):,} of {counted(len(outputs), 'image')} ({listed(kinds)})"
    return f"{which} are written as {file.suffix[1:]}, such as {image}: theirs is only read"


def neighbours(outputs: Iterable[Path], output: Path) -> str:
    """A note if the output folder holds another's pictures of the same names in other formats, as a folder of targets does."""
    there: dict[Path, dict[str, list[Path]]] = {}
    found = []
    for file in outputs:
        if file.parent not in there:
            names: dict[str, list[Path]] = {}
            for item in file.parent.iterdir() if file.parent.is_dir() else ():
                names.setdefault(item.stem, []).append(item)
            there[file.parent] = names
        for item in there[file.parent].get(file.stem, []):
            if item.name != file.name and item.suffix and item.is_file() and kind_of(item)[0] and not is_ours(item):
                found.append(item)
    if not found:
        return ""
    return (
        f"{output} holds {counted(len(found), 'picture')} of the same names in another format that transfigure did not write, such as "
        f"{found[0]}: they stay, but a folder of targets should not hold outputs, too"
    )


def raise_failures(failed: Mapping[str, UserError | Missing], folder: Path | None, written: Written) -> NoReturn:
    """One sentence about all files that failed; where they are several, the others' own reasons on lines before it.

    Args:
        failed: the inputs that could not be translated, by their labels, and why.
        folder: the folder they are in, if they are in one.
        written: what became of the others.

    Raises:
        UserError: always, unless
        Missing: all that those files lack is an optional package.
    """
    errors = list(failed.values())
    names = list(failed) if folder is None else [Path(file).relative_to(folder).as_posix() for file in failed]
    for line in said_once((str(error), [file]) for file, error in failed.items())[1:20]:  # the first is in the sentence below
        say(line)
    good, skipped = len(written), len(written.skipped)
    others = f"the other {good} could" if not skipped else f"{good} could, {skipped} {'was' if skipped == 1 else 'were'} there already"
    some = f"{len(failed):,} of {counted(written.inputs, 'image')} could not be translated ({others})"
    what = some if good or skipped else "no image could be translated"
    which = f"{listed(names, 10)}; the first: " if len(failed) > 1 else ""
    kind = Missing if all(isinstance(error, Missing) for error in errors) else UserError
    raise kind(f"{what}: {which}{errors[0]}")
