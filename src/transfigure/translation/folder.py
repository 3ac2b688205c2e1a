"""Which files a folder becomes, and what is said when some of them fail: one bad file never stops the others."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NoReturn

from ..data.pairing import listed
from ..errors import Missing, UserError
from ..progress import say

FORMATS = ("png", "jpg", "webp", "tif", "bmp", "same")


def plan_outputs(files: Sequence[Path], source: Path, output: Path, format: str, check: Callable[[Path], None]) -> dict[Path, Path]:
    """The input of each file that will be written, before anything is: same names below another folder.

    Args:
        files: the inputs, all below ``source``.
        source: the folder they are in.
        output: the folder to write.
        format: one of :data:`FORMATS`; ``same`` keeps each input's own.
        check: called with each file to be written; raises UserError if its format cannot hold the images.

    Raises:
        UserError: an unknown format, an output inside the input, two inputs with one output, or an output that would replace an input.
    """
    if format not in FORMATS:
        raise UserError(f"format {format!r} is not one of {', '.join(FORMATS)}")
    if output.resolve().is_relative_to(source.resolve()):
        raise UserError(
            f"the output {output} lies inside the input {source}: its pictures would be translated next time; choose another folder"
        )
    inputs = {file.resolve() for file in files}
    outputs: dict[Path, Path] = {}
    for file in files:
        relative = file.relative_to(source)
        written = output / (relative if format == "same" else relative.with_suffix(f".{format}"))
        if written in outputs:
            raise UserError(f"{outputs[written]} and {file} would both be written as {written}: use --format same, or rename one")
        if written.resolve() in inputs:
            raise UserError(f"{written} is one of the images to be translated, which would be lost: choose another output folder")
        check(written)
        outputs[written] = file
    return outputs


def raise_failures(failed: Mapping[Path, UserError | Missing], source: Path, count: int) -> NoReturn:
    """One sentence about all files that failed; where they are several, the others' own reasons on lines before it.

    Args:
        failed: the inputs that could not be translated, and why.
        source: the folder they are in.
        count: how many inputs there were.

    Raises:
        UserError: always, unless
        Missing: all that those files lack is an optional package.
    """
    errors, names = list(failed.values()), [file.relative_to(source).as_posix() for file in failed]
    for error in errors[1:20]:
        say(str(error))
    good = count - len(failed)
    what = f"{len(failed)} of {count} images could not be translated (the other {good} could)" if good else "no image could be translated"
    which = f"{listed(names, 10)}; the first: " if len(failed) > 1 else ""
    kind = Missing if all(isinstance(error, Missing) for error in errors) else UserError
    raise kind(f"{what}: {which}{errors[0]}")
