"""What goes through the program: a pair of images, and a batch of pairs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import torch
from torch import Tensor

T = TypeVar("T")


@dataclass(frozen=True)
class Pair:
    """A source image and the target image it should become.

    Attributes:
        source: float32 ``[C, H, W]`` in [-1, 1].
        target: float32 ``[C', H, W]`` in [-1, 1], the same H and W.
        name: what a person calls this pair; unique within its split.
    """

    source: Tensor
    target: Tensor
    name: str


@dataclass(frozen=True)
class Batch:
    """N pairs, and what the generator made of their sources. Loss terms read from it; nothing is changed in place.

    Attributes:
        source: ``[N, C, H, W]`` in [-1, 1].
        target: ``[N, C', H, W]`` in [-1, 1].
        names: N names.
        output: the generator's output, ``[N, C', H, W]`` in [-1, 1], once there is one (see :meth:`with_fake`, :attr:`fake`).
    """

    source: Tensor
    target: Tensor
    names: tuple[str, ...]
    output: Tensor | None = None

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
        """The same pairs, with the generator's output."""
        return replace(self, output=fake)

    def swapped(self) -> Batch:
        """The other direction: targets as sources, and nothing generated yet."""
        return Batch(self.target, self.source, self.names)

    def split(self, size: int) -> list[Batch]:
        """The same pairs in batches of at most ``size``, in their order, without the generator's output."""
        return [
            Batch(self.source[start : start + size], self.target[start : start + size], self.names[start : start + size])
            for start in range(0, len(self), size)
        ]

    def to(self, device: torch.device | str) -> Batch:
        """The same pairs on another device, without the generator's output."""
        return Batch(self.source.to(device, non_blocking=True), self.target.to(device, non_blocking=True), self.names)


def collate(pairs: Sequence[Pair]) -> Batch:
    """Stack pairs of one size into a batch."""
    return Batch(
        torch.stack([pair.source for pair in pairs]),
        torch.stack([pair.target for pair in pairs]),
        tuple(pair.name for pair in pairs),
    )


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


def chunks(items: Iterable[T], size: int, kind: Callable[[T], object]) -> Iterator[list[T]]:
    """Neighbours of one kind (one shape, say), at most ``size`` at a time, in their order."""
    held: list[T] = []
    for item in items:
        if held and (len(held) == size or kind(item) != kind(held[0])):
            yield held
            held = []
        held.append(item)
    if held:
        yield held
