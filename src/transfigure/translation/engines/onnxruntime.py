"""Runs an ONNX file by onnxruntime."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import torch
from numpy.typing import NDArray

from ...errors import Missing, UserError
from ...registry import register
from ..exported import About
from .base import FileEngine, Port


@register("engine", "onnxruntime", module="onnxruntime", extra="export", order=2)
class OnnxRuntimeEngine(FileEngine):
    """onnxruntime, on the CPU, with as many threads as torch has.

    It computes a batch bit for bit as its images one by one (onnxruntime 1.32.0, tested for every generator). 8-bit graphs run and are
    slower than float32 in it: take openvino for those.

    Args:
        model: an ONNX file, or its bytes.
        about: what it says of itself.
        name: of the file, for errors.
    """

    name: ClassVar[str] = "onnxruntime"
    exact_batches: ClassVar[bool] = True

    def __init__(self, model: Path | bytes, about: About, name: str = "the model") -> None:
        super().__init__(about, name)
        self.session = open_session(model, name)
        self.output = self.session.get_outputs()[0].name

    def run(self, feeds: dict[str, NDArray[Any]]) -> NDArray[Any]:  # noqa: D102
        output: NDArray[Any] = self.session.run([self.output], feeds)[0]
        return output

    def signature(self) -> tuple[list[Port], list[Port]]:  # noqa: D102
        ports = [
            [Port(one.name, [side if isinstance(side, int) else None for side in one.shape], one.type[len("tensor(") : -1]) for one in side]
            for side in (self.session.get_inputs(), self.session.get_outputs())
        ]
        return ports[0], ports[1]


def open_session(model: Path | bytes, name: str) -> Any:
    """An ``InferenceSession`` on the CPU.

    Raises:
        Missing: onnxruntime is not installed.
        UserError: it is no ONNX file, or one that onnxruntime cannot run.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise Missing.extra("onnxruntime", "export", f"translating with {name}") from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 4
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # other threads decode and encode meanwhile
    try:
        return onnxruntime.InferenceSession(model if isinstance(model, bytes) else str(model), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # it raises a class of its own for each kind of failure
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{name} cannot be run by onnxruntime ({reason}): export it again, or copy it again") from error
