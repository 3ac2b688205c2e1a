"""Edges of photos by a network that the user gives."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from annotated_types import Ge

from ...data.files import home_path
from ...data.pixels import Array, convert_channels
from ...errors import UserError
from ...registry import register
from ...translation.engines.onnxruntime import open_session
from ..base import Preparation, PreparedPair, refuse_other_channels, scaled

Values = Literal["unit", "signed", "bytes"]


@register("preparation", "soft_edges")
class SoftEdges(Preparation):
    """Soft edges by an ONNX file, such as an exported holistically-nested edge detector; its last output is the map of edges.

    The photo is brought between its own darkest and brightest value first; sides are padded to a multiple by reflection, and cropped back.

    Args:
        model: the ONNX file: one input ``[N, 3 or 1, H, W]`` of float32.
        values: what the network takes: ``unit`` for 0 to 1, ``signed`` for -1 to 1, ``bytes`` for 0 to 255.
        order: of its channels.
        sigmoid: apply one to the output, where the network does not.
        multiple: what height and width must be divisible by.
        lines: colour of the lines.

    Source: HED, Xie and Tu 2015, gave pix2pix its edges.
    """

    def __init__(
        self,
        model: str = "",
        values: Values = "unit",
        order: Literal["rgb", "bgr"] = "rgb",
        sigmoid: bool = False,
        multiple: Annotated[int, Ge(1)] = 32,
        lines: Literal["black", "white"] = "black",
    ) -> None:
        if not model:
            raise UserError("soft edges need a network: give its ONNX file with --preparation.model")
        self._file = Path(home_path(model))
        if not self._file.is_file():
            raise UserError(f"{self._file} is not there: give the ONNX file of the edge detector with --preparation.model")
        self._session: Any = open_session(self._file, str(self._file))
        inputs = self._session.get_inputs()
        shape = inputs[0].shape if inputs else []
        if len(inputs) != 1 or len(shape) != 4 or inputs[0].type != "tensor(float)" or shape[1] not in (1, 3):
            raise UserError(
                f"{self._file} takes {', '.join(f'{one.name} {one.shape} of {one.type}' for one in inputs)}: an edge detector takes one "
                "float32 image [N, 3 or 1, H, W]; export it so"
            )
        self._channels, self._fixed = int(shape[1]), [side if isinstance(side, int) else None for side in shape[2:]]
        self._values, self._order, self._sigmoid, self._multiple, self._lines = values, order, sigmoid, multiple, lines

    def __call__(self, photo: Array, label: str, generator: np.random.Generator) -> PreparedPair:
        """The map as ``[H, W, 1]`` uint8."""
        refuse_other_channels(photo, label, 1, 3)
        height, width, _ = photo.shape
        colour = np.stack([self._unit(photo)[..., at] for at in ((2, 1, 0) if self._order == "bgr" else (0, 1, 2))])
        picture = colour if self._channels == 3 else scaled(photo, 0, 100)[None]
        down, right = -height % self._multiple, -width % self._multiple
        if down >= height or right >= width:
            raise UserError(f"{label} is {width} x {height} pixels: too small to be padded to a multiple of {self._multiple}")
        picture = np.pad(picture, ((0, 0), (0, down), (0, right)), "reflect")
        if any(fixed not in (None, side) for fixed, side in zip(self._fixed, picture.shape[1:])):
            raise UserError(
                f"{label} is {width} x {height} pixels, and {self._file} takes {self._fixed[1]} x {self._fixed[0]}: export the network "
                "with free sides, or bring the photos to that size"
            )
        fed = {"unit": picture, "signed": picture * 2 - 1, "bytes": picture * 255}[self._values]
        try:
            output = self._session.run(None, {self._session.get_inputs()[0].name: fed[None].astype(np.float32)})[-1]
        except Exception as error:  # onnxruntime raises a class of its own for each kind of failure
            raise UserError(f"{self._file} fails on {label} ({' '.join(str(error).split())[:160]}): give another network") from error
        edges = np.asarray(output, np.float64)
        if edges.size != picture.shape[1] * picture.shape[2]:
            raise UserError(
                f"{self._file} makes an output of shape {list(edges.shape)} from {picture.shape[2]} x {picture.shape[1]} pixels: an edge "
                "detector's last output is one value for each pixel"
            )
        edges = edges.reshape(picture.shape[1:])[:height, :width]
        if self._sigmoid:
            edges = 1 / (1 + np.exp(-edges))
        if not np.isfinite(edges).all() or edges.min() < -1e-3 or edges.max() > 1 + 1e-3:
            raise UserError(
                f"{self._file} makes values from {edges.min():.3g} to {edges.max():.3g} of {label}: edges lie in 0 to 1; if these are "
                "logits, add --preparation.sigmoid"
            )
        strength = np.rint(np.clip(edges, 0, 1) * 255).astype(np.uint8)[..., None]
        return PreparedPair(strength if self._lines == "white" else np.uint8(255) - strength, photo)

    @staticmethod
    def _unit(photo: Array) -> Array:
        """Three channels in [0, 1] by the smallest and the largest value of the photo."""
        values = convert_channels(photo, 3).astype(np.float64)
        low, high = values.min(), values.max()
        found: Array = (values - low) / (high - low) if high > low else np.zeros(values.shape)
        return found
