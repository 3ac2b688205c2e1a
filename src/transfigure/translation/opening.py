"""One door: whatever holds a generator. A file is known by what it holds, or where that has no sign of its own, by its suffix."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypedDict, Unpack

from ..errors import UserError
from ..interop import hub
from ..interop.checks import check_statistics
from ..interop.pix2pix_tensorflow import is_pict
from ..interop.pytorch_cyclegan import about_dropout
from ..networks.base import Generator
from ..networks.model_file import CONFIG, WEIGHTS, ModelConfig, Noise, Norm, read_model
from ..networks.shipped import find_shipped, nearest_shipped
from .devices import Precision, pick_device
from .engines.base import InferenceEngine
from .exported_network import ExportedGenerator, check_engine, open_engine
from .foreign import Layout, open_foreign
from .onnx_file import about_of
from .openvino_file import about_of_xml

KINDS = (
    "a run, a model directory, a shipped model (see: transfigure list model), an exported .onnx or .xml file, a .pth file of the PyTorch "
    "reference implementation, or a .pict file"
)


class HowToRun(TypedDict, total=False):
    """The keywords of :meth:`transfigure.Translator.load`."""

    checkpoint: Literal["last", "best"]
    device: str
    precision: Precision
    engine: str | None
    norm: Norm | None
    noise: Noise | None
    seed: int | None
    value_range: tuple[float, float] | None
    layout: Layout | None
    quiet: bool


@dataclass(frozen=True)
class Opened:
    """What was found.

    Attributes:
        generator: in its device's memory.
        config: what it is.
        origin: where it was.
        engine: what runs it; None is torch.
        digest: the SHA-256 of its weights, if it is known already.
        note: what is to be said about it.
    """

    generator: Generator
    config: ModelConfig
    origin: Path
    engine: InferenceEngine | None = None
    digest: str | None = None
    note: str = ""


def open_any(path: str | Path, **how: Unpack[HowToRun]) -> Opened:
    """Whatever holds a generator, see :meth:`transfigure.Translator.load`."""
    device, engine = how.get("device", "auto"), how.get("engine")
    value_range, layout = how.get("value_range"), how.get("layout")
    place = Path(path)
    if "://" in str(path):
        shown = str(path).rpartition("@")[2]
        raise UserError(f"the model {shown} is a URL, and a model is read from a disk: copy it to one first, and name it there")
    if engine is not None:
        check_engine(engine)
    came_with_us = find_shipped(path, how.get("quiet", False))
    is_graph = place.suffix.lower() in (".onnx", ".xml") and place.is_file()
    if is_graph and device not in ("auto", "cpu"):
        raise UserError(f"{path} is run on the CPU: leave out the device {device}, or give the run or model that it was exported from")
    about = None
    if is_graph:
        about = about_of(place) if place.suffix.lower() == ".onnx" else about_of_xml(place)
        if about is None:
            generator, runs = open_foreign(place, engine, value_range, layout)
            others = [port.name for port in runs.signature()[1]]
            note = f"{place} has {len(others)} outputs, and the first, {others[0]}, is taken" if len(others) > 1 else ""
            return Opened(generator, runs.about.config, place, runs, note=note)
    if value_range is not None or layout is not None:
        raise UserError(
            f"{path} says itself what goes in and comes out: leave out the value range and the layout, which are for others' ONNX files"
        )
    if about is not None:
        runs_it = open_engine(place, about, engine)
        return Opened(ExportedGenerator(runs_it, about), about.config, place, runs_it)
    if came_with_us is not None:
        return _open_model(came_with_us, place, device)
    return (
        _open_reference(place, device, how.get("norm")) if place.is_file() else _open_folder(place, how.get("checkpoint", "last"), device)
    )


def _open_folder(folder: Path, checkpoint: Literal["last", "best"], device: str) -> Opened:
    """A run, or a model directory."""
    if not folder.is_dir():
        raise UserError(f"{folder} does not exist{nearest_shipped(folder)}: give {KINDS}{hub.hint(folder)}")
    origin = folder
    if not (folder / CONFIG).is_file() and not (folder / WEIGHTS).is_file():
        inside = folder / ("model" if checkpoint == "last" else "model_best")
        if not inside.is_dir():
            if checkpoint == "best" and (folder / "model" / CONFIG).is_file():
                raise UserError(f"{folder} has no best model, since it was trained without validation pairs: use the last one")
            raise UserError(f"there is no model in {folder}: a run has one from its first checkpoint on")
        folder = inside
    return _open_model(folder, origin, device)


def _open_model(folder: Path, origin: Path, device: str) -> Opened:
    generator, config, digest = read_model(folder, pick_device(device))
    return Opened(generator, config, origin, digest=digest)


def _open_reference(file: Path, device: str, norm: Norm | None) -> Opened:
    if file.suffix.lower() not in (".pth", ".pt") and not is_pict(file):
        inside = f" (perhaps {file.parent})" if (file.parent / CONFIG).is_file() else ""
        raise UserError(f"{file} is not a model: give {KINDS}{inside}")
    run = file.resolve().parent.parent
    if (run / "model" / CONFIG).is_file():
        raise UserError(f"{file} is a checkpoint that training goes on from: give the run itself, {run}")
    from ..interop.opening import open_file  # which reads recipes, too

    place = pick_device(device)
    generator, config = open_file(file)
    check_statistics(generator, norm, file)
    return Opened(generator.to(place), config, file, note=about_dropout(generator) or "")
