"""What the numbers of a file mean to the networks: values between black and white.

An encoding turns an array as its file holds it, ``[H, W, C]``, into what a network sees, float32 ``[C', H, W]`` in [-1, 1], and what a
network made back into an array to be written. Training, translation, previews and evaluation all go through one, made from a recipe's
data section or from what a model says of its images.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from ..file_facts import FileFacts
from ..pixels import Array, convert_channels, to_array, to_tensor
from ..value_range import Range, if_of_type

if TYPE_CHECKING:
    from torch import Tensor


class Encoding(ABC):
    """Between the numbers of the files of one side and the [-1, 1] of the networks.

    Attributes:
        name: its kind.
        dtype: the type of what it decodes to.
    """

    name: str
    dtype: str

    @property
    @abstractmethod
    def channels(self) -> int:
        """Channels that the networks see."""

    @property
    def file_channels(self) -> int:
        """Channels of what it decodes to."""
        return self.channels

    @property
    def names(self) -> tuple[str, ...]:
        """What its channels are called; empty if they have no names."""
        return ()

    @property
    def file_names(self) -> tuple[str, ...]:
        """What the channels of files are called; empty if they have no names, or are others than those that the networks see."""
        return self.names if self.is_linear else ()

    @property
    def rule(self) -> Literal["nearest"] | None:
        """How pictures must be resized; None where the recipe may choose."""
        return None

    @property
    def is_linear(self) -> bool:
        """Whether each channel of a file is one of the networks', scaled: then pairs may stay on the device as their files' bytes."""
        return False

    @property
    def reads_indices(self) -> bool:
        """Whether palette files are read as their indices, and grey ones of fewer than 8 bits as the numbers that they store."""
        return False

    @abstractmethod
    def encode(self, array: Array, label: str = "a float image") -> Tensor:
        """A picture as the networks see it.

        Args:
            array: ``[H, W, C]`` in its file's own type.
            label: what to call the picture in an error.

        Returns:
            float32 ``[channels, H, W]`` in [-1, 1].

        Raises:
            UserError: it has channels or values that cannot be meant.
        """

    @property
    def needs_source(self) -> bool:
        """Whether decoding takes something of the picture that an output was made from."""
        return False

    @abstractmethod
    def decode(self, tensor: Tensor, source: Array | Tensor | None = None) -> Array:
        """A picture as its file holds it: what :meth:`encode` takes.

        Args:
            tensor: ``[channels, H, W]``; values beyond [-1, 1] are clipped.
            source: the picture that it was made from, ``[H, W, C]`` as its own file holds it or as the networks see it, for encodings that
                take something of it.

        Returns:
            ``[H, W, file_channels]``.

        Raises:
            RunFailure: the tensor holds NaN or infinity.
        """

    def check(self, label: str, facts: FileFacts) -> None:  # noqa: B027 - most have nothing against any file
        """See that what a file says of itself goes with this encoding.

        Raises:
            UserError: it does not.
        """

    def scored(self, array: Array) -> Tensor:
        """What :meth:`decode` gave, as metrics see it: ``[C, H, W]`` in [-1, 1]."""
        return self.encode(array)

    def picture(self, tensor: Tensor) -> Tensor:
        """A source as the networks see it, as metrics compare it with targets: a picture ``[C, H, W]`` in [-1, 1]."""
        return tensor

    def shown(self, array: Array) -> Array:
        """What :meth:`decode` gave, as a person is to see it: the same, where its values are a picture's."""
        return array


@dataclass(frozen=True)
class LinearValues(Encoding):
    """Values on a line from black (-1) to white (1), each channel by itself.

    Attributes:
        count: channels that the networks see; grey files are repeated and RGB files reduced to fit.
        dtype: of the files.
        value_range: the values that become -1 and 1; None for the full range of a file's type.
        channel_names: what the channels are called.
        of_dtype_only: the range speaks of files of this dtype alone; those of another are taken at their full range.
    """

    count: int
    dtype: str = "uint8"
    value_range: Range | None = None
    channel_names: tuple[str, ...] = ()
    of_dtype_only: bool = False
    name = "values"

    @property
    def channels(self) -> int:
        """Channels of the files and of what the networks see."""
        return self.count

    @property
    def names(self) -> tuple[str, ...]:
        """What the channels are called; empty if they have no names."""
        return self.channel_names

    @property
    def is_linear(self) -> bool:
        """It is."""
        return True

    def range_of(self, dtype: str) -> Range | None:
        """The range that files of this type are read with; None for their full range."""
        return if_of_type(self.value_range, self.dtype, dtype) if self.of_dtype_only else self.value_range

    def encode(self, array: Array, label: str = "a float image") -> Tensor:
        """By :func:`.pixels.to_tensor`."""
        return to_tensor(convert_channels(array, self.count), self.range_of(array.dtype.name), label)

    def decode(self, tensor: Tensor, source: object = None) -> Array:
        """By :func:`.pixels.to_array`; nothing of the source is needed."""
        return to_array(tensor, self.dtype, self.value_range)
