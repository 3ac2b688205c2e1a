"""The trunks against the same networks built from torch's own layers, under the names and shapes torchvision publishes."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tests.features.networks import CLASSIFIERS, classifier, published
from transfigure.errors import UserError
from transfigure.features.trunks.classifiers import NETWORKS, Trunk, trunk


def pictures(n: int = 2, height: int = 64, width: int = 45) -> Tensor:
    return torch.randn(n, 3, height, width, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_the_activations_are_those_of_torchs_layers(name: str) -> None:
    found, expected = trunk(name, published(name))(pictures()), classifier(name)(pictures())
    assert [x.shape for x in found] == [x.shape for x in expected]
    assert tuple(x.shape[1] for x in found) == NETWORKS[name].widths
    for x, y in zip(found, expected):
        assert y.std() > 0.1, "a vanished signal would agree with anything"
        torch.testing.assert_close(x, y, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_the_least_size_is_the_least(name: str) -> None:
    least = NETWORKS[name].smallest_input
    assert all(x.numel() for x in classifier(name)(pictures(1, least, least)))
    assert all(x.numel() for x in trunk(name, published(name))(pictures(1, least, least)))
    for height, width in ((least - 1, 64), (64, least - 1)):
        with pytest.raises(RuntimeError, match="too small"):
            classifier(name)(pictures(1, height, width))


@pytest.mark.parametrize("name", CLASSIFIERS)
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
