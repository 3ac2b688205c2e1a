"""Small ONNX files in the place of an edge detector."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np


def write_network(file: Path, weight: Any, side: int | str = "h") -> Path:
    """A 1 x 1 convolution of three channels into one."""
    import onnx

    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    weights = helper.make_tensor("w", kind, [1, 3, 1, 1], np.asarray(weight, np.float32))
    graph = helper.make_graph(
        [helper.make_node("Conv", ["x", "w"], ["edges"])],
        "edges",
        [helper.make_tensor_value_info("x", kind, ["n", 3, side, "w" if side == "h" else side])],
        [helper.make_tensor_value_info("edges", kind, None)],
        [weights],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), file)
    return file
