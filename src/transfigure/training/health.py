"""Is this training alive? Watches the numbers and says in words what a person with experience would see in them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

PATIENCE_IMAGES = 1000
"""For how many images in a row a condition must hold before it is said."""
CERTAIN_IMAGES = 100
"""The same for one that is there by a margin that chance does not reach."""
COLLAPSED = 0.05
"""Outputs that vary with their sources by less than this share of what the targets do are one picture."""
ONE_PICTURE = 0.005
"""The same where nothing is left to doubt: an untrained generator varies more."""
AT_THE_ENDS = 0.9
"""Where this share of the generated values, and not half as many of the targets', lie at the ends of the range, tanh passes no gradient."""
GROWN = 100
"""Weights so many times as large as when training began are out of hand: at a rate of 0.1, from which a U-Net recovers, it is 5."""
RECONSTRUCTIONS = frozenset({"l1", "l2", "charbonnier", "ssim", "ms_ssim", "cosine", "lpips", "perceptual"})
"""Terms that hold an output to its target."""


def remedies(code: str, recipe: Mapping[str, Any], unpaired: bool = False) -> str:
    """What may help against a condition, without what the recipe has already.

    Args:
        code: ``collapse``, ``d_wins``, ``weights`` or ``saturated``.
        recipe: nested plain values, which anybody may have written; an empty one has nothing.
        unpaired: no target belongs to a source; so it is, too, where the recipe says so.
    """
    data, objective = _part(recipe, "data"), _part(recipe, "objective")
    adversarial = _part(objective, "adversarial")
    if code == "d_wins":
        form = adversarial.get("loss", "vanilla")
        found = ["use a smaller --training.discriminator_learning_rate"]
        if form in ("vanilla", "lsgan") and adversarial.get("real_label") in (None, 1):
            found.append("softer labels (--objective.adversarial.real_label 0.9)")
        if form == "relativistic" and not (adversarial.get("r1") and adversarial.get("r2")):
            found.append("the penalties that this form needs (--objective.adversarial.r1 and r2)")
        return _either([*found, "more data"])
    if code in ("weights", "saturated"):
        return "lower --training.learning_rate, and start again"
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
        certain: images seen when each condition that is there beyond doubt began to be so.
        reported: conditions already reported.
    """

    recipe: Mapping[str, Any] = field(default_factory=dict)
    unpaired: bool = False
    since: dict[str, int] = field(default_factory=dict)
    certain: dict[str, int] = field(default_factory=dict)
    reported: list[str] = field(default_factory=list)

    def losses(self, images: int, saturated: bool | None, certain: bool = False) -> list[dict[str, Any]]:
        """Look at one logged interval.

        Args:
            images: images seen so far.
            saturated: whether D separated real from generated almost perfectly in this interval; None without a D.
            certain: whether it did so by a margin that chance does not reach.
        """
        return self._hold(
            "d_wins",
            bool(saturated),
            images,
            "The discriminator wins: it has told real from generated almost perfectly for {n:,} images, so the generator learns "
            "little from it.",
            certain,
        )

    def weights(self, images: int, sizes: Mapping[str, float], at_first: Mapping[str, float]) -> list[dict[str, Any]]:
        """Look at how large the weights have become.

        Args:
            images: images seen so far.
            sizes: by network, as :func:`weight_size` has it.
            at_first: the same before the first step.
        """
        growth = {name: size / max(at_first.get(name, 0.0), 0.01) for name, size in sizes.items()}
        worst = max(growth, key=lambda name: growth[name], default="")
        grown = bool(growth) and growth[worst] >= GROWN
        if grown and "weights" not in self.since:  # nothing brings them back: there is nothing to wait for
            self.since["weights"] = self.certain["weights"] = images - CERTAIN_IMAGES
        words = f"Diverged: the {worst}'s weights are {growth.get(worst, 0):,.0f} times as large as when training began."
        return self._hold("weights", grown, images, words, certain=True)

    def previews(self, images: int, fakes: Tensor, targets: Tensor) -> list[dict[str, Any]]:
        """Look at what became of the fixed examples.

        Args:
            images: images seen so far.
            fakes: generated, ``[N, C, H, W]`` in [-1, 1].
            targets: what they should be.
        """
        if len(fakes) == 0:
            return []
        ends, of_targets = at_ends(fakes), at_ends(targets)
        found = self._hold(
            "saturated",
            ends >= AT_THE_ENDS and of_targets < ends / 2,
            images,
            f"Diverged: for {{n:,}} images {ends:.0%} of the generated values have been at the ends of their range ({of_targets:.0%} of "
            "the targets'), where no gradient passes.",
            certain=True,
        )
        if len(fakes) < 2:
            return found
        varied = signs(fakes, targets)["variation"]
        return found + self._hold(
            "collapse",
            varied < COLLAPSED,
            images,
            f"Collapse: for {{n:,}} images the pictures have not varied with their sources ({varied:.1%} of the targets' variation).",
            varied < ONE_PICTURE,
        )

    def _hold(self, code: str, present: bool, images: int, message: str, certain: bool = False) -> list[dict[str, Any]]:
        """Whether a condition is there; it is said when it has been there for long enough.

        Args:
            code: its name.
            present: whether it is there now.
            images: images seen so far.
            message: with ``{n}`` for how many images it has held.
            certain: whether it is there beyond doubt.
        """
        if not (present and certain):
            self.certain.pop(code, None)
        if not present:
            self.since.pop(code, None)
            if code in self.reported:
                self.reported.remove(code)
            return []
        start = self.since.setdefault(code, images)
        surely = images - self.certain.setdefault(code, images) >= CERTAIN_IMAGES if certain else False
        if not (surely or images - start >= PATIENCE_IMAGES) or code in self.reported:
            return []
        self.reported.append(code)
        advice = f"Common remedies: {remedies(code, self.recipe, self.unpaired)}."
        return [{"code": code, "level": "warning", "message": f"{message.format(n=images - start)} {advice}"}]

    def conditions(self) -> dict[str, int]:
        """The conditions that hold now, reported or not, each with the images seen when it began."""
        return dict(self.since)

    def state_dict(self) -> dict[str, Any]:
        """Everything exact resume needs."""
        return {"since": dict(self.since), "certain": dict(self.certain), "reported": list(self.reported)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a saved state."""
        self.since, self.reported = dict(state["since"]), list(state["reported"])
        self.certain = dict(state.get("certain", {}))  # a checkpoint of 0.1.0 has none


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


def at_ends(images: Tensor) -> float:
    """The share of values within a hundredth of -1 or 1."""
    return float((images.abs() > 0.99).float().mean())


def weight_size(network: Module) -> float:
    """The root mean square of all the weights that are trained; 0 without any."""
    import torch

    weights = [weight.detach() for weight in network.parameters() if weight.requires_grad]
    if not weights:
        return 0.0
    squares = torch.stack(torch._foreach_norm([weight.float() for weight in weights])).square().sum()
    return math.sqrt(float(squares) / sum(weight.numel() for weight in weights))


def broken(values: dict[str, float]) -> list[str]:
    """The names of the values that are not finite numbers."""
    return [name for name, value in values.items() if not math.isfinite(value)]
