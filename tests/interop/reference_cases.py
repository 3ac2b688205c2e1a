"""What our training step and the reference's are both given: weights in the reference's state-dict layout, and images, all from seeds.

Written in plain torch, so that the same numbers come out beside either implementation. The values are uniform, which torch draws alike
on every machine.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

STEPS = 12
SHOWN = slice(None, None, 9)
"""Rows and columns of an output that are stored: coprime to the strides of the networks, so that no phase is left out."""
Layout = dict[str, tuple[int, ...]]


@dataclass(frozen=True)
class Case:
    """A training of twelve steps.

    Attributes:
        model: of the reference: ``pix2pix`` or ``cycle_gan``.
        gan_mode: the reference's word for the adversarial form.
        weight: of L1, or of the cycle term; the identity term of ``cycle_gan`` has half of it.
        batch: images per step and domain.
        size: their side.
        seed: of weights and images.
    """

    model: Literal["pix2pix", "cycle_gan"]
    gan_mode: Literal["vanilla", "lsgan"]
    weight: float
    batch: int
    size: int
    seed: int
    width: int = 4
    learning_rate: float = 2e-4

    def weights(self) -> dict[str, dict[str, Tensor]]:
        """State dicts by the reference's names of the networks."""
        if self.model == "pix2pix":
            layouts = {"G": unet_128(self.width), "D": patch_70(self.width, 6, "batch")}
        else:
            layouts = {
                "G_A": resnet_6blocks(self.width),
                "G_B": resnet_6blocks(self.width),
                "D_A": patch_70(self.width, 3, "instance"),
                "D_B": patch_70(self.width, 3, "instance"),
            }
        random = torch.Generator().manual_seed(self.seed)
        return {name: {key: _values(key, shape, random) for key, shape in layout.items()} for name, layout in layouts.items()}

    def images(self) -> Tensor:
        """``[STEPS, 2, N, 3, H, W]`` in [-1, 1]: each step's images of A and of B."""
        random = torch.Generator().manual_seed(self.seed + 1)
        return torch.rand(STEPS, 2, self.batch, 3, self.size, self.size, generator=random) * 2 - 1


CASES = {
    "pix2pix_vanilla": Case("pix2pix", "vanilla", 100, 1, 128, 1),
    "pix2pix_lsgan": Case("pix2pix", "lsgan", 10, 2, 128, 2),
    "cycle_gan": Case("cycle_gan", "lsgan", 10, 1, 64, 3),
}


def _values(key: str, shape: tuple[int, ...], random: torch.Generator) -> Tensor:
    """Of a convolution by its number of inputs; of a norm around 1 and 0; running statistics as they begin."""
    if key.endswith("running_mean") or key.endswith("num_batches_tracked"):
        return torch.zeros(shape, dtype=torch.float32 if shape else torch.int64)
    if key.endswith("running_var"):
        return torch.ones(shape)
    values = torch.rand(shape, generator=random) * 2 - 1
    if len(shape) == 4:
        return values * (3 / (shape[1] * shape[2] * shape[3])) ** 0.5
    return 0.1 * values + (1 if key.endswith("weight") else 0)


def _batch_norm(name: str, channels: int) -> Layout:
    vectors = {f"{name}.{key}": (channels,) for key in ("weight", "bias", "running_mean", "running_var")}
    return {**vectors, f"{name}.num_batches_tracked": ()}


def unet_128(width: int) -> Layout:
    """``netG unet_128``, batch norm, 3 to 3 channels: blocks within blocks, each a halving, what is inside it, and a doubling."""
    channels = [width * factor for factor in (1, 2, 4, 8, 8, 8, 8)]
    layout: Layout = {}
    prefix = "model.model"
    for level, inner in enumerate(channels):
        outermost, innermost = level == 0, level == len(channels) - 1
        outer = 3 if outermost else channels[level - 1]
        down = 0 if outermost else 1
        up = 3 if outermost or innermost else 5
        layout[f"{prefix}.{down}.weight"] = (inner, outer, 4, 4)
        layout[f"{prefix}.{up}.weight"] = (inner if innermost else 2 * inner, outer, 4, 4)
        if outermost:
            layout[f"{prefix}.{up}.bias"] = (outer,)
        else:
            layout |= _batch_norm(f"{prefix}.{up + 1}", outer)
            if not innermost:
                layout |= _batch_norm(f"{prefix}.2", inner)
        prefix += f".{1 if outermost else 3}.model"
    return layout


def resnet_6blocks(width: int) -> Layout:
    """``netG resnet_6blocks``, instance norm without weights, no dropout, 3 to 3 channels."""
    inner = 4 * width
    layout: Layout = {
        "model.1.weight": (width, 3, 7, 7),
        "model.4.weight": (2 * width, width, 3, 3),
        "model.7.weight": (inner, 2 * width, 3, 3),
        **{f"model.{block}.conv_block.{conv}.weight": (inner, inner, 3, 3) for block in range(10, 16) for conv in (1, 5)},
        "model.16.weight": (inner, 2 * width, 3, 3),
        "model.19.weight": (2 * width, width, 3, 3),
        "model.23.weight": (3, width, 7, 7),
    }
    transposed = ("model.16.weight", "model.19.weight")
    biases = {key.replace("weight", "bias"): (shape[1 if key in transposed else 0],) for key, shape in layout.items()}
    return layout | biases


def patch_70(width: int, channels: int, norm: Literal["batch", "instance"]) -> Layout:
    """``netD basic``, the 70x70 PatchGAN."""
    sizes = [channels, width, 2 * width, 4 * width, 8 * width, 1]
    layout: Layout = {}
    for index, place in enumerate((0, 2, 5, 8, 11)):
        outgoing = sizes[index + 1]
        layout[f"model.{place}.weight"] = (outgoing, sizes[index], 4, 4)
        inside = index in (1, 2, 3)
        if not inside or norm == "instance":
            layout[f"model.{place}.bias"] = (outgoing,)
        if inside and norm == "batch":
            layout |= _batch_norm(f"model.{place + 1}", outgoing)
    return layout


def summary(state: dict[str, Tensor]) -> Tensor:
    """Of every kernel of a state dict its norm and its sum, ``[K, 2]`` float64 in the order of :func:`Case.weights`.

    A bias before a norm is left out: its gradient is 0 but for rounding, which Adam makes steps of full length of, and nothing depends
    on it.
    """
    kernels = [tensor.double() for tensor in state.values() if tensor.ndim == 4]
    return torch.stack([torch.stack([kernel.norm(), kernel.sum()]) for kernel in kernels])
