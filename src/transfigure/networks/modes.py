"""How a trained network is run: pix2pix keeps its dropout and the statistics of the images at hand; here both are said out loud."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Literal

import torch
from torch import nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.dropout import _DropoutNd

from .blocks import NoiseInjection

# A module's flags and the global random numbers belong to all threads, so only one of them may borrow these at a time.
_one_at_a_time = threading.RLock()


@contextmanager
def inference(
    module: nn.Module,
    norm: Literal["batch", "running"] = "batch",
    noise: Literal["dropout", "none"] = "dropout",
    seed: int | None = None,
) -> Iterator[None]:
    """Run ``module`` without gradients in a stated mode, and leave it, its buffers and the global random numbers as they were.

    ``.train()`` and ``.eval()`` play no part: every submodule's flag is set here and restored at the end, also after an exception.

    Args:
        module: any network.
        norm: ``batch`` normalises with the statistics of the images at hand (at batch size 1 this is instance norm; Isola et al. 2017,
            section 3.3), ``running`` with those gathered in training.
        noise: ``dropout`` keeps dropout on, the z of the paper (end of section 3.1), and injected noise where a generator has it; ``none``
            turns both off.
        seed: makes the noise repeatable, on the CPU and on the device of the module's weights. ``None`` draws from (and so moves) the
            global random numbers.

    Raises:
        ValueError: an unknown ``norm`` or ``noise``.
    """
    if norm not in ("batch", "running") or noise not in ("dropout", "none"):
        raise ValueError(f"inference(norm={norm!r}, noise={noise!r}): norm is 'batch' or 'running', noise is 'dropout' or 'none'")
    with _one_at_a_time, ExitStack() as undo:
        undo.enter_context(torch.no_grad())
        if seed is not None:
            _seed(module, seed, undo)
        for layer in module.modules():
            _set(layer, "training", noise == "dropout" and isinstance(layer, _DropoutNd | NoiseInjection), undo)
            if norm == "batch" and isinstance(layer, _NormBase) and layer.track_running_stats:
                # Without running statistics to read or to write, a norm layer in eval mode takes those of its input. (In train mode a
                # SyncBatchNorm would wait for the other processes.)
                for name, value in (("track_running_stats", False), ("running_mean", None), ("running_var", None)):
                    _set(layer, name, value, undo)
        yield


def _set(layer: nn.Module, name: str, value: object, undo: ExitStack) -> None:
    undo.callback(setattr, layer, name, getattr(layer, name))
    setattr(layer, name, value)


def _seed(module: nn.Module, seed: int, undo: ExitStack) -> None:
    """Seed the CPU's numbers and those of the module's own devices, which alone are put back (``torch.manual_seed`` reaches all)."""
    devices = {tensor.device for tensor in (*module.parameters(), *module.buffers())}
    undo.enter_context(torch.random.fork_rng(devices=[]))
    torch.default_generator.manual_seed(seed)
    for device in devices:
        if device.type == "cuda":
            index = torch.cuda.current_device() if device.index is None else device.index
            undo.enter_context(torch.random.fork_rng(devices=[index]))
            torch.cuda.default_generators[index].manual_seed(seed)
        elif device.type == "mps":
            undo.callback(torch.mps.set_rng_state, torch.mps.get_rng_state())
            torch.mps.manual_seed(seed)
