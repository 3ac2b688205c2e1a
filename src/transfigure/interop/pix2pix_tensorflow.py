"""Generators of pix2pix-tensorflow (affinelayer), from the files that its ``export-checkpoint.py`` writes for its page in the browser.

Such a file (``.pict``, formerly ``.bin``) holds three parts, each behind its length as four bytes, the highest first: names and shapes as
JSON, 256 numbers in float32, and of every weight one byte that chooses among those numbers. So the weights are those of training to about
eight bits. What was trained with dropout is shown without. Averages of batch norm may be in it, and mean nothing: that code never updates
them.

Where the network differs from the PyTorch implementation's: the first convolution has a bias, the bottleneck is normalised, and a decoder
layer reads its own maps before those of the skip connection. Biases in front of a batch norm are in the file too, and have no effect.
"""

from __future__ import annotations

import json
import math
import re
import struct
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..errors import UserError
from ..networks.base import Generator
from ..networks.build import build_generator
from ..networks.model_file import Domain, Inference, ModelConfig
from .checks import check_finite

_LARGEST_HEADER = 1 << 20
_NUMBERS = 256
_FORMER = {
    "conv/filter": "conv2d/kernel",
    "deconv/filter": "conv2d_transpose/kernel",
    "batchnorm/scale": "batch_normalization/gamma",
    "batchnorm/offset": "batch_normalization/beta",
}
"""Names of 2017, before it used ``tf.layers``; no convolution had a bias then."""
_WITHOUT_EFFECT = ("/bias", "/batch_normalization/moving_mean", "/batch_normalization/moving_variance")


def is_pict(path: str | Path) -> bool:
    """Whether a file begins as such an export does; what is wrong with it further on is said when it is read."""
    try:
        if not Path(path).is_file():  # a pipe would be waited for
            return False
        with Path(path).open("rb") as file:
            beginning = file.read(7)
    except OSError:
        return False
    return (
        len(beginning) == 7 and struct.unpack(">L", beginning[:4])[0] <= _LARGEST_HEADER and re.match(rb'\[\{"', beginning[4:]) is not None
    )


def read_weights(path: str | Path) -> dict[str, NDArray[np.float32]]:
    """The arrays of an exported file by their names.

    Raises:
        UserError: the file is damaged, or something else.
    """
    path = Path(path)
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            parts = []
            for what, most in (("names", _LARGEST_HEADER), ("numbers", 4 * _NUMBERS), ("weights", size)):
                length = int.from_bytes(file.read(4), "big")
                if length > min(most, size - file.tell()):
                    raise _damaged(path, f"its {what} are said to be {length:,} bytes")
                parts.append(file.read(length))
            if file.read(1):
                raise _damaged(path, "it does not end with its weights")
    except OSError as error:
        raise UserError(f"{path} cannot be read: {(error.strerror or str(error)).lower()}; give an exported generator") from error
    shapes = _shapes(parts[0], path)
    if len(parts[1]) != 4 * _NUMBERS:
        raise _damaged(path, f"it holds {len(parts[1])} bytes of numbers and not {4 * _NUMBERS}")
    count = sum(math.prod(shape) for shape in shapes.values())
    if count != len(parts[2]):
        raise _damaged(path, f"it names {count:,} weights and holds {len(parts[2]):,}")
    values = np.frombuffer(parts[1], "<f4")[np.frombuffer(parts[2], np.uint8)]
    arrays, start = {}, 0
    for name, shape in shapes.items():
        arrays[name] = values[start : start + math.prod(shape)].reshape(shape)
        start += math.prod(shape)
    return arrays


def _shapes(header: bytes, path: Path) -> dict[str, tuple[int, ...]]:
    """The shapes by name, in their order, once every one of them is a shape."""
    try:
        entries = json.loads(header)
        shapes = {str(entry["name"]): tuple(entry["shape"]) for entry in entries}
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise _damaged(path, "its names and shapes cannot be read") from error
    wrong = [
        name for name, shape in shapes.items() if len(shape) > 4 or any(type(side) is not int or not 0 < side < 1 << 20 for side in shape)
    ]
    if wrong or len(shapes) != len(entries):
        raise _damaged(path, f"{wrong[0][:80]} has no shape that an array can have" if wrong else "a name is in it twice")
    return shapes


def _damaged(path: Path, why: str) -> UserError:
    return UserError(f"{path} is no whole export of pix2pix-tensorflow ({why}): copy or export it again")


def open_generator(path: str | Path) -> tuple[Generator, ModelConfig]:
    """An exported generator as our U-Net, on the CPU, and the configuration under which a model directory would hold it.

    Raises:
        UserError: the file cannot be used, or is no such generator.
    """
    arrays = {name.removeprefix("generator/"): array for name, array in read_weights(path).items()}
    if any("separable" in name for name in arrays):
        raise UserError(
            f"{path} is a generator of separable convolutions (--separable_conv), which there are none of here: export one without"
        )
    for former, present in _FORMER.items():
        arrays = {name.replace(f"/{former}", f"/{present}"): array for name, array in arrays.items()}
    depth = len({name.split("/")[0] for name in arrays if name.startswith("encoder_")})
    kernel = arrays.get("encoder_1/conv2d/kernel")
    last = arrays.get("decoder_1/conv2d_transpose/kernel")
    if depth < 2 or kernel is None or last is None or (kernel.ndim, last.ndim) != (4, 4):
        raise UserError(f"{path} is no generator of pix2pix-tensorflow (its names begin with {', '.join(list(arrays)[:3]) or 'nothing'})")
    source, target, width = kernel.shape[2], last.shape[2], kernel.shape[3]
    if (source, target) == (1, 2):
        raise UserError(f"{path} was trained with --lab_colorization: it makes Lab values, and no image that a file could hold")
    options: dict[str, Any] = {"width": width, "depth": depth, "norm": "batch", "dropout": 0.5, "dropout_layers": min(3, depth - 1)}
    options |= {"bottleneck_norm": True, "first_bias": "encoder_1/conv2d/bias" in arrays}
    with torch.device("meta"):
        generator = build_generator("unet", source, target, options)
    weights = _converted(arrays, generator, depth, path)
    check_finite(weights, path)
    generator.to_empty(device="cpu").load_state_dict(weights, strict=True)
    size = generator.size_multiple
    config = ModelConfig(
        generator="unet",
        options=options,
        source=Domain(source),
        target=Domain(target),
        size_multiple=size,
        trained_size=size if size >= 64 else None,
        inference=Inference(norm="batch", noise="none"),
        checkpoint={"which": f"imported from {Path(path).name}"},
    )
    return generator.eval(), config


def _converted(arrays: dict[str, NDArray[np.float32]], generator: Generator, depth: int, path: str | Path) -> dict[str, Tensor]:
    """The weights under our names, in our order of axes and channels.

    Raises:
        UserError: one is missing, of another shape, or left over.
    """
    left = dict(arrays)
    weights: dict[str, Tensor] = {}
    for key, wanted in generator.state_dict().items():
        part, index, layer, field = key.split(".")
        level = int(index) + 1 if part == "down" else depth - int(index)
        stage, kind = (f"encoder_{level}", "conv2d") if part == "down" else (f"decoder_{level}", "conv2d_transpose")
        fields = {"weight": "gamma", "bias": "beta"} if layer == "norm" else {"weight": "kernel", "bias": "bias"}
        if field not in fields:  # running statistics: there are none
            weights[key] = torch.ones(wanted.shape) if field == "running_var" else torch.zeros(wanted.shape, dtype=wanted.dtype)
            continue
        name = f"{stage}/{'batch_normalization' if layer == 'norm' else kind}/{fields[field]}"
        array = left.pop(name, None)
        if array is None and layer == "conv" and field == "bias":
            array = np.zeros(wanted.shape, np.float32)
        if array is None:
            raise UserError(f"{path} is no generator of pix2pix-tensorflow: it has no {name}")
        # Both kinds of kernel have height and width first and, as torch has them, the rest the other way round.
        value = torch.from_numpy(np.ascontiguousarray(array.transpose(3, 2, 0, 1) if array.ndim == 4 else array))
        if value.shape != wanted.shape:
            raise UserError(f"{path}: {name} is {list(array.shape)} and does not fit a U-Net of width {len(weights['down.0.conv.weight'])}")
        if part == "up" and index != "0" and layer == "conv" and field == "weight":
            value = value.roll(len(value) // 2, 0)  # a decoder layer's own maps come first there, and last here
        weights[key] = value
    left = {name: array for name, array in left.items() if not name.endswith(_WITHOUT_EFFECT)}
    if left:
        raise UserError(f"{path} is no generator of pix2pix-tensorflow that is known here: {next(iter(left))} has no place in it")
    return weights
