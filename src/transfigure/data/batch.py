"""What goes through the program: a pair of images, and a batch of pairs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import torch
from torch import Tensor

T = TypeVar("T")

BAND = 1 << 22
"""Values of images, at most, that are worked on together where that takes many times their memory."""


@dataclass(frozen=True)
class Pair:
    """A source image and the target image it should become.

    Attributes:
        source: float32 ``[C, H, W]`` in [-1, 1].
        target: float32 ``[C', H, W]`` in [-1, 1], the same H and W.
        name: what a person calls this pair; unique within its split.
        mask: what counts, bool ``[1, H, W]``; None if everything does.
    """

    source: Tensor
    target: Tensor
    name: str
    mask: Tensor | None = None


@dataclass(frozen=True)
class Batch:
    """N pairs, and what the generator made of their sources. Loss terms read from it; nothing is changed in place.

    Attributes:
        source: ``[N, C, H, W]`` in [-1, 1].
        target: ``[N, C', H, W]`` in [-1, 1].
        names: N names.
        output: the generator's output, ``[N, C', H, W]`` in [-1, 1], once there is one (see :meth:`with_fake`, :attr:`fake`).
        mask: what counts, bool ``[N, 1, H, W]``; None if everything does.
    """

    source: Tensor
    target: Tensor
    names: tuple[str, ...]
    output: Tensor | None = None
    mask: Tensor | None = None

    def __len__(self) -> int:
        return self.source.shape[0]

    @property
    def fake(self) -> Tensor:
        """The generator's output, for a loss term that needs one.

        Raises:
            ValueError: the generator has not run on this batch yet.
        """
        if self.output is None:
            raise ValueError("this batch holds no generated images yet: call with_fake(G(source)) first")
        return self.output

    @property
    def generated(self) -> Tensor:
        """The name that :attr:`fake` had in version 0.1; plugins may still use it."""
        return self.fake

    def with_fake(self, fake: Tensor) -> Batch:
        """The same pairs, with the generator's output where the mask counts, see :meth:`within`."""
        return replace(self, output=self.within(fake))

    def within(self, fake: Tensor) -> Tensor:
        """A generator's output with the target's own values where the mask does not count: the one place that keeps them out.

        So no loss and no discriminator is shown what was generated there, and no gradient comes back from it.
        """
        return fake if self.mask is None else torch.where(self.mask, fake, self.target.to(fake.dtype))

    def swapped(self) -> Batch:
        """The other direction: targets as sources, and nothing generated yet."""
        return Batch(self.target, self.source, self.names, mask=self.mask)

    def split(self, size: int) -> list[Batch]:
        """The same pairs in batches of at most ``size``, in their order, without the generator's output."""
        parts = [slice(start, start + size) for start in range(0, len(self), size)]
        return [Batch(self.source[at], self.target[at], self.names[at], mask=None if self.mask is None else self.mask[at]) for at in parts]

    def to(self, device: torch.device | str) -> Batch:
        """The same pairs on another device, without the generator's output."""
        return self._each(lambda tensor: tensor.to(device, non_blocking=True))

    def pinned(self) -> Batch:
        """The same in memory from which a GPU fetches it by itself, without the generator's output."""
        return self._each(Tensor.pin_memory)

    def clone(self) -> Batch:
        """A copy, without the generator's output."""
        return self._each(Tensor.clone)

    def _each(self, call: Callable[[Tensor], Tensor]) -> Batch:
        return Batch(call(self.source), call(self.target), self.names, mask=None if self.mask is None else call(self.mask))


def collate(pairs: Sequence[Pair]) -> Batch:
    """Stack pairs of one size into a batch; it has a mask if one of them has."""
    return Batch(
        torch.stack([pair.source for pair in pairs]),
        torch.stack([pair.target for pair in pairs]),
        tuple(pair.name for pair in pairs),
        mask=stacked_masks([pair.mask for pair in pairs], pairs[0].target.shape[1:]),
    )


def stacked_masks(masks: Sequence[Tensor | None], size: Sequence[int]) -> Tensor | None:
    """``[N, 1, H, W]`` of masks ``[1, H, W]``, where None counts everywhere; None if all do."""
    if all(mask is None for mask in masks):
        return None
    return torch.stack([torch.ones(1, *size, dtype=torch.bool) if mask is None else mask for mask in masks])


def mean_within(values: Tensor, mask: Tensor | None) -> Tensor:
    """The mean of what counts, per image.

    Args:
        values: ``[N, C, H, W]``.
        mask: bool ``[N, 1, H, W]``, True counts; None if everything does.

    Returns:
        ``[N]``: over channels and pixels; 0 where nothing counts.
    """
    if mask is None:
        return values.flatten(1).mean(1)
    counted = mask.flatten(1).sum(1) * values.shape[1]
    return torch.where(mask, values, 0).flatten(1).sum(1) / counted.clamp_min(1)


def mean_of_channels(images: Tensor, mask: Tensor | None) -> Tensor:
    """The mean of each channel over the pixels that count, per image.

    Args:
        images: ``[N, C, H, W]``.
        mask: bool ``[N, 1, H, W]``, True counts; None if everything does.

    Returns:
        ``[N, C]``; 0 where nothing counts.
    """
    if mask is None:
        return images.flatten(2).mean(2)
    counted = mask.flatten(1).sum(1)[:, None]
    return torch.where(mask, images, 0).flatten(2).sum(2) / counted.clamp_min(1)


def row_bands(height: int, values_in_row: int, most: int = 0) -> list[tuple[int, int]]:
    """Stretches of rows of at most so many values each (:data:`BAND`, if it is not said); all rows are one, where they are so few."""
    rows = max(1, (most or BAND) // max(1, values_in_row))
    return [(start, min(start + rows, height)) for start in range(0, height, rows)]


def chunks(items: Iterable[T], size: int, kind: Callable[[T], object]) -> Iterator[list[T]]:
    """Neighbours of one kind (one shape, say), at most ``size`` at a time, in their order; what has the kind None comes alone.

    What comes alone is handed over before the next is asked for, so that no two such things need be in memory.
    """
    held: list[T] = []
    for item in items:
        alone = (of_item := kind(item)) is None
        if held and (len(held) == size or alone or of_item != kind(held[0])):
            yield held
            held = []
        held.append(item)
        del item
        if alone:
            yield held
            held = []
    if held:
        yield held
