"""Every registered metric, unasked, on five outputs whose order is known: it ranks them so, or it is an exception with a reason.

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
from transfigure import registry
from transfigure.evaluation.collection import MetricChoice
from transfigure.features import weights
from transfigure.metrics.direction import badness
from transfigure.metrics.distribution import FeatureMetric
from transfigure.metrics.metric import Metric, MetricContext
from transfigure.metrics.palettes import load_palette

from ..features.networks import HEADS, published, published_state

AS_CLAIMED = " > ".join(CLAIM)

COLOURFUL = "label maps are painted in louder colours than any photo: pixel by pixel another facade is nearer than they are"
A_SET = "a set of pictures is compared with a set: whose picture is whose is not looked at"
SHARES = "a share of pictures inside the balls of others: as long as a blur moves none of them out, it costs nothing"
SEEN_BY_A_NETWORK = (
    "it sees what the labels say, and a copied label map says it too, as far as the network reads its colours; and a photo so blurred "
    "that nothing is found in it may be as bad as a wrong one"
)
EXCEPTIONS: dict[str, tuple[str, str]] = {
    "l1": (COLOURFUL, "target itself > light blur > heavy blur > shuffled targets > source copied"),
    "psnr": (COLOURFUL, "target itself > light blur > heavy blur > shuffled targets > source copied"),
    "dists": (
        "texture is compared apart from its place, and another photo has a photo's texture: it may be nearer than flat labels are",
        "target itself > light blur > heavy blur > source copied; heavy blur > shuffled targets",
    ),
    "random_frechet": (A_SET, "target itself = shuffled targets > light blur > heavy blur > source copied"),
    "fid": (A_SET, "target itself = shuffled targets > light blur > heavy blur > source copied"),
    "kid": (A_SET, "target itself = shuffled targets > light blur > heavy blur > source copied"),
    "precision": (f"{A_SET}; {SHARES}", "target itself = shuffled targets >= light blur >= heavy blur > source copied"),
    "recall": (f"{A_SET}; {SHARES}", "target itself = shuffled targets >= light blur > heavy blur > source copied"),
    "coverage": (f"{A_SET}; {SHARES}", "target itself = shuffled targets >= light blur > heavy blur > source copied"),
    "density": (
        f"{A_SET}; and it is above 1 where pictures crowd, as blurred ones may",
        "target itself = shuffled targets > heavy blur > source copied; light blur > heavy blur",
    ),
    "lab_histogram_l": (A_SET, "target itself = shuffled targets > light blur > heavy blur > source copied"),
    "lab_histogram_a": (A_SET, "target itself = shuffled targets > light blur > heavy blur > source copied"),
    "lab_histogram_b": (A_SET, "target itself = shuffled targets > light blur > heavy blur > source copied"),
    "variation_across_inputs": (
        "it says how much outputs differ from each other, and 1 is as much as targets, shuffled or not",
        "target itself = shuffled targets > light blur > heavy blur; light blur > source copied",
    ),
    "detail": (
        "1 is as much fine detail as targets have, wherever it is and whosever: label maps have half as much again, a blur has lost most",
        "target itself = shuffled targets > source copied > light blur > heavy blur",
    ),
    "own_target_nearest": (
        "it is about which input an output belongs to, on 16 x 16 pixels: a blurred copy tells that as surely as a sharp one",
        "target itself = light blur >= heavy blur > source copied > shuffled targets",
    ),
    **dict.fromkeys(
        ("pixel_accuracy", "class_accuracy", "class_iou"),
        (
            SEEN_BY_A_NETWORK,
            "target itself > light blur > heavy blur; light blur > shuffled targets; source copied > shuffled targets",
        ),
    ),
}
"""Values that do not rank as claimed: why, and what holds instead. ``>=`` is not worse, and what a chain does not name is left open."""

NOT_ALWAYS = ("dists", "pixel_accuracy", "class_accuracy", "class_iou")
"""Exceptions that leave open what a network decides: some network may well rank as claimed."""

SILENT = {"diversity": "no second sample was drawn"}
"""Metrics that have nothing to say about outputs without noise, and the reason they give."""


def _class(name: str) -> type[Metric]:
    found = registry.resolve("metric", name)
    assert isinstance(found, type) and issubclass(found, Metric)
    return found


EVERY = registry.names("metric")
SLOW = [name for name in EVERY if issubclass(_class(name), FeatureMetric) and _class(name).needs == "weights"]
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
    if name in SILENT:
        assert SILENT[name] in measured.skipped[name]
        return
    assert name not in measured.skipped, f"{name} says nothing of drawn facades: {measured.skipped[name]}"
    values = {value: numbers for value, numbers in measured.values.items() if measured.metrics[value].name == name}
    assert set(values) == (set(_class(name).values) or {name})
    for value, numbers in values.items():
        reason, expected = EXCEPTIONS.get(value, ("", AS_CLAIMED))
        assert set(numbers) == set(CLAIM) and all(map(math.isfinite, numbers.values()))
        better = _class(name).better_of.get(value, _class(name).better)
        failed = broken(numbers, better, expected)
        assert not failed, f"{value}: not {', '.join(failed)}, but {order(numbers, better)}: {numbers} ({reason})"


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
    shown = few(facades, 12) if _class(name).needs == "weights" else facades
    with weights.explicit(classifiers):
        check(measure(chosen([name]), shown, quiet=True), name)


@pytest.mark.slow
def test_those_on_inception_rank_as_claimed_or_as_their_exceptions_say(facades: Facades, tmp_path: Path) -> None:
    torch.save(published_state(), tmp_path / "inception.pth")
    with weights.explicit({"inception": tmp_path / "inception.pth"}):
        measured = measure(chosen(SLOW), few(facades, 16), quiet=True)
    for name in SLOW:
        check(measured, name)


def test_outputs_without_noise_have_no_diversity(facades: Facades) -> None:
    shown = few(facades, 4)
    for output in outputs(shown).values():
        metric: Metric = registry.build("metric", "diversity")
        metric.update(output, shown.targets, context=MetricContext(samples=torch.stack([output] * 3)))
        assert metric.compute() == {"diversity": 0.0}


def test_exceptions_are_of_values_that_exist_and_of_no_ranking_as_claimed() -> None:
    values = {value for name in EVERY for value in (_class(name).values or (name,))}
    assert set(EXCEPTIONS) <= values and set(SILENT) <= set(EVERY)
    claimed = {output: float(rank) for rank, output in enumerate(CLAIM)}
    for value, (reason, chains) in EXCEPTIONS.items():
        assert len(reason) > 20
        assert set(re.split(" >= | > | = |; ", chains)) == set(CLAIM), f"{value}: something is not said of an output, or is misspelt"
        if value not in NOT_ALWAYS:
            assert broken(claimed, "lower", chains), f"{value}: this is no exception"


# ---- the benchmark that prints the table ---------------------------------------------------------------------------------


def test_an_order_is_told_with_its_ties() -> None:
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
        if _class(name).needs == "nothing":
            assert all(f"| {label} " in printed for label in (_class(name).values.values() or [_class(name).label])), name
        else:
            assert f"- skipped: `{name}`: " in printed
    rows = [line.split(" | ") for line in printed.splitlines() if line.startswith("| ")]
    assert {len(row) for row in rows} == {len(CLAIM) + 3}
    assert next(row for row in rows if row[0] == "| SSIM")[-1] == "ranks as claimed |"
    assert next(row for row in rows if row[0] == "| Lab histogram, L")[-1].startswith("target itself = shuffled targets > ")
