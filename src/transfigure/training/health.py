"""Is this training alive? Watches the numbers and says in words what a person with experience would see in them."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

PATIENCE_IMAGES = 1000
"""For how many images in a row a condition must hold before it is said."""
COLLAPSED = 0.05
"""Outputs that vary with their sources by less than this share of what the targets do are one picture."""


@dataclass
class Health:
    """Collects signs and returns each finding once, until it has been better in between.

    Attributes:
        pairs: whether sources come with their targets; remedies that need them are advised only then.
        since: images seen when each present condition began.
        reported: conditions already reported.
    """

    pairs: bool = True
    since: dict[str, int] = field(default_factory=dict)
    reported: list[str] = field(default_factory=list)

    def losses(self, images: int, saturated: bool | None) -> list[dict[str, Any]]:
        """Look at one logged interval.

        Args:
            images: images seen so far.
            saturated: whether D separated real from generated almost perfectly in this interval; None without a D.
        """
        return self._hold(
            "d_wins",
            bool(saturated),
            images,
            "The discriminator wins: it has told real from generated almost perfectly for {n:,} images, so the generator learns "
            "little from it. Common remedies: a smaller --training.discriminator_learning_rate, "
            "--objective.adversarial.real_label 0.9, more data.",
        )

    def previews(self, images: int, fakes: Tensor, targets: Tensor) -> list[dict[str, Any]]:
        """Look at what became of the fixed examples.

        Args:
            images: images seen so far.
            fakes: generated, ``[N, C, H, W]`` in [-1, 1].
            targets: what they should be.
        """
        if len(fakes) < 2:
            return []
        varied = signs(fakes, targets)["variation"]
        remedies = (
            "a conditional discriminator, a reconstruction term such as l1"
            if self.pairs
            else "fewer levels in the generator (--generator.depth), so that more of the source passes, a term such as contrastive or cycle"
        )
        return self._hold(
            "collapse",
            varied < COLLAPSED,
            images,
            f"Collapse: for {{n:,}} images the pictures have not varied with their sources ({varied:.1%} of the targets' variation). "
            f"Common remedies: {remedies}, a lower learning rate.",
        )

    def _hold(self, code: str, present: bool, images: int, message: str) -> list[dict[str, Any]]:
        if not present:
            self.since.pop(code, None)
            if code in self.reported:
                self.reported.remove(code)
            return []
        start = self.since.setdefault(code, images)
        if images - start < PATIENCE_IMAGES or code in self.reported:
            return []
        self.reported.append(code)
        return [{"code": code, "level": "warning", "message": message.format(n=images - start)}]

    def conditions(self) -> dict[str, int]:
        """The conditions that hold now, told or not, each with the images seen when it began."""
        return dict(self.since)

    def state_dict(self) -> dict[str, Any]:
        """Everything exact resume needs."""
        return {"since": dict(self.since), "reported": list(self.reported)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a saved state."""
        self.since, self.reported = dict(state["since"]), list(state["reported"])


def variation(images: Tensor) -> float:
    """How much images differ from one another: the standard deviation over images, averaged over pixels and channels."""
    return float(images.float().std(dim=0, unbiased=False).mean())


def signs(fakes: Tensor, targets: Tensor) -> dict[str, float]:
    """What the fixed examples show beside their targets: 1 is as much as the targets have.

    Args:
        fakes: generated, ``[N, C, H, W]`` in [-1, 1].
        targets: what they should be.

    Returns:
        ``detail``: high-frequency energy (less is blur); ``variation`` over the examples (0 is the same picture for every source).
    """
    from ..metrics.detail import high_frequency_energy

    if len(fakes) == 0:
        return {}
    energy = [float(high_frequency_energy(images).sum()) for images in (fakes, targets)]
    return {"detail": energy[0] / max(energy[1], 1e-12), "variation": variation(fakes) / max(variation(targets), 1e-6)}


def broken(values: dict[str, float]) -> list[str]:
    """The names of the values that are not finite numbers."""
    return [name for name, value in values.items() if not math.isfinite(value)]
