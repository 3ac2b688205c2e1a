"""Runs an ONNX file, or an OpenVINO file, by OpenVINO."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, ClassVar

import torch
from numpy.typing import NDArray

from ...errors import Missing, UserError
from ...registry import register
from ..exported import About
from .base import FileEngine, Port


@register("engine", "openvino", module="openvino", extra="openvino", order=1)
class OpenVinoEngine(FileEngine):
    """OpenVINO, on the CPU, with as many threads as torch has; the fastest for float32 and by far for 8-bit graphs.

    Where nothing is said OpenVINO computes in bfloat16 on a CPU that has it, which changes a quarter of all 8-bit values; here it
    computes in float32 what is float32. A batch differs from its images one by one in the last bits (openvino 2026.4.1), so images are
    given one by one.

    Args:
        model: an ONNX file, an OpenVINO ``.xml``, or the bytes of an ONNX file.
        about: what it says of itself.
        name: of the file, for errors.
    """

    name: ClassVar[str] = "openvino"

    def __init__(self, model: Path | bytes, about: About, name: str = "the model") -> None:
        super().__init__(about, name)
        self.request = compiled(read_graph(model, name), name).create_infer_request()

    def run(self, feeds: dict[str, NDArray[Any]]) -> NDArray[Any]:  # noqa: D102
        output: NDArray[Any] = self.request.infer(feeds)[0].copy()  # the next pass overwrites it
        return output

    def signature(self) -> tuple[list[Port], list[Port]]:  # noqa: D102
        ports = [
            [
                Port(
                    one.any_name,
                    [None if side.is_dynamic else side.get_length() for side in one.partial_shape],
                    one.element_type.get_type_name(),
                )
                for one in side
            ]
            for side in (self.request.model_inputs, self.request.model_outputs)
        ]
        return ports[0], ports[1]


def read_graph(model: Path | bytes, name: str) -> Any:
    """An ``openvino.Model``.

    Raises:
        Missing: OpenVINO is not installed.
        UserError: it cannot read the file.
    """
    try:
        import openvino
    except ImportError as error:
        raise Missing.extra("openvino", "openvino", f"translating with {name}") from error
    try:
        return openvino.Core().read_model(model if isinstance(model, bytes) else str(model))
    except Exception as error:
        raise _unusable(name, error) from error


def compiled(graph: Any, name: str) -> Any:
    """The graph, ready to run in float32.

    It is compiled in a thread that ends then. OpenVINO (2026.4.1) gives the thread that compiles another stack for its signal handlers, and
    when the model is freed gives back the one that was there before: that of another model, perhaps, which has been freed meanwhile. The
    next signal would end a process whose main thread had compiled both: Ctrl-C, or the end of a child.

    Raises:
        UserError: OpenVINO cannot run it.
    """
    import openvino

    settings = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": torch.get_num_threads(), "PERFORMANCE_HINT": "LATENCY"}
    try:
        with ThreadPoolExecutor(1) as fresh:
            return fresh.submit(openvino.Core().compile_model, graph, "CPU", settings).result()
    except Exception as error:
        raise _unusable(name, error) from error


def _unusable(name: str, error: Exception) -> UserError:
    reason = " ".join(str(error).split())[:200]
    return UserError(f"{name} cannot be run by openvino ({reason}): export it again, or copy it again")
