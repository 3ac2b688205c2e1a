"""A folder of images to a folder of images: same names, same order, any number; one bad file never stops the others."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ..data.files import check_writable_folder, list_images
from ..data.pairing import listed
from ..errors import Missing, UserError
from ..progress import say, track

if TYPE_CHECKING:
    from ..data.images import Alpha
    from .translator import Translator

FORMATS = ("png", "jpg", "webp", "tif", "bmp", "same")


def translate_folder(
    translator: Translator,
    source: Path,
    output: Path,
    *,
    format: str | None = None,
    half: Literal["left", "right"] | None = None,
    alpha: Alpha = "refuse",
    quiet: bool = False,
    on_file: Callable[[Path], None] | None = None,
) -> list[Path]:
    """Translate every image below a folder, in natural order, each by itself.

    Args:
        translator: what translates.
        source: the folder; sub-folders are kept.
        output: the folder to write; created if absent, and not inside ``source``.
        format: of the files written (``png``, ``jpg``, ``webp``, ``tif``, ``bmp``), or ``same`` as each input; None is ``png``, or
            ``tif`` (and a line that says so) for a model whose images a PNG cannot hold.
        half: translate only this half of side-by-side files.
        alpha: what to do with transparency, see ``images.read``.
        quiet: no progress line and no notes.
        on_file: called with every file written.

    Returns:
        The files written, in order.

    Raises:
        UserError: before anything is translated: there is nothing to translate, the output cannot be written, the format cannot hold
            the model's images, two inputs would have one output's name, or an output would replace an input; at the end: the files
            that could not be translated (all others have been).
        Missing: likewise at the end, if all that those files lack is an optional package.
    """
    files = list_images(source)
    places = _plan(translator, files, source, output, format or _usual_format(translator, quiet))
    check_writable_folder(output)
    runner = dataclasses.replace(translator, quiet=quiet or translator.quiet)
    written: list[Path] = []
    failed: dict[Path, UserError | Missing] = {}
    for place, file in track(list(places.items()), len(places), "translate", quiet=quiet):
        try:
            runner.translate_file(file, place, alpha=alpha, half=half)
        except (UserError, Missing) as error:
            failed[file] = error
            continue
        written.append(place)
        if on_file is not None:
            on_file(place)
    if failed:
        _complain(failed, [file.relative_to(source).as_posix() for file in failed], len(files))
    return written


def _usual_format(translator: Translator, quiet: bool) -> str:
    try:
        translator.check_output(Path("image.png"))
    except UserError:
        target = translator.config.target
        if not quiet:
            say(f"note: the images are written as tif: a png cannot hold {target.channels} channels of {target.dtype}")
        return "tif"
    return "png"


def _plan(translator: Translator, files: Sequence[Path], source: Path, output: Path, format: str) -> dict[Path, Path]:
    """Which file is written for which input."""
    if format not in FORMATS:
        raise UserError(f"format {format!r} is not one of {', '.join(FORMATS)}")
    if output.resolve().is_relative_to(source.resolve()):
        raise UserError(
            f"the output {output} lies inside the input {source}: its pictures would be translated next time; choose another folder"
        )
    inputs = {file.resolve() for file in files}
    places: dict[Path, Path] = {}
    for file in files:
        relative = file.relative_to(source)
        place = output / (relative if format == "same" else relative.with_suffix(f".{format}"))
        if place in places:
            raise UserError(f"{places[place]} and {file} would both be written as {place}: use --format same, or rename one")
        if place.resolve() in inputs:
            raise UserError(f"{place} is one of the images to be translated, which would be lost: choose another output folder")
        translator.check_output(place)
        places[place] = file
    return places


def _complain(failed: dict[Path, UserError | Missing], names: Sequence[str], count: int) -> None:
    """One sentence about all files that failed; where they are several, the others' own reasons on lines before it."""
    errors = list(failed.values())
    for error in errors[1:20]:
        say(str(error))
    good = count - len(failed)
    what = f"{len(failed)} of {count} images could not be translated (the other {good} could)" if good else "no image could be translated"
    which = f"{listed(names, 10)}; the first: " if len(failed) > 1 else ""
    kind = Missing if all(isinstance(error, Missing) for error in errors) else UserError
    raise kind(f"{what}: {which}{errors[0]}")
