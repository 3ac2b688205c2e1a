"""Every registered loss and adversarial objective, unasked: what each must do to be trained with.

Losses that register ``needs=`` (weights on disk, say) or ``unpaired=`` (they compare with something else than the target) are held to the
documentation rules here and to the rest where they live.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, get_args, get_origin

import pytest
import torch
from torch import Tensor

from transfigure import registry
from transfigure.data.batch import Batch
from transfigure.losses.gan import AdversarialLoss
from transfigure.losses.objective import Objective
from transfigure.networks.base import DiscriminatorOutput

LOSSES = [name for name in registry.names("loss") if not registry.entry("loss", name).extra.keys() & {"needs", "unpaired"}]


def out(logits: Tensor) -> DiscriminatorOutput:
    return DiscriminatorOutput((logits,))


ADVERSARIALS = registry.names("adversarial")
DOCUMENTED = [(kind, name) for kind in ("loss", "adversarial") for name in registry.names(kind)]


def image(channels: int, seed: int, size: tuple[int, int] = (24, 24), n: int = 2) -> Tensor:
    random = torch.Generator().manual_seed(seed)
    return torch.rand(n, channels, *size, generator=random) * 2 - 1


def with_fake(generated: Tensor, target: Tensor) -> Batch:
    """A batch as a training step hands it over, with a source of its own."""
    n, _, height, width = target.shape
    return Batch(image(3, 99, (height, width), n), target, tuple(f"pair {i}" for i in range(n))).with_fake(generated)


def context(batch: Batch) -> dict[str, object]:
    """What a term may ask for beside the batch, with outputs of D that depend on the images."""
    outputs = {f"{side}_output": DiscriminatorOutput((images.mean(1, keepdim=True),), ((images,),))
               for side, images in (("real", batch.target), ("fake", batch.fake))}  # fmt: skip
    return {"generator": torch.nn.Identity(), "inverse": torch.nn.Identity(), **outputs}


def term_value(name: str, generated: Tensor, target: Tensor) -> Tensor:
    objective, batch = Objective([{"loss": name}]), with_fake(generated, target)
    return objective.weighted_sum(objective.values(batch, **context(batch)), batch=batch)


CASES: dict[str, tuple[Tensor, Tensor]] = {
    "random": (image(3, 0), image(3, 1)),
    "identical": (image(3, 0), image(3, 0)),
    "opposite": (image(3, 0), -image(3, 0)),
    "mid-grey, the zero vector": (torch.zeros(2, 3, 24, 24), torch.zeros(2, 3, 24, 24)),
    "mid-grey against a picture": (torch.zeros(2, 3, 24, 24), image(3, 1)),
    "a picture against mid-grey": (image(3, 1), torch.zeros(2, 3, 24, 24)),
    "black against white": (-torch.ones(2, 3, 24, 24), torch.ones(2, 3, 24, 24)),
    "black": (-torch.ones(2, 3, 24, 24), -torch.ones(2, 3, 24, 24)),
    "one channel": (image(1, 0), image(1, 1)),
    "five channels": (image(5, 0), image(5, 1)),
    "one image": (image(3, 0, n=1), image(3, 1, n=1)),
    "wide": (image(3, 0, (8, 40)), image(3, 1, (8, 40))),
    "one pixel": (image(3, 0, (1, 1)), image(3, 1, (1, 1))),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_is_a_finite_scalar_with_a_finite_gradient(name: str, case: str) -> None:
    generated, target = CASES[case]
    generated = generated.clone().requires_grad_()
    value = term_value(name, generated, target)
    assert value.shape == () and value.isfinite() and value.dtype == torch.float32
    value.backward()
    assert generated.grad is not None and generated.grad.isfinite().all()
    if case == "random":
        assert generated.grad.abs().max() > 0


@pytest.mark.parametrize("name", LOSSES)
def test_a_losss_gradient_is_its_derivative(name: str) -> None:
    for channels, size in ((3, (5, 6)), (2, (22, 23))):
        generated = image(channels, 0, size, n=1).double().requires_grad_()
        target = (0.6 * image(channels, 0, size, n=1) + 0.4 * image(channels, 1, size, n=1)).double()
        assert torch.autograd.gradcheck(lambda x, y=target: term_value(name, x, y), (generated,), fast_mode=True, atol=1e-5)


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_gives_the_same_number_twice_and_leaves_its_batch_alone(name: str) -> None:
    generated, target = image(3, 0), image(3, 1)
    kept = generated.clone(), target.clone()
    assert term_value(name, generated, target) == term_value(name, generated, target)
    assert torch.equal(generated, kept[0]) and torch.equal(target, kept[1])


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_prefers_the_target_to_noise(name: str) -> None:
    target = image(3, 1)
    assert term_value(name, target, target) <= term_value(name, image(3, 0), target) + 1e-6


@pytest.mark.parametrize("name", ADVERSARIALS)
@pytest.mark.parametrize("shape", [(2, 1, 5, 5), (3, 1), (1,)])
@pytest.mark.parametrize("level", [-50.0, 0.0, 50.0, None])
def test_an_adversarial_is_finite_for_any_output(name: str, shape: tuple[int, ...], level: float | None) -> None:
    adversarial: AdversarialLoss = registry.build("adversarial", name)
    assert isinstance(adversarial, AdversarialLoss)
    values = torch.randn(shape, generator=torch.Generator().manual_seed(0)) if level is None else torch.full(shape, level)
    for side in (adversarial.d_loss, adversarial.g_loss):
        real, fake = values.clone().requires_grad_(), values.clone().requires_grad_()
        loss = side(out(real), out(fake))
        assert loss.shape == () and loss.isfinite()
        loss.backward()
        assert fake.grad is not None and fake.grad.isfinite().all()
        assert real.grad is None or real.grad.isfinite().all()
    assert adversarial.mean_output(out(values)).shape == () and adversarial.mean_output(out(values)).isfinite()


@pytest.mark.parametrize("name", ADVERSARIALS)
@pytest.mark.parametrize("side", ["d_loss", "g_loss"])
def test_an_adversarials_gradient_is_its_derivative(name: str, side: str) -> None:
    real, fake = (torch.linspace(-2.3, end, 8, dtype=torch.float64).view(2, 1, 2, 2).requires_grad_() for end in (2.4, 3.3))
    loss = getattr(registry.build("adversarial", name), side)
    assert torch.autograd.gradcheck(lambda r, f: loss(out(r), out(f)), (real, fake))


@pytest.mark.parametrize("name", ADVERSARIALS)
def test_d_loss_falls_as_d_discriminates_and_g_loss_as_it_cannot(name: str) -> None:
    adversarial: AdversarialLoss = registry.build("adversarial", name)
    low, high = torch.zeros(4), torch.ones(4)
    assert adversarial.d_loss(out(high), out(low)) < adversarial.d_loss(out(low), out(high))
    assert adversarial.g_loss(out(low), out(high)) < adversarial.g_loss(out(low), out(low))
    assert adversarial.mean_output(out(high)) > adversarial.mean_output(out(low))


@pytest.mark.parametrize("name", ADVERSARIALS)
def test_a_penalty_trains_the_discriminator_and_nothing_else(name: str) -> None:
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 4, 2, 1), torch.nn.LeakyReLU(0.2), torch.nn.Conv2d(4, 1, 4, 1, 1))
    fake = image(3, 1).requires_grad_()
    penalty = registry.build("adversarial", name).d_penalty(lambda images: out(network(images)), image(3, 0), fake)
    if penalty is not None:
        assert penalty.shape == () and penalty.isfinite() and penalty >= 0
        penalty.backward()
        weight = network[0].weight
        assert isinstance(weight, Tensor) and weight.grad is not None and weight.grad.abs().max() > 0 and fake.grad is None


@pytest.mark.parametrize(("kind", "name"), DOCUMENTED)
def test_the_docstring_has_a_source_a_blind_spot_and_help_for_every_option(kind: str, name: str) -> None:
    entry = registry.entry(kind, name)
    assert re.search(r"\bSource: \S", entry.doc), "name the paper or study it comes from"
    assert re.search(r"\bBlind\b", entry.doc), "say what it cannot see"
    assert entry.summary.endswith(".")
    for option, parameter in entry.options.items():
        assert parameter.help, f"--{option} has no help"
        assert parameter.annotation is not Any, f"{option} has no plain type"
        assert option not in ("loss", "weight", "name", "conditional"), f"{option} is a key of the recipe's own"
        kind_of = get_args(parameter.annotation)[0] if get_origin(parameter.annotation) is Annotated else parameter.annotation
        plain = kind_of in (int, float, bool, str)
        assert not plain or isinstance(parameter.default, kind_of)
        assert plain or get_origin(kind_of) in (Literal, tuple, type(int | None))


def masked(generated: Tensor, target: Tensor, mask: Tensor) -> Batch:
    n, _, height, width = target.shape
    return Batch(image(3, 99, (height, width), n), target, tuple(f"pair {i}" for i in range(n)), mask=mask).with_fake(generated)


@pytest.mark.parametrize("name", LOSSES)
def test_what_does_not_count_has_no_gradient_and_no_say(name: str) -> None:
    target, generated = image(3, 1), image(3, 0).requires_grad_()
    mask = torch.zeros(2, 1, 24, 24, dtype=torch.bool)
    mask[0, :, 4:20, 2:19], mask[1, :, :13, 9:] = True, True

    def loss(fake: Tensor, what: Tensor | None) -> Tensor:
        objective, batch = Objective([{"loss": name}]), masked(fake, target, what)
        return objective.weighted_sum(objective.values(batch, **context(batch)), batch=batch)

    value = loss(generated, mask)
    (gradient,) = torch.autograd.grad(value, generated)
    assert gradient.isfinite().all() and not gradient[~mask.expand_as(gradient)].any()
    assert gradient[mask.expand_as(gradient)].any() or name == "ms_ssim"
    assert torch.equal(loss(torch.where(mask, generated, -generated), mask), value)
    assert loss(generated, torch.ones_like(mask)).item() == pytest.approx(loss(generated, None).item(), abs=1e-6)
    assert loss(generated, torch.zeros_like(mask)).isfinite()


@pytest.mark.parametrize("name", ["l1", "l2", "charbonnier", "cosine", "cosine_pixel"])
def test_a_loss_inside_a_rectangle_is_that_of_the_pictures_cut_down_to_it(name: str) -> None:
    target, generated = image(3, 1), image(3, 0)
    mask = torch.zeros(2, 1, 24, 24, dtype=torch.bool)
    mask[:, :, 4:20, 2:19] = True
    objective = Objective([{"loss": name}])
    cut = with_fake(generated[:, :, 4:20, 2:19], target[:, :, 4:20, 2:19])
    assert objective.values(masked(generated, target, mask))[name].item() == pytest.approx(objective.values(cut)[name].item(), rel=1e-5)
