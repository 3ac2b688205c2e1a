"""Whether an output is written as a pyramid, of itself and smaller copies, and what four of its pixels become in these."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from ..data import images
from ..data.formats.ome import TYPES
from ..data.formats.pyramids import SMALLEST, Reduction
from ..data.formats.row_file import ImageShape
from ..errors import Missing, UserError

PyramidUse = Literal["auto", "on", "off"]
LARGE = 2048
"""Pixels a side beyond which what calls itself an OME-TIFF is a pyramid, unless it is asked for otherwise: viewers read it whole else."""
_OME = (".ome.tif", ".ome.tiff")


def check_pyramid(output: Path, use: PyramidUse, channels: int, dtype: str) -> None:
    """See that the outputs can be pyramids where they have to be, before the work.

    Raises:
        UserError: they cannot.
    """
    if use == "on":
        images.check_pyramid(output, channels, dtype)


def reduction_for(output: Path, shape: ImageShape, use: PyramidUse, source: Path, classes: bool, pages: int = 1) -> Reduction | None:
    """How the levels of an output come from each other; None where it has none.

    Args:
        output: the file to write.
        shape: of the image.
        use: ``on``, ``off``, or ``auto``: where the source has levels, or the name is that of an OME-TIFF and the image large.
        source: the file that it is made from.
        classes: its values, or its colours, stand for classes.
        pages: how many such images the output holds.

    Raises:
        UserError: it has to be a pyramid, and is several pages.
    """
    side = max(shape.height, shape.width)
    reduction: Reduction = "commonest" if classes else "mean"
    if use == "on":
        if pages > 1:
            raise UserError(f"{output} would have {pages} pages, and a pyramid holds one image: say --pyramid off")
        return reduction
    can_be = pages == 1 and output.suffix.lower() in (".tif", ".tiff") and shape.dtype in TYPES and side > SMALLEST
    if use == "off" or not can_be:
        return None
    if side > LARGE and output.name.lower().endswith(_OME):
        return reduction
    return reduction if _has_levels(source) else None


def _has_levels(source: Path) -> bool:
    try:
        return len(images.levels_of(source)) > 1
    except (UserError, Missing):  # it has been read, so it is an image alone
        return False
