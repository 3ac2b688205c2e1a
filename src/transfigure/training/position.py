"""How far a training is, and what it has measured since it last wrote that down."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor

from .step import Losses


@dataclass
class Position:
    """How far a training is. ``batch`` counts within the epoch; ``seconds`` is time spent training."""

    epoch: int = 0
    batch: int = 0
    images: int = 0
    seconds: float = 0.0
    stale_validations: int = 0
    best: float | None = None


@dataclass
class Averages:
    """Sums of what each update measured since the last log line, left on the device; ``untimed`` updates were made before a resume.

    ``last`` holds what only the last update before a log line measures, and is no sum.
    """

    sums: dict[str, Tensor] = field(default_factory=dict)
    count: int = 0
    untimed: int = 0
    last: dict[str, Tensor] = field(default_factory=dict)

    def add(self, losses: Losses) -> None:
        """Count one update."""
        values = {name: getattr(losses, name) for name in ("g", "d", "adversarial", "d_real", "d_fake")}
        values.update({f"terms.{name}": value for name, value in losses.terms.items()})
        for name, value in values.items():
            if value is not None:
                self.sums[name] = self.sums[name] + value if name in self.sums else value.clone()
        self.last = {f"gradients.{name}": value for name, value in losses.gradients.items()}
        self.count += 1

    def means(self) -> dict[str, Tensor]:
        """The mean of each sum, and what the last update measured."""
        return {**{name: value.float() / self.count for name, value in self.sums.items()}, **self.last}


def passed(every: int | None, before: int, now: int) -> bool:
    """Whether a count has reached or passed a multiple of ``every``, also when it moves in steps that do not divide it."""
    return every is not None and now // every > before // every
