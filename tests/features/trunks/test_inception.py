"""The Inception of FID under the published names and shapes, against the same layers written down one after the other."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from tests.features.networks import published_state
from transfigure.errors import UserError
from transfigure.features.trunks.inception import SIZE, Inception


def reference(state: dict[str, Tensor], x: Tensor) -> Tensor:
    """The network in float64, layer by layer as torchvision names them, with the three peculiarities of the TensorFlow graph."""

    def conv(name: str, x: Tensor, stride: int = 1, padding: tuple[int, int] | int = 0) -> Tensor:
        x = F.conv2d(x, state[f"{name}.conv.weight"].double(), stride=stride, padding=padding)
        mean, variance, gain, shift = (state[f"{name}.bn.{part}"].double() for part in ("running_mean", "running_var", "weight", "bias"))
        return F.relu(F.batch_norm(x, mean, variance, gain, shift, training=False, eps=0.001))

    def average(x: Tensor) -> Tensor:
        return F.avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False)

    def block_a(n: str, x: Tensor) -> Tensor:
        five = conv(f"{n}.branch5x5_2", conv(f"{n}.branch5x5_1", x), padding=2)
        double = conv(f"{n}.branch3x3dbl_2", conv(f"{n}.branch3x3dbl_1", x), padding=1)
        double = conv(f"{n}.branch3x3dbl_3", double, padding=1)
        return torch.cat([conv(f"{n}.branch1x1", x), five, double, conv(f"{n}.branch_pool", average(x))], 1)

    def block_c(n: str, x: Tensor) -> Tensor:
        seven = conv(f"{n}.branch7x7_2", conv(f"{n}.branch7x7_1", x), padding=(0, 3))
        seven = conv(f"{n}.branch7x7_3", seven, padding=(3, 0))
        double = conv(f"{n}.branch7x7dbl_2", conv(f"{n}.branch7x7dbl_1", x), padding=(3, 0))
        double = conv(f"{n}.branch7x7dbl_3", double, padding=(0, 3))
        double = conv(f"{n}.branch7x7dbl_4", double, padding=(3, 0))
        double = conv(f"{n}.branch7x7dbl_5", double, padding=(0, 3))
        return torch.cat([conv(f"{n}.branch1x1", x), seven, double, conv(f"{n}.branch_pool", average(x))], 1)

    def block_e(n: str, x: Tensor, pooled: Tensor) -> Tensor:
        three = conv(f"{n}.branch3x3_1", x)
        threes = [conv(f"{n}.branch3x3_2a", three, padding=(0, 1)), conv(f"{n}.branch3x3_2b", three, padding=(1, 0))]
        double = conv(f"{n}.branch3x3dbl_2", conv(f"{n}.branch3x3dbl_1", x), padding=1)
        doubles = [conv(f"{n}.branch3x3dbl_3a", double, padding=(0, 1)), conv(f"{n}.branch3x3dbl_3b", double, padding=(1, 0))]
        return torch.cat([conv(f"{n}.branch1x1", x), *threes, *doubles, conv(f"{n}.branch_pool", pooled)], 1)

    x = (x.double() - 128) / 128
    x = conv("Conv2d_1a_3x3", x, stride=2)
    x = conv("Conv2d_2b_3x3", conv("Conv2d_2a_3x3", x), padding=1)
    x = conv("Conv2d_4a_3x3", conv("Conv2d_3b_1x1", F.max_pool2d(x, 3, 2)))
    x = F.max_pool2d(x, 3, 2)
    assert x.shape[1:] == (192, 35, 35)
    for name in ("Mixed_5b", "Mixed_5c", "Mixed_5d"):
        x = block_a(name, x)
    double = conv("Mixed_6a.branch3x3dbl_2", conv("Mixed_6a.branch3x3dbl_1", x), padding=1)
    double = conv("Mixed_6a.branch3x3dbl_3", double, stride=2)
    x = torch.cat([conv("Mixed_6a.branch3x3", x, stride=2), double, F.max_pool2d(x, 3, 2)], 1)
    assert x.shape[1:] == (768, 17, 17)
    for name in ("Mixed_6b", "Mixed_6c", "Mixed_6d", "Mixed_6e"):
        x = block_c(name, x)
    three = conv("Mixed_7a.branch3x3_2", conv("Mixed_7a.branch3x3_1", x), stride=2)
    seven = conv("Mixed_7a.branch7x7x3_2", conv("Mixed_7a.branch7x7x3_1", x), padding=(0, 3))
    seven = conv("Mixed_7a.branch7x7x3_3", seven, padding=(3, 0))
    x = torch.cat([three, conv("Mixed_7a.branch7x7x3_4", seven, stride=2), F.max_pool2d(x, 3, 2)], 1)
    x = block_e("Mixed_7b", x, average(x))
    x = block_e("Mixed_7c", x, F.max_pool2d(x, 3, stride=1, padding=1))
    assert x.shape[1:] == (2048, 8, 8)
    return x.mean((2, 3))


@pytest.fixture(scope="module")
def state() -> dict[str, Tensor]:
    return published_state()


def bare(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor for name, tensor in state.items() if not name.startswith("fc.") and not name.endswith("num_batches_tracked")}


def test_features_are_those_of_the_layers_one_after_the_other(state: dict[str, Tensor]) -> None:
    assert len(state) == 566  # as the published file
    images = torch.rand(2, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0)) * 255
    expected = reference(state, images[:1])
    assert 0.1 < expected.std() < 100 and (expected > 0).float().mean() > 0.3  # the comparison says something
    network = Inception(state)
    features = network(images)
    assert features.dtype == torch.float32 and features.shape == (2, 2048) and not features.requires_grad
    torch.testing.assert_close(features[:1].double(), expected, rtol=1e-4, atol=1e-4 * expected.mean().item())
    assert not torch.allclose(features[0], features[1], rtol=1e-3)


def test_the_classifier_and_the_counters_may_be_absent(state: dict[str, Tensor]) -> None:
    images = torch.rand(1, 3, SIZE, SIZE) * 255
    assert torch.equal(Inception(bare(state))(images), Inception(state)(images))


def test_the_network_is_frozen_and_leaves_the_state_alone(state: dict[str, Tensor]) -> None:
    kept = {name: tensor.clone() for name, tensor in state.items()}
    network = Inception(state)
    assert not network.training and not any(parameter.requires_grad for parameter in network.parameters())
    assert all(torch.equal(state[name], tensor) for name, tensor in kept.items())
    images = torch.full((1, 3, SIZE, SIZE), 200.0)
    network(images)
    assert (images == 200).all()


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"Mixed_6c.branch7x7_2.bn.running_var": None}, r"Mixed_6c\.branch7x7_2\.bn\.running_var is missing"),
        ({"AuxLogits.conv0.conv.weight": torch.zeros(1)}, r"AuxLogits\.conv0\.conv\.weight is not part of it"),
        ({"fc.weight": torch.zeros(1000, 2048)}, r"fc\.weight is \[1000, 2048\] and should be \[1008, 2048\]"),
        ({"Mixed_7c.branch_pool.conv.weight": torch.zeros(192, 2048, 3, 3)}, r"Mixed_7c\.branch_pool\.conv\.weight is \[192, 2048, 3, 3\]"),
        ({"Conv2d_1a_3x3.bn.bias": torch.zeros(1)}, r"Conv2d_1a_3x3\.bn\.bias is \[1\] and should be \[32\]"),
    ],
)
def test_another_file_is_refused_by_its_first_fault(state: dict[str, Tensor], change: dict[str, Tensor | None], fault: str) -> None:
    changed = {name: tensor for name, tensor in {**state, **change}.items() if tensor is not None}
    with pytest.raises(UserError, match=rf"^here\.pth does not hold the Inception of 2015-12-05: {fault}.*; give the published pt_inc"):
        Inception(changed, origin="here.pth")


def test_an_empty_state_is_missing_its_first_layer() -> None:
    with pytest.raises(UserError, match=r"Conv2d_1a_3x3\.conv\.weight is missing"):
        Inception({})
