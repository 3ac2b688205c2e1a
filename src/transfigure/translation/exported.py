"""What an exported file says of itself: all that is needed to translate images with it, beside its graph.

It stands as JSON under the key ``transfigure`` of an ONNX file's metadata, or of an OpenVINO file's runtime information, and survives
quantisation, rounding to half precision and the engines' own optimisation.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from .._version import __version__
from ..errors import UserError
from ..integrity import DIGEST, Damaged, check_digest, digest_of
from ..networks.model_file import Inference, ModelConfig
from ..networks.noise import NoiseMap, draw_all
from ..stored import brief, load_json

KEY = "transfigure"
FORMAT = 1
Precision = Literal["float32", "float16", "int8"]
MOST_MAPS, MOST_TEXT = 10_000, 4 << 20


@dataclass(frozen=True)
class NoiseInput:
    """One input for noise, and the map that it wants for an image of any size.

    Attributes:
        name: of the input.
        kind: ``dropout`` or ``normal``, as :class:`~transfigure.networks.noise.NoiseMap`.
        probability: of dropout.
        channels: of the map.
        height: ``(times, divisor, more)``: the map's height is the padded image's times ``times / divisor``, plus ``more``.
        width: likewise.
    """

    name: str
    kind: Literal["dropout", "normal"]
    probability: float
    channels: int
    height: tuple[int, int, int]
    width: tuple[int, int, int]

    def at(self, height: int, width: int) -> NoiseMap:
        """The map for a (padded) image of this size."""
        sides = [side * times // divisor + more for side, (times, divisor, more) in ((height, self.height), (width, self.width))]
        return NoiseMap(self.kind, self.probability, (self.channels, *sides))

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> NoiseInput:
        """Read back what JSON made of it.

        Raises:
            KeyError, TypeError, ValueError: not such an input.
        """
        name, kind, probability, channels = (values[key] for key in ("name", "kind", "probability", "channels"))
        rules = [tuple(values[side]) for side in ("height", "width")]
        for rule in rules:
            if len(rule) != 3 or any(type(part) is not int or abs(part) > 2**20 for part in rule) or rule[1] < 1 or rule[0] < 0:
                raise ValueError(f"its noise {brief(name)} has the size {brief(str(rule))}")
        if not isinstance(name, str) or kind not in ("dropout", "normal") or type(channels) is not int or not 0 < channels <= 1 << 20:
            raise ValueError(f"its noise {brief(name)} is {brief(kind)} of {brief(channels)} channels")
        if not isinstance(probability, int | float) or not 0 <= probability <= 1:
            raise ValueError(f"its noise {brief(name)} has the probability {brief(probability)}")
        return cls(name, kind, float(probability), channels, rules[0], rules[1])


@dataclass(frozen=True)
class About:
    """What a file of ours holds.

    Attributes:
        config: the model; its ``inference`` are the modes that are written into the graph, and the seed of the noise.
        multiple: the generator's height and width inside; the graph pads to it by itself.
        smallest: the least height and width inside.
        only_size: the one side that it takes, if it takes one only.
        noise: inputs for noise; none if it was left out.
        precision: of the weights.
        measured: how far its outputs were from the torch model's when it was made: ``largest`` on [-1, 1], and for rounded weights the
            mean in ``grey_levels`` and the ``decibels`` on held-out images.
        memory: bytes for each pixel that a pass takes, 0 if unknown.
        weights: the SHA-256 of the model's weights.
        input: the name of the graph's input for images.
        beside: the SHA-256 of the second file, of a format that has one (OpenVINO's ``.bin``).
    """

    config: ModelConfig
    multiple: int
    smallest: int = 1
    only_size: int | None = None
    noise: tuple[NoiseInput, ...] = ()
    precision: Precision = "float32"
    measured: dict[str, float] = field(default_factory=dict)
    memory: float = 0.0
    weights: str = ""
    input: str = "source"
    beside: str = ""

    @property
    def inference(self) -> Inference:
        """The modes in the graph."""
        return self.config.inference

    def padded(self, height: int, width: int) -> tuple[int, int]:
        """The size inside for an image of this size."""
        if self.only_size is not None:
            return self.only_size, self.only_size
        rows, columns = (-(-max(side, self.smallest) // self.multiple) * self.multiple for side in (height, width))
        return rows, columns

    def noise_for(self, height: int, width: int) -> Sequence[NoiseMap]:
        """The maps for an image of this size, in the order in which they are drawn."""
        inside = self.padded(height, width)
        return [one.at(*inside) for one in self.noise]

    def noise_feeds(self, height: int, width: int, how: Inference) -> dict[str, NDArray[np.float32]]:
        """The maps themselves, by the names of their inputs: drawn from the seed, or such as change nothing."""
        maps = self.noise_for(height, width)
        drawn = draw_all(maps, how.seed) if how.noise == "dropout" else [one.neutral() for one in maps]
        return {one.name: values for one, values in zip(self.noise, drawn, strict=True)}

    def to_json(self) -> str:
        """As it is stored."""
        values = json.loads(json.dumps({**asdict(self), "config": self.config.to_dict(), "format": FORMAT, "transfigure": __version__}))
        return json.dumps({**values, DIGEST: digest_of(values)})

    @classmethod
    def from_json(cls, text: str, name: str) -> About:
        """Read back what :meth:`to_json` wrote.

        Args:
            text: the JSON.
            name: the file's, for errors.

        Raises:
            UserError: not such a text, damaged, or of a newer version.
        """
        try:
            values = load_json(text, MOST_TEXT)
            if not isinstance(values, dict):
                raise ValueError("it is no mapping")
            if isinstance(values.get("format"), int) and values["format"] > FORMAT:
                raise UserError(
                    f"{name} was exported by transfigure {brief(values.get('transfigure'))}, which is newer than this one ({__version__}): "
                    "pip install --upgrade transfigure"
                )
            check_digest(values)
            return cls._from_dict(values)
        except (KeyError, TypeError, ValueError, AttributeError, Damaged) as error:
            reason = f"it has no {error}" if isinstance(error, KeyError) else str(error)
            raise UserError(f"what {name} says of itself cannot be read ({reason}): export the model again") from error

    @classmethod
    def _from_dict(cls, values: Mapping[str, Any]) -> About:
        multiple, smallest, only = (values[key] for key in ("multiple", "smallest", "only_size"))
        for side in (multiple, smallest, only or 1):
            if type(side) is not int or not 0 < side <= 1 << 20:
                raise ValueError(f"its sizes are {brief(multiple)}, {brief(smallest)} and {brief(only)}")
        precision, measured, memory = values["precision"], values["measured"], values["memory"]
        if precision not in ("float32", "float16", "int8") or not isinstance(memory, int | float) or not 0 <= memory < 1e9:
            raise ValueError(f"its precision is {brief(precision)} and its memory {brief(memory)}")
        if not isinstance(measured, dict) or not all(isinstance(number, int | float) for number in measured.values()):
            raise ValueError(f"what was measured is {brief(measured)}")
        noise = values["noise"]
        if not isinstance(noise, list) or len(noise) > MOST_MAPS:
            raise ValueError(f"its noise is {brief(noise)}")
        try:
            config = ModelConfig.from_dict(values["config"])
        except UserError as error:  # which knows no file
            raise ValueError(str(error)) from error
        return cls(
            config,
            multiple,
            smallest,
            only,
            tuple(NoiseInput.from_dict(one) for one in noise),
            precision,
            measured,
            float(memory),
            str(values["weights"])[:64],
            str(values["input"])[:200],
            str(values.get("beside", ""))[:64],
        )
