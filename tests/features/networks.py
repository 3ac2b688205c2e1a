"""Networks and weights with random numbers under the published names and shapes: classifiers, Inception, and where LPIPS' heads are."""

from __future__ import annotations

from functools import cache, partial
from pathlib import Path

import torch
import torchmetrics
from torch import Tensor, nn

HEADS = Path(torchmetrics.__file__).parent / "functional" / "image" / "lpips_models"
"""The published heads of LPIPS, which torchmetrics carries."""

# ---- classifiers built from torch's own layers ---------------------------------------------------------------------------

CLASSIFIERS = ["alexnet", "vgg16", "squeezenet"]
TAKEN = {"alexnet": (1, 4, 7, 9, 11), "vgg16": (3, 8, 15, 22, 29), "squeezenet": (1, 4, 7, 9, 10, 11, 12)}
"""The layers of ``features`` whose output is an activation."""


class FireModule(nn.Module):
    def __init__(self, inputs: int, squeezed: int, expanded: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(inputs, squeezed, 1)
        self.expand1x1 = nn.Conv2d(squeezed, expanded, 1)
        self.expand3x3 = nn.Conv2d(squeezed, expanded, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.squeeze(x).relu()
        return torch.cat([self.expand1x1(x).relu(), self.expand3x3(x).relu()], 1)


class Classifier(nn.Module):
    def __init__(self, name: str) -> None:
        super().__init__()
        self.features = {"alexnet": alexnet, "vgg16": vgg16, "squeezenet": squeezenet}[name]()
        self.taken = TAKEN[name]

    def forward(self, x: Tensor) -> list[Tensor]:
        found = []
        for index, layer in enumerate(self.features):
            x = layer(x)
            if index in self.taken:
                found.append(x)
        return found


def alexnet() -> nn.Sequential:
    first = [nn.Conv2d(3, 64, 11, 4, 2), nn.ReLU(), nn.MaxPool2d(3, 2), nn.Conv2d(64, 192, 5, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2)]
    last = [layer for i, o in ((192, 384), (384, 256), (256, 256)) for layer in (nn.Conv2d(i, o, 3, padding=1), nn.ReLU())]
    return nn.Sequential(*first, *last)


def vgg16() -> nn.Sequential:
    layers: list[nn.Module] = []
    inputs = 3
    for width, depth in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
        for _ in range(depth):
            layers += [nn.Conv2d(inputs, width, 3, padding=1), nn.ReLU()]
            inputs = width
        layers.append(nn.MaxPool2d(2, 2))
    return nn.Sequential(*layers[:-1])


def squeezenet() -> nn.Sequential:
    def pool() -> nn.Module:
        return nn.MaxPool2d(3, 2, ceil_mode=True)

    layers = [nn.Conv2d(3, 64, 3, 2), nn.ReLU(), pool(), FireModule(64, 16, 64), FireModule(128, 16, 64), pool()]
    layers += [FireModule(128, 32, 128), FireModule(256, 32, 128), pool(), FireModule(256, 48, 192)]
    return nn.Sequential(*layers, FireModule(384, 48, 192), FireModule(384, 64, 256), FireModule(512, 64, 256))


@cache
def classifier(name: str) -> Classifier:
    """With random weights that keep the signal's size from layer to layer, and biases that matter."""
    random = torch.Generator().manual_seed(5)
    network = Classifier(name).requires_grad_(False).eval()
    for key, parameter in network.named_parameters():
        scale = 0.1 if key.endswith("bias") else (2 / parameter[0].numel()) ** 0.5
        parameter.copy_(scale * torch.randn(parameter.shape, generator=random))
    return network


def published(name: str) -> dict[str, Tensor]:
    """A state dict as it is published, but with hardly a classifier behind the features."""
    last = "classifier.1" if name == "squeezenet" else "classifier.6"
    return {**classifier(name).state_dict(), f"{last}.weight": torch.zeros(2, 2), f"{last}.bias": torch.zeros(2)}


# ---- Inception ------------------------------------------------------------------------------------------------------------

Shapes = dict[str, tuple[int, int, int, int]]


def _block(name: str, inputs: int, **branches: list[tuple[int, int, int, int]]) -> Shapes:
    """Each branch's layers as (outputs, inputs, height, width), where inputs 0 stands for those of the block."""
    return {
        f"{name}.{branch}{f'_{i}' if len(layers) > 1 else ''}": (out, before or inputs, height, width)
        for branch, layers in branches.items()
        for i, (out, before, height, width) in enumerate(layers, 1)
    }


def _block_a(name: str, inputs: int, pool: int) -> Shapes:
    double = [(64, 0, 1, 1), (96, 64, 3, 3), (96, 96, 3, 3)]
    branches = {"branch1x1": [(64, 0, 1, 1)], "branch5x5": [(48, 0, 1, 1), (64, 48, 5, 5)], "branch3x3dbl": double}
    return _block(name, inputs, **branches, branch_pool=[(pool, 0, 1, 1)])


def _block_c(name: str, w: int) -> Shapes:
    single = [(w, 0, 1, 1), (w, w, 1, 7), (192, w, 7, 1)]
    double = [(w, 0, 1, 1), (w, w, 7, 1), (w, w, 1, 7), (w, w, 7, 1), (192, w, 1, 7)]
    return _block(name, 768, branch1x1=[(192, 0, 1, 1)], branch7x7=single, branch7x7dbl=double, branch_pool=[(192, 0, 1, 1)])


def _block_e(name: str, inputs: int) -> Shapes:
    return {
        f"{name}.branch1x1": (320, inputs, 1, 1),
        f"{name}.branch3x3_1": (384, inputs, 1, 1),
        f"{name}.branch3x3_2a": (384, 384, 1, 3),
        f"{name}.branch3x3_2b": (384, 384, 3, 1),
        f"{name}.branch3x3dbl_1": (448, inputs, 1, 1),
        f"{name}.branch3x3dbl_2": (384, 448, 3, 3),
        f"{name}.branch3x3dbl_3a": (384, 384, 1, 3),
        f"{name}.branch3x3dbl_3b": (384, 384, 3, 1),
        f"{name}.branch_pool": (192, inputs, 1, 1),
    }


LAYERS: Shapes = {
    "Conv2d_1a_3x3": (32, 3, 3, 3),
    "Conv2d_2a_3x3": (32, 32, 3, 3),
    "Conv2d_2b_3x3": (64, 32, 3, 3),
    "Conv2d_3b_1x1": (80, 64, 1, 1),
    "Conv2d_4a_3x3": (192, 80, 3, 3),
    **_block_a("Mixed_5b", 192, 32),
    **_block_a("Mixed_5c", 256, 64),
    **_block_a("Mixed_5d", 288, 64),
    **_block("Mixed_6a", 288, branch3x3=[(384, 0, 3, 3)], branch3x3dbl=[(64, 0, 1, 1), (96, 64, 3, 3), (96, 96, 3, 3)]),
    **_block_c("Mixed_6b", 128),
    **_block_c("Mixed_6c", 160),
    **_block_c("Mixed_6d", 160),
    **_block_c("Mixed_6e", 192),
    **_block(
        "Mixed_7a",
        768,
        branch3x3=[(192, 0, 1, 1), (320, 192, 3, 3)],
        branch7x7x3=[(192, 0, 1, 1), (192, 192, 1, 7), (192, 192, 7, 1), (192, 192, 3, 3)],
    ),
    **_block_e("Mixed_7b", 1280),
    **_block_e("Mixed_7c", 2048),
}


def published_state() -> dict[str, Tensor]:
    """Random numbers under every name of the published file, scaled so that values neither explode nor vanish."""
    random = torch.Generator().manual_seed(5)
    draw, state = partial(torch.randn, generator=random), {}
    for name, shape in LAYERS.items():
        out, fan_in = shape[0], shape[1] * shape[2] * shape[3]
        variance = 0.01 + 0.1 * draw(out).abs()  # small, so that the 0.001 added to it counts
        state[f"{name}.conv.weight"] = draw(shape) * (2 / fan_in * variance[:, None, None, None]).sqrt()
        state[f"{name}.bn.weight"] = 1 + 0.2 * draw(out)
        state[f"{name}.bn.bias"] = 0.2 * draw(out)
        state[f"{name}.bn.running_mean"] = 0.2 * draw(out) * variance.sqrt()
        state[f"{name}.bn.running_var"] = variance
        state[f"{name}.bn.num_batches_tracked"] = torch.tensor(0)
    return {**state, "fc.weight": draw(1008, 2048), "fc.bias": draw(1008)}
