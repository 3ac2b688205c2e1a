"""A translator: a trained generator with all it needs to turn an image of any size into an image."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, overload

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from ..data import images
from ..data.pixels import convert_channels, to_array, to_tensor
from ..errors import UserError
from ..networks.model_file import CONFIG, Inference, ModelConfig, load_model, save_model
from ..networks.modes import inference


@dataclass
class Translator:
    """A generator and what is known about it. Call it on a picture::

        translator = Translator.load("runs/facades")
        photo = translator(PIL.Image.open("label.png"))

    Attributes:
        generator: the ``torch.nn.Module``; ``[N, C, H, W]`` in [-1, 1] to the same, H and W multiples of ``config.size_multiple``.
        config: architecture, channels, ranges, recipe.
        inference: how it runs (statistics, noise, seed); begins as the model's stored choice.
    """

    generator: nn.Module
    config: ModelConfig
    inference: Inference

    @classmethod
    def load(cls, path: str | Path, *, checkpoint: Literal["last", "best"] = "last", device: str = "auto") -> Translator:
        """Load a model directory, or a run's model.

        Args:
            path: a model directory, or the run directory around it.
            checkpoint: of a run: the last state, or the one that validated best.
            device: ``auto``, ``cpu``, ``cuda``, ``mps``.

        Raises:
            UserError: there is no model, or it is damaged.
        """
        folder = Path(path)
        if not folder.is_dir():
            raise UserError(f"{folder} {'is a file' if folder.exists() else 'does not exist'}: give a run directory or a model directory")
        if not (folder / CONFIG).is_file():
            inside = folder / ("model" if checkpoint == "last" else "model_best")
            if not (inside / CONFIG).is_file():
                if checkpoint == "best" and (folder / "model" / CONFIG).is_file():
                    raise UserError(f"{folder} has no best model, since it was trained without validation pairs: use the last one")
                raise UserError(f"there is no model in {folder}: a run has one from its first checkpoint on")
            folder = inside
        place = pick_device(device)
        generator, config = load_model(folder, place)
        return cls(generator, config, config.inference)

    def save(self, folder: str | Path) -> None:
        """Write a model directory; the present inference choices become its default."""
        save_model(Path(folder), self.generator.state_dict(), replace(self.config, inference=self.inference))

    @overload
    def __call__(self, image: Image.Image) -> Image.Image: ...
    @overload
    def __call__(self, image: NDArray[Any]) -> NDArray[Any]: ...

    def __call__(self, image: Image.Image | NDArray[Any]) -> Image.Image | NDArray[Any]:
        """Translate one picture of any size; the answer has the same height and width.

        Args:
            image: a PIL image, or an array ``[H, W]`` or ``[H, W, C]`` of uint8, uint16 or float32 (in [0, 1]).

        Returns:
            The same kind of thing: a PIL image, or an array ``[H, W, C]`` of the model's own type.

        Raises:
            UserError: the wrong number of channels or type of values.
        """
        if isinstance(image, Image.Image):
            answer = self.translate_array(images.from_pillow(image))
            if answer.shape[2] not in (1, 3, 4) or answer.dtype != np.uint8:
                raise UserError(
                    f"this model's answer has {answer.shape[2]} channels of {answer.dtype}, which a PIL image cannot hold: call it on an array"
                )
            return Image.fromarray(answer[:, :, 0] if answer.shape[2] == 1 else answer)
        return self.translate_array(image)

    def translate_array(self, image: NDArray[Any]) -> NDArray[Any]:
        """Translate an array ``[H, W, C]`` (or ``[H, W]``); the answer is ``[H, W, C']`` in the model's own type."""
        image = image[:, :, None] if image.ndim == 2 else image
        if image.ndim != 3 or image.dtype.name not in ("uint8", "uint16", "float32"):
            raise UserError(
                f"cannot translate an array of shape {image.shape} and type {image.dtype}: give [H, W, C] of uint8, uint16 or float32"
            )
        source = self.config.source
        # a file of another depth keeps its own full range; the model's value range speaks of its own type of file
        limits = source.value_range if image.dtype.name == source.dtype else None
        fake = self.translate_tensor(to_tensor(convert_channels(image, source.channels), limits)[None])[0]
        return to_array(fake, self.config.target.dtype, self.config.target.value_range)

    def translate_tensor(self, source: Tensor) -> Tensor:
        """Translate ``[N, C, H, W]`` in [-1, 1], one image at a time, so that no image's result depends on its neighbours.

        Height and width are padded by reflection to the generator's multiple, and the answer is cropped back.
        """
        device = next(self.generator.parameters()).device
        how = self.inference
        answers = []
        for image in source:
            height, width = image.shape[-2:]
            padded = pad_by_reflection(image, self.config.size_multiple)
            with inference(self.generator, norm=how.norm, noise=how.noise, seed=how.seed):
                answers.append(self.generator(padded[None].to(device))[0, :, :height, :width].float().cpu())
        return torch.stack(answers)

    def translate_file(self, source: str | Path, output: str | Path, *, alpha: str = "refuse") -> None:
        """Translate an image file into an image file, whose suffix chooses its format.

        Raises:
            UserError: the file cannot be read, does not fit the model, or the output cannot be written.
        """
        try:
            images.write(Path(output), self.translate_array(images.read(Path(source), alpha)))
        except UserError as error:
            raise UserError(str(error) if str(source) in str(error) or str(output) in str(error) else f"{source}: {error}") from error

    def translate_folder(
        self, source: str | Path, output: str | Path, *, format: str = "png", on_file: Callable[[Path], None] | None = None, **options: Any
    ) -> list[Path]:
        """Translate every image of a folder: same names, same order, any number. See :func:`transfigure.translation.folder.translate_folder`."""
        from .folder import translate_folder

        return translate_folder(self, Path(source), Path(output), format=format, on_file=on_file, **options)


def pad_by_reflection(image: Tensor, multiple: int) -> Tensor:
    """Pad ``[C, H, W]`` on the right and below to multiples, mirroring the picture as often as it takes (a single pixel too)."""
    for dimension in (-2, -1):
        size = image.shape[dimension]
        wanted = -(-size // multiple) * multiple
        if wanted != size:
            period = max(1, 2 * size - 2)
            steps = torch.arange(wanted) % period
            image = image.index_select(dimension, torch.where(steps < size, steps, period - steps))
    return image


def pick_device(wish: str) -> torch.device:
    """The device of this name; ``auto`` is the best there is.

    Raises:
        UserError: the machine does not have it.
    """
    have = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if wish == "auto":
        return torch.device("cuda" if have["cuda"] else "mps" if have["mps"] else "cpu")
    if not have.get(wish.split(":", maxsplit=1)[0], False):
        raise UserError(f"device {wish} is not available here: use one of auto, {', '.join(name for name, there in have.items() if there)}")
    return torch.device(wish)


def describe_devices() -> Iterable[str]:
    """The devices of this machine, in words."""
    yield "cpu"
    for index in range(torch.cuda.device_count()):
        yield f"cuda:{index} ({torch.cuda.get_device_name(index)})"
    if torch.backends.mps.is_available():
        yield "mps"
