"""The objective: the weighted sum of loss terms that a recipe asks for, in addition to the adversarial loss."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from .. import registry
from ..data.batch import Batch
from ..errors import UserError, did_you_mean
from ..networks.base import Generator
from ..recipe import ObjectiveSection, Term

LossTerm = Callable[..., Tensor]
"""``term(batch) -> scalar``, or with more arguments, by name: see :data:`CONTEXT`."""

CONTEXT = {
    "generator": "G itself, to apply to something else than the batch's sources",
    "inverse": "the generator of the other direction, which is then trained with G",
    "real_output": "D's output on the targets, without gradient",
    "fake_output": "D's output on the generated images",
}
"""What a term may have beside the batch: it says so by naming the argument."""


class Objective:
    """Loss terms and their weights: sum_k w_k L_k(batch).

    Values and weights are kept apart, because a person reads the terms as they are and the generator needs their weighted sum::

        objective = Objective([{"loss": "l1", "weight": 100}, {"loss": "ssim"}])
        values = objective.values(batch.with_fake(fake))      # {"l1": 0.31, "ssim": 0.62}, unweighted
        objective.weighted_sum(values).backward()              # 100 * 0.31 + 1 * 0.62

    Args:
        terms: one mapping per term: ``loss`` (a registered name), ``weight`` (default 1), and that loss's own options. A weight of 0
            measures the term without training on it. A loss listed twice is called ``l1`` and ``l1_2``. ``match_gradient_of``
            names another loss, whose gradient norm the term takes on: see :meth:`weighted`.

    Attributes:
        terms: name to ``term(batch, ...) -> scalar``, in the recipe's order.
        weights: name to weight.
        needs: name to the arguments that the term has beside the batch.
        matched: name to the loss whose gradient norm it takes on, for the terms that do.
        losses: name to the registered loss.
        trained: the terms that have weights of their own to train, once :meth:`prepare` was called.

    Raises:
        UserError: no such loss or option, a value that it cannot take, or an argument that no term is given.
    """

    def __init__(self, terms: Sequence[Mapping[str, Any]]) -> None:
        self.terms: dict[str, LossTerm] = {}
        self.weights: dict[str, float] = {}
        self.needs: dict[str, tuple[str, ...]] = {}
        self.matched: dict[str, LossTerm] = {}
        self.losses: dict[str, str] = {}
        self.trained = nn.ModuleDict()
        for index, term in enumerate(ObjectiveSection.model_validate({"terms": terms}).terms):
            options = {key: value for key, value in term.items() if key not in Term.model_fields}
            name = self._free_name(term["loss"])
            self.terms[name] = _build(term["loss"], options)
            self.needs[name] = _arguments(self.terms[name], term["loss"])
            self.losses[name] = term["loss"]
            self.weights[name] = term["weight"]
            if (matched := term.get("match_gradient_of")) is not None:
                self.matched[name] = _build(matched, {})
                if _arguments(self.matched[name], matched):
                    where = f"objective.terms.{index}.match_gradient_of"
                    raise UserError(f"{where} is {matched}, which needs more than the images: name another loss")

    def needing(self, argument: str) -> list[str]:
        """The losses in it that have this argument, such as ``inverse``."""
        return [self.losses[name] for name, arguments in self.needs.items() if argument in arguments]

    def prepare(self, generator: Generator) -> Objective:
        """Before training: terms that see with a published network read it, those that train weights beside G build them.

        A term with a method ``prepare(generator)`` is asked, in the recipe's order; weights are drawn from the global random numbers. If it
        is a module, what it built is trained with G and is part of a checkpoint.
        """
        for name, term in self.terms.items():
            build = getattr(term, "prepare", None)
            if build is not None:
                build(generator)
                if isinstance(term, nn.Module):
                    self.trained[name] = term
        return self

    def values(self, batch: Batch, **context: Any) -> dict[str, Tensor]:
        """Every term's value on a batch that holds generated images: scalars, not weighted, with gradient where the weight is not 0.

        Args:
            batch: the pairs and the generated images.
            **context: what there is of :data:`CONTEXT`; each term is given what it asks for.

        Raises:
            UserError: a term (of a plugin) did not return a scalar.
        """
        values = {}
        for name, term in self.terms.items():
            with torch.set_grad_enabled(torch.is_grad_enabled() and self.weights[name] != 0):
                values[name] = term(batch, **{argument: context[argument] for argument in self.needs[name]})
            if values[name].ndim != 0:
                raise UserError(f"loss {name!r} returned a tensor of shape {tuple(values[name].shape)}: a loss returns one number")
        return values

    def weighted(self, values: Mapping[str, Tensor], batch: Batch | None = None) -> dict[str, Tensor]:
        """Each value times its weight, those of weight 0 left out.

        A term with ``match_gradient_of`` is also scaled so that its gradient at the generated images is as long as that of the loss M
        named there: w L ||dM / dG(x)|| / ||dL / dG(x)||, the quotient taken as a constant. So losses of other scales can be compared at
        equal strength: a cosine at weight 100 that matches ``l1`` has the gradient norm of 100 L1 in every update, in its own direction.

        Args:
            values: what :meth:`values` returned.
            batch: the batch that they are of; needed if a term matches another.
        """
        weighted = {name: self.weights[name] * value for name, value in values.items() if self.weights[name] != 0}
        for name in self.matched.keys() & weighted.keys():
            if batch is None:
                raise ValueError(f"term {name!r} matches another loss's gradient, which needs the batch: weighted_sum(values, batch=batch)")
            weighted[name] = weighted[name] * _quotient(self.matched[name], values[name], batch)
        return weighted

    def weighted_sum(self, values: Mapping[str, Tensor], device: torch.device | str | None = None, batch: Batch | None = None) -> Tensor:
        """The sum of :meth:`weighted`; a zero (on ``device``, if there are no values) when nothing has weight."""
        zero = next(iter(values.values())).new_zeros(()) if values else torch.zeros((), device=device)
        return sum(self.weighted(values, batch).values(), zero)

    def to(self, device: torch.device | str) -> Objective:
        """Move the terms that hold weights of their own, in place."""
        for term in self.terms.values():
            if isinstance(term, nn.Module):
                term.to(device)
        return self

    def _free_name(self, loss: str) -> str:
        name, count = loss, 1
        while name in self.terms:
            count += 1
            name = f"{loss}_{count}"
        return name


def _quotient(matched: LossTerm, value: Tensor, batch: Batch) -> Tensor:
    """How much longer the matched loss's gradient at the generated images is than the value's; 0 where the value has none."""
    if not value.requires_grad:
        return value.new_zeros(())
    own: Tensor | None = torch.autograd.grad(value, batch.fake, retain_graph=True, allow_unused=True)[0]
    if own is None:  # the term does not depend on G(x)
        return value.new_zeros(())
    fake = batch.fake.detach().requires_grad_()
    (wanted,) = torch.autograd.grad(matched(batch.with_fake(fake)), fake)
    length = own.norm()
    return torch.where(length > 0, wanted.norm() / length.clamp_min(1e-30), 0.0)


def _arguments(term: LossTerm, loss: str) -> tuple[str, ...]:
    """The names of what a term wants beside the batch.

    Raises:
        UserError: it wants something that no step has.
    """
    signature = inspect.signature(term.forward if isinstance(term, nn.Module) else term)
    wanted = tuple(name for name, item in signature.parameters.items() if item.default is item.empty and item.kind is not item.VAR_KEYWORD)
    for name in wanted[1:]:
        if name not in CONTEXT:
            raise UserError(
                f"the loss {loss} has an argument {name!r} that nothing fills{did_you_mean(name, CONTEXT)}: "
                "give it a default, which makes it an option of the recipe"
            )
    return wanted[1:]


def _build(loss: str, options: dict[str, Any]) -> LossTerm:
    """A class is constructed once with its options; a function is called with them each time."""
    thing = registry.resolve("loss", loss)
    with_options: partial[Any] = partial(thing, **options)
    term: LossTerm = with_options() if inspect.isclass(thing) else with_options
    return term
