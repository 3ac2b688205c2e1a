"""A model that was trained here, run by another engine than torch: converted once, measured, and kept."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from dataclasses import replace
from pathlib import Path

import torch

from .. import registry
from .._version import __version__
from ..data.files import cache_place, write_atomically
from ..errors import Missing, RunFailure, UserError
from ..networks.model_file import Inference, Norm
from ..progress import say
from .engines.base import GraphEngine, InferenceEngine
from .export import EXACT, describe, largest_difference
from .exported import About
from .exported_network import check_engine, engines, is_installed
from .graph import onnx_graph
from .network import TrainedNetwork
from .onnx_file import about_of, with_about

MOST_KEPT = 4 << 30
"""Bytes of converted models; the ones not used for longest go first."""
_TIMED = 3


def choose_engine(network: TrainedNetwork, name: str, quiet: bool = False) -> InferenceEngine:
    """The engine of this name for a generator; ``auto`` is the fastest that is installed and exact, by measurement.

    Args:
        network: what is run.
        name: of an engine, or ``auto``.
        quiet: nothing is said.

    Raises:
        Missing: what the engine needs is not installed.
        UserError: no such engine, one that has no such device, or one whose outputs are not torch's.
    """
    check_engine(name)
    if name == "torch":
        return network.torch
    device = next((parameter.device.type for parameter in network.generator.parameters()), "cpu")
    if device != "cpu":
        if name != "auto":
            raise UserError(
                f"the engine {name} runs on the CPU here, and the device is {device}: leave out the engine, or take --device cpu"
            )
        return network.torch
    wanted = [name] if name != "auto" else [engine for engine in engines(graphs_only=True) if is_installed(engine)]
    try:
        if wanted:
            engine = ConvertedEngine(network, wanted, quiet)
            engine.prepare(network.inference.norm)
    except (UserError, Missing) as error:
        if name != "auto":
            raise
        if not quiet:
            say(f"note: the engine is torch: {error}")
        return network.torch
    if not wanted:
        if not quiet:
            say("note: the engine is torch, since no other is installed: pip install 'transfigure[export]'")
        return network.torch
    chosen = engine.chosen(network.inference.norm, with_torch=name == "auto")
    if not quiet:
        say(f"engine:  {engine.words(network.inference.norm)}")
    return network.torch if chosen == "torch" else engine


class ConvertedEngine(InferenceEngine):
    """A generator of ours, by an engine that runs graphs; each norm mode is a graph of its own, noise is an input of both.

    Args:
        network: what is converted.
        wanted: the engines to choose from, the likely fastest first.
        quiet: nothing is said.
    """

    def __init__(self, network: TrainedNetwork, wanted: list[str], quiet: bool) -> None:
        self._network, self._wanted, self._quiet = network, wanted, quiet
        self._engines: dict[Norm, GraphEngine] = {}
        self._abouts: dict[Norm, About] = {}
        self.name = wanted[0]  # type: ignore[misc]

    def __call__(self, images: torch.Tensor, how: Inference) -> torch.Tensor:  # noqa: D102
        return self.prepare(how.norm)(images, how)

    def prepare(self, norm: Norm) -> GraphEngine:
        """The engine for a norm mode; the first time it is converted, or found among those that were kept.

        Raises:
            Missing, UserError: as :func:`choose_engine`.
        """
        if norm not in self._engines:
            model, about = self._kept(norm)
            name = self.chosen_of(about)
            self._engines[norm] = registry.resolve("engine", name)(model, about, f"the model, converted for {name},")
            self._engines[norm].difference = about.measured.get(f"{name}_largest")
            self._abouts[norm] = about
            self.name, self.difference = name, self._engines[norm].difference  # type: ignore[misc]
            self.exact_batches = self._engines[norm].exact_batches  # type: ignore[misc]
        return self._engines[norm]

    def chosen_of(self, about: About) -> str:
        """The fastest engine, as it was measured."""
        return min(self._wanted, key=lambda name: about.measured.get(f"{name}_ms", float("inf")))

    def chosen(self, norm: Norm, with_torch: bool) -> str:
        """The engine that is taken; torch if that was faster, and may be taken."""
        measured = self._abouts[norm].measured
        faster = with_torch and measured.get("torch_ms", float("inf")) < measured[f"{self.name}_ms"]
        return "torch" if faster else self.name

    def words(self, norm: Norm) -> str:
        """``openvino, float32, at most 2.5e-06 from torch (63 ms an image; torch 95)``."""
        measured = self._abouts[norm].measured
        times = sorted((number, name.removesuffix("_ms")) for name, number in measured.items() if name.endswith("_ms"))
        own = measured[f"{self.name}_ms"]
        others = ", ".join(f"{name} {number:.3g}" for number, name in times if name != self.name)
        return f"{self.describe()} ({own:.3g} ms for an image of the size of training; {others})"

    def _keep(self, file: Path, data: bytes) -> Path | bytes:
        """The file, or where none can be written the bytes: a read-only home is no reason to do without an engine."""
        try:
            _write(file, data)
        except (OSError, UserError, RunFailure) as error:
            if not self._quiet:
                say(
                    f"note: the converted model is not kept, so it is converted each time: {error} ($TRANSFIGURE_CACHE names another place)"
                )
            return data
        return file

    def _kept(self, norm: Norm) -> tuple[Path | bytes, About]:
        """The converted file, with measurements of all wanted engines."""
        network = self._network.running(Inference(norm=norm))
        file = engines_root() / f"{_key(network)}.onnx"
        about: About | None = None
        model: Path | bytes | None = None
        with contextlib.suppress(OSError, UserError):  # not readable, cut off, or of a version to come: it is made anew
            about = about_of(file) if file.is_file() else None
            model = file
        graph = None
        if about is None:
            if not self._quiet:
                say(f"converting the model for {' and '.join(self._wanted)}, once; kept in {file.parent}")
            about = describe(network)
            graph = onnx_graph(network.generator, about.inference, about.noise, about.multiple)
            model = self._keep(file, with_about(graph, about))
        assert model is not None
        measured = dict(about.measured)
        for name in self._wanted:
            if f"{name}_ms" in measured:
                continue
            engine = registry.resolve("engine", name)(model, about, f"the model, converted for {name},")
            largest, _ = largest_difference(network, engine, self._quiet)
            if not largest <= EXACT:
                raise UserError(f"{name} gives outputs that differ from torch's by {largest:.2g} on [-1, 1]: take the engine torch")
            measured |= {f"{name}_largest": largest, f"{name}_ms": _milliseconds(network, engine)}
            measured.setdefault("torch_ms", _milliseconds(network, network.torch))
        if measured != about.measured:
            about = replace(about, measured=measured)
            if graph is None:
                import onnx

                graph = onnx.load(file)
            data = with_about(graph, about)
            model = self._keep(file, data) if isinstance(model, Path) else data
        with contextlib.suppress(OSError):
            os.utime(file)
        return model, about


def engines_root() -> Path:
    """The folder of converted models."""
    return cache_place("engines")


def _key(network: TrainedNetwork) -> str:
    config = network.config
    what = [__version__, torch.__version__, torch.get_num_threads(), config.generator, config.options, config.size_multiple]
    what += [config.trained_size, network.inference.norm, network.digest]
    return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:24]


def _write(file: Path, data: bytes) -> None:
    """Keep a converted model, and let go of those not used for longest."""
    file.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(file, data)
    kept = sorted(file.parent.glob("*.onnx"), key=lambda other: other.stat().st_mtime, reverse=True)
    total = 0
    for other in kept:
        total += other.stat().st_size
        if total > MOST_KEPT and other != file:
            other.unlink(missing_ok=True)


def _milliseconds(network: TrainedNetwork, engine: InferenceEngine) -> float:
    """The time of one image of the size of training, the shortest of a few."""
    side = network.config.trained_size or network.generator.only_size or 256
    image = torch.zeros(1, network.config.source.channels, side, side)
    times = []
    for _ in range(1 + _TIMED):
        began = time.perf_counter()
        network.run(engine, image)
        times.append(time.perf_counter() - began)
    return 1000 * min(times[1:])
