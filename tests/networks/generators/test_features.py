"""The maps that generators show of their first half, for contrasts between patches."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from transfigure.errors import UserError
from transfigure.networks.build import build_generator

CASES: list[tuple[str, dict[str, Any], tuple[int, ...], tuple[int, ...], list[str]]] = [
    ("unet", {"depth": 5}, (3, 4, 8, 16), (1, 2, 4, 8), ["down.0", "down.1", "down.2"]),
    ("unet", {"depth": 2}, (3, 4, 8), (1, 2, 4), ["down.0", "down.1"]),
    ("encoder_decoder", {"depth": 4}, (3, 4, 8, 16), (1, 2, 4, 8), ["down.0", "down.1", "down.2"]),
    ("encoder_decoder", {"depth": 3, "bottleneck_width": 5}, (3, 4, 8, 5), (1, 2, 4, 8), ["down.0", "down.1", "down.2"]),
    ("resnet", {"blocks": 9}, (3, 8, 16, 16, 16), (1, 2, 4, 4, 4), ["down.0", "down.1", "blocks.0", "blocks.4"]),
    ("resnet", {"blocks": 6}, (3, 8, 16, 16, 16), (1, 2, 4, 4, 4), ["down.0", "down.1", "blocks.0", "blocks.3"]),
    ("resnet", {"blocks": 2}, (3, 8, 16, 16, 16), (1, 2, 4, 4, 4), ["down.0", "down.1", "blocks.0", "blocks.1"]),
    ("resnet", {"blocks": 1}, (3, 8, 16, 16), (1, 2, 4, 4), ["down.0", "down.1", "blocks.0"]),
    ("quarter", {"depth": 2}, (3, 4, 4), (1, 4, 4), ["stem", "encoder.0"]),
    ("quarter", {"depth": 4}, (3, 4, 4, 8, 16), (1, 4, 4, 8, 16), ["stem", "encoder.0", "encoder.1", "encoder.2"]),
]
cases = pytest.mark.parametrize(
    ("name", "options", "channels", "fractions", "places"), CASES, ids=lambda value: str(value).replace(" ", "")
)


def built(name: str, options: dict[str, Any]) -> Any:
    torch.manual_seed(0)
    return build_generator(name, 3, 2, {"width": 4, **options})


@cases
def test_shapes_are_the_stated_ones(
    name: str, options: dict[str, Any], channels: tuple[int, ...], fractions: tuple[int, ...], places: list[str]
) -> None:
    generator = built(name, options)
    assert generator.feature_channels == channels
    for height, width in ((32, 64), (96, 32)):
        shapes = [tuple(map_.shape) for map_ in generator.features(torch.rand(2, 3, height, width))]
        assert shapes == [(2, c, height // part, width // part) for c, part in zip(channels, fractions, strict=True)]


@cases
def test_they_are_the_maps_that_forward_computes(
    name: str, options: dict[str, Any], channels: tuple[int, ...], fractions: tuple[int, ...], places: list[str]
) -> None:
    generator = built(name, options).eval()
    x = torch.rand(2, 3, 32, 32)
    seen: dict[str, Tensor] = {}
    for place in places:
        generator.get_submodule(place).register_forward_hook(lambda layer, args, out, place=place: seen.update({place: out.clone()}))
    generator(x)
    through = dict(seen)
    image, *maps = generator.features(x)
    assert torch.equal(image, x)
    assert len(maps) == len(places)
    for place, map_ in zip(places, maps, strict=True):
        assert torch.equal(map_, through[place]), place


@cases
def test_gradients_reach_the_image_and_the_encoder_but_nothing_beyond(
    name: str, options: dict[str, Any], channels: tuple[int, ...], fractions: tuple[int, ...], places: list[str]
) -> None:
    generator = built(name, options)
    x = torch.rand(1, 3, 32, 32, requires_grad=True)
    sum(map_.square().mean() for map_ in generator.features(x)[1:]).backward()
    assert x.grad is not None and x.grad.abs().max() > 0
    last = generator.get_submodule(places[-1])
    assert all(weight.grad is not None for weight in last.parameters())
    beyond: list[nn.Module] = [*generator.up]
    assert all(weight.grad is None for layer in beyond for weight in layer.parameters())


@pytest.mark.parametrize("name", sorted({case[0] for case in CASES}))
def test_an_image_that_does_not_fit_is_refused(name: str) -> None:
    with pytest.raises(UserError, match="31 pixels wide"):
        built(name, {}).features(torch.rand(1, 3, 32, 31))
