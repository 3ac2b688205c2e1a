"""Runs a generator by PyTorch, on any device, in any precision."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ...networks.base import Generator
from ...networks.graphs import CudaGraphs, Graphs
from ...networks.model_file import Inference
from ...networks.modes import inference
from ...networks.noise import NoiseMap, NoiseStream, draw_all
from ...registry import register
from .base import InferenceEngine

MOST = 8
"""Sizes whose passes are kept recorded; each takes the memory of its activations."""


@dataclass(frozen=True)
class _RecordedPass:
    image: Tensor
    noise: list[Tensor]  # which the recorded work reads
    replay: Callable[[], Tensor]


@register("engine", "torch", module="torch", extra="", order=3)
class TorchEngine(InferenceEngine):
    """PyTorch itself, on any device; on a GPU through a CUDA graph for each size that comes again, else it waits for launches there.

    With a graph the pictures are the same. A network of a plugin is launched kernel by kernel, since nobody knows what it decides on the
    CPU. Images go through one by one, since the arithmetic of some layers depends on how many there are.

    Args:
        generator: on its device, in its precision.
    """

    name: ClassVar[str] = "torch"
    difference: float | None = 0.0

    def __init__(self, generator: Generator) -> None:
        self.generator = generator
        self._recorded: OrderedDict[Hashable, _RecordedPass | list[NoiseMap]] = OrderedDict()
        self._graphs: Graphs | None = None

    @property
    def precision(self) -> str:  # type: ignore[override]
        """Of the weights."""
        weight = next(self.generator.parameters(), torch.empty(0))
        return str(weight.dtype).removeprefix("torch.")

    def __call__(self, images: Tensor, how: Inference) -> Tensor:  # noqa: D102
        return torch.cat([self._one(image[None], how) for image in images])

    def _one(self, image: Tensor, how: Inference) -> Tensor:
        generator = self.generator
        weight = next(generator.parameters(), torch.empty(0))
        image = image.to(weight.device, weight.dtype)
        if (graphs := self._graphs_for(generator, weight.device)) is None:
            with inference(generator, norm=how.norm, noise=how.noise, seed=how.seed):
                output: Tensor = generator(image)
        else:
            output = self._through(graphs, generator, image, how, (weight.data_ptr(), weight.dtype))
        return output.to("cpu", torch.float32, copy=True)  # the next replay overwrites it

    def within(
        self,
        image: Tensor,
        how: Inference,
        noise: NoiseStream,
        around: Callable[[Generator], AbstractContextManager[None]] | None = None,
    ) -> Tensor:
        """A part of an image, ``[1, C, H, W]``, with noise and surroundings of its own; an empty tensor if they end the pass early.

        Args:
            image: in [-1, 1].
            how: statistics and noise.
            noise: what draws it.
            around: is given the generator, and entered for the pass.
        """
        weight = next(self.generator.parameters(), torch.empty(0))
        output: Tensor = torch.empty(1, 0)
        surroundings = nullcontext() if around is None else around(self.generator)
        with inference(self.generator, norm=how.norm, noise=how.noise, given=noise), surroundings:
            output = self.generator(image.to(weight.device, weight.dtype))
        first: Tensor = output[0]
        return first.to("cpu", torch.float32)

    def _graphs_for(self, generator: Generator, device: torch.device) -> Graphs | None:
        if device.type != "cuda" or type(generator).__module__.partition(".")[0] != __package__.partition(".")[0]:
            return None
        if self._graphs is None:
            self._graphs = CudaGraphs(device)
        return self._graphs

    def _through(self, graphs: Graphs, generator: Generator, image: Tensor, how: Inference, weights: tuple[Hashable, ...]) -> Tensor:
        """The first pass of a size is computed as it is, the second recorded, with the noise of the first as a constant."""
        key = (*weights, how, *image.shape)
        if key not in self._recorded:
            with inference(generator, norm=how.norm, noise=how.noise, seed=how.seed) as stream:
                output: Tensor = graphs.aside(lambda: generator(image))
            self._recorded[key] = stream.maps
            return output
        known = self._recorded[key]
        if not isinstance(known, _RecordedPass):
            fixed = image.clone()
            noise = [torch.from_numpy(drawn).to(image.device, image.dtype) for drawn in draw_all(known, how.seed)]

            def act() -> Tensor:
                with inference(generator, norm=how.norm, noise=how.noise, given=noise):
                    return generator(fixed)  # type: ignore[no-any-return]

            try:
                self._recorded[key] = known = _RecordedPass(fixed, noise, graphs.record(act))
            except RuntimeError:  # for lack of memory, say: without a graph it is the same, only slower
                return act()
        self._recorded.move_to_end(key)
        while len(self._recorded) > MOST:
            self._recorded.popitem(last=False)
        known.image.copy_(image)
        return known.replay()
