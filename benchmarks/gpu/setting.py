"""What is measured on which device and how large, the ways a step can compute, and where the findings go."""

from __future__ import annotations

import contextlib
import json
import statistics
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeVar

import torch
from torch import nn

from transfigure.data.batch import Batch, collate
from transfigure.data.open import open_data
from transfigure.networks.graphs import Graphs
from transfigure.recipe import Recipe
from transfigure.training.engine import Engine
from transfigure.training.replay import Updates, graphs_for, obstacle
from transfigure.training.setup import Setup
from transfigure.training.steps.base import StepOutput, TrainingStep
from transfigure.training.steps.build import build_step
from transfigure.training.steps.pix2pix import Pix2PixStep

T = TypeVar("T")
Precision = Literal["float32", "TF32", "bf16", "fp16"]
Layout = Literal["NCHW", "NHWC"]


@dataclass(frozen=True)
class Setting:
    """Where and how large.

    Attributes:
        device: ``cuda``, or ``cpu`` for a dry run.
        size: side of the images in pixels, also where a small one would do.
        width: filters of the networks' outermost level.
        steps: updates that losses are compared over.
        rounds, round_steps: how often a speed is measured, and updates in each round at batch 1.
        large: the larger batch of the training speeds.
        inferred: the larger batch of the inference speeds.
        pairs: drawn pairs that are trained on where a whole run is made.
        held_out: drawn pairs that are evaluated.
        workers: loader processes, where there are any.
    """

    device: str = "cuda"
    size: int = 256
    width: int = 64
    steps: int = 50
    rounds: int = 3
    round_steps: int = 20
    large: int = 16
    inferred: int = 32
    pairs: int = 64
    held_out: int = 24
    workers: int = 8

    @classmethod
    def dry(cls) -> Setting:
        """The same code at toy size on the CPU."""
        return cls("cpu", 32, 8, steps=2, rounds=1, round_steps=1, large=2, inferred=2, pairs=6, held_out=6, workers=1)

    def recipe(self, name: str = "pix2pix", **more: Any) -> Recipe:
        """A shipped recipe on drawn facades at this size; ``more`` has double underscores for dots."""
        overrides: dict[str, Any] = {
            "data.kind": "synthetic",
            "data.train": self.pairs,
            "data.val": 0,
            "data.test": self.held_out,
            "data.load_size": self.size + self.size // 8,
            "data.crop_size": self.size,
            "generator.width": self.width,
            "discriminator.width": self.width,
            "training.accelerator": self.device,
        }
        if self.size < 70:
            overrides["discriminator.receptive_field"] = 34
        return Recipe.load(name, {**overrides, **{key.replace("__", "."): value for key, value in more.items()}})


class Way(NamedTuple):
    """How an update computes.

    ``float32`` is without TF32; ``TF32`` is float32 as PyTorch comes, whose convolutions round their factors to 10 bits on tensor cores;
    ``bf16`` and ``fp16`` are autocast. ``autotune`` lets cuDNN try its algorithms once (``torch.backends.cudnn.benchmark``),
    ``deterministic`` allows only algorithms that give the same bits every time (``torch.use_deterministic_algorithms``), ``replayed`` is
    through a CUDA graph.
    """

    precision: Precision = "float32"
    layout: Layout = "NCHW"
    autotune: bool = False
    deterministic: bool = False
    replayed: bool = False

    def __str__(self) -> str:
        flags = ("autotuned", self.autotune), ("deterministic", self.deterministic), ("replayed", self.replayed)
        more = [word for word, chosen in flags if chosen]
        return " ".join([self.precision, self.layout, *more])

    @property
    def overrides(self) -> dict[str, str]:
        """What a recipe says of it."""
        return {
            "training__precision": {"bf16": "bf16-mixed", "fp16": "16-mixed"}.get(self.precision, "32-true"),
            "training__channels_last": "yes" if self.layout == "NHWC" else "no",
            "training__graphs": "auto" if self.replayed else "no",
        }


def few(ways: Iterable[Way], setting: Setting) -> list[Way]:
    """All of them; in a dry run so few that every precision, layout and switch among them still has its turn."""
    every = list(ways)
    if setting.device != "cpu":
        return every
    chosen: list[Way] = []
    left = {value for way in every for value in enumerate(way)}
    while left:
        chosen.append(max(every, key=lambda way: len(left.intersection(enumerate(way)))))
        left -= {*enumerate(chosen[-1])}
    return chosen


@contextlib.contextmanager
def numerics(way: Way) -> Iterator[None]:
    """Global switches for a way, put back at the end."""
    convolutions, products = torch.backends.cudnn, torch.backends.cuda.matmul
    before = convolutions.allow_tf32, products.allow_tf32, convolutions.benchmark, torch.are_deterministic_algorithms_enabled()
    convolutions.allow_tf32, products.allow_tf32, convolutions.benchmark = way.precision != "float32", False, way.autotune
    torch.use_deterministic_algorithms(way.deterministic)
    try:
        yield
    finally:
        convolutions.allow_tf32, products.allow_tf32, convolutions.benchmark = before[:3]
        torch.use_deterministic_algorithms(before[3])


def step_of(recipe: Recipe, seed: int = 0) -> TrainingStep:
    """The step of a recipe for three channels, its networks drawn from a seed, on the recipe's device."""
    torch.manual_seed(seed)
    return build_step(Setup(recipe, (3, 3), Engine(recipe.training), unpaired=recipe.data.unpaired))


class NoGraph:
    """A stand-in for CUDA graphs in a dry run: the same function, called again on the same tensors."""

    def aside(self, act: Callable[[], T]) -> T:
        """Now."""
        return act()

    def record(self, act: Callable[[], T]) -> Callable[[], T]:
        """Later."""
        return act


def updates_of(recipe: Recipe, step: TrainingStep) -> Updates:
    """What a training calls for each update of this step; it raises where a graph was asked for and cannot be."""
    graphs: Graphs | None = graphs_for(recipe, step, step.engine)
    if recipe.training.graphs != "no" and graphs is None:
        if step.engine.device.type == "cuda":
            raise RuntimeError(f"no graph: {obstacle(recipe, step, step.engine)}")
        graphs = NoGraph()
    return Updates(step, step.engine, graphs)


def pix2pix_of(recipe: Recipe) -> Pix2PixStep:
    """The same of a recipe of pix2pix, whose networks and optimizers are asked for."""
    step = step_of(recipe)
    assert isinstance(step, Pix2PixStep) and step.discriminator is not None and step.d_optimizer is not None
    return step


@lru_cache(maxsize=4)
def batches(setting: Setting, count: int, size: int = 1) -> Sequence[Batch]:
    """Batches of drawn pairs, jittered as in training, on the CPU; they come round again when there are fewer pairs."""
    pairs = open_data(setting.recipe().data, 0, quiet=True).train
    return [
        collate([pairs[(index * size + at) // len(pairs), (index * size + at) % len(pairs)] for at in range(size)])
        for index in range(count)
    ]


NUMBERS = ("G", "L1", "adversarial", "D")


def numbers(output: StepOutput) -> list[float]:
    """The losses of one update of pix2pix, in the order of ``NUMBERS``."""
    assert output.adversarial is not None and output.d_loss is not None
    return [float(value) for value in (output.g_loss, output.terms["l1"], output.adversarial, output.d_loss)]


def wait(device: str) -> None:
    """Until the device has done all it was told to."""
    if device == "cuda":
        torch.cuda.synchronize()


def free(device: str) -> None:
    """Give back what is no longer used, and begin a new count of the peak."""
    if device == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def peak_mib(device: str) -> float:
    """The most device memory that tensors took since :func:`free`."""
    return torch.cuda.max_memory_allocated() / 2**20 if device == "cuda" else 0.0


def seconds_each(act: Callable[[], object], times: int, device: str) -> float:
    """Seconds per call of so many calls in a row, from an idle device to an idle device."""
    wait(device)
    start = time.perf_counter()
    for _ in range(times):
        act()
    wait(device)
    return (time.perf_counter() - start) / times


def rates(seconds: Sequence[float], images: int) -> dict[str, float]:
    """Images a second: the median over rounds, the slowest and the fastest round."""
    found = sorted(images / each for each in seconds)
    return {"images_per_second": statistics.median(found), "slowest": found[0], "fastest": found[-1]}


def weights_of(module: nn.Module) -> dict[str, torch.Tensor]:
    """A copy of a module's state."""
    return {name: tensor.detach().clone() for name, tensor in module.state_dict().items()}


@dataclass
class Findings:
    """Everything that was found, printed as it comes, kept as JSON, and told again as one table at the end."""

    folder: Path
    values: dict[str, Any] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)
    started: float = field(default_factory=time.monotonic)
    seconds: float = float("inf")

    @property
    def left(self) -> float:
        """Seconds that are left."""
        return self.seconds - (time.monotonic() - self.started)

    def part(self, name: str, act: Callable[[], object]) -> None:
        """Something that is tried, if there is still time."""
        if self.left <= 0:
            self.check(name, None, "left out: the time is up")
            return
        with self.trying(name):
            act()

    def section(self, title: str) -> None:
        """Begin a part of the table."""
        self._say(f"\n{title}")

    def check(self, name: str, passed: bool | None, text: str, **values: Any) -> None:
        """One thing that should hold; ``passed`` is None for what is only reported."""
        self.values[name] = {"passed": passed, "text": text, **values}
        self._say(f"  {'-' if passed is None else 'ok' if passed else 'NO':3} {name}: {text}")

    def number(self, name: str, text: str, **values: Any) -> None:
        """One measurement."""
        self.values[name] = {"text": text, **values}
        self._say(f"      {name}: {text}")

    def tell(self, text: str) -> None:
        """Lines as they are, a table of an evaluation for one."""
        for line in text.splitlines():
            self._say(f"        {line}")

    @contextlib.contextmanager
    def trying(self, name: str) -> Iterator[None]:
        """What fails here is told and does not end the rest."""
        try:
            yield
        except Exception as error:
            words = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
            self.check(name, False, words)
            (self.folder / "errors.txt").open("a").write(f"{name}\n{_traceback(error)}\n")
        self.save()

    def save(self) -> None:
        """Write what there is so far."""
        (self.folder / "gpu.json").write_text(json.dumps(self.values, indent=1, default=str), encoding="utf-8")
        (self.folder / "gpu.txt").write_text("\n".join(self.lines) + "\n", encoding="utf-8")

    def failed(self) -> list[str]:
        """The checks that did not hold."""
        return [name for name, value in self.values.items() if value.get("passed") is False]

    def _say(self, line: str) -> None:
        self.lines.append(line)
        print(f"[{time.monotonic() - self.started:5.0f} s] {line}", flush=True)


def _traceback(error: BaseException) -> str:
    return "".join(traceback.format_exception(error, limit=-8))
