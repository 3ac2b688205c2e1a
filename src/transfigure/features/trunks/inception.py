"""The Inception network of 2015-12-05, whose pooled features define the FID.

Szegedy et al. 2016, "Rethinking the Inception architecture for computer vision", section 6, as it is in the TensorFlow graph of that
date: 1,008 classes; average pools that do not count the padding; and a max pool where the last block should average. Names and shapes
are those of the published file ``pt_inception-2015-12-05-6726825d.pth``: 94 convolutions, each ``conv.weight`` and a batch norm's
``bn.*``, and the classifier ``fc``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...errors import UserError

SIZE = 299
FILE = "pt_inception-2015-12-05-6726825d.pth"

# A layer is `width kernel`, the kernel's height first; `valid` pads nothing, and neither does `/2`, which takes every second pixel.
# Layers after a comma follow, layers after a plus are parallel. The layers of a longer branch are called _1, _2, and so on,
# parallel ones a and b.


def _a(pooled: int) -> dict[str, str]:
    return {
        "branch1x1": "64 1x1",
        "branch5x5": "48 1x1, 64 5x5",
        "branch3x3dbl": "64 1x1, 96 3x3, 96 3x3",
        "branch_pool": f"average, {pooled} 1x1",
    }


def _c(width: int) -> dict[str, str]:
    return {
        "branch1x1": "192 1x1",
        "branch7x7": f"{width} 1x1, {width} 1x7, 192 7x1",
        "branch7x7dbl": f"{width} 1x1, {width} 7x1, {width} 1x7, {width} 7x1, 192 1x7",
        "branch_pool": "average, 192 1x1",
    }


def _e(pool: str) -> dict[str, str]:
    return {
        "branch1x1": "320 1x1",
        "branch3x3": "384 1x1, 384 1x3 + 384 3x1",
        "branch3x3dbl": "448 1x1, 384 3x3, 384 1x3 + 384 3x1",
        "branch_pool": f"{pool}, 192 1x1",
    }


_NETWORK: dict[str, str | dict[str, str]] = {
    "Conv2d_1a_3x3": "32 3x3/2",
    "Conv2d_2a_3x3": "32 3x3 valid",
    "Conv2d_2b_3x3": "64 3x3",
    "pool_1": "largest/2",
    "Conv2d_3b_1x1": "80 1x1",
    "Conv2d_4a_3x3": "192 3x3 valid",
    "pool_2": "largest/2",
    "Mixed_5b": _a(32),
    "Mixed_5c": _a(64),
    "Mixed_5d": _a(64),
    "Mixed_6a": {"branch3x3": "384 3x3/2", "branch3x3dbl": "64 1x1, 96 3x3, 96 3x3/2", "pool": "largest/2"},
    "Mixed_6b": _c(128),
    "Mixed_6c": _c(160),
    "Mixed_6d": _c(160),
    "Mixed_6e": _c(192),
    "Mixed_7a": {"branch3x3": "192 1x1, 320 3x3/2", "branch7x7x3": "192 1x1, 192 1x7, 192 7x1, 192 3x3/2", "pool": "largest/2"},
    "Mixed_7b": _e("average"),
    "Mixed_7c": _e("largest"),
}

_POOLS: dict[str, nn.Module] = {
    "average": nn.AvgPool2d(3, 1, 1, count_include_pad=False),
    "largest": nn.MaxPool2d(3, 1, 1),
    "largest/2": nn.MaxPool2d(3, 2),
}


class Inception(nn.Module):
    """The network up to its 2,048 globally pooled features; frozen, for inference only.

    Args:
        state: the published weights by name; ``fc.*`` and ``*.num_batches_tracked`` may be there or not, and are not used.
        origin: where they are from, for an error.

    Raises:
        UserError: a name is missing or unexpected, or a shape is another.
    """

    def __init__(self, state: Mapping[str, Tensor], origin: str = "the state dict") -> None:
        super().__init__()
        layers: dict[str, _Layer] = {}
        self.trunk, width = nn.Sequential(), 3
        for name, text in _NETWORK.items():
            if isinstance(text, str):
                block, width = _branch(name, text, width, layers)
            else:
                branches = [_branch(f"{name}.{branch}", steps, width, layers) for branch, steps in text.items()]
                block, width = _Parallel(branch for branch, _ in branches), sum(width for _, width in branches)
            self.trunk.append(block)
        _check(state, layers, origin)
        for name, layer in layers.items():
            layer.load_folded(state, name)
        self.requires_grad_(False).eval()

    def forward(self, x: Tensor) -> Tensor:
        """``[N, 3, 299, 299]`` with values in 0..255 to ``[N, 2048]``, none negative."""
        x = ((x - 128) / 128).contiguous(memory_format=torch.channels_last)  # a third faster than planes on a CPU
        features: Tensor = self.trunk(x)
        return features.mean((2, 3))


class _Layer(nn.Conv2d):
    """Convolution, batch norm (folded into it) and ReLU."""

    def __init__(self, inputs: int, text: str) -> None:
        match = re.fullmatch(r"(\d+) (\d)x(\d)(/2| valid)?", text)
        assert match is not None, text
        outputs, height, width = (int(match[i]) for i in (1, 2, 3))
        padding = (0, 0) if match[4] else (height // 2, width // 2)
        super().__init__(inputs, outputs, (height, width), 2 if match[4] == "/2" else 1, padding, device="meta")

    def load_folded(self, state: Mapping[str, Tensor], name: str) -> None:
        """g (w * x - m) / sqrt(v + 0.001) + b as one convolution."""
        w, g, b, m, v = (state[f"{name}.{part}"].detach().double() for part in _PARTS)
        gain = g / (v + 0.001).sqrt()
        self.weight = nn.Parameter((w * gain[:, None, None, None]).float().contiguous(memory_format=torch.channels_last))
        self.bias = nn.Parameter((b - m * gain).float())

    def forward(self, x: Tensor) -> Tensor:
        return F.relu_(super().forward(x))


_PARTS = ("conv.weight", "bn.weight", "bn.bias", "bn.running_mean", "bn.running_var")


class _Parallel(nn.ModuleList):
    """Modules that see the same input; their outputs are concatenated."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([branch(x) for branch in self], 1)


def _branch(name: str, text: str, width: int, layers: dict[str, _Layer]) -> tuple[nn.Module, int]:
    """The modules of one branch and the width of what comes out; its layers are added to ``layers`` by name."""
    branch, steps = nn.Sequential(), text.split(", ")
    numbers = iter(["_1", "_2", "_3", "_4", "_5"] if sum(step not in _POOLS for step in steps) > 1 else [""])
    for step in steps:
        if step in _POOLS:
            branch.append(_POOLS[step])
            continue
        number, parallel = next(numbers), step.split(" + ")
        new = {f"{name}{number}{letter}": _Layer(width, layer) for letter, layer in zip("ab" if len(parallel) == 2 else [""], parallel)}
        layers.update(new)
        branch.extend(new.values() if len(new) == 1 else [_Parallel(new.values())])
        width = sum(layer.out_channels for layer in new.values())
    return branch, width


def _check(state: Mapping[str, Tensor], layers: Mapping[str, _Layer], origin: str) -> None:
    needed: dict[str, tuple[int, ...]] = {}
    for name, layer in layers.items():
        needed |= {f"{name}.{part}": tuple(layer.weight.shape) if part == "conv.weight" else (layer.out_channels,) for part in _PARTS}
    spare: dict[str, tuple[int, ...]] = {"fc.weight": (1008, 2048), "fc.bias": (1008,)}
    spare |= {f"{name}.bn.num_batches_tracked": () for name in layers}
    known = needed | spare
    for key in [*needed, *state]:
        fault = None
        if key not in state:
            fault = f"{key} is missing"
        elif key not in known:
            fault = f"{key} is not part of it"
        elif tuple(state[key].shape) != known[key]:
            fault = f"{key} is {list(state[key].shape)} and should be {list(known[key])}"
        if fault:
            raise UserError(f"{origin} does not hold the Inception of 2015-12-05: {fault}; give the published {FILE}")
