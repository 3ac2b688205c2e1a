"""Which input a region depends on: generators whose dependence is known by construction."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from tests.tiny import tiny_translator
from transfigure.networks.model_file import Inference
from transfigure.studies.preservation.attribution import input_gradients, locality, occlusion

SOURCE = torch.rand(3, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1
LEFT, CORNER = torch.zeros(16, 16), torch.zeros(16, 16)
LEFT[:, :8] = 1
CORNER[:4, :4] = 1


class LeftHalf(nn.Module):
    """Draws the left half of its input twice, with weights that could be trained."""

    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.tensor(0.5))

    def forward(self, x: Tensor) -> Tensor:
        left = x[..., : x.shape[-1] // 2]
        return self.gain * torch.cat([left, left], -1)


class Blot(nn.Module):
    """Batch norm and dropout, which a translator runs on the image at hand and with its own seed."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.Dropout(0.5), nn.Conv2d(4, 3, 3, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        output: Tensor = self.layers(x)
        return output


def test_the_identity_depends_on_itself_alone() -> None:
    regions = torch.stack([LEFT, CORNER])
    maps = input_gradients(lambda x: x, SOURCE, regions)
    torch.testing.assert_close(maps, regions / regions.sum((1, 2), keepdim=True))
    found = locality(maps, regions)
    assert found.share.tolist() == pytest.approx([1, 1]) and found.uniform.tolist() == [0.5, 1 / 16]


def test_a_generator_that_reads_only_its_left_half() -> None:
    maps = input_gradients(LeftHalf(), SOURCE, torch.stack([LEFT, 1 - LEFT]))
    assert maps[:, :, 8:].eq(0).all() and maps.sum((1, 2)).tolist() == pytest.approx([1, 1])
    assert locality(maps, torch.stack([LEFT, 1 - LEFT])).share.tolist() == pytest.approx([1, 0])
    found = occlusion(LeftHalf(), SOURCE, 4)
    assert found.change.shape == (4, 4, 16, 16) and found.locality.share.shape == (4, 4)
    assert found.change[:, 2:].eq(0).all() and found.locality.share[:, 2:].isnan().all()
    torch.testing.assert_close(found.change[..., :8], found.change[..., 8:])
    torch.testing.assert_close(found.locality.share[:, 0], torch.full((4,), 0.5, dtype=torch.float64))  # its copy lies far away


def test_one_sum_for_all_depends_on_everything() -> None:
    whole = input_gradients(lambda x: x.mean((2, 3), keepdim=True).expand_as(x), SOURCE, CORNER[None])
    torch.testing.assert_close(whole, torch.full((1, 16, 16), 1 / 256))
    found = locality(whole, CORNER[None], margin=2)
    assert found.share.item() == pytest.approx(found.uniform.item()) == pytest.approx(36 / 256)


def test_nothing_depends_on_an_input_that_is_not_read() -> None:
    class Deaf(LeftHalf):
        def forward(self, x: Tensor) -> Tensor:
            return self.gain * torch.ones_like(x)

    maps = input_gradients(Deaf(), SOURCE, LEFT[None])
    assert maps.eq(0).all() and locality(maps, LEFT[None]).share.isnan().all()
    assert occlusion(Deaf(), SOURCE, 8).change.eq(0).all()


def test_occlusion_of_the_identity_stays_in_its_place() -> None:
    found = occlusion(lambda x: x, SOURCE, 4, margin=0)
    assert found.locality.share.tolist() == [[1.0] * 4] * 4
    assert found.locality.uniform.eq(1 / 16).all()
    assert found.corners[1, 2].tolist() == [4, 8]
    wanted = (SOURCE[:, 4:8, 8:12] - SOURCE.mean((1, 2))[:, None, None]).abs().mean(0)
    torch.testing.assert_close(found.change[1, 2, 4:8, 8:12], wanted)


def test_patches_reach_the_border_and_may_overlap() -> None:
    corners = occlusion(lambda x: x, SOURCE, 6, stride=4).corners
    assert corners[:, 0, 0].tolist() == [0, 4, 8, 10] and corners[0, :, 1].tolist() == [0, 4, 8, 10]


def test_a_patch_of_the_mean_colour_changes_nothing() -> None:
    assert occlusion(lambda x: x, torch.full((1, 8, 8), 0.25), 4).locality.share.isnan().all()


def test_a_network_runs_as_in_a_translator_and_is_left_as_it_was() -> None:
    torch.manual_seed(0)
    network = Blot()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    random = torch.get_rng_state()
    first = input_gradients(network, SOURCE, LEFT[None])
    assert torch.get_rng_state().equal(random) and network.training
    assert all(value.equal(before[name]) for name, value in network.state_dict().items())
    assert all(weight.grad is None for weight in network.parameters())
    network.eval()
    assert input_gradients(network, SOURCE, LEFT[None]).equal(first)  # train and eval play no part
    assert not input_gradients(network, SOURCE, LEFT[None], Inference(seed=1)).equal(first)
    quiet = Inference(norm="running", noise="none")
    near = locality(input_gradients(network, SOURCE, LEFT[None], quiet), LEFT[None], margin=2)
    assert near.share.item() == pytest.approx(1)  # without the image's statistics, two convolutions reach two pixels
    assert locality(first, LEFT[None], margin=2).share.item() < 0.9999


def test_noise_is_the_same_before_and_after_a_patch() -> None:
    torch.manual_seed(0)
    found = occlusion(Blot(), SOURCE, 4, how=Inference(norm="running"))
    away = found.change[0, 0]
    assert away[:6, :6].amax() > 0 and away[6:].eq(0).all() and away[:, 6:].eq(0).all()


def test_gradients_agree_with_differences() -> None:
    translator = tiny_translator()
    picture = torch.rand(3, 20, 24, generator=torch.Generator().manual_seed(1)) - 0.5  # no multiple of 16: padded, and cropped
    region = torch.zeros(1, 20, 24)
    region[0, 5:9, 5:9] = 1
    found = input_gradients(translator.generator, picture, region, translator.inference)
    assert found.shape == (1, 20, 24) and found.isfinite().all() and found.sum().item() == pytest.approx(1)
    with torch.inference_mode():
        assert input_gradients(translator.generator, picture.clone(), region, translator.inference).equal(found)
    moved = []
    for place in ((7, 7), (15, 20)):
        step = torch.zeros_like(picture)
        step[:, place[0], place[1]] = 1e-2
        both = translator.translate_tensor(torch.stack([picture + step, picture - step]))
        moved.append(((both[0] - both[1]) * region[0]).sum().abs().item())
    assert (found[0, 7, 7] > found[0, 15, 20]) == (moved[0] > moved[1])


@pytest.mark.parametrize(
    "call",
    [
        lambda: input_gradients(lambda x: x, SOURCE, LEFT),
        lambda: input_gradients(lambda x: x, SOURCE, LEFT[None, :8]),
        lambda: input_gradients(lambda x: x, SOURCE[0], LEFT[None]),
        lambda: input_gradients(lambda x: x, torch.stack([SOURCE, SOURCE]), LEFT[None]),
        lambda: input_gradients(lambda x: x.detach(), SOURCE, LEFT[None]),
        lambda: input_gradients(lambda x: x[..., :8], SOURCE, LEFT[None]),
        lambda: occlusion(lambda x: x, SOURCE, 17),
        lambda: occlusion(lambda x: x, SOURCE, 0),
        lambda: occlusion(lambda x: x, SOURCE, 4, stride=0),
        lambda: occlusion(lambda x: x, SOURCE, 4, margin=-1),
        lambda: locality(LEFT, LEFT),
        lambda: locality(LEFT[None], LEFT[None, :8]),
        lambda: locality(LEFT[None], LEFT[None], margin=-1),
    ],
)
def test_what_does_not_fit_is_refused(call: Callable[[], object]) -> None:
    with pytest.raises(ValueError):
        call()
