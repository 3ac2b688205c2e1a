"""The weighted sum: from a recipe's list to numbers, and what it refuses."""

from __future__ import annotations

import math
import sys
import textwrap
from pathlib import Path

import pytest
import torch
from torch import Tensor

from transfigure import registry
from transfigure.data.batch import Batch
from transfigure.errors import UserError
from transfigure.losses.objective import Objective
from transfigure.losses.pixel import charbonnier, l1, l2


@pytest.fixture
def batch() -> Batch:
    torch.manual_seed(0)
    x, y = torch.rand(2, 3, 12, 12) * 2 - 1, torch.rand(2, 3, 12, 12) * 2 - 1
    return Batch(x, y, ("a", "b")).with_fake(torch.tanh(x).requires_grad_())


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_plugins", {})
    file = tmp_path / "plugged.py"
    file.write_text(
        textwrap.dedent('''
        from __future__ import annotations
        from typing import Literal
        import torch
        from torch import nn
        from transfigure.registry import register

        @register("loss", "learned")
        class Learned(nn.Module):
            """A term with weights of its own.

            Args:
                mode: how.
                count: how many.
            """
            built = 0

            def __init__(self, mode: Literal["mean", "sum"] = "mean", count: int = 1) -> None:
                super().__init__()
                type(self).built += 1
                self.mode, self.scale = mode, nn.Parameter(torch.full((), float(count)))

            def forward(self, batch):
                return getattr(self.scale * batch.fake, self.mode)()

        @register("loss", "unreduced")
        def unreduced(batch):
            """Forgets to reduce."""
            return batch.fake.flatten(1).mean(1)
        ''')
    )
    sys.modules.pop("transfigure_plugin_plugged", None)
    registry.load_plugin(str(file))


def test_values_are_unweighted_and_weigh_is_their_weighted_sum(batch: Batch) -> None:
    objective = Objective([{"loss": "l1", "weight": 100}, {"loss": "charbonnier", "weight": 0.5, "epsilon": 0.1}, {"loss": "l2"}])
    values = objective.values(batch)
    assert list(values) == ["l1", "charbonnier", "l2"]
    assert objective.weights == {"l1": 100, "charbonnier": 0.5, "l2": 1}
    torch.testing.assert_close(values["l1"], l1(batch))
    torch.testing.assert_close(values["charbonnier"], charbonnier(batch, 0.1))
    torch.testing.assert_close(objective.weighted_sum(values), 100 * l1(batch) + 0.5 * charbonnier(batch, 0.1) + l2(batch))


def test_the_gradient_is_the_weighted_sums(batch: Batch) -> None:
    objective = Objective([{"loss": "l1", "weight": 3}, {"loss": "l2", "weight": 2}])
    (whole,) = torch.autograd.grad(objective.weighted_sum(objective.values(batch)), batch.fake)
    (first,) = torch.autograd.grad(l1(batch), batch.fake)
    (second,) = torch.autograd.grad(l2(batch), batch.fake)
    torch.testing.assert_close(whole, 3 * first + 2 * second)


def test_no_terms_are_a_zero_that_can_be_added(batch: Batch) -> None:
    objective = Objective([])
    assert objective.values(batch) == {}
    zero = objective.weighted_sum({})
    assert zero.item() == 0 and zero.ndim == 0
    (zero + batch.fake.sum()).backward()
    assert objective.weighted_sum({}, device="meta").device.type == "meta"


def test_weight_zero_measures_without_training(batch: Batch) -> None:
    objective = Objective([{"loss": "l1", "weight": 0}, {"loss": "l2"}])
    values = objective.values(batch)
    assert values["l1"].item() == pytest.approx(l1(batch).item()) and not values["l1"].requires_grad
    torch.testing.assert_close(objective.weighted_sum(values), l2(batch))
    assert objective.weighted_sum({"l1": torch.tensor(math.nan)}).item() == 0
    assert (
        not Objective([{"loss": "l1"}]).values(Batch(batch.source, batch.target, batch.names).with_fake(batch.source))["l1"].requires_grad
    )


def test_the_same_loss_again_gets_a_number(batch: Batch) -> None:
    objective = Objective([{"loss": "charbonnier", "epsilon": 0.5}, {"loss": "charbonnier"}, {"loss": "l1"}, {"loss": "charbonnier"}])
    assert list(objective.weights) == ["charbonnier", "charbonnier_2", "l1", "charbonnier_3"]
    values = objective.values(batch)
    assert values["charbonnier"] > values["charbonnier_2"] == values["charbonnier_3"]


def test_yaml_1_1_words_that_are_numbers_are_numbers() -> None:
    objective = Objective([{"loss": "charbonnier", "weight": "1e2", "epsilon": "1e-3"}])
    assert objective.weights == {"charbonnier": 100}
    assert Objective([{"loss": "l1", "weight": 7}]).weights == {"l1": 7.0}


@pytest.mark.parametrize(
    ("term", "says"),
    [
        ({"loss": "cosin"}, "did you mean 'cosine'"),
        ({"loss": "charbonnier", "epsilom": 1.0}, r"objective\.terms\.1\.epsilom .*did you mean 'epsilon'"),
        ({"loss": "l1", "epsilon": 1.0}, r"epsilon is not a recipe key \(known: loss, match_gradient_of, weight\)"),
        ({"loss": "l1", "batch": 1}, "batch is not a recipe key"),
        ({"loss": "l1", "weight": -1}, "from 0 up"),
        ({"loss": "l1", "weight": "nan"}, "from 0 up"),
        ({"loss": "l1", "weight": math.inf}, "from 0 up"),
        ({"loss": "l1", "weight": "much"}, "'much': it takes a number from 0 up"),
        ({"loss": "l1", "weight": True}, "true: it takes a number"),
        ({"loss": "l1", "weight": None}, "null: it takes a number"),
        ({"loss": "charbonnier", "epsilon": [1]}, "it takes a number"),
        ({"loss": "ssim", "window": 7.5}, "a whole number"),
        ({"loss": "ssim", "window": True}, "a whole number"),
        ({"weight": 1}, "names no loss"),
        (7, "objective.terms.1 cannot be 7"),
        ({"loss": 1}, "loss cannot be 1"),
    ],
)
def test_what_a_user_gets_wrong_is_named(term: object, says: str) -> None:
    with pytest.raises(UserError, match=says):
        Objective([{"loss": "l2"}, term])  # type: ignore[list-item]


def test_a_class_is_built_once_and_moves(plugin: None, batch: Batch) -> None:
    objective = Objective([{"loss": "learned", "mode": "sum", "count": 2}])
    first, second = objective.values(batch)["learned"], objective.values(batch)["learned"]
    torch.testing.assert_close(first, 2 * batch.fake.sum())
    assert first == second
    assert type(objective.terms["learned"]).built == 1  # type: ignore[attr-defined]
    assert objective.to("meta") is objective
    assert next(objective.terms["learned"].parameters()).device.type == "meta"  # type: ignore[attr-defined]


def test_choices_and_shapes_of_plugins_are_checked(plugin: None, batch: Batch) -> None:
    with pytest.raises(UserError, match="one of mean, sum"):
        Objective([{"loss": "learned", "mode": "median"}])
    with pytest.raises(UserError, match=r"'unreduced' returned a tensor of shape \(2,\)"):
        Objective([{"loss": "unreduced"}]).values(batch)


def test_terms_can_be_called_by_hand(batch: Batch) -> None:
    value: Tensor = Objective([{"loss": "l1"}]).terms["l1"](batch)
    torch.testing.assert_close(value, l1(batch))


def test_a_term_that_matches_another_has_its_length_and_its_own_direction(batch: Batch) -> None:
    objective = Objective([{"loss": "l2", "weight": 5, "match_gradient_of": "l1"}])
    values = objective.values(batch)
    (gradient,) = torch.autograd.grad(objective.weighted_sum(values, batch=batch), batch.fake, retain_graph=True)
    (own,) = torch.autograd.grad(l2(batch), batch.fake, retain_graph=True)
    (model,) = torch.autograd.grad(l1(batch), batch.fake)
    assert gradient.norm() == pytest.approx(5 * float(model.norm()), rel=1e-5)
    torch.testing.assert_close(gradient / gradient.norm(), own / own.norm())
    with pytest.raises(ValueError, match="needs the batch"):
        objective.weighted_sum(values)


def test_a_term_without_a_gradient_stays_without_one(batch: Batch) -> None:
    same = batch.with_fake(batch.target.clone().requires_grad_())
    objective = Objective([{"loss": "l2", "match_gradient_of": "l1"}])
    value = objective.weighted_sum(objective.values(same), batch=same)
    (gradient,) = torch.autograd.grad(value, same.fake)
    assert torch.equal(gradient, torch.zeros_like(gradient))


def test_matching_what_does_not_exist(batch: Batch) -> None:
    with pytest.raises(UserError, match="did you mean 'l1'"):
        Objective([{"loss": "l2", "match_gradient_of": "l11"}])
