"""Large images are worked on in bands of rows, or in parts: the same scores in bounded memory."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from transfigure import registry
from transfigure.data import batch as bands
from transfigure.data.batch import row_bands
from transfigure.features.trunks import random_features
from transfigure.metrics.metric import Metric, MetricContext

IN_BANDS = ["ssim", "ms_ssim", "pearson", "detail", "lab_histogram", "diversity", "random_frechet"]


def images(channels: int, height: int = 61, width: int = 47, n: int = 3, seed: int = 0) -> Tensor:
    torch.manual_seed(seed)
    coarse = torch.nn.functional.interpolate(torch.rand(n, channels, 9, 7), (height, width), mode="bicubic")
    return (coarse + 0.1 * torch.rand(n, channels, height, width)).clamp(0, 1) * 2 - 1


def values(name: str, x: Tensor, y: Tensor, mask: Tensor | None = None) -> list[float]:
    metric: Metric = registry.build("metric", name)
    samples = torch.stack([x, y, x.flip(0)]) if name == "diversity" else None
    metric.update(x, y, list(map(str, range(len(x)))), MetricContext(samples=samples, mask=mask))
    return [*metric.compute().values(), *getattr(metric, "scores", ())]


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", IN_BANDS)
def test_bands_change_nothing_but_roundings(name: str, channels: int, monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = images(channels), images(channels, seed=1)
    wanted = values(name, x, y)
    monkeypatch.setattr(random_features, "_AT_ONCE", 1)
    for most in (1, 5 * 3 * channels * 47 * 5, 7777):
        monkeypatch.setattr(bands, "BAND", most)
        assert values(name, x, y) == pytest.approx(wanted, rel=2e-5, abs=1e-6), most


@pytest.mark.parametrize("name", ["ssim", "pearson", "detail", "lab_histogram"])
def test_bands_inside_a_mask(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = images(3), images(3, seed=1)
    mask = torch.zeros(3, 1, 61, 47, dtype=torch.bool)
    mask[0, :, 7:40, 3:33], mask[1, :, :, 5:30], mask[2, :, 50:] = True, True, True
    wanted = values(name, x, y, mask)
    monkeypatch.setattr(bands, "BAND", 3 * 47 * 5 * 4)
    assert values(name, x, y, mask) == pytest.approx(wanted, rel=2e-5, abs=1e-6)
    x[:, :, 45:49] = 1  # of the first image outside
    assert values(name, x[:1], y[:1], mask[:1])[-1] == pytest.approx(values(name, images(3)[:1], y[:1], mask[:1])[-1], rel=1e-5)


def test_a_constant_channel_has_no_correlation_in_bands_either(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bands, "BAND", 100)
    flat, varied = torch.full((1, 1, 40, 30), 0.1), images(1, 40, 30, 1)
    assert values("pearson", flat, varied)[0] == 0
    assert values("pearson", flat, flat.clone())[0] == 1
    assert values("pearson", varied, varied.clone())[0] == 1


def test_rows_in_bands() -> None:
    assert row_bands(10, 5, 1000) == [(0, 10)]
    assert row_bands(10, 5, 15) == [(0, 3), (3, 6), (6, 9), (9, 10)]
    assert row_bands(2, 100, 1) == [(0, 1), (1, 2)]


def test_sets_of_other_sizes_than_their_targets() -> None:
    """Where no target belongs to a source, sizes may differ; the histograms are shares of their own sets."""
    small, large = images(3, 30, 20), images(3, 60, 40)
    for name in ("lab_histogram", "detail", "grid"):
        metric: Metric = registry.build("metric", name)
        metric.update(images(3, 40, 36), images(3, 60, 40), ["a", "b", "c"])
        assert metric.compute()
    doubled = small.repeat_interleave(2, 2).repeat_interleave(2, 3)
    found: Metric = registry.build("metric", "lab_histogram")
    found.update(small, doubled, ["a", "b", "c"])
    assert list(found.compute().values()) == pytest.approx([1, 1, 1])
    with pytest.raises(ValueError, match="one shape"):
        registry.build("metric", "l1").update(small, large, ["a", "b", "c"])
