"""Every registered metric, unasked, on five answers whose order is known: it ranks them so, or it is an exception with a reason.

Metrics that need weights see with random ones under the published names and shapes; what is asserted of them is what their
definitions owe on any weights that let something through. The same table on more facades is printed by ``benchmarks/ranking.py``.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.ranking import CLAIM, SAME, Facades, Measured, answers, drawn, main, measure, order
from transfigure import registry
from transfigure.evaluation.choice import Choice
from transfigure.metrics import weights
from transfigure.metrics.distribution import FeatureMetric
from transfigure.metrics.metric import Beside, Metric
from transfigure.metrics.palettes import load_palette

from .test_classifiers import published
from .test_inception import published_state
from .test_perceptual import HEADS

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
        "it says how much outputs differ from each other, and 1 is as much as targets do: label maps differ by more, and more is not better",
        "source copied > target itself = shuffled targets > light blur > heavy blur",
    ),
    "own_target_nearest": (
        "it is about which input an output belongs to, on 16 x 16 pixels: a blurred copy tells that as surely as a sharp one",
        "target itself = light blur >= heavy blur > source copied > shuffled targets",
    ),
    **dict.fromkeys(
        ("pixel_accuracy", "class_accuracy", "class_iou"),
        (SEEN_BY_A_NETWORK, "target itself > light blur > heavy blur; target itself > source copied; light blur > shuffled targets; "
         "source copied > shuffled targets"),
    ),
}
"""Values that do not rank as claimed: why, and what holds instead. ``>=`` is not worse, and what a chain does not name is left open."""

SILENT = {"diversity": "no second sample was drawn"}
"""Metrics that have nothing to say about answers without noise, and the reason they give."""


def _class(name: str) -> type[Metric]:
    found = registry.resolve("metric", name)
    assert isinstance(found, type) and issubclass(found, Metric)
    return found


EVERY = registry.names("metric")
SLOW = [name for name in EVERY if issubclass(_class(name), FeatureMetric) and _class(name).needs == "weights"]
"""Inception looks at 299 x 299 pixels; and its features serve all metrics that ask together."""


def broken(numbers: Mapping[str, float], better: str, chains: str) -> list[str]:
    """The relations in ``a > b = c >= d; e > f`` that do not hold: better than, equal up to rounding, and not worse."""
    sign = 1 if better == "higher" else -1
    same = SAME * (max(numbers.values()) - min(numbers.values()))
    holds = {">": lambda gain: gain > same, "=": lambda gain: abs(gain) <= same, ">=": lambda gain: gain >= -same}
    failed = []
    for chain in chains.split("; "):
        words = [word for answer in sorted(CLAIM, key=len) for word in [answer]]
        parts = _split(chain, words)
        for (a, relation), (b, _) in itertools.pairwise(parts):
            if not holds[relation](sign * (numbers[a] - numbers[b])):
                failed.append(f"{a} {relation} {b}")
    return failed
