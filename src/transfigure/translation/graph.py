"""A generator as an ONNX graph: any batch, height and width, its norm mode written as arithmetic and its noise an input.

The graph is what :func:`transfigure.networks.modes.inference` makes of the network, traced: so batch statistics become an instance
normalisation, and dropout a product with an input. Neither a training-mode batch norm nor a training-mode dropout is ever written, since
engines disagree about both (torch 2.13.0 exports the eval network in silence; onnxruntime 1.32.0 removes such a dropout; openvino 2026.4.1
refuses it).
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..errors import Missing, UserError
from ..networks.base import Generator
from ..networks.model_file import Inference
from ..networks.modes import inference
from ..networks.noise import NoiseMap
from ..progress import without_warnings
from .exported import NoiseInput

OPSET = 18
SOURCE, TARGET = "source", "target"
_LARGEST = 2**31 - 2**20
"""Bytes of one ONNX file: it is one protobuf message."""


class _Baked(nn.Module):
    """A generator in a stated mode, as a function of the source and of the maps of noise."""

    def __init__(self, generator: Generator, how: Inference) -> None:
        super().__init__()
        self.generator, self.how = generator, how

    def forward(self, source: Tensor, noise: tuple[Tensor, ...]) -> Tensor:
        with inference(self.generator, norm=self.how.norm, noise=self.how.noise, given=noise):
            return self.generator(source)  # type: ignore[no-any-return]


def noise_inputs(generator: Generator, how: Inference, multiple: int) -> tuple[NoiseInput, ...]:
    """What noise a pass of a generator takes, for any size of image; found by running it on the meta device.

    Args:
        generator: on any device.
        how: without noise there is none.
        multiple: of the height and width that go in.

    Raises:
        UserError: the sizes of a map do not follow those of the image.
    """
    if how.noise == "none":
        return ()
    outline = copy.deepcopy(generator).to("meta")
    least = -(-generator.smallest_input // multiple)
    sizes = [(least + first, least + first + 1) for first in ((1, 2, 4) if generator.only_size is None else (0,))]
    sides = [(height * multiple, width * multiple) for height, width in sizes]
    if generator.only_size is not None:
        sides = [(generator.only_size, generator.only_size)]
    runs: list[list[NoiseMap]] = []
    for height, width in sides:
        try:
            with inference(outline, norm=how.norm, noise=how.noise, seed=0) as stream:
                outline(torch.empty(1, generator.source_channels, height, width, device="meta"))
        except RuntimeError as error:  # the network asks for values on its way, and here are none
            raise _not_written(generator, "a graph", error) from error
        runs.append(stream.maps)
    inputs = []
    for number, maps in enumerate(zip(*runs, strict=True)):
        channels, *_ = maps[0].shape
        rules = [_rule([side[axis] for side in sides], [one.shape[1 + axis] for one in maps]) for axis in (0, 1)]
        if None in rules or any(one.shape[0] != channels for one in maps):
            raise UserError(
                f"this {type(generator).__name__} has noise whose size does not follow the image's: export it with --noise none"
            )
        inputs.append(NoiseInput(f"noise_{number}", maps[0].kind, maps[0].probability, channels, rules[0], rules[1]))  # type: ignore[arg-type]
    return tuple(inputs)


def _rule(sides: Sequence[int], maps: Sequence[int]) -> tuple[int, int, int] | None:
    """``(times, divisor, more)`` with which map = side x times / divisor + more, for all that were seen."""
    slope = Fraction(maps[-1] - maps[0], sides[-1] - sides[0]) if len(sides) > 1 else Fraction(0)
    more = maps[0] - slope * sides[0]
    fits = more.denominator == 1 and all(slope * side + more == size for side, size in zip(sides, maps))
    return (slope.numerator, slope.denominator, int(more)) if fits else None


def onnx_graph(generator: Generator, how: Inference, noise: Sequence[NoiseInput], multiple: int) -> Any:
    """The graph: ``source`` ``[N, C, H, W]`` in [-1, 1] (and maps of noise) -> ``target`` ``[N, C', H, W]`` in [-1, 1].

    Height and width are padded by reflection inside, as a translator does it, and the output is cropped back; a generator of one size
    only takes that size.

    Args:
        generator: on any device, in float32.
        how: the modes that are written down.
        noise: of :func:`noise_inputs`.
        multiple: of the height and width that go into the generator.

    Returns:
        An ``onnx.ModelProto`` without metadata.

    Raises:
        Missing: the packages of the extra ``export`` are not installed.
        UserError: the generator cannot be written as a graph, or is too large for one file.
    """
    _require("onnx", "onnxscript")
    size = sum(tensor.numel() * tensor.element_size() for tensor in generator.state_dict().values())
    if size > _LARGEST:
        raise UserError(f"the model's weights take {size / 2**30:.1f} GiB, and an ONNX file holds 2: export a smaller model")
    traced = torch_program(generator, how, noise, multiple)
    try:
        with _quietly():
            written = torch.onnx.export(
                traced,
                dynamo=True,
                input_names=[SOURCE, *(one.name for one in noise)],
                output_names=[TARGET],
                opset_version=OPSET,
                verbose=False,
            )
    except Exception as error:  # the exporter raises its own, and what the network's code raises when traced
        raise _not_written(generator, "an ONNX graph", error) from error
    assert written is not None
    model = written.model_proto
    _strip(model)
    _check_nodes(generator, model)
    if generator.only_size is None and (multiple, generator.smallest_input) != (1, 1):
        _pad_inside(model, multiple, generator.smallest_input)
    return model


def torch_program(generator: Generator, how: Inference, noise: Sequence[NoiseInput], multiple: int) -> torch.export.ExportedProgram:
    """The network as a program of torch: ``(source, (noise, ...)) -> target``, for any batch, and heights and widths of the multiple.

    Args:
        generator: on any device.
        how: the modes that are written down.
        noise: of :func:`noise_inputs`.
        multiple: of the height and width that go in.

    Raises:
        UserError: the generator's code depends on values that are not known beforehand.
    """
    baked = _Baked(copy.deepcopy(generator).to("cpu", torch.float32), how)
    image, maps, shapes = _examples(generator, noise, multiple)
    try:
        with _quietly():
            return torch.export.export(baked, (image, maps), dynamic_shapes=shapes, strict=False)
    except Exception as error:  # of many kinds
        raise _not_written(generator, "a graph", error) from error


def _not_written(generator: Generator, what: str, error: Exception) -> UserError:
    reason = " ".join(str(error.__cause__ or error).split())[:200]
    return UserError(f"this {type(generator).__name__} cannot be written as {what} ({reason}): translate with the model itself")


def _examples(generator: Generator, noise: Sequence[NoiseInput], multiple: int) -> tuple[Tensor, tuple[Tensor, ...], Any]:
    """What the network is traced with, and which sides of it are free."""
    least = max(2, -(-generator.smallest_input // multiple))
    rows, columns = (least + 1) * multiple, (least + 2) * multiple
    if generator.only_size is not None:
        rows = columns = generator.only_size
    batch = torch.export.Dim("batch")
    free: dict[int, Any] = {0: batch}
    tall = wide = None
    if generator.only_size is None:
        tall, wide = (torch.export.Dim(name, min=max(1, -(-generator.smallest_input // multiple))) for name in ("tall", "wide"))
        free |= {2: tall if multiple == 1 else multiple * tall, 3: wide if multiple == 1 else multiple * wide}
    maps = tuple(torch.zeros(1, *one.at(rows, columns).shape) for one in noise)  # one map for all images of a batch
    of_maps = []
    for one in noise:
        of_map: dict[int, Any] = {}
        for axis, dimension, rule in ((2, tall, one.height), (3, wide, one.width)):
            if dimension is not None and rule[0]:
                per = Fraction(multiple * rule[0], rule[1])
                of_map[axis] = _linear(dimension, per, rule[2]) if per.denominator == 1 else torch.export.Dim.AUTO
        of_maps.append(of_map)
    return torch.zeros(2, generator.source_channels, rows, columns), maps, (free, tuple(of_maps))


def _linear(dimension: Any, factor: Fraction, more: int) -> Any:
    scaled = dimension if factor == 1 else int(factor) * dimension
    return scaled if not more else scaled + more


_RANDOM = {"Bernoulli", "Dropout", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike"}


def _check_nodes(generator: Generator, model: Any) -> None:
    """See that no engine has to draw random numbers, which each does in its own way.

    Raises:
        UserError: the network draws some in a way that no seed reaches.
    """
    for node in [*model.graph.node, *(node for function in model.functions for node in function.node)]:
        if node.op_type in _RANDOM:
            raise UserError(
                f"this {type(generator).__name__} draws random numbers inside ({node.op_type}), which no seed reaches: make its noise by "
                "layers, nn.Dropout or NoiseInjection, or translate with the model itself"
            )


def _strip(model: Any) -> None:
    """Take away what the exporter writes beside the arithmetic: file names and lines of source code, node by node."""
    for holder in (model, model.graph, *model.graph.node, *model.graph.input, *model.graph.output, *model.graph.value_info):
        holder.ClearField("doc_string")
        if "metadata_props" in holder.DESCRIPTOR.fields_by_name:
            holder.ClearField("metadata_props")
    for tensor in model.graph.initializer:
        tensor.ClearField("doc_string")
    model.graph.ClearField("value_info")  # shapes inside hold only for what was traced
    model.graph.name, model.producer_name = "transfigure", "transfigure"


def _pad_inside(model: Any, multiple: int, smallest: int) -> None:
    """Put the padding by reflection before the graph, and the cropping after it, as nodes that work for any size."""
    from onnx import TensorProto, helper, numpy_helper

    graph = model.graph
    inner = list(graph.node)
    for node in inner:
        node.input[:] = ["padded" if name == SOURCE else name for name in node.input]
        node.output[:] = ["whole" if name == TARGET else name for name in node.output]
    before: list[Any] = [helper.make_node("Shape", [SOURCE], ["pad_shape"])]

    def constant(name: str, *values: int, scalar: bool = False) -> str:
        tensor = numpy_helper.from_array(np.array(values[0] if scalar else values, "int64"), name)
        graph.initializer.append(tensor)
        return name

    zero, one, two = (constant(f"pad_{word}", value, scalar=True) for word, value in (("zero", 0), ("one", 1), ("two", 2)))
    by, least = constant("pad_multiple", multiple, scalar=True), constant("pad_least", smallest, scalar=True)
    image, ends = SOURCE, []
    for axis, side in ((2, "rows"), (3, "columns")):

        def name(word: str, side: str = side) -> str:
            return f"pad_{side}_{word}"

        def node(operator: str, inputs: list[str], word: str, name: Any = name, **attributes: Any) -> str:
            before.append(helper.make_node(operator, inputs, [name(word)], **attributes))
            return str(name(word))

        size = node("Gather", ["pad_shape", constant(name("axis"), axis, scalar=True)], "size")
        wanted = node("Max", [size, least], "at_least")
        wanted = node("Sub", [node("Add", [wanted, by], "plus"), one], "more")
        wanted = node("Mul", [node("Div", [wanted, by], "times"), by], "wanted")
        period = node("Max", [node("Sub", [node("Mul", [size, two], "twice"), two], "period_or_0"), one], "period")
        steps = node("Mod", [node("Range", [zero, wanted, one], "range"), period], "steps")
        mirrored = node("Where", [node("Less", [steps, size], "inside"), steps, node("Sub", [period, steps], "back")], "mirrored")
        image = node("Gather", [image, mirrored], "padded", axis=axis)
        ends.append(node("Unsqueeze", [size, constant(name("front"), 0)], "end"))
    before.append(helper.make_node("Identity", [image], ["padded"]))
    before.append(helper.make_node("Concat", ends, ["pad_ends"], axis=0))
    starts, axes = constant("pad_starts", 0, 0), constant("pad_axes", 2, 3)
    crop = helper.make_node("Slice", ["whole", starts, "pad_ends", axes], [TARGET])
    graph.ClearField("node")
    graph.node.extend([*before, *inner, crop])
    for value in (graph.input[0], graph.output[0]):
        channels = value.type.tensor_type.shape.dim[1].dim_value
        value.CopyFrom(helper.make_tensor_value_info(value.name, TensorProto.FLOAT, ["batch", channels, "height", "width"]))


@contextmanager
def _quietly() -> Iterator[None]:
    """Without the exporter's asides, such as that torchvision is not installed."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "torch.export", "torch.fx", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.CRITICAL)
        with without_warnings():
            yield
    finally:
        for logger, level in zip(loggers, levels):
            logger.setLevel(level)


def _require(*modules: str) -> None:
    import importlib.util

    for module in modules:
        if importlib.util.find_spec(module) is None:
            raise Missing.extra(module, "export", "writing an ONNX file")
