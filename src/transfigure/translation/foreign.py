"""Anybody's ONNX file from image to image, as a translator: what it does not say of itself is said by who opens it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from ..data.value_range import number
from ..errors import RunFailure, UserError
from ..integrity import sha256_of
from ..networks.model_file import Domain, Inference, ModelConfig
from .engines.base import CannotRun, FileEngine, Port
from .exported import About
from .exported_network import ExportedGenerator, engines, is_installed, open_engine

Layout = Literal["nchw", "nhwc"]
_TYPES = {
    **{"float": "float32", "double": "float64", "float16": "float16", "uint8": "uint8"},  # onnxruntime's words
    **{"f32": "float32", "f64": "float64", "f16": "float16", "u8": "uint8"},  # OpenVINO's
}
_LARGEST_VALUE, _MOST_CHANNELS, _MOST_VALUES = 1e9, 1024, 1 << 28
MULTIPLES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)


class ForeignEngine(FileEngine):
    """Another's graph: values and axes are brought to its own and back.

    Args:
        inner: the engine that runs the graph as it is.
        about: what is known of it.
        value_range: what black and white are in it.
        layout: the order of its axes.
        dtype: of its input.
    """

    name = "foreign"

    def __init__(self, inner: FileEngine, about: About, value_range: tuple[float, float], layout: Layout, dtype: str) -> None:
        super().__init__(about, inner.file)
        self.inner, self.value_range, self.layout, self.dtype = inner, value_range, layout, dtype
        self.name, self.difference = inner.name, None  # type: ignore[misc]

    def describe(self) -> str:
        """``onnxruntime, float32, values from 0 to 1, nchw``."""
        low, high = self.value_range
        return f"{self.inner.name}, {self.dtype}, values from {number(low)} to {number(high)}, {self.layout}"

    def modes(self, how: Inference) -> str:  # noqa: D102
        return "what its makers wrote into it"

    def signature(self) -> tuple[list[Port], list[Port]]:  # noqa: D102
        return self.inner.signature()

    def run(self, feeds: dict[str, Any]) -> Any:  # noqa: D102
        (name, images), *_ = feeds.items()
        low, high = self.value_range
        values = (images + 1) * ((high - low) / 2) + low
        if self.dtype == "uint8":
            values = np.rint(values).clip(0, 255)
        values = values.astype(self.dtype)
        output = self.inner.run({name: np.ascontiguousarray(values.transpose(0, 2, 3, 1)) if self.layout == "nhwc" else values})
        if getattr(output, "ndim", 0) != 4:  # another shape, or a list of arrays
            shape = f"the shape {list(output.shape)}" if isinstance(output, np.ndarray) else f"the type {type(output).__name__}"
            raise UserError(f"the output of {self.file} has {shape} and is no image: give a network from image to image")
        output = output.astype(np.float32)
        output = output.transpose(0, 3, 1, 2) if self.layout == "nhwc" else output
        if broken := int(np.count_nonzero(~np.isfinite(output))):
            raise RunFailure(
                f"{broken} of the {output.size} values that {self.file} makes of an image are not finite: give the value range that it was "
                f"trained with, in place of {number(low)} to {number(high)}, or another network"
            )
        return ((output - low) * (2 / (high - low)) - 1).clip(-1, 1)


def open_foreign(
    file: Path, engine: str | None, value_range: tuple[float, float] | None, layout: Layout | None
) -> tuple[ExportedGenerator, ForeignEngine]:
    """An ONNX file that says nothing of itself, as a network, and what runs it.

    Raises:
        UserError: its value range is not given, or it is no network from one image to one image of the same size.
        Missing: no engine is installed.
    """
    unknown = About(ModelConfig("onnx", {}, Domain(1), Domain(1), 1), 1)
    first = engine or ("onnxruntime" if is_installed("onnxruntime") else engines(graphs_only=True)[0])
    inner = open_engine(file, unknown, first, ours=False)
    inputs, outputs = inner.signature()
    if len(inputs) != 1 or len(outputs) < 1 or len(inputs[0].shape) != 4:
        have = ", ".join(f"{one.name} {one.words()}" for one in inputs) or "nothing"
        raise UserError(
            f"{file} takes {have}, and a translator gives one image [N, C, H, W] or [N, H, W, C]: give a network from image to image"
        )
    image = inputs[0]
    dtype = _TYPES.get(image.dtype)
    if dtype is None:
        raise UserError(f"{file} takes values of the type {image.dtype}: uint8 and floats are what images are made of")
    layout = layout or _order_of_axes(file, image.shape)
    if value_range is None:
        if dtype != "uint8":
            raise UserError(
                f"{file} is another program's, and does not say which values stand for black and white: add --value_range LOW HIGH, which "
                "is mostly 0 1, -1 1 or 0 255"
            )
        value_range = 0.0, 255.0
    if not value_range[0] < value_range[1]:
        raise UserError(f"the value range from {number(value_range[0])} to {number(value_range[1])} is empty: give LOW HIGH")
    if not max(map(abs, value_range)) <= _LARGEST_VALUE:
        raise UserError(f"the value range from {number(value_range[0])} to {number(value_range[1])} is too wide: give LOW HIGH")
    axes = (1, 2, 3) if layout == "nchw" else (3, 1, 2)
    channels, height, width = (image.shape[axis] for axis in axes)
    if channels is None:
        raise UserError(f"{file} does not say how many channels it takes: export it with a fixed number")
    if (height is None) != (width is None) or height != width:
        raise UserError(f"{file} takes images of {width} x {height} pixels only: give one for squares, or for any size")
    if image.shape[0] not in (None, 1):
        raise UserError(f"{file} takes {image.shape[0]} images at once and no other number: export it for one, or for any number")
    if not 0 < channels <= _MOST_CHANNELS or (height or 1) * (width or 1) * channels > _MOST_VALUES:
        raise UserError(
            f"{file} takes {channels} channels of {width or 'any'} x {height or 'any'} pixels, which are no image: look at --layout, or "
            "give a network from image to image"
        )
    about = About(unknown.config, 1, only_size=height, input=image.name)
    runs = ForeignEngine(inner, about, value_range, layout, dtype)
    multiple, target = _probe(file, runs, channels, height)
    config = ModelConfig(
        f"ONNX file {file.name}",
        {},
        Domain(channels),
        Domain(target),
        multiple,
        trained_size=height,
        inference=Inference(),
        checkpoint={"which": f"another program's, {file.name}"},
    )
    runs.about = About(config, multiple, only_size=height, input=image.name, weights=sha256_of(file))
    return ExportedGenerator(runs, runs.about), runs


def _order_of_axes(file: Path, shape: list[int | None]) -> Layout:
    """Where the channels are: at the axis whose size is that of channels."""
    first, last = ((size is not None and size <= 4) for size in (shape[1], shape[3]))
    if first != last:
        return "nchw" if first else "nhwc"
    if shape[1] is not None and shape[3] is None:
        return "nchw"
    if shape[3] is not None and shape[1] is None:
        return "nhwc"
    words = " x ".join("?" if size is None else str(size) for size in shape)
    raise UserError(f"{file} takes {words}, which does not say where the channels are: add --layout nchw or --layout nhwc")


def _probe(file: Path, runs: ForeignEngine, channels: int, only: int | None) -> tuple[int, int]:
    """What height and width must be multiples of, and how many channels come out, by trying."""
    first: CannotRun | None = None
    for multiple in MULTIPLES if only is None else (1,):
        side = only or (64 + multiple if multiple < 128 else 2 * multiple)
        image = torch.zeros(1, channels, side, side)
        try:
            output: Tensor = runs(image, Inference())
        except CannotRun as error:  # a size that does not fit
            first = first or error
            continue
        return multiple, output.shape[1]
    assert first is not None
    raise first
