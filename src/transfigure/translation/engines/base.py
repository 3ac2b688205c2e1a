"""What an engine is: something that runs a generator. And what all engines that run a written graph have in common."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...errors import TransfigureError, UserError
from ...networks.model_file import Inference
from ..exported import About


class CannotRun(UserError):
    """A graph that does not take an image of this size, or gives something else for it."""


class InferenceEngine(ABC):
    """Runs one generator; registered, its name is a value of ``--engine``.

    Attributes:
        name: the registered one.
        precision: in which it computes.
        difference: the largest difference of its outputs from the torch model's, on [-1, 1], as it was measured when the model was
            converted or exported; 0 for torch itself, None if nobody has measured.
        exact_batches: a batch comes out bit for bit as its images do one by one.
    """

    name: ClassVar[str]
    exact_batches: ClassVar[bool] = False
    precision: str = "float32"
    difference: float | None = None

    @abstractmethod
    def __call__(self, images: Tensor, how: Inference) -> Tensor:
        """``[N, C, H, W]`` in [-1, 1] -> float32 ``[N, C', H, W]`` on the CPU, each image by itself.

        Args:
            images: of a size that the generator takes.
            how: statistics, noise, seed.

        Raises:
            UserError: it cannot run in this mode.
            RuntimeError, MemoryError: an image is too large.
        """

    def modes(self, how: Inference) -> str:
        """``norm batch, noise dropout, seed 0``."""
        return f"norm {how.norm}, noise {how.noise}" + (f", seed {how.seed}" if how.noise == "dropout" else "")

    def describe(self) -> str:
        """``onnxruntime, float32, at most 2.5e-06 from torch``."""
        far = "" if not self.difference else f", at most {self.difference:.1e} from torch"
        return f"{self.name}, {self.precision}{far}"


@dataclass(frozen=True)
class Port:
    """An input or an output of a graph.

    Attributes:
        name: by which it is fed.
        shape: None for a side that is free.
        dtype: the engine's own word for it.
    """

    name: str
    shape: list[int | None]
    dtype: str

    def words(self) -> str:
        """``[?, 3, ?, ?]``."""
        return f"[{', '.join('?' if size is None else str(size) for size in self.shape)}]"


class GraphEngine(InferenceEngine):
    """An engine that runs a graph which was written down: noise is an input of it, and its norm mode is part of it.

    Args:
        about: what the file says of itself.
        file: its name, for errors.
    """

    def __init__(self, about: About, file: str = "the model") -> None:
        self.about, self.file = about, file
        self.precision = about.precision
        self.difference = about.measured.get(f"{self.name}_largest", about.measured.get("largest"))
        self._noise: tuple[object, dict[str, NDArray[np.float32]]] | None = None

    @abstractmethod
    def run(self, feeds: dict[str, NDArray[Any]]) -> NDArray[Any]:
        """The graph's only output for its inputs, by their names."""

    def __call__(self, images: Tensor, how: Inference) -> Tensor:  # noqa: D102
        noise = self.maps(images.shape[-2], images.shape[-1], how)
        arrays = images.to("cpu", torch.float32).contiguous().numpy()
        together = len(arrays) if self.exact_batches else 1
        outputs = [self._run(arrays[at : at + together], noise) for at in range(0, len(arrays), together)]
        return torch.from_numpy(np.concatenate(outputs).astype(np.float32, copy=False))

    def _run(self, images: NDArray[np.float32], noise: dict[str, NDArray[np.float32]]) -> NDArray[Any]:
        """One pass, whose output has the size of its images: what goes wrong in an engine is a sentence.

        onnxruntime raises classes of its own; OpenVINO computes on where a graph does not fit an image (openvino 2026.4.1: a reshape to
        another number of values, a padding by reflection that is wider than the image).
        """
        count, _, height, width = images.shape
        try:
            output = self.run({self.about.input: images, **noise})
        except (TransfigureError, MemoryError):
            raise
        except Exception as error:
            reason = " ".join(str(error).split())
            if re.search("out of memory|allocate memory|bad_alloc|bad allocation", reason):
                raise MemoryError(reason) from error
            raise CannotRun(
                f"{self.file} cannot be run by {self.name} on an image of {width} x {height} pixels ({reason[:200]}): give images of "
                "another size, or export it again"
            ) from error
        if output.ndim != 4 or output.shape[0] != count or output.shape[2:] != images.shape[2:]:
            raise CannotRun(
                f"{self.file} does not give an image of the size of its input ({list(images.shape)} becomes {list(output.shape)}): give a "
                "network from image to image, or images of another size"
            )
        return output

    def check(self, how: Inference) -> None:
        """Raise UserError if the graph cannot run in this mode."""
        baked = self.about.inference
        if how.norm != baked.norm:
            raise UserError(f"this file has its statistics written in (--norm {baked.norm}): export the model again with --norm {how.norm}")
        if how.noise == "dropout" and baked.noise == "none":
            raise UserError("this file was exported without noise: export the model again with --noise dropout")

    def maps(self, height: int, width: int, how: Inference) -> dict[str, NDArray[np.float32]]:
        """The noise for images of this size, by the names of its inputs.

        That of the last call is kept, as a folder's images are mostly of one size.

        Raises:
            UserError: the graph has another norm mode written in, or no noise.
        """
        self.check(how)
        key = height, width, how
        if self._noise is None or self._noise[0] != key:
            self._noise = key, self.about.noise_feeds(height, width, how)
        return self._noise[1]


class FileEngine(GraphEngine):
    """An engine that runs exported files: a subclass loads one in ``__init__``, which takes it as :class:`.onnxruntime.OnnxRuntimeEngine`
    does, and runs it in :meth:`run`.
    """

    @abstractmethod
    def signature(self) -> tuple[list[Port], list[Port]]:
        """What the graph takes and gives."""

    def check_signature(self) -> None:
        """Compare what the graph takes and gives with what the file says of itself.

        Raises:
            UserError: they do not go together.
        """
        about = self.about
        wanted = {about.input: about.config.source.channels, **{one.name: one.channels for one in about.noise}}
        inputs, outputs = self.signature()
        found = {one.name: one.shape[1] if len(one.shape) == 4 else 0 for one in inputs}
        given = outputs[0].shape[1] if outputs and len(outputs[0].shape) == 4 else 0
        fits = found.keys() == wanted.keys() and all(found[name] in (None, channels) for name, channels in wanted.items())
        if not fits or given not in (None, about.config.target.channels):
            words = ", ".join(f"{one.name} {one.words()}" for one in inputs)
            said = ", ".join(f"{name} with {channels}" for name, channels in wanted.items())
            raise UserError(
                f"the graph in {self.file} takes {words} and gives {given or '?'} channels, and what the file says of itself is {said} and "
                f"{about.config.target.channels}: export the model again"
            )
