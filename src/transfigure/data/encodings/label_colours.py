"""The colours of label maps: which is nearest, what flat places gather around, and those of two well-known data sets."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...stored import brief

_AT_ONCE = 1 << 18  # colours compared with the palette together: tens of megabytes, not gigabytes
ColourCounts = tuple[NDArray[np.uint8], NDArray[np.int64]]
Entry = tuple[int, ...]
"""An index of a palette: red, green and blue; a fourth number is how opaque it is, where it is not wholly."""
_HEX = re.compile(r"#?[0-9a-fA-F]{6}([0-9a-fA-F]{2})?")


def entries_of(palette: bytes) -> tuple[Entry, ...]:
    """The entries of :attr:`.file_facts.FileFacts.entries`."""
    four = [palette[at : at + 4] for at in range(0, len(palette), 4)]
    return tuple(tuple(one[: 3 if one[3] == 255 else 4]) for one in four)


def as_hex(entry: Sequence[int]) -> str:
    """``#0080ff``, or ``#0080ff00`` of what is not opaque."""
    return "#" + bytes(entry).hex()


def read_entry(value: Any) -> Entry:
    """The way back, also from a list of numbers.

    Raises:
        ValueError: it is no colour.
    """
    if isinstance(value, str) and _HEX.fullmatch(value):
        found = tuple(bytes.fromhex(value.removeprefix("#")))
    elif isinstance(value, list | tuple) and len(value) in (3, 4) and all(type(part) is int and 0 <= part <= 255 for part in value):
        found = tuple(value)
    else:
        raise ValueError(f"{brief(value)} is no colour, such as '#4682b4' or [70, 130, 180]")
    return found[:3] if found[3:] == (255,) else found


def calm(picture: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Where a pixel and its four neighbours are nearly one colour. The rim, often a blend with what lay outside, is not."""
    flat = np.zeros(picture.shape[:2], bool)
    down, right = (np.abs(np.diff(picture.astype(np.int16), axis=axis)).max(axis=2) <= 6 for axis in (0, 1))
    flat[1:-1, 1:-1] = down[:-1, 1:-1] & down[1:, 1:-1] & right[1:-1, :-1] & right[1:-1, 1:]
    return flat


def flat_colours(colours: NDArray[np.uint8], counts: NDArray[np.int64], most: int) -> tuple[NDArray[np.uint8], float]:
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


def count_colours(pixels: NDArray[np.uint8]) -> ColourCounts:
    """The distinct colours of ``[M, 3]`` and how often each occurs."""
    codes, counts = np.unique(codes_of(pixels), return_counts=True)
    return from_codes(codes), counts


def sum_counts(parts: list[ColourCounts]) -> ColourCounts:
    """The same over several pictures."""
    codes, where = np.unique(np.concatenate([codes_of(colours) for colours, _ in parts]), return_inverse=True)
    counts = np.bincount(where, np.concatenate([counts for _, counts in parts]), minlength=len(codes)).astype(np.int64)
    return from_codes(codes), counts


def codes_of(colours: NDArray[np.uint8]) -> NDArray[np.int64]:
    """``[M, 3]`` as one number each, which sort as the colours do."""
    codes: NDArray[np.int64] = colours.astype(np.int64) @ np.array([1 << 16, 1 << 8, 1])
    return codes


def from_codes(codes: NDArray[np.int64]) -> NDArray[np.uint8]:
    """The way back."""
    return np.stack([codes >> 16, codes >> 8 & 255, codes & 255], axis=1).astype(np.uint8)


def nearest_colour(pixels: NDArray[np.uint8], colours: NDArray[np.uint8]) -> NDArray[np.intp]:
    """The index of the nearest of ``[K, 3]`` colours, Euclidean in RGB, at each of ``[H, W, 3]`` pixels; the first of equals."""
    codes, where = np.unique(codes_of(pixels.reshape(-1, 3)), return_inverse=True)
    found, known = from_codes(codes).astype(np.float32), colours.astype(np.float32)
    # |p - c|^2 without |p|^2, which is the same for every colour; whole numbers below 2^24, so exact
    index = [((known**2).sum(1) - 2 * part @ known.T).argmin(1) for part in np.split(found, range(_AT_ONCE, len(found), _AT_ONCE))]
    return np.concatenate(index)[where].reshape(pixels.shape[:2])


def eight_bit(labels: NDArray[Any]) -> NDArray[np.uint8]:
    """``[H, W, 3]`` uint8 from grey or colour of either depth."""
    values = labels if labels.dtype == np.uint8 else ((labels.astype(np.uint32) + 128) // 257).astype(np.uint8)
    return np.repeat(values, 3, axis=2) if values.shape[2] == 1 else values


FACADES = {
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

CITYSCAPES = {
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

CITYSCAPES_IGNORED = (
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
