"""Tiny generators for the tests of everything that uses a trained one: built, not trained."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from transfigure.data import images
from transfigure.networks.base import Generator
from transfigure.networks.build import build_generator
from transfigure.networks.model_file import Domain, Inference, ModelConfig
from transfigure.translation.translator import Translator

UNET = {"width": 4, "depth": 4}
RESNET = {"width": 4, "blocks": 1, "dropout": 0.5}


def tiny_config(
    name: str = "unet", options: dict[str, Any] | None = None, source: Domain | int = 3, target: Domain | int = 3, **more: Any
) -> ModelConfig:
    """What a tiny generator is; channels alone stand for 8-bit images."""
    sides = {"source": source, "target": target}
    domains = {name: Domain(side) if isinstance(side, int) else side for name, side in sides.items()}
    values: dict[str, Any] = {"size_multiple": 16, "trained_size": 32, **domains, **more}
    return ModelConfig(generator=name, options=dict(UNET if options is None else options), **values)


def tiny_translator(config: ModelConfig | None = None, seed: int = 0) -> Translator:
    """A translator with random weights, large enough that noise and statistics show in 8 bits."""
    config = config or tiny_config()
    torch.manual_seed(seed)
    generator = build_generator(config.generator, config.source.channels, config.target.channels, config.options)
    with torch.no_grad():
        for weight in generator.parameters():
            if weight.ndim == 4:
                weight.mul_(10)
    return Translator(generator, config, config.inference)


class Copy(Generator):
    """A generator that gives back what it gets, and remembers the size of that."""

    def __init__(self, multiple: int = 1, smallest: int = 1) -> None:
        super().__init__(3, 3)
        self.size_multiple, self.smallest_input = multiple, smallest
        self.seen: list[Tensor] = []

    def forward(self, x: Tensor) -> Tensor:
        self.seen.append(x)
        return x


def copying(source: Domain | int = 3, multiple: int = 1, smallest: int = 1) -> Translator:
    """A translator whose output is its input."""
    config = tiny_config("copy", {}, source, source, size_multiple=multiple)
    return Translator(Copy(multiple, smallest), config, Inference())


def noise_image(height: int, width: int, channels: int = 3, dtype: str = "uint8", seed: int = 0) -> NDArray[Any]:
    """An image of random values over the type's full range."""
    rng = np.random.default_rng(seed)
    if dtype == "float32":
        return rng.random((height, width, channels), dtype=np.float32)
    return rng.integers(0, np.iinfo(dtype).max, (height, width, channels), dtype=dtype, endpoint=True)


def write_images(folder: Path, *names: str, size: tuple[int, int] = (20, 24), channels: int = 3, dtype: str = "uint8") -> Path:
    """A folder of random images, each of its own."""
    for seed, name in enumerate(names):
        images.write(folder / name, noise_image(*size, channels, dtype, seed))
    return folder


def needs_any_name(folder: Path) -> None:
    """Skip where names have to be letters, as on macOS, or links cannot be made."""
    probe, link = folder / os.fsdecode(b"probe\xff"), folder / "probe"
    try:
        probe.touch()
        link.symlink_to(probe)
    except (OSError, UnicodeError) as error:
        pytest.skip(f"this file system does not hold any name, or no links ({error})")
    finally:
        link.unlink(missing_ok=True)
    probe.unlink()


def turning_around(file: Path, layout: str = "nchw", dtype: int = 1, shape: tuple[Any, ...] = ("n", 3, "h", "w")) -> Path:
    """An ONNX file of nobody's that turns an image's values around: black to white, and red to blue.

    Args:
        file: to write.
        layout: of its axes.
        dtype: ``onnx.TensorProto.FLOAT``, or another.
        shape: of its input and output.
    """
    import onnx
    from onnx import helper, numpy_helper

    top = 255.0 if dtype == onnx.TensorProto.UINT8 else 1.0
    axis = 1 if layout == "nchw" else 3
    nodes = [
        helper.make_node("Cast", ["image"], ["values"], to=onnx.TensorProto.FLOAT),
        helper.make_node("Gather", ["values", "order"], ["swapped"], axis=axis),
        helper.make_node("Sub", ["top", "swapped"], ["result"]),
    ]
    out = tuple(shape)
    constants = [numpy_helper.from_array(np.array([2, 1, 0]), "order"), numpy_helper.from_array(np.float32(top), "top")]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("image", dtype, shape)],
        [helper.make_tensor_value_info("result", onnx.TensorProto.FLOAT, out)],
        constants,
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), file)
    return file
