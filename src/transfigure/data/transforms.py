"""Joint geometry of source and target: one draw moves both, so what lay on top of each other still does."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from ..errors import UserError
from . import pixels
from .augmentation import NO_AUGMENTATION, Augmentation, Warp
from .pixels import Array

Rule = Literal["bicubic", "nearest"]
Fit = Literal["refuse", "resize", "fit", "crop", "pad"]
"""How an image comes to a size that is not its own."""
FITS: tuple[Fit, ...] = get_args(Fit)


@dataclass(frozen=True)
class Crop:
    """One random draw.

    Attributes:
        top: first row, in pixels.
        left: first column, in pixels.
        flipped: mirrored left to right, after cropping.
        upside_down: mirrored top to bottom, after cropping.
        warp: where the crop's pixels come from, if not from straight below it.
    """

    top: int
    left: int
    flipped: bool
    upside_down: bool = False
    warp: Warp | None = None

    def outline(self, size: int) -> NDArray[np.float64]:
        """The way around the crop, ``[4 * size, 2]``: rows and columns of the prepared picture, of the middles of its outer pixels."""
        rows, columns = (self.warp or Warp()).places(self.top, self.left, size)
        around = [np.concatenate([each[0], each[:, -1], each[-1, ::-1], each[::-1, 0]]) for each in (rows, columns)]
        return np.stack(around, axis=1)


@dataclass(frozen=True)
class Framing:
    """How a picture comes into its frame: scaled, and then cut or padded.

    Attributes:
        height, width: that it is scaled to.
        top, left: where it lies in the frame then; what is negative is cut off.
        frame: height and width of what comes out. Where it holds nothing of the picture, the picture is mirrored at its border.
    """

    height: int
    width: int
    top: int
    left: int
    frame: tuple[int, int]

    @property
    def pads(self) -> bool:
        """Whether the frame holds anything else than the picture."""
        ends = self.top + self.height, self.left + self.width
        return max(self.top, self.left) > 0 or ends[0] < self.frame[0] or ends[1] < self.frame[1]

    def picture(self, array: Array, rule: Rule) -> Array:
        """``[H, W, C]`` in its frame; the input itself if it fits."""
        return self.framed(pixels.resize(array, self.height, self.width, rule))

    def framed(self, array: Array) -> Array:
        """What is scaled already, ``[height, width, ...]``, cut and padded."""
        along = [(self.top, self.height, self.frame[0]), (self.left, self.width, self.frame[1])]
        cut = tuple(slice(max(0, -start), min(side, space - start)) for start, side, space in along)
        around = [(max(0, start), max(0, space - start - side)) for start, side, space in along]
        part = array if cut == (slice(0, self.height), slice(0, self.width)) else array[cut]
        return np.pad(part, [*around, *[(0, 0)] * (array.ndim - 2)], mode="symmetric") if any(map(any, around)) else part

    def holds(self) -> NDArray[np.bool_] | None:
        """Where the frame holds the picture, ``[H, W]``; None if it does everywhere."""
        if not self.pads:
            return None
        found = np.zeros(self.frame, np.bool_)
        found[max(0, self.top) : self.top + self.height, max(0, self.left) : self.left + self.width] = True
        return found


@dataclass(frozen=True)
class Geometry:
    """Random jitter of pix2pix (Isola et al. 2017, section 6.2): enlarge to ``load_size``, cut out ``crop_size``, mirror.

    The deterministic part (:meth:`prepare`) can be kept; the random part (:meth:`draw`, :meth:`apply`) only slices, unless the augmentation
    turns, scales or bends: then it interpolates once.

    Attributes:
        load_size: height and width that both pictures are brought to, by ``fit``; None keeps their size, and only enlarges those smaller
            than ``crop_size``, with their proportions, until the crop fits (or, by ``fit``, pads them).
        crop_size: height and width of what comes out.
        flip: mirror every second pair, at random.
        source_rule: how sources are resized; ``nearest`` for label maps, so that no colour is invented between two labels.
        target_rule: how targets are resized.
        random: False takes the middle crop and never mirrors.
        paired: False where source and target have nothing to do with each other: each keeps its own size.
        fit: how a target of another size than its source is brought to it, and both to ``load_size``: not at all and squeezed
            (``refuse``); squeezed (``resize``); with their proportions until all lies inside, the rest padded (``fit``), or until all is
            covered, the rest cut (``crop``); or not scaled, padded where they are smaller and cut where they are larger (``pad``).
        evaluation_size: height and width of what :meth:`evaluation` takes, if not ``crop_size``.
        augmentation: what else is done at random.
        whole: nothing is resized (but a target that is to ``fit``), cropped or mirrored: see :meth:`of_whole_images`.

    Raises:
        UserError: a size is not positive, or ``load_size`` is smaller than ``crop_size``.
    """

    load_size: int | None
    crop_size: int
    flip: bool = True
    source_rule: Rule = "bicubic"
    target_rule: Rule = "bicubic"
    random: bool = True
    paired: bool = True
    fit: Fit = "refuse"
    evaluation_size: int | None = None
    augmentation: Augmentation = NO_AUGMENTATION
    whole: bool = False

    def __post_init__(self) -> None:
        if self.crop_size < 1:
            raise UserError(f"crop_size is {self.crop_size}: it must be at least 1 pixel")
        if self.load_size is not None and self.load_size < self.crop_size:
            raise UserError(
                f"load_size {self.load_size} is smaller than crop_size {self.crop_size}: a crop cannot be larger than its picture"
            )

    @property
    def keeps_proportions(self) -> bool:
        """Whether ``fit`` squeezes nothing."""
        return self.fit in ("fit", "crop", "pad")

    def evaluation(self) -> Geometry:
        """The same pictures without chance: brought to ``evaluation_size`` (``crop_size``), or their middle where ``load_size`` is None.

        Native size is kept there because a network trained on native crops has never seen a reduced picture.
        """
        if self.whole:
            return self
        size = self.evaluation_size or self.crop_size
        load_size = None if self.load_size is None else size
        plain = replace(self, load_size=load_size, crop_size=size, evaluation_size=None, flip=False, random=False)
        return replace(plain, augmentation=NO_AUGMENTATION)

    def of_whole_images(self) -> Geometry:
        """The same pictures without chance, all of each and at its own size, which may differ from pair to pair."""
        plain = replace(self, load_size=None, crop_size=1, evaluation_size=None, flip=False, random=False)
        return replace(plain, augmentation=NO_AUGMENTATION, whole=True)

    def prepare(self, source: Array, target: Array) -> tuple[Array, Array]:
        """Bring both, ``[H, W, C]`` in any type, into their frames; the results have one height and width, at least ``crop_size`` each.

        Unpaired ones have one only with ``load_size``, and not where ``fit`` is ``crop`` or ``pad``.

        Raises:
            UserError: sizes of a pair differ where they are to be kept.
        """
        places = self.framings(source.shape, target.shape)
        return places[0].picture(source, self.source_rule), places[1].picture(target, self.target_rule)

    def framings(self, source: tuple[int, ...], target: tuple[int, ...]) -> tuple[Framing, Framing]:
        """How pictures of these heights and widths come into their frames.

        Raises:
            UserError: sizes of a pair differ where they are to be kept.
        """
        first = self._placed(source[0], source[1])
        if not self.paired or source[:2] == target[:2]:
            return first, self._placed(target[0], target[1])
        if self.fit == "refuse" and self.load_size is None:
            sizes = " and ".join(f"{shape[1]}x{shape[0]}" for shape in (source, target))
            way_out = "to score whole images (or set fit)" if self.whole else "or set load_size to resize both"
            raise UserError(f"source and target of a pair are {sizes}: they must have one size{' ' if self.whole else ', '}{way_out}")
        space = first.height, first.width
        if not self.keeps_proportions:
            return first, first
        ratios = space[0] / target[0], space[1] / target[1]
        scale = min(ratios) if self.fit == "fit" else max(ratios) if self.fit == "crop" else 1.0
        height, width = _scaled(target, scale)
        return first, Framing(height, width, first.top + (space[0] - height) // 2, first.left + (space[1] - width) // 2, first.frame)

    def _placed(self, height: int, width: int) -> Framing:
        wanted = self.load_size or self.crop_size
        if self.fit == "pad":
            scale = 1.0
        elif self.fit == "fit":
            scale = wanted / max(height, width)
        else:
            scale = wanted / min(height, width)
        if self.load_size is None:
            scale = max(1.0, scale)
        size = (wanted, wanted) if self.load_size is not None and not self.keeps_proportions else _scaled((height, width), scale)
        frame = max(size[0], wanted), max(size[1], wanted)
        return Framing(*size, (frame[0] - size[0]) // 2, (frame[1] - size[1]) // 2, frame)

    def draw(self, rng: np.random.Generator | None, height: int, width: int, more: np.random.Generator | None = None) -> Crop:
        """Where to crop a prepared pair of this size, and whether to mirror it; nothing is drawn if not ``random``.

        Args:
            rng: for the crop and the mirror.
            height, width: of the prepared picture.
            more: for the augmentation, which has a stream of its own so that it does not move the crops of others.

        Raises:
            ValueError: the picture is smaller than the crop.
        """
        if self.whole:
            return Crop(0, 0, False)
        down, right = height - self.crop_size, width - self.crop_size
        if min(down, right) < 0:
            raise ValueError(f"a {width}x{height} picture is smaller than the crop of {self.crop_size}: prepare it first")
        if not self.random or rng is None:
            return Crop(down // 2, right // 2, False)
        # Three numbers in every case, so that turning the mirror off does not move the crops.
        top, left, mirror = rng.integers(down + 1), rng.integers(right + 1), rng.random() < 0.5
        crop = Crop(int(top), int(left), bool(mirror) and self.flip)
        if more is None or not self.augmentation.moves:
            return crop
        upside_down, warp = self.augmentation.draw(more)
        return replace(crop, upside_down=upside_down, warp=warp)

    def apply(self, array: Array, crop: Crop, rule: Rule = "nearest") -> Array:
        """The ``[crop_size, crop_size, C]`` part of a prepared picture, as a view; all of a ``whole`` one. Warped crops go by ``rule``."""
        if self.whole:
            return array
        if crop.warp is None:
            part = array[crop.top : crop.top + self.crop_size, crop.left : crop.left + self.crop_size]
        else:
            part = pixels.sample(array, *crop.warp.places(crop.top, crop.left, self.crop_size), rule)
        part = part[:, ::-1] if crop.flipped else part
        return part[::-1] if crop.upside_down else part

    def apply_mask(self, mask: Array, crop: Crop) -> Array:
        """The same part of a mask, uint8 ``[H, W, 1]``: of a warped one counts what nothing that does not has a part in."""
        if crop.warp is None or "bicubic" not in (self.source_rule, self.target_rule):
            return self.apply(mask, crop)
        found = pixels.sample_mask(mask, *crop.warp.places(crop.top, crop.left, self.crop_size))
        found = found[:, ::-1] if crop.flipped else found
        return found[::-1] if crop.upside_down else found


def _scaled(size: tuple[int, ...], scale: float) -> tuple[int, int]:
    """Height and width times a factor, rounded; at least 1."""
    return max(1, math.floor(size[0] * scale + 0.5)), max(1, math.floor(size[1] * scale + 0.5))
