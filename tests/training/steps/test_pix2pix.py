"""One step is the paper's algorithm: checked against the reference implementation's losses, and line by line."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.training.small import small_batch, small_setup, small_step
from transfigure.data.batch import Batch
from transfigure.errors import UserError
from transfigure.interop.pytorch_cyclegan import convert_discriminator, convert_generator, recognise
from transfigure.losses.gan import SeparateLosses
from transfigure.losses.gradient_penalty import r1
from transfigure.networks.base import DiscriminatorOutput
from transfigure.registry import names
from transfigure.training.steps import build as build_module
from transfigure.training.steps.base import StepOutput, TrainingStep
from transfigure.training.steps.build import build_step
from transfigure.training.steps.pix2pix import Pix2PixStep


def make_step(adversarial: str | None = "vanilla", conditional: bool = True, terms: list[dict] | None = None) -> Pix2PixStep:
    chosen = {"objective.terms": terms if terms is not None else [{"loss": "l1", "weight": 100}]}
    if adversarial is None:
        return small_step({**chosen, "objective.adversarial": None})
    norm = {"discriminator.norm": "instance"} if adversarial == "wgan_gp" else {}
    return small_step({**chosen, **norm, "objective.adversarial.loss": adversarial, "objective.adversarial.conditional": conditional})


def test_twelve_steps_follow_the_reference_implementation(shared: Path) -> None:
    start = torch.load(shared / "reference" / "train_lsgan_init.pth", weights_only=True)
    found = {side: recognise(start[side]) for side in ("G", "D")}
    options = {
        f"{side}.{key}": value for side, kind in (("generator", "G"), ("discriminator", "D")) for key, value in found[kind].options.items()
    }
    step = small_step(
        {
            **options,
            **{"generator.dropout": 0.0, "data.crop_size": 128, "data.load_size": 128},
            **{"objective.adversarial.loss": "lsgan", "objective.terms": [{"loss": "l1", "weight": 10}]},
        }
    )
    assert step.discriminator is not None
    step.generator.load_state_dict(convert_generator(start["G"], found["G"]))
    step.discriminator.load_state_dict(convert_discriminator(start["D"], found["D"]))
    data = torch.rand(12, 2, 2, 3, 128, 128, generator=torch.Generator().manual_seed(9)) * 2 - 1
    # the reference reports D's two losses; ours reports their half sum and the mean outputs, so measure them as it does
    measured = []
    halves: list[float] = []
    assert isinstance(step.gan, SeparateLosses)
    real, fake = step.gan.d_real_loss, step.gan.d_fake_loss
    step.gan.d_real_loss = lambda logits: _keep(halves, real(logits))  # type: ignore[method-assign]
    step.gan.d_fake_loss = lambda logits: _keep(halves, fake(logits))  # type: ignore[method-assign]
    for source, target in data:
        halves.clear()
        output = step.training_step(Batch(source, target, ("a", "b")))
        assert output.adversarial is not None and output.d_loss is not None
        measured.append([float(output.adversarial), 10 * float(output.terms["l1"]), *halves])
        assert float(output.d_loss) == pytest.approx(sum(halves) / 2, rel=1e-5)
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
    step.d_optimizer.step = _noted(order, "D", step.d_optimizer.step)  # type: ignore[union-attr, method-assign]
    step.g_optimizer.step = _noted(order, "G", step.g_optimizer.step)  # type: ignore[method-assign]
    calls: list[str] = []
    step.discriminator.register_forward_hook(lambda *_: calls.append("seen after " + "".join(order)))
    step.training_step(small_batch())
    assert order == ["D", "G"]
    assert calls == ["seen after ", "seen after ", "seen after D"]


def _noted(order: list[str], name: str, function):  # type: ignore[no-untyped-def]
    def call(*args, **kwargs):  # type: ignore[no-untyped-def]
        order.append(name)
        return function(*args, **kwargs)

    return call


def test_the_generators_step_does_not_move_the_discriminator() -> None:
    step = make_step()
    assert step.discriminator is not None and step.d_optimizer is not None
    after_own_step: list[torch.Tensor] = []
    move = step.d_optimizer.step

    def moved() -> None:
        assert all(parameter.grad is not None and bool(parameter.grad.any()) for parameter in step.discriminator.parameters())  # type: ignore[union-attr]
        move()
        after_own_step[:] = weights_of(step.discriminator)

    step.d_optimizer.step = moved  # type: ignore[method-assign]
    before = weights_of(step.generator)
    step.training_step(small_batch())
    for then, parameter in zip(after_own_step, step.discriminator.parameters(), strict=True):
        assert torch.equal(then, parameter) and parameter.requires_grad
    assert any(not torch.equal(old, new) for old, new in zip(before, step.generator.parameters()))
    every = [*step.generator.parameters(), *step.discriminator.parameters()]
    assert all(parameter.grad is None for parameter in every), "gradients are not held while the next activations are"


def weights_of(network: torch.nn.Module | None) -> list[torch.Tensor]:
    assert network is not None
    return [parameter.detach().clone() for parameter in network.parameters()]


def simultaneous(**overrides: object) -> Pix2PixStep:
    step = small_step({"training.update": "simultaneous", **{key.replace("__", "."): value for key, value in overrides.items()}})
    assert isinstance(step, Pix2PixStep)
    return step


@pytest.mark.parametrize("form", names("adversarial"))
def test_simultaneous_takes_both_gradients_at_the_weights_of_one_moment(form: str) -> None:
    """Each network moves as it does where the other one does not move at all."""
    chosen = {"objective.adversarial.loss": form, "objective.adversarial.conditional": True, "generator.dropout": 0.0}
    chosen |= {"objective.terms": [{"loss": "l1", "weight": 100}], "discriminator.norm": "instance", "objective.adversarial.r1": 1.0}
    step, batch = small_step({**chosen, "training.update": "simultaneous"}), small_batch()
    generator_alone, discriminator_alone = small_step(chosen), small_step(chosen)
    torch.manual_seed(3)  # a penalty draws points
    output = step.training_step(batch)
    torch.manual_seed(3)
    alternating = discriminator_alone.training_step(batch)
    assert generator_alone.d_optimizer is not None
    generator_alone.d_optimizer.step = lambda: None  # type: ignore[method-assign]
    torch.manual_seed(3)
    unmoved = generator_alone.training_step(batch)
    for mine, theirs in zip(weights_of(step.discriminator), weights_of(discriminator_alone.discriminator), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-5, atol=1e-7)
    for mine, theirs in zip(weights_of(step.generator), weights_of(generator_alone.generator), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-5, atol=1e-7)
    assert float(output.d_loss) == pytest.approx(float(alternating.d_loss), rel=1e-5)
    assert float(output.g_loss) == pytest.approx(float(unmoved.g_loss), rel=1e-5) != pytest.approx(float(alternating.g_loss), rel=1e-6)


def test_simultaneous_shares_a_pass_of_the_discriminator_and_computes_no_weight_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    step = simultaneous(generator__dropout=0.0)
    assert step.discriminator is not None
    calls: list[int] = []
    step.discriminator.register_forward_hook(lambda *_: calls.append(1))
    gradients: list[int] = []
    for parameter in step.discriminator.parameters():
        parameter.register_hook(lambda gradient: gradients.append(1))
    step.training_step(small_batch())
    assert len(calls) == 2, "once over the real and once over the generated images"
    assert len(gradients) == len(list(step.discriminator.parameters())), "none for the generator's loss"


def test_simultaneous_cannot_be_with_a_pool() -> None:
    with pytest.raises(UserError, match=r"training\.update simultaneous shares .* objective\.adversarial\.pool"):
        simultaneous(objective__adversarial__pool=5)


def test_the_discriminators_objective_is_halved_and_the_terms_are_unweighted() -> None:
    step = make_step(terms=[{"loss": "l1", "weight": 100}, {"loss": "l2", "weight": 3}])
    output = step.training_step(small_batch())
    assert float(output.d_loss) == pytest.approx(0.693, abs=0.1)  # log 2: D cannot tell yet
    total = float(output.adversarial) + 100 * float(output.terms["l1"]) + 3 * float(output.terms["l2"])
    assert float(output.g_loss) == pytest.approx(total, rel=1e-5)


def test_r1_and_r2_are_halved_and_added_to_ds_objective_at_real_and_at_generated_images() -> None:
    batch, values = small_batch(), {}
    for r1_weight, r2_weight in ((0.0, 0.0), (3.0, 0.0), (0.0, 3.0), (3.0, 2.0)):
        adversarial = {"objective.adversarial.r1": r1_weight, "objective.adversarial.r2": r2_weight}
        step = small_step({**adversarial, "discriminator.norm": "instance", "generator.dropout": 0.0})
        assert isinstance(step, Pix2PixStep)
        with torch.no_grad():
            for parameter in step.direction.networks()["discriminator"].parameters():
                parameter.mul_(5)  # steep enough to be seen beside the loss
            fake = step.direction.generate(batch)
        values[r1_weight, r2_weight] = float(step.direction.discriminator_loss(batch, fake).loss.detach())
    slopes = [float(r1(lambda image: step.direction.discriminate(batch, image), images).detach()) for images in (batch.target, fake)]
    assert slopes[0] != pytest.approx(slopes[1], rel=1e-3)
    plain = values[0.0, 0.0]
    assert values[3.0, 0.0] - plain == pytest.approx(1.5 * slopes[0], rel=1e-3)
    assert values[0.0, 3.0] - plain == pytest.approx(1.5 * slopes[1], rel=1e-3)
    assert values[3.0, 2.0] - plain == pytest.approx(1.5 * slopes[0] + slopes[1], rel=1e-3)


def test_an_unconditional_discriminator_never_sees_the_source() -> None:
    step = make_step(conditional=False)
    assert step.discriminator is not None
    seen: list[int] = []
    step.discriminator.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].shape[1]))
    step.training_step(small_batch())
    assert seen == [3, 3, 3]


def test_without_a_discriminator_only_the_terms_are_minimised() -> None:
    step = make_step(adversarial=None)
    output = step.training_step(small_batch())
    assert output.d_loss is None and output.adversarial is None and output.d_real is None
    assert float(output.g_loss) == pytest.approx(100 * float(output.terms["l1"]), rel=1e-6)


@pytest.mark.parametrize("adversarial", names("adversarial"))
def test_every_adversarial_form_trains_both_networks(adversarial: str) -> None:
    step = make_step(adversarial)
    assert step.discriminator is not None
    networks = {"G": step.generator, "D": step.discriminator}
    before = {name: [p.detach().clone() for p in network.parameters()] for name, network in networks.items()}
    for seed in range(2):
        output = step.training_step(small_batch(seed, count=2))
        assert torch.isfinite(output.g_loss) and torch.isfinite(output.d_loss)
    for name, network in networks.items():
        assert all(torch.isfinite(p).all() for p in network.parameters())
        assert any(not torch.equal(old, new.detach()) for old, new in zip(before[name], network.parameters())), name


def test_overfitting_one_pair_brings_the_output_to_the_target() -> None:
    step = make_step()
    pair = small_batch()
    smooth = torch.nn.functional.avg_pool2d(pair.target, 8).repeat_interleave(8, 2).repeat_interleave(8, 3)
    pair = Batch(pair.source, smooth, pair.names)
    for group in step.g_optimizer.param_groups:
        group["lr"] = 5e-3
    first = float(step.training_step(pair).terms["l1"])
    for _ in range(60):
        last = float(step.training_step(pair).terms["l1"])
    assert last < 0.5 * first


# ---- the gradient norm of each term ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("adversarial", ["vanilla", None])
def test_measuring_changes_nothing(adversarial: str | None) -> None:
    plain, measured = (make_step(adversarial) for _ in range(2))
    for seed in range(3):
        torch.manual_seed(seed)
        one = plain.training_step(small_batch(seed))
        torch.manual_seed(seed)
        other = measured.training_step(small_batch(seed), measure=True)
        assert torch.equal(one.g_loss, other.g_loss) and one.gradient_norms == {}
        assert set(other.gradient_norms) == {"l1", *(["adversarial"] if adversarial else [])}
        assert all(float(norm) > 0 for norm in other.gradient_norms.values())
    for ours, theirs in zip(plain.generator.parameters(), measured.generator.parameters()):
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize("count", [1, 3])
def test_the_gradient_norm_of_l1_is_its_weight_over_the_root_of_the_number_of_values(count: int) -> None:
    """d |x| / dx is 1 / n for each of n values of an image: a vector of length 1 / sqrt(n), whatever the batch."""
    output = make_step().training_step(small_batch(0, count), measure=True)
    assert float(output.gradient_norms["l1"]) == pytest.approx(100 / (3 * 32 * 32) ** 0.5, rel=1e-4)


def test_a_term_that_matches_another_has_its_gradient_norm() -> None:
    step = make_step(terms=[{"loss": "cosine", "weight": 100, "match_gradient_of": "l1"}, {"loss": "l1", "weight": 0}])
    for seed in range(2):
        output = step.training_step(small_batch(seed), measure=True)
        assert float(output.gradient_norms["cosine"]) == pytest.approx(100 / (3 * 32 * 32) ** 0.5, rel=1e-3)
        assert float(output.terms["cosine"]) <= 2, "the term itself is logged as it is"


# ---- what a step gives to terms and forms ---------------------------------------------------------------------------------


def test_terms_are_given_what_they_ask_for_by_name() -> None:
    step = make_step()
    seen: dict[str, object] = {}

    def term(batch: Batch, generator: object, real_output: DiscriminatorOutput, fake_output: DiscriminatorOutput) -> torch.Tensor:
        seen.update(generator=generator, real=real_output, fake=fake_output)
        pairs = zip(real_output.features, fake_output.features, strict=True)
        return torch.stack([(r - f).abs().mean() for real, fake in pairs for r, f in zip(real, fake, strict=True)]).mean()

    step.direction.objective.terms["matching"] = term
    step.direction.objective.weights["matching"] = 10.0
    step.direction.objective.losses["matching"] = "matching"
    step.direction.objective.needs["matching"] = ("generator", "real_output", "fake_output")
    output = step.training_step(small_batch(), measure=True)
    assert seen["generator"] is step.generator
    real, fake = seen["real"], seen["fake"]
    assert isinstance(real, DiscriminatorOutput) and isinstance(fake, DiscriminatorOutput)
    assert not real.logits[0].requires_grad and fake.logits[0].requires_grad, "against the updated D, real images without gradient"
    assert float(output.terms["matching"]) > 0 and float(output.gradient_norms["matching"]) > 0


def test_a_loss_that_needs_the_other_direction_is_refused_with_the_step_that_has_it() -> None:
    with pytest.raises(UserError, match=r"the loss cycle needs the generator of the other direction.*cyclegan"):
        Pix2PixStep(small_setup({"objective.terms": [{"loss": "cycle"}]}))


def test_a_step_keeps_and_restores_all_of_its_state() -> None:
    one, other = make_step(), make_step(terms=[{"loss": "l1", "weight": 100}])
    for seed in range(2):
        one.training_step(small_batch(seed))
    state = copy.deepcopy(one.state_dict())
    assert set(state) == {"generator", "discriminator", "g_optimizer", "d_optimizer"}
    other.load_state_dict(state)
    for step in (one, other):
        step.set_learning_rate(0.5)
        assert [group["lr"] for group in step.g_optimizer.param_groups] == [1e-4]
        torch.manual_seed(1)
        step.training_step(small_batch(5))
    assert all(torch.equal(a, b) for a, b in zip(one.generator.parameters(), other.generator.parameters(), strict=True))


def test_auto_is_the_step_that_the_terms_need() -> None:
    assert type(build_step(small_setup())).__name__ == "Pix2PixStep"
    assert type(build_step(small_setup({"objective.terms": [{"loss": "cycle"}]}))).__name__ == "CycleGANStep"


def test_a_step_that_leaves_something_out_is_refused_in_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    class Unfinished(TrainingStep):
        def training_step(self, batch: Batch, measure: bool = False) -> StepOutput:
            return StepOutput(batch.source.mean())

    monkeypatch.setattr(build_module, "resolve", lambda kind, name: Unfinished)
    with pytest.raises(UserError, match="the registered step 'pix2pix' lacks generator, networks, optimizers"):
        build_step(small_setup())
