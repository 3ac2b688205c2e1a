"""Is this a recipe? Keys, names, types and values, each refused with one sentence."""

from __future__ import annotations

import copy
import dataclasses
import math
import re
import typing
from collections.abc import Mapping
from dataclasses import field
from functools import partial
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from .. import registry
from ..errors import UserError, did_you_mean
from .sections import AUGMENTATIONS, Component, Term, Training, plain
from .tree import Group, drawn_worlds, flatten, options_of, parse_value

if TYPE_CHECKING:
    from . import Recipe


def read_mapping(where: str, value: Any) -> dict[str, Any]:
    """A group of keys, empty where nothing is given."""
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise UserError(f"{where} cannot be {value!r}: it is a group of keys, such as {where}: {{...}}")
    return dict(value)


def check_keys(where: str, given: Mapping[str, Any], known: list[str]) -> None:
    """Refuse keys that nobody reads, with the nearest one that somebody does."""
    for key in given:
        if key not in known:
            label = key if where == "recipe" else f"{where}.{key}"
            raise UserError(f"{label} is not a recipe key{did_you_mean(str(key), known)}")


def read_section(where: str, value: Any, group: Group) -> Any:
    """One section, typed: the dataclass's own fields plus the options of the registered thing it names."""
    given = {group.naming: value} if isinstance(value, str) else read_mapping(where, value)
    name = given.setdefault(group.naming, group.default)
    if not isinstance(name, str):
        raise UserError(f"{where}.{group.naming} cannot be {shown(name)}: it takes the name of a {group.kind} (see: transfigure list)")
    own = [item.name for item in dataclasses.fields(group.own) if item.name != "options"]
    options = options_of(group.kind, name)
    check_keys(where, given, [*own, *options])
    values = _typed(where, group.own, tuple(options.values()), given)
    if name == "auto":  # the kind, and with it the defaults, is settled when the folder has been seen
        values = {key: item for key, item in values.items() if key in own or key in given}
    return group.own(**{key: values[key] for key in own}, options={key: values[key] for key in values if key not in own})


@dataclasses.dataclass(frozen=True)
class _Options:
    """Nothing but the options of a registered thing."""


def read_options(where: str, kind: str, name: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """The options given for a registered thing, typed.

    Raises:
        UserError: an unknown option (with the nearest known one), or a value of the wrong type.
    """
    registry.check_options(kind, name, dict(given), where)
    options = options_of(kind, name)
    plain_text = {key for key, option in options.items() if option.annotation in (str, str | None)}
    read = {key: parse_value(value) if isinstance(value, str) and key not in plain_text else value for key, value in given.items()}
    values = _typed(where, _Options, tuple(options.values()), read)
    return {key: values[key] for key in given}


def read_training(value: Any) -> Training:
    """The training section, typed."""
    given = read_mapping("training", value)
    check_keys("training", given, [item.name for item in dataclasses.fields(Training)])
    return Training(**_typed("training", Training, (), given))


def section_class(cls: Any, options: tuple[registry.Parameter, ...] = ()) -> Any:
    """A dataclass with a section's own fields and the named thing's options: what the flag parser and ``--help`` are made from."""
    helps = {**registry.argument_help(cls.__doc__ or ""), **{item.name: item.help for item in options}}
    hints = typing.get_type_hints(cls)
    fields: list[Any] = []
    for item in dataclasses.fields(cls):
        if item.name == "options":
            continue
        factory = item.default_factory
        default = item.default if item.default is not dataclasses.MISSING else None
        fields.append(
            (item.name, hints[item.name], field(default=default) if factory is dataclasses.MISSING else field(default_factory=factory))
        )
    fields += [(item.name, item.annotation, field(default_factory=partial(copy.copy, item.default))) for item in options]
    made = dataclasses.make_dataclass(cls.__name__, fields)
    summary = (cls.__doc__ or "").strip().split("\n\n")[0]
    made.__doc__ = summary + "\n\nArgs:\n" + "\n".join(f"    {name}: {text}" for name, text in helps.items())
    return made


def _typed(where: str, cls: Any, options: tuple[registry.Parameter, ...], given: dict[str, Any]) -> dict[str, Any]:
    from jsonargparse import ArgumentError, ArgumentParser

    made = section_class(cls, options)
    parser = ArgumentParser(exit_on_error=False, allow_abbrev=False)
    parser.add_argument("--section", type=made, default=made())
    types = {item.name: item.type for item in dataclasses.fields(made)}
    try:
        parsed = parser.parse_object({"section": {key: _wanted(types[key], value) for key, value in given.items()}}).section
    except (ArgumentError, TypeError, ValueError) as error:
        for key, value in given.items():  # which one was it? the parser's own message is many lines long
            try:
                parser.parse_object({"section": {key: _wanted(types[key], value)}})
            except (ArgumentError, TypeError, ValueError):
                raise UserError(f"{where}.{key} cannot be {shown(value)}: it takes {describe_type(types[key])}") from None
        raise UserError(f"{where}: {' '.join(str(error).split())}") from None
    return {key: getattr(parsed, key) for key in types}


def _wanted(annotation: Any, value: Any) -> Any:
    """YAML 1.1 has ``no`` mean false and ``2e-4`` a word; read them as the key's type wants.

    Raises:
        ValueError: null where it has no meaning (the parser would let it pass).
    """
    if value is None and annotation is not Any and type(None) not in typing.get_args(annotation):
        raise ValueError("null")
    if isinstance(value, bool) and "Literal" in str(annotation):
        return "yes" if value else "no"
    if isinstance(value, str) and "float" in str(annotation):
        return parse_value(value)
    if isinstance(value, float) and value.is_integer() and annotation in (int, int | None):
        return int(value)
    if isinstance(value, PurePath):
        return str(value)
    return list(value) if isinstance(value, tuple) else value


def shown(value: Any) -> str:
    """A value as YAML writes it: ``null``, not ``None``."""
    return {"None": "null", "True": "true", "False": "false"}.get(repr(value), repr(value))


def describe_type(annotation: Any) -> str:
    """A type in words: ``a whole number or null``."""
    words = {
        "int": "a whole number",
        "float": "a number",
        "str": "a word (in quotes if it looks like a number)",
        "bool": "true or false",
        "NoneType": "null",
        "None": "null",
    }
    text = annotation.__name__ if isinstance(annotation, type) and not hasattr(annotation, "__args__") else str(annotation)
    literals = re.findall(r"Literal\[(.*?)\]", text)
    if literals:
        return " or ".join(["one of " + literals[0].replace("'", ""), *(["null"] if "None" in text else [])])
    if text.startswith("tuple"):
        numbers = "[" + ", ".join("number" for _ in range(text.split("]")[0].count(",") + 1)) + "]"
        return f"a list {numbers}" + (" or null" if "None" in text else "")
    if text.startswith("list"):
        return "a list, such as [a, b]"
    return " or ".join(words.get(part.strip(), part.strip()) for part in text.split("|"))


def read_terms(value: Any) -> tuple[dict[str, Any], ...]:
    """The objective's terms, each complete with its weight and options."""
    if value is None:
        return ()
    if not isinstance(value, list | tuple):
        raise UserError(f"objective.terms cannot be {value!r}: it is a list, such as [{{loss: l1, weight: 100}}]")
    terms = []
    for position, item in enumerate(value):
        where = f"objective.terms.{position}"
        term = {"loss": item} if isinstance(item, str) else read_mapping(where, item)
        if "loss" not in term:
            raise UserError(f"{where} names no loss: write it as {{loss: l1, weight: 100}}")
        whole = plain(read_section(where, term, Group("loss", "loss", "", Term)))
        if whole["like"] is None:
            del whole["like"]
        else:
            registry.entry("loss", whole["like"])
        terms.append(whole)
    return tuple(terms)


def with_depth(generator: Component, crop_size: int) -> Component:
    """A U-shaped generator left without a depth gets as many halvings as its training squares allow, at most the paper's 8."""
    if "depth" not in generator.options or generator.options["depth"] is not None:
        return generator
    halvings = (crop_size & -crop_size).bit_length() - 1 if crop_size > 0 else 0
    if halvings < 4:
        near = max(16, round(crop_size / 16) * 16)
        raise UserError(
            f"data.crop_size {crop_size} cannot be halved often enough for a U-shaped generator: "
            f"use a multiple of 16 such as {near}, or set --generator.depth"
        )
    return Component(generator.name, {**generator.options, "depth": min(8, halvings)})


def check_values(recipe: Recipe) -> None:
    """Refuse values of the right type that mean nothing: a negative width, a crop larger than the image.

    Raises:
        UserError: on the first one, with what to write instead.
    """
    data, training, game, judge = recipe.data, recipe.training, recipe.objective.adversarial, recipe.discriminator
    for key, value in flatten(recipe.to_dict()):
        if any(isinstance(number, float) and math.isnan(number) for number in (value if isinstance(value, list) else [value])):
            raise UserError(f"{key} is {value}: it must be a number")
    if data.kind in drawn_worlds() and data.path not in (None, data.kind):
        raise UserError(f"data.path is {data.path!r}, but data.kind is {data.kind}, which reads no files: leave out one of them")
    positive = {
        "data.crop_size": data.crop_size,
        "training.epochs": training.epochs,
        "training.batch_size": training.batch_size,
        "training.learning_rate": training.learning_rate,
        "training.devices": training.devices,
        "training.nodes": training.nodes,
        "training.log_every": training.log_every,
        **{f"generator.{key}": value for key, value in recipe.generator.options.items() if key in ("width", "depth", "blocks")},
        **{f"discriminator.{key}": value for key, value in (judge.options if judge else {}).items() if key == "width"},
        **{
            key: value
            for key, value in {
                "data.limit": data.limit,
                "training.preview_every": training.preview_every,
                "training.checkpoint_every": training.checkpoint_every,
                "training.keep_every": training.keep_every,
                "training.discriminator_learning_rate": training.discriminator_learning_rate,
                "training.patience": training.patience,
            }.items()
            if value is not None
        },
    }
    for key, value in positive.items():
        if not (value > 0 and math.isfinite(value)):
            raise UserError(f"{key} is {value}: it must be {'greater than zero' if value < math.inf else 'finite'}")
    for key, count in {
        "data.workers": data.workers,
        "data.cache_gb": data.cache_gb,
        "training.preview_count": training.preview_count,
        "training.validate_every": training.validate_every,
    }.items():
        if count < 0:
            raise UserError(f"{key} is {count}: it cannot be negative")
    for key, seed in {"training.seed": training.seed, "data.split_seed": data.split_seed}.items():
        if not 0 <= seed < 2**63:
            raise UserError(f"{key} is {seed}: a seed is a whole number from 0 to 2^63 - 1")
    if data.load_size is not None and data.load_size < data.crop_size:
        raise UserError(
            f"data.load_size {data.load_size} is smaller than data.crop_size {data.crop_size}: "
            f"raise load_size (the paper uses 286 for 256) or lower crop_size"
        )
    for key, share in {"data.val_fraction": data.val_fraction, "data.test_fraction": data.test_fraction}.items():
        if not 0 <= share < 1:
            raise UserError(f"{key} is {share}: it is a share between 0 and 1")
    if data.val_fraction + data.test_fraction >= 1:
        raise UserError("data.val_fraction and data.test_fraction leave nothing to train on: their sum must stay below 1")
    for key, limits in {"data.source_range": data.source_range, "data.target_range": data.target_range}.items():
        if limits is not None and not (limits[0] < limits[1] and math.isfinite(limits[1] - limits[0])):
            raise UserError(f"{key} is {list(limits)}: the first value must be smaller than the second, and both finite")
    if training.ema is not None and not 0 < training.ema < 1:
        raise UserError(f"training.ema is {training.ema}: it is a decay between 0 and 1, such as 0.999")
    if not all(0 <= beta < 1 for beta in training.betas):
        raise UserError(f"training.betas is {list(training.betas)}: each lies between 0 and 1")
    registry.entry("metric", training.best_metric)
    for tracker in training.trackers:
        if tracker not in ("tensorboard", "mlflow", "wandb"):
            raise UserError(
                f"training.trackers: there is no tracker {tracker!r}{did_you_mean(tracker, ['tensorboard', 'mlflow', 'wandb'])}"
            )
    if game is not None and not (game.r1 >= 0 and math.isfinite(game.r1)):
        raise UserError(f"objective.adversarial.r1 is {game.r1}: it is a weight from 0 up (0 is off, 10 is usual)")
    if game is not None and game.pool < 0:
        raise UserError(f"objective.adversarial.pool is {game.pool}: it is a number of images (0 is off, 50 is CycleGAN's)")
    for policy in game.augment if game is not None else ():
        if policy not in AUGMENTATIONS:
            raise UserError(f"objective.adversarial.augment: there is no {policy!r}{did_you_mean(policy, AUGMENTATIONS)}")
    alone = game is not None and registry.entry("adversarial", game.loss).extra.get("batch_norm") is False
    if game is not None and alone and judge is not None and judge.options.get("norm") == "batch":
        raise UserError(
            f"objective.adversarial.loss {game.loss} needs a discriminator that judges each image by itself: "
            f"add --discriminator.norm instance"
        )
    weights = {f"objective.terms.{index}.weight": term["weight"] for index, term in enumerate(recipe.objective.terms)}
    if game is not None:
        weights["objective.adversarial.weight"] = game.weight
    for key, weight in weights.items():
        if not 0 <= weight < math.inf:
            raise UserError(f"{key} is {weight}: it must be zero or more")
    if not any(weights.values()):
        raise UserError("the objective is empty: set objective.adversarial, or at least one of objective.terms, with a weight above zero")
