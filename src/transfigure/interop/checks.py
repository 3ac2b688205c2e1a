"""What holds for every network that was trained by other programs: finite weights, and an output, before anything is written."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from ..errors import UserError
from ..networks.base import Generator
from ..networks.model_file import ModelConfig
from ..networks.modes import inference


def check_finite(weights: Mapping[str, Tensor], path: str | Path) -> None:
    """Refuse weights that hold NaN or infinity.

    Raises:
        UserError: the first layer that does, and how many.
    """
    broken = [name for name, value in weights.items() if value.is_floating_point() and not bool(torch.isfinite(value).all())]
    if broken:
        more = f" (and in {len(broken) - 1} more)" if len(broken) > 1 else ""
        raise UserError(
            f"{path} holds values that are not finite, in {broken[0]}{more}: that training had diverged, so take an earlier state"
        )


def check_statistics(generator: Generator, norm: str | None, path: str | Path) -> None:
    """See that a network that shall run with statistics gathered in training has some.

    Raises:
        UserError: its file holds none.
    """
    norms = [layer for layer in generator.modules() if isinstance(layer, nn.BatchNorm2d)]
    none = [
        layer for layer in norms if layer.running_var is not None and not layer.num_batches_tracked and bool((layer.running_var == 1).all())
    ]
    if norm == "running" and norms and len(none) == len(norms):
        raise UserError(f"{path} holds no statistics that were gathered in training: leave out --norm running")


def try_out(generator: Generator, config: ModelConfig, path: str | Path) -> None:
    """Run a network once, on noise as large as the smallest image it takes, in its own modes.

    Args:
        generator: to be run on the device where it is.
        config: its configuration.
        path: where it comes from, for the message.

    Raises:
        UserError: it cannot be run, or makes anything but an image.
    """
    side = max(config.size_multiple, generator.smallest_input)
    side = generator.only_size or -(-side // config.size_multiple) * config.size_multiple
    source = torch.rand((1, config.source.channels, side, side), generator=torch.Generator().manual_seed(0)) * 2 - 1
    modes = config.inference
    with inference(generator, norm=modes.norm, noise=modes.noise, seed=modes.seed):
        output = generator(source.to(next(generator.parameters()).device))
    if not bool(torch.isfinite(output).all()):
        raise UserError(
            f"{path} makes values that are not finite of an image of noise: that training had diverged, so take an earlier state"
        )
    if output.shape != (1, config.target.channels, side, side):
        raise UserError(f"{path} makes {list(output.shape)} of {list(source.shape)}: it translates no images")


def describe(config: ModelConfig) -> str:
    """A generator and how it runs, in one line."""
    options = ", ".join(f"{key} {value}" for key, value in config.options.items())
    modes = config.inference
    return (
        f"generator {config.generator}, {config.source.channels} -> {config.target.channels} channels, {options}; "
        f"runs with {modes.norm} statistics and {'dropout' if modes.noise == 'dropout' else 'no dropout'}"
    )
