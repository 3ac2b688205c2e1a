"""What is preserved: outputs whose worth is known, from the identity to a collapse."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from tests.studies.preservation.tiny_pictures import boxes
from transfigure.studies.preservation import preserved, representations
from transfigure.studies.preservation.preserved import edge_agreement, low_pass_correlation, low_pass_ssim, retrieval_at_1, seed_agreement

SOURCES = boxes(24, 0)
STRIPED = boxes(24, 0, striped=True)
OTHERS = boxes(24, 1, striped=True)
FLAT = torch.full_like(SOURCES, 0.3)
AGREEMENTS = [edge_agreement, low_pass_ssim, low_pass_correlation]
Agreement = Callable[[Tensor, Tensor], Tensor]


@pytest.mark.parametrize("agreement", AGREEMENTS)
def test_the_identity_is_whole(agreement: Agreement) -> None:
    assert agreement(SOURCES, SOURCES).allclose(torch.ones(24, dtype=torch.float64))


@pytest.mark.parametrize("agreement", [edge_agreement, low_pass_correlation])
def test_brightness_contrast_and_inversion_change_nothing_of_where_things_are(agreement: Agreement) -> None:
    assert agreement(SOURCES, -SOURCES).min() > 1 - 1e-9
    assert agreement(SOURCES, 0.5 * SOURCES + 0.4).min() > 0.95


def test_ssim_minds_an_inversion() -> None:
    assert low_pass_ssim(SOURCES, -SOURCES).mean() < 0.1
    assert low_pass_ssim(SOURCES, 0.8 * SOURCES).mean() > 0.8


@pytest.mark.parametrize("agreement", [edge_agreement, low_pass_correlation])
def test_a_flat_output_preserves_exactly_nothing(agreement: Agreement) -> None:
    assert agreement(SOURCES, FLAT).eq(0).all()
    assert agreement(FLAT, FLAT).eq(0).all()


@pytest.mark.parametrize("agreement", AGREEMENTS)
def test_the_same_boxes_in_another_style_have_more_in_common_than_other_boxes(agreement: Agreement) -> None:
    truth, chance = agreement(SOURCES, SOURCES.roll(1, 1)), agreement(SOURCES, OTHERS)
    assert truth.mean() > chance.mean() + 0.2


def test_outlines_are_found_under_stripes_and_lost_by_a_shift() -> None:
    right, wrong, moved = (edge_agreement(SOURCES, images).mean() for images in (STRIPED, OTHERS, STRIPED.roll((6, 6), (2, 3))))
    assert right > wrong + 0.2 and right > moved + 0.2
    assert edge_agreement(SOURCES, SOURCES.roll((6, 6), (2, 3))).mean() < 0.5


@pytest.mark.parametrize("agreement", AGREEMENTS)
def test_grey_outputs_are_compared_by_luminance(agreement: Agreement) -> None:
    grey = representations.luminance(SOURCES).float()
    assert agreement(SOURCES, grey).min() > 0.9999
    assert agreement(SOURCES, grey.expand(-1, 5, -1, -1)).min() > 0.9999


def test_a_scale_that_suits_the_size() -> None:
    large = torch.nn.functional.interpolate(boxes(4, 0), scale_factor=8.0, mode="nearest")
    assert representations.outlines(large).shape == (4, 1, 64, 64)
    wide = torch.nn.functional.interpolate(boxes(4, 0), size=(96, 192), mode="nearest")
    assert representations.outlines(wide).shape == (4, 1, 64, 128)
    assert edge_agreement(large, large + 0.2 * torch.randn(large.shape, generator=torch.Generator().manual_seed(0))).min() > 0.7


def test_an_image_has_the_same_outlines_wherever_it_stands() -> None:
    many = boxes(300, 3)
    assert representations.outlines(many)[[5, 290]].equal(representations.outlines(many[[5, 290]]))


@pytest.mark.parametrize("space", ["pixels", "structure"])
def test_the_identity_finds_every_source_and_a_permutation_none(space: representations.Space) -> None:
    assert retrieval_at_1(SOURCES, SOURCES, space=space).eq(1).all()
    assert retrieval_at_1(SOURCES.roll(1, 0), SOURCES, space=space).eq(0).all()
    order = torch.randperm(24, generator=torch.Generator().manual_seed(0))
    assert retrieval_at_1(SOURCES[order], SOURCES, order, space).eq(1).all()
    assert retrieval_at_1(SOURCES[order], SOURCES, order.tolist(), space).eq(1).all()


@pytest.mark.parametrize("space", ["pixels", "structure"])
def test_one_picture_for_all_finds_one_in_n(space: representations.Space) -> None:
    assert retrieval_at_1(OTHERS[:1].expand_as(SOURCES), SOURCES, space=space).mean() == pytest.approx(1 / 24)
    assert retrieval_at_1(FLAT, SOURCES, space=space).mean() == pytest.approx(1 / 24)


@pytest.mark.parametrize("space", ["pixels", "structure"])
def test_sources_that_are_the_same_share_the_place(space: representations.Space) -> None:
    twins = torch.cat([SOURCES[:3], SOURCES[:2]])
    assert retrieval_at_1(twins, twins, space=space).tolist() == [0.5, 0.5, 1, 0.5, 0.5]


def test_near_copies_are_distinguished() -> None:
    """One step of 8 bits in one value of 3,072: less than float32 can see."""
    twins = SOURCES[:1].repeat(3, 1, 1, 1)
    twins[1, 0, 5, 5] += 1 / 127.5
    assert retrieval_at_1(twins, twins).tolist() == [0.5, 1, 0.5]


def test_retrieval_across_domains_is_by_outlines() -> None:
    assert retrieval_at_1(STRIPED, SOURCES, space="structure").mean() > 0.7
    assert retrieval_at_1(OTHERS, SOURCES, space="structure").mean() < 0.2


def test_retrieval_by_brute_force(monkeypatch: pytest.MonkeyPatch) -> None:
    """In pieces as at once, and as a plain loop has it."""
    noisy = SOURCES + 0.4 * torch.randn(SOURCES.shape, generator=torch.Generator().manual_seed(1))
    nearest = [(SOURCES - image).square().sum((1, 2, 3)).argmin().item() for image in noisy]
    wanted = [float(index == at) for at, index in enumerate(nearest)]
    assert retrieval_at_1(noisy, SOURCES).tolist() == wanted
    for module in (preserved, representations):
        monkeypatch.setattr(module, "ROWS", 7)
    assert retrieval_at_1(noisy, SOURCES).tolist() == wanted


@pytest.mark.parametrize("space", ["pixels", "structure"])
def test_two_trainings_that_agree_and_two_that_do_not(space: representations.Space) -> None:
    assert seed_agreement(STRIPED, STRIPED, space).sub(1).abs().max() < 1e-12
    assert abs(seed_agreement(STRIPED, OTHERS, space).mean()) < 0.15
    assert seed_agreement(STRIPED, STRIPED.roll(1, 0), space).mean() < 0.1
    between = (STRIPED + 0.1 * torch.randn(STRIPED.shape, generator=torch.Generator().manual_seed(0))).clamp(-1, 1)
    assert 0.3 < seed_agreement(STRIPED, between, space).mean() < 1


def test_agreement_by_brute_force() -> None:
    x, y = STRIPED[:5].double().flatten(1), OTHERS[:5].double().flatten(1)
    apart = (x[:, None] - y[None]).square().sum(2)
    other = (apart.sum() - apart.trace()) / 20
    torch.testing.assert_close(seed_agreement(STRIPED[:5], OTHERS[:5]), 1 - apart.diagonal() / other)


@pytest.mark.parametrize("space", ["pixels", "structure"])
def test_a_collapse_agrees_trivially_and_so_has_no_value(space: representations.Space) -> None:
    one = STRIPED[:1].expand_as(STRIPED)
    assert seed_agreement(one, one, space).isnan().all()
    assert seed_agreement(one, one + 1e-6, space).isnan().all()
    assert seed_agreement(one, OTHERS[:1].expand_as(STRIPED), space).abs().max() < 1e-9


@pytest.mark.parametrize(
    "call",
    [
        lambda: edge_agreement(SOURCES, SOURCES[:3]),
        lambda: low_pass_ssim(SOURCES, SOURCES[..., :8]),
        lambda: low_pass_correlation(SOURCES[0], SOURCES[0]),
        lambda: edge_agreement(SOURCES, SOURCES.to(torch.uint8)),
        lambda: edge_agreement(SOURCES[:0], SOURCES[:0]),
        lambda: retrieval_at_1(SOURCES, SOURCES[:3]),
        lambda: retrieval_at_1(SOURCES, SOURCES[..., :8]),
        lambda: retrieval_at_1(SOURCES[:2], SOURCES, [0]),
        lambda: retrieval_at_1(SOURCES[:2], SOURCES, [0, -1]),
        lambda: retrieval_at_1(SOURCES[:2], SOURCES, torch.tensor([0.0, 1.0])),
        lambda: retrieval_at_1(SOURCES, SOURCES, space="colour"),  # type: ignore[arg-type]
        lambda: seed_agreement(SOURCES, SOURCES[:, :1]),
        lambda: seed_agreement(SOURCES[:1], SOURCES[:1]),
    ],
)
def test_what_does_not_fit_is_refused(call: Callable[[], Tensor]) -> None:
    with pytest.raises(ValueError):
        call()
