"""Pairs as a training draws them: by the data set that the training reads from, so that nothing can differ.

What is shown of a picture is the tensor that the networks get, and beside it the whole file with the frame of every crop.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from torch import Tensor

from ...data.batch import Pair
from ...data.channels import titles
from ...data.check.left_out import LeftOut
from ...data.display import described, hatched, limits, look, parts, shown
from ...data.encodings.base import Encoding
from ...data.masks import is_no_data
from ...data.open import OpenedData
from ...data.pairs import Picture, describe
from ...data.pixels import Array
from ...data.transforms import Crop, Framing
from ...data.value_range import NATURAL_RANGE, Range, with_data
from ...progress import track
from ...recipe import Data
from ..charts import COLOURS, HUES
from ..figure_files import font

WHOLE, LEAST = 360, 200
"""Longest side in pixels of a whole picture, and what a small one is enlarged to at least."""
COUNTED = 200
"""Epochs over which it is counted how often a pair is mirrored."""
Role = Literal["source", "target"]
ROLES: tuple[Role, Role] = ("source", "target")


@dataclass(frozen=True)
class Draw:
    """A picture as one epoch sees it.

    Attributes:
        epoch: from 1.
        picture: uint8 ``[H, W, 1 or 3]``: -1 is black, 1 is white.
        mirrored: whether it is mirrored left to right.
        file: what it is cut from.
        upside_down: whether it is mirrored top to bottom.
    """

    epoch: int
    picture: NDArray[np.uint8]
    mirrored: bool
    file: str
    upside_down: bool = False

    @property
    def colour(self) -> str:
        """The name of the colour of its frame."""
        return HUES[(self.epoch - 1) % len(HUES)]


@dataclass(frozen=True)
class PairSide:
    """One picture of a pair, or the pictures that take turns as its target.

    Attributes:
        role: which it is.
        file: what a person calls it.
        about: its size and type, in words.
        size: height and width of the file.
        prepared: height and width of what crops are cut from.
        scaled: height and width that the file is scaled to in it; the rest of it is padded, and what is more is cut.
        channels: that the networks get.
        held: the smallest and the largest value of the file.
        seen: the same of what the networks get, over the draws.
        look: of many channels, what is to be seen of them.
        colours: how many the file has, and how many once it is resized; None of deep pictures, and where nothing is resized.
        whole: uint8 ``[H, W, 3]`` with the frames of the crops.
        draws: what the epochs see.
        evaluated: the same without chance; None where another picture is it.
        single: the channels of a composite, each by itself, as in ``evaluated`` or else the first of ``draws``.
    """

    role: Role
    file: str
    about: str
    size: tuple[int, int]
    prepared: tuple[int, int]
    scaled: tuple[int, int]
    channels: int
    held: Range
    seen: Range
    look: str
    colours: tuple[int, int] | None
    whole: NDArray[np.uint8]
    draws: list[Draw]
    evaluated: NDArray[np.uint8] | None
    single: list[tuple[str, NDArray[np.uint8]]]


@dataclass(frozen=True)
class PairDraws:
    """A pair over some epochs.

    Attributes:
        name: of the pair.
        source, target: its sides.
        share: of the source that a crop shows.
        mirrored: in how many of ``counted`` epochs the source is mirrored.
        masked: whether not everything of it counts.
    """

    name: str
    source: PairSide
    target: PairSide
    share: float
    mirrored: int
    counted: int
    masked: bool = False

    @property
    def sides(self) -> tuple[PairSide, PairSide]:
        """Both, the source first."""
        return self.source, self.target


@dataclass(frozen=True)
class Preview:
    """What is known of a data set before a training.

    Attributes:
        recipe: its name.
        section: its data section, resolved.
        counts: pairs to train on, to validate and to test.
        drawn: whether they were divided here, by their names.
        where: by role, which of the files it is.
        dtypes, channels: of sources and of targets.
        unpaired: no target belongs to a source.
        shuffled: there are pairs, and the training does without them.
        notes: what was said of the data.
        left_out: pairs that cannot be used.
        pairs: some of the training pairs.
        epochs: that the training has, at most :data:`COUNTED`, over which mirrored draws are counted.
    """

    recipe: str
    section: Data
    counts: tuple[int, int, int]
    drawn: bool
    where: dict[Role, str]
    dtypes: tuple[str, str]
    channels: tuple[int, int]
    unpaired: bool
    shuffled: bool
    notes: tuple[str, ...]
    left_out: tuple[LeftOut, ...]
    pairs: list[PairDraws]
    epochs: int

    @property
    def ranges(self) -> tuple[Range, Range]:
        """The values of the files that become -1 and 1, of sources and of targets."""
        given = self.section.source_range, self.section.target_range
        source, target = (one or NATURAL_RANGE[dtype] for one, dtype in zip(given, self.dtypes))
        return source, target


def preview(data: OpenedData, recipe: str, *, pairs: int = 6, draws: int = 4, epochs: int = COUNTED, quiet: bool = False) -> Preview:
    """Draw some training pairs as the first epochs will.

    Args:
        data: opened as for a training.
        recipe: its name.
        pairs: how many, spread evenly over all.
        draws: how many epochs of each.
        epochs: that the training has.
        quiet: no progress.

    Raises:
        UserError: the files of a pair cannot be used.
    """
    train = data.train
    count = min(pairs, len(train))
    chosen = [round(at * (len(train) - 1) / max(1, count - 1)) for at in range(count)]
    counted = min(epochs, COUNTED)
    found = [_pair(data, index, draws, counted) for index in track(chosen, count, "draw pairs", "pair", quiet)]
    first = train.records[0]
    return Preview(
        recipe,
        data.section,
        (len(train), len(data.val), len(data.test)),
        data.drawn is not None,
        {"source": _place(first.a, data.section), "target": _place(first.b, data.section)},
        (data.source_dtype, data.target_dtype),
        (data.source_channels, data.target_channels),
        data.unpaired,
        data.has_pairs and data.unpaired,
        data.notes,
        data.left_out,
        found,
        counted,
    )


def _pair(data: OpenedData, index: int, draws: int, counted: int) -> PairDraws:
    train, alpha = data.train, data.train.alpha
    used, (source, target) = train.usable(index)
    record = train.records[used]
    taken = [train.usable(train.partner(epoch, index)) if data.unpaired else (used, (source, target)) for epoch in range(draws)]
    crops = [train.crops(epoch, index, source.shape[:2], other[1].shape[:2]) for epoch, (_, other) in enumerate(taken)]
    tensors = [train[epoch, index] for epoch in range(draws)]
    plain = data.train_plain[used]
    whole, facts = record.examine(alpha)
    partner = train.records[taken[0][0]]
    if data.unpaired:
        others, other_facts = partner.examine(alpha)
        whole, facts = (whole[0], others[1]), (facts[0], other_facts[1])
    sides, placed = [], train.geometry.framings(whole[0].shape, whole[1].shape)
    for at, role in enumerate(ROLES):
        pictures = [(record.a, train.records[one].b)[at] for one, _ in taken]
        seen = [(pair.source, pair.target)[at] for pair in tensors]
        places = [crop[at] for crop in crops]
        lone = data.unpaired and role == "target"  # each draw is of another file, and the first one's is shown whole
        resized = taken[0][1][at]
        prepared = resized.shape[:2]
        names = _names(data, role)
        evaluated = None if lone else (plain.source, plain.target)[at]
        encoding = (data.source, data.target)[at]
        images = [_bytes(one, encoding, pair.source) for one, pair in zip(seen, tensors)]
        unjittered = None if evaluated is None else _bytes(evaluated, encoding, plain.source)
        sides.append(
            PairSide(
                role,
                label(pictures[0], data.section),
                describe(whole[at], bool(names)),
                whole[at].shape[:2],
                prepared,
                (placed[at].height, placed[at].width),
                train.channels[at],
                _extremes(whole[at], facts[at].no_data),
                (min(float(one.min()) for one in seen), max(float(one.max()) for one in seen)),
                described(whole[at].shape[2], names),
                None if prepared == whole[at].shape[:2] else _colours(whole[at], resized),
                framed(
                    encoding.shown(whole[at]),
                    places[:1] if lone else places,
                    train.geometry.crop_size,
                    placed[at],
                    facts[at].no_data,
                    names,
                ),
                [
                    Draw(
                        epoch + 1,
                        striped(shown(image, names=names), pair, role),
                        place.flipped,
                        label(picture, data.section),
                        place.upside_down,
                    )
                    for epoch, (image, place, picture, pair) in enumerate(zip(images, places, pictures, tensors))
                ],
                None if unjittered is None else striped(shown(unjittered, names=names), plain, role),
                parts(images[0] if unjittered is None else unjittered, names=names),
            )
        )
    mirrored = sum(train.crops(epoch, index, source.shape[:2], target.shape[:2])[0].flipped for epoch in range(counted))
    share = train.geometry.crop_size**2 / (source.shape[0] * source.shape[1])
    return PairDraws(
        record.name, sides[0], sides[1], share, mirrored, counted, plain.mask is not None or any(pair.mask is not None for pair in tensors)
    )


def striped(seen: NDArray[np.uint8], pair: Pair, role: Role) -> NDArray[np.uint8]:
    """A target as it can be seen, with stripes where nothing counts; a source as it is."""
    return hatched(seen, None if pair.mask is None or role == "source" else pair.mask[0].numpy())


def _extremes(array: Array, no_data: float | None) -> tuple[float, float]:
    """The smallest and the largest value that is data; of a picture without any, those of all."""
    data = with_data(array, no_data)
    data = data if data.size else np.nan_to_num(array)
    return float(data.min()), float(data.max())


def _colours(*pictures: Array) -> tuple[int, int] | None:
    """How many colours each of two pictures has; None if they have more than 8 bits."""
    if any(one.dtype != np.uint8 or one.shape[2] not in (1, 3) for one in pictures):
        return None
    packed = (one.astype(np.uint32) @ np.array([1, 1 << 8, 1 << 16][: one.shape[2]], np.uint32) for one in pictures)
    before, after = (len(np.unique(one)) for one in packed)
    return before, after


def _names(data: OpenedData, role: Role) -> list[str]:
    """What the channels of a side are called; nothing for photos, which are shown as such."""
    encoding = data.source if role == "source" else data.target
    if not encoding.is_linear or look(encoding.channels, encoding.names, encoding.dtype) in ("grey", "colour"):
        return []
    return titles(encoding.channels, encoding.names)


def _bytes(tensor: Tensor, encoding: Encoding, source: Tensor) -> NDArray[np.uint8]:
    """What the networks get, ``[C, H, W]`` in [-1, 1], in 8 bits: -1 is black, and 1 is white; of other encodings what they stand for."""
    if not encoding.is_linear:
        return shown(encoding.shown(encoding.decode(tensor, source)))
    values: NDArray[np.uint8] = ((tensor + 1) * 127.5).round().byte().permute(1, 2, 0).numpy()
    return values


def framed(
    array: Array,
    crops: Sequence[Crop],
    crop_size: int,
    place: Framing,
    no_data: float | None = None,
    names: Sequence[str] = (),
) -> NDArray[np.uint8]:
    """A whole picture with the frame of each crop, in the colour of its epoch; a crop of all of it has none.

    Args:
        array: ``[H, W, C]`` in its file's own type.
        crops: where they are in the prepared picture, one for each epoch.
        crop_size: their height and width.
        place: how the whole picture lies in the prepared one.
        no_data: the value that the file declares to mean "nothing here": what is shown as black and white does not depend on it.
        names: of the channels.

    Returns:
        uint8 ``[H, W, 3]``.
    """
    step = max(1, max(array.shape[:2]) // (2 * WHOLE))
    thinned = array[::step, ::step]
    data = thinned
    if no_data is not None and thinned.dtype != np.uint8:
        data = np.where(is_no_data(thinned, no_data), np.nan, thinned.astype(np.float64))
    between = limits(data, names)
    if np.isnan(thinned).any():
        thinned = np.where(np.isnan(thinned), _extremes(thinned, no_data)[0], thinned).astype(thinned.dtype)  # black
    image = shown(thinned, between, names)
    picture = Image.fromarray(np.broadcast_to(image, (*image.shape[:2], 3)))
    picture.thumbnail((WHOLE, WHOLE), Image.Resampling.LANCZOS)
    if max(picture.size) < LEAST:
        scale = -(-LEAST // max(picture.size))
        picture = picture.resize((picture.width * scale, picture.height * scale), Image.Resampling.NEAREST)
    if place.frame == (crop_size, crop_size) and not any(crop.warp for crop in crops):
        return np.asarray(picture)
    draw, (down, across) = ImageDraw.Draw(picture), (picture.height / place.height, picture.width / place.width)
    letters = font(11, "-Bold")
    for at, crop in enumerate(crops):
        top, left = (crop.top - place.top) * down, (crop.left - place.left) * across
        box = (left, top, left + crop_size * across - 1, top + crop_size * down - 1)
        colour = COLOURS[HUES[at % len(HUES)]]
        if crop.warp is not None:
            around = (crop.outline(crop_size) + 0.5 - (place.top, place.left)) * (down, across)
            points = [(float(x), float(y)) for y, x in around]
            for ink, width in (("white", 4), (colour, 2)):
                draw.line([*points, points[0]], fill=ink, width=width, joint="curve")
            corners = np.clip(around[:: len(around) // 4][:4], (0, 0), (picture.height - 17, picture.width - 17))
            box = (*corners[0][::-1], corners[2][1] + 15, corners[2][0] + 15)
        else:
            draw.rectangle(box, outline="white", width=4)
            draw.rectangle([side + 1 if end < 2 else side - 1 for end, side in enumerate(box)], outline=colour, width=2)
        x = box[0] if at % 2 == 0 else box[2] - 15  # a number in each corner in turn: crops of nearly all lie nearly on each other
        y = box[1] if at % 4 < 2 else box[3] - 15
        draw.rectangle((x, y, x + 15, y + 15), fill=colour, outline="white")
        draw.text((x + 8, y + 8), str(at + 1), fill="white", font=letters, anchor="mm")
    return np.asarray(picture)


def label(picture: Picture, section: Data) -> str:
    """What a person calls a picture: its file below the data's folder."""
    if section.path is None:
        return picture.label
    folder = Path(section.path)
    return picture.label.removeprefix(f"{folder if folder.is_dir() else folder.parent}/")


def _place(picture: Picture, section: Data) -> str:
    """Which of the files a side is, in words."""
    half = getattr(picture, "half", None)
    if half:
        return f"the {half} half of each file"
    folder = Path(label(picture, section)).parent
    return f"the files of {folder.as_posix()}/" if folder.parts else "the files here"
