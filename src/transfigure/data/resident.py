"""Pairs that stay on the device: uploaded once as their files' bytes, cut out, mirrored and scaled there.

A GPU trains faster than a CPU turns bytes into floats. Prepared pairs of one size and type fit into one tensor, 0.5 MB for a pair of 286
pixels in 8 bits; a batch is then one indexing operation on the device, and the host sends some thousand integers. The numbers are those of
:class:`.dataset.PairDataset`, bit for bit: the same pair, crop and mirror, and the same arithmetic.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from . import pixels
from .batch import Batch, collate
from .dataset import Arrays, Index, PairDataset
from .pixels import Array
from .transforms import Crop
from .value_range import limits

_STORED = {
    "uint8": torch.uint8,
    "int8": torch.int8,
    "uint16": torch.int16,
    "int16": torch.int16,
    "float16": torch.float16,
    "float32": torch.float32,
}
"""How a type lies on the device: 16 bits as signed ones, which every operation knows; see :func:`_floats`. Types that are converted in 64
bits are not kept there.
"""


def obstacle(dataset: PairDataset) -> str:
    """Why the pairs of a data set cannot be kept on a device and be the same there; empty if they can."""
    geometry = dataset.geometry
    if not all(encoding.is_linear for encoding in dataset.encodings):
        return "label maps and Lab are made of them on the CPU"
    if geometry.augmentation.warps or geometry.augmentation.colour_jitter:
        return "they are turned, scaled, bent or recoloured on the CPU"
    if geometry.load_size is not None and geometry.fit in ("crop", "pad"):
        return f"they may differ in size (--data.fit {geometry.fit})"
    if geometry.load_size is None or dataset.usual is None or any(dtype not in _STORED for dtype, _ in dataset.usual):
        return "they differ in size or type (--data.load_size gives them one size)"
    return ""


def bytes_of(dataset: PairDataset) -> int | None:
    """What all pairs of a data set take on a device; None where there is an :func:`obstacle`."""
    side, kinds = dataset.geometry.load_size, dataset.usual
    if obstacle(dataset) or side is None or kinds is None:
        return None
    each = sum(side * side * channels * _STORED[dtype].itemsize for (dtype, _), channels in zip(kinds, dataset.channels))
    return each * len(dataset)


class ResidentLoader:
    """Batches as :class:`.dataset.Loader` gives them, made on the device from pairs that were uploaded when they were first asked for.

    Args:
        dataset: pairs whose :func:`bytes_of` is known.
        batch_size: pairs in a batch.
        device: where they stay.
    """

    def __init__(self, dataset: PairDataset, batch_size: int, device: torch.device) -> None:
        side, kinds = dataset.geometry.load_size, dataset.usual
        if side is None or kinds is None:
            raise ValueError("pairs of several sizes cannot be kept on a device")
        self.dataset, self.batch_size, self.device = dataset, batch_size, device
        self._dtypes = kinds[0][0], kinds[1][0]
        self._pictures = [
            torch.empty(len(dataset), channels, side, side, dtype=_STORED[dtype], device=device)
            for dtype, channels in zip(self._dtypes, dataset.channels)
        ]
        self._channels = [torch.arange(channels, device=device)[:, None, None] for channels in dataset.channels]
        # A divisor that is a number of the host's is turned into a factor by CUDA, which rounds otherwise.
        found = [limits(dtype, given) for dtype, given in zip(self._dtypes, dataset.ranges)]
        self._scales = [(low, torch.tensor((high - low) / 2, dtype=torch.float32, device=device)) for low, high in found]
        self._here = bytearray(len(dataset))
        self._masks: Tensor | None = None  # of all pairs, from the first on of which not everything counts
        self._masked: set[int] = set()

    def epoch(self, sampler: Iterable[Index]) -> Iterator[Batch]:
        """The batches of one epoch (or of what is left of it), in the sampler's order, on the device.

        Raises:
            UserError: a pair's files cannot be used.
        """
        keys = iter(sampler)
        while batch := list(itertools.islice(keys, self.batch_size)):
            yield self._batch(batch)

    def close(self) -> None:
        """Nothing is open."""

    def _batch(self, keys: Sequence[Index]) -> Batch:
        data = self.dataset
        side = self._pictures[0].shape[-1]
        sources, targets, crops = [], [], []
        for epoch, index in keys:
            used = self._upload(index)
            sources.append(used)
            targets.append(used if data.geometry.paired else self._upload(data.partner(epoch, index)))
            crops.append(data.crops(epoch, index, (side, side), (side, side)))
        if -1 in sources or -1 in targets:
            return collate([data[key] for key in keys]).to(self.device)
        names = tuple(data.records[index].name for index in sources)
        source_places = self._sent(sources, [crop for crop, _ in crops])
        target_places = source_places if data.geometry.paired else self._sent(targets, [crop for _, crop in crops])
        return Batch(self._cut(0, source_places), self._cut(1, target_places), names, mask=self._mask(sources, target_places))

    def _upload(self, index: int) -> int:
        """Which pair stands in this place, uploaded; -1 if it is not as the others, whatever was said of it."""
        if self._here[index] and index not in self.dataset.unusable:
            return index
        used, arrays = self.dataset.usable(index)
        if not self._here[used]:
            if not self._fits(arrays):
                return -1
            for picture, array, channels in zip(self._pictures, arrays, self.dataset.channels):
                picture[used].copy_(_bytes(pixels.convert_channels(array, channels)))
            if arrays.mask is not None and self.dataset.geometry.paired:
                if self._masks is None:
                    self._masks = torch.ones(len(self.dataset), *arrays.mask.shape[:2], dtype=torch.uint8, device=self.device)
                self._masks[used].copy_(_bytes(arrays.mask)[0])
                self._masked.add(used)
            self._here[used] = True
        return used

    def _fits(self, arrays: Arrays) -> bool:
        side = self._pictures[0].shape[-1]
        return all(array.shape[:2] == (side, side) and array.dtype.name == dtype for array, dtype in zip(arrays, self._dtypes))

    def _mask(self, indices: Sequence[int], places: Tensor) -> Tensor | None:
        """What counts in a batch; None if everything does."""
        if self._masks is None or self._masked.isdisjoint(indices):
            return None
        size = self.dataset.geometry.crop_size
        number, rows, columns = places[:, 0, None, None, None], places[:, None, 1 : 1 + size, None], places[:, None, None, 1 + size :]
        return self._masks[number, rows, columns] != 0

    def _sent(self, indices: Sequence[int], crops: Sequence[Crop]) -> Tensor:
        """For each picture of a batch its number, its rows and its columns, on the device: ``[N, 1 + 2 * crop_size]``."""
        size = self.dataset.geometry.crop_size
        places = np.empty((len(indices), 1 + 2 * size), np.int64)
        places[:, 0] = indices
        for place, crop in zip(places, crops):
            rows = np.arange(crop.top, crop.top + size)
            place[1 : 1 + size] = rows[::-1] if crop.upside_down else rows
            columns = np.arange(crop.left, crop.left + size)
            place[1 + size :] = columns[::-1] if crop.flipped else columns
        sent = torch.from_numpy(places)
        return sent.pin_memory().to(self.device, non_blocking=True) if self.device.type == "cuda" else sent.to(self.device)

    def _cut(self, side: int, places: Tensor) -> Tensor:
        """One side of a batch as the networks see it: the arithmetic of :func:`.pixels.to_tensor`."""
        size = self.dataset.geometry.crop_size
        number, rows, columns = places[:, 0, None, None, None], places[:, None, 1 : 1 + size, None], places[:, None, None, 1 + size :]
        values = _floats(self._pictures[side][number, self._channels[side], rows, columns], self._dtypes[side])
        low, half = self._scales[side]
        values = values if low == 0 else values.sub_(low)
        return values.div_(half).sub_(1).clamp_(-1, 1)


def _bytes(array: Array) -> Tensor:
    """``[H, W, C]`` as ``[C, H, W]`` in the type that it has on the device."""
    planar = np.ascontiguousarray(array.transpose(2, 0, 1))
    return torch.from_numpy(planar.view(np.int16) if planar.dtype == np.uint16 else planar)


def _floats(values: Tensor, dtype: str) -> Tensor:
    return values.to(torch.int32).bitwise_and_(0xFFFF).to(torch.float32) if dtype == "uint16" else values.to(torch.float32)
