"""Value ranges that are percentiles of the training set: found once, from a sample that is always the same, and then as if given."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ..errors import Missing, UserError
from ..recipe import Data
from ..wording import counted
from .images import Alpha
from .pairs import Picture, Record, directed, examined
from .value_range import Range, number, with_data

PICTURES, VALUES = 200, 1 << 16
"""At most so many training pictures are looked at, spread evenly, and of each at most so many values."""


@dataclass
class SampledValues:
    """Values of some pictures.

    Attributes:
        values: those that are data, of each picture.
        types: of the files.
        pictures: that could be read.
    """

    values: list[NDArray[np.float64]] = field(default_factory=list)
    types: set[str] = field(default_factory=set)
    pictures: int = 0

    def percentiles(self, wanted: Range) -> Range:
        """Interpolated between neighbours; of files of whole numbers, rounded outwards to whole numbers."""
        low, high = (float(value) for value in np.percentile(np.concatenate(self.values), wanted))
        return (low, high) if any(name.startswith("float") for name in self.types) else (float(math.floor(low)), float(math.ceil(high)))


def with_ranges(section: Data, training: Sequence[Record], notes: list[str]) -> Data:
    """The data section with the ranges that its percentiles ask for, where none is given or stored.

    Args:
        section: of the recipe, resolved.
        training: all training records, as found.
        notes: what was found is added here, a sentence for each side.

    Raises:
        UserError: the percentiles of a side are one value.
    """
    for side, at in (("source", 0), ("target", 1)):
        wanted: Range | None = getattr(section, f"{side}_percentiles")
        if wanted is None or getattr(section, f"{side}_range") is not None:
            continue
        step = max(1, math.ceil(len(training) / PICTURES))
        some = directed(training[::step], section.direction)
        sample = sample_of([(record.a, record.b)[at] for record in some], section.alpha)
        if not sample.values:  # the check of the data says why none can be read
            continue
        low, high = sample.percentiles(wanted)
        words = f"the percentiles {number(wanted[0])} and {number(wanted[1])}"
        if not low < high:
            raise UserError(
                f"{words} of the {side} pictures are both {number(low)}: take others (--data.{side}_percentiles '[0, 100]'), or give "
                f"--data.{side}_range"
            )
        values = sum(len(one) for one in sample.values)
        of = f"all {len(training):,}" if step == 1 else f"{sample.pictures:,} of {len(training):,}"
        notes.append(
            f"data.{side}_range is [{number(low)}, {number(high)}]: {words} of {counted(values, 'value')} of {of} training {side} pictures"
        )
        section = section.replaced(**{f"{side}_range": (low, high)})
    return section


def sample_of(pictures: Sequence[Picture], alpha: Alpha = "refuse") -> SampledValues:
    """Values of pictures, evenly spread over each; no-data and what is not finite is left out, and so are pictures that cannot be read."""
    found = SampledValues()
    for picture in pictures:
        try:
            array, facts = examined(picture, alpha)
        except (UserError, Missing):
            continue
        found.pictures += 1
        found.types.add(array.dtype.name)
        pixels = array.reshape(-1, array.shape[2])
        most = max(1, VALUES // array.shape[2])
        if len(pixels) > most:
            pixels = pixels[np.arange(most) * len(pixels) // most]
        values = with_data(pixels, facts.no_data).astype(np.float64).ravel()
        if (values := values[np.isfinite(values)]).size:
            found.values.append(values)
    return found
