"""From a recipe's words to networks with their starting weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from .. import registry
from ..errors import UserError
from ..recipe.section import read_options
from .base import Discriminator, Generator
from .init import initialise


def build_generator(name: str, source_channels: int, target_channels: int, options: Mapping[str, Any] | None = None) -> Generator:
    """The registered generator ``name``, initialised from the global random numbers (seed with ``torch.manual_seed``).

    Args:
        name: as in ``transfigure list generator``.
        source_channels: C of the source images.
        target_channels: C of the target images.
        options: the other keys of the recipe's ``generator`` section.

    Raises:
        UserError: unknown name, unknown option, or a value the architecture cannot have.
    """
    network = _build("generator", name, (source_channels, target_channels), options)
    if not isinstance(network, Generator):
        raise _not_derived(network, "generator", name, Generator)
    return initialise(network)


def outline_of(name: str, source_channels: int, target_channels: int, options: Mapping[str, Any] | None = None) -> dict[str, Tensor] | None:
    """The state that :func:`build_generator` would give, on the meta device: names, shapes and types, and no memory.

    None for a network that cannot be built there.

    Raises:
        UserError: as :func:`build_generator`, or sizes beyond any memory.
    """
    _check_types("generator", name, options)
    try:
        with torch.random.fork_rng(devices=[]), torch.device("meta"):
            return build_generator(name, source_channels, target_channels, options).state_dict()
    except NotImplementedError:  # a layer that asks for values while it is built
        return None
    except (RuntimeError, OverflowError, TypeError, ValueError, MemoryError) as error:
        raise UserError(f"no {name} can be of these sizes: {' '.join(str(error).split())[:200]}") from error


def _check_types(kind: str, name: str, options: Mapping[str, Any] | None) -> None:
    """Options from a file are held to the types and bounds that the registry has of them, as a recipe's are."""
    read_options(kind, kind, name, dict(options or {}))


def build_discriminator(name: str, channels: int, options: Mapping[str, Any] | None = None, source_channels: int = 0) -> Discriminator:
    """The registered discriminator ``name``, initialised from the global random numbers.

    Args:
        name: as in ``transfigure list discriminator``.
        channels: what it sees: C of source plus C of target when conditional, else C of target.
        options: the other keys of the recipe's ``discriminator`` section.
        source_channels: how many of the channels are the source's, for a discriminator that asks by an argument of this name.

    Raises:
        UserError: unknown name, unknown option, or a value the architecture cannot have.
    """
    known = registry.entry("discriminator", name)
    apart = {"source_channels": source_channels} if "source_channels" in {*known.parameters} - {*known.options} else {}
    network = _build("discriminator", name, (channels,), options, apart)
    if not isinstance(network, Discriminator):
        raise _not_derived(network, "discriminator", name, Discriminator)
    return initialise(network)


def _build(
    kind: str, name: str, channels: tuple[int, ...], options: Mapping[str, Any] | None, more: Mapping[str, Any] | None = None
) -> object:
    given = dict(options or {})
    registry.check_options(kind, name, given, where=kind)
    network: object = registry.build(kind, name, *channels, **(more or {}), **given)
    return network


def _not_derived(network: object, kind: str, name: str, base: type) -> UserError:
    made = type(network).__name__
    return UserError(
        f"the registered {kind} {name!r} gives a {made}, which is no {base.__name__}: derive it from transfigure.{base.__name__}"
    )
