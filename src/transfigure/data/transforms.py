"""Joint geometry of source and target: one draw moves both, so what lay on top of each other still does."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from ..errors import UserError
from . import pixels
from .pixels import Array

Rule = Literal["bicubic", "nearest"]


@dataclass(frozen=True)
class Crop:
    """One random draw.

    Attributes:
        top: first row, in pixels.
        left: first column, in pixels.
        flipped: mirrored left to right, after cropping.
    """

    top: int
    left: int
    flipped: bool


@dataclass(frozen=True)
class Geometry:
    """Random jitter of pix2pix (Isola et al. 2017, section 6.2): enlarge to ``load_size``, cut out ``crop_size``, mirror.

    The deterministic part (:meth:`prepare`) can be kept; the random part (:meth:`draw`, :meth:`apply`) only slices.

    Attributes:
        load_size: height and width that both pictures are resized to, whatever their proportions; None keeps their size, and only
            enlarges those smaller than ``crop_size``, with their proportions, until the crop fits.
        crop_size: height and width of what comes out.
        flip: mirror every second pair, at random.
        source_rule: how sources are resized; ``nearest`` for label maps, so that no colour is invented between two labels.
        target_rule: how targets are resized.
        random: False takes the middle crop and never mirrors.
        paired: False where source and target have nothing to do with each other: each keeps its own size.
        fit: a target of another size than its source is brought to it (by ``target_rule``), instead of refused.
        evaluation_size: height and width of what :meth:`evaluation` takes, if not ``crop_size``.
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
    fit: bool = False
    evaluation_size: int | None = None
    whole: bool = False

    def __post_init__(self) -> None:
        if self.crop_size < 1:
            raise UserError(f"crop_size is {self.crop_size}: it must be at least 1 pixel")
        if self.load_size is not None and self.load_size < self.crop_size:
            raise UserError(
                f"load_size {self.load_size} is smaller than crop_size {self.crop_size}: a crop cannot be larger than its picture"
            )

    def evaluation(self) -> Geometry:
        """The same pictures without chance: resized to ``evaluation_size`` (``crop_size``), or their middle where ``load_size`` is None.

        Native size is kept there because a network trained on native crops has never seen a reduced picture.
        """
        if self.whole:
            return self
        size = self.evaluation_size or self.crop_size
        load_size = None if self.load_size is None else size
        return replace(self, load_size=load_size, crop_size=size, evaluation_size=None, flip=False, random=False)

    def of_whole_images(self) -> Geometry:
        """The same pictures without chance, all of each and at its own size, which may differ from pair to pair."""
        return replace(self, load_size=None, crop_size=1, evaluation_size=None, flip=False, random=False, whole=True)

    def prepare(self, source: Array, target: Array) -> tuple[Array, Array]:
        """Resize both, ``[H, W, C]`` in any type; the results have one height and width (unpaired ones with ``load_size``), at least
        ``crop_size`` each.

        Raises:
            UserError: sizes of a pair differ where they are to be kept.
        """
        if self.paired and self.load_size is None and source.shape[:2] != target.shape[:2]:
            if self.fit:
                height, width = source.shape[:2]
                return self.prepare(source, pixels.resize(target, height, width, self.target_rule))
            sizes = " and ".join(f"{array.shape[1]}x{array.shape[0]}" for array in (source, target))
            way_out = "to score whole images (or set fit)" if self.whole else "or set load_size to resize both"
            raise UserError(f"source and target of a pair are {sizes}: they must have one size{' ' if self.whole else ', '}{way_out}")
        return self._prepared(source, self.source_rule), self._prepared(target, self.target_rule)

    def _prepared(self, array: Array, rule: Rule) -> Array:
        if self.whole:
            return array
        height, width = array.shape[:2] if self.load_size is None else (self.load_size, self.load_size)
        scale = self.crop_size / min(height, width)
        if scale > 1:
            height, width = (max(self.crop_size, math.floor(side * scale + 0.5)) for side in (height, width))
        return pixels.resize(array, height, width, rule)

    def draw(self, rng: np.random.Generator | None, height: int, width: int) -> Crop:
        """Where to crop a prepared pair of this size, and whether to mirror it; ``rng`` is not used if not ``random``.

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
        return Crop(int(top), int(left), bool(mirror) and self.flip)

    def apply(self, array: Array, crop: Crop) -> Array:
        """The ``[crop_size, crop_size, C]`` part of a prepared picture, as a view; all of a ``whole`` one."""
        if self.whole:
            return array
        part = array[crop.top : crop.top + self.crop_size, crop.left : crop.left + self.crop_size]
        return part[:, ::-1] if crop.flipped else part
