"""How fast a recipe trains on this machine, in each way that it can be computed, and what was measured of it before."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ..data.batch import Batch
from ..data.files import write_json
from ..data.ownership import check_outputs, marked
from ..data.prepared import cache_root
from ..recipe import Recipe
from ..registry import entry
from ..stored import read_json
from ..wording import counted
from .allocator import keep_freed_memory
from .engine import Engine, Precision
from .replay import FIRST, Updates, graphs_for
from .run_directory import environment
from .setup import Setup
from .steps.base import TrainingStep
from .steps.build import build_step, step_name
from .steps.pix2pix import Pix2PixStep


@dataclass(frozen=True)
class Way:
    """One way to compute an update.

    Attributes:
        name: what a person reads.
        precision: ``training.precision``.
        update: ``training.update``.
        replayed: through a CUDA graph (``training.graphs``).
    """

    name: str
    precision: Precision = "32-true"
    update: str = "alternating"
    replayed: bool = False


WAYS = (
    Way("float32"),
    Way("bfloat16", "bf16-mixed"),
    Way("float32, simultaneous", "32-true", "simultaneous"),
    Way("bfloat16, simultaneous", "bf16-mixed", "simultaneous"),
)
ON_GPUS = (
    Way("float32, replayed", replayed=True),
    Way("bfloat16, replayed", "bf16-mixed", replayed=True),
    Way("float16, replayed", "16-mixed", replayed=True),
    Way("bfloat16, sim., replayed", "bf16-mixed", "simultaneous", replayed=True),
)
"""More ways, where updates can be replayed."""


@dataclass(frozen=True)
class Speed:
    """What was measured of one way.

    Attributes:
        way: which.
        seconds: of an update, the median of each round.
        ratios: how many times as fast as the first way, in each round.
    """

    way: Way
    seconds: tuple[float, ...]
    ratios: tuple[float, ...]

    def to_dict(self) -> dict[str, Any]:
        """Names and numbers, the medians over the rounds beside them."""
        middle = {"seconds": statistics.median(self.seconds), "ratio": statistics.median(self.ratios)}
        return {"way": self.way.name, "precision": self.way.precision, "update": self.way.update, **middle, "of_rounds": list(self.ratios)}


def measure(recipe: Recipe, rounds: int = 5, steps: int = 3, done: Callable[[], object] = lambda: None) -> dict[str, Any]:
    """Time the updates of a recipe on random RGB pairs, every way in turn in each round, so that what else the machine does hurts all.

    Args:
        recipe: whose networks, losses, crop and batch size count; its precision and update do not.
        rounds: how often each way has its turn, after one that is not counted.
        steps: updates in a turn.
        done: called after each turn.

    Returns:
        ``title``, ``machine``, ``bfloat16`` (whether the CPU has it), ``date`` and ``ways``, as :meth:`Speed.to_dict` gives each.

    Raises:
        UserError: the recipe cannot be trained here.
    """
    keep_freed_memory()
    training = recipe.training.replaced(precision="32-true")
    engine = Engine(training)
    torch.manual_seed(training.seed)
    step = build_step(Setup(recipe.replaced(training=training), (3, 3), engine, unpaired=recipe.data.unpaired))
    side = recipe.data.crop_size
    source, target = torch.rand(2, training.batch_size, 3, side, side) * 2 - 1
    batch = Batch(source, target, ("random",) * training.batch_size).to(engine.device)
    measured: dict[Way, list[float]] = {way: [] for way in ways_of(recipe, step)}
    updates = {way: Updates(step, engine, graphs_for(recipe, step, engine) if way.replayed else None) for way in measured}
    for number in range(rounds + 1):
        for way, seconds in measured.items():
            engine.precision = way.precision
            if isinstance(step, Pix2PixStep):
                step.simultaneous = way.update == "simultaneous"
            # a graph is recorded in the turn that does not count
            median = statistics.median(_timed(updates[way], batch, engine, steps if number or not way.replayed else FIRST + 2))
            if number > 0:
                seconds.append(median)
            done()
    first = next(iter(measured.values()))
    found = [Speed(way, tuple(mine), tuple(a / b for a, b in zip(first, mine))) for way, mine in measured.items()]
    machine = environment(engine.device)
    return {
        "title": f"{recipe.name}, {side} x {side} pixels, batch {training.batch_size}",
        "machine": {key: machine[key] for key in ("processor", "threads", "device", "gpu", "torch", "transfigure")},
        "bfloat16": engine.bfloat16_fits("uint8"),
        "date": time.strftime("%Y-%m-%d"),
        "ways": [speed.to_dict() for speed in found],
    }


def table(measured: dict[str, Any]) -> str:
    """What :func:`measure` gave, for a person."""
    machine = measured["machine"]
    bfloat16 = f"bfloat16 in hardware: {'yes' if measured['bfloat16'] else 'no'}"
    where = [machine["processor"], machine["device"], counted(machine["threads"], "thread"), bfloat16, f"torch {machine['torch']}"]
    lines = [f"{measured['title']}; {', '.join(where)}"]
    lines += ["", f"{'training step':26}{'seconds':>9}{'ratio':>8}   rounds"]
    for way in measured["ways"]:
        rounds = f"{min(way['of_rounds']):.2f} to {max(way['of_rounds']):.2f}"
        lines.append(f"{way['way']:26}{way['seconds']:9.3f}{way['ratio']:8.2f}   {rounds}")
    return "\n".join(lines)


def speed_file() -> Path:
    """``benchmark.json`` beside the cache of data."""
    return cache_root().parent / "benchmark.json"


def keep(measured: dict[str, Any]) -> None:
    """Remember a measurement in :func:`speed_file`, in the place of an earlier one of the same title.

    Raises:
        UserError: the file cannot be written, or is another's.
    """
    file = speed_file()
    check_outputs([file])
    write_json(file, marked({"measured": {**kept(), measured["title"]: measured}, "of": "training steps"}))


def kept() -> dict[str, dict[str, Any]]:
    """What was measured before, by title; nothing where nothing is readable."""
    try:
        found = dict(read_json(speed_file())["measured"])
        for measured in found.values():
            table(measured)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}
    return found


def ways_of(recipe: Recipe, step: TrainingStep) -> list[Way]:
    """The ways in which a recipe can be computed: those that its step has, and that go with the rest of it."""
    shared = "update" in entry("step", step_name(recipe)).options and step.gan is not None and not step.pools()
    ways = [*WAYS, *(ON_GPUS if graphs_for(recipe, step, step.engine) is not None else ())]
    return [way for way in ways if shared or way.update == "alternating"]


def _timed(update: Updates, batch: Batch, engine: Engine, steps: int) -> Iterator[float]:
    for _ in range(steps):
        start = time.perf_counter()
        update(batch)
        if engine.device.type == "cuda":
            torch.cuda.synchronize(engine.device)
        yield time.perf_counter() - start
