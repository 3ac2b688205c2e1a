"""The trunks against the same networks built from torch's own layers, under the names and shapes torchvision publishes."""

from __future__ import annotations

from functools import cache

import pytest
import torch
from torch import Tensor, nn

from transfigure.errors import UserError
from transfigure.features.trunks.classifiers import NETWORKS, Trunk, trunk

NAMES = ["alexnet", "vgg16", "squeezenet"]
TAKEN = {"alexnet": (1, 4, 7, 9, 11), "vgg16": (3, 8, 15, 22, 29), "squeezenet": (1, 4, 7, 9, 10, 11, 12)}
"""The layers of ``features`` whose output is an activation."""


class FireModule(nn.Module):
    def __init__(self, inputs: int, squeezed: int, expanded: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(inputs, squeezed, 1)
        self.expand1x1 = nn.Conv2d(squeezed, expanded, 1)
        self.expand3x3 = nn.Conv2d(squeezed, expanded, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.squeeze(x).relu()
        return torch.cat([self.expand1x1(x).relu(), self.expand3x3(x).relu()], 1)


class Classifier(nn.Module):
    def __init__(self, name: str) -> None:
        super().__init__()
        self.features = {"alexnet": alexnet, "vgg16": vgg16, "squeezenet": squeezenet}[name]()
        self.taken = TAKEN[name]

    def forward(self, x: Tensor) -> list[Tensor]:
        found = []
        for index, layer in enumerate(self.features):
            x = layer(x)
            if index in self.taken:
                found.append(x)
        return found


def alexnet() -> nn.Sequential:
    first = [nn.Conv2d(3, 64, 11, 4, 2), nn.ReLU(), nn.MaxPool2d(3, 2), nn.Conv2d(64, 192, 5, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2)]
    last = [layer for i, o in ((192, 384), (384, 256), (256, 256)) for layer in (nn.Conv2d(i, o, 3, padding=1), nn.ReLU())]
    return nn.Sequential(*first, *last)


def vgg16() -> nn.Sequential:
    layers: list[nn.Module] = []
    inputs = 3
    for width, depth in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
        for _ in range(depth):
            layers += [nn.Conv2d(inputs, width, 3, padding=1), nn.ReLU()]
            inputs = width
        layers.append(nn.MaxPool2d(2, 2))
    return nn.Sequential(*layers[:-1])


def squeezenet() -> nn.Sequential:
    def pool() -> nn.Module:
        return nn.MaxPool2d(3, 2, ceil_mode=True)

    layers = [nn.Conv2d(3, 64, 3, 2), nn.ReLU(), pool(), FireModule(64, 16, 64), FireModule(128, 16, 64), pool()]
    layers += [FireModule(128, 32, 128), FireModule(256, 32, 128), pool(), FireModule(256, 48, 192)]
    return nn.Sequential(*layers, FireModule(384, 48, 192), FireModule(384, 64, 256), FireModule(512, 64, 256))


@cache
def classifier(name: str) -> Classifier:
    """With random weights that keep the signal's size from layer to layer, and biases that matter."""
    random = torch.Generator().manual_seed(5)
    network = Classifier(name).requires_grad_(False).eval()
    for key, parameter in network.named_parameters():
        scale = 0.1 if key.endswith("bias") else (2 / parameter[0].numel()) ** 0.5
        parameter.copy_(scale * torch.randn(parameter.shape, generator=random))
    return network


def published(name: str) -> dict[str, Tensor]:
    """A state dict as it is published, but with hardly a classifier behind the features."""
    last = "classifier.1" if name == "squeezenet" else "classifier.6"
    return {**classifier(name).state_dict(), f"{last}.weight": torch.zeros(2, 2), f"{last}.bias": torch.zeros(2)}


def pictures(n: int = 2, height: int = 64, width: int = 45) -> Tensor:
    return torch.randn(n, 3, height, width, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("name", NAMES)
def test_the_activations_are_those_of_torchs_layers(name: str) -> None:
    found, expected = trunk(name, published(name))(pictures()), classifier(name)(pictures())
    assert [x.shape for x in found] == [x.shape for x in expected]
    assert tuple(x.shape[1] for x in found) == NETWORKS[name].widths
    for x, y in zip(found, expected):
        assert y.std() > 0.1, "a vanished signal would agree with anything"
        torch.testing.assert_close(x, y, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_the_least_size_is_the_least(name: str) -> None:
    least = NETWORKS[name].least
    assert all(x.numel() for x in classifier(name)(pictures(1, least, least)))
    assert all(x.numel() for x in trunk(name, published(name))(pictures(1, least, least)))
    for height, width in ((least - 1, 64), (64, least - 1)):
        with pytest.raises(RuntimeError, match="too small"):
            classifier(name)(pictures(1, height, width))


@pytest.mark.parametrize("name", NAMES)
def test_only_features_are_kept_in_float32(name: str) -> None:
    seeing = trunk(name, {key: value.half() for key, value in published(name).items()})
    assert set(seeing.state) == set(classifier(name).state_dict())
    assert {value.dtype for value in seeing.state.values()} == {torch.float32}


@pytest.mark.parametrize(
    ("name", "key"), [("alexnet", "features.3.weight"), ("vgg16", "features.28.bias"), ("squeezenet", "features.9.expand3x3.weight")]
)
def test_what_is_missing_or_misshapen_is_named(name: str, key: str) -> None:
    state = published(name)
    with pytest.raises(UserError, match=rf"no '{key}'.*{NETWORKS[name].file}"):
        trunk(name, {k: v for k, v in state.items() if k != key})
    with pytest.raises(UserError, match=rf"'{key}' of the weights is \[7\], not \[.*{NETWORKS[name].file}"):
        trunk(name, {**state, key: torch.zeros(7)})


def test_an_unknown_network_is_refused() -> None:
    with pytest.raises(UserError, match="did you mean 'vgg16'"):
        trunk("vgg19", {})


@pytest.mark.parametrize(("name", "widths"), [("vgg16", [64, 128, 256, 512]), ("squeezenet", [64, 128, 256])])
def test_another_pool_stands_in_for_every_max_pool(name: str, widths: list[int]) -> None:
    seeing: Trunk = trunk(name, published(name))
    pooled: list[int] = []

    def pool(x: Tensor) -> Tensor:
        pooled.append(x.shape[1])
        return x[..., ::2, ::2]

    subsampled, usual = seeing(pictures(1, 64, 64), pool), seeing(pictures(1, 64, 64))
    assert pooled == widths
    assert torch.equal(subsampled[0], usual[0]) and not torch.equal(subsampled[1], usual[1])
