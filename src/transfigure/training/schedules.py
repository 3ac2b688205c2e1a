"""The schedules of the learning rate: what it is multiplied by, as a function of the recipe and of how far the training is.

Each is a row of :data:`SCHEDULES`; its name is a value of ``training.schedule``. Only ``plateau`` has a state, which a checkpoint keeps.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from ..recipe import Training


@dataclass(frozen=True)
class Moment:
    """How far a training is.

    Attributes:
        progress: the share of all updates, or of ``training.minutes``, that is done, from 0 to 1.
        epoch: whole epochs that are done.
        reductions: how often ``plateau`` has lowered the rate.
    """

    progress: float
    epoch: int = 0
    reductions: int = 0


def _linear_decay(training: Training, at: Moment) -> float:
    """Constant up to ``decay_start`` (null: half of all epochs), then linearly to zero.

    Zhu et al. 2017, appendix; the authors' later code does so for pix2pix too, whose paper kept the rate constant. That code moves once
    an epoch and ends one step above zero; this one moves with every update.
    """
    start = 0.5 if training.decay_start is None else training.decay_start / training.epochs
    return min(1.0, (1 - at.progress) / (1 - start)) if start < 1 else 1.0


SCHEDULES: dict[str, Callable[[Training, Moment], float]] = {
    "linear_decay": _linear_decay,
    "constant": lambda training, at: 1.0,
    "cosine": lambda training, at: 0.5 * (1 + math.cos(math.pi * at.progress)),
    "step": lambda training, at: training.decay_factor ** (at.epoch // training.decay_every),
    "plateau": lambda training, at: training.decay_factor**at.reductions,
}
SPREAD = ("linear_decay", "cosine")
"""Those that come to their end with the last epoch: under another number of epochs every rate would be another."""


def factor(training: Training, at: Moment) -> float:
    """What the learning rates are multiplied by at this moment."""
    return SCHEDULES[training.schedule](training, at)


@dataclass
class Plateau:
    """Lowers the rate after so many validations without a better value. As for patience, each lowering begins to count anew.

    A value is better if it beats the best one by more than 1e-4 of it, as for ``torch.optim.lr_scheduler.ReduceLROnPlateau`` with its
    defaults (whose ``patience`` is one less: it counts the validations that are waited through).

    Attributes:
        best: the best value so far.
        stale: validations since then, or since the last lowering.
        reductions: how often the rate was lowered.
    """

    best: float | None = None
    stale: int = 0
    reductions: int = 0

    THRESHOLD = 1e-4

    def lowers(self, value: float, lower_is_better: bool, patience: int) -> bool:
        """Count a validation; whether the rate goes down now."""
        best = self.best
        if math.isfinite(value) and (best is None or (best - value) * (1 if lower_is_better else -1) > self.THRESHOLD * abs(best)):
            self.best, self.stale = value, 0
            return False
        self.stale += 1
        if self.stale < patience:
            return False
        self.stale, self.reductions = 0, self.reductions + 1
        return True
