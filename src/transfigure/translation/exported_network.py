"""An exported file in the place of a generator: it translates, and has no weights to look at or to train."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import torch
from torch import Tensor

from .. import registry
from ..errors import Missing, UserError, did_you_mean
from ..networks.base import Generator
from .engines.base import FileEngine, GraphEngine
from .exported import About


class ExportedGenerator(Generator):
    """What an exported file computes, as a network.

    Args:
        engine: that runs the file.
        about: what the file says of itself.
    """

    def __init__(self, engine: GraphEngine, about: About) -> None:
        super().__init__(about.config.source.channels, about.config.target.channels)
        self.engine, self.about = engine, about
        self.size_multiple, self.smallest_input, self.only_size = about.multiple, about.smallest, about.only_size

    def forward(self, x: Tensor) -> Tensor:
        """Translate a batch of images, without gradients, in the file's own modes."""
        with torch.no_grad():
            return self.engine(x, self.about.inference)


def engines(graphs_only: bool = False) -> list[str]:
    """The names of the engines, the fastest first."""
    found = [registry.entry("engine", name) for name in registry.names("engine")]
    return [one.name for one in sorted(found, key=lambda one: int(one.extra["order"])) if not (graphs_only and one.name == "torch")]


def is_installed(name: str) -> bool:
    """Whether an engine's package is."""
    return importlib.util.find_spec(registry.entry("engine", name).extra["module"]) is not None


def check_engine(name: str) -> None:
    """Raise UserError if there is no engine of this name, and Missing if its package is not installed."""
    if name == "auto":
        return
    known = engines()
    if name not in known:
        raise UserError(f"there is no engine {name!r}{did_you_mean(name, ['auto', *known])}")
    if not is_installed(name):
        about = registry.entry("engine", name).extra
        raise Missing.extra(about["module"], about["extra"], f"the engine {name}")


def open_engine(file: Path, about: About, name: str | None, *, ours: bool = True) -> FileEngine:
    """The engine of this name for an exported file; of none, or ``auto``, the fastest that is installed.

    Raises:
        Missing: none is installed, or not this one.
        UserError: no such engine, or one that cannot run the file.
    """
    wanted = name or "auto"
    check_engine(wanted)
    if wanted == "torch" or (wanted == "onnxruntime" and file.suffix.lower() == ".xml"):
        others = "openvino" if file.suffix.lower() == ".xml" else "onnxruntime or openvino"
        raise UserError(f"{file} is run by {others}, and not by {wanted}: choose that engine, or give the run or model that it is from")
    if wanted == "auto":
        fitting = ["openvino"] if file.suffix.lower() == ".xml" else engines(graphs_only=True)
        there = [engine for engine in fitting if is_installed(engine)]
        if not there:
            about_last = registry.entry("engine", fitting[-1]).extra
            raise Missing.extra(about_last["module"], about_last["extra"], f"translating with {file}")
        wanted = there[0]
    engine: FileEngine = registry.resolve("engine", wanted)(file, about, str(file))
    if ours:
        engine.check_signature()
    return engine
