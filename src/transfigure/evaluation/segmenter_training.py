"""Training the segmenter that the FCN-score needs: on real photos and their label maps, before it is shown a generated one.

The published FCN-scores were made with a network for Cityscapes. For your own pairs there is none, but the pairs themselves say which
class every pixel of a photo is, and a small network learns it in minutes. Train it on the training pairs, and score on the test pairs.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..data import pixels
from ..data.augmentation import jittered
from ..data.check.findings import differing_palettes, sizes_apart
from ..data.check.left_out import of_left_out
from ..data.dataset import Cache
from ..data.encodings.base import LinearValues
from ..data.file_facts import PictureWatch
from ..data.files import check_writable_folder, home_path
from ..data.grey import channels_of, grey_among_colour
from ..data.masks import Counts, without_no_data
from ..data.open import augmentation_of, find_records, no_training_pairs, resolve_data, usable
from ..data.ownership import check_outputs
from ..data.pairs import Record
from ..data.pixels import Array
from ..data.transforms import Geometry
from ..data.value_range import Watch, train_flag
from ..errors import RunFailure, UserError
from ..integrity import sha256_of
from ..metrics.palettes import IGNORE, Palette, learn_palette, load_palette
from ..metrics.segmentation import confusion, scores
from ..networks.segmenter import SegmentationNetwork, save_segmenter
from ..progress import Progress, duration, say, track
from ..recipe import Data, data_at
from ..translation.devices import pick_device
from ..wording import counted, said_once

BATCH = 8
LEARNING_RATE = 5e-3
RARITY = 0.25
"""Classes weigh by the inverse of their frequency to this power: 0 counts every pixel alike, 1 every class."""
BUDGET = 48_000_000
"""Pixels of photos seen by default, about three minutes of one core; never fewer than 4 epochs nor more than 300."""
_SAMPLE = 32  # label maps that a palette is learnt from
_MOST_INDICES = 64


@dataclass(frozen=True)
class SegmenterOptions:
    """How a segmenter is trained.

    Attributes:
        palette: of the label maps, or the name or file of one; None is learnt from the label maps themselves.
        photos: the side with the photos, ``A`` (left half, first folder, column ``source``) or ``B``; None finds out by which of the
            sides has a palette.
        size: side in pixels of the squares the network sees; None is the size that the data section evaluates at, or 128. A section whose
            ``load_size`` is null keeps photos at their own size and takes crops of them.
        epochs: passes over the training pairs; None is what takes about three minutes on one core.
        minutes: stop after this long, even if epochs are left; the learning rate falls in time.
        width: filters of the network's outermost level.
        seed: of initialisation, order and jitter.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
    """

    palette: str | Palette | None = None
    photos: Literal["A", "B"] | None = None
    size: int | None = None
    epochs: int | None = None
    minutes: float | None = None
    width: int = 16
    seed: int = 0
    device: str = "auto"

    def __post_init__(self) -> None:
        for what, value in (("epochs", self.epochs), ("minutes", self.minutes)):
            if value is not None and value <= 0:
                raise UserError(f"{what} is {value}: it must be more than 0")
        if self.photos not in ("A", "B", None):
            raise UserError(f"photos is {self.photos!r}: it must be A (left half, first folder, source) or B")


def train_segmenter(
    data: str | Path | Data,
    out: str | Path,
    options: SegmenterOptions = SegmenterOptions(),
    *,
    overrides: Mapping[str, Any] | None = None,
    quiet: bool = False,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Train a segmentation network on the photos of the training pairs, score it on held-out ones, and write it as one file.

    Photos are resized to squares, their labels by nearest neighbour, and both are mirrored and shifted by up to a sixteenth at random.
    Adam on the cross-entropy of every labelled pixel, where rare classes weigh more (the fourth root of their rarity); the learning
    rate falls to zero along half a cosine. On a processor the same data, options and seed give the same weights, unless ``minutes``
    cuts the training short.

    Args:
        data: a folder of pairs, a manifest, the name of a drawn world, or a data section.
        out: the file to write, such as ``segmenter.safetensors``.
        options: how it is trained.
        overrides: dotted data keys that say how the pairs are read, such as ``{"data.kind": "two_folders"}``.
        quiet: no notes and no progress.
        overwrite: replace a file that is there already and that this tool did not write.

    Returns:
        What the file says of itself: ``file``, ``sha256``, ``palette``, ``size``, ``photos``, ``split``, ``n`` and the three scores of
        real photos of that split, ``pixel_accuracy``, ``class_accuracy`` and ``class_iou``, among others.

    Raises:
        UserError: no pairs, a side that cannot be identified, labels that fit no palette, or a value out of range.
        RunFailure: the training diverged, or the disk is full.
    """
    started = time.monotonic()
    file = home_path(out)
    if file.is_dir():
        raise UserError(f"{file} is a folder: name the file to write, such as {file / 'segmenter.safetensors'}")
    check_outputs([file], overwrite)
    device = pick_device(options.device)
    section = _section(data, options.size, overrides or {})
    opened = find_records(section)
    records, notes = opened.splits, opened.notes
    where = section.path or section.kind
    if not records["train"]:
        raise UserError(no_training_pairs(section, opened))
    if not opened.paired:
        raise UserError(f"{where} is read as data without pairs: a segmenter needs photos with the label maps of the same scenes")
    for part in records:
        records[part], gone = usable(section, records[part], part, opened.paired, quiet)
        if gone:
            notes.append(of_left_out(len(gone), gone[0], len(records[part]), opened.paired, part))
    side, known = _labels_and_palette(section, records["train"], options)
    classes = counted(len(known.classes), "class", "classes")
    notes.append(f"photos are side {'AB'[1 - side]}; the labels have {classes}: {_few(known.classes)}")
    notes += grey_among_colour(channels_of((record.a, record.b)[1 - side] for part in records.values() for record in part), "photos")
    if not quiet:
        for note in notes:
            say(f"note: {note}")
    check_writable_folder(file.parent)

    examples = _Examples(section, records["train"], side, known)
    frequency = examples.frequencies(quiet)
    for note in [] if quiet else examples.watch.notes():
        say(f"note: {note}")
    epochs = options.epochs or min(max(round(BUDGET / (len(examples) * section.crop_size**2)), 4), 300)
    seconds = math.inf if options.minutes is None else 60 * options.minutes
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(options.seed)
        network = SegmentationNetwork(len(known.classes), width=options.width)
    network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]  # twice as fast on processors
    seen = _fit(network, examples, frequency, epochs, seconds, options.seed, quiet)
    split = next(name for name in ("test", "val", "train") if records[name])
    found = _score(network.eval(), _Examples(section, records[split], side, known), quiet)
    facts = {
        "palette": known.to_dict(),
        "size": [section.crop_size, section.crop_size] if section.load_size is not None else None,
        "photos": "AB"[1 - side],
        "data": str(where),
        "images": seen,
        "seed": options.seed,
        "split": split,
        "n": len(records[split]),
        **found,
    }
    save_segmenter(file, network, facts)
    if split == "train" and not quiet:
        say("note: there is neither a test nor a val split: these scores are of photos that it was trained on, and too good")
    return {"file": str(file), "sha256": sha256_of(file), **facts, "seconds": round(time.monotonic() - started, 2)}


class _Examples:
    """Photos and their class maps, read once and kept as far as memory is set aside for them."""

    def __init__(self, section: Data, records: Sequence[Record], side: int, palette: Palette) -> None:
        self.records, self.side, self.palette, self.alpha = records, side, palette, section.alpha
        self.geometry = Geometry(
            section.load_size,
            section.crop_size,
            section.flip,
            "bicubic",
            "nearest",
            fit=section.fit,
            augmentation=augmentation_of(section),
        )
        self.margin = max(1, section.crop_size // 16)
        self.range = section.source_range if (side == 1) == (section.direction == "AtoB") else section.target_range
        key = "source" if (side == 1) == (section.direction == "AtoB") else "target"
        self.watch = PictureWatch(Watch("photos", self.range, train_flag(key)))
        self.palettes: dict[str, tuple[tuple[int, bytes], ...]] = {}
        self.cache = Cache(self.geometry, int(section.cache_gb * 2**30))

    def __len__(self) -> int:
        return len(self.records)

    def read(self, index: int) -> tuple[Array, Array]:
        """The photo ``[H, W, 3]`` and its class map ``[H', W', 1]``, as files hold them."""
        record = self.records[index]
        pictures, facts = record.examine(self.alpha)
        pictures = tuple(without_no_data(array, of_one.no_data)[0] for array, of_one in zip(pictures, facts))  # type: ignore[assignment]
        if problem := sizes_apart(record, pictures, facts, self.geometry):
            raise UserError(problem)
        photo, labels = (record.a, record.b)[1 - self.side], (record.a, record.b)[self.side]
        self.watch.look(photo.label, pictures[1 - self.side], facts[1 - self.side])
        self.palettes[labels.label] = facts[self.side].palette
        try:
            classes = self.palette.decode(pictures[self.side])[..., None]
            return pixels.convert_channels(pictures[1 - self.side], 3), classes
        except UserError as error:
            raise UserError(f"{photo.label} with the labels {labels.label}: {error}") from error

    def prepared(self, index: int) -> tuple[Array, Array]:
        """Both resized for training; what was padded has no label."""
        cached = self.cache.get(index)
        photo, classes = found = self.cache.put(index, *self.read(index)) if cached is None else cached
        return photo, classes if found.mask is None else np.where(found.mask, classes, IGNORE)

    def tensor(self, photo: Array, index: int) -> Tensor:
        """``[3, H, W]`` in [-1, 1]."""
        return pixels.to_tensor(photo, self.range, self.records[index].name)

    def jittered(self, seed: int, epoch: int, index: int) -> tuple[Tensor, Tensor]:
        """A photo and its classes, shifted and mirrored by ``(seed, epoch, index)``; what the shift brings in has no label."""
        photo, classes = self.prepared(index)
        around = ((self.margin, self.margin), (self.margin, self.margin), (0, 0))
        photo, classes = np.pad(photo, around, mode="reflect"), np.pad(classes, around, constant_values=IGNORE)
        rng, more, colours = (np.random.default_rng([seed, epoch, index, *stream]) for stream in ((), (3,), (5,)))
        crop = self.geometry.draw(rng, classes.shape[0], classes.shape[1], more)
        chosen = np.ascontiguousarray(self.geometry.apply(classes, crop, "nearest")[..., 0])
        seen, strength = self.tensor(self.geometry.apply(photo, crop, "bicubic"), index), self.geometry.augmentation.colour_jitter
        return jittered(seen, strength, colours, LinearValues(3)) if strength else seen, torch.from_numpy(chosen).long()

    def frequencies(self, quiet: bool) -> Tensor:
        """The share of each class, ``[K]``, over all that is labelled."""
        counts = np.zeros(256, np.int64)
        for index in track(range(len(self)), len(self), "read data", "pair", quiet=quiet):
            counts += np.bincount(self.prepared(index)[1].reshape(-1), minlength=256)
        labels = list(self.palettes.items())
        if differing := differing_palettes(labels):
            lines = said_once((reason, [labels[at][0]]) for at, reason in differing.items())
            raise UserError(f"{len(differing):,} of {counted(len(labels), 'label map')} cannot be used:", *(f"  {line}" for line in lines))
        known = torch.from_numpy(counts[: len(self.palette.classes)]).double()
        if not known.any():
            raise UserError(f"no pixel of the label maps has a class of the palette {self.palette.name}: choose another palette")
        return known / known.sum()


def _fit(network: SegmentationNetwork, examples: _Examples, frequency: Tensor, epochs: int, seconds: float, seed: int, quiet: bool) -> int:
    """Train; the number of images seen."""
    network.train()
    device = network.head.weight.device
    optimizer = torch.optim.Adam(network.parameters(), LEARNING_RATE)
    weight = frequency.clamp_min(1e-4) ** -RARITY
    weight = (weight / (weight * frequency).sum()).float().to(device)
    batch = min(BATCH, len(examples))
    steps, total = len(examples) // batch, epochs * (len(examples) // batch) * batch
    seen, started = 0, time.monotonic()
    limit = f"  (at most {duration(seconds)})" if math.isfinite(seconds) else ""
    with Progress(total, "train segmenter", quiet=quiet) as progress:
        for epoch in range(epochs):
            order = np.random.default_rng([seed, epoch]).permutation(len(examples)).tolist()
            for step in range(steps):
                done = max(seen / total, (time.monotonic() - started) / seconds)
                if done >= 1:
                    return seen
                for group in optimizer.param_groups:
                    group["lr"] = LEARNING_RATE * (1 + math.cos(math.pi * done)) / 2
                pairs = [examples.jittered(seed, epoch, index) for index in order[step * batch : (step + 1) * batch]]
                photos = torch.stack([photo for photo, _ in pairs]).to(device, memory_format=torch.channels_last)
                classes = torch.stack([labels for _, labels in pairs]).to(device)
                loss = _cross_entropy(network(photos), classes, weight)
                optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
                seen += batch
                progress.words(after=f"{limit}  loss {loss.item():.3f}")
                progress.advance(batch)
            if not math.isfinite(loss.item()):
                raise RunFailure("the training of the segmenter diverged: look at the photos and labels with  transfigure data check")
    return seen


def _cross_entropy(logits: Tensor, classes: Tensor, weight: Tensor) -> Tensor:
    """The weighted mean over labelled pixels; 0 where none is."""
    each = F.cross_entropy(logits, classes, weight, ignore_index=IGNORE, reduction="sum")
    labelled = classes[classes != IGNORE]
    return each / weight[labelled].sum().clamp_min(1e-6)


def _score(network: SegmentationNetwork, examples: _Examples, quiet: bool) -> dict[str, float]:
    """The FCN-scores of real photos, against labels at their own size."""
    classes = len(examples.palette.classes)
    total = torch.zeros(classes, classes, dtype=torch.int64)
    geometry = examples.geometry.evaluation()
    for index in track(range(len(examples)), len(examples), "score segmenter", quiet=quiet):
        photo, truth = examples.read(index)
        shown, reduced = geometry.prepare(photo, truth)
        crop = geometry.draw(None, *shown.shape[:2])
        seen = examples.tensor(geometry.apply(shown, crop), index)[None].to(network.head.weight.device)
        with torch.no_grad():
            classified = network(seen)[0].argmax(0).cpu()
        if geometry.load_size is None or geometry.keeps_proportions:
            mask = Counts().prepared(geometry, photo.shape, truth.shape)
            truth = geometry.apply(reduced if mask is None else np.where(mask, reduced, IGNORE), crop)
        found = pixels.resize(classified[..., None].numpy(), truth.shape[0], truth.shape[1], "nearest")
        total += confusion(torch.from_numpy(np.ascontiguousarray(truth)), torch.from_numpy(found), classes)
    return {name: round(value, 6) for name, value in scores(total).items()}


def _section(data: str | Path | Data, size: int | None, overrides: Mapping[str, Any]) -> Data:
    """The data section, resolved, its squares of the size that is wanted."""
    sized = isinstance(data, Data) or {"data.crop_size", "data.evaluation_size"} & overrides.keys()
    if not isinstance(data, Data):
        overrides = {**data_at(data, overrides.get("data.kind")), **overrides}
        data = Data()
    data = data.replaced(**{key.removeprefix("data."): value for key, value in overrides.items()})
    side = size if size is not None else data.seen_size if sized else 128
    if side < 16:
        raise UserError(f"the segmenter's size is {side}: it needs squares of 16 pixels or more")
    return resolve_data(data.replaced(crop_size=side, evaluation_size=None, load_size=None if data.load_size is None else side))


def _labels_and_palette(section: Data, records: Sequence[Record], options: SegmenterOptions) -> tuple[int, Palette]:
    """Which side holds the labels, 0 for A and 1 for B, and their palette."""
    known = load_palette(options.palette) if isinstance(options.palette, str) else options.palette
    side = None if options.photos is None else "BA".index(options.photos)
    if section.kind == "synthetic":
        renderings = [section.options["source"], section.options["target"]]
        if "labels" not in renderings:
            raise UserError(
                f"the synthetic pairs are {' and '.join(renderings)}: a segmenter needs labels as one of them, so set --data.source labels"
            )
        side = renderings.index("labels") if side is None else side
        known = load_palette("synthetic") if known is None and renderings[side] == "labels" else known
    if side is not None and known is not None:
        return side, known
    chosen = records[:: max(1, -(-len(records) // _SAMPLE))]
    pictures = list(zip(*(record.load(section.alpha) for record in chosen)))
    name = Path(section.path).name if section.path else "learnt"
    found = {index: learnt for index in ((0, 1) if side is None else (side,)) for learnt in _learnt(pictures[index], name)}
    if len(found) == 1:
        ((side, learnt),) = found.items()
        return side, learnt if known is None else known
    indices = {index: numbers for index in ((0, 1) if side is None else (side,)) if (numbers := _indices(pictures[index]))}
    if not found and len(indices) == 1:
        ((at, numbers),) = indices.items()
        if known is not None and known.numbers is not None:
            return at, known
        names = [f"class {number}" for number in numbers[:2]]
        example = {"classes": dict.fromkeys(names), "numbers": {str(number): name for number, name in zip(numbers, names)}}
        raise UserError(
            f"side {'AB'[at]} of {section.path} holds class indices ({_few(list(map(str, numbers)))}) and no colours: name the classes "
            f"with --palette FILE, which holds them as {json.dumps(example)}"
        )
    if side is not None:
        raise UserError(
            f"side {'AB'[side]} of {section.path}, where the labels should be, has no small set of flat colours: choose the other side "
            f"with --photos {'AB'[side]}, or give --palette"
        )
    which = "both sides look like label maps" if found else "neither side looks like label maps"
    raise UserError(
        f"{section.path}: {which} (few, flat colours), so say where the photos are, with --photos A or --photos B, and give --palette"
    )


def _learnt(pictures: Sequence[Array], name: str) -> Iterator[Palette]:
    """The palette of these pictures, or nothing."""
    try:
        yield learn_palette(pictures, name)
    except UserError:
        return


def _indices(pictures: Sequence[Array]) -> list[int]:
    """The values of one-channel pictures that hold few, close to each other, as indices of classes are; empty for other pictures."""
    if any(picture.shape[2] != 1 or picture.dtype != np.uint8 for picture in pictures):
        return []
    values: list[int] = np.unique(np.concatenate([np.unique(picture) for picture in pictures])).tolist()
    values = [value for value in values if value != IGNORE]  # which many data sets write where there is no label
    return values if 2 <= len(values) <= _MOST_INDICES and values[-1] - values[0] < 2 * _MOST_INDICES else []


def _few(names: Sequence[str], most: int = 16) -> str:
    return ", ".join(names[:most]) + (" ..." if len(names) > most else "")
