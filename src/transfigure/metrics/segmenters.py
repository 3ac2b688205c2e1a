"""Opening a segmenter, the network that the FCN-score shows photos to: our own file, an ONNX file, or any Python function."""

from __future__ import annotations

import importlib
import importlib.util
import math
import sys
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..data.files import home_path, real_path
from ..errors import Missing, UserError
from ..integrity import sha256_of
from ..networks.segmenter import load_segmenter
from ..stored import brief, load_json
from .palettes import Palette

IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Mean and standard deviation of ImageNet's colours on [0, 1]: what most published segmenters are fed by."""


@dataclass(frozen=True, eq=False)
class Segmenter:
    """A network that names the class of every pixel.

    Attributes:
        run: ``[N, 3, H, W]`` in [-1, 1], at its own size if it has one, to classes ``[N, h, w]`` or logits ``[N, K, h, w]``.
        name: what it is called.
        classes: how many it knows; None if it does not say.
        palette: of its classes, or None.
        size: the only height and width it takes, or was trained on; None for any.
        sha256: of its file; empty if it has none.
        preprocessing: how values and size are made to fit it, in words.
    """

    run: Callable[[Tensor], Any]
    name: str
    classes: int | None = None
    palette: Palette | None = None
    size: tuple[int, int] | None = None
    sha256: str = ""
    preprocessing: str = ""

    def __call__(self, images: Tensor) -> Tensor:
        """The class of every pixel.

        Args:
            images: ``[N, 3, H, W]`` in [-1, 1]; resized to ``size``, bilinearly and antialiased, if there is one.

        Returns:
            int64 ``[N, h, w]`` on the CPU, at the size of the network's output.

        Raises:
            UserError: it fails, or its output is not classes or logits.
        """
        if self.size is not None and images.shape[-2:] != self.size:
            images = F.interpolate(images, size=self.size, mode="bilinear", antialias=True)
        try:
            with torch.no_grad():
                output = torch.as_tensor(self.run(images)).detach().cpu()
        except Exception as error:  # whatever a foreign network makes of our images
            raise UserError(f"the segmenter {self.name} failed on an image of {_size(images)}: {_first_line(error)}") from error
        return self._classes_of(output, len(images))

    def _classes_of(self, output: Tensor, n: int) -> Tensor:
        if output.ndim == 4 and output.shape[1] == 1:
            output = output[:, 0]
        if output.ndim not in (3, 4) or len(output) != n or output.numel() == 0 or output.is_complex():
            raise UserError(
                f"the segmenter {self.name} returns an array of shape {tuple(output.shape)} for {n} image{'s' * (n > 1)}: "
                "wanted are logits [N, K, h, w] or class indices [N, h, w]"
            )
        if output.is_floating_point() and output.isnan().any():
            raise UserError(f"the segmenter {self.name} returns values that are not a number: its weights or its input are broken")
        if output.ndim == 4:
            if self.classes is not None and output.shape[1] != self.classes:
                raise UserError(f"the segmenter {self.name} says it has {self.classes} classes, and returns {output.shape[1]}")
            return (output if output.is_floating_point() else output.long()).argmax(1)  # torch has no argmax of some whole numbers
        indices = output.long()
        if not torch.equal(indices.to(output.dtype), output) or indices.min() < 0:
            raise UserError(f"the segmenter {self.name} returns values that are no class indices: whole numbers from 0 up are wanted")
        return indices


def open_segmenter(what: str | Path | Segmenter | Callable[[Tensor], Any]) -> Segmenter:
    """Open a segmenter.

    Args:
        what: one of

            - a ``.safetensors`` file that :func:`transfigure.networks.segmenter.save_segmenter` wrote;
            - an ``.onnx`` file: float input ``[N, 3, H, W]``, first output logits ``[N, K, h, w]`` or indices ``[N, h, w]``. Its metadata
              may say how it is fed, each as JSON: ``range``, the values of black and white (default ``[0, 1]``); ``mean`` and ``std``,
              three numbers each, then taken off and divided by (default ImageNet's, unless one of these three is said); ``order``,
              ``"RGB"`` or ``"BGR"``; ``size``, ``[height, width]``, for inputs of any size; and ``palette``, as a palette's file holds it;
            - ``package.module:function`` (a module where Python finds its own, else in the current folder) or ``file.py:function``, or the
              function itself: from ``[N, 3, H, W]`` float in [-1, 1] to
              logits or indices. Attributes ``classes``, ``palette`` and ``size`` of the function are used if it has them.

            The code of a named function is run: name only what you trust.

    Raises:
        UserError: not there, damaged, or none of these.
        Missing: onnxruntime is not installed.
    """
    if isinstance(what, Segmenter):
        return what
    if not isinstance(what, str | Path):
        return _of_function(what, str(getattr(what, "__name__", type(what).__name__)))
    path = home_path(what)
    if path.is_file():
        with path.open("rb") as stream:
            head = stream.read(9)
        if head[8:] == b"{":
            return _own(path)
        if path.suffix.lower() == ".onnx":
            return _onnx(path)
        if path.suffix.lower() == ".safetensors":
            raise UserError(f"{path} is damaged: it does not begin as a safetensors file does; copy it again")
        raise UserError(f"{path} is no segmenter: {_ACCEPTED}")
    place, colon, function = str(what).rpartition(":")
    if colon and function.isidentifier():
        return _of_function(_named(place, function, str(what)), str(what))
    raise UserError(f"there is no segmenter {str(what)!r}: {_ACCEPTED}")


MOST_PIXELS = 1 << 24
"""Of the images that a segmenter is shown."""
_ACCEPTED = "give a .safetensors file made by transfigure, an .onnx file, or module:function"


def _own(path: Path) -> Segmenter:
    network, facts = load_segmenter(path)
    try:
        size = None if facts["size"] is None else (int(facts["size"][0]), int(facts["size"][1]))
        palette = Palette.from_dict(facts["palette"])
        if (
            (size and not (min(size) > 0 and size[0] * size[1] <= MOST_PIXELS))
            or len(palette.classes) != network.classes
            or network.channels != 3
        ):
            raise ValueError(f"{network.channels} channels, {len(palette.classes)} colours for {network.classes} classes, size {size}")
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, UserError) as error:
        raise UserError(f"{path} does not say what its classes and its size are ({error}): train it anew") from error

    def run(images: Tensor) -> Tensor:
        logits: Tensor = network(images)
        return logits

    preprocessing = f"bilinear to {size[1]} x {size[0]}, the size it was trained on" if size else "at its own size"
    return Segmenter(run, path.name, network.classes, palette, size, sha256_of(path), preprocessing)


def _of_function(function: Any, name: str) -> Segmenter:
    if not callable(function):
        raise UserError(f"the segmenter {name} is a {type(function).__name__}: it must be a function of images [N, 3, H, W] in [-1, 1]")
    classes, palette, size = (getattr(function, fact, None) for fact in ("classes", "palette", "size"))
    palette = palette if isinstance(palette, Palette) else None
    if palette is not None and not isinstance(classes, int):
        classes = len(palette.classes)
    if isinstance(size, int):
        size = size, size
    size = tuple(size) if isinstance(size, tuple | list) and len(size) == 2 else None
    preprocessing = "values in [-1, 1]" + (f", bilinear to {size[1]} x {size[0]}" if size else "")
    return Segmenter(function, name, classes if isinstance(classes, int) else None, palette, size, preprocessing=preprocessing)


def _named(place: str, function: str, whole: str) -> Any:
    """The function of a module or of a file."""
    try:
        if place.endswith(".py"):
            file = real_path(place)
            if not file.is_file():
                raise UserError(f"the segmenter {whole} cannot be opened: there is no file {place}")
            name = f"transfigure_segmenter_{file.stem}_{zlib.crc32(bytes(file)):08x}"
            spec = importlib.util.spec_from_file_location(name, file)
            assert spec is not None and spec.loader is not None
            module = importlib.util.module_from_spec(spec)
            sys.modules[name] = module  # dataclasses and pickles look their module up
            spec.loader.exec_module(module)
        else:
            module = _module(place)
        return getattr(module, function)
    except UserError:
        raise
    except Exception as error:  # a user's own code
        raise UserError(f"the segmenter {whole} cannot be opened: {_first_line(error)}") from error


def _module(name: str) -> Any:
    """A module from where Python finds modules, else one that lies in the current folder."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        first = Path(name.partition(".")[0])
        if error.name != str(first) or not (first.is_dir() or first.with_suffix(".py").is_file()):
            raise
    here = str(Path.cwd())
    sys.path.append(here)  # last: nothing that lies there takes the place of a library
    try:
        importlib.invalidate_caches()
        return importlib.import_module(name)
    finally:
        sys.path.remove(here)


def _onnx(path: Path) -> Segmenter:
    try:
        runtime: Any = importlib.import_module("onnxruntime")
    except ImportError as error:
        raise Missing.extra("onnxruntime", "export", f"the segmenter {path.name}") from error
    options = runtime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = torch.get_num_threads()
    try:
        session = runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        metadata = dict(session.get_modelmeta().custom_metadata_map)
    except Exception as error:  # its exceptions have no common class of their own
        raise UserError(f"{path} cannot be opened as an ONNX network: {_first_line(error)}") from error
    inputs, output = session.get_inputs(), session.get_outputs()[0]
    shape = list(inputs[0].shape or ())
    if len(inputs) != 1 or len(shape) != 4 or inputs[0].type != "tensor(float)" or (isinstance(shape[1], int) and shape[1] != 3):
        kinds = ", ".join(f"{one.name} {one.type} {one.shape}" for one in inputs)
        raise UserError(f"{path} takes {kinds}: a segmenter takes one float input [N, 3, height, width]")
    preprocess = _Preprocessing.read(metadata, path)
    if all(isinstance(side, int) for side in shape[2:]):
        preprocess = replace(preprocess, size=(shape[2], shape[3]))
    try:
        palette = Palette.from_dict(load_json(metadata["palette"])) if "palette" in metadata else None
    except (ValueError, TypeError, AttributeError, UserError) as error:
        raise UserError(f"the palette in the metadata of {path} cannot be read: {error}") from error
    logits = output.shape is not None and len(output.shape) == 4 and isinstance(output.shape[1], int) and output.shape[1] > 1
    classes = output.shape[1] if logits else len(palette.classes) if palette is not None else None
    together = 1 if isinstance(shape[0], int) else None

    def run(images: Tensor) -> NDArrayAny:
        values = preprocess(images).contiguous().numpy()
        parts = [values] if together is None else [values[index : index + 1] for index in range(len(values))]
        return np.concatenate([session.run([output.name], {inputs[0].name: part})[0] for part in parts])

    return Segmenter(run, path.name, classes, palette, preprocess.size, sha256_of(path), preprocess.words())


NDArrayAny = np.ndarray[Any, Any]


@dataclass(frozen=True)
class _Preprocessing:
    """How an ONNX network wants its values."""

    range: tuple[float, float] = (0.0, 1.0)
    mean: tuple[float, ...] = IMAGENET[0]
    std: tuple[float, ...] = IMAGENET[1]
    order: str = "RGB"
    size: tuple[int, int] | None = None

    @classmethod
    def read(cls, metadata: Mapping[str, str], path: Path) -> _Preprocessing:
        """From the file's metadata."""
        given: dict[str, Any] = {}
        for key, length in (("range", 2), ("mean", 3), ("std", 3), ("size", 2)):
            if key in metadata:
                try:
                    given[key] = tuple((int if key == "size" else float)(value) for value in load_json(metadata[key]))
                    if len(given[key]) != length or (key in ("std", "size") and min(given[key]) <= 0):
                        raise ValueError(f"{length} numbers above 0 are wanted")
                    if key == "size" and given[key][0] * given[key][1] > MOST_PIXELS:
                        raise ValueError("that is larger than any segmenter sees")
                    if not all(map(math.isfinite, given[key])):
                        raise ValueError(f"{length} numbers are wanted")
                except (TypeError, ValueError, OverflowError) as error:
                    raise UserError(f"{key} in the metadata of {path} is {brief(metadata[key])} ({error}): write it as [0, 1]") from error
        if given.keys() & {"range", "mean", "std"}:
            given = {"mean": (0.0,) * 3, "std": (1.0,) * 3, **given}
        order = metadata.get("order", "RGB").strip('"').upper()
        if order not in ("RGB", "BGR"):
            raise UserError(f"order in the metadata of {path} is {order!r}: it must be RGB or BGR")
        return cls(**given, order=order)

    def __call__(self, images: Tensor) -> Tensor:
        """Float32 as the network wants it; mean and std are in the order of its own channels."""
        low, high = self.range
        values = (images.float().cpu() + 1) / 2 * (high - low) + low
        if self.order == "BGR":
            values = values.flip(1)
        mean, std = (torch.tensor(numbers).reshape(3, 1, 1) for numbers in (self.mean, self.std))
        return (values - mean) / std

    def words(self) -> str:
        """For the facts of a score."""
        usual = "ImageNet's " if (self.mean, self.std) == IMAGENET else ""
        plain = self.mean == (0.0,) * 3 and self.std == (1.0,) * 3
        over = "" if self.std == (1.0,) * 3 else f", over {usual}std {_list(self.std)}"
        norm = "" if plain else f", less {usual}mean {_list(self.mean)}{over}"
        size = f", bilinear to {self.size[1]} x {self.size[0]}" if self.size else ""
        return f"{self.order} values from {self.range[0]:g} to {self.range[1]:g}{norm}{size}"


def _list(numbers: tuple[float, ...]) -> str:
    return "/".join(f"{number:g}" for number in numbers)


def _size(images: Tensor) -> str:
    return f"{images.shape[-1]} x {images.shape[-2]} pixels"


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0][:300] if lines else 'no reason given'}"
