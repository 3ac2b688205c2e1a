"""What every registered generator and discriminator keeps, without being named here: a new one is tested unasked."""

from __future__ import annotations

import copy
import doctest
import io
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from transfigure import registry
from transfigure.errors import UserError
from transfigure.networks.base import Discriminator, DiscriminatorOutput, Generator
from transfigure.networks.build import build_discriminator, build_generator
from transfigure.networks.modes import inference

TINY = {"width": 4, "depth": 3, "blocks": 2}

generators = pytest.mark.parametrize("name", registry.names("generator"))
discriminators = pytest.mark.parametrize("name", registry.names("discriminator"))
networks = pytest.mark.parametrize(
    ("kind", "name"), [(kind, name) for kind in ("generator", "discriminator") for name in registry.names(kind)]
)


def tiny(kind: str, name: str, *channels: int, seed: int = 0, **more: Any) -> nn.Module:
    known = registry.entry(kind, name).options
    options = {key: value for key, value in (TINY | more).items() if key in known}
    torch.manual_seed(seed)
    if kind == "generator":
        return build_generator(name, *channels, options)
    return build_discriminator(name, *channels, options, source_channels=channels[0] // 2)  # for those that treat the source apart


def run(network: nn.Module, x: Tensor) -> Tensor:
    """A generator's images, or a discriminator's logits of all scales, image by image."""
    output = network(x)
    return torch.cat([logits.flatten(1) for logits in output.logits], 1) if isinstance(output, DiscriminatorOutput) else output


def images(network: Any, channels: int, n: int = 2, seed: int = 0) -> Tensor:
    """Small and not square: what a generator's multiple asks for, or a little more than a discriminator's least."""
    multiple = network.size_multiple if isinstance(network, Generator) else 1
    height = -(-network.smallest_input // multiple) * multiple
    width = height + multiple if multiple > 1 else height + 7
    return torch.rand(n, channels, height, width, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def built_and_fed(kind: str, name: str, **more: Any) -> tuple[nn.Module, Tensor]:
    network = tiny(kind, name, *((3, 3) if kind == "generator" else (3,)), **more)
    return network, images(network, 3)


@generators
@pytest.mark.parametrize(("source", "target"), [(3, 3), (1, 1), (5, 2)])
def test_a_generator_gives_an_image_of_the_same_size_in_range(name: str, source: int, target: int) -> None:
    generator: Any = tiny("generator", name, source, target)
    assert isinstance(generator, Generator)
    assert (generator.source_channels, generator.target_channels) == (source, target)
    x = images(generator, source)
    with torch.no_grad():
        for parameter in generator.parameters():
            parameter.mul_(50)  # so that the range is the architecture's doing and not that of small weights
        y = generator(x)
    assert y.shape == (2, target, *x.shape[2:])
    assert y.abs().max() <= 1
    assert y.std() > 0
    assert y.isfinite().all()


@generators
def test_a_generator_takes_a_square_of_its_multiple_and_refuses_other_sizes(name: str) -> None:
    generator: Any = tiny("generator", name, 3, 3).eval()
    side = max(generator.size_multiple, generator.smallest_input)
    assert side % generator.size_multiple == 0
    assert generator(torch.zeros(1, 3, side, side)).shape == (1, 3, side, side)
    if generator.size_multiple > 1:
        with pytest.raises(UserError, match=f"{side + 1} pixels wide and {side} high.*multiples of {generator.size_multiple}"):
            generator(torch.zeros(1, 3, side, side + 1))
    with pytest.raises(UserError, match=f"at least {generator.smallest_input}"):
        generator(torch.zeros(1, 3, 0, side))


@generators
def test_a_generator_uses_the_whole_image_it_is_given(name: str) -> None:
    generator = tiny("generator", name, 3, 3).double()
    x = images(generator, 3, n=1).double().requires_grad_()
    with torch.no_grad():
        before = x.clone()
    generator(x).square().sum().backward()
    assert torch.equal(before, x.detach()), "the input was changed in place"
    assert x.grad is not None
    assert (x.grad != 0).all()


@generators
def test_a_generator_gives_the_features_it_states_or_says_that_it_has_none(name: str) -> None:
    generator: Any = tiny("generator", name, 3, 2)
    x = images(generator, 3).requires_grad_()
    if not generator.feature_channels:
        with pytest.raises(UserError, match="gives no features"):
            generator.features(x)
        return
    maps = generator.features(x)
    assert tuple(map_.shape[1] for map_ in maps) == generator.feature_channels
    assert all(map_.ndim == 4 and len(map_) == len(x) and map_.isfinite().all() for map_ in maps)
    maps[-1].square().mean().backward()
    assert x.grad is not None and x.grad.abs().max() > 0


@discriminators
@pytest.mark.parametrize("channels", [1, 3, 7])
def test_a_discriminator_gives_maps_of_logits_and_features(name: str, channels: int) -> None:
    discriminator: Any = tiny("discriminator", name, channels)
    output = discriminator(images(discriminator, channels))
    assert isinstance(output, DiscriminatorOutput) and isinstance(discriminator, Discriminator)
    assert discriminator.channels == channels and isinstance(discriminator.receptive_field, int)
    for logits in output.logits:
        assert logits.ndim == 4 and logits.shape[:2] == (2, 1)
        assert logits.isfinite().all()
    assert len(output.features) == len(output.logits)
    for scale in output.features:
        assert scale and all(layer.ndim == 4 and len(layer) == 2 and layer.isfinite().all() for layer in scale)
    assert output.per_image().shape == (2,)
    with torch.no_grad():
        for parameter in discriminator.parameters():
            parameter.mul_(50)
        assert run(discriminator, images(discriminator, channels)).abs().max() > 1, "logits have no bounds: the sigmoid is the loss's"


@discriminators
def test_a_discriminator_takes_its_smallest_input_one_image_at_a_time_and_nothing_smaller(name: str) -> None:
    registered = registry.entry("discriminator", name).options
    fields = registered["receptive_field"].annotation.__args__ if "receptive_field" in registered else (None,)
    for field in fields:
        discriminator: Any = tiny("discriminator", name, 3, **({"receptive_field": field} if field else {}))
        least = discriminator.smallest_input
        assert run(discriminator, torch.rand(1, 3, least, least)).numel() >= 1
        with pytest.raises((RuntimeError, ValueError)):
            discriminator(torch.rand(1, 3, least - 1, least - 1))


@networks
def test_backward_reaches_every_parameter(kind: str, name: str) -> None:
    network, x = built_and_fed(kind, name)
    y = run(network, x)
    (y * torch.rand(y.shape, generator=torch.Generator().manual_seed(1))).sum().backward()
    for key, parameter in network.named_parameters():
        assert parameter.grad is not None, key
        assert parameter.grad.isfinite().all(), key
        # The bias of a convolution before instance norm has no effect; every kernel has.
        assert parameter.ndim == 1 or parameter.grad.abs().max() > 0, key


@networks
def test_a_seed_decides_the_weights_and_the_noise(kind: str, name: str) -> None:
    (one, x), (same, _), (other, _) = (built_and_fed(kind, name, seed=seed) for seed in (1, 1, 2))
    assert all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), same.state_dict().values(), strict=True))
    with inference(one, seed=3):
        first = run(one, x)
    with inference(same, seed=3):
        assert torch.equal(run(same, x), first)
    with inference(other, seed=3):
        assert not torch.equal(run(other, x), first)


@networks
def test_images_of_a_batch_do_not_mix_in_eval_mode(kind: str, name: str) -> None:
    network, x = built_and_fed(kind, name)
    network(x)
    network.double().eval()
    together = run(network, x.double())
    alone = torch.cat([run(network, image[None]) for image in x.double()])
    assert torch.allclose(together, alone, atol=1e-12)


@networks
def test_weights_survive_a_file(kind: str, name: str) -> None:
    network, x = built_and_fed(kind, name)
    network(x)  # so that running statistics are not the initial ones
    file = io.BytesIO()
    torch.save(network.state_dict(), file)
    file.seek(0)
    loaded, _ = built_and_fed(kind, name, seed=9)
    loaded.load_state_dict(torch.load(file, weights_only=True), strict=True)
    assert torch.equal(run(loaded.eval(), x), run(network.eval(), x))


@networks
@pytest.mark.parametrize("double", [copy.deepcopy, lambda network: pickle.loads(pickle.dumps(network))], ids=["deepcopy", "pickle"])
def test_a_copy_is_equal_and_independent(kind: str, name: str, double: Callable[[nn.Module], nn.Module]) -> None:
    network, x = built_and_fed(kind, name)
    network(x)
    copied = double(network).eval()
    before = run(network.eval(), x)
    assert torch.equal(run(copied, x), before)
    with torch.no_grad():
        for parameter in copied.parameters():
            parameter.zero_()
    assert torch.equal(run(network, x), before)


@generators
def test_one_output_pixel_depends_on_no_more_than_the_stated_field(name: str) -> None:
    generator: Any = tiny("generator", name, 1, 1, **({"norm": "none"} if "norm" in registry.entry("generator", name).options else {}))
    if generator.receptive_field is None:
        return
    generator = generator.double().eval()
    step = generator.size_multiple
    side = -(-(generator.receptive_field + 3 * step) // step) * step
    with torch.no_grad():
        for parameter in generator.parameters():
            parameter.abs_().add_(1e-3).div_(parameter[0].numel())  # nothing cancels, and no output is so large that tanh is flat
    widest = 0
    height = -(-max(generator.smallest_input, 2 * step) // step) * step  # it is the width that is measured
    x = torch.rand(1, 1, height, side, dtype=torch.float64).requires_grad_()
    y = generator(x)[0, 0, height // 2]
    for place in range(side // 2, side // 2 + step):
        (gradient,) = torch.autograd.grad(y[place], x, retain_graph=True)
        seen = (gradient[0, 0] != 0).any(0).nonzero()
        assert seen[0] > 0 and seen[-1] < side - 1, "the field must lie inside the image for this to measure it"
        widest = max(widest, int(seen[-1] - seen[0]) + 1)
    assert generator.receptive_field - step <= widest <= generator.receptive_field


@generators
def test_a_generator_exports_with_free_sizes(name: str) -> None:
    generator: Any = tiny("generator", name, 3, 2).eval()
    multiple = generator.size_multiple
    least = max(2, -(-generator.smallest_input // multiple))  # a size of 1 somewhere inside would be taken for a constant
    rows, columns = (multiple * torch.export.Dim(axis, min=least, max=64) for axis in ("rows", "columns"))
    x = torch.rand(2, 3, least * multiple, (least + 1) * multiple)
    program = torch.export.export(generator, (x,), dynamic_shapes=({0: torch.export.Dim("n", max=64), 2: rows, 3: columns},))
    larger = torch.rand(3, 3, x.shape[2] + 2 * multiple, x.shape[3] + multiple)
    for image in (x, larger):
        assert torch.allclose(program.module()(image), generator(image), atol=1e-6)


@networks
def test_every_option_says_what_it_does(kind: str, name: str) -> None:
    entry = registry.entry(kind, name)
    assert entry.options
    for key, parameter in entry.options.items():
        assert parameter.help, f"{key} needs a line under Args"
    assert entry.summary.endswith((".", "?")) or ":" in entry.summary
    assert "Source:" in (__import__(entry.module, fromlist=["_"]).__doc__ or ""), "say where the architecture comes from"


@networks
def test_the_example_runs(kind: str, name: str) -> None:
    entry = registry.entry(kind, name)
    example = doctest.DocTestParser().get_doctest(entry.doc, {}, f"{kind} {name}", None, None)
    assert example.examples, "the docstring ends in a runnable example"
    out: list[str] = []
    assert doctest.DocTestRunner().run(example, out=out.append).failed == 0, "".join(out)


@networks
def test_unknown_options_are_refused_with_the_nearest(kind: str, name: str) -> None:
    channels = (3, 3) if kind == "generator" else (3,)
    build: Callable[..., nn.Module] = build_generator if kind == "generator" else build_discriminator
    with pytest.raises(UserError, match=r"widht.*did you mean 'width'"):
        build(name, *channels, {"widht": 4})
    with pytest.raises(UserError, match="width is 0"):
        build(name, *channels, {"width": 0})
