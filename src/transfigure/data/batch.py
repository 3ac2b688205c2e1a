"""What travels through the house: a pair of images, and a batch of pairs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import torch
from torch import Tensor, nn

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
    """N pairs, and what the networks made of them. Loss terms read from it; nothing is changed in place.

    Attributes:
        source: ``[N, C, H, W]`` in [-1, 1].
        target: ``[N, C', H, W]`` in [-1, 1].
        names: N names.
        fake: the generator's answer, ``[N, C', H, W]`` in [-1, 1], once there is one.
        fake_map: the discriminator's logits on the fake, ``[N, 1, h, w]``, while G is being updated against D.
        generator: G, for terms that ask it more than one question.
        inverse: the generator of the other direction, if one is trained beside it.
    """

    source: Tensor
    target: Tensor
    names: tuple[str, ...]
    fake: Tensor | None = None
    fake_map: Tensor | None = None
    generator: nn.Module | None = None
    inverse: nn.Module | None = None

    def __len__(self) -> int:
        return self.source.shape[0]

    @property
    def generated(self) -> Tensor:
        """The fake, for a loss term that needs one.

        Raises:
            ValueError: the generator has not run on this batch yet.
        """
        if self.fake is None:
            raise ValueError("this batch holds no generated images yet: call with_fake(G(source)) first")
        return self.fake

    def with_fake(self, fake: Tensor, fake_map: Tensor | None = None) -> Batch:
        """The same pairs, with the generator's answer beside them."""
        return replace(self, fake=fake, fake_map=fake_map)

    def between(self, generator: nn.Module, inverse: nn.Module | None = None) -> Batch:
        """The same batch, with the networks that some terms need."""
        return replace(self, generator=generator, inverse=inverse)

    def turned(self) -> Batch:
        """The other direction: targets as sources, and nothing generated yet."""
        return Batch(self.target, self.source, self.names)

    def to(self, device: torch.device | str) -> Batch:
        """The same batch on another device (without what the networks made of it)."""
        return Batch(self.source.to(device, non_blocking=True), self.target.to(device, non_blocking=True), self.names)


def collate(pairs: Sequence[Pair]) -> Batch:
    """Stack pairs of one size into a batch."""
    return Batch(
        torch.stack([pair.source for pair in pairs]),
        torch.stack([pair.target for pair in pairs]),
        tuple(pair.name for pair in pairs),
    )


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
