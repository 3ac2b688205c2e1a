"""Updates computed one by one, or recorded once as a CUDA graph and replayed.

At 256 pixels and batch 1 an update of pix2pix launches some 470 kernels, and a GPU waits four fifths of the time for the next launch
(``docs/results/gpu.md``). A graph launches all of them at once. What it does is fixed when it is recorded: addresses, shapes, and all that
the host decided. So batches are copied to where it reads, learning rates stand in tensors on the device, what measures gradient norms is a
graph of its own, and an update of which the host decides something anew each time (:func:`obstacle`) is not recorded.

Recording computes nothing. What an update needs to have been done once, such as a workspace or Adam's moments, the first updates do, which
are computed one by one. Each update is the same whether it is replayed or not, random numbers of the device included, to the rounding of
the kernels that are chosen.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.optim import Adam, Optimizer

from ..data.batch import Batch
from ..networks.graphs import CudaGraphs, Graphs
from ..progress import say
from ..recipe import Recipe
from ..registry import entry, is_own
from .checkpoint import random_state, restore_random_state
from .engine import Engine
from .steps.base import StepOutput, TrainingStep
from .steps.build import step_name

FIRST = 3
"""Updates that are computed one by one before anything is recorded; PyTorch's documentation asks for so many."""
MOST = 4
"""Graphs of one training: of two shapes of batch (or with a mask and without), with and without gradient norms."""


@dataclass(frozen=True)
class _RecordedUpdate:
    batch: Batch
    replay: Callable[[], StepOutput]


class Updates:
    """Every update of a training, through graphs where there are any.

    Args:
        step: what an update is.
        engine: whose scalers and device the step uses.
        graphs: how updates are recorded; None computes each by itself.
        quiet: nothing is said if recording fails.
    """

    def __init__(self, step: TrainingStep, engine: Engine, graphs: Graphs | None = None, quiet: bool = False) -> None:
        self.step, self.engine, self.graphs, self.quiet = step, engine, graphs, quiet
        self._rounds = graphs is not None
        self._seen: Counter[tuple[object, ...]] = Counter()
        self._recorded: dict[tuple[object, ...], _RecordedUpdate] = {}
        self._rates: dict[Optimizer, list[Tensor]] = {}

    def __call__(self, batch: Batch, measure: bool = False) -> StepOutput:
        """One update, as :meth:`.steps.base.TrainingStep.training_step`. What comes back is overwritten by the next one."""
        if self._rounds:
            for group in _groups(self.step):
                group["lr"] = float(np.float32(group["lr"]))  # which is all that a tensor can hold: so both ways take the same step
        if self.graphs is None:
            return self.step.training_step(batch, measure)
        key = measure, batch.source.shape, batch.target.shape, batch.mask is None
        if key not in self._recorded and self._is_time_for(key):
            self._record(key, batch, measure)
        if (recorded := self._recorded.get(key)) is None:
            self._seen[key] += 1
            return self._alone(batch, measure)
        for optimizer, rates in self._rates.items():
            for rate, group in zip(rates, optimizer.param_groups, strict=True):
                rate.fill_(group["lr"])
        recorded.batch.source.copy_(batch.source)
        recorded.batch.target.copy_(batch.target)
        if recorded.batch.mask is not None and batch.mask is not None:
            recorded.batch.mask.copy_(batch.mask)
        return recorded.replay()

    def _alone(self, batch: Batch, measure: bool) -> StepOutput:
        if self.graphs is None:
            return self.step.training_step(batch, measure)
        return self.graphs.aside(lambda: self.step.training_step(batch, measure))

    def _is_time_for(self, key: tuple[object, ...]) -> bool:
        return self._seen[key] > 0 and self._seen.total() >= FIRST and len(self._recorded) < MOST

    def _record(self, key: tuple[object, ...], batch: Batch, measure: bool) -> None:
        """Record one kind of update; if that cannot be done, all are computed one by one from now on."""
        assert self.graphs is not None
        optimizers = self.step.optimizers().values()
        if not self._rates:
            device = self.engine.device
            self._rates = {one: [torch.empty((), device=device) for _ in one.param_groups] for one in optimizers}
        fixed = batch.clone()
        before = random_state(torch.device("cpu"))
        try:
            with _rates_in_tensors(self._rates):
                replay = self.graphs.record(lambda: self.step.training_step(fixed, measure))
            if _differ(before, random_state(torch.device("cpu"))):
                raise RuntimeError("an update draws random numbers on the CPU")
        except RuntimeError as error:
            self._give_up(" ".join(str(error).split())[:200], before)
        else:
            self._recorded[key] = _RecordedUpdate(fixed, replay)

    def _give_up(self, reason: str, before: dict[str, object]) -> None:
        """Leave nothing of an update that broke off in the middle of being recorded."""
        restore_random_state(before, torch.device("cpu"))
        self.graphs = None
        self._recorded.clear()
        for optimizer in self.step.optimizers().values():
            optimizer.zero_grad(set_to_none=True)
            for name in ("grad_scale", "found_inf"):  # which a scaler lends
                optimizer.__dict__.pop(name, None)
        self.engine.renew_scalers()
        if not self.quiet:
            say(f"note: updates are launched kernel by kernel from here on, since a CUDA graph of one could not be recorded: {reason}")


def obstacle(recipe: Recipe, step: TrainingStep, engine: Engine) -> str | None:
    """Why the updates of a recipe cannot be replayed, in words; None if they can."""
    if engine.world_size > 1:
        return "several processes train together"
    if not recipe.training.fused:
        return "training.fused is false"
    if not all(isinstance(optimizer, Adam) for optimizer in step.optimizers().values()):
        return "the step has an optimizer of its own"
    for kind, name in _named(recipe):
        found = entry(kind, name)
        draws = found.extra.get("draws_on_host", False if is_own(found) else None)
        if draws is not False:
            why = "draws random numbers on the CPU" if draws else "is a plugin's, which does not say draws_on_host=False"
            return f"the {kind} {name} {why}"
    host = step.decided_by_host
    return None if host is None else f"something of each is decided on the CPU: {host}"


def _named(recipe: Recipe) -> Iterator[tuple[str, str]]:
    """What of a recipe's registered things takes part in an update."""
    yield "step", step_name(recipe)
    yield "generator", recipe.generator.name
    if recipe.discriminator is not None:
        yield "discriminator", recipe.discriminator.name
    if recipe.objective.adversarial is not None:
        yield "adversarial", recipe.objective.adversarial.loss
    for term in recipe.objective.terms:
        yield from (("loss", term[key]) for key in ("loss", "match_gradient_of") if term.get(key))


def graphs_for(recipe: Recipe, step: TrainingStep, engine: Engine) -> Graphs | None:
    """CUDA graphs, where the device has them, the recipe does not say no and nothing stands in the way."""
    if engine.device.type != "cuda" or recipe.training.graphs == "no" or obstacle(recipe, step, engine):
        return None
    return CudaGraphs(engine.device, together=True)


def _groups(step: TrainingStep) -> list[dict[str, Any]]:
    return [group for optimizer in step.optimizers().values() for group in optimizer.param_groups]


@contextlib.contextmanager
def _rates_in_tensors(rates: dict[Optimizer, list[Tensor]]) -> Iterator[None]:
    """Optimizers read their rates from these tensors, and say of themselves that they can be recorded, as they then can.

    Only while an update is recorded: what a checkpoint holds stays a number.
    """
    usual = {optimizer: [(group["lr"], group["capturable"]) for group in optimizer.param_groups] for optimizer in rates}
    for optimizer, tensors in rates.items():
        for rate, group in zip(tensors, optimizer.param_groups, strict=True):
            group["lr"], group["capturable"] = rate, True
    try:
        yield
    finally:
        for optimizer, values in usual.items():
            for value, group in zip(values, optimizer.param_groups, strict=True):
                group["lr"], group["capturable"] = value


def _differ(one: object, other: object) -> bool:
    """Whether two states of random numbers are not the same."""
    if isinstance(one, dict) and isinstance(other, dict):
        return any(_differ(one[name], other[name]) for name in one)
    if isinstance(one, Sequence) and isinstance(other, Sequence) and not isinstance(one, str):
        return any(map(_differ, one, other))
    if isinstance(one, Tensor) and isinstance(other, Tensor):
        return not torch.equal(one, other)
    return one != other
