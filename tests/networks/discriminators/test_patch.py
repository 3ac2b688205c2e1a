from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from transfigure.errors import UserError
from transfigure.networks.blocks import DOWNSAMPLINGS
from transfigure.networks.build import build_discriminator
from transfigure.networks.discriminators.patch import PatchDiscriminator

FIELDS = (1, 16, 34, 70, 142, 286)


@pytest.mark.parametrize(("field", "parameters"), [(1, 9_024), (16, 139_585), (70, 2_768_705), (286, 11_159_361)])
def test_parameter_counts_are_the_published_ones(field: int, parameters: int) -> None:
    with torch.device("meta"):
        network = PatchDiscriminator(6, receptive_field=field)  # type: ignore[arg-type]
    assert sum(parameter.numel() for parameter in network.parameters()) == parameters


@pytest.mark.parametrize(("field", "side"), [(1, 256), (16, 126), (70, 30), (286, 6)])
def test_the_map_of_a_256_image_is_the_published_one(field: int, side: int) -> None:
    network = build_discriminator("patch", 6, {"width": 1, "receptive_field": field})
    assert network(torch.rand(1, 6, 256, 256)).logits[0].shape == (1, 1, side, side)


@pytest.mark.parametrize(
    ("name", "downsampling", "field"),
    [*((field, "strided", field) for field in FIELDS), *zip(FIELDS, ["blur"] * 6, (1, 18, 40, 84, 172, 348), strict=True)],
)
def test_one_logit_sees_exactly_its_receptive_field(name: int, downsampling: str, field: int) -> None:
    network = build_discriminator("patch", 3, {"width": 4, "receptive_field": name, "downsampling": downsampling}).double().eval()
    assert network.receptive_field == field
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.abs_()  # nothing can cancel: a pixel that reaches the logit leaves a gradient
    side = field + 2 * network.smallest_input
    x = torch.rand(1, 3, side, side, dtype=torch.float64, requires_grad=True)
    (logits,) = network(x).logits
    middle = logits.shape[-1] // 2
    logits[0, 0, middle, middle].backward()
    assert x.grad is not None
    seen = (x.grad[0] != 0).any(0)
    rows, columns = seen.any(1).nonzero(), seen.any(0).nonzero()
    assert rows.numel() == columns.numel() == field
    assert seen.sum() == field**2
    assert rows[0] > 0, "the field must lie inside the image for this to measure it"
    assert rows[-1] < side - 1


@settings(max_examples=30)
@given(
    field=st.sampled_from(FIELDS),
    more=st.tuples(st.integers(0, 40), st.integers(0, 40)),
    norm=st.sampled_from(["batch", "instance", "none"]),
    downsampling=st.sampled_from(DOWNSAMPLINGS),
)
def test_any_size_from_the_smallest_gives_a_map(field: int, more: tuple[int, int], norm: str, downsampling: str) -> None:
    network = build_discriminator("patch", 2, {"width": 1, "receptive_field": field, "norm": norm, "downsampling": downsampling})
    height, width = (network.smallest_input + extra for extra in more)
    expected = (height, width) if field == 1 else tuple(side // 2 ** FIELDS.index(field) - 2 for side in (height, width))
    assert network(torch.rand(1, 2, height, width)).logits[0].shape == (1, 1, *expected)


@pytest.mark.parametrize("norm", ["batch", "instance", "none"])
@pytest.mark.parametrize("field", FIELDS)
def test_nothing_is_normalised_on_the_way_in_and_out(field: int, norm: str) -> None:
    network = build_discriminator("patch", 2, {"width": 2, "receptive_field": field, "norm": norm})
    normed = [hasattr(layer, "norm") for layer in network.layers]
    assert normed == [False] + [norm != "none"] * (len(normed) - 1)


def test_an_unknown_field_names_the_known_ones() -> None:
    with pytest.raises(UserError, match=r"receptive_field is 71.*70, 142"):
        build_discriminator("patch", 3, {"receptive_field": 71})


def test_a_field_larger_than_the_image_is_padded_with_zeros() -> None:
    torch.manual_seed(0)
    padded, plain = (PatchDiscriminator(3, width=2, receptive_field=286, zero_pad=pad, norm="none") for pad in (True, False))
    padded.load_state_dict(plain.state_dict())
    image = torch.randn(2, 3, 64, 70)
    assert (padded.smallest_input, plain.smallest_input) == (1, 96)
    framed = torch.zeros(2, 3, 96, 96)
    framed[:, :, 16:80, 13:83] = image
    assert torch.equal(padded(image).logits[0], plain(framed).logits[0])
    assert padded(image).logits[0].shape == (2, 1, 1, 1)
    large = torch.randn(1, 3, 128, 128)
    assert torch.equal(padded(large).logits[0], plain(large).logits[0]), "an image that is large enough is left alone"


@pytest.mark.parametrize("name", ["patch", "multiscale", "projection"])
def test_without_a_norm_an_equalized_one_still_tells_two_images_apart(name: str) -> None:
    """From its start: the others' layers shrink what passes them by four each."""
    x = torch.rand(2, 6, 64, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1
    spread = {}
    for equalized in (False, True):
        torch.manual_seed(0)
        options = {"width": 16, "receptive_field": 34, "norm": "none", "equalized": equalized}
        spread[equalized] = build_discriminator(name, 6, options, source_channels=3)(x).logits[0].std().item()
    assert spread[False] < 0.01 and spread[True] > 0.1


def test_weights_are_scaled_in_one_way() -> None:
    with pytest.raises(UserError, match="by spectral or by equalized: choose one"):
        build_discriminator("patch", 3, {"spectral": True, "equalized": True})
