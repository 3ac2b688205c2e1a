"""Label maps as files hold them, in colours or in numbers, and the classes they stand for.

A palette is nearest-colour decoding: JPEG noise, a resized edge or a generator's brush moves a colour a little, and the class stays.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..data.encodings.label_classes import LabelClass
from ..data.encodings.label_colours import (
    CITYSCAPES,
    CITYSCAPES_IGNORED,
    FACADES,
    calm,
    count_colours,
    eight_bit,
    flat_colours,
    nearest_colour,
    sum_counts,
)
from ..data.files import home_path
from ..errors import UserError, did_you_mean
from ..stored import read_json

IGNORE = 255
"""The class index of a pixel that has no label."""


@dataclass(frozen=True, eq=False)
class Palette:
    """The classes of a set of label maps.

    Attributes:
        name: what it is called.
        classes: K names, 2 to 255.
        colours: ``[K, 3]`` uint8, or None if label files hold numbers only.
        numbers: of one-channel label files, value to class index; a value not in it has no label. None: the nearest grey of ``colours``.
        ignored: ``[I, 3]`` uint8, colours that mean "no label".
    """

    name: str
    classes: tuple[str, ...]
    colours: NDArray[np.uint8] | None
    numbers: Mapping[int, int] | None
    ignored: NDArray[np.uint8]

    def decode(self, labels: NDArray[Any]) -> NDArray[np.uint8]:
        """The classes of a label map.

        Args:
            labels: ``[H, W, 1]`` or ``[H, W, 3]``, uint8 or uint16, as a file holds it.

        Returns:
            ``[H, W]``: class index, or :data:`IGNORE`.

        Raises:
            UserError: another number of channels or type, or colours where this palette knows numbers only.
        """
        if labels.ndim != 3 or labels.shape[2] not in (1, 3) or labels.dtype not in (np.uint8, np.uint16):
            kind = f"{labels.dtype} of shape {labels.shape}"
            raise UserError(f"a label map is an 8-bit or 16-bit picture with 1 or 3 channels, and this one is {kind}: convert it first")
        if labels.shape[2] == 1 and self.numbers is not None:
            table = np.full(65536, IGNORE, np.uint8)
            table[list(self.numbers)] = list(self.numbers.values())
            decoded: NDArray[np.uint8] = table[labels[..., 0]]
            return decoded
        known = np.concatenate([self._needed_colours(), self.ignored])
        index = nearest_colour(eight_bit(labels), known)
        return np.where(index < len(self.classes), index, IGNORE).astype(np.uint8)

    def decode_tensor(self, images: Tensor, levels: tuple[float, float] | None = None) -> Tensor:
        """The classes of generated label maps; a generated pixel always has one, so ``ignored`` has no say.

        Args:
            images: ``[N, 3 or 1, H, W]`` in [-1, 1]. One channel is read as ``numbers``.
            levels: the numbers that -1 and 1 stand for; None: the range of the smallest file type that holds all ``numbers``.

        Returns:
            int64 ``[N, H, W]`` on the CPU.

        Raises:
            UserError: another number of channels, or colours where this palette knows numbers only.
        """
        values = (images.detach().float().cpu().clamp(-1, 1) + 1) / 2
        if images.shape[1] == 1 and self.numbers is not None:
            keys = np.array(sorted(self.numbers))
            low, high = levels or (0, 255 if keys[-1] <= 255 else 65535)
            grey = low + values[:, 0].numpy() * (high - low)
            nearest = np.searchsorted((keys[1:] + keys[:-1]) / 2, grey)
            return torch.from_numpy(np.array([self.numbers[key] for key in keys.tolist()], np.int64)[nearest])
        if images.shape[1] not in (1, 3):
            raise UserError(f"a generated label map has 1 or 3 channels, and this one has {images.shape[1]}")
        pixels = (values * 255).round().byte().permute(0, 2, 3, 1).numpy()
        return torch.from_numpy(
            np.stack([nearest_colour(eight_bit(picture), self._needed_colours()) for picture in pixels]).astype(np.int64)
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as a palette's JSON file holds them."""
        colours = [None] * len(self.classes) if self.colours is None else self.colours.tolist()
        numbers = None if self.numbers is None else {str(number): self.classes[index] for number, index in self.numbers.items()}
        return {"name": self.name, "classes": dict(zip(self.classes, colours)), "numbers": numbers, "ignore": self.ignored.tolist()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], name: str = "palette") -> Palette:
        """Read back what :meth:`to_dict` made.

        Args:
            values: ``classes``: the colour ``[r, g, b]`` of each name, or null for all; ``numbers``: file values as text to names, and
                ``ignore``: colours without a label; these two may be left out.
            name: if ``values`` have none.

        Raises:
            UserError: not a palette; the sentence begins with its name.
        """
        name = str(values.get("name") or name)
        try:
            entries = dict(values["classes"])
            if not 2 <= len(entries) < IGNORE + 1:
                raise ValueError(f"it has {len(entries)} classes, and 2 to 255 are possible")
            classes = tuple(str(key) for key in entries)
            given = {key: value for key, value in entries.items() if value is not None}
            if given and len(given) < len(entries):
                raise ValueError(f"{next(key for key in entries if key not in given)} has no colour, and others have one")
            colours = _colours(given.values()) if given else None
            numbers = values.get("numbers")
            if numbers is not None:
                numbers = {int(number): classes.index(str(word)) for number, word in numbers.items()}
                if not numbers or not all(0 <= number < 65536 for number in numbers):
                    raise ValueError("its numbers must lie between 0 and 65535")
            if colours is None and numbers is None:
                raise ValueError("its classes have neither colours nor numbers")
            if colours is not None and len(np.unique(colours, axis=0)) < len(colours):
                raise ValueError("two of its classes have one colour")
            return cls(name, classes, colours, numbers, _colours(values.get("ignore") or []))
        except KeyError as error:
            raise UserError(f"{name} is no palette: it has no {error}; {_EXAMPLE}") from error
        except (TypeError, ValueError, AttributeError, OverflowError) as error:
            raise UserError(f"{name} is no palette ({error}): {_EXAMPLE}") from error

    def _needed_colours(self) -> NDArray[np.uint8]:
        if self.colours is None:
            raise UserError(f"the palette {self.name} knows its classes by number only, and these label maps are in colour: give --palette")
        return self.colours


_EXAMPLE = 'write {"classes": {"sky": [70, 130, 180], "road": [128, 64, 128]}, "ignore": [[0, 0, 0]]}'


def load_palette(name_or_file: str | Path) -> Palette:
    """A shipped palette, ``facades``, ``cityscapes``, ``synthetic`` or ``shapes``, or one of your own from a JSON file.

    The file holds ``{"classes": {"sky": [70, 130, 180], ...}, "ignore": [[0, 0, 0]], "numbers": {"23": "sky"}}``, the last two if needed.

    ``facades`` are the label colours of pix2pix's own data set of that name. The CMP Facade Database itself paints the same twelve
    classes in other colours; give those as a file.

    Raises:
        UserError: no such name or file, or not a palette.
    """
    if str(name_or_file) in _SHIPPED:
        return _shipped(str(name_or_file))
    file = home_path(name_or_file)
    if not file.is_file():
        hint = did_you_mean(str(name_or_file), _SHIPPED)
        raise UserError(f"there is no palette {str(name_or_file)!r}{hint}: give one of these names, or a JSON file of your own")
    try:
        values = read_json(file)
    except (OSError, ValueError) as error:
        raise UserError(f"{file} cannot be read as a palette ({error}): {_EXAMPLE}") from error
    if not isinstance(values, dict):
        raise UserError(f"{file} is no palette: {_EXAMPLE}")
    try:
        return Palette.from_dict({**values, "name": values.get("name") or file.stem})
    except UserError as error:
        raise UserError(f"{file}: {error}") from error


def palette_of(classes: Sequence[LabelClass]) -> Palette:
    """The palette of a model's own label maps: what is decoded are its files, so numbers are exact."""
    colours = None if any(one.colour is None for one in classes) else _colours(one.colour for one in classes)
    numbers = None if any(one.index is None for one in classes) else {int(one.index or 0): at for at, one in enumerate(classes)}
    return Palette("of the model", tuple(one.label for one in classes), colours, numbers, _colours([]))


def learn_palette(label_maps: Iterable[NDArray[Any]], name: str = "learnt", most: int = 64) -> Palette:
    """The palette of label maps that came without one: their flat colours, however many there are.

    Flat places, where a pixel and its four neighbours are within 6 levels, gather tightly around two or more colours in label maps,
    JPEG or not, and spread in photographs. Lossless files hold few colours, and those are the classes; in JPEGs it is what flat
    places gather around, so labels less than 24 levels apart, or nowhere three pixels wide, are not distinguished there.

    The classes are sorted by colour and called by it, ``#0030ff``. One-channel 16-bit maps are taken as numbers.

    Args:
        label_maps: ``[H, W, 1 or 3]`` uint8 or uint16, of one kind; two dozen are enough if every class is in one of them.
        name: what to call the palette.
        most: no more classes than this.

    Raises:
        UserError: no small set of flat colours: these are photographs, drawings, or blank.
    """
    maps = list(label_maps)
    for labels in maps:
        if labels.ndim != 3 or labels.shape[2] not in (1, 3) or labels.dtype not in (np.uint8, np.uint16):
            kind = f"{labels.dtype} of shape {labels.shape}"
            raise UserError(f"no palette can be learnt from pictures of {kind}: label maps have 1 or 3 channels of 8 or 16 bits")
    if maps and all(labels.shape[2] == 1 and labels.dtype == np.uint16 for labels in maps):
        found = np.unique(np.concatenate([np.unique(labels) for labels in maps])).tolist()
        if 2 <= len(found) <= most:
            return Palette(name, tuple(map(str, found)), None, {number: index for index, number in enumerate(found)}, _colours([]))
    elif maps:
        pictures = [eight_bit(labels) for labels in maps]
        colours = sum_counts([count_colours(picture.reshape(-1, 3)) for picture in pictures])[0]
        peaks, share = flat_colours(*sum_counts([count_colours(picture[calm(picture)]) for picture in pictures]), most)
        if 2 <= len(peaks) <= most and share > 0.75:
            return _called_by_colour(name, colours if len(colours) <= most else peaks)
    raise UserError(f"no palette of 2 to {most} flat colours is to be found in these pictures: they look like photographs or drawings")


def _called_by_colour(name: str, colours: NDArray[np.uint8]) -> Palette:
    colours = np.array(sorted(colours.tolist()), np.uint8)
    return Palette(name, tuple("#" + bytes(colour).hex() for colour in colours), colours, None, _colours([]))


def _colours(rows: Iterable[Any]) -> NDArray[np.uint8]:
    """``[n, 3]`` uint8 from triples of whole numbers from 0 to 255."""
    table = np.array([list(row) for row in rows], dtype=object).reshape(-1, 3)
    if not all(type(value) is int and 0 <= value <= 255 for value in table.flat):
        raise ValueError("a colour is three whole numbers from 0 to 255")
    return table.astype(np.uint8)


def _shipped(name: str) -> Palette:
    if name == "synthetic":
        from ..worlds.facades.scene import CLASSES, PALETTE

        return Palette(name, CLASSES, PALETTE, None, _colours([]))
    if name == "shapes":
        from ..worlds.shapes.drawing import FILLS, GROUND

        return Palette(name, ("ground", *FILLS), _colours([GROUND, *FILLS.values()]), None, _colours([]))
    classes, ignored = _SHIPPED[name]
    index = {number: place for place, (number, _) in enumerate(classes.values())}
    return Palette(name, tuple(classes), _colours(colour for _, colour in classes.values()), index, _colours(ignored))


_SHIPPED: dict[str, tuple[dict[str, tuple[int, tuple[int, int, int]]], tuple[tuple[int, int, int], ...]]] = {
    "facades": (FACADES, ()),
    "cityscapes": (CITYSCAPES, CITYSCAPES_IGNORED),
    "synthetic": ({}, ()),
    "shapes": ({}, ()),
}
