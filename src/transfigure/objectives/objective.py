"""The objective: the weighted sum of loss terms that a recipe asks for, beside the adversarial game."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Literal, get_args, get_origin

import torch
from torch import Tensor, nn

from .. import registry
from ..data.batch import Batch
from ..errors import UserError

Term = Callable[[Batch], Tensor]


class Objective:
    """Loss terms and their weights: sum_k w_k L_k(batch).

    Values and weights are kept apart, because a person reads the terms as they are and the generator needs their weighted sum::

        objective = Objective([{"loss": "l1", "weight": 100}, {"loss": "ssim"}])
        values = objective.values(batch.with_fake(fake))      # {"l1": 0.31, "ssim": 0.62}, unweighted
        objective.weigh(values).backward()                     # 100 * 0.31 + 1 * 0.62

    Args:
        terms: one mapping per term: ``loss`` (a registered name), ``weight`` (default 1), and that loss's own options. A weight of 0
            measures the term without training on it. A loss listed twice is called ``l1`` and ``l1_2``.

    Attributes:
        terms: name to ``term(batch) -> scalar``, in the recipe's order.
        weights: name to weight.

    Raises:
        UserError: no such loss or option, or a value that it cannot take.
    """

    def __init__(self, terms: Sequence[Mapping[str, Any]]) -> None:
        self.terms: dict[str, Term] = {}
        self.weights: dict[str, float] = {}
        for index, given in enumerate(terms):
            where = f"objective.terms.{index}"
            if not isinstance(given, Mapping) or not isinstance(given.get("loss"), str):
                raise UserError(f"{where} is {given!r}: a term names its loss, as in {{loss: l1, weight: 100}}")
            options = {key: value for key, value in given.items() if key not in ("loss", "weight")}
            name = self._free_name(given["loss"])
            self.terms[name] = _build(given["loss"], options, where)
            self.weights[name] = _weight(given.get("weight", 1.0), f"{where}.weight")

    def values(self, batch: Batch) -> dict[str, Tensor]:
        """Every term's value on a batch that holds generated images: scalars, not weighted, with gradient where the weight is not 0.

        Raises:
            UserError: a term (of a plugin) did not return a scalar.
        """
        values = {}
        for name, term in self.terms.items():
            with torch.set_grad_enabled(torch.is_grad_enabled() and self.weights[name] != 0):
                values[name] = term(batch)
            if values[name].ndim != 0:
                raise UserError(f"loss {name!r} returned a tensor of shape {tuple(values[name].shape)}: a loss returns one number")
        return values

    def weigh(self, values: Mapping[str, Tensor], device: torch.device | str | None = None) -> Tensor:
        """The weighted sum of what :meth:`values` returned; a zero (on ``device``, if there are no values) when nothing has weight."""
        zero = next(iter(values.values())).new_zeros(()) if values else torch.zeros((), device=device)
        return sum((self.weights[name] * value for name, value in values.items() if self.weights[name] != 0), zero)

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


def _build(loss: str, options: dict[str, Any], where: str) -> Term:
    """A class is constructed once with its options; a function is called with them each time."""
    known = registry.entry("loss", loss).options
    registry.check_options("loss", loss, options, where)
    options = {key: _value(given, known[key].annotation, f"{where}.{key}") for key, given in options.items()}
    thing = registry.resolve("loss", loss)
    with_options: partial[Any] = partial(thing, **options)
    term: Term = with_options() if inspect.isclass(thing) else with_options
    return term


def _weight(given: Any, where: str) -> float:
    weight: float = _value(given, float, where)
    if not (math.isfinite(weight) and weight >= 0):
        raise UserError(f"{where} is {given}: a weight is a number from 0 up (0 measures the term without training on it)")
    return weight


def _value(given: Any, annotation: Any, where: str) -> Any:
    """``given`` as the plain type a recipe key has; other annotations are the loss's own affair."""
    if annotation is float and isinstance(given, str):  # YAML 1.1 reads 1e-3 as a word
        try:
            return float(given)
        except ValueError:
            pass
    if annotation is float and isinstance(given, int) and not isinstance(given, bool):
        return float(given)
    if annotation in (float, int, str, bool) and (not isinstance(given, annotation) or (annotation is int and isinstance(given, bool))):
        raise UserError(f"{where} is {given!r}: it must be of type {annotation.__name__}")
    if get_origin(annotation) is Literal and given not in get_args(annotation):
        raise UserError(f"{where} is {given!r}: it must be one of {', '.join(map(str, get_args(annotation)))}")
    return given
