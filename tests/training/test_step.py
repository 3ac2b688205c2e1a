"""One update is the paper's algorithm: checked against the reference implementation's losses, and line by line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from transfigure.data.batch import Batch
from transfigure.interop.pytorch_cyclegan import convert_discriminator, convert_generator, recognise
from transfigure.losses.objective import Objective
from transfigure.networks.build import build_discriminator, build_generator
from transfigure.recipe import Training
from transfigure.registry import build, names
from transfigure.training.engine import Engine
from transfigure.training.optimiser import adam
from transfigure.training.step import PairedStep

PLAIN = Training(fused=False, accelerator="cpu")


def make_step(adversarial: str | None = "vanilla", conditional: bool = True, terms: list[dict] | None = None) -> PairedStep:
    torch.manual_seed(0)
    generator = build_generator("unet", 3, 3, {"width": 4, "depth": 4})
    discriminator = build_discriminator("patch", 6 if conditional else 3, {"width": 4, "receptive_field": 16})
    return PairedStep(
        generator=generator,
        objective=Objective(terms if terms is not None else [{"loss": "l1", "weight": 100}]),
        optimiser_g=adam([generator], 2e-4, PLAIN),
        engine=Engine(PLAIN),
        discriminator=discriminator if adversarial else None,
        adversarial=build("adversarial", adversarial) if adversarial else None,
        conditional=conditional,
        adversarial_weight=1.0,
        optimiser_d=adam([discriminator], 2e-4, PLAIN) if adversarial else None,
    )


def make_pair(seed: int = 0, count: int = 1) -> Batch:
    random = torch.Generator().manual_seed(seed)
    source, target = torch.rand(2, count, 3, 32, 32, generator=random) * 2 - 1
    return Batch(source, target, tuple(str(i) for i in range(count)))


def test_twelve_steps_follow_the_reference_implementation(shared: Path) -> None:
    start = torch.load(shared / "reference" / "train_lsgan_init.pth", weights_only=True)
    found = {side: recognise(start[side]) for side in ("G", "D")}
    generator = build_generator("unet", 3, 3, {**found["G"].options, "dropout": 0.0})
    generator.load_state_dict(convert_generator(start["G"], found["G"]))
    discriminator = build_discriminator("patch", 6, found["D"].options)
    discriminator.load_state_dict(convert_discriminator(start["D"], found["D"]))
    step = PairedStep(
        generator=generator,
        objective=Objective([{"loss": "l1", "weight": 10}]),
        optimiser_g=adam([generator], 2e-4, PLAIN),
        engine=Engine(PLAIN),
        discriminator=discriminator,
        adversarial=build("adversarial", "lsgan"),
        optimiser_d=adam([discriminator], 2e-4, PLAIN),
    )
    data = torch.rand(12, 2, 2, 3, 128, 128, generator=torch.Generator().manual_seed(9)) * 2 - 1
    # the reference reports D's two losses; ours reports their half sum and the mean verdicts, so measure them as it does
    measured = []
    halves: list[float] = []
    assert step.adversarial is not None
    real, fake = step.adversarial.real, step.adversarial.fake
    step.adversarial.real = lambda logits: _keep(halves, real(logits))  # type: ignore[method-assign]
    step.adversarial.fake = lambda logits: _keep(halves, fake(logits))  # type: ignore[method-assign]
    for source, target in data:
        halves.clear()
        losses = step.update(Batch(source, target, ("a", "b")))
        measured.append([float(losses.adversarial), 10 * float(losses.terms["l1"]), *halves])
        assert float(losses.d) == pytest.approx(sum(halves) / 2, rel=1e-5)
    archive = np.load(shared / "reference" / "train_lsgan.npz")
    expected = archive[archive.files[0]]
    np.testing.assert_allclose(np.array(measured), expected, atol=1e-4)


def _keep(values: list[float], loss: torch.Tensor) -> torch.Tensor:
    values.append(float(loss.detach()))
    return loss


def test_discriminator_moves_first_and_the_generator_sees_the_updated_one() -> None:
    step = make_step()
    assert step.discriminator is not None
    order: list[str] = []
    step.optimiser_d.step = _told(order, "D", step.optimiser_d.step)  # type: ignore[union-attr, method-assign]
    step.optimiser_g.step = _told(order, "G", step.optimiser_g.step)  # type: ignore[method-assign]
    calls: list[str] = []
    step.discriminator.register_forward_hook(lambda *_: calls.append("judged after " + "".join(order)))
    step.update(make_pair())
    assert order == ["D", "G"]
    assert calls == ["judged after ", "judged after ", "judged after D"]


def _told(order: list[str], name: str, function):  # type: ignore[no-untyped-def]
    def call(*args, **kwargs):  # type: ignore[no-untyped-def]
        order.append(name)
        return function(*args, **kwargs)

    return call


def test_no_gradient_of_the_generators_turn_reaches_the_discriminator() -> None:
    step = make_step()
    assert step.discriminator is not None and step.optimiser_d is not None
    own_turn: list[torch.Tensor] = []
    move = step.optimiser_d.step

    def moved() -> None:
        own_turn[:] = [parameter.grad.clone() for parameter in step.discriminator.parameters()]  # type: ignore[union-attr]
        move()

    step.optimiser_d.step = moved  # type: ignore[method-assign]
    before = [parameter.detach().clone() for parameter in step.generator.parameters()]
    step.update(make_pair())
    assert any(bool(gradient.any()) for gradient in own_turn)
    for kept, parameter in zip(own_turn, step.discriminator.parameters(), strict=True):
        assert parameter.grad is not None and torch.equal(kept, parameter.grad) and parameter.requires_grad
    assert any(not torch.equal(old, new.detach()) for old, new in zip(before, step.generator.parameters()))


def test_the_discriminators_objective_is_halved_and_the_terms_are_unweighted() -> None:
    step = make_step(terms=[{"loss": "l1", "weight": 100}, {"loss": "l2", "weight": 3}])
    losses = step.update(make_pair())
    assert float(losses.d) == pytest.approx(0.693, abs=0.1)  # log 2: D cannot tell yet
    total = float(losses.adversarial) + 100 * float(losses.terms["l1"]) + 3 * float(losses.terms["l2"])
    assert float(losses.g) == pytest.approx(total, rel=1e-5)


def test_an_unconditional_discriminator_never_sees_the_source() -> None:
    step = make_step(conditional=False)
    assert step.discriminator is not None
    seen: list[int] = []
    step.discriminator.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].shape[1]))
    step.update(make_pair())
    assert seen == [3, 3, 3]


def test_without_a_discriminator_only_the_terms_are_descended() -> None:
    step = make_step(adversarial=None)
    losses = step.update(make_pair())
    assert losses.d is None and losses.adversarial is None and losses.d_real is None
    assert float(losses.g) == pytest.approx(100 * float(losses.terms["l1"]), rel=1e-6)


@pytest.mark.parametrize("adversarial", names("adversarial"))
def test_every_adversarial_form_trains_both_networks(adversarial: str) -> None:
    step = make_step(adversarial)
    assert step.discriminator is not None
    networks = {"G": step.generator, "D": step.discriminator}
    before = {name: [p.detach().clone() for p in network.parameters()] for name, network in networks.items()}
    for seed in range(2):
        losses = step.update(make_pair(seed, count=2))
        assert torch.isfinite(losses.g) and torch.isfinite(losses.d)
    for name, network in networks.items():
        assert all(torch.isfinite(p).all() for p in network.parameters())
        assert any(not torch.equal(old, new.detach()) for old, new in zip(before[name], network.parameters())), name


def test_overfitting_one_pair_brings_the_answer_to_the_target() -> None:
    step = make_step()
    pair = make_pair()
    smooth = torch.nn.functional.avg_pool2d(pair.target, 8).repeat_interleave(8, 2).repeat_interleave(8, 3)
    pair = Batch(pair.source, smooth, pair.names)
    for group in step.optimiser_g.param_groups:
        group["lr"] = 5e-3
    first = float(step.update(pair).terms["l1"])
    for _ in range(60):
        last = float(step.update(pair).terms["l1"])
    assert last < 0.5 * first


# ---- how hard each term pulls ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("adversarial", ["vanilla", None])
def test_measuring_changes_nothing(adversarial: str | None) -> None:
    plain, measured = (make_step(adversarial) for _ in range(2))
    for seed in range(3):
        torch.manual_seed(seed)
        one = plain.update(make_pair(seed))
        torch.manual_seed(seed)
        other = measured.update(make_pair(seed), measure=True)
        assert torch.equal(one.g, other.g) and one.gradients == {}
        assert set(other.gradients) == {"l1", *(["adversarial"] if adversarial else [])}
        assert all(float(norm) > 0 for norm in other.gradients.values())
    for ours, theirs in zip(plain.generator.parameters(), measured.generator.parameters()):
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize("count", [1, 3])
def test_the_pull_of_l1_is_its_weight_over_the_root_of_the_number_of_values(count: int) -> None:
    """d |x| / dx is 1 / n for each of n values of an image: a vector of length 1 / sqrt(n), whatever the batch."""
    losses = make_step().update(make_pair(0, count), measure=True)
    assert float(losses.gradients["l1"]) == pytest.approx(100 / (3 * 32 * 32) ** 0.5, rel=1e-4)


def test_a_term_like_another_pulls_as_hard() -> None:
    step = make_step(terms=[{"loss": "cosine", "weight": 100, "like": "l1"}, {"loss": "l1", "weight": 0}])
    for seed in range(2):
        losses = step.update(make_pair(seed), measure=True)
        assert float(losses.gradients["cosine"]) == pytest.approx(100 / (3 * 32 * 32) ** 0.5, rel=1e-3)
        assert float(losses.terms["cosine"]) <= 2, "the term itself is logged as it is"
