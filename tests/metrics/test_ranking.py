"""Every registered metric, unasked, on five outputs whose order is known: it ranks them so, or its page gives another order and the reason.

Metrics that need weights see with random ones under the published names and shapes; what is asserted of them is what their
definitions owe on any weights that let something through. The same table on more facades is printed by ``benchmarks/ranking.py``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.ranking import CLAIM, SAME, Facades, Measured, drawn, main, measure, order, outputs
from tests.features.networks import HEADS, published, published_state
from transfigure import registry
from transfigure.evaluation.collection import MetricChoice
from transfigure.features import weights
from transfigure.metrics.direction import badness
from transfigure.metrics.distribution import FeatureMetric
from transfigure.metrics.metric import Metric, MetricContext
from transfigure.metrics.palettes import load_palette

from .ranks import exceptions, metric_class

AS_CLAIMED = " > ".join(CLAIM)

EVERY = registry.names("metric")
SLOW = [name for name in EVERY if issubclass(metric_class(name), FeatureMetric) and metric_class(name).needs == "weights"]
"""Inception looks at 299 x 299 pixels; and its features serve all metrics that ask together."""


def broken(numbers: Mapping[str, float], better: str, chains: str) -> list[str]:
    """The relations in ``a > b = c >= d; e > f`` that do not hold: better than, equal up to rounding, and not worse."""
    bad = {output: badness(better, number) for output, number in numbers.items()}
    same = SAME * (max(bad.values()) - min(bad.values()))
    holds: dict[str, Callable[[float], bool]] = {
        ">": lambda gain: gain > same,
        "=": lambda gain: abs(gain) <= same,
        ">=": lambda gain: gain >= -same,
    }
    failed = []
    for chain in chains.split("; "):
        words = re.split(r" (>=|>|=) ", chain)
        for a, relation, b in zip(words[::2], words[1::2], words[2::2], strict=False):
            if not holds[relation](bad[b] - bad[a]):
                failed.append(f"{a} {relation} {b}")
    return failed


def check(measured: Measured, name: str) -> None:
    """Every value of a metric ranks as claimed, or as the exception says; and a metric says nothing only if that is expected."""
    if metric_class(name).needs == "samples":
        assert "no second sample was drawn" in measured.skipped[name]
        return
    assert name not in measured.skipped, f"{name} says nothing of drawn facades: {measured.skipped[name]}"
    values = {value: numbers for value, numbers in measured.values.items() if measured.metrics[value].name == name}
    assert set(values) == (set(metric_class(name).values) or {name})
    for value, numbers in values.items():
        reason, expected = exceptions().get(value, ("as claimed", AS_CLAIMED))
        assert set(numbers) == set(CLAIM) and all(map(math.isfinite, numbers.values()))
        better = metric_class(name).better_of.get(value, metric_class(name).better)
        failed = broken(numbers, better, expected)
        assert not failed, (
            f"{value}: not {', '.join(failed)} ({reason}), but {order(numbers, better)}: {numbers}; "
            f"if it is meant to, say so and why on docs/reference/metrics/{name}.md, as ranks.py reads it"
        )


# ---- what metrics see with -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def classifiers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("weights")
    for name in ("alexnet", "vgg16"):
        torch.save(published(name), folder / f"{name}.pth")
    random = torch.Generator().manual_seed(2)
    torch.save({key: torch.rand(1, 1475, 1, 1, generator=random) for key in ("alpha", "beta")}, folder / "dists.pth")
    return {**{name: folder / f"{name}.pth" for name in ("alexnet", "vgg16", "dists")}, "lpips_alex": HEADS / "alex.pth"}


FILTERS = 96


def features(photos: Tensor) -> Tensor:
    """Per pixel: random combinations of the pixels around, of what lies further around, and of the height in the picture."""
    around = torch.cat([photos.roll((i, j), (2, 3)) for i, j in np.ndindex(3, 3)], 1).roll((-1, -1), (2, 3))
    wider = [F.avg_pool2d(F.pad(photos, (size // 2,) * 4, mode="replicate"), size, 1) for size in (5, 13)]
    height = torch.linspace(-1, 1, photos.shape[2]).view(1, 1, -1, 1).expand(len(photos), 1, *photos.shape[2:])
    seen = torch.cat([around, *wider, height], 1)
    random = torch.Generator().manual_seed(1)
    filters = 2 * torch.randn(FILTERS, seen.shape[1], 1, 1, generator=random) / seen.shape[1] ** 0.5
    return F.pad(F.conv2d(seen, filters, torch.randn(FILTERS, generator=random)).relu(), (0, 0, 0, 0, 0, 1), value=1)


@cache
def segmenter() -> Callable[[Tensor], Tensor]:
    """A least-squares fit of the classes of other facades: it names 55 % of pixels, and takes a second."""
    others, palette = drawn(48, 64, seed=99), load_palette("synthetic")
    truth = torch.from_numpy(np.stack([palette.decode(labels) for labels in others.labels])).long().flatten()[::4]
    x = features(others.targets).movedim(1, -1).flatten(0, 2)[::4]
    y = F.one_hot(truth, len(palette.classes)).float()
    fit = torch.linalg.solve(x.T @ x + 0.1 * torch.eye(FILTERS + 1), x.T @ y)
    return lambda photos: torch.einsum("nfhw,fk->nkhw", features(photos), fit)


def chosen(names: Sequence[str]) -> MetricChoice:
    choice = MetricChoice.of(names)
    if "fcn_score" in names:
        choice = choice.with_option("fcn_score", "segmenter", segmenter()).with_option("fcn_score", "palette", load_palette("synthetic"))
    return choice


# ---- the claim -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def facades() -> Facades:
    return drawn(40, 64)


def few(facades: Facades, n: int) -> Facades:
    return Facades(*(side[:n] for side in facades))


@pytest.mark.parametrize("name", [name for name in EVERY if name not in SLOW])
def test_it_ranks_as_claimed_or_as_its_exception_says(name: str, facades: Facades, classifiers: dict[str, Path]) -> None:
    shown = few(facades, 12) if metric_class(name).needs == "weights" else facades
    with weights.explicit(classifiers):
        check(measure(chosen([name]), shown, quiet=True), name)


@pytest.fixture(scope="module")
def on_inception(facades: Facades, tmp_path_factory: pytest.TempPathFactory) -> Measured:
    file = tmp_path_factory.mktemp("inception") / "inception.pth"
    torch.save(published_state(), file)
    with weights.explicit({"inception": file}):
        return measure(chosen(SLOW), few(facades, 16), quiet=True)


@pytest.mark.slow
@pytest.mark.parametrize("name", SLOW)
def test_one_on_inception_ranks_as_claimed_or_as_its_exception_says(name: str, on_inception: Measured) -> None:
    check(on_inception, name)


def test_outputs_without_noise_have_no_diversity(facades: Facades) -> None:
    shown = few(facades, 4)
    for output in outputs(shown).values():
        metric: Metric = registry.build("metric", "diversity")
        metric.update(output, shown.targets, context=MetricContext(samples=torch.stack([output] * 3)))
        assert metric.compute() == {"diversity": 0.0}


def test_an_exception_is_one_and_its_page_says_why() -> None:
    claimed = {output: float(rank) for rank, output in enumerate(CLAIM)}
    needs = {value: metric_class(name).needs for name in EVERY for value in (metric_class(name).values or (name,))}
    assert len(exceptions()) >= 15
    for value, (reason, chains) in exceptions().items():
        assert len(reason) > 20
        assert set(re.split(" >= | > | = |; ", chains)) == set(CLAIM), f"{value}: something is not said of an output, or is misspelt"
        left_to_a_network = ";" in chains and needs[value] in ("weights", "labels")  # some network may well rank as claimed
        assert left_to_a_network or broken(claimed, "lower", chains), f"{value}: this is no exception"


# ---- the benchmark that prints the table ---------------------------------------------------------------------------------


def test_an_order_is_printed_with_its_ties() -> None:
    numbers = dict(zip(CLAIM, (0.0, 1.0, 3.0, 2.0, 1e-9), strict=True))
    assert order(numbers, "lower") == "target itself = shuffled targets > light blur > source copied > heavy blur"
    assert order(numbers, "higher") == "heavy blur > source copied > light blur > target itself = shuffled targets"
    assert order(dict.fromkeys(CLAIM, 1.0), "lower") == " = ".join(CLAIM)
    assert broken(numbers, "lower", AS_CLAIMED) == ["heavy blur > source copied", "source copied > shuffled targets"]
    assert broken(numbers, "lower", "target itself = shuffled targets >= light blur; source copied >= heavy blur") == []
    assert broken(numbers, "lower", "target itself > shuffled targets; heavy blur >= source copied; light blur = source copied") == [
        "target itself > shuffled targets",
        "heavy blur >= source copied",
        "light blur = source copied",
    ]


def test_the_outputs_are_what_they_are_called(facades: Facades) -> None:
    shown = few(facades, 3)
    predictions = outputs(shown)
    assert list(predictions) == list(CLAIM)
    assert torch.equal(predictions["target itself"], shown.targets) and torch.equal(predictions["source copied"], shown.sources)
    assert torch.equal(predictions["shuffled targets"], shown.targets[[2, 0, 1]])
    sharpness = [predictions[output].diff(dim=-1).abs().mean().item() for output in CLAIM[:3]]
    assert sharpness[0] > 1.2 * sharpness[1] > 2 * sharpness[2]
    for blur in ("light blur", "heavy blur"):
        assert predictions[blur].mean().item() == pytest.approx(shown.targets.mean().item(), abs=0.01)
        flat = Facades(shown.sources, torch.full_like(shown.targets, 0.3), shown.labels)
        assert outputs(flat)[blur].sub(0.3).abs().max() < 1e-6


def test_the_table_has_every_value_or_the_reason_why_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.delenv(weights.VARIABLE, raising=False)
    main(["--images", "3", "--size", "32", "--weights", f"lpips_alex={HEADS / 'alex.pth'}"])
    printed = capsys.readouterr().out
    for name in EVERY:
        if metric_class(name).needs == "nothing":
            assert all(f"| {label} " in printed for label in (metric_class(name).values.values() or [metric_class(name).label])), name
        else:
            assert f"- skipped: `{name}`: " in printed
    rows = [line.split(" | ") for line in printed.splitlines() if line.startswith("| ")]
    assert {len(row) for row in rows} == {len(CLAIM) + 3}
    assert next(row for row in rows if row[0] == "| SSIM")[-1] == "ranks as claimed |"
    assert next(row for row in rows if row[0] == "| Lab histogram, L")[-1].startswith("target itself = shuffled targets > ")
