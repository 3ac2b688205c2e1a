"""How a trained network is run: pix2pix keeps its dropout and the statistics of the images at hand; here both are said out loud."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm, _NormBase
from torch.nn.modules.dropout import _DropoutNd

from .blocks import BottleneckNorm, NoiseInjection
from .noise import NoiseMap, NoiseStream

# A module's flags and the global random numbers belong to all threads, so only one of them may borrow these at a time.
_one_at_a_time = threading.RLock()


@contextmanager
def inference(
    module: nn.Module,
    norm: Literal["batch", "running"] = "batch",
    noise: Literal["dropout", "none"] = "dropout",
    seed: int | None = None,
    given: Sequence[Tensor] | NoiseStream | None = None,
) -> Iterator[NoiseStream]:
    """Run ``module`` without gradients in a stated mode, and leave it, its buffers and the global random numbers as they were.

    ``.train()`` and ``.eval()`` play no part: every submodule's flag is set here and restored at the end, also after an exception. Each
    image of a batch is translated as if it were alone: with its own statistics, and with the noise of the seed.

    Args:
        module: any network.
        norm: ``batch`` normalises each image with its own statistics (at batch size 1 this is what batch norm does in training; Isola et
            al. 2017, section 3.3), ``running`` with those gathered in training.
        noise: ``dropout`` keeps dropout on, the z of the paper (end of section 3.1), and injected noise where a generator has it; ``none``
            turns both off.
        seed: of the noise, which is the same on every device (see :mod:`.noise`). ``None`` draws from (and so moves) torch's global random
            numbers, anew for every image of a batch.
        given: the noise itself, a map ``[1, C, H, W]`` for each layer that makes noise, in their order, or what draws it; ``seed`` is not
            looked at.

    Yields:
        The noise of the passes within.

    Raises:
        ValueError: an unknown ``norm`` or ``noise``.
    """
    if norm not in ("batch", "running") or noise not in ("dropout", "none"):
        raise ValueError(f"inference(norm={norm!r}, noise={noise!r}): norm is 'batch' or 'running', noise is 'dropout' or 'none'")
    stream = given if isinstance(given, NoiseStream) else NoiseStream(seed or 0, given)
    with _one_at_a_time, ExitStack() as undo:
        undo.enter_context(torch.no_grad())
        for layer in module.modules():
            makes_noise = noise == "dropout" and isinstance(layer, _DropoutNd | NoiseInjection)
            _set(layer, "training", makes_noise, undo)
            if makes_noise and (seed is not None or given is not None):
                replace_forward(layer, functools.partial(_with_noise, layer, stream), undo)
            gathered = isinstance(layer, _NormBase) and layer.track_running_stats
            # a batch norm without running statistics takes those of the batch in either mode; instance norm is of each image already
            if (norm == "batch" and gathered) or (isinstance(layer, _BatchNorm) and layer.running_mean is None):
                replace_forward(layer, functools.partial(_with_own_statistics, layer), undo)
        yield stream


def _with_noise(layer: nn.Module, stream: NoiseStream, x: Tensor) -> Tensor:
    """What a layer that makes noise makes of a batch, with a map from outside."""
    _, channels, *sides = x.shape
    if isinstance(layer, NoiseInjection):
        return layer.add(x, _on(stream.next(NoiseMap("normal", 0.0, (1, *sides))), x))
    if not isinstance(layer, nn.Dropout):  # whole channels
        sides = [1, 1]
    return x * _on(stream.next(NoiseMap("dropout", float(layer.p), (channels, *sides))), x)  # type: ignore[arg-type]


def _on(noise: object, x: Tensor) -> Tensor:
    return (noise if isinstance(noise, Tensor) else torch.from_numpy(noise)).to(x.device, x.dtype)


def _with_own_statistics(layer: nn.Module, x: Tensor) -> Tensor:
    """Normalise each image of a batch with its own mean and variance. For one image the arithmetic is that of batch norm in training."""
    if isinstance(layer, BottleneckNorm) and x[0, 0].numel() == 1:
        return layer.shift(x)
    return F.instance_norm(x, None, None, layer.weight, layer.bias, True, 0.0, layer.eps)  # type: ignore[arg-type]


def replace_forward(layer: nn.Module, forward: Callable[[Tensor], Tensor], undo: ExitStack) -> None:
    """Let a layer compute something else until ``undo`` is closed."""
    before = layer.__dict__.get("forward")
    undo.callback(layer.__dict__.pop, "forward") if before is None else undo.callback(layer.__dict__.__setitem__, "forward", before)
    layer.__dict__["forward"] = forward


def _set(layer: nn.Module, name: str, value: object, undo: ExitStack) -> None:
    undo.callback(setattr, layer, name, getattr(layer, name))
    setattr(layer, name, value)
