"""From a recipe's words to networks with their starting weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from .. import registry
from .init import initialise


def build_generator(name: str, source_channels: int, target_channels: int, options: Mapping[str, Any] | None = None) -> nn.Module:
    """The registered generator ``name``, initialised from the global random numbers (seed with ``torch.manual_seed``).

    Args:
        name: as in ``transfigure list generator``.
        source_channels: C of the source images.
        target_channels: C of the target images.
        options: the other keys of the recipe's ``generator`` section.

    Raises:
        UserError: unknown name, unknown option, or a value the architecture cannot have.
    """
    return _build("generator", name, (source_channels, target_channels), options)


def build_discriminator(name: str, channels: int, options: Mapping[str, Any] | None = None) -> nn.Module:
    """The registered discriminator ``name``, initialised from the global random numbers.

    Args:
        name: as in ``transfigure list discriminator``.
        channels: what it looks at: C of source plus C of target when conditional, else C of target.
        options: the other keys of the recipe's ``discriminator`` section.

    Raises:
        UserError: unknown name, unknown option, or a value the architecture cannot have.
    """
    return _build("discriminator", name, (channels,), options)


def _build(kind: str, name: str, channels: tuple[int, ...], options: Mapping[str, Any] | None) -> nn.Module:
    given = dict(options or {})
    registry.check_options(kind, name, given, where=kind)
    network: nn.Module = registry.build(kind, name, *channels, **given)
    return initialise(network)
