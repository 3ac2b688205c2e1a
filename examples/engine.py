"""An engine of your own: loads an exported graph, and runs it. This one is the reference of the ONNX standard itself, in plain numpy: slow,
and independent of every other, so that a doubt about one of them can be settled.

    transfigure train examples/tiny.yaml --out runs/engine
    transfigure export runs/engine --out runs/engine.onnx
    python examples/data_kind.py runs/pairs
    transfigure translate runs/engine.onnx runs/pairs/0_in.png runs/by_numpy.png --engine by_numpy --plugins examples/engine.py
"""

from pathlib import Path
from typing import Any, ClassVar

from numpy.typing import NDArray

from transfigure import register
from transfigure.errors import UserError
from transfigure.translation.engines.base import FileEngine, Port
from transfigure.translation.exported import About


@register("engine", "by_numpy", module="onnx", extra="export", order=9)
class NumpyEngine(FileEngine):
    """The evaluator that comes with the package ``onnx``.

    Args:
        model: an ONNX file, or its bytes.
        about: what it says of itself.
        name: of the file, for errors.
    """

    name: ClassVar[str] = "by_numpy"

    def __init__(self, model: Path | bytes, about: About, name: str = "the model") -> None:
        from onnx import reference

        super().__init__(about)
        try:
            self.session: Any = reference.ReferenceEvaluator(model if isinstance(model, bytes) else str(model))
        except Exception as error:
            raise UserError(f"{name} cannot be run by onnx: {error}") from error

    def run(self, feeds: dict[str, NDArray[Any]]) -> NDArray[Any]:
        """The graph's only output for its inputs, by their names."""
        output: NDArray[Any] = self.session.run(None, feeds)[0]
        return output

    def signature(self) -> tuple[list[Port], list[Port]]:
        """What the graph takes and gives."""
        graph = self.session.proto_.graph
        sides = []
        for side in (graph.input, graph.output):
            kinds = [one.type.tensor_type for one in side]
            shapes = [[size.dim_value if size.HasField("dim_value") else None for size in kind.shape.dim] for kind in kinds]
            sides.append([Port(one.name, shape, "float") for one, shape in zip(side, shapes, strict=True)])
        return sides[0], sides[1]
