"""State dicts as the reference implementation names and shapes them, with random values.

Written down from the reference's own names (one function per network), not derived from the reader's.
"""

from __future__ import annotations

import torch
from torch import Tensor

State = dict[str, Tensor]


def _norm(state: State, key: str, channels: int, norm: str, stale: bool = False) -> None:
    if norm == "batch":
        state[f"{key}.weight"] = 1 + torch.randn(channels) * 0.02
        state[f"{key}.bias"] = torch.randn(channels)
    if norm == "batch" or stale:
        state[f"{key}.running_mean"] = torch.randn(channels)
        state[f"{key}.running_var"] = 1 + torch.rand(channels)
    if norm == "batch":
        state[f"{key}.num_batches_tracked"] = torch.tensor(12)


def _conv(state: State, key: str, shape: tuple[int, ...], bias: int) -> None:
    state[f"{key}.weight"] = torch.randn(shape) * 0.05
    if bias:
        state[f"{key}.bias"] = torch.randn(bias)


def reference_unet(source: int, target: int, width: int, depth: int, norm: str, *, stale: bool = False) -> State:
    """Nested blocks, from the outside in: down conv, (norm), the block inside, up conv, norm."""
    state: State = {}
    biased = norm == "instance"
    outer = width
    _conv(state, "model.model.0", (width, source, 4, 4), width * biased)
    prefix = "model.model.1.model"
    ups = []
    for level in range(1, depth):
        inner = min(2 * outer, 8 * width)
        _conv(state, f"{prefix}.1", (inner, outer, 4, 4), inner * biased)
        if level < depth - 1:
            _norm(state, f"{prefix}.2", inner, norm, stale)
            ups.append((f"{prefix}.5", 2 * inner, outer, f"{prefix}.6"))
            prefix += ".3.model"
        else:
            ups.append((f"{prefix}.3", inner, outer, f"{prefix}.4"))
        outer = inner
    for conv, incoming, outgoing, key in reversed(ups):
        _conv(state, conv, (incoming, outgoing, 4, 4), outgoing * biased)
        _norm(state, key, outgoing, norm, stale)
    _conv(state, "model.model.3", (2 * width, target, 4, 4), target)
    return state


def reference_resnet(source: int, target: int, width: int, blocks: int, norm: str, *, dropout: bool, stale: bool = False) -> State:
    state: State = {}
    biased = norm == "instance"
    place = 1
    for outgoing, incoming, kernel in ((width, source, 7), (2 * width, width, 3), (4 * width, 2 * width, 3)):
        _conv(state, f"model.{place}", (outgoing, incoming, kernel, kernel), outgoing * biased)
        _norm(state, f"model.{place + 1}", outgoing, norm, stale)
        place += 3
    for _ in range(blocks):
        for inside in (1, 6 if dropout else 5):
            _conv(state, f"model.{place}.conv_block.{inside}", (4 * width, 4 * width, 3, 3), 4 * width * biased)
            _norm(state, f"model.{place}.conv_block.{inside + 1}", 4 * width, norm, stale)
        place += 1
    for incoming, outgoing in ((4 * width, 2 * width), (2 * width, width)):
        _conv(state, f"model.{place}", (incoming, outgoing, 3, 3), outgoing * biased)
        _norm(state, f"model.{place + 1}", outgoing, norm, stale)
        place += 3
    _conv(state, f"model.{place + 1}", (target, width, 7, 7), target)
    return state


def reference_patch(channels: int, width: int, n_layers: int, norm: str, stale: bool = False) -> State:
    state: State = {}
    _conv(state, "model.0", (width, channels, 4, 4), width)
    incoming = width
    for layer in range(1, n_layers + 1):
        outgoing = min(2 * incoming, 8 * width)
        _conv(state, f"model.{3 * layer - 1}", (outgoing, incoming, 4, 4), outgoing * (norm == "instance"))
        _norm(state, f"model.{3 * layer}", outgoing, norm, stale)
        incoming = outgoing
    _conv(state, f"model.{3 * n_layers + 2}", (1, incoming, 4, 4), 1)
    return state


def reference_pixel(channels: int, width: int, norm: str, stale: bool = False) -> State:
    state: State = {}
    _conv(state, "net.0", (width, channels, 1, 1), width)
    _conv(state, "net.2", (2 * width, width, 1, 1), 2 * width * (norm == "instance"))
    _norm(state, "net.3", 2 * width, norm, stale)
    _conv(state, "net.5", (1, 2 * width, 1, 1), int(norm == "instance"))
    return state
