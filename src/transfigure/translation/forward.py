"""One pass of a generator over one image, on any device, in any precision."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass

import torch
from torch import Tensor

from ..networks.base import Generator
from ..networks.graphs import CudaGraphs, Graphs
from ..networks.model_file import Inference
from ..networks.modes import inference

MOST = 8
"""Sizes whose passes are kept recorded; each takes the memory of its activations."""


@dataclass(frozen=True)
class _RecordedPass:
    image: Tensor
    replay: Callable[[], Tensor]


class Forward:
    """Applies a generator, through a CUDA graph for each size that comes again: at batch 1 a GPU waits for launches otherwise.

    The pictures are the same. A network of a plugin is launched kernel by kernel, since nobody knows what it decides on the CPU.
    """

    def __init__(self) -> None:
        self._recorded: OrderedDict[Hashable, _RecordedPass | None] = OrderedDict()
        self._graphs: Graphs | None = None

    def __call__(self, generator: Generator, image: Tensor, how: Inference) -> Tensor:
        """``[1, C, H, W]`` of any device -> float32 ``[1, C', H, W]`` on the CPU.

        Args:
            generator: on its device, in its precision.
            image: in [-1, 1], of a size that the generator takes.
            how: statistics, noise, seed.

        Raises:
            RuntimeError, MemoryError: as PyTorch raises them where an image is too large.
        """
        weight = next(generator.parameters(), torch.empty(0))
        with inference(generator, norm=how.norm, noise=how.noise, seed=how.seed):
            image = image.to(weight.device, weight.dtype)
            if (graphs := self._graphs_for(generator, weight.device)) is None:
                output: Tensor = generator(image)
            else:
                output = self._through(graphs, generator, image, (weight.data_ptr(), weight.dtype, how.norm, how.noise))
            return output.to("cpu", torch.float32, copy=True)  # the next replay overwrites it

    def _graphs_for(self, generator: Generator, device: torch.device) -> Graphs | None:
        if device.type != "cuda" or type(generator).__module__.partition(".")[0] != __package__.partition(".")[0]:
            return None
        if self._graphs is None:
            self._graphs = CudaGraphs(device)
        return self._graphs

    def _through(self, graphs: Graphs, generator: Generator, image: Tensor, how: tuple[Hashable, ...]) -> Tensor:
        """The first pass of a size is computed as it is, the second recorded."""
        key = (*how, *image.shape)
        if key not in self._recorded:
            self._recorded[key] = None
            return graphs.aside(lambda: generator(image))  # type: ignore[no-any-return]
        if (recorded := self._recorded[key]) is None:
            fixed = image.clone()
            try:
                recorded = _RecordedPass(fixed, graphs.record(lambda: generator(fixed)))
            except RuntimeError:  # for lack of memory, say: without a graph it is the same, only slower
                return generator(image)  # type: ignore[no-any-return]
            self._recorded[key] = recorded
        self._recorded.move_to_end(key)
        while len(self._recorded) > MOST:
            self._recorded.popitem(last=False)
        recorded.image.copy_(image)
        return recorded.replay()
