"""CIE Lab: lightness in one number, and in two the colour that grey has none of: for photos whose lightness is given and colour is sought.

Computed in 64 bits, a few rows at a time, so that a photo of any size fits.

Source: IEC 61966-2-1:1999, section 5.2 (sRGB: primaries and transfer function); CIE 15:2004, section 8.2.1 (Lab) and table T.3 (D65).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from ...errors import UserError
from ..pixels import Array, check_finite, to_tensor
from ..value_range import Range, if_of_type, limits, outside
from .base import Encoding

if TYPE_CHECKING:
    from torch import Tensor

PRIMARIES = ((0.64, 0.33), (0.30, 0.60), (0.15, 0.06))
"""x and y of red, green and blue (IEC 61966-2-1, table 1)."""
WHITE = (0.95047, 1.0, 1.08883)
"""X, Y and Z of D65 for the 2 degree observer (CIE 15)."""
CHROMA_REACH = 110.0
"""What a and b are divided by for the networks: sRGB's own colours reach from -86 to 98 in a and from -108 to 94 in b."""
Part = Literal["Lab", "L", "ab"]
_EDGE = 6 / 29
_AT_ONCE = 1 << 20
_STEPS, _HALVINGS = 32, 12
"""Of the search for the strongest colour that there is."""
_GAMUT = 2e-5
"""How far a linear value may lie outside of [0, 1]: what 32 bits leave of L, a and b moves it so far; 0.07 of 255 levels in the dark."""


def _matrix() -> NDArray[np.float64]:
    """``[3, 3]`` from linear red, green and blue to X, Y, Z, as shares of white's: the primaries in the amounts that add up to white."""
    x, y = np.array(PRIMARIES).T
    primaries = np.stack([x / y, np.ones(3), (1 - x - y) / y])
    found: NDArray[np.float64] = primaries * np.linalg.solve(primaries, np.array(WHITE)) / np.array(WHITE)[:, None]
    return found


_TO_XYZ = _matrix()
_FROM_XYZ = np.linalg.inv(_TO_XYZ)


def rgb_to_lab(rgb: NDArray[np.float64]) -> NDArray[np.float64]:
    """``[..., 3]`` in [0, 1] (sRGB) to L in [0, 100], a in [-87, 99] and b in [-108, 95]."""
    return _lab_of(list(np.moveaxis(_linear(rgb), -1, 0)))


def lab_to_rgb(lab: NDArray[np.float64]) -> NDArray[np.float64]:
    """The way back, ``[..., 3]`` in [0, 1]. Of a colour that sRGB has not, lightness and hue stay, and as much chroma as there is."""
    shape = lab.shape
    lab = lab.reshape(-1, 3)
    linear = _of_lab(lab)
    lost = ~_is_inside(linear)
    if lost.any():
        strange = lab[lost]
        share = np.zeros(len(strange))
        for step in range(1, _STEPS):  # what there is of a hue may have gaps: the strongest is sought from outside
            share = np.where(_is_inside(_weaker(strange, tried := np.full(len(strange), step / _STEPS))), tried, share)
        step_size = 1 / _STEPS
        for _ in range(_HALVINGS):
            step_size /= 2
            share = np.where(_is_inside(_weaker(strange, share + step_size)), share + step_size, share)
        linear[lost] = _weaker(strange, share)
    linear = linear.clip(0, 1)
    coded = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    found: NDArray[np.float64] = coded.clip(0, 1).reshape(shape)
    return found


def _linear(coded: NDArray[np.float64]) -> NDArray[np.float64]:
    found: NDArray[np.float64] = np.where(coded <= 0.04045, coded / 12.92, ((coded + 0.055) / 1.055) ** 2.4)
    return found


def _curved(planes: Sequence[NDArray[np.float64]], row: int) -> NDArray[np.float64]:
    """Of X, Y or Z, as a share of white's, the function that Lab is made of."""
    red, green, blue = _TO_XYZ[row]
    value = red * planes[0] + green * planes[1] + blue * planes[2]
    curved: NDArray[np.float64] = np.where(value > _EDGE**3, np.cbrt(value), value / (3 * _EDGE**2) + 4 / 29)
    return curved


def _lab_of(planes: Sequence[NDArray[np.float64]], part: Part = "Lab") -> NDArray[np.float64]:
    """From linear red, green and blue, each ``[...]``, to ``[..., 3]``, or what is wanted of it."""
    y = _curved(planes, 1)
    if part == "L":
        return (116 * y - 16)[..., None]
    a, b = 500 * (_curved(planes, 0) - y), 200 * (y - _curved(planes, 2))
    return np.stack([116 * y - 16, a, b] if part == "Lab" else [a, b], axis=-1)


def _of_lab(lab: NDArray[np.float64]) -> NDArray[np.float64]:
    """Linear red, green and blue, in no bounds."""
    y = (lab[:, 0] + 16) / 116
    curved = np.stack([y + lab[:, 1] / 500, y, y - lab[:, 2] / 200], axis=1)
    xyz = np.where(curved > _EDGE, curved**3, 3 * _EDGE**2 * (curved - 4 / 29))
    found: NDArray[np.float64] = xyz @ _FROM_XYZ.T
    return found


def _is_inside(linear: NDArray[np.float64]) -> NDArray[np.bool_]:
    within: NDArray[np.bool_] = (linear >= -_GAMUT) & (linear <= 1 + _GAMUT)
    return within[:, 0] & within[:, 1] & within[:, 2]


def _weaker(lab: NDArray[np.float64], share: NDArray[np.float64]) -> NDArray[np.float64]:
    """Linear red, green and blue with only a share of the chroma."""
    return _of_lab(lab * np.stack([np.ones_like(share), share, share], axis=1))


@cache
def _table(dtype: str) -> NDArray[np.float64]:
    """The linear value of every number of a type of 8 or 16 bits."""
    return _linear(np.arange(np.iinfo(dtype).max + 1) / np.iinfo(dtype).max)


def lab_of_file(array: Array, value_range: Range | None = None, label: str = "this photo", part: Part = "Lab") -> NDArray[np.float64]:
    """A photo in Lab, ``[H, W, 3]``, or a part of it.

    Args:
        array: ``[H, W, 1]`` (grey: a = b = 0) or ``[H, W, 3]`` (sRGB) in its file's own type.
        value_range: the values that are black and white; None for the full range of the type.
        label: what to call it in an error.
        part: what is wanted.

    Raises:
        UserError: it has other channels, or float values outside of the range.
    """
    if array.shape[2] not in (1, 3):
        raise UserError(f"{label} has {array.shape[2]} channels: Lab is of grey (1) or red, green and blue (3)")
    if reason := outside(array, value_range):
        raise UserError(f"{label} {reason}: give the value range that should become black and white")
    low, high = limits(array.dtype, value_range)
    plain = value_range is None and array.dtype in (np.uint8, np.uint16)

    def convert(rows: Array) -> NDArray[np.float64]:
        linear = [
            _table(array.dtype.name)[plane] if plain else _linear(((plane.astype(np.float64) - low) / (high - low)).clip(0, 1))
            for plane in np.moveaxis(rows, 2, 0)
        ]
        lab = _lab_of(linear * 3 if len(linear) == 1 else linear, part)
        if len(linear) == 1 and part != "L":
            lab[..., -2:] = 0  # exactly, where rounding would leave 1e-14
        return lab

    return _by_rows(convert, array)


def _by_rows(convert: Callable[..., Array], *arrays: Array) -> Array:
    """What a function makes of arrays of one height and width, a few rows at a time."""
    height, width = arrays[0].shape[:2]
    step = max(1, _AT_ONCE // width)
    parts = [convert(*(array[top : top + step] for array in arrays)) for top in range(0, height, step)]
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _as_file(rgb: NDArray[np.float64], dtype: str, value_range: Range | None) -> Array:
    low, high = limits(dtype, value_range)
    values = rgb * (high - low) + low
    kind = np.dtype(dtype)
    found: Array = values.astype(kind) if kind.kind == "f" else np.rint(values).astype(kind)
    return found


@dataclass(frozen=True)
class Lightness(Encoding):
    """L of a photo, grey or in colour: black is -1, white is 1.

    Attributes:
        dtype: of the files.
        value_range: the values that are black and white; None for the full range of the type. Files of another type have their own.
    """

    dtype: str = "uint8"
    value_range: Range | None = None
    name = "L"

    @property
    def channels(self) -> int:
        """One."""
        return 1

    @property
    def names(self) -> tuple[str, ...]:
        """``L``."""
        return ("L",)

    def encode(self, array: Array, label: str = "this photo") -> Tensor:
        """L / 50 - 1."""
        import torch

        lightness = lab_of_file(array, if_of_type(self.value_range, self.dtype, array.dtype.name), label, "L")
        return torch.from_numpy(lightness / 50 - 1).permute(2, 0, 1).to(torch.float32).clamp_(-1, 1).contiguous()

    def decode(self, tensor: Tensor, source: object = None) -> Array:
        """A grey photo of this lightness."""
        check_finite(tensor)
        lightness = _lightness_of(tensor)

        def convert(rows: NDArray[np.float64]) -> Array:
            lab = np.concatenate([rows, np.zeros((*rows.shape[:2], 2))], axis=2)
            return _as_file(lab_to_rgb(lab)[..., :1], self.dtype, self.value_range)

        return _by_rows(convert, lightness)

    def picture(self, tensor: Tensor) -> Tensor:
        """A grey photo."""
        return self.scored(self.decode(tensor))

    def scored(self, array: Array) -> Tensor:
        """The values of a grey photo."""
        return to_tensor(array, if_of_type(self.value_range, self.dtype, array.dtype.name))


def _lightness_of(tensor: Tensor) -> NDArray[np.float64]:
    found: NDArray[np.float64] = (tensor.detach().cpu().double().clamp(-1, 1) + 1).mul(50).permute(1, 2, 0).numpy()
    return found


@dataclass(frozen=True)
class Chroma(Encoding):
    """a and b of a photo: what colour adds to its lightness. Decoded with the source's own lightness, in its own depth and full resolution.

    Attributes:
        dtype: of the files, and of what is decoded where the source has neither 8 nor 16 bits.
        value_range: the values that are black and white; None for the full range of the type. Files of another type have their own.
    """

    dtype: str = "uint8"
    value_range: Range | None = None
    name = "ab"

    @property
    def channels(self) -> int:
        """Two."""
        return 2

    @property
    def file_channels(self) -> int:
        """Red, green and blue."""
        return 3

    @property
    def names(self) -> tuple[str, ...]:
        """``a`` (green to red) and ``b`` (blue to yellow)."""
        return ("a", "b")

    @property
    def needs_source(self) -> bool:
        """It is its lightness."""
        return True

    def encode(self, array: Array, label: str = "this photo") -> Tensor:
        """a / 110 and b / 110."""
        import torch

        chroma = lab_of_file(array, if_of_type(self.value_range, self.dtype, array.dtype.name), label, "ab")
        return torch.from_numpy(chroma / CHROMA_REACH).permute(2, 0, 1).to(torch.float32).clamp_(-1, 1).contiguous()

    def decode(self, tensor: Tensor, source: Any = None) -> Array:
        """The photo of this colour and the source's lightness.

        Raises:
            ValueError: there is no source, or it has another size.
        """
        check_finite(tensor)
        if source is None:
            raise ValueError("a and b are decoded with the lightness of their source: give it")
        chroma = tensor.detach().cpu().double().clamp(-1, 1).mul(CHROMA_REACH).permute(1, 2, 0).numpy()
        dtype, value_range = self.dtype, self.value_range
        if isinstance(source, np.ndarray):
            source = source[..., None] if source.ndim == 2 else source
            given = if_of_type(self.value_range, self.dtype, source.dtype.name)
            lightness: Array = lab_of_file(source, given, part="L")
            if source.dtype.name != dtype and source.dtype in (np.uint8, np.uint16):
                dtype, value_range = source.dtype.name, None
        else:
            lightness = _lightness_of(source)
        if lightness.shape[:2] != chroma.shape[:2]:
            raise ValueError(f"colour of {chroma.shape[:2]} pixels does not lie on a source of {lightness.shape[:2]}")

        def convert(light: Array, colour: Array) -> Array:
            return _as_file(lab_to_rgb(np.concatenate([light, colour], axis=2).astype(np.float64)), dtype, value_range)

        return _by_rows(convert, lightness, chroma)

    def scored(self, array: Array) -> Tensor:
        """Red, green and blue."""
        return to_tensor(array, if_of_type(self.value_range, self.dtype, array.dtype.name))
