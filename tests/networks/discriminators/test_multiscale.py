from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from transfigure.errors import UserError
from transfigure.networks.build import build_discriminator
from transfigure.networks.discriminators.multiscale import MultiscaleDiscriminator


def test_parameter_count_is_the_stated_one() -> None:
    with torch.device("meta"):
        network = MultiscaleDiscriminator(6)
    assert sum(parameter.numel() for parameter in network.parameters()) == 8_303_427
    assert (network.receptive_field, network.smallest_input) == (283, 93)


def test_each_scale_is_a_patch_discriminator_of_the_image_halved_so_often() -> None:
    network = build_discriminator("multiscale", 3, {"width": 2, "receptive_field": 16, "scales": 3}).eval()
    x = torch.rand(2, 3, 41, 50)
    output = network(x)
    assert len(output.logits) == len(output.features) == 3
    for scale, logits, features in zip(network.scales, output.logits, output.features, strict=True):
        alone = scale(x)
        assert torch.equal(alone.logits[0], logits)
        assert all(torch.equal(a, b) for a, b in zip(alone.features[0], features, strict=True))
        x = F.avg_pool2d(x, 3, stride=2, padding=1, count_include_pad=False)
    assert x.shape[2:] == (6, 7)


def test_halving_keeps_a_constant_up_to_its_border() -> None:
    network = build_discriminator("multiscale", 1, {"width": 1, "receptive_field": 1, "norm": "none", "scales": 4})
    for logits in network(torch.full((1, 1, 32, 32), 0.7)).logits:
        assert torch.allclose(logits, logits[..., :1, :1].expand_as(logits), atol=1e-6)


@pytest.mark.parametrize(("field", "scales"), [(1, 3), (16, 2), (34, 2), (16, 3)])
def test_a_logit_of_the_coarsest_scale_sees_the_stated_field(field: int, scales: int) -> None:
    options = {"width": 2, "receptive_field": field, "scales": scales, "norm": "none"}
    network = build_discriminator("multiscale", 1, options).double()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.abs_()
    side = 2 * network.receptive_field + 2 * network.smallest_input
    x = torch.rand(1, 1, side, side, dtype=torch.float64, requires_grad=True)
    logits = network(x).logits[-1]
    middle = logits.shape[-1] // 2
    logits[0, 0, middle, middle].backward()
    assert x.grad is not None
    assert int((x.grad[0, 0] != 0).any(1).sum()) == network.receptive_field


@pytest.mark.parametrize("zero_pad", [False, True])
@pytest.mark.parametrize("norm", ["batch", "instance", "none"])
@pytest.mark.parametrize("field", [1, 16, 70])
def test_the_smallest_input_is_the_smallest(field: int, norm: str, zero_pad: bool) -> None:
    network = build_discriminator("multiscale", 2, {"width": 2, "receptive_field": field, "norm": norm, "zero_pad": zero_pad})
    least = network.smallest_input
    assert all(logits.numel() >= 1 for logits in network(torch.rand(1, 2, least, least)).logits)
    if not zero_pad:
        with pytest.raises((RuntimeError, ValueError)):
            network(torch.rand(1, 2, least - 1, least - 1))


def test_no_scales_are_refused() -> None:
    with pytest.raises(UserError, match="scales is 0"):
        build_discriminator("multiscale", 3, {"scales": 0})
