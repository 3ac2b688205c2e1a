"""The adversarial losses against their papers' equations, and what their gradients do."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from transfigure import registry
from transfigure.errors import UserError
from transfigure.losses.gan import AdversarialLoss, Hinge, LeastSquares, RelativisticPairing, SeparateLosses, Vanilla, WassersteinPenalty
from transfigure.networks.base import DiscriminatorOutput

logit = st.floats(-12, 12, width=32)
LOGITS = torch.tensor([[[[-3.0, -0.5], [0.0, 2.0]]], [[[1.5, 0.25], [-7.0, 4.0]]]])


def every() -> list[SeparateLosses]:
    forms = [registry.build("adversarial", name) for name in registry.names("adversarial")]
    return [form for form in forms if isinstance(form, SeparateLosses)]


def out(*logits: Tensor) -> DiscriminatorOutput:
    return DiscriminatorOutput(logits)


@given(st.lists(logit, min_size=1, max_size=6))
def test_vanilla_is_the_papers_equation_on_probabilities(values: list[float]) -> None:
    logits = torch.tensor(values, dtype=torch.float64)
    d = torch.sigmoid(logits)
    loss = Vanilla()
    torch.testing.assert_close(loss.d_real_loss(logits), -d.log().mean())
    torch.testing.assert_close(loss.d_fake_loss(logits), -(1 - d).log().mean())
    torch.testing.assert_close(loss.g_fake_loss(logits), -d.log().mean())
    torch.testing.assert_close(loss.mean_output(out(logits)), d.mean())


def test_vanilla_is_binary_cross_entropy_also_with_smoothed_labels() -> None:
    cross_entropy = nn.functional.binary_cross_entropy_with_logits
    torch.testing.assert_close(Vanilla(0.9).d_real_loss(LOGITS), cross_entropy(LOGITS, torch.full_like(LOGITS, 0.9)))
    torch.testing.assert_close(Vanilla(0.9).g_fake_loss(LOGITS), cross_entropy(LOGITS, torch.ones_like(LOGITS)))  # smoothing is D's alone


def test_vanilla_stays_finite_and_teaches_g_when_d_is_certain() -> None:
    logits = torch.full((1, 1, 2, 2), -200.0, requires_grad=True)
    loss = Vanilla().g_fake_loss(logits)
    loss.backward()
    assert loss.item() == pytest.approx(200)
    assert logits.grad is not None and torch.allclose(logits.grad, torch.tensor(-0.25))  # E[log(1 - D)] would give 0 here


def test_lsgan_closed_form() -> None:
    loss = LeastSquares()
    assert loss.d_real_loss(LOGITS).item() == pytest.approx(((LOGITS - 1) ** 2).mean().item())
    assert loss.d_fake_loss(LOGITS).item() == pytest.approx((LOGITS**2).mean().item())
    assert loss.g_fake_loss(LOGITS).item() == pytest.approx(loss.d_real_loss(LOGITS).item())
    assert LeastSquares(0.9).d_real_loss(torch.full((3,), 0.9)).item() == 0


def test_hinge_closed_form() -> None:
    loss, logits = Hinge(), torch.tensor([-2.0, -0.5, 0.5, 3.0])
    assert loss.d_real_loss(logits).item() == pytest.approx((3 + 1.5 + 0.5 + 0) / 4)
    assert loss.d_fake_loss(logits).item() == pytest.approx((0 + 0.5 + 1.5 + 4) / 4)
    assert loss.g_fake_loss(logits).item() == pytest.approx(-0.25)


def test_wasserstein_losses_are_the_critics_difference() -> None:
    loss, real, fake = WassersteinPenalty(), torch.tensor([1.0, 3.0]), torch.tensor([-4.0, 2.0])
    assert (loss.d_real_loss(real) + loss.d_fake_loss(fake)).item() == pytest.approx(-1 - 2)
    assert loss.g_fake_loss(fake).item() == pytest.approx(1)


@pytest.mark.parametrize("loss", every(), ids=lambda loss: type(loss).__name__)
def test_minimising_g_loss_raises_the_output_and_d_loss_separates(loss: SeparateLosses) -> None:
    logits = torch.zeros(2, 1, 3, 3, requires_grad=True)
    for _ in range(20):
        (gradient,) = torch.autograd.grad(loss.g_fake_loss(logits), logits)
        logits = (logits - gradient).detach().requires_grad_()
    assert loss.mean_output(out(logits)) > loss.mean_output(out(torch.zeros(1)))
    real, fake = torch.zeros(4, requires_grad=True), torch.zeros(4, requires_grad=True)
    (loss.d_real_loss(real) + loss.d_fake_loss(fake)).backward()
    assert real.grad is not None and (real.grad < 0).all()
    assert fake.grad is not None and (fake.grad >= 0).all()  # lsgan is already at its fake label
    assert not loss.mean_output(out(logits)).requires_grad


@pytest.mark.parametrize("loss", every(), ids=lambda loss: type(loss).__name__)
def test_half_precision_logits_are_averaged_in_float32(loss: SeparateLosses) -> None:
    logits = torch.randn(2, 1, 8, 8)
    for side in (loss.d_real_loss, loss.d_fake_loss, loss.g_fake_loss, lambda values: loss.mean_output(out(values))):
        value = side(logits.bfloat16())
        assert value.dtype == torch.float32
        torch.testing.assert_close(value, side(logits), rtol=0.02, atol=0.02)


@pytest.mark.parametrize(
    ("loss", "saturated", "others"),
    [
        (Vanilla(), (0.97, 0.03), [(0.97, 0.2), (0.8, 0.03), (0.5, 0.5), (0.03, 0.97)]),
        (Vanilla(0.9), (0.88, 0.02), [(0.8, 0.02)]),
        (LeastSquares(), (1.02, -0.01), [(1.0, 0.1), (0.9, 0.0)]),
        (Hinge(), (1.4, -1.2), [(0.97, -1.2), (1.4, -0.5), (0.0, 0.0)]),
        (RelativisticPairing(), (106.0, 100.0), [(3.0, -2.8), (100.0, 106.0), (0.0, 0.0)]),
    ],
)
def test_d_is_saturated_when_both_means_are_at_their_goals(
    loss: AdversarialLoss, saturated: tuple[float, float], others: list[tuple[float, float]]
) -> None:
    assert loss.is_saturated(*saturated)
    assert not any(loss.is_saturated(*scores) for scores in others)


@pytest.mark.parametrize(
    ("loss", "certain", "only_saturated"),
    [
        (Vanilla(), (0.999, 0.001), (0.97, 0.001)),
        (Vanilla(0.9), (0.8999, 0.001), (0.88, 0.001)),
        (LeastSquares(), (1.02, -0.01), (0.999, 0.03)),
        (Hinge(), (2.4, -2.2), (2.4, -1.2)),
        (RelativisticPairing(), (110.0, 100.0), (106.0, 100.0)),
    ],
)
def test_d_is_certain_beyond_being_saturated(
    loss: AdversarialLoss, certain: tuple[float, float], only_saturated: tuple[float, float]
) -> None:
    assert loss.is_certain(*certain) and loss.is_saturated(*certain)
    assert loss.is_saturated(*only_saturated) and not loss.is_certain(*only_saturated)


def test_a_critic_without_a_scale_is_never_saturated() -> None:
    assert not WassersteinPenalty().is_saturated(500.0, -500.0)
    assert not WassersteinPenalty().is_certain(500.0, -500.0)


class Linear(nn.Module):
    """A critic whose gradient is its weight, everywhere."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight)

    def forward(self, images: Tensor) -> DiscriminatorOutput:
        return out((images * self.weight).sum((1, 2, 3)))


def test_penalty_of_a_linear_critic_is_known_and_reaches_its_weights() -> None:
    critic = Linear(torch.full((2, 3, 3), 0.5))
    norm = 0.5 * math.sqrt(18)
    real, fake = torch.randn(4, 2, 3, 3), torch.randn(4, 2, 3, 3, requires_grad=True)
    penalty = WassersteinPenalty().d_penalty(critic, real, fake)
    assert penalty is not None and penalty.item() == pytest.approx(10 * (norm - 1) ** 2, rel=1e-5)
    penalty.backward()
    expected = 10 * 2 * (norm - 1) * critic.weight.detach() / norm
    assert critic.weight.grad is not None
    torch.testing.assert_close(critic.weight.grad, expected)
    assert fake.grad is None


def test_penalty_of_a_patch_critic_is_that_of_its_mean() -> None:
    critic = Linear(torch.randn(2, 3, 3))
    images = torch.randn(2, 2, 3, 3), torch.randn(2, 2, 3, 3)

    def patches(z: Tensor) -> DiscriminatorOutput:
        output: DiscriminatorOutput = critic(z)
        return output.map_logits(lambda logits: logits.view(-1, 1, 1, 1).expand(-1, 1, 5, 5))

    one, many = WassersteinPenalty().d_penalty(critic, *images), WassersteinPenalty().d_penalty(patches, *images)
    assert one is not None and many is not None
    torch.testing.assert_close(one, many)


def test_penalty_looks_between_real_and_fake_one_draw_per_image() -> None:
    seen: list[Tensor] = []

    def discriminate(z: Tensor) -> DiscriminatorOutput:
        seen.append(z.detach())
        return out(z.sum((1, 2, 3)))

    WassersteinPenalty().d_penalty(discriminate, torch.ones(64, 1, 2, 2), -torch.ones(64, 1, 2, 2))
    places = seen[0].flatten(1)
    assert (places == places[:, :1]).all()  # the same mixture over the whole image
    assert places[:, 0].unique().numel() > 60 and places.min() >= -1 and places.max() <= 1
    assert places[:, 0].min() < -0.7 and places[:, 0].max() > 0.7


def test_minimising_the_penalty_brings_a_nonlinear_critics_slope_to_one() -> None:
    torch.manual_seed(0)
    critic = nn.Sequential(nn.Conv2d(1, 4, 3), nn.LeakyReLU(0.2), nn.Conv2d(4, 1, 2))
    optimizer = torch.optim.Adam(critic.parameters(), lr=0.02)
    real, fake = torch.rand(8, 1, 4, 4), -torch.rand(8, 1, 4, 4)
    history = []
    for _ in range(60):
        penalty = WassersteinPenalty().d_penalty(lambda images: out(critic(images)), real, fake)
        assert penalty is not None
        optimizer.zero_grad()
        penalty.backward()
        optimizer.step()
        history.append(penalty.item())
    assert history[-1] < 0.05 * history[0]


def test_penalty_of_a_flat_critic_has_a_finite_gradient() -> None:
    critic = Linear(torch.zeros(1, 2, 2))
    penalty = WassersteinPenalty().d_penalty(critic, torch.zeros(2, 1, 2, 2), torch.zeros(2, 1, 2, 2))
    assert penalty is not None and penalty.item() == pytest.approx(10)
    penalty.backward()
    assert critic.weight.grad is not None and critic.weight.grad.isfinite().all()


def test_penalty_can_be_measured_without_a_graph() -> None:
    with torch.no_grad():
        penalty = WassersteinPenalty(2.0).d_penalty(Linear(torch.ones(1, 2, 2)), torch.rand(3, 1, 2, 2), torch.rand(3, 1, 2, 2))
    assert penalty is not None and penalty.item() == pytest.approx(2) and not penalty.requires_grad


def test_only_wgan_gp_has_a_penalty_and_weight_zero_switches_it_off() -> None:
    images = torch.rand(2, 1, 2, 2), torch.rand(2, 1, 2, 2)
    critic = Linear(torch.ones(1, 2, 2))
    forms = [Vanilla(), LeastSquares(), Hinge(), WassersteinPenalty()]
    assert [type(form) for form in forms if form.d_penalty(critic, *images) is not None] == [WassersteinPenalty]
    assert WassersteinPenalty(0.0).d_penalty(critic, *images) is None


def test_penalty_refuses_unequal_shapes() -> None:
    with pytest.raises(ValueError, match="as many fakes as reals"):
        WassersteinPenalty().d_penalty(Linear(torch.ones(1, 2, 2)), torch.rand(2, 1, 2, 2), torch.rand(1, 1, 2, 2))


@pytest.mark.parametrize("value", [0.0, -1.0, 1.1, math.nan])
def test_labels_outside_the_range_are_user_errors(value: float) -> None:
    for loss in (Vanilla, LeastSquares):
        with pytest.raises(UserError, match="real_label"):
            loss(value)


@pytest.mark.parametrize("value", [-1.0, math.inf, math.nan])
def test_an_unusable_penalty_weight_is_a_user_error(value: float) -> None:
    with pytest.raises(UserError, match="penalty_weight"):
        WassersteinPenalty(value)


# ---- the contract of forms: outputs of D at several scales, and forms that compare the two sides --------------------------


@pytest.mark.parametrize("loss", every(), ids=lambda loss: type(loss).__name__)
def test_a_form_takes_the_mean_over_scales_of_both_sides(loss: SeparateLosses) -> None:
    real, fake = out(LOGITS, LOGITS[..., :1] + 1), out(-LOGITS, LOGITS[..., 1:] - 1)
    one, two = (loss.d_real_loss(a) + loss.d_fake_loss(b) for a, b in zip(real.logits, fake.logits))
    torch.testing.assert_close(loss.d_loss(real, fake), (one + two) / 2)
    one, two = (loss.g_fake_loss(b) for b in fake.logits)
    torch.testing.assert_close(loss.g_loss(out(), fake), (one + two) / 2)
    assert torch.equal(loss.d_loss(out(LOGITS), out(-LOGITS)), loss.d_real_loss(LOGITS) + loss.d_fake_loss(-LOGITS))


def test_a_form_may_compare_the_outputs() -> None:
    form, real, fake = RelativisticPairing(), out(LOGITS, LOGITS[:1]), out(LOGITS - 3, LOGITS[:1] - 3)
    assert form.d_loss(real, fake).item() == pytest.approx(math.log1p(math.exp(-3)), rel=1e-5)
    assert form.g_loss(real, fake).item() == pytest.approx(math.log1p(math.exp(3)), rel=1e-5)


def test_relativistic_is_the_papers_equation_on_each_pair_of_logits() -> None:
    real, fake = torch.tensor([[1.0, -2.0], [0.5, 3.0]]), torch.tensor([[0.0, 1.0], [0.5, -1.0]])
    differences = [1.0, -3.0, 0.0, 4.0]  # D(y) - D(G(x)), each with the logit at its own place
    form = RelativisticPairing()
    assert form.d_loss(out(real), out(fake)).item() == pytest.approx(sum(math.log(1 + math.exp(-t)) for t in differences) / 4)
    assert form.g_loss(out(real), out(fake)).item() == pytest.approx(sum(math.log(1 + math.exp(t)) for t in differences) / 4)
    assert form.d_loss(out(real), out(fake.flip(0))).item() != pytest.approx(form.d_loss(out(real), out(fake)).item())  # other pairs


def test_relativistic_sees_differences_alone_and_its_mean_output_is_the_logits() -> None:
    form, real, fake = RelativisticPairing(), out(LOGITS), out(0.3 * LOGITS - 1)
    torch.testing.assert_close(form.d_loss(out(LOGITS + 7), out(0.3 * LOGITS + 6)), form.d_loss(real, fake))
    assert form.d_loss(real, real).item() == pytest.approx(math.log(2)) == form.g_loss(real, real).item()
    assert form.mean_output(real).item() == pytest.approx(LOGITS.mean().item())


def test_relativistic_teaches_each_side_by_how_far_a_pair_is_undecided() -> None:
    real, fake = torch.tensor([2.0, 0.0], requires_grad=True), torch.tensor([-1.0, 0.0], requires_grad=True)
    RelativisticPairing().d_loss(out(real), out(fake)).backward()
    left = torch.tensor([1 / (1 + math.exp(3)), 0.5]) / 2  # sigmoid(D(G(x)) - D(y)) / n
    torch.testing.assert_close(real.grad, -left)
    torch.testing.assert_close(fake.grad, left)
    fake.grad = None
    RelativisticPairing().g_loss(out(real.detach()), out(fake)).backward()
    torch.testing.assert_close(fake.grad, -torch.tensor([1 / (1 + math.exp(-3)), 0.5]) / 2)  # G's is left where D is certain


def test_relativistic_refuses_maps_that_are_no_pairs() -> None:
    with pytest.raises(ValueError, match="maps of one shape"):
        RelativisticPairing().d_loss(out(LOGITS), out(LOGITS[:1]))


def test_relativistic_averages_half_precision_in_float32() -> None:
    logits = torch.randn(2, 1, 8, 8)
    loss = RelativisticPairing().d_loss(out(logits.bfloat16()), out(-logits.bfloat16()))
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, RelativisticPairing().d_loss(out(logits), out(-logits)), rtol=0.02, atol=0.02)


def test_one_number_per_image_is_the_mean_of_its_logits_and_scales() -> None:
    output = out(LOGITS, torch.tensor([[[[1.0]]], [[[3.0]]]]))
    torch.testing.assert_close(output.per_image(), (LOGITS.flatten(1).mean(1) + torch.tensor([1.0, 3.0])) / 2)
    assert torch.equal(out(LOGITS).per_image(), LOGITS.flatten(1).mean(1))
