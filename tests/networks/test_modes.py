from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from transfigure.networks.build import build_generator
from transfigure.networks.modes import inference
from transfigure.networks.noise import draw_all


def network(**options: Any) -> nn.Module:
    torch.manual_seed(0)
    return build_generator("unet", 1, 1, {"width": 4, "depth": 3, **options})


def image(n: int = 1, seed: int = 0) -> Tensor:
    return torch.rand(n, 1, 16, 16, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def everything(module: nn.Module) -> dict[str, Any]:
    state: dict[str, Any] = {f"{name}.training": child.training for name, child in module.named_modules()}
    state |= {f"{name}.track": child.track_running_stats for name, child in module.named_modules() if isinstance(child, nn.BatchNorm2d)}
    return state | {key: value.clone() for key, value in module.state_dict().items()}


def assert_same(before: dict[str, Any], after: dict[str, Any]) -> None:
    assert before.keys() == after.keys()
    for key, value in before.items():
        assert torch.equal(value, after[key]) if isinstance(value, Tensor) else value == after[key], key


MODES = [(norm, noise, seed) for norm in ("batch", "running") for noise in ("dropout", "none") for seed in (None, 7)]


@pytest.mark.parametrize(("norm", "noise", "seed"), MODES)
@pytest.mark.parametrize("training", [True, False])
def test_everything_is_as_before(norm: Any, noise: Any, seed: int | None, training: bool) -> None:
    net = network().train(training)
    net.up[0].train(not training)  # a mixture is restored as a mixture
    before, buffers = everything(net), {name: buffer.data_ptr() for name, buffer in net.named_buffers()}
    with inference(net, norm, noise, seed):
        assert not net(image()).requires_grad
    assert_same(before, everything(net))
    assert buffers == {name: buffer.data_ptr() for name, buffer in net.named_buffers()}
    assert torch.is_grad_enabled()


def test_everything_is_as_before_after_an_exception() -> None:
    net = network().train()
    before, numbers = everything(net), torch.get_rng_state()
    with pytest.raises(ZeroDivisionError), inference(net, seed=1):
        net(image())
        raise ZeroDivisionError
    assert_same(before, everything(net))
    assert torch.equal(torch.get_rng_state(), numbers)
    assert torch.is_grad_enabled()


@pytest.mark.parametrize(("norm", "noise"), [("batch", "off"), ("eval", "none")])
def test_unknown_modes_touch_nothing(norm: Any, noise: Any) -> None:
    net = network()
    before = everything(net)
    with pytest.raises(ValueError, match="norm is 'batch' or 'running'"), inference(net, norm, noise):
        pass
    assert_same(before, everything(net))


def test_a_seed_repeats_the_noise_and_leaves_the_global_numbers() -> None:
    net = network()
    numbers = torch.get_rng_state()
    outputs = []
    for seed in (3, 3, 4):
        with inference(net, seed=seed):
            outputs.append(net(image()))
        torch.rand(5)  # what happens in between does not matter
        torch.set_rng_state(numbers)
    assert torch.equal(outputs[0], outputs[1])
    assert not torch.equal(outputs[0], outputs[2])
    with inference(net, seed=3):
        net(image())
    assert torch.equal(torch.get_rng_state(), numbers)


def test_without_a_seed_noise_comes_from_the_global_numbers() -> None:
    net = network()
    with inference(net):
        first, second = net(image()), net(image())
    assert not torch.equal(first, second)
    torch.manual_seed(11)
    with inference(net):
        third = net(image())
    torch.manual_seed(11)
    with inference(net):
        assert torch.equal(net(image()), third)


def test_no_noise_needs_no_seed() -> None:
    net = network().train()
    numbers = torch.get_rng_state()
    with inference(net, noise="none"):
        assert torch.equal(net(image()), net(image()))
    assert torch.equal(torch.get_rng_state(), numbers)


def test_batch_statistics_are_those_of_the_images_at_hand() -> None:
    """At batch size 1 they are what training saw; the running ones are not, and eval mode is exactly those."""
    net = network(dropout=0.0).train()
    for seed in range(3):
        net(image(2, seed) * 3 + 1)
    before = everything(net)
    with inference(net, norm="batch", noise="none"):
        batch = net(image())
    with inference(net, norm="running", noise="none"):
        running = net(image())
    assert_same(before, everything(net))
    assert torch.equal(running, net.eval()(image()))
    assert not torch.allclose(batch, running, atol=1e-4)
    assert torch.equal(batch, net.train()(image()))


def test_batch_statistics_at_batch_one_are_instance_norm() -> None:
    batch, instance = nn.BatchNorm2d(3), nn.InstanceNorm2d(3)
    x = torch.rand(1, 3, 5, 5)
    with inference(batch, norm="batch"):
        assert torch.allclose(batch(x), instance(x), atol=1e-6)


@pytest.mark.parametrize("layer", [nn.BatchNorm2d, nn.SyncBatchNorm, lambda n: nn.InstanceNorm2d(n, affine=True, track_running_stats=True)])
def test_every_kind_of_norm_layer_knows_both_modes(layer: Any) -> None:
    norm = layer(3).train()
    x = torch.rand(2, 3, 4, 4) * 5 + 2
    with inference(norm, norm="batch"):
        assert norm(x).mean().abs() < 1e-5
    with inference(norm, norm="running"):
        assert torch.allclose(norm(x), x, atol=1e-3), "it has seen nothing yet: mean 0, variance 1"
    assert norm.running_mean.abs().max() == 0
    assert norm.num_batches_tracked == 0


def test_a_network_that_keeps_no_statistics_is_the_same_in_both_modes() -> None:
    net = network(norm="instance", dropout=0.0)
    with inference(net, norm="batch"):
        batch = net(image())
    with inference(net, norm="running"):
        assert torch.equal(net(image()), batch)


@pytest.mark.parametrize("norm", ["batch", "running"])
def test_a_batch_norm_that_keeps_no_statistics_takes_those_of_each_image(norm: Any) -> None:
    """It took those of the whole batch, so an image depended on its neighbours, and an exported file was another network."""
    layer = nn.BatchNorm2d(3, track_running_stats=False)
    x = torch.rand(2, 3, 5, 5) * torch.tensor([1.0, 9.0])[:, None, None, None]
    alone = torch.cat([layer.train()(one[None]) for one in x])
    with inference(layer, norm=norm):
        assert torch.allclose(layer(x), alone, atol=1e-6)


def test_threads_take_turns() -> None:
    net = network().train()
    with inference(net, seed=5):
        expected = net(image())
    before, wrong = everything(net), []

    def work() -> None:
        for _ in range(10):
            with inference(net, seed=5):
                if not torch.equal(net(image()), expected):
                    wrong.append(1)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert_same(before, everything(net))


@pytest.mark.parametrize("norm", ["batch", "running"])
def test_an_image_of_a_batch_is_translated_as_if_it_were_alone(norm: Any) -> None:
    """Among others of quite another content, and with the noise of the seed."""
    net, batch = network(), torch.cat([image(seed=1), image(seed=2) * 0.1 + 0.8, torch.zeros(1, 1, 16, 16)])
    with inference(net, norm, seed=5):
        alone = []
        for one in batch:
            with inference(net, norm, seed=5):
                alone.append(net(one[None]))
    with inference(net, norm, seed=5):
        assert torch.allclose(net(batch), torch.cat(alone), atol=1e-6)


def test_the_noise_is_a_function_of_the_seed_alone() -> None:
    """What each layer gets is what numpy draws from the seed, in the order of the layers: engines without torch draw the same."""
    net = network(noise=True)
    with inference(net, seed=9) as stream:
        expected = net(image())
    maps = [torch.from_numpy(one) for one in draw_all(stream.maps, 9)]
    assert {one.kind for one in stream.maps} == {"dropout", "normal"}
    with inference(net, given=maps):
        assert torch.equal(net(image()), expected)
    with inference(net, given=[torch.from_numpy(one.neutral()) for one in stream.maps]):
        neutral = net(image())
    with inference(net, noise="none"):
        assert torch.allclose(net(image()), neutral, atol=1e-6)


@pytest.mark.parametrize("layer", [nn.Dropout(0.25), nn.Dropout2d(0.25), nn.Dropout(1.0)])
def test_dropout_keeps_what_it_says(layer: Any) -> None:
    x = torch.ones(1, 400, 10, 10)
    with inference(layer, seed=1):
        y = layer(x)
    kept = (y != 0).float().mean()
    assert abs(kept - (1 - layer.p)) < 0.07 and set(y.unique().tolist()) <= {0.0, float(np.float32(1 / 0.75))}
    assert isinstance(layer, nn.Dropout) or (y.flatten(2).std(2) == 0).all(), "whole channels"


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_seed_repeats_the_noise_on_a_gpu_and_leaves_its_numbers() -> None:
    net = network().cuda()
    numbers, cpu = torch.cuda.get_rng_state(), torch.get_rng_state()
    outputs = []
    for seed in (3, 3, 4):
        with inference(net, seed=seed):
            outputs.append(net(image().cuda()))
    assert torch.equal(outputs[0], outputs[1])
    assert not torch.equal(outputs[0], outputs[2])
    assert torch.equal(torch.cuda.get_rng_state(), numbers)
    assert torch.equal(torch.get_rng_state(), cpu)
