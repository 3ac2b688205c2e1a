"""What a training step is: the networks and optimizers of one algorithm, and how one batch moves them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from ...data.batch import Batch
from ...losses.gan import AdversarialLoss
from ...networks.base import Generator
from ..checkpoint import random_state, restore_random_state
from ..engine import Engine


class Stateful(Protocol):
    """What can be saved and restored."""

    def state_dict(self) -> dict[str, Any]: ...  # noqa: D102

    def load_state_dict(self, state_dict: dict[str, Any]) -> Any: ...  # noqa: D102


@dataclass(frozen=True)
class StepOutput:
    """What one step measured, detached.

    Attributes:
        g_loss: the weighted sum that G minimised.
        terms: every loss term, unweighted.
        d_loss: what D minimised; None without a discriminator, like the next three.
        adversarial: G's adversarial loss, unweighted.
        d_real: D's mean output on real images, as the adversarial form reads it.
        d_fake: the same on generated ones.
        gradient_norms: of each term, with its weight, at the generated images; empty unless it was asked for.
    """

    g_loss: Tensor
    terms: dict[str, Tensor] = field(default_factory=dict)
    d_loss: Tensor | None = None
    adversarial: Tensor | None = None
    d_real: Tensor | None = None
    d_fake: Tensor | None = None
    gradient_norms: dict[str, Tensor] = field(default_factory=dict)


def mean_output(outputs: Sequence[StepOutput], parts: Sequence[MicroBatch]) -> StepOutput:
    """What the parts of a batch measured, as the whole would have: means weighted by the parts' shares."""
    if len(outputs) == 1:
        return outputs[0]

    def mean(values: Iterable[Tensor | None]) -> Tensor | None:
        weighted = [part.share * value for part, value in zip(parts, values, strict=True) if value is not None]
        return torch.stack(weighted).sum() if len(weighted) == len(parts) else None

    def means(named: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
        found = {name: mean(one.get(name) for one in named) for name in named[0]}
        return {name: value for name, value in found.items() if value is not None}

    g_loss = mean(output.g_loss for output in outputs)
    assert g_loss is not None
    return StepOutput(
        g_loss=g_loss,
        terms=means([output.terms for output in outputs]),
        d_loss=mean(output.d_loss for output in outputs),
        adversarial=mean(output.adversarial for output in outputs),
        d_real=mean(output.d_real for output in outputs),
        d_fake=mean(output.d_fake for output in outputs),
        gradient_norms=means([output.gradient_norms for output in outputs]),
    )


@dataclass(frozen=True)
class MicroBatch:
    """A part of a batch that passes the networks by itself.

    Attributes:
        batch: its pairs.
        share: how much of the whole batch they are; the losses of all parts, times this, add up to the loss of the batch.
        more: another part follows.
    """

    batch: Batch
    share: float
    more: bool


class TrainingStep(ABC):
    """One algorithm: its networks, its optimizers, and how a batch updates them.

    A subclass takes a :class:`~transfigure.training.setup.Setup`, builds its networks and optimizers from it in its constructor, and writes
    down :meth:`training_step`. Registered as ``step`` it is a value of ``training.step``, and its other arguments are keys of the recipe's
    ``training`` section.

    Args:
        engine: backward passes, precision, and averaging over devices.
        micro_batch_size: of a step that goes through its batch by :meth:`parts`, the setup's; None for one that does not.
    """

    def __init__(self, engine: Engine, micro_batch_size: int | None = None) -> None:
        self.engine, self.micro_batch_size = engine, micro_batch_size

    @abstractmethod
    def training_step(self, batch: Batch, measure: bool = False) -> StepOutput:
        """Update every network on one batch.

        Args:
            batch: sources and targets, on the engine's device.
            measure: also the gradient norm of each term at the generated images; changes nothing else.
        """

    @property
    @abstractmethod
    def generator(self) -> Generator:
        """The generator from source to target: what the run is about."""

    @property
    def inverse_generator(self) -> Generator | None:
        """The generator from target to source, if one is trained too."""
        return None

    @property
    def gan(self) -> AdversarialLoss | None:
        """The adversarial form, if there is a discriminator."""
        return None

    @abstractmethod
    def networks(self) -> dict[str, nn.Module]:
        """Every network with weights, by the name it has in a checkpoint."""

    @abstractmethod
    def optimizers(self) -> dict[str, Optimizer]:
        """Every optimizer, by the name it has in a checkpoint."""

    def pools(self) -> dict[str, Stateful]:
        """What else exact resume must restore, by the name it has in a checkpoint."""
        return {}

    def set_learning_rate(self, factor: float) -> None:
        """Give every optimizer its own learning rate times a factor of the schedule."""
        for optimizer in self.optimizers().values():
            for group in optimizer.param_groups:
                group["lr"] = factor * optimizer.defaults["lr"]

    def parts(self, batch: Batch) -> list[MicroBatch]:
        """The batch in parts of ``micro_batch_size`` pairs: the whole, unless gradients are accumulated."""
        batches = [batch] if self.micro_batch_size is None else batch.split(self.micro_batch_size)
        last = len(batches) - 1
        return [MicroBatch(one, len(one) / len(batch), more=number < last) for number, one in enumerate(batches)]

    def optimizer_step(self, optimizer: Optimizer, loss: Tensor, *networks: nn.Module, more: bool = False) -> None:
        """One step of an optimizer down a loss; ``networks`` are those it updates.

        With ``more`` the loss is that of one part of a batch: its gradient is added to those of the other parts, and the step comes with
        the last of them.
        """
        self.engine.backward(loss, *networks, optimizer=optimizer, more=more)
        if not more:
            self.engine.step(optimizer)

    @property
    def decided_by_host(self) -> str | None:
        """What of an update the host decides anew each time, so that it cannot be replayed as it was recorded; None if nothing is.

        Random numbers drawn on the CPU, a pool, a counter in Python: all that is not an operation on the device's tensors. A subclass that
        knows there is nothing says None; without that its updates are computed one by one.
        """
        return "this training step, which does not say otherwise"

    def scalers(self) -> dict[str, Stateful]:
        """What scales the losses of each optimizer in float16, by the name it has in a checkpoint; nothing in other formats."""
        found = {f"{name}_scaler": self.engine.scaler(optimizer) for name, optimizer in self.optimizers().items()}
        return {name: scaler for name, scaler in found.items() if scaler is not None}

    def state_dict(self) -> dict[str, Any]:
        """Everything exact resume needs."""
        return {name: part.state_dict() for name, part in self._parts().items()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a saved state."""
        for name, part in self._parts().items():
            part.load_state_dict(state_dict[name])
        for name, optimizer in self.optimizers().items():
            for group, saved in zip(optimizer.param_groups, state_dict[name]["param_groups"], strict=True):
                group["lr"] = saved["lr"]  # until the schedule sets it for the next update: without one, the state is saved again as it was

    def _parts(self) -> dict[str, Stateful]:
        return {**self.networks(), **self.optimizers(), **self.pools(), **self.scalers()}


@contextmanager
def frozen(*networks: nn.Module | None) -> Iterator[None]:
    """Gradients pass through the networks but are not computed for their weights."""
    given = [network for network in networks if network is not None]
    for network in given:
        network.requires_grad_(False)
    try:
        yield
    finally:
        for network in given:
            network.requires_grad_(True)


class Rehearsal:
    """A network's passes over the parts of a batch, made twice: again with the same random numbers, and from the same buffers.

    So a second pass gives what the first gave, and running statistics have counted each part once.

    Args:
        network: whose passes they are.
        device: where its random numbers are drawn.
    """

    def __init__(self, network: nn.Module, device: torch.device) -> None:
        self._network, self._device = network, device
        self._buffers = [buffer.clone() for buffer in network.buffers()]
        self._random: list[dict[str, Any]] = []

    def first(self) -> None:
        """A part is about to pass for the first time."""
        self._random.append(random_state(self._device))

    def rewind(self) -> None:
        """All parts have passed once."""
        with torch.no_grad():
            for buffer, before in zip(self._network.buffers(), self._buffers, strict=True):
                buffer.copy_(before)

    @contextmanager
    def again(self) -> Iterator[None]:
        """The next part passes once more, and other random numbers go on as if it had not; nothing special if none has passed before."""
        if not self._random:
            yield
            return
        now = random_state(self._device)
        restore_random_state(self._random.pop(0), self._device)
        yield
        restore_random_state(now, self._device)
