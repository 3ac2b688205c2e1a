"""The encodings by name: made from a recipe's data section, or from what a model says of its images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from ..value_range import Range
from .base import Encoding, LinearValues
from .file_palettes import read_palette
from .lab import Chroma, Lightness
from .label_classes import LabelClass, read_classes
from .label_colours import Entry
from .label_maps import LabelMaps

if TYPE_CHECKING:
    from ...recipe import Data

ENCODINGS = ("values", "labels", "L", "ab")
"""By the names that recipes and models use."""
Side = Literal["source", "target"]
SIDES: tuple[Side, Side] = ("source", "target")


def encoding_of(section: Data, side: Side, channels: int, dtype: str, names: tuple[str, ...] = ()) -> Encoding:
    """The encoding of one side of a recipe's data.

    Args:
        section: the recipe's data section; classes of label maps have been found.
        side: which.
        channels: of the files.
        dtype: of the files.
        names: of their channels.
    """
    value_range = section.source_range if side == "source" else section.target_range
    return make_encoding(
        kind_of_side(section, side),
        channels,
        dtype or "uint8",
        value_range,
        names,
        classes_of(section, side),
        entries=palette_of_side(section, side),
    )


def make_encoding(
    kind: str,
    channels: int,
    dtype: str,
    value_range: Range | None,
    names: tuple[str, ...] = (),
    classes: Sequence[LabelClass] = (),
    of_dtype_only: bool = False,
    entries: tuple[Entry, ...] = (),
) -> Encoding:
    """An encoding of a kind; each takes of the arguments what it needs.

    Args:
        kind: one of :data:`ENCODINGS`.
        channels, dtype, value_range, names, of_dtype_only: see :class:`.base.LinearValues`.
        classes: of label maps.
        entries: of label maps with a palette, all that it holds.
    """
    if kind == "labels":
        return LabelMaps(tuple(classes), dtype, entries)
    if kind in ("L", "ab"):
        return (Lightness if kind == "L" else Chroma)(dtype, value_range)
    return LinearValues(channels, dtype, value_range, names, of_dtype_only)


def kind_of_side(section: Data, side: Side) -> str:
    """The name of a side's encoding."""
    return section.source_encoding if side == "source" else section.target_encoding


def classes_of(section: Data, side: Side) -> tuple[LabelClass, ...]:
    """The classes that a section lists for a side; none if it leaves them to be found.

    Raises:
        UserError: what it lists is none.
    """
    given = section.source_classes if side == "source" else section.target_classes
    return () if given is None else read_classes(given, f"data.{side}_classes")


def palette_of_side(section: Data, side: Side) -> tuple[Entry, ...]:
    """The palette that a section gives for the label maps of a side; nothing if it leaves it to be found.

    Raises:
        UserError: what it gives is none.
    """
    given = section.source_palette if side == "source" else section.target_palette
    return () if given is None else read_palette(given, f"data.{side}_palette")
