"""From records to batches: decode once, jitter anew each epoch, in an order that two integers describe.

Nothing here keeps a random state. The order of an epoch depends on ``(seed, epoch)`` and the jitter of a pair on
``(seed, epoch, index)``, so workers, ranks, and stopping and resuming change no picture.
"""

from __future__ import annotations

import contextlib
import copy
import hashlib
import itertools
import signal
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler, get_worker_info
from torch.utils.data.dataloader import _MultiProcessingDataLoaderIter

from ..errors import RunFailure, TransfigureError, UserError
from ..processes import forking, isolated_children, leave_garbage
from ..progress import say
from ..wording import counted
from .augmentation import jittered
from .batch import Batch, Pair, collate
from .check.findings import Kind, PairLook, PairWatch, sizes_apart, too_small, unfit
from .encodings.base import Encoding, LinearValues
from .file_facts import NO_FACTS, Look, PictureWatch
from .images import Alpha
from .masks import Counts, read_counts
from .pairs import Direction, FilePicture, Record, directed
from .pixels import Array
from .prepared import PreparedStore, amount, file_key, preparation
from .transforms import Crop, Geometry
from .value_range import Range, outside

Arrays = tuple[Array, Array]
Looks = tuple[list[list[Look]], list[PairLook]]
"""What the watches over a part of a data set have seen, of sources and of targets, and of pairs."""
Index = tuple[int, int]
"""Epoch and index of a pair."""
_NO_FILES = NO_FACTS, NO_FACTS
_PARTNERS = 2
"""Sets the random stream of an epoch's partners apart from its order (1) and from any pair's jitter (0)."""
_WARPS, _COLOURS = (3, 4), (5, 6)
"""The same of what else is drawn for a pair: of sources, and of targets that are no partners of theirs."""


class Prepared(tuple[Array, Array]):
    """A prepared pair, source and target ``[H, W, C]``.

    Attributes:
        mask: what counts, uint8 ``[H, W, 1]``, 1 counts; None if everything does.
    """

    mask: Array | None

    def __new__(cls, source: Array, target: Array, mask: Array | None = None) -> Prepared:
        """Both pictures, and the mask beside them."""
        made = super().__new__(cls, (source, target))
        made.mask = mask
        return made

    @property
    def size(self) -> int:
        """Bytes of all three."""
        return sum(array.nbytes for array in self) + (0 if self.mask is None else self.mask.nbytes)


class Cache:
    """Prepared pictures in their own type (uint8, uint16), up to a number of bytes; what does not fit is decoded again each time.

    They are kept in the store on disk, where there is one. In memory are kept those that it cannot keep: what is not read from files, what
    changed just before the reading began, and all if the place cannot be used.

    Args:
        geometry: what :meth:`put` prepares with. Training and evaluation prepare differently and need a cache each.
        max_bytes: the budget in memory, 0 for no cache; with worker processes each has its share of it.
        store: what is shared with other processes and later runs, if anything; several caches may share it.
        records: the pairs, sources first: needed for the store only.
        alpha: how they are read.
        quiet: nothing is said.
        ranges: of sources and targets: what is black, which stands where there is no data.
    """

    def __init__(
        self,
        geometry: Geometry,
        max_bytes: int = 2 * 2**30,
        store: PreparedStore | None = None,
        records: Sequence[Record] = (),
        alpha: Alpha = "refuse",
        quiet: bool = False,
        ranges: tuple[Range | None, Range | None] = (None, None),
    ) -> None:
        self.ranges = ranges
        self.geometry = geometry
        self.max_bytes = max_bytes
        self.store, self.records, self.alpha, self.quiet = store, records, alpha, quiet
        self.bytes = 0
        self.full = False
        self._arrays: dict[int, Prepared] = {}
        self._keys: dict[int, bytes | None] = {}
        self._opened = time.time()

    def __len__(self) -> int:
        """Pairs in memory."""
        return len(self._arrays)

    def __getstate__(self) -> dict[str, Any]:
        """A worker that is spawned starts empty: sending it gigabytes takes longer than decoding."""
        return {**self.__dict__, "_arrays": {}, "bytes": 0, "full": False}

    def get(self, index: int) -> Prepared | None:
        """The prepared pair, if it is kept."""
        arrays = self._arrays.get(index)
        if arrays is None and self.store is not None and (key := self.key(index)) is not None:
            return self._stored(self.store, key)
        return arrays

    def _stored(self, store: PreparedStore, key: bytes) -> Prepared | None:
        """A pair that the store keeps: by itself, or with its mask as another entry."""
        if (plain := store.get(key)) is not None:
            return Prepared(*plain)
        pair, mask = (store.get(one) for one in self._masked_keys(key))
        return None if pair is None or mask is None else Prepared(*pair, mask[0])

    def _masked_keys(self, key: bytes) -> tuple[bytes, bytes]:
        """What a pair of which not everything counts, and its mask, are known by; what is black is part of its pixels."""
        return tuple(hashlib.blake2b(key + repr((what, self.ranges)).encode(), digest_size=16).digest() for what in ("pair", "mask"))  # type: ignore[return-value]

    def all_keys(self) -> Iterator[bytes | None]:
        """All that the pairs may be known by in the store."""
        for index in range(len(self.records)):
            if (key := self.key(index)) is not None:
                yield from (key, *self._masked_keys(key))

    def key(self, index: int) -> bytes | None:
        """What a pair is known by in the store, as its files were when it was first asked for; None if it is not to be kept there."""
        if index not in self._keys:
            self._keys[index] = self._key_now(index)
        return self._keys[index]

    def _key_now(self, index: int) -> bytes | None:
        pictures = self.records[index].a, self.records[index].b
        if not all(isinstance(picture, FilePicture) for picture in pictures):
            return None
        files = [one for one in pictures if isinstance(one, FilePicture)]
        how: list[tuple[object, ...]] = [
            (
                len(one.files),
                one.half,
                one.orientation,
                one.pages,
                one.no_data,
                *(["index"] if one.palette == "index" else []),
                *_region(one),
            )
            for one in files
        ]
        if (mask := self.records[index].mask) is not None:
            files.append(mask)
            how.append(("mask", mask.orientation, mask.pages, *_region(mask)))
        return file_key(itertools.chain(*(one.files for one in files)), *how, self.alpha, preparation(self.geometry), before=self._opened)

    def keep(self, indices: Sequence[int], records: Sequence[Record]) -> None:
        """Forget all but these, which become 0, 1, 2, ... in this order.

        Args:
            indices: of the pairs that stay as they are.
            records: all pairs from now on, sources first; they may be others.
        """
        self._arrays = {new: self._arrays[old] for new, old in enumerate(indices) if old in self._arrays}
        self._keys = {new: self._keys[old] for new, old in enumerate(indices) if old in self._keys}
        self.records = records
        self.bytes = sum(arrays.size for arrays in self._arrays.values())
        self.full = False

    def put(self, index: int, source: Array, target: Array, counts: Counts | None = None) -> Prepared:
        """Prepare a decoded pair, keep it if it fits, and return it.

        Args:
            index: which record it is.
            source: ``[H, W, C]`` as decoded, with black where nothing is.
            target: ``[H, W, C']`` as decoded, the same.
            counts: what counts in them; None if everything does.
        """
        key = None if self.store is None else self.key(index)
        if self.store is not None and key is not None and (kept := self._stored(self.store, key)) is not None:
            return kept
        prepared = prepare(self.geometry, source, target, counts)
        size = prepared.size
        worker = get_worker_info()
        if self.store is not None and key is not None and key == self._key_now(index):
            if self._store(self.store, key, prepared):
                return prepared
            if self.store.is_full:
                self._say_full(len(self.store), self.store.size)
                return prepared
        if self.bytes + size <= self.max_bytes // (worker.num_workers if worker else 1):
            prepared = Prepared(_planar(prepared[0]), _planar(prepared[1]), prepared.mask)
            self.bytes += size * (index not in self._arrays)
            self._arrays[index] = prepared
        elif self.max_bytes > 0:
            self._say_full(len(self), self.bytes)
        return prepared

    def _store(self, store: PreparedStore, key: bytes, prepared: Prepared) -> bool:
        """Keep a pair on disk, with its mask; whether it is kept."""
        if prepared.mask is None:
            return store.put(key, *prepared)
        pair, mask = self._masked_keys(key)
        return store.put(mask, prepared.mask, prepared.mask[:1, :1]) and store.put(pair, *prepared)

    def _say_full(self, pairs: int, size: int) -> None:
        worker = get_worker_info()
        if not self.full and not self.quiet and (worker is None or worker.id == 0):
            say(f"note: the picture cache is full after {counted(pairs, 'pair')} ({amount(size)}): the others are decoded in every epoch")
        self.full = True


def prepare(geometry: Geometry, source: Array, target: Array, counts: Counts | None = None) -> Prepared:
    """Both pictures of a pair in their frames, and its mask with them; what was padded does not count."""
    return Prepared(*geometry.prepare(source, target), (counts or Counts()).prepared(geometry, source.shape, target.shape))


def _region(picture: FilePicture) -> tuple[object, ...]:
    """What a key says of a picture's region: nothing of a whole one, whose key stays what it was."""
    return () if picture.region is None else (("region", *picture.region),)


def _planar(array: Array) -> Array:
    """The same ``[H, W, C]`` in memory that lies channel by channel, as tensors do: three times faster to turn into one.

    It is a copy, so that a half does not keep the whole decoded file alive.
    """
    planar: Array = array.transpose(2, 0, 1).copy().transpose(1, 2, 0)
    return planar


@dataclass(frozen=True)
class PairFormat:
    """How the files of a pair become tensors.

    Attributes:
        direction: ``AtoB`` makes A the source, ``BtoA`` makes B the source.
        source_channels: channels of every source's file; grey is repeated and RGB reduced to fit.
        target_channels: channels of every target's file.
        source_range: the values that become -1 and 1; None for the full range of the file's type.
        target_range: the same for targets.
        alpha: what to do with transparency, as in :func:`images.read`.
        dtypes: the types that sources and targets have, where others are refused; None where nobody has asked.
        encodings: of sources and of targets; None is values in these channels and ranges.
    """

    direction: Direction
    source_channels: int
    target_channels: int
    source_range: tuple[float, float] | None = None
    target_range: tuple[float, float] | None = None
    alpha: Alpha = "refuse"
    dtypes: tuple[str, str] | None = None
    encodings: tuple[Encoding, Encoding] | None = None


class PairDataset(Dataset[Pair]):
    """Pairs as tensors, indexed by ``(epoch, index)``.

    Args:
        records: where the pictures are; not decoded before they are asked for.
        geometry: how training pairs are resized, cropped and mirrored; evaluation uses ``geometry.evaluation()``. If it is not
            ``paired``, a source in training is given another record's target in every epoch, cropped and mirrored by itself.
        format: how files become tensors.
        seed: of the jitter.
        training: jitter; else the deterministic evaluation geometry, where the epoch has no effect and a plain index will do.
        cache: of prepared pictures, perhaps one that is already filled, by :func:`.findings.inspect`; it must have been made with the same
            geometry and direction. None is an empty one of 2 GiB.
        replaces: in the place of a pair that turns out to be of no use stands the next one that is of use. Which that is depends on the
            data alone, so that it does not matter when it turns out.

    Attributes:
        watches: over sources and targets, while they are read, if somebody wants to know what is wrong with them; None if not.
        together: the same over pairs.
        unusable: the pairs that have turned out to be of no use, and why, where they are replaced.
        sizes: height and width of each source as it was read last, by the pair's name, if somebody wants to know; None if not.

    Raises:
        ValueError: the cache has another geometry.
    """

    def __init__(
        self,
        records: Sequence[Record],
        geometry: Geometry,
        format: PairFormat,
        *,
        seed: int = 0,
        training: bool = True,
        cache: Cache | None = None,
        replaces: bool = False,
    ) -> None:
        self.records = directed(records, format.direction)
        self.replaces = replaces
        self.unusable: dict[int, str] = {}
        self.usual: tuple[Kind, Kind] | None = None
        if format.dtypes is not None:
            self.usual = (format.dtypes[0], format.source_channels), (format.dtypes[1], format.target_channels)
        self.geometry = geometry if training else geometry.evaluation()
        self.alpha = format.alpha
        self.channels = format.source_channels, format.target_channels
        self.ranges = format.source_range, format.target_range
        self.encodings: tuple[Encoding, Encoding] = format.encodings or (
            LinearValues(format.source_channels, value_range=format.source_range),
            LinearValues(format.target_channels, value_range=format.target_range),
        )
        self.seed = seed
        self.training = training
        self.cache = cache if cache is not None else Cache(self.geometry)
        self._partners: tuple[int, Array] | None = None
        self.watches: tuple[PictureWatch, PictureWatch] | None = None
        self.together: PairWatch | None = None
        self.sizes: dict[str, tuple[int, int]] | None = None
        if self.cache.geometry != self.geometry:
            raise ValueError(f"the cache was prepared with {self.cache.geometry}, this data set needs {self.geometry}")

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, key: Index | int) -> Pair:
        """The pair ``(epoch, index)``; tensors are ``[C, crop_size, crop_size]`` in [-1, 1].

        Raises:
            UserError: its files cannot be used.
            TypeError: a training pair is asked for without its epoch.
        """
        if isinstance(key, tuple):
            epoch, index = key
        elif self.training:
            raise TypeError("a training pair is jittered by its epoch: index it with (epoch, index)")
        else:
            epoch, index = 0, int(key)
        used, prepared = self.usable(index)
        if self.training and not self.geometry.paired:
            prepared = Prepared(prepared[0], self.usable(self.partner(epoch, index))[1][1])
        return self._tensors(epoch, index, prepared, used)

    def usable(self, index: int) -> tuple[int, Prepared]:
        """The prepared pair of this place, or of the next one that is of use; and which it is."""
        if not self.replaces:
            return index, self._prepared(index)
        for used in itertools.chain(range(index, len(self.records)), range(index)):
            if used not in self.unusable:
                try:
                    return used, self._prepared(used)
                except UserError as error:
                    self.unusable[used] = str(error)
        raise UserError(f"none of the {len(self.records):,} pairs can be used any more, such as {self.unusable[index]}")

    def find_unusable(self, index: int) -> None:
        """Find out, and keep in :attr:`unusable`, why the pair of this place is replaced."""
        with contextlib.suppress(UserError):
            self.usable(index)

    def _prepared(self, index: int) -> Prepared:
        arrays = self.cache.get(index)
        if arrays is None:
            pictures, counts = self._read(index)
            return self.cache.put(index, *pictures, counts)
        if self.usual is not None and (reasons := unfit(self.records[index], arrays, _NO_FILES, self.usual)):
            raise UserError(reasons[0])
        return arrays

    def _loaded(self, index: int) -> Arrays:
        return self._read(index)[0]

    def _read(self, index: int) -> tuple[Arrays, Counts | None]:
        """A pair as its files hold it, with black where nothing is, and what counts."""
        record = self.records[index]
        arrays, facts = record.examine(self.alpha)
        if problem := sizes_apart(record, arrays, facts, self.geometry):
            raise UserError(problem)
        if self.usual is not None:
            for picture, array, one, given in zip((record.a, record.b), arrays, facts, self.ranges):
                if reason := too_small(picture, array):
                    raise UserError(reason)
                if reason := outside(array, given, one.no_data):
                    raise UserError(f"{picture.label} {reason}: give its range, or leave this file out")
            if reasons := unfit(record, arrays, facts, self.usual):
                raise UserError(reasons[0])
        for encoding, picture, one in zip(self.encodings, (record.a, record.b), facts):
            encoding.check(picture.label, one)
        for watch, encoding, picture, array, one in zip(self.watches or (), self.encodings, (record.a, record.b), arrays, facts):
            if encoding.rule is None:  # the numbers of classes are neither dark nor bright
                watch.look(picture.label, array, one)
        if self.together is not None:
            self.together.look(record, arrays, facts)
        if self.sizes is not None:
            self.sizes[record.name] = arrays[0].shape[:2]
        return read_counts(record, arrays, facts, self.ranges)

    def part(self, records: Sequence[Record]) -> PairDataset:
        """The same of some of its records, in their order, watched for :meth:`take_in` where these are watched; nothing of it is cached."""
        found = copy.copy(self)
        found.records, found.unusable, found._partners = list(records), {}, None
        found.cache = Cache(self.cache.geometry, 0)
        found.watches = None if self.watches is None else (self.watches[0].of_a_part(), self.watches[1].of_a_part())
        found.together = None if self.together is None else self.together.of_a_part()
        found.sizes = {}
        return found

    def looks(self) -> Looks:
        """What was seen of a part."""
        return [watch.looks or [] for watch in self.watches or ()], [] if self.together is None else self.together.looks or []

    def take_in(self, looks: Looks) -> None:
        """Take in what was seen of a part, for :meth:`notes`."""
        of_pictures, of_pairs = looks
        for watch, seen in zip(self.watches or (), of_pictures):
            for one in seen:
                watch.take_in(one)
        if self.together is not None:
            for pair in of_pairs:
                self.together.take_in(pair)

    def notes(self) -> list[str]:
        """What looks wrong with the pictures read so far, where they are watched."""
        notes = [] if self.together is None else self.together.notes()
        return [*notes, *(note for watch in self.watches or () for note in watch.notes())]

    def partner(self, epoch: int, index: int) -> int:
        """Whose target this source is given in this epoch: a permutation of all, so that every target is seen equally often."""
        if self._partners is None or self._partners[0] != epoch:
            order = np.random.default_rng([self.seed, epoch, 0, _PARTNERS]).permutation(len(self.records))
            self._partners = epoch, order
        return int(self._partners[1][index])

    def with_files(self, index: int) -> tuple[Pair, Arrays]:
        """A pair without jitter, and both its pictures as their files hold them: what the tensors show, but never resized.

        Raises:
            UserError: its files cannot be used.
        """
        arrays, counts = self._read(index)
        prepared = prepare(self.geometry, *arrays, counts)
        pair = self._tensors(0, index, prepared)
        if self.geometry.load_size is not None and not self.geometry.keeps_proportions:
            return pair, arrays
        # no new colour: small ones are enlarged, and what keeps its proportions is brought to the size of the tensors
        plain = replace(self.geometry, source_rule="nearest", target_rule="nearest").prepare(*arrays)
        middle = (self.geometry.apply(array, self.geometry.draw(None, *array.shape[:2])) for array in plain)
        return pair, tuple(middle)  # type: ignore[return-value]

    def crops(self, epoch: int, index: int, source: tuple[int, int], target: tuple[int, int]) -> tuple[Crop, Crop]:
        """Where a pair is cut out in an epoch, and what else is done to it, for prepared pictures of these heights and widths."""
        moves = self.training and self.geometry.augmentation.moves
        more = [np.random.default_rng([self.seed, epoch, index, stream]) if moves else None for stream in _WARPS]
        rng = np.random.default_rng([self.seed, epoch, index]) if self.training else None
        crop = self.geometry.draw(rng, *source, more[0])
        return crop, crop if self.geometry.paired else self.geometry.draw(rng, *target, more[1])

    def _tensors(self, epoch: int, index: int, arrays: Prepared, used: int | None = None) -> Pair:
        record = self.records[index if used is None else used]
        crops = self.crops(epoch, index, arrays[0].shape[:2], arrays[1].shape[:2])
        rules = self.geometry.source_rule, self.geometry.target_rule
        source, target = (
            # Cropping in the file's own type first leaves few values to convert.
            encoding.encode(self.geometry.apply(array, crop, rule), picture.label)
            for array, crop, rule, encoding, picture in zip(arrays, crops, rules, self.encodings, (record.a, record.b))
        )
        mask = None
        if arrays.mask is not None:
            mask = torch.from_numpy(self.geometry.apply_mask(arrays.mask, crops[1]).transpose(2, 0, 1) != 0)
        source, target = self._in_other_colours(epoch, index, source, target, mask)
        return Pair(source, target, record.name, mask)

    def _in_other_colours(self, epoch: int, index: int, source: Tensor, target: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
        """A pair with the colour jitter of this epoch, if there is any."""
        wanted = self.geometry.augmentation
        if not self.training or not wanted.colour_jitter:
            return source, target
        streams = _COLOURS[0], _COLOURS[0 if self.geometry.paired else 1]
        changed = [
            jittered(image, wanted.colour_jitter, np.random.default_rng([self.seed, epoch, index, stream]), encoding, mask)
            for image, stream, encoding in zip((source, target), streams, self.encodings)
            if image is source or wanted.colour_jitter_on == "both"
        ]
        return changed[0], changed[1] if len(changed) == 2 else target


class PairSampler(Sampler[Index]):
    """The order of one epoch, from ``(seed, epoch)`` alone.

    Batch k of all ranks together is the k-th slice of one permutation, whatever the number of ranks; each rank takes every
    ``world_size``-th of it, so ranks share no pair and are equally long: no pair counts twice. What does not fill a batch of all ranks is
    left out, as it is by one process with batches of that size; if that is all there is, or if ``drop_last`` is off, the last batch is
    smaller, and only fewer than ``world_size`` pairs are left out.

    Args:
        n: number of pairs.
        batch_size: pairs in a batch of one rank.
        seed: of the order.
        epoch: which epoch, from 0.
        start_batch: how many batches of this epoch are already done.
        rank: which of the ranks this is.
        world_size: how many ranks there are.
        drop_last: leave out what does not fill a batch of all ranks (other pairs in each epoch).

    Raises:
        ValueError: fewer pairs than ranks, or a number out of its range.
    """

    _ORDER = 1  # sets the order's random stream apart from that of any pair's jitter, which has 0 here

    def __init__(
        self,
        n: int,
        batch_size: int,
        seed: int,
        epoch: int,
        *,
        start_batch: int = 0,
        rank: int = 0,
        world_size: int = 1,
        drop_last: bool = True,
    ) -> None:
        if n < world_size or batch_size < 1 or not 0 <= rank < world_size or min(seed, epoch, start_batch) < 0:
            raise ValueError(
                f"cannot sample {n} pairs in batches of {batch_size} (seed {seed}, epoch {epoch}, rank {rank} of {world_size})"
            )
        self.batch_size, self.epoch, self.start_batch = batch_size, epoch, start_batch
        order = np.random.default_rng([seed, epoch, 0, self._ORDER]).permutation(n)
        together = batch_size * world_size
        unit = together if drop_last and n >= together else world_size
        self._indices: list[int] = order[: n // unit * unit][rank::world_size].tolist()

    @property
    def batches(self) -> int:
        """Batches of the whole epoch on this rank, those already done included."""
        return -(-len(self._indices) // self.batch_size)

    def __len__(self) -> int:
        """Pairs that are still to come."""
        return max(0, len(self._indices) - self.start_batch * self.batch_size)

    def __iter__(self) -> Iterator[Index]:
        return ((self.epoch, index) for index in self._indices[self.start_batch * self.batch_size :])


class Loader:
    """Batches from a data set, in this process or prepared ahead by workers that stay alive, with their caches, between epochs.

    Args:
        dataset: the pairs.
        batch_size: pairs in a batch.
        workers: number of processes; 0 for none.
        start_method: how they are started (``fork``, ``spawn``, ``forkserver``); None for the platform's way.
    """

    def __init__(self, dataset: PairDataset, batch_size: int, workers: int = 0, start_method: str | None = None) -> None:
        self.dataset = dataset
        self._epoch_batches = _EpochBatches(batch_size)
        self._workers: DataLoader[Pair | TransfigureError] | None = None
        workers = min(workers, -(-len(dataset) // batch_size))  # more than there are batches would have nothing to do
        if workers > 0:
            self._workers = DataLoader(
                _WithErrors(dataset),
                batch_sampler=self._epoch_batches,
                num_workers=workers,
                collate_fn=_collate,
                persistent_workers=True,
                worker_init_fn=_begin_worker,
                multiprocessing_context=start_method,
                generator=torch.Generator(),  # a pool draws a seed for its workers each epoch: not from the training's random numbers
            )

    def epoch(self, sampler: Iterable[Index]) -> Iterator[Batch]:
        """The batches of one epoch (or of what is left of it), in the sampler's order. Starting another epoch ends this one.

        Raises:
            UserError: a pair's files cannot be used.
            RunFailure: a worker was ended from outside.
        """
        self._epoch_batches.begin(sampler)
        if self._workers is None:
            for keys in self._epoch_batches:
                self._epoch_batches.given.clear()
                yield collate([self.dataset[key] for key in keys])
            return
        with isolated_children(), forking():
            waiting = iter(self._workers)  # starts them, the first time
        batches = self._prepared(waiting)
        for batch in batches:
            if isinstance(batch, TransfigureError):
                break
            self._find_replaced(batch)
            yield batch
        else:
            return
        self.close()
        raise batch

    def _find_replaced(self, batch: Batch) -> None:
        """Find out here too what a worker has found to be of no use: by the name in its place."""
        for (_, index), name in zip(self._epoch_batches.given.popleft(), batch.names):
            if self.dataset.replaces and self.dataset.records[index].name != name and index not in self.dataset.unusable:
                self.dataset.find_unusable(index)

    @staticmethod
    def _prepared(batches: Iterable[Batch | TransfigureError]) -> Iterator[Batch | TransfigureError]:
        try:
            yield from batches
        except RuntimeError as error:
            if "DataLoader worker" not in str(error):
                raise
            raise RunFailure(
                "a loader process was ended from outside, perhaps for lack of (shared) memory: go on with --resume and fewer --data.workers"
            ) from error

    def close(self) -> None:
        """End the workers now; what is read afterwards is read in this process.

        They are ended by name and not with the last reference to them: an exception may hold one, and workers that take no SIGTERM would
        then keep the process from ending.
        """
        pool = None if self._workers is None else self._workers._iterator
        if isinstance(pool, _MultiProcessingDataLoaderIter):
            pool._shutdown_workers()
        self._workers = None


def _begin_worker(worker: int) -> None:
    """Leave what the training has thrown away alone, and take no signals.

    Ctrl-C, a batch system's SIGTERM and a lost terminal's SIGHUP reach every process; the training still needs its workers to come to
    a safe point.
    """
    leave_garbage()
    for name in {"SIGINT", "SIGTERM", "SIGHUP"} & set(dir(signal)):
        signal.signal(getattr(signal, name), signal.SIG_IGN)


class _WithErrors(Dataset[Pair | TransfigureError]):
    """The data set as workers see it: errors are handed over, since one raised in a worker arrives as a traceback, not a sentence."""

    def __init__(self, dataset: PairDataset) -> None:
        self.dataset = dataset

    def __getitem__(self, key: Index) -> Pair | TransfigureError:
        try:
            return self.dataset[key]
        except TransfigureError as error:
            return error


def _collate(items: list[Pair | TransfigureError]) -> Batch | TransfigureError:
    pairs: list[Pair] = []
    for item in items:
        if isinstance(item, TransfigureError):
            return item
        pairs.append(item)
    return collate(pairs)


class _EpochBatches:
    """The current epoch's sampler, in batches. The worker pool keeps this object and reads it again for each epoch.

    It knows nothing of the loader: were there a circle, the pool would be left to the garbage collector, which closes its queues
    before it can signal the workers to end, and then waits five seconds for each of them.
    """

    def __init__(self, batch_size: int) -> None:
        self.batch_size = batch_size
        self.sampler: Iterable[Index] = ()
        self.given: deque[list[Index]] = deque()

    def begin(self, sampler: Iterable[Index]) -> None:
        """The next epoch."""
        self.sampler = sampler
        self.given.clear()

    def __iter__(self) -> Iterator[list[Index]]:
        keys = iter(self.sampler)
        while batch := list(itertools.islice(keys, self.batch_size)):
            self.given.append(batch)
            yield batch


def loader(dataset: PairDataset, sampler: Iterable[Index], batch_size: int, workers: int = 0) -> Iterator[Batch]:
    """The batches of one epoch; to keep workers between epochs, hold a :class:`Loader`."""
    return Loader(dataset, batch_size, workers).epoch(sampler)
