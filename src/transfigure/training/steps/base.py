"""What a training step is: the networks and optimizers of one algorithm, and how one batch moves them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

from torch import Tensor, nn
from torch.optim import Optimizer

from ...data.batch import Batch
from ...losses.gan import AdversarialLoss
from ...networks.base import Generator
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


class TrainingStep(ABC):
    """One algorithm: its networks, its optimizers, and how a batch updates them.

    A subclass takes a :class:`~transfigure.training.setup.Setup`, builds its networks and optimizers from it in its constructor, and writes
    down :meth:`training_step`. Registered as ``step`` it is a value of ``training.step``, and its other arguments are keys of the recipe's
    ``training`` section.

    Args:
        engine: backward passes, precision, and averaging over devices.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

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

    def optimizer_step(self, optimizer: Optimizer, loss: Tensor, *networks: nn.Module) -> None:
        """One step of an optimizer down a loss; ``networks`` are those it updates."""
        self.engine.backward(loss, *networks)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)  # now, so that gradients and activations need not be held at the same time

    def state_dict(self) -> dict[str, Any]:
        """Everything exact resume needs."""
        return {name: part.state_dict() for name, part in self._parts().items()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a saved state."""
        for name, part in self._parts().items():
            part.load_state_dict(state_dict[name])

    def _parts(self) -> dict[str, Stateful]:
        return {**self.networks(), **self.optimizers(), **self.pools()}


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
