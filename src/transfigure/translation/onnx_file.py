"""ONNX files as bytes: what stands beside the graph is read without any package, and without reading the graph.

An ONNX file is one protobuf message (https://onnx.ai/onnx/repo-docs/IR.html); its fields follow one another, each with its length before
it, so those that are not wanted are stepped over, and a file that is cut off shows.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, BinaryIO

from ..errors import UserError
from ..integrity import open_file
from .exported import KEY, About

_GRAPH, _METADATA, _KEY, _VALUE = 7, 14, 1, 2
_KNOWN = frozenset({1, 2, 3, 4, 5, 6, 7, 8, 14, 20, 25, 26})
"""Fields of a ModelProto."""
_MOST_METADATA = 64 << 20


def read_metadata(file: Path) -> dict[str, str]:
    """The metadata of an ONNX file.

    Raises:
        UserError: it is no ONNX file, or it is cut off.
    """
    try:
        size = file.stat().st_size
        with open_file(file) as stream:
            return _metadata(stream, size)
    except _Not as error:
        raise UserError(f"{file} is {error}") from None
    except OSError as error:
        raise UserError(f"{file} cannot be read: {error.strerror}; check its name and permissions") from None


class _Not(Exception):
    """What a file is that is no whole ONNX file."""


def _metadata(stream: BinaryIO, size: int) -> dict[str, str]:
    found: dict[str, str] = {}
    has_graph, at = False, 0
    no_onnx = _Not("no ONNX file: give one that was exported for onnxruntime or OpenVINO")
    while at < size:
        try:
            tag = _number(stream)
            field, wire = tag >> 3, tag & 7
            if field not in _KNOWN or wire not in (0, 2):
                raise no_onnx
            if wire == 0:
                _number(stream)
                at = stream.tell()
                continue
            length = _number(stream)
        except EOFError:
            raise (_cut() if has_graph or found else no_onnx) from None
        at = stream.tell() + length
        if at > size:
            raise _cut() if field == _GRAPH or has_graph else no_onnx
        has_graph = has_graph or field == _GRAPH
        if field == _METADATA and length <= _MOST_METADATA:
            key, value = _entry(stream.read(length))
            found[key] = value
        stream.seek(at)
    if not has_graph:
        raise no_onnx
    return found


def _cut() -> _Not:
    return _Not("an ONNX file that is cut off: copy or export it again")


def _number(stream: BinaryIO) -> int:
    value = shift = 0
    while True:
        byte = stream.read(1)
        if not byte or shift > 63:
            raise EOFError
        value |= (byte[0] & 127) << shift
        if byte[0] < 128:
            return value
        shift += 7


def _entry(data: bytes) -> tuple[str, str]:
    """Key and value of one entry; both are short fields of text."""
    import io

    stream, parts = io.BytesIO(data), {_KEY: "", _VALUE: ""}
    while stream.tell() < len(data):
        try:
            tag, length = _number(stream), _number(stream)
        except EOFError:
            break
        parts[tag >> 3] = stream.read(min(length, len(data))).decode("utf-8", "replace")
    return parts[_KEY], parts[_VALUE]


def about_of(file: Path) -> About | None:
    """What an ONNX file of ours says of itself; None for another's.

    Raises:
        UserError: it is no ONNX file, damaged, or of a newer version.
    """
    text = read_metadata(file).get(KEY)
    return None if text is None else About.from_json(text, str(file))


def with_about(model: Any, about: About) -> bytes:
    """The bytes of an ``onnx.ModelProto`` that says of itself what it is."""
    for entry in [entry for entry in model.metadata_props if entry.key == KEY]:
        model.metadata_props.remove(entry)
    entry = model.metadata_props.add()
    entry.key, entry.value = KEY, about.to_json()
    data: bytes = model.SerializeToString()
    return data


def with_half_weights(model: Any) -> None:
    """Store the larger weights of a graph in half precision; each is brought back to float32 by a node, once, when an engine loads it."""
    import numpy as np
    from onnx import TensorProto, helper, numpy_helper

    casts = []
    for tensor in model.graph.initializer:
        if tensor.data_type != TensorProto.FLOAT or np.prod(tensor.dims) < _SMALL:
            continue
        name, values = tensor.name, numpy_helper.to_array(tensor)
        tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float16), f"{name}_half"))
        casts.append(helper.make_node("Cast", [f"{name}_half"], [name], to=TensorProto.FLOAT))
    nodes = [*casts, *model.graph.node]
    model.graph.ClearField("node")
    model.graph.node.extend(nodes)


_SMALL = 64
"""Biases and scales of fewer values than this stay as they are."""
