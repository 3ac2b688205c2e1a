"""Any image as it can be seen: 8 bits, grey or three colours. For people's eyes, and never for a number that is reported.

The rules, for every page, panel and preview:

- One channel is grey; three that are the colours of a photo (see :mod:`.channels`) are that photo.
- Up to seven channels are a *composite*: each in a colour of its own, added up; and beside it each channel by itself, with its name.
- Slices of one thing (names that count: 0, 1, 2, ...), and more than seven channels, are seen by the one in the middle, and it is said
  which that is.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from .channels import not_colour, titles

Limits = tuple[float, float]
Between = Limits | tuple[Limits, ...] | None
"""The values to show as black and white: of the picture, or of each of its channels; None is as they are."""
Picture8 = NDArray[np.uint8]
GAP = 2
"""Pixels of white between the pictures of a strip."""
STRIPE = 4
"""Pixels of a stripe where nothing counts."""
MOST = 7
"""Channels of a composite: more colours than that cannot be told apart."""
COLOURS = {
    "red": (255, 0, 0),
    "green": (0, 255, 0),
    "blue": (0, 0, 255),
    "yellow": (255, 200, 0),
    "magenta": (255, 0, 255),
    "cyan": (0, 220, 255),
    "grey": (190, 190, 190),
}
"""Of a composite's channels, in their order; two channels are green and magenta, which add up to white."""
_COUNTED = re.compile(r"(?:z *)?([+-]?\d+)?", re.IGNORECASE)


def hatched(array: NDArray[Any], counts: NDArray[np.bool_] | None) -> NDArray[Any]:
    """A generated picture with stripes where nothing counts: what is made there means nothing.

    Args:
        array: ``[H, W, C]`` of any type.
        counts: ``[H, W]``, True counts; None if everything does.
    """
    if counts is None:
        return array
    inside = array[counts] if counts.any() else array.reshape(-1, array.shape[2])
    low, high = inside.min().astype(np.float64), inside.max().astype(np.float64)
    rows, columns = np.indices(counts.shape)
    stripes = np.where((rows + columns) // STRIPE % 2, low, low + (high - low) / 4).astype(array.dtype)
    found: NDArray[Any] = np.where(counts[..., None], array, stripes[..., None])
    return found


def are_slices(names: Sequence[str]) -> bool:
    """Whether names count, as those of the slices of a stack do (``0``, ``1``, ``2``; ``z-1``, ``z``, ``z+1``), and wavelengths do not."""
    found = [_COUNTED.fullmatch(name.strip()) for name in names]
    numbers = [int(one[1] or 0) for one in found if one is not None and one[0]]
    return len(numbers) == len(names) > 1 and all(b - a == 1 for a, b in itertools.pairwise(numbers))


def look(channels: int, names: Sequence[str] = (), dtype: str = "uint8") -> Literal["grey", "colour", "composite", "one"]:
    """How images of so many channels, of these names and this type, are shown: ``one`` is the channel in the middle alone."""
    names = names if len(names) == channels else ()
    if channels == 1:
        return "grey"
    if not names and dtype in ("uint8", "bool") and channels == 4:  # red, green and blue with what lay beside them in the file
        return "colour"
    if channels == 3 and not not_colour(3, names, "uint8" if dtype == "bool" else dtype):
        return "colour"
    return "composite" if channels <= MOST and not are_slices(names) else "one"


def described(channels: int, names: Sequence[str] = (), dtype: str = "uint8") -> str:
    """What is to be seen, in words: ``slice 7 of 13``, ``DAPI red, MAP2 green``; empty for photos and grey pictures."""
    kind = look(channels, names, dtype)
    if kind == "composite":
        return ", ".join(f"{title} {colour}" for title, colour in zip(titles(channels, names), _colours(channels)))
    if kind != "one":
        return ""
    name = "" if len(names) != channels or are_slices(names) else f" ({names[channels // 2]})"
    return f"{'slice' if are_slices(names) else 'channel'} {channels // 2 + 1} of {channels}{name}"


def limits(image: NDArray[np.generic], names: Sequence[str] = ()) -> Between:
    """The values to show as black and white: None (as they are) for 8 bits, else the 0.1 and 99.9 percentiles of what is shown.

    Those of a composite are of each channel; where nobody has named three channels, they are of all three, as a photo's are.
    """
    if image.dtype in (np.uint8, np.bool_):
        return None
    pixels = _pixels(image)
    kind = look(pixels.shape[-1], names, image.dtype.name)
    if kind == "composite" and (pixels.shape[-1] != 3 or names):
        return tuple(_limits(pixels[..., at]) for at in range(pixels.shape[-1]))
    return _limits(_seen(pixels, kind))


def shown(image: NDArray[np.generic], between: Between = None, names: Sequence[str] = ()) -> Picture8:
    """An image as it can be seen: uint8 ``[H, W, 1 or 3]``.

    Args:
        image: ``[H, W]`` or ``[H, W, C]``, any number type.
        between: the values that become black and white; by default those of :func:`limits`.
        names: of its channels.
    """
    pixels = _pixels(image)
    kind = look(pixels.shape[-1], names, image.dtype.name)
    between = between or limits(image, names)
    if kind != "composite":
        return _scaled(_seen(pixels, kind), between)
    mixed: NDArray[np.uint32] = np.zeros((*pixels.shape[:2], 3), np.uint32)
    for at, colour in enumerate(_colours(pixels.shape[-1])):
        mixed += _scaled(pixels[..., at], _of_channel(between, at))[..., None] * np.array(COLOURS[colour], np.uint32)
    composite: Picture8 = np.minimum((mixed + 127) // 255, 255).astype(np.uint8)
    return composite


def parts(image: NDArray[np.generic], between: Between = None, names: Sequence[str] = ()) -> list[tuple[str, Picture8]]:
    """The channels of a composite, each by itself: its name, and uint8 ``[H, W, 1]``; none for other pictures."""
    pixels = _pixels(image)
    channels = pixels.shape[-1]
    if look(channels, names, image.dtype.name) != "composite":
        return []
    between = between or limits(image, names)
    return [(title, _scaled(pixels[..., at : at + 1], _of_channel(between, at))) for at, title in enumerate(titles(channels, names))]


def _pixels(image: NDArray[np.generic]) -> NDArray[np.generic]:
    return image[..., None] if image.ndim == 2 else image


def _seen(pixels: NDArray[np.generic], kind: str) -> NDArray[np.generic]:
    """The channels that are shown together."""
    middle = pixels.shape[-1] // 2
    return pixels[..., middle : middle + 1] if kind == "one" else pixels[..., :3]


def _colours(channels: int) -> list[str]:
    return ["green", "magenta"] if channels == 2 else list(COLOURS)[:channels]


def _limits(values: NDArray[np.generic]) -> Limits:
    finite = values.astype(np.float64)
    finite = finite[np.isfinite(finite)]
    if finite.size == 0:
        return (0.0, 1.0)
    low, high = (float(value) for value in np.percentile(finite, (0.1, 99.9)))
    return (low, high if high > low else low + 1.0)


def _of_channel(between: Between, at: int) -> Limits | None:
    """What a channel is shown between, of what may be said of each or of all."""
    if between is None:
        return None
    of_all = [value for value in between if not isinstance(value, tuple)]
    of_each = [value for value in between if isinstance(value, tuple)]
    return of_each[at] if of_each else (of_all[0], of_all[1])


def _scaled(values: NDArray[np.generic], between: Between) -> Picture8:
    """As 8 bits, of the same shape."""
    if values.dtype == np.bool_:
        return values.astype(np.uint8) * 255
    if values.dtype == np.uint8:
        return values.astype(np.uint8)
    low, high = _of_channel(between, 0) or (0.0, 255.0)
    scaled = (np.nan_to_num(values.astype(np.float64), nan=low, posinf=high, neginf=low) - low) / (high - low)
    return (np.clip(scaled, 0, 1) * 255).round().astype(np.uint8)


def strip(pictures: Sequence[Picture8]) -> Picture8:
    """Pictures side by side on white, the tops in a line.

    Args:
        pictures: uint8 ``[H, W, 1 or 3]``; if one has colours, all get three channels.

    Returns:
        uint8 ``[H, W, 1 or 3]``.
    """
    channels = max(picture.shape[2] for picture in pictures)
    height = max(picture.shape[0] for picture in pictures)
    paper = np.full((height, sum(picture.shape[1] + GAP for picture in pictures) - GAP, channels), 255, np.uint8)
    left = 0
    for picture in pictures:
        paper[: picture.shape[0], left : left + picture.shape[1]] = picture
        left += picture.shape[1] + GAP
    return paper


def rows(lines: Sequence[Picture8]) -> Picture8:
    """Strips below one another on white.

    Args:
        lines: uint8 ``[H, W, 1 or 3]``; if one has colours, all get three channels.

    Returns:
        uint8 ``[H, W, 1 or 3]``.
    """
    return np.ascontiguousarray(strip([line.swapaxes(0, 1) for line in lines]).swapaxes(0, 1))
