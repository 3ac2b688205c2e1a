"""Penalties of unpaired translation: each against its equation, and what each can and cannot see."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from transfigure.data.batch import Batch
from transfigure.errors import UserError
from transfigure.losses.objective import Objective
from transfigure.losses.unpaired import Contrastive
from transfigure.networks.base import Generator
from transfigure.networks.build import build_generator


def image(seed: int, channels: int = 3, n: int = 2, side: int = 16) -> Tensor:
    return torch.rand(n, channels, side, side, generator=torch.Generator().manual_seed(seed)) * 2 - 1


class Shift(Generator):
    """Adds a number; the inverse of -number."""

    feature_channels = (3, 3)

    def __init__(self, by: float) -> None:
        super().__init__(3, 3)
        self.by = nn.Parameter(torch.tensor(by))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.by

    def features(self, x: Tensor) -> list[Tensor]:
        return [x, F.avg_pool2d(x, 2)]


def batch(generator: Generator, **channels: int) -> Batch:
    source, target = image(0, channels.get("source", 3)), image(1, channels.get("target", 3))
    return Batch(source, target, ("0", "1")).with_fake(generator(source))


def value(loss: str, generator: Generator, inverse: Generator | None = None, given: Batch | None = None, **options: Any) -> Tensor:
    objective = Objective([{"loss": loss, **options}])
    torch.manual_seed(0)
    objective.prepare(generator)
    return objective.values(batch(generator) if given is None else given, generator=generator, inverse=inverse)[loss]


def test_cycle_is_the_way_back() -> None:
    assert value("cycle", Shift(0.25), Shift(-0.25)).item() == pytest.approx(0, abs=1e-6)
    assert value("cycle", Shift(0.25), Shift(0.05)).item() == pytest.approx(0.3)


def test_identity_asks_for_the_target_only() -> None:
    generator = Shift(0.25)
    given = batch(generator)
    assert value("identity", generator).item() == pytest.approx(0.25)
    other = Batch(image(9), given.target, given.names).with_fake(image(5))
    assert torch.equal(value("identity", generator, given=other), value("identity", generator))


def test_reconstruction_is_the_distance_to_the_source() -> None:
    assert value("reconstruction", Shift(-0.125)).item() == pytest.approx(0.125)


@pytest.mark.parametrize("loss", ["cycle", "identity", "reconstruction", "contrastive"])
def test_gradients_reach_the_networks_that_a_penalty_speaks_of(loss: str) -> None:
    torch.manual_seed(0)
    generator, inverse = (build_generator("resnet", 3, 3, {"width": 4, "blocks": 2}) for _ in range(2))
    value(loss, generator, inverse).backward()
    assert all(weight.grad is not None for weight in generator.parameters())
    assert all((weight.grad is not None) == (loss == "cycle") for weight in inverse.parameters())


@pytest.mark.parametrize("loss", ["identity", "reconstruction", "contrastive"])
def test_domains_of_other_channels_are_refused(loss: str) -> None:
    with pytest.raises(UserError, match=f"the loss {loss} compares the two domains, whose images have 1 and 3 channels"):
        value(loss, Shift(0.1), given=batch(Shift(0.1), source=1))


class TestContrastive:
    def test_is_the_cross_entropy_of_the_own_place(self) -> None:
        """Against the equation, written out place by place."""
        generator, places = Shift(0.3), 20
        given = batch(generator)
        torch.manual_seed(3)
        loss = Contrastive(patches=places, width=5, temperature=0.5)
        loss.prepare(generator)
        with torch.no_grad():
            for weight in loss.parameters():
                weight.add_(0.2 * torch.randn(weight.shape))
        torch.manual_seed(7)
        got = float(loss(given, generator).detach())
        torch.manual_seed(7)
        layers = []
        for head, query, key in zip(loss.heads, generator.features(given.fake), generator.features(given.source)):
            chosen = torch.randperm(query[0, 0].numel())[:places]
            terms = []
            for output, source in zip(query.flatten(2), key.flatten(2)):
                z = [F.normalize(head(output[:, s]), dim=0) for s in chosen]
                keys = [F.normalize(head(source[:, s]), dim=0) for s in chosen]
                for s, own in enumerate(z):
                    near = torch.stack([own @ other / 0.5 for other in keys]).exp()
                    terms.append(-(near[s] / near.sum()).log())
            layers.append(torch.stack(terms).mean())
        assert got == pytest.approx(float(torch.stack(layers).mean().detach()), rel=1e-4)

    def test_a_mirrored_output_costs_more_than_one_in_place(self) -> None:
        class Mirror(Shift):
            def forward(self, x: Tensor) -> Tensor:
                return x.flip(3) + self.by

        costs = [value("contrastive", kind(0.0), width=32).item() for kind in (Shift, Mirror)]
        assert costs[0] < costs[1]

    def test_with_identity_the_target_counts_too(self) -> None:
        class Odd(Shift):
            """Right about sources, mirrored for targets."""

            def forward(self, x: Tensor) -> Tensor:
                return x.flip(3) if torch.equal(x, image(1)) else x + self.by

        alone, both = (value("contrastive", Odd(0.0), identity=identity, width=32).item() for identity in (False, True))
        assert both > 2.05 * alone

    def test_mirrored_keys_are_mirrored_back(self, monkeypatch: pytest.MonkeyPatch) -> None:
        class OneSided(Shift):
            """An encoder that sees the left and the right differently."""

            def features(self, x: Tensor) -> list[Tensor]:
                return [x * torch.linspace(0, 1, x.shape[3]), F.avg_pool2d(x, 2)]

        draw = torch.rand
        found = {}
        for kind in (Shift, OneSided):
            for number in (0.4, 0.6):  # below a half the keys are mirrored
                monkeypatch.setattr(torch, "rand", lambda *size, by=number, **how: draw(*size, **how) if size[0] else torch.tensor(by))
                found[kind, number] = value("contrastive", kind(0.2), width=32, flip_equivariance=True).item()
        assert found[Shift, 0.4] == pytest.approx(found[Shift, 0.6], rel=1e-6), "an encoder without sides finds each place again"
        assert found[OneSided, 0.4] > 1.01 * found[OneSided, 0.6]
        assert value("contrastive", Shift(0.2), width=32).item() == pytest.approx(found[Shift, 0.6], rel=1e-6)

    def test_heads_are_trained_and_repeatable(self) -> None:
        objective = Objective([{"loss": "contrastive", "patches": 16, "width": 8}]).prepare(Shift(0.1))
        assert sum(weight.numel() for weight in objective.trained.parameters()) == 2 * (3 * 8 + 8 + 8 * 8 + 8)
        assert set(objective.trained.state_dict()) == {f"contrastive.heads.{layer}.{part}.{what}" for layer in (0, 1) for part in (0, 2)
                                                       for what in ("weight", "bias")}  # fmt: skip

    def test_a_generator_without_features_is_refused(self) -> None:
        class Plain(Generator):
            def forward(self, x: Tensor) -> Tensor:
                return x

        with pytest.raises(UserError, match="reads a generator's encoder, and Plain gives no features"):
            Objective([{"loss": "contrastive"}]).prepare(Plain(3, 3))
        with pytest.raises(UserError, match="Plain gives no features"):
            Plain(3, 3).features(image(0))

    @pytest.mark.parametrize("option", ["patches", "width", "temperature"])
    def test_numbers_are_positive(self, option: str) -> None:
        with pytest.raises(UserError, match=f"{option} (is|cannot be) 0"):
            Objective([{"loss": "contrastive", option: 0 if option != "temperature" else 0.0}])


def test_a_term_that_never_sees_the_output_has_no_gradient_to_match() -> None:
    generator = Shift(0.25)
    given = batch(generator)
    given = given.with_fake(given.fake.detach().requires_grad_())
    objective = Objective([{"loss": "identity", "weight": 5, "match_gradient_of": "l1"}, {"loss": "l1"}])
    assert objective.weighted(objective.values(given, generator=generator), given)["identity"].item() == 0
