"""The statistics of a large image that goes through a network in tiles: gathered over all of them, then the same for each.

A batch or instance norm takes mean and variance of each channel from the image at hand. Of a tile they are others than of the whole image,
so that neighbouring tiles differ in contrast and colour. Here those of the whole are put together from the tiles' (Chan, Golub and LeVeque
1979, "Updating formulae and a pairwise algorithm for computing sample variances").
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm, _NormBase

from .modes import replace_forward


def takes_statistics(layer: nn.Module, norm: str) -> bool:
    """Whether a layer normalises with the statistics of the image at hand, in this mode of :func:`.modes.inference`."""
    if not isinstance(layer, _NormBase):
        return False
    if norm == "batch" or not layer.track_running_stats:
        return True
    return isinstance(layer, _BatchNorm) and layer.running_mean is None


def statistics_layers(network: nn.Module, norm: str) -> int:
    """How many layers do."""
    return sum(takes_statistics(layer, norm) for layer in network.modules())


@dataclass
class Moments:
    """Of the values of each channel in the parts seen so far, in float64.

    Attributes:
        count: values per channel.
        mean: ``[C]``.
        squares: ``[C]``, the sum of squared differences from the mean.
    """

    count: int
    mean: Tensor
    squares: Tensor

    @classmethod
    def of(cls, x: Tensor) -> Moments:
        """Of ``[N, C, H, W]``."""
        count = x[:, 0].numel()
        variance, mean = torch.var_mean(x.float(), dim=(0, 2, 3), correction=0)
        return cls(count, mean.double(), variance.double() * count)

    def add(self, other: Moments) -> None:
        """Take in another part."""
        if other.count == 0:
            return
        total, difference = self.count + other.count, other.mean - self.mean
        self.mean = self.mean + difference * (other.count / total)
        self.squares = self.squares + other.squares + difference**2 * (self.count * other.count / total)
        self.count = total

    def words(self) -> list[Any]:
        """It as numbers and words that :meth:`read` understands, to the last bit."""
        return [self.count, *([float(value).hex() for value in side.tolist()] for side in (self.mean, self.squares))]

    @classmethod
    def read(cls, words: Sequence[Any], device: torch.device) -> Moments:
        """From :meth:`words`."""
        mean, squares = (torch.tensor([float.fromhex(one) for one in side], dtype=torch.float64, device=device) for side in words[1:])
        return cls(int(words[0]), mean, squares)

    def normalise(self, layer: _NormBase, x: Tensor) -> Tensor:
        """The layer with these statistics."""
        mean, variance = self.mean.float(), (self.squares / self.count).float()
        weight, bias = (None if one is None else one.float() for one in (layer.weight, layer.bias))
        return F.batch_norm(x.float(), mean, variance, weight, bias, False, 0.0, layer.eps).to(x.dtype)


class _Enough(Exception):
    """What a pass was for has been found."""


class ImageStatistics:
    """What each norm layer of a network sees of an image, put together from its tiles.

    Layers are told apart by their turn in a pass, so a layer that is used twice has two.

    Args:
        norm: mode of :func:`.modes.inference`.
    """

    def __init__(self, norm: str) -> None:
        self.norm = norm
        self.known: list[Moments] = []
        """Of the first so many turns; they are normalised with these."""
        self._found: dict[int, Moments] = {}

    def merge(self) -> int:
        """What has been gathered is known from now on; of how many turns that was."""
        found = len(self._found)
        self.known += [self._found[turn] for turn in sorted(self._found)]
        self._found = {}
        return found

    @contextmanager
    def using(self, network: nn.Module) -> Iterator[None]:
        """Normalise with what is known, and every other layer with the statistics of its tile; within :func:`.modes.inference`."""
        with self._replacing(network, None):
            yield

    @contextmanager
    def gathering(self, network: nn.Module, part: Callable[[Tensor], Tensor], one: bool) -> Iterator[None]:
        """Take in what the unknown layers see.

        Args:
            network: what is going to be run.
            part: cuts from a map ``[N, C, h, w]`` what counts.
            one: only the first unknown layer, and nothing of the pass after it; else all, each after the unknown ones before it have
                normalised with what they saw in this very pass.
        """
        with self._replacing(network, part, one):
            try:
                yield
            except _Enough:
                return

    @contextmanager
    def _replacing(self, network: nn.Module, part: Callable[[Tensor], Tensor] | None, one: bool = False) -> Iterator[None]:
        turns = iter(range(1 << 30))

        def act(layer: _NormBase, before: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
            turn = next(turns)
            if turn < len(self.known):
                return self.known[turn].normalise(layer, x)
            if part is None:
                return before(x)
            if (counted := part(x)).numel():
                moments = Moments.of(counted)
                if turn in self._found:
                    self._found[turn].add(moments)
                else:
                    self._found[turn] = replace(moments)
            elif not one:
                moments = Moments.of(x)
            if one:
                raise _Enough
            return moments.normalise(layer, x)

        with ExitStack() as undo:
            for layer in network.modules():
                if isinstance(layer, _NormBase) and takes_statistics(layer, self.norm):
                    replace_forward(layer, partial(act, layer, layer.forward), undo)
            yield
