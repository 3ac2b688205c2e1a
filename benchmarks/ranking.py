"""Does every metric rank what it should? Five outputs to the same label maps, whose order is known, and what each metric says of them.

    python benchmarks/ranking.py [--images 200] [--size 64] [--seed 0] [--weights NAME=FILE ...] [--segmenter FILE]

Drawn facades: label maps are the sources, day photos the targets. The outputs, from the best to the worst: the target itself, lightly
blurred, heavily blurred, the label map copied, and the photo that belongs to another label map. The last column says the order by each
value, where it is another. Which values should rank otherwise, and why, is in docs/results/ranking.md.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from transfigure.evaluation.collection import MetricChoice, MetricCollection
from transfigure.features import weights
from transfigure.metrics.direction import badness
from transfigure.metrics.metric import Metric, MetricContext
from transfigure.progress import track
from transfigure.registry import resolve
from transfigure.worlds.facades.dataset import synthetic

TOY = ["--images", "12", "--size", "32"]
"""Arguments of a run that takes seconds."""

CLAIM = ("target itself", "light blur", "heavy blur", "source copied", "shuffled targets")
"""The outputs, from the best to the worst."""

LIGHT, HEAVY = 0.7, 2.5
"""Standard deviations of the blurs, in pixels of an image of 64; others in proportion."""

BATCH = 16
SAME = 1e-6
"""Values this near, as a share of the spread over the outputs, are equal up to rounding."""


class Facades(NamedTuple):
    """Drawn pairs: ``[N, 3, size, size]`` in [-1, 1] twice, and the label maps as their files would hold them."""

    sources: Tensor
    targets: Tensor
    labels: list[NDArray[np.uint8]]


def drawn(images: int, size: int, seed: int = 0) -> Facades:
    """So many test facades of one world."""
    records = synthetic(None, "labels", "day", size, test=images, world_seed=seed).splits["test"]
    labels, photos = zip(*((record.a.read(), record.b.read()) for record in records), strict=True)
    sources, targets = (torch.from_numpy(np.stack(side)).permute(0, 3, 1, 2).float() / 127.5 - 1 for side in (labels, photos))
    return Facades(sources, targets, list(labels))


def blurred(images: Tensor, sigma: float) -> Tensor:
    """Under a Gaussian; borders repeat."""
    reach = int(4 * sigma + 1)
    weight = torch.exp(-(torch.arange(-reach, reach + 1) ** 2) / (2 * sigma**2))
    weight /= weight.sum()
    padded, channels = F.pad(images, (reach,) * 4, mode="replicate"), images.shape[1]
    across = F.conv2d(padded, weight.view(1, 1, 1, -1).expand(channels, -1, -1, -1), groups=channels)
    return F.conv2d(across, weight.view(1, 1, -1, 1).expand(channels, -1, -1, -1), groups=channels)


def outputs(facades: Facades) -> dict[str, Tensor]:
    """Each output of :data:`CLAIM` to all label maps. Shuffled: each gets the photo of the one before."""
    targets, pixel = facades.targets, facades.targets.shape[-1] / 64
    predictions = targets, blurred(targets, LIGHT * pixel), blurred(targets, HEAVY * pixel), facades.sources, targets.roll(1, 0)
    return dict(zip(CLAIM, predictions, strict=True))


class Measured(NamedTuple):
    """What the metrics said: ``{value: {output: number}}``; the metric that each value is of; and of those that said nothing, why."""

    values: dict[str, dict[str, float]]
    metrics: dict[str, type[Metric]]
    skipped: dict[str, str]


def measure(choice: MetricChoice, facades: Facades, quiet: bool = False) -> Measured:
    """Every value of the chosen metrics for every output."""
    predictions = outputs(facades)
    scores = {output: MetricCollection(choice) for output in predictions}
    batches = torch.split(torch.arange(len(facades.targets)), BATCH)
    for numbers in track(batches, len(batches), "measure", unit="batch", quiet=quiet):
        target, source = facades.targets[numbers], facades.sources[numbers]
        context = MetricContext(source=source, labels=[facades.labels[number] for number in numbers.tolist()])
        for output, images in predictions.items():
            # The same tensor where it is the same picture: features are computed once for each.
            same = {"target itself": target, "source copied": source}
            scores[output].update(same.get(output, images[numbers]), target, [str(number) for number in numbers.tolist()], context)
    values: dict[str, dict[str, float]] = {}
    metrics: dict[str, type[Metric]] = {}
    for name in choice.metrics:
        for output, seen in scores.items():
            for value, number in seen.compute(name).items() if name in seen.metrics else ():
                values.setdefault(value, {})[output] = number
                metrics[value] = resolve("metric", name)  # type: ignore[assignment]
    return Measured(values, metrics, {name: why for seen in scores.values() for name, why in seen.skipped.items()})


def order(numbers: Mapping[str, float], better: str) -> str:
    """The outputs from the best to the worst, as ``a > b = c``: a better than b, and c as good as b, up to rounding."""
    bad = {output: badness(better, number) for output, number in numbers.items()}
    same = SAME * (max(bad.values()) - min(bad.values()))
    ranked = sorted(bad, key=lambda output: bad[output])
    groups = [[ranked[0]]]
    for before, output in itertools.pairwise(ranked):
        if abs(bad[before] - bad[output]) <= same:
            groups[-1].append(output)
        else:
            groups.append([output])
    return " > ".join(" = ".join(sorted(group, key=CLAIM.index)) for group in groups)


def table(measured: Measured) -> str:
    """In Markdown; below it, what was skipped and why."""
    lines = [["metric", "better", *CLAIM, "order"], ["---"] * (len(CLAIM) + 3)]
    for value, numbers in measured.values.items():
        metric = measured.metrics[value]
        unit = f" ({metric.unit})" if metric.unit else ""
        cells = [f"{numbers[output]:.4g}" for output in CLAIM]
        better = metric.better_of.get(value, metric.better)
        found = order(numbers, better)
        cells.append("ranks as claimed" if found == " > ".join(CLAIM) else found)
        lines.append([f"{metric.values.get(value, metric.label)}{unit}", better, *cells])
    written = ["| " + " | ".join(line) + " |" for line in lines]
    return "\n".join([*written, "", *(f"- skipped: `{name}`: {why}" for name, why in measured.skipped.items())])


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--seed", type=int, default=0, help="of the world the facades are drawn from")
    parser.add_argument("--weights", nargs="*", default=[], metavar="NAME=FILE", help="weights that are not where they are looked for")
    parser.add_argument("--segmenter", help="for the FCN-score: one that knows the classes of the drawn facades")
    options = parser.parse_args(arguments)
    choice = MetricChoice.of()
    if options.segmenter is not None and "fcn_score" in choice.metrics:
        choice = choice.with_option("fcn_score", "segmenter", options.segmenter)
    with weights.explicit(dict(item.partition("=")[::2] for item in options.weights)):
        measured = measure(choice, drawn(options.images, options.size, options.seed))
    print(table(measured))


if __name__ == "__main__":
    main()
