"""LPIPS and DISTS on random trunks: against the papers' equations written out, and in what must hold on any weights.

LPIPS takes its published heads, which torchmetrics carries.
"""

from __future__ import annotations

import contextvars
import gc
import hashlib
import math
import weakref
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.features.networks import CLASSIFIERS, HEADS, classifier, published
from transfigure import registry
from transfigure.errors import Missing, Skipped, UserError
from transfigure.features import weights
from transfigure.metrics import perceptual
from transfigure.metrics.perceptual import DISTS, LPIPS, PerceptualMetric, root_mean_square_pool

NETWORKS = {"alex": "alexnet", "vgg": "vgg16", "squeeze": "squeezenet"}
MEAN, DEVIATION = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("weights")
    found = {f"lpips_{kind}": HEADS / f"{kind}.pth" for kind in NETWORKS}
    for name in CLASSIFIERS:
        torch.save(published(name), folder / f"{name}.pth")
    random = torch.Generator().manual_seed(2)
    torch.save({key: torch.rand(1, 1475, 1, 1, generator=random) for key in ("alpha", "beta")}, folder / "dists.pt")
    return {**found, "dists": folder / "dists.pt", **{name: folder / f"{name}.pth" for name in CLASSIFIERS}}


@pytest.fixture(autouse=True)
def at_hand(files: dict[str, Path]) -> Iterator[None]:
    with weights.explicit(files):
        yield


def build(name: str) -> PerceptualMetric:
    """``lpips alex`` or ``dists``."""
    kind, *network = name.split()
    metric = registry.build("metric", kind, **({"network": network[0]} if network else {}))
    assert isinstance(metric, PerceptualMetric)
    return metric


ALL = [*(f"lpips {kind}" for kind in NETWORKS), "dists"]
SMALL = ["lpips alex", "dists"]


def scenes(n: int = 2, height: int = 40, width: int = 33, seed: int = 0, channels: int = 3) -> Tensor:
    random = torch.Generator().manual_seed(seed)
    coarse = torch.rand(n, channels, 7, 6, generator=random) * 2 - 1
    fine = 0.1 * torch.randn(n, channels, height, width, generator=random)
    return (F.interpolate(coarse, (height, width)) + fine).clamp(-1, 1)


def blurred(images: Tensor, size: int) -> Tensor:
    return F.avg_pool2d(F.pad(images, [size // 2] * 4, mode="replicate"), size, stride=1)


# ---- the equations -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", NETWORKS)
def test_lpips_is_equation_1(kind: str) -> None:
    x, y = scenes(), scenes(seed=1)
    shift, scale = torch.tensor([-0.030, -0.088, -0.188]).view(3, 1, 1), torch.tensor([0.458, 0.448, 0.450]).view(3, 1, 1)
    heads = torch.load(HEADS / f"{kind}.pth", map_location="cpu", weights_only=True)
    network = classifier(NETWORKS[kind])
    expected = np.zeros(2)
    for layer, pair in enumerate(zip(network((x - shift) / scale), network((y - shift) / scale))):
        a, b = (v / (np.linalg.norm(v, axis=1, keepdims=True) + 1e-10) for v in (activation.double().numpy() for activation in pair))
        weighted = np.einsum("nchw,c->nhw", (a - b) ** 2, heads[f"lin{layer}.model.1.weight"].double().numpy().ravel())
        expected += weighted.mean((1, 2))
    metric = build(f"lpips {kind}")
    metric.update(x, y)
    assert expected.min() > 0.01
    assert metric.scores == pytest.approx(expected, rel=1e-4)


class Pool(nn.Module):
    """Written out as nine shifted sums."""

    def forward(self, x: Tensor) -> Tensor:
        squares, (height, width) = F.pad(x.double().square(), (1, 1, 1, 1)), x.shape[-2:]
        total = torch.zeros_like(x, dtype=torch.float64)
        for i, j in np.ndindex(3, 3):
            total += (2 - abs(i - 1)) * (2 - abs(j - 1)) / 16 * squares[..., i : i + height, j : j + width]
        return (total[..., ::2, ::2] + 1e-12).sqrt().float()


def test_dists_is_its_equation(files: dict[str, Path]) -> None:
    x, y = scenes(), scenes(seed=1)
    layers = [Pool() if isinstance(layer, nn.MaxPool2d) else layer for layer in classifier("vgg16").features]
    mean, deviation = (torch.tensor(values).float().view(3, 1, 1) for values in (MEAN, DEVIATION))

    def features(images: Tensor) -> list[np.ndarray]:
        images = (images + 1) / 2
        found, z = [images], (images - mean) / deviation
        for index, layer in enumerate(layers):
            z = layer(z)
            if index in (3, 8, 15, 22, 29):
                found.append(z)
        return [values.double().numpy() for values in found]

    heads = torch.load(files["dists"], weights_only=True)
    alpha, beta = (heads[key].double().numpy().ravel() for key in ("alpha", "beta"))
    expected, channel = np.zeros(2), 0
    for a, b in zip(features(x), features(y)):
        for c in range(a.shape[1]):
            for n in range(2):
                p, q = a[n, c].ravel(), b[n, c].ravel()
                texture = (2 * p.mean() * q.mean() + 1e-6) / (p.mean() ** 2 + q.mean() ** 2 + 1e-6)
                structure = (2 * np.cov(p, q, bias=True)[0, 1] + 1e-6) / (p.var() + q.var() + 1e-6)
                expected[n] += alpha[channel] * texture + beta[channel] * structure
            channel += 1
    assert channel == 1475
    metric = build("dists")
    metric.update(x, y)
    assert metric.scores == pytest.approx(1 - expected / (alpha.sum() + beta.sum()), rel=1e-4)
    assert min(metric.scores) > 0.01


@pytest.mark.parametrize("size", [(8, 8), (7, 5), (1, 1)])
def test_the_pool_halves_and_keeps_a_flat_images_middle(size: tuple[int, int]) -> None:
    x = torch.full((1, 2, *size), -3.0)
    pooled = root_mean_square_pool(x)
    assert pooled.shape == F.max_pool2d(x, 3, 2, 1).shape
    torch.testing.assert_close(pooled, Pool()(x))
    if size == (8, 8):
        assert pooled[0, 0, 1, 1].item() == pytest.approx(3)


# ---- what must hold on any weights ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ALL)
def test_equals_are_zero_apart_and_order_does_not_matter(name: str) -> None:
    metric, x, y = build(name), scenes(), scenes(seed=1)
    metric.update(x, x.clone())
    metric.update(x, y)
    metric.update(y, x)
    same, there, back = metric.scores[:2], metric.scores[2:4], metric.scores[4:]
    assert same == [0, 0] and min(there) > 0.01
    assert there == pytest.approx(back, rel=1e-6)


@pytest.mark.parametrize("name", ALL)
def test_more_blur_is_further(name: str) -> None:
    target = scenes(3)
    distances = []
    for size in (1, 3, 7, 15):
        metric = build(name)
        metric.update(blurred(target, size), target)
        distances.append(metric.compute()[metric.name])
    assert distances[0] == 0 and distances == sorted(set(distances))


@pytest.mark.parametrize("name", SMALL)
def test_grey_images_count_as_colour(name: str) -> None:
    metric, x, y = build(name), scenes(channels=1), scenes(channels=1, seed=1)
    metric.update(x, y)
    metric.update(x.repeat(1, 3, 1, 1), y.repeat(1, 3, 1, 1))
    assert metric.scores[:2] == metric.scores[2:]


@pytest.mark.parametrize("name", SMALL)
def test_neither_batches_nor_portions_matter(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = scenes(5), scenes(5, seed=1)
    whole, single, portions = build(name), build(name), build(name)
    whole.update(x, y, list("abcde"))
    for index in range(5):
        single.update(x[index, None], y[index, None])
    monkeypatch.setattr(perceptual, "PIXELS_AT_ONCE", 2 * 40 * 33)
    portions.update(x, y)
    assert len(whole.scores) == 5 and whole.names == list("abcde")
    assert single.scores == pytest.approx(whole.scores, rel=1e-5) and portions.scores == pytest.approx(whole.scores, rel=1e-5)


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("dtype", [torch.float16, torch.float64])
def test_any_floats_are_taken(name: str, dtype: torch.dtype) -> None:
    metric, x, y = build(name), scenes().half(), scenes(seed=1).half()
    metric.update(x.float(), y.float())
    metric.update(x.to(dtype), y.to(dtype))
    assert metric.scores[:2] == metric.scores[2:]


# ---- what it refuses -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SMALL)
def test_other_channels_are_skipped(name: str) -> None:
    metric, images = build(name), scenes(channels=5)
    with pytest.raises(Skipped, match="5 channels"):
        metric.update(images, images)
    assert metric.scores == metric.names == []


@pytest.mark.parametrize(("kind", "least"), [("alex", 31), ("vgg", 16), ("squeeze", 17)])
def test_lpips_skips_what_is_too_small(kind: str, least: int) -> None:
    metric = build(f"lpips {kind}")
    metric.update(scenes(1, least, least), scenes(1, least, least, seed=1))
    assert metric.scores[0] > 0
    with pytest.raises(Skipped, match=rf"at least {least} x {least} pixels, and these are 50 x {least - 1}$"):
        metric.update(scenes(1, least - 1, 50), scenes(1, least - 1, 50))


def test_dists_takes_any_size() -> None:
    metric = build("dists")
    for size in (1, 2, 16):
        metric.update(torch.full((1, 3, size, size), -1.0), torch.rand(1, 3, size, size))
    assert all(map(math.isfinite, metric.scores)) and min(metric.scores) > 0


def test_an_unknown_network_is_refused() -> None:
    with pytest.raises(UserError, match="did you mean 'squeeze'"):
        LPIPS("squeezenet")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "absent"), [("lpips alex", "lpips_alex"), ("lpips alex", "alexnet"), ("dists", "vgg16"), ("dists", "dists")]
)
def test_absent_weights_are_said(name: str, absent: str, files: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.delenv("TRANSFIGURE_WEIGHTS", raising=False)

    def without() -> None:
        with weights.explicit({key: path for key, path in files.items() if key != absent}), pytest.raises(Missing, match=absent):
            build(name)

    contextvars.Context().run(without)  # out of reach of the files that all tests here have at hand


@pytest.mark.parametrize(
    ("name", "given", "instead", "message"),
    [
        ("lpips vgg", "lpips_vgg", "lpips_alex", r"'lin1.model.1.weight' .*\[1, 192, 1, 1\], not \[1, 128, .*LPIPS 0.1 heads for VGG-16"),
        ("lpips alex", "alexnet", "vgg16", r"'features.0.weight' .*alexnet-owt-7be5be79.pth"),
        ("dists", "dists", "lpips_vgg", r"no 'alpha'.*DISTS weights"),
    ],
)
def test_the_wrong_file_is_named(name: str, given: str, instead: str, message: str, files: dict[str, Path]) -> None:
    with weights.explicit({given: files[instead]}), pytest.raises(UserError, match=message):
        build(name)


# ---- what it says and what it shares -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "network", "trunk", "heads"),
    [
        ("lpips alex", "AlexNet + LPIPS 0.1 heads", "alexnet", "lpips_alex"),
        ("lpips squeeze", "SqueezeNet 1.1 + LPIPS 0.1 heads", "squeezenet", "lpips_squeeze"),
        ("dists", "VGG-16 + DISTS weights", "vgg16", "dists"),
    ],
)
def test_the_facts_to_make_the_number_again(name: str, network: str, trunk: str, heads: str, files: dict[str, Path]) -> None:
    digests = (hashlib.sha256(files[key].read_bytes()).hexdigest() for key in (trunk, heads))
    assert build(name).facts() == {"network": network, "weights": " + ".join(digests), "resize": "none"}


def test_alex_is_the_default() -> None:
    assert LPIPS().facts()["network"].startswith("AlexNet")


def test_a_network_is_in_memory_once_and_while_it_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    load = weights.load
    monkeypatch.setattr(weights, "load", lambda name: read.append(name) or load(name))  # type: ignore[func-returns-value]
    first, second, other = LPIPS("vgg"), LPIPS("vgg"), DISTS()
    assert first.cached is second.cached is other.cached
    assert read.count("vgg16") == 1
    cached = weakref.ref(first.cached)
    del first, second, other
    gc.collect()
    assert cached() is None


class Counted:
    """A trunk that counts the images it sees."""

    def __init__(self, metric: PerceptualMetric) -> None:
        self.trunk, self.images = metric.cached.trunk, 0
        self.network = self.trunk.network
        metric.cached.trunk = self  # type: ignore[assignment]

    def __call__(self, images: Tensor, **options: object) -> list[Tensor]:
        self.images += len(images)
        return self.trunk(images, **options)  # type: ignore[arg-type]


def test_targets_and_a_constant_prediction_are_seen_once() -> None:
    metrics = [LPIPS() for _ in range(3)]
    counted = Counted(metrics[0])
    constant = scenes(1, seed=99)
    for index in range(8):
        target = scenes(1, seed=index)
        for metric, prediction in zip(metrics, (blurred(target, 3), blurred(target, 7), constant)):
            metric.update(prediction, target)
    assert counted.images == 3 * 8 + 1
    for metric, size in zip(metrics[:2], (3, 7)):
        from_cache = metric.scores
        metric.reset()
        for index in range(8):
            metric.cached._cache.clear()
            metric.update(blurred(scenes(1, seed=index), size), scenes(1, seed=index))
        assert metric.scores == from_cache


def test_an_image_changed_in_place_is_seen_anew() -> None:
    metric, x, y = LPIPS(), scenes(1), scenes(1, seed=1)
    metric.update(x, y)
    y.numpy()[:] = x.numpy()  # behind torch's back
    metric.update(x, y)
    assert metric.scores[0] > 0 and metric.scores[1] == 0


def test_metrics_on_one_trunk_do_not_mix_up_what_they_saw() -> None:
    x, y = scenes(), scenes(seed=1)
    alone = DISTS()
    alone.update(x, y)
    expected = alone.scores
    alone.cached._cache.clear()
    for metric in (LPIPS("vgg"), again := DISTS()):
        metric.update(x, y)
    assert again.cached is alone.cached and again.scores == expected


def test_the_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    metric = LPIPS()
    for seed in range(20):
        metric.update(scenes(1, seed=seed), scenes(1, seed=seed + 1))
    assert len(metric.cached._cache) == perceptual.CACHED_BATCHES
    monkeypatch.setattr(perceptual, "CACHED_BYTES", metric.cached.cached_bytes // 4)
    metric.update(scenes(1, seed=50), scenes(1, seed=51))
    assert len(metric.cached._cache) == 4
    monkeypatch.setattr(perceptual, "CACHED_BYTES", 10)
    metric.update(scenes(1, seed=52), scenes(1, seed=53))
    assert not metric.cached._cache and len(metric.scores) == 22


@pytest.mark.parametrize("name", SMALL)
def test_very_large_images_are_compared_in_parts_and_it_is_said(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = scenes(1, 90, 80), blurred(scenes(1, 90, 80), 5)
    monkeypatch.setattr(perceptual, "LARGEST_AT_ONCE", 90 * 80 - 1)
    monkeypatch.setattr(perceptual, "PART", 45)
    parts = [(slice(top, top + 45), slice(left, left + 40)) for top in (0, 45) for left in (0, 40)]
    metric = build(name)
    metric.update(x, y)
    wanted = [build(name).score(x[..., rows, columns], y[..., rows, columns]).item() for rows, columns in parts]
    assert metric.scores == pytest.approx([sum(wanted) / 4], rel=1e-6)
    assert metric.caution() == "1 of 1 image, too large for the network at once: the mean of parts of 45 pixels"
    metric.reset()
    metric.update(scenes(1), scenes(1))
    assert metric.caution() == ""


@pytest.mark.parametrize("name", SMALL)
def test_states_in_their_order_are_one_run_over_all(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(perceptual, "LARGEST_AT_ONCE", 70 * 70)  # so that it has something to be cautious about
    monkeypatch.setattr(perceptual, "PART", 40)
    target = scenes(5, 80, 66)
    whole, worker, merged = build(name), build(name), build(name)
    for chosen in (slice(0, 2), slice(2, 5)):
        whole.update(blurred(target[chosen], 3), target[chosen])
        worker.update(blurred(target[chosen], 3), target[chosen])
        merged.merge(worker.state())
        worker.reset()
    assert merged.scores == whole.scores and merged.interval() == whole.interval()
    assert merged.caution() == whole.caution() and "5 of 5" in whole.caution()
