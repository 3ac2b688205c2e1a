"""Probes: a small network that reads a world's known factors from a picture, trained on real pictures of both domains.

With its readings an analysis can ask of every factor by itself what a translator did with it. A probe is only as good as it reads real
pictures it has not seen, so :meth:`Probes.accuracy` comes first. It was never shown a generated picture: where G(x) looks like neither
domain, a reading is a guess that sounds sure.
"""

from __future__ import annotations

import dataclasses
import json
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import safetensors
import safetensors.torch
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..._version import __version__
from ...data.files import home_path, write_atomically
from ...data.ownership import check_outputs
from ...errors import RunFailure, UserError
from ...integrity import check_tensors, read_tensors, write_tensors
from ...progress import Progress, duration
from ...stored import check_tree, load_json
from ...worlds.shapes.dataset import Factor

FORMAT = 1
FEATURES = 256
WIDTH = 16
SIDE = 8
"""The trunk halves its maps until they are at most this high and wide."""
BATCH = 32
LEARNING_RATE = 4e-3
STEPS = 4000
"""Updates of a training, 128,000 pictures: about three minutes of one core at 64 pixels, one at 32."""
NOISE = 0.03
"""Standard deviation of the noise on training pictures, so that no reading hangs on the last bit of a pixel."""
Values = Mapping[str, Tensor]


def shown(factor: Factor, domain: str) -> bool:
    """Whether pictures of the domain show the factor."""
    return factor.owner in ("both", domain)


@dataclass(frozen=True, eq=False)
class Reading:
    """What a probe reads of one factor in N pictures.

    Attributes:
        factor: which.
        value: ``[N]``: of a choice the index, where ``len(factor.values)`` is "none"; of a number its value; of an angle degrees.
        presence: ``[N]``, the probability that the picture shows the factor at all; 1 for what both domains show.
        probabilities: of a choice, ``[N, K]``, or ``[N, K + 1]`` where the last is "none"; otherwise None.
    """

    factor: Factor
    value: Tensor
    presence: Tensor
    probabilities: Tensor | None = None

    @property
    def none(self) -> Tensor:
        """``[N]``, where the picture does not show the factor."""
        return self.value == len(self.factor.values) if self.factor.kind == "choice" else self.presence < 0.5

    def __getitem__(self, index: Tensor) -> Reading:
        """The reading of some of the pictures, by their indices."""
        chances = None if self.probabilities is None else self.probabilities[index]
        return Reading(self.factor, self.value[index], self.presence[index], chances)


@dataclass(frozen=True, eq=False)
class LabelledPictures:
    """Real pictures of one domain, and what they show.

    Attributes:
        pictures: ``[N, 3, S, S]`` in [-1, 1].
        values: ``[N]`` by the names of those factors that the domain shows: a choice's index, a number, degrees.
        domain: theirs.
    """

    pictures: Tensor
    values: Values
    domain: Literal["A", "B"]

    def __len__(self) -> int:
        return len(self.pictures)


def agreement(reading: Reading, values: Tensor | None) -> Tensor:
    """How well each picture's reading agrees with a known value; the mean is what accuracies and analyses report.

    - a choice: 1 where it is right, so the mean is the share of right ones;
    - a number: 1 - (read - v)^2 / Var(v), so the mean is R^2; "none" counts 0, as if it were read as the mean of all v;
    - an angle: cos(2 pi (read - v) / period), so the mean is 0 for guesses; "none" counts 0;
    - where the pictures' domain does not show the factor: 1 where it is read as "none".

    Args:
        reading: of N pictures.
        values: ``[N]``, what they show; None where their domain does not show the factor.

    Returns:
        float64 ``[N]``, at most 1; of numbers it has no lower end.
    """
    factor, none = reading.factor, reading.none
    if values is None:
        return none.double()
    values = values.double()
    if factor.kind == "choice":
        return (reading.value == values).double()
    if factor.kind == "angle":
        return torch.where(none, 0.0, torch.cos(2 * math.pi * (reading.value - values) / factor.period))
    variance = values.var(correction=0).clamp_min((0.01 * (factor.high - factor.low)) ** 2)  # some set may show one value only
    return torch.where(none, 0.0, 1 - (reading.value.double() - values).square() / variance)


@dataclass(frozen=True, eq=False)
class Probes:
    """Trained probes of a world's factors.

    Attributes:
        network: which reads them, in its evaluation mode.
        factors: what is read, in this order.
        size: side of the pictures in pixels.
        width: of the network.
        facts: plain values about the training: ``pictures``, ``steps``, ``seconds``, ``seed``.
    """

    network: ProbeNetwork
    factors: tuple[Factor, ...]
    size: int
    width: int
    facts: dict[str, Any] = field(default_factory=dict)

    def read(self, pictures: Tensor) -> dict[str, Reading]:
        """Read every factor of every picture.

        Args:
            pictures: ``[N, 3, S, S]`` in [-1, 1], of the size the probes were trained at.

        Raises:
            UserError: of another shape, or with values that are not a number.
        """
        _check_pictures(pictures, self.size)
        with torch.no_grad():
            parts = [self.network(part) for part in torch.split(pictures.float(), 256)]
        return {factor.name: _reading(factor, torch.cat(raw)) for factor, *raw in zip(self.factors, *parts)}

    def features(self, pictures: Tensor) -> Tensor:
        """What the heads read from: ``[N, 256]``."""
        _check_pictures(pictures, self.size)
        with torch.no_grad():
            return torch.cat([self.network.trunk(part) for part in torch.split(pictures.float(), 256)])

    def accuracy(self, held_out: LabelledPictures) -> dict[str, float]:
        """How well real pictures are read that no probe was trained on.

        Args:
            held_out: the pictures, and what they show.

        Returns:
            By factor the mean :func:`agreement`: the share of right choices, R^2 of numbers, the mean cosine of an angle's error, and
            for factors that the domain does not show the share read as "none".

        Raises:
            UserError: pictures of another size, or values that do not fit them.
        """
        found = self.read(held_out.pictures)
        truth = _checked(self.factors, held_out)
        return {name: agreement(reading, truth.get(name)).mean().item() for name, reading in found.items()}

    def save(self, file: str | Path, overwrite: bool = False) -> None:
        """Write the probes as one safetensors file, whole or not at all.

        Args:
            file: the file.
            overwrite: replace one that is there already and that this tool did not write.

        Raises:
            UserError: the place cannot be written, or holds another's file.
            RunFailure: the disk is full.
        """
        check_outputs([home_path(file)], overwrite)
        factors = [dataclasses.asdict(factor) for factor in self.factors]
        built = {"size": self.size, "width": self.width, "factors": factors}
        about = json.dumps({"format": FORMAT, "transfigure": __version__, **built, "facts": self.facts})
        write_atomically(home_path(file), lambda stream: write_tensors(stream, self.network.state_dict(), {"probes": about}))


def train_probes(
    a: LabelledPictures,
    b: LabelledPictures,
    factors: Sequence[Factor],
    *,
    seed: int = 0,
    minutes: float | None = None,
    steps: int = STEPS,
    width: int = WIDTH,
    quiet: bool = False,
) -> Probes:
    """Train the probes on real pictures of both domains.

    Adam on the sum over factors of a choice's cross-entropy, a number's squared error over the variance of a uniform one (1/12), an
    angle's squared error of cosine and sine, and the cross-entropy of presence; the learning rate falls to zero along half a cosine.
    A little noise is added to the pictures. On a processor the same pictures, options and seed give the same probes, unless ``minutes``
    cuts the training short; the global random state is left alone.

    Where a world draws as many pictures as one likes, give some thousands of each domain: what is fitted to few is read worse in others.

    Args:
        a: pictures of domain A.
        b: pictures of domain B, as many or not.
        factors: to be read; of each, its owner says which domains show it.
        seed: of initialisation, order and noise.
        minutes: stop after this long, even if steps are left; the learning rate falls in time.
        steps: updates, of 32 pictures each.
        width: filters of the network's first convolution.
        quiet: no progress.

    Raises:
        UserError: pictures of different sizes, values that do not fit them, or an option out of range.
        RunFailure: the training diverged.
    """
    for what, value in (("minutes", minutes), ("steps", steps), ("width", width), ("the number of factors", len(factors))):
        if value is not None and value <= 0:
            raise UserError(f"{what} is {value}: it must be more than 0")
    started = time.monotonic()
    size = a.pictures.shape[-1]
    for domain in (a, b):
        _check_pictures(domain.pictures, size)
    truths = [_checked(factors, domain) for domain in (a, b)]
    missing = [torch.full((len(domain),), math.nan) for domain in (a, b)]
    values = {factor.name: torch.cat([truth.get(factor.name, absent) for truth, absent in zip(truths, missing)]) for factor in factors}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = ProbeNetwork(factors, size, width)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # faster on processors
    done = _fit(network, (a.pictures, b.pictures), values, factors, steps, math.inf if minutes is None else 60 * minutes, seed, quiet)
    facts = {"pictures": [len(a), len(b)], "steps": done, "seed": seed, "seconds": round(time.monotonic() - started, 2)}
    return Probes(network.eval().requires_grad_(False), tuple(factors), size, width, facts)


def load_probes(file: str | Path) -> Probes:
    """Read what :meth:`Probes.save` wrote; a foreign file is data, never code.

    Raises:
        UserError: not there, damaged, or another kind of file.
    """
    path = home_path(file)
    try:
        about = check_tensors(path).metadata.get("probes")
        weights = read_tensors(path) if about is not None else {}
    except (safetensors.SafetensorError, OSError, ValueError) as error:
        raise UserError(f"{path} is damaged or holds no probes ({error}): copy it again, or train them anew") from error
    if about is None:
        raise UserError(f"{path} is a file of weights, but not of probes made by this program: train them anew")
    try:
        stored = load_json(about)
        check_tree(stored)
        if stored["format"] != FORMAT:
            raise ValueError(f"its format is {stored['format']!r} of transfigure {stored.get('transfigure')}, and this is {__version__}")
        factors = tuple(_factor(each) for each in stored["factors"])
        size, width = stored["size"], stored["width"]
        if not (type(size) is type(width) is int and 0 < len(factors) <= 1000 and 1 <= size <= 1 << 14 and 1 <= width <= 1 << 12):
            raise ValueError(f"{len(factors)} factors at {size} pixels and width {width}")
        with torch.device("meta"):  # only the file's own weights shall fill memory
            network = ProbeNetwork(factors, size, width)
        network.load_state_dict(weights, assign=True)
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError, RecursionError, OverflowError) as error:
        reason = str(error).splitlines()[-1].strip()[:200]
        raise UserError(f"{path} does not hold the probes that it describes ({reason}): copy it again, or train them anew") from error
    facts = stored.get("facts")
    ready = network.float().to(memory_format=torch.channels_last).eval().requires_grad_(False)  # type: ignore[call-overload]
    return Probes(ready, factors, size, width, facts if isinstance(facts, dict) else {})


def _fit(
    network: ProbeNetwork,
    pictures: tuple[Tensor, Tensor],
    values: Values,
    factors: Sequence[Factor],
    steps: int,
    seconds: float,
    seed: int,
    quiet: bool,
) -> int:
    """Train; the number of updates made."""
    network.train()
    optimizer = torch.optim.Adam(network.parameters(), LEARNING_RATE)
    random = torch.Generator().manual_seed(seed)
    order = torch.empty(0, dtype=torch.int64)
    first, total = len(pictures[0]), len(pictures[0]) + len(pictures[1])
    batch = min(BATCH, total)
    limit = f"  (at most {duration(seconds)})" if math.isfinite(seconds) else ""
    started = time.monotonic()
    with Progress(steps * batch, "train probes", quiet=quiet) as progress:
        for step in range(steps):
            done = max(step / steps, (time.monotonic() - started) / seconds)
            if done >= 1:
                return step
            for group in optimizer.param_groups:
                group["lr"] = LEARNING_RATE * (1 + math.cos(math.pi * done)) / 2
            if len(order) < batch:
                order = torch.randperm(total, generator=random)
            chosen, order = order[:batch].sort().values, order[batch:]
            seen = torch.cat([pictures[0][chosen[chosen < first]], pictures[1][chosen[chosen >= first] - first]]).float()
            raws = network(seen + NOISE * torch.randn(seen.shape, generator=random))
            loss = torch.stack([_loss(factor, raw, values[factor.name][chosen]) for factor, raw in zip(factors, raws)]).sum()
            if not torch.isfinite(loss):
                raise RunFailure("the training of the probes diverged: look at the values and the range of the pictures")
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            progress.words(after=f"{limit}  loss {loss.item():.3f}")
            progress.advance(batch)
    return steps


def _loss(factor: Factor, raw: Tensor, values: Tensor) -> Tensor:
    """Of one factor on a batch; NaN marks pictures whose domain does not show it. Guessing costs about 1 whatever the kind."""
    there = ~values.isnan()
    if factor.kind == "choice":
        return F.cross_entropy(raw, torch.where(there, values, len(factor.values)).long())
    value = torch.where(there, values, 0.0)
    if factor.kind == "number":
        error = 12 * (raw[:, 0] - (value - factor.low) / (factor.high - factor.low)).square()
    else:
        error = (raw[:, :2] - direction(value, factor)).square().sum(1)
    loss = (error * there).sum() / there.sum().clamp_min(1)
    return loss if factor.owner == "both" else loss + F.binary_cross_entropy_with_logits(raw[:, -1], there.float())


def _reading(factor: Factor, raw: Tensor) -> Reading:
    if factor.kind == "choice":
        chances = raw.softmax(1)
        everything = torch.ones(len(raw)) if factor.owner == "both" else 1 - chances[:, -1]
        return Reading(factor, raw.argmax(1), everything, chances)
    presence = torch.ones(len(raw)) if factor.owner == "both" else raw[:, -1].sigmoid()
    if factor.kind == "number":
        return Reading(factor, factor.low + (factor.high - factor.low) * raw[:, 0].clamp(0, 1), presence)
    return Reading(factor, (torch.atan2(raw[:, 1], raw[:, 0]) / (2 * math.pi) * factor.period) % factor.period, presence)


def direction(degrees: Tensor, factor: Factor) -> Tensor:
    """``[N, 2]``: where an angle points on the circle that one period is."""
    turn = 2 * math.pi * degrees / factor.period
    return torch.stack([turn.cos(), turn.sin()], dim=1)


def _check_pictures(pictures: Tensor, size: int) -> None:
    if pictures.ndim != 4 or pictures.shape[1:] != (3, size, size) or not len(pictures):
        raise UserError(f"the probes read pictures [N, 3, {size}, {size}], and these are {list(pictures.shape)}")
    if not torch.isfinite(pictures).all():
        raise UserError("the pictures hold values that are not a number: whatever made them has diverged")


def _checked(factors: Sequence[Factor], labelled: LabelledPictures) -> dict[str, Tensor]:
    """The values of those factors that the domain shows, as float32 ``[N]``."""
    values, domain, n = labelled.values, labelled.domain, len(labelled)
    found = {}
    for factor in factors:
        if not shown(factor, domain):
            continue
        if factor.name not in values:
            raise UserError(f"the values of domain {domain} do not tell its factor {factor.name}")
        value = torch.as_tensor(values[factor.name]).float()
        if value.shape != (n,):
            raise UserError(f"{n} pictures of domain {domain} came with {list(value.shape)} values of {factor.name}")
        low, high = {"choice": (0, len(factor.values) - 1), "number": (factor.low, factor.high), "angle": (0, factor.period)}[factor.kind]
        slack = 1e-5 * (high - low)
        if not ((value >= low - slack) & (value <= high + slack)).all():
            raise UserError(f"a value of {factor.name} in domain {domain} is outside {low:g} to {high:g}")
        found[factor.name] = value
    return found


def _factor(stored: dict[str, Any]) -> Factor:
    """A factor of a file.

    Raises:
        KeyError, TypeError, ValueError: not one.
    """
    factor = Factor(**{**stored, "values": tuple(stored["values"])})
    numbers = (factor.low, factor.high, factor.period)
    sound = (
        isinstance(factor.name, str)
        and factor.owner in ("both", "A", "B")
        and all(isinstance(value, str) for value in factor.values)
        and all(isinstance(value, int | float) and math.isfinite(value) for value in numbers)
        and {"choice": len(factor.values) > 0, "number": factor.low < factor.high, "angle": factor.period > 0}[factor.kind]
    )
    if not sound:
        raise ValueError(f"{stored!r:.100} is no factor")
    return factor


# ---- the network -----------------------------------------------------------------------------------------------------------


class Pool(nn.Module):
    """Maps to numbers: of each map its mean and its maximum, and the places that 16 attentions choose.

    A place is the mean of x and of y, from -1 to 1, under the softmax of a map over the picture. Were every cell of the maps a feature,
    each shape would have to be learnt at each place anew, and some thousand pictures would be learnt by heart.

    ``forward``: ``[N, channels, H, W]`` -> ``[N, outputs]``.
    """

    def __init__(self, channels: int, places: int = 16) -> None:
        super().__init__()
        self.score = nn.Conv2d(channels, places, 1)
        self.outputs = 2 * (channels + places)

    def forward(self, x: Tensor) -> Tensor:
        """The numbers of each picture."""
        attention = self.score(x).flatten(2).softmax(2).unflatten(2, x.shape[2:])
        y, x_ = (torch.linspace(-1, 1, side, dtype=x.dtype, device=x.device) for side in x.shape[2:])
        return torch.cat([x.mean((2, 3)), x.amax((2, 3)), attention.sum(2) @ x_, attention.sum(3) @ y], dim=1)


class ProbeNetwork(nn.Module):
    """Reads factors from a picture.

    ``forward``: ``[N, 3, H, W]`` in [-1, 1] -> one tensor ``[N, outputs]`` per factor: a choice's logits, with one for "none" if only one
    domain shows it; a number, scaled to [0, 1]; the cosine and sine of an angle. Behind a number or an angle that only one domain shows
    comes the logit of its presence.

    Args:
        factors: to be read.
        size: of the pictures, in pixels; it decides the depth.
        width: filters of the first convolution; they double twice.
    """

    def __init__(self, factors: Sequence[Factor], size: int, width: int = WIDTH) -> None:
        super().__init__()
        self.outputs = [outputs(factor) for factor in factors]
        layers = _convolution(3, width)
        incoming, side = width, size
        while side > SIDE:
            outgoing = min(2 * incoming, 4 * width)
            layers += [nn.MaxPool2d(2, ceil_mode=True), *_convolution(incoming, outgoing)]
            incoming, side = outgoing, -(-side // 2)
        pool = Pool(incoming)
        layers += [pool, nn.Linear(pool.outputs, FEATURES, bias=False), nn.BatchNorm1d(FEATURES), nn.ReLU(inplace=True)]
        self.trunk = nn.Sequential(*layers)
        self.heads = nn.Linear(FEATURES, sum(self.outputs))

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """The raw outputs of every head."""
        raw: tuple[Tensor, ...] = self.heads(self.trunk(x.contiguous(memory_format=torch.channels_last))).split(self.outputs, dim=1)
        return raw


def _convolution(incoming: int, outgoing: int) -> list[nn.Module]:
    return [nn.Conv2d(incoming, outgoing, 3, padding=1, bias=False), nn.BatchNorm2d(outgoing), nn.ReLU(inplace=True)]


def outputs(factor: Factor) -> int:
    """How many numbers a factor's head has."""
    return {"choice": len(factor.values), "number": 1, "angle": 2}[factor.kind] + (factor.owner != "both")
