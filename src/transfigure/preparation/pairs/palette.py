"""Label maps: colours to numbers, and numbers to colours."""

from __future__ import annotations

import numpy as np

from ...data.encodings.label_colours import codes_of, eight_bit
from ...data.pixels import Array
from ...errors import UserError
from ...metrics.palettes import IGNORE, Palette, load_palette
from ...registry import register
from ..base import Preparation, PreparedPair, refuse_other_channels


class _WithPalette(Preparation):
    """A palette of which each class has a colour and a number: that of its label files, or its place among the classes."""

    def __init__(self, palette: str = "") -> None:
        if not palette:
            raise UserError(
                "label maps are turned by a palette: give --preparation.palette facades, cityscapes, synthetic, or a JSON file of classes "
                'and colours such as {"classes": {"sky": [70, 130, 180], "road": [128, 64, 128]}}'
            )
        self._palette: Palette = load_palette(palette)
        if self._palette.colours is None:
            raise UserError(f"the palette {palette} has no colours: give a JSON file with the colour of each class")
        self._colours = self._palette.colours
        by_class = {at: number for number, at in sorted((self._palette.numbers or {}).items(), reverse=True)}
        numbers = [by_class.get(at, at) if self._palette.numbers else at for at in range(len(self._colours))]
        if len(set(numbers)) < len(numbers):
            raise UserError(f"the palette {palette} gives two classes one number: number all of its classes, or none")
        deep = max(numbers) > IGNORE
        self._numbers = np.array(numbers, np.uint16 if deep else np.uint8)
        self._none = next((free for free in (IGNORE, 0, 65535 if deep else 254) if free not in numbers), -1)


@register("preparation", "indices")
class LabelIndices(_WithPalette):
    """The numbers of label maps that are drawn in colours; a colour without a class (``ignore``) becomes 255.

    Args:
        palette: facades, cityscapes, synthetic, or a JSON file of classes and colours.
        nearest: take the nearest colour for those that are not in the palette, as JPEG makes them, in place of refusing.
    """

    def __init__(self, palette: str = "", nearest: bool = False) -> None:
        super().__init__(palette)
        self._nearest = nearest

    def __call__(self, photo: Array, label: str, generator: np.random.Generator) -> PreparedPair:
        """The number of each pixel, ``[H, W, 1]`` of uint8 or uint16."""
        refuse_other_channels(photo, label, 3)
        pixels = eight_bit(photo) if photo.dtype in (np.uint8, np.uint16) else None
        if pixels is None:
            raise UserError(f"{label} holds {photo.dtype} values: a label map in colours has 8 or 16 bits; convert it first")
        if not self._nearest:
            known = np.unique(codes_of(np.concatenate([self._colours, self._palette.ignored])))
            others = ~np.isin(codes_of(pixels.reshape(-1, 3)), known)
            if others.any():
                first = pixels.reshape(-1, 3)[int(np.argmax(others))].tolist()
                raise UserError(
                    f"{label} has {int(others.sum())} pixels of colours that are not in the palette {self._palette.name}, such as {first}: "
                    "complete the palette, or take the nearest colours with --preparation.nearest"
                )
        classes = self._palette.decode(np.asarray(pixels))
        without = classes == IGNORE
        if without.any() and self._none < 0:
            raise UserError(f"{label} has pixels without a class, and the palette {self._palette.name} uses every number: leave one free")
        numbers = self._numbers[np.where(without, 0, classes)]
        numbers[without] = max(self._none, 0)
        return PreparedPair(numbers[..., None], photo)


@register("preparation", "colours")
class LabelColours(_WithPalette):
    """The colours of label maps that are stored as numbers.

    Args:
        palette: facades, cityscapes, synthetic, or a JSON file of classes and colours.
    """

    def __init__(self, palette: str = "") -> None:
        super().__init__(palette)

    def __call__(self, photo: Array, label: str, generator: np.random.Generator) -> PreparedPair:
        """The colour of each pixel, ``[H, W, 3]`` uint8; what stands for no class has the palette's first ignored colour, or black."""
        refuse_other_channels(photo, label, 1)
        if photo.dtype.kind not in "ui" or photo.min() < 0:
            raise UserError(f"{label} holds {photo.dtype} values: a label map of numbers has whole ones from 0; convert it first")
        values = photo[..., 0].astype(np.int64)
        table = np.full((max(int(values.max()), int(self._numbers.max()), self._none) + 1, 4), -1, np.int64)
        if self._none >= 0:
            table[self._none] = [*(self._palette.ignored[0].tolist() if len(self._palette.ignored) else (0, 0, 0)), 1]
        table[self._numbers.astype(np.int64)] = np.concatenate([self._colours, np.ones((len(self._colours), 1), np.int64)], axis=1)
        found = table[values]
        if (unknown := found[..., 3] < 0).any():
            raise UserError(
                f"{label} has {int(unknown.sum())} pixels of numbers that the palette {self._palette.name} does not know, such as "
                f"{int(values[unknown][0])}: complete the palette"
            )
        return PreparedPair(found[..., :3].astype(np.uint8), photo)
