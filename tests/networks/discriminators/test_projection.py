from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from transfigure.errors import UserError
from transfigure.networks.build import build_discriminator
from transfigure.networks.discriminators.projection import ProjectionDiscriminator


def test_parameter_counts_are_the_stated_ones() -> None:
    with torch.device("meta"):
        network, plain = ProjectionDiscriminator(6, 3), ProjectionDiscriminator(3, 0)
        patch = build_discriminator("patch", 3)
    assert sum(parameter.numel() for parameter in network.parameters()) == 5_785_729
    beside = [part for part in (network.source_layers, network.embedding) if part is not None]
    assert sum(parameter.numel() for part in beside for parameter in part.parameters()) == 3_020_096
    assert {key: value.shape for key, value in plain.state_dict().items()} == {
        key: value.shape for key, value in patch.state_dict().items()
    }


def test_without_a_source_it_is_the_patch_discriminator() -> None:
    torch.manual_seed(0)
    patch = build_discriminator("patch", 3, {"width": 4, "receptive_field": 16})
    torch.manual_seed(0)
    network = build_discriminator("projection", 3, {"width": 4, "receptive_field": 16})
    x = torch.rand(2, 3, 20, 24)
    assert torch.equal(network(x).logits[0], patch(x).logits[0])


@pytest.mark.parametrize("field", [1, 16, 70])
def test_a_logit_is_the_heads_plus_the_inner_product_of_the_patches_that_it_reads(field: int) -> None:
    torch.manual_seed(0)
    options = {"width": 2, "receptive_field": field, "norm": "none"}
    network = build_discriminator("projection", 5, options, source_channels=2).double()
    x = torch.randn(2, 5, 32, 40, dtype=torch.float64)
    output = network(x)
    features = output.features[0][-1]
    phi: Tensor = x[:, :2]
    for layer in network.source_layers:
        phi = layer(phi)
    phi = network.embedding(phi)
    kernel, padding = network.head.kernel_size, network.head.padding
    patches, others = (F.unfold(maps, kernel, padding=padding) for maps in (features, phi))
    weight = network.head.weight.flatten(1)
    bias = 0 if network.head.bias is None else network.head.bias.view(1, 1, 1)
    expected = weight @ patches + bias + (patches * others).sum(1, keepdim=True) / patches.shape[1] ** 0.5
    assert torch.allclose(output.logits[0].flatten(2), expected, atol=1e-12)


def test_the_features_are_of_the_image_alone() -> None:
    torch.manual_seed(0)
    network = build_discriminator("projection", 6, {"width": 2, "receptive_field": 16}, source_channels=3)
    x = torch.rand(1, 6, 16, 16)
    other = torch.cat([torch.rand(1, 3, 16, 16), x[:, 3:]], dim=1)
    one, two = network(x), network(other)
    assert all(torch.equal(a, b) for a, b in zip(one.features[0], two.features[0], strict=True))
    assert not torch.equal(one.logits[0], two.logits[0])


@pytest.mark.parametrize("width", [8, 64])
def test_the_two_summands_start_at_one_size_whatever_the_width(width: int) -> None:
    torch.manual_seed(0)
    network = build_discriminator("projection", 6, {"width": width, "receptive_field": 16, "norm": "instance"}, source_channels=3)
    x = torch.rand(4, 6, 64, 64) * 2 - 1
    with torch.no_grad():
        whole = network(x).logits[0]
        features = network(x).features[0][-1]
        alone = network.head(features)
    assert 0.02 < (whole - alone).std() / alone.std() < 5


def test_it_learns_what_belongs_together() -> None:
    """Source and image of one tone (real) or of two: the image alone says nothing."""
    torch.manual_seed(0)
    network = build_discriminator("projection", 2, {"width": 8, "receptive_field": 16, "norm": "none"}, source_channels=1)
    optimizer = torch.optim.Adam(network.parameters(), lr=2e-3, betas=(0.5, 0.999))

    def logits(alike: bool) -> Tensor:
        tone = (torch.randint(0, 2, (16, 1, 1, 1)) * 2.0 - 1).expand(16, 1, 16, 16)
        output: Tensor = network(torch.cat([tone, tone if alike else -tone], dim=1)).logits[0]
        return output

    for _ in range(80):
        loss = F.softplus(-logits(True)).mean() + F.softplus(logits(False)).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert logits(True).min() > 0 > logits(False).max()


def test_a_source_width_of_its_own_makes_the_source_cheaper() -> None:
    def count(network: nn.Module) -> int:
        return sum(parameter.numel() for parameter in network.parameters())

    wide, narrow = (build_discriminator("projection", 6, {"width": 8, **more}, source_channels=3) for more in ({}, {"source_width": 2}))
    assert count(narrow) < 0.6 * count(wide)
    with pytest.raises(UserError, match="source_width is 0"):
        build_discriminator("projection", 6, {"source_width": 0}, source_channels=3)
