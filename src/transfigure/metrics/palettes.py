"""Label maps as files hold them, in colours or in numbers, and the classes they stand for.

A palette is nearest-colour decoding: JPEG noise, a resized edge or a generator's brush moves a colour a little, and the class stays.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..data.files import home_path
from ..errors import UserError, did_you_mean
from ..stored import read_json

IGNORE = 255
"""The class index of a pixel that has no label."""
_AT_ONCE = 1 << 18  # colours compared with the palette together: tens of megabytes, not gigabytes


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
        index = _nearest(_eight_bit(labels), known)
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
        return torch.from_numpy(np.stack([_nearest(_eight_bit(picture), self._needed_colours()) for picture in pixels]).astype(np.int64))

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
        pictures = [_eight_bit(labels) for labels in maps]
        colours = _sum([_count(picture.reshape(-1, 3)) for picture in pictures])[0]
        peaks, share = _peaks(*_sum([_count(picture[_calm(picture)]) for picture in pictures]), most)
        if 2 <= len(peaks) <= most and share > 0.75:
            return _called_by_colour(name, colours if len(colours) <= most else peaks)
    raise UserError(f"no palette of 2 to {most} flat colours is to be found in these pictures: they look like photographs or drawings")


_Counts = tuple[NDArray[np.uint8], NDArray[np.int64]]


def _calm(picture: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Where a pixel and its four neighbours are nearly one colour. The rim, often a blend with what lay outside, is not."""
    flat = np.zeros(picture.shape[:2], bool)
    down, right = (np.abs(np.diff(picture.astype(np.int16), axis=axis)).max(axis=2) <= 6 for axis in (0, 1))
    flat[1:-1, 1:-1] = down[:-1, 1:-1] & down[1:, 1:-1] & right[1:-1, :-1] & right[1:-1, 1:]
    return flat


def _peaks(colours: NDArray[np.uint8], counts: NDArray[np.int64], most: int) -> tuple[NDArray[np.uint8], float]:
    """The colours that flat pixels gather around, most frequent first; and how tightly: the share within 8 levels of one, in [0, 1].

    The most frequent colour is left out of that share: a photograph may lie on a white or black ground.
    """
    points, left, total = colours.astype(np.float64), counts.astype(np.float64), float(counts.sum())
    cell = (colours // 8).astype(np.int64) @ np.array([1024, 32, 1])
    peaks: list[NDArray[np.float64]] = []
    tight = rest = 0.0
    least = max(2e-4 * total, 8)  # pixels; anything is tight around itself
    while len(peaks) <= most and left.any():
        inside = cell == np.bincount(cell, left).argmax()
        centre = left[inside] @ points[inside] / left[inside].sum()
        for _ in range(5):  # from the cell to the middle of what gathers around it
            near = ((points - centre) ** 2).sum(1) < 8**2
            if left[near].sum() == 0:
                break
            centre = left[near] @ points[near] / left[near].sum()
        distance = ((points - centre) ** 2).sum(1)
        around = distance < 24**2
        if (weight := left[around].sum()) < least:
            break
        if peaks:  # not the first
            tight, rest = tight + left[distance < 8**2].sum(), rest + weight
        peaks.append(centre)
        left[around | inside] = 0
    rest += left.sum()
    return np.rint(np.array(peaks).reshape(-1, 3)).astype(np.uint8), float(tight / rest) if rest else 0.0


def _called_by_colour(name: str, colours: NDArray[np.uint8]) -> Palette:
    colours = np.array(sorted(colours.tolist()), np.uint8)
    return Palette(name, tuple("#" + bytes(colour).hex() for colour in colours), colours, None, _colours([]))


def _count(pixels: NDArray[np.uint8]) -> _Counts:
    """The distinct colours of ``[M, 3]`` and how often each occurs."""
    codes, counts = np.unique(_codes(pixels), return_counts=True)
    return _from_codes(codes), counts


def _sum(parts: list[_Counts]) -> _Counts:
    codes, where = np.unique(np.concatenate([_codes(colours) for colours, _ in parts]), return_inverse=True)
    counts = np.bincount(where, np.concatenate([counts for _, counts in parts]), minlength=len(codes)).astype(np.int64)
    return _from_codes(codes), counts


def _codes(colours: NDArray[np.uint8]) -> NDArray[np.int64]:
    codes: NDArray[np.int64] = colours.astype(np.int64) @ np.array([1 << 16, 1 << 8, 1])
    return codes


def _from_codes(codes: NDArray[np.int64]) -> NDArray[np.uint8]:
    return np.stack([codes >> 16, codes >> 8 & 255, codes & 255], axis=1).astype(np.uint8)


def _nearest(pixels: NDArray[np.uint8], colours: NDArray[np.uint8]) -> NDArray[np.intp]:
    """The index of the nearest of ``[K, 3]`` colours, Euclidean in RGB, at each of ``[H, W, 3]`` pixels; the first of equals."""
    codes, where = np.unique(_codes(pixels.reshape(-1, 3)), return_inverse=True)
    found, known = _from_codes(codes).astype(np.float32), colours.astype(np.float32)
    # |p - c|^2 without |p|^2, which is the same for every colour; whole numbers below 2^24, so exact
    index = [((known**2).sum(1) - 2 * part @ known.T).argmin(1) for part in np.split(found, range(_AT_ONCE, len(found), _AT_ONCE))]
    return np.concatenate(index)[where].reshape(pixels.shape[:2])


def _eight_bit(labels: NDArray[Any]) -> NDArray[np.uint8]:
    """``[H, W, 3]`` uint8 from grey or colour of either depth."""
    values = labels if labels.dtype == np.uint8 else ((labels.astype(np.uint32) + 128) // 257).astype(np.uint8)
    return np.repeat(values, 3, axis=2) if values.shape[2] == 1 else values


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


_FACADES = {
    "background": (1, (0, 0, 222)),
    "facade": (2, (0, 48, 255)),
    "window": (3, (0, 128, 255)),
    "door": (4, (0, 207, 255)),
    "cornice": (5, (32, 255, 223)),
    "sill": (6, (112, 255, 143)),
    "balcony": (7, (192, 255, 63)),
    "blind": (8, (255, 239, 0)),
    "deco": (9, (255, 159, 0)),
    "molding": (10, (255, 80, 0)),
    "pillar": (11, (255, 0, 0)),
    "shop": (12, (174, 0, 0)),
}
"""Each class's number in the CMP Facade Database, and its colour in pix2pix's copy of it."""

_CITYSCAPES = {
    "road": (7, (128, 64, 128)),
    "sidewalk": (8, (244, 35, 232)),
    "building": (11, (70, 70, 70)),
    "wall": (12, (102, 102, 156)),
    "fence": (13, (190, 153, 153)),
    "pole": (17, (153, 153, 153)),
    "traffic light": (19, (250, 170, 30)),
    "traffic sign": (20, (220, 220, 0)),
    "vegetation": (21, (107, 142, 35)),
    "terrain": (22, (152, 251, 152)),
    "sky": (23, (70, 130, 180)),
    "person": (24, (220, 20, 60)),
    "rider": (25, (255, 0, 0)),
    "car": (26, (0, 0, 142)),
    "truck": (27, (0, 0, 70)),
    "bus": (28, (0, 60, 100)),
    "train": (31, (0, 80, 100)),
    "motorcycle": (32, (0, 0, 230)),
    "bicycle": (33, (119, 11, 32)),
}
"""The number in ``*_labelIds.png`` and the colour in ``*_color.png`` of the 19 classes that are evaluated."""

_CITYSCAPES_IGNORED = (
    (0, 0, 0),  # unlabeled, ego vehicle, rectification border, out of region of interest, static
    (111, 74, 0),  # dynamic
    (81, 0, 81),  # ground
    (250, 170, 160),  # parking
    (230, 150, 140),  # rail track
    (180, 165, 180),  # guard rail
    (150, 100, 100),  # bridge
    (150, 120, 90),  # tunnel
    (0, 0, 90),  # caravan
    (0, 0, 110),  # trailer
)
"""Colours of the classes that are not evaluated; pole group and license plate share theirs with pole and car."""

_SHIPPED: dict[str, tuple[dict[str, tuple[int, tuple[int, int, int]]], tuple[tuple[int, int, int], ...]]] = {
    "facades": (_FACADES, ()),
    "cityscapes": (_CITYSCAPES, _CITYSCAPES_IGNORED),
    "synthetic": ({}, ()),
    "shapes": ({}, ()),
}
