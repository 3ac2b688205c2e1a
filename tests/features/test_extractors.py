"""Extractors: features once per batch, one network in a process, and random features that rank as eyes do."""

from __future__ import annotations

import gc
import hashlib
import weakref
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from tests.features.networks import published_state
from transfigure.errors import Missing, Skipped, UserError
from transfigure.features import weights
from transfigure.features.extractors import Extractor, inception, random_network
from transfigure.features.resizing import clean_bicubic, tf1_bilinear
from transfigure.features.trunks.inception import Inception
from transfigure.features.trunks.random_features import RandomFeatures
from transfigure.metrics import divergence
from transfigure.worlds.facades.dataset import draw_scene, render


class Spy:
    """A network that counts what it is given: the mean of each channel."""

    def __init__(self) -> None:
        self.batches: list[Tensor] = []

    def __call__(self, images: Tensor) -> Tensor:
        self.batches.append(images)
        return images.mean((2, 3))


@pytest.fixture
def spy() -> Spy:
    return Spy()


@pytest.fixture
def extractor(spy: Spy) -> Extractor:
    return Extractor("spy", "none", "none", spy)


def pictures(n: int = 2, channels: int = 3, size: int = 20, seed: int = 0) -> Tensor:
    return torch.rand(n, channels, size, size, generator=torch.Generator().manual_seed(seed)) * 2 - 1


# ---- once per batch ------------------------------------------------------------------------------------------------------


def test_the_same_tensor_is_computed_once(extractor: Extractor, spy: Spy) -> None:
    tensors = [pictures(seed=seed) for seed in range(6)]
    first = [extractor(tensor) for tensor in tensors]
    assert len(spy.batches) == 6
    assert all(extractor(tensor) is features for tensor, features in zip(tensors, first, strict=True))
    assert len(spy.batches) == 6
    assert extractor(tensors[0].clone()) is not first[0]  # equal, but another tensor
    assert len(spy.batches) == 7


def test_a_change_in_place_is_noticed(extractor: Extractor) -> None:
    images = pictures()
    before = extractor(images)
    images[0].mul_(0.5)
    after = extractor(images)
    assert torch.equal(after[1], before[1]) and not torch.allclose(after[0], before[0])
    assert extractor(images) is after
    with torch.inference_mode():
        untracked = pictures()
        assert torch.equal(extractor(untracked), before)
        untracked.zero_()
        assert (extractor(untracked) == 0).all()


def test_old_tensors_are_let_go() -> None:
    extractor = Extractor("forgetful", "none", "none", lambda images: images.mean((2, 3)))
    images = pictures()
    gone = weakref.ref(images)
    extractor(images)
    del images
    gc.collect()
    assert gone() is not None  # held, or another tensor could take its identity
    for seed in range(6):
        extractor(pictures(seed=seed))
    gc.collect()
    assert gone() is None


def test_many_images_go_through_in_small_batches_and_keep_their_order(extractor: Extractor, spy: Spy) -> None:
    images = pictures(37, size=4)
    features = extractor(images)
    assert [len(batch) for batch in spy.batches] == [16, 16, 5]
    assert torch.allclose(features, images.mean((2, 3)))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_features_are_float32_without_a_gradient(extractor: Extractor, spy: Spy, dtype: torch.dtype) -> None:
    images = pictures().to(dtype).requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        features = extractor(images)
    assert features.dtype == spy.batches[0].dtype == torch.float32
    assert not features.requires_grad and features.device.type == "cpu"
    assert torch.equal(features, images.detach().float().mean((2, 3)))


def test_autocast_does_not_reach_the_network() -> None:
    images = pictures(size=33)
    expected = random_network()(images.clone())
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(random_network()(images), expected)


@pytest.mark.parametrize("bad", [torch.zeros(3, 8, 8), torch.zeros(1, 3, 8, 8, dtype=torch.uint8), torch.zeros(0, 3, 8, 8)])
def test_what_is_no_batch_of_images_is_refused(extractor: Extractor, bad: Tensor) -> None:
    with pytest.raises(ValueError, match=r"float images \[N, C, H, W\]"):
        extractor(bad)


# ---- Inception -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "inception.pth"
    torch.save(published_state(), path)
    return path


@pytest.fixture
def weights_here(file: Path) -> Iterator[Path]:
    with weights.explicit({"inception": file}):
        yield file


def test_inception_sees_the_resized_picture_on_the_scale_of_files(weights_here: Path) -> None:
    images = pictures(1, size=64)
    values = (images + 1) * 127.5
    network = Inception(published_state())
    tf1, clean = inception("tf1"), inception("clean")
    assert torch.allclose(tf1(images), network(tf1_bilinear(values, 299, 299)), rtol=1e-5)
    assert torch.allclose(clean(images), network(clean_bicubic(values, 299, 299).clamp(0, 255)), rtol=1e-5)
    assert not torch.allclose(clean(images), tf1(images), rtol=1e-2)
    assert (tf1.resize, clean.resize) == ("tf1 bilinear to 299", "antialiased bicubic to 299")


def test_there_is_one_network_and_one_extractor_for_each_resize(weights_here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = inception()
    monkeypatch.setattr(weights, "load", lambda name: pytest.fail("loaded twice"))
    assert inception() is inception("tf1") is first
    assert inception("clean") is inception("clean") is not first
    assert first.name == "Inception 2015-12-05"
    assert first.weights == hashlib.sha256(weights_here.read_bytes()).hexdigest()


def test_another_file_is_another_extractor(weights_here: Path, tmp_path: Path) -> None:
    mine, other = inception(), tmp_path / "other.pth"
    torch.save({**published_state(), "fc.bias": torch.zeros(1008)}, other)
    with weights.explicit({"inception": other}):
        assert inception() is not mine and inception().weights != mine.weights
    assert inception() is mine


def test_grey_is_colour_and_other_channels_are_skipped(weights_here: Path) -> None:
    grey = pictures(1, channels=1)
    assert torch.equal(inception()(grey), inception()(grey.repeat(1, 3, 1, 1)))
    with pytest.raises(Skipped, match="5 channels"):
        inception()(pictures(channels=5))


def test_without_weights_it_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.delenv(weights.VARIABLE, raising=False)
    with pytest.raises(Missing, match="inception"):
        inception()


def test_a_file_of_something_else_is_named(tmp_path: Path) -> None:
    torch.save({"layer.weight": torch.zeros(2)}, tmp_path / "vgg.pth")
    with weights.explicit({"inception": tmp_path / "vgg.pth"}), pytest.raises(UserError, match=r"vgg\.pth does not hold the Inception"):
        inception()


# ---- random features -----------------------------------------------------------------------------------------------------


FROZEN = [0.3562, -0.0752, 0.9145, -0.0592, 0.0623, 0.0392, 0.0651, -0.0053, 0.0329]
FROZEN_FEATURES = [-0.015534, 0.949613, 0.767384, 0.348116, 0.127588, 0.0, 0.02416]


def test_the_filters_stay_the_same_for_ever() -> None:
    filters = RandomFeatures(3).filters
    drawn = [round(value, 4) for stage in filters for value in stage[0, 0, 0].tolist()]
    assert drawn == pytest.approx(FROZEN, abs=1.1e-4)
    coarse = torch.arange(2 * 3 * 8 * 8).view(2, 3, 8, 8).float().sin()
    assert random_network()(coarse)[1, ::30].tolist() == pytest.approx(FROZEN_FEATURES, rel=1e-4, abs=2e-6)
    assert random_network().weights == "seed 0" and random_network() is random_network()


@pytest.mark.parametrize("channels", [1, 3, 4, 13])
@pytest.mark.parametrize("size", [(1, 1), (1, 7), (2, 3), (5, 5), (33, 64)])
def test_any_size_and_any_number_of_channels(channels: int, size: tuple[int, int]) -> None:
    for images in (torch.rand(2, channels, *size) * 2 - 1, torch.full((2, channels, *size), -1.0), torch.zeros(2, channels, *size)):
        features = random_network()(images)
        assert features.shape == (2, 2 * channels + 176) and features.isfinite().all()


def test_a_grey_plane_has_its_colour_and_nothing_else() -> None:
    features = random_network()(torch.full((1, 1, 17, 9), 0.25))[0]
    assert features[0] == pytest.approx(0.5) and features[1:].abs().max() < 1e-5


@pytest.fixture(scope="module")
def streets() -> dict[str, Tensor]:
    def drawn(rendering: str, first: int) -> Tensor:
        images = np.stack([render(draw_scene(0, index), rendering, 64) for index in range(first, first + 100)])
        return torch.from_numpy(images).permute(0, 3, 1, 2).float() / 127.5 - 1

    return {"photos": drawn("day", 0), "others": drawn("day", 100), "labels": drawn("labels", 0)}


def blurred(images: Tensor, sigma: float) -> Tensor:
    reach = int(3 * sigma + 1)
    weight = torch.exp(-(torch.arange(-reach, reach + 1) ** 2) / (2 * sigma**2))
    kernel = (weight[:, None] * weight / weight.sum() ** 2).expand(images.shape[1], 1, -1, -1)
    return F.conv2d(F.pad(images, (reach,) * 4, mode="replicate"), kernel, groups=images.shape[1])


@pytest.mark.parametrize("channels", [1, 3])
def test_other_photos_are_nearest_then_a_light_blur_then_a_heavy_one_then_label_maps(streets: dict[str, Tensor], channels: int) -> None:
    photos, others, labels = (images if channels == 3 else images.mean(1, keepdim=True) for images in streets.values())
    features = random_network()

    def distance(images: Tensor) -> float:
        return divergence.frechet(features(photos).double(), features(images).double())

    other = distance(others)
    light, heavy, worst = distance(blurred(others, 0.5)), distance(blurred(others, 2)), distance(labels)
    assert other > 0 and 3 * other < light and 3 * light < heavy, (other, light, heavy)
    assert worst > (2 * heavy if channels == 3 else 5 * other)  # label maps without their colours are sharp, and not so far off
    noisy = others + 0.3 * torch.randn(others.shape, generator=torch.Generator().manual_seed(0))
    assert distance(noisy) > 5 * other
    assert distance(others - 0.2) > 2 * other  # darker
    assert distance(others[:10].repeat(10, 1, 1, 1)) > 1.5 * other  # a generator with ten outputs
    if channels == 3:
        assert distance(others.flip(1)) > 3 * other  # red for blue
        assert distance(others.mean(1, keepdim=True).expand(-1, 3, -1, -1)) > 5 * other  # no colour


@pytest.mark.gpu
def test_on_a_gpu_features_are_those_of_the_processor() -> None:
    images = pictures(4, size=64)
    assert torch.allclose(random_network()(images.cuda()), RandomFeatures(3)(images), rtol=1e-4, atol=1e-5)
