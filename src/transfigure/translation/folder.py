"""A folder of images to a folder of images: same names, same order, any number; one bad file never stops the others."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ..data import images
from ..data.files import check_writable_folder, list_images
from ..errors import UserError
from ..progress import say, track

if TYPE_CHECKING:
    from .translator import Translator

FORMATS = ("png", "jpg", "webp", "tif", "bmp", "same")


def translate_folder(
    translator: Translator,
    source: Path,
    output: Path,
    *,
    format: str = "png",
    half: Literal["left", "right"] | None = None,
    alpha: str = "refuse",
    quiet: bool = False,
    on_file: Callable[[Path], None] | None = None,
) -> list[Path]:
    """Translate every image below a folder, in natural order, each by itself.

    Args:
        translator: what translates.
        source: the folder; sub-folders are kept.
        output: the folder to write; created if absent, and not inside ``source``.
        format: of the files written (``png``, ``jpg``, ``webp``, ``tif``, ``bmp``), or ``same`` as each input.
        half: translate only this half of side-by-side files.
        alpha: what to do with transparency, see ``images.read``.
        quiet: no progress line.
        on_file: called with every file written.

    Returns:
        The files written, in order.

    Raises:
        UserError: nothing to translate, the output cannot be written, two inputs would have one output's name, or, at the end, the
            files that could not be translated (all others have been).
    """
    if format not in FORMATS:
        raise UserError(f"format {format!r} is not one of {', '.join(FORMATS)}")
    files = list_images(source)
    output = output.resolve()
    if output.is_relative_to(source.resolve()):
        raise UserError(
            f"the output {output} lies inside the input {source}: its pictures would be translated next time; choose another folder"
        )
    names: dict[Path, Path] = {}
    for file in files:
        relative = file.relative_to(source)
        name = relative if format == "same" else relative.with_suffix(f".{format}")
        if name in names:
            raise UserError(f"{names[name]} and {file} would both be written as {name}: use --format same, or rename one")
        names[name] = file
    check_writable_folder(output)
    written, failed = [], []
    for name, file in track(list(names.items()), len(names), "translate", quiet=quiet):
        try:
            array = images.read(file, alpha)
            if half is not None:
                array = images.split_halves(array, file)[half == "right"]
            images.write(output / name, translator.translate_array(array))
        except UserError as error:
            failed.append(str(error) if str(file) in str(error) else f"{file}: {error}")
            continue
        written.append(output / name)
        if on_file is not None:
            on_file(output / name)
    if failed:
        for line in failed[1:20]:
            say(line)
        more = f" (and {len(failed) - 1} more, see above)" if len(failed) > 1 else ""
        raise UserError(f"{len(failed)} of {len(files)} files could not be translated, the others were: {failed[0]}{more}")
    return written
