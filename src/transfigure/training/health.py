"""Is this training alive? Watches the numbers and says in words what a person with experience would see in them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

PATIENCE_IMAGES = 1000
"""For how many images in a row a condition must hold before it is said."""
COLLAPSED = 0.05
"""Outputs that vary with their sources by less than this share of what the targets do are one picture."""
RECONSTRUCTIONS = frozenset({"l1", "l2", "charbonnier", "ssim", "ms_ssim", "cosine", "lpips", "perceptual"})
"""Terms that hold an output to its target."""


def remedies(code: str, recipe: Mapping[str, Any], unpaired: bool = False) -> str:
    """What may help against a condition, without what the recipe has already.

    Args:
        code: ``collapse`` or ``d_wins``.
        recipe: nested plain values, which anybody may have written; an empty one has nothing.
        unpaired: no target belongs to a source; so it is, too, where the recipe says so.
    """
    data, objective = _part(recipe, "data"), _part(recipe, "objective")
    adversarial = _part(objective, "adversarial")
    if code == "d_wins":
        hard = adversarial.get("real_label") in (None, 1)
        softer = ["softer labels (--objective.adversarial.real_label 0.9)"] if hard else []
        return _either(["use a smaller --training.discriminator_learning_rate", *softer, "more data"])
    held = objective.get("terms")
    terms = {str(term.get("loss")) for term in held if isinstance(term, dict)} if isinstance(held, list) else set()
    found = []
    if unpaired or data.get("unpaired") is True:
        found.append("use fewer levels in the generator (--generator.depth), so that more of the source passes")
        if not terms & {"contrastive", "cycle"}:
            found.append("add a term such as contrastive or cycle")
    else:
        if not recipe or (adversarial and adversarial.get("conditional") is not True):
            found.append("give the discriminator the source (--objective.adversarial.conditional true)")
        if not terms & RECONSTRUCTIONS:
            found.append("add a reconstruction term such as l1")
    return _either([*found, "lower the learning rate (--training.learning_rate)"])


def _part(holder: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = holder.get(key)
    return found if isinstance(found, Mapping) else {}


def _either(words: list[str]) -> str:
    return f"{', '.join(words[:-1])}, or {words[-1]}" if len(words) > 1 else words[0]


@dataclass
class Health:
    """Collects signs and returns each finding once, until it has been better in between.

    Attributes:
        recipe: what is trained, nested plain values: nothing is advised that it has.
        unpaired: no target belongs to a source; what needs them is not advised then.
        since: images seen when each present condition began.
        reported: conditions already reported.
    """

    recipe: Mapping[str, Any] = field(default_factory=dict)
    unpaired: bool = False
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
            "little from it.",
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
        return self._hold(
            "collapse",
            varied < COLLAPSED,
            images,
            f"Collapse: for {{n:,}} images the pictures have not varied with their sources ({varied:.1%} of the targets' variation).",
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
        advice = f"Common remedies: {remedies(code, self.recipe, self.unpaired)}."
        return [{"code": code, "level": "warning", "message": f"{message.format(n=images - start)} {advice}"}]

    def conditions(self) -> dict[str, int]:
        """The conditions that hold now, reported or not, each with the images seen when it began."""
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
