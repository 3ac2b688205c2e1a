"""A generator with all that is known of it, and one pass of it by any engine: padded or resized before, cropped or resized after."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from ..data.pixels import bicubic
from ..networks.base import Generator
from ..networks.model_file import Inference, ModelConfig
from .engines.base import InferenceEngine
from .engines.torch import TorchEngine


@dataclass(frozen=True)
class TrainedNetwork:
    """What engines run and files hold.

    Attributes:
        generator: on its device.
        config: what it is.
        inference: how it runs.
        digest: the SHA-256 of its weights.
        memory: bytes that a pass takes for each pixel; 0 if unknown.
    """

    generator: Generator
    config: ModelConfig
    inference: Inference
    digest: str = ""
    memory: float = 0.0

    @property
    def multiple(self) -> int:
        """What height and width inside are multiples of."""
        return self.config.size_multiple

    @cached_property
    def torch(self) -> TorchEngine:
        """It, run by torch."""
        return TorchEngine(self.generator)

    def running(self, inference: Inference) -> TrainedNetwork:
        """The same in another mode."""
        return replace(self, inference=inference)

    def run(self, engine: InferenceEngine, images: Tensor) -> Tensor:
        """``[N, C, H, W]`` in [-1, 1] of any size -> ``[N, C', H, W]``, by an engine, see :func:`run`."""
        return run(engine, self.generator, self.multiple, images, self.inference)


def run(engine: InferenceEngine, generator: Generator, multiple: int, images: Tensor, how: Inference) -> Tensor:
    """Translate images of any size, all of one.

    Height and width are padded by reflection to what the generator can take, and the output is cropped back. A generator of one size only
    (whose bottleneck is a vector) is given the whole image at that size, and its output is resized back.

    Args:
        engine: runs the generator.
        generator: says what sizes it takes.
        multiple: of the height and width inside.
        images: ``[N, C, H, W]`` in [-1, 1].
        how: statistics, noise, seed.

    Raises:
        UserError: the engine cannot run in this mode.
        RuntimeError, MemoryError: an image is too large.
    """
    height, width = images.shape[-2:]
    outputs = engine(torch.stack([padded(image, generator, multiple) for image in images]), how)
    if fits(generator, height, width):
        return outputs[..., :height, :width]
    return torch.cat([bicubic(output[None], height, width).clamp(-1, 1) for output in outputs])


def fits(generator: Generator, height: int, width: int) -> bool:
    """Whether an image need not be resized."""
    return generator.only_size is None or (height, width) == (generator.only_size, generator.only_size)


def padded(image: Tensor, generator: Generator, multiple: int) -> Tensor:
    """An image ``[C, H, W]`` as it goes into the generator."""
    if fits(generator, *image.shape[-2:]):
        return pad_by_reflection(image, multiple, generator.smallest_input)
    only = generator.only_size or 0
    return bicubic(image[None], only, only)[0]


def pad_by_reflection(image: Tensor, multiple: int, smallest: int = 1) -> Tensor:
    """Pad ``[C, H, W]`` on the right and below to multiples, mirroring the picture as often as it takes (a single pixel too).

    Args:
        image: at least one pixel.
        multiple: what H and W shall be divisible by.
        smallest: the least H and W.
    """
    for dimension in (-2, -1):
        size = image.shape[dimension]
        wanted = -(-max(size, smallest) // multiple) * multiple
        if wanted != size:
            period = max(1, 2 * size - 2)
            steps = torch.arange(wanted, device=image.device) % period
            image = image.index_select(dimension, torch.where(steps < size, steps, period - steps))
    return image
