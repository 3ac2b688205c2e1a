"""Label maps for networks: one channel for each class, 1 where a pixel is of it and -1 elsewhere."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from ...errors import UserError
from ...wording import counted
from ..file_facts import FileFacts
from ..pairing import listed
from ..pixels import Array, check_finite, to_tensor
from ..value_range import limits, share
from .base import Encoding
from .label_classes import LARGEST_INDEX, Form, LabelClass, form_of
from .label_colours import Entry, codes_of, from_codes, nearest_colour

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class LabelMaps(Encoding):
    """Label maps of known classes: palette files and files of numbers by their indices, files of colours by the nearest colour.

    Attributes:
        classes: in the order of the channels.
        dtype: of the files.
        entries: of files with a palette, all that it holds from index 0 on; empty if it is known by its classes alone.
    """

    classes: tuple[LabelClass, ...]
    dtype: str = "uint8"
    entries: tuple[Entry, ...] = ()
    name = "labels"

    @property
    def channels(self) -> int:
        """One for each class."""
        return len(self.classes)

    @property
    def file_channels(self) -> int:
        """Three of files of colours, one of others."""
        return 3 if self.form == "colours" else 1

    @property
    def names(self) -> tuple[str, ...]:
        """Those of the classes."""
        return tuple(one.label for one in self.classes)

    @property
    def rule(self) -> Literal["nearest"] | None:
        """Between two classes there is nothing."""
        return "nearest"

    @cached_property
    def form(self) -> Form:
        """What files hold."""
        return form_of(self.classes)

    @property
    def reads_indices(self) -> bool:
        """Whether palette files are read as their indices."""
        return self.form != "colours"

    @property
    def palette(self) -> tuple[tuple[int, Entry], ...]:
        """The colours of indices, for files with a palette."""
        if self.form != "palette":
            return ()
        if self.entries:
            return tuple(enumerate(self.entries))
        return tuple((one.index, one.colour) for one in self.classes if one.index is not None and one.colour is not None)

    def encode(self, array: Array, label: str = "this label map") -> Tensor:
        """One channel for each class: 1 where a pixel is of it, else -1.

        Raises:
            UserError: it holds a number that is none of the classes, or is no label map.
        """
        import torch

        places = torch.from_numpy(self.places(array, label))
        one_hot = torch.full((self.channels, *places.shape), -1.0)
        return one_hot.scatter_(0, places[None], 1.0)

    def places(self, array: Array, label: str = "this label map") -> NDArray[np.int64]:
        """Which of the classes each pixel is of, ``[H, W]``.

        Args:
            array: ``[H, W, 1]`` of numbers or ``[H, W, 3]`` of colours.
            label: what to call it in an error.
        """
        if array.dtype.kind not in "iu" or array.shape[2] not in (1, 3):
            raise UserError(f"{label} is no label map: it holds {array.shape[2]} channels of {array.dtype.name}")
        if self.form != "numbers" and (array.shape[2] == 3 or self.form == "colours"):
            return nearest_colour(self._as_colours(array, label), self._colours).astype(np.int64)
        if array.shape[2] == 3:
            raise UserError(f"{label} is in colour, and these label maps hold the numbers of their classes: save it as such a file")
        values = array[..., 0]
        low, high = int(values.min()), int(values.max())
        found: NDArray[np.int64] = self._table[np.clip(values, 0, LARGEST_INDEX).astype(np.int64)]
        if low < 0 or high > LARGEST_INDEX or bool((found < 0).any()):
            strange = (found < 0) | (values < 0) | (values > LARGEST_INDEX)
            unknown, counts = np.unique(values[strange], return_counts=True)
            first = f"the class {unknown[0]} in {counted(int(counts[0]), 'pixel')}"
            more = f" (and {', '.join(map(str, unknown[1:9]))})" if len(unknown) > 1 else ""
            raise UserError(
                f"{label} holds {first}{more}, which is none of the {len(self.classes)} known ones ({listed([*map(str, self.classes)])}): "
                "give it one of theirs, or train with it among the classes"
            )
        return found

    def deviation(self, array: Array) -> tuple[int, float, float]:
        """How many pixels have a colour that is none of the classes'; and how far in RGB they are from the nearest one: in sum, at most."""
        if self.form == "numbers" or array.shape[2] != 3:
            return 0, 0.0, 0.0
        codes, counts = np.unique(codes_of(array.reshape(-1, 3)), return_counts=True)
        colours = from_codes(codes)
        nearest = self._colours[nearest_colour(colours[None], self._colours)[0]]
        away = np.sqrt(((colours.astype(np.float64) - nearest) ** 2).sum(1))
        return int(counts[away > 0].sum()), float(away @ counts), float(away.max(initial=0))

    def decode(self, tensor: Tensor, source: object = None) -> Array:
        """The class of the largest channel at each pixel (the first of equals), as files hold it: exact."""
        check_finite(tensor)
        places = tensor.detach().argmax(0).cpu().numpy()
        values = self._values[places]
        decoded: Array = values if values.ndim == 3 else values[..., None]
        return decoded

    def scored(self, array: Array) -> Tensor:
        """The numbers or colours of its file, of 8 or 16 bits."""
        return to_tensor(self.as_file(array))

    def picture(self, tensor: Tensor) -> Tensor:
        """In colours."""
        return to_tensor(self.shown(self.decode(tensor)))

    @staticmethod
    def as_file(array: Array) -> Array:
        """A label map in a type that everyone reads: numbers of other types than 8 and 16 bits become 16-bit ones."""
        return array if array.dtype in (np.uint8, np.uint16) else array.astype(np.uint16)

    @property
    def levels(self) -> tuple[float, float]:
        """The numbers that -1 and 1 stand for in :meth:`scored`."""
        return limits("uint8" if self.dtype == "uint8" else "uint16")

    def check(self, label: str, facts: FileFacts) -> None:
        """See that a palette file means the same by its indices.

        Raises:
            UserError: an index is another colour there.
        """
        if self.form != "palette":
            return
        known = {one.index: bytes(one.colour or ()) for one in self.classes}
        for index, colour in facts.palette:
            if index in known and colour != known[index]:
                raise UserError(
                    f"{label} has another palette than the training files: its index {index} is the colour {tuple(colour)}, there "
                    f"{tuple(known[index])}; save it with their palette, or as RGB"
                )

    def shown(self, array: Array) -> Array:
        """As a person sees it: uint8 ``[H, W, 3]``; classes without a colour get hues that tell them apart."""
        if self.form == "colours":
            return array
        colours = self._colours if self.form == "palette" else _hues(len(self.classes))
        coloured: Array = np.take(colours, self.places(array), axis=0)
        return coloured

    @cached_property
    def _colours(self) -> NDArray[np.uint8]:
        return np.array([one.colour for one in self.classes], np.uint8)

    @cached_property
    def _table(self) -> NDArray[np.int64]:
        table = np.full(LARGEST_INDEX + 1, -1, np.int64)
        table[[one.index for one in self.classes]] = np.arange(len(self.classes))  # type: ignore[index]
        return table

    @cached_property
    def _values(self) -> NDArray[Any]:
        if self.form == "colours":
            return self._colours
        return np.array([one.index for one in self.classes], self.dtype)

    @staticmethod
    def _as_colours(array: Array, label: str) -> NDArray[np.uint8]:
        if array.dtype != np.uint8:
            raise UserError(f"{label} is no label map: its colours have the type {array.dtype.name}, and 8 bits are meant")
        return np.repeat(array, 3, axis=2) if array.shape[2] == 1 else array


def _hues(count: int) -> NDArray[np.uint8]:
    """Colours that tell so many classes apart, the first of them black."""
    step = (5**0.5 - 1) / 2  # the golden ratio: neighbours are never alike
    hues = [
        colorsys.hsv_to_rgb(index * step % 1, 0.85 - 0.35 * (index // 7 % 2), 1 - 0.3 * (index // 14 % 2)) for index in range(count - 1)
    ]
    colours: NDArray[np.uint8] = np.rint(255 * np.array([(0.0, 0.0, 0.0), *hues])).astype(np.uint8)
    return colours


@dataclass(frozen=True, slots=True)
class ColourLook:
    """All that a :class:`ColourWatch` remembers of one label map, or of a part of it.

    Attributes:
        label: which.
        pixels: how many there are.
        off: how many of them have a colour that is none of the classes'.
        distance: by how much, all together.
        farthest: the most.
    """

    label: str
    pixels: int
    off: int
    distance: float
    farthest: float


class ColourWatch:
    """Counts the pixels of label maps whose colour is none of the classes', as JPEG and smoothed edges leave them.

    Args:
        encoding: the classes.
        what: what the label maps are called in a note.

    Attributes:
        looks: of a watch over a part of the label maps, see :meth:`of_a_part`: what it has seen; else None.
    """

    def __init__(self, encoding: LabelMaps, what: str) -> None:
        self.encoding, self.what = encoding, what
        self.looks: list[ColourLook] | None = None
        self.off = self.pixels = 0
        self.distance = self.farthest = 0.0
        self.where = ""

    def look(self, label: str, array: Array) -> None:
        """Take in a label map."""
        off, distance, farthest = self.encoding.deviation(array)
        self.take_in(ColourLook(label, array.shape[0] * array.shape[1], off, distance, farthest))

    def of_a_part(self) -> ColourWatch:
        """One that looks at a part of the label maps, in another process perhaps; what it sees is for :meth:`take_in` here."""
        found = ColourWatch(self.encoding, self.what)
        found.looks = []
        return found

    def take_in(self, one: ColourLook) -> None:
        """Take in what another watch has seen of a label map."""
        if self.looks is not None:
            self.looks.append(one)
        self.distance += one.distance
        self.off, self.pixels = self.off + one.off, self.pixels + one.pixels
        if one.farthest > self.farthest:
            self.farthest, self.where = one.farthest, one.label

    def notes(self) -> list[str]:
        """What was seen, in one sentence; nothing if every colour was exact."""
        if not self.off:
            return []
        return [
            f"{self.off:,} pixels of the {self.what} ({share(self.off / self.pixels)}) have a colour that is none of the "
            f"{len(self.encoding.classes)} classes', by {self.distance / self.off:.0f} levels on average and at most by "
            f"{self.farthest:.0f} ({self.where}): each counts as the nearest"
        ]


def classes_in_words(classes: Sequence[LabelClass]) -> str:
    """``12 classes, window (#0080ff), ...``, at most twelve of them."""
    some = [str(one) for one in classes[:12]]
    return f"{len(classes)} classes, {', '.join(some)}{', ...' if len(classes) > len(some) else ''}"
