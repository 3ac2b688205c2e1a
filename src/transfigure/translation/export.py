"""A translator as one file for other programs, and the proof that the file gives the same pictures.

What is written is run by its own engine before it gets its name: on sizes square and not, on one image and three, against ``translate``.
"""

from __future__ import annotations

import contextlib
import errno
import io
import logging
import math
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypedDict

import numpy as np
import torch
from torch import Tensor

from ..data.files import refusal, write_atomically
from ..data.ownership import check_outputs
from ..errors import Missing, TransfigureError, UserError
from ..integrity import sha256_of
from ..interop.pytorch_cyclegan import open_generator, write_reference
from ..progress import say, track, without_warnings
from .engines.base import GraphEngine
from .engines.onnxruntime import OnnxRuntimeEngine
from .engines.openvino import OpenVinoEngine, read_graph
from .exported import KEY, About, Precision
from .exported_network import is_installed
from .graph import noise_inputs, onnx_graph, torch_program
from .network import TrainedNetwork, padded
from .onnx_file import with_about, with_half_weights

Format = Literal["onnx", "openvino", "torch", "reference"]
SUFFIXES: dict[str, str] = {"onnx": ".onnx", "openvino": ".xml", "torch": ".pt2", "reference": ".pth"}
EXACT = 1e-4
"""The largest difference from torch, on [-1, 1], that a float32 file may have."""
GREY_LEVELS = 1.0
"""The largest mean difference that rounded weights may have, in levels of 8-bit images."""
GOOD = 0.5
"""Grey levels with which nobody looks for better."""
FEWEST, MOST = 8, 128
"""Images to calibrate and measure 8 bits with: a quarter of them is held out, to measure on."""


@dataclass(frozen=True)
class Exported:
    """What was written.

    Attributes:
        file: where.
        about: what it says of itself.
        sizes: of the images on which it was compared with ``translate``, as ``3 x 256 x 256``.
    """

    file: Path
    about: About
    sizes: tuple[str, ...]

    def words(self) -> str:
        """``at most 2.1e-06 from translate on [-1, 1]``."""
        measured = self.about.measured
        words = f"at most {measured['largest']:.1e} from translate on [-1, 1]"
        if "grey_levels" in measured:
            words = f"{measured['grey_levels']:.2f} grey levels from translate on average ({measured['decibels']:.1f} dB)"
        return words


class ExportKeywords(TypedDict, total=False):
    """The keywords of :func:`export`."""

    format: Format
    precision: Precision
    images: Sequence[Tensor]
    overwrite: bool
    quiet: bool


def export(
    network: TrainedNetwork,
    out: Path,
    *,
    format: Format = "onnx",
    precision: Precision = "float32",
    images: Sequence[Tensor] = (),
    overwrite: bool = False,
    quiet: bool = False,
) -> Exported:
    """Write a translator as one file (OpenVINO: two, ``.xml`` and ``.bin``) that holds all that is needed to translate images.

    The norm and noise modes of ``network.inference`` are written into it: batch statistics as arithmetic, noise as inputs.

    Args:
        network: in float32.
        out: the file to write.
        format: ``onnx``, for onnxruntime and OpenVINO; ``openvino``, its own format; ``torch``, a program for ``torch.export.load``, for
            sizes that are multiples of the generator's; ``reference``, a state dict of pytorch-CycleGAN-and-pix2pix.
        precision: ``float32``; ``float16``: weights stored in half the space; ``int8``: computed in 8-bit integers, calibrated.
        images: sources ``[C, H, W]`` in [-1, 1], to calibrate 8 bits with and to measure rounded weights on.
        overwrite: replace another's file.
        quiet: no progress.

    Returns:
        The file, and how far it is from ``translate``.

    Raises:
        UserError: the model cannot be written so, the file cannot be, or it does not give the same pictures; nothing is left then.
        Missing: an extra is not installed.
    """
    check_format(out, format, precision)
    _check(network, precision, images)
    check_outputs([out, out.with_suffix(".bin")] if format == "openvino" else [out], overwrite)
    if format == "reference":
        return _export_reference(network, out, overwrite, quiet)
    about = describe(network)
    if not quiet:
        say("tracing the generator")
    if format == "torch":
        return _export_torch(network, out, about, quiet)
    graph = onnx_graph(network.generator, about.inference, about.noise, about.multiple)
    calibration, held_out = _split(images)
    if precision == "int8":
        graph = quantized(graph, about, network, calibration, quiet)
    elif precision == "float16" and format == "onnx":
        with_half_weights(graph)
    about = replace(about, precision=precision)
    with _draft_folder(out) as folder:
        draft = Path(folder) / out.name
        save = _save_openvino if format == "openvino" else _save_onnx
        save(draft, graph, about)
        about, sizes = _measured(network, _engines_for(draft, about), about, held_out, out, quiet)
        if format == "openvino":
            about = replace(about, beside=sha256_of(draft.with_suffix(".bin")))
        save(draft, graph, about)
        for file in sorted(Path(folder).iterdir()):  # .bin before .xml
            write_atomically(out.with_name(file.name), lambda stream, file=file: _copy(file, stream))  # type: ignore[misc]
    return Exported(out, about, sizes)


def _copy(file: Path, stream: Any) -> None:
    with file.open("rb") as source:
        shutil.copyfileobj(source, stream)


def check_format(out: Path, format: str, precision: str) -> None:
    """Find out before the work whether there is such a format, in this precision, of this file name.

    Raises:
        UserError: there is not.
    """
    if format not in SUFFIXES:
        raise UserError(f"format {format!r} is not one of {', '.join(SUFFIXES)}")
    if out.suffix.lower() != SUFFIXES[format]:
        raise UserError(f"{out} would hold a model in the format {format}, whose files end in {SUFFIXES[format]}: name it so")
    if precision != "float32" and format in ("torch", "reference"):
        raise UserError(f"the format {format} is written in float32 only: leave out --precision {precision}, or take --format onnx")


def _check(network: TrainedNetwork, precision: str, images: Sequence[Tensor]) -> None:
    if precision == "int8" and len(images) < FEWEST:
        raise UserError(
            f"8 bits are calibrated with at least {FEWEST} images and {len(images)} were given: give a folder with more, of the kind that "
            "will be translated"
        )
    if any(parameter.dtype != torch.float32 for parameter in network.generator.parameters()):
        raise UserError("this translator holds its weights in half precision: load the model in float32 to export it")


def describe(network: TrainedNetwork) -> About:
    """What a file made from a translator says of itself, before anything was measured."""
    generator, how = network.generator, network.inference
    noise = noise_inputs(generator, replace(how, noise="dropout"), network.config.size_multiple)
    if not noise:
        how = replace(how, noise="dropout")  # it has none, so nothing is left out
    return About(
        config=replace(network.config, inference=how),
        multiple=network.config.size_multiple,
        smallest=generator.smallest_input,
        only_size=generator.only_size,
        noise=noise if how.noise == "dropout" else (),
        memory=network.memory,
        weights=network.digest,
    )


def _split(images: Sequence[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
    """Images to calibrate with, and every fourth one, to measure on."""
    chosen = [images[at * len(images) // MOST] for at in range(MOST)] if len(images) > MOST else list(images)
    return [image for at, image in enumerate(chosen) if at % 4], [image for at, image in enumerate(chosen) if at % 4 == 0]


def quantized(graph: Any, about: About, network: TrainedNetwork, images: Sequence[Tensor], quiet: bool = False) -> Any:
    """A graph whose convolutions compute in 8-bit integers, with ranges found from images (``nncf``, on the ONNX graph).

    The outermost layers see the image and make it; where all layers in 8 bits are more than :data:`GOOD` grey levels off on those images,
    the outermost stay in float32, and the best choice of a few is taken.

    Raises:
        Missing: nncf is not installed.
    """
    try:
        with _silence(), _no_telemetry():
            import nncf
    except ImportError as error:
        raise Missing.extra("nncf", "openvino", "exporting in 8-bit integers") from error
    for name in ("nncf", "root"):
        logging.getLogger(name).setLevel(logging.ERROR)

    class Feeds:
        """Goes through the images as often as it is asked to, and shows how far it is."""

        def __iter__(self) -> Iterator[dict[str, Any]]:
            for image in track(images, len(images), "calibrate", quiet=quiet):
                whole = padded(image, network.generator, network.multiple)[None]
                yield {about.input: whole.numpy(), **about.noise_feeds(whole.shape[-2], whole.shape[-1], about.inference)}

    convs = [node.name for node in graph.graph.node if node.op_type in ("Conv", "ConvTranspose")]
    some = list(images)[:: -(-len(images) // 12)]
    found: list[tuple[float, int, Any]] = []
    for left in ([], convs[-1:], [*convs[:1], *convs[-1:]], [*convs[:1], *convs[-2:]]):
        copy = type(graph)()
        copy.CopyFrom(graph)
        with _silence(), without_warnings():
            candidate = nncf.quantize(
                copy,
                nncf.Dataset(Feeds()),
                preset=nncf.QuantizationPreset.MIXED,
                subset_size=len(images),
                ignored_scope=nncf.IgnoredScope(names=list(dict.fromkeys(left))),
            )
        engine = OpenVinoEngine(with_about(candidate, about), about, "the quantised graph")
        levels = _grey_levels(network, engine, [image[None] for image in some])[0]
        found.append((levels, len(left), candidate))
        if levels <= GOOD:
            break
    levels, left_out, best = min(found, key=lambda one: one[:2])
    if left_out and not quiet:
        say(f"note: of {len(convs)} layers {left_out} stay in float32, the outermost: {levels:.2f} grey levels, not {found[0][0]:.2f}")
    return best


def _grey_levels(network: TrainedNetwork, engine: GraphEngine, batches: Sequence[Tensor], quiet: bool = True) -> tuple[float, float]:
    """Between torch's outputs and an engine's: the mean difference in levels of 8-bit images, and decibels."""
    differences = []
    for batch in track(batches, len(batches), "measure", quiet=quiet):
        expected, found = (network.run(one, batch) for one in (network.torch, engine))
        differences.append((expected - found).double().flatten())
    every = torch.cat(differences)
    error = float(every.square().mean())
    return float(every.abs().mean()) * 127.5, 10 * math.log10(4 / error) if error else 999.0


@contextlib.contextmanager
def _no_telemetry() -> Iterator[None]:
    """nncf reports to its makers, or asks a person whether it may, unless this says that nobody is there (nncf 3.4.0)."""
    before = os.environ.get("NNCF_CI")
    os.environ["NNCF_CI"] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ["NNCF_CI"]
        else:
            os.environ["NNCF_CI"] = before


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Without what is printed to stdout, where results go."""
    with contextlib.redirect_stdout(io.StringIO()):
        yield


def _save_onnx(file: Path, graph: Any, about: About) -> None:
    file.write_bytes(with_about(graph, about))


def _save_openvino(file: Path, graph: Any, about: About) -> None:
    import openvino

    model = read_graph(graph.SerializeToString(), str(file))
    model.set_rt_info(about.to_json(), [KEY])
    try:
        openvino.save_model(model, str(file), compress_to_fp16=about.precision == "float16")
    except RuntimeError as error:
        if "iostream" not in str(error):
            raise
        full = shutil.disk_usage(file.parent).free < len(graph.SerializeToString())
        number = errno.ENOSPC if full else errno.EIO  # it says that a write failed, and not why (openvino 2026.4.1)
        raise OSError(number, os.strerror(number)) from error


def _save_program(file: Path, program: Any, beside: dict[str, str] | None = None) -> None:
    """By way of memory: where the disk is full torch's own writer ends the process (torch 2.13.0)."""
    stream = io.BytesIO()
    torch.export.save(program, stream, extra_files=beside or {})
    file.write_bytes(stream.getbuffer())


def _engines_for(file: Path, about: About) -> list[GraphEngine]:
    """The engines that a file is for and that are installed; 8-bit ONNX files are measured by OpenVINO, in which they are fast."""
    if file.suffix == ".xml" or about.precision == "int8":
        return [OpenVinoEngine(file, about, file.name)]
    kinds = [OnnxRuntimeEngine, *([OpenVinoEngine] if is_installed("openvino") else [])]
    return [kind(file, about, file.name) for kind in kinds]


def check_images(network: TrainedNetwork) -> list[Tensor]:
    """Batches on which a file is compared with ``translate``: five sizes, square and not, of one image and of three."""
    generator = network.generator
    side = network.config.trained_size or max(64, 2 * network.config.size_multiple)
    side = min(side, max(256, 2 * network.config.size_multiple))
    sizes = [(1, side, side), (3, side, side), (1, side, side + side // 2), (1, side - 7, side // 2 + 5), (3, side // 2 + 3, side + 1)]
    if generator.only_size is not None:
        sizes = [(1, generator.only_size, generator.only_size), (3, generator.only_size, generator.only_size)]
    stream = np.random.default_rng(0)
    return [torch.from_numpy(_picture(stream, count, generator.source_channels, *sides)) for count, *sides in sizes]


def _picture(stream: np.random.Generator, count: int, channels: int, height: int, width: int) -> Any:
    """Something of what images have: even areas with edges, slopes and fine noise; in [-1, 1]."""
    rows, columns = np.linspace(-1, 1, height)[:, None], np.linspace(-1, 1, width)
    waves = stream.uniform(-3, 3, (count, channels, 3, 1, 1))
    slopes = np.sin(waves[:, :, 0] * rows + waves[:, :, 1] * columns + waves[:, :, 2])
    edges = np.where(stream.random((count, channels, height, width)) < 0.02, stream.uniform(-1, 1, (count, channels, 1, 1)), 0)
    noise = stream.normal(0, 0.1, (count, channels, height, width))
    return (np.round(2 * slopes) / 2 * 0.7 + edges + noise).clip(-1, 1).astype(np.float32)


def largest_difference(network: TrainedNetwork, engine: GraphEngine, quiet: bool = True) -> tuple[float, tuple[str, ...]]:
    """The largest difference, on [-1, 1], between an engine's outputs and torch's on :func:`check_images`; and their sizes.

    Raises:
        RunFailure: an output is not finite.
    """
    largest, sizes = 0.0, []
    batches = check_images(network)
    for batch in track(batches, len(batches), "compare", unit="sizes", quiet=quiet):
        expected, found = (network.run(one, batch) for one in (network.torch, engine))
        difference = float((expected - found).abs().max())
        largest = max(largest, math.inf if math.isnan(difference) else difference)
        sizes.append(" x ".join(map(str, (len(batch), *batch.shape[-2:]))))
    return largest, tuple(sizes)


def _measured(
    network: TrainedNetwork, engines: Sequence[GraphEngine], about: About, held_out: Sequence[Tensor], out: Path, quiet: bool
) -> tuple[About, tuple[str, ...]]:
    """What was measured of a file, if that is near enough: by each engine the largest difference, and of rounded weights the mean one.

    Raises:
        UserError: it is not.
    """
    measured: dict[str, float] = {}
    sizes: tuple[str, ...] = ()
    for engine in engines:
        largest, sizes = largest_difference(network, engine, quiet)
        measured |= {f"{engine.name}_largest": largest}
        if about.precision == "float32" and not largest <= EXACT:
            raise UserError(
                f"{out} was not written: {engine.name} gives outputs that differ from translate's by {largest:.2g} on [-1, 1], where "
                f"{EXACT:g} is the most; translate with the model itself, and report this with the model's recipe"
            )
    measured["largest"] = max(measured.values())
    if about.precision == "float32":
        return replace(about, measured=measured), sizes
    batches = [image[None] for image in held_out] or check_images(network)
    if held_out:
        shapes = sorted({tuple(image.shape[-2:]) for image in held_out})
        sizes = tuple(" x ".join(map(str, (sum(image.shape[-2:] == shape for image in held_out), *shape))) for shape in shapes)
    levels, decibels = _grey_levels(network, engines[0], batches, quiet)
    if not levels <= GREY_LEVELS:
        raise UserError(
            f"{out} was not written: in {about.precision} its outputs are {levels:.2f} grey levels from translate's on average, where "
            f"{GREY_LEVELS:g} is the most: export it in float16 or float32, or calibrate with more images like those to be translated"
        )
    return replace(about, measured={**measured, "grey_levels": levels, "decibels": decibels}), sizes


def _export_torch(network: TrainedNetwork, out: Path, about: About, quiet: bool) -> Exported:
    program = torch_program(network.generator, about.inference, about.noise, about.multiple)

    class Program(GraphEngine):
        """The program as it was read back."""

        name = "torch.export"

        def __init__(self, file: Path) -> None:
            super().__init__(about)
            self.module = torch.export.load(file).module(check_guards=False)

        def run(self, feeds: dict[str, Any]) -> Any:
            tensors = [torch.from_numpy(value) for value in feeds.values()]
            with torch.no_grad():
                return self.module(tensors[0], tuple(tensors[1:])).numpy()

    with _draft_folder(out) as folder:
        draft = Path(folder) / out.name
        _save_program(draft, program)
        about, sizes = _measured(network, [Program(draft)], about, (), out, quiet)
        _save_program(draft, program, {KEY: about.to_json()})
        write_atomically(out, lambda stream: _copy(draft, stream))
    return Exported(out, about, sizes)


def _export_reference(network: TrainedNetwork, out: Path, overwrite: bool, quiet: bool) -> Exported:
    """A state dict for the reference implementation, read back and compared: as a network of its own that it then is."""
    about = describe(network)
    with _draft_folder(out) as folder:
        draft = Path(folder) / out.name
        written = write_reference(network.generator, replace(network.config, inference=network.inference), draft)
        back, config = open_generator(draft)
        again = TrainedNetwork(back, config, replace(network.inference, noise="none"))
        quiet_one = network.running(again.inference)
        batches = check_images(network)
        largest = max(float((quiet_one.run(network.torch, one) - again.run(again.torch, one)).abs().max()) for one in batches)
        if not largest <= EXACT:
            raise UserError(f"{out} was not written: as the reference's network its outputs differ by {largest:.2g} on [-1, 1]")
        check_outputs([out], overwrite)
        write_atomically(out, lambda stream: _copy(draft, stream))
    for note in [] if quiet else [f"the reference loads it with {written.flags}", *written.notes]:
        say(f"note: {note}")
    about = replace(about, measured={"largest": largest})
    return Exported(out, about, tuple(" x ".join(map(str, (len(one), *one.shape[-2:]))) for one in batches))


@contextlib.contextmanager
def _draft_folder(out: Path) -> Iterator[str]:
    """A folder beside the file, for what has no name yet; of folders that did not exist nothing is left if the export fails."""
    new = [folder for folder in (out.parent, *out.parent.parents) if not folder.exists()]
    out.parent.mkdir(parents=True, exist_ok=True)
    try:
        with tempfile.TemporaryDirectory(prefix=".exporting-", dir=out.parent) as folder:
            yield folder
    except BaseException as error:
        with contextlib.suppress(OSError):  # one that somebody else has put something into stays
            for one in new:
                one.rmdir()
        if isinstance(error, Exception) and not isinstance(error, TransfigureError) and (sentence := refusal(error, out)) is not None:
            raise sentence from error
        raise
