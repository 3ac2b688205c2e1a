"""The models of a server: what is said of them, and how an image file becomes the file that ``translate`` would write."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..errors import UserError
from ..metrics.palettes import Palette
from ..networks.model_file import Domain, Inference, Noise, describe_checkpoint
from ..translation.folder import FileOptions
from ..translation.translator import Translator

_MODES = 64
"""Seeds whose translators are kept ready."""
_USUAL_SIZE = 256
_MOST_CLASSES = 64


def blank(source: Domain, height: int, width: int) -> NDArray[Any]:
    """A picture of one value, as files of a model's sources hold it: black, or all of the first class."""
    if source.encoding == "values":
        return np.zeros((height, width, source.channels), np.dtype(source.dtype))
    return source.to_encoding().decode(torch.full((source.channels, height, width), -1.0))


def channels_to_send(source: Domain) -> int:
    """Of a picture that a client draws: label maps whose classes have colours may come in these, whatever their files hold."""
    return 3 if source.classes and all(one.colour is not None for one in source.classes) else source.file_channels


@dataclass(frozen=True)
class PreparedImage:
    """A sent image, ready for the network.

    Attributes:
        file: where it lies.
        tensor: ``[C, H, W]`` in [-1, 1].
        options: how it was read.
        translator: in the mode that was asked for.
    """

    file: Path
    tensor: Tensor
    options: FileOptions
    translator: Translator

    def answer(self, output: Tensor, format: str) -> bytes:
        """The file that is sent back, byte for byte what ``translate`` writes.

        Args:
            output: ``[C, H, W]`` in [-1, 1].
            format: ``png`` or ``tif``.

        Raises:
            UserError: the format cannot hold what the model makes.
        """
        return self.translator.encoded(self.file, output, f"picture.{format}", self.options)


class ServedModel:
    """A model with its name.

    Args:
        name: in addresses.
        translator: quiet.
        palette: of what it takes, to draw with.
    """

    def __init__(self, name: str, translator: Translator, palette: Palette | None = None) -> None:
        self.name, self.translator, self.palette = name, translator, palette
        self._modes: OrderedDict[Inference, Translator] = OrderedDict()
        self._lock = threading.Lock()

    def running(self, seed: int | None, noise: Noise | None) -> Translator:
        """Its translator in a mode; None is the mode that the server was started with.

        Raises:
            UserError: the model cannot run so.
        """
        usual = self.translator.inference
        how = replace(usual, seed=usual.seed if seed is None else seed, noise=noise or usual.noise)
        with self._lock:
            if how not in self._modes:
                self._modes[how] = self.translator.running(how)
            self._modes.move_to_end(how)
            while len(self._modes) > _MODES:
                self._modes.popitem(last=False)
            return self._modes[how]

    def read(self, file: Path, options: FileOptions, translator: Translator) -> PreparedImage:
        """An image file, for the network.

        Raises:
            UserError: it cannot be read, or does not fit the model.
        """
        options = translator.choose_half([file], options)
        return PreparedImage(file, translator.read_tensor(file, options), options, translator)

    @cached_property
    def format(self) -> str:
        """``png``, or ``tif`` where a PNG cannot hold what the model makes."""
        return self.translator.usual_format()

    @cached_property
    def size(self) -> tuple[int, int]:
        """Height and width of the pictures it was trained on, as far as that is known."""
        trained = ((self.translator.config.recipe or {}).get("data") or {}).get("evaluation_size")
        only = self.translator.generator.only_size
        side = only or (trained if type(trained) is int else None) or self.translator.config.trained_size or _USUAL_SIZE
        return side, side

    def warm_up(self) -> None:
        """Do once what is done once, so that the first request need not wait for it."""
        height, width = self.size
        source = self.translator.config.source
        self.translator.translate_array(blank(source, height, width))
        self.about()

    @cached_property
    def is_noisy(self) -> bool:
        """Whether the seed changes its pictures."""
        how = replace(self.translator.inference, noise="dropout")
        image = blank(self.translator.config.source, *self.size)
        try:
            first, second = (self.translator.running(replace(how, seed=seed)).translate_array(image) for seed in (0, 1))
        except UserError:  # an exported file without noise
            return False
        return not np.array_equal(first, second)

    def about(self) -> dict[str, Any]:
        """What clients are told."""
        config = self.translator.config
        return {
            "name": self.name,
            "title": ", ".join(
                word for word in (str((config.recipe or {}).get("name") or ""), describe_checkpoint(config.checkpoint)) if word
            ),
            "engine": self.translator.engine.describe(),
            "source": {**asdict(config.source), "channels": channels_to_send(config.source)},
            "target": {**asdict(config.target), "channels": config.target.file_channels},
            "size": list(self.size),
            "palette": None if self.palette is None else _drawable(self.palette),
            "noise": self.is_noisy,
            "seed": self.translator.inference.seed,
        }


def _drawable(palette: Palette) -> dict[str, Any] | None:
    """A palette's names and colours; None if it knows numbers only, or has more classes than a person draws with."""
    if palette.colours is None or len(palette.classes) > _MOST_CLASSES:
        return None
    colours = ["#" + bytes(colour).hex() for colour in palette.colours.tolist()]
    classes = [{"name": name, "color": colour} for name, colour in zip(palette.classes, colours, strict=True)]
    names = [name.lower() for name in palette.classes]
    background = next((names.index(name) for name in ("background", "wall", "facade", "sky") if name in names), 0)
    return {"name": palette.name, "classes": classes, "background": background}


def name_models(places: Sequence[str]) -> dict[str, str]:
    """``runs/facades`` as ``facades``, ``night=runs/b`` as ``night``.

    Raises:
        UserError: two have one name, or a name does not fit into an address.
    """
    named: dict[str, str] = {}
    for given in places:
        name, equals, place = given.partition("=")
        if not equals or not name.replace("-", "").replace("_", "").isalnum():
            place = given
            path = Path(given.removeprefix("hub:"))
            name = path.stem if path.suffix.lower() in (".onnx", ".xml", ".pth", ".pt", ".pict") else path.resolve().name
        if name in named:
            raise UserError(f"{named[name]} and {place} would both be served as {name}: give one of them a name, as other={place}")
        named[name] = place
    return named
