"""What a generator and a discriminator are to the rest of the program: the contract, as classes to derive from.

Training, translation and evaluation use these attributes and nothing else of a network, so a registered class that fills them in works
everywhere. The contract tests hold every registered one to them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace

from torch import Tensor, nn

from ..errors import UserError


class Generator(nn.Module, ABC):
    """A network that turns source images into target images of the same height and width.

    A subclass calls ``super().__init__(source_channels, target_channels)``, sets what differs from the defaults below, and builds its
    layers. Registered, its other arguments are keys of a recipe's ``generator`` section::

        @register("generator", "pointwise")
        class Pointwise(Generator):
            def __init__(self, source_channels: int, target_channels: int, width: int = 64) -> None:
                super().__init__(source_channels, target_channels)
                self.layers = nn.Sequential(nn.Conv2d(source_channels, width, 1), nn.ReLU(), nn.Conv2d(width, target_channels, 1))

            def forward(self, x: Tensor) -> Tensor:
                return torch.tanh(self.layers(x))

    Attributes:
        source_channels: channels of the images that come in.
        target_channels: channels of the images that go out.
        size_multiple: height and width must be multiples of this; a ``Translator`` pads and crops back.
        smallest_input: the least height and width, in pixels.
        only_size: the one side, in pixels, of the squares that it takes, or None if sizes are free; a ``Translator`` resizes and back.
        receptive_field: side in pixels of a square that holds all that one output pixel depends on (statistics of norm layers apart), or
            None where that is the whole image.
        feature_channels: channels of the maps that :meth:`features` gives; empty if it gives none.
    """

    size_multiple: int = 1
    smallest_input: int = 1
    only_size: int | None = None
    receptive_field: int | None = None
    feature_channels: tuple[int, ...] = ()

    def __init__(self, source_channels: int, target_channels: int) -> None:
        super().__init__()
        self.source_channels = source_channels
        self.target_channels = target_channels

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor:
        """``[N, source_channels, H, W]`` in [-1, 1] to ``[N, target_channels, H, W]`` in [-1, 1].

        Raises:
            UserError: H and W do not fit (see :meth:`check_size`).
        """

    def features(self, x: Tensor) -> list[Tensor]:
        """Maps of the encoder for a batch of images, one per entry of ``feature_channels``, for losses that compare them.

        Raises:
            UserError: this generator has none to give.
        """
        raise UserError(f"{type(self).__name__} gives no features of its encoder, which this loss reads: choose another generator")

    def check_size(self, height: int, width: int) -> None:
        """Refuse a size that would not come back as it is.

        Raises:
            UserError: with the size, and the way out.
        """
        got = f"this generator got an image {width} pixels wide and {height} high"
        least, multiple, side = self.smallest_input, self.size_multiple, self.only_size
        if height % multiple or width % multiple or height < least or width < least:
            raise UserError(
                f"{got}: both must be multiples of {multiple} and at least {least} (a Translator pads and crops back by itself)"
            )
        if side is not None and (height, width) != (side, side):
            raise UserError(f"{got}: it takes {side}x{side} only (a Translator resizes there and back by itself)")


@dataclass(frozen=True)
class DiscriminatorOutput:
    """What a discriminator gives for a batch of images, at one scale or several.

    Attributes:
        logits: per scale a map of raw outputs ``[N, 1, h, w]``, one per patch (1x1 for a discriminator of whole images).
        features: per scale the activations of its inner layers, each ``[N, C, h, w]``, for losses that compare them.
    """

    logits: tuple[Tensor, ...]
    features: tuple[tuple[Tensor, ...], ...] = ()

    def map_logits(self, function: Callable[[Tensor], Tensor]) -> DiscriminatorOutput:
        """The same with a function applied to every map of logits."""
        return replace(self, logits=tuple(function(logits) for logits in self.logits))

    def float(self) -> DiscriminatorOutput:
        """Logits in float32, as losses want them after mixed precision."""
        return self.map_logits(lambda logits: logits.float())

    def detach(self) -> DiscriminatorOutput:
        """The same numbers without their graph."""
        return DiscriminatorOutput(
            tuple(logits.detach() for logits in self.logits), tuple(tuple(layer.detach() for layer in scale) for scale in self.features)
        )

    def per_image(self) -> Tensor:
        """One number per image, ``[N]``: the mean over a map's logits, then over scales. It is what enters the losses."""
        maps = [logits.reshape(len(logits), -1).mean(1) for logits in self.logits]
        return sum(maps[1:], maps[0]) / len(maps)


class Discriminator(nn.Module, ABC):
    """A network that tells real from generated images, per patch or per image.

    A subclass calls ``super().__init__(channels)``, sets ``receptive_field`` and ``smallest_input``, and builds its layers. Registered, its
    other arguments are keys of a recipe's ``discriminator`` section. One that treats the source apart has an argument ``source_channels``
    without a default: it is given how many of the channels, the first ones, are the source's (0 if it is unconditional).

    Attributes:
        channels: channels of what it sees: those of source and target together if it is conditional, else the target's.
        receptive_field: side in pixels of the patch behind one logit; 0 stands for the whole image.
        smallest_input: the least height and width of an image, in pixels.
    """

    receptive_field: int
    smallest_input: int = 1

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels

    @abstractmethod
    def forward(self, x: Tensor) -> DiscriminatorOutput:
        """``[N, channels, H, W]`` in [-1, 1] to logits and inner activations, at each scale."""
