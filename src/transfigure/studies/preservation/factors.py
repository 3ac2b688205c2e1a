"""What a translator did with each known factor of the world: preserved the input's value, generated one of its own, or lost it.

Two questions to every factor, both answered by probes that were trained on real pictures (:mod:`.probes`):

- *preserved*: is the value read from G(x) the one that x has?
- *generated*: do the values read from all G(x) have the distribution of those read from real pictures of the target domain?

What both domains show should be both. What only the target shows should be generated, and cannot be preserved; of what only the source
shows nothing should be left, and what is still there although no eye finds it is *hidden information*. Every value stands beside two
bounds: G(x) = x, and a real held-out target picture of another scene in place of G(x).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from ...errors import UserError
from ...metrics.interval import bootstrap_interval
from ...worlds.shapes.dataset import Factor
from .probes import LabelledPictures, Probes, Reading, Values, agreement, direction, shown

NUMBER_BINS, ANGLE_BINS = 10, 8
SPLITS = 40
"""Random halves of the targets that an overlap is averaged over, and as many other target pictures that stand in for G(x)."""
RESAMPLES = 500
PRESERVED, PARTLY = 0.75, 0.25
"""Of the way from a random target to the identity, from where on a value is preserved, or partly."""
MATCHES = 0.8
"""Of what two halves of the real targets reach, from where on a distribution is the target's."""
FEW = 1 / 3
"""Of the targets' spread over values, up to where the outputs have collapsed; see :func:`spread`."""
HIDDEN = 0.1
"""Skill from where on a factor that no probe sees any more is hidden in the output; never less than 2 / sqrt(N), which chance may reach."""
READER = 1000
"""Pictures that are searched for hidden information."""

Array = NDArray[np.float64]
Pair = tuple[float, float]
Role = Literal["shared", "source only", "target only"]


@dataclass(frozen=True)
class FactorResult:
    """What became of one factor.

    Attributes:
        name: of the factor.
        owner: which domain's pictures show it.
        kind: ``choice``, ``number`` or ``angle``.
        role: ``shared``, ``source only`` or ``target only``: the owner, seen from the direction of the translation.
        preserved: agreement of what is read from G(x) with what x has, 0 to 1: the share of right choices, R^2 of numbers, the mean
            cosine of an angle's error, the latter two not below 0 (:func:`.probes.agreement`). If the source does not show the factor,
            what x has is "none".
        preserved_interval: 95 %, by the bootstrap over pictures.
        generated: overlap of the distributions read from the outputs and from real targets, 1 - total variation (:func:`overlap`).
            Two finite samples of one distribution never overlap fully: compare with the random target's.
        generated_interval: 95 %, likewise, over outputs and targets.
        identity: ``(preserved, generated)`` if G(x) = x.
        random_target: the same if a real target picture of another scene stood in place of G(x). Its ``generated`` is what two
            halves of the real targets reach, on samples as large as those that all overlaps are computed on.
        hidden_information: how much better than chance, 0 to 1, the input's value can be learnt from G(x), by
            :func:`hidden_information`; only for factors that the target does not show.
        outcome: in words, by the thresholds at the head of this module.
    """

    name: str
    owner: Literal["both", "A", "B"]
    kind: Literal["choice", "number", "angle"]
    role: Role
    preserved: float
    preserved_interval: Pair
    generated: float
    generated_interval: Pair
    identity: Pair
    random_target: Pair
    hidden_information: float | None
    outcome: str

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            **{name: getattr(self, name) for name in ("name", "owner", "kind", "role")},
            "preserved": {"value": self.preserved, "interval": [*self.preserved_interval]},
            "generated": {"value": self.generated, "interval": [*self.generated_interval]},
            "bounds": {
                bound: {"preserved": preserved, "generated": generated}
                for bound, (preserved, generated) in (("identity", self.identity), ("random target", self.random_target))
            },
            "hidden_information": self.hidden_information,
            "outcome": self.outcome,
        }


def analyze_factors(
    probes: Probes,
    factors: Sequence[Factor],
    sources: LabelledPictures,
    outputs: Tensor,
    targets: Tensor,
    *,
    target: Literal["A", "B"] = "B",
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> list[FactorResult]:
    """Ask both questions of every factor that the source or the target domain shows.

    Args:
        probes: which can read the factors.
        factors: to be asked of, in this order.
        sources: N held-out pictures x of the source domain.
        outputs: ``[N, 3, S, S]``, G(x) in the same order.
        targets: ``[M, 3, S, S]``, real held-out pictures of the target domain, in an order that has nothing to do with the sources'.
        target: the domain that G draws; that of the sources for an autoencoder.
        seed: of the resampling and of every random choice.
        resamples: of the bootstrap.

    Raises:
        UserError: pictures that the probes cannot read, another number of outputs than of sources, fewer than 8 sources or targets, or
            a value that is not told.
    """
    if len(outputs) != len(sources):
        raise UserError(f"there are {len(outputs)} outputs to {len(sources)} source pictures: give one for each, in the same order")
    if min(len(sources), len(targets)) < 8:
        raise UserError(f"{len(sources)} source and {len(targets)} target pictures are too few for a distribution: give at least 8 of each")
    readable = {factor.name for factor in probes.factors}
    source = sources.domain
    asked = [factor for factor in factors if shown(factor, source) or shown(factor, target)]
    for factor in asked:
        if factor.name not in readable:
            raise UserError(f"the probes cannot read {factor.name}: train them on this world")
        if shown(factor, source) and len(sources.values.get(factor.name, ())) != len(sources):
            raise UserError(f"the values of {len(sources)} source pictures do not tell {factor.name} for each")
    read = {"sources": probes.read(sources.pictures), "outputs": probes.read(outputs), "targets": probes.read(targets)}
    skills = hidden_information(probes, outputs, [factor for factor in asked if not shown(factor, target)], sources.values, seed)
    results = []
    for factor in asked:
        truth = torch.as_tensor(sources.values[factor.name]).double() if shown(factor, source) else None
        of = {what: readings[factor.name] for what, readings in read.items()}
        role: Role = "target only" if truth is None else "shared" if shown(factor, target) else "source only"
        results.append(_result(factor, role, truth, of, skills.get(factor.name), seed, resamples))
    return results


def _result(
    factor: Factor, role: Role, truth: Tensor | None, read: Mapping[str, Reading], skill: float | None, seed: int, resamples: int
) -> FactorResult:
    agreements = agreement(read["outputs"], truth).numpy()
    ends = bootstrap_interval(agreements, resamples=resamples, seed=seed)
    n, m = (len(read[what].value) for what in ("outputs", "targets"))
    random = np.random.default_rng(seed)
    shifts = random.choice(np.arange(1, m), min(SPLITS, m - 1), replace=False)  # never the target at the picture's own place
    others = [agreement(read["targets"][torch.from_numpy((np.arange(n) + shift) % m)], truth).mean().item() for shift in shifts]
    binned = {what: bins(reading) for what, reading in read.items()}
    generated, reach = overlap(binned["outputs"], binned["targets"], seed)
    found = FactorResult(
        name=factor.name,
        owner=factor.owner,
        kind=factor.kind,
        role=role,
        preserved=_share(float(agreements.mean())),
        preserved_interval=(_share(ends[0]), _share(ends[1])),
        generated=generated,
        generated_interval=_overlap_interval(binned["outputs"], binned["targets"], generated, seed, resamples),
        identity=(_share(agreement(read["sources"], truth).mean().item()), overlap(binned["sources"], binned["targets"], seed)[0]),
        random_target=(_share(fmean(others)), reach),
        hidden_information=skill,
        outcome="",
    )
    chance = found.random_target[0]
    if role == "source only" and factor.kind == "choice":  # no target shows it: the best guess is the commonest value
        chance = float(torch.as_tensor(truth).long().bincount().max()) / n
    return replace(found, outcome=_outcome(found, binned, chance))


def _outcome(found: FactorResult, binned: Mapping[str, Array], chance: float) -> str:
    """One of few phrases; the comparisons are those that the constants of this module document."""
    way = (found.preserved - chance) / max(found.identity[0] - chance, 1e-9)
    none = float(binned["outputs"][:, -1].mean())
    matches = found.generated >= MATCHES * found.random_target[1]
    few = spread(binned["outputs"]) <= FEW * spread(binned["targets"])
    if found.role == "source only":
        if none < 0.5:
            return "preserved though it should not be" if way >= PARTLY else "shown, but not the input's"
        hidden = found.hidden_information is not None and found.hidden_information >= max(
            HIDDEN, 2 / min(len(binned["outputs"]), READER) ** 0.5
        )
        return "lost, but hidden in the output" if hidden else "lost, as it should be"
    if found.role == "target only":
        if none >= 0.5:
            return "not generated"
        return "generated" if matches else "collapsed to few values" if few else "generated, but not as the target has it"
    if way >= PRESERVED:
        return "preserved"
    if few:
        return "collapsed to few values"
    return "partly preserved" if way >= PARTLY else "lost: generated anew" if matches else "lost"


# ---- distributions ---------------------------------------------------------------------------------------------------------


def bins(reading: Reading) -> Array:
    """Which value each picture shows, as rows of one 1: ``[N, values + 1]``, the last is "none".

    Of a choice every value; a number's range in 10 equal bins; an angle's period in 8 sectors.
    """
    factor, value = reading.factor, reading.value.double()
    if factor.kind == "choice":
        count, place = len(factor.values), value
    elif factor.kind == "number":
        count, place = NUMBER_BINS, ((value - factor.low) / (factor.high - factor.low) * NUMBER_BINS).floor().clamp(0, NUMBER_BINS - 1)
    else:
        count, place = ANGLE_BINS, (value / factor.period * ANGLE_BINS).floor() % ANGLE_BINS
    return F.one_hot(torch.where(reading.none, count, place).long(), count + 1).double().numpy()


def overlap(outputs: Array, targets: Array, seed: int = 0) -> Pair:
    """Overlap of two samples' distributions, sum_v min(p(v), q(v)) = 1 - total variation, and what the targets reach among themselves.

    Samples of one distribution differ by chance, smaller ones by more. So both are taken on samples of one size, half of the targets
    or all outputs if these are fewer: outputs against one half of the targets, and the other half against it, averaged over random
    halves. An output that is right in distribution reaches the second value, not 1.

    Args:
        outputs: ``[N, values]`` from :func:`bins`.
        targets: ``[M, values]``, likewise.
        seed: of the random halves.

    Returns:
        The outputs' overlap, and the targets' own.
    """
    random = np.random.default_rng(seed)
    size = min(len(outputs), len(targets) // 2)
    found = []
    for _ in range(SPLITS):
        order, chosen = random.permutation(len(targets)), random.permutation(len(outputs))[:size]
        half = targets[order[:size]].mean(0)
        found.append([np.minimum(other.mean(0), half).sum() for other in (outputs[chosen], targets[order[size : 2 * size]])])
    generated, reach = np.mean(found, axis=0)
    return float(generated), float(reach)


def _overlap_interval(outputs: Array, targets: Array, value: float, seed: int, resamples: int) -> Pair:
    """The middle 95 % of resampled overlaps, shifted so that their mean is the value.

    Resampling adds its own noise to both samples, and noise only ever lowers an overlap: as they are, the resampled ones would lie
    below the value.
    """
    random = np.random.default_rng(seed)
    p, q = (random.multinomial(len(each), each.mean(0), size=resamples) / len(each) for each in (outputs, targets))
    found = np.minimum(p, q).sum(1)
    low, high = np.quantile(found - found.mean() + value, [0.025, 0.975])
    return _share(float(low)), _share(float(high))


def spread(binned: Array) -> float:
    """How many values the pictures effectively take beside the first: exp(entropy) - 1, so 0 if all show the same one."""
    p = binned.mean(0)
    p = p[p > 0]
    return float(np.exp(-(p * np.log(p)).sum())) - 1


def _share(value: float) -> float:
    return min(max(value, 0.0), 1.0)


# ---- hidden information -----------------------------------------------------------------------------------------------------


def hidden_information(probes: Probes, outputs: Tensor, factors: Sequence[Factor], values: Values, seed: int = 0) -> dict[str, float]:
    """How much of the inputs' values can still be learnt from G(x), beyond chance.

    A translator that has to give up a factor may hide it where nobody looks, as faint detail (Chu, Zhmoginov, Sandler 2017, "CycleGAN,
    a Master of Steganography"). The probes cannot tell: they know the factor as it looks in real pictures. So a fresh reader is fitted
    on (G(x), value) and tested on pictures it was not fitted on, by five-fold cross-validation. It is a ridge regression on one of three
    views of G(x), or all of them: the probes' features; the picture at 8 x 8 pixels; and fine detail (:func:`_detail`). Which, and the
    strength of the ridge, is chosen within each fold by leaving one out. What it does not find may still be there: it is a small reader,
    and with a few hundred pictures a weak one.

    Args:
        probes: whose features are one view.
        outputs: ``[N, 3, S, S]`` in [-1, 1]; at most the first 1,000 are used.
        factors: that the target domain does not show.
        values: ``[N]`` by name, the inputs' own.
        seed: of the folds and the filters.

    Returns:
        By name 0 to 1: of a choice (share right - largest class's share) / (1 - largest class's share), of a number R^2, of an angle
        the mean cosine of the error; 0 where it is no better than chance. With N pictures chance itself reaches about 1 / sqrt(N).
    """
    if not factors:
        return {}
    outputs = outputs[:READER].float()
    wanted = {factor.name: _numbers(factor, torch.as_tensor(values[factor.name])[:READER].double()) for factor in factors}
    found = {name: torch.empty_like(columns) for name, columns in wanted.items()}
    views = [_products(view) for view in (probes.features(outputs), F.adaptive_avg_pool2d(outputs, 8), _detail(outputs, seed))]
    views.append(torch.stack(views).mean(0))
    order = torch.randperm(len(outputs), generator=torch.Generator().manual_seed(seed))
    for held in order.tensor_split(5):
        fitted = torch.ones(len(outputs), dtype=torch.bool)
        fitted[held] = False
        solved = [(*torch.linalg.eigh(view[fitted][:, fitted]), view[held][:, fitted]) for view in views]
        for name, columns in wanted.items():
            found[name][held] = _ridge(solved, columns[fitted])
    return {factor.name: _skill(factor, found[factor.name], wanted[factor.name]) for factor in factors}


def _detail(pictures: Tensor, seed: int) -> Tensor:
    """``[N, 96 x 16]``: how strongly random 5 x 5 filters respond that are blind to every smooth course, on a 4 x 4 grid.

    The filters are orthogonal to all quadratic surfaces, and their responses are cut off at the median strength, so that flat places say as
    much as outlines: the recipe of steganalysis (Fridrich and Kodovsky 2012, "Rich models for steganalysis of digital images").
    """
    axis = torch.linspace(-1, 1, 5)
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    smooth, _ = torch.linalg.qr(torch.stack([x**0, x, y, x * y, x**2, y**2]).flatten(1).T)
    filters = torch.randn(48, 3, 25, generator=torch.Generator().manual_seed(seed))
    filters = (filters - filters @ smooth @ smooth.T).reshape(48, 3, 5, 5)
    responses = torch.cat([F.conv2d(part, filters) for part in torch.split(pictures, 128)])
    usual = responses.abs().flatten(2).median(2).values.mean(0)[:, None, None].clamp_min(1e-6)
    cut = (responses / usual).clamp(-2, 2)
    return torch.cat([F.adaptive_avg_pool2d(each, 4) for each in (cut, cut.abs())], dim=1)


def _products(view: Tensor) -> Tensor:
    """The inner products of the standardised rows, ``[N, N]``: all that a ridge regression needs of them."""
    flat = view.flatten(1).double()
    flat = (flat - flat.mean(0)) / flat.std(0).clamp_min(1e-6)
    return flat @ flat.T / flat.shape[1]


def _ridge(solved: Sequence[tuple[Tensor, Tensor, Tensor]], wanted: Tensor) -> Tensor:
    """Kernel ridge regression: of all views and seven strengths, what has the smallest leave-one-out error, residual / (1 - leverage).

    Args:
        solved: by view the eigenvalues and eigenvectors of the fitted pictures' products, and the asked ones' products with them.
        wanted: ``[N, columns]`` of the fitted ones.

    Returns:
        ``[asked, columns]``.
    """
    centre = wanted.mean(0)
    best, chosen = math.inf, centre
    for raw, directions, asked in solved:
        scale = raw.clamp_min(0)
        rotated = directions.T @ (wanted - centre)
        for strength in 10.0 ** np.arange(-3, 4):
            shrunk = scale / (scale + strength)
            leverage = (directions.square() @ shrunk)[:, None]
            left = ((wanted - centre - directions @ (shrunk[:, None] * rotated)) / (1 - leverage).clamp_min(1e-6)).square().mean().item()
            if left < best:
                best, chosen = left, centre + asked @ (directions @ (rotated / (scale + strength)[:, None]))
    return chosen


def _numbers(factor: Factor, values: Tensor) -> Tensor:
    """What is regressed, ``[N, columns]``: a column per choice, the number, or cosine and sine."""
    if factor.kind == "choice":
        return F.one_hot(values.long(), len(factor.values)).double()
    return direction(values, factor) if factor.kind == "angle" else values[:, None]


def _skill(factor: Factor, found: Tensor, wanted: Tensor) -> float:
    if factor.kind == "choice":
        chance = wanted.mean(0).max().item()
        right = (found.argmax(1) == wanted.argmax(1)).double().mean().item()
        return _share((right - chance) / max(1 - chance, 1e-9))
    if factor.kind == "angle":
        return _share(F.cosine_similarity(found, wanted).mean().item())
    variance = wanted.var(correction=0).clamp_min(1e-12)
    return _share(1 - ((found - wanted).square().mean() / variance).item())
